// Trains a small network on a picture data set and writes build/model/<data set>.dmlp for the
// accelerator to run. Deterministic: the same options and data give the same file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "sim/data/dataset.hpp"
#include "sim/host_train/train.hpp"

namespace {

int Run(int argc, char** argv) {
  CLI::App app{"Train a multilayer perceptron on handwritten digits, on the host."};
  dither::TrainOptions options;
  std::string data_folder;
  std::string out;
  bool quiet = false;
  app.add_option("--data", data_folder,
                 "Folder of images.idx3 and labels.idx1 (default: build/data/mnist, else digits)");
  app.add_option("--out", out, "Model file to write (default: build/model/<data set>.dmlp)");
  app.add_option("--hidden", options.hidden, "Sizes of the hidden layers, as in 64,32")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--epochs", options.epochs, "Times each picture is shown")->capture_default_str();
  app.add_option("--batch", options.batch, "Pictures in a step")->capture_default_str();
  app.add_option("--rate", options.rate, "First learning rate, falls to 0")->capture_default_str();
  app.add_option("--shift", options.max_shift,
                 "Move pictures by up to this (-1: 1 from 16x16 up; clothes do better with 0)")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Initial weights and order")->capture_default_str();
  app.add_flag("--quiet", quiet, "Print the result only");
  CLI11_PARSE(app, argc, argv);

  const auto start = std::chrono::steady_clock::now();
  if (data_folder.empty()) {
    data_folder =
        std::filesystem::exists("build/data/mnist") ? "build/data/mnist" : "build/data/digits";
  }
  const dither::Dataset data = dither::LoadDataset(data_folder);
  const dither::Split split = dither::SplitDataset(data);
  if (out.empty()) out = fmt::format("build/model/{}.dmlp", data.name);
  if (!quiet) {
    fmt::print("{}: {} pictures of {}x{}, {} to train on, {} held out\n", data.name, data.size(),
               data.width, data.height, split.train.size(), split.held_out.size());
  }
  const dither::Mlp model =
      dither::TrainMlp(data, split, options, [&](const dither::EpochReport& report) {
        if (quiet) return;
        fmt::print("epoch {:3}/{}  loss {:.4f}  train {:6.2f} %  held out {:6.2f} %\n",
                   report.epoch, options.epochs, report.loss, 100 * report.train_accuracy,
                   100 * report.held_out_accuracy);
        std::fflush(stdout);
      });
  dither::SaveModel(model, out);
  const int bf16 = dither::CountCorrect(model, data, split.held_out, dither::Arithmetic::kBf16);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double count = std::max<double>(1, model.held_out_count);
  fmt::print("wrote {}: {}, held out {:.2f} % in fp32, {:.2f} % in bf16, {:.1f} s\n", out,
             dither::ShapeText(model), 100 * model.held_out_correct / count, 100 * bf16 / count,
             seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "host_train: {}\n", error.what());
    return 1;
  }
}
