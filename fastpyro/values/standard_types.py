"""How values of the standard library's types, and NumPy's, travel: exactly.

Their modules are imported neither to start nor to encode; decoding one imports its module, from a fixed list.
Subclasses of builtin types that nobody registered arrive as the builtin type.
Rule 1: every builder checks its state before it makes anything of it, because anybody may have written it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import product
from types import MappingProxyType

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.uri import URI, text_of_parts
from fastpyro.values.checked import know_pure_key, reason_of, texts_of, tuple_of
from fastpyro.values.class_registry import register_builtin, register_decoder, register_later
from fastpyro.values.raw_content import RAW

if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

MOST_DIGITS = 4300
"""Digits of a Decimal, as of an int: Python's own limit for numbers in text."""

LONGEST_DECIMAL = MOST_DIGITS + 30  # sign, point, exponent

ARRAY_CODES = "bBhHiIlLqQfduw"
TEXT_CODES = "uw"


def refused(class_name: str, why: object) -> SerializeError:
    """Return the error for a state that cannot be one of that class."""
    return SerializeError(f"invalid state of {class_name}: {why}")


def _fields(class_name: str, state: Any, *kinds: type) -> tuple[Any, ...]:
    """Return a state that is a tuple of these exact types."""
    if type(state) is tuple and (*map(type, state),) == kinds:
        return state
    raise refused(class_name, f"expected ({', '.join(kind.__name__ for kind in kinds)})")


def _uri(name: str, state: Any) -> URI:
    if type(state) is not tuple or (*map(type, state),) not in _URI_KINDS:
        raise refused(name, "expected (protocol, object, socket name or None, host or None, port or None)")
    if type(state[1]) is not str:
        if state[0] != "PYROMETA":
            raise refused(name, "its object is a str")
        texts_of(state[1], "the tags of a uri")
    try:
        return URI.from_peer(text_of_parts(*state))  # checks every part
    except Exception as error:
        raise refused(name, reason_of(error)) from None


_URI_KINDS = frozenset(
    product((str,), (str, set, frozenset, tuple, list), (str, type(None)), (str, type(None)), (int, type(None)))
)


def _decimal_text(value: Any) -> str:
    text = str(value)
    if len(text) > LONGEST_DECIMAL:
        raise SerializeError(f"a Decimal of {len(text):,} characters exceeds the limit of {MOST_DIGITS:,} digits")
    return text


@cache
def _decimals() -> tuple[Any, Any, Any]:
    from decimal import Context, Decimal, InvalidOperation

    know_pure_key(Decimal)
    return Decimal, Context(traps=[InvalidOperation]), InvalidOperation


def _decimal(name: str, state: Any) -> Any:
    Decimal, context, InvalidOperation = _decimals()
    if type(state) is not str or len(state) > LONGEST_DECIMAL:
        raise refused(name, f"expected a str of at most {MOST_DIGITS:,} digits")
    try:
        return Decimal(state, context)  # the thread's own may let NaN pass
    except InvalidOperation:
        raise refused(name, f"{state[:50]!r} is no number") from None


@cache
def _fractions() -> tuple[Any, Any]:
    from fractions import Fraction
    from math import gcd

    know_pure_key(Fraction)
    return Fraction, gcd


def _fraction(name: str, state: Any) -> Any:
    Fraction, gcd = _fractions()
    numerator, denominator = _fields(name, state, int, int)  # the codec bounds the digits of an int
    if denominator <= 0:
        raise refused(name, "the denominator is not positive")
    if gcd(numerator, denominator) != 1:
        return Fraction(numerator, denominator)
    value = object.__new__(Fraction)  # the constructor asks abstract classes what it was given, and takes 3 x as long
    value._numerator, value._denominator = numerator, denominator
    return value


@cache
def _uuids() -> tuple[Any, Any]:
    from uuid import UUID, SafeUUID

    know_pure_key(UUID)
    return UUID, SafeUUID.unknown


def _uuid(name: str, state: Any) -> Any:
    UUID, safety = _uuids()
    if type(state) is not bytes or len(state) != 16:
        raise refused(name, "expected 16 bytes")
    value = object.__new__(UUID)  # the constructor takes 3 x as long; what it sets, past a __setattr__ that refuses
    _set(value, "int", int.from_bytes(state, "big"))
    _set(value, "is_safe", safety)
    return value


_set = object.__setattr__


def _path_writer(kind: str) -> Callable[[Any], tuple[str, str]]:
    return lambda value: (kind, str(value))


@cache
def _paths() -> dict[str, Any]:
    from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath

    for cls in (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath):
        know_pure_key(cls)
    windows = sys.platform == "win32"
    return {
        "PurePosixPath": PurePosixPath,
        "PureWindowsPath": PureWindowsPath,
        "PosixPath": PurePosixPath if windows else PosixPath,
        "WindowsPath": WindowsPath if windows else PureWindowsPath,
    }


def _path(name: str, state: Any) -> Any:
    kind, text = _fields(name, state, str, str)
    cls = _paths().get(kind)
    if cls is None:
        raise refused(name, f"{kind[:50]!r} is no kind of path")
    return cls(text)


def _only(value: Any) -> Callable[[str, Any], Any]:
    def build(name: str, state: Any) -> Any:
        if state is not None:
            raise refused(name, "it has none")
        return value

    return build


def _slice(name: str, state: Any) -> slice:
    start, stop, step = tuple_of(state, "the state of a slice", 3)
    return slice(start, stop, step)


def _array_state(value: Any) -> tuple[str, int, Any]:
    if value.typecode in TEXT_CODES:
        return value.typecode, 0, value.tounicode().encode("utf-8", "surrogatepass")
    if value.typecode not in ARRAY_CODES:
        raise SerializeError(f"cannot serialize an array of type code {value.typecode!r}; there are {ARRAY_CODES}")
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    return value.typecode, value.itemsize, memoryview(value).cast("B") if value else b""


def _array(name: str, state: Any) -> Any:
    array, typecodes = _arrays()
    code, size, data = _fields(name, state, str, int, bytes)
    if len(code) != 1 or code not in ARRAY_CODES:
        raise refused(name, f"type codes are {ARRAY_CODES}")
    if code in TEXT_CODES:
        try:
            return array(code if code in typecodes else "u", data.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise refused(name, reason_of(error)) from error
    code = _code_here(name, code, size)
    if len(data) % size:
        raise refused(name, f"{len(data):,} bytes are no whole number of items of {size}")
    result = array(code, data)
    if sys.byteorder == "big":
        result.byteswap()
    return result


@cache
def _arrays() -> tuple[Any, str]:
    from array import array, typecodes

    return array, typecodes


@lru_cache(64)
def _code_here(name: str, code: str, size: int) -> str:
    """Return the type code that means the same here: a C long, for one, does not have the same size everywhere."""
    from array import array

    family = "fd" if code in "fd" else "bhilq" if code.islower() else "BHILQ"
    for candidate in code + family:
        if array(candidate).itemsize == size:
            return candidate
    raise refused(name, f"there are no items of {size} bytes for type code {code!r}")


_PLAIN: dict[type, Callable[[Any], Any]] = {
    **RAW,
    type({}.keys()): list,
    type({}.values()): list,
    type({}.items()): list,
    MappingProxyType: dict,
}
_LATER: dict[str, tuple[str | None, Callable[[Any], Any]]] = {
    "decimal.Decimal": ("decimal", _decimal_text),
    "fractions.Fraction": ("fraction", lambda value: (value.numerator, value.denominator)),
    "uuid.UUID": ("uuid", lambda value: value.bytes),
    "array.array": ("array", _array_state),
}
_BUILDERS: dict[str, Callable[[str, Any], Any]] = {
    "decimal": _decimal,
    "fraction": _fraction,
    "uuid": _uuid,
    "path": _path,
    "array": _array,
}


def _register_all() -> None:
    register_builtin(URI, "fastpyro.URI", URI.__getstate__, _uri)
    register_builtin(slice, "slice", lambda value: (value.start, value.stop, value.step), _slice)
    for name, only in (("NotImplemented", NotImplemented), ("Ellipsis", ...)):
        register_builtin(type(only), name, lambda value: None, _only(only))
    for cls, plain in _PLAIN.items():
        register_builtin(cls, None, plain)
    for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        for module in ("pathlib", "pathlib._local"):  # the latter in Python 3.13
            register_later(f"{module}.{kind}", "path", _path_writer(kind))
    for type_name, (class_name, take) in _LATER.items():
        register_later(type_name, class_name, take)
    for class_name, builder in _BUILDERS.items():
        register_decoder(class_name, builder)


_register_all()
