// The schedule of a step. Order of emission is the order of each queue; Flow makes the waits.
#include "sim/program/train/step.hpp"

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "sim/program/train/context.hpp"
#include "sim/program/train/layers.hpp"

namespace dither::train {
namespace {

class StepBuilder {
 public:
  StepBuilder(const isa::Config& config, const TrainerOptions& options, const Network& network, std::uint32_t batch,
              bool training)
      : s_(config, options, network, batch, training),
        layers_(network.layers),
        values_(layers_.size() + 1),
        normalised_(layers_.size()) {}

  StepProgram Build() {
    s_.flow.Label("constants");
    s_.identity = s_.flow.Sbuf("identity", s_.mode.compute, {s_.rows, s_.rows});
    s_.ones = s_.flow.Sbuf("ones", s_.mode.compute, {s_.rows, 1});
    LoadInput();
    s_.flow.Label("constants");
    s_.flow.Load(s_.identity, s_.net.identity);
    s_.flow.Load(s_.ones, s_.net.ones);
    std::uint32_t widest = 1;
    for (const Layer& layer : layers_) widest = std::max(widest, layer.units);
    s_.stripe_columns = std::min(kBank, s_.Tiles(widest) * s_.rows);
    s_.stripes.emplace(s_.flow, "weight stripe", s_.mode.compute, s_.stripe_columns, 6);

    Forward();
    if (s_.training) Backward();

    StepProgram made;
    for (const isa::Queue queue : isa::kAllQueue) {
      made.labels[static_cast<std::size_t>(queue)] = s_.flow.Labels(queue);
    }
    made.dram_read = s_.flow.DramRead();
    made.dram_written = s_.flow.DramWritten();
    made.array_columns = s_.array_columns;
    made.settings = std::move(s_.settings);
    made.program = s_.flow.Take();
    return made;
  }

 private:
  void LoadInput() {
    Value& x = values_[0];
    x = {"input", layers_.front().inputs, s_.mode.compute};
    if (layers_.front().kind == LayerKind::kConv) {
      const Geometry& g = layers_.front().geometry;
      x.picture = {g.channels, g.height, g.width};
      x.c = s_.flow.Sbuf("input", x.dtype, {g.channels, s_.batch, g.height, g.width});
      s_.flow.Load(x.c->Merge(2), s_.net.input->Slice(0, 0, s_.batch).Split(1, g.height * g.width).Transpose(0, 1));
      return;
    }
    x.b = s_.flow.Sbuf("input", x.dtype, {s_.rows, s_.Tiles(s_.batch), x.features});
    const std::vector<Tensor> lists = LoadLists(s_);
    // A copy a tile: the array may start with the first.
    for (std::uint32_t t = 0; s_.net.input && t < s_.Tiles(s_.batch); ++t) {
      const std::uint32_t parts = s_.Part(s_.batch, t);
      s_.flow.Load(Pick(x.b->Slice(0, 0, parts), 1, t).Slice(1, 0, s_.net.input->Size(1)),
                   s_.net.input->Slice(0, t * s_.rows, parts));
    }
    LookUp(s_, lists, x);
  }

  // values_[l] is the input of layer l; the last one is the gradient of the loss.
  void Forward() {
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const Layer& layer = layers_[l];
      s_.flow.Label(layer.name + " forward");
      if (l + 1 == layers_.size()) {
        OutputForward(s_, layer, values_[l], values_[l + 1]);
      } else if (layer.kind == LayerKind::kConv) {
        ConvolutionForward(s_, layer, values_[l], values_[l + 1]);
      } else if (layer.kind == LayerKind::kDense) {
        DenseForward(s_, layer, values_[l], values_[l + 1]);
      } else {
        NormalisationForward(s_, layer, values_[l], values_[l + 1], normalised_[l]);
      }
      if (!s_.training) {
        s_.Drop(values_[l]);
      } else if (l == 0 && values_[0].b && values_[0].f) {
        s_.DropF(values_[0]);  // nobody asks for the gradient of the input
      }
    }
  }

  void Backward() {
    // Nothing of this waits for the loss.
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      if (layers_[l].kind != LayerKind::kDense) continue;
      s_.flow.Label(layers_[l].name + " input transposed");
      s_.B(values_[l]);
    }
    Value gradient = values_.back();
    for (std::size_t l = layers_.size(); l-- > 0;) {
      const Layer& layer = layers_[l];
      const Layer* const previous = l > 0 ? &layers_[l - 1] : nullptr;
      Value below;
      if (layer.kind == LayerKind::kConv) {
        ConvolutionBackward(s_, layer, gradient, previous, values_[l], below);
      } else if (layer.kind == LayerKind::kDense) {
        DenseBackward(s_, layer, gradient, previous, values_[l], below);
      } else {
        NormalisationBackward(s_, layer, gradient, normalised_[l], previous, values_[l], below);
      }
      s_.Drop(gradient);
      s_.Drop(values_[l]);
      gradient = std::move(below);
    }
  }

  StepContext s_;
  const std::vector<Layer>& layers_;
  std::vector<Value> values_;
  std::vector<Normalised> normalised_;
};

}  // namespace

void StepProgram::Set(Knob knob, float value) {
  for (const Setting& s : settings) {
    if (s.knob != knob) continue;
    isa::Encoded& encoded = program[s.place.queue][s.place.index];
    isa::EngineInstr i = isa::DecodeEngineInstr(encoded);
    i.imm0 = std::bit_cast<std::uint32_t>(value);
    encoded = isa::Encode(i);
  }
}

StepProgram BuildTrainStep(const isa::Config& config, const TrainerOptions& options, const Network& network,
                           std::uint32_t batch) {
  return StepBuilder(config, options, network, batch, true).Build();
}

StepProgram BuildEvaluation(const isa::Config& config, const TrainerOptions& options, const Network& network,
                            std::uint32_t batch) {
  return StepBuilder(config, options, network, batch, false).Build();
}

}  // namespace dither::train
