// fp32 arithmetic of the vector and scalar engines, on integers only.
//
// All operations take and give bit patterns, count subnormals at full value, round once to
// nearest even, and answer every NaN with the one pattern kFp32Nan. SumAccumulator at the end
// defines the engines' sum reduction, which the RTL follows bit for bit.
//
// Test  tb/formats/fp32_test.cpp        RTL  rtl/fp/fp32_fma.sv, fp32_minmax.sv, sum_acc.sv
#pragma once

#include <cstdint>

#include "sim/model/formats.hpp"

namespace dither {

// A finite fp32 is (-1)^negative * significand * 2^(exponent - 150).
struct Fp32Parts {
  bool negative;
  int exponent;               // biased, 1 for subnormals and zero
  std::uint32_t significand;  // 24 bits, the hidden one included
};

constexpr Fp32Parts Fp32Unpack(std::uint32_t bits) {
  const std::uint32_t field = (bits >> 23) & 0xff;
  return {(bits & kFp32Sign) != 0, static_cast<int>(field == 0 ? 1 : field),
          (bits & 0x7fffff) | (field == 0 ? 0u : 0x800000u)};
}

// value >> shift with every lost one kept alive in bit 0.
constexpr std::uint64_t ShiftRightJam(std::uint64_t value, int shift) {
  if (shift > 63) return value != 0 ? 1 : 0;
  const std::uint64_t lost = value & ((std::uint64_t{1} << shift) - 1);
  return (value >> shift) | (lost != 0 ? 1 : 0);
}

constexpr std::uint32_t Fp32Neg(std::uint32_t a) {
  return Fp32IsNan(a) ? kFp32Nan : a ^ kFp32Sign;
}
constexpr std::uint32_t Fp32Abs(std::uint32_t a) {
  return Fp32IsNan(a) ? kFp32Nan : a & ~kFp32Sign;
}

// a * b + c with one rounding.
//
// The 48-bit product stands at bits 61..14 of a 64-bit window and the addend at bits 60..37, each
// with its units at bit 60; the one with the smaller exponent shifts right and jams. That loses
// nothing the rounding could see: a product is either zero (then the addend's exponent rules), or
// has at least 23 bits below its leading one within the window, or is so small that the result's
// grid is the subnormal one, whose last place is bit 37.
constexpr std::uint32_t Fp32Fma(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  const bool product_negative = ((a ^ b) & kFp32Sign) != 0;
  const bool addend_negative = (c & kFp32Sign) != 0;
  if (Fp32IsNan(a) || Fp32IsNan(b) || Fp32IsNan(c)) return kFp32Nan;
  if (Fp32IsInf(a) || Fp32IsInf(b)) {
    if (Fp32IsZero(a) || Fp32IsZero(b)) return kFp32Nan;
    if (Fp32IsInf(c) && product_negative != addend_negative) return kFp32Nan;
    return (product_negative ? kFp32Sign : 0) | kFp32Inf;
  }
  if (Fp32IsInf(c)) return c;

  const Fp32Parts pa = Fp32Unpack(a), pb = Fp32Unpack(b), pc = Fp32Unpack(c);
  std::uint64_t product = (static_cast<std::uint64_t>(pa.significand) * pb.significand) << 14;
  std::uint64_t addend = static_cast<std::uint64_t>(pc.significand) << 37;
  const int product_exponent = pa.exponent + pb.exponent - 127;
  int exponent = pc.exponent;
  if (product != 0 && product_exponent > exponent) {
    addend = ShiftRightJam(addend, product_exponent - exponent);
    exponent = product_exponent;
  } else if (product != 0) {
    product = ShiftRightJam(product, exponent - product_exponent);
  }

  bool negative = product_negative;
  std::uint64_t magnitude = product + addend;
  if (product_negative != addend_negative) {
    negative = product > addend ? product_negative : addend_negative;
    magnitude = product > addend ? product - addend : addend - product;
    if (magnitude == 0) negative = false;  // IEEE: x - x is +0 unless rounding down
  }
  return Fp32FromScaled(negative, magnitude, exponent - 127 - 60);
}

constexpr std::uint32_t Fp32Add(std::uint32_t a, std::uint32_t b) {
  return Fp32Fma(a, kFp32One, b);
}
constexpr std::uint32_t Fp32Sub(std::uint32_t a, std::uint32_t b) {
  return Fp32Fma(a, kFp32One, b ^ kFp32Sign);
}
// The addend is a zero of the product's sign, so that a -0 product stays -0.
constexpr std::uint32_t Fp32Mul(std::uint32_t a, std::uint32_t b) {
  return Fp32Fma(a, b, (a ^ b) & kFp32Sign);
}

enum class Fp32Order { kLess, kEqual, kGreater, kUnordered };

// IEEE comparison: -0 equals +0, NaN is unordered.
constexpr Fp32Order Fp32Compare(std::uint32_t a, std::uint32_t b) {
  if (Fp32IsNan(a) || Fp32IsNan(b)) return Fp32Order::kUnordered;
  if (a == b || (Fp32IsZero(a) && Fp32IsZero(b))) return Fp32Order::kEqual;
  const bool a_negative = (a & kFp32Sign) != 0, b_negative = (b & kFp32Sign) != 0;
  const bool less = a_negative != b_negative ? a_negative : (a < b) != a_negative;
  return less ? Fp32Order::kLess : Fp32Order::kGreater;
}
constexpr bool Fp32Equal(std::uint32_t a, std::uint32_t b) {
  return Fp32Compare(a, b) == Fp32Order::kEqual;
}
constexpr bool Fp32Less(std::uint32_t a, std::uint32_t b) {
  return Fp32Compare(a, b) == Fp32Order::kLess;
}
constexpr bool Fp32LessEqual(std::uint32_t a, std::uint32_t b) {
  return Fp32Less(a, b) || Fp32Equal(a, b);
}

// Maps patterns to integers in the order of maximum/minimum, where -0 < +0.
constexpr std::uint32_t Fp32TotalKey(std::uint32_t bits) {
  return (bits & kFp32Sign) != 0 ? ~bits : bits | kFp32Sign;
}

// IEEE 754-2019 maximum and minimum: NaN if either is NaN.
constexpr std::uint32_t Fp32Max(std::uint32_t a, std::uint32_t b) {
  if (Fp32IsNan(a) || Fp32IsNan(b)) return kFp32Nan;
  return Fp32TotalKey(a) > Fp32TotalKey(b) ? a : b;
}
constexpr std::uint32_t Fp32Min(std::uint32_t a, std::uint32_t b) {
  if (Fp32IsNan(a) || Fp32IsNan(b)) return kFp32Nan;
  return Fp32TotalKey(a) < Fp32TotalKey(b) ? a : b;
}
// The larger magnitude: NaN if either is NaN.
constexpr std::uint32_t Fp32AbsMax(std::uint32_t a, std::uint32_t b) {
  return Fp32Max(Fp32Abs(a), Fp32Abs(b));
}
// maximum(a, +0): NaN stays NaN, -0 becomes +0.
constexpr std::uint32_t Fp32Relu(std::uint32_t a) { return Fp32Max(a, 0); }

// The sum reduction: a fixed-point sum that slides to the largest exponent seen so far.
//
//   value of the sum = S * 2^(E - 127 - 23 - 16)
//   add x = (-1)^s * m * 2^(e - 150):   E' = max(E, e)
//                                       S' = (S >> (E' - E)) + (-1)^s * ((m << 16) >> (E' - e))
//
// The shift of S is arithmetic (floors), that of m drops bits before the sign is applied. Zeros,
// infinities and NaN leave E and S alone. With n elements |S| < n * 2^40, so 2^23 - 1 elements fit
// 64 signed bits (57 for 65,535); beyond, S wraps. Each addition loses less than two units of S,
// that is 2^-15 of the last place of the largest element: after n elements the sum is off by less
// than n * 2^(Emax - 127 - 23 - 15) plus the one rounding at the end.
class SumAccumulator {
 public:
  static constexpr int kMaxElements = (1 << 23) - 1;

  constexpr void Add(std::uint32_t x) {
    any_ = true;
    all_negative_zero_ = all_negative_zero_ && x == kFp32Sign;
    if (Fp32IsNan(x)) nan_ = true;
    if (x == kFp32Inf) positive_infinity_ = true;
    if (x == (kFp32Inf | kFp32Sign)) negative_infinity_ = true;
    if (Fp32IsZero(x) || Fp32IsInf(x) || Fp32IsNan(x)) return;
    const Fp32Parts part = Fp32Unpack(x);
    const int next = part.exponent > exponent_ ? part.exponent : exponent_;
    const int sum_shift = next - exponent_ < 63 ? next - exponent_ : 63;
    const int x_shift = next - part.exponent < 63 ? next - part.exponent : 63;
    const auto term =
        static_cast<std::int64_t>((static_cast<std::uint64_t>(part.significand) << 16) >> x_shift);
    const auto kept = static_cast<std::uint64_t>(sum_ >> sum_shift);  // unsigned: wraps, not UB
    const auto added = static_cast<std::uint64_t>(part.negative ? -term : term);
    sum_ = static_cast<std::int64_t>(kept + added);
    exponent_ = next;
  }

  // The sum so far as fp32, rounded once to nearest even. No elements, or zeros only: +0, but -0
  // when there were elements and all were -0. A sum that cancels is +0.
  constexpr std::uint32_t Finish() const {
    if (nan_ || (positive_infinity_ && negative_infinity_)) return kFp32Nan;
    if (positive_infinity_) return kFp32Inf;
    if (negative_infinity_) return kFp32Inf | kFp32Sign;
    if (sum_ == 0) return any_ && all_negative_zero_ ? kFp32Sign : 0;
    const bool negative = sum_ < 0;
    const auto bits = static_cast<std::uint64_t>(sum_);
    const std::uint64_t magnitude = negative ? 0 - bits : bits;
    return Fp32FromScaled(negative, magnitude, exponent_ - 127 - 23 - 16);
  }

  constexpr int exponent() const { return exponent_; }
  constexpr std::int64_t sum() const { return sum_; }

 private:
  int exponent_ = 0;  // biased; 0 while no nonzero finite element has come
  std::int64_t sum_ = 0;
  bool any_ = false;
  bool all_negative_zero_ = true;
  bool nan_ = false;
  bool positive_infinity_ = false;
  bool negative_infinity_ = false;
};

// Index of the first element whose pattern is that of the maximum; of the first NaN if there is one.
class ArgMaxAccumulator {
 public:
  constexpr void Add(std::uint32_t x) {
    const bool better = !nan_ && (Fp32IsNan(x) || count_ == 0 ||
                                  Fp32TotalKey(x) > Fp32TotalKey(value_));
    if (better) {
      value_ = x;
      index_ = count_;
      nan_ = Fp32IsNan(x);
    }
    ++count_;
  }
  constexpr std::uint32_t Finish() const { return index_; }

 private:
  std::uint32_t value_ = 0, index_ = 0, count_ = 0;
  bool nan_ = false;
};

// Mean and variance in one pass, both with the factor inv_n = 1/n. The pivot is the first element
// K, so a common offset of all elements cancels before anything is squared:
//
//   d = x - K,  A = sum d,  B = sum (d * d),  m = A * inv_n
//   mean = m + K in one rounding of A * inv_n + K,   variance = max(B * inv_n - m * m, +0)
//
// docs/numerics.md has the bound.
class StatsAccumulator {
 public:
  constexpr void Add(std::uint32_t x) {
    if (first_) pivot_ = x;
    first_ = false;
    const std::uint32_t d = Fp32Sub(x, pivot_);
    sum_.Add(d);
    squares_.Add(Fp32Mul(d, d));
  }
  constexpr std::uint32_t Mean(std::uint32_t inv_n) const {
    return Fp32Fma(sum_.Finish(), inv_n, pivot_);
  }
  constexpr std::uint32_t Variance(std::uint32_t inv_n) const {
    const std::uint32_t m = Fp32Mul(sum_.Finish(), inv_n);
    return Fp32Relu(Fp32Fma(m, m ^ kFp32Sign, Fp32Mul(squares_.Finish(), inv_n)));
  }

 private:
  bool first_ = true;
  std::uint32_t pivot_ = 0;
  SumAccumulator sum_, squares_;
};

// Running maximum or minimum, the same engine's other reductions. The empty one answers NaN.
class ExtremeAccumulator {
 public:
  constexpr explicit ExtremeAccumulator(bool maximum) : maximum_(maximum) {}
  constexpr void Add(std::uint32_t x) {
    const std::uint32_t other = any_ ? value_ : x;
    value_ = maximum_ ? Fp32Max(other, x) : Fp32Min(other, x);
    any_ = true;
  }
  constexpr std::uint32_t Finish() const { return value_; }

 private:
  bool maximum_;
  bool any_ = false;
  std::uint32_t value_ = kFp32Nan;
};

}  // namespace dither
