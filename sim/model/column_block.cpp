// The inner loop of the functional model: one PE row group for 16 columns per step.
//
// A term is (magnitude << kFracBits) >> d < 2^30, so the sum of two fits 32 bits; pairs are widened to
// 64 bits, where |sum| < 128 * 2^30. The arithmetic shift of the running sum is made of two logical
// ones around a bias of 2^62, which every instruction set has.
#include "sim/model/column_block.hpp"

namespace dither::model {
namespace {

using Lanes32 = std::int32_t __attribute__((vector_size(64), may_alias));
using Unsigned32 = std::uint32_t __attribute__((vector_size(64)));
using Half32 = std::int32_t __attribute__((vector_size(32)));
using Lanes64 = std::int64_t __attribute__((vector_size(64), may_alias));
using Unsigned64 = std::uint64_t __attribute__((vector_size(64)));

static_assert(kDotWidth == 4 && kFracBits == 14, "the widths above are for these");

}  // namespace

#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
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

}  // namespace dither::model
