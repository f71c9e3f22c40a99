// Pictures with labels: loading an IDX pair, the split into training and held-out pictures, single
// pictures in PGM files, and a picture drawn in a terminal.
//
// A data set is a folder with images.idx3 and labels.idx1 (scripts/fetch_data.sh makes them); the
// folder's name is the data set's name. Pixels are 0 (background) to 255 (full ink), row by row.
// Every failure is a DataError whose text names the file, what was expected and what was found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace dither {

class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Dataset {
  std::string name;
  int width = 0;
  int height = 0;
  int classes = 0;                   // largest label + 1
  std::vector<std::uint8_t> images;  // size() * height * width
  std::vector<std::uint8_t> labels;  // size()
  std::uint32_t checksum = 0;        // CRC-32 of images, then labels

  int size() const { return static_cast<int>(labels.size()); }
  std::size_t PixelCount() const { return static_cast<std::size_t>(width) * height; }
  std::span<const std::uint8_t> Image(int index) const {
    return std::span(images).subspan(index * PixelCount(), PixelCount());
  }
};

Dataset LoadDataset(const std::filesystem::path& folder);

// Writes the pair into an existing folder; for tests and for a user's own pictures.
void SaveDataset(const Dataset& data, const std::filesystem::path& folder);

std::uint32_t DatasetChecksum(const Dataset& data);

struct Split {
  std::vector<int> train;  // indices into the data set, in shuffled order
  std::vector<int> held_out;
};

// Everyone who says "held out" must mean the same pictures, so this seed is not an option of the
// trainer's.
inline constexpr std::uint64_t kSplitSeed = 20260;

// Four fifths to train on, one fifth held out (8,000 and 2,000 of mnist). Depends on the number of
// pictures and the seed alone.
Split SplitDataset(const Dataset& data, std::uint64_t seed = kSplitSeed);

// Reads a grey picture, PGM P2 (text) or P5 (binary), of exactly width x height; any maxval up to
// 65535 is scaled to 255.
std::vector<std::uint8_t> LoadPgm(const std::filesystem::path& path, int width, int height);

// Writes PGM P5 with maxval 255.
void WritePgm(const std::filesystem::path& path, std::span<const std::uint8_t> image, int width,
              int height);

// True for a picture that is mostly bright: ink drawn dark on light, where the data sets have it
// bright on dark. The caller says so and calls Invert, or warns.
bool LooksInverted(std::span<const std::uint8_t> image);
void Invert(std::span<std::uint8_t> image);

// True when the locale of the environment (LC_ALL, LC_CTYPE, LANG) uses UTF-8.
bool TerminalIsUtf8();

// The picture as text, two pixel rows to a line (a terminal's cell is about twice as high as wide),
// each line `width` cells and a line feed. Block characters, or plain ASCII.
std::string DrawPicture(std::span<const std::uint8_t> image, int width, int height,
                        bool utf8 = TerminalIsUtf8());

}  // namespace dither
