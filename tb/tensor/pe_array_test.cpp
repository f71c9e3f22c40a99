// The PE array at its own ports against sim/model/column_sum.hpp, bit for bit.
#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "Vpe_array.h"
#include "sim/model/column_sum.hpp"
#include "tb/support/clocked.hpp"
#include "tb/tensor/array_port.hpp"

namespace {

using dither::model::ColumnDot;

using dither::isa::Dtype;
using dither::model::Factor;
using dither::tb::ArrayMode;
using dither::tb::kArrayLatency;
using dither::tb::kArrayPairs;
using dither::tb::PortColumn;
using dither::tb::PutOperands;
using dither::tb::PutWords;

constexpr int kCols = dither::tb::kArrayCols;
constexpr int kRows = kCols;
constexpr int kWidth = dither::tb::kArrayPeRows;

using Row16 = std::vector<std::uint16_t>;

// Operands of one test: how wild they are is a dimension of the generator.
std::uint16_t RandomOperand(std::mt19937& rng, int kind) {
  const auto sign_man = static_cast<std::uint16_t>(rng() & 0x807f);
  switch (kind) {
    case 0: return static_cast<std::uint16_t>(sign_man | ((120 + rng() % 14) << 7));  // ordinary
    case 1: return static_cast<std::uint16_t>(sign_man | ((rng() % 255) << 7));       // any exponent, subnormals
    case 2: return static_cast<std::uint16_t>(rng());                                 // anything, NaN and infinity too
    case 3: return static_cast<std::uint16_t>((rng() & 0x8000) | (rng() % 4 ? 0 : rng() % 5));  // zeros, tiny
    case 4: {  // corners side by side: zero times anything, infinity times zero, neighbours of a tie
      constexpr std::uint16_t kCorner[] = {0, 0, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3f81, 0x2f80, 0x7f7f, 0x7f80};
      return static_cast<std::uint16_t>((rng() & 0x8000) | kCorner[rng() % (rng() % 4 ? 8 : 10)]);
    }
    case 5: return static_cast<std::uint16_t>((rng() & 0x8000) | 0x7f7f);  // largest finite: cancellation, overflow
    case 6: return static_cast<std::uint16_t>((rng() & 0x8000) | rng() % 256);  // integers: subnormal patterns
    default: return static_cast<std::uint16_t>(rng() % 64 ? sign_man | (125 + rng() % 4) << 7 : rng());  // a NaN now and then
  }
}

// Kinds beyond these are of arrays with pairs: words that are legal in every mode, so that the mode changes from column
// to column on the same weights; fp8 pairs, format by format; int8 pairs.
constexpr int kSingleKinds = 8, kAnyMode = 8, kFirstFp8 = 9, kInt8Pairs = 13, kKinds = kArrayPairs ? 14 : kSingleKinds;

// An fp8 or int8 byte: of a few binades, or any.
std::uint8_t RandomByte(std::mt19937& rng, Dtype dtype) {
  const std::uint32_t r = rng();
  if (dtype == Dtype::kInt8) return static_cast<std::uint8_t>(r >> 8 & 3 ? r : r & 1 ? 0x80 : 0x7f);
  const int man = dtype == Dtype::kFp8E4M3 ? 3 : 2;
  switch (r >> 8 & 7) {
    case 0: return static_cast<std::uint8_t>(r >> 16 & 15 ? r & ~0x60u : r);                  // small, rarely anything
    case 1: return static_cast<std::uint8_t>((r & 0x80) | (r >> 16) % (2u << man));            // subnormal or just above
    case 2: return static_cast<std::uint8_t>((r & 0x80) | (dtype == Dtype::kFp8E4M3 ? 0x7e : 0x7b));  // largest
    default: return static_cast<std::uint8_t>((r & 0x80) | (0x30 + (r >> 16) % 0x18));          // ordinary
  }
}

PortColumn RandomColumn(std::mt19937& rng, int kind, bool moving) {
  PortColumn column;
  if (kind < kSingleKinds) {
    Row16 bits(kRows);
    for (auto& b : bits) b = RandomOperand(rng, kind);
    return dither::tb::SingleColumn(bits);
  }
  for (int r = 0; r < kRows; ++r) {
    if (kind == kAnyMode) {
      // No exponent and no significand of any mode is zero, magnitudes stay below 128, and the signs are one.
      const std::uint32_t e = (1 + rng() % 3) << 5 | (1 + rng() % (rng() % 64 ? 30 : 31));
      const std::uint32_t m = (1 + rng() % 7) << 4 | (1 + rng() % 15);
      column.words.push_back((rng() & 1 ? 0x90000u : 0) | (rng() % 4) << 17 | e << 8 | m);
      continue;
    }
    Dtype dtype = Dtype::kInt8;
    if (kind < kInt8Pairs) {
      const bool second = ((kind - kFirstFp8) >> (moving ? 0 : 1) & 1) != 0;
      dtype = second ? Dtype::kFp8E5M2 : Dtype::kFp8E4M3;
    }
    const Factor f0 = dither::model::ToPairFactor(dtype, RandomByte(rng, dtype));
    const Factor f1 = dither::model::ToPairFactor(dtype, RandomByte(rng, dtype));
    column.words.push_back(PairWord(dtype == Dtype::kInt8 ? dither::tb::kModeInt8 : dither::tb::kModeFp8, f0, f1, &column.nan));
  }
  return column;
}

ArrayMode ModeOf(std::mt19937& rng, int kind) {
  if (kind == kAnyMode) return static_cast<ArrayMode>(rng() % 3);
  return kind < kSingleKinds ? dither::tb::kModeSingle : kind < kInt8Pairs ? dither::tb::kModeFp8 : dither::tb::kModeInt8;
}

struct Column {
  std::uint64_t cycle;  // at which it entered (a = 0)
  bool acc;
  bool integer;
  int shift;  // bytes, of an integer
  std::vector<std::uint32_t> psum, expected;
};

}  // namespace

TEST_CASE("every column sum equals the model while tiles swap without a gap", "[pe_array][random]") {
  const auto seed = GENERATE(range(1u, 4u));
  // The kind that every tile has; -1: each another one.
  const auto all_kinds = GENERATE(range(-1, kKinds));
  const auto gap = GENERATE(0, 40);    // percent of cycles without a moving column
  const auto w_gap = gap == 0 ? 0 : 25;  // and, while a tile loads, without a stationary one
  CAPTURE(seed, all_kinds, gap);
  std::mt19937 rng(seed * 97 + static_cast<unsigned>(all_kinds));
  dither::tb::Clocked<Vpe_array> dut(seed);
  dut->w_valid_i = dut->swap_i = dut->x_valid_i = dut->acc_i = dut->int_i = 0;

  std::vector<PortColumn> next(kCols), active(kCols);
  int kind = all_kinds < 0 ? 0 : all_kinds, next_kind = kind;  // of the tiles
  std::deque<Column> flight;
  std::uint64_t checked = 0;
  int mode_changes = 0;
  ArrayMode last_mode = dither::tb::kModeSingle;
  // A tile is kCols cycles of weights; while it loads, the tile before it computes.
  int load = 0;           // weight columns already sent
  bool swapped = false;   // the next moving column is the first on new weights
  for (auto& c : next) c = RandomColumn(rng, next_kind, false);

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

  const std::uint64_t tiles = all_kinds < 0 ? 120 : 60;
  std::uint64_t tile = 0;
  int moved = 0, moving = 0;
  const auto noise = [&](void* port) {
    std::vector<std::uint32_t> words(kRows);
    for (auto& w : words) w = rng() & ((1u << dither::tb::kOperandBits) - 1);
    PutWords(port, words);
  };
  while (tile < tiles) {
    // PSUM words arrive when their column is ArrayLatency+2 old.
    dut->acc_i = 0;
    dut->int_i = static_cast<bool>(rng() & 1);  // what no column uses may be anything
    dut->shift_i = rng() % 4;
    for (const auto& c : flight) {
      if (c.cycle + kArrayLatency == dut.cycle()) {
        dut->int_i = c.integer;
        dut->shift_i = static_cast<std::uint8_t>(c.shift);
      }
      if (c.cycle + kArrayLatency + 2 == dut.cycle()) {
        dut->acc_i = c.acc;
        std::memcpy(&dut->psum_i, c.psum.data(), 4 * kCols);
      }
    }
    // Weights: one column a cycle, the last array column first.
    dut->w_valid_i = load < kCols && static_cast<int>(rng() % 100) >= w_gap;
    if (dut->w_valid_i) {
      PutWords(&dut->w_i, next[kCols - 1 - load].words);
      dut->w_nan_i = next[kCols - 1 - load].nan;
      ++load;
    } else {
      noise(&dut->w_i);
      dut->w_nan_i = static_cast<bool>(rng() & 1);
    }
    // Moving columns of the active tile.
    dut->x_valid_i = moved < moving && static_cast<int>(rng() % 100) >= gap;
    if (dut->x_valid_i) {
      const PortColumn x = RandomColumn(rng, kind, true);
      PutWords(&dut->x_i, x.words);
      dut->x_nan_i = x.nan;
      const ArrayMode mode = ModeOf(rng, kind);
      dut->mode_i = mode;
      mode_changes += mode != last_mode;
      last_mode = mode;
      const std::vector<Factor> xf = FactorsOf(mode, x.words);
      const int each = mode == dither::tb::kModeSingle ? 1 : 2;
      const bool integers = kind == 6 || mode == dither::tb::kModeInt8;
      Column c{dut.cycle(), (rng() & 1) != 0, integers && (kind != 6 || rng() % 4 != 0), static_cast<int>(rng() % 4),
               std::vector<std::uint32_t>(kCols), std::vector<std::uint32_t>(kCols)};
      for (int j = 0; j < kCols; ++j) {
        c.psum[j] = rng() % 3 ? (rng() & 0x807fffff) | ((rng() % 40 + 107) << 23) : rng();
        const PortColumn& w = active[static_cast<std::size_t>(j)];
        const std::vector<Factor> wf = FactorsOf(mode, w.words);
        c.expected[j] = ColumnDot(xf.data(), wf.data(), kRows * each, kWidth * each, c.acc, c.psum[j]);
        if (x.nan || w.nan) c.expected[j] = dither::model::kCanonicalNan;
        if (!c.integer) continue;
        // Plain integer arithmetic is the referee here, not the column's formula.
        std::uint32_t sum = 0;
        for (std::size_t k = 0; k < xf.size(); ++k) {
          const std::uint32_t product = xf[k].m * wf[k].m;
          sum += xf[k].negative != wf[k].negative ? 0 - product : product;
        }
        c.expected[j] = (sum << (8 * c.shift)) + (c.acc ? c.psum[j] : 0);
      }
      flight.push_back(c);
      ++moved;
    } else {
      noise(&dut->x_i);
      dut->x_nan_i = static_cast<bool>(rng() & 1);
      dut->mode_i = kArrayPairs ? rng() % 3 : 0;
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
      kind = next_kind;
      if (all_kinds < 0) next_kind = static_cast<int>(rng() % kKinds);
      for (auto& c : next) c = RandomColumn(rng, next_kind, false);
      load = 0;
      moved = 0;
      moving = kCols + static_cast<int>(rng() % 4) * static_cast<int>(rng() % 9);
      ++tile;
    }
    REQUIRE(dut.cycle() < 100000);
  }
  REQUIRE(checked > 50 * kCols);
  if (kArrayPairs && all_kinds == kAnyMode) REQUIRE(mode_changes > 25 * kCols);
}

// One row of operands through weights w in all columns, onto *psum if there is one: every result is `expected`.
void RequireColumns(const Row16& x, const Row16& w, const std::uint32_t* psum, std::uint32_t expected) {
  dither::tb::Clocked<Vpe_array> dut(1);
  dut->w_valid_i = dut->swap_i = dut->x_valid_i = dut->int_i = 0;
  dut->acc_i = psum != nullptr;
  const std::vector<std::uint32_t> words(kCols, psum != nullptr ? *psum : 0);
  std::memcpy(&dut->psum_i, words.data(), 4 * kCols);
  for (int c = 0; c < kCols; ++c) {
    dut->w_valid_i = 1;
    dut->w_nan_i = PutOperands(&dut->w_i, w);
    dut.Step();
  }
  dut->w_valid_i = 0;
  dut->swap_i = 1;
  dut.Step();
  dut->swap_i = 0;
  dut->x_valid_i = 1;
  dut->x_nan_i = PutOperands(&dut->x_i, x);
  dut->mode_i = 0;
  dut.Step();
  dut->x_valid_i = 0;
  dut.Run(kArrayLatency + 4);
  dut->eval();
  for (int j = 0; j < kCols; ++j) {
    std::uint32_t got;
    std::memcpy(&got, reinterpret_cast<const char*>(&dut->res_o) + 4 * j, 4);
    REQUIRE(got == expected);
  }
}

TEST_CASE("a bit below the foot's significand turns a tie into rounding up", "[pe_array][directed]") {
  // 31 products of 57600 and one of 33003 * 2^-19, of which 257 / 2^12 is kept: the sum 6975 * 2^20 + 257 has half a
  // unit of the result in bit 8 and, below the foot's 32 bits, bit 0. Fewer than 32 rows can't reach its leading bit.
  if (kRows < 32) {
    SUCCEED("needs 32 rows");
    return;
  }
  Row16 x(kRows, 0), w(kRows, 0);
  for (int i = 0; i < 31; ++i) x[i] = w[i] = 0x3ff0;  // 240 * 2^-7
  x[31] = 117 << 7 | (171 & 0x7f);
  w[31] = 118 << 7 | (193 & 0x7f);
  const double rounded = std::ldexp(6975.0 * (1 << 20) + 512, -26);
  const auto expected = std::bit_cast<std::uint32_t>(static_cast<float>(rounded));
  REQUIRE(ColumnDot(x.data(), w.data(), kRows, kWidth, false, 0) == expected);

  RequireColumns(x, w, nullptr, expected);
}

TEST_CASE("a PSUM word that leaves the foot's window altogether still decides a tie", "[pe_array][directed]") {
  // The column is 2^e (1 + half / 2^24), a tie; the word is the smallest of fp32, of either sign.
  // At e = -81 it moves by 45 places, which the leading one of a normal word survives and this bit does not; at e = 0 by 126.
  const int e = GENERATE(-81, 0), half = GENERATE(1, 3);
  const bool negative = GENERATE(false, true);
  Row16 x(kRows, 0), w(kRows, 0x3f80);
  x[0] = static_cast<std::uint16_t>((127 + e) << 7);
  x[1] = static_cast<std::uint16_t>(half == 1 ? (127 + e - 24) << 7 : (127 + e - 23) << 7 | 0x40);
  const std::uint32_t psum = negative ? 0x80000001u : 1u;
  const auto expected = static_cast<std::uint32_t>((127 + e) << 23 | (half + (negative ? -1 : 1)) / 2);
  CAPTURE(e, half, negative);
  CHECK(ColumnDot(x.data(), w.data(), kRows, kWidth, true, psum) == expected);

  RequireColumns(x, w, &psum, expected);
}
