// Normalisation: of each example over its features (layer; B layout), or of each feature over the batch
// (batch; F layout). Either way over the free dimension of what lies in a partition.
#include <utility>

#include "sim/program/train/layers.hpp"
#include "sim/program/train/update.hpp"

namespace dither::train {
namespace {

using isa::ActFunc;
using isa::Dtype;
using isa::RedFunc;
using isa::VecFunc;

bool OverBatch(const Layer& layer) { return layer.kind == LayerKind::kBatchNorm; }
const Tensor& InLayout(StepContext& s, const Layer& layer, Value& v) { return OverBatch(layer) ? s.F(v) : s.B(v); }
// Tiles of partitions of the layer's layout, and the size of the dimension that is normalised over.
std::uint32_t Spread(const StepContext& s, const Layer& layer) { return OverBatch(layer) ? layer.units : s.batch; }
std::uint32_t Along(const StepContext& s, const Layer& layer) { return OverBatch(layer) ? s.batch : layer.units; }

// Factors or offsets on chip, and as an operand of [parts][count][along].
Tensor LoadFactors(StepContext& s, const Layer& layer, const Parameter& p) {
  if (!OverBatch(layer)) return s.LoadRow(p.name, p.value);
  const Tensor t = s.flow.Sbuf(p.name, p.value.dtype, {s.rows, s.Tiles(layer.units)});
  s.flow.Load(t, p.value);
  return t;
}
Tensor FactorsOf(const Layer& layer, const Tensor& factors, std::uint32_t t0, std::uint32_t count,
                 std::uint32_t parts) {
  const Tensor t = factors.Slice(0, 0, parts);
  return OverBatch(layer) ? t.Slice(1, t0, count).Insert(2) : t.Insert(1);
}

template <typename F>
void ForNorm(const StepContext& s, const Layer& layer, F&& f) {
  ForTiles(Spread(s, layer), s.rows, std::max(1u, kBank / Along(s, layer)), f);
}

void DropSaved(StepContext& s, Normalised& saved) {
  if (!saved.normal) return;
  s.flow.Free(*saved.normal);
  s.flow.Free(saved.inverse);
  saved.normal.reset();
}

}  // namespace

void NormalisationForward(StepContext& s, const Layer& layer, Value& in, Value& out, Normalised& saved) {
  constexpr float kEpsilon = 1e-5f, kShare = 0.1f;  // of a batch in the running mean and variance
  const Tensor& x = InLayout(s, layer, in);
  const std::uint32_t along = Along(s, layer), tiles = s.Tiles(Spread(s, layer));
  const bool running = OverBatch(layer) && !s.training;
  out = {layer.name + " output", layer.units, s.mode.compute};
  const Tensor y = s.flow.Sbuf(out.name, out.dtype, {s.rows, tiles, along});
  (OverBatch(layer) ? out.f : out.b) = y;
  saved.normal = s.flow.Sbuf(layer.name + " normalised", s.mode.gradients, {s.rows, tiles, along});
  saved.inverse = s.flow.Sbuf(layer.name + " 1/deviation", Dtype::kFp32, {s.rows, tiles});
  std::optional<Tensor> z;
  if (s.training && NeedsZ(layer.activation)) {
    out.z.push_back({layer.name + " z", layer.units, s.mode.gradients});
    z = s.flow.Sbuf(out.z[0].name, s.mode.gradients, {s.rows, tiles, along});
    (OverBatch(layer) ? out.z[0].f : out.z[0].b) = z;
  }
  const Tensor factor = LoadFactors(s, layer, layer.weights), offset = LoadFactors(s, layer, *layer.bias);
  std::optional<Tensor> mean, variance;
  if (OverBatch(layer)) {
    mean = LoadFactors(s, layer, *layer.mean);
    variance = LoadFactors(s, layer, *layer.variance);
  }
  ForNorm(s, layer, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
    const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, t0, count); };
    const Tensor stats = s.flow.Sbuf("mean and variance", Dtype::kFp32, {parts, count, 2});
    const Tensor shift = s.flow.Sbuf("shift", Dtype::kFp32, {parts, count});
    const Tensor scaled = s.flow.Sbuf("scaled", Dtype::kFp32, {parts, count, along});
    Tensor of_mean = Pick(stats, 2, 0), of_variance = Pick(stats, 2, 1);
    if (running) {
      of_mean = part(*mean);
      of_variance = part(*variance);
    } else {
      s.flow.Stats(stats, part(x));
      if (OverBatch(layer)) {
        for (const auto& [total, of_batch] :
             {std::pair(part(*mean), of_mean), std::pair(part(*variance), of_variance)}) {
          s.flow.Elementwise(VecFunc::kMul, shift, of_batch, kShare);
          s.flow.TwoSteps(total, total, {VecFunc::kMul, 1 - kShare}, {VecFunc::kAdd, shift});
        }
        s.flow.Store(part(layer.mean->value), part(*mean));
        s.flow.Store(part(layer.variance->value), part(*variance));
      }
    }
    s.flow.Act(ActFunc::kRsqrt, part(saved.inverse), of_variance, 1.0f, kEpsilon);
    s.flow.TwoSteps(shift, of_mean, {VecFunc::kMul, -1.0f}, {VecFunc::kMul, part(saved.inverse)});
    for (std::uint32_t t = 0; t < count; ++t) {
      s.flow.TwoSteps(Pick(part(*saved.normal), 1, t), Pick(part(x), 1, t),
                      {VecFunc::kMul, part(saved.inverse).Slice(1, t, 1)}, {VecFunc::kAdd, shift.Slice(1, t, 1)});
    }
    s.flow.Elementwise(VecFunc::kMul, scaled, part(*saved.normal), FactorsOf(layer, factor, t0, count, parts));
    const Tensor b = FactorsOf(layer, offset, t0, count, parts);
    if (z) s.flow.Elementwise(VecFunc::kAdd, part(*z), scaled, b);
    s.flow.Act(FuncOf(layer.activation), part(y), scaled, 1.0f, b, s.Rounding(s.mode.activation_round, out.dtype));
    for (const Tensor& t : {stats, shift, scaled}) s.flow.Free(t);
  });
  for (const Tensor& t : {factor, offset}) s.flow.Free(t);
  for (const auto& t : {mean, variance}) {
    if (t) s.flow.Free(*t);
  }
  if (!s.training) DropSaved(s, saved);
}

// dx = inverse * (a - mean a - normal * mean(a * normal)),  a = factor * dy
void NormalisationBackward(StepContext& s, const Layer& layer, Value& gradient, Normalised& saved,
                           const Layer* previous, Value& input, Value& below) {
  const Tensor& dy = InLayout(s, layer, gradient);
  const std::uint32_t along = Along(s, layer), tiles = s.Tiles(Spread(s, layer));
  s.flow.Label(layer.name + " weight gradient");
  const Tensor by_normal = s.flow.Sbuf("gradient by normalised", s.mode.gradients, {s.rows, tiles, along});
  ForNorm(s, layer, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
    const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, t0, count); };
    s.flow.Elementwise(VecFunc::kMul, part(by_normal), part(dy), part(*saved.normal));
  });
  if (previous) {
    s.flow.Label(layer.name + " input gradient");
    below = {previous->name + " output gradient", layer.units, s.mode.gradients};
    const Tensor dx = s.flow.Sbuf(below.name, below.dtype, {s.rows, tiles, along});
    (OverBatch(layer) ? below.f : below.b) = dx;
    const Tensor factor = LoadFactors(s, layer, layer.weights);
    const bool straight = previous->activation == Activation::kNone;
    const Narrowing narrow = s.Rounding(s.mode.gradient_round, s.mode.gradients);
    ForNorm(s, layer, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
      const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, t0, count); };
      const Tensor a = s.flow.Sbuf("a", Dtype::kFp32, {parts, count, along});
      const Tensor b = s.flow.Sbuf("b", Dtype::kFp32, {parts, count, along});
      const Tensor mean = s.flow.Sbuf("mean", Dtype::kFp32, {parts, count});
      const Tensor share = s.flow.Sbuf("share", Dtype::kFp32, {parts, count});
      s.flow.Elementwise(VecFunc::kMul, a, part(dy), FactorsOf(layer, factor, t0, count, parts));
      s.flow.Elementwise(VecFunc::kMul, b, a, part(*saved.normal));
      s.flow.Reduce(RedFunc::kSum, mean, a);
      s.flow.Reduce(RedFunc::kSum, share, b);
      s.flow.Act(ActFunc::kIdentity, mean, mean, 1.0f / static_cast<float>(along));
      s.flow.Act(ActFunc::kIdentity, share, share, -1.0f / static_cast<float>(along));
      for (std::uint32_t t = 0; t < count; ++t) {
        s.flow.TwoSteps(Pick(a, 1, t), Pick(part(*saved.normal), 1, t), {VecFunc::kMul, share.Slice(1, t, 1)},
                        {VecFunc::kAdd, Pick(a, 1, t)});
        s.flow.TwoSteps(straight ? Pick(part(dx), 1, t) : Pick(b, 1, t), Pick(a, 1, t),
                        {VecFunc::kSub, mean.Slice(1, t, 1)}, {VecFunc::kMul, part(saved.inverse).Slice(1, t, 1)},
                        straight ? narrow : Narrowing{});
      }
      if (!straight) {
        BackThroughActivation(s, previous->activation, part(dx), part(InLayout(s, layer, input.SlopeInput())), b);
      }
      for (const Tensor& t : {a, b, mean, share}) s.flow.Free(t);
    });
    s.flow.Free(factor);
  }
  s.flow.Label(layer.name + " weight gradient");
  UpdateBySumOverBatch(s, layer.weights, layer.units, by_normal);
  s.flow.Label(layer.name + " bias gradient");
  UpdateBySumOverBatch(s, *layer.bias, layer.units, dy);
  s.flow.Free(by_normal);
  DropSaved(s, saved);
}

}  // namespace dither::train
