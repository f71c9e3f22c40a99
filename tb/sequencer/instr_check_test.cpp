// The RTL checker of every queue against the C++ checks, for 8 and 16 rows.
#include <catch2/catch.hpp>

#include <array>
#include <cstdlib>
#include <map>

#include "Vinstr_check_tb.h"
#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"
#include "sim/model/functional.hpp"
#include "tb/sequencer/instructions.hpp"
#include "tb/support/clocked.hpp"

namespace dither {
namespace {

using tb::Clocked;

class Checker {
 public:
  explicit Checker(const CheckLimits& limits, std::uint64_t seed = 1)
      : limits_(limits), bench_(limits.rows == 8 ? 0 : 5), dut_(seed) {
    dut_->valid_i = 0;
    dut_->clear_i = 0;
    dut_->dram_base_i = limits.dram_base;
    dut_->dram_limit_i = limits.dram_limit;
  }
  // The verdict of the hardware, and how many cycles it took.
  CheckResult Run(isa::Queue queue, const isa::Encoded& e, int* cycles,
                  std::uint8_t* banks = nullptr) {
    const int unit = bench_ + static_cast<int>(queue);
    for (int w = 0; w < 16; ++w) {
      dut_->instr_i[w] = static_cast<std::uint32_t>(isa::GetBits(e, 32 * w, 32));
    }
    dut_->valid_i = 1u << unit;
    for (*cycles = 0; ((dut_->done_o >> unit) & 1u) == 0; ++*cycles) {
      REQUIRE(*cycles < 80);
      dut_.Step();
    }
    const auto word = [&](auto& v, int lsb, int bits) {
      std::uint64_t r = 0;
      for (int b = 0; b < bits; ++b) {
        r |= static_cast<std::uint64_t>((v[(lsb + b) / 32] >> ((lsb + b) % 32)) & 1u) << b;
      }
      return r;
    };
    CheckResult r;
    r.err = static_cast<isa::Err>(word(dut_->err_o, 8 * unit, 8));
    r.operand = (dut_->operand_o >> (2 * unit)) & 3u;
    r.addr = static_cast<std::int64_t>(word(dut_->addr_o, 48 * unit, 48) << 16) >> 16;
    if (banks != nullptr) *banks = static_cast<std::uint8_t>(word(dut_->banks_o, 8 * unit, 8));
    dut_->clear_i = 1u << unit;
    dut_.Step();
    dut_->clear_i = 0;
    dut_->valid_i = 0;
    return r;
  }

 private:
  CheckLimits limits_;
  int bench_;
  Clocked<Vinstr_check_tb> dut_;
};

CheckLimits Limits(int rows, bool offset_window) {
  const std::uint64_t base = offset_window ? 0x123'4567'8000 : 0;
  return {static_cast<std::uint32_t>(rows), rows == 8 ? 16384u : 65536u, base,
          base + (offset_window ? 0x40000 : (1ull << 44)), rows == 16};
}

}  // namespace

TEST_CASE("the checker names the same cause, operand and address as the model",
          "[sequencer][instr_check][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const int rows = GENERATE(8, 16);
  const CheckLimits limits = Limits(rows, seed % 2 == 0);
  Checker checker(limits, seed);
  tb::InstructionGenerator gen(seed * 100 + rows, limits);
  std::map<std::pair<int, isa::Err>, int> causes;  // by layout: engines, DMA
  int longest = 0;
  for (int n = 0; n < 16000; ++n) {
    const auto queue = isa::kAllQueue[n % 5];
    const isa::Encoded e = gen.Below(8) == 0 ? gen.Legal(queue) : gen.Mutated(queue);
    const CheckResult expected = CheckInstruction(queue, e, limits);
    int cycles = 0;
    std::uint8_t banks = 0;
    const CheckResult got = checker.Run(queue, e, &cycles, &banks);
    if (expected.err == isa::Err::kNone) {
      REQUIRE(banks == (queue == isa::Queue::kTensor ? PsumBanksWritten(queue, e) : 0));
    }
    const bool dma = n % 5 >= 3;
    ++causes[{dma, expected.err}];
    if (!dma) longest = std::max(longest, cycles);
    if (!(got == expected)) {
      CAPTURE(seed, rows, n, isa::Name(queue), isa::Name(expected.err), isa::Name(got.err));
      CAPTURE(int{expected.operand}, int{got.operand}, expected.addr, got.addr);
      REQUIRE(got == expected);
    }
  }
  // Every cause that an instruction can have came up often.
  for (int c = 0; c <= static_cast<int>(isa::Err::kDramRange); ++c) {
    for (int dma = 0; dma < 2; ++dma) {
      const auto err = static_cast<isa::Err>(c);
      const bool possible = dma ? err != isa::Err::kBadFunc && err != isa::Err::kBadStride &&
                                      err != isa::Err::kPsumRange
                                : err != isa::Err::kDramRange;
      CAPTURE(seed, rows, dma, isa::Name(err));
      if (possible) CHECK(causes[{dma, err}] >= 20);
      if (std::getenv("DITHER_VERBOSE") != nullptr) {
        std::printf("rows %d seed %u %s %-36s %d\n", rows, seed, dma ? "dma" : "engine",
                    std::string(isa::Name(err)).c_str(), causes[{dma, err}]);
      }
    }
  }
  CHECK(longest <= 16);
}

TEST_CASE("the PSUM banks of a matmul are those of its words, with strides over banks too",
          "[sequencer][instr_check][random]") {
  const auto seed = GENERATE(range(1u, 4u));
  const CheckLimits limits = Limits(8, false);
  Checker checker(limits, seed);
  std::mt19937 rng(seed);
  const auto below = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  isa::EngineInstr i{.opcode = 0x10, .dtype_d = 1, .dtype_0 = 2, .dtype_1 = 2, .space_d = 1,
                     .parts = 8, .parts_d = 8};
  int holes = 0, longest = 0;
  for (int n = 0; n < 20000; ++n) {
    // Dimensions that use up the 4096 words, in any order, of any sign; strides near a bank's length often.
    int room = 4095, base = 0;
    i.size = {1, 1, 1, 1};
    for (int d = 0, k = below(4); d < 4; ++d, k = (k + 1) % 4) {
      const int edge[] = {0, 1, 511, 512, 513, 1024, 1025, below(4096), below(1400), below(64)};
      const int stride = edge[below(10)];
      const int most = stride == 0 ? 5 : room / stride;
      const int size = 1 + (below(3) == 0 ? most : below(most + 1)) % 70;
      i.size[k] = static_cast<std::uint16_t>(size);
      i.str_d[k] = static_cast<std::int16_t>(below(2) ? stride : -stride);
      room -= (size - 1) * stride;
      if (i.str_d[k] < 0) base += (size - 1) * stride;
    }
    if (below(8) == 0) {  // the most points there are
      i.size = {3, 2, 3, 3};
      for (auto& s : i.str_d) s = static_cast<std::int16_t>(513 + below(72));
      base = 0;
      room = 4095;
      for (int k = 0; k < 4; ++k) room -= (i.size[k] - 1) * i.str_d[k];
    }
    i.off_d = 4 * static_cast<std::uint32_t>(base + below(room + 1));
    unsigned want = 0;
    bool inside = true;
    for (int a = 0; a < i.size[3]; ++a)
      for (int b = 0; b < i.size[2]; ++b)
        for (int c = 0; c < i.size[1]; ++c)
          for (int d = 0; d < i.size[0]; ++d) {
            const int word = static_cast<int>(i.off_d / 4) + a * i.str_d[3] + b * i.str_d[2] +
                             c * i.str_d[1] + d * i.str_d[0];
            inside = inside && word >= 0 && word < 4096;
            want |= 1u << (word / 512);
          }
    REQUIRE(inside);
    int cycles = 0;
    std::uint8_t banks = 0;
    const isa::Encoded e = isa::Encode(i);
    CAPTURE(seed, n, i.size, i.str_d, i.off_d);
    REQUIRE(checker.Run(isa::Queue::kTensor, e, &cycles, &banks).err == isa::Err::kNone);
    REQUIRE(unsigned{banks} == want);
    REQUIRE(unsigned{PsumBanksWritten(isa::Queue::kTensor, e)} == want);
    longest = std::max(longest, cycles);
    const unsigned filled = want | want >> 1 | want >> 2;
    holes += (filled & ~want & (want << 1 | want << 2)) != 0;
  }
  CHECK(holes > 1000);  // banks left out between others
  CHECK(longest >= 54);
  CHECK(longest <= 54 + 10);
}

TEST_CASE("an engine's check of four dimensions and three operands takes fifteen cycles",
          "[sequencer][instr_check][directed]") {
  const CheckLimits limits = Limits(8, false);
  Checker checker(limits);
  isa::EngineInstr i{.opcode = 0x20, .dtype_d = 1, .dtype_0 = 1, .dtype_1 = 1, .func = 1,
                     .parts = 8, .parts_d = 8};
  i.size = {2, 2, 2, 2};
  int cycles = 0;
  CHECK(checker.Run(isa::Queue::kVector, isa::Encode(i), &cycles).err == isa::Err::kNone);
  CHECK(cycles == 15);
  i.func_1 = 1;  // and the scalars of a first step: one more
  i.scalar_ptr = 1;
  CHECK(checker.Run(isa::Queue::kVector, isa::Encode(i), &cycles).err == isa::Err::kNone);
  CHECK(cycles == 16);
  i.func_1 = i.scalar_ptr = 0;
  i.size = {64, 1, 1, 1};
  CHECK(checker.Run(isa::Queue::kVector, isa::Encode(i), &cycles).err == isa::Err::kNone);
  CHECK(cycles == 6);
}

}  // namespace dither
