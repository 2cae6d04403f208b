# A call that a coroutine awaits.

from fastpyro.client._session cimport CallerCore, SessionCore
from fastpyro.protocol._batch cimport BatchWriter
from fastpyro.protocol._message cimport Message


cdef enum State:
    CREATED  # nobody has awaited it
    WAITING  # for a connection, or for room
    SENT
    DONE  # with a value
    UNREAD  # with a reply that is not read
    FAILED_
    CANCELLED


# What becomes of a call that was asked to go on.
cdef enum Step:
    RAISED = -1
    FINISHED
    SUSPENDED  # until it is told
    GIVES_WAY  # for one pass of the loop


# Who sends the calls of one proxy, on one loop.
cdef class Sender:
    cdef readonly object loop
    cdef readonly bint usable

    cdef int begin(self, Call call) except -1
    cdef int withdraw(self, Call call) except -1
    cdef Step look(self, Call call) except RAISED


# A proxy, as its calls see it.
cdef class LoopCaller:
    cdef object __weakref__
    cdef CallerCore inner  # whose settings and session are used
    cdef Sender sender  # None while there is no connection


cdef class Call:
    cdef object __weakref__
    cdef LoopCaller caller
    cdef Sender sender
    cdef readonly str __name__
    cdef tuple args
    cdef dict kwargs
    cdef readonly str object_id
    cdef BatchWriter batch  # the calls of a batch, or None
    cdef bint oneway  # a batch that nobody waits for
    cdef State state
    cdef bint blocking  # asyncio's mark of a future that a task waits for
    cdef bint gave_way, looked
    cdef readonly object loop
    cdef object callback, context  # the first to be told, which is a task as a rule
    cdef list callbacks  # the others
    cdef object value, error, timer, cancel_message
    cdef double seconds  # that it may take, 0 for no limit
    cdef readonly double until  # when the block ends that it was awaited in (`fastpyro.timeout`), 0 for never
    cdef object limit  # what sets it, None for `_pyroTimeout`
    cdef int tries  # that are left after a lost connection
    cdef SessionCore session
    cdef Message message
    cdef int seq, serializer_id

    cdef int start(self) except -1
    cdef int hand_over(self) except -1
    cdef int take_limit(self) except -1
    cdef double time_left(self) except -1
    cdef int name(self, object error) except -1
    cdef Step step(self) except RAISED
    cdef int finished(self, object value, bint direct) except -1
    cdef int arrived(self, Message message, bint direct) except -1
    cpdef int fail(self, object error) except -1
    cdef int read(self) except -1
    cdef int ended_by(self, object end) except -1
    cdef int tell(self, bint direct) except -1
    cdef int tell_one(self, object callback, object context, bint direct) except -1
    cdef int abandon(self) except -1
    cdef int withdraw(self) except -1
    cdef int start_timer(self) except -1
    cdef int stop_timer(self) except -1
    cdef object outcome(self)
