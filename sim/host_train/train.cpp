// The host trainer; train.hpp says what it promises.
#include "sim/host_train/train.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sim/data/random.hpp"

namespace dither {
namespace {

// e^x for x <= 0, the softmax's need. Our own because a libm may differ by a last bit from one
// processor to the next, and training would make two different networks of that.
double ExpOfNegative(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2 = 0.6931471805599453;
  if (x < -700) return 0;
  const double whole = std::floor(x * kLog2E + 0.5);
  const double rest = x - whole * kLn2;  // within +-0.35: 12 terms leave less than 1e-15
  double sum = 1;
  for (int k = 12; k > 0; --k) sum = 1 + sum * rest / k;
  return std::ldexp(sum, static_cast<int>(whole));
}

void Require(bool good, const std::string& what) {
  if (!good) throw std::invalid_argument("training: " + what);
}

void CheckOptions(const Dataset& data, const Split& split, const TrainOptions& options) {
  Require(options.epochs >= 1 && options.epochs <= 10000, "epochs must be 1 to 10000");
  Require(options.batch >= 1, "batch must be 1 or more");
  Require(options.rate > 0 && options.rate < 10, "rate must be above 0 and below 10");
  Require(options.momentum >= 0 && options.momentum < 1, "momentum must be 0 to below 1");
  Require(options.weight_decay >= 0 && options.weight_decay < 1, "weight decay must be 0 to 1");
  Require(options.hidden.size() <= 8, "at most 8 hidden layers");
  for (const int size : options.hidden) {
    Require(size >= 1 && size <= 4096,
            fmt::format("a hidden layer of {}, must be 1 to 4096", size));
  }
  Require(options.max_shift >= -1 && options.max_shift < std::min(data.width, data.height),
          "shift must be -1 (automatic) to below the picture's size");
  Require(!split.train.empty(), "there are no pictures to train on");
  Require(data.classes >= 2, "the pictures are all of one class");
}

// y[0..n) += a * x[0..n).
void AddScaled(float a, const float* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] += a * x[i];
}

class Trainer {
 public:
  Trainer(const Dataset& data, const TrainOptions& options)
      : data_(data), options_(options), random_(options.seed) {
    shift_ = options.max_shift >= 0                    ? options.max_shift
             : std::min(data.width, data.height) >= 16 ? 1
                                                       : 0;
    model_.width = data.width;
    model_.height = data.height;
    std::vector<int> sizes = options.hidden;
    sizes.push_back(data.classes);
    int inputs = data.width * data.height;
    for (const int outputs : sizes) {
      DenseLayer layer;
      layer.inputs = inputs;
      layer.outputs = outputs;
      layer.weights.resize(static_cast<std::size_t>(inputs) * outputs);
      layer.bias.assign(outputs, 0);
      gradient_.push_back(layer);  // zero as resized
      velocity_.push_back(layer);
      // He's range for relu: keeps the size of the signal from layer to layer.
      const float range = std::sqrt(6.0F / static_cast<float>(inputs));
      for (float& w : layer.weights) w = (2 * random_.Uniform() - 1) * range;
      model_.layers.push_back(std::move(layer));
      inputs = outputs;
    }
    values_.resize(sizes.size() + 1);
    errors_.resize(sizes.size() + 1);
    for (std::size_t l = 0; l < values_.size(); ++l) {
      const int n = l == 0 ? model_.layers[0].inputs : model_.layers[l - 1].outputs;
      values_[l].resize(n);
      errors_[l].resize(n);
    }
  }

  EpochReport Epoch(std::vector<int>& order, int epoch) {
    random_.Shuffle(order);
    const std::size_t batch = options_.batch;
    const double steps = static_cast<double>(options_.epochs) * static_cast<double>(order.size());
    loss_ = 0;
    correct_ = 0;
    for (std::size_t begin = 0; begin < order.size(); begin += batch) {
      const std::size_t end = std::min(begin + batch, order.size());
      for (std::size_t i = begin; i < end; ++i) Learn(order[i]);
      const double done = static_cast<double>(epoch - 1) * static_cast<double>(order.size()) +
                          static_cast<double>(begin);
      Update(options_.rate * static_cast<float>(1 - done / steps), static_cast<int>(end - begin));
    }
    const auto count = static_cast<double>(order.size());
    return {epoch, loss_ / count, static_cast<double>(correct_) / count, 0};
  }

  Mlp& model() { return model_; }

 private:
  // Puts picture `index`, moved by a random step, into values_[0].
  void LoadInput(int index) {
    const std::span<const std::uint8_t> image = data_.Image(index);
    std::vector<float>& in = values_[0];
    int dx = 0;
    int dy = 0;
    if (shift_ > 0) {
      dx = static_cast<int>(random_.Below(2 * shift_ + 1)) - shift_;
      dy = static_cast<int>(random_.Below(2 * shift_ + 1)) - shift_;
    }
    std::fill(in.begin(), in.end(), 0.0F);
    for (int y = std::max(0, dy); y < std::min(data_.height, data_.height + dy); ++y) {
      for (int x = std::max(0, dx); x < std::min(data_.width, data_.width + dx); ++x) {
        in[y * data_.width + x] = image[(y - dy) * data_.width + x - dx] * kInputScale;
      }
    }
  }

  // Adds the gradient of one picture.
  void Learn(int index) {
    LoadInput(index);
    const std::size_t depth = model_.layers.size();
    for (std::size_t l = 0; l < depth; ++l) {
      const DenseLayer& layer = model_.layers[l];
      std::vector<float>& out = values_[l + 1];
      out = layer.bias;
      for (int i = 0; i < layer.inputs; ++i) {
        const float x = values_[l][i];
        if (x != 0) {
          AddScaled(x, &layer.weights[static_cast<std::size_t>(i) * layer.outputs], out.data(),
                    layer.outputs);
        }
      }
      if (l + 1 < depth) {
        for (float& value : out) value = std::max(value, 0.0F);
      }
    }
    ScoreOutputs(data_.labels[index]);
    for (std::size_t l = depth; l-- > 0;) Backward(l);
  }

  // Softmax and cross entropy: the error of each output is its probability, minus one at the label.
  void ScoreOutputs(int label) {
    const std::vector<float>& scores = values_.back();
    const int best = Best(scores);
    correct_ += best == label;
    double sum = 0;
    probabilities_.resize(scores.size());
    for (std::size_t j = 0; j < scores.size(); ++j) {
      sum += probabilities_[j] = ExpOfNegative(double{scores[j]} - scores[best]);
    }
    for (std::size_t j = 0; j < scores.size(); ++j) {
      errors_.back()[j] = static_cast<float>(probabilities_[j] / sum);
    }
    errors_.back()[label] -= 1;
    // libm's log is fine here: the loss is printed, nothing is computed from it.
    loss_ -= std::log(std::max(probabilities_[label] / sum, 1e-30));
  }

  // From the errors at the outputs of layer l: its gradients, and the errors at its inputs.
  void Backward(std::size_t l) {
    const DenseLayer& layer = model_.layers[l];
    const std::vector<float>& error = errors_[l + 1];
    const int n = layer.outputs;
    AddScaled(1, error.data(), gradient_[l].bias.data(), n);
    for (int i = 0; i < layer.inputs; ++i) {
      // A zero is a dark pixel or an input that relu cut off: no gradient, and none to pass on.
      const float x = values_[l][i];
      errors_[l][i] = 0;
      if (x == 0) continue;
      const std::size_t row = static_cast<std::size_t>(i) * n;
      AddScaled(x, error.data(), &gradient_[l].weights[row], n);
      if (l == 0) continue;
      float sum = 0;
      for (int j = 0; j < n; ++j) sum += layer.weights[row + j] * error[j];
      errors_[l][i] = sum;
    }
  }

  void Update(float rate, int count) {
    const auto apply = [&](std::vector<float>& values, std::vector<float>& gradient,
                           std::vector<float>& velocity, float decay) {
      const float scale = 1.0F / static_cast<float>(count);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float slope = gradient[i] * scale + decay * values[i];
        velocity[i] = options_.momentum * velocity[i] - rate * slope;
        values[i] += velocity[i];
        gradient[i] = 0;
      }
    };
    for (std::size_t l = 0; l < model_.layers.size(); ++l) {
      apply(model_.layers[l].weights, gradient_[l].weights, velocity_[l].weights,
            options_.weight_decay);
      apply(model_.layers[l].bias, gradient_[l].bias, velocity_[l].bias, 0);
    }
  }

  const Dataset& data_;
  const TrainOptions& options_;
  SplitMix64 random_;
  int shift_ = 0;
  Mlp model_;
  std::vector<DenseLayer> gradient_;
  std::vector<DenseLayer> velocity_;
  std::vector<std::vector<float>> values_;  // values_[0] is the input, values_[l + 1] of layer l
  std::vector<std::vector<float>> errors_;  // of the same places
  std::vector<double> probabilities_;
  double loss_ = 0;
  int correct_ = 0;
};

}  // namespace

Mlp TrainMlp(const Dataset& data, const Split& split, const TrainOptions& options,
             const std::function<void(const EpochReport&)>& progress) {
  CheckOptions(data, split, options);
  Trainer trainer(data, options);
  Mlp& model = trainer.model();
  model.dataset = data.name;
  model.dataset_checksum = data.checksum;
  model.seed = options.seed;
  model.epochs = static_cast<std::uint32_t>(options.epochs);
  model.held_out_count = static_cast<std::uint32_t>(split.held_out.size());
  std::vector<int> order = split.train;
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    EpochReport report = trainer.Epoch(order, epoch);
    Require(std::isfinite(report.loss), "it diverged; a smaller rate helps");
    model.held_out_correct = static_cast<std::uint32_t>(CountCorrect(model, data, split.held_out));
    if (model.held_out_count > 0) {
      report.held_out_accuracy = static_cast<double>(model.held_out_correct) / model.held_out_count;
    }
    if (progress) progress(report);
  }
  return std::move(model);
}

}  // namespace dither
