"""Waits until one of many descriptors is readable, and takes in who waits at a listener. Linux: epoll, level-triggered.

Knows descriptors, and of a link only how to receive bytes into its buffer; knows no requests.
Rule 1: one thread waits at a time; adding and removing by other threads takes effect at once.
Rule 2: while it looks instead of sleeping, it looks at the connection that spoke last: its bytes are received without
        asking epoll first. The others are looked at often enough that none of them waits longer for it. Where more
        than a few take turns nobody is preferred: who answers one thread of many at once keeps the others waiting.
"""

cimport cython
from libc.errno cimport EAGAIN, ECONNABORTED, EEXIST, EINTR, errno
from libc.stdint cimport uint32_t, uint64_t

from fastpyro.transport._link cimport Link, Spinner
from fastpyro.transport._attempt cimport DONE, ENDED, NOTHING_YET, Attempt, Outcome
from fastpyro._clock cimport monotonic
from fastpyro.transport._spin cimport (
    Round, Spin, begin_round, begin_spin, end_spin, hit, missed, slept, spin_of
)

import os

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int room, int milliseconds)
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLLIN

cdef extern from "<unistd.h>" nogil:
    int close_descriptor "close"(int fd)

cdef extern from *:
    """
    #include <sys/socket.h>
    /* As accept4(2), for who does not need the peer's address. */
    static int fastpyro_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
    """
    int fastpyro_accept(int listener) nogil

cdef enum:
    MOST_EVENTS = 64  # in one answer
    LONGEST_WAIT = 3600  # seconds
    MOST_IN_A_ROW = 16  # requests of one connection before the others are looked at
    CROWD = 16  # answers for which no single connection is looked at, after one that names several or a new one
    FEW = 4  # descriptors that take turns; more are a crowd even when they speak one by one
    MISSES_BETWEEN = 8  # looks at one connection before the others are looked at


@cython.final
cdef class EpollPoller(Spinner):
    """Level-triggered epoll. Arguments: ``spin``, microseconds to look for requests before sleeping; 0: yield once."""

    cdef int epoll
    cdef int in_a_row
    cdef int crowd  # answers with one event until it pays again to look at a single connection
    cdef int recent[FEW]  # the descriptors that were named alone
    cdef int next_recent
    cdef Spin spin
    cdef epoll_event events[MOST_EVENTS]

    def __cinit__(self, int spin=0):
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        cdef int index
        self.in_a_row = self.crowd = self.next_recent = 0
        for index in range(FEW):
            self.recent[index] = -1
        self.spin = spin_of(spin)
        if self.epoll < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.epoll >= 0:
            close_descriptor(self.epoll)  # in C: the interpreter may be ending

    def add(self, int fd):
        """Watch a descriptor; it must not be watched yet."""
        cdef epoll_event event
        event.events = EPOLLIN
        event.data.u64 = 0
        event.data.fd = fd
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) != 0:
            if errno == EEXIST:
                raise FileExistsError(errno, os.strerror(errno))
            raise OSError(errno, os.strerror(errno))

    def remove(self, int fd):
        """Stop watching a descriptor; one that is closed or not watched is no error."""
        cdef epoll_event unused
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &unused)

    def wait(self, double timeout, Link last=None):
        """Return readable (or broken) descriptors, none after ``timeout`` seconds.

        ``last`` is the connection that spoke last, if it is likely to speak next; its bytes may be in its buffer then.
        """
        cdef int count, milliseconds = <int> (timeout * 1000 + 0.999) if timeout < LONGEST_WAIT else LONGEST_WAIT * 1000
        cdef long long began
        cdef Outcome heard = NOTHING_YET
        if last is not None and not last.is_quiet():
            last = None
        if timeout <= 0 or self.crowd > 0:
            with nogil:
                count = epoll_wait(self.epoll, self.events, MOST_EVENTS, 0)
            if timeout <= 0 or count != 0:
                return self.ready(count)
            last = None
        if begin_spin(&self.spin):
            if last is not None and self.in_a_row < MOST_IN_A_ROW:
                count = self.spin_on(last, &heard)
            else:
                self.in_a_row = 0
                with nogil:
                    count = self.spin_once(None, NULL)
            end_spin(&self.spin, count > 0 or heard == DONE)
            if heard == DONE:
                return [last.descriptor()]
            if count > 0:
                return self.ready(count)
        began = monotonic()
        with nogil:
            count = epoll_wait(self.epoll, self.events, MOST_EVENTS, milliseconds)
        slept(&self.spin, monotonic() - began)
        return self.ready(count)

    cdef bint spin_for(self, Link last) except -1:
        """Look for the next bytes of the connection that was just served; whether `wait` would have named it alone."""
        cdef int count
        cdef Outcome heard = NOTHING_YET
        if self.crowd > 0 or self.in_a_row >= MOST_IN_A_ROW or not last.is_quiet() or not begin_spin(&self.spin):
            return False
        count = self.spin_on(last, &heard)
        end_spin(&self.spin, count > 0 or heard == DONE)
        if count > 0:
            self.in_a_row = MOST_IN_A_ROW  # others have spoken: `wait` shall ask epoll first, who tells it again
        return heard == DONE

    cdef int spin_on(self, Link last, Outcome *heard) except -1:
        """As `spin_once`, of one connection and of all: `heard` is DONE when it has to be received from."""
        cdef int count
        cdef Attempt received = Attempt(NOTHING_YET, 0, 0)
        self.in_a_row += 1
        last.begin_spinning()
        with nogil:
            count = self.spin_once(last, &received)
        last.end_spinning(received.outcome, received.count)
        if received.outcome != NOTHING_YET:
            heard[0] = DONE  # also an end, or an error: who receives will hear of it
        return count

    cdef int spin_once(self, Link last, Attempt *received) noexcept nogil:
        """Look until the time is up: the count of epoll's events, or 0; `received` is what `last` has said, if any."""
        cdef Round round
        cdef int count, fd = -1
        if last is not None:
            fd = last.descriptor()
        begin_round(&self.spin, &round, fd, 0)
        while True:
            if fd >= 0:
                received[0] = last.try_receive()
                if received.outcome == DONE or received.outcome == ENDED:
                    hit(&self.spin, &round)
                if received.outcome != NOTHING_YET:
                    return 0
            if fd < 0 or round.misses % MISSES_BETWEEN == MISSES_BETWEEN - 1:
                count = epoll_wait(self.epoll, self.events, MOST_EVENTS, 0)
                if count > 1 or (count == 1 and self.events[0].data.fd != fd):  # else recv will say it
                    return count
            if not missed(&self.spin, &round):
                return 0

    cdef list ready(self, int count):
        cdef int index
        if count > 1 or (count == 1 and self.is_new(self.events[0].data.fd)):
            self.crowd = CROWD
        elif self.crowd > 0:
            self.crowd -= 1
        if count < 0:
            if errno == EINTR:
                return []
            raise OSError(errno, os.strerror(errno))
        return [self.events[index].data.fd for index in range(count)]

    cdef bint is_new(self, int fd) noexcept:
        """Whether a descriptor is none of the last few that were named alone."""
        cdef int index
        for index in range(FEW):
            if self.recent[index] == fd:
                return False
        self.recent[self.next_recent] = fd
        self.next_recent = (self.next_recent + 1) % FEW
        return True

    def accept(self, listener not None):
        """Return the descriptor of the next connection that waits at a non-blocking listener, -1 when none does.

        Raises OSError when the system has no room for another one.
        """
        cdef int fd = fastpyro_accept(listener.fileno())
        if fd < 0 and errno not in (EAGAIN, EINTR, ECONNABORTED):
            raise OSError(errno, os.strerror(errno))
        return fd

    def fileno(self):
        """Return a descriptor that is readable when one of those that are watched is, -1 once this is closed."""
        return self.epoll

    def close(self):
        """Release the descriptor. May be called again."""
        if self.epoll >= 0:
            close_descriptor(self.epoll)
            self.epoll = -1
