// The builder's limits: each message names the operand, its shape and the limit; nothing is
// emitted.
#include <catch2/catch.hpp>

#include "sim/program/builder.hpp"
#include "sim/program/disassemble.hpp"

namespace dither {
namespace {

using Catch::Contains;
using isa::Dtype;
using isa::Queue;
using isa::VecFunc;

Tensor Sbuf(std::string name, Dtype dtype, const std::vector<std::uint32_t>& shape,
            std::uint32_t part = 0, std::uint64_t offset = 0) {
  return Tensor::OnChip(std::move(name), Place::kSbuf, dtype, part, offset, shape);
}
Tensor Psum(std::string name, const std::vector<std::uint32_t>& shape, std::uint32_t part = 0,
            std::uint64_t offset = 0) {
  return Tensor::OnChip(std::move(name), Place::kPsum, Dtype::kFp32, part, offset, shape);
}

}  // namespace

TEST_CASE("views move the address and the steps, never the data", "[tensor]") {
  const Tensor t = Tensor::Dram("t", 0x100, Dtype::kBf16, {4, 6, 8});
  CHECK(t.Describe() == "t bf16[4][6][8] in DRAM @0x100");
  CHECK(t.Slice(1, 2, 3).address == 0x100 + 2 * 2 * 8);
  CHECK(t.Transpose(0, 2).dims[0] == Dim{8, 1, 0});
  CHECK(t.Split(2, 4).Merge(2).dims == t.dims);
  CHECK(t.Merge(0).Shape() == std::vector<std::uint32_t>{24, 8});
  CHECK(t.Permute({2, 0, 1}).Shape() == std::vector<std::uint32_t>{8, 4, 6});
  CHECK(t.Slice(0, 1, 1).Broadcast(0, 9).dims[0] == Dim{9, 0, 0});
  CHECK(t.Insert(1).Shape() == std::vector<std::uint32_t>{4, 1, 6, 8});
  const Tensor s = Sbuf("s", Dtype::kFp32, {16, 5}, 2, 0x40);
  CHECK(s.Slice(0, 3, 4).part == 5);
  CHECK(s.Slice(0, 3, 4).address == 0x40);
  CHECK(s.Describe() == "s fp32[16][5] in SBUF p2 @0x40");
  CHECK_THROWS_WITH(t.Slice(1, 4, 3), Contains("t bf16[4][6][8]") &&
                                          Contains("slice 4+3 is outside dimension 1 of size 6"));
  CHECK_THROWS_WITH(t.Slice(3, 0, 1), Contains("no dimension 3"));
  CHECK_THROWS_WITH(t.Broadcast(0, 3), Contains("size 4, not 1"));
  CHECK_THROWS_WITH(t.Split(1, 4), Contains("4 does not divide dimension 1 of size 6"));
  CHECK_THROWS_WITH(t.Slice(2, 0, 5).Merge(1), Contains("do not lie one behind the other"));
  CHECK_THROWS_WITH(t.Permute({0, 0, 1}), Contains("every dimension once"));
  CHECK_THROWS_WITH(Tensor::Dram("empty", 0, Dtype::kInt8, {3, 0}),
                    Contains("dimension 1 is empty"));
}

TEST_CASE("a refused instruction names operand, shape and limit, and leaves nothing", "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);  // nano: 8 partitions of 16384 bytes
  const Sync waits = {{{0, 1}, {1, 1}}, {}, false};
  const auto x = Sbuf("x", Dtype::kBf16, {8, 16});
  CHECK_THROWS_WITH(b.Cast(Sbuf("far", Dtype::kBf16, {8, 16}, 0, 16384 - 16), x, {}, waits),
                    Contains("destination (far bf16[8][16] in SBUF p0 @0x3ff0)") &&
                        Contains("SBUF address out of range at byte 16399") &&
                        Contains("16384 bytes"));
  CHECK_THROWS_WITH(b.Cast(Psum("p", {8, 16}, 0, 16384 - 32), x),
                    Contains("PSUM address out of range") && Contains("16384"));
  CHECK_THROWS_WITH(b.Cast(Sbuf("odd", Dtype::kFp32, {8, 16}, 0, 2), x),
                    Contains("odd fp32[8][16]") && Contains("misaligned"));
  CHECK_THROWS_WITH(b.Cast(Sbuf("wide", Dtype::kBf16, {9, 16}), Sbuf("w2", Dtype::kBf16, {9, 16})),
                    Contains("wide bf16[9][16]") && Contains("bad partition"));
  CHECK_THROWS_WITH(b.Cast(x, Sbuf("shifted", Dtype::kBf16, {7, 16}, 1)),
                    Contains("shifted bf16[7][16] in SBUF p1") && Contains("same partitions"));
  CHECK_THROWS_WITH(
      b.Cast(x, Sbuf("short", Dtype::kBf16, {8, 15})),
      Contains("short bf16[8][15]") && Contains("does not fit [16] of destination (x"));
  CHECK_THROWS_WITH(b.Cast(x, Tensor::Dram("d", 0, Dtype::kBf16, {8, 16})),
                    Contains("d bf16[8][16] in DRAM") && Contains("engines don't reach DRAM"));
  CHECK_THROWS_WITH(b.Cast(x, x.Transpose(0, 1)), Contains("neighbouring partitions"));
  CHECK_THROWS_WITH(b.Cast(Tensor::OnChip("half", Place::kPsum, Dtype::kBf16, 0, 0, {8, 16}), x),
                    Contains("half bf16[8][16] in PSUM") && Contains("bad dtype"));
  CHECK_THROWS_WITH(
      b.Elementwise(VecFunc::kAdd, x, x, Sbuf("y", Dtype::kBf16, {8, 2})), Contains("source 1 (y"));
  CHECK_THROWS_WITH(b.Elementwise(VecFunc::kCopy, x, x, x), Contains("use Cast"));
  const Tensor huge = Sbuf("huge", Dtype::kInt8, {1, 1}).Broadcast(1, 70000);
  CHECK_THROWS_WITH(b.Cast(huge, huge), Contains("huge int8[1][70000]") && Contains("1..65535"));
  const Tensor far_step = Sbuf("jumpy", Dtype::kInt8, {1, 40000, 2}).Transpose(1, 2);
  Tensor step = far_step;
  step.dims[1].step = 40000;
  CHECK_THROWS_WITH(b.Cast(step, step), Contains("stride in elements, 40000") && Contains("32767"));
  for (const Queue queue : isa::kAllQueue) CHECK(b.program()[queue].empty());
}

TEST_CASE("a matmul's three operands must agree", "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);
  const auto x = Sbuf("x", Dtype::kBf16, {5, 16}), w = Sbuf("w", Dtype::kBf16, {5, 3}, 0, 0x100);
  const auto c = Psum("c", {3, 16});
  b.Matmul(c, w, x);
  CHECK_THROWS_WITH(b.Matmul(c, w.Slice(0, 0, 4), x),
                    Contains("w bf16[4][3]") && Contains("contracted"));
  CHECK_THROWS_WITH(b.Matmul(Psum("c4", {4, 16}), w, x), Contains("3 columns") &&
                                                             Contains("c4 fp32[4][16]") &&
                                                             Contains("4 partitions"));
  CHECK_THROWS_WITH(b.Matmul(c, w, x.Slice(1, 0, 9)), Contains("moving (x bf16[5][9]"));
  CHECK_THROWS_WITH(b.Matmul(Sbuf("s", Dtype::kFp32, {3, 16}), w, x),
                    Contains("destination (s fp32") && Contains("bad memory space"));
  CHECK_THROWS_WITH(b.Matmul(c, Sbuf("w8", Dtype::kInt8, {5, 3}), x),
                    Contains("stationary (w8 int8[5][3]") && Contains("bad dtype"));
  CHECK_THROWS_WITH(b.Matmul(c, Sbuf("w32", Dtype::kFp32, {5, 3}), x),
                    Contains("stationary (w32 fp32[5][3]") && Contains("in 3 pieces"));
  CHECK_THROWS_WITH(b.Matmul(c, w, x, {.moving_piece = 1}),
                    Contains("moving (x bf16[5][16]") && Contains("bad dtype"));
  CHECK_THROWS_WITH(b.Matmul(c, w, x, {.tiles = 2}), Contains("bad partition"));
  CHECK_THROWS_WITH(b.Matmul(c, w, x, {.tiles = 3}), Contains("3 tiles"));
  CHECK(b.program()[Queue::kTensor].size() == 1);
}

TEST_CASE("a product in pieces is a matmul a pair, the smallest first, the last one with its own tile",
          "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);
  const auto x = Sbuf("x", Dtype::kFp32, {5, 16}), w = Sbuf("w", Dtype::kFp16, {5, 3}, 0, 0x400);
  const auto c = Psum("c", {3, 16});
  const Sync sync{{{4, 9}}, Signal{3, 1}, true};
  REQUIRE(b.MatmulPieces(c, {{w, x}}, false, sync) == 6);
  const auto& queue = b.program()[Queue::kTensor];
  REQUIRE(queue.size() == 6);
  for (std::size_t n = 0; n < 6; ++n) {
    const auto i = isa::DecodeEngineInstr(queue[n]);
    CAPTURE(n);
    CHECK(i.piece_1 == 1 - n / 3);
    CHECK(i.piece_0 == 2 - n % 3);
    CHECK(i.acc == (n != 0));
    CHECK(i.reuse == (n == 1 || n == 2 || n == 4));
    CHECK(i.wait_en == (n == 0));
    CHECK(i.sig_en == (n == 5));
    CHECK(i.irq == (n == 5));
  }
  // Two stripes: a pass over both before the next pass; nothing stays.
  REQUIRE(b.MatmulPieces(c, {{w, x}, {w, x}}, true) == 12);
  for (std::size_t n = 6; n < 18; ++n) {
    const auto i = isa::DecodeEngineInstr(b.program()[Queue::kTensor][n]);
    CHECK(i.piece_0 == 2 - (n - 6) / 2 % 3);
    CHECK((i.acc == 1 && i.reuse == 0));
  }
  CHECK_THROWS_WITH(b.MatmulPieces(c, {{w, x}, {x, x}}), Contains("same dtypes"));
  CHECK_THROWS_WITH(b.MatmulPieces(c, {{Sbuf("i", Dtype::kInt8, {5, 3}), x}}),
                    Contains("no float"));
}

TEST_CASE("a transpose is an instruction a byte and needs the turned shape", "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);
  const auto x = Sbuf("x", Dtype::kFp32, {5, 3});
  b.Transpose(Psum("c", {3, 5}), x, {{{4, 9}}, Signal{3, 1}, false});
  REQUIRE(b.program()[Queue::kTensor].size() == 4);
  for (std::size_t n = 0; n < 4; ++n) {
    const auto i = isa::DecodeEngineInstr(b.program()[Queue::kTensor][n]);
    CHECK((i.piece_1 == n && i.acc == (n != 0) && i.wait_en == (n == 0) && i.sig_en == (n == 3)));
  }
  CHECK_THROWS_WITH(b.Transpose(Psum("c", {5, 3}), x), Contains("must be [M][K]"));
  CHECK_THROWS_WITH(b.TransposeByte(Psum("c", {3, 5}), x, 4), Contains("byte 4 is outside"));
  CHECK(b.program()[Queue::kTensor].size() == 4);
}

TEST_CASE("a reduction's destination has what is left of the source", "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);
  const auto x = Sbuf("x", Dtype::kFp32, {8, 3, 4, 5});
  b.Reduce(isa::RedFunc::kSum, Sbuf("y", Dtype::kFp32, {8, 3, 4}), x, 1);
  b.Reduce(isa::RedFunc::kSum, Sbuf("y", Dtype::kFp32, {8, 3, 1}), x, 2);
  b.Reduce(isa::RedFunc::kSum, Sbuf("y", Dtype::kFp32, {8, 1}), x, 3);
  CHECK_THROWS_WITH(b.Reduce(isa::RedFunc::kSum, Sbuf("y", Dtype::kFp32, {8, 4}), x, 2),
                    Contains("y fp32[8][4]") && Contains("x fp32[8][3][4][5]") && Contains("[3]"));
  CHECK_THROWS_WITH(b.Reduce(isa::RedFunc::kMax, x, x, 4), Contains("can't reduce 4 dimensions"));
  CHECK(isa::DecodeEngineInstr(b.program()[Queue::kVector][1]).rdims == 1);
}

TEST_CASE("a copy folds dimensions into long rows and refuses what DMA can't do", "[builder]") {
  ProgramBuilder b(isa::kConfigs[1], 0x1000, 0x2000);
  const auto chip = Sbuf("chip", Dtype::kBf16, {16, 2, 16});
  const auto dram = Tensor::Dram("dram", 0x1000, Dtype::kBf16, {16, 2, 16});
  b.Copy(Queue::kDma0, chip, dram);
  CHECK(Disassemble(Queue::kDma0, b.program()[Queue::kDma0][0]) ==
        "copy size=32,16 dst=sbuf:p0:0x0:bf16:s2,1p0 src=dram:0x1000:bf16:s2,64");
  CHECK_THROWS_WITH(b.Copy(Queue::kVector, chip, dram), Contains("vector is no DMA ring"));
  CHECK_THROWS_WITH(b.Copy(Queue::kDma0, Psum("p", {16, 4}), Psum("p", {16, 4})),
                    Contains("DMA doesn't reach PSUM"));
  CHECK_THROWS_WITH(
      b.Copy(Queue::kDma0, chip, Tensor::Dram("d", 0x1000, Dtype::kFp16, {16, 2, 16})),
      Contains("DMA doesn't convert"));
  CHECK_THROWS_WITH(b.Copy(Queue::kDma0, chip, dram.Transpose(1, 2)), Contains("another shape"));
  CHECK_THROWS_WITH(
      b.Copy(Queue::kDma0, chip, Tensor::Dram("d", 0x1f00, Dtype::kBf16, {16, 2, 16})),
      Contains("DRAM address outside the window at 0x22ff") && Contains("0x1000..0x2000"));
}

TEST_CASE("a gather or scatter needs rows of one shape and an index for each", "[builder]") {
  ProgramBuilder b(isa::kConfigs[1], 0x1000, 0x2000);
  const auto table = Tensor::Dram("table", 0x1000, Dtype::kBf16, {40, 2, 16});
  const auto rows = Sbuf("rows", Dtype::kBf16, {16, 2, 16});
  const auto list = Sbuf("list", Dtype::kInt32, {1, 16}, 3, 0x100);
  b.Gather(Queue::kDma0, rows, table, list);
  b.Scatter(Queue::kDma1, table.Slice(1, 1, 1), rows.Slice(1, 0, 1), list);
  CHECK(Disassemble(Queue::kDma0, b.program()[Queue::kDma0][0]) ==
        "gather size=32,1,16 dst=sbuf:p0:0x0:bf16:s2,0,1p0 src=dram:0x1000:bf16:s2,0,64 list=p3:0x100 limit=40");
  CHECK(Disassemble(Queue::kDma1, b.program()[Queue::kDma1][0]) ==
        "scatter size=16,1,16 dst=dram:0x1020:bf16:s2,0,64 src=sbuf:p0:0x0:bf16:s2,0,1p0 list=p3:0x100 limit=40");
  CHECK(Assemble(Queue::kDma0, "gather limit=40 list=p3:0x100 size=32,1,16 dst=sbuf:p0:0x0:bf16:s2,0,1p0 "
                               "src=dram:0x1000:bf16:s2,0,64") == b.program()[Queue::kDma0][0]);
  CHECK_THROWS_WITH(Assemble(Queue::kDma0, "copy limit=4"), Contains("unknown word"));
  CHECK_THROWS_WITH(Assemble(Queue::kDma0, "gather list=0x100"), Contains("pN:OFFSET"));
  const auto refused = [&](const Tensor& d, const Tensor& t, const Tensor& l, const char* why) {
    CHECK_THROWS_WITH(b.Gather(Queue::kDma0, d, t, l), Contains(why));
    CHECK_THROWS_WITH(b.Scatter(Queue::kDma0, t, d, l), Contains(why));
  };
  refused(rows, rows, list, "table (rows bf16[16][2][16] in SBUF p0 @0x0) must lie in DRAM");
  refused(rows.Merge(1), table, list, "another shape than one of table (table bf16[40][2][16]");
  refused(rows, table, list.Slice(1, 0, 15), "must be int32[1][16] in SBUF");
  refused(rows, table, list.Transpose(0, 1), "must be int32[1][16] in SBUF");
  refused(rows, table, Sbuf("list", Dtype::kFp32, {1, 16}), "must be int32[1][16] in SBUF");
  refused(rows, table, Sbuf("list", Dtype::kInt32, {1, 16}, 16), "list (list int32[1][16] in SBUF p16 @0x0): bad partition");
  refused(rows, Tensor::Dram("table", 0x1800, Dtype::kBf16, {40, 2, 16}), list,
          "DRAM address outside the window at 0x21ff");
  refused(rows, Tensor::Dram("table", 0x1000, Dtype::kFp16, {40, 2, 16}), list, "DMA doesn't convert");
  // A row of three dimensions that don't fold.
  refused(Sbuf("rows", Dtype::kBf16, {16, 3, 4, 6}).Slice(2, 0, 2).Slice(3, 0, 3),
          Tensor::Dram("table", 0x1000, Dtype::kBf16, {4, 3, 2, 3}), list, "3 dimensions of a row remain");
  CHECK(b.program()[Queue::kDma0].size() == 1);
}

TEST_CASE("memory and semaphores run out with a message", "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);
  const std::uint32_t mark = b.SbufMark();
  b.Sbuf("most", Dtype::kFp32, {8, 4000});
  CHECK_THROWS_WITH(
      b.Sbuf("rest", Dtype::kFp32, {8, 97}),
      Contains("rest fp32[8][97]") && Contains("388 bytes of each partition, 384 of 16384"));
  b.SbufRelease(mark);
  b.Sbuf("all", Dtype::kFp32, {8, 4096});
  CHECK_THROWS_WITH(b.Sbuf("x", Dtype::kFp32, {4, 1}, 5), Contains("partitions 5..8, nano has 8"));
  CHECK_THROWS_WITH(b.PsumBank("p", 8, Dtype::kFp32, {8, 1}), Contains("bank 8"));
  CHECK_THROWS_WITH(b.PsumBank("p", 7, Dtype::kFp32, {8, 513}), Contains("banks of 2048 bytes"));
  for (int s = 0; s < 64; ++s) CHECK(b.Semaphore("s" + std::to_string(s)) == s);
  CHECK(b.Semaphore("s9") == 9);
  CHECK_THROWS_WITH(b.Semaphore("one more"), Contains("'one more'") && Contains("all 64"));
  CHECK_THROWS_WITH(b.Nop(Queue::kTensor, {{{64, 0}}, {}, false}), Contains("semaphore 64"));
}

TEST_CASE("several waits become nops before the instruction", "[builder]") {
  ProgramBuilder b(isa::kConfigs[0]);
  const auto x = Sbuf("x", Dtype::kBf16, {8, 16});
  b.Cast(x, x, {}, {{{1, 10}, {2, 20}, {3, 30}}, Signal{4, 1}, false});
  const auto& queue = b.program()[Queue::kVector];
  REQUIRE(queue.size() == 3);
  CHECK(Disassemble(Queue::kVector, queue[0]) == "nop wait=1>=10");
  CHECK(Disassemble(Queue::kVector, queue[1]) == "nop wait=2>=20");
  CHECK_THAT(Disassemble(Queue::kVector, queue[2]), Catch::EndsWith("wait=3>=30 sig=4+1"));
}

}  // namespace dither
