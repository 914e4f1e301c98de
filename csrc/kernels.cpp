// Every kernel that profits from wide vectors. Compiled once for each instruction set, with VARIANT naming the table.
// Loops over one block of planes in cache, free of branches, so that any compiler vectorizes them.
#include "kernels.h"
#include "interleave.h"
#include "math.h"
#include "order.h"

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

// 8-bit pixels, through a buffer: bytes in memory may be anything to a compiler, the floats of a plane included.
struct Levels {
    alignas(64) uint8_t c[3][BLOCK];
};

inline void read_levels(const SxView& view, const Span& at, Levels& out) {
    if (view.column_stride == 3 && view.channel_stride == 1) {
        deinterleave(pointer<uint8_t>(view, at, 0), at.count, out.c[0], out.c[1], out.c[2]);
    } else {
        for (int c = 0; c < 3; c++) {
            const uint8_t* p = pointer<uint8_t>(view, at, c);
            if (view.column_stride == 1)
                std::memcpy(out.c[c], p, at.count);
            else
                for (int i = 0; i < at.count; i++) out.c[c][i] = p[i * view.column_stride];
        }
    }
    for (int c = 0; c < 3; c++) std::memset(out.c[c] + at.count, 0, at.padded - at.count);
}

// Pixels in [0, 1]; with EXACT correctly rounded, by division.
template <bool EXACT = false>
inline void read_unit(const SxView& view, const Span& at, Planes& out) {
    if (view.type == SX_UINT8) {
        Levels levels;
        read_levels(view, at, levels);
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++)
                out.c[c][i] = EXACT ? (float)levels.c[c][i] / 255.0f : (float)levels.c[c][i] * (1.0f / 255.0f);
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

inline void write_levels(const SxView& view, const Span& at, const Levels& in) {
    if (view.column_stride == 3 && view.channel_stride == 1) {
        interleave(in.c[0], in.c[1], in.c[2], at.count, pointer<uint8_t>(view, at, 0));
        return;
    }
    for (int c = 0; c < 3; c++) {
        uint8_t* p = pointer<uint8_t>(view, at, c);
        if (view.column_stride == 1)
            std::memcpy(p, in.c[c], at.count);
        else
            for (int i = 0; i < at.count; i++) p[i * view.column_stride] = in.c[c][i];
    }
}

// Planes, nominally in [0, 1]: clipped, and rounded for 8 bits.
inline void write_unit(const SxView& view, const Span& at, const Planes& in) {
    if (view.type == SX_UINT8) {
        Levels levels;
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++) levels.c[c][i] = to_level(in.c[c][i]);
        write_levels(view, at, levels);
    } else {
        const float low = view.low, scale = view.scale;
        const float least_unit = view.clip ? 0.0f : -3e38f, most_unit = view.clip ? 1.0f : 3e38f;
        const auto value = [=](float x) { return clamp(x, least_unit, most_unit) * scale + low; };
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

// CIE L*, a*, b* of 8-bit colors (3, n). The cube root starts from floats; a step of Newton's method on x^(-1/3), which
// needs no division, makes it good to 1e-12.
void lab_of_levels(const uint8_t* levels, int64_t n, const double* linear, const double* m, double* out) {
    constexpr int PART = 256;
    constexpr double EPSILON = 216.0 / 24389.0;
    alignas(64) double xyz[3][PART] = {};
    alignas(64) float guess[PART];
    for (int64_t start = 0; start < n; start += PART) {
        const int count = (int)(n - start < PART ? n - start : PART);
        for (int i = 0; i < count; i++) {
            const uint8_t* p = levels + start + i;
            const double r = linear[p[0]], g = linear[p[n]], b = linear[p[2 * n]];
            for (int k = 0; k < 3; k++) xyz[k][i] = m[3 * k] * r + m[3 * k + 1] * g + m[3 * k + 2] * b;
        }
        for (int k = 0; k < 3; k++) {
            double* x = xyz[k];
            for (int i = 0; i < PART; i++) guess[i] = (float)(x[i] > EPSILON ? x[i] : EPSILON);
            for (int i = 0; i < PART; i++) guess[i] = rcbrt_f(guess[i]);
            for (int i = 0; i < PART; i++) {
                const double safe = x[i] > EPSILON ? x[i] : EPSILON, y = guess[i];
                const double root = y + y * (1.0 - safe * y * (y * y)) * (1.0 / 3.0);
                x[i] = x[i] > EPSILON ? safe * (root * root) : 841.0 / 108.0 * x[i] + 4.0 / 29.0;
            }
        }
        double *l = out + start, *a = l + n, *b = a + n;
        for (int i = 0; i < count; i++) {
            l[i] = 116.0 * xyz[1][i] - 16.0;
            a[i] = 500.0 * (xyz[0][i] - xyz[1][i]);
            b[i] = 200.0 * (xyz[1][i] - xyz[2][i]);
        }
    }
}

// Densities of some colors, and their counts if every density is at least so large, else 0: what would be megabytes for
// all colors stays in cache.
constexpr int PART = 256;

struct Part {
    alignas(64) double d[3][PART] = {}, weight[PART] = {};
    int count;

    void read(const sx::Colors& colors, int64_t start) {
        count = (int)(colors.n - start < PART ? colors.n - start : PART);
        for (int c = 0; c < 3; c++) {
            const uint8_t* p = colors.levels + c * colors.n + start;
            const double* table = colors.tables + 256 * c;
            for (int i = 0; i < count; i++) d[c][i] = table[p[i]];
        }
        for (int i = 0; i < count; i++) {
            const double lower = d[0][i] < d[1][i] ? d[0][i] : d[1][i], lowest = lower < d[2][i] ? lower : d[2][i];
            weight[i] = lowest >= colors.least ? (double)colors.counts[start + i] : 0.0;
        }
        for (int i = count; i < PART; i++) weight[i] = 0.0;
    }
};

// As moments(), and the sum of weights.
void level_moments(const sx::Colors& colors, const double* about, double* out) {
    double lanes[10][LANES] = {};
    const double a = about[0], b = about[1], c = about[2];
    Part part;
    for (int64_t start = 0; start < colors.n; start += PART) {
        part.read(colors, start);
        in_lanes(PART, [&](int64_t i, int k) {
            const double w = part.weight[i], u = part.d[0][i] - a, v = part.d[1][i] - b, t = part.d[2][i] - c;
            lanes[0][k] += w * u, lanes[1][k] += w * v, lanes[2][k] += w * t;
            lanes[3][k] += w * u * u, lanes[4][k] += w * u * v, lanes[5][k] += w * u * t;
            lanes[6][k] += w * v * v, lanes[7][k] += w * v * t, lanes[8][k] += w * t * t, lanes[9][k] += w;
        });
    }
    for (int j = 0; j < 10; j++) out[j] = total(lanes[j]);
}

// A number that orders directions in a plane (3, 2) as their angle does, for each color, and its weight.
void level_angles(const sx::Colors& colors, const double* plane, double* order, int64_t* weights) {
    Part part;
    for (int64_t start = 0; start < colors.n; start += PART) {
        part.read(colors, start);
        for (int i = 0; i < part.count; i++) {
            const double u = part.d[0][i], v = part.d[1][i], w = part.d[2][i];
            const double x = plane[0] * u + plane[2] * v + plane[4] * w, y = plane[1] * u + plane[3] * v + plane[5] * w;
            order[start + i] = order_of(x, y);
            weights[start + i] = (int64_t)part.weight[i];
        }
    }
}

void level_amounts(const sx::Colors& colors, const sx::Separation& by, double* out) {
    Part part;
    const double *s = by.rows, *t = by.rows + 3, cosine = s[0] * t[0] + s[1] * t[1] + s[2] * t[2];
    for (int64_t start = 0; start < colors.n; start += PART) {
        part.read(colors, start);
        double *one = out + start, *two = out + colors.n + start;
        for (int i = 0; i < part.count; i++) {
            const double u = part.d[0][i], v = part.d[1][i], w = part.d[2][i];
            if (by.lasso) {
                const auto a = lasso_of(u, v, w, s, t, by.penalty, cosine, by.determinant);
                one[i] = a.one, two[i] = a.two;
            } else {
                one[i] = s[0] * u + s[1] * v + s[2] * w, two[i] = t[0] * u + t[1] * v + t[2] * w;
            }
        }
    }
}

// Places of the values from low to high, and how many there are; sums of counts below low, and of those values.
// ``places`` has room for one more than n.
int64_t between(const double* values, const int64_t* counts, int64_t n, double low, double high, int64_t* places,
                int64_t sums[2]) {
    int64_t below = 0, inside = 0, found = 0, i = 0;
#if defined(__AVX512F__)
    const __m512d from = _mm512_set1_pd(low), to = _mm512_set1_pd(high);
    __m512i lower = _mm512_setzero_si512(), within = lower;
    for (; i + 8 <= n; i += 8) {
        const __m512d v = _mm512_loadu_pd(values + i);
        const __m512i count = _mm512_loadu_si512(counts + i);
        const __mmask8 small = _mm512_cmp_pd_mask(v, from, _CMP_LT_OQ);
        __mmask8 fits = _mm512_mask_cmp_pd_mask((__mmask8)~small, v, to, _CMP_LE_OQ);
        lower = _mm512_mask_add_epi64(lower, small, lower, count);
        within = _mm512_mask_add_epi64(within, fits, within, count);
        for (; fits; fits = (__mmask8)(fits & (fits - 1))) places[found++] = i + __builtin_ctz(fits);
    }
    below = _mm512_reduce_add_epi64(lower), inside = _mm512_reduce_add_epi64(within);
#endif
    for (; i < n; i++) {  // written always, kept if it fits: a branch would be a coin toss
        const bool smaller = values[i] < low, fits = !smaller & (values[i] <= high);
        below += smaller ? counts[i] : 0;
        inside += fits ? counts[i] : 0;
        places[found] = i;
        found += fits;
    }
    sums[0] = below, sums[1] = inside;
    return found;
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

struct alignas(16) Color {
    float v[4];
};

inline Color node(const float* at) {
    Color c;
    for (int k = 0; k < 4; k++) c.v[k] = at[k];
    return c;
}

// Pixels given color by color; ``planes`` is for them to pass through.
inline void write_colors(const SxView& view, const Span& at, const Color* colors, Planes& planes) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
    if (view.type == SX_UINT8 && view.column_stride == 3 && view.channel_stride == 1) {
        alignas(64) uint8_t bytes[3 * BLOCK + 16];
        const __m128i three_of_four = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
        const __m512 white = _mm512_set1_ps(255.0f), black = _mm512_setzero_ps();
        for (int i = 0; i < at.padded; i += 4) {
            const __m512 level = _mm512_mul_ps(_mm512_load_ps(colors[i].v), white);
            const __m512i whole = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(level, black), white));
            const __m128i four = _mm_shuffle_epi8(_mm512_cvtepi32_epi8(whole), three_of_four);
            _mm_storeu_si128((__m128i*)(bytes + 3 * i), four);
        }
        std::memcpy(pointer<uint8_t>(view, at, 0), bytes, 3 * at.count);
        return;
    }
#endif
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < at.padded; i++) planes.c[c][i] = colors[i].v[c];
    write_unit(view, at, planes);
}

inline void add(Color& sum, const Color& c, float weight) {
    for (int k = 0; k < 4; k++) sum.v[k] += weight * c.v[k];
}

void lut3d(const SxView& src, const SxView& dst, const sx::Lut3D& lut, int64_t first, int64_t last) {
    Planes x;
    alignas(64) int32_t base[BLOCK], up[BLOCK], down[BLOCK];
    alignas(64) Color found[BLOCK] = {};
    const int last_cell = lut.n - 2;
    const int64_t stride[3] = {4LL * lut.n * lut.n, 4LL * lut.n, 4};
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
            const int32_t sr = (int32_t)stride[0], sg = (int32_t)stride[1], sb = (int32_t)stride[2], all = sr + sg + sb;
            for (int i = 0; i < at.padded; i++) {  // the path from the lowest corner to the highest: axes by fraction
                const float fr = r[i], fg = g[i], fb = b[i];
                const float high = most(most(fr, fg), fb), low = least(least(fr, fg), fb);
                const float middle = most(least(fr, fg), least(most(fr, fg), fb));
                const int32_t other_up = fg == high ? sg : sb, other_down = fg == low ? sg : sr;
                up[i] = fr == high ? sr : other_up;
                down[i] = all - (fb == low ? sb : other_down);
                r[i] = high, g[i] = middle, b[i] = low;
            }
            for (int i = 0; i < at.count; i++) {
                const float* corner = lut.nodes + 4LL * base[i];
                Color sum = {};
                add(sum, node(corner), 1.0f - r[i]);
                add(sum, node(corner + up[i]), r[i] - g[i]);
                add(sum, node(corner + down[i]), g[i] - b[i]);
                add(sum, node(corner + all), b[i]);
                found[i] = sum;
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
                found[i] = sum;
            }
        }
        write_colors(dst, at, found, x);
    }
}

// Quadrilinear: between two tables of colors, each trilinear.
void lut4d(const SxView& src, const SxView& dst, const sx::Lut4D& lut, int64_t first, int64_t last) {
    Planes x;
    const int n = lut.n;
    const float end = (float)(n - 1), knots = (float)(lut.context_nodes - 1);
    const int64_t stride[4] = {4LL * n * n * n, 4LL * n * n, 4LL * n, 4};
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        read_unit(src, at, x);
        const float* context = lut.context + at.row * src.columns + at.column;
        for (int i = 0; i < at.count; i++) {
            const float position[4] = {clamp(context[i], 0.0f, 1.0f) * knots, x.c[0][i] * end, x.c[1][i] * end, x.c[2][i] * end};
            float fraction[4];
            int64_t base = 0;
            for (int axis = 0; axis < 4; axis++) {
                const int most_cell = axis ? n - 2 : lut.context_nodes - 2, lower = (int)position[axis];
                const int cell = lower < most_cell ? lower : most_cell;
                fraction[axis] = position[axis] - (float)cell;
                base += cell * stride[axis];
            }
            Color sum = {};
            for (int k = 0; k < 16; k++) {
                float weight = 1.0f;
                int64_t offset = base;
                for (int axis = 0; axis < 4; axis++) {
                    const bool upper = k >> (3 - axis) & 1;
                    weight *= upper ? fraction[axis] : 1.0f - fraction[axis];
                    offset += upper ? stride[axis] : 0;
                }
                add(sum, node(lut.nodes + offset), weight);
            }
            x.c[0][i] = sum.v[0], x.c[1][i] = sum.v[1], x.c[2][i] = sum.v[2];
        }
        write_unit(dst, at, x);
    }
}

void gray_lut(const SxView& dst, const sx::GrayLut& lut, int64_t first, int64_t last) {
    Planes x;
    alignas(64) int32_t cell[BLOCK];
    alignas(64) float fraction[BLOCK];
    alignas(64) Color found[BLOCK] = {};
    const int knots = lut.context_nodes;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(dst, block);
        const int64_t start = at.row * dst.columns + at.column;
        const uint8_t* gray = lut.gray + start;
        const float* context = lut.context + start;
        for (int i = 0; i < at.count; i++) {
            const float position = clamp(context[i], 0.0f, 1.0f) * (float)(knots - 1);
            const int32_t lower = (int32_t)position, inside = lower < knots - 2 ? lower : knots - 2;
            fraction[i] = position - (float)inside;
            cell[i] = 4 * (gray[i] * knots + inside);
        }
        for (int i = 0; i < at.count; i++) {
            const float* p = lut.table + cell[i];
            const float f = fraction[i];
            for (int k = 0; k < 4; k++) found[i].v[k] = p[k] + f * (p[k + 4] - p[k]);
        }
        write_colors(dst, at, found, x);
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
const Kernels VARIANT = {VARIANT_NAME, density, mixture, stains, lab, hsv, lut3d, lut4d, gray_lut, lab_of_levels, level_moments, level_angles,
                         level_amounts, between, moments,
                         lasso_moments, lasso, to_levels, gray};
}  // namespace sx
