// Softmax cross entropy and mean square, the batch on partitions.
#include "sim/program/train/loss.hpp"

namespace dither::train {

using isa::ActFunc;
using isa::Dtype;
using isa::RedFunc;
using isa::VecFunc;

LossOfBatch::LossOfBatch(StepContext& s) : s_(s) {
  s.flow.Label("loss");
  const std::uint32_t tiles = s.Tiles(s.batch);
  per_example_ = s.flow.Sbuf("loss of each example", Dtype::kFp32, {s.rows, tiles});
  if (!s.training) right_ = s.flow.Sbuf("right answers", s.mode.compute, {s.rows, tiles});
  if (!s.training || s.options.model.loss == Loss::kSoftmaxCrossEntropy) {
    labels_ = s.flow.Sbuf("labels", Dtype::kFp32, {s.rows, tiles});
    ForTiles(s.batch, s.rows, kBank, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
      s.flow.Load(labels_->Slice(0, 0, parts).Slice(1, n0, count),
                  s.net.labels.Slice(0, n0 * s.rows, count * parts).Split(0, parts).Transpose(0, 1));
    });
  }
}

void LossOfBatch::Of(const Tensor& z, std::uint32_t n0, const Value& gradient) {
  const std::uint32_t parts = z.Size(0), count = z.Size(1);
  const Tensor loss = per_example_.Slice(0, 0, parts).Slice(1, n0, count);
  if (s_.options.model.loss == Loss::kMeanSquare) {
    MeanSquare(z, n0, loss, gradient);
  } else {
    CrossEntropy(z, n0, loss, gradient);
  }
  if (s_.training) return;
  const Tensor best = s_.flow.Sbuf("class", Dtype::kInt32, {parts, count});
  s_.flow.Reduce(RedFunc::kArgMax, best, z);
  s_.flow.Elementwise(VecFunc::kEq, right_->Slice(0, 0, parts).Slice(1, n0, count), best,
                      labels_->Slice(0, 0, parts).Slice(1, n0, count));
  s_.flow.Free(best);
}

void LossOfBatch::MeanSquare(const Tensor& z, std::uint32_t n0, const Tensor& loss, const Value& gradient) {
  const std::uint32_t parts = z.Size(0), count = z.Size(1), outputs = z.Size(2);
  const Tensor t = s_.flow.Sbuf("targets", Dtype::kFp32, {parts, count, outputs});
  s_.flow.Load(t.Transpose(0, 1), s_.net.targets->Slice(0, n0 * s_.rows, count * parts).Split(0, parts));
  s_.flow.Elementwise(VecFunc::kSub, t, z, t);  // z - target
  const float mean = 1.0f / (static_cast<float>(s_.batch) * static_cast<float>(outputs));
  if (s_.training) {
    s_.flow.Act(ActFunc::kIdentity, gradient.b->Slice(0, 0, parts).Slice(1, n0, count), t,
                2 * mean * s_.mode.loss_scale, -0.0f, s_.Rounding(s_.mode.gradient_round, gradient.dtype));
  }
  s_.flow.Elementwise(VecFunc::kMul, t, t, t);
  s_.flow.Reduce(RedFunc::kSum, loss, t);
  s_.flow.Elementwise(VecFunc::kMul, loss, loss, mean);
  s_.flow.Free(t);
}

// With s = sum of exp(z - max):  loss = log s + max - z[label],  gradient = exp(z - max) / s - (1 at
// the label, else 0), both over the batch size.
void LossOfBatch::CrossEntropy(const Tensor& z, std::uint32_t n0, const Tensor& loss, const Value& gradient) {
  const std::uint32_t parts = z.Size(0), count = z.Size(1), outputs = z.Size(2);
  const float mean = 1.0f / static_cast<float>(s_.batch);
  const auto small = [&](const char* name) { return s_.flow.Sbuf(name, Dtype::kFp32, {parts, count}); };
  const auto label = [&](std::uint32_t n) { return labels_->Slice(0, 0, parts).Slice(1, n0 + n, 1); };
  const Generated classes = Generated::Iota(0, {1});
  const Tensor most = small("maximum"), minus = small("minus maximum"), sum = small("sum of exp");
  const Tensor at_label = small("z of the label");
  const Tensor e = s_.flow.Sbuf("exp", Dtype::kFp32, {parts, count, outputs});
  const Tensor t = s_.flow.Sbuf("of the label", Dtype::kFp32, {parts, count, outputs});
  s_.flow.Reduce(RedFunc::kMax, most, z);
  s_.flow.Elementwise(VecFunc::kMul, minus, most, -1.0f);
  s_.flow.Act(ActFunc::kExp, e, z, 1.0f, minus.Insert(2));
  for (std::uint32_t n = 0; n < count; ++n) {
    s_.flow.TwoSteps(Pick(t, 1, n), classes, {VecFunc::kEq, label(n)}, {VecFunc::kSelect, Pick(z, 1, n)});
  }
  s_.flow.Reduce(RedFunc::kSum, at_label, t);
  s_.flow.Reduce(RedFunc::kSum, sum, e);
  if (s_.training) {
    const Tensor over = small("reciprocal");
    const float scale = mean * s_.mode.loss_scale;
    s_.flow.Act(ActFunc::kReciprocal, over, sum, 1 / scale);
    const Narrowing narrow = s_.Rounding(s_.mode.gradient_round, gradient.dtype);
    for (std::uint32_t n = 0; n < count; ++n) {
      s_.flow.TwoSteps(Pick(t, 1, n), classes, {VecFunc::kEq, label(n)}, {VecFunc::kMul, scale});
    }
    for (std::uint32_t n = 0; n < count; ++n) {
      s_.flow.TwoSteps(Pick(gradient.b->Slice(0, 0, parts), 1, n0 + n), Pick(e, 1, n),
                       {VecFunc::kMul, over.Slice(1, n, 1)}, {VecFunc::kSub, Pick(t, 1, n)}, narrow);
    }
    s_.flow.Free(over);
  }
  s_.flow.Act(ActFunc::kLog, sum, sum);
  s_.flow.Elementwise(VecFunc::kAdd, sum, sum, most);
  s_.flow.Elementwise(VecFunc::kSub, sum, sum, at_label);
  s_.flow.Elementwise(VecFunc::kMul, loss, sum, mean);
  for (const Tensor& gone : {most, minus, sum, at_label, e, t}) s_.flow.Free(gone);
}

// A sum over the batch: products with a column of ones.
void LossOfBatch::Total(const Tensor& of_each, const Tensor& dram) {
  const Tensor sums = s_.flow.Psum("total", 1, 1);
  ForTiles(s_.batch, s_.rows, 1, [&](std::uint32_t n, std::uint32_t, std::uint32_t parts) {
    s_.flow.Product(sums, of_each.Slice(0, 0, parts).Slice(1, n, 1), s_.ones.Slice(0, 0, parts), n > 0);
  });
  const Tensor sum = s_.flow.Sbuf("total", Dtype::kFp32, {1, 1});
  s_.flow.Move(sum, sums);
  s_.flow.Store(dram, sum);
  s_.flow.Free(sum);
  s_.flow.Free(of_each);
}

void LossOfBatch::Finish() {
  s_.flow.Label("loss");
  Total(per_example_, s_.net.loss);
  if (right_) Total(*right_, s_.net.correct);
  if (labels_) s_.flow.Free(*labels_);
}

}  // namespace dither::train
