// Program files: the way there and back, and every broken file.
#include <catch2/catch.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "sim/program/builder.hpp"

namespace dither {
namespace {

struct TempFile {
  TempFile() : path(std::filesystem::temp_directory_path() /
                    ("dither_program_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {}
  ~TempFile() { std::filesystem::remove(path); }
  std::string Read() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& bytes) const {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  }
  std::filesystem::path path;
};

Program Sample() {
  ProgramBuilder b(isa::kConfigs[0]);
  b.Nop(isa::Queue::kTensor, {{{1, 2}}, {}, false});
  b.Nop(isa::Queue::kDma1, {{}, Signal{1, 2}, true});
  b.Nop(isa::Queue::kDma1);
  return b.Take();
}

}  // namespace

TEST_CASE("a program comes back from its file as it was", "[program]") {
  const TempFile file;
  const Program program = Sample();
  program.Save(file.path);
  CHECK(Program::Load(file.path) == program);
  CHECK(file.Read().size() == 64 * 4);
  CHECK(program.Text() ==
        "; queue tensor, 1 instructions\nnop wait=1>=2\n"
        "; queue dma1, 2 instructions\nnop sig=1+2 irq\nnop\n");
}

TEST_CASE("a broken program file is refused for what is wrong with it", "[program]") {
  const TempFile file;
  Sample().Save(file.path);
  const std::string good = file.Read();
  const auto fails = [&](const std::string& bytes, const char* why) {
    file.Write(bytes);
    CHECK_THROWS_WITH(Program::Load(file.path),
                      Catch::Contains(why) && Catch::Contains(file.path.string()));
    CHECK_THROWS_AS(Program::Load(file.path), ProgramFileError);
  };
  fails("", "shorter than the 64-byte header");
  fails(good.substr(0, 63), "shorter than the 64-byte header");
  fails("X" + good.substr(1), "first 8 bytes are not DTHRPROG");
  fails(good.substr(0, 100), "size is no multiple of 64");
  fails(good.substr(0, 128), "truncated, the header announces 3 instructions, that is 256 bytes");
  fails(good + good.substr(0, 64), "too long");
  for (const std::size_t at :
       {std::size_t{12}, std::size_t{60}, std::size_t{64}, good.size() - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    fails(bad, "CRC-32");
  }
  std::string version = good;
  version[8] = 9;
  fails(version, "program file version 9");
  CHECK_THROWS_WITH(Program::Load("/nonexistent/program"), Catch::Contains("can't be opened"));
  CHECK_THROWS_WITH(Sample().Save("/nonexistent/program"), Catch::Contains("can't be written"));
}

}  // namespace dither
