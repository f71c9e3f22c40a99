#include "sim/function/function_set.hpp"

#include <cstring>
#include <fstream>
#include <iterator>

#include "sim/function/tables.hpp"

namespace dither {
namespace {

using function::FittedFunction;

// A set of one function taken apart again.
FittedFunction FromImage(std::span<const std::uint8_t> image, const std::string& what) {
  model::FunctionMemory memory;
  if (!memory.Load(image) || memory.headers().size() != 1) {
    throw FunctionError(what + ": damaged function table (magic, length or CRC-32 is wrong)");
  }
  FittedFunction f;
  f.header = memory.headers()[0];
  f.entries = memory.entries();
  f.segments = memory.segments();
  // The header says how many of each there are; the image's own counts lie in its second word.
  std::uint64_t counts = 0;
  std::memcpy(&counts, image.data() + 8, 8);
  const std::uint32_t sides = f.header.symmetry == model::Symmetry::kNone ? 2 : 1;
  const bool log = f.header.mode == model::ArgMode::kLog;
  f.entries.resize(f.header.octaves * sides + f.header.octaves2 * (log ? 2u : 1u));
  f.segments.resize(counts >> 32 & 0xffff);
  return f;
}

}  // namespace

const FittedFunction& TableOf(isa::ActFunc func) {
  static const auto all = [] {
    std::vector<FittedFunction> tables;
    for (const function::StoredTable& stored : function::StoredTables()) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(stored.words.data());
      tables.push_back(FromImage({bytes, 8 * stored.words.size()}, std::string(stored.name)));
    }
    return tables;
  }();
  for (const FittedFunction& f : all) {
    if (f.header.code == static_cast<std::uint8_t>(func)) return f;
  }
  const std::string_view name = isa::Name(func);
  throw FunctionError("function " + (name.empty() ? std::to_string(static_cast<int>(func)) : std::string(name)) +
                      " has no table among the project's");
}

void WriteTableFile(const std::string& path, const FittedFunction& table) {
  const auto image = model::FunctionMemory::Image({table.header}, table.entries, table.segments);
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
  if (!file.flush()) throw FunctionError(path + ": can't be written");
}

FittedFunction ReadTableFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FunctionError(path + ": can't be opened");
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  return FromImage({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path);
}

void FunctionSet::Add(const FittedFunction& table, isa::ActFunc as) {
  const std::string name(isa::Name(as));
  if (name.empty() || static_cast<std::uint32_t>(as) < model::kFirstTableFunc) {
    throw FunctionError("code " + std::to_string(static_cast<int>(as)) + " takes no table");
  }
  if (Has(as)) throw FunctionError("function " + name + " is in the set already");
  const auto need = [&](std::size_t have, std::size_t more, std::size_t limit, const char* what) {
    if (have + more <= limit) return;
    throw FunctionError("function " + name + " needs " + std::to_string(more) + " " + what + ", " +
                        std::to_string(limit - have) + " of " + std::to_string(limit) +
                        " are left: load the functions in two sets");
  };
  need((entries_.size() + 3) / 4 * 4, table.entries.size(), isa::kFuncEntries, "directory entries");
  need(segments_.size(), table.segments.size(), isa::kFuncSegments, "segments");
  model::FunctionHeader header = table.header;
  header.code = static_cast<std::uint8_t>(as);
  header.directory = static_cast<std::uint16_t>(header.directory + entries_.size());
  header.directory2 = static_cast<std::uint16_t>(header.directory2 + entries_.size());
  for (model::OctaveEntry entry : table.entries) {
    entry.base = static_cast<std::uint16_t>(entry.base + segments_.size());
    entries_.push_back(entry);
  }
  segments_.insert(segments_.end(), table.segments.begin(), table.segments.end());
  headers_.push_back(header);
}

bool FunctionSet::Has(isa::ActFunc func) const {
  for (const auto& header : headers_) {
    if (header.code == static_cast<std::uint8_t>(func)) return true;
  }
  return false;
}

std::vector<std::uint8_t> FunctionSet::Image() const {
  return model::FunctionMemory::Image(headers_, entries_, segments_);
}

Tensor FunctionSet::PlacedAt(std::uint64_t address, std::uint32_t partitions) const {
  const auto words = static_cast<std::uint32_t>(Image().size() / 8);
  const std::uint32_t each = (words + partitions - 1) / partitions;
  return Tensor::Dram("function tables", address, isa::Dtype::kInt32, {partitions, 2 * each});
}

Tensor FunctionSet::Place(Device& device) const {
  std::vector<std::uint8_t> image = Image();
  Tensor t = PlacedAt(0, device.config().rows);
  image.resize(t.Bytes());
  t.address = device.Allocate(image.size());
  device.WriteArray(t.address, image);
  return t;
}

}  // namespace dither
