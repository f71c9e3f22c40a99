// Activations, forward and back.
#include "sim/program/train/layers.hpp"

namespace dither::train {

using isa::ActFunc;
using isa::Dtype;
using isa::VecFunc;

ActFunc FuncOf(Activation a) {
  switch (a) {
    case Activation::kNone:
      return ActFunc::kIdentity;
    case Activation::kRelu:
      return ActFunc::kRelu;
    case Activation::kGelu:
      return ActFunc::kGelu;
    case Activation::kTanh:
      return ActFunc::kTanh;
    case Activation::kSigmoid:
      return ActFunc::kSigmoid;
    case Activation::kSilu:
      return ActFunc::kSilu;
  }
  return ActFunc::kIdentity;
}

ActFunc SlopeOf(Activation a) {
  switch (a) {
    case Activation::kGelu:
      return ActFunc::kGeluGrad;
    case Activation::kTanh:
      return ActFunc::kTanhGrad;
    case Activation::kSigmoid:
      return ActFunc::kSigmoidGrad;
    case Activation::kSilu:
      return ActFunc::kSigmoid;  // the rest by the vector engine
    default:
      return ActFunc::kIdentity;
  }
}

bool NeedsZ(Activation a) { return a != Activation::kNone && a != Activation::kRelu; }

Value NewOutput(StepContext& s, const Layer& layer, std::optional<Tensor> Value::*layout,
                const std::vector<std::uint32_t>& shape) {
  Value out{layer.name + " output", layer.units, s.mode.compute};
  out.*layout = s.flow.Sbuf(out.name, out.dtype, shape);
  if (s.training && NeedsZ(layer.activation)) {
    out.z.push_back({layer.name + " z", layer.units, s.mode.gradients});
    out.z[0].*layout = s.flow.Sbuf(out.z[0].name, s.mode.gradients, shape);
  }
  return out;
}

void ThroughActivation(StepContext& s, Activation activation, const Tensor& to, const std::optional<Tensor>& z,
                       const Tensor& sums, const std::optional<Tensor>& bias) {
  const float scale = 1 / s.mode.weight_scale;
  const Narrowing narrow = s.Rounding(s.mode.activation_round, to.dtype);
  if (bias) {
    s.flow.Act(FuncOf(activation), to, sums, scale, *bias, narrow);
    if (z) s.flow.TwoSteps(*z, sums, {VecFunc::kMul, scale}, {VecFunc::kAdd, *bias});
  } else {
    s.flow.Act(FuncOf(activation), to, sums, scale, -0.0f, narrow);
    if (z) s.flow.Elementwise(VecFunc::kMul, *z, sums, scale);
  }
}

void BackThroughActivation(StepContext& s, Activation activation, const Tensor& dz, const Tensor& y, const Tensor& dy) {
  Flow& flow = s.flow;
  const Narrowing narrow = s.Rounding(s.mode.gradient_round, s.mode.gradients);
  if (activation == Activation::kNone) {
    flow.Move(dz, dy, narrow);
  } else if (activation == Activation::kRelu) {
    flow.GateRelu(dz, y, dy, narrow);
  } else {
    const Tensor slope = flow.Sbuf("slope", Dtype::kFp32, dy.Shape());
    flow.Act(SlopeOf(activation), slope, y);
    if (activation == Activation::kSilu) {
      // g (1 + z (1 - g)) of the sigmoid g: silu, its derivative and the loss don't fit one table set.
      const Tensor t = flow.Sbuf("1 - sigmoid", Dtype::kFp32, dy.Shape());
      flow.TwoSteps(t, slope, {VecFunc::kMul, -1.0f}, {VecFunc::kAdd, 1.0f});
      flow.Elementwise(VecFunc::kMul, t, t, y);
      flow.TwoSteps(slope, t, {VecFunc::kAdd, 1.0f}, {VecFunc::kMul, slope});
      flow.Free(t);
    }
    flow.Elementwise(VecFunc::kMul, dz, slope, dy, narrow);
    flow.Free(slope);
  }
}

}  // namespace dither::train
