"""Values of the standard library out of their states, for `standard_types`: the quick half, without frames of Python.

Each function takes the name of the class, for errors, and the state, and returns the value. Modules are imported when
the first value of them arrives, from a fixed list.
Rule 1: every builder checks its state before it makes anything of it, because anybody may have written it.
Rule 2: what a constructor would only look at again is set past it; what the value is then stays exactly the same.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject_GenericSetAttr
from libc.stdint cimport uint8_t

from fastpyro._new cimport new_of
from fastpyro._surrogates cimport text_with_surrogates

from fastpyro._uri_parts import new_foreign
from fastpyro.config import config
from fastpyro.uri import URI
from fastpyro.values._keys import know_hash
from fastpyro.values._paths import build_path, hash_of_path, know_path
from fastpyro.values.checked import reason_of, refused, texts_of, tuple_of

cdef enum:
    UUID_BYTES = 16
    MOST_DIGITS = 4300  # of a Decimal, as of an int: Python's own limit for numbers in text
    LONGEST_DECIMAL = 4330  # sign, point, exponent

cdef str codes_of_arrays = "bBhHiIlLqQfduw"
cdef str codes_of_text = "uw"
cdef object decimal_class = None, decimal_context = None, invalid_decimal = None
cdef object fraction_class = None, gcd = None
cdef object uuid_class = None, unknown_safety = None
cdef object array_class = None
cdef object known_codes = None  # a str; a tuple from Python 3.15 on
cdef dict codes_here = {}
cdef dict path_classes = None
cdef str PARTS_OF_URI = "expected (protocol, object, socket name or None, host or None, port or None)"
cdef object from_bytes = int.from_bytes


cdef object new(object cls):
    return new_of(object, cls, ())


def build_decimal(str name not None, state):
    """Build a Decimal out of its text."""
    if decimal_class is None:
        know_decimals()
    if type(state) is not str or len(<str> state) > LONGEST_DECIMAL:
        raise refused(name, f"expected a str of at most {MOST_DIGITS:,} digits")
    try:
        return decimal_class(state, decimal_context)  # the thread's own may let NaN pass
    except invalid_decimal:
        raise refused(name, f"{state[:50]!r} is no number") from None


cdef int know_decimals() except -1:
    global decimal_class, decimal_context, invalid_decimal
    from decimal import Context, Decimal, InvalidOperation

    samples = "1 -1.5 0 -0.000 1e90 -7e-90 Infinity -Infinity NaN 1e2000000 -1e-2000000".split() + ["1" * 70 + ".25"]
    know_hash(Decimal, "decimal", [Decimal(text) for text in samples])
    decimal_context = Context(traps=[InvalidOperation])
    invalid_decimal = InvalidOperation
    decimal_class = Decimal
    return 0


def build_fraction(str name not None, state):
    """Build a Fraction out of (numerator, denominator)."""
    if fraction_class is None:
        know_fractions()
    if type(state) is not tuple or len(<tuple> state) != 2:
        raise refused(name, "expected (int, int)")
    numerator, denominator = <tuple> state  # the codec bounds the digits of an int
    if type(numerator) is not int or type(denominator) is not int:
        raise refused(name, "expected (int, int)")
    if denominator <= 0:
        raise refused(name, "the denominator is not positive")
    common = gcd(numerator, denominator)
    if common != 1:
        numerator, denominator = numerator // common, denominator // common
    value = new(fraction_class)
    PyObject_GenericSetAttr(value, "_numerator", numerator)
    PyObject_GenericSetAttr(value, "_denominator", denominator)
    return value


cdef int know_fractions() except -1:
    global fraction_class, gcd
    from fractions import Fraction
    from math import gcd as gcd_of

    prime = sys.hash_info.modulus
    pairs = [(0, 1), (1, 3), (-1, 3), (2**70 + 1, 2**80), (-2, 1), (-1, 1)]
    pairs += [(-5, prime), (prime, 3), (5, prime - 1), (7, prime + 2)]
    know_hash(Fraction, "fraction", [Fraction(*pair) for pair in pairs])
    gcd = gcd_of
    fraction_class = Fraction
    return 0


def build_uuid(str name not None, state):
    """Build a UUID out of its 16 bytes."""
    if uuid_class is None:
        know_uuids()
    if type(state) is not bytes or len(<bytes> state) != UUID_BYTES:
        raise refused(name, "expected 16 bytes")
    value = new(uuid_class)
    PyObject_GenericSetAttr(value, "int", from_bytes(state, "big"))  # past a __setattr__ that refuses
    PyObject_GenericSetAttr(value, "is_safe", unknown_safety)
    return value


cdef int know_uuids() except -1:
    global uuid_class, unknown_safety
    from uuid import UUID, SafeUUID

    know_hash(UUID, "uuid", [UUID(int=number) for number in (0, 5, 2**127 + 1)])
    unknown_safety = SafeUUID.unknown
    uuid_class = UUID
    return 0


def build_standard_path(str name not None, state):
    """Build a path out of (kind, text)."""
    if path_classes is None:
        know_paths()
    if type(state) is not tuple or len(<tuple> state) != 2:
        raise refused(name, "expected (str, str)")
    kind, text = <tuple> state
    if type(kind) is not str or type(text) is not str:
        raise refused(name, "expected (str, str)")
    cls = path_classes.get(kind)
    if cls is None:
        raise refused(name, f"{kind[:50]!r} is no kind of path")
    return build_path(cls, text)


cdef int know_paths() except -1:
    global path_classes
    from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath

    windows = sys.platform == "win32"
    classes = {
        "PurePosixPath": PurePosixPath,
        "PureWindowsPath": PureWindowsPath,
        "PosixPath": PurePosixPath if windows else PosixPath,
        "WindowsPath": WindowsPath if windows else PureWindowsPath,
    }
    for cls in set(classes.values()):
        if know_path(cls, issubclass(cls, PureWindowsPath)):
            know_hash(cls, "path", (), hash_of_path)
    path_classes = classes
    return 0


def build_slice(str name not None, state):
    """Build a slice out of (start, stop, step)."""
    if type(state) is tuple and len(<tuple> state) == 3:
        start, stop, step = <tuple> state
    else:
        start, stop, step = tuple_of(state, "the state of a slice", 3)
    return slice(start, stop, step)


def build_array(str name not None, state):
    """Build an array out of (type code, bytes of an item, bytes)."""
    global array_class, known_codes
    cdef Py_ssize_t width
    if array_class is None:
        from array import array, typecodes

        known_codes, array_class = typecodes, array
    if type(state) is not tuple or len(<tuple> state) != 3:
        raise refused(name, "expected (str, int, bytes)")
    code, size, data = <tuple> state
    if type(code) is not str or type(size) is not int or type(data) is not bytes:
        raise refused(name, "expected (str, int, bytes)")
    if len(<str> code) != 1 or code not in codes_of_arrays:
        raise refused(name, f"type codes are {codes_of_arrays}")
    if code in codes_of_text:
        return array_of_text(name, code, data)
    code = code_here(name, code, size)
    width = size
    if len(<bytes> data) % width:
        raise refused(name, f"{len(data):,} bytes are no whole number of items of {size}")
    result = array_class(code, data)
    if sys.byteorder == "big":
        result.byteswap()
    return result


cdef object array_of_text(str name, str code, bytes data):
    try:
        text = text_with_surrogates(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    except ValueError as error:
        raise refused(name, reason_of(error)) from error
    return array_class(code if code in known_codes else "u", text)


cdef str code_here(str name, str code, object size):
    """Return the type code that means the same here: a C long, for one, does not have the same size everywhere."""
    key = code, size
    found = codes_here.get(key)
    if found is None:
        family = "fd" if code in "fd" else "bhilq" if code.islower() else "BHILQ"
        for candidate in code + family:
            if array_class(candidate).itemsize == size:
                codes_here[key] = found = candidate
                break
        else:
            raise refused(name, f"there are no items of {size} bytes for type code {code!r}")
    return found


def build_uri(str name not None, state):
    """Build a URI out of (protocol, object or tags, socket name, host, port)."""
    if type(state) is not tuple or len(<tuple> state) != 5:
        raise refused(name, PARTS_OF_URI)
    protocol, target, sockname, host, port = <tuple> state
    if (
        type(protocol) is not str or not is_text(sockname) or not is_text(host)
        or (port is not None and type(port) is not int)
    ):
        raise refused(name, PARTS_OF_URI)
    if type(target) is not str:
        if protocol != "PYROMETA":
            raise refused(name, "its object is a str")
        target = ",".join(sorted(texts_of(target, "the tags of a uri")))
    try:
        if host is not None:
            text = f"{protocol}:{target}@[{host}]:{port}" if ":" in <str> host else f"{protocol}:{target}@{host}:{port}"
        else:
            text = f"{protocol}:{target}" if sockname is None else f"{protocol}:{target}@./u:{sockname}"
        uri = new_foreign(URI, text, config.NS_PORT)
        return URI.from_peer(text) if uri is None else uri  # checks every part
    except Exception as error:
        raise refused(name, reason_of(error)) from None


cdef bint is_text(object value) noexcept:
    return value is None or type(value) is str


BUILDERS = {
    "decimal": build_decimal,
    "fraction": build_fraction,
    "uuid": build_uuid,
    "path": build_standard_path,
    "array": build_array,
    "slice": build_slice,
    "fastpyro.URI": build_uri,
}
