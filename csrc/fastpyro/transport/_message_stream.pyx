"""Messages over a stream socket: sending and receiving them, one at a time. Knows nothing of who waits for which.

Rule 1: one thread receives at a time (`reading`); several may send.
Rule 2: an operation that fails in the middle of a message leaves the stream broken.
Rule 3: what is small is copied once and leaves in one system call; what is big is sent from its place, and received
        into it.
Rule 4: what has arrived of a message that is not whole is counted, where there is an `intake`, and forgotten with the
        descriptor.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastpyro.protocol._message cimport (
    FLAG_BUFFERS, HEADER_SIZE, PREFIX_SIZE, VERSION, Header, Message, Outgoing, check_prefix, pack_annotations,
    read_header, write_header, write_plain_header,
)
from fastpyro.protocol._pyro4_message cimport PYRO4_VERSION, pack_pyro4
from fastpyro._posix cimport POLLOUT, iovec, poll, pollfd
from fastpyro.transport._attempt cimport DONE, ENDED, FAILED, NOTHING_YET, Outcome
from fastpyro.transport._output cimport OutputStream
from fastpyro.transport._intake cimport Intake
from fastpyro.transport._stream cimport BUFFER_SIZE, deadline_of, has_passed
from fastpyro.protocol._assembler cimport Assembler

from fastpyro import constants
from fastpyro.errors import ConnectionClosedError, LocalProtocolError, TimeoutError

cdef int NATIVE = constants.NATIVE_SERIALIZER_ID

cdef enum:
    SMALL_MESSAGE = 4096  # up to here a message is joined on the stack and leaves in one send
    BULK = 1 << 20  # bytes of a payload that is sent, or waits, as it is
    MOST_RECEIVES = 8  # of a big message at a time, of up to 208 KiB each: then the other connections have their turn
    DIRECT_ROOM = 16384  # a body that still misses this much is received without the buffer


cdef class MessageStream(OutputStream):
    """A connected stream socket that carries messages.

    Arguments: ``sock``, a connected Python socket, which the stream switches to blocking mode and from then on owns;
    ``max_message_size``, the limit for annotations and payload in bytes (0: the format's 4 GiB).
    """

    def __cinit__(self, sock, max_message_size=0):
        self.reading = self.ended = False
        self.counted = 0
        self.assembler = Assembler(max_message_size)
        self.max_message_size = self.assembler.max_message_size

    @property
    def receiving(self):
        """Whether a message has begun to arrive but is not complete."""
        return not self.assembler.idle()

    @property
    def begun(self):
        """What the header says of that message, as a Message without contents; None until it has arrived."""
        return self.assembler.begun()

    def set_intake(self, Intake intake):
        """Count what has arrived of messages that are not whole; while they are too big, read only as that allows."""
        if self.counted:
            self.intake.change(self.counted, 0)
            intake.change(0, self.counted)
        self.intake = intake

    def set_max_message_size(self, max_message_size):
        """Change the limit in both directions, of annotations too; it holds from the next message on."""
        limit = Assembler(max_message_size).max_message_size
        self.assembler.max_message_size = limit
        self.assembler.annotation_room = 0
        self.max_message_size = limit

    def set_annotation_room(self, size):
        """Let the annotations of received messages have so many bytes beside the limit, until that is set anew."""
        self.assembler.annotation_room = size

    @property
    def dialect(self):
        """The protocol version of the conversation; 0 until the peer's first message begins to arrive."""
        return self.assembler.dialect

    def set_dialect(self, int dialect):
        """Speak that protocol version. Raises LocalProtocolError for one that is not spoken here."""
        self.assembler.set_dialect(dialect)

    def set_hmac_key(self, bytes key):
        """Sign each message with that key and demand the same of the peer (protocol 48 only); None: do not."""
        if key is not None and not key:
            raise ValueError(
                "an empty HMAC key proves nothing, because everybody has it; None means that there is no key"
            )
        self.assembler.hmac_key = key

    def send(self, Outgoing message not None, timeout=None):
        """Send one message; arguments as for ``exchange``. Returns None when the system has taken all bytes."""
        cdef double deadline = deadline_of(timeout)
        self.enter()
        try:
            # Where another request is here, as with a flood of refused ones, the replies may leave together.
            self.send_message(message, self.has_received(), deadline)
        finally:
            self.leave()

    def has_room_for(self, Py_ssize_t size):
        """Whether a message of that many bytes surely leaves without waiting; one that is not small never does."""
        cdef pollfd ready
        if not self.usable() or self.sending or size > SMALL_MESSAGE:
            return False
        ready = pollfd(self.fd, POLLOUT, 0)
        return poll(&ready, 1, 0) == 1 and ready.revents == POLLOUT

    cdef int notify(self, int kind, int seq) except -1:
        """Send a message without contents that has no reply. It never waits: without room it does not leave at all."""
        cdef uint8_t head[HEADER_SIZE]
        if not self.has_room_for(HEADER_SIZE):
            return 0
        write_plain_header(head, kind, 0, seq, NATIVE, 0, self.max_message_size)
        try:
            self.enter()
            try:
                self.send_bytes(head, HEADER_SIZE, False, 0)
            finally:
                self.leave()
        except ConnectionClosedError:
            pass  # who reads hears of it
        return 0

    def receive(self, timeout=None):
        """Wait for the next message and return it. For one thread, and not during exchanges.

        Raises TimeoutError, ConnectionClosedError, RemoteProtocolError, MessageTooLargeError; the link is closed then.
        """
        cdef double deadline = deadline_of(timeout)
        self.enter()
        try:
            self.check_unread()
            self.reading = True
            try:
                return self.receive_message(deadline)
            except BaseException:
                self.broken = True
                raise
            finally:
                self.reading = False
        finally:
            self.leave()

    def receive_available(self):
        """Return the next message if its bytes are here, without waiting, else None.

        One system call at most. Raises like ``receive``. For one thread, and not during exchanges.
        """
        cdef Message message
        self.enter()
        try:
            self.check_unread()
            try:
                message = self.next_buffered()
                if message is None and self.receive_some(0, False) == DONE:
                    message = self.next_buffered()
                if self.ended:
                    raise ConnectionClosedError("receiving: the peer closed the connection")
            except BaseException:
                self.broken = True
                raise
            if not self.has_received():
                self.release_buffer()  # idle connections keep no buffer
            return message
        finally:
            self.leave()

    cdef Message take_available(self, Header *header, uint8_t *payload, bint *small):
        """As `receive_available`; `small` when there is a message that is in `header` and `payload`.

        The end of the stream is no error here (`ended`), and a big message is received with several system calls.
        """
        cdef Message message = None
        small[0] = False
        self.enter()
        try:
            self.check_unread()
            try:
                for _ in range(MOST_RECEIVES):
                    if self.has_received() or self.assembler.complete() or self.receive_some(0, False) != DONE:
                        break
                small[0] = self.take_small(header, payload)
                if not small[0]:
                    message = self.next_buffered()
            except BaseException:
                self.broken = True
                raise
            if not self.has_received():
                self.release_buffer()  # idle connections keep no buffer
        finally:
            self.leave()
        return message

    cdef int begin_spinning(self) except -1:
        """Let `try_receive` be called without the GIL, until `end_spinning`, which must follow. For quiet streams."""
        assert self.is_quiet(), "begin_spinning is for a quiet stream"
        self.take_buffer()
        self.users += 1  # or a close by another thread would give the descriptor to somebody else
        self.peeks = self.assembler.missing() > BUFFER_SIZE
        return 0

    cdef int end_spinning(self, Outcome received, Py_ssize_t count) except -1:
        """Keep what the last look has received, unless it shall be received into its place."""
        if received == DONE and not self.peeks:
            self.end = count
        else:
            self.release_buffer()
        return self.leave()

    cdef int begin_sending(self) noexcept:
        self.sender = PyThread_get_thread_ident()
        return OutputStream.begin_sending(self)

    cdef int take_turn(self, double deadline) except -1:
        if self.sending and self.sender == <unsigned long> PyThread_get_thread_ident():
            raise LocalProtocolError(
                "this thread is in the middle of sending on the connection: a destructor or a signal handler cannot "
                "send there as well; give it a proxy of its own"
            )
        return OutputStream.take_turn(self, deadline)

    cdef int check_unread(self) except -1:
        if self.reading:
            raise LocalProtocolError("the connection is in use by another thread; give each thread its own, or a lock")
        return 0

    cdef int send_message(self, Outgoing message, bint collect, double deadline) except -1:
        cdef Header header
        cdef Py_buffer view
        cdef uint8_t small[SMALL_MESSAGE]
        cdef iovec parts[3]
        cdef bytes extra = pack_annotations(dict(message.annotations)) if message.annotations else None
        cdef Py_ssize_t extra_size = 0 if extra is None else PyBytes_GET_SIZE(extra)
        cdef Py_ssize_t head_size = HEADER_SIZE + extra_size
        if self.assembler.dialect == PYRO4_VERSION:
            return self.send_whole(pack_pyro4(message, self.assembler.hmac_key, self.max_message_size), deadline)
        payload = message.payload
        if type(payload) is bytes and PyBytes_GET_SIZE(payload) >= BULK:
            payload = [payload]
        if type(payload) is list:
            return self.send_bulk(message, payload, extra, deadline)
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            message.fill_header(&header, view.len, extra_size, self.max_message_size)
            write_header(small, &header)
            if head_size + view.len <= SMALL_MESSAGE:
                if extra_size:
                    memcpy(small + HEADER_SIZE, PyBytes_AS_STRING(extra), extra_size)
                memcpy(small + head_size, view.buf, view.len)
                return self.send_bytes(small, head_size + view.len, collect, deadline)
            parts[0] = iovec(&small[0], HEADER_SIZE)
            parts[1] = iovec(NULL, extra_size)
            if extra is not None:
                parts[1].iov_base = PyBytes_AS_STRING(extra)
            parts[2] = iovec(view.buf, view.len)
            return self.send_parts(&parts[0], 3, None, False, deadline)
        finally:
            PyBuffer_Release(&view)

    cdef int send_whole(self, bytes message, double deadline) except -1:
        # A message that is laid out; a big one is kept as it is while it waits.
        cdef iovec part = iovec(PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
        if <Py_ssize_t> part.iov_len >= BULK:
            return self.send_parts(&part, 1, [message], False, deadline)
        return self.send_bytes(<const uint8_t *> part.iov_base, part.iov_len, False, deadline)

    cdef int send_bulk(self, Outgoing message, list payload, bytes extra, double deadline) except -1:
        # Each part of the payload leaves from where it is.
        cdef Header header
        cdef uint8_t head[HEADER_SIZE]
        cdef Py_ssize_t count = len(payload), index, taken = 0, size = 0
        cdef Py_buffer *views = <Py_buffer *> PyMem_Malloc(count * sizeof(Py_buffer))
        cdef iovec *parts = <iovec *> PyMem_Malloc((count + 2) * sizeof(iovec))
        try:
            if views == NULL or parts == NULL:
                raise MemoryError
            for index in range(count):
                PyObject_GetBuffer(payload[index], &views[index], PyBUF_SIMPLE)
                taken += 1
                parts[index + 2].iov_base = views[index].buf
                parts[index + 2].iov_len = views[index].len
                size += views[index].len
            extra = extra or b""
            message.fill_header(&header, size, len(extra), self.max_message_size)
            write_header(head, &header)
            parts[0].iov_base = head
            parts[0].iov_len = HEADER_SIZE
            parts[1].iov_base = PyBytes_AS_STRING(extra)
            parts[1].iov_len = len(extra)
            return self.send_parts(parts, count + 2, [None, None] + payload, False, deadline)
        finally:
            for index in range(taken):
                PyBuffer_Release(&views[index])
            PyMem_Free(views)
            PyMem_Free(parts)

    cdef Message receive_message(self, double deadline):
        cdef Message message
        while True:
            message = self.next_buffered()
            if message is not None:
                return message
            self.receive_some(deadline, True)

    cdef bint take_small(self, Header *header, uint8_t *payload) except -1:
        """Take a message from the buffer if it is whole, small, and has nothing beside its payload."""
        cdef const uint8_t *data = self.buffer + self.start
        cdef Py_ssize_t size = self.end - self.start
        if size < HEADER_SIZE or self.assembler.dialect != VERSION or not self.assembler.idle():
            return False
        check_prefix(data, PREFIX_SIZE, VERSION)
        read_header(data, header, self.max_message_size)
        size -= HEADER_SIZE
        if (
            header.annotations_size != 0 or header.has_correlation or header.flags & FLAG_BUFFERS
            or header.payload_size > size or header.payload_size > SMALL_REPLY
        ):
            return False
        memcpy(payload, data + HEADER_SIZE, header.payload_size)
        self.start += HEADER_SIZE + header.payload_size
        return True

    cdef Message next_buffered(self):
        # Moves buffered bytes into the assembler until a message is whole or the buffer is empty.
        cdef uint8_t *target = NULL
        cdef Py_ssize_t count = 0
        if self.assembler.complete():  # its last bytes were received directly
            return self.take_message()
        while self.start < self.end:
            self.assembler.room(&target, &count)
            if count > self.end - self.start:
                count = self.end - self.start
            memcpy(target, self.buffer + self.start, count)
            self.start += count
            if self.assembler.filled(count):
                return self.take_message()
        if self.intake is not None:
            self.count_unfinished()
        return None

    cdef Message take_message(self):
        cdef Message message = self.assembler.take()
        if self.counted:
            self.count_unfinished()
        return message

    cdef int count_unfinished(self) except -1:
        cdef Py_ssize_t before = self.counted
        self.counted = self.assembler.held()
        return 0 if self.counted == before else self.intake.change(before, self.counted)

    cdef int close_socket(self) except -1:
        self.assembler.forget()
        OutputStream.close_socket(self)
        return self.count_unfinished() if self.counted else 0

    cdef Outcome receive_some(self, double deadline, bint wait) except FAILED:
        """Receive: DONE, or without `wait` perhaps NOTHING_YET, or ENDED, after which `ended` is set.

        Precondition: the buffer is empty.
        """
        cdef uint8_t *target = NULL
        cdef Py_ssize_t size = 0, count = 0
        cdef Outcome outcome
        if not self.assembler.idle():
            if self.counted and not wait and self.intake.refuses(self, self.counted):
                return NOTHING_YET
            if wait and has_passed(deadline):  # a peer that drips bytes is never waited for
                raise TimeoutError("receiving: timeout")
            self.assembler.room(&target, &size)
        if size < DIRECT_ROOM:
            self.take_buffer()
            outcome = self.receive_into(self.buffer, BUFFER_SIZE, deadline, wait, &count)
            self.end = count
        else:
            outcome = self.receive_into(target, size, deadline, wait, &count)
            if outcome == DONE:
                self.assembler.filled(count)
                if self.intake is not None:
                    self.count_unfinished()
        if outcome == ENDED:
            if wait or not self.assembler.idle():
                raise ConnectionClosedError(
                    "receiving: the peer closed the connection" if self.assembler.idle()
                    else "receiving: the peer closed the connection in the middle of a message"
                )
            self.ended = True
        return outcome
