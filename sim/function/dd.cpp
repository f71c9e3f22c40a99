// Series and reductions, chosen for plainness: nothing here has to be fast.
#include "sim/function/dd.hpp"

#include <cmath>
#include <limits>

#include "sim/model/two_over_pi.hpp"

namespace dither::function {
namespace {

constexpr Dd kLn2{0.69314718055994529, 2.3190468138462996e-17};
// A term that no longer counts in the sum of a series.
bool Negligible(Dd term, Dd sum) { return std::fabs(term.hi) <= 0x1p-108 * std::fabs(sum.hi); }

constexpr Dd kPi{3.1415926535897931, 1.2246467991473532e-16};

// a + b exactly, |a| >= |b|.
Dd QuickSum(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}
Dd TwoSum(double a, double b) {
  const double sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
Dd TwoProduct(double a, double b) {
  const double product = a * b;
  return {product, std::fma(a, b, -product)};
}

}  // namespace

Dd operator+(Dd a, Dd b) {
  Dd high = TwoSum(a.hi, b.hi);
  if (!std::isfinite(high.hi)) return high.hi;
  const Dd low = TwoSum(a.lo, b.lo);
  high = QuickSum(high.hi, high.lo + low.hi);
  return QuickSum(high.hi, high.lo + low.lo);
}
Dd operator-(Dd a, Dd b) { return a + (-b); }
Dd operator*(Dd a, Dd b) {
  const Dd product = TwoProduct(a.hi, b.hi);
  if (!std::isfinite(product.hi) || product.hi == 0) return product.hi;
  return QuickSum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}
Dd operator/(Dd a, Dd b) {
  const double q0 = a.hi / b.hi;
  if (!std::isfinite(q0) || q0 == 0 || !std::isfinite(b.hi)) return q0;
  const Dd r = a - b * Dd(q0);
  const double q1 = r.hi / b.hi;
  const double q2 = (r - b * Dd(q1)).hi / b.hi;
  return QuickSum(q0, q1) + Dd(q2);
}

Dd Scale(Dd a, int exponent) { return {std::ldexp(a.hi, exponent), std::ldexp(a.lo, exponent)}; }
Dd Abs(Dd a) { return a.hi < 0 ? -a : a; }
Dd Pi() { return kPi; }

Dd Sqrt(Dd a) {
  if (!(a.hi > 0) || !std::isfinite(a.hi)) return std::sqrt(a.hi);
  const Dd s(std::sqrt(a.hi));
  return s + (a - s * s) / (s + s);
}

Dd Expm1(Dd a) {
  if (Abs(a).hi > 0.3) return Exp(a) - Dd(1);
  Dd term = a, sum = a;
  for (int n = 2; n < 30 && !Negligible(term, sum); ++n) {
    term = term * a / Dd(n);
    sum = sum + term;
  }
  return sum;
}

Dd Exp(Dd a) {
  if (a.hi > 709) return std::numeric_limits<double>::infinity();
  if (a.hi < -740) return 0.0;
  const double k = std::nearbyint(a.hi / kLn2.hi);
  const Dd r = a - kLn2 * Dd(k);
  // (exp(r / 16))^16, with the 1 left out while it would cost bits.
  Dd s = Expm1(Scale(r, -4));
  for (int n = 0; n < 4; ++n) s = s + s + s * s;
  const Dd power = s + Dd(1);
  // In two steps: the second one may reach double's subnormals.
  const int steps = static_cast<int>(k);
  return Scale(Scale(power, steps / 2), steps - steps / 2);
}

// 2 atanh(s) with s = u / (2 + u).
Dd Log1p(Dd u) {
  if (u.hi > 0.5 || u.hi < -0.4) return Log(u + Dd(1));
  const Dd s = u / (u + Dd(2)), square = s * s;
  Dd power = s, sum = s;
  for (int n = 3; n < 90 && !Negligible(power, sum); n += 2) {
    power = power * square;
    sum = sum + power / Dd(n);
  }
  return sum + sum;
}

Dd Log(Dd a) {
  if (!(a.hi > 0) || !std::isfinite(a.hi)) {
    if (a.hi == 0) return -std::numeric_limits<double>::infinity();
    return a.hi > 0 ? a.hi : std::numeric_limits<double>::quiet_NaN();
  }
  int exponent = 0;
  const double m = std::frexp(a.hi, &exponent);
  if (m < 0.70710678) --exponent;
  const Dd u = Scale(a, -exponent) - Dd(1);
  return Log1p(u) + kLn2 * Dd(exponent);
}

Dd Log2(Dd a) { return Log(a) / kLn2; }

Dd Tanh(Dd a) {
  if (a.hi < 0) return -Tanh(-a);
  if (a.hi > 200) return 1.0;
  const Dd e = Expm1(a + a);
  return e / (e + Dd(2));
}
Dd Sigmoid(Dd a) {
  if (a.hi < 0) {
    const Dd e = Exp(a);
    return e / (Dd(1) + e);
  }
  return Dd(1) / (Dd(1) + Exp(-a));
}
Dd Softplus(Dd a) { return a.hi > 0 ? a + Log1p(Exp(-a)) : Log1p(Exp(a)); }

Dd Erf(Dd a) {
  if (a.hi < 0) return -Erf(-a);
  if (a.hi > 3) return Dd(1) - Erfc(a);
  // exp(-a^2) * sum of 2^n a^(2n+1) / (1 * 3 * ... * (2n+1)): no cancellation.
  const Dd square = a * a;
  Dd term = a, sum = a;
  for (int n = 1; n < 120 && !Negligible(term, sum); ++n) {
    term = term * (square + square) / Dd(2 * n + 1);
    sum = sum + term;
  }
  return Dd(2) * sum * Exp(-square) / Sqrt(kPi);
}

Dd Erfc(Dd a) {
  if (a.hi <= 3) return Dd(1) - Erf(a);
  if (a.hi > 27) return 0.0;
  // Continued fraction, from the inside out.
  Dd fraction = a;
  for (int n = 60; n > 0; --n) fraction = a + Dd(n * 0.5) / fraction;
  return Exp(-(a * a)) / (Sqrt(kPi) * fraction);
}

Dd NormalCdf(Dd a) { return Dd(0.5) * Erfc(-a / Sqrt(Dd(2))); }
Dd NormalPdf(Dd a) { return Exp(Dd(-0.5) * a * a) / Sqrt(kPi + kPi); }

Dd SinQuarter(Dd a) {
  if (a.hi > 0.5) return CosQuarter(Dd(1) - a);
  const Dd x = a * kPi * Dd(0.5), square = x * x;
  Dd term = x, sum = x;
  for (int n = 2; n < 40 && !Negligible(term, sum); n += 2) {
    term = -(term * square / Dd(n * (n + 1)));
    sum = sum + term;
  }
  return sum;
}
Dd CosQuarter(Dd a) {
  if (a.hi > 0.5) return SinQuarter(Dd(1) - a);
  const Dd x = a * kPi * Dd(0.5), square = x * x;
  Dd term(1), sum(1);
  for (int n = 1; n < 40 && !Negligible(term, sum); n += 2) {
    term = -(term * square / Dd(n * (n + 1)));
    sum = sum + term;
  }
  return sum;
}

namespace {

// An fp32 number in quarter turns: quadrant and the fraction in it, from 2/pi bit by bit.
Dd Quarters(Dd a, int& quadrant) {
  const double magnitude = std::fabs(a.hi);
  int exponent = 0;
  const auto m = static_cast<std::uint64_t>(std::ldexp(std::frexp(magnitude, &exponent), 24));
  // magnitude = m * 2^(exponent - 24). Bit i of 2/pi is worth 2^-(i+1); what is worth a whole turn
  // (2^2 after the product with m) or more drops out.
  Dd sum = 0.0;
  for (int i = model::kTwoOverPiBits - 1; i >= 0; --i) {
    if (!model::TwoOverPiBit(i)) continue;
    const int weight = exponent - 24 - (i + 1);
    if (weight >= 2 || weight < -200) continue;
    sum = sum + Scale(Dd(static_cast<double>(m)), weight);
    while (sum.hi >= 4) sum = sum - Dd(4.0 * std::floor(sum.hi / 4));
    if (sum.hi < 0) sum = sum + Dd(4);
  }
  double whole = std::floor(sum.hi);
  if (sum.hi == whole && sum.lo < 0) whole -= 1;
  quadrant = static_cast<int>(whole) & 3;
  return sum - Dd(whole);
}

}  // namespace

Dd Sin(Dd a) {
  if (!std::isfinite(a.hi)) return std::numeric_limits<double>::quiet_NaN();
  int quadrant = 0;
  if (std::fabs(a.hi) < 0.5) return SinQuarter(a / (kPi * Dd(0.5)));
  const Dd r = Quarters(a, quadrant);
  const Dd y = quadrant % 2 == 0 ? SinQuarter(r) : CosQuarter(r);
  return (quadrant >= 2) != (a.hi < 0) ? -y : y;
}
Dd Cos(Dd a) {
  if (!std::isfinite(a.hi)) return std::numeric_limits<double>::quiet_NaN();
  int quadrant = 0;
  const Dd r = Quarters(a, quadrant);
  const Dd y = quadrant % 2 == 0 ? CosQuarter(r) : SinQuarter(r);
  return quadrant == 1 || quadrant == 2 ? -y : y;
}

}  // namespace dither::function
