// The inner loop of the functional model: one PE row group for 16 columns per step.
//
// A term is (magnitude << kFracBits) >> d < 2^30, so the sum of two fits 32 bits; pairs are widened
// to 64 bits, where |sum| < 128 * 2^30. The arithmetic shift of the running sum is made of two
// logical ones around a bias of 2^62, which every instruction set has.
#include "sim/model/column_block.hpp"

#include <cstring>

// One copy for each generation of SIMD, chosen when the program starts. AddressSanitizer and
// coverage builds may switch this off.
#if defined(__x86_64__) && !defined(__clang__) && !defined(DITHER_NO_CLONES)
#define DITHER_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DITHER_CLONES
#endif

namespace dither::model {
namespace {

using Lanes32 = std::int32_t __attribute__((vector_size(64), may_alias));
using Unsigned32 = std::uint32_t __attribute__((vector_size(64)));
using Half32 = std::int32_t __attribute__((vector_size(32)));
using Lanes64 = std::int64_t __attribute__((vector_size(64), may_alias));
using Unsigned64 = std::uint64_t __attribute__((vector_size(64)));

// Bits above the leading one; any number below 64 for 0. A loop over lanes, because the compiler
// knows the instruction where there is one.
inline __attribute__((always_inline)) void LeadingZeros(const Unsigned64& value, Lanes64* zeros) {
  alignas(64) std::uint64_t in[8];
  alignas(64) std::int64_t out[8];
  std::memcpy(in, &value, sizeof in);
  for (int n = 0; n < 8; ++n) out[n] = __builtin_clzll(in[n] | 1);
  std::memcpy(zeros, out, sizeof out);
}

static_assert(kDotWidth == 4 && kFracBits == 14, "the widths above are for these");

}  // namespace

DITHER_CLONES
void SumBlock(const BlockRow* x, const BlockOperand* w, int groups, BlockSums* sums) {
  Lanes32 exp = {};
  Lanes64 low = {}, high = {};
  for (int g = 0; g < groups; ++g, x += kDotWidth, w += kDotWidth) {
    Lanes32 product[kDotWidth], exponent[kDotWidth], sign[kDotWidth];
    Lanes32 top = exp;
    for (int i = 0; i < kDotWidth; ++i) {
      product[i] = (*reinterpret_cast<const Lanes32*>(x[i].magnitude) * w[i].magnitude)
                   << kFracBits;
      exponent[i] = *reinterpret_cast<const Lanes32*>(x[i].exponent) + w[i].exponent;
      sign[i] = *reinterpret_cast<const Lanes32*>(x[i].sign) ^ w[i].sign;
      top = exponent[i] > top ? exponent[i] : top;
    }
    Lanes32 pair[2];
    for (int i = 0; i < kDotWidth; ++i) {
      Lanes32 shift = top - exponent[i];
      shift = shift > 31 ? Lanes32{} + 31 : shift;  // 2^30 >> 31 is 0 as it should be
      const Lanes32 term =
          (Lanes32)((Unsigned32)product[i] >> (Unsigned32)shift);
      const Lanes32 signed_term = (term ^ sign[i]) - sign[i];
      pair[i / 2] = i % 2 == 0 ? signed_term : pair[i / 2] + signed_term;
    }
    Lanes32 rise = top - exp;
    rise = rise > 62 ? Lanes32{} + 62 : rise;
    exp = top;
    const Half32 rise_low = __builtin_shufflevector(rise, rise, 0, 1, 2, 3, 4, 5, 6, 7);
    const Half32 rise_high = __builtin_shufflevector(rise, rise, 8, 9, 10, 11, 12, 13, 14, 15);
    constexpr std::uint64_t kBias = std::uint64_t{1} << 62;
    const Unsigned64 by_low = (Unsigned64)__builtin_convertvector(rise_low, Lanes64);
    const Unsigned64 by_high = (Unsigned64)__builtin_convertvector(rise_high, Lanes64);
    low = (Lanes64)((((Unsigned64)low + kBias) >> by_low) - ((Unsigned64{} + kBias) >> by_low));
    high = (Lanes64)((((Unsigned64)high + kBias) >> by_high) - ((Unsigned64{} + kBias) >> by_high));
    for (const Lanes32& p : pair) {
      low += __builtin_convertvector(
          __builtin_shufflevector(p, p, 0, 1, 2, 3, 4, 5, 6, 7), Lanes64);
      high += __builtin_convertvector(
          __builtin_shufflevector(p, p, 8, 9, 10, 11, 12, 13, 14, 15), Lanes64);
    }
  }
  *reinterpret_cast<Lanes64*>(sums->sum) = low;
  *reinterpret_cast<Lanes64*>(sums->sum + 8) = high;
  *reinterpret_cast<Lanes32*>(sums->exp) = exp;
}

DITHER_CLONES
std::uint32_t DecodeRow(const std::uint16_t* bits, BlockRow* row) {
  std::uint32_t special = 0;
  for (int n = 0; n < kBlockLanes; ++n) {
    const std::int32_t b = bits[n];
    const std::int32_t field = b >> 7 & 0xff;
    const std::int32_t magnitude = (b & 0x7f) | (field != 0 ? 0x80 : 0);
    row->magnitude[n] = magnitude;
    row->exponent[n] = magnitude == 0 ? kZeroExponent : field + (field == 0 ? 1 : 0);
    row->sign[n] = -(b >> 15 & 1);
    special |= static_cast<std::uint32_t>(field == 255 ? 1 : 0) << n;
  }
  return special;
}

DITHER_CLONES
std::uint32_t FinishBlock(const BlockSums* sums, bool accumulate, std::uint32_t* psum) {
  std::uint32_t special = 0;
  // Eight lanes at a time: everything has 64 bits here. The steps are those of ColumnSum::Finish.
  for (int half = 0; half < 2; ++half) {
    using Words = std::uint32_t __attribute__((vector_size(32)));
    Words old;
    std::memcpy(&old, psum + 8 * half, sizeof old);
    Unsigned64 p = __builtin_convertvector(old, Unsigned64);
    if (!accumulate) p ^= p;
    const Lanes64 sum = *reinterpret_cast<const Lanes64*>(sums->sum + 8 * half);
    Half32 exp32;
    std::memcpy(&exp32, sums->exp + 8 * half, sizeof exp32);
    const Lanes64 exp = __builtin_convertvector(exp32, Lanes64);

    // The column sum with its leading one at bit 63, then 32 bits of it with the rest jammed.
    const Lanes64 c_sign = sum >> 63;
    Unsigned64 c = (Unsigned64)((sum ^ c_sign) - c_sign);
    const Lanes64 c_zero = c == 0;
    Lanes64 c_gap;
    LeadingZeros(c, &c_gap);
    c <<= (Unsigned64)c_gap;
    const Lanes64 c_top = 63 - c_gap;
    const Unsigned64 c_sig = (c >> 32) | (Unsigned64)(((c << 32) != 0) & 1);
    const Lanes64 c_exp = c_top + exp - (141 + kFracBits);

    const Lanes64 p_field = (Lanes64)(p >> 23 & 0xff);
    const Lanes64 p_subnormal = p_field == 0;
    const Lanes64 p_exp = p_field - p_subnormal;  // true is -1
    const Unsigned64 p_sig = ((p & 0x7fffff) | (Unsigned64)(~p_subnormal & 0x800000)) << 8;
    const Lanes64 p_sign = -(Lanes64)(p >> 31);

    // Aligned to the larger one, lost bits jammed. A zero column sum shifts nothing.
    const Lanes64 c_big = ~c_zero & (c_exp > p_exp);
    Lanes64 shift = c_big ? c_exp - p_exp : p_exp - c_exp;
    shift = c_zero ? Lanes64{} : shift > 63 ? Lanes64{} + 63 : shift;
    const Lanes64 c_shift = c_big ? Lanes64{} : shift, p_shift = c_big ? shift : Lanes64{};
    const Unsigned64 c_wide = c_sig << 30, p_wide = p_sig << 30;
    const Unsigned64 c_win =
        (c_wide >> (Unsigned64)c_shift) |
        (Unsigned64)((((c_wide << 1) << (Unsigned64)(63 - c_shift)) != 0) & 1);
    const Unsigned64 p_win =
        (p_wide >> (Unsigned64)p_shift) |
        (Unsigned64)((((p_wide << 1) << (Unsigned64)(63 - p_shift)) != 0) & 1);
    const Lanes64 big_exp = c_big ? c_exp : p_exp;
    const Lanes64 c_term = c_zero ? Lanes64{} : ((Lanes64)c_win ^ c_sign) - c_sign;
    const Lanes64 total = c_term + (((Lanes64)p_win ^ p_sign) - p_sign);

    // Leading one to bit 62, then round to 24 bits, fewer below the normal range.
    const Lanes64 sign = total >> 63;
    Unsigned64 n = (Unsigned64)((total ^ sign) - sign);
    const Lanes64 zero = n == 0;
    Lanes64 gap;
    LeadingZeros(n, &gap);
    n = (n << (Unsigned64)gap) >> 1;
    const Lanes64 top = 63 - gap;
    Lanes64 e = big_exp + top - 61;
    const Lanes64 below = e < 1;
    const Lanes64 drop = 39 + (below ? 1 - e : Lanes64{});
    e = below ? Lanes64{} + 1 : e;
    const Lanes64 gone = drop > 63;
    n = gone ? Unsigned64{} : n;
    const Unsigned64 by = (Unsigned64)(gone ? Lanes64{} + 63 : drop);
    const Unsigned64 half_unit = (Unsigned64{} + 1) << (by - 1);
    const Unsigned64 kept = (n + (half_unit - 1) + (n >> by & 1)) >> by;
    Lanes64 bits = (e << 23) + (Lanes64)kept - 0x800000;
    bits = bits >= 0x7f800000 ? Lanes64{} + 0x7f800000 : bits;
    bits |= sign & 0x80000000;
    bits = zero ? Lanes64{} : bits;

    const Lanes64 unusual = p_field == 255;
    bits = unusual ? (Lanes64)p : bits;
    const Words out = __builtin_convertvector((Unsigned64)bits, Words);
    std::memcpy(psum + 8 * half, &out, sizeof out);
    for (int n8 = 0; n8 < 8 && accumulate; ++n8) {
      special |= static_cast<std::uint32_t>((old[n8] & 0x7f800000) == 0x7f800000)
                 << (8 * half + n8);
    }
  }
  return special;
}

}  // namespace dither::model
