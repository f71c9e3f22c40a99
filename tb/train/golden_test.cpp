// The golden gradients against differences of the golden loss.
#include <catch2/catch.hpp>

#include <cmath>
#include <random>

#include "sim/golden/training.hpp"

namespace dither::golden {
namespace {

double LossOf(const std::vector<Layer>& net, const Matrix& x, const std::vector<std::uint32_t>& labels,
              const Matrix& targets) {
  const Matrix z = Forward(net, x).back();
  return labels.empty() ? MeanSquare(z, targets, nullptr) : SoftmaxCrossEntropy(z, labels, nullptr);
}

}  // namespace

TEST_CASE("a golden convolution's gradients are the slopes of the loss", "[train][golden]") {
  const std::size_t stride = GENERATE(1u, 2u);
  std::mt19937 random(6);
  std::normal_distribution<double> normal;
  std::vector<Layer> net(3);
  net[0].convolution = {2, 5, 6, 3, 2, 1};
  net[0].activation = Nonlinearity::kTanh;
  net[1].convolution = {3, 4, 5, 2, 2, stride};
  net[1].activation = Nonlinearity::kNone;
  for (Layer& layer : net) {
    const Convolution& c = layer.convolution;
    if (c.kernel != 0) layer.kind = LayerKind::kConv;
    layer.weights = c.kernel != 0 ? Matrix(c.kernel * c.kernel * c.channels, c.out_channels)
                                  : Matrix(2 * net[1].convolution.OutHeight() * net[1].convolution.OutWidth(), 3);
    layer.bias.resize(layer.weights.columns);
    for (double& w : layer.weights.values) w = normal(random);
    for (double& b : layer.bias) b = normal(random);
  }
  Matrix x(3, 60);
  for (double& v : x.values) v = normal(random);
  const std::vector<std::uint32_t> labels = {2, 0, 1};
  const Gradients g = Backward(net, x, labels, {});
  const auto check = [&](double& value, double gradient) {
    constexpr double kStep = 1e-5;
    const double was = value;
    value = was + kStep;
    const double above = LossOf(net, x, labels, {});
    value = was - kStep;
    const double below = LossOf(net, x, labels, {});
    value = was;
    REQUIRE(std::fabs((above - below) / (2 * kStep) - gradient) < 1e-7 * (1 + std::fabs(gradient)));
  };
  for (std::size_t i = 0; i < x.values.size(); ++i) check(x.values[i], g.input.values[i]);
  for (std::size_t l = 0; l < net.size(); ++l) {
    for (std::size_t i = 0; i < net[l].weights.values.size(); ++i) check(net[l].weights.values[i], g.weights[l].values[i]);
    for (std::size_t i = 0; i < net[l].bias.size(); ++i) check(net[l].bias[i], g.bias[l][i]);
  }
}

TEST_CASE("golden gradients are the slopes of the golden loss", "[train][golden]") {
  const bool classes = GENERATE(true, false);
  const auto f = GENERATE(Nonlinearity::kNone, Nonlinearity::kRelu, Nonlinearity::kGelu, Nonlinearity::kTanh,
                          Nonlinearity::kSigmoid, Nonlinearity::kSilu);
  const auto norm = GENERATE(LayerKind::kDense, LayerKind::kLayerNorm, LayerKind::kBatchNorm);
  CAPTURE(classes, static_cast<int>(f), static_cast<int>(norm));
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  const std::size_t batch = 6;
  const auto dense = [&](std::size_t inputs, std::size_t units, Nonlinearity activation) {
    Layer layer{Matrix(inputs, units), std::vector<double>(units), activation, LayerKind::kDense, {}};
    for (double& w : layer.weights.values) w = normal(random);
    for (double& b : layer.bias) b = normal(random);
    return layer;
  };
  std::vector<Layer> net = {dense(5, 7, norm == LayerKind::kDense ? f : Nonlinearity::kNone)};
  if (norm != LayerKind::kDense) {
    net.push_back(dense(1, 7, f));
    net.back().kind = norm;
  }
  net.push_back(dense(7, 4, Nonlinearity::kNone));
  Matrix x(batch, 5), targets(batch, 4);
  for (double& v : x.values) v = normal(random);
  for (double& v : targets.values) v = normal(random);
  std::vector<std::uint32_t> labels;
  for (std::size_t n = 0; classes && n < batch; ++n) labels.push_back(random() % 4);
  const Gradients g = Backward(net, x, labels, targets);
  REQUIRE(g.loss == LossOf(net, x, labels, targets));
  const auto check = [&](double& value, double gradient) {
    constexpr double kStep = 1e-5;
    const double was = value;
    value = was + kStep;
    const double above = LossOf(net, x, labels, targets);
    value = was - kStep;
    const double below = LossOf(net, x, labels, targets);
    value = was;
    REQUIRE(std::fabs((above - below) / (2 * kStep) - gradient) < 1e-7 * (1 + std::fabs(gradient)));
  };
  for (std::size_t i = 0; i < x.values.size(); ++i) check(x.values[i], g.input.values[i]);
  for (std::size_t l = 0; l < net.size(); ++l) {
    for (std::size_t i = 0; i < net[l].weights.values.size(); ++i) check(net[l].weights.values[i], g.weights[l].values[i]);
    for (std::size_t i = 0; i < net[l].bias.size(); ++i) check(net[l].bias[i], g.bias[l][i]);
  }
}

}  // namespace dither::golden
