"""Item streams as the client sees them, against a daemon in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import pytest
from server_process import SubjectServer
from socket_pairs import Peer

import fastpyro
from fastpyro import errors


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer("--set", "ITER_STREAM_LINGER=20.0") as running:
        yield running


@pytest.fixture
def proxy(server: SubjectServer) -> Iterator[Any]:
    with fastpyro.Proxy(server.uri()) as connected:
        yield connected


def test_items_come_one_by_one_and_end(proxy: Any) -> None:
    stream = proxy.numbers(3)
    assert iter(stream) is stream
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(stream)


def test_items_in_a_coroutine(server: SubjectServer) -> None:
    async def numbers(count: int) -> list[int]:
        with fastpyro.Proxy(server.uri()) as proxy:
            return [number async for number in await fastpyro.AsyncProxy(proxy).numbers(count)]

    assert asyncio.run(numbers(3)) == [0, 1, 2]
    assert asyncio.run(numbers(0)) == []


class Twice:
    """An iterator whose end is raised by a user's own code."""

    def __init__(self) -> None:
        self.left = 2

    def __iter__(self) -> Twice:
        return self

    def __next__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left


@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_an_end_is_told_without_a_traceback(serializer: str) -> None:
    class Subject:
        @fastpyro.expose
        def items(self) -> Twice:
            return Twice()

        @fastpyro.expose
        def get_next_stream_item(self) -> None:
            raise StopIteration

    told: list[BaseException] = []
    with fastpyro.Daemon(host="127.0.0.1") as daemon, Peer(daemon.requestLoop):
        daemon.methodcall_error_handler = lambda *arguments: told.append(arguments[-1])
        try:
            with fastpyro.Proxy(daemon.register(Subject())) as proxy:
                proxy._pyroSerializer = serializer
                stream = proxy.items()
                assert list(stream) == [1, 0]
                stream = proxy.items()
                fetch = partial(
                    proxy._pyroInvoke, "get_next_stream_item", (stream.streamId,), {}, objectId="Pyro.Daemon"
                )
                assert [fetch(), fetch()] == [1, 0]
                with pytest.raises(StopIteration) as ended:
                    fetch()
                assert not getattr(ended.value, "_pyroTraceback", None)
                with pytest.raises(StopIteration) as failed:
                    proxy.get_next_stream_item()
                assert getattr(failed.value, "_pyroTraceback", None)  # that is a method of the object, and no stream
        finally:
            daemon.shutdown()
    # The end of a stream that is fetched in windows is no error. That of Pyro's way is one, as is the method's own.
    assert [type(error) for error in told] == [StopIteration] * (2 if serializer == "native" else 3)


@pytest.mark.parametrize("serializer", ["native", "serpent", "json", "msgpack"])
def test_what_a_generator_returns_is_the_value_of_yield_from(serializer: str) -> None:
    class Generators:
        @fastpyro.expose
        def returning(self) -> Generator[int, None, str]:
            yield 1
            return "the end"

    def outer(proxy: Any) -> Generator[Any, None, None]:
        returned = yield from proxy.returning()
        yield returned

    with fastpyro.Daemon(host="127.0.0.1") as daemon, Peer(daemon.requestLoop):
        try:
            with fastpyro.Proxy(daemon.register(Generators())) as proxy:
                proxy._pyroSerializer = serializer
                assert list(outer(proxy)) == [1, "the end"]
        finally:
            daemon.shutdown()


def test_two_streams_and_calls_between(proxy: Any) -> None:
    first, second = proxy.numbers(2), proxy.numbers(2)
    assert next(first) == 0
    assert proxy.add(1, 1) == 2
    assert list(second) == [0, 1]
    assert list(first) == [1]


def test_error_of_the_generator(proxy: Any) -> None:
    stream = proxy.failing_numbers()
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no second number"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_close_ends_the_stream_on_the_server(proxy: Any) -> None:
    stream = proxy.numbers(5)
    identity = stream.streamId
    with stream:
        assert next(stream) == 0
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    with pytest.raises(errors.PyroError, match="item stream terminated"):
        proxy._pyroInvoke("get_next_stream_item", (identity,), {}, objectId="Pyro.Daemon")


def test_goes_on_after_a_reconnect(proxy: Any) -> None:
    stream = proxy.numbers(4)
    assert next(stream) == 0
    proxy._pyroRelease()
    with pytest.raises(errors.ConnectionClosedError, match="proxy for this stream result has been closed"):
        next(stream)
    proxy._pyroReconnect()
    assert list(stream) == [1, 2, 3]


def test_streams_can_be_switched_off() -> None:
    with (
        SubjectServer("--set", "ITER_STREAMING=False") as server,
        fastpyro.Proxy(server.uri()) as proxy,
        pytest.raises(errors.ProtocolError, match="not configured to allow streaming"),
    ):
        proxy.numbers(3)


def test_without_linger_a_stream_ends_with_its_connection() -> None:
    with SubjectServer("--set", "ITER_STREAM_LINGER=0.0") as server, fastpyro.Proxy(server.uri()) as proxy:
        stream = proxy.numbers(4)
        assert next(stream) == 0
        with fastpyro.Proxy(server.uri("controls")) as controls:
            proxy._pyroRelease()
            while controls.connections() > 1:
                pass
        proxy._pyroReconnect()
        with pytest.raises(errors.PyroError, match="item stream terminated"):
            next(stream)
