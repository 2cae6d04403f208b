"""The serializer msgpack, as Pyro5 and Pyro4 use it: core msgpack, and four extensions of their own. Sans-I/O.

    code  type      body
    0x30  complex   two float64 in the machine's byte order
    0x31  int       beyond 64 bits: decimal digits
    0x32  datetime  float64 in the machine's byte order: seconds since 1970 of a naive one, as local time
    0x33  date      its ordinal, a C long in the machine's byte order (8 bytes; Windows writes 4)

Tuples, sets and frozensets become arrays, bytes-like objects bin. Objects are maps with the key "__class__".
The pieces of the format are those of the native codec, and so are its bounds.
"""

cimport cython
from cpython.buffer cimport Py_buffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from fastpyro._byteorder cimport load32, store16, store_double
from fastpyro.serializers._decoder cimport Reader, ValueDecoder, invalid, need
from fastpyro.serializers._encoder cimport ValueEncoder, Writer
from fastpyro.serializers._extensions cimport MAX_DEPTH
from fastpyro.serializers._peer_codec cimport PeerCodec, build
from fastpyro.serializers._pauses cimport pause_if_due
from fastpyro.values._memory_budget cimport COST_MOMENT, COST_NUMBER, take_memory
from fastpyro.values._tables cimport SMALL_TABLE, dict_cost, make_dict, put_item, risk_of

from datetime import date, datetime

from fastpyro.errors import SerializeError

cdef extern from "Python.h":
    double PyFloat_AS_DOUBLE(object value) noexcept
    Py_ssize_t PyDict_GET_SIZE(object items) noexcept
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept

cdef enum:
    EXT_COMPLEX = 0x30
    EXT_INTEGER = 0x31
    EXT_DATETIME = 0x32
    EXT_DATE = 0x33
    MOST_DIGITS = 4300  # of an int, Python's own limit for text

cdef frozenset LEAVES = frozenset({bytearray, memoryview, complex, datetime, date})  # types that `write_leaf` writes


cdef inline int check_depth(int depth) except -1:
    if depth > MAX_DEPTH:
        raise SerializeError(f"a value is nested deeper than {MAX_DEPTH} levels, or contains itself")
    return 0


cdef inline bint is_container(uint8_t code) noexcept:
    # The head of an array or a map.
    return 0x80 <= code <= 0x9f or 0xdc <= code <= 0xdf


cdef int refuse_key(object key) except -1:
    raise SerializeError(
        f"cannot be written as msgpack: a key of type {type(key).__name__} would arrive as a list, which can be none. "
        "Send a list of pairs, or use a serializer that has a form for it"
    )


@cython.final
cdef class MsgpackCodec(PeerCodec):
    """Encodes and decodes values and calls; see `PeerCodec`."""

    cdef ValueEncoder encoder
    cdef ValueDecoder decoder

    def __cinit__(self, simplify, restore):
        self.encoder = ValueEncoder(None)
        self.decoder = ValueDecoder(None)

    cdef int write_whole(self, Writer out, object value) except -1:
        return self.write(out, value, 0)

    cdef object read_whole(self, object data, const Py_buffer *view):
        cdef Reader reader
        self.decoder.begin_view(&reader, data, view)
        value = self.read(&reader, 0)
        self.decoder.finish(&reader)
        return value

    cdef int write(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        if kind is str:
            return self.write_text(out, <str> value)
        if kind is int:
            return self.write_integer(out, value)
        if kind is float:
            out.reserve(9)
            out.data[out.size] = 0xcb
            store_double(out.data + out.size + 1, PyFloat_AS_DOUBLE(value))
            out.size += 9
            return 0
        if value is None or kind is bool:
            return out.put(0xc0 if value is None else 0xc3 if value is True else 0xc2)
        check_depth(depth)
        if kind is list or kind is tuple:
            return self.write_items(out, value, depth + 1)
        if kind is dict:
            return self.write_dict(out, <dict> value, depth + 1)
        if kind is bytes:
            return self.encoder.write_bytes(out, <const uint8_t *> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return self.write_other(out, value, depth)

    cdef int write_other(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        if kind is set:
            return self.write_items(out, tuple(value), depth + 1)
        if kind in LEAVES:
            return self.write_leaf(out, value, kind)
        return self.write(out, self.simplify(value), depth + 1)

    cdef int write_leaf(self, Writer out, object value, type kind) except -1:
        # Apart, so that no level of nesting has room for it on the stack.
        cdef double parts[2]
        cdef int64_t ordinal
        if kind is bytearray or kind is memoryview:
            value = bytes(value)
            return self.encoder.write_bytes(out, <const uint8_t *> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        if kind is complex:
            parts[0], parts[1] = value.real, value.imag
            return write_extension(out, EXT_COMPLEX, <const uint8_t *> parts, 16)
        if kind is datetime:
            if value.tzinfo is not None:
                raise SerializeError("msgpack has no form for a datetime with a time zone; send its isoformat()")
            try:
                parts[0] = value.timestamp()
            except (ValueError, OverflowError, OSError) as error:
                raise SerializeError(f"msgpack has no form for this datetime: {error}") from None
            return write_extension(out, EXT_DATETIME, <const uint8_t *> parts, 8)
        ordinal = value.toordinal()
        return write_extension(out, EXT_DATE, <const uint8_t *> &ordinal, 8)

    cdef int write_text(self, Writer out, str text) except -1:
        cdef Py_ssize_t size = 0
        if not PyUnicode_IS_COMPACT_ASCII(text):
            try:
                PyUnicode_AsUTF8AndSize(text, &size)
            except UnicodeEncodeError as error:
                raise SerializeError(f"msgpack has no form for this str: {error}. Send it as bytes") from None
        return self.encoder.write_text(out, text)

    cdef int write_integer(self, Writer out, object value) except -1:
        if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF:
            return self.encoder.write_integer(out, value)
        if value.bit_length() > MOST_DIGITS * 3.33:
            raise SerializeError(f"an int of more than {MOST_DIGITS:,} digits cannot be sent. Send it as bytes")
        digits = b"%d" % value
        return write_extension(out, EXT_INTEGER, <const uint8_t *> PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))

    cdef int write_items(self, Writer out, object items, int depth) except -1:
        cdef tuple held
        check_depth(depth)
        held = tuple(items)  # simplify may change a list meanwhile
        self.encoder.write_header(out, len(held), 0x90, 0xdc)
        for item in held:
            self.write(out, item, depth)
        return 0

    cdef int write_dict(self, Writer out, dict items, int depth) except -1:
        cdef PyObject *key = NULL
        cdef PyObject *item = NULL
        cdef Py_ssize_t position = 0, count = PyDict_GET_SIZE(items), written = 0, start
        check_depth(depth)
        self.encoder.write_header(out, count, 0x80, 0xde)
        while PyDict_Next(items, &position, &key, &item):
            held_key, held_item = <object> key, <object> item  # simplify may change the dict meanwhile
            start = out.size
            self.write(out, held_key, depth)
            if type(held_key) is not str and is_container(out.data[start]):
                refuse_key(held_key)
            self.write(out, held_item, depth)
            written += 1
        if written != count or PyDict_GET_SIZE(items) != count:
            raise SerializeError("a dict changed while it was being encoded")
        return 0

    cdef object read(self, Reader *reader, int depth):
        cdef uint8_t code
        cdef float small
        cdef uint32_t bits
        need(reader, 1)
        code = reader.at[0]
        if 0x80 <= code < 0x90:
            reader.at += 1
            return self.read_dict(reader, code & 0x0f, depth + 1)
        if 0x90 <= code < 0xa0:
            reader.at += 1
            return self.read_list(reader, code & 0x0f, depth + 1)
        if code == 0xdc or code == 0xdd:
            return self.read_list(reader, self.decoder.read_count(reader, 0x90, 0xdc), depth + 1)
        if code == 0xde or code == 0xdf:
            return self.read_dict(reader, self.decoder.read_count(reader, 0x80, 0xde), depth + 1)
        if code == 0xca:
            need(reader, 5)
            bits = load32(reader.at + 1)
            memcpy(&small, &bits, 4)
            reader.at += 5
            take_memory(&reader.budget, COST_NUMBER)
            return <double> small
        if 0xd4 <= code <= 0xd8:
            reader.at += 1
            return self.read_extension(reader, 1 << (code - 0xd4))
        if 0xc7 <= code <= 0xc9:
            reader.at += 1
            return self.read_extension(reader, self.decoder.read_size(reader, 1 << (code - 0xc7)))
        return self.decoder.read(reader, depth)

    cdef object read_list(self, Reader *reader, Py_ssize_t count, int depth):
        check_depth(depth)
        self.decoder.take_elements(reader, count)
        items = []
        for _ in range(count):
            pause_if_due(&reader.pauses, reader.at)
            items.append(self.read(reader, depth))
        return items

    cdef object read_dict(self, Reader *reader, Py_ssize_t count, int depth):
        cdef Py_ssize_t index, foretold = 0
        cdef dict items = {}
        check_depth(depth)
        self.decoder.take_elements(reader, count)
        take_memory(&reader.budget, dict_cost(count))
        for index in range(count):
            pause_if_due(&reader.pauses, reader.at)
            key = self.read_dict_key(reader, depth)
            foretold += risk_of(key)
            if foretold > SMALL_TABLE:
                items = self.read_large_dict(reader, items, key, count - index - 1, depth)
                break
            put_item(items, key, self.read(reader, depth))
        class_name = items.get("__class__")
        if type(class_name) is not str:
            return items
        return build(self.restore, &reader.budget, <str> class_name, items)

    cdef dict read_large_dict(self, Reader *reader, dict begun, object key, Py_ssize_t more, int depth):
        # Precondition: the first items have been read, and the key of the next one, before `more`.
        cdef list keys = list(begun), values = list(begun.values())
        keys.append(key)
        values.append(self.read(reader, depth))
        for _ in range(more):
            pause_if_due(&reader.pauses, reader.at)
            keys.append(self.read_dict_key(reader, depth))
            values.append(self.read(reader, depth))
        return make_dict(keys, values, &reader.budget)

    cdef object read_dict_key(self, Reader *reader, int depth):
        need(reader, 1)
        if 0xa1 <= reader.at[0] <= 0xbf:
            return self.decoder.read_key(reader, depth)
        return self.read(reader, depth)

    cdef object read_extension(self, Reader *reader, Py_ssize_t size):
        cdef const uint8_t *body
        cdef double parts[2]
        cdef int64_t wide
        cdef int32_t narrow
        cdef int code
        need(reader, size + 1)
        code = reader.at[0]
        body = reader.at + 1
        reader.at += size + 1
        take_memory(&reader.budget, COST_MOMENT + size)
        try:
            if code == EXT_INTEGER and 0 < size <= MOST_DIGITS + 1:
                return int(PyBytes_FromStringAndSize(<const char *> body, size))
            if code == EXT_COMPLEX and size == 16:
                memcpy(parts, body, 16)
                return complex(parts[0], parts[1])
            if code == EXT_DATETIME and size == 8:
                memcpy(parts, body, 8)
                return datetime.fromtimestamp(parts[0])
            if code == EXT_DATE and size == 8:
                memcpy(&wide, body, 8)
                return date.fromordinal(wide)
            if code == EXT_DATE and size == 4:
                memcpy(&narrow, body, 4)
                return date.fromordinal(narrow)
        except (ValueError, OverflowError, OSError) as error:
            raise invalid(f"the body of an extension of code 0x{code:02x}: {error}") from None
        raise invalid(f"extension of code 0x{code:02x} with {size:,} bytes is not known")


cdef int write_extension(Writer out, int code, const uint8_t *data, Py_ssize_t size) except -1:
    out.reserve(size + 4)
    if size in (1, 2, 4, 8, 16):
        out.put(0xd4 + (0 if size == 1 else 1 if size == 2 else 2 if size == 4 else 3 if size == 8 else 4))
    elif size < 256:
        out.put(0xc7)
        out.put(<int> size)
    else:  # an int has 4,300 digits at the most
        out.put(0xc8)
        store16(out.data + out.size, <uint16_t> size)
        out.size += 2
    out.put(code)
    out.reserve(size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0
