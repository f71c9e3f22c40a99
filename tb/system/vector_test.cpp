// Every function of the vector engine in a whole program, against the golden kernels.
#include <catch2/catch.hpp>

#include <cmath>
#include <cstring>
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
    const auto op = tb::BinaryOf(func);
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

TEST_CASE("a batch is normalised, masked, sorted out and transposed by one program", "[vector]") {
  using isa::Dtype;
  using isa::VecFunc;
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows, n = 3 * rows;
  std::mt19937 random(2);
  std::normal_distribution<float> normal(5, 2);
  ProgramBuilder b(device->config());
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {rows, n}), y = b.Sbuf("y", Dtype::kFp32, {rows, n});
  const Tensor stats = b.Sbuf("stats", Dtype::kFp32, {rows, 2});
  const Tensor best = b.Sbuf("best", Dtype::kInt32, {rows, 1}), hot = b.Sbuf("hot", Dtype::kBf16, {rows, n});
  const Tensor label = b.Sbuf("label", Dtype::kFp32, {rows, 1});
  const Tensor sums = b.Sbuf("sums", Dtype::kFp32, {rows, n}), mask = b.Sbuf("mask", Dtype::kBf16, {rows, n});
  const Tensor turned = b.Sbuf("turned", Dtype::kFp32, {rows, n});
  const Tensor index = b.Sbuf("index", Dtype::kInt32, {rows, 1});
  const Tensor mixed = b.Sbuf("mixed", Dtype::kBf16, {rows, n}), first = b.Sbuf("first", Dtype::kBf16, {rows, n});
  std::vector<double> xv;
  for (std::uint32_t p = 0; p < rows; ++p) {
    tb::FillSbuf(*device, p, x.address,
                 tb::RandomBytes(x.dtype, n, [&] { return normal(random); }, &xv));
  }
  const Tensor mean = stats.Slice(1, 0, 1), variance = stats.Slice(1, 1, 1);
  b.Stats(stats, x);
  b.TwoSteps(y, x, {VecFunc::kSub, mean}, {VecFunc::kMul, variance});  // times the variance: no rsqrt here
  b.Reduce(isa::RedFunc::kArgMax, best, x);
  b.Cast(label, best);
  b.TwoSteps(hot, Generated::Iota(0, {1}), {VecFunc::kEq, label}, {VecFunc::kMul, label});
  b.Scan(isa::RedFunc::kMax, sums, x);
  b.TwoSteps(mask, Generated::Random(), {VecFunc::kLt, 0x1p23f}, {VecFunc::kSelect, x},
             {isa::Round::kRtz, false});
  b.TransposeBlocks(turned.Split(1, rows), x.Split(1, rows));
  b.Iota(index, static_cast<std::int32_t>(rows) - 1, {0}, -1);
  b.ShufflePartitions(mixed, hot, index);
  b.BroadcastPartition(first, hot.Slice(0, 1, 1));
  device->Run(b.Take());

  const auto read = [&](const Tensor& t) {
    std::vector<double> values;
    for (std::uint32_t p = 0; p < rows; ++p) {
      std::vector<std::byte> bytes(t.Bytes() / rows);
      device->ReadSbuf(p, static_cast<std::uint32_t>(t.address), bytes);
      for (std::size_t at = 0; at < bytes.size(); at += t.ElementBytes()) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, bytes.data() + at, t.ElementBytes());
        values.push_back(tb::Value(t.dtype, bits));
      }
    }
    return values;
  };
  const auto yv = read(y), sv = read(stats), bv = read(best), hv = read(hot), mv = read(sums);
  const auto kv = read(mask), tv = read(turned), rv = read(mixed), fv = read(first);
  int kept = 0;
  for (std::uint32_t p = 0; p < rows; ++p) {
    const std::vector<double> row(xv.begin() + p * n, xv.begin() + (p + 1) * n);
    const double m = golden::Mean(row), v = golden::Variance(row);
    REQUIRE(std::fabs(sv[2 * p] - m) < 1e-5);
    REQUIRE(std::fabs(sv[2 * p + 1] - v) < 1e-5 * v);
    const std::size_t top = golden::ArgMax(row);
    REQUIRE(bv[p] == static_cast<double>(top));
    double running = row[0];
    for (std::uint32_t i = 0; i < n; ++i) {
      REQUIRE(std::fabs(yv[p * n + i] - (row[i] - m) * v) < 1e-4);
      REQUIRE(hv[p * n + i] == (i == top ? static_cast<double>(top) : 0.0));
      running = std::max(running, row[i]);
      REQUIRE(mv[p * n + i] == running);
      const double k = kv[p * n + i];
      REQUIRE((k == 0 || std::fabs(k - row[i]) <= std::fabs(row[i]) / 128));
      kept += k != 0;
      REQUIRE(tv[p * n + i] == xv[(i % rows) * n + i / rows * rows + p]);
      REQUIRE(rv[p * n + i] == hv[(rows - 1 - p) * n + i]);
      REQUIRE(fv[p * n + i] == hv[n + i]);
    }
  }
  const double all = static_cast<double>(rows) * n;
  REQUIRE(std::fabs(kept / all - 0.5) < 4 * 0.5 / std::sqrt(all));
}

}  // namespace dither
