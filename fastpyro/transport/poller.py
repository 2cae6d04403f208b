"""Waits until one of many descriptors is readable: epoll where there is one, a selector elsewhere."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import sys
from typing import Any, Protocol

from fastpyro.config import config
from fastpyro.transport.channel import in_greenlets

if sys.platform == "linux":
    from fastpyro.transport._poller import EpollPoller

__all__ = ["Poller", "SelectorPoller", "make_poller"]

LONGEST_WAIT = 3600.0
"""Seconds; the system counts milliseconds in 32 bits."""


class Poller(Protocol):
    """The interface through which a server waits for its connections. `wait` may be used by one thread at a time."""

    def add(self, fd: int) -> None: ...
    def remove(self, fd: int) -> None: ...
    def wait(self, timeout: float, last: Any = None) -> list[int]: ...
    def accept(self, listener: socket.socket) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class SelectorPoller:
    """Any selector of the standard library; changes by other threads take effect at the next wait."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, fd: int) -> None:
        """Watch a descriptor; it must not be watched yet."""
        try:
            self._selector.register(fd, selectors.EVENT_READ)
        except KeyError:
            raise FileExistsError(errno.EEXIST, f"descriptor {fd} is watched already") from None

    def remove(self, fd: int) -> None:
        """Stop watching a descriptor; one that is closed or not watched is no error."""
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(fd)

    def wait(self, timeout: float, last: Any = None) -> list[int]:
        """Return readable (or broken) descriptors, none after ``timeout`` seconds. It makes no use of ``last``."""
        return [key.fd for key, _ in self._selector.select(min(timeout, LONGEST_WAIT))]

    def accept(self, listener: socket.socket) -> int:
        """Return the descriptor of the next connection that waits at a non-blocking listener, -1 when none does.

        Raises OSError when the system has no room for another one.
        """
        try:
            return listener.accept()[0].detach()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return -1

    def fileno(self) -> int:
        """Return a descriptor that is readable when one of those that are watched is, -1 where there is none."""
        fileno = getattr(self._selector, "fileno", None)
        return -1 if fileno is None else fileno()

    def close(self) -> None:
        self._selector.close()


def make_poller() -> Poller:
    """Return the fastest poller of this system, or the portable one when ``config.PORTABLE`` asks for it."""
    if sys.platform == "linux" and not (in_greenlets() or config.PORTABLE):
        return EpollPoller(config.SPIN)
    return SelectorPoller()
