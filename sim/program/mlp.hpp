// Inference of a multilayer perceptron on a batch: activations [features][batch], features on
// partitions.
//
// Per layer: matmul, then func(x + bias) by the scalar engine from PSUM to SBUF; hidden activations
// stay on chip, weights stream from DRAM. A batch larger than what fits runs in several passes of
// one program. Schedule: layer.hpp. Test  tb/system/mlp_test.cpp
#pragma once

#include <vector>

#include "sim/program/builder.hpp"

namespace dither {

struct MlpLayer {
  Tensor weights;  // DRAM [K][M], bf16 or fp8
  Tensor bias;     // DRAM fp32 [M]
  isa::ActFunc func = isa::ActFunc::kRelu;
};

struct MlpSpec {
  Tensor input;  // DRAM [features][batch], bf16 or fp8
  std::vector<MlpLayer> layers;
  Tensor output;  // DRAM [classes][batch], usually fp32
  isa::Dtype hidden = isa::Dtype::kBf16;
  Narrowing narrowing;           // of hidden activations and of the output
  std::uint32_t pass_columns = 0;  // most pictures of a pass; 0: as many as fit, at most 512
};

void BuildMlp(ProgramBuilder& builder, const MlpSpec& spec);
Program BuildMlp(const isa::Config& config, const MlpSpec& spec);

}  // namespace dither
