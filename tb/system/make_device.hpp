// The device under test of every file in this folder: tb/system is compiled once per backend,
// linked with that backend's MakeDevice. Data helpers of the tests are here too.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "sim/device/device.hpp"
#include "sim/golden/golden.hpp"
#include "sim/model/formats.hpp"
#include "sim/program/tensor.hpp"

namespace dither::tb {

std::unique_ptr<Device> MakeDevice(const DeviceOptions& options = {});

// Options of a named configuration with little DRAM.
inline DeviceOptions Options(std::string_view config, std::uint64_t dram_bytes = 4 << 20) {
  DeviceOptions options;
  options.dram_bytes = dram_bytes;
  for (const isa::Config& c : isa::kConfigs) {
    if (c.name == config) options.config = c;
  }
  return options;
}

inline std::uint32_t Bits(float value) { return std::bit_cast<std::uint32_t>(value); }
inline double Value(isa::Dtype dtype, std::uint32_t bits) {
  switch (dtype) {
    case isa::Dtype::kInt8: return static_cast<std::int8_t>(bits);
    case isa::Dtype::kInt32: return static_cast<std::int32_t>(bits);
    case isa::Dtype::kBf16: return golden::ValueOf(bits, 8, 7);
    case isa::Dtype::kFp16: return golden::ValueOf(bits, 5, 10);
    case isa::Dtype::kFp8E4M3: return golden::ValueOf(bits, 4, 3, true);
    case isa::Dtype::kFp8E5M2: return golden::ValueOf(bits, 5, 2);
    default: return golden::ValueOf(bits, 8, 23);
  }
}

// A tensor's worth of elements as bytes, values drawn by `draw` and rounded to the dtype; `values`
// gets what was stored.
template <typename Draw>
std::vector<std::uint8_t> RandomBytes(isa::Dtype dtype, std::size_t count, Draw&& draw,
                                      std::vector<double>* values = nullptr) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits =
        NarrowFromFp32(dtype, Bits(static_cast<float>(draw())), isa::Round::kRne, true, 0);
    for (std::uint32_t b = 0; b < isa::DtypeBytes(dtype); ++b) {
      bytes.push_back(static_cast<std::uint8_t>(bits >> (8 * b)));
    }
    if (values) values->push_back(Value(dtype, bits));
  }
  return bytes;
}

// A DRAM tensor filled with random values; `values` as above.
template <typename Draw>
Tensor RandomTensor(Device& device, std::string name, isa::Dtype dtype,
                    const std::vector<std::uint32_t>& shape, Draw&& draw,
                    std::vector<double>* values = nullptr) {
  std::uint64_t count = 1;
  for (const std::uint32_t size : shape) count *= size;
  const auto bytes = RandomBytes(dtype, count, draw, values);
  const std::uint64_t address = device.Allocate(bytes.size());
  device.WriteArray(address, bytes);
  return Tensor::Dram(std::move(name), address, dtype, shape);
}

inline Tensor EmptyTensor(Device& device, std::string name, isa::Dtype dtype,
                          const std::vector<std::uint32_t>& shape, std::uint8_t fill = 0xa5) {
  Tensor t = Tensor::Dram(std::move(name), 0, dtype, shape);
  t.address = device.Allocate(t.Bytes());
  device.WriteArray(t.address, std::vector<std::uint8_t>(t.Bytes(), fill));
  return t;
}

template <typename T>
void FillSbuf(Device& device, std::uint32_t part, std::uint64_t offset,
              const std::vector<T>& data) {
  device.WriteSbuf(part, static_cast<std::uint32_t>(offset), std::as_bytes(std::span(data)));
}

inline std::uint32_t BitsAt(const std::vector<std::uint8_t>& bytes, isa::Dtype dtype,
                            std::size_t index) {
  const std::uint32_t size = isa::DtypeBytes(dtype);
  std::uint32_t bits = 0;
  for (std::uint32_t b = 0; b < size; ++b) {
    bits |= static_cast<std::uint32_t>(bytes[index * size + b]) << (8 * b);
  }
  return bits;
}

// Values of a contiguous DRAM tensor.
inline std::vector<double> Values(Device& device, const Tensor& t) {
  const auto bytes = device.ReadArray<std::uint8_t>(t.address, t.Bytes());
  std::vector<double> values;
  for (std::size_t i = 0; i < t.Elements(); ++i) {
    values.push_back(Value(t.dtype, BitsAt(bytes, t.dtype, i)));
  }
  return values;
}

inline golden::Matrix AsMatrix(std::size_t rows, std::size_t columns, std::vector<double> values) {
  golden::Matrix m;
  m.rows = rows;
  m.columns = columns;
  m.values = std::move(values);
  return m;
}

// Largest relative error of one rounding to the dtype (half a unit in the last place).
inline double HalfUnit(isa::Dtype dtype) {
  switch (dtype) {
    case isa::Dtype::kBf16: return std::ldexp(1, -8);
    case isa::Dtype::kFp16: return std::ldexp(1, -11);
    case isa::Dtype::kFp8E4M3: return std::ldexp(1, -4);
    case isa::Dtype::kFp8E5M2: return std::ldexp(1, -3);
    default: return std::ldexp(1, -24);
  }
}

// The golden kernel of a function of `tensor` on floats, and the other way round. golden::Binary has the
// order of VecFunc without copy, and without the functions of words that come between.
inline golden::Binary BinaryOf(isa::VecFunc func) {
  const int code = static_cast<int>(func), words = static_cast<int>(isa::VecFunc::kAnd);
  return static_cast<golden::Binary>(code < words ? code - 1 : code - 7);
}
inline isa::VecFunc FuncOf(golden::Binary op) {
  const int index = static_cast<int>(op) + 1, words = static_cast<int>(isa::VecFunc::kAnd);
  return static_cast<isa::VecFunc>(index < words ? index : index + 6);
}

}  // namespace dither::tb
