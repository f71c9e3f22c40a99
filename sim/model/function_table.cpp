// The image of a function set: writing, checking, reading.
#include "sim/model/function_table.hpp"

#include <cstring>

#include "sim/data/crc32.hpp"

namespace dither::model {
namespace {

// A field of a 64-bit word.
std::uint64_t Put(std::int64_t value, int lsb, int bits) {
  return (static_cast<std::uint64_t>(value) & ((std::uint64_t{1} << bits) - 1)) << lsb;
}
std::uint64_t Get(std::uint64_t word, int lsb, int bits) {
  return word >> lsb & ((std::uint64_t{1} << bits) - 1);
}
std::int64_t GetSigned(std::uint64_t word, int lsb, int bits) {
  return static_cast<std::int64_t>(word << (64 - lsb - bits)) >> (64 - bits);
}

// Bits of a segment's 128: c0 38, c1 33 (over both words), c2 26, c3 18, exponent 9, kind 3,
// negative 1. Kinds: 0, 1, 2 direct with the argument's exponent not, plus, minus; 3 log2; 4 literal.
std::array<std::uint64_t, 2> Pack(const Segment& s) {
  const int kind = s.form == Form::kDirect ? static_cast<int>(s.follow)
                   : s.form == Form::kLog2 ? 3
                                           : 4;
  return {Put(s.c0, 0, 38) | Put(s.c1, 38, 26),
          Put(s.c1 >> 26, 0, 7) | Put(s.c2, 7, 26) | Put(s.c3, 33, 18) | Put(s.exponent, 51, 9) |
              Put(kind, 60, 3) | Put(s.negative, 63, 1)};
}
Segment Unpack(std::uint64_t low, std::uint64_t high) {
  Segment s;
  s.c0 = GetSigned(low, 0, 38);
  s.c1 = GetSigned(high, 0, 7) * (1 << 26) + static_cast<std::int64_t>(Get(low, 38, 26));
  s.c2 = static_cast<std::int32_t>(GetSigned(high, 7, 26));
  s.c3 = static_cast<std::int32_t>(GetSigned(high, 33, 18));
  s.exponent = static_cast<std::int16_t>(GetSigned(high, 51, 9));
  const std::uint64_t kind = Get(high, 60, 3);
  s.form = kind >= 4 ? Form::kLiteral : kind == 3 ? Form::kLog2 : Form::kDirect;
  s.follow = kind < 3 ? static_cast<Follow>(kind) : Follow::kNone;
  s.negative = Get(high, 63, 1) != 0;
  return s;
}

}  // namespace

std::vector<std::uint8_t> FunctionMemory::Image(const std::vector<FunctionHeader>& headers,
                                                const std::vector<OctaveEntry>& entries,
                                                const std::vector<Segment>& segments) {
  std::vector<std::uint64_t> words(2);
  for (const FunctionHeader& f : headers) {
    words.push_back(Put(f.code, 0, 5) | Put(static_cast<int>(f.mode), 5, 2) |
                    Put(static_cast<int>(f.symmetry), 7, 2) | Put(f.parity, 9, 1) |
                    Put(f.turn, 10, 2) | Put(f.first, 12, 9) | Put(f.octaves, 21, 7) |
                    Put(f.directory, 28, 10) | Put(f.first2, 38, 9) | Put(f.octaves2, 47, 7) |
                    Put(f.directory2, 54, 10));
    words.push_back(f.addend);
    words.push_back(f.special[0] | std::uint64_t{f.special[1]} << 32);
    words.push_back(f.special[2] | std::uint64_t{f.special[3]} << 32);
  }
  for (std::size_t n = 0; n < entries.size(); n += 4) {
    std::uint64_t word = 0;
    for (std::size_t k = n; k < entries.size() && k < n + 4; ++k) {
      word |= Put(entries[k].base, static_cast<int>(16 * (k - n)), 10) |
              Put(entries[k].split, static_cast<int>(16 * (k - n)) + 10, 3);
    }
    words.push_back(word);
  }
  for (const Segment& s : segments) {
    const auto pair = Pack(s);
    words.insert(words.end(), pair.begin(), pair.end());
  }
  words.push_back(0);
  words[0] = kImageMagic | std::uint64_t{words.size()} << 32;
  words[1] = Put(static_cast<std::int64_t>(headers.size()), 0, 8) |
             Put(static_cast<std::int64_t>((entries.size() + 3) / 4), 16, 16) |
             Put(static_cast<std::int64_t>(segments.size()), 32, 16);
  std::vector<std::uint8_t> image(8 * words.size());
  std::memcpy(image.data(), words.data(), image.size());
  const std::uint32_t crc = Crc32Of(std::span(image).first(image.size() - 4));
  std::memcpy(image.data() + image.size() - 4, &crc, 4);
  return image;
}

bool FunctionMemory::Load(std::span<const std::uint8_t> image) {
  if (image.size() % 8 != 0 || image.size() < 24) return false;
  const std::size_t count = image.size() / 8;
  const auto word = [&](std::size_t n) {
    std::uint64_t w = 0;
    std::memcpy(&w, image.data() + 8 * n, 8);
    return w;
  };
  const std::size_t headers = Get(word(1), 0, 8), quads = Get(word(1), 16, 16),
                    segments = Get(word(1), 32, 16);
  // What the hardware checks, and nothing else: that it means something is the CRC's business.
  if (Get(word(0), 0, 32) != kImageMagic || Get(word(0), 32, 32) != count) return false;
  if (headers > isa::kFuncCodes || 4 * quads > isa::kFuncEntries || segments > isa::kFuncSegments) {
    return false;
  }
  if (count != 3 + kHeaderWords * headers + quads + 2 * segments) return false;
  if (Crc32Of(image) != kCrcResidue) return false;

  header_of_.fill(-1);
  headers_.clear();
  // Memory that the set doesn't fill keeps what it had.
  std::size_t at = 2;
  for (std::size_t n = 0; n < headers; ++n, at += kHeaderWords) {
    FunctionHeader f;
    const std::uint64_t w = word(at);
    f.code = static_cast<std::uint8_t>(Get(w, 0, 5));
    f.mode = static_cast<ArgMode>(Get(w, 5, 2));
    f.symmetry = static_cast<Symmetry>(Get(w, 7, 2));
    f.parity = Get(w, 9, 1) != 0;
    f.turn = static_cast<std::uint8_t>(Get(w, 10, 2));
    f.first = static_cast<std::int16_t>(GetSigned(w, 12, 9));
    f.octaves = static_cast<std::uint8_t>(Get(w, 21, 7));
    f.directory = static_cast<std::uint16_t>(Get(w, 28, 10));
    f.first2 = static_cast<std::int16_t>(GetSigned(w, 38, 9));
    f.octaves2 = static_cast<std::uint8_t>(Get(w, 47, 7));
    f.directory2 = static_cast<std::uint16_t>(Get(w, 54, 10));
    f.addend = Get(word(at + 1), 0, 38);
    for (std::size_t k = 0; k < 4; ++k) {
      f.special[k] = static_cast<std::uint32_t>(word(at + 2 + k / 2) >> (k % 2 * 32));
    }
    header_of_[f.code] = static_cast<std::int16_t>(n);
    headers_.push_back(f);
  }
  for (std::size_t n = 0; n < quads; ++n, ++at) {
    for (std::size_t k = 0; k < 4; ++k) {
      const int lsb = static_cast<int>(16 * k);
      entries_[4 * n + k] = {static_cast<std::uint16_t>(Get(word(at), lsb, 10)),
                             static_cast<std::uint8_t>(Get(word(at), lsb + 10, 3))};
    }
  }
  for (std::size_t n = 0; n < segments; ++n, at += 2) segments_[n] = Unpack(word(at), word(at + 1));
  return true;
}

}  // namespace dither::model
