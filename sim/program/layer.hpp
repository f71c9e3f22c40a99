// One dense layer after another on a core, all queues overlapped: what gemm.hpp and mlp.hpp build
// on.
//
//   DRAM ──dma0──► X ring, W ring ──tensor──► PSUM banks ──vector/scalar──► out ring ──dma1──► DRAM
//                                                                     └──► activations in SBUF
//
// out[M][N] = func(W[K][M]^T * X[K][N] + bias). K is cut into stripes of `rows` partitions, M into
// tiles of `rows`, up to four tiles a group, each in a PSUM bank of its own; the other banks are
// being emptied. Inside a group the stripes are the outer loop, so a stripe that arrives gives work
// for the whole group. Rings are caches with FIFO replacement: when all stripes of a layer fit,
// later groups find them there.
//
// Every producer counts its events in one semaphore (Counter); consumers wait for counts. A wait
// that an earlier instruction of the same queue has made already is left out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/program/builder.hpp"

namespace dither {

enum class Evacuate : std::uint8_t { kVector, kScalar, kBoth };

class LayerPipeline {
 public:
  static constexpr std::uint32_t kMaxColumns = isa::kPsumBankWords;
  static constexpr std::uint32_t kGroupTiles = isa::kPsumBanks / 2;

  struct Sizes {
    std::uint32_t columns = 0;    // most columns of a layer call
    std::uint32_t x_slots = 0;  // stripes of X in SBUF, 0 if no layer reads X from DRAM, else >= 2
    std::uint32_t w_columns = 0;  // columns of W in a slot
    std::uint32_t w_slots = 0;    // >= 2
    std::uint32_t out_slots = 0;  // >= 2
    isa::Dtype x_dtype = isa::Dtype::kBf16, w_dtype = isa::Dtype::kBf16;
    isa::Dtype out_dtype = isa::Dtype::kFp32;
  };
  LayerPipeline(ProgramBuilder& builder, const Sizes& sizes);

  // Activations that stay on chip: tile t is [rows][N] at dimension 1 index t, and is there once
  // the scalar engine has counted ready[t].
  struct Activations {
    Tensor tensor;  // [rows][tiles][columns]
    std::vector<std::uint64_t> ready;
  };
  struct Bias {
    Tensor tensor;  // SBUF fp32 [rows][tiles]
    Wait loaded;
    std::uint64_t loaded_count = 0;
  };
  struct Layer {
    std::string name;
    Tensor weights;                     // DRAM [K][M]
    std::optional<Tensor> input;        // DRAM [K][N], or
    const Activations* from = nullptr;  // activations of an earlier layer
    std::optional<Tensor> output;       // DRAM [M][N], or
    Activations* to = nullptr;          // activations for a later layer
    std::uint32_t columns = 0;          // N
    const Bias* bias = nullptr;         // needs kScalar
    isa::ActFunc func = isa::ActFunc::kIdentity;
    Evacuate evacuate = Evacuate::kBoth;
    Narrowing narrowing;
  };
  void Run(const Layer& layer);
  void Finish();  // emits what is still held back

 private:
  struct Load {
    std::uint64_t count;    // of the load counter
    std::uint64_t te_need;  // tensor engine events that ring 0 needs to get here
  };
  struct Piece {
    std::uint32_t begin, columns;
    Load load;
  };
  struct Slot {
    Tensor tensor;
    std::uint64_t key = 0;
    std::uint64_t free_at = 0;  // tensor engine count
    std::vector<Piece> pieces;
  };
  struct Ring {
    std::vector<Slot> slots;
    std::size_t next = 0;
  };
  struct Matmul {
    Tensor dst, stationary, moving;
    MatmulOptions options;
    std::optional<Load> load;
    std::vector<Wait> waits;
    std::optional<Signal> signal;
    std::uint64_t te_before = 0;
  };

  Slot* Find(Ring& ring, std::uint64_t key);
  Slot& Fetch(Ring& ring, std::uint64_t key, const Tensor& source, std::uint32_t pieces);
  std::optional<Wait> Need(isa::Queue queue, const Counter& counter, std::uint64_t count);
  void Push(Matmul matmul);
  void EvacuateTile(const Layer& layer, std::uint32_t tile, std::uint32_t bank,
                    std::uint64_t te_done);

  ProgramBuilder& b_;
  std::uint32_t rows_;
  Sizes sizes_;
  Counter loads_, te_, vector_, scalar_, stores_;
  Ring x_, w_, out_;
  std::map<std::pair<isa::Queue, std::uint8_t>, std::uint64_t> seen_;
  std::array<std::uint64_t, isa::kPsumBanks> bank_free_{};  // count of the bank's engine
  std::array<bool, isa::kPsumBanks> bank_scalar_{};
  std::uint32_t next_bank_ = 0;
  std::uint64_t ring0_te_need_ = 0;
  std::uint64_t calls_ = 0;
  bool first_x_ = true;
  std::optional<Matmul> held_;
};

}  // namespace dither
