// Dense layers, their outputs in F or in B. Weights go to the array in stripes: a tile of inputs, up to
// StepContext::stripe_columns units.
#include "sim/program/train/layers.hpp"
#include "sim/program/train/update.hpp"

namespace dither::train {
namespace {

using isa::ActFunc;
using isa::Dtype;

Tensor LoadStripe(StepContext& s, const Layer& layer, std::uint32_t tile, std::uint32_t m0, std::uint32_t columns) {
  const std::uint32_t parts = s.Part(layer.inputs, tile);
  const Tensor slot = s.stripes->Next({parts, columns});
  s.flow.Load(slot, layer.weights.Read().Slice(0, tile * s.rows, parts).Slice(1, m0, columns));
  return slot;
}

void ForwardF(StepContext& s, const Layer& layer, Value& in, Value& out) {
  const Tensor& x = s.F(in);
  out = NewOutput(s, layer, &Value::f, {s.rows, s.Tiles(layer.units), s.batch});
  std::optional<Tensor> bias;
  if (layer.bias) {
    bias = s.flow.Sbuf(layer.name + " bias", layer.bias->value.dtype, {s.rows, s.Tiles(layer.units)});
    s.flow.Load(*bias, layer.bias->value);
  }
  const std::uint32_t per_bank = kBank / s.batch;
  const std::uint32_t group = std::min(kGroupBanks * per_bank, s.stripe_columns / s.rows);
  const std::uint32_t tiles = s.Tiles(layer.units), stripes = s.Tiles(layer.inputs);
  for (std::uint32_t t0 = 0; t0 < tiles; t0 += group) {
    const std::uint32_t t1 = std::min(tiles, t0 + group);
    const std::uint32_t m0 = t0 * s.rows, columns = std::min(layer.units, t1 * s.rows) - m0;
    std::vector<Tensor> banks;
    for (std::uint32_t t = t0; t < t1; t += per_bank) {
      banks.push_back(
          s.flow.Psum(layer.name + " sums", s.rows, std::min(per_bank, t1 - t) * s.batch).Split(1, s.batch));
    }
    for (std::uint32_t k = 0; k < stripes; ++k) {
      const Tensor w = LoadStripe(s, layer, k, m0, columns);
      const std::uint32_t depth = s.Part(layer.inputs, k);
      for (std::uint32_t t = t0; t < t1; ++t) {
        const std::uint32_t height = s.Part(layer.units, t);
        s.Product(Pick(banks[(t - t0) / per_bank].Slice(0, 0, height), 1, (t - t0) % per_bank),
                  w.Slice(1, (t - t0) * s.rows, height), Pick(x.Slice(0, 0, depth), 1, k), k > 0);
      }
    }
    // Whole tiles of a bank together, the last one of the layer by itself if it is not whole.
    for (std::uint32_t t = t0; t < t1; t += per_bank) {
      const Tensor& sums = banks[(t - t0) / per_bank];
      ForTiles(std::min(layer.units, std::min(t1, t + per_bank) * s.rows) - t * s.rows, s.rows, kBank,
               [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
                 const auto part = [&](const Tensor& v) { return v.Slice(0, 0, parts).Slice(1, t + first, count); };
                 std::optional<Tensor> z, b;
                 if (!out.z.empty()) z = part(*out.z[0].f);
                 if (bias) b = part(*bias).Insert(2);
                 ThroughActivation(s, layer.activation, part(*out.f), z, sums.Slice(0, 0, parts).Slice(1, first, count),
                                   b);
               });
    }
  }
  if (bias) s.flow.Free(*bias);
}

// Sums with the batch on partitions. done(n0, banks, per_bank, count, parts) for each group of batch
// tiles: banks[i] is [parts][per_bank or the rest][units].
template <typename Done>
void SumsB(StepContext& s, const Layer& layer, Value& in, Done&& done) {
  const Tensor& x = s.F(in);
  const std::uint32_t units = layer.units;
  if (units > kBank) {
    throw TrainError(layer.name + ": " + std::to_string(units) + " outputs with the batch on partitions, " +
                     std::to_string(kBank) + " are possible: they lie in one PSUM bank");
  }
  const std::uint32_t per_bank = kBank / units;
  ForTiles(s.batch, s.rows, kGroupBanks * per_bank, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
    s.flow.Label(layer.name + " forward");
    std::vector<Tensor> banks;
    for (std::uint32_t n = 0; n < count; n += per_bank) {
      banks.push_back(s.flow.Psum(layer.name + " sums", parts, std::min(per_bank, count - n) * units).Split(1, units));
    }
    for (std::uint32_t k = 0; k < s.Tiles(layer.inputs); ++k) {
      const Tensor w = LoadStripe(s, layer, k, 0, units);
      const std::uint32_t depth = s.Part(layer.inputs, k);
      for (std::uint32_t n = 0; n < count; ++n) {
        s.Product(Pick(banks[n / per_bank], 1, n % per_bank),
                  Pick(x.Slice(0, 0, depth), 1, k).Slice(1, (n0 + n) * s.rows, parts), w, k > 0);
      }
    }
    done(n0, banks, per_bank, count, parts);
  });
}

void ForwardB(StepContext& s, const Layer& layer, Value& in, Value& out) {
  out = NewOutput(s, layer, &Value::b, {s.rows, s.Tiles(s.batch), layer.units});
  std::optional<Tensor> bias;
  if (layer.bias) bias = s.LoadRow(layer.name + " bias", layer.bias->value);
  SumsB(s, layer, in,
        [&](std::uint32_t n0, const std::vector<Tensor>& banks, std::uint32_t per_bank, std::uint32_t count,
            std::uint32_t parts) {
          for (std::uint32_t n = 0; n < count; n += per_bank) {
            const Tensor& sums = banks[n / per_bank];
            const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, n0 + n, sums.Size(1)); };
            std::optional<Tensor> z, b;
            if (!out.z.empty()) z = part(*out.z[0].b);
            if (bias) b = bias->Slice(0, 0, parts).Insert(1);
            ThroughActivation(s, layer.activation, part(*out.b), z, sums, b);
          }
        });
  if (bias) s.flow.Free(*bias);
}

// below.f = (transposed weights * gradient.f) through the activation of `previous`, which made `input`.
// From tile `first_tile` of the inputs on; those before it are not written.
void InputGradient(StepContext& s, const Layer& layer, const Value& gradient, const Layer& previous, Value& input,
                   Value& below, std::uint32_t first_tile) {
  const Tensor& dy = *gradient.f;
  below = {previous.name + " output gradient", layer.inputs, s.mode.gradients};
  below.f = s.flow.Sbuf(below.name, below.dtype, {s.rows, s.Tiles(layer.inputs), s.batch});
  // Exact there: the weights, or their scaled copy with the scale taken out again.
  const Dtype exact = s.mode.weight_scale == 1 ? s.mode.compute : Dtype::kBf16;
  const std::uint32_t m_tiles = s.Tiles(layer.units);
  Ring turned(s.flow, layer.name + " transposed weights", exact, m_tiles * s.rows, 2);
  const std::uint32_t per_bank = kBank / s.batch;
  const std::uint32_t stripes = s.Tiles(layer.inputs);

  const auto turn = [&](std::uint32_t k) {
    const std::uint32_t depth = s.Part(layer.inputs, k);
    const Tensor wt = turned.Next({s.rows, m_tiles, depth});
    const std::uint32_t block = std::min(s.stripe_columns, kBank / s.rows * s.rows);
    for (std::uint32_t m0 = 0; m0 < layer.units; m0 += block) {
      const std::uint32_t columns = std::min(block, layer.units - m0);
      const Tensor w = LoadStripe(s, layer, k, m0, columns);
      const Tensor sums = s.flow.Psum(layer.name + " transposed", s.rows, s.Tiles(columns) * depth).Split(1, depth);
      for (std::uint32_t t = 0; t < s.Tiles(columns); ++t) {
        const std::uint32_t height = s.Part(columns, t);
        s.flow.Product(Pick(sums.Slice(0, 0, height), 1, t), w.Slice(1, t * s.rows, height),
                       s.identity.Slice(0, 0, depth).Slice(1, 0, depth), false);
      }
      ForTiles(columns, s.rows, kBank, [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
        const Tensor to = wt.Slice(0, 0, parts).Slice(1, m0 / s.rows + first, count);
        const Tensor from = sums.Slice(0, 0, parts).Slice(1, first, count);
        if (s.mode.weight_scale == 1) {
          s.flow.Move(to, from);
        } else {
          s.flow.Act(ActFunc::kIdentity, to, from, 1 / s.mode.weight_scale);
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
    const std::uint32_t depth = s.Part(layer.inputs, k);
    if (in_bank == 0) {
      sums = s.flow.Psum(below.name, s.rows, std::min(per_bank, stripes - k) * s.batch, true).Split(1, s.batch);
    }
    for (std::uint32_t m = 0; m < m_tiles; ++m) {
      const std::uint32_t height = s.Part(layer.units, m);
      s.Product(Pick(sums.Slice(0, 0, depth), 1, in_bank), Pick(wt.Slice(0, 0, height), 1, m),
                Pick(dy.Slice(0, 0, height), 1, m), m > 0);
    }
    ++in_bank;
    if (in_bank == per_bank || k + 1 == stripes) {
      const std::uint32_t k0 = k + 1 - in_bank;
      ForTiles(std::min(layer.inputs, (k + 1) * s.rows) - k0 * s.rows, s.rows, kBank,
               [&](std::uint32_t first, std::uint32_t count, std::uint32_t parts) {
                 const auto part = [&](const Tensor& t) { return t.Slice(0, 0, parts).Slice(1, k0 + first, count); };
                 BackThroughActivation(
                     s, previous.activation, part(*below.f),
                     previous.activation == Activation::kNone ? Tensor{} : part(s.F(input.SlopeInput())),
                     sums.Slice(0, 0, parts).Slice(1, first, count));
               });
      s.flow.Release(sums);
      in_bank = 0;
    }
  }
  turned.Free(s.flow);
}

// dW[k][m] = sum over the batch of x.b[n][k] * dy.b[n][m], straight into the update.
void WeightGradient(StepContext& s, const Layer& layer, const Value& input, const Value& gradient) {
  const Tensor &x = *input.b, &dy = *gradient.b;
  const std::uint32_t block = std::min(layer.units, kBank);
  const std::uint32_t per_bank = kBank / block;
  ParameterUpdate update(s, layer.weights, std::min(per_bank, s.Tiles(layer.inputs)) * block);
  ForTiles(layer.inputs, s.rows, per_bank, [&](std::uint32_t k0, std::uint32_t count, std::uint32_t parts) {
    for (std::uint32_t m0 = 0; m0 < layer.units; m0 += block) {
      const std::uint32_t columns = std::min(block, layer.units - m0);
      const Tensor sums = s.flow.Psum(layer.name + " weight gradient", parts, count * columns).Split(1, columns);
      for (std::uint32_t k = 0; k < count; ++k) {
        for (std::uint32_t n = 0; n < s.Tiles(s.batch); ++n) {
          const std::uint32_t height = s.Part(s.batch, n);
          s.Product(Pick(sums, 1, k), Pick(x.Slice(0, 0, height), 1, n).Slice(1, (k0 + k) * s.rows, parts),
                    Pick(dy.Slice(0, 0, height), 1, n).Slice(1, m0, columns), n > 0);
        }
      }
      const std::uint32_t first = k0 * s.rows, inputs = count * parts;
      const auto view = [=](const Tensor& t) {
        return t.Slice(0, first, inputs).Slice(1, m0, columns).Split(0, parts).Transpose(0, 1);
      };
      update.Part(view, sums);
    }
  });
  update.Close();
}

}  // namespace

void DenseForward(StepContext& s, const Layer& layer, Value& in, Value& out) {
  if (layer.batch_on_partitions) {
    ForwardB(s, layer, in, out);
  } else {
    ForwardF(s, layer, in, out);
  }
}

void OutputForward(StepContext& s, const Layer& layer, Value& in, Value& gradient) {
  const std::uint32_t units = layer.units;
  std::optional<Tensor> bias;
  if (layer.bias) bias = s.LoadRow(layer.name + " bias", layer.bias->value);
  LossOfBatch loss(s);
  gradient = {layer.name + " output gradient", units, s.mode.gradients};
  if (s.training) gradient.b = s.flow.Sbuf(gradient.name, gradient.dtype, {s.rows, s.Tiles(s.batch), units});
  SumsB(s, layer, in,
        [&](std::uint32_t n0, const std::vector<Tensor>& banks, std::uint32_t per_bank, std::uint32_t count,
            std::uint32_t parts) {
          const Tensor z = s.flow.Sbuf(layer.name + " z", Dtype::kFp32, {parts, count, units});
          for (std::uint32_t n = 0; n < count; n += per_bank) {
            const Tensor to = z.Slice(1, n, std::min(per_bank, count - n));
            if (bias) {
              s.flow.Act(ActFunc::kIdentity, to, banks[n / per_bank], 1 / s.mode.weight_scale,
                         bias->Slice(0, 0, parts).Insert(1));
            } else {
              s.flow.Act(ActFunc::kIdentity, to, banks[n / per_bank], 1 / s.mode.weight_scale);
            }
          }
          s.flow.Label("loss");
          loss.Of(z, n0, gradient);
          s.flow.Free(z);
        });
  if (bias) s.flow.Free(*bias);
  loss.Finish();
}

void DenseBackward(StepContext& s, const Layer& layer, Value& gradient, const Layer* previous, Value& input,
                   Value& below) {
  const auto label = [&](const char* what) { s.flow.Label(layer.name + what); };
  Value looked_up;
  if (previous) {
    label(" gradient transposed");
    s.F(gradient);
    label(" input gradient");
    InputGradient(s, layer, gradient, *previous, input, below, 0);
    s.DropF(input);
  } else if (!s.net.embeddings.empty()) {
    // Of the input, the part that was looked up.
    label(" gradient transposed");
    s.F(gradient);
    label(" input gradient");
    Layer plain;
    plain.name = "input";
    InputGradient(s, layer, gradient, plain, input, looked_up, s.net.embeddings.front().column / s.rows);
  }
  label(" gradient transposed");
  s.B(gradient);
  label(" weight gradient");
  WeightGradient(s, layer, input, gradient);
  if (layer.bias) {
    label(" bias gradient");
    UpdateBySumOverBatch(s, *layer.bias, layer.units, layer.batch_on_partitions ? s.B(gradient) : s.F(gradient));
  }
  if (looked_up.f) UpdateLookedUp(s, looked_up);
}

}  // namespace dither::train
