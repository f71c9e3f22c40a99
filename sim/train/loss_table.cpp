#include "sim/train/loss_table.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>

#include "sim/train/trainer.hpp"

namespace dither::train {
namespace {

constexpr const char* kHeader = "step,loss,test_accuracy";

// Length of what stays: header and whole lines up to `step`, which lie in order. 0: nothing was there.
std::uintmax_t LengthUpTo(const std::filesystem::path& path, std::uint64_t step) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  if (!std::getline(file, line)) return 0;
  if (file.eof() && std::string(kHeader).starts_with(line)) return 0;  // cut in the header
  if (line != kHeader) {
    throw TrainError(path.string() + ": is no table of losses, it begins with '" + line.substr(0, 40) + "'");
  }
  std::uintmax_t length = line.size() + 1;
  while (std::getline(file, line) && !file.eof()) {
    std::uint64_t at = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), at);
    if (error != std::errc() || end == line.data() + line.size() || *end != ',' || at > step) break;
    length += line.size() + 1;
  }
  return length;
}

}  // namespace

LossTable::LossTable(const std::filesystem::path& path, std::optional<std::uint64_t> resumed_at) : path_(path) {
  const auto fail = [&](const char* why) { throw TrainError(path.string() + ": can't be written: " + why); };
  bool begins = true;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  if (resumed_at && std::filesystem::is_regular_file(path)) {
    const std::uintmax_t length = LengthUpTo(path, *resumed_at);
    std::error_code error;
    std::filesystem::resize_file(path, length, error);
    if (error) fail(error.message().c_str());
    begins = length == 0;
  }
  file_.reset(std::fopen(path.c_str(), resumed_at ? "a" : "w"));
  if (!file_) fail(std::strerror(errno));
  if (begins) fmt::print(file_.get(), "{}\n", kHeader);
  Flush();
  Check();
}

void LossTable::Add(std::uint64_t step, double loss, std::optional<double> accuracy) {
  errno = 0;
  const std::string line = accuracy ? fmt::format("{},{},{}\n", step, loss, *accuracy) : fmt::format("{},{},\n", step, loss);
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() && error_ == 0) error_ = errno;
}

void LossTable::Flush() {
  errno = 0;
  if (std::fflush(file_.get()) != 0 && error_ == 0) error_ = errno;
}

void LossTable::Check() {
  if (error_ == 0 && std::ferror(file_.get()) == 0) return;
  throw TrainError(path_.string() + ": can't be written: " + std::strerror(error_));
}

void LossTable::Close() {
  Flush();
  Check();
  errno = 0;
  if (std::fclose(file_.release()) != 0) throw TrainError(path_.string() + ": can't be written: " + std::strerror(errno));
}

bool MoveAside(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  std::filesystem::rename(path, path.string() + ".old");
  return true;
}

}  // namespace dither::train
