// IDX pairs, PGM pictures and terminal drawings; dataset.hpp says what each promises.
#include "sim/data/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <string_view>

#include "sim/data/crc32.hpp"
#include "sim/data/random.hpp"

namespace dither {
namespace {

constexpr std::uint32_t kImagesMagic = 0x803;  // unsigned bytes, three dimensions
constexpr std::uint32_t kLabelsMagic = 0x801;  // unsigned bytes, one dimension
constexpr std::uint32_t kMaxSide = 4096;
constexpr std::uint32_t kMaxPictures = 10'000'000;

using Bytes = std::vector<std::uint8_t>;

std::string RepairHint(const std::filesystem::path& file) {
  const std::string name = file.parent_path().filename().string();
  for (const char* known : {"mnist", "digits", "fashion"}) {
    if (name == known) return fmt::format("; repair: DATASET={} scripts/fetch_data.sh", name);
  }
  return "";
}

Bytes ReadFile(const std::filesystem::path& path, std::string_view hint) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) throw DataError(fmt::format("{}: cannot be read{}", path.string(), hint));
  Bytes bytes(size);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (!in) throw DataError(fmt::format("{}: reading it failed{}", path.string(), hint));
  return bytes;
}

void WriteFile(const std::filesystem::path& path, std::string_view header,
               std::span<const std::uint8_t> body) {
  std::ofstream out(path, std::ios::binary);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  out.write(reinterpret_cast<const char*>(body.data()), static_cast<std::streamsize>(body.size()));
  out.close();
  if (!out) throw DataError(fmt::format("{}: cannot be written", path.string()));
}

std::uint32_t BigEndian32(const Bytes& bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 |
         std::uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
}

// Reads an IDX file of `Dimensions` dimensions, whose sizes go to `sizes`; returns the data alone.
template <std::size_t Dimensions>
Bytes ReadIdx(const std::filesystem::path& path, std::uint32_t magic,
              std::array<std::uint32_t, Dimensions>& sizes) {
  const std::string hint = RepairHint(path);
  const auto fail = [&](const std::string& why) {
    throw DataError(fmt::format("{}: {}{}", path.string(), why, hint));
  };
  Bytes bytes = ReadFile(path, hint);
  constexpr std::size_t header = 4 + 4 * Dimensions;
  if (bytes.size() < header) {
    fail(fmt::format("truncated: {} bytes, the header alone has {}", bytes.size(), header));
  }
  if (BigEndian32(bytes, 0) != magic) {
    fail(fmt::format("not the IDX file expected here: magic number {:#010x}, expected {:#010x}",
                     BigEndian32(bytes, 0), magic));
  }
  std::uint64_t expected = 1;
  for (std::size_t i = 0; i < Dimensions; ++i) {
    sizes[i] = BigEndian32(bytes, 4 + 4 * i);
    const std::uint32_t limit = i == 0 ? kMaxPictures : kMaxSide;
    if (sizes[i] == 0 || sizes[i] > limit) {
      fail(fmt::format("dimension {} is {}, must be 1 to {}", i, sizes[i], limit));
    }
    expected *= sizes[i];  // at most 10^7 * 2^24: no overflow
  }
  if (bytes.size() - header != expected) {
    fail(fmt::format("{}: its header promises {} bytes of data, there are {}",
                     bytes.size() - header < expected ? "truncated" : "too long", expected,
                     bytes.size() - header));
  }
  bytes.erase(bytes.begin(), bytes.begin() + header);
  return bytes;
}

std::string IdxHeader(std::initializer_list<std::uint32_t> words) {
  std::string header;
  for (const std::uint32_t word : words) {
    for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(word >> shift & 0xff);
  }
  return header;
}

// The text part of a PGM file: numbers between white space and comments.
class PgmReader {
 public:
  explicit PgmReader(const std::filesystem::path& path) : path_(path), bytes_(ReadFile(path, "")) {}

  [[noreturn]] void Fail(const std::string& why) const {
    throw DataError(fmt::format("{}: {}", path_.string(), why));
  }

  std::string Magic() {
    if (bytes_.size() < 2) Fail("not a PGM picture: shorter than its magic number");
    at_ = 2;
    return {static_cast<char>(bytes_[0]), static_cast<char>(bytes_[1])};
  }

  // The next number, or nothing at the end of the file.
  std::optional<unsigned> Number(std::string_view what) {
    while (at_ < bytes_.size() && (std::isspace(bytes_[at_]) || bytes_[at_] == '#')) {
      if (bytes_[at_] == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
      } else {
        ++at_;
      }
    }
    if (at_ == bytes_.size()) return std::nullopt;
    if (!std::isdigit(bytes_[at_])) {
      Fail(fmt::format("byte {}: expected {}, found {:#04x}", at_, what, bytes_[at_]));
    }
    unsigned value = 0;
    for (; at_ < bytes_.size() && std::isdigit(bytes_[at_]); ++at_) {
      value = std::min(value * 10 + (bytes_[at_] - '0'), 1'000'000u);  // more than any limit
    }
    return value;
  }

  unsigned HeaderNumber(std::string_view what) {
    const std::optional<unsigned> value = Number(what);
    if (!value) Fail(fmt::format("truncated: ends before its {}", what));
    return *value;
  }

  // What follows the one white-space byte that ends a P5 header.
  std::span<const std::uint8_t> Raster() {
    if (at_ == bytes_.size() || !std::isspace(bytes_[at_])) Fail("no white space after its maxval");
    return std::span(bytes_).subspan(at_ + 1);
  }

 private:
  std::filesystem::path path_;
  Bytes bytes_;
  std::size_t at_ = 0;
};

void RequireSize(std::size_t pixels, int width, int height) {
  if (width <= 0 || height <= 0 || pixels != static_cast<std::size_t>(width) * height) {
    throw std::invalid_argument(
        fmt::format("a picture of {} pixels is not {}x{}", pixels, width, height));
  }
}

}  // namespace

std::uint32_t DatasetChecksum(const Dataset& data) {
  return Crc32Of(data.labels, Crc32Of(data.images));
}

Dataset LoadDataset(const std::filesystem::path& folder) {
  std::array<std::uint32_t, 3> shape{};
  std::array<std::uint32_t, 1> count{};
  Dataset data;
  data.images = ReadIdx(folder / "images.idx3", kImagesMagic, shape);
  data.labels = ReadIdx(folder / "labels.idx1", kLabelsMagic, count);
  if (shape[0] != count[0]) {
    throw DataError(fmt::format("{}: {} pictures in images.idx3 but {} labels in labels.idx1{}",
                                folder.string(), shape[0], count[0],
                                RepairHint(folder / "images.idx3")));
  }
  // A link or a trailing slash must not change the name, which the model file records.
  const std::filesystem::path real = std::filesystem::canonical(folder);
  data.name = real.filename().string();
  data.height = static_cast<int>(shape[1]);
  data.width = static_cast<int>(shape[2]);
  data.classes = *std::max_element(data.labels.begin(), data.labels.end()) + 1;
  data.checksum = DatasetChecksum(data);
  return data;
}

void SaveDataset(const Dataset& data, const std::filesystem::path& folder) {
  const auto count = static_cast<std::uint32_t>(data.size());
  WriteFile(folder / "images.idx3",
            IdxHeader({kImagesMagic, count, static_cast<std::uint32_t>(data.height),
                       static_cast<std::uint32_t>(data.width)}),
            data.images);
  WriteFile(folder / "labels.idx1", IdxHeader({kLabelsMagic, count}), data.labels);
}

Split SplitDataset(const Dataset& data, std::uint64_t seed) {
  std::vector<int> order(data.labels.size());
  std::iota(order.begin(), order.end(), 0);
  SplitMix64(seed).Shuffle(order);
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(order.size() * 4 / 5);
  return {{order.begin(), middle}, {middle, order.end()}};
}

std::vector<std::uint8_t> LoadPgm(const std::filesystem::path& path, int width, int height) {
  PgmReader reader(path);
  const std::string magic = reader.Magic();
  if (magic != "P2" && magic != "P5") {
    reader.Fail("not a PGM picture: must begin with P2 or P5 (convert it to grey PGM first)");
  }
  const unsigned found_width = reader.HeaderNumber("width");
  const unsigned found_height = reader.HeaderNumber("height");
  if (found_width != static_cast<unsigned>(width) ||
      found_height != static_cast<unsigned>(height)) {
    reader.Fail(fmt::format("the picture is {}x{}, the data set needs {}x{}", found_width,
                            found_height, width, height));
  }
  const unsigned maxval = reader.HeaderNumber("maxval");
  if (maxval == 0 || maxval > 65535) {
    reader.Fail(fmt::format("maxval is {}, must be 1 to 65535", maxval));
  }

  const std::size_t pixels = static_cast<std::size_t>(width) * height;
  Bytes image(pixels);
  const auto store = [&](std::size_t at, unsigned value) {
    if (value > maxval) {
      reader.Fail(fmt::format("pixel {} is {}, above the maxval of {}", at, value, maxval));
    }
    image[at] = static_cast<std::uint8_t>((value * 255 + maxval / 2) / maxval);
  };
  if (magic == "P2") {
    for (std::size_t i = 0; i < pixels; ++i) {
      const std::optional<unsigned> value = reader.Number("a pixel");
      if (!value) reader.Fail(fmt::format("truncated: {} of {} pixels", i, pixels));
      store(i, *value);
    }
    return image;
  }
  const std::size_t bytes_each = maxval > 255 ? 2 : 1;  // high byte first
  const std::span<const std::uint8_t> raster = reader.Raster();
  if (raster.size() < pixels * bytes_each) {
    reader.Fail(fmt::format("truncated: {} of {} pixels", raster.size() / bytes_each, pixels));
  }
  for (std::size_t i = 0; i < pixels; ++i) {
    store(i, bytes_each == 1 ? raster[i] : raster[2 * i] * 256u + raster[2 * i + 1]);
  }
  return image;
}

void WritePgm(const std::filesystem::path& path, std::span<const std::uint8_t> image, int width,
              int height) {
  RequireSize(image.size(), width, height);
  WriteFile(path, fmt::format("P5\n{} {}\n255\n", width, height), image);
}

bool LooksInverted(std::span<const std::uint8_t> image) {
  // Ink covers about a fifth of a digit's picture: a mean above half is paper, not ink.
  return std::accumulate(image.begin(), image.end(), std::size_t{0}) > image.size() * 128;
}

void Invert(std::span<std::uint8_t> image) {
  for (std::uint8_t& pixel : image) pixel = static_cast<std::uint8_t>(255 - pixel);
}

bool TerminalIsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {  // the first one set decides
    const char* value = std::getenv(name);
    if (!value || !*value) continue;
    std::string locale(value);
    for (char& c : locale) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

std::string DrawPicture(std::span<const std::uint8_t> image, int width, int height, bool utf8) {
  RequireSize(image.size(), width, height);
  constexpr std::string_view ramp = " .:-=+*#%@";
  std::string text;
  for (int row = 0; row < height; row += 2) {
    for (int column = 0; column < width; ++column) {
      const std::size_t at = static_cast<std::size_t>(row) * width + column;
      const int top = image[at];
      const int bottom = row + 1 < height ? image[at + width] : 0;
      const int mean = (top + bottom) / 2;
      if (!utf8) {
        text += ramp[mean * ramp.size() / 256];
      } else if (top >= 128 && bottom >= 128) {
        text += mean >= 192 ? "█" : "▓";
      } else if (top >= 128 || bottom >= 128) {
        text += top >= 128 ? "▀" : "▄";
      } else {
        text += mean >= 64 ? "▒" : mean >= 24 ? "░" : " ";
      }
    }
    text += '\n';
  }
  return text;
}

}  // namespace dither
