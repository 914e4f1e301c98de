// Pixels to single bytes: gray levels, and floats that were 8-bit. Included by each variant of kernels.cpp.
#pragma once
#include "pixels.h"

namespace {

// Bit for bit what numpy computes in float32: weighted means of levels often lie halfway between two. Each product is a
// loop of its own, so that it is rounded and not fused with the sum that follows.
void gray(const sx::View& src, const float weights[3], uint8_t* out, int64_t first, int64_t last) {
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
bool to_levels(const sx::View& src, const sx::View& dst, float tolerance, int64_t first, int64_t last) {
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
