# The answer to a pull, in the making, for native code that looks for it.

from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._encoder cimport Writer


cdef class ItemWriter:
    cdef Codec codec
    cdef Writer out
    cdef readonly Py_ssize_t count  # items in it
    cdef readonly bint answered  # somebody has taken it
    cdef readonly object payload  # bytes or a list of parts, once it is finished by who gathered; else None
    cdef bint gathered  # nobody waits for the iterator any more: who gathered will finish
    cdef bint writing  # an item is being written: that may run the user's code
    cdef long long began  # monotonic nanoseconds

    cdef int put(self, object value, Py_ssize_t size, bint ahead) except -1
    cdef object seal(self, int state, bytes outcome)
