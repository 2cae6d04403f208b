# The native half of a server: connections, who leads, and the way of an ordinary request.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from fastpyro.serializers._codec cimport Codec
from fastpyro.transport._link cimport Link, Looker
from fastpyro.protocol._message cimport Header, Message
from fastpyro.server._cost cimport TurnCost


cdef class ConnectionCore:
    cdef readonly Link link
    cdef object _channel
    cdef readonly int fd
    cdef public object peer_address
    cdef public bint handshaken
    cdef public int held  # how many requests keep it to themselves: nobody else may read from it
    cdef public bint oneway_apart  # a slow oneway request does not hold it, whatever object it uses: Pyro's rule
    cdef public bint waits_turn  # it has more requests in its buffer than were served at once
    cdef public bint ordered  # it has used an object of its session: its requests are served one by one
    cdef public int in_call  # how many of its requests are being served
    cdef public double last_used
    cdef TurnCost turn
    cdef public dict instances


# One leader's time in office.
cdef class Term:
    cdef readonly ConnectionCore connection  # whose request is being served
    cdef readonly bint oneway
    cdef readonly bint deposed
    cdef bint leading  # the thread of this term led when the request began
    cdef readonly bint alone  # deposed, and nobody else reads from the connection until this request is done
    # The class and the method that runs, borrowed from its call; no name while none does.
    cdef PyObject *kind
    cdef PyObject *name
    cdef tuple noted  # the same for a request that is not ordinary, as far as that is known
    cdef bint noted_slow, noted_urgent
    cdef long long noted_at, deposed_at
    cdef readonly bint urgent  # deposed, and the method is marked as urgent
    cdef public object place  # what the request of a deposed leader takes


cdef class OrdinaryRequests:
    cdef object server, daemon
    cdef dict objects, methods, slow
    cdef Codec codec
    cdef bint require_expose, plain
    cdef public bint full  # no method may be run now that is known to be slow
    cdef public bint jammed  # no request may be run now
    cdef public object big_replies  # who lets calls wait whose replies are big, or None
    cdef readonly dict big  # (class, method) of those: how many bytes one takes, below 0 for coroutines
    # What the monitor reads without the GIL.
    cdef unsigned long serial
    cdef int running, stopped, parked

    cdef int begin(self, Term term, ConnectionCore connection, int flags) except -1
    cdef int end(self, Term term) except -1
    cpdef Message serve(self, ConnectionCore connection, Term term, double timeout, Looker looker=*)
    cdef bint is_ordinary(self, const Header *header) noexcept
    cdef int answer(
        self, ConnectionCore connection, Term term, const Header *header, const uint8_t *payload, double timeout
    ) except -1
    cdef bint must_wait(self, ConnectionCore connection, str object_id, str name) except -1
    cdef Py_ssize_t big_size(self, str object_id, str name) except? -1
    cdef type kind_of(self, str object_id)
    cdef object find_target(self, Term term, str object_id, ConnectionCore connection)
    cdef object call(self, Term term, object target, str name, tuple arguments, dict kwargs)
