// Rows of the Encoder in float32. Compiled once for each instruction set, with ENCODER naming the table.
#include "encoder.h"

#include <utility>

#include "lanes.h"
#include "fast_math.h"

namespace {

using sx::CHANNELS;
using sx::Sums;

constexpr int V = CHANNELS / SX_LANES;                             // registers a pixel
constexpr int PIXELS = SX_LANES == 16 ? 16 : SX_LANES == 8 ? 6 : 3;  // as many as leave registers for the weights
constexpr int RUN = 48;  // pixels whose sums may be kept in float32; a multiple of PIXELS

// Pixels of one block: unrolled by the template, so that every sum is a register.
struct Block {
    Vec sum[PIXELS * V];

    template <size_t... I>
    inline void add(const float* x, const float* weight, std::index_sequence<I...>) {
        Vec w[V];
        for (int v = 0; v < V; v++) w[v] = load(weight + v * SX_LANES);
        ((sum[I] = sum[I] + all(x[I / V * CHANNELS]) * w[I % V]), ...);
    }
    template <size_t... I>
    inline void add_gray(const float* gray, const float* weight, std::index_sequence<I...>) {
        Vec w[V];
        for (int v = 0; v < V; v++) w[v] = load(weight + v * SX_LANES);
        ((sum[I] = sum[I] + all(gray[I / V]) * w[I % V]), ...);
    }
    template <size_t... I>
    inline void start(const float* bias, std::index_sequence<I...>) {
        ((sum[I] = load(bias + I % V * SX_LANES)), ...);
    }
};

constexpr std::make_index_sequence<PIXELS * V> EACH{};

// Sums of a run of pixels, in float32, and of a row, in float64.
struct Totals {
    Vec sum[V] = {}, square[V] = {};

    void flush(Sums* sums) {
        for (int v = 0; v < V; v++) {
            for (int i = 0; i < SX_LANES; i++) {
                sums->sum[v * SX_LANES + i] += sum[v][i];
                sums->square[v * SX_LANES + i] += square[v][i];
            }
            sum[v] = square[v] = Vec{};
        }
    }
};

inline void finish(const Block& block, int count, const Vec* center, float* out, Totals& totals) {
    for (int p = 0; p < count; p++)
        for (int v = 0; v < V; v++) {
            const Vec x = leaky(block.sum[p * V + v]) - center[v];
            if (out) store(out + p * CHANNELS + v * SX_LANES, x);
            totals.sum[v] = totals.sum[v] + x;
            totals.square[v] = totals.square[v] + x * x;
        }
}

// Calls block(x, sums) for each block of a row and finishes it.
template <class F>
inline void each_block(int64_t width, const float* center_of, void* out, Sums* sums, F fill) {
    Totals totals;
    Vec center[V];
    for (int v = 0; v < V; v++) center[v] = load(center_of + v * SX_LANES);
    float* to = out ? (float*)out + CHANNELS : nullptr;
    for (int64_t x = 0; x < width; x += PIXELS) {
        Block block;
        fill(x, block);
        const int count = (int)(width - x < PIXELS ? width - x : PIXELS);
        float* at = to ? to + x * CHANNELS : nullptr;
        if (count == PIXELS)
            finish(block, PIXELS, center, at, totals);
        else
            finish(block, count, center, at, totals);
        if (sums && (x + PIXELS) % RUN == 0) totals.flush(sums);
    }
    if (sums) totals.flush(sums);
}

void first(const float* const gray[3], const sx::First& layer, int64_t width, void* out, Sums* sums) {
    each_block(width, layer.center, out, sums, [&](int64_t x, Block& block) {
        block.start(layer.bias, EACH);
        for (int tap = 0; tap < 9; tap++) block.add_gray(gray[tap / 3] + x + tap % 3, layer.weight[tap], EACH);
    });
}

void middle(const void* const in[3], const sx::Middle& layer, int row_edge, int64_t width, void* out, Sums* sums) {
    const float(*bias)[CHANNELS] = layer.bias[row_edge];
    each_block(width, layer.center, out, sums, [&](int64_t x, Block& result) {
        Block block;
        block.start(bias[0], EACH);
        for (int row = 0; row < 3; row++) {
            const float *p = (const float*)in[row] + x * CHANNELS, *w = layer.weight[3 * row][0];
            for (int k = 0; k < 3 * CHANNELS; k++) block.add(p + k, w + k * CHANNELS, EACH);
        }
        result = block;
        const auto correct = [&](int64_t pixel) {
            if (pixel < x || pixel >= x + PIXELS) return;
            const float* own = bias[sx::edge(pixel, width)];
            for (int v = 0; v < V; v++) {
                Vec& sum = result.sum[(pixel - x) * V + v];
                sum = sum + (load(own + v * SX_LANES) - load(bias[0] + v * SX_LANES));
            }
        };
        correct(0);
        if (width > 1) correct(width - 1);
    });
}

// Sums of 16 channels of each pixel, in a fixed tree.
inline float across(const float* p) {
    float half[8];
    for (int i = 0; i < 8; i++) half[i] = p[i] + p[i + 8];
    for (int i = 0; i < 4; i++) half[i] += half[i + 4];
    return (half[0] + half[2]) + (half[1] + half[3]);
}

void last(const void* const fourth[3], const void* const first[3], const sx::Last& layer, int row_edge, int64_t width,
          float* context) {
    const float* bias = layer.bias[row_edge];
    constexpr int RUN_OF_PIXELS = 64;
    alignas(64) float lanes[CHANNELS], out[RUN_OF_PIXELS];
    for (int64_t start = 0; start < width; start += RUN_OF_PIXELS) {
        const int count = (int)(width - start < RUN_OF_PIXELS ? width - start : RUN_OF_PIXELS);
        for (int i = 0; i < count; i++) {
            Vec sum[V] = {};
            for (int tap = 0; tap < 9; tap++) {
                const int64_t at = (start + i + tap % 3) * CHANNELS;
                const float *p = (const float*)fourth[tap / 3] + at, *q = (const float*)first[tap / 3] + at;
                for (int v = 0; v < V; v++)
                    sum[v] = sum[v] + load(p + v * SX_LANES) * load(layer.weight[0][tap] + v * SX_LANES) +
                             load(q + v * SX_LANES) * load(layer.weight[1][tap] + v * SX_LANES);
            }
            for (int v = 0; v < V; v++) store(lanes + v * SX_LANES, sum[v]);
            out[i] = across(lanes) + bias[0];
        }
        if (start == 0) out[0] += bias[sx::edge(0, width)] - bias[0];
        if (start + count == width && width > 1) out[count - 1] += bias[2] - bias[0];
        for (int i = 0; i < count; i++) context[start + i] = 1.0f / (1.0f + exp2_f(out[i] * -1.44269504f));
    }
}

void nothing(sx::Middle&) {}
void nothing_last(sx::Last&) {}

}  // namespace

namespace sx {
extern const EncoderRows ENCODER;
const EncoderRows ENCODER = {4, false, nothing, nothing_last, first, middle, last};
}  // namespace sx
