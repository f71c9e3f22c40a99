// Fields of instructions against the bits themselves.
#include <catch2/catch.hpp>

#include <random>

#include "sim/isa/isa.hpp"

namespace dither {

TEST_CASE("a field is its bits, and setting it leaves all others", "[isa]") {
  std::mt19937 random(5);
  const auto bit = [](const isa::Encoded& e, std::size_t n) { return e[n / 8] >> n % 8 & 1; };
  for (std::size_t bits = 1; bits <= 64; ++bits) {
    for (std::size_t lsb = 0; lsb + bits <= 8 * isa::kInstrBytes; ++lsb) {
      isa::Encoded e;
      for (auto& byte : e) byte = static_cast<std::uint8_t>(random());
      const std::uint64_t value = std::uint64_t{random()} << 32 | random();
      isa::Encoded changed = e;
      isa::SetBits(changed, lsb, bits, value);
      bool got = true, set = true;
      for (std::size_t n = 0; n < 64; ++n) {
        got &= (isa::GetBits(e, lsb, bits) >> n & 1) == (n < bits ? static_cast<std::uint64_t>(bit(e, lsb + n)) : 0);
      }
      for (std::size_t n = 0; n < 8 * isa::kInstrBytes; ++n) {
        const bool inside = n >= lsb && n < lsb + bits;
        set &= bit(changed, n) == (inside ? static_cast<int>(value >> (n - lsb) & 1) : bit(e, n));
      }
      INFO(bits << " bits at " << lsb);
      REQUIRE(got);
      REQUIRE(set);
    }
  }
}

}  // namespace dither
