# What a server makes of a call that it has read, and of its result: the arguments with the object in front, and the
# reply; and how a result is told from one that is still to come.

from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport uint64_t

from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._encoder cimport Writer
from fastpyro.protocol._message cimport HEADER_SIZE, Header, write_plain_header

cdef extern from *:
    """
    /* Coroutines have this slot, and so has whatever else can be awaited. */
    static int is_awaitable(PyObject *value) {
        PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
        return methods != NULL && methods->am_await != NULL;
    }
    """
    bint is_awaitable(object value) noexcept


cdef inline int put_target(tuple arguments, object target) except -1:
    """Put the object into the first element, which is empty so far."""
    Py_INCREF(target)
    PyTuple_SET_ITEM(arguments, 0, target)
    return 0


cdef inline bint encode_result(
    Codec codec, Writer out, int kind, const Header *request, object result, uint64_t most
) except -1:
    """Lay out the whole reply to a request; False when that fails, and then somebody else shall say why."""
    out.reserve(HEADER_SIZE)
    out.size = HEADER_SIZE
    out.collects = True
    try:
        codec.encoder.write(out, result, 0)
        if out.buffers is not None:
            return False
        write_plain_header(out.data, kind, 0, request.seq, request.serializer_id, out.size - HEADER_SIZE, most)
    except (Exception, SystemExit):
        return False
    return True
