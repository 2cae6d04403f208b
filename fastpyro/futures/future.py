"""Calls that run in the background: `Future` for ordinary functions, and `run_in_background` for everything else.

Knows nothing of proxies or connections: `async_proxy` and `batch` use it. The results are in `result`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpyro._mutex import Mutex
from fastpyro.callcontext import current_context
from fastpyro.futures.chain_steps import Call, _ExceptionWrapper
from fastpyro.futures.result import FutureResult
from fastpyro.futures.thread_pool import DelayedCall, call_threads, delayed_calls

__all__ = ["Future", "FutureResult", "_ExceptionWrapper", "run_in_background"]


def run_in_background(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> FutureResult:
    """Call a function in a background thread, with a copy of the caller's call context.

    Args:
        function: what to call.
        args, kwargs: its arguments; they are not copied.

    Returns:
        The result, which is ready when the function and the result's call chain have run.

    Raises:
        RuntimeError: no thread can be started.
    """
    result = FutureResult()
    call_threads.submit(_BackgroundCall(result, (function, args, kwargs)))
    return result


class _BackgroundCall:
    """A call on its way to a background thread, with what it takes along from the thread that made it."""

    __slots__ = ("call", "context", "result", "starting")

    def __init__(self, result: FutureResult, call: Call, starting: Callable[[], bool] | None = None) -> None:
        self.result = result
        self.call = call
        self.context = current_context.to_global()
        self.starting = starting

    def __repr__(self) -> str:
        return f"<call of {self.call[0]!r} in the background>"

    def __call__(self) -> None:
        if self.result._cancelled or not (self.starting is None or self.starting()):
            return
        current_context.from_global(self.context)
        function, args, kwargs = self.call
        try:
            value = function(*args, **kwargs)
        except BaseException as error:  # whoever waits must not wait for ever, whatever it is
            value = _ExceptionWrapper(error)
        try:
            self.result.set_value(value)
        finally:
            current_context.end()
            del self, value  # an exception's traceback holds this frame, which must not hold the exception


class Future:
    """A function that is to be called in the background, once.

    Call the future as you would call the function: the call returns a `FutureResult` at once.

    Args:
        callable: the function.

    Attributes:
        callable: the function.
        chain: the functions that will be applied to its result, as a list of (callable, args, kwargs).
        exceptionhandler: the function given to `iferror`, or None.
        call_delay: how many seconds to wait before the function is called.
        cancelled: whether the future was cancelled.
        completed: whether the function was started, or never will be because it was cancelled while it waited.
    """

    __module__ = "fastpyro"

    def __init__(self, callable: Callable[..., Any]) -> None:
        self.callable = callable
        self.chain: list[Call] = []
        self.exceptionhandler: Callable[[Any], object] | None = None
        self.call_delay = 0.0
        self.cancelled = False
        self.completed = False
        self._lock = Mutex(reentrant=True, leaf=True)
        self._evaluated = False
        self._background: _BackgroundCall | None = (
            None  # only while it waits: who keeps the future does not keep its result
        )
        self._delayed: DelayedCall | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} of {self.callable!r} at 0x{id(self):x}>"

    def __call__(self, *args: Any, **kwargs: Any) -> FutureResult:
        """Start the call, in a background thread.

        Args:
            args, kwargs: the arguments of the function.

        Returns:
            The result.

        Raises:
            RuntimeError: the future was called before, or was cancelled; or no thread can be started.
        """
        with self._lock.guard():
            if self.cancelled:
                raise RuntimeError("the future has been cancelled")
            self._check_not_started("")
            result = FutureResult()
            result.exceptionhandler = self.exceptionhandler
            for step in self.chain:
                result._queue(step)
            result._when_ready(self._withdraw)
            self._start(_BackgroundCall(result, (self.callable, args, kwargs), self._starting))
        return result

    def then(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
        """Add a function to the call chain of the result; see `FutureResult.then`.

        Returns:
            This future.

        Raises:
            RuntimeError: the future was called already.
        """
        with self._lock.guard():
            self._check_not_started("; use then() of its result")
            self.chain.append((call, args, kwargs))
        return self

    def iferror(self, exceptionhandler: Callable[[Any], object]) -> Future:
        """Set the function that is told of an exception; see `FutureResult.iferror`.

        Returns:
            This future.

        Raises:
            RuntimeError: the future was called already.
        """
        with self._lock.guard():
            self._check_not_started("; use iferror() of its result")
            self.exceptionhandler = exceptionhandler
        return self

    def delay(self, seconds: float) -> bool:
        """Wait before the function is called. A future that waits already waits this long from now on.

        Args:
            seconds: how long to wait.

        Returns:
            True, or False if it is too late: the function was started or is about to be.
        """
        with self._lock.guard():
            if self.completed:
                return False
            background = self._background
            if background is not None and not (self._delayed is not None and self._delayed.cancel()):
                return False
            self.call_delay = seconds
            if background is not None:
                self._start(background)
            return True

    def cancel(self) -> bool:
        """Make sure that the function is not called.

        If the future waits, its result becomes a `RuntimeError("future has been cancelled")` at once.

        Returns:
            True, or False if it is too late: the function was started.
        """
        with self._lock.guard():
            if self.completed:
                return False
            self.cancelled = True
            waiting = self._background
        if waiting is not None:
            waiting.result.set_cancelled()
        return True

    def _check_not_started(self, way_out: str) -> None:
        assert self._lock.owned
        if self._evaluated:
            raise RuntimeError(f"the future has already been evaluated{way_out}")

    def _start(self, background: _BackgroundCall) -> None:
        assert self._lock.owned
        if self.call_delay > 0:
            self._delayed = delayed_calls.schedule(self.call_delay, background)
        else:
            self._delayed = None
            call_threads.submit(background)
        self._background = background
        self._evaluated = True

    def _starting(self) -> bool:
        """Whether the function may be called, asked by the thread that is about to do so."""
        with self._lock.guard():
            if self.completed or self.cancelled:
                return False
            self.completed = True
            self._background = None
            return True

    def _withdraw(self) -> None:
        """The result is ready: if that came before the function was started, it never will be."""
        with self._lock.guard():
            if not self.completed:
                self.completed = self.cancelled = True
                if self._delayed is not None:
                    self._delayed.cancel()
                self._background = None
