// Bad input of the tensor queue, in programs: what is refused, with which record, and that nothing has changed; and
// what infinite and NaN words leave in NONFINITE.
#include <catch2/catch.hpp>

#include <optional>
#include <random>
#include <set>

#include "sim/program/builder.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Err;
using isa::Queue;

constexpr std::uint32_t kBankBytes = isa::kPsumBankWords * 4;
constexpr std::uint16_t kOne = 0x3f80, kInf = 0x7f80, kMinusInf = 0xff80;  // bf16

// A matmul of ones: every word of `words` columns from `byte` of PSUM on becomes (or grows by) K.
isa::EngineInstr Ones(const Device& device, std::uint32_t byte, std::uint16_t words, bool acc) {
  const auto rows = static_cast<std::uint8_t>(device.config().rows);
  isa::EngineInstr i{.opcode = static_cast<std::uint8_t>(isa::Op::kMatmul),
                     .dtype_d = static_cast<std::uint8_t>(Dtype::kFp32),
                     .dtype_0 = static_cast<std::uint8_t>(Dtype::kBf16),
                     .dtype_1 = static_cast<std::uint8_t>(Dtype::kBf16),
                     .acc = acc, .space_d = 1, .parts = rows, .parts_d = rows};
  i.off_d = byte;
  i.size = {words, 1, 1, 1};
  i.str_d = i.str_0 = i.str_1 = {1, 0, 0, 0};
  return i;
}

void FillOnes(Device& device) {
  for (std::uint32_t part = 0; part < device.config().rows; ++part) {
    tb::FillSbuf(device, part, 0, std::vector<std::uint16_t>(2048, kOne));
  }
}

// All of PSUM and SBUF.
std::vector<std::byte> OnChip(Device& device) {
  std::vector<std::byte> all;
  for (std::uint32_t part = 0; part < device.config().rows; ++part) {
    std::vector<std::byte> psum(isa::kPsumBytes), sbuf(device.config().sbuf_bytes);
    device.ReadPsum(part, 0, psum);
    device.ReadSbuf(part, 0, sbuf);
    all.insert(all.end(), psum.begin(), psum.end());
    all.insert(all.end(), sbuf.begin(), sbuf.end());
  }
  return all;
}
float PsumWord(Device& device, std::uint32_t part, std::uint32_t byte) {
  float value = 0;
  device.ReadPsum(part, byte, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

// Runs until the queues are idle or stopped; the record of the tensor queue, if that is stopped.
std::optional<ErrorRecord> Finish(Device& device) {
  try {
    device.Wait(1'000'000);
  } catch (const ProgramFailed& failed) {
    REQUIRE(failed.records().size() == 1);
    REQUIRE(failed.records()[0].queue == Queue::kTensor);
    return failed.records()[0];
  }
  return std::nullopt;
}
std::optional<ErrorRecord> RunTensor(Device& device, const std::vector<isa::EngineInstr>& instructions) {
  Program program;
  program.rows = device.config().rows;
  for (const auto& i : instructions) program[Queue::kTensor].push_back(isa::Encode(i));
  device.LoadProgram(program);
  device.Start();
  return Finish(device);
}

}  // namespace

TEST_CASE("a matmul that is refused names code, operand and address, and not a byte has changed", "[bad_input]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const std::uint32_t rows = device->config().rows;
  FillOnes(*device);
  REQUIRE(!RunTensor(*device, {Ones(*device, 0, 4, false)}));
  const auto before = OnChip(*device);
  constexpr int kAnyOperand = -1;
  const auto refused = [&](auto change, Err err, int operand) {
    isa::EngineInstr nop{.opcode = static_cast<std::uint8_t>(isa::Op::kNop)};
    isa::EngineInstr i = Ones(*device, 0, 4, true);
    change(i);
    CAPTURE(int{i.dtype_d}, int{i.dtype_0}, int{i.dtype_1}, int{i.parts}, int{i.parts_d}, int{i.part_0}, int{i.part_d});
    const auto record = RunTensor(*device, {nop, i, Ones(*device, 0, 4, false)});
    REQUIRE(record);
    CHECK(record->cause == err);
    if (operand != kAnyOperand) CHECK(record->operand == static_cast<std::uint32_t>(operand));
    CHECK(record->index == 1);
    CHECK(record->address == 0);
    CHECK(OnChip(*device) == before);
    device->ResetQueues();
  };
  const auto code = [](Dtype dtype) { return static_cast<std::uint8_t>(dtype); };
  for (const int reserved : {0, 8, 9, 10, 11, 12, 13, 14, 15}) {
    const auto bad = static_cast<std::uint8_t>(reserved);
    refused([&](isa::EngineInstr& i) { i.dtype_d = bad; }, Err::kBadDtype, 0);
    refused([&](isa::EngineInstr& i) { i.dtype_0 = bad; }, Err::kBadDtype, 1);
    refused([&](isa::EngineInstr& i) { i.dtype_1 = bad; }, Err::kBadDtype, 2);
    refused([&](isa::EngineInstr& i) { i.dtype_d = i.dtype_0 = i.dtype_1 = bad; }, Err::kBadDtype, 0);
  }
  // An integer with a float, or a float where only an integer fits.
  for (const Dtype real : {Dtype::kBf16, Dtype::kFp16, Dtype::kFp32, Dtype::kFp8E4M3, Dtype::kFp8E5M2}) {
    const auto mixed = [&](isa::EngineInstr& i) { i.dtype_0 = code(real), i.dtype_1 = code(Dtype::kInt8); };
    refused(mixed, Err::kBadDtype, kAnyOperand);
    refused([&](isa::EngineInstr& i) { mixed(i), std::swap(i.dtype_0, i.dtype_1); }, Err::kBadDtype, kAnyOperand);
    refused([&](isa::EngineInstr& i) { mixed(i), i.dtype_d = code(Dtype::kInt32); }, Err::kBadDtype, kAnyOperand);
  }
  refused([&](isa::EngineInstr& i) { i.dtype_d = code(Dtype::kInt32); }, Err::kBadDtype, kAnyOperand);
  refused([&](isa::EngineInstr& i) { i.dtype_1 = code(Dtype::kInt32); }, Err::kBadDtype, 2);
  // K and M: of nothing, of more than the array has, and moved beyond its edge.
  refused([&](isa::EngineInstr& i) { i.parts = 0; }, Err::kBadSize, 0);
  refused([&](isa::EngineInstr& i) { i.parts_d = 0; }, Err::kBadSize, 0);
  for (const std::uint32_t over : {rows + 1, 255u}) {
    const auto n = static_cast<std::uint8_t>(over);
    refused([&](isa::EngineInstr& i) { i.parts = n; }, Err::kBadPartition, 1);
    refused([&](isa::EngineInstr& i) { i.parts_d = n; }, Err::kBadPartition, 0);
    refused([&](isa::EngineInstr& i) { i.parts = i.parts_d = n; }, Err::kBadPartition, 0);
  }
  refused([&](isa::EngineInstr& i) { i.part_0 = i.part_1 = 1; }, Err::kBadPartition, 1);
  refused([&](isa::EngineInstr& i) { i.part_d = 1; }, Err::kBadPartition, 0);
  refused([&](isa::EngineInstr& i) { i.part_d = 255; }, Err::kBadPartition, 0);
}

TEST_CASE("an accumulate onto a bank that was never written changes nothing and names the bank", "[bad_input]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const auto rows = static_cast<float>(device->config().rows);
  FillOnes(*device);
  const auto before = OnChip(*device);
  // Two columns on either side of the border between banks 2 and 3.
  const std::uint32_t border = 3 * kBankBytes;
  auto record = RunTensor(*device, {Ones(*device, border - 8, 4, true)});
  REQUIRE(record);
  CHECK(record->cause == Err::kPsumUnwritten);
  CHECK(record->operand == 0);
  CHECK(record->index == 0);
  CHECK(record->address == 2 * kBankBytes);
  CHECK_THAT(record->Text(), Catch::Contains("accumulate onto a PSUM bank that was never written, destination, "
                                             "address 0x1000"));
  CHECK(OnChip(*device) == before);
  CHECK((device->ReadCsr(isa::kCsrIrqStatus) >> 8 & 0x1f) == 1);
  device->ResetQueues();

  // One word of bank 2 is enough for bank 2; the instruction behind the faulty one runs after resume.
  record = RunTensor(*device, {Ones(*device, 2 * kBankBytes + 100, 1, false), Ones(*device, border - 8, 4, true),
                               Ones(*device, border - 8, 2, true)});
  REQUIRE(record);
  CHECK(record->cause == Err::kPsumUnwritten);
  CHECK(record->index == 1);
  CHECK(record->address == border);
  device->ResumeQueue(Queue::kTensor);
  REQUIRE(!Finish(*device));
  CHECK(device->Head(Queue::kTensor) == 3);
  CHECK(PsumWord(*device, 1, 2 * kBankBytes + 100) == rows);

  // Written by now: the same program runs, also behind a queue reset.
  device->ResetQueues();
  REQUIRE(!RunTensor(*device, {Ones(*device, border - 8, 4, false), Ones(*device, border - 8, 4, true),
                               Ones(*device, border - 8, 4, true)}));
  for (std::uint32_t n = 0; n < 4; ++n) CHECK(PsumWord(*device, 3, border - 8 + 4 * n) == 3 * rows);
}

TEST_CASE("banks that a pattern steps over need not be written", "[bad_input]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  FillOnes(*device);
  isa::EngineInstr odd = Ones(*device, kBankBytes, 4, false);  // banks 1, 3, 5, 7
  odd.size = {2, 4, 1, 1};
  odd.str_d = {1, 1024, 0, 0};
  isa::EngineInstr again = odd;
  again.acc = 1;
  isa::EngineInstr down = again;                               // the same from the top
  down.off_d = 7 * kBankBytes;
  down.str_d[1] = -1024;
  isa::EngineInstr wider = again;                              // 0, 1, 2, ...
  wider.off_d = 0;
  wider.size[1] = 3;
  wider.str_d[1] = 512;
  REQUIRE(!RunTensor(*device, {odd, again, down}));
  const auto record = RunTensor(*device, {wider});
  REQUIRE(record);
  CHECK(record->address == 0);
  device->ResetQueues();
  wider.off_d = kBankBytes;
  const auto second = RunTensor(*device, {wider});
  REQUIRE(second);
  CHECK(second->address == 2 * kBankBytes);
}

TEST_CASE("programs that fill banks with several engines fail at exactly the accumulates that come too early",
          "[bad_input][random]") {
  const auto seed = GENERATE(range(1u, 9u));
  CAPTURE(seed);
  auto device = tb::MakeDevice(tb::Options("nano"));
  const auto rows = static_cast<std::uint8_t>(device->config().rows);
  FillOnes(*device);
  std::mt19937 rng(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(rng() % n); };
  Program program;
  program.rows = device->config().rows;
  // Semaphore 0 counts the tensor instructions that succeed, 1 and 2 those of vector and scalar engine.
  std::array<std::uint16_t, 3> sent{};
  std::set<std::uint32_t> written;         // banks, for what comes next in the tensor queue
  std::set<std::uint32_t> failed;          // banks of the refused instructions since the last successful one
  std::array<std::vector<std::uint32_t>, 3> on_way;  // banks written by the n-th of the engine
  struct Expected {
    std::uint32_t index;
    std::int64_t address;
  };
  std::vector<Expected> expected;
  const auto sync = [](isa::EngineInstr& i, int wait, std::uint16_t count, int signal) {
    if (wait >= 0) i.wait_en = 1, i.wait_sem = static_cast<std::uint8_t>(wait), i.wait_val = count;
    if (signal >= 0) i.sig_en = 1, i.sig_sem = static_cast<std::uint8_t>(signal), i.sig_inc = 1;
  };
  for (int step = 0; step < 60; ++step) {
    const std::uint32_t kind = below(10);
    if (kind < 3) {
      // Another engine writes a bank, behind all that the tensor queue has done so far. It can't wait for what fails,
      // which signals nothing.
      const int q = 1 + static_cast<int>(below(2));
      const std::uint32_t bank = below(8);
      if (failed.count(bank)) continue;
      isa::EngineInstr i{.opcode = static_cast<std::uint8_t>(q == 1 ? isa::Op::kTensor : isa::Op::kAct),
                         .dtype_d = 1, .dtype_0 = 2, .dtype_1 = 2, .space_d = 1, .src1_imm = 1,
                         .parts = rows, .parts_d = rows};
      i.size = {static_cast<std::uint16_t>(1 + below(40)), 1, 1, 1};
      i.str_d = i.str_0 = {1, 0, 0, 0};
      i.imm0 = 0x3f800000;
      i.off_d = bank * kBankBytes + (q == 1 ? 0 : 256);  // words of its own: only the banks are shared
      sync(i, 0, sent[0], q);
      program[q == 1 ? Queue::kVector : Queue::kScalar].push_back(isa::Encode(i));
      ++sent[q];
      on_way[q].push_back(bank);
      continue;
    }
    const bool acc = kind < 8;
    // What is on its way may be awaited now; if not, no accumulate may depend on it.
    const int q = 1 + static_cast<int>(below(2));
    const bool waits = below(2) == 0;
    if (waits) {
      for (const std::uint32_t bank : on_way[q]) written.insert(bank);
      on_way[q].clear();
    }
    std::set<std::uint32_t> banks;
    std::uint32_t first = 0, step_banks = 0, count = 0;
    for (bool racy = true; racy;) {
      step_banks = 1 + below(3);
      count = 1 + below(3);
      first = below(8);
      banks.clear();
      for (std::uint32_t n = 0; n < count; ++n) banks.insert(first + n * step_banks);
      racy = *banks.rbegin() > 7;
      for (const auto& way : on_way) {
        for (const std::uint32_t bank : way) racy |= acc && banks.count(bank) && !written.count(bank);
      }
    }
    isa::EngineInstr i = Ones(*device, first * kBankBytes + 1024, 1, acc);
    i.size = {static_cast<std::uint16_t>(1 + below(30)), static_cast<std::uint16_t>(count), 1, 1};
    i.str_d = {1, static_cast<std::int16_t>(512 * step_banks), 0, 0};
    sync(i, waits ? q : -1, sent[q], 0);
    const auto index = static_cast<std::uint32_t>(program[Queue::kTensor].size());
    program[Queue::kTensor].push_back(isa::Encode(i));
    std::optional<std::uint32_t> missing;
    for (const std::uint32_t bank : banks) {
      if (acc && !missing && !written.count(bank)) missing = bank;
    }
    if (missing) {
      expected.push_back({index, *missing * std::int64_t{kBankBytes}});
      failed.insert(banks.begin(), banks.end());
    } else {
      failed.clear();
      written.insert(banks.begin(), banks.end());
      ++sent[0];
    }
  }
  device->SetWatchdog(0);
  device->LoadProgram(program);
  device->Start();
  std::size_t seen = 0;
  for (int turn = 0; !device->Idle(); ++turn) {
    REQUIRE(turn < 2000);
    device->Advance(500);  // the other queues may wait for the stopped one
    if (device->State(Queue::kTensor) != isa::QueueState::kError) continue;
    const auto records = device->Errors();
    REQUIRE(records.size() == 1);
    REQUIRE(seen < expected.size());
    CHECK(records[0].cause == Err::kPsumUnwritten);
    CHECK(records[0].operand == 0);
    CHECK(records[0].index == expected[seen].index);
    CHECK(records[0].address == expected[seen].address);
    ++seen;
    device->ResumeQueue(Queue::kTensor);
  }
  CHECK(seen == expected.size());
  CHECK(seen > 0);
  CHECK(device->Head(Queue::kTensor) == program[Queue::kTensor].size());
  CHECK(device->ReadSemaphore(0) == sent[0]);
}

TEST_CASE("infinite and NaN words go on, and are counted for the matmuls that ask", "[bad_input]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const std::uint32_t rows = device->config().rows;
  FillOnes(*device);
  // Moving column 5 gets an infinity, column 9 one of either sign: infinite sums, and NaN.
  const auto poke = [&](std::uint32_t part, std::uint32_t column, std::uint16_t bits) {
    tb::FillSbuf(*device, part, 4096 - 512 + 2 * column, std::vector<std::uint16_t>{bits});
  };
  poke(2, 5, kInf);
  poke(1, 9, kInf);
  poke(6, 9, kMinusInf);
  const auto matmul = [&](std::uint32_t first, std::uint16_t columns, bool acc, bool counts) {
    isa::EngineInstr i = Ones(*device, 4 * first, columns, acc);
    i.off_0 = 4096 - 512 + 2 * first;
    i.count_nf = counts;
    return i;
  };
  const isa::EngineInstr nop{.opcode = static_cast<std::uint8_t>(isa::Op::kNop)};
  CHECK(device->Nonfinite() == NonfiniteRegisters{});

  // Nobody asks; who asks writes none.
  REQUIRE(!RunTensor(*device, {matmul(0, 16, false, false), matmul(0, 5, false, true), matmul(10, 6, true, true)}));
  CHECK(device->Nonfinite() == NonfiniteRegisters{});
  CHECK((device->ReadCsr(isa::kCsrIrqStatus) & 1u << 17) == 0);
  for (std::uint32_t m = 0; m < rows; ++m) {
    CHECK(PsumWord(*device, m, 4 * 5) == INFINITY);
    CHECK(std::isnan(PsumWord(*device, m, 4 * 9)));
    CHECK(PsumWord(*device, m, 4 * 8) == static_cast<float>(rows));
  }

  device->WriteCsr(isa::kCsrIrqEnable, 1u << 17);
  CHECK(device->ReadCsr(isa::kCsrIrqEnable) == 1u << 17);
  REQUIRE(!RunTensor(*device, {matmul(0, 8, false, false), nop, matmul(6, 10, false, true), nop, nop,
                               matmul(0, 16, false, true)}));
  CHECK(device->Nonfinite() == NonfiniteRegisters{3 * rows, 2, rows});
  CHECK((device->ReadCsr(isa::kCsrIrqStatus) & 1u << 17) != 0);

  // Sticky, over a queue reset and the next program, until cleared; added onto a NaN is NaN again.
  device->WriteCsr(isa::kCsrIrqStatus, 1u << 17);
  device->ResetQueues();
  REQUIRE(!RunTensor(*device, {matmul(9, 1, true, true)}));
  CHECK(device->Nonfinite() == NonfiniteRegisters{4 * rows, 2, rows});
  CHECK((device->ReadCsr(isa::kCsrIrqStatus) & 1u << 17) != 0);
  device->ClearNonfinite();
  CHECK(device->Nonfinite() == NonfiniteRegisters{});
  REQUIRE(!RunTensor(*device, {nop, matmul(4, 3, true, true)}));
  CHECK(device->Nonfinite() == NonfiniteRegisters{rows, 1, rows});
}

TEST_CASE("a refused matmul counts nothing", "[bad_input]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  for (std::uint32_t part = 0; part < device->config().rows; ++part) {
    tb::FillSbuf(*device, part, 0, std::vector<std::uint16_t>(64, kInf));
  }
  isa::EngineInstr i = Ones(*device, 0, 8, true);
  i.count_nf = 1;
  REQUIRE(RunTensor(*device, {i}));
  CHECK(device->Nonfinite() == NonfiniteRegisters{});
  device->ResetQueues();
  i.acc = 0;
  REQUIRE(!RunTensor(*device, {i}));
  CHECK(device->Nonfinite() == NonfiniteRegisters{8 * device->config().rows, 0, 8 * device->config().rows});
}

TEST_CASE("a whole program counts when it is told to", "[bad_input]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const std::uint32_t rows = device->config().rows;
  const auto run = [&](bool counts) {
    FillOnes(*device);
    tb::FillSbuf(*device, 0, 0, std::vector<std::uint16_t>(3, kInf));
    ProgramBuilder b(device->config());
    const Tensor x = b.Sbuf("x", Dtype::kBf16, {rows, 8}), w = b.Sbuf("w", Dtype::kBf16, {rows, rows});
    const Tensor c = b.PsumBank("c", 0, Dtype::kFp32, {rows, 8});
    b.Matmul(c, w, x);
    b.Matmul(c, w, x, {true, true});
    Program program = b.Take();
    if (counts) program.CountNonfinite();
    device->Run(program);
    return device->Nonfinite();
  };
  CHECK(run(false) == NonfiniteRegisters{});
  CHECK(run(true) == NonfiniteRegisters{2 * 3 * rows, 0, 3 * rows});
}

}  // namespace dither
