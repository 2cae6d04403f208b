"""The threads that do not lead: who is woken, and for what."""

from __future__ import annotations

import threading
from typing import Any

from fastpyro.server.worker_threads import Worker, WorkerThreads


def test_who_stands_by_for_the_shortest_time_gets_the_call() -> None:
    threads = WorkerThreads(lambda worker: None)
    first, second = Worker(), Worker()
    threads.standing_by += [first, second]
    call: Any = object()
    assert threads.take(call) is second
    assert second.call is call
    assert second.wait(0)
    assert not second.wait(0)  # woken once
    assert threads.take() is first
    assert first.call is None
    assert threads.take() is None


def test_a_thread_begins_with_its_call() -> None:
    lives: list[Any] = []
    done = threading.Event()

    def live(worker: Worker) -> None:
        lives.append((threading.current_thread().name, worker.call))
        done.set()

    threads = WorkerThreads(live)
    call: Any = object()
    number = threads.next_number()
    threads.start(number, call)
    assert done.wait(20)
    assert lives == [("fastpyro-worker-1", call)]
    assert threads.count == 1


def test_all_are_woken_in_the_end() -> None:
    threads = WorkerThreads(lambda worker: None)
    workers = [Worker() for _ in range(3)]
    threads.standing_by += workers
    threads.wake_all()
    assert all(worker.wait(0) for worker in workers)
    assert threads.standing_by == []
