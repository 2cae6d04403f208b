# How long the tasks of one loop have looked for replies without a pass of the loop.
cdef class LoopTurns:
    cdef object __weakref__
    cdef object ready  # what the loop is about to run, where it shows that
    cdef public object keeper  # the asynchronous generator that the loop closes at its end
    cdef public object exchanges
    cdef long long began
    cdef bint planned  # there will be a pass

    cdef bint others_are_ready(self) noexcept
    cdef bint is_over(self) noexcept
