// Matrix products of any size, whole programs, against the golden kernel.
#include <catch2/catch.hpp>

#include <random>

#include "sim/program/gemm.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;

struct Case {
  std::uint32_t k, m, n;
};

// Runs one product and compares every element. The bound: each of the array's sums of a stripe is
// off by no more than a few units of 2^-24 of the terms' magnitude (docs/numerics.md), then one
// rounding to C.
void CheckGemm(Device& device, Case size, Dtype a_type, Dtype b_type, Dtype c_type,
               Evacuate evacuate, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(random); };
  const std::uint64_t mark = device.Mark();
  std::vector<double> a_values, b_values;
  const Tensor a = tb::RandomTensor(device, "a", a_type, {size.k, size.m}, draw, &a_values);
  const Tensor b = tb::RandomTensor(device, "b", b_type, {size.k, size.n}, draw, &b_values);
  const Tensor c = tb::EmptyTensor(device, "c", c_type, {size.m, size.n});
  const std::uint64_t guard = device.Allocate(64);
  device.WriteArray(guard, std::vector<std::uint8_t>(64, 0x5a));
  GemmSpec spec{a, b, c, evacuate, isa::ActFunc::kIdentity, {}};
  device.Run(BuildGemm(device.config(), spec));

  golden::Matrix magnitude;
  const golden::Matrix want = golden::Matmul(tb::AsMatrix(size.k, size.m, a_values),
                                             tb::AsMatrix(size.k, size.n, b_values), &magnitude);
  const auto got = tb::Values(device, c);
  const double stripes = (size.k + device.config().rows - 1) / device.config().rows;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = magnitude.values[i] * (stripes + 4) * std::ldexp(1, -22) +
                         std::fabs(want.values[i]) * tb::HalfUnit(c_type) + 1e-30;
    INFO("k " << size.k << " m " << size.m << " n " << size.n << " element " << i);
    REQUIRE(std::fabs(got[i] - want.values[i]) <= bound);
  }
  REQUIRE(device.ReadArray<std::uint8_t>(guard, 64) == std::vector<std::uint8_t>(64, 0x5a));
  device.Release(mark);
}

}  // namespace

TEST_CASE("a product of any shape around the array's size is right in every element", "[gemm]") {
  const char* config = GENERATE("nano", "tiny");
  auto device = tb::MakeDevice(tb::Options(config));
  const std::uint32_t p = device->config().rows;
  const std::vector<std::uint32_t> edge = {1, 2, p - 1, p, p + 1, 2 * p + 3, 37};
  unsigned seed = 1;
  for (const std::uint32_t k : edge) {
    for (const std::uint32_t m : edge) {
      const std::uint32_t n = edge[(seed * 5 + 1) % edge.size()];
      CheckGemm(*device, {k, m, n}, Dtype::kBf16, Dtype::kBf16, Dtype::kFp32,
                static_cast<Evacuate>(seed % 3), seed);
      ++seed;
    }
  }
}

TEST_CASE("columns beyond one PSUM bank and rows beyond one group continue in the next", "[gemm]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  CheckGemm(*device, {19, 9, 513}, Dtype::kBf16, Dtype::kBf16, Dtype::kFp32, Evacuate::kBoth, 1);
  CheckGemm(*device, {8, 100, 512}, Dtype::kBf16, Dtype::kBf16, Dtype::kBf16, Evacuate::kBoth, 2);
  CheckGemm(*device, {200, 70, 67}, Dtype::kBf16, Dtype::kBf16, Dtype::kFp32, Evacuate::kBoth, 3);
  // More stripes than fit SBUF: they are loaded again for every group.
  CheckGemm(*device, {331, 71, 521}, Dtype::kBf16, Dtype::kBf16, Dtype::kFp32, Evacuate::kVector,
            4);
}

TEST_CASE("fp8 operands mix with bf16 and results come in any format", "[gemm]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  CheckGemm(*device, {17, 13, 29}, Dtype::kFp8E4M3, Dtype::kBf16, Dtype::kFp32, Evacuate::kBoth, 5);
  CheckGemm(*device, {17, 13, 29}, Dtype::kBf16, Dtype::kFp8E5M2, Dtype::kBf16, Evacuate::kBoth, 6);
  CheckGemm(*device, {17, 13, 29}, Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kFp16, Evacuate::kBoth,
            7);
}

TEST_CASE("a transposed view of the left matrix gives the same product", "[gemm]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  std::mt19937 random(3);
  const auto draw = [&] { return static_cast<float>(static_cast<int>(random() % 17) - 8); };
  const std::uint32_t k = 13, m = 11, n = 21;
  std::vector<double> a_values, b_values;
  const Tensor a = tb::RandomTensor(*device, "a", Dtype::kBf16, {m, k}, draw, &a_values);
  const Tensor b = tb::RandomTensor(*device, "b", Dtype::kBf16, {k, n}, draw, &b_values);
  const Tensor c = tb::EmptyTensor(*device, "c", Dtype::kFp32, {m, n});
  device->Run(BuildGemm(device->config(), {a.Transpose(0, 1), b, c, Evacuate::kBoth, {}, {}}));
  const auto got = tb::Values(*device, c);
  for (std::uint32_t i = 0; i < m; ++i) {
    for (std::uint32_t j = 0; j < n; ++j) {
      double sum = 0;  // small integers: exact
      for (std::uint32_t l = 0; l < k; ++l) sum += a_values[i * k + l] * b_values[l * n + j];
      REQUIRE(got[i * n + j] == sum);
    }
  }
}

TEST_CASE("gemm refuses shapes that do not fit together and names them", "[gemm]") {
  const isa::Config config = isa::kConfigs[0];
  const Tensor a = Tensor::Dram("left", 0, Dtype::kBf16, {8, 9});
  const Tensor b = Tensor::Dram("right", 0, Dtype::kBf16, {7, 10});
  const Tensor c = Tensor::Dram("result", 0, Dtype::kFp32, {9, 10});
  CHECK_THROWS_WITH(BuildGemm(config, {a, b, c, Evacuate::kBoth, {}, {}}),
                    Catch::Contains("left bf16[8][9]") && Catch::Contains("right bf16[7][10]"));
  CHECK_THROWS_WITH(BuildGemm(config, {a, b.Slice(0, 0, 7), c, Evacuate::kBoth, {}, {}}),
                    Catch::Contains("contracted"));
  const Tensor b8 = Tensor::Dram("right", 0, Dtype::kBf16, {8, 11});
  CHECK_THROWS_WITH(BuildGemm(config, {a, b8, c, Evacuate::kBoth, {}, {}}),
                    Catch::Contains("result fp32[9][10]") && Catch::Contains("[9][11]"));
}

}  // namespace dither
