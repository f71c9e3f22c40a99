// The front end with a host on AXI4-Lite, five stub engines of random latency and a read-only AXI
// memory that holds the rings. Everything the engines and the retire trace see is recorded.
#pragma once

#include <catch2/catch.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "Vfront_end.h"
#include "sim/isa/isa.hpp"
#include "tb/support/clocked.hpp"

namespace dither::tb {

inline constexpr int kQueues = static_cast<int>(isa::kNumQueues);
inline constexpr std::uint64_t kDram = 0x40'0000;       // the window of the tests
inline constexpr std::uint64_t kDramEnd = 0x50'0000;
inline constexpr std::uint8_t kOkay = 0, kSlvErr = 2;

struct Stalls {  // percent of cycles
  int host = 0, ar = 0, r = 0, engine = 0;
};

class FrontEnd {
 public:
  Clocked<Vfront_end> dut;
  std::mt19937 rng;
  // Behaviour, free to change at any time.
  Stalls stalls;
  int memory_latency = 20;
  bool memory_silent = false;
  std::set<std::uint64_t> bad_lines;                      // 64-byte lines that answer SLVERR
  std::function<int(int queue, std::uint32_t id)> work;   // cycles of an instruction
  std::set<std::uint32_t> failing;                        // ids on which a DMA engine stops
  // PSUM bank that an instruction of the vector or scalar queue writes, in every cycle of its work up
  // to the one before it is done; negative: none.
  std::function<int(int queue, std::uint32_t id)> bank;
  // What happened.
  std::array<std::vector<std::uint32_t>, kQueues> started, finished, retired;
  std::array<std::uint64_t, kQueues> starved{};           // cycles without work after the first
  std::map<std::uint32_t, std::uint64_t> start_cycle, retire_cycle;
  std::vector<std::pair<std::uint64_t, int>> bursts;      // address, bytes
  std::function<void(int queue, std::uint32_t id)> on_start, on_retire;

  explicit FrontEnd(std::uint32_t seed = 1) : dut(seed), rng(seed), dram_(kDramEnd - kDram) {
    work = [](int, std::uint32_t) { return 5; };
    dut->s_aw_valid_i = dut->s_w_valid_i = dut->s_ar_valid_i = 0;
    dut->s_b_ready_i = dut->s_r_ready_i = 0;
    dut->conflicts_i = 0;
    dut->psum_write_i = 0;
    dut->nonfinite_valid_i = 0;
    dut->rng_vector_rdata_i = 0x1111;
    dut->rng_scalar_rdata_i = 0x2222;
    dut->r_valid_i = 0;
    dut->done_i = dut->err_i = dut->busy_i = dut->stall_i = 0;
    dut.OnDrive([this] { Drive(); });
    dut.OnSample([this] { Sample(); });
    REQUIRE(Write(isa::kCsrDramBaseLo, kDram) == kOkay);
    REQUIRE(Write(isa::kCsrDramLimitLo, kDramEnd) == kOkay);
  }

  bool Percent(int p) { return p != 0 && static_cast<int>(rng() % 100) < p; }

  // --- host ---
  std::uint8_t Write(std::uint32_t addr, std::uint32_t data, std::uint8_t strobes = 0xf) {
    int aw_delay = Percent(stalls.host) ? static_cast<int>(rng() % 6) : 0;
    int w_delay = Percent(stalls.host) ? static_cast<int>(rng() % 6) : 0;
    int b_delay = Percent(stalls.host) ? static_cast<int>(rng() % 6) : 0;
    bool aw_done = false, w_done = false;
    for (int n = 0;; ++n) {
      REQUIRE(n < 300);
      dut->s_aw_valid_i = !aw_done && n >= aw_delay;
      dut->s_w_valid_i = !w_done && n >= w_delay;
      dut->s_aw_addr_i = addr;
      dut->s_w_data_i = data;
      dut->s_w_strb_i = strobes;
      dut->s_b_ready_i = aw_done && w_done && b_delay-- <= 0;
      dut->eval();
      const bool aw = dut->s_aw_valid_i && dut->s_aw_ready_o;
      const bool w = dut->s_w_valid_i && dut->s_w_ready_o;
      const bool b = dut->s_b_valid_o && dut->s_b_ready_i;
      const std::uint8_t resp = dut->s_b_resp_o;
      dut.Step();
      aw_done |= aw;
      w_done |= w;
      dut->s_aw_valid_i = dut->s_w_valid_i = 0;
      if (b) {
        dut->s_b_ready_i = 0;
        return resp;
      }
    }
  }
  std::uint32_t Read(std::uint32_t addr, std::uint8_t* resp = nullptr) {
    int r_delay = Percent(stalls.host) ? static_cast<int>(rng() % 6) : 0;
    bool ar_done = false;
    for (int n = 0;; ++n) {
      REQUIRE(n < 300);
      dut->s_ar_valid_i = !ar_done;
      dut->s_ar_addr_i = addr;
      dut->s_r_ready_i = ar_done && r_delay-- <= 0;
      dut->eval();
      const bool ar = dut->s_ar_valid_i && dut->s_ar_ready_o;
      const bool r = dut->s_r_valid_o && dut->s_r_ready_i;
      const std::uint32_t data = dut->s_r_data_o;
      if (r && resp != nullptr) *resp = dut->s_r_resp_o;
      if (r && resp == nullptr) REQUIRE(dut->s_r_resp_o == kOkay);
      dut.Step();
      ar_done |= ar;
      dut->s_ar_valid_i = 0;
      if (r) {
        dut->s_r_ready_i = 0;
        return data;
      }
    }
  }
  static std::uint32_t Reg(int queue, std::uint32_t offset) {
    return isa::kCsrQueueBase + isa::kCsrQueueStride * static_cast<std::uint32_t>(queue) + offset;
  }
  static std::uint32_t Count(int queue, std::uint32_t offset) {
    return isa::kCsrCounterBase + isa::kCsrCounterStride * static_cast<std::uint32_t>(queue) +
           offset;
  }
  isa::QueueState State(int queue) {
    return static_cast<isa::QueueState>(Read(Reg(queue, isa::kCsrQueueStatus)) & 3);
  }
  struct Error {
    isa::Err err;
    std::uint32_t operand, index;
    std::uint64_t addr;
  };
  Error ErrorOf(int queue) {
    const std::uint32_t s = Read(Reg(queue, isa::kCsrQueueStatus));
    const std::uint64_t lo = Read(Reg(queue, isa::kCsrQueueErrAddrLo));
    const std::uint64_t hi = Read(Reg(queue, isa::kCsrQueueErrAddrHi));
    return {static_cast<isa::Err>((s >> 8) & 0xff), (s >> 16) & 3,
            Read(Reg(queue, isa::kCsrQueueErrIndex)), hi << 32 | lo};
  }
  void Ring(int queue, std::uint64_t base, std::uint32_t size) {
    REQUIRE(Write(Reg(queue, isa::kCsrQueueBaseLo), static_cast<std::uint32_t>(base)) == kOkay);
    REQUIRE(Write(Reg(queue, isa::kCsrQueueBaseHi), static_cast<std::uint32_t>(base >> 32)) ==
            kOkay);
    REQUIRE(Write(Reg(queue, isa::kCsrQueueSize), size) == kOkay);
    base_[queue] = base;
    size_[queue] = size;
  }
  std::uint8_t Doorbell(int queue, std::uint32_t tail) {
    return Write(Reg(queue, isa::kCsrQueueTail), tail);
  }
  // Until the queue is not running any more.
  isa::QueueState Wait(int queue, int limit = 20000) {
    const std::uint64_t end = dut.cycle() + limit;
    for (;;) {
      const isa::QueueState s = State(queue);
      if (s != isa::QueueState::kRunning) return s;
      REQUIRE(dut.cycle() < end);
    }
  }

  // --- memory ---
  std::uint64_t Line(int queue, std::uint32_t index) const {
    return base_[queue] + 64 * (index % size_[queue]);
  }
  void Put(int queue, std::uint32_t index, const isa::Encoded& e) { PutAt(Line(queue, index), e); }
  void PutAt(std::uint64_t addr, const isa::Encoded& e) {
    REQUIRE(addr >= kDram);
    REQUIRE(addr + 64 <= kDramEnd);
    std::memcpy(&dram_[addr - kDram], e.data(), 64);
  }

 private:
  struct Burst {
    std::uint64_t addr;
    int beats;
    std::uint64_t ready;
  };
  struct Inside {
    std::uint32_t id;
    int left;
  };
  static constexpr int kWords = static_cast<int>(sizeof(Vfront_end::r_data_i) / 4);
  static constexpr int kBeat = kWords * 4;

  void Drive() {
    // Memory: in order, R held until taken (it always is).
    dut->ar_ready_i = bursts_.size() < 8 && !Percent(stalls.ar);
    if (r_taken_) dut->r_valid_i = 0;
    r_taken_ = false;
    if (dut->r_valid_i == 0 && !bursts_.empty() && !memory_silent &&
        dut.cycle() >= bursts_.front().ready && !Percent(stalls.r)) {
      Burst& b = bursts_.front();
      for (int w = 0; w < kWords; ++w) {
        std::uint32_t v = 0xdeadbeef;
        if (b.addr >= kDram && b.addr + kBeat <= kDramEnd) {
          std::memcpy(&v, &dram_[b.addr - kDram + 4 * w], 4);
        }
        dut->r_data_i[w] = v;
      }
      dut->r_resp_i = bad_lines.count(b.addr & ~63ull) ? kSlvErr : kOkay;
      dut->r_last_i = b.beats == 1;
      dut->r_valid_i = 1;
    }
    // Engines: one instruction after the other, up to four inside.
    std::uint8_t ready = 0, done = 0, err = 0, busy = 0;
    dut->psum_write_i = 0;
    dut->psum_bank_i = 0x3f & rng();
    for (int q = 0; q < kQueues; ++q) {
      auto& in = inside_[q];
      if (!in.empty()) {
        busy |= 1 << q;
        if (bank && (q == 1 || q == 2) && in.front().left >= 1 && bank(q, in.front().id) >= 0) {
          const int shift = 3 * (q - 1);
          dut->psum_write_i |= 1 << (q - 1);
          dut->psum_bank_i &= ~(7 << shift);
          dut->psum_bank_i |= bank(q, in.front().id) << shift;
        }
        if (in.front().left <= 0) {
          if (failing.count(in.front().id)) err |= 1 << q;
          else done |= 1 << q;
        }
      }
      if (!(err >> q & 1) && in.size() < 4 && !Percent(stalls.engine)) ready |= 1 << q;
    }
    dut->instr_ready_i = ready;
    dut->done_i = done;
    dut->err_i = err;
    dut->busy_i = busy;
    dut->work_i = 0;
    for (int q = 0; q < kQueues; ++q) {  // cause AxiRead, address 0xabc
      const int c = 8 * q, a = 48 * q;
      auto cause = dut->err_cause_i;
      cause &= ~(0xffull << c);
      cause |= static_cast<std::uint64_t>(isa::Err::kAxiRead) << c;
      dut->err_cause_i = cause;
      for (int b = 0; b < 48; ++b) {
        const int bit = a + b;
        dut->err_addr_i[bit / 32] &= ~(1u << (bit % 32));
        if (0xabcull >> b & 1) dut->err_addr_i[bit / 32] |= 1u << (bit % 32);
      }
    }
  }

  void Sample() {
    if (dut->ar_valid_o && dut->ar_ready_i) {
      const std::uint64_t addr = dut->ar_addr_o;
      const int beats = dut->ar_len_o + 1;
      REQUIRE(dut->ar_id_o == 2);
      REQUIRE(dut->ar_burst_o == 1);
      REQUIRE((1 << dut->ar_size_o) == kBeat);
      REQUIRE(addr >= kDram);
      REQUIRE(addr + beats * kBeat <= kDramEnd);
      REQUIRE((addr & ~0xfffull) == ((addr + beats * kBeat - 1) & ~0xfffull));
      bursts_.push_back({addr, beats, dut.cycle() + memory_latency});
      bursts.emplace_back(addr, beats * kBeat);
      REQUIRE(bursts_.size() <= 4);
    }
    if (dut->r_valid_i && dut->r_ready_o) {
      r_taken_ = true;  // inputs change only before the evaluation
      Burst& b = bursts_.front();
      b.addr += kBeat;
      if (--b.beats == 0) bursts_.pop_front();
    }
    for (int q = 0; q < kQueues; ++q) {
      auto& in = inside_[q];
      if (dut->retire_valid_o >> q & 1) {
        const std::uint32_t index = dut->retire_index_o[q];
        retired[q].push_back(index);
        retire_cycle[Key(q, index)] = dut.cycle();
        if (on_retire) on_retire(q, index);
      }
      if (in.empty() && !started[q].empty()) ++starved[q];
      if (!in.empty()) --in.front().left;
      if (dut->done_i >> q & 1) {
        finished[q].push_back(in.front().id);
        in.pop_front();
      }
      if (dut->err_i >> q & 1) {  // what is behind the error is dropped
        failing.erase(in.front().id);
        in.clear();
      }
      if ((dut->instr_valid_o & dut->instr_ready_i) >> q & 1) {
        isa::Encoded e{};
        for (int w = 0; w < 16; ++w) isa::SetBits(e, 32 * w, 32, dut->instr_o[16 * q + w]);
        const std::uint32_t id = IdOf(q, e);
        started[q].push_back(id);
        start_cycle[Key(q, id)] = dut.cycle();
        in.push_back({id, work(q, id)});
        REQUIRE(in.size() <= 4);
        if (on_start) on_start(q, id);
      }
    }
  }

 public:
  static std::uint32_t Key(int queue, std::uint32_t id) {
    return static_cast<std::uint32_t>(queue) << 24 | id;
  }
  // A small legal instruction of the queue that carries an id; flags from `base`'s header.
  static isa::Encoded Instr(int queue, std::uint32_t id, isa::EngineInstr h = {}) {
    if (queue >= 3) {
      isa::DmaInstr d;
      d.opcode = static_cast<std::uint8_t>(isa::Op::kCopy);
      d.wait_sem = h.wait_sem, d.wait_en = h.wait_en, d.wait_val = h.wait_val;
      d.sig_en = h.sig_en, d.sig_sem = h.sig_sem, d.sig_inc = h.sig_inc, d.irq = h.irq;
      d.dtype_d = d.dtype_0 = 1;
      d.size = {1, 1, 1, 1};
      d.src_addr = kDram + 4 * std::uint64_t{id};
      d.dst_addr = std::uint64_t{1} << 44;
      return isa::Encode(d);
    }
    constexpr std::array<isa::Op, 3> kOps = {isa::Op::kMatmul, isa::Op::kTensor, isa::Op::kAct};
    h.opcode = static_cast<std::uint8_t>(kOps[queue]);
    h.dtype_d = 1;
    h.dtype_0 = h.dtype_1 = queue == 0 ? 2 : 1;
    h.space_d = queue == 0;
    h.parts = h.parts_d = 4;
    h.size = {3, 1, 1, 1};
    h.src1_imm = queue != 0;
    h.imm0 = id;
    return isa::Encode(h);
  }
  static std::uint32_t IdOf(int queue, const isa::Encoded& e) {
    if (queue < 3) return isa::DecodeEngineInstr(e).imm0;
    return static_cast<std::uint32_t>(isa::DecodeDmaInstr(e).src_addr - kDram) / 4;
  }
  static isa::Encoded Nop(isa::EngineInstr h = {}) {
    h.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
    return isa::Encode(h);
  }

 private:
  std::vector<std::uint8_t> dram_;
  std::array<std::uint64_t, kQueues> base_{};
  std::array<std::uint32_t, kQueues> size_{};
  std::deque<Burst> bursts_;
  bool r_taken_ = false;
  std::array<std::deque<Inside>, kQueues> inside_;
};

}  // namespace dither::tb
