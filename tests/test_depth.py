"""How deep values may be nested: in every format each container inside each other, read and written, on a small stack.

The depth is what bounds the C stack. The bytes are put together here, level by level, so that no writer is in the way.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fastpyro
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer

BINARY_LEVELS = 100
TEXT_LEVELS = 200
FAR_TOO_DEEP = 2000
SMALL_STACK = 128 * 1024
"""Bytes; musl gives a thread as much, and that is the least that is in use. `make sanitize` has no more, and needs 89 KB."""


@fastpyro.register_class(name="depth.Node")
@dataclass(frozen=True)
class Node:
    """An object that can be a key, and that can hold anything."""

    inner: Any


class Container(NamedTuple):
    """A value that holds one other."""

    levels: int
    around: Callable[[bytes], bytes]
    """Puts it around the bytes of a value."""
    makes: Callable[[Any], Any]
    hashable: str = "never"
    hashes: bool = False
    """Whether what it holds must be hashable."""


def extension(code: int, body: bytes) -> bytes:
    return b"\xc9" + len(body).to_bytes(4, "big") + bytes([code]) + body


def between(before: bytes, after: bytes = b"") -> Callable[[bytes], bytes]:
    return lambda inner: before + inner + after


def key_of(inner: Any) -> Any:
    return {inner: None}


def value_of(inner: Any) -> Any:
    return {"k": inner}


def list_of(inner: Any) -> Any:
    return [inner]


def tuple_of(inner: Any) -> Any:
    return (inner,)


def set_of(inner: Any) -> Any:
    return {inner}


def frozenset_of(inner: Any) -> Any:
    return frozenset([inner])


def array_in(code: int) -> Callable[[bytes], bytes]:
    return lambda inner: extension(code, b"\x91" + inner)


def native_node(inner: bytes) -> bytes:
    return extension(12, b"\x92\xaadepth.Node\x81\xa5inner" + inner)


def native_error(inner: bytes) -> bytes:
    state = b"\x96\xb3builtins.ValueError" + extension(1, b"\x91" + inner) + b"\x80\x90\x90\x80"
    return extension(12, b"\x92\xa9exception" + extension(1, state))


def marshal_text(text: bytes) -> bytes:
    return b"u" + len(text).to_bytes(4, "little") + text


ONE = b"\1\0\0\0"
ERROR_NAME = b"builtins.ValueError"

FORMATS: dict[str, tuple[int, bytes, dict[str, Container]]] = {
    "native": (
        BINARY_LEVELS,
        b"\xc0",
        {
            "list": Container(1, between(b"\x91"), list_of),
            "value": Container(1, between(b"\x81\xa1k"), value_of),
            "key": Container(1, between(b"\x81", b"\xc0"), key_of, hashes=True),
            "tuple": Container(1, array_in(1), tuple_of, hashable="as what it holds"),
            "set": Container(1, array_in(2), set_of, hashes=True),
            "frozenset": Container(1, array_in(3), frozenset_of, hashable="as what it holds", hashes=True),
            "node": Container(2, native_node, Node, hashable="as what it holds"),
            "error": Container(3, native_error, ValueError, hashable="always"),
        },
    ),
    "msgpack": (
        BINARY_LEVELS,
        b"\xc0",
        {
            "list": Container(1, between(b"\x91"), list_of),
            "value": Container(1, between(b"\x81\xa1k"), value_of),
            "key": Container(1, between(b"\x81", b"\xc0"), key_of, hashes=True),
            "node": Container(
                1, between(b"\x82\xa9__class__\xaadepth.Node\xa5inner"), Node, hashable="as what it holds"
            ),
            "error": Container(
                2,
                between(
                    b"\x84\xa9__class__\xb3" + ERROR_NAME + b"\xad__exception__\xc3\xa4args\x91", b"\xaaattributes\x80"
                ),
                ValueError,
                hashable="always",
            ),
        },
    ),
    "marshal": (
        BINARY_LEVELS,
        b"N",
        {
            "list": Container(1, between(b"[" + ONE), list_of),
            "value": Container(1, between(b"{" + marshal_text(b"k"), b"0"), value_of),
            "key": Container(1, between(b"{", b"N0"), key_of, hashes=True),
            "tuple": Container(1, between(b"(" + ONE), tuple_of, hashable="as what it holds"),
            "small tuple": Container(1, between(b")\1"), tuple_of, hashable="as what it holds"),
            "referable tuple": Container(1, between(b"\xa8" + ONE), tuple_of, hashable="as what it holds"),
            "set": Container(1, between(b"<" + ONE), set_of, hashes=True),
            "frozenset": Container(1, between(b">" + ONE), frozenset_of, hashable="as what it holds", hashes=True),
            "error": Container(
                2,
                between(
                    b"{"
                    + marshal_text(b"__class__")
                    + marshal_text(ERROR_NAME)
                    + marshal_text(b"__exception__")
                    + b"T"
                    + marshal_text(b"args")
                    + b"("
                    + ONE,
                    marshal_text(b"attributes") + b"{00",
                ),
                ValueError,
                hashable="always",
            ),
        },
    ),
    "serpent": (
        TEXT_LEVELS,
        b"None",
        {
            "list": Container(1, between(b"[", b"]"), list_of),
            "value": Container(1, between(b"{'k':", b"}"), value_of),
            "key": Container(1, between(b"{", b":None}"), key_of, hashes=True),
            "tuple": Container(1, between(b"(", b",)"), tuple_of, hashable="as what it holds"),
            "set": Container(1, between(b"{", b"}"), set_of, hashes=True),
            "error": Container(
                2,
                between(b"{'__class__':'" + ERROR_NAME + b"','__exception__':True,'args':(", b",),'attributes':{}}"),
                ValueError,
                hashable="always",
            ),
        },
    ),
    "json": (
        TEXT_LEVELS,
        b"null",
        {
            "list": Container(1, between(b"[", b"]"), list_of),
            "value": Container(1, between(b'{"k":', b"}"), value_of),
            "error": Container(
                2,
                between(b'{"__class__":"' + ERROR_NAME + b'","__exception__":true,"args":[', b'],"attributes":{}}'),
                ValueError,
                hashable="always",
            ),
        },
    ),
}

PAIRS = [
    (name, outer, inner)
    for name, (_, _, containers) in FORMATS.items()
    for outer, inner in itertools.product(containers, repeat=2)
]


def levels_of(cycle: list[Container], most: int) -> tuple[list[Container], int]:
    """Return containers, the innermost first, that are together as deep as that or a little less."""
    chosen: list[Container] = []
    levels = 0
    for container in itertools.cycle(cycle):
        if levels + container.levels > most:
            return chosen, levels
        chosen.append(container)
        levels += container.levels
    raise AssertionError("an empty cycle")


def filled(name: str, cycle: list[Container]) -> list[Container]:
    """Return containers that are exactly as deep as is allowed: tuples or lists make up for what is left."""
    most, _, containers = FORMATS[name]
    chosen, levels = levels_of(cycle, most)
    return chosen + [containers["list"]] * (most - levels)


def bytes_of(name: str, chosen: list[Container]) -> bytes:
    data = FORMATS[name][1]
    for container in chosen:
        data = container.around(data)
    return data


def can_be(chosen: list[Container]) -> bool:
    """Return whether all that must be hashable is."""
    hashable = True
    for container in chosen:
        if container.hashes and not hashable:
            return False
        hashable = container.hashable == "always" or (container.hashable == "as what it holds" and hashable)
    return True


def read_pair(name: str, outer: str, inner: str) -> None:
    serializer = get_serializer(name)
    containers = FORMATS[name][2]
    cycle = [containers[inner], containers[outer]]
    chosen = filled(name, cycle)
    if can_be(chosen):
        serializer.loads(bytes_of(name, chosen))
    else:
        with pytest.raises(SerializeError):
            serializer.loads(bytes_of(name, chosen))
    too_deep = [*chosen, *[containers["list"]] * (1 + (name == "serpent"))]  # see `test_one_level_for_a_written_value`
    for data in (bytes_of(name, too_deep), bytes_of(name, levels_of(cycle, FAR_TOO_DEEP)[0])):
        with pytest.raises(SerializeError, match=r"nested deeper than|unhashable|cannot be used as one"):
            serializer.loads(data)


def made_of(chosen: list[Container]) -> Any:
    value = None
    for container in chosen:
        value = container.makes(value)
    return value


def write_pair(name: str, outer: str, inner: str) -> None:
    """Write what can be made in Python. An object may count for a level more than where it is read."""
    serializer = get_serializer(name)
    containers = FORMATS[name][2]
    chosen = filled(name, [containers[inner], containers[outer]])
    if not can_be(chosen) or {outer, inner} & {"node", "error"}:
        return
    if name == "serpent" and {outer, inner} & {"set", "key"}:
        chosen = chosen[:1]  # it has no sets in sets, and no tuples in these that are not made of literals
    data = serializer.dumps(made_of(chosen))
    serializer.loads(data)
    for more in (1, FAR_TOO_DEEP):
        with pytest.raises(SerializeError, match="nested deeper than"):
            serializer.dumps(made_of(chosen + [containers["list"]] * (FORMATS[name][0] - len(chosen) + more)))


@pytest.mark.parametrize(("name", "outer", "inner"), PAIRS)
def test_containers_in_each_other_are_read(name: str, outer: str, inner: str) -> None:
    read_pair(name, outer, inner)


@pytest.mark.parametrize(("name", "outer", "inner"), PAIRS)
def test_containers_in_each_other_are_written(name: str, outer: str, inner: str) -> None:
    write_pair(name, outer, inner)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", range(5))
def test_containers_in_any_order(name: str, seed: int) -> None:
    containers = [one for one in FORMATS[name][2].values() if not one.hashes]
    cycle = random.Random(seed).choices(containers, k=FORMATS[name][0])
    chosen = filled(name, cycle)
    serializer = get_serializer(name)
    serializer.loads(bytes_of(name, chosen))
    with pytest.raises(SerializeError, match="nested deeper than"):
        serializer.loads(bytes_of(name, [*chosen, containers[0], containers[0]]))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", [Node, ValueError, list_of, tuple_of, value_of])
def test_what_is_written_is_read(name: str, kind: Callable[[Any], Any]) -> None:
    """At every depth a value is refused by whoever writes it, or read."""
    serializer = get_serializer(name)
    most = FORMATS[name][0]
    value: Any = None
    refused = []
    for depth in range(1, most + 3):
        value = kind(value)
        try:
            data = serializer.dumps(value)
        except SerializeError as error:
            refused.append((depth, str(error)))
        else:
            assert not refused
            serializer.loads(data)
    assert most // 3 < refused[0][0] <= most + 1
    assert all("nested deeper than" in text for _, text in refused)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("kind", "levels"), [(list_of, 1), (Node, 2), (ValueError, 3)])
def test_levels_that_the_docs_name(name: str, kind: Callable[[Any], Any], levels: int) -> None:
    serializer = get_serializer(name)
    value: Any = None
    for _ in range(FORMATS[name][0] // levels):
        value = kind(value)
    serializer.loads(serializer.dumps(value))
    with pytest.raises(SerializeError, match="nested deeper than"):
        serializer.dumps(kind(value))


@pytest.mark.parametrize("value", [float("nan"), b"x", 1j])
def test_one_level_for_a_written_value(value: Any) -> None:
    """Serpent writes some values as dicts, for which its reader has one level more."""
    serializer = get_serializer("serpent")
    for levels in (TEXT_LEVELS - 1, TEXT_LEVELS):
        inner = value
        for _ in range(levels):
            inner = [inner]
        if type(value) is float or levels < TEXT_LEVELS:
            serializer.loads(serializer.dumps(inner))
        else:
            with pytest.raises(SerializeError, match="nested deeper than"):
                serializer.dumps(inner)


def test_time_zones_do_not_nest() -> None:
    zone = b"\0"
    for levels in range(1, 2000):
        zone = extension(10, bytes(8) + zone)
        if levels in (2, 10, 100, 1999):
            with pytest.raises(SerializeError, match="a time zone holds no"):
                get_serializer("native").loads(zone)


def test_references_do_not_add_up() -> None:
    """In marshal a reference stands for a value as deep as what it refers to."""
    chain = [b"\xdb" + ONE + b"N"]
    chain += [b"\xdb" + ONE + b"r" + number.to_bytes(4, "little") for number in range(FAR_TOO_DEEP)]
    for count, refused in ((BINARY_LEVELS - 1, False), (BINARY_LEVELS, True), (FAR_TOO_DEEP, True)):
        data = b"[" + count.to_bytes(4, "little") + b"".join(chain[:count])
        if refused:
            with pytest.raises(SerializeError, match="nested deeper than"):
                get_serializer("marshal").loads(data)
        else:
            get_serializer("marshal").loads(data)


@pytest.mark.parametrize("name", FORMATS)
def test_a_value_that_contains_itself(name: str) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(SerializeError, match="contains itself"):
        get_serializer(name).dumps(endless)


def all_pairs() -> None:
    for name, outer, inner in PAIRS:
        read_pair(name, outer, inner)
        write_pair(name, outer, inner)


def test_a_small_stack_is_enough() -> None:
    """All of the above in a process of 512 KB of stack, and in a thread of 128 KB; an overflow ends the process."""
    shell = f"ulimit -s 512 && exec {sys.executable} {Path(__file__)}"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert json.loads(done.stdout) == [len(PAIRS), len(PAIRS)]


def main() -> None:
    done = []

    def run() -> None:
        all_pairs()
        done.append(len(PAIRS))

    run()
    threading.stack_size(SMALL_STACK)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    print(json.dumps(done))


if __name__ == "__main__":
    main()
