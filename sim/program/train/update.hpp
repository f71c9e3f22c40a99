// The optimiser's update of one parameter, part by part as its gradient comes: weights and state are
// loaded into slots, changed by the vector and scalar engines, stored again. Private to
// sim/program/train.
//
//   ParameterUpdate update(s, parameter, elements);   // no part has more elements of a partition
//   update.Part(view, gradient);  ...                  // fp32, PSUM or SBUF
//   update.Close();
//
// The slots are as many as SBUF has room for, up to four. The end of a part is emitted behind the
// beginning of the next one, so that one engine need not wait for the other. The numbers that change from
// step to step are noted in StepContext::settings.
//
// Errors  ProgramError, of Flow: not even one slot fits SBUF
// Test  tb/system/train_test.cpp
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "sim/program/train/context.hpp"

namespace dither::train {

class ParameterUpdate {
 public:
  using View = std::function<Tensor(const Tensor& dram)>;
  using Copy = std::function<void(const Tensor& to, const Tensor& from)>;

  ParameterUpdate(StepContext& s, const Parameter& parameter, std::uint32_t elements);
  ParameterUpdate(const ParameterUpdate&) = delete;
  ParameterUpdate& operator=(const ParameterUpdate&) = delete;

  // view: of a DRAM tensor of the parameter's shape the part that goes with `gradient`, in its shape.
  void Part(const View& view, const Tensor& gradient);
  // load(slot, DRAM tensor) and store(DRAM tensor, slot) move the part that goes with `gradient`.
  void PartBy(const Copy& load, const Copy& store, const Tensor& gradient);
  void Close();  // finishes the last part, gives the slots back

 private:
  void TakeSlots(std::uint32_t elements);
  void FinishPart();
  bool Adam() const;
  bool Decays() const;
  void BeginSgd(const Tensor& gradient, const Tensor& w, const std::vector<Tensor>& state,
                const std::optional<Tensor>& u);
  void BeginAdam(const Tensor& gradient, const std::vector<Tensor>& state, const Tensor& u);
  void EndAdam(const Tensor& w, const std::vector<Tensor>& state, const Tensor& u);
  void StoreCopy(const Tensor& w, const Copy& store);
  void Set(Flow::Place place, Knob knob) { s_.settings.push_back({place, knob}); }

  StepContext& s_;
  const Parameter& parameter_;
  const OptimizerSpec& optimizer_;
  const Narrowing weight_narrow_, state_narrow_;
  std::uint32_t slots_ = 0;
  std::optional<Ring> weights_, copies_, temporary_;
  std::vector<Ring> states_;
  std::function<void()> finish_;  // what is left to do for the part begun last
};

// The gradient of something that is added to every example is the sum over the batch of `gradient`, and
// its update. As the parameter lies: [1][units], of B and made by a product with ones, or
// [partition][tile], of F and made by adding up.
void UpdateBySumOverBatch(StepContext& s, const Parameter& parameter, std::uint32_t units, const Tensor& gradient);

}  // namespace dither::train
