"""Coroutines of a daemon on its event loop: values, errors, contexts, and the end."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastpyro.callcontext import current_context
from fastpyro.errors import PyroError
from fastpyro.server import coroutines as coroutines_module
from fastpyro.server.coroutines import Coroutines
from fastpyro.server.turns import TURN

DEADLINE = 20.0


@pytest.fixture
def coroutines() -> Iterator[Coroutines]:
    made = Coroutines()
    yield made
    made.close()


async def give(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def fail(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def never() -> None:
    await asyncio.Event().wait()


def test_values_and_errors(coroutines: Coroutines) -> None:
    assert coroutines.value_of(give(3)) == 3
    assert coroutines.value_of("no coroutine") == "no coroutine"
    for error in (KeyError("x"), SystemExit(3), KeyboardInterrupt(), StopAsyncIteration(), GeneratorExit()):
        with pytest.raises(type(error)) as caught:
            coroutines.value_of(fail(error))
        assert caught.value is error
    with pytest.raises(PyroError, match="cancelled"):
        coroutines.value_of(fail(asyncio.CancelledError()))
    assert coroutines.value_of(give(4)) == 4


def test_a_coroutine_may_raise_anything_at_once(coroutines: Coroutines) -> None:
    class Odd(BaseException):
        pass

    async def raising(error: BaseException) -> None:
        raise error

    for error in (GeneratorExit(), SystemExit(), KeyboardInterrupt(), MemoryError(), RecursionError(), Odd()):
        with pytest.raises(type(error)):
            coroutines.value_of(raising(error))
    assert coroutines.value_of(give(4)) == 4


def test_one_loop_in_one_thread_started_when_it_is_needed(coroutines: Coroutines) -> None:
    before = threading.active_count()

    async def where() -> Any:
        return asyncio.get_running_loop(), threading.current_thread()

    places = {coroutines.value_of(where()) for _ in range(10)}
    ((loop, thread),) = places
    assert loop is coroutines.loop
    assert thread.name == "fastpyro-event-loop"
    assert thread.daemon
    assert threading.active_count() == before + 1


def test_no_loop_can_be_made(coroutines: Coroutines, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_make() -> None:
        raise OSError(24, "Too many open files")

    coroutine = give(1)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", fail_to_make)
        with pytest.raises(PyroError, match=r"cannot be run: .*Too many open files"):
            coroutines.value_of(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert coroutines.value_of(give(2)) == 2


def test_a_start_that_is_interrupted_leaves_no_open_loop(
    coroutines: Coroutines, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def remember() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    def interrupt(event: threading.Event, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "new_event_loop", remember)
    coroutine = give(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            coroutines.value_of(coroutine)
    coroutine.close()
    assert coroutines.value_of(give(2)) == 2
    until = time.monotonic() + DEADLINE
    while [loop.is_closed() for loop in made].count(False) > 1 and time.monotonic() < until:
        pass  # the thread of the first one is on its way
    assert [loop.is_closed() for loop in made].count(False) == 1


def test_the_end_comes_while_the_loop_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    coroutines = Coroutines()
    make = asyncio.new_event_loop
    made: list[asyncio.AbstractEventLoop] = []

    def close_first() -> asyncio.AbstractEventLoop:
        coroutines.close()
        made.append(make())
        return made[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", close_first)
    with pytest.raises(PyroError, match="the daemon is closed"):
        coroutines.value_of(give(1))
    assert made[0].is_closed()


def test_awaiting_with_timeouts_futures_and_cancellation(coroutines: Coroutines) -> None:
    async def work() -> list[str]:
        said = []
        try:
            await asyncio.wait_for(never(), 0.001)
        except TimeoutError:
            said.append("timeout")
        task = asyncio.ensure_future(never())
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            said.append("cancelled")
        said += await asyncio.gather(give("a"), give("b"))
        return said

    assert coroutines.value_of(work()) == ["timeout", "cancelled", "a", "b"]


def test_each_coroutine_sees_its_own_context(coroutines: Coroutines) -> None:
    gate = threading.Event()
    outcomes: dict[int, Any] = {}
    ended = threading.Semaphore(0)

    async def work(number: int) -> bytes:
        seen = []
        for _ in range(5):
            await asyncio.sleep(0)
            seen.append(current_context.annotations["NUMB"])
        current_context.response_annotations = {"RESP": seen[0]}
        assert len(set(seen)) == 1
        return bytes(seen[0])

    async def wait() -> None:
        await asyncio.to_thread(gate.wait, DEADLINE)

    def done(number: int, value: Any, error: BaseException | None) -> None:
        outcomes[number] = value, error, current_context.reply_annotations()
        ended.release()

    for number in range(10):
        current_context.annotations = {"NUMB": b"%d" % number}
        state = current_context.current().copy()
        coroutines.start(state, work(number), lambda *outcome, number=number: done(number, *outcome))
    current_context.end()
    for _ in range(10):
        assert ended.acquire(timeout=DEADLINE)
    assert outcomes == {n: (b"%d" % n, None, {"RESP": b"%d" % n}) for n in range(10)}

    async def outside() -> Any:
        return await asyncio.gather(nothing())  # in a task of its own

    async def nothing() -> Any:
        return current_context.client, current_context.reply_annotations()

    assert coroutines.value_of(outside()) == [(None, None)]


def test_a_task_that_stops_the_loop_ends_nobody_elses_call(
    coroutines: Coroutines, caplog: pytest.LogCaptureFixture
) -> None:
    async def start() -> str:
        task = asyncio.ensure_future(fail(SystemExit("loop")))
        await asyncio.wait([task])
        return str(task.exception())

    assert coroutines.value_of(start()) == "loop"
    assert coroutines.value_of(give(1)) == 1
    assert "it goes on" in caplog.text


def test_waiting_in_the_loops_own_thread_is_refused(coroutines: Coroutines) -> None:
    async def inside() -> Any:
        return coroutines.value_of(give(1))

    with pytest.raises(PyroError, match="its own event loop"):
        coroutines.value_of(inside())


def test_the_end_cancels_what_runs(coroutines: Coroutines) -> None:
    outcomes: list[Any] = []
    for _ in range(3):
        coroutines.start(current_context.current().copy(), never(), lambda *outcome: outcomes.append(outcome))
    assert coroutines.value_of(give(1)) == 1
    loop = coroutines.loop
    coroutines.close()
    coroutines.close()
    assert loop.is_closed()
    assert [str(error) for _, error in outcomes] == ["the call was cancelled"] * 3
    with pytest.raises(PyroError, match="the daemon is closed"):
        coroutines.value_of(give(1))
    coroutines.forget(give(1))


def test_the_end_may_come_in_the_loops_thread(coroutines: Coroutines) -> None:
    async def end() -> str:
        coroutines.close()
        return "said"

    assert coroutines.value_of(end()) == "said"


def test_a_loop_of_the_users() -> None:
    coroutines = Coroutines()
    outcomes: list[Any] = []

    async def main() -> None:
        coroutines.loop = asyncio.get_running_loop()
        with pytest.raises(PyroError, match="event loop already"):
            coroutines.loop = asyncio.get_running_loop()
        assert await asyncio.to_thread(coroutines.value_of, give(5)) == 5
        coroutines.start(current_context.current().copy(), never(), lambda *outcome: outcomes.append(outcome))
        await asyncio.sleep(0)
        coroutines.close()
        while not outcomes:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert str(outcomes[0][1]) == "the call was cancelled"


def test_a_coroutine_that_is_cancelled_before_its_first_step_is_closed() -> None:
    """Else Python warns of it, which nobody awaited."""
    coroutines = Coroutines()
    coroutine = never()

    async def main() -> None:
        loop = coroutines.loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coroutine, **more: asyncio.Task(coroutine, loop=loop, **more))  # not eager
        coroutines.start(current_context.current().copy(), coroutine, lambda *outcome: None)
        await asyncio.sleep(0)  # the task is there now
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
        coroutines.close()
        await coroutines.ended()

    asyncio.run(main())
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_nobody_waits_for_ever_for_a_loop_that_nobody_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpyro.server.coroutines.END_SECONDS", 0.01)
    coroutines = Coroutines()
    loop = coroutines.loop = asyncio.new_event_loop()
    coroutine = give(1)
    closing = threading.Timer(0.05, coroutines.close)
    closing.start()
    with pytest.raises(PyroError, match="closed before the coroutine was done"):
        coroutines.value_of(coroutine)
    closing.join()
    loop.run_until_complete(asyncio.sleep(0))  # so that what waits in it begins, and can be cancelled
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    coroutine.close()


def test_a_users_loop_that_is_closed() -> None:
    coroutines = Coroutines()
    loop = coroutines.loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(PyroError, match="cannot be run: Event loop is closed"):
        coroutines.value_of(give(1))
    coroutines.close()


def test_asyncio_is_not_imported_without_need() -> None:
    program = "import sys, fastpyro; fastpyro.Daemon(host='127.0.0.1').close(); assert 'asyncio' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_failures_that_only_the_loop_sees_are_told_on_one_line(
    coroutines: Coroutines, caplog: pytest.LogCaptureFixture
) -> None:
    async def provoke() -> None:
        def forged() -> None:
            raise ValueError("x\n2026-11-27 root INFO all is well\x1b[2J")

        asyncio.get_running_loop().call_soon(forged)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    coroutines.value_of(provoke())
    (record,) = caplog.records
    assert record.name == "fastpyro.coroutines"
    assert r"ValueError: x\n2026-11-27 root INFO all is well\x1b[2J" in str(record.exc_text)


@pytest.mark.parametrize("ours", [True, False])
def test_a_loop_with_much_to_do_gives_way(ours: bool, coroutines: Coroutines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand coroutines wake at once, and each needs a fifth of a turn. A loop of the user's never sleeps for us."""
    gave_way: list[float] = []

    class Clock:
        monotonic = staticmethod(time.monotonic)
        sleep = gave_way.append

    monkeypatch.setattr(coroutines_module, "time", Clock)
    gate: list[asyncio.Event] = []
    ended = threading.Semaphore(0)

    async def work() -> None:
        if not gate:
            gate.append(asyncio.Event())
        await gate[0].wait()
        until = time.perf_counter() + TURN / 5
        while time.perf_counter() < until:
            pass

    async def wake() -> None:
        gate[0].set()

    thread = None
    if not ours:
        loop = asyncio.new_event_loop()
        coroutines.loop = loop
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
    for _ in range(1000):
        coroutines.start(current_context.current().copy(), work(), lambda value, error: ended.release())
    gave_way.clear()
    coroutines.value_of(wake())
    assert all(ended.acquire(timeout=DEADLINE) for _ in range(1000))
    if ours:
        assert len(gave_way) >= 50, "of 170 and more"
    else:
        assert not gave_way
        loop.call_soon_threadsafe(loop.stop)
        assert thread is not None
        thread.join(DEADLINE)
        loop.close()
