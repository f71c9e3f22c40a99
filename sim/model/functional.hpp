// The functional model: one instruction at a time, exact in every bit of SBUF, PSUM, DRAM and
// rounder state. No clock, no queues; FunctionalDevice (sim/device) puts queues and registers
// around it, the lockstep comparison runs it beside the RTL.
//
// An instruction whose source and destination overlap is defined element by element in the order of
// the iteration; the hardware's pipeline reads ahead, so programs must not depend on it.
//
// Test  tb/model/functional_test.cpp
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"
#include "sim/model/column_block.hpp"
#include "sim/model/function_table.hpp"
#include "sim/model/memory.hpp"
#include "sim/model/nonfinite.hpp"
#include "sim/model/tile_product.hpp"

namespace dither {

// What an instruction writes: bytes [begin, end) of every partition part .. part+parts-1, or of
// DRAM (parts = 1). Depends on the instruction and the number of partitions alone, but for a scatter:
// its rows are those that the list in `core` names, or all of the table if that is not given.
struct WriteRange {
  enum class Memory : std::uint8_t { kSbuf, kPsum, kDram };
  Memory memory;
  std::uint32_t part;
  std::uint32_t parts;
  std::uint64_t begin;
  std::uint64_t end;
  bool operator==(const WriteRange&) const = default;
};
std::vector<WriteRange> WriteFootprint(isa::Queue queue, const isa::Encoded& encoded,
                                       std::uint32_t rows, const CoreMemory* core = nullptr);
// The list of a gather or scatter that has passed the static checks.
std::vector<std::uint32_t> IndicesOf(const isa::DmaInstr& i, const CoreMemory& memory);
// PSUM banks that it writes, bit b for bank b; the instruction has passed the static checks.
std::uint8_t PsumBanksWritten(isa::Queue queue, const isa::Encoded& encoded);

class FunctionalModel {
 public:
  FunctionalModel(const isa::Config& config, std::uint64_t dram_base, std::uint64_t dram_bytes);

  const isa::Config& config() const { return config_; }

  // The static checks, then the one that depends on what ran before (kPsumUnwritten); for an
  // instruction whose wait has been met.
  CheckResult Check(isa::Queue queue, const isa::Encoded& encoded) const;
  // Checks and executes; waiting and signalling are the caller's. On an error nothing has changed.
  // Other than by static checks a load fails where the image is damaged (kBadTable), a gather or scatter at an
  // index outside the table (kBadIndex), and a DMA instruction where DRAM_BASE..DRAM_LIMIT is more than there is
  // (kAxiRead, kAxiWrite).
  CheckResult Execute(isa::Queue queue, const isa::Encoded& encoded);

  // Elements per lane, columns, or bytes: what the Work counter would count.
  static std::uint64_t Work(isa::Queue queue, const isa::Encoded& encoded);

  CoreMemory& memory() { return memory_; }
  const CoreMemory& memory() const { return memory_; }
  DramMemory& dram() { return dram_; }
  const DramMemory& dram() const { return dram_; }
  // Window of DRAM that the checks allow.
  CheckLimits& limits() { return limits_; }

  // PSUM banks that instructions have written since construction (the core's reset); bit b for bank
  // b. Writing the memory through memory() doesn't count; a test that does so sets the bits itself.
  std::uint8_t psum_written() const { return psum_written_; }
  void SetPsumWritten(std::uint8_t banks) { psum_written_ = banks; }
  // Words, infinite or NaN, that the last executed instruction counted: 0 without its count_nf.
  std::uint32_t counted() const { return counted_; }

  // What the last load of function tables brought.
  const model::FunctionMemory& functions() const { return functions_; }

  // Rounder states of the vector and scalar lanes; never 0.
  std::uint32_t VectorRounder(std::uint32_t lane) const { return vector_rounder_.at(lane); }
  std::uint32_t ScalarRounder(std::uint32_t lane) const { return scalar_rounder_.at(lane); }
  void SetVectorRounder(std::uint32_t lane, std::uint32_t state);
  void SetScalarRounder(std::uint32_t lane, std::uint32_t state);
  // Whether the random words are whitened: the RTL's parameter Whiten, register RNG_MODE.
  bool Whitens() const { return whiten_; }
  void SetWhiten(bool whiten) { whiten_ = whiten; }

 private:
  void Matmul(const isa::EngineInstr& i);
  void Transpose(const isa::EngineInstr& i);
  void CountedMatmul(const isa::EngineInstr& i);
  void ColumnByColumn(const isa::EngineInstr& i);
  void LoadStationary(const isa::EngineInstr& i);
  bool LoadTile(const isa::EngineInstr& i);
  void SpreadTile();
  void Tensor(const isa::EngineInstr& i);
  void Reduce(const isa::EngineInstr& i);
  void Scan(const isa::EngineInstr& i);
  void Stats(const isa::EngineInstr& i);
  void Shuffle(const isa::EngineInstr& i);
  void Act(const isa::EngineInstr& i);
  CheckResult Load(const isa::EngineInstr& i);
  CheckResult Copy(const isa::DmaInstr& i);
  void Store(const isa::EngineInstr& i, std::uint32_t lane, std::int64_t byte,
             std::vector<std::uint32_t>& rounders, const std::uint32_t* values, std::uint32_t count,
             std::int64_t stride);

  isa::Config config_;
  CheckLimits limits_;
  CoreMemory memory_;
  DramMemory dram_;
  std::vector<std::uint32_t> vector_rounder_, scalar_rounder_;
  std::uint8_t psum_written_ = 0;
  std::uint32_t counted_ = 0;
  bool whiten_ = true;
  model::FunctionMemory functions_;

  // The stationary tile by array column, rows in order; both forms of the same operands. Of pairs a row has two, and
  // stationary_pair_ takes the place of the bits.
  std::vector<model::BlockOperand> stationary_;
  std::vector<std::uint16_t> stationary_bits_;
  std::vector<model::Factor> stationary_pair_;
  std::vector<std::uint8_t> column_special_;  // the column holds an infinity or NaN

  // The usual tile in the form of its own (functional_tile.cpp); while it is pending, the forms above are not made.
  model::OperandTile tile_;
  bool tile_ready_ = false, tile_pending_ = false;
  std::uint32_t tile_row_ = 0, tile_column_ = 0, tile_columns_ = 0;

  // Scratch of one instruction.
  model::OperandTile moving_tile_;
  std::vector<model::BlockRow> block_;
  std::vector<std::uint16_t> moving_;
  std::vector<model::Factor> moving_pair_;
  std::vector<std::uint32_t> unusual_;
  std::vector<std::int64_t> source_at_, target_at_;
  std::vector<std::uint32_t> a_, b_, s_;
};

}  // namespace dither
