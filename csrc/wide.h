// A vector register of floats of whatever width there is, for maps of bytes: their polynomials are shorter than those of
// floats need to be (4e-6 of the light is a thousandth of a level). Included by each variant of kernels.cpp.
#pragma once
#include <initializer_list>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define SX_WIDE

namespace {

using Wide = __m512;
constexpr int WIDE = 16;

inline Wide wide(float x) { return _mm512_set1_ps(x); }
inline Wide larger(Wide a, Wide b) { return _mm512_max_ps(a, b); }
inline Wide smaller(Wide a, Wide b) { return _mm512_min_ps(a, b); }

inline Wide wide_levels(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_load_si128((const __m128i*)p)));
}

inline void store_levels(uint8_t* p, Wide level) {
    const Wide clipped = smaller(larger(level, _mm512_setzero_ps()), wide(255.0f));
    _mm_store_si128((__m128i*)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(clipped)));
}

// x = 2^e (1 + m) with 1 + m from 3/4 to 3/2.
inline Wide split_power(Wide x, Wide& e) {
    const Wide mantissa = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src), one = wide(1.0f);
    e = _mm512_getexp_ps(x);
    e = _mm512_mask_add_ps(e, _mm512_cmp_ps_mask(mantissa, one, _CMP_LT_OQ), e, one);
    return _mm512_sub_ps(mantissa, one);
}

// x less the whole number below it.
inline Wide fraction_of(Wide x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }

// p 2^floor(x)
inline Wide scaled(Wide p, Wide x, Wide) { return _mm512_scalef_ps(p, x); }

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SX_WIDE

namespace {

using Wide = __m256;
constexpr int WIDE = 8;

inline Wide wide(float x) { return _mm256_set1_ps(x); }
inline Wide larger(Wide a, Wide b) { return _mm256_max_ps(a, b); }
inline Wide smaller(Wide a, Wide b) { return _mm256_min_ps(a, b); }

inline Wide wide_levels(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}

inline void store_levels(uint8_t* p, Wide level) {  // below 2^31; to shorten them clips
    const __m256i whole = _mm256_cvtps_epi32(level);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i*)p, _mm_packus_epi16(words, words));
}

inline Wide split_power(Wide x, Wide& e) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i power = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f400000)), 23);
    e = _mm256_cvtepi32_ps(power);
    return _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(power, 23))) - wide(1.0f);
}

inline Wide fraction_of(Wide x) { return x - _mm256_floor_ps(x); }

inline Wide scaled(Wide p, Wide x, Wide fraction) {
    const __m256i power = _mm256_cvtps_epi32(x - fraction);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(power, 23)));
}

#endif

#if defined(SX_WIDE)
inline Wide log2_of_bytes(Wide x) {
    Wide e;
    const Wide m = split_power(x, e);
    Wide p = wide(-0.146012828f);
    for (const float c : {0.293139458f, -0.370943218f, 0.481586546f, -0.721099913f, 1.44268322f}) p = p * m + wide(c);
    return p * m + e;
}

inline Wide exp2_to_bytes(Wide x) {
    x = smaller(larger(x, wide(-126.0f)), wide(16.0f));  // 2^16: white by far
    const Wide r = fraction_of(x);
    Wide p = wide(0.0136976568f);
    for (const float c : {0.0516903736f, 0.241638437f, 0.692966104f, 1.0000037f}) p = p * r + wide(c);
    return scaled(p, x, r);
}

struct Wide3x3 {
    Wide m[9];

    explicit Wide3x3(const float* matrix) {
        for (int k = 0; k < 9; k++) m[k] = wide(matrix[k]);
    }

    void times(Wide* v) const {
        const Wide x = v[0], y = v[1], z = v[2];
        for (int c = 0; c < 3; c++) v[c] = m[3 * c] * x + m[3 * c + 1] * y + m[3 * c + 2] * z;
    }
};

}  // namespace
#endif
