"""Name servers and names, looked up by coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from server_process import ServerProcess, SubjectServer

from fastpyro import aio, errors

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[str, int]]:
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0") as process:
        host, port = process.wait_for(r"^URI = PYRO:Pyro.NameServer@(\S+):(\d+)").groups()
        yield host, int(port)


def test_names_and_tags(place: tuple[str, int]) -> None:
    host, port = place

    async def main(uri: str) -> None:
        async with await aio.locate_ns(host, port) as name_server:
            await name_server.register("calculator", uri, metadata={"counts"})
        named = f"PYRONAME:calculator@{host}:{port}"
        assert str(await aio.resolve(named)) == uri
        for address in (named, f"PYROMETA:counts@{host}:{port}"):
            async with aio.Proxy(address) as proxy:
                assert await proxy.add(1, 2) == 3
                assert str(proxy._pyroUri) == uri
        with pytest.raises(errors.NamingError):
            await aio.Proxy(f"PYRONAME:nobody@{host}:{port}").add(1, 2)

    with SubjectServer() as server:
        asyncio.run(main(server.uri()))


def test_nobody_is_there() -> None:
    async def main() -> None:
        with pytest.raises(errors.NamingError):
            await aio.locate_ns("127.0.0.1", 1)
        with pytest.raises(errors.NamingError):
            await aio.resolve("PYRONAME:x@127.0.0.1:1")

    asyncio.run(main())
