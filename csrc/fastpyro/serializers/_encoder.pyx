"""Values to bytes: the writing half of `_codec`, which has the table of the wire form. Sans-I/O.

Rule 1: depth is bounded, so the C stack is, and a value that contains itself is refused.
Rule 2: `to_state` is the user's code. It may change the container that is being written, or use the codec again: what
        is written is held meanwhile, and a container that changed is an error.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport (
    PyDate_CheckExact, PyDateTime_CheckExact, PyDelta_CheckExact, PyTime_CheckExact, import_datetime,
)
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from fastpyro._byteorder cimport store16, store32, store64, store_double
from fastpyro.serializers._extensions cimport (
    EXT_BUFFER, EXT_BYTEARRAY, EXT_COMPLEX, EXT_DATE, EXT_DATETIME, EXT_FROZENSET, EXT_INTEGER, EXT_OBJECT, EXT_SET,
    EXT_TEXT, EXT_TIME, EXT_TIMEDELTA, EXT_TUPLE, MAX_DEPTH, MAX_INTEGER_BYTES, OUT_OF_BAND,
)
from fastpyro.serializers._short_bytes cimport copy_kept

from fastpyro.errors import PyroError, SerializeError
from fastpyro.values.time_zones import standard_zone

import_datetime()

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object value) except? 0xFFFFFFFFFFFFFFFF
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void *PyUnicode_1BYTE_DATA(object text) noexcept
    double PyFloat_AS_DOUBLE(object value) noexcept
    Py_ssize_t PyDict_GET_SIZE(object items) noexcept
    # With bare pointers: Cython's own declarations would count references to bytes that are still being written.
    PyObject *make_bytes "PyBytes_FromStringAndSize" (const char *data, Py_ssize_t size) except NULL
    uint8_t *content "(uint8_t *) PyBytes_AS_STRING" (PyObject *data) noexcept
    int resize_bytes "_PyBytes_Resize" (PyObject **data, Py_ssize_t size) except -1
    void Py_XDECREF(PyObject *value) noexcept

cdef enum:
    MOST_BUFFERS = 65535  # of a message
    MOST_KEPT = 65536  # bytes that a cleared writer keeps


cdef inline int check_depth(int depth) except -1:
    if depth > MAX_DEPTH:
        raise SerializeError(f"a value is nested deeper than {MAX_DEPTH} levels, or contains itself")
    return 0


@cython.final
@cython.freelist(8)
cdef class Writer:
    def __cinit__(self):
        self.heap = NULL
        self.data = self.small
        self.size = 0
        self.capacity = sizeof(self.small)
        self.collects = False
        self.buffers = None

    def __dealloc__(self):
        Py_XDECREF(self.heap)

    cdef int reserve(self, Py_ssize_t more) except -1:
        return 0 if more <= self.capacity - self.size else self.grow(more)

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t capacity = self.capacity * 2
        cdef PyObject *grown
        if capacity < self.size + more:
            capacity = self.size + more
        grown = make_bytes(NULL, capacity)
        memcpy(content(grown), self.data, self.size)
        Py_XDECREF(self.heap)
        self.heap = grown
        self.data = content(grown)
        self.capacity = capacity
        return 0

    cdef int put(self, int byte) except -1:
        self.reserve(1)
        self.data[self.size] = <uint8_t> byte
        self.size += 1
        return 0

    cdef int clear(self) except -1:
        self.size = 0
        self.collects = False
        self.buffers = None
        if self.capacity > MOST_KEPT:
            Py_XDECREF(self.heap)
            self.heap = NULL
            self.data = self.small
            self.capacity = sizeof(self.small)
        return 0

    cdef bytes to_bytes(self):
        return PyBytes_FromStringAndSize(<char *> self.data, self.size)

    cdef bytes take(self):
        cdef Py_ssize_t size = self.size
        cdef PyObject *heap = self.heap
        self.size = 0
        self.collects = False
        self.buffers = None
        if heap == NULL:
            return PyBytes_FromStringAndSize(<char *> self.small, size)
        self.heap = NULL
        self.data = self.small
        self.capacity = sizeof(self.small)
        resize_bytes(&heap, size)  # in place, as a rule; it frees the bytes when it fails
        result = <bytes> heap
        Py_XDECREF(heap)
        return result


@cython.final
cdef class Bulk:
    """A contiguous buffer that shall arrive as writable memory instead of bytes. Arguments: ``view``, a memoryview."""

    def __init__(self, view):
        self.view = view


cdef list parts_of(Writer out):
    cdef bytes table = (<uint32_t> len(out.buffers)).to_bytes(4, "big")
    cdef list parts = [None]
    for kind, view in out.buffers:
        if view.nbytes > 0xFFFFFFFF:
            raise SerializeError(f"a buffer of {view.nbytes:,} bytes exceeds the format's 4,294,967,295")
        table += (<int> kind).to_bytes(1, "big") + (<object> view.nbytes).to_bytes(4, "big")
        parts.append(view)
    parts[0] = table + out.to_bytes()
    return parts


@cython.final
cdef class ValueEncoder:
    def __cinit__(self, to_state):
        self.to_state = to_state

    cdef int write(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        if kind is str:
            return self.write_text(out, <str> value)
        if kind is int:
            return self.write_integer(out, value)
        if kind is list:
            return self.write_items(out, value, 0, depth + 1)
        if kind is dict:
            return self.write_dict(out, <dict> value, depth + 1)
        if kind is float:
            out.reserve(9)
            out.data[out.size] = 0xcb
            store_double(out.data + out.size + 1, PyFloat_AS_DOUBLE(value))
            out.size += 9
            return 0
        if value is None or kind is bool:
            return out.put(0xc0 if value is None else 0xc3 if value is True else 0xc2)
        if kind is tuple:
            return self.write_items(out, value, EXT_TUPLE, depth + 1)
        if kind is bytes:
            if out.collects and PyBytes_GET_SIZE(value) >= OUT_OF_BAND:
                return self.write_apart(out, 0, value)
            return self.write_bytes(out, <const uint8_t *> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return self.write_other(out, value, depth)

    cdef int write_header(self, Writer out, uint64_t count, int fix, int code16) except -1:
        # Arrays and maps: a fix code for up to 15 elements, else 16 or 32 bits. Reserves room for the elements, too.
        if count > 0xFFFFFFFFLL:
            raise SerializeError(f"a container of {count:,} elements exceeds the format's 4,294,967,295")
        out.reserve(5 + <Py_ssize_t> count)
        if count < 16:
            out.data[out.size] = <uint8_t> (fix | <int> count)
            out.size += 1
        elif count < 65536:
            out.data[out.size] = <uint8_t> code16
            store16(out.data + out.size + 1, <uint16_t> count)
            out.size += 3
        else:
            out.data[out.size] = <uint8_t> (code16 + 1)
            store32(out.data + out.size + 1, <uint32_t> count)
            out.size += 5
        return 0

    cdef int write_text(self, Writer out, str text) except -1:
        cdef const char *data
        cdef Py_ssize_t size = 0
        cdef uint8_t *at
        if PyUnicode_IS_COMPACT_ASCII(text):
            data = <const char *> PyUnicode_1BYTE_DATA(text)
            size = PyUnicode_GET_LENGTH(text)
        else:
            try:
                data = PyUnicode_AsUTF8AndSize(text, &size)
            except UnicodeEncodeError:
                encoded = text.encode("utf-8", "surrogatepass")
                return self.write_extension(
                    out, EXT_TEXT, <const uint8_t *> PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded)
                )
        if size > 0xFFFFFFFFLL:
            raise SerializeError(f"a str of {size:,} bytes exceeds the format's 4,294,967,295")
        out.reserve(size + 5)
        at = out.data + out.size
        if size < 32:
            at[0] = <uint8_t> (0xa0 | size)
            at += 1
        elif size < 256:
            at[0] = 0xd9
            at[1] = <uint8_t> size
            at += 2
        elif size < 65536:
            at[0] = 0xda
            store16(at + 1, <uint16_t> size)
            at += 3
        else:
            at[0] = 0xdb
            store32(at + 1, <uint32_t> size)
            at += 5
        copy_kept(at, <const uint8_t *> data, size, text)
        out.size = at - out.data + size
        return 0

    cdef int write_bytes(self, Writer out, const uint8_t *data, Py_ssize_t size) except -1:
        cdef uint8_t *at
        if size > 0xFFFFFFFFLL:
            raise SerializeError(f"bytes of {size:,} bytes exceed the format's 4,294,967,295")
        out.reserve(size + 5)
        at = out.data + out.size
        if size < 256:
            at[0] = 0xc4
            at[1] = <uint8_t> size
            at += 2
        elif size < 65536:
            at[0] = 0xc5
            store16(at + 1, <uint16_t> size)
            at += 3
        else:
            at[0] = 0xc6
            store32(at + 1, <uint32_t> size)
            at += 5
        memcpy(at, data, size)
        out.size = at - out.data + size
        return 0

    cdef int write_integer(self, Writer out, object value) except -1:
        cdef int overflow = 0
        cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
        cdef uint8_t *at
        if overflow != 0:
            return self.write_large_integer(out, value)
        out.reserve(9)
        at = out.data + out.size
        if -32 <= number <= 127:
            at[0] = <uint8_t> number
            out.size += 1
        elif 0 <= number <= 0xFF:
            at[0] = 0xcc
            at[1] = <uint8_t> number
            out.size += 2
        elif -0x80 <= number <= 0x7F:
            at[0] = 0xd0
            at[1] = <uint8_t> number
            out.size += 2
        elif 0 <= number <= 0xFFFF or -0x8000 <= number < 0:
            at[0] = 0xcd if number >= 0 else 0xd1
            store16(at + 1, <uint16_t> number)
            out.size += 3
        elif 0 <= number <= 0xFFFFFFFFLL or -0x80000000LL <= number < 0:
            at[0] = 0xce if number >= 0 else 0xd2
            store32(at + 1, <uint32_t> number)
            out.size += 5
        else:
            at[0] = 0xcf if number >= 0 else 0xd3
            store64(at + 1, <uint64_t> number)
            out.size += 9
        return 0

    cdef int write_large_integer(self, Writer out, object value) except -1:
        cdef Py_ssize_t bits = value.bit_length()
        cdef Py_ssize_t size = bits // 8 + 1  # with room for the sign
        if bits <= 64 and value > 0:
            out.reserve(9)
            out.data[out.size] = 0xcf
            store64(out.data + out.size + 1, PyLong_AsUnsignedLongLong(value))
            out.size += 9
            return 0
        if size > MAX_INTEGER_BYTES:
            raise SerializeError(f"an int of {size:,} bytes exceeds the limit of {MAX_INTEGER_BYTES:,}; send bytes")
        data = value.to_bytes(size, "big", signed=True)
        return self.write_extension(out, EXT_INTEGER, <const uint8_t *> PyBytes_AS_STRING(data), size)

    cdef int write_dict(self, Writer out, dict value, int depth) except -1:
        cdef PyObject *key = NULL
        cdef PyObject *item = NULL
        cdef Py_ssize_t position = 0, count = PyDict_GET_SIZE(value), written = 0
        check_depth(depth)
        self.write_header(out, count, 0x80, 0xde)
        while PyDict_Next(value, &position, &key, &item):
            held_key, held_item = <object> key, <object> item  # to_state may change the dict meanwhile
            if type(held_key) is str:
                self.write_text(out, <str> held_key)
            else:
                self.write(out, held_key, depth)
            self.write(out, held_item, depth)
            written += 1
        if written != count or PyDict_GET_SIZE(value) != count:
            raise SerializeError("a dict changed while it was being encoded")
        return 0

    cdef int write_keywords(self, Writer out, dict kwargs, int depth) except -1:
        if kwargs is None or PyDict_GET_SIZE(kwargs) == 0:
            return out.put(0xc0)
        return self.write_dict(out, kwargs, depth)

    cdef int write_items(self, Writer out, object items, int code, int depth) except -1:
        """Write a list, a tuple or a set: its array, as an extension when ``code`` is one."""
        cdef Py_ssize_t index, count, start = 0
        check_depth(depth)
        if code:
            start = self.begin_extension(out, code)
        if type(items) is list:
            count = PyList_GET_SIZE(items)
            self.write_header(out, count, 0x90, 0xdc)
            for index in range(count):
                if index >= PyList_GET_SIZE(items):
                    break
                self.write(out, <object> PyList_GET_ITEM(items, index), depth)
            if PyList_GET_SIZE(items) != count:
                raise SerializeError("a list changed while it was being encoded")
        else:
            if type(items) is not tuple:
                items = tuple(items)
            count = PyTuple_GET_SIZE(items)
            self.write_header(out, count, 0x90, 0xdc)
            for index in range(count):
                self.write(out, <object> PyTuple_GET_ITEM(items, index), depth)
        if code:
            self.end_extension(out, start)
        return 0

    cdef int write_other(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        cdef uint8_t body[16]
        if kind is set or kind is frozenset:
            return self.write_items(out, value, EXT_SET if kind is set else EXT_FROZENSET, depth + 1)
        if kind is bytearray or kind is memoryview or kind is Bulk:
            return self.write_buffer(out, value)
        if kind is complex:
            store_double(body, value.real)
            store_double(body + 8, value.imag)
            return self.write_extension(out, EXT_COMPLEX, body, 16)
        if PyDate_CheckExact(value):
            store16(body, value.year)
            body[2] = value.month
            body[3] = value.day
            return self.write_extension(out, EXT_DATE, body, 4)
        if PyDelta_CheckExact(value):
            store32(body, <uint32_t> <int32_t> value.days)
            store32(body + 4, value.seconds)
            store32(body + 8, value.microseconds)
            return self.write_extension(out, EXT_TIMEDELTA, body, 12)
        if PyDateTime_CheckExact(value) or PyTime_CheckExact(value):
            return self.write_moment(out, value, depth)
        return self.write_state(out, value, depth)

    cdef int write_buffer(self, Writer out, object value) except -1:
        cdef Py_buffer view
        cdef int kind = 0
        if type(value) is Bulk:
            value = (<Bulk> value).view
            kind = 2
        elif type(value) is bytearray:
            kind = 1
        try:
            if type(value) is memoryview and not value.c_contiguous:
                value = value.tobytes()
            PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)
        except ValueError as error:
            raise SerializeError(f"cannot serialize a memoryview: {error}") from None
        try:
            if out.collects and view.len >= OUT_OF_BAND:
                return self.write_apart(out, kind, value)
            if kind == 1:
                return self.write_extension(out, EXT_BYTEARRAY, <const uint8_t *> view.buf, view.len)
            return self.write_bytes(out, <const uint8_t *> view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int write_apart(self, Writer out, int kind, object value) except -1:
        # Behind the values: here stands only which buffer it is.
        cdef uint8_t index[4]
        if out.buffers is None:
            out.buffers = []
        if len(out.buffers) == MOST_BUFFERS:
            raise SerializeError(f"a message has more than {MOST_BUFFERS:,} buffers of {OUT_OF_BAND:,} bytes or more")
        store32(index, <uint32_t> len(out.buffers))
        out.buffers.append((kind, memoryview(value)))
        return self.write_extension(out, EXT_BUFFER, index, 4)

    cdef int write_moment(self, Writer out, object value, int depth) except -1:
        cdef bint dated = PyDateTime_CheckExact(value)
        cdef Py_ssize_t start = self.begin_extension(out, EXT_DATETIME if dated else EXT_TIME)
        cdef uint8_t *at
        out.reserve(12)
        if dated:
            at = out.data + out.size
            store16(at, value.year)
            at[2] = value.month
            at[3] = value.day
            out.size += 4
        at = out.data + out.size
        at[0] = value.hour
        at[1] = value.minute
        at[2] = value.second
        store32(at + 3, value.microsecond)
        at[7] = value.fold
        out.size += 8
        if value.tzinfo is not None:
            self.write_zone(out, value.tzinfo, depth + 1)
        return self.end_extension(out, start)

    cdef int write_zone(self, Writer out, object zone, int depth) except -1:
        name = f"{type(zone).__module__}.{type(zone).__qualname__}"
        if name == "datetime.timezone":
            offset, *names = zone.__getinitargs__()
            microseconds = (offset.days * 86400 + offset.seconds) * 1000000 + offset.microseconds
            return self.write(out, [microseconds, names[0]] if names else microseconds, depth)
        if name == "zoneinfo.ZoneInfo" and zone.key:
            return self.write(out, zone.key, depth)
        return self.write_zone(out, standard_zone(zone), depth)

    cdef int write_state(self, Writer out, object value, int depth) except -1:
        cdef Py_ssize_t start
        check_depth(depth + 1)
        try:
            class_name, state = self.to_state(value)
        except PyroError:
            raise
        except Exception as error:
            raise SerializeError(f"cannot serialize an object of type {type(value).__qualname__}: {error}") from error
        if class_name is None:
            return self.write(out, state, depth + 1)
        if type(class_name) is not str:
            raise SerializeError(f"the class name of a {type(value).__qualname__} is a {type(class_name).__qualname__}")
        start = self.begin_extension(out, EXT_OBJECT)
        out.put(0x92)
        self.write_text(out, class_name)
        self.write(out, state, depth + 1)
        return self.end_extension(out, start)

    cdef Py_ssize_t begin_extension(self, Writer out, int code) except -1:
        # Begins with the short form; the body's start is returned for end_extension.
        out.reserve(3)
        out.data[out.size] = 0xc7
        out.data[out.size + 2] = <uint8_t> code
        out.size += 3
        return out.size

    cdef int end_extension(self, Writer out, Py_ssize_t start) except -1:
        cdef Py_ssize_t size = out.size - start
        cdef uint8_t *head
        if size < 256:
            out.data[start - 2] = <uint8_t> size
            return 0
        if size > 0xFFFFFFFFLL:
            raise SerializeError(f"a value of {size:,} bytes exceeds the format's 4,294,967,295")
        out.reserve(3)
        head = out.data + start - 3
        memmove(head + 6, head + 3, size)
        head[5] = head[2]
        head[0] = 0xc9
        store32(head + 1, <uint32_t> size)
        out.size += 3
        return 0

    cdef int write_extension(self, Writer out, int code, const uint8_t *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t start = self.begin_extension(out, code)
        out.reserve(size + 3)
        memcpy(out.data + out.size, data, size)
        out.size += size
        return self.end_extension(out, start)
