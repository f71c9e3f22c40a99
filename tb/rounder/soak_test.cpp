// Hours are not needed, minutes are: the Verilated rounder over all random words and all fractions.
// Not part of make test; make soak-rounder runs it (SOAK_STEP=n takes every n-th fraction).
#include <verilated.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "Vrounder.h"
#include "sim/model/formats.hpp"
#include "tb/rounder/unbiased.hpp"

namespace dither {
namespace {

// The RTL as the function that unbiased.hpp asks for.
class Rtl {
 public:
  Rtl() : dut_(&context_) {
    dut_.round_i = static_cast<std::uint8_t>(Round::kSr);
    dut_.sat_i = 0;
  }
  ~Rtl() { dut_.final(); }
  std::uint32_t operator()(Dtype dtype, std::uint32_t fp32, std::uint32_t word) {
    dut_.dtype_i = static_cast<std::uint8_t>(dtype);
    dut_.fp32_i = fp32;
    dut_.random_i = word;
    dut_.eval();
    return dut_.bits_o;
  }

 private:
  VerilatedContext context_;
  Vrounder dut_;
};

std::uint32_t Step() {
  const char* step = std::getenv("SOAK_STEP");
  return step != nullptr ? static_cast<std::uint32_t>(std::atoi(step)) : 1;
}

struct Target {
  Dtype dtype;
  std::uint32_t floor, last;  // biased exponent of the smallest normal number (int8: of 1), largest
};
constexpr Target kTargets[] = {{Dtype::kFp16, 113, 115},
                               {Dtype::kFp8E4M3, 121, 123},
                               {Dtype::kFp8E5M2, 113, 115},
                               {Dtype::kInt8, 127, 132}};

}  // namespace

TEST_CASE("RTL: of all random words exactly f/65536 round a bf16 up, for all 65,536 fractions f",
          "[soak]") {
  Rtl rtl;
  CHECK(tb::EnumerateBf16(rtl, 0x3f80, Step()) == "");
}

TEST_CASE("RTL: fp16, fp8 and int8 by every mantissa, subnormal results too", "[soak]") {
  Rtl rtl;
  for (const Target& t : kTargets) {
    tb::Enumeration e;
    // Twelve binades below the smallest normal number, where the discarded part grows past 24 bits.
    for (std::uint32_t field = t.floor - 13; field <= t.last; ++field) {
      tb::EnumerateBinade(rtl, t.dtype, field, (field & 1) != 0, Step(), &e);
    }
    CAPTURE(DtypeName(t.dtype), e.numbers, e.inexact, e.worst_bias);
    CHECK(e.wrong == "");
    CHECK(e.worst_bias < std::ldexp(1.0, -kRandomBits));
    WARN(DtypeName(t.dtype) << ": " << e.numbers << " numbers, " << e.inexact
                            << " of them with more than 24 bits discarded, worst bias "
                            << e.worst_bias << " of a unit");
  }
}

TEST_CASE("RTL: all 2^24 words, one number of every length", "[soak]") {
  Rtl rtl;
  for (const Target& t : kTargets) {
    for (std::uint32_t field = t.floor - 13; field <= t.last; field += 2) {
      const std::uint32_t fp32 = field << 23 | 0x2a5f31;
      CAPTURE(DtypeName(t.dtype), fp32);
      const tb::Wanted w = tb::Judge(rtl, t.dtype, fp32);
      bool others = false;
      CHECK(tb::CountUp(rtl, t.dtype, fp32, w, &others) == w.words);
      CHECK(!others);
    }
  }
}

}  // namespace dither
