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
  make.pairs = op == Op::kTensor && make.Below(2) == 0;
  make.misses = make.pairs && make.Below(3) == 0;
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
      if (make.pairs) {
        if ((!make.misses || make.Below(4) != 0) && !OnWords(i.func)) {
          i.func_1 = 0;
          if (make.Below(3) == 0) {
            i.func = 3;
            i.func_1 = static_cast<std::uint8_t>(1 + make.Below(2));
          }
          i.rev = i.rev && !OneOperand(i.func);
          i.rev_1 = i.func_1 != 0 && make.Below(2) != 0;
        }
        if (!make.misses || make.Below(4) != 0) i.gen_0 = 0;
        if (!OnWords(i.func)) {
          const auto to_short = [&](std::uint8_t& dtype) { dtype = static_cast<std::uint8_t>(make.ShortDtype()); };
          i.space_d = 0;
          to_short(i.dtype_d);
          if (!make.misses || make.Below(4) != 0) i.space_0 = 0, to_short(i.dtype_0);
          if (!make.misses || make.Below(4) != 0) i.space_1 = 0, to_short(i.dtype_1);
          // Equal dtypes hold each other's special values.
          if (make.Below(3) == 0) i.dtype_1 = i.dtype_0, i.space_1 = i.space_0;
        }
      }
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

// Runs i, compares memory and rounder states with the reference's; its cycles beyond those that are the same for all.
std::uint64_t CheckedCycles(Bench& bench, const EngineInstr& i) {
  LaneMemory expected = bench.memory;
  Execute(i, expected);
  const std::uint64_t taken = bench.Run({i});
  bench.TakeRng();
  CHECK(bench.memory.Difference(expected) == "");
  return taken - 9;
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
  int in_pairs = 0, odd_rows = 0, stochastic = 0, apart = 0;
  for (int n = 0; n < 400; ++n) {
    const EngineInstr i = AnyVector(make, bench.memory);
    LaneMemory expected = bench.memory;
    CAPTURE(n, Disassemble(isa::Queue::kVector, isa::Encode(i)));
    REQUIRE(CheckInstruction(isa::Queue::kVector, isa::Encode(i), limits).err == isa::Err::kNone);
    Execute(i, expected);
    const std::uint64_t pairs = bench.pairs, work = bench.work;
    bench.Run({i});
    bench.TakeRng();
    REQUIRE(bench.memory.Difference(expected) == "");
    // Exactly what fits goes in pairs, and the counter counts elements.
    const std::uint64_t rows = std::uint64_t{i.size[1]} * i.size[2] * i.size[3];
    REQUIRE(bench.pairs - pairs == (InPairs(i) ? rows * (i.size[0] / 2u) : 0));
    if (i.opcode == static_cast<std::uint8_t>(Op::kTensor)) REQUIRE(bench.work - work == rows * i.size[0]);
    if (!InPairs(i)) {
      apart += make.pairs;
    } else if (i.size[0] > 1) {
      ++in_pairs;
      odd_rows += i.size[0] % 2;
      stochastic += i.round == static_cast<std::uint8_t>(Round::kSr);
    }
  }
  // The draw has enough of each kind.
  CAPTURE(in_pairs, odd_rows, stochastic, apart);
  REQUIRE((in_pairs > 30 && odd_rows > 10 && stochastic > 7 && apart > 10));
}

TEST_CASE("an instruction sees all effects of the one before it", "[vector][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  const auto stall = GENERATE(0, 40);
  const auto dtype = GENERATE(Dtype::kFp32, Dtype::kBf16);  // bf16: some in pairs, some not
  CAPTURE(seed, stall, int(dtype));
  Bench bench(seed, stall, 0);
  std::mt19937 rng(seed);
  OperandMaker make(rng, kRows);
  // A chain: each instruction reads what the one before wrote and runs right behind it.
  std::vector<EngineInstr> program;
  for (int n = 0; n < 40; ++n) {
    EngineInstr i = Packed(n % 5 == 4 ? Op::kReduce : Op::kTensor,
                           static_cast<std::uint16_t>(1 + make.Below(30)), dtype,
                           256 * (n + 1), 256 * n, 256 * (n / 2), kRows);
    i.func = static_cast<std::uint8_t>(n % 5 == 4 ? n % 3 : make.Below(15));
    if (n % 5 == 4) i.str_d[0] = 0;
    if (dtype == Dtype::kFp32) {
      i.space_d = n % 3 == 1;
      i.space_0 = (n + 2) % 3 == 1;
      i.space_1 = n >= 2 && (n / 2 + 2) % 3 == 1;
    } else {
      i.round = static_cast<std::uint8_t>(Round::kSr);
      if (make.Below(4) == 0) i.off_0 += 2;
    }
    program.push_back(i);
  }
  EngineInstr whole = Packed(Op::kTensor, 64, Dtype::kFp32, 0, 0, 0, kRows);
  for (int space = 0; space < 2; ++space) {
    whole.size[0] = dtype == Dtype::kFp32 ? 4000 : 8000;
    if (space == 0 || dtype == Dtype::kFp32) make.Fill(bench.memory, whole, space, 0, whole.str_0, dtype);
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
  const auto row = GENERATE(Row{"fp32 add", Op::kTensor, 1, Dtype::kFp32, 256},
                            Row{"fp8 sums so far", Op::kScan, 0, Dtype::kFp8E4M3, 64},
                            Row{"bf16 sum", Op::kReduce, 0, Dtype::kBf16, 128},
                            Row{"fp32 max", Op::kReduce, 1, Dtype::kFp32, 256});
  CAPTURE(row.name);
  Bench bench(1, 0, 0);
  EngineInstr i = Packed(row.op, 512, row.dtype, 0, 4096, 8192, kRows);
  i.func = static_cast<std::uint8_t>(row.func);
  const bool reduce = row.op == Op::kReduce;
  if (reduce) i.str_d[0] = 0;
  REQUIRE(bench.Run({i}) == 512 + 9);  // from the offer to done, both included
  REQUIRE(bench.reads == (row.op == Op::kTensor ? 2 : 1) * row.words);
  REQUIRE(bench.writes == (reduce ? 1 : row.words));
  REQUIRE(bench.work == (reduce ? 1 : 512));
  REQUIRE(bench.stalls == 0);
  // Back to back every further instruction costs its elements and 8 cycles.
  REQUIRE(bench.Run({i, i, i}) == 3 * (512 + 8) + 1);
}

TEST_CASE("pairs of 16-bit and 8-bit elements take n / 2 + 8 cycles and each word is read once",
          "[vector][timing]") {
  const auto dtype = GENERATE(Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8);
  const auto round = GENERATE(Round::kRne, Round::kSr, Round::kRtz);
  const auto func = GENERATE(VecFunc::kCopy, VecFunc::kAdd, VecFunc::kMax);
  const auto odd = GENERATE(0u, 1u);  // 511 elements: the last pair is one
  CAPTURE(int(dtype), int(round), int(func), odd);
  Bench bench(1, 0, 0);
  const std::uint64_t words = 64 * DtypeBytes(dtype), sources = func == VecFunc::kCopy ? 1 : 2;
  EngineInstr i = Packed(Op::kTensor, static_cast<std::uint16_t>(512 - odd), dtype, 0, 4096, 8192, kRows);
  i.func = static_cast<std::uint8_t>(func);
  i.round = static_cast<std::uint8_t>(round);
  REQUIRE(bench.Run({i}) == 256 + 9);  // from the offer to done, both included
  REQUIRE(bench.reads == sources * words);
  REQUIRE(bench.writes == words);
  REQUIRE(bench.work == 512 - odd);
  REQUIRE(bench.stalls == 0);
  REQUIRE(bench.Run({i, i, i}) == 3 * (256 + 8) + 1);
}

TEST_CASE("multiply-adds, scalars, numbers and what stands still go in pairs too, row by row",
          "[vector][timing]") {
  Bench bench(1, 0, 0);
  std::mt19937 rng(1);
  OperandMaker make(rng, kRows);
  // The update of weights: w = w - rate m.
  EngineInstr i = Packed(Op::kTensor, 512, Dtype::kBf16, 8192, 4096, 8192, kRows);
  i.func = static_cast<std::uint8_t>(VecFunc::kMul);
  i.func_1 = static_cast<std::uint8_t>(VecFunc::kAdd);
  i.imm0 = Bits(-0.01f);
  i.round = static_cast<std::uint8_t>(Round::kSr);
  make.Fill(bench.memory, i, 0, 4096, i.str_0, Dtype::kBf16);
  make.Fill(bench.memory, i, 0, 8192, i.str_0, Dtype::kBf16);
  for (std::uint32_t p = 0; p < kRows; ++p) {
    bench.memory.Store(0, p, 64, Dtype::kFp32, make.AnyFp32());
    bench.memory.Store(1, p, 64, Dtype::kFp32, make.AnyFp32());
  }
  const auto cycles = [&] { return CheckedCycles(bench, i); };
  CHECK(cycles() == 256);
  i.func_1 = static_cast<std::uint8_t>(VecFunc::kSub);
  i.rev_1 = 1;
  CHECK(cycles() == 256);
  i.scalar_ptr = 1;
  i.imm0 = 64;
  CHECK(cycles() == 256 + 1);
  i = Packed(Op::kTensor, 512, Dtype::kBf16, 8192, 4096, 64, kRows);
  i.func = static_cast<std::uint8_t>(VecFunc::kAdd);
  i.src1_imm = 1;
  i.imm0 = Bits(3.0f);
  CHECK(cycles() == 256);
  i.src1_imm = 0;
  i.str_1 = {};  // an fp32 of the partition, in SBUF or PSUM
  i.dtype_1 = static_cast<std::uint8_t>(Dtype::kFp32);
  CHECK(cycles() == 256);
  i.space_1 = 1;
  CHECK(cycles() == 256);
  std::swap(i.off_0, i.off_1);
  std::swap(i.str_0, i.str_1);
  std::swap(i.dtype_0, i.dtype_1);
  i.space_0 = 1;
  i.space_1 = 0;
  CHECK(cycles() == 256);
  // 16 rows of 31 with a gap: 16 pairs each. Different formats side by side.
  i = Packed(Op::kTensor, 31, Dtype::kBf16, 8192, 4096, 6000, kRows);
  i.dtype_d = static_cast<std::uint8_t>(Dtype::kFp8E5M2);
  i.dtype_1 = static_cast<std::uint8_t>(Dtype::kInt8);
  i.func = static_cast<std::uint8_t>(VecFunc::kMul);
  i.size[1] = 16;
  i.str_d[1] = 32;
  i.str_0[1] = 34;
  i.str_1[1] = 0;
  CHECK(cycles() == 16 * 16);
}

TEST_CASE("what does not fit runs at one element a cycle, with the same bytes", "[vector][timing]") {
  const auto dtype = GENERATE(Dtype::kBf16, Dtype::kFp8E4M3);
  const auto bytes = static_cast<std::uint32_t>(DtypeBytes(dtype));
  CAPTURE(int(dtype));
  Bench bench(1, 0, 0);
  std::mt19937 rng(1);
  OperandMaker make(rng, kRows);
  EngineInstr fits = Packed(Op::kTensor, 64, dtype, 0, 4096, 8192, kRows);
  fits.func = static_cast<std::uint8_t>(VecFunc::kAdd);
  fits.size[1] = 4;
  fits.str_d[1] = fits.str_0[1] = fits.str_1[1] = 64;
  fits.round = static_cast<std::uint8_t>(Round::kSr);
  EngineInstr whole = Packed(Op::kTensor, 4000, Dtype::kBf16, 0, 0, 0, kRows);
  make.Fill(bench.memory, whole, 0, 4096, whole.str_0, Dtype::kBf16);
  const auto extra = [&](const EngineInstr& i) { return CheckedCycles(bench, i); };
  const auto with = [&](auto&& change) {
    EngineInstr i = fits;
    change(i);
    return extra(i);
  };
  CHECK(extra(fits) == 128);
  CHECK(with([&](EngineInstr& i) { i.off_d += bytes; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.off_0 += bytes; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.off_1 += bytes; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.off_0 += 2 * bytes; }) == 128);
  CHECK(with([&](EngineInstr& i) { i.str_d[1] = 65; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_0[1] = -63; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_1[1] = 1; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_0[2] = i.str_1[3] = i.str_d[2] = 1; }) == 128);  // sizes 1
  CHECK(with([&](EngineInstr& i) { i.size = {64, 1, 2, 2}, i.str_d[2] = 65, i.str_d[3] = 130; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.size = {64, 1, 2, 2}, i.str_d[2] = 64, i.str_d[3] = 129; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_d[0] = 2, i.str_d[1] = 128; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_d[0] = -1, i.off_d += 64 * bytes; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_0[0] = -1, i.off_0 += 64 * bytes; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_1[0] = 3; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.str_0[0] = 0; }) == 128);
  CHECK(with([&](EngineInstr& i) { i.str_1[0] = 0, i.off_1 += bytes, i.str_1[1] = 1; }) == 128);
  const auto fp32 = static_cast<std::uint8_t>(Dtype::kFp32);
  CHECK(with([&](EngineInstr& i) { i.dtype_0 = fp32; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.dtype_1 = fp32; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.dtype_d = fp32; }) == 256);
  CHECK(with([&](EngineInstr& i) { i.func_1 = i.func; }) == 256 + 3);
  CHECK(with([&](EngineInstr& i) { i.gen_0 = 2, i.round = 0; }) == 256);
}

TEST_CASE("every pattern passes in a pair's second place as in its first", "[vector][directed]") {
  const auto dtype = GENERATE(Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8);
  const auto to = GENERATE(Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8);
  const auto func = GENERATE(VecFunc::kCopy, VecFunc::kMul);
  CAPTURE(int(dtype), int(to), int(func));
  Bench bench(1, 0, 0);
  const std::uint32_t patterns = DtypeBytes(dtype) == 2 ? 0x10000 : 0x100;
  const std::uint32_t n = std::min(2048u, 2 * patterns / kRows);  // a lane and run
  for (std::uint32_t first = 0; first < patterns; first += n * kRows / 2) {
    EngineInstr i = Packed(Op::kTensor, static_cast<std::uint16_t>(n), dtype, 8192, 0, 0, kRows);
    i.dtype_d = static_cast<std::uint8_t>(to);
    i.func = static_cast<std::uint8_t>(func);
    i.src1_imm = 1;
    i.imm0 = Bits(1.0f);
    // Each pattern once in either place, beside another one.
    for (std::uint32_t k = 0; k < n * kRows; ++k) {
      bench.memory.Store(0, k / n, (k % n) * DtypeBytes(dtype), dtype, first + (k / 2) * 5 % (n * kRows / 2) + (k % 2) * 77);
    }
    LaneMemory expected = bench.memory;
    Execute(i, expected);
    bench.Run({i});
    REQUIRE(bench.memory.Difference(expected) == "");
  }
}

TEST_CASE("an update leaves the same bytes and rounder states in pairs and alone", "[vector][random]") {
  const auto stall = GENERATE(0, 60);
  const auto dtype = GENERATE(Dtype::kBf16, Dtype::kFp8E5M2);
  const auto n = GENERATE(std::uint16_t{90}, std::uint16_t{91});
  CAPTURE(stall, int(dtype), n);
  const auto bytes = static_cast<std::uint32_t>(DtypeBytes(dtype));
  const auto run = [&](std::uint32_t shift) {
    Bench bench(3, stall, 0);
    std::mt19937 rng(5);
    OperandMaker make(rng, kRows);
    EngineInstr i = Packed(Op::kTensor, n, dtype, 1024 + shift * bytes, 4096 + shift * bytes, 1024 + shift * bytes, kRows);
    i.func = static_cast<std::uint8_t>(VecFunc::kMul);
    i.func_1 = static_cast<std::uint8_t>(VecFunc::kAdd);
    i.imm0 = Bits(0.37f);
    i.round = static_cast<std::uint8_t>(Round::kSr);
    make.Fill(bench.memory, i, 0, i.off_0, i.str_0, dtype);
    make.Fill(bench.memory, i, 0, i.off_1, i.str_1, dtype);
    bench.Run({i, i, i});
    bench.TakeRng();
    REQUIRE(bench.pairs == (shift == 0 ? 3u * (n / 2) : 0));
    std::vector<std::uint32_t> all = bench.memory.rng;
    for (std::uint32_t p = 0; p < kRows; ++p) {
      for (std::uint32_t k = 0; k < n; ++k) all.push_back(bench.memory.Load(0, p, i.off_d + k * bytes, dtype));
    }
    return all;
  };
  REQUIRE(run(0) == run(1));
}

TEST_CASE("three packed operands that start in the same bank run at one element or pair a cycle",
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
  const std::uint64_t steps = dtype == Dtype::kFp32 ? 512 : 256;
  REQUIRE(bench.Run({i}) <= steps + 9 + 2);  // the first words collide once
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
