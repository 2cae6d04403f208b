"""What a peer does not take at once: a server's replies wait in a queue of their connection, and not in a thread.

Knows bytes; which thread sends what waits, and for how long, is the business of who sets an outlet.

Rule 1: without an outlet, as on the client's side, whoever sends waits, until its deadline.
Rule 2: with an outlet a sender stays only as long as the peer takes its bytes quickly. The rest goes into the queue,
        and the outlet is told, once, by its sender. What is big and cannot change is kept there as it is, so that a
        reply exists once; anything else is copied, so that nothing refers to the sender's memory any more.
Rule 3: `sending` is set while anything waits: all that is sent later goes behind it. It is set by one sender, or on
        behalf of the queue, which the outlet's thread empties alone (`send_unsent`).
Rule 4: the queue changes under the GIL only. A stream that ends, for whatever reason, forgets it at once.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastpyro._posix cimport MSG_DONTWAIT, iovec
from fastpyro.transport._attempt cimport DONE, FAILED, NOTHING_YET, Attempt, send_once
from fastpyro._clock cimport monotonic
from fastpyro.transport._stream cimport (
    PY_LOCK_INTR, Patience, PyLockStatus, PyThread_acquire_lock_timed, Stream, lost,
)

from collections import deque
from mmap import mmap

from fastpyro.errors import ConnectionClosedError

cdef enum:
    CHUNK = 1 << 20  # bytes that are copied, and freed, at a time
    MILLISECOND = 1000000  # in nanoseconds


cdef class OutputStream(Stream):
    """A connected stream socket whose sender need not wait for a slow peer.

    Attributes: ``unsent``, bytes that the queue keeps: a chunk counts until all of it is sent; ``unsent_messages``, how
    many messages have been put there since it was empty.
    """

    def __cinit__(self, sock, *arguments):
        self.queue_start = self.unsent = self.unsent_messages = 0

    def set_outlet(self, outlet, int stall, int budget, int rate):
        """Let bytes that the peer does not take wait in a queue; ``outlet(stream)`` is told when there are any.

        Arguments: ``stall``, milliseconds that a sender waits at the most for the peer to take something; ``budget``,
        milliseconds that it stays in any case while the peer does; ``rate``, bytes in each millisecond for which it
        stays longer, 0: for none. From when the outlet is told until ``send_unsent`` has sent all it is not told again.
        """
        self.outlet = outlet
        self.stall = stall
        self.budget = <long long> budget * MILLISECOND
        self.pace = MILLISECOND // rate if rate > 0 else 0

    def send_unsent(self, Py_ssize_t most):
        """Send of what waits as much as the system takes now, and about ``most`` bytes. Returns how many it took.

        For the thread that the outlet has told, alone. Raises ConnectionClosedError when the connection is lost.
        """
        cdef Attempt sent
        cdef Py_ssize_t taken = 0, size
        cdef Py_buffer view
        self.enter()
        try:
            while taken < most and self.queue is not None:
                # The view keeps the chunk while it is sent, even when the queue is forgotten meanwhile.
                PyObject_GetBuffer(self.queue[0], &view, PyBUF_SIMPLE)
                size = view.len - self.queue_start
                with nogil:
                    sent = send_once(self.fd, <const uint8_t *> view.buf + self.queue_start, size, MSG_DONTWAIT)
                PyBuffer_Release(&view)
                if not self.usable():
                    raise ConnectionClosedError("sending: the connection is closed")
                if sent.outcome == FAILED:
                    self.break_off()
                    raise lost("sending", sent.failure)
                if sent.outcome != DONE:
                    break
                taken += sent.count
                self.queue_start += sent.count
                if sent.count == size:
                    self.drop_chunk()
            return taken
        finally:
            self.leave()

    cdef int drop_chunk(self) except -1:
        # The first chunk has left; after the last one others may send again.
        self.unsent -= self.queue_start
        self.queue_start = 0
        self.queue.popleft()
        if not self.queue:
            self.queue = None
            self.unsent_messages = 0
            self.end_sending()
        return 0

    def break_off(self):
        """End the conversation, forget what waits, and let whoever uses the connection hear of it. From any thread."""
        self.broken = True
        self.give_up()

    def abandon(self):
        """Give up this process's share of the connection; a thread that is sending closes it when it leaves."""
        if self.outlet is None or self.users == 0:
            Stream.abandon(self)
        self.closing = True
        self.forget_queue()

    cdef int give_up(self) noexcept:
        self.forget_queue()
        return Stream.give_up(self)

    cdef int forget_queue(self) noexcept:
        self.queue = None
        self.unsent = 0
        return 0

    cdef Py_ssize_t send_at_once(self, const uint8_t *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t count = Stream.send_at_once(self, data, size)
        if self.queue is not None and not self.sending:  # another message was queued behind this one meanwhile
            self.begin_sending()
            self.outlet(self)
        return count

    cdef int send_parts(self, iovec *parts, Py_ssize_t count, list owners, bint begun, double deadline) except -1:
        cdef Patience patience
        cdef long long time
        if self.outlet is None:
            return Stream.send_parts(self, parts, count, owners, begun, deadline)
        if not begun and not self.take_turn_soon():
            return self.put_in_queue(parts, count, owners, False)
        self.begin_sending()
        time = monotonic()
        patience = Patience(0, time + self.budget, time, self.stall * MILLISECOND, self.pace)
        try:
            if self.send_while_patient(parts, count, &patience) == NOTHING_YET:
                self.put_in_queue(parts, count, owners, True)
        except BaseException:
            self.broken = True
            self.give_up()
            self.end_sending()
            raise
        return self.finish_sending()

    cdef int finish_sending(self) except -1:
        assert self.sending, "finish_sending is for who sends"
        if self.queue is None:
            return self.end_sending()
        self.outlet(self)
        return 0

    cdef bint take_turn_soon(self) except -1:
        """Wait a moment for who sends already. False when that lasts: then the message has to wait in the queue."""
        cdef PyLockStatus status
        cdef long long until = monotonic() + self.stall * MILLISECOND
        while self.sending:
            if self.closing or self.broken:
                raise ConnectionClosedError("sending: the connection is closed")
            if self.queue is not None or monotonic() >= until:
                return False
            with nogil:
                status = PyThread_acquire_lock_timed(self.send_lock, 1000, 1)
            if status == PY_LOCK_INTR:
                PyErr_CheckSignals()
        return True

    cdef int put_in_queue(self, iovec *parts, Py_ssize_t count, list owners, bint in_front) except -1:
        """Move what is left of some parts into the queue: in front of what others put there meanwhile, or behind it."""
        cdef list chunks
        cdef bint tells
        assert self.users > 0 and (self.sending or not in_front), "what goes in front is of who sends"
        try:
            chunks = chunks_of(parts, count, owners)
        except MemoryError:
            raise ConnectionClosedError("sending: there is no memory for what the peer does not take") from None
        if self.closing or self.broken:
            raise ConnectionClosedError("sending: the connection is closed")
        tells = not self.sending  # who was sending has sent all of it while this was copied
        if tells:
            self.begin_sending()
        if self.queue is None:
            self.queue = deque()
        if in_front:
            self.queue.extendleft(reversed(chunks))
        else:
            self.queue.extend(chunks)
        for chunk in chunks:
            self.unsent += len(chunk)
        self.unsent_messages += 1
        if tells:
            self.outlet(self)
        return 0


cdef list chunks_of(iovec *parts, Py_ssize_t count, list owners):
    """Return what is left of some parts as chunks, none of them empty: themselves or, as a rule, copies."""
    cdef Py_ssize_t index, copied = 0
    cdef list chunks = []
    if owners is not None:
        for index in range(count):
            chunk = rest_of(owners[index], &parts[index])
            if chunk is not None:
                chunks += copies_of(parts + copied, index - copied)
                chunks.append(chunk)
                copied = index + 1
    chunks += copies_of(parts + copied, count - copied)
    return chunks


cdef object rest_of(object owner, const iovec *part):
    """Return a view of the rest of bytes if keeping all of them costs at most twice what a copy would, else None."""
    cdef Py_ssize_t start, size = part.iov_len
    if type(owner) is memoryview:
        owner = owner.obj
    if type(owner) is not bytes or size < CHUNK or size < PyBytes_GET_SIZE(owner) // 2:
        return None
    start = <const char *> part.iov_base - PyBytes_AS_STRING(owner)
    if start < 0 or start + size > PyBytes_GET_SIZE(owner):
        return None
    return memoryview(owner)[start:start + size]


cdef list copies_of(iovec *parts, Py_ssize_t count):
    """Return the bytes of some parts as chunks, none of them empty. The parts are used up.

    Those of full size are memory of their own, which the system gets back at once: what many threads take and free
    among the small objects stays with the process, in one arena for each.
    """
    cdef Py_ssize_t index, left = 0, size
    cdef Py_buffer view
    cdef list chunks = []
    for index in range(count):
        left += parts[index].iov_len
    while left > 0:
        size = left if left < CHUNK else CHUNK
        if size < CHUNK:
            chunk = bytearray(size)
        else:
            try:
                chunk = mmap(-1, CHUNK)
            except OSError:
                raise MemoryError from None
        PyObject_GetBuffer(chunk, &view, PyBUF_WRITABLE)
        with nogil:
            parts = fill(<uint8_t *> view.buf, size, parts)
        PyBuffer_Release(&view)
        chunks.append(chunk)
        left -= size
    return chunks


cdef iovec *fill(uint8_t *target, Py_ssize_t room, iovec *parts) noexcept nogil:
    """Move so many bytes from parts to a place; the first part that has more is returned."""
    cdef Py_ssize_t piece
    while room > 0:
        piece = <Py_ssize_t> parts[0].iov_len
        if piece > room:
            piece = room
        if piece > 0:  # an empty part may be nowhere
            memcpy(target, parts[0].iov_base, piece)
        target += piece
        room -= piece
        parts[0].iov_base = <uint8_t *> parts[0].iov_base + piece
        parts[0].iov_len -= piece
        if parts[0].iov_len == 0 and room > 0:
            parts += 1
    return parts


cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static void fastpyro_trim(void) { malloc_trim(0); }
    #else
    static void fastpyro_trim(void) {}
    #endif
    """
    void fastpyro_trim() noexcept nogil


def give_memory_back():
    """Have the system get back what was freed, in the arenas of all threads. May take milliseconds; without the GIL."""
    with nogil:
        fastpyro_trim()
