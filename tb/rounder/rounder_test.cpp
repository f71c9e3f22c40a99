// rounder against NarrowFromFp32, for every dtype code, rounding and saturation.
#include <verilated.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>

#include "Vrounder.h"
#include "sim/model/formats.hpp"

namespace {

class Bench {
 public:
  Bench() : dut_(&context_) {}
  ~Bench() { dut_.final(); }
  // All roundings and both saturations of one input.
  bool Agrees(std::uint32_t code, std::uint32_t fp32, std::uint32_t random) {
    const auto dtype = static_cast<dither::Dtype>(code);
    dut_.dtype_i = static_cast<std::uint8_t>(code);
    dut_.fp32_i = fp32;
    dut_.random_i = random & dither::kRandomMask;
    for (const dither::Round round : dither::isa::kAllRound) {
      dut_.round_i = static_cast<std::uint8_t>(round);
      for (const bool saturate : {false, true}) {
        dut_.sat_i = saturate;
        dut_.eval();
        wanted_ = dither::NarrowFromFp32(dtype, fp32, round, saturate, random);
        if (dut_.bits_o != wanted_) return false;
        if ((dut_.narrows_o != 0) != dither::ConsumesRandom(dtype)) return false;
        ++compared_;
      }
    }
    return true;
  }
  Vrounder& dut() { return dut_; }
  std::uint32_t wanted() const { return wanted_; }
  std::uint64_t compared() const { return compared_; }

 private:
  VerilatedContext context_;
  Vrounder dut_;
  std::uint32_t wanted_ = 0;
  std::uint64_t compared_ = 0;
};

#define REQUIRE_AGREES(bench, code, fp32, random)                                        \
  if (!(bench).Agrees(code, fp32, random)) {                                             \
    FAIL(std::hex << "dtype " << (code) << " fp32 " << (fp32) << " random " << (random)  \
                  << " round " << +(bench).dut().round_i << " sat " << +(bench).dut().sat_i \
                  << " got " << (bench).dut().bits_o << " wanted " << (bench).wanted()); \
  }

}  // namespace

TEST_CASE("around every exponent the corners of the significand narrow like the model",
          "[rounder]") {
  Bench bench;
  std::mt19937 rng(1);
  for (std::uint32_t code = 0; code < 16; ++code) {
    for (std::uint32_t field = 0; field < 512; ++field) {  // sign and exponent
      for (std::uint32_t bit = 0; bit < 24; ++bit) {
        const std::uint32_t one = std::uint32_t{1} << bit;
        for (const std::uint32_t mantissa :
             {one >> 1, one - 1, (one + 1) & 0x7fffff, 0x7fffff & ~(one >> 1), 0x7fffff & (0 - one),
              0x7fffff & (0 - one - (one >> 1))}) {
          const std::uint32_t fp32 = field << 23 | mantissa;
          REQUIRE_AGREES(bench, code, fp32, rng());
        }
      }
    }
  }
  REQUIRE(bench.compared() >= 16u * 512 * 24 * 6);
}

TEST_CASE("random numbers of every size narrow like the model", "[rounder][random]") {
  Bench bench;
  std::mt19937_64 rng(2);
  for (int i = 0; i < 1500000; ++i) {
    const std::uint64_t word = rng();
    const auto code = static_cast<std::uint32_t>(2 + i % 6);
    auto fp32 = static_cast<std::uint32_t>(word);
    // Two of three inputs lie where the narrow formats and integers live: 2^-30..2^33.
    if (i % 3 != 0) fp32 = (fp32 & 0x807fffff) | (97 + (word >> 50) % 64) << 23;
    if (i % 5 == 0) fp32 &= 0xffff0000 << (i % 4);  // exact values and ties
    REQUIRE_AGREES(bench, code, fp32, static_cast<std::uint32_t>(word >> 32));
  }
  REQUIRE(bench.compared() > 100000);
}

TEST_CASE("the random word decides exactly at 2^24 minus the discarded fraction",
          "[rounder][sr]") {
  Bench bench;
  std::mt19937_64 rng(3);
  bench.dut().round_i = static_cast<std::uint8_t>(dither::Round::kSr);
  bench.dut().sat_i = 0;
  int decided = 0;  // values for which some random words round up and some down
  for (int i = 0; i < 300000; ++i) {
    const std::uint64_t word = rng();
    const auto dtype = static_cast<dither::Dtype>(2 + i % 6);
    const auto fp32 =
        static_cast<std::uint32_t>((word & 0x807fffff) | (85 + (word >> 50) % 76) << 23);
    bench.dut().dtype_i = static_cast<std::uint8_t>(dtype);
    bench.dut().fp32_i = fp32;
    const auto narrow = [&](std::uint32_t random) {
      bench.dut().random_i = random;
      bench.dut().eval();
      return bench.dut().bits_o;
    };
    // Bisect for the first word that rounds up, if any does.
    const std::uint32_t down = narrow(0);
    std::uint64_t low = 0, high = std::uint64_t{1} << 24;
    while (high - low > 1) {
      const std::uint64_t middle = (low + high) / 2;
      (narrow(static_cast<std::uint32_t>(middle)) == down ? low : high) = middle;
    }
    const auto model = [&](std::uint64_t random) {
      return dither::NarrowFromFp32(dtype, fp32, dither::Round::kSr, false,
                                    static_cast<std::uint32_t>(random));
    };
    CAPTURE(i, fp32, low, high);
    if (model(low) != down) FAIL("rounds up too late");
    if (high < std::uint64_t{1} << 24 && model(high) == down) FAIL("rounds up too soon");
    decided += high < std::uint64_t{1} << 24;
  }
  REQUIRE(decided > 100000);
}
