// A program: the encoded instructions of every queue, and the file that holds them.
//
// File: a header of 64 bytes (magic "DTHRPROG", version, rows it was built for, five counts, CRC-32
// of everything else), then the instructions of queue 0, 1, ... of 64 bytes each.
//
// Test  tb/program/program_test.cpp
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/isa/isa.hpp"

namespace dither {

// Something that can't be built or encoded; the text names the operand, its shape and the limit.
class ProgramError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A program file that can't be read; the text names the file and what is wrong with it.
class ProgramFileError : public ProgramError {
 public:
  using ProgramError::ProgramError;
};

struct Program {
  std::uint32_t rows = 0;  // of the configuration it was built for; 0: any
  std::array<std::vector<isa::Encoded>, isa::kNumQueues> queues;

  std::vector<isa::Encoded>& operator[](isa::Queue queue) {
    return queues[static_cast<std::size_t>(queue)];
  }
  const std::vector<isa::Encoded>& operator[](isa::Queue queue) const {
    return queues[static_cast<std::size_t>(queue)];
  }
  std::size_t size() const;
  bool operator==(const Program&) const = default;

  void Save(const std::filesystem::path& path) const;
  static Program Load(const std::filesystem::path& path);

  // Every matmul counts the infinite and NaN words that it writes (Device::Nonfinite).
  void CountNonfinite();

  // Disassembly of everything, a line per instruction, a title line per queue.
  std::string Text() const;
};

}  // namespace dither
