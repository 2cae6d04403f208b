# The native codec's inner face for writing: values straight into a Writer.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t


# A growing buffer: in itself while it is small, then in bytes that it can give away. Pointers into it are valid until
# the next reserve().
cdef class Writer:
    cdef uint8_t *data
    cdef Py_ssize_t size, capacity
    cdef PyObject *heap  # bytes that nobody else has; NULL while `data` is `small`
    cdef bint collects  # big buffers are not copied but collected
    cdef list buffers  # (kind, memoryview) of them, or None
    cdef uint8_t small[1024]

    cdef int reserve(self, Py_ssize_t more) except -1
    cdef int grow(self, Py_ssize_t more) except -1
    cdef int put(self, int byte) except -1
    cdef bytes to_bytes(self)  # a copy of what was written
    cdef int clear(self) except -1
    cdef bytes take(self)  # what was written; the writer is empty after it


# A buffer that shall arrive as a block of memory, of which an array can be a view.
cdef class Bulk:
    cdef object view


# The first part of a payload with buffers: their table and what was written. The other parts are the buffers.
cdef list parts_of(Writer out)


# Knows how to write; has no state of its own, so that it may be used again while it is being used.
cdef class ValueEncoder:
    cdef object to_state

    # One value, whatever it is; then those of one kind.
    cdef int write(self, Writer out, object value, int depth) except -1
    cdef int write_text(self, Writer out, str text) except -1
    cdef int write_bytes(self, Writer out, const uint8_t *data, Py_ssize_t size) except -1
    cdef int write_integer(self, Writer out, object value) except -1
    cdef int write_large_integer(self, Writer out, object value) except -1
    cdef int write_dict(self, Writer out, dict value, int depth) except -1
    cdef int write_keywords(self, Writer out, dict kwargs, int depth) except -1
    cdef int write_items(self, Writer out, object items, int code, int depth) except -1
    cdef int write_other(self, Writer out, object value, int depth) except -1
    cdef int write_buffer(self, Writer out, object value) except -1
    cdef int write_apart(self, Writer out, int kind, object value) except -1
    cdef int write_moment(self, Writer out, object value, int depth) except -1
    cdef int write_zone(self, Writer out, object zone, int depth) except -1
    cdef int write_state(self, Writer out, object value, int depth) except -1

    # The pieces: an array's or map's head; an extension round what is written between begin and end.
    cdef int write_header(self, Writer out, uint64_t count, int fix, int code16) except -1
    cdef Py_ssize_t begin_extension(self, Writer out, int code) except -1
    cdef int end_extension(self, Writer out, Py_ssize_t start) except -1
    cdef int write_extension(self, Writer out, int code, const uint8_t *data, Py_ssize_t size) except -1
