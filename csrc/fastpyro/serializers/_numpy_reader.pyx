"""NumPy's values out of their states, for `numpy_arrays`, which has the rules: without frames of Python.

NumPy is imported when the first value of it is decoded.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from fastpyro._byteorder cimport load32

import sys

from fastpyro.errors import SerializeError
from fastpyro.values.checked import cut, reason_of, refused, text_of

cdef enum:
    MOST_DIMENSIONS = 64  # NumPy's own limit from version 2 on
    LONGEST_DTYPE = 20  # characters
    MOST_DIGITS = 9
    MOST_CODE_POINT = 0x10FFFF
    MOST_KNOWN = 1024  # dtypes that are remembered

cdef object numpy = None, ndarray = None, dtype_class = None, frombuffer = None
cdef object LONGEST_EMPTY = 1 << 31  # a dimension of an array of no bytes
cdef dict known = {}
cdef frozenset NUMBERS = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16".split())
cdef object load_records = None  # returns the module `numpy_records`, which imports this one
cdef frozenset UNITS = frozenset("Y M W D h m s ms us ns ps fs as".split())


cdef int import_numpy() except -1:
    global numpy, ndarray, dtype_class, frombuffer
    try:
        import numpy as found

        if found is None:  # whoever put that among the modules does not want it
            raise ImportError("numpy")
    except ImportError as error:
        raise SerializeError("a NumPy value arrived, but NumPy is not installed here: pip install numpy") from error
    ndarray, dtype_class, frombuffer, numpy = found.ndarray, found.dtype, found.frombuffer, found
    return 0


def use_records(load not None):
    """Say who loads the module `numpy_records` when something with fields arrives."""
    global load_records
    load_records = load


def need_numpy():
    """Import NumPy. Raises SerializeError when it is not installed."""
    if numpy is None:
        import_numpy()


def is_harmless_dtype(str text not None):
    """Return whether a text stands for numbers, times, text or bytes of fixed size: <f8, |S10, |V3, <M8[25us]."""
    cdef Py_ssize_t at = 4
    if len(text) < 3 or text[0] not in "<>|" or not text.isascii():
        return False
    kind = text[1]
    if text[1:] in NUMBERS:
        return True
    if kind == "S" or kind == "U" or kind == "V":
        return len(text) - 2 <= MOST_DIGITS and text[2:].isdigit()
    if (kind != "m" and kind != "M") or text[2] != "8":
        return False
    if len(text) == 3:
        return True
    if text[3] != "[" or text[len(text) - 1] != "]":
        return False
    while at < len(text) and c"0" <= <int> <Py_UCS4> text[at] <= c"9":
        at += 1
    return at - 4 <= MOST_DIGITS and text[at:len(text) - 1] in UNITS


def build_dtype(str name not None, text):
    """Build a dtype out of its text, or out of its description if it has fields."""
    cdef PyObject *found
    if type(text) is tuple:
        return load_records().dtype_of(name, text)
    if type(text) is not str or len(<str> text) > LONGEST_DTYPE:
        raise refused(name, f"dtype {cut(text_of(text, 'a dtype'))}")
    found = PyDict_GetItem(known, text)
    if found != NULL:
        return <object> found
    if numpy is None:
        import_numpy()
    if not is_harmless_dtype(text):
        raise refused(name, f"dtype {cut(text)}")
    try:
        dtype = dtype_class(text)
    except (TypeError, ValueError, OverflowError):
        raise refused(name, f"dtype {cut(text)}") from None
    if len(known) < MOST_KNOWN:
        known[text] = dtype
    return dtype


cdef int check_contents(str name, object dtype, object data) except -1:
    """Refuse what NumPy itself could not have made."""
    cdef Py_buffer view
    cdef const uint8_t *at
    cdef Py_ssize_t index
    cdef uint32_t highest = 0, each
    cdef bint big
    kind = dtype.kind
    if kind == "V":
        if dtype.subdtype is not None:
            raise refused(name, "an array's items are no arrays")
        load_records().check_records(name, frombuffer(data, dtype))
    if kind != "b" and kind != "U":
        return 0
    big = dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    at = <const uint8_t *> view.buf
    if kind == "b":
        for index in range(view.len):
            highest |= at[index]
    else:
        for index in range(view.len // 4):
            each = load32(at + 4 * index) if big else swapped(load32(at + 4 * index))
            highest = each if each > highest else highest
    PyBuffer_Release(&view)
    if kind == "b" and highest > 1:
        raise refused(name, "a bool is neither 0 nor 1")
    if kind == "U" and highest > MOST_CODE_POINT:
        raise refused(name, "text has a character beyond U+10FFFF")
    return 0


cdef inline uint32_t swapped(uint32_t value) noexcept:
    return value >> 24 | (value >> 8 & 0xff00) | (value << 8 & 0xff0000) | value << 24


def build_ndarray(str name not None, state):
    """Build an array out of (dtype, shape, order, bytes)."""
    if type(state) is not tuple or len(<tuple> state) != 4:
        raise refused(name, "expected (dtype, shape, order, bytes)")
    text, shape, order, data = <tuple> state
    dtype = build_dtype(name, text)
    if type(shape) is not tuple or len(<tuple> shape) > MOST_DIMENSIONS:
        raise refused(name, "the shape is a tuple of counts")
    if (type(data) is not bytes and type(data) is not memoryview) or type(order) is not str or order not in ("C", "F"):
        raise refused(name, "expected bytes, in order C or F")
    item = size = dtype.itemsize
    for count in <tuple> shape:
        if type(count) is not int or count < 0:
            raise refused(name, "the shape is a tuple of counts")
        size = size * count  # in Python's integers, which do not overflow
    if size != len(data):
        raise refused(name, f"a shape of {shape[:5]} of {dtype} needs {size:,} bytes, not {len(data):,}")
    if not size:
        for count in <tuple> shape:
            if count >= LONGEST_EMPTY:
                raise refused(name, f"a shape of {shape[:5]} for no bytes")
        if not item and 0 not in shape:
            raise refused(name, f"a shape of {shape[:5]} for no bytes")
    try:
        if not size:
            return ndarray(shape, dtype, None, 0, None, order)
        check_contents(name, dtype, data)
        array = ndarray(shape, dtype, data, 0, None, order)
        return array.copy(order) if type(data) is bytes or data.readonly else array
    except SerializeError:
        raise
    except ValueError as error:
        raise refused(name, reason_of(error)) from error


def build_scalar(str name not None, state):
    """Build a scalar out of (dtype, bytes or str)."""
    if type(state) is not tuple or len(<tuple> state) != 2:
        raise refused(name, "expected (dtype, value)")
    text, data = <tuple> state
    dtype = build_dtype(name, text)
    kind = dtype.kind
    if kind == "S" or kind == "U":
        if type(data) is not (bytes if kind == "S" else str):
            raise refused(name, f"a {dtype} is text")
        return dtype.type(data)
    if type(data) is not bytes or len(<bytes> data) != dtype.itemsize:
        raise refused(name, f"a {dtype} has {dtype.itemsize} bytes")
    if not data:
        raise refused(name, "an item of no bytes")
    check_contents(name, dtype, data)
    if kind == "V":  # which is a view of its bytes, and may be changed
        return frombuffer(bytearray(data), dtype)[0]
    return frombuffer(data, dtype)[0]


BUILDERS = {"numpy.ndarray": build_ndarray, "numpy.generic": build_scalar, "numpy.dtype": build_dtype}
