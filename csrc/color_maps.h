// Color maps: one pass over the pixels. Loops over a block of planes, free of branches, so that any compiler vectorizes them. Included by each variant of kernels.cpp.
#pragma once
#include "pixels.h"

namespace {

inline float to_light(float density, float gain, float shift) { return gain * exp2_f(-density) + shift; }

#if defined(__AVX512F__) && defined(__AVX512DQ__)
// Bytes to bytes without a stop in memory, with the exponent instructions of AVX-512. The polynomials are shorter than
// those of floats need to be: 4e-6 of the light is a thousandth of a level.
inline __m512 log2_of_bytes(__m512 x) {
    const __m512 mantissa = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src), one = _mm512_set1_ps(1.0f);
    __m512 e = _mm512_getexp_ps(x);
    e = _mm512_mask_add_ps(e, _mm512_cmp_ps_mask(mantissa, one, _CMP_LT_OQ), e, one);
    const __m512 m = _mm512_sub_ps(mantissa, one);
    __m512 p = _mm512_set1_ps(-0.146012828f);
    const float rest[] = {0.293139458f, -0.370943218f, 0.481586546f, -0.721099913f, 1.44268322f};
    for (const float c : rest) p = _mm512_fmadd_ps(p, m, _mm512_set1_ps(c));
    return _mm512_fmadd_ps(p, m, e);
}

inline __m512 exp2_to_bytes(__m512 x) {
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-126.0f)), _mm512_set1_ps(126.0f));
    const __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
    __m512 p = _mm512_set1_ps(0.0136976568f);
    const float rest[] = {0.0516903736f, 0.241638437f, 0.692966104f, 1.0000037f};
    for (const float c : rest) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    return _mm512_scalef_ps(p, x);
}

void density_of_bytes(const SxView& src, const SxView& dst, const sx::DensityMap& m, int64_t first, int64_t last) {
    Levels in, out;
    __m512 scale[3], offset[3], gain[3], shift[3], bias[3], matrix[9];
    for (int c = 0; c < 3; c++) {
        scale[c] = _mm512_set1_ps(m.from.scale[c] / 255.0f), offset[c] = _mm512_set1_ps(m.from.offset[c]);
        gain[c] = _mm512_set1_ps(m.to.gain[c] * 255.0f), shift[c] = _mm512_set1_ps(m.to.shift[c] * 255.0f);
        bias[c] = _mm512_set1_ps(-m.bias[c]);
    }
    for (int k = 0; k < 9; k++) matrix[k] = _mm512_set1_ps(m.matrix[k]);
    const __m512 lowest = _mm512_set1_ps(m.from.lowest * 255.0f), ceiling = _mm512_set1_ps(-m.from.floor);
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_levels(src, at, in);
        for (int i = 0; i < at.padded; i += 16) {
            __m512 light[3];  // logarithms: densities with the opposite sign
            for (int c = 0; c < 3; c++) {
                const __m128i bytes = _mm_load_si128((const __m128i*)(in.c[c] + i));
                const __m512 level = _mm512_max_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), lowest);
                light[c] = _mm512_min_ps(log2_of_bytes(_mm512_fmadd_ps(level, scale[c], offset[c])), ceiling);
            }
            for (int c = 0; c < 3; c++) {
                __m512 sum = _mm512_fmadd_ps(matrix[3 * c], light[0], bias[c]);
                sum = _mm512_fmadd_ps(matrix[3 * c + 1], light[1], sum);
                sum = _mm512_fmadd_ps(matrix[3 * c + 2], light[2], sum);
                const __m512 level = _mm512_fmadd_ps(exp2_to_bytes(sum), gain[c], shift[c]);
                const __m512 clipped = _mm512_min_ps(_mm512_max_ps(level, _mm512_setzero_ps()), _mm512_set1_ps(255.0f));
                const __m512i rounded = _mm512_cvtps_epi32(clipped);
                _mm_store_si128((__m128i*)(out.c[c] + i), _mm512_cvtepi32_epi8(rounded));
            }
        }
        write_levels(dst, at, out);
    }
}
#endif

void density(const SxView& src, const SxView& dst, const sx::DensityMap& map, int64_t first, int64_t last) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    if (src.type == SX_UINT8 && dst.type == SX_UINT8) return density_of_bytes(src, dst, map, first, last);
#endif
    Planes x;
    const sx::DensityMap m = map;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_density(src, at, m.from, x);
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.padded; i++) {
            const float u = r[i], v = g[i], w = b[i];
            r[i] = to_light(m.matrix[0] * u + m.matrix[1] * v + m.matrix[2] * w + m.bias[0], m.to.gain[0], m.to.shift[0]);
            g[i] = to_light(m.matrix[3] * u + m.matrix[4] * v + m.matrix[5] * w + m.bias[1], m.to.gain[1], m.to.shift[1]);
            b[i] = to_light(m.matrix[6] * u + m.matrix[7] * v + m.matrix[8] * w + m.bias[2], m.to.gain[2], m.to.shift[2]);
        }
        write_unit(dst, at, x);
    }
}

void mixture(const SxView& src, const SxView& dst, const sx::MixtureMap& map, int64_t first, int64_t last) {
    Planes x;
    const sx::MixtureMap m = map;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_density(src, at, m.from, x);
        const float *s = m.separate, *k = m.recombine;
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.padded; i++) {
            const float u = most(s[0] * r[i] + s[1] * g[i] + s[2] * b[i], 0.0f);
            const float v = most(s[3] * r[i] + s[4] * g[i] + s[5] * b[i], 0.0f);
            const float w = most(s[6] * r[i] + s[7] * g[i] + s[8] * b[i], 0.0f);
            r[i] = to_light(k[0] * u + k[1] * v + k[2] * w + m.bias[0], m.to.gain[0], m.to.shift[0]);
            g[i] = to_light(k[3] * u + k[4] * v + k[5] * w + m.bias[1], m.to.gain[1], m.to.shift[1]);
            b[i] = to_light(k[6] * u + k[7] * v + k[8] * w + m.bias[2], m.to.gain[2], m.to.shift[2]);
        }
        write_unit(dst, at, x);
    }
}

template <class T>
struct Amounts {
    T one, two;
};

// Amounts a >= 0 of two unit stains s, t that minimize 1/2 |v - a_1 s - a_2 t|^2 + penalty (a_1 + a_2): closed form.
template <class T>
inline Amounts<T> lasso_of(T x, T y, T z, const T* s, const T* t, T penalty, T cosine, T determinant) {
    const T one = s[0] * x + s[1] * y + s[2] * z - penalty, two = t[0] * x + t[1] * y + t[2] * z - penalty;
    const T alone_one = one > 0 ? one : (T)0, alone_two = two > 0 ? two : (T)0;
    const bool only_one = two - cosine * alone_one <= 0, only_two = one - cosine * alone_two <= 0;
    const T both_one = (one - cosine * two) * determinant, both_two = (two - cosine * one) * determinant;
    const T first = only_two ? (T)0 : both_one, second = only_two ? alone_two : both_two;
    return {only_one ? alone_one : first, only_one ? (T)0 : second};
}

void stains(const SxView& src, const SxView& dst, const sx::StainMap& map, int64_t first, int64_t last) {
    Planes x;
    const sx::StainMap m = map;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_density(src, at, m.from, x);
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.padded; i++) {
            const float u = r[i], v = g[i], w = b[i];
            const auto a = lasso_of(u, v, w, m.stains, m.stains + 3, m.penalty, m.cosine, m.determinant);
            r[i] = to_light(m.recombine[0] * a.one + m.recombine[1] * a.two, m.to.gain[0], m.to.shift[0]);
            g[i] = to_light(m.recombine[2] * a.one + m.recombine[3] * a.two, m.to.gain[1], m.to.shift[1]);
            b[i] = to_light(m.recombine[4] * a.one + m.recombine[5] * a.two, m.to.gain[2], m.to.shift[2]);
        }
        write_unit(dst, at, x);
    }
}

// x^(1/3) as CIELAB bends it near black.
inline float lab_curve(float x) {
    const float root = cbrt_f(most(x, 0.008856452f));
    return x > 0.008856452f ? root : 7.787037f * x + 0.13793103f;
}

inline float lab_uncurve(float f) { return f > 0.20689655f ? f * f * f : (f - 0.13793103f) * 0.12841855f; }

inline float from_srgb(float v) {
    return v > 0.04045f ? srgb_curve(v) : v * 0.0773993808f;
}

inline float to_srgb(float linear) {
    const float bent = 1.055f * exp2_f(log2_f(most(linear, 0.0031308f)) * 0.416666667f) - 0.055f;
    return linear > 0.0031308f ? bent : 12.92f * linear;
}

void lab(const SxView& src, const SxView& dst, const sx::LabMap& map, int64_t first, int64_t last) {
    Planes x;
    const sx::LabMap m = map;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++) x.c[c][i] = from_srgb(x.c[c][i]);
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        const float *in = m.xyz_from_rgb, *out = m.rgb_from_xyz;
        for (int i = 0; i < at.padded; i++) {
            const float u = r[i], v = g[i], w = b[i];
            const float fx = lab_curve(in[0] * u + in[1] * v + in[2] * w);
            const float fy = lab_curve(in[3] * u + in[4] * v + in[5] * w);
            const float fz = lab_curve(in[6] * u + in[7] * v + in[8] * w);
            const float l = (116.0f * fy - 16.0f) * m.scale[0] + m.shift[0];
            const float y = (l + 16.0f) * (1.0f / 116.0f);
            r[i] = lab_uncurve(y + ((fx - fy) * m.scale[1] + m.shift[1] * (1.0f / 500.0f)));
            g[i] = lab_uncurve(y);
            b[i] = lab_uncurve(y - ((fy - fz) * m.scale[2] + m.shift[2] * (1.0f / 200.0f)));
        }
        for (int i = 0; i < at.padded; i++) {
            const float u = r[i], v = g[i], w = b[i];
            r[i] = to_srgb(out[0] * u + out[1] * v + out[2] * w);
            g[i] = to_srgb(out[3] * u + out[4] * v + out[5] * w);
            b[i] = to_srgb(out[6] * u + out[7] * v + out[8] * w);
        }
        write_unit(dst, at, x);
    }
}

inline float fraction(float x) {
    const float rounded = (x + 12582912.0f) - 12582912.0f;
    const float rest = x - rounded;
    return rest < 0 ? rest + 1.0f : rest;
}

void hsv(const SxView& src, const SxView& dst, const sx::HsvMap& map, int64_t first, int64_t last) {
    Planes x;
    const sx::HsvMap m = map;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.padded; i++) {
            const float red = r[i], green = g[i], blue = b[i];
            const float value = most(most(red, green), blue), chroma = value - least(least(red, green), blue);
            const float inverse = 1.0f / (chroma > 0 ? chroma : 1.0f);
            const float from_red = (green - blue) * inverse, from_green = (blue - red) * inverse + 2.0f,
                        from_blue = (red - green) * inverse + 4.0f;
            const float sector = value == red ? from_red : (value == green ? from_green : from_blue);
            const float hue = sector * (1.0f / 6.0f) + m.hue;
            const float s = chroma / (value > 0 ? value : 1.0f), room = m.towards_full ? 1.0f - s : 1.0f;
            const float strength = value * (s * (1.0f + room * m.saturation));
            const float at_red = 6.0f * fraction(hue + 5.0f / 6.0f), at_green = 6.0f * fraction(hue + 3.0f / 6.0f),
                        at_blue = 6.0f * fraction(hue + 1.0f / 6.0f);
            r[i] = value - strength * clamp(least(at_red, 4.0f - at_red), 0.0f, 1.0f);
            g[i] = value - strength * clamp(least(at_green, 4.0f - at_green), 0.0f, 1.0f);
            b[i] = value - strength * clamp(least(at_blue, 4.0f - at_blue), 0.0f, 1.0f);
        }
        write_unit(dst, at, x);
    }
}

}  // namespace
