"""Serpent's text to values: a reader of Python literals that evaluates nothing. Sans-I/O.

Rule 1: every look at the text goes through `peek`, or is bounded by a size that was compared with `end`.
Rule 2: bad text gives a SerializeError that says where, and nothing else.
Rule 3: depth is bounded, so the C stack is; a number's digits are counted before it is converted.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from fastpyro.serializers._extensions cimport MAX_TEXT_DEPTH
from fastpyro.serializers._peer_codec cimport build
from fastpyro.serializers._pauses cimport begin_pauses, pause_if_due
from fastpyro.values._memory_budget cimport COST_CONTAINER, COST_NUMBER, COST_SLOT, COST_TEXT
from fastpyro.values._memory_budget cimport begin_budget, end_budget, take_memory
from fastpyro.values._tables cimport SMALL_TABLE, dict_cost, make_dict, make_set, put_item, risk_of, set_cost

from fastpyro.errors import SerializeError

cdef extern from "Python.h":
    str PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    object PyLong_FromLongLong(long long value)
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow) except? -1.0
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void *PyUnicode_1BYTE_DATA(object text) noexcept
    int PyUnicode_KIND(object text) noexcept

cdef enum:
    MOST_DIGITS = 4300  # of an int, Python's own limit for text
    MOST_REAL = 5000  # characters of a float
    COST_ITEM = 60  # bytes of a dict's table for each of its items, at the most
    KEY_SLOTS = 512
    LONGEST_KEY = 31  # bytes of a string that is remembered
    FAST_DIGITS = 18  # fit into 64 bits


cdef inline uint8_t peek(const Text *text) noexcept:
    return text.at[0] if text.at < text.end else 0


cdef object wrong(const Text *text, str what):
    return SerializeError(f"invalid serpent text at byte {text.at - text.start:,}: {what}")


cdef inline uint8_t next_mark(Text *text) noexcept:
    """Skip blanks and comments; return what comes then, 0 for nothing."""
    cdef uint8_t code
    while text.at < text.end:
        code = text.at[0]
        if code == c"#":
            text.at = <const uint8_t *> memchr(text.at, c"\n", text.end - text.at)
            if text.at == NULL:
                text.at = text.end
        elif code == c" " or code == c"\n" or code == c"\t" or code == c"\r" or code == 0x0c:
            text.at += 1
        else:
            return code
    return 0


cdef inline bint is_digit(uint8_t code) noexcept:
    return c"0" <= code <= c"9"


@cython.final
cdef class SerpentReader:
    def __cinit__(self, restore):
        self.restore = restore
        self.keys = [None] * KEY_SLOTS

    cdef object read_whole(self, object source, const uint8_t *data, Py_ssize_t size):
        cdef Text text
        text.start = text.at = data
        text.end = data + size
        begin_budget(&text.budget, source, size)
        begin_pauses(&text.pauses, source, text.at, text.end)
        if memchr(data, 0, size) != NULL:
            raise SerializeError("serpent text contains a 0-byte")
        value = self.read(&text, 0)
        if next_mark(&text) != 0:
            raise wrong(&text, "something stands behind the value")
        end_budget(&text.budget)
        return value

    cdef object read(self, Text *text, int depth):
        cdef uint8_t code = next_mark(text)
        if code == c"'" or code == c'"':
            return self.read_text(text)
        if is_digit(code) or code == c"-" or code == c"+" or code == c".":
            return self.read_number(text)
        if depth > MAX_TEXT_DEPTH:
            raise wrong(text, TOO_DEEP)
        if code == c"{":
            return self.read_brace(text, depth + 1)
        if code == c"[":
            text.at += 1
            return self.read_items(text, c"]", depth + 1)
        if code == c"(":
            return self.read_parenthesis(text, depth + 1)
        return self.read_word(text, depth)

    cdef object read_word(self, Text *text, int depth):
        cdef Py_ssize_t left = text.end - text.at
        if left >= 4 and memcmp(text.at, b"None", 4) == 0:
            text.at += 4
            value = None
        elif left >= 4 and memcmp(text.at, b"True", 4) == 0:
            text.at += 4
            value = True
        elif left >= 5 and memcmp(text.at, b"False", 5) == 0:
            text.at += 5
            value = False
        elif left >= 2 and (text.at[0] == c"b" or text.at[0] == c"B") and (text.at[1] == c"'" or text.at[1] == c'"'):
            text.at += 1
            return self.read_bytes(text)
        elif left >= 2 and (text.at[0] == c"u" or text.at[0] == c"U") and (text.at[1] == c"'" or text.at[1] == c'"'):
            text.at += 1
            return self.read_text(text)
        elif left >= 5 and memcmp(text.at, b"set()", 5) == 0:
            text.at += 5
            take_memory(&text.budget, set_cost(0))
            return set()
        else:
            raise wrong(text, "a value was expected" if left else "a value was expected, and the text ends")
        if is_word(peek(text)):
            raise wrong(text, "there is no such word")
        return value

    cdef object read_number(self, Text *text):
        cdef int sign = 1
        cdef uint8_t code
        take_memory(&text.budget, COST_NUMBER)
        if text.at[0] == c"-" or text.at[0] == c"+":
            sign = -1 if text.at[0] == c"-" else 1
            text.at += 1
            next_mark(text)
        value = self.read_real(text, sign)
        if type(value) is complex:
            return value
        code = next_mark(text)
        if code != c"+" and code != c"-":
            return value
        text.at += 1
        imaginary = self.read_real(text, -1 if code == c"-" else 1)
        if type(imaginary) is not complex:
            raise wrong(text, "only a real and an imaginary part can be added")
        return complex(value, imaginary.imag)

    cdef object read_real(self, Text *text, int sign):
        """Read an int, float, or imaginary number without its sign."""
        cdef const uint8_t *begin = text.at
        cdef uint64_t number = 0
        cdef Py_ssize_t size
        cdef bint whole = True
        cdef char copy[64]
        cdef double real
        cdef uint8_t code
        if peek(text) == c"0" and text.end - text.at > 2 and text.at[1] in (c"x", c"X", c"o", c"O", c"b", c"B"):
            return self.read_power_of_two(text, sign)
        while is_digit(peek(text)):
            number = number * 10 + (text.at[0] - c"0")
            text.at += 1
        size = text.at - begin
        code = peek(text)
        if code == c".":
            whole = False
            text.at += 1
            while is_digit(peek(text)):
                text.at += 1
            if text.at - begin == 1:
                raise wrong(text, "a number was expected")
            code = peek(text)
        elif size == 0:
            raise wrong(text, "a number was expected")
        if code == c"e" or code == c"E":
            whole = False
            text.at += 1
            if peek(text) == c"+" or peek(text) == c"-":
                text.at += 1
            if not is_digit(peek(text)):
                raise wrong(text, "an exponent was expected")
            while is_digit(peek(text)):
                text.at += 1
            code = peek(text)
        if is_word(code) and code != c"j" and code != c"J":
            raise wrong(text, "a number ends with letters")
        if whole and code != c"j" and code != c"J":
            if size > 1 and begin[0] == c"0" and number != 0:
                raise wrong(text, "a number begins with 0")
            if size <= FAST_DIGITS:
                return PyLong_FromLongLong(<long long> number * sign)
            if size > MOST_DIGITS:
                raise wrong(text, f"an int of {size:,} digits; the limit is {MOST_DIGITS:,}")
            take_memory(&text.budget, size)
            return int(PyBytes_FromStringAndSize(<const char *> begin, size)) * sign
        size = text.at - begin
        if size > MOST_REAL:
            raise wrong(text, f"a number of {size:,} characters; the limit is {MOST_REAL:,}")
        if size < 64:
            memcpy(copy, begin, size)
            copy[size] = 0
            real = PyOS_string_to_double(copy, NULL, NULL) * sign
        else:
            real = float(PyBytes_FromStringAndSize(<const char *> begin, size)) * sign
        if code == c"j" or code == c"J":
            text.at += 1
            if is_word(peek(text)):
                raise wrong(text, "a number ends with letters")
            return complex(0.0, real)
        return real

    cdef object read_power_of_two(self, Text *text, int sign):
        # Precondition: a 0 and the letter of a base.
        cdef const uint8_t *begin = text.at
        cdef Py_ssize_t size
        text.at += 2
        while is_word(peek(text)):
            text.at += 1
        size = text.at - begin
        if size > MOST_DIGITS:
            raise wrong(text, f"an int of {size:,} digits; the limit is {MOST_DIGITS:,}")
        try:
            return int(PyBytes_FromStringAndSize(<const char *> begin, size), 0) * sign
        except ValueError:
            raise wrong(text, "there is no such number") from None

    cdef str read_text(self, Text *text):
        # Precondition: a quote.
        cdef uint8_t quote = text.at[0], code
        cdef const uint8_t *begin = text.at + 1
        text.at += 1
        while text.at < text.end:
            code = text.at[0]
            if code == quote:
                text.at += 1
                if text.at - begin == 1 and peek(text) == quote:
                    raise wrong(text, "strings in three quotes are not read here")
                return charged(text, decoded(text, begin, text.at - begin - 1))
            if code == c"\\":
                return self.read_escaped(text, begin, quote)
            if code == c"\n" or code == c"\r":
                break
            text.at += 1
        raise wrong(text, "a string has no end")

    cdef str read_escaped(self, Text *text, const uint8_t *begin, uint8_t quote):
        cdef list parts = []
        cdef uint8_t code
        while text.at < text.end:
            code = text.at[0]
            if code == c"\n" or code == c"\r":
                break
            if code != quote and code != c"\\":
                text.at += 1
                continue
            if text.at > begin:
                parts.append(decoded(text, begin, text.at - begin))
            if code == quote:
                text.at += 1
                return charged(text, "".join(parts))
            parts.append(read_escape(text, True))
            begin = text.at
        raise wrong(text, "a string has no end")

    cdef bytes read_bytes(self, Text *text):
        # Precondition: a quote, behind the b.
        cdef uint8_t quote = text.at[0], code
        cdef const uint8_t *begin = text.at + 1
        cdef list parts = []
        text.at += 1
        while text.at < text.end:
            code = text.at[0]
            if code == c"\n" or code == c"\r" or code > 127:
                raise wrong(text, "bytes are written in ASCII, in one line")
            if code != quote and code != c"\\":
                text.at += 1
                continue
            if text.at > begin:
                parts.append(PyBytes_FromStringAndSize(<const char *> begin, text.at - begin))
            if code == quote:
                text.at += 1
                data = b"".join(parts)
                take_memory(&text.budget, COST_TEXT + PyBytes_GET_SIZE(data))
                return data
            parts.append(read_escape(text, False).encode("latin-1"))
            begin = text.at
        raise wrong(text, "bytes have no end")

    cdef list read_items(self, Text *text, uint8_t closing, int depth):
        cdef list items = []
        cdef bint comma = False
        cdef uint8_t code
        take_memory(&text.budget, COST_CONTAINER)
        while True:
            code = next_mark(text)
            if code == closing:
                text.at += 1
                text.comma = comma
                return items
            take_memory(&text.budget, COST_SLOT)
            pause_if_due(&text.pauses, text.at)
            items.append(self.read(text, depth))
            code = next_mark(text)
            if code == c",":
                comma = True
                text.at += 1
            elif code != closing:
                raise wrong(text, "a comma or the end of a container was expected")

    cdef object read_parenthesis(self, Text *text, int depth):
        cdef list items
        text.at += 1
        items = self.read_items(text, c")", depth)
        if PyList_GET_SIZE(items) == 1 and not text.comma:
            return items[0]
        return tuple(items)

    cdef object read_brace(self, Text *text, int depth):
        cdef dict items = {}
        cdef list keys = None, values = None  # of a large dict, looked at before it is made
        cdef Py_ssize_t foretold = 0
        cdef uint8_t code
        take_memory(&text.budget, dict_cost(0))
        text.at += 1
        if next_mark(text) == c"}":
            text.at += 1
            return items
        take_memory(&text.budget, dict_cost(1))
        while True:
            pause_if_due(&text.pauses, text.at)
            key = self.read_key(text, depth)
            if next_mark(text) != c":":
                if len(items) == 0 and keys is None:
                    return self.read_set(text, key, depth)
                raise wrong(text, "a colon was expected")
            text.at += 1
            value = self.read(text, depth)
            take_memory(&text.budget, COST_ITEM)
            foretold += risk_of(key)
            if foretold > SMALL_TABLE and keys is None:
                keys, values = list(items), list(items.values())
            if keys is None:
                put_item(items, key, value)
            else:
                keys.append(key)
                values.append(value)
            code = next_mark(text)
            if code == c",":
                text.at += 1
                code = next_mark(text)
            elif code != c"}":
                raise wrong(text, "a comma or the end of a dict was expected")
            if code == c"}":
                text.at += 1
                break
        if keys is not None:
            items = table_of(text, keys, values)
        class_name = items.get("__class__")
        if type(class_name) is str:
            return self.read_class(text, items, <str> class_name)
        return items

    cdef object read_key(self, Text *text, int depth):
        """Read a value that is probably a short str which has been seen before."""
        cdef uint8_t quote = next_mark(text)
        cdef const uint8_t *begin = text.at + 1
        cdef const uint8_t *at = begin
        cdef uint64_t mixed = 0
        cdef Py_ssize_t size, index
        if quote != c"'" and quote != c'"':
            return self.read(text, depth)
        while at < text.end and at - begin <= LONGEST_KEY and at[0] != quote and at[0] != c"\\":
            mixed = (mixed ^ at[0]) * 0x100000001b3ULL
            at += 1
        size = at - begin
        if at == text.end or at[0] != quote or not 0 < size <= LONGEST_KEY:
            return self.read_text(text)
        index = <Py_ssize_t> ((mixed ^ (mixed >> 29)) & (KEY_SLOTS - 1))
        known = <object> PyList_GET_ITEM(self.keys, index)
        if (
            known is not None
            and PyUnicode_GET_LENGTH(known) == size
            and memcmp(PyUnicode_1BYTE_DATA(known), begin, size) == 0
        ):
            text.at = at + 1
            return known
        key = self.read_text(text)
        if PyUnicode_IS_COMPACT_ASCII(key) and PyUnicode_GET_LENGTH(key) == size:
            self.keys[index] = key
        return key

    cdef object read_set(self, Text *text, object first, int depth):
        cdef list items
        cdef uint8_t code = next_mark(text)
        if code == c",":
            text.at += 1
        elif code != c"}":
            raise wrong(text, "a colon, a comma or the end of a set was expected")
        items = self.read_items(text, c"}", depth)
        items.append(first)
        take_memory(&text.budget, set_cost(PyList_GET_SIZE(items)))
        return table_of(text, items, None)

    cdef object read_class(self, Text *text, dict items, str class_name):
        value, real, imaginary = items.get("value"), items.get("real"), items.get("imag")
        if class_name == "float" and type(value) is str and <str> value == "nan":
            return float("nan")
        if class_name == "complex" and type(real) is float and type(imaginary) is float:
            return complex(real, imaginary)
        return build(self.restore, &text.budget, class_name, items)


# Not in the methods that call each other for each level of nesting, which must not have room for it on the stack.
cdef object table_of(Text *text, list keys, list values):  # without values: a set
    try:
        return make_set(keys, False, &text.budget) if values is None else make_dict(keys, values, &text.budget)
    except SerializeError as error:
        raise wrong(text, str(error)) from None


cdef inline bint is_word(uint8_t code) noexcept:
    return c"a" <= code <= c"z" or c"A" <= code <= c"Z" or is_digit(code) or code == c"_" or code > 127


cdef str charged(Text *text, str read):
    take_memory(&text.budget, COST_TEXT + PyUnicode_GET_LENGTH(read) * PyUnicode_KIND(read))
    return read


cdef str decoded(const Text *text, const uint8_t *begin, Py_ssize_t size):
    try:
        return PyUnicode_DecodeUTF8(<const char *> begin, size, NULL)
    except UnicodeDecodeError as error:
        raise wrong(text, f"a string is not UTF-8: {error}") from None


cdef str read_escape(Text *text, bint of_text):
    """Read a backslash and what belongs to it: a str, whose characters are byte values where it is not `of_text`."""
    cdef uint8_t code
    cdef int value = 0, digits = 0
    text.at += 1
    code = peek(text)
    text.at += 1 if text.at < text.end else 0
    if code == c"\n":
        return ""
    if code in (c"\\", c"'", c'"'):
        return chr(code)
    if c"0" <= code <= c"7":
        value = code - c"0"
        while digits < 2 and c"0" <= peek(text) <= c"7":
            value = value * 8 + (text.at[0] - c"0")
            text.at += 1
            digits += 1
        return chr(value if of_text else value & 0xff)
    if code == c"x":
        return chr(read_hex(text, 2))
    if of_text and code == c"u":
        return chr(read_hex(text, 4))
    if of_text and code == c"U":
        value = read_hex(text, 8)
        if not 0 <= value <= 0x10FFFF:
            raise wrong(text, "there is no such character")
        return chr(value)
    if of_text and code == c"N":
        raise wrong(text, "names of characters are not read here")
    if code == 0:
        raise wrong(text, "the text ends in a string")
    if code in SHORT:
        return SHORT[code]
    text.at -= 1  # no escape: the backslash stands for itself
    return "\\"


cdef str TOO_DEEP = f"values are nested deeper than {MAX_TEXT_DEPTH} levels"
cdef dict SHORT = {c"n": "\n", c"t": "\t", c"r": "\r", c"a": "\a", c"b": "\b", c"f": "\f", c"v": "\v"}


cdef int read_hex(Text *text, int count) except -2:
    cdef long long value = 0
    cdef uint8_t code
    for _ in range(count):
        code = peek(text)
        if is_digit(code):
            value = value * 16 + (code - c"0")
        elif c"a" <= (code | 0x20) <= c"f":
            value = value * 16 + ((code | 0x20) - c"a" + 10)
        else:
            raise wrong(text, "an escape lacks digits")
        text.at += 1
    return <int> value if value <= 0x7fffffff else 0x7fffffff
