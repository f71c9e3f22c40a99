// Stochastic rounding judged by counting: how many of all random words round a number up, against
// the exact ratio of its distances to its two neighbours. The neighbours and distances come from
// the target's own values (a word of zeros gives the lower one, the next pattern is the upper one),
// so nothing here knows how rounding is done.
//
// narrow(dtype, fp32, word) is the rounder under test: the model, or the Verilated RTL.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>

#include "sim/model/formats.hpp"

namespace dither::tb {

inline constexpr std::uint32_t kWords = std::uint32_t{1} << kRandomBits;

inline double ValueOf(Dtype dtype, std::uint32_t bits) {
  if (dtype == Dtype::kInt8) return static_cast<std::int8_t>(bits);
  if (dtype == Dtype::kInt32) return static_cast<std::int32_t>(bits);
  return std::bit_cast<float>(WidenToFp32(dtype, bits));
}

// The next pattern away from zero.
inline std::uint32_t Outward(Dtype dtype, std::uint32_t bits, bool negative) {
  if (dtype == Dtype::kInt8) return (negative ? bits - 1 : bits + 1) & 0xff;
  if (dtype == Dtype::kInt32) return negative ? bits - 1 : bits + 1;
  return bits + 1;
}

// What exact arithmetic says of one number: its neighbours and how many words have to round it up.
struct Wanted {
  std::uint32_t down, up;
  std::uint32_t words;  // the floor of fraction * 2^24
  bool exact;           // nothing was lost by that floor: the expectation is the number itself
};
template <typename Narrow>
Wanted Judge(Narrow&& narrow, Dtype dtype, std::uint32_t fp32) {
  const double x = std::bit_cast<float>(fp32);
  Wanted w{narrow(dtype, fp32, 0u), 0, 0, true};
  w.up = Outward(dtype, w.down, std::signbit(x));
  const double low = ValueOf(dtype, w.down), high = ValueOf(dtype, w.up);
  // All these differences have at most 25 significant bits: exact in double.
  const double words = std::ldexp((x - low) / (high - low), kRandomBits);
  w.words = static_cast<std::uint32_t>(std::floor(words));
  w.exact = words == std::floor(words);
  return w;
}

// Counts among all 2^24 words; every word is tried.
template <typename Narrow>
std::uint32_t CountUp(Narrow&& narrow, Dtype dtype, std::uint32_t fp32, const Wanted& w,
                      bool* others) {
  std::uint32_t up = 0;
  for (std::uint32_t word = 0; word < kWords; ++word) {
    const std::uint32_t got = narrow(dtype, fp32, word);
    up += got == w.up;
    *others = *others || (got != w.up && got != w.down);
  }
  return up;
}

// The same count by the two words next to the limit, for a rounder that is known to be monotonic in
// the word (CountUp shows it on samples, the proof for all): the last that stays and the first that
// goes up.
template <typename Narrow>
bool LimitIs(Narrow&& narrow, Dtype dtype, std::uint32_t fp32, const Wanted& w) {
  const std::uint32_t first = kWords - w.words;
  if (narrow(dtype, fp32, first - 1) != w.down) return false;
  if (w.words == 0) return narrow(dtype, fp32, kWords - 1) == w.down;
  return narrow(dtype, fp32, first) == w.up && narrow(dtype, fp32, kWords - 1) == w.up;
}

// An enumeration: what was counted, and the first thing that was wrong.
struct Enumeration {
  std::uint64_t numbers = 0;   // fp32 patterns judged
  std::uint64_t inexact = 0;   // of them with more than 24 bits discarded
  double worst_bias = 0;       // of these, in units of the last place
  std::string wrong;
};

// One binade or subnormal range of inputs: all 2^23 (or every step-th) mantissas of a biased
// exponent and sign.
template <typename Narrow>
void EnumerateBinade(Narrow&& narrow, Dtype dtype, std::uint32_t field, bool negative,
                     std::uint32_t step, Enumeration* e) {
  for (std::uint32_t mantissa = 0; mantissa < std::uint32_t{1} << 23; mantissa += step) {
    const std::uint32_t fp32 = (negative ? kFp32Sign : 0u) | field << 23 | mantissa;
    const Wanted w = Judge(narrow, dtype, fp32);
    ++e->numbers;
    if (!w.exact) {
      ++e->inexact;
      const double x = std::bit_cast<float>(fp32), low = ValueOf(dtype, w.down);
      const double gap = ValueOf(dtype, w.up) - low;
      const double bias = (x - low) / gap - std::ldexp(w.words, -kRandomBits);
      if (bias > e->worst_bias) e->worst_bias = bias;
    }
    if (!e->wrong.empty() || LimitIs(narrow, dtype, fp32, w)) continue;
    e->wrong = std::string(DtypeName(dtype)) + " of fp32 pattern " + std::to_string(fp32);
  }
}

// fp32 -> bf16: all 65,536 discarded fractions by all 65,536 values of the word's upper 16 bits,
// each with its lower 8 bits all zeros and all ones. The fraction has zeros there, so no other
// lower bits can do anything else than these two, provided that both agree.
template <typename Narrow>
std::string EnumerateBf16(Narrow&& narrow, std::uint32_t kept, std::uint32_t fractions_step) {
  for (std::uint32_t f = 0; f < 0x10000; f += fractions_step) {
    const std::uint32_t fp32 = kept << 16 | f;
    std::uint32_t up = 0, wrong = 0;
    for (std::uint32_t word = 0; word < 0x10000; ++word) {
      const std::uint32_t a = narrow(Dtype::kBf16, fp32, word << 8);
      const std::uint32_t b = narrow(Dtype::kBf16, fp32, word << 8 | 0xff);
      up += a == kept + 1;
      wrong += a != b || (a != kept && a != kept + 1);
    }
    if (up != f || wrong != 0) {
      return "fraction " + std::to_string(f) + ": " + std::to_string(up) + " of 65536 words up";
    }
  }
  return "";
}

}  // namespace dither::tb
