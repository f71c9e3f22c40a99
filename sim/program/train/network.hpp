// Where a network's parameters lie in DRAM, and what a training step does with them.
//
// Dense weights lie as [inputs][units], so that a row feeds one partition. A bias that is added to
// activations with their features on partitions lies as [partition][tile], one that is added to
// activations with the batch on partitions as [1][units].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/isa/isa.hpp"
#include "sim/program/tensor.hpp"
#include "sim/train/trainer.hpp"

namespace dither::train {

// A tensor that training changes.
struct Parameter {
  std::string name;
  Tensor value;                // DRAM
  std::vector<Tensor> state;   // momentum; or both moments
  std::optional<Tensor> copy;  // what the products read, if not the value itself
  std::size_t count = 0;       // elements that mean something
  bool tiled = false;          // lies as [partition][tile]
  float copy_scale = 1;        // a power of two
  bool decays = false;
  const Tensor& Read() const { return copy ? *copy : value; }
};

// A convolution's input and output: [channel][row][column] of an example.
struct Geometry {
  std::uint32_t channels = 0, height = 0, width = 0;
  std::uint32_t out_channels = 0, out_height = 0, out_width = 0;
  std::uint32_t kernel = 0, stride = 0;
  std::uint32_t taps() const { return kernel * kernel; }
};

struct Layer {
  LayerKind kind = LayerKind::kDense;
  std::string name;
  std::uint32_t inputs = 0, units = 0;
  Activation activation = Activation::kNone;
  bool batch_on_partitions = false;  // of its output
  Geometry geometry;                 // of a convolution
  Parameter weights;                 // of a normalisation its factors; of a convolution [tap][channel][unit]
  std::optional<Parameter> bias;
  std::optional<Parameter> mean, variance;  // running ones, of batch normalisation
};

// A table whose rows are looked up and become columns column .. column + width of the input. Behind its
// rows lie as many as a batch has examples, which stay zero: a step always moves a batch of rows.
struct EmbeddingTable {
  Parameter table;
  std::uint32_t rows = 0, width = 0, column = 0;
};

struct Network {
  std::vector<EmbeddingTable> embeddings;
  std::vector<Layer> layers;
  // Constants and what a step reads and leaves.
  Tensor identity;                // compute dtype [rows][rows]
  Tensor ones;                    // compute dtype [rows][1]
  std::optional<Tensor> input;    // compute dtype [batch][plain features]
  // Of each embedding, for the examples of a batch: int32 [1][batch], the row that each looks up; the
  // different rows among them, then rows behind the table (its rows + n); fp32 [batch], which of the
  // different rows each has.
  std::vector<Tensor> lists, different, slots;
  Tensor labels;                  // fp32 [batch]
  std::optional<Tensor> targets;  // fp32 [batch][outputs]
  Tensor loss;                    // fp32 [1][1]: mean of the batch
  Tensor correct;                 // fp32 [1][1]: how many were classified right
};

}  // namespace dither::train
