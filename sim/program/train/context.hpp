// What the parts of a step share: the flow of instructions, constants on chip, activations in their
// layouts. Private to sim/program/train; callers see step.hpp.
//
//   F  [rows][feature tiles][batch]       features on partitions
//   B  [rows][batch tiles][features]      the batch on partitions
//   C  [channels][batch][height][width]   pictures, their channels on partitions
//
// A tile is what lies on all partitions at once, `rows` elements; the last one of a dimension may have
// fewer. What is there in one layout is brought into another where it is first asked for: F and B are
// transposed into each other by the array, B and C are copied by DMA.
//
// Errors  TrainError: a batch that no PSUM bank holds; ProgramError, of Flow: SBUF is full
// Test  tb/system/train_test.cpp
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/program/flow.hpp"
#include "sim/program/train/network.hpp"
#include "sim/program/train/step.hpp"

namespace dither::train {

inline constexpr std::uint32_t kBank = isa::kPsumBankWords;
inline constexpr std::uint32_t kGroupBanks = isa::kPsumBanks / 2;  // the others are being emptied

// Index `index` of dimension `dim`, which goes away.
Tensor Pick(const Tensor& t, std::size_t dim, std::uint32_t index);

// Calls f(first tile, tiles, elements of each): the whole tiles in groups of at most `group`, then the
// one that is not whole.
template <typename F>
void ForTiles(std::uint32_t total, std::uint32_t rows, std::uint32_t group, F&& f) {
  const std::uint32_t whole = total / rows;
  for (std::uint32_t t = 0; t < whole; t += group) f(t, std::min(group, whole - t), rows);
  if (total % rows != 0) f(whole, 1u, total % rows);
}

// Activations or their gradients on chip, in one layout or several.
struct Value {
  std::string name;
  std::uint32_t features = 0;
  isa::Dtype dtype = isa::Dtype::kBf16;
  std::optional<Tensor> f{}, b{}, c{};
  std::vector<Value> z{};                  // none, or one: before the activation, where the way back needs it
  std::array<std::uint32_t, 3> picture{};  // channels, height, width, if it is one

  // What the slope of the activation is taken of.
  Value& SlopeInput() { return z.empty() ? *this : z[0]; }
};

// Slots in SBUF that are used in turn: `elements` of every partition each. Takes all or none.
class Ring {
 public:
  Ring(Flow& flow, const std::string& name, isa::Dtype dtype, std::uint32_t elements, std::uint32_t slots);
  // The next slot as a tensor of this shape.
  Tensor Next(const std::vector<std::uint32_t>& shape);
  void Free(Flow& flow);

 private:
  std::vector<Tensor> slots_;
  std::size_t next_ = 0;
};

struct StepContext {
  StepContext(const isa::Config& config, const TrainerOptions& options, const Network& network, std::uint32_t batch,
              bool training);
  StepContext(const StepContext&) = delete;
  StepContext& operator=(const StepContext&) = delete;

  std::uint32_t Tiles(std::uint32_t elements) const { return (elements + rows - 1) / rows; }
  // Elements of a tile.
  std::uint32_t Part(std::uint32_t total, std::uint32_t tile) const { return std::min(rows, total - tile * rows); }
  static Narrowing Rounding(isa::Round round, isa::Dtype dtype);

  // The value in a layout.
  const Tensor& F(Value& v);
  const Tensor& B(Value& v);
  const Tensor& C(Value& v);
  void DropF(Value& v);
  void DropB(Value& v);
  void Drop(Value& v);  // all layouts, z too

  // A row of DRAM, [1][n], in every partition.
  Tensor LoadRow(const std::string& name, const Tensor& dram);
  // A product that counts as work of the network, where flow.Product does not.
  void Product(const Tensor& dst, const Tensor& stationary, const Tensor& moving, bool accumulate);

  Flow flow;
  const TrainerOptions& options;
  const NumericMode& mode;
  const Network& net;
  const std::uint32_t rows, batch;
  const bool training;
  // Constants, from the beginning to the end: compute dtype [rows][rows] and [rows][1].
  Tensor identity, ones;
  // Weights on their way to the array: [parts][up to stripe_columns].
  std::optional<Ring> stripes;
  std::uint32_t stripe_columns = 0;
  // For StepProgram.
  std::vector<StepProgram::Setting> settings;
  std::uint64_t array_columns = 0;

 private:
  void CopyPictures(Value& v, bool to_c);
};

}  // namespace dither::train
