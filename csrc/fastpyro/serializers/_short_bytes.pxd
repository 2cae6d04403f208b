# A few bytes at a time, without a call into the C library: most texts in a message are shorter than that call is long.
# Inline only: no module of its own.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy


# The first and the last bytes of a run, which overlap unless it has 16 bytes or more. Runs of the same size up to 16
# bytes are equal when these are.
cdef struct Ends:
    uint64_t first, last


cdef inline Ends ends_of(const uint8_t *data, Py_ssize_t size) noexcept nogil:
    cdef Ends ends
    cdef uint32_t first32, last32
    if size >= 8:
        memcpy(&ends.first, data, 8)
        memcpy(&ends.last, data + size - 8, 8)
    elif size >= 4:
        memcpy(&first32, data, 4)
        memcpy(&last32, data + size - 4, 4)
        ends.first, ends.last = first32, last32
    elif size > 0:
        ends.first = (<uint64_t> data[0] << 8) | data[size >> 1]
        ends.last = data[size - 1]
    else:
        ends.first = ends.last = 0
    return ends


cdef inline bint same_bytes(const uint8_t *one, const uint8_t *other, Py_ssize_t size) noexcept nogil:
    cdef Ends ends, others
    if size > 16:
        return memcmp(one, other, size) == 0
    ends = ends_of(one, size)
    others = ends_of(other, size)
    return ends.first == others.first and ends.last == others.last


cdef inline void copy_bytes(uint8_t *to, const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """The two do not overlap."""
    cdef uint8_t first, middle
    if size > 16:
        memcpy(to, data, size)
    elif size >= 8:
        memcpy(to, data, 8)
        memcpy(to + size - 8, data + size - 8, 8)
    elif size >= 4:
        memcpy(to, data, 4)
        memcpy(to + size - 4, data + size - 4, 4)
    elif size > 0:
        first, middle = data[0], data[size >> 1]
        to[size - 1] = data[size - 1]
        to[size >> 1] = middle
        to[0] = first


cdef enum:
    LARGE = 4 << 20  # bytes that take milliseconds to be copied, into pages that are fresh


cdef inline int copy_kept(uint8_t *to, const uint8_t *data, Py_ssize_t size, object owner) except -1:
    """As `copy_bytes`, for bytes that ``owner`` keeps: where they are many, other threads run meanwhile."""
    if size < LARGE:
        copy_bytes(to, data, size)
        return 0
    _owner = owner  # a reference of our own
    with nogil:
        memcpy(to, data, size)
    return 0


# An index below `slots`, a power of two, for runs that are probably different.
cdef inline Py_ssize_t slot_of(const uint8_t *data, Py_ssize_t size, Py_ssize_t slots) noexcept nogil:
    cdef Ends ends = ends_of(data, size)
    cdef uint64_t mixed = (ends.first ^ (<uint64_t> size << 56)) * 0x9e3779b97f4a7c15ULL  # 2 ** 64 / golden ratio
    mixed = (mixed ^ (mixed >> 32) ^ ends.last) * 0x9e3779b97f4a7c15ULL
    return <Py_ssize_t> (mixed >> 40) & (slots - 1)
