// Statistics of weighted colors: float64, in eight sums whose order is fixed. Included by each variant of kernels.cpp.
#pragma once
#include "color_maps.h"
#include "order.h"

namespace {

constexpr int LANES = 8;
constexpr int PART = 256;  // colors that are worked on at once: what would be megabytes for all of them stays in cache

inline double total(const double* lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// Calls one(i, lane) for all i < n.
template <class F>
inline void in_lanes(int64_t n, F one) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) one(i + lane, lane);
    for (; i < n; i++) one(i, (int)(i % LANES));
}

// CIE L*, a*, b* of 8-bit colors (3, n). The cube root starts from floats; a step of Newton's method on x^(-1/3), which
// needs no division, makes it good to 1e-12.
void lab_of_levels(const uint8_t* levels, int64_t n, const double* linear, const double* m, double* out) {
    constexpr double EPSILON = 216.0 / 24389.0;
    alignas(64) double xyz[3][PART] = {};
    alignas(64) float guess[PART];
    for (int64_t start = 0; start < n; start += PART) {
        const int count = (int)(n - start < PART ? n - start : PART);
        for (int i = 0; i < count; i++) {
            const uint8_t* p = levels + start + i;
            const double r = linear[p[0]], g = linear[p[n]], b = linear[p[2 * n]];
            for (int k = 0; k < 3; k++) xyz[k][i] = m[3 * k] * r + m[3 * k + 1] * g + m[3 * k + 2] * b;
        }
        for (int k = 0; k < 3; k++) {
            double* x = xyz[k];
            for (int i = 0; i < PART; i++) guess[i] = (float)(x[i] > EPSILON ? x[i] : EPSILON);
            for (int i = 0; i < PART; i++) guess[i] = rcbrt_f(guess[i]);
            for (int i = 0; i < PART; i++) {
                const double safe = x[i] > EPSILON ? x[i] : EPSILON, y = guess[i];
                const double root = y + y * (1.0 - safe * y * (y * y)) * (1.0 / 3.0);
                x[i] = x[i] > EPSILON ? safe * (root * root) : 841.0 / 108.0 * x[i] + 4.0 / 29.0;
            }
        }
        double *l = out + start, *a = l + n, *b = a + n;
        for (int i = 0; i < count; i++) {
            l[i] = 116.0 * xyz[1][i] - 16.0;
            a[i] = 500.0 * (xyz[0][i] - xyz[1][i]);
            b[i] = 200.0 * (xyz[1][i] - xyz[2][i]);
        }
    }
}

// Densities of some colors, and their counts if every density is at least so large, else 0.
struct Part {
    alignas(64) double d[3][PART] = {}, weight[PART] = {};
    int count;

    void read(const sx::Colors& colors, int64_t start) {
        count = (int)(colors.n - start < PART ? colors.n - start : PART);
        for (int c = 0; c < 3; c++) {
            const uint8_t* p = colors.levels + c * colors.n + start;
            const double* table = colors.tables + 256 * c;
            for (int i = 0; i < count; i++) d[c][i] = table[p[i]];
        }
        for (int i = 0; i < count; i++) {
            const double lower = d[0][i] < d[1][i] ? d[0][i] : d[1][i], lowest = lower < d[2][i] ? lower : d[2][i];
            weight[i] = lowest >= colors.lowest ? (double)colors.counts[start + i] : 0.0;
        }
        for (int i = count; i < PART; i++) weight[i] = 0.0;
    }
};

// As moments(), and the sum of weights.
void level_moments(const sx::Colors& colors, const double* about, double* out) {
    double lanes[10][LANES] = {};
    const double a = about[0], b = about[1], c = about[2];
    Part part;
    for (int64_t start = 0; start < colors.n; start += PART) {
        part.read(colors, start);
        in_lanes(PART, [&](int64_t i, int k) {
            const double w = part.weight[i], u = part.d[0][i] - a, v = part.d[1][i] - b, t = part.d[2][i] - c;
            lanes[0][k] += w * u, lanes[1][k] += w * v, lanes[2][k] += w * t;
            lanes[3][k] += w * u * u, lanes[4][k] += w * u * v, lanes[5][k] += w * u * t;
            lanes[6][k] += w * v * v, lanes[7][k] += w * v * t, lanes[8][k] += w * t * t, lanes[9][k] += w;
        });
    }
    for (int j = 0; j < 10; j++) out[j] = total(lanes[j]);
}

// A number that orders directions in a plane (3, 2) as their angle does, for each color, and its weight.
void level_angles(const sx::Colors& colors, const double* plane, double* order, int64_t* weights) {
    Part part;
    for (int64_t start = 0; start < colors.n; start += PART) {
        part.read(colors, start);
        for (int i = 0; i < part.count; i++) {
            const double u = part.d[0][i], v = part.d[1][i], w = part.d[2][i];
            const double x = plane[0] * u + plane[2] * v + plane[4] * w, y = plane[1] * u + plane[3] * v + plane[5] * w;
            order[start + i] = order_of(x, y);
            weights[start + i] = (int64_t)part.weight[i];
        }
    }
}

void level_amounts(const sx::Colors& colors, const sx::Separation& by, double* out) {
    Part part;
    const double *s = by.rows, *t = by.rows + 3, cosine = s[0] * t[0] + s[1] * t[1] + s[2] * t[2];
    for (int64_t start = 0; start < colors.n; start += PART) {
        part.read(colors, start);
        double *one = out + start, *two = out + colors.n + start;
        for (int i = 0; i < part.count; i++) {
            const double u = part.d[0][i], v = part.d[1][i], w = part.d[2][i];
            if (by.lasso) {
                const auto a = lasso_of(u, v, w, s, t, by.penalty, cosine, by.determinant);
                one[i] = a.one, two[i] = a.two;
            } else {
                one[i] = s[0] * u + s[1] * v + s[2] * w, two[i] = t[0] * u + t[1] * v + t[2] * w;
            }
        }
    }
}

// Positions of the values from low to high, and how many there are; sums of counts below low, and of those values.
// ``positions`` has room for one more than n.
int64_t between(const double* values, const int64_t* counts, int64_t n, double low, double high, int64_t* positions,
                int64_t sums[2]) {
    int64_t below = 0, inside = 0, found = 0, i = 0;
#if defined(__AVX512F__)
    const __m512d from = _mm512_set1_pd(low), to = _mm512_set1_pd(high);
    __m512i lower = _mm512_setzero_si512(), within = lower;
    for (; i + 8 <= n; i += 8) {
        const __m512d v = _mm512_loadu_pd(values + i);
        const __m512i count = _mm512_loadu_si512(counts + i);
        const __mmask8 small = _mm512_cmp_pd_mask(v, from, _CMP_LT_OQ);
        __mmask8 fits = _mm512_mask_cmp_pd_mask((__mmask8)~small, v, to, _CMP_LE_OQ);
        lower = _mm512_mask_add_epi64(lower, small, lower, count);
        within = _mm512_mask_add_epi64(within, fits, within, count);
        for (; fits; fits = (__mmask8)(fits & (fits - 1))) positions[found++] = i + __builtin_ctz(fits);
    }
    below = _mm512_reduce_add_epi64(lower), inside = _mm512_reduce_add_epi64(within);
#elif defined(__AVX2__)
    const __m256d from = _mm256_set1_pd(low), to = _mm256_set1_pd(high);
    __m256i lower = _mm256_setzero_si256(), within = lower;
    for (; i + 4 <= n; i += 4) {
        const __m256d v = _mm256_loadu_pd(values + i);
        const __m256i count = _mm256_loadu_si256((const __m256i*)(counts + i));
        const __m256d small = _mm256_cmp_pd(v, from, _CMP_LT_OQ);
        const __m256d inner = _mm256_andnot_pd(small, _mm256_cmp_pd(v, to, _CMP_LE_OQ));
        lower = _mm256_add_epi64(lower, _mm256_and_si256(_mm256_castpd_si256(small), count));
        within = _mm256_add_epi64(within, _mm256_and_si256(_mm256_castpd_si256(inner), count));
        for (int fits = _mm256_movemask_pd(inner); fits; fits &= fits - 1) positions[found++] = i + __builtin_ctz(fits);
    }
    alignas(32) int64_t sum[2][4];
    _mm256_store_si256((__m256i*)sum[0], lower), _mm256_store_si256((__m256i*)sum[1], within);
    for (int k = 0; k < 4; k++) below += sum[0][k], inside += sum[1][k];
#endif
    for (; i < n; i++) {  // written always, kept if it fits: a branch would be a coin toss
        const bool smaller = values[i] < low, fits = !smaller & (values[i] <= high);
        below += smaller ? counts[i] : 0;
        inside += fits ? counts[i] : 0;
        positions[found] = i;
        found += fits;
    }
    sums[0] = below, sums[1] = inside;
    return found;
}

// Weighted sums of v, and of the products of v - about: (3) and (6), upper triangle.
void moments(const double* planes, const int64_t* counts, int64_t n, const double* about, double* out) {
    double lanes[9][LANES] = {};
    const double a = about[0], b = about[1], c = about[2];
    const double *x = planes, *y = planes + n, *z = planes + 2 * n;
    in_lanes(n, [&](int64_t i, int k) {
        const double w = (double)counts[i], u = x[i] - a, v = y[i] - b, t = z[i] - c;
        lanes[0][k] += w * x[i], lanes[1][k] += w * y[i], lanes[2][k] += w * z[i];
        lanes[3][k] += w * u * u, lanes[4][k] += w * u * v, lanes[5][k] += w * u * t;
        lanes[6][k] += w * v * v, lanes[7][k] += w * v * t, lanes[8][k] += w * t * t;
    });
    for (int j = 0; j < 9; j++) out[j] = total(lanes[j]);
}

// Of the amounts a of each color: weighted a a^T (3), v a^T (3, 2), a (2).
void lasso_moments(const double* od, const double* weights, int64_t n, const double* stains, double penalty,
                   double determinant, double* out) {
    double lanes[11][LANES] = {};
    const double *x = od, *y = od + n, *z = od + 2 * n, *s = stains, *t = stains + 3;
    const double cosine = s[0] * t[0] + s[1] * t[1] + s[2] * t[2];
    in_lanes(n, [&](int64_t i, int k) {
        const auto a = lasso_of(x[i], y[i], z[i], s, t, penalty, cosine, determinant);
        const double p = weights[i] * a.one, q = weights[i] * a.two;
        lanes[0][k] += p * a.one, lanes[1][k] += p * a.two, lanes[2][k] += q * a.two;
        lanes[3][k] += p * x[i], lanes[4][k] += q * x[i], lanes[5][k] += p * y[i], lanes[6][k] += q * y[i];
        lanes[7][k] += p * z[i], lanes[8][k] += q * z[i], lanes[9][k] += p, lanes[10][k] += q;
    });
    for (int j = 0; j < 11; j++) out[j] = total(lanes[j]);
}

constexpr int COLORS_AT_ONCE = 32;  // whose activations stay in the first-level cache
constexpr int WIDEST = 64;

// Colors (3, n) from first to last through a network, in units of 2^-16. All sums are whole numbers below 2^53: exact.
void network(const double* colors, int64_t n, int64_t first, int64_t last, const sx::Network& net, double* out) {
    constexpr double UNIT = 65536.0, WHOLE = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to whole numbers
    alignas(64) double values[WIDEST][COLORS_AT_ONCE] = {}, next[WIDEST][COLORS_AT_ONCE] = {};
    for (int64_t start = first; start < last; start += COLORS_AT_ONCE) {
        const int count = (int)(last - start < COLORS_AT_ONCE ? last - start : COLORS_AT_ONCE);
        for (int c = 0; c < 3; c++)
            for (int j = 0; j < count; j++) values[c][j] = ((colors[c * n + start + j] * (2 * UNIT) - UNIT) + WHOLE) - WHOLE;
        const double *weight = net.weights, *bias = net.biases;
        for (int layer = 0; layer < net.layers; layer++) {
            const int from = net.widths[layer], to = net.widths[layer + 1];
            for (int o = 0; o < to; o++) {
                double sum[COLORS_AT_ONCE];
                for (int j = 0; j < COLORS_AT_ONCE; j++) sum[j] = *bias;
                for (int i = 0; i < from; i++)
                    for (int j = 0; j < COLORS_AT_ONCE; j++) sum[j] += weight[i] * values[i][j];
                for (int j = 0; j < COLORS_AT_ONCE; j++) next[o][j] = sum[j];
                weight += from, bias++;
            }
            const bool end = layer + 1 == net.layers;
            for (int o = 0; o < to; o++)
                for (int j = 0; j < COLORS_AT_ONCE; j++) {
                    const double positive = next[o][j] > 0 ? next[o][j] : 0.0;
                    values[o][j] = end ? next[o][j] : (positive * (1 / UNIT) + WHOLE) - WHOLE;
                }
        }
        for (int c = 0; c < 3; c++)
            for (int j = 0; j < count; j++) out[c * n + start + j] = values[c][j] * (1 / (2 * UNIT * UNIT)) + 0.5;
    }
}

void lasso(const double* od, int64_t n, const double* stains, double penalty, double determinant, double* out) {
    const double *s = stains, *t = stains + 3, cosine = s[0] * t[0] + s[1] * t[1] + s[2] * t[2];
    for (int64_t i = 0; i < n; i++) {
        const auto a = lasso_of(od[i], od[n + i], od[2 * n + i], s, t, penalty, cosine, determinant);
        out[i] = a.one, out[n + i] = a.two;
    }
}

}  // namespace
