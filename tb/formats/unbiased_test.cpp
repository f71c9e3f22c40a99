// Stochastic rounding has no bias: counted over all random words, on the model.
// tb/rounder/soak_test.cpp does the same, and more of it, on the RTL.
#include "tb/rounder/unbiased.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "sim/model/formats.hpp"

namespace dither {
namespace {

constexpr auto kModel = [](Dtype dtype, std::uint32_t fp32, std::uint32_t word) {
  return NarrowFromFp32(dtype, fp32, Round::kSr, false, word);
};

struct Target {
  Dtype dtype;
  std::uint32_t first, last;  // biased exponents from where nearly all is discarded to a large one
};
constexpr Target kTargets[] = {
    {Dtype::kFp16, 113 - 20, 141},     // smallest normal 2^-14
    {Dtype::kFp8E4M3, 121 - 20, 134},  // 2^-6
    {Dtype::kFp8E5M2, 113 - 20, 141},  // 2^-14
    {Dtype::kInt8, 127 - 20, 132},     // 2^0
};

}  // namespace

TEST_CASE("of all random words exactly f/65536 round a bf16 up, for all 65,536 fractions f",
          "[unbiased]") {
  const auto narrow = [](Dtype, std::uint32_t fp32, std::uint32_t word) {
    return NarrowFloat(kBf16Format, fp32, Round::kSr, false, word);
  };
  // A normal number, and the binade of the subnormals.
  for (const std::uint32_t kept : {0x3f80u, 0x0041u}) {
    CAPTURE(kept);
    REQUIRE(tb::EnumerateBf16(narrow, kept, 1) == "");
  }
}

TEST_CASE("of all random words the exact share rounds up, for fractions of every length",
          "[unbiased]") {
  std::mt19937 rng(1);
  for (const Target& t : kTargets) {
    for (std::uint32_t field = t.first; field <= t.last; field += 3) {
      const std::uint32_t fp32 = field << 23 | (rng() & 0x7fffff) | (rng() % 2 << 31);
      CAPTURE(DtypeName(t.dtype), fp32);
      const tb::Wanted w = tb::Judge(kModel, t.dtype, fp32);
      bool others = false;
      REQUIRE(tb::CountUp(kModel, t.dtype, fp32, w, &others) == w.words);
      REQUIRE(!others);
    }
  }
}

TEST_CASE("fp16, fp8 and int8 are unbiased, subnormal results too, or below 2^-24 of a unit",
          "[unbiased]") {
  // Every 61st mantissa: with 61 odd all lengths of the discarded part and all its bits occur.
  for (const Target& t : kTargets) {
    for (const bool negative : {false, true}) {
      tb::Enumeration e;
      for (std::uint32_t field = t.first; field <= t.last; ++field) {
        tb::EnumerateBinade(kModel, t.dtype, field, negative, 61, &e);
      }
      CAPTURE(DtypeName(t.dtype), negative, e.numbers, e.inexact);
      CHECK(e.wrong == "");
      CHECK(e.inexact > 0);
      CHECK(e.worst_bias > 0);
      CHECK(e.worst_bias < std::ldexp(1.0, -kRandomBits));
    }
    // Normal results and integers from 1 up discard 24 bits at most: nothing is lost there.
    tb::Enumeration normal;
    for (std::uint32_t field = t.first + 20; field <= t.last; ++field) {
      tb::EnumerateBinade(kModel, t.dtype, field, false, 61, &normal);
    }
    CHECK(normal.inexact == 0);
  }
}

TEST_CASE("int32 to int8 is exact clamping in every rounding, without a detour's error",
          "[unbiased]") {
  // fp32 holds every integer up to 2^24, and beyond 127 all that matters is the sign.
  std::uint64_t wrong = 0;
  const auto check = [&](std::int32_t value) {
    const std::int32_t clamped = value > 127 ? 127 : value < -128 ? -128 : value;
    for (const Round round : isa::kAllRound) {
      for (const std::uint32_t word : {0u, 0x800000u, 0xffffffu}) {
        wrong += Convert(Dtype::kInt32, Dtype::kInt8, static_cast<std::uint32_t>(value), round,
                         false, word) != (static_cast<std::uint32_t>(clamped) & 0xff);
      }
    }
  };
  for (std::int32_t value = -100000; value <= 100000; ++value) check(value);
  for (int bit = 0; bit < 32; ++bit) {
    for (std::int64_t near = -300; near <= 300; ++near) {
      check(static_cast<std::int32_t>((std::int64_t{1} << bit) + near));
      check(static_cast<std::int32_t>(-(std::int64_t{1} << bit) + near));
    }
  }
  std::mt19937 rng(4);
  for (int n = 0; n < 2000000; ++n) check(static_cast<std::int32_t>(rng()));
  CHECK(wrong == 0);
}

TEST_CASE("rounding a wide sum to fp32 first costs less than 2^-16 of a bf16 unit", "[unbiased]") {
  // The foot and the engines round to fp32, then the rounder to the target: the expectation of the
  // second is its input, so the bias is the first one's error, at most half an fp32 unit.
  std::mt19937_64 rng(6);
  double sum = 0, worst = 0;
  constexpr int kCount = 2000000;
  for (int n = 0; n < kCount; ++n) {
    const std::uint64_t wide = rng() | std::uint64_t{1} << 63;  // 64 bits: a sum before the foot
    const std::uint32_t fp32 = Fp32FromScaled(false, wide, -63);
    // In bf16 units (2^-7); what fp32 lost is exact in 64-bit integers.
    const auto kept = static_cast<std::uint64_t>(
        std::ldexp(static_cast<double>(std::bit_cast<float>(fp32)), 40));
    const auto low = static_cast<double>(static_cast<std::int64_t>((kept << 23) - wide));
    const double bias = std::ldexp(low, -63 + 7);
    sum += bias;
    worst = std::max(worst, std::fabs(bias));
  }
  CHECK(worst <= std::ldexp(1.0, -17));
  CHECK(worst > std::ldexp(0.99, -17));  // it does get there
  // Uniform in +-2^-17: the mean of so many is within 4 * 2^-17 / sqrt(3 n) of zero.
  CHECK(std::fabs(sum / kCount) < 4 * std::ldexp(1.0, -17) / std::sqrt(3.0 * kCount));
}

}  // namespace dither
