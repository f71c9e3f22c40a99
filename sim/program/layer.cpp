// The schedule of dense layers. Host order of emission is one legal order of execution, so every
// wait is for an event that has been emitted already.
#include "sim/program/layer.hpp"

#include <algorithm>

namespace dither {
namespace {

using isa::Queue;

// Pieces of the first stripe: the array starts when the first has arrived.
constexpr std::uint32_t kFirstPieces = 4;
constexpr std::uint32_t kPieceColumns = 64;  // not worth cutting smaller

}  // namespace

LayerPipeline::LayerPipeline(ProgramBuilder& builder, const Sizes& sizes)
    : b_(builder),
      rows_(builder.rows()),
      sizes_(sizes),
      loads_(builder.NewCounter("layer.loads")),
      te_(builder.NewCounter("layer.matmuls")),
      vector_(builder.NewCounter("layer.vector")),
      scalar_(builder.NewCounter("layer.scalar")),
      stores_(builder.NewCounter("layer.stores")) {
  const auto fill = [this](Ring& ring, const char* name, std::uint32_t count, isa::Dtype dtype,
                           std::uint32_t columns) {
    for (std::uint32_t s = 0; s < count; ++s) {
      Slot slot;
      slot.tensor = b_.Sbuf(name + std::to_string(s), dtype, {rows_, columns});
      ring.slots.push_back(std::move(slot));
    }
  };
  fill(w_, "W slot ", sizes.w_slots, sizes.w_dtype, sizes.w_columns);
  fill(x_, "X slot ", sizes.x_slots, sizes.x_dtype, sizes.columns);
  fill(out_, "out slot ", sizes.out_slots, sizes.out_dtype, sizes.columns);
}

std::optional<Wait> LayerPipeline::Need(Queue queue, const Counter& counter,
                                        std::uint64_t count) {
  if (count == 0) return std::nullopt;
  const Wait wait = counter.Until(count);
  std::uint64_t& seen = seen_[{queue, wait.sem}];
  if (seen >= count) return std::nullopt;
  seen = count;
  return wait;
}

LayerPipeline::Slot* LayerPipeline::Find(Ring& ring, std::uint64_t key) {
  for (Slot& slot : ring.slots) {
    if (slot.key == key) return &slot;
  }
  return nullptr;
}

// Loads a stripe [k][columns] into the ring's next slot, in `pieces` copies side by side.
LayerPipeline::Slot& LayerPipeline::Fetch(Ring& ring, std::uint64_t key, const Tensor& source,
                                          std::uint32_t pieces) {
  Slot& slot = ring.slots[ring.next];
  ring.next = (ring.next + 1) % ring.slots.size();
  const std::uint32_t columns = source.Size(1);
  const std::uint32_t step = (columns + pieces - 1) / pieces;
  ring0_te_need_ = std::max(ring0_te_need_, slot.free_at);
  slot.key = key;
  slot.pieces.clear();
  for (std::uint32_t at = 0; at < columns; at += step) {
    const std::uint32_t count = std::min(step, columns - at);
    Sync sync;
    if (const auto wait = Need(Queue::kDma0, te_, slot.free_at)) sync.waits.push_back(*wait);
    sync.signal = loads_.Tick();
    b_.Copy(Queue::kDma0, slot.tensor.Slice(0, 0, source.Size(0)).Slice(1, at, count),
            source.Slice(1, at, count), sync);
    slot.pieces.push_back({at, count, {loads_.count(), ring0_te_need_}});
  }
  return slot;
}

// Matmuls are emitted one late: one that would need two waits hands the wait for its load to the
// matmul before, if that has none and ring 0 gets there without it. A nop would do too, but drains
// the engine.
void LayerPipeline::Push(Matmul matmul) {
  if (matmul.load && !matmul.waits.empty() && held_ && !held_->load && held_->waits.empty() &&
      matmul.load->te_need <= held_->te_before) {
    held_->load = matmul.load;
    matmul.load.reset();
  }
  Finish();
  held_ = std::move(matmul);
}

void LayerPipeline::Finish() {
  if (!held_) return;
  Matmul& m = *held_;
  Sync sync;
  sync.waits = m.waits;
  if (m.load) sync.waits.push_back(loads_.Until(m.load->count));
  sync.signal = m.signal;
  b_.Matmul(m.dst, m.stationary, m.moving, m.options, sync);
  held_.reset();
}

void LayerPipeline::EvacuateTile(const Layer& layer, std::uint32_t tile, std::uint32_t bank,
                                 std::uint64_t te_done) {
  const std::uint32_t m0 = tile * rows_;
  const std::uint32_t height = std::min(rows_, layer.weights.Size(1) - m0);
  const bool scalar = bank_scalar_[bank];
  const Queue queue = scalar ? Queue::kScalar : Queue::kVector;
  Counter& counter = scalar ? scalar_ : vector_;
  const Tensor psum =
      b_.PsumBank(layer.name + " psum", bank, isa::Dtype::kFp32, {height, layer.columns});

  Sync sync;
  Slot* slot = nullptr;
  Tensor target;
  if (layer.output) {
    slot = &out_.slots[out_.next];
    out_.next = (out_.next + 1) % out_.slots.size();
    if (const auto wait = Need(queue, stores_, slot->free_at)) sync.waits.push_back(*wait);
    target = slot->tensor.Slice(0, 0, height).Slice(1, 0, layer.columns);
  } else {
    Tensor t = layer.to->tensor.Slice(0, 0, height).Slice(1, tile, 1).Slice(2, 0, layer.columns);
    t.dims.erase(t.dims.begin() + 1);
    target = t;
  }
  if (layer.bias && seen_[{queue, layer.bias->loaded.sem}] < layer.bias->loaded_count) {
    seen_[{queue, layer.bias->loaded.sem}] = layer.bias->loaded_count;
    sync.waits.push_back(layer.bias->loaded);
  }
  if (const auto wait = Need(queue, te_, te_done)) sync.waits.push_back(*wait);
  sync.signal = counter.Tick();
  if (layer.bias) {
    b_.Act(layer.func, target, psum, 1.0f,
           layer.bias->tensor.Slice(0, 0, height).Slice(1, tile, 1), layer.narrowing, sync);
  } else if (scalar) {
    b_.Act(layer.func, target, psum, 1.0f, -0.0f, layer.narrowing,
           sync);  // x + -0 is x, also for -0
  } else if (layer.func == isa::ActFunc::kRelu) {
    b_.Elementwise(isa::VecFunc::kMax, target, psum, 0.0f, layer.narrowing, sync);
  } else {
    b_.Cast(target, psum, layer.narrowing, sync);
  }
  bank_free_[bank] = counter.count();
  if (layer.to) {
    layer.to->ready.resize(std::max<std::size_t>(layer.to->ready.size(), tile + 1));
    layer.to->ready[tile] = counter.count();
  } else {
    Sync store;
    if (const auto wait = Need(Queue::kDma1, counter, counter.count())) {
      store.waits.push_back(*wait);
    }
    store.signal = stores_.Tick();
    b_.Copy(Queue::kDma1, layer.output->Slice(0, m0, height), target, store);
    slot->free_at = stores_.count();
  }
}

void LayerPipeline::Run(const Layer& layer) {
  const std::uint32_t k_size = layer.weights.Size(0), m_size = layer.weights.Size(1);
  const std::uint32_t stripes = (k_size + rows_ - 1) / rows_;
  const std::uint32_t tiles = (m_size + rows_ - 1) / rows_;
  const std::uint64_t call = ++calls_;

  // Waits compare modulo 2^16 within half the circle: the events between a slot's last use and its
  // reload must stay well below.
  const std::uint64_t groups = (tiles + kGroupTiles - 1) / kGroupTiles;
  const std::uint64_t events = groups * (stripes + kGroupTiles + kFirstPieces);
  if (events > 16000) {
    throw ProgramError(layer.name + ": " + std::to_string(k_size) + " x " +
                       std::to_string(m_size) + " weights are " + std::to_string(events) +
                       " steps of the array, more than the 16000 that semaphores can tell apart");
  }

  // Columns of W that are loaded at once: several groups' if they will still be there for them.
  const std::uint32_t group_columns = kGroupTiles * rows_;
  const bool w_stays = stripes <= w_.slots.size();
  std::uint32_t w_columns = sizes_.w_columns;
  if (!w_stays || w_columns < group_columns) w_columns = std::min(w_columns, group_columns);
  w_columns = w_columns / rows_ * rows_;
  const std::uint32_t group_tiles =
      std::min({kGroupTiles, w_columns / rows_, std::max(1u, tiles)});
  w_columns = std::max(w_columns / (group_tiles * rows_), 1u) * group_tiles * rows_;

  for (std::uint32_t t0 = 0; t0 < tiles; t0 += group_tiles) {
    const std::uint32_t t1 = std::min(tiles, t0 + group_tiles);
    const std::uint32_t block = t0 * rows_ / w_columns;  // of W columns
    std::vector<std::uint32_t> banks;
    for (std::uint32_t t = t0; t < t1; ++t) {
      banks.push_back(next_bank_);
      next_bank_ = (next_bank_ + 1) % isa::kPsumBanks;
    }
    std::vector<std::uint64_t> done(t1 - t0);
    for (std::uint32_t s = 0; s < stripes; ++s) {
      const std::uint32_t k0 = s * rows_;
      const std::uint32_t depth = std::min(rows_, k_size - k0);
      const std::uint64_t key = call << 40 | static_cast<std::uint64_t>(block) << 20 | s;
      Slot* w = Find(w_, key);
      if (!w) {
        const std::uint32_t m0 = block * w_columns;
        w = &Fetch(w_, key,
                   layer.weights.Slice(0, k0, depth).Slice(1, m0, std::min(w_columns, m_size - m0)),
                   1);
      }
      std::vector<Piece> pieces = {{0, layer.columns, {0, 0}}};
      Slot* x = nullptr;
      if (layer.input) {
        const std::uint64_t x_key = call << 40 | s;
        x = Find(x_, x_key);
        if (!x) {
          const std::uint32_t cut =
              first_x_ ? std::clamp(layer.columns / kPieceColumns, 1u, kFirstPieces) : 1;
          first_x_ = false;
          x = &Fetch(x_, x_key, layer.input->Slice(0, k0, depth), cut);
          pieces = x->pieces;
        }
      }
      for (std::size_t p = 0; p < pieces.size(); ++p) {
        for (std::uint32_t t = t0; t < t1; ++t) {
          const std::uint32_t height = std::min(rows_, m_size - t * rows_);
          Matmul m;
          m.te_before = te_.count();
          m.dst = b_.PsumBank(layer.name + " psum", banks[t - t0], isa::Dtype::kFp32,
                              {height, layer.columns})
                      .Slice(1, pieces[p].begin, pieces[p].columns);
          m.stationary = w->tensor.Slice(0, 0, depth)
                             .Slice(1, t * rows_ - block * w_columns, height);
          if (x) {
            m.moving = x->tensor.Slice(0, 0, depth);
          } else {
            m.moving = layer.from->tensor.Slice(0, 0, depth).Slice(1, s, 1);
            m.moving.dims.erase(m.moving.dims.begin() + 1);
          }
          m.moving = m.moving.Slice(1, pieces[p].begin, pieces[p].columns);
          m.options.accumulate = s > 0;
          // Ring 0 is in order: of the two loads the later one counts.
          Load load = w->pieces[0].load;
          const Load& x_load =
              x ? x->pieces[pieces.size() > 1 ? p : x->pieces.size() - 1].load : load;
          if (x_load.count > load.count) load = x_load;
          if (Need(Queue::kTensor, loads_, load.count)) m.load = load;
          std::uint64_t scalar_need = 0;
          if (s == 0 && p == 0) {
            const std::uint32_t bank = banks[t - t0];
            if (bank_scalar_[bank]) {
              scalar_need = bank_free_[bank];
            } else if (const auto wait = Need(Queue::kTensor, vector_, bank_free_[bank])) {
              m.waits.push_back(*wait);
            }
          }
          if (!x) scalar_need = std::max(scalar_need, layer.from->ready[s]);
          if (const auto wait = Need(Queue::kTensor, scalar_, scalar_need)) {
            m.waits.push_back(*wait);
          }
          const bool last_of_step = p + 1 == pieces.size() && t + 1 == t1;
          const bool last_of_tile = s + 1 == stripes && p + 1 == pieces.size();
          if (last_of_step || last_of_tile) m.signal = te_.Tick();
          if (last_of_tile) done[t - t0] = te_.count();
          Push(std::move(m));
        }
      }
      w->free_at = te_.count();
      if (x) x->free_at = te_.count();
    }
    for (std::uint32_t t = t0; t < t1; ++t) {
      const std::uint32_t bank = banks[t - t0];
      bank_scalar_[bank] = layer.evacuate == Evacuate::kScalar ||
                           (layer.evacuate == Evacuate::kBoth && bank % 2 == 1);
      EvacuateTile(layer, t, bank, done[t - t0]);
    }
  }
}

}  // namespace dither
