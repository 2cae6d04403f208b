# The native half of a proxy.

from fastpyro._mutex cimport Mutex
from fastpyro.serializers._codec cimport Codec
from fastpyro.transport._link cimport Link


cdef class ProxyCore:
    cdef Link link  # the connection, when it is a native one
    cdef object connection
    cdef Codec codec
    cdef dict callable_names  # names that mean a remote method and nothing else, or None
    cdef object uri  # None before `_pyro_begin`
    cdef set methods  # None, as the next two: none, and nobody has asked yet
    cdef object attributes, oneway
    cdef Mutex lock, connecting  # None while nobody has asked for them
    cdef bint plain_invoke  # _pyroInvoke is the one of Proxy itself
    cdef public int _pyroSeq
    cdef public int _pyroMaxRetries
    cdef public bint _pyroRawWireResponse
    cdef public double _pyro_timeout
    cdef public bint _pyro_native  # the connection speaks the native dialect, and values travel in its codec
    cdef public str _pyro_object_id
    cdef bint begun  # `_pyro_begin` was called

    cdef int find_callable_names(self) except -1
    cdef int next_sequence_number(self)


cdef class RemoteMethodCore:
    cdef void *vectorcall
    cdef readonly object _proxy
    cdef ProxyCore core  # the proxy, if it is one of ours
    cdef readonly str __name__
