// Entry points: the choice of an instruction set, and the split of an image over threads.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <cstring>

#if defined(SX_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "api.h"
#include "threads.h"

namespace {

// An instruction set, and what there is for it.
struct Level {
    const char* name;
    bool (*present)();
    const sx::Kernels* kernels;
    const sx::EncoderRows *exact, *fast;
};

bool has_baseline() { return true; }

#if defined(SX_X86)
bool has_avx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx512() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

#if defined(SX_AMX)
// Linux grants tiles to processes that ask for them.
bool has_amx() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 24 & 1) || !(d >> 22 & 1)) return false;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return false;  // AVX512_BF16
    constexpr int REQUEST = 0x1023, TILE_DATA = 18;
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#endif

const Level ALL[] = {
#if defined(SX_AMX)
    {"amx", has_amx, &sx::AVX512, &sx::ENCODER_AVX512, &sx::ENCODER_AMX},
#endif
#if defined(SX_X86)
    {"avx512", has_avx512, &sx::AVX512, &sx::ENCODER_AVX512, &sx::ENCODER_AVX512},
    {"avx2", has_avx2, &sx::AVX2, &sx::ENCODER_AVX2, &sx::ENCODER_AVX2},
#endif
    {"baseline", has_baseline, &sx::BASELINE, &sx::ENCODER_BASELINE, &sx::ENCODER_BASELINE},
};

const Level* best() {
    for (const Level& level : ALL)
        if (level.present()) return &level;
    return nullptr;  // never: the last one is always there
}

const Level* level = best();
const sx::Kernels* selected = level->kernels;

template <class F>
int32_t run(const SxView& src, const SxView& dst, int32_t threads, F kernel) {
    SxView from = sx::joined(src), to = sx::joined(dst);
    if (from.rows != to.rows) from = src, to = dst;
    sx::split(sx::blocks_of(from), threads, [&](int, int64_t first, int64_t last) { kernel(from, to, first, last); });
    return 0;
}

}  // namespace

namespace sx {
const Kernels& current() { return *selected; }

int64_t blocks_of(const SxView& image) { return image.rows * ((image.columns + BLOCK - 1) / BLOCK); }

// Rows that follow each other without a gap are one long row: blocks then are full.
SxView joined(SxView view) {
    if (view.row_stride == view.columns * view.column_stride) {
        view.columns *= view.rows;
        view.rows = 1;
    }
    return view;
}

const EncoderRows* encoder_rows(bool fast) { return fast ? level->fast : level->exact; }
}  // namespace sx

int32_t sx_select(const char* name) {
    for (const Level& other : ALL)
        if (!std::strcmp(other.name, name) && other.present()) {
            level = &other;
            selected = level->kernels;
            return 1;
        }
    return 0;
}

const char* sx_selected() { return level->name; }

#define SX_MAP(entry, type, kernel)                                                                              \
    int32_t entry(const SxView* src, const SxView* dst, const sx::type* map, int32_t threads) {                  \
        return run(*src, *dst, threads, [=](const SxView& from, const SxView& to, int64_t first, int64_t last) { \
            selected->kernel(from, to, *map, first, last);                                                       \
        });                                                                                                      \
    }

SX_MAP(sx_density_map, DensityMap, density)
SX_MAP(sx_mixture_map, MixtureMap, mixture)
SX_MAP(sx_stain_map, StainMap, stains)
SX_MAP(sx_lab_map, LabMap, lab)
SX_MAP(sx_hsv_map, HsvMap, hsv)
SX_MAP(sx_curves, CurveMap, curves)
SX_MAP(sx_lut3d, Lut3D, lut3d)
SX_MAP(sx_lut4d, Lut4D, lut4d)

void sx_network(const double* colors, int64_t n, const sx::Network* net, double* out, int32_t threads) {
    sx::split(n, threads, [=](int, int64_t first, int64_t last) { selected->network(colors, n, first, last, *net, out); });
}

int32_t sx_gray_lut(const SxView* dst, const sx::GrayLut* lut, int32_t threads) {
    return run(*dst, *dst, threads, [=](const SxView&, const SxView& to, int64_t first, int64_t last) {
        selected->gray_lut(to, *lut, first, last);
    });
}

int32_t sx_to_levels(const SxView* src, const SxView* dst, float tolerance) {
    bool on_grid = false;
    run(*src, *dst, 1, [&](const SxView& from, const SxView& to, int64_t first, int64_t last) {
        on_grid = selected->to_levels(from, to, tolerance, first, last);
    });
    return on_grid;
}

int32_t sx_gray(const SxView* src, const float* weights, uint8_t* out, int32_t threads) {
    return run(*src, *src, threads, [=](const SxView& from, const SxView&, int64_t first, int64_t last) {
        selected->gray(from, weights, out, first, last);
    });
}

void sx_lab_of_levels(const uint8_t* levels, int64_t n, const double* linear, const double* xyz_from_rgb, double* out) {
    selected->lab_of_levels(levels, n, linear, xyz_from_rgb, out);
}

void sx_moments(const double* planes, const int64_t* counts, int64_t n, const double* about, double* out) {
    selected->moments(planes, counts, n, about, out);
}

void sx_lasso(const double* od, int64_t n, const double* stains, double penalty, double determinant, double* out) {
    selected->lasso(od, n, stains, penalty, determinant, out);
}

// An extension module in name only, so that every build tool knows how to compile, ship and find it.
static PyModuleDef module_definition = {PyModuleDef_HEAD_INIT, "_kernels", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__kernels() { return PyModule_Create(&module_definition); }
