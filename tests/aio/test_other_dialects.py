"""Calls of coroutines over TLS, under an HMAC key, and to daemons of both peers."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess, SubjectServer
from socket_pairs import make_certificate

from fastpyro import aio, config, errors

pytestmark = pytest.mark.timeout(100)

PEERS = Path(__file__).parent.parent / "peers"


async def use(proxy: Any) -> None:
    """What every road can do."""
    assert await proxy.add(1, 2) == 3
    assert await asyncio.gather(*(proxy.add(number, 1) for number in range(40))) == list(range(1, 41))
    with pytest.raises(ZeroDivisionError):
        await proxy.divide(1, 0)
    assert [number async for number in proxy.numbers(4)] == [0, 1, 2, 3]
    async for number in proxy.numbers(100):
        if number == 1:
            break
    task: asyncio.Task[Any] = asyncio.create_task(proxy.add(1, 2))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await proxy.add(3, 4) == 7
    batch = aio.batch(proxy)
    batch.add(1, 2)
    batch.add(3, 4)
    results: Any = await batch()
    assert list(results) == [3, 7]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")
def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = str(make_certificate(tmp_path))

    async def main(uri: str) -> None:
        async with aio.Proxy(uri) as proxy:
            await use(proxy)
            data = bytes(range(256)) * 8192
            assert await asyncio.gather(*(proxy.size(data) for _ in range(8))) == [len(data)] * 8
            assert await proxy.echo_times(data, 2) == data * 2

    async def nobody_answers() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            proxy = aio.Proxy(f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await proxy.method()

    with SubjectServer("--set", "SSL=True", "--set", f"SSL_SERVERCERT={certificate!r}") as server:
        monkeypatch.setattr(config, "SSL", True)
        monkeypatch.setattr(config, "SSL_CACERTS", certificate)
        asyncio.run(main(server.uri()))
        asyncio.run(nobody_answers())


@pytest.mark.parametrize(
    ("library", "key"), [("Pyro5", "-"), ("Pyro4", "-"), ("Pyro4", "secret"), ("fastpyro", "secret")]
)
def test_daemons_of_peers(library: str, key: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")

    async def main(uri: str) -> None:
        proxy = aio.Proxy(uri)
        if key != "-":
            proxy._pyroHmacKey = key
        await use(proxy)
        assert await proxy.size == 3
        await proxy.size.set(5)
        assert await proxy.size == 5
        assert await proxy.note("oneway") is None
        async with asyncio.timeout(20):
            while "oneway" not in await proxy.noted_so_far():
                await asyncio.sleep(0.01)
        proxy._pyroRelease()

    with ServerProcess(PEERS / "subject.py", library, key) as server:
        asyncio.run(main(server.wait_for(r"(PYRO:\S+)")[1]))


def test_a_key_that_is_missing() -> None:
    async def main(uri: str) -> None:
        with pytest.raises(errors.PyroError):
            await aio.Proxy(uri).add(1, 2)

    with ServerProcess(PEERS / "subject.py", "fastpyro", "secret") as server:
        asyncio.run(main(server.wait_for(r"(PYRO:\S+)")[1]))
