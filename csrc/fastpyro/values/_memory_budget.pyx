"""What the objects of one message may take: DECODE_MEMORY bytes, and DECODE_MEMORY_RATIO for each byte that arrived.

Sans-I/O.

An empty list is one byte of a message and 64 of memory, so each reader charges every object for what it takes in
Python, before or as it is made. What was compressed arrived as what it was compressed to; a thousand bytes may become
a million empty lists then, so its objects may take less: a 64th of DECODE_MEMORY, twenty times DECODE_MEMORY_RATIO for each
byte that arrived, and as many bytes as it was inflated to, which are there anyway.
"""

from fastpyro.config import config
from fastpyro.errors import SerializeError

cdef enum:
    SMALL_MESSAGE = 16384  # bytes; the objects of such a message take less than SMALL_MEMORY, whatever they are
    SMALL_MEMORY = 1 << 23
    # Parts of keys: an ordinary message has one for each byte at the most, and hashes it once.
    HASHED_PARTS = 8  # for each byte
    MORE_HASHED_PARTS = 4096
    # Of what came compressed. Ordinary values take up to 20 bytes for each byte of a message, which shrinks to a 16th.
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
    return 0


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
    """Return how many bytes the values of a message may take that came in so many bytes and was inflated to ``size``."""
    cdef Py_ssize_t most = <Py_ssize_t> config.DECODE_MEMORY // COMPRESSED_PART
    most += COMPRESSED_TIMES * <Py_ssize_t> config.DECODE_MEMORY_RATIO * arrived + size
    return min(most, most_memory(arrived))
