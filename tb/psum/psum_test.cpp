// PSUM against a plain memory: every granted access is seen once, grants are exclusive, fair and never lost.
#include <catch2/catch.hpp>

#include <cstring>
#include <random>
#include <vector>

#include "Vpsum.h"
#include "tb/support/clocked.hpp"

namespace {

constexpr std::uint32_t kRows = sizeof(Vpsum::te_r_data_o) / 4;
using Row = std::vector<std::uint32_t>;

void Put(void* port, const Row& r) { std::memcpy(port, r.data(), 4 * r.size()); }
Row Get(const void* port) {
  Row r(kRows);
  std::memcpy(r.data(), port, 4 * kRows);
  return r;
}

}  // namespace

TEST_CASE("random readers and writers see a plain memory", "[psum][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  const auto busy = GENERATE(20, 60, 100);   // percent of cycles in which a port asks
  const auto spread = GENERATE(2u, 40u, 4096u);  // words in use: few of them collide all the time
  CAPTURE(seed, busy, spread);
  std::mt19937 rng(seed);
  dither::tb::Clocked<Vpsum> dut(seed);
  std::vector<Row> memory(4096, Row(kRows));
  const auto percent = [&](int p) { return static_cast<int>(rng() % 100) < p; };
  // Few words spread over banks: bank changes fastest.
  const auto address = [&] {
    const std::uint32_t n = rng() % spread;
    return static_cast<std::uint16_t>((n % 8) * 512 + n / 8);
  };
  // Fill, so that a read before a write is defined.
  dut->te_r_req_i = dut->ve_0_req_i = dut->ve_1_req_i = dut->se_0_req_i = dut->ve_w_req_i = dut->se_w_req_i = 0;
  for (std::uint32_t a = 0; a < 4096; ++a) {
    for (auto& v : memory[a]) v = rng();
    dut->te_w_req_i = 1;
    dut->te_w_addr_i = static_cast<std::uint16_t>(a);
    std::memset(&dut->te_w_lanes_i, 0xff, sizeof dut->te_w_lanes_i);
    Put(&dut->te_w_data_i, memory[a]);
    dut.Step();
  }
  dut->te_w_req_i = 0;

  struct Read {
    CData* req;
    SData* addr;
    CData* gnt;  // null: always
    void* data;
    bool pending = false;
    Row expected;
    int waited = 0, served = 0;
  };
  std::vector<Read> reads = {{&dut->te_r_req_i, &dut->te_r_addr_i, nullptr, &dut->te_r_data_o, false, {}, 0, 0},
                             {&dut->ve_0_req_i, &dut->ve_0_addr_i, &dut->ve_0_gnt_o, &dut->ve_0_data_o, false, {}, 0, 0},
                             {&dut->ve_1_req_i, &dut->ve_1_addr_i, &dut->ve_1_gnt_o, &dut->ve_1_data_o, false, {}, 0, 0},
                             {&dut->se_0_req_i, &dut->se_0_addr_i, &dut->se_0_gnt_o, &dut->se_0_data_o, false, {}, 0, 0}};
  struct Write {
    CData* req;
    SData* addr;
    void* lanes;
    void* data;
    CData* gnt;
    int served = 0;
  };
  std::vector<Write> writes = {
      {&dut->te_w_req_i, &dut->te_w_addr_i, &dut->te_w_lanes_i, &dut->te_w_data_i, nullptr, 0},
      {&dut->ve_w_req_i, &dut->ve_w_addr_i, &dut->ve_w_lanes_i, &dut->ve_w_data_i, &dut->ve_w_gnt_o, 0},
      {&dut->se_w_req_i, &dut->se_w_addr_i, &dut->se_w_lanes_i, &dut->se_w_data_i, &dut->se_w_gnt_o, 0}};
  const int te_busy = busy == 100 ? 70 : busy;  // at 100 % on few banks nobody else could ever be served
  for (int cycle = 0; cycle < 4000; ++cycle) {
    for (std::size_t i = 0; i < reads.size(); ++i) {
      auto& r = reads[i];
      *r.req = percent(i == 0 ? te_busy : busy);
      *r.addr = address();
    }
    for (std::size_t i = 0; i < writes.size(); ++i) {
      auto& w = writes[i];
      *w.req = percent(i == 0 ? te_busy : busy);
      *w.addr = address();
      Row data(kRows);
      for (auto& v : data) v = rng();
      Put(w.data, data);
      const std::uint32_t lanes = rng();
      std::memcpy(w.lanes, &lanes, (kRows + 7) / 8);
    }
    dut->eval();
    // Data of the last cycle's grants.
    for (auto& r : reads) {
      if (r.pending) REQUIRE(Get(r.data) == r.expected);
      r.pending = false;
    }
    for (auto& r : reads) {
      const bool granted = *r.req && (!r.gnt || *r.gnt);
      if (r.gnt && *r.gnt) REQUIRE(static_cast<bool>(*r.req));
      if (granted) {
        r.pending = true;
        r.expected = memory[*r.addr];
        ++r.served;
      }
    }
    for (auto& w : writes) {
      if (!*w.req || (w.gnt && !*w.gnt)) continue;
      std::uint32_t lanes = 0;
      std::memcpy(&lanes, w.lanes, (kRows + 7) / 8);
      const Row data = Get(w.data);
      for (std::uint32_t l = 0; l < kRows; ++l) if (lanes >> l & 1) memory[*w.addr][l] = data[l];
      ++w.served;
    }
    dut.Step();
  }
  for (const auto& r : reads) REQUIRE(r.served > 100);
  for (const auto& w : writes) REQUIRE(w.served > 100);
}

TEST_CASE("three readers of one bank take turns", "[psum][directed]") {
  dither::tb::Clocked<Vpsum> dut(1);
  dut->te_r_req_i = dut->te_w_req_i = dut->ve_w_req_i = dut->se_w_req_i = 0;
  dut->ve_0_req_i = dut->ve_1_req_i = dut->se_0_req_i = 1;
  dut->ve_0_addr_i = 5;
  dut->ve_1_addr_i = 6;
  dut->se_0_addr_i = 7;
  int served[3] = {0, 0, 0};
  for (int i = 0; i < 300; ++i) {
    dut->eval();
    REQUIRE(dut->ve_0_gnt_o + dut->ve_1_gnt_o + dut->se_0_gnt_o == 1);
    served[0] += dut->ve_0_gnt_o;
    served[1] += dut->ve_1_gnt_o;
    served[2] += dut->se_0_gnt_o;
    dut.Step();
  }
  REQUIRE(served[0] == 100);
  REQUIRE(served[1] == 100);
  REQUIRE(served[2] == 100);
}

TEST_CASE("the tensor engine shuts out one bank and no other", "[psum][directed]") {
  dither::tb::Clocked<Vpsum> dut(1);
  dut->te_w_req_i = dut->ve_w_req_i = dut->se_w_req_i = dut->ve_1_req_i = 0;
  dut->te_r_req_i = dut->ve_0_req_i = dut->se_0_req_i = 1;
  dut->te_r_addr_i = 3 * 512;
  dut->ve_0_addr_i = 3 * 512 + 9;
  dut->se_0_addr_i = 4 * 512;
  dut->eval();
  REQUIRE(dut->ve_0_gnt_o == 0);
  REQUIRE(dut->se_0_gnt_o == 1);
}

TEST_CASE("two writers of one bank take turns", "[psum][directed]") {
  dither::tb::Clocked<Vpsum> dut(1);
  dut->te_r_req_i = dut->te_w_req_i = dut->ve_0_req_i = dut->ve_1_req_i = dut->se_0_req_i = 0;
  dut->ve_w_req_i = dut->se_w_req_i = 1;
  dut->ve_w_addr_i = 5;
  dut->se_w_addr_i = 6;
  int served = 0;
  for (int i = 0; i < 200; ++i) {
    dut->eval();
    REQUIRE(dut->ve_w_gnt_o + dut->se_w_gnt_o == 1);
    served += dut->ve_w_gnt_o;
    dut.Step();
  }
  REQUIRE(served == 100);
}
