"""The plain values of marshal: what Python writes is read, and what is read came from nowhere else."""

from __future__ import annotations

import marshal
from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers._marshal import MarshalCodec


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {type(value).__name__}")


def keep(class_name: str, data: dict[str, Any]) -> Any:
    return class_name, data


codec = MarshalCodec(refuse, keep)

PLAIN: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**70, -(2**70), 10**4000),
    *(1.5, -0.0, float("inf"), 3 - 4j, "", "text", "é\U0001f600", "\ud800", "x" * 300, b"", b"\xff" * 300),
    *((), (1,), tuple(range(300)), [], [1, [2, (3,)]], {}, {"a": 1, 2: [None]}),
]


@pytest.mark.parametrize("version", range(5))
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:30])
def test_what_python_writes_is_read(value: Any, version: int) -> None:
    assert codec.decode(marshal.dumps(value, version)) == value


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:30])
def test_the_bytes_are_those_of_version_2(value: Any) -> None:
    assert codec.encode(value) == marshal.dumps(value, 2)


def test_sets_and_bytes_like_objects() -> None:
    for value in ({1, 2}, frozenset({"a"}), set()):
        assert codec.decode(codec.encode(value)) == marshal.loads(codec.encode(value)) == value
    assert codec.decode(codec.encode([bytearray(b"a"), memoryview(b"b")])) == [b"a", b"b"]


def test_references() -> None:
    shared = ["x" * 5, (1.5, 2)]
    value = [shared[0], shared[0], shared[1], shared[1], {"k": shared[1]}]
    assert codec.decode(marshal.dumps(value, 4)) == value


def test_references_cannot_make_a_value_huge() -> None:
    value: Any = ("leaf",)
    for _ in range(60):
        value = (value, value)
    data = marshal.dumps(value, 4)
    assert len(data) < 1000
    with pytest.raises(SerializeError, match="larger than"):
        codec.decode(data)


def test_what_cannot_be_written() -> None:
    for value in (object(), 10**5000):
        with pytest.raises(SerializeError):
            codec.encode(value)


def test_code_is_not_read() -> None:
    code = compile("1", "x", "eval")
    for data in (marshal.dumps(code), marshal.dumps([code]), marshal.dumps(StopIteration)):
        with pytest.raises(SerializeError, match="no plain value"):
            codec.decode(data)
    assert codec.decode(marshal.dumps(...)) is ...


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"?",
            b"i\x01",
            b"s\xff\xff\xff\xff",
            b"s\x05\0\0\0abc",
            b"u\x01\0\0\0\xff",
            b"[\xff\xff\xff\x7f",
            b"(\x02\0\0\0N",
        ),
        *(
            b"{N",
            b"{0N",
            b"0",
            b"[\x01\0\0\x000",
            b"{N0",
            b"NN",
            b"r\0\0\0\0",
            b"\xdb\x01\0\0\0r\0\0\0\0",
            b"\xb0",
            b"f\x03abc",
        ),
        *(b"l\x01\0\0\0\xff\xff", b"l\x00\x10\0\0", b"l\0\0\0\x80", b"<\x01\0\0\0[\0\0\0\0", b"{[\0\0\0\0N0"),
        b"[\x01\0\0\0" * 200 + b"N",
    ],
)
def test_bad_bytes(data: bytes) -> None:
    with pytest.raises(SerializeError):
        codec.decode(data)
