// Training on the Verilated core beside the functional model, which runs the queues in another order, and
// how busy the array is.
#include <catch2/catch.hpp>

#include <bit>
#include <random>

#include "sim/device/functional_device.hpp"
#include "sim/train/trainer.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

train::Examples RandomExamples(const train::TrainerOptions& o, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  train::Examples e;
  e.features = o.model.inputs;
  for (std::size_t n = 0; n < count * e.features; ++n) e.inputs.push_back(static_cast<float>(random() % 256) / 256);
  for (std::size_t n = 0; n < count; ++n) {
    e.labels.push_back(random() % o.model.layers.back().units);
    for (const auto& table : o.model.embeddings) e.indices.push_back(random() % table.rows);
  }
  return e;
}

}  // namespace

TEST_CASE("steps on the RTL leave the bytes that they leave on the functional model", "[train][lockstep]") {
  DeviceOptions d;
  d.config = VerilatedConfig();
  d.dram_bytes = 8 << 20;
  const std::string mode = GENERATE("bf16-sr", "mixed", "fp8-sr", "fp32");
  const auto kind = GENERATE(train::OptimizerSpec::Kind::kSgd, train::OptimizerSpec::Kind::kAdamW);
  const int stalls = GENERATE(0, 40);
  CAPTURE(mode, static_cast<int>(kind), stalls);
  train::TrainerOptions o;
  o.model = train::ModelSpec::Mlp({20, 33, 17, 5}, train::Activation::kGelu);
  o.model.embeddings = {{9, 4}};
  o.model.layers[0].activation = train::Activation::kNone;
  o.model.layers.insert(o.model.layers.begin() + 1,
                        {train::LayerKind::kLayerNorm, 0, train::Activation::kRelu, true, 0, 0});
  o.mode = train::NumericMode::Named(mode);
  o.optimizer.kind = kind;
  o.optimizer.weight_decay = 0.01f;
  o.batch = 13;
  VerilatedOptions v;
  auto rtl = MakeVerilatedDevice(d, v);
  MemoryBehaviour memory;
  memory.stall_percent = stalls;
  memory.reorder = stalls != 0;
  rtl->SetMemoryBehaviour(memory);
  auto model = MakeFunctionalDevice(d);
  train::Trainer on_rtl(*rtl, o), on_model(*model, o);
  const train::Examples e = RandomExamples(o, 40, 3);
  on_rtl.SetExamples(e);
  on_model.SetExamples(e);
  for (int step = 0; step < 4; ++step) {
    const auto a = on_rtl.Step(), b = on_model.Step();
    REQUIRE(std::bit_cast<std::uint32_t>(a.loss) == std::bit_cast<std::uint32_t>(b.loss));
    REQUIRE(a.cycles > 0);
    REQUIRE(on_rtl.State() == on_model.State());
  }
  REQUIRE(on_rtl.Evaluate(e).correct == on_model.Evaluate(e).correct);
  REQUIRE(rtl->AxiViolations().empty());
  rtl->CompareAll();
}

TEST_CASE("a step of 512-512-512 with batch 128 keeps the array busy for 85 of 100 cycles, and usefully",
          "[train][utilisation]") {
  DeviceOptions d;
  d.config = VerilatedConfig();
  if (d.config.rows != 16) return;  // said of tiny
  train::TrainerOptions o;
  o.model = train::ModelSpec::Mlp({512, 512, 512});
  o.batch = 128;
  auto rtl = MakeVerilatedDevice(d);
  train::Trainer trainer(*rtl, o);
  trainer.SetExamples(RandomExamples(o, 128, 5));
  const auto report = trainer.Step();
  // Products of the network alone: 2 forward, 2 weight gradients, 1 input gradient.
  REQUIRE(trainer.useful_columns() >= 5ull * 32 * 32 * 128);
  REQUIRE(static_cast<double>(trainer.useful_columns()) >= 0.85 * static_cast<double>(report.cycles));
  REQUIRE(rtl->Counters()[isa::Queue::kTensor].work > trainer.useful_columns());
}

}  // namespace dither
