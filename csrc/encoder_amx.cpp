// Rows of the Encoder in bfloat16 on AMX tiles; sums are float32. 16 pixels times 2 taps of 16 channels are one tile:
// pixels follow each other in memory, so the tile's rows overlap, and nothing is copied.
#include "encoder.h"

#include <immintrin.h>

#include "fast_math.h"

namespace {

using sx::CHANNELS;
using sx::Sums;

constexpr int BLOCK = 16;               // pixels of a tile
constexpr int BLOCKS = 4;               // tiles of sums
constexpr int PIXEL = 2 * CHANNELS;     // bytes
constexpr int RUN = BLOCK * BLOCKS;     // pixels whose sums are kept in float32
constexpr int ROW_WEIGHTS = 3 * CHANNELS * CHANNELS * 2;  // bytes

struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t columns[16] = {};  // bytes
    uint8_t rows[16] = {};
};

// Macros, because compilers want the numbers of tiles literally.
#define PAIR_IN 4
#define SINGLE_IN 5
#define PAIR_WEIGHTS 6
#define SINGLE_WEIGHTS 7

// Tiles 0..3 sum ``outputs`` channels of 16 pixels; 4 and 5 hold two taps and one of the input, 6 and 7 their weights.
constexpr Config config_of(int outputs) {
    Config c;
    const auto set = [&](int tile, int rows, int bytes) { c.rows[tile] = (uint8_t)rows, c.columns[tile] = (uint16_t)bytes; };
    for (int tile = 0; tile < BLOCKS; tile++) set(tile, BLOCK, 4 * outputs);
    set(PAIR_IN, BLOCK, 2 * PIXEL), set(SINGLE_IN, BLOCK, PIXEL);
    set(PAIR_WEIGHTS, CHANNELS, 4 * outputs), set(SINGLE_WEIGHTS, CHANNELS / 2, 4 * outputs);
    return c;
}

constexpr Config SIXTEEN = config_of(CHANNELS), ONE = config_of(1);

inline uint16_t bfloat(float x) { return (uint16_t)((uint32_t)bits_of(x) >> 16); }  // of a float that is one already

// Weights of pairs of channels beside each other: row k / 2, column out, k % 2, with k counting taps and channels.
template <int OUT>
void pack_taps(const float* weight, uint16_t* to) {
    for (int k = 0; k < 9 * CHANNELS; k++)
        for (int out = 0; out < OUT; out++) to[(k / 2 * OUT + out) * 2 + k % 2] = bfloat(weight[k * OUT + out]);
}

void pack(sx::Middle& layer) { pack_taps<CHANNELS>(layer.weight[0][0], (uint16_t*)layer.packed); }

void pack_last(sx::Last& layer) {
    for (int source = 0; source < 2; source++)
        pack_taps<1>(layer.weight[source][0], (uint16_t*)layer.packed + source * 9 * CHANNELS);
}

// Adds a tap row to the sums of N blocks.
template <int N, int OUT>
inline void add_row(const char* in, const unsigned char* weights) {
    _tile_loadd(PAIR_WEIGHTS, weights, 4 * OUT);
    _tile_loadd(SINGLE_WEIGHTS, weights + 4 * CHANNELS * OUT, 4 * OUT);
#define SX_BLOCK(b)                                                  \
    if (N > b) {                                                     \
        _tile_loadd(PAIR_IN, in + b * BLOCK * PIXEL, PIXEL);         \
        _tile_dpbf16ps(b, PAIR_IN, PAIR_WEIGHTS);                    \
        _tile_loadd(SINGLE_IN, in + (b * BLOCK + 2) * PIXEL, PIXEL); \
        _tile_dpbf16ps(b, SINGLE_IN, SINGLE_WEIGHTS);                \
    }
    SX_BLOCK(0) SX_BLOCK(1) SX_BLOCK(2) SX_BLOCK(3)
#undef SX_BLOCK
}

template <int N>
inline void clear() {
    _tile_zero(0);
    if (N > 1) _tile_zero(1);
    if (N > 2) _tile_zero(2);
    if (N > 3) _tile_zero(3);
}

template <int N, int OUT>
inline void store(float* sums) {
    _tile_stored(0, sums, 4 * OUT);
    if (N > 1) _tile_stored(1, sums + BLOCK * OUT, 4 * OUT);
    if (N > 2) _tile_stored(2, sums + 2 * BLOCK * OUT, 4 * OUT);
    if (N > 3) _tile_stored(3, sums + 3 * BLOCK * OUT, 4 * OUT);
}

template <int N>
inline void middle_sums(const void* const in[3], const unsigned char* weights, int64_t x, float* sums) {
    clear<N>();
    for (int row = 0; row < 3; row++)
        add_row<N, CHANNELS>((const char*)in[row] + x * PIXEL, weights + row * ROW_WEIGHTS);
    store<N, CHANNELS>(sums);
}

template <int N>
inline void last_sums(const void* const fourth[3], const void* const first[3], const unsigned char* weights, int64_t x,
                      float* sums) {
    clear<N>();
    for (int row = 0; row < 3; row++) {
        add_row<N, 1>((const char*)fourth[row] + x * PIXEL, weights + row * (ROW_WEIGHTS / CHANNELS));
        add_row<N, 1>((const char*)first[row] + x * PIXEL, weights + (row + 3) * (ROW_WEIGHTS / CHANNELS));
    }
    store<N, 1>(sums);
}

// LeakyReLU of a pixel, centered: stored, and into the sums.
struct Finish {
    __m512 center, sum, square;

    inline void operator()(__m512 x, char* out) {
        x = _mm512_sub_ps(_mm512_max_ps(x, _mm512_mul_ps(x, _mm512_set1_ps(0.2f))), center);
        sum = _mm512_add_ps(sum, x);
        square = _mm512_fmadd_ps(x, x, square);
        if (out) _mm256_storeu_si256((__m256i*)out, (__m256i)_mm512_cvtneps_pbh(x));
    }

    void flush(Sums* sums) {
        const auto add = [](double* to, __m512 x) {
            const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
            _mm512_store_pd(to, _mm512_add_pd(_mm512_load_pd(to), _mm512_cvtps_pd(_mm512_castps512_ps256(x))));
            _mm512_store_pd(to + 8, _mm512_add_pd(_mm512_load_pd(to + 8), _mm512_cvtps_pd(high)));
        };
        if (sums) add(sums->sum, sum), add(sums->square, square);
        sum = square = _mm512_setzero_ps();
    }
};

void first(const float* const gray[3], const sx::First& layer, int64_t width, void* out, Sums* sums) {
    __m512 w[9];
    for (int tap = 0; tap < 9; tap++) w[tap] = _mm512_load_ps(layer.weight[tap]);
    const __m512 bias = _mm512_load_ps(layer.bias);
    Finish finish = {_mm512_load_ps(layer.center), _mm512_setzero_ps(), _mm512_setzero_ps()};
    char* to = out ? (char*)out + PIXEL : nullptr;
    const float *above = gray[0], *here = gray[1], *below = gray[2];
    for (int64_t start = 0; start < width; start += RUN) {
        const int64_t end = start + RUN < width ? start + RUN : width;
        for (int64_t x = start; x < end; x++) {
            __m512 a = bias, b, c;
            a = _mm512_fmadd_ps(w[0], _mm512_set1_ps(above[x]), a);
            b = _mm512_mul_ps(w[1], _mm512_set1_ps(above[x + 1]));
            c = _mm512_mul_ps(w[2], _mm512_set1_ps(above[x + 2]));
            a = _mm512_fmadd_ps(w[3], _mm512_set1_ps(here[x]), a);
            b = _mm512_fmadd_ps(w[4], _mm512_set1_ps(here[x + 1]), b);
            c = _mm512_fmadd_ps(w[5], _mm512_set1_ps(here[x + 2]), c);
            a = _mm512_fmadd_ps(w[6], _mm512_set1_ps(below[x]), a);
            b = _mm512_fmadd_ps(w[7], _mm512_set1_ps(below[x + 1]), b);
            c = _mm512_fmadd_ps(w[8], _mm512_set1_ps(below[x + 2]), c);
            finish(_mm512_add_ps(_mm512_add_ps(a, b), c), to ? to + x * PIXEL : nullptr);
        }
        finish.flush(sums);
    }
}

void middle(const void* const in[3], const sx::Middle& layer, int row_edge, int64_t width, void* out, Sums* sums) {
    const float(*bias)[CHANNELS] = layer.bias[row_edge];
    const __m512 inside = _mm512_load_ps(bias[0]);
    Finish finish = {_mm512_load_ps(layer.center), _mm512_setzero_ps(), _mm512_setzero_ps()};
    alignas(64) float block[RUN * CHANNELS];
    char* to = (char*)out + PIXEL;
    _tile_loadconfig(&SIXTEEN);
    for (int64_t start = 0; start < width; start += RUN) {
        const int64_t count = width - start < RUN ? width - start : RUN;
        if (count > 3 * BLOCK)
            middle_sums<4>(in, layer.packed, start, block);
        else if (count > 2 * BLOCK)
            middle_sums<3>(in, layer.packed, start, block);
        else if (count > BLOCK)
            middle_sums<2>(in, layer.packed, start, block);
        else
            middle_sums<1>(in, layer.packed, start, block);
        const auto sum_of = [&](int64_t i) { return _mm512_load_ps(block + i * CHANNELS); };
        const auto at_end = [&](int64_t i) {
            const __m512 own = _mm512_load_ps(bias[sx::edge(start + i, width)]);
            finish(_mm512_add_ps(sum_of(i), own), to + (start + i) * PIXEL);
        };
        const bool begins = start == 0, ends = start + count == width && width > 1;
        if (begins) at_end(0);
        for (int64_t i = begins; i < count - ends; i++)
            finish(_mm512_add_ps(sum_of(i), inside), to + (start + i) * PIXEL);
        if (ends) at_end(count - 1);
        finish.flush(sums);
    }
    _tile_release();
}

void last(const void* const fourth[3], const void* const first[3], const sx::Last& layer, int row_edge, int64_t width,
          float* context) {
    const float* bias = layer.bias[row_edge];
    alignas(64) float block[RUN];
    _tile_loadconfig(&ONE);
    for (int64_t start = 0; start < width; start += RUN) {
        const int count = (int)(width - start < RUN ? width - start : RUN);
        if (count > 3 * BLOCK)
            last_sums<4>(fourth, first, layer.packed, start, block);
        else if (count > 2 * BLOCK)
            last_sums<3>(fourth, first, layer.packed, start, block);
        else if (count > BLOCK)
            last_sums<2>(fourth, first, layer.packed, start, block);
        else
            last_sums<1>(fourth, first, layer.packed, start, block);
        for (int i = 0; i < count; i++) block[i] += bias[0];
        if (start == 0) block[0] += bias[sx::edge(0, width)] - bias[0];
        if (start + count == width && width > 1) block[count - 1] += bias[2] - bias[0];
        for (int i = 0; i < count; i++) context[start + i] = 1.0f / (1.0f + exp2_f(block[i] * -1.44269504f));
    }
    _tile_release();
}

}  // namespace

namespace sx {
extern const EncoderRows ENCODER_AMX;
const EncoderRows ENCODER_AMX = {2, true, pack, pack_last, first, middle, last};
}  // namespace sx
