# Big blocks of memory, used again.

from libc.stdint cimport uint8_t


cdef class Block:
    cdef uint8_t *data
    cdef Py_ssize_t size, capacity


cdef Block take_block(Py_ssize_t size)
