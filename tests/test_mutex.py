"""The lock that cannot be left locked."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from every_bytecode import STRIDE, Destructor, each_number, happening, in_time, interrupt
from socket_pairs import DEADLINE, Peer

from fastpyro._mutex import Mutex
from fastpyro.errors import LocalProtocolError, TimeoutError


def test_one_thread_at_a_time() -> None:
    mutex = Mutex()
    assert (mutex.locked, mutex.owned) == (False, False)
    with mutex.guard():
        assert (mutex.locked, mutex.owned) == (True, True)
        assert in_time(mutex.guard_now) is None
        assert in_time(lambda: mutex.owned) is False
    assert not mutex.locked
    assert not mutex.owned


def test_threads_count_together() -> None:
    mutex, count, most = Mutex(), [0, 0], [0]

    def work() -> None:
        for _ in range(300):
            with mutex.guard():
                count[0] += 1
                most[0] = max(most[0], count[0])
                count[1] += 1
                count[0] -= 1

    with contextlib.ExitStack() as peers:
        for _ in range(6):
            peers.enter_context(Peer(work))
    assert count == [0, 1800]
    assert most == [1]


@pytest.mark.parametrize("take", [Mutex.guard, Mutex.guard_now], ids=["guard", "guard_now"])
def test_nobody_waits_for_himself(take: Callable[[Mutex], Any]) -> None:
    mutex = Mutex(what="the parrot")
    with mutex.guard():
        with pytest.raises(LocalProtocolError, match="the parrot is in use by this very thread"):
            take(mutex)
        assert mutex.locked
    assert not mutex.locked


def test_a_reentrant_one_counts() -> None:
    mutex = Mutex(reentrant=True)
    with mutex.guard(), mutex.guard(), mutex:
        assert mutex.acquire()
        mutex.release()
        assert in_time(mutex.guard_now) is None
    assert not mutex.locked


def test_forgetting_the_guard_frees_the_lock() -> None:
    mutex = Mutex()
    mutex.guard()
    assert not mutex.locked
    guard = mutex.guard()
    with guard:
        pass
    del guard  # not twice
    assert mutex.guard_now() is not None
    assert not mutex.locked


def test_a_check_that_raises_ends_it() -> None:
    def refuse() -> None:
        raise ValueError("no")

    mutex = Mutex()
    takes: list[Callable[[], object]] = [lambda: mutex.guard(0, refuse), lambda: mutex.guard_now(refuse)]
    for take in takes:
        with pytest.raises(ValueError, match="no"):
            take()
        assert not mutex.locked
    with mutex.guard():
        assert isinstance(in_time(lambda: mutex.guard(0, refuse)), ValueError)


def test_a_deadline() -> None:
    mutex = Mutex()
    with mutex.guard():
        assert isinstance(in_time(lambda: mutex.guard(time.monotonic() + 0.05)), TimeoutError)
        assert isinstance(in_time(lambda: mutex.guard(time.monotonic() - 1)), TimeoutError)
        assert in_time(lambda: mutex.acquire(timeout=0.01)) is False
        assert in_time(lambda: mutex.acquire(blocking=False)) is False
    with mutex.guard(float("inf")):
        pass


def test_only_the_owner_releases_and_waits() -> None:
    mutex = Mutex()
    for action in (mutex.release, mutex.wait):
        with pytest.raises(RuntimeError, match="has not got"):
            action()
    with mutex.guard():
        assert isinstance(in_time(mutex.release), RuntimeError)
    assert not mutex.locked


def test_waiting_for_a_notification() -> None:
    mutex, ready = Mutex(reentrant=True), []

    def notify() -> None:
        with mutex.guard():
            ready.append(1)
            mutex.notify_all()

    with mutex.guard(), mutex.guard(), Peer(notify):
        assert mutex.wait_for(lambda: ready, DEADLINE) == [1]
        assert mutex.owned
    assert not mutex.locked


def test_waiting_in_vain() -> None:
    mutex = Mutex()
    with mutex.guard():
        assert mutex.wait(0.01) is False
        assert mutex.wait(-5) is False
        assert mutex.wait_for(lambda: 0, 0.01) == 0
        assert mutex.owned
    mutex.notify_all()
    assert not mutex.locked


def wait_for_the_alarm(mutex: Mutex) -> None:
    with mutex.guard():
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            mutex.wait(DEADLINE)
        finally:
            assert mutex.owned


def test_a_signal_while_waiting_keeps_the_lock_until_the_block_ends() -> None:
    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    mutex = Mutex()
    previous = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            wait_for_the_alarm(mutex)
        assert not mutex.locked
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert not mutex.locked


@pytest.mark.parametrize("reentrant", [False, True])
def test_an_interrupt_anywhere(reentrant: bool) -> None:
    mutex = Mutex(reentrant)
    code = compile(
        "def use(mutex):\n with mutex.guard() as guard:\n  mutex.notify_all()\n  x = len('x')\n"
        " with mutex.guard_now():\n  for i in range(3):\n   x += i\n",
        "elsewhere",
        "exec",
    )
    names: dict[str, Any] = {}
    exec(code, names)

    def path(number: int) -> happening:
        with contextlib.suppress(KeyboardInterrupt), happening(number, interrupt) as interruption:
            names["use"](mutex)
        assert not mutex.locked
        return interruption

    assert each_number(path) > 30


def test_a_destructor_anywhere() -> None:
    mutex = Mutex()
    names: dict[str, Any] = {}
    exec(compile("def use(mutex):\n with mutex.guard():\n  x = len('x')\n", "elsewhere", "exec"), names)
    refused = 0

    def take_and_forget() -> None:
        mutex.guard()

    def path(number: int) -> happening:
        nonlocal refused
        outcome: list[Any] = []
        with happening(number, lambda: Destructor(take_and_forget, outcome)) as collection:
            names["use"](mutex)
        refused += bool(outcome) and isinstance(outcome[0], LocalProtocolError)
        assert not mutex.locked
        return collection

    each_number(path)
    assert refused > (5 if STRIDE == 1 else 0)


def test_under_a_leaf_nobody_waits_for_a_call() -> None:
    leaf, turn = Mutex(reentrant=True, leaf=True), Mutex()
    with leaf.guard(), leaf.guard():
        with pytest.raises(LocalProtocolError, match="in the middle of something"):
            turn.guard()
        assert in_time(lambda: turn.guard() and None) is None  # another thread may
        assert leaf.wait(0.01) is False
        with pytest.raises(LocalProtocolError):
            turn.guard()
    with turn.guard(), leaf.guard():
        pass
    with leaf, turn.guard():  # who takes it as a lock of threading knows what he does
        pass
