# Values to serpent's text.

from fastpyro.serializers._encoder cimport Writer


cdef class SerpentWriter:
    cdef object simplify
    cdef bint bytes_literal

    cdef int write(self, Writer out, object value, int depth) except -1
    cdef int write_other(self, Writer out, object value, int depth) except -1
    cdef int write_text(self, Writer out, str text) except -1
    cdef int write_integer(self, Writer out, object value) except -1
    cdef int write_float(self, Writer out, double value) except -1
    cdef int write_complex(self, Writer out, object value) except -1
    cdef int write_buffer(self, Writer out, object value) except -1
    cdef int write_items(self, Writer out, object items, int opening, int closing, int depth) except -1
    cdef int write_set(self, Writer out, object items, int depth) except -1
    cdef int write_key(self, Writer out, object key, int depth) except -1
    cdef int write_dict(self, Writer out, dict items, int depth) except -1


cdef int append(Writer out, const char *data, Py_ssize_t size) except -1
