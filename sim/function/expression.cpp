// Recursive descent: sum -> product -> power -> signed atom.
#include "sim/function/expression.hpp"

#include <cctype>
#include <charconv>
#include <cmath>
#include <map>
#include <stdexcept>

namespace dither::function {
namespace {

using Function = std::function<Dd(Dd)>;

const std::map<std::string, Dd (*)(Dd)>& Functions() {
  static const std::map<std::string, Dd (*)(Dd)> all = {
      {"abs", Abs},         {"sqrt", Sqrt},       {"exp", Exp},   {"expm1", Expm1}, {"log", Log},
      {"log1p", Log1p},     {"log2", Log2},       {"tanh", Tanh}, {"erf", Erf},     {"erfc", Erfc},
      {"sigmoid", Sigmoid}, {"softplus", Softplus}, {"sin", Sin}, {"cos", Cos},
      {"normal_cdf", NormalCdf}, {"normal_pdf", NormalPdf}};
  return all;
}

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}
  Function All() {
    Function f = Sum();
    Space();
    if (at_ != text_.size()) Fail("an operator or the end is missing");
    return f;
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    throw std::invalid_argument("'" + text_ + "', character " + std::to_string(at_ + 1) + ": " + what);
  }
  void Space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool Eat(char c) {
    Space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Function Sum() {
    Function f = Product();
    for (;;) {
      if (Eat('+')) {
        f = [f, g = Product()](Dd x) { return f(x) + g(x); };
      } else if (Eat('-')) {
        f = [f, g = Product()](Dd x) { return f(x) - g(x); };
      } else {
        return f;
      }
    }
  }
  Function Product() {
    Function f = Signed();
    for (;;) {
      if (Eat('*')) {
        f = [f, g = Signed()](Dd x) { return f(x) * g(x); };
      } else if (Eat('/')) {
        f = [f, g = Signed()](Dd x) { return f(x) / g(x); };
      } else {
        return f;
      }
    }
  }
  Function Signed() {
    if (Eat('-')) return [f = Signed()](Dd x) { return -f(x); };
    Function f = Atom();
    if (!Eat('^')) return f;
    Space();
    int n = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), n);
    if (error != std::errc{} || n < 1 || n > 64) Fail("an exponent is a whole number from 1 to 64");
    at_ = static_cast<std::size_t>(end - text_.data());
    return [f, n](Dd x) {
      const Dd base = f(x);
      Dd power = base;
      for (int k = 1; k < n; ++k) power = power * base;
      return power;
    };
  }
  Function Atom() {
    if (Eat('(')) {
      Function f = Sum();
      if (!Eat(')')) Fail("')' is missing");
      return f;
    }
    Space();
    const std::size_t start = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '_' || text_[at_] == '.')) {
      ++at_;
    }
    const std::string word = text_.substr(start, at_ - start);
    if (word.empty()) Fail("a number, x, a function or a bracket is missing");
    if (word == "x") return [](Dd x) { return x; };
    if (word == "pi") return [](Dd) { return Pi(); };
    if (std::isdigit(static_cast<unsigned char>(word[0])) != 0) return Number(word);
    const auto found = Functions().find(word);
    if (found == Functions().end()) {
      std::string names;
      for (const auto& [name, f] : Functions()) names += " " + name;
      at_ = start;
      Fail("no function '" + word + "'; there are" + names);
    }
    if (!Eat('(')) Fail("'(' is missing behind " + word);
    Function inner = Sum();
    if (!Eat(')')) Fail("')' is missing");
    return [f = found->second, inner](Dd x) { return f(inner(x)); };
  }
  // Decimal digits exactly, as far as a hundred bits go.
  Function Number(const std::string& word) {
    Dd value = 0.0, scale = 1.0;
    bool point = false;
    for (const char c : word) {
      if (c == '.' && !point) {
        point = true;
      } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
        value = value * Dd(10) + Dd(c - '0');
        if (point) scale = scale * Dd(10);
      } else {
        Fail("'" + word + "' is no decimal number");
      }
    }
    return [v = value / scale](Dd) { return v; };
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace

std::function<Dd(Dd)> ParseExpression(const std::string& text) { return Parser(text).All(); }

}  // namespace dither::function
