// The scalar engine at its own ports against the element-by-element reference of lane_engine.hpp.
#include "Vscalar_engine.h"
#include "tb/vector/lane_engine.hpp"

namespace {

using namespace dither;
using namespace dither::tb;
using Bench = LaneEngine<Vscalar_engine>;
using isa::ActFunc;
using isa::Op;

constexpr std::uint32_t kRows = Bench::kRows;

EngineInstr AnyAct(OperandMaker& make, LaneMemory& m) {
  EngineInstr i = AnyInstruction(make, m, Op::kAct, false, 0);
  i.func = static_cast<std::uint8_t>(make.Below(2));
  if (i.src1_imm) isa::SetImm1(i, make.AnyFp32());
  return i;
}

}  // namespace

TEST_CASE("any legal instruction leaves the reference's memory and rounder states",
          "[scalar][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  const auto stall = GENERATE(0, 30, 80);
  CAPTURE(seed, stall);
  Bench bench(seed, stall, kRows);
  std::mt19937 rng(seed * 100 + static_cast<unsigned>(stall));
  OperandMaker make(rng, kRows);
  for (int n = 0; n < 100; ++n) {
    const EngineInstr i = AnyAct(make, bench.memory);
    LaneMemory expected = bench.memory;
    Execute(i, expected);
    bench.Run({i});
    bench.TakeRng();
    CAPTURE(n, int{i.func}, int{i.dtype_d}, int{i.dtype_0}, int{i.dtype_1}, int{i.src1_imm});
    REQUIRE(bench.memory.Difference(expected) == "");
  }
}

TEST_CASE("one activation reads what the one before it wrote", "[scalar][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const auto stall = GENERATE(0, 40);
  Bench bench(seed, stall, kRows);
  std::mt19937 rng(seed);
  OperandMaker make(rng, kRows);
  // PSUM to SBUF to PSUM and so on; a per-partition bias with all strides 0.
  std::vector<EngineInstr> program;
  for (int n = 0; n < 40; ++n) {
    EngineInstr i = Packed(Op::kAct, static_cast<std::uint16_t>(1 + make.Below(30)), Dtype::kFp32,
                           256 * (n + 1), 256 * n, 12288, kRows);
    i.func = static_cast<std::uint8_t>(make.Below(2));
    i.str_1[0] = 0;
    i.space_d = n % 2 == 1;
    i.space_0 = n % 2 == 0;
    i.imm0 = kFp32One ^ (n % 3 == 0 ? kFp32Sign : 0);
    program.push_back(i);
  }
  EngineInstr whole = Packed(Op::kAct, 4000, Dtype::kFp32, 0, 0, 0, kRows);
  for (int space = 0; space < 2; ++space) {
    make.Fill(bench.memory, whole, space, 0, whole.str_0, Dtype::kFp32);
  }
  LaneMemory expected = bench.memory;
  for (const auto& i : program) Execute(i, expected);
  bench.Run(program);
  bench.TakeRng();
  REQUIRE(bench.memory.Difference(expected) == "");
}

TEST_CASE("relu gives +0 for -0 and for negatives, and keeps NaN", "[scalar][directed]") {
  Bench bench(1, 0, kRows);
  constexpr std::uint32_t kIn[] = {0x80000000, 0xbf800000, 0xff800000, 0x7fc00000,
                                   0x3f800000, 0x7f800000, 0x00000001, 0x80000001};
  constexpr std::uint32_t kOut[] = {0, 0, 0, 0x7fc00000, 0x3f800000, 0x7f800000, 1, 0};
  for (std::uint32_t p = 0; p < kRows; ++p) {
    for (int n = 0; n < 8; ++n) bench.memory.Store(0, p, 4 * n, Dtype::kFp32, kIn[n]);
  }
  EngineInstr i = Packed(Op::kAct, 8, Dtype::kFp32, 1024, 0, 0, kRows);
  i.func = static_cast<std::uint8_t>(ActFunc::kRelu);
  i.imm0 = kFp32One;
  i.src1_imm = 1;
  isa::SetImm1(i, kFp32Sign);  // x + -0 is x, -0 included
  bench.Run({i});
  for (int n = 0; n < 8; ++n) {
    CAPTURE(n);
    REQUIRE(bench.memory.Load(0, 2, 1024 + 4 * n, Dtype::kFp32) == kOut[n]);
  }
}

TEST_CASE("scalar lanes start behind the vector lanes in the common random sequence",
          "[scalar][directed]") {
  Bench bench(1, 0, kRows);
  for (std::uint32_t l = 0; l < kRows; ++l) {
    REQUIRE(bench.ReadRng(l) == LaneSeed(1, kRows + l, 2 * kRows));
  }
}

TEST_CASE("a packed activation of n elements takes n + 9 cycles", "[scalar][timing]") {
  const auto dtype = GENERATE(Dtype::kBf16, Dtype::kFp32, Dtype::kFp8E4M3);
  Bench bench(1, 0, kRows);
  EngineInstr i = Packed(Op::kAct, 512, dtype, 0, 4096, 8192, kRows);
  REQUIRE(bench.Run({i}) == 512 + 10);  // from the offer to done, both included
  REQUIRE(bench.reads == 2 * 512 * DtypeBytes(dtype) / 8);
  REQUIRE(bench.writes == 512 * DtypeBytes(dtype) / 8);
  REQUIRE(bench.Run({i, i, i}) == 3 * (512 + 9) + 1);
}
