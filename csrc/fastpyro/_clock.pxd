# The clock that never goes back, read without a call of Python.

from fastpyro._posix cimport CLOCK_MONOTONIC, clock_gettime, timespec


# Nanoseconds, as `time.monotonic_ns` gives them.
cdef inline long long monotonic() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <long long> time.tv_sec * 1000000000 + time.tv_nsec
