// Elementary functions on floats, in a form that compilers turn into vector code. Included by each variant.
// The polynomials are minimax fits made for this file (Lawson iteration on Chebyshev nodes).
#pragma once
#include <cstdint>
#include <cstring>

static inline int32_t bits_of(float x) {
    int32_t i;
    std::memcpy(&i, &x, 4);
    return i;
}

static inline float float_of(int32_t i) {
    float x;
    std::memcpy(&x, &i, 4);
    return x;
}

static inline float minimum(float a, float b) { return a < b ? a : b; }
static inline float maximum(float a, float b) { return a > b ? a : b; }
static inline float clamp(float x, float low, float high) { return minimum(maximum(x, low), high); }

// Base-2 logarithm of a normal positive float, error below 5e-7: x = 2^k (1 + m) with 1 + m around 1.
static inline float log2_f(float x) {
    const uint32_t i = (uint32_t)bits_of(x);
    const int32_t e = (int32_t)(i - 0x3f3504f3u) >> 23;
    const float m = float_of((int32_t)(i - (uint32_t)e * (1u << 23))) - 1.0f;
    float p = -0.149731308f;
    p = p * m + 0.235708863f;
    p = p * m - 0.248323113f;
    p = p * m + 0.286868989f;
    p = p * m - 0.360263437f;
    p = p * m + 0.480931163f;
    p = p * m - 0.721352458f;
    p = p * m + 1.4426949f;
    return p * m + (float)e;
}

// 2^x, relative error below 2e-7; x is clamped to where the result is a normal float.
static inline float exp2_f(float x) {
    x = clamp(x, -125.0f, 126.0f);
    const float shifted = x + 12582912.0f;  // rounds to a whole number in the low bits
    const float r = x - (shifted - 12582912.0f);
    float p = 0.00134099997f;
    p = p * r + 0.00967603642f;
    p = p * r + 0.0555029735f;
    p = p * r + 0.240221068f;
    p = p * r + 0.693147242f;
    p = p * r + 1.00000012f;
    return float_of((int32_t)((uint32_t)bits_of(p) + ((uint32_t)bits_of(shifted) << 23)));  // the other bits fall out
}

// x^(-1/3) of a normal positive float, relative error below 2e-7: guessed from the bits, refined twice.
static inline float rcbrt_f(float x) {
    float y = float_of(0x54a21d2a - (int32_t)((float)bits_of(x) * 0.33333333f));
    for (int k = 0; k < 2; k++) {
        const float e = 1.0f - x * y * (y * y);
        y += y * e * (0.33333333f + e * 0.22222222f);
    }
    return y;
}

// Cube root of a normal positive float, relative error below 3e-7.
static inline float cbrt_f(float x) {
    const float y = rcbrt_f(x);
    return x * (y * y);
}

// sRGB to linear light on [0.04, 1], error below 1e-6.
static inline float srgb_curve(float x) {
    float p = -0.0786949918f;
    p = p * x + 0.383657366f;
    p = p * x - 0.815726817f;
    p = p * x + 1.01980519f;
    p = p * x - 0.901448071f;
    p = p * x + 0.872165442f;
    p = p * x + 0.483996421f;
    p = p * x + 0.035392452f;
    return p * x + 0.000852361787f;
}
