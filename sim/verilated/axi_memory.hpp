// AXI4 memory at the pins of a Verilated model: latency, one beat a cycle, random stalls and order,
// error responses, and a check of everything the master does. The bytes belong to the caller.
//
// Use: BindAxi<kBits>(dut) (or fill AxiPins by hand); Drive() before the evaluation of a cycle,
// Sample() after it and before the clock edge. No memory is allocated between the two.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace dither {

// One AXI4 port of kBits data bits. Directions as the memory sees them; wide data as 32-bit words,
// the lowest first (VlWide).
template <int kBits>
struct AxiPins {
  static_assert(kBits == 128 || kBits == 256 || kBits == 512);
  using Strobe = std::conditional_t<kBits == 128, std::uint16_t,
                                    std::conditional_t<kBits == 256, std::uint32_t, std::uint64_t>>;
  const std::uint8_t* ar_valid = nullptr;
  std::uint8_t* ar_ready = nullptr;
  const std::uint64_t* ar_addr = nullptr;
  const std::uint8_t* ar_id = nullptr;
  const std::uint8_t* ar_len = nullptr;
  const std::uint8_t* ar_size = nullptr;
  const std::uint8_t* ar_burst = nullptr;
  std::uint8_t* r_valid = nullptr;
  const std::uint8_t* r_ready = nullptr;
  std::uint8_t* r_id = nullptr;
  std::uint32_t* r_data = nullptr;
  std::uint8_t* r_resp = nullptr;
  std::uint8_t* r_last = nullptr;
  const std::uint8_t* aw_valid = nullptr;
  std::uint8_t* aw_ready = nullptr;
  const std::uint64_t* aw_addr = nullptr;
  const std::uint8_t* aw_id = nullptr;
  const std::uint8_t* aw_len = nullptr;
  const std::uint8_t* aw_size = nullptr;
  const std::uint8_t* aw_burst = nullptr;
  const std::uint8_t* w_valid = nullptr;
  std::uint8_t* w_ready = nullptr;
  const std::uint32_t* w_data = nullptr;
  const Strobe* w_strb = nullptr;
  const std::uint8_t* w_last = nullptr;
  std::uint8_t* b_valid = nullptr;
  const std::uint8_t* b_ready = nullptr;
  std::uint8_t* b_id = nullptr;
  std::uint8_t* b_resp = nullptr;
};

// Pins of a model whose ports are named as everywhere in rtl/: ar_valid_o, ar_ready_i, ...
template <int kBits, typename Dut>
AxiPins<kBits> BindAxi(Dut& dut) {
  AxiPins<kBits> p;
  p.ar_valid = &dut.ar_valid_o;
  p.ar_ready = &dut.ar_ready_i;
  p.ar_addr = &dut.ar_addr_o;
  p.ar_id = &dut.ar_id_o;
  p.ar_len = &dut.ar_len_o;
  p.ar_size = &dut.ar_size_o;
  p.ar_burst = &dut.ar_burst_o;
  p.r_valid = &dut.r_valid_i;
  p.r_ready = &dut.r_ready_o;
  p.r_id = &dut.r_id_i;
  p.r_data = dut.r_data_i.data();
  p.r_resp = &dut.r_resp_i;
  p.r_last = &dut.r_last_i;
  p.aw_valid = &dut.aw_valid_o;
  p.aw_ready = &dut.aw_ready_i;
  p.aw_addr = &dut.aw_addr_o;
  p.aw_id = &dut.aw_id_o;
  p.aw_len = &dut.aw_len_o;
  p.aw_size = &dut.aw_size_o;
  p.aw_burst = &dut.aw_burst_o;
  p.w_valid = &dut.w_valid_o;
  p.w_ready = &dut.w_ready_i;
  p.w_data = dut.w_data_o.data();
  p.w_strb = &dut.w_strb_o;
  p.w_last = &dut.w_last_o;
  p.b_valid = &dut.b_valid_i;
  p.b_ready = &dut.b_ready_o;
  p.b_id = &dut.b_id_i;
  p.b_resp = &dut.b_resp_i;
  return p;
}

enum class AxiResp : std::uint8_t { kOkay = 0, kSlvErr = 2, kDecErr = 3 };

// How the memory behaves. May be changed between any two cycles.
struct AxiBehaviour {
  int read_latency = 100;   // cycles from AR accepted to the first beat
  int write_latency = 20;   // cycles from the last beat accepted to B
  int ar_stall = 0;         // percent of cycles in which a channel refuses or offers nothing
  int r_stall = 0;
  int aw_stall = 0;
  int w_stall = 0;
  int b_stall = 0;
  bool reorder = false;     // answers of different IDs in random order, read beats interleaved
  bool data_first = false;  // AW is accepted only while W is offered
  bool silent = false;      // accepts, and answers nothing
};

// Bytes first..last of the address space answer with resp and are not written.
struct AxiFault {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  AxiResp resp = AxiResp::kSlvErr;
};

struct AxiStatistics {
  std::uint64_t read_bursts = 0;
  std::uint64_t read_beats = 0;
  std::uint64_t write_bursts = 0;
  std::uint64_t write_beats = 0;
};

template <int kBits>
class AxiMemory {
 public:
  static constexpr int kBeat = kBits / 8;
  static constexpr int kIds = 4;

  // `bytes` lies at address `base` (a multiple of kBeat, as its size) and outlives the memory.
  AxiMemory(AxiPins<kBits> pins, std::span<std::uint8_t> bytes, std::uint64_t base = 0,
            std::uint64_t seed = 1)
      : pins_(pins), bytes_(bytes), base_(base), random_(seed * 2 + 1) {
    *pins_.ar_ready = *pins_.r_valid = *pins_.aw_ready = *pins_.w_ready = *pins_.b_valid = 0;
    *pins_.r_id = *pins_.b_id = 0;
  }

  AxiBehaviour& behaviour() { return behaviour_; }
  std::vector<AxiFault>& faults() { return faults_; }
  const AxiStatistics& statistics() const { return statistics_; }
  // What the master did wrong, in words; only the first 20 are kept.
  const std::vector<std::string>& violations() const { return violations_; }
  // Nothing is accepted and not answered.
  bool idle() const {
    return reads_inside_ == 0 && !r_offered_ && writes_.empty() && answers_ == 0;
  }

  // Sets the inputs of the coming cycle.
  void Drive() {
    *pins_.ar_ready = !Chance(behaviour_.ar_stall) && ReadsFit();
    *pins_.w_ready = !writes_.empty() && !Chance(behaviour_.w_stall);
    const bool allowed = !Chance(behaviour_.aw_stall) && writes_.size() < kDepth && AnswersFit();
    // A memory that wants data first knows W from the last cycle: an offer stands until taken.
    *pins_.aw_ready = allowed && (!behaviour_.data_first || w_seen_);
    if (!r_offered_) {
      *pins_.r_valid = 0;
      OfferRead();
    }
    if (!b_offered_) {
      *pins_.b_valid = 0;
      OfferAnswer();
    }
  }

  // Takes what the settled cycle hands over; changes no pin, as the edge is still to come.
  void Sample() {
    if (*pins_.ar_valid) SampleAr();
    else if (ar_held_.valid) Violation("AR withdrawn", ar_held_.addr);
    ar_held_.valid = *pins_.ar_valid && !*pins_.ar_ready;
    if (r_offered_ && *pins_.r_ready) {
      r_offered_ = false;
      ++statistics_.read_beats;
    }
    // Data before its address was accepted waits: W is ready only when a burst is known.
    w_seen_ = *pins_.w_valid && !*pins_.w_ready && writes_.empty();
    if (*pins_.w_valid) SampleW();
    else if (w_held_) Violation("W withdrawn", 0);
    w_held_ = *pins_.w_valid && !*pins_.w_ready;
    if (*pins_.aw_valid) SampleAw();
    else if (aw_held_.valid) Violation("AW withdrawn", aw_held_.addr);
    aw_held_.valid = *pins_.aw_valid && !*pins_.aw_ready;
    if (b_offered_ && *pins_.b_ready) {
      b_offered_ = false;
      --answers_;
    }
    ++cycle_;
  }

 private:
  static constexpr std::size_t kDepth = 64;  // bursts waiting for one ID, a power of two
  struct Burst {
    std::uint64_t addr = 0;   // of the next beat
    std::uint64_t start = 0;  // as asked for
    std::uint64_t ready = 0;  // cycle from which it may be answered
    std::uint64_t order = 0;  // across IDs
    std::uint8_t id = 0;
    std::uint16_t beats = 0;  // left
    AxiResp resp = AxiResp::kOkay;
  };
  struct Ring {
    std::array<Burst, kDepth> at;
    std::size_t first = 0, count = 0;
    bool empty() const { return count == 0; }
    std::size_t size() const { return count; }
    Burst& front() { return at[first]; }
    void push(const Burst& b) { at[(first + count++) % kDepth] = b; }
    void pop() {
      first = (first + 1) % kDepth;
      --count;
    }
  };
  struct Held {
    bool valid = false;
    std::uint64_t addr = 0;
    std::uint8_t id = 0, len = 0;
  };

  std::uint64_t Random() {  // xorshift64
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }
  bool Chance(int percent) {
    return percent > 0 && static_cast<int>((Random() >> 20) % 100) < percent;
  }
  bool ReadsFit() const {
    for (const Ring& r : reads_) {
      if (r.count == kDepth) return false;
    }
    return true;
  }
  bool AnswersFit() const { return answers_ + writes_.size() < kDepth; }

  void Violation(const char* what, std::uint64_t addr) {
    if (violations_.size() >= 20) return;
    char text[120];
    std::snprintf(text, sizeof text, "cycle %llu: %s (address 0x%llx)",
                  static_cast<unsigned long long>(cycle_), what,
                  static_cast<unsigned long long>(addr));
    violations_.emplace_back(text);
  }

  AxiResp RespOf(std::uint64_t addr) const {
    for (const auto& f : faults_) {
      if (addr + kBeat > f.first && addr <= f.last) return f.resp;
    }
    if (addr < base_ || addr - base_ >= bytes_.size()) return AxiResp::kDecErr;
    return AxiResp::kOkay;
  }

  void CheckBurst(const char* channel, std::uint64_t addr, int len, int size, int burst, int id) {
    const auto fail = [&](const char* what) {
      char text[60];
      std::snprintf(text, sizeof text, "%s: %s", channel, what);
      Violation(text, addr);
    };
    if (burst != 1) fail("burst is not INCR");
    if ((1 << size) != kBeat) fail("size is not the full width");
    const std::uint64_t first = addr / kBeat * kBeat;
    const std::uint64_t last = first + static_cast<std::uint64_t>(len) * kBeat + kBeat - 1;
    if (first / 4096 != last / 4096) fail("crosses a 4 KiB page");
    if (id >= kIds) fail("unknown ID");
  }
  void CheckHeld(const char* channel, const Held& held, std::uint64_t addr, int id, int len) {
    if (held.valid && (held.addr != addr || held.id != id || held.len != len)) {
      Violation(channel, addr);
    }
  }

  void SampleAr() {
    CheckHeld("AR changed while stalled", ar_held_, *pins_.ar_addr, *pins_.ar_id, *pins_.ar_len);
    if (!*pins_.ar_ready) {
      ar_held_ = {true, *pins_.ar_addr, *pins_.ar_id, *pins_.ar_len};
      return;
    }
    CheckBurst("AR", *pins_.ar_addr, *pins_.ar_len, *pins_.ar_size, *pins_.ar_burst, *pins_.ar_id);
    Burst b;
    b.start = *pins_.ar_addr;
    b.addr = b.start / kBeat * kBeat;
    b.ready = cycle_ + static_cast<std::uint64_t>(behaviour_.read_latency);
    b.order = ++order_;
    b.id = *pins_.ar_id % kIds;
    b.beats = static_cast<std::uint16_t>(*pins_.ar_len + 1);
    reads_[b.id].push(b);
    ++reads_inside_;
    ++statistics_.read_bursts;
  }

  void SampleAw() {
    CheckHeld("AW changed while stalled", aw_held_, *pins_.aw_addr, *pins_.aw_id, *pins_.aw_len);
    if (!*pins_.aw_ready) {
      aw_held_ = {true, *pins_.aw_addr, *pins_.aw_id, *pins_.aw_len};
      return;
    }
    CheckBurst("AW", *pins_.aw_addr, *pins_.aw_len, *pins_.aw_size, *pins_.aw_burst, *pins_.aw_id);
    Burst b;
    b.start = *pins_.aw_addr;
    b.addr = b.start / kBeat * kBeat;
    b.id = *pins_.aw_id % kIds;
    b.beats = static_cast<std::uint16_t>(*pins_.aw_len + 1);
    writes_.push(b);
    ++statistics_.write_bursts;
  }

  // Bytes without strobe carry nothing and may change.
  bool DataChanged() const {
    const auto* now = reinterpret_cast<const std::uint8_t*>(pins_.w_data);
    const auto* then = reinterpret_cast<const std::uint8_t*>(w_held_data_.data());
    for (int i = 0; i < kBeat; ++i) {
      if ((std::uint64_t{w_held_strb_} >> i & 1) && now[i] != then[i]) return true;
    }
    return false;
  }

  void SampleW() {
    if (w_held_
        && (w_held_strb_ != *pins_.w_strb || w_held_last_ != *pins_.w_last || DataChanged())) {
      Violation("W changed while stalled", 0);
    }
    if (!*pins_.w_ready) {
      w_held_strb_ = *pins_.w_strb;
      w_held_last_ = *pins_.w_last;
      std::memcpy(w_held_data_.data(), pins_.w_data, kBeat);
      return;
    }
    Burst& b = writes_.front();
    ++statistics_.write_beats;
    if ((*pins_.w_last != 0) != (b.beats == 1)) Violation("WLAST not at the burst's end", b.addr);
    const std::uint64_t strobe = *pins_.w_strb;
    if (b.addr < b.start && (strobe & ((std::uint64_t{1} << (b.start - b.addr)) - 1)) != 0) {
      Violation("strobe below the burst's first byte", b.addr);
    }
    const AxiResp resp = RespOf(b.addr);
    if (resp != AxiResp::kOkay) {
      b.resp = std::max(b.resp, resp);
    } else {
      std::uint8_t* to = bytes_.data() + (b.addr - base_);
      const auto* from = reinterpret_cast<const std::uint8_t*>(pins_.w_data);
      if (*pins_.w_strb == std::numeric_limits<typename AxiPins<kBits>::Strobe>::max()) {
        std::memcpy(to, from, kBeat);
      } else {
        for (int i = 0; i < kBeat; ++i) {
          if (strobe >> i & 1) to[i] = from[i];
        }
      }
    }
    b.addr += kBeat;
    if (--b.beats != 0) return;
    b.ready = cycle_ + static_cast<std::uint64_t>(behaviour_.write_latency);
    b.order = ++order_;
    done_[b.id].push(b);
    ++answers_;
    writes_.pop();
  }

  // The ID to answer: the oldest burst that is due, or any if order is random; kIds: none.
  int Choose(std::array<Ring, kIds>& rings, int keep) {
    if (keep < kIds && !behaviour_.reorder) return keep;
    int best = kIds;
    const int turn = behaviour_.reorder ? static_cast<int>(Random() >> 40) % kIds : 0;
    for (int k = 0; k < kIds; ++k) {
      const int id = (k + turn) % kIds;
      if (rings[id].empty() || rings[id].front().ready > cycle_) continue;
      if (behaviour_.reorder) return id;
      if (best == kIds || rings[id].front().order < rings[best].front().order) best = id;
    }
    return best;
  }

  void OfferRead() {
    if (reads_inside_ == 0 || behaviour_.silent || Chance(behaviour_.r_stall)) return;
    const int id = Choose(reads_, r_open_);
    if (id == kIds) return;
    Burst& b = reads_[id].front();
    const AxiResp resp = RespOf(b.addr);
    if (resp == AxiResp::kOkay) {
      std::memcpy(pins_.r_data, bytes_.data() + (b.addr - base_), kBeat);
    } else {
      std::memset(pins_.r_data, 0xee, kBeat);
    }
    r_offered_ = true;
    *pins_.r_valid = 1;
    *pins_.r_id = static_cast<std::uint8_t>(id);
    *pins_.r_resp = static_cast<std::uint8_t>(resp);
    *pins_.r_last = b.beats == 1;
    b.addr += kBeat;
    r_open_ = id;
    if (--b.beats == 0) {
      reads_[id].pop();
      --reads_inside_;
      r_open_ = kIds;
    }
  }

  void OfferAnswer() {
    if (answers_ == 0 || behaviour_.silent || Chance(behaviour_.b_stall)) return;
    const int id = Choose(done_, kIds);
    if (id == kIds) return;
    b_offered_ = true;
    *pins_.b_valid = 1;
    *pins_.b_id = static_cast<std::uint8_t>(id);
    *pins_.b_resp = static_cast<std::uint8_t>(done_[id].front().resp);
    done_[id].pop();
  }

  AxiPins<kBits> pins_;
  std::span<std::uint8_t> bytes_;
  std::uint64_t base_;
  AxiBehaviour behaviour_;
  std::vector<AxiFault> faults_;
  AxiStatistics statistics_;
  std::vector<std::string> violations_;
  std::uint64_t random_, cycle_ = 0, order_ = 0;
  std::array<Ring, kIds> reads_, done_;
  Ring writes_;
  std::size_t reads_inside_ = 0;  // bursts in reads_
  std::size_t answers_ = 0;       // B not yet taken
  int r_open_ = kIds;             // ID of a burst that has begun
  bool r_offered_ = false, b_offered_ = false, w_seen_ = false;
  Held ar_held_, aw_held_;
  bool w_held_ = false;
  std::uint8_t w_held_last_ = 0;
  typename AxiPins<kBits>::Strobe w_held_strb_ = 0;
  std::array<std::uint32_t, kBeat / 4> w_held_data_{};
};

}  // namespace dither
