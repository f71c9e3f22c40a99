// Memory and layouts of a step: slots, transposes, copies between pictures and rows.
#include "sim/program/train/context.hpp"

namespace dither::train {

Tensor Pick(const Tensor& t, std::size_t dim, std::uint32_t index) {
  Tensor one = t.Slice(dim, index, 1);
  one.dims.erase(one.dims.begin() + static_cast<std::ptrdiff_t>(dim));
  return one;
}

Ring::Ring(Flow& flow, const std::string& name, isa::Dtype dtype, std::uint32_t elements, std::uint32_t slots) {
  try {
    for (std::uint32_t s = 0; s < slots; ++s) slots_.push_back(flow.Sbuf(name, dtype, {flow.rows(), elements}));
  } catch (const ProgramError&) {
    Free(flow);
    throw;
  }
}

Tensor Ring::Next(const std::vector<std::uint32_t>& shape) {
  const Tensor& slot = slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  return Tensor::OnChip(slot.name, Place::kSbuf, slot.dtype, 0, slot.address, shape);
}

void Ring::Free(Flow& flow) {
  for (const Tensor& slot : slots_) flow.Free(slot);
  slots_.clear();
}

StepContext::StepContext(const isa::Config& config, const TrainerOptions& options, const Network& network,
                         std::uint32_t batch, bool training)
    : flow(config),
      options(options),
      mode(options.mode),
      net(network),
      rows(config.rows),
      batch(batch),
      training(training) {
  if (batch == 0 || batch > kBank) {
    throw TrainError("batch " + std::to_string(batch) + ": 1 to " + std::to_string(kBank) +
                     " are possible, a PSUM bank holds the sums of " + std::to_string(kBank));
  }
}

Narrowing StepContext::Rounding(isa::Round round, isa::Dtype dtype) {
  // fp8 has no infinity worth having.
  return {round, dtype == isa::Dtype::kFp8E4M3 || dtype == isa::Dtype::kFp8E5M2};
}

const Tensor& StepContext::F(Value& v) {
  if (v.f) return *v.f;
  if (!v.b) B(v);
  v.f = flow.Sbuf(v.name, v.dtype, {rows, Tiles(v.features), batch});
  ForTiles(v.features, rows, kBank / batch, [&](std::uint32_t t0, std::uint32_t count, std::uint32_t parts) {
    const Tensor sums = flow.Psum(v.name + " transposed", parts, count * batch).Split(1, batch);
    for (std::uint32_t t = 0; t < count; ++t) {
      for (std::uint32_t n = 0; n < Tiles(batch); ++n) {
        const std::uint32_t height = Part(batch, n);
        flow.Product(Pick(sums, 1, t).Slice(1, n * rows, height),
                     Pick(v.b->Slice(0, 0, height), 1, n).Slice(1, (t0 + t) * rows, parts),
                     identity.Slice(0, 0, height).Slice(1, 0, height), false);
      }
    }
    flow.Move(v.f->Slice(0, 0, parts).Slice(1, t0, count), sums);
  });
  return *v.f;
}

const Tensor& StepContext::B(Value& v) {
  if (v.b) return *v.b;
  v.b = flow.Sbuf(v.name, v.dtype, {rows, Tiles(batch), v.features});
  if (v.c) {
    CopyPictures(v, false);
    return *v.b;
  }
  const std::uint32_t block = std::min(v.features, kBank / rows * rows);
  ForTiles(batch, rows, kBank / block, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
    for (std::uint32_t m0 = 0; m0 < v.features; m0 += block) {
      const std::uint32_t columns = std::min(block, v.features - m0);
      const Tensor sums = flow.Psum(v.name + " transposed", parts, count * columns).Split(1, columns);
      for (std::uint32_t n = 0; n < count; ++n) {
        for (std::uint32_t m = m0; m < m0 + columns; m += rows) {
          const std::uint32_t height = std::min(rows, v.features - m);
          flow.Product(Pick(sums, 1, n).Slice(1, m - m0, height),
                       Pick(v.f->Slice(0, 0, height), 1, m / rows).Slice(1, (n0 + n) * rows, parts),
                       identity.Slice(0, 0, height).Slice(1, 0, height), false);
        }
      }
      flow.Move(v.b->Slice(0, 0, parts).Slice(1, n0, count).Slice(2, m0, columns), sums);
    }
  });
  return *v.b;
}

const Tensor& StepContext::C(Value& v) {
  if (v.c) return *v.c;
  B(v);
  v.c = flow.Sbuf(v.name, v.dtype, {v.picture[0], batch, v.picture[1], v.picture[2]});
  CopyPictures(v, true);
  return *v.c;
}

// Between pictures with channels on partitions and examples on partitions: a copy, as rows of pixels move
// from partition to partition. One for each tile of the batch.
void StepContext::CopyPictures(Value& v, bool to_c) {
  const std::uint32_t pixels = v.picture[1] * v.picture[2];
  for (std::uint32_t t = 0; t < Tiles(batch); ++t) {
    const std::uint32_t parts = Part(batch, t);
    const Tensor c = v.c->Merge(2).Slice(1, t * rows, parts).Transpose(0, 1);
    const Tensor b = Pick(v.b->Slice(0, 0, parts), 1, t).Split(1, pixels);
    flow.Load(to_c ? c : b, to_c ? b : c);
  }
}

void StepContext::DropF(Value& v) {
  if (v.f) flow.Free(*v.f);
  v.f.reset();
}

void StepContext::DropB(Value& v) {
  if (v.b) flow.Free(*v.b);
  v.b.reset();
}

void StepContext::Drop(Value& v) {
  DropF(v);
  DropB(v);
  if (v.c) flow.Free(*v.c);
  v.c.reset();
  for (Value& z : v.z) Drop(z);
  v.z.clear();
}

Tensor StepContext::LoadRow(const std::string& name, const Tensor& dram) {
  const Tensor row = flow.Sbuf(name, dram.dtype, {rows, dram.Size(1)});
  Tensor repeated = dram;
  repeated.dims[0] = {rows, 0, 0};
  flow.Load(row, repeated);
  return row;
}

void StepContext::Product(const Tensor& dst, const Tensor& stationary, const Tensor& moving, bool accumulate) {
  flow.Product(dst, stationary, moving, accumulate);
  array_columns += moving.Elements() / moving.Size(0) * PiecesOf(stationary.dtype) * PiecesOf(moving.dtype);
}

}  // namespace dither::train
