// Sizes of a pass, biases, and the layers' calls.
#include "sim/program/mlp.hpp"

#include <algorithm>
#include <array>

#include "sim/program/layer.hpp"

namespace dither {
namespace {

using isa::Queue;

[[noreturn]] void Fail(const std::string& what) { throw ProgramError("mlp: " + what); }

std::uint32_t Aligned(std::uint32_t bytes) { return (bytes + 63) / 64 * 64; }

void Check(const MlpSpec& spec) {
  if (spec.layers.empty()) Fail("no layers");
  const auto need = [](const Tensor& t, std::size_t dims) {
    if (t.place != Place::kDram) Fail(t.Describe() + " must lie in DRAM");
    if (t.dims.size() != dims) {
      Fail(t.Describe() + " must have " + std::to_string(dims) + " dimensions");
    }
  };
  need(spec.input, 2);
  need(spec.output, 2);
  std::uint32_t features = spec.input.Size(0);
  for (const MlpLayer& layer : spec.layers) {
    need(layer.weights, 2);
    need(layer.bias, 1);
    if (layer.weights.Size(0) != features) {
      Fail(layer.weights.Describe() + " must have " + std::to_string(features) +
           " rows, the features that come in");
    }
    if (layer.weights.dtype != spec.layers[0].weights.dtype) {
      Fail(layer.weights.Describe() + ": all weights must have one dtype");
    }
    features = layer.weights.Size(1);
    if (layer.bias.dtype != isa::Dtype::kFp32 || layer.bias.Size(0) != features) {
      Fail(layer.bias.Describe() + " must be fp32[" + std::to_string(features) + "]");
    }
  }
  if (spec.output.Size(0) != features || spec.output.Size(1) != spec.input.Size(1)) {
    Fail(spec.output.Describe() + " must be [" + std::to_string(features) + "][" +
         std::to_string(spec.input.Size(1)) + "]");
  }
}

}  // namespace

void BuildMlp(ProgramBuilder& builder, const MlpSpec& spec) {
  Check(spec);
  const std::uint32_t rows = builder.rows(), batch = spec.input.Size(1);
  const std::uint32_t mark = builder.SbufMark();
  const auto tiles_of = [rows](std::uint32_t features) { return (features + rows - 1) / rows; };

  // Biases: value m lies in partition m % rows, one column per tile. Ring 1 is idle at the start.
  Counter bias_loads = builder.NewCounter("mlp.bias");
  std::vector<LayerPipeline::Bias> biases(spec.layers.size());
  std::uint32_t hidden_tiles = 0, widest = 0;
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const Tensor& bias = spec.layers[l].bias;
    const std::uint32_t size = bias.Size(0), full = size / rows;
    const Tensor on_chip = builder.Sbuf(bias.name + " on chip", isa::Dtype::kFp32,
                                        {rows, tiles_of(size)});
    if (full > 0) {
      builder.Copy(Queue::kDma1, on_chip.Slice(1, 0, full),
                   bias.Slice(0, 0, full * rows).Split(0, rows).Transpose(0, 1),
                   {{}, bias_loads.Tick(), false});
    }
    if (size % rows != 0) {
      const Tensor rest = bias.Slice(0, full * rows, size % rows).Insert(1);
      builder.Copy(Queue::kDma1, on_chip.Slice(0, 0, size % rows).Slice(1, full, 1), rest,
                   {{}, bias_loads.Tick(), false});
    }
    biases[l] = {on_chip, bias_loads.Until(bias_loads.count()), bias_loads.count()};
    widest = std::max(widest, tiles_of(size));
    if (l + 1 < spec.layers.size()) hidden_tiles = std::max(hidden_tiles, tiles_of(size));
  }

  // The largest pass that fits: two hidden buffers, results, some weights and input stripes.
  LayerPipeline::Sizes sizes;
  sizes.x_dtype = spec.input.dtype;
  sizes.w_dtype = spec.layers[0].weights.dtype;
  sizes.out_dtype = spec.output.dtype;
  sizes.out_slots = 2;
  sizes.w_columns = std::min(widest, LayerPipeline::kGroupTiles * 2) * rows;
  const std::uint32_t room = builder.SbufFree() - 64;
  const std::uint32_t limit = spec.pass_columns == 0
                                  ? LayerPipeline::kMaxColumns
                                  : std::min(spec.pass_columns, LayerPipeline::kMaxColumns);
  const std::uint32_t first_stripes = tiles_of(spec.input.Size(0));
  std::uint32_t columns = std::min(batch, limit);
  for (;; columns = (columns + 1) / 2) {
    const std::uint32_t hidden =
        Aligned(2 * hidden_tiles * columns * isa::DtypeBytes(spec.hidden)) + 64;
    const std::uint32_t out = 2 * Aligned(columns * spec.output.ElementBytes());
    const std::uint32_t x_bytes = Aligned(columns * spec.input.ElementBytes());
    const std::uint32_t w_bytes = Aligned(sizes.w_columns * spec.layers[0].weights.ElementBytes());
    const std::uint64_t least = std::uint64_t{hidden} + out + 4 * x_bytes + 4 * w_bytes;
    if (least <= room) {
      // Input stripes are read once per group of tiles: more slots save loads, weights get a third.
      const std::uint32_t rest = room - hidden - out;
      sizes.columns = columns;
      sizes.w_slots = std::clamp(rest / 3 / w_bytes, 4u, 32u);
      sizes.x_slots = std::min((rest - sizes.w_slots * w_bytes) / x_bytes,
                               std::max(2u, 2 * first_stripes));
      if (sizes.x_slots >= 2) break;
    }
    if (columns == 1) {
      if (sizes.w_columns > rows) {
        sizes.w_columns = std::max(sizes.w_columns / 2 / rows, 1u) * rows;
        columns = 2 * std::min(batch, limit);
        continue;
      }
      Fail("hidden layers of " + std::to_string(hidden_tiles * rows) +
           " features don't fit the " + std::to_string(room) + " free bytes of a partition");
    }
  }

  LayerPipeline pipeline(builder, sizes);
  std::array<LayerPipeline::Activations, 2> hidden;
  if (hidden_tiles > 0) {
    for (auto& buffer : hidden) {
      buffer.tensor =
          builder.Sbuf("hidden activations", spec.hidden, {rows, hidden_tiles, columns});
    }
  }
  // Even passes: the last one is not much smaller than the others.
  const std::uint32_t passes = (batch + columns - 1) / columns;
  const std::uint32_t step = (batch + passes - 1) / passes;
  std::size_t buffer = 0;
  for (std::uint32_t n0 = 0; n0 < batch; n0 += step) {
    const std::uint32_t count = std::min(step, batch - n0);
    for (std::size_t l = 0; l < spec.layers.size(); ++l) {
      LayerPipeline::Layer layer;
      layer.name = "layer " + std::to_string(l);
      layer.columns = count;
      layer.weights = spec.layers[l].weights;
      if (l == 0) {
        layer.input = spec.input.Slice(1, n0, count);
      } else {
        layer.from = &hidden[buffer];
      }
      if (l + 1 == spec.layers.size()) {
        layer.output = spec.output.Slice(1, n0, count);
      } else {
        buffer ^= 1;
        layer.to = &hidden[buffer];
      }
      layer.bias = &biases[l];
      layer.func = spec.layers[l].func;
      layer.evacuate = Evacuate::kScalar;
      layer.narrowing = spec.narrowing;
      pipeline.Run(layer);
    }
  }
  pipeline.Finish();
  builder.SbufRelease(mark);
}

Program BuildMlp(const isa::Config& config, const MlpSpec& spec) {
  ProgramBuilder builder(config);
  BuildMlp(builder, spec);
  return builder.Take();
}

}  // namespace dither
