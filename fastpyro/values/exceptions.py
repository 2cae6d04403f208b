"""Exceptions as values: how one is sent, and as what it arrives.

The state of class name "exception" is (class name, args, attributes, traceback lines, notes, fields); fields are what the
builtin exceptions keep in C, such as an OSError's file name. It arrives as its own class when that is a builtin, one of
fastpyro's, or registered here with `register_exception`; otherwise as a RemoteError that tells all of it.
Rule 1: no constructor of a user's class is called, and no module is imported, because a message says so.
Rule 2: what would end the client (SystemExit, KeyboardInterrupt, GeneratorExit) arrives as RemoteError.
Rule 3: `exception_reply` never raises: an error at the server always becomes an error at the client.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from functools import lru_cache

from fastpyro import errors
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple, Protocol
from fastpyro.errors import TEXT, PyroError, RemoteError, SerializeError
from fastpyro.tracebacks import attach_remote_traceback, is_remote_note
from fastpyro.values._exceptions import ErrorBuilder
from fastpyro.values.checked import building, is_inert, is_kind, mapping_of, texts_of, tuple_of
from fastpyro.values.class_registry import (
    TRACEBACK,
    StateOf,
    check_name,
    find_converter,
    register_builtin,
    written_by_user,
)
from fastpyro.values.object_state import attributes_of, full_name, set_attributes

if TYPE_CHECKING:
    from typing import Any, TypeVar, overload

__all__ = [
    "dict_to_exception",
    "exception_reply",
    "exception_to_dict",
    "register_exception",
    "state_to_dict",
    "with_traceback",
]

CLASS_NAME = "exception"
"""The class name under which every exception travels; its own class is in the state."""

if TYPE_CHECKING:
    AnyException = TypeVar("AnyException", bound=type[Exception])

LONGEST_TEXT = 10_000
"""Characters of an original exception's text in the PyroError that replaces it."""

_FIELDS: dict[type[BaseException], tuple[str, ...]] = {
    OSError: ("errno", "strerror", "filename", "filename2"),
    ImportError: ("name", "path"),
    NameError: ("name",),
    AttributeError: ("name",),
    SyntaxError: ("msg", "filename", "lineno", "offset", "text", "end_lineno", "end_offset"),
}
"""What builtin exceptions keep outside of args, and may be set to None, a str, bytes or an int."""

_POSITIONS = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset")
MOST_LINES = 2**31 - 1

_FIELD_TYPES = (type(None), str, bytes, int)


class Dumper(Protocol):
    """What ``exception_reply`` needs of a serializer."""

    @property
    def dumps(self) -> Callable[[Any], bytes]: ...


class _State(NamedTuple):
    class_name: str
    args: tuple[Any, ...]
    attributes: dict[str, Any]
    lines: list[str]
    notes: list[str]
    fields: dict[str, Any]


def _exceptions_in(module: Any, prefix: str) -> dict[str, type[BaseException]]:
    return {
        f"{prefix}.{name}": value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception | BaseExceptionGroup)
    }


_own_classes = {**_exceptions_in(builtins, "builtins"), **_exceptions_in(errors, "fastpyro.errors")}
_builtin_classes = frozenset(value for value in vars(builtins).values() if isinstance(value, type))
_plain_classes = frozenset(cls for cls in _own_classes.values() if not issubclass(cls, RemoteError))
"""Those of which an instance without attributes is its args and fields."""
_classes: dict[str, type[BaseException]] = {}
_names: dict[type[BaseException], str] = {}


if TYPE_CHECKING:

    @overload
    def register_exception(cls: AnyException, name: str | None = None) -> AnyException: ...
    @overload
    def register_exception(cls: None = None, name: str | None = None) -> Callable[[AnyException], AnyException]: ...


def register_exception(cls: Any = None, name: str | None = None) -> Any:
    """Let exceptions of a class arrive as themselves. Both sides register it, under one name.

    Arguments: ``cls``, a subclass of Exception; ``name``, its name on the wire (None: module and qualified name; give one
    when the class is defined in a script, whose module is ``__main__``). Usable as a decorator, with and without
    arguments. Returns the class. Its constructor is not called when an exception arrives: args and attributes are set.
    Raises TypeError for anything but a subclass of Exception, ValueError for a name that is taken.
    """
    if cls is None:
        return lambda decorated: register_exception(decorated, name)
    if not isinstance(cls, type) or not issubclass(cls, Exception):
        raise TypeError(f"register_exception expects a subclass of Exception, not {cls!r}")
    class_name = name or full_name(cls)
    check_name(class_name, cls, _classes.get(class_name), _own_classes)
    _classes[class_name] = cls
    _names[cls] = class_name
    return cls


def _state_of(error: BaseException) -> _State:
    """Take an exception apart. A traceback that it brought from another process stays with it."""
    cls = type(error)
    if cls in _plain_classes and not error.__dict__:
        return _State(_names.get(cls) or full_name(cls), error.args, {}, [], [], _fields_of(error))
    if isinstance(error, RemoteError):  # passes through as what it was
        class_name, attributes = error.class_name, error.attributes
    else:
        class_name = _names.get(type(error)) or full_name(type(error))
        attributes = {**attributes_of(error), **_own_text_of(error)}
    hidden = ("_pyroTraceback", "__notes__", "not_started")  # which is said of the call that it ended
    remote = getattr(error, "_pyroTraceback", None)
    notes = getattr(error, "__notes__", None)
    return _State(
        class_name,
        tuple(error.args),
        {name: value for name, value in attributes.items() if name not in hidden},
        [str(line) for line in remote] if isinstance(remote, list | tuple) else [],
        [str(note) for note in notes if not is_remote_note(note)] if isinstance(notes, list | tuple) else [],
        _fields_of(error),
    )


def _text_of_path(value: Any) -> Any:
    return value.__fspath__() if hasattr(type(value), "__fspath__") else value


def _own_text_of(error: BaseException) -> dict[str, str]:
    """Return the text of an exception whose class has a way of its own to make one: where the class is not known, its args
    would not tell.
    """
    cls: Any = type(error)
    return {TEXT: _text_of(error)} if _has_own_text(cls) else {}


@lru_cache(1024)
def _has_own_text(cls: Any) -> bool:
    owner = next(base for base in cls.__mro__ if "__str__" in vars(base))
    return owner not in _builtin_classes and not issubclass(cls, PyroError)


def _fields_of(error: BaseException) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    cls: Any = type(error)  # mypy does not believe that classes can be hashed
    for name in _fields_of_class(cls):
        value = _text_of_path(getattr(error, name, None))
        if value is not None and type(value) in _FIELD_TYPES:
            fields[name] = value
    return fields


@lru_cache(1024)
def _fields_of_class(cls: Any) -> tuple[str, ...]:
    return tuple(name for base, names in _FIELDS.items() if issubclass(cls, base) for name in names)


def _build(_class_name: str, state: Any) -> BaseException:
    class_name, args, attributes, lines, notes, _fields = state = _checked(state)
    known = _own_classes.get(class_name) or _classes.get(class_name)
    cls = known or _late_class(class_name)
    converter = find_converter(class_name) if cls is None else None
    error: BaseException | None = None
    if converter is not None:
        with building:
            error = converter(class_name, state_to_dict(state))
    elif cls is not None and cls is not RemoteError:
        error = _restored(cls, state)
        if error is not None and known is None and not _has_text(error):
            error = None  # its constructor would have set what its text is made of
    if error is None or not is_kind(error, BaseException):
        error = RemoteError(class_name, args, attributes)
    if notes:
        error.__dict__["__notes__"] = notes
    attach_remote_traceback(error, lines)
    return error


_KINDS = (str, tuple, dict, list, list, dict)


def _checked(state: Any) -> tuple[Any, ...]:
    if type(state) is not tuple or len(state) != len(_KINDS):
        raise SerializeError("a serialized exception is (class name, args, attributes, traceback, notes, fields)")
    right = (*map(type, state),) == _KINDS
    if right and (state[2] or state[3] or state[4] or state[5]):
        right = all(type(text) is str for texts in state[2:] for text in texts)
        right = right and all(type(value) in _FIELD_TYPES for value in state[5].values())
    if not right:
        raise SerializeError("a serialized exception has a field of a wrong type")
    return state


def _late_class(class_name: str) -> type[BaseException] | None:
    """Return an exception class of the standard library whose module somebody here has imported: only then can somebody
    here be waiting for it. Its bases are exceptions only, so that it does nothing beside being one.
    """
    module_name, _, name = class_name.rpartition(".")
    module = sys.modules.get(module_name) if module_name.partition(".")[0] in sys.stdlib_module_names else None
    found = None if module is None else vars(module).get(name)
    if not isinstance(found, type) or not issubclass(found, Exception) or hasattr(found, "__del__"):
        return None
    if full_name(found) != class_name:  # it has been handed on under another name
        return None
    return found if all(base is object or issubclass(base, BaseException) for base in found.__mro__) else None


def _restored(cls: type[BaseException], state: tuple[Any, ...]) -> BaseException | None:
    """Make an exception without the constructor of its class. Returns None when the state does not suit the class."""
    _, args, attributes, _, _, fields = state
    base: Any = cls
    while base not in _builtin_classes:
        base = base.__base__
    if not _are_args_of(base, args):
        return None
    try:
        if base is cls:
            error = base(*args)  # the builtin constructors check what they get
        else:
            error = base.__new__(cls, *args)
            _initialized(base, error, args)
        _set_ordinary(error, "args", args)
        if fields:
            _set_fields(error, fields)
        if attributes:
            set_attributes(error, {name: value for name, value in attributes.items() if name != TEXT})
        if isinstance(error, SyntaxError):
            _bound_positions(error)
    except Exception:
        return None  # a RemoteError tells what it was
    return error


def _bound_positions(error: SyntaxError) -> None:
    """Let positions be within the text that they are of: a traceback shows a mark for each column between two of them."""
    text = error.text if type(error.text) is str else None
    most = len(text or "") + 1
    values = [error.filename, error.lineno, error.offset, text, error.end_lineno, error.end_offset]
    for index, limit in (1, MOST_LINES), (2, most), (4, MOST_LINES), (5, most):
        value = values[index]
        values[index] = value if type(value) is int and -1 <= value <= limit else None
    for name, value in zip(_POSITIONS, values, strict=True):
        _set_ordinary(error, name, value)
    if hasattr(error, "_metadata"):  # source code that is compiled for a hint, from Python 3.14 on
        _set_ordinary(error, "_metadata", None)
    details = error.args[1] if len(error.args) == 2 else ()
    if isinstance(details, tuple | list) and len(details) >= 4:  # what a copy is made of
        _set_ordinary(error, "args", (error.args[0], tuple(values[: 6 if len(details) > 4 else 4])))


def _has_text(error: BaseException) -> bool:
    """Return whether an exception of the standard library can tell what it is."""
    try:
        return isinstance(str(error), str) and isinstance(repr(error), str)
    except Exception:
        return False


_set_ordinary = BaseException.__setattr__
"""The class may have its own, which would run now."""


def _set_fields(error: BaseException, fields: dict[str, Any]) -> None:
    for owner, names in _FIELDS.items():
        if issubclass(type(error), owner):
            for name in names:
                if name in fields:
                    _set_ordinary(error, name, fields[name])


def _are_args_of(base: type[BaseException], args: tuple[Any, ...]) -> bool:
    """Return whether a builtin constructor may be given these: some iterate and convert what they get."""
    if issubclass(base, BaseExceptionGroup):
        if len(args) != 2 or type(args[0]) is not str or type(args[1]) not in (list, tuple):
            return False
        return all(is_kind(member, BaseException) for member in args[1])
    return not issubclass(base, _CURIOUS) or is_inert(args)


_CURIOUS = (OSError, SyntaxError, UnicodeError, ImportError)
"""Builtin exceptions that take their arguments apart; the others keep them as they are."""


def _initialized(base: type[BaseException], error: BaseException, args: tuple[Any, ...]) -> None:
    # Fills what the builtin ancestor keeps in C, with its checks. A user's class need not have args that suit it.
    try:
        base.__init__(error, *args)
    except TypeError:
        if issubclass(base, UnicodeError) and base is not UnicodeError:
            raise


def exception_reply(serializer: Dumper, error: BaseException, lines: list[str]) -> bytes:
    """Encode an exception with its traceback lines. Never raises: what cannot be sent is replaced by a PyroError."""
    try:
        return serializer.dumps(with_traceback(error, lines))
    except Exception as failure:
        text = (
            f"Error serializing exception: {_text_of(failure)}. "
            f"Original exception: {full_name(type(error))}: {_text_of(error)}"
        )
        return serializer.dumps(with_traceback(PyroError(text), lines))


def with_traceback(error: BaseException, lines: list[str]) -> Any:
    """Return a value that is encoded as the exception with these traceback lines; the exception is not changed.

    Raises what an exception that is odd enough raises when it is looked at.
    """
    state = _state_of(error)
    written = written_by_user(error)
    if written is not None:
        class_name, own = written
        if class_name is None or type(own) is not dict:
            raise SerializeError(f"the converter of {full_name(type(error))} made no dict with a __class__ of it")
        return StateOf(class_name, {**own, TRACEBACK: lines or state.lines})
    # Text that was made here shows what came from further away, as a note.
    return StateOf(CLASS_NAME, (*state[:3], lines or state.lines, *state[4:]))


def _text_of(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST_TEXT]
    except Exception as failure:
        return f"<no text: {type(failure).__name__}>"


def exception_to_dict(error: BaseException) -> dict[str, Any]:
    """Return the dict that Pyro's serializers make of an exception."""
    return _as_dict(_state_of(error))


def state_to_dict(state: Any) -> dict[str, Any]:
    """Return the dict that Pyro's serializers make of an exception whose state is ``state``."""
    return _as_dict(_State._make(state))


def _as_dict(state: _State) -> dict[str, Any]:
    attributes = {**state.attributes, **({"_pyroTraceback": state.lines} if state.lines else {})}
    return {"__class__": state.class_name, "__exception__": True, "args": state.args, "attributes": attributes}


def dict_to_exception(class_name: str, data: dict[str, Any]) -> BaseException:
    """Build an exception from the dict that Pyro's serializers make of one. Raises SerializeError."""
    args = tuple_of(data.get("args"), "the args of an exception")
    attributes = dict(mapping_of(data.get("attributes", {}), "the attributes of an exception"))
    lines = attributes.pop(TRACEBACK, data.get(TRACEBACK))
    lines = [] if lines is None else list(texts_of(lines, "the traceback of an exception"))
    return _builder((class_name, args, attributes, lines, [], {}))  # type: ignore[no-any-return]


def _describe(cls: Any) -> tuple[Any, bool, bool, tuple[str, ...]]:
    """Describe a class of exceptions to `ErrorBuilder`: those that need a closer look are left to `_build`."""
    base = cls
    while base not in _builtin_classes:
        base = base.__base__
    fields = tuple(name for owner, names in _FIELDS.items() if issubclass(cls, owner) for name in names)
    is_odd = issubclass(base, BaseExceptionGroup | SyntaxError) or (
        cls not in _builtin_classes and cls not in _names and not issubclass(cls, PyroError) and _tells_itself(cls)
    )
    return base, is_odd, issubclass(base, _CURIOUS), fields


def _tells_itself(cls: type[BaseException]) -> bool:
    return any(
        name in vars(base) for base in cls.__mro__ if base not in _builtin_classes for name in ("__str__", "__repr__")
    )


_builder: Any = ErrorBuilder(
    _own_classes,
    _classes,
    late_class=_late_class,
    converter_of=find_converter,
    describe=_describe,
    otherwise=_build,
)
register_builtin(BaseException, CLASS_NAME, lambda error: tuple(_state_of(error)), _builder)
