// The functions that come with the project: what they are, in numbers of about 100 bits.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/function/dd.hpp"
#include "sim/model/function_table.hpp"

namespace dither::function {

struct Spec {
  std::string name;
  isa::ActFunc code = isa::ActFunc::kUser0;
  model::ArgMode mode = model::ArgMode::kOctave;
  model::Symmetry symmetry = model::Symmetry::kNone;
  bool parity = false;
  std::uint8_t turn = 0;
  std::function<Dd(Dd)> f;                  // of finite x; NaN outside the domain
  std::function<Dd(Dd)> second;             // kLog: of u = x - 1; kTurn: of quarter turns 0..1
  Dd addend = 0.0;                          // kLog: of one octave of x
  std::array<double, 4> special{};          // at +0, -0, +infinity, -infinity
};

const std::vector<Spec>& Catalog();
// Throws std::invalid_argument, listing the names, if there is none.
const Spec& Find(const std::string& name);

}  // namespace dither::function
