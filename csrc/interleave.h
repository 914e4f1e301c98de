// Interleaved 8-bit RGB to planes and back: what compilers do badly by themselves. Included by each variant.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

#if defined(__SSSE3__)
// As many bytes as a register holds, in lanes of 16: 16 pixels of a channel each.
#if defined(__AVX512BW__)
using Bytes = __m512i;

inline Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(uint8_t* p, Bytes v) { _mm512_storeu_si512(p, v); }
inline Bytes in_each_lane(__m128i lane) { return _mm512_broadcast_i32x4(lane); }
inline Bytes picked(Bytes v, Bytes index) { return _mm512_shuffle_epi8(v, index); }
inline Bytes either(Bytes a, Bytes b, Bytes c) { return _mm512_ternarylogic_epi32(a, b, c, 0xfe); }

inline Bytes load_lanes(const uint8_t* p) {  // one every 48 bytes
    const auto lane = [=](int k) { return _mm_loadu_si128((const __m128i*)(p + 48 * k)); };
    const Bytes two = _mm512_inserti32x4(_mm512_castsi128_si512(lane(0)), lane(1), 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(two, lane(2), 2), lane(3), 3);
}

inline void store_lanes(uint8_t* p, Bytes v) {
    _mm_storeu_si128((__m128i*)p, _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i*)(p + 48), _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i*)(p + 96), _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i*)(p + 144), _mm512_extracti32x4_epi32(v, 3));
}
#elif defined(__AVX2__)
using Bytes = __m256i;

inline Bytes load_bytes(const uint8_t* p) { return _mm256_loadu_si256((const Bytes*)p); }
inline void store_bytes(uint8_t* p, Bytes v) { _mm256_storeu_si256((Bytes*)p, v); }
inline Bytes in_each_lane(__m128i lane) { return _mm256_broadcastsi128_si256(lane); }
inline Bytes picked(Bytes v, Bytes index) { return _mm256_shuffle_epi8(v, index); }
inline Bytes either(Bytes a, Bytes b, Bytes c) { return _mm256_or_si256(_mm256_or_si256(a, b), c); }

inline Bytes load_lanes(const uint8_t* p) {
    const auto lane = [=](int k) { return _mm_loadu_si128((const __m128i*)(p + 48 * k)); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(lane(0)), lane(1), 1);
}

inline void store_lanes(uint8_t* p, Bytes v) {
    _mm_storeu_si128((__m128i*)p, _mm256_castsi256_si128(v));
    _mm_storeu_si128((__m128i*)(p + 48), _mm256_extracti128_si256(v, 1));
}
#else
using Bytes = __m128i;

inline Bytes load_bytes(const uint8_t* p) { return _mm_loadu_si128((const Bytes*)p); }
inline void store_bytes(uint8_t* p, Bytes v) { _mm_storeu_si128((Bytes*)p, v); }
inline Bytes in_each_lane(__m128i lane) { return lane; }
inline Bytes picked(Bytes v, Bytes index) { return _mm_shuffle_epi8(v, index); }
inline Bytes either(Bytes a, Bytes b, Bytes c) { return _mm_or_si128(_mm_or_si128(a, b), c); }
inline Bytes load_lanes(const uint8_t* p) { return load_bytes(p); }
inline void store_lanes(uint8_t* p, Bytes v) { store_bytes(p, v); }
#endif

constexpr int TOGETHER = sizeof(Bytes);  // pixels

// For each of three registers, what of it goes where: a register of 16 positions, -1 for none, by a function of the place.
struct Three {
    Bytes v[3];

    template <class F>
    explicit Three(F index_of) {
        alignas(16) int8_t index[16];
        for (int part = 0; part < 3; part++) {
            for (int k = 0; k < 16; k++) {
                const int at = index_of(part, k);
                index[k] = (int8_t)(at >= 0 && at < 16 ? at : -1);
            }
            v[part] = in_each_lane(_mm_load_si128((const __m128i*)index));
        }
    }

    Bytes of(Bytes x, Bytes y, Bytes z) const { return either(picked(x, v[0]), picked(y, v[1]), picked(z, v[2])); }
};

struct ToPlanes {
    Three to[3] = {channel(0), channel(1), channel(2)};

    static Three channel(int c) {
        return Three([=](int part, int k) { return c + 3 * k - 16 * part; });
    }

    void operator()(const uint8_t* p, uint8_t* r, uint8_t* g, uint8_t* b) const {
        const Bytes x = load_lanes(p), y = load_lanes(p + 16), z = load_lanes(p + 32);
        store_bytes(r, to[0].of(x, y, z));
        store_bytes(g, to[1].of(x, y, z));
        store_bytes(b, to[2].of(x, y, z));
    }
};

struct ToPixels {
    Three to[3] = {third(0), third(1), third(2)};

    static Three third(int of_48) {
        return Three([=](int channel, int k) {
            const int at = 16 * of_48 + k;
            return at % 3 == channel ? at / 3 : -1;
        });
    }

    void operator()(const uint8_t* r, const uint8_t* g, const uint8_t* b, uint8_t* p) const {
        const Bytes x = load_bytes(r), y = load_bytes(g), z = load_bytes(b);
        for (int part = 0; part < 3; part++) store_lanes(p + 16 * part, to[part].of(x, y, z));
    }
};
#else
constexpr int TOGETHER = 16;

struct ToPlanes {
    void operator()(const uint8_t* p, uint8_t* r, uint8_t* g, uint8_t* b) const {
#if defined(__ARM_NEON)
        const uint8x16x3_t x = vld3q_u8(p);
        vst1q_u8(r, x.val[0]), vst1q_u8(g, x.val[1]), vst1q_u8(b, x.val[2]);
#else
        for (int i = 0; i < TOGETHER; i++) r[i] = p[3 * i], g[i] = p[3 * i + 1], b[i] = p[3 * i + 2];
#endif
    }
};

struct ToPixels {
    void operator()(const uint8_t* r, const uint8_t* g, const uint8_t* b, uint8_t* p) const {
#if defined(__ARM_NEON)
        const uint8x16x3_t planes = {{vld1q_u8(r), vld1q_u8(g), vld1q_u8(b)}};
        vst3q_u8(p, planes);
#else
        for (int i = 0; i < TOGETHER; i++) p[3 * i] = r[i], p[3 * i + 1] = g[i], p[3 * i + 2] = b[i];
#endif
    }
};
#endif

// Planes have room for a whole number of TOGETHER.
inline void deinterleave(const uint8_t* p, int n, uint8_t* r, uint8_t* g, uint8_t* b) {
    const ToPlanes to_planes;
    int i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER) to_planes(p + 3 * i, r + i, g + i, b + i);
    if (i < n) {
        uint8_t rest[3 * TOGETHER] = {};
        std::memcpy(rest, p + 3 * i, 3 * (n - i));
        to_planes(rest, r + i, g + i, b + i);
    }
}

inline void interleave(const uint8_t* r, const uint8_t* g, const uint8_t* b, int n, uint8_t* p) {
    const ToPixels to_pixels;
    int i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER) to_pixels(r + i, g + i, b + i, p + 3 * i);
    if (i < n) {
        uint8_t rest[3 * TOGETHER];
        to_pixels(r + i, g + i, b + i, rest);
        std::memcpy(p + 3 * i, rest, 3 * (n - i));
    }
}

}  // namespace
