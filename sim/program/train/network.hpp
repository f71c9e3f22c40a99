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
  bool decays = false;
  const Tensor& Read() const { return copy ? *copy : value; }
};

struct Layer {
  LayerKind kind = LayerKind::kDense;
  std::string name;
  std::uint32_t inputs = 0, units = 0;
  Activation activation = Activation::kNone;
  bool batch_on_partitions = false;  // of its output
  Parameter weights;                 // dense; of a normalisation its factors
  std::optional<Parameter> bias;
  std::optional<Parameter> mean, variance;  // running ones, of batch normalisation
};

struct Network {
  std::vector<Layer> layers;
  // Constants and what a step reads and leaves.
  Tensor identity;                // compute dtype [rows][rows]
  Tensor ones;                    // compute dtype [rows][1]
  Tensor input;                   // compute dtype [batch][inputs]
  Tensor labels;                  // fp32 [batch]
  std::optional<Tensor> targets;  // fp32 [batch][outputs]
  Tensor loss;                    // fp32 [1][1]: mean of the batch
  Tensor correct;                 // fp32 [1][1]: how many were classified right
};

}  // namespace dither::train
