// Shapes, views and their descriptions.
#include "sim/program/tensor.hpp"

#include <cstdio>

#include "sim/program/program.hpp"

namespace dither {
namespace {

[[noreturn]] void Fail(const Tensor& tensor, const std::string& what) {
  throw ProgramError(tensor.Describe() + ": " + what);
}

void NeedDim(const Tensor& tensor, std::size_t dim, const char* view) {
  if (dim >= tensor.dims.size()) {
    Fail(tensor, std::string(view) + ": no dimension " + std::to_string(dim));
  }
}

void NeedShape(const Tensor& tensor) {
  if (tensor.dims.empty()) Fail(tensor, "a tensor needs at least one dimension");
  for (std::size_t d = 0; d < tensor.dims.size(); ++d) {
    if (tensor.dims[d].size == 0) Fail(tensor, "dimension " + std::to_string(d) + " is empty");
  }
}

}  // namespace

const char* Name(Place place) {
  switch (place) {
    case Place::kDram: return "DRAM";
    case Place::kSbuf: return "SBUF";
    case Place::kPsum: return "PSUM";
  }
  return "?";
}

Tensor Tensor::Dram(std::string name, std::uint64_t address, isa::Dtype dtype,
                    const std::vector<std::uint32_t>& shape) {
  Tensor t{std::move(name), Place::kDram, dtype, address, 0, {}, false};
  for (const std::uint32_t size : shape) t.dims.push_back({size, 0, 0});
  NeedShape(t);
  std::int64_t step = 1;
  for (auto dim = t.dims.rbegin(); dim != t.dims.rend(); ++dim) {
    dim->step = step;
    step *= dim->size;
  }
  return t;
}

Tensor Tensor::OnChip(std::string name, Place place, isa::Dtype dtype, std::uint32_t part,
                      std::uint64_t offset, const std::vector<std::uint32_t>& shape) {
  Tensor t = Dram(std::move(name), offset, dtype, shape);
  t.place = place;
  t.part = part;
  if (place == Place::kDram) Fail(t, "an on-chip tensor lies in SBUF or PSUM");
  t.dims[0].step = 0;
  t.dims[0].part_step = 1;
  return t;
}

std::uint64_t Tensor::Elements() const {
  std::uint64_t count = 1;
  for (const Dim& dim : dims) count *= dim.size;
  return count;
}

std::vector<std::uint32_t> Tensor::Shape() const {
  std::vector<std::uint32_t> shape;
  for (const Dim& dim : dims) shape.push_back(dim.size);
  return shape;
}

Tensor Tensor::Slice(std::size_t dim, std::uint32_t begin, std::uint32_t count) const {
  NeedDim(*this, dim, "slice");
  if (count == 0 || begin > dims[dim].size || count > dims[dim].size - begin) {
    Fail(*this, "slice " + std::to_string(begin) + "+" + std::to_string(count) +
                    " is outside dimension " + std::to_string(dim) + " of size " +
                    std::to_string(dims[dim].size));
  }
  Tensor t = *this;
  t.dims[dim].size = count;
  t.address += static_cast<std::uint64_t>(begin * dims[dim].step * ElementBytes());
  t.part += static_cast<std::uint32_t>(static_cast<std::int64_t>(begin) * dims[dim].part_step);
  return t;
}

Tensor Tensor::Transpose(std::size_t a, std::size_t b) const {
  NeedDim(*this, a, "transpose");
  NeedDim(*this, b, "transpose");
  Tensor t = *this;
  std::swap(t.dims[a], t.dims[b]);
  return t;
}

Tensor Tensor::Permute(const std::vector<std::size_t>& order) const {
  Tensor t = *this;
  std::vector<bool> seen(dims.size());
  if (order.size() != dims.size()) Fail(*this, "permute needs every dimension once");
  for (std::size_t d = 0; d < order.size(); ++d) {
    NeedDim(*this, order[d], "permute");
    if (seen[order[d]]) Fail(*this, "permute needs every dimension once");
    seen[order[d]] = true;
    t.dims[d] = dims[order[d]];
  }
  return t;
}

Tensor Tensor::Broadcast(std::size_t dim, std::uint32_t size) const {
  NeedDim(*this, dim, "broadcast");
  if (dims[dim].size != 1) {
    Fail(*this, "broadcast: dimension " + std::to_string(dim) + " has size " +
                    std::to_string(dims[dim].size) + ", not 1");
  }
  Tensor t = *this;
  t.dims[dim] = {size, 0, 0};
  NeedShape(t);
  return t;
}

Tensor Tensor::Insert(std::size_t before) const {
  if (before > dims.size()) Fail(*this, "insert: no dimension " + std::to_string(before));
  Tensor t = *this;
  t.dims.insert(t.dims.begin() + static_cast<std::ptrdiff_t>(before), Dim{});
  return t;
}

Tensor Tensor::Split(std::size_t dim, std::uint32_t inner) const {
  NeedDim(*this, dim, "split");
  const Dim whole = dims[dim];
  if (inner == 0 || whole.size % inner != 0) {
    Fail(*this, "split: " + std::to_string(inner) + " does not divide dimension " +
                    std::to_string(dim) + " of size " + std::to_string(whole.size));
  }
  Tensor t = *this;
  t.dims[dim] = {whole.size / inner, whole.step * inner,
                 whole.part_step * static_cast<std::int32_t>(inner)};
  t.dims.insert(t.dims.begin() + static_cast<std::ptrdiff_t>(dim) + 1,
                {inner, whole.step, whole.part_step});
  return t;
}

Tensor Tensor::Paired() const {
  if (pair || isa::DtypeBytes(dtype) != 1) Fail(*this, "pairs are of single 8-bit values");
  if (dims.size() < 2 || dims.back() != Dim{2, 1, 0}) {
    Fail(*this, "pairs: the last dimension must be two values side by side");
  }
  Tensor t = *this;
  t.dims.pop_back();
  t.pair = true;
  bool even = address % 2 == 0;
  for (Dim& dim : t.dims) {
    even = even && dim.step % 2 == 0;
    dim.step /= 2;
  }
  if (!even) Fail(*this, "pairs: address and steps must be even");
  return t;
}

Tensor Tensor::Unpaired() const {
  if (!pair) Fail(*this, "these are no pairs");
  Tensor t = *this;
  t.pair = false;
  for (Dim& dim : t.dims) dim.step *= 2;
  t.dims.push_back({2, 1, 0});
  return t;
}

Tensor Tensor::PairLayout() const {
  Tensor t = Split(0, 2);
  const Dim number = t.dims[1];
  t.dims.erase(t.dims.begin() + 1);
  t.dims.push_back(number);
  return t;
}

Tensor Tensor::Merge(std::size_t dim) const {
  NeedDim(*this, dim + 1, "merge");
  const Dim outer = dims[dim], inner = dims[dim + 1];
  if (outer.step != inner.step * inner.size ||
      outer.part_step != inner.part_step * static_cast<std::int32_t>(inner.size)) {
    Fail(*this, "merge: dimensions " + std::to_string(dim) + " and " + std::to_string(dim + 1) +
                    " do not lie one behind the other");
  }
  Tensor t = *this;
  t.dims[dim] = {outer.size * inner.size, inner.step, inner.part_step};
  t.dims.erase(t.dims.begin() + static_cast<std::ptrdiff_t>(dim) + 1);
  return t;
}

Tensor Tensor::Named(std::string new_name) const {
  Tensor t = *this;
  t.name = std::move(new_name);
  return t;
}

std::string Tensor::Describe() const {
  char where[48];
  if (place == Place::kDram) {
    std::snprintf(where, sizeof where, " in DRAM @0x%llx",
                  static_cast<unsigned long long>(address));
  } else {
    std::snprintf(where, sizeof where, " in %s p%u @0x%llx", Name(place), part,
                  static_cast<unsigned long long>(address));
  }
  std::string text = (name.empty() ? "(unnamed)" : name) + " " + std::string(isa::Name(dtype)) + (pair ? " pairs" : "");
  for (const Dim& dim : dims) text += "[" + std::to_string(dim.size) + "]";
  return text + where;
}

}  // namespace dither
