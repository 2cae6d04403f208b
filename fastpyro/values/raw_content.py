"""What an object of a subclass of a builtin type holds as that type, whatever the methods of the subclass say of it.

A password that is a str and shows itself as stars is sent as what it is; so is a list that iterates over something else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.values._tables import check_keys
from fastpyro.values.checked import reason_of, text_of, wrong

if TYPE_CHECKING:
    from typing import Any

__all__ = ["RAW", "content_of", "range_of_items"]

MOST_ITEMS = 10_000_000
"""Of a range that is sent as a list, for want of another form."""

_WHOLE = slice(None)


def _datetime(value: datetime) -> datetime:
    return datetime.combine(datetime.date(value), datetime.timetz(value))


def _date(value: date) -> date:
    return date.fromordinal(date.toordinal(value))


def _time(value: Any) -> time:
    parts = (vars(time)[name].__get__(value) for name in ("hour", "minute", "second", "microsecond", "tzinfo"))
    return time(*parts, fold=vars(time)["fold"].__get__(value))


RAW: dict[type, Callable[[Any], Any]] = {
    dict: lambda value: dict(dict.items(value)),
    list: lambda value: list.__getitem__(value, _WHOLE),
    tuple: lambda value: tuple.__getitem__(value, _WHOLE),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    complex: complex.__pos__,
    bytes: lambda value: bytes.__getitem__(value, _WHOLE),
    bytearray: lambda value: bytearray.__getitem__(value, _WHOLE),
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: timedelta.__pos__,
}
"""By builtin type: what makes an object of exactly that type of one of a subclass."""


def content_of(base: Any, value: Any, what: str) -> Any:
    """Return a content of a type, as it arrived in any format: some have lists for all sequences, or text for bytes.

    Raises SerializeError for anything else, and for elements of which no set can be made.
    """
    kind = type(value)
    if kind is base:
        return value
    if base is tuple and kind is list:
        return tuple(value)
    if base is list and kind is tuple:  # marshal and serpent have both, and so has who writes it by hand
        return list(value)
    if base in (set, frozenset) and kind in (list, tuple, set, frozenset):
        items = list(value)
        check_keys(items, True)
        try:
            return base(items)
        except Exception as error:
            raise SerializeError(f"an element of {what} cannot be one: {reason_of(error)}") from None
    if base is bytes and kind is bytearray:
        return bytes(value)
    if base is bytearray and kind is bytes:
        return bytearray(value)
    if base in (bytes, bytearray) and kind is dict and _is_base64(value):
        return base(_from_base64(value, what))
    if base is float and kind is int:  # JSON has one kind of number
        return _float(value, what)
    raise wrong(value, what, f"a {base.__name__}")


def _is_base64(value: dict[Any, Any]) -> bool:
    return len(value) == 2 and all(type(name) is str and name in ("data", "encoding") for name in value)


def _from_base64(value: dict[str, Any], what: str) -> bytes:
    # As serpent writes bytes.
    from binascii import Error, a2b_base64

    if text_of(value["encoding"], "an encoding") != "base64":
        raise SerializeError(f"{what} has an encoding that is not base64")
    try:
        return a2b_base64(text_of(value["data"], "data"))
    except (Error, ValueError) as error:
        raise SerializeError(f"{what} is no base64: {error}") from None


def _float(value: int, what: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise SerializeError(f"{what} is too large a number") from None


def range_of_items(value: range) -> list[int]:
    """Return a range as a list. Raises SerializeError for one that is too long for that."""
    length = len(value) if abs(value.stop - value.start) < 1 << 62 else MOST_ITEMS + 1
    if length > MOST_ITEMS:
        raise SerializeError(
            f"cannot serialize a range of more than {MOST_ITEMS:,} items for this peer, whose format has lists only"
        )
    return list(value)
