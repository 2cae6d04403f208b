# UTF-8 in which surrogates stand by themselves, as Python's "surrogatepass" reads it, which takes a microsecond for
# each of them. Functions only: no module of its own.

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, uint32_t highest)
    str PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    int text_kind "PyUnicode_KIND" (object text) noexcept
    void *PyUnicode_DATA(object text) noexcept
    void PyUnicode_WRITE(int kind, void *data, Py_ssize_t index, uint32_t character) noexcept


cdef inline int character_at(const uint8_t *at, Py_ssize_t left, uint32_t *character) noexcept:
    # Returns how many bytes the character takes; 0 for bytes that are none.
    cdef int index, size = 1 if at[0] < 0x80 else 2 if at[0] < 0xe0 else 3 if at[0] < 0xf0 else 4
    cdef uint32_t least = 0x80 if size == 2 else 0x800 if size == 3 else 0x10000
    if size == 1:
        character[0] = at[0]
        return 1
    if at[0] < 0xc2 or at[0] > 0xf4 or left < size:
        return 0
    character[0] = at[0] & (0xff >> (size + 1))
    for index in range(1, size):
        if at[index] & 0xc0 != 0x80:
            return 0
        character[0] = character[0] << 6 | (at[index] & 0x3f)
    return size if least <= character[0] <= 0x10ffff else 0


cdef inline bint has_surrogates(const uint8_t *data, Py_ssize_t size) noexcept:
    # Their first byte is 0xed, as that of other characters is, and the second one 0xa0 at least.
    cdef const uint8_t *end = data + size
    while True:
        data = <const uint8_t *> memchr(data, 0xed, end - data)
        if data == NULL or data + 1 == end:
            return False
        if data[1] >= 0xa0:
            return True
        data += 1


cdef inline str text_with_surrogates(const uint8_t *data, Py_ssize_t size):
    """Return the text of these bytes. Raises ValueError, of which UnicodeDecodeError is a kind."""
    cdef Py_ssize_t at = 0, count = 0
    cdef uint32_t character = 0, highest = 0
    cdef int width
    if not has_surrogates(data, size):
        return PyUnicode_DecodeUTF8(<const char *> data, size, NULL)
    while at < size:
        width = character_at(data + at, size - at, &character)
        if width == 0:
            raise ValueError(f"invalid byte in position {at:,}")
        highest |= character
        at += width
        count += 1
    text = PyUnicode_New(count, 0x10ffff if highest > 0x10ffff else highest)
    at = 0
    for count in range(count):
        at += character_at(data + at, size - at, &character)
        PyUnicode_WRITE(text_kind(text), PyUnicode_DATA(text), count, character)
    return text
