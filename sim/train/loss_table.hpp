// The CSV of a training: step, loss, and the test accuracy in per cent (empty between evaluations).
//
// Test  tb/train/loss_table_test.cpp
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

namespace dither::train {

class LossTable {
 public:
  // A new file. With `resumed_at`, what is there stays up to that step: what a run has told beyond its
  // checkpoint will be told again. TrainError if the file can't be written, or is no table of losses.
  LossTable(const std::filesystem::path& path, std::optional<std::uint64_t> resumed_at);

  void Add(std::uint64_t step, double loss, std::optional<double> accuracy = {});
  void Flush();  // does not throw, so that a checkpoint can be written first
  void Check();  // TrainError if anything could not be written so far
  void Close();  // flushes and checks

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Closer> file_;
  int error_ = 0;
};

// Renames `path` to `path`.old, if it is a regular file; true if it was one.
bool MoveAside(const std::filesystem::path& path);

}  // namespace dither::train
