"""What a gateway holds of answers that its clients have not taken: so much in all, and then those go who take nothing.

Rule 1: the answer that comes last is always kept: however big it is, somebody may have it.
Rule 2: of the others that one goes whose client has taken nothing for the longest time.
"""

from __future__ import annotations

import contextlib
import socket
import time

from fastpyro._mutex import Mutex

__all__ = ["UnsentAnswers"]


class _Answer:
    __slots__ = ("left", "progress")

    def __init__(self, left: int) -> None:
        self.left = left
        self.progress = time.monotonic()


class UnsentAnswers:
    """The answers of a gateway that are being sent. Safe among threads. Arguments: ``most``, bytes in all."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self._answers: dict[socket.socket, _Answer] = {}
        self._lock = Mutex(reentrant=True, leaf=True)

    def begin(self, client: socket.socket, size: int) -> None:
        """A client's answer of so many bytes is sent now; ``end`` must follow. Ends other connections to make room."""
        with self._lock.guard():
            self._forget(client)
            while self._answers and self.total + size > self.most:
                slowest = min(self._answers, key=lambda each: self._answers[each].progress)
                self._forget(slowest)
                with contextlib.suppress(OSError):  # its thread wakes up, and closes it
                    slowest.shutdown(socket.SHUT_RDWR)
            self._answers[client] = _Answer(size)
            self.total += size

    def took(self, client: socket.socket, size: int) -> None:
        """A client has taken so many bytes."""
        with self._lock.guard():
            answer = self._answers.get(client)
            if answer is not None:
                answer.left -= size
                answer.progress = time.monotonic()
                self.total -= size

    def end(self, client: socket.socket) -> None:
        """A client's answer is sent, or nobody wants it."""
        with self._lock.guard():
            self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        assert self._lock.owned
        answer = self._answers.pop(client, None)
        if answer is not None:
            self.total -= answer.left
