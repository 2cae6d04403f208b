"""What values become on the wire, what is refused, and values that change while they are written."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable
from typing import Any

import pytest
from strategies import Point, make_codec

from fastpyro.errors import PyroError, SecurityError, SerializeError
from fastpyro.serializers._codec import Codec

CODEC = make_codec()

# The heads of the msgpack specification, at both sides of each step from one form to the next.
HEADS: list[tuple[Any, str]] = [
    (None, "c0"),
    (False, "c2"),
    (True, "c3"),
    (0, "00"),
    (127, "7f"),
    (128, "cc80"),
    (255, "ccff"),
    (256, "cd0100"),
    (65535, "cdffff"),
    (65536, "ce00010000"),
    (2**32 - 1, "ceffffffff"),
    (2**32, "cf0000000100000000"),
    (2**64 - 1, "cfffffffffffffffff"),
    (2**64, "c70905010000000000000000"),
    (-1, "ff"),
    (-32, "e0"),
    (-33, "d0df"),
    (-128, "d080"),
    (-129, "d1ff7f"),
    (-32768, "d18000"),
    (-32769, "d2ffff7fff"),
    (-(2**31), "d280000000"),
    (-(2**31) - 1, "d3ffffffff7fffffff"),
    (-(2**63), "d38000000000000000"),
    (-(2**63) - 1, "c70905ff7fffffffffffffff"),
    (1.0, "cb3ff0000000000000"),
    (-0.0, "cb8000000000000000"),
    ("", "a0"),
    ("é", "a2c3a9"),
    ("\ud800", "c70307eda080"),
    (b"", "c400"),
    (bytearray(b"a"), "c7010461"),
    ([], "90"),
    ({}, "80"),
    ((), "c7010190"),
    (set(), "c7010290"),
    (frozenset(), "c7010390"),
    ((1, (2,)), "c707019201c702019102"),
    (1j, "c71006" + "00" * 8 + "3ff0000000000000"),
    (datetime.date(2026, 11, 23), "c7040907ea0b17"),
    (datetime.timedelta(-1, 2, 3), "c70c0bffffffff0000000200000003"),
    (datetime.time(1, 2, 3, 4), "c7080a0102030000000400"),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, fold=1), "c70c0807ea01020304050000000601"),
    (
        datetime.time(1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "X")),
        "c7100a010000000000000092ced693a400a158",
    ),
    (datetime.time(1, tzinfo=zoneinfo.ZoneInfo("UTC")), "c70c0a0100000000000000a3555443"),
    (Point(1), "c7080c92a5506f696e7401"),
]


@pytest.mark.parametrize(("value", "expected"), HEADS, ids=lambda one: repr(one)[:40])
def test_value_has_this_form(value: Any, expected: str) -> None:
    assert CODEC.encode(value).hex() == expected


@pytest.mark.parametrize(
    ("value", "head"),
    [
        ("a" * 31, "bf"),
        ("a" * 32, "d920"),
        ("a" * 255, "d9ff"),
        ("a" * 256, "da0100"),
        ("a" * 65536, "db00010000"),
        (bytes(255), "c4ff"),
        (bytes(256), "c50100"),
        (bytes(65536), "c600010000"),
        ([0] * 15, "9f"),
        ([0] * 16, "dc0010"),
        ([0] * 65536, "dd00010000"),
        (dict.fromkeys(range(15)), "8f"),
        (dict.fromkeys(range(16)), "de0010"),
        (dict.fromkeys(range(65536)), "df00010000"),
        (bytearray(255), "c7ff04"),
        (bytearray(256), "c90000010004"),
        ((0,) * 252, "c7ff01dc00fc"),
        ((0,) * 253, "c90000010001dc00fd"),
    ],
    ids=lambda one: one if isinstance(one, str) and len(one) < 20 else type(one).__name__,
)
def test_head_grows_with_the_size(value: Any, head: str) -> None:
    assert CODEC.encode(value)[: len(head) // 2].hex() == head


@pytest.mark.parametrize("letter", ["x", "é", "€"])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_text_that_other_threads_need_not_wait_for(letter: str, more: int) -> None:
    text = "a" + letter * ((4 << 20) // len(letter.encode()) + more)
    encoded = text.encode()
    head = b"\xdb" + len(encoded).to_bytes(4, "big")
    assert CODEC.encode([text, "end"]) == b"\x92" + head + encoded + b"\xa3end"


def test_memoryview_travels_as_bytes() -> None:
    assert CODEC.encode(memoryview(b"abc")) == CODEC.encode(b"abc")
    assert CODEC.encode(memoryview(b"abcdef")[::2]) == CODEC.encode(b"ace")
    assert CODEC.encode(memoryview(bytes(8)).cast("I")) == CODEC.encode(bytes(8))


# ---- what is refused -------------------------------------------------------------------------------------------------


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


class OwnZone(datetime.tzinfo):
    pass


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), "cannot serialize an object of type object: not registered"),
        (1 << 14_400, r"an int of 1,801 bytes exceeds the limit of 1,793"),
        (released(), "cannot serialize a memoryview: .*released"),
        (datetime.time(tzinfo=OwnZone()), "cannot serialize a time zone of type .*OwnZone"),  # type: ignore[abstract]
    ],
    ids=["unknown class", "huge int", "released memoryview", "own time zone"],
)
def test_value_that_cannot_travel(value: Any, complaint: str) -> None:
    with pytest.raises(SerializeError, match=complaint):
        CODEC.encode(value)


def nested(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("innermost", [1, 1 << 70, 2j, datetime.date.min, bytearray(3), "\ud800"], ids=repr)
def test_100_levels_are_the_limit_whatever_is_innermost(innermost: Any) -> None:
    value = nested(100, innermost)
    assert CODEC.decode(CODEC.encode(value)) == value
    with pytest.raises(SerializeError, match="nested deeper than 100 levels"):
        CODEC.encode([value])


WRAPPERS: list[Callable[[Any], Any]] = [
    lambda item: [item],
    lambda item: (item,),
    lambda item: {"key": item},
    Point,
]


@pytest.mark.parametrize("wrap", WRAPPERS, ids=["list", "tuple", "dict", "object"])
def test_10_000_levels_are_refused(wrap: Callable[[Any], Any]) -> None:
    value: Any = 1
    for _ in range(10_000):
        value = wrap(value)
    with pytest.raises(SerializeError, match="nested deeper than 100 levels"):
        CODEC.encode(value)


def test_value_that_contains_itself() -> None:
    items: list[Any] = []
    items.append(items)
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    for value in (items, mapping):
        with pytest.raises(SerializeError, match="contains itself"):
            CODEC.encode(value)


# ---- to_state, which is the user's code ------------------------------------------------------------------------------


def codec_with(to_state: Any) -> Codec:
    return Codec(to_state, lambda class_name, state: (class_name, state))


def test_replacement_is_encoded_instead() -> None:
    assert codec_with(lambda value: (None, [1, 2])).encode({"a": object()}) == CODEC.encode({"a": [1, 2]})


def test_replacement_that_needs_a_replacement_for_ever() -> None:
    with pytest.raises(SerializeError, match="nested deeper"):
        codec_with(lambda value: (None, object())).encode(object())


@pytest.mark.parametrize("answer", [None, 3, ("one",), (1, 2, 3), (1, 2), (b"name", 2)], ids=repr)
def test_answer_that_is_no_name_and_state(answer: Any) -> None:
    with pytest.raises(SerializeError):
        codec_with(lambda value: answer).encode(object())


@pytest.mark.parametrize("error", [ValueError("text"), RecursionError("text"), MemoryError("text")], ids=repr)
def test_error_of_to_state_is_the_cause(error: Exception) -> None:
    def fail(value: Any) -> Any:
        raise error

    with pytest.raises(SerializeError, match="object of type object: text") as caught:
        codec_with(fail).encode([object()])
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [SecurityError("no"), PyroError("no"), KeyboardInterrupt()], ids=repr)
def test_errors_that_pass_unchanged(error: BaseException) -> None:
    def fail(value: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        codec_with(fail).encode([object()])
    assert caught.value is error


@pytest.mark.parametrize("change", ["append", "clear", "replace"])
def test_list_that_changes_meanwhile(change: str) -> None:
    items: list[Any] = [object(), "second", "third"]

    def to_state(value: Any) -> tuple[str | None, Any]:
        if change == "append":
            items.append(1)
        elif change == "clear":
            items.clear()
        else:
            items[:] = [0] * 3
        return None, "replaced"

    codec = codec_with(to_state)
    if change == "replace":
        assert codec.decode(codec.encode(items)) == ["replaced", 0, 0]
    else:
        with pytest.raises(SerializeError, match="a list changed while it was being encoded"):
            codec.encode(items)


@pytest.mark.parametrize("added", [0, 100])
def test_dict_that_changes_meanwhile(added: int) -> None:
    mapping: dict[Any, Any] = {"first": object(), "second": 2}

    def to_state(value: Any) -> tuple[str | None, Any]:
        mapping.clear()
        mapping.update(dict.fromkeys(range(added)))
        return None, "replaced"

    with pytest.raises(SerializeError, match="a dict changed while it was being encoded"):
        codec_with(to_state).encode(mapping)


def test_dict_whose_values_change_meanwhile() -> None:
    mapping: dict[str, Any] = {"first": object(), "second": 2}

    def to_state(value: Any) -> tuple[str | None, Any]:
        mapping.update(first="new", second="new")
        return None, "replaced"

    codec = codec_with(to_state)
    assert codec.decode(codec.encode(mapping)) == {"first": "replaced", "second": "new"}


def test_value_that_only_the_container_held_is_kept_while_it_is_written() -> None:
    items: list[Any] = [object()]
    seen = []

    def to_state(value: Any) -> tuple[str | None, Any]:
        items.clear()
        seen.append(repr(value))  # a freed object would not survive this
        return None, value.__class__.__name__

    with pytest.raises(SerializeError, match="a list changed"):
        codec_with(to_state).encode(items)
    assert len(seen) == 1


def test_to_state_may_use_the_codec() -> None:
    def to_state(value: Any) -> tuple[str | None, Any]:
        return "Inner", codec.encode(["x" * 5000] * 3)

    codec = codec_with(to_state)
    class_name, state = codec.decode(codec.encode(object()))
    assert class_name == "Inner"
    assert codec.decode(state) == ["x" * 5000] * 3
