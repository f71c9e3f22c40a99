// Rows at once against the functions of single elements that define them.
#include <catch2/catch.hpp>

#include <random>
#include <vector>

#include "sim/model/formats.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/lfsr.hpp"
#include "sim/model/row_kernels.hpp"

namespace dither::model {
namespace {

// fp32 patterns: anything, near one, near another number, subnormals, zeros, infinities, NaN; `ordinary` leaves
// the last two out, so that no block falls back to the formula.
struct Draw {
  std::mt19937 random;
  bool ordinary = false;
  std::uint32_t operator()(std::uint32_t near = kFp32One) {
    const std::uint32_t b = random();
    std::uint32_t x = random();
    switch (b % 8) {
      case 0: x = (x & 0x807fffff) | (120 + (b >> 8) % 14) << 23; break;
      case 1: x = near ^ (x & 0x80000003); break;
      case 2: x &= 0x807fffff; break;                          // subnormal
      case 3: x = (x & 0x80000000) | (b >> 8 & 1) << 23; break;  // zero, smallest normal
      case 4: x = (x & 0x807fffff) | ((b >> 8 & 31) + 1) << 23; break;
      case 5: x = (x & 0x807f0000) | (90 + (b >> 8) % 70) << 23 | (b >> 31 ? 0x8000 : 0); break;
      case 6: x = ordinary || b >> 9 & 7 ? x : (x & 0x80000000) | (b >> 8 & 1 ? 0x7f800000 : 0x7f800001 + (x & 0xffff)); break;
      default: break;
    }
    if (ordinary && (x & 0x7f800000) == 0x7f800000) x ^= 0x40000000;
    return x;
  }
};

}  // namespace

TEST_CASE("a row of fused multiply-adds has the bits of single ones", "[row_kernels]") {
  const bool ordinary = GENERATE(true, false);
  Draw draw{std::mt19937(11), ordinary};
  for (int trial = 0; trial < 60000; ++trial) {
    const std::uint32_t count = 1 + draw.random() % 40;
    std::vector<std::uint32_t> a(count), b(count), c(count), out(count + 1, 0xa5a5a5a5);
    for (std::uint32_t n = 0; n < count; ++n) {
      a[n] = draw();
      b[n] = trial % 3 == 0 ? kFp32One : draw();
      c[n] = trial % 5 == 0 ? draw(Fp32Mul(a[n], b[n])) : draw(a[n]);
    }
    FmaRow(a.data(), b.data(), c.data(), count, out.data());
    for (std::uint32_t n = 0; n < count; ++n) {
      INFO(std::hex << a[n] << " * " << b[n] << " + " << c[n]);
      REQUIRE(out[n] == Fp32Fma(a[n], b[n], c[n]));
    }
    REQUIRE(out[count] == 0xa5a5a5a5);
    FmaRow(a.data(), b.data(), c.data(), count, a.data());  // in place
    out.pop_back();
    REQUIRE(a == out);
  }
}

TEST_CASE("a row of random words is the rounder's, one after the other", "[row_kernels]") {
  std::mt19937 random(12);
  for (int trial = 0; trial < 2000; ++trial) {
    const bool whiten = trial % 2 == 0;
    std::uint32_t state = LfsrRecover(trial == 0 ? 1 : random());
    const auto count = static_cast<std::uint32_t>(trial < 80 ? trial : random() % 1200);
    std::vector<std::uint32_t> words(count + 1, 0xa5a5a5a5);
    const std::uint32_t after = RandomRow(state, whiten, count, words.data());
    for (std::uint32_t n = 0; n < count; ++n) {
      INFO("word " << n << " of " << count);
      REQUIRE(words[n] == RandomWord(state, whiten));
      state = Leap(state);
    }
    REQUIRE(after == state);
    REQUIRE(words[count] == 0xa5a5a5a5);
  }
}

TEST_CASE("rows narrow and widen as single elements do, at any stride", "[row_kernels]") {
  const Dtype dtype = GENERATE(Dtype::kFp32, Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2,
                               Dtype::kInt8, Dtype::kInt32);
  const Round round = GENERATE(Round::kRne, Round::kSr, Round::kRtz);
  const std::uint32_t bytes = DtypeBytes(dtype);
  Draw draw{std::mt19937(13)};
  for (int trial = 0; trial < 3000; ++trial) {
    const bool saturate = trial % 2 == 0, whiten = trial % 7 != 0;
    const std::uint32_t count = 1 + draw.random() % (trial % 50 == 0 ? 700 : 40);
    const std::int64_t stride = trial % 3 == 0 ? 1 : static_cast<std::int64_t>(draw.random() % 7) - 3;
    std::vector<std::uint32_t> values(count), back(count);
    for (auto& v : values) {
      v = draw();
      // Where narrow formats have their ends.
      if (trial % 2 == 0) v = (v & 0x807fffff) | (127 - 26 + draw.random() % 45) << 23;
    }
    const std::size_t reach = (count - 1) * static_cast<std::size_t>(stride < 0 ? -stride : stride) * bytes;
    const std::size_t first = stride < 0 ? reach : 0;
    std::vector<std::uint8_t> memory(reach + bytes + 8, 0xa5), expected = memory;
    std::uint32_t rounder = LfsrRecover(draw.random()), single = rounder;
    NarrowRow(dtype, values.data(), count, round, saturate, whiten, rounder, &memory[first], stride);
    const bool random = round == Round::kSr && ConsumesRandom(dtype);
    for (std::uint32_t n = 0; n < count; ++n) {
      const std::uint32_t bits =
          NarrowFromFp32(dtype, values[n], round, saturate, random ? RandomWord(single, whiten) : 0);
      if (random) single = Leap(single);
      for (std::uint32_t k = 0; k < bytes; ++k) {
        expected[first + static_cast<std::size_t>(n * stride * bytes) + k] = static_cast<std::uint8_t>(bits >> (8 * k));
      }
    }
    REQUIRE(rounder == single);
    REQUIRE(memory == expected);

    for (auto& e : memory) e = static_cast<std::uint8_t>(draw.random());
    WidenRow(dtype, &memory[first], stride, count, back.data());
    for (std::uint32_t n = 0; n < count; ++n) {
      std::uint32_t bits = 0;
      for (std::uint32_t k = 0; k < bytes; ++k) {
        bits |= static_cast<std::uint32_t>(memory[first + static_cast<std::size_t>(n * stride * bytes) + k]) << (8 * k);
      }
      REQUIRE(back[n] == WidenToFp32(dtype, bits));
    }
  }
}

}  // namespace dither::model
