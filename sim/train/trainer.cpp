// DRAM layout, the loop around the step program, and what a checkpoint holds.
#include "sim/train/trainer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "sim/data/crc32.hpp"
#include "sim/data/random.hpp"
#include "sim/device/functional_device.hpp"
#include "sim/function/function_set.hpp"
#include "sim/model/formats.hpp"
#include "sim/program/train/network.hpp"
#include "sim/program/train/step.hpp"
#include "sim/train/checkpoint.hpp"

namespace dither::train {
namespace {

using isa::Dtype;
using isa::Queue;

std::uint32_t FloatBits(float value) { return std::bit_cast<std::uint32_t>(value); }

// Numbers as they are stored: nearest, and saturated for fp8.
std::vector<std::uint8_t> Encoded(Dtype dtype, const std::vector<float>& values) {
  const std::uint32_t bytes = isa::DtypeBytes(dtype);
  std::vector<std::uint8_t> out(values.size() * bytes);
  for (std::size_t n = 0; n < values.size(); ++n) {
    const std::uint32_t bits =
        NarrowFromFp32(dtype, FloatBits(values[n]), isa::Round::kRne, bytes == 1, 0);
    std::memcpy(&out[n * bytes], &bits, bytes);
  }
  return out;
}

std::string Number(float value) {
  char out[32];
  std::snprintf(out, sizeof out, "%.9g", static_cast<double>(value));
  return out;
}

std::vector<float> Decoded(Dtype dtype, const std::vector<std::uint8_t>& stored) {
  const std::uint32_t bytes = isa::DtypeBytes(dtype);
  std::vector<float> out(stored.size() / bytes);
  for (std::size_t n = 0; n < out.size(); ++n) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &stored[n * bytes], bytes);
    out[n] = std::bit_cast<float>(WidenToFp32(dtype, bits));
  }
  return out;
}

}  // namespace

class Trainer::Impl {
 public:
  Impl(Device& device, const TrainerOptions& options) : device_(device), options_(options) {
    Check();
    LayOut();
    Initialise();
    LoadFunctions(device_);
    device_.SeedRounders(static_cast<std::uint32_t>(options_.seed ^ options_.seed >> 32));
    program_ = BuildTrainStep(device_.config(), options_, network_, options_.batch);
    ChooseEvaluation();
    rate_ = options_.optimizer.rate;
  }

  void SetExamples(const Examples& examples) {
    const std::size_t count = CheckExamples(examples);
    if (count < options_.batch) {
      throw TrainError(std::to_string(count) + " examples are less than a batch of " +
                       std::to_string(options_.batch));
    }
    StoredExamples stored = Stored(examples);
    std::uint32_t crc = Crc32Of(stored.inputs);
    crc = Crc32Of(stored.labels, crc);
    crc = Crc32Of(stored.targets, crc);
    crc = Crc32Of(stored.indices, crc);
    if (!examples_ && !loaded_from_.empty()) RequireExamples(loaded_from_, examples_crc_, crc);
    if (position_ >= count / options_.batch) {
      throw TrainError("examples: they make " + std::to_string(count / options_.batch) +
                       " steps an epoch, " + std::to_string(position_) + " are made of this one");
    }
    examples_ = std::move(stored);
    examples_crc_ = crc;
    DrawOrder();
  }

  StepReport Step() {
    if (!examples_) throw TrainError("step: no examples yet (SetExamples)");
    const std::size_t first = position_ * options_.batch;
    PutBatch(*examples_, std::span(order_).subspan(first, options_.batch), true);
    if (options_.check_nonfinite) TrainedState(&before_);
    TurnKnobs();
    device_.LoadProgram(program_.program);
    device_.ClearCounters();
    device_.Start();
    device_.Wait();
    StepReport report;
    if (device_.name() == "rtl") report.cycles = device_.Counters().cycles;
    report.loss = device_.ReadArray<float>(network_.loss.address, 1)[0];
    report.step = step_ + 1;
    report.epoch = epoch_;
    if (!std::isfinite(report.loss) && options_.check_nonfinite) {
      SetTrainedState(before_);
      throw NonfiniteLoss("step " + std::to_string(report.step) + ": the loss is " +
                          (std::isnan(report.loss) ? "NaN" : "infinite") + "; " + FirstNonfinite());
    }
    ++step_;
    if (++position_ == StepsPerEpoch()) {
      position_ = 0;
      ++epoch_;
      DrawOrder();
    }
    return report;
  }

  Evaluation Evaluate(const Examples& examples) {
    const std::size_t count = CheckExamples(examples);
    const StoredExamples stored = Stored(examples);
    std::vector<std::uint32_t> all(count);
    std::iota(all.begin(), all.end(), 0u);
    Evaluation result;
    result.count = count;
    // Evaluation rounds nothing stochastically, but programs of the same trainer share the rounders:
    // what they did would show in the next step.
    const std::vector<std::uint32_t> rounders = Rounders();
    for (std::size_t at = 0; at < count; at += eval_batch_) {
      const auto here = static_cast<std::uint32_t>(std::min<std::size_t>(eval_batch_, count - at));
      auto& program = evaluations_[here];
      if (!program) program = BuildEvaluation(device_.config(), options_, network_, here);
      PutBatch(stored, std::span(all).subspan(at, here), false);
      device_.Run(program->program);
      result.loss += here * static_cast<double>(device_.ReadArray<float>(network_.loss.address, 1)[0]);
      result.correct +=
          static_cast<std::size_t>(device_.ReadArray<float>(network_.correct.address, 1)[0]);
    }
    result.loss /= static_cast<double>(std::max<std::size_t>(count, 1));
    SetRounders(rounders);
    return result;
  }

  void SetRate(float rate) {
    RequireNumber("rate", rate);
    rate_ = rate;
    turned_ = false;
  }
  // The largest batch to evaluate with that fits, of eval_batch, half of that and so on down to the training's.
  void ChooseEvaluation() {
    for (eval_batch_ = options_.eval_batch;; eval_batch_ = std::max(eval_batch_ / 2, options_.batch)) {
      try {
        evaluations_[eval_batch_] = BuildEvaluation(device_.config(), options_, network_, eval_batch_);
        return;
      } catch (const ProgramError&) {
        if (eval_batch_ <= options_.batch) throw;
      }
    }
  }
  // The numbers of the coming step, into its instructions.
  void TurnKnobs() {
    const OptimizerSpec& o = options_.optimizer;
    const bool adam = o.kind != OptimizerSpec::Kind::kSgd;
    if (turned_ && !adam) return;
    const auto correction = [&](double beta) { return (1 - beta) / (1 - std::pow(beta, static_cast<double>(step_ + 1))); };
    const double rate = adam ? rate_ * correction(o.beta1) : rate_ / options_.mode.loss_scale;
    program_.Set(Knob::kMinusRate, static_cast<float>(-rate));
    program_.Set(Knob::kVariance, static_cast<float>(correction(o.beta2)));
    program_.Set(Knob::kKeep, 1 - rate_ * o.weight_decay);
    turned_ = true;
  }

  std::uint64_t StepsPerEpoch() const {
    return examples_ ? examples_->count / options_.batch : 0;
  }

  // ---- parameters
  std::vector<const train::Parameter*> Parameters() const {
    std::vector<const train::Parameter*> all;
    for (const EmbeddingTable& table : network_.embeddings) all.push_back(&table.table);
    for (const Layer& layer : network_.layers) {
      all.push_back(&layer.weights);
      for (const auto* p : {&layer.bias, &layer.mean, &layer.variance}) {
        if (*p) all.push_back(&**p);
      }
    }
    return all;
  }
  const train::Parameter& Find(const std::string& name) const {
    std::string known;
    for (const train::Parameter* p : Parameters()) {
      if (p->name == name) return *p;
      known += " " + p->name;
    }
    throw TrainError("no parameter '" + name + "'; there are" + known);
  }
  // Index in DRAM of logical element n: a bias may lie tile by tile.
  std::size_t Place(const train::Parameter& p, std::size_t n) const {
    if (!p.tiled) return n;
    const std::uint32_t rows = device_.config().rows;
    return n % rows * p.value.Size(1) + n / rows;
  }
  std::vector<float> Get(const train::Parameter& p) {
    std::vector<std::uint8_t> bytes(p.value.Bytes());
    device_.Read(p.value.address, std::as_writable_bytes(std::span(bytes)));
    const std::vector<float> all = Decoded(p.value.dtype, bytes);
    std::vector<float> values(p.count);
    for (std::size_t n = 0; n < values.size(); ++n) values[n] = all[Place(p, n)];
    return values;
  }
  void Put(const train::Parameter& p, const std::vector<float>& values) {
    if (values.size() != p.count) {
      throw TrainError(p.name + ": " + std::to_string(values.size()) + " values given, it has " +
                       std::to_string(p.count));
    }
    std::vector<float> all(p.value.Elements());
    for (std::size_t n = 0; n < values.size(); ++n) all[Place(p, n)] = values[n];
    device_.WriteArray(p.value.address, Encoded(p.value.dtype, all));
    if (!p.copy) return;
    std::vector<float> kept = Decoded(p.value.dtype, Encoded(p.value.dtype, all));
    for (float& v : kept) v *= p.copy_scale;
    device_.WriteArray(p.copy->address, Encoded(p.copy->dtype, kept));
  }

  // ---- state
  std::vector<std::uint32_t> Rounders() {
    std::vector<std::uint32_t> states;
    for (const Queue queue : {Queue::kVector, Queue::kScalar}) {
      for (std::uint32_t lane = 0; lane < device_.config().rows; ++lane) {
        states.push_back(device_.RounderState(queue, lane));
      }
    }
    return states;
  }
  void SetRounders(const std::vector<std::uint32_t>& states) {
    std::size_t n = 0;
    for (const Queue queue : {Queue::kVector, Queue::kScalar}) {
      for (std::uint32_t lane = 0; lane < device_.config().rows; ++lane) {
        device_.SetRounderState(queue, lane, states[n++]);
      }
    }
  }
  // Parameters, their state and copies, then the rounders.
  void TrainedState(std::vector<std::uint8_t>* bytes) {
    bytes->resize(trained_end_ - trained_begin_);
    device_.Read(trained_begin_, std::as_writable_bytes(std::span(*bytes)));
    for (const std::uint32_t state : Rounders()) Append(*bytes, state);
  }
  void SetTrainedState(std::span<const std::uint8_t> bytes) {
    const std::size_t dram = trained_end_ - trained_begin_;
    device_.Write(trained_begin_, std::as_bytes(bytes.first(dram)));
    std::vector<std::uint32_t> states(2 * device_.config().rows);
    std::memcpy(states.data(), bytes.data() + dram, states.size() * 4);
    SetRounders(states);
  }

  // "dense1.weights momentum holds a NaN", of the first tensor of the trained state that holds one or an
  // infinity; empty if none does.
  std::string NonfiniteTensor() {
    std::string found;
    const auto look = [&](const Tensor& t) {
      if (!found.empty()) return;
      std::vector<std::uint8_t> bytes(t.Bytes());
      device_.Read(t.address, std::as_writable_bytes(std::span(bytes)));
      for (const float value : Decoded(t.dtype, bytes)) {
        if (std::isfinite(value)) continue;
        found = t.name + " holds " + (std::isnan(value) ? "a NaN" : "an infinity");
        return;
      }
    };
    for (const train::Parameter* p : Parameters()) {
      look(p->value);
      for (const Tensor& state : p->state) look(state);
      if (p->copy) look(*p->copy);
    }
    return found;
  }
  void RequireFinite(const Evaluation* evaluation) {
    const std::string tensor = NonfiniteTensor();
    const bool lost = evaluation && !std::isfinite(evaluation->loss);
    if (!lost && tensor.empty()) return;
    std::string why = "after step " + std::to_string(step_) + ": ";
    if (lost) {
      why += std::string("the loss of the evaluation is ") + (std::isnan(evaluation->loss) ? "NaN" : "infinite") + "; ";
    }
    throw NonfiniteLoss(why + (tensor.empty() ? "no parameter and no state holds an infinity or NaN" : tensor));
  }

  std::vector<std::uint8_t> State() {
    std::vector<std::uint8_t> bytes;
    Append(bytes, step_);
    Append(bytes, epoch_);
    Append(bytes, position_);
    Append(bytes, examples_crc_);
    Append(bytes, FloatBits(rate_));
    std::vector<std::uint8_t> trained;
    TrainedState(&trained);
    bytes.insert(bytes.end(), trained.begin(), trained.end());
    return bytes;
  }
  void SetState(std::span<const std::uint8_t> bytes, const std::string& where) {
    std::size_t at = 0;
    const auto take = [&]<typename T>(T& value) {
      std::memcpy(&value, bytes.data() + at, sizeof value);
      at += sizeof value;
    };
    std::uint64_t step = 0, epoch = 0, position = 0;
    std::uint32_t crc = 0, rate = 0;
    const std::size_t expected = 3 * 8 + 2 * 4 + (trained_end_ - trained_begin_) +
                                 8 * std::size_t{device_.config().rows};
    if (bytes.size() != expected) {
      throw CheckpointError(where + ": holds " + std::to_string(bytes.size()) + " bytes of state, this training has " +
                            std::to_string(expected));
    }
    take(step);
    take(epoch);
    take(position);
    take(crc);
    take(rate);
    if (examples_) {
      RequireExamples(where, crc, examples_crc_);
    } else {
      loaded_from_ = where;
      examples_crc_ = crc;
    }
    step_ = step;
    epoch_ = epoch;
    position_ = position;
    SetTrainedState(bytes.subspan(at));
    SetRate(std::bit_cast<float>(rate));
    DrawOrder();
  }

  static void RequireExamples(const std::string& where, std::uint32_t had, std::uint32_t has) {
    if (had == has) return;
    throw CheckpointError(where + ": was trained with other examples (checksums " + Hex(had) + " and " + Hex(has) + ")");
  }

  // Everything that makes two trainings different, a line each.
  std::string Configuration() const {
    const NumericMode& m = options_.mode;
    const OptimizerSpec& o = options_.optimizer;
    const auto text = [](auto value) { return std::to_string(value); };
    static constexpr const char* kKinds[] = {"sgd", "adam", "adamw"};
    std::string t;
    t += "core " + std::string(device_.config().name) + "\n";
    t += "model " + options_.model.Text() + "\n";
    t += "input " + text(options_.model.channels) + " x " + text(options_.model.height) + " x " + text(options_.model.width) + "\n";
    t += "mode " + m.name + ": weights " + std::string(isa::Name(m.weights)) + " " +
         std::string(isa::Name(m.weight_round)) + ", state " + std::string(isa::Name(m.state)) + ", compute " +
         std::string(isa::Name(m.compute)) + " " + std::string(isa::Name(m.activation_round)) + ", gradients " +
         std::string(isa::Name(m.gradients)) + " " + std::string(isa::Name(m.gradient_round)) +
         ", weight scale " + Number(m.weight_scale) + ", loss scale " + Number(m.loss_scale) + "\n";
    t += "optimizer " + std::string(kKinds[static_cast<int>(o.kind)]) + "\n";
    t += "rate " + Number(o.rate) + "\nmomentum " + Number(o.momentum) + "\nbetas " + Number(o.beta1) + " " +
         Number(o.beta2) + " " + Number(o.epsilon) + "\nweight decay " + Number(o.weight_decay) + "\n";
    t += "pictures " + text(options_.picture.width) + " x " + text(options_.picture.height) + ", moved by up to " +
         text(options_.picture.max_shift) + "\n";
    t += "batch " + text(options_.batch) + "\nseed " + text(options_.seed) + "\n";
    // A plain and a whitened source make different words of the same state.
    t += "random words " + text(device_.ReadCsr(isa::kCsrRngMode)) + "\n";
    return t;
  }

  Device& device_;
  const TrainerOptions options_;
  Network network_;
  StepProgram program_;
  std::uint32_t eval_batch_ = 0;
  std::uint64_t step_ = 0, epoch_ = 0, position_ = 0;

 private:
  struct StoredExamples {
    std::size_t count = 0, row_bytes = 0;
    std::vector<std::byte> inputs;  // in the compute dtype
    std::vector<float> labels, targets;
    std::vector<std::uint32_t> indices;
  };

  void Check() const {
    const ModelSpec& m = options_.model;
    if (m.inputs == 0 && m.embeddings.empty()) throw TrainError("model: no inputs");
    for (const EmbeddingSpec& e : m.embeddings) {
      if (e.rows == 0 || e.width == 0 || e.width > isa::kPsumBankWords) {
        throw TrainError("model: an embedding of " + std::to_string(e.rows) + " x " + std::to_string(e.width) +
                         ": rows of 1 to " + std::to_string(isa::kPsumBankWords) + " numbers are possible");
      }
    }
    if (!m.embeddings.empty() && !m.layers.empty() && m.layers.front().kind != LayerKind::kDense) {
      throw TrainError("model: behind embeddings the first layer has to be dense");
    }
    if (m.layers.empty()) throw TrainError("model: no layers");
    bool convolves = true;  // so far
    for (const LayerSpec& layer : m.layers) {
      if (layer.kind != LayerKind::kConv) convolves = false;
      if (layer.kind == LayerKind::kConv && (!convolves || !m.embeddings.empty() ||
                                             m.channels * m.height * m.width != m.inputs)) {
        throw TrainError("model: convolutions come first, one behind the other, and take pictures of channels x height "
                         "x width = inputs");
      }
      if (layer.kind == LayerKind::kDense && layer.units == 0) throw TrainError("model: a dense layer without units");
    }
    if (options_.picture.max_shift != 0 && options_.picture.width * options_.picture.height != m.inputs) {
      throw TrainError("pictures of " + std::to_string(options_.picture.width) + " x " +
                       std::to_string(options_.picture.height) + " are not " + std::to_string(m.inputs) + " inputs");
    }
    if (m.layers.back().kind != LayerKind::kDense) throw TrainError("model: the last layer has to be dense");
    if (m.layers.back().activation != Activation::kNone) {
      throw TrainError("model: the last layer has an activation, the loss takes its sums");
    }
    const OptimizerSpec& o = options_.optimizer;
    RequireNumber("rate", o.rate);
    RequireNumber("weight decay", o.weight_decay);
    RequireNumber("epsilon", o.epsilon);
    RequireShare("momentum", o.momentum);
    RequireShare("beta1", o.beta1);
    RequireShare("beta2", o.beta2);
    RequireScale("weight scale", options_.mode.weight_scale);
    RequireScale("loss scale", options_.mode.loss_scale);
  }
  // Written so that a NaN is refused too.
  static void RequireNumber(const std::string& name, float value) {
    if (!(value >= 0 && std::isfinite(value))) Refuse("optimizer", name, value, "0 or more, and finite");
  }
  static void RequireShare(const std::string& name, float value) {
    if (!(value >= 0 && value < 1)) Refuse("optimizer", name, value, "from 0 to below 1");
  }
  static void RequireScale(const std::string& name, float value) {
    if (!(value > 0 && std::isfinite(value))) Refuse("mode", name, value, "above 0, and finite");
  }
  [[noreturn]] static void Refuse(const std::string& what, const std::string& name, float value, const std::string& limit) {
    throw TrainError(what + ": " + name + " is " + Number(value) + ", it has to be " + limit);
  }

  // What a convolution makes of a picture; TrainError if it can't be.
  Geometry Convolution(const Geometry& in, const LayerSpec& spec) const {
    const auto need = [](bool ok, const std::string& what) {
      if (!ok) throw TrainError("convolution: " + what);
    };
    const std::uint32_t rows = device_.config().rows;
    need(in.channels != 0, "comes first, or behind another one, and the model says the pictures' shape");
    need(spec.kernel != 0 && spec.stride != 0 && spec.kernel <= in.height && spec.kernel <= in.width,
         "a kernel of " + std::to_string(spec.kernel) + " every " + std::to_string(spec.stride) + " on " +
             std::to_string(in.height) + " x " + std::to_string(in.width) + " pixels");
    need(spec.units != 0 && spec.units <= rows && in.channels <= rows,
         std::to_string(in.channels) + " channels to " + std::to_string(spec.units) + ": 1 to " + std::to_string(rows) +
             ", the partitions, are possible");
    Geometry g = in;
    g.kernel = spec.kernel;
    g.stride = spec.stride;
    g.out_channels = spec.units;
    g.out_height = (in.height - spec.kernel) / spec.stride + 1;
    g.out_width = (in.width - spec.kernel) / spec.stride + 1;
    need(g.out_width <= isa::kPsumBankWords, "rows of " + std::to_string(g.out_width) + " pixels, a PSUM bank holds 512");
    need(g.taps() * g.out_channels <= isa::kPsumBankWords && g.taps() * g.channels <= isa::kPsumBankWords,
         "kernel x kernel x channels is over the 512 words of a PSUM bank");
    return g;
  }

  Tensor Dram(const std::string& name, Dtype dtype, const std::vector<std::uint32_t>& shape) {
    Tensor t = Tensor::Dram(name, 0, dtype, shape);
    t.address = device_.Allocate(t.Bytes());
    return t;
  }
  train::Parameter NewParameter(const std::string& name, const std::vector<std::uint32_t>& shape,
                                std::size_t count, bool copied, bool trained) {
    train::Parameter p;
    p.name = name;
    p.count = count;
    p.value = Dram(name, trained ? options_.mode.weights : Dtype::kFp32, shape);
    if (!trained) return p;
    const OptimizerSpec& o = options_.optimizer;
    const std::size_t states = o.kind == OptimizerSpec::Kind::kSgd ? (o.momentum != 0 ? 1 : 0) : 2;
    for (std::size_t n = 0; n < states; ++n) {
      p.state.push_back(Dram(name + (n == 0 ? " momentum" : " second moment"), options_.mode.state, shape));
    }
    if (copied && options_.mode.compute != options_.mode.weights) {
      p.copy = Dram(name + " copy", options_.mode.compute, shape);
    }
    return p;
  }

  void LayOut() {
    const std::uint32_t rows = device_.config().rows;
    trained_begin_ = device_.Allocate(0);
    std::uint32_t inputs = options_.model.inputs;
    for (std::size_t e = 0; e < options_.model.embeddings.size(); ++e) {
      const EmbeddingSpec& spec = options_.model.embeddings[e];
      EmbeddingTable table;
      table.rows = spec.rows;
      table.width = spec.width;
      table.column = inputs;
      table.table = NewParameter("embedding" + std::to_string(e + 1) + ".weights",
                                 {spec.rows + std::max(options_.batch, options_.eval_batch), spec.width},
                                 std::size_t{spec.rows} * spec.width, true, true);
      inputs += spec.width;
      network_.embeddings.push_back(std::move(table));
    }
    const std::vector<LayerSpec>& specs = options_.model.layers;
    Geometry picture{options_.model.channels, options_.model.height, options_.model.width, 0, 0, 0, 0, 0};
    for (std::size_t l = 0; l < specs.size(); ++l) {
      const LayerSpec& spec = specs[l];
      static constexpr const char* kNames[] = {"dense", "layernorm", "batchnorm", "conv"};
      const bool dense = spec.kind == LayerKind::kDense;
      Layer layer;
      layer.kind = spec.kind;
      layer.name = kNames[static_cast<int>(spec.kind)] + std::to_string(l + 1);
      layer.inputs = inputs;
      layer.units = dense ? spec.units : inputs;
      if (spec.kind == LayerKind::kConv) {
        layer.geometry = Convolution(picture, spec);
        picture = {layer.geometry.out_channels, layer.geometry.out_height, layer.geometry.out_width, 0, 0, 0, 0, 0};
        layer.units = picture.channels * picture.height * picture.width;
      }
      layer.activation = spec.activation;
      // The loss and layer normalisation work on examples, each in its partition.
      layer.batch_on_partitions = spec.kind == LayerKind::kLayerNorm || l + 1 == specs.size() ||
                                  (dense && specs[l + 1].kind == LayerKind::kLayerNorm);
      const auto vector = [&](const std::string& what, bool trained) {
        const std::uint32_t tiles = (layer.units + rows - 1) / rows;
        train::Parameter p = NewParameter(
            layer.name + what,
            layer.batch_on_partitions ? std::vector<std::uint32_t>{1, layer.units}
                                      : std::vector<std::uint32_t>{rows, tiles},
            layer.units, false, trained);
        p.tiled = !layer.batch_on_partitions;
        return p;
      };
      if (dense) {
        layer.weights = NewParameter(layer.name + ".weights", {inputs, spec.units},
                                     std::size_t{inputs} * spec.units, true, true);
        layer.weights.decays = true;
        layer.weights.copy_scale = options_.mode.weight_scale;
      } else if (spec.kind == LayerKind::kConv) {
        const Geometry& g = layer.geometry;
        layer.weights = NewParameter(layer.name + ".weights", {g.taps() * g.channels, g.out_channels},
                                     std::size_t{g.taps()} * g.channels * g.out_channels, true, true);
        layer.weights.decays = true;
        layer.weights.copy_scale = options_.mode.weight_scale;
      } else {
        layer.weights = vector(".weights", true);
      }
      if (spec.kind == LayerKind::kConv) {
        if (spec.bias) {
          layer.bias = NewParameter(layer.name + ".bias", {rows, 1}, layer.geometry.out_channels, false, true);
          layer.bias->tiled = true;
        }
      } else if (spec.bias || !dense) {
        layer.bias = vector(".bias", true);
      }
      if (spec.kind == LayerKind::kBatchNorm) {
        layer.mean = vector(".mean", false);
        layer.variance = vector(".variance", false);
      }
      inputs = layer.units;
      network_.layers.push_back(std::move(layer));
    }
    trained_end_ = device_.Mark();
    const Dtype compute = options_.mode.compute;
    const std::uint32_t batch = std::max(options_.batch, options_.eval_batch);
    network_.identity = Dram("identity", compute, {rows, rows});
    network_.ones = Dram("ones", compute, {rows, 1});
    if (options_.model.inputs != 0) network_.input = Dram("input", compute, {batch, options_.model.inputs});
    for (std::size_t e = 0; e < network_.embeddings.size(); ++e) {
      network_.lists.push_back(Dram("rows of the examples", Dtype::kInt32, {1, batch}));
      network_.different.push_back(Dram("different rows", Dtype::kInt32, {1, batch}));
      network_.slots.push_back(Dram("slots", Dtype::kFp32, {batch}));
    }
    network_.labels = Dram("labels", Dtype::kFp32, {batch});
    if (options_.model.loss == Loss::kMeanSquare) {
      network_.targets = Dram("targets", Dtype::kFp32, {batch, inputs});
    }
    network_.loss = Dram("loss", Dtype::kFp32, {1, 1});
    network_.correct = Dram("correct", Dtype::kFp32, {1, 1});
  }

  void Initialise() {
    std::vector<std::uint8_t> zeros(trained_end_ - trained_begin_);
    device_.WriteArray(trained_begin_, zeros);
    const std::uint32_t rows = device_.config().rows;
    std::vector<float> identity(std::size_t{rows} * rows);
    for (std::uint32_t r = 0; r < rows; ++r) identity[std::size_t{r} * rows + r] = 1;
    device_.WriteArray(network_.identity.address, Encoded(network_.identity.dtype, identity));
    device_.WriteArray(network_.ones.address, Encoded(network_.ones.dtype, std::vector<float>(rows, 1.0f)));
    device_.WriteArray(network_.loss.address, std::vector<float>{0});
    device_.WriteArray(network_.correct.address, std::vector<float>{0});
    // Uniform, with the variance that keeps activations and gradients of one size.
    SplitMix64 random(options_.seed);
    for (const EmbeddingTable& table : network_.embeddings) {
      std::vector<float> values(table.table.count);
      for (float& v : values) v = (2 * random.Uniform() - 1) * 0.17f;  // deviation 0.1
      Put(table.table, values);
    }
    for (const Layer& layer : network_.layers) {
      if (layer.kind == LayerKind::kLayerNorm || layer.kind == LayerKind::kBatchNorm) {
        Put(layer.weights, std::vector<float>(layer.weights.count, 1.0f));
        if (layer.variance) Put(*layer.variance, std::vector<float>(layer.units, 1.0f));
        continue;
      }
      const double gain = layer.activation == Activation::kNone ? 3.0 : 6.0;
      const auto limit = static_cast<float>(std::sqrt(gain / layer.weights.value.Size(0)));
      std::vector<float> weights(layer.weights.count);
      for (float& w : weights) w = (2 * random.Uniform() - 1) * limit;
      Put(layer.weights, weights);
    }
  }

  // The tables of the functions that the programs use, into the scalar engine, where they stay.
  void LoadFunctions(Device& device) const {
    FunctionSet set;
    const auto need = [&](isa::ActFunc func) {
      if (func > isa::ActFunc::kRelu && !set.Has(func)) set.Add(func);
    };
    if (options_.model.loss == Loss::kSoftmaxCrossEntropy) {
      for (const auto func : {isa::ActFunc::kExp, isa::ActFunc::kLog, isa::ActFunc::kReciprocal}) need(func);
    }
    if (options_.optimizer.kind != OptimizerSpec::Kind::kSgd) {
      for (const auto func : {isa::ActFunc::kSqrt, isa::ActFunc::kReciprocal}) need(func);
    }
    for (const Layer& layer : network_.layers) {
      if (layer.kind == LayerKind::kLayerNorm || layer.kind == LayerKind::kBatchNorm) need(isa::ActFunc::kRsqrt);
      need(FuncOf(layer.activation));
      need(SlopeOf(layer.activation));
    }
    if (set.segments() == 0) return;
    const std::uint64_t mark = device.Mark();
    ProgramBuilder builder(device.config());
    builder.LoadFunctions(set.Place(device));
    device.Run(builder.Take());
    device.Release(mark);
  }

  // Returns how many there are.
  std::size_t CheckExamples(const Examples& e) const {
    const auto need = [](bool ok, const std::string& what) {
      if (!ok) throw TrainError("examples: " + what);
    };
    const std::size_t count = e.size();
    need(count > 0, "there are none");
    need(e.features == options_.model.inputs, std::to_string(e.features) + " features, the model has " +
                                                  std::to_string(options_.model.inputs) + " inputs");
    need(e.inputs.size() == count * e.features, std::to_string(e.inputs.size()) + " numbers are not " +
                                                    std::to_string(count) + " examples of " +
                                                    std::to_string(e.features));
    const std::vector<EmbeddingSpec>& tables = options_.model.embeddings;
    need(e.indices.size() == count * tables.size(), std::to_string(e.indices.size()) + " indices for " +
                                                        std::to_string(count) + " examples and " +
                                                        std::to_string(tables.size()) + " embeddings");
    for (std::size_t n = 0; n < e.indices.size(); ++n) {
      const EmbeddingSpec& table = tables[n % tables.size()];
      need(e.indices[n] < table.rows, "index " + std::to_string(e.indices[n]) + " of example " +
                                          std::to_string(n / tables.size()) + ": embedding " +
                                          std::to_string(n % tables.size() + 1) + " has " +
                                          std::to_string(table.rows) + " rows");
    }
    const std::uint32_t outputs = options_.model.layers.back().units;
    if (options_.model.loss == Loss::kMeanSquare) {
      need(e.targets.size() == count * outputs, std::to_string(e.targets.size()) + " targets are not " +
                                                    std::to_string(count) + " times " + std::to_string(outputs));
    } else {
      need(e.labels.size() == count, std::to_string(e.labels.size()) + " labels for " + std::to_string(count) +
                                         " examples");
      for (std::size_t n = 0; n < count; ++n) {
        need(e.labels[n] < outputs, "label " + std::to_string(e.labels[n]) + " of example " + std::to_string(n) +
                                        ", the model has " + std::to_string(outputs) + " outputs");
      }
    }
    return count;
  }

  StoredExamples Stored(const Examples& e) const {
    StoredExamples s;
    s.count = e.size();
    const std::vector<std::uint8_t> bytes = Encoded(options_.mode.compute, e.inputs);
    s.inputs.resize(bytes.size());
    std::memcpy(s.inputs.data(), bytes.data(), bytes.size());
    s.row_bytes = bytes.size() / s.count;
    s.labels.assign(e.labels.begin(), e.labels.end());
    s.targets = e.targets;
    s.indices = e.indices;
    return s;
  }

  // The batch's rows of embedding tables, as lists.
  void PutRows(const StoredExamples& e, std::span<const std::uint32_t> which) {
    const std::size_t tables = network_.embeddings.size();
    for (std::size_t t = 0; t < tables; ++t) {
      std::map<std::uint32_t, std::uint32_t> slot_of;
      std::vector<std::uint32_t> of_example, different;
      std::vector<float> slots;
      for (const std::uint32_t n : which) {
        const std::uint32_t row = e.indices[n * tables + t];
        const auto [at, is_new] = slot_of.try_emplace(row, static_cast<std::uint32_t>(different.size()));
        if (is_new) different.push_back(row);
        of_example.push_back(row);
        slots.push_back(static_cast<float>(at->second));
      }
      // No more different rows: those behind the table, which stay zero.
      while (different.size() < which.size()) {
        different.push_back(network_.embeddings[t].rows + static_cast<std::uint32_t>(different.size()));
      }
      device_.WriteArray(network_.lists[t].address, of_example);
      device_.WriteArray(network_.different[t].address, different);
      device_.WriteArray(network_.slots[t].address, slots);
    }
  }

  // A picture moved by up to max_shift pixels each way; zeros come in.
  void Shift(const std::byte* from, std::byte* to, SplitMix64& random) const {
    const PictureSpec& p = options_.picture;
    const int bytes = static_cast<int>(isa::DtypeBytes(options_.mode.compute));
    const int reach = static_cast<int>(p.max_shift), width = static_cast<int>(p.width), height = static_cast<int>(p.height);
    const int dx = static_cast<int>(random.Below(2 * p.max_shift + 1)) - reach;
    const int dy = static_cast<int>(random.Below(2 * p.max_shift + 1)) - reach;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x, to += bytes) {
        if (y - dy < 0 || y - dy >= height || x - dx < 0 || x - dx >= width) continue;
        std::memcpy(to, from + std::ptrdiff_t{(y - dy) * width + x - dx} * bytes, static_cast<std::size_t>(bytes));
      }
    }
  }

  // Rows of the examples into the batch that programs read: data movement alone.
  void PutBatch(const StoredExamples& e, std::span<const std::uint32_t> which, bool training) {
    PutRows(e, which);
    std::vector<std::byte>& rows = batch_rows_;
    rows.assign(which.size() * e.row_bytes, std::byte{0});
    for (std::size_t n = 0; n < which.size(); ++n) {
      const std::byte* from = &e.inputs[which[n] * e.row_bytes];
      if (training && options_.picture.max_shift != 0) {
        // Drawn from seed, epoch and example alone, so that a resumed training sees the same.
        SplitMix64 random(options_.seed + epoch_ * 0x632be59bd9b4e019u + which[n] * 0x9e3779b97f4a7c15u);
        Shift(from, &rows[n * e.row_bytes], random);
      } else {
        std::memcpy(&rows[n * e.row_bytes], from, e.row_bytes);
      }
    }
    if (network_.input) device_.Write(network_.input->address, rows);
    if (!e.labels.empty()) {
      std::vector<float> labels;
      for (const std::uint32_t n : which) labels.push_back(e.labels[n]);
      device_.WriteArray(network_.labels.address, labels);
    }
    if (network_.targets) {
      const std::size_t outputs = network_.targets->Size(1);
      std::vector<float> targets;
      for (const std::uint32_t n : which) {
        targets.insert(targets.end(), e.targets.begin() + static_cast<std::ptrdiff_t>(n * outputs),
                       e.targets.begin() + static_cast<std::ptrdiff_t>((n + 1) * outputs));
      }
      device_.WriteArray(network_.targets->address, targets);
    }
  }

  // The order of an epoch depends on seed and epoch alone, so a checkpoint needs the position only.
  void DrawOrder() {
    if (!examples_) return;
    order_.resize(examples_->count);
    std::iota(order_.begin(), order_.end(), 0u);
    SplitMix64(options_.seed * 0x9e3779b97f4a7c15u + epoch_ + 1).Shuffle(order_);
  }

  // Runs the step that has just failed again, on a functional model from the restored state, and looks
  // at everything that is written.
  std::string FirstNonfinite() {
    DeviceOptions o;
    o.config = device_.config();
    o.dram_base = device_.dram_base();
    o.dram_bytes = device_.dram_limit() - device_.dram_base();
    FunctionalDevice model(o);
    LoadFunctions(model);
    std::vector<std::byte> dram(o.dram_bytes);
    device_.Read(o.dram_base, dram);
    model.Write(o.dram_base, dram);
    for (const Queue queue : {Queue::kVector, Queue::kScalar}) {
      for (std::uint32_t lane = 0; lane < o.config.rows; ++lane) {
        model.SetRounderState(queue, lane, device_.RounderState(queue, lane));
      }
    }
    std::string found;
    model.OnRetire([&](Queue queue, std::uint32_t index, const isa::Encoded& encoded) {
      if (!found.empty() || static_cast<isa::Op>(encoded[0]) == isa::Op::kNop) return;
      const auto dtype = static_cast<Dtype>(isa::DecodeEngineInstr(encoded).dtype_d);
      if (dtype == Dtype::kInt8 || dtype == Dtype::kInt32) return;
      const std::uint32_t bytes = isa::DtypeBytes(dtype);
      for (const WriteRange& range : WriteFootprint(queue, encoded, o.config.rows, &model.model().memory())) {
        for (std::uint32_t p = 0; p < range.parts; ++p) {
          std::vector<std::byte> data(range.end - range.begin);
          switch (range.memory) {
            case WriteRange::Memory::kDram: model.Read(range.begin, data); break;
            case WriteRange::Memory::kSbuf:
              model.ReadSbuf(range.part + p, static_cast<std::uint32_t>(range.begin), data);
              break;
            case WriteRange::Memory::kPsum:
              model.ReadPsum(range.part + p, static_cast<std::uint32_t>(range.begin), data);
              break;
          }
          for (std::size_t at = 0; at + bytes <= data.size(); at += bytes) {
            std::uint32_t bits = 0;
            std::memcpy(&bits, &data[at], bytes);
            const std::uint32_t wide = WidenToFp32(dtype, bits) & 0x7fffffff;
            if (wide < kFp32Inf) continue;
            found = std::string(wide == kFp32Inf ? "the first infinity" : "the first NaN") + " is in '" +
                    program_.labels[static_cast<std::size_t>(queue)][index] + "', " +
                    std::string(isa::Name(queue)) + " instruction " + std::to_string(index);
            return;
          }
        }
      }
    });
    try {
      model.Run(program_.program);
    } catch (const std::exception& e) {
      return std::string("the step could not be repeated: ") + e.what();
    }
    if (found.empty()) found = "a repetition of the step found no infinity or NaN";
    // The state is that before the step again.
    const std::string tensor = NonfiniteTensor();
    return tensor.empty() ? found : found + "; before the step " + tensor;
  }

  std::uint64_t trained_begin_ = 0, trained_end_ = 0;
  std::optional<StoredExamples> examples_;
  std::uint32_t examples_crc_ = 0;  // before there are any: of those that the checkpoint was trained with
  std::string loaded_from_;         // the checkpoint, if it came before the examples
  std::vector<std::uint32_t> order_;
  std::map<std::uint32_t, std::optional<StepProgram>> evaluations_;
  // Kept from step to step: memory of this size goes back to the system when it is freed.
  std::vector<std::uint8_t> before_;
  std::vector<std::byte> batch_rows_;
  float rate_ = 0;
  bool turned_ = false;
};

Trainer::Trainer(Device& device, const TrainerOptions& options)
    : impl_(std::make_unique<Impl>(device, options)) {}
Trainer::~Trainer() = default;
const TrainerOptions& Trainer::options() const { return impl_->options_; }
Device& Trainer::device() { return impl_->device_; }
void Trainer::SetExamples(const Examples& examples) { impl_->SetExamples(examples); }
StepReport Trainer::Step() { return impl_->Step(); }

double Trainer::Epoch(const std::function<bool(const StepReport&)>& after) {
  const std::uint64_t epoch = impl_->epoch_;
  double sum = 0;
  std::uint64_t steps = 0;
  while (impl_->epoch_ == epoch) {
    const StepReport report = Step();
    sum += static_cast<double>(report.loss);
    ++steps;
    if (after && !after(report)) break;
  }
  return sum / static_cast<double>(steps);
}

Evaluation Trainer::Evaluate(const Examples& examples) { return impl_->Evaluate(examples); }
void Trainer::SetRate(float rate) { impl_->SetRate(rate); }
std::uint64_t Trainer::step() const { return impl_->step_; }
std::uint64_t Trainer::epoch() const { return impl_->epoch_; }
std::uint64_t Trainer::steps_per_epoch() const { return impl_->StepsPerEpoch(); }
DramTraffic Trainer::traffic() const {
  return {impl_->program_.dram_read, impl_->program_.dram_written,
          impl_->program_.program.size() * isa::kInstrBytes};
}
const std::vector<std::string>& Trainer::StepLabels(isa::Queue queue) const {
  return impl_->program_.labels[static_cast<std::size_t>(queue)];
}
std::uint64_t Trainer::useful_columns() const { return impl_->program_.array_columns; }
const Program& Trainer::step_program() const { return impl_->program_.program; }

std::vector<std::string> Trainer::ParameterNames() const {
  std::vector<std::string> names;
  for (const auto* p : impl_->Parameters()) names.push_back(p->name);
  return names;
}
std::vector<float> Trainer::Parameter(const std::string& name) { return impl_->Get(impl_->Find(name)); }
void Trainer::SetParameter(const std::string& name, const std::vector<float>& values) {
  impl_->Put(impl_->Find(name), values);
}

std::vector<std::uint8_t> Trainer::State() { return impl_->State(); }
void Trainer::RequireFinite(const Evaluation& evaluation) { impl_->RequireFinite(&evaluation); }
void Trainer::Save(const std::filesystem::path& path) {
  impl_->RequireFinite(nullptr);
  WriteCheckpoint(path, impl_->Configuration(), impl_->State());
}
void Trainer::Load(const std::filesystem::path& path) {
  impl_->SetState(ReadCheckpoint(path, impl_->Configuration()), path.string());
}

}  // namespace dither::train
