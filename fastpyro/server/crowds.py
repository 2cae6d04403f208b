"""Connections by the place they come from: who is oldest, and where most are from, are known without looking at all.

Rule 1: every operation takes about constant time, however many connections there are, since a stranger causes them. (Places
        are sorted by how many they have: there are no more such numbers than the root of twice the connections.)
Rule 2: the lock that it is given guards what changes it. A reader gets a copy, made in one step.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpyro._mutex import Mutex
    from fastpyro.server.connection import Connection

__all__ = ["Crowd", "place_of"]


class Crowd:
    """Some connections of a server, in the order in which they came.

    Arguments: ``lock``, a reentrant one. Attributes: ``by_fd``, the connections by their descriptors, to be read only.
    """

    def __init__(self, lock: Mutex) -> None:
        self.lock = lock
        self._places: dict[int, Any] = {}
        self.by_fd: dict[int, Connection] = {}
        self._of_place: dict[Any, dict[int, Connection]] = {}
        self._with: dict[int, dict[Any, None]] = {}  # by a number of connections, the places with so many

    def __len__(self) -> int:
        return len(self.by_fd)

    def __contains__(self, fd: object) -> bool:
        return fd in self.by_fd

    def values(self) -> list[Connection]:
        """All of them."""
        return list(self.by_fd.values())

    def add(self, connection: Connection, place: Any) -> None:
        """Take a connection in, which must not be here; behind all others. Argument: ``place``, what `place_of` says."""
        fd = connection.fd
        with self.lock.guard():
            self.by_fd[fd] = connection
            self._places[fd] = place
            own = self._of_place.setdefault(place, {})
            own[fd] = connection
            self._move(place, len(own) - 1, len(own))

    def remove(self, fd: int) -> None:
        """Forget the connection with that descriptor, if it is here."""
        with self.lock.guard():
            if fd not in self.by_fd:
                return
            place = self._places.pop(fd, None)  # an interrupt may come at any step: then this is done again
            own = self._of_place.get(place, {})
            if own.pop(fd, None) is not None:
                self._move(place, len(own) + 1, len(own))
            if not own:
                self._of_place.pop(place, None)
            del self.by_fd[fd]

    def _move(self, place: Any, before: int, now: int) -> None:
        # Whatever an interrupt or a destructor leaves here by half: a place may stand nowhere until it is moved again.
        former = self._with.get(before, {})
        former.pop(place, None)
        if not former:
            self._with.pop(before, None)
        if now:
            self._with.setdefault(now, {})[place] = None

    def put_last(self, connections: list[Connection]) -> None:
        """Let connections be the newest ones of their place."""
        with self.lock.guard():
            for connection in connections:
                own = self._of_place.get(self._places.get(connection.fd), {})
                if own.get(connection.fd) is connection:
                    own[connection.fd] = own.pop(connection.fd)

    def clear(self) -> None:
        """Forget all."""
        for connection in self.values():
            self.remove(connection.fd)

    def oldest(self) -> Connection | None:
        """Return the first one, None when there are none."""
        return next(iter(list(islice(self.by_fd.values(), 1))), None)

    def oldest_of_most(self) -> Connection | None:
        """Return the first one from the place that most of them are from; None when there are none."""
        return next((some[0] for _, some in self.largest(1, 1)), None)

    def largest(self, places: int, each: int) -> list[tuple[int, list[Connection]]]:
        """Return how many come from each of some places, those with most, and the first few of them."""
        with self.lock.guard():
            counts = sorted(self._with, reverse=True)
            names = chain.from_iterable(list(islice(self._with.get(count, ()), places)) for count in counts)
            of_places = [self._of_place.get(place, {}) for place in islice(names, places)]
            return [(len(own), list(islice(own.values(), each))) for own in of_places if own]


def place_of(connection: Connection) -> Any:
    """Return the address; of IPv6 the network, in which one client may have any."""
    address = connection.address
    if ":" not in address or address.startswith("::ffff:"):  # which is an IPv4 one
        return address
    import ipaddress

    return ipaddress.IPv6Address(address.partition("%")[0]).packed[:8]
