"""How long calls may take: the scopes of `fastpyro.timeout`, and the time left as it travels.

A scope belongs to its context, as context variables do: each asyncio task has its own, and what it was made in. Time
travels as a duration, because the clocks of two machines differ: 16 bits of a native header, so that no value is
anything but a duration.

    code          microseconds
    0             no limit
    1 to 2047     as it says
    above         5 bits e, 11 bits m: (2048 + m) * 2 ** (e - 1), rounded up by 0.05 % at the most

Rule 1: until the first scope of the process nobody asks for one (`scopes_used`); a task may outlive the block whose
        scope it has, so it is never reset.
"""

from cpython.object cimport PyObject
from libc.math cimport ceil
from libc.stdint cimport uint16_t, uint64_t

from fastpyro._posix cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "Python.h":
    object PyContextVar_New(const char *name, object default)
    int PyContextVar_Get(object variable, object default, PyObject **value) except -1
    object PyContextVar_Set(object variable, object value)
    int PyContextVar_Reset(object variable, object token) except -1
    void Py_DECREF(PyObject *value)

cdef double LONGEST = 1e9  # seconds; a longer limit is cut to this
cdef double LONGEST_SENT = 4095.0 * (1 << 30)  # microseconds; a longer limit does not travel
cdef object SCOPE = PyContextVar_New("fastpyro.timeout", None)

scopes_used = 0


cdef double clock() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <double> time.tv_sec + <double> time.tv_nsec * 1e-9


cdef Scope current_scope():
    cdef PyObject *found = NULL
    PyContextVar_Get(SCOPE, None, &found)
    scope = <object> found
    Py_DECREF(found)
    return scope


cdef class Scope:
    """The time that the calls of a ``with`` block have together. Argument: ``seconds``, None for no limit of its own.

    Raises ValueError for a number below 0 or none at all, TypeError for anything else.
    """

    def __init__(self, seconds):
        cdef double limit = LONGEST if seconds is None else seconds
        if not limit >= 0:
            raise ValueError(f"a timeout is a number of seconds, 0 or more, or None, not {seconds!r}")
        self.seconds = limit if limit < LONGEST else LONGEST
        self.until = 0

    def __enter__(self):
        global scopes_used
        cdef Scope outer
        if self.token is not None:
            raise RuntimeError("a scope of fastpyro.timeout is entered once; make another one")
        outer = current_scope()
        self.until = clock() + self.seconds
        if outer is not None and outer.until < self.until:
            self.seconds, self.until = outer.seconds, outer.until
        scopes_used = 1
        self.token = PyContextVar_Set(SCOPE, self)
        return self

    def __exit__(self, *exception):
        try:
            PyContextVar_Reset(SCOPE, self.token)
        except ValueError:  # a generator that ends in another context, which has none of this
            pass


cdef uint16_t code_of(double seconds) noexcept nogil:
    cdef double exact = ceil(seconds * 1e6)
    cdef uint64_t count
    cdef int shift = 0
    if not exact <= LONGEST_SENT:
        return 0
    count = <uint64_t> exact if exact > 1 else 1
    while (count + ((<uint64_t> 1 << shift) - 1)) >> shift > 4095:
        shift += 1
    count = (count + ((<uint64_t> 1 << shift) - 1)) >> shift
    if count < 2048:
        return <uint16_t> count
    return <uint16_t> (((shift + 1) << 11) | (count - 2048))


cdef double seconds_of(uint16_t code) noexcept nogil:
    if code < 2048:
        return code * 1e-6
    return <double> (<uint64_t> (2048 + (code & 2047)) << ((code >> 11) - 1)) * 1e-6


def code_of_seconds(double seconds):
    """Return the 16 bits that stand for a duration; 0 when it is too long to travel, and for what is no number."""
    return code_of(seconds)


def seconds_of_code(uint16_t code):
    """Return the seconds that 16 bits stand for. Precondition: they are not 0."""
    return seconds_of(code)
