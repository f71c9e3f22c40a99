// A curve as text for a terminal, and as a picture by gnuplot where that is installed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace dither::train {

// `values` over their index as a chart of width x height cells with a scale at the left; every column
// is the mean of the values that fall into it. Blocks of eighths where the terminal uses UTF-8.
std::string DrawCurve(const std::vector<double>& values, int width, int height, bool utf8);

// Writes a gnuplot script beside the CSV file and runs it for `seconds` at most; false if there is no
// gnuplot, it failed or it took longer.
// Columns of the CSV: step, loss, and the test accuracy in per cent (empty between evaluations).
bool PlotTraining(const std::filesystem::path& csv, const std::filesystem::path& picture,
                  const std::string& title, int seconds = 20);

}  // namespace dither::train
