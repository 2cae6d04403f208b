"""What the attributes of a proxy give in a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

from fastpyro import aio
from fastpyro.aio._member import install
from fastpyro.aio.proxy import Member

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


def test_members_before_and_after_connecting(server: SubjectServer) -> None:
    async def main() -> None:
        proxy = aio.Proxy(server.uri())
        early = proxy.add
        assert isinstance(early, Member)
        assert early.__name__ == "add"
        assert early.__qualname__ == "Proxy.add"
        assert "remote member add" in repr(early)
        assert await early(1, 2) == 3
        assert await early(1, right=3) == 4
        assert await proxy.add(1, right=3) == 4
        with pytest.raises(AttributeError, match="no exposed attribute"):
            _ = proxy.nothing
        assert await proxy.__len__() == 3
        proxy._pyroRelease()

    asyncio.run(main())


def test_a_subclass_has_methods_of_its_own(server: SubjectServer) -> None:
    class Own(aio.Proxy):
        async def add(self, *numbers: int) -> int:
            return sum(numbers)

    async def main() -> None:
        async with Own(server.uri()) as proxy:
            assert await proxy.add(1, 2, 3) == 6
            assert await proxy.divide(4, 2) == 2

    asyncio.run(main())


def test_only_proxies_have_them() -> None:
    wrong: Any = int
    with pytest.raises(TypeError):
        install(wrong, Member)
