"""The serializer that Pyro's peers use by default: serpent, Python literals as UTF-8 text. Sans-I/O.

`_serpent_writer` writes, `_serpent_reader` reads; this module is their public face.
"""

cimport cython
from cpython.buffer cimport Py_buffer
from libc.stdint cimport uint8_t

from fastpyro.serializers._encoder cimport Writer
from fastpyro.serializers._peer_codec cimport PeerCodec
from fastpyro.serializers._serpent_reader cimport SerpentReader
from fastpyro.serializers._serpent_writer cimport SerpentWriter, append

cdef const char *HEAD = b"# serpent utf-8 python3.2\n"
cdef Py_ssize_t HEAD_SIZE = 26
HEADER = HEAD[:HEAD_SIZE]


@cython.final
cdef class SerpentCodec(PeerCodec):
    """Encodes and decodes values and calls; see `PeerCodec`.

    Attribute ``bytes_literal``: bytes are written as literals instead of as base64 text.
    """

    cdef SerpentWriter writer
    cdef SerpentReader reader

    def __cinit__(self, simplify, restore):
        self.writer = SerpentWriter(simplify)
        self.reader = SerpentReader(restore)

    @property
    def bytes_literal(self):
        return self.writer.bytes_literal

    @bytes_literal.setter
    def bytes_literal(self, bint value):
        self.writer.bytes_literal = value

    cdef int write_whole(self, Writer out, object value) except -1:
        append(out, HEAD, HEAD_SIZE)
        return self.writer.write(out, value, 0)

    cdef object read_whole(self, object data, const Py_buffer *view):
        return self.reader.read_whole(data, <const uint8_t *> view.buf, view.len)
