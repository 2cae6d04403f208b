"""Exceptions out of their states, for `exceptions`, which has the rules: the quick half, without frames of Python.

What is out of the ordinary is left to `exceptions`: converters, groups, arguments that a builtin constructor would take
apart.
"""

cimport cython
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject, PyObject_GenericSetAttr

from fastpyro._new cimport new_of, starts_alike
from fastpyro.values._memory_budget cimport Budget
from fastpyro.values._objects cimport Attributes, Builder

import sys

from fastpyro.errors import TEXT, RemoteError
from fastpyro.tracebacks import remote_note
from fastpyro.values.checked import ATOMS
from fastpyro.values.object_state import attributes_of_class

cdef extern from "Python.h":
    dict PyObject_GenericGetDict(object value, void *context)

cdef enum:
    PARTS = 6  # of a state: class name, args, attributes, lines, notes, fields
    MOST_PLANS = 1024

cdef frozenset plain = ATOMS
cdef frozenset own_of_remote = frozenset({"class_name", "args", "attributes", "with_traceback", "add_note"})
cdef frozenset library = frozenset(sys.stdlib_module_names)


# How exceptions of one class are made.
@cython.final
cdef class Plan:
    cdef object base  # the builtin ancestor
    cdef bint is_odd  # it is left to `exceptions`
    cdef bint is_curious  # the builtin constructor takes its arguments apart
    cdef tuple fields  # what it keeps in C, and a state may name
    cdef Attributes attributes


@cython.final
cdef class ErrorBuilder(Builder):
    """Builds exceptions out of their states; to be registered for their class name.

    Arguments: ``own_classes`` and ``classes``, dicts by name; ``late_class(name)`` and ``converter_of(name)``, which
    return None for none; ``describe(class)``, which returns the builtin ancestor, whether the class needs a closer
    look, whether the ancestor takes arguments apart, and names of fields; ``otherwise(name, state)``.
    """

    cdef dict own_classes, classes, plans, late_classes
    cdef object late_class, converter_of, describe, otherwise

    def __init__(
        self, dict own_classes not None, dict classes not None, *, late_class, converter_of, describe, otherwise
    ):
        self.own_classes = own_classes
        self.classes = classes
        self.late_class = late_class
        self.converter_of = converter_of
        self.describe = describe
        self.otherwise = otherwise
        self.plans = {}
        self.late_classes = {}

    cdef object build(self, object state, Budget *budget):
        error = self.ordinary(state) if is_ordinary(state) else None
        return self.otherwise("exception", state) if error is None else error

    cdef object ordinary(self, object state):
        cdef PyObject *found
        cdef Plan plan
        class_name, args, attributes, lines, notes, _ = <tuple> state
        found = PyDict_GetItem(self.own_classes, class_name)
        if found == NULL:
            found = PyDict_GetItem(self.classes, class_name)
        if found == NULL:
            cls = self.late(class_name) if (<str> class_name).partition(".")[0] in library else None
            if cls is None and self.converter_of(class_name) is not None:
                return None
        else:
            cls = <object> found
        error = None
        if cls is not None:
            plan = self.plan_of(cls)
            if plan.is_odd or (plan.is_curious and not are_plain(args)):
                return None
            error = restored(cls, plan, <tuple> state)
        if error is None:
            error = remote_error(class_name, args, attributes)
        own = PyObject_GenericGetDict(error, NULL)
        own["_pyroTraceback"] = lines
        if len(<list> lines):
            own["__notes__"] = [*notes, remote_note(lines)]
        elif len(<list> notes):
            own["__notes__"] = notes
        return error

    cdef object late(self, str class_name):
        # What was found to be fit once is so as long as it stands there.
        known = self.late_classes.get(class_name)
        if known is not None:
            module_name, _, name = class_name.rpartition(".")
            module = sys.modules.get(module_name)
            if module is not None and vars(module).get(name) is known:
                return known
        known = self.late_class(class_name)
        if known is not None and len(self.late_classes) < MOST_PLANS:
            self.late_classes[class_name] = known
        return known

    cdef Plan plan_of(self, object cls):
        cdef PyObject *found = PyDict_GetItem(self.plans, cls)
        cdef Plan plan
        if found != NULL:
            return <Plan> found
        plan = Plan.__new__(Plan)
        plan.base, is_odd, plan.is_curious, plan.fields = self.describe(cls)
        plain_start = starts_alike(plan.base, BaseException)
        plan.is_odd = is_odd or cls is RemoteError or (plan.base is not cls and not plain_start)
        plan.attributes = attributes_of_class(cls)
        if len(self.plans) >= MOST_PLANS:
            self.plans.clear()
        self.plans[cls] = plan
        return plan


cdef bint is_ordinary(object state) except -1:
    if type(state) is not tuple or len(<tuple> state) != PARTS:
        return False
    class_name, args, attributes, lines, notes, fields = <tuple> state
    if type(class_name) is not str or type(args) is not tuple or type(attributes) is not dict:
        return False
    if type(lines) is not list or type(notes) is not list or type(fields) is not dict:
        return False
    if not are_texts(attributes) or not are_texts(lines) or not are_texts(notes) or not are_texts(fields):
        return False
    for value in (<dict> fields).values():
        if value is not None and type(value) is not str and type(value) is not bytes and type(value) is not int:
            return False
    return True


cdef bint are_texts(object texts) except -1:
    if len(texts):
        for text in texts:
            if type(text) is not str:
                return False
    return True


cdef bint are_plain(tuple args) except -1:
    for arg in args:
        if type(arg) not in plain:
            return False
    return True


cdef object restored(object cls, Plan plan, tuple state):
    """Make an exception without the constructor of its class, or return None when the state does not suit the class."""
    _, args, attributes, _, _, fields = state
    try:
        if plan.base is cls:
            error = cls(*args)  # the builtin constructors check what they get
        else:
            error = new_of(plan.base, cls, args)
        PyObject_GenericSetAttr(error, "args", args)
        if len(<dict> fields):
            for name in plan.fields:
                if name in <dict> fields:
                    PyObject_GenericSetAttr(error, name, (<dict> fields)[name])
        if len(<dict> attributes):
            if TEXT in <dict> attributes:
                attributes = {name: value for name, value in (<dict> attributes).items() if name != TEXT}
            plan.attributes.fill(error, attributes, NULL)
    except Exception:
        return None  # a RemoteError tells what it was
    return error


cdef object remote_error(str class_name, tuple args, dict attributes):
    """Make a RemoteError as its constructor does."""
    error = new_of(RemoteError, RemoteError, args)
    own = PyObject_GenericGetDict(error, NULL)
    own["class_name"] = class_name
    own["attributes"] = dict(attributes)
    for name, value in attributes.items():
        if not (<str> name).startswith("__") and name not in own_of_remote:
            own[name] = value
    return error
