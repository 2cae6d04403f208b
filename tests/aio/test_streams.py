"""Item streams in coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

from fastpyro import aio

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


def test_items(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            assert [number async for number in proxy.numbers(5)] == [0, 1, 2, 3, 4]
            stream = await proxy.numbers(3)
            assert isinstance(stream, aio.Stream)
            assert [number async for number in stream] == [0, 1, 2]
            assert [number async for number in stream] == []
            with pytest.raises(TypeError, match="returns an iterator"):
                [number async for number in proxy.add(1)]

    asyncio.run(main())


def test_an_error_ends_a_stream(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            stream = await proxy.failing_numbers()
            assert await anext(stream) == 1
            with pytest.raises(ValueError, match="no second number"):
                await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    asyncio.run(main())


def test_a_stream_is_closed_early(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            async with await proxy.numbers(1000) as stream:
                assert await anext(stream) == 0
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            items: Any = aiter(proxy.numbers(1000))
            assert await anext(items) == 0
            await items.aclose()
            items = aiter(proxy.numbers(3))
            await items.aclose()
            async for number in proxy.numbers(1000):
                if number == 2:
                    break  # forgetting it closes it
            assert await proxy.add(1) == 11

    asyncio.run(main())
