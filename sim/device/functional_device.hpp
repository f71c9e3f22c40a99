// The functional model behind the Device interface: registers, queues and semaphores without time.
//
// Advance() runs the queues round-robin, one instruction each, until nothing can go on. Queues that
// wait when nothing moves any more would wait for ever: they get the watchdog error, all of them,
// or stay waiting if the watchdog is off or longer than the time given. Counters know work and
// retired instructions only.
//
// Test  tb/system/ (both backends), tb/model/functional_test.cpp
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "sim/device/device.hpp"
#include "sim/model/functional.hpp"

namespace dither {

class FunctionalDevice : public Device {
 public:
  explicit FunctionalDevice(const DeviceOptions& options = {});

  std::string_view name() const override { return "functional"; }
  bool Advance(std::uint64_t max_cycles) override;

  FunctionalModel& model() { return model_; }
  // Called after every retired instruction: the lockstep comparison and traces hang here.
  using RetireHook =
      std::function<void(isa::Queue, std::uint32_t index, const isa::Encoded&)>;
  void OnRetire(RetireHook hook) { hook_ = std::move(hook); }

 protected:
  void DramWrite(std::uint64_t address, std::span<const std::byte> data) override;
  void DramRead(std::uint64_t address, std::span<std::byte> data) override;
  bool CsrRead(std::uint32_t address, std::uint32_t* value) override;
  bool CsrWrite(std::uint32_t address, std::uint32_t value) override;
  void BackDoor(isa::Space space, std::uint32_t part, std::uint32_t offset,
                std::span<std::byte> data, bool write) override;

 private:
  struct QueueRegs {
    std::uint64_t base = 0;
    std::uint32_t size = 0, head = 0, tail = 0;
    isa::Err err = isa::Err::kNone;
    std::uint32_t operand = 0, err_index = 0;
    std::int64_t err_addr = 0;
    bool stopped = false;
    std::uint32_t work = 0, retired = 0;
    bool checked = false;  // the instruction at head, which waits, has passed its static checks
    isa::QueueState state() const {
      return stopped        ? isa::QueueState::kError
             : head == tail ? isa::QueueState::kIdle
                            : isa::QueueState::kRunning;
    }
  };
  enum class Step { kNothing, kWaits, kMoved };
  Step StepQueue(isa::Queue queue);
  // Something that the checks look at has changed: instructions or limits.
  void CheckAgain() {
    for (QueueRegs& q : queues_) q.checked = false;
  }
  void Stop(isa::Queue queue, const CheckResult& why);
  bool Refuse(std::uint32_t queue);
  bool QueueWrite(std::uint32_t queue, std::uint32_t offset, std::uint32_t value);

  FunctionalModel model_;
  std::array<QueueRegs, isa::kNumQueues> queues_;
  std::array<std::uint16_t, isa::kNumSems> semaphores_{};
  std::uint32_t irq_status_ = 0, irq_enable_ = 0, watchdog_ = isa::kCsrWatchdogReset, refused_ = 0;
  NonfiniteRegisters nonfinite_;
  std::uint64_t rounds_ = 0;
  RetireHook hook_;
};

std::unique_ptr<Device> MakeFunctionalDevice(const DeviceOptions& options = {});

}  // namespace dither
