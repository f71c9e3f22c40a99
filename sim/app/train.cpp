// Trains a digit classifier by programs: the first steps on the Verilated core and on the functional
// model, which have to leave the same bits, then the whole run on the functional model.
//
//   train --data build/data/mnist [--epochs 10] [--mode bf16-sr] [--rtl-steps 3] [--resume] ...
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "sim/data/dataset.hpp"
#include "sim/device/functional_device.hpp"
#include "sim/train/curve.hpp"
#include "sim/train/loss_table.hpp"
#include "sim/train/trainer.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

using train::Trainer;
using train::TrainerOptions;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string data, checkpoint = "build/train/digits.ckpt", csv, mode = "bf16-sr", optimizer = "sgd",
                    activation = "relu";
  std::vector<std::uint32_t> hidden = {128};
  int epochs = 20, rtl_steps = 3, max_shift = -1;
  std::uint32_t batch = 32;
  float rate = 0.1f, momentum = 0.9f, weight_decay = 0;
  std::uint64_t seed = 1;
  bool resume = false;
};

std::string CsvOf(const Options& o) {
  return o.csv.empty() ? std::filesystem::path(o.checkpoint).replace_extension(".csv").string() : o.csv;
}

volatile std::sig_atomic_t interrupted = 0;
void OnInterrupt(int) { interrupted = 1; }

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

train::Examples Take(const Dataset& data, const std::vector<int>& which) {
  train::Examples e;
  e.features = static_cast<std::uint32_t>(data.PixelCount());
  for (const int n : which) {
    // A power of two: what a pixel is stored as has the pixel's bits in every dtype of 8 and more.
    for (const std::uint8_t pixel : data.Image(n)) e.inputs.push_back(static_cast<float>(pixel) / 256);
    e.labels.push_back(data.labels[static_cast<std::size_t>(n)]);
  }
  return e;
}

// The rate falls linearly to a twentieth: as a number in the step's instructions, set once an epoch.
float RateOf(const Options& o, std::uint64_t epoch) {
  const float progress = static_cast<float>(epoch) / static_cast<float>(std::max(o.epochs, 1));
  return o.rate * std::max(1 - progress, 0.05f);
}

// Both trainings make `steps` steps from the same state, fewer if interrupted; every bit of it has to
// agree after each. Returns the losses.
std::vector<double> CompareWithRtl(const Options& o, const TrainerOptions& options, Trainer& model,
                    const train::Examples& examples, std::uint64_t steps) {
  DeviceOptions device_options;
  device_options.config = VerilatedConfig();
  VerilatedOptions verilated;
  verilated.seed = o.seed;
  auto device = MakeVerilatedDevice(device_options, verilated);
  Trainer rtl(*device, options);
  rtl.SetExamples(examples);
  if (o.resume) rtl.Load(o.checkpoint);
  std::vector<double> losses;
  std::uint64_t cycles = 0, columns = 0, bytes = 0;
  const auto start = Clock::now();
  for (std::uint64_t n = 0; n < steps && !interrupted; ++n) {
    rtl.SetRate(RateOf(o, rtl.epoch()));
    model.SetRate(RateOf(o, model.epoch()));
    const train::StepReport a = rtl.Step(), b = model.Step();
    const DeviceCounters c = device->Counters();
    columns += c[isa::Queue::kTensor].work;
    cycles += a.cycles;
    losses.push_back(a.loss);
    const std::vector<std::uint8_t> state = rtl.State();
    bytes += state.size();
    if (std::bit_cast<std::uint32_t>(a.loss) != std::bit_cast<std::uint32_t>(b.loss) || state != model.State()) {
      throw train::TrainError(fmt::format("step {}: the RTL and the functional model differ (loss {} and {})", a.step,
                                          a.loss, b.loss));
    }
    fmt::print("rtl step {}: loss {:.4f}, {} cycles; weights, state and rounders equal the functional model's\n", a.step,
               a.loss, a.cycles);
    std::fflush(stdout);
  }
  if (losses.empty()) return losses;
  fmt::print("rtl         {:.0f} cycles a step, array busy {:.1f} %, {:.0f} cycles a second in lockstep\n",
             static_cast<double>(cycles) / static_cast<double>(losses.size()),
             100.0 * static_cast<double>(columns) / static_cast<double>(cycles),
             static_cast<double>(cycles) / Since(start));
  fmt::print("bit-exact   {} instructions, {} bytes of state step by step, {} bytes at the end\n", device->retired(), bytes,
             device->CompareAll());
  if (!device->AxiViolations().empty()) throw train::TrainError("AXI: " + device->AxiViolations().front());
  return losses;
}

int Run(const Options& o) {
  const Dataset data = LoadDataset(o.data);
  const Split split = SplitDataset(data);
  const train::Examples examples = Take(data, split.train), held_out = Take(data, split.held_out);

  std::vector<std::uint32_t> sizes = {examples.features};
  sizes.insert(sizes.end(), o.hidden.begin(), o.hidden.end());
  sizes.push_back(static_cast<std::uint32_t>(data.classes));
  static const std::map<std::string, train::Activation> kActivations = {
      {"relu", train::Activation::kRelu}, {"gelu", train::Activation::kGelu},
      {"tanh", train::Activation::kTanh}, {"sigmoid", train::Activation::kSigmoid},
      {"silu", train::Activation::kSilu}};
  static const std::map<std::string, train::OptimizerSpec::Kind> kOptimizers = {
      {"sgd", train::OptimizerSpec::Kind::kSgd},
      {"adam", train::OptimizerSpec::Kind::kAdam},
      {"adamw", train::OptimizerSpec::Kind::kAdamW}};
  TrainerOptions options;
  options.model = train::ModelSpec::Mlp(sizes, kActivations.at(o.activation));
  options.mode = train::NumericMode::Named(o.mode);
  options.optimizer.kind = kOptimizers.at(o.optimizer);
  options.optimizer.rate = o.rate;
  options.optimizer.momentum = o.momentum;
  options.optimizer.weight_decay = o.weight_decay;
  const auto width = static_cast<std::uint32_t>(data.width), height = static_cast<std::uint32_t>(data.height);
  // As host_train: pictures of 8 x 8 lose by it.
  options.picture = {width, height, static_cast<std::uint32_t>(o.max_shift < 0 ? width >= 16 : o.max_shift)};
  options.batch = o.batch;
  options.seed = o.seed;

  DeviceOptions device_options;
  device_options.config = VerilatedConfig();
  // The core of this program may have been built with plain random words.
  device_options.whiten = (MakeVerilatedDevice(device_options, {})->ReadCsr(isa::kCsrRngMode) & 1) != 0;
  auto device = MakeFunctionalDevice(device_options);
  Trainer trainer(*device, options);
  trainer.SetExamples(examples);
  fmt::print("network     {}\n", options.model.Text());
  fmt::print("data        {}: {} pictures to train on, {} held out\n", data.name, examples.size(), held_out.size());
  fmt::print("numbers     {}, batch {}, {} steps an epoch, core {}\n", o.mode, o.batch, trainer.steps_per_epoch(),
             device->config().name);
  fmt::print("a step      {} instructions, {} bytes read and {} written in DRAM\n", trainer.step_program().size(),
             trainer.traffic().read, trainer.traffic().written);

  if (o.resume) {
    trainer.Load(o.checkpoint);
    fmt::print("resumed     {}: {} steps, {} epochs\n", o.checkpoint, trainer.step(), trainer.epoch());
  }
  const std::string csv = CsvOf(o);
  if (!o.resume) {
    std::string moved;
    const auto aside = [&](const std::string& file) {
      if (train::MoveAside(file)) moved += (moved.empty() ? "" : ", ") + file + ".old";
    };
    // A CSV whose training left no checkpoint does not replace one that was kept with its checkpoint.
    using std::filesystem::exists;
    const bool pair_kept = !exists(o.checkpoint) && exists(o.checkpoint + ".old") && exists(csv + ".old");
    aside(o.checkpoint);
    if (!pair_kept) aside(csv);
    if (!moved.empty()) fmt::print("kept        {}: what a training before left there\n", moved);
  }
  const std::uint64_t resumed_at = trainer.step();
  train::LossTable table(csv, o.resume ? std::optional(resumed_at) : std::nullopt);
  std::vector<double> losses;

  const std::uint64_t total = trainer.steps_per_epoch() * static_cast<std::uint64_t>(o.epochs);
  const std::uint64_t left = total > resumed_at ? total - resumed_at : 0;
  const std::uint64_t rtl_steps = std::min<std::uint64_t>(o.rtl_steps, left);
  if (left == 0) fmt::print("nothing left to train: {} epochs are done, --epochs {} in all\n", trainer.epoch(), o.epochs);
  std::fflush(stdout);
  std::signal(SIGINT, OnInterrupt);
  std::signal(SIGTERM, OnInterrupt);
  if (rtl_steps > 0) losses = CompareWithRtl(o, options, trainer, examples, rtl_steps);
  for (std::size_t n = 0; n < losses.size(); ++n) table.Add(resumed_at + n + 1, losses[n]);
  // The table is never behind the checkpoint: resuming cuts what it has beyond, but can't fill a gap.
  std::uint64_t saved_at = resumed_at;
  const auto save = [&] {
    table.Flush();
    if (trainer.step() != saved_at) trainer.Save(o.checkpoint);
    saved_at = trainer.step();
    table.Check();
  };

  const bool terminal = isatty(STDOUT_FILENO) != 0;
  const std::uint64_t first = trainer.step();
  const auto start = Clock::now();
  auto shown = start;
  std::optional<double> accuracy;  // of the weights as they are
  const auto evaluate = [&] {
    const train::Evaluation e = trainer.Evaluate(held_out);
    trainer.RequireFinite(e);
    accuracy = e.accuracy();
    return e;
  };
  while (trainer.epoch() < static_cast<std::uint64_t>(o.epochs) && !interrupted) {
    trainer.SetRate(RateOf(o, trainer.epoch()));
    double sum = 0;
    std::uint64_t steps = 0;
    trainer.Epoch([&](const train::StepReport& r) {
      losses.push_back(r.loss);
      sum += r.loss;
      ++steps;
      if (trainer.step() % trainer.steps_per_epoch() != 0) table.Add(r.step, r.loss);
      if (terminal && (Since(shown) > 0.2)) {
        shown = Clock::now();
        const double rate = static_cast<double>(trainer.step() - first) / Since(start);
        fmt::print("\rstep {:>6} of {}, loss {:.4f}, {:.0f} pictures/s, {:.0f} s left   ", r.step, total,
                   sum / static_cast<double>(steps), rate * o.batch, static_cast<double>(total - r.step) / rate);
        std::fflush(stdout);
      }
      return interrupted == 0;
    });
    if (interrupted) {
      if (trainer.step() % trainer.steps_per_epoch() == 0) table.Add(trainer.step(), losses.back());
      break;
    }
    const train::Evaluation e = evaluate();
    table.Add(trainer.step(), losses.back(), 100 * *accuracy);
    save();
    const double rate = static_cast<double>(trainer.step() - first) / Since(start);
    fmt::print("{}epoch {:>3} of {}: loss {:.4f}, held out {:.2f} % right (loss {:.4f}), {:.0f} pictures/s, {:.0f} s left\n",
               terminal ? "\r" : "", trainer.epoch(), o.epochs, sum / static_cast<double>(std::max<std::uint64_t>(steps, 1)),
               100 * *accuracy, e.loss, rate * o.batch, static_cast<double>(total - trainer.step()) / rate);
    std::fflush(stdout);
  }
  if (!interrupted && !accuracy) evaluate();
  save();
  table.Close();
  if (interrupted) {
    if (trainer.step() == 0) {
      fmt::print("\ninterrupted before the first step\n");
    } else {
      fmt::print("\ninterrupted after step {}; go on with --resume (checkpoint {})\n", trainer.step(), o.checkpoint);
    }
    return 130;
  }
  if (!losses.empty()) {
    fmt::print("\n{}", train::DrawCurve(losses, 64, 10, TerminalIsUtf8()));
    fmt::print("{:>11}loss of steps {} to {}\n", "", resumed_at + 1, trainer.step());
  }
  const std::string picture = std::filesystem::path(csv).replace_extension(".svg").string();
  const bool plotted = train::PlotTraining(csv, picture, options.model.Text() + ", " + o.mode);
  fmt::print("\naccuracy    {:.2f} % of {} held-out pictures, by program\n", 100 * *accuracy, held_out.size());
  fmt::print("files       {}, {}{}\n", o.checkpoint, csv, plotted ? ", " + picture : " (no picture: gnuplot is missing, has nothing to draw or found no end)");
  return 0;
}

CLI::Validator BelowOne() {
  return {[](std::string& text) {
            float value = 0;
            if (CLI::detail::lexical_cast(text, value) && value >= 0 && value < 1) return std::string();
            return text + ": from 0 to below 1";
          },
          "0 to below 1"};
}

}  // namespace
}  // namespace dither

int main(int argc, char** argv) {
  dither::Options o;
  CLI::App app{"Train a digit classifier by programs on the Dither core."};
  app.add_option("--data", o.data, "picture folder")->required();
  app.add_option("--hidden", o.hidden, "sizes of the hidden layers")->delimiter(',')->capture_default_str();
  app.add_option("--activation", o.activation, "of the hidden layers")
      ->check(CLI::IsMember({"relu", "gelu", "tanh", "sigmoid", "silu"}))->capture_default_str();
  app.add_option("--epochs", o.epochs, "in all")->check(CLI::Range(0, 100000))->capture_default_str();
  app.add_option("--batch", o.batch, "examples of a step")->check(CLI::Range(1, 512))->capture_default_str();
  app.add_option("--rate", o.rate, "learning rate at the start; falls linearly to a twentieth")->capture_default_str();
  app.add_option("--momentum", o.momentum, "0: none")->check(dither::BelowOne())->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay, "share of a weight lost in a step, times the rate")->capture_default_str();
  app.add_option("--shift", o.max_shift, "pixels by which pictures are moved each time; -1: 1, or 0 below 16 x 16")
      ->check(CLI::Range(-1, 8))->capture_default_str();
  app.add_option("--optimizer", o.optimizer)->check(CLI::IsMember({"sgd", "adam", "adamw"}))->capture_default_str();
  app.add_option("--seed", o.seed, "of weights, order and rounders")->capture_default_str();
  app.add_option("--mode", o.mode, "numbers")->check(CLI::IsMember(dither::train::NumericMode::Names()))->capture_default_str();
  app.add_option("--rtl-steps", o.rtl_steps, "steps that the Verilated core makes too, compared bit by bit")
      ->check(CLI::Range(0, 100000))->capture_default_str();
  app.add_option("--checkpoint", o.checkpoint, "written after every epoch and on Ctrl-C")->capture_default_str();
  app.add_flag("--resume", o.resume, "go on from the checkpoint");
  app.add_option("--csv", o.csv, "loss of every step, test accuracy of every epoch; default beside the checkpoint");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on files is an error of the write
  try {
    if (dither::CsvOf(o) == o.checkpoint) throw dither::train::TrainError("--csv and --checkpoint are one file: " + o.checkpoint);
    return dither::Run(o);
  } catch (const dither::train::NonfiniteLoss& e) {
    std::fflush(stdout);
    fmt::print(stderr, "\ntrain: {}\ntrain: stopped; {}\n", e.what(),
               std::filesystem::exists(o.checkpoint) ? o.checkpoint + " is as it was written last"
                                                     : "no checkpoint had been written yet");
    return 2;
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "\ntrain: {}\n", e.what());
    return 1;
  }
}
