"""What connects in threads: given up, closed loops, many at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from fastpyro import errors
from fastpyro.aio.connecting import in_thread

pytestmark = pytest.mark.timeout(60)


def test_results_and_errors() -> None:
    async def main() -> None:
        assert await in_thread(lambda: 5, lambda result: None) == 5

        def fail() -> None:
            raise errors.NamingError("not there")

        with pytest.raises(errors.NamingError, match="not there"):
            await in_thread(fail, lambda result: None)

    asyncio.run(main())


def test_what_nobody_wants_is_closed() -> None:
    discarded: list[Any] = []
    goes_on, closed = threading.Event(), threading.Event()

    def slow() -> str:
        goes_on.wait(10)
        return "connected"

    def discard(result: str) -> None:
        discarded.append(result)
        closed.set()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(slow, discard)

    asyncio.run(main())
    goes_on.set()  # the loop is closed by then
    assert closed.wait(10)
    assert discarded == ["connected"]
