// Tables whose rows the examples name: looked up into the input, and updated row by row.
#include "sim/program/train/layers.hpp"
#include "sim/program/train/update.hpp"

namespace dither::train {

using isa::Dtype;
using isa::Queue;
using isa::VecFunc;

std::vector<Tensor> LoadLists(StepContext& s) {
  std::vector<Tensor> lists;
  for (const Tensor& list : s.net.lists) {
    lists.push_back(s.flow.Sbuf("rows of the examples", Dtype::kInt32, {1, s.batch}));
    s.flow.Load(lists.back(), list.Slice(1, 0, s.batch));
  }
  return lists;
}

void LookUp(StepContext& s, const std::vector<Tensor>& lists, Value& x) {
  for (std::uint32_t e = 0; e < s.net.embeddings.size(); ++e) {
    const EmbeddingTable& table = s.net.embeddings[e];
    s.flow.Label(table.table.name + " rows");
    for (std::uint32_t t = 0; t < s.Tiles(s.batch); ++t) {
      const std::uint32_t parts = s.Part(s.batch, t);
      const Tensor& rows = table.table.Read();
      s.flow.Gather(Queue::kDma0, Pick(x.b->Slice(0, 0, parts), 1, t).Slice(1, table.column, table.width),
                    rows.Slice(0, 0, table.rows), lists[e].Slice(1, t * s.rows, parts),
                    rows.Slice(0, table.rows + t * s.rows, parts));
    }
    s.flow.Free(lists[e]);
  }
}

namespace {

// Examples with the same row add up: a product with the matrix that says which of the batch's different
// rows each example has. Then the update, of those rows alone.
void UpdateTable(StepContext& s, std::size_t index, const Tensor& dx) {
  const EmbeddingTable& table = s.net.embeddings[index];
  s.flow.Label(table.table.name + " gradient");
  const std::uint32_t tiles = s.Tiles(s.batch), width = table.width;
  const Tensor slot = s.flow.Sbuf("slots", Dtype::kFp32, {s.rows, tiles});
  const Tensor which = s.flow.Sbuf("which row", s.mode.compute, {s.rows, tiles, s.batch});
  const Tensor list = s.flow.Sbuf("different rows", Dtype::kInt32, {1, s.batch});
  s.flow.Load(list, s.net.different[index].Slice(1, 0, s.batch));
  ForTiles(s.batch, s.rows, kBank, [&](std::uint32_t n0, std::uint32_t count, std::uint32_t parts) {
    s.flow.Load(slot.Slice(0, 0, parts).Slice(1, n0, count),
                s.net.slots[index].Slice(0, n0 * s.rows, count * parts).Split(0, parts).Transpose(0, 1));
  });
  for (std::uint32_t n = 0; n < tiles; ++n) {
    const std::uint32_t parts = s.Part(s.batch, n);
    s.flow.Elementwise(VecFunc::kEq, Pick(which.Slice(0, 0, parts), 1, n), Generated::Iota(0, {1}),
                       slot.Slice(0, 0, parts).Slice(1, n, 1));
  }
  const std::uint32_t per_bank = std::min(tiles, kBank / width);
  ParameterUpdate update(s, table.table, per_bank * width);
  ForTiles(s.batch, s.rows, per_bank, [&](std::uint32_t u0, std::uint32_t count, std::uint32_t parts) {
    const Tensor sums = s.flow.Psum(table.table.name + " gradient", parts, count * width).Split(1, width);
    for (std::uint32_t u = 0; u < count; ++u) {
      for (std::uint32_t n = 0; n < tiles; ++n) {
        const std::uint32_t height = s.Part(s.batch, n);
        s.Product(Pick(sums, 1, u), Pick(which.Slice(0, 0, height), 1, n).Slice(1, (u0 + u) * s.rows, parts),
                  Pick(dx.Slice(0, 0, height), 1, n).Slice(1, table.column, width), n > 0);
      }
    }
    // Between the table and the partitions. The different rows are different ones: each counts as a row
    // behind the table, so that one tile needs not wait for another.
    const auto each_tile = [=, &s, &table](const Tensor& dram, const Tensor& chip, bool to_dram) {
      for (std::uint32_t u = 0; u < count; ++u) {
        const std::uint32_t first = (u0 + u) * s.rows;
        const Tensor here = Pick(chip, 1, u), rows = list.Slice(1, first, parts);
        const Tensor counts_as = dram.Slice(0, table.rows + first, parts);
        if (to_dram) {
          s.flow.Scatter(Queue::kDma1, dram, here, rows, counts_as);
        } else {
          s.flow.Gather(Queue::kDma0, here, dram, rows, counts_as);
        }
      }
    };
    update.PartBy([=](const Tensor& to, const Tensor& dram) { each_tile(dram, to, false); },
                  [=](const Tensor& dram, const Tensor& from) { each_tile(dram, from, true); }, sums);
  });
  update.Close();
  for (const Tensor& t : {list, which, slot}) s.flow.Free(t);
}

}  // namespace

void UpdateLookedUp(StepContext& s, Value& gradient) {
  s.flow.Label("embedding gradient");
  const Tensor& dx = s.B(gradient);
  for (std::size_t e = 0; e < s.net.embeddings.size(); ++e) UpdateTable(s, e, dx);
  s.Drop(gradient);
}

}  // namespace dither::train
