// AVX-512 intrinsics for functions that are chosen when the program starts: DITHER_TARGET and DITHER_INLINE before them.
// DITHER_X86_CLONES (clones.hpp) says whether there are any.
#pragma once

#include "sim/model/clones.hpp"

#ifdef DITHER_X86_CLONES
// g++ 12 takes the header's "undefined" registers for uninitialised ones where they are inlined; the header
// alone is excused.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#define DITHER_TARGET __attribute__((target("avx512f,avx512cd,avx512dq,avx512vl,avx512bw")))
#define DITHER_INLINE DITHER_TARGET inline __attribute__((always_inline))

namespace dither::model {
// Whether this processor has what DITHER_TARGET names.
inline bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw");
}
}  // namespace dither::model
#endif
