// Training on a core: a model, a numeric mode and an optimiser become programs (sim/program/train)
// that run forward, backward and update. Every sum, product and rounding is an instruction of the
// core; the host moves examples into DRAM, starts programs and reads the loss.
//
//   auto device = MakeFunctionalDevice();
//   train::Trainer trainer(*device, options);
//   trainer.SetExamples(examples);
//   while (trainer.epoch() < 10) trainer.Step();
//   double accuracy = trainer.Evaluate(held_out).accuracy();
//
// Weights, optimiser state and constants lie in DRAM, so any Device will do: a run on the Verilated
// core and one on the functional model leave the same bytes. docs/training.md
//
// Test  tb/system/train_test.cpp, tb/train/golden_test.cpp
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/device/device.hpp"
#include "sim/isa/isa.hpp"

namespace dither::train {

// A model, mode or set of examples that can't be trained as asked; says which limit.
class TrainError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// A checkpoint that is damaged, or of another configuration.
class CheckpointError : public TrainError {
 public:
  using TrainError::TrainError;
};
// A loss is no number, or a tensor of the training's state holds none. From Step the text names the
// step, the first instruction whose result had an infinity or NaN and what it belongs to, and weights,
// state and rounders are those before that step; from Save and RequireFinite the tensor.
class NonfiniteLoss : public TrainError {
 public:
  using TrainError::TrainError;
};

enum class LayerKind : std::uint8_t { kDense, kLayerNorm, kBatchNorm, kConv };
enum class Activation : std::uint8_t { kNone, kRelu, kGelu, kTanh, kSigmoid, kSilu };
enum class Loss : std::uint8_t { kSoftmaxCrossEntropy, kMeanSquare };

struct LayerSpec {
  LayerKind kind = LayerKind::kDense;
  std::uint32_t units = 0;  // outputs of a dense layer, channels of a convolution
  Activation activation = Activation::kNone;
  bool bias = true;
  std::uint32_t kernel = 3, stride = 1;  // of a convolution; no padding
};

// One categorical input: a table of `rows` vectors of `width`, looked up by an index.
struct EmbeddingSpec {
  std::uint32_t rows = 0, width = 0;
};

struct ModelSpec {
  std::uint32_t inputs = 0;               // plain features; of pictures [channel][row][column]
  std::uint32_t channels = 0, height = 0, width = 0;  // of pictures, if the first layer convolves
  std::vector<EmbeddingSpec> embeddings;  // their vectors follow the plain features
  std::vector<LayerSpec> layers;          // the last one's outputs are classes or values
  Loss loss = Loss::kSoftmaxCrossEntropy;

  // "784-128-10": dense layers, `activation` between them.
  static ModelSpec Mlp(const std::vector<std::uint32_t>& sizes,
                       Activation activation = Activation::kRelu);
  std::string Text() const;
};

// Which number format holds what, and how it is rounded.
struct NumericMode {
  std::string name = "bf16-sr";
  isa::Dtype weights = isa::Dtype::kBf16;  // as stored and updated
  isa::Round weight_round = isa::Round::kSr;
  isa::Dtype state = isa::Dtype::kBf16;  // momentum and the like, rounded as the weights
  isa::Dtype compute = isa::Dtype::kBf16;  // weights and activations of the products; a dtype other
                                           // than that of `weights` means a copy in DRAM
  isa::Dtype gradients = isa::Dtype::kBf16;  // of activations; weight gradients stay fp32 in PSUM
  isa::Round activation_round = isa::Round::kRne;
  isa::Round gradient_round = isa::Round::kRne;
  float weight_scale = 1;      // of the copy for the products: a power of two, divided out again
  float loss_scale = 1;        // of gradients, divided out in the update

  // fp32, bf16-rne, bf16-sr, fp8-sr, mixed
  static NumericMode Named(std::string_view name);
  static const std::vector<std::string>& Names();
};

struct OptimizerSpec {
  enum class Kind : std::uint8_t { kSgd, kAdam, kAdamW };
  Kind kind = Kind::kSgd;
  float rate = 0.05f;
  float momentum = 0.9f;  // 0: no momentum tensor at all
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float weight_decay = 0;  // decoupled: w shrinks by rate * weight_decay a step; not biases
};

// Examples that are pictures may be moved a little each time they are trained on, zeros coming in.
struct PictureSpec {
  std::uint32_t width = 0, height = 0, max_shift = 0;
};

struct TrainerOptions {
  ModelSpec model;
  NumericMode mode;
  OptimizerSpec optimizer;
  PictureSpec picture;
  std::uint32_t batch = 32;
  std::uint32_t eval_batch = 128;  // halved until it fits, down to batch
  std::uint64_t seed = 1;  // weights, order of the examples, rounders
  bool check_nonfinite = true;  // keep the state of the step before, to name the first NaN
};

// Examples as the host has them. Values are rounded to the mode's compute dtype when they are put
// into DRAM: that is storing data, not training.
struct Examples {
  std::uint32_t features = 0;
  std::vector<float> inputs;            // [example][feature]
  std::vector<std::uint32_t> indices;   // [example][embedding]
  std::vector<std::uint32_t> labels;    // [example], for softmax cross entropy
  std::vector<float> targets;           // [example][output], for mean square
  std::size_t size() const;
};

struct StepReport {
  std::uint64_t step = 0;   // from 1
  std::uint64_t epoch = 0;  // from 0
  float loss = 0;           // mean of the batch
  std::uint64_t cycles = 0;  // doorbell to done; 0 on the functional model
};
struct Evaluation {
  std::size_t count = 0, correct = 0;
  double loss = 0;  // mean
  double accuracy() const { return count == 0 ? 0 : static_cast<double>(correct) / count; }
};
// What one training step asks of DRAM, by purpose; known from the program.
struct DramTraffic {
  std::uint64_t read = 0, written = 0;  // data, bytes
  std::uint64_t instructions = 0;       // bytes fetched
};

class Trainer {
 public:
  Trainer(Device& device, const TrainerOptions& options);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  const TrainerOptions& options() const;
  Device& device();

  // The training set; its order is drawn anew for each epoch from the seed. What is left over at the
  // end of an epoch and is less than a batch is not used in it. CheckpointError if a checkpoint was
  // loaded before that was trained with others.
  void SetExamples(const Examples& examples);

  StepReport Step();  // one batch: forward, backward, update
  // Steps to the end of the epoch; `after` may stop it by returning false. Mean loss of the steps.
  double Epoch(const std::function<bool(const StepReport&)>& after = {});
  Evaluation Evaluate(const Examples& examples);
  // NonfiniteLoss if the evaluation's loss is no number or Save would refuse: the last step of an epoch
  // may have left weights that no loss has seen yet.
  void RequireFinite(const Evaluation& evaluation);
  void SetRate(float rate);  // from the next step on

  std::uint64_t step() const;   // steps made
  std::uint64_t epoch() const;  // epochs completed
  std::uint64_t steps_per_epoch() const;
  DramTraffic traffic() const;            // of a step
  std::uint64_t useful_columns() const;   // moving columns of a step's products, transposes not counted
  const Program& step_program() const;    // as last run or built
  // What its instructions belong to, by queue and index: "dense1 forward".
  const std::vector<std::string>& StepLabels(isa::Queue queue) const;

  // Parameters by name ("dense1.weights" [inputs][units], "dense1.bias" [units], ...) as numbers.
  std::vector<std::string> ParameterNames() const;
  std::vector<float> Parameter(const std::string& name);
  void SetParameter(const std::string& name, const std::vector<float>& values);

  // Everything that the next step depends on: parameters, optimiser state, rounders, position in the
  // data, configuration. A run resumed from it is the run that was never interrupted, bit for bit.
  // A new file, then renamed over the old one. NonfiniteLoss, and the old one stays, if a parameter or
  // its state holds an infinity or NaN.
  void Save(const std::filesystem::path& path);
  void Load(const std::filesystem::path& path);  // CheckpointError: damaged, or another configuration
  // The state of the training, without the header of a file: equal states have equal bytes.
  std::vector<std::uint8_t> State();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dither::train
