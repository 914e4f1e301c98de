// StainLUT's Encoder, gray to context, row by row. The normalization of a layer's input is folded into its weights:
// with y = a (x - mean) + shift inside the image and y = 0 outside, a convolution of y is one of x with weights times
// a, and a bias that depends on which taps lie inside.
#pragma once
#include <cstdint>

namespace sx {

// Weights as trained; all arrays float32.
struct EncoderWeights {
    const float* first;   // (9, 16): the three input channels summed
    const float* middle;  // (3, 9, 16, 16): layer, tap, in, out
    const float* last;    // (9, 16)
    const float* biases;  // (4, 16): first, middle
    const float *gain, *shift;      // (4, 16), of the normalizations
    const float *mean, *variance;   // (4, 16), or null for those of the image at hand
    float last_bias, epsilon;
};

constexpr int CHANNELS = 16;
constexpr int SLACK = 64;  // pixels that a kernel may read, but not use, beyond the end of a row

// Which neighbors are missing: 1 the one before, 2 the one after.
static inline int edge(int64_t at, int64_t size) { return (at == 0 ? 1 : 0) | (at == size - 1 ? 2 : 0); }

// Activations are stored as LeakyReLU minus a constant near its mean, so that rounding them costs little where they
// vary little; zeros outside the image are true zeros of what the folded weights expect.
struct First {
    alignas(64) float weight[9][CHANNELS];
    alignas(64) float bias[CHANNELS];
    alignas(64) float center[CHANNELS];
};

struct Middle {
    alignas(64) float weight[9][CHANNELS][CHANNELS];      // tap, in, out
    alignas(64) float bias[4][4][CHANNELS];               // by the edges of row and column
    alignas(64) float center[CHANNELS];
    alignas(64) unsigned char packed[9 * CHANNELS * CHANNELS * 2];  // the weights as a kernel wants them
};

struct Last {
    alignas(64) float weight[2][9][CHANNELS];  // of the fourth and of the first layer
    alignas(64) float bias[4][4];
    alignas(64) unsigned char packed[2 * 9 * CHANNELS * 2];
};

struct Sums {
    alignas(64) double sum[CHANNELS], square[CHANNELS];
};

// One row of each layer. Rows start with one zero pixel and end with one, followed by SLACK pixels of anything.
struct EncoderRows {
    int bytes;     // of an activation
    bool rounded;  // weights and activations are bfloat16
    void (*pack)(Middle&);
    void (*pack_last)(Last&);
    void (*first)(const float* const gray[3], const First&, int64_t width, void* out, Sums*);  // out may be null
    void (*middle)(const void* const in[3], const Middle&, int row_edge, int64_t width, void* out, Sums*);
    void (*last)(const void* const fourth[3], const void* const first[3], const Last&, int row_edge, int64_t width,
                 float* context);
};

extern const EncoderRows ENCODER_BASELINE, ENCODER_AVX2, ENCODER_AVX512, ENCODER_AMX;

const EncoderRows* encoder_rows(bool fast);  // of the instruction set in use

}  // namespace sx
