// The table file that the study trains on: small files made here from the description in
// sim/data/to_table.py, and not by its code.
//
// Model   sim/data/table.hpp
#include "sim/data/table.hpp"

#include <zlib.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "sim/data/dataset.hpp"
#include "sim/data/random.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace dither {
namespace {

class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "dither_table_test.XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Scratch() { fs::remove_all(path_); }
  fs::path Write(const std::string& bytes) const {
    const fs::path file = path_ / "small.dtbl";
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  fs::path path_;
};

std::string Little(std::uint32_t value, int size = 4) {
  std::string out;
  for (int i = 0; i < size; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
  return out;
}

// The parts of a file of 5 rows (4 train), 2 features, 3 identity columns in 2 tables, 4 classes.
struct Parts {
  std::vector<std::uint32_t> header = {1, 5, 4, 2, 3, 2, 4, 5};
  std::string name = "small";
  std::vector<std::uint32_t> sizes = {7, 3};
  std::vector<std::uint32_t> table_of = {0, 1, 0};
  std::vector<std::uint32_t> words = {0x0000, 0x3f80, 0xbf80, 0x0001, 0x4000,
                                      0x4040, 0x7f7f, 0xff7f, 0x8000, 0x3e80};
  std::vector<std::uint32_t> identities = {0, 2, 6, 1, 1, 5, 2, 0, 4, 3, 2, 3, 4, 0, 2};
  std::vector<std::uint32_t> labels = {0, 3, 1, 2, 0};

  std::string Body() const {
    std::string out = "DTBL";
    for (const auto v : header) out += Little(v);
    out += name;
    for (const auto v : sizes) out += Little(v);
    for (const auto v : table_of) out += Little(v);
    for (const auto v : words) out += Little(v, 2);
    for (const auto v : identities) out += Little(v);
    for (const auto v : labels) out += Little(v);
    return out;
  }
};

std::string Closed(const std::string& body) {
  const auto* data = reinterpret_cast<const Bytef*>(body.data());
  return body + Little(static_cast<std::uint32_t>(crc32_z(0, data, body.size())));
}

TEST_CASE("a table comes back row by row", "[data][directed]") {
  const Scratch scratch;
  const Parts parts;
  const Table table = LoadTable(scratch.Write(Closed(parts.Body())));
  CHECK(table.name == "small");
  CHECK(table.rows == 5);
  CHECK(table.train_rows == 4);
  CHECK(table.held_out() == 1);
  CHECK(table.features == 2);
  CHECK(table.classes == 4);
  CHECK(table.sizes == parts.sizes);
  CHECK(table.table_of == parts.table_of);
  CHECK(table.labels == parts.labels);
  for (int row = 0; row < 5; ++row) {
    for (int i = 0; i < 2; ++i) CHECK(table.Features(row)[i] == parts.words[2 * row + i]);
    for (int i = 0; i < 3; ++i) CHECK(table.Identities(row)[i] == parts.identities[3 * row + i]);
  }
}

TEST_CASE("every cut and every flipped byte of a table is refused with the file's name and the repair",
          "[data][directed]") {
  const Scratch scratch;
  const std::string whole = Closed(Parts().Body());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    INFO("byte " << i);
    CHECK_THROWS_WITH(LoadTable(scratch.Write(whole.substr(0, i))),
                      Contains("small.dtbl") && Contains("repair: scripts/study_data.py small"));
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    CHECK_THROWS_AS(LoadTable(scratch.Write(flipped)), TableError);
  }
  CHECK_THROWS_WITH(LoadTable("/nowhere/small.dtbl"), Contains("cannot be read"));
}

TEST_CASE("a table that contradicts itself is refused although its checksum is right",
          "[data][directed]") {
  const Scratch scratch;
  const auto refused = [&](const Parts& parts, const std::string& why) {
    CHECK_THROWS_WITH(LoadTable(scratch.Write(Closed(parts.Body()))), Contains(why));
  };
  Parts parts;
  parts.header[0] = 2;
  refused(parts, "version 2");
  parts = Parts();
  parts.header[2] = 5;
  refused(parts, "none is held out");
  parts = Parts();
  parts.header[1] = 6;
  refused(parts, "shorter than its header promises");
  parts = Parts();
  parts.header[1] = 0xffffffff;
  refused(parts, "rows is 4294967295");
  parts = Parts();
  parts.labels.push_back(0);
  refused(parts, "4 bytes more");
  parts = Parts();
  parts.labels[3] = 4;
  refused(parts, "row 3 has class 4 of 4");
  parts = Parts();
  parts.words[5] = 0x7fc0;
  refused(parts, "row 2, feature 1 is no finite number");
  parts = Parts();
  parts.identities[7] = 3;
  refused(parts, "row 2, identity column 1 is 3, its table has 3 rows");
  parts = Parts();
  parts.table_of[2] = 2;
  refused(parts, "embedding table 2 of 2");
}

TEST_CASE("the host library's shuffle is the one that tables are split by", "[data][directed]") {
  // scripts/study_data_test.py has the same numbers
  std::vector<int> order(12);
  std::iota(order.begin(), order.end(), 0);
  SplitMix64(kSplitSeed).Shuffle(order);
  CHECK(order == std::vector<int>{11, 0, 10, 5, 9, 1, 8, 4, 6, 3, 7, 2});
}

}  // namespace
}  // namespace dither
