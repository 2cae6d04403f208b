"""The oneway calls of Pyro's own clients at a server of one thread: they run apart, in a bounded pool.

Their programs count on it that such a call holds up nobody. THREADPOOL_SIZE of them run at once, REQUEST_QUEUE_SIZE
wait, of which no client may have the last part, and in MAX_QUEUED bytes; what comes beyond is not performed, and the
log says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.futures.thread_pool import CallThreads
from fastpyro.server.complaints import complain
from fastpyro.server.shares import Shares

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["OnewayCalls"]

log = logger("fastpyro.servers")


class OnewayCalls:
    """The oneway calls of one server that are under way."""

    def __init__(self) -> None:
        self._threads = CallThreads(max(config.THREADPOOL_SIZE, 1), name="fastpyro-oneway")
        self._shares = Shares(config.THREADPOOL_SIZE + config.REQUEST_QUEUE_SIZE)
        self._most_bytes: int = config.MAX_QUEUED
        self._bytes = 0
        self._lock = Mutex(leaf=True)

    def run(self, connection: Connection, job: Callable[[], object], size: int = 0) -> bool:
        """Run a call of a connection, of a message of ``size`` bytes, now or later.

        False when too many are under way, or too much: then it is never run.
        """
        if not self._take_bytes(size):
            complain(
                log,
                connection,
                f"a oneway call is not performed: too many bytes are waiting ({self._most_bytes:,}, MAX_QUEUED)",
            )
            return False
        if not self._shares.take(connection):
            self._give_bytes(size)
            reason = (
                f"a oneway call is not performed: {self._shares.total} are under way, {self._shares.of(connection)} of them "
                "of this connection (THREADPOOL_SIZE + REQUEST_QUEUE_SIZE)"
            )
            complain(log, connection, reason)
            return False

        def run() -> None:
            try:
                job()
            finally:
                self._shares.give(connection)
                self._give_bytes(size)

        try:
            self._threads.submit(run)
        except RuntimeError:  # not a single thread can be started: then it is late, and everybody waits, but it is run
            run()
        return True

    def _take_bytes(self, size: int) -> bool:
        with self._lock.guard():
            if self._bytes and self._bytes + size > self._most_bytes:
                return False
            self._bytes += size
            return True

    def _give_bytes(self, size: int) -> None:
        with self._lock.guard():
            self._bytes -= size
