# The message format, for the modules that move messages (_link) and for the fuzzers' Decoder.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    HEADER_SIZE = 40
    FLAG_BUFFERS = 0x8000  # big buffers stand behind the payload proper
    PREFIX_SIZE = 6  # tag and version: enough to tell a wrong peer


cdef struct Header:
    uint8_t kind
    uint8_t serializer_id
    uint16_t flags
    uint16_t seq
    uint32_t payload_size
    uint32_t annotations_size
    bint has_correlation
    uint8_t correlation_id[16]


cdef class Message:
    cdef readonly int kind
    cdef readonly int flags
    cdef readonly int seq
    cdef readonly int serializer_id
    cdef readonly bytes payload
    cdef readonly list buffers  # that stood behind the payload, or None
    cdef readonly object correlation_id
    cdef dict _annotations


cdef void write_header(uint8_t *out, const Header *header) noexcept nogil

cdef int check_prefix(const uint8_t *data, Py_ssize_t size) except -1

cdef int read_header(const uint8_t *data, Header *header, uint64_t limit) except -1

cdef Message message_of(const Header *header, const uint8_t *payload)

cdef int write_plain_header(
    uint8_t *out, int kind, int flags, int seq, int serializer_id, Py_ssize_t payload_size, uint64_t limit,
) except -1

cdef bytes pack_annotations(dict annotations)

cdef int fill_header(
    Header *header, int kind, int flags, int seq, int serializer_id,
    Py_ssize_t payload_size, Py_ssize_t annotations_size, object correlation_id, uint64_t limit,
) except -1


# Where the bytes of the next message go. A user asks `room` for a pointer and a size, copies or receives at most that
# many bytes there and reports them with `filled`, which answers 1 when `take` has a whole message.
cdef class Assembler:
    cdef uint64_t max_message_size
    cdef uint8_t head[40]
    cdef Py_ssize_t head_filled
    cdef Header header
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

    cdef int room(self, uint8_t **target, Py_ssize_t *size) except -1
    cdef int filled(self, Py_ssize_t count) except -1
    cdef int start_body(self, int stage, Py_ssize_t size) except -1
    cdef int start_payload(self) except -1
    cdef int read_table(self) except -1
    cdef int start_next_buffer(self) except -1
    cdef object take_body(self)
    cdef Message take(self)
    cdef bint idle(self) noexcept
    cdef bint complete(self) noexcept
