// Numbers of about 100 bits (an unevaluated sum of two doubles) and the elementary functions on
// them, built on IEEE add, multiply, fma, divide and square root alone, so that every host computes
// the same bits; no function of the host's math library takes part. The fitter's mathematics.
//
// Range: that of double. Relative error of a result: below 2^-80 unless stated.
//
// Test  tb/function/function_test.cpp, against the host's library
#pragma once

#include <cstdint>

namespace dither::function {

struct Dd {
  double hi = 0, lo = 0;
  constexpr Dd() = default;
  constexpr Dd(double h) : hi(h) {}  // implicit: doubles are numbers of this type
  constexpr Dd(double h, double l) : hi(h), lo(l) {}
};

Dd operator+(Dd a, Dd b);
Dd operator-(Dd a, Dd b);
Dd operator*(Dd a, Dd b);
Dd operator/(Dd a, Dd b);
inline Dd operator-(Dd a) { return {-a.hi, -a.lo}; }
inline bool operator<(Dd a, Dd b) { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo); }
inline bool operator>(Dd a, Dd b) { return b < a; }

Dd Scale(Dd a, int exponent);  // a * 2^exponent
Dd Abs(Dd a);
Dd Sqrt(Dd a);
Dd Exp(Dd a);
Dd Expm1(Dd a);
Dd Log(Dd a);
Dd Log1p(Dd a);
Dd Log2(Dd a);
Dd Tanh(Dd a);
Dd Sigmoid(Dd a);
Dd Softplus(Dd a);  // log(1 + exp(a))
Dd Erf(Dd a);
Dd Erfc(Dd a);      // relative error below 2^-70
Dd NormalCdf(Dd a); // (1 + erf(a / sqrt 2)) / 2
Dd NormalPdf(Dd a);
// sin(pi/2 * a), cos(pi/2 * a), 0 <= a <= 1
Dd SinQuarter(Dd a);
Dd CosQuarter(Dd a);
// Sine and cosine of radians, any fp32 number.
Dd Sin(Dd a);
Dd Cos(Dd a);

Dd Pi();

}  // namespace dither::function
