"""How users say which of their classes travel: all functions for it, and Pyro's `SerializerBase`.

It knows exceptions and other classes, whose tables are in `exceptions` and `class_registry`.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import SerializeError
from fastpyro.values.checked import is_kind, mapping_of, text_of
from fastpyro.values.class_registry import (
    StateOf,
    as_dict,
    check_replaceable,
    from_state,
    register_class_to_dict,
    register_dict_to_class,
    register_strategy,
    register_type_replacement,
    to_state,
    unregister_class_to_dict,
    unregister_dict_to_class,
)
from fastpyro.values.exceptions import dict_to_exception, exception_to_dict, register_exception
from fastpyro.values.object_state import full_name, strategy_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    AnyClass = TypeVar("AnyClass", bound=type)

__all__ = [
    "SerializerBase",
    "StateOf",
    "register_class",
    "register_class_to_dict",
    "register_dict_to_class",
    "register_exception",
    "register_type_replacement",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
]

if TYPE_CHECKING:

    @overload
    def register_class(cls: AnyClass, name: str | None = None) -> AnyClass: ...
    @overload
    def register_class(cls: None = None, name: str | None = None) -> Callable[[AnyClass], AnyClass]: ...


def register_class(cls: Any = None, name: str | None = None) -> Any:
    """Let the objects of a class travel, and arrive as they left. Both sides register it, under one name.

    Arguments: ``cls``, a dataclass, attrs class, namedtuple, Enum, msgspec.Struct, exception, subclass of a builtin type,
    or any class whose state is in its attributes (or in its ``__getstate__``/``__setstate__``); ``name``, the name on the
    wire (None: module and qualified name). Usable as a decorator, with and without arguments. Returns the class.

    Give a name when the class is known by different ones: a class of a script is ``__main__.Point`` there and
    ``script.Point`` to whoever imports it. Subclasses are registered for themselves. ``__init__`` is not called when an
    object arrives. A class that is registered under several names is sent under the last and accepted under all.
    Raises TypeError for what is no class, ValueError for one whose state is out of reach, or a name that is taken.
    """
    if cls is None:
        return lambda decorated: register_class(decorated, name)
    if not isinstance(cls, type):
        raise TypeError(f"register_class expects a class, not {cls!r}")
    if issubclass(cls, Exception):
        return register_exception(cls, name)
    check_replaceable(cls)
    register_strategy(cls, name or full_name(cls), strategy_for(cls))
    return cls


class SerializerBase:
    """Pyro's home of the registration functions."""

    __module__ = "fastpyro"

    register_class_to_dict = staticmethod(register_class_to_dict)
    unregister_class_to_dict = staticmethod(unregister_class_to_dict)
    register_dict_to_class = staticmethod(register_dict_to_class)
    unregister_dict_to_class = staticmethod(unregister_dict_to_class)
    register_type_replacement = staticmethod(register_type_replacement)

    @staticmethod
    def class_to_dict(obj: Any) -> Any:
        """Return the dict that an object is sent as, with its "__class__"; for a replaced object what replaces it."""
        if isinstance(obj, BaseException):
            return exception_to_dict(obj)
        class_name, state = to_state(obj)
        return state if class_name is None else as_dict(class_name, state)

    @staticmethod
    def dict_to_class(data: dict[str, Any]) -> Any:
        """Build an object from a dict whose "__class__" names its class. Raises SerializeError when it is not known."""
        if not is_kind(data, dict):
            raise SerializeError("an object arrives as a dict")
        data = mapping_of(dict(data), "the dict of an object")
        class_name = text_of(data.get("__class__"), 'the "__class__" of a dict that is an object')
        if "__exception__" in data:
            return dict_to_exception(class_name, data)
        state = {name: item for name, item in data.items() if name != "__class__"}
        return from_state(class_name, state["__state__"] if list(state) == ["__state__"] else state)
