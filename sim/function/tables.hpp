// The project's function tables as they were fitted: make functions writes tables.cpp, and
// make functions-check says whether fitting again gives the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace dither::function {

struct StoredTable {
  std::string_view name;
  std::span<const std::uint64_t> words;  // the image of a set of this function alone
};
std::span<const StoredTable> StoredTables();

}  // namespace dither::function
