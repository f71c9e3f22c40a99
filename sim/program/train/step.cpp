// The schedule of a step. Order of emission is the order of each queue; Flow makes the waits.
#include "sim/program/train/step.hpp"

#include <algorithm>
#include <bit>

namespace dither::train {
namespace {

using isa::ActFunc;
using isa::Dtype;
using isa::Queue;
using isa::RedFunc;
using isa::VecFunc;

constexpr std::uint32_t kBank = isa::kPsumBankWords;
constexpr std::uint32_t kGroupBanks = isa::kPsumBanks / 2;  // the others are being emptied

// Index `index` of dimension `dim`, which goes away.
Tensor Pick(const Tensor& t, std::size_t dim, std::uint32_t index) {
  Tensor one = t.Slice(dim, index, 1);
  one.dims.erase(one.dims.begin() + static_cast<std::ptrdiff_t>(dim));
  return one;
}

// Calls f(first tile, tiles, elements of each): the whole tiles in groups of at most `group`, then the
// one that is not whole.
template <typename F>
void ForTiles(std::uint32_t total, std::uint32_t rows, std::uint32_t group, F&& f) {
  const std::uint32_t whole = total / rows;
  for (std::uint32_t t = 0; t < whole; t += group) f(t, std::min(group, whole - t), rows);
  if (total % rows != 0) f(whole, 1u, total % rows);
}

// Activations or their gradients on chip, in one layout or both.
struct Value {
  std::string name;
  std::uint32_t features = 0;
  Dtype dtype = Dtype::kBf16;
  std::optional<Tensor> f;  // [rows][feature tiles][batch]
  std::optional<Tensor> b;  // [rows][batch tiles][features]
};

// Slots in SBUF that are used in turn.
class Ring {
 public:
  Ring(Flow& flow, const std::string& name, Dtype dtype, std::uint32_t elements, std::uint32_t slots)
      : rows_(flow.rows()) {
    for (std::uint32_t s = 0; s < slots; ++s) {
      slots_.push_back(flow.Sbuf(name, dtype, {rows_, elements}));
    }
  }
  // The next slot as a tensor of this shape.
  Tensor Next(const std::vector<std::uint32_t>& shape) {
    const Tensor& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    return Tensor::OnChip(slot.name, Place::kSbuf, slot.dtype, 0, slot.address, shape);
  }
  void Free(Flow& flow) {
    for (const Tensor& slot : slots_) flow.Free(slot);
    slots_.clear();
  }

 private:
  std::uint32_t rows_;
  std::vector<Tensor> slots_;
  std::size_t next_ = 0;
};

class StepBuilder {
 public:
  StepBuilder(const isa::Config& config, const TrainerOptions& options, const Network& network,
              std::uint32_t batch, bool training)
      : flow_(config),
        options_(options),
        mode_(options.mode),
        net_(network),
        rows_(config.rows),
        batch_(batch),
        training_(training) {
    if (batch == 0 || batch > kBank) {
      throw TrainError("batch " + std::to_string(batch) + ": 1 to " + std::to_string(kBank) +
                       " are possible, a PSUM bank holds the sums of " + std::to_string(kBank));
    }
  }

  StepProgram Build() {
    flow_.Label("constants");
    identity_ = flow_.Sbuf("identity", mode_.compute, {rows_, rows_});
    ones_ = flow_.Sbuf("ones", mode_.compute, {rows_, 1});
    std::vector<Value> values(net_.layers.size() + 1);
    LoadInput(values[0]);
    flow_.Load(identity_, net_.identity);
    flow_.Load(ones_, net_.ones);
    std::uint32_t widest = 1;
    for (const DenseLayer& layer : net_.layers) widest = std::max(widest, layer.units);
    const std::uint32_t stripe = std::min(kBank, (widest + rows_ - 1) / rows_ * rows_);
    weights_.emplace(flow_, "weight stripe", mode_.compute, stripe, 6);
    stripe_columns_ = stripe;

    for (std::size_t l = 0; l < net_.layers.size(); ++l) {
      const DenseLayer& layer = net_.layers[l];
      flow_.Label(layer.name + " forward");
      if (l + 1 < net_.layers.size()) {
        Forward(layer, values[l], values[l + 1]);
        // Further on the input is wanted with the batch on partitions, if at all.
        if (!training_) DropB(values[l]);
        if (values[l].b || !training_) DropF(values[l], l > 0);
      } else {
        LastForward(layer, values[l], values[l + 1]);
      }
    }
    if (training_) Backward(values);

    StepProgram made;
    for (const Queue queue : isa::kAllQueue) {
      made.labels[static_cast<std::size_t>(queue)] = flow_.Labels(queue);
    }
    made.dram_read = flow_.DramRead();
    made.dram_written = flow_.DramWritten();
    made.array_columns = columns_;
    made.settings = settings_;
    made.program = flow_.Take();
    return made;
  }

 private:
  std::uint32_t Tiles(std::uint32_t elements) const { return (elements + rows_ - 1) / rows_; }
  std::uint32_t Part(std::uint32_t total, std::uint32_t tile) const {
    return std::min(rows_, total - tile * rows_);
  }
  Narrowing Rounding(isa::Round round, Dtype dtype) const {
    // fp8 has no infinity worth having.
    return {round, dtype == Dtype::kFp8E4M3 || dtype == Dtype::kFp8E5M2};
  }

  // ---- layouts
  void LoadInput(Value& x) {
    x = {"input", net_.layers.front().inputs, mode_.compute, {}, {}};
    x.b = flow_.Sbuf("input", x.dtype, {rows_, Tiles(batch_), x.features});
    // A copy a tile: the array may start with the first.
    for (std::uint32_t t = 0; t < Tiles(batch_); ++t) {
      const std::uint32_t parts = Part(batch_, t);
      flow_.Load(Pick(x.b->Slice(0, 0, parts), 1, t), net_.input.Slice(0, t * rows_, parts));
    }
  }
  void DropF(Value& v, bool is_needed_later) {
    if (v.f && !is_needed_later) {
      flow_.Free(*v.f);
      v.f.reset();
    }
  }
  void DropB(Value& v) {
    if (v.b) {
      flow_.Free(*v.b);
      v.b.reset();
    }
  }
  void Drop(Value& v) {
    DropF(v, false);
    DropB(v);
  }

  const Tensor& F(Value& v) {
    if (v.f) return *v.f;
    v.f = flow_.Sbuf(v.name, v.dtype, {rows_, Tiles(v.features), batch_});
    ForTiles(v.features, rows_, kBank / batch_, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
      const Tensor sums = flow_.Psum(v.name + " transposed", parts, count * batch_).Split(1, batch_);
      for (std::uint32_t t = 0; t < count; ++t) {
        for (std::uint32_t n = 0; n < Tiles(batch_); ++n) {
          const std::uint32_t height = Part(batch_, n);
          flow_.Product(Pick(sums, 1, t).Slice(1, n * rows_, height),
                        Pick(v.b->Slice(0, 0, height), 1, n).Slice(1, (t0 + t) * rows_, parts),
                        identity_.Slice(0, 0, height).Slice(1, 0, height), false);
        }
      }
      flow_.Move(v.f->Slice(0, 0, parts).Slice(1, t0, count), sums);
    });
    return *v.f;
  }

  const Tensor& B(Value& v) {
    if (v.b) return *v.b;
    v.b = flow_.Sbuf(v.name, v.dtype, {rows_, Tiles(batch_), v.features});
    const std::uint32_t block = std::min(v.features, kBank / rows_ * rows_);
    ForTiles(batch_, rows_, kBank / block, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
      for (std::uint32_t m0 = 0; m0 < v.features; m0 += block) {
        const std::uint32_t columns = std::min(block, v.features - m0);
        const Tensor sums = flow_.Psum(v.name + " transposed", parts, count * columns).Split(1, columns);
        for (std::uint32_t n = 0; n < count; ++n) {
          for (std::uint32_t m = m0; m < m0 + columns; m += rows_) {
            const std::uint32_t height = std::min(rows_, v.features - m);
            flow_.Product(Pick(sums, 1, n).Slice(1, m - m0, height),
                          Pick(v.f->Slice(0, 0, height), 1, m / rows_).Slice(1, (n0 + n) * rows_, parts),
                          identity_.Slice(0, 0, height).Slice(1, 0, height), false);
          }
        }
        flow_.Move(v.b->Slice(0, 0, parts).Slice(1, n0, count).Slice(2, m0, columns), sums);
      }
    });
    return *v.b;
  }

  // ---- forward
  Tensor LoadStripe(const DenseLayer& layer, std::uint32_t tile, std::uint32_t m0, std::uint32_t columns) {
    const std::uint32_t parts = Part(layer.inputs, tile);
    const Tensor slot = weights_->Next({parts, columns});
    flow_.Load(slot, layer.weights.Read().Slice(0, tile * rows_, parts).Slice(1, m0, columns));
    return slot;
  }

  ActFunc Func(const DenseLayer& layer) const {
    switch (layer.activation) {
      case Activation::kNone: return ActFunc::kIdentity;
      case Activation::kRelu: return ActFunc::kRelu;
      default: throw TrainError(layer.name + ": no such activation yet");
    }
  }

  void Forward(const DenseLayer& layer, Value& in, Value& out) {
    const Tensor& x = F(in);
    out = {layer.name + " output", layer.units, mode_.compute, {}, {}};
    out.f = flow_.Sbuf(out.name, out.dtype, {rows_, Tiles(layer.units), batch_});
    std::optional<Tensor> bias;
    if (layer.bias) {
      bias = flow_.Sbuf(layer.name + " bias", layer.bias->value.dtype, {rows_, Tiles(layer.units)});
      flow_.Load(*bias, layer.bias->value);
    }
    const std::uint32_t per_bank = kBank / batch_;
    const std::uint32_t group = std::min(kGroupBanks * per_bank, stripe_columns_ / rows_);
    const std::uint32_t tiles = Tiles(layer.units), stripes = Tiles(layer.inputs);
    for (std::uint32_t t0 = 0; t0 < tiles; t0 += group) {
      const std::uint32_t t1 = std::min(tiles, t0 + group);
      const std::uint32_t m0 = t0 * rows_, columns = std::min(layer.units, t1 * rows_) - m0;
      std::vector<Tensor> banks;
      for (std::uint32_t t = t0; t < t1; t += per_bank) {
        banks.push_back(flow_.Psum(layer.name + " sums", rows_, std::min(per_bank, t1 - t) * batch_)
                            .Split(1, batch_));
      }
      for (std::uint32_t k = 0; k < stripes; ++k) {
        const Tensor w = LoadStripe(layer, k, m0, columns);
        const std::uint32_t depth = Part(layer.inputs, k);
        for (std::uint32_t t = t0; t < t1; ++t) {
          const std::uint32_t height = Part(layer.units, t);
          Product(Pick(banks[(t - t0) / per_bank].Slice(0, 0, height), 1, (t - t0) % per_bank),
                  w.Slice(1, (t - t0) * rows_, height), Pick(x.Slice(0, 0, depth), 1, k), k > 0);
        }
      }
      // Whole tiles of a bank together, the last one of the layer by itself if it is not whole.
      for (std::uint32_t t = t0; t < t1; t += per_bank) {
        const Tensor& sums = banks[(t - t0) / per_bank];
        ForTiles(std::min(layer.units, std::min(t1, t + per_bank) * rows_) - t * rows_, rows_, kBank,
                 [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
                   const Tensor from = sums.Slice(0, 0, parts).Slice(1, first, count);
                   const Tensor to = out.f->Slice(0, 0, parts).Slice(1, t + first, count);
                   const float scale = 1 / mode_.weight_scale;
                   const Narrowing narrow = Rounding(mode_.activation_round, out.dtype);
                   if (bias) {
                     flow_.Act(Func(layer), to, from, scale,
                               bias->Slice(0, 0, parts).Slice(1, t + first, count).Insert(2), narrow);
                   } else {
                     flow_.Act(Func(layer), to, from, scale, -0.0f, narrow);
                   }
                 });
      }
    }
    if (bias) flow_.Free(*bias);
  }

  // The last layer, its outputs with the batch on partitions, and at once the loss and its gradient.
  void LastForward(const DenseLayer& layer, Value& in, Value& gradient) {
    const Tensor& x = F(in);
    const std::uint32_t units = layer.units;
    if (units > kBank) {
      throw TrainError(layer.name + ": " + std::to_string(units) + " outputs, " + std::to_string(kBank) +
                       " are possible");
    }
    std::optional<Tensor> bias;
    if (layer.bias) {
      bias = flow_.Sbuf(layer.name + " bias", layer.bias->value.dtype, {rows_, units});
      Tensor row = layer.bias->value;  // every partition gets it
      row.dims[0] = {rows_, 0, 0};
      flow_.Load(*bias, row);
    }
    PrepareLoss();
    gradient = {layer.name + " output gradient", units, mode_.gradients, {}, {}};
    if (training_) gradient.b = flow_.Sbuf(gradient.name, gradient.dtype, {rows_, Tiles(batch_), units});

    const std::uint32_t per_bank = kBank / units;
    const std::uint32_t group = kGroupBanks * per_bank;
    bool first = true;
    const std::uint32_t whole = batch_ / rows_;
    ForTiles(batch_, rows_, group, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
      flow_.Label(layer.name + " forward");
      std::vector<Tensor> banks;
      for (std::uint32_t n = 0; n < count; n += per_bank) {
        banks.push_back(flow_.Psum(layer.name + " sums", parts, std::min(per_bank, count - n) * units)
                            .Split(1, units));
      }
      for (std::uint32_t k = 0; k < Tiles(layer.inputs); ++k) {
        const Tensor w = LoadStripe(layer, k, 0, units);
        const std::uint32_t depth = Part(layer.inputs, k);
        for (std::uint32_t n = 0; n < count; ++n) {
          Product(Pick(banks[n / per_bank], 1, n % per_bank),
                  Pick(x.Slice(0, 0, depth), 1, k).Slice(1, (n0 + n) * rows_, parts), w, k > 0);
        }
      }
      const Tensor z = flow_.Sbuf(layer.name + " z", Dtype::kFp32, {parts, count, units});
      for (std::uint32_t n = 0; n < count; n += per_bank) {
        const std::uint32_t here = std::min(per_bank, count - n);
        const Tensor to = z.Slice(1, n, here);
        if (bias) {
          flow_.Act(Func(layer), to, banks[n / per_bank], 1 / mode_.weight_scale,
                    bias->Slice(0, 0, parts).Insert(1));
        } else {
          flow_.Act(Func(layer), to, banks[n / per_bank], 1 / mode_.weight_scale);
        }
      }
      flow_.Label("loss");
      LossOf(z, n0, first, n0 + count == whole + (batch_ % rows_ != 0 ? 1u : 0u), gradient);
      flow_.Free(z);
      first = false;
    });
    if (bias) flow_.Free(*bias);
    FinishLoss();
  }

  // ---- loss
  void PrepareLoss() {
    flow_.Label("loss");
    loss_sum_ = flow_.Psum("loss", 1, 1);
    per_example_ = flow_.Sbuf("loss of each example", Dtype::kFp32, {rows_, Tiles(batch_)});
  }

  // z: fp32 [parts][tiles][outputs] of the batch tiles from n0 on.
  void LossOf(const Tensor& z, std::uint32_t n0, bool first, bool last, Value& gradient) {
    (void)last;
    const std::uint32_t parts = z.Size(0), count = z.Size(1), outputs = z.Size(2);
    if (options_.model.loss == Loss::kMeanSquare) {
      const Tensor t = flow_.Sbuf("targets", Dtype::kFp32, {parts, count, outputs});
      flow_.Load(t.Transpose(0, 1), net_.targets->Slice(0, n0 * rows_, count * parts).Split(0, parts));
      flow_.Elementwise(VecFunc::kSub, t, z, t);  // z - target
      const float mean = 1.0f / (static_cast<float>(batch_) * static_cast<float>(outputs));
      if (training_) {
        flow_.Act(ActFunc::kIdentity, gradient.b->Slice(0, 0, parts).Slice(1, n0, count), t,
                  2 * mean * mode_.loss_scale, -0.0f, Rounding(mode_.gradient_round, gradient.dtype));
      }
      flow_.Elementwise(VecFunc::kMul, t, t, t);
      flow_.Reduce(RedFunc::kSum, per_example_.Slice(0, 0, parts).Slice(1, n0, count), t);
      flow_.Elementwise(VecFunc::kMul, per_example_.Slice(0, 0, parts).Slice(1, n0, count),
                        per_example_.Slice(0, 0, parts).Slice(1, n0, count), mean);
      flow_.Free(t);
    } else {
      throw TrainError("softmax cross entropy: not yet");
    }
    for (std::uint32_t n = 0; n < count; ++n) {
      flow_.Product(loss_sum_, per_example_.Slice(0, 0, parts).Slice(1, n0 + n, 1),
                    ones_.Slice(0, 0, parts), !first || n > 0);
    }
  }

  void FinishLoss() {
    flow_.Label("loss");
    const Tensor sum = flow_.Sbuf("loss", Dtype::kFp32, {1, 1});
    flow_.Move(sum, loss_sum_);
    flow_.Store(net_.loss, sum);
    flow_.Free(sum);
    flow_.Free(per_example_);
  }

  // ---- backward
  void Backward(std::vector<Value>& values) {
    // Nothing of this waits for the loss.
    for (std::size_t l = 0; l < net_.layers.size(); ++l) {
      flow_.Label(net_.layers[l].name + " input transposed");
      B(values[l]);
    }
    Value gradient = values.back();
    for (std::size_t l = net_.layers.size(); l-- > 0;) {
      const DenseLayer& layer = net_.layers[l];
      Value below;
      if (l > 0) {
        flow_.Label(layer.name + " gradient transposed");
        F(gradient);
        flow_.Label(layer.name + " input gradient");
        InputGradient(layer, gradient, net_.layers[l - 1], values[l], below);
        DropF(values[l], false);
      }
      flow_.Label(layer.name + " gradient transposed");
      B(gradient);
      flow_.Label(layer.name + " weight gradient");
      WeightGradient(layer, values[l], gradient);
      if (layer.bias) {
        flow_.Label(layer.name + " bias gradient");
        BiasGradient(layer, gradient);
      }
      Drop(gradient);
      DropB(values[l]);
      gradient = std::move(below);
    }
  }

  // below.f = (transposed weights * gradient.f) through the activation that made `input`.
  void InputGradient(const DenseLayer& layer, Value& gradient, const DenseLayer& previous, Value& input,
                     Value& below) {
    const Tensor& dy = *gradient.f;
    below = {previous.name + " output gradient", layer.inputs, mode_.gradients, {}, {}};
    below.f = flow_.Sbuf(below.name, below.dtype, {rows_, Tiles(layer.inputs), batch_});
    // Exact there: the weights, or their scaled copy with the scale taken out again.
    const Dtype exact = mode_.weight_scale == 1 ? mode_.compute : Dtype::kBf16;
    const std::uint32_t m_tiles = Tiles(layer.units);
    Ring turned(flow_, layer.name + " transposed weights", exact, m_tiles * rows_, 2);
    const std::uint32_t per_bank = kBank / batch_;
    const std::uint32_t stripes = Tiles(layer.inputs);

    const auto turn = [&](std::uint32_t k) {
      const std::uint32_t depth = Part(layer.inputs, k);
      const Tensor wt = turned.Next({rows_, m_tiles, depth});
      const std::uint32_t block = std::min(stripe_columns_, kBank / rows_ * rows_);
      for (std::uint32_t m0 = 0; m0 < layer.units; m0 += block) {
        const std::uint32_t columns = std::min(block, layer.units - m0);
        const Tensor w = LoadStripe(layer, k, m0, columns);
        const Tensor sums = flow_.Psum(layer.name + " transposed", rows_, Tiles(columns) * depth)
                                .Split(1, depth);
        for (std::uint32_t t = 0; t < Tiles(columns); ++t) {
          const std::uint32_t height = Part(columns, t);
          flow_.Product(Pick(sums.Slice(0, 0, height), 1, t), w.Slice(1, t * rows_, height),
                        identity_.Slice(0, 0, depth).Slice(1, 0, depth), false);
        }
        ForTiles(columns, rows_, kBank, [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
          const Tensor to = wt.Slice(0, 0, parts).Slice(1, m0 / rows_ + first, count);
          const Tensor from = sums.Slice(0, 0, parts).Slice(1, first, count);
          if (mode_.weight_scale == 1) {
            flow_.Move(to, from);
          } else {
            flow_.Act(ActFunc::kIdentity, to, from, 1 / mode_.weight_scale);
          }
        });
      }
      return wt;
    };

    Tensor next = turn(0), sums;
    std::uint32_t in_bank = 0;
    for (std::uint32_t k = 0; k < stripes; ++k) {
      const Tensor wt = next;
      if (k + 1 < stripes) next = turn(k + 1);
      const std::uint32_t depth = Part(layer.inputs, k);
      if (in_bank == 0) {
        sums = flow_.Psum(below.name, rows_, std::min(per_bank, stripes - k) * batch_).Split(1, batch_);
      }
      for (std::uint32_t m = 0; m < m_tiles; ++m) {
        const std::uint32_t height = Part(layer.units, m);
        Product(Pick(sums.Slice(0, 0, depth), 1, in_bank), Pick(wt.Slice(0, 0, height), 1, m),
                Pick(dy.Slice(0, 0, height), 1, m), m > 0);
      }
      ++in_bank;
      if (in_bank == per_bank || k + 1 == stripes) {
        const std::uint32_t k0 = k + 1 - in_bank;
        ForTiles(std::min(layer.inputs, (k + 1) * rows_) - k0 * rows_, rows_, kBank,
                 [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
                   ThroughActivation(previous, below.f->Slice(0, 0, parts).Slice(1, k0 + first, count),
                                     input.f->Slice(0, 0, parts).Slice(1, k0 + first, count),
                                     sums.Slice(0, 0, parts).Slice(1, first, count));
                 });
        in_bank = 0;
      }
    }
    turned.Free(flow_);
  }

  // dz = dy * derivative; y is the activation's output.
  void ThroughActivation(const DenseLayer& layer, const Tensor& dz, const Tensor& y, const Tensor& dy) {
    const Narrowing narrow = Rounding(mode_.gradient_round, mode_.gradients);
    switch (layer.activation) {
      case Activation::kNone: flow_.Cast(dz, dy, narrow); break;
      case Activation::kRelu: flow_.GateRelu(dz, y, dy, narrow); break;
      default: throw TrainError(layer.name + ": no such activation yet");
    }
  }

  // dW[k][m] = sum over the batch of x.b[n][k] * dy.b[n][m], straight into the update.
  void WeightGradient(const DenseLayer& layer, Value& input, Value& gradient) {
    const Tensor &x = *input.b, &dy = *gradient.b;
    const std::uint32_t block = std::min(layer.units, kBank);
    const std::uint32_t per_bank = kBank / block;
    OpenUpdate(std::min(per_bank, Tiles(layer.inputs)) * block);
    ForTiles(layer.inputs, rows_, per_bank, [&](std::uint32_t k0, std::uint32_t count, std::uint32_t parts) {
      for (std::uint32_t m0 = 0; m0 < layer.units; m0 += block) {
        const std::uint32_t columns = std::min(block, layer.units - m0);
        const Tensor sums =
            flow_.Psum(layer.name + " weight gradient", parts, count * columns).Split(1, columns);
        for (std::uint32_t k = 0; k < count; ++k) {
          for (std::uint32_t n = 0; n < Tiles(batch_); ++n) {
            const std::uint32_t height = Part(batch_, n);
            Product(Pick(sums, 1, k),
                    Pick(x.Slice(0, 0, height), 1, n).Slice(1, (k0 + k) * rows_, parts),
                    Pick(dy.Slice(0, 0, height), 1, n).Slice(1, m0, columns), n > 0);
          }
        }
        const auto view = [&](const Tensor& t) {
          return t.Slice(0, k0 * rows_, count * parts).Slice(1, m0, columns).Split(0, parts).Transpose(0, 1);
        };
        Update(layer.weights, view, sums);
      }
    });
    CloseUpdate();
  }

  void BiasGradient(const DenseLayer& layer, Value& gradient) {
    const Parameter& bias = *layer.bias;
    OpenUpdate(std::max(layer.batch_on_partitions ? layer.units : Tiles(layer.units), 1u));
    if (layer.batch_on_partitions) {
      const Tensor sums = flow_.Psum(layer.name + " bias gradient", 1, layer.units);
      for (std::uint32_t n = 0; n < Tiles(batch_); ++n) {
        const std::uint32_t height = Part(batch_, n);
        flow_.Product(sums, ones_.Slice(0, 0, height), Pick(gradient.b->Slice(0, 0, height), 1, n), n > 0);
      }
      Update(bias, [](const Tensor& t) { return t; }, sums);
    } else {
      const Tensor sums = flow_.Sbuf(layer.name + " bias gradient", Dtype::kFp32, {rows_, Tiles(layer.units)});
      ForTiles(layer.units, rows_, kBank, [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
        const auto view = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, first, count); };
        flow_.Reduce(RedFunc::kSum, view(sums), view(*gradient.f));
        Update(bias, view, view(sums));
      });
      flow_.Free(sums);
    }
    CloseUpdate();
  }

  // ---- update
  void OpenUpdate(std::uint32_t elements) {
    constexpr std::uint32_t kSlots = 4;
    updated_.emplace(flow_, "weights being updated", mode_.weights, elements, kSlots);
    if (options_.optimizer.momentum != 0) {
      momentum_.emplace(flow_, "momentum", mode_.state, elements, kSlots);
    }
    if (mode_.compute != mode_.weights) {
      copies_.emplace(flow_, "copy of weights", mode_.compute, elements, 2);
    }
  }
  void CloseUpdate() {
    for (std::optional<Ring>* ring : {&updated_, &momentum_, &copies_}) {
      if (*ring) (*ring)->Free(flow_);
      ring->reset();
    }
  }

  // view(t): the part of a DRAM tensor that goes with `gradient`, in the same shape.
  template <typename View>
  void Update(const Parameter& parameter, View&& view, const Tensor& gradient) {
    const OptimizerSpec& opt = options_.optimizer;
    const Narrowing weight_narrow = Rounding(mode_.weight_round, mode_.weights);
    const std::vector<std::uint32_t> shape = gradient.Shape();
    const Tensor w = updated_->Next(shape);
    flow_.Load(w, view(parameter.value));
    Tensor step = gradient;
    if (momentum_) {
      const Tensor m = momentum_->Next(shape);
      flow_.Load(m, view(parameter.state[0]));
      flow_.MulAdd(m, m, opt.momentum, gradient, Rounding(mode_.weight_round, mode_.state));
      flow_.Store(view(parameter.state[0]), m);
      step = m;
    }
    settings_.push_back({flow_.MulAdd(w, step, -opt.rate / mode_.loss_scale, w, weight_narrow), Knob::kMinusRate});
    flow_.Store(view(parameter.value), w);
    if (parameter.copy) {
      const Tensor copy = copies_->Next(shape);
      const Narrowing narrow = Rounding(isa::Round::kRne, mode_.compute);
      if (mode_.weight_scale == 1) {
        flow_.Move(copy, w, narrow);
      } else {
        flow_.Act(ActFunc::kIdentity, copy, w, mode_.weight_scale, -0.0f, narrow);
      }
      flow_.Store(view(*parameter.copy), copy);
    }
  }

  // A product that counts as work of the network.
  void Product(const Tensor& dst, const Tensor& stationary, const Tensor& moving, bool accumulate) {
    flow_.Product(dst, stationary, moving, accumulate);
    columns_ += moving.Elements() / moving.Size(0) * PiecesOf(stationary.dtype) * PiecesOf(moving.dtype);
  }

  Flow flow_;
  const TrainerOptions& options_;
  const NumericMode& mode_;
  const Network& net_;
  const std::uint32_t rows_, batch_;
  const bool training_;
  Tensor identity_, ones_, loss_sum_, per_example_;
  std::uint32_t stripe_columns_ = 0;
  std::optional<Ring> weights_, updated_, momentum_, copies_;
  std::vector<StepProgram::Setting> settings_;
  std::uint64_t columns_ = 0;
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

StepProgram BuildTrainStep(const isa::Config& config, const TrainerOptions& options,
                           const Network& network, std::uint32_t batch) {
  return StepBuilder(config, options, network, batch, true).Build();
}

StepProgram BuildEvaluation(const isa::Config& config, const TrainerOptions& options,
                            const Network& network, std::uint32_t batch) {
  return StepBuilder(config, options, network, batch, false).Build();
}

}  // namespace dither::train
