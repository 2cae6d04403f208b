# The native codec's inner face for reading: values out of a range of bytes.

from cpython.buffer cimport Py_buffer
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from fastpyro.values._memory_budget cimport Budget
from fastpyro.serializers._pauses cimport Pauses
from fastpyro.values._objects cimport ClassTable


cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    PyObject *buffers  # a list that somebody else holds, of what stood behind the values; or NULL
    uint32_t next_buffer  # those before it have been used
    Py_ssize_t elements  # how many more container elements the message can hold
    Budget budget
    Pauses pauses


cdef int need(const Reader *reader, Py_ssize_t size) except -1
cdef object invalid(str what)


# Knows how to read; what is being read is in the Reader, so that it may be used again while it is being used.
cdef class ValueDecoder:
    cdef object from_state
    cdef ClassTable table  # `from_state`, if it is one
    cdef list keys  # short strings that were read before, by a hash of their bytes

    # The frame of a message: begin, read, finish.
    # `begin_view`: of an object whose buffer that is, which may have come compressed.
    cdef int begin(self, Reader *reader, const uint8_t *data, Py_ssize_t size) except -1
    cdef int begin_view(self, Reader *reader, object data, const Py_buffer *view) except -1
    cdef int finish(self, const Reader *reader) except -1

    # One value, whatever it is; then those of one kind.
    cdef object read(self, Reader *reader, int depth)
    cdef object read_coded(self, Reader *reader, int depth, uint8_t code)
    cdef object read_number(self, Reader *reader, uint8_t code)
    cdef object read_bytes(self, Reader *reader, Py_ssize_t size)
    cdef str read_text(self, Reader *reader, Py_ssize_t size)
    cdef object read_key(self, Reader *reader, int depth)
    cdef list read_list(self, Reader *reader, Py_ssize_t count, int depth)
    cdef tuple read_tuple(self, Reader *reader, Py_ssize_t count, int depth)
    cdef dict read_dict(self, Reader *reader, Py_ssize_t count, int depth)
    cdef dict read_large_dict(self, Reader *reader, dict begun, object key, Py_ssize_t count, int depth)
    cdef dict read_keywords(self, Reader *reader, int depth)
    cdef object read_set(self, Reader *reader, int code, int depth)
    cdef object read_extension(self, Reader *reader, Py_ssize_t size, int depth)
    cdef object read_extension_body(self, Reader *reader, int code, int depth)
    cdef object read_leaf(self, Reader *reader, int code)
    cdef object read_time(self, Reader *reader, int code)
    cdef object read_zone(self, Reader *reader)
    cdef object read_part_of_zone(self, Reader *reader)
    cdef object read_object(self, Reader *reader, int depth)
    cdef object build_object(self, Reader *reader, str class_name, object state)

    # The pieces: a size of so many bytes; an array's or map's head; room for a container of so many elements.
    cdef Py_ssize_t read_size(self, Reader *reader, int width) except -1
    cdef Py_ssize_t read_count(self, Reader *reader, int fix, int code16) except -1
    cdef int take_elements(self, Reader *reader, Py_ssize_t count) except -1
