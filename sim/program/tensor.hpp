// A tensor as a program sees it: name, shape, dtype and place, with views that cost nothing.
//
// Each dimension has a size and a step: elements along the address, and partitions on chip. On
// chip, dimension 0 of a new tensor is the partition. Dimensions are listed outermost first. Views
// only change sizes and steps; what no instruction can express is refused when an instruction is
// built.
//
// Test  tb/program/builder_test.cpp
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/isa/isa.hpp"

namespace dither {

enum class Place : std::uint8_t { kDram, kSbuf, kPsum };
const char* Name(Place place);

struct Dim {
  std::uint32_t size = 1;
  std::int64_t step = 0;       // elements
  std::int32_t part_step = 0;  // partitions
  bool operator==(const Dim&) const = default;
};

struct Tensor {
  std::string name;
  Place place = Place::kDram;
  isa::Dtype dtype = isa::Dtype::kFp32;
  std::uint64_t address = 0;  // DRAM: byte address; on chip: byte offset in the partition
  std::uint32_t part = 0;     // on chip: partition of the first element
  std::vector<Dim> dims;
  bool pair = false;  // an element is two neighbouring 8-bit values: operands of a matmul at twice the rate

  // Row-major tensors.
  static Tensor Dram(std::string name, std::uint64_t address, isa::Dtype dtype,
                     const std::vector<std::uint32_t>& shape);
  static Tensor OnChip(std::string name, Place place, isa::Dtype dtype, std::uint32_t part,
                       std::uint64_t offset, const std::vector<std::uint32_t>& shape);

  std::uint32_t ElementBytes() const { return isa::DtypeBytes(dtype) * (pair ? 2 : 1); }
  std::uint64_t Elements() const;
  std::uint64_t Bytes() const { return Elements() * ElementBytes(); }
  std::vector<std::uint32_t> Shape() const;
  std::uint32_t Size(std::size_t dim) const { return dims.at(dim).size; }

  // Views. A bad dimension or range is a ProgramError that names this tensor.
  Tensor Slice(std::size_t dim, std::uint32_t begin, std::uint32_t count) const;
  Tensor Transpose(std::size_t a, std::size_t b) const;
  Tensor Permute(const std::vector<std::size_t>& order) const;
  Tensor Broadcast(std::size_t dim, std::uint32_t size) const;  // a dimension of size 1 repeated
  Tensor Insert(std::size_t before) const;                      // a new dimension of size 1
  Tensor Split(std::size_t dim, std::uint32_t inner) const;     // [n] -> [n / inner][inner]
  Tensor Merge(std::size_t dim) const;                          // [a][b] -> [a * b], if even steps
  Tensor Named(std::string new_name) const;
  // 8-bit values [..][2], the last dimension bytes side by side, as pairs [..], and back.
  Tensor Paired() const;
  Tensor Unpaired() const;
  // 8-bit values [K][..] as [K/2][..][2], value k of dimension 0 being number k % 2 of k / 2: copied to a tensor that was
  // Unpaired() it makes the operand of a matmul of pairs.
  Tensor PairLayout() const;

  // "x bf16[16][512] in SBUF p0 @0x400"
  std::string Describe() const;
};

}  // namespace dither
