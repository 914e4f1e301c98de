// Exact order statistics of weighted values, by selection in place of sorting.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "api.h"

namespace {

constexpr int BINS = 2048;

// values[rank] of the sorted multiset that holds each value as often as its count says, for each rank: values are
// counted in bins, and only the bins that hold a rank are sorted.
void select(const double* values, const int64_t* counts, int64_t n, const std::vector<int64_t>& ranks, double* out) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        low = counts[i] && values[i] < low ? values[i] : low;
        high = counts[i] && values[i] > high ? values[i] : high;
    }
    const double scale = high > low ? std::min(BINS / (high - low), 1e300) : 0.0;
    const auto bin_of = [=](double value) { return (int)std::min(BINS - 1.0, std::max(0.0, (value - low) * scale)); };

    std::vector<int64_t> totals(BINS, 0);
    for (int64_t i = 0; i < n; i++) totals[bin_of(values[i])] += counts[i];

    struct Bin {
        int64_t below = 0;
        std::vector<std::pair<double, int64_t>> items;
    };
    std::map<int, Bin> wanted;
    std::vector<uint8_t> needed(BINS, 0);
    std::vector<int> bins;
    for (const int64_t rank : ranks) {
        int64_t below = 0;
        int bin = 0;
        while (bin < BINS - 1 && below + totals[bin] <= rank) below += totals[bin++];
        wanted[bin].below = below, needed[bin] = 1;
        bins.push_back(bin);
    }
    for (int64_t i = 0; i < n; i++) {
        const int bin = bin_of(values[i]);
        if (needed[bin] && counts[i]) wanted[bin].items.emplace_back(values[i], counts[i]);
    }
    for (auto& [bin, content] : wanted) std::sort(content.items.begin(), content.items.end());
    for (size_t k = 0; k < ranks.size(); k++) {
        const Bin& bin = wanted[bins[k]];
        int64_t before = bin.below;
        size_t i = 0;
        while (i + 1 < bin.items.size() && before + bin.items[i].second <= ranks[k]) before += bin.items[i++].second;
        out[k] = bin.items.empty() ? NAN : bin.items[i].first;
    }
}

// numpy's "linear" percentiles: each lies between two neighbors in order, as often as they are counted.
struct Positions {
    std::vector<int64_t> ranks;
    std::vector<double> fractions;

    Positions(const int64_t* counts, int64_t n, const double* percents, int m) : ranks(2 * m), fractions(m) {
        int64_t total = 0;
        for (int64_t i = 0; i < n; i++) total += counts[i];
        for (int k = 0; k < m; k++) {
            const double position = (double)(total - 1) * (percents[k] / 100.0);
            ranks[2 * k] = (int64_t)std::floor(position);
            ranks[2 * k + 1] = (int64_t)std::ceil(position);
            fractions[k] = position - std::floor(position);
        }
    }
};

}  // namespace

int32_t sx_percentiles(const double* values, const int64_t* counts, int64_t n, const double* percents, int32_t m,
                       double* out) {
    const Positions at(counts, n, percents, m);
    std::vector<double> found(2 * m);
    select(values, counts, n, at.ranks, found.data());
    for (int k = 0; k < m; k++) out[k] = found[2 * k] + (found[2 * k + 1] - found[2 * k]) * at.fractions[k];
    return 0;
}

// Percentiles of atan2(y, x). Selected by y / (|x| + |y|), unrolled over the quadrants, which orders directions as the
// angle does and costs one division in place of an arctangent.
int32_t sx_angle_percentiles(const double* x, const double* y, const int64_t* counts, int64_t n, const double* percents,
                             int32_t m, double* out) {
    std::vector<double> order(n);
    for (int64_t i = 0; i < n; i++) {
        const double length = std::fabs(x[i]) + std::fabs(y[i]);
        const double p = y[i] / (length > 0 ? length : 1.0);
        const double turned = std::copysign(2.0, y[i]) - p;  // as atan2, minus zero is below the branch cut
        order[i] = std::signbit(x[i]) ? turned : p;
    }
    const Positions at(counts, n, percents, m);
    std::vector<double> found(2 * m);
    select(order.data(), counts, n, at.ranks, found.data());
    for (double& p : found) {
        if (std::fabs(p) <= 1.0)
            p = std::atan2(p, 1.0 - std::fabs(p));
        else
            p = std::atan2(p > 0 ? 2.0 - p : -(2.0 + p), 1.0 - std::fabs(p));
    }
    for (int k = 0; k < m; k++) out[k] = found[2 * k] + (found[2 * k + 1] - found[2 * k]) * at.fractions[k];
    return 0;
}

// Each color's value in a table (3, 256) of its channels.
void sx_look_up(const uint8_t* levels, int64_t n, const double* tables, double* out) {
    for (int c = 0; c < 3; c++)
        for (int64_t i = 0; i < n; i++) out[c * n + i] = tables[c * 256 + levels[c * n + i]];
}

// matrix (m, 3) times colors (3, n), each sum from left to right.
void sx_project(const double* planes, int64_t n, const double* matrix, int32_t m, double* out) {
    const double *x = planes, *y = planes + n, *z = planes + 2 * n;
    for (int32_t row = 0; row < m; row++) {
        const double a = matrix[3 * row], b = matrix[3 * row + 1], c = matrix[3 * row + 2];
        double* p = out + row * n;
        for (int64_t i = 0; i < n; i++) p[i] = a * x[i] + b * y[i] + c * z[i];
    }
}
