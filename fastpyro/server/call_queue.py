"""Calls that wait for a place: whose turn it is, and whose is refused, without looking at all of them.

Rule 1: not safe among threads; the server's lock guards it.
Rule 2: what is done for one call takes about the same time, however many wait: strangers cause them. So addresses and
        connections are sorted by small numbers (`Ranks`): how many places they have, how many calls wait.
Rule 3: urgent calls come before the others, and those that are not known to be slow before those that are; among equals they
        take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fastpyro.constants import FLAGS_ONEWAY

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server._request import Request
    from fastpyro.server.connection import Connection

__all__ = ["CallQueue", "Place", "Ranks", "Waiting", "place_of"]

URGENT, QUICK, SLOW = range(3)


class Place(NamedTuple):
    """What a slow call occupies: its connection, where that comes from, and whether the call is urgent."""

    connection: Connection
    origin: Any
    urgent: bool


class Waiting(NamedTuple):
    """A call in the queue.

    Attributes: ``place``, which it will have; ``message``; ``size``, in bytes; ``slow``, whether its method is known to be
    slow; ``holds``, whether its connection is held until the call is done; ``pauses``, or until it begins; ``request``,
    which has been read from the message, for one that begins at once; ``called``, its class and method.
    """

    place: Place
    message: Message
    size: int
    slow: bool
    holds: bool
    pauses: bool
    request: Request | None = None
    called: tuple[type, str] | None = None


class Ranks:
    """Keys by a number, of which there are few different ones; those with the same one in the order in which they got it."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._with: dict[int, dict[Any, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def __contains__(self, key: Any) -> bool:
        return key in self._numbers

    def put(self, key: Any, number: int) -> None:
        """Give a key a number; it is the last one with it."""
        self.remove(key)
        self._numbers[key] = number
        self._with.setdefault(number, {})[key] = None

    def remove(self, key: Any) -> None:
        """Forget a key, if it is here."""
        number = self._numbers.pop(key, None)
        if number is not None:
            same = self._with[number]
            del same[key]
            if not same:
                del self._with[number]

    def in_order(self) -> Iterator[Any]:
        """The keys, those with the smallest number first. Nothing may be changed meanwhile."""
        for number in sorted(self._with):
            yield from self._with[number]

    def first(self) -> Any:
        """Return the key with the smallest number that has had it for the longest time."""
        return next(iter(self._with[min(self._with)]))

    def most(self, preferred: Any) -> Any:
        """Return a key with the largest number: the preferred one if it has it."""
        largest = self._with[max(self._with)]
        return preferred if preferred in largest else next(iter(largest))


class _Line:
    """The calls of one connection, of each kind in order."""

    __slots__ = ("calls", "size")

    def __init__(self) -> None:
        self.calls: tuple[deque[Waiting], ...] = deque(), deque(), deque()
        self.size = 0

    def __len__(self) -> int:
        return sum(map(len, self.calls))


class _Address:
    """The connections of one address whose calls wait."""

    __slots__ = ("by_length", "by_places", "length", "lines", "size")

    def __init__(self) -> None:
        self.lines: dict[Connection, _Line] = {}
        self.by_length = Ranks()
        self.by_places = Ranks(), Ranks(), Ranks()
        self.length = self.size = 0


class CallQueue:
    """Calls by address and connection. Arguments: how many places each connection and each address has, if any."""

    def __init__(self, of_connection: dict[Connection, int], of_origin: dict[Any, int]) -> None:
        self._of_connection, self._of_origin = of_connection, of_origin
        self.length = self.size = 0  # how many calls wait, and their bytes
        self._addresses: dict[Any, _Address] = {}
        self._by_length = Ranks()
        self._by_places = Ranks(), Ranks(), Ranks()

    def __bool__(self) -> bool:
        return bool(self._addresses or self._by_length or any(self._by_places))

    def add(self, call: Waiting) -> None:
        """Let a call wait."""
        kind = _kind(call)
        address = self._addresses.get(call.place.origin)
        if address is None:
            address = self._addresses[call.place.origin] = _Address()
        line = address.lines.get(call.place.connection)
        if line is None:
            line = address.lines[call.place.connection] = _Line()
        line.calls[kind].append(call)
        self._note(call, address, line, 1)
        if call.place.connection not in address.by_places[kind]:
            address.by_places[kind].put(call.place.connection, self._of_connection.get(call.place.connection, 0))
        if call.place.origin not in self._by_places[kind]:
            self._by_places[kind].put(call.place.origin, self._of_origin.get(call.place.origin, 0))

    def remove(self, call: Waiting) -> None:
        """Take a call out, which is the first or the last one of its connection and kind."""
        kind, (connection, origin, _) = _kind(call), call.place
        address = self._addresses[origin]
        line = address.lines[connection]
        calls = line.calls[kind]
        if calls[0] is call:
            calls.popleft()
        else:
            calls.remove(call)
        self._note(call, address, line, -1)
        by_places = address.by_places[kind]
        if calls:
            by_places.put(connection, self._of_connection.get(connection, 0))  # behind the others
        else:
            by_places.remove(connection)
        if by_places:
            self._by_places[kind].put(origin, self._of_origin.get(origin, 0))
        else:
            self._by_places[kind].remove(origin)

    def _note(self, call: Waiting, address: _Address, line: _Line, change: int) -> None:
        connection, origin, size = call.place.connection, call.place.origin, change * call.size
        self.length += change
        self.size += size
        address.length += change
        address.size += size
        line.size += size
        if length := len(line):
            address.by_length.put(connection, length)
        else:
            address.by_length.remove(connection)
            del address.lines[connection]
        if address.length:
            self._by_length.put(origin, address.length)
        else:
            self._by_length.remove(origin)
            del self._addresses[origin]

    def places_changed(self, connection: Connection, origin: Any) -> None:
        """A connection, and so its address, has more places or fewer."""
        address = self._addresses.get(origin)
        if address is None:
            return
        for own, all_of_kind in zip(address.by_places, self._by_places, strict=True):
            if connection in own:
                own.put(connection, self._of_connection.get(connection, 0))
            if own:
                all_of_kind.put(origin, self._of_origin.get(origin, 0))

    def of(self, connection: Connection, origin: Any) -> tuple[int, int]:
        """Return how many calls of a connection wait, and their bytes."""
        address = self._addresses.get(origin)
        line = None if address is None else address.lines.get(connection)
        return (0, 0) if line is None else (len(line), line.size)

    def candidates(self) -> Iterator[Waiting]:
        """The next call of each address, of each kind: in the order in which they shall be served, if they may."""
        for kind, origins in enumerate(self._by_places):
            for origin in origins.in_order():
                address = self._addresses[origin]
                yield address.lines[address.by_places[kind].first()].calls[kind][0]

    def newest_of_longest(self, origin: Any, connection: Connection) -> Waiting:
        """Return the newest call of whoever has most here; of that connection only if nobody has more."""
        address = self._addresses[self._by_length.most(origin)]
        line: _Line = address.lines[address.by_length.most(connection)]
        return _newest(line)

    def newest_of_largest(self, origin: Any, connection: Connection) -> Waiting:
        """The same by bytes. Such calls are big, so there are few of them."""
        largest = max(self._addresses, key=lambda one: (self._addresses[one].size, one == origin))
        lines = self._addresses[largest].lines
        return _newest(lines[max(lines, key=lambda one: (lines[one].size, one is connection))])

    def find(self, connection: Connection, origin: Any, seq: int) -> list[Waiting]:
        """Return the calls of a connection with that number, which wait; below 0 all of them but the oneway ones."""
        address = self._addresses.get(origin)
        line = None if address is None else address.lines.get(connection)
        calls = [] if line is None else [call for kind in line.calls for call in kind]
        return [
            call for call in calls if (call.message.seq == seq if seq >= 0 else not call.message.flags & FLAGS_ONEWAY)
        ]

    def all(self) -> list[Waiting]:
        """Return all of them."""
        lines = [line for address in self._addresses.values() for line in address.lines.values()]
        return [call for line in lines for calls in line.calls for call in calls]


def _kind(call: Waiting) -> int:
    if call.place.urgent:
        return URGENT
    return SLOW if call.slow else QUICK


def _newest(line: _Line) -> Waiting:
    return next(calls for calls in line.calls[::-1] if calls)[-1]


def place_of(connection: Connection, urgent: bool = False) -> Place:
    """Return the place that a call of a connection takes."""
    return Place(connection, connection.origin, urgent)
