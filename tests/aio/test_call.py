"""The awaitable itself: as a coroutine, as a future, and in the hands of tasks."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import aio, errors

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


def test_it_is_a_coroutine_first_and_a_future_then(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            call: Any = proxy.sleep(0.05)
            assert isinstance(call, Coroutine)
            assert asyncio.iscoroutine(call)
            assert not asyncio.isfuture(call)
            assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED  # there is no frame to be seen
            assert "not awaited" in repr(call)
            task: asyncio.Task[Any] = asyncio.create_task(call)
            await asyncio.sleep(0)
            assert asyncio.isfuture(call)
            assert not call.done()
            assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
            assert call.get_loop() is asyncio.get_running_loop()
            assert "call sleep" in repr(call) or "sleep" in repr(task)
            with pytest.raises(asyncio.InvalidStateError):
                call.result()
            assert await task == 0.05
            assert call.done()
            assert call.result() == 0.05
            assert call.exception() is None
            assert await call == 0.05  # as often as you like

    asyncio.run(main())


def test_a_call_that_nobody_awaits_says_so(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            with pytest.warns(RuntimeWarning, match="remote call 'add' was never awaited"):
                proxy.add(1, 2)
            proxy.add(1, 2).close()

    asyncio.run(main())


def test_callbacks(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            told: list[int] = []
            call = proxy.add(1, 2)
            call.add_done_callback(lambda done: told.append(1))
            call.add_done_callback(other := lambda done: told.append(2))
            call.add_done_callback(lambda done: told.append(3))
            assert call.remove_done_callback(other) == 1
            assert await call == 3
            await asyncio.sleep(0)
            assert told == [1, 3]
            call.add_done_callback(lambda done: told.append(4))
            await asyncio.sleep(0)
            assert told == [1, 3, 4]

    asyncio.run(main())


def test_values_that_end_an_iteration(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            for value in ((), (1,), ValueError("a value"), StopIteration(3), None, [1]):
                (found,), _ = await proxy.echo(value)
                assert type(found) is type(value)

            async def inside(value: Any) -> Any:
                return await proxy.echo_times(value, 1)

            assert await inside(b"x") == b"x"

    asyncio.run(main())


def test_cancel_before_it_began_and_throw(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            task: asyncio.Task[Any] = asyncio.create_task(proxy.add(1, 2))
            task.cancel("why")
            with pytest.raises(asyncio.CancelledError):
                await task
            call = proxy.sleep(5)
            with pytest.raises(ZeroDivisionError):
                call.throw(ZeroDivisionError())
            assert call.cancelled()
            assert not call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await proxy.add(1, 2) == 3

    asyncio.run(main())


def test_two_tasks_await_one_call(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            call = proxy.sleep(0.05)

            async def wait() -> Any:
                return await call

            assert list(await asyncio.gather(wait(), wait(), wait())) == [0.05] * 3

    asyncio.run(main())


def test_a_block_bounds_the_calls_inside(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            with fastpyro.timeout(0.05):
                with pytest.raises(errors.TimeoutError, match=r"sleep of PYRO:.*fastpyro.timeout"):
                    await proxy.sleep(0.4)
                with pytest.raises(errors.TimeoutError, match=r"nothing is sent"):
                    await proxy.add(1, 2)
            with fastpyro.timeout(20):
                assert await proxy.add(1, 2) == 3
                assert list(await asyncio.gather(proxy.add(1, 2), proxy.add(2, 2))) == [3, 4]
            assert await proxy.add(1, 2) == 3

    asyncio.run(main())


def test_each_try_has_its_own_time(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            proxy._pyroTimeout, proxy._pyroMaxRetries = 0.1, 2
            began = asyncio.get_running_loop().time()
            with pytest.raises(errors.TimeoutError):
                await asyncio.wait_for(proxy.sleep(5), 20)
            assert 0.3 <= asyncio.get_running_loop().time() - began < 10

    asyncio.run(main())


@pytest.mark.parametrize("end", ["release", "close"])
def test_the_connection_goes_before_a_call_begins_anew(server: SubjectServer, end: str) -> None:
    """In the pass of the loop in which its first try has timed out."""

    async def main() -> None:
        proxy: Any = aio.Proxy(server.uri())
        await proxy._pyroBind()
        proxy._pyroTimeout, proxy._pyroMaxRetries = 0.1, 1
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(proxy.sleep(5))
        await asyncio.sleep(0)
        goes = proxy._pyroRelease if end == "release" else proxy._pyro_sender.close
        loop.call_later(0.1001, goes)
        loop.call_later(0.05, time.sleep, 0.1)  # so that both are due
        with pytest.raises(errors.CommunicationError):
            await asyncio.wait_for(task, 20)
        proxy._pyroRelease()

    asyncio.run(main())


def test_calls_that_wait_in_vain_leave_no_places(server: SubjectServer) -> None:
    """Over a connection where calls take turns; each is made again, and then given up."""

    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            proxy._pyroSerializer = "serpent"
            await proxy._pyroBind()
            exchange: Any = proxy._pyro_sender
            blocker = asyncio.ensure_future(proxy.sleep(1.5))
            await asyncio.sleep(0)
            proxy._pyroTimeout, proxy._pyroMaxRetries = 0.05, 3
            calls: list[Any] = [proxy.echo(number) for number in range(20)]
            outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
            assert {type(one) for one in outcomes} == {errors.TimeoutError}
            assert not blocker.done()
            assert exchange.waits <= len(calls)
            assert await blocker == 1.5
            assert await proxy.echo("after") == (("after",), {})
            assert exchange.waits == exchange.under_way == 0

    asyncio.run(main())


def test_who_ends_the_program_keeps_nobody_asleep(server: SubjectServer) -> None:
    ended = []

    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            call: Any = proxy.sleep(0.1)

            async def first() -> None:
                await call
                raise SystemExit(3)

            async def second() -> None:
                try:
                    await call
                finally:
                    ended.append(True)

            tasks = [asyncio.ensure_future(first()), asyncio.ensure_future(second())]
            await asyncio.wait(tasks, timeout=20)

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert ended == [True]
