// fp_widen, both functions, against WidenToFp32: every pattern of the narrow dtypes, many of the wide ones.
#include <verilated.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <random>

#include "Vfp_widen.h"
#include "sim/model/formats.hpp"

namespace {

// Returns how many of the patterns differ from the model.
class Widener {
 public:
  Widener() : dut_(&context_) {}
  ~Widener() { dut_.final(); }
  bool Agrees(std::uint32_t code, std::uint32_t bits) {
    dut_.dtype_i = static_cast<std::uint8_t>(code);
    dut_.bits_i = bits;
    dut_.eval();
    const auto dtype = static_cast<dither::Dtype>(code);
    const std::uint32_t expected = dither::WidenToFp32(dtype, bits);
    const bool is_short = code != 0 && code <= 7 && dither::DtypeBytes(dtype) < 4;
    return dut_.fp32_o == expected && (!is_short || dut_.short_o == expected);
  }

 private:
  VerilatedContext context_;
  Vfp_widen dut_;
};

}  // namespace

TEST_CASE("every 16-bit word widens like the model for every dtype code, defined or not",
          "[fp_widen]") {
  Widener widener;
  std::mt19937 rng(1);
  for (std::uint32_t code = 0; code < 16; ++code) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const std::uint32_t above = rng() << 16;  // ignored by the narrow dtypes
      CAPTURE(code, bits, above);
      if (!widener.Agrees(code, bits) || !widener.Agrees(code, bits | above)) FAIL();
    }
  }
  SUCCEED();
}

TEST_CASE("int32 of every length widens with the model's rounding", "[fp_widen]") {
  Widener widener;
  std::mt19937 rng(2);
  const auto int32 = static_cast<std::uint32_t>(dither::Dtype::kInt32);
  for (int i = 0; i < 4000000; ++i) {
    std::uint32_t bits = rng();
    const auto number = static_cast<std::int32_t>(bits);
    if ((i & 1) != 0) bits = static_cast<std::uint32_t>(number >> (i % 31));
    if ((i & 6) == 6) bits = (bits & 0xffffff00) | (std::uint32_t{1} << (i % 9));  // near ties
    if (!widener.Agrees(int32, bits)) FAIL(std::hex << bits);
  }
  for (const std::uint32_t bits : {0u, 1u, ~0u, 0x80000000u, 0x7fffffffu, 0x80000001u}) {
    CHECK(widener.Agrees(int32, bits));
  }
}
