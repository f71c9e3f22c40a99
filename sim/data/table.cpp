// Reading a .dtbl file; table.hpp says what it is.
#include "sim/data/table.hpp"

#include <fmt/format.h>

#include <fstream>

#include "sim/data/crc32.hpp"

namespace dither {
namespace {

constexpr std::uint32_t kMaxCount = 1u << 26;  // of rows, columns, classes: more is a damaged header

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    std::ifstream in(path, std::ios::binary);
    if (error || !in) Fail("cannot be read");
    bytes_.resize(size);
    in.read(reinterpret_cast<char*>(bytes_.data()), static_cast<std::streamsize>(size));
    if (!in) Fail("reading it failed");
  }

  [[noreturn]] void Fail(const std::string& why) const {
    throw TableError(fmt::format("{}: {}; repair: scripts/study_data.py {}", path_.string(), why,
                                 path_.stem().string()));
  }

  // The checksum in the last four bytes, once it has been found right.
  std::uint32_t Checksum() {
    if (bytes_.size() < 40 || std::string(bytes_.begin(), bytes_.begin() + 4) != "DTBL") {
      Fail(fmt::format("no table: {} bytes that don't begin with DTBL and a header", bytes_.size()));
    }
    const std::size_t end = bytes_.size() - 4;
    const std::uint32_t sum = Crc32Of(std::span(bytes_).first(end));
    at_ = end;
    const std::uint32_t stored = Number(4);
    if (sum != stored) {
      Fail(fmt::format("damaged: its CRC-32 is {:#010x}, the file says {:#010x}", sum, stored));
    }
    bytes_.resize(end);
    at_ = 4;
    return sum;
  }

  std::uint32_t Number(int size) {
    if (bytes_.size() - at_ < static_cast<std::size_t>(size)) Fail("it ends within its header");
    std::uint32_t value = 0;
    for (int i = 0; i < size; ++i) value |= std::uint32_t{bytes_[at_++]} << 8 * i;
    return value;
  }

  std::uint32_t Count(const char* what, std::uint32_t low) {
    const std::uint32_t value = Number(4);
    if (value < low || value > kMaxCount) {
      Fail(fmt::format("{} is {}, must be {} to {}", what, value, low, kMaxCount));
    }
    return value;
  }

  template <typename T>
  std::vector<T> Numbers(std::uint64_t count) {
    if (count > Left() / sizeof(T)) Fail("it is shorter than its header promises");
    std::vector<T> out(count);
    for (T& value : out) value = static_cast<T>(Number(sizeof(T)));
    return out;
  }

  std::string Text(std::uint32_t length) {
    if (length > Left()) Fail("it is shorter than its header promises");
    at_ += length;
    return {bytes_.begin() + static_cast<std::ptrdiff_t>(at_ - length),
            bytes_.begin() + static_cast<std::ptrdiff_t>(at_)};
  }

  std::size_t Left() const { return bytes_.size() - at_; }

 private:
  std::filesystem::path path_;
  std::vector<std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

}  // namespace

Table LoadTable(const std::filesystem::path& path) {
  Reader in(path);
  Table table;
  table.checksum = in.Checksum();
  if (const std::uint32_t version = in.Number(4); version != 1) {
    in.Fail(fmt::format("version {} of the format, this program reads 1", version));
  }
  table.rows = static_cast<int>(in.Count("rows", 2));
  table.train_rows = static_cast<int>(in.Count("training rows", 1));
  table.features = static_cast<int>(in.Count("features", 0));
  const std::uint32_t columns = in.Count("identity columns", 0);
  const std::uint32_t tables = in.Count("embedding tables", 0);
  table.classes = static_cast<int>(in.Count("classes", 2));
  const std::uint32_t length = in.Count("the name's length", 0);
  if (table.train_rows >= table.rows) {
    in.Fail(fmt::format("{} of {} rows train: none is held out", table.train_rows, table.rows));
  }
  if (table.features == 0 && columns == 0) in.Fail("there is nothing to learn from");

  table.name = in.Text(length);
  table.sizes = in.Numbers<std::uint32_t>(tables);
  table.table_of = in.Numbers<std::uint32_t>(columns);
  const auto rows = static_cast<std::uint64_t>(table.rows);
  table.words = in.Numbers<std::uint16_t>(rows * table.features);
  table.identities = in.Numbers<std::uint32_t>(rows * columns);
  table.labels = in.Numbers<std::uint32_t>(rows);
  if (in.Left() != 0) in.Fail(fmt::format("{} bytes more than its header promises", in.Left()));

  for (const std::uint32_t index : table.table_of) {
    if (index >= tables) in.Fail(fmt::format("a column of embedding table {} of {}", index, tables));
  }
  for (std::size_t i = 0; i < table.words.size(); ++i) {
    if ((table.words[i] & 0x7f80) == 0x7f80) {
      in.Fail(fmt::format("row {}, feature {} is no finite number", i / table.features,
                          i % table.features));
    }
  }
  for (std::size_t i = 0; i < table.identities.size(); ++i) {
    const std::uint32_t size = table.sizes[table.table_of[i % columns]];
    if (table.identities[i] >= size) {
      in.Fail(fmt::format("row {}, identity column {} is {}, its table has {} rows", i / columns,
                          i % columns, table.identities[i], size));
    }
  }
  for (std::size_t i = 0; i < table.labels.size(); ++i) {
    if (table.labels[i] >= static_cast<std::uint32_t>(table.classes)) {
      in.Fail(fmt::format("row {} has class {} of {}", i, table.labels[i], table.classes));
    }
  }
  return table;
}

}  // namespace dither
