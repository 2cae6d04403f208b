"""Messages and their bytes: header, annotations, payload. Sans-I/O: this module never sees a socket.

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
    36     2    reserved, 0
    38     2    magic 0x4DC5
    40          annotations: 4 ASCII characters, 4 bytes length, value; then the payload

With flag 0x8000 (native dialect) the payload is a table, the payload proper, and big buffers, one after the other. The
table is 4 bytes count, and for each buffer 1 byte kind (0 bytes, 1 bytearray, 2 block) and 4 bytes size. Each buffer is
received straight into the memory that the user gets.

Rule 1: a size in a header is compared with the limit before memory is taken for it.
Rule 2: memory grows with the bytes that arrived, never with the bytes that were promised.
Rule 3: received bytes give a Message, a RemoteProtocolError or a MessageTooLargeError, and nothing else.
"""

from collections import deque

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains
from cpython.object cimport PyObject

from libc.string cimport memcmp, memcpy, memset

from fastpyro._blocks cimport Block, take_block

from fastpyro.errors import LocalProtocolError, MessageTooLargeError, RemoteProtocolError

cimport cython

cdef enum:
    VERSION = 502
    MAGIC = 0x4DC5
    FLAG_CORRELATION = 64
    FIRST_ROOM = 1 << 20  # bytes taken at first for a body; four times more whenever they are full
    MOST_ANNOTATIONS = 65536  # in one message: a chunk of 8 bytes becomes objects of about 200

cdef enum:
    STAGE_HEADER = 0
    STAGE_ANNOTATIONS = 1
    STAGE_COUNT = 2
    STAGE_TABLE = 3
    STAGE_PAYLOAD = 4
    STAGE_BUFFER = 5
    STAGE_COMPLETE = 6

cdef enum:
    MOST_BUFFERS = 65535
    SMALLEST_BLOCK = 16384  # bytes; whatever is smaller travels with the values
    ENTRY = 5  # bytes of the table for one buffer

cdef uint64_t FORMAT_LIMIT = 0xFFFFFFFF  # what the header's size fields can say

cdef dict NO_ANNOTATIONS = {}


cdef extern from "Python.h":
    # Owned references, kept as pointers, because resizing demands that there is exactly one.
    void Py_XDECREF(PyObject *object)
    PyObject *PyBytes_FromStringAndSize_owned "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **bytes_, Py_ssize_t size) except -1


cdef inline uint16_t load16(const uint8_t *data) noexcept nogil:
    return <uint16_t> ((data[0] << 8) | data[1])


cdef inline uint32_t load32(const uint8_t *data) noexcept nogil:
    return (<uint32_t> data[0] << 24) | (<uint32_t> data[1] << 16) | (<uint32_t> data[2] << 8) | data[3]


cdef inline void store16(uint8_t *out, uint16_t value) noexcept nogil:
    out[0] = <uint8_t> (value >> 8)
    out[1] = <uint8_t> value


cdef inline void store32(uint8_t *out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t> (value >> 24)
    out[1] = <uint8_t> (value >> 16)
    out[2] = <uint8_t> (value >> 8)
    out[3] = <uint8_t> value


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
    store16(out + 36, 0)
    store16(out + 38, MAGIC)


cdef int check_prefix(const uint8_t *data, Py_ssize_t size) except -1:
    # Tells a wrong peer as soon as its first bytes are there.
    cdef Py_ssize_t tag = size if size < 4 else 4
    if memcmp(data, b"PYRO", tag) != 0:
        raise RemoteProtocolError(f"these bytes are not a message: they start with {data[:size]!r}, not b'PYRO'")
    if size >= PREFIX_SIZE and load16(data + 4) != VERSION:
        raise RemoteProtocolError(f"protocol version {load16(data + 4)} is not spoken here, only version {VERSION}")
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
    header.has_correlation = (header.flags & FLAG_CORRELATION) != 0
    memcpy(header.correlation_id, data + 20, 16)
    total = <uint64_t> header.payload_size + header.annotations_size
    if total > limit:
        raise MessageTooLargeError(f"received message of {total:,} bytes exceeds MAX_MESSAGE_SIZE {limit:,}")
    return 0


cdef int fill_header(
    Header *header, int kind, int flags, int seq, int serializer_id,
    Py_ssize_t payload_size, Py_ssize_t annotations_size, object correlation_id, uint64_t limit,
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
    header.has_correlation = correlation_id is not None
    if correlation_id is None:
        memset(header.correlation_id, 0, 16)
        header.flags &= <uint16_t> (0xFFFF ^ FLAG_CORRELATION)
        return 0
    if not isinstance(correlation_id, bytes) or len(<bytes> correlation_id) != 16:
        raise LocalProtocolError(f"a correlation id is 16 bytes, not {correlation_id!r}")
    memcpy(header.correlation_id, PyBytes_AS_STRING(correlation_id), 16)
    header.flags |= FLAG_CORRELATION
    return 0


cdef int write_plain_header(
    uint8_t *out, int kind, int flags, int seq, int serializer_id, Py_ssize_t payload_size, uint64_t limit,
) except -1:
    """Lay out the header of a message with neither annotations nor correlation id; `out` has HEADER_SIZE bytes."""
    cdef Header header
    fill_header(&header, kind, flags, seq, serializer_id, payload_size, 0, None, limit)
    write_header(out, &header)
    return 0


cdef Message message_of(const Header *header, const uint8_t *payload):
    """Return a message with a copy of the payload. Precondition: it has neither annotations nor correlation id."""
    cdef Message message = Message.__new__(Message)
    message.kind = header.kind
    message.flags = header.flags
    message.seq = header.seq
    message.serializer_id = header.serializer_id
    message.payload = PyBytes_FromStringAndSize(<const char *> payload, header.payload_size)
    message._annotations = NO_ANNOTATIONS
    message.correlation_id = None
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
            raise RemoteProtocolError(f"annotation {key} is there twice")
        if len(annotations) == MOST_ANNOTATIONS:
            raise RemoteProtocolError(f"a message carries {MOST_ANNOTATIONS:,} annotations at the most; there are more")
        annotations[key] = data[at + 8:at + 8 + length]
        at += 8 + length
    return annotations


@cython.final
cdef class Message:
    """One message, as received. Read-only.

    Attributes: ``kind`` and ``flags`` (numbers of ``fastpyro.message_kinds``), ``seq`` (0-65535), ``serializer_id``,
    ``payload`` (bytes), ``buffers`` (a list of bytes, bytearray or Block, or None), ``annotations`` (dict of 4-character
    str to bytes), ``correlation_id`` (16 bytes or None).
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


def pack_message(
    int kind, int flags, int seq, int serializer_id, payload, annotations=None, correlation_id=None,
):
    """Lay out one whole message.

    Arguments: the header's fields; ``payload`` bytes-like, or a list of such; ``annotations`` a dict of 4-character str
    to bytes-like, or None; ``correlation_id`` 16 bytes or None. Returns the message as bytes.
    Raises LocalProtocolError for fields out of range, MessageTooLargeError beyond 4 GiB.
    """
    cdef Header header
    cdef Py_buffer view
    cdef bytes extra = pack_annotations(dict(annotations)) if annotations else b""
    cdef bytes result
    cdef uint8_t *out
    if type(payload) is list:
        payload = b"".join(payload)
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        fill_header(&header, kind, flags, seq, serializer_id, view.len, len(extra), correlation_id, FORMAT_LIMIT)
        result = PyBytes_FromStringAndSize(NULL, HEADER_SIZE + len(extra) + view.len)
        out = <uint8_t *> PyBytes_AS_STRING(result)
        write_header(out, &header)
        memcpy(out + HEADER_SIZE, PyBytes_AS_STRING(extra), len(extra))
        if view.len:
            memcpy(out + HEADER_SIZE + len(extra), view.buf, view.len)
        return result
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Assembler:
    """Collects the bytes of one message after another, each body in its final memory."""

    def __cinit__(self, max_message_size):
        self.max_message_size = max_message_size if 0 < max_message_size < FORMAT_LIMIT else FORMAT_LIMIT
        self.body = NULL
        self.target_data = NULL
        self.head_filled = 0
        self.stage = STAGE_HEADER
        self.annotations = NO_ANNOTATIONS

    def __dealloc__(self):
        Py_XDECREF(self.body)

    cdef bint idle(self) noexcept:
        return self.stage == STAGE_HEADER and self.head_filled == 0

    cdef bint complete(self) noexcept:
        return self.stage == STAGE_COMPLETE

    cdef int room(self, uint8_t **target, Py_ssize_t *size) except -1:
        cdef Py_ssize_t capacity
        if self.stage == STAGE_HEADER:
            target[0] = self.head + self.head_filled
            size[0] = HEADER_SIZE - self.head_filled
            return 0
        if self.stage == STAGE_COMPLETE:
            raise RuntimeError("take() the complete message first")
        if self.target_data != NULL:
            target[0] = self.target_data + self.body_filled
            size[0] = self.body_size - self.body_filled
            return 0
        if self.body_filled == self.body_capacity:
            capacity = self.body_capacity * 4
            if capacity > self.body_size:
                capacity = self.body_size
            _PyBytes_Resize(&self.body, capacity)
            self.body_capacity = capacity
        target[0] = <uint8_t *> PyBytes_AS_STRING(<object> self.body) + self.body_filled
        size[0] = self.body_capacity - self.body_filled
        return 0

    cdef int filled(self, Py_ssize_t count) except -1:
        # Precondition: 0 <= count <= the size that room() gave, and those bytes have been written.
        cdef Py_ssize_t before = self.head_filled
        if self.stage == STAGE_HEADER:
            self.head_filled += count
            if before < PREFIX_SIZE:
                check_prefix(self.head, self.head_filled if self.head_filled < PREFIX_SIZE else PREFIX_SIZE)
            if self.head_filled < HEADER_SIZE:
                return 0
            read_header(self.head, &self.header, self.max_message_size)
            if self.header.annotations_size:
                return self.start_body(STAGE_ANNOTATIONS, self.header.annotations_size)
            return self.start_payload()
        self.body_filled += count
        if self.body_filled < self.body_size:
            return 0
        if self.stage == STAGE_ANNOTATIONS:
            self.annotations = unpack_annotations(<bytes> self.body)
            return self.start_payload()
        if self.stage == STAGE_COUNT:
            count = load32(<const uint8_t *> PyBytes_AS_STRING(<object> self.body))
            if not 0 < count <= MOST_BUFFERS or 4 + ENTRY * count > self.header.payload_size:
                raise RemoteProtocolError(
                    f"a message claims {count:,} buffers in {self.header.payload_size:,} bytes; the limit is {MOST_BUFFERS:,}"
                )
            return self.start_body(STAGE_TABLE, ENTRY * count)
        if self.stage == STAGE_TABLE:
            return self.read_table()
        if self.stage == STAGE_BUFFER:
            self.buffers.append(self.take_body())
            return self.start_next_buffer()
        if self.table is not None:
            self.payload = self.take_body()
            return self.start_next_buffer()
        self.stage = STAGE_COMPLETE
        return 1

    cdef int start_payload(self) except -1:
        if not self.header.flags & FLAG_BUFFERS:
            return self.start_body(STAGE_PAYLOAD, self.header.payload_size)
        if self.header.payload_size < 4:
            raise RemoteProtocolError("a message with buffers has 4 bytes or more")
        return self.start_body(STAGE_COUNT, 4)

    cdef int read_table(self) except -1:
        cdef bytes table = self.take_body()
        cdef const uint8_t *entry = <const uint8_t *> PyBytes_AS_STRING(table)
        cdef uint64_t total = 4 + PyBytes_GET_SIZE(table), size
        cdef Py_ssize_t index
        for index in range(PyBytes_GET_SIZE(table) // ENTRY):
            size = load32(entry + 1)
            total += size
            if entry[0] > 2 or (entry[0] == 2 and size < SMALLEST_BLOCK):
                raise RemoteProtocolError(f"a message has a buffer of kind {entry[0]} and {size:,} bytes")
            entry += ENTRY
        if total >= self.header.payload_size:  # there are values before them
            raise RemoteProtocolError(
                f"the buffers of a message claim {total:,} bytes; it has {self.header.payload_size:,}"
            )
        self.table = table
        self.buffers = []
        return self.start_body(STAGE_PAYLOAD, self.header.payload_size - total)

    cdef int start_next_buffer(self) except -1:
        cdef Py_ssize_t index, size
        cdef const uint8_t *entry
        cdef Block block
        while True:
            index = len(self.buffers)
            if ENTRY * index == PyBytes_GET_SIZE(self.table):
                self.stage = STAGE_COMPLETE
                return 1
            entry = <const uint8_t *> PyBytes_AS_STRING(self.table) + ENTRY * index
            size = load32(entry + 1)
            if size > 0:
                break
            self.buffers.append(b"" if entry[0] == 0 else bytearray())
        if entry[0] == 0:
            return self.start_body(STAGE_BUFFER, size)
        if entry[0] == 1:
            self.target = PyByteArray_FromStringAndSize(NULL, size)
            self.target_data = <uint8_t *> PyByteArray_AS_STRING(self.target)
        else:
            self.target = block = take_block(size)
            self.target_data = block.data
        self.stage = STAGE_BUFFER
        self.body_size = self.body_capacity = size
        self.body_filled = 0
        return 0

    cdef object take_body(self):
        # What has been received whole: a target, or bytes.
        cdef object body = self.target
        if body is None:
            body = <object> self.body
            Py_XDECREF(self.body)
            self.body = NULL
        self.target = None
        self.target_data = NULL
        return body

    cdef int start_body(self, int stage, Py_ssize_t size) except -1:
        self.stage = stage
        self.body_size = size
        self.body_filled = 0
        self.body_capacity = size if size < FIRST_ROOM else FIRST_ROOM
        Py_XDECREF(self.body)
        self.body = NULL
        self.body = PyBytes_FromStringAndSize_owned(NULL, self.body_capacity)
        if size == 0:  # only a payload can be empty: a header without annotations skips that stage
            self.stage = STAGE_COMPLETE
            return 1
        return 0

    cdef Message take(self):
        # Precondition: filled() has answered 1.
        cdef Message message = Message.__new__(Message)
        if self.stage != STAGE_COMPLETE:
            raise RuntimeError("the message is not complete")
        message.kind = self.header.kind
        message.flags = self.header.flags
        message.seq = self.header.seq
        message.serializer_id = self.header.serializer_id
        message._annotations = self.annotations
        message.buffers = self.buffers
        if self.table is None:
            message.payload = self.take_body()
        else:
            message.payload = self.payload
            self.table = self.payload = self.buffers = None
        message.correlation_id = (
            PyBytes_FromStringAndSize(<char *> self.header.correlation_id, 16) if self.header.has_correlation else None
        )
        self.annotations = NO_ANNOTATIONS
        self.head_filled = 0
        self.stage = STAGE_HEADER
        return message


@cython.final
cdef class Decoder:
    """Turns received bytes into messages, however they were cut.

    Arguments: ``max_message_size``, the limit in bytes for annotations and payload together (0: the format's 4 GiB).
    Feed it with ``feed(data)``, then call ``next_message()`` until it returns None. Bytes that break the rules make
    ``next_message`` raise RemoteProtocolError or MessageTooLargeError once the messages before them have been
    returned; the decoder is dead after that and raises the same error again.
    """

    cdef Assembler assembler
    cdef object messages
    cdef object error

    def __cinit__(self, max_message_size=0):
        self.assembler = Assembler(max_message_size)
        self.messages = deque()
        self.error = None

    def feed(self, data):
        """Take in received bytes: any contiguous buffer. Raises nothing that depends on the bytes."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if self.error is None:
                self.consume(<const uint8_t *> view.buf, view.len)
        except Exception as error:
            self.error = error
            if not isinstance(error, (RemoteProtocolError, MessageTooLargeError)):
                raise  # out of memory; the assembler may have lost its body, so this decoder is dead as well
        finally:
            PyBuffer_Release(&view)

    cdef int consume(self, const uint8_t *data, Py_ssize_t size) except -1:
        cdef uint8_t *target = NULL
        cdef Py_ssize_t count = 0
        while size > 0:
            self.assembler.room(&target, &count)
            if count > size:
                count = size
            memcpy(target, data, count)
            data += count
            size -= count
            if self.assembler.filled(count):
                self.messages.append(self.assembler.take())
        return 0

    def set_max_message_size(self, max_message_size):
        """Change the limit; it holds from the next header on."""
        self.assembler.max_message_size = Assembler(max_message_size).max_message_size

    def next_message(self):
        """Return the next whole Message, or None when more bytes are needed."""
        if self.messages:
            return self.messages.popleft()
        if self.error is not None:
            raise self.error.with_traceback(None)  # or it would grow with each call
        return None

    @property
    def has_message(self):
        """Whether `next_message` has something to say, a message or an error, without more bytes."""
        return bool(self.messages) or self.error is not None

    @property
    def receiving(self):
        """Whether a message has begun to arrive but is not complete."""
        return not self.assembler.idle()

    @property
    def idle(self):
        """Whether no message has been begun: the place where a peer may close."""
        return self.assembler.idle() and not self.messages
