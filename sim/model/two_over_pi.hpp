// The first 192 bits of 2 / pi.
#pragma once

#include <array>
#include <cstdint>

namespace dither::model {

inline constexpr std::array<std::uint32_t, 6> kTwoOverPi = {0xa2f9836e, 0x4e441529, 0xfc2757d1,
                                                            0xf534ddc0, 0xdb629599, 0x3c439041};
inline constexpr int kTwoOverPiBits = 192;

// Bit i is worth 2^-(i+1); 0 outside.
constexpr bool TwoOverPiBit(int i) {
  if (i < 0 || i >= kTwoOverPiBits) return false;
  return (kTwoOverPi[static_cast<std::size_t>(i / 32)] >> (31 - i % 32) & 1) != 0;
}

}  // namespace dither::model
