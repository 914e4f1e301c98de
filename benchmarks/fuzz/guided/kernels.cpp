// Every entry point of csrc/, called as stainxform/_native calls it, on what libFuzzer makes up. Arrays are as large as they
// must be and not a byte larger, so that AddressSanitizer sees each access beyond them. Held to: no such access, no undefined
// behavior, images in the range, and results that no number of threads and no layout in memory changes.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "api.h"
#include "encoder.h"
#include "kernels.h"

#define MAPS_DECLARE(name, Structure) \
    SX_API int64_t sx_##name(const sx::View*, const sx::View*, const sx::Structure*, int32_t);
SX_MAPS(MAPS_DECLARE)
#undef MAPS_DECLARE
SX_API int32_t sx_select(const char*);
SX_API int64_t sx_gray_lut(const sx::View*, const sx::GrayLut*, int32_t);
SX_API int64_t sx_gray(const sx::View*, const float*, uint8_t*, int32_t);
SX_API int64_t sx_to_levels(const sx::View*, const sx::View*, float);
SX_API int64_t sx_recolor(const sx::View*, const sx::View*, const uint8_t*, int64_t, const void*, int32_t);
SX_API int64_t sx_encode(const uint8_t*, int64_t, int64_t, const sx::EncoderWeights*, int32_t, float*, int32_t);
SX_API int64_t sx_halve(const uint8_t*, int64_t, int64_t, int64_t, uint8_t*);
SX_API int64_t sx_sum(const sx::View*, int32_t);
SX_API int64_t sx_histogram_count(const sx::View*, int32_t);
SX_API int64_t sx_histogram_take(uint8_t*, int64_t*, int64_t);
SX_API int64_t sx_channel_counts(const uint8_t*, const int64_t*, int64_t, int64_t*);
SX_API int64_t sx_count_between(const uint8_t*, const int64_t*, int64_t, int32_t, int32_t);
SX_API int64_t sx_look_up(const uint8_t*, int64_t, const double*, double*);
SX_API int64_t sx_lab_of_levels(const uint8_t*, int64_t, const double*, const double*, double*);
SX_API int64_t sx_network(const double*, int64_t, const sx::Network*, double*, int32_t);
SX_API int64_t sx_project(const double*, int64_t, const double*, int32_t, double*);
SX_API int64_t sx_percentiles(const double*, const int64_t*, int64_t, const double*, int32_t, double*);
SX_API int64_t sx_moments(const double*, const int64_t*, int64_t, const double*, double*);
SX_API int64_t sx_lasso(const double*, int64_t, const double*, double, double, double*);
SX_API int64_t sx_factorize(const double*, const double*, int64_t, const sx::Factorization*, double*, double*);
SX_API int64_t sx_level_moments(const sx::Colors*, const double*, double*);
SX_API int64_t sx_level_angle_percentiles(const sx::Colors*, const double*, const double*, int32_t, double*);
SX_API int64_t sx_level_amount_percentiles(const sx::Colors*, const sx::Separation*, double, double*);

namespace {

void fault(const char* what) {
    std::fprintf(stderr, "FAULT: %s\n", what);
    std::abort();
}

// The input, taken from its front; zeros when it is used up.
class Input {
  public:
    Input(const uint8_t* data, size_t size) : at_(data), left_(size) {}
    uint8_t byte() { return left_ ? (left_--, *at_++) : 0; }
    int below(int n) { return byte() % n; }
    bool coin() { return byte() & 1; }
    int several() { return below(16) ? 1 : 2 + below(3); }  // threads: to start one takes longer than all the rest
    // A number between two: plain ones mostly, and the ends.
    double number(double low, double high) {
        const int kind = below(8);
        if (kind == 0) return low;
        if (kind == 1) return high;
        return low + (high - low) * (byte() * 256 + byte()) / 65535.0;
    }
    // Numbers that a hostile model file may hold: large ones, tiny ones; finite, as loading asks for.
    double hostile() {
        static const double ODD[] = {0, -0.0, 1e-300, -1e-300, 1e30, -1e30, 3e38, -3e38, 1e-38, 1, -1, 255, 1e6, -1e6, 0.5, 2};
        return coin() ? ODD[below(16)] : number(-4, 4);
    }
    size_t left() const { return left_; }

  private:
    const uint8_t* at_;
    size_t left_;
};

// Memory of exactly this size.
template <class T>
std::unique_ptr<T[]> exactly(int64_t n) {
    return std::unique_ptr<T[]>(new T[n > 0 ? n : 0]());
}

// An image in some layout, with nothing around it.
struct Picture {
    sx::View view{};
    std::unique_ptr<char[]> memory;
    int64_t bytes = 0;

    // Layouts: channels last, channels first, columns first, backwards, channels last with a gap after each row.
    Picture(int64_t rows, int64_t columns, int type, int layout, float low, float scale, bool clip) {
        const int64_t item = type == SX_UINT8 ? 1 : 4;
        view = {nullptr, rows, columns, 0, 0, 0, type, low, scale, clip};
        const int64_t gap = layout == 4 ? 5 * item : 0;
        switch (layout) {
            case 1: view.column_stride = item, view.row_stride = columns * item, view.channel_stride = rows * columns * item; break;
            case 2: view.row_stride = item, view.column_stride = rows * item, view.channel_stride = rows * columns * item; break;
            default: view.channel_stride = item, view.column_stride = 3 * item, view.row_stride = 3 * columns * item + gap;
        }
        bytes = rows && columns ? (rows - 1) * std::llabs(view.row_stride) + (columns - 1) * view.column_stride + 2 * view.channel_stride + item : 0;
        memory = exactly<char>(bytes);
        view.data = memory.get();
        if (layout == 3 && rows && columns) {
            view.data = memory.get() + bytes - item;
            view.row_stride *= -1, view.column_stride *= -1, view.channel_stride *= -1;
        }
    }
    char* at(int64_t y, int64_t x, int c) const {
        return (char*)view.data + y * view.row_stride + x * view.column_stride + c * view.channel_stride;
    }
    float value(int64_t y, int64_t x, int c) const {
        float v;
        if (view.type == SX_UINT8) return (float)*(uint8_t*)at(y, x, c);
        std::memcpy(&v, at(y, x, c), 4);
        return v;
    }
    void fill(Input& in) {
        const int few = in.below(4);  // few colors, or many
        for (int64_t y = 0; y < view.rows; y++)
            for (int64_t x = 0; x < view.columns; x++)
                for (int c = 0; c < 3; c++) {
                    const uint8_t level = few ? (uint8_t)(in.byte() / (1 << few) * (1 << few)) : in.byte();
                    if (view.type == SX_UINT8) {
                        *(uint8_t*)at(y, x, c) = level;
                    } else {
                        float v = view.low + view.scale * (float)level / 255.0f;
                        if (few == 3 && level > 240) v = view.low - view.scale * 0.25f;
                        std::memcpy(at(y, x, c), &v, 4);
                    }
                }
    }
    void same_as(const Picture& other) {
        for (int64_t y = 0; y < view.rows; y++)
            for (int64_t x = 0; x < view.columns; x++)
                for (int c = 0; c < 3; c++) std::memcpy(at(y, x, c), other.at(y, x, c), view.type == SX_UINT8 ? 1 : 4);
    }
};

void check_range(const Picture& image, const char* name) {
    if (image.view.type == SX_UINT8 || !image.view.clip) return;
    const float low = image.view.low, high = low + image.view.scale, slack = 1e-5f * (std::fabs(low) + std::fabs(high));
    for (int64_t y = 0; y < image.view.rows; y++)
        for (int64_t x = 0; x < image.view.columns; x++)
            for (int c = 0; c < 3; c++) {
                const float v = image.value(y, x, c);
                if (!(v >= low - slack && v <= high + slack)) fault((std::string(name) + ": a value outside the range, or NaN").c_str());
            }
}

void check_same(const Picture& one, const Picture& other, const char* name, float tolerance) {
    for (int64_t y = 0; y < one.view.rows; y++)
        for (int64_t x = 0; x < one.view.columns; x++)
            for (int c = 0; c < 3; c++) {
                const float a = one.value(y, x, c), b = other.value(y, x, c);
                if (!(std::fabs(a - b) <= tolerance) && !(std::isnan(a) && std::isnan(b)))
                    fault((std::string(name) + ": depends on layout or threads").c_str());
            }
}

void numbers(Input& in, float* out, int n, double low, double high, bool hostile) {
    for (int i = 0; i < n; i++) out[i] = (float)(hostile ? in.hostile() : in.number(low, high));
}

sx::Density density(Input& in) {
    sx::Density d{};
    const int kind = in.below(3);
    const float offset = kind == 0 ? 1.0f / 255 : kind == 1 ? 0.0f : 1e-6f;
    for (int c = 0; c < 3; c++) d.scale[c] = (float)in.number(0.5, 2), d.offset[c] = offset;
    d.lowest = offset > 0 ? 0.0f : 1e-30f;
    d.floor = in.coin() ? -1e30f : 0.0f;
    return d;
}

sx::Light light(Input& in) {
    sx::Light l{};
    for (int c = 0; c < 3; c++) l.gain[c] = (float)in.number(0.5, 1.2), l.shift[c] = in.coin() ? 0.0f : -1.0f / 255;
    return l;
}

// Calls a map on an image in one layout, and again in another and on several threads.
template <class Structure, class F>
void on_picture(Input& in, const char* name, const F& function, const Structure& map, bool clip_always, bool hostile) {
    const int64_t rows = in.below(6), columns = in.coin() ? in.below(70) : in.below(256) + 200;
    const int type = in.coin() ? SX_UINT8 : SX_FLOAT32;
    const float low = in.coin() ? 0.0f : -1.0f, scale = type == SX_UINT8 ? 255.0f : (in.coin() ? 1.0f : 255.0f);
    const bool clip = clip_always || in.coin();
    const int layouts[4] = {in.below(5), in.below(5), in.below(5), in.below(5)};
    Picture src(rows, columns, type, layouts[0], type == SX_UINT8 ? 0 : low, scale, true);
    src.fill(in);
    Picture again(rows, columns, type, layouts[2], src.view.low, scale, true);
    again.same_as(src);
    Picture dst(rows, columns, type, layouts[1], src.view.low, scale, clip), other(rows, columns, type, layouts[3], src.view.low, scale, clip);
    if (function(&src.view, &dst.view, &map, 1)) fault(name);
    if (function(&again.view, &other.view, &map, in.several())) fault(name);
    if (hostile) return;  // overflow to infinity and NaN is theirs to have: Python has checked the map
    check_range(dst, name);
    check_same(dst, other, name, 0.0f);
}

void maps(Input& in, int which) {
    const bool hostile = in.below(4) == 0;
    switch (which) {
        case 0: {
            sx::DensityMap m{density(in), light(in), {}, {}};
            numbers(in, m.matrix, 9, -2, 2, hostile), numbers(in, m.bias, 3, -1, 1, hostile);
            return on_picture(in, "density_map", sx_density_map, m, true, hostile);
        }
        case 1: {
            sx::MixtureMap m{density(in), light(in), {}, {}, {}};
            numbers(in, m.separate, 9, -2, 2, hostile), numbers(in, m.recombine, 9, -2, 2, hostile), numbers(in, m.bias, 3, -1, 1, hostile);
            return on_picture(in, "mixture_map", sx_mixture_map, m, true, hostile);
        }
        case 2: {
            sx::StainMap m{density(in), light(in), {}, 0, 0, 0, {}};
            numbers(in, m.stains, 6, 0, 1, hostile), numbers(in, m.recombine, 6, 0, 1.5, hostile);
            m.penalty = (float)in.number(0, 0.5), m.cosine = (float)in.number(0, 0.99);
            m.determinant = 1 / (1 - m.cosine * m.cosine);
            return on_picture(in, "stain_map", sx_stain_map, m, true, hostile);
        }
        case 3: case 4: {
            sx::Tissue t{};
            t.center = (float)in.number(0.8, 0.95), t.light = in.below(16) ? in.below(9) + 1 : in.below(60) + 1;
            numbers(in, t.coefficients, 5, -5, 5, hostile);
            if (which == 3) {
                sx::TissueLightMap m{t, {}, {}};
                numbers(in, m.matrix, 9, -1, 1, hostile), numbers(in, m.bias, 3, -1, 1, hostile);
                return on_picture(in, "tissue_light_map", sx_tissue_light_map, m, true, hostile);
            }
            const int columns = 256 + t.light * t.light;
            auto factors = exactly<float>(3 * columns * 4);
            for (int i = 0; i < 12 * columns; i++) factors[i] = (float)((i * 37) % 101) / 20.0f;
            sx::TissueDensityMap m{density(in), light(in), t, {}, {}, in.coin() ? factors.get() : nullptr};
            numbers(in, m.matrix, 9, -1, 1, hostile), numbers(in, m.bias, 3, -1, 1, hostile);
            return on_picture(in, "tissue_density_map", sx_tissue_density_map, m, true, hostile);
        }
        case 5: {
            sx::LabMap m{};
            numbers(in, m.scale, 3, 0, 3, hostile), numbers(in, m.shift, 3, -50, 50, hostile);
            static const float TO[] = {0.4339f, 0.3762f, 0.1899f, 0.2126f, 0.7152f, 0.0722f, 0.0178f, 0.1095f, 0.8727f};
            static const float FROM[] = {3.0799f, -1.5371f, -0.5428f, -0.9213f, 1.876f, 0.0453f, 0.0529f, -0.204f, 1.1511f};
            std::copy(TO, TO + 9, m.xyz_from_rgb), std::copy(FROM, FROM + 9, m.rgb_from_xyz);
            return on_picture(in, "lab_map", sx_lab_map, m, true, hostile);
        }
        case 6: {
            sx::HsvMap m{(float)in.number(-1, 1), (float)in.number(-1, 1), in.coin()};
            return on_picture(in, "hsv_map", sx_hsv_map, m, true, false);
        }
        case 7: {
            const int n = in.below(40) + 2;
            auto levels = exactly<uint8_t>(768);
            auto nodes = exactly<float>(3 * n);
            for (int i = 0; i < 768; i++) levels[i] = (uint8_t)(i * 7);
            numbers(in, nodes.get(), 3 * n, 0, 1, hostile);
            return on_picture(in, "curves", sx_curves, sx::CurveMap{levels.get(), nodes.get(), n}, true, hostile);
        }
        case 8: {
            const int n = in.below(6) + 2;
            auto nodes = exactly<float>(4 * n * n * n);
            numbers(in, nodes.get(), 4 * n * n * n, 0, 1, hostile);
            sx::Lut3D m{nodes.get(), n, in.coin(), {}, {}};
            for (int c = 0; c < 3; c++) {
                m.low[c] = (float)in.number(-0.5, 0.5);
                m.inverse[c] = (float)(n - 1) / (float)in.number(0.25, 2);
            }
            return on_picture(in, "lut3d", sx_lut3d, m, true, hostile);
        }
        default: {
            const int n = in.below(4) + 2, knots = in.below(4) + 2;
            auto nodes = exactly<float>(4LL * knots * n * n * n);
            numbers(in, nodes.get(), 4 * knots * n * n * n, 0, 1, hostile);
            const int64_t rows = in.below(5), columns = in.below(90);
            auto context = exactly<float>(rows * columns);
            numbers(in, context.get(), (int)(rows * columns), -0.5, 1.5, false);
            Picture src(rows, columns, SX_FLOAT32, in.below(5), 0, 1, true), dst(rows, columns, SX_FLOAT32, in.below(5), 0, 1, false);
            Picture other(rows, columns, SX_FLOAT32, in.below(5), 0, 1, false);
            src.fill(in);
            const sx::Lut4D m{nodes.get(), knots, n, context.get()};
            if (sx_lut4d(&src.view, &dst.view, &m, 1) || sx_lut4d(&src.view, &other.view, &m, in.several())) fault("lut4d");
            if (!hostile) check_same(dst, other, "lut4d", 0.0f);
        }
    }
}

void gray_lut(Input& in) {
    const int knots = in.below(5) + 2;
    const int64_t rows = in.below(5), columns = in.below(90);
    auto table = exactly<float>(256LL * knots * 4);
    for (int i = 0; i < 256 * knots * 4; i++) table[i] = (float)(i % 97) / 96;
    auto gray = exactly<uint8_t>(rows * columns);
    auto context = exactly<float>(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) gray[i] = in.byte(), context[i] = (float)in.number(-1, 2);
    const sx::GrayLut lut{table.get(), knots, gray.get(), context.get()};
    const int type = in.coin() ? SX_UINT8 : SX_FLOAT32;
    Picture one(rows, columns, type, in.below(5), 0, type ? 1 : 255, true), two(rows, columns, type, in.below(5), 0, type ? 1 : 255, true);
    if (sx_gray_lut(&one.view, &lut, 1) || sx_gray_lut(&two.view, &lut, in.several())) fault("gray_lut");
    check_range(one, "gray_lut"), check_same(one, two, "gray_lut", 0.0f);
}

void grays(Input& in) {
    const int64_t rows = in.below(5), columns = in.coin() ? in.below(40) : in.below(256) + 250;
    const int type = in.coin() ? SX_UINT8 : SX_FLOAT32;
    Picture src(rows, columns, type, in.below(5), 0, type ? 1 : 255, true);
    src.fill(in);
    const float weights[3] = {0.2126f, 0.7152f, 0.0722f};
    auto one = exactly<uint8_t>(rows * columns), two = exactly<uint8_t>(rows * columns);
    if (sx_gray(&src.view, weights, one.get(), 1) || sx_gray(&src.view, weights, two.get(), in.several())) fault("gray");
    if (rows * columns && std::memcmp(one.get(), two.get(), rows * columns)) fault("gray: depends on threads");
    if (type == SX_FLOAT32) {
        Picture levels(rows, columns, SX_UINT8, in.below(5), 0, 255, true);
        if (sx_to_levels(&src.view, &levels.view, 1e-3f) < 0) fault("to_levels");
    }
    if (type == SX_UINT8) {
        int64_t sum = 0;
        for (int64_t y = 0; y < rows; y++)
            for (int64_t x = 0; x < columns; x++)
                for (int c = 0; c < 3; c++) sum += (int64_t)src.value(y, x, c);
        if (sx_sum(&src.view, 1) != sum || sx_sum(&src.view, in.several()) != sum) fault("sum: is wrong");
    }
}

void colors(Input& in) {
    const int64_t rows = in.below(6), columns = in.coin() ? in.below(40) : in.below(256) + 250;
    Picture src(rows, columns, SX_UINT8, in.below(5), 0, 255, true);
    src.fill(in);
    const int threads = in.several();
    const int64_t k = sx_histogram_count(&src.view, threads);
    if (k < 0 || k > rows * columns) fault("histogram: a wrong number of colors");
    auto levels = exactly<uint8_t>(3 * k);
    auto counts = exactly<int64_t>(k);
    if (sx_histogram_take(levels.get(), counts.get(), k)) fault("histogram_take");
    int64_t total = 0;
    for (int64_t i = 0; i < k; i++) {
        if (counts[i] < 1) fault("histogram: a color without pixels");
        total += counts[i];
    }
    if (total != rows * columns) fault("histogram: pixels were lost");

    // Each color in its own place: nothing changes.
    Picture bytes(rows, columns, SX_UINT8, in.below(5), 0, 255, true);
    if (sx_recolor(&src.view, &bytes.view, levels.get(), k, levels.get(), in.several())) fault("recolor");
    check_same(src, bytes, "recolor", 0.0f);
    auto values = exactly<float>(3 * k);
    for (int64_t i = 0; i < 3 * k; i++) values[i] = (float)levels[i];
    Picture floats(rows, columns, SX_FLOAT32, in.below(5), 0, 255, true);
    if (sx_recolor(&src.view, &floats.view, levels.get(), k, values.get(), in.several())) fault("recolor to floats");
    check_same(src, floats, "recolor to floats", 0.0f);

    auto channels = exactly<int64_t>(768);
    if (sx_channel_counts(levels.get(), counts.get(), k, channels.get())) fault("channel_counts");
    for (int c = 0; c < 3; c++) {
        int64_t sum = 0;
        for (int v = 0; v < 256; v++) sum += channels[256 * c + v];
        if (sum != total) fault("channel_counts: pixels were lost");
    }
    const int64_t between = sx_count_between(levels.get(), counts.get(), k, in.byte(), in.byte());
    if (between < 0 || between > total) fault("count_between");

    auto tables = exactly<double>(768);
    for (int i = 0; i < 768; i++) tables[i] = -std::log((i % 256 + 1) / 256.0);
    auto out = exactly<double>(3 * k);
    if (sx_look_up(levels.get(), k, tables.get(), out.get())) fault("look_up");
    auto linear = exactly<double>(256);
    for (int i = 0; i < 256; i++) linear[i] = std::pow(i / 255.0, 2.2);
    static const double XYZ[] = {0.4339, 0.3762, 0.1899, 0.2126, 0.7152, 0.0722, 0.0178, 0.1095, 0.8727};
    if (sx_lab_of_levels(levels.get(), k, linear.get(), XYZ, out.get())) fault("lab_of_levels");
    for (int64_t i = 0; i < 3 * k; i++)
        if (!std::isfinite(out[i])) fault("lab_of_levels: NaN");

    const sx::Colors counted{levels.get(), counts.get(), k, tables.get(), in.number(-1, 6)};
    double about[3] = {in.number(0, 2), in.number(0, 2), in.number(0, 2)}, moments[10], two[2];
    if (sx_level_moments(&counted, about, moments)) fault("level_moments");
    for (double m : moments)
        if (!std::isfinite(m)) fault("level_moments: NaN");
    double plane[6], rows_[6];
    for (double& v : plane) v = in.number(-1, 1);
    for (double& v : rows_) v = in.number(-1, 1);
    const int m = in.below(4) + 1;
    auto percents = exactly<double>(m), found = exactly<double>(m);
    for (int i = 0; i < m; i++) percents[i] = in.number(0, 100);
    if (sx_level_angle_percentiles(&counted, plane, percents.get(), m, found.get())) fault("level_angle_percentiles");
    sx::Separation by{{}, in.coin(), in.number(0, 0.5), in.number(1, 10)};
    std::copy(rows_, rows_ + 6, by.rows);
    if (sx_level_amount_percentiles(&counted, &by, in.number(0, 100), two)) fault("level_amount_percentiles");
}

void statistics(Input& in) {
    const int64_t n = in.below(32) ? in.below(150) : 8150 + in.byte();  // from 8192 on, a sample comes first
    auto planes = exactly<double>(3 * n), weights = exactly<double>(n), out = exactly<double>(4 * n);
    auto counts = exactly<int64_t>(n);
    const int spread = in.below(3);
    uint32_t noise = in.byte();
    for (int64_t i = 0; i < 3 * n; i++) {
        noise = noise * 1664525u + 1013904223u + (i < 64 ? in.byte() : 0);
        planes[i] = spread == 0 ? (noise >> 28) : spread == 1 ? (noise >> 8) / 16777216.0 * 3 : (noise & 1 ? -1.0 : 1.0) * (noise >> 20);
    }
    for (int64_t i = 0; i < n; i++) counts[i] = in.left() ? in.below(4) : i % 5, weights[i] = (double)counts[i];
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) total += counts[i];
    const int m = in.below(5) + 1;
    auto percents = exactly<double>(m), found = exactly<double>(m), matrix = exactly<double>(3 * m);
    for (int i = 0; i < m; i++) percents[i] = in.number(0, 100);
    for (int i = 0; i < 3 * m; i++) matrix[i] = in.number(-2, 2);
    if (sx_percentiles(planes.get(), counts.get(), n, percents.get(), m, found.get())) fault("percentiles");
    if (total) {  // against sorting
        std::vector<double> all;
        for (int64_t i = 0; i < n; i++) all.insert(all.end(), counts[i], planes[i]);
        std::sort(all.begin(), all.end());
        for (int i = 0; i < m; i++) {
            const double position = (double)(total - 1) * (percents[i] / 100.0), low = all[(size_t)std::floor(position)];
            const double high = all[(size_t)std::ceil(position)], wanted = low + (high - low) * (position - std::floor(position));
            if (found[i] != wanted) fault("percentiles: not those of the sorted values");
        }
    }
    auto projected = exactly<double>(m * n);
    if (sx_project(planes.get(), n, matrix.get(), m, projected.get())) fault("project");
    double about[3] = {0, 0.5, 1}, moments[9];
    if (sx_moments(planes.get(), counts.get(), n, about, moments)) fault("moments");
    double stains[6];
    for (double& v : stains) v = in.number(0, 1);
    if (sx_lasso(planes.get(), n, stains, in.number(0, 0.5), in.number(1, 20), out.get())) fault("lasso");
    double atoms[6] = {0.65, 0.70, 0.29, 0.07, 0.99, 0.11}, mean[2];
    if (in.coin()) std::copy(stains, stains + 6, atoms);
    for (int j = 0; j < 2; j++) {
        double length = 0;
        for (int c = 0; c < 3; c++) length += atoms[3 * j + c] * atoms[3 * j + c];
        if (length == 0) atoms[3 * j] = 1, length = 1;
        for (int c = 0; c < 3; c++) atoms[3 * j + c] /= std::sqrt(length);
    }
    const sx::Factorization how{in.number(0, 0.3), 1e-6, 1e-3, in.below(n < 1000 ? 20 : 2)};
    if (sx_factorize(planes.get(), weights.get(), n, &how, atoms, mean)) fault("factorize");
    if (spread != 2 && total)
        for (double v : atoms)
            if (!std::isfinite(v)) fault("factorize: NaN");
}

void network(Input& in) {
    const int layers = in.below(4) + 1;
    auto widths = exactly<int32_t>(layers + 1);
    widths[0] = 3;
    int64_t weights = 0, biases = 0;
    for (int i = 1; i <= layers; i++) {
        widths[i] = i == layers ? 3 : in.below(64) + 1;
        weights += widths[i] * widths[i - 1], biases += widths[i];
    }
    auto w = exactly<double>(weights), b = exactly<double>(biases);
    for (int64_t i = 0; i < weights; i++) w[i] = std::rint(in.number(-1, 1) * 65536);
    for (int64_t i = 0; i < biases; i++) b[i] = std::rint(in.number(-1, 1) * 65536.0 * 65536.0);
    const int64_t n = in.below(100);
    auto colors = exactly<double>(3 * n), one = exactly<double>(3 * n), two = exactly<double>(3 * n);
    for (int64_t i = 0; i < 3 * n; i++) colors[i] = in.byte() / 255.0;
    const sx::Network net{widths.get(), w.get(), b.get(), layers};
    if (sx_network(colors.get(), n, &net, one.get(), 1) || sx_network(colors.get(), n, &net, two.get(), in.several())) fault("network");
    if (n && std::memcmp(one.get(), two.get(), 24 * n)) fault("network: depends on threads");
}

void halve(Input& in) {
    const int64_t rows = in.below(9), columns = in.coin() ? in.below(20) : in.byte() * 3 + in.below(3), gap = in.below(4);
    const int64_t stride = 3 * columns + gap, bytes = rows && columns ? (rows - 1) * stride + 3 * columns : 0;
    auto src = exactly<uint8_t>(bytes), out = exactly<uint8_t>((rows + 1) / 2 * ((columns + 1) / 2) * 3);
    for (int64_t i = 0; i < bytes; i++) src[i] = in.byte();
    if (sx_halve(src.get(), rows, columns, stride, out.get())) fault("halve");
    for (int64_t y = 0; columns && y < (rows + 1) / 2; y++)
        for (int64_t x = 0; x < (columns + 1) / 2; x++)
            for (int c = 0; c < 3; c++) {
                const int64_t y1 = std::min(2 * y + 1, rows - 1), x1 = std::min(2 * x + 1, columns - 1);
                const auto p = [&](int64_t yy, int64_t xx) { return (int)src[yy * stride + 3 * xx + c]; };
                if (out[(y * ((columns + 1) / 2) + x) * 3 + c] != ((p(2 * y, 2 * x) + p(2 * y, x1) + p(y1, 2 * x) + p(y1, x1) + 2) >> 2))
                    fault("halve: is no mean");
            }
}

void encode(Input& in) {
    const int64_t rows = in.below(40), columns = in.below(70);
    if (!rows || !columns) return;  // Python asks for none
    auto gray = exactly<uint8_t>(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) gray[i] = in.byte();
    auto first = exactly<float>(144), middle = exactly<float>(3 * 9 * 256), last = exactly<float>(144), biases = exactly<float>(64);
    auto gain = exactly<float>(64), shift = exactly<float>(64), mean = exactly<float>(64), variance = exactly<float>(64);
    uint32_t noise = in.byte() + 1;
    const auto fill = [&](float* p, int n, float low, float high) {
        for (int i = 0; i < n; i++) noise = noise * 1664525u + 1013904223u, p[i] = low + (high - low) * (float)(noise >> 8) / 16777216.0f;
    };
    fill(first.get(), 144, -1, 1), fill(middle.get(), 3 * 9 * 256, -0.3f, 0.3f), fill(last.get(), 144, -0.3f, 0.3f);
    fill(biases.get(), 64, -0.5f, 0.5f), fill(gain.get(), 64, 0.5f, 1.5f), fill(shift.get(), 64, -1, 1);
    fill(mean.get(), 64, -1, 1), fill(variance.get(), 64, 0.01f, 2);
    const bool own = in.coin();
    const sx::EncoderWeights net{first.get(), middle.get(), last.get(), biases.get(), gain.get(), shift.get(),
                                 own ? nullptr : mean.get(), own ? nullptr : variance.get(), 0.1f, 1e-5f};
    auto one = exactly<float>(rows * columns), two = exactly<float>(rows * columns);
    const int fast = in.coin();
    if (sx_encode(gray.get(), rows, columns, &net, fast, one.get(), 1) || sx_encode(gray.get(), rows, columns, &net, fast, two.get(), in.several())) fault("encode");
    for (int64_t i = 0; i < rows * columns; i++)
        if (!(one[i] >= 0 && one[i] <= 1)) fault("encode: outside 0 to 1, or NaN");
    if (std::memcmp(one.get(), two.get(), 4 * rows * columns)) fault("encode: depends on threads");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input in(data, size);
    static const char* const SETS[] = {"baseline", "avx2", "avx512", "amx"};
    sx_select(SETS[in.below(4)]);
    const int which = in.below(17);
    switch (which) {
        case 10: gray_lut(in); break;
        case 11: grays(in); break;
        case 12: colors(in); break;
        case 13: statistics(in); break;
        case 14: network(in); break;
        case 15: halve(in); break;
        case 16: encode(in); break;
        default: maps(in, which);
    }
    return 0;
}
