// Program files: writing, reading, and every way in which one can be broken.
#include "sim/program/program.hpp"

#include <fstream>
#include <iterator>

#include "sim/data/crc32.hpp"
#include "sim/program/disassemble.hpp"

namespace dither {
namespace {

constexpr std::array<char, 8> kMagic = {'D', 'T', 'H', 'R', 'P', 'R', 'O', 'G'};
constexpr std::uint32_t kFileVersion = 1;
constexpr std::size_t kHeaderBytes = isa::kInstrBytes;  // keeps the file a multiple of 64
constexpr std::size_t kVersionAt = 8, kRowsAt = 12, kCountsAt = 16, kCrcAt = 60;

// The sum doesn't cover itself.
std::uint32_t FileCrc(const std::vector<std::uint8_t>& bytes) {
  const std::span all(bytes);
  return Crc32Of(all.subspan(kCrcAt + 4), Crc32Of(all.first(kCrcAt)));
}

void Put32(std::vector<std::uint8_t>& bytes, std::size_t at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t Get32(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

}  // namespace

std::size_t Program::size() const {
  std::size_t total = 0;
  for (const auto& queue : queues) total += queue.size();
  return total;
}

void Program::Save(const std::filesystem::path& path) const {
  std::vector<std::uint8_t> bytes(kHeaderBytes);
  for (std::size_t i = 0; i < kMagic.size(); ++i) bytes[i] = static_cast<std::uint8_t>(kMagic[i]);
  Put32(bytes, kVersionAt, kFileVersion);
  Put32(bytes, kRowsAt, rows);
  for (std::size_t q = 0; q < queues.size(); ++q) {
    Put32(bytes, kCountsAt + 4 * q, static_cast<std::uint32_t>(queues[q].size()));
    for (const auto& encoded : queues[q]) bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  }
  Put32(bytes, kCrcAt, FileCrc(bytes));
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw ProgramFileError(path.string() + ": can't be written");
}

Program Program::Load(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ProgramFileError(name + ": can't be opened");
  const std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  const std::string found = " (file has " + std::to_string(bytes.size()) + " bytes)";
  if (bytes.size() < kHeaderBytes) {
    throw ProgramFileError(name + ": shorter than the 64-byte header of a program" + found);
  }
  for (std::size_t i = 0; i < kMagic.size(); ++i) {
    if (bytes[i] != static_cast<std::uint8_t>(kMagic[i])) {
      throw ProgramFileError(name + ": not a program, the first 8 bytes are not DTHRPROG");
    }
  }
  const std::uint32_t version = Get32(bytes, kVersionAt);
  if (version != kFileVersion) {
    throw ProgramFileError(name + ": program file version " + std::to_string(version) +
                           ", this reader knows version " + std::to_string(kFileVersion));
  }
  if (bytes.size() % isa::kInstrBytes != 0) {
    throw ProgramFileError(name + ": size is no multiple of 64, so an instruction is cut off" +
                           found);
  }
  std::uint64_t total = 0;
  for (std::size_t q = 0; q < isa::kNumQueues; ++q) total += Get32(bytes, kCountsAt + 4 * q);
  const std::uint64_t expected = kHeaderBytes + isa::kInstrBytes * total;
  if (bytes.size() != expected) {
    throw ProgramFileError(name + ": " + (bytes.size() < expected ? "truncated" : "too long") +
                           ", the header announces " + std::to_string(total) +
                           " instructions, that is " + std::to_string(expected) + " bytes" + found);
  }
  if (FileCrc(bytes) != Get32(bytes, kCrcAt)) {
    throw ProgramFileError(name +
                           ": corrupt, the CRC-32 of the contents differs from the header's");
  }
  Program program;
  program.rows = Get32(bytes, kRowsAt);
  std::size_t at = kHeaderBytes;
  for (std::size_t q = 0; q < isa::kNumQueues; ++q) {
    program.queues[q].resize(Get32(bytes, kCountsAt + 4 * q));
    for (auto& encoded : program.queues[q]) {
      for (auto& byte : encoded) byte = bytes[at++];
    }
  }
  return program;
}

void Program::CountNonfinite() {
  for (isa::Encoded& encoded : (*this)[isa::Queue::kTensor]) {
    if (static_cast<isa::Op>(encoded[0]) != isa::Op::kMatmul) continue;
    isa::EngineInstr i = isa::DecodeEngineInstr(encoded);
    i.count_nf = 1;
    encoded = isa::Encode(i);
  }
}

std::string Program::Text() const {
  std::string text;
  for (const isa::Queue queue : isa::kAllQueue) {
    const auto& instructions = (*this)[queue];
    if (instructions.empty()) continue;
    text += "; queue ";
    text += isa::Name(queue);
    text += ", " + std::to_string(instructions.size()) + " instructions\n";
    for (const auto& encoded : instructions) text += Disassemble(queue, encoded) + "\n";
  }
  return text;
}

}  // namespace dither
