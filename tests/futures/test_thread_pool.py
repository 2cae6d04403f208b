"""The elastic pool of threads, and the clock for delayed calls."""

from __future__ import annotations

import functools
import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from fastpyro.futures.thread_pool import _CANCELLED_KEPT, CallThreads, DelayedCalls

DEADLINE = 20.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces; only for threads that end."""
    deadline = time.monotonic() + DEADLINE
    never = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        never.wait(0.005)


def test_a_job_runs_in_a_daemon_thread_of_the_pool() -> None:
    threads, seen, done = CallThreads(name="mine"), [], threading.Event()

    def job() -> None:
        seen.append(threading.current_thread())
        done.set()

    threads.submit(job)
    assert done.wait(DEADLINE)
    assert seen[0] is not threading.current_thread()
    assert seen[0].daemon
    assert seen[0].name == "mine-1"


def test_jobs_run_in_parallel() -> None:
    threads, together = CallThreads(), threading.Barrier(9)
    for _ in range(8):
        threads.submit(lambda: together.wait(DEADLINE))
    together.wait(DEADLINE)
    assert threads.thread_count == 8


def test_an_idle_thread_is_used_again() -> None:
    threads, seen = CallThreads(), []
    for _ in range(50):
        done = threading.Event()

        def job(done: threading.Event = done) -> None:
            seen.append(threading.get_ident())
            done.set()

        threads.submit(job)
        assert done.wait(DEADLINE)
        wait_until(lambda: bool(threads._idle))
    assert len(set(seen)) == 1
    assert threads.thread_count == 1


def test_beyond_the_limit_jobs_wait_in_order() -> None:
    threads, go, done = CallThreads(limit=1), threading.Event(), threading.Event()
    order: list[int] = []
    threads.submit(lambda: go.wait(DEADLINE))
    for number in range(100):
        threads.submit(functools.partial(order.append, number))
    threads.submit(done.set)
    assert threads.thread_count == 1
    assert order == []
    go.set()
    assert done.wait(DEADLINE)
    assert order == list(range(100))


def test_idle_threads_end() -> None:
    threads, together = CallThreads(idle_seconds=0.01), threading.Barrier(5)
    for _ in range(4):
        threads.submit(lambda: together.wait(DEADLINE))
    together.wait(DEADLINE)
    wait_until(lambda: threads.thread_count == 0)
    done = threading.Event()
    threads.submit(done.set)
    assert done.wait(DEADLINE)


def test_a_job_handed_over_while_the_thread_retires_is_not_lost() -> None:
    threads = CallThreads(limit=4, idle_seconds=0.0005)
    for _ in range(1000):
        done = threading.Event()
        threads.submit(done.set)
        assert done.wait(DEADLINE)


def test_many_jobs_from_many_threads() -> None:
    threads, count, lock, all_done = CallThreads(limit=7, idle_seconds=0.001), 0, threading.Lock(), threading.Event()

    def job() -> None:
        nonlocal count
        with lock:
            count += 1
            if count == 4000:
                all_done.set()

    def submit_many() -> None:
        for _ in range(500):
            threads.submit(job)

    submitters = [threading.Thread(target=submit_many) for _ in range(8)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(DEADLINE)
    assert all_done.wait(DEADLINE)
    assert threads.thread_count <= 7


def test_a_job_may_submit_another() -> None:
    threads, done = CallThreads(limit=1), threading.Event()
    threads.submit(lambda: threads.submit(done.set))
    assert done.wait(DEADLINE)


def test_a_failing_job_is_logged_and_the_thread_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    threads, done = CallThreads(limit=1), threading.Event()

    def fail() -> None:
        raise ValueError("broken job")

    with caplog.at_level(logging.ERROR, "fastpyro.call_threads"):
        threads.submit(fail)
        threads.submit(sys.exit)
        threads.submit(done.set)
        assert done.wait(DEADLINE)
    assert "broken job" in caplog.text
    assert len(caplog.records) == 1


def test_a_job_is_forgotten_when_it_has_run() -> None:
    class Job:
        def __call__(self) -> None:
            pass

    threads, job, done = CallThreads(limit=1), Job(), threading.Event()
    reference = weakref.ref(job)
    threads.submit(job)
    threads.submit(done.set)
    assert done.wait(DEADLINE)
    del job
    wait_until(lambda: reference() is None)


def test_a_finalizer_may_submit_while_the_pool_is_locked() -> None:
    threads, done = CallThreads(), threading.Event()
    with threads._lock:
        threads.submit(done.set)
    assert done.wait(DEADLINE)


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = CallThreads(limit=3)
    go, busy, done = threading.Event(), threading.Event(), threading.Event()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def occupy() -> None:
        busy.set()
        go.wait(DEADLINE)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(done.set)
    assert threads.thread_count == 0
    threads.submit(occupy)
    assert busy.wait(DEADLINE)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        threads.submit(done.set)
    go.set()
    assert done.wait(DEADLINE), "the job waits for the thread that there is"


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CallThreads(limit=0)


def test_a_delayed_call_runs_after_its_time() -> None:
    delayed, done = DelayedCalls(CallThreads()), threading.Event()
    start = time.monotonic()
    call = delayed.schedule(0.03, done.set)
    assert done.wait(DEADLINE)
    assert time.monotonic() - start >= 0.03
    assert call.cancel() is False


def test_delayed_calls_run_in_the_order_of_their_times() -> None:
    delayed, order, done = DelayedCalls(CallThreads(limit=1)), [], threading.Event()
    delayed.schedule(0.12, done.set)
    delayed.schedule(0.06, lambda: order.append(2))
    delayed.schedule(0.01, lambda: order.append(1))
    delayed.schedule(-1, lambda: order.append(0))
    assert done.wait(DEADLINE)
    assert order == [0, 1, 2]


def test_a_cancelled_delayed_call_does_not_run() -> None:
    delayed, order, done = DelayedCalls(CallThreads(limit=1)), [], threading.Event()
    call = delayed.schedule(0.01, lambda: order.append("cancelled"))
    assert call.cancel() is True
    assert call.cancel() is False
    delayed.schedule(0.03, done.set)
    assert done.wait(DEADLINE)
    assert order == []


def test_the_clock_is_watched_only_while_something_waits() -> None:
    delayed = DelayedCalls(CallThreads())
    calls = [delayed.schedule(float("inf"), print) for _ in range(3)]
    assert delayed._watcher
    for call in calls:
        assert call.cancel()
    wait_until(lambda: not delayed._watcher)
    assert delayed._heap == []


def test_cancelled_calls_do_not_pile_up() -> None:
    delayed = DelayedCalls(CallThreads())
    kept = delayed.schedule(1000, print)
    for _ in range(5000):
        assert delayed.schedule(2000, print).cancel()
    assert len(delayed._heap) <= 2 * _CANCELLED_KEPT + 2
    assert kept.cancel()


def test_a_delayed_call_runs_even_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, done = CallThreads(), threading.Event()

    def refuse(_job: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "submit", refuse)
    DelayedCalls(threads).schedule(0.001, done.set)
    assert done.wait(DEADLINE)


def test_the_clock_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    delayed, done = DelayedCalls(CallThreads()), threading.Event()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            delayed.schedule(0.001, print)
    delayed.schedule(0.001, done.set)
    assert done.wait(DEADLINE)


def test_a_pool_that_is_forgotten_is_collected() -> None:
    threads = CallThreads(idle_seconds=0.01)
    reference = weakref.ref(threads)
    threads.submit(int)
    del threads
    wait_until(lambda: gc.collect() >= 0 and reference() is None)


def run_program(text: str) -> subprocess.CompletedProcess[str]:
    # From Python 3.12 on a fork beside other threads is warned of, and that is what some of these programs do.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", text]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_afresh() -> None:
    program = """
import os, threading
from fastpyro.futures.thread_pool import call_threads, delayed_calls

busy, hold = threading.Event(), threading.Event()
call_threads.submit(lambda: (busy.set(), hold.wait()))
assert busy.wait(20)
delayed_calls.schedule(1000, print)
call_threads._lock.acquire()          # as if another thread were in the middle of submit
delayed_calls._lock.acquire()
pid = os.fork()
if pid == 0:
    assert call_threads.thread_count == 0
    now, later = threading.Event(), threading.Event()
    call_threads.submit(now.set)
    delayed_calls.schedule(0.001, later.set)
    os._exit(0 if now.wait(20) and later.wait(20) else 3)
delayed_calls._lock.release()
call_threads._lock.release()
assert call_threads.thread_count == 1
print("child:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    ended = run_program(program)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("child: 0\n", "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_job_may_fork() -> None:
    program = """
import os, threading
from fastpyro.futures.thread_pool import call_threads
done, pids = threading.Event(), []

def job():
    pid = os.fork()
    if pid:
        pids.append(pid)
        done.set()

call_threads.submit(job)
assert done.wait(20)
print("child:", os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]))
"""
    ended = run_program(program)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("child: 0\n", "", 0)


def test_the_program_ends_while_calls_hang() -> None:
    program = """
import threading
from fastpyro.futures.thread_pool import call_threads, delayed_calls
forever, busy = threading.Event(), threading.Barrier(21)
for _ in range(20):
    call_threads.submit(lambda: (busy.wait(20), forever.wait()))
busy.wait(20)
for _ in range(1000):
    call_threads.submit(forever.wait)
delayed_calls.schedule(1000, print)
print("end")
"""
    ended = run_program(program)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("end\n", "", 0)
