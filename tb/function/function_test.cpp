// The scalar engine's function tables against the host's math library: the fitter's own mathematics,
// every bf16 input, fp32 samples, the ends of every range, the image and its checksum.
#include <catch2/catch.hpp>

#include <cmath>
#include <cstdio>
#include <random>

#include "sim/function/expression.hpp"
#include "sim/function/function_set.hpp"
#include "sim/golden/golden.hpp"

namespace dither {
namespace {

using function::Catalog;
using function::FittedFunction;
using function::Spec;
using isa::ActFunc;

double Value(std::uint32_t bits) { return golden::ValueOf(bits, 8, 23); }
std::uint32_t ToBits(double v) { return std::bit_cast<std::uint32_t>(static_cast<float>(v)); }
std::uint16_t Bf16(std::uint32_t fp32) {
  return static_cast<std::uint16_t>(NarrowFromFp32(Dtype::kBf16, fp32, Round::kRne, false, 0));
}

// A double as bf16, to nearest even, by comparing with the neighbours: nothing of the model's code.
std::uint16_t NearestBf16(double y) {
  if (std::isnan(y)) return 0x7fc0;
  const std::uint16_t sign = std::signbit(y) ? 0x8000 : 0;
  const double magnitude = std::fabs(y);
  std::uint32_t low = 0, high = 0x7f80;  // low <= magnitude < high as numbers
  const auto value = [](std::uint32_t bits) {
    return bits == 0x7f80 ? 0x1p128 : golden::ValueOf(bits, 8, 7);
  };
  if (magnitude >= value(high)) return sign | 0x7f80;
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    (value(middle) <= magnitude ? low : high) = middle;
  }
  const double down = magnitude - value(low), up = value(high) - magnitude;
  const bool upper = up < down || (up == down && low % 2 != 0);
  return sign | static_cast<std::uint16_t>(upper ? high : low);
}

double UnitOf(double y) {
  int exponent = 0;
  std::frexp(y, &exponent);
  return std::ldexp(1, std::min(std::max(exponent - 24, -149), 104));
}

}  // namespace

TEST_CASE("the fitter's mathematics is the host library's to 2^-48", "[function][dd]") {
  std::mt19937_64 random(1);
  for (const Spec& spec : Catalog()) {
    INFO(spec.name);
    for (int n = 0; n < 3000; ++n) {
      std::uint32_t x = static_cast<std::uint32_t>(random());
      if (n % 4 != 0) x = (x & 0x807fffff) | ((110 + (x >> 23 & 31) % 25) << 23);  // 2^-17 .. 2^7
      if (Fp32IsNan(x) || Fp32IsInf(x) || Fp32IsZero(x)) continue;
      const double v = Value(x), got = function::Truth(spec, x).hi, want = golden::Function(spec.name, v);
      CAPTURE(v, got, want);
      if (std::isnan(want)) {
        REQUIRE(std::isnan(got));
        continue;
      }
      if (std::fabs(want) < 1e-150 || std::isinf(want)) continue;
      // The host loses what its own formula cancels: absolute where the terms are of order 1.
      const bool cancels = spec.name.ends_with("_grad") || spec.name.starts_with("gelu");
      const double scale = std::fabs(want) + (cancels && std::fabs(v) < 1.5 ? 0.1 * std::fabs(v) : 0);
      REQUIRE(std::fabs(got - want) <= scale * (cancels && v < -5 ? 1e-11 : 0x1p-48));
    }
  }
}

TEST_CASE("every bf16 input of every function gives the correctly rounded bf16", "[function][bf16]") {
  for (const Spec& spec : Catalog()) {
    INFO(spec.name);
    const model::FunctionMemory memory = function::MemoryOf(TableOf(spec.code));
    const model::FunctionHeader& header = memory.headers()[0];
    std::uint32_t wrong = 0, ties = 0;
    for (std::uint32_t n = 0; n < 0x10000; ++n) {
      const std::uint32_t x = n << 16;
      const std::uint16_t got = Bf16(memory.Apply(header, x, true));
      if (Fp32IsNan(x)) {
        REQUIRE(got == 0x7fc0);
        continue;
      }
      if (Fp32IsZero(x) || Fp32IsInf(x)) continue;  // the next case
      const std::uint16_t host = NearestBf16(golden::Function(spec.name, Value(x)));
      if (got == host) continue;
      // The host's double may itself stand on the wrong side of a tie, or round its own cancellation;
      // a hundred bits decide.
      ++ties;
      wrong += got != function::TruthBf16(spec, x);
    }
    CHECK(wrong == 0);
    // Where host and fitter differ it is by the host's rounding: subnormal ties of halves (x Phi(x),
    // x sigmoid(x)) and -0 below the smallest subnormal.
    CHECK(ties <= 260);
  }
}

TEST_CASE("zeros and infinities give the limits of the function", "[function][special]") {
  const double inf = INFINITY;
  for (const Spec& spec : Catalog()) {
    INFO(spec.name);
    const model::FunctionMemory memory = function::MemoryOf(TableOf(spec.code));
    const model::FunctionHeader& header = memory.headers()[0];
    for (const double x : {0.0, -0.0, inf, -inf}) {
      double want = golden::Function(spec.name, x);
      // Products of an infinity and a zero that go to zero, and to 1.
      if (std::isnan(want) && x == -inf && spec.name != "log" && spec.name != "sqrt" &&
          spec.name != "rsqrt" && spec.name != "sin" && spec.name != "cos") {
        want = 0;
      }
      if (std::isnan(want) && x == inf && spec.name != "sin" && spec.name != "cos") {
        want = spec.name == "sigmoid_grad" || spec.name == "tanh_grad" ? 0 : 1;
      }
      const std::uint32_t got = memory.Apply(header, ToBits(x), false);
      CAPTURE(x, got, want);
      if (std::isnan(want)) {
        CHECK(got == kFp32Nan);
      } else {
        CHECK(Value(got) == static_cast<double>(static_cast<float>(want)));
      }
    }
    CHECK(memory.Apply(header, 0xffc00001, false) == kFp32Nan);
  }
}

TEST_CASE("fp32 results are within 1 unit in the last place, but sine and cosine and near roots",
          "[function][fp32]") {
  std::mt19937 random(2);
  for (const Spec& spec : Catalog()) {
    const model::FunctionMemory memory = function::MemoryOf(TableOf(spec.code));
    const model::FunctionHeader& header = memory.headers()[0];
    double worst = 0;
    std::uint32_t at = 0;
    for (int n = 0; n < 300000; ++n) {
      std::uint32_t x = static_cast<std::uint32_t>(random());
      if (n % 2 != 0) x = (x & 0x807fffff) | ((110 + (x >> 23 & 31) % 25) << 23);
      if (Fp32IsNan(x) || Fp32IsInf(x) || Fp32IsZero(x)) continue;
      const double v = Value(x), want = golden::Function(spec.name, v);
      // Around a root and where the host's own formula cancels a unit of the result says nothing.
      if (spec.name == "sin" || spec.name == "cos") {
        REQUIRE(std::fabs(Value(memory.Apply(header, x, false)) - want) <= 0x1p-24);
        if (std::fabs(v) > 1.5) continue;
      }
      if (spec.name == "silu_grad" && std::fabs(v + 1.2785) < 0.03) continue;
      if (spec.name.starts_with("gelu") && std::fabs(v + 0.7518) < 0.03) continue;
      if (spec.name.starts_with("gelu") && v < -5) continue;  // the host's exp(-x^2/2) of a rounded x^2
      if (spec.name == "silu_grad" && v < -30) continue;
      const std::uint32_t got = memory.Apply(header, x, false);
      if (std::isnan(want)) {
        REQUIRE(got == kFp32Nan);
        continue;
      }
      if (std::fabs(want) >= 0x1.ffffffp127) {
        REQUIRE(Fp32IsInf(got));
        continue;
      }
      const double ulp = std::fabs(Value(got) - want) / UnitOf(want);
      if (ulp > worst) {
        worst = ulp;
        at = x;
      }
    }
    INFO(spec.name << " at " << Value(at));
    CHECK(worst <= 1.0);
  }
}

TEST_CASE("a damaged set is refused and the one before stays", "[function][image]") {
  FunctionSet set({ActFunc::kExp, ActFunc::kReciprocal});
  const std::vector<std::uint8_t> image = set.Image();
  model::FunctionMemory memory;
  REQUIRE(memory.Load(image));
  CHECK(memory.Loaded(static_cast<std::uint8_t>(ActFunc::kExp)));
  CHECK(memory.Loaded(static_cast<std::uint8_t>(ActFunc::kRelu)));
  CHECK_FALSE(memory.Loaded(static_cast<std::uint8_t>(ActFunc::kGelu)));
  const auto before = memory.segments();
  std::mt19937 random(3);
  for (int n = 0; n < 2000; ++n) {
    auto bad = image;
    bad[random() % bad.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    REQUIRE_FALSE(memory.Load(bad));
  }
  CHECK_FALSE(memory.Load(std::span(image).first(image.size() - 8)));
  CHECK(memory.segments() == before);
  CHECK(memory.Loaded(static_cast<std::uint8_t>(ActFunc::kExp)));
}

TEST_CASE("a set says what does not fit, what is twice and what has no table", "[function][set]") {
  using Catch::Contains;
  CHECK_THROWS_WITH(TableOf(ActFunc::kRelu), Contains("relu has no table"));
  CHECK_THROWS_WITH(TableOf(ActFunc::kUser1), Contains("user1 has no table"));
  CHECK_THROWS_WITH(FunctionSet({ActFunc::kExp, ActFunc::kExp}), Contains("exp is in the set already"));
  CHECK_THROWS_WITH(FunctionSet({ActFunc::kGeluTanh, ActFunc::kGeluTanhGrad, ActFunc::kSilu,
                                 ActFunc::kSiluGrad, ActFunc::kGelu}),
                    Contains("segments") && Contains("left: load the functions in two sets"));
  FunctionSet set;
  CHECK_THROWS_WITH(set.Add(TableOf(ActFunc::kExp), ActFunc::kRelu), Contains("takes no table"));
}

TEST_CASE("functions of a set give the bits that they give alone", "[function][set]") {
  FunctionSet set({ActFunc::kLog, ActFunc::kTanh, ActFunc::kSin, ActFunc::kRsqrt});
  set.Add(TableOf(ActFunc::kExp), ActFunc::kUser2);
  model::FunctionMemory memory;
  REQUIRE(memory.Load(set.Image()));
  std::mt19937 random(4);
  for (const ActFunc func : {ActFunc::kLog, ActFunc::kTanh, ActFunc::kSin, ActFunc::kRsqrt, ActFunc::kUser2}) {
    const ActFunc source = func == ActFunc::kUser2 ? ActFunc::kExp : func;
    const model::FunctionMemory alone = function::MemoryOf(TableOf(source));
    for (int n = 0; n < 20000; ++n) {
      const auto x = static_cast<std::uint32_t>(random());
      REQUIRE(memory.Apply(memory.Header(static_cast<std::uint8_t>(func)), x, n % 2 != 0) ==
              alone.Apply(alone.headers()[0], x, n % 2 != 0));
    }
  }
}

TEST_CASE("a function given as text fits, with every bf16 input right; a wrong text shows the place",
          "[function][expression]") {
  using Catch::Contains;
  Spec mish;
  mish.name = "mish";
  mish.f = function::ParseExpression("x * tanh(softplus(x))");
  mish.special = {0, -0.0, INFINITY, -0.0};
  CHECK(std::fabs(mish.f(function::Dd(1.0)).hi - 0.8650983882673103) < 1e-15);
  CHECK(function::CheckBf16(mish, function::Fit(mish)).wrong == 0);
  CHECK(function::ParseExpression("2 - -x^3 / (1.5 + x)")(function::Dd(2.0)).hi == 2 + 8 / 3.5);
  CHECK_THROWS_WITH(function::ParseExpression("x * swish(x)"),
                    Contains("character 5: no function 'swish'; there are abs cos erf"));
  CHECK_THROWS_WITH(function::ParseExpression("(x + 1"), Contains("')' is missing"));
  CHECK_THROWS_WITH(function::ParseExpression("x 2"), Contains("character 3"));
  Spec wild;
  wild.name = "wild";
  wild.f = function::ParseExpression("sin(x)");
  CHECK_THROWS_WITH(function::Fit(wild), Contains("wild: neither constant nor proportional to x for large x"));
}

TEST_CASE("a table file comes back, and a damaged one is refused by name", "[function][file]") {
  const std::string path = "build/function_test.dft";
  WriteTableFile(path, TableOf(ActFunc::kSilu));
  const FittedFunction back = ReadTableFile(path);
  CHECK(back == TableOf(ActFunc::kSilu));
  {
    std::FILE* file = std::fopen(path.c_str(), "r+b");
    std::fseek(file, 100, SEEK_SET);
    std::fputc(0x5a, file);
    std::fclose(file);
  }
  CHECK_THROWS_WITH(ReadTableFile(path), Catch::Contains(path + ": damaged function table"));
  CHECK_THROWS_WITH(ReadTableFile("build/no.dft"), Catch::Contains("can't be opened"));
  std::remove(path.c_str());
}

}  // namespace dither
