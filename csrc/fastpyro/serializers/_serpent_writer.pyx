"""Values to serpent's text: Python literals, as the serpent package of Pyro's peers writes them. Sans-I/O.

Rule 1: depth is bounded, so the C stack is, and a value that contains itself is refused.
Rule 2: `simplify` is the user's code. It may change the container that is being written: what is written is held
        meanwhile, and a container that changed is an error.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport isinf, isnan
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, strlen

from fastpyro.serializers._encoder cimport Writer
from fastpyro.serializers._extensions cimport MAX_TEXT_DEPTH

from binascii import b2a_base64

from fastpyro.errors import SerializeError

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void *PyUnicode_1BYTE_DATA(object text) noexcept
    Py_ssize_t PyDict_GET_SIZE(object items) noexcept
    double PyFloat_AS_DOUBLE(object value) noexcept
    char *PyOS_double_to_string(double value, char code, int precision, int flags, int *type) except NULL
    int Py_DTSF_ADD_DOT_0

cdef enum:
    MOST_DIGITS = 4300  # of an int, Python's own limit for text

cdef const char *NAN_TEXT = b"{'__class__':'float','value':'nan'}"


cdef struct Pair:  # of a dict, the one before `position`; in one piece, for sanitizers put room around each variable
    PyObject *key
    PyObject *item
    Py_ssize_t position


# Errors are made in functions that are called twice, so that no compiler makes them a part of their callers: these call
# each other for each level of nesting, and must not have room for it on the stack.
cdef object too_deep_or_no_key(object key):
    if key is None:
        return SerializeError(f"a value is nested deeper than {MAX_TEXT_DEPTH} levels, or contains itself")
    return SerializeError(
        f"a key of a dict or element of a set, of type {type(key).__name__}, becomes something that is neither. "
        "Send it as a list, or use a serializer that has a form for it"
    )


cdef object changed(str kind):
    return SerializeError(f"a {kind} changed while it was being encoded")


cdef int append(Writer out, const char *data, Py_ssize_t size) except -1:
    out.reserve(size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


@cython.final
cdef class SerpentWriter:
    def __cinit__(self, simplify):
        self.simplify = simplify
        self.bytes_literal = False

    cdef int write(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        if kind is str:
            return self.write_text(out, <str> value)
        if kind is int:
            return self.write_integer(out, value)
        if kind is float:
            return self.write_float(out, PyFloat_AS_DOUBLE(value))
        if value is None:
            return append(out, b"None", 4)
        if value is True:
            return append(out, b"True", 4)
        if value is False:
            return append(out, b"False", 5)
        if depth >= MAX_TEXT_DEPTH:  # bytes and complex numbers are written as containers as well
            raise too_deep_or_no_key(None)
        if kind is dict:
            return self.write_dict(out, <dict> value, depth + 1)
        if kind is list:
            return self.write_items(out, value, c"[", c"]", depth + 1)
        if kind is tuple:
            return self.write_items(out, value, c"(", c")", depth + 1)
        return self.write_other(out, value, depth)

    cdef int write_other(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        if kind is set or kind is frozenset:
            return self.write_set(out, value, depth + 1)
        if kind is bytes or kind is bytearray or kind is memoryview:
            return self.write_buffer(out, value)
        if kind is complex:
            return self.write_complex(out, value)
        return self.write(out, self.simplify(value), depth + 1)

    cdef int write_text(self, Writer out, str text) except -1:
        cdef const uint8_t *data
        cdef uint8_t *target
        cdef Py_ssize_t size, index
        if PyUnicode_IS_COMPACT_ASCII(text):
            data = <const uint8_t *> PyUnicode_1BYTE_DATA(text)
            size = PyUnicode_GET_LENGTH(text)
            out.reserve(size + 2)
            target = out.data + out.size
            target[0] = c"'"
            for index in range(size):
                if data[index] < 0x20 or data[index] == 0x7f or data[index] == c"'" or data[index] == c"\\":
                    break
                target[index + 1] = data[index]
            else:
                target[size + 1] = c"'"
                out.size += size + 2
                return 0
        literal = repr(text).encode("utf-8")
        return append(out, PyBytes_AS_STRING(literal), PyBytes_GET_SIZE(literal))

    cdef int write_integer(self, Writer out, object value) except -1:
        cdef uint8_t digits[24]
        cdef int overflow = 0, at = 24
        cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
        cdef unsigned long long rest
        if overflow:
            if value.bit_length() > MOST_DIGITS * 3.33:
                raise SerializeError(f"an int of more than {MOST_DIGITS:,} digits cannot be sent. Send it as bytes")
            text = (b"%d" % value)
            return append(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        rest = <unsigned long long> number if number >= 0 else 0 - <unsigned long long> number
        while True:
            at -= 1
            digits[at] = <uint8_t> (c"0" + rest % 10)
            rest //= 10
            if rest == 0:
                break
        if number < 0:
            at -= 1
            digits[at] = c"-"
        return append(out, <const char *> digits + at, 24 - at)

    cdef int write_float(self, Writer out, double value) except -1:
        cdef char *text
        if isnan(value):
            return append(out, NAN_TEXT, strlen(NAN_TEXT))
        if isinf(value):  # a literal that overflows
            return append(out, b"1e30000", 7) if value > 0 else append(out, b"-1e30000", 8)
        text = PyOS_double_to_string(value, c"r", 0, Py_DTSF_ADD_DOT_0, NULL)
        try:
            return append(out, text, strlen(text))
        finally:
            PyMem_Free(text)

    cdef int write_complex(self, Writer out, object value) except -1:
        cdef double real = value.real, imaginary = value.imag
        cdef Py_ssize_t before
        if isnan(real) or isnan(imaginary):
            return self.write_dict(out, {"__class__": "complex", "real": real, "imag": imaginary}, 1)
        out.put(c"(")
        self.write_float(out, real)
        before = out.size
        out.put(c"+")
        self.write_float(out, imaginary)
        if out.data[before + 1] == c"-":  # it has its own sign
            for index in range(before, out.size - 1):
                out.data[index] = out.data[index + 1]
            out.size -= 1
        return append(out, b"j)", 2)

    cdef int write_buffer(self, Writer out, object value) except -1:
        if self.bytes_literal:
            text = repr(bytes(value)).encode("ascii")
            return append(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        text = b2a_base64(value, newline=False)
        append(out, b"{'data': '", 10)
        append(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        return append(out, b"', 'encoding': 'base64'}", 24)

    cdef int write_items(self, Writer out, object items, int opening, int closing, int depth) except -1:
        cdef Py_ssize_t index, count
        out.put(opening)
        if type(items) is list:
            count = PyList_GET_SIZE(items)
            for index in range(count):
                if index >= PyList_GET_SIZE(items):
                    break
                if index:
                    out.put(c",")
                self.write(out, <object> PyList_GET_ITEM(items, index), depth)
            if PyList_GET_SIZE(items) != count:
                raise changed("list")
        else:
            count = PyTuple_GET_SIZE(items)
            for index in range(count):
                if index:
                    out.put(c",")
                self.write(out, <object> PyTuple_GET_ITEM(items, index), depth)
            if count == 1:
                out.put(c",")
        return out.put(closing)

    cdef int write_set(self, Writer out, object items, int depth) except -1:
        cdef bint first = True
        if len(items) == 0:
            return append(out, b"()", 2)  # there is no literal for an empty set
        out.put(c"{")
        for item in tuple(items):
            if not first:
                out.put(c",")
            first = False
            self.write_key(out, item, depth)
        return out.put(c"}")

    cdef int write_key(self, Writer out, object key, int depth) except -1:
        """Write an element of a set or a key of a dict: a literal that can be hashed."""
        cdef Py_ssize_t before = out.size
        if type(key) is str:
            return self.write_text(out, <str> key)
        self.write(out, key, depth)
        if out.data[before] == c"{" or out.data[before] == c"[":
            raise too_deep_or_no_key(key)
        return 0

    cdef int write_dict(self, Writer out, dict items, int depth) except -1:
        cdef Pair pair
        cdef Py_ssize_t count = PyDict_GET_SIZE(items), written = 0
        pair.position = 0
        out.put(c"{")
        while PyDict_Next(items, &pair.position, &pair.key, &pair.item):
            held_key, held_item = <object> pair.key, <object> pair.item  # simplify may change the dict meanwhile
            if written:
                out.put(c",")
            self.write_key(out, held_key, depth)
            out.put(c":")
            self.write(out, held_item, depth)
            written += 1
        if written != count or PyDict_GET_SIZE(items) != count:
            raise changed("dict")
        return out.put(c"}")
