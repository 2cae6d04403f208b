# The state of a thread's current call, for native code that serves and makes calls.

from fastpyro.protocol._message cimport Message


cdef class CallState:
    cdef object connection  # whose call this thread serves, or None
    cdef Message message  # the request, or None: outside a call, and for a plain request
    cdef int seq, flags, serializer_id  # of the request
    cdef bint serving
    cdef dict annotations_made  # annotations that somebody asked for, or None
    cdef object response
    cdef bint response_received  # came with the reply to a call of ours: not for our own reply
    cdef readonly bint cancelled  # nobody waits for the reply any more
    cdef public object on_cancel  # called then, in any thread, or None
    cdef object event  # set then; made when somebody waits for it
    cdef void *following  # the next state of a thread, or NULL
    cdef void *preceding
    cdef double deadline  # of time.monotonic, when who called does not wait any more; 0 for none
    cdef object correlation  # uuid.UUID, 16 bytes or None; False: a method wants none

    cdef bint plain(self) noexcept  # whether a call made now sends neither annotations nor correlation id
    cdef object correlation_here(self)  # a uuid.UUID, or None
    cdef bint reply_plain(self) noexcept  # whether our own reply needs no annotations
    cdef int received_plain(self) except -1
    cdef int begin(self, object connection, int seq, int flags, int serializer_id) except -1
    cdef int end(self) except -1
    cdef int note_thread(self) except -1


cdef CallState current_state()

# When the calls that are made now have to be done, by the scope and by the call that is served; 0 for no limit.
cdef double limit_of(CallState state) except? -1
