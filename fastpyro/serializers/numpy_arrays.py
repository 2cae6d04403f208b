"""How NumPy's arrays, scalars and dtypes travel: numbers, times and text of fixed size, exactly, without pickle or eval.

NumPy is imported when a value of it is decoded, not before, and need not be installed otherwise.
Rule 1: the dtype of a message is checked against a pattern before NumPy sees it; objects and records do not pass.
Rule 2: the size that shape and dtype claim is the size of the data, before memory is taken. Python integers do not overflow.
Rule 3: contents that NumPy itself could not have made (a bool of 2, text beyond Unicode) are refused.
"""

from __future__ import annotations

from functools import cache

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.serializers._encoder import Bulk
from fastpyro.values.class_registry import register_decoder, register_later

if TYPE_CHECKING:
    from typing import Any

__all__: list[str] = []


@cache
def _reader() -> Any:
    from fastpyro.serializers import _numpy_reader  # not before a value of NumPy comes or goes

    return _numpy_reader


def _build(class_name: str, state: Any) -> Any:
    """Build the first value of a class that arrives, and have all after it built natively."""
    build = _reader().BUILDERS[class_name]
    register_decoder(class_name, build)
    return build(class_name, state)


def _dtype_text(dtype: Any) -> str:
    text = str(dtype.str)
    if dtype.fields is not None or dtype.subdtype is not None or not _reader().is_harmless_dtype(text):
        raise SerializeError(
            f"cannot serialize NumPy data of dtype {dtype}: only numbers of up to 64 bits, times and fixed-size text do. "
            "Send the fields of a record one by one, and objects as a list"
        )
    return text


def _array_state(array: Any) -> tuple[str, tuple[int, ...], str, Any]:
    if hasattr(array, "mask"):
        raise SerializeError(
            f"cannot serialize a masked NumPy array of dtype {array.dtype}: send its data and its mask, one by one"
        )
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


register_later("numpy.ndarray", "numpy.ndarray", _array_state)
for _scalar_type in ("generic", "str_", "bytes_"):  # the last two are str and bytes first
    register_later(f"numpy.{_scalar_type}", "numpy.generic", _scalar_state)
register_later("numpy.dtype", "numpy.dtype", _dtype_text)
for _class_name in ("numpy.ndarray", "numpy.generic", "numpy.dtype"):
    register_decoder(_class_name, _build)
