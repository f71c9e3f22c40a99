// How busy the array is in matrix products with operands in SBUF, against what their tiles allow (docs/blocks/
// tensor_engine.md, "How busy it can be"): 512^3, one cold product of 4x4x4 tiles, and random shapes. Every
// instruction runs in lockstep with the functional model; a sample of results is held against double precision.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/data/random.hpp"
#include "sim/program/tile_gemm.hpp"
#include "sim/verilated/verilated_device.hpp"

namespace dither {
namespace {

struct Options {
  std::string config, draw = "mixed", shape, json, out;
  std::uint32_t shapes = 500, side = 1024;
  std::uint64_t seed = 1;
  bool square = true, cold = true, bars = false, lockstep = true, verbose = false;
};

struct Shape {
  std::uint32_t k, m, n;
};

struct Result {
  Shape shape{};
  TileGemmPlan plan;
  std::uint64_t bound = 0, columns = 0, span = 0, busy = 0, fill = 0, drain = 0, stalls = 0, cycles = 0;
  double worst_error = 0;  // of the sample, in units of its bound
  double utilisation() const { return 100.0 * static_cast<double>(bound) / static_cast<double>(span); }
};

// A line that is replaced on a terminal, and appears now and then elsewhere.
class Progress {
 public:
  void Show(const std::string& text) {
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < std::chrono::milliseconds(terminal_ ? 200 : 10000)) return;
    shown_ = now;
    std::fputs((terminal_ ? fmt::format("\r{:<100}", text) : text + "\n").c_str(), stderr);
    std::fflush(stderr);
  }
  void Clear() {
    if (terminal_) fmt::print(stderr, "\r{:<100}\r", "");
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

std::uint32_t DrawSide(SplitMix64& random, const std::string& how, std::uint32_t largest) {
  bool logarithmic = how == "log";
  if (how == "mixed") logarithmic = random.Below(2) != 0;
  if (!logarithmic) return 1 + random.Below(largest);
  const double x = std::exp(random.Uniform() * std::log(largest + 1.0));
  return std::clamp(static_cast<std::uint32_t>(x), 1u, largest);
}

std::uint16_t DrawBf16(SplitMix64& random) {
  const auto bits = static_cast<std::uint32_t>(random.Next() >> 32);
  return static_cast<std::uint16_t>((bits & 0x807f) | (118 + (bits >> 16) % 10) << 7);
}
double Bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

Result Measure(VerilatedDevice& device, Shape shape, std::uint64_t seed, bool lockstep,
               const std::function<void(std::uint64_t)>& tick) {
  const auto [k, m, n] = shape;
  SplitMix64 random(seed);
  std::vector<std::uint16_t> a(std::size_t{k} * m), b(std::size_t{k} * n);
  for (auto& v : a) v = DrawBf16(random);
  for (auto& v : b) v = DrawBf16(random);
  const std::uint64_t mark = device.Mark();
  Result r;
  r.shape = shape;
  r.bound = BoundOfGemm(device.config().rows, k, m, n).columns;
  r.plan = PlanTileGemm(device.config(), k, m, n);
  TileGemmSpec spec;
  spec.a = Tensor::Dram("a", device.Allocate(a.size() * 2), isa::Dtype::kBf16, {k, m});
  spec.b = Tensor::Dram("b", device.Allocate(b.size() * 2), isa::Dtype::kBf16, {k, n});
  const std::uint64_t at = device.Allocate(std::uint64_t{m} * n * 4);
  // The moving side's elements touch.
  spec.c = r.plan.b_stationary ? Tensor::Dram("c", at, isa::Dtype::kFp32, {n, m}).Transpose(0, 1)
                               : Tensor::Dram("c", at, isa::Dtype::kFp32, {m, n});
  const std::uint32_t zeros = device.config().rows * 16;
  spec.zeros = Tensor::Dram("zeros", device.Allocate(zeros * 2), isa::Dtype::kBf16, {zeros});
  device.WriteArray(spec.a.address, a);
  device.WriteArray(spec.b.address, b);
  device.WriteArray(spec.zeros.address, std::vector<std::uint16_t>(zeros));
  device.WriteArray(at, std::vector<std::uint32_t>(std::size_t{m} * n, 0x7fc0dead));

  for (const Program& program : BuildTileGemm(device.config(), spec)) {
    device.LoadProgram(program);
    device.ClearActivity();
    const std::uint64_t from = device.cycles();
    device.Start();
    std::uint64_t limit = 100 * r.bound + 10'000'000;  // a hang is an error, not a stuck run
    constexpr std::uint64_t kStep = 50'000;
    while (limit > kStep && !device.Advance(kStep)) {
      limit -= kStep;
      tick(r.columns + device.Activity().columns);
    }
    device.Wait(1);  // throws what went wrong
    const ArrayActivity& activity = device.Activity();
    r.columns += activity.columns;
    r.span += activity.span();
    r.busy += activity.busy_span();
    r.fill += activity.first_column - activity.first_busy;
    r.drain += activity.last_busy - activity.last_column;
    r.stalls += activity.stalls;
    r.cycles += device.cycles() - from;
  }
  if (lockstep) device.CompareAll();
  if (r.columns != r.bound) {
    throw std::runtime_error(
        fmt::format("{} x {} x {}: {} columns issued, the bound is {}", k, m, n, r.columns, r.bound));
  }

  const auto c = device.ReadArray<std::uint32_t>(at, std::size_t{m} * n);
  const double stripes = r.plan.stripes;
  for (int sample = 0; sample < 64; ++sample) {
    const std::uint32_t i = random.Below(m), j = random.Below(n);
    double sum = 0, magnitude = 0;
    for (std::uint32_t l = 0; l < k; ++l) {
      const double term = Bf16(a[std::size_t{l} * m + i]) * Bf16(b[std::size_t{l} * n + j]);
      sum += term;
      magnitude += std::fabs(term);
    }
    const std::size_t place = r.plan.b_stationary ? std::size_t{j} * m + i : std::size_t{i} * n + j;
    const double got = std::bit_cast<float>(c[place]);
    // docs/numerics.md: a few units of 2^-24 of the magnitude for every stripe, and the last rounding.
    const double error = std::fabs(got - sum) / (magnitude * (stripes + 4) * 0x1p-22);
    if (!(error <= 1)) {
      throw std::runtime_error(
          fmt::format("{} x {} x {}: C[{}][{}] is {}, double precision says {}: {:.3g} times the bound", k, m, n, i, j,
                      got, sum, error));
    }
    r.worst_error = std::max(r.worst_error, error);
  }
  device.Release(mark);
  return r;
}

std::string PlanText(const Result& r) {
  const char* place[] = {"whole", "ring", "over"};
  return fmt::format("{} stationary, {} slab{}, {}{}", r.plan.b_stationary ? "B" : "A", r.plan.slabs.size(),
                     r.plan.slabs.size() == 1 ? "" : "s", place[static_cast<int>(r.plan.slabs[0].place)],
                     r.plan.pack > 1 ? fmt::format(", {} stripes packed", r.plan.pack) : "");
}

void Line(const Result& r) {
  fmt::print("{:>4} x {:>4} x {:>4} {:>10} {:>10} {:>8.3f} {:>8} {:>6}  {}\n", r.shape.k, r.shape.m, r.shape.n, r.bound,
             r.span, r.utilisation(), r.fill + r.drain, r.stalls, PlanText(r));
}
void Title() {
  fmt::print("{:>4}   {:>4}   {:>4} {:>10} {:>10} {:>8} {:>8} {:>6}\n", "K", "M", "N", "bound", "span", "% of it",
             "fill+dr.", "stalls");
}

void Histogram(const std::vector<Result>& results) {
  const double edges[] = {0, 50, 80, 90, 95, 98, 99, 99.5, 99.9, 100, 1e9};
  for (std::size_t e = 0; e + 1 < std::size(edges); ++e) {
    const auto count = std::count_if(results.begin(), results.end(), [&](const Result& r) {
      return r.utilisation() >= edges[e] && r.utilisation() < edges[e + 1];
    });
    const auto bar =
        static_cast<std::size_t>(60.0 * static_cast<double>(count) / static_cast<double>(results.size()) + 0.999);
    fmt::print("{:>5} .. {:<5} {:>5} {}\n", edges[e], e + 2 == std::size(edges) ? "" : fmt::format("{}", edges[e + 1]),
               count, std::string(count ? bar : 0, '#'));
  }
}

class Figures {
 public:
  Figures(std::string config, std::string command) : config_(std::move(config)), command_(std::move(command)) {}
  void Add(const std::string& name, double value, const std::string& unit, const std::string& note = {}) {
    nlohmann::json f = {
        {"name", "gemm." + name}, {"value", value}, {"unit", unit}, {"config", config_}, {"command", command_}};
    if (!note.empty()) f["note"] = note;
    list_.push_back(f);
  }
  nlohmann::json list() const { return list_; }

 private:
  std::string config_, command_;
  nlohmann::json list_ = nlohmann::json::array();
};

int Run(const Options& o) {
  const isa::Config& config = VerilatedConfig();
  if (!o.config.empty() && o.config != config.name) {
    throw std::runtime_error(
        fmt::format("this program simulates {}; run build/{}/gemm_bench, or make bench-gemm CONFIG={}", config.name,
                    o.config, o.config));
  }
  std::vector<Shape> shapes;
  if (!o.shape.empty()) {
    Shape s{};
    char end = 0;
    if (std::sscanf(o.shape.c_str(), "%ux%ux%u%c", &s.k, &s.m, &s.n, &end) != 3 || !s.k || !s.m || !s.n) {
      throw std::runtime_error("--shape " + o.shape + ": want KxMxN, three numbers from 1");
    }
    shapes.push_back(s);
  } else {
    SplitMix64 random(o.seed);
    for (std::uint32_t i = 0; i < o.shapes; ++i) {
      const std::uint32_t k = DrawSide(random, o.draw, o.side), m = DrawSide(random, o.draw, o.side);
      shapes.push_back({k, m, DrawSide(random, o.draw, o.side)});
    }
  }
  std::uint64_t all = 0;
  for (const Shape& s : shapes) all += BoundOfGemm(config.rows, s.k, s.m, s.n).columns;

  DeviceOptions device_options;
  device_options.config = config;
  std::uint64_t largest = 0;
  for (const Shape& s : shapes) {
    largest = std::max(largest, 2 * std::uint64_t{s.k} * (s.m + s.n) + 4 * std::uint64_t{s.m} * s.n);
  }
  device_options.dram_bytes = (std::max<std::uint64_t>(largest, 2 << 20) + (4 << 20)) / 4096 * 4096;
  VerilatedOptions verilated;
  verilated.lockstep = o.lockstep;
  const auto device = MakeVerilatedDevice(device_options, verilated);
  const std::string command = fmt::format("make bench-gemm CONFIG={}", config.name);
  Figures figures{std::string(config.name), command};
  Figures random_figures{std::string(config.name), fmt::format("{} DRAW={} SHAPES={}", command, o.draw, o.shapes)};
  Progress progress;
  bool met = true;
  const auto bar = [&](const char* what, double value, double least) {
    const bool ok = value >= least;
    met = met && ok;
    fmt::print("{}: {:.3f} %, {} >= {} %\n", what, value, ok ? "met:" : "NOT MET:", least);
  };
  fmt::print("core {}: {} x {} PEs, {} KiB of SBUF a partition, {}\n", config.name, config.rows, config.rows,
             config.sbuf_bytes / 1024,
             o.lockstep ? "every instruction in lockstep with the functional model" : "no lockstep");
  const auto quiet = [](std::uint64_t) {};

  if (o.cold) {
    const std::uint32_t side = 4 * config.rows;
    const Result r = Measure(*device, {side, side, side}, o.seed, o.lockstep, quiet);
    // The array can't start before the first tile is in, and the last column takes its way through array and foot.
    const auto bound = static_cast<double>(config.rows + r.bound + r.drain);
    const double of_bound = 100 * bound / static_cast<double>(r.busy);
    fmt::print(
        "\ncold {}^3 (4 x 4 x 4 tiles): {} cycles from the first instruction in the engine to the last sum in PSUM, "
        "bound {} = {} (first tile) + {} (columns) + {} (last column's way)\n",
        side, r.busy, bound, config.rows, r.bound, r.drain);
    fmt::print("fill {}, span {}, drain {}; {:.3f} % of cycles issue a column, the bound allows {:.3f} %\n", r.fill,
               r.span, r.drain, 100.0 * static_cast<double>(r.bound) / static_cast<double>(r.busy),
               100.0 * static_cast<double>(r.bound) / bound);
    bar("cold product, of its bound", of_bound, 99);
    const std::string note =
        fmt::format("{}^3, operands in SBUF, first instruction in the engine to last sum in PSUM", side);
    figures.Add("cold_cycles", static_cast<double>(r.busy), "cycles", note);
    figures.Add("cold_bound", bound, "cycles", "first tile, columns, way of the last column");
    figures.Add("cold_of_bound", of_bound, "%");
    figures.Add("cold_utilisation", 100.0 * static_cast<double>(r.bound) / static_cast<double>(r.busy), "%",
                fmt::format("fill and drain included; the bound allows {:.3f} %",
                            100.0 * static_cast<double>(r.bound) / bound));
  }
  if (o.square) {
    const Result r = Measure(*device, {512, 512, 512}, o.seed, o.lockstep, [&](std::uint64_t columns) {
      progress.Show(fmt::format(
          "512^3: {:.0f} %", 100.0 * static_cast<double>(columns) / (512.0 * 512 * 512 / config.rows / config.rows)));
    });
    progress.Clear();
    fmt::print(
        "\n512^3, {}: {} columns in {} cycles, {} stalls; {} cycles from doorbell to done with loads and stores\n",
        PlanText(r), r.bound, r.span, r.stalls, r.cycles);
    bar("512^3, of cycles between first and last product", r.utilisation(), 99.9);
    figures.Add("square_utilisation", r.utilisation(), "%",
                "512^3 bf16, A and B in SBUF, results leave meanwhile: columns / cycles from first to last product");
    figures.Add("square_cycles", static_cast<double>(r.span), "cycles",
                fmt::format("first to last product; {} columns", r.bound));
  }

  std::vector<Result> results;
  std::uint64_t done = 0, cycles = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Shape s = shapes[i];
    try {
      results.push_back(Measure(*device, s, o.seed + i, o.lockstep, [&](std::uint64_t columns) {
        progress.Show(fmt::format(
            "shape {} of {}, {} x {} x {}: {:.1f} % of {:.1f} million columns", i + 1, shapes.size(), s.k, s.m, s.n,
            100.0 * static_cast<double>(done + columns) / static_cast<double>(all), static_cast<double>(all) / 1e6));
      }));
    } catch (const std::exception& e) {
      throw std::runtime_error(
          fmt::format("shape {} of seed {}, {} x {} x {}: {}", i, o.seed, s.k, s.m, s.n, e.what()));
    }
    done += results.back().bound;
    cycles += results.back().cycles;
    if (o.verbose) Line(results.back());
  }
  progress.Clear();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!results.empty()) {
    std::vector<Result> sorted = results;
    std::sort(sorted.begin(), sorted.end(),
              [](const Result& a, const Result& b) { return a.utilisation() < b.utilisation(); });
    double mean = 0;
    std::uint64_t bounds = 0, spans = 0;
    for (const Result& r : results) {
      mean += r.utilisation() / static_cast<double>(results.size());
      bounds += r.bound;
      spans += r.span;
    }
    fmt::print("\n{} shapes (seed {}, sides {}, 1..{}); the worst:\n", results.size(), o.seed, o.draw, o.side);
    Title();
    for (std::size_t i = 0; i < std::min<std::size_t>(10, sorted.size()); ++i) Line(sorted[i]);
    fmt::print("\n% of the bound, shapes\n");
    Histogram(results);
    const double error = std::max_element(results.begin(), results.end(), [](const Result& a, const Result& b) {
                           return a.worst_error < b.worst_error;
                         })->worst_error;
    fmt::print("\nmean {:.3f} %, all columns over all cycles {:.3f} %\n", mean,
               100.0 * static_cast<double>(bounds) / static_cast<double>(spans));
    fmt::print(
        "{} million cycles in {:.0f} s; {} instructions equal the model; {} results within {:.3f} of their bound of "
        "double precision\n",
        cycles / 1000000, seconds, device->retired(), 64 * results.size(), error);
    bar("worst shape, of its bound", sorted[0].utilisation(), 90);
    const std::string note =
        fmt::format("{} shapes, seed {}, sides {} in 1..{}, all bit-exact", results.size(), o.seed, o.draw, o.side);
    random_figures.Add(
        fmt::format("{}_worst", o.draw), sorted[0].utilisation(), "%",
        fmt::format("{}; worst {} x {} x {} (K M N)", note, sorted[0].shape.k, sorted[0].shape.m, sorted[0].shape.n));
    random_figures.Add(fmt::format("{}_mean", o.draw), mean, "%", "of what the tiles allow");
  }
  for (const auto& v : device->AxiViolations()) fmt::print("AXI violation: {}\n", v);
  if (!device->AxiViolations().empty()) return 1;
  nlohmann::json all_figures = figures.list();
  if (o.shape.empty()) {
    for (const auto& f : random_figures.list()) all_figures.push_back(f);
  }
  if (!o.json.empty()) {
    nlohmann::json list = nlohmann::json::array();
    for (const Result& r : results) {
      list.push_back({{"k", r.shape.k},
                      {"m", r.shape.m},
                      {"n", r.shape.n},
                      {"b_stationary", r.plan.b_stationary},
                      {"slabs", r.plan.slabs.size()},
                      {"pack", r.plan.pack},
                      {"bound", r.bound},
                      {"span", r.span},
                      {"busy", r.busy},
                      {"stalls", r.stalls},
                      {"cycles", r.cycles},
                      {"utilisation", r.utilisation()}});
    }
    std::ofstream(o.json) << nlohmann::json{{"config", config.name},
                                            {"seed", o.seed},
                                            {"draw", o.draw},
                                            {"shapes", list},
                                            {"figures", all_figures}}
                                 .dump(1)
                          << "\n";
  }
  if (!o.out.empty()) std::ofstream(o.out) << nlohmann::json{{"figures", all_figures}}.dump(1) << "\n";
  return o.bars && !met ? 1 : 0;
}

}  // namespace
}  // namespace dither

int main(int argc, char** argv) {
  dither::Options o;
  CLI::App app{"Measure how busy the PE array is in matrix products (bf16), against what their tiles allow."};
  app.add_option("--shapes", o.shapes, "random shapes")->check(CLI::Range(0, 100000))->capture_default_str();
  app.add_option("--seed", o.seed, "of shapes and data, 64 bits")->capture_default_str();
  app.add_option("--draw", o.draw, "how sides are drawn: uniform, log, or mixed (each side one or the other)")
      ->check(CLI::IsMember({"uniform", "log", "mixed"}))
      ->capture_default_str();
  app.add_option("--max-side", o.side, "largest side")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--shape", o.shape, "this shape, KxMxN, instead of random ones");
  app.add_option("--config", o.config, "refuse to run on another configuration");
  app.add_flag("--square,!--no-square", o.square, "512^3 too (default)");
  app.add_flag("--cold,!--no-cold", o.cold, "the cold product of 4x4x4 tiles too (default)");
  app.add_flag("--lockstep,!--no-lockstep", o.lockstep,
               "compare every instruction with the functional model (default)");
  app.add_flag("--bars", o.bars, "exit with 1 if a bar is not met");
  app.add_flag("--verbose", o.verbose, "a line for every shape");
  app.add_option("--json", o.json, "write shapes and figures to this file");
  app.add_option("--out", o.out, "fragment of figures to write (for scripts/results.py)");
  CLI11_PARSE(app, argc, argv);
  try {
    return dither::Run(o);
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "\ngemm_bench: {}\n", e.what());
    return 1;
  }
}
