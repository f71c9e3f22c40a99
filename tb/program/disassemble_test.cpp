// Text and encoding are inverses, for instructions that make sense and for any 64 bytes.
#include <catch2/catch.hpp>

#include <random>

#include "sim/program/builder.hpp"
#include "sim/program/disassemble.hpp"

namespace dither {
namespace {
using isa::Dtype;
using isa::Queue;
}  // namespace

TEST_CASE("an instruction reads as what it does", "[disassemble]") {
  ProgramBuilder b(isa::kConfigs[1]);
  const Tensor w = b.Sbuf("w", Dtype::kBf16, {16, 16}), x = b.Sbuf("x", Dtype::kFp8E4M3, {16, 40});
  const Tensor c = b.PsumBank("c", 1, Dtype::kFp32, {16, 40});
  const Tensor y = b.Sbuf("y", Dtype::kBf16, {16, 40});
  b.Matmul(c, w, x, {.accumulate = true}, {{{7, 2}}, Signal{3, 1}, false});
  b.Act(isa::ActFunc::kRelu, y, c, 0.5f, 1.0f, {isa::Round::kSr, true}, {{}, Signal{1, -4}, true});
  b.Reduce(isa::RedFunc::kMax, y.Slice(1, 0, 1), c);
  b.Elementwise(isa::VecFunc::kMul, y, c, 2.0f);
  b.Copy(Queue::kDma1, Tensor::Dram("d", 0x1000, Dtype::kBf16, {16, 40}), y);
  const auto text = [&](Queue queue, std::size_t i) {
    return Disassemble(queue, b.program()[queue][i]);
  };
  CHECK(text(Queue::kTensor, 0) ==
        "matmul size=40 dst=psum:fp32:p0+16:0x800:s1 src0=sbuf:fp8e4m3:p0+16:0x40:s1 "
        "src1=sbuf:bf16:p0:0x0:s1 acc wait=7>=2 sig=3+1");
  CHECK(text(Queue::kScalar, 0) ==
        "act.relu size=40 dst=sbuf:bf16:p0+16:0x80:s1 src0=psum:fp32:p0+16:0x800:s1 imm "
        "imm0=0x3f000000 imm1=0x3f800000 round=sr sat sig=1-4 irq");
  CHECK(text(Queue::kVector, 0) ==
        "reduce.max size=40 dst=sbuf:bf16:p0+16:0x80:s0 src0=psum:fp32:p0+16:0x800:s1");
  CHECK(text(Queue::kVector, 1) ==
        "tensor.mul size=40 dst=sbuf:bf16:p0+16:0x80:s1 src0=psum:fp32:p0+16:0x800:s1 imm "
        "imm0=0x40000000");
  CHECK(text(Queue::kDma1, 0) ==
        "copy size=40,16 dst=dram:0x1000:bf16:s2,80 src=sbuf:p0:0x80:bf16:s2,1p0");
  const Tensor w32 = b.Sbuf("w32", Dtype::kFp32, {4, 3});
  b.Matmul(b.PsumBank("p", 0, Dtype::kFp32, {3, 3}), w32, w32,
           {.moving_piece = 2, .stationary_piece = 1, .tiles = 4});
  b.TransposeByte(b.PsumBank("t", 0, Dtype::kInt32, {3, 4}), w32, 3);
  CHECK(text(Queue::kTensor, 1) ==
        "matmul size=3 dst=psum:fp32:p0+3:0x0:s1 src0=sbuf:fp32:p0+4:0x100:s1 "
        "src1=sbuf:fp32:p0:0x100:s1 piece0=2 piece1=1 tiles=4");
  CHECK(text(Queue::kTensor, 2) ==
        "transpose.byte size=4 dst=psum:int32:p0+3:0x0:s1 src0=sbuf:0:p0+4:0x0:s0 "
        "src1=sbuf:fp32:p0:0x100:s1 piece1=3");
  for (const Queue queue : isa::kAllQueue) {
    for (const auto& e : b.program()[queue]) CHECK(Assemble(queue, Disassemble(queue, e)) == e);
  }
}

TEST_CASE("any 64 bytes survive the way through text", "[disassemble]") {
  std::mt19937 random(5);
  for (int trial = 0; trial < 20000; ++trial) {
    const Queue queue = isa::kAllQueue[random() % 5];
    isa::Encoded e{};
    for (auto& byte : e) {
      byte = static_cast<std::uint8_t>(random());
      if (trial % 3 == 1 && random() % 2 != 0) byte = 0;
    }
    // Mostly a known opcode without reserved bits; the rest must survive as raw bytes.
    if (trial % 4 != 0) {
      e[0] = static_cast<std::uint8_t>(isa::kAllOp[random() % isa::kAllOp.size()]);
      const bool dma = queue == Queue::kDma0 || queue == Queue::kDma1;
      e = dma ? Encode(isa::DecodeDmaInstr(e)) : Encode(isa::DecodeEngineInstr(e));
    }
    const std::string text = Disassemble(queue, e);
    INFO(text);
    REQUIRE(Assemble(queue, text) == e);
    REQUIRE(text.find('\n') == std::string::npos);
  }
}

TEST_CASE("text that is no instruction is refused at the word that is wrong", "[disassemble]") {
  CHECK_THROWS_WITH(Assemble(Queue::kTensor, "mul size=4"), Catch::Contains("'mul'"));
  CHECK_THROWS_WITH(Assemble(Queue::kVector, "matmul"), Catch::Contains("no such instruction"));
  CHECK_THROWS_WITH(Assemble(Queue::kVector, "tensor.add size=4,x"), Catch::Contains("'size=4,x'"));
  CHECK_THROWS_WITH(Assemble(Queue::kVector, "tensor.add size=65536"), Catch::Contains("range"));
  CHECK_THROWS_WITH(Assemble(Queue::kVector, "tensor.add dst=sbuf:bf16"),
                    Catch::Contains("operand"));
  CHECK_THROWS_WITH(Assemble(Queue::kDma0, "copy frobnicate"), Catch::Contains("unknown word"));
  CHECK_THROWS_WITH(Assemble(Queue::kDma0, "raw 00"), Catch::Contains("128"));
}

}  // namespace dither
