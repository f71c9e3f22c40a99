// Training a multilayer perceptron on the host: mini-batch gradient descent with momentum on the
// cross entropy, one thread, every sum in a fixed order and no libm in the path to the weights.
//
// The same options and data give the same bytes on every machine with IEEE floats, provided that
// the compiler does not fuse multiply and add (-ffp-contract=off; x86-64's default has no FMA).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/data/dataset.hpp"
#include "sim/host_train/mlp.hpp"

namespace dither {

struct TrainOptions {
  std::vector<int> hidden = {64, 32};  // sizes of the hidden layers
  int epochs = 40;
  int batch = 16;
  float rate = 0.05F;  // falls linearly to zero over the run
  float momentum = 0.9F;
  float weight_decay = 1e-4F;  // on weights, not on biases
  // Every picture is moved by up to this many pixels each way each time it is shown; -1 chooses 1
  // for pictures of 16 pixels and more, where it gains a point of held-out accuracy, else 0.
  int max_shift = -1;
  std::uint64_t seed = 1;
};

struct EpochReport {
  int epoch = 0;              // from 1
  double loss = 0;            // mean over the epoch, as training went
  double train_accuracy = 0;  // likewise, on the moved pictures: 0 to 1
  double held_out_accuracy = 0;
};

// Throws std::invalid_argument for options out of range. The model carries its held-out accuracy
// and origin; the held-out pictures are looked at to report, never to choose.
Mlp TrainMlp(const Dataset& data, const Split& split, const TrainOptions& options,
             const std::function<void(const EpochReport&)>& progress = {});

}  // namespace dither
