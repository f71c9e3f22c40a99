// The vector engine's instructions on the functional model against the golden kernels.
#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <functional>
#include <random>

#include "sim/golden/golden.hpp"
#include "sim/model/fp32.hpp"
#include "sim/model/lfsr.hpp"
#include "sim/program/disassemble.hpp"
#include "tb/model/rig.hpp"

namespace dither {
namespace {

using golden::Binary;
using isa::Dtype;
using isa::Queue;
using isa::RedFunc;
using isa::Round;
using isa::VecFunc;
using tb::ExecuteInside;
using tb::FuncOf;
using tb::Rig;

constexpr std::uint32_t kEdge[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 67};

bool Exact(Binary op) { return op >= Binary::kMax; }  // the result is one of the operands, or 0 or 1
float AsFloat(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint32_t AsBits(float value) { return std::bit_cast<std::uint32_t>(value); }

void Run(Rig& rig) { ExecuteInside(rig.model, Queue::kVector, rig.Last(Queue::kVector)); }
std::vector<std::uint32_t> Words(Rig& rig, const Tensor& t) {
  std::vector<std::uint32_t> words;
  rig.ForEach(t, [&](const std::uint8_t* at, std::size_t) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, at, t.ElementBytes());
    words.push_back(bits);
  });
  return words;
}
void FillWords(Rig& rig, const Tensor& t, const std::function<std::uint32_t(std::size_t)>& make) {
  rig.ForEach(t, [&](std::uint8_t* at, std::size_t n) {
    const std::uint32_t bits = make(n);
    std::memcpy(at, &bits, t.ElementBytes());
  });
}

// Small integers and halves often meet; the others have many digits.
float Draw(Rig& rig) {
  if (rig.random() % 2 != 0) return static_cast<float>(static_cast<int>(rig.random() % 9) - 4) * 0.5f;
  return std::uniform_real_distribution<float>(-3, 3)(rig.random);
}

}  // namespace

TEST_CASE("every pair of steps agrees with mathematics, with numbers and tensors of any kind",
          "[vector]") {
  Rig rig(1);
  for (int f = 0; f < 14; ++f) {
    for (int g = 0; g < 14; ++g) {
      const auto first = static_cast<Binary>(f), second = static_cast<Binary>(g);
      const std::uint32_t n = kEdge[rig.random() % std::size(kEdge)];
      const std::uint32_t part = rig.random() % 3, parts = 1 + rig.random() % 5;
      const bool per_partition = rig.random() % 2 != 0, number = rig.random() % 3 == 0;
      const bool swap = first != Binary::kAbs && rig.random() % 2 != 0;
      const bool swap_1 = second != Binary::kAbs && rig.random() % 2 != 0;
      rig.builder.SbufRelease(0);
      const Tensor a = rig.builder.Sbuf("a", rig.random() % 2 ? Dtype::kFp32 : Dtype::kBf16, {parts, n}, part);
      const Tensor b = rig.builder.Sbuf("b", rig.random() % 2 ? Dtype::kFp32 : Dtype::kFp16, {parts, n}, part);
      const Tensor s = rig.builder.Sbuf("s", Dtype::kFp32, {parts, 1}, part);
      const Tensor d = rig.builder.Sbuf("d", Dtype::kFp32, {parts, n}, part);
      for (const Tensor& t : {a, b, s}) rig.Fill(t, [&] { return Draw(rig); });
      const float s_number = Draw(rig), b_number = Draw(rig);
      Step one{FuncOf(first), Value(s_number), swap}, two{FuncOf(second), Value(b_number), swap_1};
      if (per_partition && first != Binary::kAbs) one.value = s;
      if (!number && second != Binary::kAbs) two.value = b;
      rig.builder.TwoSteps(d, a, one, two);
      Run(rig);
      const auto av = rig.Values(a), bv = rig.Values(b), sv = rig.Values(s), dv = rig.Values(d);
      for (std::size_t i = 0; i < dv.size(); ++i) {
        const double y = one.value.tensor() ? sv[i / n] : s_number;
        const double z = two.value.tensor() ? bv[i] : b_number;
        const auto apply = [](Binary op, bool swapped, double l, double r) {
          return swapped ? golden::Apply(op, r, l) : golden::Apply(op, l, r);
        };
        double t = apply(first, swap, av[i], y);
        // The step between is fp32, but for the fused pairs.
        const bool fused = first == Binary::kMul && (second == Binary::kAdd || second == Binary::kSub);
        if (!fused) t = static_cast<float>(t);
        const double want = apply(second, swap_1, t, z);
        CAPTURE(isa::Name(FuncOf(first)), isa::Name(FuncOf(second)), swap, swap_1, av[i], y, z, i);
        if (Exact(second)) {
          REQUIRE(dv[i] == want);
        } else {
          REQUIRE(std::fabs(dv[i] - want) <= std::fabs(want) * std::ldexp(1, -24) + std::ldexp(1, -149));
        }
        if (fused) REQUIRE(dv[i] == static_cast<float>(want));  // 24-bit products plus 24 bits: exact in double
      }
    }
  }
}

TEST_CASE("comparisons with NaN, zeros of both signs and infinities", "[vector]") {
  Rig rig(2);
  const float kValues[] = {NAN, -INFINITY, -1, -0.0f, 0.0f, 1, INFINITY};
  const Tensor a = rig.builder.Sbuf("a", Dtype::kFp32, {1, 49});
  const Tensor b = rig.builder.Sbuf("b", Dtype::kFp32, {1, 49});
  const Tensor d = rig.builder.Sbuf("d", Dtype::kFp32, {1, 49});
  FillWords(rig, a, [&](std::size_t n) { return AsBits(kValues[n / 7]); });
  FillWords(rig, b, [&](std::size_t n) { return AsBits(kValues[n % 7]); });
  for (int f = static_cast<int>(Binary::kEq); f <= static_cast<int>(Binary::kGe); ++f) {
    const auto op = static_cast<Binary>(f);
    rig.builder.Elementwise(FuncOf(op), d, a, b);
    Run(rig);
    const auto words = Words(rig, d);
    for (std::size_t n = 0; n < 49; ++n) {
      CAPTURE(isa::Name(FuncOf(op)), kValues[n / 7], kValues[n % 7]);
      REQUIRE(words[n] == (golden::Apply(op, kValues[n / 7], kValues[n % 7]) != 0 ? kFp32One : 0));
    }
  }
  // As integers 0 and 1.
  const Tensor i = rig.builder.Sbuf("i", Dtype::kInt32, {1, 49});
  rig.builder.Elementwise(VecFunc::kGt, i, a, b);
  Run(rig);
  const auto words = Words(rig, i);
  for (std::size_t n = 0; n < 49; ++n) REQUIRE(words[n] == (kValues[n / 7] > kValues[n % 7] ? 1 : 0));
}

TEST_CASE("what select does not choose can't show, be it NaN or infinite", "[vector]") {
  Rig rig(3);
  const Tensor x = rig.builder.Sbuf("x", Dtype::kFp32, {8, 6});
  const Tensor g = rig.builder.Sbuf("g", Dtype::kFp32, {8, 6});
  const Tensor d = rig.builder.Sbuf("d", Dtype::kFp32, {8, 6});
  const float kX[] = {-1, 0, 2, NAN, -INFINITY, 1e-40f}, kG[] = {NAN, INFINITY, 5, 6, NAN, -0.0f};
  FillWords(rig, x, [&](std::size_t n) { return AsBits(kX[n % 6]); });
  FillWords(rig, g, [&](std::size_t n) { return AsBits(kG[n % 6]); });
  // relu's gradient: (x > 0) select g
  rig.builder.TwoSteps(d, x, {VecFunc::kGt, 0.0f}, {VecFunc::kSelect, g});
  Run(rig);
  const float kWant[] = {0, 0, 5, 0, 0, -0.0f};
  const auto words = Words(rig, d);
  for (std::size_t n = 0; n < words.size(); ++n) REQUIRE(words[n] == AsBits(kWant[n % 6]));
  // A NaN is not zero; swapped, g decides over x.
  rig.builder.Elementwise(VecFunc::kSelect, d, x, g);
  Run(rig);
  REQUIRE(Words(rig, d)[3] == AsBits(6));
  rig.builder.Elementwise(d, x, {VecFunc::kSelect, g, true});
  Run(rig);
  REQUIRE(Words(rig, d)[2] == AsBits(2));
  REQUIRE(Words(rig, d)[5] == 0);
  // One of two tensors: m select x, or'ed with (m = 0) select g, in three passes.
  const Tensor m = rig.builder.Sbuf("m", Dtype::kFp32, {8, 6});
  const Tensor e = rig.builder.Sbuf("e", Dtype::kFp32, {8, 6});
  FillWords(rig, m, [&](std::size_t n) { return AsBits(n % 2 != 0 ? 1.0f : 0.0f); });
  rig.builder.Elementwise(VecFunc::kSelect, d, m, x);
  Run(rig);
  rig.builder.TwoSteps(e, m, {VecFunc::kEq, 0.0f}, {VecFunc::kSelect, g});
  Run(rig);
  const auto as_int = [](Tensor t) {
    t.dtype = Dtype::kInt32;
    return t;
  };
  rig.builder.Elementwise(VecFunc::kOr, as_int(d), as_int(d), as_int(e));
  Run(rig);
  const auto picked = Words(rig, d);
  for (std::size_t n = 0; n < picked.size(); ++n) {
    REQUIRE(picked[n] == AsBits(n % 2 != 0 ? kX[n % 6] : kG[n % 6]));
  }
}

TEST_CASE("integer functions work on the words as they are, in one step and in two", "[vector]") {
  Rig rig(4);
  const auto apply = [](VecFunc func, std::uint32_t a, std::uint32_t b) -> std::uint32_t {
    switch (func) {
      case VecFunc::kAnd: return a & b;
      case VecFunc::kOr: return a | b;
      case VecFunc::kXor: return a ^ b;
      case VecFunc::kShl: return static_cast<std::uint32_t>(std::uint64_t{a} << (b % 32));
      case VecFunc::kShr: return static_cast<std::uint32_t>(std::uint64_t{a} >> (b % 32));
      default: {  // asr: floor of the quotient
        const auto v = static_cast<double>(static_cast<std::int32_t>(a));
        return static_cast<std::uint32_t>(static_cast<std::int32_t>(std::floor(std::ldexp(v, -static_cast<int>(b % 32)))));
      }
    }
  };
  for (int f = 15; f <= 20; ++f) {
    for (int g = 14; g <= 20; ++g) {
      const auto first = static_cast<VecFunc>(f), second = static_cast<VecFunc>(g);
      rig.builder.SbufRelease(0);
      const std::uint32_t n = kEdge[rig.random() % std::size(kEdge)];
      const Tensor a = rig.builder.Sbuf("a", Dtype::kInt32, {8, n});
      const Tensor b = rig.builder.PsumBank("b", 0, Dtype::kInt32, {8, n});
      const Tensor s = rig.builder.Sbuf("s", Dtype::kInt32, {8, 1});
      const Tensor d = rig.builder.Sbuf("d", Dtype::kInt32, {8, n});
      for (const Tensor& t : {a, b, s}) FillWords(rig, t, [&](std::size_t) { return rig.random(); });
      const bool swap = rig.random() % 2 != 0;
      // Stochastic rounding has nothing to do here, and uses up no random word.
      const std::uint32_t before = rig.model.VectorRounder(0);
      if (g == 14) {
        rig.builder.Elementwise(d, a, {first, b, swap}, {Round::kSr, false});
      } else {
        rig.builder.TwoSteps(d, a, {first, s, swap}, {second, b}, {Round::kSr, false});
      }
      Run(rig);
      REQUIRE(rig.model.VectorRounder(0) == before);
      const auto av = Words(rig, a), bv = Words(rig, b), sv = Words(rig, s), dv = Words(rig, d);
      for (std::size_t i = 0; i < dv.size(); ++i) {
        const std::uint32_t y = g == 14 ? bv[i] : sv[i / n];
        const std::uint32_t t = swap ? apply(first, y, av[i]) : apply(first, av[i], y);
        CAPTURE(isa::Name(first), isa::Name(second), swap, i);
        REQUIRE(dv[i] == (g == 14 ? t : apply(second, t, bv[i])));
      }
    }
  }
}

TEST_CASE("argmax names the first of the largest, and the first NaN", "[vector]") {
  Rig rig(5);
  for (const std::uint32_t n : kEdge) {
    rig.builder.SbufRelease(0);
    const Tensor x = rig.builder.Sbuf("x", Dtype::kFp32, {8, 3 * n});
    const Tensor y = rig.builder.Sbuf("y", Dtype::kInt32, {8, 3});
    rig.Fill(x, [&] { return Draw(rig); });
    rig.builder.Reduce(RedFunc::kArgMax, y, x.Split(1, n));
    Run(rig);
    const auto xv = rig.Values(x), yv = rig.Values(y);
    for (std::size_t g = 0; g < yv.size(); ++g) {
      const auto begin = xv.begin() + static_cast<long>(g * n);
      std::vector<double> values(begin, begin + n);
      // The engine's maximum has +0 above -0.
      for (double& v : values) v = v == 0 && std::signbit(v) ? -1e-300 : v;
      REQUIRE(yv[g] == static_cast<double>(golden::ArgMax(values)));
    }
    FillWords(rig, x, [&](std::size_t i) { return AsBits(i % n == n / 2 || i % n == n - 1 ? NAN : INFINITY); });
    Run(rig);
    for (const double index : rig.Values(y)) REQUIRE(index == n / 2);
  }
}

TEST_CASE("mean and variance of one pass are within their bound whatever the offset", "[vector]") {
  Rig rig(6);
  std::normal_distribution<double> normal;
  for (const double offset : {0.0, 1.0, -1000.0, 1e6, 3e7}) {
    for (const double spread : {1e-3, 1.0, 200.0}) {
      for (const std::uint32_t n : {1u, 2u, 5u, 64u, 300u}) {
        rig.builder.SbufRelease(0);
        const bool two_dims = n % 4 == 0;
        const Tensor flat = rig.builder.Sbuf("x", Dtype::kFp32, {8, 2 * n});
        const Tensor y = rig.builder.Sbuf("y", Dtype::kFp32, {8, 4});
        rig.Fill(flat, [&] { return static_cast<float>(offset + spread * normal(rig.random)); });
        Tensor x = flat.Split(1, n);
        if (two_dims) x = x.Split(2, n / 4);
        rig.builder.Stats(y.Split(1, 2), x, two_dims ? 2 : 1);
        Run(rig);
        const auto xv = rig.Values(flat), yv = rig.Values(y);
        for (std::size_t g = 0; g < 16; ++g) {
          const auto begin = xv.begin() + static_cast<long>(g * n);
          const std::vector<double> values(begin, begin + n);
          const double mean = golden::Mean(values), variance = golden::Variance(values);
          // The bound of docs/numerics.md: u = 2^-24, K the first element, r = (mean - K)^2.
          const double u = std::ldexp(1, -24), r = (mean - values[0]) * (mean - values[0]);
          double mean_distance = 0;
          for (const double v : values) mean_distance += std::fabs(v - values[0]) / n;
          CAPTURE(offset, spread, n, g, mean, variance);
          REQUIRE(std::fabs(yv[2 * g] - mean) <= u * std::fabs(mean) + 4 * u * mean_distance);
          REQUIRE(std::fabs(yv[2 * g + 1] - variance) <= 16 * u * (variance + r));
          REQUIRE(yv[2 * g + 1] >= 0);
        }
      }
    }
  }
  // All equal: exactly 0, where sums of squares in fp32 would leave anything.
  const Tensor x = rig.builder.Sbuf("x", Dtype::kFp32, {8, 100});
  const Tensor y = rig.builder.Sbuf("y", Dtype::kFp32, {8, 2});
  rig.Fill(x, [] { return 12345.678f; });
  rig.builder.Stats(y, x);
  Run(rig);
  CHECK(Words(rig, y)[0] == AsBits(12345.678f));
  CHECK(Words(rig, y)[1] == 0);
  // Not a number anywhere: neither are the results.
  std::size_t n = 0;
  rig.Fill(x, [&] { return ++n % 100 == 50 ? INFINITY : 1.0f; });
  Run(rig);
  CHECK(std::isnan(rig.Values(y)[1]));
}

TEST_CASE("a scan gives every partial sum, maximum and minimum of its group", "[vector]") {
  Rig rig(7);
  for (const std::uint32_t n : kEdge) {
    for (const RedFunc func : {RedFunc::kSum, RedFunc::kMax, RedFunc::kMin}) {
      rig.builder.SbufRelease(0);
      const Tensor x = rig.builder.Sbuf("x", Dtype::kBf16, {8, 3 * n});
      const Tensor y = rig.builder.Sbuf("y", Dtype::kFp32, {8, 3 * n});
      rig.Fill(x, [&] { return Draw(rig); });
      const bool all = rig.random() % 2 != 0;
      rig.builder.Scan(func, y.Split(1, n), x.Split(1, n), all ? 2 : 1);
      Run(rig);
      const auto xv = rig.Values(x), yv = rig.Values(y);
      const std::size_t group = all ? 3 * n : n;
      for (std::size_t i = 0; i < yv.size(); ++i) {
        const auto end = xv.begin() + static_cast<long>(i) + 1;
        const std::vector<double> values(end - static_cast<long>(i % group + 1), end);
        if (func == RedFunc::kSum) {
          REQUIRE(std::fabs(yv[i] - golden::Sum(values)) <=
                  3.0 * values.size() * std::ldexp(1, -37) + std::fabs(yv[i]) * std::ldexp(1, -24));
        } else {
          REQUIRE(yv[i] == (func == RedFunc::kMax ? golden::Max(values) : golden::Min(values)));
        }
      }
    }
  }
}

TEST_CASE("iota counts along every dimension and over partitions", "[vector]") {
  Rig rig(8);
  const Tensor flat = rig.builder.Sbuf("d", Dtype::kInt32, {5, 24}, 2);
  rig.builder.Iota(flat.Split(1, 4), -7, {100, 3}, -1000);
  Run(rig);
  const auto v = rig.Values(flat);
  for (int i = 0; i < 120; ++i) {
    REQUIRE(v[i] == -7 + i % 24 / 4 * 100 + i % 4 * 3 - i / 24 * 1000);
  }
  // The ends of the range, and what is beyond wraps.
  const Tensor wrap = rig.builder.Sbuf("w", Dtype::kInt32, {1, 4});
  rig.builder.Iota(wrap, 0x7ffffe, {1});
  Run(rig);
  CHECK(rig.Values(wrap) == std::vector<double>{0x7ffffe, 0x7fffff, -0x800000, -0x7fffff});
  // A one-hot row of a label per partition, in one pass: iota eq label.
  const Tensor label = rig.builder.Sbuf("l", Dtype::kFp32, {8, 1});
  const Tensor hot = rig.builder.Sbuf("h", Dtype::kBf16, {8, 10});
  const Tensor ones = rig.builder.Sbuf("o", Dtype::kBf16, {8, 1});
  FillWords(rig, label, [](std::size_t n) { return AsBits(static_cast<float>(n * 3 % 10)); });
  rig.Fill(ones, [] { return 1.0f; });
  rig.builder.TwoSteps(hot, Generated::Iota(0, {1}), {VecFunc::kEq, label}, {VecFunc::kMul, ones});
  Run(rig);
  const auto h = rig.Values(hot);
  for (int i = 0; i < 80; ++i) REQUIRE(h[i] == (i % 10 == i / 10 * 3 % 10 ? 1 : 0));
}

TEST_CASE("random numbers are the lane's words in order, and the state can be saved and resumed",
          "[vector]") {
  Rig rig(9);
  const Tensor d = rig.builder.Sbuf("d", Dtype::kFp32, {5, 33}, 2);
  std::vector<std::uint32_t> state;
  for (std::uint32_t lane = 0; lane < 8; ++lane) state.push_back(rig.model.VectorRounder(lane));
  rig.builder.Random(d);
  Run(rig);
  const auto first = Words(rig, d);
  for (std::uint32_t lane = 0; lane < 8; ++lane) {
    std::uint32_t s = state[lane];
    if (lane >= 2 && lane < 7) {
      for (int n = 0; n < 33; ++n, s = Leap(s)) {
        const float value = AsFloat(first[(lane - 2) * 33 + n]);
        REQUIRE(value == std::ldexp(static_cast<float>(RandomWord(s, true)), -24));
        REQUIRE((value >= 0 && value < 1));
      }
    }
    REQUIRE(rig.model.VectorRounder(lane) == s);
    rig.model.SetVectorRounder(lane, state[lane]);
  }
  Run(rig);  // resumed: the same again
  REQUIRE(Words(rig, d) == first);
  // bf16 never reaches 1; bits are uniform.
  const Tensor h = rig.builder.Sbuf("h", Dtype::kBf16, {8, 600});
  double sum = 0, most = 0;
  for (int n = 0; n < 20; ++n) {
    rig.builder.Random(h);
    Run(rig);
    for (const double v : rig.Values(h)) sum += v, most = std::max(most, v);
  }
  CHECK(most < 1);
  CHECK(most > 0.99);
  CHECK(std::fabs(sum / (20 * 4800) - 0.5) < 0.006);  // 6 standard errors, and truncation's 2^-9
  const Tensor i = rig.builder.Sbuf("i", Dtype::kInt32, {8, 400});
  rig.builder.Elementwise(VecFunc::kAnd, i, Generated::Random(), Value::Word(15));
  Run(rig);
  std::array<int, 16> counts{};
  for (const std::uint32_t w : Words(rig, i)) ++counts.at(w);
  for (const int c : counts) CHECK(std::abs(c - 200) < 70);
  // Dropout in one pass: (random >= p) select x.
  const Tensor x = rig.builder.Sbuf("x", Dtype::kFp32, {8, 400});
  rig.Fill(x, [] { return 2.0f; });
  rig.builder.TwoSteps(x, Generated::Random(), {VecFunc::kGe, 0.25f * 0x1p24f}, {VecFunc::kSelect, x});
  Run(rig);
  double kept = 0;
  for (const double v : rig.Values(x)) {
    CHECK((v == 0 || v == 2));
    kept += v / 2;
  }
  CHECK(std::fabs(kept / 3200 - 0.75) < 0.04);
}

TEST_CASE("shuffles move every bit between partitions", "[vector]") {
  Rig rig(10);
  for (const Dtype dtype : isa::kAllDtype) {
    rig.builder.SbufRelease(0);
    const Tensor src = rig.builder.Sbuf("src", dtype, {8, 19});
    const Tensor dst = rig.builder.Sbuf("dst", dtype, {8, 19});
    const Tensor index = rig.builder.Sbuf("index", Dtype::kInt32, {5, 1}, 2);
    FillWords(rig, src, [&](std::size_t) { return rig.random(); });
    FillWords(rig, index, [&](std::size_t) { return rig.random(); });
    const auto from = Words(rig, src), by = Words(rig, index);
    rig.builder.ShufflePartitions(dst.Slice(0, 2, 5), src.Slice(0, 2, 5), index);
    Run(rig);
    const auto shuffled = Words(rig, dst);
    for (std::size_t p = 2; p < 7; ++p) {
      for (std::size_t n = 0; n < 19; ++n) {
        REQUIRE(shuffled[p * 19 + n] == from[(by[p - 2] % 8) * 19 + n]);
      }
    }
    rig.builder.BroadcastPartition(dst.Slice(0, 1, 6), src.Slice(0, 7, 1));
    Run(rig);
    const auto spread = Words(rig, dst);
    for (std::size_t p = 1; p < 7; ++p) {
      for (std::size_t n = 0; n < 19; ++n) REQUIRE(spread[p * 19 + n] == from[7 * 19 + n]);
    }
    // In place, a column after the other.
    rig.builder.ShufflePartitions(src.Slice(0, 2, 5), src.Slice(0, 2, 5), index);
    Run(rig);
    const auto moved = Words(rig, src);
    for (std::size_t p = 2; p < 7; ++p) {
      for (std::size_t n = 0; n < 19; ++n) REQUIRE(moved[p * 19 + n] == from[(by[p - 2] % 8) * 19 + n]);
    }
  }
}

TEST_CASE("blocks transpose, at any partitions, and in place", "[vector]") {
  Rig rig(11);
  for (const Dtype dtype : isa::kAllDtype) {
    for (const std::uint32_t n : {1u, 2u, 5u, 8u}) {
      rig.builder.SbufRelease(0);
      const std::uint32_t from = rig.random() % (9 - n), to = rig.random() % (9 - n);
      const Tensor src = rig.builder.Sbuf("src", dtype, {n, 3 * n}, from);
      const Tensor dst = rig.builder.Sbuf("dst", dtype, {n, 3 * n}, to);
      FillWords(rig, src, [&](std::size_t) { return rig.random(); });
      const auto x = Words(rig, src);
      rig.builder.TransposeBlocks(dst.Split(1, n), src.Split(1, n));
      Run(rig);
      const auto y = Words(rig, dst);
      for (std::size_t m = 0; m < n; ++m)
        for (std::size_t b = 0; b < 3; ++b)
          for (std::size_t k = 0; k < n; ++k) {
            REQUIRE(y[(m * 3 + b) * n + k] == x[(k * 3 + b) * n + m]);
          }
      rig.builder.TransposeBlocks(src.Split(1, n), src.Split(1, n));
      Run(rig);
      REQUIRE(Words(rig, src) == y);
    }
  }
}

TEST_CASE("the builder refuses what a two-step instruction can't say", "[vector]") {
  Rig rig(12);
  using Catch::Contains;
  ProgramBuilder& b = rig.builder;
  const Tensor x = b.Sbuf("x", Dtype::kFp32, {8, 4}), i = b.Sbuf("i", Dtype::kInt32, {8, 4});
  const Tensor h = b.Sbuf("h", Dtype::kBf16, {8, 1});
  CHECK_THROWS_WITH(b.TwoSteps(x, x, {VecFunc::kMul, h}, {VecFunc::kAdd, x}), Contains("one fp32 of each"));
  CHECK_THROWS_WITH(b.TwoSteps(x, x, {VecFunc::kMul, x}, {VecFunc::kAdd, x}), Contains("one fp32 of each"));
  CHECK_THROWS_WITH(b.TwoSteps(x, x, {VecFunc::kMul, 2.0f}, {}), Contains("no second step"));
  CHECK_THROWS_WITH(b.TwoSteps(i, i, {VecFunc::kAnd, 2.0f}, {VecFunc::kAdd, i}), Contains("unknown function"));
  CHECK_THROWS_WITH(b.Elementwise(VecFunc::kAnd, x, i, i), Contains("destination (x"));
  CHECK_THROWS_WITH(b.Elementwise(VecFunc::kAbs, x, x, x), Contains("one source"));
  CHECK_THROWS_WITH(b.Elementwise(x, x, {VecFunc::kAbs, x}), Contains("one source"));
  CHECK_THROWS_WITH(b.Iota(i, 0, {1, 1}), Contains("2 steps"));
  CHECK_THROWS_WITH(b.Stats(x, x), Contains("must be 2"));
  CHECK_THROWS_WITH(b.Scan(RedFunc::kArgMax, i, x), Contains("unknown function"));
  CHECK_THROWS_WITH(b.Reduce(RedFunc::kArgMax, x.Slice(1, 0, 1), x), Contains("bad dtype"));
  CHECK_THROWS_WITH(b.BroadcastPartition(x, x), Contains("one partition"));
  CHECK_THROWS_WITH(b.ShufflePartitions(x, x, h), Contains("one int32 of each"));
  CHECK_THROWS_WITH(b.TransposeBlocks(x, x), Contains("as long as dimension 0"));
  CHECK(b.program()[Queue::kVector].empty());
  for (const auto& make : std::vector<std::function<void()>>{
           [&] { b.TwoSteps(i, Generated::Random(), {VecFunc::kShr, Value::Word(3)}, {VecFunc::kAnd, Value::Word(7)}); },
           [&] { b.TwoSteps(x, x, {VecFunc::kSub, h.Named("s"), true}, {VecFunc::kMax, x, true}); },
           [&] { b.Scan(RedFunc::kSum, x, x); },
           [&] { b.Elementwise(x, x, {VecFunc::kAbs}); }}) {
    try {
      make();
    } catch (const ProgramError&) {
      continue;  // the bf16 scalar
    }
    const auto e = rig.Last(Queue::kVector);
    CHECK(Assemble(Queue::kVector, Disassemble(Queue::kVector, e)) == e);
  }
  CHECK(Disassemble(Queue::kVector, b.program()[Queue::kVector][0]) ==
        "tensor.shr size=4 dst=sbuf:int32:p0+8:0x40:s1 src0=sbuf:0:p0+8:0x0:s0 imm then=and gen=random "
        "imm0=0x00000003 imm1=0x00000007");
}

}  // namespace dither
