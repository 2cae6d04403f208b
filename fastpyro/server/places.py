"""The places for slow calls, who has them, and the calls that wait for one. Bookkeeping only: it knows no threads.

THREADPOOL_SIZE places are for whoever comes. Behind them is a reserve of a quarter and two: for calls that nobody knew to
be slow, and for clients who would get nothing because one connection has more than half of all places, or another
address nearly all. Urgent calls have as many places of their own as the reserve.
Rule 1: not safe among threads; the server's lock guards it. Under it nothing runs that can wait, and no user's code.
Rule 2: urgent calls come first; then the next call is that of the address with the fewest places, and of the connection
        with the fewest there; among equals they take turns.
Rule 3: when the queue is full, the newest call of whoever has most in it is refused, the newcomer's only if nobody has more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastpyro.server.call_queue import CallQueue, Place, Waiting

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["Places"]

MOST_OF_QUEUE = 16
"""A connection that has this part of the queue is not read from until one of its calls begins."""

MOST_OF_BYTES = 4
"""The same for the bytes of the queue."""


class Places:
    """Counts places and keeps the queue.

    Arguments: ``size``, how many places there are for all; ``most_waiting``, calls that may wait; ``most_bytes``, bytes
    that these may have.
    """

    def __init__(self, size: int, most_waiting: int, most_bytes: int) -> None:
        self.size = size
        self.reserve = size // 4 + 2
        self.most_waiting = most_waiting
        self.most_bytes = most_bytes
        self.slow = self.urgent = 0
        self._of_connection: dict[Connection, int] = {}
        self._of_origin: dict[Any, int] = {}
        self._queue = CallQueue(self._of_connection, self._of_origin)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._queue.length

    @property
    def waiting_bytes(self) -> int:
        """How many bytes they have."""
        return self._queue.size

    @property
    def busy(self) -> int:
        """How many calls are slow now."""
        return self.slow + self.urgent

    @property
    def full(self) -> bool:
        """Whether a call that is known to be slow has to ask for a place."""
        return self.slow >= self.size or self.urgent >= self.reserve

    @property
    def jammed(self) -> bool:
        """Whether nothing may be run that could turn out to be slow."""
        return self.slow >= self.size + self.reserve or self.urgent >= 2 * self.reserve

    def take(self, place: Place) -> None:
        """A call has become slow, or is about to."""
        self._count(place, 1)

    def give(self, place: Place) -> None:
        """A slow call is done."""
        self._count(place, -1)

    def _count(self, place: Place, change: int) -> None:
        if place.urgent:
            self.urgent += change
        else:
            self.slow += change
        counts: dict[Any, int]
        for counts, key in ((self._of_connection, place.connection), (self._of_origin, place.origin)):
            count = counts.get(key, 0) + change
            if count:
                counts[key] = count
            else:
                del counts[key]
        self._queue.places_changed(place.connection, place.origin)

    def may_start(self, place: Place, slow: bool = True) -> bool:
        """Return whether a call may begin now. Arguments: ``slow``, whether it is known to be slow."""
        return self._may_start(place, slow, self._largest() if self.full else (0, 0))

    def _may_start(self, place: Place, slow: bool, largest: tuple[int, int]) -> bool:
        if not slow and not self.jammed:
            return True
        if place.urgent:
            return self.urgent < self.reserve
        if self.slow < self.size:
            return True
        # Others may have so much that a client gets half of the reserve.
        if self.slow >= self.size + self.reserve // 2:
            return False
        of_connection, of_origin = largest
        if place.connection not in self._of_connection and of_connection > max(self.size // 2, 1):
            return True
        return place.origin not in self._of_origin and of_origin > max(self.size * 3 // 4, 1)

    def _largest(self) -> tuple[int, int]:
        """Return how many places the connection has that has most, and the address."""
        return max(self._of_connection.values(), default=0), max(self._of_origin.values(), default=0)

    def enqueue(self, waiting: Waiting) -> tuple[Waiting, list[Waiting]]:
        """Let a call wait. Returns it as it waits, and those that are refused because of it, perhaps itself."""
        place = waiting.place
        count, held = self._queue.of(place.connection, place.origin)
        much = (count + 1) * MOST_OF_QUEUE >= self.most_waiting
        if much or (held + waiting.size) * MOST_OF_BYTES >= self.most_bytes:
            waiting = waiting._replace(pauses=not waiting.holds)
        self._queue.add(waiting)
        refused = []
        while self._queue.length > self.most_waiting:
            refused.append(self._refuse(self._queue.newest_of_longest, place))
        while self._queue.size > self.most_bytes:
            refused.append(self._refuse(self._queue.newest_of_largest, place))
        return waiting, refused

    def _refuse(self, find: Callable[[Any, Connection], Waiting], newcomer: Place) -> Waiting:
        """Take the newest call out of the queue of whoever has most; the newcomer's if nobody has more than it."""
        waiting = find(newcomer.origin, newcomer.connection)
        self._queue.remove(waiting)
        return waiting

    def next(self) -> Waiting | None:
        """Take the call out of the queue that shall be served now, and a place for it; None when there is none."""
        waiting = self._find_next()
        if waiting is not None:
            self._queue.remove(waiting)
            self.take(waiting.place)
        return waiting

    def withdraw(self, connection: Connection, seq: int) -> list[Waiting]:
        """Take those calls of a connection out of the queue that nobody wants any more; see `CallQueue.find`."""
        if not self._queue.length:
            return []
        found = self._queue.find(connection, connection.origin, seq)
        for waiting in found:
            self._queue.remove(waiting)
        return found

    @property
    def has_next(self) -> bool:
        """Whether `next` finds a call."""
        return self._find_next() is not None

    def _find_next(self) -> Waiting | None:
        if not self._queue.length:
            return None
        largest = self._largest() if self.full else (0, 0)
        for waiting in self._queue.candidates():
            if self._may_start(waiting.place, waiting.slow, largest):
                return waiting
        return None

    def clear(self) -> list[Waiting]:
        """Empty the queue; returns what was in it."""
        found = self._queue.all()
        self._queue = CallQueue(self._of_connection, self._of_origin)
        return found
