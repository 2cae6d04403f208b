# What `_batch` needs of a codec: its two halves.

from fastpyro._decoder cimport ValueDecoder
from fastpyro._encoder cimport ValueEncoder


cdef class Codec:
    cdef ValueEncoder encoder
    cdef ValueDecoder decoder
