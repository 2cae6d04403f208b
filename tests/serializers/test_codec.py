"""Values and calls come back exactly, in every type; other msgpack libraries read the core of the format."""

from __future__ import annotations

import datetime
import math
import threading
import zoneinfo
from typing import Any

import msgpack
import pytest
from reference_codec import NotAValue, ReferenceCodec, exact
from strategies import Point, from_state, make_codec, to_state

from fastpyro.errors import SerializeError
from fastpyro.serializers._codec import Codec

CODEC = make_codec()
REFERENCE = ReferenceCodec(to_state, from_state)
HOUR = datetime.timedelta(hours=1)

VALUES: list[Any] = [
    None,
    True,
    False,
    *(
        sign * (1 << bits) + extra
        for bits in (0, 5, 7, 8, 15, 16, 31, 32, 63, 64, 65)
        for sign in (1, -1)
        for extra in (-1, 0, 1)
    ),
    10**4299,
    -(10**4299),
    *(0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308),
    *(1j, complex(-0.0, math.inf), complex(math.nan, -1)),
    *(
        "",
        "a",
        "a" * 31,
        "a" * 32,
        "a" * 256,
        "a" * 70_000,
        "é",
        "日本",
        "\U0001f600" * 20,
        "\0",
        "\ud800",
        "a\udfffb" * 200,
    ),
    *(b"", b"\0\xff", bytes(255), bytes(256), bytes(70_000), bytearray(), bytearray(b"abc"), bytearray(300)),
    *([], [[]], [1, [2, [3]]], list(range(16)), [0] * 70_000),
    *((), (1,), ((), ((),)), tuple(range(20)), tuple(range(1000))),
    *(set(), {1, "a", None, (1, 2)}, set(range(5000)), frozenset(), frozenset({frozenset({1}), b"x"})),
    *(
        {},
        {"a": {"b": {}}},
        {1: "int", 1.5: "float", None: 0, (1, "t"): [], b"b": 1, False: 2},
        {n: str(n) for n in range(3000)},
    ),
    *(datetime.date.min, datetime.date.max, datetime.date(2024, 2, 29)),
    *(datetime.timedelta(), datetime.timedelta.min, datetime.timedelta.max, datetime.timedelta(-1, 1, 1)),
    *(
        datetime.time.min,
        datetime.time.max,
        datetime.time(1, tzinfo=datetime.timezone(-5 * HOUR)),
        datetime.time(2, fold=1),
    ),
    *(datetime.datetime.min, datetime.datetime.max, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(HOUR, "Somewhere")),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(microseconds=-1))),
    datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    *(Point(1), Point([Point({"x": (1, 2)})]), {Point("key"): Point("value")}),
]


@pytest.mark.parametrize(
    "value", VALUES, ids=lambda value: ascii(value)[:30] if not isinstance(value, int) else hex(value)[:30]
)
def test_value_comes_back_exactly(value: Any) -> None:
    data = CODEC.encode(value)
    assert exact(CODEC.decode(data)) == exact(value)
    assert data == REFERENCE.encode(value)


@pytest.mark.parametrize("value", [2, 1.5, "text", b"bytes", [1, "a", {"k": [None, True, -70_000]}], {"x": 2**64 - 1}])
def test_core_is_msgpack(value: Any) -> None:
    assert msgpack.unpackb(CODEC.encode(value), strict_map_key=False) == value
    assert CODEC.decode(msgpack.packb(value)) == value


def test_extensions_are_extensions_of_msgpack() -> None:
    unpacked = msgpack.unpackb(CODEC.encode([(1, 2), {"x": bytearray(b"ab")}]))
    assert unpacked == [msgpack.ExtType(1, b"\x92\x01\x02"), {"x": msgpack.ExtType(4, b"ab")}]
    assert CODEC.decode(msgpack.packb(msgpack.ExtType(4, b"abcd"))) == bytearray(b"abcd")


def test_singletons_and_known_keys_are_the_same_objects() -> None:
    first, second = CODEC.decode(CODEC.encode([{"name": None}, {"name": True}]))
    assert next(iter(first)) is next(iter(second))


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, lambda data: memoryview(b"--" + data + b"-")[2:-1]])
def test_any_contiguous_buffer(form: Any) -> None:
    value = {"a": [1, "two", b"three", (4,)]}
    assert CODEC.decode(form(CODEC.encode(value))) == value
    call = CODEC.encode_call("object", "method", (value,), {"k": 1})
    assert CODEC.decode_call(form(call)) == ("object", "method", (value,), {"k": 1})


def test_decoded_values_do_not_share_memory_with_the_buffer() -> None:
    data = bytearray(CODEC.encode([b"bytes", bytearray(b"more"), "text"]))
    value = CODEC.decode(data)
    data[:] = bytes(len(data))
    assert value == [b"bytes", bytearray(b"more"), "text"]


# ---- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, None, {"key": (1, 2)}, {str(n): n for n in range(20)}])
@pytest.mark.parametrize("args", [(), (1, "two"), tuple(range(20)), ([(1,)],)])
def test_call_comes_back_exactly(args: tuple[Any, ...], kwargs: Any) -> None:
    data = CODEC.encode_call("object", "method", args, kwargs)
    assert exact(CODEC.decode_call(data)) == exact(("object", "method", args, kwargs or {}))
    assert data == REFERENCE.encode_call("object", "method", args, kwargs)


def test_call_is_plain_msgpack() -> None:
    data = CODEC.encode_call("object", "method", (1, "x"), {"k": 2})
    assert msgpack.unpackb(data) == ["object", "method", [1, "x"], {"k": 2}]
    assert msgpack.unpackb(CODEC.encode_call("object", "method", (), {})) == ["object", "method", [], None]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ([], "array of 4"),
        (["o", "m", []], "array of 4"),
        (["o", "m", [], None, None], "array of 4"),
        ([1, "m", [], None], "are str"),
        (["o", b"m", [], None], "are str"),
        (["o", "m", {}, None], "where an array was expected"),
        (["o", "m", None, None], "where an array was expected"),
        (["o", "m", [], []], "a map or nil"),
        (["o", "m", [], False], "a map or nil"),
        (["o", "m", [], {1: 2}], "names of keyword arguments"),
        (["o", "m", [], {b"k": 2}], "names of keyword arguments"),
        ({}, "where an array was expected"),
        ("text", "where an array was expected"),
    ],
    ids=repr,
)
def test_value_that_is_no_call(call: Any, complaint: str) -> None:
    data = CODEC.encode(call)
    with pytest.raises(SerializeError, match=complaint):
        CODEC.decode_call(data)
    with pytest.raises(NotAValue):
        REFERENCE.decode_call(data)


def test_every_prefix_and_every_tail_of_a_call_is_refused() -> None:
    data = CODEC.encode_call("object", "method", (1, [2, "three"]), {"key": b"value"})
    for wrong in [*(data[:size] for size in range(len(data))), data + b"\0"]:
        with pytest.raises(SerializeError):
            CODEC.decode_call(wrong)


@pytest.mark.parametrize(
    "wrong", [(None, "m", (), {}), ("o", 3, (), {}), ("o", "m", [], {}), ("o", "m", None, {}), ("o", "m", (), [])]
)
def test_arguments_of_encode_call_have_their_types(wrong: Any) -> None:
    with pytest.raises(TypeError):
        CODEC.encode_call(*wrong)


def test_codec_needs_both_functions() -> None:
    with pytest.raises(TypeError):
        Codec()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Codec.__new__(Codec)  # type: ignore[call-arg]


# ---- several at once -------------------------------------------------------------------------------------------------


def test_several_threads_use_one_codec() -> None:
    def slow_to_state(value: Any) -> tuple[str | None, Any]:
        barrier.wait(30)  # all threads are in the middle of a value
        return to_state(value)

    def work(number: int) -> None:
        value = [f"text {number}", {f"key{number}": Point((number, "x" * 2000 * number))}, b"y" * number]
        results.extend(codec.decode(codec.encode(value)) == value for _ in range(50))

    codec, barrier = Codec(slow_to_state, from_state), threading.Barrier(4)
    results: list[bool] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 200
