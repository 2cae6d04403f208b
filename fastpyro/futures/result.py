"""A result that arrives later, with a chain of functions that are applied to it: `FutureResult`.

Knows nothing of what obtains the value: no calls, no threads of its own.
Rule 1: the functions of a call chain run in one thread at a time, in order, and no lock is held while one runs.
Rule 2: whoever takes the role of the runner (`_runner`) applies all that is queued and then gives the role up;
        others only queue. Taking the role from a runner (cancelling) makes that one drop what it has in hand.
Rule 3: a result that was cancelled never changes again.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.callcontext import current_context
from fastpyro.errors import TimeoutError
from fastpyro.futures.chain_steps import Call, ChainCall, ErrorReport, _ExceptionWrapper, guarded, unwrap
from fastpyro.protocol._call_context import limit_within

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

__all__ = ["FutureResult", "_ExceptionWrapper"]

log = logger("fastpyro.futures")

CANCELLED: Final = "future has been cancelled"


class _Runner:
    """The role of applying the call chain, and the thread that has it."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread = threading.get_ident()


class _Assignment:
    """A value that was assigned while the chain was being applied: it comes after what was queued before it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class FutureResult:
    """The result of a call that runs in the background.

    Read `value` to wait for it, queue functions for it with `then`, await it in asyncio, or make a
    `concurrent.futures.Future` of it. Every method can be called from any thread, also from inside a function of
    the result's own call chain: there `value` is the value so far, and functions that are added run afterwards.

    Attributes:
        exceptionhandler: the function given to `iferror`, or None.
        valueLock: the re-entrant lock that guards the state; never held while a function of the chain runs.
    """

    __module__ = "fastpyro"

    __slots__ = (
        "__weakref__", "_call", "_cancelled", "_error_reported", "_hurry", "_on_ready", "_ready", "_runner",
        "_steps", "_value", "exceptionhandler", "valueLock",
    )  # fmt: skip

    def __init__(self) -> None:
        self.valueLock = Mutex(True, "the result", True)
        self.exceptionhandler: Callable[[Any], object] | None = None
        self._hurry: Callable[[], object] | None = None  # called by who begins to wait, before he does
        self._call: Any = None  # what obtains the value, to be told by `cancel()` that nobody wants it
        self._value: Any = None
        self._steps: deque[Call | _Assignment] | None = None  # made when needed: most results have none
        self._runner: _Runner | None = None
        self._ready = False
        self._cancelled = False
        self._error_reported = False
        self._on_ready: list[Callable[[], object]] | None = None

    def __repr__(self) -> str:
        if not self._ready:
            state = "pending"
        elif self._cancelled:
            state = "cancelled"
        elif isinstance(self._value, _ExceptionWrapper):
            state = f"raises {type(self._value.exception).__name__}"
        else:
            state = "ready"
        return f"<{type(self).__module__}.{type(self).__name__} at 0x{id(self):x}; {state}>"

    # Reading

    @property
    def ready(self) -> bool:
        """Whether the result has arrived and its call chain has been applied. Once true it stays true."""
        return self._ready

    @property
    def callchain(self) -> list[Call]:
        """The functions that wait to be applied, as a list of (callable, args, kwargs)."""
        with self.valueLock.guard():
            return [step for step in self._steps or () if not isinstance(step, _Assignment)]

    def get_value(self) -> Any:
        """Wait until the result is ready.

        Returns:
            The value.

        Raises:
            BaseException: the call's own exception, each time that the value is read.
            TimeoutError: a block of `fastpyro.timeout` is over before.
            RuntimeError: the future has been cancelled.
        """
        if not self._ready:
            self._wait_for(self._may_be_read)
            if not self._may_be_read():
                raise TimeoutError(f"waiting for a result: timeout (the limit is {limit_within(0.0)[1]})")
        try:
            return unwrap(self._value)
        finally:
            del self  # an exception's traceback holds this frame, which must not hold the exception

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the result is ready; never raises what the call raised.

        Args:
            timeout: the longest time to wait, in seconds; None waits for ever.

        Returns:
            True when the result is ready, False when the time is over before, also that of `fastpyro.timeout`. In a
            function of the result's own call chain there is nothing to wait for: the answer comes at once.
        """
        if not self._ready:
            self._wait_for(self._may_be_read, timeout)
        return self._ready

    def _wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        if self._hurry is not None:
            self._hurry()
        left = current_context.time_left
        if left is not None:
            timeout = left if timeout is None else min(timeout, left)
        with self.valueLock.guard():
            self.valueLock.wait_for(condition, timeout)

    def _may_be_read(self) -> bool:
        return self._ready or self._is_runner()

    def _is_runner(self) -> bool:
        return self._runner is not None and self._runner.thread == threading.get_ident()

    # Adding to the chain

    def then(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> FutureResult:
        """Add a function to the call chain: it gets the value, and what it returns is the new value.

        The chain runs in order in the thread that obtained the value. If the result is ready already, the function
        is called at once, in this thread. When the value is an exception the function is skipped; when the function
        raises, that exception is the new value and the rest of the chain is skipped.

        Args:
            call: called as `call(value, *args, **kwargs)`.
            args, kwargs: more arguments for it.

        Returns:
            This result.
        """
        nested = self._is_runner()
        try:
            with self.valueLock.guard():
                runner = self._take_role_if_ready()
                self._queue((call, args, kwargs))
            return self._apply_chain(runner)
        except BaseException:
            self._end_interrupted(nested)
            raise

    def iferror(self, exceptionhandler: Callable[[Any], object]) -> FutureResult:
        """Set the function that is told of an exception: the call's, or one from the call chain.

        If the result is an exception already, the handler is called at once, in this thread. What the handler
        returns is dropped and what it raises is logged: the value stays the exception.

        Args:
            exceptionhandler: called as `exceptionhandler(exception)`. It replaces an earlier one.

        Returns:
            This result.
        """
        nested = self._is_runner()
        try:
            with self.valueLock.guard():
                runner = self._take_role_if_ready()
                self.exceptionhandler = exceptionhandler
                self._error_reported = False
            return self._apply_chain(runner)
        except BaseException:
            self._end_interrupted(nested)
            raise

    # Completing

    def set_value(self, value: Any) -> None:
        """Give the result its value, apply the call chain to it in this thread, and wake all who wait.

        A result that was cancelled stays cancelled; the value is dropped.

        Args:
            value: the value; an `_ExceptionWrapper` makes every read raise its exception.
        """
        nested = self._is_runner()
        try:
            with self.valueLock.guard():
                runner = self._take_role_if_ready()
                if self._cancelled:
                    pass
                elif runner is None and self._runner is not None:
                    self._queue(_Assignment(value))
                else:
                    self._value = value
                    self._error_reported = False
                    runner = runner or self._take_role()
            self._apply_chain(runner)
        except BaseException:
            self._end_interrupted(nested)
            raise

    def _set_at_once(self, value: Any) -> bool:
        """As ``set_value`` for a thread that others wait for. False, and nothing done, when functions are to be called."""
        with self.valueLock.guard():
            if self._steps or self.exceptionhandler is not None or self._runner is not None or self._ready:
                return False
            self._value = value
            self._ready = True
            on_ready, self._on_ready = self._on_ready, None
            self.valueLock.notify_all()
        for function in on_ready or ():
            guarded(function)
        return True

    value = property(
        get_value, set_value, doc="The result: reading it is `get_value()`, assigning to it is `set_value(value)`."
    )

    def set_cancelled(self) -> None:
        """Make the result a `RuntimeError("future has been cancelled")`, whether it is ready or not."""
        self._become_cancelled(even_if_ready=True)

    def cancel(self) -> bool:
        """Give up the result: its value becomes a `RuntimeError("future has been cancelled")`.

        A call that has not been sent yet is not made. A daemon that understands it is told of one that is on its way:
        it does not begin, or its coroutine is cancelled, or its method sees `current_context.cancelled`. What it
        returns is dropped; so is the rest of the call chain.

        Returns:
            True if the result was not ready, so that it is cancelled now; False if it was ready.
        """
        return self._become_cancelled(even_if_ready=False)

    def _become_cancelled(self, even_if_ready: bool) -> bool:
        nested = self._is_runner()
        try:
            with self.valueLock.guard():
                if self._ready and not even_if_ready:
                    return False
                self._cancelled = True
                self._value = _ExceptionWrapper(RuntimeError(CANCELLED))
                self._error_reported = False
                self._steps = None
                runner = self._take_role()
                call, self._call = self._call, None
            if call is not None:
                call.cancel()
            self._apply_chain(runner)
            return True
        except BaseException:
            self._end_interrupted(nested)
            raise

    def _end_interrupted(self, nested: bool) -> None:
        """Give up the role that an interrupt has left to this thread: nobody must wait for it."""
        with self.valueLock.guard():
            if nested or not self._is_runner():
                return
            self._runner = None
            self._ready = True
            on_ready, self._on_ready = self._on_ready, None
            self.valueLock.notify_all()
        for function in on_ready or ():
            guarded(function)

    # Applying the chain

    def _take_role(self) -> _Runner:
        self._runner = runner = _Runner()
        return runner

    def _take_role_if_ready(self) -> _Runner | None:
        """Make this thread the runner if the result is ready, after waiting for another thread's late function."""
        if not self._ready or self._is_runner():
            return None
        if self._runner is not None:
            with self.valueLock.guard():
                self.valueLock.wait_for(lambda: self._runner is None)
        return self._take_role()

    def _apply_chain(self, runner: _Runner | None) -> FutureResult:
        """Apply all that is queued, if the caller has the role of the runner, and then give the role up."""
        while runner is not None:
            with self.valueLock.guard():
                if self._runner is not runner:
                    break  # the role was taken away
                call = self._next_call()
                if call is None:
                    self._runner = None
                    self._ready = True
                    on_ready, self._on_ready = self._on_ready, None
                    self.valueLock.notify_all()
            if call is None:
                for function in on_ready or ():
                    guarded(function)
                break
            self._store(runner, call)
        return self

    def _queue(self, step: Call | _Assignment) -> None:
        if self._steps is None:
            self._steps = deque()
        self._steps.append(step)

    def _next_call(self) -> Callable[[], Any] | None:
        """The next thing to do with the value. A value that is an exception skips functions."""
        while True:
            value = self._value
            failed = isinstance(value, _ExceptionWrapper)
            if failed and self.exceptionhandler is not None and not self._error_reported:
                self._error_reported = True
                return ErrorReport(self.exceptionhandler, value)
            if not self._steps:
                return None
            step = self._steps.popleft()
            if isinstance(step, _Assignment):
                self._value = step.value
                self._error_reported = False
            elif not failed:
                return ChainCall(step, value)

    def _store(self, runner: _Runner, call: Callable[[], Any]) -> None:
        try:
            value = call()
        except Exception as error:
            value = _ExceptionWrapper(error)
        except BaseException as error:
            # Ctrl-C in a late function: finish, so that nobody waits for ever, and let the interrupt through.
            self._replace(runner, _ExceptionWrapper(error))
            self._apply_chain(runner)
            raise
        self._replace(runner, value)

    def _replace(self, runner: _Runner, value: Any) -> None:
        with self.valueLock.guard():
            if self._runner is runner:
                self._value = value

    def _when_ready(self, function: Callable[[], object]) -> None:
        """Call a function once the result is ready, or at once; in whichever thread. What it raises is logged."""
        with self.valueLock.guard():
            if not self._ready:
                self._on_ready = self._on_ready or []
                self._on_ready.append(function)
                return
        guarded(function)

    # Other kinds of futures

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait in asyncio, without blocking the loop. Cancelling the task that waits does not cancel the result."""
        if not self._ready:
            yield from self._asyncio_future().__await__()
        try:
            return unwrap(self._value)
        finally:
            del self

    def _asyncio_future(self) -> asyncio.Future[None]:
        import asyncio

        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def finish() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish)

        def forget(_: object) -> None:
            with self.valueLock.guard():
                if self._on_ready and wake in self._on_ready:
                    self._on_ready.remove(wake)

        waiter.add_done_callback(forget)
        self._when_ready(wake)
        return waiter

    def to_concurrent(self) -> concurrent.futures.Future[Any]:
        """Make a `concurrent.futures.Future` that gets this result, for `as_completed`, `wait` and the like.

        Returns:
            A new future; cancelling it cancels this result.
        """
        import concurrent.futures

        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def finish() -> None:
            if self._cancelled:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            value = self._value
            if isinstance(value, _ExceptionWrapper):
                future.set_exception(value.exception)
            else:
                future.set_result(value)

        self._when_ready(finish)
        future.add_done_callback(lambda done: self.cancel() if done.cancelled() else None)
        return future
