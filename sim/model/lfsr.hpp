// The stochastic rounder's random numbers: one 32-bit Fibonacci LFSR per lane.
//
// Bit j of a state is bit j of the sequence from here on; the sequence obeys
//   s[n+32] = s[n] + s[n+5] + s[n+18] + s[n+23]   (modulo 2)
// whose polynomial x^32 + x^23 + x^18 + x^5 + 1 is primitive, so every nonzero state returns after
// 2^32 - 1 steps. A rounding takes its random word from the current state, then the state leaps 32
// steps: no two roundings share a bit of the sequence. State 0, the only one outside the cycle,
// counts as state 1.
//
// Test  tb/formats/lfsr_model_test.cpp, tb/formats/random_test.cpp        RTL  rtl/rounder/lfsr.sv
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace dither {

inline constexpr std::uint64_t kLfsrPeriod = 0xffffffff;  // 3 * 5 * 17 * 257 * 65537
inline constexpr int kLfsrLeapSteps = 32;

constexpr std::uint32_t LfsrRecover(std::uint32_t state) { return state == 0 ? 1 : state; }

constexpr std::uint32_t LfsrStep(std::uint32_t state) {
  state = LfsrRecover(state);
  const std::uint32_t bit = state ^ (state >> 5) ^ (state >> 18) ^ (state >> 23);
  return (state >> 1) | (bit << 31);
}

// 32 steps at once, eight at a time: bit n+32 needs no bit later than n+23.
constexpr std::uint32_t Leap(std::uint32_t state) {
  std::uint64_t s = LfsrRecover(state);
  for (int n = 0; n < 32; n += 8) {
    const std::uint64_t bits = (s ^ (s >> 5) ^ (s >> 18) ^ (s >> 23)) >> n & 0xff;
    s |= bits << (32 + n);
  }
  return static_cast<std::uint32_t>(s >> 32);
}

// Makes the bits of a state non-linear, without the bits at multiples of four, which words never
// see; of the other 24 it is a one-to-one map. Bits 29 to 31 take in products first; then all three
// places of the nibbles, from the lowest nibble up, the product of the result one nibble below (at
// the lowest: bit 31) and the bit two nibbles below, in a circle.
constexpr std::uint32_t Whiten(std::uint32_t state) {
  std::uint32_t word = state;
  word ^= ((word >> 30) & (word >> 31) & 1) << 29;
  word ^= ((word >> 29) & (word >> 15) & 1) << 30;
  word ^= ((word >> 30) & (word >> 11) & 1) << 31;
  std::uint32_t below = (word >> 31) * 0xe;
  for (int nibble = 0; nibble < 8; ++nibble) {
    const std::uint32_t bits = std::uint32_t{0xe} << (4 * nibble);
    word ^= below & std::rotl(word, 8) & bits;
    below = (word & bits) << 4;
  }
  return word;
}

// The random word of a rounding: the upper three bits of each nibble, 24 bits. The recurrence takes
// its four bits from all four places of a nibble, so it never holds among the bits that words see.
constexpr std::uint32_t RandomWord(std::uint32_t state, bool whiten = true) {
  std::uint32_t bits = (whiten ? Whiten(state) : state) >> 1;
  bits = (bits & 0x07070707) | (bits & 0x70707070) >> 1;
  bits = (bits & 0x003f003f) | (bits & 0x3f003f00) >> 2;
  return (bits & 0x00000fff) | (bits & 0x0fff0000) >> 4;
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

// A seed for run number `run`, any number: a one-to-one map that leaves no pattern. Seeds themselves
// are states, and s and 2 s lie one step apart: runs seeded 1, 2, 3 .. would round alike too often
// (decisions of the same lane at the same time correlate by up to 0.17). The mixing is the finaliser
// of MurmurHash3 (A. Appleby, public domain).
constexpr std::uint32_t MixSeed(std::uint32_t run) {
  std::uint32_t x = run + 0x9e3779b9u;
  x = (x ^ x >> 16) * 0x85ebca6bu;
  x = (x ^ x >> 13) * 0xc2b2ae35u;
  return x ^ x >> 16;
}

// Data-parallel replicas that split one stream: the lanes of all replicas are numbered through, so
// the stretches of any two lanes of any two replicas are disjoint for LaneStride(replicas * lanes)
// / 32 roundings. Replicas that must round alike (the same update of the same weights, computed on
// each) share instead: all of them take the same number. Where R replicas do both, they split as 0
// to R - 1 of R + 1 and share as number R, which is disjoint from those.
// replicas * lanes at most kMaxReplicaLanes.
inline constexpr std::uint64_t kMaxReplicaLanes = 1 << 16;  // 2,048 roundings a stretch
constexpr std::uint32_t ReplicaLaneSeed(std::uint32_t seed, std::uint32_t replica,
                                        std::uint32_t replicas, std::uint32_t lane,
                                        std::uint32_t lanes) {
  return LaneSeed(seed, replica * lanes + lane, replicas * lanes);
}

}  // namespace dither
