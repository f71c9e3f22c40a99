// fp32 patterns at which arithmetic changes its ways: zeros, subnormals, binade ends, ties,
// the largest numbers, infinities and NaN, each with both signs.
#pragma once

#include <array>
#include <cstdint>

namespace dither::tb {

inline constexpr auto kFp32Corners = [] {
  constexpr std::array magnitudes = {
      0x00000000u, 0x00000001u, 0x00000002u, 0x00000003u, 0x00400000u, 0x007fffffu, 0x00800000u,
      0x00800001u, 0x00ffffffu, 0x01000000u, 0x0c000000u, 0x0c800001u, 0x1f800000u, 0x20000001u,
      0x33800000u, 0x34000000u, 0x3effffffu, 0x3f000000u, 0x3f7fffffu, 0x3f800000u, 0x3f800001u,
      0x3fc00000u, 0x3fffffffu, 0x40000000u, 0x4b000000u, 0x4b800001u, 0x5f7fffffu, 0x7e800000u,
      0x7f000000u, 0x7f7fffffu, 0x7f800000u, 0x7f800001u, 0x7fc00000u, 0x7fffffffu};
  std::array<std::uint32_t, 2 * magnitudes.size()> all{};
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    all[2 * i] = magnitudes[i];
    all[2 * i + 1] = magnitudes[i] | 0x80000000u;
  }
  return all;
}();

}  // namespace dither::tb
