"""The slow path of a call: what travels beside the values, and replies that do not fit."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.client import session
from fastpyro.client.session import Request, invoke, invoke_batch
from fastpyro.config import config
from fastpyro.constants import FLAGS_COMPRESSED
from fastpyro.protocol import compression
from fastpyro.serializers.registry import native
from fastpyro.server import _calls, _request

FREE = threading.Event()


class Subject:
    """What is called."""

    def __init__(self) -> None:
        self.blobs: list[Any] = []

    @fastpyro.expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    @fastpyro.expose
    def take(self, blob: Any) -> Any:
        self.blobs.append(blob)
        return [type(blob).__name__, blob.info, blob.deserialized()]

    @fastpyro.expose
    def size(self, text: str) -> int:
        return len(text)

    @fastpyro.expose
    def wait(self) -> None:
        FREE.wait(60)

    @property
    @fastpyro.expose
    def late(self) -> None:
        FREE.wait(60)

    @fastpyro.expose
    def lose(self, kind: str) -> None:
        raise getattr(fastpyro.errors, kind)("another daemon's")


@pytest.fixture
def daemon() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon(host="127.0.0.1") as made:
        made.register(Subject(), "subject")
        thread = threading.Thread(target=made.requestLoop)
        thread.start()
        FREE.clear()
        yield made
        FREE.set()
        made.shutdown()
        thread.join()


@pytest.fixture(params=["native", "serpent", "msgpack", "json"])
def proxy(request: pytest.FixtureRequest, daemon: fastpyro.Daemon) -> Iterator[Any]:
    with fastpyro.Proxy(daemon.uriFor("subject")) as made:
        made._pyroSerializer = request.param
        made._pyroBind()
        assert made._pyro_session.serializer.name == request.param
        assert made._pyro_session.native is (request.param == "native")
        yield made


def test_a_call_and_a_batch(proxy: Any) -> None:
    assert invoke(proxy, Request("echo", [1, "x"], {"k": None})) == [[1, "x"], {"k": None}]
    batch = fastpyro.BatchProxy(proxy)
    batch.echo(1)
    batch.size("four")
    assert list(batch()) == [[[1], {}], 4]
    assert invoke_batch(proxy, batch._writer, False) == ([], None)


def test_blobs(proxy: Any) -> None:
    assert proxy.take(fastpyro.SerializedBlob({"about": 1}, ["data"])) == ["SerializedBlob", {"about": 1}, ["data"]]
    assert proxy.take(fastpyro.SerializedBlob("again", ["data"]))[1] == "again"


def test_compression_both_ways(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_pyroMaxRetries", 0)
    config.COMPRESSION = True
    try:
        text = "text " * 5000
        assert proxy._pyroInvoke("echo", (text,), {}) == [[text], {}]
        batch = fastpyro.BatchProxy(proxy)
        batch.size(text)
        assert list(batch()) == [25000]
    finally:
        config.COMPRESSION = False


def test_a_raw_response_is_a_message(proxy: Any) -> None:
    proxy._pyroRawWireResponse = True
    message = proxy.size("four")
    assert proxy._pyro_session.serializer.loads(message.payload) == 4


def test_the_short_way_and_the_long_way_agree(daemon: fastpyro.Daemon) -> None:
    with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        assert proxy.echo(1) == invoke(proxy, Request("echo", (1,), {}))
        assert proxy._pyro_session.serializer is native


def test_blobs_and_compression_travel_in_asynchronous_calls_too(proxy: Any) -> None:
    twin = fastpyro.asyncproxy(proxy)
    assert twin.take(fastpyro.SerializedBlob("about", ["data"])).value == ["SerializedBlob", "about", ["data"]]
    text = "text " * 5000
    with compressed(proxy) as sizes:
        assert fastpyro.asyncproxy(proxy).echo(text).value == [[text], {}]
        batch = fastpyro.BatchProxy(proxy)
        batch.echo(text)
        assert list(batch()) == [[[text], {}]]
        batch.echo(text)
        assert list(batch(asynchronous=True).value) == [[[text], {}]]
    assert len(sizes) == 6  # each request and each reply
    assert max(sizes) < len(text) / 10


@contextlib.contextmanager
def compressed(proxy: Any) -> Iterator[list[int]]:
    """Compress what is sent in the block; yields the sizes of the payloads that travelled compressed."""
    sizes: list[int] = []
    inflate = compression.payload_of

    def payload_of(message: Any, limit: int | None = None) -> bytes:
        if message.flags & FLAGS_COMPRESSED:
            sizes.append(len(message.payload))
        return inflate(message, limit)

    config.COMPRESSION = True
    try:
        with pytest.MonkeyPatch.context() as patch:
            proxy._pyroRelease()
            proxy.__init__(proxy._pyroUri)  # as a proxy that is made now
            patch.setattr(session, "payload_of", payload_of)
            patch.setattr(_request, "payload_of", payload_of)
            yield sizes
    finally:
        config.COMPRESSION = False


def test_no_habit_keeps_a_thread_from_the_fast_path(daemon: fastpyro.Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    if config.PORTABLE:
        pytest.skip("the portable channel always takes the slow path")
    with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        proxy._pyroBind()
        batch = fastpyro.BatchProxy(proxy)
        assert fastpyro.Future(lambda: proxy.size("1"))().value == 1
        batch.size("22")
        assert list(batch(asynchronous=True).value) == [2]
        context = fastpyro.current_context
        assert not context.annotations
        assert not context.response_annotations
        context.annotations = {"ABCD": b"x"}
        proxy.size("333")
        context.annotations = {}

        def long_way(*arguments: Any) -> None:
            raise AssertionError(f"the slow path was taken: {arguments}")

        monkeypatch.setattr(session, "invoke", long_way)
        assert proxy.size("4444") == 4
        assert fastpyro.Future(lambda: proxy.size("55555"))().value == 5


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_a_batch_has_as_many_results_as_calls(proxy: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Those of another number come from no daemon that is right: who takes the second is not to get the first."""
    results = proxy._pyro_session.serializer.dumps([1] * count)

    class Odd:
        def payload(self) -> bytes:
            payload: bytes = results
            return payload

    monkeypatch.setattr(_calls, "run_batch", lambda *_: Odd())
    batch = proxy._pyroBatch()
    batch.echo(1)
    batch.echo(2)
    with pytest.raises(fastpyro.errors.ProtocolError, match=r"results came for a batch of 2 calls"):
        batch()
    assert proxy._pyroConnection is None


@pytest.mark.parametrize("kind", ["TimeoutError", "SerializeError", "SecurityError", "NamingError"])
def test_errors_behind_which_daemons_of_pyro_close_the_connection(proxy: Any, kind: str) -> None:
    with pytest.raises(getattr(fastpyro.errors, kind)):
        proxy.lose(kind)
    assert (proxy._pyroConnection is None) is (proxy._pyroSerializer != "native" and kind != "NamingError")
    assert proxy.size("three") == 5


def test_a_timeout_says_what_was_waited_for(proxy: Any, daemon: fastpyro.Daemon) -> None:
    def in_batch() -> None:
        batch = fastpyro.BatchProxy(proxy)
        batch.wait()
        batch()

    proxy._pyroTimeout = 0.05
    asynchronous = fastpyro.AsyncProxy(proxy)
    for what, call in (
        ("wait", proxy.wait),
        ("attribute late", lambda: proxy.late),
        ("a batch of 1 calls", in_batch),
        ("wait", lambda: asynchronous.wait().value),
    ):
        with pytest.raises(fastpyro.errors.TimeoutError) as caught:
            call()
        expected = f"receiving: timeout after 0.05 s: {what} of {daemon.uriFor('subject')} (the limit is _pyroTimeout)"
        assert str(caught.value) == expected


def test_an_attribute_that_cannot_travel_is_told_by_its_name(proxy: Any) -> None:
    with pytest.raises(fastpyro.errors.SerializeError, match=r"^proxy\.late: cannot serialize"):
        proxy.late = object()
    with pytest.raises(fastpyro.errors.SerializeError, match=r'^proxy\.late\["k"\]\[1\]: cannot serialize'):
        proxy.late = {"k": [1, object()]}
