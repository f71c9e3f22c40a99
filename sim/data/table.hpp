// A table to learn from: rows of bf16 features and of identities (indices into embedding tables),
// each with a class. Made by sim/data/to_table.py, which defines the file and what was done to the
// source's columns; training rows come first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace dither {

// A table file that is missing, damaged or not one at all.
class TableError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Table {
  std::string name;
  int rows = 0;
  int train_rows = 0;                    // rows 0 .. train_rows - 1 train, the others are held out
  int features = 0;                      // columns of numbers
  int classes = 0;
  std::vector<std::uint32_t> sizes;      // rows of each embedding table
  std::vector<std::uint32_t> table_of;   // which table each identity column looks into
  std::vector<std::uint16_t> words;      // bf16 [rows][features], all finite
  std::vector<std::uint32_t> identities; // [rows][columns], each below its table's size
  std::vector<std::uint32_t> labels;     // [rows], each below classes
  std::uint32_t checksum = 0;            // CRC-32 that the file ends with

  int columns() const { return static_cast<int>(table_of.size()); }
  int held_out() const { return rows - train_rows; }
  std::span<const std::uint16_t> Features(int row) const {
    return std::span(words).subspan(static_cast<std::size_t>(row) * features, features);
  }
  std::span<const std::uint32_t> Identities(int row) const {
    return std::span(identities).subspan(static_cast<std::size_t>(row) * columns(), columns());
  }
};

Table LoadTable(const std::filesystem::path& path);

}  // namespace dither
