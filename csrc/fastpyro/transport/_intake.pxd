# Bytes of messages that have not arrived whole, of all channels of one server.

cdef class Intake:
    cdef readonly Py_ssize_t most, total, messages
    cdef public bint watched
    cdef public object turn
    cdef bint short
    cdef object hold, room

    cpdef int change(self, Py_ssize_t before, Py_ssize_t after) except -1
    cpdef bint refuses(self, object channel, Py_ssize_t size) except -1
    cdef Py_ssize_t share(self) except -1
