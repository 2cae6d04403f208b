"""Bytes of messages that have not arrived whole: what all channels of one server hold of them, and who may read on.

Knows sizes; who is held, and who goes on, is the business of the server (`server/unfinished`).

Rule 1: a message that comes whole at once is never counted, and while there is room counting is a few additions.
Rule 2: while there is no room, a channel that has more than its share of it is refused before it reads.
Rule 3: numbers change under the GIL only.
"""

cimport cython

cdef enum:
    SMALL = 16384  # bytes that any unfinished message may have


@cython.final
cdef class Intake:
    """What the unfinished messages of one server hold.

    Arguments: ``most``, bytes beyond which there is no room; ``hold(channel)``, told of a channel that is to wait, says
    whether it does; ``room()``, told that bytes were let go while that is ``watched``.
    Attributes: ``total``, bytes; ``messages``, how many they are of; ``turn``, the channel whose message may come
    however big it is, or None; it is set by the server, and so is ``watched``.
    """

    def __init__(self, Py_ssize_t most, hold, room):
        self.most = most
        self.hold = hold
        self.room = room
        self.total = self.messages = 0
        self.watched = self.short = False

    cpdef int change(self, Py_ssize_t before, Py_ssize_t after) except -1:
        """Note that an unfinished message has ``after`` bytes now instead of ``before``; 0: it is whole, or gone."""
        self.total += after - before
        self.messages += (after > 0) - (before > 0)
        self.short = self.total > self.most
        if after < before and self.watched:
            self.room()
        return 0

    cpdef bint refuses(self, object channel, Py_ssize_t size) except -1:
        """Return whether a channel, which has so many bytes of a message, is held instead of reading on."""
        if not self.short or size <= self.share():
            return False
        return self.hold(channel)

    cdef Py_ssize_t share(self) except -1:
        # Half of the room is for all alike, so that who has little goes on whatever others have, as long as those whose
        # turn it is not hold no more than twice as much as they may.
        cdef Py_ssize_t share = SMALL, others = self.total
        if self.turn is not None:
            others -= <Py_ssize_t> self.turn.counted
        if self.messages > 0 and others <= 2 * self.most:
            share = self.most // (2 * self.messages)
        return share if share > SMALL else SMALL
