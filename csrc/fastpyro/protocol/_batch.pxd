# The results of a batch, for native code that performs it.

from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._encoder cimport Writer


cdef class ResultWriter:
    cdef Codec codec
    cdef Writer results
    cdef Py_ssize_t count
    cdef Py_ssize_t limit, next_step  # bytes
    cdef object on_growth

    cpdef add(self, value)
