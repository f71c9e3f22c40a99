// The planner of tile GEMMs: its bound, and what its programs issue, without running them.
#include "sim/program/tile_gemm.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "sim/data/random.hpp"

namespace dither {
namespace {

using isa::Queue;

const isa::Config& Config(std::string_view name) {
  for (const isa::Config& c : isa::kConfigs)
    if (c.name == name) return c;
  throw std::runtime_error("no such configuration");
}

TileGemmSpec Spec(std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  return {Tensor::Dram("a", 1 << 20, isa::Dtype::kBf16, {k, m}), Tensor::Dram("b", 4 << 20, isa::Dtype::kBf16, {k, n}),
          Tensor::Dram("c", 8 << 20, isa::Dtype::kFp32, {m, n}), Tensor::Dram("zeros", 0, isa::Dtype::kBf16, {2048})};
}

std::uint32_t Columns(const isa::EngineInstr& i) {
  return std::uint32_t{i.size[0]} * i.size[1] * i.size[2] * i.size[3];
}

std::vector<isa::EngineInstr> Matmuls(const Program& program) {
  std::vector<isa::EngineInstr> list;
  for (const isa::Encoded& e : program[Queue::kTensor]) {
    if (static_cast<isa::Op>(e[0]) == isa::Op::kMatmul) list.push_back(isa::DecodeEngineInstr(e));
  }
  return list;
}

}  // namespace

TEST_CASE("the bound of a product is the smaller of both choices of the stationary operand", "[tile_gemm][directed]") {
  const auto bound = [](std::uint32_t k, std::uint32_t m, std::uint32_t n) { return BoundOfGemm(16, k, m, n).columns; };
  CHECK(bound(1, 1, 1) == 1);
  CHECK(bound(16, 16, 16) == 16);
  CHECK(bound(17, 16, 16) == 32);
  CHECK(bound(64, 64, 64) == 4 * 4 * 64);
  CHECK(bound(512, 512, 512) == 32 * 32 * 512);
  CHECK(bound(1024, 1024, 1024) == 64 * 64 * 1024);
  CHECK(bound(16, 17, 300) == 19 * 17);  // B stationary: 19 tiles, 17 columns; A: 2 tiles, 300 columns
  CHECK(bound(16, 300, 17) == 19 * 17);
  CHECK(bound(32, 1000, 5) == 2 * 1000);  // a tile of 5 stationary columns; the other choice loads 1000
  CHECK(bound(32, 5, 1000) == 2 * 1000);
  CHECK(bound(160, 3, 7) == 10 * 7);
  CHECK(BoundOfGemm(16, 16, 300, 5).b_stationary);
  CHECK_FALSE(BoundOfGemm(16, 16, 5, 300).b_stationary);
  CHECK(BoundOfGemm(16, 16, 24, 12).b_stationary);  // as many columns either way, but a tile of 16 loads longer than 12
  CHECK_FALSE(BoundOfGemm(16, 64, 64, 64).b_stationary);
}

TEST_CASE("no product needs fewer columns than its PEs, loads and moves allow", "[tile_gemm][random]") {
  SplitMix64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint32_t rows = 8u << random.Below(3), k = 1 + random.Below(1024), m = 1 + random.Below(1024),
                        n = 1 + random.Below(i % 2 ? 1024 : 24);
    CAPTURE(rows, k, m, n);
    const std::uint64_t columns = BoundOfGemm(rows, k, m, n).columns, stripes = (k + rows - 1) / rows;
    CHECK(columns >= stripes * std::max(m, n));  // either enters a column a cycle, for every stripe
    CHECK(columns * rows >= stripes * m * n);    // a cycle has a result in each array column at most
    CHECK(columns == BoundOfGemm(rows, k, n, m).columns);
    CHECK(columns <= BoundOfGemm(rows, k + 1, m + 1, n).columns);
  }
}

TEST_CASE("programs issue exactly the bound's columns and no tile waits for its load", "[tile_gemm][random]") {
  const isa::Config& config = Config(GENERATE("nano", "tiny", "small"));
  SplitMix64 random(GENERATE(1, 2));
  for (int i = 0; i < 150; ++i) {
    const auto side = [&] { return 1 + random.Below(std::uint32_t{4} << random.Below(8)); };
    const std::uint32_t k = side(), m = side(), n = side();
    CAPTURE(config.name, k, m, n);
    const TileGemmPlan plan = PlanTileGemm(config, k, m, n);
    const auto programs = BuildTileGemm(config, Spec(k, m, n));
    REQUIRE(programs.size() == plan.slabs.size());
    std::uint64_t columns = 0, area = 0;
    for (std::size_t s = 0; s < programs.size(); ++s) {
      const auto list = Matmuls(programs[s]);
      for (std::size_t j = 0; j < list.size(); ++j) {
        columns += Columns(list[j]);
        CHECK(list[j].part_d == 0);  // else a load takes longer
        if (j + 1 < list.size()) {
          CHECK(Columns(list[j]) >= list[j + 1].parts_d);
          // A sum is wanted again when it has been written (4 cycles after it was read, tensor_engine.md).
          if (list[j + 1].acc && list[j + 1].off_d == list[j].off_d) CHECK(Columns(list[j]) > 4);
        }
      }
      area += std::uint64_t{plan.slabs[s].stationary} * plan.slabs[s].moving;
    }
    CHECK(columns == BoundOfGemm(config.rows, k, m, n).columns);
    CHECK(area == std::uint64_t{m} * n);
  }
}

TEST_CASE("512 x 512 x 512 is one slab, on tiny with SBUF full of operands", "[tile_gemm][directed]") {
  const TileGemmPlan tiny = PlanTileGemm(Config("tiny"), 512, 512, 512);
  REQUIRE(tiny.slabs.size() == 1);
  CHECK(tiny.slabs[0].place == ResultPlace::kOverStationary);
  std::uint64_t bytes = 0;
  const auto programs = BuildTileGemm(Config("tiny"), Spec(512, 512, 512));
  for (const isa::Encoded& e : programs[0][Queue::kDma0]) {
    const isa::DmaInstr i = isa::DecodeDmaInstr(e);
    if (i.dst_addr >> 44 == 1) bytes += std::uint64_t{2} * i.size[0] * i.size[1] * i.size[2] * i.size[3];
  }
  CHECK(2 * bytes == 16 * 65536);  // A; B has as many
  CHECK(PlanTileGemm(Config("small"), 512, 512, 512).slabs.size() == 1);
}

TEST_CASE("every product up to 1024 a side has a plan whose slabs fit", "[tile_gemm][random]") {
  // A slab a column narrower than the first puts two tiles into a bank: more results, not less.
  CHECK_NOTHROW(BuildTileGemm(Config("tiny"), Spec(1007, 1022, 880)));
  SplitMix64 random(5);
  const auto side = [&] { return 1 + random.Below(1024); };
  for (int i = 0; i < 300; ++i) {
    const std::uint32_t k = side(), m = side(), n = side();
    CAPTURE(k, m, n);
    for (const char* name : {"tiny", "small"}) {
      CHECK_NOTHROW(BuildTileGemm(Config(name), Spec(k, m, n)));
    }
  }
}

TEST_CASE("a tile GEMM of operands that do not fit together is refused by name", "[tile_gemm][directed]") {
  const isa::Config& config = Config("nano");
  TileGemmSpec spec = Spec(8, 9, 10);
  spec.b = Tensor::Dram("right", 0, isa::Dtype::kBf16, {7, 10});
  CHECK_THROWS_WITH(BuildTileGemm(config, spec), Catch::Contains("right bf16[7][10]"));
  spec = Spec(8, 9, 10);
  spec.c = Tensor::Dram("result", 0, isa::Dtype::kBf16, {9, 10});
  CHECK_THROWS_WITH(BuildTileGemm(config, spec),
                    Catch::Contains("result bf16[9][10]") && Catch::Contains("fp32[9][10]"));
  spec = Spec(8, 9, 10);
  spec.a = Tensor::Dram("left", 0, isa::Dtype::kFp32, {8, 9});
  CHECK_THROWS_WITH(BuildTileGemm(config, spec), Catch::Contains("left fp32[8][9]"));
  CHECK_THROWS_WITH(PlanTileGemm(config, 0, 1, 1), Catch::Contains("dimension is 0"));
  CHECK_THROWS_WITH(PlanTileGemm(config, 1 << 16, 64, 64), Catch::Contains("no slab fits"));
}

}  // namespace dither
