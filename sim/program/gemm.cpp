// Chooses the rings' sizes and runs one layer call per 512 columns.
#include "sim/program/gemm.hpp"

#include <algorithm>

namespace dither {
namespace {

[[noreturn]] void Fail(const std::string& what) { throw ProgramError("gemm: " + what); }

void NeedMatrix(const Tensor& t) {
  if (t.place != Place::kDram) Fail(t.Describe() + " must lie in DRAM");
  if (t.dims.size() != 2) Fail(t.Describe() + " must have two dimensions");
}

std::uint32_t Aligned(std::uint32_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

void BuildGemm(ProgramBuilder& builder, const GemmSpec& spec) {
  NeedMatrix(spec.a);
  NeedMatrix(spec.b);
  NeedMatrix(spec.c);
  const std::uint32_t k = spec.a.Size(0), m = spec.a.Size(1), n = spec.b.Size(1);
  if (spec.b.Size(0) != k) {
    Fail(spec.a.Describe() + " and " + spec.b.Describe() +
         " have different dimensions 0, which is contracted");
  }
  if (spec.c.Size(0) != m || spec.c.Size(1) != n) {
    Fail(spec.c.Describe() + " must be [" + std::to_string(m) + "][" + std::to_string(n) + "]");
  }
  const std::uint32_t rows = builder.rows();
  const std::uint32_t stripes = (k + rows - 1) / rows;
  const std::uint32_t mark = builder.SbufMark();
  const std::uint32_t room = builder.SbufFree() - 64;  // for alignment

  LayerPipeline::Sizes sizes;
  sizes.x_dtype = spec.b.dtype;
  sizes.w_dtype = spec.a.dtype;
  sizes.out_dtype = spec.c.dtype;
  sizes.columns = std::min(n, LayerPipeline::kMaxColumns);
  const std::uint32_t x_bytes = Aligned(sizes.columns * spec.b.ElementBytes());
  const std::uint32_t out_bytes = Aligned(sizes.columns * spec.c.ElementBytes());
  sizes.out_slots = 4 * out_bytes <= room / 4 ? 4 : 2;
  const std::uint32_t rest = room - sizes.out_slots * out_bytes;
  // W may take a quarter of what is left: one slot is the columns of several groups of tiles.
  const std::uint32_t tiles = (m + rows - 1) / rows;
  sizes.w_columns = std::min(tiles, 4 * LayerPipeline::kGroupTiles) * rows;
  const auto w_bytes = [&] { return Aligned(sizes.w_columns * spec.a.ElementBytes()); };
  while (sizes.w_columns > LayerPipeline::kGroupTiles * rows &&
         std::min(stripes, 4u) * w_bytes() > rest / 4) {
    sizes.w_columns = std::max(sizes.w_columns / 2 / rows, LayerPipeline::kGroupTiles) * rows;
  }
  while (sizes.w_columns > rows && 2 * w_bytes() > rest / 4) {
    sizes.w_columns = std::max(sizes.w_columns / 2 / rows, 1u) * rows;
  }
  sizes.w_slots = std::clamp(rest / 4 / w_bytes(), 2u, std::max(2u, 2 * stripes));
  const std::uint32_t x_room =
      rest > sizes.w_slots * w_bytes() ? rest - sizes.w_slots * w_bytes() : 0;
  sizes.x_slots = std::min(x_room / x_bytes, std::max(2u, 2 * stripes));
  if (sizes.x_slots < 2) {
    Fail("SBUF has " + std::to_string(room) + " free bytes a partition, two stripes of " +
         std::to_string(x_bytes) + " bytes don't fit beside weights and results");
  }

  LayerPipeline pipeline(builder, sizes);
  for (std::uint32_t n0 = 0; n0 < n; n0 += sizes.columns) {
    LayerPipeline::Layer layer;
    layer.name = spec.c.name;
    layer.columns = std::min(sizes.columns, n - n0);
    layer.weights = spec.a;
    layer.input = spec.b.Slice(1, n0, layer.columns);
    layer.output = spec.c.Slice(1, n0, layer.columns);
    layer.evacuate = spec.evacuate;
    layer.func = spec.func;
    layer.narrowing = spec.narrowing;
    pipeline.Run(layer);
  }
  pipeline.Finish();
  builder.SbufRelease(mark);
}

Program BuildGemm(const isa::Config& config, const GemmSpec& spec) {
  ProgramBuilder builder(config);
  BuildGemm(builder, spec);
  return builder.Take();
}

}  // namespace dither
