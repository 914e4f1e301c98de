// Color maps: one pass over the pixels. Loops over a block of planes, free of branches, so that any compiler vectorizes them. Included by each variant of kernels.cpp.
#pragma once
#include "pixels.h"
#include "wide.h"

namespace {

inline float to_light(float density, float gain, float shift) { return gain * exp2_f(-density) + shift; }

#if defined(SX_WIDE)
// Bytes to bytes without a stop in memory; ``combine`` takes logarithms of light, densities with the opposite sign, to those
// of the result.
template <class F>
void bytes_to_bytes(const sx::View& src, const sx::View& dst, const sx::Density& from, const sx::Light& to, int64_t first,
                    int64_t last, F combine) {
    Levels in, out;
    Wide scale[3], offset[3], gain[3], shift[3];
    for (int c = 0; c < 3; c++) {
        scale[c] = wide(from.scale[c] / 255.0f), offset[c] = wide(from.offset[c]);
        gain[c] = wide(to.gain[c] * 255.0f), shift[c] = wide(to.shift[c] * 255.0f);
    }
    const Wide lowest = wide(from.lowest * 255.0f), ceiling = wide(-from.floor);
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_levels(src, at, in);
        const auto one = [&](Wide* v) {
            for (int c = 0; c < 3; c++)
                v[c] = smaller(log2_of_bytes(larger(v[c], lowest) * scale[c] + offset[c]), ceiling);
            combine(v);
            for (int c = 0; c < 3; c++) v[c] = exp2_to_bytes(v[c]) * gain[c] + shift[c];
        };
        for (int i = 0; i < at.padded; i += TOGETHER) over_levels(in, i, out, one);
        write_levels(dst, at, out);
    }
}
#endif

void density_map(const sx::View& src, const sx::View& dst, const sx::DensityMap& map, int64_t first, int64_t last) {
    const sx::DensityMap m = map;
#if defined(SX_WIDE)
    if (src.type == SX_UINT8 && dst.type == SX_UINT8) {
        const WideAffine affine(m.matrix, {-m.bias[0], -m.bias[1], -m.bias[2]});
        return bytes_to_bytes(src, dst, m.from, m.to, first, last, [&](Wide* light) { affine(light, light); });
    }
#endif
    Planes x;
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

void mixture_map(const sx::View& src, const sx::View& dst, const sx::MixtureMap& map, int64_t first, int64_t last) {
    const sx::MixtureMap m = map;
#if defined(SX_WIDE)
    if (src.type == SX_UINT8 && dst.type == SX_UINT8) {
        const WideAffine separate(m.separate), recombine(m.recombine, {-m.bias[0], -m.bias[1], -m.bias[2]});
        return bytes_to_bytes(src, dst, m.from, m.to, first, last, [&](Wide* light) {
            separate(light, light);
            for (int c = 0; c < 3; c++) light[c] = smaller(light[c], Wide{});
            recombine(light, light);
        });
    }
#endif
    Planes x;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_density(src, at, m.from, x);
        const float *s = m.separate, *k = m.recombine;
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.padded; i++) {
            const float u = maximum(s[0] * r[i] + s[1] * g[i] + s[2] * b[i], 0.0f);
            const float v = maximum(s[3] * r[i] + s[4] * g[i] + s[5] * b[i], 0.0f);
            const float w = maximum(s[6] * r[i] + s[7] * g[i] + s[8] * b[i], 0.0f);
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
    const T none = T{}, one = s[0] * x + s[1] * y + s[2] * z - penalty, two = t[0] * x + t[1] * y + t[2] * z - penalty;
    const T alone_one = one > none ? one : none, alone_two = two > none ? two : none;
    const auto only_one = two - cosine * alone_one <= none, only_two = one - cosine * alone_two <= none;
    const T both_one = (one - cosine * two) * determinant, both_two = (two - cosine * one) * determinant;
    const T first = only_two ? none : both_one, second = only_two ? alone_two : both_two;
    return {only_one ? alone_one : first, only_one ? none : second};
}

void stain_map(const sx::View& src, const sx::View& dst, const sx::StainMap& map, int64_t first, int64_t last) {
    const sx::StainMap m = map;
#if defined(SX_WIDE)
    if (src.type == SX_UINT8 && dst.type == SX_UINT8) {
        Wide stain[6], to[6];
        for (int k = 0; k < 6; k++) stain[k] = wide(-m.stains[k]), to[k] = wide(-m.recombine[k]);
        const Wide penalty = wide(m.penalty), cosine = wide(m.cosine), determinant = wide(m.determinant);
        return bytes_to_bytes(src, dst, m.from, m.to, first, last, [&](Wide* light) {
            const auto a = lasso_of(light[0], light[1], light[2], stain, stain + 3, penalty, cosine, determinant);
            for (int c = 0; c < 3; c++) light[c] = to[2 * c] * a.one + to[2 * c + 1] * a.two;
        });
    }
#endif
    Planes x;
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
    const float root = cbrt_f(maximum(x, 0.008856452f));
    return x > 0.008856452f ? root : 7.787037f * x + 0.13793103f;
}

inline float lab_uncurve(float f) { return f > 0.20689655f ? f * f * f : (f - 0.13793103f) * 0.12841855f; }

inline float from_srgb(float v) {
    return v > 0.04045f ? srgb_curve(v) : v * 0.0773993808f;
}

inline float to_srgb(float linear) {
    const float bent = 1.055f * exp2_f(log2_f(maximum(linear, 0.0031308f)) * 0.416666667f) - 0.055f;
    return linear > 0.0031308f ? bent : 12.92f * linear;
}

void lab_map(const sx::View& src, const sx::View& dst, const sx::LabMap& map, int64_t first, int64_t last) {
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

void hsv_map(const sx::View& src, const sx::View& dst, const sx::HsvMap& map, int64_t first, int64_t last) {
    Planes x;
    const sx::HsvMap m = map;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.padded; i++) {
            const float red = r[i], green = g[i], blue = b[i];
            const float value = maximum(maximum(red, green), blue), chroma = value - minimum(minimum(red, green), blue);
            const float inverse = 1.0f / (chroma > 0 ? chroma : 1.0f);
            const float from_red = (green - blue) * inverse, from_green = (blue - red) * inverse + 2.0f,
                        from_blue = (red - green) * inverse + 4.0f;
            const float sector = value == red ? from_red : (value == green ? from_green : from_blue);
            const float hue = sector * (1.0f / 6.0f) + m.hue;
            const float s = chroma / (value > 0 ? value : 1.0f), room = m.towards_full ? 1.0f - s : 1.0f;
            const float strength = value * (s * (1.0f + room * m.saturation));
            const float at_red = 6.0f * fraction(hue + 5.0f / 6.0f), at_green = 6.0f * fraction(hue + 3.0f / 6.0f),
                        at_blue = 6.0f * fraction(hue + 1.0f / 6.0f);
            r[i] = value - strength * clamp(minimum(at_red, 4.0f - at_red), 0.0f, 1.0f);
            g[i] = value - strength * clamp(minimum(at_green, 4.0f - at_green), 0.0f, 1.0f);
            b[i] = value - strength * clamp(minimum(at_blue, 4.0f - at_blue), 0.0f, 1.0f);
        }
        write_unit(dst, at, x);
    }
}

}  // namespace
