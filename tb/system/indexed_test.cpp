// Table rows by lists of indices, in whole programs: what is moved, and what an index outside the table leaves.
#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <random>

#include "sim/program/builder.hpp"
#include "sim/program/train/step.hpp"
#include "tb/system/make_device.hpp"

namespace dither {
namespace {

using isa::Dtype;
using isa::Err;
using isa::Queue;

Tensor List(Device& device, const std::vector<std::uint32_t>& indices) {
  Tensor t = Tensor::Dram("list", 0, Dtype::kInt32, {1, static_cast<std::uint32_t>(indices.size())});
  t.address = device.Allocate(t.Bytes());
  device.WriteArray(t.address, indices);
  return t;
}
std::vector<std::uint8_t> AllDram(Device& device) {
  return device.ReadArray<std::uint8_t>(device.dram_base(), device.dram_limit() - device.dram_base());
}
std::vector<std::byte> AllSbuf(Device& device) {
  std::vector<std::byte> all;
  for (std::uint32_t part = 0; part < device.config().rows; ++part) {
    std::vector<std::byte> bytes(device.config().sbuf_bytes);
    device.ReadSbuf(part, 0, bytes);
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

}  // namespace

TEST_CASE("rows that a list names go through SBUF into the rows that another one names", "[indexed][random]") {
  const auto seed = GENERATE(range(1u, 7u));
  CAPTURE(seed);
  auto device = tb::MakeDevice(tb::Options("nano"));
  std::mt19937 random(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  const std::uint32_t rows = device->config().rows;
  ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
  Counter loads = b.NewCounter("loads"), gathers = b.NewCounter("gathers"), scatters = b.NewCounter("scatters");
  struct Job {
    Tensor from, to;
    std::vector<std::uint32_t> sources, targets;
    std::uint32_t width = 0, bytes = 0;
  };
  std::vector<Job> jobs;
  for (int n = 0; n < 12; ++n) {
    Job job;
    const Dtype dtype = isa::kAllDtype[below(7)];
    job.width = 1 + below(70);
    job.bytes = job.width * isa::DtypeBytes(dtype);
    const std::uint32_t count = 1 + below(rows), had = 1 + below(200), has = rows + below(200);
    const auto draw = [&] { return static_cast<double>(below(200)) / 10 - 10; };
    job.from = tb::RandomTensor(*device, "from", dtype, {had, job.width}, draw);
    job.to = tb::RandomTensor(*device, "to", dtype, {has, job.width}, draw);
    for (std::uint32_t k = 0; k < count; ++k) {
      job.sources.push_back(below(had));
      job.targets.push_back(below(has));  // equal ones too
    }
    const Tensor in = b.Sbuf("rows to read", Dtype::kInt32, {1, count}, below(rows));
    const Tensor out = b.Sbuf("rows to write", Dtype::kInt32, {1, count}, below(rows));
    const Tensor chip = b.Sbuf("chip", dtype, {count, job.width});
    b.Copy(Queue::kDma1, in, List(*device, job.sources), {{}, loads.Tick(), false});
    b.Copy(Queue::kDma1, out, List(*device, job.targets), {{}, loads.Tick(), false});
    b.Gather(Queue::kDma0, chip, job.from, in, {{loads.Until(loads.count())}, gathers.Tick(), false});
    b.Scatter(below(2) ? Queue::kDma0 : Queue::kDma1, job.to, chip, out, {{gathers.Until(gathers.count())}, scatters.Tick(), false});
    jobs.push_back(std::move(job));
  }
  std::vector<std::vector<std::uint8_t>> want;
  for (const Job& job : jobs) {
    const auto from = device->ReadArray<std::uint8_t>(job.from.address, job.from.Bytes());
    auto to = device->ReadArray<std::uint8_t>(job.to.address, job.to.Bytes());
    for (std::size_t k = 0; k < job.sources.size(); ++k) {
      std::copy_n(from.begin() + job.sources[k] * job.bytes, job.bytes, to.begin() + job.targets[k] * job.bytes);
    }
    want.push_back(std::move(to));
  }
  device->Run(b.Take(), 1'000'000);
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    CAPTURE(n, jobs[n].from.Describe());
    CHECK(device->ReadArray<std::uint8_t>(jobs[n].to.address, jobs[n].to.Bytes()) == want[n]);
  }
}

TEST_CASE("an index that the table doesn't have stops the queue with index and place, and no byte has moved",
          "[indexed][bad_input]") {
  const bool gather = GENERATE(true, false);
  const std::uint32_t bad = GENERATE(50u, 0x80000000u, 0xffffffffu);
  const std::uint32_t place = GENERATE(0u, 4u, 6u);
  CAPTURE(gather, bad, place);
  auto device = tb::MakeDevice(tb::Options("nano", 1 << 20));
  device->SetWatchdog(2000);
  std::mt19937 random(1);
  const auto draw = [&] { return static_cast<double>(random() % 200) / 10; };
  const Tensor table = tb::RandomTensor(*device, "table", Dtype::kBf16, {50, 20}, draw);
  std::vector<std::uint32_t> indices = {3, 49, 0, 17, 17, 2, 30};
  indices[place] = bad;
  ProgramBuilder b(device->config(), device->dram_base(), device->dram_limit());
  const Tensor list = b.Sbuf("list", Dtype::kInt32, {1, 7}, 5), chip = b.Sbuf("chip", Dtype::kBf16, {7, 20});
  const std::uint8_t listed = b.Semaphore("listed"), moved = b.Semaphore("moved");
  const Tensor there = List(*device, indices);
  b.Copy(Queue::kDma1, list, there, {{}, Signal{listed, 1}, false});
  b.Nop(Queue::kDma0);
  const Sync sync = {{{listed, 1}}, Signal{moved, 1}, false};
  if (gather) b.Gather(Queue::kDma0, chip, table, list, sync);
  else b.Scatter(Queue::kDma0, table, chip, list, sync);
  // What waits for the rows never starts.
  b.Elementwise(isa::VecFunc::kAdd, chip, chip, 1.0f, {}, {{{moved, 1}}, {}, false});
  const Program program = b.Take();
  device->LoadProgram(program);
  for (std::uint32_t part = 0; part < 8; ++part) tb::FillSbuf(*device, part, 0, std::vector<std::uint8_t>(400, 0x11));
  tb::FillSbuf(*device, 5, list.address, indices);  // as the copy will leave it
  const auto dram = AllDram(*device);
  const auto sbuf = AllSbuf(*device);
  std::vector<ErrorRecord> records;
  device->Start();
  try {
    device->Wait(100'000);
  } catch (const ProgramFailed& failed) {
    records = failed.records();
  }
  REQUIRE(records.size() == 2);
  CHECK(records[0].queue == Queue::kDma0);
  CHECK(records[0].cause == Err::kBadIndex);
  CHECK(records[0].operand == 2);
  CHECK(records[0].index == 1);
  CHECK(static_cast<std::uint32_t>(records[0].address) == bad);
  CHECK(records[0].address >> 32 == place);
  CHECK_THAT(records[0].Text(), Catch::Contains("index outside the table: index " + std::to_string(static_cast<std::int32_t>(bad)) +
                                                " at place " + std::to_string(place) + " of the list"));
  CHECK(records[1].queue == Queue::kVector);
  CHECK(records[1].cause == Err::kWatchdog);
  CHECK(AllDram(*device) == dram);
  CHECK(AllSbuf(*device) == sbuf);
  // The same program with that index repaired.
  device->ResetQueues();
  indices[place] = 1;
  device->WriteArray(there.address, indices);
  device->Run(program, 100'000);
  if (gather) {
    const auto row = device->ReadArray<std::uint16_t>(table.address + 40 * indices[6], 20);
    std::vector<std::uint16_t> got(20);
    device->ReadSbuf(6, static_cast<std::uint32_t>(chip.address), std::as_writable_bytes(std::span(got)));
    for (std::size_t c = 0; c < 20; ++c) {
      const auto plus_one = static_cast<float>(tb::Value(Dtype::kBf16, row[c]) + 1);
      CHECK(got[c] == NarrowFromFp32(Dtype::kBf16, tb::Bits(plus_one), isa::Round::kRne, false, 0));
    }
  }
}

// The programs of training with lists that the host has not looked at.
TEST_CASE("a step whose example names a row that the table doesn't have changes no parameter", "[indexed][train][bad_input]") {
  const bool training = GENERATE(true, false);
  const std::uint32_t batch = 11, rows = 30, width = 6, units = 4;
  auto device = tb::MakeDevice(tb::Options("nano"));
  device->SetWatchdog(5000);
  train::TrainerOptions options;
  options.mode = train::NumericMode::Named("bf16-sr");
  options.optimizer.momentum = 0;
  const Dtype bf16 = options.mode.weights;
  std::mt19937 random(3);
  const auto draw = [&] { return static_cast<double>(random() % 200) / 100 - 1; };
  const auto made = [&](const char* name, Dtype dtype, const std::vector<std::uint32_t>& shape) {
    return tb::RandomTensor(*device, name, dtype, shape, draw);
  };
  train::Network net;
  train::EmbeddingTable table;
  table.rows = rows;
  table.width = width;
  table.table.name = "embedding1.weights";
  table.table.value = made("table", bf16, {rows + batch, width});
  net.embeddings.push_back(table);
  train::Layer layer;
  layer.name = "dense1";
  layer.inputs = width;
  layer.units = units;
  layer.batch_on_partitions = true;
  layer.weights.name = "dense1.weights";
  layer.weights.value = made("weights", bf16, {width, units});
  net.layers.push_back(layer);
  const std::uint32_t p = device->config().rows;
  net.identity = made("identity", bf16, {p, p});
  net.ones = made("ones", bf16, {p, 1});
  net.labels = tb::EmptyTensor(*device, "labels", Dtype::kFp32, {batch}, 0);
  net.loss = tb::EmptyTensor(*device, "loss", Dtype::kFp32, {1, 1}, 0);
  net.correct = tb::EmptyTensor(*device, "correct", Dtype::kFp32, {1, 1}, 0);
  net.slots.push_back(tb::EmptyTensor(*device, "slots", Dtype::kFp32, {batch}, 0));
  std::vector<std::uint32_t> indices(batch), different(batch);
  std::iota(indices.begin(), indices.end(), 5u);
  std::iota(different.begin(), different.end(), rows);  // whatever: the step doesn't come so far
  indices[9] = rows;  // the first row behind the table
  net.lists.push_back(List(*device, indices));
  net.different.push_back(List(*device, different));
  const train::StepProgram step = training ? train::BuildTrainStep(device->config(), options, net, batch)
                                           : train::BuildEvaluation(device->config(), options, net, batch);
  device->LoadProgram(step.program);
  const auto before = AllDram(*device);
  device->Start();
  std::vector<ErrorRecord> records;
  try {
    device->Wait(1'000'000);
  } catch (const ProgramFailed& failed) {
    records = failed.records();
  }
  REQUIRE(!records.empty());
  CHECK(records[0].queue == Queue::kDma0);
  CHECK(records[0].cause == Err::kBadIndex);
  // A gather has as many examples as the array has rows.
  CHECK(records[0].address == (std::int64_t{9 % p} << 32 | rows));
  CHECK_THAT(step.labels[static_cast<std::size_t>(Queue::kDma0)][records[0].index], Catch::Contains("embedding1.weights rows"));
  for (std::size_t n = 1; n < records.size(); ++n) CHECK(records[n].cause == Err::kWatchdog);
  CHECK(AllDram(*device) == before);
}

}  // namespace dither
