"""Connecting and looking up names for event loops: in threads of a small pool, which waits so that no loop does.

What nobody wants any more is given up: its socket is shut down, so that its thread ends, and its result is closed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastpyro.callcontext import current_context
from fastpyro.futures.thread_pool import CallThreads
from fastpyro.transport.attempts import Attempt

if TYPE_CHECKING:
    from fastpyro.client.proxy import Proxy

__all__ = ["Connecting", "in_thread", "settle"]

MOST_THREADS = 32
"""That connect at a time; others wait, and can be given up meanwhile."""

IDLE_SECONDS = 0.2

Result = TypeVar("Result")

_threads = CallThreads(MOST_THREADS, IDLE_SECONDS, "fastpyro-aio-connect")


class _Job(Generic[Result]):
    """A function that runs in a thread of the pool, for a loop.

    Arguments: ``loop``; ``function``; ``deliver(result, error)``, called by the loop unless the job was given up;
    ``discard``, called with a result that nobody wants.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Result],
        deliver: Callable[[Result | None, BaseException | None], object],
        discard: Callable[[Result], object],
    ) -> None:
        self.loop = loop
        self._function = function
        self._deliver = deliver
        self._discard = discard
        self._attempt = Attempt()
        self._context = None if current_context.request_annotations() == (None, None) else current_context.to_global()
        _threads.submit(self._run)

    def give_up(self) -> None:
        self._attempt.give_up()

    def _run(self) -> None:
        result: Result | None = None
        failure: BaseException | None = None
        if self._attempt.given_up:
            return
        if self._context is not None:
            current_context.from_global(self._context)
        try:
            with self._attempt:
                result = self._function()
        except BaseException as error:
            failure = error
        finally:
            current_context.end()
        try:
            self.loop.call_soon_threadsafe(self._arrived, result, failure)
        except RuntimeError:  # the loop is closed
            if result is not None:
                self._discard(result)
        del result, failure

    def _arrived(self, result: Result | None, failure: BaseException | None) -> None:
        deliver, discard = self._deliver, self._discard
        del self._deliver, self._discard, self._function  # they refer to each other
        if not self._attempt.given_up:
            deliver(result, failure)
        elif result is not None:
            discard(result)


async def in_thread(function: Callable[[], Result], discard: Callable[[Result], object]) -> Result:
    """Return what a function returns that connects somewhere, or raise what it raises.

    Arguments: ``function``, called in a thread; ``discard``, called with its result when the caller was cancelled.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()
    job = _Job(loop, function, partial(settle, future), discard)
    try:
        return await future
    except asyncio.CancelledError:
        job.give_up()
        raise


def settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    """Give a future its result, or what was raised instead, unless nobody waits for it any more."""
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)


class Connecting:
    """A proxy that is being connected, and the calls that wait for it.

    Arguments: ``loop``, the running one; ``inner``, the proxy; ``done(self, error)``, called by the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: Proxy,
        done: Callable[[Connecting, BaseException | None], object],
    ) -> None:
        self.loop = loop
        self.calls: dict[Any, None] = {}
        self._inner = inner
        self._done = done
        self._process = os.getpid()
        self._job = _Job(loop, self._connect, self._arrived, self._discard)

    def is_current(self) -> bool:
        """Whether it will ever end: not in a forked child, and not on a loop that is closed."""
        return self._process == os.getpid() and not self.loop.is_closed()

    def give_up(self) -> None:
        """Nobody waits any more."""
        self._job.give_up()

    def _connect(self) -> bool:
        self._inner._pyro_connect_if_needed()
        return True

    def _discard(self, _connected: bool) -> None:
        self._inner._pyroRelease()

    def _arrived(self, _connected: bool | None, failure: BaseException | None) -> None:
        self._done(self, failure)
        self.calls.clear()
