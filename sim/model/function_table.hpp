// The scalar engine's table functions: what a loaded set holds, and what an element's value is, bit
// for bit. docs/blocks/scalar_engine.md explains the steps; here they are defined.
//
//   x --> argument (exponent e, fraction of 27 bits) --> directory --> segment --> cubic --> value
//
// RTL   rtl/scalar/act_func.sv        Test  tb/function/, tb/scalar/scalar_engine_test.cpp
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/isa/isa.hpp"
#include "sim/model/exp2_table.hpp"
#include "sim/model/formats.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/two_over_pi.hpp"

namespace dither::model {

// Codes below this one need no table.
inline constexpr std::uint32_t kFirstTableFunc =
    static_cast<std::uint32_t>(isa::ActFunc::kRelu) + 1;

// Fraction bits of coefficients and of a cubic's value, of the argument's fraction, and of 2^f.
inline constexpr int kValueBits = 29, kFractionBits = 27, kExp2Bits = 30;
// Widths of the coefficients, sign included.
inline constexpr std::array<int, 4> kCoefficientBits = {38, 33, 26, 18};

// Where the argument comes from.
enum class ArgMode : std::uint8_t {
  kOctave,    // x itself: an entry for each octave of |x|
  kMantissa,  // x's mantissa, 1 <= m < 2 (or 4, see `parity`); segments scale by x's exponent
  kLog,       // 0.5 <= x < 2: x - 1 by octaves (second directory); else the mantissa, and e * addend
  kTurn,      // |x| in quarter turns of 2 pi by octaves (second directory); small ones as kOctave
};
enum class Symmetry : std::uint8_t { kNone, kOdd, kEven };

// What is common to a function's elements.
struct FunctionHeader {
  std::uint8_t code = 0;
  ArgMode mode = ArgMode::kOctave;
  Symmetry symmetry = Symmetry::kNone;
  bool parity = false;         // kMantissa: by pairs of octaves, the exponent halved
  std::uint8_t turn = 0;       // kTurn: quadrants added
  std::int16_t first = 0;      // exponent of the directory's first octave; smaller ones count as it
  std::uint8_t octaves = 1;    // entries of a side; larger exponents count as the last
  std::uint16_t directory = 0; // first entry: the side of positive x, then (no symmetry) the other
  std::int16_t first2 = 0;     // the same for kLog and kTurn
  std::uint8_t octaves2 = 0;
  std::uint16_t directory2 = 0;
  std::uint64_t addend = 0;    // kLog: 38 bits, units of 2^-37
  // Results for +0, -0, +infinity, -infinity.
  std::array<std::uint32_t, 4> special{};
  bool operator==(const FunctionHeader&) const = default;
};

// An octave's segments: 2^split of equal length from `base` on.
struct OctaveEntry {
  std::uint16_t base = 0;
  std::uint8_t split = 0;
  bool operator==(const OctaveEntry&) const = default;
};

enum class Form : std::uint8_t {
  kDirect,   // value * 2^exponent
  kLog2,     // 2^value * 2^exponent, negated if `negative`
  kLiteral,  // the low 32 bits of c0 are the fp32 result
};
enum class Follow : std::uint8_t { kNone, kPlus, kMinus };  // the argument's exponent is added

struct Segment {
  std::int64_t c0 = 0, c1 = 0;
  std::int32_t c2 = 0, c3 = 0;
  std::int16_t exponent = 0;  // 9 bits
  Form form = Form::kDirect;
  Follow follow = Follow::kNone;
  bool negative = false;
  bool operator==(const Segment&) const = default;
};

// A result before rounding: (-1)^negative * magnitude * 2^exponent, or an fp32 as it stands.
struct WideValue {
  bool literal;
  bool negative;
  std::uint32_t bits;
  std::uint64_t magnitude;
  int exponent;
  std::uint32_t segment;  // which one was used
};

// The fp32 result. Nearest even, or (to_odd) cut off with the last bit set if anything was lost, so
// that a further rounding to 8 or 11 bits is the only one; beyond the range it is infinity or
// (to_odd) the largest finite number.
constexpr std::uint32_t RoundWide(const WideValue& v, bool to_odd) {
  if (v.literal) return v.bits;
  if (!to_odd) return Fp32FromScaled(v.negative, v.magnitude, v.exponent);
  const std::uint32_t sign = v.negative ? kFp32Sign : 0;
  if (v.magnitude == 0) return sign;
  const int top = 63 - std::countl_zero(v.magnitude) + v.exponent;
  const int unit = top - 23 > -149 ? top - 23 : -149;
  if (unit > 127 - 23) return sign | kFp32MaxFinite;
  const int shift = unit - v.exponent;
  const std::uint64_t kept =
      shift <= 0 ? v.magnitude << -shift : ShiftRightJam(v.magnitude, shift);
  return sign | static_cast<std::uint32_t>((static_cast<std::uint64_t>(unit + 149) << 23) + kept);
}

// True if the fp32 value of an element goes to the rounder rounded to odd.
constexpr bool RoundsToOdd(Dtype dtype, Round round) {
  return isa::DtypeBytes(dtype) < 4 && round != Round::kSr;
}

// Quarter turns of m * 2^(e - 23), 24 bits of m, modulo 4: 2 bits before and 52 behind the point.
// m's upper 8 bits meet 2/pi down to 2^-68, the other 16 down to 2^-46 (times 2^(e-23)).
struct TurnWindow {
  std::uint64_t high, low;
};
constexpr TurnWindow MakeTurnWindow(int e) {
  TurnWindow w{0, 0};
  // Bit i of 2/pi is worth 2^(e - 23 - (i + 1)) here.
  for (int weight = -15; weight >= -68; --weight) {
    w.high = w.high << 1 | (TwoOverPiBit(e - 24 - weight) ? 1u : 0u);
  }
  for (int weight = 1; weight >= -46; --weight) {
    w.low = w.low << 1 | (TwoOverPiBit(e - 24 - weight) ? 1u : 0u);
  }
  return w;
}
inline constexpr int kTurnBits = 52;
inline constexpr int kTurnMinExponent = -32, kTurnMaxExponent = 127;
inline constexpr auto kTurnWindows = [] {
  std::array<TurnWindow, kTurnMaxExponent - kTurnMinExponent + 1> all{};
  for (int e = kTurnMinExponent; e <= kTurnMaxExponent; ++e) {
    all[static_cast<std::size_t>(e - kTurnMinExponent)] = MakeTurnWindow(e);
  }
  return all;
}();
constexpr std::uint64_t QuarterTurns(std::uint32_t m, int e) {
  if (e < kTurnMinExponent) return 0;
  const TurnWindow& w = kTurnWindows[static_cast<std::size_t>(e - kTurnMinExponent)];
  const std::uint64_t sum = (m >> 16) * w.high + (((m & 0xffff) * w.low) << 6);
  return sum & ((std::uint64_t{1} << (kTurnBits + 2)) - 1);
}

// 2^f for f of kValueBits bits, in units of 2^-kExp2Bits.
constexpr std::uint64_t Exp2(std::uint64_t f) {
  const Exp2Segment& s = kExp2[f >> 23];
  const std::uint64_t t = f & 0x7fffff;
  return s.d0 + (((s.d1 + ((s.d2 * (t >> 6)) >> 17)) * t) >> 23);
}

// The cubic at t of kFractionBits bits; every product is floored to the coefficients' unit.
constexpr std::int64_t Cubic(const Segment& s, std::uint64_t t) {
  const auto t1 = static_cast<std::int64_t>(t);
  const std::int64_t h2 = s.c2 + ((s.c3 * (t1 >> 9)) >> 18);
  const std::int64_t h1 = s.c1 + ((h2 * (t1 >> 4)) >> 23);
  return s.c0 + ((h1 * t1) >> 27);
}

// A function set as the hardware holds it, and its image in memory.
class FunctionMemory {
 public:
  FunctionMemory() : entries_(isa::kFuncEntries), segments_(isa::kFuncSegments) {
    header_of_.fill(-1);
  }

  bool Loaded(std::uint8_t code) const {
    return code < kFirstTableFunc || (code < isa::kFuncCodes && header_of_[code] >= 0);
  }
  const FunctionHeader& Header(std::uint8_t code) const {
    return headers_.at(static_cast<std::size_t>(header_of_.at(code)));
  }
  const std::vector<FunctionHeader>& headers() const { return headers_; }
  const std::vector<OctaveEntry>& entries() const { return entries_; }
  const std::vector<Segment>& segments() const { return segments_; }

  // The image: little-endian 64-bit words, see docs/blocks/scalar_engine.md.
  static std::vector<std::uint8_t> Image(const std::vector<FunctionHeader>& headers,
                                         const std::vector<OctaveEntry>& entries,
                                         const std::vector<Segment>& segments);
  // Takes the place of what is loaded; false, and nothing changed, if the image is damaged.
  bool Load(std::span<const std::uint8_t> image);

  // For the fitter, which changes one and looks.
  Segment& MutableSegment(std::size_t n) { return segments_.at(n); }

  // code's value at x; code has to be loaded (and not be a built-in one).
  WideValue Evaluate(const FunctionHeader& f, std::uint32_t x) const;
  std::uint32_t Apply(const FunctionHeader& f, std::uint32_t x, bool to_odd) const {
    return RoundWide(Evaluate(f, x), to_odd);
  }

 private:
  std::array<std::int16_t, isa::kFuncCodes> header_of_;
  std::vector<FunctionHeader> headers_;
  std::vector<OctaveEntry> entries_;
  std::vector<Segment> segments_;
};

// CRC-32 of bytes that end with their own.
inline constexpr std::uint32_t kCrcResidue = 0x2144df1c;
inline constexpr std::uint32_t kImageMagic = 0x31544644;  // "DFT1"
inline constexpr std::size_t kHeaderWords = 4;

inline WideValue FunctionMemory::Evaluate(const FunctionHeader& f, std::uint32_t x) const {
  const bool sign = (x & kFp32Sign) != 0;
  const std::uint32_t magnitude = x & ~kFp32Sign;
  if (magnitude > kFp32Inf) return {true, false, kFp32Nan, 0, 0, 0};
  if (magnitude == kFp32Inf) return {true, false, f.special[sign ? 3 : 2], 0, 0, 0};
  if (magnitude == 0) return {true, false, f.special[sign ? 1 : 0], 0, 0, 0};

  // x = (-1)^sign * m * 2^(e - 23), the leading one of m at bit 23.
  int e = static_cast<int>(magnitude >> 23) - 127;
  std::uint32_t m = (magnitude & 0x7fffff) | 0x800000;
  if (e == -127) {
    const int up = std::countl_zero(magnitude) - 8;
    e = -126 - up;
    m = magnitude << up;
  }

  bool side = sign && f.symmetry == Symmetry::kNone;
  bool negate = sign && f.symmetry == Symmetry::kOdd;
  bool second = false;
  std::uint64_t fraction = static_cast<std::uint64_t>(m & 0x7fffff) << 4;
  int octave = e;    // that the directory is asked for
  int follow = e;    // that segments may follow
  std::int64_t addend = 0;
  const auto normalise = [&](std::uint64_t value, int point) {
    // value * 2^-point, 0 counts as the smallest octave's start.
    const int top = value == 0 ? 0 : 63 - std::countl_zero(value);
    octave = follow = top - point;
    const std::uint64_t rest = value == 0 ? 0 : value ^ (std::uint64_t{1} << top);
    fraction = top >= kFractionBits ? rest >> (top - kFractionBits) : rest << (kFractionBits - top);
  };
  switch (f.mode) {
    case ArgMode::kOctave: break;
    case ArgMode::kMantissa:
      octave = f.parity ? e & 1 : 0;
      follow = f.parity ? e >> 1 : e;
      break;
    case ArgMode::kLog:
      if (!sign && (e == 0 || e == -1)) {
        // x - 1 in units of 2^-24: exact.
        const std::int64_t u = (std::int64_t{m} << (e + 1)) - (1 << 24);
        second = true;
        side = u < 0;
        if (u == 0) return {true, false, 0, 0, 0, 0};
        normalise(static_cast<std::uint64_t>(side ? -u : u), 24);
      } else {
        octave = 0;
        addend = (e * static_cast<std::int64_t>(f.addend)) >> 8;
      }
      break;
    case ArgMode::kTurn:
      if (e >= f.first + f.octaves) {
        const std::uint64_t turns = QuarterTurns(m, e);
        const auto quadrant = ((turns >> kTurnBits) + f.turn) & 3;
        constexpr std::uint64_t kMask = (std::uint64_t{1} << kTurnBits) - 1;
        second = true;
        side = false;
        negate ^= (quadrant & 2) != 0;
        normalise((quadrant & 1) != 0 ? ~turns & kMask : turns & kMask, kTurnBits);
      }
      break;
  }
  const int first = second ? f.first2 : f.first;
  const int octaves = second ? f.octaves2 : f.octaves;
  int index = octave - first;
  index = index < 0 ? 0 : index >= octaves ? octaves - 1 : index;
  if (side) index += octaves;
  // Addresses wrap; those of a table that makes sense don't.
  const OctaveEntry& entry = entries_[static_cast<std::size_t>(
      ((second ? f.directory2 : f.directory) + index) % static_cast<int>(isa::kFuncEntries))];
  const auto at = static_cast<std::uint32_t>(
      (entry.base + (fraction >> (kFractionBits - entry.split))) % isa::kFuncSegments);
  const Segment& s = segments_[at];
  if (s.form == Form::kLiteral) {
    return {true, false, static_cast<std::uint32_t>(s.c0) ^ (negate ? kFp32Sign : 0), 0, 0, at};
  }
  const std::uint64_t t =
      (fraction << entry.split) & ((std::uint64_t{1} << kFractionBits) - 1);
  const std::int64_t value = Cubic(s, t) + addend;
  int exponent = s.exponent;
  if (s.follow == Follow::kPlus) exponent += follow;
  if (s.follow == Follow::kMinus) exponent -= follow;
  if (s.form == Form::kLog2) {
    const auto n = static_cast<int>(value >> kValueBits);
    const std::uint64_t p = Exp2(static_cast<std::uint64_t>(value) &
                                 ((std::uint64_t{1} << kValueBits) - 1));
    return {false, s.negative != negate, 0, p, exponent + n - kExp2Bits, at};
  }
  const bool negative = value < 0;
  return {false, negative != negate, 0,
          static_cast<std::uint64_t>(negative ? -value : value), exponent - kValueBits, at};
}

}  // namespace dither::model
