// The main job: classifies held-out pictures with a network trained on the host, on the Verilated core in lockstep
// with the functional model, or on the functional model alone. One picture of the user's own with --image.
//
//   digits --model build/model/mnist.dmlp [--backend rtl|functional] [--images N] [--image picture.pgm] ...
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "sim/data/dataset.hpp"
#include "sim/device/functional_device.hpp"
#include "sim/model/formats.hpp"
#include "sim/program/mlp.hpp"
#include "sim/host_train/mlp.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

struct Options {
  std::string model, data, image, backend = "rtl", json, trace;
  int images = 1000;
  std::uint64_t seed = 1;
  bool stochastic = false, nonfinite = false;
};

std::uint16_t Bf16(float value) {
  return static_cast<std::uint16_t>(
      NarrowFromFp32(isa::Dtype::kBf16, std::bit_cast<std::uint32_t>(value), isa::Round::kRne, false, 0));
}

// A line that is redrawn on a terminal and printed now and then elsewhere.
class Progress {
 public:
  void Show(const std::string& text, bool last) {
    if (terminal_) {
      fmt::print("\r{:<78}{}", text, last ? "\n" : "");
    } else if (last || shown_++ % 5 == 0) {
      fmt::print("{}\n", text);
    }
    std::fflush(stdout);
  }

 private:
  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  int shown_ = 0;
};

// The network's parameters in the device's DRAM, and programs that run it on batches.
class Classifier {
 public:
  Classifier(Device& device, const Mlp& model, bool stochastic, bool nonfinite)
      : device_(device), model_(model), stochastic_(stochastic), nonfinite_(nonfinite) {
    for (std::size_t l = 0; l < model.layers.size(); ++l) {
      const DenseLayer& layer = model.layers[l];
      std::vector<std::uint16_t> weights(layer.weights.size());
      std::transform(layer.weights.begin(), layer.weights.end(), weights.begin(), Bf16);
      const std::uint64_t w = device.Allocate(weights.size() * 2), b = device.Allocate(layer.bias.size() * 4);
      device.WriteArray(w, weights);
      device.WriteArray(b, layer.bias);
      const auto in = static_cast<std::uint32_t>(layer.inputs), out = static_cast<std::uint32_t>(layer.outputs);
      layers_.push_back({Tensor::Dram(fmt::format("weights{}", l + 1), w, isa::Dtype::kBf16, {in, out}),
                         Tensor::Dram(fmt::format("bias{}", l + 1), b, isa::Dtype::kFp32, {out}),
                         l + 1 < model.layers.size() ? isa::ActFunc::kRelu : isa::ActFunc::kIdentity});
    }
    mark_ = device.Mark();
  }

  // Scores [picture][class] of the pictures, bf16 inputs, fp32 scores.
  std::vector<std::vector<float>> Run(const std::vector<std::span<const std::uint8_t>>& pictures) {
    device_.Release(mark_);
    const auto batch = static_cast<std::uint32_t>(pictures.size());
    const auto features = static_cast<std::uint32_t>(model_.layers.front().inputs);
    const auto classes = static_cast<std::uint32_t>(model_.layers.back().outputs);
    std::vector<std::uint16_t> input(std::size_t{features} * batch);  // [feature][picture]
    for (std::uint32_t p = 0; p < batch; ++p)
      for (std::uint32_t f = 0; f < features; ++f)
        input[std::size_t{f} * batch + p] = Bf16(static_cast<float>(pictures[p][f]) * model_.input_scale);
    const std::uint64_t in = device_.Allocate(input.size() * 2);
    const std::uint64_t out = device_.Allocate(std::size_t{classes} * batch * 4);
    device_.WriteArray(in, input);
    MlpSpec spec;
    spec.input = Tensor::Dram("pictures", in, isa::Dtype::kBf16, {features, batch});
    spec.layers = layers_;
    spec.output = Tensor::Dram("scores", out, isa::Dtype::kFp32, {classes, batch});
    if (stochastic_) spec.narrowing.round = isa::Round::kSr;
    Program program = BuildMlp(device_.config(), spec);
    if (nonfinite_) program.CountNonfinite();
    device_.Run(program);
    const auto flat = device_.ReadArray<float>(out, std::size_t{classes} * batch);
    std::vector<std::vector<float>> scores(batch, std::vector<float>(classes));
    for (std::uint32_t p = 0; p < batch; ++p)
      for (std::uint32_t c = 0; c < classes; ++c) scores[p][c] = flat[std::size_t{c} * batch + p];
    return scores;
  }

 private:
  Device& device_;
  const Mlp& model_;
  bool stochastic_, nonfinite_;
  std::vector<MlpLayer> layers_;
  std::uint64_t mark_ = 0;
};

// Scores as bars, the picture beside them.
void ShowPicture(std::span<const std::uint8_t> picture, const Mlp& model, const std::vector<float>& scores) {
  const float top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const float s : scores) sum += std::exp(static_cast<double>(s) - top);
  std::vector<std::string> lines;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const double p = std::exp(static_cast<double>(scores[c]) - top) / sum;
    lines.push_back(fmt::format("  {}  {:9.4f}  {:5.1f} %  {}", c, scores[c], 100 * p,
                                std::string(static_cast<std::size_t>(p * 20 + 0.5), '#')));
  }
  const std::string drawing = DrawPicture(picture, model.width, model.height);
  std::vector<std::string> left;
  for (std::size_t at = 0; at < drawing.size();) {
    const std::size_t end = std::min(drawing.find('\n', at), drawing.size());
    left.push_back(drawing.substr(at, end - at));
    at = end + 1;
  }
  for (std::size_t i = 0; i < std::max(left.size(), lines.size()); ++i) {
    const std::string pad(static_cast<std::size_t>(model.width), ' ');
    fmt::print("  {}{}\n", i < left.size() ? left[i] : pad, i < lines.size() ? "  " + lines[i] : "");
  }
}

int Run(const Options& options) {
  const Mlp model = LoadModel(options.model);
  DeviceOptions device_options;
  device_options.config = VerilatedConfig();
  const bool rtl = options.backend == "rtl";

  VerilatedDevice* verilated = nullptr;
  std::unique_ptr<Device> device;
  if (rtl) {
    VerilatedOptions v;
    v.seed = options.seed;
    v.trace = options.trace;
    auto made = MakeVerilatedDevice(device_options, v);
    verilated = made.get();
    device = std::move(made);
  } else {
    device = MakeFunctionalDevice(device_options);
  }
  device->SeedRounders(static_cast<std::uint32_t>(options.seed));
  Classifier classifier(*device, model, options.stochastic, options.nonfinite);
  const auto show_nonfinite = [&] {
    if (!options.nonfinite) return;
    const NonfiniteRegisters n = device->Nonfinite();
    fmt::print("infinite or NaN   {} words written by matmuls{}\n", n.count,
               n.count ? fmt::format("; the first {} by tensor instruction {}", n.first, n.index) : "");
  };
  fmt::print("network {} for {} pictures of {}x{}, core {} ({}x{} array), backend {}\n", ShapeText(model), model.dataset,
             model.width, model.height, device->config().name, device->config().rows, device->config().rows,
             rtl ? "Verilated RTL in lockstep with the functional model" : "functional model");

  if (!options.image.empty()) {
    auto picture = LoadPgm(options.image, model.width, model.height);
    if (LooksInverted(picture)) {
      fmt::print("{}: dark on light; inverted, as the network has seen light on dark\n", options.image);
      Invert(picture);
    }
    const auto scores = classifier.Run({picture}).front();
    ShowPicture(picture, model, scores);
    if (verilated) fmt::print("bit-exact: {} bytes of state equal the model's\n", verilated->CompareAll());
    show_nonfinite();
    fmt::print("this is a {}\n", Best(scores));
    return 0;
  }

  const std::string data_folder = options.data.empty() ? "build/data/" + model.dataset : options.data;
  const Dataset data = LoadDataset(data_folder);
  if (data.checksum != model.dataset_checksum) {
    throw DataError(fmt::format("{}: not the pictures that {} was trained with (checksum {:08x}, model has {:08x}); "
                                "remove the model file and run again", data_folder, options.model, data.checksum,
                                model.dataset_checksum));
  }
  const auto held_out = SplitDataset(data).held_out;
  const int count = std::min(options.images, static_cast<int>(held_out.size()));
  if (count < options.images) fmt::print("only {} held-out pictures: all of them are used\n", count);

  constexpr int kBatch = 512;  // pictures a program: one PSUM bank
  Progress progress;
  DeviceCounters total;
  int correct = 0, agree = 0;
  double seconds = 0;
  for (int done = 0; done < count;) {
    const int batch = std::min(kBatch, count - done);
    std::vector<std::span<const std::uint8_t>> pictures;
    for (int i = 0; i < batch; ++i) pictures.push_back(data.Image(held_out[static_cast<std::size_t>(done + i)]));
    device->ClearCounters();
    const auto start = std::chrono::steady_clock::now();
    const auto scores = classifier.Run(pictures);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const DeviceCounters c = device->Counters();
    total.cycles += c.cycles;
    for (std::size_t q = 0; q < isa::kNumQueues; ++q) {
      total.queues[q].work += c.queues[q].work;
      total.queues[q].retired += c.queues[q].retired;
    }
    for (int i = 0; i < batch; ++i) {
      const int index = held_out[static_cast<std::size_t>(done + i)];
      const int best = Best(scores[static_cast<std::size_t>(i)]);
      correct += best == data.labels[static_cast<std::size_t>(index)];
      agree += best == Best(Forward(model, data.Image(index), Arithmetic::kFp32));
    }
    done += batch;
    progress.Show(fmt::format("{:>5} of {} pictures, {:.2f} % right{}", done, count, 100.0 * correct / done,
                              rtl ? fmt::format(", {} cycles, {:.0f} kHz", total.cycles,
                                                static_cast<double>(total.cycles) / seconds / 1000) : ""),
                  done == count);
  }

  const auto& tensor = total[isa::Queue::kTensor];
  const double utilisation = static_cast<double>(tensor.work) / static_cast<double>(std::max<std::uint64_t>(total.cycles, 1));
  fmt::print("accuracy          {:.2f} % ({} of {}); the same class as the host's fp32 network in {:.2f} %\n",
             100.0 * correct / count, correct, count, 100.0 * agree / count);
  if (rtl) {
    fmt::print("cycles            {} ({:.0f} a picture)\n", total.cycles, static_cast<double>(total.cycles) / count);
    fmt::print("array utilisation {:.2f} % of cycles issue a column\n", 100 * utilisation);
    fmt::print("simulation speed  {:.0f} cycles a second, lockstep included\n", static_cast<double>(total.cycles) / seconds);
    const std::uint64_t bytes = verilated->CompareAll();
    fmt::print("bit-exact         {} instructions and {} bytes (SBUF, PSUM, DRAM, rounders) equal the functional model\n",
               verilated->retired(), bytes);
    for (const auto& v : verilated->AxiViolations()) fmt::print("AXI violation: {}\n", v);
    if (!verilated->AxiViolations().empty()) return 1;
  } else {
    fmt::print("speed             {:.0f} pictures a second\n", count / seconds);
  }
  show_nonfinite();
  if (!options.json.empty()) {
    FILE* f = std::fopen(options.json.c_str(), "w");
    if (!f) throw std::runtime_error(options.json + ": cannot be written");
    fmt::print(f, "{{\"accuracy\": {}, \"cycles\": {}, \"utilisation\": {}, \"hz\": {}, \"images\": {}}}\n",
               100.0 * correct / count, total.cycles, utilisation, static_cast<double>(total.cycles) / seconds, count);
    std::fclose(f);
  }
  return 0;
}

}  // namespace
}  // namespace dither

int main(int argc, char** argv) {
  dither::Options o;
  CLI::App app{"Classify pictures with a trained network on the Dither core."};
  app.add_option("--model", o.model, "network (.dmlp), from build/host/host_train")->required();
  app.add_option("--data", o.data, "picture folder; default build/data/<the network's data set>");
  app.add_option("--backend", o.backend, "rtl (with lockstep) or functional")->check(CLI::IsMember({"rtl", "functional"}))
      ->capture_default_str();
  app.add_option("--images", o.images, "held-out pictures to classify")->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_option("--image", o.image, "classify this PGM picture instead, and draw it");
  app.add_option("--seed", o.seed, "of the rounders")->capture_default_str();
  app.add_flag("--stochastic", o.stochastic, "round hidden activations stochastically");
  app.add_flag("--nonfinite", o.nonfinite, "count infinite and NaN words that matmuls write, and say how many");
  app.add_option("--trace", o.trace, "write waves to this FST file (program built with TRACE=1)");
  app.add_option("--json", o.json, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::Run(o);
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "\ndigits: {}\n", e.what());
    return 1;
  }
}
