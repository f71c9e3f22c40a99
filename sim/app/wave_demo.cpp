// A short program that uses every engine of the nano core, for looking at its waves
// (docs/waves.md): two matmuls back to back into one PSUM bank, relu with stochastic rounding, an
// add and a sum, DMA on both rings.
//
//   wave_demo [--out demo.fst] [--seed N]
//
// Prints when each instruction retires, on the waves' time axis, and checks every result against
// sim/golden.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <filesystem>
#include <random>

#include "sim/golden/golden.hpp"
#include "sim/model/formats.hpp"
#include "sim/program/builder.hpp"
#include "sim/program/disassemble.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

using golden::Matrix;
using isa::Dtype;
using isa::Queue;
using isa::Round;

constexpr std::uint32_t kTiles = 2;     // stationary tiles, one matmul each
constexpr std::uint32_t kColumns = 32;  // moving columns of a matmul
constexpr float kScale = 0.3f;          // not a power of two: gives the rounder something to round
constexpr float kBias = 0.25f;
constexpr float kAdded = 1.0f;

// The device dumps once a clock edge: two time units a cycle, behind the reset's nine dumps.
constexpr std::uint64_t WaveTime(std::uint64_t cycle) { return 2 * cycle + 8; }

struct Options {
  std::string out = "build/wave/demo.fst";
  std::uint64_t seed = 1;
};

std::uint16_t Bf16(float value) {
  return static_cast<std::uint16_t>(
      NarrowFromFp32(Dtype::kBf16, std::bit_cast<std::uint32_t>(value), Round::kRne, false, 0));
}

// Random halves in [-2, 2]: exact in bf16, and short numbers to read in the waves.
std::vector<std::uint16_t> RandomBf16(std::mt19937_64& random, std::size_t count) {
  std::vector<std::uint16_t> values(count);
  for (auto& v : values) v = Bf16(static_cast<float>(static_cast<int>(random() % 9) - 4) / 2.0f);
  return values;
}

Matrix Values(const std::vector<std::uint16_t>& bf16, std::size_t rows, std::size_t columns) {
  Matrix m(rows, columns);
  std::transform(bf16.begin(), bf16.end(), m.values.begin(),
                 [](std::uint16_t v) { return golden::ValueOf(v, 8, 7); });
  return m;
}

// Counts results further from the golden value than the arithmetic allows, and says the first.
class Checker {
 public:
  void Near(const std::string& what, std::size_t row, std::size_t column, double got, double want,
            double bound) {
    ++checked_;
    if (std::fabs(got - want) <= bound) return;
    if (wrong_++ == 0) {
      fmt::print(stderr, "wave_demo: {}[{}][{}] is {}, golden {} +- {}\n", what, row, column, got,
                 want, bound);
    }
  }
  std::size_t checked() const { return checked_; }
  bool good() const { return wrong_ == 0; }

 private:
  std::size_t checked_ = 0, wrong_ = 0;
};

struct Demo {
  Program program;
  Tensor relu;  // in SBUF
};

// Everything the program needs lies in DRAM at w, x; results go to y and sums.
Demo Build(const Device& device, std::uint64_t w, std::uint64_t x, std::uint64_t y,
           std::uint64_t sums) {
  ProgramBuilder b(device.config(), device.dram_base(), device.dram_limit());
  const std::uint32_t rows = b.rows();
  Counter loaded = b.NewCounter("loaded"), summed = b.NewCounter("summed"),
          activated = b.NewCounter("activated"), added = b.NewCounter("added");

  const Tensor w_sbuf = b.Sbuf("w", Dtype::kBf16, {rows, kTiles, rows});
  const Tensor x_sbuf = b.Sbuf("x", Dtype::kBf16, {rows, kTiles, kColumns});
  const Tensor h_sbuf = b.Sbuf("h", Dtype::kBf16, {rows, kColumns});
  const Tensor y_sbuf = b.Sbuf("y", Dtype::kBf16, {rows, kColumns});
  const Tensor s_sbuf = b.Sbuf("sums", Dtype::kFp32, {rows});
  const Tensor acc = b.PsumBank("acc", 0, Dtype::kFp32, {rows, kColumns});
  const Tensor w_dram = Tensor::Dram("w", w, Dtype::kBf16, {kTiles, rows, rows});
  const Tensor x_dram = Tensor::Dram("x", x, Dtype::kBf16, {kTiles, rows, kColumns});
  const auto tile = [](const Tensor& t, std::uint32_t i) { return t.Slice(1, i, 1).Merge(1); };
  const auto tile_of_dram = [](const Tensor& t, std::uint32_t i) {
    return t.Slice(0, i, 1).Merge(0);
  };

  // Ring 0 brings each tile just before the matmul that wants it.
  for (std::uint32_t t = 0; t < kTiles; ++t) {
    b.Copy(Queue::kDma0, tile(w_sbuf, t), tile_of_dram(w_dram, t), {{}, loaded.Tick(), false});
    b.Copy(Queue::kDma0, tile(x_sbuf, t), tile_of_dram(x_dram, t), {{}, loaded.Tick(), false});
  }
  // Both wait for all four copies, so that the second tile's weights load while the first computes.
  for (std::uint32_t t = 0; t < kTiles; ++t) {
    b.Matmul(acc, tile(w_sbuf, t), tile(x_sbuf, t), {t > 0, false},
             {{loaded.Until(loaded.count())}, summed.Tick(), false});
  }
  b.Act(isa::ActFunc::kRelu, h_sbuf, acc, kScale, kBias, {Round::kSr, false},
        {{summed.Until(kTiles)}, activated.Tick(), false});
  b.Elementwise(isa::VecFunc::kAdd, y_sbuf, h_sbuf, kAdded, {},
                {{activated.Until(1)}, added.Tick(), false});
  b.Reduce(isa::RedFunc::kSum, s_sbuf, y_sbuf, 1, {}, {{}, added.Tick(), false});
  b.Copy(Queue::kDma1, Tensor::Dram("y", y, Dtype::kBf16, {rows, kColumns}), y_sbuf,
         {{added.Until(1)}, {}, false});
  b.Copy(Queue::kDma1, Tensor::Dram("sums", sums, Dtype::kFp32, {rows}), s_sbuf,
         {{added.Until(2)}, {}, true});
  return {b.Take(), h_sbuf};
}

int Run(const Options& options) {
  DeviceOptions device_options;
  device_options.config = VerilatedConfig();
  device_options.dram_bytes = 1 << 20;
  device_options.axi_latency = 20;  // short, so that the picture is not mostly waiting
  if (const auto folder = std::filesystem::path(options.out).parent_path(); !folder.empty()) {
    std::filesystem::create_directories(folder);
  }
  VerilatedOptions verilated;
  verilated.trace = options.out;
  verilated.seed = options.seed;
  const auto device = MakeVerilatedDevice(device_options, verilated);
  const std::uint32_t rows = device->config().rows;

  std::mt19937_64 random(options.seed);
  const auto w = RandomBf16(random, std::size_t{kTiles} * rows * rows);
  const auto x = RandomBf16(random, std::size_t{kTiles} * rows * kColumns);
  const std::uint64_t w_at = device->Allocate(w.size() * 2), x_at = device->Allocate(x.size() * 2);
  const std::uint64_t y_at = device->Allocate(rows * kColumns * 2),
                      sums_at = device->Allocate(rows * 4);
  device->WriteArray(w_at, w);
  device->WriteArray(x_at, x);
  const Demo demo = Build(*device, w_at, x_at, y_at, sums_at);

  fmt::print("time   cycle  retires\n");
  device->OnRetire([&](Queue queue, std::uint32_t index, std::uint64_t cycle) {
    fmt::print("{:<6} {:<6} {:<7} {}\n", WaveTime(cycle), cycle, isa::Name(queue),
               Disassemble(queue, demo.program[queue].at(index)));
  });
  device->LoadProgram(demo.program);
  const std::uint64_t start = device->cycles();
  device->Start();
  device->Wait(100000);
  device->OnRetire({});
  fmt::print("the doorbells ring from time {} on (cycle {})\n", WaveTime(start), start);

  // Each stage against the golden one, fed with what the stage before really gave.
  Checker check;
  Matrix magnitude;
  const Matrix sum = golden::Matmul(Values(w, kTiles * rows, rows),
                                    Values(x, kTiles * rows, kColumns), &magnitude);
  const Matrix y = Values(device->ReadArray<std::uint16_t>(y_at, rows * kColumns), rows, kColumns);
  const auto sums = device->ReadArray<float>(sums_at, rows);
  for (std::uint32_t r = 0; r < rows; ++r) {
    std::vector<std::uint16_t> bits(kColumns);
    device->ReadSbuf(r, static_cast<std::uint32_t>(demo.relu.address),
                     std::as_writable_bytes(std::span(bits)));
    const Matrix h = Values(bits, 1, kColumns);
    std::vector<double> row;
    for (std::uint32_t c = 0; c < kColumns; ++c) {
      const double want = golden::Relu(sum(r, c) * kScale + kBias);
      // Stochastic rounding may go to either neighbour, a whole unit in the last of 8 bits.
      check.Near("relu", r, c, h(0, c), want,
                 std::ldexp(want, -7) + std::ldexp(magnitude(r, c), -12));
      const double added = golden::Apply(golden::Binary::kAdd, h(0, c), kAdded);
      check.Near("add", r, c, y(r, c), added, std::ldexp(std::fabs(added), -8));
      row.push_back(y(r, c));
    }
    check.Near("sum", r, 0, sums[r], golden::Sum(row), std::ldexp(golden::Sum(row), -23));
  }
  if (!check.good()) return 1;
  const std::uint64_t bytes = device->CompareAll();
  fmt::print(
      "right: {} results near the golden ones, {} instructions and {} bytes of state equal the "
      "model's\n",
      check.checked(), device->retired(), bytes);
  fmt::print("waves: {}\n", options.out);
  return 0;
}

}  // namespace
}  // namespace dither

int main(int argc, char** argv) {
  dither::Options o;
  CLI::App app{"Run a short program on every engine of the Dither core and write its waves."};
  app.add_option("--out", o.out, "FST file to write")->capture_default_str();
  app.add_option("--seed", o.seed, "of the operands")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::Run(o);
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "wave_demo: {}\n", e.what());
    return 1;
  }
}
