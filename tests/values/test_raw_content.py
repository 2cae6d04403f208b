"""What objects of subclasses hold travels as it is, whatever their methods say; in every format it comes back as it was."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

import fastpyro
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer
from fastpyro.values.raw_content import RAW, content_of

EVERYWHERE = ("native", "serpent", "json", "msgpack", "marshal")
VALUES: dict[type, Any] = {
    dict: {"a": 1}, list: [1, 2], tuple: (1, 2), set: {1, 2}, frozenset: frozenset({1, 2}), str: "secret", int: 7,
    float: 1.5, complex: 1 + 2j, bytes: b"ab", bytearray: bytearray(b"ab"),
}  # fmt: skip
MOMENTS: dict[type, Any] = {
    datetime.datetime: datetime.datetime(2020, 1, 2, 3, 4, 5, 6, datetime.UTC, fold=1),
    datetime.date: datetime.date(2020, 1, 2),
    datetime.time: datetime.time(1, 2, 3, 4, fold=1),
    datetime.timedelta: datetime.timedelta(1, 2, 3),
}
LYING = [
    "__str__", "__iter__", "__int__", "__float__", "__complex__", "__bytes__", "__len__", "__getitem__", "__index__",
    "__format__", "__abs__", "__pos__", "keys", "items", "values", "copy", "real", "imag", "encode", "year", "month",
    "day", "hour", "minute", "second", "microsecond", "tzinfo", "fold", "timetuple", "date", "timetz", "toordinal",
    "days", "seconds", "microseconds", "isoformat", "total_seconds",
]  # fmt: skip


def lie(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a method of the subclass was asked")


def lying_subclass(base: type) -> Any:
    names: dict[str, Any] = {name: lie for name in LYING if hasattr(base, name)}
    return type(f"Lying{base.__name__.title()}", (base,), names)


def round_trip(value: Any, name: str) -> Any:
    serializer = get_serializer(name)
    return serializer.loads(serializer.dumps(value))


@pytest.mark.parametrize("base", RAW, ids=lambda base: base.__name__)
def test_the_content_is_raw(base: type) -> None:
    value = {**VALUES, **MOMENTS}[base]
    cls = lying_subclass(base)
    if base is datetime.datetime:
        made = cls(2020, 1, 2, 3, 4, 5, 6, datetime.UTC, fold=1)
    elif base is datetime.date:
        made = cls(2020, 1, 2)
    elif base is datetime.time:
        made = cls(1, 2, 3, 4, fold=1)
    elif base is datetime.timedelta:
        made = cls(1, 2, 3)
    else:
        made = cls(value)
    raw = RAW[base](made)
    assert type(raw) is base
    assert raw == value
    assert type(round_trip([made], "native")[0]) is base
    assert round_trip([made], "native") == [value]


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("base", VALUES, ids=lambda base: base.__name__)
def test_unregistered_subclasses_in_every_format(base: type, name: str) -> None:
    if name == "json" and base in (bytes, bytearray, complex):
        with pytest.raises(SerializeError):
            round_trip([lying_subclass(base)(VALUES[base])], name)
        return
    assert round_trip([lying_subclass(base)(VALUES[base])], name) == round_trip([VALUES[base]], name)


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("base", VALUES, ids=lambda base: base.__name__)
def test_registered_subclasses_come_back_as_themselves(base: type, name: str) -> None:
    cls = fastpyro.register_class(lying_subclass(base), name=f"raw_content.{base.__name__}")
    made = cls(VALUES[base])
    made.note = [1]
    if name == "json" and base in (bytes, bytearray, complex):
        with pytest.raises(SerializeError):
            round_trip(made, name)
        return
    for value in (made, cls()):
        received = round_trip(value, name)
        assert type(received) is cls
        assert RAW[base](received) == RAW[base](value)
    assert round_trip(made, name).note == [1]


class Holder:
    """Has one attribute, called as we call the state of what has none."""

    def __init__(self, state: Any) -> None:
        self.state = state


class Choosing(Holder):
    """Says itself what its state is."""

    def __getstate__(self) -> Any:
        return {"state": self.state}

    def __setstate__(self, state: Any) -> None:
        self.state = state["state"]


class Nothing:
    def __getstate__(self) -> None:
        return None


class Slotted:
    __slots__ = ("__dict__", "x")

    def __init__(self, x: int) -> None:
        self.x = x

    def __getstate__(self) -> Any:
        return self.__dict__ or None, {"x": self.x}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_no_key_of_ours_is_taken_for_an_attribute(name: str) -> None:
    for cls in (Holder, Choosing):
        fastpyro.register_class(cls, name=f"raw_content.{cls.__name__}")
        for state in ({"a": 1}, [1], "x", None, {"state": {"state": 1}}):
            received = round_trip(cls(state), name)
            assert (type(received), received.state) == (cls, state)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_states_as_pickle_takes_them(name: str) -> None:
    fastpyro.register_class(Nothing, name="raw_content.Nothing")
    fastpyro.register_class(Slotted, name="raw_content.Slotted")
    assert vars(round_trip(Nothing(), name)) == {}
    assert round_trip(Slotted(3), name).x == 3
    both = Slotted(4)
    both.__dict__["y"] = 5
    assert (round_trip(both, name).x, vars(round_trip(both, name))) == (4, {"y": 5})


def test_a_state_that_is_no_dict_is_the_value_in_serpent() -> None:
    class Bare:
        def __getstate__(self) -> Any:
            return [1, 2]

    assert round_trip([Bare()], "serpent") == [[1, 2]]


@pytest.mark.parametrize(
    ("base", "value"),
    [
        (set, [[]]), (frozenset, [{}]), (set, {"a": 1}), (bytes, "x"), (bytes, {"data": "abc", "encoding": "base64"}),
        (bytes, {"data": "YQ==", "encoding": "utf-8"}), (bytes, {"data": 5, "encoding": "base64"}), (bytes, [1]),
        (tuple, {1}), (list, "ab"), (dict, [("a", 1)]), (str, b"x"), (int, 1.0), (int, True), (float, 10**400), (str, None),
    ],
)  # fmt: skip
def test_other_contents_are_refused(base: type, value: Any) -> None:
    with pytest.raises(SerializeError):
        content_of(base, value, "it")


def test_keys_that_collide_are_refused() -> None:
    prime = (1 << 61) - 1
    with pytest.raises(SerializeError):
        content_of(set, [number * prime for number in range(5000)], "it")


def test_iterating_is_never_the_users() -> None:
    class Numbers(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError

    assert RAW[list](Numbers([1])) == [1]
