// Tiles at once against ToOperand and ColumnSum, which define them.
#include <catch2/catch.hpp>

#include <cstring>
#include <random>
#include <vector>

#include "sim/model/check.hpp"
#include "sim/model/tile_product.hpp"

namespace dither::model {
namespace {

using isa::Dtype;

// bf16 patterns without infinities and NaN: any exponent, near one, a training run's spread, subnormal.
std::uint16_t Pattern(std::mt19937& random, int temper) {
  const std::uint32_t b = random();
  const std::uint32_t field = temper == 0   ? (b >> 16 & 0xff) % 255
                              : temper == 1 ? 120 + (b >> 16) % 10
                              : temper == 2 ? 90 + (b >> 16) % 60
                                            : (b >> 16) % 3;
  if (b >> 28 == 0) return static_cast<std::uint16_t>(b & 0x8000);
  return static_cast<std::uint16_t>((b & 0x807f) | field << 7);
}

}  // namespace

TEST_CASE("a tile's columns have the bits of single columns", "[tile_product]") {
  const TileKernel* const kernel = FindTileKernel();
  if (kernel == nullptr) return;  // nothing here to be tested
  const int temper = GENERATE(0, 1, 2, 3);
  std::mt19937 random(21u + static_cast<unsigned>(temper));
  for (int trial = 0; trial < 20000; ++trial) {
    const int rows = trial % 3 == 0 ? kTileSide : static_cast<int>(1 + random() % kTileSide);
    const int columns = trial % 4 == 0 ? kTileSide : static_cast<int>(1 + random() % kTileSide);
    std::uint16_t x[kTileSide][kTileSide] = {}, w[kTileSide][kTileSide] = {};
    for (int r = 0; r < rows; ++r) {
      for (int n = 0; n < kTileSide; ++n) {
        x[r][n] = Pattern(random, temper);
        w[r][n] = Pattern(random, temper);
        if (trial % 5 == 0 && r % 2 == 1) {  // cancellation: neighbours of opposite sign, or nearly so
          x[r][n] = x[r - 1][n];
          w[r][n] = static_cast<std::uint16_t>(w[r - 1][n] ^ 0x8000 ^ (n % 4 == 0 ? 1 : 0));
        }
      }
    }
    OperandTile moving, stationary;
    moving.Clear();
    stationary.Clear();
    for (int r = 0; r < rows; ++r) {
      REQUIRE_FALSE(kernel->add_row({Dtype::kBf16}, TileSide::kMoving, reinterpret_cast<const std::uint8_t*>(x[r]), 2, kTileSide, &moving));
      REQUIRE_FALSE(kernel->add_row({Dtype::kBf16}, TileSide::kStationary, reinterpret_cast<const std::uint8_t*>(w[r]), 2, columns, &stationary));
    }
    const bool accumulate = trial % 2 == 0;
    constexpr std::size_t kStride = 4 * kTileSide + 12;
    std::vector<std::uint8_t> before(columns * kStride + 1, 0xa5);
    std::uint32_t expected[kTileSide][kTileSide];
    for (int m = 0; m < columns; ++m) {
      for (int n = 0; n < kTileSide; ++n) {
        ColumnSum sum;
        std::uint16_t gx[kTileSide] = {}, gw[kTileSide] = {};
        for (int r = 0; r < rows; ++r) {
          gx[r] = x[r][n];
          gw[r] = w[r][m];
        }
        sum.AddGroup(gx, gw, kTileSide);
        // Words anywhere, near the sum or its negative, near a half of an ulp of it, subnormals, infinities, NaN.
        std::uint32_t p = random();
        const std::uint32_t alone = sum.Finish(false, 0);
        switch (random() % 8) {
          case 0: p = alone ^ 0x80000000; break;
          case 1: p = alone ^ (p & 0x80000007); break;
          case 2: p = (alone & 0xff800000) ^ (p & 0x80ffffff); break;
          case 3: p = (alone + ((p >> 8 & 63) << 23) - (32u << 23)) ^ (p & 0x80000001); break;
          case 4: p &= 0x807fffff; break;
          case 5: p = ((alone & 0x7f800000) + (24u << 23)) | (p & 0x80000000); break;
          case 6: p = p >> 8 & 1 ? 0x7f800000 | (p & 0x80000003) : p & 0x80000000; break;
          default: break;
        }
        std::memcpy(&before[1 + m * kStride + 4 * n], &p, 4);
        expected[m][n] = sum.Finish(accumulate, p);
      }
    }
    std::vector<std::uint8_t> words = before;
    kernel->run({&moving, &stationary, columns, accumulate, &words[1], kStride});
    for (int m = 0; m < columns; ++m) {
      for (int n = 0; n < kTileSide; ++n) {
        std::uint32_t got = 0, old = 0;
        std::memcpy(&got, &words[1 + m * kStride + 4 * n], 4);
        std::memcpy(&old, &before[1 + m * kStride + 4 * n], 4);
        INFO("column " << m << " lane " << n << " rows " << rows << " psum " << std::hex << old);
        REQUIRE(got == expected[m][n]);
      }
      for (std::size_t b = 4 * kTileSide; b < kStride; ++b) REQUIRE(words[1 + m * kStride + b] == 0xa5);
    }
  }
}

TEST_CASE("a tile's row holds what ToOperand says, at any stride", "[tile_product]") {
  const TileKernel* const kernel = FindTileKernel();
  if (kernel == nullptr) return;  // nothing here to be tested
  const Dtype dtype = GENERATE(Dtype::kFp32, Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kFp8E5M2);
  const std::uint32_t bytes = isa::DtypeBytes(dtype), pieces = PiecesOf(dtype);
  std::mt19937 random(22);
  for (int trial = 0; trial < 20000; ++trial) {
    const OperandMode mode = {dtype, static_cast<std::uint8_t>(random() % pieces), random() % 2 == 0};
    const int count = trial % 3 == 0 ? kTileSide : static_cast<int>(1 + random() % kTileSide);
    const std::int64_t stride = (trial % 2 == 0 ? 1 : static_cast<std::int64_t>(random() % 7) - 3) * bytes;
    std::vector<std::uint8_t> memory(128 * bytes);
    for (auto& b : memory) b = static_cast<std::uint8_t>(random());
    if (trial % 3 != 0 && dtype == Dtype::kFp32) {  // exponents 0 to 31, or 255
      for (std::size_t n = 0; n < memory.size(); n += 4) {
        memory[n + 3] = trial % 3 == 1 ? (memory[n + 3] & 0x80) | (memory[n + 3] & 15) : memory[n + 3] | 0x7f;
      }
    }
    const std::uint8_t* at = &memory[64 * bytes];
    const int fillers = static_cast<int>(random() % 15);
    const TileSide side = random() % 2 == 0 ? TileSide::kMoving : TileSide::kStationary;
    OperandTile tile;
    tile.Clear();
    for (int filler = fillers; filler > 0; --filler) {
      kernel->add_row({Dtype::kBf16}, TileSide::kMoving, memory.data(), 0, 1, &tile);
    }
    const int row = tile.rows;
    const bool special = kernel->add_row(mode, side, at, stride, count, &tile);
    bool expected = false;
    for (int n = 0; n < kTileSide; ++n) {
      std::uint32_t element = 0;
      if (n < count) std::memcpy(&element, at + n * stride, bytes);
      const std::uint16_t operand = ToOperand(mode, element);
      expected |= (operand & 0x7f80) == 0x7f80;
      const bool nan = (tile.bits[row][n] & 0x7fff) > 0x7f80 && operand == kOperandNan;
      INFO("element " << std::hex << element << " piece " << int{mode.piece});
      REQUIRE((nan || tile.bits[row][n] == operand));
      if (nan) continue;
      const BlockOperand apart = TakeApart(operand);
      const std::int32_t magnitude = side == TileSide::kMoving ? 2 * apart.magnitude : apart.magnitude;
      REQUIRE(static_cast<std::int16_t>(tile.pair[row][n]) == (apart.sign != 0 ? -magnitude : magnitude));
      REQUIRE(tile.pair[row][n] >> 16 == (apart.sign != 0 ? -1 : 1));
      REQUIRE(tile.exponent[row][n] == apart.exponent);
      REQUIRE((tile.negative[n] >> row & 1) == (apart.sign != 0 ? 1u : 0u));
    }
    REQUIRE(special == expected);
    REQUIRE(tile.rows == row + 1);
  }
}

}  // namespace dither::model
