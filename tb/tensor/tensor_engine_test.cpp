// The tensor engine at its own ports: SBUF and PSUM are C++ memories, the reference is architecture.md's matmul
// on sim/model/column_sum.hpp.
#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "Vtensor_engine.h"
#include "sim/isa/isa.hpp"
#include "sim/model/column_sum.hpp"
#include "tb/support/clocked.hpp"

namespace {

namespace isa = dither::isa;
using isa::Dtype;

constexpr std::uint32_t kRows = sizeof(Vtensor_engine::te_r_data_i) / 4;
constexpr std::uint32_t kSbufBytes = kRows == 8 ? 16384 : 65536;

using Sbuf = std::vector<std::vector<std::uint8_t>>;    // [partition][byte]
using Psum = std::vector<std::vector<std::uint32_t>>;   // [partition][word]

std::uint16_t Load(const Sbuf& s, std::uint32_t part, std::int64_t off, Dtype d) {
  const auto& p = s[part];
  const auto at = static_cast<std::size_t>(off);
  const std::uint32_t v = isa::DtypeBytes(d) == 2 ? p[at] | (p[at + 1] << 8) : p[at];
  return dither::model::ToBf16Operand(d, v);
}

// architecture.md, matmul. `w` keeps the stationary tile from instruction to instruction.
// Returns how many of the words written are infinite or NaN.
std::uint32_t Reference(const isa::EngineInstr& i, const Sbuf& sbuf, Psum& psum,
                        std::vector<std::vector<std::uint16_t>>& w) {
  std::uint32_t nonfinite = 0;
  const auto d0 = static_cast<Dtype>(i.dtype_0), d1 = static_cast<Dtype>(i.dtype_1);
  const int e0 = static_cast<int>(isa::DtypeBytes(d0)), e1 = static_cast<int>(isa::DtypeBytes(d1));
  if (!i.reuse) {
    for (auto& col : w) col.assign(kRows, 0);
    for (std::uint32_t m = 0; m < i.parts_d; ++m)
      for (std::uint32_t k = 0; k < i.parts; ++k)
        w[i.part_d + m][i.part_1 + k] =
            Load(sbuf, i.part_1 + k, i.off_1 + e1 * static_cast<int>(m) * i.str_1[0], d1);
  }
  for (int a = 0; a < i.size[3]; ++a)
    for (int b = 0; b < i.size[2]; ++b)
      for (int c = 0; c < i.size[1]; ++c)
        for (int d = 0; d < i.size[0]; ++d) {
          const int at0 = d * i.str_0[0] + c * i.str_0[1] + b * i.str_0[2] + a * i.str_0[3];
          const int atd = d * i.str_d[0] + c * i.str_d[1] + b * i.str_d[2] + a * i.str_d[3];
          std::vector<std::uint16_t> x(kRows, 0);
          for (std::uint32_t k = 0; k < i.parts; ++k)
            x[i.part_0 + k] = Load(sbuf, i.part_0 + k, static_cast<std::int64_t>(i.off_0) + e0 * at0, d0);
          for (std::uint32_t m = 0; m < i.parts_d; ++m) {
            auto& word = psum[i.part_d + m][static_cast<std::size_t>(i.off_d / 4 + atd)];
            word = dither::model::ColumnDot(x.data(), w[i.part_d + m].data(), kRows,
                                            dither::model::DotWidth(kRows), i.acc, word);
            nonfinite += (word >> 23 & 0xff) == 0xff;
          }
        }
  return nonfinite;
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
    weights_.assign(kRows, std::vector<std::uint16_t>(kRows, 0));
    dut_->instr_valid_i = 0;
    dut_.OnDrive([this] { Drive(); });
    dut_.OnSample([this] { Sample(); });
  }

  void Push(const isa::EngineInstr& i) {
    queue_.push_back(i);
    const std::uint32_t nonfinite = Reference(i, sbuf_, expected_, weights_);
    counts_.push_back(i.count_nf ? nonfinite : 0);
  }

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
  std::vector<std::vector<std::uint16_t>> weights_;
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

TEST_CASE("random matmuls leave exactly the reference's PSUM", "[tensor_engine][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const auto refuse = GENERATE(0, 30, 90);  // percent of SBUF requests refused
  const bool extreme = GENERATE(false, true);
  CAPTURE(seed, refuse, extreme);
  Bench b(seed * 31 + static_cast<unsigned>(refuse), refuse, extreme);
  auto& rng = b.rng();
  const std::array<Dtype, 3> dtypes = {Dtype::kBf16, Dtype::kFp8E4M3, Dtype::kFp8E5M2};
  std::uint32_t last_k = 0, last_m = 0, last_row = 0, last_col = 0;
  for (int n = 0; n < 60; ++n) {
    const std::array<std::uint32_t, 7> edge = {1, 2, 3, 5, 7, kRows - 1, kRows};
    std::uint32_t k = edge[rng() % 7], m = edge[rng() % 7];
    std::array<std::uint16_t, 4> size = {1, 1, 1, 1};
    for (auto& s : size) if (rng() % 2) s = static_cast<std::uint16_t>(1 + rng() % (rng() % 8 ? 5 : 31));
    if (size[0] * size[1] * size[2] * size[3] > 900) size[3] = size[2] = 1;
    std::uint32_t row = rng() % (kRows - k + 1), col = rng() % (kRows - m + 1);
    const bool reuse = n && rng() % 4 == 0;
    if (reuse) { k = last_k; m = last_m; row = last_row; col = last_col; }
    auto i = Matmul(k, m, size, dtypes[rng() % 3], dtypes[rng() % 3]);
    i.reuse = reuse;
    i.acc = rng() % 2;
    i.count_nf = rng() % 2;
    i.part_0 = i.part_1 = static_cast<std::uint8_t>(row);
    i.part_d = static_cast<std::uint8_t>(col);
    // Strides of any sign: the offset is the middle of what they span.
    for (std::size_t d = 0; d < 4; ++d) {
      if (rng() % 2) i.str_0[d] = static_cast<std::int16_t>(static_cast<int>(rng() % 41) - 20);
      if (rng() % 4 == 0) i.str_d[d] = static_cast<std::int16_t>(static_cast<int>(rng() % 9) - 4);
    }
    i.str_1[0] = static_cast<std::int16_t>(static_cast<int>(rng() % 41) - 20);
    i.off_0 = 8192 + static_cast<std::uint32_t>(rng() % 64) * 2;
    i.off_1 = 8192 + static_cast<std::uint32_t>(rng() % 64) * 2;
    i.off_d = 4 * static_cast<std::uint32_t>(1000 + rng() % 2000);
    b.Push(i);
    last_k = k; last_m = m; last_row = row; last_col = col;
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
