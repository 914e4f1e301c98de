// Kernels that are compiled once for each instruction set, and the table through which the right one is called.
#pragma once
#include "view.h"

namespace sx {

// Pixels are worked on in blocks of floats that stay in the first-level cache.
constexpr int BLOCK = 1024;

// Density of a channel: -log2(max(x, lowest) * scale + offset), lifted to floor; x in [0, 1]. Base 2 saves the kernels
// a product; what is measured in natural logarithms outside is divided by ln 2.
struct Density {
    float lowest, floor;
    float scale[3], offset[3];
};

// Density back to light: gain * 2^-d + shift, in [0, 1].
struct Light {
    float gain[3], shift[3];
};

// d' = matrix d + bias.
struct DensityMap {
    Density from;
    Light to;
    float matrix[9], bias[3];
};

// Amounts of three stains, those below 0 lost, recombined: d' = recombine max(separate d, 0) + bias.
struct MixtureMap {
    Density from;
    Light to;
    float separate[9], recombine[9], bias[3];
};

// Amounts of two stains by the non-negative lasso, recombined: d' = recombine a.
struct StainMap {
    Density from;
    Light to;
    float stains[6];  // unit vectors (2, 3)
    float penalty, cosine, determinant;
    float recombine[6];  // (3, 2)
};

// Each channel of CIELAB times scale plus shift.
struct LabMap {
    float scale[3], shift[3];
    float xyz_from_rgb[9], rgb_from_xyz[9];  // white D65 folded in
};

struct HsvMap {
    float hue, saturation;  // turns; factor
    int32_t towards_full;   // S (1 + (1 - S) s) instead of S (1 + s)
};

// Each channel through a curve of its own: of 8 bits by a table of levels (3, 256), of floats between n nodes (3, n).
struct CurveMap {
    const uint8_t* levels;
    const float* nodes;
    int32_t n;
};

// Layers of 1x1 convolutions in whole numbers: widths (layers + 1), weights (out, in) of each, biases (out) of each.
struct Network {
    const int32_t* widths;
    const double *weights, *biases;
    int32_t layers;
};

struct Lut3D {
    const float* nodes;  // (n, n, n, 4), the fourth value unused
    int32_t n, tetrahedral;
    float low[3], inverse[3];  // position = (x - low) * inverse
};

struct Lut4D {
    const float* nodes;  // (context_nodes, n, n, n, 4)
    int32_t context_nodes, n;
    const float* context;  // of each pixel
};

// 8-bit gray and a context in [0, 1] to color: linear between the K columns of a table (256, K, 4).
struct GrayLut {
    const float* table;
    int32_t context_nodes;
    const uint8_t* gray;
    const float* context;
};

// 8-bit colors (3, n) with counts, their densities by a table (3, 256), and how dense they must be to count.
struct Colors {
    const uint8_t* levels;
    const int64_t* counts;
    int64_t n;
    const double* tables;
    double least;
};

// Amounts of two stains: by a matrix (2, 3), or by the non-negative lasso of unit stains (2, 3).
struct Separation {
    double rows[6];
    int32_t lasso;
    double penalty, determinant;
};

// Settings of stainxform/stains/factorization.py.
struct Factorization {
    double penalty, tolerance, collinear;
    int32_t steps;
};

struct Kernels {
    const char* name;
    int (*morton)(const SxView& image, int64_t block, uint32_t* codes);
    int64_t (*nonzero)(const uint8_t* counters, int n);
    int64_t (*collect)(uint8_t* counters, int n, uint32_t first, uint32_t* codes, uint32_t* numbers);
    void (*decode)(const uint32_t* codes, int64_t n, uint8_t* levels, int64_t stride);
    void (*density)(const SxView&, const SxView&, const DensityMap&, int64_t first, int64_t last);
    void (*mixture)(const SxView&, const SxView&, const MixtureMap&, int64_t first, int64_t last);
    void (*stains)(const SxView&, const SxView&, const StainMap&, int64_t first, int64_t last);
    void (*lab)(const SxView&, const SxView&, const LabMap&, int64_t first, int64_t last);
    void (*hsv)(const SxView&, const SxView&, const HsvMap&, int64_t first, int64_t last);
    void (*curves)(const SxView&, const SxView&, const CurveMap&, int64_t first, int64_t last);
    void (*network)(const double* colors, int64_t n, int64_t first, int64_t last, const Network&, double* out);
    void (*lut3d)(const SxView&, const SxView&, const Lut3D&, int64_t first, int64_t last);
    void (*lut4d)(const SxView&, const SxView&, const Lut4D&, int64_t first, int64_t last);
    void (*gray_lut)(const SxView&, const GrayLut&, int64_t first, int64_t last);
    void (*lab_of_levels)(const uint8_t* levels, int64_t n, const double* linear, const double* xyz_from_rgb, double* out);
    void (*level_moments)(const Colors&, const double* about, double* out);
    void (*level_angles)(const Colors&, const double* plane, double* order, int64_t* weights);
    void (*level_amounts)(const Colors&, const Separation&, double* out);
    int64_t (*between)(const double* values, const int64_t* counts, int64_t n, double low, double high, int64_t* places,
                       int64_t sums[2]);
    void (*moments)(const double* planes, const int64_t* counts, int64_t n, const double* about, double* out);
    void (*lasso_moments)(const double* od, const double* weights, int64_t n, const double* stains, double penalty,
                          double determinant, double* out);
    void (*lasso)(const double* od, int64_t n, const double* stains, double penalty, double determinant, double* out);
    bool (*to_levels)(const SxView&, const SxView&, float tolerance, int64_t first, int64_t last);
    void (*gray)(const SxView&, const float weights[3], uint8_t* out, int64_t first, int64_t last);
};

// The table in use.
const Kernels& current();

// Blocks of at most BLOCK pixels in which an image is worked on; kernels take a range of them.
int64_t blocks_of(const SxView& image);

SxView joined(SxView view);

extern const Kernels BASELINE, AVX2, AVX512;
}  // namespace sx
