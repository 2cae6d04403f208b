"""One connected stream socket: send, receive and exchange whole messages with as few system calls as possible.

Knows descriptors and messages; knows no objects, methods or serializers.

Rule 1: the GIL is released round system calls and nowhere else; between them no other thread sees a half-made state,
        because a link has one user at a time (`busy`), and a second one gets an error.
Rule 2: a timeout is one deadline over the whole operation, not a limit for each system call.
Rule 3: an operation that fails in the middle leaves the link broken: nobody can read another call's answer from it.
Rule 4: `close` may come from any thread: it shuts the stream down, and the user that is inside closes the descriptor.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.errno cimport EAGAIN, EINTR, errno  # Linux and macOS have EWOULDBLOCK == EAGAIN
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, strerror

from fastpyro._posix cimport (
    CLOCK_MONOTONIC, MSG_DONTWAIT, MSG_NOSIGNAL, POLLIN, POLLOUT, clock_gettime, iovec, msghdr, poll, pollfd, recv,
    send, sendmsg, timespec,
)
from fastpyro._wire cimport HEADER_SIZE, Assembler, Header, Message, fill_header, pack_annotations, write_header

import socket as socket_module

from fastpyro.errors import ConnectionClosedError, LocalProtocolError, TimeoutError

cdef enum:
    BUFFER_SIZE = 32768  # what one recv can take; larger bodies are received straight into their final memory
    SMALL_MESSAGE = 4096  # up to here a message is joined on the stack and leaves in one send
    DIRECT_ROOM = 16384  # a body that still misses this much is received without the buffer
    LONGEST_POLL = 3600 * 1000  # milliseconds; a longer wait is cut into several


cdef double now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <double> time.tv_sec + <double> time.tv_nsec * 1e-9


cdef inline double deadline_of(object timeout) except? -1:
    # None and 0 mean "wait for ever", which is the deadline 0.
    cdef double seconds
    if timeout is None:
        return 0
    seconds = timeout
    if seconds < 0 or seconds != seconds:
        raise ValueError(f"a timeout is a number of seconds, 0 or more, or None, not {timeout!r}")
    return now() + seconds if seconds > 0 else 0


cdef class Link:
    """A connected stream socket that carries messages.

    Arguments: ``sock``, a connected Python socket, which the link switches to blocking mode and from then on owns;
    ``max_message_size``, the limit for annotations and payload in bytes (0: the format's 4 GiB).
    """

    def __cinit__(self, sock, max_message_size=0):
        self.buffer = NULL
        self.start = self.end = 0
        self.busy = self.closing = self.broken = False
        self.sock = sock
        self.fd = -1
        self.assembler = Assembler(max_message_size)
        self.max_message_size = self.assembler.max_message_size

    def __init__(self, sock, max_message_size=0):
        sock.setblocking(True)
        self.fd = sock.fileno()

    def __dealloc__(self):
        PyMem_RawFree(self.buffer)

    @property
    def closed(self):
        """Whether the link can no longer be used."""
        return self.closing or self.broken

    @property
    def has_buffered(self):
        """Whether received bytes wait here, so that the descriptor need not become readable for the next message."""
        return self.end > self.start

    @property
    def receiving(self):
        """Whether a message has begun to arrive but is not complete."""
        return not self.assembler.idle()

    def fileno(self):
        """Return the descriptor, or -1 when the link is closed."""
        return -1 if self.closing else self.fd

    def set_max_message_size(self, max_message_size):
        """Change the limit in both directions; it holds from the next message on."""
        limit = Assembler(max_message_size).max_message_size
        self.assembler.max_message_size = limit
        self.max_message_size = limit

    def send(
        self, int kind, int flags, int seq, int serializer_id, payload, annotations=None, correlation_id=None,
        timeout=None,
    ):
        """Send one message; arguments as for ``exchange``. Returns None when the system has taken all bytes."""
        cdef double deadline = deadline_of(timeout)
        self.enter()
        try:
            self.send_message(kind, flags, seq, serializer_id, payload, annotations, correlation_id, deadline)
        finally:
            self.leave()

    def receive(self, timeout=None):
        """Wait for the next message and return it.

        Raises TimeoutError, ConnectionClosedError, RemoteProtocolError, MessageTooLargeError; the link is closed then.
        """
        cdef double deadline = deadline_of(timeout)
        self.enter()
        try:
            return self.receive_message(deadline)
        finally:
            self.leave()

    def exchange(
        self, int kind, int flags, int seq, int serializer_id, payload, annotations=None, correlation_id=None,
        timeout=None,
    ):
        """Send one message and wait for one in answer.

        Arguments: the header's fields (numbers); ``payload`` bytes-like; ``annotations`` a dict of 4-character str to
        bytes-like, or None; ``correlation_id`` 16 bytes or None; ``timeout`` seconds for the whole exchange, None or 0
        for no limit. Returns the Message that came back.
        Raises LocalProtocolError or MessageTooLargeError before anything is sent (the link stays usable), otherwise
        TimeoutError, ConnectionClosedError or RemoteProtocolError, after which the link is closed.
        """
        cdef double deadline = deadline_of(timeout)
        self.enter()
        try:
            self.send_message(kind, flags, seq, serializer_id, payload, annotations, correlation_id, deadline)
            return self.receive_message(deadline)
        finally:
            self.leave()

    def receive_available(self):
        """Return the next message if its bytes are here, without waiting, else None.

        One system call at most. Raises like ``receive``.
        """
        cdef Message message
        self.enter()
        try:
            try:
                message = self.next_buffered()
                if message is None and self.receive_some(0, False) > 0:
                    message = self.next_buffered()
            except BaseException:
                self.broken = True
                raise
            if self.start == self.end:
                self.release_buffer()  # idle connections keep no buffer
            return message
        finally:
            self.leave()

    def close(self):
        """Close the connection; whoever waits in it gets ConnectionClosedError. Can be called again, by any thread."""
        if self.closing:
            return
        self.closing = True
        try:
            self.sock.shutdown(socket_module.SHUT_RDWR)
        except OSError:
            pass  # not connected any more
        if not self.busy:
            self.sock.close()

    def abandon(self):
        """Give up this process's share of the connection, after a fork, without ending the parent's conversation."""
        self.closing = True
        self.sock.close()

    cdef int enter(self) except -1:
        if self.closing or self.broken:
            raise ConnectionClosedError("the connection is closed")
        if self.busy:
            raise LocalProtocolError("the connection is in use by another thread; give each thread its own, or a lock")
        self.busy = True
        return 0

    cdef int leave(self) except -1:
        self.busy = False
        if self.closing:
            self.sock.close()
        return 0

    cdef int release_buffer(self) noexcept:
        PyMem_RawFree(self.buffer)
        self.buffer = NULL
        self.start = self.end = 0
        return 0

    cdef int send_message(
        self, int kind, int flags, int seq, int serializer_id, object payload, object annotations,
        object correlation_id, double deadline,
    ) except -1:
        cdef Header header
        cdef Py_buffer view
        cdef uint8_t small[SMALL_MESSAGE]
        cdef bytes extra = pack_annotations(dict(annotations)) if annotations else None
        cdef Py_ssize_t extra_size = 0 if extra is None else PyBytes_GET_SIZE(extra)
        cdef Py_ssize_t head_size = HEADER_SIZE + extra_size
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            fill_header(
                &header, kind, flags, seq, serializer_id, view.len, extra_size, correlation_id, self.max_message_size
            )
            try:
                if head_size + view.len <= SMALL_MESSAGE:
                    write_header(small, &header)
                    if extra_size:
                        memcpy(small + HEADER_SIZE, PyBytes_AS_STRING(extra), extra_size)
                    memcpy(small + head_size, view.buf, view.len)
                    return self.send_small(small, head_size + view.len, deadline)
                write_header(small, &header)
                if extra_size == 0:
                    return self.send_parts(small, HEADER_SIZE, <const uint8_t *> view.buf, view.len, deadline)
                extra = small[:HEADER_SIZE] + extra
                return self.send_parts(
                    <uint8_t *> PyBytes_AS_STRING(extra), head_size, <const uint8_t *> view.buf, view.len, deadline
                )
            except BaseException:
                self.broken = True
                raise
        finally:
            PyBuffer_Release(&view)

    cdef int send_small(self, uint8_t *data, Py_ssize_t size, double deadline) except -1:
        cdef Py_ssize_t count
        with nogil:
            count = send(self.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if count == size:
            return 0
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                raise ConnectionClosedError(f"sending: connection lost: {strerror(errno).decode()}")
            count = 0
        return self.send_parts(data + count, size - count, NULL, 0, deadline)

    cdef int send_parts(
        self, uint8_t *head, Py_ssize_t head_size, const uint8_t *tail, Py_ssize_t tail_size, double deadline,
    ) except -1:
        # Sends head and tail as one stream of bytes, without joining them.
        cdef iovec parts[2]
        cdef msghdr message
        cdef Py_ssize_t count
        while head_size + tail_size > 0:
            message = msghdr(NULL, 0, &parts[0], 2, NULL, 0, 0)
            parts[0].iov_base = head
            parts[0].iov_len = head_size
            parts[1].iov_base = <void *> tail
            parts[1].iov_len = tail_size
            with nogil:
                count = sendmsg(self.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
            if count < 0:
                if errno == EINTR:
                    PyErr_CheckSignals()
                elif errno == EAGAIN:
                    if self.wait_ready(POLLOUT, deadline) == 0:
                        raise TimeoutError("sending: timeout")
                else:
                    raise ConnectionClosedError(f"sending: connection lost: {strerror(errno).decode()}")
                continue
            if count >= head_size:
                count -= head_size
                head_size = 0
                tail += count
                tail_size -= count
            else:
                head += count
                head_size -= count
        return 0

    cdef Message receive_message(self, double deadline):
        cdef Message message
        try:
            while True:
                message = self.next_buffered()
                if message is not None:
                    return message
                self.receive_some(deadline, True)
        except BaseException:
            self.broken = True
            raise

    cdef Message next_buffered(self):
        # Moves buffered bytes into the assembler until a message is whole or the buffer is empty.
        cdef uint8_t *target = NULL
        cdef Py_ssize_t count = 0
        if self.assembler.complete():  # its last bytes were received directly
            return self.assembler.take()
        while self.start < self.end:
            self.assembler.room(&target, &count)
            if count > self.end - self.start:
                count = self.end - self.start
            memcpy(target, self.buffer + self.start, count)
            self.start += count
            if self.assembler.filled(count):
                return self.assembler.take()
        return None

    cdef Py_ssize_t receive_some(self, double deadline, bint wait) except -1:
        """Receive at least a byte (or, without `wait`, perhaps none: 0). Precondition: the buffer is empty."""
        cdef uint8_t *target = NULL
        cdef Py_ssize_t size = 0, count
        cdef bint direct = False
        cdef int flags = MSG_NOSIGNAL if wait and deadline == 0 else MSG_NOSIGNAL | MSG_DONTWAIT
        if not self.assembler.idle():
            self.assembler.room(&target, &size)
            direct = size >= DIRECT_ROOM
        if not direct:
            if self.buffer == NULL:
                self.buffer = <uint8_t *> PyMem_RawMalloc(BUFFER_SIZE)
                if self.buffer == NULL:
                    raise MemoryError
            self.start = self.end = 0
            target = self.buffer
            size = BUFFER_SIZE
        while True:
            if wait and deadline != 0 and self.wait_ready(POLLIN, deadline) == 0:
                raise TimeoutError("receiving: timeout")
            with nogil:
                count = recv(self.fd, target, size, flags)
            if count > 0:
                break
            if count == 0:
                raise ConnectionClosedError(
                    "receiving: the peer closed the connection" if self.assembler.idle()
                    else "receiving: the peer closed the connection in the middle of a message"
                )
            if errno == EINTR:
                PyErr_CheckSignals()
            elif errno == EAGAIN:
                if not wait:
                    return 0
                if deadline == 0:  # somebody made the socket non-blocking: wait here instead of spinning
                    self.wait_ready(POLLIN, 0)
            else:
                raise ConnectionClosedError(f"receiving: connection lost: {strerror(errno).decode()}")
        if direct:
            self.assembler.filled(count)
        else:
            self.end = count
        return count

    cdef int wait_ready(self, short events, double deadline) except -1:
        """Wait for readiness: 1, or 0 when the deadline has passed."""
        cdef pollfd ready
        cdef double left
        cdef int milliseconds, result
        while True:
            milliseconds = LONGEST_POLL
            if deadline != 0:
                left = (deadline - now()) * 1000
                if left <= 0:  # even when bytes are there: a peer that drips them must not stretch the deadline
                    return 0
                if left < LONGEST_POLL:
                    milliseconds = <int> left + (1 if left > <int> left else 0)
            ready.fd = self.fd
            ready.events = events
            ready.revents = 0
            with nogil:
                result = poll(&ready, 1, milliseconds)
            if result > 0:
                return 1
            if result < 0:
                if errno != EINTR:
                    raise ConnectionClosedError(f"connection lost: {strerror(errno).decode()}")
                PyErr_CheckSignals()
