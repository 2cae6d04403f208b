"""A pool of threads for jobs, of the size that Pyro's configuration says. fastpyro's own servers have another one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config

if TYPE_CHECKING:
    from typing import Self

__all__ = ["NoFreeWorkersError", "Pool", "PoolError", "Worker"]

log = logger("fastpyro.servers.threaded")


class PoolError(Exception):
    """Something is wrong with a pool of threads."""


class NoFreeWorkersError(PoolError):
    """All threads of a pool are at work, and it has as many as it may have."""


class Worker(threading.Thread):
    """A thread that does one job after the other. Arguments: ``pool``, whose it is."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(daemon=True)
        self.name = f"Pyro-Worker-{id(self)}"
        self.pool = pool
        self._given = Mutex()
        self._jobs: deque[Callable[[], Any] | None] = deque()

    def process(self, job: Callable[[], Any] | None) -> None:
        """Do a job in this thread; None ends it."""
        with self._given:
            self._jobs.append(job)
            self._given.notify()

    def _next(self) -> Callable[[], Any] | None:
        with self._given:
            self._given.wait_for(lambda: bool(self._jobs))
            return self._jobs.popleft()

    def run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                log.exception("a job of a thread pool failed")
            del job  # it may hold a connection
            self.pool.notify_done(self)


class Pool:
    """Threads that wait for jobs: THREADPOOL_SIZE_MIN from the start, THREADPOOL_SIZE at the most.

    Attributes: ``idle`` and ``busy``, sets of workers; ``closed``. A context manager, which closes it.
    """

    def __init__(self) -> None:
        if config.THREADPOOL_SIZE < 1 or config.THREADPOOL_SIZE_MIN < 1:
            raise ValueError("a thread pool has at least one thread: THREADPOOL_SIZE and THREADPOOL_SIZE_MIN")
        if config.THREADPOOL_SIZE_MIN > config.THREADPOOL_SIZE:
            raise ValueError("THREADPOOL_SIZE_MIN is more than THREADPOOL_SIZE")
        self.idle: set[Worker] = set()
        self.busy: set[Worker] = set()
        self.closed = False
        self._lock = Mutex(leaf=True)
        self._size_min, self._size = config.THREADPOOL_SIZE_MIN, config.THREADPOOL_SIZE
        for _ in range(self._size_min):
            self.idle.add(self._started())

    def _started(self) -> Worker:
        worker = Worker(self)
        worker.start()
        return worker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__name__}"
        return f"<{name} at 0x{id(self):x}; {len(self.busy)} busy workers; {len(self.idle)} idle workers>"

    def num_workers(self) -> int:
        """Return the number of threads, at work or not."""
        return len(self.busy) + len(self.idle)

    def process(self, job: Callable[[], Any]) -> None:
        """Run a job in one of the threads. Raises NoFreeWorkersError when there is none, PoolError after ``close``."""
        with self._lock.guard():
            if self.closed:
                raise PoolError("the thread pool is closed: no more jobs")
            if self.idle:
                worker = self.idle.pop()
            elif self.num_workers() < self._size:
                worker = self._started()
            else:
                raise NoFreeWorkersError("no free workers available, increase thread pool size")
            self.busy.add(worker)
        worker.process(job)

    def notify_done(self, worker: Worker) -> None:
        """Called by a worker that has done its job: it is idle, or ends when there are enough."""
        with self._lock.guard():
            self.busy.discard(worker)
            if self.closed or len(self.idle) >= self._size_min:
                worker.process(None)
            else:
                self.idle.add(worker)

    def close(self) -> None:
        """Take no more jobs, end idle threads, and let the others end when their jobs are done."""
        with self._lock.guard():
            self.closed = True
            ended = self.idle | self.busy
            self.idle, self.busy = set(), set()
        for worker in ended:
            worker.process(None)
