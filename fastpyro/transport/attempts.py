"""What one thread does to connect, and another one may end: the sockets that it opens on the way, one after the other.

Knows nothing of what is said over them.
"""

from __future__ import annotations

import contextlib
import socket
from _thread import get_ident

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import ConnectionClosedError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Attempt", "opened", "under_way"]

under_way: dict[int, Attempt] = {}
"""By thread. While it is empty, as without an event loop, `opened` need not be called."""


class Attempt:
    """While its block runs in a thread, ``give_up`` in another one ends whatever that waits for in a new connection."""

    def __init__(self) -> None:
        self.given_up = False
        self._sock: socket.socket | None = None

    def __enter__(self) -> Self:
        under_way[get_ident()] = self
        return self

    def __exit__(self, *exception: object) -> None:
        del under_way[get_ident()]
        self._sock = None

    def give_up(self) -> None:
        """Shut the present socket down; the next one is refused. From any thread."""
        self.given_up = True
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):  # not connected yet, or closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def take(self, sock: socket.socket) -> None:
        """Note a socket. Raises ConnectionClosedError when the attempt has been given up."""
        self._sock = sock
        if self.given_up:
            raise ConnectionClosedError("connecting was given up")


def opened(sock: socket.socket) -> None:
    """Tell this thread's attempt, if there is one, which socket it waits for from now on."""
    if (attempt := under_way.get(get_ident())) is not None:
        attempt.take(sock)
