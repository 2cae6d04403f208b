"""`FutureResult`: reading, the call chain, cancelling, and the way into asyncio and concurrent.futures."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import traceback
from typing import Any

import pytest

from fastpyro.futures.result import FutureResult, _ExceptionWrapper

DEADLINE = 20.0
CANCELLED = "^future has been cancelled$"


def divide(number: float, by: float = 1) -> float:
    return number / by


def ready(value: Any = 5) -> FutureResult:
    result = FutureResult()
    result.set_value(value)
    return result


def failed(error: BaseException | None = None) -> FutureResult:
    return ready(_ExceptionWrapper(error or ValueError("remote")))


class Background:
    """Runs a function in a thread, and gives its outcome or raises its error."""

    def __init__(self, function: Any, *args: Any) -> None:
        self._outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                self._outcome.set_result(function(*args))
            except BaseException as error:
                self._outcome.set_exception(error)

        threading.Thread(target=run, daemon=True).start()

    def outcome(self) -> Any:
        return self._outcome.result(DEADLINE)


# Reading


def test_a_result_becomes_ready() -> None:
    result = FutureResult()
    assert (result.ready, result.wait(0)) == (False, False)
    assert result.wait(timeout=0.001) is False
    result.set_value(42)
    assert result.ready
    assert result.wait() is True
    assert result.wait(timeout=0) is True
    assert result.value == result.get_value() == 42


def test_reading_waits_for_the_value() -> None:
    result = FutureResult()
    readers = [Background(result.get_value) for _ in range(5)]
    waiters = [Background(result.wait) for _ in range(5)]
    result.value = "assigned"
    assert [reader.outcome() for reader in readers] == ["assigned"] * 5
    assert [waiter.outcome() for waiter in waiters] == [True] * 5


def test_every_read_raises_and_the_traceback_does_not_grow() -> None:
    try:
        divide(1, 0)
    except ZeroDivisionError as error:
        result = failed(error)
    lengths = set()
    for _ in range(5):
        with pytest.raises(ZeroDivisionError) as caught:
            _ = result.value
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
        assert "divide" in str(traceback.extract_tb(caught.value.__traceback__))
    assert len(lengths) == 1
    assert result.wait(0) is True


def test_assigning_again_replaces_the_value() -> None:
    result = ready(1)
    result.value = 2
    assert result.value == 2
    result.value = _ExceptionWrapper(KeyError("gone"))
    with pytest.raises(KeyError):
        _ = result.value
    result.value = None
    assert result.value is None


def test_repr_tells_the_state() -> None:
    result = FutureResult()
    assert "pending" in repr(result)
    assert "ready" in repr(ready())
    assert "ValueError" in repr(failed())
    result.cancel()
    assert "cancelled" in repr(result)


# The call chain


def test_the_chain_is_applied_in_order() -> None:
    order: list[Any] = []

    def note(value: Any, *args: Any, **kwargs: Any) -> Any:
        order.append((value, args, kwargs))
        return value + 1

    result = FutureResult()
    assert result.then(note, 1, two=2).then(note) is result
    assert len(result.callchain) == 2
    assert result.callchain[0] == (note, (1,), {"two": 2})
    result.set_value(10)
    assert order == [(10, (1,), {"two": 2}), (11, (), {})]
    assert result.value == 12
    assert result.callchain == []


def set_and_tell_thread(result: FutureResult) -> int:
    result.set_value(None)
    return threading.get_ident()


def test_the_chain_runs_in_the_thread_that_sets_the_value() -> None:
    result = FutureResult().then(lambda _: threading.get_ident())
    ident = Background(set_and_tell_thread, result).outcome()
    assert result.value == ident


def test_the_result_is_ready_only_after_its_chain() -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(value: int) -> int:
        inside.set()
        go.wait(DEADLINE)
        return value + 1

    result = FutureResult().then(slow)
    setter = Background(result.set_value, 1)
    assert inside.wait(DEADLINE)
    assert not result.ready
    assert result.wait(0) is False
    assert result.then(slow) is result, "adding to the chain does not wait"
    go.set()
    setter.outcome()
    assert result.value == 3


def test_a_long_chain() -> None:
    result = FutureResult()
    for _ in range(20_000):
        result.then(int.__add__, 1)
    result.set_value(0)
    assert result.value == 20_000


def test_an_error_in_the_chain_becomes_the_value_and_skips_the_rest() -> None:
    called: list[Any] = []
    result = FutureResult().then(divide, 0).then(called.append)
    result.set_value(1)
    with pytest.raises(ZeroDivisionError):
        _ = result.value
    assert called == []
    assert result.callchain == []


def test_a_function_on_a_ready_result_runs_at_once_in_this_thread() -> None:
    result = ready(1)
    assert result.then(lambda value: (value, threading.get_ident())) is result
    assert result.value == (1, threading.get_ident())


def test_a_late_function_that_fails_makes_the_value_an_error() -> None:
    result = ready(1).then(divide, 0)
    with pytest.raises(ZeroDivisionError):
        _ = result.value


def test_a_late_function_never_sees_an_error() -> None:
    called: list[Any] = []
    result = failed().then(called.append)
    assert called == []
    with pytest.raises(ValueError, match="remote"):
        _ = result.value


def test_an_interrupt_in_a_late_function_gets_through_and_nobody_hangs() -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    result = ready()
    with pytest.raises(KeyboardInterrupt):
        result.then(interrupted)
    assert result.wait(0)
    with pytest.raises(KeyboardInterrupt):
        _ = result.value
    with pytest.raises(KeyboardInterrupt):
        FutureResult().then(interrupted).set_value(1)


@pytest.mark.parametrize("late", [False, True])
def test_then_from_inside_a_function_of_the_chain(late: bool) -> None:
    order: list[Any] = []
    result = ready(1) if late else FutureResult()

    def first(value: int) -> int:
        assert result.then(second) is result
        order.append("first")
        return value + 1

    def second(value: int) -> int:
        order.append(("second", value))
        return value * 10

    result.then(first)
    if not late:
        result.set_value(1)
    assert order == ["first", ("second", 2)]
    assert result.value == 20


def test_inside_the_chain_the_value_is_the_value_so_far() -> None:
    seen: list[Any] = []
    result = FutureResult()

    def look(value: int) -> int:
        seen.append((result.value, result.ready, result.wait(), result.wait(5)))
        return value + 1

    result.then(look).then(look)
    result.set_value(1)
    result.then(look)
    assert seen == [(1, False, False, False), (2, False, False, False), (3, True, True, True)]
    assert result.value == 4


def test_assigning_inside_the_chain_comes_after_what_is_queued() -> None:
    result = FutureResult()

    def assign(value: int) -> int:
        result.value = "assigned"
        return value + 1

    result.then(assign).then(lambda value: value + 1)
    result.set_value(1)
    assert result.value == "assigned"


def test_assigning_after_a_failure_in_the_chain() -> None:
    result = FutureResult()

    def fail(_: Any) -> None:
        result.value = "assigned"
        raise ValueError

    result.then(fail).then(divide)
    result.set_value(1)
    assert result.value == "assigned"


def test_a_late_function_waits_for_another_threads_late_function() -> None:
    inside, go = threading.Event(), threading.Event()
    result = ready(1)

    def slow(value: int) -> int:
        inside.set()
        go.wait(DEADLINE)
        return value + 1

    one = Background(result.then, slow)
    assert inside.wait(DEADLINE)
    assert result.ready
    assert result.value == 1, "a ready result can be read all the time"
    two = Background(lambda: result.then(lambda value: (value, threading.get_ident())) and threading.get_ident())
    go.set()
    assert one.outcome() is result
    ident = two.outcome()
    assert result.value == (2, ident)


# Errors


@pytest.mark.parametrize("late", [False, True])
def test_the_handler_is_told_once(late: bool) -> None:
    errors: list[Any] = []
    result = FutureResult()
    error = ValueError("remote")
    if not late:
        assert result.iferror(errors.append) is result
    result.set_value(_ExceptionWrapper(error))
    if late:
        assert result.iferror(errors.append) is result
    result.then(divide)
    assert errors == [error]
    with pytest.raises(ValueError, match="remote"):
        _ = result.value


def test_the_handler_is_told_of_errors_in_the_chain_and_of_late_ones() -> None:
    errors: list[Any] = []
    FutureResult().iferror(errors.append).then(divide, 0).set_value(1)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    ready(1).iferror(errors.append).then(divide, 0)
    assert [type(error) for error in errors] == [ZeroDivisionError, ZeroDivisionError]
    ready(1).then(divide, 0).iferror(errors.append)
    assert len(errors) == 3


def test_the_handler_is_not_told_of_a_good_value() -> None:
    errors: list[Any] = []
    ready(1).iferror(errors.append).then(divide)
    assert errors == []


def test_a_handler_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def handler(_: Any) -> None:
        raise TypeError("bad handler")

    with caplog.at_level(logging.ERROR, "fastpyro.futures"):
        result = failed().iferror(handler)
    assert "bad handler" in caplog.text
    with pytest.raises(ValueError, match="remote"):
        _ = result.value


def test_a_handler_may_use_the_result() -> None:
    errors: list[Any] = []
    result = FutureResult()

    def handler(error: Exception) -> None:
        errors.append(error)
        result.iferror(errors.append)
        result.then(divide)
        result.value = "repaired"

    result.iferror(handler)
    result.set_value(_ExceptionWrapper(ValueError("remote")))
    assert result.value == "repaired"
    assert [str(error) for error in errors] == ["remote", "remote"]
