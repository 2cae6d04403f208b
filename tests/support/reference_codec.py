"""The oracle of the codec tests: the value format in plain `struct`, slow and obviously right.

It shares no code with `_codec`, whose docstring has the table of extensions. `exact` gives a value in a form that
can be compared: with its types, the sign of zeros, the payload of NaNs, the order of dicts and the names of time zones.
"""

from __future__ import annotations

import datetime
import struct
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

MAX_DEPTH = 100
MAX_INTEGER_BYTES = 1793
TUPLE, SET, FROZENSET, BYTEARRAY, INTEGER, COMPLEX, TEXT, DATETIME, DATE, TIME, TIMEDELTA, OBJECT, FAILED = range(1, 14)

ARRAY, MAP = (0x90, 0xDC), (0x80, 0xDE)
INTEGERS = "BHIQbhiq"  # 0xcc to 0xd3
SIZES = {0: "B", 1: "H", 2: "I"}

Keyed = TypeVar("Keyed", dict[Any, Any], set[Any], frozenset[Any])


class NotAValue(Exception):
    """What must be a SerializeError in fastpyro."""


# ---- values to bytes -------------------------------------------------------------------------------------------------


def sized(size: int, forms: dict[int, int], body: bytes, limits: tuple[int, ...] = (0xFF, 0xFFFF, 0xFFFFFFFF)) -> bytes:
    """Put a head with the shortest of some forms (width exponent: code) before a body."""
    for exponent, limit in enumerate(limits):
        if exponent in forms and size <= limit:
            return struct.pack("!B" + SIZES[exponent], forms[exponent], size) + body
    raise NotAValue("too large")


def extension(code: int, body: bytes) -> bytes:
    return sized(len(body), {0: 0xC7, 2: 0xC9}, bytes([code]) + body)


def head(count: int, fix: int, code16: int) -> bytes:
    return bytes([fix | count]) if count < 16 else sized(count, {1: code16, 2: code16 + 1}, b"")


def encode_integer(value: int) -> bytes:
    if -32 <= value <= 127:
        return struct.pack("!b", value)
    order = range(4) if value > 0 else range(4, 8)
    for kind in order:
        try:
            return bytes([0xCC + kind]) + struct.pack("!" + INTEGERS[kind], value)
        except struct.error:
            continue
    size = value.bit_length() // 8 + 1
    if size > MAX_INTEGER_BYTES:
        raise NotAValue("too many digits")
    return extension(INTEGER, value.to_bytes(size, "big", signed=True))


def encode_text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        return extension(TEXT, value.encode("utf-8", "surrogatepass"))
    return bytes([0xA0 | len(data)]) + data if len(data) < 32 else sized(len(data), {0: 0xD9, 1: 0xDA, 2: 0xDB}, data)


def clock(value: datetime.time | datetime.datetime) -> bytes:
    return struct.pack("!BBBIB", value.hour, value.minute, value.second, value.microsecond, value.fold)


@dataclass
class Cursor:
    """A range of bytes that is being read; the budget of container elements is that of the whole message."""

    data: bytes
    budget: list[int] = field(default_factory=list)

    def take(self, size: int) -> bytes:
        if size > len(self.data):
            raise NotAValue("truncated")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, form: str) -> int:
        (value,) = struct.unpack("!" + form, self.take(struct.calcsize(form)))
        assert isinstance(value, int)
        return value

    def count(self, fix: int, code16: int) -> int:
        code = self.number("B")
        if code & 0xF0 == fix:
            return code & 15
        if code not in (code16, code16 + 1):
            raise NotAValue("another container expected")
        return self.number("H" if code == code16 else "I")

    def claim(self, count: int, depth: int) -> None:
        if depth > MAX_DEPTH or count > len(self.data) or count > self.budget[0]:
            raise NotAValue("too deep, or more elements than bytes")
        self.budget[0] -= count


class ReferenceCodec:
    """The same methods as `fastpyro.serializers._codec.Codec`, for `bytes` only; raises NotAValue."""

    def __init__(
        self, to_state: Callable[[Any], tuple[str | None, Any]], from_state: Callable[[str, Any], Any]
    ) -> None:
        self.to_state = to_state
        self.from_state = from_state

    def encode(self, value: Any, depth: int = 0) -> bytes:
        match value:
            case None:
                return b"\xc0"
            case _ if type(value) is bool:
                return b"\xc3" if value else b"\xc2"
            case _ if type(value) is int:
                return encode_integer(value)
            case _ if type(value) is float:
                return struct.pack("!Bd", 0xCB, value)
            case _ if type(value) is complex:
                return extension(COMPLEX, struct.pack("!dd", value.real, value.imag))
            case _ if type(value) is str:
                return encode_text(value)
            case _ if type(value) in (bytes, memoryview):
                return sized(len(bytes(value)), {0: 0xC4, 1: 0xC5, 2: 0xC6}, bytes(value))
            case _ if type(value) is bytearray:
                return extension(BYTEARRAY, bytes(value))
            case _ if type(value) in (list, tuple, set, frozenset, dict):
                return self.encode_container(value, depth + 1)
            case _ if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
                return self.encode_moment(value, depth)
        return self.encode_object(value, depth)

    def encode_container(self, value: Any, depth: int) -> bytes:
        if depth > MAX_DEPTH:
            raise NotAValue("too deep")
        if type(value) is dict:
            items = [item for pair in value.items() for item in pair]
            return head(len(value), *MAP) + b"".join(self.encode(item, depth) for item in items)
        array = head(len(value), *ARRAY) + b"".join(self.encode(item, depth) for item in value)
        codes: dict[type, int] = {tuple: TUPLE, set: SET, frozenset: FROZENSET}
        return extension(codes[type(value)], array) if type(value) in codes else array

    def encode_moment(self, value: Any, depth: int) -> bytes:
        if type(value) is datetime.timedelta:
            return extension(TIMEDELTA, struct.pack("!iII", value.days, value.seconds, value.microseconds))
        if type(value) is datetime.date:
            return extension(DATE, struct.pack("!HBB", value.year, value.month, value.day))
        zone = b"" if value.tzinfo is None else self.encode_zone(value.tzinfo, depth + 1)
        if type(value) is datetime.time:
            return extension(TIME, clock(value) + zone)
        return extension(DATETIME, struct.pack("!HBB", value.year, value.month, value.day) + clock(value) + zone)

    def encode_zone(self, zone: datetime.tzinfo, depth: int) -> bytes:
        if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
            return encode_text(zone.key)
        if type(zone) is not datetime.timezone:
            raise NotAValue("an unknown kind of zone")
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        microseconds = offset // datetime.timedelta(microseconds=1)
        return self.encode([microseconds, *name] if name else microseconds, depth)

    def encode_object(self, value: Any, depth: int) -> bytes:
        if depth + 1 > MAX_DEPTH:
            raise NotAValue("too deep")
        try:
            class_name, state = self.to_state(value)
        except Exception as error:
            raise NotAValue("to_state") from error
        if class_name is None:
            return self.encode(state, depth + 1)
        return extension(OBJECT, b"\x92" + encode_text(class_name) + self.encode(state, depth + 1))

    def encode_call(self, object_id: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> bytes:
        ends = (
            b"\x94" + encode_text(object_id) + encode_text(method),
            self.encode_container(kwargs, 1) if kwargs else b"\xc0",
        )
        return self.encode_container(list(args), 1).join(ends)

    # ---- bytes to values ---------------------------------------------------------------------------------------------

    def decode(self, data: bytes) -> Any:
        cursor = Cursor(data, [len(data)])
        value = self.read(cursor, 0)
        if cursor.data:
            raise NotAValue("trailing bytes")
        return value

    def decode_call(self, data: bytes) -> tuple[str, str, tuple[Any, ...], dict[str, Any]]:
        cursor = Cursor(data, [len(data)])
        if cursor.count(*ARRAY) != 4:
            raise NotAValue("not a call")
        object_id, method = self.read(cursor, 1), self.read(cursor, 1)
        args = self.items(cursor, 1)
        kwargs = self.read(cursor, 1)
        kwargs = {} if kwargs is None else kwargs
        if cursor.data or type(object_id) is not str or type(method) is not str or type(kwargs) is not dict:
            raise NotAValue("not a call")
        if any(type(name) is not str for name in kwargs):
            raise NotAValue("not a call")
        return object_id, method, tuple(args), kwargs

    def read(self, cursor: Cursor, depth: int) -> Any:
        code = cursor.number("B")
        match code:
            case _ if code < 0x80 or code >= 0xE0:
                return code if code < 0x80 else code - 256
            case _ if code < 0x90:
                return self.pairs(cursor, code & 15, depth + 1)
            case _ if code < 0xA0:
                return self.elements(cursor, code & 15, depth + 1)
            case _ if code < 0xC0:
                return text(cursor.take(code & 31))
            case 0xC0 | 0xC2 | 0xC3:
                return {0xC0: None, 0xC2: False, 0xC3: True}[code]
            case 0xC4 | 0xC5 | 0xC6:
                return cursor.take(cursor.number(SIZES[code - 0xC4]))
            case 0xC7 | 0xC8 | 0xC9:
                return self.extension(cursor, cursor.number(SIZES[code - 0xC7]), depth)
            case 0xCB:
                return struct.unpack("!d", cursor.take(8))[0]
            case _ if 0xCC <= code <= 0xD3:
                return cursor.number(INTEGERS[code - 0xCC])
            case _ if 0xD4 <= code <= 0xD8:
                return self.extension(cursor, 1 << (code - 0xD4), depth)
            case 0xD9 | 0xDA | 0xDB:
                return text(cursor.take(cursor.number(SIZES[code - 0xD9])))
            case 0xDC | 0xDD:
                return self.elements(cursor, cursor.number(SIZES[code - 0xDB]), depth + 1)
            case 0xDE | 0xDF:
                return self.pairs(cursor, cursor.number(SIZES[code - 0xDD]), depth + 1)
        raise NotAValue("no such code")

    def elements(self, cursor: Cursor, count: int, depth: int) -> list[Any]:
        cursor.claim(count, depth)
        return [self.read(cursor, depth) for _ in range(count)]

    def items(self, cursor: Cursor, depth: int) -> list[Any]:
        return self.elements(cursor, cursor.count(*ARRAY), depth)

    def pairs(self, cursor: Cursor, count: int, depth: int) -> dict[Any, Any]:
        cursor.claim(count, depth)
        pairs = [(self.read(cursor, depth), self.read(cursor, depth)) for _ in range(count)]
        return different(dict, pairs)

    def extension(self, cursor: Cursor, size: int, depth: int) -> Any:
        code = cursor.number("B")
        body = Cursor(cursor.take(size), cursor.budget)
        value = self.extension_body(body, code, depth + 1)
        if body.data:
            raise NotAValue("an extension that is too long")
        return value

    def extension_body(self, body: Cursor, code: int, depth: int) -> Any:
        match code:
            case 1:
                return tuple(self.items(body, depth))
            case 2:
                return different(set, self.items(body, depth))
            case 3:
                return different(frozenset, self.items(body, depth))
            case 4:
                return bytearray(body.take(len(body.data)))
            case 5 if 0 < len(body.data) <= MAX_INTEGER_BYTES:
                return int.from_bytes(body.take(len(body.data)), "big", signed=True)
            case 6:
                return complex(*struct.unpack("!dd", body.take(16)))
            case 7:
                return text(body.take(len(body.data)), "surrogatepass")
            case 8 | 9 | 10 | 11:
                return self.moment(body, code, depth)
            case 12:
                return self.object(body, depth)
        raise NotAValue("no such extension")

    def moment(self, body: Cursor, code: int, depth: int) -> Any:
        try:
            if code == TIMEDELTA:
                days, seconds, microseconds = struct.unpack("!iII", body.take(12))
                if seconds >= 86_400 or microseconds >= 1_000_000:
                    raise NotAValue("not as it is written")
                return datetime.timedelta(days, seconds, microseconds)
            day = struct.unpack("!HBB", body.take(4)) if code != TIME else ()
            if code == DATE:
                return datetime.date(*day)
            *parts, fold = struct.unpack("!BBBIB", body.take(8))
            zone = self.zone(body, depth) if body.data else None
            kind: Callable[..., datetime.time | datetime.datetime] = (
                datetime.time if code == TIME else datetime.datetime
            )
            return kind(*day, *parts, tzinfo=zone, fold=fold)
        except (ValueError, OverflowError, LookupError, OSError) as error:
            raise NotAValue("no such moment") from error

    def zone(self, body: Cursor, depth: int) -> datetime.tzinfo:
        match self.read(body, depth):
            case int() as offset if type(offset) is int:
                return datetime.timezone(datetime.timedelta(microseconds=offset))
            case [offset, str() as name] as pair if type(offset) is int and type(pair) is list:
                return datetime.timezone(datetime.timedelta(microseconds=offset), name)
            case str() as key if len(key) <= 100:
                return zoneinfo.ZoneInfo(key)
        raise NotAValue("no such zone")

    def object(self, body: Cursor, depth: int) -> Any:
        if depth > MAX_DEPTH or body.count(*ARRAY) != 2:
            raise NotAValue("not an object, or too deep")
        class_name, state = self.read(body, depth), None
        if type(class_name) is not str:
            raise NotAValue("not an object")
        state = self.read(body, depth)
        try:
            return self.from_state(class_name, state)
        except Exception as error:
            raise NotAValue("from_state") from error


def text(data: bytes, errors: str = "strict") -> str:
    try:
        return data.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise NotAValue("not UTF-8") from error


def different(kind: type[Keyed], items: list[Any]) -> Keyed:
    """Build a dict or set whose keys are all different."""
    try:
        result = kind(items)
    except TypeError as error:
        raise NotAValue("unhashable") from error
    if len(result) != len(items):
        raise NotAValue("the same key twice")
    return result


# ---- comparison ------------------------------------------------------------------------------------------------------


def exact(value: Any) -> Any:
    """Return a hashable description that is equal for values that cannot be told apart."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, tuple(exact(item) for item in value)
    if kind in (set, frozenset):
        return kind, frozenset(exact(item) for item in value)
    if kind is dict:
        return kind, tuple((exact(key), exact(item)) for key, item in value.items())
    if kind in (float, complex):
        return kind, struct.pack("!dd", value.real, value.imag)
    if kind in (bytearray, memoryview):
        return kind, bytes(value)
    if kind in (datetime.datetime, datetime.time):
        zone = value.tzinfo
        named = None if zone is None else (type(zone), str(zone), value.utcoffset())
        return kind, value.replace(tzinfo=None), value.fold, named
    return kind, exact(value.state) if hasattr(value, "state") else value
