"""Proxies out of the states that they travel as, and the names of remote members, without frames of Python.

A message may hold a hundred thousand proxies. What is out of the ordinary is left to `proxy_state`, `metadata` and
`proxy`, which say what is wrong with it.
Rule 1: of a state, nothing is used but after a look at its exact type; nothing is connected.
"""

from cpython.object cimport PyObject_GenericSetAttr

from fastpyro._new cimport new_of
from fastpyro.client._proxy cimport ProxyCore
from fastpyro.values._memory_budget cimport Budget
from fastpyro.values._objects cimport Builder

from fastpyro._foreign_text import has_controls
from fastpyro._uri_parts import new_foreign
from fastpyro.values.checked import ATOMS
from fastpyro.values.member_names import is_private_attribute

cdef enum:
    DEEPEST = 100  # levels of handshake data; more are looked at elsewhere

cdef frozenset plain = ATOMS


def ordinary_names(names, Py_ssize_t most, Py_ssize_t longest):
    """Return those of the names that an object can expose, or None when they need a closer look by `metadata.names_of`.

    Arguments: ``most`` names, the ``longest`` of so many characters.
    """
    cdef set found = set()
    cdef str text
    if not are_texts(names) or len(names) > most:
        return None
    for name in names:
        text = name
        if not 0 < len(text) <= longest:
            continue
        if (text[0] == "_" and is_private_attribute(text)) or (not text.isprintable() and has_controls(text)):
            continue
        found.add(text)
    return found


def is_ordinary_state(state):
    """Return whether a proxy's state is as a proxy writes it, its handshake data being plain; see `proxy_state`."""
    if type(state) is not tuple or len(<tuple> state) != 6:
        return False
    uri, oneway, methods, attributes, handshake_data, serializer = <tuple> state
    return (
        type(uri) is str and are_texts(oneway) and are_texts(methods) and are_texts(attributes)
        and is_plain(handshake_data, 0) and (serializer is None or type(serializer) is str)
    )


cdef bint are_texts(object names) except -1:
    if type(names) is not tuple and type(names) is not list and type(names) is not set and type(names) is not frozenset:
        return False
    for name in names:
        if type(name) is not str:
            return False
    return True


cdef bint is_plain(object value, int depth) except -1:
    """Return whether a value is data all the way down; False for one that is nested deeply."""
    kind = type(value)
    if kind is str or value is None or kind in plain or kind is bytearray or kind is memoryview:
        return True
    if depth > DEEPEST:
        return False
    if kind is dict:
        for key, item in (<dict> value).items():
            if not (is_plain(key, depth + 1) and is_plain(item, depth + 1)):
                return False
        return True
    if kind is not list and kind is not tuple and kind is not set and kind is not frozenset:
        return False
    for item in value:
        if not is_plain(item, depth + 1):
            return False
    return True


cdef class ProxyBuilder(Builder):
    """Builds proxies out of their states.

    Arguments: ``cls``, Proxy; ``uri_class``; ``oneway_class``; ``config``; ``names_of`` and
    ``safe_name``, functions of `metadata` and `serializers.registry`; ``otherwise(class name, state)``, for odd states.
    """

    cdef object cls, uri_class, oneway_class, config, names_of, safe_name, otherwise, plain_invoke

    def __init__(self, cls, uri_class, oneway_class, config, *, names_of, safe_name, otherwise):
        self.cls = cls
        self.uri_class = uri_class
        self.oneway_class = oneway_class
        self.config = config
        self.names_of = names_of
        self.safe_name = safe_name
        self.otherwise = otherwise
        self.plain_invoke = cls._pyroInvoke

    cdef object build(self, object state, Budget *budget):
        cdef ProxyCore proxy
        uri = new_foreign(self.uri_class, (<tuple> state)[0], self.config.NS_PORT) if is_ordinary_state(state) else None
        if uri is None:
            return self.otherwise("", state)
        proxy = new_of(self.cls, self.cls, ())
        plain_call = self.cls._pyroInvoke is self.plain_invoke and not self.config.COMPRESSION
        proxy._pyro_begin(plain_call, uri, self.config.MAX_RETRIES, self.config.COMMTIMEOUT)
        self.take(proxy, <tuple> state)
        return proxy

    cdef int take(self, ProxyCore proxy, tuple state) except -1:
        # Whoever wrote the state says where the proxy leads, and nothing about whom to trust: no key, no pickles.
        _, oneway, methods, attributes, handshake_data, serializer = state
        if len(oneway):
            proxy.oneway = self.oneway_class(oneway)
        if len(methods) or len(attributes):
            proxy.methods = self.names_of(methods, "methods of a proxy")
            proxy.attributes = self.names_of(attributes, "attributes of a proxy")
            PyObject_GenericSetAttr(proxy, "_pyro_metadata_loaded", True)
        if serializer is not None:
            PyObject_GenericSetAttr(proxy, "_pyro_serializer", self.safe_name(serializer))
        if type(handshake_data) is not str or handshake_data != "hello":
            PyObject_GenericSetAttr(proxy, "_pyroHandshake", handshake_data)
        return 0
