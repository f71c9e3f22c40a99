// The static checks: each documented rule by an example, the order of the rules, and the ranges
// against an enumeration of every byte.
#include <catch2/catch.hpp>

#include <functional>

#include "sim/model/check.hpp"
#include "tb/sequencer/instructions.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Err;
using isa::Queue;

constexpr CheckLimits kNano = {8, 16384, 0x10000, 0x20000};

constexpr std::uint8_t Code(auto e) { return static_cast<std::uint8_t>(e); }

isa::EngineInstr Matmul() {
  isa::EngineInstr i;
  i.opcode = Code(isa::Op::kMatmul);
  i.dtype_d = Code(Dtype::kFp32);
  i.dtype_0 = i.dtype_1 = Code(Dtype::kBf16);
  i.space_d = 1;
  i.parts = 8;
  i.parts_d = 4;
  i.size = {16, 1, 1, 1};
  i.str_d = {1, 0, 0, 0};
  i.str_0 = {1, 0, 0, 0};
  i.str_1 = {1, 0, 0, 0};
  return i;
}
isa::EngineInstr Tensor() {
  isa::EngineInstr i;
  i.opcode = Code(isa::Op::kTensor);
  i.func = Code(isa::VecFunc::kAdd);
  i.dtype_d = i.dtype_0 = i.dtype_1 = Code(Dtype::kFp32);
  i.parts = i.parts_d = 4;
  i.part_d = i.part_0 = i.part_1 = 2;
  i.size = {4, 3, 1, 1};
  i.str_d = i.str_0 = i.str_1 = {1, 4, 0, 0};
  return i;
}
isa::EngineInstr Reduce() {
  isa::EngineInstr i = Tensor();
  i.opcode = Code(isa::Op::kReduce);
  i.func = Code(isa::RedFunc::kSum);
  i.str_d = {0, 1, 0, 0};
  return i;
}
isa::EngineInstr Stats() {
  isa::EngineInstr i = Reduce();
  i.opcode = Code(isa::Op::kStats);
  i.func = 0;
  i.str_d = {1, 4, 0, 0};
  return i;
}
isa::EngineInstr Shuffle() {
  isa::EngineInstr i = Tensor();
  i.opcode = Code(isa::Op::kShuffle);
  i.func = Code(isa::ShuffleFunc::kIndex);
  return i;
}
isa::EngineInstr Act() {
  isa::EngineInstr i = Tensor();
  i.opcode = Code(isa::Op::kAct);
  i.func = Code(isa::ActFunc::kRelu);
  return i;
}
isa::EngineInstr Load() {
  isa::EngineInstr i;
  i.opcode = Code(isa::Op::kLoad);
  i.dtype_0 = Code(Dtype::kInt32);
  i.parts = 4;
  i.part_0 = 2;
  i.size = {64, 1, 1, 1};
  i.str_0 = {1, 0, 0, 0};
  i.off_0 = 0x100;
  return i;
}
isa::DmaInstr Copy() {
  isa::DmaInstr i;
  i.opcode = Code(isa::Op::kCopy);
  i.dtype_d = i.dtype_0 = Code(Dtype::kBf16);
  i.size = {8, 4, 1, 1};
  i.src_addr = 0x10000;
  i.src_str = {2, 16, 0, 0};
  i.dst_addr = (std::uint64_t{1} << 44) | (2 << 20) | 64;
  i.dst_str = {2, 1 << 20, 0, 0};
  return i;
}
// Four rows of eight elements, by a list of four, of a table of 100 rows from 0x10000 on.
isa::DmaInstr Gather() {
  isa::DmaInstr i = Copy();
  i.opcode = Code(isa::Op::kGather);
  i.size = {8, 1, 4, 1};
  i.src_str = {2, 0, 16, 0};
  i.dst_str = {2, 0, 1 << 20, 0};
  isa::SetLimit(i, 100);
  isa::SetListAddr(i, 3 << 20 | 0x200);
  return i;
}
isa::DmaInstr Scatter() {
  isa::DmaInstr i = Gather();
  i.opcode = Code(isa::Op::kScatter);
  std::swap(i.src_addr, i.dst_addr);
  for (int k = 0; k < 3; ++k) std::swap(i.src_str[k], i.dst_str[k]);
  return i;
}
CheckResult Check(Queue q, const isa::EngineInstr& i) {
  return CheckInstruction(q, isa::Encode(i), kNano);
}
CheckResult Check(const isa::DmaInstr& i) {
  return CheckInstruction(Queue::kDma1, isa::Encode(i), kNano);
}
template <typename T>
T With(T i, const std::function<void(T&)>& change) {
  change(i);
  return i;
}
using E = isa::EngineInstr;
using D = isa::DmaInstr;

}  // namespace

TEST_CASE("the examples that the other cases change are legal", "[check][smoke]") {
  CHECK(Check(Queue::kTensor, Matmul()) == CheckResult{});
  CHECK(Check(Queue::kVector, Tensor()) == CheckResult{});
  CHECK(Check(Queue::kVector, Reduce()) == CheckResult{});
  CHECK(Check(Queue::kScalar, Act()) == CheckResult{});
  CHECK(Check(Queue::kVector, Stats()) == CheckResult{});
  CHECK(Check(Queue::kVector, Shuffle()) == CheckResult{});
  CHECK(Check(Copy()) == CheckResult{});
  CHECK(Check(Gather()) == CheckResult{});
  CHECK(Check(Scatter()) == CheckResult{});
}

TEST_CASE("an opcode belongs to its queue", "[check][directed]") {
  CHECK(Check(Queue::kScalar, Matmul()).err == Err::kIllegalOpcode);
  CHECK(Check(Queue::kDma0, Tensor()).err == Err::kIllegalOpcode);
  CHECK(Check(Queue::kTensor, isa::EngineInstr{}).err == Err::kIllegalOpcode);
  for (const Queue q : isa::kAllQueue) {
    CHECK(Check(q, E{.opcode = Code(isa::Op::kNop)}).err == Err::kNone);
  }
}

TEST_CASE("a nop is free of everything but the reserved bits of its layout", "[check][directed]") {
  isa::Encoded e{};
  e.fill(0xff);
  e[0] = Code(isa::Op::kNop);
  CHECK(CheckInstruction(Queue::kVector, e, kNano).err == Err::kReservedField);
  for (const int bit : {23, 63, 126, 189, 190, 191}) isa::SetBits(e, bit, 1, 0);
  isa::SetBits(e, 218, 6, 0);
  CHECK(CheckInstruction(Queue::kVector, e, kNano).err == Err::kNone);
  CHECK(CheckInstruction(Queue::kDma0, e, kNano).err == Err::kReservedField);
}

TEST_CASE("functions and rounding modes have to be defined", "[check][directed]") {
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.func = 1; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.func = 21; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.func_1 = 21; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kVector, With<E>(Reduce(), [](E& i) { i.func = 4; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kVector, With<E>(Reduce(), [](E& i) {
    i.opcode = Code(isa::Op::kScan);
    i.func = 3;
  })).err == Err::kBadFunc);
  CHECK(Check(Queue::kVector, With<E>(Stats(), [](E& i) { i.func = 1; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kVector, With<E>(Shuffle(), [](E& i) { i.func = 3; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.func = 27; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.func = 26; })).err == Err::kNone);
  CHECK(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.sum = 3; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kScalar, With<E>(Load(), [](E& i) { i.func = 1; })).err == Err::kBadFunc);
  CHECK(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.round = 3; })).err == Err::kBadFunc);
}

TEST_CASE("modes of a two-step instruction that mean nothing are no functions", "[check][directed]") {
  using isa::VecFunc;
  const auto tensor = [](const std::function<void(E&)>& change) {
    return Check(Queue::kVector, With<E>(Tensor(), change)).err;
  };
  CHECK(tensor([](E& i) { i.func_1 = Code(VecFunc::kMul); }) == Err::kNone);
  CHECK(tensor([](E& i) { i.func_1 = Code(VecFunc::kAbs); }) == Err::kNone);
  CHECK(tensor([](E& i) { i.rev = 1; }) == Err::kNone);
  CHECK(tensor([](E& i) { i.rev = 1, i.func = Code(VecFunc::kCopy); }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.rev = 1, i.func = Code(VecFunc::kAbs); }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.rev_1 = 1; }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.rev_1 = 1, i.func_1 = Code(VecFunc::kAbs); }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.scalar_ptr = 1; }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.scalar_ptr = 1, i.src1_imm = 1; }) == Err::kNone);
  CHECK(tensor([](E& i) { i.scalar_ptr = 1, i.func_1 = Code(VecFunc::kMul); }) == Err::kNone);
  CHECK(tensor([](E& i) { i.gen_0 = 3; }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.gen_0 = 1, i.dtype_0 = 0, i.part_0 = 200; }) == Err::kNone);
  CHECK(tensor([](E& i) { i.gen_0 = 2, i.round = 1; }) == Err::kBadFunc);
  CHECK(tensor([](E& i) { i.gen_0 = 1, i.round = 1; }) == Err::kNone);
  // Functions of words and of floats don't follow each other.
  const auto words = [](E& i) {
    i.func = Code(VecFunc::kShr);
    i.dtype_d = i.dtype_0 = i.dtype_1 = Code(Dtype::kInt32);
  };
  CHECK(tensor(words) == Err::kNone);
  CHECK(tensor([&](E& i) { words(i), i.func_1 = Code(VecFunc::kAnd); }) == Err::kNone);
  CHECK(tensor([&](E& i) { words(i), i.func_1 = Code(VecFunc::kAdd); }) == Err::kBadFunc);
  CHECK(tensor([&](E& i) { words(i), i.func = 1, i.func_1 = Code(VecFunc::kAnd); }) == Err::kBadFunc);
  // Only tensor has them.
  for (const E& other : {Matmul(), Reduce(), Act(), Stats(), Shuffle()}) {
    const Queue q = other.opcode == 0x10 ? Queue::kTensor : other.opcode == 0x30 ? Queue::kScalar : Queue::kVector;
    CHECK(Check(q, With<E>(other, [](E& i) { i.func_1 = 1; })).err == Err::kBadFunc);
    CHECK(Check(q, With<E>(other, [](E& i) { i.rev = 1; })).err == Err::kBadFunc);
    CHECK(Check(q, With<E>(other, [](E& i) { i.rev_1 = 1; })).err == Err::kBadFunc);
    CHECK(Check(q, With<E>(other, [](E& i) { i.scalar_ptr = 1; })).err == Err::kBadFunc);
    CHECK(Check(q, With<E>(other, [](E& i) { i.gen_0 = 1; })).err == Err::kBadFunc);
  }
}

TEST_CASE("the words of the partitions are an operand of their own", "[check][directed]") {
  const auto scalars = [](std::uint32_t at) {
    return Check(Queue::kVector, With<E>(Tensor(), [at](E& i) {
      i.func_1 = Code(isa::VecFunc::kAdd);
      i.scalar_ptr = 1;
      i.imm0 = at;
    }));
  };
  CHECK(scalars(kNano.sbuf_bytes - 4) == CheckResult{});
  CHECK(scalars(kNano.sbuf_bytes) == CheckResult{Err::kSbufRange, 3, kNano.sbuf_bytes + 3});
  CHECK(scalars(0x80000000u) == CheckResult{Err::kSbufRange, 3, 0x80000003});
  CHECK(scalars(6) == CheckResult{Err::kMisaligned, 3, 0});
  CHECK(Check(Queue::kVector, With<E>(Shuffle(), [](E& i) { i.imm0 = 2; })) ==
        CheckResult{Err::kMisaligned, 3, 0});
}

TEST_CASE("integer functions, argmax and shuffles have their dtypes", "[check][directed]") {
  using isa::VecFunc;
  const auto words = [](int operand) {
    return Check(Queue::kVector, With<E>(Tensor(), [operand](E& i) {
      i.func = Code(VecFunc::kXor);
      i.dtype_d = i.dtype_0 = i.dtype_1 = Code(Dtype::kInt32);
      (operand == 0 ? i.dtype_d : operand == 1 ? i.dtype_0 : i.dtype_1) = Code(Dtype::kFp32);
    }));
  };
  for (std::uint8_t n = 0; n < 3; ++n) CHECK(words(n) == CheckResult{Err::kBadDtype, n, 0});
  CHECK(Check(Queue::kVector, With<E>(Reduce(), [](E& i) { i.func = 3; })) ==
        CheckResult{Err::kBadDtype, 0, 0});
  CHECK(Check(Queue::kVector, With<E>(Reduce(), [](E& i) { i.func = 3, i.dtype_d = 7; })).err == Err::kNone);
  CHECK(Check(Queue::kVector, With<E>(Shuffle(), [](E& i) { i.dtype_0 = 2; })) ==
        CheckResult{Err::kBadDtype, 0, 0});
}

TEST_CASE("shapes and partitions of statistics and shuffles", "[check][directed]") {
  CHECK(Check(Queue::kVector, With<E>(Stats(), [](E& i) { i.rdims = 1; })) ==
        CheckResult{Err::kBadStride, 0, 0});
  // Two results, whatever the size of the group.
  CHECK(Check(Queue::kVector, With<E>(Stats(), [](E& i) {
    i.size = {4000, 1, 1, 1}, i.str_0 = {0, 0, 0, 0}, i.str_d = {1, 0, 0, 0};
    i.off_d = kNano.sbuf_bytes - 8;
  })) == CheckResult{});
  CHECK(Check(Queue::kVector, With<E>(Stats(), [](E& i) {
    i.size = {4000, 1, 1, 1}, i.str_0 = {0, 0, 0, 0}, i.str_d = {2, 0, 0, 0};
    i.off_d = kNano.sbuf_bytes - 8;
  })) == CheckResult{Err::kSbufRange, 0, kNano.sbuf_bytes + 3});
  const auto shuffle = [](isa::ShuffleFunc func, const std::function<void(E&)>& change) {
    return Check(Queue::kVector, With<E>(Shuffle(), [&](E& i) {
      i.func = Code(func);
      change(i);
    }));
  };
  using isa::ShuffleFunc;
  CHECK(shuffle(ShuffleFunc::kIndex, [](E& i) { i.part_0 = 3; }) == CheckResult{Err::kBadPartition, 0, 0});
  CHECK(shuffle(ShuffleFunc::kBroadcast, [](E& i) { i.part_0 = 7; }) == CheckResult{});
  CHECK(shuffle(ShuffleFunc::kBroadcast, [](E& i) { i.part_0 = 8; }) == CheckResult{Err::kBadPartition, 1, 0});
  CHECK(shuffle(ShuffleFunc::kTranspose, [](E& i) { i.part_0 = 4; }) == CheckResult{});
  CHECK(shuffle(ShuffleFunc::kTranspose, [](E& i) { i.part_0 = 5; }) == CheckResult{Err::kBadPartition, 1, 0});
  CHECK(shuffle(ShuffleFunc::kTranspose, [](E& i) { i.size[0] = 3; }) == CheckResult{Err::kBadSize, 0, 0});
}

TEST_CASE("a load of function tables is whole words of int32 in SBUF", "[check][directed]") {
  const auto is = [](const std::function<void(E&)>& change, CheckResult want) {
    return Check(Queue::kScalar, With<E>(Load(), change)) == want;
  };
  CHECK(Check(Queue::kScalar, Load()).err == Err::kNone);
  CHECK(Check(Queue::kVector, Load()).err == Err::kIllegalOpcode);
  CHECK(is([](E& i) { i.dtype_0 = Code(Dtype::kFp32); }, {Err::kBadDtype, 1, 0}));
  CHECK(is([](E& i) { i.space_0 = 1; }, {Err::kBadSpace, 1, 0}));
  CHECK(is([](E& i) { i.size[0] = 63; }, {Err::kBadSize, 0, 0}));
  CHECK(is([](E& i) { i.size[2] = 2; }, {Err::kBadSize, 0, 0}));
  CHECK(is([](E& i) { i.parts = 0; }, {Err::kBadSize, 0, 0}));
  CHECK(is([](E& i) { i.str_0[0] = 2; }, {Err::kBadStride, 1, 0}));
  CHECK(is([](E& i) { i.parts = 7; }, {Err::kBadPartition, 1, 0}));
  CHECK(is([](E& i) { i.off_0 = 0x104; }, {Err::kMisaligned, 1, 0}));
  CHECK(is([](E& i) { i.off_0 = 16384 - 248; }, {Err::kSbufRange, 1, 16384 + 7}));
  // The destination is not looked at.
  CHECK(is([](E& i) { i.dtype_d = 15, i.parts_d = 99, i.off_d = 0xffffff, i.space_d = 1, i.part_d = 77; },
           {Err::kNone, 0, 0}));
}

TEST_CASE("a total sum stands still in the dimensions that it sums, a running one need not",
          "[check][directed]") {
  const auto act = [](isa::ActSum sum, std::uint8_t rdims, std::int16_t stride) {
    return Check(Queue::kScalar, With<E>(Act(), [&](E& i) {
      i.sum = Code(sum), i.rdims = rdims, i.str_d = {stride, 4, 0, 0};
    }));
  };
  CHECK(act(isa::ActSum::kTotal, 0, 0).err == Err::kNone);
  CHECK(act(isa::ActSum::kTotal, 0, 1) == CheckResult{Err::kBadStride, 0, 0});
  CHECK(act(isa::ActSum::kTotal, 1, 0) == CheckResult{Err::kBadStride, 0, 0});
  CHECK(act(isa::ActSum::kRunning, 1, 1).err == Err::kNone);
  CHECK(act(isa::ActSum::kNone, 1, 1).err == Err::kNone);
}

TEST_CASE("dtypes have to exist and to fit operand and memory", "[check][directed]") {
  const auto is = [](const CheckResult& r, int operand) {
    return r == CheckResult{Err::kBadDtype, static_cast<std::uint8_t>(operand), 0};
  };
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.dtype_d = 2; })), 0));
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.dtype_d = 7; })), 1));
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.dtype_0 = 6; })), 1));
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.dtype_1 = 7; })), 2));
  CHECK(is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.dtype_0 = 8; })), 1));
  CHECK(
      is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.dtype_d = 2, i.space_d = 1; })), 0));
  CHECK(is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.dtype_1 = 0; })), 2));
  // Not read, not checked.
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.dtype_1 = 0, i.src1_imm = 1; })).err ==
        Err::kNone);
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.dtype_1 = 0, i.func = 0; })).err ==
        Err::kNone);
  CHECK(Check(Queue::kVector, With<E>(Reduce(), [](E& i) { i.dtype_1 = 0; })).err == Err::kNone);
  CHECK(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.dtype_1 = 0, i.src1_imm = 1; })).err ==
        Err::kNone);
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.dtype_d = 0; })), 0));
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.dtype_0 = 9; })), 1));
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.dtype_0 = 3; })), 0));
}

TEST_CASE("a matmul is one of floats into fp32 or one of int8 into int32, piece by piece",
          "[check][directed]") {
  for (int d = 0; d < 16; ++d) {
    for (int s0 = 0; s0 < 16; ++s0) {
      for (int s1 = 0; s1 < 16; ++s1) {
        for (int piece = 0; piece < 16; ++piece) {
          const E i = With<E>(Matmul(), [&](E& e) {
            e.dtype_d = static_cast<std::uint8_t>(d);
            e.dtype_0 = static_cast<std::uint8_t>(s0);
            e.dtype_1 = static_cast<std::uint8_t>(s1);
            e.piece_0 = piece & 3;
            e.piece_1 = piece >> 2 & 3;
          });
          // Pieces of fp32, bf16, fp16, e4m3, e5m2.
          constexpr int kPieces[16] = {0, 3, 1, 2, 1, 1};
          const auto fits = [&](int dtype, int p) {
            return d == 7 ? dtype == 6 && p == 0 : p < kPieces[dtype];
          };
          CheckResult want;
          if (!fits(s1, i.piece_1)) want = {Err::kBadDtype, 2, 0};
          if (!fits(s0, i.piece_0)) want = {Err::kBadDtype, 1, 0};
          if (d != 1 && d != 7) want = {Err::kBadDtype, 0, 0};
          CAPTURE(d, s0, s1, piece);
          REQUIRE(Check(Queue::kTensor, i) == want);
        }
      }
    }
  }
}

TEST_CASE("tiles side by side stay in their halves or quarters", "[check][directed]") {
  const auto tiled = [](int tiles, int k, int m, int row, int column) {
    return Check(Queue::kTensor, With<E>(Matmul(), [&](E& i) {
      i.tiles = static_cast<std::uint8_t>(tiles);
      i.parts = static_cast<std::uint8_t>(k);
      i.parts_d = static_cast<std::uint8_t>(m);
      i.part_0 = i.part_1 = static_cast<std::uint8_t>(row);
      i.part_d = static_cast<std::uint8_t>(column);
    }));
  };
  const auto bad = [](int operand) {
    return CheckResult{Err::kBadPartition, static_cast<std::uint8_t>(operand), 0};
  };
  CHECK(tiled(1, 4, 4, 0, 0) == CheckResult{});
  CHECK(tiled(2, 2, 2, 0, 0) == CheckResult{});
  CHECK(tiled(1, 3, 1, 1, 3) == CheckResult{});
  CHECK(tiled(1, 5, 4, 0, 0) == bad(1));
  CHECK(tiled(1, 4, 5, 0, 0) == bad(0));
  CHECK(tiled(2, 3, 2, 0, 0) == bad(1));
  CHECK(tiled(2, 2, 3, 0, 0) == bad(0));
  CHECK(tiled(1, 4, 1, 1, 0) == bad(1));
  CHECK(tiled(2, 1, 2, 0, 1) == bad(0));
  CHECK(tiled(3, 1, 1, 0, 0).err == Err::kBadFunc);
}

TEST_CASE("pairs are two bytes of two 8-bit numbers, and only where the array takes them", "[check][directed]") {
  constexpr CheckLimits kPairs = {8, 16384, 0x10000, 0x20000, true};
  E p = Matmul();
  p.pair = 1;
  p.dtype_0 = Code(Dtype::kFp8E4M3);
  p.dtype_1 = Code(Dtype::kFp8E5M2);
  const auto check = [&](const std::function<void(E&)>& change) {
    return CheckInstruction(Queue::kTensor, isa::Encode(With<E>(p, change)), kPairs);
  };
  CHECK(check([](E&) {}) == CheckResult{});
  CHECK(check([](E& i) { i.tiles = 1, i.parts = 4; }) == CheckResult{});
  CHECK(check([](E& i) { i.dtype_0 = i.dtype_1 = 6, i.dtype_d = 7; }) == CheckResult{});
  CHECK(Check(Queue::kTensor, p) == CheckResult{Err::kBadFunc, 0, 0});  // a core without
  CHECK(check([](E& i) { i.opcode = Code(isa::Op::kTranspose); }) == CheckResult{Err::kBadFunc, 0, 0});
  CHECK(CheckInstruction(Queue::kVector, isa::Encode(With<E>(Tensor(), [](E& i) { i.pair = 1; })), kPairs) ==
        CheckResult{Err::kBadFunc, 0, 0});
  for (int d = 0; d < 16; ++d) {
    const bool fp8 = d == 4 || d == 5;
    CAPTURE(d);
    CHECK(check([&](E& i) { i.dtype_0 = static_cast<std::uint8_t>(d); }) ==
          (fp8 ? CheckResult{} : CheckResult{Err::kBadDtype, 1, 0}));
    CHECK(check([&](E& i) { i.dtype_1 = static_cast<std::uint8_t>(d); }) ==
          (fp8 ? CheckResult{} : CheckResult{Err::kBadDtype, 2, 0}));
  }
  CHECK(check([](E& i) { i.piece_0 = 1; }) == CheckResult{Err::kBadDtype, 1, 0});
  CHECK(check([](E& i) { i.off_0 = 1; }) == CheckResult{Err::kMisaligned, 1, 0});
  CHECK(check([](E& i) { i.off_1 = 3; }) == CheckResult{Err::kMisaligned, 2, 0});
  // 16 and 4 elements of two bytes.
  CHECK(check([](E& i) { i.off_0 = 16384 - 32; }) == CheckResult{});
  CHECK(check([](E& i) { i.off_0 = 16384 - 30; }) == CheckResult{Err::kSbufRange, 1, 16384 + 1});
  CHECK(check([](E& i) { i.off_1 = 16384 - 8; }) == CheckResult{});
  CHECK(check([](E& i) { i.off_1 = 16384 - 6; }) == CheckResult{Err::kSbufRange, 2, 16384 + 1});
}

TEST_CASE("a transpose reads one source and writes as many words as it has rows",
          "[check][directed]") {
  E t = Matmul();
  t.opcode = Code(isa::Op::kTranspose);
  t.size = {8, 1, 1, 1};
  t.dtype_0 = 15, t.part_0 = 200, t.off_0 = 0xffffff, t.space_0 = 1, t.piece_0 = 3;  // not read
  const auto check = [&](const std::function<void(E&)>& change) {
    return Check(Queue::kTensor, With<E>(t, change));
  };
  CHECK(check([](E&) {}) == CheckResult{});
  CHECK(check([](E& i) { i.func = 1, i.piece_1 = 1, i.dtype_d = 7; }) == CheckResult{});
  CHECK(check([](E& i) { i.func = 2; }).err == Err::kBadFunc);
  CHECK(check([](E& i) { i.tiles = 1; }).err == Err::kBadFunc);
  CHECK(check([](E& i) { i.piece_1 = 2; }) == CheckResult{Err::kBadDtype, 2, 0});
  CHECK(check([](E& i) { i.dtype_1 = 7, i.piece_1 = 3; }) == CheckResult{});
  CHECK(check([](E& i) { i.dtype_1 = 6, i.piece_1 = 1; }) == CheckResult{Err::kBadDtype, 2, 0});
  CHECK(check([](E& i) { i.dtype_1 = 8; }) == CheckResult{Err::kBadDtype, 2, 0});
  CHECK(check([](E& i) { i.dtype_d = 2; }) == CheckResult{Err::kBadDtype, 0, 0});
  CHECK(check([](E& i) { i.space_d = 0; }) == CheckResult{Err::kBadSpace, 0, 0});
  CHECK(check([](E& i) { i.dtype_1 = 1, i.space_1 = 1; }) == CheckResult{Err::kBadSpace, 2, 0});
  CHECK(check([](E& i) { i.size[0] = 7; }).err == Err::kBadSize);
  CHECK(check([](E& i) { i.size[2] = 2; }).err == Err::kBadSize);
  CHECK(check([](E& i) { i.str_1[1] = 1; }) == CheckResult{Err::kBadStride, 2, 0});
  CHECK(check([](E& i) { i.part_1 = 1; }) == CheckResult{Err::kBadPartition, 2, 0});
  CHECK(check([](E& i) { i.part_d = 5; }) == CheckResult{Err::kBadPartition, 0, 0});
  CHECK(check([](E& i) { i.off_1 = 16384 - 6; }) == CheckResult{Err::kSbufRange, 2, 16384 + 1});
  CHECK(check([](E& i) { i.off_d = 16384 - 28; }) == CheckResult{Err::kPsumRange, 0, 16384 + 3});
  CHECK(Check(Queue::kVector, t).err == Err::kIllegalOpcode);
}

TEST_CASE("an operand lies in a memory that its engine reaches", "[check][directed]") {
  const auto is = [](const CheckResult& r, int operand) {
    return r == CheckResult{Err::kBadSpace, static_cast<std::uint8_t>(operand), 0};
  };
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.space_d = 0; })), 0));
  CHECK(is(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.space_1 = 1; })), 2));
  CHECK(Check(Queue::kScalar, With<E>(Act(), [](E& i) { i.space_1 = 1, i.src1_imm = 1; })).err ==
        Err::kNone);
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.space_1 = 1; })).err == Err::kNone);
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.dst_addr |= std::uint64_t{2} << 44; })), 0));
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.src_addr |= std::uint64_t{8} << 44; })), 1));
  // A 16-bit source of matmul in PSUM already fails the check of dtypes.
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.space_0 = 1; })).err ==
        Err::kBadDtype);
}

TEST_CASE("sizes are at least one and partitions agree", "[check][directed]") {
  for (int k = 0; k < 4; ++k) {
    CHECK(Check(Queue::kVector, With<E>(Tensor(), [k](E& i) { i.size[k] = 0; })).err ==
          Err::kBadSize);
    CHECK(Check(With<D>(Copy(), [k](D& i) { i.size[k] = 0; })).err == Err::kBadSize);
  }
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.parts = 0; })).err == Err::kBadSize);
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.parts_d = 0; })).err == Err::kBadSize);
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.parts_d = 3; })).err == Err::kBadSize);
}

TEST_CASE("strides that have no meaning are zero", "[check][directed]") {
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.str_1[2] = 1; })) ==
        CheckResult{Err::kBadStride, 2, 0});
  CHECK(Check(Queue::kVector, With<E>(Reduce(), [](E& i) { i.rdims = 1; })) ==
        CheckResult{Err::kBadStride, 0, 0});
}

TEST_CASE("partitions stay inside the array and are the same where lanes are",
          "[check][directed]") {
  const auto is = [](const CheckResult& r, int operand) {
    return r == CheckResult{Err::kBadPartition, static_cast<std::uint8_t>(operand), 0};
  };
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.part_d = 5; })), 0));
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.part_0 = 1; })), 1));
  CHECK(is(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.parts = 9; })), 1));
  CHECK(is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.part_d = 3; })), 0));
  CHECK(is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.part_1 = 3; })), 2));
  CHECK(is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.part_1 = 5; })), 2));
  // The range of source 1 comes before the equality of the destination.
  CHECK(is(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.part_d = 3, i.part_1 = 5; })), 2));
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.part_d = 4; })).err == Err::kNone);
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.size[1] = 7; })), 0));
  CHECK(Check(With<D>(Copy(), [](D& i) { i.size[1] = 6; })).err == Err::kNone);
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.dst_str[1] = -(1 << 20); })), 0));
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.dst_addr |= std::uint64_t{1} << 40; })), 0));
  CHECK(is(Check(With<D>(Copy(), [](D& i) { i.src_addr = i.dst_addr, i.src_str = i.dst_str,
                                            i.src_str[1] *= 3; })), 1));
}

TEST_CASE("addresses are multiples of the element size", "[check][directed]") {
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.off_d = 2; })) ==
        CheckResult{Err::kMisaligned, 0, 0});
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.off_1 = 1; })) ==
        CheckResult{Err::kMisaligned, 2, 0});
  CHECK(Check(With<D>(Copy(), [](D& i) { i.src_addr += 1; })) ==
        CheckResult{Err::kMisaligned, 1, 0});
  CHECK(Check(With<D>(Copy(), [](D& i) { i.dst_str[3] = 1; })) ==
        CheckResult{Err::kMisaligned, 0, 0});
}

TEST_CASE("a range error names the lowest byte if it is below, else the highest",
          "[check][directed]") {
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.off_d = 16384 - 12 * 4 + 4; })) ==
        CheckResult{Err::kSbufRange, 0, 16384 + 3});
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.off_d = 16384 - 12 * 4; })).err ==
        Err::kNone);
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.space_0 = 1, i.off_0 = 16384; })) ==
        CheckResult{Err::kPsumRange, 1, 16384 + 47});
  CHECK(Check(Queue::kVector, With<E>(Tensor(), [](E& i) { i.str_1 = {-1, 8000, 0, 0}; })) ==
        CheckResult{Err::kSbufRange, 2, -12});
  // Source 1 of matmul runs over the columns: 4 elements of 2 bytes.
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.off_1 = 16384 - 8; })).err ==
        Err::kNone);
  CHECK(Check(Queue::kTensor, With<E>(Matmul(), [](E& i) { i.off_1 = 16384 - 6; })) ==
        CheckResult{Err::kSbufRange, 2, 16384 + 1});
  CHECK(Check(With<D>(Copy(), [](D& i) { i.src_addr = 0x20000 - 62; })) ==
        CheckResult{Err::kDramRange, 1, 0x20001});
  CHECK(Check(With<D>(Copy(), [](D& i) { i.src_addr = 0xfffe; })) ==
        CheckResult{Err::kDramRange, 1, 0xfffe});
  CHECK(Check(With<D>(Copy(), [](D& i) { i.dst_str[0] = -32; })) ==
        CheckResult{Err::kSbufRange, 0, 64 - 7 * 32});
  // 48 bits: 0xffff * 0x7ffffffe at each of four dimensions leaves them.
  CHECK(
      Check(With<D>(Copy(),
                    [](D& i) {
                      i.size = {0xffff, 0xffff, 0xffff, 0xffff};
                      i.src_str = {0x7ffffffe, 0x7ffffffe, 0x7ffffffe, 0x7ffffffe};
                      i.dst_addr = 0x10000;
                      i.dst_str = {};
                    })) ==
      CheckResult{
          Err::kDramRange, 1,
          static_cast<std::int64_t>((0x10000ull + 4 * 0xfffeull * 0x7ffffffeull + 1) << 16) >> 16});
}

TEST_CASE("a gather or scatter has its table in DRAM, its list in SBUF, and both whole", "[check][directed]") {
  // The table is the source of the one and the destination of the other.
  for (const std::uint8_t table : {1, 0}) {
    const D base = table ? Gather() : Scatter();
    CAPTURE(int{table});
    const auto with = [&](const std::function<void(D&)>& change) { return Check(With<D>(base, change)); };
    const auto address = [table](D& i) -> std::uint64_t& { return table ? i.src_addr : i.dst_addr; };
    const auto stride = [table](D& i) -> auto& { return table ? i.src_str : i.dst_str; };
    CHECK(with([&](D& i) { address(i) |= std::uint64_t{1} << 44; }) == CheckResult{Err::kBadSpace, table});
    // The other side may lie anywhere.
    CHECK(with([&](D& i) { (table ? i.dst_addr : i.src_addr) = 0x10000, (table ? i.dst_str : i.src_str)[2] = 16; }) ==
          CheckResult{});
    CHECK(with([](D& i) { i.size[3] = 2; }) == CheckResult{Err::kBadSize});
    CHECK(with([](D& i) { isa::SetLimit(i, 0); }) == CheckResult{Err::kBadSize});
    CHECK(with([](D& i) { isa::SetLimit(i, 0x80000000); }) == CheckResult{Err::kBadSize});
    CHECK(with([](D& i) { isa::SetListAddr(i, 7 << 20); }) == CheckResult{});
    CHECK(with([](D& i) { isa::SetListAddr(i, 8 << 20); }) == CheckResult{Err::kBadPartition, 2});
    CHECK(with([](D& i) { isa::SetListAddr(i, 1 << 28); }) == CheckResult{Err::kBadPartition, 2});
    CHECK(with([](D& i) { isa::SetListAddr(i, 0x202); }) == CheckResult{Err::kMisaligned, 2});
    CHECK(with([](D& i) { isa::SetListAddr(i, 16384 - 16); }) == CheckResult{});
    CHECK(with([](D& i) { isa::SetListAddr(i, 16384 - 12); }) == CheckResult{Err::kSbufRange, 2, 16387});
    // Every row of the table has to lie in the window, whichever the list names: 0x10000 bytes of rows of 16.
    CHECK(with([](D& i) { isa::SetLimit(i, 0x1000); }) == CheckResult{});
    CHECK(with([](D& i) { isa::SetLimit(i, 0x1001); }) == CheckResult{Err::kDramRange, table, 0x2000f});
    CHECK(with([&](D& i) { stride(i)[2] = -16; }) == CheckResult{Err::kDramRange, table, 0x10000 - 99 * 16});
    CHECK(with([&](D& i) { isa::SetLimit(i, 0x7fffffff), stride(i)[2] = 0x7ffffffe; }) ==
          CheckResult{Err::kDramRange, table,
                      static_cast<std::int64_t>((0x1000full + 0x7ffffffeull * 0x7ffffffeull) << 16) >> 16});
    CHECK(with([&](D& i) { isa::SetLimit(i, 0x12345679), stride(i)[2] = -0x7ffffffe; }) ==
          CheckResult{Err::kDramRange, table,
                      static_cast<std::int64_t>((0x10000ull - 0x12345678ull * 0x7ffffffeull) << 16) >> 16});
    // Bits that lie over a stride are none: odd limits are fine.
    CHECK(with([](D& i) { isa::SetLimit(i, 99); }) == CheckResult{});
    // In order: destination, source, list.
    CHECK(with([&](D& i) { isa::SetListAddr(i, 8 << 20), stride(i)[2] = 15; }) == CheckResult{Err::kBadPartition, 2});
    CHECK(with([&](D& i) { isa::SetListAddr(i, 2), stride(i)[2] = 15; }) == CheckResult{Err::kMisaligned, table});
    CHECK(with([&](D& i) { isa::SetListAddr(i, 16384), isa::SetLimit(i, 0x1001); }).operand == table);
  }
}

TEST_CASE("the earlier check wins", "[check][directed]") {
  // Every rule broken, then repaired one after the other from the first to the last.
  E i = Tensor();
  i.opcode = 0x99, i.round = 3, i.dtype_1 = 15, i.size[3] = 0, i.part_1 = 7, i.off_0 = 1;
  i.str_d[0] = -5;
  isa::Encoded e = isa::Encode(i);
  const auto err = [&] { return CheckInstruction(Queue::kVector, e, kNano).err; };
  isa::SetBits(e, 63, 1, 1);
  CHECK(err() == Err::kIllegalOpcode);
  isa::SetBits(e, 0, 8, Code(isa::Op::kTensor));
  CHECK(err() == Err::kReservedField);
  isa::SetBits(e, 63, 1, 0);
  CHECK(err() == Err::kBadFunc);
  isa::SetBits(e, 60, 2, 0);
  CHECK(err() == Err::kBadDtype);
  isa::SetBits(e, 56, 4, 1);
  CHECK(err() == Err::kBadSize);
  isa::SetBits(e, 272, 16, 1);
  CHECK(err() == Err::kBadPartition);
  isa::SetBits(e, 112, 8, 2);
  CHECK(err() == Err::kMisaligned);
  isa::SetBits(e, 160, 24, 0);
  CHECK(err() == Err::kSbufRange);
  isa::SetBits(e, 288, 16, 1);
  CHECK(err() == Err::kNone);
}

TEST_CASE("what passes the checks touches only bytes that exist", "[check][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  CAPTURE(seed);
  const CheckLimits limits = {8, 16384, 0x10000, 0x14000};
  tb::InstructionGenerator gen(seed, limits);
  int legal = 0, outside = 0;
  for (int n = 0; n < 4000; ++n) {
    const Queue q = isa::kAllQueue[n % 5];
    const isa::Encoded e = gen.Mutated(q);
    const CheckResult r = CheckInstruction(q, e, limits);
    const bool range = r.err == Err::kSbufRange || r.err == Err::kPsumRange ||
                       r.err == Err::kDramRange || r.err == Err::kBadPartition;
    if ((r.err != Err::kNone && !range) || e[0] == Code(isa::Op::kNop)) continue;
    const bool dma = n % 5 >= 3;
    const isa::EngineInstr i = isa::DecodeEngineInstr(e);
    isa::DmaInstr d = isa::DecodeDmaInstr(e);
    const isa::DmaInstr limited = d;
    const auto& size = dma ? d.size : i.size;
    if (std::uint64_t{size[0]} * size[1] * size[2] * size[3] > 20000) continue;
    // Every element of one operand: (partition offset, first byte) as far as they concern ranges.
    bool inside = true;
    const auto walk = [&](const std::array<std::uint16_t, 4>& n4, auto visit) {
      for (int a = 0; a < n4[3]; ++a)
        for (int b = 0; b < n4[2]; ++b)
          for (int c = 0; c < n4[1]; ++c)
            for (int x = 0; x < n4[0]; ++x) visit(std::array<std::int64_t, 4>{x, c, b, a});
    };
    if (dma) {
      const std::int64_t bytes = isa::DtypeBytes(static_cast<Dtype>(d.dtype_d));
      const Indexed indexed = IndexedSide(d);
      if (indexed != Indexed::kNone) {
        const std::int64_t at = isa::ListAddr(d) & 0xfffff;
        inside &= isa::ListAddr(d) >> 20 < 8 && at + 4 * d.size[2] <= 16384;
        d.src_str[3] = d.dst_str[3] = 0;
      }
      for (const auto& [addr, str, side] : {std::tuple{d.dst_addr, d.dst_str, Indexed::kDestination},
                                            {d.src_addr, d.src_str, Indexed::kSource}}) {
        const bool sbuf = (addr >> 44) == 1;
        const bool table = side == indexed;
        // Of a table the first row and the last one tell.
        auto points = d.size;
        if (table) points[2] = 2;
        walk(points, [&, addr = addr, str = str](auto k) {
          if (table) k[2] *= isa::Limit(limited) - std::int64_t{1};
          std::int64_t byte = sbuf ? addr & 0xfffff : addr, part = (addr >> 20) & 0xffffff;
          for (int m = 0; m < 4; ++m) {
            const std::int64_t low = (static_cast<std::int64_t>(str[m]) << 44) >> 44;
            byte += k[m] * (sbuf ? low : str[m]);
            part += k[m] * ((str[m] - low) >> 20);
          }
          if (sbuf) inside &= part >= 0 && part < 8 && byte >= 0 && byte + bytes <= 16384;
          else inside &= byte >= 0x10000 && byte + bytes <= 0x14000;
        });
      }
    } else {
      if (r.err == Err::kBadPartition) continue;
      const bool matmul = q == Queue::kTensor;
      const auto operand = [&](std::uint8_t dtype, std::uint32_t off, const auto& str,
                               const auto& n4) {
        const std::int64_t bytes = isa::DtypeBytes(static_cast<Dtype>(dtype));
        walk(n4, [&](const auto& k) {
          std::int64_t at = off;
          for (int m = 0; m < 4; ++m) at += bytes * k[m] * str[m];
          inside &= at >= 0 && at + bytes <= 16384;
        });
      };
      auto size_d = i.size;
      if (i.opcode == Code(isa::Op::kStats)) size_d[0] = 2;
      if (Writes(i)) operand(i.dtype_d, i.off_d, i.str_d, size_d);
      if (ReadsSource0(i)) operand(i.dtype_0, i.off_0, i.str_0, i.size);
      const std::array<std::uint16_t, 4> columns = {i.parts_d, 1, 1, 1};
      if (ReadsSource1(i)) operand(i.dtype_1, i.off_1, i.str_1, matmul ? columns : i.size);
      if (ReadsScalars(i)) inside &= i.imm0 <= 16384 - 4;
    }
    ++(inside ? legal : outside);
    CAPTURE(n, isa::Name(q), isa::Name(r.err));
    REQUIRE(inside == (r.err == Err::kNone));
  }
  CHECK(legal > 500);
  CHECK(outside > 200);
}

}  // namespace dither
