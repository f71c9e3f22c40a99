// Data sets, pictures, the host trainer and its model file, on small files made here: no network,
// no downloaded data.
//
// Model   sim/data/dataset.hpp, sim/host_train/mlp.hpp, sim/host_train/train.hpp
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "sim/data/crc32.hpp"
#include "sim/data/dataset.hpp"
#include "sim/data/random.hpp"
#include "sim/host_train/mlp.hpp"
#include "sim/host_train/train.hpp"

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace dither {
namespace {

// A folder that goes when the test ends.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "dither_data_test.XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Scratch() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteAll(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Pictures of 5x4 (width and height differ, to catch a swap): class c has its bright column at c,
// with noise over all.
Dataset SmallDataset(int count) {
  Dataset data;
  data.name = "small";
  data.width = 5;
  data.height = 4;
  data.classes = 5;
  SplitMix64 random(7);
  for (int n = 0; n < count; ++n) {
    const int label = n % 5;
    data.labels.push_back(static_cast<std::uint8_t>(label));
    for (int pixel = 0; pixel < 20; ++pixel) {
      data.images.push_back(
          static_cast<std::uint8_t>(random.Below(100) + (pixel % 5 == label ? 120 : 0)));
    }
  }
  data.checksum = DatasetChecksum(data);
  return data;
}

TrainOptions TinyOptions() {
  TrainOptions options;
  options.hidden = {6};
  options.epochs = 4;
  options.max_shift = 1;
  return options;
}

// The saved bytes of a network trained on 60 small pictures.
std::string TrainedBytes(const fs::path& path, const TrainOptions& options) {
  const Dataset data = SmallDataset(60);
  SaveModel(TrainMlp(data, SplitDataset(data), options), path);
  return ReadAll(path);
}

// What LoadModel says about a file, empty if it takes it.
std::string LoadError(const fs::path& path) {
  try {
    LoadModel(path);
  } catch (const ModelError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("CRC-32 is the one of IEEE 802.3, in one piece or several", "[data][crc]") {
  const std::string text = "123456789";
  CHECK(Crc32Of(text) == 0xcbf43926);
  CHECK(Crc32Of(text.substr(4), Crc32Of(text.substr(0, 4))) == 0xcbf43926);
  CHECK(Crc32({}, 5) == 5);
}

TEST_CASE("a saved data set loads as it was, under its folder's name", "[data][directed]") {
  Scratch scratch;
  const Dataset data = SmallDataset(12);
  SaveDataset(data, scratch.path());
  fs::create_directory_symlink(scratch.path(), scratch / "link");
  for (const fs::path& folder : {scratch.path(), scratch / "link"}) {
    const Dataset loaded = LoadDataset(folder);
    CHECK(loaded.images == data.images);
    CHECK(loaded.labels == data.labels);
    CHECK(loaded.width == 5);
    CHECK(loaded.height == 4);
    CHECK(loaded.classes == 5);
    CHECK(loaded.checksum == data.checksum);
    CHECK(loaded.name == scratch.path().filename().string());
  }
  CHECK(std::ranges::equal(data.Image(11), std::span(data.images).last(20)));
}

TEST_CASE("an IDX file cut at any length is refused by name", "[data][corner]") {
  Scratch scratch;
  SaveDataset(SmallDataset(3), scratch.path());
  const char* name = GENERATE("images.idx3", "labels.idx1");
  const std::string whole = ReadAll(scratch / name);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    WriteAll(scratch / name, whole.substr(0, length));
    REQUIRE_THROWS_WITH(LoadDataset(scratch.path()), Contains(name) && Contains("truncated"));
  }
  WriteAll(scratch / name, whole + "x");
  REQUIRE_THROWS_WITH(LoadDataset(scratch.path()), Contains(name) && Contains("too long"));
}

TEST_CASE("an IDX file of the wrong kind, shape or count is refused", "[data][directed]") {
  Scratch scratch;
  SaveDataset(SmallDataset(3), scratch.path());
  std::string images = ReadAll(scratch / "images.idx3");
  SECTION("wrong magic number") {
    images[3] = 1;
    WriteAll(scratch / "images.idx3", images);
    CHECK_THROWS_WITH(LoadDataset(scratch.path()), Contains("images.idx3: not the IDX file") &&
                                                       Contains("0x00000801, expected 0x00000803"));
  }
  SECTION("a huge dimension is refused before any memory is asked for") {
    images[8] = '\x7f';
    WriteAll(scratch / "images.idx3", images);
    CHECK_THROWS_WITH(LoadDataset(scratch.path()), Contains("dimension 1 is"));
  }
  SECTION("a zero dimension") {
    images[15] = 0;
    WriteAll(scratch / "images.idx3", images);
    CHECK_THROWS_WITH(LoadDataset(scratch.path()), Contains("dimension 2 is 0, must be 1 to 4096"));
  }
  SECTION("labels of another data set") {
    Scratch other;
    SaveDataset(SmallDataset(4), other.path());
    fs::copy_file(other / "labels.idx1", scratch / "labels.idx1",
                  fs::copy_options::overwrite_existing);
    CHECK_THROWS_WITH(LoadDataset(scratch.path()), Contains("3 pictures") && Contains("4 labels"));
  }
  SECTION("missing file") {
    fs::remove(scratch / "labels.idx1");
    CHECK_THROWS_WITH(LoadDataset(scratch.path()), Contains("labels.idx1: cannot be read"));
  }
}

TEST_CASE("a damaged file of a known data set says how to repair it", "[data][directed]") {
  Scratch scratch;
  fs::create_directory(scratch / "mnist");
  CHECK_THROWS_WITH(LoadDataset(scratch / "mnist"),
                    Contains("repair: DATASET=mnist scripts/fetch_data.sh"));
}

TEST_CASE("the split is disjoint, complete, four to one and set by its seed", "[data][directed]") {
  const int count = GENERATE(1, 2, 5, 97, 1000);
  Dataset data;
  data.labels.resize(count);
  const Split split = SplitDataset(data);
  CHECK(split.train.size() == static_cast<std::size_t>(count * 4 / 5));
  std::set<int> seen(split.train.begin(), split.train.end());
  seen.insert(split.held_out.begin(), split.held_out.end());
  CHECK(split.train.size() + split.held_out.size() == static_cast<std::size_t>(count));
  CHECK(seen.size() == static_cast<std::size_t>(count));
  CHECK(*seen.begin() == 0);
  CHECK(*seen.rbegin() == count - 1);
  CHECK(SplitDataset(data).held_out == split.held_out);
  if (count >= 97) CHECK(SplitDataset(data, kSplitSeed + 1).held_out != split.held_out);
}

TEST_CASE("the generator behind the split gives the published SplitMix64 sequence",
          "[data][vectors]") {
  SplitMix64 random(1234567);
  CHECK(random.Next() == 6457827717110365317u);
  CHECK(random.Next() == 3203168211198807973u);
  CHECK(random.Next() == 9817491932198370423u);
}

TEST_CASE("a P2 picture with comments and any maxval is read", "[data][directed]") {
  Scratch scratch;
  WriteAll(scratch / "a.pgm", "P2 # text\n# size next\n3 2\n#levels\n15\n0 15 7\n# row\n3 1 15\n");
  CHECK(LoadPgm(scratch / "a.pgm", 3, 2) == std::vector<std::uint8_t>{0, 255, 119, 51, 17, 255});
}

TEST_CASE("a P5 picture is read with one and two bytes a pixel", "[data][directed]") {
  Scratch scratch;
  // 35 and 10 are '#' and a line feed: picture bytes must not be taken for comments.
  WriteAll(scratch / "a.pgm",
           std::string("P5\n#c\n2 2\n255\n") + std::string("\x23\x0a\xff\x00", 4));
  CHECK(LoadPgm(scratch / "a.pgm", 2, 2) == std::vector<std::uint8_t>{35, 10, 255, 0});
  WriteAll(scratch / "b.pgm", std::string("P5 2 1 65535 ") + std::string("\x80\x00\xff\xff", 4));
  CHECK(LoadPgm(scratch / "b.pgm", 2, 1) == std::vector<std::uint8_t>{128, 255});
}

TEST_CASE("a written picture reads back the same", "[data][directed]") {
  Scratch scratch;
  const Dataset data = SmallDataset(1);
  WritePgm(scratch / "a.pgm", data.Image(0), 5, 4);
  CHECK(LoadPgm(scratch / "a.pgm", 5, 4) == data.images);
  CHECK_THROWS_AS(WritePgm(scratch / "a.pgm", data.Image(0), 5, 5), std::invalid_argument);
}

TEST_CASE("a picture of the wrong size is refused with both sizes", "[data][directed]") {
  Scratch scratch;
  WriteAll(scratch / "a.pgm", "P2 5 4 1 0 0");
  CHECK_THROWS_WITH(LoadPgm(scratch / "a.pgm", 28, 28),
                    Contains("a.pgm: the picture is 5x4, the data set needs 28x28"));
  CHECK_THROWS_WITH(LoadPgm(scratch / "a.pgm", 4, 5), Contains("5x4") && Contains("4x5"));
}

TEST_CASE("a damaged picture is refused with the reason", "[data][corner]") {
  Scratch scratch;
  const auto [text, reason] = GENERATE(table<std::string, std::string>({
      {"", "shorter than its magic number"},
      {"P6 2 1 255 abcdef", "must begin with P2 or P5"},
      {"\x89PNG\r\n", "must begin with P2 or P5"},
      {"P2 2", "ends before its height"},
      {"P2 2 1", "ends before its maxval"},
      {"P2 2 1 0 0 0", "maxval is 0"},
      {"P2 2 1 70000 0 0", "maxval is 70000"},
      {"P2 2 1 9 5", "1 of 2 pixels"},
      {"P2 2 1 9 5 10", "pixel 1 is 10, above the maxval of 9"},
      {"P2 2 1 9 5 -1", "expected a pixel"},
      {"P2 two 1 9 5 1", "expected width"},
      {"P2 99999999999999999999 1 9", "the picture is 1000000x1"},
      {"P5 2 1 255", "no white space after its maxval"},
      {"P5 2 1 255 a", "1 of 2 pixels"},
      {"P5 2 1 256 abc", "1 of 2 pixels"},
  }));
  WriteAll(scratch / "a.pgm", text);
  CHECK_THROWS_WITH(LoadPgm(scratch / "a.pgm", 2, 1), Contains("a.pgm") && Contains(reason));
}

TEST_CASE("a picture drawn dark on light is noticed and turned round", "[data][directed]") {
  std::vector<std::uint8_t> image(100, 250);
  CHECK(LooksInverted(image));
  Invert(image);
  CHECK(image[0] == 5);
  CHECK_FALSE(LooksInverted(image));
}

TEST_CASE("a drawing has one line for two pixel rows", "[data][directed]") {
  const std::vector<std::uint8_t> image = {255, 255, 0,   0,   40,  //
                                           255, 0,   255, 0,   40,  //
                                           80,  150, 0,   255, 0};
  CHECK(DrawPicture(image, 5, 3, true) == "█▀▄ ░\n░▀ ▀ \n");
  CHECK(DrawPicture(image, 5, 3, false) == "@== .\n.: = \n");
  for (const char c : DrawPicture(image, 5, 3, false)) CHECK(static_cast<unsigned char>(c) < 128);
}

TEST_CASE("the first locale variable that is set decides about UTF-8", "[data][directed]") {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) unsetenv(name);
  CHECK_FALSE(TerminalIsUtf8());
  setenv("LANG", "de_DE.utf8", 1);
  CHECK(TerminalIsUtf8());
  setenv("LC_ALL", "C", 1);
  CHECK_FALSE(TerminalIsUtf8());
  setenv("LC_ALL", "C.UTF-8", 1);
  CHECK(TerminalIsUtf8());
}

TEST_CASE("two trainings with the same seed write the same bytes", "[train][directed]") {
  Scratch scratch;
  TrainOptions options = TinyOptions();
  const std::string first = TrainedBytes(scratch / "a.dmlp", options);
  CHECK(TrainedBytes(scratch / "b.dmlp", options) == first);
  options.seed = 2;
  CHECK(TrainedBytes(scratch / "c.dmlp", options) != first);
}

TEST_CASE("training learns what separates the classes", "[train][directed]") {
  const Dataset data = SmallDataset(500);
  TrainOptions options = TinyOptions();
  options.hidden = {16, 8};
  options.epochs = 40;
  options.max_shift = 0;
  std::vector<EpochReport> reports;
  const Split split = SplitDataset(data);
  const Mlp model =
      TrainMlp(data, split, options, [&](const EpochReport& report) { reports.push_back(report); });
  REQUIRE(reports.size() == 40);
  CHECK(reports.back().epoch == 40);
  CHECK(reports.back().loss < reports.front().loss / 4);
  CHECK(reports.back().held_out_accuracy >= 0.98);
  CHECK(model.held_out_count == 100);
  CHECK(CountCorrect(model, data, split.held_out) == static_cast<int>(model.held_out_correct));
  CHECK(CountCorrect(model, data, split.held_out, Arithmetic::kBf16) >= 97);
  CHECK(ShapeText(model) == "20-16-8-5");
}

TEST_CASE("training refuses options out of range", "[train][directed]") {
  const Dataset data = SmallDataset(10);
  const Split split = SplitDataset(data);
  TrainOptions options = TinyOptions();
  SECTION("epochs") { options.epochs = 0; }
  SECTION("batch") { options.batch = 0; }
  SECTION("rate") { options.rate = -1; }
  SECTION("hidden layer") { options.hidden = {8, 0}; }
  SECTION("shift") { options.max_shift = 4; }
  CHECK_THROWS_AS(TrainMlp(data, split, options), std::invalid_argument);
}

TEST_CASE("forward computes weights, bias and relu as written", "[train][vectors]") {
  Mlp model;
  model.width = 2;
  model.height = 1;
  model.layers = {{2, 2, {1, -1, 2, 4}, {0.5F, 0.25F}}, {2, 2, {1, 2, 3, 4}, {0, -1}}};
  // Inputs 0.5 and 0.25: hidden 1.5 and 0.75, scores 1.5 + 2.25 and 3 + 3 - 1.
  CHECK(Forward(model, std::vector<std::uint8_t>{128, 64}) == std::vector<float>{3.75F, 5.0F});
  // Inputs 0.5 and 0: hidden 1 and -0.25, which relu cuts.
  CHECK(Forward(model, std::vector<std::uint8_t>{128, 0}) == std::vector<float>{1.0F, 1.0F});
  // A tie to even: 1 + 2^-8 lies halfway between two bf16 values, 1 + 3 * 2^-8 as well.
  model.layers = {{2, 2, {0x1.01p0F, 0x1.03p0F, 0, 0}, {0, 0}}};
  CHECK(Forward(model, std::vector<std::uint8_t>{128, 0}, Arithmetic::kBf16) ==
        std::vector<float>{0.5F, 0x1.04p-1F});
  CHECK_THROWS_AS(Forward(model, std::vector<std::uint8_t>{1}), std::invalid_argument);
}

TEST_CASE("every pixel times the input scale is exact in bf16", "[train][corner]") {
  for (int pixel = 0; pixel < 256; ++pixel) {
    Mlp model;
    model.width = model.height = 1;
    model.layers = {{1, 1, {1}, {0}}};
    const std::vector<std::uint8_t> image = {static_cast<std::uint8_t>(pixel)};
    REQUIRE(Forward(model, image, Arithmetic::kBf16) == Forward(model, image));
  }
}

TEST_CASE("a model file gives back what was saved", "[train][directed]") {
  Scratch scratch;
  const Dataset data = SmallDataset(60);
  const Mlp model = TrainMlp(data, SplitDataset(data), TinyOptions());
  const fs::path path = scratch / "new" / "folder" / "m.dmlp";
  SaveModel(model, path);
  const Mlp loaded = LoadModel(path);
  REQUIRE(loaded.layers.size() == 2);
  for (int l = 0; l < 2; ++l) {
    CHECK(loaded.layers[l].weights == model.layers[l].weights);
    CHECK(loaded.layers[l].bias == model.layers[l].bias);
    CHECK(loaded.layers[l].inputs == model.layers[l].inputs);
  }
  CHECK(loaded.dataset == "small");
  CHECK(loaded.dataset_checksum == data.checksum);
  CHECK(loaded.held_out_correct == model.held_out_correct);
  CHECK(loaded.held_out_count == 12);
  CHECK(loaded.input_scale == kInputScale);
  CHECK(loaded.width == 5);
  CHECK(loaded.height == 4);
  CHECK(loaded.epochs == 4);
  CHECK(std::distance(fs::directory_iterator(path.parent_path()), {}) == 1);  // no .part left
}

TEST_CASE("a model file cut anywhere, or with any one byte changed, is refused",
          "[train][corner]") {
  Scratch scratch;
  const fs::path path = scratch / "m.dmlp";
  const std::string whole = TrainedBytes(path, TinyOptions());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    WriteAll(path, whole.substr(0, length));
    REQUIRE_THAT(LoadError(path),
                 Contains("m.dmlp") && (Contains("truncated") || Contains("not a model file")));
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    WriteAll(path, bytes);
    REQUIRE_THAT(LoadError(path), Contains("m.dmlp") && Contains("repair"));
  }
  std::string bytes = whole;
  bytes[bytes.size() - 8] = static_cast<char>(bytes[bytes.size() - 8] ^ 1);
  WriteAll(path, bytes);
  CHECK_THAT(LoadError(path), Contains("damaged: checksum"));
  bytes = whole;
  bytes[4] = 9;
  WriteAll(path, bytes);
  CHECK_THAT(LoadError(path), Contains("format version 9, this program reads version 1"));
  CHECK_THAT(LoadError(scratch / "none.dmlp"), Contains("none.dmlp: cannot be read"));
}

}  // namespace
}  // namespace dither
