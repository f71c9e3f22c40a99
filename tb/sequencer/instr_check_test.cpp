// The RTL checker of every queue against the C++ checks, for 8 and 16 rows.
#include <catch2/catch.hpp>

#include <array>
#include <cstdlib>
#include <map>

#include "Vinstr_check_tb.h"
#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"
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
  CheckResult Run(isa::Queue queue, const isa::Encoded& e, int* cycles) {
    const int unit = bench_ + static_cast<int>(queue);
    for (int w = 0; w < 16; ++w) {
      dut_->instr_i[w] = static_cast<std::uint32_t>(isa::GetBits(e, 32 * w, 32));
    }
    dut_->valid_i = 1u << unit;
    for (*cycles = 0; ((dut_->done_o >> unit) & 1u) == 0; ++*cycles) {
      REQUIRE(*cycles < 40);
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
          base + (offset_window ? 0x40000 : (1ull << 44))};
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
    const CheckResult got = checker.Run(queue, e, &cycles);
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
  CHECK(longest <= 15);
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
  i.size = {64, 1, 1, 1};
  CHECK(checker.Run(isa::Queue::kVector, isa::Encode(i), &cycles).err == isa::Err::kNone);
  CHECK(cycles == 6);
}

}  // namespace dither
