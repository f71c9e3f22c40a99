// A stationary tile of up to 16 x 16 times 16 moving columns: the same bits as ColumnSum, in 32-bit lanes of
// AVX-512.
//
// Two things make it quicker than column_block.hpp. A product comes with its sign, as the one's complement
// of a negative one: x holds (2 s m, s) and w (s' m', s') in two halves of 16 bits, so the sum of both
// products is s s' (2 m m' + 1); shifted right by d + 1, with the sign, it is (m m' >> d), complemented
// where negative. What the complements lack, 1 for each, is counted from the signs alone. And a column of 16 rows
// is below 2^32, so that its foot fits 32 bits and a word for what falls out below.
//
// Test  tb/model/tile_product_test.cpp
#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/model/column_block.hpp"
#include "sim/model/operand.hpp"

namespace dither::model {

inline constexpr int kTileSide = 16;

// Rows of 16 operands each, `rows` of them in use.
struct alignas(64) OperandTile {
  std::int32_t pair[kTileSide][kTileSide];      // (sign : 16, signed magnitude : 16)
  std::int32_t exponent[kTileSide][kTileSide];  // 1..254, or kZeroExponent
  std::uint32_t negative[kTileSide];            // by lane, a bit for each row
  std::uint16_t bits[kTileSide][kTileSide];     // the operands themselves
  int rows;

  void Clear() {
    rows = 0;
    for (std::uint32_t& n : negative) n = 0;
  }
};

enum class TileSide { kMoving, kStationary };

// PSUM words of 16 lanes, columns first .. first + columns - 1 of w, `stride` bytes from column to column. Neither tile
// holds an infinity or NaN; PSUM may.
struct TileJob {
  const OperandTile* x;
  const OperandTile* w;
  int columns;
  bool accumulate;
  std::uint8_t* psum;
  std::size_t stride;
};
struct TileKernel {
  void (*run)(const TileJob& job);
  // The operands of `count` elements, 1..16, from `at`, `stride` bytes apart, as the tile's next row; the lanes behind
  // them are zero. True if there is an infinity or NaN.
  bool (*add_row)(OperandMode mode, TileSide side, const std::uint8_t* at, std::int64_t stride, int count,
                  OperandTile* tile);
};
// Null where the processor, or the build, has no AVX-512: column_block.hpp is quicker then.
const TileKernel* FindTileKernel();

}  // namespace dither::model
