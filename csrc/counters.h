// Color counters: the lines of them that were touched, collected. Included by each variant of kernels.cpp.
#pragma once
#include "pixels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

// Bits of a level, each three bits from the next.
constexpr uint32_t spread(uint32_t level) {
    level = (level | level << 8) & 0x00f00f;
    level = (level | level << 4) & 0x0c30c3;
    return (level | level << 2) & 0x249249;
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// Nibbles of each channel spread, the low byte and the high one.
struct Nibbles {
    alignas(16) uint8_t of[3][2][16];
    constexpr Nibbles() : of() {
        for (uint32_t v = 0; v < 16; v++)
            for (int c = 0; c < 3; c++)
                for (int k = 0; k < 2; k++) of[c][k][v] = (uint8_t)(spread(v) << (2 - c) >> 8 * k);
    }
};
constexpr Nibbles NIBBLES;

// Codes of 32 pixels: each nibble by a table in a register, four bits to twelve.
inline void morton_of_32(const uint8_t* const* channels, uint32_t* codes) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i bytes[4] = {};  // of the lower twelve bits and of the upper twelve, each low and high
    for (int c = 0; c < 3; c++) {
        const __m256i level = _mm256_loadu_si256((const __m256i*)channels[c]);
        const __m256i half[2] = {_mm256_and_si256(level, nibble), _mm256_and_si256(_mm256_srli_epi16(level, 4), nibble)};
        for (int k = 0; k < 4; k++) {
            const __m256i by = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i*)NIBBLES.of[c][k % 2]));
            bytes[k] = _mm256_or_si256(bytes[k], _mm256_shuffle_epi8(by, half[k / 2]));
        }
    }
    const __m256i weights = _mm256_set1_epi32(1 | 4096 << 16);
    const auto store = [&](__m256i lower, __m256i upper, uint32_t* to) {
        const __m256i code = _mm256_madd_epi16(_mm256_unpacklo_epi16(lower, upper), weights);
        const __m256i next = _mm256_madd_epi16(_mm256_unpackhi_epi16(lower, upper), weights);
        _mm_storeu_si128((__m128i*)to, _mm256_castsi256_si128(code));
        _mm_storeu_si128((__m128i*)(to + 4), _mm256_castsi256_si128(next));
        _mm_storeu_si128((__m128i*)(to + 16), _mm256_extracti128_si256(code, 1));
        _mm_storeu_si128((__m128i*)(to + 20), _mm256_extracti128_si256(next, 1));
    };
    store(_mm256_unpacklo_epi8(bytes[0], bytes[1]), _mm256_unpacklo_epi8(bytes[2], bytes[3]), codes);
    store(_mm256_unpackhi_epi8(bytes[0], bytes[1]), _mm256_unpackhi_epi8(bytes[2], bytes[3]), codes + 8);
}
#endif

// Morton codes of a block of 8-bit pixels; returns how many there are. ``codes`` has room for BLOCK.
int morton(const sx::View& image, int64_t block, uint32_t* codes) {
    Levels in;
    const Span at = span_of(image, block);
    read_levels(image, at, in);
#if defined(__AVX2__) && !defined(__AVX512F__)
    for (int i = 0; i < at.padded; i += 32) {
        const uint8_t* const channels[3] = {in.c[0] + i, in.c[1] + i, in.c[2] + i};
        morton_of_32(channels, codes + i);
    }
#else
    for (int i = 0; i < at.padded; i++) codes[i] = spread(in.c[0][i]) << 2 | spread(in.c[1][i]) << 1 | spread(in.c[2][i]);
#endif
    return at.count;
}

int64_t nonzero(const uint8_t* counters, int n) {
    int32_t found = 0;
    for (int i = 0; i < n; i++) found += counters[i] != 0;
    return found;
}

// Codes and numbers of the counters that are not 0, in order, and zeros in their place. Writes up to 16 beyond the last.
// n is a multiple of 16; ``first`` is the code of the first counter.
int64_t collect(uint8_t* counters, int n, uint32_t first, uint32_t* codes, uint32_t* numbers) {
    int64_t found = 0;
    for (int i = 0; i < n; i += 16) {
        alignas(16) uint64_t halves[2];
        std::memcpy(halves, counters + i, 16);
        if (!(halves[0] | halves[1])) continue;
#if defined(__AVX512F__)
        const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i line = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(counters + i)));
        const __mmask16 counted = _mm512_test_epi32_mask(line, line);
        const __m512i code = _mm512_add_epi32(_mm512_set1_epi32((int)first + i), steps);
        _mm512_storeu_si512(codes + found, _mm512_maskz_compress_epi32(counted, code));
        _mm512_storeu_si512(numbers + found, _mm512_maskz_compress_epi32(counted, line));
        found += __builtin_popcount(counted);
#elif defined(__SSE2__)
        const __m128i line = _mm_load_si128((const __m128i*)halves);
        uint32_t counted = 0xffffu ^ (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(line, _mm_setzero_si128()));
        for (; counted; counted &= counted - 1, found++) {
            const int k = i + __builtin_ctz(counted);
            codes[found] = first + (uint32_t)k;
            numbers[found] = counters[k];
        }
#else
        for (int k = i; k < i + 16; k++) {  // written always, kept if counted: a branch would be a coin toss
            codes[found] = first + (uint32_t)k;
            numbers[found] = counters[k];
            found += counters[k] != 0;
        }
#endif
        std::memset(counters + i, 0, 16);
    }
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
