# A lock that cannot be left locked; see _mutex.pyx.

from cpython.pythread cimport PyThread_type_lock


cdef class ServingThread:
    cdef public unsigned long ident


cdef int ensure_may_wait(ServingThread peer) except -1
cdef int refuse_to_wait() except -1
cdef bint lead(bint leading) noexcept


cdef class Guard:
    cdef Mutex mutex

    cdef void give_back(self) noexcept


cdef class Mutex:
    cdef PyThread_type_lock lock
    cdef unsigned long owner  # the thread that has it, 0 for none; changes under the GIL
    cdef Py_ssize_t depth  # how many guards that thread holds
    cdef bint reentrant, leaf
    cdef str what
    cdef list sleepers  # those in `wait`, the longest first

    cdef void hand_to(self, Guard guard) noexcept
    cdef bint take(self, bint may_wait, double deadline, object check) except -1
    cdef int sleep_for_lock(self, double deadline, object check) except -1
    cdef void give_back(self) noexcept
    cdef bint sleep(self, double deadline) except -1
