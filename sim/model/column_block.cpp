// The inner loop of the functional model: one PE row group for 16 columns per step.
//
// A term is (magnitude << kFracBits) >> d <= 255 * 255 * 2^12, so the sum of eight fits 32 bits; eights are
// widened to 64 bits, where |sum| < 128 * 2^28. The arithmetic shift of a running sum is made of two
// logical ones around a bias of 2^62, which every instruction set has.
#include "sim/model/column_block.hpp"

#include <algorithm>
#include <cstring>

#include "sim/model/avx512.hpp"
#include "sim/model/clones.hpp"

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

// Arithmetic right shift of eight sums.
inline __attribute__((always_inline)) void ShiftRight(Lanes64* sum, const Half32& by) {
  constexpr std::uint64_t kBias = std::uint64_t{1} << 62;
  const Half32 limited = by > 62 ? Half32{} + 62 : by;
  const Unsigned64 wide = (Unsigned64)__builtin_convertvector(limited, Lanes64);
  *sum = (Lanes64)((((Unsigned64)*sum + kBias) >> wide) - ((Unsigned64{} + kBias) >> wide));
}

static_assert(kFracBits == 12, "the widths above are for this");
inline constexpr int kEight = 8;  // terms whose sum fits 32 bits

}  // namespace

DITHER_CLONES
void SumBlock(const BlockRow* x, const BlockOperand* w, const BlockShape& shape, BlockSums* sums) {
  Lanes32 exp = {};
  Lanes64 low = {}, high = {};
  int count = std::min(shape.width - shape.lead, shape.rows);
  for (int left = shape.rows; left > 0; left -= count, x += count, w += count, count = std::min(shape.width, left)) {
    Lanes32 exponent[kMaxDotWidth];
    Lanes32 group_exp = {};
    for (int i = 0; i < count; ++i) {
      exponent[i] = *reinterpret_cast<const Lanes32*>(x[i].exponent) + w[i].exponent;
      group_exp = exponent[i] > group_exp ? exponent[i] : group_exp;
    }
    Lanes64 group_low = {}, group_high = {};
    for (int first = 0; first < count; first += kEight) {
      Lanes32 eight = {};
      for (int i = first; i < std::min(first + kEight, count); ++i) {
        const Lanes32 product = *reinterpret_cast<const Lanes32*>(x[i].magnitude) * w[i].magnitude;
        const Lanes32 sign = *reinterpret_cast<const Lanes32*>(x[i].sign) ^ w[i].sign;
        Lanes32 shift = group_exp - exponent[i];
        shift = shift > 31 ? Lanes32{} + 31 : shift;  // 2^28 >> 31 is 0 as it should be
        const Lanes32 term = (Lanes32)((Unsigned32)product >> (Unsigned32)shift);
        eight += (term ^ sign) - sign;
      }
      group_low += __builtin_convertvector(
          __builtin_shufflevector(eight, eight, 0, 1, 2, 3, 4, 5, 6, 7), Lanes64);
      group_high += __builtin_convertvector(
          __builtin_shufflevector(eight, eight, 8, 9, 10, 11, 12, 13, 14, 15), Lanes64);
    }
    // Both sums to the larger exponent.
    const Lanes32 top = exp > group_exp ? exp : group_exp;
    const Lanes32 fall = top - exp, group_fall = top - group_exp;
    ShiftRight(&low, __builtin_shufflevector(fall, fall, 0, 1, 2, 3, 4, 5, 6, 7));
    ShiftRight(&high, __builtin_shufflevector(fall, fall, 8, 9, 10, 11, 12, 13, 14, 15));
    ShiftRight(&group_low, __builtin_shufflevector(group_fall, group_fall, 0, 1, 2, 3, 4, 5, 6, 7));
    ShiftRight(&group_high,
               __builtin_shufflevector(group_fall, group_fall, 8, 9, 10, 11, 12, 13, 14, 15));
    low += group_low;
    high += group_high;
    exp = top;
  }
  *reinterpret_cast<Lanes64*>(sums->sum) = low;
  *reinterpret_cast<Lanes64*>(sums->sum + 8) = high;
  *reinterpret_cast<Lanes32*>(sums->exp) = exp;
}

DITHER_CLONES
std::uint32_t DecodeRow(const std::uint16_t* bits, BlockRow* row) {
  std::uint32_t special = 0, negative = 0;
  for (int n = 0; n < kBlockLanes; ++n) {
    const std::int32_t b = bits[n];
    const std::int32_t field = b >> 7 & 0xff;
    const std::int32_t magnitude = (b & 0x7f) | (field != 0 ? 0x80 : 0);
    row->magnitude[n] = magnitude << kFactorBits;
    row->exponent[n] = magnitude == 0 ? kZeroExponent : field + (field == 0 ? 1 : 0);
    row->sign[n] = -(b >> 15 & 1);
    special |= static_cast<std::uint32_t>(field == 255 ? 1 : 0) << n;
    negative |= static_cast<std::uint32_t>(b >> 15 & 1) << n;
  }
  row->negative = negative;
  return special;
}

std::uint32_t DecodeFactors(const Factor* factors, BlockRow* row) {
  std::uint32_t special = 0, negative = 0;
  for (int n = 0; n < kBlockLanes; ++n) {
    const BlockOperand o = TakeApart(factors[n]);
    row->magnitude[n] = o.magnitude;
    row->exponent[n] = o.exponent;
    row->sign[n] = o.sign;
    special |= static_cast<std::uint32_t>(factors[n].inf || factors[n].nan ? 1 : 0) << n;
    negative |= static_cast<std::uint32_t>(factors[n].negative ? 1 : 0) << n;
  }
  row->negative = negative;
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

namespace {

void RunPortable(const ColumnJob& job) {
  for (int m = 0; m < job.columns; ++m) {
    BlockSums sums;
    SumBlock(job.x, job.w + m * job.w_stride, job.shape, &sums);
    std::uint32_t words[kBlockLanes];
    std::memcpy(words, job.psum + m * job.psum_stride, sizeof words);
    job.unusual[m] = FinishBlock(&sums, job.accumulate, words);
    std::memcpy(job.psum + m * job.psum_stride, words, sizeof words);
  }
}

#ifdef DITHER_X86_CLONES
// What the portable form spells out is one instruction here: shifts by more than the width give 0,
// leading zeros are counted, signs are masks. 64-bit steps take the even and the odd lanes in turn,
// so that nothing crosses lanes.
DITHER_INLINE __m512i Words(std::int64_t value) { return _mm512_set1_epi64(value); }

// ColumnSum::Finish of eight lanes, without infinities and NaN; fp32 in the low half of each lane.
DITHER_INLINE __m512i Foot(__m512i sum, __m512i exp, __m512i p) {
  // The column sum with its leading one at bit 63, then 32 bits of it, the rest jammed, at bit 30.
  const __m512i magnitude = _mm512_abs_epi64(sum);
  const __m512i c_gap = _mm512_lzcnt_epi64(magnitude);
  const __m512i c = _mm512_sllv_epi64(magnitude, c_gap);
  const __m512i c_cut = _mm512_and_si512(_mm512_srli_epi64(c, 2), Words(~0x3fffffffll));
  const __m512i c_wide = _mm512_mask_or_epi64(
      c_cut, _mm512_test_epi64_mask(c, Words(0xffffffff)), c_cut, Words(1 << 30));
  // A zero sum lies below everything, so that it is never the larger one.
  const __m512i c_exp = _mm512_mask_sub_epi64(
      Words(-4096), _mm512_test_epi64_mask(sum, sum),
      _mm512_add_epi64(exp, Words(63 - 141 - kFracBits)), c_gap);

  const __m512i p_field = _mm512_and_si512(_mm512_srli_epi64(p, 23), Words(0xff));
  const __m512i p_exp = _mm512_max_epi64(p_field, Words(1));
  const __m512i p_fraction = _mm512_slli_epi64(_mm512_and_si512(p, Words(0x7fffff)), 38);
  const __m512i p_wide = _mm512_mask_or_epi64(
      p_fraction, _mm512_test_epi64_mask(p_field, p_field), p_fraction, Words(0x800000ll << 38));

  // The smaller one aligned to the larger one, lost bits jammed; the larger one's sign counts.
  const __mmask8 c_big = _mm512_cmpgt_epi64_mask(c_exp, p_exp);
  const __m512i distance = _mm512_abs_epi64(_mm512_sub_epi64(c_exp, p_exp));
  const __m512i p_signed = _mm512_slli_epi64(p, 32);
  const __m512i large = _mm512_mask_blend_epi64(c_big, p_wide, c_wide);
  const __m512i small = _mm512_mask_blend_epi64(c_big, c_wide, p_wide);
  const __m512i large_signed = _mm512_mask_blend_epi64(c_big, p_signed, sum);
  const __m512i large_exp = _mm512_max_epi64(c_exp, p_exp);
  const __m512i shifted = _mm512_srlv_epi64(small, distance);
  const __m512i jammed = _mm512_mask_or_epi64(
      shifted, _mm512_cmpneq_epi64_mask(_mm512_sllv_epi64(shifted, distance), small), shifted,
      Words(1));
  const __mmask8 differ = _mm512_movepi64_mask(_mm512_xor_si512(p_signed, sum));
  const __m512i total =
      _mm512_mask_sub_epi64(_mm512_add_epi64(large, jammed), differ, large, jammed);

  // Leading one to bit 62, then round to 24 bits, fewer below the normal range.
  const __m512i sign = _mm512_xor_si512(large_signed, total);
  const __m512i size = _mm512_abs_epi64(total);
  const __m512i gap = _mm512_lzcnt_epi64(size);
  const __m512i n = _mm512_sllv_epi64(size, _mm512_sub_epi64(gap, Words(1)));
  const __m512i e = _mm512_sub_epi64(_mm512_add_epi64(large_exp, Words(2)), gap);
  const __m512i e_kept = _mm512_max_epi64(e, Words(1));
  const __m512i drop = _mm512_add_epi64(_mm512_sub_epi64(e_kept, e), Words(39));
  const __m512i odd = _mm512_and_si512(_mm512_srlv_epi64(n, drop), Words(1));
  const __m512i half = _mm512_srlv_epi64(_mm512_sllv_epi64(Words(1), drop), Words(1));
  const __m512i kept = _mm512_srlv_epi64(
      _mm512_add_epi64(_mm512_add_epi64(n, odd), _mm512_sub_epi64(half, Words(1))), drop);
  const __m512i bits = _mm512_min_epi64(
      _mm512_add_epi64(_mm512_slli_epi64(_mm512_sub_epi64(e_kept, Words(1)), 23), kept),
      Words(0x7f800000));
  const __m512i top = _mm512_and_si512(_mm512_srli_epi64(sign, 32), Words(0x80000000));
  return _mm512_maskz_or_epi64(_mm512_test_epi64_mask(total, total), bits, top);
}

DITHER_TARGET std::uint32_t DecodeAvx512(const std::uint16_t* bits, BlockRow* row) {
  const __m512i b = _mm512_cvtepu16_epi32(
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits)));
  const __m512i one = _mm512_set1_epi32(1), all = _mm512_set1_epi32(255);
  const __m512i field = _mm512_and_si512(_mm512_srli_epi32(b, 7), all);
  const __m512i fraction = _mm512_and_si512(b, _mm512_set1_epi32(0x7f));
  const __m512i magnitude = _mm512_mask_or_epi32(
      fraction, _mm512_test_epi32_mask(field, field), fraction, _mm512_set1_epi32(0x80));
  const __mmask16 negative = _mm512_test_epi32_mask(b, _mm512_set1_epi32(0x8000));
  _mm512_store_si512(row->magnitude, _mm512_slli_epi32(magnitude, kFactorBits));
  _mm512_store_si512(row->exponent,
                     _mm512_mask_max_epi32(_mm512_set1_epi32(kZeroExponent),
                                           _mm512_test_epi32_mask(magnitude, magnitude), field,
                                           one));
  _mm512_store_si512(row->sign, _mm512_movm_epi32(negative));
  row->negative = negative;
  return _mm512_cmpeq_epi32_mask(field, all);
}

DITHER_TARGET void RunAvx512(const ColumnJob& job) {
  const __m512i low_half = Words(0xffffffff);
  for (int m = 0; m < job.columns; ++m) {
    const BlockRow* x = job.x;
    const BlockOperand* w = job.w + m * job.w_stride;
    __m512i exp = _mm512_setzero_si512(), even = exp, odd = exp;
    int count = std::min(job.shape.width - job.shape.lead, job.shape.rows);
    for (int left = job.shape.rows; left > 0;
         left -= count, x += count, w += count, count = std::min(job.shape.width, left)) {
      __m512i exponent[kMaxDotWidth];
      __m512i group_exp = _mm512_setzero_si512();
      for (int i = 0; i < count; ++i) {
        exponent[i] = _mm512_add_epi32(_mm512_load_si512(x[i].exponent),
                                       _mm512_set1_epi32(w[i].exponent));
        group_exp = _mm512_max_epi32(group_exp, exponent[i]);
      }
      __m512i group_even = _mm512_setzero_si512(), group_odd = group_even;
      for (int first = 0; first < count; first += kEight) {
        __m512i eight = _mm512_setzero_si512();
        for (int i = first; i < std::min(first + kEight, count); ++i) {
          // Magnitudes are below 2^15, so the 16-bit multiplier does.
          const __m512i product = _mm512_madd_epi16(_mm512_load_si512(x[i].magnitude),
                                                    _mm512_set1_epi32(w[i].magnitude));
          const __m512i term = _mm512_srlv_epi32(product, _mm512_sub_epi32(group_exp, exponent[i]));
          const auto negative = static_cast<__mmask16>(
              x[i].negative ^ static_cast<std::uint32_t>(w[i].sign));
          eight = _mm512_mask_sub_epi32(_mm512_add_epi32(eight, term), negative, eight, term);
        }
        group_even = _mm512_add_epi64(group_even, _mm512_srai_epi64(_mm512_slli_epi64(eight, 32), 32));
        group_odd = _mm512_add_epi64(group_odd, _mm512_srai_epi64(eight, 32));
      }
      if (left == job.shape.rows) {  // nothing to merge with
        exp = group_exp;
        even = group_even;
        odd = group_odd;
        continue;
      }
      const __m512i top = _mm512_max_epi32(exp, group_exp);
      const __m512i fall = _mm512_sub_epi32(top, exp), group_fall = _mm512_sub_epi32(top, group_exp);
      even = _mm512_add_epi64(_mm512_srav_epi64(even, _mm512_and_si512(fall, low_half)),
                              _mm512_srav_epi64(group_even, _mm512_and_si512(group_fall, low_half)));
      odd = _mm512_add_epi64(_mm512_srav_epi64(odd, _mm512_srli_epi64(fall, 32)),
                             _mm512_srav_epi64(group_odd, _mm512_srli_epi64(group_fall, 32)));
      exp = top;
    }
    std::uint8_t* at = job.psum + m * job.psum_stride;
    const __m512i old = job.accumulate ? _mm512_loadu_si512(at) : _mm512_setzero_si512();
    const __m512i infinity = _mm512_set1_epi32(0x7f800000);
    const __mmask16 unusual =
        _mm512_cmpeq_epi32_mask(_mm512_and_si512(old, infinity), infinity);
    const __m512i from_even = Foot(even, _mm512_and_si512(exp, low_half),
                                   _mm512_and_si512(old, low_half));
    const __m512i from_odd = Foot(odd, _mm512_srli_epi64(exp, 32), _mm512_srli_epi64(old, 32));
    const __m512i words = _mm512_or_si512(from_even, _mm512_slli_epi64(from_odd, 32));
    if (unusual == 0) {
      _mm512_storeu_si512(at, words);
    } else {
      _mm512_mask_storeu_epi32(at, static_cast<__mmask16>(~unusual), words);
    }
    job.unusual[m] = unusual;
  }
}
#endif

}  // namespace

const std::vector<ColumnKernel>& ColumnKernels() {
  static const std::vector<ColumnKernel> kernels = [] {
    std::vector<ColumnKernel> found;
#ifdef DITHER_X86_CLONES
    if (HasAvx512()) found.push_back({"AVX-512", RunAvx512, DecodeAvx512});
#endif
    found.push_back({"portable", RunPortable, DecodeRow});
    return found;
  }();
  return kernels;
}

}  // namespace dither::model
