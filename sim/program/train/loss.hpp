// Loss, its gradient and right answers of a batch, from outputs that come in groups of batch tiles.
// Private to sim/program/train.
//
// It begins before the products of the last layer, so that labels are there in time:
//   LossOfBatch loss(s);  loss.Of(z, n0, gradient); ...  loss.Finish();
//
// Leaves Network::loss, the mean, and of an evaluation Network::correct.
//
// Errors  ProgramError, of Flow: SBUF is full
// Test  tb/system/train_test.cpp
#pragma once

#include <cstdint>
#include <optional>

#include "sim/program/train/context.hpp"

namespace dither::train {

class LossOfBatch {
 public:
  explicit LossOfBatch(StepContext& s);
  // z: fp32 [parts][tiles][outputs] of the batch tiles from n0 on. Leaves the loss of each example over
  // the batch size; in training the gradient too, in gradient.b.
  void Of(const Tensor& z, std::uint32_t n0, const Value& gradient);
  void Finish();  // sums over the batch

 private:
  void MeanSquare(const Tensor& z, std::uint32_t n0, const Tensor& loss, const Value& gradient);
  void CrossEntropy(const Tensor& z, std::uint32_t n0, const Tensor& loss, const Value& gradient);
  void Total(const Tensor& of_each, const Tensor& dram);

  StepContext& s_;
  Tensor per_example_;            // fp32 [rows][batch tiles]
  std::optional<Tensor> labels_;  // fp32 [rows][batch tiles]
  std::optional<Tensor> right_;   // 1 or 0: compute dtype [rows][batch tiles]
};

}  // namespace dither::train
