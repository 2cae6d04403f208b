"""Calls that are dropped before they begin, because nobody waits for them any more: what is answered, and how many.

A dropped call is answered as any other: until then its client cannot use its number again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastpyro._mutex import Mutex
from fastpyro.errors import PyroError, TimeoutError
from fastpyro.protocol.features import DEADLINES

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection

__all__ = ["DroppedCalls", "dropped"]


class DroppedCalls:
    """How many calls a daemon has dropped. Attributes: ``late``, whose time was over; ``cancelled``, in the queue."""

    def __init__(self) -> None:
        self.late = self.cancelled = 0
        self._lock = Mutex(leaf=True)

    def __repr__(self) -> str:
        return f"<{self.late:,} late and {self.cancelled:,} cancelled calls were dropped>"

    def count_late(self) -> None:
        """Count a call whose time was over."""
        with self._lock.guard():
            self.late += 1

    def count_cancelled(self) -> None:
        """Count a call that nobody wanted any more, when it was still in the queue."""
        with self._lock.guard():
            self.cancelled += 1


def dropped(counts: DroppedCalls, connection: Connection, message: Message) -> PyroError | None:
    """Count a request that is not to begin any more. Returns what its client is told; None when it may begin."""
    if message.deadline and time.monotonic() >= message.deadline and connection.channel.features & DEADLINES:
        counts.count_late()
        return TimeoutError("the time of the call was over before it began: it has not been performed")
    return None
