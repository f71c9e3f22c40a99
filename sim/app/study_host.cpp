// The study's trainings in the host's own floating point: the same rounding points, not the core's bits. Takes
// study_run's options and prints its lines, 5 to 18 times as fast, so that scripts/study.py can run enough
// seeds to decide tenths of a percentage point, and its means are a second opinion on the core's.
//
// What is rounded where: inputs, hidden activations and the weights of the products to the mode's compute format,
// gradients of activations to its gradient format, momentum and weights when they are stored; sums are fp32
// (in another order than the array's), weight gradients stay fp32.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/app/study_run.hpp"
#include "sim/data/random.hpp"

namespace dither::study {
namespace {

using Floats = std::vector<float>;

// A small fast generator for roundings: xorshift64*, upper bits.
class RoundBits {
 public:
  explicit RoundBits(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u | 1) {}
  std::uint32_t Next16() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545f4914f6cdd1du) >> 48);
  }

 private:
  std::uint64_t state_;
};

float Nearest16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

// E4M3, nearest even, saturating.
float Nearest8(float x) {
  const float size = std::min(std::fabs(x), 448.0F);
  if (size == 0) return x;
  const float unit = std::ldexp(1.0F, std::max(std::ilogb(size), -6) - 3);
  return std::copysign(std::min(std::nearbyint(size / unit) * unit, 448.0F), x);
}

struct Parameter {
  Floats values, momentum, second;
  Floats compute;  // as the products see them
  std::size_t inputs = 0, outputs = 0;
};

class HostTrainer {
 public:
  HostTrainer(const Setup& setup, const Table& table, int train_end)
      : setup_(setup), table_(table), random_(setup.seed), bits_(setup.seed), order_(train_end) {
    columns_ = table.columns();
    sizes_ = {table.features + columns_ * static_cast<int>(setup.embedding)};
    for (const std::uint32_t units : setup.hidden) sizes_.push_back(static_cast<int>(units));
    sizes_.push_back(table.classes);
    for (std::size_t l = 0; l + 1 < sizes_.size(); ++l) {
      const auto in = static_cast<std::size_t>(sizes_[l]), out = static_cast<std::size_t>(sizes_[l + 1]);
      // The trainer's first weights: with one seed both begin alike.
      const double gain = l + 2 == sizes_.size() ? 3.0 : 6.0;
      weights_.push_back(Draw(in, out, static_cast<float>(std::sqrt(gain / static_cast<double>(in)))));
      bias_.push_back(Draw(1, out, 0));
    }
    for (const std::uint32_t index : table.table_of) {
      tables_.push_back(Draw(table.sizes[index], setup.embedding, 0.17F));
    }
    activations_.resize(sizes_.size());
    gradients_.resize(sizes_.size());
  }

  std::uint64_t StepsPerEpoch() const { return order_.size() / setup_.batch; }
  std::uint64_t step() const { return step_; }

  double Epoch(const std::function<float(std::uint64_t)>& rate) {
    std::iota(order_.begin(), order_.end(), 0);  // the trainer's order
    SplitMix64(setup_.seed * 0x9e3779b97f4a7c15u + ++epoch_).Shuffle(order_);
    double loss = 0;
    for (std::uint64_t s = 0; s < StepsPerEpoch(); ++s) {
      loss += Step(std::span(order_).subspan(s * setup_.batch, setup_.batch), rate(step_));
    }
    return loss / static_cast<double>(StepsPerEpoch());
  }

  // Right answers and mean loss of rows first .. last - 1.
  std::pair<std::size_t, double> Judge(int first, int last) {
    std::size_t correct = 0;
    double loss = 0;
    for (int at = first; at < last; at += 256) {
      std::vector<int> rows(std::min(256, last - at));
      std::iota(rows.begin(), rows.end(), at);
      Forward(rows);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto scores = Scores(i);
        const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
        correct += best == static_cast<std::ptrdiff_t>(table_.labels[rows[i]]);
        loss += LossOf(scores, table_.labels[rows[i]]);
      }
    }
    return {correct, loss / (last - first)};
  }

 private:
  bool Is(std::string_view mode) const { return setup_.mode == mode; }
  float Store(float x) {  // weights and state
    if (Is("fp32") || Is("mixed")) return x;
    if (Is("bf16-rne")) return Nearest16(x);
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + bits_.Next16()) & 0xffff0000);
  }
  float Compute(float x) const { return Is("fp32") ? x : Is("fp8-sr") ? Nearest8(x) : Nearest16(x); }
  float ComputeWeight(float x) const { return Is("fp8-sr") ? Nearest8(x * 64) / 64 : Compute(x); }
  float Gradient(float x) const { return Is("fp32") ? x : Nearest16(x); }

  // Uniform from -limit to limit.
  Parameter Draw(std::size_t inputs, std::size_t outputs, float limit) {
    Parameter p;
    p.inputs = inputs;
    p.outputs = outputs;
    p.values.resize(inputs * outputs);
    p.momentum.resize(p.values.size());
    if (setup_.optimizer == "adamw") p.second.resize(p.values.size());
    for (float& v : p.values) {
      if (limit == 0) break;
      v = (2 * random_.Uniform() - 1) * limit;
      if (!Is("fp32") && !Is("mixed")) v = Nearest16(v);
    }
    p.compute.resize(p.values.size());
    return p;
  }

  std::span<float> Scores(std::size_t row) {
    return std::span(activations_.back()).subspan(row * sizes_.back(), sizes_.back());
  }
  static double LossOf(std::span<const float> scores, std::uint32_t label) {
    const float top = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (const float s : scores) sum += std::exp(s - top);
    return std::log(sum) - (scores[label] - top);
  }

  void Forward(std::span<const int> rows) {
    for (Parameter& p : weights_) std::transform(p.values.begin(), p.values.end(), p.compute.begin(),
                                                 [&](float v) { return ComputeWeight(v); });
    const std::size_t in = sizes_[0], width = setup_.embedding;
    activations_[0].resize(rows.size() * in);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      float* x = &activations_[0][i * in];
      for (const std::uint16_t word : table_.Features(rows[i])) {
        *x++ = Compute(std::bit_cast<float>(std::uint32_t{word} << 16));
      }
      for (int c = 0; c < columns_; ++c) {
        const float* vector = &tables_[c].values[table_.Identities(rows[i])[c] * width];
        for (std::size_t k = 0; k < width; ++k) *x++ = Compute(vector[k]);
      }
    }
    for (std::size_t l = 0; l < weights_.size(); ++l) {
      const Parameter& w = weights_[l];
      activations_[l + 1].assign(rows.size() * w.outputs, 0);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        float* y = &activations_[l + 1][i * w.outputs];
        const float* x = &activations_[l][i * w.inputs];
        std::copy(bias_[l].values.begin(), bias_[l].values.end(), y);
        for (std::size_t k = 0; k < w.inputs; ++k) {
          if (x[k] != 0) Add(y, &w.compute[k * w.outputs], x[k], w.outputs);
        }
        if (l + 1 < weights_.size()) {
          for (std::size_t o = 0; o < w.outputs; ++o) y[o] = Compute(std::max(y[o], 0.0F));
        }
      }
    }
  }

  static void Add(float* to, const float* from, float scale, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) to[i] += scale * from[i];
  }

  double Step(std::span<const int> rows, float rate) {
    Forward(rows);
    const std::size_t classes = sizes_.back(), last = weights_.size();
    double loss = 0;
    gradients_[last].resize(rows.size() * classes);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto scores = Scores(i);
      const std::uint32_t label = table_.labels[rows[i]];
      loss += LossOf(scores, label);
      const float top = *std::max_element(scores.begin(), scores.end());
      float sum = 0;
      for (const float s : scores) sum += std::exp(s - top);
      for (std::size_t c = 0; c < classes; ++c) {
        const float p = std::exp(scores[c] - top) / sum - (c == label ? 1.0F : 0.0F);
        gradients_[last][i * classes + c] = Gradient(p / static_cast<float>(rows.size()));
      }
    }
    ++step_;
    Floats gradient, transposed;
    for (std::size_t l = last; l-- > 0;) {
      Parameter& w = weights_[l];
      const Floats& dy = gradients_[l + 1];
      if (l > 0 || columns_ > 0) {
        transposed.resize(w.compute.size());
        for (std::size_t k = 0; k < w.inputs; ++k) {
          for (std::size_t o = 0; o < w.outputs; ++o) transposed[o * w.inputs + k] = w.compute[k * w.outputs + o];
        }
        gradients_[l].assign(rows.size() * w.inputs, 0);
        for (std::size_t i = 0; i < rows.size(); ++i) {
          float* dx = &gradients_[l][i * w.inputs];
          for (std::size_t o = 0; o < w.outputs; ++o) {
            Add(dx, &transposed[o * w.inputs], dy[i * w.outputs + o], w.inputs);
          }
          for (std::size_t k = 0; k < w.inputs; ++k) {
            dx[k] = l > 0 && activations_[l][i * w.inputs + k] <= 0 ? 0 : Gradient(dx[k]);
          }
        }
      }
      gradient.assign(w.values.size(), 0);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t k = 0; k < w.inputs; ++k) {
          const float x = activations_[l][i * w.inputs + k];
          if (x != 0) Add(&gradient[k * w.outputs], &dy[i * w.outputs], x, w.outputs);
        }
      }
      Update(w, gradient, rate, true);
      gradient.assign(w.outputs, 0);
      for (std::size_t i = 0; i < rows.size(); ++i) Add(gradient.data(), &dy[i * w.outputs], 1, w.outputs);
      Update(bias_[l], gradient, rate, false);
    }
    const std::size_t in = sizes_[0], width = setup_.embedding;
    for (int c = 0; c < columns_; ++c) {
      gradient.assign(tables_[c].values.size(), 0);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        Add(&gradient[table_.Identities(rows[i])[c] * width], &gradients_[0][i * in + table_.features + c * width], 1,
            width);
      }
      Update(tables_[c], gradient, rate, true);
    }
    return loss / static_cast<double>(rows.size());
  }

  void Update(Parameter& p, const Floats& gradient, float rate, bool decays) {
    const float decay = decays ? 1 - rate * setup_.weight_decay : 1;
    if (p.second.empty()) {
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        p.momentum[i] = Store(setup_.momentum * p.momentum[i] + gradient[i]);
        p.values[i] = Store(p.values[i] * decay - rate * p.momentum[i]);
      }
      return;
    }
    const auto steps = static_cast<float>(step_);
    const float first = 1 - std::pow(0.9F, steps), second = 1 - std::pow(0.999F, steps);
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      p.momentum[i] = Store(0.9F * p.momentum[i] + 0.1F * gradient[i]);
      p.second[i] = Store(0.999F * p.second[i] + 0.001F * gradient[i] * gradient[i]);
      const float size = std::sqrt(p.second[i] / second) + 1e-8F;
      p.values[i] = Store(p.values[i] * decay - rate * (p.momentum[i] / first) / size);
    }
  }

  const Setup& setup_;
  const Table& table_;
  SplitMix64 random_;
  RoundBits bits_;
  std::vector<int> order_, sizes_;
  int columns_ = 0;
  std::vector<Parameter> weights_, bias_, tables_;
  std::vector<Floats> activations_, gradients_;
  std::uint64_t step_ = 0, epoch_ = 0;
};

void Say(const nlohmann::json& line) {
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

int Run(const Setup& setup, std::uint64_t epochs, bool falls, std::uint64_t limit) {
  const Table table = LoadTable(setup.table);
  Parts parts = PartsOf(setup, table);
  if (limit != 0) parts.train_end = std::min(parts.train_end, static_cast<int>(limit));
  HostTrainer trainer(setup, table, parts.train_end);
  const int count = parts.judge_end - parts.judge_first;
  Say({{"event", "start"}, {"epoch", 0}, {"model", ShapeText(setup, table)}, {"train", parts.train_end},
       {"held_out", count}, {"table", fmt::format("{:08x}", table.checksum)}});
  const double steps = static_cast<double>(epochs * trainer.StepsPerEpoch());
  for (std::uint64_t epoch = 1; epoch <= epochs; ++epoch) {
    const auto from = std::chrono::steady_clock::now();
    const double loss = trainer.Epoch([&](std::uint64_t step) {
      return falls ? static_cast<float>(setup.rate * (1 - static_cast<double>(step) / steps)) : setup.rate;
    });
    if (!std::isfinite(loss)) {
      Say({{"event", "diverged"}, {"epoch", epoch}, {"why", fmt::format("the loss of epoch {} is {}", epoch, loss)}});
      return 0;
    }
    const auto [correct, held_out_loss] = trainer.Judge(parts.judge_first, parts.judge_end);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
    Say({{"event", "epoch"}, {"epoch", epoch}, {"loss", loss}, {"held_out_loss", held_out_loss},
         {"correct", correct}, {"count", count}, {"train_seconds", seconds}, {"seconds", seconds}});
  }
  Say({{"event", "done"}, {"steps", trainer.step()}});
  return 0;
}

}  // namespace
}  // namespace dither::study

int main(int argc, char** argv) {
  dither::study::Setup setup;
  std::uint64_t epochs = 10, limit = 0;
  std::string schedule = "linear";
  CLI::App app{"One run of the study in the host's floating point, reported as study_run does."};
  setup.AddTo(app);
  app.add_option("--epochs", epochs, "passes over the training rows")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--schedule", schedule, "linear (to zero over the run) or constant")
      ->check(CLI::IsMember({"linear", "constant"}))
      ->capture_default_str();
  app.add_option("--limit", limit, "train on the first rows only (0: on all)");
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::study::Run(setup, epochs, schedule == "linear", limit);
  } catch (const std::exception& error) {
    fmt::print(stderr, "study_host: {}\n", error.what());
    return 1;
  }
}
