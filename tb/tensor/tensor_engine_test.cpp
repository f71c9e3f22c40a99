// The tensor engine at its own ports: SBUF and PSUM are C++ memories, the reference is architecture.md's matmul
// on sim/model/{operand,column_sum}.hpp, and transpose on plain bits.
#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <deque>
#include <random>
#include <tuple>
#include <vector>

#include "Vtensor_engine.h"
#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"
#include "sim/model/column_sum.hpp"
#include "sim/model/operand.hpp"
#include "sim/program/builder.hpp"
#include "tb/support/clocked.hpp"

namespace {

namespace isa = dither::isa;
using isa::Dtype;

constexpr std::uint32_t kRows = sizeof(Vtensor_engine::te_r_data_i) / 4;
constexpr std::uint32_t kSbufBytes = kRows == 8 ? 16384 : 65536;
#ifdef DITHER_PAIRS  // as the engine was built (-GPairs)
constexpr bool kPairs = true;
#else
constexpr bool kPairs = false;
#endif

using Sbuf = std::vector<std::vector<std::uint8_t>>;    // [partition][byte]
using Psum = std::vector<std::vector<std::uint32_t>>;   // [partition][word]

std::uint32_t Load(const Sbuf& s, std::uint32_t part, std::int64_t off, Dtype d) {
  std::uint32_t v = 0;
  std::memcpy(&v, &s[part][static_cast<std::size_t>(off)], isa::DtypeBytes(d));
  return v;
}

using Factors = std::vector<dither::model::Factor>;
// What a row takes of an element: one operand, or the two numbers of a pair.
void PutElement(Factors& to, std::uint32_t row, const Sbuf& s, std::uint32_t part, std::int64_t off,
                dither::model::OperandMode mode, bool pair) {
  if (!pair) {
    to[row] = dither::model::ToFactor(dither::model::ToOperand(mode, Load(s, part, off, mode.dtype)));
    return;
  }
  for (std::uint32_t lane = 0; lane < 2; ++lane) {
    to[2 * row + lane] = dither::model::ToPairFactor(mode.dtype, s[part][static_cast<std::size_t>(off) + lane]);
  }
}

// architecture.md, matmul. `w` keeps the stationary tile from instruction to instruction.
// Returns how many of the words written are infinite or NaN.
std::uint32_t Reference(const isa::EngineInstr& i, const Sbuf& sbuf, Psum& psum, std::vector<Factors>& w) {
  std::uint32_t nonfinite = 0;
  const bool pair = i.pair != 0;
  const std::uint32_t each = pair ? 2 : 1;
  const int e0 = static_cast<int>(dither::ElementBytes(i, 1)), e1 = static_cast<int>(dither::ElementBytes(i, 2));
  const std::uint32_t room = kRows >> i.tiles;
  if (!i.reuse) {
    for (auto& col : w) col.assign(each * kRows, {});
    for (std::uint32_t t = 0; t < kRows; t += room)
      for (std::uint32_t m = 0; m < i.parts_d; ++m)
        for (std::uint32_t k = 0; k < i.parts; ++k)
          PutElement(w[t + i.part_d + m], t + i.part_1 + k, sbuf, t + i.part_1 + k,
                     i.off_1 + e1 * static_cast<int>(m) * i.str_1[0], dither::model::ModeOf1(i), pair);
  }
  for (int a = 0; a < i.size[3]; ++a)
    for (int b = 0; b < i.size[2]; ++b)
      for (int c = 0; c < i.size[1]; ++c)
        for (int d = 0; d < i.size[0]; ++d) {
          const int at0 = d * i.str_0[0] + c * i.str_0[1] + b * i.str_0[2] + a * i.str_0[3];
          const int atd = d * i.str_d[0] + c * i.str_d[1] + b * i.str_d[2] + a * i.str_d[3];
          Factors x(each * kRows);
          for (std::uint32_t t = 0; t < kRows; t += room)
            for (std::uint32_t k = 0; k < i.parts; ++k)
              PutElement(x, t + i.part_0 + k, sbuf, t + i.part_0 + k, static_cast<std::int64_t>(i.off_0) + e0 * at0,
                         dither::model::ModeOf0(i), pair);
          for (std::uint32_t t = 0; t < kRows; t += room)
            for (std::uint32_t m = 0; m < i.parts_d; ++m) {
              const auto& column = w[t + i.part_d + m];
              auto& word = psum[t + i.part_d + m][static_cast<std::size_t>(i.off_d / 4 + atd)];
              const std::uint32_t width = each * static_cast<std::uint32_t>(dither::model::DotWidth(kRows));
              dither::model::ColumnSum sum;
              for (std::uint32_t r = 0; r < x.size(); r += width) sum.AddGroup(&x[r], &column[r], static_cast<int>(width));
              word = static_cast<Dtype>(i.dtype_d) == Dtype::kInt32 ? sum.FinishInt(i.acc, word, 0)
                                                                    : sum.Finish(i.acc, word);
              nonfinite += static_cast<Dtype>(i.dtype_d) == Dtype::kFp32 && (word >> 23 & 0xff) == 0xff;
            }
        }
  return nonfinite;
}

// An 8-bit dtype of pairs.
Dtype PairDtype(std::mt19937& rng, bool integer) {
  return integer ? Dtype::kInt8 : rng() % 2 ? Dtype::kFp8E4M3 : Dtype::kFp8E5M2;
}

// architecture.md, transpose: on plain bits, the array does not come into it.
void ReferenceTranspose(const isa::EngineInstr& i, const Sbuf& sbuf, Psum& psum) {
  const auto d1 = static_cast<Dtype>(i.dtype_1);
  const int e1 = static_cast<int>(isa::DtypeBytes(d1));
  for (std::uint32_t k = 0; k < i.parts; ++k)
    for (std::uint32_t m = 0; m < i.parts_d; ++m) {
      const std::uint32_t v = Load(sbuf, i.part_1 + k, i.off_1 + e1 * static_cast<int>(m) * i.str_1[0], d1);
      const std::uint32_t byte = v >> (8 * i.piece_1) & 0xff;
      const auto extended = static_cast<std::uint32_t>(static_cast<std::int8_t>(byte));
      const std::uint32_t part = i.func == 1 || e1 == 1 ? extended
                                 : byte << (8 * (i.piece_1 + (d1 == Dtype::kBf16 ? 2 : 0)));
      auto& word = psum[i.part_d + m][static_cast<std::size_t>(i.off_d / 4 + static_cast<int>(k) * i.str_d[0])];
      word = part + (i.acc ? word : 0);
    }
}

class Bench {
 public:
  Bench(unsigned seed, int refuse, bool extreme) : rng_(seed), dut_(seed), refuse_(refuse) {
    sbuf_.assign(kRows, std::vector<std::uint8_t>(kSbufBytes));
    psum_.assign(kRows, std::vector<std::uint32_t>(4096));
    for (auto& p : sbuf_)
      for (std::size_t i = 0; i < p.size(); i += 2) {
        p[i] = static_cast<std::uint8_t>(rng_());
        p[i + 1] = static_cast<std::uint8_t>(extreme ? rng_() : (rng_() & 0x80) | (0x3c + rng_() % 8));
      }
    for (auto& p : psum_) for (auto& v : p) v = (rng_() & 0x807fffff) | ((110 + rng_() % 30) << 23);
    expected_ = psum_;
    weights_.assign(kRows, Factors(2 * kRows));
    dut_->instr_valid_i = 0;
    dut_.OnDrive([this] { Drive(); });
    dut_.OnSample([this] { Sample(); });
  }

  void Push(const isa::EngineInstr& i) {
    const dither::CheckLimits limits = {kRows, kSbufBytes, 0, 0, kPairs};
    REQUIRE(dither::CheckInstruction(isa::Queue::kTensor, isa::Encode(i), limits).err == isa::Err::kNone);
    queue_.push_back(i);
    if (i.opcode == static_cast<std::uint8_t>(isa::Op::kTranspose)) {
      ReferenceTranspose(i, sbuf_, expected_);
      counts_.push_back(0);  // bits are no numbers
    } else {
      const std::uint32_t nonfinite = Reference(i, sbuf_, expected_, weights_);
      counts_.push_back(i.count_nf ? nonfinite : 0);
    }
  }
  // Before anything is pushed.
  Sbuf& sbuf() { return sbuf_; }

  // Runs all pushed instructions; returns cycles from the first to the last moving column, both included.
  std::uint64_t Run() {
    const std::uint64_t limit = dut_.cycle() + 2000000;
    first_ = last_ = columns_ = 0;
    const std::size_t want = done_ + queue_.size() - sent_;
    while (done_ < want) {
      dut_.Step();
      REQUIRE(dut_.cycle() < limit);
    }
    for (int i = 0; i < 40; ++i) dut_.Step();
    REQUIRE(done_ == want);
    REQUIRE_FALSE(static_cast<bool>(dut_->busy_o));
    REQUIRE(counts_.empty());
    for (std::uint32_t p = 0; p < kRows; ++p)
      for (std::size_t w = 0; w < 4096; ++w)
        if (psum_[p][w] != expected_[p][w]) {
          CAPTURE(p, w, psum_[p][w], expected_[p][w]);
          REQUIRE(psum_[p][w] == expected_[p][w]);
        }
    return last_ - first_ + 1;
  }
  std::uint64_t columns() const { return columns_; }
  std::uint64_t counted() const { return counted_; }
  std::mt19937& rng() { return rng_; }

 private:
  static std::uint8_t* Bytes(auto& port) { return reinterpret_cast<std::uint8_t*>(&port); }

  void Drive() {
    // Data of the last cycle's grants; otherwise noise, which nobody may use.
    FillWord(Bytes(dut_->te_x_data_i), x_granted_, x_addr_);
    FillWord(Bytes(dut_->te_w_data_i), w_granted_, w_addr_);
    for (std::uint32_t p = 0; p < kRows; ++p) {
      const std::uint32_t v = r_granted_ ? r_data_[p] : static_cast<std::uint32_t>(rng_());
      std::memcpy(Bytes(dut_->te_r_data_i) + 4 * p, &v, 4);
    }
    dut_->te_x_gnt_i = dut_->te_w_gnt_i = 0;
    dut_->instr_valid_i = sent_ < queue_.size() && sent_ - done_ < 4;
    if (dut_->instr_valid_i) {
      const auto e = isa::Encode(queue_[sent_]);
      std::memcpy(Bytes(dut_->instr_i), e.data(), 64);
    }
    dut_->eval();
    if (dut_->te_x_req_o) dut_->te_x_gnt_i = static_cast<int>(rng_() % 100) >= refuse_;
    if (dut_->te_w_req_o) dut_->te_w_gnt_i = static_cast<int>(rng_() % 100) >= refuse_;
  }
  void FillWord(std::uint8_t* to, bool granted, std::uint32_t addr) {
    for (std::uint32_t p = 0; p < kRows; ++p) {
      std::uint64_t v = (static_cast<std::uint64_t>(rng_()) << 32) | rng_();
      if (granted) std::memcpy(&v, &sbuf_[p][8 * static_cast<std::size_t>(addr)], 8);
      std::memcpy(to + 8 * p, &v, 8);
    }
  }
  void Sample() {
    x_granted_ = dut_->te_x_req_o && dut_->te_x_gnt_i;
    w_granted_ = dut_->te_w_req_o && dut_->te_w_gnt_i;
    x_addr_ = dut_->te_x_addr_o;
    w_addr_ = dut_->te_w_addr_o;
    if (dut_->work_o) {
      if (!columns_) first_ = dut_.cycle();
      last_ = dut_.cycle();
      ++columns_;
    }
    r_granted_ = dut_->te_r_req_o;
    if (r_granted_) {
      r_data_.resize(kRows);
      for (std::uint32_t p = 0; p < kRows; ++p) r_data_[p] = psum_[p][dut_->te_r_addr_o];
    }
    if (dut_->te_w_psum_req_o) {
      for (std::uint32_t p = 0; p < kRows; ++p) {
        if (!(Bytes(dut_->te_w_psum_lanes_o)[p / 8] >> (p % 8) & 1)) continue;
        std::memcpy(&psum_[p][dut_->te_w_psum_addr_o], Bytes(dut_->te_w_psum_data_o) + 4 * p, 4);
      }
    }
    if (dut_->instr_valid_i && dut_->instr_ready_o) ++sent_;
    if (dut_->done_o) ++done_;
    // Four cycles after the instruction was done: its count, if it counted any.
    const bool answer = done_before_[3];
    done_before_ = {dut_->done_o != 0, done_before_[0], done_before_[1], done_before_[2]};
    if (answer) {
      const std::uint32_t want = counts_.front();
      counts_.pop_front();
      REQUIRE(static_cast<bool>(dut_->nonfinite_valid_o) == (want != 0));
      if (want) REQUIRE(dut_->nonfinite_count_o == want);
      counted_ += want;
    } else {
      REQUIRE_FALSE(static_cast<bool>(dut_->nonfinite_valid_o));
    }
  }

  std::mt19937 rng_;
  dither::tb::Clocked<Vtensor_engine> dut_;
  int refuse_;
  Sbuf sbuf_;
  Psum psum_, expected_;
  std::vector<Factors> weights_;
  std::vector<isa::EngineInstr> queue_;
  std::size_t sent_ = 0, done_ = 0;
  bool x_granted_ = false, w_granted_ = false, r_granted_ = false;
  std::uint32_t x_addr_ = 0, w_addr_ = 0;
  std::vector<std::uint32_t> r_data_;
  std::uint64_t first_ = 0, last_ = 0, columns_ = 0;
  std::deque<std::uint32_t> counts_;
  std::array<bool, 4> done_before_{};
  std::uint64_t counted_ = 0;
};

isa::EngineInstr Matmul(std::uint32_t k, std::uint32_t m, std::array<std::uint16_t, 4> size, Dtype d0, Dtype d1) {
  isa::EngineInstr i;
  i.opcode = static_cast<std::uint8_t>(isa::Op::kMatmul);
  i.dtype_d = static_cast<std::uint8_t>(Dtype::kFp32);
  i.dtype_0 = static_cast<std::uint8_t>(d0);
  i.dtype_1 = static_cast<std::uint8_t>(d1);
  i.space_d = 1;
  i.parts = static_cast<std::uint8_t>(k);
  i.parts_d = static_cast<std::uint8_t>(m);
  i.size = size;
  int stride = 1;
  for (std::size_t d = 0; d < 4; ++d) {
    i.str_d[d] = i.str_0[d] = static_cast<std::int16_t>(stride);
    stride *= size[d];
  }
  i.str_1[0] = 1;
  return i;
}

}  // namespace

TEST_CASE("random matmuls and transposes leave exactly the reference's PSUM", "[tensor_engine][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const auto refuse = GENERATE(0, 30, 90);  // percent of SBUF requests refused
  const bool extreme = GENERATE(false, true);
  CAPTURE(seed, refuse, extreme);
  Bench b(seed * 31 + static_cast<unsigned>(refuse), refuse, extreme);
  auto& rng = b.rng();
  const std::array<Dtype, 5> floats = {Dtype::kBf16, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kFp16, Dtype::kFp32};
  isa::EngineInstr last;
  bool may_reuse = false;
  for (int n = 0; n < 100; ++n) {
    const std::array<std::uint32_t, 7> edge = {1, 2, 3, 5, 7, kRows - 1, kRows};
    const bool transpose = rng() % 5 == 0, integer = rng() % 4 == 0;
    const std::uint32_t tiles = transpose || rng() % 2 ? 0 : rng() % 3, room = kRows >> tiles;
    std::uint32_t k = std::min(edge[rng() % 7], room), m = std::min(edge[rng() % 7], room);
    std::array<std::uint16_t, 4> size = {1, 1, 1, 1};
    for (auto& s : size) if (rng() % 2) s = static_cast<std::uint16_t>(1 + rng() % (rng() % 8 ? 5 : 31));
    if (size[0] * size[1] * size[2] * size[3] > 900) size[3] = size[2] = 1;
    const auto dtype = [&] { return integer ? Dtype::kInt8 : floats[rng() % 5]; };
    auto i = Matmul(k, m, size, dtype(), dtype());
    i.dtype_d = static_cast<std::uint8_t>(integer ? Dtype::kInt32 : Dtype::kFp32);
    i.tiles = static_cast<std::uint8_t>(tiles);
    i.part_0 = i.part_1 = static_cast<std::uint8_t>(rng() % (room - k + 1));
    i.part_d = static_cast<std::uint8_t>(rng() % (room - m + 1));
    if (!integer) {
      i.piece_0 = static_cast<std::uint8_t>(rng() % dither::PiecesOf(static_cast<Dtype>(i.dtype_0)));
      i.piece_1 = static_cast<std::uint8_t>(rng() % dither::PiecesOf(static_cast<Dtype>(i.dtype_1)));
    }
    if (kPairs && !transpose && rng() % 3) {
      i.pair = 1;
      i.dtype_0 = static_cast<std::uint8_t>(PairDtype(rng, integer));
      i.dtype_1 = static_cast<std::uint8_t>(PairDtype(rng, integer));
      i.piece_0 = i.piece_1 = 0;
    }
    if (may_reuse && !transpose && rng() % 4 == 0) {
      // Rows, columns and kind of the tile that is there; any moving operand.
      const bool same = last.dtype_d == i.dtype_d && last.pair == i.pair;
      i.reuse = 1;
      i.parts = last.parts;
      i.parts_d = last.parts_d;
      i.part_0 = i.part_1 = last.part_0;
      i.part_d = last.part_d;
      i.tiles = last.tiles;
      i.dtype_1 = last.dtype_1;
      i.piece_1 = last.piece_1;
      i.dtype_d = last.dtype_d;
      i.pair = last.pair;
      if (!same) {
        i.dtype_0 = last.dtype_0;
        i.piece_0 = last.piece_0;
      }
    }
    i.acc = rng() % 2;
    i.count_nf = rng() % 2;
    // Strides of any sign: the offset is the middle of what they span.
    for (std::size_t d = 0; d < 4; ++d) {
      if (rng() % 2) i.str_0[d] = static_cast<std::int16_t>(static_cast<int>(rng() % 41) - 20);
      if (rng() % 4 == 0) i.str_d[d] = static_cast<std::int16_t>(static_cast<int>(rng() % 9) - 4);
    }
    i.str_1[0] = static_cast<std::int16_t>(static_cast<int>(rng() % 41) - 20);
    i.off_0 = 8192 + static_cast<std::uint32_t>(rng() % 64) * 4;
    i.off_1 = 8192 + static_cast<std::uint32_t>(rng() % 64) * 4;
    i.off_d = 4 * static_cast<std::uint32_t>(1000 + rng() % 2000);
    if (transpose) {
      // All bytes one after the other into the same words, sometimes only one of them as an integer.
      i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
      i.size = {i.parts, 1, 1, 1};
      i.dtype_1 = static_cast<std::uint8_t>(1 + rng() % 7);
      i.reuse = rng() % 2;  // ignored, as are the fields of source 0
      i.dtype_0 = rng() % 16;
      i.part_0 = static_cast<std::uint8_t>(rng());
      const auto bytes = static_cast<std::uint8_t>(isa::DtypeBytes(static_cast<Dtype>(i.dtype_1)));
      i.func = rng() % 4 == 0;
      i.piece_1 = i.func ? static_cast<std::uint8_t>(rng() % bytes) : 0;
      b.Push(i);
      for (i.acc = 1; !i.func && i.piece_1 + 1 < bytes;) {
        ++i.piece_1;
        b.Push(i);
      }
      may_reuse = false;
      continue;
    }
    b.Push(i);
    last = i;
    may_reuse = true;
  }
  b.Run();
}

TEST_CASE("infinite and NaN words are counted for the instructions that ask, once for every write",
          "[tensor_engine][random]") {
  const auto seed = GENERATE(range(1u, 4u));
  const auto refuse = GENERATE(0, 50);
  CAPTURE(seed, refuse);
  Bench b(seed, refuse, true);  // every bit pattern: many sums are NaN
  auto& rng = b.rng();
  for (int n = 0; n < 200; ++n) {
    // Short ones, back to back, so that counts follow each other closely; the same word again and again at times.
    auto i = Matmul(1 + rng() % kRows, 1 + rng() % kRows,
                    {static_cast<std::uint16_t>(1 + rng() % 3), static_cast<std::uint16_t>(1 + rng() % 3), 1, 1},
                    Dtype::kBf16, Dtype::kFp8E5M2);
    i.acc = rng() % 2;
    i.count_nf = rng() % 3 != 0;
    if (rng() % 4 == 0) i.str_d = {0, 0, 0, 0};
    i.off_0 = 2 * static_cast<std::uint32_t>(rng() % 4096);
    i.off_1 = static_cast<std::uint32_t>(rng() % 4096);
    i.off_d = 4 * static_cast<std::uint32_t>(rng() % 4000);
    b.Push(i);
  }
  b.Run();
  REQUIRE(b.counted() > 200);
}

TEST_CASE("a product of 8-bit pairs takes half the cycles of the same product of single numbers",
          "[tensor_engine][directed]") {
  if (!kPairs) return;
  const auto type = GENERATE(Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8);
  std::array<std::uint64_t, 2> cycles{};
  for (const bool pair : {false, true}) {
    Bench b(5, 0, false);
    // K = 8 Rows values, in tiles of Rows or 2 Rows.
    const std::uint32_t tiles = pair ? 4 : 8;
    for (std::uint32_t t = 0; t < tiles; ++t) {
      auto i = Matmul(kRows, kRows, {64, 1, 1, 1}, type, type);
      i.pair = pair;
      i.dtype_d = static_cast<std::uint8_t>(type == Dtype::kInt8 ? Dtype::kInt32 : Dtype::kFp32);
      i.acc = t != 0;
      i.off_0 = t * 64 * (pair ? 2 : 1);
      i.off_1 = 8192 + t * kRows * (pair ? 2 : 1);
      b.Push(i);
    }
    cycles[pair] = b.Run();
  }
  REQUIRE(cycles[0] == 8 * 64);
  REQUIRE(cycles[1] == 4 * 64);
}

TEST_CASE("an accumulate into the word just written waits for it", "[tensor_engine][directed]") {
  Bench b(7, 0, false);
  for (int n = 0; n < 20; ++n) {
    auto i = Matmul(kRows, kRows, {static_cast<std::uint16_t>(1 + n % 7), 3, 1, 1}, Dtype::kBf16, Dtype::kBf16);
    i.acc = 1;
    i.str_d = {0, static_cast<std::int16_t>(n % 3), 0, 0};  // the same words again and again
    b.Push(i);
  }
  b.Run();
}

TEST_CASE("back-to-back tiles lose no cycle", "[tensor_engine][directed]") {
  const auto n = GENERATE(as<unsigned>{}, kRows + 0u, kRows + 1u, 64u);
  CAPTURE(n);
  Bench b(3, 0, false);
  for (int t = 0; t < 40; ++t) {
    auto i = Matmul(kRows, kRows, {static_cast<std::uint16_t>(n), 1, 1, 1}, Dtype::kBf16, Dtype::kBf16);
    i.acc = t % 8 != 0;
    i.off_0 = static_cast<std::uint32_t>(t * 64);
    i.off_1 = 8192 + static_cast<std::uint32_t>(t) * kRows * 2;
    b.Push(i);
  }
  const std::uint64_t cycles = b.Run();
  REQUIRE(b.columns() == 40u * n);
  REQUIRE(cycles == 40u * n);
}

TEST_CASE("the mode may change with every instruction and no cycle is lost", "[tensor_engine][random]") {
  const auto seed = GENERATE(range(1u, 4u));
  CAPTURE(seed);
  Bench b(seed, 0, false);
  auto& rng = b.rng();
  std::uint64_t columns = 0;
  for (int t = 0; t < 120; ++t) {
    // As many columns as it takes to load the next tile, so that any lost cycle shows.
    const int kind = static_cast<int>(rng() % 8);
    auto i = Matmul(kRows, kRows, {static_cast<std::uint16_t>(kRows), 1, 1, 1}, Dtype::kBf16, Dtype::kBf16);
    const std::array<Dtype, 5> floats = {Dtype::kBf16, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kFp16, Dtype::kFp32};
    if (kPairs && kind >= 4) {
      const bool integer = kind == 4;
      i.pair = 1;
      i.dtype_d = static_cast<std::uint8_t>(integer ? Dtype::kInt32 : Dtype::kFp32);
      i.dtype_0 = static_cast<std::uint8_t>(PairDtype(rng, integer));
      i.dtype_1 = static_cast<std::uint8_t>(PairDtype(rng, integer));
    } else if (kind == 0) {
      i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
      i.dtype_1 = static_cast<std::uint8_t>(1 + rng() % 7);
      i.piece_1 = static_cast<std::uint8_t>(rng() % isa::DtypeBytes(static_cast<Dtype>(i.dtype_1)));
    } else if (kind == 1) {
      i.dtype_d = static_cast<std::uint8_t>(Dtype::kInt32);
      i.dtype_0 = i.dtype_1 = static_cast<std::uint8_t>(Dtype::kInt8);
    } else {
      i.dtype_0 = static_cast<std::uint8_t>(floats[rng() % 5]);
      i.dtype_1 = static_cast<std::uint8_t>(floats[rng() % 5]);
      i.piece_0 = static_cast<std::uint8_t>(rng() % dither::PiecesOf(static_cast<Dtype>(i.dtype_0)));
      i.piece_1 = static_cast<std::uint8_t>(rng() % dither::PiecesOf(static_cast<Dtype>(i.dtype_1)));
      i.tiles = rng() % 3;
      if (i.tiles) {
        i.parts = static_cast<std::uint8_t>(kRows >> i.tiles);
        i.parts_d = i.parts;
      }
    }
    i.acc = rng() % 2;
    i.off_0 = static_cast<std::uint32_t>(rng() % 64) * 64;
    i.off_1 = 8192 + static_cast<std::uint32_t>(rng() % 64) * 64;
    i.off_d = 4 * kRows * static_cast<std::uint32_t>(t);
    columns += kRows;
    b.Push(i);
  }
  const std::uint64_t cycles = b.Run();
  REQUIRE(b.columns() == columns);
  REQUIRE(cycles == columns);
}

TEST_CASE("a product of fp16, fp32 and fp32 with fp16 takes 4, 9 and 6 passes without a gap", "[tensor_engine][directed]") {
  using Case = std::tuple<Dtype, Dtype, unsigned>;
  const auto [w_type, x_type, passes] =
      GENERATE(Case{Dtype::kFp16, Dtype::kFp16, 4u}, Case{Dtype::kFp32, Dtype::kFp32, 9u},
               Case{Dtype::kFp32, Dtype::kFp16, 6u}, Case{Dtype::kBf16, Dtype::kFp32, 3u});
  CAPTURE(isa::Name(w_type), isa::Name(x_type));
  Bench b(5, 0, false);
  dither::ProgramBuilder builder(kRows == 8 ? isa::kConfigs[0] : isa::kConfigs[1]);
  const auto w = builder.Sbuf("w", w_type, {kRows, kRows}), x = builder.Sbuf("x", x_type, {kRows, 40});
  for (std::uint32_t bank = 0; bank < 5; ++bank) {
    builder.MatmulPieces(builder.PsumBank("c", bank, Dtype::kFp32, {kRows, 40}), {{w, x}});
  }
  for (const auto& e : builder.program()[isa::Queue::kTensor]) b.Push(isa::DecodeEngineInstr(e));
  const std::uint64_t cycles = b.Run();
  REQUIRE(b.columns() == 5 * passes * 40);
  REQUIRE(cycles == 5 * passes * 40);
}

TEST_CASE("a transpose carries every 16-bit and 8-bit pattern and every fp32 exponent with 32 payloads",
          "[tensor_engine][directed]") {
  const auto type = GENERATE(Dtype::kBf16, Dtype::kFp16, Dtype::kFp8E4M3, Dtype::kInt8, Dtype::kFp32);
  CAPTURE(isa::Name(type));
  const std::uint32_t bytes = isa::DtypeBytes(type);
  Bench b(11, 0, false);
  // Patterns 0, 1, 2, ... in the order of partitions and offsets; fp32: all exponents and signs with 32 payloads.
  const std::uint32_t count = bytes == 1 ? 256 : bytes == 2 ? 65536 : 16384;
  for (std::uint32_t n = 0; n < count; ++n) {
    const std::uint32_t v =
        bytes < 4 ? n : n << 23 | ((n >> 9) * 0x01234567u & 0x7fffff) >> (n >> 12 & 7) * 3;
    std::memcpy(&b.sbuf()[n % kRows][n / kRows * bytes], &v, bytes);
  }
  // A tile of kRows x kRows each; PSUM holds 4096 / kRows of them, compared before it is used again.
  const std::uint32_t tiles = count / (kRows * kRows);
  for (std::uint32_t t = 0; t < tiles; ++t) {
    auto i = Matmul(kRows, kRows, {static_cast<std::uint16_t>(kRows), 1, 1, 1}, type, type);
    i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
    i.dtype_d = static_cast<std::uint8_t>(Dtype::kInt32);
    i.off_1 = t * kRows * bytes;
    i.off_d = 4 * (t * kRows % 4096);
    for (std::uint32_t byte = 0; byte < bytes; ++byte) {
      i.piece_1 = static_cast<std::uint8_t>(byte);
      i.acc = byte != 0;
      b.Push(i);
    }
    if ((t + 1) % (4096 / kRows) == 0 || t + 1 == tiles) b.Run();
  }
  REQUIRE(tiles > 0);
}
