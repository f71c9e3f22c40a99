// The device as a host sees it: DRAM, registers, programs, errors, counters. One interface for the
// functional model and the Verilated core: a backend supplies the few virtual functions at the end,
// everything else is built on registers here.
//
//   auto device = MakeFunctionalDevice(options);
//   const auto x = device->Allocate(bytes);   device->Write(x, data);
//   device->Run(program);                     device->Read(y, result);
//
// Test  tb/system/device_test.cpp
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sim/isa/isa.hpp"
#include "sim/model/nonfinite.hpp"
#include "sim/program/program.hpp"

namespace dither {

// Every failure of a device or of its use; the text says what, where and which limit.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// DRAM access or allocation outside what there is, or misaligned.
class MemoryError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};
// A register access that was answered with SLVERR; names the register.
class CsrError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};
// A program that can't be loaded: empty, too large, for another configuration, or queues still
// busy.
class LoadError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};
// Not finished in time; the text lists every queue's state.
class TimeoutError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

// Why a queue stopped.
struct ErrorRecord {
  isa::Queue queue = isa::Queue::kTensor;
  isa::Err cause = isa::Err::kNone;
  std::uint32_t operand = 0;  // 0 destination, 1 source 0, 2 source 1
  std::uint32_t index = 0;    // of the instruction in its queue
  std::int64_t address = 0;
  std::string instruction;    // disassembled
  std::string Text() const;
  bool operator==(const ErrorRecord&) const = default;
};

// Wait() found stopped queues. The first record is the cause where one is known: watchdog errors of
// queues that waited for it come last.
class ProgramFailed : public DeviceError {
 public:
  explicit ProgramFailed(std::vector<ErrorRecord> records);
  const std::vector<ErrorRecord>& records() const { return records_; }

 private:
  std::vector<ErrorRecord> records_;
};

struct QueueCounters {
  std::uint32_t busy = 0, wait_sem = 0, wait_fetch = 0, stall_mem = 0, work = 0, retired = 0;
};
struct DeviceCounters {
  std::array<QueueCounters, isa::kNumQueues> queues;
  std::uint64_t cycles = 0;  // the functional model has no cycles: rounds of its scheduler
  std::uint32_t sbuf_conflicts = 0;
  const QueueCounters& operator[](isa::Queue queue) const {
    return queues[static_cast<std::size_t>(queue)];
  }
};

struct DeviceOptions {
  isa::Config config = isa::kConfigs[1];  // tiny
  // Not 0, so that a null or truncated address shows.
  std::uint64_t dram_base = 0x80000000;
  std::uint64_t dram_bytes = 64 << 20;
  std::uint32_t axi_latency = 100;  // cycles; the functional model ignores it
  bool whiten = true;               // of the functional model: the random words, as the RTL's Whiten
};

// "QUEUE_TAIL of vector", "SEM_SET 5", or "no register".
std::string CsrName(std::uint32_t address);

class Device {
 public:
  static constexpr std::uint64_t kDefaultTimeout = 1'000'000'000;

  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const isa::Config& config() const { return options_.config; }
  std::uint64_t dram_base() const { return options_.dram_base; }
  std::uint64_t dram_limit() const { return options_.dram_base + options_.dram_bytes; }
  virtual std::string_view name() const = 0;

  // ---- DRAM
  std::uint64_t Allocate(std::uint64_t bytes, std::uint64_t align = 64);
  std::uint64_t Mark() const { return next_; }
  void Release(std::uint64_t mark) { next_ = mark; }
  void Write(std::uint64_t address, std::span<const std::byte> data);
  void Read(std::uint64_t address, std::span<std::byte> data);
  template <typename T>
  void WriteArray(std::uint64_t address, const std::vector<T>& values) {
    Write(address, std::as_bytes(std::span(values)));
  }
  template <typename T>
  std::vector<T> ReadArray(std::uint64_t address, std::size_t count) {
    std::vector<T> values(count);
    Read(address, std::as_writable_bytes(std::span(values)));
    return values;
  }

  // ---- programs
  // Places the queues' instructions in rings at the end of DRAM, where the next program replaces
  // them, and clears all semaphores. Queues must be idle.
  void LoadProgram(const Program& program);
  void Start();  // doorbells of all queues that have instructions
  // Until all queues are idle or stopped. Throws ProgramFailed or TimeoutError.
  void Wait(std::uint64_t timeout_cycles = kDefaultTimeout);
  void Run(const Program& program, std::uint64_t timeout_cycles = kDefaultTimeout);
  // Empties every queue: after an error, before the next program.
  void ResetQueues();
  void ResumeQueue(isa::Queue queue);  // a stopped one, behind its faulty instruction
  bool Idle();                         // no queue runs or is stopped

  // ---- registers
  std::uint32_t ReadCsr(std::uint32_t address);
  void WriteCsr(std::uint32_t address, std::uint32_t value);
  static constexpr std::uint32_t QueueCsr(isa::Queue queue, std::uint32_t offset) {
    return isa::kCsrQueueBase + static_cast<std::uint32_t>(queue) * isa::kCsrQueueStride + offset;
  }
  isa::QueueState State(isa::Queue queue);
  std::uint32_t Head(isa::Queue queue) { return ReadCsr(QueueCsr(queue, isa::kCsrQueueHead)); }
  void SetWatchdog(std::uint32_t cycles) { WriteCsr(isa::kCsrWatchdog, cycles); }
  void SetDramWindow(std::uint64_t base, std::uint64_t limit);
  DeviceCounters Counters();
  void ClearCounters();
  // What matmuls with count_nf wrote since ClearNonfinite(): words that are infinite or NaN.
  NonfiniteRegisters Nonfinite();
  void ClearNonfinite() { WriteCsr(isa::kCsrNonfiniteCount, 0); }
  std::vector<ErrorRecord> Errors();

  std::uint16_t ReadSemaphore(std::uint32_t sem);
  void SetSemaphore(std::uint32_t sem, std::uint16_t value);
  void IncSemaphore(std::uint32_t sem, std::int32_t increment);

  // ---- rounders: all 2 * rows lanes of all replicas start at disjoint places of the one LFSR
  // cycle; replicas that have to round alike all pass 0 of 1
  void SeedRounders(std::uint32_t seed, std::uint32_t replica = 0, std::uint32_t replicas = 1);
  std::uint32_t RounderState(isa::Queue queue, std::uint32_t lane);
  void SetRounderState(isa::Queue queue, std::uint32_t lane, std::uint32_t state);

  // ---- back door, for inspection and tests; the device must be quiet
  void ReadSbuf(std::uint32_t part, std::uint32_t offset, std::span<std::byte> data);
  void WriteSbuf(std::uint32_t part, std::uint32_t offset, std::span<const std::byte> data);
  void ReadPsum(std::uint32_t part, std::uint32_t offset, std::span<std::byte> data);
  void WritePsum(std::uint32_t part, std::uint32_t offset, std::span<const std::byte> data);

  // Runs until every queue is idle or stopped, or for max_cycles at most; true if quiet.
  virtual bool Advance(std::uint64_t max_cycles) = 0;

 protected:
  // A backend's constructor ends with Initialize(): DRAM window, counters.
  explicit Device(const DeviceOptions& options);
  void Initialize();

  // ---- what a backend supplies. Ranges have been checked.
  virtual void DramWrite(std::uint64_t address, std::span<const std::byte> data) = 0;
  virtual void DramRead(std::uint64_t address, std::span<std::byte> data) = 0;
  virtual bool CsrRead(std::uint32_t address, std::uint32_t* value) = 0;  // false: SLVERR
  virtual bool CsrWrite(std::uint32_t address, std::uint32_t value) = 0;
  virtual void BackDoor(isa::Space space, std::uint32_t part, std::uint32_t offset,
                        std::span<std::byte> data, bool write) = 0;

  const DeviceOptions options_;

 private:
  void NeedOnChip(isa::Space space, std::uint32_t part, std::uint32_t offset, std::size_t bytes);
  std::uint32_t RounderCsr(isa::Queue queue, std::uint32_t lane) const;

  std::uint64_t next_;     // first free DRAM byte
  std::uint64_t ceiling_;  // first byte of the rings above it
  std::array<std::uint32_t, isa::kNumQueues> pending_{};  // instructions loaded, not started
};

}  // namespace dither
