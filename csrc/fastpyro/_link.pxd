# One connected descriptor that carries messages.

from libc.stdint cimport uint8_t, uint64_t

from cpython.pythread cimport PyThread_type_lock
from fastpyro._stream cimport Stream
from fastpyro._wire cimport Assembler, Header, Message

cdef enum:
    SMALL_REPLY = 4096  # bytes of a payload that `receive_small` copies, for callers that keep it on the stack


# Somebody whose reply somebody else may receive.
cdef class Waiter:
    cdef PyThread_type_lock lock
    cdef Message message
    cdef object error, callback
    cdef bint waiting, must_read

    cdef int wake(self) noexcept


cdef class Link(Stream):
    cdef Assembler assembler
    cdef uint64_t max_message_size
    cdef bint reading  # some thread receives, or has been appointed to
    cdef unsigned long reader  # its identity, while it receives for callbacks only
    cdef dict pending  # sequence number -> Waiter, or None
    cdef Py_ssize_t callbacks  # how many of them have a callback
    cdef set forgotten  # sequence numbers of replies that nobody wants any more, or None
    cdef object background

    cdef int check_unread(self) except -1
    cdef int send_message(
        self, int kind, int flags, int seq, int serializer_id, object payload, object annotations,
        object correlation_id, bint collect, double deadline,
    ) except -1

    cdef int send_bulk(
        self, int kind, int flags, int seq, int serializer_id, list payload, bytes extra, object correlation_id,
        double deadline,
    ) except -1

    # Exchanges of many threads.
    cdef Waiter expect(self, int seq, object callback)
    cdef Message converse_small(
        self, const uint8_t *request, Py_ssize_t size, int seq, Header *header, uint8_t *payload, double deadline,
    )
    cdef int send_rest_of(self, const uint8_t *request, Py_ssize_t size, Py_ssize_t sent, double deadline) except -1
    cdef int submit_small(self, const uint8_t *request, Py_ssize_t size, int seq, object callback) except -1
    cdef Message reply_for(self, int seq, Waiter waiter, double deadline, Header *header, uint8_t *payload)
    cdef int wait_turn(self, Waiter waiter, double deadline) except -1
    cdef Message read_for(self, int seq, double deadline, Header *header, uint8_t *payload, bint appointed)
    cdef int stop_reading(self) except -1
    cdef int appoint_reader(self) except -1
    cdef bint deliver(self, Message message) except -1
    cdef int forget(self, int seq) except -1
    cdef int break_for_all(self, object error) except -1

    # Bytes to messages.
    cdef Message receive_message(self, double deadline)
    cdef bint take_small(self, Header *header, uint8_t *payload) except -1
    cdef Message next_buffered(self)
    cdef Py_ssize_t receive_some(self, double deadline, bint wait) except -2
