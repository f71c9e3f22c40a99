// Plain loops, nothing clever: these are read to be believed.
#include "sim/golden/golden.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace dither::golden {
namespace {

// Maximum and minimum as IEEE 754-2019 has them: NaN wins, -0 is below +0.
double Maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  if (a == 0 && b == 0) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

}  // namespace

Matrix Matmul(const Matrix& a, const Matrix& b, Matrix* magnitude) {
  if (a.rows != b.rows) throw std::invalid_argument("golden matmul: contracted sizes differ");
  Matrix c(a.columns, b.columns);
  if (magnitude) *magnitude = Matrix(a.columns, b.columns);
  for (std::size_t k = 0; k < a.rows; ++k) {
    for (std::size_t m = 0; m < a.columns; ++m) {
      for (std::size_t n = 0; n < b.columns; ++n) {
        const double product = a(k, m) * b(k, n);
        c(m, n) += product;
        if (magnitude) (*magnitude)(m, n) += std::fabs(product);
      }
    }
  }
  return c;
}

Matrix Dense(const Matrix& w, const Matrix& x, const std::vector<double>& bias,
             Matrix* magnitude) {
  Matrix y = Matmul(w, x, magnitude);
  for (std::size_t m = 0; m < y.rows; ++m) {
    for (std::size_t n = 0; n < y.columns; ++n) {
      y(m, n) += bias.at(m);
      if (magnitude) (*magnitude)(m, n) += std::fabs(bias.at(m));
    }
  }
  return y;
}

double Relu(double x) { return Maximum(x, 0.0); }

Matrix Relu(const Matrix& x) {
  Matrix y = x;
  for (double& value : y.values) value = Relu(value);
  return y;
}

double Apply(Binary op, double a, double b) {
  switch (op) {
    case Binary::kAdd: return a + b;
    case Binary::kSub: return a - b;
    case Binary::kMul: return a * b;
    case Binary::kMax: return Maximum(a, b);
    case Binary::kMin: return -Maximum(-a, -b);
    case Binary::kAbs: return std::fabs(a);
    case Binary::kAbsMax: return Maximum(std::fabs(a), std::fabs(b));
    case Binary::kEq: return a == b;
    case Binary::kNe: return a != b;
    case Binary::kLt: return a < b;
    case Binary::kLe: return a <= b;
    case Binary::kGt: return a > b;
    case Binary::kGe: return a >= b;
    case Binary::kSelect: return a != 0 ? b : 0.0;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double Function(const std::string& name, double x) {
  const double kPi = std::acos(-1.0);
  const auto sigmoid = [](double z) { return z < 0 ? std::exp(z) / (1 + std::exp(z)) : 1 / (1 + std::exp(-z)); };
  const auto cdf = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  const auto pdf = [&](double z) { return std::exp(-0.5 * z * z) / std::sqrt(2 * kPi); };
  // gelu's tanh form is x sigmoid(2 z).
  const auto z2 = [&](double v) { return 2 * std::sqrt(2 / kPi) * (v + 0.044715 * v * v * v); };
  const double slope = 0.01f;
  if (name == "identity") return x;
  if (name == "relu") return Relu(x);
  if (name == "leaky_relu") return x < 0 ? slope * x : x;
  if (name == "leaky_relu_grad") return x < 0 ? slope : 1;
  if (name == "gelu") return x * cdf(x);
  if (name == "gelu_grad") {
    const double y = cdf(x) + x * pdf(x);
    return y == 0 && x < 0 ? -0.0 : y;  // negative, however small
  }
  if (name == "gelu_tanh") return x * sigmoid(z2(x));
  if (name == "gelu_tanh_grad") {
    const double z = z2(x), slope_z = 2 * std::sqrt(2 / kPi) * (1 + 3 * 0.044715 * x * x);
    return sigmoid(z) * (1 + x * slope_z * sigmoid(-z));
  }
  if (name == "silu") return x * sigmoid(x);
  if (name == "silu_grad") return sigmoid(x) * (1 + x * sigmoid(-x));
  if (name == "sigmoid") return sigmoid(x);
  if (name == "sigmoid_grad") return sigmoid(x) * sigmoid(-x);
  if (name == "tanh") return std::tanh(x);
  if (name == "tanh_grad") return 4 * sigmoid(2 * x) * sigmoid(-2 * x);
  if (name == "exp") return std::exp(x);
  if (name == "log") return std::log(x);
  if (name == "sqrt") return std::sqrt(x);
  if (name == "rsqrt") return 1 / std::sqrt(x);
  if (name == "reciprocal") return 1 / x;
  if (name == "softplus") return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  if (name == "erf") return std::erf(x);
  if (name == "sin") return std::sin(x);
  if (name == "cos") return std::cos(x);
  throw std::invalid_argument("golden: no function '" + name + "'");
}

double Sum(const std::vector<double>& values, double* magnitude) {
  double sum = 0;
  if (magnitude) *magnitude = 0;
  for (const double value : values) {
    sum += value;
    if (magnitude) *magnitude += std::fabs(value);
  }
  return sum;
}

double Max(const std::vector<double>& values) {
  double result = values.at(0);
  for (const double value : values) result = Maximum(result, value);
  return result;
}

double Min(const std::vector<double>& values) {
  double result = values.at(0);
  for (const double value : values) result = Apply(Binary::kMin, result, value);
  return result;
}

std::size_t ArgMax(const std::vector<double>& values) {
  std::size_t best = 0;
  for (std::size_t n = 1; n < values.size(); ++n) {
    if (values[n] > values[best]) best = n;
  }
  return best;
}

double Mean(const std::vector<double>& values) {
  return Sum(values) / static_cast<double>(values.size());
}

double Variance(const std::vector<double>& values) {
  const double mean = Mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / static_cast<double>(values.size());
}

std::size_t ArgMaxOfColumn(const Matrix& x, std::size_t column) {
  std::size_t best = 0;
  for (std::size_t r = 1; r < x.rows; ++r) {
    if (x(r, column) > x(best, column)) best = r;
  }
  return best;
}

double ValueOf(unsigned long bits, int exponent_bits, int mantissa_bits, bool finite_only) {
  const unsigned long mantissa = bits & ((1ul << mantissa_bits) - 1);
  const unsigned long exponent = (bits >> mantissa_bits) & ((1ul << exponent_bits) - 1);
  const bool negative = ((bits >> (mantissa_bits + exponent_bits)) & 1) != 0;
  const unsigned long all_ones = (1ul << exponent_bits) - 1;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  double value = 0;
  if (exponent == all_ones && !finite_only) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  } else if (finite_only && exponent == all_ones && mantissa == (1ul << mantissa_bits) - 1) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<double>(mantissa), 1 - bias - mantissa_bits);
  } else {
    value = std::ldexp(static_cast<double>(mantissa + (1ul << mantissa_bits)),
                       static_cast<int>(exponent) - bias - mantissa_bits);
  }
  return negative ? -value : value;
}

}  // namespace dither::golden
