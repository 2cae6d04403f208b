"""The native value codec: Python values to bytes and back, exactly. Sans-I/O: never sees a socket.

The wire form is msgpack: nil, bool, integers of 64 bits, float64, str, bin, array (list) and map (dict) as everywhere.
What msgpack lacks travels as an extension:

    code  type        body
     1    tuple       an array
     2    set         an array
     3    frozenset   an array
     4    bytearray   its bytes
     5    int         beyond 64 bits: two's complement, big endian
     6    complex     two float64
     7    str         with lone surrogates: UTF-8 that lets them pass
     8    datetime    year 2, month 1, day 1, hour 1, minute 1, second 1, microsecond 4, fold 1 bytes; then the zone
     9    date        year 2, month 1, day 1 bytes
    10    time        hour 1, minute 1, second 1, microsecond 4, fold 1 bytes; then the zone
    11    timedelta   days 4 (signed), seconds 4, microseconds 4 bytes
    12    object      an array of class name and state, for the class registry
    13    error       in the results of a batch: the exception that ended it

A zone is nothing (naive), an integer (a fixed offset in microseconds), an array of that integer and a name, or a str
(the key of a zoneinfo.ZoneInfo).

Rule 1: every read is checked by `need`, in one place; a count is compared with what the message can still hold before
        memory is taken for it.
Rule 2: depth is bounded both ways, so the C stack is; the digits of an integer are bounded.
Rule 3: bytes give a value or SerializeError. Errors of `to_state` and `from_state` that are PyroErrors pass unchanged.
Rule 4: nothing is imported, and no constructor is called, because the bytes say so; `from_state` decides.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport (
    PyDate_CheckExact, PyDateTime_CheckExact, PyDelta_CheckExact, PyTime_CheckExact, date_new, datetime_new, import_datetime,
    time_new, timedelta_new,
)
from cpython.dict cimport PyDict_Next, PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_FromLongLong, PyLong_FromUnsignedLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove

from fastpyro._byteorder cimport (
    load16, load32, load64, load_double, store16, store32, store64, store_double,
)

from fastpyro.errors import PyroError, SerializeError

import_datetime()

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object value) except? 0xFFFFFFFFFFFFFFFF
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    str PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void *PyUnicode_1BYTE_DATA(object text) noexcept
    object PyFloat_FromDouble(double value)
    double PyFloat_AS_DOUBLE(object value) noexcept
    Py_ssize_t PyDict_GET_SIZE(object items) noexcept
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef enum:
    MAX_INTEGER_BYTES = 1793  # 4,300 decimal digits and their sign, Python's own limit for int <-> str
    KEY_SLOTS = 1024
    LONGEST_KEY = 32
    GC_THRESHOLD = 16384  # bytes; a smaller message is decoded before the collector would be due
    LARGE_TABLE = 1000  # elements; from here on colliding hashes are looked for
    MAX_REPLACEMENTS = 20

cdef int64_t MICROSECONDS_A_DAY = 86400 * 1000000


@cython.final
@cython.freelist(8)
cdef class Writer:
    def __cinit__(self):
        self.data = self.small
        self.size = 0
        self.capacity = sizeof(self.small)

    def __dealloc__(self):
        if self.data != self.small:
            PyMem_Free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t capacity
        cdef uint8_t *grown
        if more <= self.capacity - self.size:
            return 0
        capacity = self.capacity * 2
        if capacity < self.size + more:
            capacity = self.size + more
        grown = <uint8_t *> PyMem_Malloc(capacity)
        if grown == NULL:
            raise MemoryError
        memcpy(grown, self.data, self.size)
        if self.data != self.small:
            PyMem_Free(self.data)
        self.data = grown
        self.capacity = capacity
        return 0

    cdef bytes to_bytes(self):
        return PyBytes_FromStringAndSize(<char *> self.data, self.size)


cdef int need(const Reader *reader, Py_ssize_t size) except -1:
    if size > reader.end - reader.at:
        raise SerializeError(f"truncated data: {size:,} bytes needed, {reader.end - reader.at:,} are left")
    return 0


cdef object invalid(str what):
    return SerializeError(f"invalid data: {what}")


cdef inline int check_depth(int depth) except -1:
    if depth > MAX_DEPTH:
        raise SerializeError(f"nested deeper than {MAX_DEPTH} levels (or a value that contains itself)")
    return 0


@cython.final
cdef class Codec:
    """Encodes and decodes values.

    Arguments: ``to_state(value) -> (class name, state)``, called for a value whose exact type is not built in (or
    ``(None, replacement)`` for one to encode instead); ``from_state(class name, state) -> value``, its inverse.
    Re-entrant, and usable from several threads.
    """

    def __init__(self, to_state, from_state):
        self.to_state = to_state
        self.from_state = from_state
        self.keys = [None] * KEY_SLOTS

    def encode(self, value):
        """Return the value as bytes. Raises SerializeError for what cannot be encoded."""
        cdef Writer out = Writer.__new__(Writer)
        self.write(out, value, 0)
        return out.to_bytes()

    def encode_call(self, str object_id not None, str method not None, tuple args not None, dict kwargs):
        """Return a call as bytes: an array of object id, method, array of args, map of kwargs or nil."""
        cdef Writer out = Writer.__new__(Writer)
        out.reserve(1)
        out.data[out.size] = 0x94
        out.size += 1
        self.write_text(out, object_id)
        self.write_text(out, method)
        self.write_items(out, args, 0, 1)
        if kwargs:
            self.write_dict(out, kwargs, 1)
        else:
            self.write(out, None, 1)
        return out.to_bytes()

    def decode(self, data):
        """Return the value that a contiguous buffer holds, whole. Raises SerializeError for anything else."""
        cdef Py_buffer view
        cdef Reader reader
        cdef int collecting = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.begin(&reader, <const uint8_t *> view.buf, view.len)
            # The collector would walk again and again what is being made here.
            collecting = PyGC_Disable() if view.len > GC_THRESHOLD else 0
            value = self.read(&reader, 0)
            self.finish(&reader)
            return value
        finally:
            if collecting:
                PyGC_Enable()
            PyBuffer_Release(&view)

    def decode_call(self, data):
        """Return ``(object id, method, args tuple, kwargs dict)`` of an encoded call. Raises SerializeError."""
        cdef Py_buffer view
        cdef Reader reader
        cdef int collecting = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.begin(&reader, <const uint8_t *> view.buf, view.len)
            collecting = PyGC_Disable() if view.len > GC_THRESHOLD else 0
            if self.read_count(&reader, 0x90, 0xdc) != 4:
                raise invalid("a call is an array of 4 elements")
            object_id = self.read(&reader, 1)
            method = self.read_key(&reader, 1)
            if type(object_id) is not str or type(method) is not str:
                raise invalid("object id and method of a call are str")
            args = self.read_tuple(&reader, self.read_count(&reader, 0x90, 0xdc), 1)
            kwargs = self.read(&reader, 1)
            if kwargs is None:
                kwargs = {}
            elif type(kwargs) is not dict:
                raise invalid("the keyword arguments of a call are a map or nil")
            for name in kwargs:
                if type(name) is not str:
                    raise invalid("the names of keyword arguments are str")
            self.finish(&reader)
            return object_id, method, args, kwargs
        finally:
            if collecting:
                PyGC_Enable()
            PyBuffer_Release(&view)

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
            out.reserve(1)
            out.data[out.size] = 0xc0 if value is None else 0xc3 if value is True else 0xc2
            out.size += 1
            return 0
        if kind is tuple:
            return self.write_items(out, value, EXT_TUPLE, depth + 1)
        if kind is bytes:
            return self.write_bytes(out, <const uint8_t *> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return self.write_other(out, value, depth)

    cdef int write_header(self, Writer out, uint64_t count, int fix, int code16) except -1:
        # Arrays and maps: a fix code for up to 15 elements, else 16 or 32 bits. Reserves room for the elements, too.
        if count > 0xFFFFFFFF:
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
        if size > 0xFFFFFFFF:
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
        memcpy(at, data, size)
        out.size = at - out.data + size
        return 0

    cdef int write_bytes(self, Writer out, const uint8_t *data, Py_ssize_t size) except -1:
        cdef uint8_t *at
        if size > 0xFFFFFFFF:
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
            if overflow > 0 and (<object> value).bit_length() <= 64:
                out.reserve(9)
                out.data[out.size] = 0xcf
                store64(out.data + out.size + 1, PyLong_AsUnsignedLongLong(value))
                out.size += 9
                return 0
            size = (value.bit_length() + 8) // 8
            if size > MAX_INTEGER_BYTES:
                raise SerializeError(f"an int of {size:,} bytes exceeds the limit of {MAX_INTEGER_BYTES:,}")
            data = (<object> value).to_bytes(size, "big", signed=True)
            return self.write_extension(out, EXT_INTEGER, <const uint8_t *> PyBytes_AS_STRING(data), size)
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
        elif 0 <= number <= 0xFFFFFFFF or -0x80000000LL <= number < 0:
            at[0] = 0xce if number >= 0 else 0xd2
            store32(at + 1, <uint32_t> number)
            out.size += 5
        else:
            at[0] = 0xcf if number >= 0 else 0xd3
            store64(at + 1, <uint64_t> number)
            out.size += 9
        return 0

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
        cdef Py_buffer view
        cdef Py_ssize_t start
        if kind is set or kind is frozenset:
            return self.write_items(out, value, EXT_SET if kind is set else EXT_FROZENSET, depth + 1)
        if kind is bytearray or kind is memoryview:
            if kind is memoryview and not value.c_contiguous:
                value = value.tobytes()
            PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)
            try:
                if kind is bytearray:
                    return self.write_extension(out, EXT_BYTEARRAY, <const uint8_t *> view.buf, view.len)
                return self.write_bytes(out, <const uint8_t *> view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
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
        raise SerializeError(f"cannot serialize a time zone of type {name}; use datetime.timezone or zoneinfo.ZoneInfo")

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
        start = self.begin_extension(out, EXT_OBJECT)
        out.reserve(1)
        out.data[out.size] = 0x92
        out.size += 1
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
        if size > 0xFFFFFFFF:
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

    cdef int begin(self, Reader *reader, const uint8_t *data, Py_ssize_t size) except -1:
        reader.at = data
        reader.end = data + size
        reader.elements = size  # an element has a byte at least
        return 0

    cdef int finish(self, const Reader *reader) except -1:
        if reader.at != reader.end:
            raise invalid(f"{reader.end - reader.at:,} bytes follow the value")
        return 0

    cdef int take_elements(self, Reader *reader, Py_ssize_t count) except -1:
        # One budget for the whole message, so that nested claims cannot add up.
        if count > reader.end - reader.at or count > reader.elements:
            raise SerializeError(
                f"a container claims {count:,} elements, but only {reader.end - reader.at:,} bytes are left"
            )
        reader.elements -= count
        return 0

    cdef object read(self, Reader *reader, int depth):
        cdef uint8_t code
        need(reader, 1)
        code = reader.at[0]
        if code < 0x80 or code >= 0xe0:
            reader.at += 1
            return PyLong_FromLongLong(<int> code if code < 0x80 else <int> code - 256)
        if code >= 0xa0 and code < 0xc0:
            reader.at += 1
            return self.read_text(reader, code & 0x1f)
        if code < 0x90:
            reader.at += 1
            return self.read_dict(reader, code & 0x0f, depth + 1)
        if code < 0xa0:
            reader.at += 1
            return self.read_list(reader, code & 0x0f, depth + 1)
        reader.at += 1
        return self.read_coded(reader, depth, code)

    cdef object read_coded(self, Reader *reader, int depth, uint8_t code):
        cdef const uint8_t *at = reader.at
        cdef Py_ssize_t size
        if code == 0xc0:
            return None
        if code == 0xc2:
            return False
        if code == 0xc3:
            return True
        if code == 0xcb:
            need(reader, 8)
            reader.at += 8
            return PyFloat_FromDouble(load_double(at))
        if 0xcc <= code <= 0xd3:
            return self.read_number(reader, code)
        if code == 0xd9 or code == 0xc4 or code == 0xc7:
            need(reader, 1)
            reader.at += 1
            size = at[0]
        elif code == 0xda or code == 0xc5 or code == 0xc8 or code == 0xdc or code == 0xde:
            need(reader, 2)
            reader.at += 2
            size = load16(at)
        elif code == 0xdb or code == 0xc6 or code == 0xc9 or code == 0xdd or code == 0xdf:
            need(reader, 4)
            reader.at += 4
            size = load32(at)
        elif 0xd4 <= code <= 0xd8:
            return self.read_extension(reader, 1 << (code - 0xd4), depth)
        else:
            raise invalid(f"there is no value with code 0x{code:02x}")
        if code >= 0xde:
            return self.read_dict(reader, size, depth + 1)
        if code >= 0xdc:
            return self.read_list(reader, size, depth + 1)
        if code >= 0xd9:
            return self.read_text(reader, size)
        if code >= 0xc7:
            return self.read_extension(reader, size, depth)
        need(reader, size)
        data = PyBytes_FromStringAndSize(<const char *> reader.at, size)
        reader.at += size
        return data

    cdef object read_number(self, Reader *reader, uint8_t code):
        cdef int width = 1 << (code & 3)
        cdef const uint8_t *at = reader.at
        cdef bint signed = code >= 0xd0
        need(reader, width)
        reader.at += width
        if width == 1:
            return PyLong_FromLongLong(<signed char> at[0] if signed else <int64_t> at[0])
        if width == 2:
            return PyLong_FromLongLong(<short> load16(at) if signed else <int64_t> load16(at))
        if width == 4:
            return PyLong_FromLongLong(<int32_t> load32(at) if signed else <int64_t> load32(at))
        if signed:
            return PyLong_FromLongLong(<int64_t> load64(at))
        return PyLong_FromUnsignedLongLong(load64(at))

    cdef Py_ssize_t read_count(self, Reader *reader, int fix, int code16) except -1:
        """Read the head of an array or map and return its element count."""
        cdef uint8_t code
        cdef Py_ssize_t count
        need(reader, 1)
        code = reader.at[0]
        if (code & 0xf0) == fix:
            reader.at += 1
            return code & 0x0f
        if code == code16:
            need(reader, 3)
            count = load16(reader.at + 1)
            reader.at += 3
            return count
        if code == code16 + 1:
            need(reader, 5)
            count = load32(reader.at + 1)
            reader.at += 5
            return count
        raise invalid(f"code 0x{code:02x} where {'an array' if fix == 0x90 else 'a map'} was expected")

    cdef str read_text(self, Reader *reader, Py_ssize_t size):
        cdef const char *data = <const char *> reader.at
        need(reader, size)
        reader.at += size
        try:
            return PyUnicode_DecodeUTF8(data, size, NULL)
        except UnicodeDecodeError as error:
            raise invalid(f"a str is not UTF-8: {error}") from None

    cdef object read_key(self, Reader *reader, int depth):
        """Read a value that is probably a short str which has been seen before."""
        cdef uint8_t code
        cdef Py_ssize_t size, index
        cdef uint64_t mixed
        cdef const uint8_t *data
        need(reader, 1)
        code = reader.at[0]
        if not 0xa1 <= code <= 0xbf:
            return self.read(reader, depth)
        size = code & 0x1f
        need(reader, size + 1)
        data = reader.at + 1
        mixed = <uint64_t> size
        for index in range(size):
            mixed = (mixed ^ data[index]) * 0x100000001b3ULL
        index = <Py_ssize_t> ((mixed ^ (mixed >> 29)) & (KEY_SLOTS - 1))
        known = <object> PyList_GET_ITEM(self.keys, index)
        if (
            known is not None
            and PyUnicode_GET_LENGTH(known) == size
            and memcmp(PyUnicode_1BYTE_DATA(known), data, size) == 0
        ):
            reader.at = data + size
            return known
        reader.at += 1
        text = self.read_text(reader, size)
        if PyUnicode_IS_COMPACT_ASCII(text):
            self.keys[index] = text
        return text

    cdef list read_list(self, Reader *reader, Py_ssize_t count, int depth):
        cdef Py_ssize_t index
        cdef list items
        check_depth(depth)
        self.take_elements(reader, count)
        items = PyList_New(count)
        for index in range(count):
            item = self.read(reader, depth)
            Py_INCREF(item)
            PyList_SET_ITEM(items, index, item)
        return items

    cdef tuple read_tuple(self, Reader *reader, Py_ssize_t count, int depth):
        cdef Py_ssize_t index
        cdef tuple items
        check_depth(depth)
        self.take_elements(reader, count)
        items = PyTuple_New(count)
        for index in range(count):
            item = self.read(reader, depth)
            Py_INCREF(item)
            PyTuple_SET_ITEM(items, index, item)
        return items

    cdef dict read_dict(self, Reader *reader, Py_ssize_t count, int depth):
        cdef Py_ssize_t index
        cdef dict items
        cdef type kind
        check_depth(depth)
        self.take_elements(reader, count)
        if count > LARGE_TABLE:
            return self.read_large_dict(reader, count, depth)
        items = {}
        for index in range(count):
            key = self.read_key(reader, depth)
            value = self.read(reader, depth)
            try:
                PyDict_SetItem(items, key, value)
            except TypeError as error:
                raise invalid(f"a dict key cannot be of type {type(key).__qualname__}: {error}") from None
        if PyDict_GET_SIZE(items) != count:
            raise invalid("a dict has the same key twice")
        return items

    cdef dict read_large_dict(self, Reader *reader, Py_ssize_t count, int depth):
        cdef Py_ssize_t index
        cdef list keys = []
        cdef list values = []
        for index in range(count):
            keys.append(self.read_key(reader, depth))
            values.append(self.read(reader, depth))
        check_hashes(keys)
        items = dict(zip(keys, values))
        if PyDict_GET_SIZE(items) != count:
            raise invalid("a dict has the same key twice")
        return items

    cdef object read_set(self, Reader *reader, int code, int depth):
        cdef list items = self.read_list(reader, self.read_count(reader, 0x90, 0xdc), depth)
        cdef Py_ssize_t count = PyList_GET_SIZE(items)
        check_hashes(items)
        result = set(items) if code == EXT_SET else frozenset(items)
        if len(result) != count:
            raise invalid("a set has the same element twice")
        return result

    cdef object read_extension(self, Reader *reader, Py_ssize_t size, int depth):
        cdef int code
        cdef Reader body
        need(reader, size + 1)
        code = reader.at[0]
        body.at = reader.at + 1
        body.end = body.at + size
        body.elements = reader.elements
        value = self.read_extension_body(&body, code, depth + 1)
        if body.at != body.end:
            raise invalid(f"{body.end - body.at:,} bytes too many in an extension of code {code}")
        reader.at = body.end
        reader.elements = body.elements
        return value

    cdef object read_extension_body(self, Reader *reader, int code, int depth):
        # Precondition: the reader's range is the extension's body; it must be used up.
        cdef Py_ssize_t size = reader.end - reader.at
        cdef const uint8_t *at = reader.at
        check_depth(depth)
        if code == EXT_TUPLE:
            return self.read_tuple(reader, self.read_count(reader, 0x90, 0xdc), depth)
        if code == EXT_OBJECT:
            return self.read_object(reader, depth)
        if code == EXT_SET or code == EXT_FROZENSET:
            return self.read_set(reader, code, depth)
        if code == EXT_DATETIME or code == EXT_TIME:
            return self.read_time(reader, code, depth)
        reader.at = reader.end
        if code == EXT_BYTEARRAY:
            return bytearray(at[:size])
        if code == EXT_INTEGER:
            if not 0 < size <= MAX_INTEGER_BYTES:
                raise invalid(f"an int of {size:,} bytes; the limit is {MAX_INTEGER_BYTES:,}")
            return int.from_bytes(at[:size], "big", signed=True)
        if code == EXT_TEXT:
            try:
                return (<bytes> at[:size]).decode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise invalid(f"a str is not UTF-8: {error}") from None
        if code == EXT_COMPLEX and size == 16:
            return complex(load_double(at), load_double(at + 8))
        try:
            if code == EXT_DATE and size == 4:
                return date_new(load16(at), at[2], at[3])
            if code == EXT_TIMEDELTA and size == 12:
                return timedelta_new(<int32_t> load32(at), <int32_t> load32(at + 4), <int32_t> load32(at + 8))
        except (ValueError, OverflowError) as error:
            raise invalid(f"no date or duration: {error}") from None
        raise invalid(f"extension of code {code} with {size:,} bytes is not known")

    cdef object read_time(self, Reader *reader, int code, int depth):
        cdef const uint8_t *at = reader.at
        cdef const uint8_t *clock
        cdef int dated = 4 if code == EXT_DATETIME else 0
        need(reader, 8 + dated)
        clock = at + dated
        reader.at += 8 + dated
        zone = self.read_zone(reader, depth) if reader.at < reader.end else None
        try:
            if dated:
                return datetime_new(
                    load16(at), at[2], at[3], clock[0], clock[1], clock[2], bounded(load32(clock + 3)), zone, clock[7]
                )
            return time_new(clock[0], clock[1], clock[2], bounded(load32(clock + 3)), zone, clock[7])
        except (ValueError, OverflowError, TypeError) as error:
            raise invalid(f"no point in time: {error}") from None

    cdef object read_zone(self, Reader *reader, int depth):
        zone = self.read(reader, depth)
        name = None
        if type(zone) is list and len(zone) == 2 and type(zone[1]) is str:
            zone, name = zone
        try:
            if type(zone) is int:
                from datetime import timedelta, timezone

                offset = timedelta(microseconds=zone)
                return timezone(offset) if name is None else timezone(offset, name)
            if type(zone) is str and len(zone) <= 100 and name is None:
                from zoneinfo import ZoneInfo

                return ZoneInfo(zone)
        except (ValueError, OverflowError, LookupError, OSError, ImportError) as error:
            raise invalid(f"no time zone {zone!r}: {error}") from None
        raise invalid("a time zone is an offset, an offset with a name, or a key")

    cdef object read_object(self, Reader *reader, int depth):
        if self.read_count(reader, 0x90, 0xdc) != 2:
            raise invalid("an object is an array of class name and state")
        class_name = self.read_key(reader, depth)
        if type(class_name) is not str:
            raise invalid("the class name of an object is a str")
        state = self.read(reader, depth)
        try:
            return self.from_state(class_name, state)
        except PyroError:
            raise
        except Exception as error:
            raise SerializeError(f"cannot build an object of class {class_name[:200]!r}: {error}") from error


cdef inline int bounded(uint32_t microseconds) noexcept:
    return <int> microseconds if microseconds < 1000000 else 1000000  # refused by datetime itself


cdef int check_hashes(list keys) except -1:
    """Refuse unhashable keys, and large tables whose keys collide: building those would take quadratic time."""
    cdef Py_ssize_t count = PyList_GET_SIZE(keys)
    try:
        if count <= LARGE_TABLE:
            for key in keys:
                hash(key)
            return 0
        different = len({hash(key) for key in keys})
    except TypeError as error:
        raise invalid(f"a key or set element cannot be hashed: {error}") from None
    if different * 100 < count:
        raise invalid(f"{count:,} keys share {different:,} hash values: this is an attack, or a poor __hash__")
    return 0
