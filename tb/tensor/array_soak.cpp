// Random and directed dot products through the array, RTL = sim/model/column_sum.hpp, as many as asked for.
//
// Work comes in blocks: a tile of weights and 64 to 95 moving columns on it, while the next tile loads. A block is made
// from the seed and its number alone, so that --first repeats or continues a run. Each cycle has a mode of its own:
// accumulate or not, a gap now and then, and on integer weights float or integer with its byte shift. A word of a result is a dot product.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "Vpe_array.h"
#include "sim/model/column_sum.hpp"
#include "tb/tensor/array_port.hpp"

namespace {

using dither::model::ColumnSum;

constexpr int kCols = dither::tb::kArrayCols, kRows = kCols;
constexpr int kWidth = dither::tb::kArrayPeRows;
constexpr int kLatency = dither::tb::kArrayLatency;
constexpr int kRing = 32;  // columns in flight, by cycle
static_assert(kLatency + 5 < kRing);

// SplitMix64: one step a draw, any seed is good.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  std::uint32_t Below(std::uint32_t n) { return static_cast<std::uint32_t>(((*this)() >> 32) * n >> 32); }

 private:
  std::uint64_t state_;
};

constexpr int kKinds = 9, kIntegers = 6;
std::uint16_t Operand(Random& rng, int kind, std::uint32_t centre) {
  const std::uint64_t r = rng();
  const auto sign_man = static_cast<std::uint16_t>(r & 0x807f);
  const auto n = static_cast<std::uint32_t>(r >> 32);
  const auto signed_of = [&](std::uint32_t v) { return static_cast<std::uint16_t>((r & 0x8000) | v); };
  switch (kind) {
    case 0: return static_cast<std::uint16_t>(sign_man | (120 + n % 14) << 7);            // ordinary
    case 1: return static_cast<std::uint16_t>(sign_man | (n % 255) << 7);                 // any exponent
    case 2: return static_cast<std::uint16_t>(n);                                         // anything, NaN too
    case 3: return signed_of(n % 4 ? 0 : (n >> 8) % 200);                                 // zeros, tiny
    case 4: {                                                                             // corners side by side
      constexpr std::uint16_t kCorner[] = {0, 0, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3f81, 0x2f80, 0x7f7f, 0x7f80};
      return signed_of(kCorner[(n >> 8) % (n % 16 ? 8 : 10)]);
    }
    case 5: return signed_of(0x7f7f);                                                     // cancellation, overflow
    case kIntegers: return signed_of(n % 129);                                            // int8
    case 7: return static_cast<std::uint16_t>(sign_man | (centre + n % 20) << 7);         // shifts of every distance
    default: return static_cast<std::uint16_t>((r & 0x8070) | (112 + n % 30) << 7);       // fp8
  }
}

struct Block {
  int kind, x_kind;
  std::uint32_t centre, columns;
  std::vector<std::vector<std::uint16_t>> w;  // [column][row]
  Random rng;                                 // for the moving columns
  Block(std::uint64_t seed, std::uint64_t number) : rng(seed ^ number * 0xd1342543de82ef95u) {
    rng();
    kind = rng.Below(3) ? static_cast<int>(rng.Below(kKinds)) : kIntegers;
    x_kind = rng.Below(3) ? kind : static_cast<int>(rng.Below(kKinds));
    centre = rng.Below(235);
    columns = 64 + rng.Below(32);
    w.assign(kCols, std::vector<std::uint16_t>(kRows));
    for (auto& column : w) for (auto& v : column) v = Operand(rng, kind, centre);
  }
};

// What a moving column wants when it gets to the feet, and what has to come out.
struct Flight {
  bool valid = false, integer = false, acc = false;
  int shift = 0;
  std::uint64_t block = 0;
  std::uint32_t psum[kCols], expected[kCols];
};

struct Totals {
  std::uint64_t dots = 0, floats = 0, integers = 0, accumulated = 0, mode_changes = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t dots = 1000000, seed = 1, first = 0;
  bool broken = false;
  CLI::App app{"Random and directed dot products: the array against the model, bit for bit."};
  app.add_option("--dots", dots, "dot products to compare (result words)")->capture_default_str();
  app.add_option("--seed", seed, "any 64-bit number; the same one gives the same operands")->capture_default_str();
  app.add_option("--first", first, "number of the first block: to repeat a failure or to go on")->capture_default_str();
  app.add_flag("--broken", broken, "flip the last bit of one expected word: the run has to fail");
  CLI11_PARSE(app, argc, argv);

  VerilatedContext context;
  context.randReset(2);
  context.randSeed(static_cast<int>(seed & 0x7fffffff) | 1);
  Vpe_array dut(&context, "top");
  dut.rst_ni = 0;
  const auto edge = [&] {
    dut.clk_i = 1;
    dut.eval();
    dut.clk_i = 0;
  };
  dut.w_valid_i = dut.swap_i = dut.x_valid_i = 0;
  dut.clk_i = 0;
  dut.eval();
  for (int i = 0; i < 4; ++i) edge();
  dut.rst_ni = 1;

  const auto start = std::chrono::steady_clock::now();
  auto told = start;
  std::vector<Flight> ring(kRing);
  Totals totals;
  std::uint64_t number = first, cycle = 0;
  Block current(seed, number), next(seed, number + 1);
  Random noise(seed + 1);
  std::vector<std::uint16_t> x(kRows);
  // The first tile loads alone: a block without columns before it.
  std::uint32_t moved = 0, loaded = 0;
  bool first_load = true;
  int last_mode = 0;
  std::uint64_t draining = 0;
  while (draining < kRing) {
    Flight& slot = ring[cycle % kRing];
    slot.valid = false;
    dut.x_valid_i = dut.w_valid_i = dut.swap_i = 0;
    const bool finished = totals.dots >= dots;
    if (finished) ++draining;
    const Block& loading = first_load ? current : next;
    if (!finished) {
      if (loaded < kCols) {
        dut.w_valid_i = 1;
        dut.w_nan_i = dither::tb::PutOperands(&dut.w_i, loading.w[kCols - 1 - loaded]);
        ++loaded;
      }
      if (!first_load && moved < current.columns && noise.Below(16) != 0) {
        const std::uint64_t mode = current.rng();
        slot.integer = current.kind == kIntegers && (mode >> 1 & 1) != 0;
        for (auto& v : x) v = Operand(current.rng, slot.integer ? kIntegers : current.x_kind, current.centre);
        dut.x_valid_i = 1;
        dut.x_nan_i = dither::tb::PutOperands(&dut.x_i, x);
        slot.valid = true;
        slot.block = number;
        slot.acc = mode & 1;
        slot.shift = static_cast<int>(mode >> 3 & 3);
        for (int j = 0; j < kCols; ++j) {
          const std::uint64_t r = current.rng();
          slot.psum[j] = static_cast<std::uint32_t>(
              r % 3 ? (r >> 32 & 0x807fffff) | ((r >> 8) % 40 + 107) << 23 : r >> 32);
          const std::uint16_t* w = current.w[static_cast<std::size_t>(j)].data();
          ColumnSum sum;
          for (int i = 0; i < kRows; i += kWidth) sum.AddGroup(x.data() + i, w + i, kWidth);
          slot.expected[j] = slot.integer ? sum.FinishInt(slot.acc, slot.psum[j], slot.shift)
                                          : sum.Finish(slot.acc, slot.psum[j]);
        }
        if (broken && totals.dots == 0) slot.expected[kCols - 1] ^= 1;
        ++moved;
        totals.dots += kCols;
        (slot.integer ? totals.integers : totals.floats) += kCols;
        totals.accumulated += slot.acc ? kCols : 0;
        const int now = slot.integer << 3 | slot.acc << 2 | (slot.integer ? slot.shift : 0);
        totals.mode_changes += now != last_mode;
        last_mode = now;
      }
      if (loaded == kCols && (first_load || moved == current.columns)) {
        dut.swap_i = 1;
        if (!first_load) {
          ++number;
          current = std::move(next);
          next = Block(seed, number + 1);
        }
        first_load = false;
        loaded = moved = 0;
      }
    }
    // Modes and PSUM words belong to columns of earlier cycles; in between they are noise.
    const std::uint64_t any = noise();
    dut.int_i = any & 1;
    dut.shift_i = any >> 1 & 3;
    dut.acc_i = any >> 3 & 1;
    if (cycle >= kLatency) {
      const Flight& f = ring[(cycle - kLatency) % kRing];
      if (f.valid) {
        dut.int_i = f.integer;
        dut.shift_i = static_cast<std::uint8_t>(f.shift);
      }
    }
    if (cycle >= kLatency + 2) {
      const Flight& f = ring[(cycle - kLatency - 2) % kRing];
      if (f.valid) {
        dut.acc_i = f.acc;
        std::memcpy(&dut.psum_i, f.psum, sizeof f.psum);
      }
    }
    dut.eval();
    if (cycle >= kLatency + 5) {
      const Flight& f = ring[(cycle - kLatency - 5) % kRing];
      if (f.valid && std::memcmp(&dut.res_o, f.expected, sizeof f.expected) != 0) {
        std::uint32_t got[kCols];
        std::memcpy(got, &dut.res_o, sizeof got);
        for (int j = 0; j < kCols; ++j) {
          if (got[j] == f.expected[j]) continue;
          std::fprintf(stderr, "array_soak: column %d is %08x, has to be %08x (%s, psum %08x)\n"
                       "array_soak: repeat with --seed %llu --first %llu\n", j, got[j], f.expected[j],
                       f.integer ? "int" : "float", f.acc ? f.psum[j] : 0, static_cast<unsigned long long>(seed),
                       static_cast<unsigned long long>(f.block));
          break;
        }
        dut.final();
        return 1;
      }
    }
    edge();
    ++cycle;
    if ((cycle & 0xffff) == 0) {
      const auto now = std::chrono::steady_clock::now();
      const std::chrono::duration<double> took = now - start, since = now - told;
      if (since.count() > 10) {
        told = now;
        const double rate = static_cast<double>(totals.dots) / took.count();
        std::fprintf(stderr, "array_soak: %.1f of %.1f million, %.2f million/s, %.0f s to go, block %llu\n",
                     totals.dots / 1e6, dots / 1e6, rate / 1e6, static_cast<double>(dots - totals.dots) / rate,
                     static_cast<unsigned long long>(number));
      }
    }
  }
  dut.final();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("array_soak: %llu dot products agree (%llu float, %llu int, %llu accumulated; %llu changes of mode; "
              "seed %llu, blocks %llu to %llu), %.1f s\n", static_cast<unsigned long long>(totals.dots),
              static_cast<unsigned long long>(totals.floats), static_cast<unsigned long long>(totals.integers),
              static_cast<unsigned long long>(totals.accumulated), static_cast<unsigned long long>(totals.mode_changes),
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(number), took.count());
  return totals.dots >= dots ? 0 : 1;
}
