// Speed of the PE array alone, every cycle a moving column and weights for the next tile as in a large matmul.
// Writes a fragment of figures for scripts/results.py.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <verilated.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "Vpe_array.h"
#include "tb/tensor/array_port.hpp"

int main(int argc, char** argv) {
  std::string out, config;
  CLI::App app{"Measure the simulation speed of the PE array alone."};
  app.add_option("--out", out, "fragment of figures to write (JSON)")->required();
  app.add_option("--config", config, "configuration to name in the figures")->required();
  CLI11_PARSE(app, argc, argv);

  VerilatedContext context;
  Vpe_array dut(&context, "array");
  constexpr int kRows = static_cast<int>(sizeof dut.res_o) / 4;
  std::mt19937 rng(1);
  // Columns of operands, packed as the port wants them, so that the loop below does no more than copy.
  using Port = std::vector<std::uint8_t>;
  std::vector<Port> pool(256, Port(sizeof dut.x_i));
  for (Port& port : pool) {
    std::vector<std::uint16_t> column(kRows);
    for (auto& v : column) v = static_cast<std::uint16_t>((rng() & 0x807f) | ((118 + rng() % 10) << 7));
    dither::tb::PutOperands(port.data(), column);
  }
  dut.clk_i = 0;
  dut.rst_ni = 0;
  dut.x_valid_i = dut.w_valid_i = dut.swap_i = dut.acc_i = dut.x_nan_i = dut.w_nan_i = dut.int_i = dut.shift_i = 0;
  dut.eval();
  dut.clk_i = 1;
  dut.eval();
  dut.rst_ni = 1;
  const int cycles = kRows > 64 ? 5000 : 200000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < cycles; ++i) {
    const bool load = i % (4 * kRows) < kRows;
    dut.clk_i = 0;
    dut.x_valid_i = dut.acc_i = 1;
    std::memcpy(&dut.x_i, pool[static_cast<std::size_t>(i * 37 % 256)].data(), sizeof dut.x_i);
    dut.w_valid_i = load;
    if (load) std::memcpy(&dut.w_i, pool[static_cast<std::size_t>(i * 53 % 256)].data(), sizeof dut.w_i);
    dut.swap_i = i % (4 * kRows) == kRows + 2;
    dut.eval();
    dut.clk_i = 1;
    dut.eval();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double speed = cycles / seconds;
  fmt::print("array {} x {}: {:.0f} cycles/s, {:.1f} million MAC/s\n", kRows, kRows, speed, speed * kRows * kRows / 1e6);
  const std::string command = "make bench CONFIG=" + config + (kRows > 64 ? " BUILDS=1" : "");
  const nlohmann::json figures = {
      {{"name", "sim.array_speed"}, {"value", speed}, {"unit", "cycles/s"}, {"config", config}, {"command", command},
       {"note", "PE array alone, one core"}},
      {{"name", "sim.array_macs"}, {"value", speed * kRows * kRows}, {"unit", "MAC/s"}, {"config", config},
       {"command", command}}};
  std::ofstream(out) << nlohmann::json{{"figures", figures}}.dump(1) << "\n";
}
