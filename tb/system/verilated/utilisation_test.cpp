// How busy the array is, cycle by cycle: bounds of docs/blocks/tensor_engine.md. The figures: make bench-gemm.
// And the vector engine with 16-bit data: docs/blocks/vector_engine.md.
#include <catch2/catch.hpp>

#include "sim/program/builder.hpp"
#include "sim/program/tile_gemm.hpp"
#include "sim/verilated/verilated_device.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

struct Measured {
  std::uint64_t bound = 0, columns = 0, span = 0, busy = 0, drain = 0;
};

Measured Measure(VerilatedDevice& device, std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  std::mt19937 random(1);
  const auto draw = [&] { return std::uniform_real_distribution<double>(-1, 1)(random); };
  const std::uint64_t mark = device.Mark();
  TileGemmSpec spec;
  spec.a = tb::RandomTensor(device, "a", isa::Dtype::kBf16, {k, m}, draw);
  spec.b = tb::RandomTensor(device, "b", isa::Dtype::kBf16, {k, n}, draw);
  spec.c = tb::EmptyTensor(device, "c", isa::Dtype::kFp32, {m, n});
  const std::uint32_t zeros = 16 * device.config().rows;
  spec.zeros = tb::RandomTensor(device, "zeros", isa::Dtype::kBf16, {zeros}, [] { return 0.0; });
  Measured result;
  result.bound = BoundOfGemm(device.config().rows, k, m, n).columns;
  for (const Program& program : BuildTileGemm(device.config(), spec)) {
    device.ClearActivity();
    device.Run(program);
    const ArrayActivity& a = device.Activity();
    result.columns += a.columns;
    result.span += a.span();
    result.busy += a.busy_span();
    result.drain += a.last_busy - a.last_column;
  }
  device.CompareAll();
  device.Release(mark);
  return result;
}

DeviceOptions Small() {
  DeviceOptions o;
  o.config = VerilatedConfig();
  o.dram_bytes = 4 << 20;
  return o;
}

}  // namespace

TEST_CASE("a cold product of 4x4x4 tiles takes its bound and one cycle in a hundred at most",
          "[utilisation][directed]") {
  auto device = MakeVerilatedDevice(Small());
  const std::uint32_t side = 4 * device->config().rows;
  const Measured r = Measure(*device, side, side, side);
  CAPTURE(r.span, r.busy, r.drain);
  CHECK(r.columns == 16 * side);
  CHECK(r.span == r.columns);  // no cycle lost between the first product and the last
  CHECK(r.drain <= 20);        // array and foot
  // First tile in, columns, way of the last column.
  CHECK(100 * (device->config().rows + r.columns + r.drain) >= 99 * r.busy);
}

TEST_CASE("products of any shape use over nine tenths of the cycles that their tiles need", "[utilisation][random]") {
  auto device = MakeVerilatedDevice(Small());
  std::mt19937 random(3);
  const std::uint32_t p = device->config().rows;
  for (int i = 0; i < 40; ++i) {
    // Short sides are the hard ones: short instructions, tiles whose load is as long as their columns.
    const auto side = [&] { return 1 + static_cast<std::uint32_t>(random() % (i % 4 ? p + 4 : 8 * p)); };
    const std::uint32_t k = 1 + static_cast<std::uint32_t>(random() % 300), m = side(), n = side();
    const Measured r = Measure(*device, k, m, n);
    CAPTURE(k, m, n, r.bound, r.span);
    CHECK(r.columns == r.bound);
    CHECK(r.span >= r.columns);
    CHECK(10 * r.bound >= 9 * r.span);
  }
}

TEST_CASE("results that a slow memory does not take hold the array back, and none is lost", "[utilisation][directed]") {
  auto device = MakeVerilatedDevice(Small());
  MemoryBehaviour memory;
  memory.stall_percent = 90;
  device->SetMemoryBehaviour(memory);
  const bool nano = device->config().rows == 8;
  const std::uint32_t k = nano ? 30 : 40, m = nano ? 200 : 480, n = nano ? 310 : 500;
  REQUIRE(PlanTileGemm(device->config(), k, m, n).slabs[0].place == ResultPlace::kRing);
  const Measured r = Measure(*device, k, m, n);  // compares every instruction
  CHECK(r.columns == r.bound);
  CHECK(r.span > r.columns + r.columns / 10);
}

TEST_CASE("a program updates bf16 weights at two elements a cycle, and copies beside it slow it down and no more",
          "[utilisation][directed]") {
  const bool copies = GENERATE(false, true);
  CAPTURE(copies);
  auto device = MakeVerilatedDevice(Small());
  const std::uint32_t rows = device->config().rows;
  constexpr std::uint32_t kElements = 510, kUpdates = 6;
  ProgramBuilder b(device->config());
  const Tensor w = b.Sbuf("w", isa::Dtype::kBf16, {rows, kElements}), m = b.Sbuf("m", isa::Dtype::kBf16, {rows, kElements});
  const Tensor other = b.Sbuf("other", isa::Dtype::kBf16, {rows, 1024});
  std::mt19937 random(1);
  const auto draw = [&] { return std::uniform_real_distribution<double>(-1, 1)(random); };
  for (std::uint32_t p = 0; p < rows; ++p) {
    for (const Tensor* t : {&w, &m}) tb::FillSbuf(*device, p, t->address, tb::RandomBytes(t->dtype, kElements, draw));
  }
  const Tensor dram = tb::EmptyTensor(*device, "dram", isa::Dtype::kBf16, {rows, 1024});
  for (std::uint32_t n = 0; n < kUpdates; ++n) {
    b.TwoSteps(w, m, {isa::VecFunc::kMul, -0.125f}, {isa::VecFunc::kAdd, w}, {isa::Round::kSr, false});
    if (copies) b.Copy(isa::Queue::kDma0, n % 2 == 0 ? other : dram, n % 2 == 0 ? dram : other);
  }
  device->Run(b.Take());  // compares every instruction
  device->CompareAll();
  const QueueCounters c = device->Counters()[isa::Queue::kVector];
  CHECK(c.work == kUpdates * kElements);
  CHECK(c.busy <= kUpdates * (kElements / 2 + 8 + 2) + c.stall_mem);
  if (!copies) CHECK(c.stall_mem <= 2 * kUpdates);  // the first words may lie in one bank
}

TEST_CASE("activity counts the cycles in which the array waits between two columns", "[utilisation][directed]") {
  auto device = MakeVerilatedDevice(Small());
  Program program;
  program.rows = device->config().rows;
  isa::EngineInstr i;
  i.opcode = static_cast<std::uint8_t>(isa::Op::kMatmul);
  i.dtype_d = static_cast<std::uint8_t>(isa::Dtype::kFp32);
  i.dtype_0 = i.dtype_1 = static_cast<std::uint8_t>(isa::Dtype::kBf16);
  i.space_d = 1;
  i.parts = i.parts_d = 4;
  i.size = {20, 1, 1, 1};
  i.str_d = i.str_0 = i.str_1 = {1, 0, 0, 0};
  program[isa::Queue::kTensor].push_back(isa::Encode(i));
  i.wait_en = 1;
  i.wait_sem = 5;
  i.wait_val = 1;
  program[isa::Queue::kTensor].push_back(isa::Encode(i));
  device->LoadProgram(program);
  device->ClearActivity();
  device->Start();
  device->Advance(1000);
  CHECK(device->Activity().columns == 20);
  CHECK(device->Activity().span() == 20);
  CHECK(device->Activity().busy_span() > 20 + 4);
  device->SetSemaphore(5, 1);
  device->Wait(10000);
  CHECK(device->Activity().columns == 40);
  CHECK(device->Activity().span() > 900);
  device->ClearActivity();
  CHECK(device->Activity().span() == 0);
}

}  // namespace dither
