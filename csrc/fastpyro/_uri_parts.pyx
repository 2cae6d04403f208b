"""The text of a URI taken apart, for `uri`: what is in ordinary characters. All else is for `uri` itself to judge.

A message may hold a million addresses, so each must cost about as much to read as other values of its length.
"""

from cpython.object cimport PyObject_GenericSetAttr

from fastpyro._new cimport new_of

from fastpyro._foreign_text import has_controls

cdef extern from "Python.h":
    bint Py_UNICODE_ISSPACE(Py_UCS4 character) noexcept
    Py_ssize_t PyUnicode_FindChar(
        object text, Py_UCS4 character, Py_ssize_t start, Py_ssize_t end, int direction
    ) except -2

cdef enum:
    MOST_DIGITS = 5  # of a port
    HIGHEST_PORT = 65535
    NO_PORT = -1
    NOT_A_PORT = -2

cdef frozenset protocols = frozenset({"PYRO", "PYRONAME", "PYROMETA"})


cdef inline Py_ssize_t find(str text, Py_UCS4 character, Py_ssize_t start) except -2:
    return PyUnicode_FindChar(text, character, start, len(text), 1)


def new_foreign(cls, str text not None, int default_port):
    """Return a URI that somebody else chose, or None for a text that needs a closer look.

    Arguments: ``cls``, a class of URIs; ``default_port``, of a name server whose location has none.
    """
    parts = parts_of(text, default_port)
    if parts is None or not isinstance(cls, type):
        return None
    uri = new_of(cls, cls, ())
    protocol, name, sockname, host, port = <tuple> parts
    PyObject_GenericSetAttr(uri, "protocol", protocol)
    PyObject_GenericSetAttr(uri, "object", name)
    PyObject_GenericSetAttr(uri, "sockname", sockname)
    PyObject_GenericSetAttr(uri, "host", host)
    PyObject_GenericSetAttr(uri, "port", port)
    PyObject_GenericSetAttr(uri, "is_foreign", True)
    return uri


cdef bint has_space(str text, Py_ssize_t start, Py_ssize_t end) except -1:
    cdef Py_ssize_t index
    for index in range(start, end):
        if Py_UNICODE_ISSPACE(text[index]):
            return True
    return False


def ordinary_parts(str text not None, int default_port):
    """Return (protocol, object, socket name, host, port) of a URI, or None for one that needs a closer look.

    Arguments: ``default_port``, of a name server whose location has none.
    """
    return parts_of(text, default_port)


cdef tuple parts_of(str text, int default_port):
    cdef Py_ssize_t colon, at
    cdef bint spaced = not text.isprintable()
    if spaced and has_controls(text.replace("@./u:\0", "@", 1)):  # a name in Linux's abstract namespace
        return None
    spaced = spaced or find(text, " ", 0) >= 0  # no other space is printable
    colon = find(text, ":", 0)
    if colon < 0:
        return None
    protocol = text[:colon]
    if protocol not in protocols:
        if not protocol.isascii() or protocol.upper() not in protocols:
            return None
        protocol = protocol.upper()
    at = find(text, "@", colon + 1)
    name = text[colon + 1 :] if at < 0 else text[colon + 1 : at]
    if not name or (spaced and has_space(text, colon + 1, len(text) if at < 0 else at)):
        return None
    if protocol == "PYROMETA":
        name = set((<str> name).split(","))
    if at < 0:
        return None if protocol == "PYRO" else (protocol, name, None, None, None)
    if spaced and not text.startswith("./u:", at + 1) and has_space(text, at + 1, len(text)):
        return None
    return with_location(protocol, name, text, at + 1, default_port)


cdef tuple with_location(str protocol, object name, str text, Py_ssize_t start, int default_port):
    cdef Py_ssize_t end, end_of_host
    cdef int port
    if start == len(text):
        return None
    end = end_of_host = find(text, ":", start)
    if text[start] == "." and text.startswith("./u:", start):
        if len(text) == start + 4 or find(text, ":", start + 4) >= 0:
            return None
        return protocol, name, text[start + 4 :], None, None
    if text[start] == "[":
        start += 1
        end_of_host = find(text, "]", start)
        if end_of_host < 0 or not is_ipv6(text, start, end_of_host):
            return None
        end = end_of_host + 1
        if end < len(text) and text[end] != ":":
            return None
    elif end < 0:
        end = end_of_host = len(text)
    port = port_at(text, end + 1)
    if port == NO_PORT and protocol != "PYRO":
        port = default_port
    if port < 0 or end_of_host == start:
        return None
    return protocol, name, None, text[start:end_of_host], port


cdef bint is_ipv6(str text, Py_ssize_t start, Py_ssize_t end) except -1:
    cdef Py_ssize_t index
    cdef int each
    for index in range(start, end):
        each = <int> <Py_UCS4> text[index]
        if not (
            c"0" <= each <= c":" or c"a" <= each <= c"f" or c"A" <= each <= c"F" or each == c"." or each == c"%"
        ):
            return False
    return True


cdef int port_at(str text, Py_ssize_t start) except -3:
    cdef Py_UCS4 digit
    cdef Py_ssize_t index
    cdef int port = 0
    if start >= len(text):
        return NO_PORT
    if len(text) - start > MOST_DIGITS:
        return NOT_A_PORT
    for index in range(start, len(text)):
        digit = text[index]
        if not c"0" <= <int> digit <= c"9":
            return NOT_A_PORT
        port = port * 10 + <int> digit - c"0"
    return port if port <= HIGHEST_PORT else NOT_A_PORT
