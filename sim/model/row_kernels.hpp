// Rows of elements at once, in the compiler's SIMD: the same bits as the functions of single elements in
// formats.hpp, fp32.hpp and lfsr.hpp, which define them.
//
// Test  tb/model/row_kernels_test.cpp
#pragma once

#include <cstdint>

#include "sim/model/formats.hpp"

namespace dither::model {

// out[n] = Fp32Fma(a[n], b[n], c[n]); out may be a, b or c.
void FmaRow(const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c, std::uint32_t count,
            std::uint32_t* out);

// words[n] = the random word of the n-th rounding from `state` on; the state after them.
std::uint32_t RandomRow(std::uint32_t state, bool whiten, std::uint32_t count, std::uint32_t* words);

// WidenToFp32 of `count` elements from `at`, `stride` elements apart.
void WidenRow(Dtype dtype, const std::uint8_t* at, std::int64_t stride, std::uint32_t count,
              std::uint32_t* out);

// NarrowFromFp32 of `count` values to `at`, `stride` elements apart. A stochastic narrowing uses up a
// random word an element, exact or not.
void NarrowRow(Dtype dtype, const std::uint32_t* values, std::uint32_t count, Round round, bool saturate,
               bool whiten, std::uint32_t& rounder, std::uint8_t* at, std::int64_t stride);

}  // namespace dither::model
