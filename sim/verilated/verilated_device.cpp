#include "sim/verilated/verilated_device.hpp"

#include <fmt/format.h>
#include <verilated.h>
#if VM_TRACE
#include <verilated_fst_c.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "Vdither_core.h"
#include "Vdither_core___024root.h"
#include "sim/model/functional.hpp"
#include "sim/program/disassemble.hpp"
#include "sim/verilated/axi_memory.hpp"

namespace dither {
namespace {

constexpr int kAxiBits = static_cast<int>(sizeof(Vdither_core::r_data_i)) * 8;

// Every memory bank of the core, by its path in the hierarchy.
#define DITHER_SBUF(b, g) \
  rootp->dither_core__DOT__u_sbuf__DOT__gen_bank__BRA__##b##__KET____DOT__gen_group__BRA__##g##__KET____DOT__u_sram__DOT__mem
#define DITHER_SBUF_0(b) DITHER_SBUF(b, 0)  // of each group of partitions
#define DITHER_SBUF_1(b) DITHER_SBUF(b, 1)
#define DITHER_SBUF_2(b) DITHER_SBUF(b, 2)
#define DITHER_SBUF_3(b) DITHER_SBUF(b, 3)
#define DITHER_PSUM(b) rootp->dither_core__DOT__u_psum__DOT__gen_bank__BRA__##b##__KET____DOT__u_ram__DOT__mem
#define DITHER_FRONT(signal) dut_->rootp->dither_core__DOT__u_front_end__DOT__##signal
#define DITHER_BANKS(M) {&M(0)[0], &M(1)[0], &M(2)[0], &M(3)[0], &M(4)[0], &M(5)[0], &M(6)[0], &M(7)[0]}

constexpr std::size_t kPsumLanes =
    sizeof(Vdither_core___024root::dither_core__DOT__u_psum__DOT__gen_bank__BRA__0__KET____DOT__u_ram__DOT__mem) / 4 /
    isa::kPsumBankWords;
constexpr std::size_t kSbufGroups = 4;
constexpr std::size_t kSbufLanes = kPsumLanes / kSbufGroups;  // of a group
constexpr std::size_t kSbufWords =                            // of a bank in one lane
    sizeof(Vdither_core___024root::
               dither_core__DOT__u_sbuf__DOT__gen_bank__BRA__0__KET____DOT__gen_group__BRA__0__KET____DOT__u_sram__DOT__mem) /
    8 / kSbufLanes;

class Core final : public VerilatedDevice {
 public:
  Core(const DeviceOptions& options, const VerilatedOptions& verilated)
      : VerilatedDevice(options), verilated_(verilated), dram_(options.dram_bytes) {
    if (options.config.name != VerilatedConfig().name) {
      throw LoadError(fmt::format("this program simulates the {} core, not {}: build with CONFIG={}",
                                  VerilatedConfig().name, options.config.name, options.config.name));
    }
    context_.randReset(verilated.random_state ? 2 : 0);
    context_.randSeed(static_cast<int>(verilated.seed & 0x7fffffff) | 1);
#if VM_TRACE
    context_.traceEverOn(!verilated.trace.empty());
#else
    if (!verilated.trace.empty()) throw LoadError("no waves: this program was built without TRACE=1");
#endif
    dut_ = std::make_unique<Vdither_core>(&context_, "dither");
    Vdither_core___024root* rootp = dut_->rootp;
    sbuf_[0] = DITHER_BANKS(DITHER_SBUF_0);
    sbuf_[1] = DITHER_BANKS(DITHER_SBUF_1);
    sbuf_[2] = DITHER_BANKS(DITHER_SBUF_2);
    sbuf_[3] = DITHER_BANKS(DITHER_SBUF_3);
    psum_ = DITHER_BANKS(DITHER_PSUM);
    axi_ = std::make_unique<AxiMemory<kAxiBits>>(BindAxi<kAxiBits>(*dut_), dram_, options.dram_base, verilated.seed);
    axi_->behaviour().read_latency = static_cast<int>(options.axi_latency);
    if (verilated.lockstep) {
      model_ = std::make_unique<FunctionalModel>(options.config, options.dram_base, options.dram_bytes);
    }
#if VM_TRACE
    if (!verilated.trace.empty()) {
      trace_ = std::make_unique<VerilatedFstC>();
      dut_->trace(trace_.get(), 99);
      trace_->open(verilated.trace.c_str());
      if (!trace_->isOpen()) throw LoadError(fmt::format("{}: cannot be written", verilated.trace));
    }
#endif
    dut_->s_aw_valid_i = dut_->s_w_valid_i = dut_->s_b_ready_i = dut_->s_ar_valid_i = dut_->s_r_ready_i = 0;
    dut_->clk_i = 0;
    dut_->rst_ni = 1;
    Evaluate();
    dut_->rst_ni = 0;
    for (int i = 0; i < 4; ++i) {
      dut_->clk_i = 1;
      Evaluate();
      dut_->clk_i = 0;
      Evaluate();
    }
    dut_->rst_ni = 1;
    FillMemories();
    Initialize();
    if (model_) {
      model_->SetWhiten((ReadCsr(isa::kCsrRngMode) & 1) != 0);
      for (const auto queue : {isa::Queue::kVector, isa::Queue::kScalar})
        for (std::uint32_t lane = 0; lane < config().rows; ++lane) SetModelRounder(queue, lane, RounderState(queue, lane));
    }
  }
  ~Core() override {
    // Verilator's scopes unregister from the thread's context, which may be another device's.
    Verilated::threadContextp(&context_);
    dut_->final();
#if VM_TRACE
    if (trace_) trace_->close();
#endif
  }

  std::string_view name() const override { return "rtl"; }
  std::uint64_t cycles() const override { return cycles_; }
  const ArrayActivity& Activity() const override { return activity_; }
  void ClearActivity() override { activity_ = {}; }
  std::uint64_t retired() const override { return retired_; }
  void OnRetire(RetireHook hook) override { hook_ = std::move(hook); }
  std::vector<std::string> AxiViolations() const override { return axi_->violations(); }

  void SetMemoryBehaviour(const MemoryBehaviour& b) override {
    auto& to = axi_->behaviour();
    to.ar_stall = to.r_stall = to.aw_stall = to.w_stall = to.b_stall = b.stall_percent;
    to.reorder = b.reorder;
    to.silent = b.silent;
    axi_->faults().clear();
    for (const auto& f : b.faults) {
      axi_->faults().push_back({f.first, f.last, f.decode ? AxiResp::kDecErr : AxiResp::kSlvErr});
    }
  }

  bool Advance(std::uint64_t max_cycles) override {
    for (std::uint64_t i = 0; i < max_cycles; ++i) {
      if (Quiet()) return true;
      Step();
    }
    return Quiet();
  }

  std::uint64_t CompareAll() override {
    if (!model_) throw DeviceError("the comparison needs a device made with lockstep");
    std::uint64_t bytes = 0;
    for (std::uint32_t part = 0; part < config().rows; ++part) {
      CompareOnChip(isa::Space::kSbuf, part, 0, config().sbuf_bytes, nullptr, "after the program");
      CompareOnChip(isa::Space::kPsum, part, 0, isa::kPsumBytes, nullptr, "after the program");
      bytes += config().sbuf_bytes + isa::kPsumBytes;
    }
    CompareDram(dram_base(), dram_limit(), nullptr, "after the program");
    for (const auto queue : {isa::Queue::kVector, isa::Queue::kScalar}) {
      for (std::uint32_t lane = 0; lane < config().rows; ++lane) {
        const std::uint32_t rtl = RounderState(queue, lane);
        const std::uint32_t model =
            queue == isa::Queue::kVector ? model_->VectorRounder(lane) : model_->ScalarRounder(lane);
        if (rtl != model) {
          throw Mismatch(fmt::format("after the program: rounder of {} lane {}: RTL 0x{:08x}, model 0x{:08x}",
                                     isa::Name(queue), lane, rtl, model));
        }
        bytes += 4;
      }
    }
    const NonfiniteRegisters counted = Nonfinite();
    if (counted != nonfinite_) {
      throw Mismatch(fmt::format("after the program: NONFINITE count, index, first: RTL {} {} {}, model {} {} {}",
                                 counted.count, counted.index, counted.first, nonfinite_.count, nonfinite_.index,
                                 nonfinite_.first));
    }
    return bytes + dram_.size();
  }

  void FlipSbufBit(std::uint32_t part, std::uint32_t offset, std::uint32_t bit) override {
    *SbufWord(part, offset / 8) ^= std::uint64_t{1} << (8 * (offset % 8) + bit);
  }

 protected:
  void DramWrite(std::uint64_t address, std::span<const std::byte> data) override {
    std::memcpy(dram_.data() + (address - dram_base()), data.data(), data.size());
    if (model_) std::memcpy(model_->dram().At(address), data.data(), data.size());
  }
  void DramRead(std::uint64_t address, std::span<std::byte> data) override {
    std::memcpy(data.data(), dram_.data() + (address - dram_base()), data.size());
  }

  bool CsrRead(std::uint32_t address, std::uint32_t* value) override {
    dut_->s_ar_valid_i = 1;
    dut_->s_ar_addr_i = static_cast<std::uint16_t>(address);
    Until([&] { return dut_->s_ar_ready_o; });
    dut_->s_ar_valid_i = 0;
    dut_->s_r_ready_i = 1;
    std::uint32_t data = 0;
    bool ok = false;
    Until([&] {
      data = dut_->s_r_data_o;
      ok = dut_->s_r_resp_o == 0;
      return dut_->s_r_valid_o;
    });
    dut_->s_r_ready_i = 0;
    *value = data;
    return ok;
  }

  bool CsrWrite(std::uint32_t address, std::uint32_t value) override {
    dut_->s_aw_valid_i = dut_->s_w_valid_i = 1;
    dut_->s_aw_addr_i = static_cast<std::uint16_t>(address);
    dut_->s_w_data_i = value;
    dut_->s_w_strb_i = 0xf;
    bool aw = false, w = false;
    Until([&] {
      aw = aw || dut_->s_aw_ready_o;
      w = w || dut_->s_w_ready_o;
      return true;
    });
    while (!aw || !w) {
      dut_->s_aw_valid_i = !aw;
      dut_->s_w_valid_i = !w;
      Until([&] {
        aw = aw || dut_->s_aw_ready_o;
        w = w || dut_->s_w_ready_o;
        return true;
      });
    }
    dut_->s_aw_valid_i = dut_->s_w_valid_i = 0;
    dut_->s_b_ready_i = 1;
    bool ok = false;
    Until([&] {
      ok = dut_->s_b_resp_o == 0;
      return dut_->s_b_valid_o;
    });
    dut_->s_b_ready_i = 0;
    if (ok) Shadow(address, value);
    return ok;
  }

  void BackDoor(isa::Space space, std::uint32_t part, std::uint32_t offset, std::span<std::byte> data,
                bool write) override {
    for (std::size_t i = 0; i < data.size(); ++i) {
      const auto at = static_cast<std::uint32_t>(offset + i);
      auto* byte = space == isa::Space::kPsum
                       ? reinterpret_cast<std::byte*>(PsumWord(part, at / 4)) + at % 4
                       : reinterpret_cast<std::byte*>(SbufWord(part, at / 8)) + at % 8;
      if (write) {
        *byte = data[i];
        if (model_) *reinterpret_cast<std::byte*>(model_->memory().Of(space, part) + at) = data[i];
      } else {
        data[i] = *byte;
      }
    }
  }

 private:
  std::uint64_t* SbufWord(std::uint32_t part, std::uint32_t word) {
    return sbuf_[part / kSbufLanes][word % isa::kSbufBanks] + part % kSbufLanes * kSbufWords + word / isa::kSbufBanks;
  }
  std::uint32_t* PsumWord(std::uint32_t part, std::uint32_t word) {
    return psum_[word / isa::kPsumBankWords] + part * isa::kPsumBankWords + word % isa::kPsumBankWords;
  }

  // The contract leaves power-up contents undefined; here they are zero, or random on request.
  void FillMemories() {
    std::mt19937_64 rng(verilated_.seed);
    for (std::uint32_t part = 0; part < config().rows; ++part) {
      for (std::uint32_t w = 0; w < config().sbuf_bytes / 8; ++w) {
        const std::uint64_t v = verilated_.random_state ? rng() : 0;
        *SbufWord(part, w) = v;
        if (model_) std::memcpy(model_->memory().Sbuf(part) + 8 * w, &v, 8);
      }
      for (std::uint32_t w = 0; w < isa::kPsumBytes / 4; ++w) {
        const std::uint32_t v = verilated_.random_state ? static_cast<std::uint32_t>(rng()) : 0;
        *PsumWord(part, w) = v;
        if (model_) std::memcpy(model_->memory().Psum(part) + 4 * w, &v, 4);
      }
    }
  }

  bool Quiet() const {
    // Two bits a queue: only running ones count.
    const std::uint32_t state = DITHER_FRONT(state);
    for (std::uint32_t q = 0; q < isa::kNumQueues; ++q) {
      if ((state >> (2 * q) & 3) == static_cast<std::uint32_t>(isa::QueueState::kRunning)) return false;
    }
    return true;
  }

  // A cycle in two evaluations: inputs change with the falling edge and settle, then the rising edge.
  void Settle() {
    axi_->Drive();
    dut_->clk_i = 0;
    Evaluate();
  }
  void Finish() {
    axi_->Sample();
    Watch();
    const std::uint32_t retire = dut_->retire_valid_o;
    std::array<std::uint32_t, isa::kNumQueues> index;
    if (retire) std::memcpy(index.data(), &dut_->retire_index_o, sizeof index);
    dut_->clk_i = 1;
    Evaluate();
    ++cycles_;
    if (model_) CompareErrors();  // before what retired in the same cycle: the RTL couldn't know of it
    for (std::uint32_t q = 0; retire >> q; ++q) {
      if (retire >> q & 1) Retire(static_cast<isa::Queue>(q), index[q]);
    }
  }
  // The tensor engine is queue 0: lowest bit of `busy`, lowest byte of `work`.
  void Watch() {
    const auto* root = dut_->rootp;
    if (!(root->dither_core__DOT__busy & 1)) return;
    if (activity_.first_busy == 0) activity_.first_busy = cycles_;
    activity_.last_busy = cycles_;
    activity_.stalls += root->dither_core__DOT__stall & 1;
    if (!(root->dither_core__DOT__work & 0xff)) return;
    if (activity_.columns++ == 0) activity_.first_column = cycles_;
    activity_.last_column = cycles_;
  }
  void Step() {
    Settle();
    Finish();
  }
  void Evaluate() {
    dut_->eval();
#if VM_TRACE
    if (trace_) trace_->dump(context_.time());
#endif
    context_.timeInc(1);
  }
  // Steps until the condition, looked at before each rising edge, held.
  template <typename F>
  void Until(F done) {
    for (int i = 0; i < 100000; ++i) {
      Settle();
      const bool stop = done();
      Finish();
      if (stop) return;
    }
    throw TimeoutError("AXI4-Lite: the core does not answer");
  }

  // What the host set up, for the lockstep partner.
  void Shadow(std::uint32_t address, std::uint32_t value) {
    for (std::uint32_t q = 0; q < isa::kNumQueues; ++q) {
      auto& ring = rings_[q];
      const std::uint32_t at = QueueCsr(static_cast<isa::Queue>(q), 0);
      if (address == at + isa::kCsrQueueBaseLo) ring.base = (ring.base & ~0xffffffffull) | value;
      if (address == at + isa::kCsrQueueBaseHi) ring.base = (ring.base & 0xffffffffull) | std::uint64_t{value} << 32;
      if (address == at + isa::kCsrQueueSize) ring.size = value;
      if (address == at + isa::kCsrQueueTail) ring.tail = value;
    }
    if (!model_) return;
    auto& limits = model_->limits();
    const auto low = [value](std::uint64_t& v) { v = (v & ~0xffffffffull) | value; };
    const auto high = [value](std::uint64_t& v) { v = (v & 0xffffffffull) | std::uint64_t{value} << 32; };
    if (address == isa::kCsrNonfiniteCount) nonfinite_ = {};  // exact when the tensor queue is quiet
    if (address == isa::kCsrDramBaseLo) low(limits.dram_base);
    if (address == isa::kCsrDramBaseHi) high(limits.dram_base);
    if (address == isa::kCsrDramLimitLo) low(limits.dram_limit);
    if (address == isa::kCsrDramLimitHi) high(limits.dram_limit);
    const auto rounder = [&](isa::Queue queue, std::uint32_t base) {
      if (address >= base && address < base + 4 * config().rows) SetModelRounder(queue, (address - base) / 4, value);
    };
    rounder(isa::Queue::kVector, isa::kCsrRngVectorBase);
    rounder(isa::Queue::kScalar, isa::kCsrRngScalarBase);
  }
  void SetModelRounder(isa::Queue queue, std::uint32_t lane, std::uint32_t state) {
    if (queue == isa::Queue::kVector) model_->SetVectorRounder(lane, state);
    else model_->SetScalarRounder(lane, state);
  }

  // Where an instruction and its queue come from, for a message.
  struct Where {
    isa::Queue queue;
    std::uint32_t index;
    const isa::Encoded* encoded;
  };

  void Retire(isa::Queue queue, std::uint32_t index) {
    ++retired_;
    if (hook_) hook_(queue, index, cycles_);
    if (!model_) return;
    const auto& ring = rings_[static_cast<std::size_t>(queue)];
    isa::Encoded encoded;
    std::memcpy(encoded.data(), dram_.data() + (ring.base + isa::kInstrBytes * (index % ring.size) - dram_base()),
                encoded.size());
    const Where where{queue, index, &encoded};
    const CheckResult result = model_->Execute(queue, encoded);
    if (result.err != isa::Err::kNone) {
      throw Mismatch(fmt::format("{}: the RTL executed it, the model stops with: {}", Text(where), isa::Name(result.err)));
    }
    if (model_->counted() != 0) nonfinite_.Add(index, model_->counted());
    const std::string context = Text(where);
    for (const auto& r : WriteFootprint(queue, encoded, config().rows, &model_->memory())) {
      if (r.memory == WriteRange::Memory::kDram) {
        CompareDram(r.begin, r.end, &where, context);
        continue;
      }
      const auto space = r.memory == WriteRange::Memory::kPsum ? isa::Space::kPsum : isa::Space::kSbuf;
      for (std::uint32_t p = r.part; p < r.part + r.parts; ++p) {
        CompareOnChip(space, p, static_cast<std::uint32_t>(r.begin), static_cast<std::uint32_t>(r.end), &where, context);
      }
    }
  }
  // An instruction that was refused by its checks is refused by the model's, for the same reason.
  void CompareErrors() {
    const std::uint32_t state = DITHER_FRONT(state);
    std::uint32_t stopped = 0;
    for (std::uint32_t q = 0; q < isa::kNumQueues; ++q) {
      if ((state >> (2 * q) & 3) == static_cast<std::uint32_t>(isa::QueueState::kError)) stopped |= 1u << q;
    }
    const std::uint32_t fresh = stopped & ~stopped_;
    stopped_ = stopped;
    for (std::uint32_t q = 0; fresh >> q; ++q) {
      if (fresh >> q & 1) CompareError(q);
    }
  }
  void CompareError(std::uint32_t q) {
    CheckResult rtl;
    rtl.err = static_cast<isa::Err>(DITHER_FRONT(stat_err) >> (8 * q) & 0xff);
    rtl.operand = DITHER_FRONT(stat_operand) >> (2 * q) & 3;
    std::uint64_t addr = 0;
    for (std::uint32_t b = 48 * q; b < 48 * q + 48; ++b) {
      addr |= std::uint64_t{DITHER_FRONT(stat_addr)[b / 32] >> (b % 32) & 1} << (b - 48 * q);
    }
    rtl.addr = static_cast<std::int64_t>(addr << 16) >> 16;
    // Only what the instruction's own checks say: not run-time errors, and not a fetch outside the window or DRAM,
    // which has the address of the instruction.
    if (rtl.err > isa::Err::kDramRange && rtl.err != isa::Err::kPsumUnwritten && rtl.err != isa::Err::kBadIndex) return;
    const auto& ring = rings_[q];
    const std::uint32_t index = DITHER_FRONT(stat_index)[q];
    const std::uint64_t at = ring.base + isa::kInstrBytes * (index % ring.size);
    if (at < dram_base() || at + isa::kInstrBytes > dram_limit()) return;
    if (rtl.err == isa::Err::kDramRange && addr == at) return;
    isa::Encoded encoded;
    std::memcpy(encoded.data(), dram_.data() + (at - dram_base()), encoded.size());
    const auto queue = static_cast<isa::Queue>(q);
    // An index is looked at when the copy runs, which changes nothing if one is bad.
    const CheckResult model =
        rtl.err == isa::Err::kBadIndex ? model_->Execute(queue, encoded) : model_->Check(queue, encoded);
    if (rtl == model) return;
    const auto text = [](const CheckResult& r) {
      return fmt::format("{}, operand {}, address {}", isa::Name(r.err), r.operand, r.addr);
    };
    throw Mismatch(fmt::format("{}: the RTL stops with: {}; the model with: {}", Text({queue, index, &encoded}),
                               text(rtl), text(model)));
  }
  static std::string Text(const Where& w) {
    return fmt::format("{} instruction {} ({})", isa::Name(w.queue), w.index, Disassemble(w.queue, *w.encoded));
  }

  void CompareOnChip(isa::Space space, std::uint32_t part, std::uint32_t begin, std::uint32_t end, const Where* where,
                     const std::string& context) {
    const std::uint8_t* model = model_->memory().Of(space, part);
    const std::uint32_t unit = space == isa::Space::kPsum ? 4 : 8;
    for (std::uint32_t at = begin / unit * unit; at < end; at += unit) {
      const std::uint64_t rtl = unit == 4 ? *PsumWord(part, at / 4) : *SbufWord(part, at / 8);
      std::uint64_t want = 0;
      std::memcpy(&want, model + at, unit);
      if (rtl == want) continue;
      for (std::uint32_t b = std::max(at, begin); b < std::min(at + unit, end); ++b) {
        const auto r = static_cast<std::uint8_t>(rtl >> (8 * (b - at))), m = model[b];
        // Bytes between the instruction's own may belong to one that still runs.
        if (r == m || (where && (!Writes(*where, space, part, b) || Overtaken(*where, space, part, b)))) continue;
        throw Mismatch(fmt::format("{}: {} partition (lane) {}, byte {} of word at offset 0x{:x}: RTL 0x{:0{}x}, "
                                   "model 0x{:0{}x}",
                                   context, space == isa::Space::kPsum ? "PSUM" : "SBUF", part, b - at, at, rtl,
                                   2 * unit, want, 2 * unit));
      }
    }
  }

  void CompareDram(std::uint64_t begin, std::uint64_t end, const Where* where, const std::string& context) {
    const std::uint8_t* rtl = dram_.data() + (begin - dram_base());
    const std::uint8_t* model = model_->dram().At(begin);
    const std::size_t count = end - begin;
    if (std::memcmp(rtl, model, count) == 0) return;
    for (std::size_t i = 0; i < count; ++i) {
      if (rtl[i] == model[i] || (where && !WritesDram(*where, begin + i))) continue;
      throw Mismatch(fmt::format("{}: DRAM byte 0x{:x}: RTL 0x{:02x}, model 0x{:02x}", context, begin + i, rtl[i],
                                 model[i]));
    }
  }

  // True if an instruction behind this one writes the byte too. It may have done so already, as an instruction retires
  // late when the semaphore port is taken; then the byte is looked at when that one retires.
  bool Overtaken(const Where& w, isa::Space space, std::uint32_t part, std::uint32_t byte) const {
    constexpr std::uint32_t kInside = 4;  // instructions of a queue on their way
    const auto& ring = rings_[static_cast<std::size_t>(w.queue)];
    for (std::uint32_t i = w.index + 1; i < w.index + kInside && i != ring.tail; ++i) {
      isa::Encoded encoded;
      std::memcpy(encoded.data(), dram_.data() + (ring.base + isa::kInstrBytes * (i % ring.size) - dram_base()),
                  encoded.size());
      if (Writes({w.queue, i, &encoded}, space, part, byte)) return true;
    }
    return false;
  }

  // True if the instruction writes that very byte.
  bool Writes(const Where& w, isa::Space space, std::uint32_t part, std::uint32_t byte) const {
    if (w.queue == isa::Queue::kDma0 || w.queue == isa::Queue::kDma1) {
      return WritesBus(w, (std::uint64_t{1} << 44) | (std::uint64_t{part} << isa::kPartitionPitchLog2) | byte);
    }
    const auto i = isa::DecodeEngineInstr(*w.encoded);
    // Tiles side by side write the same partitions each in its part of the array.
    const bool matmul = i.opcode == static_cast<std::uint8_t>(isa::Op::kMatmul);
    if (matmul) part %= config().rows >> i.tiles;
    if (static_cast<isa::Space>(i.space_d) != space || part < i.part_d || part >= std::uint32_t{i.part_d} + i.parts_d) {
      return false;
    }
    const auto bytes = static_cast<int>(isa::DtypeBytes(static_cast<isa::Dtype>(i.dtype_d)));
    bool hit = false;
    ForEach(i.size, [&](const std::array<int, 4>& n) {
      int at = static_cast<int>(i.off_d);
      for (std::size_t d = 0; d < 4; ++d) at += n[d] * i.str_d[d] * bytes;
      hit = hit || (static_cast<int>(byte) >= at && static_cast<int>(byte) < at + bytes);
    });
    return hit;
  }
  bool WritesDram(const Where& w, std::uint64_t address) const { return WritesBus(w, address); }
  bool WritesBus(const Where& w, std::uint64_t address) const {
    const auto i = isa::DecodeDmaInstr(*w.encoded);
    std::vector<std::uint32_t> list;
    if (IndexedSide(i) == Indexed::kDestination) list = IndicesOf(i, model_->memory());
    const auto bytes = isa::DtypeBytes(static_cast<isa::Dtype>(i.dtype_d));
    bool hit = false;
    ForEach(i.size, [&](const std::array<int, 4>& n) {
      auto at = static_cast<std::int64_t>(i.dst_addr);
      for (std::size_t d = 0; d < 4; ++d) {
        const bool indexed = d == 2 && !list.empty();
        at += std::int64_t{indexed ? list[static_cast<std::size_t>(n[d])] : static_cast<std::uint32_t>(n[d])} * i.dst_str[d];
      }
      hit = hit || address - static_cast<std::uint64_t>(at) < bytes;
    });
    return hit;
  }
  template <typename F>
  static void ForEach(const std::array<std::uint16_t, 4>& size, F f) {
    std::array<int, 4> n;
    for (n[3] = 0; n[3] < size[3]; ++n[3])
      for (n[2] = 0; n[2] < size[2]; ++n[2])
        for (n[1] = 0; n[1] < size[1]; ++n[1])
          for (n[0] = 0; n[0] < size[0]; ++n[0]) f(n);
  }

  struct Ring {
    std::uint64_t base = 0;
    std::uint32_t size = 1;
    std::uint32_t tail = 0;
  };

  const VerilatedOptions verilated_;
  VerilatedContext context_;
  std::unique_ptr<Vdither_core> dut_;
#if VM_TRACE
  std::unique_ptr<VerilatedFstC> trace_;
#endif
  std::vector<std::uint8_t> dram_;
  std::unique_ptr<AxiMemory<kAxiBits>> axi_;
  std::unique_ptr<FunctionalModel> model_;
  std::array<std::array<std::uint64_t*, isa::kSbufBanks>, kSbufGroups> sbuf_{};
  std::array<std::uint32_t*, isa::kPsumBanks> psum_{};
  std::array<Ring, isa::kNumQueues> rings_;
  std::uint64_t cycles_ = 0, retired_ = 0;
  ArrayActivity activity_;
  NonfiniteRegisters nonfinite_;  // as the model counts
  std::uint32_t stopped_ = 0;     // queues
  RetireHook hook_;
};

}  // namespace

const isa::Config& VerilatedConfig() {
  static const isa::Config& config = *std::find_if(isa::kConfigs.begin(), isa::kConfigs.end(),
                                                   [](const isa::Config& c) { return c.name == DITHER_CONFIG; });
  static_assert(std::any_of(isa::kConfigs.begin(), isa::kConfigs.end(), [](const isa::Config& c) {
                  return c.name == DITHER_CONFIG && c.rows == kPsumLanes;
                }),
                "the Makefile names the configuration that the core was verilated with");
  return config;
}

std::unique_ptr<VerilatedDevice> MakeVerilatedDevice(const DeviceOptions& options, const VerilatedOptions& verilated) {
  return std::make_unique<Core>(options, verilated);
}

}  // namespace dither
