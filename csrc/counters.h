// Color counters: the lines of them that were touched, collected. Included by each variant of kernels.cpp.
#pragma once
#include "kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

int64_t nonzero(const uint32_t* counters, int n) {
    int64_t found = 0;
#if defined(__AVX512F__)
    for (int i = 0; i < n; i += 16) {
        const __m512i line = _mm512_loadu_si512(counters + i);
        found += __builtin_popcount(_mm512_test_epi32_mask(line, line));
    }
#else
    for (int i = 0; i < n; i++) found += counters[i] != 0;
#endif
    return found;
}

// Codes and numbers of the counters that are not 0, in order, and zeros in their place. Writes up to 16 beyond the last.
// n is a multiple of 16; ``first`` is the code of the first counter.
int64_t collect(uint32_t* counters, int n, uint32_t first, uint32_t* codes, uint32_t* numbers) {
    int64_t found = 0;
#if defined(__AVX512F__)
    const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = 0; i < n; i += 16) {
        const __m512i line = _mm512_loadu_si512(counters + i);
        const __mmask16 counted = _mm512_test_epi32_mask(line, line);
        if (!counted) continue;
        const __m512i code = _mm512_add_epi32(_mm512_set1_epi32((int)first + i), steps);
        _mm512_storeu_si512(codes + found, _mm512_maskz_compress_epi32(counted, code));
        _mm512_storeu_si512(numbers + found, _mm512_maskz_compress_epi32(counted, line));
        _mm512_storeu_si512(counters + i, _mm512_setzero_si512());
        found += __builtin_popcount(counted);
    }
#else
    for (int i = 0; i < n; i += 16) {
        uint32_t any = 0;
        for (int k = 0; k < 16; k++) any |= counters[i + k];
        if (!any) continue;
        for (int k = i; k < i + 16; k++) {  // written always, kept if counted: a branch would be a coin toss
            codes[found] = first + (uint32_t)k;
            numbers[found] = counters[k];
            found += counters[k] != 0;
            counters[k] = 0;
        }
    }
#endif
    return found;
}

inline uint8_t every_third_bit(uint32_t code) {
    code &= 0x249249;
    code = (code | code >> 2) & 0x0c30c3;
    code = (code | code >> 4) & 0x00f00f;
    return (uint8_t)(code | code >> 8);
}

// Red, green and blue of Morton codes.
void decode(const uint32_t* codes, int64_t n, uint8_t* levels, int64_t stride) {
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < n; i++) levels[c * stride + i] = every_third_bit(codes[i] >> (2 - c));
}

}  // namespace
