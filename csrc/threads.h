// Work split over threads that live for one call: nothing to hand over at a fork, no pool shared with other libraries.
#pragma once
#include <cstdint>
#include <thread>
#include <vector>

namespace sx {

// Calls work(part, first, last) for equal parts of 0..count, the first of them on the calling thread.
template <class F>
void split(int64_t count, int threads, F work) {
    const int64_t parts = threads < 1 ? 1 : (threads > count ? (count < 1 ? 1 : count) : threads);
    std::vector<std::thread> others;
    others.reserve(parts - 1);
    for (int64_t part = 1; part < parts; part++) {
        const int64_t first = count * part / parts, last = count * (part + 1) / parts;
        try {
            others.emplace_back([=] { work((int)part, first, last); });
        } catch (...) {  // no more threads to be had: do it here
            work((int)part, first, last);
        }
    }
    work(0, 0, count / parts);
    for (auto& other : others) other.join();
}

}  // namespace sx
