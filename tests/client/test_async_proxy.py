"""Asynchronous proxies: against a proxy without a network, and against a daemon in another process."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import fastpyro
from fastpyro.client import async_proxy
from fastpyro.client.async_proxy import (
    AsyncMethod,
    AsyncProxy,
    ProxyCopies,
    _copies_of,
    _settings_of,
    async_,
    asyncproxy,
)
from fastpyro.client.batch import BatchProxy
from fastpyro.client.proxy import Proxy
from fastpyro.errors import ConnectionClosedError
from fastpyro.futures.future import FutureResult

DEADLINE = 20.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that a background thread does a moment after its result is ready."""
    deadline, never = time.monotonic() + DEADLINE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        never.wait(0.002)


class Journal:
    """What happened to all the copies of one fake proxy."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, tuple[Any, ...], dict[str, Any]]] = []
        self.released: list[int] = []
        self.actions: dict[str, Callable[..., Any]] = {}


class FakeProxy(Proxy):
    """A proxy that answers itself, and knows its metadata from the start."""

    def __init__(self, uri: str = "PYRO:fake@localhost:1") -> None:
        super().__init__(uri)
        journal = Journal()
        journal.actions.update(echo=lambda value: value, oneway=lambda: None, fail=self._fail, meet=self._meet)
        self.__dict__.update(journal=journal, _pyro_metadata_loaded=True, barrier=threading.Barrier(8))
        self._pyroMethods = set(journal.actions) | {"__len__", "__getitem__", "__setitem__", "__delitem__"}
        self._pyroAttrs = {"colour"}
        journal.actions.update(
            {
                "__getattr__": lambda name: f"the {name}",
                "__setattr__": lambda name, value: None,
                "__len__": lambda: 3,
                "__getitem__": lambda index: "abc"[index],
                "__setitem__": lambda index, value: None,
                "__delitem__": lambda index: None,
            }
        )

    def _fail(self, error: BaseException) -> None:
        raise error

    def _meet(self) -> int:
        return self.__dict__["barrier"].wait(DEADLINE)  # type: ignore[no-any-return]

    def _pyroInvoke(self, methodname: str, vargs: Any, kwargs: Any, flags: int = 0, objectId: str | None = None) -> Any:
        journal = self.__dict__["journal"]
        journal.calls.append((id(self), methodname, tuple(vargs), kwargs or {}))
        return journal.actions[methodname](*vargs, **kwargs or {})

    def _pyroRelease(self) -> None:
        self.__dict__["journal"].released.append(id(self))

    def local(self, number: int) -> int:
        """A method of the class itself."""
        return self.echo(number) + 1  # type: ignore[no-any-return]


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


def journal_of(proxy: Proxy) -> Journal:
    return proxy.__dict__["journal"]  # type: ignore[no-any-return]


# Without a network


def test_a_call_gives_a_result_at_once(proxy: FakeProxy) -> None:
    twin = asyncproxy(proxy)
    result = twin.echo(5)
    assert isinstance(result, FutureResult)
    assert result.value == 5
    assert proxy.echo(6) == 6, "the proxy itself stays synchronous"
    assert twin.echo(value=7).then(lambda value: value + 1).value == 8


def test_each_call_has_a_copy_and_copies_are_used_again(proxy: FakeProxy) -> None:
    twin, copies = AsyncProxy(proxy), _copies_of(proxy)
    for number in range(10):
        assert twin.echo(number).value == number
        wait_until(lambda: len(copies) == 1)
    users = {call[0] for call in journal_of(proxy).calls}
    assert len(users) == 1
    assert id(proxy) not in users


def test_calls_run_in_parallel_on_different_copies(proxy: FakeProxy) -> None:
    twin = AsyncProxy(proxy)
    results = [twin.meet() for _ in range(8)]
    assert sorted(result.value for result in results) == list(range(8))
    assert len({call[0] for call in journal_of(proxy).calls}) == 8


def test_twins_of_one_proxy_share_the_copies(proxy: FakeProxy) -> None:
    for number in range(5):
        assert proxy._pyroAsync().echo(number).value == number
        wait_until(lambda: len(_copies_of(proxy)) == 1)
    assert len({call[0] for call in journal_of(proxy).calls}) == 1


def test_an_error_is_raised_when_the_value_is_read(proxy: FakeProxy) -> None:
    result = AsyncProxy(proxy).fail(ValueError("remote"))
    for _ in range(2):
        with pytest.raises(ValueError, match="remote"):
            _ = result.value
    wait_until(lambda: len(_copies_of(proxy)) == 1)


def test_a_copy_whose_connection_failed_is_not_used_again(proxy: FakeProxy) -> None:
    result = AsyncProxy(proxy).fail(ConnectionClosedError("gone"))
    with pytest.raises(ConnectionClosedError):
        _ = result.value
    assert journal_of(proxy).released == [journal_of(proxy).calls[0][0]]
    assert len(_copies_of(proxy)) == 0


def test_changed_settings_make_new_copies(proxy: FakeProxy) -> None:
    twin, copies = AsyncProxy(proxy), _copies_of(proxy)
    seen: list[Any] = []
    journal_of(proxy).actions["echo"] = lambda value: seen.append(value)
    twin.echo(1).wait(DEADLINE)
    wait_until(lambda: len(copies) == 1)
    first = copies._idle[0][1]
    twin._pyroTimeout = 3
    assert proxy._pyroTimeout == 3
    twin.echo(2).wait(DEADLINE)
    wait_until(lambda: len(copies) == 1)
    assert copies._idle[0][1] is not first
    assert copies._idle[0][1]._pyroTimeout == 3
    proxy._pyroOneway.add("echo")
    twin.echo(3).wait(DEADLINE)
    wait_until(lambda: len(copies) == 1)
    assert "echo" in copies._idle[0][1]._pyroOneway
    assert len(journal_of(proxy).released) == 2


def test_copies_keep_the_class_and_its_fields(proxy: FakeProxy) -> None:
    twin = AsyncProxy(proxy)
    assert twin.local(4).value == 5
    wait_until(lambda: len(_copies_of(proxy)) == 1)
    copied = _copies_of(proxy)._idle[0][1]
    assert type(copied) is FakeProxy
    assert copied is not proxy


def test_idle_copies_are_released() -> None:
    proxy = FakeProxy()
    copies = ProxyCopies(idle_seconds=0.02)
    borrowed = [copies.borrow(proxy) for _ in range(3)]
    for item in borrowed:
        copies.give_back(*item)
    assert len(copies) == 3
    wait_until(lambda: len(copies) == 0)
    assert sorted(journal_of(proxy).released) == sorted(id(item[0]) for item in borrowed)
    assert copies._next_sweep is None


def test_only_so_many_idle_copies_are_kept(proxy: FakeProxy) -> None:
    copies = ProxyCopies(max_idle=2)
    borrowed = [copies.borrow(proxy) for _ in range(5)]
    for item in borrowed:
        copies.give_back(*item)
    assert len(copies) == 2
    assert len(journal_of(proxy).released) == 3


def test_releasing_closes_idle_copies_now_and_busy_ones_later(proxy: FakeProxy) -> None:
    copies = ProxyCopies()
    idle, busy = copies.borrow(proxy), copies.borrow(proxy)
    copies.give_back(*idle)
    copies.release()
    assert journal_of(proxy).released == [id(idle[0])]
    copies.give_back(*busy)
    assert journal_of(proxy).released == [id(idle[0]), id(busy[0])]


def test_a_with_block_releases_everything(proxy: FakeProxy) -> None:
    with asyncproxy(proxy) as twin:
        assert isinstance(twin, AsyncProxy)
        twin.echo(1).wait(DEADLINE)
        wait_until(lambda: len(_copies_of(proxy)) == 1)
    assert len(_copies_of(proxy)) == 0
    assert len(journal_of(proxy).released) == 2
    assert id(proxy) in journal_of(proxy).released


def use_a_twin() -> tuple[Journal, int, weakref.ref[Proxy]]:
    proxy = FakeProxy()
    journal = journal_of(proxy)
    AsyncProxy(proxy).echo(1).wait(DEADLINE)
    wait_until(lambda: len(_copies_of(proxy)) == 1)
    journal.actions.clear()  # its bound methods keep the proxy
    return journal, id(proxy), weakref.ref(proxy)


def test_the_copies_go_with_the_proxy() -> None:
    journal, identity, reference = use_a_twin()
    wait_until(lambda: gc.collect() >= 0 and reference() is None)
    wait_until(lambda: identity not in async_proxy._copies_by_proxy)
    wait_until(lambda: len(journal.released) == 1)


def test_attributes_are_synchronous(proxy: FakeProxy) -> None:
    twin = AsyncProxy(proxy)
    assert twin.colour == "the colour"
    twin.colour = "red"
    assert journal_of(proxy).calls[-1][1:3] == ("__setattr__", ("colour", "red"))
    with pytest.raises(AttributeError, match="no exposed attribute or method 'missing'"):
        _ = twin.missing
    with pytest.raises(AttributeError, match="no exposed attribute"):
        twin.missing = 1
    assert not hasattr(twin, "missing")


def test_items_length_and_iteration_are_synchronous(proxy: FakeProxy) -> None:
    twin = AsyncProxy(proxy)
    assert len(twin) == 3
    assert twin[1] == "b"
    assert list(twin) == ["a", "b", "c"]
    twin[0] = "z"
    del twin[0]
    assert [call[1] for call in journal_of(proxy).calls[-2:]] == ["__setitem__", "__delitem__"]
    assert bool(twin)


def test_what_belongs_to_the_proxy_passes_through(proxy: FakeProxy) -> None:
    twin = AsyncProxy(proxy)
    assert twin._pyroUri is proxy._pyroUri
    assert twin._pyroOneway is proxy._pyroOneway
    twin._pyroMaxRetries = 4
    assert proxy._pyroMaxRetries == 4
    assert isinstance(twin._pyroBatch(), BatchProxy)
    assert dir(twin) == dir(proxy)
    assert repr(proxy) in repr(twin)
    assert "asynchronous" in repr(twin.echo)
    assert isinstance(twin.echo, AsyncMethod)
    assert twin.echo.__name__ == "echo"


def test_twins_are_equal_when_their_proxies_are(proxy: FakeProxy) -> None:
    assert AsyncProxy(proxy) == AsyncProxy(proxy)
    assert hash(AsyncProxy(proxy)) == hash(AsyncProxy(proxy))
    assert AsyncProxy(proxy) != AsyncProxy(Proxy("PYRO:other@localhost:1"))
    assert AsyncProxy(proxy) != proxy
    copied = copy.copy(AsyncProxy(proxy))
    assert copied == AsyncProxy(proxy)
    assert copied._proxy is not proxy


def test_a_twin_travels_as_an_ordinary_proxy() -> None:
    twin = AsyncProxy(Proxy("PYRO:thing@localhost:1"))
    arrived = pickle.loads(pickle.dumps(twin))
    assert type(arrived) is Proxy
    assert arrived == twin._proxy


def test_the_ways_to_make_a_twin(proxy: FakeProxy) -> None:
    twin = asyncproxy(proxy)
    assert isinstance(twin, AsyncProxy)
    assert async_ is asyncproxy
    assert asyncproxy(twin) is twin
    synchronous: object = asyncproxy(twin, False)
    assert synchronous is proxy
    assert asyncproxy(proxy, asynchronous=False) is proxy
    assert asyncproxy(proxy, **{"async": False}) is proxy
    assert isinstance(proxy._pyroAsync(), AsyncProxy)
    assert proxy._pyroAsync(**{"async": False}) is proxy
    assert twin._pyroAsync() is twin
    assert twin._pyroAsync(False) is proxy
    assert twin._pyroAsync(**{"async": False}) is proxy
    assert isinstance(getattr(fastpyro, "async")(proxy), AsyncProxy)


def test_what_is_not_a_proxy_is_refused(proxy: FakeProxy) -> None:
    with pytest.raises(TypeError, match="expected a Proxy, not str"):
        asyncproxy("PYRO:x@localhost:1")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="unexpected keyword argument 'later'"):
        asyncproxy(proxy, later=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'later'"):
        proxy._pyroAsync(later=True)


def test_special_names_stay_local(proxy: FakeProxy) -> None:
    twin = AsyncProxy(proxy)
    for name in ("__dict__", "__call__", "__array_interface__"):
        assert not hasattr(twin, name)
    assert journal_of(proxy).calls == []


def test_a_half_built_twin_does_not_recurse() -> None:
    with pytest.raises(AttributeError):
        _ = AsyncProxy.__new__(AsyncProxy).anything


def test_handshake_data_is_compared_as_texts_or_not_at_all(proxy: FakeProxy) -> None:
    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked")

        __hash__ = None  # type: ignore[assignment]

    data = Hostile()
    proxy._pyroHandshake = data
    before = _settings_of(proxy)
    assert before == _settings_of(proxy)
    proxy._pyroHandshake = Hostile()
    assert before != _settings_of(proxy)
    proxy._pyroHandshake = "text"
    assert before != _settings_of(proxy)
    before = _settings_of(proxy)
    proxy._pyroHandshake = "".join(["te", "xt"])
    assert before == _settings_of(proxy)
