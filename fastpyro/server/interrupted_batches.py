"""Batches of a server of one thread that wait for their next turn: others have theirs between two of a batch's calls.

Rule 1: a batch keeps its connection to itself from its first call to its last, and is performed to its end once it has
        begun, also when its client goes or the server stops.
Rule 2: batches take turns. When together they hold more than MAX_QUEUED bytes, or their arguments more than DECODE_MEMORY
        beyond what they arrived in, one of them goes on to its end, and no other begins.
Rule 3: when MAX_QUEUED bytes have arrived of those that wait, one more does not: it is performed as a whole, at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from fastpyro.config import config
from fastpyro.server.big_replies import size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server
    from fastpyro.server.replies import UnfinishedBatch

__all__ = ["InterruptedBatches", "Waiting"]


class Waiting(NamedTuple):
    """A batch that waits: ``rest``, what is left of it, None when it has not begun; ``arrived``, bytes of its message."""

    connection: Connection
    message: Message
    rest: UnfinishedBatch | None
    arrived: int

    @property
    def size(self) -> int:
        """Bytes that it holds: what arrived, and its results."""
        return self.arrived + (self.rest.size if self.rest is not None else 0)


class InterruptedBatches:
    """The batches of one server that wait. Its thread uses them.

    Arguments: ``server``; ``others_wait``, which says whether anybody else has something to say.
    """

    def __init__(self, server: Server, others_wait: Callable[[], bool]) -> None:
        self.server = server
        self.finishing = False  # each goes on to its end
        self._others_wait = others_wait
        self._most_bytes: int = config.MAX_QUEUED
        self._begun: deque[Waiting] = deque()
        self._new: deque[Waiting] = deque()
        self._new_begins = False  # every other time
        self._arrived = self._size = 0

    def __len__(self) -> int:
        return len(self._begun) + len(self._new)

    @property
    def is_full(self) -> bool:
        """Whether no other batch is to begin."""
        much = self._size > self._most_bytes or self.server.daemon.held_memory.held > config.DECODE_MEMORY
        return bool(self._begun) and bool(much)

    def begun(self) -> set[Connection]:
        """Return the connections of those that have begun. May be called by any thread."""
        return {one.connection for one in list(self._begun)}

    def interrupts(self, message: Message) -> bool:
        """Say after a turn of a batch whether it is to be interrupted: because others wait, and it may wait, too."""
        return not (self.finishing or self.server.draining.begun) and self._has_room(message) and self._others_wait()

    def keeps_waiting(self, message: Message) -> bool:
        """Say whether a batch that has just come is not to begin yet."""
        return self.is_full and self._has_room(message)

    def _has_room(self, message: Message) -> bool:
        return self._arrived + size_of(message) <= self._most_bytes

    def add(self, connection: Connection, message: Message, rest: UnfinishedBatch | None) -> None:
        """Let a batch, or the rest of one, wait for its turn; its connection waits, too, until `done`."""
        one = Waiting(connection, message, rest, size_of(message))
        connection.begin_call()
        self.server.hold(connection)
        self._arrived += one.arrived
        self._size += one.size
        (self._new if rest is None else self._begun).append(one)
        self.server.wakeup()

    def next(self) -> Waiting | None:
        """Return the batch whose turn it is, None without any; `done` must follow."""
        self._new_begins = not self._new_begins
        if self.is_full:
            one = self._begun.pop()  # the one whose turn was last
        elif self._new and (self.server.draining.begun or not self.finishing) and (self._new_begins or not self._begun):
            one = self._new.popleft()
        elif self._begun:
            one = self._begun.popleft()
        else:
            return None
        self._arrived -= one.arrived
        self._size -= one.size
        return one

    def done(self, connection: Connection) -> None:
        """Note that a batch has had its turn: its connection goes on, unless the batch waits for another one."""
        connection.end_call()
        self.server.request_done(connection)

    def clear(self) -> None:
        """Forget all: this is a forked child."""
        self._begun.clear()
        self._new.clear()
        self._arrived = self._size = 0
