// Registers and queues of the functional device.
#include "sim/device/functional_device.hpp"

#include <algorithm>
#include <cstring>

#include "sim/model/formats.hpp"
#include "sim/model/lfsr.hpp"

namespace dither {
namespace {

using isa::Queue;

constexpr std::uint32_t kIrqBits = 0x00031f1f;  // the bits that IRQ_STATUS has

// Register address taken apart; index 0xffffffff where the address lies in no array.
bool InArray(std::uint32_t address, std::uint32_t base, std::uint32_t count, std::uint32_t* index) {
  if (address < base || address >= base + 4 * count) return false;
  *index = (address - base) / 4;
  return true;
}

std::uint64_t SetLow(std::uint64_t value, std::uint32_t low) {
  return (value & ~std::uint64_t{0xffffffff}) | low;
}
std::uint64_t SetHigh(std::uint64_t value, std::uint32_t high, int bits) {
  return (value & 0xffffffff) |
         static_cast<std::uint64_t>(high & ((std::uint32_t{1} << bits) - 1)) << 32;
}

}  // namespace

FunctionalDevice::FunctionalDevice(const DeviceOptions& options)
    : Device(options), model_(options.config, options.dram_base, options.dram_bytes) {
  model_.SetWhiten(options.whiten);
  Initialize();
}

std::unique_ptr<Device> MakeFunctionalDevice(const DeviceOptions& options) {
  return std::make_unique<FunctionalDevice>(options);
}

void FunctionalDevice::DramWrite(std::uint64_t address, std::span<const std::byte> data) {
  CheckAgain();
  if (!data.empty()) std::memcpy(model_.dram().At(address), data.data(), data.size());
}

void FunctionalDevice::DramRead(std::uint64_t address, std::span<std::byte> data) {
  if (!data.empty()) std::memcpy(data.data(), model_.dram().At(address), data.size());
}

void FunctionalDevice::BackDoor(isa::Space space, std::uint32_t part, std::uint32_t offset,
                                std::span<std::byte> data, bool write) {
  if (data.empty()) return;
  std::uint8_t* at = model_.memory().Of(space, part) + offset;
  if (write) {
    std::memcpy(at, data.data(), data.size());
  } else {
    std::memcpy(data.data(), at, data.size());
  }
}

// ------------------------------------------------------------------------------------- registers

bool FunctionalDevice::CsrRead(std::uint32_t address, std::uint32_t* value) {
  if (address % 4 != 0) return false;
  std::uint32_t index = 0;
  const CheckLimits& limits = model_.limits();
  switch (address) {
    case isa::kCsrId: *value = isa::kIdValue; return true;
    case isa::kCsrVersion: *value = isa::kVersionValue; return true;
    case isa::kCsrConfig:
      *value = config().rows | (config().sbuf_bytes / 1024) << 16;
      return true;
    case isa::kCsrIrqStatus: *value = irq_status_; return true;
    case isa::kCsrIrqEnable: *value = irq_enable_; return true;
    case isa::kCsrWatchdog: *value = watchdog_; return true;
    case isa::kCsrRefused: *value = refused_; return true;
    case isa::kCsrRngMode:
      *value = static_cast<std::uint32_t>(kLfsrLeapSteps) << 16 |
               static_cast<std::uint32_t>(kRandomBits) << 8 | (model_.Whitens() ? 1u : 0u);
      return true;
    case isa::kCsrDramBaseLo: *value = static_cast<std::uint32_t>(limits.dram_base); return true;
    case isa::kCsrDramBaseHi:
      *value = static_cast<std::uint32_t>(limits.dram_base >> 32);
      return true;
    case isa::kCsrDramLimitLo: *value = static_cast<std::uint32_t>(limits.dram_limit); return true;
    case isa::kCsrDramLimitHi:
      *value = static_cast<std::uint32_t>(limits.dram_limit >> 32);
      return true;
    case isa::kCsrNonfiniteCount: *value = nonfinite_.count; return true;
    case isa::kCsrNonfiniteIndex: *value = nonfinite_.index; return true;
    case isa::kCsrNonfiniteFirst: *value = nonfinite_.first; return true;
    case isa::kCsrGlobalBase + isa::kCsrGlobalCyclesLo:
      *value = static_cast<std::uint32_t>(rounds_);
      return true;
    case isa::kCsrGlobalBase + isa::kCsrGlobalCyclesHi:
      *value = static_cast<std::uint32_t>(rounds_ >> 32);
      return true;
    case isa::kCsrGlobalBase + isa::kCsrGlobalSbufConflicts: *value = 0; return true;
    default: break;
  }
  if (InArray(address, isa::kCsrQueueBase, isa::kNumQueues * isa::kCsrQueueStride / 4, &index)) {
    const QueueRegs& q = queues_[index * 4 / isa::kCsrQueueStride];
    switch (index * 4 % isa::kCsrQueueStride) {
      case isa::kCsrQueueBaseLo: *value = static_cast<std::uint32_t>(q.base); return true;
      case isa::kCsrQueueBaseHi: *value = static_cast<std::uint32_t>(q.base >> 32); return true;
      case isa::kCsrQueueSize: *value = q.size; return true;
      case isa::kCsrQueueTail: *value = q.tail; return true;
      case isa::kCsrQueueHead: *value = q.head; return true;
      case isa::kCsrQueueStatus:
        *value = static_cast<std::uint32_t>(q.state()) | static_cast<std::uint32_t>(q.err) << 8 |
                 q.operand << 16;
        return true;
      case isa::kCsrQueueErrIndex: *value = q.err_index; return true;
      case isa::kCsrQueueErrAddrLo: *value = static_cast<std::uint32_t>(q.err_addr); return true;
      case isa::kCsrQueueErrAddrHi:
        *value = static_cast<std::uint32_t>(static_cast<std::uint64_t>(q.err_addr) >> 32);
        return true;
      default: return false;
    }
  }
  if (InArray(address, isa::kCsrCounterBase, isa::kNumQueues * isa::kCsrCounterStride / 4,
              &index)) {
    const QueueRegs& q = queues_[index * 4 / isa::kCsrCounterStride];
    switch (index * 4 % isa::kCsrCounterStride) {
      case isa::kCsrCounterBusy:
      case isa::kCsrCounterWaitSem:
      case isa::kCsrCounterWaitFetch:
      case isa::kCsrCounterStallMem: *value = 0; return true;
      case isa::kCsrCounterWork: *value = q.work; return true;
      case isa::kCsrCounterRetired: *value = q.retired; return true;
      default: return false;
    }
  }
  if (InArray(address, isa::kCsrSemSetBase, isa::kNumSems, &index)) {
    *value = semaphores_[index];
    return true;
  }
  if (InArray(address, isa::kCsrRngVectorBase, config().rows, &index)) {
    *value = model_.VectorRounder(index);
    return true;
  }
  if (InArray(address, isa::kCsrRngScalarBase, config().rows, &index)) {
    *value = model_.ScalarRounder(index);
    return true;
  }
  return false;
}

bool FunctionalDevice::Refuse(std::uint32_t queue) {
  refused_ |= std::uint32_t{1} << queue;
  irq_status_ |= std::uint32_t{1} << 16;
  return false;
}

bool FunctionalDevice::QueueWrite(std::uint32_t queue, std::uint32_t offset, std::uint32_t value) {
  QueueRegs& q = queues_[queue];
  const bool idle = q.state() == isa::QueueState::kIdle;
  switch (offset) {
    case isa::kCsrQueueBaseLo:
      if (!idle || value % isa::kInstrBytes != 0) return Refuse(queue);
      q.base = SetLow(q.base, value);
      return true;
    case isa::kCsrQueueBaseHi:
      if (!idle || value >> 12 != 0) return Refuse(queue);
      q.base = SetHigh(q.base, value, 12);
      return true;
    case isa::kCsrQueueSize:
      if (!idle || value == 0 || value > 65536) return Refuse(queue);
      q.size = value;
      return true;
    case isa::kCsrQueueTail:
      if (!idle || value - q.head - 1 >= q.size) return Refuse(queue);
      q.tail = value;
      return true;
    case isa::kCsrQueueCtrl:
      if ((value & 1) != 0) {
        q.head = q.tail = 0;
      } else if ((value & 2) != 0 && q.stopped) {
        q.head = q.err_index + 1;
      } else {
        return true;
      }
      q.stopped = false;
      q.err = isa::Err::kNone;
      q.operand = 0;
      q.err_index = 0;
      q.err_addr = 0;
      return true;
    default: return false;
  }
}

bool FunctionalDevice::CsrWrite(std::uint32_t address, std::uint32_t value) {
  CheckAgain();
  if (address % 4 != 0) return false;
  std::uint32_t index = 0;
  CheckLimits& limits = model_.limits();
  switch (address) {
    case isa::kCsrIrqStatus: irq_status_ &= ~value; return true;
    case isa::kCsrIrqEnable: irq_enable_ = value & kIrqBits; return true;
    case isa::kCsrWatchdog: watchdog_ = value; return true;
    case isa::kCsrRefused: refused_ &= ~value; return true;
    case isa::kCsrDramBaseLo: limits.dram_base = SetLow(limits.dram_base, value); return true;
    case isa::kCsrDramBaseHi: limits.dram_base = SetHigh(limits.dram_base, value, 12); return true;
    case isa::kCsrDramLimitLo: limits.dram_limit = SetLow(limits.dram_limit, value); return true;
    case isa::kCsrDramLimitHi:
      limits.dram_limit = SetHigh(limits.dram_limit, value, 13);
      return true;
    case isa::kCsrNonfiniteCount: nonfinite_ = {}; return true;
    case isa::kCsrGlobalBase + isa::kCsrGlobalCounterClear:
      for (QueueRegs& q : queues_) q.work = q.retired = 0;
      rounds_ = 0;
      return true;
    default: break;
  }
  if (InArray(address, isa::kCsrQueueBase, isa::kNumQueues * isa::kCsrQueueStride / 4, &index)) {
    return QueueWrite(index * 4 / isa::kCsrQueueStride, index * 4 % isa::kCsrQueueStride, value);
  }
  if (InArray(address, isa::kCsrSemSetBase, isa::kNumSems, &index)) {
    semaphores_[index] = static_cast<std::uint16_t>(value);
    return true;
  }
  if (InArray(address, isa::kCsrSemIncBase, isa::kNumSems, &index)) {
    semaphores_[index] = static_cast<std::uint16_t>(semaphores_[index] + value);
    return true;
  }
  if (InArray(address, isa::kCsrRngVectorBase, config().rows, &index)) {
    model_.SetVectorRounder(index, value);
    return true;
  }
  if (InArray(address, isa::kCsrRngScalarBase, config().rows, &index)) {
    model_.SetScalarRounder(index, value);
    return true;
  }
  return false;
}

// ---------------------------------------------------------------------------------------- queues

void FunctionalDevice::Stop(Queue queue, const CheckResult& why) {
  QueueRegs& q = queues_[static_cast<std::size_t>(queue)];
  q.stopped = true;
  q.err = why.err;
  q.operand = why.operand;
  q.err_index = q.head;
  q.err_addr = why.addr;
  irq_status_ |= std::uint32_t{1} << (8 + static_cast<std::uint32_t>(queue));
}

FunctionalDevice::Step FunctionalDevice::StepQueue(Queue queue) {
  QueueRegs& q = queues_[static_cast<std::size_t>(queue)];
  if (q.state() != isa::QueueState::kRunning) return Step::kNothing;
  const std::uint64_t at = q.base + std::uint64_t{isa::kInstrBytes} * (q.head % q.size);
  const CheckLimits& limits = model_.limits();
  if (at < limits.dram_base || at + isa::kInstrBytes > limits.dram_limit ||
      !model_.dram().Contains(at, isa::kInstrBytes)) {
    Stop(queue, {isa::Err::kAxiFetch, 0, static_cast<std::int64_t>(at)});
    return Step::kMoved;
  }
  isa::Encoded encoded;
  std::memcpy(encoded.data(), model_.dram().At(at), encoded.size());
  // The header's fields lie in the same bits of both layouts; they are read without a full decode
  // because a waiting instruction is looked at in every round.
  const std::uint32_t low = encoded[0] | static_cast<std::uint32_t>(encoded[1]) << 8 |
                            static_cast<std::uint32_t>(encoded[2]) << 16 |
                            static_cast<std::uint32_t>(encoded[3]) << 24;
  const bool wait_en = (low >> 14 & 1) != 0, sig_en = (low >> 15 & 1) != 0;
  const auto wait_val = static_cast<std::uint16_t>(encoded[4] | encoded[5] << 8);
  if (wait_en &&
      static_cast<std::int16_t>(semaphores_[low >> 8 & 63] - wait_val) < 0) {
    // The static checks come before the wait.
    if (q.checked) return Step::kWaits;
    const CheckResult check = CheckInstruction(queue, encoded, limits);
    q.checked = check.err == isa::Err::kNone;
    if (q.checked) return Step::kWaits;
    Stop(queue, check);
    return Step::kMoved;
  }
  const CheckResult result = model_.Execute(queue, encoded);
  if (result.err != isa::Err::kNone) {
    Stop(queue, result);
    return Step::kMoved;
  }
  if (model_.counted() != 0) {
    nonfinite_.Add(q.head, model_.counted());
    irq_status_ |= std::uint32_t{1} << 17;
  }
  if (sig_en) {
    std::uint16_t& sem = semaphores_[low >> 16 & 63];
    sem = static_cast<std::uint16_t>(sem + static_cast<std::int8_t>(encoded[3]));
  }
  if ((low >> 22 & 1) != 0) irq_status_ |= std::uint32_t{1} << static_cast<std::uint32_t>(queue);
  q.work += static_cast<std::uint32_t>(FunctionalModel::Work(queue, encoded));
  ++q.retired;
  const std::uint32_t index = q.head++;
  q.checked = false;
  if (hook_) hook_(queue, index, encoded);
  return Step::kMoved;
}

bool FunctionalDevice::Advance(std::uint64_t max_cycles) {
  for (std::uint64_t round = 0; round < max_cycles; ++round) {
    bool moved = false, waits = false;
    for (const Queue queue : isa::kAllQueue) {
      const Step step = StepQueue(queue);
      moved |= step == Step::kMoved;
      waits |= step == Step::kWaits;
    }
    ++rounds_;
    if (moved) continue;
    if (!waits) return true;
    // Nothing can wake anybody but the host: every waiting queue would run into its watchdog, if
    // that comes within the caller's time.
    if (watchdog_ == 0 || watchdog_ > max_cycles - round) {
      rounds_ += max_cycles - round - 1;
      return false;
    }
    rounds_ += watchdog_;
    for (const Queue queue : isa::kAllQueue) {
      if (queues_[static_cast<std::size_t>(queue)].state() == isa::QueueState::kRunning) {
        Stop(queue, {isa::Err::kWatchdog, 0, 0});
      }
    }
    return true;
  }
  return std::none_of(queues_.begin(), queues_.end(), [](const QueueRegs& q) {
    return q.state() == isa::QueueState::kRunning;
  });
}

}  // namespace dither
