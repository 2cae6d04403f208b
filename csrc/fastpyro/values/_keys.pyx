"""Keys that a peer chose: what may be one, what comparing them takes, and their hashes. Sans-I/O.

The standard library hashes Fractions, UUIDs and paths in Python, which takes as long as reading a hundred bytes, so
their hashes are computed here: numbers as the documentation of Python's numeric types says, all else by rules that are
compared with Python's own hashes when a class is met first. Where they differ, Python is asked.
Rule 1: no key is hashed before its type is known to have a hash that runs nothing, but for users' classes.
Rule 2: what is told of a class is told once: its objects are told by their exact type.
"""

cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpyro.values._memory_budget cimport Budget

import sys
from enum import Enum

from fastpyro.errors import SerializeError
from fastpyro.values.checked import ATOMS, check_key as judge, described_key, is_hashed_as_member

cdef extern from "Python.h":
    Py_hash_t PyObject_Hash(object value) except -1
    dict PyObject_GenericGetDict(object value, void *context)
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void *PyUnicode_1BYTE_DATA(object text) noexcept

cdef enum:
    OBJECT_PARTS = 4  # that a part of an object counts for, which Python code looks at
    OBJECT_WEIGHT = 16  # parts that comparing two objects in Python counts for, beside theirs
    FROZENSET_CHAIN = 16  # that each element of a frozenset may meet when two of them are compared
    DEEPEST = 300  # levels of a key that are looked into; values of messages have fewer
    MOST_KINDS = 4096  # classes that are remembered
    SHIFT = 61

cdef enum Hasher:
    BY_PYTHON
    OF_DECIMAL
    OF_FRACTION
    OF_UUID
    OF_URI
    OF_PROXY
    OF_PATH
    OF_MEMBER

cdef frozenset plain = ATOMS
cdef dict kinds = {}
cdef uint64_t MODULUS = (<uint64_t> 1 << SHIFT) - 1
cdef uint64_t XXPRIME_1 = 11400714785074694791, XXPRIME_2 = 14029467366897019727, XXPRIME_5 = 2870177450012600261
cdef uint64_t FULL = 10 ** 18  # of a scale: so many digits fit into 61 bits
cdef bint tuples_are_known = False, members_are_known = False


# What there is to know of the objects of a class when they are keys.
@cython.final
cdef class Kind:
    cdef Hasher hasher
    cdef object function  # that hashes a path
    cdef bint pure  # made by Python itself, of nothing that needs a look
    cdef bint by_user  # hashing or comparing them runs what somebody wrote for the class
    cdef bint is_proxy, has_dict
    cdef object base  # tuple, list or dict, whose elements are parts too, or None
    cdef tuple slots


cdef Kind kind_of(object cls):
    cdef PyObject *found = PyDict_GetItem(kinds, cls)
    cdef Kind kind
    if found != NULL:
        return <Kind> found
    kind = Kind.__new__(Kind)
    kind.hasher = OF_MEMBER if members_are_known and is_hashed_as_member(cls) else BY_PYTHON
    kind.by_user, kind.is_proxy, kind.base, kind.has_dict, kind.slots = described_key(cls)
    if len(kinds) >= MOST_KINDS:
        for other in [other for other in kinds if not (<Kind> kinds[other]).pure]:
            del kinds[other]
    kinds[cls] = kind
    return kind


def know_hash(cls, str rule not None, samples, function=None):
    """Have the keys of exactly this class, one of Python's or of fastpyro's own, hashed here.

    Arguments: ``rule``, a name of the table in this function; ``samples``, objects to try it on: where Python's hash is
    another one, it stays Python's; ``function(path)``, for the rule "path". Returns whether it does not.
    """
    cdef Kind kind = kind_of(cls)
    kind.function = function
    kind.pure = True
    kind.hasher = {
        "decimal": OF_DECIMAL, "fraction": OF_FRACTION, "uuid": OF_UUID, "uri": OF_URI, "proxy": OF_PROXY,
        "path": OF_PATH,
    }[rule]
    if sys.hash_info.modulus != MODULUS or not are_hashed_alike(samples):
        kind.hasher = BY_PYTHON
    return kind.hasher != BY_PYTHON


def know_pure_key(cls):
    """Have the keys of exactly this class, made by Python itself, taken without a look at what they consist of."""
    kind_of(cls).pure = True


cdef bint are_hashed_alike(samples):
    try:
        for sample in samples:
            if hash_of(sample) != PyObject_Hash(sample):
                return False
    except Exception:  # it has no such attributes
        return False
    return True


cdef int take_parts(Budget *budget, Py_ssize_t count) except -1:
    budget.hashing -= count
    if budget.hashing < 0:
        raise SerializeError(
            "invalid data: its keys take too long to hash and compare: this is an attack, or many keys share a large "
            "value"
        )
    return 0


cdef int check_key(object key, Budget *budget) except -1:
    kind = type(key)
    if kind is str or kind is int or kind is float or kind is bytes or kind is bool or key is None:
        return take_parts(budget, 1)
    if kind is tuple:
        take_parts(budget, 1)
        for item in <tuple> key:  # which is nested as deep as a value may be, at the most
            check_key(item, budget)
        return 0
    if not look(key, False, 0, budget):
        take_parts(budget, OBJECT_PARTS * <Py_ssize_t> judge(key, budget.hashing // OBJECT_PARTS))
    return 0


cdef bint look(object item, bint shown, int depth, Budget *budget) except -1:
    """Return whether a part of a key may be hashed; `shown` to somebody's `__hash__`, if not by Python alone."""
    cdef Kind kind
    cls = type(item)
    take_parts(budget, 1)
    if cls in plain or cls is frozenset or cls is bytearray or cls is memoryview:
        return True  # the elements of a frozenset have been hashed already
    take_parts(budget, OBJECT_PARTS)
    if cls is list or cls is tuple or cls is set:
        return look_at_all(item, shown, depth, budget)
    if cls is dict:
        return look_at_all((<dict> item).values(), shown, depth, budget)
    if cls is slice:
        return look_at_all((item.start, item.stop, item.step), shown, depth, budget)
    kind = kind_of(cls)
    if shown and kind.is_proxy:
        return False
    if kind.pure or (not shown and not kind.by_user and kind.base is not tuple):
        return True
    return look_at_all(parts_of(item, kind), shown or kind.by_user, depth, budget)


cdef bint look_at_all(object parts, bint shown, int depth, Budget *budget) except -1:
    if depth > DEEPEST:  # it leads back to itself, perhaps
        return False
    for part in parts:
        if not look(part, shown, depth + 1, budget):
            return False
    return True


cdef list parts_of(object value, Kind kind):
    """Return what an object consists of, without running anything of its class."""
    cdef list parts = list(PyObject_GenericGetDict(value, NULL).values()) if kind.has_dict else []
    for slot in kind.slots:
        try:
            parts.append(slot.__get__(value))
        except AttributeError:  # a slot that is not filled
            continue
    if kind.base is dict:
        parts.extend(dict.values(value))
    elif kind.base is not None:
        parts.extend(kind.base.__iter__(value))
    return parts


cdef Py_ssize_t weight_of(object key, Py_ssize_t most, int depth) except -1:
    # To compare frozensets looks up each element, which may meet others of its hash: so nested ones take a power of it.
    cdef Py_ssize_t weight = 1
    kind = type(key)
    if kind is str or kind is bytes or kind is bytearray or kind is memoryview or kind in plain:
        return 1
    if depth > DEEPEST:
        return most + 1
    if kind is frozenset or kind is tuple or kind is list or kind is set:
        parts = key
    elif kind is dict:
        parts = (<dict> key).values()
    elif kind is slice:
        parts = key.start, key.stop, key.step
    else:
        weight = OBJECT_WEIGHT
        parts = parts_of(key, kind_of(kind))
    for part in parts:
        weight += weight_of(part, most - weight, depth + 1)
        if weight > most:
            return weight
    return weight * FROZENSET_CHAIN if kind is frozenset else weight


cdef bint is_hashed_slowly(object key) except -1:
    kind = type(key)
    if kind is tuple:
        for part in <tuple> key:
            if is_hashed_slowly(part):
                return True
        return False
    return not (kind is str or kind is frozenset or kind in plain)


cdef Py_hash_t hash_of(object key) except -1:
    cdef Kind kind
    cls = type(key)
    if cls is tuple:
        return hash_of_tuple(<tuple> key) if tuples_are_known else PyObject_Hash(key)
    if cls is str or cls is int or cls is frozenset or cls in plain:
        return PyObject_Hash(key)
    kind = kind_of(cls)
    if kind.hasher == OF_FRACTION:
        return hash_of_fraction(key._numerator, key._denominator)
    if kind.hasher == OF_DECIMAL:
        return hash_of_decimal(key)
    if kind.hasher == OF_UUID:
        return PyObject_Hash(key.int)
    if kind.hasher == OF_PATH:
        return kind.function(key)
    if kind.hasher == OF_MEMBER:
        return PyObject_Hash(key._name_)
    if kind.hasher == OF_PROXY:
        return hash_of(key._pyroUri)
    if kind.hasher == OF_URI:
        name = key.object
        if type(name) is set:
            name = frozenset(<set> name)
        return PyObject_Hash((key.protocol, name, key.sockname, key.host, key.port))
    return PyObject_Hash(key)


cdef Py_hash_t hash_of_tuple(tuple key) except -1:
    cdef uint64_t total = XXPRIME_5
    cdef Py_ssize_t index, size = PyTuple_GET_SIZE(key)
    for index in range(size):
        total += <uint64_t> hash_of(<object> PyTuple_GET_ITEM(key, index)) * XXPRIME_2
        total = ((total << 31) | (total >> 33)) * XXPRIME_1
    total += <uint64_t> size ^ (XXPRIME_5 ^ 3527539)
    return 1546275796 if total == <uint64_t> -1 else <Py_hash_t> total


cdef Py_hash_t signed_hash(uint64_t value, bint negative) noexcept:
    cdef Py_hash_t result = -<Py_hash_t> value if negative else <Py_hash_t> value
    return -2 if result == -1 else result


cdef Py_hash_t hash_of_fraction(object numerator, object denominator) except -1:
    cdef bint negative = numerator < 0
    cdef uint64_t above = <uint64_t> PyObject_Hash(-numerator if negative else numerator)
    cdef uint64_t below = <uint64_t> PyObject_Hash(denominator)
    if below == 0:
        return signed_hash(<uint64_t> <Py_hash_t> sys.hash_info.inf, negative)
    return signed_hash(product(above, inverse(below)), negative)


cdef uint64_t product(uint64_t left, uint64_t right) noexcept:
    """Return the product of two numbers below MODULUS, modulo that; in pieces of 32 bits and fewer."""
    cdef uint64_t high_left = left >> 32, low_left = <uint32_t> left
    cdef uint64_t high_right = right >> 32, low_right = <uint32_t> right
    cdef uint64_t middle = high_left * low_right + low_left * high_right, low = low_left * low_right
    cdef uint64_t total = 8 * (high_left * high_right)  # 2**64 is 8
    total += (middle >> 29) + ((middle & 0x1fffffff) << 32)
    total += (low & MODULUS) + (low >> SHIFT)
    total = (total & MODULUS) + (total >> SHIFT)
    return total - MODULUS if total >= MODULUS else total


cdef uint64_t inverse(uint64_t value) noexcept:
    """Return what a number from 1 to MODULUS - 1 is to be multiplied with for 1, modulo that: Euclid's algorithm."""
    cdef int64_t factor = 0, next_factor = 1, kept
    cdef uint64_t rest = MODULUS, next_rest = value, quotient
    while next_rest:
        quotient = rest // next_rest
        kept = factor - <int64_t> quotient * next_factor
        factor = next_factor
        next_factor = kept
        quotient = rest - quotient * next_rest
        rest = next_rest
        next_rest = quotient
    return <uint64_t> (factor + <int64_t> MODULUS if factor < 0 else factor)


cdef uint64_t power(uint64_t base, uint64_t exponent) noexcept:
    cdef uint64_t result = 1
    while exponent:
        if exponent & 1:
            result = product(result, base)
        base = product(base, base)
        exponent >>= 1
    return result


cdef Py_hash_t hash_of_decimal(object key) except -1:
    # "-1.5E+3", "Infinity", "NaN123": its text is quicker than its parts.
    cdef str text = str(key)
    cdef Py_ssize_t at = 0, size = PyUnicode_GET_LENGTH(text)
    cdef const uint8_t *data = <const uint8_t *> PyUnicode_1BYTE_DATA(text)
    cdef bint negative = size > 0 and data[0] == c"-", behind_point = False, down
    cdef uint64_t digits = 0, chunk = 0, scale = 1, exponent = 0
    cdef int64_t behind = 0
    if negative:
        at = 1
    if not PyUnicode_IS_COMPACT_ASCII(text) or at == size or not c"0" <= data[at] <= c"9":
        return PyObject_Hash(key)
    while at < size and (c"0" <= data[at] <= c"9" or data[at] == c"."):
        if data[at] == c".":
            behind_point = True
        else:
            behind += behind_point
            chunk = chunk * 10 + data[at] - c"0"
            scale *= 10
            if scale == FULL:
                digits = (product(digits, scale) + chunk) % MODULUS
                chunk, scale = 0, 1
        at += 1
    digits = (product(digits, scale) + chunk) % MODULUS
    if at < size:
        if size - at < 3 or size - at > 20 or data[at] != c"E":
            return PyObject_Hash(key)
        down = data[at + 1] == c"-"
        for at in range(at + 2, size):
            exponent = exponent * 10 + data[at] - c"0"
        behind += <int64_t> exponent if down else -<int64_t> exponent
    if behind > 0:
        digits = product(digits, inverse(power(10, <uint64_t> behind)))
    elif behind < 0:
        digits = product(digits, power(10, <uint64_t> -behind))
    return signed_hash(digits, negative)


def _know_tuples():
    global tuples_are_known
    samples = (), (1,), ("a", (2, 3.5)), tuple(range(20)), (-1, None)
    tuples_are_known = True
    tuples_are_known = sys.hash_info.width == 64 and are_hashed_alike(samples)
    return tuples_are_known


def _know_members():
    global members_are_known
    members_are_known = True
    members_are_known = are_hashed_alike(list(Enum("Sample", ["one", "two"])))


_know_tuples()
_know_members()
