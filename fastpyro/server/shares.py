"""Fair shares of what is limited: places, queue entries, coroutines.

A client is known by where it comes from, which several may share: so an address alone may have nearly all, and a
connection as much as is left free. A newcomer gets something, as long as there is anything.
Rule 1: a connection that has some may not have more than what it leaves free to others.
Rule 2: one address may not have the last tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro._mutex import Mutex

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["Shares", "origin_of"]


class Shares:
    """Counts what each connection and each address has. Safe among threads.

    Arguments: ``most``, how much there is.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.most_of_one = most - most // 10  # from one address
        self.total = 0
        self._of_connection: dict[Connection, int] = {}
        self._of_origin: dict[Any, int] = {}
        self._lock = Mutex(reentrant=True, leaf=True)

    def of(self, connection: Connection) -> int:
        """Return how much a connection has."""
        return self._of_connection.get(connection, 0)

    def of_origin(self, connection: Connection) -> int:
        """Return how much all connections from the same place have."""
        return self._of_origin.get(origin_of(connection), 0)

    def is_free(self, connection: Connection) -> bool:
        """Return whether there is any left for somebody from there, as long as no connection takes more than its share."""
        return self.total < self.most and self.of_origin(connection) < self.most_of_one

    def has_share(self, connection: Connection) -> bool:
        """Return whether a connection has as much as it may, because others shall find something left."""
        own = self.of(connection)
        return own > 0 and own >= self.most - self.total

    def take(self, connection: Connection) -> bool:
        """Count one for a connection. False when it may not have it."""
        with self._lock.guard():
            if not self.is_free(connection) or self.has_share(connection):
                return False
            self._count(connection, 1)
            return True

    def take_anyway(self, connection: Connection) -> None:
        """Count one for a connection that has it, whatever its share."""
        with self._lock.guard():
            self._count(connection, 1)

    def give(self, connection: Connection) -> None:
        """A connection gives back one that it took."""
        with self._lock.guard():
            self._count(connection, -1)

    def _count(self, connection: Connection, change: int) -> None:
        assert self._lock.owned
        self.total += change
        for counts, key in ((self._of_connection, connection), (self._of_origin, origin_of(connection))):
            count = counts.get(key, 0) + change
            if count:
                counts[key] = count
            else:
                counts.pop(key, None)


def origin_of(connection: Any) -> Any:
    """Return what stands for a client among others: its address, or the user at the other end of a Unix socket."""
    return connection.origin
