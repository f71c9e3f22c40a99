// The Verilated core as a Device: the same programs, registers and memories as the functional model, every
// cycle real. In lockstep the functional model executes each instruction at the moment it retires in the RTL and
// what the instruction wrote is compared, so the first difference names instruction, address, lane and both values.
//
// Test  tb/system/ (all of it also runs on this backend), tb/system/lockstep_test.cpp
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/device/device.hpp"

namespace dither {

// How the memory behind the AXI4 port behaves, beyond DeviceOptions::axi_latency.
struct MemoryBehaviour {
  int stall_percent = 0;    // of cycles on every channel
  bool reorder = false;     // answers of different IDs in random order
  bool silent = false;      // never answers
  // Bytes first..last answer with SLVERR (or DECERR).
  struct Fault {
    std::uint64_t first, last;
    bool decode;
  };
  std::vector<Fault> faults;
};

struct VerilatedOptions {
  std::string trace;        // FST file to write; needs a model built with TRACE=1
  bool lockstep = true;     // compare with the functional model at every retired instruction
  std::uint64_t seed = 1;   // of power-up state and random memory behaviour
  bool random_state = false;  // registers and memories start random instead of zero
};

// The RTL and the functional model differ; the text names instruction, memory, address, lane and both values.
class Mismatch : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

// When the tensor engine worked, in clock cycles since construction.
struct ArrayActivity {
  std::uint64_t first_busy = 0, last_busy = 0;      // an instruction inside: first tile in to last sum written
  std::uint64_t first_column = 0, last_column = 0;  // a moving column issued: first to last product
  std::uint64_t columns = 0, stalls = 0;            // columns issued; cycles lost to SBUF
  std::uint64_t span() const { return columns ? last_column - first_column + 1 : 0; }
  std::uint64_t busy_span() const { return columns ? last_busy - first_busy + 1 : 0; }
};

class VerilatedDevice : public Device {
 public:
  virtual const ArrayActivity& Activity() const = 0;
  virtual void ClearActivity() = 0;
  virtual std::uint64_t cycles() const = 0;  // clock cycles since construction
  virtual void SetMemoryBehaviour(const MemoryBehaviour& behaviour) = 0;
  // Compares every SBUF and PSUM word, all of DRAM, every rounder state and NONFINITE; throws Mismatch. Returns how many
  // bytes were compared. Only in lockstep, when the device is quiet.
  virtual std::uint64_t CompareAll() = 0;
  virtual std::uint64_t retired() const = 0;  // instructions compared so far
  // What the core did wrong on AXI4, in words; empty if nothing.
  virtual std::vector<std::string> AxiViolations() const = 0;
  using RetireHook = std::function<void(isa::Queue, std::uint32_t index, std::uint64_t cycle)>;
  virtual void OnRetire(RetireHook hook) = 0;
  // Makes bit `bit` of an SBUF word of the RTL alone wrong: for testing that a difference is found.
  virtual void FlipSbufBit(std::uint32_t part, std::uint32_t offset, std::uint32_t bit) = 0;

 protected:
  using Device::Device;
};

// The configuration is the one the program was built for; options.config must be the same.
std::unique_ptr<VerilatedDevice> MakeVerilatedDevice(const DeviceOptions& options,
                                                     const VerilatedOptions& verilated = {});
// The configuration that this program's Verilated core was built for.
const isa::Config& VerilatedConfig();

}  // namespace dither
