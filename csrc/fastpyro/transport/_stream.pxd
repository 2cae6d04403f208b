# The bytes of one connected descriptor.

from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport uint8_t

from fastpyro._posix cimport iovec, msghdr
from fastpyro.transport._spin cimport Spin

cdef extern from "Python.h" nogil:
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    PyLockStatus PyThread_acquire_lock_timed(void *lock, long long microseconds, int interruptible)

cdef enum:
    BUFFER_SIZE = 32768  # what one recv can take; larger bodies are received straight into their final memory


cdef double deadline_of(object timeout) except? -1
cdef double deadline_in(double seconds) noexcept


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

    cdef int close_socket(self) except -1
    cdef int send_unawaited(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int send_collected(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int take_buffer(self) except -1
    cdef int release_buffer(self) noexcept
    cdef int give_up(self) noexcept
    cdef Py_ssize_t send_at_once(self, const uint8_t *data, Py_ssize_t size) except -1
    cdef bint has_company(self) noexcept
    cdef Py_ssize_t send_and_receive(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int send_bytes(self, const uint8_t *data, Py_ssize_t size, double deadline) except -1
    cdef int send_parts(
        self, const uint8_t *head, Py_ssize_t head_size, const uint8_t *tail, Py_ssize_t tail_size, bint begun,
        double deadline,
    ) except -1
    cdef int send_vector(self, iovec *parts, Py_ssize_t count, bint begun, double deadline) except -1
    cdef int begin_sending(self) noexcept
    cdef int end_sending(self) noexcept nogil
    cdef int take_turn(self, double deadline) except -1
    cdef int send_rest(self, iovec *parts, Py_ssize_t left, double deadline) except -1
    cdef Py_ssize_t look_for_room(self, const msghdr *message, double deadline) noexcept nogil
    cdef int sleep_for_room(self, double deadline) except -1
    cdef Py_ssize_t receive_into(self, uint8_t *target, Py_ssize_t size, double deadline, bint wait) except -2
    cdef Py_ssize_t sleep_once(self, double deadline) noexcept nogil
    cdef Py_ssize_t sleep_for_bytes(self, uint8_t *target, Py_ssize_t size, double deadline) except -2
    cdef Py_ssize_t look_for_bytes(self, Spin *spin, uint8_t *target, Py_ssize_t size, double deadline) noexcept nogil
    cdef int wait_ready(self, short events, double deadline) except -1
