"""The peers' msgpack: the bytes that they write, and what they become."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from typing import Any

import msgpack
import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers._msgpack import MsgpackCodec


def refuse(value: Any) -> Any:
    if type(value) is frozenset:
        return list(value)
    raise SerializeError(f"cannot be simplified: {type(value).__name__}")


def keep(class_name: str, data: dict[str, Any]) -> Any:
    return class_name, data


codec = MsgpackCodec(refuse, keep)

# reference/pyro.md 3.14
VECTORS: list[tuple[Any, str]] = [
    (3 + 4j, "d83000000000000008400000000000001040"),
    (2**70, "c7163131313830353931363230373137343131333033343234"),
    (date(2020, 1, 2), "d73392400b0000000000"),
]


@pytest.mark.parametrize(("value", "data"), VECTORS)
def test_vectors(value: Any, data: str) -> None:
    assert codec.encode(value).hex() == data
    assert codec.decode(bytes.fromhex(data)) == value


def test_the_vector_of_a_call() -> None:
    data = bytes.fromhex("94a36f626aa16d9201a17881a16b02")
    assert codec.encode_call("obj", "m", (1, "x"), {"k": 2}) == data
    assert codec.decode_call(data) == ("obj", "m", [1, "x"], {"k": 2})


def test_a_datetime_is_local_time() -> None:
    value = datetime(2020, 1, 2, 3, 4, 5, 250_000)
    data = codec.encode(value)
    assert data == b"\xd7\x32" + struct.pack("=d", value.timestamp())
    assert codec.decode(data) == value
    with pytest.raises(SerializeError, match="time zone"):
        codec.encode(value.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (None, None),
        (True, True),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (-(2**200), -(2**200)),
        (1.5, 1.5),
        ("é", "é"),
        (b"\xff", b"\xff"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        ((1, (2,)), [1, [2]]),
        ({3}, [3]),
        (frozenset({3}), [3]),
        ({1: 2, "k": [None]}, {1: 2, "k": [None]}),
        ([list(range(20)), dict.fromkeys(map(str, range(20)))], [list(range(20)), dict.fromkeys(map(str, range(20)))]),
    ],
)
def test_values(value: Any, arrives: Any) -> None:
    assert codec.decode(codec.encode(value)) == arrives


def test_core_bytes_are_those_of_the_package() -> None:
    value = [None, False, 0, -33, 2**33, 0.1, "text" * 20, b"b" * 300, {"k": {"n": [1] * 70000}}]
    assert codec.encode(value) == msgpack.packb(value)
    assert codec.decode(msgpack.packb(1.5, use_single_float=True)) == 1.5


def test_what_cannot_be_written() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, "\ud800", 10**5000, object()):
        with pytest.raises(SerializeError):
            codec.encode(value)


def test_a_dict_that_changes_while_it_is_written() -> None:
    changing: dict[str, Any] = {"a": object(), "b": 1}
    with pytest.raises(SerializeError, match="changed"):
        MsgpackCodec(lambda _: changing.clear(), keep).encode(changing)


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\xc1",
            b"\x91",
            b"\x81\xa1k",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
        ),
        *(
            b"\xd9\x05abc",
            b"\xa1\xff",
            b"\xca\x00\x00",
            b"\xd4\x30\x00",
            b"\xd4\x31x",
            b"\xc7\x00\x31",
            b"\xd4\x05\x00",
        ),
        *(b"\xd7\x32\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xd7\x33\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x81\x90\x01"),
        *(b"\x91" * 200 + b"\xc0", b"\xc8\x10\xff\x31" + b"9" * 0x10FF, b"\x01\x01"),
    ],
)
def test_bad_bytes(data: bytes) -> None:
    with pytest.raises(SerializeError):
        codec.decode(data)


def test_large_tables() -> None:
    table = {index: str(index) for index in range(5000)}
    assert codec.decode(codec.encode(table)) == table
