// One run of the study on the functional model: a table, a model, a numeric mode, a seed. Prints one JSON
// object a line: "start", "epoch" for each, "done" or "diverged". With --checkpoint it goes on from
// there when the file exists, at the same bits; scripts/study.py starts it.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sim/app/study_run.hpp"
#include "sim/device/functional_device.hpp"

namespace dither::study {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

void Say(const nlohmann::json& line) {
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

struct RunOptions {
  Setup setup;
  std::uint64_t epochs = 10, limit = 0;
  std::string schedule = "linear", checkpoint;
  double checkpoint_seconds = 15;
};

int Run(const RunOptions& o) {
  const Table table = LoadTable(o.setup.table);
  DeviceOptions device_options;
  device_options.dram_bytes = DramBytes(table);
  const auto device = MakeFunctionalDevice(device_options);
  const train::TrainerOptions options = OptionsOf(o.setup, table);
  train::Trainer trainer(*device, options);
  Parts parts = PartsOf(o.setup, table);
  if (o.limit != 0) parts.train_end = std::min(parts.train_end, static_cast<int>(o.limit));
  trainer.SetExamples(RowsOf(table, 0, parts.train_end));
  const train::Examples judge = RowsOf(table, parts.judge_first, parts.judge_end);

  if (!o.checkpoint.empty() && std::filesystem::exists(o.checkpoint)) {
    try {
      trainer.Load(o.checkpoint);
    } catch (const train::CheckpointError& error) {
      Say({{"event", "restart"}, {"why", error.what()}});  // nothing was changed: from the beginning
    }
  }
  Say({{"event", "start"},
       {"epoch", trainer.epoch()},
       {"model", ShapeText(o.setup, table)},
       {"train", parts.train_end},
       {"held_out", judge.size()},
       {"table", fmt::format("{:08x}", table.checksum)}});

  const std::uint64_t steps = o.epochs * trainer.steps_per_epoch();
  auto saved = Clock::now();
  std::uint64_t told = trainer.epoch();  // epochs
  try {
    while (trainer.epoch() < o.epochs) {
      const auto from = Clock::now();
      const auto rate = [&] {
        if (o.schedule == "linear") {
          const double left = 1 - static_cast<double>(trainer.step()) / static_cast<double>(steps);
          trainer.SetRate(static_cast<float>(o.setup.rate * left));
        }
      };
      rate();
      const double loss = trainer.Epoch([&](const train::StepReport&) {
        rate();
        return true;
      });
      const double train_seconds = Seconds(from);
      const train::Evaluation held_out = trainer.Evaluate(judge);
      trainer.RequireFinite(held_out);
      // The checkpoint first: an epoch that was told is one that will not be run again.
      if (!o.checkpoint.empty() && trainer.epoch() < o.epochs && Seconds(saved) > o.checkpoint_seconds) {
        trainer.Save(o.checkpoint);
        saved = Clock::now();
      }
      Say({{"event", "epoch"},
           {"epoch", ++told},
           {"loss", loss},
           {"held_out_loss", held_out.loss},
           {"correct", held_out.correct},
           {"count", held_out.count},
           {"train_seconds", train_seconds},
           {"seconds", Seconds(from)}});
    }
  } catch (const train::NonfiniteLoss& error) {
    Say({{"event", "diverged"}, {"epoch", told}, {"why", error.what()}});
    return 0;
  }
  const train::DramTraffic traffic = trainer.traffic();
  Say({{"event", "done"},
       {"steps", trainer.step()},
       {"dram_read", traffic.read},
       {"dram_written", traffic.written},
       {"dram_instructions", traffic.instructions}});
  return 0;
}

}  // namespace
}  // namespace dither::study

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on files is an error of the write
  dither::study::RunOptions o;
  CLI::App app{"One run of the study on the functional model, reported as JSON lines."};
  o.setup.AddTo(app);
  app.add_option("--epochs", o.epochs, "passes over the training rows")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--schedule", o.schedule, "linear (to zero over the run) or constant")
      ->check(CLI::IsMember({"linear", "constant"}))
      ->capture_default_str();
  app.add_option("--limit", o.limit, "train on the first rows only (0: on all)");
  app.add_option("--checkpoint", o.checkpoint, "file to go on from, and to keep");
  app.add_option("--checkpoint-seconds", o.checkpoint_seconds, "at most one in so many seconds")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::study::Run(o);
  } catch (const std::exception& error) {
    fmt::print(stderr, "study_run: {}\n", error.what());
    return 1;
  }
}
