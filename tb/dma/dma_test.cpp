// Tests of two DMA channels behind the AXI muxes, against a plain walk of the copy's definition.
// Built once per AXI width (-GAxiBits=128|256|512).
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "Vdma_tb.h"
#include "Vdma_tb___024root.h"
#include "sim/isa/isa.hpp"
#include "sim/verilated/axi_memory.hpp"
#include "tb/support/clocked.hpp"

namespace dither {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr int kAxiBits = static_cast<int>(sizeof(Vdma_tb::r_data_i) * 8);
constexpr int kBeat = kAxiBits / 8;
constexpr int kRows = 8;
constexpr int kSbufBytes = 8192;  // of a partition
constexpr std::uint64_t kDramBase = 0x9'8765'4000;  // needs more than 32 bits
constexpr std::uint64_t kDramBytes = 0x40000;
constexpr std::uint64_t kSbufSpace = std::uint64_t{1} << 44;

struct Outcome {
  bool err = false;
  std::uint8_t cause = 0;
  std::uint64_t addr = 0;
  std::uint64_t cycle = 0;
  bool operator==(const Outcome& o) const {
    return err == o.err && cause == o.cause && addr == o.addr;
  }
};

// How often what is refused, percent.
struct Stalls {
  int memory = 0;  // every AXI handshake
  int sbuf = 0;
  int issue = 0;
};

class Bench {
 public:
  explicit Bench(std::uint64_t seed, Stalls stalls = {})
      : rng(seed),
        dut(seed),
        dram(kDramBytes),
        memory(BindAxi<kAxiBits>(*dut), dram, kDramBase, seed),
        sbuf(kRows * kSbufBytes),
        stalls_(stalls) {
    static_assert(sizeof(dut->rootp->dma_tb__DOT__sbuf) == kRows * kSbufBytes);
    for (auto& b : dram) b = static_cast<std::uint8_t>(rng());
    for (auto& b : sbuf) b = static_cast<std::uint8_t>(rng());
    std::memcpy(SbufCells(), sbuf.data(), sbuf.size());
    want_dram = dram;
    auto& b = memory.behaviour();
    b.ar_stall = b.r_stall = b.aw_stall = b.w_stall = b.b_stall = stalls.memory;
    dut->watchdog_i = 0;
    dut->fetch_valid_i = 0;
    dut->fetch_r_ready_i = 1;
    dut->instr_valid_i = 0;
    dut.OnDrive([this] { Drive(); });
    dut.OnSample([this] { Sample(); });
  }

  void Issue(int channel, const isa::DmaInstr& i) { todo[channel].push_back(isa::Encode(i)); }

  // Until both channels have retired what was issued, or stopped. False: too many cycles.
  bool Finish(std::uint64_t bound = 400000) {
    for (std::uint64_t n = 0; n < bound; ++n) {
      const bool issued = todo[0].empty() && todo[1].empty() && !(dut->instr_valid_i & ~taken_);
      if (issued && dut->busy_o == 0) return true;
      dut.Step();
    }
    return false;
  }

  // The copy's definition, on the expected memories.
  void Expect(const isa::DmaInstr& i) {
    const int esize = static_cast<int>(isa::DtypeBytes(static_cast<isa::Dtype>(i.dtype_0)));
    const auto op = static_cast<isa::Op>(i.opcode);
    const bool indexed = op != isa::Op::kCopy;
    for (int i3 = 0; i3 < i.size[3]; ++i3) {
      for (int i2 = 0; i2 < i.size[2]; ++i2) {
        for (int i1 = 0; i1 < i.size[1]; ++i1) {
          for (int i0 = 0; i0 < i.size[0]; ++i0) {
            const std::array<int, 4> at{i0, i1, i2, i3};
            std::uint64_t s = i.src_addr, d = i.dst_addr;
            for (int k = 0; k < (indexed ? 3 : 4); ++k) {
              std::int64_t s_at = at[k], d_at = at[k];
              if (indexed && k == 2) (op == isa::Op::kGather ? s_at : d_at) = Index(i, at[k]);
              s += static_cast<std::uint64_t>(s_at * i.src_str[k]);
              d += static_cast<std::uint64_t>(d_at * i.dst_str[k]);
            }
            for (int b = 0; b < esize; ++b) *Want(d + b) = *Want(s + b);
          }
        }
      }
    }
  }
  // Puts a list where the instruction expects it, in both memories.
  void PutList(const isa::DmaInstr& i, const std::vector<std::uint32_t>& list) {
    std::memcpy(Want(kSbufSpace + isa::ListAddr(i)), list.data(), 4 * list.size());
    std::memcpy(SbufCells() + (Want(kSbufSpace + isa::ListAddr(i)) - sbuf.data()), list.data(), 4 * list.size());
  }
  void CheckMemories() {
    REQUIRE(memory.violations() == std::vector<std::string>{});
    CheckSame("DRAM", dram.data(), want_dram);
    CheckSame("SBUF", SbufCells(), sbuf);
  }
  std::uint8_t* SbufCells() {
    return reinterpret_cast<std::uint8_t*>(&dut->rootp->dma_tb__DOT__sbuf[0]);
  }
  bool Percent(int p) { return static_cast<int>(rng() % 100) < p; }

  std::mt19937_64 rng;
  tb::Clocked<Vdma_tb> dut;
  Bytes dram, want_dram;
  AxiMemory<kAxiBits> memory;
  Bytes sbuf;  // expected
  std::array<std::deque<isa::Encoded>, 2> todo;
  std::array<std::vector<Outcome>, 2> outcomes;
  std::array<std::uint64_t, 2> work{}, stalled{};

 private:
  std::uint8_t* Want(std::uint64_t address) {
    if (address >> 44 == 1) {
      return &sbuf.at((address >> 20 & 0xff) * kSbufBytes + (address & 0xfffff));
    }
    return &want_dram.at(address - kDramBase);
  }
  std::int64_t Index(const isa::DmaInstr& i, int n) {
    std::uint32_t index = 0;
    std::memcpy(&index, Want(kSbufSpace + isa::ListAddr(i)) + 4 * n, 4);
    return index;
  }
  static void CheckSame(const char* what, const std::uint8_t* got, const Bytes& want) {
    if (std::memcmp(got, want.data(), want.size()) == 0) return;
    std::size_t i = 0;
    while (got[i] == want[i]) ++i;
    INFO(what << " differs at byte 0x" << std::hex << i << ": " << int{got[i]} << ", expected "
              << int{want[i]});
    REQUIRE(got[i] == want[i]);
  }
  void Drive() {
    memory.Drive();
    dut->allow_i = !Percent(stalls_.sbuf);
    dut->allow_i |= !Percent(stalls_.sbuf) << 1;
    dut->instr_valid_i &= static_cast<std::uint8_t>(~taken_);
    taken_ = 0;
    for (int c = 0; c < 2; ++c) {
      if (dut->instr_valid_i >> c & 1 || todo[c].empty() || Percent(stalls_.issue)) continue;
      dut->instr_valid_i |= 1 << c;
      auto& port = c == 0 ? dut->instr0_i : dut->instr1_i;
      std::memcpy(port.data(), todo[c].front().data(), 64);
      todo[c].pop_front();
    }
  }
  void Sample() {
    memory.Sample();
    for (int c = 0; c < 2; ++c) {
      work[c] += dut->work_o >> (8 * c) & 0xff;
      stalled[c] += dut->stall_o >> c & 1;
      const bool done = dut->done_o >> c & 1, err = dut->err_o >> c & 1;
      if (done || err) {
        Outcome o{err, 0, 0, dut.cycle()};
        if (err) {
          o.cause = static_cast<std::uint8_t>(dut->err_cause_o >> (8 * c));
          o.addr = c == 0 ? dut->err_addr0_o : dut->err_addr1_o;
        }
        outcomes[c].push_back(o);
      }
    }
    taken_ = dut->instr_valid_i & dut->instr_ready_o;
  }

  Stalls stalls_;
  std::uint8_t taken_ = 0;  // channels whose instruction was accepted at the last edge
};

// ---- making copies

isa::DmaInstr Copy(isa::Dtype dtype, std::uint64_t src, std::uint64_t dst,
                   std::array<std::uint16_t, 4> size, std::array<std::int32_t, 4> src_str,
                   std::array<std::int32_t, 4> dst_str) {
  isa::DmaInstr i;
  i.opcode = static_cast<std::uint8_t>(isa::Op::kCopy);
  i.dtype_d = i.dtype_0 = static_cast<std::uint8_t>(dtype);
  i.size = size;
  i.src_addr = src;
  i.dst_addr = dst;
  i.src_str = src_str;
  i.dst_str = dst_str;
  return i;
}
// One contiguous run of bytes.
isa::DmaInstr Run(std::uint64_t src, std::uint64_t dst, int bytes) {
  return Copy(isa::Dtype::kInt8, src, dst, {static_cast<std::uint16_t>(bytes), 1, 1, 1},
              {1, 0, 0, 0}, {1, 0, 0, 0});
}
std::uint64_t Sbuf(int partition, int byte) {
  return kSbufSpace + (static_cast<std::uint64_t>(partition) << 20) + static_cast<unsigned>(byte);
}

// Part of a memory that a side may use.
struct Region {
  bool sbuf = false;
  std::uint64_t first = 0;  // DRAM address, or byte in every partition
  std::int64_t bytes = 0;
};
// Channel c reads and writes its own quarters, so that the two sides of a copy never overlap.
Region RegionOf(bool sbuf, int channel, bool dst) {
  const auto quarter = static_cast<std::uint64_t>(2 * channel + dst);
  if (sbuf) return {true, quarter * kSbufBytes / 4, kSbufBytes / 4};
  return {false, kDramBase + quarter * kDramBytes / 4, kDramBytes / 4};
}

// Strides and an address for `size` elements inside the region.
struct Side {
  std::uint64_t addr = 0;
  std::array<std::int32_t, 4> str{};
};
template <typename Rng>
Side RandomSide(Rng& rng, const Region& region, int esize,
                const std::array<std::uint16_t, 4>& size) {
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(rng() % static_cast<std::uint64_t>(n));
  };
  for (;;) {
    std::array<int, 4> order{0, 1, 2, 3};
    if (below(3) == 0) std::shuffle(order.begin(), order.end(), rng);
    std::array<std::int64_t, 4> part{}, byte{};
    std::int64_t next = esize;
    for (const int k : order) {
      if (region.sbuf && size[k] <= kRows && below(3) == 0) {
        part[k] = below(4) == 0 ? -1 : 1;
        if (below(4) == 0) byte[k] = (below(17) - 8) * esize;
        continue;
      }
      byte[k] = next;
      if (below(10) == 0) byte[k] = (below(400) - 200) * esize;
      next *= size[k];
      if (below(3) == 0) next += below(9) * esize;
      if (below(5) == 0) byte[k] = -byte[k];
      if (below(12) == 0) byte[k] = 0;
    }
    std::int64_t low = 0, high = esize - 1, part_low = 0, part_high = 0;
    for (int k = 0; k < 4; ++k) {
      low += std::min<std::int64_t>(0, byte[k] * (size[k] - 1));
      high += std::max<std::int64_t>(0, byte[k] * (size[k] - 1));
      part_low += std::min<std::int64_t>(0, part[k] * (size[k] - 1));
      part_high += std::max<std::int64_t>(0, part[k] * (size[k] - 1));
    }
    if (high - low >= region.bytes - 8 || part_high - part_low >= kRows) continue;
    Side side;
    const std::int64_t room = (region.bytes - (high - low) - 1) / esize;
    side.addr = region.first + static_cast<std::uint64_t>(below(room) * esize - low);
    if (region.sbuf) {
      const std::int64_t part_room = kRows - (part_high - part_low);
      side.addr += Sbuf(static_cast<int>(below(part_room) - part_low), 0);
    }
    for (int k = 0; k < 4; ++k) {
      side.str[k] = static_cast<std::int32_t>(part[k] * (1 << 20) + byte[k]);
    }
    return side;
  }
}

template <typename Rng>
isa::DmaInstr RandomCopy(Rng& rng, int channel) {
  constexpr std::array kTypes{isa::Dtype::kInt8, isa::Dtype::kBf16, isa::Dtype::kFp32};
  constexpr std::array kSizes{1, 1, 1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 31, 32, 61, 128, 257, 509};
  const auto dtype = kTypes[rng() % kTypes.size()];
  const int esize = static_cast<int>(isa::DtypeBytes(dtype));
  std::array<std::uint16_t, 4> size{};
  do {
    for (auto& n : size) n = static_cast<std::uint16_t>(kSizes[rng() % kSizes.size()]);
  } while (std::int64_t{size[0]} * size[1] * size[2] * size[3] * esize > kSbufBytes / 4 - 64);
  const Side s = RandomSide(rng, RegionOf(rng() % 2, channel, false), esize, size);
  const Side d = RandomSide(rng, RegionOf(rng() % 2, channel, true), esize, size);
  return Copy(dtype, s.addr, d.addr, size, s.str, d.str);
}

// A gather or scatter of `rows` rows of [d1][d0] elements, with its list in SBUF: in the last bytes of a
// channel's own quarters, which copies of 2048 - 64 bytes at most leave alone.
struct Indexed {
  isa::DmaInstr instr;
  std::vector<std::uint32_t> list;
};
constexpr int kListBytes = kSbufBytes / 16;
template <typename Rng>
Indexed RandomIndexed(Rng& rng, int channel) {
  constexpr std::array kTypes{isa::Dtype::kInt8, isa::Dtype::kBf16, isa::Dtype::kFp32};
  const auto dtype = kTypes[rng() % kTypes.size()];
  const int esize = static_cast<int>(isa::DtypeBytes(dtype));
  const bool gather = rng() % 2;
  const auto below = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  std::array<std::uint16_t, 4> size{1, 1, 1, 1};
  do {
    size[0] = static_cast<std::uint16_t>(1 + below(below(3) == 0 ? 300 : 24));
    size[1] = static_cast<std::uint16_t>(below(2) ? 1 : 1 + below(6));
    size[2] = static_cast<std::uint16_t>(1 + below(40));
  } while (size[0] * size[1] * size[2] * esize > kSbufBytes / 4 - kListBytes - 64);
  // The side that is no table; in SBUF it stops short of the lists.
  Region other = RegionOf(below(3) != 0, channel, gather);
  if (other.sbuf) other.bytes -= kListBytes;
  const Side o = RandomSide(rng, other, esize, size);
  // The table: rows with gaps or none, forwards or backwards, sometimes of one stride for all.
  const Region region = RegionOf(false, channel, !gather);
  const bool column = below(6) == 0;  // elements of a row don't touch
  const int step1 = size[0] * esize * (column ? 2 : 1) + below(3) * esize;
  const int row = step1 * size[1] + below(4) * below(40) * esize;
  const int most = static_cast<int>(region.bytes) / row - 1;
  const int limit = 1 + below(below(4) == 0 ? 8 : most);
  const bool back = below(4) == 0;
  Side t;
  t.addr = region.first + static_cast<unsigned>(below((static_cast<int>(region.bytes) - limit * row) / esize) * esize);
  if (back) t.addr += static_cast<unsigned>((limit - 1) * row);
  t.str = {column ? 2 * esize : esize, step1, back ? -row : row, 0};
  Indexed x;
  x.instr = gather ? Copy(dtype, t.addr, o.addr, size, t.str, o.str) : Copy(dtype, o.addr, t.addr, size, o.str, t.str);
  x.instr.opcode = static_cast<std::uint8_t>(gather ? isa::Op::kGather : isa::Op::kScatter);
  isa::SetLimit(x.instr, static_cast<std::uint32_t>(limit));
  // Half of the list bytes of a source quarter, so that lists of two instructions in flight may differ.
  const auto at = static_cast<std::uint32_t>((2 * channel + 1) * kSbufBytes / 4 - kListBytes + 4 * below((kListBytes - 160) / 4));
  isa::SetListAddr(x.instr, static_cast<std::uint32_t>(below(kRows)) << isa::kPartitionPitchLog2 | at);
  for (int n = 0; n < size[2]; ++n) x.list.push_back(static_cast<std::uint32_t>(below(limit)));
  return x;
}

constexpr auto kCauseRead = static_cast<std::uint8_t>(isa::Err::kAxiRead);
constexpr auto kCauseIndex = static_cast<std::uint8_t>(isa::Err::kBadIndex);
constexpr auto kCauseWrite = static_cast<std::uint8_t>(isa::Err::kAxiWrite);
constexpr auto kCauseWatchdog = static_cast<std::uint8_t>(isa::Err::kWatchdog);
const Outcome kDone{};

// DITHER_SEED=n in the environment tries other random copies.
unsigned SeedBase() {
  const char* text = std::getenv("DITHER_SEED");
  return text == nullptr ? 0 : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

// A memory of another kind for each seed.
void Vary(Bench& bench, std::uint64_t seed) {
  bench.memory.behaviour().reorder = seed % 2 == 0;
  bench.memory.behaviour().data_first = seed % 3 == 0;
  bench.memory.behaviour().read_latency = seed % 4 == 3 ? 3 : 100;
}

// ---- tests

TEST_CASE("dma: any strided copy moves the elements of its definition and no other byte",
          "[dma][random]") {
  const auto seed = GENERATE(range(1u, 9u)) + SeedBase();
  const auto stall = GENERATE(0, 30, 85);
  CAPTURE(kAxiBits, seed, stall);
  Bench bench(seed, {stall, stall, stall});
  Vary(bench, seed);
  const int count = stall > 50 ? 12 : 40;
  for (int round = 0; round < 3; ++round) {
    for (int n = 0; n < count; ++n) {
      for (int c = 0; c < 2; ++c) {
        const auto i = RandomCopy(bench.rng, c);
        bench.Issue(c, i);
        bench.Expect(i);
      }
    }
    REQUIRE(bench.Finish(2000000));
    bench.CheckMemories();
  }
  for (int c = 0; c < 2; ++c) {
    CHECK(bench.outcomes[c] == std::vector<Outcome>(static_cast<std::size_t>(3 * count), kDone));
  }
  CHECK(bench.memory.idle());
}

TEST_CASE("dma: every alignment of source and destination gives the same bytes",
          "[dma][directed]") {
  const int direction = GENERATE(0, 1, 2, 3);
  CAPTURE(kAxiBits, direction);
  Bench bench(direction + 1);
  bench.memory.behaviour().read_latency = 5;
  const Region s = RegionOf(direction & 1, 0, false), d = RegionOf(direction & 2, 0, true);
  for (const int bytes : {1, 2, kBeat - 1, kBeat, kBeat + 1, 2 * kBeat + 5, 17 * kBeat + 3}) {
    for (int so = 0; so < kBeat; so += kBeat / 16) {
      for (int off = 0; off < kBeat; off += 3) {
        const auto i = Run((s.sbuf ? Sbuf(5, 0) : 0) + s.first + so,
                           (d.sbuf ? Sbuf(6, 0) : 0) + d.first + bytes % 5 * 64 + off, bytes);
        bench.Issue(0, i);
        bench.Expect(i);
      }
    }
    REQUIRE(bench.Finish());
    bench.CheckMemories();
  }
}

TEST_CASE("dma: runs over 4 KiB borders are cut there", "[dma][directed]") {
  Bench bench(1);
  for (const int before : {1, 3, kBeat - 1, kBeat, kBeat + 7, 4096 - 1}) {
    for (const int after : {1, kBeat + 1, 4096 + 5}) {
      const auto i = Run(RegionOf(false, 0, false).first + 8192 - before,
                         RegionOf(false, 0, true).first + 12288 - after, before + after);
      bench.Issue(0, i);
      bench.Expect(i);
    }
  }
  REQUIRE(bench.Finish());
  bench.CheckMemories();
}

TEST_CASE("dma: two channels copying inside one DRAM never wait for each other's data",
          "[dma][directed]") {
  const auto seed = GENERATE(range(1u, 5u));
  CAPTURE(kAxiBits, seed);
  Bench bench(seed, {static_cast<int>(seed) * 15 - 15, 0, 0});
  auto& memory = bench.memory.behaviour();
  memory.reorder = true;
  memory.data_first = seed % 2 == 0;
  memory.w_stall = 60;  // so that the streams fill up and R has to wait
  for (int n = 0; n < 4; ++n) {
    for (int c = 0; c < 2; ++c) {
      const auto i = Run(RegionOf(false, c, false).first + 5 * n + c,
                         RegionOf(false, c, true).first + 16000 * n + 11 * c, 15000);
      bench.Issue(c, i);
      bench.Expect(i);
    }
  }
  REQUIRE(bench.Finish());
  bench.CheckMemories();
}

TEST_CASE("dma: a source written by the instruction before is read after its semaphore",
          "[dma][directed]") {
  // The test stands in for the semaphore: it issues the second copy when the first is done.
  Bench bench(1, {30, 30, 0});
  const auto there = Run(RegionOf(false, 0, false).first + 5, Sbuf(2, 9), 1000);
  const auto back = Run(Sbuf(2, 9), RegionOf(false, 1, true).first + 3, 1000);
  for (const auto& i : {there, back}) {
    bench.Issue(0, i);
    bench.Expect(i);
    REQUIRE(bench.Finish());
  }
  bench.CheckMemories();
}

TEST_CASE("dma: a nop retires after the copies before it and moves nothing", "[dma][directed]") {
  Bench bench(1);
  const auto copy = Run(RegionOf(false, 0, false).first, RegionOf(false, 0, true).first, 3000);
  isa::DmaInstr nop;  // all sizes zero
  nop.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
  bench.Expect(copy);
  for (const auto& i : {nop, copy, nop, nop}) bench.Issue(0, i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  REQUIRE(bench.outcomes[0] == std::vector<Outcome>(4, kDone));
  CHECK(bench.outcomes[0][0].cycle < 10);
  CHECK(bench.outcomes[0][2].cycle > 100);
}

TEST_CASE("dma: a read error stops the queue at its instruction and names the burst",
          "[dma][directed]") {
  const auto resp = GENERATE(AxiResp::kSlvErr, AxiResp::kDecErr);
  const int stall = GENERATE(0, 40);
  const bool to_sbuf = GENERATE(false, true);
  const int at = GENERATE(0, 1, 2, 3);  // which of four copies fails
  CAPTURE(kAxiBits, stall, to_sbuf, at);
  Bench bench(at + 1, {stall, stall, 0});
  const std::uint64_t src = RegionOf(false, 0, false).first;
  const std::uint64_t dst = to_sbuf ? Sbuf(3, 0) : RegionOf(false, 0, true).first;
  // Copy n moves 500 bytes from src + 4096 n + 3; the fault lies in its second burst.
  const std::uint64_t burst = src + 4096 * at + 16 * kBeat;
  const bool second = 16 * kBeat < 503;
  const std::uint64_t named = second ? burst : src + 4096 * at;
  bench.memory.faults().push_back({named + 2 * kBeat + 1, named + 2 * kBeat + 1, resp});
  for (int n = 0; n < 4; ++n) {
    const auto i = Run(src + 4096 * n + 3, dst + 512 * n + 1, 500);
    if (n < at) bench.Expect(i);
    bench.Issue(0, i);
  }
  while (bench.outcomes[0].size() <= static_cast<std::size_t>(at)) {
    bench.dut.Step();
    REQUIRE(bench.dut.cycle() < 20000);
  }
  std::vector<Outcome> want(at, kDone);
  want.push_back({true, kCauseRead, named, 0});
  CHECK(bench.outcomes[0] == want);
  CHECK(bench.memory.idle());
  CHECK(bench.dut->busy_o == 0);
  // Only the failing copy's own destination may have changed.
  const std::uint8_t* got = to_sbuf ? bench.SbufCells() + 3 * kSbufBytes
                                    : bench.dram.data() + (dst - kDramBase);
  std::uint8_t* expected = to_sbuf ? bench.sbuf.data() + 3 * kSbufBytes
                                   : bench.want_dram.data() + (dst - kDramBase);
  std::memcpy(expected + 512 * at + 1, got + 512 * at + 1, 500);
  bench.CheckMemories();
  // The queue would stop here. Later copies work again.
  bench.todo[0].clear();
  bench.memory.faults().clear();
  const auto again = Run(src + 77, dst + 5, 900);
  bench.Issue(0, again);
  bench.Expect(again);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  CHECK(bench.outcomes[0].back() == kDone);
}

TEST_CASE("dma: a write error stops the queue at its instruction and names the burst",
          "[dma][directed]") {
  const int stall = GENERATE(0, 40);
  const int at = GENERATE(0, 1, 2, 3);
  CAPTURE(kAxiBits, stall, at);
  Bench bench(at + 1, {stall, stall, 0});
  const std::uint64_t src = RegionOf(false, 0, false).first;
  const std::uint64_t dst = RegionOf(false, 0, true).first;
  const std::uint64_t named = dst + 4096 * at + 16 * kBeat;
  bench.memory.faults().push_back({named + kBeat, named + kBeat, AxiResp::kSlvErr});
  for (int n = 0; n < 4; ++n) {
    const auto i = Run(src + 3, dst + 4096 * n + 1, 40 * kBeat);
    if (n < at) bench.Expect(i);
    bench.Issue(0, i);
  }
  while (bench.outcomes[0].size() <= static_cast<std::size_t>(at)) {
    bench.dut.Step();
    REQUIRE(bench.dut.cycle() < 20000);
  }
  std::vector<Outcome> want(at, kDone);
  want.push_back({true, kCauseWrite, named, 0});
  CHECK(bench.outcomes[0] == want);
  CHECK(bench.memory.idle());
  const auto first = static_cast<std::size_t>(dst - kDramBase) + 4096 * at + 1;
  std::memcpy(bench.want_dram.data() + first, bench.dram.data() + first, 40 * kBeat);
  bench.CheckMemories();
  bench.todo[0].clear();
  bench.memory.faults().clear();
  const auto again = Run(src + 77, dst + 5, 900);
  bench.Issue(0, again);
  bench.Expect(again);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  CHECK(bench.outcomes[0].back() == kDone);
}

TEST_CASE("dma: errors on one channel leave the other one's copies whole", "[dma][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  CAPTURE(kAxiBits, seed);
  Bench bench(seed, {25, 25, 25});
  bench.memory.behaviour().reorder = true;
  const Region bad = RegionOf(false, 0, false);
  bench.memory.faults().push_back({bad.first + 0x4000, bad.first + 0x40ff, AxiResp::kDecErr});
  std::size_t errors = 0;
  for (int n = 0; n < 20; ++n) {
    bench.Issue(0, Run(bad.first + 0x3f00 + 16 * n, RegionOf(false, 0, true).first, 0x200));
    const auto i = RandomCopy(bench.rng, 1);
    bench.Issue(1, i);
    bench.Expect(i);
  }
  // Channel 0 drops what is inside at each error; the rest of its queue goes on by itself here.
  REQUIRE(bench.Finish());
  for (const auto& o : bench.outcomes[0]) errors += o.err && o.cause == kCauseRead;
  CHECK(errors >= 5);
  CHECK(errors == bench.outcomes[0].size());
  CHECK(bench.outcomes[1] == std::vector<Outcome>(20, kDone));
  const auto own = static_cast<std::size_t>(RegionOf(false, 0, true).first - kDramBase);
  std::memcpy(bench.want_dram.data() + own, bench.dram.data() + own, 0x200);
  bench.CheckMemories();
}

TEST_CASE("dma: silent memory raises the watchdog, and late answers harm nobody",
          "[dma][directed]") {
  const bool writing = GENERATE(false, true);
  CAPTURE(kAxiBits, writing);
  Bench bench(1);
  bench.dut->watchdog_i = 300;
  bench.memory.behaviour().silent = true;
  const std::uint64_t src = RegionOf(false, 0, false).first, dst = RegionOf(false, 0, true).first;
  const auto slow = writing ? Run(Sbuf(1, 7), dst + 9, 600) : Run(src + 1, dst + 9, 600);
  bench.Issue(0, slow);
  REQUIRE(bench.Finish(2000));
  const Outcome late{true, kCauseWatchdog, (writing ? dst : src) / kBeat * kBeat, 0};
  REQUIRE(bench.outcomes[0] == std::vector<Outcome>{late});
  CHECK(bench.outcomes[0][0].cycle > 300);
  CHECK(bench.outcomes[0][0].cycle < 420);
  // Still silent: the next instruction is told so, too.
  bench.Issue(0, slow);
  REQUIRE(bench.Finish(2000));
  REQUIRE(bench.outcomes[0] == std::vector<Outcome>{late, late});
  // It wakes up while an instruction waits.
  const auto next = Run(src + 4099, dst + 2000, 1234);
  bench.Issue(0, next);
  bench.Expect(next);
  bench.dut.Run(10);
  bench.memory.behaviour().silent = false;
  REQUIRE(bench.Finish(2000));
  REQUIRE(bench.outcomes[0] == std::vector<Outcome>{late, late, kDone});
  if (writing) bench.Expect(slow);
  bench.CheckMemories();
  CHECK(bench.memory.idle());
}

TEST_CASE("dma: slow memory does not raise the watchdog while it moves", "[dma][directed]") {
  Bench bench(1, {95, 95, 0});
  bench.dut->watchdog_i = 400;
  const auto i = Run(RegionOf(false, 0, false).first + 1, RegionOf(false, 0, true).first + 9, 3000);
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0] == std::vector<Outcome>{kDone});
  bench.CheckMemories();
}

TEST_CASE("dma: long copies move a beat a cycle at 100 cycles of latency", "[dma][throughput]") {
  const int direction = GENERATE(0, 1, 2);  // DRAM to DRAM, SBUF to DRAM, DRAM to SBUF
  const int skew = GENERATE(0, 3);          // both sides aligned, or neither
  CAPTURE(kAxiBits, direction, skew);
  Bench bench(1);
  const int rows = 24, row = 512;  // the runs of a tile of 512 bytes a partition
  const bool from_sbuf = direction == 1, to_sbuf = direction == 2;
  const std::uint64_t src = (from_sbuf ? Sbuf(0, 0) : RegionOf(false, 0, false).first) + skew;
  const std::uint64_t dst = (to_sbuf ? Sbuf(0, 0) : RegionOf(false, 0, true).first) + 2 * skew;
  // On the SBUF side three passes over eight partitions.
  const auto i = Copy(isa::Dtype::kInt8, src, dst, {row, 8, rows / 8, 1},
                      from_sbuf ? std::array<std::int32_t, 4>{1, 1 << 20, 1024, 0}
                                : std::array<std::int32_t, 4>{1, 600, 600 * 8, 0},
                      to_sbuf ? std::array<std::int32_t, 4>{1, 1 << 20, 1024, 0}
                              : std::array<std::int32_t, 4>{1, 1040, 1040 * 8, 0});
  const int copies = 8;
  for (int n = 0; n < copies; ++n) bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  // Runs that begin inside a beat need one beat more on the side where they do.
  const int beats = rows * (row / kBeat + (skew != 0 || 600 % kBeat != 0 ? 1 : 0));
  const auto cycles = bench.outcomes[0][copies - 1].cycle - bench.outcomes[0][1].cycle;
  const auto ideal = static_cast<std::uint64_t>((copies - 2) * beats);
  // A copy to DRAM begins to write when the one before it has its last answer: 20 cycles of the
  // memory, 7 of the way there and back.
  const std::uint64_t answers = to_sbuf ? 0 : (copies - 2) * 27;
  CAPTURE(cycles, ideal);
  CHECK((cycles - answers) * 95 <= ideal * 100);
  CHECK(bench.work[0] == static_cast<std::uint64_t>(copies * rows * row));
  CHECK(bench.stalled[0] == 0);
}

TEST_CASE("dma: one long copy costs its beats and one latency", "[dma][throughput]") {
  Bench bench(1);
  const int beats = 0x8000 / kBeat;
  const auto i = Run(RegionOf(false, 0, false).first, RegionOf(false, 0, true).first, 0x8000);
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  const auto cycles = bench.outcomes[0][0].cycle;
  // Latency of the first read, of the last B, and a burst that waits for its last byte.
  const auto fill = 100u + 20u + 16u + 14u;
  CHECK(cycles <= fill + static_cast<std::uint64_t>(beats) * 100 / 95);
}

TEST_CASE("dma: rows that touch in DRAM are read in long bursts", "[dma][throughput]") {
  // 32 bytes for each of 8 partitions, 16 times: the tile is contiguous in DRAM.
  Bench bench(1);
  const auto i = Copy(isa::Dtype::kBf16, RegionOf(false, 0, false).first, Sbuf(0, 64),
                      {16, 8, 16, 1}, {2, 32, 256, 0}, {2, 1 << 20, 32, 0});
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  // Dimension 1 joins 8 rows of 32 bytes.
  CHECK(bench.memory.statistics().read_bursts == 16);
  const int writes = 16 * 8 * (32 > kBeat ? 32 / kBeat : 1);
  CHECK(bench.outcomes[0][0].cycle < 130u + 8u + static_cast<unsigned>(writes) * 105 / 100);
}

TEST_CASE("dma: scattered short rows ask for one burst a cycle", "[dma][throughput]") {
  Bench bench(1);
  bench.memory.behaviour().read_latency = 8;
  const auto i = Copy(isa::Dtype::kInt8, RegionOf(false, 0, false).first, Sbuf(0, 0),
                      {16, 64, 1, 1}, {1, 128, 0, 0}, {1, 16, 0, 0});
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  CHECK(bench.memory.statistics().read_bursts == 64);
  CHECK(bench.outcomes[0][0].cycle < 64 + 8 + 12);
}

// ---- rows by a list of indices

TEST_CASE("dma: gathers and scatters among copies move the rows that their lists name", "[dma][indexed][random]") {
  const auto seed = GENERATE(range(1u, 9u)) + SeedBase();
  const auto stall = GENERATE(0, 30, 85);
  CAPTURE(kAxiBits, seed, stall);
  Bench bench(seed, {stall, stall, stall});
  Vary(bench, seed);
  const int count = stall > 50 ? 8 : 24;
  for (int round = 0; round < 3; ++round) {
    // All lists of a round lie at one place each, so that none is changed while it is used.
    std::array<std::vector<isa::DmaInstr>, 2> todo;
    for (int c = 0; c < 2; ++c) {
      const Indexed first = RandomIndexed(bench.rng, c);
      bench.PutList(first.instr, first.list);
      todo[c].push_back(first.instr);
      while (static_cast<int>(todo[c].size()) < count) {
        const int kind = static_cast<int>(bench.rng() % 4);
        if (kind == 0) {
          todo[c].push_back(first.instr);
        } else if (kind == 1) {  // copies leave the list bytes alone: they stay in the destination's quarter or in DRAM
          auto i = RandomCopy(bench.rng, c);
          if (i.dst_addr >> 44 == 1 || i.src_addr >> 44 == 1) continue;
          todo[c].push_back(i);
        } else {
          Indexed x = RandomIndexed(bench.rng, c);
          // The list that is there, as far as it suits: its place, its length, and a limit above all of it.
          isa::SetListAddr(x.instr, isa::ListAddr(first.instr));
          if (x.instr.size[2] > first.list.size()) continue;
          const auto most = *std::max_element(first.list.begin(), first.list.begin() + x.instr.size[2]);
          if (most >= isa::Limit(x.instr)) continue;
          todo[c].push_back(x.instr);
        }
      }
      for (const auto& i : todo[c]) bench.Issue(c, i), bench.Expect(i);
    }
    REQUIRE(bench.Finish(2000000));
    bench.CheckMemories();
  }
  for (int c = 0; c < 2; ++c) {
    CHECK(bench.outcomes[c] == std::vector<Outcome>(static_cast<std::size_t>(3 * count), kDone));
  }
  CHECK(bench.memory.idle());
}

TEST_CASE("dma: any gather or scatter moves the rows that its list names and no other byte", "[dma][indexed][random]") {
  const auto seed = GENERATE(range(1u, 5u)) + SeedBase();
  const auto stall = GENERATE(0, 40);
  CAPTURE(kAxiBits, seed, stall);
  Bench bench(seed, {stall, stall, stall});
  for (int n = 0; n < 60; ++n) {
    for (int c = 0; c < 2; ++c) {
      const Indexed x = RandomIndexed(bench.rng, c);
      bench.PutList(x.instr, x.list);
      bench.Issue(c, x.instr);
      bench.Expect(x.instr);
    }
    CAPTURE(n);
    REQUIRE(bench.Finish(100000));
    bench.CheckMemories();
  }
}

// Rows of 64 bytes of a table of 100, by a list at byte 100 of partition 3.
isa::DmaInstr Rows(bool gather, int rows) {
  const std::uint64_t table = RegionOf(false, 0, !gather).first + 5, other = Sbuf(0, gather ? 2048 + 3 : 3);
  const std::array<std::uint16_t, 4> size{64, 1, static_cast<std::uint16_t>(rows), 1};
  isa::DmaInstr i = gather ? Copy(isa::Dtype::kInt8, table, other, size, {1, 0, 70, 0}, {1, 0, 64, 0})
                           : Copy(isa::Dtype::kInt8, other, table, size, {1, 0, 64, 0}, {1, 0, 70, 0});
  i.opcode = static_cast<std::uint8_t>(gather ? isa::Op::kGather : isa::Op::kScatter);
  isa::SetLimit(i, 100);
  isa::SetListAddr(i, 3u << isa::kPartitionPitchLog2 | 4096 + 100);
  return i;
}

TEST_CASE("dma: an index outside the table stops the queue there, and nothing of the instruction has moved",
          "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  const auto bad = GENERATE(100u, 101u, 0x7fffffffu, 0x80000000u, 0xffffffffu);
  const int place = GENERATE(0, 1, 7, 18, 19);
  const int stall = GENERATE(0, 40);
  const int before = GENERATE(0, 1, 3);  // copies in front
  CAPTURE(kAxiBits, gather, bad, place, stall, before);
  Bench bench(bad + static_cast<unsigned>(place), {stall, stall, 0});
  const isa::DmaInstr i = Rows(gather, 20);
  std::vector<std::uint32_t> list;
  for (unsigned n = 0; n < 20; ++n) list.push_back(n * 37 % 100);
  const auto good = list;
  list[static_cast<std::size_t>(place)] = bad;
  if (place == 1) list[2] = list[19] = 0xfffffffe;  // the first one counts
  bench.PutList(i, list);
  const std::uint64_t src = RegionOf(false, 1, false).first, dst = RegionOf(false, 1, true).first;
  for (int n = 0; n < before; ++n) {
    const auto copy = Run(src + 777 * n, dst + 999 * n, 700);
    bench.Issue(0, copy);
    bench.Expect(copy);
  }
  bench.Issue(0, i);
  bench.Issue(0, Run(src, dst + 4000, 100));  // dropped with it, or never taken in
  while (bench.outcomes[0].size() <= static_cast<std::size_t>(before)) {
    bench.dut.Step();
    REQUIRE(bench.dut.cycle() < 20000);
  }
  std::vector<Outcome> want(static_cast<std::size_t>(before), kDone);
  want.push_back({true, kCauseIndex, static_cast<std::uint64_t>(place) << 32 | bad, 0});
  CHECK(bench.outcomes[0] == want);
  CHECK(bench.memory.idle());
  if (before == 0) CHECK(bench.memory.statistics().read_bursts == 0);
  bench.todo[0].clear();
  bench.CheckMemories();
  // What was offered behind it is taken now; then the repaired list goes.
  if (bench.dut->instr_valid_i & 1) bench.Expect(Run(src, dst + 4000, 100));
  bench.PutList(i, good);
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  CHECK(bench.outcomes[0].back() == kDone);
}

TEST_CASE("dma: an AXI error before a bad index, or after it, is reported as what it is", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  CAPTURE(kAxiBits, gather);
  Bench bench(1);
  bench.memory.behaviour().read_latency = 5;
  const isa::DmaInstr i = Rows(gather, 20);
  std::vector<std::uint32_t> list(20, 1);
  list[0] = 100;
  bench.PutList(i, list);
  // The answer to the last write of a copy comes when the list behind it has been found bad.
  const std::uint64_t src = RegionOf(false, 1, false).first, dst = RegionOf(false, 1, true).first;
  const auto copy = Run(src, dst, kBeat);
  bench.memory.faults().push_back({dst, dst, AxiResp::kSlvErr});
  bench.Issue(0, copy);
  bench.Issue(0, i);
  REQUIRE(bench.Finish());
  REQUIRE(bench.outcomes[0] == std::vector<Outcome>{{true, kCauseWrite, dst, 0}});
  // Then the index, then an error of reading.
  bench.memory.faults().clear();
  bench.Issue(0, i);
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0].back() == Outcome{true, kCauseIndex, 100, 0});
  bench.memory.faults().push_back({src, src, AxiResp::kSlvErr});
  bench.Issue(0, copy);
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0].back() == Outcome{true, kCauseRead, src, 0});
  bench.memory.faults().clear();
  bench.want_dram = bench.dram;  // a write with an error may have landed
  bench.Issue(0, copy);
  bench.Expect(copy);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
}

TEST_CASE("dma: a bad list behind rows that still move lets them end, and changes not a byte itself", "[dma][indexed][random]") {
  const auto seed = GENERATE(range(1u, 9u)) + SeedBase();
  const auto stall = GENERATE(0, 30, 85);
  CAPTURE(kAxiBits, seed, stall);
  Bench bench(seed, {stall, stall, stall});
  Vary(bench, seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(bench.rng() % n); };
  std::array<std::vector<Outcome>, 2> want;
  for (int round = 0; round < 8; ++round) {
    CAPTURE(round);
    // Of both channels; each has good ones, then, but for the second in every other round, a bad one. The
    // good lists lie in the lower half of the list bytes, the bad one in the upper.
    std::array<isa::DmaInstr, 2> behind;
    for (int c = 0; c < 2; ++c) {
      const auto place_list = [&](Indexed& x, int half) {
        const auto first = static_cast<std::size_t>((2 * c + 1) * kSbufBytes / 4 - kListBytes + half * kListBytes / 2);
        isa::SetListAddr(x.instr, static_cast<std::uint32_t>(below(kRows) << isa::kPartitionPitchLog2 |
                                                             (first + 4 * below((kListBytes / 2 - 160) / 4))));
      };
      Indexed good = RandomIndexed(bench.rng, c);
      place_list(good, 0);
      bench.PutList(good.instr, good.list);
      for (std::size_t n = below(4); n > 0; --n) {
        auto i = good.instr;
        if (below(3) == 0) i = RandomCopy(bench.rng, c);
        // Copies leave the lists alone.
        if (i.opcode == static_cast<std::uint8_t>(isa::Op::kCopy) && (i.dst_addr >> 44 == 1 || i.src_addr >> 44 == 1)) continue;
        bench.Issue(c, i);
        bench.Expect(i);
        want[c].push_back(kDone);
      }
      if (c == 1 && round % 2 == 0) continue;
      Indexed bad = RandomIndexed(bench.rng, c);
      place_list(bad, 1);
      const std::size_t place = below(bad.list.size());
      const std::uint32_t limit = isa::Limit(bad.instr);
      bad.list[place] = std::array{limit, limit + static_cast<std::uint32_t>(below(9)), 0x80000000u, 0xffffffffu}[below(4)];
      for (std::size_t n = place + 1; n < bad.list.size(); ++n) {
        if (below(4) == 0) bad.list[n] = limit + 1;  // the first one counts
      }
      bench.PutList(bad.instr, bad.list);
      bench.Issue(c, bad.instr);
      behind[static_cast<std::size_t>(c)] = good.instr;
      bench.Issue(c, good.instr);  // not begun before the error, gone through after it
      want[c].push_back({true, kCauseIndex, std::uint64_t{place} << 32 | bad.list[place], 0});
      want[c].push_back(kDone);
    }
    REQUIRE(bench.Finish(2000000));
    REQUIRE(bench.outcomes == want);
    // It is still as it was before what is behind it, whose effects are known.
    for (std::size_t c = 0; c < 2; ++c) {
      if (behind[c].opcode != 0) bench.Expect(behind[c]);
    }
    bench.CheckMemories();
  }
  CHECK(bench.memory.idle());
}

TEST_CASE("dma: indices of 31 bits lead to their rows, and the first one behind the table is refused", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  const std::uint32_t limit = GENERATE(0x7fffffffu, 0x40000001u, 0x5a5a5a5bu);
  const bool back = GENERATE(false, true);
  CAPTURE(kAxiBits, gather, limit, back);
  Bench bench(1);
  isa::DmaInstr i = Rows(gather, 4);
  // The highest row lies in memory, row 0 far outside.
  const std::int64_t step = back ? -17 : 16;
  const std::uint64_t highest = RegionOf(false, 0, !gather).first + (back ? 4096 : 40000);
  (gather ? i.src_str : i.dst_str)[2] = static_cast<std::int32_t>(step);
  (gather ? i.src_addr : i.dst_addr) = highest - static_cast<std::uint64_t>(step * (limit - std::int64_t{1}));
  i.size[0] = 13;
  isa::SetLimit(i, limit);
  bench.PutList(i, {limit - 1, limit - 2, limit - 100, limit - 3});
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  bench.PutList(i, {limit - 1, limit - 2, limit, limit - 3});
  bench.Issue(0, i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  CHECK(bench.outcomes[0] == std::vector<Outcome>{kDone, {true, kCauseIndex, std::uint64_t{2} << 32 | limit, 0}});
}

TEST_CASE("dma: rows a large step apart are found, forwards and backwards", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  const std::int64_t step = GENERATE(std::int64_t{0x7fffffff}, -std::int64_t{0x7fffffff}, -(std::int64_t{1} << 31), std::int64_t{0});
  const std::uint32_t index = GENERATE(0u, 1u, 4u, 7u, 2730u, 4095u);
  CAPTURE(kAxiBits, gather, step, index);
  Bench bench(1);
  isa::DmaInstr i = Rows(gather, 1);
  const std::uint64_t row = RegionOf(false, 0, !gather).first + 77;
  constexpr std::uint64_t kAddr = (std::uint64_t{1} << 44) - 1;
  (gather ? i.src_str : i.dst_str)[2] = static_cast<std::int32_t>(step);
  (gather ? i.src_addr : i.dst_addr) = (row - static_cast<std::uint64_t>(step * index)) & kAddr;
  isa::SetLimit(i, index + 1);
  bench.PutList(i, {index});
  bench.Issue(0, i);
  // As a table of one row, which its step doesn't matter for.
  isa::DmaInstr one = i;
  one.opcode = static_cast<std::uint8_t>(isa::Op::kCopy);
  (gather ? one.src_addr : one.dst_addr) = row;
  one.size[3] = 1;
  bench.Expect(one);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  CHECK(bench.outcomes[0] == std::vector<Outcome>{kDone});
}

TEST_CASE("dma: a list may begin anywhere in a chunk and end with its partition, or be all of it", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  CAPTURE(kAxiBits, gather);
  Bench bench(1);
  bench.memory.behaviour().read_latency = 3;
  for (int count = 1; count <= 2 * kBeat / 4 + 1; ++count) {
    isa::DmaInstr i = Rows(gather, count);
    i.size[0] = 3;
    isa::SetListAddr(i, 7u << isa::kPartitionPitchLog2 | static_cast<std::uint32_t>(kSbufBytes - 4 * count));
    std::vector<std::uint32_t> list;
    for (int n = 0; n < count; ++n) list.push_back(static_cast<std::uint32_t>(n * 7 + count) % 100);
    bench.PutList(i, list);
    bench.Issue(0, i);
    bench.Expect(i);
    REQUIRE(bench.Finish());
    bench.CheckMemories();
  }
  constexpr int kAll = kSbufBytes / 4;
  isa::DmaInstr i = Rows(gather, kAll);
  // Rows of one byte between DRAM and DRAM: SBUF has no room beside a list of a whole partition for most of them.
  (gather ? i.dst_addr : i.src_addr) = RegionOf(false, 0, gather).first;
  (gather ? i.dst_str : i.src_str) = {1, 0, 1, 0};
  i.size[0] = 1;
  isa::SetLimit(i, 100);
  isa::SetListAddr(i, 0);
  std::vector<std::uint32_t> list;
  for (unsigned n = 0; n < kAll; ++n) list.push_back(n * 37 % 100);
  list.back() = 100;
  bench.PutList(i, list);
  bench.Issue(0, i);
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0].back() == Outcome{true, kCauseIndex, std::uint64_t{kAll - 1} << 32 | 100, 0});
  bench.CheckMemories();
  list.back() = 99;
  bench.PutList(i, list);
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0].back() == kDone);
  bench.CheckMemories();
}

TEST_CASE("dma: of a scatter's equal indices the last row stays", "[dma][indexed][directed]") {
  const int stall = GENERATE(0, 40, 85);
  const int length = GENERATE(1, 15, 64, 100);  // bytes of a row, rows 70 apart: the longest ones overlap as well
  CAPTURE(kAxiBits, stall, length);
  Bench bench(static_cast<unsigned>(length), {stall, stall, 0});
  bench.memory.behaviour().reorder = true;
  isa::DmaInstr i = Rows(false, 20);
  i.size[0] = static_cast<std::uint16_t>(length);
  for (const unsigned different : {1u, 2u, 3u}) {
    std::vector<std::uint32_t> list;
    for (unsigned n = 0; n < 20; ++n) list.push_back(50 + n % different);
    bench.PutList(i, list);
    i.src_str[2] = 64 + static_cast<int>(different);
    bench.Issue(0, i);
    bench.Expect(i);
    REQUIRE(bench.Finish());
    bench.CheckMemories();
  }
}

TEST_CASE("dma: silent memory among the rows of a list raises the watchdog, and the next list works", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  const int when = GENERATE(0, 40, 60, 130);  // cycles after issue
  CAPTURE(kAxiBits, gather, when);
  Bench bench(1);
  bench.dut->watchdog_i = 300;
  bench.memory.behaviour().silent = when == 0;
  const isa::DmaInstr i = Rows(gather, 20);
  std::vector<std::uint32_t> list;
  for (unsigned n = 0; n < 20; ++n) list.push_back(n * 37 % 100);
  bench.PutList(i, list);
  bench.Issue(0, i);
  bench.dut.Run(when);
  bench.memory.behaviour().silent = true;
  REQUIRE(bench.Finish(2000));
  REQUIRE(bench.outcomes[0].size() == 1);
  CHECK(bench.outcomes[0][0].err);
  CHECK(bench.outcomes[0][0].cause == kCauseWatchdog);
  // Another list is asked for while late answers are still to come.
  isa::DmaInstr next = i;
  isa::SetListAddr(next, isa::ListAddr(i) + 4 * 64);
  std::reverse(list.begin(), list.end());
  bench.PutList(next, list);
  bench.Issue(0, next);
  bench.dut.Run(10);
  bench.memory.behaviour().silent = false;
  bench.Expect(next);
  REQUIRE(bench.Finish(4000));
  REQUIRE(bench.outcomes[0].size() == 2);
  CHECK(bench.outcomes[0][1] == kDone);
  bench.CheckMemories();
  CHECK(bench.memory.idle());
}

TEST_CASE("dma: an AXI error of a gather or scatter is that of the burst, and the next one works", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  const int stall = GENERATE(0, 40);
  const unsigned at = GENERATE(0u, 9u, 19u);  // which row
  CAPTURE(kAxiBits, gather, stall, at);
  Bench bench(at + 1, {stall, stall, 0});
  const isa::DmaInstr i = Rows(gather, 20);
  std::vector<std::uint32_t> list;
  for (unsigned n = 0; n < 20; ++n) list.push_back(n * 37 % 100);
  bench.PutList(i, list);
  const std::uint64_t row = RegionOf(false, 0, !gather).first + 5 + 70 * list[at];
  bench.memory.faults().push_back({row + 30, row + 30, AxiResp::kSlvErr});
  bench.Issue(0, i);
  while (bench.outcomes[0].empty()) {
    bench.dut.Step();
    REQUIRE(bench.dut.cycle() < 20000);
  }
  REQUIRE(bench.outcomes[0].size() == 1);
  CHECK(bench.outcomes[0][0].err);
  CHECK(bench.outcomes[0][0].cause == (gather ? kCauseRead : kCauseWrite));
  CHECK(bench.outcomes[0][0].addr <= row + 30);
  CHECK(bench.outcomes[0][0].addr + 64 > row + 30 - 64);
  CHECK(bench.memory.idle());
  // Repeated without the fault all rows are there, whatever the first try left.
  bench.memory.faults().clear();
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0].back() == kDone);
  bench.CheckMemories();
}

TEST_CASE("dma: an index that turns bad while its rows move leads to no row outside the table", "[dma][indexed][directed]") {
  const bool gather = GENERATE(true, false);
  CAPTURE(kAxiBits, gather);
  Bench bench(1);
  isa::DmaInstr i = Rows(gather, 20);
  isa::SetLimit(i, 3);
  bench.PutList(i, std::vector<std::uint32_t>(20, 2));
  bench.Issue(0, i);
  bench.dut.Run(60);  // the list has passed
  bench.PutList(i, std::vector<std::uint32_t>(20, 90));
  REQUIRE(bench.Finish());
  CHECK(bench.outcomes[0] == std::vector<Outcome>{kDone});
  // Rows 0 and 2 may have been read or written.
  if (gather) {
    for (int n = 0; n < 20; ++n) {
      const std::uint8_t* got = bench.SbufCells() + 2048 + 3 + 64 * n;
      const std::uint8_t* table = bench.dram.data() + 5;
      CHECK((std::memcmp(got, table, 64) == 0 || std::memcmp(got, table + 140, 64) == 0));
      std::memcpy(bench.sbuf.data() + 2048 + 3 + 64 * n, got, 64);
    }
  } else {
    const auto table = static_cast<std::size_t>(RegionOf(false, 0, true).first + 5 - kDramBase);
    std::memcpy(bench.want_dram.data() + table, bench.dram.data() + table, 64);
    std::memcpy(bench.want_dram.data() + table + 140, bench.dram.data() + table + 140, 64);
  }
  bench.CheckMemories();
}

TEST_CASE("dma: rows by a list come while the rows before them move", "[dma][indexed][throughput]") {
  const bool gather = GENERATE(true, false);
  const int row = GENERATE(16, 192);  // bytes
  CAPTURE(kAxiBits, gather, row);
  Bench bench(1);
  // A table of 64 KiB, the highest of its indices; 120 short rows or 30 long ones.
  const int limit = static_cast<int>(kDramBytes / 4) / row;
  const std::uint64_t table = RegionOf(false, 0, !gather).first, other = Sbuf(0, gather ? 2048 : 0);
  const std::array<std::uint16_t, 4> size{static_cast<std::uint16_t>(row), 1, static_cast<std::uint16_t>(row == 16 ? 120 : 30), 1};
  isa::DmaInstr i = gather ? Copy(isa::Dtype::kInt8, table, other, size, {1, 0, row, 0}, {1, 0, row, 0})
                           : Copy(isa::Dtype::kInt8, other, table, size, {1, 0, row, 0}, {1, 0, row, 0});
  i.opcode = static_cast<std::uint8_t>(gather ? isa::Op::kGather : isa::Op::kScatter);
  isa::SetLimit(i, static_cast<std::uint32_t>(limit));
  isa::SetListAddr(i, 1u << isa::kPartitionPitchLog2 | 4096);
  std::vector<std::uint32_t> list;
  for (int n = 0; n < size[2]; ++n) list.push_back(static_cast<std::uint32_t>(limit - 1 - n));
  bench.PutList(i, list);
  bench.Issue(0, i);
  bench.Expect(i);
  REQUIRE(bench.Finish());
  bench.CheckMemories();
  // An index a cycle, then for each row the beats and its index's chunk, or the address, whichever takes longer: 3
  // cycles and one for each two bits of the index.
  int bits = 0;
  while (limit - 1 >> bits != 0) ++bits;
  const int each = std::max(row / kBeat + 1, 3 + (bits + 1) / 2);
  // To DRAM a burst waits for its last byte. Half a cycle a row for bursts that are cut.
  const unsigned latency = gather ? 100 : 20 + static_cast<unsigned>(row / kBeat);
  const auto bound = static_cast<unsigned>(size[2] * (1 + each) + size[2] / 2) + latency + 30u;
  CAPTURE(bound, bench.outcomes[0][0].cycle);
  CHECK(bench.outcomes[0][0].cycle <= bound);
  CHECK(bench.work[0] == static_cast<std::uint64_t>(row * size[2]));
}

TEST_CASE("dma: a third master reads its own data while both channels copy", "[dma][directed]") {
  Bench bench(5, {20, 0, 0});
  bench.memory.behaviour().reorder = true;
  for (int n = 0; n < 30; ++n) {
    for (int c = 0; c < 2; ++c) {
      const auto i = RandomCopy(bench.rng, c);
      bench.Issue(c, i);
      bench.Expect(i);
    }
  }
  // Reads 64 bytes at a time of channel 1's source, which nobody writes.
  const std::uint64_t first = RegionOf(false, 1, false).first;
  std::size_t asked = 0, got = 0;
  bench.dut.OnDrive([&] {
    bench.dut->fetch_valid_i = asked < 200;
    bench.dut->fetch_addr_i = first + asked * 64;
    bench.dut->fetch_len_i = 64 / kBeat - 1;
  });
  bench.dut.OnSample([&] {
    if (bench.dut->fetch_valid_i && bench.dut->fetch_ready_o) ++asked;
    if (!bench.dut->fetch_r_valid_o) return;
    const std::uint8_t* want = &bench.dram[first - kDramBase + got];
    REQUIRE(std::memcmp(bench.dut->r_data_i.data(), want, kBeat) == 0);
    got += kBeat;
  });
  REQUIRE(bench.Finish());
  for (int n = 0; n < 20000 && got < 200 * 64; ++n) bench.dut.Step();
  CHECK(got == 200 * 64);
  bench.CheckMemories();
}

}  // namespace
}  // namespace dither
