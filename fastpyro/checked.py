"""Readers for values that came from the wire, whoever built them: each looks at the exact type before anything else.

A decoded value may be of any class that is registered here, a proxy among them. Whatever is done with it may then run
that class's code, or connect to an address of the sender's choice: to iterate, subscript, unpack, measure, compare,
hash, test, convert or format it, and ``isinstance`` as well, which asks the object for its ``__class__``. So nothing of that
is done with a decoded value but by way of these functions, or after ``type(value) is …``.

Every reader raises SerializeError, which says what was expected, and shows of the value nothing but the name of its type.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

from fastpyro.errors import SerializeError
from fastpyro.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ATOMS",
    "cut",
    "inert_of",
    "integer_of",
    "is_inert",
    "is_kind",
    "list_of",
    "mapping_of",
    "text_of",
    "texts_of",
    "tuple_of",
    "type_name",
    "wrong",
]

LONGEST_NAME = 100
"""Characters of a name in an error text."""

ATOMS: frozenset[type] = frozenset(
    {type(None), bool, int, float, complex, str, bytes, date, datetime, time, timedelta, timezone}
)
"""Types without parts, of which nothing runs code that is not Python's own. Their values cannot be changed."""

_name_of = type.__dict__["__qualname__"].__get__  # not by way of the metaclass, which may have a __getattribute__


def cut(text: str) -> str:
    """Return a text (an exact str) for an error: quoted, escaped, and not longer than a name."""
    return repr(text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "…")


def type_name(value: Any) -> str:
    """Return the name of a value's type, for an error, without running anything of the value's class."""
    name: str = _name_of(type(value))
    return name[:LONGEST_NAME]


def wrong(value: Any, what: str, expected: str) -> SerializeError:
    """Return the error for a value of a wrong type: ``what`` must be ``expected``."""
    return SerializeError(f"{what} must be {expected}, not a value of type {type_name(value)}")


def is_kind(value: Any, cls: type) -> bool:
    """Return whether a value is of a class or of a subclass: like ``isinstance``, but the value is not asked."""
    return issubclass(type(value), cls)


def text_of(value: Any, what: str) -> str:
    """Return a value that is exactly a str."""
    if type(value) is not str:
        raise wrong(value, what, "a str")
    return value


def integer_of(value: Any, what: str, least: int | None = None, most: int | None = None) -> int:
    """Return a value that is exactly an int, and within bounds that are included."""
    if type(value) is not int:
        raise wrong(value, what, "an int")
    if (least is not None and value < least) or (most is not None and value > most):
        raise SerializeError(
            f"{what} must be an int from {least} to {most}"
        )  # the value itself may have a million digits
    return value


def list_of(value: Any, what: str) -> list[Any]:
    """Return the elements of a value that is exactly a list or a tuple, which the peers' formats take for each other."""
    if type(value) is list:
        return value
    if type(value) is tuple:
        return list(value)
    raise wrong(value, what, "a list or tuple")


def tuple_of(value: Any, what: str, *lengths: int) -> tuple[Any, ...]:
    """Return the elements of a value that is exactly a list or a tuple, and has one of the lengths, if any are given."""
    if type(value) is not tuple and type(value) is not list:
        raise wrong(value, what, "a list or tuple")
    if lengths and len(value) not in lengths:
        expected = " or ".join(map(str, lengths))
        raise SerializeError(f"{what} must have {expected} parts, not {len(value):,}")
    return tuple(value)


def texts_of(value: Any, what: str) -> tuple[str, ...]:
    """Return the elements of a value that is exactly a list, tuple, set or frozenset, all of them exactly str."""
    if type(value) not in (list, tuple, set, frozenset):
        raise wrong(value, what, "a collection of str")
    for item in value:
        if type(item) is not str:
            raise wrong(item, f"each of {what}", "a str")
    return tuple(value)


def mapping_of(value: Any, what: str) -> dict[str, Any]:
    """Return a value that is exactly a dict, whose keys are exactly str."""
    if type(value) is not dict:
        raise wrong(value, what, "a dict")
    for key in value:
        if type(key) is not str:
            raise wrong(key, f"each key of {what}", "a str")
    return value


def is_inert(value: Any) -> bool:
    """Return whether a value consists of plain data all the way down: nothing that can be done with it runs code."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind in ATOMS or kind is bytearray or kind is memoryview:
            continue
        if kind in (list, tuple, set, frozenset):
            waiting.extend(item)
        elif kind is dict:
            waiting.extend(item)
            waiting.extend(item.values())
        else:
            return False
    return True


def inert_of(value: Any, what: str) -> Any:
    """Return a value that consists of plain data all the way down."""
    if not is_inert(value):
        raise SerializeError(
            f"{what} must consist of plain values: numbers, text, bytes, times, lists, tuples, sets and dicts"
        )
    return value
