"""Hypothesis strategies for values that can travel, and for bytes that may be values: good ones, changed ones, anything.

`Point` stands for the classes that a program registers; `to_state` and `from_state` are what the codec is told of it.
"""

from __future__ import annotations

import datetime
import zoneinfo
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from fastpyro.serializers._codec import Codec


@dataclass(frozen=True)
class Point:
    """A class that the codec does not know."""

    state: Any


def to_state(value: Any) -> tuple[str | None, Any]:
    if isinstance(value, Point):
        return "Point", value.state
    raise TypeError("not registered")


def from_state(class_name: str, state: Any) -> Any:
    if class_name != "Point":
        raise LookupError(f"no class {class_name!r}")
    return Point(state)


def make_codec() -> Codec:
    return Codec(to_state, from_state)


ZONES = [zoneinfo.ZoneInfo(key) for key in ("UTC", "Europe/Berlin", "America/St_Johns")]
offsets = st.timedeltas(datetime.timedelta(hours=-23, minutes=-59), datetime.timedelta(hours=23, minutes=59))
zones = st.one_of(
    st.none(),
    offsets.map(datetime.timezone),
    st.builds(datetime.timezone, offsets, st.text(max_size=8)),
    st.sampled_from(ZONES),
)
fixed_zones = st.one_of(st.none(), offsets.map(datetime.timezone), st.just(ZONES[0]))

integers = st.one_of(
    st.integers(-200, 300),
    st.integers(),
    st.builds(
        lambda sign, bits, extra: sign * ((1 << bits) + extra),
        st.sampled_from([1, -1]),
        st.integers(0, 70),
        st.integers(-1, 1),
    ),
    st.builds(lambda sign, bits: sign << bits, st.sampled_from([1, -1]), st.integers(64, 14_000)),
)
texts = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(), max_size=300),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=6),
)
binaries = st.one_of(st.binary(max_size=40), st.integers(250, 260).map(bytes))
moments = st.one_of(
    st.dates(),
    st.timedeltas(),
    st.times(timezones=fixed_zones),
    st.datetimes(timezones=zones),
    st.datetimes().map(lambda value: value.replace(fold=1)),
)
hashable_scalars = st.one_of(
    st.none(), st.booleans(), integers, st.floats(), st.complex_numbers(), texts, binaries, moments
)
hashables = st.recursive(
    hashable_scalars,
    lambda some: st.lists(some, max_size=4).map(tuple) | st.frozensets(some, max_size=4) | some.map(Point),
    max_leaves=6,
)
scalars = st.one_of(hashable_scalars, binaries.map(bytearray))


def containers(some: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(some, max_size=5),
        st.lists(some, min_size=15, max_size=18),
        st.lists(some, max_size=5).map(tuple),
        st.sets(hashables, max_size=5),
        st.dictionaries(texts, some, max_size=5),
        st.dictionaries(hashables, some, max_size=5),
        some.map(Point),
    )


values = st.recursive(scalars, containers, max_leaves=20)
names = st.text(max_size=40)
arguments = st.lists(values, max_size=4).map(tuple)
keywords = st.dictionaries(names, values, max_size=3)

octets = st.integers(0, 255)
# Codes that begin something, so that drawn bytes get further than the first one.
codes = st.sampled_from([0x80, 0x81, 0x90, 0x91, 0x92, 0xA1, *range(0xC0, 0xE0)])
soup = st.lists(st.one_of(octets, codes, st.integers(0, 13)), max_size=80).map(bytes)


@st.composite
def extensions(draw: Any) -> bytes:
    """An extension of some code whose body is a value, a value with changes, or anything."""
    kinds = st.binary(max_size=30), soup, encoded, st.sampled_from([b"\x92\xa5Point\xc0", b"\x91" * 30])
    body: bytes = draw(st.one_of(kinds))
    return b"\xc9" + len(body).to_bytes(4, "big") + bytes([draw(st.integers(0, 14))]) + body


@st.composite
def mutated(draw: Any) -> bytes:
    """A good message with a few changes: a bit, a byte, a size, a cut, a repetition."""
    data = bytearray(draw(encoded))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["bit", "byte", "size", "cut", "repeat", "insert"])):
            case "bit" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "byte" if data:
                data[at] = draw(octets)
            case "size":
                data[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\xff"]))
            case "cut":
                del data[at : at + draw(st.integers(1, 20))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 20))]
            case _:
                data[at:at] = draw(soup)
    return bytes(data)


CODEC = make_codec()
encoded = values.map(CODEC.encode)
calls = st.builds(CODEC.encode_call, names, names, arguments, keywords)
any_bytes = st.one_of(st.binary(max_size=60), soup, extensions(), mutated(), st.builds(bytes.__add__, encoded, soup))
