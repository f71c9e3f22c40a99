// fp32_fma against Fp32Fma, Fp32Mul, Fp32Add and Fp32Sub, at full rate and with stalls.
#include <verilated.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <deque>
#include <random>

#include "Vfp32_fma.h"
#include "sim/model/fp32.hpp"
#include "tb/fp/corners.hpp"

namespace {

constexpr int kLatency = 3;

struct Operation {
  std::uint32_t op, a, b, c;
  std::uint32_t Expected() const {
    switch (op) {
      case 0:
        return dither::Fp32Fma(a, b, c);
      case 1:
        return dither::Fp32Mul(a, b);
      case 2:
        return dither::Fp32Add(a, c);
      default:
        return dither::Fp32Sub(a, c);
    }
  }
};

// Feeds one operation per enabled cycle and checks each result three enabled cycles later.
class Pipe {
 public:
  Pipe() : dut_(&context_) {
    dut_.clk_i = 0;
    dut_.eval();
  }
  ~Pipe() { dut_.final(); }

  bool Feed(const Operation& o) {
    dut_.op_i = static_cast<std::uint8_t>(o.op);
    dut_.a_i = o.a;
    dut_.b_i = o.b;
    dut_.c_i = o.c;
    in_flight_.push_back(o);
    Clock(true);
    if (in_flight_.size() < kLatency) return true;
    last_ = in_flight_.front();
    in_flight_.pop_front();
    expected_ = last_.Expected();
    return dut_.res_o == expected_;
  }
  bool Flush() {
    bool good = true;
    for (int i = 0; i < kLatency; ++i) good = Feed({0, 0, 0, 0}) && good;
    return good;
  }
  // A cycle without enable and with other inputs changes nothing.
  bool Stall(std::uint32_t noise) {
    const std::uint32_t before = dut_.res_o;
    dut_.a_i = noise;
    dut_.b_i = ~noise;
    dut_.op_i = noise & 3;
    Clock(false);
    return dut_.res_o == before;
  }
  const Operation& last() const { return last_; }

 private:
  void Clock(bool enable) {
    dut_.en_i = enable;
    dut_.clk_i = 1;
    dut_.eval();
    dut_.clk_i = 0;
    dut_.eval();
  }
  VerilatedContext context_;
  Vfp32_fma dut_;
  std::deque<Operation> in_flight_;
  Operation last_{};
  std::uint32_t expected_ = 0;
};

#define REQUIRE_FEED(pipe, ...)                                                         \
  if (!(pipe).Feed(__VA_ARGS__)) {                                                      \
    FAIL(std::hex << "op " << (pipe).last().op << " a " << (pipe).last().a << " b "     \
                  << (pipe).last().b << " c " << (pipe).last().c << " expected "        \
                  << (pipe).last().Expected());                                         \
  }

// Operands that meet, cancel, underflow or are just random, by turns.
Operation RandomOperation(std::mt19937_64& rng, int turn) {
  const std::uint64_t word = rng(), more = rng();
  Operation o{static_cast<std::uint32_t>(turn) & 3, static_cast<std::uint32_t>(word),
              static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(more)};
  switch ((turn >> 2) % 6) {
    case 0:
      break;
    case 1:  // all but cancels a product or a sum
      o.c = (o.op >= 2 ? o.a : dither::Fp32Mul(o.a, o.b)) ^ ((more >> 40) & 0x80000003);
      break;
    case 2:  // subnormal factor, product near the smallest normal numbers
      o.a &= 0x807fffff;
      o.b = (o.b & 0x807fffff) | (static_cast<std::uint32_t>(100 + (more >> 40) % 80) << 23);
      o.c = (o.c & 0x80ffffff) | (static_cast<std::uint32_t>((more >> 50) % 8) << 24);
      break;
    case 3:  // product and addend within a window's width of each other
      o.b = (o.b & 0x807fffff) | ((254 - ((o.a >> 23) & 0xff)) << 23);
      o.c = (o.c & 0x807fffff) | (static_cast<std::uint32_t>(60 + (more >> 40) % 120) << 23);
      break;
    case 4:  // sums of close exponents
      o.c = (o.c & 0x807fffff) | (((o.a >> 23) + (more >> 40) % 30) & 0xff) << 23;
      break;
    default:  // significands of few ones, so that ties and exact results happen
      o.a &= 0xfff80000 >> ((more >> 40) % 4);
      o.b &= 0xfff00000;
      o.c = (o.c & 0x80070000) |
            (((o.a >> 23) + (o.b >> 23) - 127 + (more >> 44) % 50) & 0xff) << 23;
      break;
  }
  return o;
}

}  // namespace

TEST_CASE("every triple of corners gives the model's result for every operation", "[fp32_fma]") {
  Pipe pipe;
  for (const std::uint32_t a : dither::tb::kFp32Corners) {
    for (const std::uint32_t b : dither::tb::kFp32Corners) {
      for (std::uint32_t op = 1; op < 4; ++op) REQUIRE_FEED(pipe, {op, a, b, b ^ (a << 31)});
      for (const std::uint32_t c : dither::tb::kFp32Corners) REQUIRE_FEED(pipe, {0, a, b, c});
    }
  }
  REQUIRE(pipe.Flush());
}

TEST_CASE("a + c ignores b and a * b ignores c, NaN included", "[fp32_fma]") {
  Pipe pipe;
  for (const std::uint32_t other : {0x7fc00000u, 0x7f800000u, 0u, 0xff800001u}) {
    for (std::uint32_t op = 2; op < 4; ++op) {
      REQUIRE_FEED(pipe, {op, 0x3f800000, other, 0x40000000});
    }
    REQUIRE_FEED(pipe, {1, 0x3f800000, 0x80000000, other});
  }
  REQUIRE(pipe.Flush());
}

TEST_CASE("millions of random operations at full rate give the model's results",
          "[fp32_fma][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  CAPTURE(seed);
  std::mt19937_64 rng(seed);
  Pipe pipe;
  for (int i = 0; i < 2000000; ++i) REQUIRE_FEED(pipe, RandomOperation(rng, i));
  REQUIRE(pipe.Flush());
}

TEST_CASE("cycles without enable hold the result and lose no operation", "[fp32_fma][random]") {
  const auto stall = GENERATE(10, 50, 90);
  CAPTURE(stall);
  std::mt19937_64 rng(9);
  Pipe pipe;
  for (int i = 0; i < 100000; ++i) {
    if (static_cast<int>(rng() % 100) < stall) {
      REQUIRE(pipe.Stall(static_cast<std::uint32_t>(rng())));
    } else {
      REQUIRE_FEED(pipe, RandomOperation(rng, i));
    }
  }
}
