// Exact color histogram of an 8-bit image in one pass, and colors put back in the place of others.
//
// One counter for each of the 2^24 colors, in Morton order (bits of red, green and blue interleaved): the colors of
// tissue are neighbors in color space, so the counters that an image touches lie close together and stay in cache.
// A table is address space, of which only touched pages ever become memory.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "api.h"
#include "kernels.h"
#include "threads.h"

namespace {

constexpr int PAGE_BITS = 12, PAGE = 1 << PAGE_BITS, PAGES = 1 << (24 - PAGE_BITS);  // of colors
constexpr size_t MAX_BYTES_KEPT = 1 << 24;  // to get a page anew takes longer than to count a thousand pixels

// One number for each color, all zero when ready, and which pages of them were touched.
template <class T>
class Table {
  public:
    Table() = default;
    Table(Table&& other) noexcept { swap(other); }
    Table& operator=(Table&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Table() { std::free(numbers); }

    void swap(Table& other) noexcept {
        std::swap(numbers, other.numbers);
        std::swap(touched, other.touched);
        std::swap(dirty, other.dirty);
    }

    // A call that failed left it dirty: then all of it is got anew.
    void make_ready() {
        if (dirty) release();
        if (!numbers) numbers = (T*)std::calloc((size_t)PAGES * PAGE, sizeof(T));
        if (!numbers) throw std::bad_alloc();
        if (touched.empty()) touched.assign(PAGES, 0);
        dirty = true;
    }

    void emptied() {
        if (std::count(touched.begin(), touched.end(), 1) * PAGE * sizeof(T) > MAX_BYTES_KEPT) return release();
        std::fill(touched.begin(), touched.end(), 0);
        dirty = false;
    }

    T* numbers = nullptr;
    std::vector<uint8_t> touched;

  private:
    void release() {
        std::free(numbers);
        numbers = nullptr;
        std::fill(touched.begin(), touched.end(), 0);
        dirty = false;
    }

    bool dirty = false;
};

// Counts in single bytes, so that four times as many colors stay in cache: one that would pass 255 goes back to 1, and a
// note is made of the 255.
class Counters : public Table<uint8_t> {
  public:
    void make_ready() {
        full.clear();
        Table::make_ready();
    }

    void count(const sx::View& view, int64_t first, int64_t last) {  // blocks
        uint32_t codes[sx::BLOCK];
        uint8_t *const table = numbers, *const page = touched.data();
        for (int64_t block = first; block < last; block++) {
            const int n = sx::current().morton(view, block, codes);
            for (int i = 0; i < n; i++) {
                const uint32_t code = codes[i];
                const uint8_t more = table[code] + 1;
                page[code >> PAGE_BITS] = 1;
                table[code] = more ? more : 1;
                if (!more) full.push_back(code);
            }
        }
    }

    // Adds what another counted, and leaves it empty.
    void absorb(Counters& other) {
        for (int p = 0; p < PAGES; p++) {
            if (!other.touched[p]) continue;
            touched[p] = 1;
            for (int line = p * PAGE; line < (p + 1) * PAGE; line += 8) {
                uint64_t any;
                std::memcpy(&any, other.numbers + line, 8);
                if (!any) continue;
                for (int i = line; i < line + 8; i++) {
                    const int sum = numbers[i] + other.numbers[i];
                    numbers[i] = (uint8_t)(sum > 255 ? sum - 255 : sum);
                    if (sum > 255) full.push_back((uint32_t)i);
                }
                std::memset(other.numbers + line, 0, 8);
            }
        }
        full.insert(full.end(), other.full.begin(), other.full.end());
        other.emptied();
    }

    int64_t distinct() const {
        int64_t total = 0;
        for (int p = 0; p < PAGES; p++)
            if (touched[p]) total += sx::current().nonzero(numbers + (size_t)p * PAGE, PAGE);
        return total;
    }

    // The k distinct colors in Morton order, with counts; leaves the table empty.
    void take(uint8_t* levels, int64_t* out, int64_t k) {
        thread_local std::vector<uint32_t> codes, counted;
        codes.resize(k + 16);
        counted.resize(k + 16);
        int64_t at = 0;
        for (int p = 0; p < PAGES && at < k; p++)
            if (touched[p])
                at += sx::current().collect(numbers + (size_t)p * PAGE, PAGE, p * PAGE, codes.data() + at, counted.data() + at);
        sx::current().decode(codes.data(), k, levels, k);
        for (int64_t i = 0; i < k; i++) out[i] = counted[i];
        for (const uint32_t code : full) out[std::lower_bound(codes.begin(), codes.begin() + k, code) - codes.begin()] += 255;
        full.clear();
        emptied();
    }

  private:
    std::vector<uint32_t> full;
};

// What stands in the place of each color.
class Palette : public Table<uint32_t> {
  public:
    // The numbers entry(i) for the colors given.
    template <class F>
    void fill(const uint8_t* levels, int64_t k, F entry) {
        const sx::View view = {(void*)levels, 1, k, k, k, 1, SX_UINT8, 0, 255, 1};
        uint32_t codes[sx::BLOCK];
        for (int64_t block = 0, i = 0; i < k; block++) {
            const int n = sx::current().morton(view, block, codes);
            for (int j = 0; j < n; j++, i++) {
                numbers[codes[j]] = entry(i);
                touched[codes[j] >> PAGE_BITS] = 1;
            }
        }
    }

    // Calls put(pointer, number) for each pixel of some blocks.
    template <class F>
    void each_pixel(const sx::View& src, const sx::View& dst, int64_t first, int64_t last, F put) const {
        uint32_t codes[sx::BLOCK];
        const int64_t per_row = sx::blocks_of(src) / (src.rows ? src.rows : 1), step = dst.column_stride;
        for (int64_t block = first; block < last; block++) {
            char* out = (char*)dst.data + block / per_row * dst.row_stride + block % per_row * sx::BLOCK * step;
            const int n = sx::current().morton(src, block, codes);
            for (int i = 0; i < n; i++) put(out + i * step, numbers[codes[i]]);
        }
    }

    void clear() {
        for (int p = 0; p < PAGES; p++)
            if (touched[p]) std::memset(numbers + (size_t)p * PAGE, 0, PAGE * sizeof(uint32_t));
        emptied();
    }
};

thread_local Palette palette;
thread_local Counters mine;
thread_local std::vector<Counters> others;  // of the threads that help this one: theirs would end with them

}  // namespace

// How many distinct colors there are; sx_histogram_take, called next on this thread, hands them over.
SX_API int64_t sx_histogram_count(const sx::View* image, int32_t threads) {
    return sx::guarded([&] {
        mine.make_ready();
        const sx::View view = sx::joined(*image);
        const int64_t blocks = sx::blocks_of(view);
        const int parts = (int)(threads < 1 ? 1 : (threads > blocks ? (blocks ? blocks : 1) : threads));
        if ((int)others.size() < parts - 1) others.resize(parts - 1);
        for (int part = 1; part < parts; part++) others[part - 1].make_ready();
        Counters *const here = &mine, *const help = others.data();  // thread_local: other threads would see their own
        sx::split(blocks, parts, [=](int part, int64_t first, int64_t last) {
            (part ? help[part - 1] : *here).count(view, first, last);
        });
        for (int part = 1; part < parts; part++) mine.absorb(others[part - 1]);
        return mine.distinct();
    });
}

SX_API int64_t sx_histogram_take(uint8_t* levels, int64_t* counts, int64_t k) {
    return sx::guarded([&] { mine.take(levels, counts, k); });
}

SX_API int64_t sx_sum(const sx::View* image, int32_t threads) {
    return sx::guarded([&] {
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
    });
}

// Colors (3, k), of the type of dst, in the place of the levels (3, k).
SX_API int64_t sx_recolor(const sx::View* src, const sx::View* dst, const uint8_t* levels, int64_t k, const void* colors,
                          int32_t threads) {
    return sx::guarded([&] {
        palette.make_ready();
        sx::View from = sx::joined(*src), to = sx::joined(*dst);
        if (from.rows != to.rows) from = *src, to = *dst;
        const bool bytes = dst->type == SX_UINT8, packed = to.column_stride == 3 && to.channel_stride == 1;
        const auto* const p = (const uint8_t*)colors;
        const auto* const values = (const float*)colors;
        const int64_t step = to.channel_stride, n = k;
        if (bytes)  // the number is the color itself
            palette.fill(levels, n, [=](int64_t i) { return p[i] | (uint32_t)p[n + i] << 8 | (uint32_t)p[2 * n + i] << 16; });
        else
            palette.fill(levels, n, [](int64_t i) { return (uint32_t)i; });
        const Palette* const here = &palette;  // thread_local: other threads would see their own
        sx::split(sx::blocks_of(from), threads, [=](int, int64_t first, int64_t last) {
            if (bytes && packed)
                here->each_pixel(from, to, first, last, [](char* out, uint32_t color) {
                    std::memcpy(out, &color, 2);
                    out[2] = (char)(color >> 16);
                });
            else if (bytes)
                here->each_pixel(from, to, first, last, [=](char* out, uint32_t color) {
                    out[0] = (char)color, out[step] = (char)(color >> 8), out[2 * step] = (char)(color >> 16);
                });
            else
                here->each_pixel(from, to, first, last, [=](char* out, uint32_t number) {
                    for (int c = 0; c < 3; c++) *(float*)(out + c * step) = values[c * n + number];
                });
        });
        palette.clear();
    });
}
