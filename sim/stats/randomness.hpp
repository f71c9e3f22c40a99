// Statistics of the rounders' random words: linear complexity, variance of sums of roundings,
// correlation of decisions, chi-square. Plain counting in integers; the test and the program
// rounder_stats draw the words.
//
// Test  tb/formats/random_test.cpp
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/model/formats.hpp"
#include "sim/model/lfsr.hpp"

namespace dither::stats {

// Draws a lane's words, one for each rounding.
class Lane {
 public:
  explicit Lane(std::uint32_t state, bool whiten = true) : state_(state), whiten_(whiten) {}
  std::uint32_t operator()() {
    const std::uint32_t word = RandomWord(state_, whiten_);
    state_ = Leap(state_);
    return word;
  }

 private:
  std::uint32_t state_;
  bool whiten_;
};

// Length of the shortest linear recurrence that makes the bits (one per byte), by Berlekamp and
// Massey, 64 coefficients at a time. Of n random bits it is n/2 give or take a few: more than k
// away with probability about 2^(1-2k).
inline std::size_t LinearComplexity(const std::vector<std::uint8_t>& bits) {
  const std::size_t n = bits.size(), words = n / 64 + 2;
  // Coefficient k meets bit at-k: with the bits stored backwards both run upwards.
  std::vector<std::uint64_t> backwards(words + 1), now(words), before(words), keep;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t to = n - 1 - i;
    if (bits[i] != 0) backwards[to / 64] |= std::uint64_t{1} << (to % 64);
  }
  now[0] = before[0] = 1;
  std::size_t length = 0, gap = 1;
  for (std::size_t at = 0; at < n; ++at, ++gap) {
    const std::size_t from = (n - 1 - at) / 64, shift = (n - 1 - at) % 64;
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k <= length / 64 && from + k < words; ++k) {
      const std::uint64_t high = shift == 0 ? 0 : backwards[from + k + 1] << (64 - shift);
      sum ^= now[k] & (backwards[from + k] >> shift | high);
    }
    if ((std::popcount(sum) & 1) == 0) continue;  // the recurrence foretold this bit
    const bool grow = 2 * length <= at;
    if (grow) keep = now;
    const std::size_t skip = gap / 64, left = gap % 64;
    for (std::size_t k = words; k-- > skip;) {
      const std::uint64_t low =
          left == 0 || k == skip ? 0 : before[k - skip - 1] >> (64 - left);
      now[k] ^= before[k - skip] << left | low;
    }
    if (!grow) continue;
    length = at + 1 - length;
    before.swap(keep);
    gap = 0;
  }
  return length;
}

// Variance of sums of `terms` roundings of a number whose discarded fraction is `fraction`, over
// that of independent ones.
template <typename Draw>
double VarianceRatio(Draw&& draw, double fraction, int terms, int sums) {
  const auto threshold =
      static_cast<std::uint32_t>(std::ldexp(1.0 - fraction, kRandomBits));  // smallest that is up
  double total = 0, squares = 0;
  for (int s = 0; s < sums; ++s) {
    int up = 0;
    for (int t = 0; t < terms; ++t) up += draw() >= threshold;
    total += up;
    squares += static_cast<double>(up) * up;
  }
  const double mean = total / sums;
  return (squares / sums - mean * mean) * sums / (sums - 1) / (terms * fraction * (1 - fraction));
}
// Its standard deviation when the roundings are independent: the sums' fourth moment is known.
inline double VarianceRatioSigma(double fraction, int terms, int sums) {
  const double excess = (1 - 6 * fraction * (1 - fraction)) / (terms * fraction * (1 - fraction));
  return std::sqrt((2 + excess) / sums);
}

// The decisions "rounds up" of a lane, one bit each.
struct Decisions {
  double fraction;
  std::size_t count;
  std::vector<std::uint64_t> bits;  // one word of padding behind
};
template <typename Draw>
Decisions Decide(Draw&& draw, double fraction, std::size_t count) {
  const auto threshold = static_cast<std::uint32_t>(std::ldexp(1.0 - fraction, kRandomBits));
  Decisions d{fraction, count, std::vector<std::uint64_t>(count / 64 + 2)};
  for (std::size_t i = 0; i < count; ++i) {
    if (draw() >= threshold) d.bits[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  return d;
}
// Correlation of a's decisions with b's `lag` later ones, in standard deviations.
inline double CorrelationSigmas(const Decisions& a, const Decisions& b, std::size_t lag) {
  const std::size_t words = (a.count - lag) / 64, skip = lag / 64, shift = lag % 64;
  std::uint64_t both = 0, ones_a = 0, ones_b = 0;
  for (std::size_t i = 0; i < words; ++i) {
    const std::uint64_t later =
        shift == 0 ? b.bits[i + skip]
                   : b.bits[i + skip] >> shift | b.bits[i + skip + 1] << (64 - shift);
    both += static_cast<std::uint64_t>(std::popcount(a.bits[i] & later));
    ones_a += static_cast<std::uint64_t>(std::popcount(a.bits[i]));
    ones_b += static_cast<std::uint64_t>(std::popcount(later));
  }
  const double n = static_cast<double>(words) * 64, pa = static_cast<double>(ones_a) / n,
               pb = static_cast<double>(ones_b) / n;
  const double covariance = static_cast<double>(both) / n - pa * pb;
  return covariance / std::sqrt(pa * (1 - pa) * pb * (1 - pb)) * std::sqrt(n);
}

// Chi-square of `bits` of the words from bit `low` up, in standard deviations of its distribution
// (Wilson and Hilferty's cube root, close to normal for 255 degrees of freedom).
template <typename Draw>
double ChiSquareSigmas(Draw&& draw, int low, int bits, std::size_t count) {
  std::vector<std::uint64_t> bins(std::size_t{1} << bits);
  for (std::size_t i = 0; i < count; ++i) ++bins[(draw() >> low) & (bins.size() - 1)];
  const double wanted = static_cast<double>(count) / static_cast<double>(bins.size());
  double sum = 0;
  for (const std::uint64_t got : bins) {
    const double off = static_cast<double>(got) - wanted;
    sum += off * off / wanted;
  }
  const double k = static_cast<double>(bins.size()) - 1;
  return (std::cbrt(sum / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
}

}  // namespace dither::stats
