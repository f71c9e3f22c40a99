// How long a product of 8-bit pairs keeps the array, against the same product in bf16: whole programs, operands resident.
#include <catch2/catch.hpp>

#include "sim/program/tile_gemm.hpp"
#include "sim/verilated/verilated_device.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;

// Cycles from the first moving column to the last one, both included.
std::uint64_t Span(VerilatedDevice& device, Dtype dtype, bool pair, std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  std::mt19937 random(1);
  const auto draw = [&] { return std::uniform_real_distribution<double>(-1, 1)(random); };
  const std::uint64_t mark = device.Mark();
  const auto operand = [&](const char* name, std::uint32_t columns) {
    return pair ? tb::RandomTensor(device, name, dtype, {k / 2, columns, 2}, draw).Paired()
                : tb::RandomTensor(device, name, dtype, {k, columns}, draw);
  };
  TileGemmSpec spec;
  spec.a = operand("a", m);
  spec.b = operand("b", n);
  spec.c = tb::EmptyTensor(device, "c", Dtype::kFp32, {m, n});
  spec.zeros = tb::EmptyTensor(device, "zeros", Dtype::kBf16, {16 * device.config().rows}, 0);
  std::uint64_t span = 0;
  for (const Program& program : BuildTileGemm(device.config(), spec)) {
    device.ClearActivity();
    device.Run(program);
    span += device.Activity().span();
  }
  device.CompareAll();
  device.Release(mark);
  return span;
}

}  // namespace

TEST_CASE("a product in fp8 or int8 pairs keeps the array for half the cycles of the same product in bf16", "[pair][utilisation]") {
  DeviceOptions options;
  options.config = VerilatedConfig();
  options.dram_bytes = 4 << 20;
  if (!options.config.pairs) return;
  auto device = MakeVerilatedDevice(options);
  const std::uint32_t p = device->config().rows, k = 16 * p, m = 4 * p, n = 8 * p;
  const std::uint64_t columns = std::uint64_t{k / p} * (m / p) * n;
  CHECK(Span(*device, Dtype::kBf16, false, k, m, n) == columns);
  CHECK(Span(*device, Dtype::kFp8E4M3, true, k, m, n) == columns / 2);
  CHECK(Span(*device, Dtype::kFp8E5M2, true, k, m, n) == columns / 2);
  CHECK(Span(*device, Dtype::kInt8, true, k, m, n) == columns / 2);
}

}  // namespace dither
