// The PE array at its own ports against sim/model/column_sum.hpp, bit for bit.
#include <catch2/catch.hpp>

#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "Vpe_array.h"
#include "sim/model/column_sum.hpp"
#include "tb/support/clocked.hpp"

namespace {

using dither::model::ColumnDot;

constexpr int kRows = sizeof(Vpe_array::x_i) / 2;
constexpr int kCols = sizeof(Vpe_array::res_o) / 4;
constexpr int kRowGroups = kRows / dither::model::kDotWidth;
constexpr int kColGroups = kCols / 8;
constexpr int kArrayLatency = kRowGroups + kColGroups + 1;

using Row16 = std::vector<std::uint16_t>;

void Put16(void* port, const Row16& v) { std::memcpy(port, v.data(), v.size() * 2); }

// Operands of one test: how wild they are is a dimension of the generator.
std::uint16_t RandomOperand(std::mt19937& rng, int kind) {
  const auto sign_man = static_cast<std::uint16_t>(rng() & 0x807f);
  switch (kind) {
    case 0: return static_cast<std::uint16_t>(sign_man | ((120 + rng() % 14) << 7));  // ordinary
    case 1: return static_cast<std::uint16_t>(sign_man | ((rng() % 255) << 7));       // any exponent, subnormals
    case 2: return static_cast<std::uint16_t>(rng());                                 // anything, NaN and infinity too
    case 3: return static_cast<std::uint16_t>((rng() & 0x8000) | (rng() % 4 ? 0 : rng() % 5));  // zeros, tiny
    default: return static_cast<std::uint16_t>((rng() & 0x8000) | 0x7f7f);            // largest finite: cancellation, overflow
  }
}

struct Column {
  std::uint64_t cycle;  // at which it entered (a = 0)
  bool acc;
  std::vector<std::uint32_t> psum, expected;
};

}  // namespace

TEST_CASE("every column sum equals the model while tiles swap without a gap", "[pe_array][random]") {
  const auto seed = GENERATE(range(1u, 4u));
  const auto kind = GENERATE(0, 1, 2, 3, 4);
  const auto gap = GENERATE(0, 40);  // percent of cycles without a moving column
  CAPTURE(seed, kind, gap);
  std::mt19937 rng(seed * 97 + kind);
  dither::tb::Clocked<Vpe_array> dut(seed);
  dut->w_valid_i = dut->swap_i = dut->x_valid_i = dut->acc_i = 0;

  std::vector<Row16> next(kCols, Row16(kRows)), active;  // [column][row]
  std::deque<Column> flight;
  std::uint64_t checked = 0;
  // A tile is kCols cycles of weights; while it loads, the tile before it computes.
  int load = 0;           // weight columns already sent
  bool swapped = false;   // the next moving column is the first on new weights
  for (auto& c : next) for (auto& v : c) v = RandomOperand(rng, kind);

  const auto sample = [&] {
    const std::uint64_t now = dut.cycle();
    for (auto& c : flight) {
      if (now == c.cycle + kArrayLatency + 5) {
        for (int j = 0; j < kCols; ++j) {
          std::uint32_t got;
          std::memcpy(&got, reinterpret_cast<const char*>(&dut->res_o) + 4 * j, 4);
          CAPTURE(j, c.acc, c.psum[j]);
          REQUIRE(got == c.expected[j]);
        }
        ++checked;
      }
    }
    while (!flight.empty() && flight.front().cycle + kArrayLatency + 5 <= now) flight.pop_front();
  };
  dut.OnSample(sample);

  const std::uint64_t tiles = 60;
  std::uint64_t tile = 0;
  int moved = 0, moving = 0;
  while (tile < tiles) {
    // PSUM words arrive when their column is ArrayLatency+2 old.
    dut->acc_i = 0;
    for (const auto& c : flight) {
      if (c.cycle + kArrayLatency + 2 == dut.cycle()) {
        dut->acc_i = c.acc;
        std::memcpy(&dut->psum_i, c.psum.data(), 4 * kCols);
      }
    }
    // Weights: one column a cycle, the last array column first.
    dut->w_valid_i = load < kCols;
    if (load < kCols) {
      Put16(&dut->w_i, next[kCols - 1 - load]);
      ++load;
    }
    // Moving columns of the active tile.
    dut->x_valid_i = 0;
    if (moved < moving && static_cast<int>(rng() % 100) >= gap) {
      Row16 x(kRows);
      for (auto& v : x) v = RandomOperand(rng, kind);
      Put16(&dut->x_i, x);
      dut->x_valid_i = 1;
      Column c{dut.cycle(), (rng() & 1) != 0, std::vector<std::uint32_t>(kCols), std::vector<std::uint32_t>(kCols)};
      for (int j = 0; j < kCols; ++j) {
        c.psum[j] = rng() % 3 ? (rng() & 0x807fffff) | ((rng() % 40 + 107) << 23) : rng();
        c.expected[j] = ColumnDot(x.data(), active[static_cast<std::size_t>(j)].data(), kRows, c.acc, c.psum[j]);
      }
      flight.push_back(c);
      ++moved;
    }
    // The swap comes in the cycle before the first column that uses the new weights.
    dut->swap_i = 0;
    if (load == kCols && moved == moving) {
      dut->swap_i = 1;
      swapped = true;
    }
    dut.Step();
    if (swapped) {
      swapped = false;
      active = next;
      for (auto& c : next) for (auto& v : c) v = RandomOperand(rng, kind);
      load = 0;
      moved = 0;
      moving = kCols + static_cast<int>(rng() % 4) * static_cast<int>(rng() % 9);
      ++tile;
    }
    REQUIRE(dut.cycle() < 100000);
  }
  REQUIRE(checked > 50 * kCols);
}
