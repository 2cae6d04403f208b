"""Dicts and sets out of keys that a peer chose, in linear time. Sans-I/O.

The hashes of integers, floats and all that is made of them (tuples, frozensets, Decimals, users' classes) can be
foretold, so a peer can choose keys that meet in one place, or on one another's way through the table. Before a table
of such keys is made, its making is counted: the same steps as CPython's, over bare hashes, with all growth on the
way. Keys that take more steps than ordinary ones can need are refused. Nobody can get round it by clever keys,
because nothing is concluded from what the keys look like: the steps are counted that would be taken. Str and bytes
have salted hashes.

Rule 1: every dict or set of received keys is made here, or has at most SMALL_TABLE keys that are not salted, all of
        them numbers.
Rule 2: a key is hashed once, by `_keys`, which knows what may be hashed.
Rule 3: what a message's keys have in parts, times how often they are hashed and compared, has a budget.
Rule 4: counting ends as soon as it is too many, so it is linear itself.
"""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t
from libc.string cimport memset

from fastpyro.values._keys cimport check_key, hash_of, is_hashed_slowly, take_parts, weight_of
from fastpyro.values._memory_budget cimport Budget, begin_budget

from fastpyro.values.checked import reason_of
from fastpyro.errors import SerializeError

cdef extern from "Python.h":
    # -1 with an exception set; a try statement round each call would cost as much as the call.
    int try_set_item "PyDict_SetItem" (object items, object key, object value) noexcept

cdef extern from *:
    """
    /* No public function takes a hash that is known: without this one, keys of Python's classes are hashed in Python,
       which takes 15 to 40 times as long. CPython 3.11 to 3.15 export it for its own modules; from 3.13 on, Python.h
       does not declare it. Others hash once more. */
    #if PY_VERSION_HEX < 0x03100000 && !defined(PYPY_VERSION)
        #if PY_VERSION_HEX >= 0x030D0000
            PyAPI_FUNC(int) _PyDict_SetItem_KnownHash(PyObject *, PyObject *, PyObject *, Py_hash_t);
        #endif
        #define fastpyro_set_item _PyDict_SetItem_KnownHash
    #else
        #define fastpyro_set_item(items, key, value, hash) PyDict_SetItem(items, key, value)
    #endif
    """
    int try_set_item_with "fastpyro_set_item" (object items, object key, object value, Py_hash_t) noexcept

cdef enum:
    # Steps for a key, on the average. Multiples of a power of two, which halves and thousandths are as well, need a
    # step for each 5 bits that are zero, 12 at the most; then one or two, as all others.
    MOST_STEPS = 32
    MORE_STEPS = 1024  # for all keys together, beyond that
    SAME_HASH = 16  # steps that comparing two keys counts for
    LINEAR_PROBES = 9  # of a set: that many neighbours are looked at, too
    PERTURB_SHIFT = 5

cdef Py_hash_t NOTHING = -1  # an empty place; no hash is -1


# What CPython's table looks like after the keys that were counted so far.
cdef struct Table:
    Py_hash_t *places
    uint64_t mask
    bint of_set
    Py_ssize_t steps  # how many more are allowed
    Py_ssize_t same  # keys of the same hash that the last one met


cdef object unusable(object error):
    # Hashing or comparing keys runs code of their classes, which may raise anything.
    return SerializeError(f"invalid data: a dict key or set element cannot be used as one: {reason_of(error)}")


cdef object changed():
    return SerializeError("invalid data: the keys of a table changed while it was made")


cdef int fail() except -1:
    # Precondition: an exception is set.
    return -1


cdef int raise_unusable() except -1:
    # Precondition: an exception is set, that of the key.
    try:
        fail()
    except Exception as error:
        raise unusable(error) from None


cdef int put_item(dict items, object key, object value) except -1:
    return raise_unusable() if try_set_item(items, key, value) < 0 else 0


cdef dict make_dict(list keys, list values, Budget *budget):
    cdef Py_hash_t *hashes = checked_hashes(keys, False, budget)
    try:
        return with_hashes(keys, values, hashes)
    finally:
        PyMem_Free(hashes)


cdef dict with_hashes(list keys, list values, const Py_hash_t *hashes):
    """Make a dict of keys, each hashed once at the most: `hashes` are theirs, or NULL. No `values`: all None."""
    cdef Py_ssize_t index, count = PyList_GET_SIZE(keys)
    cdef dict items = {}
    cdef int done
    for index in range(count):
        if PyList_GET_SIZE(keys) != count or (values is not None and PyList_GET_SIZE(values) != count):
            raise changed()
        key = <object> PyList_GET_ITEM(keys, index)  # both held: an __eq__ of a key may do anything
        value = None if values is None else <object> PyList_GET_ITEM(values, index)
        if hashes == NULL:
            done = try_set_item(items, key, value)
        else:
            done = try_set_item_with(items, key, value, hashes[index])
        if done < 0:
            raise_unusable()
    return items


cdef object make_set(list items, bint frozen, Budget *budget):
    cdef Py_hash_t *hashes = checked_hashes(items, True, budget)
    source = items
    try:
        if hashes != NULL and are_hashed_slowly(items):
            source = with_hashes(items, None, hashes)  # which keeps the hashes, and hands them on
        return frozenset(source) if frozen else set(source)
    except SerializeError:
        raise
    except Exception as error:
        raise unusable(error) from None
    finally:
        PyMem_Free(hashes)


cdef bint are_hashed_slowly(list keys) except -1:
    for key in keys:
        if risk_of(key) > 1 and is_hashed_slowly(key):
            return True
    return False


def check_keys(list keys not None, bint of_set=False):
    """Refuse keys of which a dict (or set) cannot be made in linear time. Raises SerializeError."""
    cdef Budget budget
    begin_budget(&budget, None, 16 * PyList_GET_SIZE(keys))
    PyMem_Free(checked_hashes(keys, of_set, &budget))


def cost_of(Py_ssize_t count, bint of_set=False):
    """Return the bytes that a dict (or set) of so many keys takes, without the keys."""
    return set_cost(count) if of_set else dict_cost(count)


cdef Py_hash_t *checked_hashes(list keys, bint of_set, Budget *budget) except? NULL:
    """Return the hashes of keys, to be freed, or NULL for few numbers and any texts. Raises SerializeError."""
    cdef Py_ssize_t index, count = PyList_GET_SIZE(keys), foretold = 0
    cdef Py_hash_t *hashes
    for index in range(count):
        if index >= PyList_GET_SIZE(keys):
            raise changed()
        key = <object> PyList_GET_ITEM(keys, index)
        if risk_of(key) > 1:
            check_key(key, budget)
        foretold += risk_of(key)
    if foretold <= SMALL_TABLE:
        return NULL
    hashes = <Py_hash_t *> PyMem_Malloc(count * sizeof(Py_hash_t))
    if hashes == NULL:
        raise MemoryError
    try:
        for index in range(count):
            if index >= PyList_GET_SIZE(keys):
                raise changed()
            key = <object> PyList_GET_ITEM(keys, index)  # held: its __hash__ may do anything
            hashes[index] = hash_of(key)
        if PyList_GET_SIZE(keys) != count:
            raise changed()
        check_steps(keys, hashes, of_set, budget)
        return hashes
    except SerializeError:
        PyMem_Free(hashes)
        raise
    except Exception as error:
        PyMem_Free(hashes)
        raise unusable(error) from None
    except BaseException:
        PyMem_Free(hashes)
        raise


cdef int check_steps(list keys, const Py_hash_t *hashes, bint of_set, Budget *budget) except -1:
    cdef Py_ssize_t count = PyList_GET_SIZE(keys)
    cdef uint64_t size = 8
    if count > 1 and can_be_made(keys, hashes, size, of_set, budget):
        if not of_set or not are_hashed_slowly(keys):
            return 0
        # It is made of a dict: by that one's steps, and in room for twice as many keys at once.
        while size <= 2 * <uint64_t> count:
            size *= 2
        if can_be_made(keys, hashes, 8, False, budget) and can_be_made(keys, hashes, size, True, budget):
            return 0
    elif count < 2:
        return 0
    raise SerializeError(
        f"invalid data: the hashes of too many of {count:,} keys collide: this is an attack, or a poor __hash__"
    )


cdef bint can_be_made(
    list keys, const Py_hash_t *hashes, uint64_t size, bint of_set, Budget *budget
) except -1:
    """Make the table as CPython does, and return whether that takes a reasonable number of steps."""
    cdef Table table
    cdef Py_ssize_t index, used, most, count = PyList_GET_SIZE(keys)
    table.of_set = of_set
    table.steps = MORE_STEPS
    table.same = 0
    table.places = new_places(size)
    table.mask = size - 1
    try:
        for index in range(count):
            used = index
            if size < size_for(size, used, of_set):
                size = size_for(size, used, of_set)
                PyMem_Free(table.places)
                table.places = NULL
                table.places = new_places(size)
                table.mask = size - 1
                for used in range(index):
                    if not place(&table, hashes[used]):
                        return False
            table.same = 0
            if not place(&table, hashes[index]):
                return False
            if table.same and index < PyList_GET_SIZE(keys):  # growing compares none of them
                key = <object> PyList_GET_ITEM(keys, index)
                if risk_of(key) > 1:
                    most = budget.hashing // table.same
                    take_parts(budget, table.same * weight_of(key, most, 0))
        return True
    finally:
        PyMem_Free(table.places)


cdef Py_hash_t *new_places(uint64_t size) except NULL:
    cdef Py_hash_t *places = <Py_hash_t *> PyMem_Malloc(size * sizeof(Py_hash_t))
    if places == NULL:
        raise MemoryError
    memset(places, 0xff, size * sizeof(Py_hash_t))
    return places


cdef uint64_t size_for(uint64_t size, Py_ssize_t used, bint of_set) noexcept:
    """Return the size that a table with `used` keys has when the next one is put into it."""
    cdef uint64_t least, grown = 8
    if of_set:
        if <uint64_t> used * 5 < (size - 1) * 3:
            return size
        least = used * (2 if used > 50000 else 4) + 1
    else:
        if <uint64_t> used < size * 2 // 3:
            return size
        least = used * 3
    while grown < least:
        grown *= 2
    return grown


cdef bint place(Table *table, Py_hash_t value) noexcept:
    """Put a key into the table; return False when there are no steps left."""
    cdef uint64_t at = <uint64_t> value & table.mask, perturb = <uint64_t> value
    cdef uint64_t offset, most
    table.steps += MOST_STEPS
    while True:
        most = LINEAR_PROBES if table.of_set and at + LINEAR_PROBES <= table.mask else 0
        for offset in range(most + 1):
            if table.places[at + offset] == NOTHING:
                table.places[at + offset] = value
                return True
            if table.places[at + offset] == value:
                table.steps -= SAME_HASH
                table.same += 1
        table.steps -= 1
        if table.steps < 0:
            return False
        perturb >>= PERTURB_SHIFT
        at = (at * 5 + perturb + 1) & table.mask


cdef Py_ssize_t dict_cost(Py_ssize_t count) noexcept:
    cdef uint64_t size = 8
    if count == 0:
        return 64
    if count <= 5:
        return 64 + 184
    while <Py_ssize_t> (size * 2 // 3) < count:
        size = size_for(size, size * 2 // 3, False)
    return 96 + size * (1 if size < 256 else 2 if size < 65536 else 4) + size * 2 // 3 * 24


cdef Py_ssize_t set_cost(Py_ssize_t count) noexcept:
    cdef uint64_t size = 8
    cdef Py_ssize_t used = 0
    while True:
        used = ((size - 1) * 3 + 4) // 5  # keys with which it grows
        if count < used:
            return 216 + (0 if size == 8 else size * 16)
        size = size_for(size, used, True)
