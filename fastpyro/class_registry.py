"""Which classes may travel, and how: objects to (class name, state), and back.

`to_state` and `from_state` are what the native codec calls for every value whose exact type is not built in.
Rule 1: nothing is imported, and no class is looked up anywhere else, because a message names it.
Rule 2: an object of a class that the receiver does not know is refused there, with words; it never arrives as
        something else.
Rule 3: replacements (`register_type_replacement`) are looked at first: a registered Pyro object becomes a proxy whatever
        its type is.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, overload

from fastpyro.errors import SerializeError

__all__ = [
    "SerializerBase",
    "StateOf",
    "build",
    "from_state",
    "register_builtin",
    "register_class",
    "register_class_to_dict",
    "register_dict_to_class",
    "register_type_replacement",
    "to_state",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
]

AnyClass = TypeVar("AnyClass", bound=type)
ToState = Callable[[Any], Any]
FromState = Callable[[str, Any], Any]


class StateOf(NamedTuple):
    """What a type replacement returns to have this state of that class written instead of an object."""

    class_name: str
    state: Any


_encoders: dict[type, tuple[str, ToState]] = {}
_decoders: dict[str, FromState] = {}
_replacements: dict[type, Callable[[Any], Any]] = {}
_dict_encoders: dict[type, Callable[[Any], dict[str, Any]]] = {}
_dict_decoders: dict[str, Callable[[str, dict[str, Any]], Any]] = {}
_late_encoders: dict[str, Callable[[type], tuple[str, ToState] | None]] = {}
"""Top-level module → finder of an encoder for one of its classes; for types whose module is not imported before use."""

_STATELESS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.CodeType)
_FALLBACKS: tuple[tuple[type, type], ...] = ((dict, dict), (list, list), (tuple, tuple), (set, set), (str, str), (int, int), (float, float), (bytes, bytes))  # fmt: skip


def full_name(cls: type) -> str:
    """Return the name under which a class travels: module and qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"


# ---- the codec's two functions ------------------------------------------------------------------------------------------


def to_state(value: Any) -> tuple[str | None, Any]:
    """Return ``(class name, state)`` of an object, or ``(None, replacement)`` for a value to encode instead.

    Raises SerializeError for what cannot travel.
    """
    kind = type(value)
    if _replacements:
        for cls in kind.__mro__:
            replacement = _replacements.get(cls)
            if replacement is not None:
                replaced = replacement(value)
                if type(replaced) is StateOf:
                    return replaced
                if replaced is not value:
                    return None, replaced
                break
    encoder = _encoders.get(kind) or _find_encoder(kind)
    if encoder is not None:
        return encoder[0], encoder[1](value)
    for cls in kind.__mro__:
        converter = _dict_encoders.get(cls)
        if converter is not None:
            return _dict_state(kind, converter(value))
    return _default_state(value, kind)


def _find_encoder(kind: type) -> tuple[str, ToState] | None:
    finder = _late_encoders.get(kind.__module__.partition(".")[0])
    if finder is not None:
        found = finder(kind)
        if found is not None:
            _encoders[kind] = found
            return found
    for cls in kind.__mro__[1:]:
        if cls in _encoders and cls in _INHERITED:
            return _encoders[cls]
    return None


_INHERITED: set[type] = set()
"""Classes whose encoder serves their subclasses, too."""


def _dict_state(kind: type, state: Any) -> tuple[str, Any]:
    if not isinstance(state, dict):
        raise SerializeError(f"the converter of {full_name(kind)} returned a {type(state).__name__}, not a dict")
    return str(state.get("__class__", full_name(kind))), state


def _default_state(value: Any, kind: type) -> tuple[str | None, Any]:
    if _is_enum(value):
        raise _refusal(kind, "an enum member must arrive as what it is")
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return None, tuple(value)
    for base, plain in _FALLBACKS:
        if isinstance(value, base):
            return None, plain(value)
    if isinstance(value, range | type({}.keys()) | type({}.values()) | type({}.items())) or _is_deque(kind):
        return None, list(value)
    if isinstance(value, _STATELESS) or isinstance(value, Iterator) or not hasattr(value, "__dict__"):
        raise _refusal(kind, "it has no state that could be sent")
    if kind.__module__ in _UNSENDABLE_MODULES:
        raise _refusal(kind, "it means something in this process only")
    return full_name(kind), {"__class__": full_name(kind), **_own_state(value)}


_UNSENDABLE_MODULES = frozenset(
    {"threading", "_thread", "socket", "ssl", "_io", "io", "subprocess", "asyncio", "multiprocessing", "queue", "select"}
)


def _is_enum(value: Any) -> bool:
    return any(cls.__module__ == "enum" for cls in type(value).__mro__)


def _is_deque(kind: type) -> bool:
    return kind.__module__ == "collections" and kind.__name__ == "deque"


def _refusal(kind: type, reason: str) -> SerializeError:
    return SerializeError(
        f"cannot serialize an object of type {full_name(kind)}: {reason}. Send plain values, or register the class on both "
        f"sides with fastpyro.register_class (or register_class_to_dict and register_dict_to_class)"
    )


def _own_state(value: Any) -> dict[str, Any]:
    get_state = getattr(type(value), "__getstate__", None)
    if get_state is not None and get_state is not getattr(object, "__getstate__", None):
        state = value.__getstate__()
        if isinstance(state, dict):
            return state
    return dict(vars(value))


def from_state(class_name: str, state: Any) -> Any:
    """Build the object of a class name and its state. Raises SerializeError for a class that is not known here."""
    decoder = _decoders.get(class_name)
    if decoder is not None:
        return decoder(class_name, state)
    converter = _dict_decoders.get(class_name)
    if converter is not None:
        if not isinstance(state, dict):
            raise SerializeError(f"the state of {class_name} is a {type(state).__name__}, its converter takes a dict")
        return converter(class_name, state)
    raise SerializeError(
        f"unsupported serialized class: {class_name[:200]}. Register it in this process with fastpyro.register_class or "
        "register_dict_to_class (under the name the sender uses, which is __main__.… for a class of a script)"
    )


build = from_state


# ---- registration -------------------------------------------------------------------------------------------------------


def register_builtin(
    cls: type, class_name: str, to_state: ToState, from_state: FromState, *, inherited: bool = False
) -> None:
    """Register a class of fastpyro itself; with ``inherited`` its subclasses travel like it."""
    _encoders[cls] = (class_name, to_state)
    _decoders[class_name] = from_state
    if inherited:
        _INHERITED.add(cls)


def register_decoder(class_name: str, from_state: FromState) -> None:
    """Register how a class name that needs no class of ours is built."""
    _decoders[class_name] = from_state


def register_late_encoder(module: str, finder: Callable[[type], tuple[str, ToState] | None]) -> None:
    """Register who finds the encoder of a class by the top-level module that defines it."""
    _late_encoders[module] = finder


@overload
def register_class(cls: AnyClass, name: str | None = None) -> AnyClass: ...
@overload
def register_class(cls: None = None, name: str | None = None) -> Callable[[AnyClass], AnyClass]: ...
def register_class(cls: Any = None, name: str | None = None) -> Any:
    """Let the objects of a class travel, and arrive as they left. Both sides register it, under one name.

    Arguments: ``cls``, a dataclass, attrs class, namedtuple, Enum, or any class whose state is in its attributes (or in
    its ``__getstate__``/``__setstate__``); ``name``, the name on the wire (None: module and class name; give one when
    the class is defined in a script, where its module is ``__main__``). Usable as a decorator. Returns the class.
    ``__init__`` is not called when an object arrives.
    """
    if cls is None:
        return lambda decorated: register_class(decorated, name)
    if not isinstance(cls, type):
        raise TypeError(f"register_class expects a class, not {cls!r}")
    class_name = name or full_name(cls)
    get, make = _converters(cls)
    _encoders[cls] = (class_name, get)
    _decoders[class_name] = make
    return cls


def _converters(cls: type) -> tuple[ToState, FromState]:
    if any(base.__module__ == "enum" for base in cls.__mro__):
        return (lambda member: member.value), (lambda _, value: cls(value))
    if issubclass(cls, tuple):
        return tuple, lambda _, state: tuple.__new__(cls, _checked(state, tuple, cls))
    if hasattr(cls, "__setstate__"):
        return (lambda value: value.__getstate__()), lambda _, state: _restored(cls, state)
    return _attributes, lambda _, state: _filled(cls, _checked(state, dict, cls))


def _checked(state: Any, kind: type, cls: type) -> Any:
    if type(state) is not kind:
        raise SerializeError(f"the state of {full_name(cls)} is a {type(state).__name__}, expected a {kind.__name__}")
    return state


def _restored(cls: type, state: Any) -> Any:
    value = cls.__new__(cls)
    value.__setstate__(state)
    return value


def _attributes(value: Any) -> dict[str, Any]:
    attributes = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                attributes[name] = getattr(value, name)
    return attributes


def _filled(cls: type, attributes: Mapping[str, Any]) -> Any:
    value = cls.__new__(cls)
    for name, item in attributes.items():
        if not isinstance(name, str) or (name.startswith("__") and name.endswith("__")):
            raise SerializeError(f"the state of {full_name(cls)} sets the attribute {name!r}, which is refused")
        object.__setattr__(value, name, item)  # frozen dataclasses refuse the ordinary way
    return value


def register_class_to_dict(
    clazz: type, converter: Callable[[Any], dict[str, Any]], serpent_too: bool = True
) -> None:
    """Register how objects of a class become a dict, whose "__class__" names the class for the receiver."""
    if not isinstance(clazz, type):
        raise TypeError(f"register_class_to_dict expects a class, not {clazz!r}")
    _dict_encoders[clazz] = converter


def unregister_class_to_dict(clazz: type) -> None:
    """Undo ``register_class_to_dict``; a class that is not registered is no error."""
    _dict_encoders.pop(clazz, None)


def register_dict_to_class(classname: str, converter: Callable[[str, dict[str, Any]], Any]) -> None:
    """Register how a dict of that class name becomes an object: ``converter(class name, dict)``."""
    if not isinstance(classname, str):
        raise TypeError(f"register_dict_to_class expects a class name, not {classname!r}")
    _dict_decoders[classname] = converter


def unregister_dict_to_class(classname: str) -> None:
    """Undo ``register_dict_to_class``; a name that is not registered is no error."""
    _dict_decoders.pop(classname, None)


def register_type_replacement(object_type: type, replacement_function: Callable[[Any], Any]) -> None:
    """Register what is sent for objects of a type (and of its subclasses): what the function returns for one.

    Raises ValueError when ``object_type`` is no class, or is ``type`` itself.
    """
    if object_type is type or not isinstance(object_type, type):
        raise ValueError(f"a replacement is for the objects of a class, not for {object_type!r}")
    _replacements[object_type] = replacement_function


class SerializerBase:
    """Pyro's home of the registration functions."""

    register_class_to_dict = staticmethod(register_class_to_dict)
    unregister_class_to_dict = staticmethod(unregister_class_to_dict)
    register_dict_to_class = staticmethod(register_dict_to_class)
    unregister_dict_to_class = staticmethod(unregister_dict_to_class)
    register_type_replacement = staticmethod(register_type_replacement)

    @staticmethod
    def class_to_dict(obj: Any) -> dict[str, Any]:
        """Return the dict that an object would be sent as; its "__class__" names the class."""
        name, state = to_state(obj)
        return state if isinstance(state, dict) and "__class__" in state else {"__class__": name, "state": state}

    @staticmethod
    def dict_to_class(data: dict[str, Any]) -> Any:
        """Build an object from a dict whose "__class__" names its class."""
        class_name = data["__class__"]
        if class_name in _decoders:
            return from_state(class_name, data.get("state", data))
        return from_state(class_name, data)
