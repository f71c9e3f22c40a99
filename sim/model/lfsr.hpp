// The stochastic rounder's random numbers: one 32-bit Fibonacci LFSR per lane.
//
// Bit j of a state is bit j of the sequence from here on; the sequence obeys
//   s[n+32] = s[n] + s[n+3] + s[n+13] + s[n+16]   (modulo 2)
// whose polynomial x^32 + x^16 + x^13 + x^3 + 1 is primitive, so every nonzero state returns after
// 2^32 - 1 steps. A rounding takes its random word from the current state, then the state leaps 32
// steps: no two roundings share a bit of the sequence. State 0, the only one outside the cycle,
// counts as state 1.
//
// Test  tb/formats/lfsr_model_test.cpp, tb/formats/random_test.cpp        RTL  rtl/rounder/lfsr.sv
#pragma once

#include <array>
#include <cstdint>

namespace dither {

inline constexpr std::uint64_t kLfsrPeriod = 0xffffffff;  // 3 * 5 * 17 * 257 * 65537
inline constexpr int kLfsrLeapSteps = 32;

constexpr std::uint32_t LfsrRecover(std::uint32_t state) { return state == 0 ? 1 : state; }

constexpr std::uint32_t LfsrStep(std::uint32_t state) {
  state = LfsrRecover(state);
  const std::uint32_t bit = state ^ (state >> 3) ^ (state >> 13) ^ (state >> 16);
  return (state >> 1) | (bit << 31);
}

// 32 steps at once, half of them at a time: bit n+32 needs no bit later than n+16.
constexpr std::uint32_t Leap(std::uint32_t state) {
  std::uint64_t s = LfsrRecover(state);
  for (const int n : {0, 16}) {
    const std::uint64_t bits = (s ^ (s >> 3) ^ (s >> 13) ^ (s >> 16)) >> n & 0xffff;
    s |= bits << (32 + n);
  }
  return static_cast<std::uint32_t>(s >> 32);
}

// A one-to-one map of states onto words that is not linear. Every bit from 5 up takes in a product
// of two bits below it: w[i] = x[i] + w[p] x[i-5], where p is i-1, but 7 at the bits 8, 16 and 24,
// so that three chains start from the same bit and run side by side.
constexpr std::uint32_t Whiten(std::uint32_t state) {
  std::uint32_t word = state;
  for (int i = 5; i < 8; ++i) word ^= ((word >> (i - 1)) & (state >> (i - 5)) & 1) << i;
  std::uint32_t below = (word >> 7 & 1) * 0x01010100;  // w[p] of the three bits under way
  for (int k = 0; k < 8; ++k) {
    const std::uint32_t bits = std::uint32_t{0x01010100} << k;
    word ^= below & state << 5 & bits;
    below = (word & bits) << 1;
  }
  return word;
}

// The random word of a rounding: the upper 24 bits, of degree 5 or more in the state.
constexpr std::uint32_t RandomWord(std::uint32_t state, bool whiten = true) {
  return (whiten ? Whiten(state) : state) >> 8;
}

// A linear map of states: column i is the image of state 1 << i.
using LfsrMatrix = std::array<std::uint32_t, 32>;

constexpr std::uint32_t LfsrApply(const LfsrMatrix& matrix, std::uint32_t state) {
  std::uint32_t image = 0;
  for (int i = 0; i < 32; ++i) image ^= ((state >> i) & 1) != 0 ? matrix[i] : 0;
  return image;
}

// The state `steps` single steps later, by repeated squaring of the step matrix.
constexpr std::uint32_t JumpAhead(std::uint32_t state, std::uint64_t steps) {
  state = LfsrRecover(state);
  LfsrMatrix power{};
  for (int i = 0; i < 32; ++i) power[i] = LfsrStep(std::uint32_t{1} << i);
  for (steps %= kLfsrPeriod; steps != 0; steps >>= 1) {
    if ((steps & 1) != 0) state = LfsrApply(power, state);
    LfsrMatrix square{};
    for (int i = 0; i < 32; ++i) square[i] = LfsrApply(power, power[i]);
    power = square;
  }
  return state;
}

// The state `words` roundings later.
constexpr std::uint32_t JumpWords(std::uint32_t state, std::uint64_t words) {
  return JumpAhead(state, words % kLfsrPeriod * kLfsrLeapSteps);
}

// Steps between the starts of neighbouring lanes. Each lane may make LaneStride / 32 roundings
// before it reaches bits that its neighbour has used.
constexpr std::uint64_t LaneStride(std::uint32_t lanes) { return kLfsrPeriod / lanes; }

constexpr std::uint32_t LaneSeed(std::uint32_t seed, std::uint32_t lane, std::uint32_t lanes) {
  return JumpAhead(seed, lane * LaneStride(lanes));
}

// Data-parallel replicas that split one stream: the lanes of all replicas are numbered through, so
// the stretches of any two lanes of any two replicas are disjoint for LaneStride(replicas * lanes)
// / 32 roundings. Replicas that must round alike (the same update of the same weights, computed on
// each) share instead: all of them take replica 0 of 1.
constexpr std::uint32_t ReplicaLaneSeed(std::uint32_t seed, std::uint32_t replica,
                                        std::uint32_t replicas, std::uint32_t lane,
                                        std::uint32_t lanes) {
  return LaneSeed(seed, replica * lanes + lane, replicas * lanes);
}

}  // namespace dither
