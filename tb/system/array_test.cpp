// Every number format of the array, tiles side by side and transposes in whole programs, against the
// golden kernels or plain bits.
#include <catch2/catch.hpp>

#include <cstring>
#include <random>

#include "sim/program/builder.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Err;
using isa::Queue;

// Fills a tensor of two dimensions in SBUF with what `draw` gives, rounded to its dtype.
template <typename Draw>
golden::Matrix Fill(Device& device, const Tensor& t, Draw&& draw) {
  std::vector<double> values;
  for (std::uint32_t p = 0; p < t.Size(0); ++p) {
    tb::FillSbuf(device, t.part + p, t.address, tb::RandomBytes(t.dtype, t.Size(1), draw, &values));
  }
  return tb::AsMatrix(t.Size(0), t.Size(1), values);
}

std::vector<std::uint32_t> Words(Device& device, const Tensor& t) {
  std::vector<std::uint32_t> words;
  for (std::uint32_t p = 0; p < t.Size(0); ++p) {
    std::vector<std::uint32_t> row(t.Size(1));
    const auto at = static_cast<std::uint32_t>(t.address);
    if (t.place == Place::kPsum) {
      device.ReadPsum(t.part + p, at, std::as_writable_bytes(std::span(row)));
    } else {
      device.ReadSbuf(t.part + p, at, std::as_writable_bytes(std::span(row)));
    }
    words.insert(words.end(), row.begin(), row.end());
  }
  return words;
}

}  // namespace

TEST_CASE("fp16 and fp32 products in pieces are right to fp32's last places in a program",
          "[array]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(random); };
  const std::pair<Dtype, Dtype> mixes[] = {{Dtype::kFp16, Dtype::kFp16},
                                           {Dtype::kFp32, Dtype::kFp32},
                                           {Dtype::kFp32, Dtype::kBf16},
                                           {Dtype::kFp8E4M3, Dtype::kFp16}};
  for (const auto& [w_type, x_type] : mixes) {
    CAPTURE(isa::Name(w_type), isa::Name(x_type));
    // A contraction of two stripes, the second one not full.
    ProgramBuilder b(device->config());
    const std::uint32_t m = rows - 1, n = 37;
    const Tensor w0 = b.Sbuf("w0", w_type, {rows, m}), w1 = b.Sbuf("w1", w_type, {rows - 3, m});
    const Tensor x0 = b.Sbuf("x0", x_type, {rows, n}), x1 = b.Sbuf("x1", x_type, {rows - 3, n});
    const Tensor c = b.PsumBank("c", 2, Dtype::kFp32, {m, n});
    golden::Matrix size0, size1;
    const golden::Matrix want0 =
        golden::Matmul(Fill(*device, w0, draw), Fill(*device, x0, draw), &size0);
    const golden::Matrix want1 =
        golden::Matmul(Fill(*device, w1, draw), Fill(*device, x1, draw), &size1);
    b.MatmulPieces(c, {{w0, x0}, {w1, x1}});
    device->Run(b.Take());
    const auto got = Words(*device, c);
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double want = want0.values[i] + want1.values[i];
      const double bound = (size0.values[i] + size1.values[i]) * std::ldexp(1, -22);
      REQUIRE(std::fabs(tb::Value(Dtype::kFp32, got[i]) - want) <= bound);
    }
  }
}

TEST_CASE("int8 products are exact int32 in a program", "[array]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows;
  std::mt19937 random(2);
  const auto draw = [&] { return static_cast<float>(static_cast<int>(random() % 256) - 128); };
  ProgramBuilder b(device->config());
  const std::uint32_t n = 41, stripes = 5;
  const Tensor c = b.PsumBank("c", 0, Dtype::kInt32, {rows, n});
  golden::Matrix want(rows, n);
  for (std::uint32_t s = 0; s < stripes; ++s) {
    const Tensor w = b.Sbuf("w", Dtype::kInt8, {rows, rows});
    const Tensor x = b.Sbuf("x", Dtype::kInt8, {rows, n});
    const golden::Matrix part = golden::Matmul(Fill(*device, w, draw), Fill(*device, x, draw));
    for (std::size_t i = 0; i < want.values.size(); ++i) want.values[i] += part.values[i];
    b.Matmul(c, w, x, {.accumulate = s != 0});
  }
  device->Run(b.Take());
  const auto got = Words(*device, c);
  for (std::size_t i = 0; i < got.size(); ++i) {
    REQUIRE(static_cast<std::int32_t>(got[i]) == want.values[i]);
  }
}

TEST_CASE("two and four small products side by side, as of attention heads, are all right",
          "[array]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(random); };
  for (const std::uint32_t tiles : {2u, 4u}) {
    CAPTURE(tiles);
    const std::uint32_t room = rows / tiles, n = 29;
    ProgramBuilder b(device->config());
    const Tensor w = b.Sbuf("w", Dtype::kBf16, {room, room});
    const Tensor x = b.Sbuf("x", Dtype::kFp8E4M3, {room, n});
    const Tensor c = b.PsumBank("c", 7, Dtype::kFp32, {room, n});
    std::vector<golden::Matrix> want(tiles), size(tiles);
    const auto at = [&](Tensor t, std::uint32_t tile) {
      t.part = tile * room;
      return t;
    };
    for (std::uint32_t t = 0; t < tiles; ++t) {
      want[t] =
          golden::Matmul(Fill(*device, at(w, t), draw), Fill(*device, at(x, t), draw), &size[t]);
    }
    b.Matmul(c, w, x, {.tiles = tiles});
    REQUIRE(b.program().size() == 1);
    device->Run(b.Take());
    for (std::uint32_t t = 0; t < tiles; ++t) {
      const auto got = Words(*device, at(c, t));
      for (std::size_t i = 0; i < got.size(); ++i) {
        REQUIRE(std::fabs(tb::Value(Dtype::kFp32, got[i]) - want[t].values[i]) <=
                size[t].values[i] * std::ldexp(1, -22));
      }
    }
  }
}

TEST_CASE("a tile comes back from PSUM transposed, in every format and with every bit", "[array]") {
  auto device = tb::MakeDevice(tb::Options(GENERATE("nano", "tiny")));
  const std::uint32_t rows = device->config().rows;
  std::mt19937 random(4);
  for (const Dtype type : isa::kAllDtype) {
    CAPTURE(isa::Name(type));
    const std::uint32_t bytes = isa::DtypeBytes(type), k = rows - 1, m = rows;
    ProgramBuilder b(device->config());
    const Tensor s = b.Sbuf("s", type, {k, m});
    const Tensor d = b.Sbuf("d", type, {m, k});
    // Every bit pattern counts, so bf16 and fp16, whose NaN a cast would not keep, go byte by byte.
    std::vector<std::vector<std::uint8_t>> in(k, std::vector<std::uint8_t>(m * bytes));
    for (std::uint32_t p = 0; p < k; ++p) {
      for (auto& byte : in[p]) byte = static_cast<std::uint8_t>(random() % 3 ? random() : 0xff);
      tb::FillSbuf(*device, p, s.address, in[p]);
    }
    Counter done = b.NewCounter("transposed");
    if (bytes == 4) {
      const Tensor t = b.PsumBank("t", 1, Dtype::kFp32, {m, k});
      b.Transpose(t, s, {{}, done.Tick(), false});
      Tensor out = d;
      out.dtype = Dtype::kFp32;  // fp32 to fp32 keeps all bits
      b.Cast(out, t, {}, {{done.Until(1)}, {}, false});
    } else {
      for (std::uint8_t byte = 0; byte < bytes; ++byte) {
        const Tensor t = b.PsumBank("t", byte, Dtype::kInt32, {m, k});
        b.TransposeByte(t, s, byte, {{}, done.Tick(), false});
        Tensor plane = d;  // one byte of every element
        plane.dtype = Dtype::kInt8;
        plane.address += byte;
        plane.dims[1].step = bytes;
        b.Cast(plane, t, {}, {{done.Until(byte + 1u)}, {}, false});
      }
    }
    device->Run(b.Take());
    for (std::uint32_t p = 0; p < m; ++p) {
      std::vector<std::uint8_t> got(k * bytes), want(k * bytes);
      device->ReadSbuf(p, static_cast<std::uint32_t>(d.address),
                       std::as_writable_bytes(std::span(got)));
      for (std::uint32_t i = 0; i < k; ++i) {
        std::memcpy(&want[i * bytes], &in[i][p * bytes], bytes);
      }
      REQUIRE(got == want);
    }
  }
}

TEST_CASE("bf16 lands in PSUM as the fp32 of its value, others right-justified", "[array]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  const std::pair<Dtype, std::uint32_t> cases[] = {{Dtype::kBf16, 0x7f810000},
                                                   {Dtype::kFp16, 0x7f81},
                                                   {Dtype::kFp8E5M2, 0xffffff81},
                                                   {Dtype::kInt32, 0xc3a57f81}};
  for (const auto& [type, want] : cases) {
    ProgramBuilder b(device->config());
    const Tensor s = b.Sbuf("s", type, {1, 1});
    const Tensor d = b.PsumBank("d", 3, Dtype::kInt32, {1, 1});
    tb::FillSbuf(*device, 0, s.address, std::vector<std::uint32_t>{0xc3a57f81});
    b.Transpose(d, s);
    device->Run(b.Take());
    CHECK(Words(*device, d) == std::vector<std::uint32_t>{want});
  }
}

TEST_CASE("a matmul of formats that don't go together stops precisely and changes nothing",
          "[array]") {
  auto device = tb::MakeDevice(tb::Options("nano"));
  ProgramBuilder b(device->config());
  const std::uint32_t rows = device->config().rows;
  const Tensor w = b.Sbuf("w", Dtype::kBf16, {rows, rows});
  const Tensor x = b.Sbuf("x", Dtype::kBf16, {rows, 16});
  const Tensor c = b.PsumBank("c", 0, Dtype::kFp32, {rows, 16});
  b.Matmul(c, w, x);
  const isa::Encoded good = b.program()[Queue::kTensor][0];
  Fill(*device, w, [] { return 1.0f; });
  Fill(*device, x, [] { return 2.0f; });
  struct Case {
    const char* what;
    void (*change)(isa::EngineInstr&);
    Err err;
    std::uint8_t operand;
  };
  const Case cases[] = {
      {"a reserved dtype", [](isa::EngineInstr& i) { i.dtype_0 = 9; }, Err::kBadDtype, 1},
      {"int8 times bf16", [](isa::EngineInstr& i) { i.dtype_0 = 6; }, Err::kBadDtype, 1},
      {"int8 into fp32", [](isa::EngineInstr& i) { i.dtype_0 = i.dtype_1 = 6; }, Err::kBadDtype, 1},
      {"bf16 into int32", [](isa::EngineInstr& i) { i.dtype_d = 7; }, Err::kBadDtype, 1},
      {"into bf16", [](isa::EngineInstr& i) { i.dtype_d = 2; }, Err::kBadDtype, 0},
      {"a piece that bf16 lacks", [](isa::EngineInstr& i) { i.piece_1 = 1; }, Err::kBadDtype, 2},
      {"the fourth piece of fp32",
       [](isa::EngineInstr& i) { i.dtype_0 = 1, i.piece_0 = 3; }, Err::kBadDtype, 1},
      {"K over half the array in two tiles", [](isa::EngineInstr& i) { i.tiles = 1, i.parts_d /= 2; },
       Err::kBadPartition, 1},
      {"M over half the array in two tiles", [](isa::EngineInstr& i) { i.tiles = 1, i.parts /= 2; },
       Err::kBadPartition, 0},
      {"eight tiles", [](isa::EngineInstr& i) { i.tiles = 3; }, Err::kBadFunc, 0},
  };
  for (const Case& bad : cases) {
    INFO(bad.what);
    isa::EngineInstr i = isa::DecodeEngineInstr(good);
    bad.change(i);
    for (std::uint32_t p = 0; p < rows; ++p) {
      const std::vector<std::uint32_t> old(16, 0x12345678);
      device->WritePsum(p, 0, std::as_bytes(std::span(old)));
    }
    ProgramBuilder program(device->config());
    program.Raw(Queue::kTensor, isa::Encode(i));
    program.Raw(Queue::kTensor, good);  // must not start
    try {
      device->Run(program.Take());
      FAIL("not refused");
    } catch (const ProgramFailed& failed) {
      REQUIRE(failed.records().size() == 1);
      const ErrorRecord& record = failed.records()[0];
      CHECK(record.queue == Queue::kTensor);
      CHECK(record.index == 0);
      CHECK(record.cause == bad.err);
      CHECK(record.operand == bad.operand);
    }
    CHECK(Words(*device, c) == std::vector<std::uint32_t>(rows * 16, 0x12345678));
    device->ResetQueues();
  }
}

}  // namespace dither
