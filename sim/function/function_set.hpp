// Sets of function tables as the scalar engine loads them: the project's own and a user's.
//
//   FunctionSet set({isa::ActFunc::kGelu, isa::ActFunc::kExp});
//   set.AddFile("build/functions/mish.dft", isa::ActFunc::kUser0);
//   builder.LoadFunctions(set.Place(*device));     // DRAM, DMA, load instruction
//   builder.Act(isa::ActFunc::kGelu, y, x);
//
// Test  tb/function/function_test.cpp, tb/system/functions_test.cpp
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "sim/device/device.hpp"
#include "sim/function/fit.hpp"
#include "sim/program/tensor.hpp"

namespace dither {

// A set that can't be: a function that does not exist, twice, too many; a damaged file.
class FunctionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The table of one of the project's functions, as it lies in sim/function/tables.cpp. Throws
// FunctionError for a function without one (identity, relu, user0..).
const function::FittedFunction& TableOf(isa::ActFunc func);

// A table file: the image of a set of one function. Reading checks it and throws FunctionError.
void WriteTableFile(const std::string& path, const function::FittedFunction& table);
function::FittedFunction ReadTableFile(const std::string& path);

class FunctionSet {
 public:
  FunctionSet() = default;
  FunctionSet(std::initializer_list<isa::ActFunc> funcs) {
    for (const isa::ActFunc func : funcs) Add(func);
  }
  void Add(isa::ActFunc func) { Add(TableOf(func), func); }
  void Add(const function::FittedFunction& table, isa::ActFunc as);
  void AddFile(const std::string& path, isa::ActFunc as) { Add(ReadTableFile(path), as); }

  bool Has(isa::ActFunc func) const;
  std::size_t segments() const { return segments_.size(); }
  std::size_t entries() const { return entries_.size(); }
  std::vector<std::uint8_t> Image() const;

  // Writes the image to DRAM of the device, for ProgramBuilder::LoadFunctions: a tensor
  // [partitions][words] of int32, padded with zeros.
  Tensor Place(Device& device) const;
  // The same where the image has been put somewhere already.
  Tensor PlacedAt(std::uint64_t address, std::uint32_t partitions) const;

 private:
  std::vector<model::FunctionHeader> headers_;
  std::vector<model::OctaveEntry> entries_;
  std::vector<model::Segment> segments_;
};

}  // namespace dither
