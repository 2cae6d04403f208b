"""How NumPy's arrays, scalars and dtypes travel: numbers, times and text of fixed size, exactly, without pickle or eval.

Those with fields, and masked and record arrays, are described by `numpy_records`.

NumPy is imported when a value of it is decoded, not before, and need not be installed otherwise.
Rule 1: the dtype of a message is checked against a pattern before NumPy sees it; objects do not pass.
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

    _numpy_reader.use_records(_records)
    return _numpy_reader


@cache
def _records() -> Any:
    _reader().need_numpy()
    from fastpyro.serializers import numpy_records  # which few arrays need

    return numpy_records


def _build(class_name: str, state: Any) -> Any:
    """Build the first value of a class that arrives, and have all after it built natively."""
    build = _reader().BUILDERS.get(class_name) or _records().BUILDERS[class_name]
    register_decoder(class_name, build)
    return build(class_name, state)


def _dtype_text(dtype: Any) -> Any:
    if dtype.names is not None or dtype.subdtype is not None:
        return _records().describe(dtype)
    text = str(dtype.str)
    if not _reader().is_harmless_dtype(text):
        raise SerializeError(
            f"cannot serialize NumPy data of dtype {dtype}: only numbers of up to 64 bits, times, fixed-size text and "
            "records of these do. Send objects as a list, and longer floats as float64"
        )
    return text


def _array_state(array: Any) -> tuple[Any, tuple[int, ...], str, Any]:
    text = _dtype_text(array.dtype)
    if array.size * array.itemsize == 0:
        return text, array.shape, "C", b""
    if type(text) is tuple:
        array = _records().without_gaps(array)
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    laid_out = array if array.flags.forc else array.copy(order="C")
    # A view of the bytes, which the codec copies where they belong.
    return text, array.shape, order, Bulk(memoryview(laid_out.reshape(-1, order=order).view("u1")))


def _record_array_state(array: Any) -> Any:
    import numpy

    return array.view(numpy.ndarray)


def _masked_state(array: Any) -> Any:
    return _records().masked_state(array)


def _scalar_state(scalar: Any) -> tuple[Any, Any]:
    text = _dtype_text(scalar.dtype)
    if scalar.dtype.kind in "SU":  # NumPy's own ways lose the zeros at the end
        return text, str.__str__(scalar) if scalar.dtype.kind == "U" else bytes.__getitem__(scalar, slice(None))
    if type(text) is tuple:
        return text, _records().without_gaps(scalar.reshape(())).tobytes()
    return text, scalar.tobytes()


register_later("numpy.ndarray", "numpy.ndarray", _array_state)
for _module in ("numpy", "numpy.rec"):  # where it says that it is from depends on NumPy's version
    register_later(f"{_module}.recarray", "numpy.recarray", _record_array_state)
for _module in ("numpy.ma", "numpy.ma.core"):
    register_later(f"{_module}.MaskedArray", "numpy.ma.MaskedArray", _masked_state)
for _scalar_type in ("generic", "str_", "bytes_"):  # the last two are str and bytes first
    register_later(f"numpy.{_scalar_type}", "numpy.generic", _scalar_state)
register_later("numpy.dtype", "numpy.dtype", _dtype_text)
for _class_name in ("numpy.ndarray", "numpy.generic", "numpy.dtype", "numpy.recarray", "numpy.ma.MaskedArray"):
    register_decoder(_class_name, _build)
