// Interleaved 8-bit RGB to planes and back: what compilers do badly by themselves. Included by each variant.
#pragma once
#include <cstdint>

#if defined(__SSSE3__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

static inline void deinterleave(const uint8_t* p, int n, uint8_t* r, uint8_t* g, uint8_t* b) {
    int i = 0;
#if defined(__SSSE3__)
    const auto pick = [](int first) {  // bytes first, first + 3, ... of 48, from each of three registers; -1 gives 0
        alignas(16) int8_t index[3][16];
        for (int part = 0; part < 3; part++)
            for (int k = 0; k < 16; k++) {
                const int at = first + 3 * k - 16 * part;
                index[part][k] = (int8_t)(at >= 0 && at < 16 ? at : -1);
            }
        struct Three {
            __m128i v[3];
        } three;
        for (int part = 0; part < 3; part++) three.v[part] = _mm_load_si128((const __m128i*)index[part]);
        return three;
    };
    const auto red = pick(0), green = pick(1), blue = pick(2);
    for (; i + 16 <= n; i += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i*)(p + 3 * i)),
                      y = _mm_loadu_si128((const __m128i*)(p + 3 * i + 16)),
                      z = _mm_loadu_si128((const __m128i*)(p + 3 * i + 32));
        const auto gather = [&](const auto& s) {
            return _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, s.v[0]), _mm_shuffle_epi8(y, s.v[1])),
                                _mm_shuffle_epi8(z, s.v[2]));
        };
        _mm_storeu_si128((__m128i*)(r + i), gather(red));
        _mm_storeu_si128((__m128i*)(g + i), gather(green));
        _mm_storeu_si128((__m128i*)(b + i), gather(blue));
    }
#elif defined(__ARM_NEON)
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t x = vld3q_u8(p + 3 * i);
        vst1q_u8(r + i, x.val[0]);
        vst1q_u8(g + i, x.val[1]);
        vst1q_u8(b + i, x.val[2]);
    }
#endif
    for (; i < n; i++) r[i] = p[3 * i], g[i] = p[3 * i + 1], b[i] = p[3 * i + 2];
}

static inline void interleave(const uint8_t* r, const uint8_t* g, const uint8_t* b, int n, uint8_t* p) {
    int i = 0;
#if defined(__SSSE3__)
    const auto place = [](int part, int channel) {  // which of 16 values of a channel go where in the part-th 16 bytes
        alignas(16) int8_t index[16];
        for (int k = 0; k < 16; k++) {
            const int at = 16 * part + k;
            index[k] = (int8_t)(at % 3 == channel ? at / 3 : -1);
        }
        return _mm_load_si128((const __m128i*)index);
    };
    __m128i to[3][3];
    for (int part = 0; part < 3; part++)
        for (int c = 0; c < 3; c++) to[part][c] = place(part, c);
    for (; i + 16 <= n; i += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i*)(r + i)), y = _mm_loadu_si128((const __m128i*)(g + i)),
                      z = _mm_loadu_si128((const __m128i*)(b + i));
        for (int part = 0; part < 3; part++)
            _mm_storeu_si128((__m128i*)(p + 3 * i + 16 * part),
                             _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, to[part][0]), _mm_shuffle_epi8(y, to[part][1])),
                                          _mm_shuffle_epi8(z, to[part][2])));
    }
#elif defined(__ARM_NEON)
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t x = {{vld1q_u8(r + i), vld1q_u8(g + i), vld1q_u8(b + i)}};
        vst3q_u8(p + 3 * i, x);
    }
#endif
    for (; i < n; i++) p[3 * i] = r[i], p[3 * i + 1] = g[i], p[3 * i + 2] = b[i];
}
