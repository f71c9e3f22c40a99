// What the study's programs share: the options of one run, its model, its examples.
#pragma once

#include <CLI/CLI.hpp>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/data/table.hpp"
#include "sim/train/trainer.hpp"

namespace dither::study {

struct Setup {
  std::string table, mode = "bf16-sr", optimizer = "sgd";
  std::vector<std::uint32_t> hidden = {64, 32};
  std::uint32_t embedding = 16, batch = 32;
  float rate = 0.01f, momentum = 0.9f, weight_decay = 0;
  std::uint64_t seed = 1;
  bool validate = false;

  void AddTo(CLI::App& app) {
    app.add_option("--table", table, "table to learn from (.dtbl)")->required();
    app.add_option("--mode", mode, "numeric mode")
        ->check(CLI::IsMember(train::NumericMode::Names()))
        ->capture_default_str();
    app.add_option("--hidden", hidden, "units of the hidden layers, relu behind each")
        ->delimiter('-')
        ->capture_default_str();
    app.add_option("--embedding", embedding, "width of an embedding")->capture_default_str();
    app.add_option("--batch", batch, "examples of a step")->capture_default_str();
    app.add_option("--optimizer", optimizer, "sgd (with momentum) or adamw")
        ->check(CLI::IsMember({"sgd", "adamw"}))
        ->capture_default_str();
    app.add_option("--rate", rate, "learning rate")->capture_default_str();
    app.add_option("--momentum", momentum, "of sgd")->capture_default_str();
    app.add_option("--weight-decay", weight_decay, "decoupled")->capture_default_str();
    app.add_option("--seed", seed, "of weights, order and rounders")->capture_default_str();
    app.add_flag("--validate", validate,
                 "leave the held-out rows alone: judge by the last fifth of the training rows");
  }
};

inline train::ModelSpec ModelOf(const Setup& setup, const Table& table) {
  std::vector<std::uint32_t> sizes = {static_cast<std::uint32_t>(table.features)};
  sizes.insert(sizes.end(), setup.hidden.begin(), setup.hidden.end());
  sizes.push_back(static_cast<std::uint32_t>(table.classes));
  train::ModelSpec model = train::ModelSpec::Mlp(sizes);
  // Columns that share a table in the file get a table each: the trainer knows no shared ones.
  for (const std::uint32_t index : table.table_of) {
    model.embeddings.push_back({table.sizes[index], setup.embedding});
  }
  return model;
}

// "9-64-64-11", or "(3 + 3 embeddings of 16)-64-2".
inline std::string ShapeText(const Setup& setup, const Table& table) {
  std::string text = std::to_string(table.features);
  if (table.columns() > 0) {
    text = "(" + text + " + " + std::to_string(table.columns()) + " embeddings of " +
           std::to_string(setup.embedding) + ")";
  }
  for (const std::uint32_t units : setup.hidden) text += "-" + std::to_string(units);
  return text + "-" + std::to_string(table.classes);
}

inline train::TrainerOptions OptionsOf(const Setup& setup, const Table& table) {
  train::TrainerOptions options;
  options.model = ModelOf(setup, table);
  options.mode = train::NumericMode::Named(setup.mode);
  options.optimizer.kind = setup.optimizer == "sgd" ? train::OptimizerSpec::Kind::kSgd
                                                    : train::OptimizerSpec::Kind::kAdamW;
  options.optimizer.rate = setup.rate;
  options.optimizer.momentum = setup.momentum;
  options.optimizer.weight_decay = setup.weight_decay;
  options.batch = setup.batch;
  options.seed = setup.seed;
  return options;
}

// Rows first .. last - 1. bf16 is the upper half of fp32.
inline train::Examples RowsOf(const Table& table, int first, int last) {
  train::Examples out;
  out.features = static_cast<std::uint32_t>(table.features);
  for (int row = first; row < last; ++row) {
    for (const std::uint16_t word : table.Features(row)) {
      out.inputs.push_back(std::bit_cast<float>(std::uint32_t{word} << 16));
    }
    const auto identities = table.Identities(row);
    out.indices.insert(out.indices.end(), identities.begin(), identities.end());
    out.labels.push_back(table.labels[row]);
  }
  return out;
}

// The rows that train and those that judge.
struct Parts {
  int train_end, judge_first, judge_end;
};
inline Parts PartsOf(const Setup& setup, const Table& table) {
  if (!setup.validate) return {table.train_rows, table.train_rows, table.rows};
  const int middle = static_cast<int>(std::int64_t{table.train_rows} * 4 / 5);
  return {middle, middle, table.train_rows};
}

// DRAM for the examples in the widest format, weights, states and rings.
inline std::uint64_t DramBytes(const Table& table) {
  std::uint64_t bytes = 128 << 20;
  bytes += std::uint64_t{static_cast<std::uint64_t>(table.rows)} * (table.features + table.columns() * 4 + 8) * 8;
  return (bytes + 4095) & ~std::uint64_t{4095};
}

}  // namespace dither::study
