// Writes the rounders' random words to standard output as 32-bit words without gaps (four words of
// 24 bits fill three), for test batteries such as dieharder. Ends when nobody reads any more.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdint>
#include <vector>

#include "sim/model/lfsr.hpp"

int main(int argc, char** argv) {
  CLI::App app("Random words of the rounders, binary, to standard output");
  std::uint32_t seed = 1, lanes = 32, lane = 0;
  bool interleave = false, plain = false;
  app.add_option("--seed", seed, "state of lane 0")->capture_default_str();
  app.add_option("--lanes", lanes, "lanes that share the cycle")->capture_default_str();
  app.add_option("--lane", lane, "which one to write")->capture_default_str();
  app.add_flag("--interleave", interleave, "a word of each lane in turn instead of one lane");
  app.add_flag("--plain", plain, "the LFSR's bits, not whitened");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);

  std::vector<std::uint32_t> states;
  for (std::uint32_t l = 0; l < lanes; ++l) {
    if (interleave || l == lane) states.push_back(dither::LaneSeed(seed, l, lanes));
  }
  std::array<std::uint32_t, 3 * 4096> out;
  std::size_t at = 0;
  for (;;) {
    for (std::size_t n = 0; n < out.size(); n += 3) {
      std::uint32_t w[4];
      for (std::uint32_t& word : w) {
        word = dither::RandomWord(states[at], !plain);
        states[at] = dither::Leap(states[at]);
        at = at + 1 == states.size() ? 0 : at + 1;
      }
      out[n] = w[0] << 8 | w[1] >> 16;
      out[n + 1] = w[1] << 16 | w[2] >> 8;
      out[n + 2] = w[2] << 24 | w[3];
    }
    const auto* bytes = reinterpret_cast<const char*>(out.data());
    for (std::size_t done = 0; done < sizeof out;) {
      const ssize_t n = write(STDOUT_FILENO, bytes + done, sizeof out - done);
      if (n <= 0) return 0;
      done += static_cast<std::size_t>(n);
    }
  }
}
