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

// array_pkg: cycles from a moving column at the port to its sums, for the cuts that the package chooses.
constexpr int ArrayLatency(int rows, int cols) {
  constexpr int kEarly = 1, kLate = 1, kMerge = 1;
  return rows / PeWidth(rows) * kMerge + cols / (cols < 16 ? cols : 16) + kEarly + kLate;
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
