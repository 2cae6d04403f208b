# Who leads, and which methods are slow.

from cpython.object cimport PyObject

from fastpyro.server._connection cimport ConnectionCore

cdef enum:
    QUICK = 500000  # nanoseconds; a method known as slow that needs less is not slow any more
    ACCIDENT = 10000000  # nanoseconds; while the server is full, a method that goes on for no longer is not called slow
    MOST_SLOW = 10000  # names of methods that are remembered as slow


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


cdef class Leadership:
    cdef object server
    cdef dict slow
    cdef bint require_expose
    cdef public bint full  # no method may be run now that is known to be slow
    cdef public bint jammed  # no request may be run now
    # What the monitor reads without the GIL.
    cdef unsigned long serial
    cdef int running, stopped, parked

    cdef int begin(self, Term term, ConnectionCore connection, int flags) except -1
    cdef int end(self, Term term) except -1
