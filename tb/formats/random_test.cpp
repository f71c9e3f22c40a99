// The random words as such: whitening, replicas, and the quick half of the statistics, with fixed
// seeds. Every statistic also has to refuse a source that is known to be bad.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "sim/model/formats.hpp"
#include "sim/model/lfsr.hpp"
#include "sim/stats/randomness.hpp"

namespace dither {
namespace {

using stats::Lane;

// A step-by-one LFSR: what the leap is there to avoid.
class SingleStep {
 public:
  std::uint32_t operator()() {
    state_ = LfsrStep(state_);
    return RandomWord(state_, false);
  }

 private:
  std::uint32_t state_ = 1;
};

std::vector<std::uint8_t> BitsOf(std::uint32_t lane, int bit, bool whiten, std::size_t count) {
  Lane draw(LaneSeed(1, lane, 32), whiten);
  std::vector<std::uint8_t> bits(count);
  for (auto& b : bits) b = static_cast<std::uint8_t>(draw() >> bit & 1);
  return bits;
}

}  // namespace

TEST_CASE("the whitening loses no state: it can be undone bit by bit", "[words]") {
  std::mt19937 rng(1);
  for (int n = 0; n < 200000; ++n) {
    const std::uint32_t state = n < 32 ? 1u << n : rng();
    const std::uint32_t word = Whiten(state);
    // Backwards, bit by bit.
    std::uint32_t back = word;
    const auto restore = [&](int i, int a, int b) {
      back ^= ((back >> (a & 31)) & (back >> (b & 31)) & 1) << i;
    };
    for (int k = 28; k >= 0; k -= 4) {
      for (int m = 1; m <= 3; ++m) restore(k + m, k == 0 ? 31 : k + m - 4, k + m - 8);
    }
    restore(31, 30, 11);
    restore(30, 29, 15);
    restore(29, 30, 31);
    if (back != state) FAIL("state " << state << " became " << back);
    std::uint32_t upper = 0, plain = 0;
    for (int i = 0, to = 0; i < 32; ++i) {
      if (i % 4 == 0) continue;
      upper |= (word >> i & 1) << to;
      plain |= (state >> i & 1) << to++;
    }
    if (RandomWord(state) != upper || RandomWord(state, false) != plain) {
      FAIL("the word is not the upper three bits of each nibble of " << word);
    }
  }
}

TEST_CASE("linear complexity finds the shortest recurrence of short sequences by trying all",
          "[words]") {
  std::mt19937 rng(2);
  for (int n = 0; n < 400; ++n) {
    std::vector<std::uint8_t> bits(1 + rng() % 14);
    for (auto& b : bits) b = rng() % 3 == 0;
    std::size_t shortest = bits.size();
    for (std::size_t length = 0; length < shortest; ++length) {
      for (std::uint32_t taps = 0; taps < 1u << length; ++taps) {
        bool fits = true;
        for (std::size_t at = length; at < bits.size() && fits; ++at) {
          int sum = 0;
          for (std::size_t k = 1; k <= length; ++k) sum += taps >> (k - 1) & bits[at - k] & 1;
          fits = (sum & 1) == bits[at];
        }
        if (fits) shortest = length;
      }
    }
    REQUIRE(stats::LinearComplexity(bits) == shortest);
  }
}

TEST_CASE("every bit of the words passes the linear-complexity test, and of the plain LFSR none",
          "[words]") {
  constexpr std::size_t kBits = 20000;
  for (int bit = 0; bit < kRandomBits; ++bit) {
    CAPTURE(bit);
    const auto length =
        static_cast<double>(stats::LinearComplexity(BitsOf(5, bit, true, kBits)));
    CHECK(std::fabs(length - kBits / 2) <= 12);
    CHECK(stats::LinearComplexity(BitsOf(5, bit, false, kBits)) == 32);
  }
  // All bits of the words one behind the other.
  std::vector<std::uint8_t> joined;
  Lane draw(LaneSeed(1, 5, 32));
  for (int n = 0; n < 1000; ++n) {
    const std::uint32_t word = draw();
    for (int bit = kRandomBits - 1; bit >= 0; --bit) {
      joined.push_back(static_cast<std::uint8_t>(word >> bit & 1));
    }
  }
  const auto length = static_cast<double>(stats::LinearComplexity(joined));
  CHECK(std::fabs(length - static_cast<double>(joined.size() / 2)) <= 12);
}

TEST_CASE("sums of roundings vary as independent ones do, and a single-step LFSR's do not",
          "[words]") {
  for (const double fraction : {1.0 / 2, 1.0 / 4, 1.0 / 16, 1.0 / 256}) {
    CAPTURE(fraction);
    constexpr int kSums = 60000;
    const double sigma = stats::VarianceRatioSigma(fraction, 256, kSums);
    CHECK(sigma < 0.008);
    CHECK(std::fabs(stats::VarianceRatio(Lane(LaneSeed(1, 9, 32)), fraction, 256, kSums) - 1) <
          4 * sigma);
    // NUMBERS: 1.7 to 2.9 times; at a half the sum sees one bit only, which is white.
    if (fraction < 0.5) CHECK(stats::VarianceRatio(SingleStep(), fraction, 256, 20000) > 1.5);
  }
}

TEST_CASE("sums over the lanes of one cycle vary as independent ones do, and a shared word's do not",
          "[words]") {
  for (const std::uint32_t lanes : {16u, 256u}) {
    for (const double fraction : {1.0 / 2, 1.0 / 4, 1.0 / 16, 1.0 / 256}) {
      CAPTURE(lanes, fraction);
      std::vector<Lane> lane;
      for (std::uint32_t l = 0; l < lanes; ++l) lane.emplace_back(LaneSeed(1, l, lanes));
      std::size_t at = 0;
      const auto next = [&] {
        at = at + 1 == lanes ? 0 : at + 1;
        return lane[at]();
      };
      constexpr int kSums = 20000;
      const int terms = static_cast<int>(lanes);
      CHECK(std::fabs(stats::VarianceRatio(next, fraction, terms, kSums) - 1) <
            4 * stats::VarianceRatioSigma(fraction, terms, kSums));
      std::uint32_t word = 0;
      std::size_t uses = 0;
      const auto shared = [&] {
        if (uses++ % lanes == 0) word = lane[0]();
        return word;
      };
      CHECK(stats::VarianceRatio(shared, fraction, terms, 2000) > 0.7 * terms);
    }
  }
}

TEST_CASE("the decisions of any two lanes at lags 0 to 64 are as uncorrelated as chance allows",
          "[words]") {
  constexpr std::uint32_t kLanes = 16;
  constexpr std::size_t kCount = 1 << 17;
  std::size_t pairs = 0, beyond = 0;
  double worst = 0;
  for (const double fraction : {1.0 / 2, 1.0 / 4, 1.0 / 16}) {
    std::vector<stats::Decisions> lanes;
    for (std::uint32_t l = 0; l < kLanes; ++l) {
      lanes.push_back(stats::Decide(Lane(LaneSeed(1, l, kLanes)), fraction, kCount));
    }
    for (std::uint32_t a = 0; a < kLanes; ++a) {
      for (std::uint32_t b = 0; b < kLanes; ++b) {
        for (std::size_t lag = 0; lag <= 64; ++lag) {
          if (lag == 0 && b <= a) continue;
          const double sigmas = std::fabs(stats::CorrelationSigmas(lanes[a], lanes[b], lag));
          ++pairs;
          beyond += sigmas > 4;
          worst = std::max(worst, sigmas);
        }
      }
    }
  }
  // Of 49,512 correlations of independent lanes 3.1 lie beyond 4 sigma, and the worst near 4.3.
  CAPTURE(pairs, beyond, worst);
  CHECK(pairs == 49512);
  CHECK(beyond <= 10);
  CHECK(worst < 5.5);
  // A lane with itself one step later in a single-step LFSR: the correlation that a leap removes.
  const auto slow = stats::Decide(SingleStep(), 1.0 / 4, kCount);
  CHECK(stats::CorrelationSigmas(slow, slow, 1) > 50);
}

TEST_CASE("the words of a lane are uniform by chi-square", "[words]") {
  for (const std::uint32_t lane : {0u, 13u, 31u}) {
    for (const int low : {16, 8, 0}) {
      CAPTURE(lane, low);
      CHECK(std::fabs(stats::ChiSquareSigmas(Lane(LaneSeed(1, lane, 32)), low, 8, 1 << 20)) < 4);
    }
  }
  // A source that never gives one of the values fails.
  Lane draw(1);
  const auto gap = [&] {
    const std::uint32_t word = draw();
    return (word >> 16) == 77 ? word ^ 1u << 16 : word;
  };
  CHECK(stats::ChiSquareSigmas(gap, 16, 8, 1 << 20) > 20);
}

TEST_CASE("replicas split one stream: no two lanes of any two start within a stretch", "[words]") {
  constexpr std::uint32_t kReplicas = 4, kLanes = 32;
  std::vector<std::uint32_t> seeds;
  for (std::uint32_t r = 0; r < kReplicas; ++r) {
    for (std::uint32_t l = 0; l < kLanes; ++l) {
      seeds.push_back(ReplicaLaneSeed(99, r, kReplicas, l, kLanes));
    }
  }
  const std::uint64_t stride = LaneStride(kReplicas * kLanes);
  for (std::size_t n = 0; n + 1 < seeds.size(); ++n) {
    REQUIRE(JumpAhead(seeds[n], stride) == seeds[n + 1]);
  }
  // The stretches together are no longer than the cycle, so the last does not reach the first.
  CHECK(stride * kReplicas * kLanes <= kLfsrPeriod);
  // One replica is the plain numbering, so a single core is the same with or without replicas.
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    CHECK(ReplicaLaneSeed(99, 0, 1, l, kLanes) == LaneSeed(99, l, kLanes));
  }
}

TEST_CASE("a stream that replicas share is disjoint from those they split", "[words]") {
  constexpr std::uint32_t kReplicas = 2, kLanes = 32;
  const std::uint64_t stride = LaneStride((kReplicas + 1) * kLanes);
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    const std::uint32_t shared = ReplicaLaneSeed(99, kReplicas, kReplicas + 1, l, kLanes);
    for (std::uint32_t r = 0; r < kReplicas; ++r) {
      const std::uint32_t split = ReplicaLaneSeed(99, r, kReplicas + 1, l, kLanes);
      REQUIRE(JumpAhead(split, stride * (kReplicas - r) * kLanes) == shared);
    }
  }
}

TEST_CASE("runs with neighbouring numbers round independently, their numbers as seeds would not", "[words]") {
  // Decisions at f = 3/4 of lane 0 of 32 of two runs, 2^20 of them: the correlation in sigmas.
  const auto sigmas = [](std::uint32_t seed_0, std::uint32_t seed_1) {
    constexpr int kDraws = 1 << 20;
    Lane draw_0(LaneSeed(seed_0, 0, 32)), draw_1(LaneSeed(seed_1, 0, 32));
    int both = 0, ups_0 = 0, ups_1 = 0;
    for (int n = 0; n < kDraws; ++n) {
      const bool up_0 = draw_0() >= 1u << 22, up_1 = draw_1() >= 1u << 22;
      both += up_0 && up_1;
      ups_0 += up_0;
      ups_1 += up_1;
    }
    const double p_0 = double(ups_0) / kDraws, p_1 = double(ups_1) / kDraws;
    return (double(both) / kDraws - p_0 * p_1) / std::sqrt(p_0 * (1 - p_0) * p_1 * (1 - p_1)) * std::sqrt(double(kDraws));
  };
  for (std::uint32_t a = 0; a < 9; ++a) {
    for (std::uint32_t b = 0; b < a; ++b) {
      CAPTURE(a, b);
      CHECK(std::abs(sigmas(MixSeed(a), MixSeed(b))) < 4);
    }
  }
  CHECK(sigmas(1, 2) > 50);
  CHECK(sigmas(4, 8) > 50);
}

TEST_CASE("jumping over words equals drawing them", "[words]") {
  std::uint32_t state = LaneSeed(5, 3, 16);
  const std::uint32_t start = state;
  for (std::uint64_t n = 0; n < 1000; ++n, state = Leap(state)) {
    REQUIRE(JumpWords(start, n) == state);
  }
  CHECK(JumpWords(start, kLfsrPeriod) == start);
  // 32 times as many steps do not fit 64 bits.
  CHECK(JumpWords(start, std::uint64_t{1} << 60) == JumpWords(start, (std::uint64_t{1} << 60) % kLfsrPeriod));
  CHECK(JumpWords(start, kLfsrPeriod << 31) == start);
  CHECK(JumpWords(JumpWords(start, 3000000000u), 1294967295u) == start);
}

}  // namespace dither
