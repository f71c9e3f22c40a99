// The counter of infinite and NaN words at 128 lanes, with a count of ten bits that soon reaches its top.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>

#include "Vnonfinite.h"
#include "tb/support/clocked.hpp"

TEST_CASE("instructions of any length give their own count four cycles after their end, up to the top",
          "[nonfinite][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const int gaps = GENERATE(0, 40);  // percent of cycles without a write
  CAPTURE(seed, gaps);
  constexpr std::uint32_t kLanes = 128, kTop = 1023;
  dither::tb::Clocked<Vnonfinite> dut(seed);
  std::mt19937 rng(seed);
  std::deque<std::pair<std::uint64_t, std::uint32_t>> expected;  // cycle, count
  std::uint32_t count = 0;
  int left = 0, ended = 0, topped = 0, exactly = 0;
  std::uint32_t density = 1;
  dut.OnDrive([&] {
    dut->valid_i = static_cast<int>(rng() % 100) >= gaps;
    dut->last_i = rng() % 2;  // noise without valid_i
    for (std::uint32_t w = 0; w < kLanes / 32; ++w) dut->lanes_i[w] = rng() | rng();
    for (std::uint32_t l = 0; l < kLanes; ++l) dut->data_i[l] = dut->valid_i ? rng() & 0xff7fffff : 0x7f800000;
    if (!dut->valid_i) return;
    if (left == 0) {
      left = 1 + static_cast<int>(rng() % (rng() % 4 ? 3 : 40));
      constexpr std::uint32_t kDensity[] = {0, 1, 2, 10, 40, 100};
      density = kDensity[rng() % 6];
    }
    dut->last_i = --left == 0;
    for (std::uint32_t l = 0; l < kLanes; ++l) {
      if (rng() % 100 >= density) continue;
      dut->data_i[l] |= 0x7f800000;
      if (rng() % 2) dut->data_i[l] &= 0xff800000;  // infinity
      count += dut->lanes_i[l / 32] >> (l % 32) & 1;
    }
    if (!dut->last_i) return;
    expected.emplace_back(dut.cycle() + 4, std::min(count, kTop));
    topped += count > kTop;
    exactly += count == 0;
    count = 0;
    ++ended;
  });
  dut.OnSample([&] {
    const bool due = !expected.empty() && expected.front().first == dut.cycle();
    const std::uint32_t want = due ? expected.front().second : 0;
    if (due) expected.pop_front();
    REQUIRE(static_cast<bool>(dut->valid_o) == (want != 0));
    if (want != 0) REQUIRE(dut->count_o == want);
  });
  dut.Run(6000);
  CHECK(ended > 200);
  CHECK(topped > 20);
  CHECK(exactly > 20);
}
