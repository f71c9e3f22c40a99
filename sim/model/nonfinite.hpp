// What the core remembers of infinite and NaN words: the registers NONFINITE_*.
//
// RTL   rtl/tensor/nonfinite.sv (one instruction), rtl/csr/csr.sv (registers)
// Test  tb/csr/csr_test.cpp, tb/system/bad_input_test.cpp
#pragma once

#include <algorithm>
#include <cstdint>

namespace dither {

constexpr bool IsNonfinite(std::uint32_t fp32) { return (fp32 & 0x7f800000) == 0x7f800000; }

constexpr std::uint32_t SaturatingAdd(std::uint32_t a, std::uint64_t b) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(a + b, 0xffffffff));
}

struct NonfiniteRegisters {
  std::uint32_t count = 0;  // words since the clear
  std::uint32_t index = 0;  // the first instruction that wrote one ...
  std::uint32_t first = 0;  // ... and how many it wrote
  bool operator==(const NonfiniteRegisters&) const = default;

  // An instruction has written `words`.
  constexpr void Add(std::uint32_t instruction, std::uint32_t words) {
    if (words == 0) return;
    if (count == 0) {
      index = instruction;
      first = words;
    }
    count = SaturatingAdd(count, words);
  }
};

}  // namespace dither
