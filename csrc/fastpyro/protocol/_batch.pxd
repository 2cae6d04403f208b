# A batch that is being made, and its results, for native code that does it.

from cpython.object cimport PyObject

from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._encoder cimport Writer


cdef class BatchWriter:
    cdef Codec codec
    cdef Writer calls
    cdef Py_ssize_t count
    cdef bint adding

    cdef int check_free(self) except -1
    cdef int add_vector(self, str method, PyObject **args, Py_ssize_t count, PyObject *names) except -1


cdef class ResultWriter:
    cdef Codec codec
    cdef Writer results  # the last part
    cdef list parts  # those before
    cdef Py_ssize_t before, count  # bytes in those; results
    cdef Py_ssize_t limit, next_step  # bytes
    cdef object on_growth

    cpdef add(self, value)
