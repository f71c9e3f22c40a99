// The block form of the array's sums against the formula itself, pattern by pattern.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "sim/model/column_block.hpp"

namespace dither::model {
namespace {

// bf16 patterns of several tempers: any exponent, near one, a training run's spread, with zeros,
// subnormals and, if asked, infinities and NaN.
struct Patterns {
  std::mt19937 random;
  int temper;
  std::uint16_t operator()() {
    const std::uint32_t b = random();
    const std::uint32_t field = temper == 0   ? b >> 16 & 0xff
                                : temper == 1 ? 120 + (b >> 16) % 10
                                : temper == 2 ? 90 + (b >> 16) % 60
                                              : (b >> 16) % 3;
    const std::uint32_t finite = field == 255 ? 254 : field;
    if (b >> 28 == 0) return static_cast<std::uint16_t>(b & 0x8000);
    return static_cast<std::uint16_t>((b & 0x807f) | finite << 7);
  }
};

}  // namespace

TEST_CASE("sixteen columns at once have the bits of sixteen single columns", "[column_block]") {
  const int temper = GENERATE(0, 1, 2, 3);
  Patterns draw{std::mt19937(7u + temper), temper};
  for (int trial = 0; trial < 3000; ++trial) {
    const int width = 8 << draw.random() % 3;
    const int lead = static_cast<int>(draw.random() % static_cast<unsigned>(width));
    const int rows = static_cast<int>(1 + draw.random() % 128);
    const BlockShape shape = {rows, lead, width};
    std::vector<std::uint16_t> x(rows * kBlockLanes), w(rows);
    for (auto& e : x) e = draw();
    for (auto& e : w) e = draw();
    if (trial % 5 == 0) {  // cancellation: neighbours of opposite sign
      for (int r = 0; r + 1 < rows; r += 2) {
        w[r + 1] = static_cast<std::uint16_t>(w[r] ^ 0x8000);
        for (int n = 0; n < kBlockLanes; ++n) x[(r + 1) * kBlockLanes + n] = x[r * kBlockLanes + n];
      }
    }
    std::vector<BlockRow> block(rows);
    std::vector<BlockOperand> column(rows);
    std::uint32_t special = 0;
    for (int r = 0; r < rows; ++r) {
      special |= DecodeRow(&x[r * kBlockLanes], &block[r]);
      column[r] = TakeApart(w[r]);
    }
    REQUIRE(special == 0);
    BlockSums sums;
    SumBlock(block.data(), column.data(), shape, &sums);
    const bool accumulate = trial % 2 == 0;
    std::uint32_t psum[kBlockLanes], old[kBlockLanes];
    for (auto& p : psum) {
      p = draw.random();
      if (trial % 3 == 0) p = (p & 0x807fffff) | (120 + draw.random() % 12) << 23;
      if (trial % 7 == 0) p &= 0x807fffff;
    }
    std::copy_n(psum, kBlockLanes, old);
    const std::uint32_t unusual = FinishBlock(&sums, accumulate, psum);
    for (const ColumnKernel& kernel : ColumnKernels()) {
      std::vector<BlockRow> decoded(rows);
      for (int r = 0; r < rows; ++r) {
        REQUIRE(kernel.decode(&x[r * kBlockLanes], &decoded[r]) == 0);
      }
      // Two columns, the second with the first's signs turned round; words of PSUM anywhere.
      std::vector<BlockOperand> both(column);
      for (const BlockOperand& e : column) both.push_back({e.magnitude, e.exponent, ~e.sign});
      const std::size_t stride = 4 * kBlockLanes + 12;
      std::vector<std::uint8_t> words(2 * stride + 1, 0xa5);
      for (int m = 0; m < 2; ++m) std::memcpy(&words[1 + m * stride], old, sizeof old);
      std::uint32_t reported[2] = {~0u, ~0u};
      kernel.run({decoded.data(), shape, both.data(), column.size(), 2, accumulate,
                  &words[1], stride, reported});
      for (int m = 0; m < 2; ++m) {
        BlockSums turned;
        SumBlock(block.data(), &both[m * column.size()], shape, &turned);
        std::uint32_t expected[kBlockLanes], got[kBlockLanes];
        std::copy_n(old, kBlockLanes, expected);
        REQUIRE(reported[m] == FinishBlock(&turned, accumulate, expected));
        std::memcpy(got, &words[1 + m * stride], sizeof got);
        INFO(kernel.name << " column " << m << " rows " << rows);
        REQUIRE(std::equal(got, got + kBlockLanes, expected));
        for (int b = 0; b < 12; ++b) REQUIRE(words[1 + m * stride + sizeof old + b] == 0xa5);
      }
    }
    for (int n = 0; n < kBlockLanes; ++n) {
      ColumnSum one;
      for (int r = -lead; r < rows; r += width) {
        std::uint16_t gx[kMaxDotWidth] = {}, gw[kMaxDotWidth] = {};
        for (int g = std::max(0, -r); g < std::min(width, rows - r); ++g) {
          gx[g] = x[(r + g) * kBlockLanes + n];
          gw[g] = w[r + g];
        }
        one.AddGroup(gx, gw, width);
      }
      REQUIRE(one.sum == sums.sum[n]);
      REQUIRE(one.exp == sums.exp[n]);
      const bool left = (unusual >> n & 1) != 0;
      REQUIRE(left == (accumulate && (old[n] >> 23 & 0xff) == 0xff));
      if (!left) {
        INFO("lane " << n << " rows " << rows << " psum " << old[n]);
        REQUIRE(psum[n] == one.Finish(accumulate, old[n]));
      }
    }
  }
}

TEST_CASE("a row with an infinity or NaN is reported by lane", "[column_block]") {
  std::vector<std::uint16_t> x(kBlockLanes, 0x3f80);
  x[3] = 0x7f80;
  x[9] = 0xffc1;
  BlockRow row;
  for (const ColumnKernel& kernel : ColumnKernels()) {
    CHECK(kernel.decode(x.data(), &row) == (1u << 3 | 1u << 9));
    CHECK(row.negative == 1u << 9);
  }
}

}  // namespace dither::model
