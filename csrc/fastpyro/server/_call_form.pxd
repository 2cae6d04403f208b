# The form of a call in our own format, as a server reads it: an array of object id, method, arguments and keywords;
# and how its result is told from one that is still to come.

from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint64_t

from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._decoder cimport Reader, invalid
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


cdef inline tuple read_names(Codec codec, Reader *reader):
    if codec.decoder.read_count(reader, 0x90, 0xdc) != 4:
        raise invalid("a call is an array of 4 elements")
    object_id = codec.decoder.read_key(reader, 1)
    name = codec.decoder.read_key(reader, 1)
    if type(object_id) is not str or type(name) is not str:
        raise invalid("object id and method of a call are str")
    return object_id, name


cdef inline tuple read_arguments(Codec codec, Reader *reader):
    """Return the positional arguments, behind a first element that is for the object."""
    cdef Py_ssize_t count = codec.decoder.read_count(reader, 0x90, 0xdc), index
    cdef tuple arguments
    codec.decoder.take_elements(reader, count)
    arguments = PyTuple_New(count + 1)
    for index in range(count):
        item = codec.decoder.read(reader, 1)
        Py_INCREF(item)
        PyTuple_SET_ITEM(arguments, index + 1, item)
    return arguments


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
