# The way of a call on the server.

from libc.stdint cimport uint8_t

from fastpyro.protocol._call_context cimport CallState
from fastpyro.serializers._codec cimport Codec
from fastpyro.server._connection cimport ConnectionCore
from fastpyro.server._leader cimport Leadership, LeaderWatch
from fastpyro.server._request cimport Request
from fastpyro.transport._link cimport Spinner
from fastpyro.protocol._message cimport Header, Message


cdef class CallServer(LeaderWatch):
    cdef readonly object service
    cdef Request spare  # one that is not used now
    cdef dict objects, methods
    cdef Codec codec
    cdef bint plain
    cdef public object big_replies  # who lets calls wait whose replies are big, or None
    cdef readonly dict big  # (class, method) of those: how many bytes one takes, below 0 for coroutines

    cpdef Message serve(self, ConnectionCore connection, Leadership leadership, double timeout, Spinner spinner=*)
    cdef bint is_fast(self, const Header *header) noexcept
    cdef int answer(
        self, ConnectionCore connection, Leadership leadership, const Header *header, const uint8_t *payload,
        double timeout
    ) except -1
    cdef object perform(self, Request request, Leadership leadership, CallState state)
    cdef bint decode(self, Request request) except -1
    cdef int find(self, Request request, Leadership leadership) except -1
    cdef object run(self, Request request, Leadership leadership)
    cdef object run_special(self, Request request)
    cdef object reply(self, Request request, object result, CallState state)
    cdef int send(self, Request request, object reply, double timeout) except -1
    cdef bint is_slow_call(self, ConnectionCore connection, str object_id, str name) except -1
    cdef bint reserve(self, Request request) except -1
    cdef type kind_of(self, object object_id)
