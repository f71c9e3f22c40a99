// Matrix products that keep the array busy: C[M][N] = A[K][M]^T * B[K][N], operands resident in SBUF
// before the first column, results leaving while the next ones are computed.
//
//   DRAM --DMA 0, 1--> SBUF: S stripes of A and B --array--> PSUM bank i % 8 --vector, scalar--> SBUF --DMA--> DRAM
//
// The planner chooses which operand is stationary, the slabs of a product that SBUF does not hold at once, and
// where the results wait. The bound and the choices: docs/blocks/tensor_engine.md, "How busy it can be".
//
// Test  tb/program/tile_gemm_test.cpp, tb/system/tile_gemm_test.cpp; figures: make bench-gemm
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/program/builder.hpp"

namespace dither {

// What the tiles of a product allow on `rows` x `rows` PEs.
struct TileBound {
  std::uint64_t columns = 0;  // moving columns that have to be issued: cycles of any schedule
  bool b_stationary = false;  // the choice that needs so few
};
TileBound BoundOfGemm(std::uint32_t rows, std::uint32_t k, std::uint32_t m, std::uint32_t n);

// Where the results of a slab wait for their DMA.
enum class ResultPlace : std::uint8_t {
  kWhole,          // all of them have a place in SBUF
  kRing,           // four slots, used in turn
  kOverStationary  // two slots over the stationary tiles that were used first: the operands fill SBUF
};

struct TileGemmPlan {
  std::uint32_t rows = 0, k = 0;
  bool b_stationary = false;
  std::uint32_t stationary = 0, moving = 0;  // columns of the two operands
  std::uint32_t stripes = 0;                 // of the contraction, rows each
  std::uint32_t pack = 1;                    // stripes side by side in one instruction
  struct Slab {
    std::uint32_t first_stationary, stationary, first_moving, moving;
    ResultPlace place;
  };
  std::vector<Slab> slabs;
  std::uint64_t columns = 0;  // that the programs issue
};
TileGemmPlan PlanTileGemm(const isa::Config& config, std::uint32_t k, std::uint32_t m, std::uint32_t n);

struct TileGemmSpec {
  // DRAM [K][M] and [K][N] of bf16 or fp16, or [K/2][M] and [K/2][N] pairs of fp8 or int8 (Tensor::Paired): half the cycles.
  Tensor a;
  Tensor b;
  Tensor c;      // DRAM [M][N], fp32; quick if the side that moves is the one whose elements touch
  Tensor zeros;  // DRAM, at least Rows * 16 zero elements of two bytes; used if the plan packs stripes
};

// One program for each slab, to be run one after the other.
std::vector<Program> BuildTileGemm(const isa::Config& config, const TileGemmSpec& spec);

}  // namespace dither
