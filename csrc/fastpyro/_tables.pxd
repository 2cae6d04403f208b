# Dicts and sets out of keys that a peer chose; and what they cost.

cdef enum:
    SMALL_TABLE = 32  # keys with hashes that can be foretold; that many may collide

# A dict, of which the last of equal keys counts; a set or frozenset. SerializeError for keys that cannot be hashed, or
# whose hashes collide.
cdef dict make_dict(list keys, list values)
cdef object make_set(list items, bint frozen)

# Put one item into a dict, which has no more than SMALL_TABLE keys with hashes that can be foretold.
cdef int put_item(dict items, object key, object value) except -1

# The bytes that a table of so many keys takes.
cdef Py_ssize_t dict_cost(Py_ssize_t count) noexcept
cdef Py_ssize_t set_cost(Py_ssize_t count) noexcept


cdef inline bint is_salted(object key) noexcept:
    # Python hashes str and bytes with SipHash and a secret of the process: nobody can choose where they collide.
    return type(key) is str or type(key) is bytes
