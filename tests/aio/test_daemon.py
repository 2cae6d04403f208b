"""Daemons of asyncio programs: whose thread runs what, and how they end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.aio import Daemon
from fastpyro.config import config
from fastpyro.errors import PyroError

SECONDS = 20.0
whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")


class Subject:
    def __init__(self) -> None:
        self.release = threading.Event()
        self.begun = threading.Event()

    @fastpyro.expose
    async def where(self) -> tuple[str, str, bool]:
        before = fastpyro.current_context.client is not None
        await asyncio.sleep(0)
        return threading.current_thread().name, whose.get(), before and fastpyro.current_context.client is not None

    @fastpyro.expose
    def blocks(self) -> str:
        self.begun.set()
        assert self.release.wait(SECONDS)
        return threading.current_thread().name

    @fastpyro.expose
    def lets_go(self) -> None:
        self.release.set()

    @fastpyro.expose
    async def numbers(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    @fastpyro.expose
    async def fails(self) -> None:
        raise ZeroDivisionError("on purpose")

    @fastpyro.expose
    async def waits(self) -> str:
        self.begun.set()
        while not self.release.is_set():
            await asyncio.sleep(0.001)
        return "done"

    @fastpyro.expose
    async def never(self) -> None:
        self.begun.set()
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("fastpyro-") and thread.name not in ("fastpyro-cork", "fastpyro-call"):
            thread.join(SECONDS)
            assert not thread.is_alive(), thread


def called(uri: Any, name: str, *args: Any) -> Any:
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroTimeout = SECONDS
        result = getattr(proxy, name)(*args)
        return list(result) if name == "numbers" else result


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_coroutines_run_in_the_loop_and_all_else_in_threads(server_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", server_type)

    async def main() -> None:
        whose.set("the program's")
        async with Daemon(host="127.0.0.1") as daemon:
            uri = daemon.register(subject := Subject())
            assert await asyncio.to_thread(called, uri, "where") == (
                threading.current_thread().name,
                "the program's",
                True,
            )
            blocked = asyncio.ensure_future(asyncio.to_thread(called, uri, "blocks"))
            while not subject.begun.is_set():
                await asyncio.sleep(0.001)  # the loop goes on
            assert await asyncio.to_thread(called, uri, "where") == (
                threading.current_thread().name,
                "the program's",
                True,
            )
            await asyncio.to_thread(called, uri, "lets_go")
            assert await blocked != threading.current_thread().name
            assert await asyncio.to_thread(called, uri, "numbers", 5) == [0, 1, 2, 3, 4]
            with pytest.raises(ZeroDivisionError):
                await asyncio.to_thread(called, uri, "fails")

    asyncio.run(main(), debug=True)


def test_serve_forever_ends_with_shutdown() -> None:
    async def main() -> None:
        async with Daemon(host="127.0.0.1") as daemon:
            uri = daemon.register(Subject())
            serving = asyncio.ensure_future(daemon.serve_forever())
            assert (await asyncio.to_thread(called, uri, "where"))[1] == "nobody's"
            assert not serving.done()
            daemon.shutdown()
            await asyncio.wait_for(serving, SECONDS)

    asyncio.run(main())


def test_who_cancels_serve_forever_finds_the_daemon_closed() -> None:
    async def main() -> None:
        daemon = Daemon(host="127.0.0.1")
        daemon.register(Subject())
        serving = asyncio.ensure_future(daemon.serve_forever())
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, SECONDS)
        with pytest.raises(PyroError, match="closed"):
            daemon.start()
        await daemon.aclose()

    asyncio.run(main())


def test_what_is_under_way_is_answered_before_the_end() -> None:
    async def main() -> None:
        subject = Subject()
        async with Daemon(host="127.0.0.1") as daemon:
            under_way = asyncio.ensure_future(asyncio.to_thread(called, daemon.register(subject), "waits"))
            while not subject.begun.is_set():
                await asyncio.sleep(0.001)
            asyncio.get_running_loop().call_later(0.05, subject.release.set)
        assert await under_way == "done"

    asyncio.run(main())


def test_what_never_ends_is_cancelled() -> None:
    async def main() -> None:
        subject = Subject()
        async with Daemon(host="127.0.0.1") as daemon:
            under_way = asyncio.ensure_future(asyncio.to_thread(called, daemon.register(subject), "never"))
            while not subject.begun.is_set():
                await asyncio.sleep(0.001)
        with pytest.raises(PyroError):
            await under_way
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_cancelled_end_goes_on_until_all_is_released() -> None:
    async def main() -> None:
        daemon = Daemon(host="127.0.0.1")
        daemon.start()
        closing = asyncio.ensure_future(daemon.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(closing, SECONDS)
        with pytest.raises(PyroError, match="closed"):
            daemon.start()

    asyncio.run(main())


def test_each_loop_has_its_own_daemon() -> None:
    homeless = Daemon(host="127.0.0.1")
    with pytest.raises(RuntimeError):
        homeless.start()
    homeless.close()

    async def begin() -> Daemon:
        daemon = Daemon(host="127.0.0.1")
        daemon.start()
        daemon.start()
        return daemon

    async def go_on(daemon: Daemon) -> None:
        with pytest.raises(PyroError, match="another event loop"):
            daemon.start()
        with pytest.raises(TypeError, match="async with"), daemon:
            pass

    daemon = asyncio.run(begin())
    asyncio.run(go_on(daemon))
    daemon.close()


PROGRAM = """
import asyncio, sys, warnings
warnings.simplefilter("error")
import fastpyro
from fastpyro.aio import Daemon

class Subject:
    @fastpyro.expose
    async def double(self, number):
        await asyncio.sleep(0)
        return 2 * number

async def main():
    async with Daemon(host="127.0.0.1") as daemon:
        print(daemon.register(Subject()), flush=True)
        await daemon.serve_forever()

try:
    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_program_that_serves_until_it_is_interrupted(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is an extra, which has no wheel for each Python")
    with ServerProcess("-c", PROGRAM, loop) as program:
        uri = program.wait_for(r"PYRO:\S+").group()
        clients = [threading.Thread(target=called, args=(uri, "double", 1)) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(SECONDS)
        assert called(uri, "double", 21) == 42
        program.interrupt()
        program.wait_for("interrupted")
        assert program.wait_for_end() == 0
        assert "Traceback" not in program.output
