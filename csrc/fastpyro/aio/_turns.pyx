"""How long the tasks of one loop have looked for replies without a pass of it: who looks gives way in time."""

from fastpyro._clock cimport monotonic

import weakref

cdef enum:
    LOOKS_WITHOUT_PASS = 100000  # nanoseconds


cdef class LoopTurns:
    """What the exchanges of one loop share. Argument: ``ready``, the loop's queue of callbacks, or None."""

    def __init__(self, ready=None):
        self.ready = ready
        self.exchanges = weakref.WeakSet()

    def pass_by(self):
        """Called by the loop in its next pass."""
        self.planned = False

    cdef bint others_are_ready(self) noexcept:
        return self.ready is not None and len(self.ready) > (1 if self.planned else 0)

    cdef bint is_over(self) noexcept:
        return self.planned and monotonic() - self.began > LOOKS_WITHOUT_PASS
