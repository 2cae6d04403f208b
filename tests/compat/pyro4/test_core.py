"""Proxies and daemons with Pyro4's rules: modes, hooks, keys, and what arrives in this process."""

from __future__ import annotations

import copy
import pickle
import threading
import uuid
from typing import Any

import Pyro4
import Pyro4.naming
import pytest

import fastpyro
from fastpyro.client.proxy import plain_invoke
from fastpyro.serializers.registry import get_serializer


@Pyro4.expose
class Service:
    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}

    def add(self, first: int, second: int) -> int:
        return first + second

    def divide(self, first: int, second: int) -> float:
        return first / second

    def annotated(self) -> list[str]:
        context = Pyro4.current_context
        self.seen = {key: bytes(value) for key, value in context.annotations.items()}
        context.response_annotations = {"RESP": b"answer"}
        return sorted(self.seen)

    def itself(self) -> Any:
        return self


def make_asynchronous(proxy: Any) -> None:
    Pyro4.asyncproxy(proxy)


def test_a_proxy_changes_its_own_mode(serve: Any) -> None:
    with Pyro4.Proxy(serve(Service())) as proxy:
        assert make_asynchronous(proxy) is None  # type: ignore[func-returns-value]
        result = proxy.add(1, 2)
        assert isinstance(result, Pyro4.futures.FutureResult)
        assert result.then(lambda value, more: value + more, 10).value == 13
        failing = proxy.divide(1, 0)
        assert failing.wait(10)
        with pytest.raises(ZeroDivisionError):
            assert failing.value
        assert proxy._pyroAsync(False) is None  # type: ignore[func-returns-value]
        assert proxy.add(1, 2) == 3


def test_the_mode_is_no_part_of_the_texts_and_of_what_is_sent() -> None:
    proxy = Pyro4.Proxy("PYRO:x@localhost:1")
    Pyro4.asyncproxy(proxy)
    assert repr(proxy).startswith("<Pyro4.core.Proxy at 0x")
    assert isinstance(proxy, Pyro4.Proxy)
    assert type(copy.copy(proxy)) is type(proxy)
    received = pickle.loads(pickle.dumps(proxy))
    assert type(received) is Pyro4.Proxy
    proxy._pyroAsync(**{"async": False})
    assert type(proxy) is Pyro4.Proxy
    with pytest.raises(TypeError, match="bogus"):
        proxy._pyroAsync(bogus=True)


@pytest.mark.parametrize("serializer", ["serpent", "native"])
def test_asynchronous_calls_run_at_once_and_may_be_released(serve: Any, serializer: str) -> None:
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(3)

        @Pyro4.expose
        def meet(self) -> int:
            return self.barrier.wait(10)

    class Subclass(Pyro4.Proxy):
        pass

    with Subclass(serve(Meeting())) as proxy:
        proxy._pyroSerializer = serializer
        proxy._pyroAsync()
        assert isinstance(proxy, Subclass)
        results = [proxy.meet() for _ in range(3)]
        assert sorted(result.value for result in results) == [0, 1, 2]


def test_the_first_name_for_asynchronous_proxies_gives_a_twin(serve: Any) -> None:
    with Pyro4.Proxy(serve(Service())) as proxy:
        twin = getattr(Pyro4, "async")(proxy)
        assert twin.add(1, 2).value == 3
        assert proxy.add(1, 2) == 3
        twin._pyroRelease()


def test_batches(serve: Any) -> None:
    with Pyro4.Proxy(serve(Service())) as proxy:
        batch = Pyro4.batch(proxy)
        batch.add(1, 2)
        batch.divide(1, 0)
        batch.add(3, 4)
        results = batch()
        assert next(results) == 3
        with pytest.raises(ZeroDivisionError):
            next(results)
        batch = proxy._pyroBatch()
        batch.add(1, 2)
        batch.add(3, 4)
        assert list(batch(asynchronous=True).value) == [3, 7]
        with pytest.raises(Pyro4.errors.PyroError, match="make no sense"):
            batch(oneway=True, asynchronous=True)


def test_threads_share_a_proxy(serve: Any) -> None:
    with Pyro4.Proxy(serve(Service())) as proxy:
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.extend(proxy.add(n, 1) for n in range(50))) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(results) == sorted(n + 1 for n in range(50) for _ in range(5))


class Annotating(Pyro4.Proxy):
    def __init__(self, uri: Any) -> None:
        super().__init__(uri)
        self._pyro_update(replies=[])

    def _pyroAnnotations(self) -> dict[str, bytes]:
        return {"MINE": b"question"}

    def _pyroResponseAnnotations(self, annotations: dict[str, bytes], msgtype: int) -> None:
        self.__dict__["replies"].append((msgtype, {key: bytes(value) for key, value in annotations.items()}))


class AnnotatingAndCounting(Annotating):
    def _pyroInvoke(self, *arguments: Any, **keywords: Any) -> Any:
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return super()._pyroInvoke(*arguments, **keywords)


def test_a_subclass_adds_annotations_and_sees_those_of_replies(serve: Any) -> None:
    service = Service()
    with Annotating(serve(service)) as proxy:
        assert proxy.annotated() == ["MINE"]
        assert service.seen == {"MINE": b"question"}
        assert proxy.__dict__["replies"] == [(Pyro4.message.MSG_RESULT, {"RESP": b"answer"})]
        assert Pyro4.current_context.annotations == {}
        batch = Pyro4.batch(proxy)
        batch.annotated()
        assert list(batch()) == [["MINE"]]
        identity = Pyro4.current_context.correlation_id = uuid.uuid4()
        try:
            proxy.annotated()
        finally:
            Pyro4.current_context.correlation_id = None
        assert proxy.__dict__["replies"][-1][1] == {"RESP": b"answer", "CORR": identity.bytes}


def test_hooks_are_asked_once_also_for_a_subclass_that_replaces_the_call(serve: Any) -> None:
    with AnnotatingAndCounting(serve(Service())) as proxy:
        assert proxy.annotated() == ["MINE"]
        assert proxy.__dict__["calls"] == 1
        assert len(proxy.__dict__["replies"]) == 1


def test_an_ordinary_proxy_goes_the_fast_path() -> None:
    class Subclass(Pyro4.Proxy):
        pass

    assert Pyro4.Proxy._pyroInvoke is Subclass._pyroInvoke is plain_invoke
    assert Annotating._pyroInvoke is not plain_invoke


def test_hooks_see_the_connection_being_made(serve: Any) -> None:
    class Greeting(Pyro4.Daemon):
        def annotations(self) -> dict[str, bytes]:
            return {"DAEM": b"hello"}

    daemon = Greeting()
    uri = daemon.register(Service())
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        with Annotating(uri) as proxy:
            proxy._pyroBind()
            assert proxy.__dict__["replies"] == [(Pyro4.message.MSG_CONNECTOK, {"DAEM": b"hello"})]
    finally:
        daemon.shutdown()
        thread.join(10)
        daemon.close()


def test_what_arrives_is_a_proxy_of_pyro4(serve: Any) -> None:
    with Pyro4.Proxy(serve(Service())) as proxy:
        received = proxy.itself()
        assert type(received) is Pyro4.Proxy
        assert received == proxy
        received._pyroRelease()


@pytest.mark.parametrize("serializer", ["serpent", "json", "native"])
def test_what_travels_in_a_proxy(serializer: str) -> None:
    proxy = Pyro4.Proxy("PYRO:x@localhost:1")
    proxy._pyroHandshake, proxy._pyroHmacKey, proxy._pyroSerializer = "password", b"key", "pickle"
    codec = get_serializer(serializer, 48)
    received = codec.loads(codec.dumps(proxy))
    assert type(received) is Pyro4.Proxy
    assert (received._pyroHandshake, received._pyroHmacKey, received._pyroSerializer) == ("password", None, None)
    assert received._pyroUri.is_foreign
    assert not proxy._pyroUri.is_foreign


def test_a_key_in_a_pickle_of_a_peer_does_not_count() -> None:
    proxy = Pyro4.Proxy("PYRO:x@localhost:1")
    proxy._pyroHandshake, proxy._pyroHmacKey = "password", b"key"
    codec = get_serializer("pickle", 48)
    received = codec.loads(codec.dumps([proxy]))[0]
    assert (type(received), received._pyroHandshake, received._pyroHmacKey) == (Pyro4.Proxy, "password", None)
    received = codec.loads(pickle.dumps(proxy))  # as Pyro4 writes it
    assert (type(received), received._pyroHmacKey) == (Pyro4.Proxy, None)
    assert pickle.loads(pickle.dumps(proxy))._pyroHmacKey == b"key"


def test_hmac_keys(serve: Any) -> None:
    uri = serve(Service(), "keyed", "secret")
    with Pyro4.Proxy(uri) as proxy:
        proxy._pyroHmacKey = "secret"
        assert proxy._pyroHmacKey == b"secret"
        assert proxy.add(1, 2) == 3
        assert copy.copy(proxy)._pyroHmacKey == b"secret"
        assert pickle.loads(pickle.dumps(proxy))._pyroHmacKey == b"secret"
    with Pyro4.Proxy(uri) as proxy, pytest.raises(Pyro4.errors.PyroError):
        proxy.add(1, 2)
    with Pyro4.Proxy(uri) as proxy:
        proxy._pyroHmacKey = b"wrong"
        with pytest.raises(Pyro4.errors.PyroError):
            proxy.add(1, 2)


@pytest.mark.parametrize("length", [7, 8, 9])
def test_states_of_older_versions(length: int) -> None:
    state = ("PYRO:x@localhost:1", {"o"}, {"m", "o"}, {"a"}, 5.0, "b64:aw==", "hi", 3, "json")[:length]
    proxy = Pyro4.Proxy("PYRO:y@localhost:1")
    proxy.__setstate__(state)
    assert str(proxy._pyroUri) == "PYRO:x@localhost:1"
    assert (proxy._pyroOneway, proxy._pyroMethods, proxy._pyroAttrs) == ({"o"}, {"m", "o"}, {"a"})
    assert (proxy._pyroHmacKey, proxy._pyroHandshake, proxy._pyroTimeout) == (b"k", "hi", 0.0)
    assert proxy._pyroSerializer == ("json" if length == 9 else None)


def test_without_metadata_the_names_are_those_of_the_client(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pyro4.config, "METADATA", False)
    with Pyro4.Proxy(serve(Service())) as proxy:
        proxy._pyroOneway = {"add"}
        proxy._pyroBind()
        assert (proxy._pyroOneway, proxy._pyroMethods) == ({"add"}, set())
        assert proxy.add(1, 2) is None
        proxy._pyroOneway.clear()
        assert proxy.add(1, 2) == 3
        with pytest.raises(AttributeError):
            proxy.no_such_method()


def test_uris_are_those_of_pyro4(serve: Any) -> None:
    uri = serve(Service())
    serializer = Pyro4.util.get_serializer("serpent")
    for found in (uri, Pyro4.resolve(uri), Pyro4.Proxy(uri)._pyroUri, serializer.loads(serializer.dumps(uri))):
        assert type(found) is Pyro4.URI
        assert found == fastpyro.URI(str(uri)) == uri
    assert repr(uri) == f"<Pyro4.core.URI at 0x{id(uri):x}; {uri}>"


def test_name_server_and_resolving(name_server: Any, serve: Any) -> None:
    with Pyro4.locateNS() as found:
        assert type(found) is Pyro4.Proxy
        uri = serve(Service())
        found.register("some.service", uri, metadata={"tag"})
        assert Pyro4.resolve("PYRONAME:some.service") == uri
        assert Pyro4.resolve(Pyro4.URI("PYROMETA:tag")) == uri
        assert found.list(metadata_all={"tag"}) == {"some.service": str(uri)}
    with Pyro4.Proxy("PYRONAME:some.service") as proxy:
        assert proxy.add(1, 2) == 3
    with pytest.raises(Pyro4.errors.NamingError):
        Pyro4.resolve("PYRONAME:no.such.name")
    with pytest.raises(TypeError):
        Pyro4.resolve(42)  # type: ignore[arg-type]


def test_a_daemon_makes_proxies_of_pyro4() -> None:
    with Pyro4.Daemon() as daemon:
        service = Service()
        assert Pyro4.core.pyroObjectToAutoProxy(service) is service
        daemon.register(service)
        assert type(daemon.proxyFor(service)) is Pyro4.Proxy
        assert Pyro4.core.pyroObjectToAutoProxy(service) == daemon.proxyFor(service)
        assert Pyro4.core.pyroObjectToAutoProxy(42) == 42


def test_serve_simple(capsys: pytest.CaptureFixture[str], name_server: Any) -> None:
    class Ending(Pyro4.Daemon):
        def requestLoop(self, loopCondition: Any = None) -> None:
            super().requestLoop(lambda: False)

    service = Service()
    with Ending() as daemon:
        Pyro4.Daemon.serveSimple({service: "some.name"}, daemon=daemon, ns=False)
        assert daemon.locationStr in capsys.readouterr().out
    with Ending() as daemon:
        Pyro4.Daemon.serveSimple({Service: "some.name"}, daemon=daemon)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Object <class ")
    assert lines[1].startswith("    uri = PYRO:obj_")
    assert lines[2:] == ["    name = some.name", "Pyro daemon running."]
    with Pyro4.locateNS() as found:
        assert lines[1].endswith(str(found.lookup("some.name")))


def test_connected_sockets_and_blobs(serve: Any) -> None:
    import socket

    class Taker:
        @Pyro4.expose
        def take(self, blob: Any) -> Any:
            return blob.info, blob.deserialized()

    ours, theirs = socket.socketpair()
    daemon = Pyro4.Daemon(connected_socket=theirs)
    daemon.register(Taker(), "taker")
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    with ours, theirs:
        with Pyro4.Proxy("taker", connected_socket=ours) as proxy:
            assert proxy.take(Pyro4.core.SerializedBlob("about", [1, 2])) == ("about", [1, 2])
        ours.close()
        thread.join(10)
        daemon.close()
    assert not thread.is_alive()


def test_both_names_know_each_other(serve: Any) -> None:
    """A program under the facade may use fastpyro's own names as well."""
    with fastpyro.Proxy(serve(Service())) as proxy:
        assert proxy.add(1, 2) == 3
        assert proxy == Pyro4.Proxy(proxy._pyroUri)
