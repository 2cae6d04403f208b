"""Types of the standard library: exactly what was sent arrives, and hostile states are refused."""

from __future__ import annotations

import collections
import subprocess
import sys
from array import array
from datetime import date, datetime, time, timedelta, timezone
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid1, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import native
from fastpyro.uri import URI
from fastpyro.values.class_registry import from_state

DECIMALS = ["0", "-0", "0E-7", "1.50", "NaN", "sNaN", "-Infinity", "1E+999999", "123456789" * 100]


def round_trip(value: Any) -> Any:
    return native.loads(native.dumps(value))


@pytest.mark.parametrize("text", DECIMALS)
def test_decimals(text: str) -> None:
    value = round_trip([Decimal(text)])[0]
    assert type(value) is Decimal
    assert value.as_tuple() == Decimal(text).as_tuple()


@given(st.decimals(), st.fractions(), st.uuids())
def test_numbers_and_identifiers(number: Decimal, fraction: Fraction, identifier: UUID) -> None:
    value = round_trip((number, fraction, identifier))
    assert (str(value[0]), value[1:]) == (str(number), (fraction, identifier))
    assert [type(item) for item in value] == [Decimal, Fraction, UUID]


def test_digits_are_bounded() -> None:
    with pytest.raises(SerializeError, match="4,300"):
        native.dumps(Decimal("1" * 5000))
    with pytest.raises(SerializeError, match="limit"):
        native.dumps(Fraction(1, 10**5000))
    with pytest.raises(SerializeError, match="4,300"):
        from_state("decimal", "1" * 5000)


def test_context_of_the_thread_does_not_matter() -> None:
    with localcontext(Context(prec=3, traps=[])):
        assert str(round_trip(Decimal("1.23456"))) == "1.23456"
        with pytest.raises(SerializeError, match="no number"):
            from_state("decimal", "what")


@pytest.mark.parametrize(
    "path",
    [
        Path("/tmp/a b/ü"),
        Path("."),
        Path("relative/name"),
        Path("odd\udcff"),
        PurePosixPath("/x//y"),
        PureWindowsPath(r"C:\x\y"),
        PureWindowsPath("C:"),
        PureWindowsPath(r"\\host\share\z"),
    ],
)
def test_paths(path: Any) -> None:
    assert round_trip(path) == path
    assert type(round_trip(path)) is type(path)


def test_path_of_the_other_system_arrives_as_pure_path() -> None:
    foreign = "PosixPath" if sys.platform == "win32" else "WindowsPath"
    expected = PurePosixPath if sys.platform == "win32" else PureWindowsPath
    assert from_state("path", (foreign, "a/b")) == expected("a/b")
    assert type(from_state("path", (foreign, "a/b"))) is expected


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_arrays_of_numbers(code: str) -> None:
    for content in ([], [0], [1, 2, 100] * 50):
        value = array(code, content)
        copy = round_trip(value)
        assert copy == value
        assert copy.typecode == code
        copy.append(1)


@pytest.mark.filterwarnings("ignore:The 'u' type code:DeprecationWarning")  # from Python 3.13 on
def test_array_of_text() -> None:
    assert round_trip(array("u", "aé😀\udc80")) == array("u", "aé😀\udc80")


def test_array_is_little_endian_on_the_wire() -> None:
    assert b"\x01\x02" in native.dumps(array("H", [0x0201]))


def test_array_of_a_type_code_that_has_another_size_here() -> None:
    assert from_state("array", ("l", 4, b"\1\0\0\0")) == array("i", [1])
    assert from_state("array", ("L", 4, b"\1\0\0\0")) == array("I", [1])
    with pytest.raises(SerializeError, match="3 bytes"):
        from_state("array", ("l", 3, b"abc"))


@pytest.mark.parametrize(
    "uri",
    [
        "PYRO:obj@host:1",
        "PYRO:obj@[::1]:5",
        "PYRO:obj@./u:/tmp/s",
        "PYRONAME:x.y",
        "PYRONAME:x@h:1",
        "PYROMETA:a,b@h:3",
    ],
)
def test_uris(uri: str) -> None:
    assert round_trip(URI(uri)) == URI(uri)
    assert type(round_trip(URI(uri))) is URI


def test_slices() -> None:
    assert round_trip(slice(1, None, -2)) == slice(1, None, -2)


class Moment(datetime):
    pass


class Day(date):
    pass


class Clock(time):
    pass


class Span(timedelta):
    pass


class Text(str):
    def __str__(self) -> str:
        return "not this"


class Integer(int):
    pass


class Members(set[int]):
    pass


class FrozenMembers(frozenset[int]):
    pass


Pair = collections.namedtuple("Pair", "a b")
ZONE = timezone(timedelta(hours=2), "here")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.items(), [("a", 1)]),
        (Pair(1, 2), (1, 2)),
        (Text("text"), "text"),
        (Integer(5), 5),
        (type("Real", (float,), {})(1.5), 1.5),
        (type("Unreal", (complex,), {})(1j), 1j),
        (type("Data", (bytes,), {})(b"x"), b"x"),
        (type("Buffer", (bytearray,), {})(b"x"), bytearray(b"x")),
        (type("Items", (list,), {})([1]), [1]),
        (type("Group", (tuple,), {})([1]), (1,)),
        (Members({1}), {1}),
        (FrozenMembers({1}), frozenset({1})),
        (Moment(2020, 1, 2, 3, 4, 5, 6, ZONE, fold=1), datetime(2020, 1, 2, 3, 4, 5, 6, ZONE, fold=1)),
        (Day(2020, 1, 2), date(2020, 1, 2)),
        (Clock(1, 2, 3, 4), time(1, 2, 3, 4)),
        (Span(1, 2, 3), timedelta(1, 2, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_unregistered_subclasses_arrive_as_their_base(value: Any, expected: Any) -> None:
    received = round_trip(value)
    assert received == expected
    assert type(received) is type(expected)


def test_moved_item_of_an_ordered_dict_stays_moved() -> None:
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert list(round_trip(ordered)) == ["b", "a"]


@pytest.mark.parametrize("identifier", [uuid1(), uuid4(), UUID(int=0)])
def test_uuids(identifier: UUID) -> None:
    assert round_trip({identifier: 1}) == {identifier: 1}


@pytest.mark.parametrize(
    ("class_name", "state"),
    [
        ("decimal", 5),
        ("decimal", "x"),
        ("fraction", (1, 0)),
        ("fraction", (1, -2)),
        ("fraction", [1, 2]),
        ("fraction", (1.0, 2)),
        ("fraction", (True, 2)),
        ("uuid", b"short"),
        ("uuid", "1" * 16),
        ("path", "/tmp"),
        ("path", ("Path", "/tmp")),
        ("path", ("PosixPath", 5)),
        ("array", ("O", 8, b"")),
        ("array", ("", 8, b"")),
        ("array", ("bb", 1, b"")),
        ("array", ("d", 8, b"1234567")),
        ("array", ("d", 0, b"")),
        ("array", ("d", -8, b"")),
        ("array", ("u", 4, b"\xff")),
        ("array", ("i", 4, [1])),
        ("slice", (1, 2)),
        ("fastpyro.URI", ("PYRO", "a", None, None, None)),
        ("fastpyro.URI", ("PYRO", "a", None, "h")),
        ("fastpyro.URI", ("PYRO", 5, None, "h", 1)),
        ("fastpyro.URI", ("PYRO", "a", None, "h", 70000)),
        ("fastpyro.URI", ("PYROMETA", {1}, None, None, None)),
        ("fastpyro.URI", ("PYROMETA", [[]], None, None, None)),
        ("fastpyro.URI", ("HTTP", "a", None, "h", 1)),
    ],
)
def test_hostile_states_are_refused(class_name: str, state: Any) -> None:
    with pytest.raises(SerializeError):
        native.loads(native.dumps(_Written(class_name, state)))


class _Written:
    """Encodes as any class name and state."""

    def __init__(self, class_name: str, state: Any) -> None:
        self.content = (class_name, state)

    def __getstate__(self) -> Any:
        return self.content


@pytest.fixture(autouse=True)
def _written(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastpyro.values import class_registry

    monkeypatch.setitem(class_registry._builtins, _Written, lambda written: written.content)
    class_registry._writers.pop(_Written, None)


def test_nothing_is_imported_to_start() -> None:
    late = ["decimal", "fractions", "pathlib", "numpy", "inspect", "sqlite3", "asyncio"]
    program = "import sys, fastpyro.serializers.registry; print([name for name in sys.argv[1:] if name in sys.modules])"
    command = [sys.executable, "-S", "-c", program, *late]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == "[]"
