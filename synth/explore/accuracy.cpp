// Mean and worst error of a column's sum against a chain of fp32 fused multiply-adds, over rows per PE and kept bits.
//
// The formula is that of sim/model/column_sum.hpp with Frac as a parameter; at the Frac of the array every sum is compared
// with that model. Operands are those of `make bench` (sim/app/bench.cpp). Output: one JSON object per line.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "sim/model/column_sum.hpp"

namespace {
using dither::model::ColumnSum;

double Float(std::uint16_t bf16) { return std::bit_cast<float>(std::uint32_t{bf16} << 16); }

std::uint16_t RandomBf16(std::mt19937& rng, unsigned low, unsigned high) {
  return static_cast<std::uint16_t>((rng() & 0x807f) | ((low + rng() % (high - low)) << 7));
}

std::int64_t Shift(std::int64_t v, int d) { return v >> (d > 63 ? 63 : d); }

// The column before its foot: S and e with value S * 2^(e - 268 - frac). Finite, normal operands only.
struct Column {
  std::int64_t sum = 0;
  int exp = 0;
  void Add(const std::uint16_t* x, const std::uint16_t* w, int d, int frac) {
    int e[32], top = 0;
    for (int i = 0; i < d; ++i) {
      e[i] = (x[i] >> 7 & 0xff) + (w[i] >> 7 & 0xff);
      top = std::max(top, e[i]);
    }
    std::int64_t group = 0;
    for (int i = 0; i < d; ++i) {
      const std::int64_t p = std::int64_t{(x[i] & 0x7f) | 0x80} * ((w[i] & 0x7f) | 0x80);
      const std::int64_t mag = Shift(p << frac, top - e[i]);
      group += (x[i] ^ w[i]) & 0x8000 ? -mag : mag;
    }
    const int both = std::max(exp, top);
    sum = Shift(sum, both - exp) + Shift(group, both - top);
    exp = both;
  }
};

// The foot: 32 bits from the leading one, the rest jammed, then one rounding to fp32; both in one here, as 24 bits are kept.
double Foot(const Column& c, int frac) {
  return static_cast<float>(std::ldexp(static_cast<double>(c.sum), c.exp - 268 - frac));
}
}  // namespace

int main(int argc, char** argv) {
  const int rows = argc > 1 ? std::atoi(argv[1]) : 16;
  const int columns = argc > 2 ? std::atoi(argv[2]) : 100000;
  struct Set {
    const char* name;
    unsigned low, high;
    bool cancel;
  };
  for (const Set& s : {Set{"near", 122, 132, false}, Set{"wide", 107, 147, false}, Set{"cancel", 77, 177, true}}) {
    for (int frac = 8; frac <= 14; ++frac) {
      for (int d = 1; d <= 32 && d <= rows; d *= 2) {
        std::mt19937 rng(1);
        double ours = 0, chain = 0, ours_worst = 0, chain_worst = 0;
        for (int t = 0; t < columns; ++t) {
          std::uint16_t x[128], w[128];
          double exact = 0, size = 0;
          float fma = 0;
          for (int i = 0; i < rows; ++i) {
            x[i] = RandomBf16(rng, s.low, s.high);
            w[i] = RandomBf16(rng, s.low, s.high);
            if (s.cancel && i % 2) {
              x[i] = x[i - 1] ^ 0x8000;
              w[i] = static_cast<std::uint16_t>(w[i - 1] ^ (rng() & 3));
            }
            const double a = Float(x[i]), b = Float(w[i]);
            exact += a * b;
            size += std::fabs(a * b);
            fma = std::fmaf(static_cast<float>(a), static_cast<float>(b), fma);
          }
          Column c;
          ColumnSum reference;
          for (int i = 0; i < rows; i += d) {
            c.Add(x + i, w + i, d, frac);
            if (frac == dither::model::kFracBits) reference.AddGroup(x + i, w + i, d);
          }
          if (frac == dither::model::kFracBits && (reference.sum != c.sum || reference.exp != c.exp)) {
            std::fprintf(stderr, "accuracy: the formula differs from sim/model/column_sum.hpp\n");
            return 1;
          }
          const double e = std::fabs(Foot(c, frac) - exact) / size, f = std::fabs(fma - exact) / size;
          ours += e / columns;
          chain += f / columns;
          ours_worst = std::max(ours_worst, e);
          chain_worst = std::max(chain_worst, f);
        }
        std::printf("{\"set\": \"%s\", \"rows\": %d, \"d\": %d, \"frac\": %d, \"mean\": %.4f, \"worst\": %.4f}\n", s.name, rows,
                    d, frac, ours / chain, ours_worst / chain_worst);
      }
    }
  }
}
