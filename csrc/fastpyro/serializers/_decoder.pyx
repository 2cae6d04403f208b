"""Bytes to values: the reading half of `_codec`, which has the table of the wire form. Sans-I/O; the bytes are hostile.

Rule 1: every read is checked by `need`, in one place; a count is compared with what the message can still hold before
        memory is taken for it.
Rule 2: depth is bounded, so the C stack is: whatever calls `read` has called `check_depth`. The digits of an integer
        are bounded; tables are made by `_tables`, which refuses keys that collide.
Rule 3: bytes give a value or SerializeError. Errors of `from_state` that are PyroErrors pass unchanged.
Rule 4: each object is charged for what it takes in Python, not for the bytes that it came from, before it is made.
Rule 5: nothing is imported, and no constructor is called, because the bytes say so; `from_state` decides.
"""

cimport cython
from cpython.buffer cimport Py_buffer
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.datetime cimport datetime_new, import_datetime, time_new
from cpython.dict cimport PyDict_Contains
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_FromLongLong, PyLong_FromUnsignedLongLong
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from fastpyro.serializers._blocks cimport Block
from fastpyro._byteorder cimport load16, load32, load64, load_double
from fastpyro._surrogates cimport text_with_surrogates
from fastpyro.serializers._extensions cimport (
    EXT_BUFFER, EXT_BYTEARRAY, EXT_COMPLEX, EXT_DATE, EXT_DATETIME, EXT_FROZENSET, EXT_INTEGER, EXT_OBJECT, EXT_SET,
    EXT_TEXT, EXT_TIME, EXT_TIMEDELTA, EXT_TUPLE, MAX_DEPTH, MAX_INTEGER_BYTES,
)
from fastpyro.serializers._pauses cimport begin_pauses, pause_if_due
from fastpyro.values._memory_budget cimport (
    COST_BUFFER, COST_CONTAINER, COST_MOMENT, COST_NUMBER, COST_OBJECT, COST_SLOT, COST_TEXT, COST_ZONE, begin_budget,
    end_budget, take_memory,
)
from fastpyro.serializers._moments cimport bounded, day_at, fixed_zone, known_zone
from fastpyro.serializers._short_bytes cimport same_bytes, slot_of
from fastpyro.values._objects cimport ClassTable
from fastpyro.values._tables cimport SMALL_TABLE, dict_cost, make_dict, make_set, put_item, risk_of, set_cost

from fastpyro.values.checked import reason_of
from fastpyro.errors import PyroError, SerializeError

import_datetime()

cdef extern from "Python.h":
    str PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void *PyUnicode_1BYTE_DATA(object text) noexcept
    object PyFloat_FromDouble(double value)
    int PyUnicode_KIND(object text) noexcept
    Py_ssize_t PyDict_GET_SIZE(object items) noexcept

cdef enum:
    KEY_SLOTS = 1024
    COST_PROXY = 640  # beside what its state took, and the sets of names: with its address
    COST_DEQUE = 1024
    COST_ORDERED = 96  # for each item of an OrderedDict, beside its table


cdef int need(const Reader *reader, Py_ssize_t size) except -1:
    if size > reader.end - reader.at:
        raise SerializeError(f"truncated data: {size:,} bytes needed, {reader.end - reader.at:,} are left")
    return 0


cdef object invalid(str what):
    return SerializeError(f"invalid data: {what}")


cdef inline int check_depth(int depth) except -1:
    if depth > MAX_DEPTH:
        raise SerializeError(f"invalid data: a value is nested deeper than {MAX_DEPTH} levels")
    return 0


@cython.final
cdef class ValueDecoder:
    def __cinit__(self, from_state):
        self.from_state = from_state
        self.table = from_state if type(from_state) is ClassTable else None
        self.keys = [None] * KEY_SLOTS

    cdef int begin(self, Reader *reader, const uint8_t *data, Py_ssize_t size) except -1:
        reader.at = data
        reader.end = data + size
        reader.buffers = NULL
        reader.next_buffer = 0
        reader.elements = size  # an element has a byte at least
        begin_pauses(&reader.pauses, None, reader.at, reader.end)
        return begin_budget(&reader.budget, None, size)

    cdef int begin_view(self, Reader *reader, object data, const Py_buffer *view) except -1:
        self.begin(reader, <const uint8_t *> view.buf, view.len)
        begin_pauses(&reader.pauses, data, reader.at, reader.end)
        return begin_budget(&reader.budget, data, view.len)

    cdef int finish(self, const Reader *reader) except -1:
        if reader.at != reader.end:
            raise invalid(f"{reader.end - reader.at:,} bytes follow the value")
        end_budget(&reader.budget)
        return 0

    cdef int take_elements(self, Reader *reader, Py_ssize_t count) except -1:
        # One budget for the whole message, so that nested claims cannot add up.
        if count > reader.end - reader.at or count > reader.elements:
            raise SerializeError(
                f"a container claims {count:,} elements, but only {reader.end - reader.at:,} bytes are left"
            )
        reader.elements -= count
        pause_if_due(&reader.pauses, reader.at)
        return take_memory(&reader.budget, COST_CONTAINER + COST_SLOT * count)

    cdef object read(self, Reader *reader, int depth):
        cdef uint8_t code
        need(reader, 1)
        code = reader.at[0]
        if code < 0x80:
            reader.at += 1
            return PyLong_FromLongLong(code)
        if code >= 0xe0:
            reader.at += 1
            take_memory(&reader.budget, COST_NUMBER)
            return PyLong_FromLongLong(<int> code - 256)
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
        # Precondition: the code has been consumed, and is none of those that hold a value or a size in themselves.
        cdef const uint8_t *at = reader.at
        if code == 0xc0:
            return None
        if code == 0xc2:
            return False
        if code == 0xc3:
            return True
        if code == 0xcb:
            need(reader, 8)
            reader.at += 8
            take_memory(&reader.budget, COST_NUMBER)
            return PyFloat_FromDouble(load_double(at))
        if 0xcc <= code <= 0xd3:
            return self.read_number(reader, code)
        if code >= 0xde:
            return self.read_dict(reader, self.read_size(reader, 2 << (code - 0xde)), depth + 1)
        if code >= 0xdc:
            return self.read_list(reader, self.read_size(reader, 2 << (code - 0xdc)), depth + 1)
        if code >= 0xd9:
            return self.read_text(reader, self.read_size(reader, 1 << (code - 0xd9)))
        if code >= 0xd4:
            return self.read_extension(reader, 1 << (code - 0xd4), depth)
        if 0xc7 <= code <= 0xc9:
            return self.read_extension(reader, self.read_size(reader, 1 << (code - 0xc7)), depth)
        if 0xc4 <= code <= 0xc6:
            return self.read_bytes(reader, self.read_size(reader, 1 << (code - 0xc4)))
        raise invalid(f"there is no value with code 0x{code:02x}")

    cdef Py_ssize_t read_size(self, Reader *reader, int width) except -1:
        cdef const uint8_t *at = reader.at
        need(reader, width)
        reader.at += width
        if width == 1:
            return at[0]
        if width == 2:
            return load16(at)
        return load32(at)

    cdef object read_bytes(self, Reader *reader, Py_ssize_t size):
        cdef const char *data = <const char *> reader.at
        need(reader, size)
        reader.at += size
        if size > 1:  # Python keeps the shorter ones
            take_memory(&reader.budget, COST_TEXT + size)
        return PyBytes_FromStringAndSize(data, size)

    cdef object read_number(self, Reader *reader, uint8_t code):
        cdef int width = 1 << (code & 3)
        cdef const uint8_t *at = reader.at
        cdef bint signed = code >= 0xd0
        need(reader, width)
        reader.at += width
        take_memory(&reader.budget, COST_NUMBER)
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
        need(reader, 1)
        code = reader.at[0]
        reader.at += 1
        if (code & 0xf0) == fix:
            return code & 0x0f
        if code == code16 or code == code16 + 1:
            return self.read_size(reader, 2 if code == code16 else 4)
        raise invalid(f"code 0x{code:02x} where {'an array' if fix == 0x90 else 'a map'} was expected")

    cdef str read_text(self, Reader *reader, Py_ssize_t size):
        cdef const char *data = <const char *> reader.at
        need(reader, size)
        reader.at += size
        if size > 1:  # Python keeps the shorter ones
            take_memory(&reader.budget, COST_TEXT + size)
        try:
            text = PyUnicode_DecodeUTF8(data, size, NULL)
        except UnicodeDecodeError as error:
            raise invalid(f"a str is not UTF-8: {error}") from None
        if not PyUnicode_IS_COMPACT_ASCII(text):
            take_memory(&reader.budget, PyUnicode_GET_LENGTH(text) * PyUnicode_KIND(text))
        return text

    cdef object read_key(self, Reader *reader, int depth):
        """Read a value that is probably a short str which has been seen before."""
        cdef uint8_t code
        cdef Py_ssize_t size, index
        cdef const uint8_t *data
        need(reader, 1)
        code = reader.at[0]
        if not 0xa1 <= code <= 0xbf:
            return self.read(reader, depth)
        size = code & 0x1f
        need(reader, size + 1)
        data = reader.at + 1
        index = slot_of(data, size, KEY_SLOTS)
        known = <object> PyList_GET_ITEM(self.keys, index)
        if (
            known is not None
            and PyUnicode_GET_LENGTH(known) == size
            and same_bytes(<const uint8_t *> PyUnicode_1BYTE_DATA(known), data, size)
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
            pause_if_due(&reader.pauses, reader.at)
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
            pause_if_due(&reader.pauses, reader.at)
            item = self.read(reader, depth)
            Py_INCREF(item)
            PyTuple_SET_ITEM(items, index, item)
        return items

    cdef dict read_dict(self, Reader *reader, Py_ssize_t count, int depth):
        cdef Py_ssize_t foretold = 0
        cdef dict items
        check_depth(depth)
        self.take_elements(reader, count)
        take_memory(&reader.budget, dict_cost(count))
        items = {}
        for _ in range(count):
            pause_if_due(&reader.pauses, reader.at)
            key = self.read_key(reader, depth)
            foretold += risk_of(key)
            if foretold > SMALL_TABLE:
                return self.read_large_dict(reader, items, key, count, depth)
            put_item(items, key, self.read(reader, depth))
        if PyDict_GET_SIZE(items) != count:
            raise invalid("a dict has the same key twice")
        return items

    cdef dict read_large_dict(self, Reader *reader, dict begun, object key, Py_ssize_t count, int depth):
        # Precondition: the first items have been read, and the key of the next one.
        cdef list keys = list(begun), values = list(begun.values())
        keys.append(key)
        values.append(self.read(reader, depth))
        while PyList_GET_SIZE(keys) < count:
            pause_if_due(&reader.pauses, reader.at)
            keys.append(self.read_key(reader, depth))
            values.append(self.read(reader, depth))
        begun = make_dict(keys, values, &reader.budget)
        if PyDict_GET_SIZE(begun) != count:
            raise invalid("a dict has the same key twice")
        return begun

    cdef dict read_keywords(self, Reader *reader, int depth):
        """Read the keyword arguments of a call: a dict, or None for none."""
        kwargs = self.read(reader, depth)
        if kwargs is None:
            return None
        if type(kwargs) is not dict:
            raise invalid("the keyword arguments of a call are a map or nil")
        for name in <dict> kwargs:
            if type(name) is not str:
                raise invalid("the names of keyword arguments are str")
        return kwargs

    cdef object read_set(self, Reader *reader, int code, int depth):
        cdef list items = self.read_list(reader, self.read_count(reader, 0x90, 0xdc), depth)
        cdef Py_ssize_t count = PyList_GET_SIZE(items)
        take_memory(&reader.budget, set_cost(count))
        result = make_set(items, code == EXT_FROZENSET, &reader.budget)
        if len(result) != count:
            raise invalid("a set has the same element twice")
        return result

    cdef object read_extension(self, Reader *reader, Py_ssize_t size, int depth):
        cdef const uint8_t *end = reader.end
        cdef int code
        need(reader, size + 1)
        code = reader.at[0]
        reader.at += 1
        reader.end = reader.at + size
        value = self.read_extension_body(reader, code, depth + 1)
        if reader.at != reader.end:
            raise invalid(f"{reader.end - reader.at:,} bytes too many in an extension of code {code}")
        reader.end = end
        return value

    cdef object read_extension_body(self, Reader *reader, int code, int depth):
        # Precondition: the reader's range is the extension's body; it must be used up.
        if code == EXT_TUPLE:
            return self.read_tuple(reader, self.read_count(reader, 0x90, 0xdc), depth)
        if code == EXT_OBJECT:
            return self.read_object(reader, depth)
        if code == EXT_SET or code == EXT_FROZENSET:
            return self.read_set(reader, code, depth)
        if code == EXT_DATETIME or code == EXT_TIME:
            return self.read_time(reader, code)
        return self.read_leaf(reader, code)

    cdef object read_leaf(self, Reader *reader, int code):
        # An extension that holds no values; apart, so that no level of nesting has room for it on the stack.
        cdef Py_ssize_t size = reader.end - reader.at
        cdef const uint8_t *at = reader.at
        reader.at = reader.end
        if code == EXT_BUFFER and size == 4:
            take_memory(&reader.budget, COST_BUFFER)
            return buffer_at(reader, load32(at))
        take_memory(&reader.budget, COST_MOMENT + size)
        if code == EXT_BYTEARRAY:
            return PyByteArray_FromStringAndSize(<const char *> at, size)
        if code == EXT_INTEGER:
            if not 0 < size <= MAX_INTEGER_BYTES:
                raise invalid(f"an int of {size:,} bytes; the limit is {MAX_INTEGER_BYTES:,}")
            return int.from_bytes(at[:size], "big", signed=True)
        if code == EXT_TEXT:
            take_memory(&reader.budget, 3 * size)
            try:
                return text_with_surrogates(at, size)
            except ValueError as error:
                raise invalid(f"a str is not UTF-8: {error}") from None
        if code == EXT_COMPLEX and size == 16:
            return complex(load_double(at), load_double(at + 8))
        if (code == EXT_DATE and size == 4) or (code == EXT_TIMEDELTA and size == 12):
            return day_at(code == EXT_DATE, at)
        raise invalid(f"extension of code {code} with {size:,} bytes is not known")

    cdef object read_time(self, Reader *reader, int code):
        cdef const uint8_t *at = reader.at
        cdef const uint8_t *clock
        cdef int dated = 4 if code == EXT_DATETIME else 0
        need(reader, 8 + dated)
        clock = at + dated
        reader.at += 8 + dated
        take_memory(&reader.budget, COST_MOMENT)
        zone = self.read_zone(reader) if reader.at < reader.end else None
        try:
            if dated:
                return datetime_new(
                    load16(at), at[2], at[3], clock[0], clock[1], clock[2], bounded(load32(clock + 3)), zone, clock[7]
                )
            return time_new(clock[0], clock[1], clock[2], bounded(load32(clock + 3)), zone, clock[7])
        except (ValueError, OverflowError, TypeError) as error:
            raise invalid(f"no point in time: {error}") from None

    cdef object read_zone(self, Reader *reader):
        cdef uint8_t code
        name = None
        need(reader, 1)
        code = reader.at[0]
        if 0x90 <= code < 0xa0 or code == 0xdc or code == 0xdd:
            if self.read_count(reader, 0x90, 0xdc) != 2:
                raise invalid("a time zone is an offset, an offset with a name, or a key")
            zone, name = self.read_part_of_zone(reader), self.read_part_of_zone(reader)
            if type(zone) is not int or type(name) is not str:
                raise invalid("a time zone with a name is an offset and a str")
        else:
            zone = self.read_part_of_zone(reader)
        if type(zone) is str:
            return known_zone(zone)
        if type(zone) is not int:
            raise invalid("a time zone is an offset, an offset with a name, or a key")
        take_memory(&reader.budget, COST_ZONE)
        return fixed_zone(zone, name)

    cdef object read_part_of_zone(self, Reader *reader):
        # No containers and no extensions but text and integers, so nothing can be nested in a zone.
        cdef uint8_t code
        cdef Py_ssize_t ahead
        need(reader, 1)
        code = reader.at[0]
        if 0x80 <= code < 0xa0 or 0xdc <= code < 0xe0:
            raise invalid("a time zone holds no containers")
        if 0xc7 <= code <= 0xc9 or 0xd4 <= code <= 0xd8:
            ahead = 1 if code >= 0xd4 else 1 + (1 << (code - 0xc7))
            need(reader, ahead + 1)
            if reader.at[ahead] != EXT_TEXT and reader.at[ahead] != EXT_INTEGER:
                raise invalid("a time zone holds no such extension")
        return self.read(reader, 0)

    cdef object read_object(self, Reader *reader, int depth):
        check_depth(depth)
        if self.read_count(reader, 0x90, 0xdc) != 2:
            raise invalid("an object is an array of class name and state")
        class_name = self.read_key(reader, depth)
        if type(class_name) is not str:
            raise invalid("the class name of an object is a str")
        state = self.read(reader, depth)
        take_memory(&reader.budget, cost_of(class_name, state) if PyDict_Contains(COSTLY, class_name) else COST_OBJECT)
        return self.build_object(reader, class_name, state)

    cdef object build_object(self, Reader *reader, str class_name, object state):
        try:
            if self.table is not None:
                return self.table.build(class_name, state, &reader.budget)
            return self.from_state(class_name, state)
        except PyroError:
            raise
        except Exception as error:
            raise SerializeError(f"cannot build an object of class {class_name[:200]!r}: {reason_of(error)}") from error


# Classes of which an object takes more than others, or a copy of what its state holds.
cdef dict COSTLY = {"fastpyro.Proxy": None, "deque": None, "OrderedDict": None, "defaultdict": None, "Counter": None}


cdef Py_ssize_t cost_of(str class_name, object state) except -1:
    cdef Py_ssize_t count
    cdef Py_ssize_t cost = COST_PROXY
    if class_name == "deque":  # its items take as much as in their list
        return COST_DEQUE
    if class_name == "fastpyro.Proxy":
        for names in <tuple> state if type(state) is tuple else ():
            if type(names) is tuple or type(names) is list or type(names) is set or type(names) is frozenset:
                cost += set_cost(len(names)) if len(names) else 0
        return cost
    items = (<tuple> state)[1] if type(state) is tuple and len(<tuple> state) == 2 else state
    count = PyDict_GET_SIZE(items) if type(items) is dict else 0
    # What the table of a small state took is free again, and pays for its copy.
    return COST_OBJECT + COST_ORDERED * count + (dict_cost(count) if count > 8 else 0)


cdef object buffer_at(Reader *reader, uint32_t index):
    if reader.buffers == NULL or index >= len(<list> reader.buffers):
        raise invalid(f"there is no buffer {index:,} in this message")
    if index < reader.next_buffer:  # whoever makes an array of it may look at all of it, or copy it
        raise invalid(f"buffer {index:,} of this message stands for one value, and in its turn")
    reader.next_buffer = index + 1
    buffer = (<list> reader.buffers)[index]
    return memoryview(buffer) if isinstance(buffer, Block) else buffer
