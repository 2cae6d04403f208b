"""Messages out of received bytes, however these were cut. Sans-I/O: this module never sees a socket. The format of a
message is described in `_message`.

The first six bytes decide in which dialect a conversation is; after that it does not change.

Rule 1: memory grows with the bytes that arrived, never with the bytes that were announced. A block is mapped whole, one
        at a time, but takes address space only: the system adds memory as bytes arrive.
Rule 2: each body, and each big buffer, is received straight into the memory that the user gets.
Rule 3: received bytes give a Message, a RemoteProtocolError or a MessageTooLargeError, and nothing else.
"""

from collections import deque

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastpyro.serializers._blocks cimport Block, take_block
from fastpyro._byteorder cimport load16, load32
from fastpyro.protocol._message cimport (
    FLAG_BUFFERS, FORMAT_LIMIT, HEADER_SIZE, NO_ANNOTATIONS, PREFIX_SIZE, VERSION, Message, check_prefix, read_header,
    unpack_annotations,
)
from fastpyro.protocol._pyro4_message cimport (
    PYRO4_HEADER_SIZE, PYRO4_VERSION, finish_pyro4_message, read_pyro4_header, unpack_pyro4_annotations,
)
from fastpyro.protocol._time_limits cimport clock, seconds_of

from fastpyro.errors import LocalProtocolError, MessageAuthenticationError, MessageTooLargeError, RemoteProtocolError

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

cdef enum:
    FIRST_ROOM = 1 << 20  # bytes taken at first for a body; four times more whenever they are full

cdef enum:
    ANNOTATION = 200  # bytes of memory that an annotation takes beside its own
    BUFFER = 64  # the same for a buffer

cdef extern from "Python.h":
    # Owned references, kept as pointers, because resizing demands that there is exactly one.
    void Py_XDECREF(PyObject *object)
    PyObject *PyBytes_FromStringAndSize_owned "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **bytes_, Py_ssize_t size) except -1


@cython.final
cdef class Assembler:
    """Collects the bytes of one message after another, each body in its final memory."""

    def __cinit__(self, max_message_size):
        self.max_message_size = max_message_size if 0 < max_message_size < FORMAT_LIMIT else FORMAT_LIMIT
        self.annotation_room = 0
        self.body = NULL
        self.target_data = NULL
        self.head_filled = self.done = 0
        self.head_size = PREFIX_SIZE
        self.dialect = 0
        self.stage = STAGE_HEADER
        self.annotations = NO_ANNOTATIONS

    def __dealloc__(self):
        Py_XDECREF(self.body)

    cdef int set_dialect(self, int dialect) except -1:
        if dialect == VERSION:
            if self.hmac_key is not None:
                raise MessageAuthenticationError(
                    "hmac key config not symmetric: only messages of protocol 48 carry an HMAC, and a key is set here"
                )
            self.head_size = HEADER_SIZE
        elif dialect == PYRO4_VERSION:
            self.head_size = PYRO4_HEADER_SIZE
        else:
            raise LocalProtocolError(f"protocol version {dialect} is not spoken here")
        self.dialect = dialect
        return 0

    cdef uint64_t limit(self, uint64_t annotations_size) noexcept:
        # The bytes that a message may have whose annotations have so many.
        cdef uint64_t room = annotations_size if annotations_size < self.annotation_room else self.annotation_room
        return self.max_message_size + room

    cdef bint idle(self) noexcept:
        return self.stage == STAGE_HEADER and self.head_filled == 0

    cdef bint complete(self) noexcept:
        return self.stage == STAGE_COMPLETE

    cdef Py_ssize_t held(self) noexcept:
        if self.stage == STAGE_HEADER:
            return 0
        return self.done if self.stage == STAGE_COMPLETE else self.done + self.body_filled

    cdef Message begun(self):
        # Kind, flags, number and serializer of the message that is arriving, or None while they are unknown.
        cdef Message message
        if self.stage == STAGE_HEADER:
            return None
        message = Message.__new__(Message)
        message.kind = self.header.kind
        message.flags = self.header.flags
        message.seq = self.header.seq
        message.serializer_id = self.header.serializer_id
        message.payload = b""
        message._annotations = NO_ANNOTATIONS
        return message

    cdef int forget(self) noexcept:
        # No more bytes will come: let go of what has.
        cdef PyObject *body = self.body
        self.body = NULL
        self.target_data = NULL
        self.stage = STAGE_HEADER
        self.head_filled = self.done = 0
        self.annotations = NO_ANNOTATIONS
        self.table = self.payload = self.buffers = self.target = None
        Py_XDECREF(body)
        return 0

    cdef Py_ssize_t missing(self) noexcept:
        if self.stage == STAGE_HEADER or self.stage == STAGE_COMPLETE:
            return 0
        return self.body_size - self.body_filled

    cdef int room(self, uint8_t **target, Py_ssize_t *size) except -1:
        cdef Py_ssize_t capacity
        if self.stage == STAGE_HEADER:
            target[0] = self.head + self.head_filled
            size[0] = self.head_size - self.head_filled
            return 0
        if self.stage == STAGE_COMPLETE:
            raise RuntimeError("take() the complete message first")
        if self.body_filled == self.body_capacity:
            capacity = self.body_capacity * 4
            if capacity > self.body_size:
                capacity = self.body_size
            if self.target_data != NULL:  # a bytearray: a block has its whole capacity
                PyByteArray_Resize(self.target, capacity)
                self.target_data = <uint8_t *> PyByteArray_AS_STRING(self.target)
            else:
                _PyBytes_Resize(&self.body, capacity)
            self.body_capacity = capacity
        if self.target_data != NULL:
            target[0] = self.target_data + self.body_filled
            size[0] = self.body_capacity - self.body_filled
            return 0
        target[0] = <uint8_t *> PyBytes_AS_STRING(<object> self.body) + self.body_filled
        size[0] = self.body_capacity - self.body_filled
        return 0

    cdef int filled(self, Py_ssize_t count) except -1:
        # Precondition: 0 <= count <= the size that room() gave, and those bytes have been written.
        cdef Py_ssize_t before = self.head_filled
        assert count >= 0 and self.stage != STAGE_COMPLETE, "filled is for bytes of a message that is not whole"
        if self.stage == STAGE_HEADER:
            assert count <= self.head_size - before, "a header has more bytes than room() gave"
            self.head_filled += count
            if before < PREFIX_SIZE:
                check_prefix(
                    self.head, self.head_filled if self.head_filled < PREFIX_SIZE else PREFIX_SIZE, self.dialect
                )
                if self.dialect == 0 and self.head_filled == PREFIX_SIZE:
                    self.set_dialect(load16(self.head + 4))
            if self.head_filled < self.head_size:
                return 0
            if self.dialect == VERSION:
                read_header(self.head, &self.header, self.limit(load32(self.head + 16)))
            else:
                read_pyro4_header(self.head, &self.header, self.limit(load16(self.head + 18)))
            self.deadline = clock() + seconds_of(self.header.time_left) if self.header.time_left else 0
            if self.header.annotations_size:
                return self.start_body(STAGE_ANNOTATIONS, self.header.annotations_size)
            return self.start_payload()
        assert count <= self.body_capacity - self.body_filled, "a body has more bytes than room() gave"
        self.body_filled += count
        if self.body_filled < self.body_size:
            return 0
        self.done += self.body_size
        if self.stage == STAGE_ANNOTATIONS:
            if self.dialect == VERSION:
                self.annotations = unpack_annotations(<bytes> self.body)
            else:
                self.annotations = unpack_pyro4_annotations(<bytes> self.body)
            self.done += ANNOTATION * len(self.annotations)
            return self.start_payload()
        if self.stage == STAGE_COUNT:
            count = load32(<const uint8_t *> PyBytes_AS_STRING(<object> self.body))
            if not 0 < count <= MOST_BUFFERS or 4 + ENTRY * count > self.header.payload_size:
                raise RemoteProtocolError(
                    f"a message claims {count:,} buffers in {self.header.payload_size:,} bytes; "
                    f"the limit is {MOST_BUFFERS:,}"
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
        for _ in range(PyBytes_GET_SIZE(table) // ENTRY):
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
            self.done += BUFFER
            if size > 0:
                break
            self.buffers.append(b"" if entry[0] == 0 else bytearray())
        if entry[0] == 0:
            return self.start_body(STAGE_BUFFER, size)
        self.body_size = self.body_capacity = size
        self.body_filled = 0
        if entry[0] == 1:
            self.body_capacity = size if size < FIRST_ROOM else FIRST_ROOM
            self.target = PyByteArray_FromStringAndSize(NULL, self.body_capacity)
            self.target_data = <uint8_t *> PyByteArray_AS_STRING(self.target)
        else:
            self.target = block = take_block(size)
            self.target_data = block.data
        self.stage = STAGE_BUFFER
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
        message.deadline = self.deadline
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
        self.head_filled = self.done = 0
        self.stage = STAGE_HEADER
        if self.dialect == PYRO4_VERSION:
            finish_pyro4_message(message, self.hmac_key)
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
        """Change the limit, of annotations too; it holds from the next header on."""
        self.assembler.max_message_size = Assembler(max_message_size).max_message_size
        self.assembler.annotation_room = 0

    def set_annotation_room(self, uint64_t size):
        """Let annotations have so many bytes beside the limit, until that is set anew."""
        self.assembler.annotation_room = size

    @property
    def dialect(self):
        """The protocol version of the conversation; 0 until the first message begins to arrive."""
        return self.assembler.dialect

    def set_dialect(self, int dialect):
        """Accept messages of that protocol version only. Raises LocalProtocolError for one that is not spoken here."""
        self.assembler.set_dialect(dialect)

    def set_hmac_key(self, bytes key):
        """Demand of each message an HMAC made with that key; None: of no message."""
        if key is not None and not key:
            raise ValueError(
                "an empty HMAC key proves nothing, because everybody has it; None means that there is no key"
            )
        self.assembler.hmac_key = key

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
    def held(self):
        """How many bytes the message takes that has begun to arrive; 0 without one."""
        return self.assembler.held()

    @property
    def begun(self):
        """What the header says of that message, as a Message without contents; None until it has arrived."""
        return self.assembler.begun()

    def forget(self):
        """Let go of what has arrived of that message, of which no more will come."""
        self.assembler.forget()

    @property
    def idle(self):
        """Whether no message has been begun: the place where a peer may close."""
        return self.assembler.idle() and not self.messages
