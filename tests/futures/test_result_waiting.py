"""Results that are cancelled, awaited, handed to concurrent.futures, and raced for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading
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


# Cancelling


def test_who_waits_hurries_the_call() -> None:
    result = FutureResult()
    hurried: list[str] = []

    def hurry() -> None:
        hurried.append("now")
        result.set_value(3)

    result._hurry = hurry
    assert result.value == 3
    assert result.wait()
    assert hurried == ["now"]  # a value that is here needs no hurry


def test_cancelling_a_pending_result() -> None:
    errors: list[Any] = []
    chained: list[Any] = []
    result = FutureResult().iferror(errors.append).then(chained.append)
    reader = Background(result.get_value)
    assert result.cancel() is True
    with pytest.raises(RuntimeError, match=CANCELLED):
        reader.outcome()
    assert result.cancel() is False
    result.set_value("late")
    result.then(chained.append)
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value
    assert chained == []
    assert len(errors) == 1


def test_a_ready_result_is_not_cancelled() -> None:
    result = ready(1)
    assert result.cancel() is False
    assert result.value == 1


def test_set_cancelled_cancels_even_a_ready_result() -> None:
    result = ready(1)
    result.set_cancelled()
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value
    result.value = 2
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


def test_cancelling_while_the_chain_runs_drops_the_rest() -> None:
    inside, go = threading.Event(), threading.Event()
    later: list[Any] = []

    def slow(value: int) -> int:
        inside.set()
        go.wait(DEADLINE)
        return value + 1

    result = FutureResult().then(slow).then(later.append)
    setter = Background(result.set_value, 1)
    assert inside.wait(DEADLINE)
    assert result.cancel() is True
    assert result.ready
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value
    go.set()
    setter.outcome()
    assert later == []
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


def test_cancelling_inside_the_chain() -> None:
    later: list[Any] = []
    result = FutureResult()
    result.then(lambda _: result.cancel()).then(later.append)
    result.set_value(1)
    assert later == []
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


def test_assigning_in_the_handler_of_a_cancelled_result_changes_nothing() -> None:
    result = FutureResult()
    result.iferror(lambda _: result.set_value("repaired"))
    result.cancel()
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value


# asyncio


def test_awaiting_a_ready_result() -> None:
    async def main() -> Any:
        return await ready(7)

    assert asyncio.run(main()) == 7


def test_awaiting_a_result_that_arrives_from_another_thread() -> None:
    async def main() -> list[Any]:
        results = [FutureResult().then(int.__add__, 1) for _ in range(100)]

        def complete() -> None:
            for number, result in enumerate(results):
                result.set_value(number)

        async def wait_for(result: FutureResult) -> Any:
            return await result

        waiting = [asyncio.ensure_future(wait_for(result)) for result in results]
        waiting += [asyncio.ensure_future(result) for result in results]
        await asyncio.sleep(0)
        threading.Thread(target=complete).start()
        return list(await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE))

    assert asyncio.run(main()) == list(range(1, 101)) * 2


@pytest.mark.parametrize("error", [KeyError("remote"), StopIteration("odd")])
def test_awaiting_an_error(error: Exception) -> None:
    async def main() -> Any:
        result = FutureResult()
        asyncio.get_running_loop().call_soon(result.set_value, _ExceptionWrapper(error))
        return await result

    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else KeyError):
        asyncio.run(main())


def test_a_task_that_gives_up_leaves_the_result_alone() -> None:
    async def main() -> Any:
        result = FutureResult()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(result, 0.001)
        await asyncio.sleep(0)
        assert not result._on_ready
        assert not result.ready
        result.set_value(1)
        return await result

    assert asyncio.run(main()) == 1


def test_a_loop_that_is_closed_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    result = FutureResult()
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.wait_for(result, 1000))
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    assert result._on_ready
    loop.close()
    result.set_value(1)
    assert result.value == 1
    assert caplog.records == []
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_awaiting_a_cancelled_result() -> None:
    async def main() -> Any:
        result = FutureResult()
        asyncio.get_running_loop().call_soon(result.cancel)
        return await result

    with pytest.raises(RuntimeError, match=CANCELLED):
        asyncio.run(main())


# concurrent.futures


def test_to_concurrent() -> None:
    result = FutureResult()
    future = result.to_concurrent()
    assert not future.done()
    result.set_value(3)
    assert future.result(0) == 3
    assert ready(4).to_concurrent().result(0) == 4
    error = ValueError("remote")
    assert failed(error).to_concurrent().exception(0) is error


def test_concurrent_futures_can_be_waited_for_together() -> None:
    results = [FutureResult() for _ in range(10)]
    pending = [result.to_concurrent() for result in results]

    def complete() -> None:
        for number, result in enumerate(results):
            result.set_value(number)

    setter = Background(complete)
    done = [future.result() for future in concurrent.futures.as_completed(pending, DEADLINE)]
    setter.outcome()
    assert sorted(done) == list(range(10))


def test_cancelling_goes_both_ways() -> None:
    result = FutureResult()
    assert result.to_concurrent().cancel() is True
    with pytest.raises(RuntimeError, match=CANCELLED):
        _ = result.value
    result = FutureResult()
    future = result.to_concurrent()
    result.cancel()
    assert future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)
    assert concurrent.futures.wait([future], 0).done == {future}


# Races


def test_then_races_with_the_value() -> None:
    for _ in range(500):
        result, gate = FutureResult(), threading.Barrier(3)

        def add(result: FutureResult = result, gate: threading.Barrier = gate) -> None:
            gate.wait(DEADLINE)
            for _ in range(10):
                result.then(int.__add__, 1)

        adders = [Background(add), Background(add)]
        gate.wait(DEADLINE)
        result.set_value(0)
        for adder in adders:
            adder.outcome()
        assert result.value == 20


def test_two_values_race() -> None:
    for _ in range(500):
        result, gate = FutureResult().then(int.__add__, 10), threading.Barrier(2)

        def assign(value: int, result: FutureResult = result, gate: threading.Barrier = gate) -> None:
            gate.wait(DEADLINE)
            result.set_value(value)

        setters = [Background(assign, 1), Background(assign, 2)]
        for setter in setters:
            setter.outcome()
        assert result.value in (1, 2), "one had the chain applied, and the other came after it"


def test_cancel_races_with_the_value() -> None:
    for _ in range(500):
        result, gate = FutureResult(), threading.Barrier(2)
        applied: list[Any] = []
        result.then(applied.append)

        def cancel(result: FutureResult = result, gate: threading.Barrier = gate) -> bool:
            gate.wait(DEADLINE)
            return result.cancel()

        cancelling = Background(cancel)
        gate.wait(DEADLINE)
        result.set_value(1)
        if cancelling.outcome():
            with pytest.raises(RuntimeError, match=CANCELLED):
                _ = result.value
        else:
            assert result.value is None
            assert applied == [1]


def test_many_threads_read_and_add_to_many_results() -> None:
    results = [FutureResult() for _ in range(2000)]
    readers = [Background(lambda: [result.then(int.__add__, 1).get_value() for result in results]) for _ in range(4)]
    for result in results:
        result.set_value(0)
    for reader in readers:
        assert len(reader.outcome()) == 2000
    assert [result.value for result in results] == [4] * 2000


# The wrapper


def test_an_exception_wrapper_can_travel() -> None:
    copied = pickle.loads(pickle.dumps(_ExceptionWrapper(KeyError("gone"))))
    assert isinstance(copied.exception, KeyError)
    assert "KeyError" in repr(copied)
    with pytest.raises(KeyError, match="gone"):
        copied.raiseIt()
