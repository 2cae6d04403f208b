"""Where the facades differ from real Pyro, each with its reason; compat.md of the docs has the same list.

Whatever differs and is in none of these lines fails the test; so does a line that nothing is in.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FAILS, WORKS, ALWAYS = r"raises ", r"(?!raises)", r""


class Difference(NamedTuple):
    """A reason, and patterns of what it covers: the case, what comes of it with real Pyro, what comes of it here."""

    reason: str
    case: str
    real: str = ALWAYS
    here: str = ALWAYS

    def covers(self, case: str, real: str, here: str) -> bool:
        """Return whether a case may come to this with real Pyro, and to that here."""
        pairs = ((self.case, case), (self.real, real), (self.here, here))
        return all(re.match(pattern, text, re.DOTALL) for pattern, text in pairs)


_SENT = r"Pyro. (value|registered) "
_RAISED = r"Pyro. (error |registered .*raised\()"

DIFFERENCES = [
    Difference("Values arrive that Pyro's formats fail at.", _SENT, FAILS, WORKS),
    Difference(
        "What cannot be sent or read is a `SerializeError`, whichever library below refuses it in Pyro.",
        r"Pyro. (value|registered|served|local) ",
        FAILS,
        r"raises a SerializeError",
    ),
    Difference(
        "An error whose class the caller does not know is a `RemoteError`; one of the standard library is itself.",
        _RAISED,
        r"raises (a (Serialize|Pyro)Error|TypeError|AttributeError|UnboundLocalError|ValueError)",
        FAILS,
    ),
    Difference(
        "`SystemExit`, `KeyboardInterrupt` and `GeneratorExit` arrive as a `RemoteError`: no daemon ends its callers.",
        r"Pyro. value (SystemExit|KeyboardInterrupt|GeneratorExit)\(",
        ALWAYS,
        ".*a RemoteError",
    ),
    Difference(
        "An error keeps the remote traceback, also when a converter of yours made it.",
        r"Pyro. (registered|served) ",
        r"raises (?!.* with its traceback$)",
        r"raises .* with its traceback$",
    ),
    Difference(
        "After an error of communication or security the next call works; with Pyro it may find the connection closed.",
        r"Pyro. (error|registered|served) ",
        r"raises a (ConnectionClosed|Communication)Error",
    ),
    Difference(
        "A call with an argument called `self`, or of a method of a method, is refused, there or here.",
        r"Pyro. served .*(p\.args\(self=1\)|p\.add\.nested(\(1\))?|del p\.value)$",
        r"raises a (TypeError|AttributeError)|remote method",
        FAILS,
    ),
    Difference(
        "`len(proxy)`, `proxy[i]`, iteration, `in` and `reversed` call the object's exposed special methods.",
        r"Pyro. served .*(len\(p\)|p\[.*\]|list\(iter\(p\)\)|5 in p)$",
        r"raises a TypeError|bool False",
        WORKS,
    ),
    Difference(
        "A `functools.cached_property` is an attribute; Pyro takes it for a method that cannot be called.",
        r"Pyro. served .*functools\.cached_property",
    ),
    Difference(
        "Objects of frozen, slotted and dynamic classes, and of a class that is registered itself, can be registered.",
        r"Pyro. (served .*(frozen=True|__slots__|__getattr__)|local .*d\.register\()",
        r"raises|None",
    ),
    Difference(
        "An object whose id went to another one is not registered any more.", r"Pyro. local .*d\.uriFor\(object_\)$"
    ),
    Difference(
        "A batch refuses a value that cannot travel when it is queued, and runs the rest.",
        r"Pyro. served .*b(\.f\(object\(\)\)|\(\)|2 = BatchProxy\(5\))$",
    ),
    Difference(
        "A port is 0 to 65535 and a host is not empty: an address that cannot be is refused where it is written.",
        r"Pyro. local .*URI\('PYRO:a@",
        WORKS,
        r"raises a PyroError",
    ),
    Difference(
        "A class for a converter must be a class.",
        r"Pyro. local .*register_class_to_dict\(5,",
        WORKS,
        r"raises a TypeError",
    ),
    Difference(
        "The annotation of a blob does not stay in `current_context` after the call.",
        r"Pyro. (served|local) .*annotations(\(\))?$",
        r".*BLBI",
    ),
    Difference(
        "Names and texts of insides: `StreamResult`, `__name__` and `__deepcopy__`, `repr` of a batch and of a "
        "daemon that was sent.",
        r"Pyro. (served|local) .*(__name__|__deepcopy__|repr\(b\)\[:5\]|make\('daemon'\))$",
    ),
    Difference(
        "msgpack's own forms for big integers, complex numbers and dates are read; Pyro4's daemon hands on an `ExtType`.",
        r"Pyro4 value .*msgpack there$",
        r".*ExtType",
    ),
    Difference(
        "Over json, msgpack and marshal an object of a class that nobody registered is refused; on Python 3.11 and newer "
        "Pyro4 sends its attributes as a dict.",
        r"Pyro4 (value|registered) .*(json|msgpack|marshal) (there|back)$",
        r".*dict\{",
    ),
]
