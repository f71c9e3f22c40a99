// Weights and state: SGD with momentum, Adam, decoupled decay.
#include "sim/program/train/update.hpp"

namespace dither::train {

using isa::ActFunc;
using isa::Dtype;
using isa::Queue;
using isa::VecFunc;

ParameterUpdate::ParameterUpdate(StepContext& s, const Parameter& parameter, std::uint32_t elements)
    : s_(s),
      parameter_(parameter),
      optimizer_(s.options.optimizer),
      weight_narrow_(s.Rounding(s.mode.weight_round, s.mode.weights)),
      state_narrow_(s.Rounding(s.mode.weight_round, s.mode.state)) {
  // Fewer slots, and so less overlap, where memory is short.
  for (slots_ = 4;; --slots_) {
    try {
      TakeSlots(elements);
      return;
    } catch (const ProgramError&) {
      Close();
      if (slots_ == 1) throw;
    }
  }
}

void ParameterUpdate::TakeSlots(std::uint32_t elements) {
  const NumericMode& mode = s_.mode;
  weights_.emplace(s_.flow, "weights being updated", mode.weights, elements, slots_);
  for (std::size_t n = 0; n < parameter_.state.size(); ++n) {
    states_.emplace_back(s_.flow, "optimiser state", mode.state, elements, slots_);
  }
  if (parameter_.copy) copies_.emplace(s_.flow, "copy of weights", mode.compute, elements, std::min(slots_, 2u));
  if (Adam() || Decays()) temporary_.emplace(s_.flow, "update", Dtype::kFp32, elements, std::min(slots_, 3u));
}

void ParameterUpdate::Close() {
  FinishPart();
  for (Ring& ring : states_) ring.Free(s_.flow);
  states_.clear();
  for (std::optional<Ring>* ring : {&weights_, &copies_, &temporary_}) {
    if (*ring) (*ring)->Free(s_.flow);
    ring->reset();
  }
}

bool ParameterUpdate::Adam() const { return optimizer_.kind != OptimizerSpec::Kind::kSgd; }
bool ParameterUpdate::Decays() const { return parameter_.decays && optimizer_.weight_decay != 0; }

void ParameterUpdate::Part(const View& view, const Tensor& gradient) {
  // In the order of DRAM, where a tile's rows touch: [tile][partition][...].
  const auto turned = [](const Tensor& t) { return t.dims.size() == 3 ? t.Transpose(0, 1) : t; };
  PartBy([=, this](const Tensor& to, const Tensor& dram) { s_.flow.Load(turned(to), turned(view(dram))); },
         [=, this](const Tensor& dram, const Tensor& from) { s_.flow.Store(turned(view(dram)), turned(from)); },
         gradient);
}

void ParameterUpdate::PartBy(const Copy& load, const Copy& store, const Tensor& gradient) {
  const std::vector<std::uint32_t> shape = gradient.Shape();
  const Tensor w = weights_->Next(shape);
  load(w, parameter_.value);
  std::vector<Tensor> state;
  for (std::size_t n = 0; n < parameter_.state.size(); ++n) {
    state.push_back(states_[n].Next(shape));
    load(state[n], parameter_.state[n]);
  }
  std::optional<Tensor> u;
  if (temporary_) u = temporary_->Next(shape);
  if (Adam()) {
    BeginAdam(gradient, state, *u);
  } else {
    BeginSgd(gradient, w, state, u);
  }
  // What waits for the other engine comes behind the beginning of the next part.
  FinishPart();
  finish_ = [=, this] {
    if (Adam()) EndAdam(w, state, *u);
    for (std::size_t n = 0; n < state.size(); ++n) store(parameter_.state[n], state[n]);
    store(parameter_.value, w);
    if (parameter_.copy) StoreCopy(w, store);
  };
  if (slots_ == 1) FinishPart();
}

void ParameterUpdate::FinishPart() {
  if (finish_) finish_();
  finish_ = {};
}

// m = momentum * m + g, w = keep * w + minus_rate * m; without momentum g is m. All of it: nothing here
// waits for long.
void ParameterUpdate::BeginSgd(const Tensor& gradient, const Tensor& w, const std::vector<Tensor>& state,
                               const std::optional<Tensor>& u) {
  Flow& flow = s_.flow;
  Tensor step = gradient;
  if (!state.empty()) {
    flow.MulAdd(state[0], state[0], optimizer_.momentum, gradient, state_narrow_);
    step = state[0];
  }
  if (Decays()) {
    flow.Act(ActFunc::kIdentity, *u, step, -1.0f);
    Set(flow.Last(Queue::kScalar), Knob::kMinusRate);
    Set(flow.MulAdd(w, w, 1.0f, *u, weight_narrow_), Knob::kKeep);
  } else {
    Set(flow.MulAdd(w, step, -1.0f, w, weight_narrow_), Knob::kMinusRate);
  }
}

// Moments without their factors 1 - beta, which stand in the two numbers that change with the step:
// m = beta1 m + g, v = beta2 v + g^2, w = keep * w + minus_rate * m / (sqrt(variance * v) + epsilon).
// u becomes the reciprocal.
void ParameterUpdate::BeginAdam(const Tensor& gradient, const std::vector<Tensor>& state, const Tensor& u) {
  Flow& flow = s_.flow;
  flow.MulAdd(state[0], state[0], optimizer_.beta1, gradient, state_narrow_);
  flow.Elementwise(VecFunc::kMul, u, gradient, gradient);
  flow.MulAdd(state[1], state[1], optimizer_.beta2, u, state_narrow_);
  flow.Act(ActFunc::kSqrt, u, state[1], 1.0f);
  Set(flow.Last(Queue::kScalar), Knob::kVariance);
  flow.Act(ActFunc::kReciprocal, u, u, 1.0f, optimizer_.epsilon * s_.mode.loss_scale);
}

void ParameterUpdate::EndAdam(const Tensor& w, const std::vector<Tensor>& state, const Tensor& u) {
  Flow& flow = s_.flow;
  if (Decays()) {
    flow.TwoSteps(u, state[0], {VecFunc::kMul, -1.0f}, {VecFunc::kMul, u});
    Set(flow.Last(Queue::kVector), Knob::kMinusRate);
    Set(flow.MulAdd(w, w, 1.0f, u, weight_narrow_), Knob::kKeep);
  } else {
    flow.Elementwise(VecFunc::kMul, u, state[0], u);
    Set(flow.MulAdd(w, u, -1.0f, w, weight_narrow_), Knob::kMinusRate);
  }
}

// What the products of the next step read.
void ParameterUpdate::StoreCopy(const Tensor& w, const Copy& store) {
  const Tensor copy = copies_->Next(w.Shape());
  const Narrowing narrow = s_.Rounding(isa::Round::kRne, s_.mode.compute);
  if (parameter_.copy_scale == 1) {
    s_.flow.Move(copy, w, narrow);
  } else {
    s_.flow.Act(ActFunc::kIdentity, copy, w, parameter_.copy_scale, -0.0f, narrow);
  }
  store(*parameter_.copy, copy);
}

void UpdateBySumOverBatch(StepContext& s, const Parameter& parameter, std::uint32_t units, const Tensor& gradient) {
  const std::string name = parameter.name + " gradient";
  if (!parameter.tiled) {
    ParameterUpdate update(s, parameter, units);
    const Tensor sums = s.flow.Psum(name, 1, units);
    for (std::uint32_t n = 0; n < s.Tiles(s.batch); ++n) {
      const std::uint32_t height = s.Part(s.batch, n);
      s.flow.Product(sums, s.ones.Slice(0, 0, height), Pick(gradient.Slice(0, 0, height), 1, n), n > 0);
    }
    update.Part([](const Tensor& t) { return t; }, sums);
    update.Close();
  } else {
    ParameterUpdate update(s, parameter, s.Tiles(units));
    const Tensor sums = s.flow.Sbuf(name, Dtype::kFp32, {s.rows, s.Tiles(units)});
    ForTiles(units, s.rows, kBank, [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
      const auto view = [=](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, first, count); };
      s.flow.Reduce(isa::RedFunc::kSum, view(sums), view(gradient));
      update.Part(view, view(sums));
    });
    s.flow.Free(sums);
    update.Close();
  }
}

}  // namespace dither::train
