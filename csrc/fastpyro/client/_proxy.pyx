"""The native half of `proxy`, `method` and `batch`: what a proxy remembers, and how attributes become methods.

A method that is called takes the fast path of `_session`, or goes the way that `proxy.Proxy` describes.
"""

cimport cython
from cpython.dict cimport PyDict_Contains, PyDict_GetItem
from cpython.object cimport PyObject

from fastpyro._mutex cimport Mutex
from fastpyro.client._session cimport CallerCore, arguments_of, call_fast, is_fast
from fastpyro.protocol._batch cimport BatchWriter
from fastpyro.protocol._call_context cimport CallState, current_state, limit_of
from fastpyro.serializers._codec cimport Codec
from fastpyro._slots cimport (
    PyObject_GenericGetAttr, PyObject_GenericSetAttr, PyVectorcall_NARGS, allow_vectorcall, has_member,
    inherit_vectorcall, set_attribute_getter,
)

from fastpyro.client.retries import call_repeatedly
from fastpyro.errors import SerializeError


cdef class ProxyCore(CallerCore):
    """What a proxy knows of its object. A message may hold many proxies: most of this is made when it is asked for."""

    def _pyro_begin(self, bint plain_invoke, uri, int retries, double timeout):
        """Make the proxy usable, with no names and no connection. Returns whether it was in use before.

        Arguments: ``plain_invoke``, whether its class has not replaced ``_pyroInvoke``, and nothing is compressed;
        ``uri``, which the proxy keeps; ``retries`` of a call; ``timeout`` in seconds, 0 for none.
        """
        cdef bint begun = self.begun
        self.plain_invoke = plain_invoke
        self.uri = uri
        self._pyroMaxRetries = retries
        self._pyro_timeout = timeout
        self.begun = True
        if begun:
            self.session = None
            self.methods = self.attributes = self.oneway = self.callable_names = None
            self._pyro_new_locks()
        return begun

    def _pyro_use_fast_path(self, bint plain_invoke):
        """Have the calls to come take it, or all of them the other way; see `_pyro_begin`."""
        self.plain_invoke = plain_invoke

    def _pyro_new_locks(self):
        """Give the proxy locks that no thread has: those that had the others are gone."""
        self.lock = self.connecting = None

    @property
    def _pyro_lock(self):
        """Who has it connects, or takes in metadata."""
        # Made when it is needed, as most of what is here: a message may hold a hundred thousand proxies. No other
        # thread runs meanwhile, but a destructor may, which the allocation of an object can start.
        if self.lock is None:
            lock = Mutex(True, "the proxy")
            if self.lock is None:
                self.lock = lock
        return self.lock

    def _pyro_turn(self):
        """Return the guard of who connects or takes in metadata; waits for it as long as `fastpyro.timeout` allows."""
        return self._pyro_lock.guard(limit_of(current_state()))

    @property
    def _pyro_connecting(self):
        """Who has it is in the middle of connecting, and a destructor on the same thread keeps out."""
        if self.connecting is None:
            lock = Mutex(False, "the proxy")
            if self.connecting is None:
                self.connecting = lock
        return self.connecting

    @property
    def _pyroUri(self):
        """Where the object is."""
        if self.uri is None:
            raise AttributeError("_pyroUri")
        return self.uri

    @_pyroUri.setter
    def _pyroUri(self, uri):
        self.uri = uri

    def __del__(self):
        try:
            if self.session is not None:
                self._pyro_let_go(self.session)
        except Exception:  # half made, or the interpreter is half gone, and with it the names of modules
            return

    @property
    def _pyroAttrs(self):
        """The names of the remote attributes."""
        if self.attributes is None:
            self.attributes = set()
        return self.attributes

    @_pyroAttrs.setter
    def _pyroAttrs(self, attributes):
        self.attributes = attributes

    @property
    def _pyroMethods(self):
        """The names of the remote methods."""
        if self.methods is None:
            self.methods = set()
        return self.methods

    @_pyroMethods.setter
    def _pyroMethods(self, set methods not None):
        for name in methods:
            if type(name) is not str:
                raise TypeError(f"the name of a method is a str, not {name!r}")
        self.methods = methods
        self.callable_names = None  # for `get_attribute` to find

    cdef int find_callable_names(self) except -1:
        cdef dict names = {}
        self.callable_names = names  # which is looked at while it is filled
        own = getattr(self, "__dict__", ())  # what the proxy has itself comes before what its object has
        for name in self.methods:
            if type(name) is not str:  # put into the set since
                continue
            if not (<str> name).startswith("_pyro") and not has_member(type(self), name) and name not in own:
                names[name] = None
        return 0

    def _pyro_update(self, **values):
        """Set own attributes, past ``__setattr__``, which means the remote object."""
        for name, value in values.items():
            PyObject_GenericSetAttr(self, name, value)


cdef class RememberedNames:
    """A base for objects whose attributes are made when they are first asked for, and stay the same."""

    cdef dict remembered

    def _pyro_remember(self, str name not None, value):
        """Give that value for that name from now on; returns the value."""
        if self.remembered is None:
            self.remembered = {}
        self.remembered[name] = value
        return value


cdef object get_remembered(object self, object name):
    # The type slot of subclasses of RememberedNames; see `get_attribute`.
    cdef PyObject *found
    if (<RememberedNames> self).remembered is not None:
        found = PyDict_GetItem((<RememberedNames> self).remembered, name)
        if found != NULL:
            return <object> found
    try:
        return PyObject_GenericGetAttr(self, name)
    except AttributeError:
        return type(self).__getattr__(self, name)


def install_remembering(type remembering_class not None):
    """Give a subclass of RememberedNames its fast attribute access."""
    if not issubclass(remembering_class, RememberedNames):
        raise TypeError("install_remembering expects a subclass of RememberedNames")
    set_attribute_getter(remembering_class, get_remembered)


cdef object get_attribute(object self, object name):
    # The type slot of Proxy, instead of the one that would look for __getattribute__ and __getattr__ each time.
    cdef ProxyCore core = <ProxyCore> self
    if core.callable_names is None and core.methods is not None:
        core.find_callable_names()
    if core.callable_names is not None and PyDict_Contains(core.callable_names, name):
        return remote_method_class(core, name)
    try:
        return PyObject_GenericGetAttr(self, name)
    except AttributeError:
        return type(self).__getattr__(self, name)


@cython.no_gc_clear
cdef class RemoteMethodCore:
    """A method of a remote object, as a fast callable. Arguments: ``proxy``, ``name``."""

    def __cinit__(self, proxy, str name not None):
        self.vectorcall = <void *> call
        self._proxy = proxy
        self.core = proxy if isinstance(proxy, ProxyCore) else None
        self.__name__ = name

    def __call__(self, /, *args, **kwargs):
        return call_with_retries(self._proxy, self.__name__, args, kwargs)


cdef object call(object self, PyObject **args, size_t flags, PyObject *names):
    cdef RemoteMethodCore method = <RemoteMethodCore> self
    cdef ProxyCore core = method.core
    cdef Py_ssize_t count = PyVectorcall_NARGS(flags)
    cdef CallState state = current_state()
    if core is not None and is_fast(core, state, args, count):
        return call_fast(core, state, method.__name__, args, count, names)
    positional, keywords = arguments_of(args, count, names)
    return call_with_retries(method._proxy, method.__name__, positional, keywords)


cdef object call_with_retries(object proxy, str name, tuple args, dict kwargs):
    if proxy._pyroMaxRetries > 0:
        return call_repeatedly(proxy, name, args, kwargs)
    return proxy._pyroInvoke(name, args, kwargs)


@cython.final
cdef class QueuedMethod:
    """A method of a batch: calling it queues the call. Arguments: ``writer``, ``name``."""

    cdef void *vectorcall
    cdef BatchWriter writer
    cdef str name

    def __cinit__(self, BatchWriter writer not None, str name not None):
        self.vectorcall = <void *> queue_call
        self.writer = writer
        self.name = name

    def __call__(self, /, *args, **kwargs):
        self.writer.add(self.name, args, kwargs)

    def __getattr__(self, str name):
        return QueuedMethod(self.writer, f"{self.name}.{name}")


cdef object queue_call(object callable, PyObject **args, size_t flags, PyObject *names):
    cdef QueuedMethod method = <QueuedMethod> callable
    try:
        method.writer.add_vector(method.name, args, PyVectorcall_NARGS(flags), names)
    except SerializeError:  # `add` says where the value stands
        positional, keywords = arguments_of(args, PyVectorcall_NARGS(flags), names)
        method.writer.add(method.name, positional, keywords)


cdef object remote_method_class = None


def install(type proxy_class not None, type method_class not None):
    """Give the two Python classes their fast slots: attribute access of Proxy, and calls of RemoteMethod."""
    global remote_method_class
    if not issubclass(proxy_class, ProxyCore) or not issubclass(method_class, RemoteMethodCore):
        raise TypeError("install expects subclasses of ProxyCore and RemoteMethodCore")
    set_attribute_getter(proxy_class, get_attribute)
    inherit_vectorcall(method_class)
    remote_method_class = method_class


cdef RemoteMethodCore probe = RemoteMethodCore(None, "")
allow_vectorcall(RemoteMethodCore, <char *> &probe.vectorcall - <char *> <PyObject *> probe)

cdef QueuedMethod queued_probe = QueuedMethod(BatchWriter(Codec(None, None)), "")
allow_vectorcall(QueuedMethod, <char *> &queued_probe.vectorcall - <char *> <PyObject *> queued_probe)
