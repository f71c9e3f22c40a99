#include "sim/train/checkpoint.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "sim/data/crc32.hpp"
#include "sim/train/trainer.hpp"

namespace dither::train {
namespace {

constexpr char kMagic[8] = {'D', 'T', 'H', 'R', 'C', 'K', 'P', 'T'};
constexpr std::uint32_t kFileVersion = 2;  // 2: the text says which random words
constexpr std::size_t kHeaderBytes = 8 + 4 + 4 + 8;  // magic, version, bytes of text, bytes of state

template <typename T>
T At(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void WriteAll(int file, const std::vector<std::uint8_t>& bytes, const std::string& name) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(file, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw CheckpointError(name + ": can't be written: " + std::strerror(errno));
    at += static_cast<std::size_t>(n);
  }
}

// Without it a rename may be lost with the power although the file's bytes are not. Where a directory
// can't be opened or flushed there is nothing to be done.
void FlushDirectory(const std::filesystem::path& file) {
  const std::string name = file.has_parent_path() ? file.parent_path().string() : ".";
  const int directory = ::open(name.c_str(), O_RDONLY | O_DIRECTORY);
  if (directory < 0) return;
  const bool lost = ::fsync(directory) != 0 && errno == EIO;
  ::close(directory);
  if (lost) throw CheckpointError(name + ": can't be written: " + std::strerror(EIO));
}

}  // namespace

std::string Hex(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

void WriteCheckpoint(const std::filesystem::path& path, const std::string& configuration,
                     const std::vector<std::uint8_t>& state) {
  std::vector<std::uint8_t> bytes(kMagic, kMagic + sizeof kMagic);
  Append(bytes, kFileVersion);
  Append(bytes, static_cast<std::uint32_t>(configuration.size()));
  Append(bytes, static_cast<std::uint64_t>(state.size()));
  bytes.insert(bytes.end(), configuration.begin(), configuration.end());
  bytes.insert(bytes.end(), state.begin(), state.end());
  Append(bytes, Crc32Of(bytes));

  // A rename would put a file in the place of a device.
  if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path)) {
    throw CheckpointError(path.string() + ": can't be written: it is no regular file");
  }
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  const std::string temporary = path.string() + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) throw CheckpointError(temporary + ": can't be written: " + std::strerror(errno));
  try {
    WriteAll(file, bytes, temporary);
    if (::fsync(file) != 0) throw CheckpointError(temporary + ": can't be written: " + std::strerror(errno));
  } catch (...) {
    ::close(file);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(file);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(temporary.c_str());
    throw CheckpointError(path.string() + ": can't be written: " + why);
  }
  FlushDirectory(path);
}

std::vector<std::uint8_t> ReadCheckpoint(const std::filesystem::path& path,
                                         const std::string& configuration) {
  const std::string name = path.string();
  std::ifstream file(path, std::ios::binary);
  if (!file) throw CheckpointError(name + ": can't be opened");
  const std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  const std::string found = " (the file has " + std::to_string(bytes.size()) + " bytes)";
  if (bytes.size() < kHeaderBytes + 4) throw CheckpointError(name + ": shorter than a checkpoint's header" + found);
  if (std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) {
    throw CheckpointError(name + ": not a checkpoint, the first 8 bytes are not DTHRCKPT");
  }
  const auto version = At<std::uint32_t>(bytes, 8);
  if (version != kFileVersion) {
    throw CheckpointError(name + ": checkpoint version " + std::to_string(version) + ", this program knows " +
                          std::to_string(kFileVersion));
  }
  const std::uint64_t text = At<std::uint32_t>(bytes, 12), state = At<std::uint64_t>(bytes, 16);
  const std::uint64_t room = bytes.size() - kHeaderBytes - 4;
  if (text > room || state != room - text) {
    throw CheckpointError(name + ": cut or too long, the header announces " + std::to_string(text) +
                          " bytes of text and " + std::to_string(state) + " of state" + found);
  }
  const std::uint32_t sum = Crc32Of(std::span(bytes).first(bytes.size() - 4));
  const auto stored = At<std::uint32_t>(bytes, bytes.size() - 4);
  if (sum != stored) {
    throw CheckpointError(name + ": damaged, its CRC-32 is " + Hex(sum) + " where the file says " + Hex(stored));
  }
  const std::string has(bytes.begin() + kHeaderBytes, bytes.begin() + static_cast<std::ptrdiff_t>(kHeaderBytes + text));
  if (has != configuration) {
    std::istringstream theirs(has), ours(configuration);
    std::string a, b;
    while (a == b) {
      if (!std::getline(theirs, a)) a = "(nothing)";
      if (!std::getline(ours, b)) b = "(nothing)";
      if (a == "(nothing)" && b == a) break;
    }
    throw CheckpointError(name + ": of another configuration; it says '" + a + "', this training has '" + b + "'");
  }
  return {bytes.begin() + static_cast<std::ptrdiff_t>(kHeaderBytes + text), bytes.end() - 4};
}

}  // namespace dither::train
