// fp32 arithmetic and the reductions against the host's floating point.
#include "sim/model/fp32.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

namespace {

float F(std::uint32_t bits) { return std::bit_cast<float>(bits); }
// The host's answer, with every NaN as the canonical one.
std::uint32_t B(float value) {
  return std::isnan(value) ? dither::kFp32Nan : std::bit_cast<std::uint32_t>(value);
}

const std::vector<std::uint32_t>& Corners() {
  static const std::vector<std::uint32_t> corners = [] {
    std::vector<std::uint32_t> list;
    for (const std::uint32_t b :
         {0x00000000u, 0x00000001u, 0x00000002u, 0x00400000u, 0x007fffffu, 0x00800000u, 0x00800001u,
          0x00ffffffu, 0x01000000u, 0x0c000000u, 0x1f800000u, 0x20000001u, 0x33800000u, 0x34000000u,
          0x3effffffu, 0x3f000000u, 0x3f7fffffu, 0x3f800000u, 0x3f800001u, 0x3fc00000u, 0x3fffffffu,
          0x40000000u, 0x4b000000u, 0x4b800001u, 0x5f7fffffu, 0x7e800000u, 0x7f000000u, 0x7f7fffffu,
          0x7f800000u, 0x7f800001u, 0x7fc00000u, 0x7fffffffu}) {
      list.push_back(b);
      list.push_back(b | 0x80000000);
    }
    return list;
  }();
  return corners;
}

// Compares every binary operation; returns how many differ.
int BinaryMismatches(std::uint32_t a, std::uint32_t b) {
  const float x = F(a), y = F(b);
  const bool nan = std::isnan(x) || std::isnan(y);
  const bool swap_max = y > x || (y == x && !std::signbit(y));
  int bad = 0;
  bad += dither::Fp32Add(a, b) != B(x + y);
  bad += dither::Fp32Sub(a, b) != B(x - y);
  bad += dither::Fp32Mul(a, b) != B(x * y);
  bad += dither::Fp32Max(a, b) != (nan ? dither::kFp32Nan : swap_max ? b : a);
  bad += dither::Fp32Min(a, b) != (nan ? dither::kFp32Nan : swap_max ? a : b);
  bad += dither::Fp32Less(a, b) != (x < y);
  bad += dither::Fp32LessEqual(a, b) != (x <= y);
  bad += dither::Fp32Equal(a, b) != (x == y);
  bad += (dither::Fp32Compare(a, b) == dither::Fp32Order::kUnordered) != nan;
  bad += (dither::Fp32Compare(a, b) == dither::Fp32Order::kGreater) != (x > y);
  return bad;
}

}  // namespace

TEST_CASE("add, sub, mul, max, min and compare equal the host on every pair of corners",
          "[fp32]") {
  for (const std::uint32_t a : Corners()) {
    for (const std::uint32_t b : Corners()) {
      CAPTURE(a, b);
      REQUIRE(BinaryMismatches(a, b) == 0);
    }
  }
}

TEST_CASE("fma equals the host on every triple of corners", "[fp32]") {
  for (const std::uint32_t a : Corners()) {
    for (const std::uint32_t b : Corners()) {
      for (const std::uint32_t c : Corners()) {
        if (dither::Fp32Fma(a, b, c) == B(std::fma(F(a), F(b), F(c)))) continue;
        FAIL(std::hex << a << ' ' << b << ' ' << c);
      }
    }
  }
  SUCCEED();
}

TEST_CASE("binary operations equal the host on millions of random pairs", "[fp32][random]") {
  std::mt19937_64 rng(1);
  for (int i = 0; i < 4000000; ++i) {
    const std::uint64_t word = rng();
    const auto a = static_cast<std::uint32_t>(word);
    auto b = static_cast<std::uint32_t>(word >> 32);
    if (i % 3 == 1) b = (a ^ (b & 0x80ffffff)) + ((b >> 24) & 7);  // close exponents
    if (i % 3 == 2) b = (b & 0x80ffffff) + (a & 0x7f000000);
    if (BinaryMismatches(a, b) != 0) FAIL(std::hex << a << ' ' << b);
  }
  SUCCEED();
}

TEST_CASE("fma equals the host on millions of random triples, cancelling ones included",
          "[fp32][random]") {
  std::mt19937_64 rng(2);
  for (int i = 0; i < 8000000; ++i) {
    const std::uint64_t word = rng(), more = rng();
    auto a = static_cast<std::uint32_t>(word), b = static_cast<std::uint32_t>(word >> 32);
    auto c = static_cast<std::uint32_t>(more);
    switch (i % 4) {
      case 0:
        break;
      case 1:  // the addend all but cancels the product
        c = B(-(F(a) * F(b))) + ((more >> 40) % 5) - 2;
        break;
      case 2:  // a subnormal factor, product around the smallest normal numbers
        a &= 0x807fffff;
        b = (b & 0x807fffff) | (static_cast<std::uint32_t>(110 + (more >> 40) % 60) << 23);
        c = (c & 0x80ffffff) | (static_cast<std::uint32_t>((more >> 50) % 8) << 24);
        break;
      default:  // exponents that keep product and addend within 64 binades
        b = (b & 0x807fffff) | ((254 - ((a >> 23) & 0xff)) << 23);
        c = (c & 0x807fffff) | (static_cast<std::uint32_t>(95 + (more >> 40) % 64) << 23);
        break;
    }
    if (dither::Fp32Fma(a, b, c) != B(std::fma(F(a), F(b), F(c)))) {
      FAIL(std::hex << a << ' ' << b << ' ' << c);
    }
  }
  SUCCEED();
}

TEST_CASE("negation, absolute value and relu treat zeros and NaN as documented", "[fp32]") {
  CHECK(dither::Fp32Relu(0x80000000) == 0);
  CHECK(dither::Fp32Relu(0xff800000) == 0);
  CHECK(dither::Fp32Relu(0x80000001) == 0);
  CHECK(dither::Fp32Relu(0x7f800000) == 0x7f800000);
  CHECK(dither::Fp32Relu(1) == 1);
  for (const std::uint32_t nan : {0x7f800001u, 0xffffffffu, 0xffc00000u}) {
    CHECK(dither::Fp32Relu(nan) == dither::kFp32Nan);
    CHECK(dither::Fp32Neg(nan) == dither::kFp32Nan);
    CHECK(dither::Fp32Abs(nan) == dither::kFp32Nan);
  }
  CHECK(dither::Fp32Neg(0) == 0x80000000);
  CHECK(dither::Fp32Abs(0x80000000) == 0);
  CHECK(dither::Fp32Abs(0xc0400000) == 0x40400000);
  static_assert(dither::Fp32Fma(0x40000000, 0x40400000, 0x3f800000) == 0x40e00000);
}

TEST_CASE("a reduced sum stays within its stated bound of the true sum", "[fp32][sum]") {
  std::mt19937_64 rng(3);
  for (int trial = 0; trial < 3000; ++trial) {
    const int count = trial % 100 == 0 ? 65535 : 1 + static_cast<int>(rng() % 600);
    const int spread = 1 + static_cast<int>(rng() % 60), base = static_cast<int>(rng() % 190);
    dither::SumAccumulator sum;
    __float128 exact = 0;  // 113 bits hold 65,535 terms spread over 61 binades exactly
    int largest = 0;
    for (int i = 0; i < count; ++i) {
      const auto word = static_cast<std::uint32_t>(rng());
      const int field = base + static_cast<int>(rng() % spread);
      const std::uint32_t bits = (word & 0x807fffff) | (static_cast<std::uint32_t>(field) << 23);
      sum.Add(bits);
      exact += static_cast<__float128>(F(bits));
      largest = std::max(largest, std::max(field, 1));
    }
    const double bound = std::ldexp(count, largest - 127 - 23 - 15);
    const std::uint32_t got = sum.Finish();
    const double exact_double = static_cast<double>(exact);
    const double rounding =
        std::max(std::ldexp(1.0, -150), std::ldexp(std::fabs(exact_double) + bound, -24));
    CAPTURE(trial, count, spread, base, got, exact_double);
    REQUIRE(static_cast<double>(static_cast<__float128>(F(got)) - exact) <= bound + rounding);
    REQUIRE(static_cast<double>(static_cast<__float128>(F(got)) - exact) >= -bound - rounding);
  }
}

TEST_CASE("a sum whose terms share 16 binades is the exact sum rounded once", "[fp32][sum]") {
  std::mt19937_64 rng(4);
  for (int trial = 0; trial < 3000; ++trial) {
    const int count = 1 + static_cast<int>(rng() % 1000);
    const int base = static_cast<int>(rng() % 230);
    dither::SumAccumulator sum;
    long double exact = 0;  // 64 bits: 24 + 16 + 10
    // The largest exponent comes first, so nothing that was added shifts out later.
    for (int i = 0; i < count; ++i) {
      const int field = base + (i == 0 ? 16 : static_cast<int>(rng() % 17));
      const auto word = static_cast<std::uint32_t>(rng());
      const std::uint32_t bits = (word & 0x807fffff) | (static_cast<std::uint32_t>(field) << 23);
      sum.Add(bits);
      exact += static_cast<long double>(F(bits));
    }
    CAPTURE(trial, count, base);
    REQUIRE(sum.Finish() == B(static_cast<float>(exact)));
  }
}

TEST_CASE("a sum of one element is that element", "[fp32][sum]") {
  for (const std::uint32_t bits : Corners()) {
    dither::SumAccumulator sum;
    sum.Add(bits);
    CAPTURE(bits);
    CHECK(sum.Finish() == B(F(bits)));
  }
}

TEST_CASE("2^23 - 1 of the largest elements fit the sum's 64 bits and overflow to infinity",
          "[fp32][sum]") {
  for (const std::uint32_t sign : {0u, 0x80000000u}) {
    dither::SumAccumulator sum;
    bool monotonic = true;
    for (int i = 0; i < dither::SumAccumulator::kMaxElements; ++i) {
      const std::int64_t before = sum.sum();
      sum.Add(0x7f7fffff | sign);
      monotonic = monotonic && (sign == 0 ? sum.sum() > before : sum.sum() < before);
      if (i + 1 != 65535) continue;
      CHECK(std::abs(sum.sum()) < std::int64_t{1} << 56);  // 57 signed bits so far
    }
    CHECK(monotonic);
    CHECK(sum.Finish() == (sign | 0x7f800000));
  }
}

TEST_CASE("zeros, infinities and NaN in a sum follow the documented rules", "[fp32][sum]") {
  const auto sum = [](std::vector<std::uint32_t> elements) {
    dither::SumAccumulator s;
    for (const std::uint32_t x : elements) s.Add(x);
    return s.Finish();
  };
  const std::uint32_t inf = 0x7f800000, minus = 0x80000000, one = 0x3f800000;
  CHECK(sum({}) == 0);
  CHECK(sum({0, 0}) == 0);
  CHECK(sum({minus, minus}) == minus);
  CHECK(sum({minus, 0}) == 0);
  CHECK(sum({one, one | minus}) == 0);
  CHECK(sum({minus, one, one | minus}) == 0);
  CHECK(sum({inf, one}) == inf);
  CHECK(sum({inf | minus, one}) == (inf | minus));
  CHECK(sum({inf, inf | minus}) == dither::kFp32Nan);
  CHECK(sum({0xff800001, one}) == dither::kFp32Nan);
  CHECK(sum({inf, 0x7fc00001}) == dither::kFp32Nan);
  CHECK(sum({1, 1, 1}) == 3);
  CHECK(sum({0x80000001, 0x007fffff}) == 0x007ffffe);
  CHECK(sum({0x007fffff, 1}) == 0x00800000);
  CHECK(sum({0x7f7fffff, 0x7f7fffff, 0xff7fffff}) == 0x7f7fffff);  // no early overflow
}

TEST_CASE("a running maximum or minimum equals the fold and keeps NaN", "[fp32]") {
  std::mt19937 rng(6);
  for (int trial = 0; trial < 20000; ++trial) {
    dither::ExtremeAccumulator maximum(true), minimum(false);
    std::vector<std::uint32_t> list(1 + rng() % 8);
    for (auto& x : list) x = rng() % 2 != 0 ? rng() : Corners()[rng() % Corners().size()];
    bool nan = false;
    for (const std::uint32_t x : list) {
      maximum.Add(x);
      minimum.Add(x);
      nan = nan || std::isnan(F(x));
    }
    const auto less = [](std::uint32_t a, std::uint32_t b) {
      return F(a) < F(b) || (F(a) == F(b) && std::signbit(F(a)) && !std::signbit(F(b)));
    };
    const auto most = [&](bool high) {
      if (nan) return dither::kFp32Nan;
      return high ? *std::max_element(list.begin(), list.end(), less)
                  : *std::min_element(list.begin(), list.end(), less);
    };
    REQUIRE(maximum.Finish() == most(true));
    REQUIRE(minimum.Finish() == most(false));
  }
  CHECK(dither::ExtremeAccumulator(true).Finish() == dither::kFp32Nan);
}
