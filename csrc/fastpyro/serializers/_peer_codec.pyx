"""What the formats of Pyro's peers have in common: the outside of a codec, and how objects become dicts and come back.

A format's own module says how one value is written and read, and nothing else. Sans-I/O.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer

from fastpyro.serializers._encoder cimport Writer
from fastpyro.values._memory_budget cimport COST_OBJECT, Budget, charge_beside, take_memory

from fastpyro.errors import PyroError, SerializeError
from fastpyro.values.checked import reason_of

cdef extern from "Python.h":
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef enum:
    GC_THRESHOLD = 16384  # bytes; a smaller message is decoded before the collector would be due


cdef class PeerCodec:
    """Encodes and decodes values and calls. Each format is a subclass.

    Arguments: ``simplify(value)``, called for a value whose exact type the format does not have, returns what is
    written instead; ``restore(class name, dict)``, called for each dict with a str under "__class__", returns what
    takes its place. Re-entrant, and usable from several threads.
    """

    def __cinit__(self, simplify, restore):
        self.simplify = simplify
        self.restore = restore

    def encode(self, value):
        """Return the value as bytes. Raises SerializeError for what cannot be encoded."""
        cdef Writer out = Writer.__new__(Writer)
        self.write_whole(out, value)
        return out.take()

    def encode_call(self, str object_id not None, str method not None, args, kwargs):
        """Return a call as bytes: object id, method, args (tuple or list) and kwargs (dict or None), in a tuple."""
        cdef Writer out = Writer.__new__(Writer)
        self.write_whole(out, (object_id, method, args, kwargs))
        return out.take()

    def decode(self, data, buffers=None):
        """Return the value that a contiguous buffer holds, whole. Raises SerializeError for anything else.

        Arguments: ``buffers`` is there because the native codec has it.
        """
        return read(self, data)

    def decode_call(self, data):
        """Return ``(object id, method, args, kwargs)`` of an encoded call. Raises SerializeError."""
        call = read(self, data)
        if type(call) in (tuple, list) and len(call) == 4:
            object_id, method, args, kwargs = call
            if type(object_id) is str and type(method) is str and type(args) in (tuple, list):
                if kwargs is None or (type(kwargs) is dict and are_names(<dict> kwargs)):
                    return object_id, method, args, kwargs
        raise SerializeError("a call is object id, method, args and kwargs, in a tuple or list")

    cdef int write_whole(self, Writer out, object value) except -1:
        raise NotImplementedError

    cdef object read_whole(self, object data, const Py_buffer *view):
        raise NotImplementedError


cdef object read(PeerCodec codec, data):
    cdef Py_buffer view
    cdef int collecting = 0
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        # The collector would walk again and again what is being made here.
        collecting = PyGC_Disable() if view.len > GC_THRESHOLD else 0
        return codec.read_whole(data, &view)
    finally:
        if collecting:
            PyGC_Enable()
        PyBuffer_Release(&view)


cdef object build(object restore, Budget *budget, str class_name, dict items):
    # A function of its own, so that no level of nesting has room for it on the stack.
    take_memory(budget, COST_OBJECT)
    try:
        value = restore(class_name, items)
    except PyroError:
        raise
    except Exception as error:
        raise SerializeError(f"cannot build an object of class {class_name[:200]!r}: {reason_of(error)}") from error
    charge_beside(budget)
    return value


cdef bint are_names(dict kwargs) except -1:
    for name in kwargs:
        if type(name) is not str:
            return False
    return True
