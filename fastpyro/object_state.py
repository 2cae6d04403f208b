"""What an object of a registered class consists of, and how it is built again without calling its constructor.

A *strategy* for a class is a pair of functions: object → state, and state → object. The state is made of values that
the codec knows. Nothing here knows names of classes on the wire; `class_registry` does.
Rule 1: building calls neither ``__init__`` nor a ``__setattr__`` of the class; only its ``__setstate__``, if it has one.
Rule 2: a state may come from anybody: its shape is checked before anything is built from it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, Flag
from functools import lru_cache
from types import FunctionType, MemberDescriptorType

from fastpyro.errors import SerializeError
from fastpyro.light_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Strategy", "attributes_of", "full_name", "is_plain", "set_attributes", "state_function", "strategy_for"]

_HEAP_TYPE, _IMMUTABLE_TYPE, _NOT_CALLABLE_TYPE = 1 << 9, 1 << 8, 1 << 7
"""Bits of ``type.__flags__`` (Py_TPFLAGS_HEAPTYPE, _IMMUTABLETYPE, _DISALLOW_INSTANTIATION)."""

_NOT_STATE = frozenset({"_pyroId", "_pyroDaemon", "__orig_class__"})
"""Attributes that say where an object lives, or how its generic class was spelled."""


class Strategy(NamedTuple):
    """How the objects of one class become state, and are built from it."""

    take: Callable[[Any], Any]
    build: Callable[[Any], Any]


def full_name(cls: type) -> str:
    """Return the name under which a class travels when it was given no other: module and qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def is_plain(cls: type) -> bool:
    """Return whether all that an object of the class has is in its attributes: no ancestor is written in C."""
    return cls is not object and all(_is_python_class(base) for base in cls.__mro__[:-1])


def _is_python_class(cls: type) -> bool:
    if not cls.__flags__ & _HEAP_TYPE or cls.__flags__ & (_IMMUTABLE_TYPE | _NOT_CALLABLE_TYPE):
        return False
    # A class made in C that could be mistaken for one of Python brings a `__new__` of its own.
    new = vars(cls).get("__new__")
    return new is None or isinstance(getattr(new, "__func__", new), FunctionType)


@lru_cache(1024)
def slots_of(cls: type) -> dict[str, MemberDescriptorType]:
    """Return the descriptors of a class's slots by attribute name."""
    slots: dict[str, MemberDescriptorType] = {}
    for base in reversed(cls.__mro__):
        if _is_python_class(base):
            slots.update({name: item for name, item in vars(base).items() if type(item) is MemberDescriptorType})
    return slots


def attributes_of(value: Any) -> dict[str, Any]:
    """Return an object's attributes, those in slots included, by name."""
    cls: Any = type(value)
    attributes = {name: item for name, item in getattr(value, "__dict__", {}).items() if name not in _NOT_STATE}
    for name, slot in slots_of(cls).items():
        try:
            attributes[name] = slot.__get__(value)
        except AttributeError:  # a slot that is not filled
            continue
    return attributes


def set_attributes(value: Any, attributes: Any) -> None:
    """Set attributes without asking the class. Raises SerializeError for what cannot be an attribute of the object."""
    cls: Any = type(value)  # mypy does not believe that classes can be hashed
    if type(attributes) is not dict or any(type(name) is not str for name in attributes):
        raise SerializeError(f"the state of {full_name(cls)} is no dict of attributes")
    slots = slots_of(cls)
    own = getattr(value, "__dict__", None)
    for name, item in attributes.items():
        if name in _NOT_STATE:
            continue  # whoever wrote the state does not say where the object lives
        if name in slots:
            slots[name].__set__(value, item)
        elif own is None or (name.startswith("__") and name.endswith("__")):
            raise SerializeError(f"an object of class {full_name(cls)} cannot have the attribute {name[:100]!r}")
        else:
            own[name] = item


def state_function(cls: type) -> Callable[[Any], Any]:
    """Return the function that takes the state of a class's objects: its ``__getstate__``, or all attributes."""
    if _defines(cls, "__getstate__"):
        return lambda value: value.__getstate__()
    if _defines(cls, "__setstate__"):
        return object.__getstate__
    return attributes_of


def _defines(cls: type, method: str) -> bool:
    # object has a __getstate__ of its own from Python 3.11 on; it does not count.
    return getattr(cls, method, None) is not getattr(object, method, None)


def strategy_for(cls: type) -> Strategy:
    """Return how the objects of a class travel. Raises ValueError for a class whose state is out of reach."""
    if issubclass(cls, Flag):
        return Strategy(lambda member: member.value, lambda value: cls(_checked(cls, value, int)))
    if issubclass(cls, Enum):
        return Strategy(lambda member: member.name, lambda name: _member(cls, name))
    if is_plain(cls):
        return Strategy(state_function(cls), _builder(cls, cls, lambda: object.__new__(cls)))
    if hasattr(cls, "__struct_fields__"):
        return _struct_strategy(cls)
    for base in _CONTAINERS:
        if issubclass(cls, base) and _solid_base(cls) is base:
            return _container_strategy(cls, base)
    raise ValueError(
        f"the state of class {full_name(cls)} is held by C code and cannot be read; register converters for it with "
        "register_class_to_dict and register_dict_to_class"
    )


def _checked(cls: type, state: Any, kind: type) -> Any:
    if type(state) is not kind:
        raise SerializeError(f"the state of {full_name(cls)} is a {type(state).__name__}, not a {kind.__name__}")
    return state


def _member(cls: type[Enum], name: Any) -> Enum:
    member = cls.__members__.get(_checked(cls, name, str))
    if member is None:
        raise SerializeError(f"{full_name(cls)} has no member {name[:100]!r} in this process")
    return member


def _builder(cls: type, restored: type, new: Callable[[], Any]) -> Callable[[Any], Any]:
    """Return the function that makes an object with ``new`` and gives it a state."""
    if _defines(restored, "__setstate__"):

        def build_with_setstate(state: Any) -> Any:
            value = new()
            if state is not None:
                value.__setstate__(state)
            return value

        return build_with_setstate

    def build(state: Any) -> Any:
        value = new()
        set_attributes(value, state)
        return value

    return build


def _struct_strategy(cls: Any) -> Strategy:
    # msgspec.Struct keeps its fields in C; its constructor, which takes them by name, is the only way in.
    fields = tuple(cls.__struct_fields__)

    def build(state: Any) -> Any:
        return cls(**_checked(cls, state, dict))

    return Strategy(lambda value: {name: getattr(value, name) for name in fields}, build)


_MUTABLE: dict[type, Callable[[Any, Any], Any]] = {
    dict: dict.update,
    list: list.extend,
    set: set.update,
    bytearray: bytearray.extend,
}
_CONTAINERS: tuple[type, ...] = (*_MUTABLE, tuple, frozenset, str, bytes, int, float, complex)


def _solid_base(cls: type) -> type:
    """Return the nearest ancestor that decides the layout of the objects and is not a class of Python."""
    while _is_python_class(cls):
        cls = cls.__base__  # type: ignore[assignment]
    return cls


def _container_strategy(cls: type, base: Any) -> Strategy:
    """For subclasses of builtin types: the state is (what the builtin holds, state of the attributes)."""
    take_attributes, new = state_function(cls), base.__new__
    fields = getattr(cls, "_fields", None) if base is tuple else None

    def take(value: Any) -> Any:
        return base(value), take_attributes(value)

    def build(state: Any) -> Any:
        if type(state) is not tuple or len(state) != 2 or type(state[0]) is not base:
            raise SerializeError(f"the state of {full_name(cls)} is not a {base.__name__} with attributes")
        content, attributes = state
        if fields is not None and len(content) != len(fields):
            raise SerializeError(f"{full_name(cls)} has {len(fields)} fields, its state has {len(content)}")
        fill = _MUTABLE.get(base)
        value: Any = new(cls) if fill else new(cls, content)
        if fill:
            fill(value, content)
        return _builder(cls, cls, lambda: value)(attributes)

    return Strategy(take, build)
