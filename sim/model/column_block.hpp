// Many column sums at once: the same bits as ColumnSum, 16 moving columns side by side in integer
// SIMD.
//
// Infinities and NaN take no part here: callers send the columns that have one to ColumnSum itself.
//
// Test  tb/model/column_block_test.cpp
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/model/column_sum.hpp"

namespace dither::model {

inline constexpr int kBlockLanes = 16;
// Exponent of a zero operand: so low that its product never raises the column's exponent.
inline constexpr std::int32_t kZeroExponent = -2048;

// Each factor of a product brings half of its fraction bits; 255 * 2^6 still fits 15 bits.
inline constexpr int kFactorBits = kFracBits / 2;

// bf16 patterns taken apart: value = (-1)^(sign) * magnitude * 2^(exponent - 134 - kFactorBits).
struct BlockOperand {
  std::int32_t magnitude;  // 0..255 << kFactorBits
  std::int32_t exponent;   // 1..254, or kZeroExponent
  std::int32_t sign;       // 0 or -1
};

constexpr BlockOperand TakeApart(std::uint16_t bits) {
  const std::int32_t field = bits >> 7 & 0xff;
  const std::int32_t magnitude = (bits & 0x7f) | (field != 0 ? 0x80 : 0);
  const std::int32_t exponent = magnitude == 0 ? kZeroExponent : field == 0 ? 1 : field;
  return {magnitude << kFactorBits, exponent, (bits & 0x8000) != 0 ? -1 : 0};
}

constexpr BlockOperand TakeApart(const Factor& f) {
  return {static_cast<std::int32_t>(f.m) << kFactorBits, f.exp == 0 ? kZeroExponent : f.exp, f.negative ? -1 : 0};
}

// One row of 16 moving columns.
struct alignas(64) BlockRow {
  std::int32_t magnitude[kBlockLanes];
  std::int32_t exponent[kBlockLanes];
  std::int32_t sign[kBlockLanes];
  std::uint32_t negative;  // the signs again, a bit per lane
};

struct alignas(64) BlockSums {
  std::int64_t sum[kBlockLanes];
  std::int32_t exp[kBlockLanes];
};

// Takes 16 bf16 patterns apart; the result has a bit for every lane that holds an infinity or NaN.
std::uint32_t DecodeRow(const std::uint16_t* bits, BlockRow* row);

// The same of 16 operands of any form.
std::uint32_t DecodeFactors(const Factor* factors, BlockRow* row);

// The rows of a column that take part: `rows` of them, the first one `lead` rows below the top of its PE, PEs of
// `width` rows. Rows outside are zero, which never changes a sum. Of operands in pairs every one is a row here.
struct BlockShape {
  int rows;
  int lead;
  int width;
};

// The sums of x[row] times the stationary column w[row], top to bottom.
void SumBlock(const BlockRow* x, const BlockOperand* w, const BlockShape& shape, BlockSums* sums);

// ColumnSum::Finish of 16 lanes: psum in, fp32 out in its place. The result has a bit for every
// lane whose psum is an infinity or NaN: those are left as they were.
std::uint32_t FinishBlock(const BlockSums* sums, bool accumulate, std::uint32_t* psum);

// Sums and feet of several columns for the same 16 moving columns.
struct ColumnJob {
  const BlockRow* x;
  BlockShape shape;
  const BlockOperand* w;  // the first column's; `w_stride` operands from column to column
  std::size_t w_stride;
  int columns;
  bool accumulate;
  std::uint8_t* psum;  // 16 little-endian words a column, `psum_stride` bytes from column to column
  std::size_t psum_stride;
  std::uint32_t* unusual;  // out, for each column what FinishBlock returns
};

// The ways to do a job that this processor has, quickest first; all give the same bits.
struct ColumnKernel {
  const char* name;
  void (*run)(const ColumnJob& job);
  std::uint32_t (*decode)(const std::uint16_t* bits, BlockRow* row);  // as DecodeRow
};
const std::vector<ColumnKernel>& ColumnKernels();

}  // namespace dither::model
