// What a device promises a host: errors with their records, refusals, counters, semaphores,
// rounders.
#include <catch2/catch.hpp>

#include <random>

#include "sim/model/lfsr.hpp"
#include "sim/program/builder.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Queue;

Sync WaitFor(std::uint8_t sem, std::uint16_t value) { return {{{sem, value}}, {}, false}; }
Sync Sends(std::uint8_t sem) { return {{}, Signal{sem, 1}, false}; }

isa::Encoded NopWaiting(std::uint8_t sem, std::uint16_t value) {
  isa::EngineInstr i{};
  i.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
  i.wait_en = 1;
  i.wait_sem = sem;
  i.wait_val = value;
  return Encode(i);
}

}  // namespace

TEST_CASE("data travels from DRAM through SBUF and back, whatever the alignment", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  std::mt19937 random(1);
  for (const std::uint32_t columns : {1u, 3u, 8u, 13u, 64u, 129u}) {
    ProgramBuilder b(device->config());
    std::vector<std::uint8_t> data(8 * columns);
    for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
    const std::uint64_t from = device->Allocate(data.size() + 8) + random() % 8;
    const std::uint64_t to = device->Allocate(data.size() + 8) + random() % 8;
    device->WriteArray(from, data);
    const Tensor source = Tensor::Dram("source", from, Dtype::kInt8, {8, columns});
    const Tensor target = Tensor::Dram("target", to, Dtype::kInt8, {8, columns});
    const Tensor chip = b.Sbuf("chip", Dtype::kInt8, {8, columns}, 0, 1);
    b.Copy(Queue::kDma0, chip, source, Sends(3));
    b.Copy(Queue::kDma1, target, chip, WaitFor(3, 1));
    device->Run(b.Take());
    REQUIRE(device->ReadArray<std::uint8_t>(to, data.size()) == data);
    std::vector<std::uint8_t> row(columns);
    device->ReadSbuf(5, static_cast<std::uint32_t>(chip.address),
                     std::as_writable_bytes(std::span(row)));
    REQUIRE(std::equal(row.begin(), row.end(), data.begin() + 5 * columns));
  }
}

TEST_CASE("a wait that nothing meets ends in a watchdog record of exactly that queue", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  device->SetWatchdog(500);
  ProgramBuilder b(device->config());
  b.Nop(Queue::kTensor);
  b.Nop(Queue::kTensor, WaitFor(7, 2));
  b.Nop(Queue::kTensor);
  b.Nop(Queue::kVector, Sends(7));
  try {
    device->Run(b.Take(), 100000);
    FAIL("the program can't finish");
  } catch (const ProgramFailed& failed) {
    REQUIRE(failed.records().size() == 1);
    const ErrorRecord& record = failed.records()[0];
    CHECK(record.queue == Queue::kTensor);
    CHECK(record.cause == isa::Err::kWatchdog);
    CHECK(record.index == 1);
    CHECK(std::string(failed.what()) ==
          "queue tensor, instruction 1: watchdog: the wait was not met in time [nop wait=7>=2]");
  }
  CHECK(device->Head(Queue::kTensor) == 1);
  CHECK(device->State(Queue::kVector) == isa::QueueState::kIdle);
  // The queue goes on behind the faulty instruction.
  device->ResumeQueue(Queue::kTensor);
  device->Wait(100000);
  CHECK(device->Head(Queue::kTensor) == 3);
}

TEST_CASE("two queues that wait for each other are both reported", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  device->SetWatchdog(500);
  ProgramBuilder b(device->config());
  b.Nop(Queue::kVector, {{{1, 1}}, Signal{2, 1}, false});
  b.Nop(Queue::kScalar, {{{2, 1}}, Signal{1, 1}, false});
  CHECK_THROWS_WITH(device->Run(b.Take(), 100000),
                    Catch::Contains("queue vector, instruction 0: watchdog") &&
                        Catch::Contains("queue scalar, instruction 0: watchdog"));
  device->ResetQueues();
  ProgramBuilder again(device->config());
  again.Nop(Queue::kVector);
  device->Run(again.Take(), 100000);
}

TEST_CASE("a faulty instruction stops its queue there and changes nothing", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  device->SetWatchdog(500);
  const isa::Config& config = device->config();
  ProgramBuilder b(config);
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {8, 4});
  b.Elementwise(isa::VecFunc::kAdd, x, x, 1.0f);
  isa::EngineInstr bad = isa::DecodeEngineInstr(b.program()[Queue::kVector][0]);

  const auto run = [&](Queue queue, const isa::Encoded& encoded) {
    ProgramBuilder p(config);
    p.Nop(queue);
    p.Raw(queue, encoded);
    p.Nop(queue);
    for (std::uint32_t part = 0; part < 8; ++part) {
      tb::FillSbuf(*device, part, 0, std::vector<std::uint8_t>(64, 0x11));
    }
    ErrorRecord record;
    try {
      device->Run(p.Take(), 100000);
    } catch (const ProgramFailed& failed) {
      record = failed.records()[0];
    }
    CHECK(record.queue == queue);
    CHECK(record.index == 1);
    for (std::uint32_t part = 0; part < 8; ++part) {
      std::vector<std::uint8_t> row(64);
      device->ReadSbuf(part, 0, std::as_writable_bytes(std::span(row)));
      CHECK(row == std::vector<std::uint8_t>(64, 0x11));
    }
    device->ResetQueues();
    return record;
  };

  SECTION("truncated to zeros") {
    CHECK(run(Queue::kScalar, {}).cause == isa::Err::kIllegalOpcode);
  }
  SECTION("another engine's opcode") {
    CHECK(run(Queue::kTensor, Encode(bad)).cause == isa::Err::kIllegalOpcode);
  }
  SECTION("a reserved bit") {
    isa::Encoded e = Encode(bad);
    isa::SetBits(e, 63, 1, 1);
    CHECK(run(Queue::kVector, e).cause == isa::Err::kReservedField);
  }
  SECTION("a zero dimension") {
    bad.size[2] = 0;
    CHECK(run(Queue::kVector, Encode(bad)).cause == isa::Err::kBadSize);
  }
  SECTION("beyond SBUF") {
    bad.off_d = config.sbuf_bytes - 12;  // the last of 4 elements ends 4 bytes outside
    const ErrorRecord record = run(Queue::kVector, Encode(bad));
    CHECK(record.cause == isa::Err::kSbufRange);
    CHECK(record.operand == 0);
    CHECK(record.address == config.sbuf_bytes + 3);
    CHECK_THAT(record.Text(), Catch::Contains("SBUF address out of range, destination, address "
                                              "0x4003"));
  }
  SECTION("below SBUF") {
    bad.str_0[0] = -1;
    const ErrorRecord record = run(Queue::kVector, Encode(bad));
    CHECK(record.cause == isa::Err::kSbufRange);
    CHECK(record.operand == 1);
    CHECK(record.address == -12);
    CHECK_THAT(record.Text(), Catch::Contains("address -0xc"));
  }
  SECTION("outside the DRAM window") {
    ProgramBuilder p(config);
    p.Copy(Queue::kDma0, Tensor::Dram("t", device->dram_limit() - 4, Dtype::kInt8, {8}),
           Tensor::Dram("s", device->dram_base(), Dtype::kInt8, {8}));
    const ErrorRecord record = run(Queue::kDma0, p.program()[Queue::kDma0][0]);
    CHECK(record.cause == isa::Err::kDramRange);
    CHECK(record.address == static_cast<std::int64_t>(device->dram_limit()) + 3);
  }
}

TEST_CASE("an error's cause is listed before the watchdogs of those who waited for it",
          "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  device->SetWatchdog(500);
  ProgramBuilder b(device->config());
  b.Nop(Queue::kTensor, WaitFor(0, 1));
  b.Raw(Queue::kDma1, {});
  b.Nop(Queue::kDma1, Sends(0));
  try {
    device->Run(b.Take(), 100000);
    FAIL("must fail");
  } catch (const ProgramFailed& failed) {
    REQUIRE(failed.records().size() == 2);
    CHECK(failed.records()[0].queue == Queue::kDma1);
    CHECK(failed.records()[1].queue == Queue::kTensor);
  }
}

TEST_CASE("a doorbell on a queue that is not idle is refused and disturbs nothing", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  ProgramBuilder b(device->config());
  b.Nop(Queue::kScalar, WaitFor(4, 1));
  device->LoadProgram(b.program());
  device->Start();
  CHECK_THROWS_WITH(
      device->WriteCsr(Device::QueueCsr(Queue::kScalar, isa::kCsrQueueTail), 2),
      Catch::Contains("QUEUE_TAIL of scalar refused") && Catch::Contains("the queue is running"));
  CHECK_THROWS_AS(device->WriteCsr(Device::QueueCsr(Queue::kScalar, isa::kCsrQueueBaseLo), 0),
                  CsrError);
  CHECK(device->ReadCsr(isa::kCsrRefused) == 1u << 2);
  CHECK((device->ReadCsr(isa::kCsrIrqStatus) & 1u << 16) != 0);
  CHECK_THROWS_WITH(device->LoadProgram(b.program()), Catch::Contains("queue scalar is running"));
  device->IncSemaphore(4, 1);
  device->Wait(100000);
  CHECK(device->Head(Queue::kScalar) == 1);
}

TEST_CASE("ring set-up that makes no sense is refused", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const auto reg = [](std::uint32_t offset) { return Device::QueueCsr(Queue::kDma0, offset); };
  CHECK_THROWS_WITH(device->WriteCsr(reg(isa::kCsrQueueBaseLo), 0x20),
                    Catch::Contains("QUEUE_BASE_LO of dma0 refused"));
  CHECK_THROWS_AS(device->WriteCsr(reg(isa::kCsrQueueSize), 0), CsrError);
  CHECK_THROWS_AS(device->WriteCsr(reg(isa::kCsrQueueSize), 65537), CsrError);
  device->WriteCsr(reg(isa::kCsrQueueSize), 4);
  CHECK_THROWS_AS(device->WriteCsr(reg(isa::kCsrQueueTail), 0), CsrError);
  CHECK_THROWS_AS(device->WriteCsr(reg(isa::kCsrQueueTail), 5), CsrError);
  CHECK_THROWS_WITH(device->ReadCsr(0x3fc), Catch::Contains("no register at 0x3fc"));
  CHECK_THROWS_WITH(device->WriteCsr(isa::kCsrId, 1), Catch::Contains("register ID"));
}

TEST_CASE("programs that can't be loaded say why", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano", 64 << 10));
  CHECK_THROWS_WITH(device->Run(Program{}), Catch::Contains("no instructions"));
  Program program;
  program.rows = 16;
  program[Queue::kTensor].push_back(NopWaiting(0, 0));
  CHECK_THROWS_WITH(device->Run(program), Catch::Contains("built for 16 rows") &&
                                              Catch::Contains("nano"));
  program.rows = 8;
  program[Queue::kTensor].assign(65537, NopWaiting(0, 0));
  CHECK_THROWS_WITH(device->Run(program),
                    Catch::Contains("65537 instructions, a ring holds 65536"));
  program[Queue::kTensor].assign(2000, NopWaiting(0, 0));
  CHECK_THROWS_WITH(device->Run(program), Catch::Contains("queue tensor needs 128000 bytes"));
}

TEST_CASE("DRAM accesses and allocations outside what there is are refused", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano", 4096));
  std::vector<std::uint8_t> data(16);
  CHECK_THROWS_WITH(device->WriteArray(device->dram_limit() - 8, data),
                    Catch::Contains("write of 16 bytes"));
  CHECK_THROWS_AS(device->ReadArray<std::uint8_t>(0, 1), MemoryError);
  const std::uint64_t mark = device->Mark();
  device->Allocate(4096);
  CHECK_THROWS_WITH(device->Allocate(1), Catch::Contains("0 of 4096 bytes"));
  device->Release(mark);
  CHECK_THROWS_AS(device->Allocate(64, 3), MemoryError);
  CHECK_THROWS_AS(device->ReadSbuf(8, 0, std::as_writable_bytes(std::span(data))), MemoryError);
  CHECK_THROWS_AS(device->ReadPsum(0, isa::kPsumBytes - 8, std::as_writable_bytes(std::span(data))),
                  MemoryError);
}

TEST_CASE("a wait without watchdog ends in the host's timeout, which names the queue", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  device->SetWatchdog(0);
  ProgramBuilder b(device->config());
  b.Nop(Queue::kDma0, WaitFor(9, 1));
  CHECK_THROWS_WITH(device->Run(b.Take(), 2000),
                    Catch::Contains("queue dma0 running at instruction 0 of 1"));
  device->SetSemaphore(9, 1);
  device->Wait(2000);
}

TEST_CASE("semaphores compare modulo 2^16 and take signed increments", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  ProgramBuilder b(device->config());
  b.Nop(Queue::kVector, {{{5, 3}}, Signal{6, -2}, false});
  device->LoadProgram(b.program());
  device->SetSemaphore(5, 0x8003);  // 2^15 ahead of 3 counts as behind
  device->SetSemaphore(6, 1);
  device->Start();
  CHECK(!device->Advance(300));
  device->SetSemaphore(5, 3);
  device->Wait(10000);
  CHECK(device->ReadSemaphore(6) == 0xffff);
}

TEST_CASE("counters know the work and the instructions of every queue", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  ProgramBuilder b(device->config());
  const Tensor x = b.Sbuf("x", Dtype::kBf16, {8, 40});
  const Tensor w = b.Sbuf("w", Dtype::kBf16, {8, 8});
  const Tensor psum = b.PsumBank("psum", 0, Dtype::kFp32, {8, 40});
  const std::uint64_t dram = device->Allocate(8 * 40 * 2);
  device->WriteArray(dram, std::vector<std::uint16_t>(320, 0x3f80));
  b.Copy(Queue::kDma0, x, Tensor::Dram("d", dram, Dtype::kBf16, {8, 40}), Sends(0));
  b.Matmul(psum, w, x, {}, {{{0, 1}}, Signal{1, 1}, false});
  b.Cast(x, psum, {}, {{{1, 1}}, Signal{2, 1}, true});
  b.Act(isa::ActFunc::kRelu, x.Slice(1, 0, 30), psum.Slice(1, 0, 30), 1, 0, {}, WaitFor(2, 1));
  device->ClearCounters();
  device->Run(b.Take(), 100000);
  const DeviceCounters c = device->Counters();
  CHECK(c[Queue::kDma0].work == 640);
  CHECK(c[Queue::kTensor].work == 40);
  CHECK(c[Queue::kVector].work == 40);
  CHECK(c[Queue::kScalar].work == 30);
  CHECK(c[Queue::kTensor].retired == 1);
  CHECK(c[Queue::kDma1].retired == 0);
  CHECK(c.cycles > 0);
  CHECK((device->ReadCsr(isa::kCsrIrqStatus) & 0x1f) == 1u << 1);
}

TEST_CASE("stochastic rounding is unbiased, reproducible and uses one state step per element",
          "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const std::uint32_t n = 512, rows = 8;
  device->SeedRounders(12345);
  CHECK(device->RounderState(Queue::kVector, 3) == LaneSeed(12345, 3, 2 * rows));
  CHECK(device->RounderState(Queue::kScalar, 3) == LaneSeed(12345, rows + 3, 2 * rows));
  // 1 + 2^-9 lies a quarter of the way between two bf16 numbers.
  const float value = 1.0f + std::ldexp(1.0f, -9);
  const auto run = [&] {
    ProgramBuilder b(device->config());
    const Tensor x = b.Sbuf("x", Dtype::kFp32, {rows, n}), y = b.Sbuf("y", Dtype::kBf16, {rows, n});
    const Tensor z = b.Sbuf("z", Dtype::kBf16, {rows, n});
    for (std::uint32_t p = 0; p < rows; ++p) {
      tb::FillSbuf(*device, p, x.address, std::vector<float>(n, value));
    }
    b.Cast(y, x, {isa::Round::kSr, false});
    b.Act(isa::ActFunc::kIdentity, z, x, 1, -0.0f, {isa::Round::kSr, false});
    device->Run(b.Take(), 100000);
    std::vector<std::uint16_t> bits(2 * rows * n);
    for (std::uint32_t p = 0; p < rows; ++p) {
      auto at = std::as_writable_bytes(std::span(bits)).subspan(2 * p * n * 2);
      device->ReadSbuf(p, static_cast<std::uint32_t>(y.address), at.first(n * 2));
      device->ReadSbuf(p, static_cast<std::uint32_t>(z.address), at.subspan(n * 2, n * 2));
    }
    return bits;
  };
  const auto first = run();
  std::size_t up = 0;
  for (const std::uint16_t bits : first) {
    REQUIRE((bits == 0x3f80 || bits == 0x3f81));
    up += bits == 0x3f81;
  }
  const double mean = static_cast<double>(up) / first.size();
  CHECK(std::fabs(mean - 0.25) < 5 * std::sqrt(0.25 * 0.75 / first.size()));
  std::uint32_t state = LaneSeed(12345, 3, 2 * rows);
  for (std::uint32_t i = 0; i < n; ++i) state = Leap(state);
  CHECK(device->RounderState(Queue::kVector, 3) == state);
  CHECK(run() != first);
  device->SeedRounders(12345);
  CHECK(run() == first);
}

TEST_CASE("saved rounder states continue the same sequence in another device", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  auto other = tb::MakeDevice(tb::Options("nano"));
  const std::uint32_t n = 64, rows = 8;
  const auto run = [&](Device& on) {
    ProgramBuilder b(on.config());
    const Tensor x = b.Sbuf("x", Dtype::kFp32, {rows, n}), y = b.Sbuf("y", Dtype::kFp8E4M3, {rows, n});
    for (std::uint32_t p = 0; p < rows; ++p) {
      tb::FillSbuf(on, p, x.address, std::vector<float>(n, 1.07f));
    }
    b.Act(isa::ActFunc::kIdentity, y, x, 1, -0.0f, {isa::Round::kSr, true});
    on.Run(b.Take(), 100000);
    std::vector<std::byte> bytes(rows * n);
    for (std::uint32_t p = 0; p < rows; ++p) {
      on.ReadSbuf(p, static_cast<std::uint32_t>(y.address), std::span(bytes).subspan(p * n, n));
    }
    return bytes;
  };
  device->SeedRounders(7, 2, 4);
  CHECK(device->RounderState(Queue::kScalar, 5) == ReplicaLaneSeed(7, 2, 4, rows + 5, 2 * rows));
  CHECK_THROWS_AS(device->SeedRounders(7, 4, 4), DeviceError);
  const std::uint32_t most = static_cast<std::uint32_t>(kMaxReplicaLanes / (2 * rows));
  device->SeedRounders(7, most - 1, most);
  for (const std::uint32_t replicas : {most + 1, 1u << 28, 0xffffffffu}) {  // 2^28: lanes wrap to none
    CHECK_THROWS_AS(device->SeedRounders(7, 0, replicas), DeviceError);
  }
  const auto first = run(*device);
  // Words are whitened, of 24 bits, 32 steps apart: what has to be equal to take states over.
  REQUIRE(device->ReadCsr(isa::kCsrRngMode) == 0x00201801);
  REQUIRE(other->ReadCsr(isa::kCsrRngMode) == device->ReadCsr(isa::kCsrRngMode));
  for (std::uint32_t lane = 0; lane < rows; ++lane) {
    for (const Queue queue : {Queue::kVector, Queue::kScalar}) {
      other->SetRounderState(queue, lane, device->RounderState(queue, lane));
    }
  }
  const auto second = run(*device);
  CHECK(second != first);
  CHECK(run(*other) == second);
}

TEST_CASE("rounding to nearest leaves the rounders' states alone", "[device]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  CHECK(device->RounderState(Queue::kVector, 0) == LaneSeed(1, 0, 16));  // as after reset
  CHECK(device->RounderState(Queue::kScalar, 7) == LaneSeed(1, 15, 16));
  ProgramBuilder b(device->config());
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {8, 9}), y = b.Sbuf("y", Dtype::kBf16, {8, 9});
  b.Cast(y, x);
  b.Cast(x, y, {isa::Round::kSr, false});  // to fp32 nothing is rounded
  device->Run(b.Take(), 100000);
  CHECK(device->RounderState(Queue::kVector, 0) == LaneSeed(1, 0, 16));
  device->SetRounderState(Queue::kVector, 2, 0);
  CHECK(device->RounderState(Queue::kVector, 2) == 1);
  CHECK_THROWS_AS(device->RounderState(Queue::kTensor, 0), DeviceError);
  CHECK_THROWS_AS(device->RounderState(Queue::kVector, 8), DeviceError);
}

}  // namespace dither
