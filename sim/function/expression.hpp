// A function written as text, for `make function`: numbers, x, + - * / ^ (whole exponents), brackets,
// and the functions of dd.hpp by name. Computed in numbers of about 100 bits.
//
// What cancels in the text cancels here too: for small or large x write expm1(x), log1p(x),
// sigmoid(x), softplus(x), erfc(x) and not what they stand for.
//
// Test  tb/function/function_test.cpp
#pragma once

#include <functional>
#include <string>

#include "sim/function/dd.hpp"

namespace dither::function {

// Throws std::invalid_argument that shows the place, or lists the functions.
std::function<Dd(Dd)> ParseExpression(const std::string& text);

}  // namespace dither::function
