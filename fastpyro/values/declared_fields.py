"""Which fields a class declares, as a dataclass or with attrs, and what they are when a state does not name them.

Knows nothing of values. The modules `dataclasses` and `attr` are not imported: a class made with them has imported them.
"""

from __future__ import annotations

import sys

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.values._objects import Constant

if TYPE_CHECKING:
    from typing import Any

__all__ = ["OPTIONAL", "REQUIRED", "declared_fields", "is_generated"]

REQUIRED: Any = "required"
"""Stands for the default of a field that every state has."""

OPTIONAL: Any = "optional"
"""Stands for the default of a field that an object may be without: no constructor sets it."""


def declared_fields(cls: Any) -> dict[str, Any] | None:
    """Return the fields that a class declares, by name, or None for a class that declares none.

    Each with a function that returns its default, REQUIRED, or OPTIONAL. A subclass that is not decorated itself may have
    any attribute.
    """
    own = vars(cls)
    if "__dataclass_fields__" in own:
        return _of_dataclass(cls)
    if "__attrs_attrs__" in own:
        return _of_attrs(cls)
    return None


def is_generated(method: Any) -> bool:
    """Return whether a ``__getstate__`` or ``__setstate__`` was made by a decorator: it takes any state for a right one."""
    code = getattr(method, "__code__", None)
    module: str = getattr(method, "__globals__", {}).get("__name__", "")
    return code is not None and module in ("dataclasses", "attr._make")


def _of_dataclass(cls: Any) -> dict[str, Any]:
    dataclasses: Any = sys.modules["dataclasses"]
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            fields[field.name] = Constant(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            fields[field.name] = field.default_factory
        else:
            fields[field.name] = REQUIRED if field.init else OPTIONAL
    return fields


def _of_attrs(cls: Any) -> dict[str, Any]:
    attr: Any = sys.modules["attr"]
    fields: dict[str, Any] = {}
    for field in cls.__attrs_attrs__:
        default = field.default
        if default is attr.NOTHING:
            fields[field.name] = REQUIRED if field.init else OPTIONAL
        elif isinstance(default, attr.Factory):
            fields[field.name] = OPTIONAL if default.takes_self else default.factory
        else:
            fields[field.name] = Constant(default)
    return fields
