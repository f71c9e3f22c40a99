// Clock and reset for one Verilated module: OnDrive callbacks set inputs before the rising edge,
// OnSample callbacks see settled inputs and outputs of the same cycle, then the edge comes.
#pragma once

#include <verilated.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace dither::tb {

// Dut is a Verilated class with ports clk_i and rst_ni. State starts random (seeded), so that a
// register without reset shows up. Reset is held for four cycles by the constructor.
template <typename Dut>
class Clocked {
 public:
  explicit Clocked(std::uint64_t seed = 1) : context_(std::make_unique<VerilatedContext>()) {
    context_->randReset(2);
    context_->randSeed(static_cast<int>(seed & 0x7fffffff) | 1);
    context_->assertOn(true);
    dut_ = std::make_unique<Dut>(context_.get(), "top");
    dut_->clk_i = 0;
    dut_->rst_ni = 1;
    dut_->eval();
    Reset();
  }
  ~Clocked() { dut_->final(); }
  Clocked(const Clocked&) = delete;
  Clocked& operator=(const Clocked&) = delete;

  // Inputs keep their (random or driven) values during reset.
  void Reset(int cycles = 4) {
    dut_->rst_ni = 0;
    for (int i = 0; i < cycles; ++i) Edge();
    dut_->rst_ni = 1;
    dut_->eval();
    cycle_ = 0;
  }
  void OnDrive(std::function<void()> f) { drive_.push_back(std::move(f)); }
  void OnSample(std::function<void()> f) { sample_.push_back(std::move(f)); }

  // One clock cycle: drive, settle, sample, rising edge.
  void Step() {
    for (auto& f : drive_) f();
    dut_->eval();
    for (auto& f : sample_) f();
    Edge();
    ++cycle_;
  }
  void Run(std::uint64_t cycles) {
    for (std::uint64_t i = 0; i < cycles; ++i) Step();
  }
  std::uint64_t cycle() const { return cycle_; }
  Dut* operator->() { return dut_.get(); }
  Dut& operator*() { return *dut_; }
  VerilatedContext& context() { return *context_; }

 private:
  void Edge() {
    dut_->clk_i = 1;
    dut_->eval();
    context_->timeInc(1);
    dut_->clk_i = 0;
    dut_->eval();
    context_->timeInc(1);
  }
  std::unique_ptr<VerilatedContext> context_;
  std::unique_ptr<Dut> dut_;
  std::vector<std::function<void()>> drive_, sample_;
  std::uint64_t cycle_ = 0;
};

}  // namespace dither::tb
