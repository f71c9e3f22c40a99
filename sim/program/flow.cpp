// Dependencies by lines of 64 bytes, memory, and the instructions themselves.
#include "sim/program/flow.hpp"

#include <algorithm>

#include "sim/model/operand.hpp"

namespace dither {
namespace {

using isa::Queue;

constexpr std::uint32_t kLineBytes = 64;
constexpr std::uint32_t kMostEvents = 0x7fff;  // waits compare modulo 2^16

std::size_t Index(Queue queue) { return static_cast<std::size_t>(queue); }
bool IsDma(Queue queue) { return queue == Queue::kDma0 || queue == Queue::kDma1; }

std::uint64_t ElementsPerLane(const Tensor& t) {
  return t.Elements() / std::max(1u, t.dims[0].size);
}

}  // namespace

Flow::Flow(const isa::Config& config)
    : builder_(config),
      sbuf_(config.sbuf_bytes / kLineBytes),
      psum_(isa::kPsumBytes / kLineBytes) {
  for (const Queue queue : isa::kAllQueue) {
    counters_[Index(queue)] = builder_.NewCounter("flow." + std::string(isa::Name(queue)));
  }
  free_[0] = config.sbuf_bytes;
}

// ------------------------------------------------------------------------------------------ memory

Tensor Flow::Sbuf(const std::string& name, isa::Dtype dtype,
                  const std::vector<std::uint32_t>& shape) {
  Tensor t = Tensor::OnChip(name, dither::Place::kSbuf, dtype, 0, 0, shape);
  const std::uint64_t exact = t.Bytes() / t.dims[0].size;
  const std::uint64_t bytes = (exact + kLineBytes - 1) / kLineBytes * kLineBytes;
  for (auto hole = free_.begin(); hole != free_.end(); ++hole) {
    if (hole->second < bytes) continue;
    const auto [offset, room] = *hole;
    free_.erase(hole);
    if (room > bytes) free_[offset + static_cast<std::uint32_t>(bytes)] = room - static_cast<std::uint32_t>(bytes);
    taken_[offset] = static_cast<std::uint32_t>(bytes);
    t.address = offset;
    return t;
  }
  std::uint64_t total = 0;
  for (const auto& hole : free_) total += hole.second;
  throw ProgramError(t.Describe() + ": needs " + std::to_string(bytes) + " bytes of each partition's " +
                     std::to_string(config().sbuf_bytes) + "; " + std::to_string(total) + " are free, " +
                     std::to_string(SbufFree()) + " of them in one piece" +
                     (label_.empty() ? "" : " (" + label_ + ")"));
}

void Flow::Free(const Tensor& tensor) {
  const auto at = taken_.find(static_cast<std::uint32_t>(tensor.address));
  if (at == taken_.end()) throw ProgramError(tensor.Describe() + ": given back, but not taken");
  auto [offset, bytes] = *at;
  taken_.erase(at);
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + bytes == next->first) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_[offset] = bytes;
}

std::uint32_t Flow::SbufFree() const {
  std::uint32_t most = 0;
  for (const auto& hole : free_) most = std::max(most, hole.second);
  return most;
}

Tensor Flow::Psum(const std::string& name, std::uint32_t parts, std::uint32_t words, bool hold) {
  if (words > isa::kPsumBankWords) {
    throw ProgramError(name + ": " + std::to_string(words) + " words, a PSUM bank has " +
                       std::to_string(isa::kPsumBankWords));
  }
  if (held_banks_ == (1u << isa::kPsumBanks) - 1) throw ProgramError(name + ": all PSUM banks are held");
  while ((held_banks_ >> next_bank_ & 1) != 0) next_bank_ = (next_bank_ + 1) % isa::kPsumBanks;
  const std::uint32_t bank = next_bank_;
  next_bank_ = (next_bank_ + 1) % isa::kPsumBanks;
  if (hold) held_banks_ |= 1u << bank;
  return builder_.PsumBank(name, bank, isa::Dtype::kFp32, {parts, words});
}

void Flow::Release(const Tensor& psum) {
  held_banks_ &= ~(1u << (psum.address / (4 * isa::kPsumBankWords)));
}

// ------------------------------------------------------------------------------------ dependencies

// Calls f(line) for every line that the tensor touches (or a few more, in small gaps).
template <typename F>
void Flow::ForLines(const Tensor& tensor, F&& f) {
  const std::int64_t bytes = tensor.ElementBytes();
  std::vector<std::pair<std::int64_t, std::int64_t>> dims;  // step in bytes, size
  for (const Dim& d : tensor.dims) {
    if (d.size > 1 && d.step != 0) dims.emplace_back(d.step * bytes, d.size);
  }
  std::sort(dims.begin(), dims.end());
  std::int64_t run = bytes;
  std::size_t outer = 0;
  for (; outer < dims.size(); ++outer) {
    const auto [step, size] = dims[outer];
    if (step < 0) throw ProgramError(tensor.Describe() + ": a flow has no negative steps");
    if (step > run + static_cast<std::int64_t>(kLineBytes)) break;
    run += step * (size - 1);
  }
  auto* const lines = tensor.place == dither::Place::kSbuf ? &sbuf_ : &psum_;
  const auto touch = [&](std::int64_t at) {
    const std::uint64_t first = static_cast<std::uint64_t>(at) / kLineBytes;
    const std::uint64_t last = static_cast<std::uint64_t>(at + run - 1) / kLineBytes;
    for (std::uint64_t n = first; n <= last; ++n) {
      if (tensor.place == dither::Place::kDram) {
        f(dram_[n]);
      } else {
        f(lines->at(n));
      }
    }
  };
  const auto walk = [&](auto&& self, std::size_t d, std::int64_t at) -> void {
    if (d == outer) return touch(at);
    for (std::int64_t n = 0; n < dims[d - 1].second; ++n) self(self, d - 1, at + n * dims[d - 1].first);
  };
  walk(walk, dims.size(), static_cast<std::int64_t>(tensor.address));
}

void Flow::Emit(Queue queue, const Operands& operands, std::uint64_t work,
                const std::function<void(const Sync&)>& emit) {
  const std::size_t q = Index(queue);
  Clock need{}, own{};
  for (const Tensor* t : operands.reads) {
    ForLines(*t, [&](const Line& line) {
      need[line.writer] = std::max(need[line.writer], line.written);
      own[line.writer] = std::max(own[line.writer], line.written);
    });
  }
  for (const Tensor* t : operands.writes) {
    ForLines(*t, [&](const Line& line) {
      need[line.writer] = std::max(need[line.writer], line.written);
      for (std::size_t p = 0; p < need.size(); ++p) need[p] = std::max(need[p], line.read[p]);
    });
  }
  // An engine sees its own queue's effects. A DMA ring writes in order too, but reads ahead.
  need[q] = IsDma(queue) ? own[q] : 0;

  Clock& known = known_[q];
  for (std::size_t p = 0; p < need.size(); ++p) {
    if (need[p] <= known[p]) need[p] = 0;
  }
  for (std::size_t p = 0; p < need.size(); ++p) {
    for (std::size_t other = 0; other < need.size() && need[p] != 0; ++other) {
      if (other == p || need[other] == 0) continue;
      if (clocks_[other][need[other] - 1][p] >= need[p]) need[p] = 0;
    }
  }
  Sync sync;
  for (std::size_t p = 0; p < need.size(); ++p) {
    if (need[p] == 0) continue;
    sync.waits.push_back(counters_[p].Until(need[p]));
    const Clock& seen = clocks_[p][need[p] - 1];
    for (std::size_t n = 0; n < known.size(); ++n) known[n] = std::max(known[n], seen[n]);
    known[p] = std::max(known[p], need[p]);
  }
  if (sync.waits.size() > 1) nops_ += sync.waits.size() - 1;
  if (counters_[q].count() >= kMostEvents) {
    throw ProgramError(label_ + ": more than " + std::to_string(kMostEvents) + " instructions of queue " +
                       std::string(isa::Name(queue)) + " in one program: semaphores can't tell more apart");
  }
  sync.signal = counters_[q].Tick();
  emit(sync);
  const auto count = static_cast<std::uint32_t>(counters_[q].count());
  clocks_[q].push_back(known);
  work_[q] += work;
  labels_[q].resize(builder_.program()[queue].size(), label_);

  for (const Tensor* t : operands.reads) {
    ForLines(*t, [&](Line& line) { line.read[q] = count; });
  }
  for (const Tensor* t : operands.writes) {
    ForLines(*t, [&](Line& line) { line = {static_cast<std::uint8_t>(q), count, {}}; });
  }
}

Flow::Place Flow::Last(Queue queue) const { return {queue, builder_.program()[queue].size() - 1}; }

// ------------------------------------------------------------------------------------ instructions

void Flow::Matmul(const Tensor& dst, const Tensor& stationary, const Tensor& moving,
                  MatmulOptions options) {
  Emit(Queue::kTensor, {{&stationary, &moving}, {&dst}}, ElementsPerLane(moving),
       [&](const Sync& sync) { builder_.Matmul(dst, stationary, moving, options, sync); });
}

void Flow::Product(const Tensor& dst, const Tensor& stationary, const Tensor& moving,
                   bool accumulate) {
  const auto w_pieces = static_cast<std::uint8_t>(PiecesOf(stationary.dtype));
  const auto x_pieces = static_cast<std::uint8_t>(PiecesOf(moving.dtype));
  bool first = true;
  for (std::uint8_t w = w_pieces; w-- > 0;) {
    for (std::uint8_t x = x_pieces; x-- > 0;) {
      MatmulOptions options;
      options.accumulate = accumulate || !first;
      // As in ProgramBuilder::MatmulPieces: the last pass knows infinities, so it loads its own tile.
      options.reuse = x + 1 != x_pieces && (w | x) != 0;
      options.stationary_piece = w;
      options.moving_piece = x;
      Matmul(dst, stationary, moving, options);
      first = false;
    }
  }
}

void Flow::Elementwise(isa::VecFunc func, const Tensor& dst, const Source0& a, const Value& b,
                       Narrowing narrowing) {
  Operands operands{{}, {&dst}};
  for (const Tensor* t : {a.tensor(), b.tensor()}) {
    if (t) operands.reads.push_back(t);
  }
  Emit(Queue::kVector, operands, ElementsPerLane(dst),
       [&](const Sync& sync) { builder_.Elementwise(func, dst, a, b, narrowing, sync); });
}

void Flow::TwoSteps(const Tensor& dst, const Source0& a, const Step& first, const Step& second,
                    Narrowing narrowing) {
  Operands operands{{}, {&dst}};
  for (const Tensor* t : {a.tensor(), first.value.tensor(), second.value.tensor()}) {
    if (t) operands.reads.push_back(t);
  }
  Emit(Queue::kVector, operands, ElementsPerLane(dst),
       [&](const Sync& sync) { builder_.TwoSteps(dst, a, first, second, narrowing, sync); });
}

void Flow::Stats(const Tensor& dst, const Tensor& src, std::size_t reduced, Narrowing narrowing) {
  Emit(Queue::kVector, {{&src}, {&dst}}, ElementsPerLane(src),
       [&](const Sync& sync) { builder_.Stats(dst, src, reduced, narrowing, sync); });
}

void Flow::Cast(const Tensor& dst, const Tensor& src, Narrowing narrowing) {
  Emit(Queue::kVector, {{&src}, {&dst}}, ElementsPerLane(dst),
       [&](const Sync& sync) { builder_.Cast(dst, src, narrowing, sync); });
}

void Flow::Reduce(isa::RedFunc func, const Tensor& dst, const Tensor& src, std::size_t reduced,
                  Narrowing narrowing) {
  Emit(Queue::kVector, {{&src}, {&dst}}, ElementsPerLane(src),
       [&](const Sync& sync) { builder_.Reduce(func, dst, src, reduced, narrowing, sync); });
}

void Flow::Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale,
               const Tensor& bias, Narrowing narrowing) {
  Emit(Queue::kScalar, {{&src, &bias}, {&dst}}, ElementsPerLane(dst),
       [&](const Sync& sync) { builder_.Act(func, dst, src, scale, bias, narrowing, sync); });
}

void Flow::Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale, float bias,
               Narrowing narrowing) {
  Emit(Queue::kScalar, {{&src}, {&dst}}, ElementsPerLane(dst),
       [&](const Sync& sync) { builder_.Act(func, dst, src, scale, bias, narrowing, sync); });
}

void Flow::Copy(Queue ring, const Tensor& dst, const Tensor& src) {
  Emit(ring, {{&src}, {&dst}}, dst.Bytes(),
       [&](const Sync& sync) { builder_.Copy(ring, dst, src, sync); });
  if (src.place == dither::Place::kDram) dram_read_ += src.Bytes();
  if (dst.place == dither::Place::kDram) dram_written_ += dst.Bytes();
}

void Flow::Gather(Queue ring, const Tensor& dst, const Tensor& table, const Tensor& list,
                  const std::optional<Tensor>& counts_as) {
  Emit(ring, {{counts_as ? &*counts_as : &table, &list}, {&dst}}, dst.Bytes(),
       [&](const Sync& sync) { builder_.Gather(ring, dst, table, list, sync); });
  dram_read_ += dst.Bytes();
  if (dst.place == dither::Place::kDram) dram_written_ += dst.Bytes();
}

void Flow::Scatter(Queue ring, const Tensor& table, const Tensor& src, const Tensor& list,
                   const std::optional<Tensor>& counts_as) {
  Emit(ring, {{&src, &list}, {counts_as ? &*counts_as : &table}}, src.Bytes(),
       [&](const Sync& sync) { builder_.Scatter(ring, table, src, list, sync); });
  if (src.place == dither::Place::kDram) dram_read_ += src.Bytes();
  dram_written_ += src.Bytes();
}

void Flow::Move(const Tensor& dst, const Tensor& src, Narrowing narrowing) {
  if (work_[Index(Queue::kVector)] <= work_[Index(Queue::kScalar)]) {
    Cast(dst, src, narrowing);
  } else {
    Act(isa::ActFunc::kIdentity, dst, src, 1.0f, -0.0f, narrowing);
  }
}

Flow::Place Flow::MulAdd(const Tensor& dst, const Tensor& a, float s, const Tensor& b,
                         Narrowing narrowing) {
  if (b.place == dither::Place::kSbuf && work_[Index(Queue::kScalar)] < work_[Index(Queue::kVector)]) {
    Act(isa::ActFunc::kIdentity, dst, a, s, b, narrowing);
    return Last(Queue::kScalar);
  }
  TwoSteps(dst, a, {isa::VecFunc::kMul, s}, {isa::VecFunc::kAdd, b}, narrowing);
  return Last(Queue::kVector);
}

void Flow::GateRelu(const Tensor& dst, const Tensor& y, const Tensor& x, Narrowing narrowing) {
  TwoSteps(dst, y, {isa::VecFunc::kGt, 0.0f}, {isa::VecFunc::kSelect, x}, narrowing);
}

}  // namespace dither
