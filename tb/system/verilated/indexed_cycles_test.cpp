// How long rows of a table take by a list of indices, against a copy for each row: whole programs, the list in SBUF.
#include <catch2/catch.hpp>

#include "sim/program/builder.hpp"
#include "sim/verilated/verilated_device.hpp"
#include "tb/system/make_device.hpp"

namespace dither {

TEST_CASE("rows by a list take fewer cycles than a copy for each, to SBUF and back", "[indexed][utilisation]") {
  const bool gather = GENERATE(true, false);
  const std::uint32_t width = GENERATE(8u, 16u, 32u, 96u);  // bf16 elements of a row
  constexpr std::uint32_t kRows = 64, kTable = 3000;
  DeviceOptions options;
  options.config = VerilatedConfig();
  options.dram_bytes = 4 << 20;
  auto device = MakeVerilatedDevice(options);
  std::mt19937 random(1);
  const Tensor table = tb::RandomTensor(*device, "table", isa::Dtype::kBf16, {kTable, width},
                                        [&] { return std::uniform_real_distribution<double>(-1, 1)(random); });
  std::vector<std::uint32_t> indices(kRows);
  for (std::uint32_t n = 0; n < kRows; ++n) indices[n] = (kTable - 1 - 37 * n) % kTable;  // none twice
  std::array<std::uint64_t, 2> cycles{};
  std::array<std::vector<std::uint8_t>, 2> result;
  for (const bool listed : {false, true}) {
    ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
    const Tensor list = b.Sbuf("list", isa::Dtype::kInt32, {1, kRows}, 3);
    Tensor chip = b.Sbuf("chip", isa::Dtype::kBf16, {1, kRows, width});
    chip.dims.erase(chip.dims.begin());
    tb::FillSbuf(*device, 3, list.address, indices);
    tb::FillSbuf(*device, 0, chip.address, std::vector<std::uint8_t>(chip.Bytes(), 0x3c));
    if (listed && gather) b.Gather(isa::Queue::kDma0, chip, table, list);
    if (listed && !gather) b.Scatter(isa::Queue::kDma0, table, chip, list);
    for (std::uint32_t n = 0; !listed && n < kRows; ++n) {
      const Tensor here = chip.Slice(0, n, 1), there = table.Slice(0, indices[n], 1);
      b.Copy(isa::Queue::kDma0, gather ? here : there, gather ? there : here);
    }
    const Program program = b.Take();
    device->ClearCounters();
    device->Run(program);  // compares every instruction
    cycles[listed] = device->Counters()[isa::Queue::kDma0].busy;
    device->CompareAll();
    result[listed].resize(chip.Bytes());
    if (gather) device->ReadSbuf(0, static_cast<std::uint32_t>(chip.address), std::as_writable_bytes(std::span(result[listed])));
    else result[listed] = device->ReadArray<std::uint8_t>(table.address, table.Bytes());
  }
  CHECK(result[0] == result[1]);
  CAPTURE(gather, width, cycles[0], cycles[1]);
  INFO("rows of " << 2 * width << " bytes: " << cycles[0] << " cycles by copies, " << cycles[1] << " by a list");
  // From doorbell to done, fetch and latency included. A row is its beats, or its address: 9 cycles below 4,096.
  const std::uint32_t each = std::max(9u, 2 * width / (device->config().axi_bits / 8) + 1);
  CHECK(cycles[1] <= kRows * (1 + each) + 250);
  CHECK(cycles[1] < cycles[0]);
}

}  // namespace dither
