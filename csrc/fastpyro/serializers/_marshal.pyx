"""The plain values of Python's marshal format, as Pyro's peers use them, without marshal.loads, which trusts its input.

Written is version 2, which every Python reads; versions 0 to 4 are read. Integers are little endian.

    code       value                            body
    N F T .    None, False, True, Ellipsis
    i I        int of 32, of 64 bits
    l          int                              signed 32-bit count of digits, 16-bit digits of 15 bits each
    g y        float, complex                   float64, two float64
    f x        float, complex                   text: 8-bit size and ASCII, once or twice
    s u t      bytes, str, interned str         32-bit size; UTF-8 that lets surrogates pass
    a A z Z    ASCII str, also interned         32-bit size (a A), 8-bit size (z Z)
    ( ) [ < >  tuple, tuple, list, set, frozenset   32-bit count, 8-bit for `)`; elements
    {          dict                             keys and values in turn, then the code 0
    r          what was the n-th with bit 7     32-bit n

Bit 7 of a code says that the value may be referred to. Code objects are refused, and StopIteration as well.
Rule 1: every read is preceded by `need`.
Rule 2: references make a value larger than its bytes; `expanded` counts how large, and is bounded. They make it deeper
        as well: the height of what is referred to counts where the reference stands.
"""

cimport cython
from cpython.buffer cimport Py_buffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from fastpyro._surrogates cimport text_with_surrogates
from fastpyro.serializers._decoder cimport Reader, ValueDecoder, invalid, need
from fastpyro.serializers._encoder cimport Writer
from fastpyro.serializers._extensions cimport MAX_DEPTH
from fastpyro.serializers._peer_codec cimport PeerCodec, build
from fastpyro.serializers._pauses cimport pause_if_due
from fastpyro.values._memory_budget cimport COST_CONTAINER, COST_NUMBER, COST_SLOT, COST_TEXT, take_memory
from fastpyro.serializers._serpent_writer cimport append
from fastpyro.values._tables cimport dict_cost, make_dict, make_set, set_cost

from fastpyro.errors import SerializeError

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    int PyUnicode_KIND(object text) noexcept
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow) except? -1.0

cdef enum:
    REFERABLE = 0x80
    MOST_DIGITS = 953  # of 15 bits: 4,300 decimal ones
    MOST_EXPANDED = 1000000  # elements beyond those that the bytes themselves hold
    EXPANDED_RATIO = 256  # elements for each byte, and 1,000: values that are shared once, and not within each other

cdef object END = object()  # of a dict


cdef inline uint32_t little32(const uint8_t *data) noexcept:
    return data[0] | (<uint32_t> data[1] << 8) | (<uint32_t> data[2] << 16) | (<uint32_t> data[3] << 24)


cdef int put32(Writer out, int64_t value) except -1:
    cdef int index
    out.reserve(4)
    for index in range(4):
        out.data[out.size + index] = <uint8_t> ((value >> (8 * index)) & 0xff)
    out.size += 4
    return 0


cdef class MarshalReading:
    """What is known while one message is read."""

    cdef list values  # that may be referred to; END stands for one that is not finished
    cdef list sizes  # their expanded element counts
    cdef list heights  # how many levels of containers are in each of them
    cdef int64_t expanded, most_expanded
    cdef int deepest  # level that was reached in the value that is being read


@cython.final
cdef class MarshalCodec(PeerCodec):
    """Encodes and decodes values and calls; see `PeerCodec`."""

    cdef ValueDecoder decoder

    def __cinit__(self, simplify, restore):
        self.decoder = ValueDecoder(None)

    cdef int write_whole(self, Writer out, object value) except -1:
        return self.write(out, value, 0)

    cdef object read_whole(self, object data, const Py_buffer *view):
        cdef Reader reader
        cdef MarshalReading reading = MarshalReading()
        reading.values, reading.sizes, reading.heights = [], [], []
        self.decoder.begin_view(&reader, data, view)
        reading.most_expanded = min(<int64_t> MOST_EXPANDED, 1000 + EXPANDED_RATIO * <int64_t> view.len)
        value = self.read(&reader, reading, 0)
        if value is END:
            raise invalid("the end of a dict where a value was expected")
        self.decoder.finish(&reader)
        return value

    cdef int write(self, Writer out, object value, int depth) except -1:
        cdef type kind = type(value)
        cdef double parts[2]
        if value is None or kind is bool:
            return out.put(c"N" if value is None else c"T" if value is True else c"F")
        if kind is int:
            return self.write_integer(out, value)
        if kind is float or kind is complex:
            parts[0], parts[1] = value.real, value.imag
            out.put(c"g" if kind is float else c"y")
            return append(out, <const char *> parts, 8 if kind is float else 16)
        if kind is str:
            return self.write_sized(out, c"u", (<str> value).encode("utf-8", "surrogatepass"))
        if kind is bytes or kind is bytearray or kind is memoryview:
            return self.write_sized(out, c"s", bytes(value))
        if depth >= MAX_DEPTH:
            raise SerializeError(f"a value is nested deeper than {MAX_DEPTH} levels, or contains itself")
        if kind is tuple or kind is list or kind is set or kind is frozenset:
            out.put(c"(" if kind is tuple else c"[" if kind is list else c"<" if kind is set else c">")
            items = tuple(value)  # simplify may change a list meanwhile
            put32(out, len(items))
            for item in items:
                self.write(out, item, depth + 1)
            return 0
        if kind is dict:
            out.put(c"{")
            for key, item in list((<dict> value).items()):
                self.write(out, key, depth + 1)
                self.write(out, item, depth + 1)
            return out.put(c"0")
        return self.write(out, self.simplify(value), depth + 1)

    cdef int write_sized(self, Writer out, int code, bytes data) except -1:
        if PyBytes_GET_SIZE(data) > 0x7fffffff:
            raise SerializeError(f"a str or bytes of {len(data):,} bytes exceeds the format's 2,147,483,647")
        out.put(code)
        put32(out, PyBytes_GET_SIZE(data))
        return append(out, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int write_integer(self, Writer out, object value) except -1:
        cdef int overflow = 0
        cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
        cdef list digits
        if not overflow and -0x80000000 <= number <= 0x7fffffff:
            out.put(c"i")
            return put32(out, number)
        rest = abs(value)
        if rest.bit_length() > MOST_DIGITS * 15:
            raise SerializeError("an int of more than 4,300 digits cannot be sent. Send it as bytes")
        digits = []
        while rest:
            digits.append(rest & 0x7fff)
            rest >>= 15
        out.put(c"l")
        put32(out, len(digits) if value > 0 else -len(digits))
        for digit in digits:
            out.put(digit & 0xff)
            out.put(digit >> 8)
        return 0

    cdef object read(self, Reader *reader, MarshalReading reading, int depth):
        cdef uint8_t code
        cdef Py_ssize_t place = -1
        cdef int64_t before = reading.expanded
        cdef int deepest = reading.deepest
        need(reader, 1)
        code = reader.at[0]
        reader.at += 1
        if code & REFERABLE and code != (c"r" | REFERABLE):
            code &= 0x7f
            if code == c"0":
                raise invalid("the end of a dict cannot be referred to")
            place = len(reading.values)
            reading.values.append(END)
            reading.sizes.append(0)
            reading.heights.append(0)
            take_memory(&reader.budget, 3 * COST_SLOT + COST_NUMBER)
            reading.deepest = depth
        value = self.read_coded(reader, reading, code & 0x7f, depth)
        if place >= 0:
            reading.values[place] = value
            reading.sizes[place] = reading.expanded - before
            reading.heights[place] = reading.deepest - depth
            reading.deepest = max(deepest, reading.deepest)
        return value

    cdef object read_coded(self, Reader *reader, MarshalReading reading, uint8_t code, int depth):
        reading.expanded += 1
        if code == c"N":
            return None
        if code == c"T" or code == c"F":
            return code == c"T"
        if code == c"0":
            return END
        if code == c".":
            return Ellipsis
        if code == c"i":
            take_memory(&reader.budget, COST_NUMBER)
            return <int32_t> self.size_of(reader, 4)
        if code == c"s":
            return self.take(reader, self.size_of(reader, 4))
        if code == c"u" or code == c"t" or code == c"a" or code == c"A":
            return self.text(reader, self.take(reader, self.size_of(reader, 4)))
        if code == c"z" or code == c"Z":
            return self.text(reader, self.take(reader, self.size_of(reader, 1)))
        if code == c"r":
            return self.referred(reading, self.size_of(reader, 4), depth)
        if code == c"(" or code == c"[" or code == c"<" or code == c">":
            return self.read_items(reader, reading, code, self.size_of(reader, 4), depth + 1)
        if code == c")":
            return self.read_items(reader, reading, c"(", self.size_of(reader, 1), depth + 1)
        if code == c"{":
            return self.read_dict(reader, reading, depth + 1)
        return self.read_numeric(reader, code)

    cdef object read_numeric(self, Reader *reader, uint8_t code):
        cdef double parts[2]
        cdef int64_t wide
        take_memory(&reader.budget, COST_NUMBER)
        if code == c"g" or code == c"y":
            need(reader, 8 if code == c"g" else 16)
            memcpy(parts, reader.at, 8 if code == c"g" else 16)
            reader.at += 8 if code == c"g" else 16
            return parts[0] if code == c"g" else complex(parts[0], parts[1])
        if code == c"I":
            need(reader, 8)
            memcpy(&wide, reader.at, 8)
            reader.at += 8
            return wide
        if code == c"l":
            return self.read_long(reader)
        if code == c"f":
            return self.read_real(reader)
        if code == c"x":
            real = self.read_real(reader)
            return complex(real, self.read_real(reader))
        raise invalid(f"there is no plain value with the marshal code {chr(code)!r}")

    cdef object read_real(self, Reader *reader):
        cdef char text[256]
        cdef int64_t size = self.size_of(reader, 1)
        need(reader, size)
        memcpy(text, reader.at, size)
        text[size] = 0
        reader.at += size
        try:
            # Not float(), which lets blanks and underscores pass.
            return PyOS_string_to_double(text, NULL, NULL)
        except ValueError:
            raise invalid("a float is no number") from None

    cdef object read_long(self, Reader *reader):
        cdef int64_t count = <int32_t> self.size_of(reader, 4)
        cdef int64_t digits = count if count >= 0 else -count
        cdef uint8_t packed[2 * MOST_DIGITS + 1]
        cdef uint32_t digit = 0, pending = 0
        cdef Py_ssize_t index, size = 0
        cdef int bits = 0
        if digits > MOST_DIGITS:
            raise invalid(f"an int of {digits * 15:,} bits; the limit is {MOST_DIGITS * 15:,}")
        need(reader, digits * 2)
        take_memory(&reader.budget, 2 * digits)
        for index in range(digits):  # in linear time: 15 bits after 15 bits, and no longer and longer ints
            digit = reader.at[2 * index] | (<uint32_t> reader.at[2 * index + 1] << 8)
            if digit > 0x7fff:
                raise invalid("a digit of an int has more than 15 bits")
            pending |= digit << bits
            bits += 15
            while bits >= 8:
                packed[size] = pending & 0xff
                size += 1
                pending >>= 8
                bits -= 8
        packed[size] = pending & 0xff
        if digits and not digit:
            raise invalid("an int begins with a digit of 0")
        reader.at += digits * 2
        value = int.from_bytes((<const uint8_t *> packed)[:size + 1], "little")
        return value if count >= 0 else -value

    cdef int64_t size_of(self, Reader *reader, int width) except? -1:
        cdef int64_t value
        need(reader, width)
        value = reader.at[0] if width == 1 else little32(reader.at)
        reader.at += width
        return value

    cdef bytes take(self, Reader *reader, int64_t size):
        need(reader, size)
        reader.at += size
        take_memory(&reader.budget, COST_TEXT + size)
        return PyBytes_FromStringAndSize(<const char *> reader.at - size, size)

    cdef str text(self, Reader *reader, bytes data):
        try:
            text = text_with_surrogates(<const uint8_t *> <const char *> data, PyBytes_GET_SIZE(data))
        except ValueError as error:
            raise invalid(f"a str is not UTF-8: {error}") from None
        if not PyUnicode_IS_COMPACT_ASCII(text):
            take_memory(&reader.budget, PyUnicode_GET_LENGTH(text) * PyUnicode_KIND(text))
        return text

    cdef object referred(self, MarshalReading reading, int64_t index, int depth):
        if index >= len(reading.values) or reading.values[index] is END:
            raise invalid(f"a reference to value {index:,}, which is not there")
        self.reach(reading, depth + <int> reading.heights[index])
        reading.expanded += <int64_t> reading.sizes[index]
        if reading.expanded > reading.most_expanded and reading.sizes[index] > 1:
            raise invalid(f"its references make it larger than {reading.most_expanded:,} elements")
        return reading.values[index]

    cdef int reach(self, MarshalReading reading, int depth) except -1:
        if depth > MAX_DEPTH:
            raise invalid(f"a value is nested deeper than {MAX_DEPTH} levels")
        reading.deepest = max(reading.deepest, depth)
        return 0

    cdef object read_items(self, Reader *reader, MarshalReading reading, uint8_t code, int64_t count, int depth):
        cdef list items = []
        self.reach(reading, depth)
        self.decoder.take_elements(reader, count)
        for _ in range(count):
            pause_if_due(&reader.pauses, reader.at)
            item = self.read(reader, reading, depth)
            if item is END:
                raise invalid("the end of a dict where an element was expected")
            items.append(item)
        if code == c"[":
            return items
        if code == c"(":
            return tuple(items)
        take_memory(&reader.budget, set_cost(count))
        return make_set(items, code == c">", &reader.budget)

    cdef object read_dict(self, Reader *reader, MarshalReading reading, int depth):
        cdef list keys = [], values = []
        take_memory(&reader.budget, COST_CONTAINER)
        self.reach(reading, depth)
        while True:
            pause_if_due(&reader.pauses, reader.at)
            key = self.read(reader, reading, depth)
            if key is END:
                break
            value = self.read(reader, reading, depth)
            if value is END:
                raise invalid("a key of a dict has no value")
            take_memory(&reader.budget, 2 * COST_SLOT)
            keys.append(key)
            values.append(value)
        take_memory(&reader.budget, dict_cost(len(keys)))
        items = make_dict(keys, values, &reader.budget)
        class_name = items.get("__class__")
        if type(class_name) is not str:
            return items
        return build(self.restore, &reader.budget, <str> class_name, items)
