"""How NumPy's arrays, scalars and dtypes travel: numbers, times and text of fixed size, exactly, without pickle or eval.

NumPy is imported when a value of it is decoded, not before, and need not be installed otherwise.
Rule 1: the dtype of a message is checked against a pattern before NumPy sees it; objects and records do not pass.
Rule 2: the size that shape and dtype claim is the size of the data, before memory is taken. Python integers do not overflow.
Rule 3: contents that NumPy itself could not have made (a bool of 2, text beyond Unicode) are refused.
"""

from __future__ import annotations

from functools import cache, lru_cache

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.serializers._encoder import Bulk
from fastpyro.values.checked import cut, reason_of, text_of
from fastpyro.values.class_registry import register_decoder, register_later
from fastpyro.values.standard_types import refused

if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []

MOST_DIMENSIONS = 64  # NumPy's own limit from version 2 on
LONGEST_DTYPE = 20  # characters
MOST_CODE_POINT = 0x10FFFF
_DTYPE = r"[<>|](?:b1|[iu][1248]|f[248]|c8|c16|[SU][0-9]{1,9}|[mM]8(?:\[[0-9]{0,9}(?:[YMWDhms]|[munpfa]s)\])?)"


def _is_harmless(text: str) -> bool:
    import re  # NumPy has imported it; without NumPy nobody needs it

    return re.fullmatch(_DTYPE, text) is not None


def _dtype_text(dtype: Any) -> str:
    text = str(dtype.str)
    if dtype.fields is not None or dtype.subdtype is not None or not _is_harmless(text):
        raise SerializeError(
            f"cannot serialize NumPy data of dtype {dtype}: only numbers of up to 64 bits, times and fixed-size text do. "
            "Send the fields of a record one by one, and objects as a list"
        )
    return text


def _array_state(array: Any) -> tuple[str, tuple[int, ...], str, Any]:
    if hasattr(array, "mask"):
        raise SerializeError("cannot serialize a masked NumPy array: send its data and its mask, one by one")
    text = _dtype_text(array.dtype)
    if array.size * array.itemsize == 0:
        return text, array.shape, "C", b""
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    laid_out = array if array.flags.forc else array.copy(order="C")
    # A view of the bytes, which the codec copies where they belong.
    return text, array.shape, order, Bulk(memoryview(laid_out.reshape(-1, order=order).view("u1")))


def _scalar_state(scalar: Any) -> tuple[str, Any]:
    text = _dtype_text(scalar.dtype)
    if scalar.dtype.kind in "SU":  # NumPy's own ways lose the zeros at the end
        return text, str.__str__(scalar) if scalar.dtype.kind == "U" else bytes.__getitem__(scalar, slice(None))
    return text, scalar.tobytes()


@cache
def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise SerializeError("a NumPy value arrived, but NumPy is not installed here: pip install numpy") from error
    return numpy


def _dtype(name: str, text: Any) -> Any:
    dtype = _known_dtype(text) if type(text) is str and len(text) <= LONGEST_DTYPE else None
    if dtype is None:
        raise refused(name, f"dtype {cut(text_of(text, 'a dtype'))}")
    return dtype


@lru_cache(256)
def _known_dtype(text: str) -> Any:
    numpy = _numpy()
    try:
        return numpy.dtype(text) if _is_harmless(text) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _contents(name: str, dtype: Any, data: bytes | memoryview) -> Any:
    """Return a flat array of the data: a view, which is writable when the data is."""
    numpy = _numpy()
    flat = numpy.frombuffer(data, dtype)
    if dtype.kind == "b" and numpy.frombuffer(data, "u1").max() > 1:
        raise refused(name, "a bool is neither 0 nor 1")
    if dtype.kind == "U" and numpy.frombuffer(data, dtype.byteorder.replace("=", "") + "u4").max() > MOST_CODE_POINT:
        raise refused(name, "text has a character beyond U+10FFFF")
    return flat


def _array(name: str, state: Any) -> Any:
    if type(state) is not tuple or len(state) != 4:
        raise refused(name, "expected (dtype, shape, order, bytes)")
    text, shape, order, data = state
    dtype = _dtype(name, text)
    if type(shape) is not tuple or len(shape) > MOST_DIMENSIONS:
        raise refused(name, "the shape is a tuple of counts")
    if type(data) not in (bytes, memoryview) or type(order) is not str or order not in ("C", "F"):
        raise refused(name, "expected bytes, in order C or F")
    size = dtype.itemsize
    for count in shape:
        if type(count) is not int or count < 0:
            raise refused(name, "the shape is a tuple of counts")
        size *= count
    if size != len(data):
        raise refused(name, f"a shape of {shape[:5]} of {dtype} needs {size:,} bytes, not {len(data):,}")
    numpy = _numpy()
    try:
        if not size:
            if any(count >= 1 << 31 for count in shape) or (not dtype.itemsize and 0 not in shape):
                raise refused(name, f"a shape of {shape[:5]} for no bytes")
            return numpy.empty(shape, dtype, order=order)
        array = _contents(name, dtype, data)
        if len(shape) != 1:
            array = array.reshape(shape, order=order)
        return array if array.flags.writeable else array.copy(order=order)
    except ValueError as error:
        if isinstance(error, SerializeError):
            raise
        raise refused(name, reason_of(error)) from error


def _scalar(name: str, state: Any) -> Any:
    if type(state) is not tuple or len(state) != 2:
        raise refused(name, "expected (dtype, value)")
    dtype, data = _dtype(name, state[0]), state[1]
    if dtype.kind in "SU":
        if type(data) is not (bytes if dtype.kind == "S" else str):
            raise refused(name, f"a {dtype} is text")
        return dtype.type(data)
    if type(data) is not bytes or len(data) != dtype.itemsize:
        raise refused(name, f"a {dtype} has {dtype.itemsize} bytes")
    return _contents(name, dtype, data)[0]


register_later("numpy.ndarray", "numpy.ndarray", _array_state)
for _scalar_type in ("generic", "str_", "bytes_"):  # the last two are str and bytes first
    register_later(f"numpy.{_scalar_type}", "numpy.generic", _scalar_state)
register_later("numpy.dtype", "numpy.dtype", _dtype_text)
register_decoder("numpy.ndarray", _array)
register_decoder("numpy.generic", _scalar)
register_decoder("numpy.dtype", _dtype)
