# Serpent's text to values.

from libc.stdint cimport uint8_t

from fastpyro.serializers._pauses cimport Pauses
from fastpyro.values._memory_budget cimport Budget


# A range of bytes. One byte behind `end` is not read: every look asks `peek`, which gives 0 there.
cdef struct Text:
    const uint8_t *start
    const uint8_t *at
    const uint8_t *end
    bint comma  # whether the container that was read last has one
    Budget budget
    Pauses pauses


cdef class SerpentReader:
    cdef object restore
    cdef list keys  # short strings that were read before, by a hash of their bytes

    cdef object read_whole(self, object source, const uint8_t *data, Py_ssize_t size)
    cdef object read(self, Text *text, int depth)
    cdef object read_word(self, Text *text, int depth)
    cdef object read_number(self, Text *text)
    cdef object read_real(self, Text *text, int sign)
    cdef object read_power_of_two(self, Text *text, int sign)
    cdef str read_text(self, Text *text)
    cdef str read_escaped(self, Text *text, const uint8_t *begin, uint8_t quote)
    cdef bytes read_bytes(self, Text *text)
    cdef list read_items(self, Text *text, uint8_t closing, int depth)
    cdef object read_parenthesis(self, Text *text, int depth)
    cdef object read_brace(self, Text *text, int depth)
    cdef object read_key(self, Text *text, int depth)
    cdef object read_set(self, Text *text, object first, int depth)
    cdef object read_class(self, Text *text, dict items, str class_name)
