// Execution of every instruction on the plain memories.
#include "sim/model/functional.hpp"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "sim/model/column_sum.hpp"
#include "sim/model/formats.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/lfsr.hpp"
#include "sim/model/operand.hpp"
#include "sim/model/row_kernels.hpp"

namespace dither {
namespace {

using isa::DmaInstr;
using isa::Dtype;
using isa::EngineInstr;
using isa::Op;
using isa::Queue;
using isa::Space;
using model::WidenRow;

std::uint32_t LoadBits(const std::uint8_t* at, std::uint32_t bytes) {
  std::uint32_t bits = at[0];
  if (bytes >= 2) bits |= static_cast<std::uint32_t>(at[1]) << 8;
  if (bytes == 4) {
    bits |= static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
  }
  return bits;
}

void StoreBits(std::uint8_t* at, std::uint32_t bytes, std::uint32_t bits) {
  at[0] = static_cast<std::uint8_t>(bits);
  if (bytes >= 2) at[1] = static_cast<std::uint8_t>(bits >> 8);
  if (bytes == 4) {
    at[2] = static_cast<std::uint8_t>(bits >> 16);
    at[3] = static_cast<std::uint8_t>(bits >> 24);
  }
}

constexpr auto kSumTotal = static_cast<std::uint8_t>(isa::ActSum::kTotal);

bool IsDma(Queue queue) { return queue == Queue::kDma0 || queue == Queue::kDma1; }

// Calls f(base offset of the row) for dimensions 1..3, innermost of them fastest.
template <typename Size, typename F>
void ForEachRow(const std::array<Size, 4>& size, F&& f) {
  for (std::uint32_t i3 = 0; i3 < size[3]; ++i3) {
    for (std::uint32_t i2 = 0; i2 < size[2]; ++i2) {
      for (std::uint32_t i1 = 0; i1 < size[1]; ++i1) f(i1, i2, i3);
    }
  }
}

template <typename Strides>
std::int64_t RowOffset(const Strides& str, std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
  return std::int64_t{i1} * str[1] + std::int64_t{i2} * str[2] + std::int64_t{i3} * str[3];
}

// The array's operands of elements at `at`. One loop per dtype, so that the conversion is inlined.
template <Dtype dtype>
void ReadOperandsOf(model::OperandMode mode, const std::uint8_t* memory, const std::int64_t* at,
                    int count, std::uint16_t* out) {
  mode.dtype = dtype;
  for (int n = 0; n < count; ++n) {
    out[n] = model::ToOperand(mode, LoadBits(memory + at[n], isa::DtypeBytes(dtype)));
  }
}
void ReadOperands(model::OperandMode mode, const std::uint8_t* memory, const std::int64_t* at,
                  int count, std::uint16_t* out) {
  switch (mode.dtype) {
    case Dtype::kFp32: return ReadOperandsOf<Dtype::kFp32>(mode, memory, at, count, out);
    case Dtype::kBf16: return ReadOperandsOf<Dtype::kBf16>(mode, memory, at, count, out);
    case Dtype::kFp16: return ReadOperandsOf<Dtype::kFp16>(mode, memory, at, count, out);
    case Dtype::kFp8E4M3: return ReadOperandsOf<Dtype::kFp8E4M3>(mode, memory, at, count, out);
    case Dtype::kFp8E5M2: return ReadOperandsOf<Dtype::kFp8E5M2>(mode, memory, at, count, out);
    case Dtype::kInt8: return ReadOperandsOf<Dtype::kInt8>(mode, memory, at, count, out);
    case Dtype::kInt32: return;  // the checks refuse it
  }
}

bool IsSpecial(std::uint16_t bf16) { return (bf16 & 0x7f80) == 0x7f80; }

// True if a row of the instruction may be computed as a whole: its destination doesn't overlap a
// source in a way that a later element of the row could notice.
bool Disjoint(std::int64_t a, std::int64_t a_bytes, std::int64_t b, std::int64_t b_bytes) {
  return a + a_bytes <= b || b + b_bytes <= a;
}

// First and last byte of a row.
std::pair<std::int64_t, std::int64_t> Extent(std::int64_t at, std::int64_t stride,
                                             std::uint32_t count, std::uint32_t bytes) {
  const std::int64_t far = at + (std::int64_t{count} - 1) * stride * bytes;
  return {std::min(at, far), std::max(at, far) + bytes};
}

}  // namespace

FunctionalModel::FunctionalModel(const isa::Config& config, std::uint64_t dram_base,
                                 std::uint64_t dram_bytes)
    : config_(config),
      limits_{config.rows, config.sbuf_bytes, dram_base, dram_base + dram_bytes, config.pairs},
      memory_(config),
      dram_(dram_base, dram_bytes),
      vector_rounder_(config.rows),
      scalar_rounder_(config.rows),
      stationary_(std::size_t{config.rows} * config.rows * (config.pairs ? 2 : 1), model::TakeApart(std::uint16_t{0})),
      stationary_bits_(std::size_t{config.rows} * config.rows),
      stationary_pair_(config.pairs ? stationary_.size() : 0),
      column_special_(config.rows) {
  // As after reset: the vector lanes, then the scalar lanes, share the LFSR's cycle evenly.
  for (std::uint32_t lane = 0; lane < config.rows; ++lane) {
    vector_rounder_[lane] = LaneSeed(1, lane, 2 * config.rows);
    scalar_rounder_[lane] = LaneSeed(1, config.rows + lane, 2 * config.rows);
  }
}

void FunctionalModel::SetVectorRounder(std::uint32_t lane, std::uint32_t state) {
  vector_rounder_.at(lane) = LfsrRecover(state);
}

void FunctionalModel::SetScalarRounder(std::uint32_t lane, std::uint32_t state) {
  scalar_rounder_.at(lane) = LfsrRecover(state);
}

CheckResult FunctionalModel::Check(Queue queue, const isa::Encoded& encoded) const {
  const CheckResult check = CheckInstruction(queue, encoded, limits_);
  if (check.err != isa::Err::kNone) return check;
  const Op op = static_cast<Op>(encoded[0]);
  if (op == Op::kAct && queue == Queue::kScalar) {
    const std::uint8_t func = isa::DecodeEngineInstr(encoded).func;
    if (!functions_.Loaded(func)) return {isa::Err::kFuncNotLoaded, 0, func};
  }
  if (psum_written_ == 0xff) return check;
  if ((op != Op::kMatmul && op != Op::kTranspose) || !isa::DecodeEngineInstr(encoded).acc) return {};
  const auto unwritten =
      static_cast<std::uint8_t>(PsumBanksWritten(queue, encoded) & ~psum_written_);
  if (unwritten == 0) return {};
  return {isa::Err::kPsumUnwritten, 0,
          std::countr_zero(unwritten) * std::int64_t{isa::kPsumBankWords} * 4};
}

CheckResult FunctionalModel::Execute(Queue queue, const isa::Encoded& encoded) {
  const CheckResult check = Check(queue, encoded);
  if (check.err != isa::Err::kNone) return check;
  const Op op = static_cast<Op>(encoded[0]);
  counted_ = 0;
  if (op == Op::kNop) return {};
  if (IsDma(queue)) return Copy(isa::DecodeDmaInstr(encoded));
  const EngineInstr i = isa::DecodeEngineInstr(encoded);
  if (op == Op::kLoad) return Load(i);
  // Once every bank holds something there is nothing to find out.
  if (psum_written_ != 0xff && static_cast<Space>(i.space_d) == Space::kPsum) {
    psum_written_ |= PsumBanksWritten(queue, encoded);
  }
  switch (op) {
    case Op::kMatmul: i.count_nf ? CountedMatmul(i) : Matmul(i); break;
    case Op::kTranspose: Transpose(i); break;
    case Op::kTensor: Tensor(i); break;
    case Op::kReduce: Reduce(i); break;
    case Op::kScan: Scan(i); break;
    case Op::kStats: Stats(i); break;
    case Op::kShuffle: Shuffle(i); break;
    case Op::kAct: Act(i); break;
    default: break;
  }
  return {};
}

std::uint64_t FunctionalModel::Work(Queue queue, const isa::Encoded& encoded) {
  const Op op = static_cast<Op>(encoded[0]);
  if (op == Op::kNop) return 0;
  std::uint64_t count = 1;
  if (IsDma(queue)) {
    const DmaInstr i = isa::DecodeDmaInstr(encoded);
    for (const std::uint16_t size : i.size) count *= size;
    return count * isa::DtypeBytes(static_cast<Dtype>(i.dtype_d));
  }
  const EngineInstr i = isa::DecodeEngineInstr(encoded);
  if (op == Op::kLoad) return 0;
  const bool grouped = op == Op::kReduce || op == Op::kStats || (op == Op::kAct && i.sum == kSumTotal);
  for (std::size_t k = grouped ? i.rdims + 1u : 0; k < 4; ++k) count *= i.size[k];
  return op == Op::kStats ? 2 * count : count;
}

// ------------------------------------------------------------------------------------ tensor
// engine

void FunctionalModel::LoadStationary(const EngineInstr& i) {
  if (LoadTile(i)) return;
  const std::uint32_t rows = config_.rows;
  const std::uint32_t bytes = ElementBytes(i, 2);
  const bool transpose = static_cast<Op>(i.opcode) == Op::kTranspose;
  const model::OperandMode mode = model::ModeOf1(i);
  std::fill(stationary_bits_.begin(), stationary_bits_.end(), std::uint16_t{0});
  std::fill(column_special_.begin(), column_special_.end(), std::uint8_t{0});
  std::fill(stationary_pair_.begin(), stationary_pair_.end(), model::Factor{});
  // Tiles side by side: the others' rows stay zero in a tile's columns.
  for (std::uint32_t first = 0; first < rows; first += rows >> i.tiles) {
    for (std::uint32_t k = 0; k < i.parts; ++k) {
      const std::uint32_t row = first + i.part_1 + k;
      const std::uint8_t* at = memory_.Sbuf(row) + i.off_1;
      for (std::uint32_t m = 0; m < i.parts_d; ++m) {
        const std::uint32_t element = LoadBits(at + std::int64_t{m} * i.str_1[0] * bytes, bytes);
        if (i.pair != 0) {
          const std::uint32_t column = first + i.part_d + m;
          for (std::uint32_t lane = 0; lane < 2; ++lane) {
            const auto f = model::ToPairFactor(mode.dtype, static_cast<std::uint8_t>(element >> (8 * lane)));
            stationary_pair_[(std::size_t{column} * rows + row) * 2 + lane] = f;
            column_special_[column] |= f.inf || f.nan;
          }
          continue;
        }
        const std::uint16_t bits =
            transpose ? model::ToByteOperand(i, element) : model::ToOperand(mode, element);
        const std::uint32_t column = first + i.part_d + m;
        stationary_bits_[std::size_t{column} * rows + row] = bits;
        column_special_[column] |= IsSpecial(bits);
      }
    }
  }
  if (i.pair != 0) {
    for (std::size_t n = 0; n < stationary_.size(); ++n) stationary_[n] = model::TakeApart(stationary_pair_[n]);
  } else {
    for (std::size_t n = 0; n < stationary_bits_.size(); ++n) stationary_[n] = model::TakeApart(stationary_bits_[n]);
  }
}

// One-hot columns pick the tile's rows one after the other.
void FunctionalModel::Transpose(const EngineInstr& i) {
  LoadStationary(i);
  for (std::uint32_t m = 0; m < i.parts_d; ++m) {
    const std::uint32_t column = std::uint32_t{i.part_d} + m;
    const std::uint16_t* w = &stationary_bits_[std::size_t{column} * config_.rows + i.part_1];
    std::uint8_t* at = memory_.Psum(column) + i.off_d;
    for (std::uint32_t k = 0; k < i.parts; ++k, at += std::int64_t{i.str_d[0]} * 4) {
      const std::uint32_t magnitude = w[k] & 0x7fff;
      const std::uint32_t value = (w[k] & 0x8000) != 0 ? 0 - magnitude : magnitude;
      const std::uint32_t word = value << (8 * model::TransposeShift(i));
      StoreBits(at, 4, word + (i.acc != 0 ? LoadBits(at, 4) : 0));
    }
  }
}

void FunctionalModel::ColumnByColumn(const EngineInstr& i) {
  using model::kBlockLanes;
  static const model::ColumnKernel kernel = model::ColumnKernels().front();
  const std::uint32_t rows = config_.rows;
  SpreadTile();

  // Byte offsets of all columns, source and target, in order.
  const model::OperandMode mode = model::ModeOf0(i);
  const bool integer = static_cast<Dtype>(i.dtype_d) == Dtype::kInt32;
  const std::uint32_t bytes = ElementBytes(i, 1);
  const std::uint32_t per_row = i.pair != 0 ? 2 : 1;  // operands that a row of the array takes
  const std::size_t columns = std::size_t{i.size[0]} * i.size[1] * i.size[2] * i.size[3];
  source_at_.resize(columns);
  target_at_.resize(columns);
  std::size_t made = 0;
  ForEachRow(i.size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
    const std::int64_t source = RowOffset(i.str_0, i1, i2, i3);
    const std::int64_t target = RowOffset(i.str_d, i1, i2, i3);
    for (std::uint32_t i0 = 0; i0 < i.size[0]; ++i0, ++made) {
      source_at_[made] = i.off_0 + (source + std::int64_t{i0} * i.str_0[0]) * bytes;
      target_at_[made] = i.off_d + (target + std::int64_t{i0} * i.str_d[0]) * 4;
    }
  });

  // Only used rows matter: zero products leave a sum as it is. So each tile's rows lie side by side
  // here, and a column takes those of its own tile, unless there is an infinity or NaN: that reaches
  // the zeros of the other tiles' columns too.
  const int width = model::DotWidth(rows);
  const std::uint32_t tile_rows = rows >> i.tiles;
  const std::uint32_t used = std::uint32_t{i.parts} << i.tiles;
  block_.resize(used * per_row);
  if (per_row == 2) {
    moving_pair_.assign(std::size_t{used} * per_row * kBlockLanes, {});
  } else {
    moving_.assign(std::size_t{used} * kBlockLanes, 0);
    for (std::uint32_t r = 0; r < used; ++r) model::DecodeRow(&moving_[r * kBlockLanes], &block_[r]);
  }

  for (std::size_t n0 = 0; n0 < columns; n0 += kBlockLanes) {
    const int lanes = static_cast<int>(std::min<std::size_t>(kBlockLanes, columns - n0));
    const auto contiguous = [&](const std::vector<std::int64_t>& at, std::int64_t step) {
      for (int lane = 1; lane < lanes; ++lane) {
        if (at[n0 + lane] != at[n0] + lane * step) return false;
      }
      return lanes == kBlockLanes;
    };
    const bool source_row =
        mode.dtype == Dtype::kBf16 && !mode.finite_only && contiguous(source_at_, 2);
    const bool target_row = contiguous(target_at_, 4) && !integer;
    std::uint32_t special = 0;  // a bit per lane
    for (std::uint32_t tile = 0; tile < (1u << i.tiles); ++tile) {
      for (std::uint32_t k = 0; k < i.parts; ++k) {
        const std::uint32_t row = tile * i.parts + k;
        const std::uint8_t* memory = memory_.Sbuf(tile * tile_rows + i.part_0 + k);
        if (per_row == 2) {
          for (std::uint32_t r = 2 * row; r < 2 * row + 2; ++r) {
            model::Factor* factors = &moving_pair_[std::size_t{r} * kBlockLanes];
            for (int lane = 0; lane < lanes; ++lane) {
              factors[lane] = model::ToPairFactor(mode.dtype, memory[source_at_[n0 + lane] + r % 2]);
            }
            special |= model::DecodeFactors(factors, &block_[r]);
          }
          continue;
        }
        std::uint16_t* bits = &moving_[std::size_t{row} * kBlockLanes];
        if (source_row) {
          std::memcpy(bits, memory + source_at_[n0], kBlockLanes * sizeof *bits);
        } else {
          ReadOperands(mode, memory, &source_at_[n0], lanes, bits);
        }
        special |= kernel.decode(bits, &block_[row]);
      }
    }
    const auto finish = [&](const model::ColumnSum& sum, std::uint32_t column, int lane) {
      std::uint8_t* at = memory_.Psum(column) + target_at_[n0 + lane];
      const std::uint32_t old = LoadBits(at, 4);
      StoreBits(at, 4, integer ? sum.FinishInt(i.acc != 0, old, 0) : sum.Finish(i.acc != 0, old));
    };
    // Lanes that can't go through the block: one by one, in order.
    const auto single = [&](std::uint32_t column, int lane) {
      model::ColumnSum sum;
      if (per_row == 2) {
        const model::Factor* w = &stationary_pair_[std::size_t{column} * rows * 2];
        for (std::uint32_t r = 0; r < 2 * rows; r += 2 * static_cast<std::uint32_t>(width)) {
          model::Factor x[model::kMaxDotWidth];
          for (std::uint32_t g = 0; g < 2 * static_cast<std::uint32_t>(width); ++g) {
            const std::uint32_t row = (r + g) / 2, tile = row / tile_rows, k = row % tile_rows - i.part_0;
            if (k < i.parts) x[g] = moving_pair_[((tile * i.parts + k) * 2 + g % 2) * kBlockLanes + lane];
          }
          sum.AddGroup(x, w + r, 2 * width);
        }
        finish(sum, column, lane);
        return;
      }
      // All rows: an infinity of the tile in a row outside meets a zero there.
      const std::uint16_t* w = &stationary_bits_[std::size_t{column} * rows];
      for (std::uint32_t r = 0; r < rows; r += static_cast<std::uint32_t>(width)) {
        std::uint16_t x[model::kMaxDotWidth] = {};
        for (std::uint32_t g = 0; g < static_cast<std::uint32_t>(width); ++g) {
          const std::uint32_t tile = (r + g) / tile_rows, k = (r + g) % tile_rows - i.part_0;
          if (k < i.parts) x[g] = moving_[(tile * i.parts + k) * kBlockLanes + lane];
        }
        sum.AddGroup(x, w + r, width);
      }
      finish(sum, column, lane);
    };
    const auto block_may = [&](std::uint32_t column) {
      return target_row && special == 0 && !column_special_[column];
    };
    for (std::uint32_t tile = 0; tile < (1u << i.tiles); ++tile) {
      const std::uint32_t first = tile * tile_rows, row = first + i.part_0;
      const int each = static_cast<int>(per_row);
      const model::BlockShape shape = {i.parts * each, static_cast<int>(row) % width * each, width * each};
      const model::BlockRow* x = &block_[tile * i.parts * per_row];
      const std::uint32_t end_column = first + i.part_d + i.parts_d;
      for (std::uint32_t column = first + i.part_d; column < end_column;) {
        const std::size_t w = (std::size_t{column} * rows + row) * per_row;
        if (block_may(column)) {
          std::uint32_t end = column + 1;
          while (end < end_column && block_may(end)) ++end;
          unusual_.resize(rows);
          kernel.run({x, shape, &stationary_[w], rows * per_row, static_cast<int>(end - column),
                      i.acc != 0, memory_.Psum(column) + target_at_[n0], isa::kPsumBytes,
                      unusual_.data()});
          for (std::uint32_t m = column; m < end; ++m) {
            if (unusual_[m - column] == 0) continue;
            for (int lane = 0; lane < lanes; ++lane) {
              if ((unusual_[m - column] >> lane & 1) != 0) single(m, lane);
            }
          }
          column = end;
          continue;
        }
        const std::uint32_t slow = column_special_[column] ? ~0u : special;
        model::BlockSums sums;
        model::SumBlock(x, &stationary_[w], shape, &sums);
        for (int lane = 0; lane < lanes; ++lane) {
          if ((slow >> lane & 1) != 0) {
            single(column, lane);
            continue;
          }
          model::ColumnSum sum;
          sum.sum = sums.sum[lane];
          sum.exp = sums.exp[lane];
          finish(sum, column, lane);
        }
        ++column;
      }
    }
  }
}

// The same, and counts the infinite and NaN words written. A word may be written several times, so
// the instruction is taken apart into pieces that write none twice: rows, or single columns where a
// row stays on one word. A matmul of several columns is the same as its pieces one after the other.
void FunctionalModel::CountedMatmul(const EngineInstr& i) {
  EngineInstr piece = i;
  piece.size = {i.str_d[0] != 0 ? i.size[0] : std::uint16_t{1}, 1, 1, 1};
  const std::int64_t bytes = ElementBytes(i, 1);
  const bool counts = static_cast<Dtype>(i.dtype_d) == Dtype::kFp32;
  std::uint64_t words = 0;
  ForEachRow(i.size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
    const std::int64_t source = i.off_0 + RowOffset(i.str_0, i1, i2, i3) * bytes;
    const std::int64_t target = i.off_d + RowOffset(i.str_d, i1, i2, i3) * 4;
    for (std::uint32_t i0 = 0; i0 < i.size[0]; i0 += piece.size[0]) {
      piece.off_0 = static_cast<std::uint32_t>(source + std::int64_t{i0} * i.str_0[0] * bytes);
      piece.off_d = static_cast<std::uint32_t>(target);
      Matmul(piece);
      piece.reuse = 1;
      if (!counts) continue;
      const std::uint32_t room = config_.rows >> i.tiles;
      for (std::uint32_t part = 0; part < config_.rows; ++part) {
        const std::uint32_t m = part % room;  // tiles side by side
        if (m < i.part_d || m >= std::uint32_t{i.part_d} + i.parts_d) continue;
        const std::uint8_t* at = memory_.Psum(part) + target;
        for (std::uint32_t n = 0; n < piece.size[0]; ++n, at += std::int64_t{i.str_d[0]} * 4) {
          words += IsNonfinite(LoadBits(at, 4));
        }
      }
    }
  });
  counted_ = SaturatingAdd(0, words);
}

// -------------------------------------------------------------------- vector and scalar engine

void FunctionalModel::Store(const EngineInstr& i, std::uint32_t lane, std::int64_t byte,
                            std::vector<std::uint32_t>& rounders, const std::uint32_t* values,
                            std::uint32_t count, std::int64_t stride) {
  model::NarrowRow(static_cast<Dtype>(i.dtype_d), values, count, static_cast<Round>(i.round), i.sat != 0,
                   whiten_, rounders[lane], memory_.Of(static_cast<Space>(i.space_d), lane) + byte, stride);
}

namespace {

// Bits 23:0 as a signed integer of 32 bits.
std::uint32_t Signed24(std::int64_t value) {
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<std::uint32_t>(value) << 8) >> 8);
}

// a = func(a, b) over a row; swapped: func(b, a).
void ApplyRow(isa::VecFunc func, bool swapped, std::uint32_t* a, const std::uint32_t* b,
              std::uint32_t count) {
  const auto apply = [&](auto&& f) {
    if (swapped) {
      for (std::uint32_t n = 0; n < count; ++n) a[n] = f(b[n], a[n]);
    } else {
      for (std::uint32_t n = 0; n < count; ++n) a[n] = f(a[n], b[n]);
    }
  };
  using Word = std::uint32_t;
  // As Fp32Add, Fp32Sub and Fp32Mul: a fused multiply-add of what `operands` gives, pieces of a row at a time.
  struct Fused {
    Word a, b, c;
  };
  const auto fused = [&](auto&& operands) {
    constexpr std::uint32_t kPiece = 64;
    Word x[kPiece], y[kPiece], z[kPiece];
    for (std::uint32_t first = 0; first < count; first += kPiece) {
      const std::uint32_t here = std::min(kPiece, count - first);
      for (std::uint32_t n = 0; n < here; ++n) {
        const Word own = a[first + n], other = b[first + n];
        const Fused f = swapped ? operands(other, own) : operands(own, other);
        x[n] = f.a;
        y[n] = f.b;
        z[n] = f.c;
      }
      model::FmaRow(x, y, z, here, a + first);
    }
  };
  const auto truth = [](bool value) { return value ? kFp32One : Word{0}; };
  switch (func) {
    case isa::VecFunc::kCopy: break;
    case isa::VecFunc::kAdd: fused([](Word x, Word y) { return Fused{x, kFp32One, y}; }); break;
    case isa::VecFunc::kSub: fused([](Word x, Word y) { return Fused{x, kFp32One, y ^ kFp32Sign}; }); break;
    case isa::VecFunc::kMul: fused([](Word x, Word y) { return Fused{x, y, (x ^ y) & kFp32Sign}; }); break;
    case isa::VecFunc::kMax: apply(Fp32Max); break;
    case isa::VecFunc::kMin: apply(Fp32Min); break;
    case isa::VecFunc::kAbs: apply([](Word x, Word) { return Fp32Abs(x); }); break;
    case isa::VecFunc::kAbsMax: apply(Fp32AbsMax); break;
    case isa::VecFunc::kEq: apply([&](Word x, Word y) { return truth(Fp32Equal(x, y)); }); break;
    case isa::VecFunc::kNe: apply([&](Word x, Word y) { return truth(!Fp32Equal(x, y)); }); break;
    case isa::VecFunc::kLt: apply([&](Word x, Word y) { return truth(Fp32Less(x, y)); }); break;
    case isa::VecFunc::kLe: apply([&](Word x, Word y) { return truth(Fp32LessEqual(x, y)); }); break;
    case isa::VecFunc::kGt: apply([&](Word x, Word y) { return truth(Fp32Less(y, x)); }); break;
    case isa::VecFunc::kGe: apply([&](Word x, Word y) { return truth(Fp32LessEqual(y, x)); }); break;
    case isa::VecFunc::kSelect:
      apply([](Word x, Word y) { return Fp32IsZero(x) ? Word{0} : y; });
      break;
    case isa::VecFunc::kAnd: apply([](Word x, Word y) { return x & y; }); break;
    case isa::VecFunc::kOr: apply([](Word x, Word y) { return x | y; }); break;
    case isa::VecFunc::kXor: apply([](Word x, Word y) { return x ^ y; }); break;
    case isa::VecFunc::kShl: apply([](Word x, Word y) { return x << (y & 31); }); break;
    case isa::VecFunc::kShr: apply([](Word x, Word y) { return x >> (y & 31); }); break;
    case isa::VecFunc::kAsr:
      apply([](Word x, Word y) {
        return static_cast<Word>(static_cast<std::int32_t>(x) >> (y & 31));
      });
      break;
  }
}

// Rows of the destination, the sources widened into a and b, in pieces that may be computed as a
// whole: an entire row, or single elements where destination and source overlap within the row.
// Where source 0 is generated, f gets a row of its integers or has to draw them itself.
struct RowWalk {
  const EngineInstr& i;
  bool read1;
  isa::Source source_0 = isa::Source::kMemory;

  template <typename F>
  void operator()(CoreMemory& memory, std::uint32_t lane, std::vector<std::uint32_t>& a,
                  std::vector<std::uint32_t>& b, F&& f) const {
    const auto dtype_d = static_cast<Dtype>(i.dtype_d);
    const auto dtype_0 = static_cast<Dtype>(i.dtype_0);
    const auto dtype_1 = static_cast<Dtype>(i.dtype_1);
    const std::uint32_t bytes_d = isa::DtypeBytes(dtype_d);
    const bool read0 = source_0 == isa::Source::kMemory;
    const std::uint32_t bytes_0 = read0 ? isa::DtypeBytes(dtype_0) : 1;
    const std::uint32_t bytes_1 = read1 ? isa::DtypeBytes(dtype_1) : 1;
    const std::uint8_t* m0 = memory.Of(static_cast<Space>(i.space_0), lane);
    const std::uint8_t* m1 = memory.Of(static_cast<Space>(i.space_1), lane);
    a.resize(i.size[0]);
    b.resize(i.size[0]);
    ForEachRow(i.size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
      const std::int64_t d = i.off_d + RowOffset(i.str_d, i1, i2, i3) * bytes_d;
      const std::int64_t s0 = i.off_0 + RowOffset(i.str_0, i1, i2, i3) * bytes_0;
      const std::int64_t s1 = read1 ? i.off_1 + RowOffset(i.str_1, i1, i2, i3) * bytes_1 : 0;
      const auto [d_lo, d_hi] = Extent(d, i.str_d[0], i.size[0], bytes_d);
      const auto apart = [&](std::int64_t s, std::int64_t stride, std::uint32_t bytes,
                             std::uint8_t space) {
        const auto [lo, hi] = Extent(s, stride, i.size[0], bytes);
        const bool in_place = s == d && bytes == bytes_d && stride == i.str_d[0] && stride != 0;
        return space != i.space_d || in_place || Disjoint(lo, hi - lo, d_lo, d_hi - d_lo);
      };
      const bool whole = (!read0 || apart(s0, i.str_0[0], bytes_0, i.space_0)) &&
                         (!read1 || apart(s1, i.str_1[0], bytes_1, i.space_1));
      const std::uint32_t step = whole ? i.size[0] : 1;
      for (std::uint32_t n = 0; n < i.size[0]; n += step) {
        const std::int64_t at = n;
        if (read0) {
          WidenRow(dtype_0, m0 + s0 + at * i.str_0[0] * bytes_0, i.str_0[0], step, a.data());
        } else if (source_0 == isa::Source::kIota) {
          std::int64_t value = i.off_0 + std::int64_t{i.str_0[3]} * lane + std::int64_t{i1} * i.str_0[1] +
                               std::int64_t{i2} * i.str_0[2] + at * i.str_0[0];
          for (std::uint32_t k = 0; k < step; ++k, value += i.str_0[0]) a[k] = Signed24(value);
        }
        if (read1) {
          WidenRow(dtype_1, m1 + s1 + at * i.str_1[0] * bytes_1, i.str_1[0], step, b.data());
        }
        f(d + at * i.str_d[0] * bytes_d, step);
      }
    });
  }
};

}  // namespace

void FunctionalModel::Tensor(const EngineInstr& i) {
  const auto func = static_cast<isa::VecFunc>(i.func), func_1 = static_cast<isa::VecFunc>(i.func_1);
  const auto source_0 = static_cast<isa::Source>(i.gen_0);
  const bool read1 = ReadsSource1(i), two = i.func_1 != 0;
  // Functions of words: an element is its bits, there and back.
  const bool words = OnWords(i.func);
  EngineInstr walk = i;
  if (words) walk.dtype_d = walk.dtype_0 = walk.dtype_1 = static_cast<std::uint8_t>(Dtype::kFp32);
  const bool fused = func == isa::VecFunc::kMul &&
                     (func_1 == isa::VecFunc::kAdd || func_1 == isa::VecFunc::kSub);
  for (std::uint32_t lane = i.part_d; lane < std::uint32_t{i.part_d} + i.parts; ++lane) {
    const std::uint32_t scalar =
        i.scalar_ptr ? LoadBits(memory_.Sbuf(lane) + i.imm0, 4) : i.imm0;
    s_.assign(i.size[0], scalar);
    b_.assign(i.size[0], two ? isa::Imm1(i) : scalar);
    RowWalk{walk, read1, source_0}(memory_, lane, a_, b_, [&](std::int64_t at, std::uint32_t count) {
      if (source_0 == isa::Source::kRandom) {
        vector_rounder_[lane] = model::RandomRow(vector_rounder_[lane], whiten_, count, a_.data());
      }
      if (source_0 != isa::Source::kMemory && !words) {
        for (std::uint32_t n = 0; n < count; ++n) a_[n] = WidenToFp32(Dtype::kInt32, a_[n]);
      }
      if (fused) {
        const bool minus = func_1 == isa::VecFunc::kSub;
        const std::uint32_t flip_product = minus && i.rev_1 ? kFp32Sign : 0;
        const std::uint32_t flip_addend = minus && !i.rev_1 ? kFp32Sign : 0;
        const auto turn = [count](std::vector<std::uint32_t>& row, std::uint32_t flip) {
          if (flip == 0) return;
          for (std::uint32_t n = 0; n < count; ++n) row[n] ^= flip;
        };
        turn(a_, flip_product);
        turn(b_, flip_addend);
        model::FmaRow(a_.data(), s_.data(), b_.data(), count, a_.data());
        turn(b_, flip_addend);  // an immediate stays for the next row
      } else {
        ApplyRow(func, i.rev, a_.data(), two ? s_.data() : b_.data(), count);
        if (two) ApplyRow(func_1, i.rev_1, a_.data(), b_.data(), count);
      }
      if (words) {
        std::uint8_t* to = memory_.Of(static_cast<Space>(i.space_d), lane) + at;
        for (std::uint32_t n = 0; n < count; ++n, to += std::int64_t{i.str_d[0]} * 4) {
          StoreBits(to, 4, a_[n]);
        }
      } else {
        Store(i, lane, at, vector_rounder_, a_.data(), count, i.str_d[0]);
      }
    });
  }
}

void FunctionalModel::Act(const EngineInstr& i) {
  const auto func = static_cast<isa::ActFunc>(i.func);
  const auto sum = static_cast<isa::ActSum>(i.sum);
  const bool read1 = ReadsSource1(i);
  const bool table = i.func >= model::kFirstTableFunc;
  const model::FunctionHeader header = table ? functions_.Header(i.func) : model::FunctionHeader{};
  const bool to_odd = sum == isa::ActSum::kNone &&
                      model::RoundsToOdd(static_cast<Dtype>(i.dtype_d), static_cast<Round>(i.round));
  std::uint64_t group = 1;  // elements of a sum
  for (std::size_t k = 0; k <= i.rdims; ++k) group *= i.size[k];
  s_.assign(i.size[0], i.imm0);
  for (std::uint32_t lane = i.part_d; lane < std::uint32_t{i.part_d} + i.parts; ++lane) {
    SumAccumulator accumulator;
    std::uint64_t summed = 0;
    b_.assign(i.size[0], isa::Imm1(i));
    RowWalk{i, read1}(memory_, lane, a_, b_, [&](std::int64_t at, std::uint32_t count) {
      model::FmaRow(a_.data(), s_.data(), b_.data(), count, a_.data());
      if (table) {
        for (std::uint32_t n = 0; n < count; ++n) a_[n] = functions_.Apply(header, a_[n], to_odd);
      } else if (func == isa::ActFunc::kRelu) {
        for (std::uint32_t n = 0; n < count; ++n) a_[n] = Fp32Relu(a_[n]);
      }
      if (sum == isa::ActSum::kNone) {
        Store(i, lane, at, scalar_rounder_, a_.data(), count, i.str_d[0]);
        return;
      }
      for (std::uint32_t n = 0; n < count; ++n) {
        accumulator.Add(a_[n]);
        const bool last = ++summed == group;
        if (sum == isa::ActSum::kRunning || last) a_[n] = accumulator.Finish();
        if (sum == isa::ActSum::kTotal && last) Store(i, lane, at, scalar_rounder_, &a_[n], 1, 0);
        if (last) {
          accumulator = {};
          summed = 0;
        }
      }
      if (sum == isa::ActSum::kRunning) {
        Store(i, lane, at, scalar_rounder_, a_.data(), count, i.str_d[0]);
      }
    });
  }
}

CheckResult FunctionalModel::Load(const EngineInstr& i) {
  // The partitions' parts one behind the other; the image says how much of them it is.
  const std::size_t bytes = std::size_t{i.size[0]} * 4;
  std::vector<std::uint8_t> image;
  for (std::uint32_t lane = i.part_0; lane < std::uint32_t{i.part_0} + i.parts; ++lane) {
    const std::uint8_t* from = memory_.Of(Space::kSbuf, lane) + i.off_0;
    image.insert(image.end(), from, from + bytes);
  }
  const std::uint64_t length = 8 * std::uint64_t{LoadBits(image.data() + 4, 4)};
  if (length > image.size() || !functions_.Load({image.data(), static_cast<std::size_t>(length)})) {
    return {isa::Err::kBadTable, 0, i.off_0};
  }
  return {};
}

namespace {

// The iteration split into groups: calls f(offset of the group in source 0, in dst) in elements.
// The elements of a group are those of `inner`, rows of size[0] of them.
struct GroupWalk {
  Dtype dtype_0;
  std::uint32_t bytes_0, bytes_d;  // of an element
  std::array<std::uint16_t, 4> inner, outer;

  explicit GroupWalk(const EngineInstr& i)
      : dtype_0(static_cast<Dtype>(i.dtype_0)),
        bytes_0(isa::DtypeBytes(dtype_0)),
        bytes_d(isa::DtypeBytes(static_cast<Dtype>(i.dtype_d))),
        inner(i.size),
        outer(i.size) {
    for (int k = 0; k < 4; ++k) (k <= i.rdims ? outer : inner)[k] = 1;
  }
  template <typename F>
  void Groups(const EngineInstr& i, F&& f) const {
    ForEachRow(outer, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
      f(RowOffset(i.str_0, i1, i2, i3), RowOffset(i.str_d, i1, i2, i3));
    });
  }
  // f(row's offset in source 0, in dst) for every row of a group.
  template <typename F>
  void Rows(const EngineInstr& i, F&& f) const {
    ForEachRow(inner, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
      f(RowOffset(i.str_0, i1, i2, i3), RowOffset(i.str_d, i1, i2, i3));
    });
  }
};

}  // namespace

void FunctionalModel::Reduce(const EngineInstr& i) {
  const auto func = static_cast<isa::RedFunc>(i.func);
  const GroupWalk walk(i);
  a_.resize(i.size[0]);
  for (std::uint32_t lane = i.part_d; lane < std::uint32_t{i.part_d} + i.parts; ++lane) {
    const std::uint8_t* source = memory_.Of(static_cast<Space>(i.space_0), lane) + i.off_0;
    const auto reduce = [&](std::int64_t o0, std::int64_t target, auto accumulator) {
      walk.Rows(i, [&](std::int64_t row, std::int64_t) {
        WidenRow(walk.dtype_0, source + (o0 + row) * walk.bytes_0, i.str_0[0], i.size[0], a_.data());
        for (std::uint32_t n = 0; n < i.size[0]; ++n) accumulator.Add(a_[n]);
      });
      const std::uint32_t value = accumulator.Finish();
      if (func == isa::RedFunc::kArgMax) {  // an int32 as it is
        StoreBits(memory_.Of(static_cast<Space>(i.space_d), lane) + i.off_d + target * 4, 4, value);
      } else {
        Store(i, lane, i.off_d + target * walk.bytes_d, vector_rounder_, &value, 1, 0);
      }
    };
    walk.Groups(i, [&](std::int64_t o0, std::int64_t target) {
      switch (func) {
        case isa::RedFunc::kSum: reduce(o0, target, SumAccumulator()); break;
        case isa::RedFunc::kMax: reduce(o0, target, ExtremeAccumulator(true)); break;
        case isa::RedFunc::kMin: reduce(o0, target, ExtremeAccumulator(false)); break;
        case isa::RedFunc::kArgMax: reduce(o0, target, ArgMaxAccumulator()); break;
      }
    });
  }
}

void FunctionalModel::Scan(const EngineInstr& i) {
  const auto func = static_cast<isa::RedFunc>(i.func);
  const GroupWalk walk(i);
  for (std::uint32_t lane = i.part_d; lane < std::uint32_t{i.part_d} + i.parts; ++lane) {
    const std::uint8_t* source = memory_.Of(static_cast<Space>(i.space_0), lane) + i.off_0;
    const auto scan = [&](std::int64_t o0, std::int64_t target, auto accumulator) {
      walk.Rows(i, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t n = 0; n < i.size[0]; ++n) {
          const std::int64_t at = (o0 + from + n * i.str_0[0]) * walk.bytes_0;
          accumulator.Add(WidenToFp32(walk.dtype_0, LoadBits(source + at, walk.bytes_0)));
          const std::uint32_t value = accumulator.Finish();
          Store(i, lane, i.off_d + (target + to + n * i.str_d[0]) * walk.bytes_d, vector_rounder_, &value,
                1, 0);
        }
      });
    };
    walk.Groups(i, [&](std::int64_t o0, std::int64_t target) {
      if (func == isa::RedFunc::kSum) {
        scan(o0, target, SumAccumulator());
      } else {
        scan(o0, target, ExtremeAccumulator(func == isa::RedFunc::kMax));
      }
    });
  }
}

void FunctionalModel::Stats(const EngineInstr& i) {
  const GroupWalk walk(i);
  a_.resize(i.size[0]);
  for (std::uint32_t lane = i.part_d; lane < std::uint32_t{i.part_d} + i.parts; ++lane) {
    const std::uint8_t* source = memory_.Of(static_cast<Space>(i.space_0), lane) + i.off_0;
    walk.Groups(i, [&](std::int64_t o0, std::int64_t target) {
      StatsAccumulator stats;
      walk.Rows(i, [&](std::int64_t row, std::int64_t) {
        WidenRow(walk.dtype_0, source + (o0 + row) * walk.bytes_0, i.str_0[0], i.size[0], a_.data());
        for (std::uint32_t n = 0; n < i.size[0]; ++n) stats.Add(a_[n]);
      });
      const std::array<std::uint32_t, 2> values = {stats.Mean(i.imm0), stats.Variance(i.imm0)};
      Store(i, lane, i.off_d + target * walk.bytes_d, vector_rounder_, values.data(), 2, i.str_d[0]);
    });
  }
}

void FunctionalModel::Shuffle(const EngineInstr& i) {
  const auto func = static_cast<isa::ShuffleFunc>(i.func);
  const std::uint32_t bytes = isa::DtypeBytes(static_cast<Dtype>(i.dtype_d));
  const auto from = static_cast<Space>(i.space_0), to = static_cast<Space>(i.space_d);
  if (func == isa::ShuffleFunc::kTranspose) {
    const std::uint32_t n = i.parts;
    a_.resize(std::size_t{n} * n);
    ForEachRow(i.size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
      const std::int64_t source = i.off_0 + RowOffset(i.str_0, i1, i2, i3) * bytes;
      const std::int64_t target = i.off_d + RowOffset(i.str_d, i1, i2, i3) * bytes;
      for (std::uint32_t k = 0; k < n; ++k) {
        for (std::uint32_t m = 0; m < n; ++m) {
          const std::int64_t at = source + std::int64_t{m} * i.str_0[0] * bytes;
          a_[k * n + m] = LoadBits(memory_.Of(from, i.part_0 + k) + at, bytes);
        }
      }
      for (std::uint32_t k = 0; k < n; ++k) {
        for (std::uint32_t m = 0; m < n; ++m) {
          const std::int64_t at = target + std::int64_t{k} * i.str_d[0] * bytes;
          StoreBits(memory_.Of(to, i.part_d + m) + at, bytes, a_[k * n + m]);
        }
      }
    });
    return;
  }
  // A column of all partitions at a time, so that an instruction in place is well defined.
  std::array<std::uint32_t, isa::kMaxRows> source_part{};
  for (std::uint32_t p = 0; p < i.parts; ++p) {
    const std::uint32_t word = func == isa::ShuffleFunc::kIndex
                                   ? LoadBits(memory_.Sbuf(i.part_d + p) + i.imm0, 4)
                                   : i.part_0;
    source_part[p] = word % config_.rows;
  }
  a_.resize(i.parts);
  ForEachRow(i.size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
    for (std::int64_t i0 = 0; i0 < i.size[0]; ++i0) {
      const std::int64_t source = i.off_0 + (RowOffset(i.str_0, i1, i2, i3) + i0 * i.str_0[0]) * bytes;
      const std::int64_t target = i.off_d + (RowOffset(i.str_d, i1, i2, i3) + i0 * i.str_d[0]) * bytes;
      for (std::uint32_t p = 0; p < i.parts; ++p) {
        a_[p] = LoadBits(memory_.Of(from, source_part[p]) + source, bytes);
      }
      for (std::uint32_t p = 0; p < i.parts; ++p) {
        StoreBits(memory_.Of(to, i.part_d + p) + target, bytes, a_[p]);
      }
    }
  });
}

// ------------------------------------------------------------------------------------------- DMA

CheckResult FunctionalModel::Copy(const DmaInstr& i) {
  const std::int64_t bytes = isa::DtypeBytes(static_cast<Dtype>(i.dtype_d));
  constexpr std::uint64_t kLow = (std::uint64_t{1} << 44) - 1;
  const Indexed indexed = IndexedSide(i);
  // Every index is looked at before anything moves.
  std::vector<std::uint32_t> list;
  if (indexed != Indexed::kNone) {
    list = IndicesOf(i, memory_);
    for (std::size_t n = 0; n < list.size(); ++n) {
      if (list[n] < isa::Limit(i)) continue;
      const std::uint64_t record = std::uint64_t{n} << 32 | list[n];
      return {isa::Err::kBadIndex, 2, static_cast<std::int64_t>(record << 16) >> 16};
    }
  }
  // Each side as base pointer and byte strides: partitions lie sbuf_bytes apart here.
  struct Side {
    std::uint8_t* base;
    std::array<std::int64_t, 4> str;
  };
  CheckResult error;
  const auto side = [&](std::uint64_t addr, std::array<std::int32_t, 4> str,
                        std::uint8_t operand) {
    Side s{};
    const bool table = indexed == (operand == 0 ? Indexed::kDestination : Indexed::kSource);
    if (indexed != Indexed::kNone) str[3] = 0;
    if (addr >> 44 == static_cast<std::uint64_t>(isa::DmaSpace::kSbuf)) {
      s.base = memory_.Sbuf((addr >> 20) & 0xff) + (addr & 0xfffff);
      for (int k = 0; k < 4; ++k) {
        const PartitionStride split = SplitStride(str[k]);
        s.str[k] = std::int64_t{split.parts} * config_.sbuf_bytes + split.bytes;
      }
      return s;
    }
    std::int64_t lo = static_cast<std::int64_t>(addr & kLow), hi = lo;
    for (int k = 0; k < 4; ++k) {
      s.str[k] = str[k];
      if (table && k == 2) {
        const auto [least, most] = std::minmax_element(list.begin(), list.end());
        lo += std::int64_t{str[k] < 0 ? *most : *least} * str[k];
        hi += std::int64_t{str[k] < 0 ? *least : *most} * str[k];
      } else {
        (str[k] < 0 ? lo : hi) += (std::int64_t{i.size[k]} - 1) * str[k];
      }
    }
    if (!dram_.Contains(static_cast<std::uint64_t>(lo),
                        static_cast<std::uint64_t>(hi - lo + bytes))) {
      if (error.err == isa::Err::kNone) {
        error = {operand == 0 ? isa::Err::kAxiWrite : isa::Err::kAxiRead, 0,
                 static_cast<std::int64_t>(addr & kLow)};
      }
      return s;
    }
    s.base = dram_.At(addr & kLow);
    return s;
  };
  // The source fails first, as it does in hardware: nothing is written then.
  const Side src = side(i.src_addr, i.src_str, 1);
  const Side dst = side(i.dst_addr, i.dst_str, 0);
  if (error.err != isa::Err::kNone) return error;
  const bool rows = src.str[0] == bytes && dst.str[0] == bytes;
  ForEachRow(i.size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
    const std::uint32_t row = indexed == Indexed::kNone ? i2 : list[i2];
    const std::uint8_t* from =
        src.base + RowOffset(src.str, i1, indexed == Indexed::kSource ? row : i2, i3);
    std::uint8_t* to =
        dst.base + RowOffset(dst.str, i1, indexed == Indexed::kDestination ? row : i2, i3);
    if (rows) {
      std::memmove(to, from, static_cast<std::size_t>(bytes) * i.size[0]);
      return;
    }
    for (std::uint32_t n = 0; n < i.size[0]; ++n) {
      std::memcpy(to + n * dst.str[0], from + n * src.str[0], static_cast<std::size_t>(bytes));
    }
  });
  return {};
}

std::vector<std::uint32_t> IndicesOf(const DmaInstr& i, const CoreMemory& memory) {
  std::vector<std::uint32_t> list(i.size[2]);
  const std::uint32_t at = isa::ListAddr(i);
  std::memcpy(list.data(),
              memory.Sbuf(at >> isa::kPartitionPitchLog2) +
                  (at & ((1u << isa::kPartitionPitchLog2) - 1)),
              list.size() * 4);
  return list;
}

// -------------------------------------------------------------------------------- write footprint

namespace {
// Sizes of what an engine instruction writes.
std::array<std::uint16_t, 4> SizesWritten(const EngineInstr& i) {
  std::array<std::uint16_t, 4> size = i.size;
  const Op op = static_cast<Op>(i.opcode);
  const bool stats = op == Op::kStats;  // a mean and a variance
  if (stats || op == Op::kReduce || (op == Op::kAct && i.sum == kSumTotal)) {
    for (int k = 0; k <= i.rdims; ++k) size[k] = stats && k == 0 ? 2 : 1;
  }
  return size;
}
}  // namespace

std::vector<WriteRange> WriteFootprint(Queue queue, const isa::Encoded& encoded,
                                       std::uint32_t rows, const CoreMemory* core) {
  std::vector<WriteRange> ranges;
  const auto add = [&](WriteRange range) {
    // Rows that lie one behind the other join.
    if (!ranges.empty() && ranges.back().memory == range.memory &&
        ranges.back().part == range.part && ranges.back().end == range.begin) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
  };
  if (static_cast<Op>(encoded[0]) == Op::kNop) return ranges;
  if (IsDma(queue)) {
    DmaInstr i = isa::DecodeDmaInstr(encoded);
    const std::uint64_t bytes = isa::DtypeBytes(static_cast<Dtype>(i.dtype_d));
    std::vector<std::uint32_t> list;
    if (IndexedSide(i) == Indexed::kDestination) {
      if (core) {
        list = IndicesOf(i, *core);
      } else {
        list.resize(isa::Limit(i));
        std::iota(list.begin(), list.end(), 0u);
      }
    }
    if (IndexedSide(i) != Indexed::kNone) i.dst_str[3] = 0;
    const bool sbuf = i.dst_addr >> 44 == static_cast<std::uint64_t>(isa::DmaSpace::kSbuf);
    std::array<std::uint32_t, 4> size = {i.size[0], i.size[1], i.size[2], i.size[3]};
    if (!list.empty()) size[2] = static_cast<std::uint32_t>(list.size());
    ForEachRow(size, [&](std::uint32_t i1, std::uint32_t place, std::uint32_t i3) {
      const std::uint32_t i2 = list.empty() ? place : list[place];
      const bool row = i.dst_str[0] == static_cast<std::int64_t>(bytes);
      for (std::uint32_t n = 0; n < (row ? 1u : i.size[0]); ++n) {
        const std::uint64_t length = row ? bytes * i.size[0] : bytes;
        if (!sbuf) {
          const std::uint64_t at = (i.dst_addr & ((std::uint64_t{1} << 44) - 1)) +
                                   static_cast<std::uint64_t>(
                                       RowOffset(i.dst_str, i1, i2, i3) +
                                       std::int64_t{n} * i.dst_str[0]);
          add({WriteRange::Memory::kDram, 0, 1, at, at + length});
          continue;
        }
        std::int64_t part = (i.dst_addr >> 20) & 0xff, at = i.dst_addr & 0xfffff;
        const std::array<std::uint32_t, 4> index = {n, i1, i2, i3};
        for (int k = 0; k < 4; ++k) {
          const PartitionStride split = SplitStride(i.dst_str[k]);
          part += std::int64_t{index[k]} * split.parts;
          at += std::int64_t{index[k]} * split.bytes;
        }
        add({WriteRange::Memory::kSbuf, static_cast<std::uint32_t>(part), 1,
             static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(at) + length});
      }
    });
    return ranges;
  }
  const EngineInstr i = isa::DecodeEngineInstr(encoded);
  if (!Writes(i)) return ranges;
  const std::array<std::uint16_t, 4> size = SizesWritten(i);
  const std::uint64_t bytes = isa::DtypeBytes(static_cast<Dtype>(i.dtype_d));
  const auto memory = static_cast<Space>(i.space_d) == Space::kPsum ? WriteRange::Memory::kPsum
                                                                    : WriteRange::Memory::kSbuf;
  const bool matmul = static_cast<Op>(i.opcode) == Op::kMatmul;
  const std::uint32_t tiles = matmul ? 1u << i.tiles : 1;
  ForEachRow(size, [&](std::uint32_t i1, std::uint32_t i2, std::uint32_t i3) {
    const bool row = i.str_d[0] == 1;
    for (std::uint32_t n = 0; n < (row ? 1u : size[0]); ++n) {
      const std::int64_t element = RowOffset(i.str_d, i1, i2, i3) + std::int64_t{n} * i.str_d[0];
      const auto at =
          static_cast<std::uint64_t>(i.off_d + element * static_cast<std::int64_t>(bytes));
      for (std::uint32_t tile = 0; tile < tiles; ++tile) {
        add({memory, tile * (rows / tiles) + i.part_d, i.parts_d, at,
             at + bytes * (row ? size[0] : 1)});
      }
    }
  });
  return ranges;
}

std::uint8_t PsumBanksWritten(Queue queue, const isa::Encoded& encoded) {
  if (IsDma(queue)) return 0;
  const EngineInstr i = isa::DecodeEngineInstr(encoded);
  if (static_cast<Op>(encoded[0]) == Op::kNop || !Writes(i)) return 0;
  if (static_cast<Space>(i.space_d) != Space::kPsum) return 0;
  // The set of words, dimension by dimension: an instruction may write each of them any number of times.
  constexpr std::size_t kWords = std::size_t{isa::kPsumBanks} * isa::kPsumBankWords;
  std::bitset<kWords> words;
  words.set(i.off_d / 4);
  const std::array<std::uint16_t, 4> size = SizesWritten(i);
  for (int d = 0; d < 4; ++d) {
    if (i.str_d[d] == 0) continue;
    const std::bitset<kWords> before = words;
    const std::size_t step = static_cast<std::size_t>(std::abs(i.str_d[d]));
    for (std::size_t n = 1; n < size[d]; ++n) {
      words |= i.str_d[d] > 0 ? before << n * step : before >> n * step;
    }
  }
  std::uint32_t banks = 0;
  for (std::size_t w = 0; w < kWords; ++w) {
    if (words[w]) banks |= 1u << w / isa::kPsumBankWords;
  }
  return static_cast<std::uint8_t>(banks);
}

}  // namespace dither
