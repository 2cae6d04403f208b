# What a peer has not taken yet of what was sent to it.

from libc.stdint cimport uint8_t

from fastpyro._posix cimport iovec
from fastpyro.transport._stream cimport Stream


cdef class OutputStream(Stream):
    cdef object outlet  # who is told of bytes that wait, None: senders wait themselves
    cdef object queue  # chunks that wait, in order, or None; while there are any `sending` is set
    cdef Py_ssize_t queue_start  # bytes of the first chunk that have been sent
    cdef readonly Py_ssize_t unsent
    cdef readonly Py_ssize_t unsent_messages
    cdef int stall
    cdef long long budget, pace

    cdef bint take_turn_soon(self) except -1
    cdef int put_in_queue(self, iovec *parts, Py_ssize_t count, list owners, bint in_front) except -1
    cdef int drop_chunk(self) except -1
    cdef int finish_sending(self) except -1
    cdef int forget_queue(self) noexcept
