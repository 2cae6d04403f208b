# Fast slots for classes: calls without an argument tuple (PEP 590), attribute access without a look-up of methods.

from cpython.object cimport PyObject


cdef extern from "Python.h":
    ctypedef object (*getattrofunc)(object self, object name)
    ctypedef struct PyTypeObject:
        Py_ssize_t tp_vectorcall_offset
        unsigned long tp_flags
        getattrofunc tp_getattro
    enum:
        Py_TPFLAGS_HAVE_VECTORCALL
    Py_ssize_t PyVectorcall_NARGS(size_t flags) noexcept
    void PyType_Modified(PyTypeObject *type) noexcept
    object PyObject_GenericGetAttr(object self, object name)
    int PyObject_GenericSetAttr(object self, object name, object value) except -1
    PyObject *_PyType_Lookup(PyTypeObject *type, object name) noexcept


cdef inline void allow_vectorcall(object kind, Py_ssize_t offset) noexcept:
    """Have objects of a native class called through the function pointer at an offset in them."""
    (<PyTypeObject *> kind).tp_vectorcall_offset = offset
    inherit_vectorcall(kind)


cdef inline void inherit_vectorcall(object kind) noexcept:
    """Allow it for a subclass written in Python: before 3.12 those do not inherit the flag."""
    (<PyTypeObject *> kind).tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL
    PyType_Modified(<PyTypeObject *> kind)


cdef inline bint has_member(type kind, str name) noexcept:
    """Whether a class or one of its bases has that name; without the exception that ``hasattr`` makes when not."""
    return _PyType_Lookup(<PyTypeObject *> kind, name) != NULL


cdef inline void set_attribute_getter(object kind, getattrofunc getter) noexcept:
    """Have attributes of a class's objects got by a function, which must do what ``__getattr__`` is for as well."""
    (<PyTypeObject *> kind).tp_getattro = getter
    PyType_Modified(<PyTypeObject *> kind)


cdef extern from *:
    """
    /* The end of an iteration with a value, without the frame of a traceback. */
    static inline PyObject *fastpyro_stop(PyObject *value) {
        if (PyTuple_Check(value) || PyExceptionInstance_Check(value)) {
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
            if (stop != NULL) {
                PyErr_SetObject(PyExc_StopIteration, stop);
                Py_DECREF(stop);
            }
        } else {
            PyErr_SetObject(PyExc_StopIteration, value);
        }
        return NULL;
    }
    static inline void fastpyro_set_iternext(PyObject *kind, iternextfunc next) {
        ((PyTypeObject *) kind)->tp_iternext = next;
        PyType_Modified((PyTypeObject *) kind);
    }
    """
    PyObject *fastpyro_stop(object value) noexcept
    ctypedef PyObject *(*iternextfunc)(PyObject *self) except? NULL
    void fastpyro_set_iternext(object kind, iternextfunc next) noexcept
