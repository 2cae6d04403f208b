"""How values of the standard library's types, and NumPy's, travel: exactly.

Their modules are imported neither to start nor to encode; decoding one imports its module, from a fixed list.
Subclasses of builtin types that nobody registered arrive as the builtin type.
Rule 1: every builder checks its state before it makes anything of it, because anybody may have written it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MappingProxyType

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.uri import URI
from fastpyro.values._keys import know_hash
from fastpyro.values.checked import refused
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


def _decimal_text(value: Any) -> str:
    text = str(value)
    if len(text) > LONGEST_DECIMAL:
        raise SerializeError(f"a Decimal of {len(text):,} characters exceeds the limit of {MOST_DIGITS:,} digits")
    return text


def _path_writer(kind: str) -> Callable[[Any], tuple[str, str]]:
    return lambda value: (kind, str(value))


def _only(value: Any) -> Callable[[str, Any], Any]:
    def build(name: str, state: Any) -> Any:
        if state is not None:
            raise refused(name, "it has none")
        return value

    return build


def _array_state(value: Any) -> tuple[str, int, Any]:
    if value.typecode in TEXT_CODES:
        return value.typecode, 0, value.tounicode().encode("utf-8", "surrogatepass")
    if value.typecode not in ARRAY_CODES:
        raise SerializeError(f"cannot serialize an array of type code {value.typecode!r}; there are {ARRAY_CODES}")
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    return value.typecode, value.itemsize, memoryview(value).cast("B") if value else b""


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
_BUILT = ("decimal", "fraction", "uuid", "path", "array", "slice", "fastpyro.URI")


def _build(class_name: str, state: Any) -> Any:
    """Build the first value of a class that arrives. What builds it, and all after it, is not loaded before."""
    from fastpyro.values import _standard_builders

    build = _standard_builders.BUILDERS[class_name]
    register_decoder(class_name, build)
    return build(class_name, state)


def _register_all() -> None:
    register_builtin(URI, "fastpyro.URI", URI.__getstate__)
    register_builtin(slice, "slice", lambda value: (value.start, value.stop, value.step))
    for name, only in (("NotImplemented", NotImplemented), ("Ellipsis", ...)):
        register_builtin(type(only), name, lambda value: None, _only(only))
    for cls, plain in _PLAIN.items():
        register_builtin(cls, None, plain)
    for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        for module in ("pathlib", "pathlib._local"):  # the latter in Python 3.13
            register_later(f"{module}.{kind}", "path", _path_writer(kind))
    for type_name, (class_name, take) in _LATER.items():
        register_later(type_name, class_name, take)
    for name in _BUILT:
        register_decoder(name, _build)
    know_hash(URI, "uri", [URI("PYRO:o@h:1"), URI("PYROMETA:a,b"), URI("PYRONAME:n@./u:s")])


_register_all()
