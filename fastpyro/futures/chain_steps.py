"""What a call chain is made of: functions to apply, a handler to tell, and an exception as a value."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from fastpyro._lazy_logging import logger

__all__ = ["Call", "ChainCall", "ErrorReport", "_ExceptionWrapper", "guarded", "unwrap"]

log = logger("fastpyro.futures")

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _ExceptionWrapper:
    """An exception as a value: it marks a result that is to be raised and not returned.

    Args:
        exception: the exception.
    """

    __slots__ = ("_traceback", "exception")

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        self._traceback: types.TracebackType | None = exception.__traceback__

    def __repr__(self) -> str:
        return f"<_ExceptionWrapper of {self.exception!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.exception,)

    def raiseIt(self) -> NoReturn:
        """Raise the exception, with the traceback that it arrived with."""
        try:
            # Each raise of one exception object adds to its traceback: start from the first one every time.
            raise self.exception.with_traceback(self._traceback)
        finally:
            del self  # the traceback holds this frame, which would hold the exception


class ChainCall:
    """A function of the chain with the value that it is applied to."""

    __slots__ = ("step", "value")

    def __init__(self, step: Call, value: Any) -> None:
        self.step = step
        self.value = value

    def __call__(self) -> Any:
        function, args, kwargs = self.step
        return function(self.value, *args, **kwargs)


class ErrorReport:
    """A handler with the exception that it is told of; the value stays what it was."""

    __slots__ = ("handler", "value")

    def __init__(self, handler: Callable[[Any], object], value: _ExceptionWrapper) -> None:
        self.handler = handler
        self.value = value

    def __call__(self) -> _ExceptionWrapper:
        guarded(self.handler, self.value.exception)
        return self.value


def unwrap(value: Any) -> Any:
    if isinstance(value, _ExceptionWrapper):
        try:
            value.raiseIt()
        finally:
            del value
    return value


def guarded(function: Callable[..., object], *args: Any) -> None:
    try:
        function(*args)
    except Exception:
        log.exception("a function that was told of a result failed: %r", function)
