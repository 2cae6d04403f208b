# Objects out of their states.

from fastpyro.values._memory_budget cimport Budget


# What gives objects of one class their attributes. `budget` as below.
cdef class Attributes:
    cdef bint described, has_dict
    cdef dict slots, fields
    cdef frozenset refused, ignored
    cdef object describe, required, optional, judge, merge

    cdef int fill(self, object value, object state, Budget *budget) except -1
    cdef bint can_have(self, dict state) except -1
    cdef int fill_slot(self, object value, object name, object item) except -1
    cdef int fill_fields(self, object value, object state, Budget *budget) except -1
    cdef bint are_declared(self, dict given) except -1


# What builds the objects of one registered class. `budget`, of the message that the state came in, or NULL.
cdef class Builder:
    cdef object build(self, object state, Budget *budget)


# All of them, by the names under which their objects travel.
cdef class ClassTable:
    cdef dict converters
    cdef dict builders
    cdef set own_names
    cdef object otherwise

    cdef object build(self, str class_name, object state, Budget *budget)
