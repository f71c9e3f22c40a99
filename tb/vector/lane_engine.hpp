// Test bench of the vector and the scalar engine: C++ memories behind the word ports, with random
// grants, and the reference that executes an instruction element by element with sim/model.
#pragma once

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/function_table.hpp"
#include "sim/model/lfsr.hpp"
#include "tb/support/clocked.hpp"

namespace dither::tb {

using isa::EngineInstr;

// The RTL's parameter of the same name: the Makefile builds the vector engine with both.
#ifdef DITHER_PLAIN_LFSR
inline constexpr bool kWhiten = false;
#else
inline constexpr bool kWhiten = true;
#endif

inline std::uint32_t SbufBytesOf(std::uint32_t rows) {
  for (const auto& config : isa::kConfigs) {
    if (config.rows == rows) return config.sbuf_bytes;
  }
  return 0;
}

// The memories and rounder states that an engine sees.
struct LaneMemory {
  std::vector<std::vector<std::uint8_t>> space[2];  // [Space][partition][byte]
  std::vector<std::uint32_t> rng;                   // [lane]
  model::FunctionMemory functions;                  // of the scalar engine

  explicit LaneMemory(std::uint32_t rows, std::uint32_t first_lane) {
    space[0].assign(rows, std::vector<std::uint8_t>(SbufBytesOf(rows)));
    space[1].assign(rows, std::vector<std::uint8_t>(isa::kPsumBytes));
    for (std::uint32_t l = 0; l < rows; ++l) rng.push_back(LaneSeed(1, first_lane + l, 2 * rows));
  }
  std::uint32_t Load(int s, std::uint32_t part, std::int64_t addr, Dtype dtype) const {
    std::uint32_t bits = 0;
    std::memcpy(&bits, space[s].at(part).data() + addr, DtypeBytes(dtype));
    return bits;
  }
  void Store(int s, std::uint32_t part, std::int64_t addr, Dtype dtype, std::uint32_t bits) {
    std::memcpy(space[s].at(part).data() + addr, &bits, DtypeBytes(dtype));
  }
  // Empty if equal, else the first difference.
  std::string Difference(const LaneMemory& other) const {
    for (int s = 0; s < 2; ++s) {
      for (std::size_t p = 0; p < space[s].size(); ++p) {
        const auto& a = space[s][p];
        const auto& b = other.space[s][p];
        const auto at = std::mismatch(a.begin(), a.end(), b.begin());
        if (at.first == a.end()) continue;
        return (s != 0 ? "psum" : "sbuf") + std::string(" partition ") + std::to_string(p) +
               " byte " + std::to_string(at.first - a.begin()) + ": " +
               std::to_string(*at.first) + " for " + std::to_string(*at.second);
      }
    }
    for (std::size_t l = 0; l < rng.size(); ++l) {
      if (rng[l] != other.rng[l]) return "rounder state of lane " + std::to_string(l);
    }
    return "";
  }
};

// func(a, b) of `tensor`.
inline std::uint32_t Function(std::uint8_t func, std::uint32_t a, std::uint32_t b) {
  const auto order = Fp32Compare(a, b);
  const auto truth = [](bool yes) { return yes ? kFp32One : 0u; };
  const auto is = [order](Fp32Order o) { return order == o; };
  switch (static_cast<isa::VecFunc>(func)) {
    case isa::VecFunc::kCopy: return a;
    case isa::VecFunc::kAdd: return Fp32Add(a, b);
    case isa::VecFunc::kSub: return Fp32Sub(a, b);
    case isa::VecFunc::kMul: return Fp32Mul(a, b);
    case isa::VecFunc::kMax: return Fp32Max(a, b);
    case isa::VecFunc::kMin: return Fp32Min(a, b);
    case isa::VecFunc::kAbs: return Fp32Abs(a);
    case isa::VecFunc::kAbsMax: return Fp32Max(Fp32Abs(a), Fp32Abs(b));
    case isa::VecFunc::kEq: return truth(is(Fp32Order::kEqual));
    case isa::VecFunc::kNe: return truth(!is(Fp32Order::kEqual));
    case isa::VecFunc::kLt: return truth(is(Fp32Order::kLess));
    case isa::VecFunc::kLe: return truth(is(Fp32Order::kLess) || is(Fp32Order::kEqual));
    case isa::VecFunc::kGt: return truth(is(Fp32Order::kGreater));
    case isa::VecFunc::kGe: return truth(is(Fp32Order::kGreater) || is(Fp32Order::kEqual));
    case isa::VecFunc::kSelect: return (a & 0x7fffffff) != 0 ? b : 0;
    case isa::VecFunc::kAnd: return a & b;
    case isa::VecFunc::kOr: return a | b;
    case isa::VecFunc::kXor: return a ^ b;
    case isa::VecFunc::kShl: return a << (b % 32);
    case isa::VecFunc::kShr: return a >> (b % 32);
    case isa::VecFunc::kAsr: return a >> (b % 32) | ((a >> 31) != 0 ? ~(~0u >> (b % 32)) : 0);
  }
  return 0;
}

// Whether the vector engine takes the elements two at a time (docs/blocks/vector_engine.md, Pairs):
// by the addresses of all its elements, where the hardware looks at offsets and strides.
inline bool InPairs(const EngineInstr& i) {
  const bool fused = i.func == 3 && (i.func_1 == 1 || i.func_1 == 2);
  if (static_cast<isa::Op>(i.opcode) != isa::Op::kTensor || (i.func_1 != 0 && !fused) || i.gen_0 != 0) return false;
  const auto paired = [&](std::uint8_t dtype, std::uint32_t off, const std::array<std::int16_t, 4>& str,
                          bool may_stand) {
    if (may_stand && str[0] == 0) return true;
    const std::int64_t bytes = DtypeBytes(static_cast<Dtype>(dtype));
    if (bytes > 2 || str[0] != 1) return false;
    for (int a = 0; a < i.size[3]; ++a)
      for (int b = 0; b < i.size[2]; ++b)
        for (int c = 0; c < i.size[1]; ++c) {
          if ((off + bytes * (c * str[1] + b * str[2] + a * str[3])) % (2 * bytes) != 0) return false;
        }
    return true;
  };
  const std::uint8_t last = i.func_1 != 0 ? i.func_1 : i.func;
  const bool reads_1 = !OneOperand(last) && !i.src1_imm;
  return paired(i.dtype_d, i.off_d, i.str_d, false) && paired(i.dtype_0, i.off_0, i.str_0, true) &&
         (!reads_1 || paired(i.dtype_1, i.off_1, i.str_1, true));
}

// Moves between partitions. Sources and destination don't overlap here, so the order doesn't matter.
inline void ExecuteShuffle(const EngineInstr& i, LaneMemory& m) {
  const auto dtype = static_cast<Dtype>(i.dtype_d);
  const std::int64_t bytes = DtypeBytes(dtype);
  const auto rows = static_cast<std::uint32_t>(m.rng.size());
  for (std::uint32_t p = 0; p < i.parts; ++p)
    for (int a = 0; a < i.size[3]; ++a)
      for (int b = 0; b < i.size[2]; ++b)
        for (int c = 0; c < i.size[1]; ++c)
          for (int d = 0; d < i.size[0]; ++d) {
            std::uint32_t part = i.part_0;
            int column = d;
            if (i.func == static_cast<std::uint8_t>(isa::ShuffleFunc::kIndex)) {
              part = m.Load(0, i.part_d + p, i.imm0, Dtype::kInt32) % rows;
            } else if (i.func == static_cast<std::uint8_t>(isa::ShuffleFunc::kTranspose)) {
              part = i.part_0 + static_cast<std::uint32_t>(d);
              column = static_cast<int>(p);
            }
            const auto at = [&](std::uint32_t off, const auto& str, int x) {
              return off + bytes * (x * str[0] + c * str[1] + b * str[2] + a * str[3]);
            };
            m.Store(i.space_d, i.part_d + p, at(i.off_d, i.str_d, d), dtype,
                    m.Load(i.space_0, part, at(i.off_0, i.str_0, column), dtype));
          }
}

// Executes one instruction as architecture.md words it: element after element, lane after lane.
inline void Execute(const EngineInstr& i, LaneMemory& m) {
  if (static_cast<isa::Op>(i.opcode) == isa::Op::kShuffle) return ExecuteShuffle(i, m);
  const auto op = static_cast<isa::Op>(i.opcode);
  const auto dtype_d = static_cast<Dtype>(i.dtype_d), dtype_0 = static_cast<Dtype>(i.dtype_0),
             dtype_1 = static_cast<Dtype>(i.dtype_1);
  const auto round = static_cast<Round>(i.round);
  for (std::uint32_t lane = i.part_d; lane < std::uint32_t{i.part_d} + i.parts; ++lane) {
    SumAccumulator sum;
    ExtremeAccumulator maximum(true), minimum(false);
    ArgMaxAccumulator arg;
    StatsAccumulator stats;
    std::array<std::uint32_t, 4> n{};
    for (n[3] = 0; n[3] < i.size[3]; ++n[3])
      for (n[2] = 0; n[2] < i.size[2]; ++n[2])
        for (n[1] = 0; n[1] < i.size[1]; ++n[1])
          for (n[0] = 0; n[0] < i.size[0]; ++n[0]) {
            const auto address = [&](std::uint32_t off, const std::array<std::int16_t, 4>& str,
                                     Dtype dtype) {
              std::int64_t at = 0;
              for (int k = 0; k < 4; ++k) at += static_cast<std::int64_t>(n[k]) * str[k];
              return static_cast<std::int64_t>(off) + at * DtypeBytes(dtype);
            };
            const bool words = op == isa::Op::kTensor && OnWords(i.func);
            const auto narrow = [&](std::int64_t at, std::uint32_t value) {
              const std::uint32_t word = RandomWord(m.rng[lane], kWhiten);
              m.Store(i.space_d, lane, at, dtype_d, NarrowFromFp32(dtype_d, value, round, i.sat != 0, word));
              if (round == Round::kSr && ConsumesRandom(dtype_d)) m.rng[lane] = Leap(m.rng[lane]);
            };
            const auto source_0 = [&] {
              std::uint32_t counted = 0;
              switch (static_cast<isa::Source>(i.gen_0)) {
                case isa::Source::kMemory: break;
                case isa::Source::kIota: {
                  std::int64_t v = i.off_0 + std::int64_t{i.str_0[3]} * lane;
                  for (int k = 0; k < 3; ++k) v += static_cast<std::int64_t>(n[k]) * i.str_0[k];
                  v &= 0xffffff;
                  counted = static_cast<std::uint32_t>(v >= 0x800000 ? v - 0x1000000 : v);
                  return words ? counted : WidenToFp32(Dtype::kInt32, counted);
                }
                case isa::Source::kRandom:
                  counted = RandomWord(m.rng[lane], kWhiten);
                  m.rng[lane] = Leap(m.rng[lane]);
                  return words ? counted : WidenToFp32(Dtype::kInt32, counted);
              }
              if (words) return m.Load(i.space_0, lane, address(i.off_0, i.str_0, dtype_0), dtype_0);
              return WidenToFp32(
                  dtype_0, m.Load(i.space_0, lane, address(i.off_0, i.str_0, dtype_0), dtype_0));
            };
            const auto source_1 = [&] {
              if (words) return m.Load(i.space_1, lane, address(i.off_1, i.str_1, dtype_1), dtype_1);
              return WidenToFp32(
                  dtype_1, m.Load(i.space_1, lane, address(i.off_1, i.str_1, dtype_1), dtype_1));
            };
            std::uint32_t value = 0;
            if (op == isa::Op::kAct) {
              value = Fp32Fma(source_0(), i.imm0, i.src1_imm ? isa::Imm1(i) : source_1());
              const auto how = static_cast<isa::ActSum>(i.sum);
              if (static_cast<isa::ActFunc>(i.func) == isa::ActFunc::kRelu) {
                value = Fp32Relu(value);
              } else if (i.func >= model::kFirstTableFunc) {
                const bool to_odd =
                    how == isa::ActSum::kNone && model::RoundsToOdd(dtype_d, round);
                value = m.functions.Apply(m.functions.Header(i.func), value, to_odd);
              }
              if (how != isa::ActSum::kNone) {
                bool first = true, last = true;
                for (int k = 0; k <= i.rdims; ++k) {
                  first = first && n[k] == 0;
                  last = last && n[k] == i.size[k] - 1u;
                }
                if (first) sum = {};
                sum.Add(value);
                if (how == isa::ActSum::kTotal && !last) continue;
                value = sum.Finish();
              }
            } else if (op == isa::Op::kTensor) {
              const std::uint32_t scalar =
                  i.scalar_ptr ? m.Load(0, lane, i.imm0, Dtype::kFp32) : i.imm0;
              const std::uint8_t last = i.func_1 != 0 ? i.func_1 : i.func;
              const bool one = last == 0 || last == static_cast<std::uint8_t>(isa::VecFunc::kAbs);
              const std::uint32_t a = source_0();
              const std::uint32_t b = one              ? 0
                                      : !i.src1_imm    ? source_1()
                                      : i.func_1 != 0  ? isa::Imm1(i)
                                                       : scalar;
              const auto step = [](std::uint8_t func, bool swap, std::uint32_t x, std::uint32_t y) {
                return swap ? Function(func, y, x) : Function(func, x, y);
              };
              if (i.func_1 == 0) {
                value = step(i.func, i.rev, a, b);
              } else if (i.func == 3 && i.func_1 == 1) {  // mul, add: one rounding
                value = Fp32Fma(a, scalar, b);
              } else if (i.func == 3 && i.func_1 == 2) {
                value = i.rev_1 ? Fp32Fma(a, scalar ^ kFp32Sign, b) : Fp32Fma(a, scalar, b ^ kFp32Sign);
              } else {
                value = step(i.func_1, i.rev_1, step(i.func, i.rev, a, scalar), b);
              }
            } else {
              bool first = true, last = true;
              for (int k = 0; k <= i.rdims; ++k) {
                first = first && n[k] == 0;
                last = last && n[k] == i.size[k] - 1u;
              }
              if (first) {
                sum = {};
                maximum = ExtremeAccumulator(true);
                minimum = ExtremeAccumulator(false);
                arg = {};
                stats = {};
              }
              const std::uint32_t x = source_0();
              sum.Add(x);
              maximum.Add(x);
              minimum.Add(x);
              if (op == isa::Op::kReduce && i.func == 3) arg.Add(x);
              if (op == isa::Op::kStats) stats.Add(x);
              if (!last && op != isa::Op::kScan) continue;
              if (op == isa::Op::kStats) {
                auto str = i.str_d;
                str[0] = 0;
                const std::int64_t at = address(i.off_d, str, dtype_d);
                narrow(at, stats.Mean(i.imm0));
                narrow(at + i.str_d[0] * static_cast<std::int64_t>(DtypeBytes(dtype_d)),
                       stats.Variance(i.imm0));
                continue;
              }
              switch (static_cast<isa::RedFunc>(i.func)) {
                case isa::RedFunc::kSum: value = sum.Finish(); break;
                case isa::RedFunc::kMax: value = maximum.Finish(); break;
                case isa::RedFunc::kMin: value = minimum.Finish(); break;
                case isa::RedFunc::kArgMax: value = arg.Finish(); break;
              }
            }
            const std::int64_t at = address(i.off_d, i.str_d, dtype_d);
            if (words || (op == isa::Op::kReduce && i.func == 3)) {
              m.Store(i.space_d, lane, at, dtype_d, value);
            } else {
              narrow(at, value);
            }
          }
  }
}

// The engine in its bench. Grants come by chance, read data is garbage but in the cycle after.
template <typename Dut>
class LaneEngine {
 public:
  static constexpr bool kHasPsum1 = requires(Dut& d) { d.psum_1_req_o; };
  static constexpr std::uint32_t kRows = sizeof(std::declval<Dut&>().sbuf_0_data_i) / 8;

  LaneEngine(std::uint64_t seed, int stall, std::uint32_t first_lane)
      : dut(seed), memory(kRows, first_lane), rng_(static_cast<unsigned>(seed)), stall_(stall) {
    dut->instr_valid_i = 0;
    dut->rng_we_i = 0;
    dut.Reset();
    dut.OnDrive([this] { Drive(); });
    dut.OnSample([this] { Sample(); });
  }

  // Runs the instructions in order, back to back; returns the cycles from the first offer to the
  // cycle of the last done, both included.
  std::uint64_t Run(const std::vector<EngineInstr>& program) {
    queue_.assign(program.begin(), program.end());
    done_ = accepted_ = 0;
    std::uint64_t elements = 0;
    for (const auto& i : program) {
      const bool load = i.opcode == static_cast<std::uint8_t>(isa::Op::kLoad);
      elements += std::uint64_t{i.size[0]} * i.size[1] * i.size[2] * i.size[3] * (load ? i.parts : 1);
    }
    const std::uint64_t start = dut.cycle();
    while (done_ < program.size()) {
      dut.Step();
      const bool in_time = dut.cycle() - start < 200 * elements + 200 * program.size() + 1000;
      if (!in_time) REQUIRE(in_time);
    }
    return dut.cycle() - start;
  }
  std::uint32_t ReadRng(std::uint32_t lane) {
    dut->rng_lane_i = static_cast<std::uint8_t>(lane);
    dut->eval();
    return dut->rng_rdata_o;
  }
  void WriteRng(std::uint32_t lane, std::uint32_t value) {
    dut->rng_lane_i = static_cast<std::uint8_t>(lane);
    dut->rng_wdata_i = value;
    dut->rng_we_i = 1;
    dut.Step();
    dut->rng_we_i = 0;
  }
  void TakeRng() {
    for (std::uint32_t l = 0; l < kRows; ++l) memory.rng[l] = ReadRng(l);
  }

  Clocked<Dut> dut;
  LaneMemory memory;
  std::uint64_t work = 0, stalls = 0, reads = 0, writes = 0;
  std::uint64_t pairs = 0;  // cycles that wrote two elements
  struct Error {
    int cause;
    std::uint64_t addr;
  };
  std::vector<Error> errors;  // that the engine ended instructions with
  bool one_port_banks = false;  // grants as of SBUF: one access a bank, source 0 first

 private:
  struct ReadPort {
    bool granted = false;
    std::vector<std::uint32_t> data;
  };
  bool Percent(int p) { return static_cast<int>(rng_() % 100) < p; }

  template <typename Data>
  void DriveRead(const ReadPort& port, Data& data) {
    for (std::size_t w = 0; w < sizeof(data) / 4; ++w) {
      data[w] = port.granted ? port.data[w] : static_cast<std::uint32_t>(rng_());
    }
  }
  void Drive() {
    dut->sbuf_0_gnt_i = !Percent(stall_);
    dut->sbuf_1_gnt_i = !Percent(stall_);
    dut->sbuf_w_gnt_i = !Percent(stall_);
    dut->psum_0_gnt_i = !Percent(stall_);
    dut->psum_w_gnt_i = !Percent(stall_);
    if (one_port_banks) {
      // Requests come from registers, so they are settled before this cycle's inputs.
      const int bank_0 = dut->sbuf_0_req_o ? dut->sbuf_0_addr_o % 8 : -1;
      const int bank_1 = dut->sbuf_1_req_o ? dut->sbuf_1_addr_o % 8 : -2;
      const int bank_w = dut->sbuf_w_req_o ? dut->sbuf_w_addr_o % 8 : -3;
      dut->sbuf_1_gnt_i = bank_1 != bank_0;
      dut->sbuf_w_gnt_i = bank_w != bank_0 && bank_w != bank_1;
    }
    DriveRead(ports_[0], dut->sbuf_0_data_i);
    DriveRead(ports_[1], dut->sbuf_1_data_i);
    DriveRead(ports_[2], dut->psum_0_data_i);
    if constexpr (kHasPsum1) {
      dut->psum_1_gnt_i = !Percent(stall_);
      DriveRead(ports_[3], dut->psum_1_data_i);
    }
    if (offered_) return;  // an offer stands until it is accepted
    if (!queue_.empty() && (stall_ == 0 || Percent(50))) {
      const isa::Encoded e = isa::Encode(queue_.front());
      for (int w = 0; w < 16; ++w) std::memcpy(&dut->instr_i[w], e.data() + 4 * w, 4);
      queue_.pop_front();
      offered_ = true;
    } else {
      for (int w = 0; w < 16; ++w) dut->instr_i[w] = static_cast<std::uint32_t>(rng_());
    }
    dut->instr_valid_i = offered_;
  }

  // A read sees the memory as it was before this cycle's write.
  bool SampleRead(ReadPort& port, int space, bool req, bool gnt, std::uint32_t addr) {
    port.granted = req && gnt;
    if (port.granted) {
      const std::uint32_t words = space != 0 ? 1 : 2;  // of 32 bits
      ++reads;
      Check((addr + 1) * words * 4 <= memory.space[space][0].size(), "a read inside the memory");
      port.data.resize(kRows * words);
      for (std::uint32_t p = 0; p < kRows; ++p) {
        std::memcpy(&port.data[p * words], &memory.space[space][p][addr * words * 4], words * 4);
      }
    }
    return req && !gnt;
  }
  void Sample() {
    bool lost = SampleRead(ports_[0], 0, dut->sbuf_0_req_o, dut->sbuf_0_gnt_i, dut->sbuf_0_addr_o);
    lost |= SampleRead(ports_[1], 0, dut->sbuf_1_req_o, dut->sbuf_1_gnt_i, dut->sbuf_1_addr_o);
    lost |= SampleRead(ports_[2], 1, dut->psum_0_req_o, dut->psum_0_gnt_i, dut->psum_0_addr_o);
    if constexpr (kHasPsum1) {
      lost |= SampleRead(ports_[3], 1, dut->psum_1_req_o, dut->psum_1_gnt_i, dut->psum_1_addr_o);
    }
    lost |= (dut->sbuf_w_req_o && !dut->sbuf_w_gnt_i) || (dut->psum_w_req_o && !dut->psum_w_gnt_i);
    Check(static_cast<bool>(dut->stall_o) == lost, "stall_o tells a lost arbitration");
    stalls += lost;
    work += dut->work_o;
    pairs += dut->work_o == 2;

    if (dut->sbuf_w_req_o && dut->sbuf_w_gnt_i) {
      ++writes;
      Check(dut->sbuf_w_addr_o < memory.space[0][0].size() / 8, "a write inside SBUF");
      Check(dut->sbuf_w_bytes_o != 0, "a write of at least one byte");
      for (std::uint32_t p = 0; p < kRows; ++p) {
        if (((dut->sbuf_w_lanes_o >> p) & 1) == 0) continue;
        for (std::uint32_t b = 0; b < 8; ++b) {
          if (((dut->sbuf_w_bytes_o >> b) & 1) == 0) continue;
          memory.space[0][p][dut->sbuf_w_addr_o * 8 + b] =
              static_cast<std::uint8_t>(dut->sbuf_w_data_o[p * 2 + b / 4] >> (8 * (b % 4)));
        }
      }
    }
    if (dut->psum_w_req_o && dut->psum_w_gnt_i) {
      ++writes;
      for (std::uint32_t p = 0; p < kRows; ++p) {
        if (((dut->psum_w_lanes_o >> p) & 1) == 0) continue;
        memory.Store(1, p, dut->psum_w_addr_o * 4, Dtype::kFp32, dut->psum_w_data_o[p]);
      }
    }

    Check(!dut->done_o || dut->busy_o, "done_o while an instruction is inside");
    if (dut->done_o) ++done_;
    if constexpr (requires(Dut& d) { d.err_o; }) {
      if (dut->err_o) {
        Check(dut->busy_o && !dut->done_o && !dut->instr_ready_o, "err_o alone, nothing taken beside it");
        errors.push_back({dut->err_cause_o, dut->err_addr_o});
        ++done_;
      }
    }
    if (dut->instr_valid_i && dut->instr_ready_o) {
      offered_ = false;
      ++accepted_;
      Check(accepted_ - done_ == 1, "one instruction at a time");
    }
  }
  void Check(bool ok, const char* what) {
    if (ok) return;
    FAIL(what);
  }

  std::mt19937 rng_;
  int stall_;
  std::deque<EngineInstr> queue_;
  std::array<ReadPort, 4> ports_;
  std::size_t done_ = 0, accepted_ = 0;
  bool offered_ = false;  // an instruction stands at the port
};

// Random operands. Sources and destination lie in areas of their own, so that the order of the
// engine's accesses can't show.
class OperandMaker {
 public:
  OperandMaker(std::mt19937& rng, std::uint32_t rows) : rng_(rng), rows_(rows) {}

  // Operands that go in pairs, or with `misses` some that just don't.
  bool pairs = false, misses = false;
  Dtype ShortDtype() {
    constexpr Dtype kShort[] = {Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8};
    return kShort[Below(5)];
  }

  std::uint32_t Below(std::uint32_t n) { return static_cast<std::uint32_t>(rng_() % n); }
  std::uint32_t Word() { return static_cast<std::uint32_t>(rng_()); }
  Dtype AnyDtype(int space) {
    constexpr Dtype kAll[] = {Dtype::kFp32,     Dtype::kInt32,    Dtype::kBf16, Dtype::kFp16,
                              Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8};
    return kAll[Below(space != 0 ? 2 : 7)];
  }
  std::uint32_t AnyFp32() {
    switch (Below(8)) {
      case 0: return static_cast<std::uint32_t>(rng_());
      case 1: {
        constexpr std::uint32_t kCorners[] = {0, 0x80000000, kFp32Inf, 0xff800000, 0x7fc00001,
                                              0xffa00000, 1, 0x807fffff, 0x00800000,
                                              kFp32MaxFinite};
        return kCorners[Below(10)];
      }
      default:  // ordinary: 2^-6 .. 2^8
        return (static_cast<std::uint32_t>(rng_()) & 0x807fffff) | ((121 + Below(14)) << 23);
    }
  }
  // A size that is often 1, else a small or a prime number.
  std::uint16_t AnySize() {
    constexpr std::uint16_t kSizes[] = {1, 1, 1, 2, 3, 4, 5, 7, 8, 13};
    return kSizes[Below(10)];
  }

  // Fills strides and offset of an operand inside area (0..2) of its memory; strides from..still-1
  // are 0.
  void Place(EngineInstr& i, std::uint32_t space_bytes, std::uint32_t area, Dtype dtype,
             std::uint32_t& off, std::array<std::int16_t, 4>& str, int still, int from = 0) {
    const std::int64_t esize = DtypeBytes(dtype);
    const std::int64_t length = space_bytes / 3 / 8 * 8, base = area * length;
    for (;;) {
      const bool packed = Below(2) == 0;
      std::int64_t row = 1;
      for (int k = 0; k < 4; ++k) {
        constexpr std::int16_t kStrides[] = {0, 1, 1, -1, 2, 3, -5, 8, 11, -16};
        str[k] = packed ? static_cast<std::int16_t>(row)
                        : Below(3) != 0 ? kStrides[Below(10)]
                                        : static_cast<std::int16_t>(Below(400)) - 200;
        if (k < still && k >= from) str[k] = 0;
        else row *= i.size[k];
      }
      const std::uint32_t miss = misses ? Below(6) : 3;  // what may be wrong
      if (pairs) {
        str[0] = miss == 0 ? 0 : 1;
        for (int k = 1; k < 4; ++k) str[k] = static_cast<std::int16_t>(str[k] + (miss != 1 ? str[k] % 2 : 0));
      }
      std::int64_t low = 0, high = esize;
      for (int k = 0; k < 4; ++k) {
        const std::int64_t reach = esize * str[k] * (i.size[k] - 1);
        (reach < 0 ? low : high) += reach;
      }
      if (high - low > length) continue;
      const auto slack = static_cast<std::uint32_t>((length - (high - low)) / esize);
      off = static_cast<std::uint32_t>((base + esize - 1) / esize * esize - low);
      if (slack > 1) off += static_cast<std::uint32_t>(esize) * Below(slack);
      if (pairs && miss != 2 && off % (2 * esize) != 0) {
        if (slack <= 1) continue;
        off = off >= base - low + esize ? off - static_cast<std::uint32_t>(esize) : off + static_cast<std::uint32_t>(esize);
      }
      return;
    }
  }
  void Partitions(EngineInstr& i) {
    const std::uint32_t first = Below(3) == 0 ? Below(rows_) : 0;
    const std::uint32_t count = Below(3) == 0 ? 1 + Below(rows_ - first) : rows_ - first;
    i.part_0 = i.part_1 = i.part_d = static_cast<std::uint8_t>(first);
    i.parts = i.parts_d = static_cast<std::uint8_t>(count);
  }
  // Writes ordinary values of the dtype, some special ones, over every element of the operand.
  void Fill(LaneMemory& m, const EngineInstr& i, int space, std::uint32_t off,
            const std::array<std::int16_t, 4>& str, Dtype dtype, bool bits = false) {
    for (std::uint32_t p = 0; p < rows_; ++p)
      for (int a = 0; a < i.size[3]; ++a)
        for (int b = 0; b < i.size[2]; ++b)
          for (int c = 0; c < i.size[1]; ++c)
            for (int d = 0; d < i.size[0]; ++d) {
              const std::int64_t at =
                  off + static_cast<std::int64_t>(DtypeBytes(dtype)) *
                            (d * str[0] + c * str[1] + b * str[2] + a * str[3]);
              m.Store(space, p, at, dtype,
                      bits ? static_cast<std::uint32_t>(rng_())
                           : NarrowFromFp32(dtype, AnyFp32(), Round::kRne, Below(2) != 0, 0));
            }
  }

 private:
  std::mt19937& rng_;
  std::uint32_t rows_;
};

// The parts of an instruction that all opcodes share, with the memory of its sources filled. Only the
// last 16 bytes of SBUF are nobody's. still: innermost dimensions in which the destination stands
// still; finish may set more fields before operands are placed.
template <typename Finish = void (*)(EngineInstr&)>
inline EngineInstr AnyInstruction(OperandMaker& make, LaneMemory& m, isa::Op op, bool psum_1,
                                  int still, Finish&& finish = [](EngineInstr&) {}) {
  EngineInstr i;
  i.opcode = static_cast<std::uint8_t>(op);
  const auto bytes = [&](int space) {
    return static_cast<std::uint32_t>(m.space[space][0].size());
  };
  do {
    for (auto& size : i.size) size = make.AnySize();
    if (make.Below(make.pairs ? 2 : 4) == 0) i.size[0] = static_cast<std::uint16_t>(1 + make.Below(67));
  } while (i.size[0] * i.size[1] * i.size[2] * i.size[3] > 600);
  i.space_d = make.Below(3) == 0;
  i.space_0 = make.Below(3) == 0;
  i.space_1 = psum_1 && make.Below(3) == 0;
  i.dtype_d = static_cast<std::uint8_t>(make.AnyDtype(i.space_d));
  i.dtype_0 = static_cast<std::uint8_t>(make.AnyDtype(i.space_0));
  i.dtype_1 = static_cast<std::uint8_t>(make.AnyDtype(i.space_1));
  i.round = static_cast<std::uint8_t>(make.Below(3));
  i.sat = static_cast<std::uint8_t>(make.Below(2));
  i.imm0 = make.AnyFp32();
  i.src1_imm = make.Below(3) == 0;
  make.Partitions(i);
  finish(i);
  const auto d = static_cast<Dtype>(i.dtype_d), s0 = static_cast<Dtype>(i.dtype_0),
             s1 = static_cast<Dtype>(i.dtype_1);
  const std::uint32_t area = make.Below(3);
  // Statistics have two results a group.
  const bool stats = op == isa::Op::kStats;
  EngineInstr results = i;
  if (stats) results.size[0] = 2;
  make.Place(results, bytes(i.space_d), area, d, i.off_d, i.str_d, still, stats ? 1 : 0);
  make.Place(i, bytes(i.space_0), (area + 1) % 3, s0, i.off_0, i.str_0, 0);
  make.Place(i, bytes(i.space_1), (area + 2) % 3, s1, i.off_1, i.str_1, 0);
  const bool bits = op == isa::Op::kShuffle || (op == isa::Op::kTensor && OnWords(i.func));
  make.Fill(m, i, i.space_0, i.off_0, i.str_0, s0, bits);
  make.Fill(m, i, i.space_1, i.off_1, i.str_1, s1, bits);
  return i;
}

// A packed one-dimensional instruction on all partitions: the common case, for timing.
inline EngineInstr Packed(isa::Op op, std::uint16_t n, Dtype dtype, std::uint32_t off_d,
                          std::uint32_t off_0, std::uint32_t off_1, std::uint32_t rows) {
  EngineInstr i;
  i.opcode = static_cast<std::uint8_t>(op);
  i.dtype_d = i.dtype_0 = i.dtype_1 = static_cast<std::uint8_t>(dtype);
  i.size = {n, 1, 1, 1};
  i.str_d = i.str_0 = i.str_1 = {1, 0, 0, 0};
  i.off_d = off_d;
  i.off_0 = off_0;
  i.off_1 = off_1;
  i.parts = i.parts_d = static_cast<std::uint8_t>(rows);
  return i;
}

}  // namespace dither::tb
