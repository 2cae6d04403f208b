# Objects without their constructors: what `__new__` of a builtin ancestor makes. No module of its own.

cdef extern from *:
    """
    static inline PyObject *fastpyro_new(PyObject *base, PyObject *cls, PyObject *args) {
        return ((PyTypeObject *) base)->tp_new((PyTypeObject *) cls, args, NULL);
    }
    static inline int fastpyro_starts_alike(PyObject *one, PyObject *other) {
        return ((PyTypeObject *) one)->tp_init == ((PyTypeObject *) other)->tp_init;
    }
    static inline int fastpyro_set(PyObject *descriptor, PyObject *value, PyObject *item) {
        return Py_TYPE(descriptor)->tp_descr_set(descriptor, value, item);
    }
    """
    # Preconditions: `base` and `cls` are classes, `base` an ancestor of `cls`, or itself; a descriptor has a __set__.
    object new_of "fastpyro_new" (object base, object cls, tuple args)
    bint starts_alike "fastpyro_starts_alike" (object one, object other) noexcept
    int set_by "fastpyro_set" (object descriptor, object value, object item) except -1
