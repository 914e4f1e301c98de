// What Python calls, through ctypes: plain C, so that one build serves every Python and every torch.
#pragma once
#include "encoder.h"
#include "kernels.h"

#if defined(_WIN32)
#define SX_API extern "C" __declspec(dllexport)
#else
#define SX_API extern "C" __attribute__((visibility("default")))
#endif

enum { SX_NO_MEMORY = -1 };

SX_API int32_t sx_select(const char* name);
SX_API const char* sx_selected();

SX_API int32_t sx_density_map(const SxView* src, const SxView* dst, const sx::DensityMap* map, int32_t threads);
SX_API int32_t sx_mixture_map(const SxView* src, const SxView* dst, const sx::MixtureMap* map, int32_t threads);
SX_API int32_t sx_stain_map(const SxView* src, const SxView* dst, const sx::StainMap* map, int32_t threads);
SX_API int32_t sx_lab_map(const SxView* src, const SxView* dst, const sx::LabMap* map, int32_t threads);
SX_API int32_t sx_hsv_map(const SxView* src, const SxView* dst, const sx::HsvMap* map, int32_t threads);
SX_API int32_t sx_curves(const SxView* src, const SxView* dst, const sx::CurveMap* map, int32_t threads);
SX_API void sx_network(const double* colors, int64_t n, const sx::Network* net, double* out, int32_t threads);
SX_API int32_t sx_lut3d(const SxView* src, const SxView* dst, const sx::Lut3D* lut, int32_t threads);
SX_API int32_t sx_lut4d(const SxView* src, const SxView* dst, const sx::Lut4D* lut, int32_t threads);
SX_API int32_t sx_gray_lut(const SxView* dst, const sx::GrayLut* lut, int32_t threads);
SX_API int32_t sx_gray(const SxView* src, const float* weights, uint8_t* out, int32_t threads);

// The context of 8-bit grays; fast: in bfloat16 where the instruction set in use has it.
SX_API int32_t sx_encode(const uint8_t* gray, int64_t rows, int64_t columns, const SxEncoder* net, int32_t fast,
                         float* context, int32_t threads);

SX_API int64_t sx_histogram_count(const SxView* image, int32_t threads);
SX_API void sx_histogram_take(uint8_t* levels, int64_t* counts, int64_t k);
SX_API int32_t sx_recolor(const SxView* src, const SxView* dst, const uint8_t* levels, int64_t k, const void* colors,
                          int32_t threads);

SX_API void sx_percentiles(const double* values, const int64_t* counts, int64_t n, const double* percents, int32_t m,
                           double* out);
SX_API void sx_level_moments(const sx::Colors* colors, const double* about, double* out);
SX_API void sx_level_angle_percentiles(const sx::Colors* colors, const double* plane, const double* percents,
                                       int32_t m, double* out);
SX_API void sx_level_amount_percentiles(const sx::Colors* colors, const sx::Separation* by, double percent, double* out);
SX_API void sx_lab_of_levels(const uint8_t* levels, int64_t n, const double* linear, const double* xyz_from_rgb,
                             double* out);
SX_API void sx_moments(const double* planes, const int64_t* counts, int64_t n, const double* about, double* out);
// Atoms (2, 3) at the minimum next to those given, and the mean amount of each (2).
SX_API void sx_factorize(const double* od, const double* weights, int64_t n, const sx::Factorization* how, double* atoms,
                         double* mean);
SX_API void sx_lasso(const double* od, int64_t n, const double* stains, double penalty, double determinant, double* out);
SX_API void sx_channel_counts(const uint8_t* levels, const int64_t* counts, int64_t n, int64_t* out);
SX_API int64_t sx_count_between(const uint8_t* levels, const int64_t* counts, int64_t n, int32_t least_bound,
                                int32_t most_bound);
SX_API int64_t sx_sum(const SxView* image, int32_t threads);
SX_API void sx_look_up(const uint8_t* levels, int64_t n, const double* tables, double* out);
SX_API void sx_project(const double* planes, int64_t n, const double* matrix, int32_t m, double* out);
SX_API int32_t sx_to_levels(const SxView* src, const SxView* dst, float tolerance);

// Means of 2 x 2 pixels of RGB (rows, columns, 3), rows row_stride bytes apart, to ((rows + 1) / 2, (columns + 1) / 2, 3).
SX_API int32_t sx_halve(const uint8_t* src, int64_t rows, int64_t columns, int64_t row_stride, uint8_t* out);
