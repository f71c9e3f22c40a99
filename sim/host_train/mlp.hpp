// A multilayer perceptron as the host keeps it: dense layers, relu between them, fp32 parameters,
// and the file it travels in (.dmlp).
//
// Inputs are pixel / 256, not pixel / 255: an 8-bit integer times a power of two is exact in bf16
// (8 significant bits) and in fp16, so what the accelerator is fed is what the network was trained
// on, with no rounding before the first multiply. The scale is stored in the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/data/dataset.hpp"

namespace dither {

// A model file that is missing, damaged or not one at all.
class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr float kInputScale = 1.0F / 256;

struct DenseLayer {
  int inputs = 0;
  int outputs = 0;
  std::vector<float> weights;  // [inputs][outputs], row-major: a row feeds one partition
  std::vector<float> bias;     // [outputs]
};

struct Mlp {
  std::vector<DenseLayer> layers;  // relu after each but the last, whose outputs are the scores
  int width = 0;                   // of the pictures; width * height inputs
  int height = 0;
  float input_scale = kInputScale;

  // Where it comes from, so that a figure can be traced and a mix-up noticed.
  std::string dataset;
  std::uint32_t dataset_checksum = 0;
  std::uint64_t seed = 0;
  std::uint32_t epochs = 0;
  std::uint32_t held_out_correct = 0;  // of held_out_count pictures, in fp32
  std::uint32_t held_out_count = 0;
};

// "784-64-32-10".
std::string ShapeText(const Mlp& model);

// How Forward computes. kBf16 rounds weights and every activation that is stored to bf16 (nearest,
// ties to even) and sums in fp32: an estimate of what the accelerator will score, not its bit-exact
// definition (sim/model has that).
enum class Arithmetic { kFp32, kBf16 };

// The scores of one picture, one for each class.
std::vector<float> Forward(const Mlp& model, std::span<const std::uint8_t> image,
                           Arithmetic arithmetic = Arithmetic::kFp32);

// Index of the largest score; the first one on a tie.
int Best(std::span<const float> scores);

// How many of these pictures the model names rightly.
int CountCorrect(const Mlp& model, const Dataset& data, std::span<const int> indices,
                 Arithmetic arithmetic = Arithmetic::kFp32);

// The file, little-endian: "DMLP", u32 version, u32 width, u32 height, u32 layers, u32 sizes
// [layers + 1], f32 input scale, u64 seed, u32 epochs, u32 held-out correct, u32 held-out count,
// u32 data set checksum, u32 name length and the name; for each layer f32 weights, f32 bias; u32
// CRC-32 of everything before it. Missing folders on the way are made.
void SaveModel(const Mlp& model, const std::filesystem::path& path);
Mlp LoadModel(const std::filesystem::path& path);

}  // namespace dither
