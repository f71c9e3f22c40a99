// Training programs against the golden kernels, on any backend: one step of SGD shows the gradient as
// the change of a weight. With fp32 everywhere the bound is that of fp32; in the other modes the
// activations, gradients and weights are rounded on the way, and the bound is theirs.
#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <random>

#include "sim/golden/training.hpp"
#include "sim/train/checkpoint.hpp"
#include "sim/train/trainer.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using train::Activation;
using train::Loss;
using train::NumericMode;
using train::Trainer;
using train::TrainerOptions;

struct Job {
  TrainerOptions options;
  train::Examples examples;
  std::vector<golden::Layer> net;
  golden::Matrix x, targets;
};

// Random examples whose values every mode stores exactly: multiples of 1/8 below 1.
Job MakeJob(const std::vector<std::uint32_t>& sizes, std::uint32_t batch, const std::string& mode, Loss loss,
            Activation activation, unsigned seed) {
  std::mt19937 random(seed);
  Job job;
  job.options.model = train::ModelSpec::Mlp(sizes, activation);
  job.options.model.loss = loss;
  job.options.mode = NumericMode::Named(mode);
  job.options.mode.weight_round = isa::Round::kRne;
  job.options.batch = batch;
  job.options.optimizer.momentum = 0;
  job.options.seed = seed;
  job.examples.features = sizes.front();
  job.x = golden::Matrix(batch, sizes.front());
  for (double& v : job.x.values) {
    v = static_cast<double>(random() % 15) / 8 - 0.875;
    job.examples.inputs.push_back(static_cast<float>(v));
  }
  job.targets = golden::Matrix(batch, sizes.back());
  for (double& v : job.targets.values) {
    v = static_cast<double>(random() % 15) / 8 - 0.875;
    if (loss == Loss::kMeanSquare) job.examples.targets.push_back(static_cast<float>(v));
  }
  if (loss == Loss::kSoftmaxCrossEntropy) {
    for (std::uint32_t n = 0; n < batch; ++n) job.examples.labels.push_back(random() % sizes.back());
  }
  return job;
}

golden::Nonlinearity Golden(Activation a) {
  return static_cast<golden::Nonlinearity>(static_cast<int>(a));
}

void ReadNet(Job& job, Trainer& trainer) {
  job.net.clear();
  std::uint32_t inputs = job.options.model.inputs;
  for (std::size_t l = 0; l < job.options.model.layers.size(); ++l) {
    const train::LayerSpec& spec = job.options.model.layers[l];
    golden::Layer layer;
    static constexpr const char* kNames[] = {"dense", "layernorm", "batchnorm", "conv"};
    const bool dense = spec.kind == train::LayerKind::kDense;
    std::uint32_t units = dense ? spec.units : inputs;
    layer.kind = static_cast<golden::LayerKind>(static_cast<int>(spec.kind));
    layer.weights = golden::Matrix(dense ? inputs : 1, units);
    if (spec.kind == train::LayerKind::kConv) {
      golden::Convolution& c = layer.convolution;
      const train::ModelSpec& m = job.options.model;
      c = l == 0 ? golden::Convolution{m.channels, m.height, m.width, 0, 0, 0}
                 : golden::Convolution{job.net.back().convolution.out_channels, job.net.back().convolution.OutHeight(),
                                       job.net.back().convolution.OutWidth(), 0, 0, 0};
      c.out_channels = spec.units;
      c.kernel = spec.kernel;
      c.stride = spec.stride;
      layer.weights = golden::Matrix(c.kernel * c.kernel * c.channels, c.out_channels);
      units = static_cast<std::uint32_t>(c.out_channels * c.OutHeight() * c.OutWidth());
    }
    const std::string name = kNames[static_cast<int>(spec.kind)] + std::to_string(l + 1);
    const auto w = trainer.Parameter(name + ".weights");
    layer.weights.values.assign(w.begin(), w.end());
    const auto b = trainer.Parameter(name + ".bias");
    layer.bias.assign(b.begin(), b.end());
    layer.activation = Golden(spec.activation);
    job.net.push_back(layer);
    inputs = units;
  }
}

// Weights of 4 bits, which fp8 holds: its hidden activations alone are rounded then, to 2^-4 of their size.
void ShortenWeights(Trainer& trainer) {
  for (const std::string& name : trainer.ParameterNames()) {
    if (name.rfind("dense", 0) != 0 || name.find(".weights") == std::string::npos) continue;
    std::vector<float> values = trainer.Parameter(name);
    for (float& v : values) v = std::round(std::clamp(v, -0.23f, 0.23f) * 64) / 64;
    trainer.SetParameter(name, values);
  }
}

// The largest gradient, and how far the device's are off it in units of that.
double WorstError(Device& device, Job job) {
  const std::uint64_t mark = device.Mark();
  // A rate that makes the change large beside the weights, whose own rounding counts otherwise.
  job.options.optimizer.rate = 64;
  Trainer trainer(device, job.options);
  trainer.SetExamples(job.examples);
  std::mt19937 random(7);
  for (const std::string& name : trainer.ParameterNames()) {
    if (name.find("bias") == std::string::npos) continue;
    std::vector<float> values = trainer.Parameter(name);
    for (float& v : values) v = static_cast<float>(random() % 16) / 32 - 0.25f;
    trainer.SetParameter(name, values);
  }
  if (job.options.mode.name == "fp8-sr") ShortenWeights(trainer);
  ReadNet(job, trainer);
  const golden::Gradients want = golden::Backward(job.net, job.x, job.examples.labels, job.targets);
  const auto report = trainer.Step();
  double worst = std::fabs(report.loss - want.loss) / std::max(1.0, want.loss);
  const std::vector<golden::Layer> before = job.net;
  ReadNet(job, trainer);
  for (std::size_t l = 0; l < before.size(); ++l) {
    double most = 0, off = 0;
    const auto compare = [&](double was, double is, double gradient) {
      most = std::max(most, std::fabs(gradient));
      off = std::max(off, std::fabs((was - is) / 64 - gradient));
    };
    for (std::size_t i = 0; i < before[l].weights.values.size(); ++i) {
      compare(before[l].weights.values[i], job.net[l].weights.values[i], want.weights[l].values[i]);
    }
    for (std::size_t m = 0; m < before[l].bias.size(); ++m) {
      compare(before[l].bias[m], job.net[l].bias[m], want.bias[l][m]);
    }
    REQUIRE(most > 0);
    worst = std::max(worst, off / most);
  }
  device.Release(mark);
  return worst;
}

}  // namespace

TEST_CASE("one step's gradients are the golden kernels', with any sizes and batch", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const Loss loss = GENERATE(Loss::kMeanSquare, Loss::kSoftmaxCrossEntropy);
  const std::string mode = GENERATE("fp32", "mixed", "bf16-sr", "fp8-sr");
  const double bound = mode == "fp32" ? 4e-6 : mode == "fp8-sr" ? 0.2 : 0.03;
  const auto check = [&](const std::vector<std::uint32_t>& sizes, std::uint32_t batch, unsigned seed) {
    CAPTURE(mode, sizes, batch);
    const double worst =
        WorstError(*device, MakeJob(sizes, batch, mode, loss, Activation::kRelu, seed));
    CAPTURE(worst);
    REQUIRE(worst <= bound);
  };
  check({8, 8, 8}, 8, 1);
  check({20, 17, 9}, 11, 2);
  check({3, 5}, 1, 3);
  check({9, 33, 20, 12}, 19, 4);
  check({16, 70, 3}, 65, 5);
}

TEST_CASE("softmax stands sums far apart, whose exp overflows", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({6, 4}, 9, "fp32", Loss::kSoftmaxCrossEntropy, Activation::kNone, 23);
  job.options.optimizer.rate = 64;
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  const std::vector<float> bias = {200, -200, 199, 0};
  trainer.SetParameter("dense1.bias", bias);
  ReadNet(job, trainer);
  const golden::Gradients want = golden::Backward(job.net, job.x, job.examples.labels, job.targets);
  REQUIRE(std::fabs(trainer.Step().loss - want.loss) < 1e-6 * want.loss);
  const std::vector<float> after = trainer.Parameter("dense1.bias");
  for (std::size_t m = 0; m < 4; ++m) {
    REQUIRE(std::fabs((bias[m] - after[m]) / 64 - want.bias[0][m]) < 1e-5);
  }
}

TEST_CASE("gradients go back through every activation", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const auto activation =
      GENERATE(Activation::kGelu, Activation::kTanh, Activation::kSigmoid, Activation::kSilu);
  const std::string mode = GENERATE("fp32", "bf16-sr");
  CAPTURE(activation, mode);
  const double worst = WorstError(*device, MakeJob({12, 18, 9, 5}, 13, mode, Loss::kSoftmaxCrossEntropy, activation, 21));
  CAPTURE(worst);
  REQUIRE(worst <= (mode == "fp32" ? 6e-6 : 0.03));
}

TEST_CASE("layer and batch normalisation go forward and back as the golden kernels do", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano", 8 << 20));
  const auto norm = GENERATE(train::LayerKind::kLayerNorm, train::LayerKind::kBatchNorm);
  const auto activation = GENERATE(Activation::kNone, Activation::kRelu, Activation::kGelu);
  const std::string mode = GENERATE("fp32", "bf16-sr");
  const bool twice = GENERATE(false, true);  // with one behind an activation, too
  CAPTURE(static_cast<int>(norm), static_cast<int>(activation), mode, twice);
  Job job = MakeJob({12, 18, 5}, 13, mode, Loss::kSoftmaxCrossEntropy, Activation::kNone, 81);
  std::vector<train::LayerSpec>& layers = job.options.model.layers;
  layers.insert(layers.begin() + 1, {norm, 0, activation, true, 0, 0});
  if (twice) {
    layers[0].activation = activation;
    layers.insert(layers.begin() + 2, {train::LayerKind::kDense, 9, activation, true, 0, 0});
    layers.insert(layers.begin() + 3, {norm, 0, Activation::kNone, true, 0, 0});
  }
  const double worst = WorstError(*device, job);
  CAPTURE(worst);
  REQUIRE(worst <= (mode == "fp32" ? 2e-5 : 0.08));
}

TEST_CASE("convolutions go forward and back as the golden kernels do", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano", 8 << 20));
  const std::string mode = GENERATE("fp32", "mixed", "bf16-sr");
  const auto activation = GENERATE(Activation::kRelu, Activation::kTanh);
  const std::uint32_t stride = GENERATE(1u, 2u), layers = GENERATE(1u, 2u);
  CAPTURE(mode, static_cast<int>(activation), stride, layers);
  Job job = MakeJob({2 * 7 * 11, 1, 5}, 5, mode, Loss::kSoftmaxCrossEntropy, Activation::kNone, 111);
  train::ModelSpec& m = job.options.model;
  m.channels = 2;
  m.height = 7;
  m.width = 11;  // rows longer than the 8 partitions
  m.layers = {{train::LayerKind::kConv, 4, activation, true, 3, stride}};
  if (layers == 2) m.layers.push_back({train::LayerKind::kConv, 6, Activation::kNone, true, 2, 1});
  m.layers.push_back({train::LayerKind::kDense, 5, Activation::kNone, true, 0, 0});
  const double worst = WorstError(*device, job);
  CAPTURE(worst);
  // bf16 activations and gradients are rounded three times on the way.
  REQUIRE(worst <= (mode == "fp32" ? 6e-6 : 0.06));
}

TEST_CASE("rows of embedding tables are looked up, and their gradients added up where examples share them", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const std::string mode = GENERATE("fp32", "mixed", "bf16-sr", "fp8-sr");
  const std::uint32_t features = GENERATE(0u, 5u);
  CAPTURE(mode, features);
  constexpr std::uint32_t kBatch = 19;
  const std::vector<train::EmbeddingSpec> tables = {{7, 3}, {40, 10}};
  Job job = MakeJob({features + 13, 12, 4}, kBatch, mode, Loss::kSoftmaxCrossEntropy, Activation::kRelu, 101);
  job.options.model.inputs = features;
  job.options.model.embeddings = tables;
  job.options.optimizer.rate = 64;
  job.examples.features = features;
  job.examples.inputs.clear();
  std::mt19937 random(9);
  for (std::uint32_t n = 0; n < kBatch; ++n) {
    for (std::uint32_t f = 0; f < features; ++f) job.examples.inputs.push_back(static_cast<float>(job.x(n, f)));
    for (const auto& t : tables) job.examples.indices.push_back(random() % t.rows);
  }
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  // The order of the batch is drawn, so the golden sums don't depend on it.
  std::vector<golden::Matrix> before;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    golden::Matrix m(tables[t].rows, tables[t].width);
    std::vector<float> values = trainer.Parameter("embedding" + std::to_string(t + 1) + ".weights");
    for (float& v : values) v = static_cast<float>(random() % 15) / 8 - 0.875f;  // exact in every mode
    trainer.SetParameter("embedding" + std::to_string(t + 1) + ".weights", values);
    m.values.assign(values.begin(), values.end());
    before.push_back(m);
  }
  job.options.model.inputs = features + 13;
  if (mode == "fp8-sr") ShortenWeights(trainer);
  ReadNet(job, trainer);
  for (std::uint32_t n = 0; n < kBatch; ++n) {
    std::size_t column = features;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      for (std::uint32_t c = 0; c < tables[t].width; ++c) {
        job.x(n, column++) = before[t](job.examples.indices[n * 2 + t], c);
      }
    }
  }
  const golden::Gradients want = golden::Backward(job.net, job.x, job.examples.labels, job.targets);
  const double bound = mode == "fp32" ? 4e-6 : mode == "fp8-sr" ? 0.2 : 0.04;
  const auto loss = trainer.Step().loss;
  REQUIRE(std::fabs(loss - want.loss) < bound * std::max(1.0, want.loss));
  std::size_t column = features;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    golden::Matrix gradient(tables[t].rows, tables[t].width);
    double most = 0;
    for (std::uint32_t n = 0; n < kBatch; ++n) {
      for (std::uint32_t c = 0; c < tables[t].width; ++c) {
        gradient(job.examples.indices[n * 2 + t], c) += want.input(n, column + c);
      }
    }
    for (const double g : gradient.values) most = std::max(most, std::fabs(g));
    REQUIRE(most > 0);
    const std::vector<float> after = trainer.Parameter("embedding" + std::to_string(t + 1) + ".weights");
    for (std::size_t i = 0; i < after.size(); ++i) {
      const double change = (before[t].values[i] - static_cast<double>(after[i])) / 64;
      REQUIRE(std::fabs(change - gradient.values[i]) <= bound * most);
    }
    column += tables[t].width;
  }
  job.examples.indices[5] = 40;
  REQUIRE_THROWS_WITH(trainer.SetExamples(job.examples), Catch::Contains("index 40 of example 2: embedding 2 has 40 rows"));
}

TEST_CASE("batch normalisation evaluates with the running mean and variance", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({6, 9, 4}, 16, "fp32", Loss::kSoftmaxCrossEntropy, Activation::kNone, 91);
  std::vector<train::LayerSpec>& layers = job.options.model.layers;
  layers.insert(layers.begin() + 1, {train::LayerKind::kBatchNorm, 0, Activation::kRelu, true, 0, 0});
  job.options.optimizer.rate = 0;
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  ReadNet(job, trainer);
  for (int step = 0; step < 3; ++step) trainer.Step();
  const golden::Matrix z = golden::Forward({job.net[0]}, job.x).back();
  std::vector<double> mean(9), variance(9);
  const double kept = 0.9 * 0.9 * 0.9;  // of the initial 0 and 1
  for (std::size_t m = 0; m < 9; ++m) {
    double sum = 0, squares = 0;
    for (std::size_t n = 0; n < 16; ++n) sum += z(n, m) / 16;
    for (std::size_t n = 0; n < 16; ++n) squares += (z(n, m) - sum) * (z(n, m) - sum) / 16;
    mean[m] = (1 - kept) * sum;
    variance[m] = kept + (1 - kept) * squares;
    REQUIRE(std::fabs(trainer.Parameter("batchnorm2.mean")[m] - mean[m]) < 1e-5);
    REQUIRE(std::fabs(trainer.Parameter("batchnorm2.variance")[m] - variance[m]) < 1e-5);
  }
  golden::Matrix y = z;
  for (std::size_t n = 0; n < 16; ++n) {
    for (std::size_t m = 0; m < 9; ++m) {
      const double normal = (z(n, m) - mean[m]) / std::sqrt(variance[m] + golden::kNormEpsilon);
      y(n, m) = std::max(0.0, normal * job.net[1].weights(0, m) + job.net[1].bias[m]);
    }
  }
  const double loss =
      golden::SoftmaxCrossEntropy(golden::Forward({job.net[2]}, y).back(), job.examples.labels, nullptr);
  REQUIRE(std::fabs(trainer.Evaluate(job.examples).loss - loss) < 1e-5);
}

namespace {

// A training of `steps` steps in double precision, full batch.
std::vector<golden::Layer> GoldenTraining(std::vector<golden::Layer> net, const Job& job, int steps) {
  const train::OptimizerSpec& o = job.options.optimizer;
  struct Moments {
    std::vector<double> first, second;
  };
  std::vector<std::array<Moments, 2>> moments(net.size());
  for (int t = 1; t <= steps; ++t) {
    const golden::Gradients g = golden::Backward(net, job.x, job.examples.labels, job.targets);
    for (std::size_t l = 0; l < net.size(); ++l) {
      const auto update = [&](std::vector<double>& w, const std::vector<double>& gradient, Moments& m, bool decays) {
        m.first.resize(w.size());
        m.second.resize(w.size());
        for (std::size_t i = 0; i < w.size(); ++i) {
          const double keep = decays ? 1 - static_cast<double>(o.rate) * o.weight_decay : 1;
          double step;
          if (o.kind == train::OptimizerSpec::Kind::kSgd) {
            step = m.first[i] = o.momentum * m.first[i] + gradient[i];
          } else {
            m.first[i] = o.beta1 * m.first[i] + (1 - o.beta1) * gradient[i];
            m.second[i] = o.beta2 * m.second[i] + (1 - o.beta2) * gradient[i] * gradient[i];
            step = m.first[i] / (1 - std::pow(static_cast<double>(o.beta1), t)) /
                   (std::sqrt(m.second[i] / (1 - std::pow(static_cast<double>(o.beta2), t))) + o.epsilon);
          }
          w[i] = keep * w[i] - o.rate * step;
        }
      };
      update(net[l].weights.values, g.weights[l].values, moments[l][0], true);
      update(net[l].bias, g.bias[l], moments[l][1], false);
    }
  }
  return net;
}

}  // namespace

TEST_CASE("optimisers follow their formulas over several steps", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  using Kind = train::OptimizerSpec::Kind;
  const Kind kind = GENERATE(Kind::kSgd, Kind::kAdam, Kind::kAdamW);
  const float decay = GENERATE(0.0f, 0.5f);
  const float momentum = GENERATE(0.0f, 0.875f);
  CAPTURE(static_cast<int>(kind), decay, momentum);
  Job job = MakeJob({10, 17, 6}, 16, "fp32", Loss::kSoftmaxCrossEntropy, Activation::kTanh, 31);
  job.options.mode.loss_scale = 16;
  job.options.optimizer.kind = kind;
  job.options.optimizer.momentum = momentum;
  job.options.optimizer.weight_decay = decay;
  job.options.optimizer.rate = kind == Kind::kSgd ? 0.25f : 0.0625f;
  job.options.optimizer.epsilon = 1e-3f;  // so that gradients near zero don't decide by their rounding
  const std::uint64_t mark = device->Mark();
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  ReadNet(job, trainer);
  const auto want = GoldenTraining(job.net, job, 5);
  for (int step = 0; step < 5; ++step) trainer.Step();
  ReadNet(job, trainer);
  for (std::size_t l = 0; l < want.size(); ++l) {
    for (std::size_t i = 0; i < want[l].weights.values.size(); ++i) {
      REQUIRE(std::fabs(job.net[l].weights.values[i] - want[l].weights.values[i]) < 2e-4);
    }
    for (std::size_t m = 0; m < want[l].bias.size(); ++m) {
      REQUIRE(std::fabs(job.net[l].bias[m] - want[l].bias[m]) < 2e-4);
    }
  }
  device->Release(mark);
}

TEST_CASE("an evaluation counts right answers and gives the mean loss, whatever its batches", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({10, 17, 6}, 37, "fp32", Loss::kSoftmaxCrossEntropy, Activation::kRelu, 41);
  job.options.batch = 8;
  job.options.eval_batch = GENERATE(37u, 20u, 5u);
  const std::uint64_t mark = device->Mark();
  Trainer trainer(*device, job.options);
  ReadNet(job, trainer);
  const golden::Matrix z = golden::Forward(job.net, job.x).back();
  std::size_t right = 0;
  for (std::size_t n = 0; n < z.rows; ++n) {
    std::size_t best = 0;
    for (std::size_t m = 1; m < z.columns; ++m) best = z(n, m) > z(n, best) ? m : best;
    right += best == job.examples.labels[n];
  }
  const train::Evaluation e = trainer.Evaluate(job.examples);
  REQUIRE(e.count == 37);
  REQUIRE(e.correct == right);
  REQUIRE(std::fabs(e.loss - golden::SoftmaxCrossEntropy(z, job.examples.labels, nullptr)) < 1e-5);
  device->Release(mark);
}

TEST_CASE("a loss that is no number stops the training, names the tensor and keeps the state before", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({10, 17, 6}, 16, "bf16-sr", Loss::kSoftmaxCrossEntropy, Activation::kRelu, 51);
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  trainer.Step();
  std::vector<float> weights = trainer.Parameter("dense2.weights");
  weights[5] = std::numeric_limits<float>::quiet_NaN();
  trainer.SetParameter("dense2.weights", weights);
  const auto before = trainer.State();
  REQUIRE_THROWS_WITH(trainer.Step(), Catch::Contains("step 2") && Catch::Contains("NaN") &&
                                          Catch::Contains("'dense2 forward"));
  REQUIRE(trainer.State() == before);
}

TEST_CASE("a step that leaves no numbers behind a finite loss does not replace the checkpoint", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({10, 17, 6}, 16, "bf16-sr", Loss::kMeanSquare, Activation::kRelu, 53);
  job.options.mode.weight_round = isa::Round::kSr;
  job.options.optimizer.momentum = 0.9f;
  const auto path = std::filesystem::temp_directory_path() / ("dither_finite_" + std::to_string(::getpid()));
  const auto bytes = [&] {
    std::ifstream file(path, std::ios::binary);
    return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(file), {});
  };
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  trainer.Step();
  trainer.RequireFinite(trainer.Evaluate(job.examples));
  trainer.Save(path);
  const auto good = bytes();
  SECTION("an update that overflows") {
    for (float& t : job.examples.targets) t = 1e15f;
    trainer.SetExamples(job.examples);
    trainer.SetRate(1e30f);
    REQUIRE(std::isfinite(trainer.Step().loss));
    REQUIRE_THROWS_AS(trainer.Save(path), train::NonfiniteLoss);
    REQUIRE_THROWS_WITH(trainer.Save(path), Catch::Contains("after step 2") && Catch::Contains("weights holds an infinity"));
    REQUIRE_THROWS_WITH(trainer.Step(), Catch::Contains("before the step dense1.weights holds"));
  }
  SECTION("weights that are numbers, with which no loss is one") {
    trainer.SetRate(1e30f);
    trainer.Step();
    const train::Evaluation e = trainer.Evaluate(job.examples);
    REQUIRE_FALSE(std::isfinite(e.loss));
    REQUIRE_THROWS_WITH(trainer.RequireFinite(e), Catch::Contains("after step 2: the loss of the evaluation is") &&
                                                      Catch::Contains("no parameter"));
  }
  SECTION("an optimiser's state") {
    // The state follows header and text; its first tensor is a bf16 weight of 10 x 17, in whole lines of 64 bytes.
    std::uint32_t text = 0;
    std::memcpy(&text, &good[12], 4);
    const std::string configuration(good.begin() + 24, good.begin() + 24 + text);
    auto state = trainer.State();
    const std::size_t momentum = 32 + 384 + 2 * 5;
    state[momentum] = 0x80;
    state[momentum + 1] = 0xff;
    train::WriteCheckpoint(path, configuration, state);
    trainer.Load(path);
    train::WriteCheckpoint(path, configuration, std::vector<std::uint8_t>(good.begin() + 24 + text, good.end() - 4));
    REQUIRE_THROWS_WITH(trainer.Save(path), Catch::Contains("dense1.weights momentum holds an infinity"));
  }
  REQUIRE(bytes() == good);
  REQUIRE_FALSE(std::filesystem::exists(path.string() + ".new"));
  std::filesystem::remove(path);
}

TEST_CASE("running statistics that are no numbers do not replace the checkpoint", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({6, 9, 4}, 16, "bf16-sr", Loss::kSoftmaxCrossEntropy, Activation::kNone, 91);
  std::vector<train::LayerSpec>& layers = job.options.model.layers;
  layers.insert(layers.begin() + 1, {train::LayerKind::kBatchNorm, 0, Activation::kRelu, true, 0, 0});
  const auto path = std::filesystem::temp_directory_path() / ("dither_running_" + std::to_string(::getpid()));
  Trainer trainer(*device, job.options);
  std::vector<float> variance(9, 1.0f);
  variance[8] = std::numeric_limits<float>::quiet_NaN();
  trainer.SetParameter("batchnorm2.variance", variance);
  REQUIRE_THROWS_WITH(trainer.Save(path), Catch::Contains("batchnorm2.variance holds a NaN"));
  REQUIRE_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a checkpoint does not take the place of what is no file", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const Job job = MakeJob({4, 3}, 4, "bf16-sr", Loss::kSoftmaxCrossEntropy, Activation::kRelu, 65);
  const auto path = std::filesystem::temp_directory_path() / ("dither_pipe_" + std::to_string(::getpid()));
  Trainer trainer(*device, job.options);
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  REQUIRE_THROWS_WITH(trainer.Save(path), Catch::Contains("can't be written: it is no regular file"));
  REQUIRE(std::filesystem::is_fifo(path));
  REQUIRE_FALSE(std::filesystem::exists(path.string() + ".new"));
  std::filesystem::remove(path);
}

TEST_CASE("optimiser numbers and scales that can't train are refused by name", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const Job job = MakeJob({4, 3}, 4, "bf16-sr", Loss::kSoftmaxCrossEntropy, Activation::kRelu, 63);
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  struct Case {
    const char* name;
    std::function<float&(TrainerOptions&)> number;
    std::vector<float> bad, good;
  };
  using O = TrainerOptions;
  const std::vector<float> negative = {-0.5f, kNan, kInf, -kInf}, outside = {-0.5f, 1.0f, kNan, kInf};
  for (const Case& c : std::vector<Case>{
           {"rate", [](O& o) -> float& { return o.optimizer.rate; }, negative, {0, 64}},
           {"weight decay", [](O& o) -> float& { return o.optimizer.weight_decay; }, negative, {0, 2}},
           {"epsilon", [](O& o) -> float& { return o.optimizer.epsilon; }, negative, {0, 1}},
           {"momentum", [](O& o) -> float& { return o.optimizer.momentum; }, outside, {0, 0.999f}},
           {"beta1", [](O& o) -> float& { return o.optimizer.beta1; }, outside, {0, 0.999f}},
           {"beta2", [](O& o) -> float& { return o.optimizer.beta2; }, outside, {0, 0.999f}},
           {"weight scale", [](O& o) -> float& { return o.mode.weight_scale; }, {0, -1, kNan, kInf}, {0.5f, 64}},
           {"loss scale", [](O& o) -> float& { return o.mode.loss_scale; }, {0, -1, kNan, kInf}, {0.5f, 1024}}}) {
    const auto made = [&](float value) {
      TrainerOptions options = job.options;
      c.number(options) = value;
      const std::uint64_t mark = device->Mark();
      Trainer trainer(*device, options);
      device->Release(mark);
    };
    for (const float value : c.bad) {
      CAPTURE(c.name, value);
      REQUIRE_THROWS_WITH(made(value), Catch::Contains(std::string(": ") + c.name + " is "));
    }
    for (const float value : c.good) made(value);
  }
  Trainer trainer(*device, job.options);
  REQUIRE_THROWS_WITH(trainer.SetRate(kNan), Catch::Contains("rate is nan"));
}

TEST_CASE("what can't be trained is refused with the limit", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({10, 17, 6}, 16, "bf16-sr", Loss::kSoftmaxCrossEntropy, Activation::kRelu, 61);
  const auto made = [&] { Trainer trainer(*device, job.options); };
  SECTION("too wide for SBUF") {
    job.options.model = train::ModelSpec::Mlp({20000, 4, 10});  // too wide for any core
    job.options.eval_batch = 1;
    job.options.batch = 64;
    REQUIRE_THROWS_WITH(made(), Catch::Contains("bytes of each partition's"));
  }
  SECTION("batch larger than a PSUM bank") {
    job.options.batch = 513;
    REQUIRE_THROWS_WITH(made(), Catch::Contains("batch 513") && Catch::Contains("512"));
  }
  SECTION("examples of another shape") {
    Trainer trainer(*device, job.options);
    job.examples.features = 11;
    REQUIRE_THROWS_WITH(trainer.SetExamples(job.examples), Catch::Contains("11 features") && Catch::Contains("10 inputs"));
  }
  SECTION("a label that is no class") {
    Trainer trainer(*device, job.options);
    job.examples.labels[3] = 6;
    REQUIRE_THROWS_WITH(trainer.SetExamples(job.examples), Catch::Contains("label 6 of example 3"));
  }
  SECTION("an unknown mode") {
    REQUIRE_THROWS_WITH(NumericMode::Named("fp4"), Catch::Contains("fp4") && Catch::Contains("bf16-sr"));
  }
}

TEST_CASE("a damaged checkpoint is refused by its checksum, one of another training by what differs", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({6, 5}, 8, "bf16-sr", Loss::kSoftmaxCrossEntropy, Activation::kRelu, 71);
  const auto path = std::filesystem::temp_directory_path() / ("dither_ckpt_" + std::to_string(::getpid()));
  std::vector<char> bytes;
  {
    Trainer trainer(*device, job.options);
    trainer.SetExamples(job.examples);
    trainer.Step();
    trainer.Save(path);
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  const auto write = [&](const std::vector<char>& what) {
    std::ofstream(path, std::ios::binary).write(what.data(), static_cast<std::streamsize>(what.size()));
  };
  Trainer trainer(*device, job.options);
  trainer.SetExamples(job.examples);
  const auto before = trainer.State();
  std::mt19937 random(3);
  for (int n = 0; n < 50; ++n) {
    std::vector<char> damaged = bytes;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    write(damaged);
    REQUIRE_THROWS_AS(trainer.Load(path), train::CheckpointError);
    std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(random() % bytes.size()));
    write(cut);
    REQUIRE_THROWS_AS(trainer.Load(path), train::CheckpointError);
  }
  std::vector<char> damaged = bytes;
  damaged[bytes.size() - 20] ^= 1;
  write(damaged);
  REQUIRE_THROWS_WITH(trainer.Load(path), Catch::Contains("damaged, its CRC-32 is"));
  REQUIRE(trainer.State() == before);  // nothing was taken from any of them
  write(bytes);
  trainer.Load(path);
  REQUIRE(trainer.step() == 1);
  {
    TrainerOptions other = job.options;
    other.optimizer.rate = 0.5f;
    Trainer another(*device, other);
    REQUIRE_THROWS_WITH(another.Load(path), Catch::Contains("another configuration") && Catch::Contains("rate 0.5"));
  }
  std::vector<float> moved = job.examples.inputs;
  job.examples.inputs[0] += 0.5f;
  trainer.SetExamples(job.examples);
  REQUIRE_THROWS_WITH(trainer.Load(path), Catch::Contains("other examples"));
  {  // the other way round: the checkpoint first
    Trainer another(*device, job.options);
    another.Load(path);
    const auto loaded = another.State();
    REQUIRE_THROWS_WITH(another.SetExamples(job.examples), Catch::Contains("other examples"));
    REQUIRE(another.State() == loaded);  // with the examples' checksum in it
    REQUIRE_THROWS_WITH(another.Step(), Catch::Contains("no examples"));
    job.examples.inputs = moved;
    another.SetExamples(job.examples);
    REQUIRE(another.State() == loaded);
    another.Step();
  }
  std::filesystem::remove(path);
}

TEST_CASE("two trainings leave the same bytes, and a checkpoint goes on like the one that wrote it", "[train]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  Job job = MakeJob({12, 20, 6}, 24, "bf16-sr", Loss::kMeanSquare, Activation::kRelu, 11);
  job.options.mode.weight_round = isa::Round::kSr;
  job.options.optimizer.momentum = 0.9f;
  job.options.batch = 8;
  const std::uint64_t mark = device->Mark();
  std::vector<std::vector<std::uint8_t>> states;
  const auto path = std::filesystem::temp_directory_path() / ("dither_train_" + std::to_string(::getpid()));
  {
    Trainer trainer(*device, job.options);
    trainer.SetExamples(job.examples);
    for (int step = 0; step < 7; ++step) {
      trainer.Step();
      states.push_back(trainer.State());
      if (step == 1) trainer.Save(path);  // in the middle of an epoch, resumed from in another
    }
    REQUIRE(trainer.epoch() == 2);
    REQUIRE(trainer.step() == 7);
  }
  device->Release(mark);
  {
    Trainer trainer(*device, job.options);
    trainer.SetExamples(job.examples);
    for (int step = 0; step < 4; ++step) {
      trainer.Step();
      REQUIRE(trainer.State() == states[static_cast<std::size_t>(step)]);
    }
    trainer.Load(path);
    REQUIRE(trainer.State() == states[1]);
    for (std::size_t step = 2; step < 7; ++step) {
      trainer.Step();
      REQUIRE(trainer.State() == states[step]);
    }
  }
  std::filesystem::remove(path);
}

}  // namespace dither
