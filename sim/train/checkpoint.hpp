// The file of a checkpoint: header, configuration as text, state, CRC-32. docs/training.md
//
// Test  tb/system/train_test.cpp
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace dither::train {

std::string Hex(std::uint32_t value);

template <typename T>
void Append(std::vector<std::uint8_t>& bytes, const T& value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

// Writes a new file beside `path`, makes sure that it is on the disk, then renames it and flushes the
// folder: at any moment `path` is the old checkpoint or the new one, whole.
void WriteCheckpoint(const std::filesystem::path& path, const std::string& configuration,
                     const std::vector<std::uint8_t>& state);
// The state, if the file is whole and of this configuration; else a CheckpointError that says what is
// wrong, or in which line the configurations differ.
std::vector<std::uint8_t> ReadCheckpoint(const std::filesystem::path& path,
                                         const std::string& configuration);

}  // namespace dither::train
