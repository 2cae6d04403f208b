# The message format, for the modules that put messages together and move them.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    HEADER_SIZE = 40
    FLAG_BUFFERS = 0x8000  # big buffers stand behind the payload proper
    VERSION = 502
    CANCEL = 16  # the kind of message (`constants`), and the bit that says that it is understood (`features`)
    CANCELS = 2
    PREFIX_SIZE = 6  # tag and version: enough to tell a wrong peer


cdef struct Header:
    uint8_t kind
    uint8_t serializer_id
    uint16_t flags
    uint16_t seq
    uint32_t payload_size
    uint32_t annotations_size
    uint16_t time_left  # a code of `_time_limits`
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
    cdef readonly double deadline  # when the time that it says is over, where both ends agreed on that; 0 for none
    cdef dict _annotations


# A message that is ready to leave, in any dialect.
cdef class Outgoing:
    cdef readonly int kind
    cdef readonly int flags
    cdef public int seq
    cdef readonly int serializer_id
    cdef readonly object payload  # bytes-like, or a list of such
    cdef public object annotations  # a mapping, or None
    cdef public object correlation_id
    cdef public double time_left  # seconds, 0 for no limit

    cdef int fill_header(
        self, Header *header, Py_ssize_t payload_size, Py_ssize_t annotations_size, uint64_t limit,
    ) except -1


cdef void write_header(uint8_t *out, const Header *header) noexcept nogil

# `dialect`: the only protocol version that may come, or 0 for any that is spoken here.
cdef int check_prefix(const uint8_t *data, Py_ssize_t size, int dialect) except -1

cdef int read_header(const uint8_t *data, Header *header, uint64_t limit) except -1

cdef Message message_of(const Header *header, const uint8_t *payload)

cdef int write_plain_header(
    uint8_t *out, int kind, int flags, int seq, int serializer_id, Py_ssize_t payload_size, uint64_t limit,
) except -1

cdef bytes pack_annotations(dict annotations)

cdef dict unpack_annotations(bytes data)

cdef uint64_t FORMAT_LIMIT
cdef dict NO_ANNOTATIONS
