"""Other threads run while a long message is read: each of them waits for a few milliseconds, and not for all of it.

Rule 1: only what is read from `bytes` is paused: they stay as they are, whoever runs meanwhile.
Rule 2: a pause lasts for a moment's sleep. Giving the GIL away and taking it back at once would give it to nobody: who
        waits for it needs longer than that to wake up.
"""

from fastpyro._clock cimport monotonic
from fastpyro._posix cimport usleep

cdef enum:
    STEP = 1 << 14  # bytes between two looks at the clock
    PERIOD = 3000000  # nanoseconds between two pauses


cdef void begin_long(Pauses *pauses, object data, const uint8_t *at, const uint8_t *end) noexcept:
    if isinstance(data, bytes):
        pauses.due = at + STEP
        pauses.last = monotonic()


cdef int pause(Pauses *pauses, const uint8_t *at) except -1:
    pauses.due = at + STEP
    if monotonic() - pauses.last < PERIOD:
        return 0
    with nogil:
        usleep(1)
    pauses.last = monotonic()
    return 0
