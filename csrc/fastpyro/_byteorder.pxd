# Big-endian integers and doubles in raw memory. Inline only: no module of its own.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef inline uint16_t load16(const uint8_t *data) noexcept nogil:
    return <uint16_t> ((data[0] << 8) | data[1])


cdef inline uint32_t load32(const uint8_t *data) noexcept nogil:
    return (<uint32_t> data[0] << 24) | (<uint32_t> data[1] << 16) | (<uint32_t> data[2] << 8) | data[3]


cdef inline uint64_t load64(const uint8_t *data) noexcept nogil:
    return (<uint64_t> load32(data) << 32) | load32(data + 4)


cdef inline double load_double(const uint8_t *data) noexcept nogil:
    cdef uint64_t bits = load64(data)
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline void store16(uint8_t *out, uint16_t value) noexcept nogil:
    out[0] = <uint8_t> (value >> 8)
    out[1] = <uint8_t> value


cdef inline void store32(uint8_t *out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t> (value >> 24)
    out[1] = <uint8_t> (value >> 16)
    out[2] = <uint8_t> (value >> 8)
    out[3] = <uint8_t> value


cdef inline void store64(uint8_t *out, uint64_t value) noexcept nogil:
    store32(out, <uint32_t> (value >> 32))
    store32(out + 4, <uint32_t> value)


cdef inline void store_double(uint8_t *out, double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    store64(out, bits)
