# The native half of a proxy.

from fastpyro._mutex cimport Mutex
from fastpyro.client._session cimport CallerCore


cdef class ProxyCore(CallerCore):
    cdef dict callable_names  # names that mean a remote method and nothing else, or None
    cdef object uri  # None before `_pyro_begin`
    cdef set methods  # None, as the next one: none, and nobody has asked yet
    cdef object attributes
    cdef Mutex lock, connecting  # None while nobody has asked for them
    cdef bint begun  # `_pyro_begin` was called

    cdef int find_callable_names(self) except -1


cdef class RemoteMethodCore:
    cdef void *vectorcall
    cdef readonly object _proxy
    cdef ProxyCore core  # the proxy, if it is one of ours
    cdef readonly str __name__
