// Measures what docs/results.md states about the simulated core and its models; writes a fragment of figures for
// scripts/results.py. Counts (cycles, utilisation, errors) repeat exactly; speeds depend on the machine.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "sim/device/functional_device.hpp"
#include "sim/model/column_sum.hpp"
#include "sim/program/gemm.hpp"
#include "sim/program/mlp.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

class Figures {
 public:
  explicit Figures(std::string config) : config_(std::move(config)) {}
  void Add(const std::string& name, double value, const std::string& unit, const std::string& note = {}) {
    nlohmann::json f = {{"name", name}, {"value", value}, {"unit", unit}, {"config", config_},
                        {"command", "make bench CONFIG=" + config_}};
    if (!note.empty()) f["note"] = note;
    list_.push_back(f);
    fmt::print("{:<36} {:>14.6g} {}\n", name, value, unit);
    std::fflush(stdout);
  }
  void Write(const std::string& path) const { std::ofstream(path) << nlohmann::json{{"figures", list_}}.dump(1) << "\n"; }

 private:
  std::string config_;
  nlohmann::json list_ = nlohmann::json::array();
};

double Seconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::uint16_t RandomBf16(std::mt19937& rng, int low, int high) {
  return static_cast<std::uint16_t>((rng() & 0x807f) | ((static_cast<unsigned>(low) + rng() % static_cast<unsigned>(high - low)) << 7));
}

// C[m][n] = A[k][m]^T B[k][n], bf16 operands, fp32 result, in the device's DRAM.
Program Gemm(Device& device, std::uint32_t m, std::uint32_t k, std::uint32_t n) {
  std::mt19937 rng(1);
  std::vector<std::uint16_t> a(std::size_t{k} * m), b(std::size_t{k} * n);
  for (auto& v : a) v = RandomBf16(rng, 118, 128);
  for (auto& v : b) v = RandomBf16(rng, 118, 128);
  GemmSpec spec;
  spec.a = Tensor::Dram("a", device.Allocate(a.size() * 2), isa::Dtype::kBf16, {k, m});
  spec.b = Tensor::Dram("b", device.Allocate(b.size() * 2), isa::Dtype::kBf16, {k, n});
  spec.c = Tensor::Dram("c", device.Allocate(std::size_t{m} * n * 4), isa::Dtype::kFp32, {m, n});
  device.WriteArray(spec.a.address, a);
  device.WriteArray(spec.b.address, b);
  return BuildGemm(device.config(), spec);
}

void BenchCore(Figures& figures) {
  DeviceOptions options;
  options.config = VerilatedConfig();
  VerilatedOptions plain;
  plain.lockstep = false;
  auto rtl = MakeVerilatedDevice(options, plain);
  auto model = MakeFunctionalDevice(options);
  const std::uint32_t m = 256, k = 256, n = 512;
  const Program on_rtl = Gemm(*rtl, m, k, n), on_model = Gemm(*model, m, k, n);
  rtl->LoadProgram(on_rtl);
  rtl->ClearCounters();
  const std::uint64_t from = rtl->cycles();
  const double rtl_seconds = Seconds([&] {
    rtl->Start();
    rtl->Wait();
  });
  const auto cycles = static_cast<double>(rtl->cycles() - from);
  const auto counters = rtl->Counters();
  const double macs = double{m} * k * n;
  figures.Add("dense.cycles", cycles, "cycles", "256x256x512 bf16, doorbell to done, DRAM latency 100 cycles, one beat a cycle");
  figures.Add("dense.array_busy", 100 * counters[isa::Queue::kTensor].work / cycles, "%");
  figures.Add("dense.sbuf_conflicts", counters.sbuf_conflicts, "requests");
  figures.Add("sim.dense_speed", cycles / rtl_seconds, "cycles/s", "one core, no tracing, no lockstep");
  figures.Add("sim.dense_macs", macs / rtl_seconds, "MAC/s");
  // The model is quick: repeat it until the clock means something.
  int runs = 0;
  double model_seconds = 0;
  model->LoadProgram(on_model);
  while (model_seconds < 1) {
    model->LoadProgram(on_model);
    model_seconds += Seconds([&] {
      model->Start();
      model->Wait();
    });
    ++runs;
  }
  figures.Add("model.dense_macs", macs * runs / model_seconds, "MAC/s", "functional model, same program, one core");
  figures.Add("model.over_rtl", rtl_seconds * runs / model_seconds, "x", "RTL seconds / model seconds, same program, same run");
}

// Cycles that the tensor engine is busy with `tiles` matmuls of a full tile and 4 P columns, operands in SBUF.
QueueCounters RunTiles(std::uint32_t tiles) {
  DeviceOptions options;
  options.config = VerilatedConfig();
  VerilatedOptions plain;
  plain.lockstep = false;
  auto rtl = MakeVerilatedDevice(options, plain);
  const std::uint32_t p = options.config.rows;
  Program program;
  program.rows = p;
  for (std::uint32_t t = 0; t < tiles; ++t) {
    isa::EngineInstr i;
    i.opcode = static_cast<std::uint8_t>(isa::Op::kMatmul);
    i.dtype_d = static_cast<std::uint8_t>(isa::Dtype::kFp32);
    i.dtype_0 = i.dtype_1 = static_cast<std::uint8_t>(isa::Dtype::kBf16);
    i.space_d = 1;
    i.parts = i.parts_d = static_cast<std::uint8_t>(p);
    i.size = {static_cast<std::uint16_t>(4 * p), 1, 1, 1};
    i.str_d = i.str_0 = {1, 0, 0, 0};
    i.str_1 = {1, 0, 0, 0};
    i.off_1 = 8192 + t * 8;
    i.acc = t > 0;
    program[isa::Queue::kTensor].push_back(isa::Encode(i));
  }
  rtl->LoadProgram(program);
  rtl->ClearCounters();
  rtl->Start();
  rtl->Wait();
  return rtl->Counters()[isa::Queue::kTensor];
}

void BenchTiles(Figures& figures) {
  const QueueCounters few = RunTiles(64), many = RunTiles(128);
  figures.Add("tiles.lost_between", static_cast<double>(many.busy - few.busy) - (many.work - few.work), "cycles",
              "64 more back-to-back stationary tiles of 4 P columns each: busy cycles beyond their columns");
  figures.Add("tiles.fill_and_drain", static_cast<double>(few.busy) - few.work, "cycles",
              "first tile in, last sum out, once a run");
}

double Float(std::uint32_t bits) { return std::bit_cast<float>(bits); }

void BenchAccuracy(Figures& figures) {
  std::mt19937 rng(1);
  struct Set {
    const char* name;
    int low, high;
    bool cancel;
  };
  for (const Set& s : {Set{"near", 122, 132, false}, Set{"wide", 107, 147, false}, Set{"cancel", 77, 177, true}}) {
    double ours = 0, chain = 0, once = 0, ours_worst = 0, chain_worst = 0;
    const int columns = 200000;
    for (int t = 0; t < columns; ++t) {
      std::uint16_t x[16], w[16];
      double exact = 0, size = 0;
      float fma = 0;
      for (int i = 0; i < 16; ++i) {
        x[i] = RandomBf16(rng, s.low, s.high);
        w[i] = RandomBf16(rng, s.low, s.high);
        if (s.cancel && i % 2) {
          x[i] = x[i - 1] ^ 0x8000;
          w[i] = static_cast<std::uint16_t>(w[i - 1] ^ (rng() & 3));
        }
        const double a = Float(std::uint32_t{x[i]} << 16), b = Float(std::uint32_t{w[i]} << 16);
        exact += a * b;
        size += std::fabs(a * b);
        fma = std::fmaf(static_cast<float>(a), static_cast<float>(b), fma);
      }
      const double e = std::fabs(Float(model::ColumnDot(x, w, 16, 16, false, 0)) - exact) / size;
      const double f = std::fabs(fma - exact) / size;
      ours += e / columns;
      chain += f / columns;
      once += std::fabs(static_cast<float>(exact) - exact) / size / columns;
      ours_worst = std::max(ours_worst, e);
      chain_worst = std::max(chain_worst, f);
    }
    figures.Add(fmt::format("accuracy.{}_mean_ratio", s.name), ours / chain, "of chain",
                fmt::format("mean error over that of an fp32 FMA chain, 16 rows: {:.3g} over {:.3g}; exact sums rounded once would have {:.2f}",
                            ours, chain, once / chain));
    figures.Add(fmt::format("accuracy.{}_worst_ratio", s.name), ours_worst / chain_worst, "of chain",
                fmt::format("{:.3g} over {:.3g}", ours_worst, chain_worst));
  }
}

}  // namespace
}  // namespace dither

int main(int argc, char** argv) {
  std::string out;
  CLI::App app{"Measure the figures of docs/results.md."};
  app.add_option("--out", out, "fragment of figures to write (JSON)")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    dither::Figures figures{std::string(dither::VerilatedConfig().name)};
    dither::BenchCore(figures);
    dither::BenchTiles(figures);
    dither::BenchAccuracy(figures);
    figures.Write(out);
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench: {}\n", e.what());
    return 1;
  }
}
