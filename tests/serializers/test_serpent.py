"""Serpent's text: what the package writes is read, what is written is what the package writes, and nothing is evaluated."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import serpent

from fastpyro.errors import SecurityError, SerializeError
from fastpyro.serializers._serpent import HEADER, SerpentCodec


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {type(value).__name__}")


def keep(class_name: str, data: dict[str, Any]) -> Any:
    return class_name, data


codec = SerpentCodec(refuse, keep)

PLAIN: list[Any] = [
    *(None, True, False, 0, -1, 10**18, -(10**18), 2**63, -(2**63), 10**4200, 1.0, -0.0, 1e100, 1e-300, 0.1),
    *("", "x", "it's", 'say "hi"', "both ' and \"", "\n\t\r\\\x00\x7f\x80\x1b", "é€\U0001f600", "\ud800", "\u2028"),
    *(3 + 4j, -3.5 - 4j, 1j, complex(0.0, -0.0), complex(float("inf"), 1)),
    *((), (1,), (1, 2), [], [1], [[[]]], {}, {"a": 1}, {1: 2, "x": {1.5: (2,)}}, {(1, 2): 3}, {True: 1}),
    *(set(), {1}, {1, 2, 3}, frozenset({"a"}), b"", b"bytes\x00\xff", bytearray(b"x"), memoryview(b"view")),
    *(float("nan"), float("inf"), -float("inf"), [float("nan")], complex(float("nan"), 1)),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:40])
def test_the_bytes_are_those_of_the_package(value: Any) -> None:
    assert codec.encode(value) == serpent.dumps(value, module_in_classname=True)


@pytest.mark.parametrize("indent", [False, True])
def test_what_the_package_writes_is_read(indent: bool) -> None:
    value = {"a": [1, 2.5, "x\n\"'"], "b": (1,), "c": {1, 2}, (1, 2): 3 + 4j, "e": None, "f": [True, -1e30]}
    assert codec.decode(serpent.dumps(value, indent=indent)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1),
        (b" \t 1 # comment\n", 1),
        (b"# one\n# two\n[1,\n # inside\n2,]", [1, 2]),
        (b"(1)", 1),
        (b"((1),)", (1,)),
        (b"0x1F", 31),
        (b"-0o17", -15),
        (b"0b101", 5),
        (b"00", 0),
        (b".5", 0.5),
        (b"5.", 5.0),
        (b"1e400", float("inf")),
        (b"- 5", -5),
        (b"3+4j", 3 + 4j),
        (b"(3.0-4.0j)", 3 - 4j),
        (b"4j", 4j),
        (b"{1,}", {1}),
        (b"set()", set()),
        (b"{'a':1,'a':2}", {"a": 2}),
        (b"u'x'", "x"),
        (b"b'\\x00\\377\\n\\u1234'", b"\x00\xff\n\\u1234"),
        (b"'\\x41\\u00e9\\U0001F600\\101\\q\\a'", "A\u00e9\U0001f600A\\q\a"),
        (b"'a\\\nb'", "ab"),
        (b'"\xc3\xa9"', "é"),
    ],
)
def test_literals(text: bytes, value: Any) -> None:
    read = codec.decode(text)
    assert (type(read), read) == (type(value), value)


WRONG = {
    "nothing": b"",
    "only the header": HEADER,
    "two values": b"1 2",
    "an open string": b"'abc",
    "a string over two lines": b"'a\nb'",
    "three quotes": b"'''a'''",
    "an open list": b"[1,2",
    "an open tuple": b"(1",
    "an open dict": b"{1:2",
    "a dict without a value": b"{1:}",
    "a dict that becomes a set": b"{1:2,3}",
    "a set that becomes a dict": b"{1,2:3}",
    "two commas": b"[1,,2]",
    "no comma": b"[1 2]",
    "a wrong end": b"[1)",
    "an unhashable key": b"{[]:1}",
    "an unhashable element": b"{[],1}",
    "a word": b"foo",
    "a longer word": b"Nones",
    "a call": b"print(1)",
    "an attribute": b"().__class__",
    "an operator": b"1+2",
    "two signs": b"--1",
    "leading zeros": b"007",
    "letters behind a number": b"1x",
    "an exponent without digits": b"1e",
    "a lone dot": b".",
    "a 0-byte": b"'a\x00b'",
    "no UTF-8": b"'\xff'",
    "a surrogate in UTF-8": b"'\xed\xa0\x80'",
    "a short escape": b"'\\x4'",
    "an escape that is no character": b"'\\UFFFFFFFF'",
    "a name of a character": b"'\\N{BULLET}'",
    "a string that ends with a backslash": b"'\\",
    "bytes that are no ASCII": b"b'\xc3\xa9'",
    "open bytes": b"b'a",
    "too many digits": b"9" * 4301,
    "too many hexadecimal digits": b"0x" + b"f" * 4301,
    "a far too long float": b"1." + b"0" * 6000,
    "too deep": b"[" * 300 + b"]" * 300,
    "too deep and open": b"[" * 100_000,
    "a starred element": b"[*(1,2)]",
    "a format string": b"f'a'",
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_text_says_where(name: str) -> None:
    with pytest.raises(SerializeError, match=r"byte \d|0-byte"):
        codec.decode(WRONG[name])


def test_classes_are_restored_innermost_first_and_everywhere() -> None:
    text = b"[{'__class__':'A','x':{'__class__':'B'}},({'__class__':'C'},),{'k':{'__class__':'D'}},{'__class__':1}]"
    b = ("B", {"__class__": "B"})
    assert codec.decode(text) == [
        ("A", {"__class__": "A", "x": b}),
        (("C", {"__class__": "C"}),),
        {"k": ("D", {"__class__": "D"})},
        {"__class__": 1},
    ]


def test_errors_of_restoring() -> None:
    def security(*_: Any) -> Any:
        raise SecurityError("no")

    def other(*_: Any) -> Any:
        raise RuntimeError("broken")

    with pytest.raises(SecurityError):
        SerpentCodec(refuse, security).decode(b"{'__class__':'x'}")
    with pytest.raises(SerializeError, match="cannot build an object of class 'x': broken"):
        SerpentCodec(refuse, other).decode(b"{'__class__':'x'}")


def test_simplify_is_asked_for_the_rest() -> None:
    class Point:
        pass

    asked = SerpentCodec(lambda value: {"__class__": "Point", "inner": [1]}, keep)
    assert asked.encode([Point()]) == HEADER + b"[{'__class__':'Point','inner':[1]}]"
    with pytest.raises(SerializeError, match="neither"):
        asked.encode({Point(): 1})
    with pytest.raises(SerializeError, match="simplified"):
        codec.encode(Point())


def test_what_cannot_be_written() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SerializeError, match="contains itself"):
        codec.encode(loop)
    with pytest.raises(SerializeError, match="digits"):
        codec.encode(10**5000)
    with pytest.raises(SerializeError, match="neither"):
        codec.encode({b"bytes": 1})


def test_a_container_that_changes_while_it_is_written() -> None:
    for container in ([object(), 1], {"a": object(), "b": 1}):

        def change(_: Any, container: Any = container) -> None:
            container.clear()

        with pytest.raises(SerializeError, match="changed"):
            SerpentCodec(change, keep).encode(container)


def test_bytes_as_literals() -> None:
    literal = SerpentCodec(refuse, keep)
    literal.bytes_literal = True
    assert literal.encode(b"a'\x00") == HEADER + b'b"a\'\\x00"'
    assert codec.decode(literal.encode({b"k": b"\xff"})) == {b"k": b"\xff"}


def test_calls() -> None:
    data = codec.encode_call("obj", "m", (1, "x"), {"k": 2})
    assert data == HEADER + b"('obj','m',(1,'x'),{'k':2})"  # reference/pyro.md 3.14
    assert codec.decode_call(data) == ("obj", "m", (1, "x"), {"k": 2})
    assert codec.decode_call(memoryview(b"('o','m',[1],None)")) == ("o", "m", [1], None)


@pytest.mark.parametrize(
    "text", [b"1", b"('o','m',())", b"(1,'m',(),{})", b"('o',1,(),{})", b"('o','m',1,{})", b"('o','m',(),{1:2})"]
)
def test_what_is_no_call(text: bytes) -> None:
    with pytest.raises(SerializeError, match="a call is"):
        codec.decode_call(text)


def test_keys_that_collide_are_refused() -> None:
    modulus = (1 << 61) - 1
    text = "{" + ",".join(f"{modulus * index}:0" for index in range(20_000)) + "}"
    started = time.perf_counter()
    with pytest.raises(SerializeError, match="collide"):
        codec.decode(text.encode())
    assert time.perf_counter() - started < 5


def median_seconds(action: Callable[[], Any], count: int) -> float:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(count):
            action()
        times.append((time.perf_counter() - started) / count)
    return statistics.median(times)


def test_it_is_an_order_of_magnitude_faster_than_the_package() -> None:
    # The bounds are 12 and 20 (bench/bench_serpent.py); here the machine may be busy.
    arguments = ("obj", "echo", ("hello", 42), {"key": [1, 2, 3]})
    dicts = [{"id": index, "name": f"item {index}", "value": index * 0.5, "tags": ["a"]} for index in range(200)]
    for value, count, least in ((arguments, 200, 8), (dicts, 2, 12)):
        ours = median_seconds(lambda value=value: codec.decode(codec.encode(value)), count)  # type: ignore[misc]
        theirs = median_seconds(lambda value=value: serpent.loads(serpent.dumps(value)), count)  # type: ignore[misc]
        assert theirs / ours > least
