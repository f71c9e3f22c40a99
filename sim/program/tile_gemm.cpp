// Tiles, stripes, groups of PSUM banks, and who waits for whom.
#include "sim/program/tile_gemm.hpp"

#include <algorithm>

namespace dither {
namespace {

using isa::Dtype;
using isa::Queue;

constexpr std::uint32_t kBank = isa::kPsumBankWords;
constexpr std::uint32_t kBanks = isa::kPsumBanks;
constexpr std::uint32_t kElementBytes = 2;  // of both operands
// Shorter instructions come slower than the array takes them: the check needs 6 cycles, the fetch FIFO
// refills 16 of 16 cycles.
constexpr std::uint32_t kEnoughColumns = 16;
// With so many stripes results come slowly enough for a ring: 4 bytes a lane and `stripes` cycles
// against a beat (2 bytes a lane) a cycle.
constexpr std::uint32_t kRingStripes = 3;
constexpr std::uint32_t kRingSlots = 4;
constexpr std::uint32_t kOverSlots = 2;

std::uint32_t Ceil(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }
std::uint32_t Up8(std::uint32_t bytes) { return Ceil(bytes, 8) * 8; }

[[noreturn]] void Fail(const std::string& what) { throw ProgramError("tile gemm: " + what); }

// A slab's results in the order in which they come: blocks of at most a bank's moving columns, in each the
// stationary tiles (the ragged one first: the array starts earlier), neighbours of one bank together.
struct Group {
  std::uint32_t first_tile, tiles;        // of the slab
  std::uint32_t first_stationary, parts;  // columns of the slab; partitions of the result
  std::uint32_t first_moving, moving;     // columns of the slab, of one tile
};

struct SlabGroups {
  std::vector<Group> groups;
  std::uint32_t slot_words = 0;  // of the largest group
  std::uint32_t all_words = 0;
};

SlabGroups GroupsOf(std::uint32_t rows, std::uint32_t stationary, std::uint32_t moving) {
  SlabGroups result;
  const std::uint32_t tiles = Ceil(stationary, rows), blocks = Ceil(moving, kBank);
  const std::uint32_t ragged = stationary - (tiles - 1) * rows;
  for (std::uint32_t b = 0; b < blocks; ++b) {
    const std::uint32_t v0 = static_cast<std::uint32_t>(std::uint64_t{moving} * b / blocks);
    const std::uint32_t v1 = static_cast<std::uint32_t>(std::uint64_t{moving} * (b + 1) / blocks);
    const std::uint32_t together = kBank / (v1 - v0);
    for (std::uint32_t t = 0; t < tiles;) {
      // All tiles of a group have the same partitions.
      const bool alone = t == 0 && ragged != rows;
      const std::uint32_t count = alone ? 1 : std::min(together, tiles - t);
      result.groups.push_back({t, count, t == 0 ? 0 : ragged + (t - 1) * rows, t == 0 ? ragged : rows, v0, v1 - v0});
      result.slot_words = std::max(result.slot_words, count * (v1 - v0));
      result.all_words += count * (v1 - v0);
      t += count;
    }
  }
  return result;
}

// Stationary tiles that two slots of results cover.
std::uint32_t TilesUnderSlots(std::uint32_t rows, std::uint32_t stripes) {
  return Ceil(kOverSlots * 4 * kBank, stripes * rows * kElementBytes);
}

// Whether SBUF holds the slab with its results at this place.
bool Fits(const isa::Config& config, std::uint32_t stripes, std::uint32_t stationary, std::uint32_t moving,
          ResultPlace place) {
  const std::uint32_t operands = Up8(kElementBytes * stripes * stationary) + Up8(kElementBytes * stripes * moving);
  const SlabGroups groups = GroupsOf(config.rows, stationary, moving);
  switch (place) {
    case ResultPlace::kWhole:
      return operands + Up8(4 * groups.all_words) <= config.sbuf_bytes;
    case ResultPlace::kRing:
      return stripes >= kRingStripes && operands + kRingSlots * Up8(4 * groups.slot_words) <= config.sbuf_bytes;
    case ResultPlace::kOverStationary: {
      // Nobody may need the tiles again, and two banks stay free until the first result can leave.
      const std::uint32_t under = TilesUnderSlots(config.rows, stripes);
      return stripes >= kRingStripes && moving <= kBank && moving > kBank / 2 && stationary % config.rows == 0 &&
             under <= kBanks - 2 && under < stationary / config.rows && operands <= config.sbuf_bytes;
    }
  }
  return false;
}

}  // namespace

TileBound BoundOfGemm(std::uint32_t rows, std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  // A stripe's stationary columns enter one a cycle, its moving columns one a cycle and tile.
  const auto cycles = [&](std::uint32_t stationary, std::uint32_t moving) {
    return std::max<std::uint64_t>(std::uint64_t{moving} * Ceil(stationary, rows), stationary);
  };
  const std::uint64_t of_a = cycles(m, n), of_b = cycles(n, m);
  TileBound bound;
  // Of two equal choices, where a side is shorter than the array, the one with a single tile: it issues a column
  // in every cycle, while a full tile takes longer to load than so few columns to issue.
  bound.b_stationary = of_b < of_a || (of_b == of_a && n < m && n < rows);
  bound.columns = Ceil(k, rows) * std::min(of_a, of_b);
  return bound;
}

TileGemmPlan PlanTileGemm(const isa::Config& config, std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  if (k == 0 || m == 0 || n == 0) Fail("a dimension is 0");
  const std::uint32_t rows = config.rows;
  TileGemmPlan plan;
  plan.rows = rows;
  plan.k = k;
  plan.b_stationary = BoundOfGemm(rows, k, m, n).b_stationary;
  plan.stationary = plan.b_stationary ? n : m;
  plan.moving = plan.b_stationary ? m : n;
  plan.stripes = Ceil(k, rows);
  const std::uint32_t tiles = Ceil(plan.stationary, rows);
  plan.columns = std::uint64_t{plan.stripes} * tiles * plan.moving;
  if (plan.moving < kEnoughColumns && plan.stripes > 1) {
    const std::uint32_t room = std::max(1u, rows / plan.stationary);
    const std::uint32_t most = std::min({Ceil(kEnoughColumns, plan.moving), room, plan.stripes});
    plan.pack = Ceil(plan.stripes, Ceil(plan.stripes, most));  // instructions of about the same length
  }
  for (std::uint32_t total = 1; total <= 16384; ++total) {
    for (const ResultPlace place : {ResultPlace::kWhole, ResultPlace::kRing, ResultPlace::kOverStationary}) {
      for (std::uint32_t nl = 1; nl <= std::min(total, tiles); ++nl) {
        const std::uint32_t nv = total / nl;
        if (nl * nv != total || (nv > 1 && plan.moving / nv < 2 * rows)) continue;
        if (place == ResultPlace::kOverStationary && total > 1) continue;
        for (std::uint32_t i = 0; i < nl; ++i) {
          // The ragged tile is the very first.
          const auto edge = [&](std::uint32_t slab) {
            const std::uint32_t t = static_cast<std::uint32_t>(std::uint64_t{tiles} * slab / nl);
            return t == 0 ? 0 : plan.stationary - (tiles - t) * rows;
          };
          for (std::uint32_t j = 0; j < nv; ++j) {
            const auto v = [&](std::uint32_t slab) {
              return static_cast<std::uint32_t>(std::uint64_t{plan.moving} * slab / nv);
            };
            plan.slabs.push_back({edge(i), edge(i + 1) - edge(i), v(j), v(j + 1) - v(j), place});
          }
        }
        // Every slab: a column less may put two tiles into a bank and so need more room for results.
        const bool fit = std::all_of(plan.slabs.begin(), plan.slabs.end(), [&](const TileGemmPlan::Slab& slab) {
          return Fits(config, plan.stripes, slab.stationary, slab.moving, place);
        });
        if (fit) return plan;
        plan.slabs.clear();
      }
    }
  }
  Fail("no slab fits " + std::to_string(config.sbuf_bytes) + " bytes of SBUF a partition: K = " + std::to_string(k));
}

namespace {

// Elements of two bytes: one value, or two.
std::vector<std::uint32_t> Shape(bool pair, std::vector<std::uint32_t> shape) {
  if (pair) shape.push_back(2);
  return shape;
}
Tensor Operands(const Tensor& values, bool pair) { return pair ? values.Paired() : values; }

// One operand's slab in SBUF: stripe after stripe of `pitch` columns.
struct Resident {
  Dtype dtype = Dtype::kBf16;
  bool pair = false;
  std::uint64_t address = 0;
  std::uint32_t first = 0, pitch = 0;  // columns of the slab

  Tensor Columns(const char* name, std::uint32_t stripe, std::uint32_t column, std::uint32_t parts,
                 std::uint32_t columns) const {
    const std::uint64_t at = std::uint64_t{stripe} * pitch + (column - first);
    return Operands(Tensor::OnChip(name, Place::kSbuf, dtype, 0, address + at * kElementBytes, Shape(pair, {parts, columns})), pair);
  }
};

// Builds the program of one slab.
class SlabBuilder {
 public:
  SlabBuilder(const isa::Config& config, const TileGemmPlan& plan, const TileGemmPlan::Slab& slab,
              const TileGemmSpec& spec)
      : plan_(plan),
        slab_(slab),
        rows_(config.rows),
        builder_(config),
        loaded_{builder_.NewCounter("loaded 0"), builder_.NewCounter("loaded 1")},
        ready_(builder_.NewCounter("ready")),
        emptied_{builder_.NewCounter("by vector"), builder_.NewCounter("by scalar")},
        left_{builder_.NewCounter("left 0"), builder_.NewCounter("left 1")} {
    stationary_dram_ = (plan.b_stationary ? spec.b : spec.a).Slice(1, slab.first_stationary, slab.stationary);
    moving_dram_ = (plan.b_stationary ? spec.a : spec.b).Slice(1, slab.first_moving, slab.moving);
    result_dram_ = (plan.b_stationary ? spec.c.Transpose(0, 1) : spec.c)
                       .Slice(0, slab.first_stationary, slab.stationary)
                       .Slice(1, slab.first_moving, slab.moving);
    zeros_ = spec.zeros;
  }

  Program Build() {
    groups_ = GroupsOf(rows_, slab_.stationary, slab_.moving);
    // Over the stationary tiles: those under the slots lie by themselves, all stripes together.
    std::uint32_t under = 0;
    if (slab_.place == ResultPlace::kOverStationary) {
      under = TilesUnderSlots(rows_, plan_.stripes) * rows_;
      stationary_.push_back(Load(Queue::kDma0, stationary_dram_.Slice(1, 0, under), 0));
    }
    stationary_.push_back(Load(Queue::kDma0, stationary_dram_.Slice(1, under, slab_.stationary - under), under));
    if (under == 0) Skew();
    moving_ = Load(Queue::kDma1, moving_dram_, 0);
    slots_at_ = under != 0 ? stationary_[0].address : 0;
    if (under == 0 && plan_.pack == 1) {
      const std::uint32_t slots = slab_.place == ResultPlace::kWhole ? 1 : kRingSlots;
      const std::uint32_t words = slab_.place == ResultPlace::kWhole ? groups_.all_words : groups_.slot_words;
      slot_pitch_ = Up8(4 * words);
      slots_at_ = builder_.Sbuf("results", Dtype::kFp32, {1, slots * slot_pitch_ / 4}, 0, 8).address;
    } else {
      slot_pitch_ = 4 * kBank;
    }
    groups_under_ = under / rows_;  // these groups have one tile each
    if (plan_.pack > 1) {
      BuildPacked();
    } else {
      BuildGroups();
    }
    return builder_.Take();
  }

 private:
  std::uint32_t Parts(std::uint32_t stripe) const { return std::min(rows_, plan_.k - stripe * rows_); }

  Resident Load(Queue ring, const Tensor& dram, std::uint32_t first) {
    const std::uint32_t columns = dram.Size(1);
    const auto name = dram.name + " slab";
    Tensor to = Operands(builder_.Sbuf(name, dram.dtype, Shape(dram.pair, {rows_, plan_.stripes, columns}), 0, 8), dram.pair);
    const std::uint32_t whole = plan_.k / rows_;
    Counter& loaded = loaded_[ring == Queue::kDma0 ? 0 : 1];
    if (whole > 0) {
      builder_.Copy(ring, to.Slice(1, 0, whole).Transpose(0, 1), dram.Slice(0, 0, whole * rows_).Split(0, rows_),
                    {{}, loaded.Tick(), false});
    }
    if (whole < plan_.stripes) {
      const std::uint32_t parts = Parts(whole);
      Tensor last = to.Slice(1, whole, 1);
      builder_.Copy(ring, last.Slice(0, 0, parts), dram.Slice(0, whole * rows_, parts).Insert(1),
                    {{}, loaded.Tick(), false});
      if (plan_.pack > 1) {  // the whole stripe is read
        const Tensor zero = Operands(
            Tensor::Dram("zeros", zeros_.address, dram.dtype, Shape(dram.pair, {rows_ - parts, 1, columns})), dram.pair);
        if (zero.Bytes() > zeros_.Bytes()) Fail(zeros_.Describe() + " is shorter than " + zero.Describe());
        builder_.Copy(ring, last.Slice(0, parts, rows_ - parts), zero, {{}, loaded.Tick(), false});
      }
    }
    return {dram.dtype, dram.pair, to.address, first, columns};
  }

  // The first columns of an instruction and of the tile behind it are read in the same cycle. If their words share a
  // bank the tile comes a cycle late, which shows where it is as long as the columns before it: move the moving
  // operand.
  void Skew() {
    const std::uint32_t l = plan_.pack * std::min(slab_.stationary, rows_), v = plan_.pack * slab_.moving;
    if (v >= l + 8 || slab_.stationary > rows_) return;
    const std::uint64_t w0 = stationary_.back().address, x0 = Up8(static_cast<std::uint32_t>(builder_.SbufMark()));
    const auto bank = [](std::uint64_t byte) { return byte / 8 % isa::kSbufBanks; };
    std::uint32_t best = 0, fewest = UINT32_MAX;
    for (std::uint32_t pad = 0; pad < isa::kSbufBanks; ++pad) {
      std::uint32_t hits = 0;
      for (std::uint32_t s = 0; s + 1 < plan_.stripes / plan_.pack; ++s) {
        const std::uint64_t x = x0 + 8 * pad + kElementBytes * s * v, w = w0 + kElementBytes * ((s + 2) * l - 1);
        hits += bank(x) == bank(w);
      }
      if (hits < fewest) {
        best = pad;
        fewest = hits;
      }
    }
    const std::uint32_t room = builder_.SbufFree(),
                        needed = Up8(kElementBytes * plan_.stripes * slab_.moving) + Up8(4 * groups_.all_words) + 64;
    if (best > 0 && room >= needed + 8 * best) builder_.Sbuf("skew", Dtype::kFp32, {1, 2 * best}, 0, 8);
  }

  // The waits of the first matmul.
  std::vector<Wait> AllLoaded() const {
    return {loaded_[0].Until(loaded_[0].count()), loaded_[1].Until(loaded_[1].count())};
  }

  Tensor Psum(std::uint32_t bank, std::uint32_t word, std::uint32_t parts, std::uint32_t words) const {
    const Dtype dtype = moving_.dtype == Dtype::kInt8 ? Dtype::kInt32 : Dtype::kFp32;
    return Tensor::OnChip("sums", Place::kPsum, dtype, 0, (bank * kBank + word) * 4, {parts, words});
  }

  void BuildGroups() {
    for (std::uint32_t i = 0; i < groups_.groups.size(); ++i) {
      const Group& g = groups_.groups[i];
      const std::uint32_t bank = i % kBanks;
      for (std::uint32_t t = 0; t < g.tiles; ++t) {
        const std::uint32_t column = g.first_stationary + t * g.parts;
        const Resident& from = column < stationary_.back().first ? stationary_.front() : stationary_.back();
        for (std::uint32_t s = 0; s < plan_.stripes; ++s) {
          Sync sync;
          if (t == 0 && s == 0) {
            if (i == 0) sync.waits = AllLoaded();
            // The bank's results before have gone.
            if (i >= kBanks) sync.waits = {emptied_[i % 2].Until((i - kBanks) / 2 + 1)};
          }
          if (t + 1 == g.tiles && s + 1 == plan_.stripes) sync.signal = ready_.Tick();
          builder_.Matmul(Psum(bank, t * g.moving, g.parts, g.moving),
                          from.Columns("stationary", s, column, Parts(s), g.parts),
                          moving_.Columns("moving", s, g.first_moving, Parts(s), g.moving), {s > 0, false}, sync);
        }
      }
    }
    std::uint32_t at = 0;  // words, where every group has its place
    for (std::uint32_t i = 0; i < groups_.groups.size(); ++i) {
      Empty(i, at);
      at += groups_.groups[i].tiles * groups_.groups[i].moving;
    }
  }

  // Group i from its bank into its slot (vector engine: even groups, scalar engine: odd ones) and to DRAM.
  void Empty(std::uint32_t i, std::uint32_t at) {
    const Group& g = groups_.groups[i];
    const std::uint32_t words = g.tiles * g.moving, side = i % 2;
    std::uint64_t address = slots_at_ + 4 * std::uint64_t{at};
    Sync sync{{ready_.Until(std::max(i + 1, groups_under_))}, emptied_[side].Tick(), false};
    if (slab_.place != ResultPlace::kWhole) {
      const std::uint32_t slots = slab_.place == ResultPlace::kRing ? kRingSlots : kOverSlots;
      address = slots_at_ + (i % slots) * slot_pitch_;
      // The slot's results before have left. (The later of the two waits is the last one.)
      if (i >= slots) sync.waits.push_back(left_[side].Until((i - slots) / 2 + 1));
    }
    const Tensor slot = Tensor::OnChip("slot", Place::kSbuf, Dtype::kFp32, 0, address, {g.parts, words});
    const Tensor sums = Psum(i % kBanks, 0, g.parts, words);
    if (side == 0) {
      builder_.Cast(slot, sums, {}, sync);
    } else {
      builder_.Act(isa::ActFunc::kIdentity, slot, sums, 1.0f, -0.0f, {}, sync);
    }
    // [tile][partition][moving]
    const Tensor dram = result_dram_.Slice(0, g.first_stationary, g.tiles * g.parts)
                            .Slice(1, g.first_moving, g.moving)
                            .Split(0, g.parts);
    builder_.Copy(side == 0 ? Queue::kDma0 : Queue::kDma1, dram, slot.Split(1, g.moving).Transpose(0, 1),
                  {{emptied_[side].Until(emptied_[side].count())}, left_[side].Tick(), false});
  }

  // Both sides short: `pack` stripes of both operands side by side, so that the sums of stripe i with itself lie
  // on the diagonal of pack x pack blocks (the others are nobody's); these are gathered and added.
  void BuildPacked() {
    const std::uint32_t l = slab_.stationary, v = slab_.moving, pack = plan_.pack;
    const Resident& from = stationary_.front();
    for (std::uint32_t s = 0; s < plan_.stripes; s += pack) {
      const std::uint32_t count = std::min(pack, plan_.stripes - s);
      const bool last = s + pack >= plan_.stripes;
      Sync sync;
      if (s == 0) sync.waits = AllLoaded();
      if (last) sync.signal = ready_.Tick();
      // Columns of the result keep their places, so the moving columns of a short last group do too.
      Tensor sums = Psum(0, 0, count * l, count * v);
      builder_.Matmul(sums, from.Columns("stationary", s, 0, rows_, count * l),
                      moving_.Columns("moving", s, 0, rows_, count * v), {s > 0, false}, sync);
    }
    const Tensor blocks = builder_.Sbuf("blocks", Dtype::kFp32, {pack * l, pack * v});
    const Tensor gathered = builder_.Sbuf("gathered", Dtype::kFp32, {l, pack, v});
    const Tensor sum = builder_.Sbuf("sum", Dtype::kFp32, {l, v});
    builder_.Cast(blocks, Psum(0, 0, pack * l, pack * v), {}, {{ready_.Until(1)}, emptied_[0].Tick(), false});
    Tensor diagonal = blocks;
    diagonal.dims = {{pack, v, static_cast<std::int32_t>(l)}, {l, 0, 1}, {v, 1, 0}};
    builder_.Copy(Queue::kDma0, gathered.Transpose(0, 1), diagonal, {{emptied_[0].Until(1)}, left_[0].Tick(), false});
    builder_.Reduce(isa::RedFunc::kSum, sum, gathered.Transpose(1, 2), 1, {},
                    {{left_[0].Until(1)}, emptied_[0].Tick(), false});
    builder_.Copy(Queue::kDma0, result_dram_, sum, {{emptied_[0].Until(2)}, {}, false});
  }

  const TileGemmPlan& plan_;
  const TileGemmPlan::Slab& slab_;
  const std::uint32_t rows_;
  ProgramBuilder builder_;
  Counter loaded_[2], ready_, emptied_[2], left_[2];
  Tensor stationary_dram_, moving_dram_, result_dram_, zeros_;
  std::vector<Resident> stationary_;  // one, or the tiles under the slots and the others
  Resident moving_;
  SlabGroups groups_;
  std::uint64_t slots_at_ = 0;
  std::uint32_t slot_pitch_ = 0, groups_under_ = 0;
};

}  // namespace

std::vector<Program> BuildTileGemm(const isa::Config& config, const TileGemmSpec& spec) {
  for (const Tensor* t : {&spec.a, &spec.b, &spec.c}) {
    if (t->place != Place::kDram || t->dims.size() != 2) Fail(t->Describe() + " must be a matrix in DRAM");
  }
  const std::uint32_t k = spec.a.Size(0), m = spec.a.Size(1), n = spec.b.Size(1);
  if (spec.b.Size(0) != k) Fail(spec.a.Describe() + " and " + spec.b.Describe() + " have different dimensions 0");
  if (spec.c.Size(0) != m || spec.c.Size(1) != n || spec.c.dtype != Dtype::kFp32) {
    Fail(spec.c.Describe() + " must be fp32[" + std::to_string(m) + "][" + std::to_string(n) + "]");
  }
  for (const Tensor* t : {&spec.a, &spec.b}) {
    if (t->ElementBytes() != kElementBytes) Fail(t->Describe() + ": operands have two bytes");
  }
  const TileGemmPlan plan = PlanTileGemm(config, k, m, n);
  std::vector<Program> programs;
  for (const auto& slab : plan.slabs) programs.push_back(SlabBuilder(config, plan, slab, spec).Build());
  return programs;
}

}  // namespace dither
