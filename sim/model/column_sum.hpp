// The array's accumulation, bit for bit: what one column of the PE array and its foot compute.
// The formula is stated and bounded in docs/numerics.md; the RTL is rtl/tensor/{dot_exponent,dot_pe,column_foot}.sv.
// Integers only.
#pragma once

#include <bit>
#include <cstdint>

#include "sim/isa/isa.hpp"

namespace dither::model {

// Rows that one PE fuses into a dot product (array_pkg::DotWidth), and bits kept below a product's last bit.
constexpr int DotWidth(std::uint32_t rows) { return rows < 32 ? static_cast<int>(rows) : 32; }
inline constexpr int kMaxDotWidth = 64;  // products: two a row where operands come in pairs
inline constexpr int kFracBits = 12;
inline constexpr std::uint32_t kCanonicalNan = 0x7fc00000u;

// Exceptional values seen on the way down a column.
struct ColumnFlags {
  bool nan = false, pos_inf = false, neg_inf = false;
  bool any() const { return nan || pos_inf || neg_inf; }
};

// An operand of the array: value = (-1)^negative * m * 2^(exp - 134), m of 8 bits.
struct Factor {
  bool negative = false;
  std::int32_t exp = 0;  // 0 exactly for zero
  std::uint32_t m = 0;
  bool inf = false, nan = false;
};
constexpr Factor ToFactor(const Factor& f) { return f; }
constexpr Factor ToFactor(std::uint16_t bf16) {
  const std::int32_t field = bf16 >> 7 & 0xff;
  const std::uint32_t m = (bf16 & 0x7fu) | (field ? 0x80u : 0u);
  return {(bf16 & 0x8000) != 0, m ? (field ? field : 1) : 0, m, field == 255 && m == 0x80, field == 255 && m != 0x80};
}

// Partial sum: value = sum * 2^(exp - 268 - kFracBits); exp = 0 means that nothing was added yet.
struct ColumnSum {
  std::int32_t exp = 0;  // 0..508
  std::int64_t sum = 0;
  ColumnFlags flags;

  // Adds the dot product of `width` pairs, at most kMaxDotWidth: one PE. Operands are bf16 patterns or factors.
  template <typename Operand>
  constexpr void AddGroup(const Operand* x, const Operand* w, int width) {
    std::int32_t e[kMaxDotWidth] = {};
    std::uint32_t p[kMaxDotWidth] = {};
    bool negative[kMaxDotWidth] = {};
    std::int32_t group_exp = 0;
    for (int i = 0; i < width; ++i) {
      const Factor xf = ToFactor(x[i]), wf = ToFactor(w[i]);
      negative[i] = xf.negative != wf.negative;
      if (xf.inf || wf.inf || xf.nan || wf.nan) {
        if (xf.nan || wf.nan || xf.exp == 0 || wf.exp == 0) {
          flags.nan = true;
        } else if (negative[i]) {
          flags.neg_inf = true;
        } else {
          flags.pos_inf = true;
        }
      }
      p[i] = xf.m * wf.m;
      e[i] = p[i] ? xf.exp + wf.exp : 0;
      if (e[i] > group_exp) group_exp = e[i];
    }
    std::int64_t group = 0;
    for (int i = 0; i < width; ++i) {
      const int d = group_exp - e[i];
      const auto mag = d > 31 ? 0 : static_cast<std::int64_t>((std::uint64_t{p[i]} << kFracBits) >> d);
      group += negative[i] ? -mag : mag;
    }
    const std::int32_t top = group_exp > exp ? group_exp : exp;
    sum = Sra(sum, top - exp) + Sra(group, top - group_exp);
    exp = top;
  }

  // The column's foot: fp32 of the sum, or of psum + the sum, rounded to nearest even once.
  constexpr std::uint32_t Finish(bool accumulate, std::uint32_t psum) const {
    if (!accumulate) psum = 0;
    const std::uint32_t pf = psum >> 23 & 0xff, pm = psum & 0x7fffff;
    const bool p_sign = psum >> 31;
    const bool p_inf = pf == 255 && pm == 0, p_nan = pf == 255 && pm != 0;
    const bool pos = flags.pos_inf || (p_inf && !p_sign), neg = flags.neg_inf || (p_inf && p_sign);
    if (flags.nan || p_nan || (pos && neg)) return kCanonicalNan;
    if (pos) return 0x7f800000u;
    if (neg) return 0xff800000u;
    // Column sum as a 32-bit significand with its leading one at bit 31, lower bits jammed.
    const bool c_sign = sum < 0;
    const std::uint64_t mag = c_sign ? -static_cast<std::uint64_t>(sum) : static_cast<std::uint64_t>(sum);
    std::uint64_t c_sig = 0;
    int c_exp = 0;
    if (mag) {
      const int h = std::bit_width(mag) - 1;
      c_exp = h + exp - 141 - kFracBits;  // biased fp32 exponent, not limited to 1..254
      c_sig = h <= 31 ? mag << (31 - h) : Jam(mag, h - 31);
    }
    const int p_exp = pf ? static_cast<int>(pf) : 1;
    const std::uint64_t p_sig = static_cast<std::uint64_t>(pm | (pf ? 0x800000u : 0u)) << 8;
    // Add in a window of 62 bits: 30 below the significands' last bit.
    const bool c_big = mag && c_exp > p_exp;
    const int big_exp = c_big ? c_exp : p_exp;
    const int d = c_big ? c_exp - p_exp : (mag ? p_exp - c_exp : 0);
    const std::uint64_t c_win = c_big ? c_sig << 30 : Jam(c_sig << 30, d);
    const std::uint64_t p_win = c_big ? Jam(p_sig << 30, d) : p_sig << 30;
    std::int64_t total = (c_sign ? -static_cast<std::int64_t>(c_win) : static_cast<std::int64_t>(c_win)) +
                         (p_sign ? -static_cast<std::int64_t>(p_win) : static_cast<std::int64_t>(p_win));
    const bool sign = total < 0;
    return RoundToFp32(sign, big_exp, static_cast<std::uint64_t>(sign ? -total : total));
  }

  // The foot for integers: products with e = 2 (both operands subnormal patterns, that is integers), moved up by bytes.
  constexpr std::uint32_t FinishInt(bool accumulate, std::uint32_t psum, int shift_bytes) const {
    const auto value = static_cast<std::uint32_t>(sum >> kFracBits);
    return (value << (8 * shift_bytes)) + (accumulate ? psum : 0);
  }

  // value = mag * 2^(exp - 127 - 61): bit 61 is the unit of a significand with biased exponent exp.
  static constexpr std::uint32_t RoundToFp32(bool sign, int exp, std::uint64_t mag) {
    const std::uint32_t s = sign ? 0x80000000u : 0u;
    if (mag == 0) return 0;  // exact zero is +0 under round to nearest
    const int h = std::bit_width(mag) - 1;
    int e = exp + h - 61;
    // Keep 24 bits from the leading one, fewer when the result is subnormal.
    int drop = h - 23;
    if (e < 1) {
      drop += 1 - e;
      e = 1;
    }
    std::uint64_t kept = 0;
    if (drop <= 0) {
      kept = mag << -drop;
    } else if (drop < 64) {
      kept = mag >> drop;
      const std::uint64_t half = std::uint64_t{1} << (drop - 1);
      const std::uint64_t rest = mag & ((half << 1) - 1);
      if (rest > half || (rest == half && (kept & 1))) ++kept;
    }
    // A carry out of 24 bits moves into the exponent; a subnormal has no hidden one.
    const std::uint64_t bits = (static_cast<std::uint64_t>(e) << 23) + kept - 0x800000u;
    return s | (bits >= 0x7f800000u ? 0x7f800000u : static_cast<std::uint32_t>(bits));
  }

 private:
  static constexpr std::int64_t Sra(std::int64_t v, int d) { return v >> (d > 63 ? 63 : d); }
  // Right shift that ors every lost bit into the last one.
  static constexpr std::uint64_t Jam(std::uint64_t v, int d) {
    if (d == 0) return v;
    if (d > 63) return v != 0;
    return v >> d | ((v << (64 - d)) != 0);
  }
};

// One column: rows (a multiple of the PE's width) of operands, rounded into fp32.
template <typename Operand>
constexpr std::uint32_t ColumnDot(const Operand* x, const Operand* w, int rows, int width, bool accumulate,
                                  std::uint32_t psum) {
  ColumnSum c;
  for (int r = 0; r < rows; r += width) c.AddGroup(x + r, w + r, width);
  return c.Finish(accumulate, psum);
}

}  // namespace dither::model
