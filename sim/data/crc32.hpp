// CRC-32 of IEEE 802.3, by zlib: of files, of function tables, of data sets.
//
// Test  tb/data/data_test.cpp
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace dither {

// Of `bytes` behind others whose CRC is `before`.
inline std::uint32_t Crc32(std::span<const std::byte> bytes, std::uint32_t before = 0) {
  if (bytes.empty()) return before;  // zlib takes a null pointer for a wish to start anew
  return static_cast<std::uint32_t>(crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}
template <typename T>
std::uint32_t Crc32Of(const T& elements, std::uint32_t before = 0) {
  return Crc32(std::as_bytes(std::span(elements)), before);
}

}  // namespace dither
