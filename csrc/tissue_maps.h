// Color maps of tissue, which leave glass as it is. Included by each variant of kernels.cpp.
#pragma once
#include "color_maps.h"

namespace {

template <class T>
inline T polynomial(T x, const T* coefficients) {
    T p = coefficients[4];
    for (int k = 3; k >= 0; k--) p = p * x + coefficients[k];
    return p;
}

inline void weigh(const Planes& x, const sx::Tissue& tissue, int n, float* weights) {
    const float *r = x.c[0], *g = x.c[1], *b = x.c[2];
    for (int i = 0; i < n; i++) {
        const float darkest = minimum(minimum(r[i], g[i]), b[i]);
        weights[i] = clamp(polynomial(darkest - tissue.center, tissue.coefficients), 0.0f, 1.0f);
    }
}

// v + weight (matrix v + bias), in place.
inline void move(Planes& v, const float* matrix, const float* bias, const float* weights, int n) {
    float *r = v.c[0], *g = v.c[1], *b = v.c[2];
    for (int i = 0; i < n; i++) {
        const float x = r[i], y = g[i], z = b[i], weight = weights[i];
        r[i] = x + weight * (matrix[0] * x + matrix[1] * y + matrix[2] * z + bias[0]);
        g[i] = y + weight * (matrix[3] * x + matrix[4] * y + matrix[5] * z + bias[1]);
        b[i] = z + weight * (matrix[6] * x + matrix[7] * y + matrix[8] * z + bias[2]);
    }
}

#if defined(SX_WIDE)
void tissue_light_of_bytes(const sx::View& src, const sx::View& dst, const sx::TissueLightMap& m, int64_t first,
                           int64_t last) {
    Levels in, out;
    const uint8_t dark = (uint8_t)(255 - m.tissue.light);
    const WideAffine by(m.matrix, {m.bias[0] * 255.0f, m.bias[1] * 255.0f, m.bias[2] * 255.0f});
    const Wide center = wide(-m.tissue.center), unit = wide(1.0f / 255.0f);
    Wide coefficients[5];
    for (int k = 0; k < 5; k++) coefficients[k] = wide(m.tissue.coefficients[k]);
    const auto tissue = [&](Wide* v) {
        Wide step[3];
        by(v, step);
        for (int c = 0; c < 3; c++) v[c] = v[c] + step[c];
    };
    const auto mixed = [&](Wide* v) {
        const Wide darkest = smaller(smaller(v[0], v[1]), v[2]) * unit + center;
        const Wide weight = smaller(larger(polynomial(darkest, coefficients), Wide{}), wide(1.0f));
        Wide step[3];
        by(v, step);
        for (int c = 0; c < 3; c++) v[c] = v[c] + weight * step[c];
    };
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_levels(src, at, in);
        for (int i = 0; i < at.padded; i += TOGETHER) {
            const Bytes red_green = smaller_bytes(load_bytes(in.c[0] + i), load_bytes(in.c[1] + i));
            if (any_above(smaller_bytes(red_green, load_bytes(in.c[2] + i)), dark))
                over_levels(in, i, out, mixed);
            else
                over_levels(in, i, out, tissue);
        }
        write_levels(dst, at, out);
    }
}
#endif

void tissue_light_map(const sx::View& src, const sx::View& dst, const sx::TissueLightMap& map, int64_t first, int64_t last) {
    const sx::TissueLightMap m = map;
#if defined(SX_WIDE)
    if (src.type == SX_UINT8 && dst.type == SX_UINT8) return tissue_light_of_bytes(src, dst, m, first, last);
#endif
    Planes x;
    alignas(64) float weights[BLOCK];
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        weigh(x, m.tissue, at.padded, weights);
        move(x, m.matrix, m.bias, weights, at.padded);
        write_unit(dst, at, x);
    }
}

#if defined(__SSE2__)
// Four pixels of whole numbers as 12 bytes, clipped; up to four more are written.
inline void store_four(const __m128i* pixels, uint8_t* p) {
    const __m128i four = _mm_packus_epi16(_mm_packs_epi32(pixels[0], pixels[1]), _mm_packs_epi32(pixels[2], pixels[3]));
#if defined(__SSSE3__)
    const __m128i three_of_four = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    _mm_storeu_si128((__m128i*)p, _mm_shuffle_epi8(four, three_of_four));
#else
    alignas(16) uint32_t each[4];
    _mm_store_si128((__m128i*)each, four);
    for (int k = 0; k < 4; k++) std::memcpy(p + 3 * k, each + k, 4);
#endif
}
#endif

void tissue_density_of_bytes(const sx::View& src, const sx::View& dst, const sx::TissueDensityMap& m, int64_t first,
                             int64_t last) {
    Levels in;
    alignas(64) uint16_t place[3][BLOCK];  // of factors, in bytes
    constexpr int COLOR = 4 * sizeof(float);
    const int light = m.tissue.light, dark = 255 - light, columns = 256 + light * light;
    const auto factor = [&](int c, int i) { return (const float*)((const char*)m.factors + c * columns * COLOR + place[c][i]); };
#if defined(__SSE2__)
    const __m128 shift = _mm_setr_ps(m.to.shift[0] * 255.0f, m.to.shift[1] * 255.0f, m.to.shift[2] * 255.0f, 0.0f);
    alignas(64) uint8_t bytes[3 * BLOCK + 16];
#else
    Planes x;
#endif
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_levels(src, at, in);
        const uint8_t *r = in.c[0], *g = in.c[1], *b = in.c[2];
        for (int i = 0; i < at.padded; i++) {
            const uint8_t two = r[i] < g[i] ? r[i] : g[i], darkest = two < b[i] ? two : b[i];
            const uint16_t start = (uint16_t)((darkest > dark ? darkest - dark : 0) * light);
            place[0][i] = (uint16_t)((r[i] + start) * COLOR);
            place[1][i] = (uint16_t)((g[i] + start) * COLOR);
            place[2][i] = (uint16_t)((b[i] + start) * COLOR);
        }
#if defined(__SSE2__)
        for (int i = 0; i < at.padded; i += 4) {
            __m128i pixels[4];
            for (int k = 0; k < 4; k++) {
                const __m128 two = _mm_mul_ps(_mm_loadu_ps(factor(0, i + k)), _mm_loadu_ps(factor(1, i + k)));
                pixels[k] = _mm_cvtps_epi32(_mm_add_ps(_mm_mul_ps(two, _mm_loadu_ps(factor(2, i + k))), shift));
            }
            store_four(pixels, bytes + 3 * i);
        }
        if (dst.column_stride == 3 && dst.channel_stride == 1) {
            std::memcpy(pointer<uint8_t>(dst, at, 0), bytes, 3 * at.count);
        } else {
            deinterleave(bytes, at.count, in.c[0], in.c[1], in.c[2]);
            write_levels(dst, at, in);
        }
#else
        for (int i = 0; i < at.padded; i++) {
            const float *u = factor(0, i), *v = factor(1, i), *w = factor(2, i);
            for (int c = 0; c < 3; c++) x.c[c][i] = u[c] * v[c] * w[c] * (1.0f / 255.0f) + m.to.shift[c];
        }
        write_unit(dst, at, x);
#endif
    }
}

void tissue_density_map(const sx::View& src, const sx::View& dst, const sx::TissueDensityMap& map, int64_t first, int64_t last) {
    const sx::TissueDensityMap m = map;
    if (m.factors && src.type == SX_UINT8 && dst.type == SX_UINT8) return tissue_density_of_bytes(src, dst, m, first, last);
    Planes x;
    alignas(64) float weights[BLOCK];
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        weigh(x, m.tissue, at.padded, weights);
        to_density(m.from, at.padded, x);
        move(x, m.matrix, m.bias, weights, at.padded);
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++) x.c[c][i] = to_light(x.c[c][i], m.to.gain[c], m.to.shift[c]);
        write_unit(dst, at, x);
    }
}

}  // namespace
