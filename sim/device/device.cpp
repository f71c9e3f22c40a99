// The part of a device that is the same for every backend.
#include "sim/device/device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "sim/model/lfsr.hpp"
#include "sim/program/disassemble.hpp"

namespace dither {
namespace {

using isa::Queue;

std::string Hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

constexpr std::uint32_t kMaxRing = 65536;

std::string JoinRecords(const std::vector<ErrorRecord>& records) {
  std::string text;
  for (const ErrorRecord& record : records) text += (text.empty() ? "" : "\n") + record.Text();
  return text;
}

}  // namespace

std::string ErrorRecord::Text() const {
  static constexpr std::array<std::string_view, 3> kOperands = {"destination", "source 0",
                                                                "source 1"};
  std::string text = "queue " + std::string(isa::Name(queue)) + ", instruction " +
                     std::to_string(index) + ": ";
  const std::string_view name = isa::Name(cause);
  text += name.empty() ? "unknown cause " + std::to_string(static_cast<int>(cause))
                       : std::string(name);
  const bool static_operand = cause == isa::Err::kBadDtype || cause == isa::Err::kBadSpace ||
                              cause == isa::Err::kBadStride || cause == isa::Err::kBadPartition ||
                              cause == isa::Err::kMisaligned || cause == isa::Err::kSbufRange ||
                              cause == isa::Err::kPsumRange || cause == isa::Err::kDramRange ||
                              cause == isa::Err::kPsumUnwritten;
  if (static_operand && operand < kOperands.size()) {
    text += ", " + std::string(kOperands[operand]);
  }
  if ((cause >= isa::Err::kSbufRange && cause <= isa::Err::kAxiFetch) ||
      cause == isa::Err::kPsumUnwritten) {
    text += ", address " + (address < 0 ? "-" + Hex(-static_cast<std::uint64_t>(address))
                                        : Hex(static_cast<std::uint64_t>(address)));
  }
  if (cause == isa::Err::kBadIndex) {
    text += ": index " + std::to_string(static_cast<std::int32_t>(address)) + " at place " +
            std::to_string(static_cast<std::uint64_t>(address) >> 32 & 0xffff) + " of the list";
  }
  return text + " [" + instruction + "]";
}

ProgramFailed::ProgramFailed(std::vector<ErrorRecord> records)
    : DeviceError(JoinRecords(records)), records_(std::move(records)) {}

std::string CsrName(std::uint32_t address) {
  static constexpr std::array<std::pair<std::uint32_t, const char*>, 14> kGlobal = {{
      {isa::kCsrId, "ID"},
      {isa::kCsrVersion, "VERSION"},
      {isa::kCsrConfig, "CONFIG"},
      {isa::kCsrIrqStatus, "IRQ_STATUS"},
      {isa::kCsrIrqEnable, "IRQ_ENABLE"},
      {isa::kCsrWatchdog, "WATCHDOG"},
      {isa::kCsrRefused, "REFUSED"},
      {isa::kCsrDramBaseLo, "DRAM_BASE_LO"},
      {isa::kCsrDramBaseHi, "DRAM_BASE_HI"},
      {isa::kCsrDramLimitLo, "DRAM_LIMIT_LO"},
      {isa::kCsrDramLimitHi, "DRAM_LIMIT_HI"},
      {isa::kCsrNonfiniteCount, "NONFINITE_COUNT"},
      {isa::kCsrNonfiniteIndex, "NONFINITE_INDEX"},
      {isa::kCsrNonfiniteFirst, "NONFINITE_FIRST"},
  }};
  static constexpr std::array<const char*, 10> kQueue = {
      "BASE_LO", "BASE_HI", "SIZE",      "TAIL",        "HEAD",
      "CTRL",    "STATUS",  "ERR_INDEX", "ERR_ADDR_LO", "ERR_ADDR_HI"};
  static constexpr std::array<const char*, 6> kCounter = {"BUSY",      "WAIT_SEM", "WAIT_FETCH",
                                                          "STALL_MEM", "WORK",     "RETIRED"};
  static constexpr std::array<const char*, 4> kCore = {"CYCLES_LO", "CYCLES_HI", "SBUF_CONFLICTS",
                                                       "COUNTER_CLEAR"};
  const std::string none = "no register at " + Hex(address);
  if (address % 4 != 0) return none;
  for (const auto& [at, name] : kGlobal) {
    if (at == address) return name;
  }
  const auto in = [address](std::uint32_t base, std::uint32_t stride, std::uint32_t count) {
    return address >= base && address < base + stride * count;
  };
  const auto indexed = [&](const char* name, std::uint32_t base) {
    return std::string(name) + " " + std::to_string((address - base) / 4);
  };
  if (in(isa::kCsrQueueBase, isa::kCsrQueueStride, isa::kNumQueues)) {
    const std::uint32_t at = address - isa::kCsrQueueBase;
    const std::uint32_t reg = at % isa::kCsrQueueStride / 4;
    if (reg >= kQueue.size()) return none;
    return "QUEUE_" + std::string(kQueue[reg]) + " of " +
           std::string(isa::Name(static_cast<Queue>(at / isa::kCsrQueueStride)));
  }
  if (in(isa::kCsrCounterBase, isa::kCsrCounterStride, isa::kNumQueues)) {
    const std::uint32_t at = address - isa::kCsrCounterBase;
    const std::uint32_t reg = at % isa::kCsrCounterStride / 4;
    if (reg >= kCounter.size()) return none;
    return "COUNTER_" + std::string(kCounter[reg]) + " of " +
           std::string(isa::Name(static_cast<Queue>(at / isa::kCsrCounterStride)));
  }
  if (in(isa::kCsrGlobalBase, 4, kCore.size())) {
    return "GLOBAL_" + std::string(kCore[(address - isa::kCsrGlobalBase) / 4]);
  }
  if (in(isa::kCsrSemSetBase, 4, isa::kNumSems)) return indexed("SEM_SET", isa::kCsrSemSetBase);
  if (in(isa::kCsrSemIncBase, 4, isa::kNumSems)) return indexed("SEM_INC", isa::kCsrSemIncBase);
  if (in(isa::kCsrRngVectorBase, 4, isa::kMaxRows)) {
    return indexed("RNG_VECTOR", isa::kCsrRngVectorBase);
  }
  if (in(isa::kCsrRngScalarBase, 4, isa::kMaxRows)) {
    return indexed("RNG_SCALAR", isa::kCsrRngScalarBase);
  }
  return none;
}

Device::Device(const DeviceOptions& options)
    : options_(options),
      next_(options.dram_base),
      ceiling_(options.dram_base + options.dram_bytes) {}

void Device::Initialize() {
  SetDramWindow(dram_base(), dram_limit());
  ClearCounters();
}

// ------------------------------------------------------------------------------------------- DRAM

std::uint64_t Device::Allocate(std::uint64_t bytes, std::uint64_t align) {
  if (align == 0 || (align & (align - 1)) != 0) {
    throw MemoryError("allocate: alignment " + std::to_string(align) + " is no power of two");
  }
  const std::uint64_t begin = (next_ + align - 1) / align * align;
  if (bytes > ceiling_ || begin > ceiling_ - bytes) {
    throw MemoryError("allocate: " + std::to_string(bytes) + " bytes, " +
                      std::to_string(begin < ceiling_ ? ceiling_ - begin : 0) + " of " +
                      std::to_string(options_.dram_bytes) + " bytes of DRAM are free");
  }
  next_ = begin + bytes;
  return begin;
}

namespace {
void NeedDram(const char* what, std::uint64_t address, std::uint64_t bytes, std::uint64_t base,
              std::uint64_t limit) {
  if (address >= base && address <= limit && bytes <= limit - address) return;
  throw MemoryError(std::string(what) + " of " + std::to_string(bytes) + " bytes at " +
                    Hex(address) + ": DRAM is " + Hex(base) + ".." + Hex(limit));
}
}  // namespace

void Device::Write(std::uint64_t address, std::span<const std::byte> data) {
  NeedDram("write", address, data.size(), dram_base(), dram_limit());
  DramWrite(address, data);
}

void Device::Read(std::uint64_t address, std::span<std::byte> data) {
  NeedDram("read", address, data.size(), dram_base(), dram_limit());
  DramRead(address, data);
}

// -------------------------------------------------------------------------------------- registers

std::uint32_t Device::ReadCsr(std::uint32_t address) {
  std::uint32_t value = 0;
  if (!CsrRead(address, &value)) {
    throw CsrError("read of register " + CsrName(address) + " refused (SLVERR)");
  }
  return value;
}

void Device::WriteCsr(std::uint32_t address, std::uint32_t value) {
  if (CsrWrite(address, value)) return;
  std::string text = "write of " + Hex(value) + " to register " + CsrName(address) +
                     " refused (SLVERR)";
  // Why a queue's set-up can be refused, read back from the device.
  if (address >= isa::kCsrQueueBase &&
      address < isa::kCsrQueueBase + isa::kNumQueues * isa::kCsrQueueStride) {
    const auto queue = static_cast<Queue>((address - isa::kCsrQueueBase) / isa::kCsrQueueStride);
    text += "; the queue is " + std::string(isa::Name(State(queue))) + ", HEAD " +
            std::to_string(Head(queue)) + ", SIZE " +
            std::to_string(ReadCsr(QueueCsr(queue, isa::kCsrQueueSize)));
  }
  throw CsrError(text);
}

isa::QueueState Device::State(Queue queue) {
  return static_cast<isa::QueueState>(ReadCsr(QueueCsr(queue, isa::kCsrQueueStatus)) & 3);
}

void Device::SetDramWindow(std::uint64_t base, std::uint64_t limit) {
  WriteCsr(isa::kCsrDramBaseLo, static_cast<std::uint32_t>(base));
  WriteCsr(isa::kCsrDramBaseHi, static_cast<std::uint32_t>(base >> 32));
  WriteCsr(isa::kCsrDramLimitLo, static_cast<std::uint32_t>(limit));
  WriteCsr(isa::kCsrDramLimitHi, static_cast<std::uint32_t>(limit >> 32));
}

DeviceCounters Device::Counters() {
  DeviceCounters counters;
  for (std::uint32_t q = 0; q < isa::kNumQueues; ++q) {
    const auto read = [&](std::uint32_t offset) {
      return ReadCsr(isa::kCsrCounterBase + q * isa::kCsrCounterStride + offset);
    };
    counters.queues[q] = {read(isa::kCsrCounterBusy),      read(isa::kCsrCounterWaitSem),
                          read(isa::kCsrCounterWaitFetch), read(isa::kCsrCounterStallMem),
                          read(isa::kCsrCounterWork),      read(isa::kCsrCounterRetired)};
  }
  // The high word may move between two reads of a running device.
  std::uint32_t high = 0, again = ReadCsr(isa::kCsrGlobalBase + isa::kCsrGlobalCyclesHi);
  std::uint32_t low = 0;
  do {
    high = again;
    low = ReadCsr(isa::kCsrGlobalBase + isa::kCsrGlobalCyclesLo);
    again = ReadCsr(isa::kCsrGlobalBase + isa::kCsrGlobalCyclesHi);
  } while (again != high);
  counters.cycles = static_cast<std::uint64_t>(high) << 32 | low;
  counters.sbuf_conflicts = ReadCsr(isa::kCsrGlobalBase + isa::kCsrGlobalSbufConflicts);
  return counters;
}

void Device::ClearCounters() {
  WriteCsr(isa::kCsrGlobalBase + isa::kCsrGlobalCounterClear, 1);
}

NonfiniteRegisters Device::Nonfinite() {
  return {ReadCsr(isa::kCsrNonfiniteCount), ReadCsr(isa::kCsrNonfiniteIndex),
          ReadCsr(isa::kCsrNonfiniteFirst)};
}

std::vector<ErrorRecord> Device::Errors() {
  std::vector<ErrorRecord> records;
  for (const Queue queue : isa::kAllQueue) {
    const std::uint32_t status = ReadCsr(QueueCsr(queue, isa::kCsrQueueStatus));
    if (static_cast<isa::QueueState>(status & 3) != isa::QueueState::kError) continue;
    const auto read64 = [&](std::uint32_t lo, std::uint32_t hi) {
      return static_cast<std::uint64_t>(ReadCsr(QueueCsr(queue, hi))) << 32 |
             ReadCsr(QueueCsr(queue, lo));
    };
    ErrorRecord record;
    record.queue = queue;
    record.cause = static_cast<isa::Err>(status >> 8 & 0xff);
    record.operand = status >> 16 & 3;
    record.index = ReadCsr(QueueCsr(queue, isa::kCsrQueueErrIndex));
    record.address =
        static_cast<std::int64_t>(read64(isa::kCsrQueueErrAddrLo, isa::kCsrQueueErrAddrHi));
    const std::uint32_t size = ReadCsr(QueueCsr(queue, isa::kCsrQueueSize));
    const std::uint64_t at = read64(isa::kCsrQueueBaseLo, isa::kCsrQueueBaseHi) +
                             std::uint64_t{isa::kInstrBytes} * (size ? record.index % size : 0);
    if (at >= dram_base() && at + isa::kInstrBytes <= dram_limit()) {
      isa::Encoded encoded{};
      DramRead(at, std::as_writable_bytes(std::span(encoded)));
      record.instruction = Disassemble(queue, encoded);
    } else {
      record.instruction = "no memory at " + Hex(at);
    }
    records.push_back(record);
  }
  std::stable_partition(records.begin(), records.end(), [](const ErrorRecord& record) {
    return record.cause != isa::Err::kWatchdog;
  });
  return records;
}

std::uint16_t Device::ReadSemaphore(std::uint32_t sem) {
  return static_cast<std::uint16_t>(ReadCsr(isa::kCsrSemSetBase + 4 * sem));
}
void Device::SetSemaphore(std::uint32_t sem, std::uint16_t value) {
  WriteCsr(isa::kCsrSemSetBase + 4 * sem, value);
}
void Device::IncSemaphore(std::uint32_t sem, std::int32_t increment) {
  WriteCsr(isa::kCsrSemIncBase + 4 * sem, static_cast<std::uint32_t>(increment));
}

// --------------------------------------------------------------------------------------- programs

void Device::LoadProgram(const Program& program) {
  if (program.rows != 0 && program.rows != config().rows) {
    throw LoadError("load: the program was built for " + std::to_string(program.rows) +
                    " rows, this device (" + std::string(config().name) + ") has " +
                    std::to_string(config().rows));
  }
  if (program.size() == 0) throw LoadError("load: the program has no instructions");
  for (const Queue queue : isa::kAllQueue) {
    if (program[queue].size() > kMaxRing) {
      throw LoadError("load: queue " + std::string(isa::Name(queue)) + " has " +
                      std::to_string(program[queue].size()) + " instructions, a ring holds " +
                      std::to_string(kMaxRing));
    }
    const isa::QueueState state = State(queue);
    if (state != isa::QueueState::kIdle) {
      throw LoadError("load: queue " + std::string(isa::Name(queue)) + " is " +
                      (state == isa::QueueState::kError ? "stopped by an error: ResetQueues() first"
                                                        : "running: Wait() first"));
    }
  }
  pending_ = {};
  ceiling_ = dram_limit();
  for (const Queue queue : isa::kAllQueue) {
    const auto& instructions = program[queue];
    if (instructions.empty()) continue;
    const auto count = static_cast<std::uint32_t>(instructions.size());
    const std::uint64_t bytes = std::uint64_t{count} * isa::kInstrBytes;
    if (bytes > ceiling_ - next_) {
      throw LoadError("load: queue " + std::string(isa::Name(queue)) + " needs " +
                      std::to_string(bytes) + " bytes for its ring, " +
                      std::to_string(ceiling_ - next_) + " bytes of DRAM are free");
    }
    const std::uint64_t ring = (ceiling_ - bytes) / isa::kInstrBytes * isa::kInstrBytes;
    if (ring < next_) throw LoadError("load: no room for the rings in DRAM");
    ceiling_ = ring;
    DramWrite(ring, std::as_bytes(std::span(instructions)));
    WriteCsr(QueueCsr(queue, isa::kCsrQueueCtrl), 1);  // HEAD = TAIL = 0
    WriteCsr(QueueCsr(queue, isa::kCsrQueueBaseLo), static_cast<std::uint32_t>(ring));
    WriteCsr(QueueCsr(queue, isa::kCsrQueueBaseHi), static_cast<std::uint32_t>(ring >> 32));
    WriteCsr(QueueCsr(queue, isa::kCsrQueueSize), count);
    pending_[static_cast<std::size_t>(queue)] = count;
  }
  for (std::uint32_t sem = 0; sem < isa::kNumSems; ++sem) SetSemaphore(sem, 0);
}

void Device::Start() {
  for (const Queue queue : isa::kAllQueue) {
    std::uint32_t& count = pending_[static_cast<std::size_t>(queue)];
    if (count != 0) WriteCsr(QueueCsr(queue, isa::kCsrQueueTail), count);
    count = 0;
  }
}

void Device::Wait(std::uint64_t timeout_cycles) {
  const bool quiet = Advance(timeout_cycles);
  if (!quiet) {
    std::string text = "not finished after " + std::to_string(timeout_cycles) + " cycles";
    for (const Queue queue : isa::kAllQueue) {
      const isa::QueueState state = State(queue);
      if (state == isa::QueueState::kIdle) continue;
      text += "; queue " + std::string(isa::Name(queue)) + " " + std::string(isa::Name(state)) +
              " at instruction " + std::to_string(Head(queue)) + " of " +
              std::to_string(ReadCsr(QueueCsr(queue, isa::kCsrQueueTail)));
    }
    throw TimeoutError(text);
  }
  auto records = Errors();
  if (!records.empty()) throw ProgramFailed(std::move(records));
}

void Device::Run(const Program& program, std::uint64_t timeout_cycles) {
  LoadProgram(program);
  Start();
  Wait(timeout_cycles);
}

void Device::ResetQueues() {
  for (const Queue queue : isa::kAllQueue) WriteCsr(QueueCsr(queue, isa::kCsrQueueCtrl), 1);
  // A reset takes effect once the engine is quiet.
  constexpr std::uint64_t kResetCycles = 1'000'000;
  if (!Advance(kResetCycles) || !Idle()) {
    throw TimeoutError("reset: a queue is not idle after " + std::to_string(kResetCycles) +
                       " cycles");
  }
  pending_ = {};
}

void Device::ResumeQueue(Queue queue) { WriteCsr(QueueCsr(queue, isa::kCsrQueueCtrl), 2); }

bool Device::Idle() {
  return std::all_of(isa::kAllQueue.begin(), isa::kAllQueue.end(),
                     [this](Queue queue) { return State(queue) == isa::QueueState::kIdle; });
}

// --------------------------------------------------------------------------------------- rounders

std::uint32_t Device::RounderCsr(Queue queue, std::uint32_t lane) const {
  if ((queue != Queue::kVector && queue != Queue::kScalar) || lane >= config().rows) {
    throw DeviceError("rounder: lane " + std::to_string(lane) + " of queue " +
                      std::string(isa::Name(queue)) + ": only vector and scalar lanes 0.." +
                      std::to_string(config().rows - 1) + " have one");
  }
  return (queue == Queue::kVector ? isa::kCsrRngVectorBase : isa::kCsrRngScalarBase) + 4 * lane;
}

void Device::SeedRounders(std::uint32_t seed, std::uint32_t replica, std::uint32_t replicas) {
  if (replica >= replicas) {
    throw DeviceError("rounder: replica " + std::to_string(replica) + " of " +
                      std::to_string(replicas) + " does not exist");
  }
  const std::uint32_t rows = config().rows;
  if (std::uint64_t{replicas} * 2 * rows > kMaxReplicaLanes) {
    throw DeviceError("rounder: " + std::to_string(replicas) + " replicas of " + std::to_string(2 * rows) +
                      " lanes are more than " + std::to_string(kMaxReplicaLanes) + " lanes");
  }
  for (std::uint32_t lane = 0; lane < rows; ++lane) {
    SetRounderState(Queue::kVector, lane, ReplicaLaneSeed(seed, replica, replicas, lane, 2 * rows));
    SetRounderState(Queue::kScalar, lane, ReplicaLaneSeed(seed, replica, replicas, rows + lane, 2 * rows));
  }
}

std::uint32_t Device::RounderState(Queue queue, std::uint32_t lane) {
  return ReadCsr(RounderCsr(queue, lane));
}

void Device::SetRounderState(Queue queue, std::uint32_t lane, std::uint32_t state) {
  WriteCsr(RounderCsr(queue, lane), state);
}

// -------------------------------------------------------------------------------------- back door

void Device::NeedOnChip(isa::Space space, std::uint32_t part, std::uint32_t offset,
                        std::size_t bytes) {
  const std::uint64_t limit =
      space == isa::Space::kPsum ? isa::kPsumBytes : config().sbuf_bytes;
  if (part < config().rows && offset <= limit && bytes <= limit - offset) return;
  throw MemoryError(std::string(isa::Name(space)) + ": " + std::to_string(bytes) +
                    " bytes at partition " + std::to_string(part) + ", byte " +
                    std::to_string(offset) + ": there are " + std::to_string(config().rows) +
                    " partitions of " + std::to_string(limit) + " bytes");
}

void Device::ReadSbuf(std::uint32_t part, std::uint32_t offset, std::span<std::byte> data) {
  NeedOnChip(isa::Space::kSbuf, part, offset, data.size());
  BackDoor(isa::Space::kSbuf, part, offset, data, false);
}
void Device::ReadPsum(std::uint32_t part, std::uint32_t offset, std::span<std::byte> data) {
  NeedOnChip(isa::Space::kPsum, part, offset, data.size());
  BackDoor(isa::Space::kPsum, part, offset, data, false);
}
void Device::WriteSbuf(std::uint32_t part, std::uint32_t offset, std::span<const std::byte> data) {
  NeedOnChip(isa::Space::kSbuf, part, offset, data.size());
  std::vector<std::byte> copy(data.begin(), data.end());
  BackDoor(isa::Space::kSbuf, part, offset, copy, true);
}
void Device::WritePsum(std::uint32_t part, std::uint32_t offset, std::span<const std::byte> data) {
  NeedOnChip(isa::Space::kPsum, part, offset, data.size());
  std::vector<std::byte> copy(data.begin(), data.end());
  BackDoor(isa::Space::kPsum, part, offset, copy, true);
}

}  // namespace dither
