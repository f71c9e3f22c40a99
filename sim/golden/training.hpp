// Golden kernels of training: what forward, backward and update mean, in double precision and plain
// loops. Batches are matrices [example][feature]. Nothing of sim/model or sim/program is included.
//
// Test  tb/train/golden_test.cpp, by differences of the loss
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/golden/golden.hpp"

namespace dither::golden {

enum class Nonlinearity { kNone, kRelu, kGelu, kTanh, kSigmoid, kSilu };
double Apply(Nonlinearity f, double x);
double Derivative(Nonlinearity f, double x);

enum class LayerKind { kDense, kLayerNorm, kBatchNorm, kConv };

inline constexpr double kNormEpsilon = 1e-5;  // added to variances

// Examples are [channel][row][column]; no padding.
struct Convolution {
  std::size_t channels = 0, height = 0, width = 0, out_channels = 0, kernel = 0, stride = 0;
  std::size_t OutHeight() const { return (height - kernel) / stride + 1; }
  std::size_t OutWidth() const { return (width - kernel) / stride + 1; }
};

struct Layer {
  // [inputs][units]; of a normalisation the factors, [1][units]; of a convolution
  // [kernel row, kernel column, channel][out channel]
  Matrix weights;
  std::vector<double> bias;  // [units] or [out channels], or none
  Nonlinearity activation = Nonlinearity::kNone;
  LayerKind kind = LayerKind::kDense;
  Convolution convolution = {};
};

// Every row (example) or column (feature) by itself brought to mean 0 and variance 1.
Matrix Normalised(LayerKind kind, const Matrix& x);

struct Gradients {
  double loss = 0;
  std::vector<Matrix> weights;
  std::vector<std::vector<double>> bias;
  Matrix input;  // of the examples
};

// Mean over the batch, and its gradient for z.
double SoftmaxCrossEntropy(const Matrix& z, const std::vector<std::uint32_t>& labels, Matrix* gradient);
// Mean over the batch and the outputs.
double MeanSquare(const Matrix& z, const Matrix& targets, Matrix* gradient);

// Activations of all layers: [0] is the input, the last one the outputs.
std::vector<Matrix> Forward(const std::vector<Layer>& net, const Matrix& x);

// Loss and gradients of a perceptron; labels where there are any, else targets.
Gradients Backward(const std::vector<Layer>& net, const Matrix& x,
                   const std::vector<std::uint32_t>& labels, const Matrix& targets);

}  // namespace dither::golden
