"""The format of a message: header, annotations, payload. Sans-I/O; `_assembler` makes messages of received bytes.

The header, all integers big endian (protocol 502, the one of Pyro5):

    offset size field
     0     4    tag b"PYRO"
     4     2    protocol version, 502
     6     1    message kind
     7     1    serializer id
     8     2    flags
    10     2    sequence number
    12     4    payload size
    16     4    size of all annotations
    20    16    correlation id, meaningful with flag 64
    36     2    native dialect: the time left, a code of `_time_limits`; else 0
    38     2    magic 0x4DC5
    40          annotations: 4 ASCII characters, 4 bytes length, value; then the payload

With flag 0x8000 (native dialect) the payload is a table, the payload proper, and big buffers, one after the other. The
table is 4 bytes count, and for each buffer 1 byte kind (0 bytes, 1 bytearray, 2 block) and 4 bytes size. Each buffer is
received straight into the memory that the user gets.

Rule 1: a size in a header is compared with the limit before memory is taken for it.
Rule 2: received bytes are good, or give a RemoteProtocolError or a MessageTooLargeError, and nothing else.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpyro._byteorder cimport load16, load32, store16, store32
from fastpyro.protocol._time_limits cimport clock, code_of, seconds_of

from fastpyro.errors import LocalProtocolError, MessageTooLargeError, RemoteProtocolError

cdef enum:
    OLD_VERSION = 48  # of Pyro4; see `_pyro4_message`
    MAGIC = 0x4DC5
    FLAG_CORRELATION = 64
    MOST_ANNOTATIONS = 4096  # in one message: a chunk of 8 bytes becomes objects of about 200

cdef uint64_t FORMAT_LIMIT = 0xFFFFFFFF  # what the header's size fields can say

cdef dict NO_ANNOTATIONS = {}


cdef void write_header(uint8_t *out, const Header *header) noexcept nogil:
    # Precondition: `out` has HEADER_SIZE bytes.
    memcpy(out, b"PYRO", 4)
    store16(out + 4, VERSION)
    out[6] = header.kind
    out[7] = header.serializer_id
    store16(out + 8, header.flags)
    store16(out + 10, header.seq)
    store32(out + 12, header.payload_size)
    store32(out + 16, header.annotations_size)
    memcpy(out + 20, header.correlation_id, 16)
    store16(out + 36, header.time_left)
    store16(out + 38, MAGIC)


cdef int check_prefix(const uint8_t *data, Py_ssize_t size, int dialect) except -1:
    # Tells a wrong peer as soon as its first bytes are there.
    cdef Py_ssize_t tag = size if size < 4 else 4
    if memcmp(data, b"PYRO", tag) != 0:
        raise RemoteProtocolError(f"these bytes are not a message: they start with {data[:size]!r}, not b'PYRO'")
    if size < PREFIX_SIZE or (dialect != 0 and load16(data + 4) == dialect):
        return 0
    if dialect != 0:
        raise RemoteProtocolError(f"a message of protocol {load16(data + 4)} in a conversation of protocol {dialect}")
    if load16(data + 4) not in (VERSION, OLD_VERSION):
        raise RemoteProtocolError(
            f"invalid protocol version: {load16(data + 4)}; versions {VERSION} and {OLD_VERSION} are spoken here"
        )
    return 0


cdef int read_header(const uint8_t *data, Header *header, uint64_t limit) except -1:
    # Precondition: `data` has HEADER_SIZE bytes whose prefix has been checked.
    cdef uint64_t total
    if load16(data + 38) != MAGIC:
        raise RemoteProtocolError(
            f"invalid magic number 0x{load16(data + 38):04x} in a message header, not 0x{MAGIC:04x}"
        )
    header.kind = data[6]
    header.serializer_id = data[7]
    header.flags = load16(data + 8)
    header.seq = load16(data + 10)
    header.payload_size = load32(data + 12)
    header.annotations_size = load32(data + 16)
    header.time_left = load16(data + 36)
    header.has_correlation = (header.flags & FLAG_CORRELATION) != 0
    memcpy(header.correlation_id, data + 20, 16)
    total = <uint64_t> header.payload_size + header.annotations_size
    if total > limit:
        raise MessageTooLargeError(f"received message of {total:,} bytes exceeds MAX_MESSAGE_SIZE {limit:,}")
    return 0


cdef int fill_plain_header(
    Header *header, int kind, int flags, int seq, int serializer_id, Py_ssize_t payload_size,
    Py_ssize_t annotations_size, uint64_t limit,
) except -1:
    cdef uint64_t total = <uint64_t> payload_size + <uint64_t> annotations_size
    if not (0 <= kind <= 255 and 0 <= serializer_id <= 255 and 0 <= flags <= 0xFFFF and 0 <= seq <= 0xFFFF):
        raise LocalProtocolError(
            f"message fields out of range: kind {kind} (0-255), flags {flags} (0-65535), "
            f"seq {seq} (0-65535), serializer id {serializer_id} (0-255)"
        )
    if total > limit or total > FORMAT_LIMIT:
        raise MessageTooLargeError(
            f"message of {total:,} bytes exceeds MAX_MESSAGE_SIZE {min(limit, FORMAT_LIMIT):,}; nothing was sent"
        )
    header.kind = <uint8_t> kind
    header.serializer_id = <uint8_t> serializer_id
    header.flags = <uint16_t> flags
    header.seq = <uint16_t> seq
    header.payload_size = <uint32_t> payload_size
    header.annotations_size = <uint32_t> annotations_size
    header.time_left = 0
    header.has_correlation = False
    memset(header.correlation_id, 0, 16)
    header.flags &= <uint16_t> (0xFFFF ^ FLAG_CORRELATION)
    return 0


cdef int write_plain_header(
    uint8_t *out, int kind, int flags, int seq, int serializer_id, Py_ssize_t payload_size, uint64_t limit,
) except -1:
    """Lay out the header of a message with neither annotations nor correlation id; `out` has HEADER_SIZE bytes."""
    cdef Header header
    fill_plain_header(&header, kind, flags, seq, serializer_id, payload_size, 0, limit)
    write_header(out, &header)
    return 0


cdef Message message_of(const Header *header, const uint8_t *payload):
    """Return a message with a copy of the payload. Precondition: it has neither annotations nor correlation id."""
    cdef Message message = Message.__new__(Message)
    assert header.annotations_size == 0 and not header.has_correlation, "message_of is for a payload alone"
    message.kind = header.kind
    message.flags = header.flags
    message.seq = header.seq
    message.serializer_id = header.serializer_id
    message.payload = PyBytes_FromStringAndSize(<const char *> payload, header.payload_size)
    message._annotations = NO_ANNOTATIONS
    message.correlation_id = None
    if header.time_left:
        message.deadline = clock() + seconds_of(header.time_left)
    return message


cdef bytes pack_annotations(dict annotations):
    """Lay out annotations; keys are 4 ASCII characters, values bytes-like."""
    cdef list parts = []
    cdef uint8_t size[4]
    if len(annotations) > MOST_ANNOTATIONS:
        raise LocalProtocolError(
            f"a message carries {MOST_ANNOTATIONS:,} annotations at the most, not {len(annotations):,}"
        )
    for key, value in annotations.items():
        if not (isinstance(key, str) and len(key) == 4 and key.isascii()):
            raise LocalProtocolError(f"an annotation key is 4 ASCII characters, not {key!r}")
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise LocalProtocolError(
                f"annotation {key} must be bytes, bytearray or memoryview, not {type(value).__name__}"
            )
        data = bytes(value)
        if <uint64_t> len(data) > FORMAT_LIMIT:
            raise MessageTooLargeError(f"annotation {key} of {len(data):,} bytes exceeds {FORMAT_LIMIT:,}")
        store32(size, <uint32_t> len(data))
        parts.append(key.encode("ascii"))
        parts.append(PyBytes_FromStringAndSize(<char *> size, 4))
        parts.append(data)
    return b"".join(parts)


cdef dict unpack_annotations(bytes data):
    cdef const uint8_t *bytes_ = <const uint8_t *> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = 0, length
    cdef dict annotations = {}
    while at < size:
        if size - at < 8:
            raise RemoteProtocolError(
                f"annotations end in the middle of a chunk: {size - at} bytes left, a chunk has 8 or more"
            )
        length = load32(bytes_ + at + 4)
        if length > size - at - 8:
            raise RemoteProtocolError(f"an annotation claims {length:,} bytes, but {size - at - 8:,} are left")
        if bytes_[at] > 127 or bytes_[at + 1] > 127 or bytes_[at + 2] > 127 or bytes_[at + 3] > 127:
            raise RemoteProtocolError(f"an annotation key is 4 ASCII characters, not {data[at:at + 4]!r}")
        key = data[at:at + 4].decode("ascii")
        if PyDict_Contains(annotations, key):
            raise RemoteProtocolError(f"annotation {key!r} is there twice")
        if len(annotations) == MOST_ANNOTATIONS:
            raise RemoteProtocolError(f"a message carries {MOST_ANNOTATIONS:,} annotations at the most; there are more")
        annotations[key] = data[at + 8:at + 8 + length]
        at += 8 + length
    return annotations


@cython.final
cdef class Message:
    """One message, as received. Read-only.

    Attributes: ``kind`` and ``flags`` (numbers of ``fastpyro.constants``), ``seq`` (0-65535), ``serializer_id``,
    ``payload`` (bytes), ``buffers`` (a list of bytes, bytearray or Block, or None), ``annotations`` (dict of
    4-character str to bytes), ``correlation_id`` (16 bytes or None), ``deadline`` (of time.monotonic, when the time
    that its sender left is over; 0 for none. It counts where both ends agreed on that).
    """

    def __init__(self):
        raise TypeError("messages come from a Decoder or a Link")

    @property
    def annotations(self):
        return {} if self._annotations is NO_ANNOTATIONS else self._annotations

    @property
    def has_annotations(self):
        return self._annotations is not NO_ANNOTATIONS

    def __repr__(self):
        return (
            f"<Message kind={self.kind} flags={self.flags} seq={self.seq} serializer_id={self.serializer_id} "
            f"payload of {len(self.payload):,} bytes, annotations {sorted(self._annotations)}>"
        )


@cython.final
cdef class Outgoing:
    """One message that is ready to leave; channels lay it out in the dialect that they speak.

    Arguments: the header's fields, ``kind``, ``flags``, ``seq`` and ``serializer_id``, in the numbers of protocol 502;
    ``payload``, bytes-like or a list of such, which are sent one after the other; ``annotations``, a mapping of
    4-character str to bytes-like, or None; ``correlation_id``, 16 bytes or None. Attribute: ``time_left``, seconds that
    travel in protocol 502, 0 for none.
    """

    def __init__(
        self, int kind, int flags, int seq, int serializer_id, payload, annotations=None, correlation_id=None,
    ):
        self.kind = kind
        self.flags = flags
        self.seq = seq
        self.serializer_id = serializer_id
        self.payload = payload
        self.annotations = annotations
        self.correlation_id = correlation_id

    cdef int fill_header(
        self, Header *header, Py_ssize_t payload_size, Py_ssize_t annotations_size, uint64_t limit,
    ) except -1:
        fill_plain_header(
            header, self.kind, self.flags, self.seq, self.serializer_id, payload_size, annotations_size, limit
        )
        if self.time_left > 0:
            header.time_left = code_of(self.time_left)
        if self.correlation_id is None:
            return 0
        if not isinstance(self.correlation_id, bytes) or len(<bytes> self.correlation_id) != 16:
            raise LocalProtocolError(f"a correlation id is 16 bytes, not {self.correlation_id!r}")
        header.has_correlation = True
        memcpy(header.correlation_id, PyBytes_AS_STRING(self.correlation_id), 16)
        header.flags |= FLAG_CORRELATION
        return 0

    def to_bytes(self):
        """Return the whole message in protocol 502.

        Raises LocalProtocolError for fields out of range, MessageTooLargeError beyond 4 GiB.
        """
        cdef Header header
        cdef Py_buffer view
        cdef bytes extra = pack_annotations(dict(self.annotations)) if self.annotations else b""
        cdef bytes result
        cdef uint8_t *out
        payload = b"".join(self.payload) if type(self.payload) is list else self.payload
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.fill_header(&header, view.len, len(extra), FORMAT_LIMIT)
            result = PyBytes_FromStringAndSize(NULL, HEADER_SIZE + len(extra) + view.len)
            out = <uint8_t *> PyBytes_AS_STRING(result)
            write_header(out, &header)
            memcpy(out + HEADER_SIZE, PyBytes_AS_STRING(extra), len(extra))
            if view.len:
                memcpy(out + HEADER_SIZE + len(extra), view.buf, view.len)
            return result
        finally:
            PyBuffer_Release(&view)


def pack_message(*fields, **named_fields):
    """Return a whole message of protocol 502 as bytes. Arguments and errors are those of ``Outgoing``."""
    return Outgoing(*fields, **named_fields).to_bytes()
