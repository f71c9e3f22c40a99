// Cycles of training steps on the Verilated core: how busy the array is, how much DRAM moves.
//
//   train_bench --sizes 512,512,512 --batch 128 --mode bf16-sr [--steps 1] [--json file]
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <random>

#include "sim/train/trainer.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

struct Options {
  std::vector<std::uint32_t> sizes = {512, 512, 512}, batches = {128};
  std::vector<std::string> modes = {"bf16-sr"};
  std::string loss = "softmax", optimizer = "sgd", json;
  int steps = 1;
  float momentum = 0.9f;
  bool queues = false, timeline = false;
};

int Run(const Options& o) {
  std::FILE* json = o.json.empty() ? nullptr : std::fopen(o.json.c_str(), "w");
  fmt::print("{:>10} {:>6} {:>9} {:>7} {:>7} {:>9} {:>9} {:>6} {:>6}\n", "mode", "batch", "cycles", "busy%", "useful%",
             "read", "written", "B/cyc r", "w");
  for (const std::uint32_t batch : o.batches) {
    for (const std::string& mode : o.modes) {
      train::TrainerOptions options;
      options.model = train::ModelSpec::Mlp(o.sizes);
      options.model.loss = o.loss == "softmax" ? train::Loss::kSoftmaxCrossEntropy : train::Loss::kMeanSquare;
      options.mode = train::NumericMode::Named(mode);
      options.batch = options.eval_batch = batch;
      options.optimizer.momentum = o.momentum;
      if (o.optimizer == "adam") options.optimizer.kind = train::OptimizerSpec::Kind::kAdam;
      DeviceOptions device_options;
      device_options.config = VerilatedConfig();
      VerilatedOptions verilated;
      auto device = MakeVerilatedDevice(device_options, verilated);
      train::Trainer trainer(*device, options);
      std::mt19937 random(1);
      train::Examples e;
      e.features = o.sizes.front();
      e.inputs.resize(std::size_t{batch} * e.features);
      for (float& v : e.inputs) v = static_cast<float>(random() % 256) / 256;
      for (std::uint32_t n = 0; n < batch; ++n) e.labels.push_back(random() % o.sizes.back());
      if (options.model.loss == train::Loss::kMeanSquare) {
        e.targets.assign(std::size_t{batch} * o.sizes.back(), 0.5f);
        e.labels.clear();
      }
      trainer.SetExamples(e);
      // When the instructions of each label retire, in each queue.
      struct Span {
        std::uint64_t first, last, count;
      };
      std::vector<std::pair<std::string, Span>> spans;
      std::uint64_t begin = 0;
      if (o.timeline) {
        device->OnRetire([&](isa::Queue queue, std::uint32_t index, std::uint64_t cycle) {
          const std::string name = fmt::format("{:<7} {}", isa::Name(queue), trainer.StepLabels(queue).at(index));
          for (auto& [label, span] : spans) {
            if (label != name) continue;
            span.last = cycle;
            ++span.count;
            return;
          }
          spans.push_back({name, {cycle, cycle, 1}});
        });
      }
      std::uint64_t cycles = 0, columns = 0;
      DeviceCounters c;
      for (int s = 0; s < o.steps; ++s) {
        spans.clear();
        begin = device->cycles();
        cycles += trainer.Step().cycles;
        c = device->Counters();
        columns += c[isa::Queue::kTensor].work;
      }
      const auto per = [&](double value) { return value * o.steps / static_cast<double>(cycles); };
      const train::DramTraffic t = trainer.traffic();
      const double busy = 100.0 * static_cast<double>(columns) / static_cast<double>(cycles);
      const double useful = 100 * per(static_cast<double>(trainer.useful_columns()));
      fmt::print("{:>10} {:>6} {:>9} {:>7.2f} {:>7.2f} {:>9} {:>9} {:>6.2f} {:>6.2f}\n", mode, batch, cycles / o.steps, busy,
                 useful, t.read, t.written, per(static_cast<double>(t.read)), per(static_cast<double>(t.written)));
      if (o.queues) {
        for (const auto q : isa::kAllQueue) {
          fmt::print("  {:>7}: busy {:>8} waits {:>8} fetch {:>7} stall {:>8} work {:>8} instructions {}\n", isa::Name(q),
                     c[q].busy, c[q].wait_sem, c[q].wait_fetch, c[q].stall_mem, c[q].work, c[q].retired);
        }
      }
      for (const auto& [label, span] : spans) {
        fmt::print("  {:>8} .. {:>8} {:>6}  {}\n", span.first - begin, span.last - begin, span.count, label);
      }
      std::fflush(stdout);
      device->CompareAll();
      if (json) {
        fmt::print(json, "{{\"mode\": \"{}\", \"batch\": {}, \"cycles\": {}, \"busy\": {}, \"useful\": {}, \"read\": {}, \"written\": {}}}\n",
                   mode, batch, cycles / o.steps, busy, useful, t.read, t.written);
      }
    }
  }
  if (json) std::fclose(json);
  return 0;
}

}  // namespace
}  // namespace dither

int main(int argc, char** argv) {
  dither::Options o;
  CLI::App app{"Cycles of training steps on the Verilated core."};
  app.add_option("--sizes", o.sizes, "inputs, hidden, outputs")->delimiter(',')->capture_default_str();
  app.add_option("--batch", o.batches)->delimiter(',')->capture_default_str();
  app.add_option("--mode", o.modes)->delimiter(',')->check(CLI::IsMember(dither::train::NumericMode::Names()))->capture_default_str();
  app.add_option("--loss", o.loss)->check(CLI::IsMember({"softmax", "square"}))->capture_default_str();
  app.add_option("--optimizer", o.optimizer)->check(CLI::IsMember({"sgd", "adam"}))->capture_default_str();
  app.add_option("--momentum", o.momentum)->capture_default_str();
  app.add_option("--steps", o.steps)->capture_default_str();
  app.add_flag("--queues", o.queues, "counters of every queue, last step");
  app.add_flag("--timeline", o.timeline, "cycles in which the parts of a step retire, last step");
  app.add_option("--json", o.json, "a line of JSON each");
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::Run(o);
  } catch (const std::exception& e) {
    fmt::print(stderr, "train_bench: {}\n", e.what());
    return 1;
  }
}
