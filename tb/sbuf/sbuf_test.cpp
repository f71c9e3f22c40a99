// The state buffer at its own ports: ten random requesters against a C++ memory.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "Vsbuf.h"
#include "sim/isa/isa.hpp"
#include "tb/support/clocked.hpp"

namespace {

using namespace dither;

constexpr std::uint32_t kRows = sizeof(Vsbuf::te_x_data_o) / 8;
constexpr std::uint32_t kChunk = sizeof(Vsbuf::d0_rdata_o);
constexpr std::uint32_t kChunkWords = kChunk / 8;
constexpr std::uint32_t kGroups = 4;  // of partitions, with an address each
enum Port { kTeX, kTeW, kVe0, kVe1, kSe0, kSe1, kVeW, kSeW, kD0, kD1, kPorts };

std::uint32_t SbufBytes() {
  for (const auto& config : isa::kConfigs) {
    if (config.rows == kRows) return config.sbuf_bytes;
  }
  return 0;
}

// One request, and what its grant promised for the cycle after.
struct Request {
  bool req = false, we = false, gnt = false, read = false;
  std::uint32_t addr = 0;  // word, or chunk for the DMA ports
  std::uint32_t part = 0;
  std::uint32_t lanes = 0;
  std::uint64_t bytes = 0;
  std::vector<std::uint8_t> data;  // to write, or expected from a read
  std::uint32_t waited = 0;

  // Bit 8 g + b: it needs bank b of the partitions' group g.
  std::uint32_t Banks(int port) const {
    if (!req) return 0;
    if (port < kD0) return 0x01010101u << addr % 8;
    return ((1u << kChunkWords) - 1) << addr * kChunkWords % 8 << 8 * (part / (kRows / kGroups));
  }
};

class Bench {
 public:
  explicit Bench(std::uint64_t seed) : dut(seed), rng(static_cast<unsigned>(seed)) {
    memory.assign(kRows, std::vector<std::uint8_t>(SbufBytes()));
    Drive();
    dut.Reset();
    dut.OnDrive([this] {
      if (choose) choose();
      Drive();
    });
    dut.OnSample([this] { Sample(); });
  }

  // Writes everything through the DMA ports, so that reads compare against known bytes.
  void FillAll() {
    const std::uint32_t chunks = SbufBytes() / kChunk;
    for (std::uint32_t p = 0; p < kRows; ++p) {
      for (std::uint32_t c = 0; c < chunks; ++c) {
        Request& r = ports[kD0];
        r = {};
        r.req = r.we = true;
        r.part = p;
        r.addr = c;
        Randomise(r, kD0);
        r.bytes = ~std::uint64_t{0};
        dut.Step();
        REQUIRE(r.gnt);
      }
    }
    ports[kD0].req = false;
  }
  void Randomise(Request& r, int port) {
    r.data.resize(port >= kD0 ? kChunk : kRows * 8);
    for (auto& byte : r.data) byte = static_cast<std::uint8_t>(rng());
    r.lanes = static_cast<std::uint32_t>(rng());
    r.bytes = rng() | (std::uint64_t{rng()} << 32);
  }
  // A random request; few different rows, so that ports meet in the same words.
  void AnyRequest(int port) {
    Request& r = ports[port];
    r.req = true;
    r.waited = 0;
    const bool dma = port >= kD0;
    r.we = port == kVeW || port == kSeW || (dma && rng() % 2 != 0);
    const std::uint32_t units = SbufBytes() / (dma ? kChunk : 8);
    const std::uint32_t few = 256 / (dma ? kChunk : 8);
    r.addr = static_cast<std::uint32_t>(rng() % (rng() % 2 != 0 ? units : few));
    r.part = static_cast<std::uint32_t>(rng() % kRows);
    Randomise(r, port);
  }

  tb::Clocked<Vsbuf> dut;
  std::mt19937 rng;
  std::array<Request, kPorts> ports;
  std::vector<std::vector<std::uint8_t>> memory;
  std::function<void()> choose;
  std::uint64_t grants = 0, conflicts = 0, reads_checked = 0;
  std::uint32_t longest_wait[kPorts] = {};

 private:
  template <typename Data>
  void PutWord(const Request& r, Data& data) {
    if (r.data.size() == sizeof(data)) std::memcpy(&data, r.data.data(), sizeof(data));
  }
  void Drive() {
    const auto& q = ports;
    dut->te_x_req_i = q[kTeX].req; dut->te_x_addr_i = q[kTeX].addr;
    dut->te_w_req_i = q[kTeW].req; dut->te_w_addr_i = q[kTeW].addr;
    dut->ve_0_req_i = q[kVe0].req; dut->ve_0_addr_i = q[kVe0].addr;
    dut->ve_1_req_i = q[kVe1].req; dut->ve_1_addr_i = q[kVe1].addr;
    dut->se_0_req_i = q[kSe0].req; dut->se_0_addr_i = q[kSe0].addr;
    dut->se_1_req_i = q[kSe1].req; dut->se_1_addr_i = q[kSe1].addr;
    dut->ve_w_req_i = q[kVeW].req; dut->ve_w_addr_i = q[kVeW].addr;
    dut->ve_w_lanes_i = Lanes(q[kVeW]); dut->ve_w_bytes_i = q[kVeW].bytes & 0xff;
    PutWord(q[kVeW], dut->ve_w_data_i);
    dut->se_w_req_i = q[kSeW].req; dut->se_w_addr_i = q[kSeW].addr;
    dut->se_w_lanes_i = Lanes(q[kSeW]); dut->se_w_bytes_i = q[kSeW].bytes & 0xff;
    PutWord(q[kSeW], dut->se_w_data_i);
    dut->d0_req_i = q[kD0].req; dut->d0_we_i = q[kD0].we; dut->d0_part_i = q[kD0].part;
    dut->d0_addr_i = q[kD0].addr; dut->d0_wbe_i = ChunkBytes(q[kD0]);
    PutWord(q[kD0], dut->d0_wdata_i);
    dut->d1_req_i = q[kD1].req; dut->d1_we_i = q[kD1].we; dut->d1_part_i = q[kD1].part;
    dut->d1_addr_i = q[kD1].addr; dut->d1_wbe_i = ChunkBytes(q[kD1]);
    PutWord(q[kD1], dut->d1_wdata_i);
  }
  static std::uint32_t Lanes(const Request& r) {
    return kRows >= 32 ? r.lanes : r.lanes & ((1u << (kRows % 32)) - 1);
  }
  static std::uint64_t ChunkBytes(const Request& r) {
    return kChunk >= 64 ? r.bytes : r.bytes & ((std::uint64_t{1} << (kChunk % 64)) - 1);
  }

  void Sample() {
    // Data that a grant of the cycle before promised.
    const void* data[kPorts] = {&dut->te_x_data_o, &dut->te_w_data_o, &dut->ve_0_data_o,
                                &dut->ve_1_data_o, &dut->se_0_data_o, &dut->se_1_data_o,
                                nullptr,           nullptr,           &dut->d0_rdata_o,
                                &dut->d1_rdata_o};
    for (int p = 0; p < kPorts; ++p) {
      if (promised_[p].empty()) continue;
      if (std::memcmp(data[p], promised_[p].data(), promised_[p].size()) != 0) {
        FAIL("wrong read data at port " << p << " cycle " << dut.cycle());
      }
      ++reads_checked;
      promised_[p].clear();
    }

    const bool gnt[kPorts] = {
        dut->te_x_gnt_o != 0, dut->te_w_gnt_o != 0, dut->ve_0_gnt_o != 0, dut->ve_1_gnt_o != 0,
        dut->se_0_gnt_o != 0, dut->se_1_gnt_o != 0, dut->ve_w_gnt_o != 0, dut->se_w_gnt_o != 0,
        dut->d0_gnt_o != 0,   dut->d1_gnt_o != 0};
    std::uint32_t taken = 0, lost = 0;
    for (int p = 0; p < kPorts; ++p) {
      Request& r = ports[p];
      r.gnt = gnt[p];
      if (gnt[p] && !r.req) FAIL("a grant without a request at port " << p);
      if (!r.req) continue;
      if (!gnt[p]) {
        ++lost;
        longest_wait[p] = std::max(longest_wait[p], ++r.waited);
        continue;
      }
      r.waited = 0;
      ++grants;
      if ((taken & r.Banks(p)) != 0) FAIL("two grants in one group of a bank");
      taken |= r.Banks(p);
    }
    // Greedy: whoever lost met a taken bank.
    for (int p = 0; p < kPorts; ++p) {
      if (ports[p].req && !gnt[p] && (ports[p].Banks(p) & taken) == 0) {
        FAIL("port " << p << " was refused free banks");
      }
    }
    if (dut->conflicts_o != lost) FAIL("conflicts_o is not the number of refused requests");
    conflicts += lost;

    // Grants of a cycle never share a group of a bank, so their order does not matter.
    for (int p = 0; p < kPorts; ++p) {
      const Request& r = ports[p];
      if (!gnt[p]) continue;
      if (p >= kD0) {
        std::uint8_t* at = &memory[r.part][r.addr * kChunk];
        if (r.we) {
          for (std::uint32_t b = 0; b < kChunk; ++b) {
            if ((ChunkBytes(r) >> b) & 1) at[b] = r.data[b];
          }
        } else {
          promised_[p].assign(at, at + kChunk);
        }
      } else if (r.we) {
        for (std::uint32_t row = 0; row < kRows; ++row) {
          for (std::uint32_t b = 0; b < 8; ++b) {
            if ((Lanes(r) >> row) & (r.bytes >> b) & 1) {
              memory[row][r.addr * 8 + b] = r.data[row * 8 + b];
            }
          }
        }
      } else {
        for (std::uint32_t row = 0; row < kRows; ++row) {
          promised_[p].insert(promised_[p].end(), &memory[row][r.addr * 8],
                              &memory[row][r.addr * 8] + 8);
        }
      }
    }
  }
  std::vector<std::uint8_t> promised_[kPorts];
};

}  // namespace

TEST_CASE("random requesters lose, duplicate and mix up no access", "[sbuf][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  const auto load = GENERATE(10, 50, 100);  // percent of cycles in which an idle port asks
  CAPTURE(seed, load);
  Bench bench(seed);
  bench.FillAll();
  bench.choose = [&] {
    for (int p = 0; p < kPorts; ++p) {
      Request& r = bench.ports[p];
      const bool withdrawn = r.req && !r.gnt && bench.rng() % 16 == 0;
      if (r.req && !r.gnt && !withdrawn) continue;  // ask again
      r.req = false;
      if (static_cast<int>(bench.rng() % 100) < load) bench.AnyRequest(p);
    }
  };
  bench.dut.Run(4000);
  // All of the memory still equals the C++ one: read it back through another port.
  bench.choose = nullptr;
  for (auto& r : bench.ports) r = {};
  for (std::uint32_t w = 0; w < SbufBytes() / 8; ++w) {
    bench.ports[kSe1].req = true;
    bench.ports[kSe1].addr = w;
    bench.dut.Step();
    if (!bench.ports[kSe1].gnt) FAIL("refused while alone");
  }
  bench.ports[kSe1].req = false;
  bench.dut.Step();
  REQUIRE(bench.reads_checked > SbufBytes() / 8);
  REQUIRE(bench.conflicts > 0);
}

TEST_CASE("engines and a DMA channel reach different banks in the same cycle", "[sbuf][directed]") {
  Bench bench(1);
  bench.FillAll();
  // The DMA chunk covers the low banks, five word ports have a bank each above or beside it.
  std::uint32_t bank = kChunkWords % 8;
  bench.ports[kD0].req = true;
  bench.ports[kD0].addr = 0;
  for (const int p : {kTeX, kTeW, kVe0, kVe1, kVeW}) {
    if (bank == 8) break;
    if (bank == 0) break;  // a chunk as wide as all banks leaves none
    bench.ports[p].req = true;
    bench.ports[p].we = p == kVeW;
    bench.ports[p].addr = 16 + bank++;
    bench.Randomise(bench.ports[p], p);
  }
  for (int n = 0; n < 64; ++n) bench.dut.Step();
  REQUIRE(bench.conflicts == 0);
  REQUIRE(bench.grants >= 64);
}

TEST_CASE("DMA channels in different groups of partitions share banks, those in one group take turns",
          "[sbuf][directed]") {
  const auto group = GENERATE(range(0u, kGroups));
  const auto other = GENERATE(range(0u, kGroups));
  Bench bench(1);
  bench.FillAll();
  for (const int p : {kD0, kD1}) {
    bench.ports[p].req = true;
    bench.ports[p].we = p == kD1;
    bench.ports[p].addr = 0;
    bench.ports[p].part = (p == kD0 ? group : other) * (kRows / kGroups) + (p == kD0 ? 0 : kRows / kGroups - 1);
    bench.Randomise(bench.ports[p], p);
  }
  for (int n = 0; n < 64; ++n) bench.dut.Step();
  CAPTURE(group, other);
  REQUIRE(bench.grants - kRows * (SbufBytes() / kChunk) == (group == other ? 64 : 128));
  REQUIRE(bench.conflicts == (group == other ? 64 : 0));
}

TEST_CASE("a DMA channel has three of four cycles whatever the engines want", "[sbuf][directed]") {
  const auto port = GENERATE(static_cast<int>(kD0), static_cast<int>(kD1));
  Bench bench(1);
  bench.FillAll();
  std::uint32_t served = 0;
  bench.choose = [&] {
    served += bench.ports[port].gnt ? 1 : 0;
    // te_x wants a word of the other banks; the rest what the chunk covers.
    for (int p = 0; p < kPorts; ++p) {
      Request& r = bench.ports[p];
      r.req = p < kD0 || p == port;
      r.we = p == kVeW || p == kSeW;
      r.addr = p >= kD0 ? 0 : p == kTeX ? kChunkWords % 8 : static_cast<std::uint32_t>(p) % kChunkWords;
      if (p == kTeX && kChunkWords == 8) r.req = false;
      if (r.data.empty()) bench.Randomise(r, p);
    }
  };
  bench.dut.Run(4000);
  CAPTURE(port, served);
  REQUIRE(served >= 3000);
}

TEST_CASE("under full contention for one bank nobody waits 144 cycles and te_x waits at most one",
          "[sbuf][corner]") {
  const auto bank = GENERATE(0, 3, 7);
  Bench bench(1);
  bench.FillAll();
  for (int p = 0; p < kPorts; ++p) {
    Request& r = bench.ports[p];
    r = {};
    r.req = true;
    r.we = p == kVeW || p == kSeW;
    r.addr = p >= kD0 ? static_cast<std::uint32_t>(bank) / kChunkWords
                      : static_cast<std::uint32_t>(bank);
    bench.Randomise(r, p);
  }
  bench.dut.Run(3000);
  for (int p = 0; p < kPorts; ++p) {
    CAPTURE(p, bench.longest_wait[p]);
    REQUIRE(bench.longest_wait[p] < (p == kTeX ? 2 : 144));
  }
}

TEST_CASE("a chunk between two word streams in its banks is served within 144 cycles",
          "[sbuf][corner]") {
  Bench bench(1);
  bench.FillAll();
  // All banks of the chunk are asked for by somebody in every cycle.
  for (int p = 0; p < kPorts; ++p) {
    Request& r = bench.ports[p];
    r = {};
    r.req = true;
    r.we = p == kVeW || p == kSeW;
    r.addr = p >= kD0 ? 0 : static_cast<std::uint32_t>(p) % kChunkWords;
    bench.Randomise(r, p);
  }
  bench.dut.Run(3000);
  for (int p = 0; p < kPorts; ++p) {
    CAPTURE(p, bench.longest_wait[p]);
    REQUIRE(bench.longest_wait[p] < 144);
  }
}
