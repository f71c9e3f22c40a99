// Instructions as text, one line each, and back: Assemble(queue, Disassemble(queue, e)) == e for
// any 64 bytes. Fields that are zero are left out, undefined codes appear as numbers, and what has
// no readable form (unknown opcode, reserved bits set) becomes "raw" and 128 hexadecimal digits.
//
//   matmul size=512 dst=psum:fp32:p0+16:0x0:s1 src0=sbuf:bf16:p0+16:0x400:s1
//   src1=sbuf:bf16:p0:0x0:s1 acc wait=7>=2 sig=3+1
//
// An operand is memory:dtype:first partition[+count]:byte offset:strides (innermost first, comma
// separated; zeros at the end left out). Test  tb/program/disassemble_test.cpp
#pragma once

#include <string>
#include <string_view>

#include "sim/isa/isa.hpp"

namespace dither {

std::string Disassemble(isa::Queue queue, const isa::Encoded& encoded);

// Throws ProgramError naming the word that it can't read.
isa::Encoded Assemble(isa::Queue queue, std::string_view line);

}  // namespace dither
