# Messages out of received bytes, for the modules that receive them.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from fastpyro.protocol._message cimport Header, Message


# Where the bytes of the next message go. A user asks `room` for a pointer and a size, copies or receives at most that
# many bytes there and reports them with `filled`, which answers 1 when `take` has a whole message.
cdef class Assembler:
    cdef uint64_t max_message_size
    cdef uint64_t annotation_room  # bytes that annotations may have beside that
    cdef uint8_t head[40]
    cdef Py_ssize_t head_filled, head_size  # head_size: of the next message, or of its prefix while that is unknown
    cdef int dialect  # protocol version, 0 until the first message says which
    cdef bytes hmac_key
    cdef Header header
    cdef double deadline  # of the message, from when its header was here; 0 for none
    cdef PyObject *body  # an owned bytes object, or NULL between messages
    cdef dict annotations
    # With FLAG_BUFFERS: what is known of the buffers, the payload proper, and the buffer that is being received.
    cdef bytes table
    cdef bytes payload
    cdef list buffers
    cdef object target
    cdef uint8_t *target_data
    cdef Py_ssize_t body_capacity, body_filled, body_size
    cdef int stage
    cdef Py_ssize_t done  # bytes of the message's parts that are whole, and what they take beside

    cdef int room(self, uint8_t **target, Py_ssize_t *size) except -1
    cdef int filled(self, Py_ssize_t count) except -1
    cdef int start_body(self, int stage, Py_ssize_t size) except -1
    cdef int start_payload(self) except -1
    cdef int read_table(self) except -1
    cdef int start_next_buffer(self) except -1
    cdef object take_body(self)
    cdef Message take(self)
    cdef uint64_t limit(self, uint64_t annotations_size) noexcept
    cdef int set_dialect(self, int dialect) except -1
    cdef bint idle(self) noexcept
    cdef Py_ssize_t missing(self) noexcept  # bytes of the part that is being received, unless it is the header
    cdef bint complete(self) noexcept
    cdef Py_ssize_t held(self) noexcept  # bytes that the message takes so far
    cdef Message begun(self)
    cdef int forget(self) noexcept
