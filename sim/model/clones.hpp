// DITHER_CLONES before a function: one copy of it for each generation of SIMD, chosen when the program
// starts. AddressSanitizer and coverage builds may switch this off with DITHER_NO_CLONES.
#pragma once

#if defined(__x86_64__) && !defined(__clang__) && !defined(DITHER_NO_CLONES)
#define DITHER_X86_CLONES 1
#define DITHER_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DITHER_CLONES
#endif
