// Whatever order the queues run in, a flow computes what its instructions compute one after the other.
#include <catch2/catch.hpp>

#include <cstring>
#include <random>

#include "sim/model/functional.hpp"
#include "sim/program/flow.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Queue;

constexpr std::uint64_t kDram = 0x80000000;
constexpr std::uint64_t kDramBytes = 1 << 16;

// A header's fields, which lie alike in every instruction.
struct Header {
  bool wait, signal;
  std::uint8_t wait_sem, signal_sem;
  std::uint16_t value;
  std::int8_t increment;
};
Header HeaderOf(const isa::Encoded& e) {
  const isa::EngineInstr i = isa::DecodeEngineInstr(e);
  return {i.wait_en != 0, i.sig_en != 0, i.wait_sem, i.sig_sem, i.wait_val, static_cast<std::int8_t>(i.sig_inc)};
}

FunctionalModel FilledModel(const isa::Config& config, unsigned seed) {
  FunctionalModel model(config, kDram, kDramBytes);
  std::mt19937 random(seed);
  // Small numbers, so that nothing becomes NaN and hides a difference.
  for (std::uint8_t& b : model.memory().sbuf) b = static_cast<std::uint8_t>(random() % 64);
  for (std::uint8_t& b : model.dram().bytes) b = static_cast<std::uint8_t>(random() % 64);
  model.SetPsumWritten(0xff);
  return model;
}

// Runs all queues, an instruction at a time, from a queue that may go on, drawn at random.
void RunShuffled(FunctionalModel& model, const Program& program, std::mt19937& random) {
  std::array<std::size_t, isa::kNumQueues> head{};
  std::array<std::uint16_t, isa::kNumSems> sems{};
  for (;;) {
    std::vector<Queue> may;
    bool left = false;
    for (const Queue q : isa::kAllQueue) {
      const auto& instructions = program[q];
      const std::size_t at = head[static_cast<std::size_t>(q)];
      if (at == instructions.size()) continue;
      left = true;
      const Header h = HeaderOf(instructions[at]);
      if (h.wait && static_cast<std::int16_t>(sems[h.wait_sem] - h.value) < 0) continue;
      may.push_back(q);
    }
    if (!left) return;
    REQUIRE(!may.empty());  // no deadlock
    // Some queues are much faster than others, and take turns at that.
    const Queue q = may[random() % 4 == 0 ? random() % may.size() : 0];
    const isa::Encoded& e = program[q][head[static_cast<std::size_t>(q)]++];
    REQUIRE(model.Execute(q, e).err == isa::Err::kNone);
    const Header h = HeaderOf(e);
    if (h.signal) sems[h.signal_sem] = static_cast<std::uint16_t>(sems[h.signal_sem] + h.increment);
  }
}

}  // namespace

TEST_CASE("a flow computes the same in any order that its waits allow", "[flow][random]") {
  const unsigned seed = GENERATE(1u, 2u, 3u, 4u, 5u, 6u);
  CAPTURE(seed);
  const isa::Config config = isa::kConfigs[0];
  std::mt19937 random(seed);
  Flow flow(config);
  std::vector<Flow::Place> order;
  // A few tensors that overlap now and then, so that most instructions depend on something.
  const auto pick = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
  const auto sbuf = [&](Dtype dtype, std::uint32_t columns) {
    return Tensor::OnChip("s", Place::kSbuf, dtype, 0, 64 * pick(24), {8, columns});
  };
  const auto psum = [&](std::uint32_t columns) {
    return Tensor::OnChip("p", Place::kPsum, Dtype::kFp32, 0, 64 * pick(12), {8, columns});
  };
  const auto dram = [&](std::uint32_t columns) {
    return Tensor::Dram("d", kDram + 64 * pick(24), Dtype::kBf16, {8, columns});
  };
  for (int n = 0; n < 400; ++n) {
    Queue queue = Queue::kTensor;
    switch (pick(6)) {
      case 0: flow.Matmul(psum(16), sbuf(Dtype::kBf16, 8), sbuf(Dtype::kBf16, 16)); break;
      case 1:
        queue = Queue::kVector;
        flow.Cast(sbuf(Dtype::kBf16, 16), psum(16), {isa::Round::kRtz, true});
        break;
      case 2:
        queue = Queue::kScalar;
        flow.Act(isa::ActFunc::kRelu, sbuf(Dtype::kBf16, 16), psum(16), 0.5f, 0.25f, {isa::Round::kRtz, true});
        break;
      case 3:
        queue = pick(2) ? Queue::kDma0 : Queue::kDma1;
        flow.Copy(queue, sbuf(Dtype::kBf16, 16), dram(16));
        break;
      case 4:
        queue = pick(2) ? Queue::kDma0 : Queue::kDma1;
        flow.Copy(queue, dram(16), sbuf(Dtype::kBf16, 16));
        break;
      default: {
        queue = Queue::kVector;
        const Tensor t = sbuf(Dtype::kBf16, 16);
        flow.Elementwise(isa::VecFunc::kMax, t, t, 0.0625f);
        break;
      }
    }
    order.push_back(flow.Last(queue));
  }
  FunctionalModel expected = FilledModel(config, seed);
  for (const Flow::Place& at : order) {
    REQUIRE(expected.Execute(at.queue, flow.program()[at.queue][at.index]).err == isa::Err::kNone);
  }
  for (int run = 0; run < 20; ++run) {
    FunctionalModel model = FilledModel(config, seed);
    RunShuffled(model, flow.program(), random);
    REQUIRE(model.memory().sbuf == expected.memory().sbuf);
    REQUIRE(model.memory().psum == expected.memory().psum);
    REQUIRE(model.dram().bytes == expected.dram().bytes);
  }
}

TEST_CASE("a copy that reads what its own ring wrote waits for that, as rings read ahead", "[flow][directed]") {
  Flow flow(isa::kConfigs[0]);
  const Tensor a = flow.Sbuf("a", Dtype::kBf16, {8, 32}), b = flow.Sbuf("b", Dtype::kBf16, {8, 32});
  const Tensor d = Tensor::Dram("d", kDram, Dtype::kBf16, {8, 32});
  flow.Load(a, d);
  flow.Copy(Queue::kDma0, b, a);  // reads what the load wrote
  flow.Load(a, d);                // writes what the copy read: in order anyway
  const auto& ring = flow.program()[Queue::kDma0];
  REQUIRE(ring.size() == 3);
  REQUIRE_FALSE(HeaderOf(ring[0]).wait);
  REQUIRE(HeaderOf(ring[1]).wait);
  REQUIRE(HeaderOf(ring[1]).value == 1);
  REQUIRE_FALSE(HeaderOf(ring[2]).wait);
}

TEST_CASE("a wait that follows from another is left out", "[flow][directed]") {
  Flow flow(isa::kConfigs[0]);
  const Tensor x = flow.Sbuf("x", Dtype::kBf16, {8, 32}), y = flow.Sbuf("y", Dtype::kBf16, {8, 32});
  const Tensor d = Tensor::Dram("d", kDram, Dtype::kBf16, {8, 32});
  flow.Load(x, d);
  flow.Cast(y, x);
  flow.Elementwise(isa::VecFunc::kAdd, y, y, x);  // its own queue has waited for the load
  flow.Store(d, y);                               // the vector engine had waited for the load's read of d
  REQUIRE(flow.nops() == 0);
  REQUIRE_FALSE(HeaderOf(flow.program()[Queue::kVector][1]).wait);
  REQUIRE(HeaderOf(flow.program()[Queue::kDma1][0]).wait);
}

TEST_CASE("memory is given back and taken again, and what does not fit is refused with the room there is", "[flow]") {
  Flow flow(isa::kConfigs[0]);  // 16384 bytes a partition
  const Tensor a = flow.Sbuf("a", Dtype::kFp32, {8, 1024}), b = flow.Sbuf("b", Dtype::kFp32, {8, 1024});
  const Tensor c = flow.Sbuf("c", Dtype::kFp32, {8, 2048});
  REQUIRE_THROWS_WITH(flow.Sbuf("d", Dtype::kBf16, {8, 8}), Catch::Contains("d bf16[8][8]") && Catch::Contains("0 are free"));
  flow.Free(a);
  flow.Free(c);
  REQUIRE_THROWS_WITH(flow.Sbuf("d", Dtype::kFp32, {8, 2049}), Catch::Contains("12288 are free, 8192"));
  flow.Free(b);
  REQUIRE(flow.SbufFree() == 16384);
  REQUIRE(flow.Sbuf("d", Dtype::kFp32, {8, 4096}).address == 0);
  REQUIRE_THROWS_AS(flow.Free(c), ProgramError);
}

}  // namespace dither
