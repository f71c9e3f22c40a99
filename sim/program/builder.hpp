// Builds programs: typed operands in, encoded instructions out, everything checked on the way.
//
// A refused instruction is a ProgramError whose text names the instruction, the operand with its
// shape and place, and the limit. Operands of one engine instruction have equal shapes, where a
// source may have size 1 (repeated, but not across partitions). Dimension 0 of an on-chip operand
// is the partition. Memory for SBUF and PSUM comes from two bump allocators.
//
// Test  tb/program/builder_test.cpp
#pragma once

#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"
#include "sim/program/program.hpp"
#include "sim/program/tensor.hpp"

namespace dither {

struct Wait {
  std::uint8_t sem = 0;
  std::uint16_t value = 0;  // modulo 2^16
};
struct Signal {
  std::uint8_t sem = 0;
  std::int8_t increment = 1;
};

// What an instruction waits for (all of it: extra waits become nops before it) and what it signals.
struct Sync {
  std::vector<Wait> waits;
  std::optional<Signal> signal;
  bool irq = false;
};

// Rounding of a write.
struct Narrowing {
  isa::Round round = isa::Round::kRne;
  bool saturate = false;
};

struct MatmulOptions {
  bool accumulate = false;
  bool reuse = false;  // the stationary tile of the matmul before
  bool count_nonfinite = false;  // in NONFINITE_COUNT
  // Which piece of the significands, 0 the highest: must be named where there are several (fp16
  // has 2, fp32 has 3).
  std::optional<std::uint8_t> moving_piece = {}, stationary_piece = {};
  // 1, 2 or 4 matmuls side by side: the operands are those of the first, the others' lie rows / tiles
  // partitions further each.
  std::uint32_t tiles = 1;
};

// The other operand of an elementwise function: a tensor, a number, or 32 bits of an integer function.
class Value {
 public:
  Value(const Tensor& tensor) : tensor_(&tensor) {}  // implicit, as the next: an operand is written as it is
  Value(float number) : bits_(std::bit_cast<std::uint32_t>(number)) {}
  static Value Word(std::uint32_t bits) {
    Value v(0.0f);
    v.bits_ = bits;
    return v;
  }
  static Value None() { return Value(0.0f); }  // of abs
  const Tensor* tensor() const { return tensor_; }
  std::uint32_t bits() const { return bits_; }

 private:
  const Tensor* tensor_ = nullptr;
  std::uint32_t bits_ = 0;
};

// Source 0 of an elementwise instruction that lies in no memory; its elements are integers.
struct Generated {
  isa::Source source = isa::Source::kIota;
  std::int32_t base = 0;
  std::vector<std::int32_t> steps;  // from element to element of the destination's free dimensions
  std::int32_t part_step = 0;       // from partition to partition

  // base + sum of index * step + part_step * (partition - first partition), within 24 signed bits.
  static Generated Iota(std::int32_t base, std::vector<std::int32_t> steps,
                        std::int32_t part_step = 0) {
    return {isa::Source::kIota, base, std::move(steps), part_step};
  }
  // A new random word of 24 bits for every element.
  static Generated Random() { return {isa::Source::kRandom, 0, {}, 0}; }
};
class Source0 {
 public:
  Source0(const Tensor& tensor) : tensor_(&tensor) {}  // implicit, as the next
  Source0(const Generated& generated) : generated_(&generated) {}
  const Tensor* tensor() const { return tensor_; }
  const Generated* generated() const { return generated_; }

 private:
  const Tensor* tensor_ = nullptr;
  const Generated* generated_ = nullptr;
};

// One step of an elementwise instruction: func(what came before, value), or swapped.
struct Step {
  isa::VecFunc func = isa::VecFunc::kCopy;
  Value value = Value::None();
  bool swapped = false;
};

// Operands of one of several matmuls whose results are added.
struct Factors {
  Tensor stationary, moving;
};

// Counts the events of one in-order producer: each Tick() is the signal of the next event, and a
// consumer waits Until(count) events have happened. Counts wrap with the semaphore; a consumer may
// lag or wait ahead by up to 32767.
class Counter {
 public:
  Counter() = default;
  explicit Counter(std::uint8_t sem) : sem_(sem) {}
  Signal Tick() {
    ++count_;
    return {sem_, 1};
  }
  std::uint64_t count() const { return count_; }
  Wait Until(std::uint64_t count) const { return {sem_, static_cast<std::uint16_t>(count)}; }

 private:
  std::uint8_t sem_ = 0;
  std::uint64_t count_ = 0;
};

class ProgramBuilder {
 public:
  explicit ProgramBuilder(const isa::Config& config);
  // With the DRAM window that the program will run in.
  ProgramBuilder(const isa::Config& config, std::uint64_t dram_base, std::uint64_t dram_limit);

  const isa::Config& config() const { return config_; }
  std::uint32_t rows() const { return config_.rows; }

  // ---- memory: the same bytes of every partition from `part` on
  Tensor Sbuf(std::string name, isa::Dtype dtype, const std::vector<std::uint32_t>& shape,
              std::uint32_t part = 0, std::uint32_t align = 64);
  Tensor PsumBank(std::string name, std::uint32_t bank, isa::Dtype dtype,
                  const std::vector<std::uint32_t>& shape, std::uint32_t part = 0) const;
  std::uint32_t SbufFree() const { return config_.sbuf_bytes - sbuf_used_; }
  std::uint32_t SbufMark() const { return sbuf_used_; }
  void SbufRelease(std::uint32_t mark) { sbuf_used_ = mark; }

  // ---- semaphores: the same name gives the same one
  std::uint8_t Semaphore(const std::string& name);
  Counter NewCounter(const std::string& name) { return Counter(Semaphore(name)); }

  // ---- instructions
  // dst[M][n...] = or += stationary[K][M] (transposed) * moving[K][n...]
  void Matmul(const Tensor& dst, const Tensor& stationary, const Tensor& moving,
              MatmulOptions options = {}, const Sync& sync = {});
  // The same in full precision for fp16 and fp32 operands (and any mix of floats): the sum over all
  // factors (stripes of the contraction) with one matmul for each pair of their pieces, 4 for
  // fp16 x fp16, 9 for fp32 x fp32; returns how many. The smallest products come first, so that the
  // roundings in between lie far below the last one.
  std::uint32_t MatmulPieces(const Tensor& dst, const std::vector<Factors>& factors,
                             bool accumulate = false, const Sync& sync = {});
  // dst[M][K] in PSUM = the bits of src[K][M], one instruction a byte: bf16 as the fp32 of the same
  // value, one-byte elements sign-extended, others right-justified.
  void Transpose(const Tensor& dst, const Tensor& src, const Sync& sync = {});
  // One byte of the elements, 0 the lowest, as int32 of -128..127: a cast to int8 writes the byte.
  void TransposeByte(const Tensor& dst, const Tensor& src, std::uint8_t byte,
                     const Sync& sync = {});
  // dst = func(a, b); a tensor b of size 1 in its free dimensions is a number per partition.
  void Elementwise(isa::VecFunc func, const Tensor& dst, const Source0& a, const Value& b,
                   Narrowing narrowing = {}, const Sync& sync = {});
  // dst = step of a. With abs the value is none.
  void Elementwise(const Tensor& dst, const Source0& a, const Step& step, Narrowing narrowing = {},
                   const Sync& sync = {});
  // dst = second(first(a)) in one pass. The first step's value is a number or an fp32 (integer
  // functions: int32) tensor in SBUF of one element per partition; the second's is any. Multiply then
  // add or subtract is fused: one rounding.
  void TwoSteps(const Tensor& dst, const Source0& a, const Step& first, const Step& second,
                Narrowing narrowing = {}, const Sync& sync = {});
  // dst = the integers of Generated::Iota
  void Iota(const Tensor& dst, std::int32_t base, std::vector<std::int32_t> steps,
            std::int32_t part_step = 0, const Sync& sync = {});
  // dst = random numbers, uniform in [0, range); narrower types round toward zero and so never reach
  // range. For random bits: Elementwise(kAnd, int32 dst, Generated::Random(), Value::Word(mask)).
  void Random(const Tensor& dst, float range = 1.0f, const Sync& sync = {});
  // dst = src on the vector engine: cast, move between PSUM and SBUF
  void Cast(const Tensor& dst, const Tensor& src, Narrowing narrowing = {}, const Sync& sync = {});
  // Reduces the innermost `reduced` dimensions of src; dst has the others.
  void Reduce(isa::RedFunc func, const Tensor& dst, const Tensor& src, std::size_t reduced = 1,
              Narrowing narrowing = {}, const Sync& sync = {});
  // dst[...] = the reduction (sum, max, min) of the elements so far; anew every `dims` innermost
  // dimensions.
  void Scan(isa::RedFunc func, const Tensor& dst, const Tensor& src, std::size_t dims = 1,
            Narrowing narrowing = {}, const Sync& sync = {});
  // dst[..., 0], dst[..., 1] = mean and variance (of the population) over the innermost dimensions
  void Stats(const Tensor& dst, const Tensor& src, std::size_t reduced = 1,
             Narrowing narrowing = {}, const Sync& sync = {});
  // Between partitions, every bit as it was; dst and src have the same dtype and free shape.
  // Every partition of dst gets the one partition of src.
  void BroadcastPartition(const Tensor& dst, const Tensor& src, const Sync& sync = {});
  // Partition p of dst gets the same bytes of partition index[p] (absolute, modulo the rows) that
  // src has in its own; index is int32 [parts][1] in SBUF, src in the same partitions as dst.
  void ShufflePartitions(const Tensor& dst, const Tensor& src, const Tensor& index,
                         const Sync& sync = {});
  // dst[m][...][k] = src[k][...][m]: blocks of parts x parts elements
  void TransposeBlocks(const Tensor& dst, const Tensor& src, const Sync& sync = {});
  // dst = func(src * scale + bias)
  void Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale, const Tensor& bias,
           Narrowing narrowing = {}, const Sync& sync = {});
  void Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale = 1.0f,
           float bias = -0.0f, Narrowing narrowing = {}, const Sync& sync = {});
  // dst = the sums of func(src * scale + bias) over the innermost `reduced` dimensions of src, which
  // dst does not have; for softmax, exp and its sum in one pass.
  void ActSum(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale,
              const Tensor& bias, std::size_t reduced = 1, Narrowing narrowing = {},
              const Sync& sync = {});
  void ActSum(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale = 1.0f,
              float bias = -0.0f, std::size_t reduced = 1, Narrowing narrowing = {},
              const Sync& sync = {});
  // dst has src's shape: every element the sum so far along the innermost `reduced` dimensions.
  void ActRunning(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale = 1.0f,
                  float bias = -0.0f, std::size_t reduced = 1, Narrowing narrowing = {},
                  const Sync& sync = {});
  // Loads a set of function tables from DRAM (FunctionSet::Place), in place of the one before:
  // a copy on `ring` to SBUF, a few bytes of every partition from Sbuf(), and a load on the scalar
  // queue, behind which acts come by themselves. sync.waits hold the copy back; the signal tells
  // that the load is done and that the SBUF bytes may be used for something else.
  void LoadFunctions(const Tensor& image, isa::Queue ring = isa::Queue::kDma0,
                     const Sync& sync = {});
  // The load alone: the image lies in SBUF.
  void Load(const Tensor& image, const Sync& sync = {});
  // DMA; ring is kDma0 or kDma1. Any views of DRAM and SBUF with equal shapes.
  void Copy(isa::Queue ring, const Tensor& dst, const Tensor& src, const Sync& sync = {});
  // Rows of a table in DRAM by a list: dst[n] = table[list[n]], or table[list[n]] = src[n], n in order
  // (of equal indices the last one stays). Dimension 0 of table, dst and src are the rows, anywhere; the
  // list is int32[1][rows of dst or src] in SBUF. An index that the table doesn't have stops the queue
  // with kBadIndex before the first row moves.
  void Gather(isa::Queue ring, const Tensor& dst, const Tensor& table, const Tensor& list,
              const Sync& sync = {});
  void Scatter(isa::Queue ring, const Tensor& table, const Tensor& src, const Tensor& list,
               const Sync& sync = {});
  void Nop(isa::Queue queue, const Sync& sync = {});

  // Appends an encoded instruction unchecked: for tests of the hardware's own checks.
  void Raw(isa::Queue queue, const isa::Encoded& encoded) { program_[queue].push_back(encoded); }

  const Program& program() const { return program_; }
  Program Take() { return std::move(program_); }

 private:
  struct Operand {
    const char* role;
    const Tensor* tensor;
  };
  void EmitEngine(isa::Queue queue, isa::EngineInstr instr, const Sync& sync,
                  const std::vector<Operand>& operands);
  void TransposeAny(isa::TransposeFunc func, const Tensor& dst, const Tensor& src,
                    std::uint8_t byte, bool accumulate, const Sync& sync);
  void EmitDma(isa::Queue queue, isa::DmaInstr instr, const Sync& sync,
               const std::vector<Operand>& operands);
  void Indexed(isa::Op code, isa::Queue ring, const Tensor& dst, const Tensor& src,
               const Tensor& list, const Sync& sync);
  void CheckAndAppend(isa::Queue queue, const isa::Encoded& encoded,
                      const std::vector<Operand>& operands);
  void ElementwiseAny(const Tensor& dst, const Source0& a, const Step& first, const Step* second,
                      Narrowing narrowing, const Sync& sync);
  void ActAny(isa::ActFunc func, isa::ActSum sum, std::size_t reduced, const Tensor& dst,
              const Tensor& src, float scale, const Tensor* bias, float imm, Narrowing narrowing,
              const Sync& sync);
  // All waits but the last become nops; the last one is returned.
  std::optional<Wait> EmitExtraWaits(isa::Queue queue, const Sync& sync);

  isa::Config config_;
  CheckLimits limits_;
  std::uint32_t sbuf_used_ = 0;
  std::map<std::string, std::uint8_t> semaphores_;
  std::optional<Counter> tables_;
  Program program_;
};

}  // namespace dither
