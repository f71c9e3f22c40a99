// Every loop here is without branches, so that the compiler can do its elements side by side.
#include "sim/model/row_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "sim/model/clones.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/lfsr.hpp"

namespace dither::model {
namespace {

constexpr std::uint32_t kChunk = 256;  // elements that scratch arrays hold

// ------------------------------------------------------------------------------------------- fma

constexpr int kLanes = 8;
using Words = std::uint32_t __attribute__((vector_size(4 * kLanes)));
using Signed = std::int64_t __attribute__((vector_size(8 * kLanes), may_alias));
using Unsigned = std::uint64_t __attribute__((vector_size(8 * kLanes), may_alias));

// Right shift by 0..63 that keeps every lost one alive in bit 0.
inline __attribute__((always_inline)) void Jam(Unsigned* value, const Signed& by) {
  const Unsigned kept = *value >> (Unsigned)by;
  *value = kept | (Unsigned)(((kept << (Unsigned)by) != *value) & 1);
}

// Fp32Fma of eight lanes without infinities and NaN, step by step: window of 64 bits, product at bits 61..14,
// addend at bits 60..37.
inline __attribute__((always_inline)) void FmaFinite(const Words& a, const Words& b, const Words& c, Words* out) {
  const Unsigned wa = __builtin_convertvector(a, Unsigned), wb = __builtin_convertvector(b, Unsigned),
                 wc = __builtin_convertvector(c, Unsigned);
  const Signed fa = (Signed)(wa >> 23 & 0xff), fb = (Signed)(wb >> 23 & 0xff), fc = (Signed)(wc >> 23 & 0xff);
  const Signed za = fa == 0, zb = fb == 0, zc = fc == 0;  // true is -1
  const Unsigned sa = (wa & 0x7fffff) | (Unsigned)(~za & 0x800000);
  const Unsigned sb = (wb & 0x7fffff) | (Unsigned)(~zb & 0x800000);
  const Unsigned sc = (wc & 0x7fffff) | (Unsigned)(~zc & 0x800000);
  Unsigned product = (sa * sb) << 14;
  Unsigned addend = sc << 37;
  const Signed exp_c = fc - zc;
  // How far the product's exponent is above the addend's; a zero product shifts nothing.
  const Signed above = product == 0 ? Signed{} : (fa - za) + (fb - zb) - 127 - exp_c;
  const Signed up = above > 0 ? above : Signed{}, down = above > 0 ? Signed{} : -above;
  Jam(&addend, up > 63 ? Signed{} + 63 : up);
  Jam(&product, down > 63 ? Signed{} + 63 : down);
  const Signed product_sign = -(Signed)((wa ^ wb) >> 31), addend_sign = -(Signed)(wc >> 31);
  const Signed total = (((Signed)product ^ product_sign) - product_sign) +
                       (((Signed)addend ^ addend_sign) - addend_sign);
  const Signed zero = total == 0;
  const Signed negative = zero ? product_sign & addend_sign : total >> 63;

  // Leading one to bit 62, then round to 24 bits, fewer below the normal range.
  const Signed sign = total >> 63;
  Unsigned n = (Unsigned)((total ^ sign) - sign);
  alignas(64) std::uint64_t in[kLanes];
  alignas(64) std::int64_t zeros[kLanes];
  std::memcpy(in, &n, sizeof in);
#pragma GCC unroll 1  // so that it stays a loop, which becomes an instruction where there is one
  for (int lane = 0; lane < kLanes; ++lane) zeros[lane] = __builtin_clzll(in[lane] | 1);
  Signed gap;
  std::memcpy(&gap, zeros, sizeof gap);
  n = (n << (Unsigned)gap) >> 1;
  Signed e = exp_c + up - gap + 3;
  const Signed below = e < 1;
  const Signed drop = 39 + (below ? 1 - e : Signed{});
  e = below ? Signed{} + 1 : e;
  const Signed gone = drop > 63;
  n = gone ? Unsigned{} : n;
  const Unsigned by = (Unsigned)(gone ? Signed{} + 63 : drop);
  const Unsigned half = (Unsigned{} + 1) << (by - 1);
  const Unsigned kept = (n + (half - 1) + (n >> by & 1)) >> by;
  Signed bits = (e << 23) + (Signed)kept - 0x800000;
  bits = bits >= 0x7f800000 ? Signed{} + 0x7f800000 : bits;
  bits = zero ? Signed{} : bits;
  *out = __builtin_convertvector((Unsigned)(bits | (negative & 0x80000000)), Words);
}

}  // namespace

DITHER_CLONES
void FmaRow(const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c, std::uint32_t count,
            std::uint32_t* out) {
  for (std::uint32_t n = 0; n < count; n += kLanes) {
    const std::uint32_t here = std::min<std::uint32_t>(kLanes, count - n);
    Words wa = {}, wb = {}, wc = {};
    std::memcpy(&wa, a + n, here == kLanes ? sizeof wa : 4 * here);
    std::memcpy(&wb, b + n, here == kLanes ? sizeof wb : 4 * here);
    std::memcpy(&wc, c + n, here == kLanes ? sizeof wc : 4 * here);
    const Words exponents = Words{} + 0x7f800000;
    const auto special = ((wa & exponents) == exponents) | ((wb & exponents) == exponents) |
                         ((wc & exponents) == exponents);
    std::array<std::uint64_t, kLanes / 2> any;
    std::memcpy(any.data(), &special, sizeof any);
    if ((any[0] | any[1] | any[2] | any[3]) != 0) {
      for (std::uint32_t k = 0; k < here; ++k) out[n + k] = Fp32Fma(wa[k], wb[k], wc[k]);
      continue;
    }
    Words result;
    FmaFinite(wa, wb, wc, &result);
    std::memcpy(out + n, &result, here == kLanes ? sizeof result : 4 * here);
  }
}

// ---------------------------------------------------------------------------------- random words

namespace {

// 32 bits from bit n of two words of the sequence.
constexpr std::uint32_t Between(std::uint32_t low, std::uint32_t high, int n) {
  return low >> n | high << (32 - n);
}

}  // namespace

// States are 32 bits of the sequence each, one behind the other. Squaring the recurrence of lfsr.hpp
// gives others of the same sequence (modulo 2, a square of a sum is the sum of the squares): seven
// steps back, s[n+128] = s[n] + s[n+20] + s[n+72] + s[n+92], all of a word at once; and
// s[n+1024] = s[n] + s[n+160] + s[n+576] + s[n+736], where words stay whole.
DITHER_CLONES
std::uint32_t RandomRow(std::uint32_t state, bool whiten, std::uint32_t count, std::uint32_t* words) {
  std::uint32_t states[kChunk + 1];
  while (count != 0) {
    const std::uint32_t here = std::min(count, kChunk);
    states[0] = state;
    std::uint32_t k = 1;
    for (; k <= std::min(here, 3u); ++k) states[k] = Leap(states[k - 1]);
    for (; k <= std::min(here, 31u); ++k) {
      const std::uint32_t* s = states + k;
      states[k] = s[-4] ^ Between(s[-4], s[-3], 20) ^ Between(s[-2], s[-1], 8) ^ Between(s[-2], s[-1], 28);
    }
    for (; k + 7 <= here; k += 8) {  // the nearest word is nine before
      Words a, b, c, d;
      std::memcpy(&a, states + k - 32, sizeof a);
      std::memcpy(&b, states + k - 27, sizeof b);
      std::memcpy(&c, states + k - 14, sizeof c);
      std::memcpy(&d, states + k - 9, sizeof d);
      a ^= b ^ c ^ d;
      std::memcpy(states + k, &a, sizeof a);
    }
    for (; k <= here; ++k) states[k] = states[k - 32] ^ states[k - 27] ^ states[k - 14] ^ states[k - 9];
    if (whiten) {
      for (std::uint32_t n = 0; n < here; ++n) words[n] = RandomWord(states[n], true);
    } else {
      for (std::uint32_t n = 0; n < here; ++n) words[n] = RandomWord(states[n], false);
    }
    state = states[here];
    words += here;
    count -= here;
  }
  return state;
}

// --------------------------------------------------------------------------------------- widening

namespace {

std::uint32_t LoadElement(const std::uint8_t* at, std::uint32_t bytes) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, at, bytes);
  return bits;
}

template <Dtype dtype>
constexpr auto kWide = [] {
  std::array<std::uint32_t, 256> wide{};
  for (std::uint32_t bits = 0; bits < 256; ++bits) wide[bits] = WidenToFp32(dtype, bits);
  return wide;
}();

template <Dtype dtype>
std::uint32_t Widen(std::uint32_t bits) {
  if constexpr (DtypeBytes(dtype) == 1) {
    return kWide<dtype>[bits];
  } else {
    return WidenToFp32(dtype, bits);
  }
}

DITHER_CLONES
void WidenBf16(const std::uint8_t* at, std::uint32_t count, std::uint32_t* out) {
  for (std::uint32_t n = 0; n < count; ++n) {
    std::uint16_t bits;
    std::memcpy(&bits, at + 2 * n, sizeof bits);
    out[n] = WidenToFp32(Dtype::kBf16, bits);
  }
}

template <Dtype dtype>
void WidenRowOf(const std::uint8_t* at, std::int64_t stride, std::uint32_t count, std::uint32_t* out) {
  constexpr std::uint32_t kBytes = DtypeBytes(dtype);
  if (stride == 0) {
    std::fill_n(out, count, Widen<dtype>(LoadElement(at, kBytes)));
    return;
  }
  if (stride == 1 && dtype == Dtype::kFp32) {
    std::memcpy(out, at, std::size_t{count} * 4);
    return;
  }
  if (stride == 1 && dtype == Dtype::kBf16) return WidenBf16(at, count, out);
  for (std::uint32_t n = 0; n < count; ++n, at += stride * kBytes) {
    out[n] = Widen<dtype>(LoadElement(at, kBytes));
  }
}

}  // namespace

void WidenRow(Dtype dtype, const std::uint8_t* at, std::int64_t stride, std::uint32_t count,
              std::uint32_t* out) {
  switch (dtype) {
    case Dtype::kFp32: return WidenRowOf<Dtype::kFp32>(at, stride, count, out);
    case Dtype::kBf16: return WidenRowOf<Dtype::kBf16>(at, stride, count, out);
    case Dtype::kFp16: return WidenRowOf<Dtype::kFp16>(at, stride, count, out);
    case Dtype::kFp8E4M3: return WidenRowOf<Dtype::kFp8E4M3>(at, stride, count, out);
    case Dtype::kFp8E5M2: return WidenRowOf<Dtype::kFp8E5M2>(at, stride, count, out);
    case Dtype::kInt8: return WidenRowOf<Dtype::kInt8>(at, stride, count, out);
    case Dtype::kInt32: return WidenRowOf<Dtype::kInt32>(at, stride, count, out);
  }
}

// -------------------------------------------------------------------------------------- narrowing

namespace {

// NarrowFloat on 32 bits and without branches. A significand has 24 bits, so that shifts beyond 25
// do what one of 25 does.
template <const FloatFormat& f, Round round>
inline __attribute__((always_inline)) std::uint32_t NarrowFlat(std::uint32_t fp32, bool saturate,
                                                               std::uint32_t random) {
  const std::uint32_t sign = (fp32 & kFp32Sign) != 0 ? f.sign : 0;
  const std::uint32_t magnitude = fp32 & ~kFp32Sign;
  const auto field = static_cast<std::int32_t>(magnitude >> 23);
  const std::uint32_t significand = (magnitude & 0x7fffff) | (field == 0 ? 0 : 0x800000);
  const std::int32_t above = (field == 0 ? 1 : field) - 127 - f.min_exponent;
  const std::int32_t normal = 23 - f.mantissa_bits;
  const std::int32_t far = normal + (above < 0 ? -above : 0);
  const std::int32_t shift = far > 25 ? 25 : far;
  std::uint32_t kept = significand >> shift;
  if constexpr (round == Round::kSr) {
    const std::int32_t beyond = far - kRandomBits;
    const std::uint32_t fraction = beyond <= 0
                                       ? (significand << (beyond <= 0 ? -beyond : 0)) & kRandomMask
                                       : significand >> (beyond > 31 ? 31 : beyond < 0 ? 0 : beyond);
    kept += (fraction + random) >> kRandomBits;
  } else if constexpr (round == Round::kRne) {
    kept = (significand + ((1u << (shift - 1)) - 1) + (kept & 1)) >> shift;
  }
  const std::uint32_t bits = (static_cast<std::uint32_t>(above < 0 ? 0 : above) << f.mantissa_bits) + kept;
  const std::uint32_t over = saturate || round == Round::kRtz ? f.max_finite : f.infinity;
  const std::uint32_t infinite = saturate && f.saturate_infinity ? f.max_finite : f.infinity;
  std::uint32_t result = bits > f.max_finite ? over : bits;
  result = magnitude == kFp32Inf ? infinite : result;
  result = magnitude > kFp32Inf ? f.nan : result;
  return sign | result;
}

template <const FloatFormat& f>
inline __attribute__((always_inline)) void NarrowChunk(const std::uint32_t* values, const std::uint32_t* words,
                                                       std::uint32_t count, Round round, bool saturate,
                                                       std::uint32_t* out) {
  switch (round) {
    case Round::kRne:
      for (std::uint32_t n = 0; n < count; ++n) out[n] = NarrowFlat<f, Round::kRne>(values[n], saturate, 0);
      break;
    case Round::kSr:
      for (std::uint32_t n = 0; n < count; ++n) out[n] = NarrowFlat<f, Round::kSr>(values[n], saturate, words[n]);
      break;
    case Round::kRtz:
      for (std::uint32_t n = 0; n < count; ++n) out[n] = NarrowFlat<f, Round::kRtz>(values[n], saturate, 0);
      break;
  }
}

DITHER_CLONES
void NarrowFloats(Dtype dtype, const std::uint32_t* values, const std::uint32_t* words, std::uint32_t count,
                  Round round, bool saturate, std::uint32_t* out) {
  switch (dtype) {
    case Dtype::kBf16: return NarrowChunk<kBf16Format>(values, words, count, round, saturate, out);
    case Dtype::kFp16: return NarrowChunk<kFp16Format>(values, words, count, round, saturate, out);
    case Dtype::kFp8E4M3: return NarrowChunk<kFp8E4M3Format>(values, words, count, round, saturate, out);
    case Dtype::kFp8E5M2: return NarrowChunk<kFp8E5M2Format>(values, words, count, round, saturate, out);
    default: break;
  }
}

template <typename Element>
void StoreRow(const std::uint32_t* values, std::uint32_t count, std::uint8_t* at, std::int64_t stride) {
  for (std::uint32_t n = 0; n < count; ++n, at += stride * static_cast<std::int64_t>(sizeof(Element))) {
    const auto element = static_cast<Element>(values[n]);
    std::memcpy(at, &element, sizeof element);
  }
}

void StoreElements(std::uint32_t bytes, const std::uint32_t* values, std::uint32_t count, std::uint8_t* at,
                   std::int64_t stride) {
  const bool row = stride == 1;
  switch (bytes) {
    case 1: return row ? StoreRow<std::uint8_t>(values, count, at, 1) : StoreRow<std::uint8_t>(values, count, at, stride);
    case 2: return row ? StoreRow<std::uint16_t>(values, count, at, 1) : StoreRow<std::uint16_t>(values, count, at, stride);
    default: return row ? StoreRow<std::uint32_t>(values, count, at, 1) : StoreRow<std::uint32_t>(values, count, at, stride);
  }
}

}  // namespace

void NarrowRow(Dtype dtype, const std::uint32_t* values, std::uint32_t count, Round round, bool saturate,
               bool whiten, std::uint32_t& rounder, std::uint8_t* at, std::int64_t stride) {
  const std::uint32_t bytes = DtypeBytes(dtype);
  if (dtype == Dtype::kFp32) return StoreElements(bytes, values, count, at, stride);
  std::uint32_t words[kChunk] = {}, narrow[kChunk];
  for (std::uint32_t n = 0; n < count; n += kChunk) {
    const std::uint32_t here = std::min(kChunk, count - n);
    if (round == Round::kSr) rounder = RandomRow(rounder, whiten, here, words);
    if (dtype == Dtype::kInt8 || dtype == Dtype::kInt32) {
      for (std::uint32_t k = 0; k < here; ++k) {
        narrow[k] = NarrowFromFp32(dtype, values[n + k], round, saturate, words[k]);
      }
    } else {
      NarrowFloats(dtype, values + n, words, here, round, saturate, narrow);
    }
    StoreElements(bytes, narrow, here, at + std::int64_t{n} * stride * bytes, stride);
  }
}

}  // namespace dither::model
