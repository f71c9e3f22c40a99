// The scalar engine at its own ports against the element-by-element reference of lane_engine.hpp.
#include "Vscalar_engine.h"
#include "sim/data/crc32.hpp"
#include "sim/function/function_set.hpp"
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

// With a function of the set, or with a sum, or both.
EngineInstr AnyDeepAct(OperandMaker& make, LaneMemory& m) {
  const auto sum = static_cast<isa::ActSum>(make.Below(3));
  const auto rdims = static_cast<std::uint8_t>(make.Below(4));
  EngineInstr i =
      AnyInstruction(make, m, Op::kAct, false, sum == isa::ActSum::kTotal ? rdims + 1 : 0);
  const auto& set = m.functions.headers();
  i.func = make.Below(8) == 0 ? static_cast<std::uint8_t>(make.Below(2))
                              : set[make.Below(static_cast<std::uint32_t>(set.size()))].code;
  i.sum = static_cast<std::uint8_t>(sum);
  i.rdims = rdims;
  if (i.src1_imm) isa::SetImm1(i, make.Below(2) != 0 ? kFp32Sign : make.AnyFp32());
  if (make.Below(2) != 0) i.imm0 = kFp32One;
  return i;
}

// The image of a set in partitions first .. first + parts - 1 from byte `offset` on, and the load.
EngineInstr PlaceImage(LaneMemory& m, std::vector<std::uint8_t> image, std::uint32_t first,
                       std::uint32_t parts, std::uint32_t offset) {
  const std::size_t each = (image.size() / 8 + parts - 1) / parts * 8;
  image.resize(each * parts, 0xa5);  // what follows the image is not looked at
  for (std::uint32_t p = 0; p < parts; ++p) {
    std::memcpy(m.space[0][first + p].data() + offset, image.data() + p * each, each);
  }
  EngineInstr i;
  i.opcode = static_cast<std::uint8_t>(Op::kLoad);
  i.dtype_0 = static_cast<std::uint8_t>(Dtype::kInt32);
  i.part_0 = static_cast<std::uint8_t>(first);
  i.parts = static_cast<std::uint8_t>(parts);
  i.off_0 = offset;
  i.size = {static_cast<std::uint16_t>(each / 4), 1, 1, 1};
  i.str_0 = {1, 0, 0, 0};
  return i;
}

// The project's functions in sets that fit.
std::vector<FunctionSet> AllSets() {
  std::vector<FunctionSet> sets(1);
  for (const function::Spec& spec : function::Catalog()) {
    if (sets.back().segments() + TableOf(spec.code).segments.size() > isa::kFuncSegments) {
      sets.emplace_back();
    }
    sets.back().Add(spec.code);
  }
  return sets;
}

// Inputs of a function's memory that reach all its parts: every octave, both sides, the specials.
std::uint32_t WideFp32(std::mt19937& rng) {
  const auto r = static_cast<std::uint32_t>(rng());
  switch (rng() % 6) {
    case 0: return r;
    case 1: return r & 0xffff0000;                              // bf16
    case 2: return (r & 0x807fffff) | ((126 + (r >> 24 & 3)) << 23);  // around 1
    case 3: {
      constexpr std::uint32_t kCorners[] = {0, 0x80000000, kFp32Inf, 0xff800000, 0x7fc00001, 1,
                                            0x807fffff, 0x00800000, kFp32One, 0xbf800000,
                                            kFp32MaxFinite, 0xff7fffff, 0x3f7fffff, 0x3f800001};
      return kCorners[rng() % 14];
    }
    default: return (r & 0x807fffff) | ((100 + (r >> 23 & 63) % 40) << 23);
  }
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

TEST_CASE("functions and sums leave the reference's memory and rounder states",
          "[scalar][functions][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const auto stall = GENERATE(0, 30, 80);
  CAPTURE(seed, stall);
  Bench bench(seed, stall, kRows);
  std::mt19937 rng(seed * 100 + static_cast<unsigned>(stall));
  OperandMaker make(rng, kRows);
  const auto sets = AllSets();
  for (int n = 0; n < 120; ++n) {
    if (n % 30 == 0) {
      const auto image = sets[rng() % sets.size()].Image();
      bench.Run({PlaceImage(bench.memory, image, 0, kRows, 512)});
      REQUIRE(bench.errors.empty());
      REQUIRE(bench.memory.functions.Load(image));
    }
    const EngineInstr i = AnyDeepAct(make, bench.memory);
    LaneMemory expected = bench.memory;
    Execute(i, expected);
    bench.Run({i});
    bench.TakeRng();
    CAPTURE(n, int{i.func}, int{i.sum}, int{i.rdims}, int{i.dtype_d}, int{i.dtype_0}, int{i.round});
    REQUIRE(bench.memory.Difference(expected) == "");
  }
}

TEST_CASE("every function agrees with the model on 40,000 inputs of all kinds, in fp32 and bf16",
          "[scalar][functions][random]") {
  Bench bench(7, 0, kRows);
  std::mt19937 rng(7);
  for (const FunctionSet& set : AllSets()) {
    const auto image = set.Image();
    bench.Run({PlaceImage(bench.memory, image, 0, kRows, 0)});
    REQUIRE(bench.errors.empty());
    REQUIRE(bench.memory.functions.Load(image));
    for (const auto& header : bench.memory.functions.headers()) {
      INFO(isa::Name(static_cast<ActFunc>(header.code)));
      for (int round = 0; round < 5; ++round) {
        for (std::uint32_t p = 0; p < kRows; ++p) {
          for (int n = 0; n < 1000; ++n) {
            bench.memory.Store(0, p, 4 * n, Dtype::kFp32, WideFp32(rng));
          }
        }
        const Dtype to = round % 2 != 0 ? Dtype::kBf16 : Dtype::kFp32;
        EngineInstr i = Packed(Op::kAct, 1000, Dtype::kFp32, 8192, 0, 0, kRows);
        i.dtype_d = static_cast<std::uint8_t>(to);
        i.func = header.code;
        i.imm0 = kFp32One;
        i.src1_imm = 1;
        isa::SetImm1(i, kFp32Sign);
        LaneMemory expected = bench.memory;
        Execute(i, expected);
        bench.Run({i});
        REQUIRE(bench.memory.Difference(expected) == "");
      }
    }
  }
}

TEST_CASE("a set loads from any partitions; a damaged one is refused and the one before stays",
          "[scalar][functions][load]") {
  const auto stall = GENERATE(0, 50);
  Bench bench(3, stall, kRows);
  std::mt19937 rng(3);
  const auto log = FunctionSet({ActFunc::kLog, ActFunc::kSin}).Image();
  const auto exp = FunctionSet({ActFunc::kExp, ActFunc::kReciprocal}).Image();
  EngineInstr act = Packed(Op::kAct, 100, Dtype::kFp32, 8192, 0, 0, kRows);
  act.imm0 = kFp32One;
  act.src1_imm = 1;
  isa::SetImm1(act, kFp32Sign);
  const auto agrees = [&](ActFunc func) {
    for (std::uint32_t p = 0; p < kRows; ++p) {
      for (int n = 0; n < 100; ++n) bench.memory.Store(0, p, 4 * n, Dtype::kFp32, WideFp32(rng));
    }
    act.func = static_cast<std::uint8_t>(func);
    LaneMemory expected = bench.memory;
    Execute(act, expected);
    bench.Run({act});
    return bench.memory.Difference(expected) == "";
  };
  const auto refused = [&](const EngineInstr& i, isa::Err cause, std::uint64_t addr) {
    const LaneMemory before = bench.memory;
    bench.errors.clear();
    bench.Run({i});
    const bool one = bench.errors.size() == 1 && bench.errors[0].cause == static_cast<int>(cause) &&
                     bench.errors[0].addr == addr;
    bench.errors.clear();
    return one && bench.memory.Difference(before) == "";
  };
  act.func = static_cast<std::uint8_t>(ActFunc::kLog);
  REQUIRE(refused(act, isa::Err::kFuncNotLoaded, act.func));
  // All partitions, then three of them, then one.
  for (const auto& [first, parts] : {std::pair{0u, kRows}, {2u, 3u}, {kRows - 1, 1u}}) {
    const auto& image = parts == 3 ? exp : log;
    bench.Run({PlaceImage(bench.memory, image, first, parts, 1024)});
    REQUIRE(bench.errors.empty());
    REQUIRE(bench.memory.functions.Load(image));
    REQUIRE(agrees(parts == 3 ? ActFunc::kExp : ActFunc::kLog));
  }
  act.func = static_cast<std::uint8_t>(ActFunc::kExp);
  REQUIRE(refused(act, isa::Err::kFuncNotLoaded, act.func));
  for (int n = 0; n < 60; ++n) {
    auto bad = exp;
    const std::size_t at = n < 20 ? static_cast<std::size_t>(n) : rng() % bad.size();
    bad[at] ^= static_cast<std::uint8_t>(1u << rng() % 8);
    REQUIRE(refused(PlaceImage(bench.memory, bad, 1, 4, 2048), isa::Err::kBadTable, 2048));
  }
  EngineInstr cut = PlaceImage(bench.memory, exp, 0, 1, 1024);
  cut.size[0] = static_cast<std::uint16_t>(cut.size[0] - 2);
  REQUIRE(refused(cut, isa::Err::kBadTable, 1024));
  cut.size[0] = 2;  // nothing but the first word
  REQUIRE(refused(cut, isa::Err::kBadTable, 1024));
  REQUIRE(agrees(ActFunc::kSin));
}

TEST_CASE("sine and cosine agree with the model next to multiples of pi / 2, where every bit of the turn shows",
          "[scalar][functions][directed]") {
  // Among them 0x6f79be45, the closest of all fp32 numbers: 2^-29 of a quadrant.
  std::vector<std::uint32_t> close;
  constexpr std::uint64_t kMask = (std::uint64_t{1} << model::kTurnBits) - 1;
  for (std::uint32_t x = 0x6c000000; x < 0x70000000; ++x) {
    const std::uint64_t r =
        model::QuarterTurns((x & 0x7fffff) | 0x800000, static_cast<int>(x >> 23) - 127) & kMask;
    if (std::min(r, ~r & kMask) >> 28 == 0) close.push_back(x);  // 2^-24 of a quadrant
  }
  REQUIRE(close.size() >= 8);
  Bench bench(5, 0, kRows);
  const auto image = FunctionSet({ActFunc::kSin, ActFunc::kCos}).Image();
  bench.Run({PlaceImage(bench.memory, image, 0, kRows, 0)});
  REQUIRE(bench.memory.functions.Load(image));
  for (const ActFunc func : {ActFunc::kSin, ActFunc::kCos}) {
    for (std::uint32_t p = 0; p < kRows; ++p) {
      for (std::size_t n = 0; n < close.size(); ++n) {
        bench.memory.Store(0, p, static_cast<std::int64_t>(4 * n), Dtype::kFp32,
                           close[n] | (p % 2 != 0 ? kFp32Sign : 0));
      }
    }
    EngineInstr i = Packed(Op::kAct, static_cast<std::uint16_t>(close.size()), Dtype::kFp32, 8192, 0,
                           0, kRows);
    i.func = static_cast<std::uint8_t>(func);
    i.imm0 = kFp32One;
    i.src1_imm = 1;
    isa::SetImm1(i, kFp32Sign);
    LaneMemory expected = bench.memory;
    Execute(i, expected);
    bench.Run({i});
    REQUIRE(bench.memory.Difference(expected) == "");
  }
}

TEST_CASE("every bit of the CRC counts", "[scalar][functions][load]") {
  Bench bench(6, 0, kRows);
  const auto good = FunctionSet({ActFunc::kReciprocal}).Image();
  // What a flip of each of the last 32 bits does to the CRC; then combinations that change one bit of it.
  std::array<std::uint32_t, 32> effect{}, flips{};
  for (std::uint32_t b = 0; b < 32; ++b) {
    auto image = good;
    image[image.size() - 4 + b / 8] ^= static_cast<std::uint8_t>(1u << b % 8);
    effect[b] = Crc32Of(image) ^ Crc32Of(good);
    flips[b] = 1u << b;
  }
  for (std::uint32_t bit = 0; bit < 32; ++bit) {  // Gauss: afterwards effect[bit] == 1 << bit
    std::uint32_t from = bit;
    while ((effect[from] >> bit & 1) == 0) ++from;
    std::swap(effect[from], effect[bit]);
    std::swap(flips[from], flips[bit]);
    for (std::uint32_t k = 0; k < 32; ++k) {
      if (k == bit || (effect[k] >> bit & 1) == 0) continue;
      effect[k] ^= effect[bit];
      flips[k] ^= flips[bit];
    }
  }
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    auto bad = good;
    for (std::uint32_t b = 0; b < 4; ++b) {
      bad[bad.size() - 4 + b] ^= static_cast<std::uint8_t>(flips[bit] >> (8 * b));
    }
    REQUIRE((Crc32Of(bad) ^ Crc32Of(good)) == 1u << bit);
    bench.errors.clear();
    bench.Run({PlaceImage(bench.memory, bad, 0, kRows, 0)});
    REQUIRE(bench.errors.size() == 1);
  }
  bench.errors.clear();
  bench.Run({PlaceImage(bench.memory, good, 0, kRows, 0)});
  REQUIRE(bench.errors.empty());
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

TEST_CASE("a packed function or sum of n elements takes n + 23 cycles, a load two per word and 4",
          "[scalar][timing]") {
  Bench bench(1, 0, kRows);
  const auto image = FunctionSet({ActFunc::kExp}).Image();
  const EngineInstr load = PlaceImage(bench.memory, image, 0, kRows, 0);
  REQUIRE(bench.Run({load}) == 2 * image.size() / 8 + 5);  // from the offer to done, both included
  EngineInstr i = Packed(Op::kAct, 512, Dtype::kFp32, 0, 4096, 8192, kRows);
  i.func = static_cast<std::uint8_t>(ActFunc::kExp);
  REQUIRE(bench.Run({i}) == 512 + 24);
  i.sum = static_cast<std::uint8_t>(isa::ActSum::kRunning);
  REQUIRE(bench.Run({i}) == 512 + 24);
  REQUIRE(bench.Run({i, i, i}) == 3 * (512 + 23) + 1);
}
