"""What an object of a registered class consists of, and how it is built again without calling its constructor.

A *strategy* for a class is a pair of functions: object → state, and state → object. The state is made of values that
the codec knows. Nothing here knows names of classes on the wire; `class_registry` does.
Rule 1: building calls neither ``__init__`` nor a ``__setattr__`` of the class; only its own ``__setstate__``.
Rule 2: a state may come from anybody: its shape is checked before anything is built from it.
Rule 3: data never stands in for behaviour: a state gives the fields that a class declares, all of them and no others, or,
        where none are declared, attributes that are no methods of the class.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, Flag
from functools import lru_cache
from types import FunctionType, MemberDescriptorType

from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.errors import SerializeError
from fastpyro.values._objects import Attributes, ContainerBuilder, MemberBuilder, ObjectBuilder
from fastpyro.values.checked import building, cut, mapping_of, tuple_of, wrong
from fastpyro.values.declared_fields import OPTIONAL, REQUIRED, declared_fields, is_generated
from fastpyro.values.raw_content import RAW, content_of

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Strategy",
    "attributes_of",
    "attributes_of_class",
    "defines",
    "full_name",
    "is_plain",
    "set_attributes",
    "state_function",
    "strategy_for",
    "takes_attributes",
]

_HEAP_TYPE, _IMMUTABLE_TYPE, _NOT_CALLABLE_TYPE = 1 << 9, 1 << 8, 1 << 7
"""Bits of ``type.__flags__`` (Py_TPFLAGS_HEAPTYPE, _IMMUTABLETYPE, _DISALLOW_INSTANTIATION)."""

_MARKS = frozenset({"_pyroExposed", "_pyroOneway", "_pyroCallback", "_pyroInstancing"})
_NOT_STATE = frozenset({"_pyroId", "_pyroDaemon", "__orig_class__"}) | _MARKS
"""Attributes that say where an object lives, how its generic class was spelled, or (`exposure`) what clients may call."""


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


class _Names(NamedTuple):
    """Names that an attribute of an object cannot have: of methods, and of what is computed once and kept."""

    methods: frozenset[str]
    computed: frozenset[str]


@lru_cache(1024)
def _taken_names(cls: type) -> _Names:
    methods: set[str] = set()
    computed: set[str] = set()
    for base in reversed(cls.__mro__):
        for name, item in vars(base).items():
            kind: type = type(item)
            methods.discard(name)
            computed.discard(name)
            if isinstance(item, type):
                methods.add(name)
            elif hasattr(kind, "__get__") and not hasattr(kind, "__set__") and not hasattr(kind, "__delete__"):
                # What has a __set__ comes before an attribute; all other descriptors would be replaced by one.
                is_method = kind.__module__ in ("builtins", "functools") and kind.__name__ != "cached_property"
                (methods if is_method or callable(item) else computed).add(name)
    return _Names(frozenset(methods), frozenset(computed))


def attributes_of(value: Any) -> dict[str, Any]:
    """Return an object's attributes, those in slots included, by name; without what is computed when it is needed."""
    cls: Any = type(value)
    computed = _taken_names(cls).computed
    attributes = {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in _NOT_STATE and name not in computed
    }
    for name, slot in slots_of(cls).items():
        try:
            attributes[name] = slot.__get__(value)
        except AttributeError:  # a slot that is not filled
            continue
    return attributes


def set_attributes(value: Any, attributes: Any) -> None:
    """Set attributes without asking the class. Raises SerializeError for what cannot be an attribute of the object."""
    cls: Any = type(value)
    attributes_of_class(cls)(value, attributes)


@lru_cache(1024)
def attributes_of_class(cls: type) -> Attributes:
    """Return what gives any attributes to the objects of a class."""
    return Attributes(lambda: _described(cls), _set_carefully)


def _described(cls: type) -> tuple[bool, dict[str, Any], frozenset[str], frozenset[str]]:
    """Describe a class to `Attributes`."""
    slots, names, has_dict = slots_of(cls), _taken_names(cls), cls.__dictoffset__ != 0
    for name in _NOT_STATE & slots.keys():
        slots = {other: slot for other, slot in slots.items() if other != name}
    computed = frozenset(names.computed - slots.keys()) if has_dict else frozenset[str]()
    return has_dict, slots, names.methods, computed | _NOT_STATE


def _set_carefully(value: Any, attributes: Any) -> None:
    """Set attributes as ``set_attributes`` does, or say what is wrong with them."""
    cls: Any = type(value)  # mypy does not believe that classes can be hashed
    slots, taken = slots_of(cls), _taken_names(cls)
    own = getattr(value, "__dict__", None)
    for name, item in _named(cls, attributes).items():
        if name in _NOT_STATE:
            continue  # whoever wrote the state does not say where the object lives
        if name in slots:
            slots[name].__set__(value, item)
        elif own is None or (name.startswith("__") and name.endswith("__")) or name in taken.methods:
            raise _no_attribute(cls, name)
        elif name not in taken.computed:
            own[name] = item


def _named(cls: type, state: Any) -> dict[str, Any]:
    """Return a state that is a dict whose keys are str. Quickly: a message may hold a million objects."""
    if type(state) is dict:
        for name in state:
            if type(name) is not str:
                break
        else:
            return state
    return mapping_of(state, f"the state of {full_name(cls)}")  # which says what is wrong


def _no_attribute(cls: type, name: str) -> SerializeError:
    return SerializeError(f"an object of class {full_name(cls)} cannot have the attribute {cut(name)}")


def _check_attributes(value: Any) -> None:
    """Refuse an object whose ``__setstate__`` has taken attributes in place of methods."""
    cls: Any = type(value)
    own = getattr(value, "__dict__", None)
    taken = _taken_names(cls).methods
    if own is not None and not taken.isdisjoint(own):
        raise _no_attribute(cls, next(name for name in own if name in taken))


def state_function(cls: type) -> Callable[[Any], Any]:
    """Return the function that takes the state of a class's objects: its ``__getstate__``, or all attributes."""
    if defines(cls, "__getstate__"):
        return lambda value: value.__getstate__()
    if defines(cls, "__setstate__"):
        return object.__getstate__
    fields = declared_fields(cls)
    if fields is not None and slots_of(cls):  # there is more in slots than what is declared
        return lambda value: {name: item for name, item in attributes_of(value).items() if name in fields}
    return attributes_of


def defines(cls: type, method: str) -> bool:
    """Return whether a class has a ``__getstate__`` or ``__setstate__`` that somebody wrote for it."""
    # object has a __getstate__ of its own from Python 3.11 on; it does not count, nor does what a decorator made.
    found = getattr(cls, method, None)
    return found is not getattr(object, method, None) and not is_generated(found)


@lru_cache(1024)
def takes_attributes(cls: Any) -> bool:
    """Return whether the state of a class's objects is a dict of attributes, and nothing else that the class has chosen."""
    if hasattr(cls, "__struct_fields__"):
        return True
    return (
        is_plain(cls)
        and not issubclass(cls, Enum)
        and not defines(cls, "__getstate__")
        and not defines(cls, "__setstate__")
    )


def strategy_for(cls: type) -> Strategy:
    """Return how the objects of a class travel. Raises ValueError for a class whose state is out of reach."""
    if issubclass(cls, Flag):
        known: dict[Any, Any] = cls._value2member_map_
        return Strategy(lambda member: member.value, MemberBuilder(known, int, lambda value: _flags(cls, value)))
    if issubclass(cls, Enum):
        members = dict(cls.__members__)
        return Strategy(lambda member: member.name, MemberBuilder(members, str, lambda name: _member(cls, name)))
    if is_plain(cls):
        if defines(cls, "__setstate__"):
            return Strategy(state_function(cls), _builder(cls))
        return Strategy(state_function(cls), ObjectBuilder(cls, _attributes_for(cls)))
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
        raise wrong(state, f"the state of {full_name(cls)}", f"of type {kind.__name__}")
    return state


def _member(cls: type[Enum], name: Any) -> Enum:
    member = cls.__members__.get(_checked(cls, name, str))
    if member is None:
        raise SerializeError(f"{full_name(cls)} has no member {cut(name)} in this process")
    return member


MOST_COMBINATIONS = 10_000
"""Combinations of one class's flags that messages may bring to life: Python keeps each as long as the process lives."""


def _flags(cls: Any, value: Any) -> Any:
    known = cls._value2member_map_
    member = known.get(_checked(cls, value, int))
    if member is not None:
        return member
    if value < 0 or value & ~cls._flag_mask_:
        raise SerializeError(f"the flags of {full_name(cls)} have bits that it has no names for in this process")
    kept = len(known) < MOST_COMBINATIONS
    if not kept and not issubclass(cls, int):  # which are compared by identity
        raise SerializeError(
            f"more than {MOST_COMBINATIONS:,} combinations of the flags of {full_name(cls)} have arrived"
        )
    member = cls(value)
    if not kept:
        known.pop(value, None)
    return member


def _builder(cls: Any) -> Callable[[Any], Any]:
    """Return the function that makes an object and calls its ``__setstate__``."""

    def build(state: Any) -> Any:
        value = object.__new__(cls)
        _restore(value, state)
        return value

    return build


def _restore(value: Any, state: Any) -> None:
    """Have an object take its state by its own ``__setstate__``."""
    if type(state) not in _STATES:
        raise wrong(state, f"the state of {full_name(type(value))}", "a plain value")
    if state is not None:
        with building:
            value.__setstate__(state)
        _check_attributes(value)


def _attributes_for(cls: type) -> Attributes:
    """Return what gives the objects of a class their declared fields, or any attributes where none are declared."""
    fields = declared_fields(cls)
    merge = _merged if defines(cls, "__getstate__") else None
    if fields is None:
        return (
            attributes_of_class(cls)
            if merge is None
            else Attributes(lambda: _described(cls), _set_carefully, merge=merge)
        )
    return Attributes(
        lambda: _described(cls),
        lambda value, state: _set_fields(value, state, fields),
        fields,
        REQUIRED,
        OPTIONAL,
        merge=merge,
    )


def _merged(state: Any) -> Any:
    """Return as one dict what a ``__getstate__`` may give: None, or attributes and those in slots, as pickle has them."""
    if state is None:
        return {}
    kind = type(state)
    if (
        (kind is tuple or kind is list)
        and len(state) == 2
        and all(item is None or type(item) is dict for item in state)
    ):
        return {**(state[0] or {}), **(state[1] or {})}
    return state


_STATES = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset})
"""Types of the states that a ``__setstate__`` may be given: it will take them apart, which must not run anything else."""


def _set_fields(value: Any, state: Any, fields: dict[str, Any]) -> None:
    """Fill the declared fields of an object, all of them. Raises SerializeError for others, or missing ones."""
    cls: Any = type(value)
    if (type(state) is list or type(state) is tuple) and len(state) == len(fields):
        state = dict(zip(fields, state, strict=True))  # what a dataclass with slots that is frozen gives by itself
    state, slots = _named(cls, state), slots_of(cls)
    own = getattr(value, "__dict__", None)
    for name in state:
        if name not in fields and name not in _NOT_STATE and name not in _taken_names(cls).computed:
            raise SerializeError(
                f"{full_name(cls)} declares no field {cut(name)} in this process: only its fields travel. Declare it, or "
                "write a __getstate__ and a __setstate__"
            )
    for name, default in fields.items():
        if name in state:
            item = state[name]
        elif default is REQUIRED:
            raise SerializeError(f"the state of {full_name(cls)} lacks the field {name!r}")
        elif default is OPTIONAL:
            continue
        else:
            item = default()
        if name in slots:
            slots[name].__set__(value, item)
        elif own is not None:
            own[name] = item


def _struct_strategy(cls: Any) -> Strategy:
    # msgspec.Struct keeps its fields in C; its constructor, which takes them by name, is the only way in.
    fields = tuple(cls.__struct_fields__)

    def build(state: Any) -> Any:
        state = mapping_of(state, f"the state of {full_name(cls)}")
        for name in state:
            if name not in fields:
                raise _no_attribute(cls, name)
        with building:
            return cls(**state)  # which misses fields that are not there

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
    take_attributes = state_function(cls)
    named = getattr(cls, "_fields", None) if base is tuple else None
    size = -1 if named is None else len(named)

    raw = RAW[base]

    def take(value: Any) -> Any:
        return raw(value), take_attributes(value)

    def checked(state: Any) -> tuple[Any, Any]:
        content, attributes = tuple_of(state, f"the state of {full_name(cls)}", 2)
        content = content_of(base, content, f"what {full_name(cls)} holds")
        if size >= 0 and len(content) != size:
            raise SerializeError(f"{full_name(cls)} has {size} fields, its state has {len(content)}")
        return content, attributes

    attributes = _restore if defines(cls, "__setstate__") else _attributes_for(cls)
    return Strategy(take, ContainerBuilder(cls, base, _MUTABLE.get(base), size, attributes, checked))
