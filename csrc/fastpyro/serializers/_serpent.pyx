"""The serializer that Pyro's peers use by default: serpent, Python literals as UTF-8 text. Sans-I/O.

`_serpent_writer` writes, `_serpent_reader` reads; this module is their public face.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t

from fastpyro.serializers._encoder cimport Writer
from fastpyro.serializers._serpent_reader cimport SerpentReader
from fastpyro.serializers._serpent_writer cimport SerpentWriter, append

from fastpyro.errors import SerializeError

cdef extern from "Python.h":
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef enum:
    GC_THRESHOLD = 16384  # bytes; a smaller message is decoded before the collector would be due

cdef const char *HEAD = b"# serpent utf-8 python3.2\n"
cdef Py_ssize_t HEAD_SIZE = 26
HEADER = HEAD[:HEAD_SIZE]


@cython.final
cdef class SerpentCodec:
    """Encodes and decodes values and calls.

    Arguments: ``simplify(value)``, called for a value whose exact type is not one of Python's literals or bytes,
    returns what is written instead; ``restore(class name, dict)``, called for each dict with a str under "__class__",
    returns what takes its place. Attribute ``bytes_literal``: bytes are written as literals instead of as base64 text.
    Re-entrant, and usable from several threads.
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

    def encode(self, value):
        """Return the value as bytes. Raises SerializeError for what cannot be encoded."""
        cdef Writer out = Writer.__new__(Writer)
        append(out, HEAD, HEAD_SIZE)
        self.writer.write(out, value, 0)
        return out.take()

    def encode_call(self, str object_id not None, str method not None, args, kwargs):
        """Return a call as bytes: a tuple of object id, method, args (tuple or list) and kwargs (dict or None)."""
        cdef Writer out = Writer.__new__(Writer)
        append(out, HEAD, HEAD_SIZE)
        self.writer.write(out, (object_id, method, args, kwargs), 0)
        return out.take()

    def decode(self, data, buffers=None):
        """Return the value that a contiguous buffer holds, whole. Raises SerializeError for anything else.

        Arguments: ``buffers`` is there because the native codec has it.
        """
        cdef Py_buffer view
        cdef int collecting = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            # The collector would walk again and again what is being made here.
            collecting = PyGC_Disable() if view.len > GC_THRESHOLD else 0
            return self.reader.read_whole(data, <const uint8_t *> view.buf, view.len)
        finally:
            if collecting:
                PyGC_Enable()
            PyBuffer_Release(&view)

    def decode_call(self, data):
        """Return ``(object id, method, args, kwargs)`` of an encoded call. Raises SerializeError."""
        call = self.decode(data)
        if type(call) in (tuple, list) and len(call) == 4:
            object_id, method, args, kwargs = call
            if type(object_id) is str and type(method) is str and type(args) in (tuple, list):
                if kwargs is None:
                    return object_id, method, args, None
                if type(kwargs) is dict and are_names(<dict> kwargs):
                    return object_id, method, args, kwargs
        raise SerializeError("a call is (object id, method, args, kwargs)")


cdef bint are_names(dict kwargs) except -1:
    for name in kwargs:
        if type(name) is not str:
            return False
    return True
