// The number formats against a second definition that shares nothing with them: values held in
// host doubles, and rounding as a search through the sorted list of all values of a format.
#include "sim/model/formats.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

namespace {

using dither::Convert;
using dither::Dtype;
using dither::NarrowFromFp32;
using dither::Round;
using dither::WidenToFp32;

constexpr std::array kFloats = {Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2};
constexpr std::array kRounds = {Round::kRne, Round::kSr, Round::kRtz};

double ToDouble(std::uint32_t fp32) { return std::bit_cast<float>(fp32); }
std::uint32_t ToBits(float value) { return std::bit_cast<std::uint32_t>(value); }

// All finite magnitudes of a format in rising order; the index is the pattern. One more entry is
// where the next value would stand if the exponent range did not end.
struct Golden {
  int width;
  int exponent_bits;
  bool has_infinity;
  std::vector<double> values;
  double beyond;

  std::uint32_t sign() const { return 1u << (width - 1); }
  std::uint32_t max_finite() const { return static_cast<std::uint32_t>(values.size()) - 1; }
  std::uint32_t nan() const {
    const int mantissa = width - 1 - exponent_bits;
    return has_infinity ? max_finite() + 1 + (1u << (mantissa - 1)) : max_finite() + 1;
  }
  std::uint32_t overflow() const { return max_finite() + 1; }  // infinity, or the NaN of e4m3
};

Golden MakeGolden(int width, int exponent_bits, bool has_infinity) {
  Golden g{width, exponent_bits, has_infinity, {}, 0};
  const int mantissa = width - 1 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto value = [&](int pattern) {
    const int field = pattern >> mantissa;
    const double fraction = std::ldexp(pattern & ((1 << mantissa) - 1), -mantissa);
    return field == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, field - bias);
  };
  const int end = has_infinity ? ((1 << exponent_bits) - 1) << mantissa : (1 << (width - 1)) - 1;
  for (int pattern = 0; pattern < end; ++pattern) g.values.push_back(value(pattern));
  g.beyond = value(end);
  return g;
}

const Golden& GoldenOf(Dtype dtype) {
  static const Golden bf16 = MakeGolden(16, 8, true), fp16 = MakeGolden(16, 5, true),
                      e4m3 = MakeGolden(8, 4, false), e5m2 = MakeGolden(8, 5, true);
  switch (dtype) {
    case Dtype::kBf16:
      return bf16;
    case Dtype::kFp16:
      return fp16;
    case Dtype::kFp8E4M3:
      return e4m3;
    default:
      return e5m2;
  }
}

// Where a finite magnitude lies between its lower neighbour (index) and the next value.
struct Place {
  std::uint32_t lower;
  double fraction;  // of the gap, in [0, 1)
};

Place Find(const Golden& g, double magnitude) {
  const auto after = std::upper_bound(g.values.begin(), g.values.end(), magnitude);
  const auto lower = static_cast<std::uint32_t>(after - g.values.begin()) - 1;
  const double next = after == g.values.end() ? g.beyond : *after;
  return {lower, (magnitude - g.values[lower]) / (next - g.values[lower])};
}

std::uint32_t GoldenNarrow(Dtype dtype, double value, Round round, bool saturate) {
  const Golden& g = GoldenOf(dtype);
  const std::uint32_t sign = std::signbit(value) ? g.sign() : 0;
  if (std::isnan(value)) return sign | g.nan();
  if (std::isinf(value)) {
    return sign | (saturate && g.width == 8 ? g.max_finite() : g.overflow());
  }
  const Place place = Find(g, std::fabs(value));
  std::uint32_t pattern = place.lower;
  if (round == Round::kRne) {
    const bool odd = (place.lower & 1) != 0;
    if (place.fraction > 0.5 || (place.fraction == 0.5 && odd)) ++pattern;
    if (pattern > g.max_finite() && saturate) pattern = g.max_finite();
  }
  return sign | pattern;
}

// fp32 patterns that meet every boundary of a format: each value, each midpoint, each quarter,
// and their fp32 neighbours, of both signs.
std::vector<std::uint32_t> Boundaries(const Golden& g) {
  std::vector<std::uint32_t> list;
  for (std::size_t i = 0; i < g.values.size(); ++i) {
    const double low = g.values[i], high = i + 1 < g.values.size() ? g.values[i + 1] : g.beyond;
    for (const double t : {0.0, 0.25, 0.5, 0.75}) {
      const std::uint32_t bits = ToBits(static_cast<float>(low + t * (high - low)));
      for (const std::uint32_t b : {bits - 1, bits, bits + 1}) {
        if ((b & 0x7fffffff) != b) continue;
        list.push_back(b);
        list.push_back(b | 0x80000000);
      }
    }
  }
  for (const std::uint32_t b : {0u, 1u, 2u, 0x7fffffu, 0x800000u, 0x7f7fffffu, 0x7f800000u}) {
    list.push_back(b);
    list.push_back(b | 0x80000000);
  }
  return list;
}

}  // namespace

TEST_CASE("widening a float gives exactly its value, for every pattern", "[formats]") {
  for (const Dtype dtype : kFloats) {
    const Golden& g = GoldenOf(dtype);
    CAPTURE(dither::DtypeName(dtype));
    bool ok = true;
    for (std::uint32_t bits = 0; bits < (1u << g.width); ++bits) {
      const std::uint32_t wide = WidenToFp32(dtype, bits);
      const std::uint32_t magnitude = bits & ~g.sign();
      const std::uint32_t sign = (bits & g.sign()) != 0 ? 0x80000000 : 0;
      std::uint32_t expected = 0x7fc00000;
      if (magnitude <= g.max_finite()) {
        expected = ToBits(static_cast<float>(g.values[magnitude]));
        ok = ok && ToDouble(expected) == g.values[magnitude];
      } else if (g.has_infinity && magnitude == g.overflow()) {
        expected = 0x7f800000;
      }
      ok = ok && wide == (sign | expected);
    }
    REQUIRE(ok);
  }
}

TEST_CASE("a value that the target has never moves, whatever the rounding and random word",
          "[formats]") {
  for (const Dtype dtype : kFloats) {
    const Golden& g = GoldenOf(dtype);
    CAPTURE(dither::DtypeName(dtype));
    bool ok = true;
    for (std::uint32_t bits = 0; bits < (1u << g.width); ++bits) {
      if ((bits & ~g.sign()) > g.max_finite()) continue;
      for (const Round round : kRounds) {
        for (const std::uint32_t random : {0u, 1u, 0x80000000u, 0xffffffffu}) {
          for (const bool saturate : {false, true}) {
            ok = ok && NarrowFromFp32(dtype, WidenToFp32(dtype, bits), round, saturate, random) ==
                           bits;
          }
        }
      }
    }
    REQUIRE(ok);
  }
}

TEST_CASE("narrowing to nearest even and to zero agrees with a search through all values",
          "[formats]") {
  for (const Dtype dtype : kFloats) {
    std::vector<std::uint32_t> inputs = Boundaries(GoldenOf(dtype));
    std::mt19937 rng(7);
    for (int i = 0; i < 1000000; ++i) inputs.push_back(rng());
    long bad = 0;
    std::uint32_t first_bad = 0;
    for (const std::uint32_t bits : inputs) {
      for (const Round round : {Round::kRne, Round::kRtz}) {
        for (const bool saturate : {false, true}) {
          const std::uint32_t got = NarrowFromFp32(dtype, bits, round, saturate, bits * 77);
          // The host's conversion to double keeps the sign of a NaN.
          if (got == GoldenNarrow(dtype, ToDouble(bits), round, saturate)) continue;
          if (bad++ == 0) first_bad = bits;
        }
      }
    }
    CAPTURE(dither::DtypeName(dtype), first_bad, inputs.size());
    REQUIRE(bad == 0);
  }
}

TEST_CASE("the smallest random word that rounds up is 2^24 minus the discarded fraction",
          "[formats][sr]") {
  for (const Dtype dtype : kFloats) {
    const Golden& g = GoldenOf(dtype);
    std::vector<std::uint32_t> inputs = Boundaries(g);
    std::mt19937 rng(11);
    for (int i = 0; i < 500000; ++i) inputs.push_back(rng());
    // Around the format's own range the shifts are the interesting ones.
    for (int i = 0; i < 500000; ++i) {
      inputs.push_back(ToBits(static_cast<float>(
          std::ldexp(1.0 + rng() / 4294967296.0, static_cast<int>(rng() % 60) - 40))));
    }
    long bad = 0;
    for (const std::uint32_t bits : inputs) {
      const double value = ToDouble(bits);
      if (!std::isfinite(value)) continue;
      const std::uint32_t sign = std::signbit(value) ? g.sign() : 0;
      const Place place = Find(g, std::fabs(value));
      if (place.lower == g.max_finite() && std::fabs(value) >= g.beyond) {  // past the end
        bad += NarrowFromFp32(dtype, bits, Round::kSr, false, 0) != (sign | g.overflow());
        bad += NarrowFromFp32(dtype, bits, Round::kSr, true, ~0u) != (sign | g.max_finite());
        continue;
      }
      const auto fraction = static_cast<std::uint64_t>(std::floor(std::ldexp(place.fraction, 24)));
      const std::uint32_t down = sign | place.lower, up = sign | (place.lower + 1);
      const std::uint64_t first_up = (std::uint64_t{1} << 24) - fraction;
      const auto narrow = [&](std::uint64_t random) {
        return NarrowFromFp32(dtype, bits, Round::kSr, false, static_cast<std::uint32_t>(random));
      };
      bad += narrow(0) != down;
      bad += narrow(first_up - 1) != down;
      if (fraction != 0) bad += narrow(first_up) != up || narrow(0xffffff) != up;
    }
    CAPTURE(dither::DtypeName(dtype));
    REQUIRE(bad == 0);
  }
}

TEST_CASE("overflow, infinity and NaN follow the table of each format", "[formats]") {
  struct Row {
    Dtype dtype;
    std::uint32_t max_finite, overflow, infinity_saturated, nan;
  };
  constexpr std::array rows = {
      Row{Dtype::kBf16, 0x7f7f, 0x7f80, 0x7f80, 0x7fc0},
      Row{Dtype::kFp16, 0x7bff, 0x7c00, 0x7c00, 0x7e00},
      Row{Dtype::kFp8E4M3, 0x7e, 0x7f, 0x7e, 0x7f},
      Row{Dtype::kFp8E5M2, 0x7b, 0x7c, 0x7b, 0x7e},
  };
  for (const Row& row : rows) {
    CAPTURE(dither::DtypeName(row.dtype));
    const std::uint32_t sign = DtypeBytes(row.dtype) == 2 ? 0x8000 : 0x80;
    for (const bool negative : {false, true}) {
      const std::uint32_t in_sign = negative ? 0x80000000 : 0, out_sign = negative ? sign : 0;
      const auto narrow = [&](std::uint32_t bits, Round round, bool saturate, std::uint32_t r) {
        return NarrowFromFp32(row.dtype, bits | in_sign, round, saturate, r) ^ out_sign;
      };
      const std::uint32_t huge = 0x7f7fffff;
      CHECK(narrow(huge, Round::kRne, false, 0) == row.overflow);
      CHECK(narrow(huge, Round::kRne, true, 0) == row.max_finite);
      CHECK(narrow(huge, Round::kRtz, false, ~0u) == row.max_finite);
      CHECK(narrow(huge, Round::kRtz, true, ~0u) == row.max_finite);
      CHECK(narrow(huge, Round::kSr, false, ~0u) == row.overflow);
      CHECK(narrow(huge, Round::kSr, true, ~0u) == row.max_finite);
      for (const Round round : kRounds) {
        CHECK(narrow(0x7f800000, round, false, 5) == row.overflow);
        CHECK(narrow(0x7f800000, round, true, 5) == row.infinity_saturated);
        for (const std::uint32_t nan : {0x7fc00000u, 0x7f800001u, 0x7fffffffu}) {
          CHECK(narrow(nan, round, false, ~0u) == row.nan);
          CHECK(narrow(nan, round, true, ~0u) == row.nan);
        }
        CHECK(narrow(0, round, false, ~0u) == 0);
        CHECK(narrow(1, Round::kRne, false, ~0u) == 0);  // underflow keeps the sign too
      }
    }
  }
  // bf16's largest fp32 that stochastic rounding can still keep finite.
  CHECK(NarrowFromFp32(Dtype::kBf16, 0x7f7f0001, Round::kSr, false, 0xfffeff) == 0x7f7f);
  CHECK(NarrowFromFp32(Dtype::kBf16, 0x7f7f0001, Round::kSr, false, 0xffff00) == 0x7f80);
  CHECK(NarrowFromFp32(Dtype::kFp8E4M3, ToBits(464.0f), Round::kRne, false, 0) == 0x7e);
  CHECK(NarrowFromFp32(Dtype::kFp8E4M3, ToBits(465.0f), Round::kRne, false, 0) == 0x7f);
  CHECK(NarrowFromFp32(Dtype::kFp16, ToBits(65519.99f), Round::kRne, false, 0) == 0x7bff);
  CHECK(NarrowFromFp32(Dtype::kFp16, ToBits(65520.0f), Round::kRne, false, 0) == 0x7c00);
}

TEST_CASE("narrowing to integers rounds like the host, saturates and turns NaN into zero",
          "[formats]") {
  std::mt19937 rng(3);
  long bad = 0;
  for (int i = 0; i < 4000000; ++i) {
    std::uint32_t bits = rng();
    if ((i & 3) != 0) bits = (bits & 0x807fffff) | ((120 + rng() % 45) << 23);  // about +-1..2^37
    if ((i & 7) == 5) bits = ToBits(static_cast<float>(static_cast<int>(rng() % 600) - 300) / 2);
    const double value = ToDouble(bits);
    for (const int width : {8, 32}) {
      const Dtype dtype = width == 8 ? Dtype::kInt8 : Dtype::kInt32;
      const std::uint32_t mask = width == 8 ? 0xff : 0xffffffff;
      const double low = -std::ldexp(1, width - 1), high = -low - 1;
      const auto clamp = [&](double v) {
        if (std::isnan(v)) return 0u;
        return static_cast<std::uint32_t>(static_cast<std::int64_t>(std::clamp(v, low, high))) &
               mask;
      };
      const std::uint32_t random = rng();
      const bool saturate = (random & 1) != 0;  // has no effect
      const auto narrow = [&](Round round, std::uint64_t r) {
        return NarrowFromFp32(dtype, bits, round, saturate, static_cast<std::uint32_t>(r));
      };
      bad += narrow(Round::kRne, random) != clamp(std::nearbyint(value));
      bad += narrow(Round::kRtz, random) != clamp(std::trunc(value));
      if (!std::isfinite(value)) continue;
      const double magnitude = std::fabs(value), floor = std::floor(magnitude);
      const auto fraction = static_cast<std::uint64_t>(std::ldexp(magnitude - floor, 24));
      const std::uint64_t first_up = (std::uint64_t{1} << 24) - fraction;
      bad += narrow(Round::kSr, 0) != clamp(std::copysign(floor, value));
      bad += narrow(Round::kSr, first_up - 1) != clamp(std::copysign(floor, value));
      if (fraction != 0) {
        bad += narrow(Round::kSr, first_up) != clamp(std::copysign(floor + 1, value));
      }
    }
  }
  REQUIRE(bad == 0);
  CHECK(NarrowFromFp32(Dtype::kInt8, 0x7fc00000, Round::kRne, false, 0) == 0);
  CHECK(NarrowFromFp32(Dtype::kInt32, 0xffc00000, Round::kSr, false, ~0u) == 0);
  CHECK(NarrowFromFp32(Dtype::kInt8, 0x7f800000, Round::kRne, false, 0) == 0x7f);
  CHECK(NarrowFromFp32(Dtype::kInt8, 0xff800000, Round::kRne, false, 0) == 0x80);
  CHECK(NarrowFromFp32(Dtype::kInt32, 0x7f800000, Round::kRtz, false, 0) == 0x7fffffff);
  CHECK(NarrowFromFp32(Dtype::kInt32, 0xff800000, Round::kRtz, false, 0) == 0x80000000);
  CHECK(NarrowFromFp32(Dtype::kInt32, ToBits(-2147483648.0f), Round::kSr, false, ~0u) ==
        0x80000000);
}

TEST_CASE("widening an integer gives the host's nearest float", "[formats]") {
  bool ok = true;
  for (int value = -128; value < 128; ++value) {
    const std::uint32_t bits = static_cast<std::uint32_t>(value) & 0xff;
    ok = ok && WidenToFp32(Dtype::kInt8, bits) == ToBits(static_cast<float>(value));
    for (const Round round : kRounds) {
      ok = ok && NarrowFromFp32(Dtype::kInt8, WidenToFp32(Dtype::kInt8, bits), round, false, ~0u) ==
                     bits;
    }
  }
  std::mt19937 rng(5);
  for (int i = 0; i < 2000000; ++i) {
    const auto value = static_cast<std::int32_t>(rng()) >> (rng() % 32);
    ok = ok && WidenToFp32(Dtype::kInt32, static_cast<std::uint32_t>(value)) ==
                   ToBits(static_cast<float>(value));
  }
  for (const std::int32_t value : {INT32_MIN, INT32_MIN + 1, INT32_MAX, 0, 1, -1, 1 << 24,
                                   (1 << 24) + 1, (1 << 24) + 3, -(1 << 25) - 2}) {
    ok = ok && WidenToFp32(Dtype::kInt32, static_cast<std::uint32_t>(value)) ==
                   ToBits(static_cast<float>(value));
  }
  REQUIRE(ok);
}

TEST_CASE("every conversion between 16- and 8-bit floats equals the search from the true value",
          "[formats]") {
  for (const Dtype from : kFloats) {
    for (const Dtype to : kFloats) {
      if (from == to) continue;
      CAPTURE(dither::DtypeName(from), dither::DtypeName(to));
      const Golden& g = GoldenOf(from);
      bool ok = true;
      for (std::uint32_t bits = 0; bits < (1u << g.width); ++bits) {
        const std::uint32_t magnitude = bits & ~g.sign();
        double value = std::nan("");
        if (magnitude <= g.max_finite()) {
          value = g.values[magnitude];
        } else if (g.has_infinity && magnitude == g.overflow()) {
          value = INFINITY;
        }
        value = std::copysign(value, (bits & g.sign()) != 0 ? -1.0 : 1.0);
        for (const Round round : {Round::kRne, Round::kRtz}) {
          for (const bool saturate : {false, true}) {
            ok = ok && Convert(from, to, bits, round, saturate, 0) ==
                           GoldenNarrow(to, value, round, saturate);
          }
        }
      }
      REQUIRE(ok);
    }
  }
}

TEST_CASE("a conversion to the same dtype changes no bit, not even of a signalling NaN",
          "[formats]") {
  CHECK(Convert(Dtype::kInt32, Dtype::kInt32, 0x7fffffff, Round::kSr, true, 1) == 0x7fffffff);
  CHECK(Convert(Dtype::kBf16, Dtype::kBf16, 0x7f81, Round::kRne, true, 1) == 0x7f81);
  CHECK(Convert(Dtype::kFp32, Dtype::kFp32, 0xff800001, Round::kRne, true, 1) == 0xff800001);
  CHECK(Convert(Dtype::kInt32, Dtype::kInt8, 1000, Round::kRne, false, 1) == 0x7f);
  CHECK(Convert(Dtype::kInt8, Dtype::kFp16, 0x80, Round::kRne, false, 1) == 0xd800);
}

TEST_CASE("the formats work at compile time", "[formats]") {
  static_assert(NarrowFromFp32(Dtype::kBf16, 0x3f808000, Round::kRne, false, 0) == 0x3f80);
  static_assert(NarrowFromFp32(Dtype::kBf16, 0x3f818000, Round::kRne, false, 0) == 0x3f82);
  static_assert(WidenToFp32(Dtype::kFp8E4M3, 0x7e) == 0x43e00000);
  static_assert(WidenToFp32(Dtype::kFp8E5M2, 0x01) == 0x37800000);
  static_assert(!dither::ConsumesRandom(Dtype::kFp32) && dither::ConsumesRandom(Dtype::kInt8));
  SUCCEED();
}
