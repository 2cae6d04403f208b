"""Objects of registered classes out of their states, without a frame of Python for each.

An empty object is 7 bytes of a message, so building it must cost as little as reading others of that size. What is
out of the ordinary is left to `judge`, the function of `object_state` that says what is wrong with it.
Rule 1: nothing of a class runs but what `object_state` says; no state is looked into before its exact type is known.
Rule 2: what a state leaves out is charged as well: a class may have a hundred fields with defaults.
"""

cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

from fastpyro._new cimport new_of, set_by
from fastpyro.values._memory_budget cimport Budget, note_beside, take_memory

cdef extern from "Python.h":
    dict PyObject_GenericGetDict(object value, void *context)

cdef enum:
    COST_FIELD = 100  # a place in a dict, and a small object


@cython.final
cdef class Constant:
    """The default of a field that is always the same object. Arguments: ``value``."""

    cdef readonly object value

    def __cinit__(self, value):
        self.value = value

    def __call__(self):
        return self.value


@cython.final
cdef class Attributes:
    """Gives the objects of one class their attributes.

    Arguments: ``describe()``, asked at the first object, returns whether they have a ``__dict__``, their slots (a dict
    of descriptors), names that are refused (a frozenset: of methods), and names that count for nothing (a frozenset);
    ``judge(object, state)``, for odd states; ``fields``, what is declared, a default for each, or None; ``required``
    and ``optional``, the defaults of those that have none; ``merge(state)``, which makes a dict of others, or None.
    """

    def __init__(self, describe, judge, dict fields=None, required=None, optional=None, *, merge=None):
        self.describe = describe
        self.judge = judge
        self.fields = fields
        self.required = required
        self.optional = optional
        self.merge = merge

    def __call__(self, value, state):
        self.fill(value, state, NULL)

    cdef int fill(self, object value, object state, Budget *budget) except -1:
        if not self.described:
            self.has_dict, self.slots, self.refused, self.ignored = self.describe()
            self.described = True
        if self.merge is not None and type(state) is not dict:
            state = self.merge(state)
        if self.fields is not None:
            return self.fill_fields(value, state, budget)
        if type(state) is not dict or not self.can_have(<dict> state):
            self.judge(value, state)
            return 0
        own = None
        for name, item in (<dict> state).items():
            if name in self.ignored:
                continue
            if name in self.slots:
                self.fill_slot(value, name, item)
                continue
            if own is None:
                own = PyObject_GenericGetDict(value, NULL)
            (<dict> own)[name] = item
        return 0

    cdef bint can_have(self, dict state) except -1:
        for name in state:
            if type(name) is not str:
                return False
            if name in self.slots or name in self.ignored:
                continue
            if not self.has_dict or name in self.refused or is_special(name):
                return False
        return True

    cdef int fill_slot(self, object value, object name, object item) except -1:
        return set_by(self.slots[name], value, item)

    cdef int fill_fields(self, object value, object state, Budget *budget) except -1:
        cdef dict given
        cdef PyObject *found
        if type(state) is dict:
            given = <dict> state
        elif (type(state) is tuple or type(state) is list) and len(state) == len(self.fields):
            given = dict(self.fields)  # what a dataclass with slots that is frozen gives by itself
            for name, item in zip(self.fields, state):
                given[name] = item
        else:
            self.judge(value, state)
            return 0
        if not self.are_declared(given):
            self.judge(value, state)
            return 0
        if len(given) < len(self.fields):
            charge_defaults(budget, len(self.fields) - len(given))
        own = PyObject_GenericGetDict(value, NULL) if self.has_dict and len(self.fields) > 0 else None
        for name, default in self.fields.items():
            found = PyDict_GetItem(given, name)
            if found != NULL:
                item = <object> found
            elif default is self.optional:
                continue
            elif type(default) is Constant:
                item = (<Constant> default).value
            else:
                item = default()
            if name in self.slots:
                self.fill_slot(value, name, item)
            elif own is not None:
                (<dict> own)[name] = item
        return 0

    cdef bint are_declared(self, dict given) except -1:
        for name in given:
            if type(name) is not str or (name not in self.fields and name not in self.ignored):
                return False
        for name, default in self.fields.items():
            if default is self.required and name not in given:
                return False
        return True


cdef int charge_defaults(Budget *budget, Py_ssize_t count) except -1:
    if budget != NULL:
        return take_memory(budget, COST_FIELD * count)
    note_beside(COST_FIELD * count)
    return 0


cdef bint is_special(str name) except -1:
    cdef Py_ssize_t size = len(name)
    return name.startswith("__") and name.endswith("__") if size > 1 else False


cdef class Builder:
    """What builds the objects of a class from their states: see `ObjectBuilder` and `MemberBuilder`."""

    def __call__(self, state):
        return self.build(state, NULL)

    cdef object build(self, object state, Budget *budget):
        raise NotImplementedError


@cython.final
cdef class ObjectBuilder(Builder):
    """Builds objects of a class that is made in Python. Arguments: ``cls``; ``attributes``, `Attributes` of it."""

    cdef object cls
    cdef Attributes attributes

    def __init__(self, cls, Attributes attributes not None):
        if not isinstance(cls, type):
            raise TypeError("expected a class")
        self.cls = cls
        self.attributes = attributes

    cdef object build(self, object state, Budget *budget):
        value = new_of(object, self.cls, ())
        self.attributes.fill(value, state, budget)
        return value


@cython.final
cdef class ContainerBuilder(Builder):
    """Builds objects of a subclass of a builtin type; their state is what that holds, and the state of the attributes.

    Arguments: ``cls``; ``base``, the builtin type; ``fill(object, contents)``, or None where ``base.__new__`` takes
    them; ``size``, of a named tuple, or -1; ``attributes(object, state)``; ``judge(state)``, which returns both parts
    of an odd one, or raises.
    """

    cdef object cls, base, new, fill, attributes, judge
    cdef Py_ssize_t size

    def __init__(self, cls, base, fill, Py_ssize_t size, attributes, judge):
        self.cls = cls
        self.base = base
        self.new = base.__new__
        self.fill = fill
        self.size = size
        self.attributes = attributes
        self.judge = judge

    cdef object build(self, object state, Budget *budget):
        if type(state) is not tuple or len(<tuple> state) != 2:
            state = self.judge(state)
        content, attributes = <tuple> state
        if type(content) is not self.base or (self.size >= 0 and len(<tuple> content) != self.size):
            content, attributes = self.judge(state)
        if self.fill is None:
            value = self.new(self.cls, content)
        else:
            value = self.new(self.cls)
            self.fill(value, content)
        if type(self.attributes) is Attributes:
            (<Attributes> self.attributes).fill(value, attributes, budget)
        else:
            self.attributes(value, attributes)
        return value


@cython.final
cdef class MemberBuilder(Builder):
    """Finds the members of an Enum. Arguments: ``members``, a dict; ``kind`` of its keys; ``otherwise(state)``."""

    cdef dict members
    cdef object kind, otherwise

    def __init__(self, dict members not None, kind, otherwise):
        self.members = members
        self.kind = kind
        self.otherwise = otherwise

    cdef object build(self, object state, Budget *budget):
        cdef PyObject *found = NULL
        if type(state) is self.kind:
            found = PyDict_GetItem(self.members, state)
        return self.otherwise(state) if found == NULL else <object> found


@cython.final
cdef class ClassTable:
    """Builds objects by the names of their classes; to be called with a name and a state.

    Arguments: ``converters``, users' functions by name, ``builders``, and ``own_names``, for which there are builders
    and no converters: dicts and a set that somebody else changes; ``otherwise(name, state)``, for what has a converter,
    and for what has no builder.
    """

    def __init__(self, dict converters not None, dict builders not None, set own_names not None, otherwise):
        self.converters = converters
        self.builders = builders
        self.own_names = own_names
        self.otherwise = otherwise

    def __call__(self, str class_name not None, state):
        return self.build(class_name, state, NULL)

    cdef object build(self, str class_name, object state, Budget *budget):
        cdef PyObject *found
        if not self.converters or class_name not in self.converters or class_name in self.own_names:
            found = PyDict_GetItem(self.builders, class_name)
            if found != NULL:
                builder = <object> found  # held: what it calls may register classes
                if isinstance(builder, Builder):
                    return (<Builder> builder).build(state, budget)
                return builder(class_name, state)
        return self.otherwise(class_name, state)
