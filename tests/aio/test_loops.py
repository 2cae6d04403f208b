"""What the exchanges of one loop share, and the end of loops."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from fastpyro.aio.loops import turns_of

pytestmark = pytest.mark.timeout(60)


def test_one_for_each_loop_and_none_left() -> None:
    async def main() -> weakref.ref[object]:
        loop = asyncio.get_running_loop()
        turns = turns_of(loop)
        assert turns_of(loop) is turns
        assert turns.keeper is not None
        return weakref.ref(turns)

    first = asyncio.run(main())
    second = asyncio.run(main())
    assert first() is None or first() is not second()


def test_the_end_of_a_loop_closes_what_it_has() -> None:
    class Closes:
        closed = False

        def close(self) -> None:
            self.closed = True

    exchange = Closes()

    async def main() -> None:
        turns_of(asyncio.get_running_loop()).exchanges.add(exchange)

    asyncio.run(main())
    assert exchange.closed
