# One connection and the exchanges over it.

from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport uint8_t

from fastpyro.protocol._message cimport Header, Message, Outgoing
from fastpyro.transport._message_stream cimport MessageStream
from fastpyro._mutex cimport ServingThread


# Somebody whose reply somebody else may receive.
cdef class Waiter:
    cdef PyThread_type_lock lock
    cdef Message message
    cdef object error, callback
    cdef bint waiting, must_read

    cdef int wake(self) noexcept


# A message on its way to its callback.
cdef class Delivery:
    cdef object callback, message


# Who can look for the next bytes of one link, before anybody sleeps.
cdef class Spinner:
    cdef bint spin_for(self, Link last) except -1


cdef class Link(MessageStream):
    cdef unsigned long reader  # who reads, while it is for callbacks only
    cdef unsigned long receiver  # who receives just now, and is not in a callback; 0 for none
    cdef int awaited  # the sequence number that the reader reads for, -1 for none
    cdef dict pending  # sequence number -> Waiter, or None
    cdef Py_ssize_t callbacks  # how many of them have a callback
    cdef set forgotten  # sequence numbers of replies that nobody wants any more, or None
    cdef object background
    cdef public unsigned int features  # what both ends can do (protocol/features)
    cdef public ServingThread served_by  # of the peer, where that is a daemon of this process with one thread; or None

    cdef inline bint is_shared(self) noexcept:
        # Other exchanges are under way, or a reply that nobody wants may still come.
        return self.reading or self.pending or self.forgotten

    cdef Waiter expect(self, int seq, object callback)
    cdef Waiter send_awaited(self, Outgoing message, double deadline)
    cdef Message converse_small(
        self, const uint8_t *request, Py_ssize_t size, int seq, Header *header, uint8_t *payload, double deadline,
    )
    cdef int submit_small(self, const uint8_t *request, Py_ssize_t size, int seq, object callback) except -1
    cdef Message reply_for(self, int seq, Waiter waiter, double deadline, Header *header, uint8_t *payload)
    cdef int wait_turn(self, Waiter waiter, double deadline) except -1
    cdef Message read_for(self, int seq, double deadline, Header *header, uint8_t *payload, bint appointed)
    cdef int stop_reading(self) except -1
    cdef int appoint_reader(self) except -1
    cdef bint deliver(self, Message message) except -1
    cdef int check_not_receiver(self) except -1
    cdef int run_callback(self, object callback, Message message) except -1
    cdef int run_here(self, Delivery delivery) except -1
    cdef int forget(self, int seq) except -1
    cdef int break_for_all(self, object error) except -1
