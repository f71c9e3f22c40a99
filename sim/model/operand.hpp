// What an element in SBUF is to the PE array: every dtype, piece and byte as a bf16 pattern.
//
// The array multiplies operands (-1)^s * m * 2^(e - 134), m of 8 bits: exactly the bf16 numbers. fp8
// is one of them. fp16 and fp32 go in pieces of their significand, each a bf16 number of its own; the
// pieces of a number add up to it. An integer v below 256 is the pattern v: a subnormal or, from
// 128 on, a number of the smallest binade, both with e = 1.
//
// RTL  rtl/tensor/operand_decode.sv      Test  tb/model/operand_test.cpp
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "sim/isa/isa.hpp"
#include "sim/model/column_sum.hpp"

namespace dither::model {

inline constexpr std::uint16_t kOperandNan = 0x7fc0;
inline constexpr std::uint16_t kOperandInf = 0x7f80;
inline constexpr std::uint16_t kOperandOne = 1;  // as an integer

// The bf16 pattern of (-1)^negative * m * 2^(exp - 134), m < 256, -15 <= exp <= 254: normalised as
// far as the exponent allows; what lies below 2^-133, bf16's last bit, is dropped.
constexpr std::uint16_t PackOperand(bool negative, int exp, std::uint32_t m) {
  const int up = std::min(std::countl_zero(static_cast<std::uint8_t>(m)), exp - 1);
  m = up < 0 ? m >> -up : m << up;
  const std::uint32_t field = (m & 0x80) != 0 ? static_cast<std::uint32_t>(exp - up) : 0;
  return static_cast<std::uint16_t>((negative ? 0x8000u : 0u) | field << 7 | (m & 0x7f));
}

// How a matmul reads one of its sources.
struct OperandMode {
  isa::Dtype dtype;
  std::uint8_t piece = 0;  // of fp16 and fp32, from the top
  // Infinities and NaN count as +0: in all passes but the one of both highest pieces, where an
  // infinity would meet a low piece of 0.
  bool finite_only = false;
};
constexpr OperandMode ModeOf0(const isa::EngineInstr& i) {
  return {static_cast<isa::Dtype>(i.dtype_0), i.piece_0, (i.piece_0 | i.piece_1) != 0};
}
constexpr OperandMode ModeOf1(const isa::EngineInstr& i) {
  return {static_cast<isa::Dtype>(i.dtype_1), i.piece_1, (i.piece_0 | i.piece_1) != 0};
}

// A NaN becomes kOperandNan.
constexpr std::uint16_t ToOperand(OperandMode mode, std::uint32_t bits) {
  // A float of `width` bits, of which `man_bits` are mantissa.
  const auto floating = [&](int width, int man_bits, bool has_inf) -> std::uint16_t {
    const std::uint32_t top = (1u << (width - 1 - man_bits)) - 1;  // largest exponent field
    const bool negative = (bits >> (width - 1) & 1) != 0;
    const std::uint32_t field = bits >> man_bits & top;
    const std::uint32_t man = bits & ((1u << man_bits) - 1);
    const bool special = field == top && (has_inf || man == (1u << man_bits) - 1);
    if (special) {
      if (mode.finite_only) return 0;
      if (!has_inf || man != 0) return kOperandNan;
      return static_cast<std::uint16_t>(kOperandInf | (negative ? 0x8000 : 0));
    }
    // The significand, left-justified in as many bytes as it needs; the piece is one of them.
    const std::uint32_t sig = man | (field != 0 ? 1u << man_bits : 0);
    const int bytes = man_bits / 8 + 1;
    const std::uint32_t wide = sig << (8 * bytes - 1 - man_bits);
    const std::uint32_t m = wide >> (8 * (bytes - 1 - mode.piece)) & 0xff;
    const int bias = static_cast<int>(top / 2);
    const int exp = static_cast<int>(field != 0 ? field : 1) - bias + 127;
    return PackOperand(negative, exp - 8 * mode.piece, m);
  };
  switch (mode.dtype) {
    case isa::Dtype::kFp32: return floating(32, 23, true);
    case isa::Dtype::kBf16: return floating(16, 7, true);
    case isa::Dtype::kFp16: return floating(16, 10, true);
    case isa::Dtype::kFp8E4M3: return floating(8, 3, false);
    case isa::Dtype::kFp8E5M2: return floating(8, 2, true);
    case isa::Dtype::kInt8: {
      const bool negative = (bits & 0x80) != 0;
      return PackOperand(negative, 1, negative ? 0x100 - (bits & 0xff) : bits & 0xff);
    }
    default: return 0;
  }
}

// One of the two numbers of a matmul with pair: the same value as ToOperand, an fp8 subnormal not normalised.
constexpr Factor ToPairFactor(isa::Dtype dtype, std::uint8_t bits) {
  const bool negative = (bits & 0x80) != 0;
  if (dtype == isa::Dtype::kInt8) {
    const std::uint32_t m = negative ? 0x100u - bits : bits;
    return {negative, m != 0 ? 1 : 0, m};
  }
  const bool e4m3 = dtype == isa::Dtype::kFp8E4M3;
  const int man_bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
  const std::int32_t top = e4m3 ? 15 : 31, field = bits >> man_bits & top;
  const std::uint32_t man = bits & ((1u << man_bits) - 1);
  if (e4m3 ? (bits & 0x7f) == 0x7f : field == top) {
    const bool inf = !e4m3 && man == 0;
    return {negative, 255, 0x80, inf, !inf};
  }
  const std::uint32_t m = (man | (field != 0 ? 1u << man_bits : 0u)) << (7 - man_bits);
  return {negative, m != 0 ? std::max(field, 1) + 127 - bias : 0, m};
}

// transpose: one byte of an element. A signed one is taken where it is all of the result.
constexpr bool TransposeSigned(const isa::EngineInstr& i) {
  return i.func == static_cast<std::uint8_t>(isa::TransposeFunc::kByte) ||
         isa::DtypeBytes(static_cast<isa::Dtype>(i.dtype_1)) == 1;
}
constexpr std::uint16_t ToByteOperand(const isa::EngineInstr& i, std::uint32_t bits) {
  const std::uint32_t byte = bits >> (8 * i.piece_1) & 0xff;
  return TransposeSigned(i) ? ToOperand({isa::Dtype::kInt8}, byte) : PackOperand(false, 1, byte);
}
// Bytes by which the sum moves up in its word.
constexpr int TransposeShift(const isa::EngineInstr& i) {
  if (i.func == static_cast<std::uint8_t>(isa::TransposeFunc::kByte)) return 0;
  return i.piece_1 + (static_cast<isa::Dtype>(i.dtype_1) == isa::Dtype::kBf16 ? 2 : 0);
}

}  // namespace dither::model
