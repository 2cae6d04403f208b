"""The bytes of one connected stream socket: sending, receiving, waiting. Knows no messages.

Rule 1: a system call that cannot wait keeps the GIL, because giving it up and getting it back costs as much as the
        call; whatever can wait, or moves much, runs without it.
Rule 2: a timeout is one deadline over the whole operation, not a limit for each system call.
Rule 3: `close` may come from any thread: it shuts the stream down, and the last user inside closes the descriptor.
Rule 4: one thread receives at a time. A message that the system does not take at once is sent with `sending` set, which
        no other sender passes, so that messages of several threads do not mix.
Rule 5: who waits for bytes looks for them before it sleeps, as `_spin` allows; who waits for room in a Unix socket
        does so as well, because the peer that makes room would wake it up on its own processor, on purpose.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
)
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t
from libc.string cimport strerror

from fastpyro._posix cimport MSG_DONTWAIT, POLLIN, POLLOUT, iovec, msghdr, poll, pollfd, sched_yield
from fastpyro.transport._attempt cimport (
    DONE, ENDED, FAILED, INTERRUPTED, NOTHING_YET, Attempt, Outcome, receive_once, send_once, send_parts_once,
    take_off,
)
from fastpyro.transport._cork cimport MORE, forget_push, push_soon
from fastpyro._clock cimport monotonic
from fastpyro.transport._spin cimport (
    Round, Spin, await_turn, begin_round, begin_spin, begin_wait, bulk_spin_of, end_spin, end_spins, end_turn, end_wait,
    hit, is_crowd, leave_shared_cpu, may_yield, missed, slept, spin_of, took_turn,
)

import socket as socket_module
import struct

from fastpyro.errors import ConnectionClosedError, TimeoutError

cdef enum:
    AT_ONCE = 65536  # bytes up to which a send keeps the GIL
    LONGEST_SLEEP = 1  # seconds; a longer one is cut into several, since a signal right before a sleep does not end it
    MOST_PARTS = 64  # of a message in one system call
    MOST_COLLECTED = 8192  # bytes of a message that may wait for company
    BURST = 50000  # nanoseconds; messages that follow each other faster are a burst
    LONGEST_TIME = 1000000000  # seconds; a longer timeout is cut to this
    LOCK_SLICE = 100000  # microseconds between two looks at signals and at `closing` while waiting to send

cdef object family_of = socket_module.SocketType.family.__get__  # the attribute itself runs Python, to make an enum
cdef bytes SLEEP = struct.pack("ll", LONGEST_SLEEP, 0)  # a timeval, of a socket that waits in recv
cdef int SHUT_BOTH = socket_module.SHUT_RDWR  # here, because at exit a module's names go before its objects
cdef uint8_t *spare_buffer = NULL  # one that was released, so that serving a request need not allocate


cdef inline double now() noexcept nogil:
    return <double> monotonic() * 1e-9


cdef double deadline_of(object timeout) except? -1:
    cdef double seconds = 0 if timeout is None else timeout  # both mean "wait for ever", which is the deadline 0
    if seconds < 0 or seconds != seconds:
        raise ValueError(f"a timeout is a number of seconds, 0 or more, or None, not {timeout!r}")
    return deadline_in(seconds)


cdef double deadline_in(double seconds) noexcept:
    return now() + (seconds if seconds < LONGEST_TIME else LONGEST_TIME) if seconds > 0 else 0


cdef bint has_passed(double deadline) noexcept nogil:
    return deadline != 0 and now() >= deadline


cdef int milliseconds_until(double deadline) noexcept nogil:
    # Rounded up, for poll; 0 when the deadline has passed.
    cdef double left
    if deadline == 0:
        return LONGEST_SLEEP * 1000
    left = (deadline - now()) * 1000
    if left <= 0:
        return 0
    return <int> left + 1 if left < LONGEST_SLEEP * 1000 else LONGEST_SLEEP * 1000


cdef class Stream:
    def __cinit__(self, sock, *arguments):
        self.buffer = NULL
        self.send_lock = NULL
        self.start = self.end = 0
        self.users = 0
        self.closing = self.broken = self.sending = False
        self.sock = sock
        self.fd = -1
        self.spin = spin_of(0)
        self.send_spin = self.bulk_spin = bulk_spin_of(0)
        self.last_unawaited = self.promise = 0
        self.collects = False
        self.send_lock = PyThread_allocate_lock()
        if self.send_lock == NULL:
            raise MemoryError

    def __init__(self, sock, *arguments):
        sock.setblocking(True)
        sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVTIMEO, SLEEP)
        self.fd = sock.fileno()
        self.collects = MORE != 0 and family_of(sock) != getattr(socket_module, "AF_UNIX", None)

    def __dealloc__(self):
        PyMem_RawFree(self.buffer)
        if self.promise:
            forget_push(self.fd)
        if self.send_lock != NULL:
            PyThread_free_lock(self.send_lock)

    @property
    def closed(self):
        """Whether the connection can no longer be used."""
        return self.closing or self.broken

    @property
    def has_buffered(self):
        """Whether received bytes wait here, so that the descriptor need not become readable for the next message."""
        return self.end > self.start

    def fileno(self):
        """Return the descriptor, or -1 when the connection is closed."""
        return -1 if self.closing else self.fd

    def set_spin(self, int microseconds):
        """Say how long to look for bytes before sleeping; 0: look once more after the processor was yielded."""
        self.spin = spin_of(microseconds)
        self.send_spin = self.bulk_spin = bulk_spin_of(microseconds)

    def leave_shared_cpu(self):
        """Let the thread that looks step aside when the peer, who looks as well, shares its processor."""
        leave_shared_cpu(&self.spin)
        self.send_spin.may_leave = self.bulk_spin.may_leave = True

    def close(self):
        """Close the connection; whoever waits in it gets ConnectionClosedError. Can be called again, by any thread."""
        if self.closing:
            return
        self.closing = True
        end_spins(&self.spin)
        self.give_up()
        if self.users == 0:
            self.close_socket()

    def abandon(self):
        """Give up this process's share of the connection, after a fork, without ending the parent's conversation."""
        self.closing = True
        self.close_socket()

    @property
    def steps_aside(self):
        """How often a thread that waited for the peer has left the processor that it shared with it."""
        return self.spin.steps + self.send_spin.steps + self.bulk_spin.steps

    cdef int close_socket(self) except -1:
        if self.promise:
            forget_push(self.fd)
        self.sock.close()
        return 0

    cdef int give_up(self) noexcept:
        # Wakes every thread that waits in the connection.
        try:
            self.sock.shutdown(SHUT_BOTH)
        except OSError:
            pass  # not connected any more
        return 0

    cdef int enter(self) except -1:
        if self.closing or self.broken:
            raise ConnectionClosedError("the connection is closed")
        self.users += 1
        return 0

    cdef int leave(self) except -1:
        assert self.users > 0, "leave is for who has entered"
        self.users -= 1
        if self.closing and self.users == 0:
            self.close_socket()
        return 0

    cdef int take_buffer(self) except -1:
        global spare_buffer
        assert self.start == self.end, "take_buffer is for an empty buffer"
        self.start = self.end = 0
        if self.buffer == NULL:
            self.buffer, spare_buffer = spare_buffer, NULL
            if self.buffer == NULL:
                self.buffer = <uint8_t *> PyMem_RawMalloc(BUFFER_SIZE)
                if self.buffer == NULL:
                    raise MemoryError
        return 0

    cdef int release_buffer(self) noexcept:
        global spare_buffer
        if spare_buffer == NULL:
            spare_buffer = self.buffer
        else:
            PyMem_RawFree(self.buffer)
        self.buffer = NULL
        self.start = self.end = 0
        return 0

    cdef int send_unawaited(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1:
        """Send what nobody waits for: in quick succession such messages leave together."""
        cdef long long time = monotonic()
        cdef bint burst = time - self.last_unawaited < BURST
        self.last_unawaited = time
        return self.send_bytes(data, size, burst, deadline)

    cdef int send_bytes(self, const uint8_t *data, Py_ssize_t size, bint collect, double deadline) except -1:
        """Send a small message. One to `collect` may wait a moment for company, over TCP only."""
        cdef Py_ssize_t count
        if collect and self.collects and not self.sending and size <= MOST_COLLECTED:
            count = send_once(self.fd, data, size, MSG_DONTWAIT | MORE).count
            if count == size:
                return push_soon(self.fd, &self.promise)
            if count > 0:
                self.begin_sending()
                return self.send_rest_of(data, size, count, deadline)
        count = self.send_at_once(data, size)
        return 0 if count == size else self.send_rest_of(data, size, count, deadline)

    cdef Py_ssize_t send_at_once(self, const uint8_t *data, Py_ssize_t size) except -1:
        """Send what the system takes without waiting, perhaps nothing: the count of bytes.

        After a part `sending` is set, and `send_rest_of` must follow at once.
        """
        cdef Attempt sent
        if self.sending or size > AT_ONCE:
            return 0
        if not is_crowd():
            sent = send_once(self.fd, data, size, MSG_DONTWAIT)
        else:  # others may be waiting for the GIL, and the system delivers small messages in the sender's time
            self.begin_sending()
            with nogil:
                sent = send_once(self.fd, data, size, MSG_DONTWAIT)
            self.end_sending()
        if sent.outcome == FAILED:
            self.broken = True
            raise lost("sending", sent.failure)
        if 0 < sent.count < size:
            self.begin_sending()
        return sent.count

    cdef int send_rest_of(self, const uint8_t *data, Py_ssize_t size, Py_ssize_t sent, double deadline) except -1:
        """Send what `send_at_once` has left of a message."""
        cdef iovec rest = iovec(<void *> (data + sent), size - sent)
        return self.send_parts(&rest, 1, None, sent > 0, deadline)

    cdef bint is_one_of_many(self) noexcept:
        """Whether many threads of this process wait for bytes: giving up the GIL twice would cost two waits for it."""
        return is_crowd() and not self.sending and self.end == self.start

    cdef Py_ssize_t send_and_receive(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1:
        """Send a small message and wait for bytes in answer, without the GIL. Returns what was sent, as `send_at_once`.

        What has come, if anything, is in the buffer. Precondition: `is_one_of_many`.
        """
        cdef Attempt sent, received = Attempt(NOTHING_YET, 0, 0)
        cdef long long time
        cdef bint yields = may_yield()
        assert self.users > 0 and self.is_one_of_many(), "send_and_receive is for who is inside, alone, in a crowd"
        self.take_buffer()
        begin_wait()
        self.begin_sending()
        with nogil:
            end_turn()
            sent = send_once(self.fd, data, size, MSG_DONTWAIT)
            if sent.count == size:
                self.end_sending()
                if yields:
                    sched_yield()
                    received = receive_once(self.fd, self.buffer, BUFFER_SIZE, MSG_DONTWAIT)
                if received.outcome == NOTHING_YET:
                    received = self.sleep_once(deadline)
            time = await_turn()
        took_turn(time)
        end_wait()
        if sent.count == size:
            self.end = received.count  # an end, an error or a timeout is met again by who comes next
            return size
        if sent.count > 0:
            return sent.count  # `sending` stays set
        self.end_sending()
        if sent.outcome == FAILED:
            self.broken = True
            raise lost("sending", sent.failure)
        return 0

    cdef int send_parts(self, iovec *parts, Py_ssize_t count, list owners, bint begun, double deadline) except -1:
        """Send parts as one stream of bytes, without joining them and without another thread between.

        `begun` says that `send_at_once` has sent a part of the message. The parts are used up. `owners` has the object
        that each is of, for a stream that keeps what the peer does not take, or is None.
        """
        cdef Patience patience = Patience(deadline, 0, 0, 0, 0)
        if not begun:
            self.take_turn(deadline)
        self.begin_sending()
        try:
            if self.send_while_patient(parts, count, &patience) == NOTHING_YET:
                raise TimeoutError("sending: timeout")
            return 0
        except BaseException:
            self.broken = True
            self.give_up()  # whoever receives must not wait for an answer to half a message
            raise
        finally:
            self.end_sending()

    cdef int begin_sending(self) noexcept:
        PyThread_acquire_lock(self.send_lock, NOWAIT_LOCK)
        self.sending = True
        return 0

    cdef int end_sending(self) noexcept nogil:
        assert self.sending, "end_sending is for who sends"
        self.sending = False
        PyThread_release_lock(self.send_lock)
        return 0

    cdef int take_turn(self, double deadline) except -1:
        # `sending`, which changes under the GIL, says whose turn it is. The lock is there to sleep on: a sender holds
        # it, or a sleeper does in its stead, who got it a moment ago and leaves it locked when he finds somebody
        # sending.
        cdef PyLockStatus status
        while self.sending:
            with nogil:
                status = PyThread_acquire_lock_timed(self.send_lock, LOCK_SLICE, 1)
            if status == PY_LOCK_INTR:
                PyErr_CheckSignals()
            if self.closing or self.broken:
                if status == PY_LOCK_ACQUIRED:
                    PyThread_release_lock(self.send_lock)  # for the next sleeper
                raise ConnectionClosedError("sending: the connection is closed")
            if has_passed(deadline):
                raise TimeoutError("sending: timeout")
        return 0

    cdef Outcome send_while_patient(self, iovec *parts, Py_ssize_t left, Patience *patience) except FAILED:
        """Send parts: DONE, or NOTHING_YET when the patience with the peer is over; the parts say what is left."""
        cdef msghdr message
        cdef Attempt sent
        cdef bint endless = patience.deadline == 0 and patience.until == 0
        cdef int flags = 0 if endless and self.collects else MSG_DONTWAIT
        assert self.users > 0 and self.sending, "send_while_patient is for who is inside, and sends"
        while True:
            while left > 0 and parts[0].iov_len == 0:
                parts += 1
                left -= 1
            if left == 0:
                return DONE
            message = msghdr(NULL, 0, parts, left if left < MOST_PARTS else MOST_PARTS, NULL, 0, 0)
            if not self.collects and begin_spin(&self.send_spin):
                with nogil:
                    sent = self.spin_for_room(&message, patience.deadline)
                end_spin(&self.send_spin, sent.outcome == DONE)
            else:
                with nogil:
                    sent = send_parts_once(self.fd, &message, flags)
            if sent.outcome == FAILED:
                raise lost("sending", sent.failure)
            if sent.outcome == NOTHING_YET and self.wait_for_room(patience) == NOTHING_YET:
                return NOTHING_YET
            if sent.outcome == DONE:
                take_off(parts, sent.count)
                if patience.until != 0:
                    patience.last = monotonic()
                    patience.until += sent.count * patience.pace
            if endless or sent.outcome == INTERRUPTED:
                PyErr_CheckSignals()  # a signal that came meanwhile may have cut the sending short

    cdef Attempt spin_for_room(self, const msghdr *message, double deadline) noexcept nogil:
        # Until sendmsg takes something or fails, or the time is up.
        cdef Round round
        cdef Attempt sent
        begin_round(&self.send_spin, &round, self.fd, deadline)
        while True:
            sent = send_parts_once(self.fd, message, MSG_DONTWAIT)
            if sent.outcome == DONE:
                hit(&self.send_spin, &round)
            if sent.outcome != NOTHING_YET:
                return sent
            if has_passed(deadline) or not missed(&self.send_spin, &round):
                return sent  # past the deadline even when there is room soon: a slow reader must not stretch it

    cdef Outcome wait_for_room(self, const Patience *patience) except FAILED:
        """Sleep until there is room: DONE, or NOTHING_YET when the patience is over."""
        cdef long long began = monotonic()
        cdef double deadline = patience.deadline
        cdef Outcome outcome
        if patience.until != 0:
            if began > patience.until:
                return NOTHING_YET
            deadline = <double> (patience.last + patience.stall) * 1e-9
        outcome = self.wait_ready(POLLOUT, deadline)
        slept(&self.send_spin, monotonic() - began)
        return outcome

    cdef Outcome receive_into(
        self, uint8_t *target, Py_ssize_t size, double deadline, bint wait, Py_ssize_t *count
    ) except FAILED:
        """Receive at least a byte: DONE and their count, or ENDED; without `wait` perhaps none: NOTHING_YET."""
        cdef Attempt received = Attempt(NOTHING_YET, 0, 0)
        cdef Outcome outcome
        cdef long long began
        cdef Spin *spin = &self.spin if size <= BUFFER_SIZE else &self.bulk_spin
        assert self.users > 0, "receive_into is for who is inside"
        if not wait:
            received = receive_once(self.fd, target, size, MSG_DONTWAIT)
        elif begin_spin(spin):
            with nogil:
                received = self.spin_for_bytes(spin, target, size, deadline)
            end_spin(spin, received.outcome != NOTHING_YET)
        if received.outcome == FAILED:
            raise lost("receiving", received.failure)
        if received.outcome != NOTHING_YET or not wait:
            count[0] = received.count
            return received.outcome
        PyErr_CheckSignals()  # one that came before the sleep would not interrupt it
        began = monotonic() if spin.budget else 0
        begin_wait()
        try:
            outcome = self.sleep_for_bytes(target, size, deadline, count)
        finally:
            end_wait()
        if spin.budget:
            slept(spin, monotonic() - began)
        return outcome

    cdef Attempt sleep_once(self, double deadline) noexcept nogil:
        # What recv into the buffer says, without a second try.
        cdef pollfd ready
        if deadline == 0:
            return receive_once(self.fd, self.buffer, BUFFER_SIZE, 0)
        ready = pollfd(self.fd, POLLIN, 0)
        if poll(&ready, 1, milliseconds_until(deadline)) <= 0:
            return Attempt(NOTHING_YET, 0, 0)
        return receive_once(self.fd, self.buffer, BUFFER_SIZE, MSG_DONTWAIT)

    cdef Outcome sleep_for_bytes(
        self, uint8_t *target, Py_ssize_t size, double deadline, Py_ssize_t *count
    ) except FAILED:
        cdef Attempt received
        # A recv that waits holds the socket against what arrives: for the rest of something big poll is faster.
        cdef bint polls = deadline != 0 or size > BUFFER_SIZE
        while True:
            if polls and self.wait_ready(POLLIN, deadline) == NOTHING_YET:
                raise TimeoutError("receiving: timeout")
            with nogil:
                received = receive_once(self.fd, target, size, MSG_DONTWAIT if polls else 0)
            if received.outcome == FAILED:
                raise lost("receiving", received.failure)
            if received.outcome == INTERRUPTED:
                PyErr_CheckSignals()
            elif received.outcome != NOTHING_YET:
                count[0] = received.count
                return received.outcome
            elif deadline == 0:  # it has slept for a while, or somebody made the socket non-blocking
                PyErr_CheckSignals()
                self.wait_ready(POLLIN, 0)

    cdef Attempt spin_for_bytes(self, Spin *spin, uint8_t *target, Py_ssize_t size, double deadline) noexcept nogil:
        # Until recv says something, or the time is up. An error it would not say again.
        cdef Round round
        cdef Attempt received
        begin_round(spin, &round, self.fd, deadline)
        while True:
            received = receive_once(self.fd, target, size, MSG_DONTWAIT)
            if received.outcome == DONE or received.outcome == ENDED:
                hit(spin, &round)
            if received.outcome != NOTHING_YET or not missed(spin, &round):
                return received

    cdef Outcome wait_ready(self, short events, double deadline) except FAILED:
        """Wait for readiness: DONE, or NOTHING_YET when the deadline has passed."""
        cdef pollfd ready
        cdef int milliseconds, result
        while True:
            milliseconds = milliseconds_until(deadline)
            if milliseconds == 0:  # even when bytes are there: a peer that drips them must not stretch the deadline
                return NOTHING_YET
            ready = pollfd(self.fd, events, 0)
            with nogil:
                result = poll(&ready, 1, milliseconds)
            if result > 0:
                return DONE
            if result < 0 and errno != EINTR:
                raise ConnectionClosedError(f"connection lost: {strerror(errno).decode()}")
            PyErr_CheckSignals()


cdef object lost(str what, int failure):
    error = ConnectionClosedError(f"{what}: connection lost: {strerror(failure).decode()}")
    error.not_started = what == "sending"  # what the peer may have got of a message is none
    return error
