// Work split over threads that live for one call: nothing to hand over at a fork, no pool shared with other libraries.
#pragma once
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace sx {

// Calls work(part, first, last) for equal parts of 0..count, the first of them on the calling thread. What one of them
// throws is thrown here, when all have ended.
template <class F>
void split(int64_t count, int threads, const F& work) {
    const int64_t parts = threads < 1 ? 1 : (threads > count ? (count < 1 ? 1 : count) : threads);
    const auto one = [&](int64_t part) { work((int)part, count * part / parts, count * (part + 1) / parts); };
    if (parts == 1) return one(0);
    std::vector<std::exception_ptr> failures(parts);
    const auto guarded = [&](int64_t part) noexcept {
        try {
            one(part);
        } catch (...) {
            failures[part] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(parts - 1);
    for (int64_t part = 1; part < parts; part++) {
        try {
            others.emplace_back([&guarded, part] { guarded(part); });
        } catch (const std::exception&) {  // no more threads to be had: do it here
            guarded(part);
        }
    }
    guarded(0);
    for (auto& other : others) other.join();
    for (const auto& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

}  // namespace sx
