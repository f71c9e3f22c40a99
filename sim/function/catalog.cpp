#include "sim/function/catalog.hpp"

#include <limits>
#include <stdexcept>

namespace dither::function {
namespace {

using isa::ActFunc;
using model::ArgMode;
using model::Symmetry;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kLn2 = 0.69314718055994529;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Inner argument of gelu's tanh form, doubled: gelu_tanh(x) = x * sigmoid(GeluInner(x)).
Dd GeluInner(Dd x) {
  const Dd c = Dd(44715) / Dd(1000000);
  return Dd(2) * Sqrt(Dd(2) / Pi()) * (x + c * x * x * x);
}
Dd GeluInnerGrad(Dd x) {
  const Dd c = Dd(3 * 44715) / Dd(1000000);
  return Dd(2) * Sqrt(Dd(2) / Pi()) * (Dd(1) + c * x * x);
}
// s (1 - s) without cancellation.
Dd SigmoidGrad(Dd x) { return Sigmoid(x) * Sigmoid(-x); }

std::vector<Spec> Make() {
  std::vector<Spec> all;
  const auto add = [&](ActFunc code, std::array<double, 4> special, std::function<Dd(Dd)> f,
                       Symmetry symmetry = Symmetry::kNone) -> Spec& {
    Spec s;
    s.name = isa::Name(code);
    s.code = code;
    s.symmetry = symmetry;
    s.f = std::move(f);
    s.special = special;
    all.push_back(std::move(s));
    return all.back();
  };
  const auto slope = [] { return Dd(0.01f); };  // the fp32 number nearest to 1/100
  add(ActFunc::kLeakyRelu, {0, -0.0, kInf, -kInf},
      [slope](Dd x) { return x.hi < 0 ? x * slope() : x; });
  add(ActFunc::kGelu, {0, -0.0, kInf, -0.0}, [](Dd x) { return x * NormalCdf(x); });
  add(ActFunc::kGeluTanh, {0, -0.0, kInf, -0.0},
      [](Dd x) { return x * Sigmoid(GeluInner(x)); });
  add(ActFunc::kSilu, {0, -0.0, kInf, -0.0}, [](Dd x) { return x * Sigmoid(x); });
  add(ActFunc::kSigmoid, {0.5, 0.5, 1, 0}, Sigmoid);
  add(ActFunc::kTanh, {0, -0.0, 1, -1}, Tanh, Symmetry::kOdd);
  add(ActFunc::kExp, {1, 1, kInf, 0}, Exp);
  {
    Spec& s = add(ActFunc::kLog, {-kInf, -kInf, kInf, kNan}, Log);
    s.mode = ArgMode::kLog;
    s.second = [](Dd u) { return Log1p(u.hi < -0.5 ? Dd(-0.5) : u); };  // -1/2 is the least
    s.addend = Log(Dd(2));
  }
  {
    Spec& s = add(ActFunc::kSqrt, {0, -0.0, kInf, kNan}, Sqrt);
    s.mode = ArgMode::kMantissa;
    s.parity = true;
  }
  {
    Spec& s = add(ActFunc::kRsqrt, {kInf, -kInf, 0, kNan}, [](Dd x) { return Dd(1) / Sqrt(x); });
    s.mode = ArgMode::kMantissa;
    s.parity = true;
  }
  add(ActFunc::kReciprocal, {kInf, -kInf, 0, -0.0}, [](Dd x) { return Dd(1) / x; },
      Symmetry::kOdd)
      .mode = ArgMode::kMantissa;
  add(ActFunc::kSoftplus, {kLn2, kLn2, kInf, 0}, Softplus);
  add(ActFunc::kErf, {0, -0.0, 1, -1}, Erf, Symmetry::kOdd);
  {
    Spec& s = add(ActFunc::kSin, {0, -0.0, kNan, kNan}, Sin, Symmetry::kOdd);
    s.mode = ArgMode::kTurn;
    s.second = SinQuarter;
  }
  {
    Spec& s = add(ActFunc::kCos, {1, 1, kNan, kNan}, Cos, Symmetry::kEven);
    s.mode = ArgMode::kTurn;
    s.turn = 1;
    s.second = SinQuarter;
  }
  add(ActFunc::kLeakyReluGrad, {1, 1, 1, 0.01f},
      [slope](Dd x) { return x.hi < 0 ? slope() : Dd(1); });
  add(ActFunc::kGeluGrad, {0.5, 0.5, 1, -0.0},
      [](Dd x) { return x.hi < -30 ? Dd(-0.0) : NormalCdf(x) + x * NormalPdf(x); });
  add(ActFunc::kGeluTanhGrad, {0.5, 0.5, 1, -0.0}, [](Dd x) {
    const Dd z = GeluInner(x);
    if (!(Abs(z).hi < 700)) return x.hi < 0 ? Dd(-0.0) : Dd(1);
    return Sigmoid(z) * (Dd(1) + x * GeluInnerGrad(x) * Sigmoid(-z));
  });
  add(ActFunc::kSiluGrad, {0.5, 0.5, 1, -0.0},
      [](Dd x) { return Sigmoid(x) * (Dd(1) + x * Sigmoid(-x)); });
  add(ActFunc::kSigmoidGrad, {0.25, 0.25, 0, 0}, SigmoidGrad, Symmetry::kEven);
  // 1 - tanh^2(x) = 4 s(2x) (1 - s(2x))
  add(ActFunc::kTanhGrad, {1, 1, 0, 0}, [](Dd x) { return Dd(4) * SigmoidGrad(x + x); },
      Symmetry::kEven);
  return all;
}

}  // namespace

const std::vector<Spec>& Catalog() {
  static const std::vector<Spec> all = Make();
  return all;
}

const Spec& Find(const std::string& name) {
  std::string names;
  for (const Spec& s : Catalog()) {
    if (s.name == name) return s;
    names += " " + s.name;
  }
  throw std::invalid_argument("no function '" + name + "'; there are" + names);
}

}  // namespace dither::function
