// Blocks of pixels in any layout, to planes in cache and back. Included by each variant of kernels.cpp.
#pragma once
#include "interleave.h"
#include "kernels.h"
#include "fast_math.h"

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

inline Span span_of(const sx::View& view, int64_t block) {
    const int64_t per_row = (view.columns + BLOCK - 1) / BLOCK, column = block % per_row * BLOCK;
    const int64_t left = view.columns - column;
    const int count = (int)(left < BLOCK ? left : BLOCK);
    return {block / per_row, column, count, (count + 63) / 64 * 64};
}

template <class T>
inline T* pointer(const sx::View& view, const Span& at, int channel) {
    return (T*)((char*)view.data + channel * view.channel_stride + at.row * view.row_stride +
                at.column * view.column_stride);
}

template <int STRIDE, class F>
inline void read_floats(const float* p, int64_t stride, int n, float* out, F convert) {
    for (int i = 0; i < n; i++) out[i] = convert(STRIDE ? p[i * STRIDE] : *(const float*)((const char*)p + i * stride));
}

// 8-bit pixels, through a buffer: bytes in memory may be anything to a compiler, the floats of a plane included.
struct Levels {
    alignas(64) uint8_t c[3][BLOCK];
};

inline void read_levels(const sx::View& view, const Span& at, Levels& out) {
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
inline void read_unit(const sx::View& view, const Span& at, Planes& out) {
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

inline void to_density(const sx::Density& space, int n, Planes& planes) {
    for (int c = 0; c < 3; c++) {
        const float scale = space.scale[c], offset = space.offset[c], lowest = space.lowest, floor = space.floor;
        float* x = planes.c[c];
        for (int i = 0; i < n; i++) x[i] = maximum(-log2_f(maximum(x[i], lowest) * scale + offset), floor);
    }
}

inline void read_density(const sx::View& view, const Span& at, const sx::Density& space, Planes& out) {
    read_unit(view, at, out);
    to_density(space, at.padded, out);
}

// Rounds half to even, as numpy's rint.
inline uint8_t to_level(float unit) {
    return (uint8_t)bits_of(clamp(unit, 0.0f, 1.0f) * 255.0f + 12582912.0f);
}

inline void write_levels(const sx::View& view, const Span& at, const Levels& in) {
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
inline void write_unit(const sx::View& view, const Span& at, const Planes& in) {
    if (view.type == SX_UINT8) {
        Levels levels;
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < at.padded; i++) levels.c[c][i] = to_level(in.c[c][i]);
        write_levels(view, at, levels);
    } else {
        const float low = view.low, scale = view.scale;
        const float min_unit = view.clip ? 0.0f : -3e38f, max_unit = view.clip ? 1.0f : 3e38f;
        const auto value = [=](float x) { return clamp(x, min_unit, max_unit) * scale + low; };
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

}  // namespace
