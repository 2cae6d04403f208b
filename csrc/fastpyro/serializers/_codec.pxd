# What `_batch` needs of a codec: its two halves.

from fastpyro.serializers._decoder cimport ValueDecoder
from fastpyro.serializers._encoder cimport ValueEncoder, Writer


cdef class Codec:
    cdef ValueEncoder encoder
    cdef ValueDecoder decoder
    cdef Writer spare  # an empty writer that nobody uses, or None

    cdef Writer take_writer(self)
    cdef int give_back(self, Writer out) except -1
    cdef object finish(self, Writer out)
