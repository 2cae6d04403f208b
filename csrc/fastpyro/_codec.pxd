# The native codec's inner face: values straight into a Writer, and out of a range of bytes.

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    MAX_DEPTH = 100

cdef enum:
    EXT_TUPLE = 1
    EXT_SET = 2
    EXT_FROZENSET = 3
    EXT_BYTEARRAY = 4
    EXT_INTEGER = 5
    EXT_COMPLEX = 6
    EXT_TEXT = 7
    EXT_DATETIME = 8
    EXT_DATE = 9
    EXT_TIME = 10
    EXT_TIMEDELTA = 11
    EXT_OBJECT = 12
    EXT_FAILED = 13  # in a batch's results: the error that ended it


# A growing buffer. Pointers into it are valid until the next reserve().
cdef class Writer:
    cdef uint8_t *data
    cdef Py_ssize_t size, capacity
    cdef uint8_t small[1024]

    cdef int reserve(self, Py_ssize_t more) except -1
    cdef bytes to_bytes(self)


cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    Py_ssize_t elements  # how many more container elements the message can hold


cdef int need(const Reader *reader, Py_ssize_t size) except -1


cdef class Codec:
    cdef object to_state
    cdef object from_state
    cdef list keys

    cdef int write(self, Writer out, object value, int depth) except -1
    cdef int write_header(self, Writer out, uint64_t count, int fix, int code16) except -1
    cdef int write_text(self, Writer out, str text) except -1
    cdef int write_bytes(self, Writer out, const uint8_t *data, Py_ssize_t size) except -1
    cdef int write_integer(self, Writer out, object value) except -1
    cdef int write_dict(self, Writer out, dict value, int depth) except -1
    cdef int write_items(self, Writer out, object items, int code, int depth) except -1
    cdef int write_other(self, Writer out, object value, int depth) except -1
    cdef Py_ssize_t begin_extension(self, Writer out, int code) except -1
    cdef int end_extension(self, Writer out, Py_ssize_t start) except -1
    cdef int write_extension(self, Writer out, int code, const uint8_t *data, Py_ssize_t size) except -1
    cdef int write_moment(self, Writer out, object value, int depth) except -1
    cdef int write_state(self, Writer out, object value, int depth) except -1
    cdef int write_zone(self, Writer out, object zone, int depth) except -1

    cdef object read(self, Reader *reader, int depth)
    cdef object read_coded(self, Reader *reader, int depth, uint8_t code)
    cdef object read_number(self, Reader *reader, uint8_t code)
    cdef int take_elements(self, Reader *reader, Py_ssize_t count) except -1
    cdef dict read_large_dict(self, Reader *reader, Py_ssize_t count, int depth)
    cdef Py_ssize_t read_count(self, Reader *reader, int fix, int code16) except -1
    cdef str read_text(self, Reader *reader, Py_ssize_t size)
    cdef object read_key(self, Reader *reader, int depth)
    cdef list read_list(self, Reader *reader, Py_ssize_t count, int depth)
    cdef tuple read_tuple(self, Reader *reader, Py_ssize_t count, int depth)
    cdef dict read_dict(self, Reader *reader, Py_ssize_t count, int depth)
    cdef object read_set(self, Reader *reader, int code, int depth)
    cdef object read_extension(self, Reader *reader, Py_ssize_t size, int depth)
    cdef object read_extension_body(self, Reader *reader, int code, int depth)
    cdef object read_time(self, Reader *reader, int code, int depth)
    cdef object read_zone(self, Reader *reader, int depth)
    cdef object read_object(self, Reader *reader, int depth)
    cdef int begin(self, Reader *reader, const uint8_t *data, Py_ssize_t size) except -1
    cdef int finish(self, const Reader *reader) except -1
