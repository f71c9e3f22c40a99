// What the functional model's tests share: a model full of noise with a builder, and a check that an
// instruction writes nothing but its footprint.
#pragma once

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

#include "sim/model/functional.hpp"
#include "sim/program/builder.hpp"
#include "tb/system/make_device.hpp"

namespace dither::tb {

using isa::Queue;
using Memory = WriteRange::Memory;

// Bytes of the on-chip and off-chip memories in one row, to compare before and after.
struct Snapshot {
  std::vector<std::uint8_t> sbuf, psum, dram;
};
inline Snapshot Take(const FunctionalModel& model) {
  return {model.memory().sbuf, model.memory().psum, model.dram().bytes};
}

// Executes and requires that exactly bytes of the footprint may have changed.
inline void ExecuteInside(FunctionalModel& model, Queue queue, const isa::Encoded& encoded) {
  Snapshot before = Take(model);
  REQUIRE(model.Execute(queue, encoded).err == isa::Err::kNone);
  for (const WriteRange& r : WriteFootprint(queue, encoded, model.config().rows, &model.memory())) {
    for (std::uint32_t p = r.part; p < r.part + r.parts; ++p) {
      std::vector<std::uint8_t>& old = r.memory == Memory::kSbuf   ? before.sbuf
                                       : r.memory == Memory::kPsum ? before.psum
                                                                   : before.dram;
      const std::vector<std::uint8_t>& now = r.memory == Memory::kSbuf   ? model.memory().sbuf
                                             : r.memory == Memory::kPsum ? model.memory().psum
                                                                         : model.dram().bytes;
      const std::uint64_t base = r.memory == Memory::kSbuf
                                     ? std::uint64_t{p} * model.config().sbuf_bytes
                                 : r.memory == Memory::kPsum ? std::uint64_t{p} * isa::kPsumBytes
                                                             : 0 - model.dram().base;
      REQUIRE(base + r.end <= now.size());
      std::copy(now.begin() + static_cast<long>(base + r.begin),
                now.begin() + static_cast<long>(base + r.end),
                old.begin() + static_cast<long>(base + r.begin));
    }
  }
  REQUIRE(before.sbuf == model.memory().sbuf);
  REQUIRE(before.psum == model.memory().psum);
  REQUIRE(before.dram == model.dram().bytes);
}

struct Rig {
  explicit Rig(unsigned seed, const isa::Config& config = isa::kConfigs[0])
      : model(config, 0x1000, 1 << 16), builder(config), random(seed) {
    for (auto& byte : model.memory().sbuf) byte = static_cast<std::uint8_t>(random());
    for (auto& byte : model.memory().psum) byte = static_cast<std::uint8_t>(random());
    for (auto& byte : model.dram().bytes) byte = static_cast<std::uint8_t>(random());
    model.SetPsumWritten(0xff);  // what was filled here may be accumulated onto
  }
  isa::Encoded Last(Queue queue) const { return builder.program()[queue].back(); }
  // Fills a tensor with values drawn from `draw` (rounded to its dtype).
  template <typename Draw>
  void Fill(const Tensor& t, Draw&& draw) {
    ForEach(t, [&](std::uint8_t* at, std::size_t) {
      const std::uint32_t bits =
          NarrowFromFp32(t.dtype, Bits(draw()), isa::Round::kRne, true, 0);
      std::memcpy(at, &bits, t.ElementBytes());
    });
  }
  std::vector<double> Values(const Tensor& t) {
    std::vector<double> values;
    ForEach(t, [&](const std::uint8_t* at, std::size_t) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, at, t.ElementBytes());
      values.push_back(Value(t.dtype, bits));
    });
    return values;
  }
  // Row-major over an on-chip tensor of two dimensions.
  template <typename F>
  void ForEach(const Tensor& t, F&& f) {
    std::size_t n = 0;
    for (std::uint32_t p = 0; p < t.Size(0); ++p) {
      for (std::uint32_t e = 0; e < t.Size(1); ++e) {
        const auto space = t.place == Place::kPsum ? isa::Space::kPsum : isa::Space::kSbuf;
        f(model.memory().Of(space, t.part + p) + t.address +
              static_cast<std::int64_t>(e) * t.dims[1].step * t.ElementBytes(), n++);
      }
    }
  }
  FunctionalModel model;
  ProgramBuilder builder;
  std::mt19937 random;
};

}  // namespace dither::tb
