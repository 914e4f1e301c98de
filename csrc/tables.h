// Lookup tables of colors. Included by each variant of kernels.cpp.
#pragma once
#include "pixels.h"

namespace {

struct alignas(16) Color {
    float v[4];
};

inline Color node(const float* at) {
    Color c;
    for (int k = 0; k < 4; k++) c.v[k] = at[k];
    return c;
}

// Pixels given color by color; ``planes`` is for them to pass through.
inline void write_colors(const sx::View& view, const Span& at, const Color* colors, Planes& planes) {
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
#elif defined(__AVX2__)
    if (view.type == SX_UINT8 && view.column_stride == 3 && view.channel_stride == 1) {
        alignas(64) uint8_t bytes[3 * BLOCK + 16];
        const __m128i three_of_four = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
        const __m256 white = _mm256_set1_ps(255.0f), black = _mm256_setzero_ps();
        const auto two = [&](const Color* p) {
            const __m256 level = _mm256_mul_ps(_mm256_loadu_ps(p->v), white);
            const __m256i whole = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(level, black), white));
            return _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        };
        for (int i = 0; i < at.padded; i += 4) {
            const __m128i four = _mm_packus_epi16(two(colors + i), two(colors + i + 2));
            _mm_storeu_si128((__m128i*)(bytes + 3 * i), _mm_shuffle_epi8(four, three_of_four));
        }
        std::memcpy(pointer<uint8_t>(view, at, 0), bytes, 3 * at.count);
        return;
    }
#endif
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < at.padded; i++) planes.c[c][i] = colors[i].v[c];
    write_unit(view, at, planes);
}

void curves(const sx::View& src, const sx::View& dst, const sx::CurveMap& map, int64_t first, int64_t last) {
    Planes x;
    Levels in, out;
    const bool bytes = src.type == SX_UINT8 && dst.type == SX_UINT8;
    for (int64_t block = first; block < last; block++) {
        const Span at = span_of(src, block);
        if (bytes) {
            read_levels(src, at, in);
            for (int c = 0; c < 3; c++)
                for (int i = 0; i < at.padded; i += 8)  // by hand: compilers leave this loop as it is
                    for (int k = i; k < i + 8; k++) out.c[c][k] = map.levels[256 * c + in.c[c][k]];
            write_levels(dst, at, out);
            continue;
        }
        read_unit(src, at, x);
        for (int c = 0; c < 3; c++) {
            const float* p = map.nodes + c * map.n;
            for (int i = 0; i < at.count; i++) {
                const float position = x.c[c][i] * (float)(map.n - 1);
                const int32_t lower = (int32_t)position, node = lower < map.n - 2 ? lower : map.n - 2;
                x.c[c][i] = p[node] + (position - (float)node) * (p[node + 1] - p[node]);
            }
        }
        write_unit(dst, at, x);
    }
}

inline void add(Color& sum, const Color& c, float weight) {
    for (int k = 0; k < 4; k++) sum.v[k] += weight * c.v[k];
}

void lut3d(const sx::View& src, const sx::View& dst, const sx::Lut3D& lut, int64_t first, int64_t last) {
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
                const float high = maximum(maximum(fr, fg), fb), low = minimum(minimum(fr, fg), fb);
                const float middle = maximum(minimum(fr, fg), minimum(maximum(fr, fg), fb));
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
void lut4d(const sx::View& src, const sx::View& dst, const sx::Lut4D& lut, int64_t first, int64_t last) {
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
                const int last_cell = axis ? n - 2 : lut.context_nodes - 2, lower = (int)position[axis];
                const int cell = lower < last_cell ? lower : last_cell;
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

void gray_lut(const sx::View& dst, const sx::GrayLut& lut, int64_t first, int64_t last) {
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

}  // namespace
