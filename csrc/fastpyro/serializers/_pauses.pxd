# How a reader of long messages lets other threads run; see _pauses.pyx.

from libc.stdint cimport uint8_t


cdef struct Pauses:
    const uint8_t *due  # beyond it the reader looks at the clock
    long long last  # when other threads could run, in nanoseconds


cdef enum:
    LONG = 1 << 18  # bytes; a shorter message is read within a few milliseconds

cdef void begin_long(Pauses *pauses, object data, const uint8_t *at, const uint8_t *end) noexcept
cdef int pause(Pauses *pauses, const uint8_t *at) except -1


# Begin to read `data`, at the first of its bytes and up to their end.
cdef inline void begin_pauses(Pauses *pauses, object data, const uint8_t *at, const uint8_t *end) noexcept:
    pauses.due = end
    if end - at >= LONG:
        begin_long(pauses, data, at, end)


# To be called between two values, while nothing is borrowed that others could change.
cdef inline int pause_if_due(Pauses *pauses, const uint8_t *at) except -1:
    return pause(pauses, at) if at > pauses.due else 0
