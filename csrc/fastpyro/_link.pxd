# One connected descriptor.

from libc.stdint cimport uint8_t, uint64_t

from fastpyro._wire cimport Assembler, Message


cdef class Link:
    cdef readonly object sock
    cdef int fd
    cdef Assembler assembler
    cdef uint64_t max_message_size
    cdef uint8_t *buffer
    cdef Py_ssize_t start, end
    cdef bint busy, closing, broken

    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int send_message(
        self, int kind, int flags, int seq, int serializer_id, object payload, object annotations,
        object correlation_id, double deadline,
    ) except -1
    cdef int send_small(self, uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int send_parts(
        self, uint8_t *head, Py_ssize_t head_size, const uint8_t *tail, Py_ssize_t tail_size, double deadline,
    ) except -1
    cdef Message receive_message(self, double deadline)
    cdef Message next_buffered(self)
    cdef Py_ssize_t receive_some(self, double deadline, bint wait) except -1
    cdef int wait_ready(self, short events, double deadline) except -1
    cdef int release_buffer(self) noexcept
