// What a training step costs on the Verilated core: cycles from doorbell to done, bytes that the DMA moved and
// bytes of instructions fetched, by the core's own counters, each instruction in lockstep with the functional
// model. Prints one JSON object a line for each batch size; scripts/study.py cost starts it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "sim/app/study_run.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither::study {
namespace {

struct CostOptions {
  Setup setup;
  std::vector<std::uint32_t> batches;
  std::uint32_t steps = 2;
  bool lockstep = true;
};

// Of one step: counters are cleared before it.
nlohmann::json CountersOf(VerilatedDevice& device) {
  const DeviceCounters counters = device.Counters();
  nlohmann::json out;
  std::uint64_t moved = 0, instructions = 0;
  for (const isa::Queue queue : isa::kAllQueue) {
    const QueueCounters& c = counters[queue];
    out["busy"][std::string(isa::Name(queue))] = c.busy;
    instructions += c.retired;
    if (queue == isa::Queue::kDma0 || queue == isa::Queue::kDma1) moved += c.work;
  }
  out["moved"] = moved;
  out["instructions"] = instructions;
  return out;
}

void Measure(const CostOptions& o, const Table& table, std::uint32_t batch) {
  Setup setup = o.setup;
  setup.batch = batch;
  DeviceOptions device_options;
  device_options.config = VerilatedConfig();
  device_options.dram_bytes = std::uint64_t{256} << 20;
  VerilatedOptions verilated;
  verilated.lockstep = o.lockstep;
  const auto device = MakeVerilatedDevice(device_options, verilated);
  train::TrainerOptions options = OptionsOf(setup, table);
  options.check_nonfinite = false;  // no copies for diagnosis in what is measured
  train::Trainer trainer(*device, options);
  // Costs don't depend on the values: rows are repeated where the table has too few.
  const auto wanted = static_cast<int>(batch * (o.steps + 1));
  train::Examples examples = RowsOf(table, 0, std::min(wanted, table.rows));
  while (static_cast<int>(examples.labels.size()) < wanted) {
    const train::Examples more =
        RowsOf(table, 0, std::min(wanted - static_cast<int>(examples.labels.size()), table.rows));
    examples.inputs.insert(examples.inputs.end(), more.inputs.begin(), more.inputs.end());
    examples.indices.insert(examples.indices.end(), more.indices.begin(), more.indices.end());
    examples.labels.insert(examples.labels.end(), more.labels.begin(), more.labels.end());
  }
  trainer.SetExamples(examples);

  trainer.Step();  // builds the program; its cycles are not counted
  nlohmann::json line = {{"batch", batch}, {"mode", setup.mode}, {"config", VerilatedConfig().name}};
  std::vector<std::uint64_t> cycles;
  for (std::uint32_t step = 0; step < o.steps; ++step) {
    device->ClearCounters();
    const train::StepReport report = trainer.Step();
    cycles.push_back(report.cycles);
    line["counters"] = CountersOf(*device);
  }
  if (o.lockstep) line["compared"] = device->CompareAll();
  const train::DramTraffic traffic = trainer.traffic();
  line["cycles"] = cycles;
  line["dram_read"] = traffic.read;
  line["dram_written"] = traffic.written;
  line["dram_instructions"] = traffic.instructions;
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

int Run(const CostOptions& o) {
  const Table table = LoadTable(o.setup.table);
  for (const std::uint32_t batch : o.batches.empty() ? std::vector{o.setup.batch} : o.batches) {
    Measure(o, table, batch);
  }
  return 0;
}

}  // namespace
}  // namespace dither::study

int main(int argc, char** argv) {
  dither::study::CostOptions o;
  CLI::App app{"What a training step costs on the Verilated core, as JSON lines."};
  o.setup.AddTo(app);
  app.add_option("--batches", o.batches, "batch sizes, each a line (default: --batch)")->delimiter(',');
  app.add_option("--steps", o.steps, "steps to measure after the first")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("!--no-lockstep", o.lockstep, "don't compare with the functional model");
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::study::Run(o);
  } catch (const std::exception& error) {
    fmt::print(stderr, "study_cost: {}\n", error.what());
    return 1;
  }
}
