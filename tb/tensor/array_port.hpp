// The ports of the PE array as the benches drive them: operands packed 17 bits a row, and its timing.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "sim/model/column_sum.hpp"

namespace dither::tb {

// Rows that a PE of the array under test fuses: the package's choice, unless the build made another one (-GD).
constexpr int PeWidth(int rows) {
#ifdef DITHER_PE_WIDTH
  static_cast<void>(rows);
  return DITHER_PE_WIDTH;
#else
  return model::DotWidth(static_cast<std::uint32_t>(rows));
#endif
}

// Pipeline cuts and columns a broadcast: those of array_pkg, unless the build made others (-GCuts, -GG). A test that takes
// the wrong ones fails at its first result.
#ifndef DITHER_CUTS
#define DITHER_CUTS 0
#endif
#ifndef DITHER_BROADCAST
#define DITHER_BROADCAST 16
#endif

// array_pkg::Latency: cycles from a moving column at the port to its sums.
constexpr int ArrayLatency(int rows, int cols) {
  constexpr auto cut = [](int bit) { return DITHER_CUTS >> bit & 1; };
  constexpr int kEarly = 1 + cut(0) + cut(1) + cut(6) - cut(2), kLate = 1 + cut(2) + cut(3) + cut(4), kMerge = 1 + cut(5);
  constexpr int kBroadcast = DITHER_BROADCAST;
  return rows / PeWidth(rows) * kMerge + cols / (cols < kBroadcast ? cols : kBroadcast) + kEarly + kLate;
}

// Puts a column of bf16 patterns on a port; true if one of them is a NaN, which the array gets as zero.
inline bool PutOperands(void* port, const std::vector<std::uint16_t>& column) {
  std::vector<std::uint32_t> words((column.size() * 17 + 31) / 32 + 1);
  bool nan = false;
  for (std::size_t r = 0; r < column.size(); ++r) {
    const std::uint32_t bits = column[r], field = bits >> 7 & 0xff, man = bits & 0x7f;
    std::uint64_t operand = (bits >> 15) << 16;
    if (field == 255 && man != 0) {
      nan = true;
    } else if (field == 0) {
      operand |= man != 0 ? 1u << 8 | man : 0;
    } else {
      operand |= field << 8 | 0x80 | man;
    }
    const std::size_t at = r * 17;
    operand <<= at % 32;
    words[at / 32] |= static_cast<std::uint32_t>(operand);
    words[at / 32 + 1] |= static_cast<std::uint32_t>(operand >> 32);
  }
  std::memcpy(port, words.data(), (column.size() * 17 + 31) / 32 * 4);
  return nan;
}

}  // namespace dither::tb
