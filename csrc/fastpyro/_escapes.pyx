"""Characters of texts escaped, for `_foreign_text`, which says which of them: in one pass, whatever they are."""

from libc.stdint cimport uint32_t

cdef extern from "Python.h":
    bint Py_UNICODE_ISPRINTABLE(uint32_t character) noexcept
    str PyUnicode_New(Py_ssize_t size, uint32_t highest)
    int text_kind "PyUnicode_KIND" (object text) noexcept
    void *PyUnicode_DATA(object text) noexcept
    void PyUnicode_WRITE(int kind, void *data, Py_ssize_t index, uint32_t character) noexcept

cdef bytes HEX = b"0123456789abcdef"


cdef inline bint is_harmless(Py_UCS4 character, str kept) except -1:
    return Py_UNICODE_ISPRINTABLE(character) or character in kept


cdef inline int width_of(uint32_t character) noexcept:
    # Of an escape, as Python writes it in a str: \n, \x1b, \u202e, \U000e0001.
    if character == c"\n" or character == c"\t" or character == c"\r":
        return 2
    return 4 if character < 0x100 else 6 if character < 0x10000 else 10


def has_others(str text not None, str kept not None):
    """Return whether a text has characters that are neither printable nor among those that are ``kept``."""
    for character in text:
        if not is_harmless(character, kept):
            return True
    return False


def escaped(str text not None, str kept not None):
    """Return a text whose characters are printable, are among those that are ``kept``, or are escaped."""
    cdef Py_ssize_t size = 0, at = 0
    cdef uint32_t highest = 0
    cdef Py_UCS4 character
    cdef int kind
    cdef void *data
    for character in text:
        if is_harmless(character, kept):
            size += 1
            highest |= <uint32_t> character
        else:
            size += width_of(character)
            highest |= c"x"
    result = PyUnicode_New(size, 0x10ffff if highest > 0x10ffff else highest)
    kind, data = text_kind(result), PyUnicode_DATA(result)
    for character in text:
        if is_harmless(character, kept):
            PyUnicode_WRITE(kind, data, at, character)
            at += 1
        else:
            at += write_escape(kind, data, at, character)
    return result


cdef int write_escape(int kind, void *data, Py_ssize_t at, uint32_t character) noexcept:
    cdef int width = width_of(character), index
    cdef const unsigned char *digits = HEX
    cdef uint32_t letter = c"x" if width == 4 else c"u" if width == 6 else c"U"
    if width == 2:
        letter = c"n" if character == c"\n" else c"t" if character == c"\t" else c"r"
    PyUnicode_WRITE(kind, data, at, c"\\")
    PyUnicode_WRITE(kind, data, at + 1, letter)
    for index in range(width - 1, 1, -1):
        PyUnicode_WRITE(kind, data, at + index, digits[character & 15])
        character >>= 4
    return width


def joined_lines(lines):
    """Return texts as one, each with an end of line."""
    cdef list pieces = []
    cdef str text
    for line in lines:
        text = line
        pieces.append(text)
        if not text.endswith("\n"):
            pieces.append("\n")
    return "".join(pieces)
