"""What this package needs of `typing` when it runs: next to nothing, and `typing` takes longer to import than our client.

A type checker sees the real things. Names that only annotations use are imported under ``if TYPE_CHECKING``.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
"""True for type checkers, by its name."""

__all__ = ["TYPE_CHECKING", "NamedTuple", "Protocol"]

if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    Protocol = object  # nobody asks at run time whether something follows one

    class _NamedTupleType(type):
        def __new__(cls, name, bases, namespace):
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = list(namespace.get("__annotations__", ()))
            defaults = [namespace[field] for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            for key in namespace.keys() - {*fields, "__module__", "__qualname__"}:
                setattr(made, key, namespace[key])
            return made

    class NamedTuple(metaclass=_NamedTupleType):
        """As that of `typing`: a class with annotated fields, and perhaps defaults and methods, is a named tuple."""
