// tb/system on the functional model.
#include "sim/device/functional_device.hpp"
#include "tb/system/make_device.hpp"

namespace dither::tb {
std::unique_ptr<Device> MakeDevice(const DeviceOptions& options) {
  return MakeFunctionalDevice(options);
}
}  // namespace dither::tb
