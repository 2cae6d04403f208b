"""Threads that run calls in the background: as many as there is work for, up to a bound.

Knows nothing of calls, futures or proxies: it runs functions without arguments, at once or after a delay.
Rule 1: every thread is a daemon thread, so that a call that hangs never holds up the end of the program.
Rule 2: no lock is held while a function runs.
Rule 3: a forked child starts afresh; the work that waited or ran in the parent stays the parent's.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex

__all__ = ["CallThreads", "DelayedCall", "DelayedCalls", "call_threads", "delayed_calls"]

log = logger("fastpyro.call_threads")

MAX_THREADS = 256
"""The most calls that run at a time; further ones wait in a queue, in order."""

IDLE_SECONDS = 5.0
"""How long a thread without work stays, so that the next call need not start one."""

_CANCELLED_KEPT = 64
"""This many cancelled delayed calls may stay in the heap; beyond it they may not be the majority."""


class _Worker:
    """One thread and the place where its next job is put while it sleeps."""

    __slots__ = ("job", "wake")

    def __init__(self, job: Callable[[], object] | None) -> None:
        self.job = job
        self.wake = threading.Lock()
        self.wake.acquire()


class CallThreads:
    """An elastic pool of daemon threads.

    A job goes to the thread that became idle last, so that threads that are not needed get old and end.

    Args:
        limit: the most threads at a time; jobs beyond it wait, first come, first served. A job that waits for
            another job takes up a thread, so a chain of more than `limit` such jobs never ends.
        idle_seconds: how long a thread waits for another job before it ends.
        name: the start of the threads' names.
    """

    def __init__(
        self, limit: int = MAX_THREADS, idle_seconds: float = IDLE_SECONDS, name: str = "fastpyro-call"
    ) -> None:
        if limit < 1:
            raise ValueError(f"a limit of {limit} threads can run nothing; give at least 1")
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._name = name
        self._generation = 0
        self._start_afresh()
        _fork_aware.add(self)

    @property
    def thread_count(self) -> int:
        """How many threads there are now, busy or idle."""
        return self._thread_count

    def submit(self, job: Callable[[], object]) -> None:
        """Run a function in a thread of the pool, at once if there are fewer than `limit` running.

        Args:
            job: a function without arguments. What it returns is dropped; what it raises is logged.

        Raises:
            RuntimeError: no thread can be started (the system refuses, or the interpreter is ending).
        """
        with self._lock.guard():
            if self._hand_to_idle(job):
                return
            if self._thread_count >= self._limit:
                self._backlog.append(job)
                return
            self._thread_count += 1
        try:
            self._start_thread(job)
        except RuntimeError:
            with self._lock.guard():
                self._thread_count -= 1
                if self._hand_to_idle(job):
                    return
                if not self._thread_count:
                    raise
                self._backlog.append(job)

    def _hand_to_idle(self, job: Callable[[], object]) -> bool:
        assert self._lock.owned
        try:
            worker = self._idle.pop()
        except IndexError:  # not asked before: a destructor in between may take the last one
            return False
        worker.job = job
        worker.wake.release()
        return True

    def _start_thread(self, job: Callable[[], object]) -> None:
        worker = _Worker(job)
        name = f"{self._name}-{next(self._numbers)}"
        threading.Thread(target=self._work, args=(worker, self._generation), name=name, daemon=True).start()

    def _work(self, worker: _Worker, generation: int) -> None:
        while worker.job is not None:
            _run(worker.job)
            worker.job = None
            if generation != self._generation:
                return  # a job forked, and this is the child: the pool has been emptied under this thread
            with self._lock.guard():
                if self._backlog:
                    worker.job = self._backlog.popleft()
                    continue
                self._idle.append(worker)
            if not worker.wake.acquire(timeout=self._idle_seconds):
                self._retire(worker)

    def _retire(self, worker: _Worker) -> None:
        """End an idle worker, unless a job was handed to it while its time ran out."""
        with self._lock.guard():
            if worker.job is None:
                if worker in self._idle:  # else whoever wanted to hand it a job was interrupted
                    self._idle.remove(worker)
                self._thread_count -= 1
                return
            worker.wake.acquire(blocking=False)

    def _start_afresh(self) -> None:
        self._generation += 1
        # Re-entrant, because a finalizer that the collector runs in the middle of submit may submit as well.
        self._lock = Mutex(reentrant=True, leaf=True)
        self._idle: list[_Worker] = []
        self._backlog: deque[Callable[[], object]] = deque()
        self._thread_count = 0
        self._numbers = itertools.count(1)


class DelayedCall:
    """A function that will run later, unless it is cancelled before."""

    __slots__ = ("_function", "_owner", "deadline")

    def __init__(self, owner: DelayedCalls, deadline: float, function: Callable[[], object]) -> None:
        self._owner = owner
        self.deadline = deadline
        self._function: Callable[[], object] | None = function

    def cancel(self) -> bool:
        """Take the call back.

        Returns:
            True if it will not run; False if it was handed to a thread before, or was cancelled already.
        """
        cancelled = self._take() is not None
        if cancelled:
            self._owner._forget_one()
        return cancelled

    def _take(self) -> Callable[[], object] | None:
        with self._owner._lock.guard():
            function, self._function = self._function, None
        return function


class DelayedCalls:
    """Hands functions to a pool of threads when their time has come.

    One thread watches the clock, only while something waits; a function that waits takes up no thread of the pool.

    Args:
        threads: the pool that runs the functions.
    """

    _heap: list[tuple[float, int, DelayedCall]]
    _order: Iterator[int]
    _cancelled: int
    _watcher: threading.Thread | None

    def __init__(self, threads: CallThreads) -> None:
        self._threads = threads
        self._start_afresh()
        _fork_aware.add(self)

    def schedule(self, seconds: float, function: Callable[[], object]) -> DelayedCall:
        """Run a function in the pool after some time.

        Args:
            seconds: how long to wait; at most the longest time that a lock can wait (`threading.TIMEOUT_MAX`).
            function: a function without arguments.

        Returns:
            A handle to cancel it.

        Raises:
            RuntimeError: the thread that watches the clock cannot be started.
        """
        seconds = min(max(seconds, 0.0), threading.TIMEOUT_MAX)
        call = DelayedCall(self, time.monotonic() + seconds, function)
        with self._lock.guard():
            heapq.heappush(self._heap, (call.deadline, next(self._order), call))
            if self._watcher is not None and self._watcher.is_alive():
                if self._heap[0][2] is call:
                    self._lock.notify()
                return call
            self._watcher = threading.Thread(target=self._watch, name="fastpyro-delayed-calls", daemon=True)
            try:
                self._watcher.start()
            except RuntimeError:
                call.cancel()
                raise
        return call

    def _watch(self) -> None:
        while True:
            with self._lock.guard():
                self._drop_cancelled_head()
                if not self._heap:
                    self._watcher = None
                    return
                seconds = self._heap[0][0] - time.monotonic()
                if seconds > 0:
                    self._lock.wait(seconds)
                    continue
                call = heapq.heappop(self._heap)[2]
                function = call._take()
            if function is not None:
                self._hand_over(function)
            del call, function

    def _hand_over(self, function: Callable[[], object]) -> None:
        try:
            self._threads.submit(function)
        except RuntimeError:
            _run(function)  # no thread to be had: late calls are better than lost ones

    def _drop_cancelled_head(self) -> None:
        assert self._lock.owned
        while self._heap and self._heap[0][2]._function is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1

    def _forget_one(self) -> None:
        """Count a cancelled call, and throw the cancelled ones out when they have become too many."""
        with self._lock.guard():
            self._cancelled += 1
            if self._cancelled > _CANCELLED_KEPT and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2]._function is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0
            if not self._heap or self._heap[0][2]._function is None:
                self._lock.notify()

    def _start_afresh(self) -> None:
        self._lock = Mutex(reentrant=True, leaf=True)
        self._heap = []
        self._order = itertools.count()
        self._cancelled = 0
        self._watcher = None


def _run(job: Callable[[], object]) -> None:
    try:
        job()
    except SystemExit:
        pass  # as in any thread: it ends the job, silently
    except BaseException:
        log.exception("a job in a background thread failed: %r", job)
    finally:
        del job  # the traceback of an exception that the job keeps leads to this frame: no cycle, please


_fork_aware: weakref.WeakSet[CallThreads | DelayedCalls] = weakref.WeakSet()


def _start_all_afresh() -> None:
    for pool in list(_fork_aware):
        pool._start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_afresh)

call_threads = CallThreads()
"""The pool that every asynchronous call of this process shares."""

delayed_calls = DelayedCalls(call_threads)
"""The clock of every delayed future of this process."""
