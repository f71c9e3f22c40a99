// Programs of training: one step (forward, backward, update) or one evaluation (forward, loss, count
// of right answers), DRAM to DRAM.
//
//              forward                     input gradient            weight gradient, update
//   F layout   Y[m][n] = W[k][m] X[k][n]   dX[k][n] = W'[m][k] dY[m][n]
//   B layout   Y[n][m] = X[k][n] W[k][m]                             dW[k][m] = X'[n][k] dY'[n][m]
//
// Activations have features on partitions (F) or the batch on partitions (B); what is there in one
// layout and wanted in the other is transposed by the array, a product with the identity: its results are
// values, to be scaled and narrowed, where the transpose instruction gives the bits of one-byte elements.
// Gradients of weights stay in PSUM: the update reads them there while the array makes the next ones.
//
// Test  tb/system/train_test.cpp
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/program/flow.hpp"
#include "sim/program/train/network.hpp"

namespace dither::train {

// Numbers in instructions that change from step to step.
enum class Knob : std::uint8_t {
  kMinusRate,  // SGD: -rate; Adam: -rate times the correction of the first moment
  kVariance,   // correction of the second moment
  kKeep,       // what a step's decay leaves of a weight
};

struct StepProgram {
  Program program;
  struct Setting {
    Flow::Place place;
    Knob knob;
  };
  std::vector<Setting> settings;
  std::array<std::vector<std::string>, isa::kNumQueues> labels;  // by instruction
  std::uint64_t dram_read = 0, dram_written = 0;  // bytes
  std::uint64_t array_columns = 0;  // of forward, backward and weight gradients: useful ones

  void Set(Knob knob, float value);  // in all instructions that have it
};

// The scalar engine's functions for an activation and for its derivative; identity where it needs none.
isa::ActFunc FuncOf(Activation activation);
isa::ActFunc SlopeOf(Activation activation);

StepProgram BuildTrainStep(const isa::Config& config, const TrainerOptions& options,
                           const Network& network, std::uint32_t batch);
StepProgram BuildEvaluation(const isa::Config& config, const TrainerOptions& options,
                            const Network& network, std::uint32_t batch);

}  // namespace dither::train
