// Multilayer perceptrons against the golden kernels, which round the hidden activations the same
// way.
#include <catch2/catch.hpp>

#include <random>

#include "sim/program/mlp.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;

// Activations are compared after a step of the golden chain that starts from the values the device
// itself would have had to round, so the bound is that of one layer plus one unit of each hidden
// rounding.
void CheckMlp(Device& device, const std::vector<std::uint32_t>& widths, std::uint32_t batch,
              std::uint32_t pass_columns, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto draw = [&] { return uniform(random); };
  const std::uint64_t mark = device.Mark();
  MlpSpec spec;
  spec.pass_columns = pass_columns;
  std::vector<double> values;
  spec.input = tb::RandomTensor(device, "x", Dtype::kBf16, {widths[0], batch},
                                [&] { return std::fabs(draw()); }, &values);
  golden::Matrix x = tb::AsMatrix(widths[0], batch, values);
  golden::Matrix error(widths[0], batch);  // bound of |device - golden| so far
  for (std::size_t l = 1; l < widths.size(); ++l) {
    std::vector<double> w, bias;
    MlpLayer layer;
    layer.weights = tb::RandomTensor(device, "w" + std::to_string(l), Dtype::kBf16,
                                     {widths[l - 1], widths[l]}, draw, &w);
    layer.bias = tb::RandomTensor(device, "b" + std::to_string(l), Dtype::kFp32, {widths[l]}, draw,
                                  &bias);
    const bool last = l + 1 == widths.size();
    layer.func = last ? isa::ActFunc::kIdentity : isa::ActFunc::kRelu;
    spec.layers.push_back(layer);
    const golden::Matrix wm = tb::AsMatrix(widths[l - 1], widths[l], w);
    golden::Matrix magnitude, absolute = wm;
    for (double& v : absolute.values) v = std::fabs(v);
    const golden::Matrix carried = golden::Matmul(absolute, error);
    golden::Matrix y = golden::Dense(wm, x, bias, &magnitude);
    golden::Matrix next(widths[l], batch);
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      const double unit = last ? std::ldexp(1, -23) : std::ldexp(1, -8);
      next.values[i] = carried.values[i] + (magnitude.values[i] + carried.values[i]) *
                                               (widths[l - 1] / 8.0 + 4) * std::ldexp(1, -22);
      next.values[i] += (std::fabs(y.values[i]) + next.values[i]) * unit;
    }
    error = next;
    x = last ? y : golden::Relu(y);
  }
  spec.output = tb::EmptyTensor(device, "logits", Dtype::kFp32, {widths.back(), batch});
  device.Run(BuildMlp(device.config(), spec));
  const auto got = tb::Values(device, spec.output);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("class " << i / batch << " picture " << i % batch);
    REQUIRE(std::fabs(got[i] - x.values[i]) <= error.values[i]);
  }
  device.Release(mark);
}

}  // namespace

TEST_CASE("a perceptron gives the golden kernels' logits for any widths and batch", "[mlp]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  CheckMlp(*device, {20, 9, 10}, 5, 0, 1);
  CheckMlp(*device, {1, 1, 1}, 1, 0, 2);
  CheckMlp(*device, {8, 8, 8, 8}, 8, 0, 3);
  CheckMlp(*device, {33, 65, 17, 7, 3}, 31, 0, 4);
  CheckMlp(*device, {17, 10}, 9, 0, 5);  // one layer, nothing hidden
}

TEST_CASE("a batch of several passes equals one of a single pass", "[mlp]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  CheckMlp(*device, {40, 24, 10}, 50, 16, 6);
  CheckMlp(*device, {40, 24, 10}, 50, 1, 7);
  CheckMlp(*device, {64, 40, 10}, 530, 0, 8);
}

TEST_CASE("the digits' network runs on tiny with pictures of 784 features", "[mlp]") {
  auto device = tb::MakeDevice(tb::Options("tiny"));
  CheckMlp(*device, {784, 128, 64, 10}, 20, 0, 9);
}

TEST_CASE("an mlp whose layers do not fit together is refused by name", "[mlp]") {
  MlpSpec spec;
  spec.input = Tensor::Dram("x", 0, Dtype::kBf16, {20, 4});
  spec.layers = {{Tensor::Dram("w first", 0, Dtype::kBf16, {21, 9}),
                  Tensor::Dram("b", 0, Dtype::kFp32, {9}), isa::ActFunc::kRelu}};
  spec.output = Tensor::Dram("y", 0, Dtype::kFp32, {9, 4});
  CHECK_THROWS_WITH(BuildMlp(isa::kConfigs[0], spec),
                    Catch::Contains("w first bf16[21][9]") && Catch::Contains("20 rows"));
  spec.layers[0].weights = Tensor::Dram("w", 0, Dtype::kBf16, {20, 9});
  spec.layers[0].bias = Tensor::Dram("bias", 0, Dtype::kFp32, {8});
  CHECK_THROWS_WITH(BuildMlp(isa::kConfigs[0], spec), Catch::Contains("bias fp32[8]"));
}

}  // namespace dither
