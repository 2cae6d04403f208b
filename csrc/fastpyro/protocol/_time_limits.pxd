# How long calls may take, by the scopes that they are made in, and how that travels.

from libc.stdint cimport uint16_t


# A block of the program whose calls end in time.
cdef class Scope:
    cdef double seconds, until
    cdef object token


cdef int scopes_used  # 0 until the first scope of this process: until then nobody need ask

cdef double clock() noexcept nogil
cdef Scope current_scope()  # of this context, or None
cdef uint16_t code_of(double seconds) noexcept nogil
cdef double seconds_of(uint16_t code) noexcept nogil
