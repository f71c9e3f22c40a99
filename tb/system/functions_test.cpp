// The scalar engine's table functions in whole programs: loaded by DMA, used, summed; what is not
// there, damaged or unknown stops the queue with a record and changes nothing.
#include <catch2/catch.hpp>

#include <random>

#include "sim/function/function_set.hpp"
#include "sim/program/builder.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::ActFunc;
using isa::Dtype;

std::vector<double> Values(Device& device, const Tensor& t, std::uint32_t part, std::size_t count) {
  std::vector<std::uint8_t> bytes(count * t.ElementBytes());
  device.ReadSbuf(part, static_cast<std::uint32_t>(t.address),
                  std::as_writable_bytes(std::span(bytes)));
  std::vector<double> values;
  for (std::size_t n = 0; n < count; ++n) {
    std::uint32_t bits = 0;
    for (std::size_t b = 0; b < t.ElementBytes(); ++b) {
      bits |= std::uint32_t{bytes[n * t.ElementBytes() + b]} << (8 * b);
    }
    values.push_back(tb::Value(t.dtype, bits));
  }
  return values;
}

ErrorRecord Fails(Device& device, const Program& program) {
  try {
    device.Run(program);
  } catch (const ProgramFailed& e) {
    return e.records().at(0);
  }
  FAIL("the program ran");
  return {};
}

}  // namespace

TEST_CASE("every table function gives the golden function's values in a program", "[functions]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-6, 6);
  for (const function::Spec& spec : function::Catalog()) {
    INFO(spec.name);
    ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
    const auto mark = device->Mark();
    b.LoadFunctions(FunctionSet({spec.code}).Place(*device));
    const Tensor x = b.Sbuf("x", Dtype::kFp32, {rows, 37});
    const Tensor y = b.Sbuf("y", Dtype::kFp32, {rows, 37});
    const Tensor narrow = b.Sbuf("narrow", Dtype::kBf16, {rows, 37});
    std::vector<double> xv;
    const auto draw = [&] { return uniform(random); };
    for (std::uint32_t p = 0; p < rows; ++p) {
      tb::FillSbuf(*device, p, x.address, tb::RandomBytes(x.dtype, 37, draw, &xv));
    }
    b.Act(spec.code, y, x, 0.5f, 0.25f);
    b.Act(spec.code, narrow, x);
    device->Run(b.Take());
    for (std::uint32_t p = 0; p < rows; ++p) {
      const auto got = Values(*device, y, p, 37), got16 = Values(*device, narrow, p, 37);
      for (std::uint32_t n = 0; n < 37; ++n) {
        const double v = xv[p * 37 + n];
        const auto near = [&](double g, double want, double unit) {
          if (std::isnan(want)) return std::isnan(g);
          // Around roots relative to the function's slope, which is of order 1.
          return std::fabs(g - want) <= unit * std::max(std::fabs(want), 1e-2);
        };
        const double scaled = static_cast<float>(v * 0.5 + 0.25);
        CAPTURE(v, got[n], got16[n]);
        REQUIRE(near(got[n], golden::Function(spec.name, scaled), 0x1p-22));
        REQUIRE(near(got16[n], golden::Function(spec.name, v), 0x1.01p-8));
      }
    }
    device->Release(mark);
  }
}

TEST_CASE("exp and its total give a softmax that adds up to one; a running sum ends in the total",
          "[functions]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
  b.LoadFunctions(FunctionSet({ActFunc::kExp, ActFunc::kReciprocal}).Place(*device));
  const std::uint32_t rows = b.rows();
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {rows, 3, 5}), e = b.Sbuf("e", Dtype::kFp32, {rows, 3, 5});
  const Tensor total = b.Sbuf("total", Dtype::kFp32, {rows, 3});
  const Tensor inverse = b.Sbuf("inverse", Dtype::kFp32, {rows, 3});
  const Tensor run = b.Sbuf("run", Dtype::kFp32, {rows, 3, 5});
  const Tensor bias = b.Sbuf("bias", Dtype::kFp32, {rows, 1});
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-4, 4);
  std::vector<double> xv, bv;
  const auto draw = [&] { return uniform(random); };
  for (std::uint32_t p = 0; p < rows; ++p) {
    tb::FillSbuf(*device, p, x.address, tb::RandomBytes(x.dtype, 15, draw, &xv));
    tb::FillSbuf(*device, p, bias.address, tb::RandomBytes(bias.dtype, 1, draw, &bv));
  }
  b.Act(ActFunc::kExp, e, x);
  b.ActSum(ActFunc::kExp, total, x);
  b.ActRunning(ActFunc::kExp, run, x);
  b.Act(ActFunc::kReciprocal, inverse, total);
  const Tensor shifted = b.Sbuf("shifted", Dtype::kFp32, {rows});
  b.ActSum(ActFunc::kExp, shifted, x, 1.0f, bias, 2);
  device->Run(b.Take());
  for (std::uint32_t p = 0; p < rows; ++p) {
    const auto ev = Values(*device, e, p, 15), tv = Values(*device, total, p, 3);
    const auto iv = Values(*device, inverse, p, 3), rv = Values(*device, run, p, 15);
    double all = 0;
    for (std::uint32_t g = 0; g < 3; ++g) {
      double sum = 0;
      for (std::uint32_t n = 0; n < 5; ++n) {
        sum += ev[g * 5 + n];
        all += std::exp(xv[p * 15 + g * 5 + n] + bv[p]);
        REQUIRE(std::fabs(rv[g * 5 + n] - sum) <= sum * 0x1p-22);
      }
      REQUIRE(rv[g * 5 + 4] == tv[g]);
      REQUIRE(std::fabs(tv[g] - sum) <= sum * 0x1p-23);
      REQUIRE(std::fabs(sum * iv[g] - 1) <= 0x1p-21);
    }
    REQUIRE(std::fabs(Values(*device, shifted, p, 1)[0] - all) <= all * 0x1p-22);
  }
}

TEST_CASE("a function without its table, a damaged table and an unknown function stop the queue",
          "[functions][bad]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const FunctionSet set({ActFunc::kExp});
  const Tensor good = set.Place(*device), bad = set.Place(*device);
  auto image = device->ReadArray<std::uint8_t>(bad.address, bad.Bytes());
  image[image.size() / 2] ^= 4;
  device->WriteArray(bad.address, image);

  const auto program = [&](const Tensor* load, ActFunc func) {
    ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
    const Tensor x = b.Sbuf("x", Dtype::kFp32, {8, 4}), y = b.Sbuf("y", Dtype::kFp32, {8, 4});
    if (load) b.LoadFunctions(*load);
    b.Act(func, y, x);
    return b.Take();
  };
  const std::uint32_t y_at = 64;  // behind x
  std::vector<std::uint8_t> marker(16, 0x11);
  tb::FillSbuf(*device, 3, y_at, marker);
  const auto untouched = [&] {
    std::vector<std::uint8_t> now(16);
    device->ReadSbuf(3, y_at, std::as_writable_bytes(std::span(now)));
    return now == marker;
  };

  ErrorRecord r = Fails(*device, program(nullptr, ActFunc::kExp));
  CHECK(r.queue == isa::Queue::kScalar);
  CHECK(r.cause == isa::Err::kFuncNotLoaded);
  CHECK(r.address == static_cast<int>(ActFunc::kExp));
  CHECK(r.index == 0);
  CHECK(untouched());
  device->ResetQueues();

  r = Fails(*device, program(&bad, ActFunc::kExp));
  CHECK(r.cause == isa::Err::kBadTable);
  CHECK(r.index == 0);
  CHECK(r.operand == 0);
  CHECK(untouched());
  device->ResetQueues();
  r = Fails(*device, program(nullptr, ActFunc::kExp));
  CHECK(r.cause == isa::Err::kFuncNotLoaded);
  device->ResetQueues();

  device->Run(program(&good, ActFunc::kExp));
  CHECK_FALSE(untouched());
  // The set before stays when the next one is damaged.
  r = Fails(*device, program(&bad, ActFunc::kExp));
  CHECK(r.cause == isa::Err::kBadTable);
  device->ResetQueues();
  device->Run(program(nullptr, ActFunc::kExp));
  tb::FillSbuf(*device, 3, y_at, marker);
  r = Fails(*device, program(nullptr, ActFunc::kGelu));
  CHECK(r.cause == isa::Err::kFuncNotLoaded);
  CHECK(r.address == static_cast<int>(ActFunc::kGelu));
  CHECK(untouched());
  device->ResetQueues();

  ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {8, 4});
  CHECK_THROWS_WITH(b.Act(static_cast<ActFunc>(77), x, x),
                    Catch::Contains("unknown function") && Catch::Contains("x fp32[8][4]"));
}

TEST_CASE("functions of two sets alternate in one program", "[functions]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
  const Tensor first = FunctionSet({ActFunc::kExp}).Place(*device);
  const Tensor second = FunctionSet({ActFunc::kLog}).Place(*device);
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {8, 16});
  const Tensor y = b.Sbuf("y", Dtype::kFp32, {8, 16}), z = b.Sbuf("z", Dtype::kFp32, {8, 16});
  std::vector<double> xv;
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-4, 4);
  const auto draw = [&] { return uniform(random); };
  for (std::uint32_t p = 0; p < 8; ++p) {
    tb::FillSbuf(*device, p, x.address, tb::RandomBytes(x.dtype, 16, draw, &xv));
  }
  b.LoadFunctions(first);
  b.Act(ActFunc::kExp, y, x);
  b.LoadFunctions(second, isa::Queue::kDma1);
  b.Act(ActFunc::kLog, z, y);
  b.LoadFunctions(first);
  b.Act(ActFunc::kExp, y, z);
  device->Run(b.Take());
  for (std::uint32_t p = 0; p < 8; ++p) {
    const auto zv = Values(*device, z, p, 16), yv = Values(*device, y, p, 16);
    for (std::uint32_t n = 0; n < 16; ++n) {
      const double v = xv[p * 16 + n];
      REQUIRE(std::fabs(zv[n] - v) <= 0x1p-21);
      REQUIRE(std::fabs(yv[n] / std::exp(v) - 1) <= 0x1p-20);
    }
  }
}

}  // namespace dither
