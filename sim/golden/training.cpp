#include "sim/golden/training.hpp"

#include <algorithm>
#include <cmath>

namespace dither::golden {
namespace {

constexpr double kSqrt2 = 1.41421356237309504880;
constexpr double kPi = 3.14159265358979323846;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Index of the group that an element is normalised with, and its place in it.
struct Groups {
  std::size_t count, length;
  bool rows;
  Groups(LayerKind kind, const Matrix& x)
      : count(kind == LayerKind::kLayerNorm ? x.rows : x.columns),
        length(kind == LayerKind::kLayerNorm ? x.columns : x.rows),
        rows(kind == LayerKind::kLayerNorm) {}
  double& At(Matrix& x, std::size_t g, std::size_t i) const { return rows ? x(g, i) : x(i, g); }
  double At(const Matrix& x, std::size_t g, std::size_t i) const { return rows ? x(g, i) : x(i, g); }
};

double Deviation(const Groups& groups, const Matrix& x, std::size_t g, double* mean) {
  const auto n = static_cast<double>(groups.length);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < groups.length; ++i) sum += groups.At(x, g, i);
  for (std::size_t i = 0; i < groups.length; ++i) squares += std::pow(groups.At(x, g, i) - sum / n, 2);
  *mean = sum / n;
  return std::sqrt(squares / n + kNormEpsilon);
}

// The gradient of a group's input is that of its output times the matrix of all derivatives.
Matrix NormalisedBack(LayerKind kind, const Matrix& x, const Matrix& gradient) {
  const Groups groups(kind, x);
  const Matrix y = Normalised(kind, x);
  const auto n = static_cast<double>(groups.length);
  Matrix below(x.rows, x.columns);
  for (std::size_t g = 0; g < groups.count; ++g) {
    double mean = 0;
    const double deviation = Deviation(groups, x, g, &mean);
    for (std::size_t i = 0; i < groups.length; ++i) {
      for (std::size_t j = 0; j < groups.length; ++j) {
        const double slope = ((i == j ? 1 : 0) - 1 / n - groups.At(y, g, i) * groups.At(y, g, j) / n) / deviation;
        groups.At(below, g, i) += slope * groups.At(gradient, g, j);
      }
    }
  }
  return below;
}

// Calls f(row of the weights, input, out channel, output) for everything that a convolution multiplies.
template <typename F>
void ForProducts(const Convolution& c, F&& f) {
  for (std::size_t m = 0; m < c.out_channels; ++m) {
    for (std::size_t y = 0; y < c.OutHeight(); ++y) {
      for (std::size_t x = 0; x < c.OutWidth(); ++x) {
        const std::size_t output = (m * c.OutHeight() + y) * c.OutWidth() + x;
        for (std::size_t ky = 0; ky < c.kernel; ++ky) {
          for (std::size_t kx = 0; kx < c.kernel; ++kx) {
            for (std::size_t k = 0; k < c.channels; ++k) {
              const std::size_t input = (k * c.height + y * c.stride + ky) * c.width + x * c.stride + kx;
              f((ky * c.kernel + kx) * c.channels + k, input, m, output);
            }
          }
        }
      }
    }
  }
}

// Before the activation.
Matrix Sums(const Layer& layer, const Matrix& x) {
  if (layer.kind == LayerKind::kConv) {
    const Convolution& c = layer.convolution;
    const std::size_t pixels = c.OutHeight() * c.OutWidth();
    Matrix z(x.rows, c.out_channels * pixels);
    for (std::size_t n = 0; n < x.rows; ++n) {
      for (std::size_t i = 0; i < z.columns; ++i) z(n, i) = layer.bias.empty() ? 0 : layer.bias[i / pixels];
      ForProducts(c, [&](std::size_t w, std::size_t input, std::size_t m, std::size_t output) {
        z(n, output) += layer.weights(w, m) * x(n, input);
      });
    }
    return z;
  }
  if (layer.kind != LayerKind::kDense) {
    Matrix z = Normalised(layer.kind, x);
    for (std::size_t n = 0; n < z.rows; ++n) {
      for (std::size_t m = 0; m < z.columns; ++m) z(n, m) = z(n, m) * layer.weights(0, m) + layer.bias[m];
    }
    return z;
  }
  Matrix z(x.rows, layer.weights.columns);
  for (std::size_t n = 0; n < x.rows; ++n) {
    for (std::size_t m = 0; m < z.columns; ++m) {
      double sum = layer.bias.empty() ? 0 : layer.bias[m];
      for (std::size_t k = 0; k < x.columns; ++k) sum += x(n, k) * layer.weights(k, m);
      z(n, m) = sum;
    }
  }
  return z;
}

Matrix Activated(const Layer& layer, Matrix z) {
  for (double& v : z.values) v = Apply(layer.activation, v);
  return z;
}

}  // namespace

Matrix Normalised(LayerKind kind, const Matrix& x) {
  const Groups groups(kind, x);
  Matrix y(x.rows, x.columns);
  for (std::size_t g = 0; g < groups.count; ++g) {
    double mean = 0;
    const double deviation = Deviation(groups, x, g, &mean);
    for (std::size_t i = 0; i < groups.length; ++i) groups.At(y, g, i) = (groups.At(x, g, i) - mean) / deviation;
  }
  return y;
}

double Apply(Nonlinearity f, double x) {
  switch (f) {
    case Nonlinearity::kNone: return x;
    case Nonlinearity::kRelu: return std::max(x, 0.0);
    case Nonlinearity::kGelu: return x * 0.5 * std::erfc(-x / kSqrt2);
    case Nonlinearity::kTanh: return std::tanh(x);
    case Nonlinearity::kSigmoid: return Sigmoid(x);
    case Nonlinearity::kSilu: return x * Sigmoid(x);
  }
  return 0;
}

double Derivative(Nonlinearity f, double x) {
  switch (f) {
    case Nonlinearity::kNone: return 1;
    case Nonlinearity::kRelu: return x > 0 ? 1 : 0;
    case Nonlinearity::kGelu:
      return 0.5 * std::erfc(-x / kSqrt2) + x * std::exp(-x * x / 2) / std::sqrt(2 * kPi);
    case Nonlinearity::kTanh: return 1 - std::tanh(x) * std::tanh(x);
    case Nonlinearity::kSigmoid: return Sigmoid(x) * (1 - Sigmoid(x));
    case Nonlinearity::kSilu: return Sigmoid(x) * (1 + x * (1 - Sigmoid(x)));
  }
  return 0;
}

double SoftmaxCrossEntropy(const Matrix& z, const std::vector<std::uint32_t>& labels, Matrix* gradient) {
  double loss = 0;
  if (gradient) *gradient = Matrix(z.rows, z.columns);
  const auto batch = static_cast<double>(z.rows);
  for (std::size_t n = 0; n < z.rows; ++n) {
    double most = z(n, 0), sum = 0;
    for (std::size_t m = 0; m < z.columns; ++m) most = std::max(most, z(n, m));
    for (std::size_t m = 0; m < z.columns; ++m) sum += std::exp(z(n, m) - most);
    loss += (std::log(sum) - (z(n, labels[n]) - most)) / batch;
    for (std::size_t m = 0; gradient && m < z.columns; ++m) {
      (*gradient)(n, m) = (std::exp(z(n, m) - most) / sum - (m == labels[n] ? 1 : 0)) / batch;
    }
  }
  return loss;
}

double MeanSquare(const Matrix& z, const Matrix& targets, Matrix* gradient) {
  double loss = 0;
  const auto count = static_cast<double>(z.values.size());
  if (gradient) *gradient = Matrix(z.rows, z.columns);
  for (std::size_t i = 0; i < z.values.size(); ++i) {
    const double d = z.values[i] - targets.values[i];
    loss += d * d / count;
    if (gradient) gradient->values[i] = 2 * d / count;
  }
  return loss;
}

std::vector<Matrix> Forward(const std::vector<Layer>& net, const Matrix& x) {
  std::vector<Matrix> values = {x};
  for (const Layer& layer : net) values.push_back(Activated(layer, Sums(layer, values.back())));
  return values;
}

Gradients Backward(const std::vector<Layer>& net, const Matrix& x,
                   const std::vector<std::uint32_t>& labels, const Matrix& targets) {
  const std::vector<Matrix> values = Forward(net, x);
  Gradients g;
  Matrix dy;
  g.loss = labels.empty() ? MeanSquare(values.back(), targets, &dy)
                          : SoftmaxCrossEntropy(values.back(), labels, &dy);
  g.weights.resize(net.size());
  g.bias.resize(net.size());
  for (std::size_t l = net.size(); l-- > 0;) {
    const Layer& layer = net[l];
    const Matrix& in = values[l];
    const Matrix z = Sums(layer, in);
    for (std::size_t i = 0; i < dy.values.size(); ++i) {
      dy.values[i] *= Derivative(layer.activation, z.values[i]);
    }
    if (layer.kind == LayerKind::kConv) {
      const Convolution& c = layer.convolution;
      Matrix below(in.rows, in.columns);
      g.weights[l] = Matrix(layer.weights.rows, layer.weights.columns);
      g.bias[l].assign(layer.bias.size(), 0);
      for (std::size_t n = 0; n < in.rows; ++n) {
        for (std::size_t i = 0; !layer.bias.empty() && i < dy.columns; ++i) {
          g.bias[l][i / (c.OutHeight() * c.OutWidth())] += dy(n, i);
        }
        ForProducts(c, [&](std::size_t w, std::size_t input, std::size_t m, std::size_t output) {
          g.weights[l](w, m) += in(n, input) * dy(n, output);
          below(n, input) += layer.weights(w, m) * dy(n, output);
        });
      }
      dy = std::move(below);
      continue;
    }
    if (layer.kind != LayerKind::kDense) {
      const Matrix normal = Normalised(layer.kind, in);
      g.weights[l] = Matrix(1, dy.columns);
      g.bias[l].assign(dy.columns, 0);
      Matrix scaled = dy;
      for (std::size_t n = 0; n < dy.rows; ++n) {
        for (std::size_t m = 0; m < dy.columns; ++m) {
          g.weights[l](0, m) += dy(n, m) * normal(n, m);
          g.bias[l][m] += dy(n, m);
          scaled(n, m) *= layer.weights(0, m);
        }
      }
      dy = NormalisedBack(layer.kind, in, scaled);
      continue;
    }
    Matrix below(in.rows, in.columns);
    g.weights[l] = Matrix(in.columns, dy.columns);
    g.bias[l].assign(layer.bias.size(), 0);
    for (std::size_t n = 0; n < in.rows; ++n) {
      for (std::size_t m = 0; m < dy.columns; ++m) {
        if (!layer.bias.empty()) g.bias[l][m] += dy(n, m);
        for (std::size_t k = 0; k < in.columns; ++k) {
          g.weights[l](k, m) += in(n, k) * dy(n, m);
          below(n, k) += layer.weights(k, m) * dy(n, m);
        }
      }
    }
    dy = std::move(below);
  }
  g.input = std::move(dy);
  return g;
}

}  // namespace dither::golden
