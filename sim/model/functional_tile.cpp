// The usual matmul of the functional model: one tile of at most 16 x 16 floats, without infinities and NaN,
// words of PSUM that differ. Everything else goes column by column (functional.cpp); so do the 16 columns of a
// block in which an infinity or NaN comes.
#include <algorithm>
#include <array>
#include <cstring>

#include "sim/model/column_block.hpp"
#include "sim/model/functional.hpp"

namespace dither {

using isa::Dtype;
using isa::EngineInstr;

namespace {
const model::TileKernel* const kKernel = model::FindTileKernel();
}  // namespace

bool FunctionalModel::LoadTile(const EngineInstr& i) {
  using model::kTileSide;
  tile_ready_ = tile_pending_ = false;
  const auto dtype = static_cast<Dtype>(i.dtype_1);
  if (kKernel == nullptr || config_.rows > kTileSide || i.tiles != 0 || i.pair != 0 ||
      static_cast<isa::Op>(i.opcode) != isa::Op::kMatmul || dtype == Dtype::kInt8) {
    return false;
  }
  const std::int64_t bytes = isa::DtypeBytes(dtype);
  tile_.Clear();
  bool special = false;
  for (std::uint32_t k = 0; k < i.parts; ++k) {
    special |= kKernel->add_row(model::ModeOf1(i), model::TileSide::kStationary, memory_.Sbuf(i.part_1 + k) + i.off_1,
                                i.str_1[0] * bytes, i.parts_d, &tile_);
  }
  if (special) return false;
  tile_row_ = i.part_1;
  tile_column_ = i.part_d;
  tile_columns_ = i.parts_d;
  return tile_ready_ = tile_pending_ = true;
}

void FunctionalModel::SpreadTile() {
  if (!tile_pending_) return;
  tile_pending_ = false;
  std::fill(stationary_bits_.begin(), stationary_bits_.end(), std::uint16_t{0});
  std::fill(column_special_.begin(), column_special_.end(), std::uint8_t{0});
  for (int k = 0; k < tile_.rows; ++k) {
    for (std::uint32_t m = 0; m < tile_columns_; ++m) {
      stationary_bits_[std::size_t{tile_column_ + m} * config_.rows + tile_row_ + static_cast<std::uint32_t>(k)] =
          tile_.bits[k][m];
    }
  }
  for (std::size_t n = 0; n < stationary_bits_.size(); ++n) {
    stationary_[n] = model::TakeApart(stationary_bits_[n]);
  }
}

void FunctionalModel::Matmul(const EngineInstr& i) {
  using model::kTileSide;
  if (!i.reuse) LoadStationary(i);
  if (!tile_ready_ || i.tiles != 0 || i.pair != 0 || i.str_d[0] == 0 || static_cast<Dtype>(i.dtype_0) == Dtype::kInt8) {
    return ColumnByColumn(i);
  }
  const model::OperandMode mode = model::ModeOf0(i);
  const std::int64_t bytes = isa::DtypeBytes(mode.dtype);
  // Rows that go on where the one before ends, on both sides, are one.
  std::array<std::uint32_t, 4> size = {i.size[0], i.size[1], i.size[2], i.size[3]};
  for (int k = 1; k < 4; ++k) {
    if (i.str_0[k] != static_cast<std::int64_t>(size[0]) * i.str_0[0] ||
        i.str_d[k] != static_cast<std::int64_t>(size[0]) * i.str_d[0]) {
      break;
    }
    size[0] *= size[k];
    size[k] = 1;
  }
  const std::int64_t step_0 = i.str_0[0] * bytes, step_d = std::int64_t{i.str_d[0]} * 4;
  const auto run = [&](std::int64_t source, std::int64_t target, int lanes) {
    moving_tile_.Clear();
    bool special = false;
    for (std::uint32_t k = 0; k < i.parts; ++k) {
      special |= kKernel->add_row(mode, model::TileSide::kMoving, memory_.Sbuf(i.part_0 + k) + source, step_0, lanes,
                                &moving_tile_);
    }
    if (special) {
      EngineInstr block = i;
      block.reuse = 1;
      block.size = {static_cast<std::uint16_t>(lanes), 1, 1, 1};
      block.off_0 = static_cast<std::uint32_t>(source);
      block.off_d = static_cast<std::uint32_t>(target);
      return ColumnByColumn(block);
    }
    std::uint8_t* at = memory_.Psum(i.part_d) + target;
    const model::TileJob job = {&moving_tile_, &tile_, i.parts_d, i.acc != 0, at, isa::kPsumBytes};
    if (lanes == kTileSide && step_d == 4) return kKernel->run(job);
    // Words elsewhere than side by side, or fewer: there and back.
    std::uint32_t words[kTileSide][kTileSide] = {};
    const auto each = [&](auto&& copy) {
      for (int m = 0; m < i.parts_d; ++m) {
        std::uint8_t* word = at + m * std::int64_t{isa::kPsumBytes};
        for (int n = 0; n < lanes; ++n, word += step_d) copy(word, &words[m][n]);
      }
    };
    if (i.acc != 0) each([](const std::uint8_t* word, std::uint32_t* lane) { std::memcpy(lane, word, 4); });
    kKernel->run({job.x, job.w, job.columns, job.accumulate, reinterpret_cast<std::uint8_t*>(words), sizeof words[0]});
    each([](std::uint8_t* word, const std::uint32_t* lane) { std::memcpy(word, lane, 4); });
  };
  for (std::uint32_t i3 = 0; i3 < size[3]; ++i3) {
    for (std::uint32_t i2 = 0; i2 < size[2]; ++i2) {
      for (std::uint32_t i1 = 0; i1 < size[1]; ++i1) {
        const auto offset = [&](const std::array<std::int16_t, 4>& str) {
          return std::int64_t{i1} * str[1] + std::int64_t{i2} * str[2] + std::int64_t{i3} * str[3];
        };
        const std::int64_t source = i.off_0 + offset(i.str_0) * bytes, target = i.off_d + offset(i.str_d) * 4;
        for (std::uint32_t n = 0; n < size[0]; n += kTileSide) {
          const auto lanes = static_cast<int>(std::min<std::uint32_t>(kTileSide, size[0] - n));
          run(source + n * step_0, target + n * step_d, lanes);
        }
      }
    }
  }
}

}  // namespace dither
