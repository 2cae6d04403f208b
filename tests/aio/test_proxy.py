"""Proxies of asyncio programs, against a daemon in another process."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
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


def run(function: Any, *args: Any, debug: bool = False) -> Any:
    return asyncio.run(function(*args), debug=debug)


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_calls_give_what_asyncio_takes(server: SubjectServer, debug: bool) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            assert await proxy.add(1, 2) == 3
            assert await proxy.echo(1, key=[2]) == ((1,), {"key": [2]})
            assert await asyncio.create_task(proxy.add(5, right=6)) == 11
            assert await asyncio.gather(*(proxy.add(number) for number in range(50))) == list(range(10, 60))
            async with asyncio.TaskGroup() as group:
                tasks: list[asyncio.Task[Any]] = [group.create_task(proxy.add(number, 1)) for number in range(3)]
            assert [task.result() for task in tasks] == [1, 2, 3]
            assert await asyncio.shield(proxy.add(3, 3)) == 6
            assert await asyncio.wait_for(proxy.add(2, 2), 10) == 4
            calls: list[Any] = [proxy.add(1, 1)]
            assert [await done for done in asyncio.as_completed(calls)] == [2]
            future: asyncio.Future[Any] = asyncio.ensure_future(proxy.add(4, 4))
            waited: Any = await asyncio.wait({future})
            assert waited == ({future}, set())
            assert future.result() == 8
            async with asyncio.timeout(10):
                assert await proxy.add(1) == 11
            with pytest.raises(ZeroDivisionError):
                await proxy.divide(1, 0)
            with pytest.raises(ZeroDivisionError):
                await asyncio.create_task(proxy.divide(1, 0))

    run(main, debug=debug)


def test_a_call_runs_by_itself(server: SubjectServer) -> None:
    proxy = aio.Proxy(server.uri())
    with asyncio.Runner() as runner:
        assert runner.run(proxy.add(1, 2)) == 3  # a call is a coroutine


def test_attributes(server: SubjectServer) -> None:
    async def main() -> None:
        proxy = aio.Proxy(server.uri())
        assert await proxy.level == 1  # nothing is connected before that
        await proxy.level.set(7)
        assert await proxy.level == 7
        assert await asyncio.create_task(proxy.level.get()) == 7
        with pytest.raises(AttributeError, match=r"await proxy.level.set\(value\)"):
            proxy.level = 2
        with pytest.raises(AttributeError, match=r"await proxy.level.delete\(\)"):
            del proxy.level
        with pytest.raises(TypeError, match="is a method"):
            await proxy.add
        with pytest.raises(AttributeError, match="no exposed attribute"):
            await proxy.nothing()
        await proxy.level.set(1)
        with pytest.raises(TypeError, match="async with"), proxy:
            pass
        proxy._pyroRelease()

    run(main)


def test_an_unknown_name_before_the_first_connection(server: SubjectServer) -> None:
    async def main() -> None:
        proxy = aio.Proxy(server.uri())
        with pytest.raises(AttributeError):
            await proxy.nothing()

    run(main)


def test_oneway_calls_arrive_in_order_and_before_the_end(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            before = len(await proxy.all_notes())
            for number in range(100):
                assert await proxy.note(number) is None
        async with aio.Proxy(server.uri()) as proxy:
            async with asyncio.timeout(10):
                while len(notes := await proxy.all_notes()) < before + 100:
                    await asyncio.sleep(0)
            assert notes[before:] == list(range(100))

    run(main)


def test_timeouts_and_cancels_leave_the_connection_usable(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            connection = proxy._pyroConnection
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await proxy.sleep(0.5)
            task: asyncio.Task[Any] = asyncio.create_task(proxy.sleep(0.4))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await proxy.add(1, 2) == 3
            proxy._pyroTimeout = 0.05
            with pytest.raises(errors.TimeoutError, match=r"sleep of PYRO:.*limit is _pyroTimeout"):
                await proxy.sleep(0.5)
            proxy._pyroTimeout = None
            assert await proxy.sleep(0.6) == 0.6  # the late replies have come meanwhile
            assert proxy._pyroConnection is connection

    run(main)


def test_a_listener_that_never_answers_leaves_the_loop_free() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            proxy = aio.Proxy(f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}")
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.005)

            ticking = asyncio.create_task(tick())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await proxy.method()
            assert ticks > 5
            ticking.cancel()
            listener.settimeout(10)
            peer, _ = listener.accept()  # what was given up is closed
            with peer:
                peer.settimeout(10)
                while peer.recv(65536):
                    pass

    run(main)


def test_a_proxy_goes_from_one_loop_to_the_next(server: SubjectServer) -> None:
    proxy = aio.Proxy(server.uri())

    async def call() -> int:
        return await proxy.add(1, 2)  # type: ignore[no-any-return]

    assert asyncio.run(call()) == 3
    assert proxy._pyroConnection is None  # the end of the loop has closed it
    assert asyncio.run(call()) == 3
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(call()) == 3
    loop.close()  # without a word to anybody
    assert asyncio.run(call()) == 3


def test_another_loop_is_told_so(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:

            async def elsewhere() -> None:
                with pytest.raises(errors.LocalProtocolError, match="another event loop"):
                    await proxy.add(1, 2)

            await asyncio.to_thread(asyncio.run, elsewhere())
            assert await proxy.add(1, 2) == 3

    run(main)


def test_nothing_is_left_when_a_loop_ends(server: SubjectServer) -> None:
    async def main() -> None:
        proxies = [aio.Proxy(server.uri()) for _ in range(5)]
        await asyncio.gather(*(proxy.add(1, 2) for proxy in proxies))
        asyncio.create_task(proxies[0].sleep(10)).add_done_callback(lambda task: None)
        await asyncio.sleep(0)

    run(main)
    before = set(os.listdir("/proc/self/fd"))
    for debug in (False, True):
        run(main, debug=debug)
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before
    deadline = time.monotonic() + 10
    while any(thread.name.startswith("fastpyro-aio") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_a_forgotten_proxy_is_closed(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as other:
            await other.add(1)
            before = set(os.listdir("/proc/self/fd"))
            proxy: Any = aio.Proxy(server.uri())
            await proxy.add(1)
            assert set(os.listdir("/proc/self/fd")) != before
            await proxy.add(1)
            del proxy
            await asyncio.sleep(0)  # the loop forgets the callback that this task was woken by
            gc.collect()
            assert set(os.listdir("/proc/self/fd")) == before

    run(main)


def test_a_forked_child_connects_anew(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            assert await proxy.add(1, 2) == 3
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    asyncio._set_running_loop(None)
                    status = 0 if asyncio.new_event_loop().run_until_complete(proxy.add(2, 2)) == 4 else 2
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert await proxy.add(1, 2) == 3

    run(main)


def test_a_lost_connection_fails_the_calls_and_the_next_one_connects() -> None:
    async def main() -> None:
        with SubjectServer() as server:
            proxy = aio.Proxy(server.uri())
            task: asyncio.Task[Any] = asyncio.create_task(proxy.sleep(20))
            assert await proxy.add(1) == 11
            server.kill()
            with pytest.raises(errors.ConnectionClosedError):
                await task
            with pytest.raises(errors.CommunicationError):
                await proxy.add(1)
            _, _, port = server.location.rpartition(":")
            with SubjectServer("--port", port):
                assert await proxy.add(1) == 11
            proxy._pyroRelease()

    run(main)


def test_a_proxy_travels_and_is_copied(server: SubjectServer) -> None:
    async def main() -> None:
        async with aio.Proxy(server.uri()) as proxy:
            (arrived,), _ = await proxy.echo(proxy)
            assert type(arrived) is fastpyro.Proxy
            for other in (copy.copy(proxy), pickle.loads(pickle.dumps(proxy)), aio.Proxy(arrived)):
                assert other == proxy
                assert hash(other) == hash(proxy)
                assert await other.add(1, 2) == 3
                other._pyroRelease()
            assert "add" in dir(proxy)
            assert "fastpyro.aio.Proxy" in repr(proxy)

    run(main)


@pytest.mark.parametrize("serializer", ["serpent", "json", "msgpack"])
def test_formats_of_the_peers_take_turns(server: SubjectServer, serializer: str) -> None:
    async def main() -> None:
        proxy = aio.Proxy(server.uri())
        proxy._pyroSerializer = serializer
        assert await asyncio.gather(*(proxy.add(number, 1) for number in range(40))) == list(range(1, 41))
        task: asyncio.Task[Any] = asyncio.create_task(proxy.sleep(0.2))
        await asyncio.sleep(0)
        task.cancel()
        assert await proxy.add(1, 2) == 3  # after the reply that nobody wants
        with pytest.raises(ZeroDivisionError):
            await proxy.divide(1, 0)
        assert [number async for number in proxy.numbers(3)] == [0, 1, 2]
        proxy._pyroSerializer = None
        assert await proxy.add(1, 2) == 3
        proxy._pyroRelease()

    run(main)


def test_reconnecting(server: SubjectServer) -> None:
    async def main() -> None:
        proxy = aio.Proxy(server.uri())
        await proxy._pyroReconnect(tries=1)
        assert await proxy.add(1, 2) == 3
        assert await proxy._pyroBind() is False
        gone = aio.Proxy("PYRO:x@127.0.0.1:1")
        with pytest.raises(errors.ConnectionClosedError, match="in 2 tries"):
            await gone._pyroReconnect(tries=2, pause=0.01)

    run(main)


def test_a_unix_socket(tmp_path: Any) -> None:
    async def main(uri: str) -> None:
        async with aio.Proxy(uri) as proxy:
            assert await asyncio.gather(*(proxy.add(number) for number in range(5))) == list(range(10, 15))

    with SubjectServer("--unixsocket", str(tmp_path / "socket")) as server:
        run(main, server.uri())


def test_calls_are_made_again_as_often_as_asked_for() -> None:
    async def main() -> None:
        with SubjectServer() as server:
            proxy = aio.Proxy(server.uri())
            proxy._pyroMaxRetries = 20
            assert await proxy.add(1) == 11
            server.kill()
            task: asyncio.Task[Any] = asyncio.create_task(proxy.add(2))
            await asyncio.sleep(0.1)
            _, _, port = server.location.rpartition(":")
            with await asyncio.to_thread(SubjectServer, "--port", port):
                assert await task == 12
            proxy._pyroRelease()

    run(main)
