// Training programs against the golden kernels, on any backend: one step of SGD shows the gradient as
// the change of a weight. With fp32 everywhere the bound is that of fp32; in the other modes the
// activations, gradients and weights are rounded on the way, and the bound is theirs.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <filesystem>
#include <random>

#include "sim/golden/training.hpp"
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
    layer.weights = golden::Matrix(inputs, spec.units);
    const std::string name = "dense" + std::to_string(l + 1);
    const auto w = trainer.Parameter(name + ".weights");
    layer.weights.values.assign(w.begin(), w.end());
    const auto b = trainer.Parameter(name + ".bias");
    layer.bias.assign(b.begin(), b.end());
    layer.activation = Golden(spec.activation);
    job.net.push_back(layer);
    inputs = spec.units;
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
  const Loss loss = GENERATE(Loss::kMeanSquare);
  const std::string mode = GENERATE("fp32", "mixed", "bf16-sr");
  const double bound = mode == "fp32" ? 4e-6 : 0.03;
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
      if (step == 2) trainer.Save(path);
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
    REQUIRE(trainer.State() == states[2]);
    for (std::size_t step = 3; step < 7; ++step) {
      trainer.Step();
      REQUIRE(trainer.State() == states[step]);
    }
  }
  std::filesystem::remove(path);
}

}  // namespace dither
