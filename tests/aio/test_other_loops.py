"""The same on uvloop's loop and under anyio, where these are installed; and with tasks that begin at once."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server_process import SubjectServer

from fastpyro import aio, errors

pytestmark = pytest.mark.timeout(100)


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return factory


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_calls_cancels_and_streams(server: SubjectServer, name: str, debug: bool) -> None:
    chance = random.Random(5)

    async def worker(proxy: Any, number: int) -> None:
        for turn in range(30):
            token = f"{number}/{turn}"
            try:
                async with asyncio.timeout(0.001 if chance.random() < 0.2 else 60):
                    assert await proxy.echo(token) == ((token,), {})
            except TimeoutError:
                continue

    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            for _ in range(200):
                assert await proxy.add(1, 2) == 3
            await asyncio.gather(*(worker(proxy, number) for number in range(50)))
            assert [number async for number in proxy.numbers(5)] == [0, 1, 2, 3, 4]
            data = b"x" * (1 << 20)
            assert await asyncio.gather(*(proxy.size(data) for _ in range(10))) == [1 << 20] * 10
            proxy._pyroTimeout = 0.05
            with pytest.raises(errors.TimeoutError):
                await proxy.sleep(0.3)
        left = aio.Proxy(server.uri())
        assert await left.add(1, 2) == 3  # the end of the loop closes it

    for _ in range(2):
        with asyncio.Runner(loop_factory=loop_factory(name), debug=debug) as runner:
            runner.run(main())


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_anyio(server: SubjectServer, uvloop: bool) -> None:
    anyio = pytest.importorskip("anyio")
    if uvloop:
        pytest.importorskip("uvloop")

    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(proxy.add, number, 1)
            with anyio.move_on_after(0.05) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(proxy.sleep, 0.4)
            assert scope.cancelled_caught
            with anyio.fail_after(20):
                assert await proxy.add(1, 2) == 3

    anyio.run(main, backend_options={"use_uvloop": uvloop})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin in the next pass of the loop")
def test_tasks_that_begin_at_once(server: SubjectServer) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with aio.Proxy(server.uri()) as proxy:
            assert await asyncio.gather(*(proxy.add(number, 1) for number in range(20))) == list(range(1, 21))
            async with asyncio.TaskGroup() as group:
                tasks: list[asyncio.Task[Any]] = [group.create_task(proxy.add(number, 1)) for number in range(3)]
            assert [task.result() for task in tasks] == [1, 2, 3]

    asyncio.run(main())
