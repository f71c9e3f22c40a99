// The schedules of whole programs under a simple timing model: how busy the array could be. Not the
// truth (that is the RTL), but a bad schedule shows here in milliseconds.
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "sim/program/gemm.hpp"
#include "sim/program/mlp.hpp"

namespace dither {
namespace {

using isa::Queue;

// Every instruction takes its issue time, then a latency until its signal; queues are in order,
// waits are met by the n-th signal of a semaphore. Increments are 1 and counts stay below 2^15
// here.
struct Timing {
  std::uint32_t beat_bytes;
  double memory_latency = 100, engine_latency = 40, issue = 2, row_overhead = 1;
};

struct Report {
  double cycles = 0, array_busy = 0;
  double Utilisation() const { return array_busy / cycles; }
};

Report Simulate(const Program& program, const Timing& timing) {
  std::array<std::size_t, isa::kNumQueues> at{};
  std::array<double, isa::kNumQueues> free{};
  free.fill(timing.memory_latency + 20);  // fetch of the first instruction
  std::map<unsigned, std::vector<double>> signals;
  Report report;
  double last_retire[isa::kNumQueues] = {};
  bool moved = true;
  while (moved) {
    moved = false;
    for (const Queue queue : isa::kAllQueue) {
      const auto q = static_cast<std::size_t>(queue);
      while (at[q] < program[queue].size()) {
        const isa::Encoded& e = program[queue][at[q]];
        const auto op = static_cast<isa::Op>(e[0]);
        const isa::DmaInstr d = isa::DecodeDmaInstr(e);  // the header is common
        double start = free[q];
        if (d.wait_en) {
          const auto& times = signals[d.wait_sem];
          if (times.size() < d.wait_val) break;
          if (d.wait_val > 0) start = std::max(start, times[d.wait_val - 1]);
        }
        double busy = timing.issue, latency = timing.engine_latency;
        if (op == isa::Op::kNop) {
          busy = std::max(busy, last_retire[q] - start);
          latency = 0;
        } else if (op == isa::Op::kCopy) {
          const double rows = static_cast<double>(d.size[1]) * d.size[2] * d.size[3];
          const bool wide = d.src_str[0] == d.dst_str[0] && d.size[0] > 0;
          const double bytes = d.size[0] * isa::DtypeBytes(static_cast<isa::Dtype>(d.dtype_d));
          busy = rows * (wide ? bytes / timing.beat_bytes + timing.row_overhead : d.size[0]);
          latency = timing.memory_latency;
        } else {
          const isa::EngineInstr i = isa::DecodeEngineInstr(e);
          busy = static_cast<double>(i.size[0]) * i.size[1] * i.size[2] * i.size[3];
          if (op == isa::Op::kMatmul) report.array_busy += busy;
        }
        free[q] = start + std::max(busy, timing.issue);
        const double retire = std::max(last_retire[q], start + busy + latency);
        last_retire[q] = retire;
        report.cycles = std::max(report.cycles, retire);
        if (d.sig_en) signals[d.sig_sem].push_back(retire);
        ++at[q];
        moved = true;
      }
    }
  }
  for (const Queue queue : isa::kAllQueue) {
    REQUIRE(at[static_cast<std::size_t>(queue)] == program[queue].size());  // no deadlock
  }
  return report;
}

const isa::Config& Tiny() { return isa::kConfigs[1]; }

}  // namespace

TEST_CASE("a 256x256x512 product keeps the array busy over 95 percent of the time", "[schedule]") {
  const auto out = GENERATE(isa::Dtype::kFp32, isa::Dtype::kBf16);
  const GemmSpec spec{Tensor::Dram("a", 0, isa::Dtype::kBf16, {256, 256}),
                      Tensor::Dram("b", 1 << 20, isa::Dtype::kBf16, {256, 512}),
                      Tensor::Dram("c", 2 << 20, out, {256, 512}), Evacuate::kBoth, {}, {}};
  const Report report = Simulate(BuildGemm(Tiny(), spec), {32});
  CAPTURE(report.cycles, report.array_busy);
  CHECK(report.array_busy == 16 * 16 * 512);
  CHECK(report.Utilisation() > 0.95);
}

TEST_CASE("a memory of a quarter of the speed does not starve a large product", "[schedule]") {
  const GemmSpec spec{Tensor::Dram("a", 0, isa::Dtype::kBf16, {512, 256}),
                      Tensor::Dram("b", 1 << 20, isa::Dtype::kBf16, {512, 1024}),
                      Tensor::Dram("c", 4 << 20, isa::Dtype::kBf16, {256, 1024}),
                      Evacuate::kBoth, {}, {}};
  const Report report = Simulate(BuildGemm(Tiny(), spec), {8});
  CAPTURE(report.cycles, report.array_busy);
  CHECK(report.Utilisation() > 0.9);
}

TEST_CASE("a perceptron on 512 pictures keeps the array busy over 80 percent of the time",
          "[schedule]") {
  const auto bf16 = isa::Dtype::kBf16;
  const auto fp32 = isa::Dtype::kFp32;
  MlpSpec spec;
  spec.input = Tensor::Dram("x", 0, bf16, {784, 512});
  spec.layers = {{Tensor::Dram("w0", 1 << 20, bf16, {784, 128}),
                  Tensor::Dram("b0", 2 << 20, fp32, {128}), isa::ActFunc::kRelu},
                 {Tensor::Dram("w1", 3 << 20, bf16, {128, 64}),
                  Tensor::Dram("b1", 4 << 20, fp32, {64}), isa::ActFunc::kRelu},
                 {Tensor::Dram("w2", 5 << 20, bf16, {64, 10}),
                  Tensor::Dram("b2", 6 << 20, fp32, {10}), isa::ActFunc::kIdentity}};
  spec.output = Tensor::Dram("y", 7 << 20, fp32, {10, 512});
  const Report report = Simulate(BuildMlp(Tiny(), spec), {32});
  CAPTURE(report.cycles, report.array_busy);
  CHECK(report.Utilisation() > 0.8);
}

}  // namespace dither
