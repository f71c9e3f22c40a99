// The memories of a core and its DRAM as plain arrays, without any timing.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/isa/isa.hpp"

namespace dither {

// SBUF and PSUM, partition after partition.
struct CoreMemory {
  explicit CoreMemory(const isa::Config& config)
      : sbuf_bytes(config.sbuf_bytes),
        sbuf(std::size_t{config.rows} * config.sbuf_bytes),
        psum(std::size_t{config.rows} * isa::kPsumBytes) {}

  std::uint8_t* Sbuf(std::uint32_t part) { return sbuf.data() + std::size_t{part} * sbuf_bytes; }
  std::uint8_t* Psum(std::uint32_t part) {
    return psum.data() + std::size_t{part} * isa::kPsumBytes;
  }
  const std::uint8_t* Sbuf(std::uint32_t part) const {
    return sbuf.data() + std::size_t{part} * sbuf_bytes;
  }
  const std::uint8_t* Psum(std::uint32_t part) const {
    return psum.data() + std::size_t{part} * isa::kPsumBytes;
  }
  std::uint8_t* Of(isa::Space space, std::uint32_t part) {
    return space == isa::Space::kPsum ? Psum(part) : Sbuf(part);
  }

  std::uint32_t sbuf_bytes;  // of one partition
  std::vector<std::uint8_t> sbuf;
  std::vector<std::uint8_t> psum;  // little-endian words
};

// DRAM at `base`; what lies outside answers with an AXI error.
struct DramMemory {
  DramMemory(std::uint64_t base_address, std::uint64_t size) : base(base_address), bytes(size) {}
  bool Contains(std::uint64_t address, std::uint64_t count) const {
    return address >= base && address - base <= bytes.size() &&
           count <= bytes.size() - (address - base);
  }
  std::uint8_t* At(std::uint64_t address) { return bytes.data() + (address - base); }
  const std::uint8_t* At(std::uint64_t address) const { return bytes.data() + (address - base); }

  std::uint64_t base;
  std::vector<std::uint8_t> bytes;
};

}  // namespace dither
