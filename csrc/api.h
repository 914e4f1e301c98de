// How Python calls, through ctypes: plain C functions, so that one build serves every Python and every torch. Each is
// defined beside what it does, and listed once more in stainxform/_native/signatures.py.
#pragma once
#include <cstdint>
#include <exception>
#include <new>
#include <type_traits>

#if defined(_WIN32)
#define SX_API extern "C" __declspec(dllexport)
#else
#define SX_API extern "C" __attribute__((visibility("default")))
#endif

namespace sx {

enum Failure : int64_t { NO_MEMORY = -1, FAILED = -2 };

void keep_message(const char* message) noexcept;  // of this thread's last failure, for sx_message

// What an entry point returns: the result of its work, 0 where there is none, or a failure. No exception passes.
template <class F>
int64_t guarded(const F& work) noexcept {
    try {
        if constexpr (std::is_void_v<decltype(work())>) {
            work();
            return 0;
        } else {
            return work();
        }
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    } catch (const std::exception& error) {
        keep_message(error.what());
    } catch (...) {
        keep_message("an exception without a message");
    }
    return FAILED;
}

}  // namespace sx
