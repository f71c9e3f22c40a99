// The registers alone: every address and strobe, both handshake orders, counters and windows.
#include <catch2/catch.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "Vcsr.h"
#include "sim/isa/isa.hpp"
#include "sim/model/nonfinite.hpp"
#include "tb/support/clocked.hpp"

namespace dither {
namespace {

constexpr std::uint8_t kOkay = 0, kSlvErr = 2;
constexpr int kRows = 8;

// A host that is slow on any channel, and the blocks around the registers.
class Host {
 public:
  tb::Clocked<Vcsr> dut;
  std::mt19937 rng;
  int stall = 0;  // percent
  std::array<std::uint16_t, 64> sems{};
  std::array<std::array<std::uint32_t, 128>, 2> rng_state{};

  explicit Host(std::uint32_t seed = 1) : dut(seed), rng(seed) {
    dut->aw_valid_i = dut->w_valid_i = dut->ar_valid_i = dut->b_ready_i = dut->r_ready_i = 0;
    dut->reset_done_i = dut->state_i = dut->stopped_i = dut->irq_i = 0;
    dut->busy_i = dut->wait_sem_i = dut->wait_fetch_i = dut->stall_i = dut->retired_i = 0;
    dut->work_i = 0;
    dut->conflicts_i = 0;
    dut->nonfinite_valid_i = 0;
    dut->err_i = 0;
    dut->err_operand_i = 0;
    for (int w = 0; w < 5; ++w) dut->head_i[w] = dut->err_index_i[w] = 0;
    for (auto& w : rng_state) {
      for (auto& v : w) v = rng();
    }
    dut.OnDrive([this] {
      dut->sem_ready_i = dut->sem_valid_o && !Stalled();
      dut->sem_read_val_i = sems[dut->sem_read_o];
      // The lane's state one cycle after its selection, as a registered engine would give it.
      dut->rng_vector_rdata_i = rng_state[0][lane_];
      dut->rng_scalar_rdata_i = rng_state[1][lane_];
    });
    dut.OnSample([this] {
      lane_ = dut->rng_lane_o & 127;
      if (dut->sem_valid_o && dut->sem_ready_i) {
        auto& s = sems[dut->sem_index_o];
        s = static_cast<std::uint16_t>((dut->sem_add_o ? s : 0) + dut->sem_val_o);
      }
      if (dut->rng_we_o) rng_state[dut->rng_scalar_o][dut->rng_lane_o] = dut->rng_wdata_o;
    });
  }
  bool Stalled() { return static_cast<int>(rng() % 100) < stall; }

  std::uint8_t Write(std::uint32_t addr, std::uint32_t data, std::uint8_t strobes = 0xf) {
    int aw_delay = Stalled() ? rng() % 5 : 0, w_delay = Stalled() ? rng() % 5 : 0;
    bool aw_done = false, w_done = false;
    for (int n = 0;; ++n) {
      REQUIRE(n < 200);
      dut->aw_valid_i = !aw_done && n >= aw_delay;
      dut->w_valid_i = !w_done && n >= w_delay;
      dut->aw_addr_i = addr;
      dut->w_data_i = data;
      dut->w_strb_i = strobes;
      dut->b_ready_i = !Stalled();
      dut->eval();
      const bool aw = dut->aw_valid_i && dut->aw_ready_o, w = dut->w_valid_i && dut->w_ready_o;
      const bool b = dut->b_valid_o && dut->b_ready_i;
      const std::uint8_t resp = dut->b_resp_o;
      if (b) REQUIRE((aw_done && w_done));
      dut.Step();
      aw_done |= aw;
      w_done |= w;
      dut->aw_valid_i = dut->w_valid_i = 0;
      dut->b_ready_i = 0;
      if (b) return resp;
    }
  }
  std::uint8_t Read(std::uint32_t addr, std::uint32_t* data) {
    bool done = false;
    for (int n = 0;; ++n) {
      REQUIRE(n < 200);
      dut->ar_valid_i = !done;
      dut->ar_addr_i = addr;
      dut->r_ready_i = !Stalled();
      dut->eval();
      const bool ar = dut->ar_valid_i && dut->ar_ready_o;
      const bool r = dut->r_valid_o && dut->r_ready_i;
      *data = dut->r_data_o;
      const std::uint8_t resp = dut->r_resp_o;
      dut.Step();
      done |= ar;
      dut->ar_valid_i = dut->r_ready_i = 0;
      if (r) return resp;
    }
  }
  std::uint32_t Get(std::uint32_t addr) {
    std::uint32_t v = 0;
    REQUIRE(Read(addr, &v) == kOkay);
    return v;
  }

 private:
  int lane_ = 0;
};

enum Access { kRo = 1, kWo = 2, kRw = 3 };
std::map<std::uint32_t, Access> Registers() {
  std::map<std::uint32_t, Access> r = {
      {isa::kCsrId, kRo},          {isa::kCsrVersion, kRo},     {isa::kCsrConfig, kRo},
      {isa::kCsrIrqStatus, kRw},   {isa::kCsrIrqEnable, kRw},   {isa::kCsrWatchdog, kRw},
      {isa::kCsrRefused, kRw},     {isa::kCsrDramBaseLo, kRw},  {isa::kCsrDramBaseHi, kRw},
      {isa::kCsrDramLimitLo, kRw}, {isa::kCsrDramLimitHi, kRw},
      {isa::kCsrNonfiniteCount, kRw}, {isa::kCsrNonfiniteIndex, kRo}, {isa::kCsrNonfiniteFirst, kRo},
      {isa::kCsrRngMode, kRo}};
  for (std::uint32_t q = 0; q < isa::kNumQueues; ++q) {
    const std::uint32_t b = isa::kCsrQueueBase + isa::kCsrQueueStride * q;
    for (const auto o : {isa::kCsrQueueBaseLo, isa::kCsrQueueBaseHi, isa::kCsrQueueSize,
                         isa::kCsrQueueTail}) {
      r[b + o] = kRw;
    }
    r[b + isa::kCsrQueueCtrl] = kWo;
    for (const auto o : {isa::kCsrQueueHead, isa::kCsrQueueStatus, isa::kCsrQueueErrIndex,
                         isa::kCsrQueueErrAddrLo, isa::kCsrQueueErrAddrHi}) {
      r[b + o] = kRo;
    }
    const std::uint32_t c = isa::kCsrCounterBase + isa::kCsrCounterStride * q;
    for (std::uint32_t o = 0; o <= isa::kCsrCounterRetired; o += 4) r[c + o] = kRo;
  }
  for (const auto o : {isa::kCsrGlobalCyclesLo, isa::kCsrGlobalCyclesHi,
                       isa::kCsrGlobalSbufConflicts}) {
    r[isa::kCsrGlobalBase + o] = kRo;
  }
  r[isa::kCsrGlobalBase + isa::kCsrGlobalCounterClear] = kWo;
  for (std::uint32_t s = 0; s < isa::kNumSems; ++s) {
    r[isa::kCsrSemSetBase + 4 * s] = kRw;
    r[isa::kCsrSemIncBase + 4 * s] = kWo;
  }
  for (std::uint32_t l = 0; l < kRows; ++l) {
    r[isa::kCsrRngVectorBase + 4 * l] = kRw;
    r[isa::kCsrRngScalarBase + 4 * l] = kRw;
  }
  return r;
}

}  // namespace

TEST_CASE("every address answers as the register table says, and errors change nothing",
          "[csr][directed]") {
  Host h;
  const auto registers = Registers();
  const auto snapshot = [&] {
    std::map<std::uint32_t, std::uint32_t> s;
    for (const auto& [addr, access] : registers) {
      const bool moving = addr >= isa::kCsrGlobalBase && addr <= isa::kCsrGlobalBase + 4;
      if ((access & kRo) != 0 && !moving) s[addr] = h.Get(addr);
    }
    return s;
  };
  const auto before = snapshot();
  const auto sems = h.sems;
  const auto states = h.rng_state;
  for (std::uint32_t addr = 0; addr < 0x10000; addr += addr < 0x1500 ? 1 : 0x3c1) {
    const auto it = registers.find(addr);
    const int access = it == registers.end() ? 0 : it->second;
    CAPTURE(addr, access);
    std::uint32_t data = 1;
    if (const auto resp = h.Read(addr, &data); (access & kRo) != 0) {
      CHECK(resp == kOkay);
    } else {
      CHECK(resp == kSlvErr);
      CHECK(data == 0);
    }
    if ((access & kWo) == 0) CHECK(h.Write(addr, 0xffffffff) == kSlvErr);
    CHECK(h.Write(addr, 0x33333333, 0x7) == kSlvErr);
    CHECK(h.Write(addr, 0x33333333, 0x0) == kSlvErr);
  }
  CHECK(snapshot() == before);
  CHECK(h.sems == sems);
  CHECK(h.rng_state == states);
}

TEST_CASE("plain registers keep what is written under any back-pressure", "[csr][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const int stall = GENERATE(0, 30, 90);
  CAPTURE(seed, stall);
  Host h(seed);
  h.stall = stall;
  std::map<std::uint32_t, std::uint32_t> masks = {
      {isa::kCsrIrqEnable, 0x31f1f},      {isa::kCsrWatchdog, 0xffffffff},
      {isa::kCsrDramBaseLo, 0xffffffff},  {isa::kCsrDramBaseHi, 0xfff},
      {isa::kCsrDramLimitLo, 0xffffffff}, {isa::kCsrDramLimitHi, 0x1fff}};
  for (std::uint32_t q = 0; q < isa::kNumQueues; ++q) {
    const std::uint32_t b = isa::kCsrQueueBase + isa::kCsrQueueStride * q;
    masks[b + isa::kCsrQueueBaseLo] = 0xffffffc0;
    masks[b + isa::kCsrQueueBaseHi] = 0xfff;
    masks[b + isa::kCsrQueueSize] = 0xffff;
  }
  for (std::uint32_t s = 0; s < isa::kNumSems; ++s) masks[isa::kCsrSemSetBase + 4 * s] = 0xffff;
  for (std::uint32_t l = 0; l < kRows; ++l) {
    masks[isa::kCsrRngVectorBase + 4 * l] = masks[isa::kCsrRngScalarBase + 4 * l] = 0xffffffff;
  }
  std::map<std::uint32_t, std::uint32_t> model;
  CHECK(h.Get(isa::kCsrWatchdog) == isa::kCsrWatchdogReset);
  for (int n = 0; n < 600; ++n) {
    auto it = masks.begin();
    std::advance(it, h.rng() % masks.size());
    const auto [addr, mask] = *it;
    if (h.rng() % 2) {
      std::uint32_t v = h.rng();
      // Set-up registers refuse what does not fit; the others ignore bits they do not have.
      if (addr >= isa::kCsrQueueBase && addr < isa::kCsrCounterBase) v &= mask;
      if (v == 0) continue;
      CAPTURE(addr, v);
      REQUIRE(h.Write(addr, v) == kOkay);
      model[addr] = v & mask;
    } else if (model.count(addr)) {
      CAPTURE(addr);
      CHECK(h.Get(addr) == model[addr]);
    }
  }
  const std::uint64_t limit = (std::uint64_t{model[isa::kCsrDramLimitHi]} << 32);
  if ((limit >> 44) != 0) CHECK(h.dut->dram_limit_o == std::uint64_t{1} << 44);
}

TEST_CASE("set-up values that can't be are refused", "[csr][directed]") {
  Host h;
  const std::uint32_t b = isa::kCsrQueueBase + isa::kCsrQueueStride * 3;
  CHECK(h.Write(b + isa::kCsrQueueSize, 0) == kSlvErr);
  CHECK(h.Write(b + isa::kCsrQueueSize, 65537) == kSlvErr);
  CHECK(h.Write(b + isa::kCsrQueueBaseLo, 0x20) == kSlvErr);
  CHECK(h.Write(b + isa::kCsrQueueBaseHi, 0x1000) == kSlvErr);
  CHECK(h.Get(isa::kCsrRefused) == 8);
  CHECK(h.Write(b + isa::kCsrQueueSize, 65536) == kOkay);
  CHECK(h.Get(b + isa::kCsrQueueSize) == 65536);
}

TEST_CASE("SIZE hands HEAD modulo SIZE to the fetch", "[csr][random]") {
  Host h;
  int loads = 0;
  std::uint32_t slot = 0, queues = 0;
  h.dut.OnSample([&] {
    if (h.dut->slot_load_o == 0) return;
    queues = h.dut->slot_load_o;
    slot = h.dut->slot_o;
    ++loads;
  });
  for (int n = 0; n < 300; ++n) {
    const std::uint32_t head = h.rng() >> (h.rng() % 32);
    const std::uint32_t size = 1 + ((h.rng() % 65536) >> (h.rng() % 16));
    const int q = static_cast<int>(h.rng() % 5);
    h.dut->head_i[q] = head;
    REQUIRE(h.Write(isa::kCsrQueueBase + isa::kCsrQueueStride * q + isa::kCsrQueueSize, size) ==
            kOkay);
    CAPTURE(head, size);
    REQUIRE(loads == n + 1);
    REQUIRE(queues == 1u << q);
    REQUIRE(slot == head % size);
  }
}

TEST_CASE("counters count their events and are cleared together", "[csr][random]") {
  Host h;
  std::array<std::array<std::uint32_t, 6>, 5> expected{};
  std::uint32_t conflicts = 0;
  std::uint64_t cycles = 0;
  bool counting = false;
  h.dut.OnDrive([&] {
    h.dut->busy_i = counting ? h.rng() & 31 : 0;
    h.dut->wait_sem_i = counting ? h.rng() & 31 : 0;
    h.dut->wait_fetch_i = counting ? h.rng() & 31 : 0;
    h.dut->stall_i = counting ? h.rng() & 31 : 0;
    h.dut->retired_i = counting ? h.rng() & 31 : 0;
    h.dut->work_i = counting ? (std::uint64_t{h.rng()} << 8 | (h.rng() & 255)) & 0xffffffffff : 0;
    h.dut->conflicts_i = counting ? h.rng() % 11 : 0;
  });
  h.dut.OnSample([&] {
    for (int q = 0; q < 5; ++q) {
      expected[q][0] += h.dut->busy_i >> q & 1;
      expected[q][1] += h.dut->wait_sem_i >> q & 1;
      expected[q][2] += h.dut->wait_fetch_i >> q & 1;
      expected[q][3] += h.dut->stall_i >> q & 1;
      expected[q][4] += h.dut->work_i >> (8 * q) & 255;
      expected[q][5] += h.dut->retired_i >> q & 1;
    }
    conflicts += h.dut->conflicts_i;
    ++cycles;
  });
  REQUIRE(h.Write(isa::kCsrGlobalBase + isa::kCsrGlobalCounterClear, 1) == kOkay);
  const std::uint64_t start = cycles;
  counting = true;
  h.dut.Run(1000);
  counting = false;
  h.dut.Step();
  for (std::uint32_t q = 0; q < 5; ++q) {
    for (std::uint32_t c = 0; c < 6; ++c) {
      CAPTURE(q, c);
      CHECK(h.Get(isa::kCsrCounterBase + isa::kCsrCounterStride * q + 4 * c) == expected[q][c]);
    }
  }
  CHECK(h.Get(isa::kCsrGlobalBase + isa::kCsrGlobalSbufConflicts) == conflicts);
  const std::uint64_t now = h.Get(isa::kCsrGlobalBase + isa::kCsrGlobalCyclesLo);
  CHECK(now >= cycles - start - 4);
  CHECK(now <= cycles - start + 4);
  CHECK(h.Get(isa::kCsrGlobalBase + isa::kCsrGlobalCyclesHi) == 0);
  REQUIRE(h.Write(isa::kCsrGlobalBase + isa::kCsrGlobalCounterClear, 0) == kOkay);
  for (std::uint32_t q = 0; q < 5; ++q) {
    for (std::uint32_t c = 0; c < 6; ++c) {
      CHECK(h.Get(isa::kCsrCounterBase + isa::kCsrCounterStride * q + 4 * c) == 0);
    }
  }
}

TEST_CASE("an interrupt bit set in the cycle of its clear is not lost", "[csr][corner]") {
  Host h;
  REQUIRE(h.Write(isa::kCsrIrqEnable, 0x1) == kOkay);
  bool pulse = true;
  h.dut.OnDrive([&] {  // every cycle while set
    h.dut->irq_i = pulse ? 1 : 0;
    h.dut->stopped_i = pulse ? 4 : 0;
  });
  h.dut.Run(2);
  REQUIRE(h.Write(isa::kCsrIrqStatus, 0xffffffff) == kOkay);
  pulse = false;
  h.dut.Run(2);
  CHECK(h.Get(isa::kCsrIrqStatus) == 0x401);
  CHECK(h.dut->irq_o == 1);
  REQUIRE(h.Write(isa::kCsrIrqStatus, 0x1) == kOkay);
  h.dut.Run(2);
  CHECK(h.Get(isa::kCsrIrqStatus) == 0x400);
  CHECK(h.dut->irq_o == 0);
}

TEST_CASE("non-finite words add up to the top, the first instruction stays, a clear loses nothing",
          "[csr][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const int percent = GENERATE(2, 60);  // of cycles with an instruction that counted
  CAPTURE(seed, percent);
  Host h(seed);
  h.stall = 30;
  NonfiniteRegisters want;
  bool counting = true, expected_irq = false;
  std::uint32_t scale = 3;
  int pulses = 0, clears = 0, full = 0, clears_with_pulse = 0;
  h.dut.OnDrive([&] {
    h.dut->nonfinite_valid_i = counting && static_cast<int>(h.rng() % 100) < percent;
    h.dut->nonfinite_count_i = 1 + (h.rng() >> scale);
    h.dut->nonfinite_index_i = h.rng();
  });
  // A write takes effect in the cycle before its answer.
  bool answered = false, pulse = false;
  NonfiniteRegisters before;
  std::uint32_t before_index = 0, before_words = 0;
  bool clearing = false;
  h.dut.OnSample([&] {
    if (h.dut->b_valid_o && !answered && clearing) {
      // The clear happened in the last cycle: before what came in it.
      want = {};
      if (pulse) want.Add(before_index, before_words);
      clears_with_pulse += pulse;
      ++clears;
    }
    answered = h.dut->b_valid_o;
    pulse = h.dut->nonfinite_valid_i;
    before_index = h.dut->nonfinite_index_i;
    before_words = h.dut->nonfinite_count_i;
    if (pulse) {
      want.Add(before_index, before_words);
      expected_irq = true;
      ++pulses;
    }
  });
  for (int round = 0; round < 400; ++round) {
    scale = round % 8 == 0 ? 1 : 12 + h.rng() % 20;
    counting = true;
    h.dut.Run(h.rng() % 40);
    if (h.rng() % 2) {
      clearing = true;
      REQUIRE(h.Write(isa::kCsrNonfiniteCount, h.rng()) == kOkay);
      clearing = false;
    }
    counting = false;
    h.dut.Step();
    REQUIRE(h.Get(isa::kCsrNonfiniteCount) == want.count);
    REQUIRE(h.Get(isa::kCsrNonfiniteIndex) == want.index);
    REQUIRE(h.Get(isa::kCsrNonfiniteFirst) == want.first);
    REQUIRE((h.Get(isa::kCsrIrqStatus) == (1u << 17)) == expected_irq);
    full += want.count == 0xffffffff;
    if (expected_irq) {
      REQUIRE(h.Write(isa::kCsrIrqStatus, 1u << 17) == kOkay);
      expected_irq = false;
    }
  }
  CHECK(clears > 100);
  CHECK(pulses > 50);
  if (percent > 50) {
    CHECK(full > 3);
    CHECK(clears_with_pulse > 30);
  }
}

TEST_CASE("a lane's rounder state is refused while its engine is busy", "[csr][directed]") {
  Host h;
  h.dut->busy_i = 1u << static_cast<int>(isa::Queue::kVector);
  const auto before = h.rng_state;
  CHECK(h.Write(isa::kCsrRngVectorBase + 4, 7) == kSlvErr);
  CHECK(h.rng_state == before);
  CHECK(h.Write(isa::kCsrRngScalarBase + 4, 7) == kOkay);
  h.dut.Run(3);
  CHECK(h.rng_state[1][1] == 7);
  CHECK(h.Get(isa::kCsrRngVectorBase + 4) == before[0][1]);
  CHECK(h.Get(isa::kCsrRngScalarBase + 4) == 7);
}

TEST_CASE("reads and writes in flight together keep their own answers", "[csr][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  Host h(seed);
  // Streams on all channels at once, each with its own stalls.
  std::map<std::uint32_t, std::uint32_t> model;
  int writes = 0, reads = 0;
  bool aw_up = false, w_up = false, ar_up = false;
  int aw_sent = 0, w_sent = 0;
  std::vector<std::uint32_t> aw, w;
  std::uint32_t ar_addr = 0;
  bool ar_out = false;
  while (writes < 400 || reads < 400) {
    REQUIRE(h.dut.cycle() < 40000);
    const auto coin = [&] { return h.rng() % 2 == 0; };
    if (!aw_up && aw_sent < 400 && coin()) {
      aw.push_back(isa::kCsrRngVectorBase + 4 * (h.rng() % kRows));
      h.dut->aw_addr_i = aw.back();
      aw_up = true;
    }
    if (!w_up && w_sent < 400 && coin()) {
      w.push_back(h.rng());
      h.dut->w_data_i = w.back();
      h.dut->w_strb_i = 0xf;
      w_up = true;
    }
    if (!ar_up && !ar_out && coin()) {
      ar_addr = isa::kCsrRngScalarBase + 4 * (h.rng() % kRows);
      h.dut->ar_addr_i = ar_addr;
      ar_up = true;
    }
    h.dut->aw_valid_i = aw_up;
    h.dut->w_valid_i = w_up;
    h.dut->ar_valid_i = ar_up;
    h.dut->b_ready_i = coin();
    h.dut->r_ready_i = coin();
    h.dut->eval();
    if (aw_up && h.dut->aw_ready_o) aw_up = false, ++aw_sent;
    if (w_up && h.dut->w_ready_o) w_up = false, ++w_sent;
    if (ar_up && h.dut->ar_ready_o) ar_up = false, ar_out = true;
    if (h.dut->b_valid_o && h.dut->b_ready_i) {
      CHECK(h.dut->b_resp_o == kOkay);
      model[aw[writes]] = w[writes];
      ++writes;
    }
    if (h.dut->r_valid_o && h.dut->r_ready_i) {
      CHECK(h.dut->r_resp_o == kOkay);
      CHECK(h.dut->r_data_o == h.rng_state[1][(ar_addr >> 2) & 127]);
      ar_out = false;
      ++reads;
    }
    h.dut.Step();
  }
  h.dut->aw_valid_i = h.dut->w_valid_i = h.dut->ar_valid_i = 0;
  h.dut.Run(5);
  for (const auto& [addr, v] : model) CHECK(h.rng_state[0][(addr >> 2) & 127] == v);
}

}  // namespace dither
