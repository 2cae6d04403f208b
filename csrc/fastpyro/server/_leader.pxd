# Who leads, and which methods are slow.

from cpython.object cimport PyObject

from fastpyro.server._connection cimport ConnectionCore

cdef enum:
    QUICK = 500000  # nanoseconds; a method known as slow that needs less is not slow any more
    ACCIDENT = 10000000  # nanoseconds; while the server is full, a method that goes on for no longer is not called slow
    MOST_SLOW = 10000  # names of methods that are remembered as slow


# What one leadership goes through, in this order; the table is at the head of `_leader.pyx`.
cdef enum LeaderState:
    READY, SERVING, HANDED_OVER, FORMER

cdef enum MonitorState:
    WATCHING, PARKED, STOPPED


# One thread's time as the leader.
cdef class Leadership:
    cdef readonly ConnectionCore connection  # whose request is being served
    cdef readonly bint oneway
    cdef LeaderState state
    cdef bint leading  # the thread of this leadership led when the request began
    cdef readonly bint alone  # handed over, and nobody else reads from the connection until this request is done
    # The class and the method that runs, borrowed from its call; no name while none does.
    cdef PyObject *kind
    cdef PyObject *name
    cdef tuple noted  # the same for a request off the fast path, as far as that is known
    cdef bint noted_slow, noted_urgent
    cdef long long noted_at, handed_over_at
    cdef readonly bint urgent  # handed over, and the method is marked as urgent
    cdef public object home  # which its thread is (`homes`), or None: it serves the connections of that one only
    cdef public ConnectionCore other  # that of another home has something to say: the one that has waited longest
    cdef public object place  # what the request of a leader that handed over takes

    cdef inline bint is_over(self) noexcept:
        return self.state >= HANDED_OVER

    # Whether the thread may serve a connection; if not, it is noted when it has waited for longer than the other one.
    cdef inline bint may_serve(self, ConnectionCore connection):
        if connection.home is self.home:
            return True
        if self.other is None or connection.last_used < self.other.last_used:
            self.other = connection
        return False


cdef class LeaderWatch:
    cdef object server
    cdef dict slow
    cdef bint require_expose
    cdef public bint full  # no method may be run now that is known to be slow
    cdef public bint jammed  # no request may be run now
    cdef public bint ending  # nobody looks for further requests of the connection that was just served
    # What the monitor reads without the GIL.
    cdef unsigned long serial
    cdef int running
    cdef MonitorState monitor

    cdef int begin(self, Leadership leadership, ConnectionCore connection, int flags) except -1
    cdef int end(self, Leadership leadership) except -1
