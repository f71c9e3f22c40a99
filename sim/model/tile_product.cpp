// Operands of a tile, sums of its columns, and their feet.
#include "sim/model/tile_product.hpp"

#include <array>
#include <cstring>

#include "sim/model/avx512.hpp"

#ifdef DITHER_X86_CLONES

namespace dither::model {
namespace {

static_assert(255 * 2 << kFactorBits < 1 << 15, "a moving factor fits 16 bits, doubled");
static_assert(kFracBits == 12, "eight terms fit 32 bits, sixteen 33");
inline constexpr int kEight = 8;

// --------------------------------------------------------------------------------------- operands

template <isa::Dtype dtype>
constexpr auto kOperands = [] {
  std::array<std::uint16_t, 256> all{};
  for (std::uint32_t bits = 0; bits < 256; ++bits) all[bits] = ToOperand({dtype}, bits);
  return all;
}();

// Row `row` of a tile.
struct RowForms {
  const std::uint16_t* from;  // the operands, or fp32 elements that become them
  std::uint16_t* bits;
  std::int32_t* pair;
  std::int32_t* exponent;
  std::uint32_t* negative;
  int row;
  int shift;  // of magnitudes
};

// Takes 16 operands apart; not zero if there is an infinity or NaN.
DITHER_INLINE std::uint32_t TakeLanesApart(__m512i b, const RowForms& to) {
  const __m512i one = _mm512_set1_epi32(1), all = _mm512_set1_epi32(255);
  const __m512i field = _mm512_and_si512(_mm512_srli_epi32(b, 7), all);
  const __m512i fraction = _mm512_and_si512(b, _mm512_set1_epi32(0x7f));
  const __m512i magnitude =
      _mm512_mask_or_epi32(fraction, _mm512_test_epi32_mask(field, field), fraction, _mm512_set1_epi32(0x80));
  const __m512i sign = _mm512_srli_epi32(b, 15);
  const __m512i factor = _mm512_slli_epi32(magnitude, static_cast<unsigned>(to.shift));
  const __mmask16 minus = _mm512_test_epi32_mask(sign, sign);
  // (1, factor), or both halves negated.
  const __m512i plus = _mm512_or_si512(factor, _mm512_set1_epi32(1 << 16));
  _mm512_store_si512(to.pair, _mm512_mask_sub_epi16(plus, _mm512_movepi16_mask(_mm512_movm_epi32(minus)),
                                                    _mm512_setzero_si512(), plus));
  _mm512_store_si512(to.exponent, _mm512_mask_max_epi32(_mm512_set1_epi32(kZeroExponent),
                                                        _mm512_test_epi32_mask(magnitude, magnitude), field, one));
  _mm512_store_si512(to.negative, _mm512_or_si512(_mm512_load_si512(to.negative),
                                                  _mm512_slli_epi32(sign, static_cast<unsigned>(to.row))));
  return _mm512_cmpeq_epi32_mask(field, all);
}

DITHER_TARGET std::uint32_t TakeRow(const RowForms& to) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(to.from));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to.bits), bits);
  return TakeLanesApart(_mm512_cvtepu16_epi32(bits), to);
}

// ToOperand of fp32, and then the same.
DITHER_TARGET std::uint32_t TakeFp32Row(const std::uint8_t* elements, int piece, bool finite_only,
                                              const RowForms& to) {
  const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi32(1), all = _mm512_set1_epi32(255);
  const __m512i b = _mm512_loadu_si512(elements);
  const __m512i field = _mm512_and_si512(_mm512_srli_epi32(b, 23), all);
  const __m512i man = _mm512_and_si512(b, _mm512_set1_epi32(0x7fffff));
  const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(0x8000));
  const __m512i sig =
      _mm512_mask_or_epi32(man, _mm512_test_epi32_mask(field, field), man, _mm512_set1_epi32(0x800000));
  const __m512i m = _mm512_and_si512(_mm512_srli_epi32(sig, static_cast<unsigned>(8 * (2 - piece))), all);
  const __m512i exp = _mm512_sub_epi32(_mm512_max_epi32(field, one), _mm512_set1_epi32(8 * piece));
  const __m512i gap = _mm512_sub_epi32(_mm512_lzcnt_epi32(m), _mm512_set1_epi32(24));
  const __m512i up = _mm512_min_epi32(gap, _mm512_sub_epi32(exp, one));
  const __m512i moved = _mm512_srlv_epi32(_mm512_sllv_epi32(m, _mm512_max_epi32(up, zero)),
                                          _mm512_max_epi32(_mm512_sub_epi32(zero, up), zero));
  const __m512i exponent = _mm512_maskz_sub_epi32(_mm512_test_epi32_mask(moved, _mm512_set1_epi32(0x80)), exp, up);
  __m512i operand = _mm512_or_si512(_mm512_or_si512(sign, _mm512_slli_epi32(exponent, 7)),
                                    _mm512_and_si512(moved, _mm512_set1_epi32(0x7f)));
  const __mmask16 special = _mm512_cmpeq_epi32_mask(field, all);
  if (special != 0) {
    const __m512i infinite = _mm512_or_si512(sign, _mm512_set1_epi32(kOperandInf));
    const __m512i unusual =
        _mm512_mask_mov_epi32(infinite, _mm512_test_epi32_mask(man, man), _mm512_set1_epi32(kOperandNan));
    operand = _mm512_mask_mov_epi32(operand, special, finite_only ? zero : unusual);
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to.bits), _mm512_cvtepi32_epi16(operand));
  return TakeLanesApart(operand, to);
}

// Elements side by side; those that are elsewhere, or fewer than 16, are gathered in `room`.
template <typename Element>
const Element* SideBySide(const std::uint8_t* at, std::int64_t stride, int count, Element* room) {
  // Read in place: a copy would have to be waited for by the wide load behind it.
  if (stride == static_cast<std::int64_t>(sizeof(Element)) && count == kTileSide) {
    return reinterpret_cast<const Element*>(at);
  }
  for (int n = 0; n < kTileSide; ++n) {
    room[n] = 0;
    if (n < count) std::memcpy(&room[n], at + n * stride, sizeof(Element));
  }
  return room;
}

bool AddRow(OperandMode mode, TileSide side, const std::uint8_t* at, std::int64_t stride, int count,
            OperandTile* tile) {
  const int row = tile->rows++;
  std::uint32_t words[kTileSide];
  std::uint16_t halves[kTileSide];
  std::uint8_t bytes[kTileSide];
  RowForms forms = {nullptr, tile->bits[row], tile->pair[row], tile->exponent[row], tile->negative, row,
                    kFactorBits + (side == TileSide::kMoving ? 1 : 0)};
  const auto look_up = [&](const std::array<std::uint16_t, 256>& operands) {
    const std::uint8_t* elements = SideBySide(at, stride, count, bytes);
    for (int n = 0; n < kTileSide; ++n) halves[n] = operands[elements[n]];
    forms.from = halves;
  };
  switch (mode.dtype) {
    case isa::Dtype::kFp32:
      return TakeFp32Row(reinterpret_cast<const std::uint8_t*>(SideBySide(at, stride, count, words)), mode.piece,
                           mode.finite_only, forms) != 0;
    case isa::Dtype::kFp8E4M3:
      look_up(kOperands<isa::Dtype::kFp8E4M3>);
      break;
    case isa::Dtype::kFp8E5M2:
      look_up(kOperands<isa::Dtype::kFp8E5M2>);
      break;
    default:
      forms.from = SideBySide(at, stride, count, halves);
  }
  // bf16 as it is, but for what doesn't count; fp16 one by one.
  const bool half = mode.dtype == isa::Dtype::kFp16;
  if (half || mode.finite_only) {
    const OperandMode as = {half ? mode.dtype : isa::Dtype::kBf16, mode.piece, mode.finite_only};
    for (int n = 0; n < kTileSide; ++n) {
      std::uint16_t operand;
      std::memcpy(&operand, reinterpret_cast<const std::uint8_t*>(forms.from) + 2 * n, sizeof operand);
      halves[n] = ToOperand(as, operand);
    }
    forms.from = halves;
  }
  return TakeRow(forms) != 0;
}

// ------------------------------------------------------------------------------------------- sums

// 16-bit multipliers in pairs, and shifts beyond the width, are instructions here. `rows` is a constant where it is
// 16: then exponents stay in registers.
DITHER_INLINE void SumRows(const OperandTile& x, const OperandTile& w, int m, int rows, __m512i* low_out, __m512i* high_out,
                           __m512i* exp_out) {
  __m512i exponent[kTileSide];
  __m512i top = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    exponent[r] = _mm512_add_epi32(_mm512_load_si512(x.exponent[r]), _mm512_set1_epi32(w.exponent[r][m]));
    top = _mm512_max_epi32(top, exponent[r]);
  }
  const __m512i above = _mm512_add_epi32(top, _mm512_set1_epi32(1));
  // The ones that complements lack, in rows 0 to 7 and 8 to 15.
  __m512i count = _mm512_xor_si512(_mm512_load_si512(x.negative), _mm512_set1_epi32(static_cast<int>(w.negative[m])));
  count = _mm512_sub_epi32(count, _mm512_and_si512(_mm512_srli_epi32(count, 1), _mm512_set1_epi32(0x5555)));
  count = _mm512_add_epi32(_mm512_and_si512(count, _mm512_set1_epi32(0x3333)),
                           _mm512_and_si512(_mm512_srli_epi32(count, 2), _mm512_set1_epi32(0x3333)));
  count = _mm512_and_si512(_mm512_add_epi32(count, _mm512_srli_epi32(count, 4)), _mm512_set1_epi32(0x0f0f));
  __m512i low = _mm512_and_si512(count, _mm512_set1_epi32(0xff)), high = _mm512_srli_epi32(count, 8);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    const __m512i product = _mm512_madd_epi16(_mm512_load_si512(x.pair[r]), _mm512_set1_epi32(w.pair[r][m]));
    const __m512i term = _mm512_srav_epi32(product, _mm512_sub_epi32(above, exponent[r]));
    if (r < kEight) {
      low = _mm512_add_epi32(low, term);
    } else {
      high = _mm512_add_epi32(high, term);
    }
  }
  *low_out = low;
  *high_out = high;
  *exp_out = top;
}

// ColumnSum::Finish of 16 lanes. The sum is low + high, both below 2^31 in magnitude, at the exponent exp. 32-bit
// significands have their leading one on top; `rest` and `under` are what lies below such a word.
DITHER_INLINE __m512i Foot(__m512i low, __m512i high, __m512i exp, bool accumulate, __m512i p) {
  const __m512i one = _mm512_set1_epi32(1), infinity = _mm512_set1_epi32(0x7f800000);
  const __m512i halved = _mm512_add_epi32(_mm512_and_si512(low, high), _mm512_srai_epi32(_mm512_xor_si512(low, high), 1));
  const __mmask16 c_minus = _mm512_movepi32_mask(halved);
  const __m512i both = _mm512_add_epi32(low, high);
  __m512i c = _mm512_mask_sub_epi32(both, c_minus, _mm512_setzero_si512(), both);
  const __mmask16 c_some = _mm512_test_epi32_mask(c, c);
  const __m512i c_gap = _mm512_lzcnt_epi32(c);
  c = _mm512_sllv_epi32(c, c_gap);
  // A zero sum lies below everything.
  const __m512i c_exp = _mm512_mask_sub_epi32(_mm512_set1_epi32(-4096), c_some,
                                              _mm512_sub_epi32(exp, c_gap), _mm512_set1_epi32(110 + kFracBits));
  __m512i n = c, rest = _mm512_setzero_si512(), e = c_exp;
  __mmask16 minus = c_minus, some = c_some;
  if (accumulate) {
    const __m512i p_field = _mm512_and_si512(_mm512_srli_epi32(p, 23), _mm512_set1_epi32(0xff));
    const __m512i p_exp = _mm512_max_epi32(p_field, one);
    const __m512i fraction = _mm512_slli_epi32(p, 9);
    const __m512i p_sig = _mm512_mask_or_epi32(_mm512_srli_epi32(fraction, 1), _mm512_test_epi32_mask(p_field, p_field),
                                               _mm512_srli_epi32(fraction, 1), _mm512_set1_epi32(INT32_MIN));
    const __mmask16 p_minus = _mm512_movepi32_mask(p);
    const __mmask16 c_big = _mm512_cmpgt_epi32_mask(c_exp, p_exp);
    const __m512i large = _mm512_mask_blend_epi32(c_big, p_sig, c), small = _mm512_mask_blend_epi32(c_big, c, p_sig);
    const __m512i distance = _mm512_abs_epi32(_mm512_sub_epi32(c_exp, p_exp));
    const __m512i moved = _mm512_srlv_epi32(small, distance);
    const __m512i width = _mm512_set1_epi32(32);
    const __m512i under = _mm512_sllv_epi32(small, _mm512_sub_epi32(width, _mm512_min_epi32(distance, width)));
    const __mmask16 under_some = _mm512_test_epi32_mask(under, under);
    const auto differ = static_cast<__mmask16>(c_minus ^ p_minus);
    // Only a subnormal, or equal exponents, can be the smaller number after all.
    const auto turned = static_cast<__mmask16>(
        _mm512_mask_cmplt_epu32_mask(differ, large, moved) |
        _mm512_mask_cmpeq_epi32_mask(static_cast<__mmask16>(differ & under_some), large, moved));
    const auto straight = static_cast<__mmask16>(differ & ~turned);
    __m512i sum = _mm512_add_epi32(large, moved);
    const auto carry = static_cast<__mmask16>(~differ & _mm512_cmplt_epu32_mask(sum, large));
    sum = _mm512_mask_sub_epi32(sum, straight, large, moved);
    sum = _mm512_mask_sub_epi32(sum, turned, moved, large);
    sum = _mm512_mask_sub_epi32(sum, static_cast<__mmask16>(straight & under_some), sum, one);
    rest = _mm512_mask_sub_epi32(under, straight, rest, under);
    const auto c_rules = static_cast<__mmask16>(c_big ^ turned);
    minus = static_cast<__mmask16>((c_minus & c_rules) | (p_minus & ~c_rules));
    const __mmask16 sum_some = _mm512_test_epi32_mask(sum, sum);
    some = static_cast<__mmask16>(sum_some | _mm512_test_epi32_mask(rest, rest) | carry);
    // Shifts of a whole word give 0: a sum of nothing brings the rest up.
    const __m512i gap = _mm512_lzcnt_epi32(sum);
    n = _mm512_or_si512(_mm512_sllv_epi32(sum, gap), _mm512_srlv_epi32(rest, _mm512_sub_epi32(width, gap)));
    n = _mm512_mask_or_epi32(n, carry, _mm512_srli_epi32(sum, 1), _mm512_set1_epi32(INT32_MIN));
    rest = _mm512_mask_blend_epi32(carry, _mm512_sllv_epi32(rest, gap), _mm512_or_si512(rest, _mm512_and_si512(sum, one)));
    const __m512i big_exp = _mm512_max_epi32(c_exp, p_exp);
    e = _mm512_mask_add_epi32(_mm512_sub_epi32(big_exp, gap), carry, big_exp, one);
  }
  const __m512i lost = _mm512_or_si512(rest, _mm512_and_si512(n, one));
  n = _mm512_srli_epi32(n, 1);
  n = _mm512_mask_or_epi32(n, _mm512_test_epi32_mask(lost, lost), n, one);
  const __m512i e_kept = _mm512_max_epi32(e, one);
  const __m512i drop = _mm512_add_epi32(_mm512_sub_epi32(e_kept, e), _mm512_set1_epi32(7));
  const __m512i odd = _mm512_and_si512(_mm512_srlv_epi32(n, drop), one);
  // A drop of 32: n is less than the half of it. More: all is 0.
  const __m512i half = _mm512_srli_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(2), _mm512_sub_epi32(drop, one)), 1);
  const __m512i kept = _mm512_srlv_epi32(_mm512_add_epi32(_mm512_add_epi32(n, odd), _mm512_sub_epi32(half, one)), drop);
  const __m512i field = _mm512_sub_epi32(_mm512_min_epi32(e_kept, _mm512_set1_epi32(255)), one);
  const __m512i bits = _mm512_min_epu32(_mm512_add_epi32(_mm512_slli_epi32(field, 23), kept), infinity);
  __m512i out = _mm512_maskz_mov_epi32(
      some, _mm512_mask_or_epi32(bits, minus, bits, _mm512_set1_epi32(INT32_MIN)));
  if (accumulate) {  // an infinity stays, any NaN is the one
    const __mmask16 unusual = _mm512_cmpeq_epi32_mask(_mm512_and_si512(p, infinity), infinity);
    const __mmask16 nan = _mm512_mask_test_epi32_mask(unusual, p, _mm512_set1_epi32(0x7fffff));
    out = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(out, unusual, p), nan, _mm512_set1_epi32(kCanonicalNan));
  }
  return out;
}

template <bool accumulate>
DITHER_INLINE void RunRows(const TileJob& job, int rows) {
  for (int m = 0; m < job.columns; ++m) {
    std::uint8_t* at = job.psum + m * job.stride;
    __m512i low, high, exp;
    SumRows(*job.x, *job.w, m, rows, &low, &high, &exp);
    const __m512i p = accumulate ? _mm512_loadu_si512(at) : _mm512_setzero_si512();
    _mm512_storeu_si512(at, Foot(low, high, exp, accumulate, p));
  }
}

DITHER_TARGET void Run(const TileJob& job) {
  const int rows = job.x->rows;
  if (job.accumulate) {
    rows == kTileSide ? RunRows<true>(job, kTileSide) : RunRows<true>(job, rows);
  } else {
    rows == kTileSide ? RunRows<false>(job, kTileSide) : RunRows<false>(job, rows);
  }
}
}  // namespace

const TileKernel* FindTileKernel() {
  static const TileKernel kernel = {Run, AddRow};
  static const bool can = HasAvx512();
  return can ? &kernel : nullptr;
}

}  // namespace dither::model

#else

const dither::model::TileKernel* dither::model::FindTileKernel() { return nullptr; }

#endif
