// Calls the kernels of another machine under an emulator: reads calls from its input, writes results to its output.
// A call is the name, the arguments, and the memory that pointers point into; all of the memory goes back.
//
// AArch64 passes whole numbers and pointers in x0..x7 and floats in v0..v7, whatever their order, so that one type of
// function serves them all. ENTRIES lists X(name) for each.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define X(name) extern "C" int64_t name();
ENTRIES
#undef X
extern "C" int32_t sx_select(const char*);
extern "C" const char* sx_selected();
extern "C" const char* sx_message();
struct Size {
    const char* structure;
    int64_t bytes;
};
extern "C" const Size* sx_sizes();

namespace {

using Function = int64_t (*)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, double,
                             double, double, double, double, double, double);

struct Entry {
    const char* name;
    Function function;
};

const Entry ALL[] = {
#define X(name) {#name, (Function)(void*)name},
    ENTRIES
#undef X
};

template <class T>
T read() {
    T value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(0);  // the caller is done
    return value;
}

void write(const void* data, size_t bytes) { std::fwrite(data, 1, bytes, stdout); }

void write(const std::string& text) {
    const int64_t size = (int64_t)text.size();
    write(&size, 8), write(text.data(), text.size());
}

std::string read_text() {
    std::string text(read<int64_t>(), ' ');
    for (char& c : text) c = read<char>();
    return text;
}

struct Block {
    std::vector<char> owned;
    char* data;
    int64_t size;
};

Block read_block() {
    Block block;
    block.size = read<int64_t>();
    block.owned.resize(block.size + 64);
    block.data = block.owned.data() + (64 - (uintptr_t)block.owned.data() % 64);
    if (block.size && std::fread(block.data, block.size, 1, stdin) != 1) std::exit(1);
    return block;
}

}  // namespace

int main() {
    for (;;) {
        const std::string name = read_text();
        if (name == "sx_sizes") {
            std::string text;
            for (const Size* size = sx_sizes(); size->structure; size++)
                text += std::string(size->structure) + " " + std::to_string(size->bytes) + "\n";
            write(text);
        } else if (name == "sx_message") {
            write(std::string(sx_message()));
        } else {
            std::vector<Block> blocks(read<int64_t>());
            for (Block& block : blocks) block = read_block();
            // Pointers within structures: block, offset, block that it points into, offset there.
            for (int64_t n = read<int64_t>(); n > 0; n--) {
                const int64_t in = read<int64_t>(), at = read<int64_t>(), to = read<int64_t>(), offset = read<int64_t>();
                const char* target = blocks[to].data + offset;
                std::memcpy(blocks[in].data + at, &target, 8);
            }
            int64_t whole[8] = {};
            double floats[8] = {};
            int used_whole = 0, used_floats = 0;
            for (int64_t n = read<int64_t>(); n > 0; n--) {
                const char kind = read<char>();
                if (kind == 'p') {
                    const int64_t to = read<int64_t>(), offset = read<int64_t>();
                    whole[used_whole++] = (int64_t)(blocks[to].data + offset);
                } else if (kind == 'i') {
                    whole[used_whole++] = read<int64_t>();
                } else {  // eight bytes of a register: a double, or a float in the lower half
                    floats[used_floats++] = read<double>();
                }
            }
            int64_t result = INT64_MIN;
            for (const Entry& entry : ALL)
                if (name == entry.name)
                    result = entry.function(whole[0], whole[1], whole[2], whole[3], whole[4], whole[5], whole[6], whole[7],
                                            floats[0], floats[1], floats[2], floats[3], floats[4], floats[5], floats[6],
                                            floats[7]);
            write(&result, 8);
            for (const Block& block : blocks) write(block.data, block.size);
        }
        std::fflush(stdout);
    }
}
