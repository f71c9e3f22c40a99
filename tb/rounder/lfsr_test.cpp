// lfsr against Leap: sequence, hold, load, priority and recovery from zero.
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>

#include "Vlfsr.h"
#include "Vlfsr___024root.h"
#include "sim/model/lfsr.hpp"
#include "tb/support/clocked.hpp"

namespace {
#ifdef DITHER_PLAIN_LFSR
constexpr bool kWhiten = false;
#else
constexpr bool kWhiten = true;
#endif
// The RTL's parameter Pairs.
#ifdef DITHER_LFSR_PAIRS
constexpr bool kPairs = true;
#else
constexpr bool kPairs = false;
#endif
}  // namespace

TEST_CASE("random advances and loads leave the model's state and word, and reset starts at one",
          "[lfsr][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  CAPTURE(seed);
  std::mt19937 rng(seed);
  dither::tb::Clocked<Vlfsr> dut(seed);
  std::uint32_t expected = 1;
  for (int cycle = 0; cycle < 200000; ++cycle) {
    dut->advance_i = rng() % 3 != 0;
    dut->two_i = rng() % 2;
    dut->load_i = rng() % 50 == 0;
    dut->load_value_i = rng() % 4 == 0 ? 0 : rng();
    dut.Step();
    if (dut->load_i != 0) {
      expected = dut->load_value_i;  // a zero too: it counts as one at the next advance
    } else if (dut->advance_i != 0) {
      expected = dither::Leap(expected);
      if (kPairs && dut->two_i != 0) expected = dither::Leap(expected);
    }
    REQUIRE(dut->state_o == expected);
    REQUIRE(dut->word_o == dither::RandomWord(expected, kWhiten));
    REQUIRE(dut->word_2_o == (kPairs ? dither::RandomWord(dither::Leap(expected), kWhiten) : 0));
  }
}

TEST_CASE("a state upset to zero counts as one at the next advance", "[lfsr]") {
  dither::tb::Clocked<Vlfsr> dut;
  dut->load_i = 0;
  for (const int two : {0, 1}) {
    dut->advance_i = 0;
    dut->two_i = static_cast<unsigned char>(two);
    dut->rootp->lfsr__DOT__state_q = 0;
    dut.Step();
    REQUIRE(dut->state_o == 0);
    dut->advance_i = 1;
    dut.Step();
    REQUIRE(dut->state_o == (kPairs && two != 0 ? dither::Leap(dither::Leap(1)) : dither::Leap(1)));
  }
}

TEST_CASE("a state that is read and written back continues the same sequence", "[lfsr]") {
  dither::tb::Clocked<Vlfsr> dut;
  dut->load_i = 0;
  dut->advance_i = 1;
  dut->two_i = 1;
  dut.Run(1000);
  const std::uint32_t saved = dut->state_o;
  dut.Run(50);
  const std::uint32_t later = dut->state_o;
  dut.Run(123);
  dut->load_i = 1;
  dut->load_value_i = saved;
  dut.Step();
  dut->load_i = 0;
  dut.Run(50);
  REQUIRE(dut->state_o == later);
}
