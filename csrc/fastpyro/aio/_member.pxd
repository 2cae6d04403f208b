# A member of a remote object, for coroutines.

from fastpyro.aio._call cimport LoopCaller


cdef class MemberCore:
    cdef void *vectorcall
    cdef readonly LoopCaller _proxy
    cdef readonly str __name__
