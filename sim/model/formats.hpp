// Number formats of Dither and the conversions between them, on integers only.
//
// This file is the referee: the RTL rounder and widener agree with it bit for bit, and no result
// depends on the host's floating point. A float is held right-justified in a uint32_t. Every
// conversion passes through fp32, as it does in hardware (int32 beyond 2^24 rounds on the way in).
//
// Test  tb/formats/formats_test.cpp        RTL  rtl/rounder/rounder.sv, rtl/fp/fp_widen.sv
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "sim/isa/isa.hpp"

namespace dither {

using isa::Dtype;
using isa::Round;

// The one NaN that arithmetic produces: positive, quiet, only the top mantissa bit set.
inline constexpr std::uint32_t kFp32Nan = 0x7fc00000;
inline constexpr std::uint32_t kFp32Inf = 0x7f800000;
inline constexpr std::uint32_t kFp32MaxFinite = 0x7f7fffff;
inline constexpr std::uint32_t kFp32Sign = 0x80000000;
inline constexpr std::uint32_t kFp32One = 0x3f800000;

constexpr bool Fp32IsNan(std::uint32_t bits) { return (bits & ~kFp32Sign) > kFp32Inf; }
constexpr bool Fp32IsInf(std::uint32_t bits) { return (bits & ~kFp32Sign) == kFp32Inf; }
constexpr bool Fp32IsZero(std::uint32_t bits) { return (bits & ~kFp32Sign) == 0; }

using isa::DtypeBytes;
constexpr std::string_view DtypeName(Dtype dtype) { return isa::Name(dtype); }

// Shape of a float format narrower than fp32, all patterns without the sign bit. A finite
// magnitude pattern p has the value of a fixed-point number that is piecewise linear in p, so
// rounding may carry from mantissa into exponent by plain addition, subnormals included.
struct FloatFormat {
  int mantissa_bits;
  int min_exponent;  // of the smallest normal number; subnormals share its grid
  std::uint32_t max_finite;
  std::uint32_t infinity;  // what an overflow becomes without saturation (e4m3: NaN)
  std::uint32_t nan;       // canonical quiet NaN
  std::uint32_t sign;      // mask of the sign bit
  bool saturate_infinity;  // whether saturation also replaces a true infinity (OCP fp8 rule)
};

inline constexpr FloatFormat kBf16Format{7, -126, 0x7f7f, 0x7f80, 0x7fc0, 0x8000, false};
inline constexpr FloatFormat kFp16Format{10, -14, 0x7bff, 0x7c00, 0x7e00, 0x8000, false};
inline constexpr FloatFormat kFp8E4M3Format{3, -6, 0x7e, 0x7f, 0x7f, 0x80, true};
inline constexpr FloatFormat kFp8E5M2Format{2, -14, 0x7b, 0x7c, 0x7e, 0x80, true};

// Bits of a random word. A significand has 24, so more than these are discarded only where the
// discarded fraction is below a half: below a target's subnormal grid, or integers of tiny values.
inline constexpr int kRandomBits = 24;
inline constexpr std::uint32_t kRandomMask = (std::uint32_t{1} << kRandomBits) - 1;

// Rounds value / 2^shift to an integer, for any shift >= 0. With f = the discarded fraction:
//   kRne  nearest, ties to even
//   kRtz  down
//   kSr   up iff floor(f * 2^24) + random >= 2^24, random being the low 24 bits of the argument.
//         So with uniform words the probability is f itself if no more than 24 bits are discarded,
//         else low by less than 2^-24; an exact value never moves.
constexpr std::uint64_t RoundShift(std::uint64_t value, int shift, Round round,
                                   std::uint32_t random) {
  if (shift == 0) return value;
  const std::uint64_t kept = shift > 63 ? 0 : value >> shift;
  if (round == Round::kRtz) return kept;
  const std::uint64_t rest = shift > 63 ? value : value & ((std::uint64_t{1} << shift) - 1);
  if (round == Round::kSr) {
    const int beyond = shift - kRandomBits;
    const std::uint64_t fraction =
        beyond <= 0 ? rest << -beyond : (beyond > 63 ? 0 : rest >> beyond);
    return kept + ((fraction + (random & kRandomMask)) >> kRandomBits);
  }
  if (shift > 64) return kept;  // less than half: value < 2^64
  const std::uint64_t half = std::uint64_t{1} << (shift - 1);
  return kept + (rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0);
}

// The fp32 nearest to (-1)^negative * magnitude * 2^exponent, ties to even, overflow to infinity.
// A caller that had to drop low bits of the magnitude may or them into bit 0 ("jam") as long as
// at least 26 bits stand above it.
constexpr std::uint32_t Fp32FromScaled(bool negative, std::uint64_t magnitude, int exponent) {
  const std::uint32_t sign = negative ? kFp32Sign : 0;
  if (magnitude == 0) return sign;
  const int top = 63 - std::countl_zero(magnitude) + exponent;
  const int unit = top - 23 > -149 ? top - 23 : -149;  // weight of the last kept place
  if (unit > 127 - 23) return sign | kFp32Inf;
  const int shift = unit - exponent;
  const std::uint64_t kept =
      shift <= 0 ? magnitude << -shift : RoundShift(magnitude, shift, Round::kRne, 0);
  const std::uint64_t bits = (static_cast<std::uint64_t>(unit + 149) << 23) + kept;
  return sign | (bits >= kFp32Inf ? kFp32Inf : static_cast<std::uint32_t>(bits));
}

constexpr std::uint32_t WidenFloat(const FloatFormat& format, std::uint32_t bits) {
  const std::uint32_t magnitude = bits & (format.sign - 1);
  const bool negative = (bits & format.sign) != 0;
  const std::uint32_t sign = negative ? kFp32Sign : 0;
  if (magnitude > format.max_finite) {
    const bool infinite = magnitude == format.infinity && format.infinity != format.nan;
    return sign | (infinite ? kFp32Inf : kFp32Nan);
  }
  const int field = static_cast<int>(magnitude >> format.mantissa_bits);
  const std::uint32_t one = std::uint32_t{1} << format.mantissa_bits;
  const std::uint32_t fraction = magnitude & (one - 1);
  return field == 0 ? Fp32FromScaled(negative, fraction, format.min_exponent - format.mantissa_bits)
                    : sign | (static_cast<std::uint32_t>(field - 1 + format.min_exponent + 127)
                              << 23) |
                          (fraction << (23 - format.mantissa_bits));
}

// Exact value of any dtype's pattern as fp32 (int32: nearest, ties to even). NaN becomes the
// quiet NaN 0x7fc00000 with its sign kept; an fp32 passes untouched.
constexpr std::uint32_t WidenToFp32(Dtype dtype, std::uint32_t bits) {
  switch (dtype) {
    case Dtype::kBf16:
      return (bits & 0x7fff) > 0x7f80 ? ((bits & 0x8000) << 16) | kFp32Nan : (bits & 0xffff) << 16;
    case Dtype::kFp16:
      return WidenFloat(kFp16Format, bits);
    case Dtype::kFp8E4M3:
      return WidenFloat(kFp8E4M3Format, bits);
    case Dtype::kFp8E5M2:
      return WidenFloat(kFp8E5M2Format, bits);
    case Dtype::kInt8: {
      const bool negative = (bits & 0x80) != 0;
      return Fp32FromScaled(negative, negative ? 0x100 - (bits & 0xff) : bits & 0xff, 0);
    }
    case Dtype::kInt32: {
      const bool negative = (bits & 0x80000000) != 0;
      return Fp32FromScaled(negative, negative ? 0u - bits : bits, 0);
    }
    default:
      return bits;
  }
}

constexpr std::uint32_t NarrowFloat(const FloatFormat& format, std::uint32_t fp32, Round round,
                                    bool saturate, std::uint32_t random) {
  const std::uint32_t sign = (fp32 & kFp32Sign) != 0 ? format.sign : 0;
  const std::uint32_t magnitude = fp32 & ~kFp32Sign;
  if (magnitude > kFp32Inf) return sign | format.nan;
  if (magnitude == kFp32Inf) {
    return sign | (saturate && format.saturate_infinity ? format.max_finite : format.infinity);
  }
  const int field = static_cast<int>(magnitude >> 23);
  const int exponent = (field == 0 ? 1 : field) - 127;
  const std::uint32_t significand = (magnitude & 0x7fffff) | (field == 0 ? 0 : 0x800000);
  // Binades above the smallest normal one; below it the grid stays and the shift grows instead.
  const int above = exponent - format.min_exponent;
  const int shift = 23 - format.mantissa_bits + (above < 0 ? -above : 0);
  const std::uint64_t kept = RoundShift(significand, shift, round, random);
  const std::uint64_t bits =
      (static_cast<std::uint64_t>(above < 0 ? 0 : above) << format.mantissa_bits) + kept;
  if (bits <= format.max_finite) return sign | static_cast<std::uint32_t>(bits);
  // IEEE 754: rounding toward zero never overflows to infinity.
  return sign | (saturate || round == Round::kRtz ? format.max_finite : format.infinity);
}

// Integers always saturate; NaN becomes 0.
constexpr std::uint32_t NarrowInt(int width, std::uint32_t fp32, Round round,
                                  std::uint32_t random) {
  const bool negative = (fp32 & kFp32Sign) != 0;
  const std::uint32_t magnitude = fp32 & ~kFp32Sign;
  if (magnitude > kFp32Inf) return 0;
  const int field = static_cast<int>(magnitude >> 23);
  const std::uint64_t significand = (magnitude & 0x7fffff) | (field == 0 ? 0 : 0x800000);
  const std::uint64_t limit = (std::uint64_t{1} << (width - 1)) - (negative ? 0 : 1);
  const int shift = 150 - (field == 0 ? 1 : field);
  std::uint64_t value = limit;
  if (field < 127 + 32) {  // below 2^32, so neither shift direction loses high bits
    const std::uint64_t rounded =
        shift <= 0 ? significand << -shift : RoundShift(significand, shift, round, random);
    value = rounded < limit ? rounded : limit;
  }
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  return static_cast<std::uint32_t>((negative ? 0 - value : value) & mask);
}

// Narrows an fp32 to any dtype. Subnormals count on both sides, -0 stays -0, NaN becomes the
// target's quiet NaN (top mantissa bit alone; e4m3: 0x7f) with its sign kept. A magnitude that
// rounds beyond the largest finite one becomes that one when `saturate` or rounding toward zero,
// else infinity (e4m3: NaN). A true infinity stays one in bf16 and fp16; in fp8 `saturate` makes
// it the largest finite number. `random` matters for Round::kSr only. fp32 passes untouched.
constexpr std::uint32_t NarrowFromFp32(Dtype dtype, std::uint32_t fp32, Round round, bool saturate,
                                       std::uint32_t random) {
  switch (dtype) {
    case Dtype::kBf16:
      return NarrowFloat(kBf16Format, fp32, round, saturate, random);
    case Dtype::kFp16:
      return NarrowFloat(kFp16Format, fp32, round, saturate, random);
    case Dtype::kFp8E4M3:
      return NarrowFloat(kFp8E4M3Format, fp32, round, saturate, random);
    case Dtype::kFp8E5M2:
      return NarrowFloat(kFp8E5M2Format, fp32, round, saturate, random);
    case Dtype::kInt8:
      return NarrowInt(8, fp32, round, random);
    case Dtype::kInt32:
      return NarrowInt(32, fp32, round, random);
    default:
      return fp32;
  }
}

// Whether narrowing to this dtype may discard bits, and so uses up one random word.
constexpr bool ConsumesRandom(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBf16:
    case Dtype::kFp16:
    case Dtype::kFp8E4M3:
    case Dtype::kFp8E5M2:
    case Dtype::kInt8:
    case Dtype::kInt32:
      return true;
    default:
      return false;
  }
}

// Any dtype to any other, by way of fp32. Equal dtypes are a copy: no bit changes.
constexpr std::uint32_t Convert(Dtype from, Dtype to, std::uint32_t bits, Round round,
                                bool saturate, std::uint32_t random) {
  return from == to ? bits : NarrowFromFp32(to, WidenToFp32(from, bits), round, saturate, random);
}

}  // namespace dither
