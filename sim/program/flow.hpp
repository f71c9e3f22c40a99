// Instructions in the order in which they are written down, and the waits that keep it.
//
// A Flow is a ProgramBuilder whose callers name operands and nothing else: it knows which bytes of
// SBUF, PSUM and DRAM every instruction reads and writes, and gives each one the waits without which
// it could run too early. The queues overlap as far as the data allow; what a program computes is
// what its instructions would compute one after the other.
//
//   every instruction counts in the semaphore of its queue;
//   last[line] = who wrote these 64 bytes last, and which instruction of each queue read them since;
//   an instruction waits for the writers of what it reads (and writes) and the readers of what it
//   writes, but not for what its queue has waited for already, nor for what follows from another
//   wait: an instruction that has retired has seen all that its own queue had waited for.
//
// SBUF is handed out first fit and may be given back at once, as the next owner waits like any other
// writer. PSUM banks go round. Test  tb/program/flow_test.cpp
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sim/program/builder.hpp"

namespace dither {

class Flow {
 public:
  explicit Flow(const isa::Config& config);

  struct Place {  // of an instruction
    isa::Queue queue;
    std::size_t index;
  };

  const isa::Config& config() const { return builder_.config(); }
  std::uint32_t rows() const { return builder_.rows(); }

  // ---- memory
  // Bytes of every partition; ProgramError with need and room if there is none.
  Tensor Sbuf(const std::string& name, isa::Dtype dtype, const std::vector<std::uint32_t>& shape);
  void Free(const Tensor& tensor);  // one that Sbuf gave, whole
  std::uint32_t SbufFree() const;   // bytes of a partition, in one piece
  // The next bank that nobody holds, as [parts][words]. It comes round again after as many others as
  // there are free banks; one that has to last longer is held until Release.
  Tensor Psum(const std::string& name, std::uint32_t parts, std::uint32_t words, bool hold = false);
  void Release(const Tensor& psum);

  // What the next instructions belong to: "dense2 weight gradient". Names their destinations too.
  void Label(std::string text) { label_ = std::move(text); }

  // ---- instructions, as in ProgramBuilder
  void Matmul(const Tensor& dst, const Tensor& stationary, const Tensor& moving,
              MatmulOptions options = {});
  // All pieces of fp16 and fp32 operands, one matmul otherwise.
  void Product(const Tensor& dst, const Tensor& stationary, const Tensor& moving, bool accumulate);
  void Elementwise(isa::VecFunc func, const Tensor& dst, const Source0& a, const Value& b,
                   Narrowing narrowing = {});
  void TwoSteps(const Tensor& dst, const Source0& a, const Step& first, const Step& second,
                Narrowing narrowing = {});
  void Cast(const Tensor& dst, const Tensor& src, Narrowing narrowing = {});
  void Reduce(isa::RedFunc func, const Tensor& dst, const Tensor& src, std::size_t reduced = 1,
              Narrowing narrowing = {});
  void Stats(const Tensor& dst, const Tensor& src, std::size_t reduced = 1, Narrowing narrowing = {});
  void Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale, const Tensor& bias,
           Narrowing narrowing = {});
  void Act(isa::ActFunc func, const Tensor& dst, const Tensor& src, float scale = 1.0f,
           float bias = -0.0f, Narrowing narrowing = {});
  void Copy(isa::Queue ring, const Tensor& dst, const Tensor& src);
  void Load(const Tensor& dst, const Tensor& src) { Copy(isa::Queue::kDma0, dst, src); }
  void Store(const Tensor& dst, const Tensor& src) { Copy(isa::Queue::kDma1, dst, src); }
  // Count as reading or writing the whole table; or a part of it, if the caller knows that lists which
  // meet have parts which do.
  void Gather(isa::Queue ring, const Tensor& dst, const Tensor& table, const Tensor& list,
              const std::optional<Tensor>& counts_as = {});
  void Scatter(isa::Queue ring, const Tensor& table, const Tensor& src, const Tensor& list,
               const std::optional<Tensor>& counts_as = {});
  // dst = src, on whichever of vector and scalar engine has had less to do.
  void Move(const Tensor& dst, const Tensor& src, Narrowing narrowing = {});
  // dst = a * s + b, one rounding to fp32, on the engine that has had less to do where both can. The
  // number s is imm0 of the instruction that is returned.
  Place MulAdd(const Tensor& dst, const Tensor& a, float s, const Tensor& b, Narrowing narrowing = {});
  // dst = y > 0 ? x : 0, the way back through relu.
  void GateRelu(const Tensor& dst, const Tensor& y, const Tensor& x, Narrowing narrowing = {});

  // ---- the result
  Place Last(isa::Queue queue) const;  // the instruction emitted last in a queue
  std::uint64_t DramRead() const { return dram_read_; }  // bytes that copies move
  std::uint64_t DramWritten() const { return dram_written_; }
  std::size_t nops() const { return nops_; }
  // Labels of the instructions of a queue, by index.
  const std::vector<std::string>& Labels(isa::Queue queue) const {
    return labels_[static_cast<std::size_t>(queue)];
  }
  const Program& program() const { return builder_.program(); }
  Program Take() { return builder_.Take(); }

 private:
  using Clock = std::array<std::uint32_t, isa::kNumQueues>;
  struct Line {
    std::uint8_t writer = 0;     // queue
    std::uint32_t written = 0;   // its count, 0: nobody
    Clock read{};
  };
  struct Operands {
    std::vector<const Tensor*> reads, writes;  // none of them null
  };
  void Emit(isa::Queue queue, const Operands& operands, std::uint64_t work,
            const std::function<void(const Sync&)>& emit);
  template <typename F>
  void ForLines(const Tensor& tensor, F&& f);

  ProgramBuilder builder_;
  std::vector<Line> sbuf_, psum_;
  std::unordered_map<std::uint64_t, Line> dram_;
  std::array<Counter, isa::kNumQueues> counters_;
  std::array<std::vector<Clock>, isa::kNumQueues> clocks_;  // what queue q knew at its count n + 1
  std::array<Clock, isa::kNumQueues> known_{};
  std::array<std::uint64_t, isa::kNumQueues> work_{};
  std::array<std::vector<std::string>, isa::kNumQueues> labels_;
  std::map<std::uint32_t, std::uint32_t> free_;   // offset -> bytes
  std::map<std::uint32_t, std::uint32_t> taken_;  // offset -> bytes
  std::uint32_t next_bank_ = 0, held_banks_ = 0;  // held: a bit each
  std::uint64_t dram_read_ = 0, dram_written_ = 0;
  std::size_t nops_ = 0;
  std::string label_;
};

}  // namespace dither
