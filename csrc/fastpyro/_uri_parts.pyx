"""The text of a URI taken apart, for `uri`: what is in ordinary characters. All else is for `uri` itself to judge.

A message may hold a million addresses, so each must cost about as much to read as other values of its length.
"""

cdef extern from "Python.h":
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


def ordinary_parts(str text not None, int default_port):
    """Return (protocol, object, socket name, host, port) of a URI, or None for one that needs a closer look.

    Arguments: ``default_port``, of a name server whose location has none.
    """
    cdef Py_ssize_t colon, at
    if not text.isprintable() or find(text, " ", 0) >= 0:  # no other space is printable
        return None
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
    if not name:
        return None
    if protocol == "PYROMETA":
        name = set((<str> name).split(","))
    if at < 0:
        return None if protocol == "PYRO" else (protocol, name, None, None, None)
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
