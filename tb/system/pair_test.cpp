// Matmuls of 8-bit pairs in whole programs, against the golden kernels; and their refusal by a core without them.
#include <catch2/catch.hpp>

#include <cstring>
#include <random>

#include "sim/program/builder.hpp"
#include "sim/program/tile_gemm.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Err;
using isa::Queue;

std::vector<std::uint32_t> PsumWords(Device& device, const Tensor& t) {
  std::vector<std::uint32_t> words;
  for (std::uint32_t p = 0; p < t.Size(0); ++p) {
    std::vector<std::uint32_t> row(t.Size(1));
    device.ReadPsum(t.part + p, static_cast<std::uint32_t>(t.address), std::as_writable_bytes(std::span(row)));
    words.insert(words.end(), row.begin(), row.end());
  }
  return words;
}

// A core that takes pairs: nanopair, or what the program was built for, if it does.
std::unique_ptr<Device> PairDevice() {
  auto device = tb::MakeDevice(tb::Options("nanopair"));
  if (!device->config().pairs) device.reset();
  return device;
}

}  // namespace

TEST_CASE("a core without pairs refuses them by name, in the builder and in the checks", "[pair]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  if (device->config().pairs) return;
  ProgramBuilder b(device->config());
  const std::uint32_t rows = device->config().rows;
  const Tensor w = b.Sbuf("w", Dtype::kInt8, {rows, 4, 2}).Paired(), x = b.Sbuf("x", Dtype::kInt8, {rows, 8, 2}).Paired();
  CHECK_THROWS_WITH(b.Matmul(b.PsumBank("c", 0, Dtype::kInt32, {4, 8}), w, x),
                    Catch::Contains("x int8 pairs") && Catch::Contains("takes no pairs"));
  isa::EngineInstr i{.opcode = 0x10, .dtype_d = 7, .dtype_0 = 6, .dtype_1 = 6};
  i.space_d = 1;
  i.parts = i.parts_d = 4;
  i.size = {8, 1, 1, 1};
  i.str_d = i.str_0 = i.str_1 = {1, 0, 0, 0};
  i.pair = 1;
  Program program;
  program.rows = rows;
  program[Queue::kTensor].push_back(isa::Encode(i));
  device->LoadProgram(program);
  device->Start();
  try {
    device->Wait(100'000);
    FAIL("not refused");
  } catch (const ProgramFailed& failed) {
    REQUIRE(failed.records().size() == 1);
    CHECK(failed.records()[0].cause == Err::kBadFunc);
    CHECK(failed.records()[0].operand == 0);
  }
}

TEST_CASE("fp8 pairs of any mix, laid out by DMA, contract twice the rows: right against the golden kernel", "[pair]") {
  auto device = PairDevice();
  if (!device) return;
  const std::uint32_t rows = device->config().rows, m = rows - 1, n = 37;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(random); };
  for (const Dtype w_type : {Dtype::kFp8E4M3, Dtype::kFp8E5M2}) {
    for (const Dtype x_type : {Dtype::kFp8E4M3, Dtype::kFp8E5M2}) {
      CAPTURE(isa::Name(w_type), isa::Name(x_type));
      const std::uint64_t mark = device->Mark();
      ProgramBuilder b(device->config());
      const Tensor c = b.PsumBank("c", 3, Dtype::kFp32, {m, n});
      golden::Matrix want(m, n), size(m, n);
      Counter loaded = b.NewCounter("loaded");
      // Two stripes of the contraction, the second one not full.
      for (const std::uint32_t k : {2 * rows, 2 * rows - 6}) {
        std::vector<double> wv, xv;
        const Tensor wd = tb::RandomTensor(*device, "w", w_type, {k, m}, draw, &wv);
        const Tensor xd = tb::RandomTensor(*device, "x", x_type, {k, n}, draw, &xv);
        const Tensor w = b.Sbuf("w", w_type, {k / 2, m, 2}).Paired(), x = b.Sbuf("x", x_type, {k / 2, n, 2}).Paired();
        b.Copy(Queue::kDma0, w.Unpaired(), wd.PairLayout(), {{}, loaded.Tick(), false});
        b.Copy(Queue::kDma0, x.Unpaired(), xd.PairLayout(), {{}, loaded.Tick(), false});
        b.Matmul(c, w, x, {.accumulate = k != 2 * rows}, {{loaded.Until(loaded.count())}, {}, false});
        golden::Matrix part;
        const golden::Matrix product = golden::Matmul(tb::AsMatrix(k, m, wv), tb::AsMatrix(k, n, xv), &part);
        for (std::size_t i = 0; i < want.values.size(); ++i) {
          want.values[i] += product.values[i];
          size.values[i] += part.values[i];
        }
      }
      device->Run(b.Take());
      const auto got = PsumWords(*device, c);
      for (std::size_t i = 0; i < got.size(); ++i) {
        REQUIRE(std::fabs(tb::Value(Dtype::kFp32, got[i]) - want.values[i]) <= size.values[i] * std::ldexp(1, -22));
      }
      device->Release(mark);
    }
  }
}

TEST_CASE("int8 pairs are exact up to a contraction of 2^15, the largest sums included", "[pair]") {
  auto device = PairDevice();
  if (!device) return;
  const bool largest = GENERATE(true, false);
  const std::uint32_t rows = device->config().rows, k = 1 << 15, stripes = k / (2 * rows), n = 2;
  std::mt19937 random(4);
  ProgramBuilder b(device->config());
  const Tensor w = b.Sbuf("w", Dtype::kInt8, {rows, stripes, 2}).Paired();
  const Tensor x = b.Sbuf("x", Dtype::kInt8, {rows, stripes * n, 2}).Paired();
  std::int64_t want[n] = {};
  for (std::uint32_t p = 0; p < rows; ++p) {
    std::vector<std::int8_t> wv(stripes * 2), xv(stripes * n * 2);
    for (auto& v : wv) v = static_cast<std::int8_t>(largest ? -128 : random());
    for (auto& v : xv) v = static_cast<std::int8_t>(largest ? -128 : random());
    for (std::uint32_t s = 0; s < stripes; ++s)
      for (std::uint32_t c = 0; c < n; ++c)
        for (std::uint32_t lane = 0; lane < 2; ++lane) want[c] += std::int64_t{wv[s * 2 + lane]} * xv[(s * n + c) * 2 + lane];
    tb::FillSbuf(*device, p, w.address, wv);
    tb::FillSbuf(*device, p, x.address, xv);
  }
  const Tensor c = b.PsumBank("c", 0, Dtype::kInt32, {1, n});
  for (std::uint32_t s = 0; s < stripes; ++s) b.Matmul(c, w.Slice(1, s, 1), x.Slice(1, s * n, n), {.accumulate = s != 0});
  device->Run(b.Take());
  const auto got = PsumWords(*device, c);
  for (std::uint32_t i = 0; i < n; ++i) REQUIRE(static_cast<std::int32_t>(got[i]) == want[i]);
  if (largest) REQUIRE(want[0] == std::int64_t{1} << 29);
}

TEST_CASE("the vector engine writes pairs: two tiles of results are the two numbers of the next contraction", "[pair]") {
  auto device = PairDevice();
  if (!device) return;
  const std::uint32_t rows = device->config().rows, n = 21;
  std::mt19937 random(5);
  ProgramBuilder b(device->config());
  // Features of tile 0 and of tile 1 lie in the same partitions of two PSUM banks; k = tile * rows + partition.
  const Tensor h = b.Sbuf("h", Dtype::kFp8E4M3, {rows, n, 2}).Paired();
  const Tensor w = b.Sbuf("w", Dtype::kFp8E4M3, {rows, rows, 2}).Paired();
  const auto small = [&] { return static_cast<double>(static_cast<int>(random() % 15) - 7); };
  std::vector<double> hv(2 * rows * n), wv(2 * rows * rows);
  for (std::uint32_t p = 0; p < rows; ++p) {
    std::vector<std::uint8_t> bytes;
    for (std::uint32_t e = 0; e < rows * 2; ++e) {
      const auto v = tb::RandomBytes(Dtype::kFp8E4M3, 1, small, nullptr);
      wv[(e % 2 * rows + p) * rows + e / 2] = tb::Value(Dtype::kFp8E4M3, v[0]);
      bytes.push_back(v[0]);
    }
    tb::FillSbuf(*device, p, w.address, bytes);
  }
  Counter written = b.NewCounter("written");
  for (std::uint32_t tile = 0; tile < 2; ++tile) {
    const Tensor sums = b.Sbuf("sums", Dtype::kFp32, {rows, n});
    for (std::uint32_t p = 0; p < rows; ++p) {
      std::vector<std::uint32_t> row(n);
      for (std::uint32_t e = 0; e < n; ++e) {
        const double v = small();
        hv[(tile * rows + p) * n + e] = v;
        row[e] = tb::Bits(static_cast<float>(v));
      }
      tb::FillSbuf(*device, p, sums.address, row);
    }
    const Tensor lane = h.Unpaired().Slice(2, tile, 1);
    b.Cast(lane, sums.Insert(2), {}, {{}, written.Tick(), false});
  }
  const Tensor c = b.PsumBank("c", 0, Dtype::kFp32, {rows, n});
  b.Matmul(c, w, h, {}, {{written.Until(2)}, {}, false});
  device->Run(b.Take());
  const golden::Matrix want = golden::Matmul(tb::AsMatrix(2 * rows, rows, wv), tb::AsMatrix(2 * rows, n, hv));
  const auto got = PsumWords(*device, c);
  for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(tb::Value(Dtype::kFp32, got[i]) == want.values[i]);
}

TEST_CASE("a tile GEMM of pairs is right and issues half the columns", "[pair][tile_gemm]") {
  auto device = PairDevice();
  if (!device) return;
  std::mt19937 random(6);
  const std::uint32_t rows = device->config().rows;
  for (const Dtype dtype : {Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8}) {
    for (const auto& [k, m, n] : {std::tuple{8 * rows, 4 * rows, 4 * rows}, {6 * rows + 2, rows + 3, 37u}, {40 * rows, 3u, 2u}}) {
      CAPTURE(isa::Name(dtype), k, m, n);
      const std::uint64_t mark = device->Mark();
      const auto draw = [&] { return std::floor(std::ldexp(static_cast<double>(random()) - std::ldexp(1, 31), -26)); };
      std::vector<double> av, bv;
      // The host lays the operands out: [K/2][M][2] in DRAM.
      const auto operand = [&](const char* name, std::uint32_t columns, std::vector<double>* values) {
        std::vector<double> raw;
        const Tensor t = tb::RandomTensor(*device, name, dtype, {k / 2, columns, 2}, draw, &raw);
        values->resize(raw.size());
        for (std::uint32_t r = 0; r < k; ++r)
          for (std::uint32_t c = 0; c < columns; ++c) (*values)[r * columns + c] = raw[(r / 2 * columns + c) * 2 + r % 2];
        return t.Paired();
      };
      TileGemmSpec spec;
      spec.a = operand("a", m, &av);
      spec.b = operand("b", n, &bv);
      spec.c = tb::EmptyTensor(*device, "c", Dtype::kFp32, {m, n});
      spec.zeros = tb::EmptyTensor(*device, "zeros", Dtype::kBf16, {16 * rows}, 0);
      for (const Program& program : BuildTileGemm(device->config(), spec)) device->Run(program);
      golden::Matrix size;
      const golden::Matrix want = golden::Matmul(tb::AsMatrix(k, m, av), tb::AsMatrix(k, n, bv), &size);
      const auto got = tb::Values(*device, spec.c);
      for (std::size_t i = 0; i < got.size(); ++i) {
        if (dtype == Dtype::kInt8) REQUIRE(got[i] == want.values[i]);  // below 2^24
        REQUIRE(std::fabs(got[i] - want.values[i]) <= size.values[i] * (k / rows + 4) * std::ldexp(1, -22));
      }
      device->Release(mark);
    }
  }
  CHECK(PlanTileGemm(device->config(), 8 * rows, 4 * rows, 4 * rows).columns ==
        2 * PlanTileGemm(device->config(), 4 * rows, 4 * rows, 4 * rows).columns);
}

}  // namespace dither
