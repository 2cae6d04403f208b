"""Which classes may travel, and under which names: objects to (class name, state), and back.

`to_state` and `from_state` are what the native codec calls for every value whose exact type is not built in.
Rule 1: nothing is imported, and no class is looked up anywhere else, because a message names it.
Rule 2: an object of a class that the receiver does not know is refused there, with words. Only an unregistered subclass of
        a builtin type arrives as that type.
Rule 3: replacements (`register_type_replacement`) are looked at first: a registered Pyro object becomes a proxy whatever
        its type is.
Rule 4: `_lock` is held while tables change. Caches by exact type are emptied with every change.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from enum import Enum

from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro._mutex import Mutex
from fastpyro.errors import SerializeError
from fastpyro.tracebacks import attach_remote_traceback
from fastpyro.values._objects import Builder, ClassTable
from fastpyro.values.checked import building, is_kind, texts_of
from fastpyro.values.object_state import Strategy, full_name, is_plain, state_function, takes_attributes

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "TRACEBACK",
    "StateOf",
    "as_dict",
    "build",
    "check_name",
    "check_replaceable",
    "chosen_writer",
    "converted",
    "find_converter",
    "from_state",
    "full_name",
    "has_attributes",
    "has_converters",
    "is_known",
    "is_of_pandas",
    "is_own_name",
    "named",
    "new_cache",
    "register_builtin",
    "register_class_as_pyro",
    "register_class_to_dict",
    "register_decoder",
    "register_dict_to_class",
    "register_later",
    "register_name_as_pyro",
    "register_replacement_as_pyro",
    "register_strategy",
    "register_type_replacement",
    "to_state",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
    "with_replacements",
    "written_by_user",
]

if TYPE_CHECKING:
    ToState = Callable[[Any], Any]
    FromState = Callable[[str, Any], Any]
    Writer = Callable[[Any], tuple[str | None, Any]]

MOST_CACHED = 4096
"""Types whose way is remembered. Programs that make classes as they go must not fill the memory."""

WHY_NO_ITERATOR = (
    "an iterator inside a value, or in a batch, cannot travel. Return it as the whole result of a call of its own to "
    "stream it, or send a list"
)
TRACEBACK = "_pyroTraceback"
"""The key, in the dict that a user's converter wrote of an exception, under which its remote traceback travels."""

LONGEST_NAME = 200
"""Characters of a class name."""

NATIVE_TYPES: frozenset[type] = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, list, tuple, dict, set, frozenset}
    | {datetime, date, time, timedelta}
)
"""Types that the codec writes by itself, never asking here."""


class StateOf(NamedTuple):
    """Written as an object of that class with that state; what a type replacement may return."""

    class_name: str
    state: Any


_lock = Mutex(reentrant=True)
_caches: list[dict[type, Any]] = []
_writers: dict[type, Writer] = {}
_caches.append(_writers)
_builders: dict[str, FromState | Builder] = {}
_own_names: set[str] = set()  # names of fastpyro's own, which users cannot take
_builtins: dict[type, Writer] = {StateOf: lambda written: (written.class_name, written.state)}
_later: dict[str, Writer] = {}  # by full name of the type, for types whose module is not imported before it is needed
_registered: dict[type, Writer] = {}
_classes: dict[str, type] = {}
_replacements: dict[type, Callable[[Any], Any]] = {}
_to_dict: dict[type, Callable[[Any], Any]] = {}
_as_in_pyro: set[type] = set()  # keys of it, by programs of Pyro: each format asks their converters as Pyro's does
_from_dict: dict[str, Callable[[str, dict[str, Any]], Any]] = {}
_has_converters = False


def to_state(value: Any) -> tuple[str | None, Any]:
    """Return ``(class name, state)`` of an object, or ``(None, replacement)`` for a value to encode instead.

    Raises SerializeError for what cannot travel.
    """
    writer = _writers.get(type(value))
    if writer is None:
        writer = _find_writer(type(value))
    return writer(value)


def _convert(class_name: str, state: Any) -> Any:
    """Have a user's converter build an object. Raises SerializeError for a class that is not known here."""
    converter = _from_dict.get(class_name)
    if converter is not None and class_name not in _own_names:  # whose builders come first, but in Pyro's formats
        return converted(converter, class_name, as_dict(class_name, state))
    raise SerializeError(
        f"unsupported serialized class: {class_name[:LONGEST_NAME]!r} is not known to the program that "
        "received it. To send a copy, register the class on both sides with fastpyro.register_class (give name= if it is "
        "defined in a script, whose module is called __main__), or where it is received with "
        "fastpyro.register_dict_to_class. To have its methods called where it is, register the object there with "
        "daemon.register(object)"
    )


from_state = build = ClassTable(_from_dict, _builders, _own_names, _convert)
"""Builds the object of a class name and its state. Raises SerializeError for a class that is not known here."""


def has_attributes(class_name: str) -> bool:
    """Return whether a name is that of a registered class whose objects have a dict of attributes as their state."""
    cls = _classes.get(class_name)
    return cls is not None and takes_attributes(cls)


def is_known(class_name: str) -> bool:
    """Return whether objects of a class name can be built here."""
    return class_name in _from_dict or class_name in _builders


def has_converters() -> bool:
    """Return whether there is a converter, or ever was: while a message is read the answer stays, once it is yes."""
    return _has_converters


def find_converter(class_name: str) -> Callable[[str, dict[str, Any]], Any] | None:
    """Return the converter that ``register_dict_to_class`` put under a name, or None."""
    return _from_dict.get(class_name)


def converted(converter: Callable[[str, dict[str, Any]], Any], class_name: str, data: dict[str, Any]) -> Any:
    """Return what a user's converter makes of a dict. An exception gets the remote traceback that stands beside it."""
    lines = data.get(TRACEBACK)
    if lines is not None:  # it is none of the converter's business
        data = {name: item for name, item in data.items() if name != TRACEBACK}
        texts_of(lines, "the traceback of an exception")
    with building:
        value = converter(class_name, data)
    if lines is not None and is_kind(value, BaseException):
        attach_remote_traceback(value, list(lines))
    return value


def as_dict(class_name: str, state: Any) -> dict[str, Any]:
    """Return the dict that converters see of an object."""
    if type(state) is dict:
        return {**state, "__class__": class_name}
    return {"__class__": class_name, "__state__": state}


def new_cache() -> dict[type, Any]:
    """Return a dict that is emptied whenever something is registered or taken back."""
    cache: dict[type, Any] = {}
    _caches.append(cache)
    return cache


def _forget_writers() -> None:
    for cache in _caches:
        cache.clear()


def with_replacements(cls: type, writer: Writer) -> Writer:
    """Return how the objects of a class are written: as what replaces them, or else with ``writer``."""
    for base in reversed(cls.__mro__):
        replacement = _replacements.get(base)
        if replacement is not None:
            writer = _replacing_writer(replacement, writer)
    return writer


def chosen_writer(cls: type, unasked: bool = False) -> Writer | None:
    """Return how the user wants objects of a class to be written, or None when it was not registered.

    Arguments: ``unasked``, whether Pyro asks no converter about objects of this class: those of its programs are not, then.
    """
    if cls in _registered and cls not in _to_dict:
        return _registered[cls]
    converter = _converter_of(cls, unasked)
    return None if converter is None else _converting_writer(cls, converter)


def _converter_of(cls: type, unasked: bool = False) -> Callable[[Any], Any] | None:
    """Return the user's converter for objects of a class: that of its nearest base, or of an abstract class it counts as."""
    for base in (*cls.__mro__, *(base for base in list(_to_dict) if issubclass(cls, base))):
        converter = _to_dict.get(base)
        if converter is not None and not (unasked and base in _as_in_pyro):
            return converter
    return None


def written_by_user(value: Any) -> tuple[str | None, Any] | None:
    """Return class name and state as a converter of the user's writes a value, or None when there is none for its class."""
    converter = _converter_of(type(value))
    return None if converter is None else _converting_writer(type(value), converter)(value)


def _find_writer(cls: type) -> Writer:
    with _lock.guard():
        writer = with_replacements(cls, _ordinary_writer(cls))
        if len(_writers) >= MOST_CACHED:
            _writers.clear()
        _writers[cls] = writer
    return writer


def _replacing_writer(replacement: Callable[[Any], Any], otherwise: Writer) -> Writer:
    def write(value: Any) -> tuple[str | None, Any]:
        replaced = replacement(value)
        if replaced is value:
            return otherwise(value)
        if type(replaced) is StateOf:
            return replaced
        return None, replaced

    return write


def _ordinary_writer(cls: type) -> Writer:
    chosen = chosen_writer(cls)
    if chosen is not None:
        return chosen
    for base in cls.__mro__:
        if issubclass(cls, Enum):
            continue  # an int or str by inheritance, but it must not arrive as that
        builtin = _builtins.get(base) or _later.get(full_name(base))
        if builtin is not None:
            return builtin
    if is_plain(cls) and not issubclass(cls, Enum) and not is_of_pandas(cls):
        return _plain_writer(cls)
    return _refusing_writer(cls)


def is_of_pandas(cls: type) -> bool:
    """Return whether a class is one of pandas, or derived from one: what is inside is its own business."""
    return any(base.__module__.partition(".")[0] == "pandas" for base in cls.__mro__)


def _converting_writer(cls: type, converter: Callable[[Any], Any]) -> Writer:
    def write(value: Any) -> tuple[str | None, Any]:
        state = converter(value)
        if state is value:
            raise SerializeError(f"the converter of class {full_name(cls)} returned the object itself, expected a dict")
        return named(None, state)

    return write


def is_own_name(class_name: str) -> bool:
    """Return whether a name is that of a class of fastpyro, or of the standard library, which travels by itself."""
    return class_name in _own_names


def named(class_name: str | None, state: Any) -> tuple[str | None, Any]:
    """Take the class name out of a dict that has one."""
    if isinstance(state, dict) and isinstance(state.get("__class__"), str):
        class_name = state["__class__"]
        state = {name: item for name, item in state.items() if name != "__class__"}
    return class_name, state


def _plain_writer(cls: type) -> Writer:
    take, class_name = state_function(cls), full_name(cls)
    return lambda value: named(class_name, take(value))


def _refusing_writer(cls: type) -> Writer:
    if issubclass(cls, type):
        reason = (
            "classes do not travel, only their objects. Send its name, or register the class with a daemon to call it"
        )
    elif issubclass(cls, Enum):
        reason = "register the Enum on both sides with fastpyro.register_class, or send its value"
    elif is_of_pandas(cls):
        reason = (
            "pandas is not known here. Send its columns (frame.to_dict('list'), series.to_numpy()), or register converters "
            "with register_class_to_dict and register_dict_to_class"
        )
    elif hasattr(cls, "__next__"):
        reason = WHY_NO_ITERATOR
    else:
        reason = (
            "it has no state that means anything in another process. Send plain values, register converters with "
            "register_class_to_dict and register_dict_to_class, or register the object with a daemon and send that"
        )

    def refuse(value: Any) -> tuple[str | None, Any]:
        raise SerializeError(f"cannot serialize an object of type {full_name(cls)}: {reason}")

    return refuse


def register_builtin(cls: type, class_name: str | None, to_state: ToState, from_state: FromState | None = None) -> None:
    """Register a class of fastpyro itself, or one of Python's; its subclasses travel like it.

    Arguments: ``to_state(value) -> state``; ``from_state(class name, state) -> value``. Without ``class_name`` what
    ``to_state`` returns is sent instead of the object.
    """
    with _lock.guard():
        _builtins[cls] = lambda value: (class_name, to_state(value))
        if class_name is not None and from_state is not None:
            register_decoder(class_name, from_state)
        _forget_writers()


def register_decoder(class_name: str, from_state: FromState) -> None:
    """Register how objects of a name of fastpyro's own are built: ``from_state(class name, state) -> value``."""
    with _lock.guard():
        _own_names.add(class_name)
        _builders[class_name] = from_state


def register_later(type_name: str, class_name: str | None, to_state: ToState) -> None:
    """Register, by module and name, a type whose module may not be imported yet; its subclasses travel like it."""
    with _lock.guard():
        _later[type_name] = lambda value: (class_name, to_state(value))
        _forget_writers()


def register_strategy(cls: type, class_name: str, strategy: Strategy) -> None:
    """Register how objects of a user's class are taken apart and built. Raises ValueError for a name that is taken."""
    with _lock.guard():
        check_name(class_name, cls, _classes.get(class_name), _own_names)
        _classes[class_name] = cls
        _registered[cls] = lambda value: (class_name, strategy.take(value))
        build: Any = strategy.build
        _builders[class_name] = build if isinstance(build, Builder) else lambda _, state: build(state)
        _forget_writers()


def check_name(class_name: Any, cls: type, holder: type | None, own_names: Any) -> None:
    """Raise ValueError for a name that cannot be given to a class. A class that was defined anew takes its name over."""
    if not isinstance(class_name, str) or not 0 < len(class_name) <= LONGEST_NAME:
        raise ValueError(f"the name of a class is a str of 1 to {LONGEST_NAME} characters, not {class_name!r}")
    if class_name in own_names:
        raise ValueError(f"{class_name!r} is a name of fastpyro's own")
    if holder is not None and full_name(holder) != full_name(cls):
        raise ValueError(f"{class_name!r} is the name of {full_name(holder)} already; give {full_name(cls)} another")


def check_replaceable(cls: Any) -> None:
    """Raise ValueError for what is no class, or is one whose objects are never looked up here."""
    if not isinstance(cls, type) or cls is type or cls is object:
        raise ValueError(f"expected a class whose objects travel, not {cls!r}")
    if cls in NATIVE_TYPES:
        raise ValueError(f"{cls.__qualname__} is written as it is and cannot be replaced; a subclass of it can")


def register_class_to_dict(clazz: type, converter: Callable[[Any], Any], serpent_too: bool = True) -> None:
    """Register how objects of a class, and of its subclasses, become a dict.

    Arguments: ``converter(object) -> dict``; the dict's "__class__" names the class for the receiver, and without it a plain
    dict arrives. ``serpent_too`` is there for Pyro's sake. Raises ValueError for what is no class, or a builtin type.
    """
    check_replaceable(clazz)
    with _lock.guard():
        _to_dict[clazz] = converter
        _as_in_pyro.discard(clazz)
        _forget_writers()


def register_class_as_pyro(clazz: type, converter: Callable[[Any], Any], serpent_too: bool = True) -> None:
    """Register how objects of a class become a dict, as Pyro takes it: any class, also one that formats never ask about."""
    if not isinstance(clazz, type):
        raise TypeError(f"expected a class, not {clazz!r}")
    with _lock.guard():
        _to_dict[clazz] = converter
        _as_in_pyro.add(clazz)
        _forget_writers()


def unregister_class_to_dict(clazz: type) -> None:
    """Undo ``register_class_to_dict``; a class that is not registered is no error."""
    with _lock.guard():
        _to_dict.pop(clazz, None)
        _forget_writers()


def register_dict_to_class(classname: str, converter: Callable[[str, dict[str, Any]], Any]) -> None:
    """Register how objects of a class name are built: ``converter(class name, dict) -> object``.

    The dict has the object's attributes and "__class__"; a state that is no dict is in "__state__".
    Raises ValueError for what cannot be a class name.
    """
    check_name(classname, object, None, _own_names)
    register_name_as_pyro(classname, converter)


def register_name_as_pyro(classname: Any, converter: Callable[[str, dict[str, Any]], Any]) -> None:
    """Register how objects of a class name are built, as Pyro takes it: any name, also one of ours or one that is no text.

    A name of ours counts in Pyro's formats only; what is no text never arrives.
    """
    global _has_converters
    with _lock.guard():
        _has_converters = True
        _from_dict[classname] = converter


def unregister_dict_to_class(classname: str) -> None:
    """Undo ``register_dict_to_class``; a name that is not registered is no error."""
    with _lock.guard():
        _from_dict.pop(classname, None)


def register_type_replacement(object_type: type, replacement_function: Callable[[Any], Any]) -> None:
    """Register what is sent for objects of a class, and of its subclasses: what the function returns for one.

    The function may return the object itself, which is sent as if there were no replacement.
    Raises ValueError for what is no class, and for ``type``, ``object`` and the types that the codec writes by itself.
    """
    check_replaceable(object_type)
    register_replacement_as_pyro(object_type, replacement_function)


def register_replacement_as_pyro(object_type: type, replacement_function: Callable[[Any], Any]) -> None:
    """Register what is sent for objects of a class, as Pyro takes it: of any class but ``type``."""
    if object_type is type or not isinstance(object_type, type):
        raise ValueError("refusing to register replacement for a non-type or the type 'type' itself")
    with _lock.guard():
        _replacements[object_type] = replacement_function
        _forget_writers()
