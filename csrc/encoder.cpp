// StainLUT's Encoder over a whole image. A normalization with the statistics of the image needs all of a layer before
// the next one can start, so that layers are passes over memory; with fixed statistics a row goes through all of them
// while it is in cache. Rows are asked for from the last layer back: each layer keeps the few it will need again.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "api.h"
#include "encoder.h"
#include "threads.h"

namespace {

using sx::CHANNELS;
using sx::edge;
using sx::Sums;

constexpr int BAND = 16;  // rows whose sums are added up by themselves, so that no split over threads changes them

// Memory for rows of activations, of which a kernel only writes the pixels.
class Buffer {
public:
    explicit Buffer(size_t bytes) {
        constexpr size_t PAGE = 1 << 21;
        const size_t alignment = bytes >= PAGE ? PAGE : 64, size = (bytes + alignment - 1) / alignment * alignment;
        all_ = (char*)std::malloc(size + alignment);
        if (!all_) throw std::bad_alloc();
        data_ = all_ + (alignment - (uintptr_t)all_ % alignment) % alignment;
#if defined(__linux__)
        if (bytes >= PAGE) madvise(data_, size, MADV_HUGEPAGE);  // faults by 2 MB, not by 4 kB
#endif
    }
    ~Buffer() { std::free(all_); }
    Buffer(const Buffer&) = delete;
    char* data() const { return data_; }

private:
    char *all_, *data_;
};

struct Shape {
    int64_t rows, columns, stride;  // bytes of a row of activations, zeros and slack included

    Shape(int64_t rows, int64_t columns, int bytes)
        : rows(rows), columns(columns), stride((columns + 2 + sx::SLACK) * CHANNELS * bytes) {}
};

class Rows {
public:
    virtual ~Rows() = default;
    virtual const void* row(int64_t y) = 0;  // zeros outside the image
};

class Layer : public Rows {
public:
    virtual void make(int64_t y, void* out, Sums* sums) = 0;
};

// The last few rows of a layer.
class Ring : public Rows {
public:
    Ring(Layer& layer, const Shape& shape, int size, const sx::EncoderRows& kernels, const void* zeros)
        : layer_(layer), shape_(shape), size_(size), zeros_(zeros), memory_(size * shape.stride), held_(size, -1) {
        for (int k = 0; k < size; k++) close(memory_.data() + k * shape.stride, shape, kernels);
    }
    const void* row(int64_t y) override {
        if (y < 0 || y >= shape_.rows) return zeros_;
        char* at = memory_.data() + y % size_ * shape_.stride;
        if (held_[y % size_] != y) layer_.make(y, at, nullptr), held_[y % size_] = y;
        return at;
    }
    // The zero pixels at the ends of a row.
    static void close(char* row, const Shape& shape, const sx::EncoderRows& kernels) {
        const size_t pixel = CHANNELS * kernels.bytes;
        std::memset(row, 0, pixel);
        std::memset(row + (shape.columns + 1) * pixel, 0, pixel);
    }

private:
    Layer& layer_;
    const Shape shape_;
    const int size_;
    const void* zeros_;
    Buffer memory_;
    std::vector<int64_t> held_;
};

// All rows of a layer, in a buffer that the next layer is written into two rows further up: a row is overwritten when the
// last of the three that need it is done. Copies stand in for the rows that the thread of the rows below overwrites.
class Stored : public Rows {
public:
    static constexpr int SHIFT = 2;

    Stored(const Buffer& buffer, const Shape& shape, int offset, int64_t end, const void* zeros)
        : data_(buffer.data() + offset * shape.stride), shape_(shape), zeros_(zeros), kept_from_(end - SHIFT),
          kept_(end < shape.rows ? (SHIFT + 1) * shape.stride : 1) {
        if (end < shape.rows) std::memcpy(kept_.data(), data_ + kept_from_ * shape.stride, (SHIFT + 1) * shape.stride);
    }
    const void* row(int64_t y) override {
        if (y < 0 || y >= shape_.rows) return zeros_;
        if (y >= kept_from_ && kept_from_ + SHIFT < shape_.rows) return kept_.data() + (y - kept_from_) * shape_.stride;
        return data_ + y * shape_.stride;
    }

private:
    const char* data_;
    const Shape shape_;
    const void* zeros_;
    const int64_t kept_from_;
    Buffer kept_;
};

class FirstLayer : public Layer {
public:
    FirstLayer(const uint8_t* gray, const Shape& shape, const sx::EncoderRows& kernels, const sx::First& weights)
        : gray_(gray), shape_(shape), kernels_(kernels), weights_(weights), width_(shape.columns + 2 + sx::SLACK),
          memory_(4 * width_ * sizeof(float)) {
        std::memset(memory_.data(), 0, 4 * width_ * sizeof(float));
    }
    void make(int64_t y, void* out, Sums* sums) override {
        const float* const rows[3] = {levels(y - 1), levels(y), levels(y + 1)};
        kernels_.first(rows, weights_, shape_.columns, out, sums);
    }
    const void* row(int64_t) override { return nullptr; }

private:
    const float* levels(int64_t y) {
        float* base = (float*)memory_.data();
        if (y < 0 || y >= shape_.rows) return base + 3 * width_;  // stays zero
        float* at = base + y % 3 * width_;
        if (held_[y % 3] != y) {
            const uint8_t* from = gray_ + y * shape_.columns;
            for (int64_t x = 0; x < shape_.columns; x++) at[x + 1] = (float)from[x];
            held_[y % 3] = y;
        }
        return at;
    }

    const uint8_t* gray_;
    const Shape shape_;
    const sx::EncoderRows& kernels_;
    const sx::First& weights_;
    const int64_t width_;
    Buffer memory_;
    int64_t held_[3] = {-1, -1, -1};
};

class MiddleLayer : public Layer {
public:
    MiddleLayer(Rows& in, const Shape& shape, const sx::EncoderRows& kernels, const sx::Middle& weights)
        : in_(in), shape_(shape), kernels_(kernels), weights_(weights) {}
    void make(int64_t y, void* out, Sums* sums) override {
        const void* const rows[3] = {in_.row(y - 1), in_.row(y), in_.row(y + 1)};
        kernels_.middle(rows, weights_, edge(y, shape_.rows), shape_.columns, out, sums);
    }
    const void* row(int64_t) override { return nullptr; }

private:
    Rows& in_;
    const Shape shape_;
    const sx::EncoderRows& kernels_;
    const sx::Middle& weights_;
};

// ---- folding --------------------------------------------------------------------------------------------------------

// Of what is stored, after the subtraction of its center: y = scale (x - mean) + shift.
struct Normalization {
    double scale[CHANNELS], mean[CHANNELS], shift[CHANNELS];
};

float rounded(double x, const sx::EncoderRows& kernels) {
    const float value = (float)x;
    if (!kernels.rounded) return value;
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;  // to the nearest bfloat16, half to even
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

bool inside(int tap, int row_edge, int column_edge) {
    const auto missing = [](int place, int edges) { return (place == 0 && edges & 1) || (place == 2 && edges & 2); };
    return !missing(tap / 3, row_edge) && !missing(tap % 3, column_edge);
}

double leaky(double x) { return x > 0 ? x : 0.2 * x; }

// The mean LeakyReLU of a layer if its input were the same everywhere: by the number of pixels at each border.
double mean_of_flat(const Shape& shape, double bias, const double part[9]) {
    const auto count = [](int64_t size, int edges) {
        return (double)(edges == 0 ? (size > 2 ? size - 2 : 0) : edges == 3 ? size == 1 : size > 1);
    };
    double mean = 0;
    for (int row = 0; row < 4; row++)
        for (int column = 0; column < 4; column++) {
            double sum = bias;
            for (int tap = 0; tap < 9; tap++)
                if (inside(tap, row, column)) sum += part[tap];
            mean += count(shape.rows, row) * count(shape.columns, column) * leaky(sum);
        }
    return mean / ((double)shape.rows * (double)shape.columns);
}

Normalization of_statistics(const sx::EncoderWeights& net, int layer, const double* mean, const double* variance) {
    Normalization result;
    for (int c = 0; c < CHANNELS; c++) {
        result.scale[c] = net.gain[layer * CHANNELS + c] / std::sqrt(variance[c] + (double)net.epsilon);
        result.mean[c] = mean[c];
        result.shift[c] = net.shift[layer * CHANNELS + c];
    }
    return result;
}

Normalization of_sums(const sx::EncoderWeights& net, int layer, const std::vector<Sums>& bands, double pixels) {
    double mean[CHANNELS], variance[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) {
        double sum = 0, square = 0;
        for (const Sums& band : bands) sum += band.sum[c], square += band.square[c];
        mean[c] = sum / pixels;
        const double spread = square / pixels - mean[c] * mean[c];
        variance[c] = spread > 0 ? spread : 0;
    }
    return of_statistics(net, layer, mean, variance);
}

// Statistics that come with the network; the center of what is stored is then the mean.
Normalization of_network(const sx::EncoderWeights& net, int layer) {
    double mean[CHANNELS] = {}, variance[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) variance[c] = net.variance[layer * CHANNELS + c];
    return of_statistics(net, layer, mean, variance);
}

void fold(const sx::EncoderWeights& net, double mean_level, const Shape& shape, sx::First& layer) {
    for (int c = 0; c < CHANNELS; c++) {
        double flat[9];
        for (int tap = 0; tap < 9; tap++) {
            const double weight = net.first[tap * CHANNELS + c] / 255.0;
            layer.weight[tap][c] = (float)weight;
            flat[tap] = weight * mean_level;
        }
        layer.bias[c] = net.biases[c];
        layer.center[c] = net.mean ? net.mean[c] : (float)mean_of_flat(shape, net.biases[c], flat);
    }
}

void fold(const sx::EncoderWeights& net, int number, const Normalization& in, const Shape& shape, const sx::EncoderRows& kernels,
          sx::Middle& layer) {
    const float* bias = net.biases + (number + 1) * CHANNELS;
    for (int o = 0; o < CHANNELS; o++) {
        double part[9] = {}, flat[9] = {};  // of the bias, by tap; of the mean
        for (int tap = 0; tap < 9; tap++)
            for (int i = 0; i < CHANNELS; i++) {
                const double weight = net.middle[((number * 9 + tap) * CHANNELS + i) * CHANNELS + o];
                const float folded = rounded(weight * in.scale[i], kernels);
                layer.weight[tap][i][o] = folded;
                part[tap] += weight * in.shift[i] - folded * in.mean[i];
                flat[tap] += weight * in.shift[i];
            }
        for (int row = 0; row < 4; row++)
            for (int column = 0; column < 4; column++) {
                double sum = bias[o];
                for (int tap = 0; tap < 9; tap++)
                    if (inside(tap, row, column)) sum += part[tap];
                layer.bias[row][column][o] = (float)sum;
            }
        layer.center[o] = net.mean ? net.mean[(number + 1) * CHANNELS + o] : (float)mean_of_flat(shape, bias[o], flat);
    }
    kernels.pack(layer);
}

void fold(const sx::EncoderWeights& net, const Normalization& fourth, const Normalization& first, const sx::EncoderRows& kernels,
          sx::Last& layer) {
    double part[9] = {};
    for (int tap = 0; tap < 9; tap++)
        for (int source = 0; source < 2; source++) {
            const Normalization& in = source ? first : fourth;
            for (int i = 0; i < CHANNELS; i++) {
                const double weight = net.last[tap * CHANNELS + i];
                const float folded = rounded(weight * in.scale[i], kernels);
                layer.weight[source][tap][i] = folded;
                part[tap] += weight * in.shift[i] - folded * in.mean[i];
            }
        }
    for (int row = 0; row < 4; row++)
        for (int column = 0; column < 4; column++) {
            double sum = net.last_bias;
            for (int tap = 0; tap < 9; tap++)
                if (inside(tap, row, column)) sum += part[tap];
            layer.bias[row][column] = (float)sum;
        }
    kernels.pack_last(layer);
}

// ---- passes ---------------------------------------------------------------------------------------------------------

class Encoder {
public:
    Encoder(const uint8_t* gray, int64_t rows, int64_t columns, const sx::EncoderWeights& net, const sx::EncoderRows& kernels,
            int threads)
        : gray_(gray), shape_(rows, columns, kernels.bytes), net_(net), kernels_(kernels),
          bands_((rows + BAND - 1) / BAND), parts_(threads < 1 ? 1 : threads < bands_ ? threads : (int)bands_),
          zeros_(shape_.stride), sums_(bands_) {
        std::memset(zeros_.data(), 0, shape_.stride);
    }

    void run(float* context) {
        net_.mean ? at_once(context) : by_layers(context);
    }

private:
    // Calls work(stages of this thread, band, first row, end), with the stages that build(end of the thread's rows) made
    // beforehand.
    template <class Build, class Work>
    void pass(Build build, Work work) {
        std::vector<decltype(build((int64_t)0))> stages;
        for (int64_t part = 0; part < parts_; part++) stages.push_back(build(end_of(bands_ * (part + 1) / parts_ - 1)));
        sx::split(bands_, parts_, [&](int part, int64_t first, int64_t last) {
            for (int64_t band = first; band < last; band++) work(*stages[part], band, band * BAND, end_of(band));
        });
    }

    int64_t end_of(int64_t band) const { return (band + 1) * BAND < shape_.rows ? (band + 1) * BAND : shape_.rows; }

    Normalization statistics(int layer) const {
        return of_sums(net_, layer, sums_, (double)shape_.rows * (double)shape_.columns);
    }

    void by_layers(float* context) {
        fold(net_, mean_level(), shape_, first_);
        pass([&](int64_t) { return std::make_unique<FirstLayer>(gray_, shape_, kernels_, first_); },
             [&](FirstLayer& layer, int64_t band, int64_t y, int64_t end) {
                 sums_[band] = {};
                 for (; y < end; y++) layer.make(y, nullptr, &sums_[band]);
             });
        const Normalization of_first = statistics(0);
        Normalization normalization = of_first;

        struct FromGray {
            FirstLayer first;
            Ring ring;
            MiddleLayer layer;
            explicit FromGray(Encoder& e)
                : first(e.gray_, e.shape_, e.kernels_, e.first_), ring(first, e.shape_, 4, e.kernels_, e.zeros_.data()),
                  layer(ring, e.shape_, e.kernels_, e.middle_[0]) {}
        };
        struct FromMemory {
            Stored in;
            MiddleLayer layer;
            FromMemory(Encoder& e, const Buffer& buffer, int number, int offset, int64_t end)
                : in(buffer, e.shape_, offset, end, e.zeros_.data()),
                  layer(in, e.shape_, e.kernels_, e.middle_[number]) {}
        };
        const Buffer buffer((shape_.rows + 2 * Stored::SHIFT) * shape_.stride);
        for (int number = 0; number < 3; number++) {
            fold(net_, number, normalization, shape_, kernels_, middle_[number]);
            const int offset = (2 - number) * Stored::SHIFT;
            const auto store = [&](auto& stages, int64_t band, int64_t y, int64_t end) {
                sums_[band] = {};
                for (; y < end; y++) {
                    char* row = buffer.data() + (y + offset) * shape_.stride;
                    Ring::close(row, shape_, kernels_);
                    stages.layer.make(y, row, &sums_[band]);
                }
            };
            if (number == 0)
                pass([&](int64_t) { return std::make_unique<FromGray>(*this); }, store);
            else
                pass([&](int64_t end) {
                    return std::make_unique<FromMemory>(*this, buffer, number, offset + Stored::SHIFT, end);
                }, store);
            normalization = statistics(number + 1);
        }

        fold(net_, normalization, of_first, kernels_, last_);
        struct Ends {
            Stored fourth;
            FirstLayer layer;
            Ring first;
            Ends(Encoder& e, const Buffer& buffer)
                : fourth(buffer, e.shape_, 0, e.shape_.rows, e.zeros_.data()),
                  layer(e.gray_, e.shape_, e.kernels_, e.first_), first(layer, e.shape_, 4, e.kernels_, e.zeros_.data()) {}
        };
        pass([&](int64_t) { return std::make_unique<Ends>(*this, buffer); },
             [&](Ends& stages, int64_t, int64_t y, int64_t end) {
                 for (; y < end; y++) finish(stages.fourth, stages.first, y, context);
             });
    }

    void at_once(float* context) {
        fold(net_, 0, shape_, first_);
        for (int number = 0; number < 3; number++)
            fold(net_, number, of_network(net_, number), shape_, kernels_, middle_[number]);
        fold(net_, of_network(net_, 3), of_network(net_, 0), kernels_, last_);
        struct Chain {
            FirstLayer one;
            Ring first;
            MiddleLayer two;
            Ring second;
            MiddleLayer three;
            Ring third;
            MiddleLayer four;
            Ring fourth;
            Chain(Encoder& e)
                : one(e.gray_, e.shape_, e.kernels_, e.first_), first(one, e.shape_, 8, e.kernels_, e.zeros_.data()),
                  two(first, e.shape_, e.kernels_, e.middle_[0]), second(two, e.shape_, 4, e.kernels_, e.zeros_.data()),
                  three(second, e.shape_, e.kernels_, e.middle_[1]), third(three, e.shape_, 4, e.kernels_, e.zeros_.data()),
                  four(third, e.shape_, e.kernels_, e.middle_[2]), fourth(four, e.shape_, 4, e.kernels_, e.zeros_.data()) {}
        };
        pass([&](int64_t) { return std::make_unique<Chain>(*this); },
             [&](Chain& chain, int64_t, int64_t y, int64_t end) {
                 for (; y < end; y++) finish(chain.fourth, chain.first, y, context);
             });
    }

    void finish(Rows& fourth, Rows& first, int64_t y, float* context) {
        const void* const above[3] = {fourth.row(y - 1), fourth.row(y), fourth.row(y + 1)};
        const void* const below[3] = {first.row(y - 1), first.row(y), first.row(y + 1)};
        kernels_.last(above, below, last_, edge(y, shape_.rows), shape_.columns, context + y * shape_.columns);
    }

    double mean_level() const {
        const int64_t pixels = shape_.rows * shape_.columns;
        int64_t sum = 0;
        for (int64_t i = 0; i < pixels; i++) sum += gray_[i];
        return (double)sum / (double)pixels;
    }

    const uint8_t* gray_;
    const Shape shape_;
    const sx::EncoderWeights& net_;
    const sx::EncoderRows& kernels_;
    const int64_t bands_;
    const int parts_;
    Buffer zeros_;
    std::vector<Sums> sums_;
    sx::First first_;
    sx::Middle middle_[3];
    sx::Last last_;
};

}  // namespace

// The context (rows, columns) of 8-bit grays; fast: in bfloat16 where the instruction set in use has it.
SX_API int64_t sx_encode(const uint8_t* gray, int64_t rows, int64_t columns, const sx::EncoderWeights* net, int32_t fast,
                         float* context, int32_t threads) {
    return sx::guarded([&] { Encoder(gray, rows, columns, *net, *sx::encoder_rows(fast), threads).run(context); });
}
