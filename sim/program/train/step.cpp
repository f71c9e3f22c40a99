// The schedule of a step. Order of emission is the order of each queue; Flow makes the waits.
#include "sim/program/train/step.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

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
  std::vector<Value> z;     // none, or one: before the activation, where the way back needs it
  std::optional<Tensor> c;  // pictures: [channels][batch][height][width]
  std::array<std::uint32_t, 3> picture{};  // channels, height, width, if it is one
};

// Slots in SBUF that are used in turn.
class Ring {
 public:
  Ring(Flow& flow, const std::string& name, Dtype dtype, std::uint32_t elements, std::uint32_t slots)
      : rows_(flow.rows()) {
    try {
      for (std::uint32_t s = 0; s < slots; ++s) slots_.push_back(flow.Sbuf(name, dtype, {rows_, elements}));
    } catch (const ProgramError&) {
      Free(flow);
      throw;
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
    flow_.Label("constants");
    flow_.Load(identity_, net_.identity);
    flow_.Load(ones_, net_.ones);
    std::uint32_t widest = 1;
    for (const Layer& layer : net_.layers) widest = std::max(widest, layer.units);
    const std::uint32_t stripe = std::min(kBank, (widest + rows_ - 1) / rows_ * rows_);
    weights_.emplace(flow_, "weight stripe", mode_.compute, stripe, 6);
    stripe_columns_ = stripe;

    saved_.resize(net_.layers.size());
    for (std::size_t l = 0; l < net_.layers.size(); ++l) {
      const Layer& layer = net_.layers[l];
      flow_.Label(layer.name + " forward");
      if (l + 1 == net_.layers.size()) {
        LastForward(layer, values[l], values[l + 1]);
      } else if (layer.kind == LayerKind::kConv) {
        Convolve(layer, values[l], values[l + 1]);
      } else if (layer.kind != LayerKind::kDense) {
        Normalise(layer, values[l], values[l + 1], saved_[l]);
      } else if (layer.batch_on_partitions) {
        ForwardB(layer, values[l], values[l + 1]);
      } else {
        ForwardF(layer, values[l], values[l + 1]);
      }
      if (!training_) {
        Drop(values[l]);
      } else if (l == 0 && values[0].b && values[0].f) {
        DropF(values[0]);  // nobody asks for the gradient of the input
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
    x = {"input", net_.layers.front().inputs, mode_.compute, {}, {}, {}, {}, {}};
    if (net_.layers.front().kind == LayerKind::kConv) {
      const Geometry& g = net_.layers.front().geometry;
      x.picture = {g.channels, g.height, g.width};
      x.c = flow_.Sbuf("input", x.dtype, {g.channels, batch_, g.height, g.width});
      flow_.Load(x.c->Merge(2), net_.input->Slice(0, 0, batch_).Split(1, g.height * g.width).Transpose(0, 1));
      return;
    }
    x.b = flow_.Sbuf("input", x.dtype, {rows_, Tiles(batch_), x.features});
    std::vector<Tensor> lists;  // first, so that they are there when their rows are asked for
    for (const Tensor& list : net_.lists) {
      lists.push_back(flow_.Sbuf("rows of the examples", Dtype::kInt32, {1, batch_}));
      flow_.Load(lists.back(), list.Slice(1, 0, batch_));
    }
    // A copy a tile: the array may start with the first.
    for (std::uint32_t t = 0; net_.input && t < Tiles(batch_); ++t) {
      const std::uint32_t parts = Part(batch_, t);
      flow_.Load(Pick(x.b->Slice(0, 0, parts), 1, t).Slice(1, 0, net_.input->Size(1)),
                 net_.input->Slice(0, t * rows_, parts));
    }
    for (std::uint32_t e = 0; e < net_.embeddings.size(); ++e) {
      const EmbeddingTable& table = net_.embeddings[e];
      flow_.Label(table.table.name + " rows");
      for (std::uint32_t t = 0; t < Tiles(batch_); ++t) {
        const std::uint32_t parts = Part(batch_, t);
        const Tensor& rows = table.table.Read();
        flow_.Gather(Queue::kDma0, Pick(x.b->Slice(0, 0, parts), 1, t).Slice(1, table.column, table.width),
                     rows.Slice(0, 0, table.rows), lists[e].Slice(1, t * rows_, parts),
                     rows.Slice(0, table.rows + t * rows_, parts));
      }
      flow_.Free(lists[e]);
    }
  }
  void DropF(Value& v) {
    if (v.f) flow_.Free(*v.f);
    v.f.reset();
  }
  void DropB(Value& v) {
    if (v.b) flow_.Free(*v.b);
    v.b.reset();
  }
  void Drop(Value& v) {
    DropF(v);
    DropB(v);
    if (v.c) flow_.Free(*v.c);
    v.c.reset();
    for (Value& z : v.z) Drop(z);
    v.z.clear();
  }

  // Between pictures with channels on partitions and examples on partitions: a copy, as rows of pixels move
  // from partition to partition. One for each tile of the batch.
  void CopyPictures(Value& v, bool to_c) {
    const auto [channels, height, width] = v.picture;
    const std::uint32_t pixels = height * width;
    for (std::uint32_t t = 0; t < Tiles(batch_); ++t) {
      const std::uint32_t parts = Part(batch_, t);
      const Tensor c = v.c->Merge(2).Slice(1, t * rows_, parts).Transpose(0, 1);
      const Tensor b = Pick(v.b->Slice(0, 0, parts), 1, t).Split(1, pixels);
      flow_.Load(to_c ? c : b, to_c ? b : c);
    }
  }
  const Tensor& C(Value& v) {
    if (v.c) return *v.c;
    B(v);
    v.c = flow_.Sbuf(v.name, v.dtype, {v.picture[0], batch_, v.picture[1], v.picture[2]});
    CopyPictures(v, true);
    return *v.c;
  }

  const Tensor& F(Value& v) {
    if (v.f) return *v.f;
    if (!v.b) B(v);
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
    if (v.c) {
      CopyPictures(v, false);
      return *v.b;
    }
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
  Tensor LoadStripe(const Layer& layer, std::uint32_t tile, std::uint32_t m0, std::uint32_t columns) {
    const std::uint32_t parts = Part(layer.inputs, tile);
    const Tensor slot = weights_->Next({parts, columns});
    flow_.Load(slot, layer.weights.Read().Slice(0, tile * rows_, parts).Slice(1, m0, columns));
    return slot;
  }

  // Whether the way back needs the activation's input; relu's output says enough.
  static bool NeedsZ(Activation a) { return a != Activation::kNone && a != Activation::kRelu; }

  void ForwardF(const Layer& layer, Value& in, Value& out) {
    const Tensor& x = F(in);
    out = {layer.name + " output", layer.units, mode_.compute, {}, {}, {}, {}, {}};
    out.f = flow_.Sbuf(out.name, out.dtype, {rows_, Tiles(layer.units), batch_});
    const bool keeps_z = training_ && NeedsZ(layer.activation);
    if (keeps_z) {
      out.z.push_back({layer.name + " z", layer.units, mode_.gradients, {}, {}, {}, {}, {}});
      out.z[0].f = flow_.Sbuf(out.z[0].name, mode_.gradients, {rows_, Tiles(layer.units), batch_});
    }
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
                   const ActFunc func = FuncOf(layer.activation);
                   std::optional<Tensor> z;
                   if (keeps_z) z = out.z[0].f->Slice(0, 0, parts).Slice(1, t + first, count);
                   if (bias) {
                     const Tensor b = bias->Slice(0, 0, parts).Slice(1, t + first, count).Insert(2);
                     flow_.Act(func, to, from, scale, b, narrow);
                     if (z) flow_.TwoSteps(*z, from, {VecFunc::kMul, scale}, {VecFunc::kAdd, b});
                   } else {
                     flow_.Act(func, to, from, scale, -0.0f, narrow);
                     if (z) flow_.Elementwise(VecFunc::kMul, *z, from, scale);
                   }
                 });
      }
    }
    if (bias) flow_.Free(*bias);
  }

  // A row of DRAM in every partition.
  Tensor LoadRow(const std::string& name, const Tensor& dram) {
    const Tensor row = flow_.Sbuf(name, dram.dtype, {rows_, dram.Size(1)});
    Tensor repeated = dram;
    repeated.dims[0] = {rows_, 0, 0};
    flow_.Load(row, repeated);
    return row;
  }

  // Sums with the batch on partitions. done(n0, banks, per_bank, count, parts) for each group of batch
  // tiles: banks[i] is [parts][per_bank or the rest][units].
  template <typename Done>
  void SumsB(const Layer& layer, Value& in, Done&& done) {
    const Tensor& x = F(in);
    const std::uint32_t units = layer.units;
    if (units > kBank) {
      throw TrainError(layer.name + ": " + std::to_string(units) + " outputs with the batch on partitions, " +
                       std::to_string(kBank) + " are possible: they lie in one PSUM bank");
    }
    const std::uint32_t per_bank = kBank / units;
    ForTiles(batch_, rows_, kGroupBanks * per_bank, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
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
      done(n0, banks, per_bank, count, parts);
    });
  }

  void ForwardB(const Layer& layer, Value& in, Value& out) {
    out = {layer.name + " output", layer.units, mode_.compute, {}, {}, {}, {}, {}};
    out.b = flow_.Sbuf(out.name, out.dtype, {rows_, Tiles(batch_), layer.units});
    const bool keeps_z = training_ && NeedsZ(layer.activation);
    if (keeps_z) {
      out.z.push_back({layer.name + " z", layer.units, mode_.gradients, {}, {}, {}, {}, {}});
      out.z[0].b = flow_.Sbuf(out.z[0].name, mode_.gradients, {rows_, Tiles(batch_), layer.units});
    }
    std::optional<Tensor> bias;
    if (layer.bias) bias = LoadRow(layer.name + " bias", layer.bias->value);
    const float scale = 1 / mode_.weight_scale;
    const Narrowing narrow = Rounding(mode_.activation_round, out.dtype);
    SumsB(layer, in, [&](std::uint32_t n0, const std::vector<Tensor>& banks, std::uint32_t per_bank,
                         std::uint32_t count, std::uint32_t parts) {
      for (std::uint32_t n = 0; n < count; n += per_bank) {
        const Tensor& sums = banks[n / per_bank];
        const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, n0 + n, sums.Size(1)); };
        if (bias) {
          const Tensor b = bias->Slice(0, 0, parts).Insert(1);
          flow_.Act(FuncOf(layer.activation), part(*out.b), sums, scale, b, narrow);
          if (keeps_z) flow_.TwoSteps(part(*out.z[0].b), sums, {VecFunc::kMul, scale}, {VecFunc::kAdd, b});
        } else {
          flow_.Act(FuncOf(layer.activation), part(*out.b), sums, scale, -0.0f, narrow);
          if (keeps_z) flow_.Elementwise(VecFunc::kMul, part(*out.z[0].b), sums, scale);
        }
      }
    });
    if (bias) flow_.Free(*bias);
  }

  // The last layer, its outputs with the batch on partitions, and at once the loss and its gradient.
  void LastForward(const Layer& layer, Value& in, Value& gradient) {
    const std::uint32_t units = layer.units;
    std::optional<Tensor> bias;
    if (layer.bias) bias = LoadRow(layer.name + " bias", layer.bias->value);
    PrepareLoss();
    gradient = {layer.name + " output gradient", units, mode_.gradients, {}, {}, {}, {}, {}};
    if (training_) gradient.b = flow_.Sbuf(gradient.name, gradient.dtype, {rows_, Tiles(batch_), units});
    SumsB(layer, in, [&](std::uint32_t n0, const std::vector<Tensor>& banks, std::uint32_t per_bank,
                         std::uint32_t count, std::uint32_t parts) {
      const Tensor z = flow_.Sbuf(layer.name + " z", Dtype::kFp32, {parts, count, units});
      for (std::uint32_t n = 0; n < count; n += per_bank) {
        const Tensor to = z.Slice(1, n, std::min(per_bank, count - n));
        if (bias) {
          flow_.Act(ActFunc::kIdentity, to, banks[n / per_bank], 1 / mode_.weight_scale,
                    bias->Slice(0, 0, parts).Insert(1));
        } else {
          flow_.Act(ActFunc::kIdentity, to, banks[n / per_bank], 1 / mode_.weight_scale);
        }
      }
      flow_.Label("loss");
      LossOf(z, n0, gradient);
      flow_.Free(z);
    });
    if (bias) flow_.Free(*bias);
    FinishLoss();
  }

  // ---- convolution: a product for each tap of the kernel, whose moving operand is the picture as seen
  // through that tap
  static Tensor Stepped(Tensor t, std::size_t dim, std::uint32_t begin, std::uint32_t count, std::uint32_t step) {
    t = t.Slice(dim, begin, (count - 1) * step + 1);
    t.dims[dim].size = count;
    t.dims[dim].step *= step;
    return t;
  }
  // [channels][images][rows][width of the output] of x [channels][batch][height][width].
  static Tensor Seen(const Geometry& g, const Tensor& x, std::uint32_t tap, std::uint32_t n0, std::uint32_t images,
                     std::uint32_t y0, std::uint32_t rows) {
    const Tensor part = x.Slice(1, n0, images);
    return Stepped(Stepped(part, 2, y0 * g.stride + tap / g.kernel, rows, g.stride), 3, tap % g.kernel, g.out_width,
                   g.stride);
  }
  // Calls f(first image, images, first row, rows) for what fits a bank at `height` x `width` words an image.
  template <typename F>
  void ForChunks(std::uint32_t height, std::uint32_t width, F&& f) const {
    const std::uint32_t images = std::max(1u, kBank / (height * width));
    const std::uint32_t rows = std::min(height, kBank / width);
    for (std::uint32_t n = 0; n < batch_; n += images) {
      for (std::uint32_t y = 0; y < height; y += rows) {
        f(n, std::min(images, batch_ - n), y, std::min(rows, height - y));
      }
    }
  }
  // All taps on chip: [channels][taps][units].
  Tensor LoadTaps(const Layer& layer) {
    const Geometry& g = layer.geometry;
    const Tensor w = flow_.Sbuf(layer.name + " taps", mode_.compute, {g.channels, g.taps(), g.out_channels});
    flow_.Load(w, layer.weights.Read().Split(0, g.channels).Transpose(0, 1));
    return w;
  }

  void Convolve(const Layer& layer, Value& in, Value& out) {
    const Geometry& g = layer.geometry;
    const Tensor& x = C(in);
    out = {layer.name + " output", layer.units, mode_.compute, {}, {}, {}, {}, {g.out_channels, g.out_height, g.out_width}};
    out.c = flow_.Sbuf(out.name, out.dtype, {g.out_channels, batch_, g.out_height, g.out_width});
    const bool keeps_z = training_ && NeedsZ(layer.activation);
    if (keeps_z) {
      out.z.push_back({layer.name + " z", layer.units, mode_.gradients, {}, {}, {}, {}, out.picture});
      out.z[0].c = flow_.Sbuf(out.z[0].name, mode_.gradients, {g.out_channels, batch_, g.out_height, g.out_width});
    }
    const Tensor w = LoadTaps(layer);
    std::optional<Tensor> bias;
    if (layer.bias) {
      bias = flow_.Sbuf(layer.name + " bias", layer.bias->value.dtype, {g.out_channels, 1});
      flow_.Load(*bias, layer.bias->value.Slice(0, 0, g.out_channels));
    }
    const float scale = 1 / mode_.weight_scale;
    ForChunks(g.out_height, g.out_width, [&](std::uint32_t n, std::uint32_t images, std::uint32_t y, std::uint32_t rows) {
      const Tensor sums = flow_.Psum(layer.name + " sums", g.out_channels, images * rows * g.out_width)
                              .Split(1, rows * g.out_width)
                              .Split(2, g.out_width);
      for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
        Product(sums, Pick(w, 1, tap), Seen(g, x, tap, n, images, y, rows), tap > 0);
      }
      const auto part = [&](const Tensor& t) { return t.Slice(1, n, images).Slice(2, y, rows); };
      const Narrowing narrow = Rounding(mode_.activation_round, out.dtype);
      if (bias) {
        const Tensor b = bias->Insert(2).Insert(3);
        flow_.Act(FuncOf(layer.activation), part(*out.c), sums, scale, b, narrow);
        if (keeps_z) flow_.TwoSteps(part(*out.z[0].c), sums, {VecFunc::kMul, scale}, {VecFunc::kAdd, b});
      } else {
        flow_.Act(FuncOf(layer.activation), part(*out.c), sums, scale, -0.0f, narrow);
        if (keeps_z) flow_.Elementwise(VecFunc::kMul, part(*out.z[0].c), sums, scale);
      }
    });
    if (bias) flow_.Free(*bias);
    flow_.Free(w);
  }

  void ConvolveBack(const Layer& layer, Value& gradient, const Layer* previous, Value& input, Value& below) {
    const Geometry& g = layer.geometry;
    gradient.picture = {g.out_channels, g.out_height, g.out_width};
    flow_.Label(layer.name + " gradient as pictures");
    const Tensor dy = C(gradient);
    DropB(gradient);
    DropF(gradient);
    if (previous) {
      flow_.Label(layer.name + " input gradient");
      ConvolutionInputGradient(layer, dy, *previous, input, below);
    }
    flow_.Label(layer.name + " weight gradient");
    ConvolutionWeightGradient(layer, dy, *input.c);
    if (layer.bias) {
      flow_.Label(layer.name + " bias gradient");
      OpenUpdate(1, *layer.bias);
      const Tensor sums = flow_.Sbuf(layer.bias->name + " gradient", Dtype::kFp32, {g.out_channels, 1});
      flow_.Reduce(RedFunc::kSum, sums, dy, 3);
      const std::uint32_t units = g.out_channels;
      Update(*layer.bias, [units](const Tensor& t) { return t.Slice(0, 0, units); }, sums);
      CloseUpdate();
      flow_.Free(sums);
    }
  }

  // Every output adds its gradient, through each tap, to the pixel that it saw there: products that
  // accumulate onto the picture in PSUM, which begins as zeros.
  void ConvolutionInputGradient(const Layer& layer, const Tensor& dy, const Layer& previous, Value& input, Value& below) {
    const Geometry& g = layer.geometry;
    if (g.height * g.width > kBank) {
      throw TrainError(layer.name + ": gradients of " + std::to_string(g.height) + " x " + std::to_string(g.width) +
                       " pixels, a PSUM bank holds " + std::to_string(kBank));
    }
    below = {previous.name + " output gradient", layer.inputs, mode_.gradients, {}, {}, {}, {},
             {g.channels, g.height, g.width}};
    below.c = flow_.Sbuf(below.name, below.dtype, {g.channels, batch_, g.height, g.width});
    const Tensor w = LoadTaps(layer);
    const Dtype exact = mode_.weight_scale == 1 ? mode_.compute : Dtype::kBf16;
    const Tensor turned = flow_.Sbuf(layer.name + " transposed taps", exact, {g.out_channels, g.taps(), g.channels});
    const Tensor sums = flow_.Psum(layer.name + " transposed", g.out_channels, g.taps() * g.channels).Split(1, g.channels);
    for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
      flow_.Product(Pick(sums, 1, tap), Pick(w, 1, tap), identity_.Slice(0, 0, g.channels).Slice(1, 0, g.channels), false);
    }
    flow_.Act(ActFunc::kIdentity, turned, sums, 1 / mode_.weight_scale);
    flow_.Free(w);
    ForChunks(g.height, g.width, [&](std::uint32_t n, std::uint32_t images, std::uint32_t, std::uint32_t) {
      const Tensor bank = flow_.Psum(below.name, g.channels, images * g.height * g.width);
      flow_.Elementwise(VecFunc::kMul, bank, Generated::Iota(0, {0}), 0.0f);
      const Tensor picture = bank.Split(1, g.height * g.width).Split(2, g.width);
      for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
        Product(Seen(g, picture, tap, 0, images, 0, g.out_height), Pick(turned, 1, tap), dy.Slice(1, n, images), true);
      }
      const auto part = [&](const Tensor& t) { return t.Slice(1, n, images); };
      ThroughActivation(previous, part(*below.c),
                        previous.activation == Activation::kNone ? Tensor{}
                                                                 : part(*(input.z.empty() ? input : input.z[0]).c),
                        picture);
    });
    flow_.Free(turned);
  }

  // Sums over all positions, so positions have to lie on partitions: pieces of rows of the output, and of
  // the picture as each tap sees it, are transposed in groups.
  void ConvolutionWeightGradient(const Layer& layer, const Tensor& dy, const Tensor& x) {
    const Geometry& g = layer.geometry;
    const std::uint32_t group = std::min(batch_ * g.out_height, kBank / std::max(g.channels, g.out_channels));
    Ring gradients(flow_, "gradient transposed", mode_.gradients, group * g.out_channels, 2);
    Ring pictures(flow_, "picture transposed", mode_.compute, group * g.channels, 3);
    const Tensor bank = flow_.Psum(layer.name + " weight gradient", g.channels, g.taps() * g.out_channels, true);
    const Tensor sums = bank.Split(1, g.out_channels);
    bool first = true;
    ForTiles(g.out_width, rows_, 1, [&](std::uint32_t t, std::uint32_t, std::uint32_t length) {
      const std::uint32_t x0 = t * rows_, total = batch_ * g.out_height;
      for (std::uint32_t s0 = 0; s0 < total; s0 += group) {
        const std::uint32_t count = std::min(group, total - s0);
        // Piece s: `length` positions of one row of one image, [channels][length].
        const auto turn = [&](Ring& ring, const char* name, std::uint32_t channels, auto&& piece) {
          const Tensor to = ring.Next({length, count, channels});
          const Tensor psum = flow_.Psum(name, length, count * channels).Split(1, channels);
          for (std::uint32_t s = 0; s < count; ++s) {
            flow_.Product(Pick(psum, 1, s), piece((s0 + s) / g.out_height, (s0 + s) % g.out_height),
                          identity_.Slice(0, 0, channels).Slice(1, 0, channels), false);
          }
          flow_.Move(to, psum);
          return to;
        };
        const Tensor dyt = turn(gradients, "gradient transposed", g.out_channels, [&](std::uint32_t n, std::uint32_t y) {
          return Pick(Pick(dy, 1, n), 1, y).Slice(1, x0, length);
        });
        for (std::uint32_t tap = 0; tap < g.taps(); ++tap) {
          const Tensor xt = turn(pictures, "picture transposed", g.channels, [&](std::uint32_t n, std::uint32_t y) {
            return Pick(Pick(Seen(g, x, tap, n, 1, y, 1), 1, 0), 1, 0).Slice(1, x0, length);
          });
          for (std::uint32_t s = 0; s < count; ++s) {
            Product(Pick(sums, 1, tap), Pick(xt, 1, s), Pick(dyt, 1, s), !first || s > 0);
          }
        }
        first = false;
      }
    });
    gradients.Free(flow_);
    pictures.Free(flow_);
    OpenUpdate(g.taps() * g.out_channels, layer.weights);
    const std::uint32_t channels = g.channels;
    Update(layer.weights, [channels](const Tensor& t) { return t.Split(0, channels).Transpose(0, 1); }, sums);
    CloseUpdate();
    flow_.Release(bank);
  }

  // ---- normalisation: of each example over its features (layer; B layout), or of each feature over the
  // batch (batch; F layout). Either way over the free dimension of what lies in a partition.
  struct Saved {
    std::optional<Tensor> normal;  // the input, normalised, in the layer's layout
    Tensor inverse;                // 1 / deviation: fp32 [rows][tiles]
  };

  bool OverBatch(const Layer& layer) const { return layer.kind == LayerKind::kBatchNorm; }
  const Tensor& InLayout(const Layer& layer, Value& v) { return OverBatch(layer) ? F(v) : B(v); }
  // Tiles of partitions of the layer's layout, and the size of the dimension that is normalised over.
  std::uint32_t Spread(const Layer& layer) const { return OverBatch(layer) ? layer.units : batch_; }
  std::uint32_t Along(const Layer& layer) const { return OverBatch(layer) ? batch_ : layer.units; }
  // Factors or offsets on chip, and as an operand of [parts][count][along].
  Tensor LoadFactors(const Layer& layer, const Parameter& p) {
    if (!OverBatch(layer)) return LoadRow(p.name, p.value);
    const Tensor t = flow_.Sbuf(p.name, p.value.dtype, {rows_, Tiles(layer.units)});
    flow_.Load(t, p.value);
    return t;
  }
  Tensor FactorsOf(const Layer& layer, const Tensor& factors, std::uint32_t t0, std::uint32_t count,
                   std::uint32_t parts) const {
    const Tensor t = factors.Slice(0, 0, parts);
    return OverBatch(layer) ? t.Slice(1, t0, count).Insert(2) : t.Insert(1);
  }
  template <typename F>
  void ForNorm(const Layer& layer, F&& f) {
    ForTiles(Spread(layer), rows_, std::max(1u, kBank / Along(layer)), f);
  }

  void Normalise(const Layer& layer, Value& in, Value& out, Saved& saved) {
    constexpr float kEpsilon = 1e-5f, kShare = 0.1f;  // of a batch in the running mean and variance
    const Tensor& x = InLayout(layer, in);
    const std::uint32_t along = Along(layer), tiles = Tiles(Spread(layer));
    const bool running = OverBatch(layer) && !training_;
    out = {layer.name + " output", layer.units, mode_.compute, {}, {}, {}, {}, {}};
    const Tensor y = flow_.Sbuf(out.name, out.dtype, {rows_, tiles, along});
    (OverBatch(layer) ? out.f : out.b) = y;
    saved.normal = flow_.Sbuf(layer.name + " normalised", mode_.gradients, {rows_, tiles, along});
    saved.inverse = flow_.Sbuf(layer.name + " 1/deviation", Dtype::kFp32, {rows_, tiles});
    std::optional<Tensor> z;
    if (training_ && NeedsZ(layer.activation)) {
      out.z.push_back({layer.name + " z", layer.units, mode_.gradients, {}, {}, {}, {}, {}});
      z = flow_.Sbuf(out.z[0].name, mode_.gradients, {rows_, tiles, along});
      (OverBatch(layer) ? out.z[0].f : out.z[0].b) = z;
    }
    const Tensor factor = LoadFactors(layer, layer.weights), offset = LoadFactors(layer, *layer.bias);
    std::optional<Tensor> mean, variance;
    if (OverBatch(layer)) {
      mean = LoadFactors(layer, *layer.mean);
      variance = LoadFactors(layer, *layer.variance);
    }
    ForNorm(layer, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
      const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, t0, count); };
      const Tensor stats = flow_.Sbuf("mean and variance", Dtype::kFp32, {parts, count, 2});
      const Tensor shift = flow_.Sbuf("shift", Dtype::kFp32, {parts, count});
      const Tensor scaled = flow_.Sbuf("scaled", Dtype::kFp32, {parts, count, along});
      Tensor of_mean = Pick(stats, 2, 0), of_variance = Pick(stats, 2, 1);
      if (running) {
        of_mean = part(*mean);
        of_variance = part(*variance);
      } else {
        flow_.Stats(stats, part(x));
        if (OverBatch(layer)) {
          for (const auto& [total, of_batch] : {std::pair(part(*mean), of_mean), std::pair(part(*variance), of_variance)}) {
            flow_.Elementwise(VecFunc::kMul, shift, of_batch, kShare);
            flow_.TwoSteps(total, total, {VecFunc::kMul, 1 - kShare}, {VecFunc::kAdd, shift});
          }
          flow_.Store(part(layer.mean->value), part(*mean));
          flow_.Store(part(layer.variance->value), part(*variance));
        }
      }
      flow_.Act(ActFunc::kRsqrt, part(saved.inverse), of_variance, 1.0f, kEpsilon);
      flow_.TwoSteps(shift, of_mean, {VecFunc::kMul, -1.0f}, {VecFunc::kMul, part(saved.inverse)});
      for (std::uint32_t t = 0; t < count; ++t) {
        flow_.TwoSteps(Pick(part(*saved.normal), 1, t), Pick(part(x), 1, t),
                       {VecFunc::kMul, part(saved.inverse).Slice(1, t, 1)}, {VecFunc::kAdd, shift.Slice(1, t, 1)});
      }
      flow_.Elementwise(VecFunc::kMul, scaled, part(*saved.normal), FactorsOf(layer, factor, t0, count, parts));
      const Tensor b = FactorsOf(layer, offset, t0, count, parts);
      if (z) flow_.Elementwise(VecFunc::kAdd, part(*z), scaled, b);
      flow_.Act(FuncOf(layer.activation), part(y), scaled, 1.0f, b, Rounding(mode_.activation_round, out.dtype));
      for (const Tensor& t : {stats, shift, scaled}) flow_.Free(t);
    });
    for (const Tensor& t : {factor, offset}) flow_.Free(t);
    for (const auto& t : {mean, variance}) {
      if (t) flow_.Free(*t);
    }
    if (!training_) DropSaved(saved);
  }
  void DropSaved(Saved& saved) {
    if (!saved.normal) return;
    flow_.Free(*saved.normal);
    flow_.Free(saved.inverse);
    saved.normal.reset();
  }

  // dx = inverse * (a - mean a - normal * mean(a * normal)),  a = factor * dy
  void NormaliseBack(const Layer& layer, Value& gradient, Saved& saved, const Layer* previous, Value* input,
                     Value& below) {
    const Tensor& dy = InLayout(layer, gradient);
    const std::uint32_t along = Along(layer), tiles = Tiles(Spread(layer));
    flow_.Label(layer.name + " weight gradient");
    const Tensor by_normal = flow_.Sbuf("gradient by normalised", mode_.gradients, {rows_, tiles, along});
    ForNorm(layer, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
      const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, t0, count); };
      flow_.Elementwise(VecFunc::kMul, part(by_normal), part(dy), part(*saved.normal));
    });
    if (previous) {
      flow_.Label(layer.name + " input gradient");
      below = {previous->name + " output gradient", layer.units, mode_.gradients, {}, {}, {}, {}, {}};
      const Tensor dx = flow_.Sbuf(below.name, below.dtype, {rows_, tiles, along});
      (OverBatch(layer) ? below.f : below.b) = dx;
      const Tensor factor = LoadFactors(layer, layer.weights);
      const bool straight = previous->activation == Activation::kNone;
      const Narrowing narrow = Rounding(mode_.gradient_round, mode_.gradients);
      ForNorm(layer, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
        const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, t0, count); };
        const Tensor a = flow_.Sbuf("a", Dtype::kFp32, {parts, count, along});
        const Tensor b = flow_.Sbuf("b", Dtype::kFp32, {parts, count, along});
        const Tensor mean = flow_.Sbuf("mean", Dtype::kFp32, {parts, count});
        const Tensor share = flow_.Sbuf("share", Dtype::kFp32, {parts, count});
        flow_.Elementwise(VecFunc::kMul, a, part(dy), FactorsOf(layer, factor, t0, count, parts));
        flow_.Elementwise(VecFunc::kMul, b, a, part(*saved.normal));
        flow_.Reduce(RedFunc::kSum, mean, a);
        flow_.Reduce(RedFunc::kSum, share, b);
        flow_.Act(ActFunc::kIdentity, mean, mean, 1.0f / static_cast<float>(along));
        flow_.Act(ActFunc::kIdentity, share, share, -1.0f / static_cast<float>(along));
        for (std::uint32_t t = 0; t < count; ++t) {
          flow_.TwoSteps(Pick(a, 1, t), Pick(part(*saved.normal), 1, t), {VecFunc::kMul, share.Slice(1, t, 1)},
                         {VecFunc::kAdd, Pick(a, 1, t)});
          flow_.TwoSteps(straight ? Pick(part(dx), 1, t) : Pick(b, 1, t), Pick(a, 1, t),
                         {VecFunc::kSub, mean.Slice(1, t, 1)},
                         {VecFunc::kMul, part(saved.inverse).Slice(1, t, 1)}, straight ? narrow : Narrowing{});
        }
        if (!straight) {
          Value& at = input->z.empty() ? *input : input->z[0];
          ThroughActivation(*previous, part(dx), part(InLayout(layer, at)), b);
        }
        for (const Tensor& t : {a, b, mean, share}) flow_.Free(t);
      });
      flow_.Free(factor);
    }
    flow_.Label(layer.name + " weight gradient");
    SumOverBatch(layer, layer.weights, by_normal);
    flow_.Label(layer.name + " bias gradient");
    SumOverBatch(layer, *layer.bias, dy);
    flow_.Free(by_normal);
    DropSaved(saved);
  }

  // ---- loss
  void PrepareLoss() {
    flow_.Label("loss");
    const std::uint32_t tiles = Tiles(batch_);
    per_example_ = flow_.Sbuf("loss of each example", Dtype::kFp32, {rows_, tiles});
    if (!training_) right_ = flow_.Sbuf("right answers", mode_.compute, {rows_, tiles});
    if (!training_ || options_.model.loss == Loss::kSoftmaxCrossEntropy) {
      labels_ = flow_.Sbuf("labels", Dtype::kFp32, {rows_, tiles});
      ForTiles(batch_, rows_, kBank, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
        flow_.Load(labels_->Slice(0, 0, parts).Slice(1, n0, count),
                   net_.labels.Slice(0, n0 * rows_, count * parts).Split(0, parts).Transpose(0, 1));
      });
    }
  }

  // z: fp32 [parts][tiles][outputs] of the batch tiles from n0 on. Leaves the loss of each example over
  // the batch size, and the gradient.
  void LossOf(const Tensor& z, std::uint32_t n0, Value& gradient) {
    const std::uint32_t parts = z.Size(0), count = z.Size(1);
    const Tensor loss = per_example_.Slice(0, 0, parts).Slice(1, n0, count);
    if (options_.model.loss == Loss::kMeanSquare) {
      MeanSquareOf(z, n0, loss, gradient);
    } else {
      CrossEntropyOf(z, n0, loss, gradient);
    }
    if (training_) return;
    const Tensor best = flow_.Sbuf("class", Dtype::kInt32, {parts, count});
    flow_.Reduce(RedFunc::kArgMax, best, z);
    flow_.Elementwise(VecFunc::kEq, right_->Slice(0, 0, parts).Slice(1, n0, count), best,
                      labels_->Slice(0, 0, parts).Slice(1, n0, count));
    flow_.Free(best);
  }

  void MeanSquareOf(const Tensor& z, std::uint32_t n0, const Tensor& loss, Value& gradient) {
    const std::uint32_t parts = z.Size(0), count = z.Size(1), outputs = z.Size(2);
    const Tensor t = flow_.Sbuf("targets", Dtype::kFp32, {parts, count, outputs});
    flow_.Load(t.Transpose(0, 1), net_.targets->Slice(0, n0 * rows_, count * parts).Split(0, parts));
    flow_.Elementwise(VecFunc::kSub, t, z, t);  // z - target
    const float mean = 1.0f / (static_cast<float>(batch_) * static_cast<float>(outputs));
    if (training_) {
      flow_.Act(ActFunc::kIdentity, gradient.b->Slice(0, 0, parts).Slice(1, n0, count), t,
                2 * mean * mode_.loss_scale, -0.0f, Rounding(mode_.gradient_round, gradient.dtype));
    }
    flow_.Elementwise(VecFunc::kMul, t, t, t);
    flow_.Reduce(RedFunc::kSum, loss, t);
    flow_.Elementwise(VecFunc::kMul, loss, loss, mean);
    flow_.Free(t);
  }

  // With s = sum of exp(z - max):  loss = log s + max - z[label],  gradient = exp(z - max) / s - (1 at
  // the label, else 0), both over the batch size.
  void CrossEntropyOf(const Tensor& z, std::uint32_t n0, const Tensor& loss, Value& gradient) {
    const std::uint32_t parts = z.Size(0), count = z.Size(1), outputs = z.Size(2);
    const float mean = 1.0f / static_cast<float>(batch_);
    const auto small = [&](const char* name) { return flow_.Sbuf(name, Dtype::kFp32, {parts, count}); };
    const auto label = [&](std::uint32_t n) { return labels_->Slice(0, 0, parts).Slice(1, n0 + n, 1); };
    const Generated classes = Generated::Iota(0, {1});
    const Tensor most = small("maximum"), minus = small("minus maximum"), sum = small("sum of exp");
    const Tensor at_label = small("z of the label");
    const Tensor e = flow_.Sbuf("exp", Dtype::kFp32, {parts, count, outputs});
    const Tensor t = flow_.Sbuf("of the label", Dtype::kFp32, {parts, count, outputs});
    flow_.Reduce(RedFunc::kMax, most, z);
    flow_.Elementwise(VecFunc::kMul, minus, most, -1.0f);
    flow_.Act(ActFunc::kExp, e, z, 1.0f, minus.Insert(2));
    for (std::uint32_t n = 0; n < count; ++n) {
      flow_.TwoSteps(Pick(t, 1, n), classes, {VecFunc::kEq, label(n)}, {VecFunc::kSelect, Pick(z, 1, n)});
    }
    flow_.Reduce(RedFunc::kSum, at_label, t);
    flow_.Reduce(RedFunc::kSum, sum, e);
    if (training_) {
      const Tensor over = small("reciprocal");
      const float scale = mean * mode_.loss_scale;
      flow_.Act(ActFunc::kReciprocal, over, sum, 1 / scale);
      const Narrowing narrow = Rounding(mode_.gradient_round, gradient.dtype);
      for (std::uint32_t n = 0; n < count; ++n) {
        flow_.TwoSteps(Pick(t, 1, n), classes, {VecFunc::kEq, label(n)}, {VecFunc::kMul, scale});
      }
      for (std::uint32_t n = 0; n < count; ++n) {
        flow_.TwoSteps(Pick(gradient.b->Slice(0, 0, parts), 1, n0 + n), Pick(e, 1, n),
                       {VecFunc::kMul, over.Slice(1, n, 1)}, {VecFunc::kSub, Pick(t, 1, n)}, narrow);
      }
      flow_.Free(over);
    }
    flow_.Act(ActFunc::kLog, sum, sum);
    flow_.Elementwise(VecFunc::kAdd, sum, sum, most);
    flow_.Elementwise(VecFunc::kSub, sum, sum, at_label);
    flow_.Elementwise(VecFunc::kMul, loss, sum, mean);
    for (const Tensor& gone : {most, minus, sum, at_label, e, t}) flow_.Free(gone);
  }

  // Sums over the batch: products with a column of ones.
  void FinishLoss() {
    flow_.Label("loss");
    const auto total = [&](const Tensor& of_each, const Tensor& dram) {
      const Tensor sums = flow_.Psum("total", 1, 1);
      ForTiles(batch_, rows_, 1, [&](std::uint32_t n, std::uint32_t, std::uint32_t parts) {
        flow_.Product(sums, of_each.Slice(0, 0, parts).Slice(1, n, 1), ones_.Slice(0, 0, parts), n > 0);
      });
      const Tensor sum = flow_.Sbuf("total", Dtype::kFp32, {1, 1});
      flow_.Move(sum, sums);
      flow_.Store(dram, sum);
      flow_.Free(sum);
      flow_.Free(of_each);
    };
    total(per_example_, net_.loss);
    if (right_) total(*right_, net_.correct);
    if (labels_) flow_.Free(*labels_);
  }

  // ---- backward
  void Backward(std::vector<Value>& values) {
    // Nothing of this waits for the loss.
    for (std::size_t l = 0; l < net_.layers.size(); ++l) {
      if (net_.layers[l].kind != LayerKind::kDense) continue;
      flow_.Label(net_.layers[l].name + " input transposed");
      B(values[l]);
    }
    Value gradient = values.back();
    for (std::size_t l = net_.layers.size(); l-- > 0;) {
      const Layer& layer = net_.layers[l];
      const Layer* const previous = l > 0 ? &net_.layers[l - 1] : nullptr;
      Value below, looked_up;
      if (layer.kind == LayerKind::kConv) {
        ConvolveBack(layer, gradient, previous, values[l], below);
      } else if (layer.kind != LayerKind::kDense) {
        NormaliseBack(layer, gradient, saved_[l], previous, &values[l], below);
      } else {
        if (previous) {
          flow_.Label(layer.name + " gradient transposed");
          F(gradient);
          flow_.Label(layer.name + " input gradient");
          InputGradient(layer, gradient, *previous, values[l], below, 0);
          DropF(values[l]);
        } else if (!net_.embeddings.empty()) {
          // Of the input, the part that was looked up.
          flow_.Label(layer.name + " gradient transposed");
          F(gradient);
          flow_.Label(layer.name + " input gradient");
          Layer plain;
          plain.name = "input";
          InputGradient(layer, gradient, plain, values[l], looked_up, net_.embeddings.front().column / rows_);
        }
        flow_.Label(layer.name + " gradient transposed");
        B(gradient);
        flow_.Label(layer.name + " weight gradient");
        WeightGradient(layer, values[l], gradient);
        if (layer.bias) {
          flow_.Label(layer.name + " bias gradient");
          SumOverBatch(layer, *layer.bias, layer.batch_on_partitions ? B(gradient) : F(gradient));
        }
        if (looked_up.f) LookUpBack(looked_up);
      }
      Drop(gradient);
      Drop(values[l]);
      gradient = std::move(below);
    }
  }

  // below.f = (transposed weights * gradient.f) through the activation that made `input`.
  // From tile `first` of the inputs on.
  void InputGradient(const Layer& layer, Value& gradient, const Layer& previous, Value& input,
                     Value& below, std::uint32_t first_tile) {
    const Tensor& dy = *gradient.f;
    below = {previous.name + " output gradient", layer.inputs, mode_.gradients, {}, {}, {}, {}, {}};
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

    Tensor next = turn(first_tile), sums;
    std::uint32_t in_bank = 0;
    for (std::uint32_t k = first_tile; k < stripes; ++k) {
      const Tensor wt = next;
      if (k + 1 < stripes) next = turn(k + 1);
      const std::uint32_t depth = Part(layer.inputs, k);
      if (in_bank == 0) {
        sums = flow_.Psum(below.name, rows_, std::min(per_bank, stripes - k) * batch_, true).Split(1, batch_);
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
                   const auto part = [&](const Tensor& t) {
                     return t.Slice(0, 0, parts).Slice(1, k0 + first, count);
                   };
                   ThroughActivation(previous, part(*below.f),
                                     previous.activation == Activation::kNone
                                         ? Tensor{}
                                         : part(F(input.z.empty() ? input : input.z[0])),
                                     sums.Slice(0, 0, parts).Slice(1, first, count));
                 });
        flow_.Release(sums);
        in_bank = 0;
      }
    }
    turned.Free(flow_);
  }

  // dz = dy * slope; y is what the activation gave, or for others than relu what it was given.
  void ThroughActivation(const Layer& layer, const Tensor& dz, const Tensor& y, const Tensor& dy) {
    const Narrowing narrow = Rounding(mode_.gradient_round, mode_.gradients);
    if (layer.activation == Activation::kNone) {
      flow_.Move(dz, dy, narrow);
    } else if (layer.activation == Activation::kRelu) {
      flow_.GateRelu(dz, y, dy, narrow);
    } else {
      const Tensor slope = flow_.Sbuf("slope", Dtype::kFp32, dy.Shape());
      flow_.Act(SlopeOf(layer.activation), slope, y);
      if (layer.activation == Activation::kSilu) {
        // s (1 + z (1 - s)) of the sigmoid s: silu, its derivative and the loss don't fit one table set.
        const Tensor t = flow_.Sbuf("1 - sigmoid", Dtype::kFp32, dy.Shape());
        flow_.TwoSteps(t, slope, {VecFunc::kMul, -1.0f}, {VecFunc::kAdd, 1.0f});
        flow_.Elementwise(VecFunc::kMul, t, t, y);
        flow_.TwoSteps(slope, t, {VecFunc::kAdd, 1.0f}, {VecFunc::kMul, slope});
        flow_.Free(t);
      }
      flow_.Elementwise(VecFunc::kMul, dz, slope, dy, narrow);
      flow_.Free(slope);
    }
  }

  // dW[k][m] = sum over the batch of x.b[n][k] * dy.b[n][m], straight into the update.
  void WeightGradient(const Layer& layer, Value& input, Value& gradient) {
    const Tensor &x = *input.b, &dy = *gradient.b;
    const std::uint32_t block = std::min(layer.units, kBank);
    const std::uint32_t per_bank = kBank / block;
    OpenUpdate(std::min(per_bank, Tiles(layer.inputs)) * block, layer.weights);
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
        const auto view = [=, this](const Tensor& t) {
          return t.Slice(0, k0 * rows_, count * parts).Slice(1, m0, columns).Split(0, parts).Transpose(0, 1);
        };
        Update(layer.weights, view, sums);
      }
    });
    CloseUpdate();
  }

  // Gradients of the rows that the batch looked up. Examples with the same row add up: a product with
  // the matrix that says which of the batch's different rows each example has. Then the update, of
  // those rows alone.
  void LookUpBack(Value& gradient) {
    flow_.Label("embedding gradient");
    const Tensor& dx = B(gradient);
    for (std::uint32_t e = 0; e < net_.embeddings.size(); ++e) {
      const EmbeddingTable& table = net_.embeddings[e];
      flow_.Label(table.table.name + " gradient");
      const std::uint32_t tiles = Tiles(batch_), width = table.width;
      const Tensor slot = flow_.Sbuf("slots", Dtype::kFp32, {rows_, tiles});
      const Tensor which = flow_.Sbuf("which row", mode_.compute, {rows_, tiles, batch_});
      const Tensor list = flow_.Sbuf("different rows", Dtype::kInt32, {1, batch_});
      flow_.Load(list, net_.different[e].Slice(1, 0, batch_));
      ForTiles(batch_, rows_, kBank, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
        flow_.Load(slot.Slice(0, 0, parts).Slice(1, n0, count),
                   net_.slots[e].Slice(0, n0 * rows_, count * parts).Split(0, parts).Transpose(0, 1));
      });
      for (std::uint32_t n = 0; n < tiles; ++n) {
        const std::uint32_t parts = Part(batch_, n);
        flow_.Elementwise(VecFunc::kEq, Pick(which.Slice(0, 0, parts), 1, n), Generated::Iota(0, {1}),
                          slot.Slice(0, 0, parts).Slice(1, n, 1));
      }
      const std::uint32_t per_bank = std::min(tiles, kBank / width);
      OpenUpdate(per_bank * width, table.table);
      ForTiles(batch_, rows_, per_bank, [&](std::uint32_t u0, std::uint32_t count, std::uint32_t parts) {
        const Tensor sums = flow_.Psum(table.table.name + " gradient", parts, count * width).Split(1, width);
        for (std::uint32_t u = 0; u < count; ++u) {
          for (std::uint32_t n = 0; n < tiles; ++n) {
            const std::uint32_t height = Part(batch_, n);
            Product(Pick(sums, 1, u), Pick(which.Slice(0, 0, height), 1, n).Slice(1, (u0 + u) * rows_, parts),
                    Pick(dx.Slice(0, 0, height), 1, n).Slice(1, table.column, width), n > 0);
          }
        }
        // Between the table and the partitions. The different rows are different ones: each counts as a
        // row behind the table, so that one tile needs not wait for another.
        const auto each_tile = [=, this, &table](const Tensor& dram, const Tensor& chip, bool to_dram) {
          for (std::uint32_t u = 0; u < count; ++u) {
            const std::uint32_t first = (u0 + u) * rows_;
            const Tensor here = Pick(chip, 1, u), rows = list.Slice(1, first, parts);
            const Tensor counts_as = dram.Slice(0, table.rows + first, parts);
            if (to_dram) flow_.Scatter(Queue::kDma1, dram, here, rows, counts_as);
            else flow_.Gather(Queue::kDma0, here, dram, rows, counts_as);
          }
        };
        UpdateBy(table.table, sums, [&](const Tensor& to, const Tensor& dram) { each_tile(dram, to, false); },
                 [=](const Tensor& dram, const Tensor& from) { each_tile(dram, from, true); });
      });
      CloseUpdate();
      flow_.Free(list);
      flow_.Free(which);
      flow_.Free(slot);
    }
    Drop(gradient);
  }

  // The gradient of something that is added to every example is the sum over the batch. Lies as the
  // parameter does: [1][units], made by a product with ones, or [partition][tile], by adding up.
  void SumOverBatch(const Layer& layer, const Parameter& parameter, const Tensor& gradient) {
    if (!parameter.tiled) {
      OpenUpdate(layer.units, parameter);
      const Tensor sums = flow_.Psum(parameter.name + " gradient", 1, layer.units);
      for (std::uint32_t n = 0; n < Tiles(batch_); ++n) {
        const std::uint32_t height = Part(batch_, n);
        flow_.Product(sums, ones_.Slice(0, 0, height), Pick(gradient.Slice(0, 0, height), 1, n), n > 0);
      }
      Update(parameter, [](const Tensor& t) { return t; }, sums);
    } else {
      OpenUpdate(Tiles(layer.units), parameter);
      const Tensor sums = flow_.Sbuf(parameter.name + " gradient", Dtype::kFp32, {rows_, Tiles(layer.units)});
      ForTiles(layer.units, rows_, kBank, [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
        const auto view = [=](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, first, count); };
        flow_.Reduce(RedFunc::kSum, view(sums), view(gradient));
        Update(parameter, view, view(sums));
      });
      flow_.Free(sums);
    }
    CloseUpdate();
  }

  // ---- update
  // Slots in SBUF for what an update moves; fewer, and so less overlap, where memory is short.
  void OpenUpdate(std::uint32_t elements, const Parameter& parameter) {
    for (std::uint32_t slots = 4;; --slots) {
      try {
        TakeSlots(elements, parameter, slots);
        return;
      } catch (const ProgramError&) {
        CloseUpdate();
        if (slots == 1) throw;
      }
    }
  }
  void TakeSlots(std::uint32_t elements, const Parameter& parameter, std::uint32_t slots) {
    slots_ = slots;
    updated_.emplace(flow_, "weights being updated", mode_.weights, elements, slots);
    for (std::size_t n = 0; n < parameter.state.size(); ++n) {
      states_.emplace_back(flow_, "optimiser state", mode_.state, elements, slots);
    }
    const std::uint32_t fewer = std::min(slots, 2u);
    if (parameter.copy) copies_.emplace(flow_, "copy of weights", mode_.compute, elements, fewer);
    const bool adam = options_.optimizer.kind != OptimizerSpec::Kind::kSgd;
    if (adam || Decays(parameter)) temporary_.emplace(flow_, "update", Dtype::kFp32, elements, std::min(slots, 3u));
  }
  void CloseUpdate() {
    FinishUpdate();
    for (Ring& ring : states_) ring.Free(flow_);
    states_.clear();
    for (std::optional<Ring>* ring : {&updated_, &copies_, &temporary_}) {
      if (*ring) (*ring)->Free(flow_);
      ring->reset();
    }
  }
  bool Decays(const Parameter& parameter) const {
    return parameter.decays && options_.optimizer.weight_decay != 0;
  }

  // view(t): the part of a DRAM tensor that goes with `gradient`, in the same shape.
  template <typename View>
  void Update(const Parameter& parameter, View view, const Tensor& gradient) {
    // In the order of DRAM, where a tile's rows touch: [tile][partition][...].
    const auto turned = [](const Tensor& t) { return t.dims.size() == 3 ? t.Transpose(0, 1) : t; };
    UpdateBy(parameter, gradient,
             [&](const Tensor& to, const Tensor& dram) { flow_.Load(turned(to), turned(view(dram))); },
             [=, this](const Tensor& dram, const Tensor& from) { flow_.Store(turned(view(dram)), turned(from)); });
  }

  // load(slot, DRAM tensor) and store(DRAM tensor, slot) move the part that goes with `gradient`.
  template <typename Load, typename Store>
  void UpdateBy(const Parameter& parameter, const Tensor& gradient, Load&& load, Store store) {
    const OptimizerSpec& opt = options_.optimizer;
    const Narrowing weight_narrow = Rounding(mode_.weight_round, mode_.weights);
    const Narrowing state_narrow = Rounding(mode_.weight_round, mode_.state);
    const std::vector<std::uint32_t> shape = gradient.Shape();
    const Tensor w = updated_->Next(shape);
    load(w, parameter.value);
    std::vector<Tensor> state;
    for (std::size_t n = 0; n < parameter.state.size(); ++n) {
      state.push_back(states_[n].Next(shape));
      load(state[n], parameter.state[n]);
    }
    const auto set = [this](Flow::Place place, Knob knob) { settings_.push_back({place, knob}); };
    std::optional<Tensor> u;
    if (temporary_) u = temporary_->Next(shape);
    const bool adam = opt.kind != OptimizerSpec::Kind::kSgd;
    if (!adam) {
      Tensor step = gradient;
      if (!state.empty()) {  // m = momentum * m + g
        flow_.MulAdd(state[0], state[0], opt.momentum, gradient, state_narrow);
        step = state[0];
      }
      if (Decays(parameter)) {
        flow_.Act(ActFunc::kIdentity, *u, step, -1.0f);
        set(flow_.Last(Queue::kScalar), Knob::kMinusRate);
        set(flow_.MulAdd(w, w, 1.0f, *u, weight_narrow), Knob::kKeep);
      } else {
        set(flow_.MulAdd(w, step, -1.0f, w, weight_narrow), Knob::kMinusRate);
      }
    } else {
      // Moments without their factors 1 - beta, which stand in the two numbers that change with the step:
      // m = beta1 m + g, v = beta2 v + g^2, w += minus_rate * m / (sqrt(variance * v) + epsilon).
      flow_.MulAdd(state[0], state[0], opt.beta1, gradient, state_narrow);
      flow_.Elementwise(VecFunc::kMul, *u, gradient, gradient);
      flow_.MulAdd(state[1], state[1], opt.beta2, *u, state_narrow);
      flow_.Act(ActFunc::kSqrt, *u, state[1], 1.0f);
      set(flow_.Last(Queue::kScalar), Knob::kVariance);
      flow_.Act(ActFunc::kReciprocal, *u, *u, 1.0f, opt.epsilon * mode_.loss_scale);
    }
    // What waits for the other engine comes behind the beginning of the next update.
    FinishUpdate();
    finish_ = [=, this, &parameter] {
      if (adam && Decays(parameter)) {
        flow_.TwoSteps(*u, state[0], {VecFunc::kMul, -1.0f}, {VecFunc::kMul, *u});
        set(flow_.Last(Queue::kVector), Knob::kMinusRate);
        set(flow_.MulAdd(w, w, 1.0f, *u, weight_narrow), Knob::kKeep);
      } else if (adam) {
        flow_.Elementwise(VecFunc::kMul, *u, state[0], *u);
        set(flow_.MulAdd(w, *u, -1.0f, w, weight_narrow), Knob::kMinusRate);
      }
      for (std::size_t n = 0; n < state.size(); ++n) store(parameter.state[n], state[n]);
      store(parameter.value, w);
      if (!parameter.copy) return;
      const Tensor copy = copies_->Next(shape);
      const Narrowing narrow = Rounding(isa::Round::kRne, mode_.compute);
      if (parameter.copy_scale == 1) {
        flow_.Move(copy, w, narrow);
      } else {
        flow_.Act(ActFunc::kIdentity, copy, w, parameter.copy_scale, -0.0f, narrow);
      }
      store(*parameter.copy, copy);
    };
    if (slots_ == 1) FinishUpdate();
  }
  void FinishUpdate() {
    if (finish_) finish_();
    finish_ = {};
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
  Tensor identity_, ones_, per_example_;
  std::optional<Tensor> labels_, right_;
  std::uint32_t stripe_columns_ = 0;
  std::optional<Ring> weights_, updated_, copies_, temporary_;
  std::vector<Ring> states_;
  std::function<void()> finish_;
  std::uint32_t slots_ = 0;
  std::vector<Saved> saved_;
  std::vector<StepProgram::Setting> settings_;
  std::uint64_t columns_ = 0;
};

}  // namespace

isa::ActFunc FuncOf(Activation a) {
  switch (a) {
    case Activation::kNone: return ActFunc::kIdentity;
    case Activation::kRelu: return ActFunc::kRelu;
    case Activation::kGelu: return ActFunc::kGelu;
    case Activation::kTanh: return ActFunc::kTanh;
    case Activation::kSigmoid: return ActFunc::kSigmoid;
    case Activation::kSilu: return ActFunc::kSilu;
  }
  return ActFunc::kIdentity;
}

isa::ActFunc SlopeOf(Activation a) {
  switch (a) {
    case Activation::kGelu: return ActFunc::kGeluGrad;
    case Activation::kTanh: return ActFunc::kTanhGrad;
    case Activation::kSigmoid: return ActFunc::kSigmoidGrad;
    case Activation::kSilu: return ActFunc::kSigmoid;  // the rest by the vector engine
    default: return ActFunc::kIdentity;
  }
}

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
