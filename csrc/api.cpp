// Entry points: the choice of an instruction set, and the split of an image over threads.
#include <cstring>

#if defined(SX_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "api.h"
#include "encoder.h"
#include "kernels.h"
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

thread_local char last_message[256] = "";

// Calls kernel(src, dst, first, last) for the blocks of an image, split over threads.
template <class F>
void over_blocks(const sx::View& src, const sx::View& dst, int32_t threads, const F& kernel) {
    sx::View from = sx::joined(src), to = sx::joined(dst);
    if (from.rows != to.rows) from = src, to = dst;
    sx::split(sx::blocks_of(from), threads, [&](int, int64_t first, int64_t last) { kernel(from, to, first, last); });
}

struct Size {
    const char* structure;
    int64_t bytes;
};

// Of the structures that Python fills in: it compares them with its own.
const Size SIZES[] = {
#define SX_SIZE(name, Structure) {#Structure, sizeof(sx::Structure)},
    SX_MAPS(SX_SIZE)
#undef SX_SIZE
#define SX_SIZE(Structure) {#Structure, sizeof(sx::Structure)}
    SX_SIZE(View), SX_SIZE(Density), SX_SIZE(Light), SX_SIZE(Tissue), SX_SIZE(GrayLut), SX_SIZE(Network), SX_SIZE(Colors),
    SX_SIZE(Separation), SX_SIZE(Factorization), SX_SIZE(EncoderWeights), {nullptr, 0},
#undef SX_SIZE
};

}  // namespace

namespace sx {
const Kernels& current() { return *selected; }

int64_t blocks_of(const View& image) { return image.rows * ((image.columns + BLOCK - 1) / BLOCK); }

// Rows that follow each other without a gap are one long row: blocks then are full.
View joined(View view) {
    if (view.row_stride == view.columns * view.column_stride) {
        view.columns *= view.rows;
        view.rows = 1;
    }
    return view;
}

const EncoderRows* encoder_rows(bool fast) { return fast ? level->fast : level->exact; }

void keep_message(const char* message) noexcept {
    std::strncpy(last_message, message, sizeof last_message - 1);  // the end stays zero
}
}  // namespace sx

SX_API int32_t sx_select(const char* name) {
    for (const Level& other : ALL)
        if (!std::strcmp(other.name, name) && other.present()) {
            level = &other;
            selected = level->kernels;
            return 1;
        }
    return 0;
}

SX_API const char* sx_selected() { return level->name; }

SX_API const char* sx_message() { return last_message; }

SX_API const Size* sx_sizes() { return SIZES; }

#define SX_MAP(name, Structure)                                                                                      \
    SX_API int64_t sx_##name(const sx::View* src, const sx::View* dst, const sx::Structure* map, int32_t threads) {  \
        return sx::guarded([&] {                                                                                     \
            over_blocks(*src, *dst, threads, [=](const sx::View& from, const sx::View& to, int64_t first, int64_t last) { \
                selected->name(from, to, *map, first, last);                                                         \
            });                                                                                                      \
        });                                                                                                          \
    }
SX_MAPS(SX_MAP)
#undef SX_MAP

SX_API int64_t sx_network(const double* colors, int64_t n, const sx::Network* net, double* out, int32_t threads) {
    return sx::guarded([&] {
        sx::split(n, threads, [=](int, int64_t first, int64_t last) {
            selected->network(colors, n, first, last, *net, out);
        });
    });
}

SX_API int64_t sx_gray_lut(const sx::View* dst, const sx::GrayLut* lut, int32_t threads) {
    return sx::guarded([&] {
        over_blocks(*dst, *dst, threads, [=](const sx::View&, const sx::View& to, int64_t first, int64_t last) {
            selected->gray_lut(to, *lut, first, last);
        });
    });
}

// 1 if all values were on the 8-bit grid, else 0.
SX_API int64_t sx_to_levels(const sx::View* src, const sx::View* dst, float tolerance) {
    return sx::guarded([&] {
        bool on_grid = false;
        over_blocks(*src, *dst, 1, [&](const sx::View& from, const sx::View& to, int64_t first, int64_t last) {
            on_grid = selected->to_levels(from, to, tolerance, first, last);
        });
        return on_grid;
    });
}

SX_API int64_t sx_gray(const sx::View* src, const float* weights, uint8_t* out, int32_t threads) {
    return sx::guarded([&] {
        over_blocks(*src, *src, threads, [=](const sx::View& from, const sx::View&, int64_t first, int64_t last) {
            selected->gray(from, weights, out, first, last);
        });
    });
}

SX_API int64_t sx_lab_of_levels(const uint8_t* levels, int64_t n, const double* linear, const double* xyz_from_rgb,
                                double* out) {
    return sx::guarded([&] { selected->lab_of_levels(levels, n, linear, xyz_from_rgb, out); });
}

SX_API int64_t sx_moments(const double* planes, const int64_t* counts, int64_t n, const double* about, double* out) {
    return sx::guarded([&] { selected->moments(planes, counts, n, about, out); });
}

SX_API int64_t sx_lasso(const double* od, int64_t n, const double* stains, double penalty, double determinant,
                        double* out) {
    return sx::guarded([&] { selected->lasso(od, n, stains, penalty, determinant, out); });
}
