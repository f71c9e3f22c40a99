// The fitter: from a function in mathematics to a table whose every bf16 result is the correctly
// rounded one, if there is such a table.
//
//   octaves of the argument -> fewest segments within the tolerance -> all 65,536 bf16 inputs checked
//   -> segments with a wrong result nudged by a few units, or their octave split further
//
// Only integers, and doubles in +, -, *, / and fma (dd.hpp): the same table on every host.
//
// Test  tb/function/function_test.cpp; make functions-check compares with the tables in the repository
#pragma once

#include <cstdint>
#include <vector>

#include "sim/function/catalog.hpp"
#include "sim/model/function_table.hpp"

namespace dither::function {

// A function with its own directory and segments, both counted from 0.
struct FittedFunction {
  model::FunctionHeader header;
  std::vector<model::OctaveEntry> entries;
  std::vector<model::Segment> segments;
  bool operator==(const FittedFunction&) const = default;
};

struct Bf16Check {
  std::uint32_t wrong = 0;              // inputs whose result is not the correctly rounded one
  std::vector<std::uint16_t> examples;  // the first 16 of them
};

// Throws std::runtime_error if the function has no such table, saying where it fails.
FittedFunction Fit(const Spec& spec);

// All 65,536 bf16 inputs, to bf16, to nearest even, against the mathematics.
Bf16Check CheckBf16(const Spec& spec, const FittedFunction& fitted);

// The mathematics at an fp32, special values included.
Dd Truth(const Spec& spec, std::uint32_t x);
// The bf16 nearest to it, ties to even.
std::uint16_t TruthBf16(const Spec& spec, std::uint32_t x);
// Distance of an fp32 result from the mathematics in units of the last place there; 0 for equal
// special values, infinity where one is special and the other not.
double UlpError(Dd truth, std::uint32_t result);

// As it lies in the engine: alone.
model::FunctionMemory MemoryOf(const FittedFunction& fitted);

}  // namespace dither::function
