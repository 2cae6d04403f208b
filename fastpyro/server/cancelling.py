"""What becomes of a call that nobody waits for any more: its client gave it up, or has gone.

A call in the queue is dropped, a coroutine is cancelled, and a method in a thread can see it (`current_context.cancelled`).
Each is answered all the same, once: until then its client does not use the number again.
Rule 1: a client reaches its own calls only. A number that none of them has means nothing: the reply is on its way.
Rule 2: oneway calls of a client that has gone go on: nobody has waited for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fastpyro._mutex import Mutex
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.protocol._call_context import cancel_running

if TYPE_CHECKING:
    from fastpyro.protocol._call_context import CallState
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.dropped_calls import DroppedCalls

__all__ = ["Cancelling"]


class Queue(Protocol):
    """Calls that wait for a place."""

    def cancel(self, connection: Connection, seq: int = -1) -> int: ...


class Cancelling:
    """The calls of one daemon's clients that can be cancelled. Argument: ``counts``, of those that have not begun."""

    def __init__(self, counts: DroppedCalls) -> None:
        self.queue: Queue | None = None
        self._counts = counts
        self._lock = Mutex(leaf=True)
        self._coroutines: dict[Connection, dict[int, tuple[Message, CallState]]] = {}

    @property
    def under_way(self) -> int:
        """How many coroutines there are."""
        with self._lock.guard():
            return sum(map(len, self._coroutines.values()))

    def begin(self, connection: Connection, message: Message, state: CallState) -> None:
        """A coroutine begins, in that context; ``end`` must follow."""
        with self._lock.guard():
            self._coroutines.setdefault(connection, {})[message.seq] = message, state
        if connection.released and not message.flags & FLAGS_ONEWAY:
            state.cancel()

    def end(self, connection: Connection, message: Message) -> None:
        """A coroutine is done, or never will be."""
        with self._lock.guard():
            own = self._coroutines.get(connection, {})
            if message.seq in own and own[message.seq][0] is message:
                del own[message.seq]
                if not own:
                    del self._coroutines[connection]

    def cancel(self, connection: Connection, seq: int) -> None:
        """The client does not wait for the reply to the request of that number any more."""
        with self._lock.guard():
            _, state = self._coroutines.get(connection, {}).get(seq, (None, None))
        if state is not None:
            state.cancel()
        elif not self._drop(connection, seq):
            cancel_running(connection, seq)

    def forget(self, connection: Connection) -> None:
        """The client has gone."""
        with self._lock.guard():
            own = list(self._coroutines.get(connection, {}).values())
        for message, state in own:
            if not message.flags & FLAGS_ONEWAY:
                state.cancel()
        if connection.calls_running:
            self._drop(connection, -1)
            cancel_running(connection)

    def _drop(self, connection: Connection, seq: int) -> int:
        if self.queue is None:
            return 0
        count = self.queue.cancel(connection, seq)
        for _ in range(count):
            self._counts.count_cancelled()
        return count
