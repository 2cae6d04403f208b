"""What the objects of one message may take: DECODE_MEMORY bytes, and DECODE_MEMORY_RATIO for each byte that arrived.

Sans-I/O.

An empty list is one byte of a message and 64 of memory, so each reader charges every object for what it takes in
Python, before or as it is made. What was compressed arrived as what it was compressed to. A thousand bytes may become
a million empty lists then, so its objects may take less: a 64th of DECODE_MEMORY, twenty times DECODE_MEMORY_RATIO for
each byte that arrived, and as many bytes as it was inflated to, which are there anyway.

Many messages may be there at once, as arguments of calls that run and of streams that are open. What is beyond 16 bytes
for each that arrived is counted in all of them (`HeldMemory`), twice DECODE_MEMORY at the most; ordinary values never
are.
"""

cimport cython

from fastpyro.config import config
from fastpyro.errors import SerializeError, ServerOverloadedError

cdef extern from *:
    """
    static __thread Py_ssize_t fastpyro_budget_begun;
    static __thread Py_ssize_t fastpyro_budget_excess;
    static __thread Py_ssize_t fastpyro_budget_left;
    static __thread Py_ssize_t fastpyro_budget_arrived;
    static __thread Py_ssize_t fastpyro_budget_beside;
    """
    Py_ssize_t begun "fastpyro_budget_begun"
    Py_ssize_t excess_here "fastpyro_budget_excess"
    Py_ssize_t left_here "fastpyro_budget_left"
    Py_ssize_t arrived_here "fastpyro_budget_arrived"
    Py_ssize_t beside "fastpyro_budget_beside"

cdef enum:
    SMALL_MESSAGE = 16384  # bytes; the objects of such a message take less than SMALL_MEMORY, whatever they are
    SMALL_MEMORY = 1 << 23
    # Parts of keys: an ordinary message has one for each byte at the most, and hashes it once.
    HASHED_PARTS = 8  # for each byte
    MORE_HASHED_PARTS = 4096
    # Of what came compressed. Ordinary values take up to 20 bytes for each byte of a message, which shrinks to a 16th.
    EXPLAINED = 16  # bytes of values for each byte that arrived
    SMALL_EXCESS = 4096  # bytes; not worth counting, even ten thousand times
    HELD_MEMORIES = 2  # times DECODE_MEMORY
    COMPRESSED_PART = 64  # of DECODE_MEMORY
    COMPRESSED_TIMES = 20  # DECODE_MEMORY_RATIO


class Inflated(bytes):
    """A payload that came compressed: its bytes, and in ``arrived`` how many of them came."""

    arrived = 0


cdef int begin_budget(Budget *budget, object data, Py_ssize_t size) except -1:
    budget.arrived = size
    budget.left = SMALL_MEMORY
    budget.hashing = HASHED_PARTS * size + MORE_HASHED_PARTS
    if type(data) is Inflated:
        budget.arrived = data.arrived
        budget.left = most_memory_inflated(budget.arrived, size)
    elif size > SMALL_MESSAGE:
        budget.left = most_memory(size)
    global begun, beside
    begun = budget.left
    beside = 0
    return 0


cdef void end_budget(const Budget *budget) noexcept:
    global excess_here, left_here, arrived_here
    excess_here = max(begun - budget.left - EXPLAINED * budget.arrived, 0)
    left_here, arrived_here = budget.left, budget.arrived


cdef void note_beside(Py_ssize_t size) noexcept:
    global beside
    beside += size


cdef int charge_beside(Budget *budget) except -1:
    global beside
    cdef Py_ssize_t size = beside
    beside = 0
    return take_memory(budget, size)


cpdef int charge_late() except -1:
    """Charge what was noted to the message whose budget has ended: of JSON, whose objects are built after it."""
    global left_here, excess_here
    cdef Budget budget
    cdef Py_ssize_t size = beside
    if size == 0:
        return 0
    budget.left, budget.arrived, budget.hashing = left_here, arrived_here, 0
    charge_beside(&budget)
    left_here = budget.left
    excess_here += size
    return 0


cpdef Py_ssize_t last_excess() noexcept:
    """Return what the values of the last message of this thread take, beyond 16 bytes for each that arrived."""
    return excess_here


cpdef void note_excess(Py_ssize_t excess) noexcept:
    """Say what `last_excess` is, for whoever asks next in this thread."""
    global excess_here
    excess_here = excess


@cython.no_gc
cdef class Held:
    """Memory that a call or a stream keeps as long as it has this."""

    cdef HeldMemory memory
    cdef Py_ssize_t size

    def __dealloc__(self):
        if self.memory is not None:
            self.memory.held -= self.size


cdef class HeldMemory:
    """What the values of all requests that a daemon has under way take, beyond what the bytes that arrived explain.

    Attribute: ``held``, in bytes.
    """

    cdef readonly Py_ssize_t held

    def hold(self, Py_ssize_t excess):
        """Count so many bytes for as long as the object that this returns lives; None for what is too little to count.

        Raises ServerOverloadedError when there are too many already.
        """
        if excess <= SMALL_EXCESS:
            return None
        cdef Py_ssize_t most = HELD_MEMORIES * <Py_ssize_t> config.DECODE_MEMORY
        if self.held > 0 and self.held + excess > most:
            raise ServerOverloadedError(
                f"the arguments of calls that run, and of open streams, take {self.held:,} bytes more than they "
                f"arrived in; with this call it would be {self.held + excess:,}, of {most:,} "
                f"({HELD_MEMORIES} times DECODE_MEMORY)"
            )
        cdef Held held = Held.__new__(Held)
        held.size = excess
        held.memory = self
        self.held += excess
        return held


cdef int refuse_memory(const Budget *budget) except -1:
    raise SerializeError(
        f"the values of a message of {budget.arrived:,} bytes take more memory than they may: DECODE_MEMORY is "
        f"{config.DECODE_MEMORY:,} bytes, DECODE_MEMORY_RATIO {config.DECODE_MEMORY_RATIO} more for each byte; "
        f"of what came compressed, DECODE_MEMORY / {COMPRESSED_PART} and {COMPRESSED_TIMES} times DECODE_MEMORY_RATIO"
    )


cpdef Py_ssize_t most_memory(Py_ssize_t arrived) except -1:
    """Return how many bytes the values of a message may take that came in so many bytes."""
    return <Py_ssize_t> config.DECODE_MEMORY + <Py_ssize_t> config.DECODE_MEMORY_RATIO * arrived


cpdef Py_ssize_t most_memory_inflated(Py_ssize_t arrived, Py_ssize_t size) except -1:
    """Return how many bytes the values of a message may take that came compressed and was inflated to ``size``."""
    cdef Py_ssize_t most = <Py_ssize_t> config.DECODE_MEMORY // COMPRESSED_PART
    most += COMPRESSED_TIMES * <Py_ssize_t> config.DECODE_MEMORY_RATIO * arrived + size
    return min(most, most_memory(arrived))
