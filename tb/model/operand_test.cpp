// Operands of the array against the values that the formats' definitions give, in double precision.
#include <catch2/catch.hpp>

#include <cmath>
#include <random>

#include "sim/golden/golden.hpp"
#include "sim/model/check.hpp"
#include "sim/model/operand.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;

double OperandValue(std::uint16_t operand) { return golden::ValueOf(operand, 8, 7); }

// The pieces of a pattern add up to its value; returns how many are not zero.
int CheckPieces(Dtype dtype, std::uint32_t bits) {
  const double want = tb::Value(dtype, bits);
  const std::uint32_t pieces = dtype == Dtype::kInt8 ? 1 : PiecesOf(dtype);
  const double normal = std::ldexp(1, dtype == Dtype::kFp16 ? -14 : -126);  // smallest
  double sum = 0;
  int nonzero = 0;
  CAPTURE(isa::Name(dtype), bits);
  if (!std::isfinite(want)) {
    const std::uint16_t top = model::ToOperand({dtype, 0, false}, bits);
    if (std::isnan(want)) {
      REQUIRE(top == model::kOperandNan);
    } else {
      REQUIRE(OperandValue(top) == want);
    }
    for (std::uint8_t p = 0; p < pieces; ++p) {
      REQUIRE(model::ToOperand({dtype, p, true}, bits) == 0);
    }
    return 0;
  }
  for (std::uint8_t p = 0; p < pieces; ++p) {
    const std::uint16_t operand = model::ToOperand({dtype, p, false}, bits);
    REQUIRE(model::ToOperand({dtype, p, true}, bits) == operand);
    const double value = OperandValue(operand);
    REQUIRE(std::isfinite(value));
    REQUIRE(std::signbit(value) == std::signbit(want));
    // From the top: what a piece leaves is smaller than its own last place could say.
    sum += value;
    REQUIRE((want == sum ||
             std::fabs(want - sum) < std::ldexp(std::max(std::fabs(want), normal), -7 - 8 * p) +
                                         (dtype == Dtype::kFp32 ? std::ldexp(1, -132) : 0)));
    nonzero += value != 0;
  }
  if (dtype != Dtype::kInt8) {
    // Nothing is lost above bf16's last subnormal bit, and what is, is cut off.
    const double lost = std::fabs(want) - std::fabs(sum);
    REQUIRE(lost >= 0);
    REQUIRE(lost < (dtype == Dtype::kFp32 ? 2 * std::ldexp(1, -133) : 1e-300));
  }
  return nonzero;
}

}  // namespace

TEST_CASE("the pieces of every fp16, bf16 and fp8 number add up to it", "[operand]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    CheckPieces(Dtype::kFp16, bits);
    CheckPieces(Dtype::kBf16, bits);
    if (bits < 256) {
      CheckPieces(Dtype::kFp8E4M3, bits);
      CheckPieces(Dtype::kFp8E5M2, bits);
    }
  }
}

TEST_CASE("the pieces of fp32 numbers add up to them, but for what lies below bf16's range",
          "[operand]") {
  std::mt19937 random(1);
  int three = 0;
  for (std::uint32_t field = 0; field < 256; ++field) {
    for (int n = 0; n < 3000; ++n) {
      // Significands of all lengths, and with runs of zeros in the middle.
      std::uint32_t man = random() & 0x7fffff;
      if (n % 4 == 1) man &= 0x7fffffu << (random() % 24);
      if (n % 4 == 2) man &= ~(0xffffu << (random() % 16));
      if (n % 4 == 3) man >>= random() % 23;
      three += CheckPieces(Dtype::kFp32, (random() & 0x80000000u) | field << 23 | man) == 3;
    }
  }
  CHECK(three > 100000);
  // All three pieces are exact where the exponent leaves them room.
  const std::uint32_t x = 150u << 23 | 0x345678;
  CHECK(OperandValue(model::ToOperand({Dtype::kFp32, 0}, x)) == 0xb4 * 65536.0);
  CHECK(OperandValue(model::ToOperand({Dtype::kFp32, 1}, x)) == 0x56 * 256.0);
  CHECK(OperandValue(model::ToOperand({Dtype::kFp32, 2}, x)) == 0x78);
}

TEST_CASE("integers are operands of one exponent whose significand is the magnitude",
          "[operand]") {
  for (int v = -128; v < 128; ++v) {
    const std::uint16_t operand =
        model::ToOperand({Dtype::kInt8}, static_cast<std::uint8_t>(v));
    CHECK(OperandValue(operand) == std::ldexp(v, -133));
    CHECK((operand & 0x7fff) == std::abs(v));
  }
  isa::EngineInstr i;
  i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    i.dtype_1 = static_cast<std::uint8_t>(Dtype::kFp32);
    i.piece_1 = 2;
    CHECK(model::ToByteOperand(i, byte << 16 | 0xa500a5a5) == byte);
    i.func = static_cast<std::uint8_t>(isa::TransposeFunc::kByte);
    CHECK(model::ToByteOperand(i, byte << 16 | 0xa500a5a5) ==
          model::ToOperand({Dtype::kInt8}, byte));
    i.func = 0;
  }
}

}  // namespace dither
