"""How another thread makes the one that waits in a poller look round: a pair of sockets, one of which is polled."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["Wakeups"]


class Wakeups:
    """A bell that a poller hears.

    Attributes: ``receiver``, the socket that is polled; ``fd``, its descriptor, readable from `wake` until `drain`.
    """

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)
        self.fd = self.receiver.fileno()

    def wake(self) -> None:
        """Ring. From any thread."""
        with contextlib.suppress(OSError):  # it has been told already, or the server is closed
            self._sender.send(b"!")

    def drain(self) -> None:
        """Take note of all that has rung."""
        with contextlib.suppress(OSError):  # empty
            while self.receiver.recv(1024):
                pass

    def close(self) -> None:
        """Release both sockets. May be called again."""
        self.receiver.close()
        self._sender.close()
