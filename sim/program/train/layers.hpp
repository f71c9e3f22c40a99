// Layers, forward and back, as instructions. Private to sim/program/train.
//
// Forward functions make `out` of `in`. Backward functions take the gradient of a layer's output before
// its activation, make the one of the layer below before the activation of that, and update the
// layer's parameters. Gradients are in the mode's dtype and times its loss scale. Values are made in
// the layout that suits a layer (context.hpp); those of others are brought into it.
//
// Errors  TrainError: outputs or pictures that no PSUM bank holds; ProgramError, of Flow: SBUF is full
// Test  tb/system/train_test.cpp
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/program/train/context.hpp"
#include "sim/program/train/loss.hpp"

namespace dither::train {

// ---- activations (activation.cpp)
// Whether the way back needs the activation's input; relu's output says enough.
bool NeedsZ(Activation activation);
// A layer's output in one layout, of this shape, and what its activation is given, if the way back needs that.
Value NewOutput(StepContext& s, const Layer& layer, std::optional<Tensor> Value::*layout,
                const std::vector<std::uint32_t>& shape);
// to = activation(sums with the weights' scale taken out + bias); z, if it is wanted, what the activation was
// given. bias: of a shape that repeats to that of `sums`.
void ThroughActivation(StepContext& s, Activation activation, const Tensor& to, const std::optional<Tensor>& z,
                       const Tensor& sums, const std::optional<Tensor>& bias);
// dz = dy * slope; y is what the activation gave, or for others than relu what it was given.
void BackThroughActivation(StepContext& s, Activation activation, const Tensor& dz, const Tensor& y, const Tensor& dy);

// ---- dense layers (dense.cpp)
void DenseForward(StepContext& s, const Layer& layer, Value& in, Value& out);
// The last layer, its outputs with the batch on partitions, and at once the loss and its gradient.
void OutputForward(StepContext& s, const Layer& layer, Value& in, Value& gradient);
// Of the first layer it updates the embeddings too; the gradient of plain features nobody asks for.
void DenseBackward(StepContext& s, const Layer& layer, Value& gradient, const Layer* previous, Value& input,
                   Value& below);

// ---- convolutions (convolution.cpp)
void ConvolutionForward(StepContext& s, const Layer& layer, Value& in, Value& out);
// previous: null for the first layer, whose input gradient nobody asks for.
void ConvolutionBackward(StepContext& s, const Layer& layer, Value& gradient, const Layer* previous, Value& input,
                         Value& below);

// ---- normalisation (normalisation.cpp)
// What a normalisation keeps for the way back.
struct Normalised {
  std::optional<Tensor> normal;  // the input, normalised, in the layer's layout
  Tensor inverse;                // 1 / deviation: fp32 [rows][tiles]
};
void NormalisationForward(StepContext& s, const Layer& layer, Value& in, Value& out, Normalised& saved);
// Gives `saved` back.
void NormalisationBackward(StepContext& s, const Layer& layer, Value& gradient, Normalised& saved,
                           const Layer* previous, Value& input, Value& below);

// ---- embeddings (embedding.cpp)
// Rows of the examples, int32 [1][batch], a list for each table. First of all, so that they are there
// when their rows are asked for.
std::vector<Tensor> LoadLists(StepContext& s);
// Rows of the tables into their columns of x.b; gives the lists back.
void LookUp(StepContext& s, const std::vector<Tensor>& lists, Value& x);
// Updates the rows that the batch looked up by the gradient of the input; gives that back.
void UpdateLookedUp(StepContext& s, Value& gradient);

}  // namespace dither::train
