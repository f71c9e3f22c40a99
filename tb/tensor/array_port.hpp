// The ports of the PE array as the benches drive them: operands packed row by row, and its shape and timing.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "Vpe_array.h"
#ifdef DITHER_ARRAY_FULL
#include "Vpe_array_pe_array_full.h"
#else
#include "Vpe_array_pe_array.h"
#endif
#include "sim/model/column_sum.hpp"
#include "sim/model/operand.hpp"

namespace dither::tb {

// What the array under test is, as its RTL says.
#ifdef DITHER_ARRAY_FULL
using ArrayUnderTest = Vpe_array_pe_array_full;
#else
using ArrayUnderTest = Vpe_array_pe_array;
#endif
constexpr int kArrayCols = static_cast<int>(ArrayUnderTest::Cols), kArrayRows = kArrayCols;
constexpr int kArrayPeRows = static_cast<int>(ArrayUnderTest::D);
constexpr int kArrayLatency = static_cast<int>(ArrayUnderTest::Latency);
constexpr bool kArrayPairs = ArrayUnderTest::Pairs != 0;
constexpr int kOperandBits = kArrayPairs ? 20 : 17;

// array_pkg::Mode*
enum ArrayMode : std::uint8_t { kModeSingle = 0, kModeFp8 = 1, kModeInt8 = 2 };

// A column of operands as the port takes them.
struct PortColumn {
  std::vector<std::uint32_t> words;
  bool nan = false;
};

// A bf16 pattern; a NaN goes beside the column.
inline std::uint32_t SingleWord(std::uint16_t bits, bool* nan) {
  const std::uint32_t field = bits >> 7 & 0xff, man = bits & 0x7f, sign = bits >> 15;
  std::uint32_t word = sign << 16 | (kArrayPairs ? sign << 19 : 0);
  if (field == 255 && man != 0) {
    *nan = true;
  } else if (field == 0) {
    word |= man != 0 ? 1u << 8 | man : 0;
  } else {
    word |= field << 8 | 0x80 | man;
  }
  return word;
}
inline PortColumn SingleColumn(const std::vector<std::uint16_t>& bits) {
  PortColumn column;
  for (const std::uint16_t b : bits) column.words.push_back(SingleWord(b, &column.nan));
  return column;
}

// Two operands of a row, lane 0 first, fp8 or int8.
inline std::uint32_t PairWord(ArrayMode mode, const model::Factor& f0, const model::Factor& f1, bool* nan) {
  const auto exponent = [&](const model::Factor& f) -> std::uint32_t {
    if (f.nan) *nan = true;
    return f.exp == 0 || f.nan ? 0 : f.inf ? 31 : static_cast<std::uint32_t>(f.exp - 112);
  };
  const std::uint32_t signs = (f0.negative ? 1u << 16 : 0) | (f1.negative ? 1u << 19 : 0);
  if (mode == kModeInt8) return signs | f1.m << 8 | f0.m;
  const std::uint32_t e0 = exponent(f0), e1 = exponent(f1);
  return signs | (e1 >> 3) << 17 | (e1 & 7) << 13 | e0 << 8 | (f0.nan ? 0 : f0.m >> 4) << 4 | (f1.nan ? 0 : f1.m >> 4);
}
// What a word of any bits is in a mode, the reverse of the above.
inline std::vector<model::Factor> FactorsOf(ArrayMode mode, const std::vector<std::uint32_t>& words) {
  std::vector<model::Factor> factors;
  for (const std::uint32_t w : words) {
    const bool negative0 = w >> 16 & 1, negative1 = w >> 19 & 1;
    const std::uint32_t e = w >> 8 & 0xff, m = w & 0xff;
    const auto fp8 = [&](bool negative, std::uint32_t e5, std::uint32_t sig) {
      factors.push_back({negative, e5 == 0 ? 0 : e5 == 31 ? 255 : static_cast<std::int32_t>(e5) + 112, sig << 4, e5 == 31, false});
    };
    if (mode == kModeSingle) factors.push_back({negative0, static_cast<std::int32_t>(e), m, e == 255, false});
    if (mode == kModeInt8) {
      factors.push_back({negative0, m != 0 ? 1 : 0, m});
      factors.push_back({negative1, e != 0 ? 1 : 0, e});
    }
    if (mode == kModeFp8) {
      fp8(negative0, e & 31, m >> 4);
      fp8(negative1, (w >> 17 & 3) << 3 | e >> 5, m & 15);
    }
  }
  return factors;
}

inline void PutWords(void* port, const std::vector<std::uint32_t>& column) {
  std::vector<std::uint32_t> words((column.size() * kOperandBits + 31) / 32 + 1);
  for (std::size_t r = 0; r < column.size(); ++r) {
    const std::size_t at = r * kOperandBits;
    const std::uint64_t operand = std::uint64_t{column[r]} << at % 32;
    words[at / 32] |= static_cast<std::uint32_t>(operand);
    words[at / 32 + 1] |= static_cast<std::uint32_t>(operand >> 32);
  }
  std::memcpy(port, words.data(), (words.size() - 1) * 4);
}

// Puts a column of bf16 patterns on a port; true if one of them is a NaN, which the array gets as zero.
inline bool PutOperands(void* port, const std::vector<std::uint16_t>& bits) {
  const PortColumn column = SingleColumn(bits);
  PutWords(port, column.words);
  return column.nan;
}

}  // namespace dither::tb
