// Evaluating a multilayer perceptron on the host, and its file; mlp.hpp defines both.
#include "sim/host_train/mlp.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "sim/data/crc32.hpp"

namespace dither {
namespace {

constexpr std::string_view kMagic = "DMLP";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kMaxLayers = 16;
constexpr std::uint32_t kMaxWidth = 1 << 16;  // of a layer; kMaxSide squared would be no network
constexpr std::uint32_t kMaxName = 64;

float RoundToBf16(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return value;
  bits += 0x7fff + (bits >> 16 & 1);  // half, minus one unit when the kept part is even
  return std::bit_cast<float>(bits & 0xffff0000u);
}

class Writer {
 public:
  void U32(std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes_.push_back(value >> shift & 0xff);
  }
  void U64(std::uint64_t value) {
    U32(static_cast<std::uint32_t>(value));
    U32(static_cast<std::uint32_t>(value >> 32));
  }
  void F32(float value) { U32(std::bit_cast<std::uint32_t>(value)); }
  void Text(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

class Reader {
 public:
  Reader(std::string path, std::vector<std::uint8_t> bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}

  [[noreturn]] void Fail(const std::string& why) const {
    throw ModelError(fmt::format("{}: {}; repair: delete it and train again", path_, why));
  }
  std::uint32_t U32() {
    Need(4);
    std::uint32_t value = 0;
    for (int shift = 0; shift < 32; shift += 8) value |= std::uint32_t{bytes_[at_++]} << shift;
    return value;
  }
  // A number with limits, so that a damaged size can't ask for all the memory there is.
  std::uint32_t Limited(std::string_view what, std::uint32_t low, std::uint32_t high) {
    const std::uint32_t value = U32();
    if (value < low || value > high) {
      Fail(fmt::format("damaged: {} is {}, must be {} to {}", what, value, low, high));
    }
    return value;
  }
  std::uint64_t U64() {
    const std::uint64_t low = U32();
    return low | std::uint64_t{U32()} << 32;
  }
  float F32() { return std::bit_cast<float>(U32()); }
  std::string Text(std::size_t length) {
    Need(length);
    const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(at_);
    at_ += length;
    return {begin, begin + static_cast<std::ptrdiff_t>(length)};
  }
  std::size_t at() const { return at_; }
  std::size_t size() const { return bytes_.size(); }
  std::uint32_t CrcBefore(std::size_t end) const {
    return Crc32Of(std::span(bytes_).first(end));
  }

 private:
  void Need(std::size_t count) const {
    if (bytes_.size() - at_ < count) {
      Fail(fmt::format("truncated: ends inside its header, after {} bytes", bytes_.size()));
    }
  }

  std::string path_;
  std::vector<std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

// One dense layer. Terms are added in the order of the inputs, for each output by itself, so the
// result does not depend on how a compiler vectorises it. Zero inputs, most of a picture and half
// of what relu lets through, are skipped.
void Dense(const DenseLayer& layer, bool round_weights, std::span<const float> in,
           std::vector<float>& out) {
  out.assign(layer.bias.begin(), layer.bias.end());
  const float* row = layer.weights.data();
  for (const float x : in) {
    if (x != 0) {
      for (int j = 0; j < layer.outputs; ++j) {
        out[j] += x * (round_weights ? RoundToBf16(row[j]) : row[j]);
      }
    }
    row += layer.outputs;
  }
}

}  // namespace

std::string ShapeText(const Mlp& model) {
  std::string text = std::to_string(model.width * model.height);
  for (const DenseLayer& layer : model.layers) text += fmt::format("-{}", layer.outputs);
  return text;
}

std::vector<float> Forward(const Mlp& model, std::span<const std::uint8_t> image,
                           Arithmetic arithmetic) {
  const bool bf16 = arithmetic == Arithmetic::kBf16;
  if (model.layers.empty() || image.size() != static_cast<std::size_t>(model.layers[0].inputs)) {
    throw std::invalid_argument(fmt::format("a picture of {} pixels does not fit a {} network",
                                            image.size(), ShapeText(model)));
  }
  std::vector<float> in(image.size());
  std::vector<float> out;
  std::transform(image.begin(), image.end(), in.begin(),
                 [&](std::uint8_t pixel) { return pixel * model.input_scale; });
  for (const DenseLayer& layer : model.layers) {
    if (bf16) std::transform(in.begin(), in.end(), in.begin(), RoundToBf16);
    Dense(layer, bf16, in, out);
    if (&layer != &model.layers.back()) {
      for (float& value : out) value = std::max(value, 0.0F);
    }
    in.swap(out);
  }
  return in;
}

int Best(std::span<const float> scores) {
  return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

int CountCorrect(const Mlp& model, const Dataset& data, std::span<const int> indices,
                 Arithmetic arithmetic) {
  return static_cast<int>(std::count_if(indices.begin(), indices.end(), [&](int index) {
    return Best(Forward(model, data.Image(index), arithmetic)) == data.labels[index];
  }));
}

void SaveModel(const Mlp& model, const std::filesystem::path& path) {
  Writer out;
  out.Text(kMagic);
  out.U32(kVersion);
  out.U32(static_cast<std::uint32_t>(model.width));
  out.U32(static_cast<std::uint32_t>(model.height));
  out.U32(static_cast<std::uint32_t>(model.layers.size()));
  out.U32(static_cast<std::uint32_t>(model.width * model.height));
  for (const DenseLayer& layer : model.layers) out.U32(static_cast<std::uint32_t>(layer.outputs));
  out.F32(model.input_scale);
  out.U64(model.seed);
  out.U32(model.epochs);
  out.U32(model.held_out_correct);
  out.U32(model.held_out_count);
  out.U32(model.dataset_checksum);
  const std::string name = model.dataset.substr(0, kMaxName);
  out.U32(static_cast<std::uint32_t>(name.size()));
  out.Text(name);
  for (const DenseLayer& layer : model.layers) {
    for (const float value : layer.weights) out.F32(value);
    for (const float value : layer.bias) out.F32(value);
  }
  out.U32(Crc32Of(out.bytes()));

  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  // A stopped run must not leave half a file under the real name.
  const std::filesystem::path partial = path.string() + ".part";
  std::ofstream file(partial, std::ios::binary);
  file.write(reinterpret_cast<const char*>(out.bytes().data()),
             static_cast<std::streamsize>(out.bytes().size()));
  file.close();
  if (!file) throw ModelError(fmt::format("{}: cannot be written", partial.string()));
  std::filesystem::rename(partial, path);
}

Mlp LoadModel(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) {
    throw ModelError(fmt::format("{}: cannot be read; repair: train it first", path.string()));
  }
  Reader in(path.string(), {std::istreambuf_iterator<char>(file), {}});
  if (in.size() < kMagic.size() || in.Text(kMagic.size()) != kMagic) {
    in.Fail("not a model file: does not begin with DMLP");
  }
  if (const std::uint32_t version = in.U32(); version != kVersion) {
    in.Fail(fmt::format("format version {}, this program reads version {}", version, kVersion));
  }
  Mlp model;
  model.width = static_cast<int>(in.Limited("width", 1, kMaxWidth));
  model.height = static_cast<int>(in.Limited("height", 1, kMaxWidth));
  model.layers.resize(in.Limited("the number of layers", 1, kMaxLayers));
  std::uint32_t inputs = in.Limited("a layer's size", 1, kMaxWidth);
  if (inputs !=
      static_cast<std::uint64_t>(model.width) * static_cast<std::uint64_t>(model.height)) {
    in.Fail(
        fmt::format("damaged: {} inputs for pictures of {}x{}", inputs, model.width, model.height));
  }
  std::uint64_t parameters = 0;
  for (DenseLayer& layer : model.layers) {
    layer.inputs = static_cast<int>(inputs);
    layer.outputs = static_cast<int>(in.Limited("a layer's size", 1, kMaxWidth));
    parameters += (std::uint64_t{inputs} + 1) * static_cast<std::uint64_t>(layer.outputs);
    inputs = static_cast<std::uint32_t>(layer.outputs);
  }
  model.input_scale = in.F32();
  model.seed = in.U64();
  model.epochs = in.U32();
  model.held_out_correct = in.U32();
  model.held_out_count = in.U32();
  model.dataset_checksum = in.U32();
  model.dataset = in.Text(in.Limited("the name's length", 0, kMaxName));

  // Sizes first: a cut file says so, before its last four bytes are taken for a checksum.
  const std::uint64_t expected = in.at() + 4 * parameters + 4;
  if (in.size() != expected) {
    in.Fail(fmt::format("{}: a {} network takes {} bytes, the file has {}",
                        in.size() < expected ? "truncated" : "too long", ShapeText(model), expected,
                        in.size()));
  }
  const std::uint32_t computed = in.CrcBefore(expected - 4);
  for (DenseLayer& layer : model.layers) {
    layer.weights.resize(static_cast<std::size_t>(layer.inputs) * layer.outputs);
    layer.bias.resize(static_cast<std::size_t>(layer.outputs));
    for (float& value : layer.weights) value = in.F32();
    for (float& value : layer.bias) value = in.F32();
  }
  if (const std::uint32_t stored = in.U32(); stored != computed) {
    in.Fail(fmt::format("damaged: checksum {:08x} stored, {:08x} computed", stored, computed));
  }
  return model;
}

}  // namespace dither
