// Exact order statistics of weighted values, by selection in place of sorting.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "api.h"
#include "kernels.h"
#include "order.h"

namespace {

using Item = std::pair<double, int64_t>;

// The value at a rank of sorted items, each as often as it is counted, below which ``below`` others lie.
double at_rank(const std::vector<Item>& items, int64_t below, int64_t rank) {
    size_t i = 0;
    while (i + 1 < items.size() && below + items[i].second <= rank) below += items[i++].second;
    return items.empty() ? NAN : items[i].first;
}

constexpr int SAMPLE = 1024;
constexpr double MARGIN = 0.012;  // of the whole: four standard deviations of a sample's percentile near the ends

struct Bracket {
    double low = -INFINITY, high = INFINITY;
    int64_t below = 0, inside = 0;
    std::vector<Item> items;
};

// values[rank] of the sorted multiset that holds each value as often as its count says, for ranks in pairs of neighbors.
// A sample tells between which values each pair lies; one pass counts what is smaller and keeps what is between.
void select(const double* values, const int64_t* counts, int64_t n, int64_t total, const std::vector<int64_t>& ranks,
            double* out) {
    std::vector<Item> sample;
    const int64_t step = n > 8 * SAMPLE ? n / SAMPLE : 0;
    int64_t sampled = 0;
    if (step)
        for (int64_t i = 0; i < n; i += step)
            if (counts[i]) sample.emplace_back(values[i], counts[i]), sampled += counts[i];
    std::sort(sample.begin(), sample.end());

    // Kept between calls: to get this much memory anew takes longer than to fill it.
    thread_local std::vector<Item> kept;
    thread_local std::vector<int64_t> positions;
    positions.resize(n + 1);
    for (size_t k = 0; k < ranks.size(); k += 2) {
        Bracket bracket;
        if (sampled) {
            const double part = (double)ranks[k] / (double)total;
            const auto at = [&](double quantile) { return at_rank(sample, 0, (int64_t)(quantile * (double)sampled)); };
            if (part > MARGIN) bracket.low = at(part - MARGIN);
            if (part < 1 - MARGIN) bracket.high = at(part + MARGIN);
        }
        for (int attempt = 0;; attempt++) {
            int64_t sums[2];
            const int64_t inside = sx::current().between(values, counts, n, bracket.low, bracket.high, positions.data(), sums);
            bracket.below = sums[0], bracket.inside = sums[1];
            kept.clear();
            for (int64_t i = 0; i < inside; i++)
                if (counts[positions[i]]) kept.emplace_back(values[positions[i]], counts[positions[i]]);
            const bool found = bracket.below <= ranks[k] && ranks[k + 1] < bracket.below + bracket.inside;
            if (found || attempt) break;
            bracket.low = -INFINITY, bracket.high = INFINITY;  // the sample was misleading
        }
        // Only the neighborhood of the rank has to be in order.
        const auto nth = [&](int64_t rank) {
            int64_t below = bracket.below;
            auto first = kept.begin(), last = kept.end();
            while (last - first > 64) {
                const auto middle = first + (last - first) / 2;
                std::nth_element(first, middle, last);
                int64_t lower = 0;
                for (auto i = first; i != middle; ++i) lower += i->second;
                if (below + lower > rank)
                    last = middle;
                else
                    below += lower, first = middle;
            }
            std::sort(first, last);
            return at_rank({first, last}, below, rank);
        };
        out[k] = nth(ranks[k]);
        out[k + 1] = ranks[k + 1] == ranks[k] ? out[k] : nth(ranks[k + 1]);
    }
}

// numpy's "linear" percentiles: each lies between two neighbors in order, as often as they are counted.
struct Positions {
    std::vector<int64_t> ranks;
    std::vector<double> fractions;
    int64_t total = 0;

    Positions(const int64_t* counts, int64_t n, const double* percents, int m) : ranks(2 * m), fractions(m) {
        for (int64_t i = 0; i < n; i++) total += counts[i];
        for (int k = 0; k < m; k++) {
            const double position = (double)(total - 1) * (percents[k] / 100.0);
            ranks[2 * k] = (int64_t)std::floor(position);
            ranks[2 * k + 1] = (int64_t)std::ceil(position);
            fractions[k] = position - std::floor(position);
        }
    }
};

// Percentiles of the values; ``finish`` makes an order statistic what is interpolated.
template <class F>
void percentiles_of(const double* values, const int64_t* counts, int64_t n, const double* percents, int m, double* out,
                    F finish) {
    const Positions at(counts, n, percents, m);
    std::vector<double> found(2 * m);
    select(values, counts, n, at.total, at.ranks, found.data());
    for (int k = 0; k < m; k++) {
        const double low = finish(found[2 * k]), high = finish(found[2 * k + 1]);
        out[k] = low + (high - low) * at.fractions[k];
    }
}

const auto as_it_is = [](double value) { return value; };

// Kept between calls: to get this much memory anew takes longer than to fill it.
thread_local std::vector<double> values_here;
thread_local std::vector<int64_t> weights_here;

void factorize(const double* od, const double* weights, int64_t n, const sx::Factorization& how, double* atoms,
               double* mean) {
    using Pair = std::array<std::array<double, 3>, 2>;
    const auto dot = [](const auto& a, const auto& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; };
    const auto unit = [&](auto v) {
        for (double& x : v) x = std::max(x, 0.0);
        const double length = std::sqrt(dot(v, v));
        for (double& x : v) x /= length;
        return v;
    };
    double energy = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = od[i], y = od[n + i], z = od[2 * n + i];
        energy += weights[i] * (x * x + y * y + z * z) / 2;
    }
    Pair last, point;
    std::copy(atoms, atoms + 3, last[0].begin());
    std::copy(atoms + 3, atoms + 6, last[1].begin());
    point = last;
    double before = INFINITY, momentum = 1;
    for (int step = 0; step < how.steps; step++) {
        double m[11];
        const double cosine = dot(point[0], point[1]);
        const double determinant = 1 / std::max(1 - cosine * cosine, how.collinear);
        sx::current().lasso_moments(od, weights, n, point[0].data(), how.penalty, determinant, m);
        const Pair products = {{{m[3], m[5], m[7]}, {m[4], m[6], m[8]}}};
        const double squares = dot(point[0], point[0]) * m[0] + 2 * cosine * m[1] + dot(point[1], point[1]) * m[2];
        const double fit = squares / 2 - dot(point[0], products[0]) - dot(point[1], products[1]);
        const double objective = energy + fit + how.penalty * (m[9] + m[10]);
        mean[0] = m[9], mean[1] = m[10];
        if (std::fabs(before - objective) <= how.tolerance * energy) break;
        if (objective > before) momentum = 1;
        Pair stepped = point;
        for (int j = 0; j < 2; j++) {
            auto wanted = products[j];
            for (int c = 0; c < 3; c++) wanted[c] -= m[1] * stepped[1 - j][c];
            if (*std::max_element(wanted.begin(), wanted.end()) > 0) stepped[j] = unit(wanted);
        }
        const double next = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2, further = (momentum - 1) / next;
        momentum = next;
        for (int j = 0; j < 2; j++) {
            for (int c = 0; c < 3; c++) point[j][c] = stepped[j][c] + further * (stepped[j][c] - last[j][c]);
            point[j] = unit(point[j]);
        }
        last = stepped, before = objective;
    }
    std::copy(point[0].begin(), point[0].end(), atoms);
    std::copy(point[1].begin(), point[1].end(), atoms + 3);
}

void project(const double* planes, int64_t n, const double* matrix, int32_t m, double* out) {
    const double *x = planes, *y = planes + n, *z = planes + 2 * n;
    for (int32_t row = 0; row < m; row++) {
        const double a = matrix[3 * row], b = matrix[3 * row + 1], c = matrix[3 * row + 2];
        double* p = out + row * n;
        for (int64_t i = 0; i < n; i++) p[i] = a * x[i] + b * y[i] + c * z[i];
    }
}

int64_t count_between(const uint8_t* levels, const int64_t* counts, int64_t n, int32_t low_bound, int32_t high_bound) {
    const uint8_t *r = levels, *g = levels + n, *b = levels + 2 * n;
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t smallest = std::min(std::min(r[i], g[i]), b[i]), largest = std::max(std::max(r[i], g[i]), b[i]);
        total += smallest <= low_bound && largest >= high_bound ? counts[i] : 0;
    }
    return total;
}

}  // namespace

SX_API int64_t sx_percentiles(const double* values, const int64_t* counts, int64_t n, const double* percents, int32_t m,
                              double* out) {
    return sx::guarded([&] { percentiles_of(values, counts, n, percents, m, out, as_it_is); });
}

SX_API int64_t sx_level_moments(const sx::Colors* colors, const double* about, double* out) {
    return sx::guarded([&] { sx::current().level_moments(*colors, about, out); });
}

// Percentiles of the angles in a plane (3, 2).
SX_API int64_t sx_level_angle_percentiles(const sx::Colors* colors, const double* plane, const double* percents, int32_t m,
                                          double* out) {
    return sx::guarded([&] {
        values_here.resize(colors->n);
        weights_here.resize(colors->n);
        sx::current().level_angles(*colors, plane, values_here.data(), weights_here.data());
        percentiles_of(values_here.data(), weights_here.data(), colors->n, percents, m, out, angle_of);
    });
}

// A percentile of the amounts of each of two stains.
SX_API int64_t sx_level_amount_percentiles(const sx::Colors* colors, const sx::Separation* by, double percent,
                                           double* out) {
    return sx::guarded([&] {
        const int64_t n = colors->n;
        values_here.resize(2 * n);
        sx::current().level_amounts(*colors, *by, values_here.data());
        for (int stain = 0; stain < 2; stain++)
            percentiles_of(values_here.data() + stain * n, colors->counts, n, &percent, 1, out + stain, as_it_is);
    });
}

// Atoms (2, 3) at the minimum next to those given, and the mean amount of each (2).
SX_API int64_t sx_factorize(const double* od, const double* weights, int64_t n, const sx::Factorization* how, double* atoms,
                            double* mean) {
    return sx::guarded([&] { factorize(od, weights, n, *how, atoms, mean); });
}

// Each color's value in a table (3, 256) of its channels.
SX_API int64_t sx_look_up(const uint8_t* levels, int64_t n, const double* tables, double* out) {
    return sx::guarded([&] {
        for (int c = 0; c < 3; c++)
            for (int64_t i = 0; i < n; i++) out[c * n + i] = tables[c * 256 + levels[c * n + i]];
    });
}

// matrix (m, 3) times colors (3, n), each sum from left to right.
SX_API int64_t sx_project(const double* planes, int64_t n, const double* matrix, int32_t m, double* out) {
    return sx::guarded([&] { project(planes, n, matrix, m, out); });
}

// Pixels at each level of each channel, (3, 256), of colors (3, n).
SX_API int64_t sx_channel_counts(const uint8_t* levels, const int64_t* counts, int64_t n, int64_t* out) {
    return sx::guarded([&] {
        std::fill(out, out + 3 * 256, 0);
        for (int c = 0; c < 3; c++)
            for (int64_t i = 0; i < n; i++) out[256 * c + levels[c * n + i]] += counts[i];
    });
}

// Pixels of the colors (3, n) whose smallest level is at most one bound, and whose largest at least another.
SX_API int64_t sx_count_between(const uint8_t* levels, const int64_t* counts, int64_t n, int32_t low_bound,
                                int32_t high_bound) {
    return sx::guarded([&] { return count_between(levels, counts, n, low_bound, high_bound); });
}
