// Gather and scatter of the functional model against plain loops over arrays.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>

#include "sim/program/disassemble.hpp"
#include "tb/model/rig.hpp"

namespace dither::tb {
namespace {

using isa::Dtype;
using isa::Err;

constexpr std::uint64_t kDram = 0x1000;  // of the rig

// A list in SBUF with these words.
Tensor List(Rig& rig, std::uint32_t part, const std::vector<std::uint32_t>& words) {
  const Tensor list = rig.builder.Sbuf("list", Dtype::kInt32, {1, static_cast<std::uint32_t>(words.size())}, part, 4);
  std::memcpy(rig.model.memory().Sbuf(part) + list.address, words.data(), words.size() * 4);
  return list;
}

}  // namespace

TEST_CASE("a gather takes the rows that the list names, a scatter puts them there in order", "[functional][indexed][random]") {
  const auto seed = GENERATE(range(1u, 61u));
  CAPTURE(seed);
  Rig rig(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(rig.random() % n); };
  const Dtype dtype = isa::kAllDtype[below(7)];
  const std::uint32_t bytes = isa::DtypeBytes(dtype);
  const std::uint32_t rows = 1 + below(50), a = 1 + below(3), b = 1 + below(20), count = 1 + below(40);
  const bool gather = below(2), sbuf = below(3) != 0, partitions = sbuf && below(2), turned = below(3) == 0;
  // A table whose rows have room between them, at any element; a row is [a][b], maybe seen as [b][a].
  const std::uint32_t pitch = a * b + below(5);
  Tensor table = Tensor::Dram("table", kDram + below(64) * bytes, dtype, {rows, pitch}).Slice(1, 0, a * b).Split(1, b);
  if (turned) table = table.Transpose(1, 2);
  const std::uint32_t n = partitions ? std::min(count, rig.builder.rows()) : count;
  Tensor data = !sbuf        ? Tensor::Dram("data", kDram + 0x8000, dtype, {n, a, b})
                : partitions ? rig.builder.Sbuf("data", dtype, {n, a, b})
                             : rig.builder.Sbuf("data", dtype, {1, n, a, b});
  if (sbuf && !partitions) data.dims.erase(data.dims.begin());
  if (turned) data = data.Transpose(1, 2);
  std::vector<std::uint32_t> words(n);
  for (auto& w : words) w = below(rows);
  const Tensor list = List(rig, below(8), words);

  // The expectation: element by element, addresses from the views' own steps.
  const Snapshot before = Take(rig.model);
  std::vector<std::uint8_t> want_sbuf = before.sbuf, want_dram = before.dram;
  const auto at = [&](const Tensor& t, std::uint32_t row, std::uint32_t x, std::uint32_t y) {
    const std::array<std::int64_t, 3> k = {row, x, y};
    std::int64_t offset = static_cast<std::int64_t>(t.address), part = t.part;
    for (std::size_t d = 0; d < 3; ++d) {
      offset += k[d] * t.dims[d].step * bytes;
      part += k[d] * t.dims[d].part_step;
    }
    return t.place == Place::kDram ? &want_dram[static_cast<std::size_t>(offset) - kDram]
                                   : &want_sbuf[static_cast<std::size_t>(part * rig.model.config().sbuf_bytes + offset)];
  };
  for (std::uint32_t r = 0; r < n; ++r) {
    for (std::uint32_t x = 0; x < table.Size(1); ++x) {
      for (std::uint32_t y = 0; y < table.Size(2); ++y) {
        std::uint8_t *in_table = at(table, words[r], x, y), *in_data = at(data, r, x, y);
        std::memcpy(gather ? in_data : in_table, gather ? in_table : in_data, bytes);
      }
    }
  }
  if (gather) rig.builder.Gather(Queue::kDma0, data, table, list);
  else rig.builder.Scatter(Queue::kDma0, table, data, list);
  CAPTURE(Disassemble(Queue::kDma0, rig.Last(Queue::kDma0)));
  ExecuteInside(rig.model, Queue::kDma0, rig.Last(Queue::kDma0));
  CHECK(rig.model.memory().sbuf == want_sbuf);
  CHECK(rig.model.dram().bytes == want_dram);
  CHECK(FunctionalModel::Work(Queue::kDma0, rig.Last(Queue::kDma0)) == std::uint64_t{n} * a * b * bytes);
}

TEST_CASE("an index outside the table stops the instruction before it moves a byte", "[functional][indexed]") {
  const bool gather = GENERATE(true, false);
  const std::uint32_t bad = GENERATE(10u, 11u, 0x7fffffffu, 0x80000000u, 0xffffffffu);
  const std::uint32_t place = GENERATE(0u, 3u, 6u);
  CAPTURE(gather, bad, place);
  Rig rig(5);
  const Tensor table = Tensor::Dram("table", kDram, Dtype::kBf16, {10, 24});
  const Tensor data = rig.builder.Sbuf("data", Dtype::kBf16, {7, 24});
  std::vector<std::uint32_t> words = {0, 9, 1, 8, 2, 7, 3};
  words[place] = bad;
  if (place == 3) words[5] = 0xdeadbeef;  // the first one counts
  const Tensor list = List(rig, 2, words);
  if (gather) rig.builder.Gather(Queue::kDma1, data, table, list);
  else rig.builder.Scatter(Queue::kDma1, table, data, list);
  const Snapshot before = Take(rig.model);
  const auto record = static_cast<std::int64_t>(std::uint64_t{place} << 32 | bad);
  CHECK(rig.model.Execute(Queue::kDma1, rig.Last(Queue::kDma1)) == CheckResult{Err::kBadIndex, 2, record});
  CHECK(before.sbuf == rig.model.memory().sbuf);
  CHECK(before.dram == rig.model.dram().bytes);
  // The same list with that one repaired goes.
  words = {0, 9, 1, 8, 2, 7, 3};
  std::memcpy(rig.model.memory().Sbuf(2) + list.address, words.data(), words.size() * 4);
  CHECK(rig.model.Execute(Queue::kDma1, rig.Last(Queue::kDma1)) == CheckResult{});
}

}  // namespace dither::tb
