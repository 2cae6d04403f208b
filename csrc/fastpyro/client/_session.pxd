# The fast path of a call, for the methods of proxies.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from fastpyro.protocol._call_context cimport CallState
from fastpyro.protocol._message cimport Message
from fastpyro.serializers._codec cimport Codec
from fastpyro.serializers._encoder cimport Writer
from fastpyro.transport._link cimport Link


# One conversation with the daemon of an object; see `session.Session`. Does not change.
cdef class SessionCore:
    cdef readonly object channel
    cdef readonly object serializer
    cdef readonly object uri
    cdef readonly str object_id
    cdef readonly bint native  # values travel in our own format
    cdef readonly bint may_be_native  # the daemon understands it
    cdef readonly str asked_for  # the name of the serializer that the proxy wants
    cdef Link link  # the channel, if it is a native one; else None
    cdef Codec codec  # None unless `native`


# What a proxy is to its calls: their settings, and its session.
cdef class CallerCore:
    cdef SessionCore session  # None while there is no connection
    cdef object oneway  # names of oneway methods; None while nobody has asked for them
    cdef bint plain_invoke  # _pyroInvoke is the one of Proxy itself
    cdef public int _pyroSeq
    cdef public int _pyroMaxRetries
    cdef public bint _pyroRawWireResponse
    cdef public double _pyro_timeout

    cdef int next_sequence_number(self, SessionCore session)


# Whether a call takes the fast path; one wording for all of them.
cdef bint is_fast(CallerCore caller, CallState state, PyObject **args, Py_ssize_t count) noexcept

# The request of a call: a writer with room for a header, and the names, behind which arguments are written; its header.
cdef Writer begin_request(SessionCore session, str name)
cdef int finish_request(SessionCore session, Writer out, int flags, int seq) except -1

cdef object call_fast(
    CallerCore caller, CallState state, str name, PyObject **args, Py_ssize_t count, PyObject *names
)

# A plain result that is in memory.
cdef object decode_result(Codec codec, const uint8_t *payload, Py_ssize_t size)

# Arguments as a tuple and a dict, for the slow path.
cdef tuple arguments_of(PyObject **args, Py_ssize_t count, PyObject *names)
