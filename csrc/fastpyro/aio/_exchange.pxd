# The exchanges of one connection on an event loop.

from libc.stdint cimport uint8_t

from fastpyro.aio._call cimport Call, Sender
from fastpyro.aio._turns cimport LoopTurns
from fastpyro.client._session cimport CallerCore, SessionCore
from fastpyro.protocol._message cimport Header, Message
from fastpyro.transport._link cimport Link

cdef enum:
    OUT_SIZE = 65536  # bytes of small requests that are collected in one pass of the loop


cdef class Exchange(Sender):
    cdef object __weakref__
    cdef CallerCore caller
    cdef object channel
    cdef Link link  # the channel, if it is a native one; else None
    cdef LoopTurns turns
    cdef int fd
    cdef int process
    cdef bint entered, flush_planned, writing, receiving, debug
    cdef dict pending  # sequence number -> Call
    cdef set forgotten
    cdef object waiting  # calls that have not been sent
    cdef Py_ssize_t unwanted  # of them
    cdef object drain_future
    cdef uint8_t *out
    cdef Py_ssize_t out_size
    cdef long long slept_at, woke_at

    cdef Py_ssize_t unsent(self) except -1
    cdef bint has_room(self) except -1
    cdef int next_number(self) except -1
    cdef int send(self, Call call) except -1
    cdef bint send_small(self, Call call, SessionCore session) except -1
    cdef int send_slowly(self, Call call, SessionCore session) except -1
    cdef int sent(self, Call call, bint oneway) except -1
    cdef int tell_peer(self, int seq) except -1
    cdef int go_on_later(self) except -1
    cdef int drained(self) except -1
    cdef int flush(self) except -1
    cdef int serve_waiting(self) except -1
    cdef bint still_waits(self, Call call) noexcept
    cdef int receive(self, bint direct) except -1
    cdef int receive_portably(self, bint direct) except -1
    cdef int take_buffered(self, bint direct) except -1
    cdef int take_small(self, Header *header, const uint8_t *payload, bint direct) except -1
    cdef int take(self, Message message, bint direct) except -1
    cdef Call owner_of(self, int seq)
    cdef int lost(self, object error) except -1
    cdef int stop(self) except -1
