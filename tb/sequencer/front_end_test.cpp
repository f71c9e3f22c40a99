// Fetch, checks, semaphores, dispatch, retiring and errors of the five queues, driven by the host.
#include "tb/sequencer/bench.hpp"

#include <numeric>

namespace dither {
namespace {

using isa::Err;
using isa::QueueState;
using tb::FrontEnd;
using tb::kDram;
using tb::kDramEnd;
using tb::kOkay;
using tb::kQueues;
using tb::kSlvErr;

using Ids = std::vector<std::uint32_t>;
Ids Iota(std::uint32_t first, std::uint32_t end) {
  Ids v(end - first);
  std::iota(v.begin(), v.end(), first);
  return v;
}
void Program(FrontEnd& f, int q, std::uint32_t first, std::uint32_t end) {
  for (std::uint32_t i = first; i < end; ++i) f.Put(q, i, FrontEnd::Instr(q, i));
}
std::uint32_t Sem(FrontEnd& f, int sem) { return f.Read(isa::kCsrSemSetBase + 4 * sem); }

}  // namespace

TEST_CASE("five queues run in order, wait, signal and wrap their rings under any stalls",
          "[sequencer][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  const int stall = GENERATE(0, 40);
  CAPTURE(seed, stall);
  FrontEnd f(seed);
  f.stalls = {stall, stall, stall, stall};
  f.memory_latency = 1 + static_cast<int>(f.rng() % 120);
  f.work = [&f](int, std::uint32_t) { return static_cast<int>(f.rng() % 40); };
  // Semaphore q counts the retired instructions of queue q; instructions are numbered over all
  // queues in one order, and wait only for earlier ones.
  struct Planned {
    int wait_queue = -1;
    std::uint32_t wait_count = 0;
    bool nop = false;
  };
  std::array<std::vector<Planned>, kQueues> plan;
  std::array<std::uint32_t, kQueues> size{};
  for (int q = 0; q < kQueues; ++q) {
    size[q] = 1 + f.rng() % 30;
    f.Ring(q, kDram + 0x10000 * (q + 1) + 64 * (f.rng() % 64), size[q]);
  }
  f.on_start = [&](int q, std::uint32_t id) {
    const Planned& p = plan[q][id];
    CHECK(!p.nop);
    if (p.wait_queue >= 0) CHECK(f.retired[p.wait_queue].size() >= p.wait_count);
  };
  std::uint32_t irqs = 0;
  for (int round = 0; round < 5; ++round) {
    std::array<std::uint32_t, kQueues> target{};
    for (int q = 0; q < kQueues; ++q) {
      target[q] = static_cast<std::uint32_t>(plan[q].size()) + 1 + f.rng() % size[q];
    }
    for (bool more = true; more;) {
      more = false;
      for (int q = 0; q < kQueues; ++q) {
        if (plan[q].size() == target[q]) continue;
        more = true;
        if (f.rng() % 3 == 0) continue;
        const auto i = static_cast<std::uint32_t>(plan[q].size());
        Planned p;
        isa::EngineInstr h;
        h.sig_en = 1;
        h.sig_sem = q;
        h.sig_inc = 1;
        h.irq = f.rng() % 16 == 0;
        irqs |= static_cast<std::uint32_t>(h.irq) << q;
        if (f.rng() % 2) {
          p.wait_queue = static_cast<int>(f.rng() % kQueues);
          p.wait_count = static_cast<std::uint32_t>(plan[p.wait_queue].size());
          h.wait_en = 1;
          h.wait_sem = p.wait_queue;
          h.wait_val = p.wait_count;
        }
        p.nop = f.rng() % 8 == 0;
        f.Put(q, i, p.nop ? FrontEnd::Nop(h) : FrontEnd::Instr(q, i, h));
        plan[q].push_back(p);
      }
    }
    for (int q = 0; q < kQueues; ++q) REQUIRE(f.Doorbell(q, target[q]) == kOkay);
    for (int q = 0; q < kQueues; ++q) REQUIRE(f.Wait(q) == QueueState::kIdle);
  }
  for (int q = 0; q < kQueues; ++q) {
    const auto count = static_cast<std::uint32_t>(plan[q].size());
    CHECK(f.retired[q] == Iota(0, count));
    Ids sent;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!plan[q][i].nop) sent.push_back(i);
    }
    CHECK(f.started[q] == sent);
    CHECK(f.finished[q] == sent);
    CHECK(f.Read(FrontEnd::Reg(q, isa::kCsrQueueHead)) == count);
    CHECK(f.Read(FrontEnd::Count(q, isa::kCsrCounterRetired)) == count);
    CHECK(Sem(f, q) == count);
  }
  CHECK(f.Read(isa::kCsrIrqStatus) == irqs);
}

TEST_CASE("a warm queue of 16-cycle instructions never starves at 100 cycles of memory latency",
          "[sequencer][directed]") {
  const int queues = GENERATE(1, 2);
  CAPTURE(queues);
  FrontEnd f;
  f.memory_latency = 100;
  f.work = [](int, std::uint32_t) { return 15; };  // the next starts in the 16th cycle
  const std::array<int, 2> used = {1, 3};
  for (int n = 0; n < queues; ++n) {
    const int q = used[n];
    f.Ring(q, kDram + 0x8000 * n, 200);
    Program(f, q, 0, 200);
    REQUIRE(f.Doorbell(q, 200) == kOkay);
  }
  for (int n = 0; n < queues; ++n) REQUIRE(f.Wait(used[n]) == QueueState::kIdle);
  for (int n = 0; n < queues; ++n) {
    const int q = used[n];
    const std::uint64_t cycles =
        f.retire_cycle[FrontEnd::Key(q, 199)] - f.start_cycle[FrontEnd::Key(q, 0)];
    CHECK(cycles <= 200 * 16 + 4);
    // The first instructions: a queue may find all four bursts taken by the other one.
    CHECK(f.Read(FrontEnd::Count(q, isa::kCsrCounterWaitFetch)) < 130u * queues);
  }
}

TEST_CASE("a nop retires behind all earlier instructions and is never dispatched",
          "[sequencer][directed]") {
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 200; };
  f.Ring(1, kDram, 8);
  isa::EngineInstr h;
  h.sig_en = 1, h.sig_sem = 9, h.sig_inc = -3, h.irq = 1;
  f.Put(1, 0, FrontEnd::Instr(1, 0));
  f.Put(1, 1, FrontEnd::Nop(h));
  f.Put(1, 2, FrontEnd::Instr(1, 2));
  REQUIRE(f.Doorbell(1, 3) == kOkay);
  REQUIRE(f.Wait(1) == QueueState::kIdle);
  CHECK(f.started[1] == Ids{0, 2});
  CHECK(f.retired[1] == Ids{0, 1, 2});
  CHECK(f.retire_cycle[FrontEnd::Key(1, 1)] == f.retire_cycle[FrontEnd::Key(1, 0)] + 1);
  CHECK(Sem(f, 9) == 0xfffd);
  CHECK(f.Read(isa::kCsrIrqStatus) == 2);
}

TEST_CASE("a faulty instruction stops its queue alone, behind what was before it",
          "[sequencer][directed]") {
  const int q = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(q);
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 60; };
  const int other = (q + 1) % kQueues;
  f.Ring(q, kDram, 8);
  f.Ring(other, kDram + 0x1000, 8);
  Program(f, q, 0, 6);
  Program(f, other, 0, 8);
  isa::Encoded bad = FrontEnd::Instr(q, 3);
  bad[0] = 0;
  f.Put(q, 3, bad);
  REQUIRE(f.Doorbell(q, 6) == kOkay);
  REQUIRE(f.Doorbell(other, 8) == kOkay);
  REQUIRE(f.Wait(q) == QueueState::kError);
  CHECK(f.started[q] == Ids{0, 1, 2});
  CHECK(f.retired[q] == Ids{0, 1, 2});
  const auto e = f.ErrorOf(q);
  CHECK(e.err == Err::kIllegalOpcode);
  CHECK(e.index == 3);
  CHECK(e.addr == 0);
  CHECK(f.Read(FrontEnd::Reg(q, isa::kCsrQueueHead)) == 3);
  CHECK(f.Read(isa::kCsrIrqStatus) == 0x100u << q);
  CHECK(f.Wait(other) == QueueState::kIdle);
  f.dut.Run(300);
  CHECK(f.started[q] == Ids{0, 1, 2});
  CHECK(f.Doorbell(q, 7) == kSlvErr);
  // Resume goes on behind it.
  REQUIRE(f.Write(FrontEnd::Reg(q, isa::kCsrQueueCtrl), 2) == kOkay);
  REQUIRE(f.Wait(q) == QueueState::kIdle);
  CHECK(f.started[q] == Ids{0, 1, 2, 4, 5});
  CHECK(f.retired[q] == Ids{0, 1, 2, 4, 5});
  CHECK(f.Read(FrontEnd::Reg(q, isa::kCsrQueueHead)) == 6);
  CHECK(f.ErrorOf(q).err == Err::kNone);
}

TEST_CASE("an operand out of range is reported with operand and sign-extended address",
          "[sequencer][directed]") {
  FrontEnd f;
  f.Ring(2, kDram, 8);
  isa::EngineInstr i = isa::DecodeEngineInstr(FrontEnd::Instr(2, 0));
  i.off_0 = 4;
  i.str_0 = {-1, 0, 0, 0};  // three elements: bytes 4, 0, -4
  f.Put(2, 0, isa::Encode(i));
  REQUIRE(f.Doorbell(2, 1) == kOkay);
  REQUIRE(f.Wait(2) == QueueState::kError);
  const auto e = f.ErrorOf(2);
  CHECK(e.err == Err::kSbufRange);
  CHECK(e.operand == 1);
  CHECK(e.index == 0);
  CHECK(e.addr == static_cast<std::uint64_t>(-4));
  CHECK(f.started[2].empty());
}

TEST_CASE("the watchdog stops a queue whose semaphore does not come, and only then",
          "[sequencer][directed]") {
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 1000; };
  REQUIRE(f.Write(isa::kCsrWatchdog, 300) == kOkay);
  f.Ring(0, kDram, 4);
  isa::EngineInstr h;
  h.wait_en = 1, h.wait_sem = 63, h.wait_val = 5;
  f.Put(0, 0, FrontEnd::Instr(0, 0));
  f.Put(0, 1, FrontEnd::Instr(0, 1, h));
  f.Put(0, 2, FrontEnd::Instr(0, 2));
  REQUIRE(f.Doorbell(0, 3) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kError);
  // The time before the earlier instruction retired does not count.
  CHECK(f.dut.cycle() >= f.retire_cycle[FrontEnd::Key(0, 0)] + 300);
  CHECK(f.dut.cycle() <= f.retire_cycle[FrontEnd::Key(0, 0)] + 320);
  CHECK(f.ErrorOf(0).err == Err::kWatchdog);
  CHECK(f.ErrorOf(0).index == 1);
  REQUIRE(f.Write(FrontEnd::Reg(0, isa::kCsrQueueCtrl), 2) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kIdle);
  CHECK(f.started[0] == Ids{0, 2});
  // Switched off, it waits for ever; the host's increments release it at the right value.
  REQUIRE(f.Write(isa::kCsrWatchdog, 0) == kOkay);
  f.Put(0, 3, FrontEnd::Instr(0, 3, h));
  REQUIRE(f.Doorbell(0, 4) == kOkay);
  f.dut.Run(2000);
  CHECK(f.State(0) == QueueState::kRunning);
  REQUIRE(f.Write(isa::kCsrSemSetBase + 4 * 63, 3) == kOkay);
  REQUIRE(f.Write(isa::kCsrSemIncBase + 4 * 63, 1) == kOkay);
  f.dut.Run(50);
  CHECK(f.started[0].size() == 2);
  REQUIRE(f.Write(isa::kCsrSemIncBase + 4 * 63, 1) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kIdle);
  CHECK(f.started[0] == Ids{0, 2, 3});
  CHECK(f.Read(FrontEnd::Count(0, isa::kCsrCounterWaitSem)) >= 2300);
}

TEST_CASE("a wait compares modulo 2^16", "[sequencer][corner]") {
  FrontEnd f;
  f.Ring(1, kDram, 4);
  isa::EngineInstr h;
  h.wait_en = 1, h.wait_sem = 5, h.wait_val = 0xfffe;
  f.Put(1, 0, FrontEnd::Instr(1, 0, h));
  REQUIRE(f.Write(isa::kCsrSemSetBase + 20, 0xfffd) == kOkay);
  REQUIRE(f.Doorbell(1, 1) == kOkay);
  f.dut.Run(200);
  CHECK(f.started[1].empty());
  REQUIRE(f.Write(isa::kCsrSemIncBase + 20, 4) == kOkay);  // 1, three ahead
  CHECK(Sem(f, 5) == 1);
  CHECK(f.Wait(1) == QueueState::kIdle);
}

TEST_CASE("silent memory is a watchdog error, and resume goes on behind the missing instruction",
          "[sequencer][directed]") {
  FrontEnd f;
  REQUIRE(f.Write(isa::kCsrWatchdog, 200) == kOkay);
  f.Ring(3, kDram, 6);
  Program(f, 3, 0, 6);
  REQUIRE(f.Doorbell(3, 2) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kIdle);
  f.memory_silent = true;
  REQUIRE(f.Doorbell(3, 6) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kError);
  CHECK(f.ErrorOf(3).err == Err::kWatchdog);
  CHECK(f.ErrorOf(3).index == 2);
  const bool early = GENERATE(false, true);
  if (early) {  // the data come while the queue stands, or after it went on
    f.memory_silent = false;
    f.dut.Run(200);
  }
  REQUIRE(f.Write(FrontEnd::Reg(3, isa::kCsrQueueCtrl), 2) == kOkay);
  f.memory_silent = false;
  REQUIRE(f.Wait(3) == QueueState::kIdle);
  CHECK(f.started[3] == Ids{0, 1, 3, 4, 5});
  CHECK(f.retired[3] == Ids{0, 1, 3, 4, 5});
}

TEST_CASE("an AXI error while fetching stops at the faulty instruction with the burst's address",
          "[sequencer][directed]") {
  const std::uint32_t bad = GENERATE(0u, 2u, 4u, 7u, 9u);
  CAPTURE(bad);
  FrontEnd f;
  f.Ring(4, kDram + 0x80, 10);
  Program(f, 4, 0, 10);
  f.bad_lines.insert(kDram + 0x80 + 64 * bad);
  REQUIRE(f.Doorbell(4, 10) == kOkay);
  REQUIRE(f.Wait(4) == QueueState::kError);
  CHECK(f.ErrorOf(4).err == Err::kAxiFetch);
  CHECK(f.ErrorOf(4).index == bad);
  CHECK(f.ErrorOf(4).addr == kDram + 0x80 + 64 * (bad & ~3u));
  CHECK(f.retired[4] == Iota(0, bad));
  REQUIRE(f.Write(FrontEnd::Reg(4, isa::kCsrQueueCtrl), 2) == kOkay);
  REQUIRE(f.Wait(4) == QueueState::kIdle);
  Ids rest = Iota(0, 10);
  rest.erase(rest.begin() + bad);
  CHECK(f.retired[4] == rest);
}

TEST_CASE("a ring that leaves the DRAM window runs up to its edge and reads nothing outside",
          "[sequencer][directed]") {
  FrontEnd f;
  f.Ring(0, kDramEnd - 3 * 64, 8);
  Program(f, 0, 0, 3);
  REQUIRE(f.Doorbell(0, 6) == kOkay);  // the bench fails on a read outside
  REQUIRE(f.Wait(0) == QueueState::kError);
  CHECK(f.retired[0] == Iota(0, 3));
  CHECK(f.ErrorOf(0).err == Err::kDramRange);
  CHECK(f.ErrorOf(0).index == 3);
  CHECK(f.ErrorOf(0).addr == kDramEnd);
  // The same below the window.
  f.Ring(1, kDram - 64, 8);
  f.PutAt(kDram, FrontEnd::Instr(1, 1));
  REQUIRE(f.Doorbell(1, 2) == kOkay);
  REQUIRE(f.Wait(1) == QueueState::kError);
  CHECK(f.ErrorOf(1).err == Err::kDramRange);
  CHECK(f.ErrorOf(1).addr == kDram - 64);
  REQUIRE(f.Write(FrontEnd::Reg(1, isa::kCsrQueueCtrl), 2) == kOkay);
  REQUIRE(f.Wait(1) == QueueState::kIdle);
  CHECK(f.retired[1] == Ids{1});
}

TEST_CASE("an engine's error stops the queue there; what it dropped is executed after resume",
          "[sequencer][directed]") {
  const std::uint32_t size = GENERATE(6u, 7u, 20u);  // the ring wraps between error and refetch
  const std::uint32_t bad = GENERATE(6u, 7u, 8u, 11u);
  CAPTURE(size, bad);
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 30; };
  f.Ring(3, kDram, size);
  Program(f, 3, 0, 6);
  REQUIRE(f.Doorbell(3, 6) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kIdle);
  isa::EngineInstr h;
  h.sig_en = 1, h.sig_sem = 1, h.sig_inc = 1;
  for (std::uint32_t i = 6; i < 12; ++i) {
    f.Put(3, i, i == 9 ? FrontEnd::Nop(h) : FrontEnd::Instr(3, i, h));
  }
  f.failing = {bad};
  REQUIRE(f.Doorbell(3, 12) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kError);
  CHECK(f.ErrorOf(3).err == Err::kAxiRead);
  CHECK(f.ErrorOf(3).addr == 0xabc);
  CHECK(f.ErrorOf(3).index == bad);
  CHECK(f.retired[3] == Iota(0, bad));
  CHECK(Sem(f, 1) == bad - 6);
  f.started[3].clear();
  f.dut.Run(100);
  CHECK(f.started[3].empty());
  REQUIRE(f.Write(FrontEnd::Reg(3, isa::kCsrQueueCtrl), 2) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kIdle);
  Ids rest = Iota(0, 12);
  rest.erase(rest.begin() + bad);
  CHECK(f.retired[3] == rest);
  rest.erase(std::find(rest.begin(), rest.end(), 9));
  CHECK(f.finished[3] == rest);
  CHECK(Sem(f, 1) == 5);
}

TEST_CASE("errors of every kind in all queues at once lose and repeat no instruction",
          "[sequencer][random]") {
  const auto seed = GENERATE(range(1u, 13u));
  CAPTURE(seed);
  FrontEnd f(seed);
  const int stall = static_cast<int>(seed % 3) * 25;
  f.stalls = {stall, stall, stall, stall};
  f.memory_latency = 1 + static_cast<int>(f.rng() % 60);
  f.work = [&f](int, std::uint32_t) { return static_cast<int>(f.rng() % 30); };
  REQUIRE(f.Write(isa::kCsrWatchdog, 2000) == kOkay);
  constexpr std::uint32_t kCount = 50;
  std::array<std::map<std::uint32_t, Err>, kQueues> faults;
  std::array<Ids, kQueues> run, sent;
  for (int q = 0; q < kQueues; ++q) {
    f.Ring(q, kDram + 0x10000 * (q + 1) + 64 * (f.rng() % 64), kCount + f.rng() % 3);
    for (std::uint32_t i = 0; i < kCount; ++i) {
      const std::uint32_t id = 100 * q + i;  // unique: it names what fails
      isa::EngineInstr h;
      h.sig_en = 1, h.sig_sem = q, h.sig_inc = 1;
      isa::Encoded e = FrontEnd::Instr(q, id, h);
      bool nop = false;
      switch (f.rng() % 30) {
        case 0: case 1:
          e[7] = 0;  // dtype_0 and dtype_1
          e[6] &= 0x0f;
          faults[q][i] = Err::kBadDtype;
          break;
        case 2:
          faults[q][i] = Err::kAxiFetch;
          break;
        case 3:
          h.wait_en = 1, h.wait_sem = 60, h.wait_val = 1;
          e = FrontEnd::Instr(q, id, h);
          faults[q][i] = Err::kWatchdog;
          break;
        case 4: case 5: case 6:
          if (q >= 3) {
            f.failing.insert(id);
            faults[q][i] = Err::kAxiRead;
          }
          break;
        case 7: case 8:
          e = FrontEnd::Nop(h);
          nop = true;
          break;
        default: break;
      }
      f.Put(q, i, e);
      if (faults[q].count(i) && faults[q][i] == Err::kAxiFetch) f.bad_lines.insert(f.Line(q, i));
      if (!faults[q].count(i)) {
        run[q].push_back(i);
        if (!nop) sent[q].push_back(id);
      }
    }
  }
  for (int q = 0; q < kQueues; ++q) REQUIRE(f.Doorbell(q, kCount) == kOkay);
  std::array<std::map<std::uint32_t, Err>, kQueues> seen;
  for (int busy = kQueues; busy > 0;) {
    REQUIRE(f.dut.cycle() < 300000);
    busy = 0;
    for (int q = 0; q < kQueues; ++q) {
      const QueueState s = f.State(q);
      busy += s != QueueState::kIdle;
      if (s != QueueState::kError) continue;
      const auto e = f.ErrorOf(q);
      CHECK(seen[q].count(e.index) == 0);
      seen[q][e.index] = e.err;
      REQUIRE(f.Write(FrontEnd::Reg(q, isa::kCsrQueueCtrl), 2) == kOkay);
    }
  }
  for (int q = 0; q < kQueues; ++q) {
    CAPTURE(q);
    CHECK(seen[q] == faults[q]);
    CHECK(f.retired[q] == run[q]);
    CHECK(f.finished[q] == sent[q]);
    CHECK(f.Read(FrontEnd::Reg(q, isa::kCsrQueueHead)) == kCount);
    CHECK(Sem(f, q) == run[q].size());
  }
}

TEST_CASE("reset empties a queue once its engine is quiet, and it starts afresh",
          "[sequencer][directed]") {
  const int delay = GENERATE(0, 5, 20, 40, 150, 400);
  CAPTURE(delay);
  FrontEnd f;
  f.memory_latency = 50;
  f.work = [](int, std::uint32_t) { return 100; };
  f.Ring(4, kDram, 20);
  Program(f, 4, 0, 20);
  REQUIRE(f.Doorbell(4, 20) == kOkay);
  f.dut.Run(delay);
  REQUIRE(f.Write(FrontEnd::Reg(4, isa::kCsrQueueCtrl), 1) == kOkay);
  REQUIRE(f.Wait(4) == QueueState::kIdle);
  CHECK(f.finished[4] == f.started[4]);
  CHECK(f.Read(FrontEnd::Reg(4, isa::kCsrQueueHead)) == 0);
  CHECK(f.Read(FrontEnd::Reg(4, isa::kCsrQueueTail)) == 0);
  for (auto* v : {&f.started[4], &f.finished[4], &f.retired[4]}) v->clear();
  for (std::uint32_t i = 0; i < 7; ++i) f.Put(4, i, FrontEnd::Instr(4, 100 + i));
  REQUIRE(f.Doorbell(4, 7) == kOkay);
  REQUIRE(f.Wait(4) == QueueState::kIdle);
  CHECK(f.started[4] == Iota(100, 107));
  CHECK(f.retired[4] == Iota(0, 7));
}

namespace {
// A matmul of the words of `banks` on, one word a bank, that accumulates or not.
isa::Encoded OnBanks(std::uint32_t id, std::uint32_t first, std::uint16_t banks, bool acc,
                     isa::EngineInstr header = {}) {
  isa::EngineInstr i = isa::DecodeEngineInstr(FrontEnd::Instr(0, id, header));
  i.off_d = 2048 * first + 4 * 300;
  i.size = {1, banks, 1, 1};
  i.str_d = {1, 512, 0, 0};
  i.acc = acc;
  return isa::Encode(i);
}
}  // namespace

TEST_CASE("an accumulate onto a bank that was never written stops there, before it starts",
          "[sequencer][directed]") {
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 60; };
  f.Ring(0, kDram, 16);
  f.Put(0, 0, OnBanks(0, 2, 2, false));  // banks 2, 3
  f.Put(0, 1, OnBanks(1, 2, 2, true));
  f.Put(0, 2, OnBanks(2, 1, 3, true));   // bank 1 is the lowest that is not
  f.Put(0, 3, OnBanks(3, 3, 3, true));   // bank 4
  f.Put(0, 4, OnBanks(4, 3, 1, true));
  REQUIRE(f.Doorbell(0, 5) == kOkay);
  const auto stopped = [&](std::uint32_t index, std::uint32_t bank) {
    REQUIRE(f.Wait(0) == QueueState::kError);
    const auto e = f.ErrorOf(0);
    CHECK(e.err == Err::kPsumUnwritten);
    CHECK(e.operand == 0);
    CHECK(e.index == index);
    CHECK(e.addr == 2048 * bank);
  };
  stopped(2, 1);
  CHECK(f.started[0] == Ids{0, 1});
  CHECK(f.retired[0] == Ids{0, 1});  // what was before it retired
  // The second accumulates onto what the first is still writing: it didn't wait for it.
  CHECK(f.start_cycle[FrontEnd::Key(0, 1)] < f.retire_cycle[FrontEnd::Key(0, 0)]);
  REQUIRE(f.Write(FrontEnd::Reg(0, isa::kCsrQueueCtrl), 2) == kOkay);
  stopped(3, 4);
  REQUIRE(f.Write(FrontEnd::Reg(0, isa::kCsrQueueCtrl), 2) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kIdle);
  CHECK(f.started[0] == Ids{0, 1, 4});

  // A queue reset leaves what is known of the banks; a refused instruction wrote nothing.
  REQUIRE(f.Write(FrontEnd::Reg(0, isa::kCsrQueueCtrl), 1) == kOkay);
  f.Put(0, 0, OnBanks(10, 2, 2, true));
  f.Put(0, 1, OnBanks(11, 4, 1, true));
  REQUIRE(f.Doorbell(0, 2) == kOkay);
  stopped(1, 4);
  CHECK(f.started[0] == Ids{0, 1, 4, 10});
  REQUIRE(f.Write(FrontEnd::Reg(0, isa::kCsrQueueCtrl), 1) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kIdle);

  // The reset of the core doesn't.
  f.dut.Reset();
  REQUIRE(f.Write(isa::kCsrDramBaseLo, kDram) == kOkay);
  REQUIRE(f.Write(isa::kCsrDramLimitLo, kDramEnd) == kOkay);
  f.Ring(0, kDram, 16);
  REQUIRE(f.Doorbell(0, 1) == kOkay);
  stopped(0, 2);
}

TEST_CASE("a bank written by another engine counts for who waits for that instruction",
          "[sequencer][directed]") {
  const int q = GENERATE(1, 2);
  const int writes = GENERATE(-1, 0, 5, 7);
  CAPTURE(q, writes);
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 200; };
  f.bank = [&](int queue, std::uint32_t id) { return queue == q && id == 1 ? writes : -1; };
  f.Ring(0, kDram, 16);
  f.Ring(q, kDram + 0x1000, 16);
  f.Put(q, 0, FrontEnd::Instr(q, 0));
  f.Put(q, 1, FrontEnd::Instr(q, 1, {.sig_en = 1, .sig_sem = 9, .sig_inc = 1}));
  f.Put(q, 2, FrontEnd::Instr(q, 2));
  f.Put(0, 0, OnBanks(0, 5, 1, true, {.wait_sem = 9, .wait_en = 1, .wait_val = 1}));
  REQUIRE(f.Doorbell(0, 1) == kOkay);
  REQUIRE(f.Doorbell(q, 3) == kOkay);
  // Not a cycle before the wait is met: it is checked long before, and reports nothing.
  f.dut.Run(300);
  CHECK(f.retired[q] == Ids{0});
  CHECK(f.State(0) == QueueState::kRunning);
  const QueueState end = f.Wait(0);
  if (writes == 5) {
    CHECK(end == QueueState::kIdle);
    CHECK(f.retired[0] == Ids{0});
  } else {
    CHECK(end == QueueState::kError);
    CHECK(f.ErrorOf(0).err == Err::kPsumUnwritten);
    CHECK(f.ErrorOf(0).addr == 5 * 2048);
    CHECK(f.started[0].empty());
  }
  f.Wait(q);
  CHECK(f.retired[q] == Ids{0, 1, 2});
}

TEST_CASE("a write that is not ordered before an accumulate counts when its instruction is done",
          "[sequencer][corner]") {
  FrontEnd f;
  f.work = [](int q, std::uint32_t id) { return q == 0 && id == 0 ? 300 : 100; };
  const int q = GENERATE(1, 2);
  CAPTURE(q);
  f.bank = [q](int queue, std::uint32_t) { return queue == q ? 3 : -1; };
  f.Ring(0, kDram, 16);
  f.Ring(q, kDram + 0x1000, 16);
  f.Put(q, 0, FrontEnd::Instr(q, 0));
  // Behind a longer matmul the accumulate is checked after the other queue's instruction.
  f.Put(0, 0, OnBanks(0, 0, 1, false));
  f.Put(0, 1, OnBanks(1, 3, 1, true));
  REQUIRE(f.Doorbell(0, 2) == kOkay);
  REQUIRE(f.Doorbell(q, 1) == kOkay);
  CHECK(f.Wait(0) == QueueState::kIdle);
  // It starts as soon as it may, not when the first is through.
  CHECK(f.start_cycle[FrontEnd::Key(0, 1)] < f.retire_cycle[FrontEnd::Key(0, 0)]);
  CHECK(f.start_cycle[FrontEnd::Key(0, 1)] > f.retire_cycle[FrontEnd::Key(q, 0)]);
}

TEST_CASE("the count of infinite and NaN words goes to its instruction's index, nops between",
          "[sequencer][random]") {
  const auto seed = GENERATE(range(1u, 5u));
  CAPTURE(seed);
  FrontEnd f(seed);
  // Long ones let others gather behind them, short ones are done while nops before them still retire.
  f.work = [&f](int, std::uint32_t) { return f.rng() % 2 ? 40 : static_cast<int>(f.rng() % 3); };
  f.Ring(0, kDram, 64);
  // Four cycles after done, as the engine answers.
  std::array<bool, 4> done{};
  std::size_t next = 0;
  std::vector<std::uint32_t> index;  // of the matmuls, in order
  std::uint32_t first = 0, first_words = 0, total = 0;
  int quiet = 0;                     // matmuls before the first that counts
  f.dut.OnDrive([&] {
    f.dut->nonfinite_valid_i = 0;
    f.dut->nonfinite_count_i = f.rng();
    if (done[3]) {
      const std::uint32_t id = index.at(next++);
      if (quiet-- <= 0 && f.rng() % 2) {
        f.dut->nonfinite_valid_i = 1;
        f.dut->nonfinite_count_i = 1 + f.rng() % 1000;
        if (total == 0) {
          first = id;
          first_words = f.dut->nonfinite_count_i;
        }
        total += f.dut->nonfinite_count_i;
      }
    }
    done = {static_cast<bool>(f.dut->done_i & 1), done[0], done[1], done[2]};
  });
  for (std::uint32_t tail = 0; tail < 1200;) {
    const std::uint32_t end = tail + 1 + f.rng() % 60;
    for (; tail < end; ++tail) {
      const bool nop = f.rng() % 3 == 0;
      f.Put(0, tail, nop ? FrontEnd::Nop() : FrontEnd::Instr(0, tail));
      if (!nop) index.push_back(tail);
    }
    quiet = static_cast<int>(f.rng() % 20);
    REQUIRE(f.Doorbell(0, tail) == kOkay);
    // The host has seen the end: the count must be there with the next read.
    while (f.Read(FrontEnd::Reg(0, isa::kCsrQueueHead)) != tail) REQUIRE(f.dut.cycle() < 200000);
    CHECK(f.Read(isa::kCsrNonfiniteCount) == total);
    CHECK(f.Read(isa::kCsrNonfiniteIndex) == (total ? first : 0));
    CHECK(f.Read(isa::kCsrNonfiniteFirst) == (total ? first_words : 0));
    if (f.rng() % 2) {
      REQUIRE(f.Write(isa::kCsrNonfiniteCount, 0) == kOkay);
      total = 0;
    }
  }
}

TEST_CASE("reset clears an error of any kind", "[sequencer][directed]") {
  const int kind = GENERATE(0, 1, 2, 3);
  CAPTURE(kind);
  FrontEnd f;
  REQUIRE(f.Write(isa::kCsrWatchdog, 100) == kOkay);
  f.Ring(3, kDram, 8);
  Program(f, 3, 0, 8);
  isa::EngineInstr h;
  h.wait_en = 1, h.wait_val = 1;
  if (kind == 0) f.Put(3, 2, isa::Encoded{});
  if (kind == 1) f.Put(3, 2, FrontEnd::Instr(3, 2, h));
  if (kind == 2) f.failing = {2};
  if (kind == 3) f.memory_silent = true;
  REQUIRE(f.Doorbell(3, 8) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kError);
  CHECK(f.ErrorOf(3).index == (kind == 3 ? 0 : 2));
  REQUIRE(f.Write(FrontEnd::Reg(3, isa::kCsrQueueCtrl), 1) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kIdle);
  CHECK(f.ErrorOf(3).err == Err::kNone);
  f.memory_silent = false;
  f.started[3].clear();
  f.retired[3].clear();
  Program(f, 3, 0, 8);
  REQUIRE(f.Doorbell(3, 8) == kOkay);
  REQUIRE(f.Wait(3) == QueueState::kIdle);
  CHECK(f.started[3] == Iota(0, 8));
  CHECK(f.retired[3] == Iota(0, 8));
}

TEST_CASE("set-up of a running queue is refused and disturbs nothing", "[sequencer][directed]") {
  FrontEnd f;
  f.work = [](int, std::uint32_t) { return 100; };
  f.Ring(2, kDram, 10);
  Program(f, 2, 0, 10);
  REQUIRE(f.Write(isa::kCsrIrqEnable, 1u << 16) == kOkay);
  REQUIRE(f.Doorbell(2, 5) == kOkay);
  CHECK(f.dut->irq_o == 0);
  CHECK(f.Doorbell(2, 10) == kSlvErr);
  f.dut.Run(2);
  CHECK(f.dut->irq_o == 1);
  CHECK(f.Write(FrontEnd::Reg(2, isa::kCsrQueueBaseLo), kDram + 0x1000) == kSlvErr);
  CHECK(f.Write(FrontEnd::Reg(2, isa::kCsrQueueBaseHi), 1) == kSlvErr);
  CHECK(f.Write(FrontEnd::Reg(2, isa::kCsrQueueSize), 3) == kSlvErr);
  CHECK(f.Read(isa::kCsrRefused) == 4);
  CHECK(f.Read(isa::kCsrIrqStatus) == 1u << 16);
  REQUIRE(f.Wait(2) == QueueState::kIdle);
  CHECK(f.retired[2] == Iota(0, 5));
  CHECK(f.Read(FrontEnd::Reg(2, isa::kCsrQueueTail)) == 5);
  REQUIRE(f.Write(isa::kCsrRefused, 4) == kOkay);
  REQUIRE(f.Write(isa::kCsrIrqStatus, 1u << 16) == kOkay);
  CHECK(f.Read(isa::kCsrRefused) == 0);
  f.dut.Run(2);
  CHECK(f.dut->irq_o == 0);
  REQUIRE(f.Doorbell(2, 10) == kOkay);
  REQUIRE(f.Wait(2) == QueueState::kIdle);
  CHECK(f.retired[2] == Iota(0, 10));
}

TEST_CASE("a doorbell backwards, by nothing or too far is refused", "[sequencer][directed]") {
  FrontEnd f;
  CHECK(f.Doorbell(1, 1) == kSlvErr);  // no SIZE yet
  f.Ring(1, kDram, 10);
  Program(f, 1, 0, 6);
  CHECK(f.Doorbell(1, 0) == kSlvErr);
  CHECK(f.Doorbell(1, 11) == kSlvErr);
  REQUIRE(f.Doorbell(1, 6) == kOkay);
  REQUIRE(f.Wait(1) == QueueState::kIdle);
  CHECK(f.Doorbell(1, 6) == kSlvErr);
  CHECK(f.Doorbell(1, 5) == kSlvErr);
  CHECK(f.Doorbell(1, 17) == kSlvErr);
  CHECK(f.Read(isa::kCsrRefused) == 2);
  Program(f, 1, 6, 16);
  REQUIRE(f.Doorbell(1, 16) == kOkay);
  REQUIRE(f.Wait(1) == QueueState::kIdle);
  CHECK(f.retired[1] == Iota(0, 16));
}

TEST_CASE("a new ring size goes on at HEAD modulo SIZE", "[sequencer][corner]") {
  FrontEnd f;
  f.Ring(0, kDram, 10);
  Program(f, 0, 0, 8);
  REQUIRE(f.Doorbell(0, 8) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kIdle);
  for (const std::uint32_t size : {5u, 3u, 7u, 65536u, 1u}) {
    CAPTURE(size);
    const std::uint32_t head = f.Read(FrontEnd::Reg(0, isa::kCsrQueueHead));
    f.Ring(0, kDram + 0x2000, size);
    const std::uint32_t count = std::min(size, 12u);
    for (std::uint32_t i = 0; i < count && size < 60000; ++i) {
      f.Put(0, head + i, FrontEnd::Instr(0, head + i));
    }
    if (size > 60000) {
      for (std::uint32_t i = 0; i < count; ++i) {
        f.PutAt(kDram + 0x2000 + 64 * (head + i), FrontEnd::Instr(0, head + i));
      }
    }
    REQUIRE(f.Doorbell(0, head + count) == kOkay);
    REQUIRE(f.Wait(0) == QueueState::kIdle);
    CHECK(f.started[0] == Iota(0, head + count));
  }
}

TEST_CASE("bursts take four instructions and stop at page, ring end and TAIL",
          "[sequencer][directed]") {
  FrontEnd f;
  f.Ring(0, kDram + 0x1000 - 6 * 64, 17);
  Program(f, 0, 0, 17);
  REQUIRE(f.Doorbell(0, 3) == kOkay);
  REQUIRE(f.Wait(0) == QueueState::kIdle);
  REQUIRE(f.Doorbell(0, 19) == kOkay);
  Program(f, 0, 17, 19);
  REQUIRE(f.Wait(0) == QueueState::kIdle);
  const std::uint64_t base = kDram + 0x1000 - 6 * 64;
  const std::vector<std::pair<std::uint64_t, int>> expected = {
      {base, 3 * 64},                // TAIL
      {base + 3 * 64, 3 * 64},       // page
      {base + 6 * 64, 4 * 64},  {base + 10 * 64, 4 * 64},
      {base + 14 * 64, 3 * 64},      // end of the ring
      {base, 2 * 64}};               // TAIL
  CHECK(f.bursts == expected);
  CHECK(f.retired[0] == Iota(0, 19));
}

}  // namespace dither
