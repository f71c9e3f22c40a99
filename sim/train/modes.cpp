// Models and numeric modes by name.
#include <algorithm>

#include "sim/train/trainer.hpp"

namespace dither::train {

using isa::Dtype;
using isa::Round;

ModelSpec ModelSpec::Mlp(const std::vector<std::uint32_t>& sizes, Activation activation) {
  if (sizes.size() < 2) throw TrainError("a perceptron needs at least inputs and outputs");
  ModelSpec model;
  model.inputs = sizes.front();
  for (std::size_t l = 1; l < sizes.size(); ++l) {
    LayerSpec layer;
    layer.units = sizes[l];
    layer.activation = l + 1 < sizes.size() ? activation : Activation::kNone;
    model.layers.push_back(layer);
  }
  return model;
}

std::string ModelSpec::Text() const {
  static constexpr const char* kKinds[] = {"dense", "layernorm", "batchnorm", "conv"};
  static constexpr const char* kActivations[] = {"", " relu", " gelu", " tanh", " sigmoid", " silu"};
  std::string text = std::to_string(inputs) + " inputs";
  for (const EmbeddingSpec& e : embeddings) {
    text += ", embedding " + std::to_string(e.rows) + "x" + std::to_string(e.width);
  }
  for (const LayerSpec& layer : layers) {
    text += std::string(", ") + kKinds[static_cast<int>(layer.kind)] +
            (layer.units ? " " + std::to_string(layer.units) : "") +
            (layer.kind == LayerKind::kConv ? " of " + std::to_string(layer.kernel) + "x" + std::to_string(layer.kernel) +
                                                  " every " + std::to_string(layer.stride)
                                            : "") +
            kActivations[static_cast<int>(layer.activation)] + (layer.bias ? "" : " without bias");
  }
  return text + (loss == Loss::kMeanSquare ? ", mean square" : ", softmax cross entropy");
}

const std::vector<std::string>& NumericMode::Names() {
  static const std::vector<std::string> names = {"fp32", "bf16-rne", "bf16-sr", "fp8-sr", "mixed"};
  return names;
}

NumericMode NumericMode::Named(std::string_view name) {
  NumericMode mode;
  mode.name = name;
  if (name == "fp32") {
    mode.weights = mode.state = mode.compute = mode.gradients = Dtype::kFp32;
    mode.weight_round = Round::kRne;
  } else if (name == "bf16-rne") {
    mode.weight_round = Round::kRne;
  } else if (name == "bf16-sr") {
  } else if (name == "fp8-sr") {
    mode.compute = Dtype::kFp8E4M3;
    mode.weight_scale = 64;  // weights of 2^-12 and up are normal numbers then
  } else if (name == "mixed") {
    mode.weights = mode.state = Dtype::kFp32;
    mode.weight_round = Round::kRne;
  } else {
    std::string known;
    for (const std::string& n : Names()) known += (known.empty() ? "" : ", ") + n;
    throw TrainError("numeric mode '" + std::string(name) + "': there are " + known);
  }
  return mode;
}

std::size_t Examples::size() const {
  if (!labels.empty()) return labels.size();
  if (features != 0) return inputs.size() / features;
  return indices.size();
}

}  // namespace dither::train
