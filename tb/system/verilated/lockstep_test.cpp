// The lockstep comparison itself: that it finds a difference, and says precisely where.
#include <catch2/catch.hpp>

#include <string>

#include "sim/program/gemm.hpp"
#include "sim/verilated/verilated_device.hpp"
#include "tb/sequencer/instructions.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using Catch::Matchers::Contains;

struct Job {
  Program program;
  Tensor c;
};
Job Gemm(Device& device, std::uint32_t m, std::uint32_t k, std::uint32_t n) {
  std::mt19937 rng(5);
  const auto draw = [&] { return std::uniform_real_distribution<double>(-1, 1)(rng); };
  GemmSpec spec;
  spec.a = tb::RandomTensor(device, "a", isa::Dtype::kBf16, {k, m}, draw);
  spec.b = tb::RandomTensor(device, "b", isa::Dtype::kBf16, {k, n}, draw);
  spec.c = tb::EmptyTensor(device, "c", isa::Dtype::kFp32, {m, n});
  return {BuildGemm(device.config(), spec), spec.c};
}
DeviceOptions Small() {
  DeviceOptions o;
  o.config = VerilatedConfig();
  o.dram_bytes = 4 << 20;
  return o;
}

}  // namespace

TEST_CASE("a program compares every instruction and every byte of state", "[lockstep][directed]") {
  auto device = MakeVerilatedDevice(Small());
  const auto job = Gemm(*device, 20, 20, 40);
  device->Run(job.program);
  REQUIRE(device->retired() == job.program.size());
  const auto& c = device->config();
  REQUIRE(device->CompareAll() == std::uint64_t{c.rows} * (c.sbuf_bytes + isa::kPsumBytes) + 2 * 4 * c.rows + (4 << 20));
  REQUIRE(device->AxiViolations().empty());
}

TEST_CASE("one flipped bit of an operand is found at the first instruction that reads it", "[lockstep][directed]") {
  auto device = MakeVerilatedDevice(Small());
  const auto job = Gemm(*device, 8, 8, 8);
  // Flip a bit of the stationary or moving operand as soon as the loads have retired, before the matmul has read it:
  // hold the tensor queue back with a semaphore that the host sets.
  Program held = job.program;
  isa::EngineInstr gate;
  gate.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
  gate.wait_en = 1;
  gate.wait_sem = 63;
  gate.wait_val = 1;
  auto& tensor = held[isa::Queue::kTensor];
  tensor.insert(tensor.begin(), isa::Encode(gate));
  device->LoadProgram(held);
  device->Start();
  device->Advance(3000);
  // Whatever the layout, all of partition 3's first 4 KiB is upset in its lowest mantissa bits.
  for (std::uint32_t at = 0; at < 4096; at += 2) device->FlipSbufBit(3, at, 6);
  device->SetSemaphore(63, 1);
  REQUIRE_THROWS_WITH(device->Wait(), Contains("tensor instruction 1 (matmul") && Contains("PSUM partition (lane)") &&
                                          Contains("RTL 0x") && Contains("model 0x"));
}

TEST_CASE("any legal instructions of the tensor queue leave the model's PSUM", "[lockstep][random]") {
  const auto seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  auto device = MakeVerilatedDevice(Small());
  const isa::Config& c = device->config();
  std::mt19937 rng(seed);
  for (std::uint32_t p = 0; p < c.rows; ++p) {
    std::vector<std::uint8_t> bytes(c.sbuf_bytes);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      // Odd seeds: numbers of moderate size in bf16, fp16 and fp32, else anything.
      bytes[n] = static_cast<std::uint8_t>(seed % 2 && n % 2 ? (rng() & 0x80) | (0x3c + rng() % 8) : rng());
    }
    tb::FillSbuf(*device, p, 0, bytes);
  }
  tb::InstructionGenerator gen(seed, {c.rows, c.sbuf_bytes, device->dram_base(), device->dram_limit()});
  Program program;
  program.rows = c.rows;
  // Every PSUM bank is written before anything accumulates.
  ProgramBuilder first(c);
  for (std::uint32_t bank = 0; bank < isa::kPsumBanks; ++bank) {
    first.Matmul(first.PsumBank("c", bank, isa::Dtype::kFp32, {c.rows, isa::kPsumBankWords}),
                 Tensor::OnChip("w", Place::kSbuf, isa::Dtype::kBf16, 0, 0, {c.rows, c.rows}),
                 Tensor::OnChip("x", Place::kSbuf, isa::Dtype::kBf16, 0, 0, {c.rows, isa::kPsumBankWords}));
  }
  program[isa::Queue::kTensor] = first.program()[isa::Queue::kTensor];
  isa::EngineInstr last;
  bool may_reuse = false;
  int transposes = 0, pieces = 0, integers = 0, tiled = 0, reused = 0;
  while (program[isa::Queue::kTensor].size() < 300) {
    isa::EngineInstr i = isa::DecodeEngineInstr(gen.Legal(isa::Queue::kTensor));
    if (std::uint64_t{i.size[0]} * i.size[1] * i.size[2] * i.size[3] > 2000) continue;
    const auto op = static_cast<isa::Op>(i.opcode);
    i.wait_en = i.sig_en = i.irq = 0;
    const bool matmul = op == isa::Op::kMatmul;
    // A tile stays for the rows, columns and kind that it was loaded for.
    if (matmul && i.reuse) {
      if (!may_reuse || last.dtype_d != i.dtype_d) {
        i.reuse = 0;
      } else {
        i.parts = last.parts;
        i.parts_d = last.parts_d;
        i.part_0 = i.part_1 = last.part_0;
        i.part_d = last.part_d;
        i.tiles = last.tiles;
      }
      if (CheckInstruction(isa::Queue::kTensor, isa::Encode(i),
                           {c.rows, c.sbuf_bytes, device->dram_base(), device->dram_limit()})
              .err != isa::Err::kNone) {
        continue;
      }
    }
    if (op != isa::Op::kNop) {
      may_reuse = matmul;
      last = i;
    }
    transposes += op == isa::Op::kTranspose;
    pieces += matmul && (i.piece_0 | i.piece_1) != 0;
    integers += matmul && i.dtype_d == static_cast<std::uint8_t>(isa::Dtype::kInt32);
    tiled += matmul && i.tiles != 0;
    reused += matmul && i.reuse;
    program[isa::Queue::kTensor].push_back(isa::Encode(i));
  }
  CHECK(transposes > 20);
  CHECK(pieces > 20);
  CHECK(integers > 20);
  CHECK(tiled > 20);
  CHECK(reused > 20);
  device->Run(program);
  REQUIRE(device->retired() == program.size());
  device->CompareAll();
}

TEST_CASE("state that no instruction wrote is compared at the end", "[lockstep][directed]") {
  auto device = MakeVerilatedDevice(Small());
  const auto job = Gemm(*device, 8, 8, 8);
  device->Run(job.program);
  device->FlipSbufBit(device->config().rows - 1, device->config().sbuf_bytes - 1, 7);
  REQUIRE_THROWS_WITH(device->CompareAll(), Contains("after the program: SBUF partition (lane) " +
                                                     std::to_string(device->config().rows - 1)));
}

TEST_CASE("results do not depend on power-up state, memory stalls or the order of answers", "[lockstep][random]") {
  const auto seed = GENERATE(1u, 2u, 3u);
  const auto stall = GENERATE(0, 40, 80);
  CAPTURE(seed, stall);
  VerilatedOptions v;
  v.seed = seed;
  v.random_state = true;
  auto device = MakeVerilatedDevice(Small(), v);
  MemoryBehaviour memory;
  memory.stall_percent = stall;
  memory.reorder = stall != 0;
  device->SetMemoryBehaviour(memory);
  const auto job = Gemm(*device, 19, 23, 37);
  device->Run(job.program);
  device->CompareAll();
  REQUIRE(device->AxiViolations().empty());
}

TEST_CASE("an AXI error names queue, instruction and address, and the core works again after a reset", "[errors][directed]") {
  const bool write = GENERATE(false, true);
  const bool decode = GENERATE(false, true);
  CAPTURE(write, decode);
  auto device = MakeVerilatedDevice(Small());
  const auto job = Gemm(*device, 8, 8, 8);
  device->SetWatchdog(20000);
  const std::uint64_t bad = write ? job.c.address : job.c.address - 256;
  MemoryBehaviour memory;
  memory.faults.push_back({bad, bad + 15, decode});
  device->SetMemoryBehaviour(memory);
  try {
    device->Run(job.program);
    FAIL("the error was not seen");
  } catch (const ProgramFailed& e) {
    const auto& r = e.records().front();
    CAPTURE(e.what());
    REQUIRE(r.cause == (write ? isa::Err::kAxiWrite : isa::Err::kAxiRead));
    REQUIRE((r.queue == isa::Queue::kDma0 || r.queue == isa::Queue::kDma1));
    // The burst that failed holds the address.
    REQUIRE(static_cast<std::uint64_t>(r.address) <= bad + 15);
    REQUIRE(static_cast<std::uint64_t>(r.address) + 16 * device->config().axi_bits / 8 > bad);
  }
  device->SetMemoryBehaviour({});
  device->ResetQueues();
  auto fresh = MakeVerilatedDevice(Small());
  const auto again = Gemm(*fresh, 8, 8, 8);
  fresh->Run(again.program);
  device->Run(job.program);
  REQUIRE(device->ReadArray<std::uint32_t>(job.c.address, 64) == fresh->ReadArray<std::uint32_t>(again.c.address, 64));
}

TEST_CASE("accumulates that nothing orders behind another queue's write pass or fail in both at once",
          "[lockstep][random]") {
  // The three engines write words of their own in shared banks, without semaphores: whether a bank counts as written
  // when an accumulate is looked at depends on timing, and the model has to say the same every time.
  const auto seed = GENERATE(range(1u, 13u));
  CAPTURE(seed);
  VerilatedOptions v;
  v.seed = seed;
  auto device = MakeVerilatedDevice(Small(), v);
  std::mt19937 rng(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(rng() % n); };
  MemoryBehaviour memory;
  memory.stall_percent = static_cast<int>(below(3)) * 30;
  device->SetMemoryBehaviour(memory);
  const auto rows = static_cast<std::uint8_t>(device->config().rows);
  for (std::uint32_t part = 0; part < rows; ++part) {
    std::vector<std::uint16_t> noise(512);
    for (auto& bits : noise) bits = static_cast<std::uint16_t>(rng());  // infinities and NaN among them
    tb::FillSbuf(*device, part, 0, noise);
  }
  Program program;
  program.rows = rows;
  std::size_t accumulates = 0;
  for (int n = 0; n < 40; ++n) {
    const std::uint32_t q = n < 8 ? n % 3 : below(5) % 3;
    isa::EngineInstr i;
    constexpr std::array<isa::Op, 3> kOps = {isa::Op::kMatmul, isa::Op::kTensor, isa::Op::kAct};
    i.opcode = static_cast<std::uint8_t>(kOps[q]);
    i.dtype_d = 1;
    i.dtype_0 = i.dtype_1 = 2;
    i.space_d = 1;
    i.parts = i.parts_d = rows;
    i.src1_imm = 1;
    i.imm0 = 0x3f800000;
    i.size = {static_cast<std::uint16_t>(1 + below(60)), 1, 1, 1};
    i.str_d = i.str_0 = {1, 0, 0, 0};
    i.str_1 = {static_cast<std::int16_t>(q == 0), 0, 0, 0};
    i.off_d = 2048 * below(8) + 256 * q;
    if (q == 0) {
      i.acc = below(5) != 0;
      i.count_nf = below(2);
      accumulates += i.acc;
    }
    program[static_cast<isa::Queue>(q)].push_back(isa::Encode(i));
  }
  device->LoadProgram(program);
  device->Start();
  std::size_t refused = 0;
  for (int turn = 0; !device->Idle(); ++turn) {
    REQUIRE(turn < 1000);
    device->Advance(200);
    if (device->State(isa::Queue::kTensor) != isa::QueueState::kError) continue;
    REQUIRE(device->Errors().at(0).cause == isa::Err::kPsumUnwritten);
    ++refused;
    device->ResumeQueue(isa::Queue::kTensor);
  }
  CHECK(refused < accumulates);
  device->CompareAll();
  REQUIRE(device->retired() == program.size() - refused);
}

TEST_CASE("an error that the model doesn't see is a difference", "[lockstep][directed]") {
  auto device = MakeVerilatedDevice(Small());
  isa::EngineInstr gate;
  gate.opcode = static_cast<std::uint8_t>(isa::Op::kNop);
  gate.wait_en = 1;
  gate.wait_sem = 63;
  gate.wait_val = 1;
  isa::EngineInstr bad = gate;
  bad.wait_en = 0;
  bad.opcode = static_cast<std::uint8_t>(isa::Op::kMatmul);  // no dtypes
  Program program;
  program[isa::Queue::kTensor] = {isa::Encode(gate), isa::Encode(bad)};
  device->LoadProgram(program);
  device->Start();
  device->Advance(3000);
  // The core has fetched it: what memory says now only the model sees.
  const std::uint64_t ring = device->ReadCsr(Device::QueueCsr(isa::Queue::kTensor, isa::kCsrQueueBaseLo));
  device->Write(ring + isa::kInstrBytes, std::as_bytes(std::span(program[isa::Queue::kTensor][0])));
  device->SetSemaphore(63, 1);
  REQUIRE_THROWS_WITH(device->Wait(), Contains("tensor instruction 1 (nop") &&
                                          Contains("the RTL stops with: bad dtype, operand 0, address 0") &&
                                          Contains("the model with: none"));
}

TEST_CASE("a silent memory ends in a watchdog error, not in a hang", "[errors][directed]") {
  auto device = MakeVerilatedDevice(Small());
  const auto job = Gemm(*device, 8, 8, 8);
  device->SetWatchdog(500);
  MemoryBehaviour memory;
  memory.silent = true;
  device->LoadProgram(job.program);
  device->SetMemoryBehaviour(memory);
  device->Start();
  REQUIRE_THROWS_WITH(device->Wait(100000), Contains("watchdog"));
}

TEST_CASE("a core of another size is refused", "[errors][directed]") {
  DeviceOptions o = Small();
  o.config = isa::kConfigs[0].rows == o.config.rows ? isa::kConfigs[1] : isa::kConfigs[0];
  REQUIRE_THROWS_WITH(MakeVerilatedDevice(o), Contains("build with CONFIG="));
}

}  // namespace dither
