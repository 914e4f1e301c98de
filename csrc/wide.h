// A vector register of floats of whatever width there is, for maps of bytes: their polynomials are shorter than those of
// floats need to be (4e-6 of the light is a thousandth of a level). Included by each variant of kernels.cpp.
#pragma once
#include <initializer_list>

#include "pixels.h"

#if defined(__AVX512BW__) && defined(__AVX512DQ__)
#define SX_WIDE

namespace {

using Wide = __m512;
constexpr int WIDE = 16;

inline Wide wide(float x) { return _mm512_set1_ps(x); }
inline Wide larger(Wide a, Wide b) { return _mm512_max_ps(a, b); }
inline Wide smaller(Wide a, Wide b) { return _mm512_min_ps(a, b); }

inline Bytes low_words(Bytes v) { return _mm512_unpacklo_epi8(v, _mm512_setzero_si512()); }
inline Bytes high_words(Bytes v) { return _mm512_unpackhi_epi8(v, _mm512_setzero_si512()); }
inline Wide low_floats(Bytes v) { return _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(v, _mm512_setzero_si512())); }
inline Wide high_floats(Bytes v) { return _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(v, _mm512_setzero_si512())); }
inline Bytes rounded(Wide v) { return _mm512_cvtps_epi32(v); }
inline Bytes pack_words(Bytes low, Bytes high) { return _mm512_packs_epi32(low, high); }
inline Bytes pack_bytes(Bytes low, Bytes high) { return _mm512_packus_epi16(low, high); }
inline Bytes smaller_bytes(Bytes a, Bytes b) { return _mm512_min_epu8(a, b); }
inline bool any_above(Bytes v, uint8_t level) { return _mm512_cmpgt_epu8_mask(v, _mm512_set1_epi8((char)level)); }

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
#define SX_WIDE

namespace {

using Wide = __m256;
constexpr int WIDE = 8;

inline Wide wide(float x) { return _mm256_set1_ps(x); }
inline Wide larger(Wide a, Wide b) { return _mm256_max_ps(a, b); }
inline Wide smaller(Wide a, Wide b) { return _mm256_min_ps(a, b); }

inline Bytes low_words(Bytes v) { return _mm256_unpacklo_epi8(v, _mm256_setzero_si256()); }
inline Bytes high_words(Bytes v) { return _mm256_unpackhi_epi8(v, _mm256_setzero_si256()); }
inline Wide low_floats(Bytes v) { return _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(v, _mm256_setzero_si256())); }
inline Wide high_floats(Bytes v) { return _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(v, _mm256_setzero_si256())); }
inline Bytes rounded(Wide v) { return _mm256_cvtps_epi32(v); }
inline Bytes pack_words(Bytes low, Bytes high) { return _mm256_packs_epi32(low, high); }
inline Bytes pack_bytes(Bytes low, Bytes high) { return _mm256_packus_epi16(low, high); }
inline Bytes smaller_bytes(Bytes a, Bytes b) { return _mm256_min_epu8(a, b); }
inline bool any_above(Bytes v, uint8_t level) {
    const Bytes above = _mm256_subs_epu8(v, _mm256_set1_epi8((char)level));
    return !_mm256_testz_si256(above, above);
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
// For TOGETHER pixels from the i-th on: calls one(v) for WIDE of them after the other, in whatever order. v, a register
// for each channel, holds levels, and then those of the result, below 2^31. Those beyond 0..255 are clipped.
template <class F>
inline void over_levels(const Levels& in, int i, Levels& out, F one) {
    Bytes words[3][2], results[3][2];
    for (int c = 0; c < 3; c++) {
        const Bytes v = load_bytes(in.c[c] + i);
        words[c][0] = low_words(v), words[c][1] = high_words(v);
    }
    for (int half = 0; half < 2; half++) {
        Bytes whole[3][2];
        for (int quarter = 0; quarter < 2; quarter++) {
            Wide v[3];
            for (int c = 0; c < 3; c++) v[c] = quarter ? high_floats(words[c][half]) : low_floats(words[c][half]);
            one(v);
            for (int c = 0; c < 3; c++) whole[c][quarter] = rounded(v[c]);
        }
        for (int c = 0; c < 3; c++) results[c][half] = pack_words(whole[c][0], whole[c][1]);
    }
    for (int c = 0; c < 3; c++) store_bytes(out.c[c] + i, pack_bytes(results[c][0], results[c][1]));
}

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

// matrix v + bias
struct WideAffine {
    Wide m[9], bias[3];

    WideAffine(const float* matrix, const float (&by)[3] = {0.0f, 0.0f, 0.0f}) {
        for (int k = 0; k < 9; k++) m[k] = wide(matrix[k]);
        for (int c = 0; c < 3; c++) bias[c] = wide(by[c]);
    }

    void operator()(const Wide* v, Wide* out) const {
        const Wide x = v[0], y = v[1], z = v[2];
        for (int c = 0; c < 3; c++) out[c] = m[3 * c] * x + (m[3 * c + 1] * y + (m[3 * c + 2] * z + bias[c]));
    }
};

}  // namespace
#endif
