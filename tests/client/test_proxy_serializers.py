"""The serializer that is set now is the one of the next call, on the connection that there is where it can be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.config import config
from fastpyro.constants import OLD_PROTOCOL_VERSION
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import IDS, NAMES

PEERS = ("serpent", "json", "msgpack")


@fastpyro.expose
@fastpyro.behavior(instance_mode="session")
class Session:
    """Says in what it was asked, and how often."""

    def __init__(self) -> None:
        self.calls = 0

    def used(self) -> list[Any]:
        self.calls += 1
        return [NAMES[fastpyro.current_context.serializer_id], self.calls]

    def fail(self) -> None:
        raise ValueError(NAMES[fastpyro.current_context.serializer_id])

    def count(self) -> Iterator[int]:
        yield 1
        yield 2

    def set_and_answer(self, choose: Any) -> list[Any]:
        choose.choose()
        return [(1, 2)]


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def uri(request: pytest.FixtureRequest) -> Iterator[fastpyro.URI]:
    before, config.SERVERTYPE = config.SERVERTYPE, request.param
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        config.SERVERTYPE = before
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        yield daemon.register(Session)
        daemon.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    before = config.SERIALIZER
    yield
    config.SERIALIZER = before


def on_the_proxy(proxy: Any, name: str) -> None:
    proxy._pyroSerializer = name


def in_the_configuration(proxy: Any, name: str) -> None:
    config.SERIALIZER = name


@pytest.mark.parametrize("choose", [on_the_proxy, in_the_configuration])
def test_the_next_call_uses_it_and_the_session_goes_on(uri: fastpyro.URI, choose: Callable[[Any, str], None]) -> None:
    with fastpyro.Proxy(uri) as proxy:
        assert proxy.used() == ["native", 1]
        for index, name in enumerate([*PEERS, "native", "json", "native"], 2):
            choose(proxy, name)
            assert proxy.used() == [name, index]
            with pytest.raises(ValueError, match=f"^{name}"):
                proxy.fail()
            assert list(proxy.count()) == [1, 2]
            batch = fastpyro.batch(proxy)
            batch.fail()
            with pytest.raises(ValueError, match=f"^{name}"):
                list(batch())
            result = fastpyro.asyncproxy(proxy).fail()
            with pytest.raises(ValueError, match=f"^{name}"):
                _ = result.value


def test_a_proxy_with_a_serializer_of_its_own_keeps_it(uri: fastpyro.URI) -> None:
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroSerializer = "msgpack"
        assert proxy.used() == ["msgpack", 1]
        config.SERIALIZER = "json"
        assert proxy.used() == ["msgpack", 2]
        proxy._pyroSerializer = None
        assert proxy.used() == ["json", 3]
        config.reset()
        assert proxy.used()[0] == "native"


def test_a_connection_that_began_otherwise_is_made_anew_for_the_native_one(uri: fastpyro.URI) -> None:
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroSerializer = "serpent"
        assert proxy.used() == ["serpent", 1]
        connection = proxy._pyroConnection
        proxy._pyroSerializer = "native"
        assert connection is not None
        assert connection.closed
        assert proxy.used() == ["native", 1]


@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_a_connection_of_the_old_protocol(uri: fastpyro.URI, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(config, "PROTOCOL", OLD_PROTOCOL_VERSION)
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroSerializer = "serpent"
        assert proxy.used() == ["serpent", 1]
        proxy._pyroSerializer = name
        assert proxy.used()[0] == ("serpent" if name == "native" else name)


def test_an_unknown_one_fails_the_next_call(uri: fastpyro.URI) -> None:
    with fastpyro.Proxy(uri) as proxy:
        proxy.used()
        proxy._pyroSerializer = "xml"
        with pytest.raises(SerializeError, match="xml"):
            proxy.used()
        proxy._pyroSerializer = "json"
        assert proxy.used()[0] == "json"


def test_a_reply_is_read_in_what_it_was_asked_in(uri: fastpyro.URI) -> None:
    class Chooser:
        @fastpyro.expose
        def choose(self) -> None:
            proxy._pyroSerializer = "msgpack"

    with fastpyro.Daemon(host="127.0.0.1") as callbacks, fastpyro.Proxy(uri) as proxy:
        chooser = Chooser()
        callbacks.register(chooser)
        thread = threading.Thread(target=callbacks.requestLoop)
        thread.start()
        try:
            for name in ("native", "serpent"):
                proxy._pyroSerializer = name
                assert proxy.set_and_answer(chooser) == [(1, 2)]
                assert proxy.used()[0] == "msgpack"
        finally:
            callbacks.shutdown()
            thread.join()


def test_copies_and_states_have_the_name(uri: fastpyro.URI) -> None:
    import copy
    import pickle

    proxy = fastpyro.Proxy(uri)
    proxy._pyroSerializer = "json"
    assert copy.copy(proxy)._pyroSerializer == "json"
    assert pickle.loads(pickle.dumps(proxy))._pyroSerializer == "json"
    assert set(IDS) >= {"json"}
