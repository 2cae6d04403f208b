"""Whose turn it is: connections that have sent more at once than is served in one go.

Rule 1: one of them has a turn between two looks at who else has something to say. So who asks for a single thing waits for
        one turn of those who ask for a lot, however many they are.
Rule 2: a connection that waits here is not served when the poller names it: it has had its turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fastpyro._mutex import Mutex

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["TURN", "Turns"]

TURN = 250e-6
"""Seconds for which what one connection has sent at once is served before others have their turn; as in `_cost`."""


class Turns:
    """The connections of one server with requests in their buffers, which no poller sees. Safe among threads.

    Attribute: ``waiting``, those connections, to look whether there are any.
    """

    def __init__(self) -> None:
        self.waiting: deque[Connection] = deque()
        self._lock = Mutex(reentrant=True, leaf=True)

    def add(self, connection: Connection) -> None:
        """Let a connection wait for its next turn; one that waits already has one."""
        with self._lock.guard():
            if not connection.waits_turn:
                self.waiting.append(connection)  # first: after an interrupt it would be served twice, and not never
                connection.waits_turn = True

    def next(self) -> Connection | None:
        """Return the connection that has waited longest; None when there is none. It may be held, or gone, meanwhile."""
        with self._lock.guard():
            if not self.waiting:
                return None
            self.waiting[0].waits_turn = False  # first, as above
            return self.waiting.popleft()
