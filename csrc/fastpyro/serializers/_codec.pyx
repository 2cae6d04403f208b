"""The native value codec: Python values to bytes and back, exactly. Sans-I/O: never sees a socket.

The wire form is msgpack: nil, bool, integers of 64 bits, float64, str, bin, array (list) and map (dict) as everywhere.
What msgpack lacks travels as an extension:

    code  type        body
     1    tuple       an array
     2    set         an array
     3    frozenset   an array
     4    bytearray   its bytes
     5    int         beyond 64 bits: two's complement, big endian
     6    complex     two float64
     7    str         with lone surrogates: UTF-8 that lets them pass
     8    datetime    year 2, month 1, day 1, hour 1, minute 1, second 1, microsecond 4, fold 1 bytes; then the zone
     9    date        year 2, month 1, day 1 bytes
    10    time        hour 1, minute 1, second 1, microsecond 4, fold 1 bytes; then the zone
    11    timedelta   days 4 (signed), seconds 4, microseconds 4 bytes
    12    object      an array of class name and state, for the class registry
    13    error       in the results of a batch: the exception that ended it
    14    buffer      4 bytes: which of the buffers that stand behind the values in the message, in their order

A zone is nothing (naive), an integer (a fixed offset in microseconds), an array of that integer and a name, or a str
(the key of a zoneinfo.ZoneInfo).

`_encoder` writes, `_decoder` reads, and have the rules that hold there; this module is their public face.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject

from fastpyro.serializers._call_form cimport read_arguments, read_names, write_arguments, write_names
from fastpyro.serializers._decoder cimport Reader, ValueDecoder
from fastpyro.serializers._encoder cimport ValueEncoder, Writer, parts_of

cdef extern from "Python.h":
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef enum:
    GC_THRESHOLD = 16384  # bytes; a smaller message is decoded before the collector would be due


@cython.final
cdef class Codec:
    """Encodes and decodes values.

    Arguments: ``to_state(value) -> (class name, state)``, called for a value whose exact type is not built in (or
    ``(None, replacement)`` for one to encode instead); ``from_state(class name, state) -> value``, its inverse.
    Re-entrant, and usable from several threads.
    """

    def __cinit__(self, to_state, from_state):
        self.encoder = ValueEncoder(to_state)
        self.decoder = ValueDecoder(from_state)

    cdef Writer take_writer(self):
        # One that is taken is not given to anybody else, so a codec may be used while it is being used.
        cdef Writer out = self.spare
        if out is None:
            return Writer.__new__(Writer)
        self.spare = None
        return out

    cdef int give_back(self, Writer out) except -1:
        out.clear()
        self.spare = out
        return 0

    def encode(self, value):
        """Return the value as bytes. Raises SerializeError for what cannot be encoded."""
        cdef Writer out = self.take_writer()
        cdef bytes data
        self.encoder.write(out, value, 0)
        data = out.take()
        self.spare = out
        return data

    def encode_parts(self, value):
        """Return the value as bytes or, when it has big buffers, as a list of buffers: one part of a payload each."""
        cdef Writer out = self.take_writer()
        out.collects = True
        self.encoder.write(out, value, 0)
        return self.finish(out)

    def encode_call(self, str object_id not None, str method not None, tuple args not None, dict kwargs):
        """Return a call as bytes or, with big buffers, as a list of buffers like ``encode_parts``; see `_call_form`."""
        cdef Writer out = self.take_writer()
        out.collects = True
        write_names(self.encoder, out, object_id, method)
        write_arguments(self.encoder, out, args, kwargs, 1)
        return self.finish(out)

    cdef object finish(self, Writer out):
        if out.buffers is None:
            data = out.take()
        else:
            data = parts_of(out)
            out.clear()
        self.spare = out
        return data

    def decode(self, data, list buffers=None):
        """Return the value that a contiguous buffer holds, whole. Raises SerializeError for anything else.

        Arguments: ``buffers``, what stood behind it in the message.
        """
        cdef Py_buffer view
        cdef Reader reader
        cdef int collecting = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.decoder.begin_view(&reader, data, &view)
            reader.buffers = NULL if buffers is None else <PyObject *> buffers
            # The collector would walk again and again what is being made here.
            collecting = PyGC_Disable() if view.len > GC_THRESHOLD else 0
            value = self.decoder.read(&reader, 0)
            self.decoder.finish(&reader)
            return value
        finally:
            if collecting:
                PyGC_Enable()
            PyBuffer_Release(&view)

    def decode_call(self, data, list buffers=None):
        """Return ``(object id, method, args tuple, kwargs dict)`` of an encoded call. Raises SerializeError.

        Arguments: ``buffers``, what stood behind it in the message.
        """
        cdef Py_buffer view
        cdef Reader reader
        cdef int collecting = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.decoder.begin_view(&reader, data, &view)
            reader.buffers = NULL if buffers is None else <PyObject *> buffers
            collecting = PyGC_Disable() if view.len > GC_THRESHOLD else 0
            object_id, method = read_names(self.decoder, &reader, "call")
            args = read_arguments(self.decoder, &reader, 1)
            kwargs = self.decoder.read_keywords(&reader, 1)
            self.decoder.finish(&reader)
            return object_id, method, args, {} if kwargs is None else kwargs
        finally:
            if collecting:
                PyGC_Enable()
            PyBuffer_Release(&view)
