"""Log lines about requests that are refused: enough to see who sends them, and never as much as he sends.

A line of a log costs as much as ten calls, and the one who serves waits for it: where it goes to may be slow.
Rule: of each connection the first few are told, then one in a second, with how many were left out before it. So it is
with the connections of one server that are dropped for want of room or because they are silent: there may be thousands.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import logging

__all__ = ["Complaints", "complain", "say_dropped", "say_rest"]

AT_FIRST = 3
"""Lines of one connection that are told whenever they come."""

SECONDS = 1.0
"""Between two lines of one connection after those."""


class Complaints:
    """The lines that were logged about one connection, and how many were left out."""

    __slots__ = ("last", "said", "unsaid")

    def __init__(self) -> None:
        self.said = self.unsaid = 0
        self.last = 0.0

    def may_say(self) -> bool:
        """Return whether another line may be said now; count it."""
        now = time.monotonic()
        if self.said >= AT_FIRST and now - self.last < SECONDS:
            self.unsaid += 1
            return False
        self.said += 1
        self.last = now
        return True


class Complained(Protocol):
    """A connection, as complaints see it."""

    complaints: Complaints | None


def complain(log: logging.Logger, connection: Complained, reason: object) -> None:
    """Tell the log why a request of a connection is refused, unless it has heard enough of that connection.

    Arguments: ``reason``, whose text is made only when it is told.
    """
    complaints = connection.complaints
    if complaints is None:
        complaints = connection.complaints = Complaints()
    if not complaints.may_say():
        return
    unsaid, complaints.unsaid = complaints.unsaid, 0
    reason = str(reason)  # whoever keeps records need not keep an error, its traceback, and what its frames have
    if unsaid:
        log.warning(
            "%r: %s (and %d more since the last one of it that was told)", connection, reason, unsaid, stacklevel=2
        )
    else:
        log.warning("%r: %s", connection, reason, stacklevel=2)


def say_dropped(log: logging.Logger, complaints: Complaints, connection: object, reason: str, *parts: object) -> None:
    """Tell the log why a connection is dropped, unless it has heard enough of that.

    Arguments: ``complaints``, what was said of others; ``reason``, with a % for each of the ``parts``.
    """
    if not complaints.may_say():
        return
    unsaid, complaints.unsaid = complaints.unsaid, 0
    rest = f" (and {unsaid} others since the last one that was told)" if unsaid else ""
    log.warning(f"dropping %r{reason}%s", connection, *parts, rest, stacklevel=2)


def say_rest(log: logging.Logger, connection: Complained) -> None:
    """A connection ends: tell the log how many of its requests were refused without a line."""
    complaints = connection.complaints
    if complaints is not None and complaints.unsaid:
        unsaid, complaints.unsaid = complaints.unsaid, 0
        log.warning("%r: %d more requests were refused", connection, unsaid)
