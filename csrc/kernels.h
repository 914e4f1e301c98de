// Kernels that are compiled once for each instruction set, and the table through which the right one is called.
#pragma once
#include "view.h"

namespace sx {

// Pixels are worked on in blocks of floats that stay in the first-level cache.
constexpr int BLOCK = 256;

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

// How much of a tissue's color there is in a color: 0 for glass, 1 for tissue, and in between a polynomial of the smallest
// channel x in [0, 1], coefficients[0] + coefficients[1] (x - center) + ... All but the ``light`` uppermost of the 256
// levels are tissue.
struct Tissue {
    float center, coefficients[5];
    int32_t light;
};

// v' = v + tissue (matrix v + bias), v light in [0, 1].
struct TissueLightMap {
    Tissue tissue;
    float matrix[9], bias[3];
};

// The same of densities. Of 8 bits, the levels of a color are a product of one factor for each of its channels, less a
// shift: ``factors`` (3, 256 + light^2, 4), or null. The column is the channel's level, plus ``light`` for each of the
// light levels that the smallest channel has reached; its place, in bytes, is a number of 16 bits.
struct TissueDensityMap {
    Density from;
    Light to;
    Tissue tissue;
    float matrix[9], bias[3];
    const float* factors;
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

// 8-bit colors (3, n) with counts, their densities by a table (3, 256).
struct Colors {
    const uint8_t* levels;
    const int64_t* counts;
    int64_t n;
    const double* tables;
    double lowest;  // density that counts
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

// Color maps: X(name, structure). Each is a kernel for blocks of pixels, from first to last,
//     void name(const View& src, const View& dst, const Structure&, int64_t first, int64_t last)
// and an entry point sx_name(src, dst, structure, threads).
#define SX_MAPS(X)                          \
    X(density_map, DensityMap)              \
    X(mixture_map, MixtureMap)              \
    X(stain_map, StainMap)                  \
    X(tissue_light_map, TissueLightMap)     \
    X(tissue_density_map, TissueDensityMap) \
    X(lab_map, LabMap)                      \
    X(hsv_map, HsvMap)                      \
    X(curves, CurveMap)                     \
    X(lut3d, Lut3D)                         \
    X(lut4d, Lut4D)

// The other kernels: X(name, result, parameters).
#define SX_KERNELS(X)                                                                                                      \
    X(gray_lut, void, (const View&, const GrayLut&, int64_t first, int64_t last))                                          \
    X(gray, void, (const View&, const float weights[3], uint8_t* out, int64_t first, int64_t last))                        \
    X(to_levels, bool, (const View&, const View&, float tolerance, int64_t first, int64_t last))                           \
    X(network, void, (const double* colors, int64_t n, int64_t first, int64_t last, const Network&, double* out))          \
    X(morton, int, (const View& image, int64_t block, uint32_t* codes))                                                    \
    X(nonzero, int64_t, (const uint8_t* counters, int n))                                                                  \
    X(collect, int64_t, (uint8_t* counters, int n, uint32_t first, uint32_t* codes, uint32_t* numbers))                    \
    X(decode, void, (const uint32_t* codes, int64_t n, uint8_t* levels, int64_t stride))                                   \
    X(lab_of_levels, void,                                                                                                 \
      (const uint8_t* levels, int64_t n, const double* linear, const double* xyz_from_rgb, double* out))                   \
    X(level_moments, void, (const Colors&, const double* about, double* out))                                              \
    X(level_angles, void, (const Colors&, const double* plane, double* order, int64_t* weights))                           \
    X(level_amounts, void, (const Colors&, const Separation&, double* out))                                                \
    X(between, int64_t,                                                                                                    \
      (const double* values, const int64_t* counts, int64_t n, double low, double high, int64_t* found, int64_t sums[2]))  \
    X(moments, void, (const double* planes, const int64_t* counts, int64_t n, const double* about, double* out))           \
    X(lasso_moments, void,                                                                                                 \
      (const double* od, const double* weights, int64_t n, const double* stains, double penalty, double determinant,       \
       double* out))                                                                                                       \
    X(lasso, void, (const double* od, int64_t n, const double* stains, double penalty, double determinant, double* out))

// What there is of them for one instruction set.
struct Kernels {
#define SX_MAP(name, Structure) void (*name)(const View&, const View&, const Structure&, int64_t first, int64_t last);
#define SX_KERNEL(name, result, parameters) result(*name) parameters;
    SX_MAPS(SX_MAP)
    SX_KERNELS(SX_KERNEL)
#undef SX_MAP
#undef SX_KERNEL
};

// The table in use.
const Kernels& current();

// Blocks of at most BLOCK pixels in which an image is worked on; kernels take a range of them.
int64_t blocks_of(const View& image);

View joined(View view);

extern const Kernels BASELINE, AVX2, AVX512;
}  // namespace sx
