// Exact color histogram of an 8-bit image in one pass.
//
// One counter for each of the 2^24 colors, in Morton order (bits of red, green and blue interleaved): the colors of
// tissue are neighbors in color space, so the counters that an image touches lie close together and stay in cache.
// The table is 64 MB of address space, of which only touched pages ever become memory.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "api.h"
#include "threads.h"

namespace {

constexpr int PAGE_BITS = 10, PAGE = 1 << PAGE_BITS, PAGES = 1 << (24 - PAGE_BITS);
constexpr int LINE = 16;  // counters in a cache line
constexpr int MOST_PAGES_KEPT = 4096;  // 16 MB: to get a page anew takes longer than to count a thousand pixels

struct Morton {
    uint32_t of[3][256];
    Morton() {
        for (uint32_t v = 0; v < 256; v++)
            for (int c = 0; c < 3; c++) {
                uint32_t code = 0;
                for (int bit = 0; bit < 8; bit++) code |= (v >> bit & 1) << (3 * bit + 2 - c);
                of[c][v] = code;
            }
    }
};
const Morton MORTON;

class Counters {
  public:
    Counters() = default;
    Counters(Counters&& other) noexcept { swap(other); }
    Counters& operator=(Counters&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Counters() { std::free(counts); }

    void swap(Counters& other) noexcept {
        std::swap(counts, other.counts);
        std::swap(touched, other.touched);
        std::swap(dirty, other.dirty);
    }

    bool ready() {
        if (dirty) release();
        if (!counts) counts = (uint32_t*)std::calloc((size_t)PAGES * PAGE, sizeof(uint32_t));
        if (touched.empty()) touched.assign(PAGES, 0);
        dirty = counts != nullptr;
        return dirty;
    }

    template <int STRIDE>
    void count_row(const uint8_t* r, const uint8_t* g, const uint8_t* b, int64_t stride, int64_t n) {
        uint32_t* const table = counts;
        uint8_t* const page = touched.data();
        for (int64_t i = 0; i < n; i++) {
            const int64_t k = STRIDE ? i * STRIDE : i * stride;
            const uint32_t code = MORTON.of[0][r[k]] | MORTON.of[1][g[k]] | MORTON.of[2][b[k]];
            table[code]++;
            page[code >> PAGE_BITS] = 1;
        }
    }

    void count(const SxView& view, int64_t first, int64_t last) {  // rows
        for (int64_t y = first; y < last; y++) {
            const uint8_t* r = (const uint8_t*)view.data + y * view.row_stride;
            const uint8_t *g = r + view.channel_stride, *b = g + view.channel_stride;
            if (view.column_stride == 3)
                count_row<3>(r, g, b, 3, view.columns);
            else if (view.column_stride == 1)
                count_row<1>(r, g, b, 1, view.columns);
            else
                count_row<0>(r, g, b, view.column_stride, view.columns);
        }
    }

    // Adds what another counted, and leaves it empty.
    void absorb(Counters& other) {
        for (int p = 0; p < PAGES; p++) {
            if (!other.touched[p]) continue;
            touched[p] = 1;
            for (int line = p * PAGE; line < (p + 1) * PAGE; line += LINE) {
                uint32_t *const here = counts + line, *const there = other.counts + line;
                uint32_t any = 0;
                for (int i = 0; i < LINE; i++) any |= there[i];
                if (!any) continue;
                for (int i = 0; i < LINE; i++) here[i] += there[i], there[i] = 0;
            }
        }
        other.emptied();
    }

    int64_t distinct() const {
        int64_t total = 0;
        for (int p = 0; p < PAGES; p++)
            if (touched[p]) total += sx::current().nonzero(counts + (size_t)p * PAGE, PAGE);
        return total;
    }

    // The k distinct colors in Morton order, with counts; leaves the table empty.
    void take(uint8_t* levels, int64_t* out, int64_t k) {
        thread_local std::vector<uint32_t> codes, numbers;
        codes.resize(k + LINE);
        numbers.resize(k + LINE);
        int64_t at = 0;
        for (int p = 0; p < PAGES && at < k; p++)
            if (touched[p])
                at += sx::current().collect(counts + (size_t)p * PAGE, PAGE, p * PAGE, codes.data() + at, numbers.data() + at);
        sx::current().decode(codes.data(), k, levels, k);
        for (int64_t i = 0; i < k; i++) out[i] = numbers[i];
        emptied();
    }

    // Numbers the colors given in place of counting them: what take() wrote, so that pixels can find their color.
    void number(const uint8_t* levels, int64_t k) {
        for (int64_t i = 0; i < k; i++) {
            const uint32_t code = MORTON.of[0][levels[i]] | MORTON.of[1][levels[k + i]] | MORTON.of[2][levels[2 * k + i]];
            counts[code] = (uint32_t)i;
            touched[code >> PAGE_BITS] = 1;
        }
    }

    // Each pixel of src becomes the color with its number.
    template <class T>
    void recolor(const SxView& src, const SxView& dst, const T* colors, int64_t first, int64_t last) const {
        for (int64_t y = first; y < last; y++) {
            const uint8_t* r = (const uint8_t*)src.data + y * src.row_stride;
            const uint8_t *g = r + src.channel_stride, *b = g + src.channel_stride;
            char* out = (char*)dst.data + y * dst.row_stride;
            const bool packed = sizeof(T) == 1 && src.column_stride == 3 && dst.column_stride == 3 && dst.channel_stride == 1;
            const int64_t last_column = src.columns - 1;
            if (packed) {
                const uint32_t* const palette = (const uint32_t*)colors;
                for (int64_t x = 0; x < last_column; x++) {  // four bytes at once: the next pixel overwrites the fourth
                    const uint32_t code = MORTON.of[0][r[3 * x]] | MORTON.of[1][g[3 * x]] | MORTON.of[2][b[3 * x]];
                    std::memcpy(out + 3 * x, palette + counts[code], 4);
                }
            }
            for (int64_t x = packed ? last_column : 0; x < src.columns; x++) {
                const int64_t k = x * src.column_stride;
                const T* color = colors + 4 * (size_t)counts[MORTON.of[0][r[k]] | MORTON.of[1][g[k]] | MORTON.of[2][b[k]]];
                char* p = out + x * dst.column_stride;
                *(T*)p = color[0];
                *(T*)(p + dst.channel_stride) = color[1];
                *(T*)(p + 2 * dst.channel_stride) = color[2];
            }
        }
    }

    void clear() {
        for (int p = 0; p < PAGES; p++)
            if (touched[p]) std::memset(counts + (size_t)p * PAGE, 0, PAGE * sizeof(uint32_t));
        emptied();
    }

  private:
    void emptied() {
        if (std::count(touched.begin(), touched.end(), 1) > MOST_PAGES_KEPT) return release();
        std::fill(touched.begin(), touched.end(), 0);
        dirty = false;
    }

    void release() {
        std::free(counts);
        counts = nullptr;
        std::fill(touched.begin(), touched.end(), 0);
        dirty = false;
    }

    uint32_t* counts = nullptr;
    std::vector<uint8_t> touched;
    bool dirty = false;
};

thread_local Counters mine;
thread_local std::vector<Counters> others;  // of the threads that help this one: theirs would end with them

}  // namespace

int64_t sx_histogram_count(const SxView* image, int32_t threads) {
    if (!mine.ready()) return SX_NO_MEMORY;
    const int64_t rows = image->rows;
    const int parts = (int)(threads < 1 ? 1 : (threads > rows ? (rows ? rows : 1) : threads));
    if ((int)others.size() < parts - 1) others.resize(parts - 1);
    for (int part = 1; part < parts; part++)
        if (!others[part - 1].ready()) return SX_NO_MEMORY;
    Counters *const here = &mine, *const help = others.data();  // thread_local: other threads would see their own
    sx::split(rows, parts, [=](int part, int64_t first, int64_t last) {
        (part ? help[part - 1] : *here).count(*image, first, last);
    });
    for (int part = 1; part < parts; part++) {
        mine.absorb(others[part - 1]);
    }
    return mine.distinct();
}

void sx_histogram_take(uint8_t* levels, int64_t* counts, int64_t k) { mine.take(levels, counts, k); }

int64_t sx_sum(const SxView* image, int32_t threads) {
    std::vector<int64_t> sums(threads < 1 ? 1 : threads, 0);
    sx::split(image->rows, threads, [&](int part, int64_t first, int64_t last) {
        int64_t sum = 0;
        for (int64_t y = first; y < last; y++)
            for (int c = 0; c < 3; c++) {
                const uint8_t* p = (const uint8_t*)image->data + y * image->row_stride + c * image->channel_stride;
                if (image->column_stride == 3 && image->channel_stride == 1) {
                    if (c == 0)  // all channels at once
                        for (int64_t x = 0; x < 3 * image->columns; x++) sum += p[x];
                } else {
                    for (int64_t x = 0; x < image->columns; x++) sum += p[x * image->column_stride];
                }
            }
        sums[part] = sum;
    });
    int64_t total = 0;
    for (const int64_t sum : sums) total += sum;
    return total;
}

int32_t sx_recolor(const SxView* src, const SxView* dst, const uint8_t* levels, int64_t k, const void* colors,
                   int32_t threads) {
    if (!mine.ready()) return SX_NO_MEMORY;
    mine.number(levels, k);
    const Counters* const here = &mine;
    sx::split(src->rows, threads, [&](int, int64_t first, int64_t last) {
        if (dst->type == SX_UINT8)
            here->recolor(*src, *dst, (const uint8_t*)colors, first, last);
        else
            here->recolor(*src, *dst, (const float*)colors, first, last);
    });
    mine.clear();
    return 0;
}
