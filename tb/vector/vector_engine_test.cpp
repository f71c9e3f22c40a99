// The vector engine at its own ports against the element-by-element reference of lane_engine.hpp.
#include "Vvector_engine.h"
#include <bit>

#include "sim/model/check.hpp"
#include "sim/program/disassemble.hpp"
#include "tb/vector/lane_engine.hpp"

namespace {

using namespace dither;
using namespace dither::tb;
using Bench = LaneEngine<Vvector_engine>;
using isa::Op;
using isa::RedFunc;
using isa::VecFunc;

constexpr std::uint32_t kRows = Bench::kRows;

std::uint32_t Bits(float value) { return std::bit_cast<std::uint32_t>(value); }

EngineInstr AnyVector(OperandMaker& make, LaneMemory& m) {
  constexpr Op kOps[] = {Op::kTensor, Op::kTensor, Op::kTensor, Op::kTensor, Op::kReduce,
                         Op::kReduce, Op::kScan,   Op::kStats,  Op::kShuffle};
  const Op op = kOps[make.Below(9)];
  const auto int32 = static_cast<std::uint8_t>(Dtype::kInt32);
  const int rdims = op == Op::kTensor || op == Op::kShuffle ? -1 : static_cast<int>(make.Below(4));
  const bool still = op == Op::kReduce || op == Op::kStats;
  EngineInstr i = AnyInstruction(make, m, op, true, still ? rdims + 1 : 0, [&](EngineInstr& i) {
    i.rdims = static_cast<std::uint8_t>(rdims >= 0 ? rdims : make.Below(4));
    if (op == Op::kTensor) {
      const std::uint32_t last = make.Below(21);
      i.func = static_cast<std::uint8_t>(make.Below(3) != 0 ? make.Below(8) : last);
      if (make.Below(2) != 0) {
        i.func_1 = static_cast<std::uint8_t>(OnWords(i.func) ? 15 + make.Below(6) : 1 + make.Below(14));
      }
      if (OnWords(i.func)) i.dtype_d = i.dtype_0 = i.dtype_1 = int32;
      i.rev = !OneOperand(i.func) && make.Below(2) != 0;
      i.rev_1 = !OneOperand(i.func_1) && make.Below(2) != 0;
      i.gen_0 = static_cast<std::uint8_t>(make.Below(3) == 0 ? 1 + make.Below(2) : 0);
      if (i.gen_0 == 2 && i.round == 1) i.round = 0;
      i.scalar_ptr = (i.func_1 != 0 || i.src1_imm != 0) && make.Below(2) != 0;
    } else if (op == Op::kReduce || op == Op::kScan) {
      i.func = static_cast<std::uint8_t>(make.Below(op == Op::kReduce ? 4 : 3));
      if (i.func == 3) i.dtype_d = int32;
    } else if (op == Op::kStats) {
      std::uint32_t count = 1;
      for (int k = 0; k <= rdims; ++k) count *= i.size[k];
      if (make.Below(4) != 0) i.imm0 = Bits(1.0f / static_cast<float>(count));
    } else {
      i.func = static_cast<std::uint8_t>(make.Below(3));
      if (i.space_0 != i.space_d) i.dtype_0 = int32;
      i.dtype_d = i.dtype_0;
      if (i.func == 0) i.part_0 = static_cast<std::uint8_t>(make.Below(kRows));
      if (i.func == 2) {
        i.part_0 = static_cast<std::uint8_t>(make.Below(kRows - i.parts + 1));
        i.size[0] = i.parts;
        if (i.size[1] * i.size[2] * i.size[3] > 60) i.size[2] = i.size[3] = 1;
      }
    }
  });
  if (ReadsScalars(i)) {  // in the bytes that belong to nobody else
    i.imm0 = static_cast<std::uint32_t>(m.space[0][0].size()) - 16 + 4 * make.Below(4);
    const bool bits = op == Op::kShuffle || OnWords(i.func);
    for (std::uint32_t p = 0; p < kRows; ++p) {
      m.Store(0, p, i.imm0, Dtype::kInt32, bits ? make.Word() : make.AnyFp32());
    }
  }
  if (i.src1_imm != 0 && i.func_1 != 0) isa::SetImm1(i, OnWords(i.func) ? make.Word() : make.AnyFp32());
  if (i.gen_0 != 0) {  // what else source 0 says doesn't matter
    i.dtype_0 = static_cast<std::uint8_t>(make.Below(16));
    i.part_0 = static_cast<std::uint8_t>(make.Word());
    i.off_0 = make.Word() & 0xffffff;
    for (auto& s : i.str_0) s = static_cast<std::int16_t>(make.Word());
  }
  return i;
}

}  // namespace

TEST_CASE("any legal instruction leaves the reference's memory and rounder states",
          "[vector][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  const auto stall = GENERATE(0, 30, 80);
  CAPTURE(seed, stall);
  Bench bench(seed, stall, 0);
  std::mt19937 rng(seed * 100 + static_cast<unsigned>(stall));
  OperandMaker make(rng, kRows);
  const CheckLimits limits = {kRows, SbufBytesOf(kRows), 0, 1 << 20};
  for (int n = 0; n < 400; ++n) {
    const EngineInstr i = AnyVector(make, bench.memory);
    LaneMemory expected = bench.memory;
    CAPTURE(n, Disassemble(isa::Queue::kVector, isa::Encode(i)));
    REQUIRE(CheckInstruction(isa::Queue::kVector, isa::Encode(i), limits).err == isa::Err::kNone);
    Execute(i, expected);
    bench.Run({i});
    bench.TakeRng();
    REQUIRE(bench.memory.Difference(expected) == "");
  }
}

TEST_CASE("an instruction sees all effects of the one before it", "[vector][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  const auto stall = GENERATE(0, 40);
  CAPTURE(seed, stall);
  Bench bench(seed, stall, 0);
  std::mt19937 rng(seed);
  OperandMaker make(rng, kRows);
  // A chain: each instruction reads what the one before wrote and runs right behind it.
  std::vector<EngineInstr> program;
  for (int n = 0; n < 40; ++n) {
    EngineInstr i = Packed(n % 5 == 4 ? Op::kReduce : Op::kTensor,
                           static_cast<std::uint16_t>(1 + make.Below(30)), Dtype::kFp32,
                           256 * (n + 1), 256 * n, 256 * (n / 2), kRows);
    i.func = static_cast<std::uint8_t>(n % 5 == 4 ? n % 3 : make.Below(15));
    if (n % 5 == 4) i.str_d[0] = 0;
    i.space_d = n % 3 == 1;
    i.space_0 = (n + 2) % 3 == 1;
    i.space_1 = n >= 2 && (n / 2 + 2) % 3 == 1;
    program.push_back(i);
  }
  EngineInstr whole = Packed(Op::kTensor, 64, Dtype::kFp32, 0, 0, 0, kRows);
  for (int space = 0; space < 2; ++space) {
    whole.size[0] = 4000;
    make.Fill(bench.memory, whole, space, 0, whole.str_0, Dtype::kFp32);
  }
  LaneMemory expected = bench.memory;
  for (const auto& i : program) Execute(i, expected);
  bench.Run(program);
  bench.TakeRng();
  REQUIRE(bench.memory.Difference(expected) == "");
}

TEST_CASE("a tensor may be its own source in place", "[vector][directed]") {
  const auto dtype = GENERATE(Dtype::kFp32, Dtype::kBf16, Dtype::kFp8E4M3);
  const auto stride = GENERATE(1, 3, -1);
  const auto stall = GENERATE(0, 50);
  Bench bench(7, stall, 0);
  std::mt19937 rng(3);
  OperandMaker make(rng, kRows);
  EngineInstr i = Packed(Op::kTensor, 101, dtype, 1024, 1024, 1024, kRows);
  i.str_d[0] = i.str_0[0] = i.str_1[0] = static_cast<std::int16_t>(stride);
  i.func = static_cast<std::uint8_t>(VecFunc::kAdd);
  i.round = static_cast<std::uint8_t>(Round::kSr);
  make.Fill(bench.memory, i, 0, i.off_0, i.str_0, dtype);
  LaneMemory expected = bench.memory;
  Execute(i, expected);
  bench.Run({i});
  bench.TakeRng();
  REQUIRE(bench.memory.Difference(expected) == "");
}

TEST_CASE("results of groups of one or two survive a writer that is nearly always refused",
          "[vector][corner]") {
  const auto seed = GENERATE(range(1u, 9u));
  const auto group = GENERATE(1, 2, 3);
  const auto func = GENERATE(RedFunc::kSum, RedFunc::kMax, RedFunc::kMin);
  Bench bench(seed, 60, 0);
  std::mt19937 rng(seed);
  OperandMaker make(rng, kRows);
  EngineInstr i = Packed(Op::kReduce, static_cast<std::uint16_t>(group), Dtype::kFp32, 0, 4096, 0,
                         kRows);
  i.func = static_cast<std::uint8_t>(func);
  i.size[1] = 90;
  i.str_0[1] = static_cast<std::int16_t>(group);
  i.str_d = {0, 1, 0, 0};
  i.space_d = seed % 2;
  make.Fill(bench.memory, i, 0, i.off_0, i.str_0, Dtype::kFp32);
  LaneMemory expected = bench.memory;
  Execute(i, expected);
  bench.Run({i});
  REQUIRE(bench.memory.Difference(expected) == "");
}

TEST_CASE("rounder states start at their lane's seed, are readable, writable and never zero",
          "[vector][directed]") {
  Bench bench(1, 0, 0);
  for (std::uint32_t l = 0; l < kRows; ++l) REQUIRE(bench.ReadRng(l) == LaneSeed(1, l, 2 * kRows));
  for (std::uint32_t l = 0; l < kRows; ++l) bench.WriteRng(l, l == 3 ? 0 : 0x1234567 * (l + 1));
  for (std::uint32_t l = 0; l < kRows; ++l) {
    REQUIRE(bench.ReadRng(l) == (l == 3 ? 1 : 0x1234567 * (l + 1)));
  }
  bench.WriteRng(kRows, 99);  // no such lane
  REQUIRE(bench.ReadRng(kRows) == 0);
  REQUIRE(bench.ReadRng(0) == 0x1234567);
}

TEST_CASE("a packed instruction of n elements takes n + 8 cycles and each word is read once",
          "[vector][timing]") {
  struct Row {
    const char* name;
    Op op;
    int func;
    Dtype dtype;
    std::uint64_t words;  // of 8 bytes in 512 elements
  };
  const auto row = GENERATE(Row{"bf16 add", Op::kTensor, 1, Dtype::kBf16, 128},
                            Row{"fp32 add", Op::kTensor, 1, Dtype::kFp32, 256},
                            Row{"fp8 mul", Op::kTensor, 3, Dtype::kFp8E4M3, 64},
                            Row{"bf16 sum", Op::kReduce, 0, Dtype::kBf16, 128},
                            Row{"fp32 max", Op::kReduce, 1, Dtype::kFp32, 256});
  CAPTURE(row.name);
  Bench bench(1, 0, 0);
  EngineInstr i = Packed(row.op, 512, row.dtype, 0, 4096, 8192, kRows);
  i.func = static_cast<std::uint8_t>(row.func);
  const bool reduce = row.op == Op::kReduce;
  if (reduce) i.str_d[0] = 0;
  REQUIRE(bench.Run({i}) == 512 + 9);  // from the offer to done, both included
  REQUIRE(bench.reads == (reduce ? 1 : 2) * row.words);
  REQUIRE(bench.writes == (reduce ? 1 : row.words));
  REQUIRE(bench.work == (reduce ? 1 : 512));
  REQUIRE(bench.stalls == 0);
  // Back to back every further instruction costs its elements and 8 cycles.
  REQUIRE(bench.Run({i, i, i}) == 3 * (512 + 8) + 1);
}

TEST_CASE("three packed operands that start in the same bank run at one element a cycle",
          "[vector][timing]") {
  const auto dtype = GENERATE(Dtype::kFp8E5M2, Dtype::kBf16, Dtype::kFp32);
  const auto off_1 = GENERATE(8192, 8200, 8256);
  CAPTURE(int(dtype), off_1);
  Bench bench(1, 0, 0);
  bench.one_port_banks = true;
  EngineInstr i = Packed(Op::kTensor, 512, dtype, 0, 4096, 0, kRows);
  i.off_1 = static_cast<std::uint32_t>(off_1);
  i.func = static_cast<std::uint8_t>(VecFunc::kMul);
  LaneMemory expected = bench.memory;
  Execute(i, expected);
  REQUIRE(bench.Run({i}) <= 512 + 9 + 2);  // the first words collide once
  REQUIRE(bench.reads == 2 * 512 * DtypeBytes(dtype) / 8);
  REQUIRE(bench.memory.Difference(expected) == "");
}

TEST_CASE("PSUM sources and destination run at one element a cycle", "[vector][timing]") {
  Bench bench(1, 0, 0);
  EngineInstr i = Packed(Op::kTensor, 512, Dtype::kFp32, 0, 4096, 8192, kRows);
  i.func = static_cast<std::uint8_t>(VecFunc::kAdd);
  i.space_d = i.space_0 = i.space_1 = 1;
  REQUIRE(bench.Run({i}) == 512 + 9);
  REQUIRE(bench.reads == 1024);
  REQUIRE(bench.writes == 512);
}

TEST_CASE("what a second step, scalars, statistics and moves between lanes add in cycles",
          "[vector][timing]") {
  Bench bench(1, 0, 0);
  const auto packed = [](Op op, std::uint8_t func) {
    EngineInstr i = Packed(op, 512, Dtype::kFp32, 0, 4096, 8192, kRows);
    i.func = func;
    return i;
  };
  // From the offer to done, both included: n + 8, and what the instruction adds.
  const auto extra = [&](const EngineInstr& i) {
    std::uint64_t n = 1;
    for (const std::uint16_t size : i.size) n *= size;
    return static_cast<std::int64_t>(bench.Run({i})) - static_cast<std::int64_t>(n) - 9;
  };
  EngineInstr i = packed(Op::kTensor, 1);
  i.func_1 = 3;
  CHECK(extra(i) == 3);  // add, then multiply
  i.func = 3;
  i.func_1 = 1;
  CHECK(extra(i) == 0);  // multiply, then add: one step
  i.scalar_ptr = 1;
  CHECK(extra(i) == 1);
  i = packed(Op::kTensor, 0);
  i.gen_0 = 1;
  CHECK(extra(i) == static_cast<int>(std::bit_width(kRows)) - 3);
  i.gen_0 = 2;
  CHECK(extra(i) == 0);
  CHECK(extra(packed(Op::kScan, 0)) == 0);
  i = packed(Op::kReduce, 3);
  i.str_d[0] = 0;
  i.dtype_d = static_cast<std::uint8_t>(Dtype::kInt32);
  CHECK(extra(i) == 0);
  CHECK(extra(packed(Op::kStats, 0)) == 3 + 10);
  i = packed(Op::kStats, 0);
  i.size = {64, 8, 1, 1};
  i.str_0[1] = 64;
  i.str_d[1] = 2;
  CHECK(extra(i) == 3 + 8 * 10);
  CHECK(extra(packed(Op::kShuffle, 0)) == 0);
  i = packed(Op::kShuffle, 1);
  const std::uint64_t work = bench.work, writes = bench.writes;
  CHECK(extra(i) == 1 + 512 * (kRows + 1));
  CHECK(bench.work - work == 512);  // a held pipe writes nothing twice
  CHECK(bench.writes - writes == 256);
  i = packed(Op::kShuffle, 2);  // 64 blocks of Rows columns, read and written, and a bubble each
  i.size = {kRows, 64, 1, 1};
  i.str_0[1] = i.str_d[1] = kRows;
  CHECK(extra(i) == 64 * kRows + 64);
}

TEST_CASE("random words come in order of elements and the states resume, whatever is refused",
          "[vector][random]") {
  const auto stall = GENERATE(0, 70);
  Bench bench(3, stall, 0);
  EngineInstr i = Packed(Op::kTensor, 90, Dtype::kFp32, 0, 0, 0, kRows);
  i.gen_0 = 2;
  LaneMemory expected = bench.memory;
  Execute(i, expected);
  Execute(i, expected);
  bench.Run({i});
  bench.TakeRng();
  // Saved, moved on by something else, restored.
  const auto saved = bench.memory.rng;
  bench.Run({i, i});
  for (std::uint32_t l = 0; l < kRows; ++l) bench.WriteRng(l, saved[l]);
  bench.Run({i});
  bench.TakeRng();
  REQUIRE(bench.memory.Difference(expected) == "");
}
