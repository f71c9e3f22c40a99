// sum_acc against SumAccumulator and ExtremeAccumulator, prefix by prefix.
#include <verilated.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <vector>

#include "Vsum_acc.h"
#include "sim/isa/isa.hpp"
#include "sim/model/fp32.hpp"
#include "tb/fp/corners.hpp"

namespace {

using dither::isa::RedFunc;

// The model of one reduction, whatever its operation.
class Reduction {
 public:
  explicit Reduction(RedFunc op) : op_(op), extreme_(op == RedFunc::kMax) {}
  std::uint32_t Add(std::uint32_t x) {
    sum_.Add(x);
    extreme_.Add(x);
    return op_ == RedFunc::kSum ? sum_.Finish() : extreme_.Finish();
  }

 private:
  RedFunc op_;
  dither::SumAccumulator sum_;
  dither::ExtremeAccumulator extreme_;
};

class Bench {
 public:
  Bench() : dut_(&context_) {
    dut_.clk_i = 0;
    dut_.eval();
  }
  ~Bench() { dut_.final(); }

  // One cycle; an element enters when `enable`. Checks res_o, which lags by one more cycle.
  bool Cycle(bool enable, bool first, RedFunc op, std::uint32_t x) {
    if (enable && first) model_ = Reduction(op);
    dut_.en_i = enable;
    dut_.first_i = first;
    dut_.op_i = static_cast<std::uint8_t>(op);
    dut_.x_i = x;
    dut_.clk_i = 1;
    dut_.eval();
    dut_.clk_i = 0;
    dut_.eval();
    const bool good = !known_ || dut_.res_o == pending_;
    got_ = dut_.res_o;
    wanted_ = pending_;
    if (enable) {
      pending_ = model_.Add(x);
      known_ = true;
    }
    return good;
  }
  // The whole list as one reduction, then a cycle for the last result.
  bool Run(RedFunc op, const std::vector<std::uint32_t>& list) {
    bool good = true;
    for (std::size_t i = 0; i < list.size(); ++i) good = Cycle(true, i == 0, op, list[i]) && good;
    return Cycle(false, false, op, 0x7fc00000) && good;
  }
  std::uint32_t got() const { return got_; }
  std::uint32_t wanted() const { return wanted_; }

 private:
  VerilatedContext context_;
  Vsum_acc dut_;
  Reduction model_{RedFunc::kSum};
  std::uint32_t pending_ = 0, got_ = 0, wanted_ = 0;
  bool known_ = false;
};

constexpr std::array kOps = {RedFunc::kSum, RedFunc::kMax, RedFunc::kMin};

// Elements whose exponents crawl, jump, cancel or are special, depending on the reduction's style.
std::uint32_t RandomElement(std::mt19937& rng, unsigned style, std::uint32_t last) {
  const std::uint32_t word = rng();
  switch (style % 6) {
    case 0:
      return word;
    case 1:  // 32 binades around one
      return (word & 0x807fffff) | ((111 + (word >> 23) % 32) << 23);
    case 2:  // subnormals and the smallest normal numbers
      return word & 0x81ffffff;
    case 3:  // near the top: overflow and back
      return (word & 0x807fffff) | ((250 + (word >> 23) % 5) << 23);
    case 4:  // cancel the element before
      return rng() % 2 != 0 ? last ^ 0x80000000 : (word & 0x807fffff) | (rng() % 255) << 23;
    default:
      return rng() % 8 != 0 ? (word & 0x807fffff) | ((120 + word % 20) << 23)
                            : dither::tb::kFp32Corners[rng() % dither::tb::kFp32Corners.size()];
  }
}

}  // namespace

TEST_CASE("reductions of one, two and three corners give the model's result", "[sum_acc]") {
  Bench bench;
  for (const RedFunc op : kOps) {
    for (const std::uint32_t a : dither::tb::kFp32Corners) {
      for (const std::uint32_t b : dither::tb::kFp32Corners) {
        CAPTURE(static_cast<int>(op), a, b, bench.got(), bench.wanted());
        REQUIRE(bench.Run(op, {a}));
        REQUIRE(bench.Run(op, {a, b}));
        REQUIRE(bench.Run(op, {a, b, a ^ 0x80000000}));
      }
    }
  }
}

TEST_CASE("an element counts in the result two cycles later, no sooner", "[sum_acc]") {
  Bench bench;
  REQUIRE(bench.Cycle(true, true, RedFunc::kSum, 0x3f800000));
  REQUIRE(bench.Cycle(true, false, RedFunc::kSum, 0x40000000));
  CHECK(bench.got() == 0x3f800000);
  REQUIRE(bench.Cycle(false, false, RedFunc::kSum, 0x40000000));
  CHECK(bench.got() == 0x40400000);
  REQUIRE(bench.Cycle(false, true, RedFunc::kMax, 0));  // held while idle
  CHECK(bench.got() == 0x40400000);
}

TEST_CASE("every prefix of random streams with gaps gives the model's result",
          "[sum_acc][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const auto stall = GENERATE(0, 30, 80);
  CAPTURE(seed, stall);
  std::mt19937 rng(seed);
  Bench bench;
  std::uint32_t x = 0;
  for (int reduction = 0; reduction < 6000; ++reduction) {
    const unsigned style = rng();
    const RedFunc op = kOps[style % 7 < 5 ? 0 : style % 7 - 4];
    const int count = 1 + static_cast<int>(rng() % (reduction % 50 == 0 ? 2000 : 40));
    for (int i = 0; i < count;) {
      const bool enable = static_cast<int>(rng() % 100) >= stall;
      x = RandomElement(rng, style / 7, x);
      if (!bench.Cycle(enable, i == 0, op, x)) {
        FAIL("reduction " << reduction << " element " << i << std::hex << " got " << bench.got()
                          << " wanted " << bench.wanted());
      }
      i += enable;
    }
  }
}

TEST_CASE("sums of a few units, negative ones above all, round like the model at every exponent",
          "[sum_acc]") {
  Bench bench;
  std::mt19937 rng(5);
  for (std::uint32_t exponent = 18; exponent < 255; ++exponent) {
    const std::uint32_t big = exponent << 23;
    REQUIRE(bench.Run(RedFunc::kSum, {0x80000001, big, big | 0x80000000}));  // floors to -1
    for (int trial = 0; trial < 300; ++trial) {
      std::vector<std::uint32_t> list = {static_cast<std::uint32_t>(big | (rng() & 0x7fffff))};
      for (std::uint32_t n = rng() % 6; n > 0; --n) {
        const std::uint32_t field = exponent > 42 ? exponent - rng() % 42 : rng() % exponent;
        const std::uint32_t ones = rng() % 2 != 0 ? rng() & 0x7fffff : 0x7fffff << (rng() % 24);
        list.push_back((rng() & 0x80000000) | field << 23 | (ones & 0x7fffff));
      }
      list.push_back(list[0] ^ 0x80000000);
      CAPTURE(exponent, trial, bench.got(), bench.wanted());
      REQUIRE(bench.Run(RedFunc::kSum, list));
    }
  }
}

TEST_CASE("65,535 of the largest elements overflow only in the result", "[sum_acc]") {
  Bench bench;
  std::vector<std::uint32_t> list(32768, 0x7f7fffff);
  list.insert(list.end(), 32767, 0xff7fffff);
  REQUIRE(bench.Run(RedFunc::kSum, list));
  CHECK(bench.got() == 0x7f7fffff);
}
