"""The readers of decoded values: exact types pass, everything else is refused without being asked anything."""

from __future__ import annotations

from datetime import UTC
from typing import Any, NamedTuple, NoReturn

import pytest

from fastpyro.errors import SerializeError
from fastpyro.values import checked


class Trap(type):
    """A metaclass that must not be asked either."""

    def __getattribute__(cls, name: str) -> Any:
        raise AssertionError(f"the class was asked for {name}")


class Hostile(metaclass=Trap):
    """Whatever is done with an object of it but looking at its type fails."""

    def _run(self, *_: object) -> NoReturn:
        raise AssertionError("code of the object's class ran")

    __getattribute__ = __iter__ = __len__ = __bool__ = __str__ = __repr__ = __format__ = __getitem__ = _run
    __index__ = __contains__ = __eq__ = __hash__ = __call__ = __int__ = __float__ = __lt__ = _run


class Text(str):
    """Not exactly a str."""

    __slots__ = ()


READERS: dict[str, Any] = {
    "text_of": checked.text_of,
    "integer_of": checked.integer_of,
    "list_of": checked.list_of,
    "tuple_of": checked.tuple_of,
    "texts_of": checked.texts_of,
    "mapping_of": checked.mapping_of,
    "inert_of": checked.inert_of,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_a_foreign_object_is_refused_without_running_anything_of_it(reader: Any) -> None:
    with pytest.raises(SerializeError, match="a part of the message must"):
        reader(Hostile(), "a part of the message")


@pytest.mark.parametrize("reader", [checked.texts_of, checked.inert_of], ids=["texts_of", "inert_of"])
@pytest.mark.parametrize("collection", [list, tuple])
def test_elements_are_looked_at_by_type_too(reader: Any, collection: Any) -> None:
    with pytest.raises(SerializeError):
        reader(collection([Hostile()]), "names")


def test_a_subclass_is_not_the_type_itself() -> None:
    for reader, value in (
        (checked.text_of, Text("x")),
        (checked.integer_of, True),
        (checked.texts_of, [Text("x")]),
        (checked.mapping_of, {Text("x"): 1}),
        (checked.inert_of, Text("x")),
    ):
        with pytest.raises(SerializeError):
            reader(value, "it")


def test_what_is_right_passes() -> None:
    assert checked.text_of("x", "it") == "x"
    assert checked.integer_of(3, "it", 0, 3) == 3
    assert checked.list_of((1, 2), "it") == checked.list_of([1, 2], "it") == [1, 2]
    assert checked.tuple_of([1, 2], "it", 2, 3) == (1, 2)
    assert checked.tuple_of((), "it") == ()
    assert set(checked.texts_of({"a", "b"}, "it")) == {"a", "b"}
    assert checked.mapping_of({"a": 1}, "it") == {"a": 1}
    plain = {"a": [1, (2.0, b"x"), {None, True}], 3: UTC}
    assert checked.inert_of(plain, "it") is plain


def test_lengths_and_bounds() -> None:
    with pytest.raises(SerializeError, match="2 or 3 parts, not 1"):
        checked.tuple_of((1,), "it", 2, 3)
    with pytest.raises(SerializeError, match="from 0 to 9"):
        checked.integer_of(10**5000, "it", 0, 9)


def test_keys_are_part_of_a_plain_value() -> None:
    assert not checked.is_inert({Text("x"): 1})
    assert not checked.is_inert([{"a": (1, {"b": Text("x")})}])


def test_deep_values_need_no_stack() -> None:
    value: Any = None
    for _ in range(100_000):
        value = [value]
    assert checked.is_inert(value)
    while value:  # freed one by one, whatever the interpreter does about deep lists
        value = value.pop()


def test_names_in_errors_are_cut_and_escaped() -> None:
    assert checked.cut("a\n\x1b" + "b" * 1000) == repr("a\n\x1b" + "b" * 97 + "…")
    long_name = type("N" * 500, (), {})
    assert checked.type_name(long_name()) == "N" * 100
    assert checked.type_name(Hostile()) == "Hostile"


def test_is_kind_does_not_ask_the_object() -> None:
    assert checked.is_kind(True, int)
    assert not checked.is_kind(Hostile(), int)


class Point:
    """Hashed by what it has, and not careful about it."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    def __hash__(self) -> int:
        return hash(self.x)


class ByIdentity:
    """Hashed by Python itself."""

    def __init__(self, x: Any) -> None:
        self.x = x


class Pair(NamedTuple):
    """Hashed as a tuple is."""

    one: Any
    other: Any


def test_keys_that_pass() -> None:
    from decimal import Decimal

    from fastpyro import URI, Proxy

    proxy = Proxy("PYRO:x@127.0.0.1:1")
    for key in (1, "x", (1, ("x", None)), Decimal(1), URI("PYRO:x@h:1"), proxy, Point((1, "x")), ByIdentity(Hostile())):
        checked.check_key(key)
    around = Point(1)
    around.x = [around]
    checked.check_key(around)


def test_a_key_whose_hash_would_see_a_proxy_is_refused() -> None:
    from fastpyro import Proxy

    proxy = Proxy("PYRO:x@127.0.0.1:1")
    for key in (Point(proxy), (1, Point([proxy])), Point(ByIdentity({"a": (proxy,)})), Point(Pair(1, proxy))):
        with pytest.raises(SerializeError, match="holds no proxy"):
            checked.check_key(key)
    checked.check_key(Pair(1, proxy))


def test_reasons_run_nothing() -> None:
    assert checked.reason_of(KeyError("x")) == "'x'"
    assert checked.reason_of(ValueError(Hostile())) == "ValueError"
    assert checked.reason_of(ValueError(10**5000)) == "ValueError"

    class OddError(Exception):
        def __str__(self) -> str:
            raise AssertionError

    assert checked.reason_of(OddError("x")) == "x"
