// The rounders' statistics at full length, and the data of the pictures of docs/blocks/rounder.md.
//
// Without options: figures on standard output, and for scripts/results.py with --results FILE.
// --pictures DIR writes sums.dat, errors.dat and drift.dat instead.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/model/formats.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/lfsr.hpp"
#include "sim/stats/randomness.hpp"

namespace {

using dither::LaneSeed;
using dither::stats::Lane;

constexpr std::uint32_t kLanes = 32;  // of a tiny core
nlohmann::json figures = nlohmann::json::array();

void Figure(const std::string& name, double value, const std::string& unit) {
  fmt::print("{:<44} {:.6g} {}\n", name, value, unit);
  figures.push_back({{"name", "rounder." + name},
                     {"value", value},
                     {"unit", unit},
                     {"config", "32 lanes"},
                     {"command", "make stats-rounder"},
                     {"noisy", false}});
}

void Statistics() {
  for (const int one_over : {2, 4, 16, 256}) {
    const double fraction = 1.0 / one_over;
    double worst = 1;
    for (const std::uint32_t lane : {0u, 13u, 31u}) {
      const double ratio =
          dither::stats::VarianceRatio(Lane(LaneSeed(1, lane, kLanes)), fraction, 256, 1000000);
      if (std::fabs(ratio - 1) >= std::fabs(worst - 1)) worst = ratio;
    }
    Figure(fmt::format("variance_of_256_at_1_{}", one_over), worst, "ratio");
  }
  std::size_t beyond = 0, pairs = 0;
  double worst = 0;
  for (const int one_over : {2, 4, 16}) {
    std::vector<dither::stats::Decisions> lanes;
    for (std::uint32_t l = 0; l < kLanes; ++l) {
      lanes.push_back(dither::stats::Decide(Lane(LaneSeed(1, l, kLanes)), 1.0 / one_over, 1 << 20));
    }
    for (std::uint32_t a = 0; a < kLanes; ++a) {
      for (std::uint32_t b = 0; b < kLanes; ++b) {
        for (std::size_t lag = b <= a ? 1 : 0; lag <= 64; ++lag) {
          const double z = std::fabs(dither::stats::CorrelationSigmas(lanes[a], lanes[b], lag));
          ++pairs;
          beyond += z > 4;
          worst = std::max(worst, z);
        }
      }
    }
  }
  Figure("correlations", static_cast<double>(pairs), "pairs");
  Figure("correlations_beyond_4_sigma", static_cast<double>(beyond), "pairs");
  Figure("correlations_beyond_4_sigma_by_chance", static_cast<double>(pairs) * 6.334e-5, "pairs");
  Figure("correlation_worst", worst, "sigma");
  double chi = 0;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    for (const int low : {16, 8, 0}) {
      chi = std::max(chi, std::fabs(dither::stats::ChiSquareSigmas(Lane(LaneSeed(1, lane, kLanes)),
                                                                   low, 8, 1 << 22)));
    }
  }
  Figure("chi_square_worst_of_96", chi, "sigma");
  constexpr std::size_t kBits = 400020;  // as long as the longest such test in common use
  for (const bool whiten : {true, false}) {
    double shortest = kBits;
    for (int bit = 0; bit < dither::kRandomBits; ++bit) {
      Lane draw(LaneSeed(1, 3, kLanes), whiten);
      std::vector<std::uint8_t> bits(kBits);
      for (auto& b : bits) b = static_cast<std::uint8_t>(draw() >> bit & 1);
      shortest =
          std::min(shortest, static_cast<double>(dither::stats::LinearComplexity(bits)));
    }
    Figure(whiten ? "linear_complexity_of_400020" : "linear_complexity_of_400020_plain", shortest,
           "bits");
  }
}

float Value(std::uint32_t fp32) { return std::bit_cast<float>(fp32); }
std::uint32_t Bits(float value) { return std::bit_cast<std::uint32_t>(value); }

// A weight of bf16 and the same small update again and again.
struct Weight {
  dither::Round round;
  std::uint32_t bf16 = 0x3f80;
  Lane draw;
  void Add(float update) {
    const std::uint32_t sum =
        dither::Fp32Add(dither::WidenToFp32(dither::Dtype::kBf16, bf16), Bits(update));
    bf16 = dither::NarrowFromFp32(dither::Dtype::kBf16, sum, round, false, draw());
  }
  double value() const { return Value(dither::WidenToFp32(dither::Dtype::kBf16, bf16)); }
};

void Pictures(const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  constexpr float kUpdate = 1e-4f;  // of a weight of 1: a 78th of a bf16 unit
  constexpr int kSteps = 10000, kRuns = 512;
  const auto lane = [](std::uint32_t n) { return Lane(LaneSeed(1, n, kRuns)); };

  std::ofstream sums(directory / "sums.dat"), drift(directory / "drift.dat");
  sums << "# step, exact, fp32, bf16 nearest, bf16 stochastic, bf16 toward zero\n";
  drift << "# step, mean error nearest, stochastic (512 runs), its 4 sigma, fp32\n";
  Weight nearest{dither::Round::kRne, 0x3f80, lane(0)}, zero{dither::Round::kRtz, 0x3f80, lane(0)};
  std::vector<Weight> runs;
  for (std::uint32_t n = 0; n < kRuns; ++n) runs.push_back({dither::Round::kSr, 0x3f80, lane(n)});
  float fp32 = 1;
  for (int step = 0; step <= kSteps; ++step) {
    const double exact = 1 + static_cast<double>(kUpdate) * step;
    double mean = 0, squares = 0;
    for (const Weight& w : runs) {
      const double error = w.value() - exact;
      mean += error / kRuns;
      squares += error * error / kRuns;
    }
    if (step % 20 == 0) {
      sums << step << ' ' << exact << ' ' << fp32 << ' ' << nearest.value() << ' '
           << runs[0].value() << ' ' << zero.value() << '\n';
      drift << step << ' ' << nearest.value() - exact << ' ' << mean << ' '
            << 4 * std::sqrt((squares - mean * mean) / kRuns) << ' ' << fp32 - exact << '\n';
    }
    nearest.Add(kUpdate);
    zero.Add(kUpdate);
    for (Weight& w : runs) w.Add(kUpdate);
    fp32 = Value(dither::Fp32Add(Bits(fp32), Bits(kUpdate)));
  }

  // Errors of single roundings of numbers spread evenly over a binade, in units of the last place.
  std::ofstream errors(directory / "errors.dat");
  errors << "# error in bf16 units, density nearest, stochastic, toward zero\n";
  constexpr int kBins = 80;
  std::vector<double> counts[3];
  for (auto& c : counts) c.assign(kBins, 0);
  Lane numbers(12345), words(LaneSeed(1, 7, kLanes));
  constexpr int kCount = 4000000;
  for (int n = 0; n < kCount; ++n) {
    const std::uint32_t x = 0x3f800000 | (numbers() & 0x7fffff);
    const std::uint32_t word = words();
    const dither::Round rounds[] = {dither::Round::kRne, dither::Round::kSr, dither::Round::kRtz};
    for (int r = 0; r < 3; ++r) {
      const std::uint32_t y =
          dither::NarrowFromFp32(dither::Dtype::kBf16, x, rounds[r], false, word) << 16;
      const double error = (static_cast<double>(Value(y)) - Value(x)) * 128;
      const int bin = std::clamp(static_cast<int>((error + 1) * kBins / 2), 0, kBins - 1);
      counts[r][static_cast<std::size_t>(bin)] += 1;
    }
  }
  for (int bin = 0; bin < kBins; ++bin) {
    errors << (bin + 0.5) * 2 / kBins - 1;
    for (const auto& c : counts) {
      errors << ' ' << c[static_cast<std::size_t>(bin)] * kBins / 2 / kCount;
    }
    errors << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Statistics of the rounders' random words");
  std::string pictures, results;
  app.add_option("--pictures", pictures, "directory for the pictures' data");
  app.add_option("--results", results, "file of figures for scripts/results.py");
  CLI11_PARSE(app, argc, argv);
  if (!pictures.empty()) {
    Pictures(pictures);
    return 0;
  }
  Statistics();
  if (!results.empty()) {
    std::filesystem::create_directories(std::filesystem::path(results).parent_path());
    std::ofstream(results) << figures.dump(1) << '\n';
  }
}
