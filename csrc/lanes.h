// Sixteen channels as vector registers of whatever width there is. Included by each variant.
#pragma once
#include <cstring>

#if defined(__AVX512F__)
#define SX_LANES 16
#elif defined(__AVX2__)
#define SX_LANES 8
#else
#define SX_LANES 4
#endif

#if defined(__GNUC__)
typedef float Vec __attribute__((vector_size(4 * SX_LANES)));
#else
struct Vec {
    float v[SX_LANES];
    float& operator[](int i) { return v[i]; }
    float operator[](int i) const { return v[i]; }
};
#define SX_VEC_OPERATOR(op)                                   \
    inline Vec operator op(Vec a, Vec b) {                    \
        for (int i = 0; i < SX_LANES; i++) a.v[i] = a.v[i] op b.v[i]; \
        return a;                                             \
    }
SX_VEC_OPERATOR(+)
SX_VEC_OPERATOR(-)
SX_VEC_OPERATOR(*)
#endif

static inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

static inline Vec all(float x) {
#if defined(__GNUC__)
    return x - Vec{};
#else
    Vec v;
    for (int i = 0; i < SX_LANES; i++) v[i] = x;
    return v;
#endif
}

static inline Vec leaky(Vec x) {
    const Vec low = x * all(0.2f);
#if defined(__GNUC__)
    return x > low ? x : low;
#else
    Vec v;
    for (int i = 0; i < SX_LANES; i++) v[i] = x[i] > low[i] ? x[i] : low[i];
    return v;
#endif
}
