"""Proxies, when something happens between two bytecodes: an interrupt, or a destructor that calls through the same proxy.

Whatever is interrupted, the proxy can be used afterwards, by any thread; and no thread waits for itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from every_bytecode import Destructor, each_number, happening, in_time, interrupted
from socket_pairs import DEADLINE, make_certificate

import fastpyro
from fastpyro.errors import ConnectionClosedError, LocalProtocolError

# A socket that was made just before the interrupt is closed by its own destructor, which warns.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@fastpyro.expose
class Subject:
    """Answers."""

    def double(self, value: int) -> int:
        return 2 * value

    @fastpyro.oneway
    def note(self, value: int) -> None:
        pass

    def count(self) -> Iterator[int]:
        yield from range(3)


class Served:
    """A daemon, and the URI of what it serves; ``step``: how many bytecodes a test passes over."""

    def __init__(self, uri: str, step: int) -> None:
        self.uri = uri
        self.step = step


@pytest.fixture(scope="module", params=["native", "portable", "tls"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = fastpyro.config
    try:
        config.PORTABLE = request.param == "portable"
        if request.param == "tls":
            certificate = str(make_certificate(tmp_path_factory.mktemp("certificate")))
            config.SSL, config.SSL_SERVERCERT, config.SSL_CACERTS = True, certificate, certificate
        with fastpyro.Daemon(host="127.0.0.1") as daemon:
            uri = daemon.register(Subject(), "subject")
            thread = threading.Thread(target=daemon.requestLoop, daemon=True)
            thread.start()
            yield Served(str(uri), {"native": 3, "portable": 7, "tls": 37}[request.param])
            daemon.shutdown()
            thread.join(DEADLINE)
    finally:
        config.reset(False)


def connected(served: Served) -> Any:
    proxy = fastpyro.Proxy(served.uri)
    proxy._pyroTimeout = DEADLINE
    proxy._pyroBind()
    return proxy


def fresh(served: Served) -> Any:
    proxy = fastpyro.Proxy(served.uri)
    proxy._pyroTimeout = DEADLINE
    return proxy


def reconnect(proxy: Any) -> None:
    proxy._pyroReconnect(3, 0)


def release_and_call(proxy: Any) -> None:
    proxy._pyroRelease()
    proxy.double(1)


def batch(proxy: Any) -> None:
    calls = proxy._pyroBatch()
    calls.double(1)
    assert list(calls()) == [2]


def call_asynchronously(proxy: Any) -> None:
    result = proxy._pyroAsync().double(4)
    assert result.wait(DEADLINE)
    assert result.then(lambda value: value + 1).value == 9


def stream(proxy: Any) -> None:
    with proxy.count() as items:
        assert next(items) == 0


USES: dict[str, tuple[Callable[[Served], Any], Callable[[Any], object]]] = {
    "first call": (fresh, lambda proxy: proxy.double(3)),
    "call": (connected, lambda proxy: proxy.double(3)),
    "oneway": (connected, lambda proxy: proxy.note(3)),
    "bind": (fresh, lambda proxy: proxy._pyroBind()),
    "release": (connected, release_and_call),
    "reconnect": (connected, reconnect),
    "batch": (connected, batch),
    "asynchronous": (connected, call_asynchronously),
    "stream": (connected, stream),
    "metadata": (connected, lambda proxy: proxy._pyroGetMetadata()),
}


@pytest.mark.parametrize("use", USES)
def test_an_interrupt_anywhere(served: Served, use: str) -> None:
    make, action = USES[use]

    def path(number: int) -> happening:
        proxy = make(served)
        interruption = interrupted(number, lambda: action(proxy))
        assert in_time(lambda: proxy.double(21)) == 42
        assert in_time(lambda: proxy._pyroAsync().double(21).value) == 42
        assert in_time(proxy._pyroRelease) is None
        assert proxy._pyroConnection is None
        return interruption

    each_number(path, served.step)


@pytest.mark.parametrize("use", ["first call", "call", "bind", "release", "reconnect", "asynchronous"])
@pytest.mark.parametrize("inner", ["call", "oneway", "release", "stream"])
def test_a_destructor_anywhere(served: Served, use: str, inner: str) -> None:
    make, action = USES[use]

    def path(number: int) -> happening:
        proxy = make(served)
        outcome: list[Any] = []
        kept = [proxy.count()] if inner == "stream" else []

        def destroy() -> Any:
            if inner == "call":
                return proxy.double(5)
            return proxy.note(5) if inner == "oneway" else kept.clear() if kept else proxy._pyroRelease()

        def work() -> happening:
            with happening(number, lambda: Destructor(destroy, outcome)) as collection:
                try:
                    action(proxy)
                except ConnectionClosedError:
                    assert inner == "release"  # the destructor has closed what was in use
                except TypeError as error:
                    raise AssertionError(error) from error
            return collection

        collection = in_time(work)
        assert isinstance(collection, happening), collection
        for one in outcome:
            assert one in (10, None) or isinstance(one, LocalProtocolError | ConnectionClosedError), one
        assert in_time(lambda: proxy.double(21)) == 42
        in_time(proxy._pyroRelease)
        return collection

    each_number(path, served.step * 3)
