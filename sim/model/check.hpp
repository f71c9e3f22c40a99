// The static checks of one instruction, exactly as docs/architecture.md lists them: the referee for
// the RTL checker, the program builder and the functional model.
//
// Checks run in the documented order; the first that fails names cause, operand and address. Only
// the range checks (the last ones) give an address: the exact value, wrapped to 48 signed bits.
//
// RTL   rtl/sequencer/instr_check.sv        Test  tb/model_check/check_test.cpp
#pragma once

#include <array>
#include <cstdint>

#include "sim/isa/isa.hpp"

namespace dither {

struct CheckResult {
  isa::Err err = isa::Err::kNone;
  std::uint8_t operand = 0;  // 0 destination, 1 source 0, 2 source 1, 3 the partitions' scalars
  std::int64_t addr = 0;     // bits 47:0 sign-extended
  bool operator==(const CheckResult&) const = default;
};

// What the machine has, and the window of DRAM that the program was given: [dram_base, dram_limit).
struct CheckLimits {
  std::uint32_t rows;
  std::uint32_t sbuf_bytes;  // of one partition
  std::uint64_t dram_base;
  std::uint64_t dram_limit;
  bool pairs = false;  // matmuls of 8-bit pairs
};

// A DMA stride as partition step and byte step of an SBUF side.
struct PartitionStride {
  std::int32_t parts;
  std::int32_t bytes;
};
constexpr PartitionStride SplitStride(std::int32_t stride) {
  constexpr std::int64_t kPitch = std::int64_t{1} << isa::kPartitionPitchLog2;
  const std::int64_t low = static_cast<std::int64_t>(stride) & (kPitch - 1);
  const std::int64_t bytes = low >= kPitch / 2 ? low - kPitch : low;
  return {static_cast<std::int32_t>((stride - bytes) / kPitch), static_cast<std::int32_t>(bytes)};
}

// Functions of one operand: their second one is not read.
constexpr bool OneOperand(std::uint8_t func) {
  return func == static_cast<std::uint8_t>(isa::VecFunc::kCopy) ||
         func == static_cast<std::uint8_t>(isa::VecFunc::kAbs);
}
// Functions of 32-bit words as they are, where the others are of fp32.
constexpr bool OnWords(std::uint8_t func) {
  return func >= static_cast<std::uint8_t>(isa::VecFunc::kAnd) &&
         func <= static_cast<std::uint8_t>(isa::VecFunc::kAsr);
}

// True if source 0 of an engine instruction is a tensor in memory.
constexpr bool ReadsSource0(const isa::EngineInstr& i) {
  if (static_cast<isa::Op>(i.opcode) == isa::Op::kTensor) return i.gen_0 == 0;
  return static_cast<isa::Op>(i.opcode) != isa::Op::kTranspose;
}
// True if an engine instruction has a destination in memory.
constexpr bool Writes(const isa::EngineInstr& i) {
  return static_cast<isa::Op>(i.opcode) != isa::Op::kLoad;
}
// True if source 1 of an engine instruction is a tensor in memory.
constexpr bool ReadsSource1(const isa::EngineInstr& i) {
  switch (static_cast<isa::Op>(i.opcode)) {
    case isa::Op::kMatmul:
    case isa::Op::kTranspose: return true;
    case isa::Op::kTensor:
      return !OneOperand(i.func_1 != 0 ? i.func_1 : i.func) && i.src1_imm == 0;
    case isa::Op::kAct: return i.src1_imm == 0;
    default: return false;
  }
}

// The side of a DMA instruction that is a table whose rows a list of indices names.
enum class Indexed : std::uint8_t { kNone, kDestination, kSource };
constexpr Indexed IndexedSide(const isa::DmaInstr& i) {
  switch (static_cast<isa::Op>(i.opcode)) {
    case isa::Op::kGather: return Indexed::kSource;
    case isa::Op::kScatter: return Indexed::kDestination;
    default: return Indexed::kNone;
  }
}
// Tables have at most this many rows: indices are int32 and the check knows no negative one.
inline constexpr std::uint32_t kMostTableRows = 0x7fffffff;

// True if a vector instruction reads a word of each partition at SBUF offset imm0.
constexpr bool ReadsScalars(const isa::EngineInstr& i) {
  const auto op = static_cast<isa::Op>(i.opcode);
  return (op == isa::Op::kTensor && i.scalar_ptr != 0) ||
         (op == isa::Op::kShuffle && i.func == static_cast<std::uint8_t>(isa::ShuffleFunc::kIndex));
}

// Pieces of 8 significand bits that a float goes to the array in; 0 for what the array can't
// multiply in floating point.
constexpr std::uint32_t PiecesOf(isa::Dtype dtype) {
  switch (dtype) {
    case isa::Dtype::kFp32: return 3;
    case isa::Dtype::kFp16: return 2;
    case isa::Dtype::kBf16:
    case isa::Dtype::kFp8E4M3:
    case isa::Dtype::kFp8E5M2: return 1;
    default: return 0;
  }
}

// Bytes from one element of an engine instruction's operand to the next: of pairs an element is two numbers.
constexpr std::uint32_t ElementBytes(const isa::EngineInstr& i, int operand) {
  const std::uint8_t dtype = operand == 0 ? i.dtype_d : operand == 1 ? i.dtype_0 : i.dtype_1;
  return isa::DtypeBytes(static_cast<isa::Dtype>(dtype)) << (i.pair != 0 && operand != 0 ? 1 : 0);
}

namespace check_internal {

// Smallest and largest value that base + sum i_k * step_k takes over the box of all i_k < size_k.
struct Extent {
  std::int64_t lo;
  std::int64_t hi;
  constexpr void Add(std::uint32_t size, std::int64_t step) {
    const std::int64_t far = (static_cast<std::int64_t>(size) - 1) * step;
    (far < 0 ? lo : hi) += far;
  }
};

constexpr std::int64_t Wrap48(std::int64_t v) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(v) << 16) >> 16;
}

// The range check of one operand of `bytes` byte elements against [lo, hi).
constexpr CheckResult CheckRange(Extent box, std::uint32_t bytes, isa::Err err,
                                 std::uint8_t operand, std::int64_t lo, std::int64_t hi) {
  box.hi += bytes - 1;  // last byte of the last element
  if (box.lo < lo) return {err, operand, Wrap48(box.lo)};
  if (box.hi >= hi) return {err, operand, Wrap48(box.hi)};
  return {};
}

constexpr std::uint32_t Bytes(std::uint8_t dtype) {
  return isa::DtypeBytes(static_cast<isa::Dtype>(dtype));
}

// The functions and modes of a `tensor`.
constexpr bool KnownTensor(const isa::EngineInstr& i) {
  using isa::VecFunc;
  const bool two = i.func_1 != 0;
  return !isa::Name(static_cast<VecFunc>(i.func)).empty() &&
         !isa::Name(static_cast<VecFunc>(i.func_1)).empty() &&
         !isa::Name(static_cast<isa::Source>(i.gen_0)).empty() &&
         !(two && OnWords(i.func) != OnWords(i.func_1)) &&
         !(i.rev != 0 && OneOperand(i.func)) && !(i.rev_1 != 0 && OneOperand(i.func_1)) &&
         !(i.scalar_ptr != 0 && !two && i.src1_imm == 0) &&
         !(i.gen_0 == static_cast<std::uint8_t>(isa::Source::kRandom) &&
           i.round == static_cast<std::uint8_t>(isa::Round::kSr));
}

constexpr CheckResult CheckEngine(isa::Queue queue, const isa::Encoded& raw,
                                  const CheckLimits& limits) {
  using isa::Err;
  const isa::EngineInstr i = isa::DecodeEngineInstr(raw);
  const auto op = static_cast<isa::Op>(i.opcode);
  if (!isa::OpAllowed(queue, op)) return {Err::kIllegalOpcode};
  if (isa::EngineInstrReservedSet(raw)) return {Err::kReservedField};
  if (op == isa::Op::kNop) return {};
  const bool matmul = op == isa::Op::kMatmul;
  const bool transpose = op == isa::Op::kTranspose;
  const bool array = matmul || transpose;
  const bool tensor = op == isa::Op::kTensor;
  const bool reduce = op == isa::Op::kReduce;
  const bool stats = op == isa::Op::kStats;
  const bool shuffle = op == isa::Op::kShuffle;
  const bool broadcast =
      shuffle && i.func == static_cast<std::uint8_t>(isa::ShuffleFunc::kBroadcast);
  const bool transposed =
      shuffle && i.func == static_cast<std::uint8_t>(isa::ShuffleFunc::kTranspose);
  const bool act = op == isa::Op::kAct;
  const bool load = op == isa::Op::kLoad;

  if (i.round > static_cast<std::uint8_t>(isa::Round::kRtz)) return {Err::kBadFunc};
  if (i.pair != 0 && !(matmul && limits.pairs)) return {Err::kBadFunc};
  const bool known = matmul   ? i.func == 0 && i.tiles <= 2
                     : transpose
                         ? !isa::Name(static_cast<isa::TransposeFunc>(i.func)).empty() &&
                               i.tiles == 0
                     : reduce ? !isa::Name(static_cast<isa::RedFunc>(i.func)).empty()
                     : op == isa::Op::kScan
                         ? i.func <= static_cast<std::uint8_t>(isa::RedFunc::kMin)
                     : stats   ? i.func == 0
                     : shuffle ? !isa::Name(static_cast<isa::ShuffleFunc>(i.func)).empty()
                     : act    ? !isa::Name(static_cast<isa::ActFunc>(i.func)).empty() &&
                                 !isa::Name(static_cast<isa::ActSum>(i.sum)).empty()
                     : load   ? i.func == 0
                              : KnownTensor(i);
  if (!known) return {Err::kBadFunc};
  if (!tensor && (i.func_1 | i.rev | i.rev_1 | i.scalar_ptr | i.gen_0) != 0) return {Err::kBadFunc};

  // The operands in the order in which errors are reported; sources only if they are read.
  struct Operand {
    bool read;
    std::uint8_t dtype, space, part, parts;
    std::uint32_t off;
    std::array<std::int16_t, 4> str;
  };
  const std::array<Operand, 3> operands = {{
      {Writes(i), i.dtype_d, i.space_d, i.part_d, i.parts_d, i.off_d, i.str_d},
      {ReadsSource0(i), i.dtype_0, i.space_0, i.part_0, broadcast ? std::uint8_t{1} : i.parts,
       i.off_0, i.str_0},
      {ReadsSource1(i), i.dtype_1, i.space_1, i.part_1, i.parts, i.off_1, i.str_1},
  }};
  const bool read0 = operands[1].read, read1 = operands[2].read;
  const bool integer = i.dtype_d == static_cast<std::uint8_t>(isa::Dtype::kInt32);

  for (std::uint8_t n = 0; n < 3; ++n) {
    const Operand& o = operands[n];
    if (!o.read) continue;
    const auto dtype = static_cast<isa::Dtype>(o.dtype);
    bool bad = Bytes(o.dtype) == 0 || (o.space != 0 && Bytes(o.dtype) != 4);
    if (array && n == 0) bad |= dtype != isa::Dtype::kFp32 && dtype != isa::Dtype::kInt32;
    if (matmul && n != 0) {
      // The destination's dtype says what the array computes in.
      const std::uint32_t pieces =
          integer ? (dtype == isa::Dtype::kInt8 ? 1 : 0) : PiecesOf(dtype);
      bad |= (n == 1 ? i.piece_0 : i.piece_1) >= pieces || (i.pair != 0 && Bytes(o.dtype) != 1);
    }
    if (transpose && n == 2) bad |= i.piece_1 >= Bytes(o.dtype);
    const bool words = (tensor && (OnWords(i.func) || OnWords(i.func_1))) ||
                       (reduce && n == 0 && i.func == static_cast<std::uint8_t>(isa::RedFunc::kArgMax));
    bad |= words && dtype != isa::Dtype::kInt32;
    bad |= shuffle && n == 0 && i.dtype_d != i.dtype_0;
    if (load) bad |= dtype != isa::Dtype::kInt32;
    if (bad) return {Err::kBadDtype, n};
  }
  if (array && i.space_d == 0) return {Err::kBadSpace, 0};
  if ((matmul || load) && i.space_0 != 0) return {Err::kBadSpace, 1};
  if ((array || (act && read1)) && i.space_1 != 0) return {Err::kBadSpace, 2};

  for (const std::uint16_t size : i.size) {
    if (size == 0) return {Err::kBadSize};
  }
  if (i.parts == 0 || (i.parts_d == 0 && !load)) return {Err::kBadSize};
  if (!array && !load && i.parts_d != i.parts) return {Err::kBadSize};
  if (transpose && i.size != std::array<std::uint16_t, 4>{i.parts, 1, 1, 1}) {
    return {Err::kBadSize};
  }
  // Whole 8-byte words, one behind the other.
  if (load && (i.size[0] % 2 != 0 || i.size[1] != 1 || i.size[2] != 1 || i.size[3] != 1)) {
    return {Err::kBadSize};
  }

  if (transposed && i.size[0] != i.parts) return {Err::kBadSize};

  const bool sums = reduce || (act && i.sum == static_cast<std::uint8_t>(isa::ActSum::kTotal));
  if (load && i.str_0[0] != 1) return {Err::kBadStride, 1};
  for (int k = 0; k < 4; ++k) {
    if (array && k >= 1 && i.str_1[k] != 0) return {Err::kBadStride, 2};
    // Dimension 0 of stats leads from the mean to the variance.
    if ((sums || (stats && k != 0)) && k <= i.rdims && i.str_d[k] != 0) return {Err::kBadStride, 0};
  }
  const std::uint32_t room = limits.rows >> (matmul ? i.tiles : 0);
  for (std::uint8_t n = 0; n < 3; ++n) {
    if (operands[n].read && std::uint32_t{operands[n].part} + operands[n].parts > room) {
      return {Err::kBadPartition, n};
    }
  }
  if (!array && !load && !broadcast && !transposed && read0 && i.part_d != i.part_0) {
    return {Err::kBadPartition, 0};
  }
  if (tensor && !read0 && read1 && i.part_d != i.part_1) return {Err::kBadPartition, 2};
  if (read0 && read1 && i.part_0 != i.part_1) return {Err::kBadPartition, 2};

  for (std::uint8_t n = 0; n < 3; ++n) {
    const Operand& o = operands[n];
    const std::uint32_t unit = load ? isa::kSbufWordBytes : ElementBytes(i, n);
    if (o.read && o.off % unit != 0) return {Err::kMisaligned, n};
  }
  if (ReadsScalars(i) && i.imm0 % 4 != 0) return {Err::kMisaligned, 3};
  for (std::uint8_t n = 0; n < 3; ++n) {
    const Operand& o = operands[n];
    if (!o.read) continue;
    const std::uint32_t bytes = ElementBytes(i, n);
    Extent box{o.off, o.off};
    if (array && n == 2) {
      box.Add(i.parts_d, std::int64_t{bytes} * o.str[0]);
    } else {
      for (int k = 0; k < 4; ++k) {
        box.Add(stats && n == 0 && k == 0 ? 2 : i.size[k], std::int64_t{bytes} * o.str[k]);
      }
    }
    const CheckResult r = CheckRange(box, bytes, o.space != 0 ? Err::kPsumRange : Err::kSbufRange,
                                     n, 0, o.space != 0 ? isa::kPsumBytes : limits.sbuf_bytes);
    if (r.err != Err::kNone) return r;
  }
  if (ReadsScalars(i)) {
    return CheckRange({i.imm0, i.imm0}, 4, Err::kSbufRange, 3, 0, limits.sbuf_bytes);
  }
  return {};
}

constexpr CheckResult CheckDma(isa::Queue queue, const isa::Encoded& raw,
                               const CheckLimits& limits) {
  using isa::Err;
  const isa::DmaInstr i = isa::DecodeDmaInstr(raw);
  const auto op = static_cast<isa::Op>(i.opcode);
  if (!isa::OpAllowed(queue, op)) return {Err::kIllegalOpcode};
  if (isa::DmaInstrReservedSet(raw)) return {Err::kReservedField};
  if (op == isa::Op::kNop) return {};

  const std::uint32_t bytes = Bytes(i.dtype_d);
  if (bytes == 0) return {Err::kBadDtype, 0};
  if (Bytes(i.dtype_0) == 0) return {Err::kBadDtype, 1};
  if (i.dtype_d != i.dtype_0) return {Err::kBadDtype, 0};

  // Of gather and scatter the last strides are the limit and the address of the list.
  const Indexed indexed = IndexedSide(i);
  const int dims = indexed == Indexed::kNone ? 4 : 3;
  const std::uint32_t limit = isa::Limit(i), list = isa::ListAddr(i);
  struct Side {
    bool table;
    std::uint64_t addr;
    std::array<std::int32_t, 4> str;
    constexpr std::uint64_t space() const { return addr >> 44; }
    constexpr bool sbuf() const {
      return space() == static_cast<std::uint64_t>(isa::DmaSpace::kSbuf);
    }
  };
  const std::array<Side, 2> sides = {{{indexed == Indexed::kDestination, i.dst_addr, i.dst_str},
                                      {indexed == Indexed::kSource, i.src_addr, i.src_str}}};
  for (std::uint8_t n = 0; n < 2; ++n) {
    if (isa::Name(static_cast<isa::DmaSpace>(sides[n].space())).empty() ||
        (sides[n].table && sides[n].sbuf())) {
      return {Err::kBadSpace, n};
    }
  }
  for (const std::uint16_t size : i.size) {
    if (size == 0) return {Err::kBadSize};
  }
  if (indexed != Indexed::kNone && (i.size[3] != 1 || limit == 0 || limit > kMostTableRows)) {
    return {Err::kBadSize};
  }
  // Bits 43:28 of an SBUF address count as upper bits of the partition: nonzero is out of range.
  for (std::uint8_t n = 0; n < 2; ++n) {
    if (!sides[n].sbuf()) continue;
    const auto part = static_cast<std::int64_t>((sides[n].addr >> 20) & 0xffffff);
    Extent box{part, part};
    for (int k = 0; k < dims; ++k) box.Add(i.size[k], SplitStride(sides[n].str[k]).parts);
    if (box.lo < 0 || box.hi >= limits.rows) return {Err::kBadPartition, n};
  }
  if (indexed != Indexed::kNone && list >> isa::kPartitionPitchLog2 >= limits.rows) {
    return {Err::kBadPartition, 2};
  }
  for (std::uint8_t n = 0; n < 2; ++n) {
    bool bad = sides[n].addr % bytes != 0;
    for (int k = 0; k < dims; ++k) bad |= static_cast<std::uint32_t>(sides[n].str[k]) % bytes != 0;
    if (bad) return {Err::kMisaligned, n};
  }
  if (indexed != Indexed::kNone && list % 4 != 0) return {Err::kMisaligned, 2};
  for (std::uint8_t n = 0; n < 2; ++n) {
    const bool sbuf = sides[n].sbuf();
    const auto base = static_cast<std::int64_t>(
        sides[n].addr & (sbuf ? 0xfffffu : (std::uint64_t{1} << 44) - 1));
    Extent box{base, base};
    for (int k = 0; k < dims; ++k) {
      // Any row of the table may be meant.
      box.Add(sides[n].table && k == 2 ? limit : i.size[k],
              sbuf ? SplitStride(sides[n].str[k]).bytes : sides[n].str[k]);
    }
    const CheckResult r =
        sbuf ? CheckRange(box, bytes, Err::kSbufRange, n, 0, limits.sbuf_bytes)
             : CheckRange(box, bytes, Err::kDramRange, n,
                          static_cast<std::int64_t>(limits.dram_base),
                          static_cast<std::int64_t>(limits.dram_limit));
    if (r.err != Err::kNone) return r;
  }
  if (indexed != Indexed::kNone) {
    Extent box{list & 0xfffff, list & 0xfffff};
    box.Add(i.size[2], 4);
    return CheckRange(box, 4, Err::kSbufRange, 2, 0, limits.sbuf_bytes);
  }
  return {};
}

}  // namespace check_internal

// The first failing static check of the instruction, or Err::kNone.
constexpr CheckResult CheckInstruction(isa::Queue queue, const isa::Encoded& bytes,
                                       const CheckLimits& limits) {
  const bool dma = queue == isa::Queue::kDma0 || queue == isa::Queue::kDma1;
  return dma ? check_internal::CheckDma(queue, bytes, limits)
             : check_internal::CheckEngine(queue, bytes, limits);
}

}  // namespace dither
