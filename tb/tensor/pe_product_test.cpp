// Every product of two elements through a PE, against the product of their values in double precision: bf16 has 8
// significant bits and exponents down to 2^-133, so that a double holds every product exactly.
#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "Vpe_product_tb.h"
#include "Vpe_product_tb_pe_product_tb.h"
#include "sim/isa/isa.hpp"

namespace {

using dither::isa::Dtype;

constexpr int kPes = 8;
constexpr std::uint32_t kSteps = Vpe_product_tb_pe_product_tb::Steps;  // of a PE, as its RTL says

// The value of an element as its format defines it: sign, exponent, mantissa. Shares nothing with the decoders.
double Value(Dtype dtype, std::uint32_t bits) {
  const int man_bits = dtype == Dtype::kFp8E4M3 ? 3 : dtype == Dtype::kFp8E5M2 ? 2 : 7;
  const int exp_bits = dtype == Dtype::kFp8E4M3 ? 4 : dtype == Dtype::kFp8E5M2 ? 5 : 8;
  const int man = static_cast<int>(bits & ((1u << man_bits) - 1));
  const int exp = static_cast<int>(bits >> man_bits & ((1u << exp_bits) - 1));
  const double sign = bits >> (man_bits + exp_bits) & 1 ? -1 : 1;
  const int bias = (1 << (exp_bits - 1)) - 1, top = (1 << exp_bits) - 1;
  if (dtype == Dtype::kFp8E4M3) {
    if (exp == top && man == 7) return NAN;  // the only NaN; no infinity
  } else if (exp == top) {
    return man ? NAN : sign * INFINITY;
  }
  const int whole = exp ? man + (1 << man_bits) : man;
  return sign * std::ldexp(whole, (exp ? exp : 1) - bias - man_bits);
}

struct Tally {
  std::uint64_t products = 0, wrong = 0, infinite = 0, nan = 0;
  std::uint32_t x = 0, w = 0;  // the first wrong one
};

class Bench {
 public:
  Bench(Dtype x_dtype, Dtype w_dtype, int lane) : x_dtype_(x_dtype), w_dtype_(w_dtype) {
    context_.randReset(2);
    dut_ = std::make_unique<Vpe_product_tb>(&context_, "top");
    dut_->lane_i = lane & 1;
    dut_->x_dtype_i = static_cast<std::uint8_t>(x_dtype);
    dut_->w_dtype_i = static_cast<std::uint8_t>(w_dtype);
    for (int e = 0; e < 512; ++e) unit_[static_cast<std::size_t>(e)] = std::ldexp(1.0, e - 268 - 12);
  }
  ~Bench() {
    // A model's end looks for its scopes in the thread's context, which is that of the model made last.
    Verilated::threadContextp(&context_);
    dut_->final();
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // All 2^x_bits moving elements times eight standing ones from `first`.
  void Run(std::uint32_t first, int x_bits, Tally& tally) {
    if (x_values_.empty()) {
      for (std::uint32_t x = 0; x < 1u << x_bits; ++x) x_values_.push_back(Value(x_dtype_, x));
    }
    double w[kPes];
    bool w_nan[kPes];
    std::uint16_t patterns[kPes];
    for (int p = 0; p < kPes; ++p) {
      patterns[p] = static_cast<std::uint16_t>(first + static_cast<std::uint32_t>(p));
      w[p] = Value(w_dtype_, patterns[p]);
      w_nan[p] = std::isnan(w[p]);
    }
    std::memcpy(&dut_->w_i, patterns, sizeof patterns);
    dut_->w_load_i = 1;
    dut_->eval();
    for (int p = 0; p < kPes; ++p) Expect(tally, (dut_->w_nan_o >> p & 1) == w_nan[p], 0, patterns[p]);
    Edge();
    dut_->w_load_i = 0;
    dut_->eval();
    Edge();
    const std::uint32_t n = 1u << x_bits;
    std::uint16_t exp[kPes] = {}, next_exp[kPes];
    for (std::uint32_t t = 0; t < n + kSteps; ++t) {
      dut_->x_i = static_cast<std::uint16_t>(t < n ? t : 0);
      dut_->eval();
      if (t < n) {
        const bool nan = std::isnan(x_values_[t]);
        tally.nan += nan ? kPes : 0;
        Expect(tally, dut_->x_nan_o == nan, t, patterns[0]);
      }
      std::memcpy(next_exp, &dut_->exp_o, sizeof next_exp);
      if (t >= kSteps) {
        const std::uint32_t x = t - kSteps;
        std::int32_t sum[kPes];
        std::memcpy(sum, &dut_->sum_o, sizeof sum);
        const std::uint32_t flags = dut_->flags_o;
        const double x_value = x_values_[x];
        for (int p = 0; p < kPes; ++p) {
          const double exact = x_value * w[p];
          const std::uint32_t flag = flags >> (4 * p) & 7;
          bool right;
          if (std::isfinite(exact)) {
            right = flag == 0 && sum[p] * unit_[exp[p]] == exact && (exact != 0 || exp[p] == 0);
          } else if (std::isnan(x_value) || w_nan[p]) {
            // It went past as a zero: nothing but the side band must show. Zero times infinity is a NaN all the same.
            right = sum[p] == 0 && exp[p] == 0 && (flag == 0 || flag >> 2 == 1);
          } else if (std::isnan(exact)) {
            right = flag >> 2 == 1;  // zero times infinity
          } else {
            right = flag == (exact > 0 ? 2 : 1);
            ++tally.infinite;
          }
          Expect(tally, right, x, patterns[p]);
        }
        tally.products += kPes;
      }
      std::memcpy(exp, next_exp, sizeof exp);
      Edge();
    }
  }

 private:
  void Edge() {
    dut_->clk_i = 1;
    dut_->eval();
    dut_->clk_i = 0;
  }
  static void Expect(Tally& tally, bool right, std::uint32_t x, std::uint32_t w) {
    if (right) return;
    if (tally.wrong++ == 0) {
      tally.x = x;
      tally.w = w;
    }
  }
  VerilatedContext context_;
  std::unique_ptr<Vpe_product_tb> dut_;
  Dtype x_dtype_, w_dtype_;
  std::vector<double> x_values_;
  std::array<double, 512> unit_{};
};

}  // namespace

TEST_CASE("every fp8 product in every mix of formats is exact in the PE", "[pe_product][directed]") {
  const auto x_dtype = GENERATE(Dtype::kFp8E4M3, Dtype::kFp8E5M2);
  const auto w_dtype = GENERATE(Dtype::kFp8E4M3, Dtype::kFp8E5M2);
  const auto lane = GENERATE(0, 1);
  Bench bench(x_dtype, w_dtype, lane);
  Tally tally;
  for (std::uint32_t w = 0; w < 256; w += kPes) bench.Run(w, 8, tally);
  CAPTURE(static_cast<int>(x_dtype), static_cast<int>(w_dtype), lane, tally.x, tally.w);
  CHECK(tally.wrong == 0);
  CHECK(tally.products == 65536);
  // Infinities meet: 2 of them, times 256 - 2 zeros - NaN on the other side.
  const bool x_inf = x_dtype == Dtype::kFp8E5M2, w_inf = w_dtype == Dtype::kFp8E5M2;
  const std::uint64_t x_finite = x_inf ? 246 : 252, w_finite = w_inf ? 246 : 252;  // finite, not zero
  CHECK(tally.infinite == (x_inf ? 2 * w_finite : 0) + (w_inf ? 2 * x_finite : 0) + (x_inf && w_inf ? 4 : 0));
}

TEST_CASE("every bf16 element times the weights around each corner is exact in the PE", "[pe_product][directed]") {
  const auto first = GENERATE(0x0000u, 0x0078u, 0x0080u, 0x3f80u, 0x3ff8u, 0x7f78u, 0x7f80u, 0x8078u, 0xbfa8u, 0xff78u);
  Bench bench(Dtype::kBf16, Dtype::kBf16, first >> 3 & 1);
  Tally tally;
  bench.Run(first, 16, tally);
  CAPTURE(first, tally.x, tally.w);
  CHECK(tally.wrong == 0);
  CHECK(tally.products == 65536u * kPes);
}

// make soak-array: hidden from make test by the dot.
TEST_CASE("every bf16 product is exact in the PE", "[.][bf16]") {
  const auto start = std::chrono::steady_clock::now();
  Tally tally;
  Bench lanes[2] = {{Dtype::kBf16, Dtype::kBf16, 0}, {Dtype::kBf16, Dtype::kBf16, 1}};
  for (std::uint32_t w = 0; w < 65536; w += kPes) {
    lanes[w / kPes & 1].Run(w, 16, tally);
    if ((w / kPes) % 256 == 255) {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      std::fprintf(stderr, "bf16 products: %llu, %llu wrong, %.1f million/s, %.0f s to go\n",
                   static_cast<unsigned long long>(tally.products), static_cast<unsigned long long>(tally.wrong),
                   tally.products / took.count() / 1e6, took.count() * (65536.0 - w) / (w + kPes));
    }
  }
  CAPTURE(tally.x, tally.w);
  CHECK(tally.wrong == 0);
  CHECK(tally.products == 1ull << 32);
}
