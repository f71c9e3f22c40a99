// Golden kernels: what the operations mean, in double precision and plain loops. Independent of the
// model (nothing of sim/model is included), so that both can't be wrong together unnoticed.
//
// Matrices are row-major. Each sum also gives its magnitude, the sum of the terms' absolute values:
// error bounds of a floating-point sum are relative to that, not to the sum.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dither::golden {

struct Matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<double> values;
  Matrix() = default;
  Matrix(std::size_t r, std::size_t c) : rows(r), columns(c), values(r * c) {}
  double& operator()(std::size_t r, std::size_t c) { return values[r * columns + c]; }
  double operator()(std::size_t r, std::size_t c) const { return values[r * columns + c]; }
};

// a[K][M]^T * b[K][N]; magnitude, if given, gets the sums of |a| * |b|.
Matrix Matmul(const Matrix& a, const Matrix& b, Matrix* magnitude = nullptr);

// w[K][M]^T * x[K][N] + bias[M]
Matrix Dense(const Matrix& w, const Matrix& x, const std::vector<double>& bias,
             Matrix* magnitude = nullptr);

double Relu(double x);
Matrix Relu(const Matrix& x);

// In the order of VecFunc, without copy. abs takes a alone; comparisons are 1 or 0; select is b where a
// is not 0, else 0.
enum class Binary { kAdd, kSub, kMul, kMax, kMin, kAbs, kAbsMax, kEq, kNe, kLt, kLe, kGt, kGe, kSelect };
double Apply(Binary op, double a, double b);

// The scalar engine's function of a name ("gelu", "silu_grad", ...) by the host's math library;
// NaN outside its domain. Throws std::invalid_argument for another name.
double Function(const std::string& name, double x);

double Sum(const std::vector<double>& values, double* magnitude = nullptr);
double Max(const std::vector<double>& values);
double Min(const std::vector<double>& values);
std::size_t ArgMax(const std::vector<double>& values);  // the first of several
double Mean(const std::vector<double>& values);
double Variance(const std::vector<double>& values);  // of the population, in two passes

// Index of the largest value of a column; the first of several.
std::size_t ArgMaxOfColumn(const Matrix& x, std::size_t column);

// Value of a number format's pattern, written down from the formats' definitions: sign,
// exponent_bits, mantissa_bits, IEEE special values, or none but NaN (all ones) where
// `finite_only`.
double ValueOf(unsigned long bits, int exponent_bits, int mantissa_bits, bool finite_only = false);

}  // namespace dither::golden
