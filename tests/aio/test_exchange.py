"""The data path: no reply reaches another call, a slow peer stops senders, bad replies end the connection and no more."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

from fastpyro import aio, errors

pytestmark = pytest.mark.timeout(110)

TASKS = 200
CALLS = 100


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_no_reply_reaches_another_call(server: SubjectServer, debug: bool) -> None:
    chance = random.Random(11)

    async def worker(proxy: Any, number: int) -> int:
        answered = 0
        for turn in range(CALLS if not debug else CALLS // 10):
            token = f"{number}/{turn}"
            method, args = proxy.echo, (token,)
            fate = chance.random()
            try:
                if fate < 0.1:
                    async with asyncio.timeout(chance.random() * 0.002):
                        result = await method(*args)
                elif fate < 0.2:
                    task: asyncio.Task[Any] = asyncio.create_task(method(*args))
                    for _ in range(chance.randrange(3)):
                        await asyncio.sleep(0)
                    task.cancel()
                    result = await task
                else:
                    result = await method(*args)
            except (TimeoutError, asyncio.CancelledError):
                continue
            assert result == ((token,), {})
            answered += 1
        return answered

    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            answered = await asyncio.gather(*(worker(proxy, number) for number in range(TASKS)))
            assert sum(answered) > TASKS * CALLS * (0.7 if not debug else 0.07)
            assert await proxy.add(1, 2) == 3
            assert proxy._pyro_sender.under_way == 0
            assert proxy._pyro_sender.waits == 0

    asyncio.run(main(), debug=debug)


def test_a_task_that_awaits_quick_calls_lets_others_run(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            done = False
            turns = 0

            async def other() -> None:
                nonlocal turns
                while not done:
                    turns += 1
                    await asyncio.sleep(0)

            task: asyncio.Task[Any] = asyncio.create_task(other())
            for _ in range(300):
                await proxy.add(1, 2)
            done = True
            await task
            assert turns > 10

    asyncio.run(main())


def test_a_peer_that_does_not_read_stops_senders(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            blocker: asyncio.Task[Any] = asyncio.create_task(proxy.sleep(0.3))
            await asyncio.sleep(0)
            data = b"x" * (1 << 19)
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(proxy.size(data)) for _ in range(100)]
            await asyncio.sleep(0.05)
            assert proxy._pyroConnection is not None
            assert proxy._pyroConnection.unsent < 4 << 20
            assert await asyncio.gather(*tasks) == [1 << 19] * 100
            assert await blocker == 0.3

    asyncio.run(main())


def test_big_values_both_ways(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            data = bytes(range(256)) * 65536
            assert await proxy.size(data) == len(data)
            results: Any = await asyncio.gather(proxy.echo_times(data, 2), proxy.add(1), proxy.echo_times(b"ab", 40000))
            assert list(results) == [data * 2, 11, b"ab" * 40000]

    asyncio.run(main())


def test_a_reply_that_nobody_waits_for_ends_the_connection(server: SubjectServer) -> None:
    """A stranger in between answers with a number that is not in flight."""

    def lie(listener: socket.socket) -> None:
        host, _, port = server.location.rpartition(":")
        client, _ = listener.accept()
        with client, socket.create_connection((host, int(port))) as daemon:
            daemon.sendall(client.recv(65536))
            client.sendall(daemon.recv(65536))
            request = client.recv(65536)
            daemon.sendall(request)
            reply = bytearray(daemon.recv(65536))
            reply[12:14] = b"\xff\xee"
            client.sendall(reply)
            client.recv(1)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            liar = threading.Thread(target=lie, args=(listener,))
            liar.start()
            proxy = aio.Proxy(f"PYRO:calculator@127.0.0.1:{listener.getsockname()[1]}")
            with pytest.raises(errors.CommunicationError):
                await proxy.add(1, 2)
            await asyncio.to_thread(liar.join)
            proxy._pyroRelease()

    asyncio.run(main())
