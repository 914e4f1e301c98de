// An RGB image in memory: any layout, positive or negative strides, 8-bit or float pixels.
#pragma once
#include <cstddef>
#include <cstdint>

enum SxType : int32_t { SX_UINT8 = 0, SX_FLOAT32 = 1 };

namespace sx {

struct View {
    void* data;
    int64_t rows, columns;
    int64_t channel_stride, row_stride, column_stride;  // bytes
    int32_t type;                                       // SxType
    float low, scale;                                   // value = low + scale * unit; 0 and 255 for uint8
    int32_t clip;                                       // whether floats written are clipped to that range
};

}  // namespace sx
