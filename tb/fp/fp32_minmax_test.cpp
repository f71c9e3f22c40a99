// fp32_minmax against Fp32Max and Fp32Min.
#include <verilated.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <random>

#include "Vfp32_minmax.h"
#include "sim/model/fp32.hpp"
#include "tb/fp/corners.hpp"

TEST_CASE("maximum and minimum agree with the model on corners and random pairs",
          "[fp32_minmax]") {
  VerilatedContext context;
  Vfp32_minmax dut(&context);
  const auto agrees = [&](std::uint32_t a, std::uint32_t b) {
    dut.a_i = a;
    dut.b_i = b;
    dut.min_i = 0;
    dut.eval();
    const bool maximum = dut.res_o == dither::Fp32Max(a, b);
    dut.min_i = 1;
    dut.eval();
    return maximum && dut.res_o == dither::Fp32Min(a, b);
  };
  for (const std::uint32_t a : dither::tb::kFp32Corners) {
    for (const std::uint32_t b : dither::tb::kFp32Corners) {
      CAPTURE(a, b);
      REQUIRE(agrees(a, b));
    }
  }
  std::mt19937 rng(1);
  for (int i = 0; i < 3000000; ++i) {
    const std::uint32_t a = rng();
    const std::uint32_t b = i % 2 == 0 ? rng() : a ^ (std::uint32_t{1} << (rng() % 32));
    if (!agrees(a, b)) FAIL(std::hex << a << ' ' << b);
  }
  dut.final();
}

TEST_CASE("the maximum with +0 is relu: -0 turns positive and NaN stays", "[fp32_minmax]") {
  VerilatedContext context;
  Vfp32_minmax dut(&context);
  dut.b_i = 0;
  dut.min_i = 0;
  for (const std::uint32_t a : dither::tb::kFp32Corners) {
    dut.a_i = a;
    dut.eval();
    CAPTURE(a);
    CHECK(dut.res_o == dither::Fp32Relu(a));
  }
  dut.final();
}
