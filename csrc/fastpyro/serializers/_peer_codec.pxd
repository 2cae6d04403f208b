# What the formats of Pyro's peers have in common: the outside of a codec, and how objects become dicts and come back.

from cpython.buffer cimport Py_buffer

from fastpyro.serializers._encoder cimport Writer
from fastpyro.values._memory_budget cimport Budget


cdef class PeerCodec:
    cdef object simplify, restore

    # A format's own: one value, whole.
    cdef int write_whole(self, Writer out, object value) except -1
    cdef object read_whole(self, object data, const Py_buffer *view)


# A dict with a "__class__" has been read: what takes its place.
cdef object build(object restore, Budget *budget, str class_name, dict items)
