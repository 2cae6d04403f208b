"""Readers for values that came from the wire, whoever built them: each looks at the exact type before anything else.

A decoded value may be of any class that is registered here, a proxy among them. Whatever is done with it may then run
that class's code, or connect to an address of the sender's choice: to iterate, subscript, unpack, measure, compare,
hash, test, convert or format it, and ``isinstance`` as well, which asks the object for its ``__class__``. So nothing of that
is done with a decoded value but by way of these functions, or after ``type(value) is …``.

Every reader raises SerializeError, which says what was expected, and shows of the value nothing but the name of its type.
"""

from __future__ import annotations

import threading
from datetime import date, datetime, time, timedelta, timezone
from enum import Enum
from types import MemberDescriptorType

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ATOMS",
    "building",
    "check_key",
    "cut",
    "described_key",
    "inert_of",
    "integer_of",
    "is_hashed_as_member",
    "is_inert",
    "is_kind",
    "list_of",
    "mapping_of",
    "reason_of",
    "refused",
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

LONGEST_REASON = 1000
"""Characters of an exception's text in another error."""

_HEAP_TYPE = 1 << 9
"""Bit of ``type.__flags__`` (Py_TPFLAGS_HEAPTYPE): made by a class statement, or in C as if by one."""

_name_of = type.__dict__["__qualname__"].__get__  # not by way of the metaclass, which may have a __getattribute__


class Building(threading.local):
    """Code that a user registered builds a value from the wire in a ``with`` block of it.

    Attributes: ``depth``, how many such blocks this thread is in. A proxy that came from the wire refuses to connect
    meanwhile: whoever sent it would otherwise decide that this process dials, and where to.
    """

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exception: object) -> None:
        self.depth -= 1


building = Building()


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


def reason_of(error: BaseException) -> str:
    """Return an exception's text for another error, without running anything of its class or of what it holds."""
    cls = type(error)
    args = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    try:
        if all(type(arg) in ATOMS for arg in args):
            return (BaseException.__str__(error) if cls.__flags__ & _HEAP_TYPE else str(error))[:LONGEST_REASON]
    except Exception:  # an int of too many digits
        pass
    return type_name(error)


def refused(class_name: str, why: object) -> SerializeError:
    """Return the error for a state that cannot be one of that class."""
    return SerializeError(f"invalid state of {class_name}: {why}")


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


_PROXY = "fastpyro.Proxy"
_PURE_KEYS = frozenset(
    {"decimal.Decimal", "fractions.Fraction", "uuid.UUID", "pathlib.PurePath", "pathlib._local.PurePath"}
    | {"zoneinfo.ZoneInfo", "fastpyro.URI", "fastpyro.Proxy"}
)
"""Classes made in Python whose hashing and comparing reaches nothing but what they have checked themselves."""

_hashed_by_user: dict[type, bool] = {}
_mro_of = type.__dict__["__mro__"].__get__
_namespace_of = type.__dict__["__dict__"].__get__
MOST_REMEMBERED = 4096


def check_key(key: Any, most: int = 1_000_000) -> int:
    """Refuse what must not become a key of a dict or an element of a set, because hashing it could do more than that.

    Values of the standard library's types, proxies and members of an Enum pass, and objects that are hashed by identity.
    A registered class may bring a ``__hash__`` and ``__eq__`` of its own, or have them made by `dataclasses`: they run. But
    they never see a proxy, whose use would connect: an object that holds one, at whatever depth, is refused.
    Returns how many parts were looked at, which are not much more than ``most``. Raises SerializeError.
    """
    waiting: list[tuple[Any, bool]] = [(key, False)]
    seen = set[int]()
    looked = 0
    while waiting and looked <= most:
        looked += 1
        item, shown = waiting.pop()  # shown to somebody's __hash__, or hashed by Python
        kind: Any = type(item)
        parts: Any = ()
        if kind in ATOMS or kind is frozenset or kind is bytearray or kind is memoryview:
            continue  # the elements of a frozenset have been hashed already
        if kind is list or kind is tuple or kind is set:
            parts = item
        elif kind is dict:
            parts = item.values()
        elif kind is slice:
            parts = item.start, item.stop, item.step
        elif id(item) not in seen and (shown or _is_hashed_by_user(kind) or issubclass(kind, tuple)):
            seen.add(id(item))  # its state may lead back to it
            if shown and any(_full_name(base) == _PROXY for base in _mro_of(kind)):
                raise SerializeError(
                    "an object that is a key or an element of a set, by its own __hash__, holds no proxy"
                )
            shown = shown or _is_hashed_by_user(kind)
            parts = _parts_of(item, kind)
        waiting.extend((part, shown) for part in parts)
    return looked + len(waiting)


def described_key(cls: Any) -> tuple[bool, bool, type | None, bool, tuple[MemberDescriptorType, ...]]:
    """Return what `_keys` must know of a class.

    Whether users' code hashes or compares its objects, whether they are proxies; what else they consist of: the builtin type
    whose elements they have, or None, whether they have a ``__dict__``, and the descriptors of their slots.
    """
    slots = [
        slot
        for base in _mro_of(cls)
        if base.__flags__ & _HEAP_TYPE
        for slot in _namespace_of(base).values()
        if type(slot) is MemberDescriptorType
    ]
    base = next((base for base in (tuple, list, dict) if issubclass(cls, base)), None)
    is_proxy = any(_full_name(base) == _PROXY for base in _mro_of(cls))
    return _is_hashed_by_user(cls), is_proxy, base, _dict_offset_of(cls) != 0, tuple(slots)


def is_hashed_as_member(cls: Any) -> bool:
    """Return whether the objects of a class are members of an Enum, hashed by what Enum brings."""
    return issubclass(cls, Enum) and next(base for base in _mro_of(cls) if "__hash__" in _namespace_of(base)) is Enum


_dict_offset_of = type.__dict__["__dictoffset__"].__get__


def _is_hashed_by_user(cls: type) -> bool:
    """Return whether hashing or comparing objects of a class runs code that somebody wrote for it."""
    known = _hashed_by_user.get(cls)
    if known is None:
        known = not issubclass(cls, Enum) and any(_is_users(cls, method) for method in ("__hash__", "__eq__"))
        if len(_hashed_by_user) >= MOST_REMEMBERED:
            _hashed_by_user.clear()
        _hashed_by_user[cls] = known
    return known


def _is_users(cls: type, method: str) -> bool:
    owner: type = next(base for base in _mro_of(cls) if method in _namespace_of(base))
    if not owner.__flags__ & _HEAP_TYPE:
        return False
    return _full_name(owner) not in _PURE_KEYS


def _full_name(cls: type) -> str:
    module = _namespace_of(cls).get("__module__")
    return f"{module}.{_name_of(cls)}" if type(module) is str else ""


def _parts_of(value: Any, cls: type) -> list[Any]:
    """Return what an object consists of: its attributes, those in slots included, and its elements if it is a tuple."""
    try:
        parts = list(object.__getattribute__(value, "__dict__").values())
    except AttributeError:
        parts = []
    for base in _mro_of(cls):
        for slot in _namespace_of(base).values():
            if type(slot) is MemberDescriptorType and base.__flags__ & _HEAP_TYPE:
                try:
                    parts.append(slot.__get__(value))
                except AttributeError:  # a slot that is not filled
                    continue
    if issubclass(cls, tuple):
        parts.extend(tuple.__iter__(value))
    if issubclass(cls, dict):
        parts.extend(dict.values(value))
    if issubclass(cls, list):
        parts.extend(list.__iter__(value))
    return parts
