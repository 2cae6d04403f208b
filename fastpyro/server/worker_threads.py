"""The threads of one server that do not lead: each has a call to serve, or stands by until it is needed.

Rule 1: the server's lock guards all of it.
Rule 2: a worker that was taken from those who stand by is woken exactly once. What it is woken for is its `call`, or, when
        there is none, to look itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpyro.server.call_queue import Waiting

__all__ = ["Sleeper", "Worker", "WorkerThreads"]


class Sleeper:
    """A thread that waits until another one wakes it."""

    __slots__ = ("_wake",)

    def __init__(self) -> None:
        self._wake = threading.Lock()
        self._wake.acquire()

    @property
    def is_woken(self) -> bool:
        """Whether its next `wait` ends at once."""
        return not self._wake.locked()

    def wake(self) -> None:
        """End its `wait`, the one that goes on or the next one."""
        self._wake.release()

    def wait(self, seconds: float) -> bool:
        """Wait to be woken. False when that took too long; below 0 there is no limit."""
        return self._wake.acquire(timeout=seconds)


class Worker(Sleeper):
    """One thread: the call that it has been given, what wakes it, and whose home it is (`homes`), if it is one."""

    __slots__ = ("call", "home")

    def __init__(self, call: Waiting | None = None) -> None:
        super().__init__()
        self.call = call
        self.home: Any = None


class WorkerThreads:
    """Counts the threads of a server that are no homes, the leader among them, and knows those who stand by.

    Argument: ``live``, what each thread does all its life, called with its worker.
    """

    def __init__(self, live: Callable[[Worker], object]) -> None:
        self._live = live
        self.count = 0
        self.standing_by: list[Worker] = []

    def take(self, call: Waiting | None = None) -> Worker | None:
        """Wake one who stands by, for a call or to look itself; None when there is none."""
        if not self.standing_by:
            return None
        worker = self.standing_by.pop()  # who stands by for the shortest time: the others get old, and end
        worker.call = call
        worker.wake()
        return worker

    def wake_all(self) -> None:
        """The server stops: nobody stands by any more."""
        while self.take() is not None:
            pass

    def next_number(self) -> int:
        """Count a thread that is about to be started."""
        self.count += 1
        return self.count

    def start(self, number: int, call: Waiting | None = None) -> None:
        """Start a thread that has been counted. Raises RuntimeError when there can be none."""
        self.run(Worker(call), f"fastpyro-worker-{number}")

    def run(self, worker: Worker, name: str) -> None:
        """Start the thread of a worker. Raises RuntimeError as `start` does."""
        threading.Thread(target=self._live, args=(worker,), name=name, daemon=True).start()
