// The CSV of a training, and the picture that is made of it.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "sim/train/curve.hpp"
#include "sim/train/loss_table.hpp"
#include "sim/train/trainer.hpp"

namespace dither {
namespace {

using train::LossTable;

// A folder of this test alone, with a quote in its name.
struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("dither's_csv_" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

std::string Text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void Put(const std::filesystem::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

constexpr const char* kHead = "step,loss,test_accuracy\n";

}  // namespace

TEST_CASE("a table of losses that goes on is cut to the checkpoint's steps, and always has its header", "[train]") {
  const Folder folder;
  const auto csv = folder.path / "new" / "a.csv";
  {
    LossTable table(csv, {});
    table.Add(1, 2.5);
    table.Add(2, 2.25, 50.5);
    table.Close();
  }
  const std::string two = std::string(kHead) + "1,2.5,\n2,2.25,50.5\n";
  REQUIRE(Text(csv) == two);
  const auto resumed = [&](const std::string& before, std::uint64_t at) {
    Put(csv, before);
    LossTable table(csv, at);
    table.Add(at + 1, 7);
    table.Close();
    return Text(csv);
  };
  REQUIRE(resumed(two + "3,9,\n4,9,1\n10,9,\n", 2) == two + "3,7,\n");
  REQUIRE(resumed(two + "3,9,\n4,9,1\n10,9,\n", 9) == two + "3,9,\n4,9,1\n10,7,\n");
  REQUIRE(resumed(two + "3,9", 3) == two + "4,7,\n");  // the last line was cut
  REQUIRE(resumed(two, 0) == std::string(kHead) + "1,7,\n");
  REQUIRE(resumed("", 2) == std::string(kHead) + "3,7,\n");
  REQUIRE(resumed("step,loss", 2) == std::string(kHead) + "3,7,\n");
  std::filesystem::remove(csv);
  {
    LossTable table(csv, 2);
    table.Add(3, 7);
  }
  REQUIRE(Text(csv) == std::string(kHead) + "3,7,\n");
}

TEST_CASE("a table of losses that can't be written, or is something else, is refused by name", "[train]") {
  const Folder folder;
  const auto csv = folder.path / "a.csv";
  Put(csv, "name,age\nAda,36\n");
  REQUIRE_THROWS_WITH(LossTable(csv, 1), Catch::Contains("a.csv: is no table of losses") && Catch::Contains("name,age"));
  REQUIRE(Text(csv) == "name,age\nAda,36\n");
  REQUIRE_THROWS_AS(LossTable(folder.path, {}), train::TrainError);
  REQUIRE_THROWS_WITH(LossTable("/dev/full", {}), Catch::Contains("/dev/full: can't be written: No space left"));
}

TEST_CASE("what a training before left is moved aside whole", "[train]") {
  const Folder folder;
  const auto file = folder.path / "a.ckpt";
  REQUIRE_FALSE(train::MoveAside(file));
  Put(file, "good");
  REQUIRE(train::MoveAside(file));
  REQUIRE_FALSE(std::filesystem::exists(file));
  REQUIRE(Text(file.string() + ".old") == "good");
  REQUIRE_FALSE(train::MoveAside(folder.path));
  REQUIRE_FALSE(train::MoveAside("/dev/null"));
}

TEST_CASE("the picture of a training stands quotes in paths, and a gnuplot that never ends is ended", "[train]") {
  const Folder folder;
  const auto csv = folder.path / "a.csv", picture = folder.path / "a.svg", seen = folder.path / "seen";
  Put(csv, std::string(kHead) + "1,2,50\n2,1,60\n");
  if (std::system("command -v gnuplot > /dev/null") == 0) {
    REQUIRE(train::PlotTraining(csv, picture, "it's 3-2"));
    REQUIRE(Text(picture).find("</svg>") != std::string::npos);
  }
  // A gnuplot of one's own in front of the path.
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", (folder.path.string() + ":" + before).c_str(), 1);
  const auto program = folder.path / "gnuplot";
  const auto fake = [&](const std::string& does) {
    Put(program, "#!/bin/sh\n" + does + "\n");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  };
  fake("cp \"$1\" \"${1%/*}/seen\"");
  REQUIRE(train::PlotTraining(csv, picture, "it's 3-2"));
  REQUIRE(Text(seen).find("set title 'it''s 3-2'") != std::string::npos);
  REQUIRE(Text(seen).find("dither''s_csv_") != std::string::npos);
  fake("exit 3");
  REQUIRE_FALSE(train::PlotTraining(csv, picture, ""));
  fake("trap '' TERM\nwhile :; do :; done");
  const auto start = std::chrono::steady_clock::now();
  REQUIRE_FALSE(train::PlotTraining(csv, picture, "", 1));
  REQUIRE(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
  std::filesystem::remove(seen);
  REQUIRE_FALSE(train::PlotTraining("/dev/full", picture, ""));
  REQUIRE_FALSE(std::filesystem::exists("/dev/full.gp"));
  ::setenv("PATH", before.c_str(), 1);
}

}  // namespace dither
