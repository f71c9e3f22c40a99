// Random instructions for tests of the checks: legal ones, and legal ones with something changed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "sim/isa/isa.hpp"
#include "sim/model/check.hpp"

namespace dither::tb {

class InstructionGenerator {
 public:
  InstructionGenerator(std::uint32_t seed, const CheckLimits& limits)
      : rng_(seed), limits_(limits) {}

  // Mostly legal; use CheckInstruction to know.
  isa::Encoded Legal(isa::Queue queue) {
    for (int attempt = 0; attempt < 200; ++attempt) {
      const isa::Encoded e = Dma(queue) ? isa::Encode(LegalDma()) : isa::Encode(LegalEngine(queue));
      if (CheckInstruction(queue, e, limits_).err == isa::Err::kNone) return e;
    }
    return isa::Encode(isa::EngineInstr{.opcode = 1});
  }

  // A legal instruction with one to three fields changed, so that most causes come up often.
  isa::Encoded Mutated(isa::Queue queue) {
    isa::Encoded e = Legal(queue);
    if (e[0] == static_cast<std::uint8_t>(isa::Op::kNop) && Below(4) != 0) e = Legal(queue);
    const int count = Below(4) == 0 ? 1 + Below(3) : 1;
    for (int i = 0; i < count; ++i) Dma(queue) ? MutateDma(e) : MutateEngine(e);
    return e;
  }

  int Below(int n) { return static_cast<int>(rng_() % static_cast<std::uint32_t>(n)); }
  std::uint32_t Bits(int n) { return rng_() & static_cast<std::uint32_t>((1ull << n) - 1); }

 private:
  static bool Dma(isa::Queue q) { return q == isa::Queue::kDma0 || q == isa::Queue::kDma1; }

  template <typename T>
  void Header(T& i) {
    i.wait_sem = Bits(6);
    i.wait_en = Bits(1);
    i.sig_en = Bits(1);
    i.sig_sem = Bits(6);
    i.irq = Bits(1);
    i.sig_inc = static_cast<std::int8_t>(Bits(8));
    i.wait_val = Bits(16);
  }
  std::uint8_t Dtype(bool wide) {
    if (wide) return Bits(1) ? 1 : 7;
    return 1 + Below(7);
  }
  std::array<std::uint16_t, 4> Sizes() {
    std::array<std::uint16_t, 4> s{};
    for (auto& v : s) v = Below(3) == 0 ? 1 : 1 + Below(Below(8) == 0 ? 300 : 6);
    return s;
  }
  std::int16_t Stride() {
    switch (Below(6)) {
      case 0: return 0;
      case 1: return 1;
      case 2: return static_cast<std::int16_t>(Below(200) - 100);
      default: return static_cast<std::int16_t>(Below(40) - 8);
    }
  }
  // An offset that puts the box into [0, limit), often exactly at one of the ends.
  std::uint32_t Fit(std::int64_t lo, std::int64_t hi, std::uint32_t esize, std::int64_t limit) {
    const std::int64_t first = -lo;
    const std::int64_t last = limit - esize - hi;
    if (last < first) return 0;
    if (Below(4) == 0) return static_cast<std::uint32_t>(first);
    if (Below(3) == 0) return static_cast<std::uint32_t>(last);
    return static_cast<std::uint32_t>(first +
                                      Below((last - first) / esize + 1) * std::int64_t{esize});
  }
  std::uint32_t Offset(const std::array<std::uint16_t, 4>& size,
                       const std::array<std::int16_t, 4>& str, std::uint32_t esize, bool psum) {
    std::int64_t lo = 0, hi = 0;
    for (int k = 0; k < 4; ++k) {
      const std::int64_t d = std::int64_t{esize} * (size[k] - 1) * str[k];
      (d < 0 ? lo : hi) += d;
    }
    return Fit(lo, hi, esize, psum ? isa::kPsumBytes : limits_.sbuf_bytes);
  }

  void VectorEngine(isa::EngineInstr& i) {
    constexpr isa::Op kOps[] = {isa::Op::kTensor, isa::Op::kTensor, isa::Op::kTensor, isa::Op::kReduce,
                                isa::Op::kScan,   isa::Op::kStats,  isa::Op::kShuffle};
    const isa::Op op = kOps[Below(7)];
    i.opcode = static_cast<std::uint8_t>(op);
    const auto int32 = static_cast<std::uint8_t>(isa::Dtype::kInt32);
    if (op == isa::Op::kTensor) {
      i.func = Below(21);
      if (Bits(1)) i.func_1 = OnWords(i.func) ? 15 + Below(6) : 1 + Below(14);
      if (OnWords(i.func)) i.dtype_d = i.dtype_0 = i.dtype_1 = int32;
      i.rev = !OneOperand(i.func) && Bits(1);
      i.rev_1 = !OneOperand(i.func_1) && Bits(1);
      i.gen_0 = Below(4) == 0 ? Below(3) : 0;
      if (i.gen_0 == 2) i.round = Bits(1) ? 0 : 2;
      i.scalar_ptr = (i.func_1 != 0 || i.src1_imm != 0) && Bits(1);
    } else if (op == isa::Op::kReduce || op == isa::Op::kStats) {
      i.func = op == isa::Op::kStats ? 0 : Below(4);
      if (i.func == 3) i.dtype_d = int32;
      for (int k = op == isa::Op::kStats ? 1 : 0; k <= i.rdims; ++k) i.str_d[k] = 0;
    } else if (op == isa::Op::kScan) {
      i.func = Below(3);
    } else {
      i.func = Below(3);
      if (i.space_0) i.space_d = 1;
      i.dtype_d = i.dtype_0 = Dtype(i.space_0 || i.space_d);
      const int rows = static_cast<int>(limits_.rows);
      if (i.func == 0) i.part_0 = Below(rows);
      if (i.func == 2) {
        i.part_0 = Below(rows - i.parts + 1);
        i.size[0] = i.parts;
      }
    }
    if (ReadsScalars(i)) {
      const std::int64_t last = limits_.sbuf_bytes - 4;
      i.imm0 = Below(3) == 0 ? static_cast<std::uint32_t>(last) : 4 * Below(static_cast<int>(last / 4));
    }
  }

  isa::EngineInstr LegalEngine(isa::Queue queue) {
    isa::EngineInstr i;
    Header(i);
    const int rows = static_cast<int>(limits_.rows);
    i.size = Sizes();
    for (auto* s : {&i.str_d, &i.str_0, &i.str_1}) {
      for (auto& v : *s) v = Stride();
    }
    i.parts = 1 + Below(rows);
    i.parts_d = i.parts;
    i.part_0 = Below(rows - i.parts + 1);
    i.part_1 = i.part_d = i.part_0;
    i.round = Below(3);
    i.sat = Bits(1);
    i.acc = Bits(1);
    i.reuse = Bits(1);
    i.count_nf = Bits(1);
    i.rdims = Bits(2);
    i.src1_imm = Bits(1);
    i.imm0 = Bits(32);
    const bool wide_d = Bits(1), wide_0 = Bits(1), wide_1 = Bits(1);
    i.space_d = wide_d;
    i.space_0 = wide_0;
    i.space_1 = wide_1;
    i.dtype_d = Dtype(wide_d);
    i.dtype_0 = Dtype(wide_0);
    i.dtype_1 = Dtype(wide_1);
    std::array<std::uint16_t, 4> size1 = i.size;
    if (Below(12) == 0) {
      i.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
      return i;
    }
    switch (queue) {
      case isa::Queue::kTensor: {
        i.space_d = 1;
        i.space_0 = i.space_1 = 0;
        if (Below(4) == 0) {
          i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
          i.func = Below(2);
          i.dtype_d = Dtype(true);
          i.dtype_1 = Dtype(false);
          i.piece_1 = Below(isa::DtypeBytes(static_cast<isa::Dtype>(i.dtype_1)));
          i.size = {i.parts, 1, 1, 1};
        } else {
          i.opcode = static_cast<std::uint8_t>(isa::Op::kMatmul);
          constexpr std::array<std::uint8_t, 5> kIn = {1, 2, 3, 4, 5};
          constexpr std::array<std::uint8_t, 6> kPieces = {0, 3, 1, 2, 1, 1};
          const bool integer = Below(4) == 0;
          i.dtype_d = integer ? 7 : 1;
          i.dtype_0 = integer ? 6 : kIn[Below(5)];
          i.dtype_1 = integer ? 6 : kIn[Below(5)];
          i.piece_0 = integer ? 0 : Below(kPieces[i.dtype_0]);
          i.piece_1 = integer ? 0 : Below(kPieces[i.dtype_1]);
          i.tiles = Bits(1) ? 0 : Below(3);
          if (limits_.pairs && Bits(1)) {
            i.pair = 1;
            i.dtype_0 = integer ? 6 : 4 + Below(2);
            i.dtype_1 = integer ? 6 : 4 + Below(2);
            i.piece_0 = i.piece_1 = 0;
          }
        }
        const int room = rows >> i.tiles;
        i.parts = std::min<int>(i.parts, 1 + Below(room));
        if (i.opcode == static_cast<std::uint8_t>(isa::Op::kTranspose)) i.size[0] = i.parts;
        if (i.opcode == static_cast<std::uint8_t>(isa::Op::kMatmul)) {
          i.part_0 = Below(room - i.parts + 1);
          i.part_1 = i.part_0;
        }
        i.parts_d = 1 + Below(room);
        i.part_d = Below(room - i.parts_d + 1);
        i.str_1[1] = i.str_1[2] = i.str_1[3] = 0;
        size1 = {i.parts_d, 1, 1, 1};
        break;
      }
      case isa::Queue::kVector:
        VectorEngine(i);
        break;
      default:
        if (Below(6) == 0) {
          i.opcode = static_cast<std::uint8_t>(isa::Op::kLoad);
          i.dtype_0 = 7;
          i.space_0 = 0;
          i.size = {static_cast<std::uint16_t>(2 * (1 + Below(100))), 1, 1, 1};
          i.str_0[0] = 1;
          break;
        }
        i.opcode = static_cast<std::uint8_t>(isa::Op::kAct);
        i.func = Below(27);
        i.sum = Bits(1) ? 0 : Below(3);
        if (i.sum == static_cast<std::uint8_t>(isa::ActSum::kTotal)) {
          for (int k = 0; k <= i.rdims; ++k) i.str_d[k] = 0;
        }
        i.space_1 = 0;
        break;
    }
    std::array<std::uint16_t, 4> size_d = i.size;
    if (i.opcode == static_cast<std::uint8_t>(isa::Op::kStats)) size_d[0] = 2;
    i.off_d = Offset(size_d, i.str_d, ElementBytes(i, 0), i.space_d);
    i.off_0 = Offset(i.size, i.str_0, ElementBytes(i, 1), i.space_0);
    i.off_1 = Offset(size1, i.str_1, ElementBytes(i, 2), i.space_1);
    if (i.opcode == static_cast<std::uint8_t>(isa::Op::kLoad)) i.off_0 &= ~7u;
    if (!Writes(i) && Bits(1)) {
      i.dtype_d = Bits(4);
      i.off_d = Bits(24);
      i.part_d = Bits(8);
      i.parts_d = Bits(8);
      i.space_d = Bits(1);
    }
    if (!ReadsSource0(i) && Bits(1)) {
      i.dtype_0 = Bits(4);
      i.off_0 = Bits(24);
      i.part_0 = Bits(8);
      i.space_0 = Bits(1);
      i.piece_0 = Bits(2);
      for (auto& v : i.str_0) v = static_cast<std::int16_t>(Bits(16));
    }
    if (!ReadsSource1(i) && Bits(1)) {  // what is not read may be anything
      i.dtype_1 = Bits(4);
      i.off_1 = Bits(24);
      i.part_1 = Bits(8);
      i.space_1 = Bits(1);
      for (auto& v : i.str_1) v = static_cast<std::int16_t>(Bits(16));
    }
    return i;
  }

  isa::DmaInstr LegalDma() {
    isa::DmaInstr i;
    Header(i);
    i.size = Sizes();
    i.dtype_d = i.dtype_0 = 1 + Below(7);
    if (Below(12) == 0) {
      i.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
      return i;
    }
    if (Below(3) == 0) return Indexed(i);
    i.opcode = static_cast<std::uint8_t>(isa::Op::kCopy);
    i.dst_addr = Side(i.size, i.dst_str, i.dtype_d);
    i.src_addr = Side(i.size, i.src_str, i.dtype_d);
    return i;
  }
  // A gather or scatter: a table of some rows in DRAM, a list in SBUF.
  isa::DmaInstr Indexed(isa::DmaInstr i) {
    const bool gather = Below(2) == 0;
    i.opcode = static_cast<std::uint8_t>(gather ? isa::Op::kGather : isa::Op::kScatter);
    i.size[2] = std::min<std::uint16_t>(i.size[2], 200);
    i.size[3] = 1;
    const auto esize = static_cast<std::int32_t>(isa::DtypeBytes(static_cast<isa::Dtype>(i.dtype_d)));
    (gather ? i.dst_addr : i.src_addr) = Side(i.size, gather ? i.dst_str : i.src_str, i.dtype_d);
    auto& str = gather ? i.src_str : i.dst_str;
    const auto span = static_cast<std::int64_t>(limits_.dram_limit - limits_.dram_base);
    const auto limit = static_cast<std::uint32_t>(Below(6) == 0 ? 1 + Bits(17) : 1 + Below(300));
    std::int64_t lo = 0, hi = 0;
    for (int k = 0; k < 3; ++k) {
      str[k] = Stride() * esize;
      const std::int64_t d = (k == 2 ? limit - std::int64_t{1} : i.size[k] - std::int64_t{1}) * str[k];
      (d < 0 ? lo : hi) += d;
    }
    (gather ? i.src_addr : i.dst_addr) =
        limits_.dram_base + Fit(lo, hi, esize, std::min<std::int64_t>(span, 1 << 30));
    isa::SetLimit(i, limit);
    const std::uint32_t room = limits_.sbuf_bytes / 4 - i.size[2] + 1;
    isa::SetListAddr(i, static_cast<std::uint32_t>(Below(static_cast<int>(limits_.rows))) << isa::kPartitionPitchLog2 |
                            4 * static_cast<std::uint32_t>(Below(8) == 0 ? room - 1 : Below(static_cast<int>(room))));
    return i;
  }
  std::uint64_t Side(const std::array<std::uint16_t, 4>& size, std::array<std::int32_t, 4>& str,
                     std::uint8_t dtype) {
    const auto esize = static_cast<std::int32_t>(isa::DtypeBytes(static_cast<isa::Dtype>(dtype)));
    std::int64_t lo = 0, hi = 0, plo = 0, phi = 0;
    const bool sbuf = Below(2) == 0;
    for (int k = 0; k < 4; ++k) {
      const std::int32_t bytes = Stride() * esize;
      std::int32_t parts = 0;
      if (sbuf && size[k] <= limits_.rows && Below(3) == 0) parts = Below(3) - 1;
      str[k] = parts * (1 << isa::kPartitionPitchLog2) + bytes;
      const std::int64_t d = std::int64_t{size[k] - 1} * bytes;
      (d < 0 ? lo : hi) += d;
      const std::int64_t p = std::int64_t{size[k] - 1} * parts;
      (p < 0 ? plo : phi) += p;
    }
    if (!sbuf) {
      const auto span = static_cast<std::int64_t>(limits_.dram_limit - limits_.dram_base);
      return limits_.dram_base + Fit(lo, hi, esize, std::min<std::int64_t>(span, 1 << 30));
    }
    const std::int64_t room = std::int64_t{limits_.rows} - phi + plo;
    const std::int64_t part = -plo + (room > 0 ? Below(static_cast<int>(room)) : 0);
    return (std::uint64_t{1} << 44) |
           (static_cast<std::uint64_t>(part & 0xff) << isa::kPartitionPitchLog2) |
           Fit(lo, hi, esize, limits_.sbuf_bytes);
  }

  std::uint16_t Size16() {
    constexpr std::array<std::uint16_t, 6> kEdge = {0, 1, 2, 0x7fff, 0x8000, 0xffff};
    return Bits(1) ? kEdge[Below(6)] : Bits(16);
  }
  // XOR a bit, or replace a field.
  void MutateEngine(isa::Encoded& e) {
    if (Below(6) == 0) {
      const int bit = Below(512);
      e[bit / 8] ^= static_cast<std::uint8_t>(1 << (bit % 8));
      return;
    }
    if (Below(20) == 0) {  // a reserved bit
      constexpr std::array<int, 4> kReserved = {23, 63, 189, 218};
      constexpr std::array<int, 4> kLength = {1, 1, 3, 6};
      const int n = Below(4);
      isa::SetBits(e, kReserved[n] + Below(kLength[n]), 1, 1);
      return;
    }
    isa::EngineInstr i = isa::DecodeEngineInstr(e);
    const int dim = Below(4);
    const auto delta = static_cast<std::uint32_t>(Below(9) - 4);
    switch (Below(34)) {
      case 33: i.pair ^= 1; break;
      case 32: i.sum = Bits(2); break;
      case 27: i.func_1 = Bits(1) ? Bits(8) : Below(24); break;
      case 28: i.gen_0 = Bits(2); break;
      case 29: (Bits(1) ? i.rev : i.rev_1) ^= 1; break;
      case 30: i.scalar_ptr ^= 1; break;
      case 31: i.imm0 = Bits(1) ? i.imm0 + delta : Bits(32); break;
      case 0: i.opcode = Bits(1) ? Bits(8) : 0x10 * Below(5) + Below(6); break;
      case 24: i.piece_0 = Bits(2); break;
      case 25: i.piece_1 = Bits(2); break;
      case 26: i.tiles = Bits(2); break;
      case 1: i.func = Bits(1) ? Bits(8) : Below(Bits(1) ? 8 : 32); break;
      case 2: i.round = 3; break;
      case 3: i.dtype_d = Bits(4); break;
      case 4: i.dtype_0 = Bits(4); break;
      case 5: i.dtype_1 = Bits(4); break;
      case 6: i.space_d ^= 1; break;
      case 7: i.space_0 ^= 1; break;
      case 8: i.space_1 ^= 1; break;
      case 9: i.src1_imm ^= 1; break;
      case 10: i.size[dim] = Size16(); break;
      case 11: i.size[dim] += Below(3) - 1; break;
      case 12: i.parts = Bits(8); break;
      case 13: i.parts_d = Below(3) ? 0 : Bits(8); break;
      case 14: i.part_d = Bits(1) ? Bits(8) : i.part_d + 1; break;
      case 15: i.part_0 = Bits(1) ? Bits(8) : i.part_0 + 1; break;
      case 16: i.part_1 = Bits(1) ? Bits(8) : i.part_1 + 1; break;
      case 17: i.part_d = i.part_0 = i.part_1 = Bits(5); break;
      case 18:
        i.str_d[dim] = static_cast<std::int16_t>(Bits(1) ? Size16() : i.str_d[dim] + delta);
        break;
      case 19:
        i.str_0[dim] = static_cast<std::int16_t>(Bits(1) ? Size16() : i.str_0[dim] + delta);
        break;
      case 20:
        i.str_1[dim] = static_cast<std::int16_t>(Bits(1) ? Size16() : i.str_1[dim] + delta);
        break;
      case 21: i.off_d = (Bits(1) ? Bits(24) : i.off_d + delta) & 0xffffff; break;
      case 22: i.off_0 = (Bits(1) ? Bits(24) : i.off_0 + delta) & 0xffffff; break;
      default: i.off_1 = (Bits(1) ? Bits(24) : i.off_1 + delta) & 0xffffff; break;
    }
    e = isa::Encode(i);
  }
  void MutateDma(isa::Encoded& e) {
    if (Below(6) == 0) {
      const int bit = Below(512);
      e[bit / 8] ^= static_cast<std::uint8_t>(1 << (bit % 8));
      return;
    }
    if (Below(20) == 0) {
      constexpr std::array<int, 4> kReserved = {23, 56, 176, 240};
      const int n = Below(4);
      isa::SetBits(e, kReserved[n] + (n == 0 ? 0 : Below(8)), 1, 1);
      return;
    }
    isa::DmaInstr i = isa::DecodeDmaInstr(e);
    const int dim = Below(4);
    auto& addr = Bits(1) ? i.dst_addr : i.src_addr;
    auto& str = Bits(1) ? i.dst_str : i.src_str;
    constexpr std::uint64_t kAddr = (std::uint64_t{1} << isa::kAddrBits) - 1;
    const auto delta = static_cast<std::uint64_t>(std::int64_t{Below(9) - 4});
    switch (Below(18)) {
      case 17:  // a table of more bytes than addresses have
        isa::SetLimit(i, Bits(31));
        str[2] = static_cast<std::int32_t>(Bits(32) & ~3u);
        break;
      case 13: i.opcode = 0x40 + Below(4); break;
      case 14: isa::SetLimit(i, Bits(1) ? Bits(32) : isa::Limit(i) + static_cast<std::uint32_t>(delta)); break;
      case 15: isa::SetListAddr(i, Bits(1) ? Bits(32) : isa::ListAddr(i) + static_cast<std::uint32_t>(delta)); break;
      case 16:
        isa::SetListAddr(i, Below(2) ? isa::ListAddr(i) + (Bits(4) << isa::kPartitionPitchLog2)
                                     : (isa::ListAddr(i) & ~0xfffffu) | (limits_.sbuf_bytes - 4 * Bits(7)));
        break;
      case 0: i.opcode = Bits(1) ? Bits(8) : 0x10 * Below(5); break;
      case 1: i.dtype_d = Bits(4); break;
      case 2: i.dtype_0 = Bits(4); break;
      case 3: i.dtype_d = i.dtype_0 = Bits(4); break;
      case 4: i.size[dim] = Size16(); break;
      case 5: i.size[dim] += Below(3) - 1; break;
      case 6: addr = (addr + delta) & kAddr; break;
      case 7: addr ^= std::uint64_t{1} << Below(48); break;
      case 8: addr = (addr + (std::uint64_t{Bits(5)} << isa::kPartitionPitchLog2)) & kAddr; break;
      case 9: addr = (std::uint64_t{Bits(16)} << 32) | Bits(32); break;
      case 10: str[dim] = static_cast<std::int32_t>(Bits(32)); break;
      case 11: str[dim] += static_cast<std::int32_t>(delta); break;
      default:
        str[dim] = static_cast<std::int32_t>(static_cast<std::uint32_t>(str[dim]) +
                                             (static_cast<std::uint32_t>(Below(5) - 2) << 20));
        break;
    }
    e = isa::Encode(i);
  }

  std::mt19937 rng_;
  CheckLimits limits_;
};

}  // namespace dither::tb
