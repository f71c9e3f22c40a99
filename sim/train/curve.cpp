#include "sim/train/curve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>

namespace dither::train {
namespace {

// As gnuplot reads it: between single quotes, where it replaces nothing, a quote is written twice.
std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

// Runs a program without a shell and without output; true if it ended with 0.
bool RunQuietly(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  for (const int n : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&files, n, "/dev/null", n == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0);
  }
  pid_t child = 0;
  const bool started = ::posix_spawnp(&child, argv[0], &files, nullptr, argv.data(), environ) == 0;
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  while (started && ::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return started && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::string DrawCurve(const std::vector<double>& values, int width, int height, bool utf8) {
  if (values.empty() || width < 1 || height < 1) return "";
  const std::size_t columns = std::min<std::size_t>(values.size(), static_cast<std::size_t>(width));
  std::vector<double> means(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    const std::size_t from = c * values.size() / columns, to = (c + 1) * values.size() / columns;
    for (std::size_t n = from; n < to; ++n) means[c] += values[n] / static_cast<double>(to - from);
  }
  const double top = *std::max_element(means.begin(), means.end());
  const double scale = top > 0 && std::isfinite(top) ? top : 1;
  static constexpr const char* kEighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string text;
  for (int row = height - 1; row >= 0; --row) {
    text += fmt::format("{:>9.3g} |", scale * (row + 1) / height);
    for (const double mean : means) {
      const double filled = mean / scale * height - row;  // of this cell
      const int eighths = std::clamp(static_cast<int>(std::lround(filled * 8)), 0, 8);
      text += utf8 ? kEighths[eighths] : eighths >= 4 ? "#" : " ";
    }
    text += '\n';
  }
  return text + fmt::format("{:>9} +{}\n", 0, std::string(columns, '-'));
}

bool PlotTraining(const std::filesystem::path& csv, const std::filesystem::path& picture,
                  const std::string& title, int seconds) {
  if (!std::filesystem::is_regular_file(csv)) return false;
  const std::filesystem::path script = std::filesystem::path(csv).replace_extension(".gp");
  {
    std::ofstream file(script);
    file << "set terminal svg size 900,500 font 'sans,13'\nset output " << Quoted(picture.string()) << "\n"
         << "set datafile separator ','\nset title " << Quoted(title) << " noenhanced\nset xlabel 'step'\n"
         << "set ylabel 'loss'\nset logscale y\nset y2label 'test accuracy (%)'\nset y2tics\nset ytics nomirror\n"
         << "set key center right\n"
         << "plot " << Quoted(csv.string()) << " using 1:2 skip 1 with dots title 'loss of a step', \\\n"
         << "     '' using 1:2 skip 1 smooth bezier linewidth 2 title 'loss', \\\n"
         << "     '' using 1:3 skip 1 axes x1y2 with linespoints title 'test accuracy'\n";
  }
  // The absolute path begins with no '-'. gnuplot tries for ever to write to a disk that is full.
  return RunQuietly({"timeout", "-k", "1", std::to_string(seconds), "gnuplot", std::filesystem::absolute(script).string()});
}

}  // namespace dither::train
