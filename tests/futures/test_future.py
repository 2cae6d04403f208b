"""`Future` for ordinary functions, and running functions in the background."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fastpyro.callcontext import current_context
from fastpyro.futures.future import Future, FutureResult, _ExceptionWrapper, run_in_background
from fastpyro.futures.thread_pool import call_threads

DEADLINE = 20.0
CANCELLED = "^future has been cancelled$"


def divide(number: float, by: float = 1) -> float:
    return number / by


def test_a_function_runs_in_the_background() -> None:
    result = run_in_background(divide, 10, by=4)
    assert isinstance(result, FutureResult)
    assert result.value == 2.5
    assert result.ready


def test_the_background_is_another_thread() -> None:
    ident = run_in_background(threading.get_ident).value
    assert ident != threading.get_ident()


def test_the_functions_exception_is_raised_at_every_read() -> None:
    result = run_in_background(divide, 1, 0)
    assert result.wait(DEADLINE)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            _ = result.value


def test_even_a_system_exit_arrives() -> None:
    result = run_in_background(exit, 3)
    with pytest.raises(SystemExit):
        _ = result.value
    assert run_in_background(divide, 8, 2).value == 4


def test_calls_run_in_parallel() -> None:
    together = threading.Barrier(21)
    results = [run_in_background(together.wait, DEADLINE) for _ in range(20)]
    together.wait(DEADLINE)
    assert sorted(result.value for result in results) != [0] * 20


def test_thousands_of_calls() -> None:
    results = [run_in_background(divide, number, 1).then(divide, by=2) for number in range(5000)]
    assert [result.value for result in results] == [number / 2 for number in range(5000)]


def test_the_call_context_goes_along() -> None:
    current_context.annotations = {"ABCD": b"of the caller"}
    try:
        result = run_in_background(lambda: dict(current_context.annotations))
    finally:
        current_context.annotations = {}
    assert result.value == {"ABCD": b"of the caller"}
    assert run_in_background(lambda: dict(current_context.annotations)).value == {}, "nothing is left in the thread"


def test_a_call_that_was_cancelled_before_it_began_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Any] = []
    monkeypatch.setattr(call_threads, "submit", jobs.append)
    called: list[int] = []
    result = run_in_background(called.append, 1)
    assert result.cancel() is True
    jobs[0]()
    assert called == []
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


def test_the_late_value_of_a_cancelled_call_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    go, busy = threading.Event(), threading.Event()
    chained: list[Any] = []
    started: list[threading.Thread] = []

    def start(job: Callable[[], object]) -> None:
        started.append(threading.Thread(target=job))
        started[0].start()

    monkeypatch.setattr(call_threads, "submit", start)

    def slow() -> str:
        busy.set()
        go.wait(DEADLINE)
        return "late"

    result = run_in_background(slow).then(chained.append)
    assert busy.wait(DEADLINE)
    assert result.cancel() is True
    assert result.ready
    go.set()
    started[0].join(DEADLINE)
    assert chained == []
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_job: object) -> None:
        raise RuntimeError("can't start new thread")

    future = Future(divide)
    with monkeypatch.context() as patch:
        patch.setattr(call_threads, "submit", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            run_in_background(divide, 1)
        with pytest.raises(RuntimeError, match="can't start"):
            future(1)
    assert future(1).value == 1, "a future that could not be started may be started again"


class Argument:
    """Something that a weak reference can watch."""


def fail_with(argument: Argument) -> None:
    raise ValueError(argument)


def call_and_fail() -> weakref.ref[Argument]:
    argument = Argument()
    result = run_in_background(fail_with, argument)
    for _ in range(2):
        with contextlib.suppress(ValueError):
            _ = result.value
    reference = weakref.ref(argument)
    del result, argument  # the traceback holds this frame, as it does that of everybody who reads a failed result
    return reference


def test_a_failed_call_leaves_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        reference = call_and_fail()
        never, deadline = threading.Event(), time.monotonic() + DEADLINE
        while reference() is not None and time.monotonic() < deadline:
            never.wait(0.001)  # the background thread lets go of the result a moment after it is ready
        assert reference() is None
    finally:
        gc.enable()


# Future


def test_a_future_is_called_like_its_function() -> None:
    future = Future(divide)
    assert (future.completed, future.callable) == (False, divide)
    result = future(9, by=3)
    assert result.value == 3
    assert future.completed
    assert not future.cancelled
    assert "divide" in repr(future)


def test_a_future_can_be_used_once() -> None:
    future = Future(divide)
    assert future(1).value == 1
    with pytest.raises(RuntimeError, match=r"^the future has already been evaluated$"):
        future(1)
    with pytest.raises(RuntimeError, match=r"^the future has already been evaluated; use then\(\)"):
        future.then(divide)
    with pytest.raises(RuntimeError, match=r"^the future has already been evaluated; use iferror\(\)"):
        future.iferror(print)
    assert future.delay(1) is False
    assert future.cancel() is False


def test_a_chain_that_is_made_before_the_call() -> None:
    future = Future(divide).then(divide, by=2)
    assert future.then(lambda value, *rest, **named: (value, rest, named), 1, two=2) is future
    assert len(future.chain) == 2
    assert future(8).value == (4, (1,), {"two": 2})


def test_the_chain_runs_in_the_background_thread() -> None:
    future = Future(threading.get_ident).then(lambda ident: (ident, threading.get_ident()))
    first, second = future().value
    assert first == second != threading.get_ident()


def test_the_handler_hears_of_the_functions_error() -> None:
    errors: list[Exception] = []
    future = Future(divide)
    assert future.iferror(errors.append) is future
    result = future(1, 0)
    with pytest.raises(ZeroDivisionError):
        _ = result.value
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_the_handler_hears_of_an_error_in_the_chain() -> None:
    errors: list[Exception] = []
    skipped: list[Any] = []
    result = Future(divide).iferror(errors.append).then(divide, 0).then(skipped.append)(5)
    with pytest.raises(ZeroDivisionError):
        _ = result.value
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert skipped == []


def test_a_delayed_future_waits() -> None:
    future = Future(time.monotonic)
    assert future.delay(0.05) is True
    assert future.call_delay == 0.05
    start = time.monotonic()
    result = future()
    assert not result.ready
    assert result.value - start >= 0.05


def test_a_delayed_future_takes_up_no_thread_of_the_pool() -> None:
    before = call_threads.thread_count
    waiting = [Future(int) for _ in range(1000)]
    for future in waiting:
        future.delay(1000)
        future()
    assert call_threads.thread_count <= before
    assert all(future.cancel() for future in waiting)


def test_the_delay_can_be_changed_while_the_future_waits() -> None:
    future = Future(divide)
    future.delay(1000)
    result = future(6, 2)
    assert result.wait(0) is False
    assert future.delay(0) is True
    assert result.value == 3
    assert future.delay(1) is False

    future = Future(divide)
    future.delay(1000)
    result = future(6, 2)
    assert future.delay(0.01) is True
    assert result.value == 3


def test_a_future_that_is_cancelled_before_the_call() -> None:
    future = Future(divide)
    assert future.cancel() is True
    assert future.cancelled
    assert not future.completed
    with pytest.raises(RuntimeError, match=r"^the future has been cancelled$"):
        future(1)


def test_cancelling_a_future_that_waits_wakes_at_once() -> None:
    called: list[int] = []
    errors: list[Exception] = []
    future = Future(called.append).iferror(errors.append)
    future.delay(1000)
    result = future(1)
    waiter = run_in_background(result.wait, DEADLINE)
    start = time.monotonic()
    assert future.cancel() is True
    assert waiter.value is True
    assert time.monotonic() - start < DEADLINE / 2
    assert future.cancelled
    assert future.completed
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value
    assert [str(error) for error in errors] == ["future has been cancelled"]
    assert future.cancel() is False
    with pytest.raises(RuntimeError, match=r"^the future has been cancelled$"):
        future(1)
    assert called == []


def test_cancelling_the_result_cancels_the_future_that_waits() -> None:
    called: list[int] = []
    future = Future(called.append)
    future.delay(1000)
    result = future(1)
    assert result.cancel() is True
    assert future.cancelled
    assert future.completed
    assert future._delayed is not None
    assert future._delayed.cancel() is False, "nothing is left to wait for"


def test_a_future_that_is_queued_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Any] = []
    monkeypatch.setattr(call_threads, "submit", jobs.append)
    called: list[int] = []
    future = Future(called.append)
    result = future(1)
    assert future.delay(5) is False, "it is on its way already"
    assert future.cancel() is True
    jobs[0]()
    assert called == []
    assert result.ready


def test_a_running_future_cannot_be_cancelled_but_its_result_can() -> None:
    busy, go = threading.Event(), threading.Event()

    def slow() -> None:
        busy.set()
        go.wait(DEADLINE)

    future = Future(slow)
    result = future()
    assert busy.wait(DEADLINE)
    assert future.cancel() is False
    assert future.delay(1) is False
    assert not future.cancelled
    assert result.cancel() is True
    go.set()
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


def test_start_and_cancel_race() -> None:
    for _ in range(300):
        called: list[int] = []
        future = Future(called.append)
        future.delay(0.0001)
        gate = threading.Barrier(2)

        def cancel(future: Future = future, gate: threading.Barrier = gate) -> bool:
            gate.wait(DEADLINE)
            return future.cancel()

        cancelled = run_in_background(cancel)
        gate.wait(DEADLINE)
        try:
            result = future(1)
        except RuntimeError:
            assert cancelled.value is True
            continue
        assert result.wait(DEADLINE)
        assert cancelled.value is (called == [])


def test_an_exception_wrapper_raises_its_exception() -> None:
    error = ValueError("wrapped")
    wrapper = _ExceptionWrapper(error)
    assert wrapper.exception is error
    for _ in range(2):
        with pytest.raises(ValueError, match="wrapped"):
            wrapper.raiseIt()


def test_an_exception_wrapper_as_a_value_is_an_error() -> None:
    errors: list[Exception] = []
    result = Future(lambda: _ExceptionWrapper(KeyError("k"))).iferror(errors.append)()
    with pytest.raises(KeyError):
        _ = result.value
    assert len(errors) == 1


def test_nothing_is_logged_for_a_call_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run_in_background(divide, 1, 0).wait(DEADLINE)
    assert not [record for record in caplog.records if record.name.startswith("fastpyro")]
