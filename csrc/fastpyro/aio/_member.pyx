"""What ``proxy.name`` gives in a coroutine: a fast callable that makes a `Call`; and the attributes of such proxies.

Knows names and nothing of how calls travel.
"""

from cpython.dict cimport PyDict_Contains
from cpython.object cimport PyObject

from fastpyro._slots cimport (
    PyObject_GenericGetAttr, PyVectorcall_NARGS, allow_vectorcall, has_member, inherit_vectorcall, set_attribute_getter,
)
from fastpyro.aio._call cimport Call, LoopCaller
from fastpyro.client._proxy cimport ProxyCore
from fastpyro.client._session cimport arguments_of


cdef class MemberCore:
    """A member of a remote object, whose call gives a `Call`. Arguments: ``proxy``, ``name``."""

    def __cinit__(self, LoopCaller proxy, str name not None):
        self.vectorcall = <void *> call_member
        self._proxy = proxy
        self.__name__ = name

    def __call__(self, /, *args, **kwargs):
        return Call(self._proxy, self.__name__, args, kwargs)


cdef object get_attribute(object self, object name):
    # The slot of aio's proxies; see `client/_proxy.get_attribute`.
    cdef ProxyCore core = <ProxyCore> (<LoopCaller> self).inner
    if core is not None:
        if core.callable_names is None and core.methods is not None:
            core.find_callable_names()
        if core.callable_names is not None and PyDict_Contains(core.callable_names, name):
            if not has_member(type(self), name):
                return member_class(self, name)
    try:
        return PyObject_GenericGetAttr(self, name)
    except AttributeError:
        return type(self).__getattr__(self, name)


cdef type member_class = None


def install(type proxy not None, type member not None):
    """Give the proxies' class its fast attribute access, which makes members of a class."""
    global member_class
    if not issubclass(proxy, LoopCaller) or not issubclass(member, MemberCore):
        raise TypeError("install expects subclasses of LoopCaller and MemberCore")
    member_class = member
    inherit_vectorcall(member)
    set_attribute_getter(proxy, get_attribute)


cdef object call_member(object self, PyObject **args, size_t flags, PyObject *names):
    cdef MemberCore member = <MemberCore> self
    cdef Call call = Call.__new__(Call)
    call.caller = member._proxy
    call.__name__ = member.__name__
    call.args, call.kwargs = arguments_of(args, PyVectorcall_NARGS(flags), names)
    call.tries = call.caller.inner._pyroMaxRetries
    return call


cdef MemberCore probe = MemberCore(None, "")
allow_vectorcall(MemberCore, <char *> &probe.vectorcall - <char *> <PyObject *> probe)
