# What may be a key, what comparing keys takes, and their hashes.

from fastpyro.values._memory_budget cimport Budget

# Refuse a key, or an element of a set, whose hashing could run anything: see `checked.check_key`.
cdef int check_key(object key, Budget *budget) except -1
cdef int take_parts(Budget *budget, Py_ssize_t count) except -1

# How many steps it takes to compare a key with an equal one; a number beyond `most` for any that is larger.
cdef Py_ssize_t weight_of(object key, Py_ssize_t most, int depth) except -1

# As Python's hash(), natively where Python takes long; and whether Python would take long.
cdef Py_hash_t hash_of(object key) except -1
cdef bint is_hashed_slowly(object key) except -1
