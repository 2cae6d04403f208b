"""NumPy's dtypes with fields, described in plain values; masked and record arrays, which consist of ordinary ones.

A description is the text of a simple dtype, (base, shape) for an array inside an item, or (is a record, size of an item in
bytes, aligned, fields), where a field is (name, title or None, offset in bytes, description).
Rule 1: a description that arrived is checked before NumPy sees it: exact types, MOST_FIELDS, MOST_LEVELS, and no byte that
        belongs to two fields, so that looking at the contents takes one pass over them.
Rule 2: a dtype that its description would not give back exactly is refused where it is sent.
Rule 3: bytes between fields are sent as zeros.
Rule 4: as with other arrays, contents that NumPy itself could not have made are refused.
"""

from __future__ import annotations

from math import prod
from typing import Any, NoReturn

import numpy

from fastpyro.errors import SerializeError
from fastpyro.serializers._numpy_reader import build_dtype, is_harmless_dtype
from fastpyro.values.checked import refused

__all__ = [
    "build_masked",
    "build_record_array",
    "check_records",
    "describe",
    "dtype_of",
    "masked_state",
    "without_gaps",
]

MOST_FIELDS = 1000
"""In one dtype, those inside others among them."""

MOST_LEVELS = 8
LARGEST_ITEM = 1 << 30
"""Bytes."""

HIGHEST_CHARACTER = 0x10FFFF


# ---- what leaves


def describe(dtype: Any) -> Any:
    """Return the description of a dtype with fields. Raises SerializeError for one that has none."""
    description = _described(dtype)
    try:
        same = dtype_of("numpy.dtype", description) == dtype
    except SerializeError as error:
        _refuse(dtype, str(error).partition(": ")[2])
    if not same:
        _refuse(dtype, "it is not like any that can be described")
    return description


def _described(dtype: Any) -> Any:
    if dtype.subdtype is not None:
        return _described(dtype.base), tuple(map(int, dtype.shape))
    if dtype.names is None:
        if is_harmless_dtype(dtype.str):
            return dtype.str
        _refuse(dtype, "only numbers of up to 64 bits, times and text of fixed size can be in its fields")
    fields = []
    for name in dtype.names:
        kind, offset, *title = dtype.fields[name]
        fields.append((name, title[0] if title else None, int(offset), _described(kind)))
    return dtype.type is numpy.record, int(dtype.itemsize), bool(dtype.isalignedstruct), tuple(fields)


def _refuse(dtype: Any, why: str) -> NoReturn:
    raise SerializeError(
        f"cannot serialize NumPy data of dtype {dtype}: {why}. Send the fields of a record one by one, and objects as a list"
    )


def has_gaps(dtype: Any) -> bool:
    """Return whether bytes of an item belong to no field: they hold what was in memory before, maybe secrets."""
    if dtype.subdtype is not None:
        return has_gaps(dtype.base)
    if dtype.names is None:
        return False
    kinds = [dtype.fields[name][0] for name in dtype.names]
    return sum(kind.itemsize for kind in kinds) < dtype.itemsize or any(map(has_gaps, kinds))


def without_gaps(array: Any) -> Any:
    """Return the array, or a copy of it whose gaps are zeros, where its dtype has any."""
    if not has_gaps(array.dtype):
        return array
    copy = numpy.zeros(array.shape, array.dtype, "F" if array.flags.fnc else "C")
    _copy_fields(copy, numpy.asarray(array))
    return copy


def _copy_fields(into: Any, array: Any) -> None:
    # Field by field: some dtypes NumPy copies as they lie in memory, with what is between the fields.
    if array.dtype.names is None:
        into[...] = array
        return
    for name in array.dtype.names:
        _copy_fields(into[name], array[name])


def masked_state(array: Any) -> Any:
    """Return (data, mask or None, fill value or None, hard mask) of a masked array; None for `numpy.ma.masked` itself."""
    if array is numpy.ma.masked:
        return None
    mask = None if array._mask is numpy.ma.nomask else numpy.asarray(array._mask)
    fill = array._fill_value
    data = numpy.asarray(array._data)
    return data, mask, None if fill is None else numpy.asarray(fill, data.dtype), bool(array.hardmask)


# ---- what arrives


def dtype_of(name: str, description: Any) -> Any:
    """Build the dtype of a description that was received for a value called ``name``. Raises SerializeError."""
    budget = [MOST_FIELDS]
    return _dtype_of(name, description, budget, 0)


def _dtype_of(name: str, description: Any, budget: list[int], level: int) -> Any:
    if type(description) is str:
        return build_dtype(name, description)
    if level >= MOST_LEVELS:
        raise refused(name, f"a dtype nests records and arrays in {MOST_LEVELS} levels at the most")
    try:
        if type(description) is tuple and len(description) == 2:
            return _array_dtype(name, description, budget, level)
        if type(description) is tuple and len(description) == 4:
            return _record_dtype(name, description, budget, level)
    except SerializeError:
        raise
    except (TypeError, ValueError, OverflowError):
        raise refused(name, "a dtype that NumPy does not take") from None
    raise refused(name, "a dtype is a text, or a tuple of 2 or 4 parts")


def _array_dtype(name: str, description: Any, budget: list[int], level: int) -> Any:
    base, shape = description
    inner = _dtype_of(name, base, budget, level + 1)
    if not inner.itemsize:  # no number of bytes would bound how many there are, and NumPy goes through all of them
        raise refused(name, "an array in a dtype has items of no bytes")
    counts = type(shape) is tuple and 0 < len(shape) <= 32 and all(type(count) is int and count > 0 for count in shape)
    if not counts or max(prod(shape), inner.itemsize * prod(shape)) > LARGEST_ITEM:
        raise refused(name, f"an array in a dtype has a shape, and {LARGEST_ITEM:,} items and bytes at the most")
    return numpy.dtype((inner, shape))


def _record_dtype(name: str, description: Any, budget: list[int], level: int) -> Any:
    is_record, size, is_aligned, fields = description
    plain = type(is_record) is bool and type(is_aligned) is bool and type(size) is int and 0 <= size <= LARGEST_ITEM
    if not plain or type(fields) is not tuple:
        raise refused(name, "a dtype with fields is (is a record, size, is aligned, fields)")
    budget[0] -= len(fields)
    if budget[0] < 0:
        raise refused(name, f"a dtype has {MOST_FIELDS:,} fields at the most")
    kinds = [_field_dtype(name, field, budget, level) for field in fields]
    end = 0
    for offset, length in sorted((field[2], kind.itemsize) for field, kind in zip(fields, kinds, strict=True)):
        if offset < end:
            raise refused(name, "a dtype has two fields at one place; send them one by one")
        end = offset + length
    if end > size:
        raise refused(name, f"a dtype of {size:,} bytes has a field that ends at {end:,}")
    parts: dict[str, Any] = {
        "names": [field[0] for field in fields],
        "formats": kinds,
        "offsets": [field[2] for field in fields],
        "itemsize": size,
    }
    if any(field[1] is not None for field in fields):
        parts["titles"] = [field[1] for field in fields]
    found = numpy.dtype(parts, align=is_aligned)  # type: ignore[call-overload]
    return numpy.dtype((numpy.record, found)) if is_record else found


def _field_dtype(name: str, field: Any, budget: list[int], level: int) -> Any:
    if type(field) is not tuple or len(field) != 4:
        raise refused(name, "a field of a dtype is (name, title, offset, dtype)")
    key, title, offset, kind = field
    if type(key) is not str or not (title is None or type(title) is str) or type(offset) is not int or offset < 0:
        raise refused(name, "a field of a dtype is (name, title, offset, dtype)")
    return _dtype_of(name, kind, budget, level + 1)


def check_records(name: str, array: Any) -> None:
    """Look at the contents of an array with fields: raise SerializeError for what NumPy could not have made."""
    dtype = array.dtype
    if array.size == 0 or not dtype.itemsize:
        return
    if dtype.names is not None:
        for key in dtype.names:
            check_records(name, array[key])
    elif dtype.kind == "b":
        if array.view("u1").max() > 1:
            raise refused(name, "a bool is neither 0 nor 1")
    elif dtype.kind == "U":
        units = numpy.dtype(("u4", (dtype.itemsize // 4,))).newbyteorder(dtype.byteorder)
        if array.view(numpy.dtype([("characters", units)]))["characters"].max() > HIGHEST_CHARACTER:
            raise refused(name, "text has a character beyond U+10FFFF")


def build_masked(name: str, state: Any) -> Any:
    """Build a masked array out of what `masked_state` gives."""
    if state is None:
        return numpy.ma.masked
    if type(state) is not tuple or len(state) != 4:
        raise refused(name, "expected (data, mask, fill value, hard mask)")
    data, mask, fill, is_hard = state
    if type(data) is not numpy.ndarray or type(is_hard) is not bool:
        raise refused(name, "expected an array, and whether its mask is hard")
    if mask is not None and not (
        type(mask) is numpy.ndarray and mask.shape == data.shape and mask.dtype == numpy.ma.make_mask_descr(data.dtype)
    ):
        raise refused(name, "a mask has the shape of its data, and bools")
    if fill is not None and not (type(fill) is numpy.ndarray and fill.shape == () and fill.dtype == data.dtype):
        raise refused(name, "a fill value has the dtype of its data")
    array = numpy.ma.MaskedArray(data, numpy.ma.nomask if mask is None else mask, hard_mask=is_hard, shrink=False)
    array._fill_value = fill  # type: ignore[attr-defined]  # as a pickle sets it: nothing is converted
    return array


def build_record_array(name: str, state: Any) -> Any:
    """Build a `numpy.recarray` out of the array that it is a view of."""
    if type(state) is not numpy.ndarray:
        raise refused(name, "expected an array")
    return state.view(numpy.recarray)


BUILDERS = {"numpy.ma.MaskedArray": build_masked, "numpy.recarray": build_record_array}
