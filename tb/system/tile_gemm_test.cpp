// Tile GEMMs as whole programs, against the golden kernel.
#include "sim/program/tile_gemm.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;

// Every element; the bound is that of tb/system/gemm_test.cpp. The operands' neighbours in DRAM and SBUF's old contents
// are NaN: what is read too much shows.
void CheckTileGemm(Device& device, std::uint32_t k, std::uint32_t m, std::uint32_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(random); };
  const std::uint64_t mark = device.Mark();
  std::vector<double> a_values, b_values;
  const auto guard = [&] { device.WriteArray(device.Allocate(256), std::vector<std::uint16_t>(128, 0x7fc0)); };
  guard();
  TileGemmSpec spec;
  spec.a = tb::RandomTensor(device, "a", Dtype::kBf16, {k, m}, draw, &a_values);
  guard();
  spec.b = tb::RandomTensor(device, "b", Dtype::kBf16, {k, n}, draw, &b_values);
  guard();
  spec.c = tb::EmptyTensor(device, "c", Dtype::kFp32, {m, n});
  guard();
  const std::uint32_t zeros = 16 * device.config().rows;
  spec.zeros = Tensor::Dram("zeros", device.Allocate(2 * zeros), Dtype::kBf16, {zeros});
  device.WriteArray(spec.zeros.address, std::vector<std::uint16_t>(zeros));
  const std::vector<std::uint16_t> nan(device.config().sbuf_bytes / 2, 0x7fc0);
  for (std::uint32_t p = 0; p < device.config().rows; ++p) {
    device.WriteSbuf(p, 0, std::as_bytes(std::span(nan)));
  }
  for (const Program& program : BuildTileGemm(device.config(), spec)) device.Run(program);

  golden::Matrix magnitude;
  const golden::Matrix want = golden::Matmul(tb::AsMatrix(k, m, a_values), tb::AsMatrix(k, n, b_values), &magnitude);
  const auto got = tb::Values(device, spec.c);
  const double stripes = (k + device.config().rows - 1) / device.config().rows;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = magnitude.values[i] * (stripes + 4) * std::ldexp(1, -22) + 1e-30;
    INFO("k " << k << " m " << m << " n " << n << " element " << i);
    REQUIRE(std::fabs(got[i] - want.values[i]) <= bound);
  }
  device.Release(mark);
}

}  // namespace

TEST_CASE("a tile GEMM of any shape around the array's size is right in every element", "[tile_gemm]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t p = device->config().rows;
  const std::vector<std::uint32_t> edge = {1, 2, p / 2, p - 1, p, p + 1, 2 * p + 3, 37};
  unsigned seed = 1;
  for (const std::uint32_t k : edge) {
    for (const std::uint32_t m : edge) {
      CheckTileGemm(*device, k, m, edge[(seed * 5 + 1) % edge.size()], seed);
      ++seed;
    }
  }
}

TEST_CASE("short sides are packed: many stripes, few rows and columns", "[tile_gemm]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  unsigned seed = 1;
  for (const std::uint32_t k : {100u, 128u, 333u}) {
    for (const auto& [m, n] : {std::pair{1u, 1u}, {1u, 3u}, {3u, 2u}, {4u, 4u}, {5u, 7u}, {8u, 6u}}) {
      REQUIRE(PlanTileGemm(isa::kConfigs[1], k, m, n).pack > 1);
      CheckTileGemm(*device, k, m, n, seed++);
    }
  }
}

TEST_CASE("slabs, rings and results over used tiles give the same products", "[tile_gemm]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  if (device->config().name == "nano") {
    REQUIRE(PlanTileGemm(device->config(), 100, 200, 300).slabs.size() > 1);
    CheckTileGemm(*device, 100, 200, 300, 1);
    REQUIRE(PlanTileGemm(device->config(), 8, 300, 140).slabs.size() > 1);
    CheckTileGemm(*device, 8, 300, 140, 2);
    REQUIRE(PlanTileGemm(device->config(), 30, 104, 310).slabs[0].place == ResultPlace::kRing);
    CheckTileGemm(*device, 30, 104, 310, 3);
    CheckTileGemm(*device, 40, 30, 530, 4);  // two blocks of moving columns
  } else {
    REQUIRE(PlanTileGemm(device->config(), 1000, 240, 272).slabs[0].place == ResultPlace::kOverStationary);
    CheckTileGemm(*device, 1000, 240, 272, 1);
  }
}

}  // namespace dither
