#include "sim/function/fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>

namespace dither::function {
namespace {

using model::ArgMode;
using model::Follow;
using model::Form;
using model::FunctionHeader;
using model::OctaveEntry;
using model::Segment;
using model::Symmetry;

// Relative error of a segment before any rounding, and where results are so small that only their
// distance from the subnormal grid counts.
constexpr double kTolerance = 0x1.8p-26;
constexpr double kTiny = 0x1p-153;
constexpr int kMaxSplit = 7;
constexpr int kSamples = 17;

double FromFp32(std::uint32_t bits) {
  return static_cast<double>(std::bit_cast<float>(bits));
}
std::uint32_t ToFp32(double value) { return std::bit_cast<std::uint32_t>(static_cast<float>(value)); }

// ---- correct rounding of a Dd

// |d| as magnitude * 2^exponent with what lies below jammed into the lowest bit.
struct Scaled {
  std::uint64_t magnitude;
  int exponent;
};
Scaled Jam(Dd d) {
  d = Abs(d);
  if (d.hi == 0) return {0, 0};
  int exponent = 0;
  const double m = std::frexp(d.hi, &exponent);
  auto magnitude = static_cast<std::uint64_t>(std::ldexp(m, 53)) << 4;
  if (d.lo > 0) magnitude |= 1;
  if (d.lo < 0) magnitude -= 1;
  return {magnitude, exponent - 57};
}

std::uint32_t RoundTo(Dd d, int mantissa_bits) {
  // fp32 with fewer mantissa bits.
  if (std::isnan(d.hi)) return kFp32Nan;
  const std::uint32_t sign = std::signbit(d.hi) ? kFp32Sign : 0;
  if (std::isinf(d.hi)) return sign | kFp32Inf;
  const Scaled s = Jam(d);
  if (s.magnitude == 0) return sign;
  const int top = 63 - std::countl_zero(s.magnitude) + s.exponent;
  const int lowest = -126 - mantissa_bits;
  const int unit = std::max(top - mantissa_bits, lowest);
  if (unit > 127) return sign | kFp32Inf;
  const std::uint64_t kept = RoundShift(s.magnitude, std::max(unit - s.exponent, 0), Round::kRne, 0);
  const std::uint64_t bits =
      ((static_cast<std::uint64_t>(unit - lowest) << mantissa_bits) + kept) << (23 - mantissa_bits);
  return sign | (bits >= kFp32Inf ? kFp32Inf : static_cast<std::uint32_t>(bits));
}

// ---- one directory: a side's octaves

// y at (-1)^side * 2^e * (1 + fraction); what `follow` would add to an exponent is e or nothing.
struct Space {
  std::function<Dd(bool side, int e, double fraction)> y;
  bool by_octave;                  // many octaves; constants and multiples of x have their own forms
  Follow follow = Follow::kNone;   // of all segments otherwise
  double floor = 0;                // errors are relative to at least this
  bool literal_or_direct = false;  // no exponential form, exponent 0: something is added to the value
};

double Wide(const Segment& s, std::uint64_t t, int follow) {
  if (s.form == Form::kLiteral) return FromFp32(static_cast<std::uint32_t>(s.c0));
  const std::int64_t value = model::Cubic(s, t);
  int exponent = s.exponent;
  if (s.follow == Follow::kPlus) exponent += follow;
  if (s.follow == Follow::kMinus) exponent -= follow;
  if (s.form == Form::kLog2) {
    const std::uint64_t p = model::Exp2(static_cast<std::uint64_t>(value) & 0x1fffffff);
    const double y = std::ldexp(static_cast<double>(p),
                                static_cast<int>(value >> 29) + exponent - model::kExp2Bits);
    return s.negative ? -y : y;
  }
  return std::ldexp(static_cast<double>(value), exponent - model::kValueBits);
}

// The target on one segment, evaluated once: at the four Chebyshev nodes and at the samples.
struct Samples {
  std::array<Dd, 4> node;
  std::array<Dd, kSamples> y;
};
constexpr std::array<double, 4> kNodes = {0.96193976625564337, 0.69134171618254489,
                                          0.30865828381745511, 0.038060233744356631};
std::uint64_t SampleT(int n) {
  const std::uint64_t one = std::uint64_t{1} << model::kFractionBits;
  return std::min(one / (kSamples - 1) * static_cast<std::uint64_t>(n), one - 1);
}

Samples Sample(const Space& space, bool side, int e, int split, int index) {
  Samples s;
  const auto at = [&](double t) { return space.y(side, e, std::ldexp(index + t, -split)); };
  for (std::size_t n = 0; n < 4; ++n) s.node[n] = at(kNodes[n]);
  for (int n = 0; n < kSamples; ++n) {
    s.y[static_cast<std::size_t>(n)] = at(std::ldexp(static_cast<double>(SampleT(n)), -27));
  }
  return s;
}

bool Good(const Space& space, const Segment& s, const Samples& samples, int follow) {
  // Close to a root the error counts in relation to how much the function changes in the segment.
  const auto [least, most] = std::minmax_element(samples.y.begin(), samples.y.end());
  const double change = std::fabs((*most - *least).hi) / 4;
  const double floor = std::isfinite(change) ? std::max(space.floor, change) : space.floor;
  for (int n = 0; n < kSamples; ++n) {
    const Dd y = samples.y[static_cast<std::size_t>(n)];
    const double got = Wide(s, SampleT(n), follow);
    if (std::isnan(y.hi) || std::isnan(got)) {
      if (std::isnan(y.hi) && std::isnan(got)) continue;
      return false;
    }
    // Beyond the range everything is infinity.
    if (std::fabs(y.hi) >= 0x1p129 && std::fabs(got) >= 0x1p128 && (y.hi < 0) == (got < 0)) continue;
    const double limit = std::max(kTolerance * std::max(std::fabs(y.hi), floor), kTiny);
    if (!(std::fabs(got - y.hi) <= limit)) return false;
  }
  return true;
}

bool Fits(std::int64_t value, int bits) {
  return value >= -(std::int64_t{1} << (bits - 1)) && value < std::int64_t{1} << (bits - 1);
}

// A cubic through the nodes, in units of 2^-29; false if a coefficient is too large.
bool Interpolate(const std::array<double, 4>& v, Segment& s) {
  std::array<double, 4> d = v;  // divided differences, then coefficients
  for (std::size_t level = 1; level < 4; ++level) {
    for (std::size_t n = 3; n >= level; --n) {
      d[n] = (d[n] - d[n - 1]) / (kNodes[n] - kNodes[n - level]);
    }
  }
  for (std::size_t level = 3; level-- > 0;) {
    for (std::size_t n = level; n < 3; ++n) d[n] = d[n] - d[n + 1] * kNodes[level];
  }
  std::array<std::int64_t, 4> c{};
  for (std::size_t n = 0; n < 4; ++n) {
    const double scaled = std::ldexp(d[n], model::kValueBits);
    if (!(std::fabs(scaled) < 0x1p40)) return false;
    c[n] = static_cast<std::int64_t>(std::nearbyint(scaled));
    if (!Fits(c[n], model::kCoefficientBits[n])) return false;
  }
  s.c0 = c[0];
  s.c1 = c[1];
  s.c2 = static_cast<std::int32_t>(c[2]);
  s.c3 = static_cast<std::int32_t>(c[3]);
  return true;
}

// Moves c0 so that the errors of the value at the samples are centred.
void Centre(Segment& s, const std::array<double, kSamples>& v) {
  double low = 1e300, high = -1e300;
  for (int n = 0; n < kSamples; ++n) {
    const double error = std::ldexp(v[static_cast<std::size_t>(n)], model::kValueBits) -
                         static_cast<double>(model::Cubic(s, SampleT(n)));
    low = std::min(low, error);
    high = std::max(high, error);
  }
  const auto move = static_cast<std::int64_t>(std::nearbyint((low + high) / 2));
  if (Fits(s.c0 + move, model::kCoefficientBits[0])) s.c0 += move;
}

std::optional<Segment> FitDirect(const Space& space, const Samples& samples, int follow) {
  double largest = 0;
  for (const Dd y : samples.y) {
    if (!std::isfinite(y.hi)) return std::nullopt;
    largest = std::max(largest, std::fabs(y.hi));
  }
  if (largest == 0) return std::nullopt;
  int exponent = 0;
  std::frexp(largest, &exponent);
  const int delta = space.follow == Follow::kPlus ? follow : space.follow == Follow::kMinus ? -follow : 0;
  for (int up = -1; up <= 2; ++up) {
    Segment s;
    s.follow = space.follow;
    const int scale = space.literal_or_direct ? 0 : exponent + up;
    s.exponent = static_cast<std::int16_t>(scale - delta);
    if (!Fits(s.exponent, 9)) return std::nullopt;
    std::array<double, 4> node;
    std::array<double, kSamples> v;
    for (std::size_t n = 0; n < 4; ++n) node[n] = std::ldexp(samples.node[n].hi, -scale);
    for (std::size_t n = 0; n < kSamples; ++n) v[n] = std::ldexp(samples.y[n].hi, -scale);
    if (!Interpolate(node, s)) continue;
    Centre(s, v);
    if (Good(space, s, samples, follow)) return s;
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Segment> FitLog2(const Space& space, const Samples& samples, int follow) {
  if (space.literal_or_direct) return std::nullopt;
  Segment s;
  s.form = Form::kLog2;
  if (space.follow != Follow::kNone) return std::nullopt;
  s.negative = samples.y[0].hi < 0;
  std::array<double, 4> node;
  std::array<double, kSamples> v;
  const auto log2 = [&](Dd y) { return Log2(s.negative ? -y : y).hi; };
  for (std::size_t n = 0; n < 4; ++n) node[n] = log2(samples.node[n]);
  for (std::size_t n = 0; n < kSamples; ++n) v[n] = log2(samples.y[n]);
  for (const double x : v) {
    if (!(std::fabs(x) < 255)) return std::nullopt;  // NaN too: the sign changes in the segment
  }
  for (const double x : node) {
    if (!(std::fabs(x) < 255)) return std::nullopt;
  }
  if (!Interpolate(node, s)) return std::nullopt;
  Centre(s, v);
  return Good(space, s, samples, follow) ? std::optional(s) : std::nullopt;
}

// One constant or one multiple of x for the octave.
std::optional<Segment> FitSimple(const Space& space, const Samples& samples, int e) {
  if (!space.by_octave) return std::nullopt;
  Segment s;
  const Dd y = samples.y[kSamples / 2];
  s.form = Form::kLiteral;
  s.c0 = static_cast<std::int32_t>(RoundTo(y, 23));
  if (Good(space, s, samples, e)) return s;
  s.form = Form::kDirect;
  s.follow = Follow::kPlus;
  const double c = (y / Dd(std::ldexp(1 + std::ldexp(static_cast<double>(SampleT(kSamples / 2)), -27), e))).hi;
  if (!std::isfinite(c) || c == 0) return std::nullopt;
  int exponent = 0;
  const double m = std::frexp(c, &exponent);  // 0.5 <= |m| < 1
  s.exponent = static_cast<std::int16_t>(exponent);
  s.c0 = static_cast<std::int64_t>(std::nearbyint(std::ldexp(m, model::kValueBits)));
  s.c1 = s.c0;
  if (!Fits(s.exponent, 9) || !Good(space, s, samples, e)) return std::nullopt;
  return s;
}

struct Octave {
  int split = 0;
  std::vector<Segment> segments;
};

std::optional<Octave> FitOctave(const Space& space, bool side, int e, int least) {
  for (int split = least; split <= kMaxSplit; ++split) {
    Octave octave{split, {}};
    bool good = true;
    for (int n = 0; good && n < 1 << split; ++n) {
      const Samples samples = Sample(space, side, e, split, n);
      auto s = FitSimple(space, samples, e);
      // A multiple of x that starts inside an octave would need another c0: direct does it too.
      if (s && s->form == Form::kDirect && split > 0) s.reset();
      if (!s) s = FitDirect(space, samples, e);
      if (!s) s = FitLog2(space, samples, e);
      good = s.has_value();
      if (good) octave.segments.push_back(*s);
    }
    if (good) return octave;
  }
  return std::nullopt;
}

// A directory of octaves first .. first + count - 1 on one or two sides.
struct Directory {
  int first = 0, count = 0, sides = 1;
  std::vector<Octave> octaves;  // side by side
};

std::string Where(const std::string& name, bool side, int e) {
  return name + ": no table of at most 128 segments for " + (side ? "-" : "") + "2^" +
         std::to_string(e) + " .. " + (side ? "-" : "") + "2^" + std::to_string(e + 1);
}

// Octaves that were fitted before, by side and exponent.
using Cache = std::map<std::pair<int, int>, Octave>;

// Every octave of [lowest, highest], the ends merged where one segment serves all that lies beyond.
Directory FitDirectory(const std::string& name, const Space& space, int lowest, int highest,
                       int sides, bool open_top, const std::map<std::pair<int, int>, int>& least,
                       Cache& cache) {
  Directory d;
  d.sides = sides;
  std::vector<std::optional<Segment>> low(2), high(2);
  int from = highest, to = lowest;
  for (int side = 0; side < sides; ++side) {
    low[static_cast<std::size_t>(side)] = FitSimple(space, Sample(space, side != 0, lowest + 20, 0, 0), lowest + 20);
    if (!low[static_cast<std::size_t>(side)]) {
      throw std::runtime_error(name + ": neither constant nor proportional to x near 0");
    }
    int e = lowest + 21;
    while (e < highest && Good(space, *low[static_cast<std::size_t>(side)], Sample(space, side != 0, e, 0, 0), e)) ++e;
    from = std::min(from, e);
    if (!open_top) continue;
    high[static_cast<std::size_t>(side)] = FitSimple(space, Sample(space, side != 0, highest, 0, 0), highest);
    if (!high[static_cast<std::size_t>(side)]) {
      throw std::runtime_error(name + ": neither constant nor proportional to x for large x");
    }
    e = highest - 1;
    while (e > lowest && Good(space, *high[static_cast<std::size_t>(side)], Sample(space, side != 0, e, 0, 0), e)) --e;
    to = std::max(to, e);
  }
  if (!open_top) to = highest;
  if (to < from) to = from;
  d.first = from - 1;
  d.count = to - from + 2 + (open_top ? 1 : 0);
  for (int side = 0; side < sides; ++side) {
    int before = 0;
    for (int e = d.first; e < d.first + d.count; ++e) {
      if (e == d.first) {
        d.octaves.push_back({0, {*low[static_cast<std::size_t>(side)]}});
      } else if (open_top && e == d.first + d.count - 1) {
        d.octaves.push_back({0, {*high[static_cast<std::size_t>(side)]}});
      } else {
        const auto found = least.find({side, e});
        // Neighbours need about as many segments: the search starts a step below the last one's.
        const int start = std::max(found == least.end() ? 0 : found->second, before - 1);
        const auto known = cache.find({side, e});
        auto octave = known != cache.end() && known->second.split >= start
                          ? std::optional(known->second)
                          : FitOctave(space, side != 0, e, start);
        if (!octave) throw std::runtime_error(Where(name, side != 0, e));
        before = octave->split;
        cache[{side, e}] = *octave;
        d.octaves.push_back(*octave);
      }
    }
  }
  return d;
}

// Where an entry came from, to split it further.
struct Origin {
  int directory, side, e;
};

void Append(FittedFunction& out, std::vector<Origin>& origins, const Directory& d, int number) {
  for (std::size_t n = 0; n < d.octaves.size(); ++n) {
    const Octave& o = d.octaves[n];
    OctaveEntry entry{static_cast<std::uint16_t>(out.segments.size()),
                      static_cast<std::uint8_t>(o.split)};
    // The same constant or multiple of x again needs no segment of its own.
    const auto same = o.split != 0 ? out.segments.end()
                                   : std::find(out.segments.begin(), out.segments.end(), o.segments[0]);
    if (same != out.segments.end()) {
      entry.base = static_cast<std::uint16_t>(same - out.segments.begin());
    } else {
      out.segments.insert(out.segments.end(), o.segments.begin(), o.segments.end());
    }
    out.entries.push_back(entry);
    const int count = d.count;
    origins.push_back({number, static_cast<int>(n) / count, d.first + static_cast<int>(n) % count});
  }
}

FittedFunction FitOnce(const Spec& spec, const std::map<std::pair<int, int>, int>* least, Cache* cache,
                       std::vector<Origin>& origins) {
  FittedFunction out;
  FunctionHeader& h = out.header;
  h.code = static_cast<std::uint8_t>(spec.code);
  h.mode = spec.mode;
  h.symmetry = spec.symmetry;
  h.parity = spec.parity;
  h.turn = spec.turn;
  for (std::size_t n = 0; n < 4; ++n) {
    h.special[n] = std::isnan(spec.special[n]) ? kFp32Nan : ToFp32(spec.special[n]);
  }
  const int sides = spec.symmetry == Symmetry::kNone ? 2 : 1;
  Space x{[&](bool side, int e, double fraction) {
            const double v = std::ldexp(1 + fraction, e);
            return spec.f(Dd(side ? -v : v));
          },
          true};
  Directory main, second;
  switch (spec.mode) {
    case ArgMode::kOctave:
      main = FitDirectory(spec.name, x, -149, 127, sides, true, least[0], cache[0]);
      break;
    case ArgMode::kMantissa: {
      const int step = spec.parity ? 2 : 1;
      x.by_octave = false;
      x.follow = spec.f(Dd(1 << step)).hi > spec.f(Dd(1)).hi ? Follow::kPlus : Follow::kMinus;
      // The exponent that segments follow is 0 in the octaves that are fitted.
      main.first = 0;
      main.count = step;
      main.sides = sides;
      for (int side = 0; side < sides; ++side) {
        for (int e = 0; e < step; ++e) {
          const auto found = least[0].find({side, e});
          Space here = x;
          here.y = [&, e](bool s, int, double fraction) { return x.y(s, e, fraction); };
          auto octave = FitOctave(here, side != 0, 0, found == least[0].end() ? 0 : found->second);
          if (!octave && std::isnan(spec.f(Dd(side ? -1 : 1)).hi)) {
            Segment nan;
            nan.form = Form::kLiteral;
            nan.c0 = kFp32Nan;
            octave = Octave{0, {nan}};
          }
          if (!octave) throw std::runtime_error(Where(spec.name, side != 0, e));
          main.octaves.push_back(*octave);
        }
      }
      break;
    }
    case ArgMode::kLog: {
      Space mantissa = x;
      mantissa.by_octave = false;
      mantissa.literal_or_direct = true;
      mantissa.floor = std::fabs(spec.f(Dd(0.5)).hi);
      main.count = 1;
      main.sides = 2;
      const auto found = least[0].find({0, 0});
      auto octave = FitOctave(mantissa, false, 0, found == least[0].end() ? 0 : found->second);
      if (!octave) throw std::runtime_error(Where(spec.name, false, 0));
      Segment nan;
      nan.form = Form::kLiteral;
      nan.c0 = kFp32Nan;
      main.octaves = {*octave, {0, {nan}}};
      const Space u{[&](bool side, int e, double fraction) {
                      const double v = std::ldexp(1 + fraction, e);
                      return spec.second(Dd(side ? -v : v));
                    },
                    true};
      second = FitDirectory(spec.name + " (x - 1)", u, -60, -1, 2, false, least[1], cache[1]);
      h.addend = static_cast<std::uint64_t>(std::nearbyint(std::ldexp(spec.addend.hi, 37)));
      if (!(spec.addend.hi > 0 && spec.addend.hi < 2)) {
        throw std::runtime_error(spec.name + ": the addend of an octave must lie in 0 .. 2");
      }
      break;
    }
    case ArgMode::kTurn: {
      // Octaves up to 2^-1 directly, what is larger by its quarter turns.
      main = FitDirectory(spec.name, x, -149, -2, 1, false, least[0], cache[0]);
      const Space turns{[&](bool, int e, double fraction) {
                          return spec.second(Dd(std::ldexp(1 + fraction, e)));
                        },
                        true};
      second = FitDirectory(spec.name + " (quarter turns)", turns, -100, -1, 1, false, least[1], cache[1]);
      break;
    }
  }
  h.first = static_cast<std::int16_t>(main.first);
  h.octaves = static_cast<std::uint8_t>(main.count);
  Append(out, origins, main, 0);
  if (second.count != 0) {
    h.directory2 = static_cast<std::uint16_t>(out.entries.size());
    h.first2 = static_cast<std::int16_t>(second.first);
    h.octaves2 = static_cast<std::uint8_t>(second.count);
    Append(out, origins, second, 1);
  }
  if (out.segments.size() > isa::kFuncSegments || out.entries.size() > isa::kFuncEntries) {
    throw std::runtime_error(spec.name + ": " + std::to_string(out.segments.size()) +
                             " segments, the engine has " + std::to_string(isa::kFuncSegments));
  }
  return out;
}

// bf16 inputs with the right answer, by the segment that they use.
struct Case {
  std::uint32_t x;
  std::uint16_t want;
};

std::uint16_t ToBf16(std::uint32_t odd) {
  return static_cast<std::uint16_t>(NarrowFromFp32(Dtype::kBf16, odd, Round::kRne, false, 0));
}

}  // namespace

model::FunctionMemory MemoryOf(const FittedFunction& fitted) {
  model::FunctionMemory memory;
  const auto image = model::FunctionMemory::Image({fitted.header}, fitted.entries, fitted.segments);
  if (!memory.Load(image)) throw std::runtime_error("a fitted function does not load");
  return memory;
}

Dd Truth(const Spec& spec, std::uint32_t x) {
  if (Fp32IsNan(x)) return std::numeric_limits<double>::quiet_NaN();
  if (Fp32IsZero(x)) return spec.special[x != 0 ? 1 : 0];
  if (Fp32IsInf(x)) return spec.special[x != kFp32Inf ? 3 : 2];
  return spec.f(Dd(FromFp32(x)));
}

std::uint16_t TruthBf16(const Spec& spec, std::uint32_t x) {
  return static_cast<std::uint16_t>(RoundTo(Truth(spec, x), 7) >> 16);
}

double UlpError(Dd truth, std::uint32_t result) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const std::uint32_t nearest = RoundTo(truth, 23);
  if (nearest == result) {
    if (Fp32IsNan(result) || Fp32IsInf(result)) return 0;
  } else if (Fp32IsNan(result) || Fp32IsNan(nearest)) {
    return kInf;
  }
  int exponent = 0;
  std::frexp(truth.hi, &exponent);
  const int unit = std::min(std::max(exponent - 24, -149), 104);
  // Infinity stands one unit above the largest finite number.
  const double value = Fp32IsInf(result) ? ((result & kFp32Sign) != 0 ? -0x1p128 : 0x1p128)
                                         : FromFp32(result);
  const Dd y = std::isinf(truth.hi) ? Dd(truth.hi < 0 ? -0x1p128 : 0x1p128) : truth;
  return std::ldexp(std::fabs((y - Dd(value)).hi), -unit);
}

Bf16Check CheckBf16(const Spec& spec, const FittedFunction& fitted) {
  const model::FunctionMemory memory = MemoryOf(fitted);
  const FunctionHeader& header = memory.headers()[0];
  Bf16Check check;
  for (std::uint32_t n = 0; n < 0x10000; ++n) {
    const std::uint16_t want = TruthBf16(spec, n << 16);
    if (ToBf16(memory.Apply(header, n << 16, true)) == want) continue;
    if (check.wrong++ < 16) check.examples.push_back(static_cast<std::uint16_t>(n));
  }
  return check;
}

FittedFunction Fit(const Spec& spec) {
  std::vector<std::uint16_t> want(0x10000);
  for (std::uint32_t n = 0; n < 0x10000; ++n) want[n] = TruthBf16(spec, n << 16);
  std::array<std::map<std::pair<int, int>, int>, 2> least;
  std::array<Cache, 2> cache;
  for (;;) {
    std::vector<Origin> origins;
    FittedFunction fitted = FitOnce(spec, least.data(), cache.data(), origins);

    // Every finite input by its segment; nudging one changes no other's inputs.
    std::vector<std::vector<Case>> cases(fitted.segments.size());
    std::vector<bool> wrong(fitted.segments.size());
    {
      const model::FunctionMemory memory = MemoryOf(fitted);
      const FunctionHeader& header = memory.headers()[0];
      for (std::uint32_t n = 0; n < 0x10000; ++n) {
        const std::uint32_t x = n << 16;
        if (Fp32IsNan(x) || Fp32IsInf(x) || Fp32IsZero(x)) continue;
        const model::WideValue v = memory.Evaluate(header, x);
        cases[v.segment].push_back({x, want[n]});
        if (ToBf16(model::RoundWide(v, true)) != want[n]) wrong[v.segment] = true;
      }
    }
    bool again = false;
    for (std::size_t s = 0; s < wrong.size(); ++s) {
      if (!wrong[s]) continue;
      const Segment before = fitted.segments[s];
      // Small moves of c0 and c1, nearest first.
      std::vector<std::pair<int, int>> moves;
      for (int a = -16; a <= 16; ++a) {
        for (int b = -16; b <= 16; ++b) moves.push_back({a, b});
      }
      std::stable_sort(moves.begin(), moves.end(), [](const auto& p, const auto& q) {
        return p.first * p.first + p.second * p.second < q.first * q.first + q.second * q.second;
      });
      bool found = false;
      model::FunctionMemory memory = MemoryOf(fitted);
      const FunctionHeader header = memory.headers()[0];
      if (before.form != Form::kLiteral) {
        for (const auto& [a, b] : moves) {
          Segment& now = fitted.segments[s];
          now.c0 = before.c0 + a;
          now.c1 = before.c1 + b;
          if (!Fits(now.c0, model::kCoefficientBits[0]) || !Fits(now.c1, model::kCoefficientBits[1])) continue;
          memory.MutableSegment(s) = now;
          found = std::all_of(cases[s].begin(), cases[s].end(), [&](const Case& c) {
            return ToBf16(memory.Apply(header, c.x, true)) == c.want;
          });
          if (found) break;
        }
      }
      if (found) continue;
      fitted.segments[s] = before;
      // Every octave that uses it is split further.
      for (std::size_t n = 0; n < fitted.entries.size(); ++n) {
        const OctaveEntry& entry = fitted.entries[n];
        if (s < entry.base || s >= entry.base + (std::size_t{1} << entry.split)) continue;
        // The ends are given, and an octave has at most 128 segments: the check will report it.
        const bool end = before.form == Form::kLiteral || before.follow == Follow::kPlus;
        if (entry.split >= kMaxSplit || (end && entry.split == 0)) continue;
        least[static_cast<std::size_t>(origins[n].directory)][{origins[n].side, origins[n].e}] =
            entry.split + 1;
        again = true;
      }
    }
    if (!again) return fitted;
  }
}

}  // namespace dither::function
