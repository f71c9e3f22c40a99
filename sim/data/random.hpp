// A small random generator of our own, so that a seed means the same numbers on every machine:
// std::shuffle and the std distributions differ between standard libraries.
//
// SplitMix64: a counter through a bijective mixer, period 2^64. For data splits, weight
// initialisation and augmentation on the host; the hardware's rounder has its own LFSRs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace dither {

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Uniform in 0..bound-1, bound > 0. Taking the upper half of a 32 x 32 bit product leaves a bias
  // below bound / 2^32, far below anything a data split could show.
  std::uint32_t Below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((Next() >> 32) * bound) >> 32);
  }

  // Uniform in [0, 1) on a grid of 2^-24, so that it is exact in a float.
  float Uniform() { return static_cast<float>(Next() >> 40) * 0x1p-24f; }

  template <typename T>
  void Shuffle(std::vector<T>& items) {
    for (std::size_t left = items.size(); left > 1; --left) {
      std::swap(items[left - 1], items[Below(static_cast<std::uint32_t>(left))]);
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace dither
