# The bytes of one connected descriptor.

from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport uint8_t

from fastpyro._posix cimport iovec, msghdr
from fastpyro.transport._attempt cimport FAILED, Attempt, Outcome
from fastpyro.transport._spin cimport Spin

cdef extern from "Python.h" nogil:
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    PyLockStatus PyThread_acquire_lock_timed(void *lock, long long microseconds, int interruptible)

cdef enum:
    BUFFER_SIZE = 32768  # what one recv can take; larger bodies are received straight into their final memory


# How long a sender waits for room: until a deadline or, as long as the peer takes bytes quickly, until another time.
cdef struct Patience:
    double deadline  # seconds, 0: none
    long long until  # nanoseconds, 0: only the deadline counts
    long long last  # when the peer took something
    long long stall  # nanoseconds since then that are borne
    long long pace  # nanoseconds by which each byte puts the end off


cdef double deadline_of(object timeout) except? -1
cdef double deadline_in(double seconds) noexcept
cdef bint has_passed(double deadline) noexcept nogil
cdef object lost(str what, int failure)


cdef class Stream:
    cdef readonly object sock
    cdef int fd
    cdef uint8_t *buffer
    cdef Py_ssize_t start, end  # what has been received and not been taken yet
    cdef int users
    cdef bint closing, broken
    cdef bint sending  # a message is half sent, by the holder of send_lock
    cdef PyThread_type_lock send_lock
    cdef Spin spin  # of who waits for a message
    cdef Spin send_spin, bulk_spin  # of who waits for room, or for the rest of something big
    cdef bint collects  # the system can collect small messages
    cdef long long last_unawaited  # when the last message was sent that nobody waits for, nanoseconds
    cdef unsigned long promise  # of the last push, 0: none

    cdef inline int descriptor(self) noexcept nogil:
        return self.fd

    cdef inline bint usable(self) noexcept:
        return not (self.closing or self.broken)

    cdef inline bint has_received(self) noexcept:
        # What has been received and not been taken yet.
        return self.end > self.start

    cdef int close_socket(self) except -1
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int take_buffer(self) except -1
    cdef int release_buffer(self) noexcept
    cdef int give_up(self) noexcept

    # Sending: what is small and joined, with a call of its own for each way in which it may leave; the rest in parts.
    cdef int send_unawaited(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int send_bytes(self, const uint8_t *data, Py_ssize_t size, bint collect, double deadline) except -1
    cdef Py_ssize_t send_at_once(self, const uint8_t *data, Py_ssize_t size) except -1
    cdef int send_rest_of(self, const uint8_t *data, Py_ssize_t size, Py_ssize_t sent, double deadline) except -1
    cdef bint is_one_of_many(self) noexcept
    cdef Py_ssize_t send_and_receive(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int send_parts(self, iovec *parts, Py_ssize_t count, list owners, bint begun, double deadline) except -1
    cdef int begin_sending(self) noexcept
    cdef int end_sending(self) noexcept nogil
    cdef int take_turn(self, double deadline) except -1
    cdef Outcome send_while_patient(self, iovec *parts, Py_ssize_t left, Patience *patience) except FAILED
    cdef Attempt spin_for_room(self, const msghdr *message, double deadline) noexcept nogil
    cdef Outcome wait_for_room(self, const Patience *patience) except FAILED

    # Receiving.
    cdef Outcome receive_into(
        self, uint8_t *target, Py_ssize_t size, double deadline, bint wait, Py_ssize_t *count
    ) except FAILED
    cdef Attempt sleep_once(self, double deadline) noexcept nogil
    cdef Outcome sleep_for_bytes(
        self, uint8_t *target, Py_ssize_t size, double deadline, Py_ssize_t *count
    ) except FAILED
    cdef Attempt spin_for_bytes(self, Spin *spin, uint8_t *target, Py_ssize_t size, double deadline) noexcept nogil
    cdef Outcome wait_ready(self, short events, double deadline) except FAILED
