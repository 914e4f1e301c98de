// Every kernel that profits from wide vectors. Compiled once for each instruction set, with VARIANT naming the table.
// Loops over one block of planes in cache, free of branches, so that any compiler vectorizes them.
#include "kernels.h"
#include "interleave.h"
#include "math.h"

namespace {

using sx::BLOCK;

struct Planes {
    alignas(64) float c[3][BLOCK] = {};
};

struct Span {
    int64_t row, column;
    int count;   // pixels
    int padded;  // pixels to compute on, a whole number of vectors: no pixel meets other code because of its place
};

inline Span span_of(const SxView& view, int64_t block) {
    const int64_t per_row = (view.columns + BLOCK - 1) / BLOCK, column = block % per_row * BLOCK;
    const int64_t left = view.columns - column;
    const int count = (int)(left < BLOCK ? left : BLOCK);
    return {block / per_row, column, count, (count + 63) / 64 * 64};
}

template <class T>
inline T* pointer(const SxView& view, const Span& at, int channel) {
    return (T*)((char*)view.data + channel * view.channel_stride + at.row * view.row_stride +
                at.column * view.column_stride);
}

// ---- pixels in ------------------------------------------------------------------------------------------------------

template <int STRIDE, class F>
inline void read_floats(const float* p, int64_t stride, int n, float* out, F convert) {
    for (int i = 0; i < n; i++) out[i] = convert(STRIDE ? p[i * STRIDE] : *(const float*)((const char*)p + i * stride));
}

// Pixels in [0, 1]; with EXACT correctly rounded, by division.
template <bool EXACT = false>
inline void read_unit(const SxView& view, const Span& at, Planes& out) {
    if (view.type == SX_UINT8) {
        // Through a buffer: bytes in memory may be anything to a compiler, the floats of ``out`` included.
        alignas(64) uint8_t levels[3][BLOCK];
        if (view.column_stride == 3 && view.channel_stride == 1)
            deinterleave(pointer<uint8_t>(view, at, 0), at.count, levels[0], levels[1], levels[2]);
        else
            for (int c = 0; c < 3; c++) {
                const uint8_t* p = pointer<uint8_t>(view, at, c);
                if (view.column_stride == 1)
                    std::memcpy(levels[c], p, at.count);
                else
                    for (int i = 0; i < at.count; i++) levels[c][i] = p[i * view.column_stride];
            }
        for (int c = 0; c < 3; c++) std::memset(levels[c] + at.count, 0, at.padded - at.count);
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++)
                out.c[c][i] = EXACT ? (float)levels[c][i] / 255.0f : (float)levels[c][i] * (1.0f / 255.0f);
    } else {
        const float low = view.low, scale = view.scale, inverse = 1.0f / scale;
        const auto unit = [=](float v) {
            const float from_low = clamp(v - low, 0.0f, scale);
            return EXACT ? from_low / scale : from_low * inverse;
        };
        for (int c = 0; c < 3; c++) {
            const float* p = pointer<float>(view, at, c);
            if (view.column_stride == 4)
                read_floats<1>(p, 4, at.count, out.c[c], unit);
            else if (view.column_stride == 12)
                read_floats<3>(p, 12, at.count, out.c[c], unit);
            else
                read_floats<0>(p, view.column_stride, at.count, out.c[c], unit);
        }
    }
}

inline void read_density(const SxView& view, const Span& at, const sx::Density& space, Planes& out) {
    read_unit(view, at, out);
    for (int c = 0; c < 3; c++) {
        const float scale = space.scale[c], offset = space.offset[c], lowest = space.lowest, floor = space.floor;
        float* x = out.c[c];
        for (int i = 0; i < at.padded; i++) x[i] = most(-log2_f(most(x[i], lowest) * scale + offset), floor);
    }
}

// ---- pixels out -----------------------------------------------------------------------------------------------------

// Rounds half to even, as numpy's rint.
inline uint8_t to_level(float unit) {
    return (uint8_t)bits_of(clamp(unit, 0.0f, 1.0f) * 255.0f + 12582912.0f);
}

// Planes, nominally in [0, 1]: clipped, and rounded for 8 bits.
inline void write_unit(const SxView& view, const Span& at, const Planes& in) {
    if (view.type == SX_UINT8) {
        alignas(64) uint8_t levels[3][BLOCK];
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++) levels[c][i] = to_level(in.c[c][i]);
        if (view.column_stride == 3 && view.channel_stride == 1)
            interleave(levels[0], levels[1], levels[2], at.count, pointer<uint8_t>(view, at, 0));
        else
            for (int c = 0; c < 3; c++) {
                uint8_t* p = pointer<uint8_t>(view, at, c);
                if (view.column_stride == 1)
                    std::memcpy(p, levels[c], at.count);
                else
                    for (int i = 0; i < at.count; i++) p[i * view.column_stride] = levels[c][i];
            }
    } else {
        const float low = view.low, scale = view.scale;
        const auto value = [=](float x) { return clamp(x, 0.0f, 1.0f) * scale + low; };
        if (view.column_stride == 12 && view.channel_stride == 4) {
            float* p = pointer<float>(view, at, 0);
            for (int i = 0; i < at.count; i++)
                for (int c = 0; c < 3; c++) p[3 * i + c] = value(in.c[c][i]);
        } else {
            for (int c = 0; c < 3; c++) {
                float* p = pointer<float>(view, at, c);
                if (view.column_stride == 4)
                    for (int i = 0; i < at.count; i++) p[i] = value(in.c[c][i]);
                else
                    for (int i = 0; i < at.count; i++) *(float*)((char*)p + i * view.column_stride) = value(in.c[c][i]);
            }
        }
    }
}

// ---- maps -----------------------------------------------------------------------------------------------------------

inline float to_light(float density, float gain, float shift) { return gain * exp2_f(-density) + shift; }

void density(const SxView& src, const SxView& dst, const sx::DensityMap& map, int64_t first, int64_t last) {
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

// ---- estimation: float64, in eight sums whose order is fixed ---------------------------------------------------------

constexpr int LANES = 8;

inline double total(const double* lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// Calls one(i, lane) for all i < n.
template <class F>
inline void in_lanes(int64_t n, F one) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) one(i + lane, lane);
    for (; i < n; i++) one(i, (int)(i % LANES));
}

// CIE L*, a*, b* of 8-bit colors (3, n). The cube root starts from floats and is refined by a step of Newton's method.
void lab_of_levels(const uint8_t* levels, int64_t n, const double* linear, const double* m, double* out) {
    const auto curve = [](double x) {
        const double safe = x > 216.0 / 24389.0 ? x : 216.0 / 24389.0;
        double y = cbrt_f((float)safe);
        y -= (y * y * y - safe) / (3.0 * y * y);
        return x > 216.0 / 24389.0 ? y : 841.0 / 108.0 * x + 4.0 / 29.0;
    };
    for (int64_t i = 0; i < n; i++) {
        const double r = linear[levels[i]], g = linear[levels[n + i]], b = linear[levels[2 * n + i]];
        const double fx = curve(m[0] * r + m[1] * g + m[2] * b), fy = curve(m[3] * r + m[4] * g + m[5] * b),
                     fz = curve(m[6] * r + m[7] * g + m[8] * b);
        out[i] = 116.0 * fy - 16.0;
        out[n + i] = 500.0 * (fx - fy);
        out[2 * n + i] = 200.0 * (fy - fz);
    }
}

// Weighted sums of v, and of the products of v - about: (3) and (6), upper triangle.
void moments(const double* planes, const int64_t* counts, int64_t n, const double* about, double* out) {
    double lanes[9][LANES] = {};
    const double a = about[0], b = about[1], c = about[2];
    const double *x = planes, *y = planes + n, *z = planes + 2 * n;
    in_lanes(n, [&](int64_t i, int k) {
        const double w = (double)counts[i], u = x[i] - a, v = y[i] - b, t = z[i] - c;
        lanes[0][k] += w * x[i], lanes[1][k] += w * y[i], lanes[2][k] += w * z[i];
        lanes[3][k] += w * u * u, lanes[4][k] += w * u * v, lanes[5][k] += w * u * t;
        lanes[6][k] += w * v * v, lanes[7][k] += w * v * t, lanes[8][k] += w * t * t;
    });
    for (int j = 0; j < 9; j++) out[j] = total(lanes[j]);
}

// Of the amounts a of each color: weighted a a^T (3), v a^T (3, 2), a (2).
void lasso_moments(const double* od, const double* weights, int64_t n, const double* stains, double penalty,
                   double determinant, double* out) {
    double lanes[11][LANES] = {};
    const double *x = od, *y = od + n, *z = od + 2 * n, *s = stains, *t = stains + 3;
    const double cosine = s[0] * t[0] + s[1] * t[1] + s[2] * t[2];
    in_lanes(n, [&](int64_t i, int k) {
        const auto a = lasso_of(x[i], y[i], z[i], s, t, penalty, cosine, determinant);
        const double p = weights[i] * a.one, q = weights[i] * a.two;
        lanes[0][k] += p * a.one, lanes[1][k] += p * a.two, lanes[2][k] += q * a.two;
        lanes[3][k] += p * x[i], lanes[4][k] += q * x[i], lanes[5][k] += p * y[i], lanes[6][k] += q * y[i];
        lanes[7][k] += p * z[i], lanes[8][k] += q * z[i], lanes[9][k] += p, lanes[10][k] += q;
    });
    for (int j = 0; j < 11; j++) out[j] = total(lanes[j]);
}

void lasso(const double* od, int64_t n, const double* stains, double penalty, double determinant, double* out) {
    const double *s = stains, *t = stains + 3, cosine = s[0] * t[0] + s[1] * t[1] + s[2] * t[2];
    for (int64_t i = 0; i < n; i++) {
        const auto a = lasso_of(od[i], od[n + i], od[2 * n + i], s, t, penalty, cosine, determinant);
        out[i] = a.one, out[n + i] = a.two;
    }
}

// ---- lookup tables --------------------------------------------------------------------------------------------------

struct Color {
    float v[4];
};

inline Color node(const float* at) {
    Color c;
    for (int k = 0; k < 4; k++) c.v[k] = at[k];
    return c;
}

inline void add(Color& sum, const Color& c, float weight) {
    for (int k = 0; k < 4; k++) sum.v[k] += weight * c.v[k];
}

void lut3d(const SxView& src, const SxView& dst, const sx::Lut3D& lut, int64_t first, int64_t last) {
    Planes x;
    alignas(64) int32_t base[BLOCK];
    const int last_cell = lut.n - 2;
    const int64_t stride[3] = {4LL * lut.n * lut.n, 4LL * lut.n, 4};
    const int64_t diagonal = stride[0] + stride[1] + stride[2];
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        for (int i = 0; i < at.count; i++) base[i] = 0;
        for (int c = 0; c < 3; c++) {
            const float low = lut.low[c], inverse = lut.inverse[c], end = (float)(lut.n - 1);
            const int32_t step = (int32_t)(stride[c] / 4);
            float* p = x.c[c];
            for (int i = 0; i < at.count; i++) {
                const float position = clamp((p[i] - low) * inverse, 0.0f, end);
                int32_t cell = (int32_t)position;
                cell = cell < last_cell ? cell : last_cell;
                p[i] = position - (float)cell;
                base[i] += cell * step;
            }
        }
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        if (lut.tetrahedral) {
            for (int i = 0; i < at.count; i++) {
                const float fr = r[i], fg = g[i], fb = b[i];
                const float* corner = lut.nodes + 4LL * base[i];
                const float high = most(most(fr, fg), fb), low = least(least(fr, fg), fb);
                const float middle = most(least(fr, fg), least(most(fr, fg), fb));
                const int64_t up = fr == high ? stride[0] : (fg == high ? stride[1] : stride[2]);
                const int64_t down = fb == low ? stride[2] : (fg == low ? stride[1] : stride[0]);
                Color sum = {};
                add(sum, node(corner), 1.0f - high);
                add(sum, node(corner + up), high - middle);
                add(sum, node(corner + diagonal - down), middle - low);
                add(sum, node(corner + diagonal), low);
                r[i] = sum.v[0], g[i] = sum.v[1], b[i] = sum.v[2];
            }
        } else {
            for (int i = 0; i < at.count; i++) {
                const float fr = r[i], fg = g[i], fb = b[i];
                const float* corner = lut.nodes + 4LL * base[i];
                Color sum = {};
                for (int k = 0; k < 8; k++) {
                    const float weight = (k & 4 ? fr : 1.0f - fr) * (k & 2 ? fg : 1.0f - fg) * (k & 1 ? fb : 1.0f - fb);
                    add(sum, node(corner + (k & 4 ? stride[0] : 0) + (k & 2 ? stride[1] : 0) + (k & 1 ? stride[2] : 0)), weight);
                }
                r[i] = sum.v[0], g[i] = sum.v[1], b[i] = sum.v[2];
            }
        }
        write_unit(dst, at, x);
    }
}

void gray_lut(const SxView& dst, const sx::GrayLut& lut, int64_t first, int64_t last) {
    Planes x;
    const int knots = lut.context_nodes;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(dst, block);
        const int64_t start = at.row * dst.columns + at.column;
        const uint8_t* gray = lut.gray + start;
        const float* context = lut.context + start;
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int i = 0; i < at.count; i++) {
            const float position = clamp(context[i], 0.0f, 1.0f) * (float)(knots - 1);
            int cell = (int)position;
            cell = cell < knots - 2 ? cell : knots - 2;
            const float f = position - (float)cell;
            const float* p = lut.table + 4 * (gray[i] * knots + cell);
            Color sum = {};
            add(sum, node(p), 1.0f - f);
            add(sum, node(p + 4), f);
            r[i] = sum.v[0], g[i] = sum.v[1], b[i] = sum.v[2];
        }
        write_unit(dst, at, x);
    }
}

// Bit for bit what numpy computes in float32: weighted means of levels often lie halfway between two. Each product is a
// loop of its own, so that it is rounded and not fused with the sum that follows.
void gray(const SxView& src, const float weights[3], uint8_t* out, int64_t first, int64_t last) {
    Planes x;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit<true>(src, at, x);
        float *r = x.c[0], *g = x.c[1], *b = x.c[2];
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++) x.c[c][i] *= weights[c];
        for (int i = 0; i < at.padded; i++) r[i] = ((r[i] + g[i]) + b[i]) * 255.0f;
        uint8_t* p = out + at.row * src.columns + at.column;
        for (int i = 0; i < at.count; i++) p[i] = (uint8_t)bits_of(clamp(r[i], 0.0f, 255.0f) + 12582912.0f);
    }
}

// Floats on the 8-bit grid as bytes; false as soon as one is further than tolerance levels from it.
bool to_levels(const SxView& src, const SxView& dst, float tolerance, int64_t first, int64_t last) {
    Planes x;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        for (int c = 0; c < 3; c++) {
            int off = 0;
            for (int i = 0; i < at.count; i++) {
                const float level = x.c[c][i] * 255.0f, whole = (level + 12582912.0f) - 12582912.0f, rest = level - whole;
                off |= (rest > tolerance) | (rest < -tolerance);
            }
            if (off) return false;
        }
        write_unit(dst, at, x);
    }
    return true;
}

}  // namespace

namespace sx {
extern const Kernels VARIANT;
const Kernels VARIANT = {VARIANT_NAME, density, stains, lab, hsv, lut3d, gray_lut, lab_of_levels, moments,
                         lasso_moments, lasso, to_levels, gray};
}  // namespace sx
