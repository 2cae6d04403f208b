"""How values of the standard library's types, and NumPy's, travel: exactly.

Their modules are imported neither to start nor to encode; decoding one imports its module, from a fixed list. Every
decoder checks its state, because anybody may have written it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fastpyro.class_registry import register_builtin, register_decoder, register_late_encoder
from fastpyro.errors import SerializeError
from fastpyro.uri import URI

__all__ = ["register_all"]

MOST_DIGITS = 4300
"""Digits of a Decimal or of a Fraction's parts: Python's own limit for numbers in text."""

ARRAY_CODES = "bBhHiIlLqQfdu"
NUMPY_KINDS = "biufcMmSU"
"""dtype kinds that travel: numbers, times, fixed-size text; no objects and no records."""

MOST_DIMENSIONS = 64

Encoder = tuple[str, Callable[[Any], Any]]


def register_all() -> None:
    """Tell the class registry about all of them."""
    register_builtin(URI, "fastpyro.URI", URI.__getstate__, _uri)
    for module, finder in _FINDERS.items():
        register_late_encoder(module, finder)
    for class_name, decoder in _DECODERS.items():
        register_decoder(class_name, decoder)


def _refused(class_name: str, why: object) -> SerializeError:
    return SerializeError(f"invalid state of {class_name}: {why}")


def _uri(_name: str, state: Any) -> URI:
    if type(state) is not tuple or len(state) != 5:
        raise _refused("fastpyro.URI", "expected (protocol, object, socket name, host, port)")
    uri = URI.__new__(URI)
    uri.__setstate__(state)
    try:
        return URI(str(uri))  # checks every part
    except Exception as error:
        raise _refused("fastpyro.URI", error) from error


def _find_decimal(kind: type) -> Encoder | None:
    return ("decimal", _decimal_text) if kind.__name__ == "Decimal" else None


def _decimal_text(value: Any) -> str:
    text = str(value)
    if len(text) > MOST_DIGITS + 30:
        raise SerializeError(f"a Decimal of {len(text):,} characters exceeds the limit of {MOST_DIGITS:,} digits")
    return text


def _decimal(name: str, state: Any) -> Any:
    import decimal

    if type(state) is not str or len(state) > MOST_DIGITS + 30:
        raise _refused(name, f"expected at most {MOST_DIGITS:,} digits")
    try:
        return decimal.Decimal(state)
    except decimal.InvalidOperation as error:
        raise _refused(name, error) from error


def _find_fraction(kind: type) -> Encoder | None:
    if kind.__name__ != "Fraction":
        return None
    return "fraction", lambda value: (value.numerator, value.denominator)


def _fraction(name: str, state: Any) -> Any:
    import fractions

    if type(state) is not tuple or len(state) != 2 or any(type(part) is not int for part in state) or state[1] <= 0:
        raise _refused(name, "expected (numerator, positive denominator)")
    return fractions.Fraction(*state)


def _find_uuid(kind: type) -> Encoder | None:
    return ("uuid", lambda value: value.bytes) if kind.__name__ == "UUID" else None


def _uuid(name: str, state: Any) -> Any:
    import uuid

    if type(state) is not bytes or len(state) != 16:
        raise _refused(name, "expected 16 bytes")
    return uuid.UUID(bytes=state)


def _find_path(kind: type) -> Encoder | None:
    if kind.__name__ in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path"):
        return "path", lambda value: (type(value).__name__, str(value))
    return None


def _path(name: str, state: Any) -> Any:
    import pathlib

    if type(state) is not tuple or len(state) != 2 or any(type(part) is not str for part in state):
        raise _refused(name, "expected (kind, text)")
    windows = state[0].endswith("WindowsPath")
    if state[0].startswith("Pure") or windows is not (sys.platform == "win32"):
        return pathlib.PureWindowsPath(state[1]) if windows else pathlib.PurePosixPath(state[1])
    return pathlib.Path(state[1])


def _find_array(kind: type) -> Encoder | None:
    return ("array", _array_state) if kind.__name__ == "array" else None


def _array_state(value: Any) -> tuple[str, int, bytes]:
    if value.typecode not in ARRAY_CODES:
        raise SerializeError(f"cannot serialize an array of type code {value.typecode!r}; there are {ARRAY_CODES}")
    if value.typecode == "u":
        return "u", 0, value.tounicode().encode("utf-8", "surrogatepass")
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    return value.typecode, value.itemsize, value.tobytes()


def _array(name: str, state: Any) -> Any:
    import array

    if type(state) is not tuple or len(state) != 3:
        raise _refused(name, "expected (type code, item size, bytes)")
    code, size, data = state
    if type(code) is not str or len(code) != 1 or code not in ARRAY_CODES or type(data) is not bytes:
        raise _refused(name, f"type codes are {ARRAY_CODES}")
    if code == "u":
        try:
            return array.array("u", data.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise _refused(name, error) from error
    result = array.array(code)
    if size != result.itemsize or len(data) % size:
        raise _refused(name, f"{len(data):,} bytes in items of {size!r}; items of {code!r} have {result.itemsize} here")
    result.frombytes(data)
    if sys.byteorder == "big":
        result.byteswap()
    return result


def _find_numpy(kind: type) -> Encoder | None:
    import numpy

    if issubclass(kind, numpy.ndarray):
        return "numpy.ndarray", _numpy_state
    if issubclass(kind, numpy.generic):
        return "numpy.generic", _numpy_scalar_state
    if issubclass(kind, numpy.dtype):
        return "numpy.dtype", _numpy_dtype_text
    return None


def _numpy_dtype_text(dtype: Any) -> str:
    if dtype.kind not in NUMPY_KINDS or dtype.fields is not None or dtype.subdtype is not None:
        raise SerializeError(
            f"cannot serialize NumPy data of dtype {dtype}: only numbers, times and fixed-size text travel; "
            "send the fields one by one, or a list of plain values"
        )
    return str(dtype.str)


def _numpy_state(value: Any) -> tuple[str, tuple[int, ...], str, Any]:
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return _numpy_dtype_text(value.dtype), value.shape, order, value.tobytes(order)


def _numpy_scalar_state(value: Any) -> tuple[str, bytes]:
    return _numpy_dtype_text(value.dtype), value.tobytes()


def _numpy_dtype(name: str, text: Any) -> Any:
    try:
        import numpy
    except ImportError as error:
        raise SerializeError("a NumPy value arrived, but NumPy is not installed here: pip install numpy") from error
    well_formed = type(text) is str and 2 < len(text) < 30 and text[0] in "<>|=" and text[1] in NUMPY_KINDS
    try:
        if well_formed:
            return numpy.dtype(text)
    except TypeError:
        pass  # refused below
    raise _refused(name, f"dtype {str(text)[:50]!r}")


def _numpy_array(name: str, state: Any) -> Any:
    if type(state) is not tuple or len(state) != 4:
        raise _refused(name, "expected (dtype, shape, order, bytes)")
    text, shape, order, data = state
    dtype = _numpy_dtype(name, text)
    if type(shape) is not tuple or len(shape) > MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise _refused(name, "the shape is a tuple of counts")
    size = dtype.itemsize
    for count in shape:
        size *= count  # Python integers do not overflow
    if type(data) is not bytes or size != len(data) or order not in ("C", "F"):
        raise _refused(name, f"shape {shape} of {dtype} needs {size:,} bytes")
    import numpy

    array = numpy.empty(shape, dtype, order=order)
    if size:
        flat = array.reshape(-1, order=order) if order == "C" else array.T.reshape(-1)
        flat[...] = numpy.frombuffer(data, dtype)
    return array


def _numpy_scalar(name: str, state: Any) -> Any:
    if type(state) is not tuple or len(state) != 2:
        raise _refused(name, "expected (dtype, bytes)")
    dtype = _numpy_dtype(name, state[0])
    if type(state[1]) is not bytes or len(state[1]) != dtype.itemsize:
        raise _refused(name, f"a {dtype} has {dtype.itemsize} bytes")
    import numpy

    if not dtype.itemsize:
        return dtype.type()
    return numpy.frombuffer(state[1], dtype)[0]


_FINDERS: dict[str, Callable[[type], Encoder | None]] = {
    "decimal": _find_decimal,
    "fractions": _find_fraction,
    "uuid": _find_uuid,
    "pathlib": _find_path,
    "array": _find_array,
    "numpy": _find_numpy,
}
_DECODERS: dict[str, Callable[[str, Any], Any]] = {
    "decimal": _decimal,
    "fraction": _fraction,
    "uuid": _uuid,
    "path": _path,
    "array": _array,
    "numpy.ndarray": _numpy_array,
    "numpy.generic": _numpy_scalar,
    "numpy.dtype": _numpy_dtype,
}
