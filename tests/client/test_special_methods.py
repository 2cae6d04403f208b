"""What Python's syntax asks of a proxy: forwarded where the object exposes it, absent for Python where it does not."""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import pytest

import fastpyro
from fastpyro.client.special_methods import BINARY, UNARY

IN_PLACE = [name for name in BINARY if name != "divmod"]


def recording(name: str) -> Callable[..., Any]:
    def method(self: Any, *operands: Any) -> list[Any]:
        return [name, *operands]

    method.__name__ = name
    return fastpyro.expose(method)


class Everything:
    """Exposes every operator; each returns its name and operands."""

    for _name in UNARY:
        if _name not in ("int", "float", "complex"):
            locals()[f"__{_name}__"] = recording(f"__{_name}__")
    for _name in BINARY:
        locals()[f"__{_name}__"] = recording(f"__{_name}__")
        locals()[f"__r{_name}__"] = recording(f"__r{_name}__")
    for _name in ("add", "or"):
        locals()[f"__i{_name}__"] = recording(f"__i{_name}__")

    @fastpyro.expose
    def __int__(self) -> int:
        return 7

    @fastpyro.expose
    def __float__(self) -> float:
        return 7.5

    @fastpyro.expose
    def __complex__(self) -> complex:
        return 7j

    @fastpyro.expose
    def __contains__(self, value: Any) -> bool:
        return bool(value == 5)

    @fastpyro.expose
    def __reversed__(self) -> Iterator[int]:
        yield from (3, 2, 1)


class Shelf:
    """Has items, a property that can be deleted, and one that is computed once."""

    def __init__(self) -> None:
        self.label: str | None = "old"
        self.computed = 0

    @fastpyro.expose
    def __len__(self) -> int:
        return 3

    @fastpyro.expose
    def __getitem__(self, index: int) -> int:
        return (10, 20, 30)[index]

    @property
    @fastpyro.expose
    def name(self) -> str | None:
        return self.label

    @name.deleter
    def name(self) -> None:
        self.label = None

    @property
    @fastpyro.expose
    def lasting(self) -> int:
        return 1

    @property
    def hidden(self) -> int:
        return 1

    @hidden.deleter
    def hidden(self) -> None:
        raise AssertionError

    @cached_property
    @fastpyro.expose
    def size(self) -> int:
        self.computed += 1
        return self.computed

    @fastpyro.expose
    def __add__(self, other: Any) -> Any:
        return NotImplemented


@pytest.fixture(scope="module")
def daemon() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon(host="127.0.0.1") as running:
        thread = threading.Thread(target=running.requestLoop)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def proxy_of(daemon: fastpyro.Daemon) -> Iterator[Callable[[Any], Any]]:
    made: list[tuple[Any, Any]] = []

    def register(obj: Any) -> Any:
        made.append((obj, fastpyro.Proxy(daemon.register(obj))))
        return made[-1][1]

    yield register
    for obj, proxy in made:
        proxy._pyroRelease()
        daemon.unregister(obj)


def test_operators(proxy_of: Callable[[Any], Any]) -> None:
    proxy = proxy_of(Everything())
    for name in BINARY:
        function = divmod if name == "divmod" else getattr(operator, f"__{name}__")
        assert function(proxy, 2) == [f"__{name}__", 2]
        assert function(2, proxy) == [f"__r{name}__", 2]
    assert pow(proxy, 2, 3) == ["__pow__", 2, 3]
    assert (-proxy, +proxy, ~proxy) == (["__neg__"], ["__pos__"], ["__invert__"])
    assert (abs(proxy), round(proxy), round(proxy, 2)) == (["__abs__"], ["__round__"], ["__round__", 2])
    assert (math.trunc(proxy), math.floor(proxy), math.ceil(proxy)) == (["__trunc__"], ["__floor__"], ["__ceil__"])
    assert (int(proxy), float(proxy), complex(proxy)) == (7, 7.5, 7j)


def test_operators_in_place(proxy_of: Callable[[Any], Any]) -> None:
    proxy = kept = proxy_of(Everything())
    proxy += 1
    assert proxy == ["__iadd__", 1]
    for name in set(IN_PLACE) - {"add", "or"}:
        assert getattr(operator, f"__i{name.rstrip('_')}__")(kept, 1) == [f"__{name}__", 1], (
            "Python takes the other one"
        )


def test_membership_and_order(proxy_of: Callable[[Any], Any]) -> None:
    proxy = proxy_of(Everything())
    assert 5 in proxy
    assert 6 not in proxy
    assert list(reversed(proxy)) == [3, 2, 1]


def test_items_answer_where_there_is_no_method_for_it(proxy_of: Callable[[Any], Any]) -> None:
    proxy = proxy_of(Shelf())
    assert 20 in proxy
    assert 21 not in proxy
    assert list(reversed(proxy)) == [30, 20, 10]


def test_what_is_not_exposed_is_absent(proxy_of: Callable[[Any], Any]) -> None:
    class Plain:
        @fastpyro.expose
        def method(self) -> int:
            return 1

        def __add__(self, other: Any) -> int:
            raise AssertionError

    proxy = proxy_of(Plain())
    functions: list[Callable[[Any, Any], Any]] = [operator.add, operator.mul, divmod, operator.iadd]
    for function in functions:
        with pytest.raises(TypeError, match="unsupported operand"):
            function(proxy, 1)
        with pytest.raises(TypeError, match="unsupported operand"):
            function(1, proxy)
    unary: list[Callable[[Any], Any]] = [operator.neg, abs, int, float, round, reversed, len]
    for convert in unary:
        with pytest.raises(TypeError, match="does not expose __"):
            convert(proxy)
    with pytest.raises(TypeError, match="neither __iter__ nor __getitem__"):
        _ = 1 in proxy


def test_a_method_that_leaves_it_to_the_other_operand(proxy_of: Callable[[Any], Any]) -> None:
    class Right(int):  # arrives as an int, which the method refuses
        def __radd__(self, other: Any) -> str:  # type: ignore[override]
            return "right"

    proxy = proxy_of(Shelf())
    assert proxy + Right(1) == "right"
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = proxy + 1


def test_deleting_a_property(proxy_of: Callable[[Any], Any]) -> None:
    shelf = Shelf()
    proxy = proxy_of(shelf)
    del proxy.name
    assert shelf.label is None
    assert proxy.name is None
    for name, text in (("lasting", "cannot be deleted"), ("hidden", "no exposed attribute"), ("nothing", "no exposed")):
        with pytest.raises(AttributeError, match=text):
            delattr(proxy, name)
    with pytest.raises(AttributeError, match="private"):
        proxy._pyroInvoke("__delattr__", ("__class__",), None)
    with pytest.raises(AttributeError, match="unexposed"):
        proxy._pyroInvoke("__delattr__", ("hidden",), None)


def test_a_cached_property_is_an_attribute(proxy_of: Callable[[Any], Any]) -> None:
    proxy = proxy_of(Shelf())
    assert (proxy.size, proxy.size) == (1, 1)
    with pytest.raises(AttributeError, match="read-only"):
        proxy.size = 2
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del proxy.size


def test_own_attributes_are_deleted_here() -> None:
    class Named(fastpyro.Proxy):
        pass

    proxy = Named("PYRO:x@127.0.0.1:9")
    proxy.__dict__["note"] = 1
    del proxy.note
    assert "note" not in proxy.__dict__


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_asynchronous_twin_has_them_too(proxy_of: Callable[[Any], Any], asynchronous: bool) -> None:
    shelf = Shelf()
    proxy = fastpyro.asyncproxy(proxy_of(shelf), asynchronous)
    assert 20 in proxy
    assert list(reversed(proxy)) == [30, 20, 10]
    del proxy.name
    assert shelf.label is None
