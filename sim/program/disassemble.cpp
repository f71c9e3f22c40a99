// Text form of instructions: printer and parser share the order of fields, so they stay inverses.
#include "sim/program/disassemble.hpp"

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <vector>

#include "sim/model/check.hpp"
#include "sim/program/program.hpp"

namespace dither {
namespace {

using isa::DmaInstr;
using isa::EngineInstr;
using isa::Encoded;
using isa::Op;
using isa::Queue;

std::string Hex(std::uint64_t value, int digits = 0) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", digits, static_cast<unsigned long long>(value));
  return text;
}

bool IsDma(Queue queue) { return queue == Queue::kDma0 || queue == Queue::kDma1; }

template <typename Code>
std::string CodeText(std::uint32_t code) {
  const std::string_view name = isa::Name(static_cast<Code>(code));
  return name.empty() ? std::to_string(code) : std::string(name);
}

// Comma separated values, those at the end that equal `omit` left out (one value always remains).
template <typename Values>
std::string List(const Values& values, long omit) {
  std::size_t count = values.size();
  while (count > 1 && values[count - 1] == omit) --count;
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i ? "," : "") + std::to_string(values[i]);
  return text;
}

std::string OperandText(std::uint8_t space, std::uint8_t dtype, std::uint8_t part, int parts,
                        std::uint32_t off, const std::array<std::int16_t, 4>& strides) {
  std::string text(isa::Name(static_cast<isa::Space>(space)));
  text += ":" + CodeText<isa::Dtype>(dtype) + ":p" + std::to_string(part);
  if (parts >= 0) text += "+" + std::to_string(parts);
  return text + ":" + Hex(off) + ":s" + List(strides, 0);
}

template <typename Instr>
std::string SyncText(const Instr& i) {
  std::string text;
  if (i.wait_en || i.wait_sem || i.wait_val) {
    text += std::string(i.wait_en ? " wait=" : " nowait=") + std::to_string(i.wait_sem) +
            ">=" + std::to_string(i.wait_val);
  }
  if (i.sig_en || i.sig_sem || i.sig_inc) {
    text += std::string(i.sig_en ? " sig=" : " nosig=") + std::to_string(i.sig_sem) +
            (i.sig_inc < 0 ? "" : "+") + std::to_string(i.sig_inc);
  }
  if (i.irq) text += " irq";
  return text;
}

std::string FuncText(Op op, std::uint8_t func) {
  switch (op) {
    case Op::kTranspose: return CodeText<isa::TransposeFunc>(func);
    case Op::kTensor: return CodeText<isa::VecFunc>(func);
    case Op::kReduce:
    case Op::kScan: return CodeText<isa::RedFunc>(func);
    case Op::kShuffle: return CodeText<isa::ShuffleFunc>(func);
    case Op::kAct: return CodeText<isa::ActFunc>(func);
    default: return std::to_string(func);
  }
}

std::string EngineText(const EngineInstr& i) {
  const Op op = static_cast<Op>(i.opcode);
  std::string text(isa::Name(op));
  const bool has_func = op == Op::kTranspose || op == Op::kTensor || op == Op::kReduce ||
                        op == Op::kScan || op == Op::kShuffle || op == Op::kAct;
  if (has_func) {
    text += "." + FuncText(op, i.func);
  } else if (i.func) {
    text += " func=" + std::to_string(i.func);
  }
  if (i.size != std::array<std::uint16_t, 4>{}) text += " size=" + List(i.size, 1);
  if (i.space_d || i.dtype_d || i.part_d || i.parts_d || i.off_d ||
      i.str_d != std::array<std::int16_t, 4>{}) {
    text += " dst=" + OperandText(i.space_d, i.dtype_d, i.part_d, i.parts_d, i.off_d, i.str_d);
  }
  if (i.space_0 || i.dtype_0 || i.part_0 || i.parts || i.off_0 ||
      i.str_0 != std::array<std::int16_t, 4>{}) {
    text += " src0=" + OperandText(i.space_0, i.dtype_0, i.part_0, i.parts, i.off_0, i.str_0);
  }
  // Imm1 lies over two strides of source 1: shown as the number it is.
  auto strides = i.str_1;
  const bool bias = (op == Op::kAct || (op == Op::kTensor && i.func_1)) && i.src1_imm;
  if (bias) strides[0] = strides[1] = 0;
  if (i.space_1 || i.dtype_1 || i.part_1 || i.off_1 || strides != std::array<std::int16_t, 4>{}) {
    text += " src1=" + OperandText(i.space_1, i.dtype_1, i.part_1, -1, i.off_1, strides);
  }
  if (i.src1_imm) text += " imm";
  if (i.func_1) text += " then=" + CodeText<isa::VecFunc>(i.func_1);
  if (i.rev) text += " rev";
  if (i.rev_1) text += " rev1";
  if (i.gen_0) text += " gen=" + CodeText<isa::Source>(i.gen_0);
  if (i.scalar_ptr) text += " ptr";
  if (i.imm0) text += " imm0=" + Hex(i.imm0, 8);
  if (bias) text += " imm1=" + Hex(isa::Imm1(i), 8);
  if (i.sum) text += " sum=" + CodeText<isa::ActSum>(i.sum);
  if (i.rdims) text += " rdims=" + std::to_string(i.rdims);
  if (i.acc) text += " acc";
  if (i.reuse) text += " reuse";
  if (i.piece_0) text += " piece0=" + std::to_string(i.piece_0);
  if (i.piece_1) text += " piece1=" + std::to_string(i.piece_1);
  if (i.tiles) text += " tiles=" + std::to_string(1 << i.tiles);
  if (i.pair) text += " pair";
  if (i.count_nf) text += " count_nf";
  if (i.round) text += " round=" + CodeText<isa::Round>(i.round);
  if (i.sat) text += " sat";
  return text + SyncText(i);
}

std::string DmaText(DmaInstr i) {
  // Limit and list lie over strides: shown as what they are.
  const std::uint32_t limit = isa::Limit(i), list = isa::ListAddr(i);
  const bool indexed = IndexedSide(i) != Indexed::kNone;
  if (indexed) i.src_str[3] = i.dst_str[3] = 0;
  std::string text(isa::Name(static_cast<Op>(i.opcode)));
  if (i.size != std::array<std::uint16_t, 4>{}) text += " size=" + List(i.size, 1);
  const auto side = [](std::uint8_t dtype, std::uint64_t addr,
                       const std::array<std::int32_t, 4>& strides) {
    const std::uint64_t space = addr >> 44;
    std::string s;
    if (space == 0) {
      s = "dram:" + Hex(addr);
    } else if (space == 1 && ((addr >> 28) & 0xffff) == 0) {
      s = "sbuf:p" + std::to_string((addr >> 20) & 0xff) + ":" + Hex(addr & 0xfffff);
    } else {
      s = "addr:" + Hex(addr);
    }
    s += ":" + CodeText<isa::Dtype>(dtype) + ":s";
    // A stride is shown as partitions and bytes, both signed: 1p0 is the next partition.
    std::size_t count = 4;
    while (count > 1 && strides[count - 1] == 0) --count;
    for (std::size_t k = 0; k < count; ++k) {
      const std::int32_t bytes =
          static_cast<std::int32_t>(static_cast<std::uint32_t>(strides[k]) << 12) >> 12;
      const std::int64_t parts = (static_cast<std::int64_t>(strides[k]) - bytes) >> 20;
      if (k) s += ",";
      if (space == 1 && parts != 0) s += std::to_string(parts) + "p";
      s += std::to_string(space == 1 ? bytes : strides[k]);
    }
    return s;
  };
  if (i.dtype_d || i.dst_addr || i.dst_str != std::array<std::int32_t, 4>{}) {
    text += " dst=" + side(i.dtype_d, i.dst_addr, i.dst_str);
  }
  if (i.dtype_0 || i.src_addr || i.src_str != std::array<std::int32_t, 4>{}) {
    text += " src=" + side(i.dtype_0, i.src_addr, i.src_str);
  }
  if (indexed) {
    text += " list=p" + std::to_string(list >> isa::kPartitionPitchLog2) + ":" +
            Hex(list & ((1u << isa::kPartitionPitchLog2) - 1)) + " limit=" + std::to_string(limit);
  }
  return text + SyncText(i);
}

// ------------------------------------------------------------------------------- reading back

[[noreturn]] void Fail(std::string_view word, const char* why) {
  throw ProgramError("assemble: '" + std::string(word) + "': " + why);
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::string part;
  std::istringstream stream{std::string(text)};
  while (std::getline(stream, part, separator)) parts.push_back(part);
  return parts;
}

std::int64_t Number(std::string_view text, std::string_view word) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) {
    Fail(word, "not a number");
  }
  return negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

template <typename Int>
void Set(Int& field, std::int64_t value, int bits, bool is_signed, std::string_view word) {
  const std::int64_t low = is_signed ? -(std::int64_t{1} << (bits - 1)) : 0;
  const std::int64_t high = (std::int64_t{1} << (is_signed ? bits - 1 : bits)) - 1;
  if (value < low || value > high) Fail(word, "number out of the field's range");
  field = static_cast<Int>(value);
}

template <typename Codes>
std::int64_t Code(const Codes& codes, std::string_view text, std::string_view word) {
  for (const auto code : codes) {
    if (isa::Name(code) == text) return static_cast<std::int64_t>(code);
  }
  return Number(text, word);
}

template <typename Array>
void SetList(Array& values, std::string_view text, std::int64_t rest, int bits, bool is_signed,
             std::string_view word) {
  const auto items = Split(text, ',');
  if (items.empty() || items.size() > 4) Fail(word, "needs one to four numbers");
  for (std::size_t k = 0; k < 4; ++k) {
    Set(values[k], k < items.size() ? Number(items[k], word) : rest, bits, is_signed, word);
  }
}

void ReadOperand(std::string_view text, std::string_view word, std::uint8_t& space,
                 std::uint8_t& dtype, std::uint8_t& part, std::uint8_t* parts, std::uint32_t& off,
                 std::array<std::int16_t, 4>& strides) {
  const auto items = Split(text, ':');
  if (items.size() != 5 || !items[2].starts_with('p') || !items[4].starts_with('s')) {
    Fail(word, "an operand is memory:dtype:pN+COUNT:OFFSET:sSTRIDES");
  }
  Set(space, Code(isa::kAllSpace, items[0], word), 1, false, word);
  Set(dtype, Code(isa::kAllDtype, items[1], word), 4, false, word);
  const auto range = Split(std::string_view(items[2]).substr(1), '+');
  if (range.size() != (parts ? 2u : 1u)) Fail(word, "partitions are pFIRST+COUNT (src1: pFIRST)");
  Set(part, Number(range[0], word), 8, false, word);
  if (parts) Set(*parts, Number(range[1], word), 8, false, word);
  Set(off, Number(items[3], word), 24, false, word);
  SetList(strides, std::string_view(items[4]).substr(1), 0, 16, true, word);
}

void ReadDmaSide(std::string_view text, std::string_view word, std::uint8_t& dtype,
                 std::uint64_t& addr, std::array<std::int32_t, 4>& strides) {
  const auto items = Split(text, ':');
  const bool sbuf = !items.empty() && items[0] == "sbuf";
  const std::size_t want = sbuf ? 5 : 4;
  if (items.size() != want || !items[want - 1].starts_with('s') ||
      !(sbuf || items[0] == "dram" || items[0] == "addr")) {
    Fail(word, "a side is dram:ADDR:DTYPE:sSTRIDES or sbuf:pN:OFFSET:DTYPE:sSTRIDES");
  }
  if (sbuf) {
    std::uint32_t part = 0, off = 0;
    if (!items[1].starts_with('p')) Fail(word, "partition must be pN");
    Set(part, Number(std::string_view(items[1]).substr(1), word), 8, false, word);
    Set(off, Number(items[2], word), 20, false, word);
    addr = std::uint64_t{1} << 44 | std::uint64_t{part} << 20 | off;
  } else {
    Set(addr, Number(items[1], word), 48, false, word);
  }
  Set(dtype, Code(isa::kAllDtype, items[want - 2], word), 4, false, word);
  const auto list = Split(std::string_view(items[want - 1]).substr(1), ',');
  if (list.empty() || list.size() > 4) Fail(word, "needs one to four strides");
  strides = {};
  for (std::size_t k = 0; k < list.size(); ++k) {
    const auto at = list[k].find('p');
    std::int64_t stride = 0;
    if (at != std::string::npos) {
      stride = Number(std::string_view(list[k]).substr(0, at), word) * (std::int64_t{1} << 20) +
               Number(std::string_view(list[k]).substr(at + 1), word);
    } else {
      stride = Number(list[k], word);
    }
    Set(strides[k], stride, 32, true, word);
  }
}

// pN:OFFSET
std::uint32_t ReadList(std::string_view text, std::string_view word) {
  const auto items = Split(text, ':');
  if (items.size() != 2 || !items[0].starts_with('p')) Fail(word, "a list is pN:OFFSET");
  std::uint32_t part = 0, off = 0;
  Set(part, Number(std::string_view(items[0]).substr(1), word), 12, false, word);
  Set(off, Number(items[1], word), 20, false, word);
  return part << isa::kPartitionPitchLog2 | off;
}

template <typename Instr>
bool ReadSync(const std::string& key, const std::string& value, const std::string& word, Instr& i) {
  if (key == "wait" || key == "nowait") {
    const auto at = value.find(">=");
    if (at == std::string::npos) Fail(word, "a wait is SEM>=VALUE");
    i.wait_en = key == "wait";
    Set(i.wait_sem, Number(value.substr(0, at), word), 6, false, word);
    Set(i.wait_val, Number(value.substr(at + 2), word), 16, false, word);
  } else if (key == "sig" || key == "nosig") {
    const auto at = value.find_first_of("+-");
    if (at == std::string::npos) Fail(word, "a signal is SEM+INC or SEM-DEC");
    i.sig_en = key == "sig";
    Set(i.sig_sem, Number(value.substr(0, at), word), 6, false, word);
    Set(i.sig_inc, Number(value.substr(value[at] == '+' ? at + 1 : at), word), 8, true, word);
  } else if (key == "irq") {
    i.irq = 1;
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string Disassemble(Queue queue, const Encoded& encoded) {
  const Op op = static_cast<Op>(encoded[0]);
  const bool known = !isa::Name(op).empty() && isa::OpAllowed(queue, op);
  if (known && IsDma(queue) && !isa::DmaInstrReservedSet(encoded)) {
    return DmaText(isa::DecodeDmaInstr(encoded));
  }
  if (known && !IsDma(queue) && !isa::EngineInstrReservedSet(encoded)) {
    return EngineText(isa::DecodeEngineInstr(encoded));
  }
  std::string text = "raw ";
  char digits[3];
  for (const std::uint8_t byte : encoded) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

Encoded Assemble(Queue queue, std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::string head, word;
  stream >> head;
  if (head == "raw") {
    Encoded encoded{};
    stream >> word;
    if (word.size() != 2 * encoded.size()) Fail(word, "raw needs 128 hexadecimal digits");
    for (std::size_t b = 0; b < encoded.size(); ++b) {
      encoded[b] = static_cast<std::uint8_t>(Number("0x" + word.substr(2 * b, 2), word));
    }
    return encoded;
  }
  const auto dot = head.find('.');
  const std::string name = head.substr(0, dot);
  Op op{};
  for (const Op candidate : isa::kAllOp) {
    if (isa::Name(candidate) == name) op = candidate;
  }
  if (op == Op{}) Fail(head, "unknown instruction");
  if (!isa::OpAllowed(queue, op)) Fail(head, "the queue's engine has no such instruction");

  EngineInstr e{};
  DmaInstr d{};
  std::uint32_t limit = 0, list = 0;  // set at the end: they lie over strides
  e.opcode = d.opcode = static_cast<std::uint8_t>(op);
  if (dot != std::string::npos) {
    const std::string func = head.substr(dot + 1);
    const std::int64_t code = op == Op::kTranspose ? Code(isa::kAllTransposeFunc, func, head)
                              : op == Op::kTensor ? Code(isa::kAllVecFunc, func, head)
                              : op == Op::kReduce || op == Op::kScan
                                  ? Code(isa::kAllRedFunc, func, head)
                              : op == Op::kShuffle ? Code(isa::kAllShuffleFunc, func, head)
                              : op == Op::kAct    ? Code(isa::kAllActFunc, func, head)
                                                  : Number("x", head);
    Set(e.func, code, 8, false, head);
  }
  while (stream >> word) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (IsDma(queue)) {
      if (key == "size") {
        SetList(d.size, value, 1, 16, false, word);
      } else if (key == "dst") {
        ReadDmaSide(value, word, d.dtype_d, d.dst_addr, d.dst_str);
      } else if (key == "src") {
        ReadDmaSide(value, word, d.dtype_0, d.src_addr, d.src_str);
      } else if (key == "limit" && IndexedSide(d) != Indexed::kNone) {
        Set(limit, Number(value, word), 32, false, word);
      } else if (key == "list" && IndexedSide(d) != Indexed::kNone) {
        list = ReadList(value, word);
      } else if (!ReadSync(key, value, word, d)) {
        Fail(word, "unknown word");
      }
      continue;
    }
    if (key == "func") {
      Set(e.func, Number(value, word), 8, false, word);
    } else if (key == "size") {
      SetList(e.size, value, 1, 16, false, word);
    } else if (key == "dst") {
      ReadOperand(value, word, e.space_d, e.dtype_d, e.part_d, &e.parts_d, e.off_d, e.str_d);
    } else if (key == "src0") {
      ReadOperand(value, word, e.space_0, e.dtype_0, e.part_0, &e.parts, e.off_0, e.str_0);
    } else if (key == "src1") {
      ReadOperand(value, word, e.space_1, e.dtype_1, e.part_1, nullptr, e.off_1, e.str_1);
    } else if (key == "imm") {
      e.src1_imm = 1;
    } else if (key == "then") {
      Set(e.func_1, Code(isa::kAllVecFunc, value, word), 8, false, word);
    } else if (key == "rev") {
      e.rev = 1;
    } else if (key == "rev1") {
      e.rev_1 = 1;
    } else if (key == "gen") {
      Set(e.gen_0, Code(isa::kAllSource, value, word), 2, false, word);
    } else if (key == "ptr") {
      e.scalar_ptr = 1;
    } else if (key == "imm0") {
      Set(e.imm0, Number(value, word), 32, false, word);
    } else if (key == "imm1") {
      std::uint32_t bits = 0;
      Set(bits, Number(value, word), 32, false, word);
      isa::SetImm1(e, bits);
    } else if (key == "rdims") {
      Set(e.rdims, Number(value, word), 2, false, word);
    } else if (key == "sum") {
      Set(e.sum, Code(isa::kAllActSum, value, word), 2, false, word);
    } else if (key == "acc") {
      e.acc = 1;
    } else if (key == "reuse") {
      e.reuse = 1;
    } else if (key == "piece0") {
      Set(e.piece_0, Number(value, word), 2, false, word);
    } else if (key == "piece1") {
      Set(e.piece_1, Number(value, word), 2, false, word);
    } else if (key == "tiles") {
      const std::int64_t tiles = Number(value, word);
      if (tiles != 1 && tiles != 2 && tiles != 4 && tiles != 8) Fail(word, "tiles are 1, 2 or 4");
      e.tiles = static_cast<std::uint8_t>(std::countr_zero(static_cast<std::uint64_t>(tiles)));
    } else if (key == "pair") {
      e.pair = 1;
    } else if (key == "count_nf") {
      e.count_nf = 1;
    } else if (key == "round") {
      Set(e.round, Code(isa::kAllRound, value, word), 2, false, word);
    } else if (key == "sat") {
      e.sat = 1;
    } else if (!ReadSync(key, value, word, e)) {
      Fail(word, "unknown word");
    }
  }
  if (IndexedSide(d) != Indexed::kNone) {
    isa::SetLimit(d, limit);
    isa::SetListAddr(d, list);
  }
  return IsDma(queue) ? Encode(d) : Encode(e);
}

}  // namespace dither
