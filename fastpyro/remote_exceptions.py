"""Exceptions as values: how one is sent, and as what it arrives.

Its state is (class name, args, attributes, traceback lines, notes). It arrives as its own class when that is a builtin,
one of fastpyro's, or registered here with `register_exception`; otherwise as a RemoteError that tells all of it.
No constructor is called: an exception is made with ``__new__`` and given its args and attributes, so that classes with
constructors of their own arrive as they left.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fastpyro import class_registry, errors
from fastpyro.errors import PyroError, RemoteError, SerializeError

__all__ = ["exception_reply", "register_exception", "with_traceback"]

CLASS_NAME = "exception"
"""The class name under which every exception travels; its own class is in the state."""

AnyException = TypeVar("AnyException", bound=type[BaseException])

_NEVER_RAISED = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Builtins that would end the client instead of telling it something; they arrive as RemoteError."""

_HIDDEN = frozenset({"_pyroTraceback", "__notes__"})


class Encoder(Protocol):
    """What a serializer needs to have for ``exception_reply``."""

    def dumps(self, value: Any) -> bytes: ...


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException) and not issubclass(value, _NEVER_RAISED)


_classes: dict[str, type[BaseException]] = {
    f"builtins.{name}": value for name, value in vars(builtins).items() if _is_exception(value)
}
_classes.update({f"fastpyro.errors.{name}": value for name, value in vars(errors).items() if _is_exception(value)})
_names: dict[type[BaseException], str] = {}
_LATE_MODULES = {"sqlite3": "sqlite3", "struct": "struct", "decimal": "decimal", "json.decoder": "json"}
"""Standard modules whose exceptions arrive as themselves once somebody here has imported the module."""


def register_exception(cls: AnyException, name: str | None = None) -> AnyException:
    """Let exceptions of a class arrive as themselves. Both sides register it, under one name; usable as a decorator.

    Arguments: ``cls``, an exception class; ``name``, its name on the wire (None: module and class name; give one when the
    class is defined in a script, where its module is ``__main__``). Returns the class.
    """
    if not isinstance(cls, type) or not issubclass(cls, BaseException):
        raise TypeError(f"register_exception expects an exception class, not {cls!r}")
    class_name = name or class_registry.full_name(cls)
    _classes[class_name] = cls
    _names[cls] = class_name
    return cls


def _state_of(error: BaseException) -> tuple[Any, ...]:
    if type(error) is RemoteError:  # passes through as what it was
        name, attributes = error.class_name, error.attributes
    else:
        name = _names.get(type(error)) or class_registry.full_name(type(error))
        attributes = {key: value for key, value in vars(error).items() if key not in _HIDDEN}
    trace = getattr(error, "_pyroTraceback", None)
    lines = [trace] if isinstance(trace, str) else [str(line) for line in trace or ()]
    # An OSError keeps its file names out of args.
    args = error.__reduce__()[1] if type(error).__module__ == "builtins" and isinstance(error, OSError) else error.args
    return name, args, attributes, lines, [str(note) for note in getattr(error, "__notes__", ())]


def _build(_class_name: str, state: Any) -> BaseException:
    name, args, attributes, trace, notes = _checked(state)
    error: BaseException | None = None
    cls = _classes.get(name) or _late_class(name)
    if cls is not None:
        error = _restored(cls, args, attributes)
    if error is None:
        error = RemoteError(name, args, attributes)
    error._pyroTraceback = list(trace)  # type: ignore[attr-defined]
    for note in notes:
        error.add_note(note)
    return error


def _checked(state: Any) -> tuple[str, tuple[Any, ...], dict[str, Any], list[str], list[str]]:
    if type(state) is not tuple or len(state) != 5:
        raise SerializeError("a serialized exception is (class name, args, attributes, traceback, notes)")
    name, args, attributes, trace, notes = state
    right = type(name) is str and type(args) is tuple and type(attributes) is dict
    right = right and all(type(lines) is list and all(type(line) is str for line in lines) for lines in (trace, notes))
    if not right or not all(type(key) is str for key in attributes):
        raise SerializeError("a serialized exception has a field of a wrong type")
    return name, args, attributes, trace, notes


def _late_class(name: str) -> type[BaseException] | None:
    import sys

    module_name, _, class_name = name.rpartition(".")
    module = sys.modules.get(_LATE_MODULES.get(module_name, ""))
    found = None if module is None else vars(module).get(class_name)
    return found if _is_exception(found) else None


def _restored(cls: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException | None:
    # Builtin constructors check their args (UnicodeDecodeError, ExceptionGroup) or split them (OSError): let them.
    # A class that is not a builtin is never constructed.
    try:
        if cls.__module__ == "builtins":
            error = cls(*args)
        else:
            error = cls.__new__(cls, *args)
            error.args = args
        for key, value in attributes.items():
            if key.startswith("__") and key.endswith("__"):
                return None
            vars(error)[key] = value
    except Exception:
        return None  # RemoteError then tells what it was
    return error


def exception_reply(serializer: Encoder, error: BaseException, lines: list[str]) -> bytes:
    """Encode an exception with its traceback lines. Never raises: what cannot be sent is replaced by a PyroError."""
    try:
        return serializer.dumps(_Traced(error, lines))
    except Exception as failure:
        name = class_registry.full_name(type(error))
        text = f"Error serializing exception: {failure}. Original exception: {name}: {_text_of(error)}"
        return serializer.dumps(_Traced(PyroError(text), lines))


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"<no text: {type(failure).__name__}>"


class _Traced:
    """An exception together with the traceback that it has here, for the way to the codec only."""

    __slots__ = ("error", "lines")

    def __init__(self, error: BaseException, lines: list[str]) -> None:
        self.error = error
        self.lines = lines

    def state(self) -> tuple[Any, ...]:
        name, args, attributes, older, notes = _state_of(self.error)
        return name, args, attributes, [*older, *self.lines] if older and self.lines else older or self.lines, notes


def with_traceback(error: BaseException, lines: list[str]) -> Any:
    """Return a value that is encoded as the exception with these traceback lines."""
    return _Traced(error, lines)


_as_state: Callable[[Any], Any] = _Traced.state
class_registry.register_builtin(BaseException, CLASS_NAME, _state_of, _build, inherited=True)
class_registry.register_builtin(_Traced, CLASS_NAME, _as_state, _build)
