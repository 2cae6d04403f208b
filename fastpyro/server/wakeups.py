"""How another thread makes the one that waits in a poller look round: a pair of sockets, one of which is polled."""

from __future__ import annotations

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
        self._rung = False

    def wake(self) -> None:
        """Ring. From any thread."""
        if self._rung:
            return  # who hears it looks round after `drain`: a system call for each turn costs as much as a call
        try:
            self._rung = True  # first: who drains meanwhile would leave it set, and nothing would ring again
            self._sender.send(b"!")
        except OSError:  # the server is closed
            self._rung = False
        except BaseException:
            self._rung = False
            raise

    def drain(self) -> None:
        """Take note of all that has rung; look round after that, and not before."""
        try:
            while len(self.receiver.recv(1024)) == 1024:
                pass
        except OSError:
            return  # it is empty
        finally:
            self._rung = False

    def close(self) -> None:
        """Release both sockets. May be called again."""
        self.receiver.close()
        self._sender.close()
