"""Arguments that take more than the bytes that they came in are counted as long as somebody has them: calls, streams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import until
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro.errors import PyroError, ServerOverloadedError

LISTS: list[Any] = [[]] * 12_000
"""12 KB that take 864 KB."""
MOST = 3
"""So many fit into twice DECODE_MEMORY."""


class Keeper:
    """Keeps its arguments until it is told."""

    def __init__(self) -> None:
        self.go = threading.Event()

    @fastpyro.expose
    async def wait(self, value: Any) -> int:
        while not self.go.is_set():
            await asyncio.sleep(0.005)
        return len(value)

    @fastpyro.expose
    def block(self, value: Any) -> int:
        self.go.wait(DEADLINE)
        return len(value)

    @fastpyro.expose
    def items(self, value: Any) -> Iterator[Any]:
        yield from value

    @fastpyro.expose
    async def items_later(self, value: Any) -> Iterator[Any]:
        await asyncio.sleep(0)
        return self.items(value)

    @fastpyro.expose
    def size(self, value: Any) -> int:
        return len(value)


@pytest.fixture(params=["thread", "multiplex"])
def daemon(request: pytest.FixtureRequest) -> Iterator[fastpyro.Daemon]:
    fastpyro.config.DECODE_MEMORY = 1 << 20
    fastpyro.config.SERVERTYPE = request.param
    with fastpyro.Daemon(host="127.0.0.1") as made:
        keeper = Keeper()
        made.register(keeper, "keeper")
        made.keeper = keeper  # type: ignore[attr-defined]
        with Peer(made.requestLoop):
            yield made
            keeper.go.set()
            made.shutdown()
    fastpyro.config.reset()


def connect(daemon: fastpyro.Daemon, serializer: str = "native") -> fastpyro.Proxy:
    proxy = fastpyro.Proxy(f"PYRO:keeper@{daemon.locationStr}")
    proxy._pyroSerializer = serializer
    proxy._pyroTimeout = DEADLINE
    return proxy


@pytest.mark.parametrize("serializer", ["native", "msgpack"])
def test_coroutines_that_keep_too_much_are_refused(daemon: fastpyro.Daemon, serializer: str) -> None:
    with connect(daemon, serializer) as proxy:
        calls = [proxy._pyroAsync().wait(LISTS) for _ in range(20)]
        until(lambda: sum(call.ready for call in calls) >= 20 - 2 * MOST)
        assert 0 < daemon.held_memory.held <= 2 << 20
        assert proxy.size([1] * 12_000) == 12_000, "what is ordinary is not counted"
        daemon.keeper.go.set()  # type: ignore[attr-defined]
        answers: list[Any] = []
        for call in calls:
            try:
                answers.append(call.value)
            except PyroError as error:
                assert "2 times DECODE_MEMORY" in str(error)  # noqa: PT017 some succeed
        assert answers
        assert set(answers) == {12_000}
        until(lambda: daemon.held_memory.held == 0)
        assert proxy.size(LISTS) == 12_000


@pytest.mark.parametrize("method", ["items", "items_later"])
def test_streams_that_keep_too_much_are_refused(daemon: fastpyro.Daemon, method: str) -> None:
    with connect(daemon) as proxy:
        streams: list[Any] = []

        def open_many() -> None:
            for _ in range(20):
                streams.append(getattr(proxy, method)(LISTS))  # noqa: PERF401 it ends by an error

        with pytest.raises(ServerOverloadedError, match="2 times DECODE_MEMORY"):
            open_many()
        assert 1 <= len(streams) <= MOST
        assert next(streams[0]) == []
        for stream in streams:
            stream.close()
        until(lambda: daemon.held_memory.held == 0)
        assert list(proxy.items(LISTS)) == LISTS
        until(lambda: daemon.held_memory.held == 0)


def test_arguments_of_a_quick_method_that_are_small_are_counted_in_its_streams(daemon: fastpyro.Daemon) -> None:
    with connect(daemon) as proxy:
        few: list[Any] = [[]] * 1000
        streams = [proxy.items(few) for _ in range(10)]
        assert daemon.held_memory.held > 10 * 40_000
        for stream in streams:
            stream.close()
        until(lambda: daemon.held_memory.held == 0)
