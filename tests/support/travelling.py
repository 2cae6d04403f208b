"""What becomes of each type in each format, tried; `python tests/support/travelling.py` writes the table into the docs."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import importlib.util
import ipaddress
import pathlib
import re
import sys
import threading
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fastpyro
from fastpyro import errors
from fastpyro.serializers.registry import get_serializer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pages" / "values.md"
FORMATS = ("native", "serpent", "json", "msgpack", "marshal", "pickle")
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->\n"
EXACT, REFUSED = "exact", "refused"


@dataclasses.dataclass
class Point:
    """A dataclass that both sides register."""

    x: int = 1
    y: int = 2


class Size(NamedTuple):
    """A named tuple that both sides register."""

    width: int = 1


class Colour(enum.Enum):
    """An enum that both sides register."""

    RED = 1


class Access(enum.Flag):
    """A set of flags that both sides register."""

    READ = 1
    WRITE = 2


class Day(enum.Enum):
    """An enum that nobody registers."""

    MONDAY = 1


class Unknown:
    """A class that nobody registers."""

    def __init__(self) -> None:
        self.x = 1

    def __eq__(self, other: object) -> bool:
        return vars(self) == getattr(other, "__dict__", None)

    __hash__ = None  # type: ignore[assignment]


class UnknownError(Exception):
    """An exception that nobody registers."""


def register() -> None:
    """Register what the table says is registered; once in a process."""
    classes: list[type] = [Point, Size, Colour, Access]
    for cls in classes:
        fastpyro.register_class(cls, name=f"travelling.{cls.__name__}")


def _numpy(make: Callable[[Any], Any]) -> Callable[[], Any]:
    def build() -> Any:
        import numpy

        return make(numpy)

    return build


ROWS: dict[str, Callable[[], Any]] = {
    "`None`, `bool`, `float`, `str`": lambda: [None, True, 1.5, float("inf"), "text"],
    "`float` NaN": lambda: float("nan"),
    "`int` of 64 bits": lambda: 2**63 - 1,
    "larger `int`": lambda: 2**70,
    "`complex`": lambda: 1 + 2j,
    "`str` with a lone surrogate": lambda: "\ud800",
    "`bytes`": lambda: b"data",
    "`bytearray`": lambda: bytearray(b"data"),
    "`memoryview`": lambda: memoryview(b"data"),
    "`list`": lambda: [1, [2]],
    "`tuple`": lambda: (1, (2,)),
    "`dict` with `str` keys": lambda: {"a": 1},
    "`dict` with `int` keys": lambda: {1: 2},
    "`dict` with `tuple` keys": lambda: {(1, 2): 3},
    "`set`": lambda: {1, 2},
    "`frozenset`": lambda: frozenset({1, 2}),
    "`range`": lambda: range(3),
    "`slice`": lambda: slice(1, 2),
    "`Ellipsis`": lambda: ...,
    "`datetime`": lambda: datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
    "`datetime` with an offset": lambda: datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    "`datetime` with a `ZoneInfo`": lambda: datetime.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "`date`": lambda: datetime.date(2020, 1, 2),
    "`time`": lambda: datetime.time(1, 2, 3),
    "`timedelta`": lambda: datetime.timedelta(1, 2, 3),
    "`Decimal`": lambda: decimal.Decimal("1.50"),
    "`Fraction`": lambda: fractions.Fraction(1, 3),
    "`UUID`": lambda: uuid.UUID(int=5),
    "`pathlib` path": lambda: pathlib.PurePosixPath("a/b"),
    "`ipaddress` address": lambda: ipaddress.ip_address("1.2.3.4"),
    "`array.array`": lambda: array.array("d", [1.0]),
    "`deque`": lambda: collections.deque([1], 5),
    "`OrderedDict`": lambda: collections.OrderedDict(a=1),
    "`defaultdict(int)`": lambda: collections.defaultdict(int, a=1),
    "`Counter`": lambda: collections.Counter("aab"),
    "`re.Pattern`": lambda: re.compile("a+"),
    "NumPy array": _numpy(lambda numpy: numpy.zeros((2, 3), "f4")),
    "NumPy scalar": _numpy(lambda numpy: numpy.float32(1.5)),
    "NumPy structured array": _numpy(lambda numpy: numpy.zeros(2, [("a", "i4")])),
    "NumPy masked array": _numpy(lambda numpy: numpy.ma.array([1, 2], mask=[True, False])),
    "registered dataclass": Point,
    "registered named tuple": Size,
    "registered `Enum` member": lambda: Colour.RED,
    "registered `Flag`": lambda: Access.READ | Access.WRITE,
    "`Enum` member of an unknown class": lambda: Day.MONDAY,
    "object of an unknown class": Unknown,
    "builtin exception": lambda: ValueError("why", 5),
    "exception of an unknown class": lambda: UnknownError("why"),
    "`ExceptionGroup`": lambda: ExceptionGroup("two", [ValueError(1), KeyError(2)]),
    "`fastpyro.URI`": lambda: fastpyro.URI("PYRO:object@host:1"),
    "`fastpyro.Proxy`": lambda: fastpyro.Proxy("PYRO:object@host:1"),
    "function, lambda": lambda: lambda: None,
    "class": lambda: Unknown,
    "module": lambda: sys,
    "lock, thread": threading.Lock,
}
"""By the text of the table: what makes a value of each sort."""


def is_same(one: Any, other: Any) -> bool:
    """Whether a value arrived as what it was: its type, and that of all in it."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(map(described, one.items())) == list(map(described, other.items()))
    if isinstance(one, list | tuple | collections.deque):
        return len(one) == len(other) and all(map(is_same, one, other))
    if type(one).__module__.partition(".")[0] == "numpy":
        alike = one.dtype == other.dtype and one.shape == other.shape and repr(one) == repr(other)
        return bool(alike and (one == other).all())
    if isinstance(one, BaseException):
        return is_same(one.args, other.args)
    return bool(described(one) == described(other))


def described(value: Any) -> Any:
    """A value and its type, so that 1, 1.0 and True are three things, and NaN is itself."""
    if isinstance(value, tuple):
        return tuple(map(described, value))
    return type(value), repr(value) if isinstance(value, float | datetime.datetime) else value


def outcome(name: str, value: Any) -> str:
    """Return "exact", "refused", or the name of the type that arrives instead."""
    serializer = get_serializer(name)
    try:
        arrived = serializer.loads(serializer.dumps(value))
    except (errors.PyroError, TypeError, ValueError, AttributeError, ImportError):
        return REFUSED
    if is_same(value, arrived):
        return EXACT
    kind = type(arrived)
    if kind is type(value):
        return f"`{kind.__name__}`, its contents changed"
    return f"`{kind.__name__}`" if kind.__name__ != type(value).__name__ else f"`{kind.__module__}.{kind.__name__}`"


def has(row: str) -> bool:
    """Return whether a row can be tried here."""
    return "NumPy" not in row or importlib.util.find_spec("numpy") is not None


def table() -> dict[str, list[str]]:
    """Return what each format does, by row."""
    return {row: [outcome(name, make()) for name in FORMATS] for row, make in ROWS.items() if has(row)}


def written() -> dict[str, list[str]]:
    """Return the same as the docs have it."""
    lines = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    rows = ([cell.strip() for cell in line.strip("| \n").split(" | ")] for line in lines)
    return {row[0]: row[1:] for row in rows}


def main() -> None:
    """Write the table into the docs."""
    register()
    lines = [" | ".join(("value", *FORMATS)), " | ".join(["---"] * (len(FORMATS) + 1))]
    lines += [" | ".join((row, *cells)) for row, cells in table().items()]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    text = before + BEGIN + "".join(f"| {line} |\n" for line in lines) + END + rest.partition(END)[2]
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
