"""Batches in coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from server_process import SubjectServer

from fastpyro import aio

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.mark.parametrize("serializer", [None, "serpent"])
def test_results_in_order_and_the_error_in_its_place(server: SubjectServer, serializer: str | None) -> None:
    async def main() -> None:
        proxy = aio.Proxy(server.uri())
        proxy._pyroSerializer = serializer
        batch = aio.batch(proxy)
        for number in range(5):
            batch.add(number, 1)
        assert len(batch) == 5
        assert list(await batch()) == [1, 2, 3, 4, 5]  # type: ignore[arg-type]
        assert len(batch) == 0
        batch.add(1, 1)
        batch.divide(1, 0)
        batch.add(2, 2)
        results = await batch()
        assert results is not None
        assert next(results) == 2
        with pytest.raises(ZeroDivisionError):
            next(results)
        before = len(await proxy.all_notes())
        batch.note_blocking("in a batch")
        assert await batch(oneway=True) is None
        async with asyncio.timeout(10):
            while len(await proxy.all_notes()) == before:
                await asyncio.sleep(0.001)
        proxy._pyroRelease()

    asyncio.run(main())
