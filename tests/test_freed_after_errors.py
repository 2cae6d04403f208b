"""What an error leaves behind: nothing. Proxies, frames and arguments go at once, without the garbage collector.

An exception that is raised holds its traceback, and that the frames that it came through. A frame of ours that keeps the
exception in a variable would close the circle, and whatever its callers hold would live until the collector comes by.
"""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import errors

SOON = 5.0
"""Seconds in which a thread that completes a call lets go of it."""


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Witness:
    """Stands in a frame, and is gone when the frame is."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def expect_freed(uri: str, serializer: str, scenario: Callable[[Any], object], expected: type[BaseException]) -> None:
    """Let a scenario fail with a new proxy, and see that the proxy and the frames are freed."""
    alive: list[weakref.ref[Any]] = []

    def fails() -> None:
        witness, proxy = Witness(), fastpyro.Proxy(uri)
        alive.extend([weakref.ref(witness), weakref.ref(proxy)])
        proxy._pyroSerializer = serializer
        scenario(proxy)

    try:
        fails()
    except expected:
        pass
    else:
        pytest.fail("nothing was raised")
    deadline = time.monotonic() + SOON
    while any(reference() is not None for reference in alive) and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    left = [type(reference()).__name__ for reference in alive if reference() is not None]
    assert not left, f"{' and '.join(left)} of the failed call lives on"


def batch_of(proxy: Any) -> Any:
    batch = fastpyro.batch(proxy)
    batch.add(1, 2)
    batch.divide(1, 0)
    return batch


def consume_stream(proxy: Any) -> None:
    for _ in proxy.failing_numbers():
        pass


def kept_future(proxy: Any) -> None:
    future = fastpyro.Future(proxy.divide)
    _ = future(1, 0).value


SCENARIOS: dict[str, tuple[Callable[[Any], object], type[BaseException]]] = {
    "call": (lambda proxy: proxy.divide(1, 0), ZeroDivisionError),
    "attribute": (lambda proxy: proxy.no_such_name, AttributeError),
    "argument": (lambda proxy: proxy.add(object, 1), errors.SerializeError),
    "batch": (lambda proxy: list(batch_of(proxy)()), ZeroDivisionError),
    "asynchronous batch": (lambda proxy: list(batch_of(proxy)(asynchronous=True).value), ZeroDivisionError),
    "asynchronous call": (lambda proxy: fastpyro.asyncproxy(proxy).divide(1, 0).value, ZeroDivisionError),
    "asynchronous argument": (
        lambda proxy: (proxy._pyroBind(), fastpyro.asyncproxy(proxy).add(object, 1).value),
        errors.SerializeError,
    ),
    "future": (kept_future, ZeroDivisionError),
    "stream": (consume_stream, ValueError),
}
AWAY: dict[str, tuple[Callable[[Any], object], type[BaseException]]] = {
    "call": (lambda proxy: proxy.add(1, 2), errors.CommunicationError),
    "bind": (lambda proxy: proxy._pyroBind(), errors.CommunicationError),
    "reconnect": (lambda proxy: proxy._pyroReconnect(2, 0), errors.ConnectionClosedError),
    "asynchronous call": (lambda proxy: fastpyro.asyncproxy(proxy).add(1, 2).value, errors.CommunicationError),
}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("serializer", ["native", "serpent"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_fails(server: SubjectServer, name: str, serializer: str) -> None:
    scenario, expected = SCENARIOS[name]
    expect_freed(str(server.uri()), serializer, scenario, expected)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("name", AWAY)
def test_a_daemon_that_is_away(name: str) -> None:
    scenario, expected = AWAY[name]
    expect_freed(f"PYRO:x@127.0.0.1:{free_port()}", "native", scenario, expected)


@pytest.mark.usefixtures("no_collector")
def test_a_name_server_that_is_away() -> None:
    expect_freed(f"PYRONAME:x@127.0.0.1:{free_port()}", "native", lambda proxy: proxy.add(1, 2), errors.NamingError)
    unbound = f"PYRO:x@127.0.0.1:{free_port()}"
    port = free_port()
    expect_freed(unbound, "native", lambda proxy: fastpyro.locateNS("127.0.0.1", port), errors.NamingError)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", ["thread", "multiplex"])
@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_the_frames_of_a_method_that_fails(kind: str, serializer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", kind)
    alive: list[weakref.ref[Any]] = []

    class Subject:
        @fastpyro.expose
        def fail(self) -> None:
            witness = Witness()
            alive.append(weakref.ref(witness))
            raise ValueError("x")

        @fastpyro.expose
        async def fail_later(self) -> None:
            self.fail()

        @fastpyro.expose
        def items(self) -> Iterator[int]:
            yield 1
            self.fail()

    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            with fastpyro.Proxy(uri) as proxy:
                proxy._pyroSerializer = serializer
                batch = fastpyro.batch(proxy)
                batch.fail()
                batch.fail_later()
                for call in (proxy.fail, proxy.fail_later, lambda: list(proxy.items()), lambda: list(batch())):
                    with pytest.raises(ValueError, match=r"^x"):
                        call()
        finally:
            daemon.shutdown()
            thread.join()
    assert len(alive) == 4
    assert [reference() for reference in alive] == [None] * 4
