// Every function of the vector engine in a whole program, against the golden kernels.
#include <catch2/catch.hpp>

#include <random>

#include "sim/program/builder.hpp"
#include "tb/system/make_device.hpp"

namespace dither {

TEST_CASE("every function of two tensors gives the golden kernel's values in a program",
          "[vector]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-3, 3);
  for (const isa::VecFunc func : isa::kAllVecFunc) {
    if (func == isa::VecFunc::kCopy || OnWords(static_cast<std::uint8_t>(func))) continue;
    INFO(isa::Name(func));
    ProgramBuilder b(device->config());
    const Tensor x = b.Sbuf("x", isa::Dtype::kFp32, {rows, 37});
    const Tensor y = b.Sbuf("y", isa::Dtype::kFp32, {rows, 37});
    const Tensor d = b.Sbuf("d", isa::Dtype::kFp32, {rows, 37});
    std::vector<double> xv, yv;
    const auto draw = [&] { return uniform(random); };
    for (std::uint32_t p = 0; p < rows; ++p) {
      tb::FillSbuf(*device, p, x.address, tb::RandomBytes(x.dtype, 37, draw, &xv));
      tb::FillSbuf(*device, p, y.address, tb::RandomBytes(y.dtype, 37, draw, &yv));
    }
    if (func == isa::VecFunc::kAbs) {
      b.Elementwise(d, x, {func});
    } else {
      b.Elementwise(func, d, x, y);
    }
    device->Run(b.Take());
    const auto op = static_cast<golden::Binary>(static_cast<int>(func) - 1);
    for (std::uint32_t p = 0; p < rows; ++p) {
      std::vector<float> got(37);
      device->ReadSbuf(p, static_cast<std::uint32_t>(d.address),
                       std::as_writable_bytes(std::span(got)));
      for (std::uint32_t i = 0; i < 37; ++i) {
        const double want = golden::Apply(op, xv[p * 37 + i], yv[p * 37 + i]);
        REQUIRE(std::fabs(got[i] - want) <= std::fabs(want) * tb::HalfUnit(d.dtype));
      }
    }
  }
}

}  // namespace dither
