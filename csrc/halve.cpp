// Half the resolution of an 8-bit RGB image: means of 2 x 2 pixels, rounded half up. At an odd edge the last row or column
// counts twice.
#include <cstring>

#include "api.h"

namespace {

constexpr int64_t CHUNK = 768;  // bytes of a row worked on at once, a whole number of pixels

#if defined(SX_X86) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))  // integers: the same on both
#else
#define WIDE
#endif

// Means of the pixels that begin at every byte, of which every second pixel is wanted: twice the sums, but vectors.
WIDE void means(const uint8_t* above, const uint8_t* below, int64_t bytes, uint8_t* out) {
    uint16_t sums[CHUNK + 3];
    for (int64_t i = 0; i < bytes + 3; i++) sums[i] = (uint16_t)(above[i] + below[i]);
    for (int64_t i = 0; i < bytes; i++) out[i] = (uint8_t)((uint16_t)(sums[i] + sums[i + 3] + 2) >> 2);
}

void halve_row(const uint8_t* above, const uint8_t* below, int64_t columns, uint8_t* out) {
    uint8_t mean[CHUNK];
    const int64_t bytes = columns / 2 * 6;
    for (int64_t start = 0; start < bytes; start += CHUNK) {
        const int64_t count = bytes - start < CHUNK ? bytes - start : CHUNK;
        means(above + start, below + start, count - 3, mean);
        for (int64_t i = 0; i < count - 6; i += 6, out += 3) std::memcpy(out, mean + i, 4);  // a byte more: one move
        std::memcpy(out, mean + count - 6, 3);
        out += 3;
    }
    if (columns % 2)
        for (int c = 0; c < 3; c++) out[c] = (uint8_t)((2 * above[bytes + c] + 2 * below[bytes + c] + 2) >> 2);
}

}  // namespace

// RGB (rows, columns, 3), rows row_stride bytes apart, to ((rows + 1) / 2, (columns + 1) / 2, 3).
SX_API int64_t sx_halve(const uint8_t* src, int64_t rows, int64_t columns, int64_t row_stride, uint8_t* out) {
    return sx::guarded([&] {
        const int64_t width = (columns + 1) / 2 * 3;
        uint8_t* to = out;
        for (int64_t row = 0; row < rows; row += 2, to += width) {
            const uint8_t* above = src + row * row_stride;
            halve_row(above, row + 1 < rows ? above + row_stride : above, columns, to);
        }
    });
}
