from fastpyro.values._memory_budget cimport Budget

# Dicts and sets out of keys that a peer chose; and what they cost.

cdef enum:
    SMALL_TABLE = 32  # keys with hashes that can be foretold; that many may collide, if they are numbers

# A dict, of which the last of equal keys counts; a set or frozenset. SerializeError for keys that cannot be hashed, or
# whose hashes collide.
cdef dict make_dict(list keys, list values, Budget *budget)
cdef object make_set(list items, bint frozen, Budget *budget)

# Put one item into a dict. Precondition: the sum of `risk_of` its keys is SMALL_TABLE at the most.
cdef int put_item(dict items, object key, object value) except -1

# The bytes that a table of so many keys takes.
cdef Py_ssize_t dict_cost(Py_ssize_t count) noexcept
cdef Py_ssize_t set_cost(Py_ssize_t count) noexcept


cdef inline int risk_of(object key) noexcept:
    # Python hashes str and bytes with SipHash and a secret of the process: nobody can choose where they collide. To
    # compare two numbers takes a step; to compare what has parts may take as many as it has, or more.
    cdef type kind = type(key)
    if kind is str or kind is bytes:
        return 0
    return 1 if kind is int or kind is float or kind is bool or key is None else SMALL_TABLE + 1
