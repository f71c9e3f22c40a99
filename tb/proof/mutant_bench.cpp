// The mutated PE (scripts/mutants.py) against sim/model/column_sum.hpp: which mutants does the test notice?
//
// usage: bench FIRST LAST CYCLES SEED     prints for each mutant the cycle of the first difference, or `alive`.
// A dot product enters every cycle, with operands of every kind beside each other; weights move and swap at random.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "Vmutant_pe.h"
#include "sim/model/column_sum.hpp"

namespace {

using dither::model::ColumnSum;

// As scripts/mutants.py sets the PE: no cuts.
constexpr int kD = 4, kSumW = 32, kEarly = 1, kLate = 1, kSteps = 3;

// One dot product and what it meets: everything is drawn once and used by every mutant.
struct Vector {
  std::uint16_t x[kD], w[kD];  // bf16 patterns, no NaN
  bool shift, swap;
  std::uint16_t n_exp;
  std::uint32_t n_sum;
  std::uint8_t n_flags;
  // What has to come out for it, with the weights that are active then.
  std::uint16_t s_exp;
  std::uint32_t s_sum;
  std::uint8_t s_flags;
  std::uint16_t w_out[kD];  // shadow weights in this cycle
  bool checked;
};

std::uint16_t RandomOperand(std::mt19937_64& rng, int kind, int centre) {
  const auto sign_man = static_cast<std::uint16_t>(rng() & 0x807f);
  std::uint16_t v = 0;
  switch (kind) {
    case 0: v = static_cast<std::uint16_t>(sign_man | (120 + rng() % 14) << 7); break;
    case 1: v = static_cast<std::uint16_t>(sign_man | (centre + rng() % 20) << 7); break;  // within reach of a shift
    case 2: v = static_cast<std::uint16_t>(rng()); break;
    case 3: v = static_cast<std::uint16_t>((rng() & 0x8000) | (rng() % 3 ? 0 : rng() % 200)); break;
    case 4: v = static_cast<std::uint16_t>((rng() & 0x8000) | 0x7f7f); break;
    case 5: v = static_cast<std::uint16_t>((rng() & 0x8000) | rng() % 129); break;  // int8
    default: {
      constexpr std::uint16_t kCorner[] = {0, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3f81, 0x3fff, 0x7f7f, 0x7f80, 0x7f80};
      v = static_cast<std::uint16_t>((rng() & 0x8000) | kCorner[rng() % 10]);
    }
  }
  if ((v & 0x7f80) == 0x7f80) v &= 0xff80;  // NaN never comes here
  return v;
}

std::vector<Vector> MakeVectors(int cycles, std::uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<Vector> vectors(static_cast<std::size_t>(cycles));
  std::uint16_t shadow[kD] = {}, active[kD] = {};
  for (int t = 0; t < cycles; ++t) {
    Vector& v = vectors[static_cast<std::size_t>(t)];
    const int kind = static_cast<int>(rng() % 8), w_kind = rng() % 2 ? kind : static_cast<int>(rng() % 8);
    const int centre = static_cast<int>(rng() % 235);
    for (int i = 0; i < kD; ++i) {
      v.x[i] = RandomOperand(rng, kind, centre);
      v.w[i] = RandomOperand(rng, w_kind, centre);
    }
    // The first cycles load weights; after them nothing is unknown.
    v.shift = t < 3 || rng() % 3 != 0;
    v.swap = t < 3 || rng() % 2 != 0;
    std::memcpy(v.w_out, shadow, sizeof shadow);
    ColumnSum plain;
    plain.AddGroup(v.x, active, kD);
    const auto near = static_cast<std::int32_t>(rng() % 72) - 36;
    std::int32_t n_exp = rng() % 4 ? plain.exp + near : static_cast<std::int32_t>(rng() % 509);
    if (n_exp < 0 || rng() % 16 == 0) n_exp = 0;
    if (n_exp > 508) n_exp = 508;
    v.n_exp = static_cast<std::uint16_t>(n_exp);
    v.n_sum = static_cast<std::uint32_t>(static_cast<std::int32_t>(rng()) >> (rng() % 30));
    v.n_flags = rng() % 4 ? 0 : rng() & 7;
    ColumnSum sum;
    sum.exp = v.n_exp;
    sum.sum = static_cast<std::int32_t>(v.n_sum);
    sum.AddGroup(v.x, active, kD);
    v.s_exp = static_cast<std::uint16_t>(sum.exp);
    v.s_sum = static_cast<std::uint32_t>(sum.sum);
    v.s_flags = static_cast<std::uint8_t>(sum.flags.nan << 2 | sum.flags.pos_inf << 1 | sum.flags.neg_inf) | v.n_flags;
    v.checked = t >= 3;
    if (v.swap) std::memcpy(active, shadow, sizeof active);  // as it was before this cycle
    if (v.shift) std::memcpy(shadow, v.w, sizeof shadow);
  }
  return vectors;
}

// Once a NaN was seen, infinities no longer matter.
int Known(int flags) { return flags & 4 ? 4 : flags; }

struct Operands {
  std::uint32_t exp = 0, sig = 0, sign = 0, nonzero = 0, infinite = 0;
  std::uint64_t triple = 0;
};
Operands Split(const std::uint16_t* patterns) {
  Operands o;
  for (int i = 0; i < kD; ++i) {
    const std::uint32_t field = patterns[i] >> 7 & 0xff, man = patterns[i] & 0x7f;
    const std::uint32_t exp = field == 0 && man != 0 ? 1 : field, sig = field ? man | 0x80 : man;
    o.exp |= exp << (8 * i);
    o.sig |= sig << (8 * i);
    o.sign |= static_cast<std::uint32_t>(patterns[i] >> 15) << i;
    o.nonzero |= static_cast<std::uint32_t>(exp != 0) << i;
    o.infinite |= static_cast<std::uint32_t>(exp == 255) << i;
    o.triple |= static_cast<std::uint64_t>(3 * sig) << (10 * i);
  }
  return o;
}

// The cycle of the first difference, or -1.
int Run(int mutant, const std::vector<Vector>& vectors, std::uint64_t seed) {
  VerilatedContext context;
  context.randReset(2);
  context.randSeed(static_cast<int>(seed % 1000000) + 1);
  Vmutant_pe dut(&context, "top");
  dut.mutsel = static_cast<std::remove_reference_t<decltype(dut.mutsel)>>(mutant);
  dut.clk_i = 0;
  const int cycles = static_cast<int>(vectors.size());
  const auto at = [&](int t) -> const Vector& { return vectors[static_cast<std::size_t>(t)]; };
  int difference = -1;
  for (int t = 0; t < cycles && difference < 0; ++t) {
    const Vector& now = at(t);
    const Operands x = Split(now.x), w = Split(now.w);
    dut.xe_i = x.exp;
    dut.xnz_i = static_cast<std::uint8_t>(x.nonzero);
    dut.xinf_i = static_cast<std::uint8_t>(x.infinite);
    dut.xs_i = static_cast<std::uint8_t>(x.sign);
    dut.we_i = w.exp;
    dut.ws_i = static_cast<std::uint8_t>(w.sign);
    dut.we_shift_i = now.shift;
    dut.we_swap_i = now.swap;
    if (t >= kEarly) {
      const Vector& late = at(t - kEarly);
      const Operands xl = Split(late.x), wl = Split(late.w);
      dut.xm_i = xl.sig;
      dut.xt_i = xl.triple;
      dut.wm_i = wl.sig;
      dut.wm_shift_i = late.shift;
      dut.wm_swap_i = late.swap;
    }
    if (t >= kEarly + kLate - 1) dut.n_exp_i = at(t - (kEarly + kLate - 1)).n_exp;
    if (t >= kEarly + kLate) {
      dut.n_sum_i = at(t - (kEarly + kLate)).n_sum;
      dut.n_flags_i = at(t - (kEarly + kLate)).n_flags;
    }
    dut.eval();
    bool same = true;
    if (t >= 1) {
      const Operands shadow = Split(now.w_out);
      same = same && dut.we_o == shadow.exp && dut.ws_o == shadow.sign;
    }
    if (t >= kEarly + 1) same = same && dut.wm_o == Split(at(t - kEarly).w_out).sig;
    if (t >= kSteps && at(t - kSteps).checked) {
      same = same && dut.s_sum_o == at(t - kSteps).s_sum && Known(dut.s_flags_o) == Known(at(t - kSteps).s_flags);
    }
    if (t >= kSteps - 1 && at(t - kSteps + 1).checked) same = same && dut.s_exp_o == at(t - kSteps + 1).s_exp;
    if (!same) difference = t;
    if (!same && mutant == 0) {  // a mistake of the bench or of the PE: say where
      std::fprintf(stderr, "cycle %d: we_o %x ws_o %x wm_o %x, sum %x exp %x flags %x\n", t, dut.we_o, dut.ws_o,
                   dut.wm_o, dut.s_sum_o, dut.s_exp_o, dut.s_flags_o);
      const Vector& v = at(t < kSteps ? 0 : t - kSteps);
      std::fprintf(stderr, "expected: shadow %x %x, sum %x exp %x flags %x, n_sum %x n_exp %x\n", Split(now.w_out).exp,
                   Split(now.w_out).sign, v.s_sum, at(t < kSteps ? 0 : t - kSteps + 1).s_exp, v.s_flags, v.n_sum, v.n_exp);
    }
    dut.clk_i = 1;
    dut.eval();
    dut.clk_i = 0;
    dut.eval();
  }
  dut.final();
  return difference;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s FIRST LAST CYCLES SEED\n", argv[0]);
    return 2;
  }
  static_assert(kSumW == 32);
  const auto seed = std::strtoull(argv[4], nullptr, 0);
  const auto vectors = MakeVectors(std::atoi(argv[3]), seed);
  for (int k = std::atoi(argv[1]); k <= std::atoi(argv[2]); ++k) {
    const int cycle = Run(k, vectors, seed);
    if (cycle < 0) {
      std::printf("%d alive\n", k);
    } else {
      std::printf("%d %d\n", k, cycle);
    }
    std::fflush(stdout);
  }
}
