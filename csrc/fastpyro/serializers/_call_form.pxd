# The form of a call in our own format: an array of object id, method, an array of arguments, and a map of keywords or
# nil. In a batch the method is "<batch>", and each argument is a call without an object id. Nobody else lays this out,
# or takes it apart.

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM

from fastpyro.serializers._decoder cimport Reader, ValueDecoder, invalid
from fastpyro.serializers._encoder cimport ValueEncoder, Writer


cdef inline int write_names(ValueEncoder encoder, Writer out, str object_id, str method) except -1:
    """Begin a call; its arguments must follow, at depth 1."""
    out.put(0x94)
    encoder.write_text(out, object_id)
    encoder.write_text(out, method)
    return 0


cdef inline int write_name(ValueEncoder encoder, Writer out, str method) except -1:
    """Begin a call within a batch; its arguments must follow, at depth 2."""
    out.put(0x93)
    encoder.write_text(out, method)
    return 0


cdef inline int write_arguments(ValueEncoder encoder, Writer out, tuple args, dict kwargs, int depth) except -1:
    encoder.write_items(out, args, 0, depth)
    return encoder.write_keywords(out, kwargs, depth)


cdef inline int write_vector(
    ValueEncoder encoder, Writer out, PyObject **args, Py_ssize_t count, PyObject *names, int depth
) except -1:
    """As `write_arguments`, for arguments that are in no tuple: those with `names`, if not NULL, follow the others."""
    cdef Py_ssize_t index, named
    encoder.write_header(out, count, 0x90, 0xdc)
    for index in range(count):
        encoder.write(out, <object> args[index], depth)
    if names == NULL:
        out.put(0xc0)
        return 0
    named = PyTuple_GET_SIZE(<object> names)
    encoder.write_header(out, named, 0x80, 0xde)
    for index in range(named):
        encoder.write_text(out, <str> PyTuple_GET_ITEM(<object> names, index))
        encoder.write(out, <object> args[count + index], depth)
    return 0


cdef inline int read_size(ValueDecoder decoder, Reader *reader, str kind) except -1:
    """Begin to read a call or, as its `kind` says, a batch: object id, method, arguments, keywords must follow."""
    if decoder.read_count(reader, 0x90, 0xdc) != 4:
        raise invalid(f"a {kind} is an array of 4 elements")
    return 0


cdef inline str read_member(ValueDecoder decoder, Reader *reader, str kind):
    """Return the object id, or the method."""
    member = decoder.read_key(reader, 1)
    if type(member) is not str:
        raise invalid(f"object id and method of a {kind} are str")
    return member


cdef inline tuple read_names(ValueDecoder decoder, Reader *reader, str kind):
    """Return object id and method of a call or batch. Arguments and keywords must follow."""
    read_size(decoder, reader, kind)
    object_id = read_member(decoder, reader, kind)
    return object_id, read_member(decoder, reader, kind)


cdef inline str read_name(ValueDecoder decoder, Reader *reader):
    """Return the method of a call within a batch. Arguments and keywords must follow."""
    if decoder.read_count(reader, 0x90, 0xdc) != 3:
        raise invalid("a call in a batch is an array of 3 elements")
    method = decoder.read_key(reader, 2)
    if type(method) is not str:
        raise invalid("the method of a call is a str")
    return method


cdef inline tuple read_arguments(ValueDecoder decoder, Reader *reader, int depth):
    return decoder.read_tuple(reader, decoder.read_count(reader, 0x90, 0xdc), depth)


cdef inline tuple read_arguments_behind(ValueDecoder decoder, Reader *reader):
    """Return the arguments behind a first element, which is empty: whoever serves the call puts its object there."""
    cdef Py_ssize_t count = decoder.read_count(reader, 0x90, 0xdc), index
    cdef tuple arguments
    decoder.take_elements(reader, count)
    arguments = PyTuple_New(count + 1)
    for index in range(count):
        item = decoder.read(reader, 1)
        Py_INCREF(item)
        PyTuple_SET_ITEM(arguments, index + 1, item)
    return arguments
