// The stochastic rounder's random numbers: one 32-bit Galois LFSR per lane.
//
// One step shifts right and, when a one falls out, flips the bits of kLfsrMask: the primitive
// polynomial x^32 + x^22 + x^2 + x + 1, so every nonzero state returns after 2^32 - 1 steps.
// A rounding takes the current state as its random word, then the state leaps 32 steps: no two
// roundings share a bit. State 0, the only one outside the cycle, counts as state 1.
//
// Test  tb/formats/lfsr_test.cpp        RTL  rtl/rounder/lfsr.sv
#pragma once

#include <array>
#include <cstdint>

namespace dither {

inline constexpr std::uint32_t kLfsrMask = 0x80200003;
inline constexpr std::uint64_t kLfsrPeriod = 0xffffffff;  // 3 * 5 * 17 * 257 * 65537
inline constexpr int kLfsrLeapSteps = 32;

constexpr std::uint32_t LfsrRecover(std::uint32_t state) { return state == 0 ? 1 : state; }

constexpr std::uint32_t LfsrStep(std::uint32_t state) {
  state = LfsrRecover(state);
  return (state >> 1) ^ ((state & 1) != 0 ? kLfsrMask : 0);
}

// 32 steps at once. Read bit j as the coefficient of x^(31-j): a step multiplies by x modulo
// p = x^32 + x^31 + x^30 + x^10 + 1, so the leap is the remainder of state * x^32 by p. With
// u = x^-1 + x^-2 + x^-22 + x^-32 the quotient is the part of state / (1 + u) without negative
// powers, and 1 / (1 + u) = (1 + u)(1 + u^2)(1 + u^4)... : squaring over GF(2) only doubles the
// exponents, so five log-steps of shifts give it, and three more shifts the remainder.
constexpr std::uint32_t Leap(std::uint32_t state) {
  std::uint32_t quotient = LfsrRecover(state);
  quotient ^= (quotient << 1) ^ (quotient << 2) ^ (quotient << 22);
  quotient ^= (quotient << 2) ^ (quotient << 4);
  quotient ^= (quotient << 4) ^ (quotient << 8);
  quotient ^= (quotient << 8) ^ (quotient << 16);
  quotient ^= quotient << 16;
  return quotient ^ (quotient >> 10) ^ (quotient >> 30) ^ (quotient >> 31);
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

// Steps between the starts of neighbouring lanes. Each lane may make LaneStride / 32 roundings
// before it reaches bits that its neighbour has used.
constexpr std::uint64_t LaneStride(std::uint32_t lanes) { return kLfsrPeriod / lanes; }

constexpr std::uint32_t LaneSeed(std::uint32_t seed, std::uint32_t lane, std::uint32_t lanes) {
  return JumpAhead(seed, lane * LaneStride(lanes));
}

}  // namespace dither
