// The LFSR model against polynomial arithmetic over GF(2) written out here.
#include "sim/model/lfsr.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

namespace {

// x^32 + x^23 + x^18 + x^5 + 1 without its top term.
constexpr std::uint32_t kPolynomial = 0x00840021;

std::uint32_t Multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (int i = 31; i >= 0; --i) {
    product = (product << 1) ^ ((product >> 31) != 0 ? kPolynomial : 0);
    if (((b >> i) & 1) != 0) product ^= a;
  }
  return product;
}

std::uint32_t PowerOfX(std::uint64_t exponent) {
  std::uint32_t power = 1, square = 2;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) power = Multiply(power, square);
    square = Multiply(square, square);
  }
  return power;
}

}  // namespace

TEST_CASE("the LFSR's polynomial is primitive, so its period is 2^32 - 1", "[lfsr]") {
  REQUIRE(3ull * 5 * 17 * 257 * 65537 == dither::kLfsrPeriod);
  CHECK(PowerOfX(dither::kLfsrPeriod) == 1);
  for (const std::uint64_t prime : {3, 5, 17, 257, 65537}) {
    CAPTURE(prime);
    CHECK(PowerOfX(dither::kLfsrPeriod / prime) != 1);
    CHECK(dither::JumpAhead(1, dither::kLfsrPeriod / prime) != 1);
  }
}

TEST_CASE("the bits that fall out obey the polynomial's recurrence", "[lfsr]") {
  std::uint32_t state = 0x12345678;
  std::vector<std::uint32_t> bits;
  for (int i = 0; i < 10000; ++i, state = dither::LfsrStep(state)) bits.push_back(state & 1);
  bool ok = true;
  for (std::size_t n = 0; n + 32 < bits.size(); ++n) {
    ok = ok && bits[n + 32] == (bits[n] ^ bits[n + 5] ^ bits[n + 18] ^ bits[n + 23]);
  }
  REQUIRE(ok);
}

TEST_CASE("a leap equals 32 single steps from every basis state and from random ones", "[lfsr]") {
  std::mt19937 rng(1);
  for (int i = 0; i < 100032; ++i) {
    const std::uint32_t start = i < 32 ? 1u << i : rng();
    std::uint32_t state = start;
    for (int step = 0; step < dither::kLfsrLeapSteps; ++step) state = dither::LfsrStep(state);
    if (dither::Leap(start) != state) FAIL("leap from " << start);
  }
  SUCCEED();
}

TEST_CASE("jumping ahead composes and agrees with stepping", "[lfsr]") {
  std::uint32_t state = 0xcafe0001;
  for (std::uint64_t n = 0; n < 300; ++n, state = dither::LfsrStep(state)) {
    REQUIRE(dither::JumpAhead(0xcafe0001, n) == state);
  }
  std::mt19937_64 rng(2);
  for (int i = 0; i < 50; ++i) {
    const auto start = static_cast<std::uint32_t>(rng());
    const std::uint64_t a = rng() >> 1, b = rng() >> 1;
    CHECK(dither::JumpAhead(dither::JumpAhead(start, a), b) ==
          dither::JumpAhead(start, a % dither::kLfsrPeriod + b % dither::kLfsrPeriod));
  }
}

TEST_CASE("state zero counts as state one everywhere", "[lfsr]") {
  CHECK(dither::LfsrStep(0) == dither::LfsrStep(1));
  CHECK(dither::Leap(0) == dither::Leap(1));
  CHECK(dither::JumpAhead(0, 12345) == dither::JumpAhead(1, 12345));
  CHECK(dither::LaneSeed(0, 0, 16) == 1);
}

TEST_CASE("lanes start a stride apart and the last one ends before the first began", "[lfsr]") {
  for (const std::uint32_t lanes : {1u, 8u, 16u, 32u, 128u}) {
    const std::uint64_t stride = dither::LaneStride(lanes);
    REQUIRE(stride * lanes <= dither::kLfsrPeriod);
    for (std::uint32_t lane = 0; lane + 1 < lanes; ++lane) {
      REQUIRE(dither::JumpAhead(dither::LaneSeed(77, lane, lanes), stride) ==
              dither::LaneSeed(77, lane + 1, lanes));
    }
  }
  // Stochastic rounding counts on it: no word repeats within a lane's first roundings.
  std::uint32_t state = dither::LaneSeed(77, 3, 16);
  const std::uint32_t start = state;
  for (int i = 0; i < 1000000; ++i) {
    state = dither::Leap(state);
    if (state == start || state == 0) FAIL("repeats after " << i);
  }
}
