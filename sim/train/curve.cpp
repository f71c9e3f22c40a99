#include "sim/train/curve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace dither::train {

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
                  const std::string& title) {
  const std::filesystem::path script = std::filesystem::path(csv).replace_extension(".gp");
  {
    std::ofstream file(script);
    file << "set terminal svg size 900,500 font 'sans,13'\nset output '" << picture.string() << "'\n"
         << "set datafile separator ','\nset title '" << title << "' noenhanced\nset xlabel 'step'\n"
         << "set ylabel 'loss'\nset logscale y\nset y2label 'test accuracy (%)'\nset y2tics\nset ytics nomirror\n"
         << "set key center right\n"
         << "plot '" << csv.string() << "' using 1:2 skip 1 with dots title 'loss of a step', \\\n"
         << "     '' using 1:2 skip 1 smooth bezier linewidth 2 title 'loss', \\\n"
         << "     '' using 1:3 skip 1 axes x1y2 with linespoints title 'test accuracy'\n";
  }
  const std::string command = "gnuplot '" + script.string() + "' > /dev/null 2>&1";
  return std::system(command.c_str()) == 0;
}

}  // namespace dither::train
