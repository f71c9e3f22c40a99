// tb/system on the Verilated core, in lockstep with the functional model. The configuration is the one that the core was
// built for, whatever a test asks for.
#include "sim/verilated/verilated_device.hpp"
#include "tb/system/make_device.hpp"

namespace dither::tb {
std::unique_ptr<Device> MakeDevice(const DeviceOptions& asked) {
  DeviceOptions options = asked;
  options.config = VerilatedConfig();
  return MakeVerilatedDevice(options);
}
}  // namespace dither::tb
