// From tensors to fields: shapes are matched, dimensions folded to four, every field range-checked.
#include "sim/program/builder.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "sim/program/disassemble.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Op;
using isa::Queue;

constexpr std::size_t kDims = 4;

std::string OperandName(const char* role, const Tensor& tensor) {
  return std::string(role) + " (" + tensor.Describe() + ")";
}

[[noreturn]] void Fail(std::string_view op, const std::string& what) {
  throw ProgramError(std::string(op) + ": " + what);
}

// One engine operand taken apart: partitions and up to four free dimensions (any number before
// folding), outermost first.
struct Pattern {
  const char* role;
  const Tensor* tensor;
  std::uint32_t parts;
  std::vector<Dim> free;
};

// Takes an on-chip operand apart. Dimension 0 must be the partitions, the others must stay inside.
Pattern TakeApart(std::string_view op, const char* role, const Tensor& t) {
  if (t.place == Place::kDram) {
    Fail(op, OperandName(role, t) + " must lie in SBUF or PSUM: engines don't reach DRAM");
  }
  if (t.dims.empty()) Fail(op, OperandName(role, t) + " has no dimensions");
  if (t.pair && op != "matmul") Fail(op, OperandName(role, t) + ": pairs are for matmul and copy; Unpaired() is [..][2]");
  const Dim& first = t.dims[0];
  if (first.step != 0 || (first.size > 1 && first.part_step != 1)) {
    Fail(op, OperandName(role, t) + ": dimension 0 must be neighbouring partitions");
  }
  for (std::size_t d = 1; d < t.dims.size(); ++d) {
    if (t.dims[d].size > 1 && t.dims[d].part_step != 0) {
      Fail(op, OperandName(role, t) + ": dimension " + std::to_string(d) +
                   " runs across partitions; only a DMA can do that");
    }
  }
  Pattern p{role, &t, first.size, {t.dims.begin() + 1, t.dims.end()}};
  for (Dim& dim : p.free) {
    if (dim.size == 1) dim.step = 0;
  }
  return p;
}

std::string ShapeText(const std::vector<Dim>& dims) {
  std::string text;
  for (const Dim& dim : dims) text += "[" + std::to_string(dim.size) + "]";
  return text.empty() ? "[1]" : text;
}

// Gives every source the destination's free shape: missing outer dimensions and sizes of 1 repeat.
void MatchFree(std::string_view op, const Pattern& dst, Pattern& src) {
  if (src.free.size() < dst.free.size()) {
    src.free.insert(src.free.begin(), dst.free.size() - src.free.size(), Dim{});
  }
  bool ok = src.free.size() == dst.free.size();
  for (std::size_t d = 0; ok && d < dst.free.size(); ++d) {
    if (src.free[d].size == 1) {
      src.free[d] = {dst.free[d].size, 0, 0};
    } else {
      ok = src.free[d].size == dst.free[d].size;
    }
  }
  if (!ok) {
    Fail(op, OperandName(src.role, *src.tensor) + ": free shape does not fit " +
                 ShapeText(dst.free) + " of " + OperandName(dst.role, *dst.tensor));
  }
}

// Drops dimensions of size 1 and merges neighbours that lie one behind the other in all patterns,
// so that up to four remain. Without `all` it merges only as far as needed.
void Fold(std::vector<std::vector<Dim>*> patterns, bool all) {
  std::vector<Dim>& lead = *patterns[0];
  for (std::size_t d = lead.size(); d-- > 0;) {
    if (lead[d].size != 1) continue;
    for (auto* p : patterns) p->erase(p->begin() + static_cast<std::ptrdiff_t>(d));
  }
  for (std::size_t d = lead.size(); d-- > 1;) {
    if (!all && lead.size() <= kDims) break;
    const auto even = [d](const std::vector<Dim>* p) {
      const Dim &outer = (*p)[d - 1], &inner = (*p)[d];
      return outer.step == inner.step * inner.size &&
             outer.part_step == inner.part_step * static_cast<std::int32_t>(inner.size);
    };
    const std::uint64_t size = static_cast<std::uint64_t>(lead[d - 1].size) * lead[d].size;
    if (size > 0xffff || !std::all_of(patterns.begin(), patterns.end(), even)) continue;
    for (auto* p : patterns) {
      (*p)[d - 1] = {static_cast<std::uint32_t>(size), (*p)[d].step, (*p)[d].part_step};
      p->erase(p->begin() + static_cast<std::ptrdiff_t>(d));
    }
  }
}

void NeedFits(std::string_view op, const Pattern& p, std::string_view what, std::int64_t value,
              std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  Fail(op, OperandName(p.role, *p.tensor) + ": " + std::string(what) + " " +
               std::to_string(value) + " is outside " + std::to_string(low) + ".." +
               std::to_string(high));
}

void SetSizes(std::string_view op, const Pattern& p, std::array<std::uint16_t, 4>& size) {
  if (p.free.size() > kDims) {
    Fail(op, OperandName(p.role, *p.tensor) + ": " + std::to_string(p.free.size()) +
                 " free dimensions remain, an instruction has 4");
  }
  size = {1, 1, 1, 1};
  for (std::size_t k = 0; k < p.free.size(); ++k) {
    const Dim& dim = p.free[p.free.size() - 1 - k];
    NeedFits(op, p, "size of a dimension,", dim.size, 1, 0xffff);
    size[k] = static_cast<std::uint16_t>(dim.size);
  }
}

void SetStrides(std::string_view op, const Pattern& p, std::array<std::int16_t, 4>& strides) {
  strides = {};
  for (std::size_t k = 0; k < p.free.size(); ++k) {
    const std::int64_t step = p.free[p.free.size() - 1 - k].step;
    NeedFits(op, p, "stride in elements,", step, -0x8000, 0x7fff);
    strides[k] = static_cast<std::int16_t>(step);
  }
}

std::uint32_t Offset(std::string_view op, const Pattern& p) {
  NeedFits(op, p, "byte offset", static_cast<std::int64_t>(p.tensor->address), 0, 0xffffff);
  return static_cast<std::uint32_t>(p.tensor->address);
}

std::uint8_t Byte(std::string_view op, const Pattern& p, std::string_view what,
                  std::uint32_t value) {
  NeedFits(op, p, what, value, 0, 0xff);
  return static_cast<std::uint8_t>(value);
}

std::uint8_t SpaceCode(const Tensor& t) {
  return static_cast<std::uint8_t>(t.place == Place::kPsum ? isa::Space::kPsum : isa::Space::kSbuf);
}

void SetDst(std::string_view op, const Pattern& p, isa::EngineInstr& i) {
  i.dtype_d = static_cast<std::uint8_t>(p.tensor->dtype);
  i.space_d = SpaceCode(*p.tensor);
  i.part_d = Byte(op, p, "first partition", p.tensor->part);
  i.parts_d = Byte(op, p, "number of partitions", p.parts);
  i.off_d = Offset(op, p);
  SetStrides(op, p, i.str_d);
}

void SetSrc0(std::string_view op, const Pattern& p, isa::EngineInstr& i) {
  i.dtype_0 = static_cast<std::uint8_t>(p.tensor->dtype);
  i.space_0 = SpaceCode(*p.tensor);
  i.part_0 = Byte(op, p, "first partition", p.tensor->part);
  i.parts = Byte(op, p, "number of partitions", p.parts);
  i.off_0 = Offset(op, p);
  SetStrides(op, p, i.str_0);
}

void SetSrc1(std::string_view op, const Pattern& p, isa::EngineInstr& i) {
  i.dtype_1 = static_cast<std::uint8_t>(p.tensor->dtype);
  i.space_1 = SpaceCode(*p.tensor);
  i.part_1 = Byte(op, p, "first partition", p.tensor->part);
  i.off_1 = Offset(op, p);
  SetStrides(op, p, i.str_1);
}

void NeedSameParts(std::string_view op, const Pattern& dst, const Pattern& src) {
  if (src.parts != dst.parts || src.tensor->part != dst.tensor->part) {
    Fail(op, OperandName(src.role, *src.tensor) + " must lie in the same partitions as " +
                 OperandName(dst.role, *dst.tensor) + ": lanes don't cross partitions");
  }
}

void SetNarrowing(isa::EngineInstr& i, Narrowing narrowing) {
  i.round = static_cast<std::uint8_t>(narrowing.round);
  i.sat = narrowing.saturate;
}

template <typename Instr>
void SetSync(Instr& i, const std::optional<Wait>& wait, const Sync& sync) {
  if (wait) {
    i.wait_en = 1;
    i.wait_sem = wait->sem;
    i.wait_val = wait->value;
  }
  if (sync.signal) {
    i.sig_en = 1;
    i.sig_sem = sync.signal->sem;
    i.sig_inc = sync.signal->increment;
  }
  i.irq = sync.irq;
}

// What every DMA instruction needs of its two sides.
void NeedDma(std::string_view op, Queue ring, const Tensor& dst, const Tensor& src) {
  if (ring != Queue::kDma0 && ring != Queue::kDma1) {
    Fail(op, "queue " + std::string(isa::Name(ring)) + " is no DMA ring");
  }
  const auto need = [op](const char* role, const Tensor& t) {
    if (t.place == Place::kPsum) Fail(op, OperandName(role, t) + ": DMA doesn't reach PSUM");
  };
  need("destination", dst);
  need("source", src);
  if (dst.dtype != src.dtype || dst.pair != src.pair) {
    Fail(op, OperandName("source", src) + " and " + OperandName("destination", dst) +
                 " must have the same dtype: DMA doesn't convert");
  }
}

// Any dtype of two bytes moves a pair.
std::uint8_t DmaDtype(const Tensor& t) {
  return static_cast<std::uint8_t>(t.pair ? Dtype::kFp16 : t.dtype);
}

void SetDmaSide(std::string_view op, const Pattern& p, std::uint64_t& addr,
                std::array<std::int32_t, 4>& str) {
  const Tensor& t = *p.tensor;
  const std::int64_t bytes = t.ElementBytes();
  if (t.place == Place::kDram) {
    NeedFits(op, p, "address", static_cast<std::int64_t>(t.address), 0,
             (std::int64_t{1} << 44) - 1);
    addr = t.address;
  } else {
    NeedFits(op, p, "byte offset", static_cast<std::int64_t>(t.address), 0, 0xfffff);
    NeedFits(op, p, "first partition", t.part, 0, 0xff);
    addr = std::uint64_t{1} << 44 | std::uint64_t{t.part} << 20 | t.address;
  }
  for (std::size_t k = 0; k < p.free.size(); ++k) {
    const Dim& dim = p.free[p.free.size() - 1 - k];
    std::int64_t step = dim.step * bytes;
    if (t.place == Place::kSbuf) {
      NeedFits(op, p, "byte stride within a partition,", step, -0x80000, 0x7ffff);
      step += std::int64_t{dim.part_step} << 20;
    }
    NeedFits(op, p, "byte stride,", step, INT32_MIN, INT32_MAX);
    str[k] = static_cast<std::int32_t>(step);
  }
  // One element: the stride of dimension 0 is never used, but tells the hardware "a row".
  if (p.free.empty()) str[0] = static_cast<std::int32_t>(bytes);
}

void NeedSem(std::string_view op, std::uint8_t sem) {
  if (sem >= isa::kNumSems) {
    Fail(op, "semaphore " + std::to_string(sem) + ", there are " + std::to_string(isa::kNumSems));
  }
}

}  // namespace

ProgramBuilder::ProgramBuilder(const isa::Config& config)
    : ProgramBuilder(config, 0, std::uint64_t{1} << 44) {}

ProgramBuilder::ProgramBuilder(const isa::Config& config, std::uint64_t dram_base,
                               std::uint64_t dram_limit)
    : config_(config), limits_{config.rows, config.sbuf_bytes, dram_base, dram_limit, config.pairs} {
  program_.rows = config.rows;
}

Tensor ProgramBuilder::Sbuf(std::string name, Dtype dtype, const std::vector<std::uint32_t>& shape,
                            std::uint32_t part, std::uint32_t align) {
  Tensor t = Tensor::OnChip(std::move(name), Place::kSbuf, dtype, part, 0, shape);
  if (part + t.dims[0].size > config_.rows) {
    throw ProgramError(t.Describe() + ": partitions " + std::to_string(part) + ".." +
                       std::to_string(part + t.dims[0].size - 1) + ", " +
                       std::string(config_.name) + " has " + std::to_string(config_.rows));
  }
  const std::uint64_t begin = (static_cast<std::uint64_t>(sbuf_used_) + align - 1) / align * align;
  const std::uint64_t bytes = t.Bytes() / t.dims[0].size;
  if (begin + bytes > config_.sbuf_bytes) {
    throw ProgramError(t.Describe() + ": needs " + std::to_string(bytes) +
                       " bytes of each partition, " +
                       std::to_string(begin < config_.sbuf_bytes ? config_.sbuf_bytes - begin : 0) +
                       " of " + std::to_string(config_.sbuf_bytes) + " are free");
  }
  t.address = begin;
  sbuf_used_ = static_cast<std::uint32_t>(begin + bytes);
  return t;
}

Tensor ProgramBuilder::PsumBank(std::string name, std::uint32_t bank, Dtype dtype,
                                const std::vector<std::uint32_t>& shape, std::uint32_t part) const {
  const std::uint64_t bank_bytes = isa::kPsumBankWords * 4;
  Tensor t =
      Tensor::OnChip(std::move(name), Place::kPsum, dtype, part, bank * bank_bytes, shape);
  const std::uint64_t bytes = t.Bytes() / t.dims[0].size;
  if (bank >= isa::kPsumBanks || bytes > (isa::kPsumBanks - bank) * bank_bytes) {
    throw ProgramError(t.Describe() + ": does not fit PSUM from bank " + std::to_string(bank) +
                       " on: a partition has " + std::to_string(isa::kPsumBanks) + " banks of " +
                       std::to_string(bank_bytes) + " bytes");
  }
  return t;
}

std::uint8_t ProgramBuilder::Semaphore(const std::string& name) {
  const auto found = semaphores_.find(name);
  if (found != semaphores_.end()) return found->second;
  if (semaphores_.size() >= isa::kNumSems) {
    throw ProgramError("semaphore '" + name + "': all " + std::to_string(isa::kNumSems) +
                       " semaphores are taken");
  }
  const auto sem = static_cast<std::uint8_t>(semaphores_.size());
  semaphores_[name] = sem;
  return sem;
}

std::optional<Wait> ProgramBuilder::EmitExtraWaits(Queue queue, const Sync& sync) {
  for (const Wait& wait : sync.waits) NeedSem("wait", wait.sem);
  if (sync.signal) NeedSem("signal", sync.signal->sem);
  if (sync.waits.empty()) return std::nullopt;
  for (std::size_t w = 0; w + 1 < sync.waits.size(); ++w) Nop(queue, {{sync.waits[w]}, {}, false});
  return sync.waits.back();
}

void ProgramBuilder::CheckAndAppend(Queue queue, const isa::Encoded& encoded,
                                    const std::vector<Operand>& operands) {
  const CheckResult result = CheckInstruction(queue, encoded, limits_);
  if (result.err != isa::Err::kNone) {
    std::string text(isa::Name(static_cast<Op>(encoded[0])));
    text += ": ";
    for (std::size_t n = 0; n < operands.size(); ++n) {
      if (n == result.operand && operands[n].tensor != nullptr) text += OperandName(operands[n].role, *operands[n].tensor) + ": ";
    }
    text += isa::Name(result.err);
    if (result.err >= isa::Err::kSbufRange) {
      char limit[96];
      const auto addr = static_cast<long long>(result.addr);
      if (result.err == isa::Err::kDramRange) {
        std::snprintf(limit, sizeof limit, " at 0x%llx, the window is 0x%llx..0x%llx",
                      static_cast<unsigned long long>(addr),
                      static_cast<unsigned long long>(limits_.dram_base),
                      static_cast<unsigned long long>(limits_.dram_limit));
      } else {
        std::snprintf(limit, sizeof limit, " at byte %lld, a partition has %u bytes", addr,
                      result.err == isa::Err::kSbufRange ? limits_.sbuf_bytes : isa::kPsumBytes);
      }
      text += limit;
    }
    throw ProgramError(text + " [" + Disassemble(queue, encoded) + "]");
  }
  program_[queue].push_back(encoded);
}

void ProgramBuilder::EmitEngine(Queue queue, isa::EngineInstr instr, const Sync& sync,
                                const std::vector<Operand>& operands) {
  // Checked without its wait first: a refused instruction leaves no nops behind.
  const std::size_t before = program_[queue].size();
  CheckAndAppend(queue, Encode(instr), operands);
  program_[queue].resize(before);
  SetSync(instr, EmitExtraWaits(queue, sync), sync);
  program_[queue].push_back(Encode(instr));
}

void ProgramBuilder::EmitDma(Queue queue, isa::DmaInstr instr, const Sync& sync,
                             const std::vector<Operand>& operands) {
  const std::size_t before = program_[queue].size();
  CheckAndAppend(queue, Encode(instr), operands);
  program_[queue].resize(before);
  SetSync(instr, EmitExtraWaits(queue, sync), sync);
  program_[queue].push_back(Encode(instr));
}

void ProgramBuilder::Matmul(const Tensor& dst, const Tensor& stationary, const Tensor& moving,
                            MatmulOptions options, const Sync& sync) {
  constexpr std::string_view op = "matmul";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern x = TakeApart(op, "moving", moving);
  Pattern w = TakeApart(op, "stationary", stationary);
  if (w.free.size() != 1) {
    Fail(op, OperandName(w.role, stationary) + " must have two dimensions [K][M]");
  }
  if (w.parts != x.parts || stationary.part != moving.part) {
    Fail(op, OperandName(w.role, stationary) + " and " + OperandName(x.role, moving) +
                 " must lie in the same partitions: their dimension 0 is contracted");
  }
  if (w.free[0].size != d.parts) {
    Fail(op, OperandName(w.role, stationary) + " has " + std::to_string(w.free[0].size) +
                 " columns, " + OperandName(d.role, dst) + " has " + std::to_string(d.parts) +
                 " partitions: dimension 1 of one is dimension 0 of the other");
  }
  if (dst.pair || stationary.pair != moving.pair) {
    Fail(op, OperandName(w.role, stationary) + ", " + OperandName(x.role, moving) + ", " + OperandName(d.role, dst) +
                 ": both sources hold pairs or none does, the destination never");
  }
  if (moving.pair && !config_.pairs) {
    Fail(op, OperandName(x.role, moving) + ": the array of " + std::string(config_.name) + " takes no pairs");
  }
  if (options.tiles != 1 && options.tiles != 2 && options.tiles != 4) {
    Fail(op, std::to_string(options.tiles) + " tiles side by side: 1, 2 or 4 are possible");
  }
  MatchFree(op, d, x);
  Fold({&d.free, &x.free}, false);
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kMatmul);
  i.acc = options.accumulate;
  i.reuse = options.reuse;
  const auto piece = [op](const Pattern& p, const std::optional<std::uint8_t>& named) {
    const std::uint32_t pieces = PiecesOf(p.tensor->dtype);
    if (!named && pieces > 1) {
      Fail(op, OperandName(p.role, *p.tensor) + " goes to the array in " + std::to_string(pieces) +
                   " pieces: name one, or use MatmulPieces for all");
    }
    NeedFits(op, p, "piece", named.value_or(0), 0, 3);
    return named.value_or(0);
  };
  i.piece_0 = piece(x, options.moving_piece);
  i.piece_1 = piece(w, options.stationary_piece);
  i.tiles = static_cast<std::uint8_t>(std::countr_zero(options.tiles));
  i.pair = moving.pair;
  i.count_nf = options.count_nonfinite;
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  SetSrc0(op, x, i);
  SetSrc1(op, w, i);
  EmitEngine(Queue::kTensor, i, sync,
             {{"destination", &dst}, {"moving", &moving}, {"stationary", &stationary}});
}

std::uint32_t ProgramBuilder::MatmulPieces(const Tensor& dst, const std::vector<Factors>& factors,
                                           bool accumulate, const Sync& sync) {
  constexpr std::string_view op = "matmul in pieces";
  if (factors.empty()) Fail(op, "no factors");
  const Dtype w_dtype = factors[0].stationary.dtype, x_dtype = factors[0].moving.dtype;
  for (const Factors& f : factors) {
    if (f.stationary.dtype != w_dtype || f.moving.dtype != x_dtype) {
      Fail(op, f.stationary.Describe() + ", " + f.moving.Describe() +
                   ": all factors must have the same dtypes");
    }
  }
  const auto w_pieces = static_cast<std::uint8_t>(PiecesOf(w_dtype));
  const auto x_pieces = static_cast<std::uint8_t>(PiecesOf(x_dtype));
  if (w_pieces == 0) Fail(op, factors[0].stationary.Describe() + " is no float");
  if (x_pieces == 0) Fail(op, factors[0].moving.Describe() + " is no float");
  const std::uint32_t count =
      static_cast<std::uint32_t>(w_pieces) * x_pieces * static_cast<std::uint32_t>(factors.size());
  std::uint32_t emitted = 0;
  for (std::uint8_t w = w_pieces; w-- > 0;) {
    for (std::uint8_t x = x_pieces; x-- > 0;) {
      for (const Factors& f : factors) {
        MatmulOptions options;
        options.accumulate = accumulate || emitted != 0;
        // A lone stationary piece stays for all moving ones. Only the last pass knows infinities and
        // NaN, and that is decided when a tile is loaded: it loads again.
        options.reuse = factors.size() == 1 && x + 1 != x_pieces && (w | x) != 0;
        options.stationary_piece = w;
        options.moving_piece = x;
        Sync s;
        if (emitted == 0) s.waits = sync.waits;
        if (++emitted == count) {
          s.signal = sync.signal;
          s.irq = sync.irq;
        }
        Matmul(dst, f.stationary, f.moving, options, s);
      }
    }
  }
  return count;
}

void ProgramBuilder::TransposeAny(isa::TransposeFunc func, const Tensor& dst, const Tensor& src,
                                  std::uint8_t byte, bool accumulate, const Sync& sync) {
  constexpr std::string_view op = "transpose";
  const Pattern d = TakeApart(op, "destination", dst);
  const Pattern s = TakeApart(op, "source", src);
  if (d.free.size() != 1 || s.free.size() != 1 || d.free[0].size != s.parts ||
      s.free[0].size != d.parts) {
    Fail(op, OperandName(d.role, dst) + " must be [M][K] where " + OperandName(s.role, src) +
                 " is [K][M]");
  }
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kTranspose);
  i.func = static_cast<std::uint8_t>(func);
  i.acc = accumulate;
  NeedFits(op, s, "byte", byte, 0, 3);
  i.piece_1 = byte;
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  SetSrc1(op, s, i);
  i.parts = Byte(op, s, "number of partitions", s.parts);
  EmitEngine(Queue::kTensor, i, sync,
             {{"destination", &dst}, {"source 0", &src}, {"source", &src}});
}

void ProgramBuilder::Transpose(const Tensor& dst, const Tensor& src, const Sync& sync) {
  const auto bytes = static_cast<std::uint8_t>(src.ElementBytes());
  for (std::uint8_t byte = 0; byte < bytes; ++byte) {
    Sync s;
    if (byte == 0) s.waits = sync.waits;
    if (byte + 1 == bytes) {
      s.signal = sync.signal;
      s.irq = sync.irq;
    }
    TransposeAny(isa::TransposeFunc::kWord, dst, src, byte, byte != 0, s);
  }
}

void ProgramBuilder::TransposeByte(const Tensor& dst, const Tensor& src, std::uint8_t byte,
                                   const Sync& sync) {
  TransposeAny(isa::TransposeFunc::kByte, dst, src, byte, false, sync);
}

void ProgramBuilder::ElementwiseAny(const Tensor& dst, const Source0& a, const Step& first,
                                    const Step* second, Narrowing narrowing, const Sync& sync) {
  constexpr std::string_view op = "tensor";
  const auto unary = [](const Step& step) { return OneOperand(static_cast<std::uint8_t>(step.func)); };
  for (const Step* step : {&first, second}) {
    if (step && unary(*step) && step->value.tensor()) {
      Fail(op, std::string(isa::Name(step->func)) + " has one source" +
                   (step->func == isa::VecFunc::kCopy ? ": use Cast" : ""));
    }
  }
  if (second && second->func == isa::VecFunc::kCopy) Fail(op, "copy is no second step");
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kTensor);
  i.func = static_cast<std::uint8_t>(first.func);
  i.rev = first.swapped;
  if (second) {
    i.func_1 = static_cast<std::uint8_t>(second->func);
    i.rev_1 = second->swapped;
  }
  SetNarrowing(i, narrowing);
  Pattern d = TakeApart(op, "destination", dst);
  std::vector<std::vector<Dim>*> all = {&d.free};
  Pattern s0{"source 0", a.tensor(), d.parts, {}};
  if (a.tensor()) {
    s0 = TakeApart(op, "source 0", *a.tensor());
    NeedSameParts(op, d, s0);
    MatchFree(op, d, s0);
  } else {
    // The steps are strides of source 0.
    const Generated& g = *a.generated();
    const bool counts = g.source == isa::Source::kIota;
    if (counts && g.steps.size() != d.free.size()) {
      Fail(op, "iota has " + std::to_string(g.steps.size()) + " steps, " + OperandName(d.role, dst) +
                   " has " + std::to_string(d.free.size()) + " free dimensions");
    }
    s0.tensor = &dst;  // for messages
    for (std::size_t n = 0; n < d.free.size(); ++n) {
      s0.free.push_back({d.free[n].size, counts && d.free[n].size > 1 ? g.steps[n] : 0, 0});
    }
  }
  all.push_back(&s0.free);
  // Which value is the tensor that runs along, and which are words of the instruction.
  const Value& along = second ? second->value : first.value;
  std::optional<Pattern> s1;
  if (along.tensor()) {
    s1 = TakeApart(op, "source 1", *along.tensor());
    NeedSameParts(op, d, *s1);
    MatchFree(op, d, *s1);
    all.push_back(&s1->free);
  }
  Fold(all, false);
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  std::vector<Operand> operands = {{"destination", &dst}, {"source 0", a.tensor()},
                                   {"source 1", along.tensor()}, {"scalars", nullptr}};
  if (a.tensor()) {
    SetSrc0(op, s0, i);
  } else {
    const Generated& g = *a.generated();
    i.gen_0 = static_cast<std::uint8_t>(g.source);
    i.parts = Byte(op, d, "number of partitions", d.parts);
    if (g.source == isa::Source::kIota) {
      if (d.free.size() > 3) Fail(op, "iota over more than 3 free dimensions of " + dst.Describe());
      SetStrides(op, s0, i.str_0);
      NeedFits(op, s0, "step from partition to partition,", g.part_step, -0x8000, 0x7fff);
      NeedFits(op, s0, "base of iota,", g.base, -0x800000, 0x7fffff);
      i.str_0[3] = static_cast<std::int16_t>(g.part_step);
      i.off_0 = static_cast<std::uint32_t>(g.base - g.part_step * std::int32_t{i.part_d}) & 0xffffff;
    }
  }
  if (s1) {
    SetSrc1(op, *s1, i);
  } else if (second) {
    if (!unary(*second)) {
      i.src1_imm = 1;
      isa::SetImm1(i, along.bits());
    }
  } else if (!unary(first)) {
    i.src1_imm = 1;
    i.imm0 = along.bits();
  }
  if (second) {
    i.imm0 = first.value.bits();
    if (const Tensor* scalars = first.value.tensor()) {
      Pattern s = TakeApart(op, "first step's value", *scalars);
      NeedSameParts(op, d, s);
      const Dtype dtype = OnWords(i.func) ? Dtype::kInt32 : Dtype::kFp32;
      if (scalars->Elements() != s.parts || scalars->place != Place::kSbuf || scalars->dtype != dtype) {
        Fail(op, OperandName(s.role, *scalars) + " must be one " + std::string(isa::Name(dtype)) +
                     " of each partition, in SBUF");
      }
      i.scalar_ptr = 1;
      i.imm0 = Offset(op, s);
      operands[3].tensor = scalars;
    }
  }
  EmitEngine(Queue::kVector, i, sync, operands);
}

void ProgramBuilder::Elementwise(isa::VecFunc func, const Tensor& dst, const Source0& a,
                                 const Value& b, Narrowing narrowing, const Sync& sync) {
  if (OneOperand(static_cast<std::uint8_t>(func))) {
    Fail("tensor", std::string(isa::Name(func)) + " has one source" +
                       (func == isa::VecFunc::kCopy ? ": use Cast" : ": name it as a Step"));
  }
  ElementwiseAny(dst, a, {func, b}, nullptr, narrowing, sync);
}

void ProgramBuilder::Elementwise(const Tensor& dst, const Source0& a, const Step& step,
                                 Narrowing narrowing, const Sync& sync) {
  ElementwiseAny(dst, a, step, nullptr, narrowing, sync);
}

void ProgramBuilder::TwoSteps(const Tensor& dst, const Source0& a, const Step& first,
                              const Step& second, Narrowing narrowing, const Sync& sync) {
  ElementwiseAny(dst, a, first, &second, narrowing, sync);
}

void ProgramBuilder::Cast(const Tensor& dst, const Tensor& src, Narrowing narrowing,
                          const Sync& sync) {
  ElementwiseAny(dst, src, {}, nullptr, narrowing, sync);
}

void ProgramBuilder::Iota(const Tensor& dst, std::int32_t base, std::vector<std::int32_t> steps,
                          std::int32_t part_step, const Sync& sync) {
  ElementwiseAny(dst, Generated::Iota(base, std::move(steps), part_step), {}, nullptr, {}, sync);
}

void ProgramBuilder::Random(const Tensor& dst, float range, const Sync& sync) {
  // 2^-24 of the range: exact but for ranges that no one means.
  ElementwiseAny(dst, Generated::Random(), {isa::VecFunc::kMul, range * 0x1p-24f}, nullptr,
                 {isa::Round::kRtz, false}, sync);
}

namespace {

// Sorts the patterns of an instruction that reduces the innermost `reduced` dimensions of `s` into
// the outer ones of `d` (all but `d` have s's shape); dimensions of size 1 go. Returns rdims.
std::uint8_t Reducing(std::string_view op, Pattern& d, Pattern& s, std::size_t reduced,
                      Pattern* bias) {
  if (reduced == 0 || reduced > s.free.size() || reduced > kDims) {
    Fail(op, OperandName(s.role, *s.tensor) + ": can't reduce " + std::to_string(reduced) +
                 " dimensions, only 1.." + std::to_string(std::min(kDims, s.free.size())));
  }
  // The others must be the destination's, once dimensions of size 1 are out of the way.
  const std::size_t outer = s.free.size() - reduced;
  std::vector<Dim> kept, inner, bias_dims;
  for (std::size_t n = 0; n < s.free.size(); ++n) {
    if (s.free[n].size == 1) continue;
    (n < outer ? kept : inner).push_back(s.free[n]);
    if (bias) bias_dims.push_back(bias->free[n]);
  }
  std::erase_if(d.free, [](const Dim& dim) { return dim.size == 1; });
  const bool fits =
      std::equal(kept.begin(), kept.end(), d.free.begin(), d.free.end(),
                 [](const Dim& x, const Dim& y) { return x.size == y.size; });
  if (!fits) {
    Fail(op, OperandName(d.role, *d.tensor) + ": free shape " + ShapeText(d.free) +
                 " is not what is left of " + OperandName(s.role, *s.tensor) + ", " +
                 ShapeText(kept));
  }
  if (inner.empty()) {
    inner.push_back(Dim{});
    bias_dims.push_back(Dim{});
  }
  s.free = kept;
  s.free.insert(s.free.end(), inner.begin(), inner.end());
  d.free.resize(s.free.size());  // reduced dimensions: stride 0
  if (bias) bias->free = bias_dims;
  return static_cast<std::uint8_t>(inner.size() - 1);
}

}  // namespace

void ProgramBuilder::Reduce(isa::RedFunc func, const Tensor& dst, const Tensor& src,
                            std::size_t reduced, Narrowing narrowing, const Sync& sync) {
  constexpr std::string_view op = "reduce";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s = TakeApart(op, "source 0", src);
  NeedSameParts(op, d, s);
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kReduce);
  i.func = static_cast<std::uint8_t>(func);
  i.rdims = Reducing(op, d, s, reduced, nullptr);
  SetNarrowing(i, narrowing);
  SetSizes(op, s, i.size);
  SetDst(op, d, i);
  SetSrc0(op, s, i);
  EmitEngine(Queue::kVector, i, sync, {{"destination", &dst}, {"source 0", &src}});
}

void ProgramBuilder::Stats(const Tensor& dst, const Tensor& src, std::size_t reduced,
                           Narrowing narrowing, const Sync& sync) {
  constexpr std::string_view op = "stats";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s = TakeApart(op, "source 0", src);
  NeedSameParts(op, d, s);
  if (d.free.empty() || d.free.back().size != 2) {
    Fail(op, OperandName(d.role, dst) + ": the last dimension must be 2, mean and variance");
  }
  const Dim pair = d.free.back();
  d.free.pop_back();
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kStats);
  i.rdims = Reducing(op, d, s, reduced, nullptr);
  std::uint64_t count = 1;
  for (int k = 0; k <= i.rdims; ++k) count *= s.free[s.free.size() - 1 - static_cast<std::size_t>(k)].size;
  i.imm0 = std::bit_cast<std::uint32_t>(static_cast<float>(1.0 / static_cast<double>(count)));
  SetNarrowing(i, narrowing);
  SetSizes(op, s, i.size);
  SetDst(op, d, i);
  NeedFits(op, d, "stride in elements,", pair.step, -0x8000, 0x7fff);
  i.str_d[0] = static_cast<std::int16_t>(pair.step);
  SetSrc0(op, s, i);
  EmitEngine(Queue::kVector, i, sync, {{"destination", &dst}, {"source 0", &src}});
}

void ProgramBuilder::Scan(isa::RedFunc func, const Tensor& dst, const Tensor& src, std::size_t dims,
                          Narrowing narrowing, const Sync& sync) {
  constexpr std::string_view op = "scan";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s = TakeApart(op, "source 0", src);
  NeedSameParts(op, d, s);
  MatchFree(op, d, s);
  if (dims == 0 || dims > d.free.size()) {
    Fail(op, OperandName(d.role, dst) + ": can't scan " + std::to_string(dims) + " dimensions, only 1.." +
                 std::to_string(d.free.size()));
  }
  // Inside and outside of a group by themselves, so that no fold crosses its border.
  const auto split = [dims](std::vector<Dim>& all) {
    std::vector<Dim> inner(all.end() - static_cast<std::ptrdiff_t>(dims), all.end());
    all.resize(all.size() - dims);
    return inner;
  };
  std::vector<Dim> d_in = split(d.free), s_in = split(s.free);
  Fold({&d_in, &s_in}, true);
  if (d_in.empty()) d_in = s_in = {Dim{}};
  Fold({&d.free, &s.free}, true);
  d.free.insert(d.free.end(), d_in.begin(), d_in.end());
  s.free.insert(s.free.end(), s_in.begin(), s_in.end());
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kScan);
  i.func = static_cast<std::uint8_t>(func);
  i.rdims = static_cast<std::uint8_t>(d_in.size() - 1);
  SetNarrowing(i, narrowing);
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  SetSrc0(op, s, i);
  EmitEngine(Queue::kVector, i, sync, {{"destination", &dst}, {"source 0", &src}});
}

void ProgramBuilder::BroadcastPartition(const Tensor& dst, const Tensor& src, const Sync& sync) {
  constexpr std::string_view op = "shuffle";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s = TakeApart(op, "source", src);
  if (s.parts != 1) Fail(op, OperandName(s.role, src) + " must have one partition");
  MatchFree(op, d, s);
  Fold({&d.free, &s.free}, false);
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kShuffle);
  i.func = static_cast<std::uint8_t>(isa::ShuffleFunc::kBroadcast);
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  SetSrc0(op, s, i);
  i.parts = i.parts_d;
  EmitEngine(Queue::kVector, i, sync, {{"destination", &dst}, {"source", &src}});
}

void ProgramBuilder::ShufflePartitions(const Tensor& dst, const Tensor& src, const Tensor& index,
                                       const Sync& sync) {
  constexpr std::string_view op = "shuffle";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s = TakeApart(op, "source", src);
  const Pattern x = TakeApart(op, "index", index);
  NeedSameParts(op, d, s);
  NeedSameParts(op, d, x);
  if (index.Elements() != x.parts || index.place != Place::kSbuf || index.dtype != Dtype::kInt32) {
    Fail(op, OperandName(x.role, index) + " must be one int32 of each partition, in SBUF");
  }
  MatchFree(op, d, s);
  Fold({&d.free, &s.free}, false);
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kShuffle);
  i.func = static_cast<std::uint8_t>(isa::ShuffleFunc::kIndex);
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  SetSrc0(op, s, i);
  i.imm0 = Offset(op, x);
  EmitEngine(Queue::kVector, i, sync,
             {{"destination", &dst}, {"source", &src}, {"", nullptr}, {"index", &index}});
}

void ProgramBuilder::TransposeBlocks(const Tensor& dst, const Tensor& src, const Sync& sync) {
  constexpr std::string_view op = "shuffle";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s = TakeApart(op, "source", src);
  const auto square = [op](const Pattern& p) {
    if (p.free.empty() || p.free.back().size != p.parts) {
      Fail(op, OperandName(p.role, *p.tensor) + ": the last dimension must be as long as dimension 0");
    }
  };
  square(d);
  square(s);
  if (d.parts != s.parts) {
    Fail(op, OperandName(s.role, src) + " has other partitions than " + OperandName(d.role, dst));
  }
  MatchFree(op, d, s);
  const Dim d_row = d.free.back(), s_row = s.free.back();
  d.free.pop_back();
  s.free.pop_back();
  Fold({&d.free, &s.free}, true);
  d.free.push_back(d_row);
  s.free.push_back(s_row);
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kShuffle);
  i.func = static_cast<std::uint8_t>(isa::ShuffleFunc::kTranspose);
  SetSizes(op, d, i.size);
  SetDst(op, d, i);
  SetSrc0(op, s, i);
  EmitEngine(Queue::kVector, i, sync, {{"destination", &dst}, {"source", &src}});
}

void ProgramBuilder::ActAny(isa::ActFunc func, isa::ActSum sum, std::size_t reduced,
                            const Tensor& dst, const Tensor& src, float scale, const Tensor* bias,
                            float imm, Narrowing narrowing, const Sync& sync) {
  constexpr std::string_view op = "act";
  Pattern d = TakeApart(op, "destination", dst);
  Pattern s0 = TakeApart(op, "source 0", src);
  NeedSameParts(op, d, s0);
  std::optional<Pattern> s1;
  if (bias) {
    s1 = TakeApart(op, "bias", *bias);
    NeedSameParts(op, d, *s1);
  }
  isa::EngineInstr i{};
  if (sum == isa::ActSum::kNone) {
    MatchFree(op, d, s0);
    std::vector<std::vector<Dim>*> all = {&d.free, &s0.free};
    if (s1) {
      MatchFree(op, d, *s1);
      all.push_back(&s1->free);
    }
    Fold(all, false);
  } else {
    if (s1) MatchFree(op, s0, *s1);
    if (sum == isa::ActSum::kTotal) {
      i.rdims = Reducing(op, d, s0, reduced, s1 ? &*s1 : nullptr);
    } else {
      // The destination has all dimensions; the same ones of size 1 go in source and destination.
      MatchFree(op, d, s0);
      const std::vector<Dim> dst_dims = d.free;
      std::vector<Dim> whole;
      for (const Dim& dim : dst_dims) {
        if (dim.size != 1) whole.push_back(dim);
      }
      Pattern outer = d;
      outer.free.resize(dst_dims.size() - std::min(reduced, dst_dims.size()));
      i.rdims = Reducing(op, outer, s0, reduced, s1 ? &*s1 : nullptr);
      if (whole.size() < s0.free.size()) whole.push_back(Dim{});
      d.free = whole;
    }
  }
  i.opcode = static_cast<std::uint8_t>(Op::kAct);
  i.func = static_cast<std::uint8_t>(func);
  i.sum = static_cast<std::uint8_t>(sum);
  i.imm0 = std::bit_cast<std::uint32_t>(scale);
  SetNarrowing(i, narrowing);
  SetSizes(op, s0, i.size);
  SetDst(op, d, i);
  SetSrc0(op, s0, i);
  std::vector<Operand> operands = {{"destination", &dst}, {"source 0", &src}};
  if (s1) {
    SetSrc1(op, *s1, i);
    operands.push_back({"bias", bias});
  } else {
    i.src1_imm = 1;
    isa::SetImm1(i, std::bit_cast<std::uint32_t>(imm));
  }
  EmitEngine(Queue::kScalar, i, sync, operands);
}

void ProgramBuilder::Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale,
                         const Tensor& bias, Narrowing narrowing, const Sync& sync) {
  ActAny(func, isa::ActSum::kNone, 0, dst, src, scale, &bias, 0, narrowing, sync);
}

void ProgramBuilder::Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale,
                         float bias, Narrowing narrowing, const Sync& sync) {
  ActAny(func, isa::ActSum::kNone, 0, dst, src, scale, nullptr, bias, narrowing, sync);
}

void ProgramBuilder::ActSum(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale,
                            const Tensor& bias, std::size_t reduced, Narrowing narrowing,
                            const Sync& sync) {
  ActAny(func, isa::ActSum::kTotal, reduced, dst, src, scale, &bias, 0, narrowing, sync);
}

void ProgramBuilder::ActSum(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale,
                            float bias, std::size_t reduced, Narrowing narrowing,
                            const Sync& sync) {
  ActAny(func, isa::ActSum::kTotal, reduced, dst, src, scale, nullptr, bias, narrowing, sync);
}

void ProgramBuilder::ActRunning(isa::ActFunc func, const Tensor& dst, const Tensor& src,
                                float scale, float bias, std::size_t reduced, Narrowing narrowing,
                                const Sync& sync) {
  ActAny(func, isa::ActSum::kRunning, reduced, dst, src, scale, nullptr, bias, narrowing, sync);
}

void ProgramBuilder::Load(const Tensor& image, const Sync& sync) {
  constexpr std::string_view op = "load";
  Pattern s = TakeApart(op, "tables", image);
  if (s.free.size() != 1) {
    Fail(op, OperandName(s.role, image) + " must have two dimensions [partitions][words]");
  }
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kLoad);
  SetSizes(op, s, i.size);
  SetSrc0(op, s, i);
  EmitEngine(Queue::kScalar, i, sync, {{"destination", &image}, {"tables", &image}});
}

void ProgramBuilder::LoadFunctions(const Tensor& image, Queue ring, const Sync& sync) {
  if (!tables_) tables_ = NewCounter("function tables");
  const Tensor here = Sbuf("function tables", image.dtype, image.Shape());
  Copy(ring, here, image, {sync.waits, tables_->Tick(), false});
  Load(here, {{tables_->Until(tables_->count())}, sync.signal, sync.irq});
}

void ProgramBuilder::Copy(Queue ring, const Tensor& dst, const Tensor& src, const Sync& sync) {
  constexpr std::string_view op = "copy";
  NeedDma(op, ring, dst, src);
  if (dst.Shape() != src.Shape()) {
    Fail(op, OperandName("source", src) + " has another shape than " +
                 OperandName("destination", dst));
  }
  Pattern d{"destination", &dst, 0, dst.dims}, s{"source", &src, 0, src.dims};
  Fold({&d.free, &s.free}, true);
  isa::DmaInstr i{};
  i.opcode = static_cast<std::uint8_t>(Op::kCopy);
  i.dtype_d = i.dtype_0 = DmaDtype(dst);
  SetSizes(op, d, i.size);
  SetDmaSide(op, d, i.dst_addr, i.dst_str);
  SetDmaSide(op, s, i.src_addr, i.src_str);
  EmitDma(ring, i, sync, {{"destination", &dst}, {"source", &src}});
}

void ProgramBuilder::Gather(Queue ring, const Tensor& dst, const Tensor& table, const Tensor& list,
                            const Sync& sync) {
  Indexed(Op::kGather, ring, dst, table, list, sync);
}
void ProgramBuilder::Scatter(Queue ring, const Tensor& table, const Tensor& src, const Tensor& list,
                             const Sync& sync) {
  Indexed(Op::kScatter, ring, table, src, list, sync);
}

void ProgramBuilder::Indexed(Op code, Queue ring, const Tensor& dst, const Tensor& src,
                             const Tensor& list, const Sync& sync) {
  const std::string_view op = isa::Name(code);
  NeedDma(op, ring, dst, src);
  const bool gather = code == Op::kGather;
  const Tensor &table = gather ? src : dst, &rows = gather ? dst : src;
  const std::string table_name = OperandName("table", table);
  if (table.place != Place::kDram) Fail(op, table_name + " must lie in DRAM");
  if (table.dims.empty() || rows.dims.empty() || table.dims.size() != rows.dims.size() ||
      !std::equal(table.dims.begin() + 1, table.dims.end(), rows.dims.begin() + 1,
                  [](const Dim& a, const Dim& b) { return a.size == b.size; })) {
    Fail(op, OperandName("rows", rows) + ": a row has another shape than one of " + table_name);
  }
  if (list.place != Place::kSbuf || list.dtype != Dtype::kInt32 || list.dims.size() != 2 ||
      list.dims[0].size != 1 || list.dims[1].size != rows.dims[0].size ||
      (list.dims[1].size > 1 && (list.dims[1].step != 1 || list.dims[1].part_step != 0))) {
    Fail(op, OperandName("list", list) + " must be int32[1][" + std::to_string(rows.dims[0].size) +
                 "] in SBUF, one index behind the other: one for each row of " +
                 OperandName("rows", rows));
  }
  // Rows are dimension 2 of the instruction; what a row consists of folds to dimensions 0 and 1.
  const auto inner = [](const Tensor& t) {
    return std::vector<Dim>(t.dims.begin() + 1, t.dims.end());
  };
  Pattern d{"destination", &dst, 0, inner(dst)}, s{"source", &src, 0, inner(src)};
  Fold({&d.free, &s.free}, true);
  if (d.free.size() > 2) {
    Fail(op, OperandName("rows", rows) + ": " + std::to_string(d.free.size()) +
                 " dimensions of a row remain, an instruction has 2");
  }
  isa::DmaInstr i{};
  for (Pattern* p : {&d, &s}) {
    // A row of one element: the stride of dimension 0 is never used, but tells the hardware "a row".
    if (p->free.empty()) p->free.push_back({1, 1, 0});
    if (p->free.size() == 1) p->free.insert(p->free.begin(), Dim{});
    p->free.insert(p->free.begin(), p->tensor->dims[0]);
  }
  // The instruction moves as many rows as the list has, whatever the table has.
  SetSizes(op, gather ? d : s, i.size);
  i.opcode = static_cast<std::uint8_t>(code);
  i.dtype_d = i.dtype_0 = DmaDtype(dst);
  SetDmaSide(op, d, i.dst_addr, i.dst_str);
  SetDmaSide(op, s, i.src_addr, i.src_str);
  NeedFits(op, gather ? s : d, "number of rows", table.dims[0].size, 1, kMostTableRows);
  isa::SetLimit(i, table.dims[0].size);
  const Pattern l{"list", &list, 1, {}};
  NeedFits(op, l, "byte offset", static_cast<std::int64_t>(list.address), 0, 0xfffff);
  NeedFits(op, l, "partition", list.part, 0, 0xff);
  isa::SetListAddr(i, list.part << isa::kPartitionPitchLog2 | static_cast<std::uint32_t>(list.address));
  EmitDma(ring, i, sync, {{"destination", &dst}, {"source", &src}, {"list", &list}});
}

void ProgramBuilder::Nop(Queue queue, const Sync& sync) {
  const std::optional<Wait> wait = EmitExtraWaits(queue, sync);
  if (queue == Queue::kDma0 || queue == Queue::kDma1) {
    isa::DmaInstr i{};
    i.opcode = static_cast<std::uint8_t>(Op::kNop);
    SetSync(i, wait, sync);
    program_[queue].push_back(Encode(i));
  } else {
    isa::EngineInstr i{};
    i.opcode = static_cast<std::uint8_t>(Op::kNop);
    SetSync(i, wait, sync);
    program_[queue].push_back(Encode(i));
  }
}

}  // namespace dither
