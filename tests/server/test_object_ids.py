"""Objects that take no attributes can be registered as well as others; what is noted of an object proves nothing."""

from __future__ import annotations

import collections
import copy
import dataclasses
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import DaemonError
from fastpyro.server import object_ids
from fastpyro.server.service import service_of


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int = 1

    @fastpyro.expose
    def value(self) -> int:
        return self.x


class Slotted:
    __slots__ = ("__weakref__", "x")

    @fastpyro.expose
    def value(self) -> int:
        return 1


class Half:
    """Takes the one attribute and not the other."""

    __slots__ = ("_pyroId",)

    @fastpyro.expose
    def value(self) -> int:
        return 1


class Named(collections.namedtuple("Named", "x")):
    __slots__ = ()

    @fastpyro.expose
    def value(self) -> int:
        return 1


class Refusing:
    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(f"no field {name}")

    @fastpyro.expose
    def value(self) -> int:
        return 1


class Plain:
    @fastpyro.expose
    def value(self) -> int:
        return 1


KINDS: list[Callable[[], Any]] = [Frozen, Slotted, Half, lambda: Named(1), Refusing, Plain]


class Home:
    """Hands an object out."""

    def __init__(self, obj: Any) -> None:
        self.obj = obj

    @fastpyro.expose
    def get(self) -> Any:
        return self.obj


@pytest.fixture
def daemon() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon(host="127.0.0.1") as running:
        thread = threading.Thread(target=running.requestLoop)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
    assert not object_ids._beside


@pytest.mark.parametrize("make", KINDS)
def test_an_instance_of_any_kind(daemon: fastpyro.Daemon, make: Callable[[], Any]) -> None:
    obj = make()
    uri = daemon.register(obj, "known")
    assert daemon.uriFor(obj) == uri
    assert service_of(obj) is daemon
    with pytest.raises(DaemonError, match="already has a Pyro id: known"):
        daemon.register(obj)
    home = daemon.register(Home(obj))
    for serializer in ("native", "serpent", "json", "msgpack"):
        with fastpyro.Proxy(home) as proxy:
            proxy._pyroSerializer = serializer
            with proxy.get() as arrived:
                assert isinstance(arrived, fastpyro.Proxy)
                assert arrived._pyroUri == uri
                assert arrived.value() == 1
    daemon.register(obj, "another", force=True)
    assert daemon.uriFor(obj).object == "another"
    daemon.unregister(obj)
    assert service_of(obj) is None
    assert "another" not in daemon.objectsById
    daemon.register(obj, "again")
    daemon.unregister("again")
    with pytest.raises(DaemonError, match="isn't registered"):
        daemon.uriFor(obj)


def test_two_objects_that_are_equal_are_two(daemon: fastpyro.Daemon) -> None:
    first, second = Named(1), Named(1)
    daemon.register(first, "first")
    assert service_of(second) is None
    daemon.register(second, "second")
    assert (daemon.uriFor(first).object, daemon.uriFor(second).object) == ("first", "second")


def test_weakly(daemon: fastpyro.Daemon) -> None:
    obj = Slotted()
    daemon.register(obj, "weak", weak=True)
    assert daemon.uriFor(obj).object == "weak"
    del obj
    gc.collect()
    assert "weak" not in daemon.objectsById
    assert not object_ids._beside
    with pytest.raises(TypeError, match="weak"):
        daemon.register(Named(1), "weak", weak=True)
    assert "weak" not in daemon.objectsById
    assert not object_ids._beside


@pytest.mark.parametrize("obj", [3, "text", [], {}, object()])
def test_what_cannot_be_registered_is_not_half_registered(daemon: fastpyro.Daemon, obj: Any) -> None:
    before = dict(daemon.objectsById)
    with pytest.raises(AttributeError, match="cannot be registered"):
        daemon.register(obj)
    assert daemon.objectsById == before
    assert not object_ids._beside


def test_another_object_in_the_place_of_one_is_not_taken_for_it(daemon: fastpyro.Daemon) -> None:
    obj, other = Named(1), Named(1)
    daemon.register(obj, "known")
    object_ids._beside[id(other)] = object_ids._beside[id(obj)]
    assert service_of(other) is None
    with pytest.raises(DaemonError):
        daemon.unregister(other)


def test_a_closed_daemon_leaves_nothing() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        daemon.register(Named(1))
        assert object_ids._beside
    assert not object_ids._beside


def test_registered_objects_are_copied_and_pickled(daemon: fastpyro.Daemon) -> None:
    obj = Plain()
    obj.state = [1]  # type: ignore[attr-defined]
    daemon.register(obj, "known")
    twins: list[Any] = [copy.copy(obj), copy.deepcopy(obj), pickle.loads(pickle.dumps(obj))]
    for twin in twins:
        assert (type(twin), twin.state) == (Plain, [1])
        assert service_of(twin) is None, "another object than the one that is registered"
        daemon.register(twin, "twin")
        daemon.unregister(twin)


def test_a_daemon_out_of_a_pickle_is_an_empty_one(daemon: fastpyro.Daemon) -> None:
    empty = pickle.loads(pickle.dumps(daemon))
    assert type(empty) is fastpyro.Daemon
    assert "unusable" in repr(empty)
    empty.close()
    empty.shutdown()
    with pytest.raises(fastpyro.errors.PyroError, match="closed"):
        empty.requestLoop()
