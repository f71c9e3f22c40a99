// Single instructions of the functional model against the golden kernels, and what they leave
// alone.
#include <catch2/catch.hpp>

#include <random>

#include "sim/device/functional_device.hpp"
#include "sim/golden/golden.hpp"
#include "sim/model/functional.hpp"
#include "sim/program/builder.hpp"
#include "tb/model/rig.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::EngineInstr;
using isa::Queue;
using tb::ExecuteInside;
using tb::Rig;
using tb::Snapshot;
using tb::Take;

constexpr std::uint32_t kEdge[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 67};

}  // namespace

TEST_CASE("elementwise operations agree with mathematics in every format", "[functional]") {
  Rig rig(1);
  std::uniform_real_distribution<float> uniform(-3, 3);
  const auto draw = [&] { return uniform(rig.random); };
  for (const Dtype a_type : isa::kAllDtype) {
    for (const Dtype d_type : isa::kAllDtype) {
      const std::uint32_t n = kEdge[rig.random() % std::size(kEdge)];
      const std::uint32_t part = rig.random() % 3, parts = 1 + rig.random() % 5;
      rig.builder.SbufRelease(0);
      const Tensor a = rig.builder.Sbuf("a", a_type, {parts, n}, part);
      const Tensor b = rig.builder.Sbuf("b", Dtype::kBf16, {parts, n}, part);
      const Tensor d = rig.builder.Sbuf("d", d_type, {parts, n}, part);
      rig.Fill(a, draw);
      rig.Fill(b, draw);
      const auto av = rig.Values(a), bv = rig.Values(b);
      const auto op = static_cast<golden::Binary>(rig.random() % 14);
      const auto func = tb::FuncOf(op);
      if (func == isa::VecFunc::kAbs) {
        rig.builder.Elementwise(d, a, {func}, {isa::Round::kRne, true});
      } else {
        rig.builder.Elementwise(func, d, a, b, {isa::Round::kRne, true});
      }
      ExecuteInside(rig.model, Queue::kVector, rig.Last(Queue::kVector));
      const auto dv = rig.Values(d);
      for (std::size_t i = 0; i < dv.size(); ++i) {
        const double want = golden::Apply(op, av[i], bv[i]);
        const bool integer = d_type == Dtype::kInt8 || d_type == Dtype::kInt32;
        const double bound = integer
                                 ? 0.5 + 1e-6
                                 : std::fabs(want) * (tb::HalfUnit(d_type) + std::ldexp(1, -24)) +
                                       std::ldexp(1, d_type == Dtype::kFp8E4M3 ? -10 : -17);
        INFO(isa::Name(a_type) << " to " << isa::Name(d_type) << " func " << int(func));
        REQUIRE(std::fabs(dv[i] - want) <= bound);
      }
    }
  }
}

TEST_CASE("act computes func(scale x + bias) with a bias of each partition", "[functional]") {
  Rig rig(2);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(rig.random); };
  for (const std::uint32_t n : kEdge) {
    rig.builder.SbufRelease(0);
    const Tensor x = rig.builder.PsumBank("x", 2, Dtype::kFp32, {8, n});
    const Tensor bias = rig.builder.Sbuf("bias", Dtype::kFp32, {8, 1});
    const Tensor y = rig.builder.Sbuf("y", Dtype::kBf16, {8, n});
    rig.Fill(x, draw);
    rig.Fill(bias, draw);
    rig.builder.Act(isa::ActFunc::kRelu, y, x, 0.75f, bias);
    ExecuteInside(rig.model, Queue::kScalar, rig.Last(Queue::kScalar));
    const auto xv = rig.Values(x), bv = rig.Values(bias), yv = rig.Values(y);
    for (std::size_t i = 0; i < yv.size(); ++i) {
      const double want = golden::Relu(0.75 * xv[i] + bv[i / n]);
      REQUIRE(std::fabs(yv[i] - want) <=
              std::fabs(want) * (std::ldexp(1, -8) + std::ldexp(1, -23)));
    }
  }
}

TEST_CASE("reductions agree with mathematics along one and two dimensions", "[functional]") {
  Rig rig(3);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(rig.random) * 100; };
  for (const std::uint32_t n : kEdge) {
    const std::uint32_t outer = 3;
    rig.builder.SbufRelease(0);
    const Tensor flat = rig.builder.Sbuf("x", Dtype::kFp32, {8, outer * n});
    const Tensor y = rig.builder.Sbuf("y", Dtype::kFp32, {8, outer});
    const Tensor all = rig.builder.Sbuf("all", Dtype::kFp32, {8, 1});
    rig.Fill(flat, draw);
    const auto v = rig.Values(flat);
    for (const isa::RedFunc func : {isa::RedFunc::kSum, isa::RedFunc::kMax, isa::RedFunc::kMin}) {
      rig.builder.Reduce(func, y, flat.Split(1, n));
      ExecuteInside(rig.model, Queue::kVector, rig.Last(Queue::kVector));
      rig.builder.Reduce(func, all, flat.Split(1, n), 2);
      ExecuteInside(rig.model, Queue::kVector, rig.Last(Queue::kVector));
      const auto yv = rig.Values(y), allv = rig.Values(all);
      const auto check = [&](double got, std::vector<double> values) {
        if (func != isa::RedFunc::kSum) {
          REQUIRE(got == (func == isa::RedFunc::kMax ? golden::Max(values) : golden::Min(values)));
          return;
        }
        double magnitude = 0;
        const double want = golden::Sum(values, &magnitude);
        // Below n units of 2^-15 of the largest term's last place (fp32.hpp), and the last
        // rounding.
        const double largest =
            std::max(std::fabs(golden::Max(values)), std::fabs(golden::Min(values)));
        REQUIRE(std::fabs(got - want) <= largest * values.size() * std::ldexp(1, -37) +
                                             std::fabs(want) * std::ldexp(1, -24));
      };
      for (std::size_t p = 0; p < 8; ++p) {
        const auto begin = v.begin() + static_cast<long>(p * outer * n);
        for (std::size_t o = 0; o < outer; ++o) {
          check(yv[p * outer + o],
                {begin + static_cast<long>(o * n), begin + static_cast<long>((o + 1) * n)});
        }
        check(allv[p], {begin, begin + static_cast<long>(outer * n)});
      }
    }
  }
}

TEST_CASE("a matmul at any place accumulates, reuses and leaves other columns alone",
          "[functional]") {
  Rig rig(4);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return normal(rig.random); };
  for (int trial = 0; trial < 60; ++trial) {
    const std::uint32_t k0 = rig.random() % 8, k = 1 + rig.random() % (8 - k0);
    const std::uint32_t m0 = rig.random() % 8, m = 1 + rig.random() % (8 - m0);
    const std::uint32_t n = kEdge[rig.random() % std::size(kEdge)];
    rig.builder.SbufRelease(0);
    const Dtype types[] = {Dtype::kBf16, Dtype::kFp8E4M3, Dtype::kFp8E5M2};
    const Tensor w = rig.builder.Sbuf("w", types[rig.random() % 3], {k, m}, k0);
    const Tensor x = rig.builder.Sbuf("x", types[rig.random() % 3], {k, n}, k0);
    const Tensor c = rig.builder.PsumBank("c", rig.random() % 8, Dtype::kFp32, {m, n}, m0);
    rig.Fill(w, draw);
    rig.Fill(x, draw);
    rig.Fill(c, draw);
    golden::Matrix magnitude;
    const golden::Matrix product = golden::Matmul(tb::AsMatrix(k, m, rig.Values(w)),
                                                  tb::AsMatrix(k, n, rig.Values(x)), &magnitude);
    const auto old = rig.Values(c);
    const bool accumulate = trial % 2 == 0;
    rig.builder.Matmul(c, w, x, {accumulate, false});
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    const auto once = rig.Values(c);
    rig.builder.Matmul(c, w, x, {true, true});  // the same tile once more
    rig.Fill(w, draw);                          // which is not read again
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    const auto twice = rig.Values(c);
    for (std::size_t i = 0; i < once.size(); ++i) {
      const double base = accumulate ? old[i] : 0;
      const double bound = (magnitude.values[i] + std::fabs(base)) * std::ldexp(1, -22);
      REQUIRE(std::fabs(once[i] - (base + product.values[i])) <= bound);
      REQUIRE(std::fabs(twice[i] - (base + 2 * product.values[i])) <=
              2 * bound + magnitude.values[i] * std::ldexp(1, -22));
    }
  }
}

TEST_CASE("a destination that is hit again accumulates one column after the other",
          "[functional]") {
  Rig rig(5);
  const Tensor w = rig.builder.Sbuf("w", Dtype::kBf16, {1, 1});
  const Tensor x = rig.builder.Sbuf("x", Dtype::kBf16, {1, 40});
  const Tensor c = rig.builder.PsumBank("c", 0, Dtype::kFp32, {1, 1});
  rig.Fill(w, [] { return 1.0f; });
  rig.Fill(x, [] { return 1.0f; });
  rig.Fill(c, [] { return 2.0f; });
  rig.builder.Matmul(c.Broadcast(1, 40), w, x, {true, false});
  ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
  CHECK(rig.Values(c)[0] == 42);
}

TEST_CASE("infinities and NaN reach exactly the sums that they are part of", "[functional]") {
  Rig rig(6);
  const Tensor w = rig.builder.Sbuf("w", Dtype::kBf16, {8, 8});
  const Tensor x = rig.builder.Sbuf("x", Dtype::kBf16, {8, 40});
  const Tensor c = rig.builder.PsumBank("c", 0, Dtype::kFp32, {8, 40});
  std::size_t n = 0;
  rig.Fill(w, [] { return 1.0f; });
  rig.Fill(x, [&] { return n++ == 3 * 40 + 17 ? INFINITY : 1.0f; });
  n = 0;
  rig.Fill(c, [&] { return n++ == 5 * 40 + 30 ? NAN : 0.0f; });
  rig.builder.Matmul(c, w, x, {true, false});
  ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
  const auto v = rig.Values(c);
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (i == 5 * 40 + 30) {
      CHECK(std::isnan(v[i]));
    } else if (i % 40 == 17) {
      CHECK(v[i] == INFINITY);
    } else {
      CHECK(v[i] == 8);
    }
  }
}

namespace {

const isa::Config& WithPairs() {
  return *std::find_if(isa::kConfigs.begin(), isa::kConfigs.end(), [](const isa::Config& c) { return c.pairs; });
}

// The values of pairs [K/2][columns] as a matrix [K][columns].
golden::Matrix PairValues(Rig& rig, const Tensor& pairs) {
  const std::uint32_t columns = pairs.Size(1);
  golden::Matrix m(2 * pairs.Size(0), columns);
  const auto raw = rig.Values(pairs.Unpaired().Merge(1));
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const std::size_t part = i / (2 * columns), column = i / 2 % columns;
    m.values[(2 * part + i % 2) * columns + column] = raw[i];
  }
  return m;
}

}  // namespace

TEST_CASE("a matmul of fp8 pairs at any place accumulates, reuses, tiles and agrees with mathematics", "[functional][pair]") {
  Rig rig(21, WithPairs());
  std::normal_distribution<float> normal;
  const Dtype types[] = {Dtype::kFp8E4M3, Dtype::kFp8E5M2};
  for (int trial = 0; trial < 120; ++trial) {
    const std::uint32_t tiles = trial % 3 == 0 ? 2 : 1, room = 8 / tiles;
    const std::uint32_t k0 = rig.random() % room, k = 1 + rig.random() % (room - k0);
    const std::uint32_t m0 = rig.random() % room, m = 1 + rig.random() % (room - m0);
    const std::uint32_t n = kEdge[rig.random() % std::size(kEdge)];
    // From subnormals to the largest numbers.
    const float scale = std::ldexp(1.0f, static_cast<int>(rig.random() % 16) - 10);
    const auto draw = [&] { return scale * normal(rig.random); };
    rig.builder.SbufRelease(0);
    const Tensor w = rig.builder.Sbuf("w", types[trial / 2 % 2], {k, m, 2}, k0).Paired();
    const Tensor x = rig.builder.Sbuf("x", types[trial % 2], {k, n, 2}, k0).Paired();
    const Tensor c = rig.builder.PsumBank("c", rig.random() % 8, Dtype::kFp32, {m, n}, m0);
    const auto at = [&](Tensor t, std::uint32_t tile) {
      t.part += tile * room;
      return t;
    };
    std::vector<golden::Matrix> product(tiles), magnitude(tiles);
    std::vector<std::vector<double>> old(tiles);
    for (std::uint32_t t = 0; t < tiles; ++t) {
      rig.Fill(at(w, t).Unpaired().Merge(1), draw);
      rig.Fill(at(x, t).Unpaired().Merge(1), draw);
      rig.Fill(at(c, t), draw);
      product[t] = golden::Matmul(PairValues(rig, at(w, t)), PairValues(rig, at(x, t)), &magnitude[t]);
      old[t] = rig.Values(at(c, t));
    }
    const bool accumulate = trial % 5 < 2;
    rig.builder.Matmul(c, w, x, {.accumulate = accumulate, .count_nonfinite = trial % 7 == 0, .tiles = tiles});
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    std::vector<std::vector<double>> once(tiles);
    for (std::uint32_t t = 0; t < tiles; ++t) once[t] = rig.Values(at(c, t));
    rig.builder.Matmul(c, w, x, {.accumulate = true, .reuse = true, .tiles = tiles});
    for (std::uint32_t t = 0; t < tiles; ++t) rig.Fill(at(w, t).Unpaired().Merge(1), draw);  // which is not read again
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    for (std::uint32_t t = 0; t < tiles; ++t) {
      const auto twice = rig.Values(at(c, t));
      for (std::size_t i = 0; i < twice.size(); ++i) {
        CAPTURE(trial, t, i);
        const double base = accumulate ? old[t][i] : 0;
        const double bound = (magnitude[t].values[i] + std::fabs(base)) * std::ldexp(1, -22);
        REQUIRE(std::fabs(once[t][i] - (base + product[t].values[i])) <= bound);
        REQUIRE(std::fabs(twice[i] - (base + 2 * product[t].values[i])) <= 3 * bound);
      }
    }
  }
}

TEST_CASE("sums of e4m3 pairs whose products lie within 2^20 are exact but for the last rounding", "[functional][pair]") {
  Rig rig(22, WithPairs());
  for (int trial = 0; trial < 200; ++trial) {
    rig.builder.SbufRelease(0);
    const Tensor w = rig.builder.Sbuf("w", Dtype::kFp8E4M3, {8, 8, 2}).Paired();
    const Tensor x = rig.builder.Sbuf("x", Dtype::kFp8E4M3, {8, 40, 2}).Paired();
    const Tensor c = rig.builder.PsumBank("c", 0, Dtype::kFp32, {8, 40});
    // Exponents from subnormal up to 10 binades: sums of two within 20.
    const int low = trial % 4 == 0 ? -9 : -6;
    const auto draw = [&] {
      const float m = 1.0f + static_cast<float>(rig.random() % 8) / 8;
      return (rig.random() % 2 ? m : -m) * std::ldexp(1.0f, low + static_cast<int>(rig.random() % 11));
    };
    rig.Fill(w.Unpaired().Merge(1), draw);
    rig.Fill(x.Unpaired().Merge(1), draw);
    const golden::Matrix want = golden::Matmul(PairValues(rig, w), PairValues(rig, x));
    rig.builder.Matmul(c, w, x);
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    const auto got = rig.Values(c);
    // Sums of 16 products of 8 bits over 20 binades are exact in double precision.
    for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(got[i] == static_cast<double>(static_cast<float>(want.values[i])));
  }
}

TEST_CASE("every pair of 8-bit patterns has its product in either lane, infinities and NaN included", "[functional][pair]") {
  Rig rig(23, WithPairs());
  const Dtype w_type = GENERATE(Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8);
  const Dtype x_type = GENERATE(Dtype::kFp8E4M3, Dtype::kFp8E5M2, Dtype::kInt8);
  if ((w_type == Dtype::kInt8) != (x_type == Dtype::kInt8)) return;
  const bool integer = w_type == Dtype::kInt8;
  const Tensor w = rig.builder.Sbuf("w", w_type, {1, 8, 2}).Paired(), x = rig.builder.Sbuf("x", x_type, {1, 256, 2}).Paired();
  const Tensor c = rig.builder.PsumBank("c", 0, integer ? Dtype::kInt32 : Dtype::kFp32, {8, 256});
  for (std::uint32_t lane = 0; lane < 2; ++lane) {
    // The other lane holds zeros: nothing but infinity times zero, which is not among these, comes from there.
    std::memset(rig.model.memory().Sbuf(0) + w.address, 0, 16);
    std::memset(rig.model.memory().Sbuf(0) + x.address, 0, 512);
    for (std::uint32_t v = 0; v < 256; ++v) rig.model.memory().Sbuf(0)[x.address + 2 * v + lane] = static_cast<std::uint8_t>(v);
    for (std::uint32_t first = 0; first < 256; first += 8) {
      for (std::uint32_t v = 0; v < 8; ++v) {
        rig.model.memory().Sbuf(0)[w.address + 2 * v + lane] = static_cast<std::uint8_t>(first + v);
      }
      rig.builder.Matmul(c, w, x);
      ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
      const auto got = rig.Values(c);
      for (std::uint32_t m = 0; m < 8; ++m) {
        for (std::uint32_t n = 0; n < 256; ++n) {
          const double want = tb::Value(w_type, first + m) * tb::Value(x_type, n);
          CAPTURE(lane, first + m, n);
          if (std::isnan(want)) {
            REQUIRE(std::isnan(got[m * 256 + n]));
          } else {
            REQUIRE(got[m * 256 + n] == want);
          }
        }
      }
    }
  }
}

TEST_CASE("fp16 and fp32 products in pieces are as good as fp32 can hold", "[functional]") {
  Rig rig(9);
  std::normal_distribution<float> normal;
  const Dtype types[] = {Dtype::kFp32, Dtype::kFp16, Dtype::kBf16, Dtype::kFp8E4M3};
  double worst = 0;
  for (int trial = 0; trial < 64; ++trial) {
    const std::uint32_t k0 = rig.random() % 8, k = 1 + rig.random() % (8 - k0);
    const std::uint32_t m = 1 + rig.random() % 8, n = kEdge[rig.random() % std::size(kEdge)];
    const Dtype w_type = types[trial % 4], x_type = types[trial / 4 % 4];
    const float scale = trial % 8 < 4 ? 1.0f : 0.001f;  // fp16 subnormals among others
    const auto draw = [&] { return scale * normal(rig.random); };
    rig.builder.SbufRelease(0);
    std::vector<Factors> factors;
    const Tensor c = rig.builder.PsumBank("c", rig.random() % 8, Dtype::kFp32, {m, n});
    golden::Matrix want(m, n), magnitude(m, n);
    for (int f = 0; f < 1 + trial % 3; ++f) {
      const Tensor w = rig.builder.Sbuf("w", w_type, {k, m}, k0);
      const Tensor x = rig.builder.Sbuf("x", x_type, {k, n}, k0);
      rig.Fill(w, draw);
      rig.Fill(x, draw);
      factors.push_back({w, x});
      golden::Matrix part;
      const golden::Matrix product = golden::Matmul(tb::AsMatrix(k, m, rig.Values(w)),
                                                    tb::AsMatrix(k, n, rig.Values(x)), &part);
      for (std::size_t i = 0; i < want.values.size(); ++i) {
        want.values[i] += product.values[i];
        magnitude.values[i] += part.values[i];
      }
    }
    const std::size_t first = rig.builder.program()[Queue::kTensor].size();
    const std::uint32_t count = rig.builder.MatmulPieces(c, factors);
    REQUIRE(rig.builder.program()[Queue::kTensor].size() == first + count);
    for (std::size_t i = 0; i < count; ++i) {
      ExecuteInside(rig.model, Queue::kTensor, rig.builder.program()[Queue::kTensor][first + i]);
    }
    const auto got = rig.Values(c);
    for (std::size_t i = 0; i < got.size(); ++i) {
      // The last rounding; those of the factors before; what the array drops.
      const double bound = magnitude.values[i] * std::ldexp(1, -23) * factors.size();
      CAPTURE(trial, i, isa::Name(w_type), isa::Name(x_type));
      REQUIRE(std::fabs(got[i] - want.values[i]) <= bound);
      worst = std::max(worst, std::fabs(got[i] - want.values[i]) / magnitude.values[i]);
    }
  }
  INFO(worst);
  CHECK(worst < std::ldexp(1, -23));
}

TEST_CASE("infinities and NaN of fp16 and fp32 reach the sums they are part of through all passes",
          "[functional]") {
  for (const Dtype type : {Dtype::kFp16, Dtype::kFp32}) {
    for (const bool in_w : {false, true}) {
      Rig rig(10);
      const Tensor w = rig.builder.Sbuf("w", type, {8, 8});
      const Tensor x = rig.builder.Sbuf("x", type, {8, 40});
      const Tensor c = rig.builder.PsumBank("c", 0, Dtype::kFp32, {8, 40});
      // Ones have low pieces of zero, which no infinity may meet.
      std::size_t n = 0;
      rig.Fill(w, [&] { return in_w && n++ == 3 * 8 + 5 ? -INFINITY : 1.0f; });
      n = 0;
      rig.Fill(x, [&] { return ++n == 7 * 40 + 12 ? NAN : !in_w && n == 4 * 40 + 2 ? INFINITY : 1.0f; });
      const std::uint32_t count = rig.builder.MatmulPieces(c, {{w, x}});
      for (const auto& e : rig.builder.program()[Queue::kTensor]) {
        ExecuteInside(rig.model, Queue::kTensor, e);
      }
      CHECK(count == (type == Dtype::kFp16 ? 4 : 9));
      const auto v = rig.Values(c);
      for (std::size_t i = 0; i < v.size(); ++i) {
        CAPTURE(i, in_w, isa::Name(type));
        if (i % 40 == 11) {
          CHECK(std::isnan(v[i]));
        } else if (in_w ? i / 40 == 5 : i % 40 == 1) {
          CHECK(v[i] == (in_w ? -INFINITY : INFINITY));
        } else {
          CHECK(v[i] == 8);
        }
      }
    }
  }
}

TEST_CASE("int8 products add up exactly, modulo 2^32", "[functional]") {
  Rig rig(11);
  const Tensor c = rig.builder.PsumBank("c", 3, Dtype::kInt32, {8, 67});
  std::vector<std::int64_t> want(8 * 67);
  for (std::size_t i = 0; i < want.size(); ++i) want[i] = 0;
  // K = 4096 * 8 = 2^15 with the largest products; then some random ones that wrap.
  for (int step = 0; step < 4096 + 40; ++step) {
    rig.builder.SbufRelease(0);
    const Tensor w = rig.builder.Sbuf("w", Dtype::kInt8, {8, 8});
    const Tensor x = rig.builder.Sbuf("x", Dtype::kInt8, {8, 67});
    const bool most = step < 4096;
    rig.ForEach(w, [&](std::uint8_t* at, std::size_t) { *at = most ? 0x80 : rig.random() & 0xff; });
    rig.ForEach(x, [&](std::uint8_t* at, std::size_t n) {
      *at = most ? (n % 67 < 30 ? 0x80 : 0x7f) : rig.random() & 0xff;
    });
    rig.builder.Matmul(c, w, x, {.accumulate = step != 0});
    if (step % 512 == 0 || !most) {
      ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    } else {
      REQUIRE(rig.model.Execute(Queue::kTensor, rig.Last(Queue::kTensor)).err == isa::Err::kNone);
    }
    const auto wv = rig.Values(w), xv = rig.Values(x);
    for (int m = 0; m < 8; ++m) {
      for (int n = 0; n < 67; ++n) {
        for (int k = 0; k < 8; ++k) {
          want[m * 67 + n] += static_cast<std::int64_t>(wv[k * 8 + m] * xv[k * 67 + n]);
        }
      }
    }
    if (step == 4095) CHECK(want[0] == std::int64_t{1} << 29);
  }
  // Past 2^31, by accumulating a sum into itself a few times through the tile of -128.
  const Tensor w = rig.builder.Sbuf("w", Dtype::kInt8, {8, 8});
  const Tensor x = rig.builder.Sbuf("x", Dtype::kInt8, {8, 67});
  rig.ForEach(w, [&](std::uint8_t* at, std::size_t) { *at = 0x80; });
  rig.ForEach(x, [&](std::uint8_t* at, std::size_t) { *at = 0x80; });
  rig.builder.Matmul(c, w, x, {.accumulate = true});
  for (int n = 0; n < 20000; ++n) {
    REQUIRE(rig.model.Execute(Queue::kTensor, rig.Last(Queue::kTensor)).err == isa::Err::kNone);
    for (auto& v : want) v += 8 * 128 * 128;
  }
  const auto got = rig.Values(c);
  CHECK(want[0] > std::int64_t{1} << 31);
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    REQUIRE(got[i] == static_cast<std::int32_t>(static_cast<std::uint32_t>(want[i])));
  }
}

TEST_CASE("tiles side by side are that many matmuls", "[functional]") {
  Rig rig(12);
  std::normal_distribution<float> normal;
  for (int trial = 0; trial < 80; ++trial) {
    const std::uint32_t tiles = 1u << rig.random() % 3, room = 8 / tiles;
    const std::uint32_t k0 = rig.random() % room, k = 1 + rig.random() % (room - k0);
    const std::uint32_t m0 = rig.random() % room, m = 1 + rig.random() % (room - m0);
    const std::uint32_t n = kEdge[rig.random() % std::size(kEdge)];
    const bool integer = trial % 4 == 0;
    const Dtype in = integer ? Dtype::kInt8 : trial % 2 ? Dtype::kBf16 : Dtype::kFp8E5M2;
    rig.builder.SbufRelease(0);
    const Tensor w = rig.builder.Sbuf("w", in, {k, m}, k0);
    const Tensor x = rig.builder.Sbuf("x", in, {k, n}, k0);
    const Tensor c =
        rig.builder.PsumBank("c", rig.random() % 8, integer ? Dtype::kInt32 : Dtype::kFp32, {m, n}, m0);
    const auto at = [&](Tensor t, std::uint32_t tile) {
      t.part += tile * room;
      return t;
    };
    for (std::uint32_t t = 0; t < tiles; ++t) {
      rig.Fill(at(w, t), [&] { return integer ? rig.random() % 256 - 128.f : normal(rig.random); });
      rig.Fill(at(x, t), [&] { return integer ? rig.random() % 256 - 128.f : normal(rig.random); });
    }
    const bool accumulate = trial % 3 == 0;
    // One by one first, into a copy of the model.
    auto one_by_one = std::make_unique<FunctionalModel>(rig.model);
    for (std::uint32_t t = 0; t < tiles; ++t) {
      rig.builder.Matmul(at(c, t), at(w, t), at(x, t), {.accumulate = accumulate});
      REQUIRE(one_by_one->Execute(Queue::kTensor, rig.Last(Queue::kTensor)).err == isa::Err::kNone);
    }
    rig.builder.Matmul(c, w, x, {.accumulate = accumulate, .tiles = tiles});
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    REQUIRE(rig.model.memory().psum == one_by_one->memory().psum);
  }
}

TEST_CASE("an infinity or NaN of a tile reaches the other tiles of its column as NaN",
          "[functional]") {
  Rig rig(13);
  const Tensor w = rig.builder.Sbuf("w", Dtype::kBf16, {2, 2});
  const Tensor x = rig.builder.Sbuf("x", Dtype::kBf16, {2, 20});
  const Tensor c = rig.builder.PsumBank("c", 0, Dtype::kFp32, {2, 20});
  for (std::uint32_t t = 0; t < 4; ++t) {
    Tensor wt = w, xt = x;
    wt.part = xt.part = 2 * t;
    std::size_t n = 0;
    rig.Fill(wt, [] { return 1.0f; });
    rig.Fill(xt, [&] { return t == 1 && n++ == 7 ? INFINITY : 1.0f; });
  }
  rig.builder.Matmul(c, w, x, {.tiles = 4});
  ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
  Tensor all = c;
  all.dims[0].size = 8;
  const auto v = rig.Values(all);
  for (std::size_t i = 0; i < v.size(); ++i) {
    CAPTURE(i);
    if (i % 20 != 7) {
      CHECK(v[i] == 2);
    } else if (i / 40 == 1) {
      CHECK(v[i] == INFINITY);
    } else {
      CHECK(std::isnan(v[i]));
    }
  }
}

TEST_CASE("a transpose keeps every bit of every pattern", "[functional]") {
  Rig rig(14);
  // 64 patterns an instruction; all of the 8- and 16-bit types, and fp32 NaN payloads, zeros,
  // subnormals and random words.
  for (const Dtype type : isa::kAllDtype) {
    const std::uint32_t bytes = isa::DtypeBytes(type);
    const std::uint32_t patterns = bytes == 1 ? 256 : 65536;
    for (std::uint32_t base = 0; base < patterns; base += 64) {
      const auto pattern = [&](std::uint32_t n) {
        if (bytes != 4) return base + n;
        constexpr std::uint32_t kTop[] = {0x7f80, 0xff80, 0x7fc0, 0xffc0, 0x0000, 0x8000, 0x007f};
        const std::uint32_t low = (base + n) * 0x9e37u & 0xffff;
        return n % 8 < 7 ? kTop[n % 8] << 16 | low : (base + n) * 0x9e3779b9u;
      };
      rig.builder.SbufRelease(0);
      const std::uint32_t m0 = rig.random() % 2, m = 8 - m0, k0 = rig.random() % 2, k = 8 - k0;
      const Tensor s = rig.builder.Sbuf("s", type, {k, m}, k0);
      const Tensor d = rig.builder.PsumBank("d", rig.random() % 8, Dtype::kInt32, {m, k}, m0);
      rig.ForEach(s, [&](std::uint8_t* at, std::size_t n) {
        const std::uint32_t bits = pattern(static_cast<std::uint32_t>(n));
        std::memcpy(at, &bits, bytes);
      });
      const std::size_t first = rig.builder.program()[Queue::kTensor].size();
      rig.builder.Transpose(d, s);
      REQUIRE(rig.builder.program()[Queue::kTensor].size() == first + bytes);
      for (std::size_t i = first; i < first + bytes; ++i) {
        ExecuteInside(rig.model, Queue::kTensor, rig.builder.program()[Queue::kTensor][i]);
      }
      rig.ForEach(d, [&](std::uint8_t* at, std::size_t n) {
        const auto i = static_cast<std::uint32_t>(n);
        std::uint32_t want = pattern(i % k * m + i / k), got = 0;
        if (type == Dtype::kBf16) want <<= 16;
        if (bytes == 1) {
          want = static_cast<std::uint32_t>(static_cast<std::int8_t>(static_cast<std::uint8_t>(want)));
        }
        std::memcpy(&got, at, 4);
        if (got != want) REQUIRE(got == want);
      });
      if (bytes == 4 && base >= 8192) break;
    }
  }
}

TEST_CASE("infinite and NaN words are counted as often as they are written, if the matmul asks",
          "[functional]") {
  Rig rig(9);
  const Tensor w = rig.builder.Sbuf("w", Dtype::kBf16, {8, 6});
  const Tensor x = rig.builder.Sbuf("x", Dtype::kBf16, {8, 40});
  const Tensor c = rig.builder.PsumBank("c", 2, Dtype::kFp32, {6, 40});
  std::size_t n = 0;
  rig.Fill(w, [] { return 1.0f; });
  // Columns 3 and 17 become infinite, column 25 NaN: inf - inf.
  rig.Fill(x, [&] {
    const std::size_t at = n++;
    if (at == 5 * 40 + 3 || at == 17 || at == 25) return INFINITY;
    return at == 3 * 40 + 25 ? -INFINITY : 1.0f;
  });
  const auto run = [&](const Tensor& d, const Tensor& source, bool accumulate, bool count) {
    rig.builder.Matmul(d, w, source, {accumulate, false, count});
    ExecuteInside(rig.model, Queue::kTensor, rig.Last(Queue::kTensor));
    return rig.model.counted();
  };
  CHECK(run(c, x, false, true) == 3 * 6);
  CHECK(run(c, x, false, false) == 0);
  // The same word again and again: infinite from column 3 on, whatever is added.
  CHECK(run(c.Slice(1, 0, 1).Broadcast(1, 40), x, true, true) == 37 * 6);
  // Accumulated onto what is there: columns 3, 17, 25, and column 0 of the sums before.
  CHECK(run(c, x, true, true) == 4 * 6);
  CHECK(run(c.Slice(1, 4, 13), x.Slice(1, 4, 13), false, true) == 0);
}

TEST_CASE("a counting matmul leaves the bits of one that doesn't count", "[functional][random]") {
  std::mt19937 random(10);
  int legal = 0, some = 0;
  for (int trial = 0; trial < 4000 && legal < 300; ++trial) {
    FunctionalModel plain(isa::kConfigs[0], 0, 64), counting(isa::kConfigs[0], 0, 64);
    isa::EngineInstr i{.opcode = 0x10, .dtype_d = 1, .dtype_0 = 2, .dtype_1 = 4, .acc = 1,
                       .space_d = 1, .parts = 8, .parts_d = 8};
    i.acc = random() % 2;
    for (int k = 0; k < 4; ++k) {
      i.size[k] = static_cast<std::uint16_t>(1 + random() % (k == 0 ? 40 : 4));
      i.str_d[k] = static_cast<std::int16_t>(static_cast<int>(random() % 50) - 20);
      i.str_0[k] = static_cast<std::int16_t>(static_cast<int>(random() % 50) - 20);
    }
    if (random() % 2) i.str_d[0] = 1;
    if (random() % 4 == 0) i.str_d[0] = 0;
    i.off_d = i.off_0 = 8192;
    i.off_1 = 4096;
    i.str_1[0] = 3;
    if (CheckInstruction(Queue::kTensor, Encode(i), plain.limits()).err != isa::Err::kNone) continue;
    ++legal;
    for (FunctionalModel* m : {&plain, &counting}) {
      std::mt19937 fill(static_cast<unsigned>(trial));
      for (auto& byte : m->memory().sbuf) byte = static_cast<std::uint8_t>(fill());
      for (auto& byte : m->memory().psum) byte = static_cast<std::uint8_t>(fill());
      m->SetPsumWritten(0xff);
      i.count_nf = m == &counting;
      REQUIRE(m->Execute(Queue::kTensor, Encode(i)).err == isa::Err::kNone);
    }
    REQUIRE(plain.memory().psum == counting.memory().psum);
    REQUIRE(plain.counted() == 0);
    some += counting.counted() != 0;
  }
  CHECK(legal == 300);
  CHECK(some > 200);
}

TEST_CASE("an accumulate needs every bank that it touches written, and says which is not",
          "[functional]") {
  FunctionalModel model(isa::kConfigs[0], 0, 64);
  isa::EngineInstr i{.opcode = 0x10, .dtype_d = 1, .dtype_0 = 2, .dtype_1 = 2, .acc = 1,
                     .space_d = 1, .parts = 8, .parts_d = 8};
  i.size = {3, 2, 1, 1};
  i.str_d = {1, 1536, 0, 0};  // banks b and b + 3
  const auto run = [&](std::uint32_t bank, bool acc) {
    i.off_d = 2048 * bank + 8;
    i.acc = acc;
    return model.Execute(Queue::kTensor, Encode(i));
  };
  CHECK(run(1, true) == CheckResult{isa::Err::kPsumUnwritten, 0, 2048});
  CHECK(model.psum_written() == 0);  // a refused instruction writes nothing
  CHECK(run(1, false).err == isa::Err::kNone);
  CHECK(model.psum_written() == 0b10010);
  CHECK(run(1, true).err == isa::Err::kNone);
  CHECK(run(4, true) == CheckResult{isa::Err::kPsumUnwritten, 0, 7 * 2048});
  CHECK(run(3, true) == CheckResult{isa::Err::kPsumUnwritten, 0, 3 * 2048});
  // Another engine's write counts, a read does not.
  isa::EngineInstr copy{.opcode = 0x20, .dtype_d = 1, .dtype_0 = 1, .parts = 8, .parts_d = 8};
  copy.size = {4, 1, 1, 1};
  copy.str_d = copy.str_0 = {1, 0, 0, 0};
  copy.space_0 = 1;
  copy.off_0 = 7 * 2048;
  CHECK(model.Execute(Queue::kVector, Encode(copy)).err == isa::Err::kNone);
  CHECK(model.psum_written() == 0b10010);
  copy.space_0 = 0;
  copy.space_d = 1;
  copy.off_d = 8 * 2048 - 16;
  CHECK(model.Execute(Queue::kVector, Encode(copy)).err == isa::Err::kNone);
  CHECK(run(4, true).err == isa::Err::kNone);
  // A static error comes first.
  i.dtype_0 = 6;
  CHECK(run(0, true) == CheckResult{isa::Err::kBadDtype, 1, 0});
  // A transpose is no different.
  i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
  i.size = {i.parts, 1, 1, 1};
  i.str_d = {1, 0, 0, 0};
  CHECK(run(0, true) == CheckResult{isa::Err::kPsumUnwritten, 0, 0});
  CHECK(run(0, false).err == isa::Err::kNone);
  CHECK(run(0, true).err == isa::Err::kNone);
}

TEST_CASE("random legal instructions write inside their footprint only", "[functional]") {
  Rig rig(7);
  int legal = 0, transposes = 0, tiled = 0, in_pieces = 0, indexed = 0;
  for (int trial = 0; trial < 60000 && legal < 3000; ++trial) {
    const Queue queue = isa::kAllQueue[rig.random() % 5];
    isa::Encoded encoded{};
    const auto stride = [&] {
      return static_cast<std::int16_t>(static_cast<int>(rig.random() % 40) - 12);
    };
    if (queue == Queue::kDma0 || queue == Queue::kDma1) {
      isa::DmaInstr i{};
      i.opcode = static_cast<std::uint8_t>(isa::Op::kCopy);
      i.dtype_d = i.dtype_0 = static_cast<std::uint8_t>(1 + rig.random() % 7);
      const std::int32_t bytes =
          static_cast<std::int32_t>(isa::DtypeBytes(static_cast<Dtype>(i.dtype_d)));
      for (auto& s : i.size) s = static_cast<std::uint16_t>(1 + rig.random() % 4);
      const auto side = [&](std::uint64_t& addr, std::array<std::int32_t, 4>& str) {
        const bool sbuf = rig.random() % 2 != 0;
        const std::uint64_t offset = rig.random() % 8192 / 4 * 4;
        addr = sbuf ? std::uint64_t{1} << 44 | std::uint64_t{rig.random() % 8} << 20 | offset
                    : 0x1000 + offset;
        for (auto& s : str) {
          s = stride() * bytes;
          if (sbuf && rig.random() % 3 == 0)
            s += (static_cast<int>(rig.random() % 3) - 1) * (1 << 20);
        }
        if (rig.random() % 2 != 0) str[0] = bytes;
      };
      side(i.src_addr, i.src_str);
      side(i.dst_addr, i.dst_str);
      if (rig.random() % 3 == 0) {
        const bool gather = rig.random() % 2 != 0;
        i.opcode = static_cast<std::uint8_t>(gather ? isa::Op::kGather : isa::Op::kScatter);
        i.size[3] = 1;
        const std::uint32_t limit = 1 + rig.random() % 20, part = rig.random() % 8, at = 8192 + rig.random() % 1024 * 4;
        isa::SetLimit(i, limit);
        isa::SetListAddr(i, part << 20 | at);
        for (std::uint32_t n = 0; n < i.size[2]; ++n) {
          const std::uint32_t index = rig.random() % limit;
          std::memcpy(rig.model.memory().Sbuf(part) + at + 4 * n, &index, 4);
        }
      }
      encoded = Encode(i);
    } else {
      isa::EngineInstr i{};
      const isa::Op ops[] = {isa::Op::kMatmul, isa::Op::kTensor, isa::Op::kAct};
      i.opcode = static_cast<std::uint8_t>(ops[static_cast<int>(queue)]);
      const bool matmul = queue == Queue::kTensor;
      if (queue == Queue::kVector && rig.random() % 2 != 0)
        i.opcode = static_cast<std::uint8_t>(isa::Op::kReduce);
      const bool reduce = i.opcode == static_cast<std::uint8_t>(isa::Op::kReduce);
      const bool integer = matmul && rig.random() % 4 == 0;
      const bool transpose = matmul && rig.random() % 4 == 0;
      if (transpose) i.opcode = static_cast<std::uint8_t>(isa::Op::kTranspose);
      i.dtype_d = static_cast<std::uint8_t>(matmul ? (integer ? 7 : 1) : 1 + rig.random() % 7);
      i.dtype_0 = static_cast<std::uint8_t>(integer ? 6 : 1 + rig.random() % (matmul ? 5 : 7));
      i.dtype_1 = static_cast<std::uint8_t>(integer ? 6 : 1 + rig.random() % (matmul ? 5 : 7));
      if (matmul) {
        i.piece_0 = rig.random() % 3;
        i.piece_1 = rig.random() % 3;
        i.tiles = transpose ? 0 : rig.random() % 3;
      }
      i.space_d = matmul || rig.random() % 3 == 0;
      i.space_0 = !matmul && rig.random() % 3 == 0;
      i.func = static_cast<std::uint8_t>(
          transpose ? rig.random() % 2
          : matmul  ? 0
                    : rig.random() % 3 % (queue == Queue::kScalar ? 2 : 3));
      i.round = static_cast<std::uint8_t>(rig.random() % 3);
      i.sat = rig.random() % 2 != 0;
      i.acc = rig.random() % 2 != 0;
      i.rdims = reduce ? rig.random() % 4 : 0;
      i.parts = static_cast<std::uint8_t>(1 + rig.random() % 8);
      i.parts_d = matmul ? static_cast<std::uint8_t>(1 + rig.random() % 8) : i.parts;
      i.parts = static_cast<std::uint8_t>(std::max(1, i.parts >> i.tiles));
      i.parts_d = matmul ? static_cast<std::uint8_t>(std::max(1, i.parts_d >> i.tiles)) : i.parts;
      i.part_0 = i.part_1 = static_cast<std::uint8_t>(rig.random() % 4 >> i.tiles);
      i.part_d = matmul ? static_cast<std::uint8_t>(rig.random() % 4) : i.part_0;
      i.off_d = rig.random() % 8192 / 4 * 4;
      i.off_0 = rig.random() % 8192 / 4 * 4;
      i.off_1 = rig.random() % 8192 / 4 * 4;
      for (int k = 0; k < 4; ++k) {
        i.size[k] = static_cast<std::uint16_t>(1 + rig.random() % 5);
        i.str_d[k] = reduce && k <= i.rdims ? std::int16_t{0} : stride();
        i.str_0[k] = stride();
        i.str_1[k] = matmul && k > 0 ? std::int16_t{0} : stride();
        if (transpose) i.size[k] = k == 0 ? i.parts : 1;
      }
      encoded = Encode(i);
    }
    if (CheckInstruction(queue, encoded, rig.model.limits()).err != isa::Err::kNone) continue;
    ++legal;
    if (queue == Queue::kTensor) {
      const EngineInstr i = isa::DecodeEngineInstr(encoded);
      transposes += i.opcode == static_cast<std::uint8_t>(isa::Op::kTranspose);
      tiled += i.tiles != 0;
      in_pieces += (i.piece_0 | i.piece_1) != 0;
    }
    indexed += queue >= Queue::kDma0 && encoded[0] != static_cast<std::uint8_t>(isa::Op::kCopy);
    ExecuteInside(rig.model, queue, encoded);
  }
  CHECK(legal == 3000);
  CHECK(transposes > 30);
  CHECK(tiled > 30);
  CHECK(in_pieces > 30);
  CHECK(indexed > 100);
}

TEST_CASE("an AXI error leaves memory as it was", "[functional]") {
  Rig rig(8);
  rig.model.limits().dram_limit = 0x100000;  // the window promises more than there is
  const Tensor chip = rig.builder.Sbuf("chip", Dtype::kInt8, {8, 16});
  rig.builder.Copy(Queue::kDma0, chip, Tensor::Dram("beyond", 0x80000, Dtype::kInt8, {8, 16}));
  const Snapshot before = Take(rig.model);
  CHECK(rig.model.Execute(Queue::kDma0, rig.Last(Queue::kDma0)).err == isa::Err::kAxiRead);
  rig.builder.Copy(Queue::kDma0, Tensor::Dram("beyond", 0x80000, Dtype::kInt8, {8, 16}), chip);
  CHECK(rig.model.Execute(Queue::kDma0, rig.Last(Queue::kDma0)).err == isa::Err::kAxiWrite);
  CHECK(before.sbuf == rig.model.memory().sbuf);
  CHECK(before.dram == rig.model.dram().bytes);
}

TEST_CASE("the retire hook sees every instruction once, in its queue's order", "[functional]") {
  DeviceOptions options = tb::Options("nano");
  FunctionalDevice device(options);
  std::array<std::uint32_t, isa::kNumQueues> next{};
  device.OnRetire([&](Queue queue, std::uint32_t index, const isa::Encoded&) {
    CHECK(index == next[static_cast<std::size_t>(queue)]++);
  });
  ProgramBuilder b(options.config);
  for (int i = 0; i < 5; ++i) {
    b.Nop(Queue::kVector, {{{0, static_cast<std::uint16_t>(i)}}, {}, false});
    b.Nop(Queue::kDma0, {{}, Signal{0, 1}, false});
  }
  device.Run(b.Take());
  CHECK(next[1] == 5);
  CHECK(next[3] == 5);
}

}  // namespace dither
