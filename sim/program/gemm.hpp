// Matrix product programs, DRAM to DRAM, any size: C[M][N] = A[K][M]^T * B[K][N].
//
// A lies with the contraction outside ([K][M]), as weights do; hand over A.Transpose(0, 1) for a
// matrix stored as [M][K], which works but is loaded element by element. Schedule: layer.hpp.
//
// Test  tb/system/gemm_test.cpp
#pragma once

#include "sim/program/builder.hpp"
#include "sim/program/layer.hpp"

namespace dither {

struct GemmSpec {
  Tensor a;  // DRAM [K][M], bf16 or fp8
  Tensor b;  // DRAM [K][N], bf16 or fp8
  Tensor c;  // DRAM [M][N], any dtype
  Evacuate evacuate = Evacuate::kBoth;  // engines that move PSUM to SBUF
  isa::ActFunc func = isa::ActFunc::kIdentity;
  Narrowing narrowing;  // of C; stochastic results depend on `evacuate`
};

void BuildGemm(ProgramBuilder& builder, const GemmSpec& spec);
Program BuildGemm(const isa::Config& config, const GemmSpec& spec);

}  // namespace dither
