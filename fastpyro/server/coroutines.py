"""Coroutines that a daemon's methods return: they run on one event loop, in the context of their calls.

Knows no requests and no sockets. asyncio is imported with the first coroutine: a program without any never loads it.
Rule 1: the loop is the user's, who runs it, or one in a thread of its own, started when it is first needed.
Rule 2: while a step of a coroutine runs, and only then, `current_context` shows its call. Tasks that it starts are on
        their own: hand them what they need.
Rule 3: `done` is called once for each coroutine, in the loop's thread, unless the loop ends before.
Rule 4: a loop of ours that has much to do gives way after each turn: who serves waits for the GIL, and gets it from a busy
        thread after 5 ms, and only if that one does not happen to give it up for a moment before.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.callcontext import current_context
from fastpyro.errors import PyroError
from fastpyro.server.turns import TURN

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from fastpyro.protocol._call_context import CallState

__all__ = ["Coroutines"]

log = logger("fastpyro.coroutines")

END_SECONDS = 2.0
"""How long `close` waits for coroutines that it has cancelled, and how soon others notice that nobody ended theirs."""

PAUSE = 50e-6
"""Seconds between two steps of coroutines that are none in a row: others have had the GIL."""

BREATH = 10e-6
"""Seconds of the loop's sleep when it gives way; the system makes some 70 us of them, in which others wake up."""

EAGER: bool = sys.version_info >= (3, 12)
"""Whether tasks can make their first step at once."""

Done = Callable[[Any, BaseException | None], object]


class Coroutines:
    """The event loop of one daemon and what runs on it for the daemon. Safe among threads."""

    def __init__(self) -> None:
        self._lock = Mutex(what="the event loop of the daemon")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: _LoopThread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._row = _Row()
        self._context: contextvars.Context | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop; started now, in a thread of its own, when there is none yet.

        Raises PyroError after `close`, RuntimeError when no thread can be started, OSError when there is no file
        descriptor left for a loop.
        """
        with self._lock.guard():
            if self._closed:
                raise PyroError("the daemon is closed, and its event loop with it")
            if self._loop is None:
                self._start_thread()
            assert self._loop is not None
            return self._loop

    @loop.setter
    def loop(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock.guard():
            if self._loop is not None:
                raise PyroError("the daemon has an event loop already; set one before the first coroutine runs")
            self._loop = loop

    def serve_in(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        """Set the loop; coroutines run in copies of a context. Raises PyroError when there is one already."""
        self.loop = loop
        self._context = context

    def _start_thread(self) -> None:
        thread = _LoopThread()
        try:
            thread.start()
            thread.made.wait()
            if thread.error is not None:
                raise thread.error
            self._loop, self._thread = thread.loop, thread
            if self._closed:  # meanwhile, by who saw no loop yet
                raise PyroError("the daemon is closed, and its event loop with it")
        except BaseException:  # the next coroutine tries again; after an interrupt, the thread may be there
            self._loop = self._thread = None
            thread.end()
            raise

    def start(self, state: CallState, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        """Run a coroutine, in the context of a call.

        Arguments: ``state``, that context; ``done``, called in it with the coroutine's value and None, or with None and
        what it raised. Raises PyroError when the loop is closed; the coroutine is closed then.
        """
        task = None
        try:
            loop = self.loop
            self._row.ours = self._thread is not None
            run = _Run(loop)
            task = _drive(self._row, state, coroutine, done, run)
            state.on_cancel = run.cancel
            if state.cancelled:  # before it began
                run.cancel()
            loop.call_soon_threadsafe(self._begin, loop, task, run, coroutine, context=self._context)
        except (PyroError, RuntimeError, OSError) as error:
            if task is not None:
                task.close()
            coroutine.close()
            raise PyroError(f"the coroutine cannot be run: {error}") from None

    def value_of(self, awaitable: Any) -> Any:
        """Run a coroutine in the context of this thread's call, and wait for its value; anything else is returned as it is.

        Raises what the coroutine raises, PyroError when this is the thread of the loop, where waiting would be for ever,
        and when the daemon is closed meanwhile.
        """
        if not isinstance(awaitable, Coroutine):
            return awaitable
        if self._is_loop_thread():
            awaitable.close()
            raise PyroError(
                "a coroutine of a batch or a stream cannot be waited for in the thread of its own event loop"
            )
        outcome: list[tuple[Any, BaseException | None]] = []
        ended = threading.Event()

        def done(value: Any, error: BaseException | None) -> None:
            outcome.append((value, error))
            ended.set()

        self.start(current_context.current(), awaitable, done)
        while not ended.wait(END_SECONDS):
            if self._closed:  # with a loop that nobody runs any more
                raise PyroError("the daemon was closed before the coroutine was done")
        value, error = outcome.pop()
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # its traceback holds this frame, which would hold it

    def forget(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that nobody waits for; what it raises is dropped."""
        with contextlib.suppress(PyroError):
            self.start(current_context.current().copy(), coroutine, lambda value, error: None)

    def close(self) -> None:
        """Cancel what still runs, and end a loop that was started here. May be called again, also in the loop's thread."""
        if self._closed:
            return
        self._closed = True  # without the lock: who is just starting a thread notices it
        loop, thread = self._loop, self._thread
        if loop is None:
            return
        if thread is not None:
            thread.end()
        else:
            with contextlib.suppress(RuntimeError):  # it is closed already
                loop.call_soon_threadsafe(self._cancel_all)

    def _is_loop_thread(self) -> bool:
        import asyncio

        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        drive: Coroutine[Any, Any, None],
        run: _Run,
        coroutine: Coroutine[Any, Any, Any],
    ) -> None:
        run.task = task = _eager_task(loop, drive)
        if task.done():
            return

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            coroutine.close()  # it may have been cancelled before its first step

        self._tasks.add(task)
        task.add_done_callback(end)

    def _cancel_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def ended(self) -> None:
        """Cancel what still runs, and wait for its end; in the loop's thread, after `close`."""
        import asyncio

        while tasks := self._tasks - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


class _LoopThread(threading.Thread):
    """A thread with an event loop, which it makes and closes itself: an interrupt of who starts it leaves no open loop.

    Attributes: ``made``, set when the loop is there or could not be made; ``loop``; ``error``, why it could not.
    """

    def __init__(self) -> None:
        super().__init__(name="fastpyro-event-loop", daemon=True)
        self.made = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.error: Exception | None = None
        self._ends = False

    def end(self) -> None:
        """End the loop, and wait for that where this is another thread. May be called before the loop is there."""
        self._ends = True
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed already
                self.loop.call_soon_threadsafe(self.loop.stop)
        if self is not threading.current_thread():
            with contextlib.suppress(RuntimeError):  # not started
                self.join(END_SECONDS)

    def run(self) -> None:
        import asyncio

        try:
            loop = self.loop = asyncio.new_event_loop()
        except Exception as error:
            self.error = error
            return
        finally:
            self.made.set()
        try:
            loop.set_exception_handler(_log_failure)
            asyncio.set_event_loop(loop)
            while not self._ends:
                try:
                    loop.run_forever()
                except BaseException:  # SystemExit in somebody's task: it must not end the calls of others
                    log.exception("a task has stopped the daemon's event loop; it goes on")
            loop.run_until_complete(_end_all_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def _eager_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin a task, from Python 3.12 on with its first step at once: many coroutines have no other."""
    import asyncio

    if not EAGER or loop.get_task_factory() is not None:
        return loop.create_task(coroutine)
    begin: Any = asyncio.Task
    return begin(coroutine, loop=loop, eager_start=True)  # type: ignore[no-any-return]


async def _end_all_tasks() -> None:
    import asyncio

    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Run:
    """A coroutine that may be cancelled by any thread. Attributes: ``task``; ``begun``; ``cancelled``, before it began."""

    __slots__ = ("begun", "cancelled", "loop", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None] | None = None
        self.begun = self.cancelled = False

    def cancel(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self.begun and self.task is not None:
            self.task.cancel()
        else:
            self.cancelled = True  # a task that has not begun would end without a word


class _Row:
    """The steps that a loop makes without a pause. Attribute: ``ours``, whether it is the loop of a thread of ours."""

    __slots__ = ("began", "ended", "ours")

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.ours = False

    def begin_step(self) -> None:
        now = time.monotonic()
        if now - self.ended > PAUSE:
            self.began = now

    def end_step(self) -> None:
        self.ended = time.monotonic()
        if self.ended - self.began > TURN and self.ours:
            time.sleep(BREATH)
            self.began = self.ended = time.monotonic()


async def _drive(row: _Row, state: CallState, coroutine: Coroutine[Any, Any, Any], done: Done, run: _Run) -> None:
    """Await a coroutine in the context of its call, and tell how it ended."""
    from asyncio import CancelledError

    run.begun = True
    value: Any = None
    error: BaseException | None = None
    if run.cancelled:
        coroutine.close()
        error = CancelledError()
    else:
        value, error = await _in_context(row, state, coroutine)
    state.on_cancel = None
    if isinstance(error, CancelledError):
        error = PyroError("the call was cancelled")
    elif error is not None:
        error = error.with_traceback(_users_part(error.__traceback__))
    former = current_context.replace(state)
    try:
        done(value, error)
    finally:
        current_context.replace(former)
        error = None  # its traceback holds this frame
        row.end_step()


def _users_part(traceback: types.TracebackType | None) -> types.TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


@types.coroutine
def _in_context(
    row: _Row, state: CallState, coroutine: Coroutine[Any, Any, Any]
) -> Generator[Any, Any, tuple[Any, BaseException | None]]:
    """Run a coroutine; returns its value and None, or None and what it raised, which may be anything."""
    resume: Callable[[Any], Any] = coroutine.send
    argument: Any = None
    while True:
        former = current_context.replace(state)
        row.begin_step()
        try:
            awaited = resume(argument)
        except StopIteration as end:
            return end.value, None
        except BaseException as error:
            if isinstance(argument, GeneratorExit):  # not the coroutine's own: the loop was thrown away
                raise
            return None, error
        finally:
            current_context.replace(former)
        row.end_step()
        try:
            argument = yield awaited
            resume = coroutine.send
        except BaseException as error:
            resume, argument = coroutine.throw, error


def _log_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # What asyncio would do itself, by a logger that escapes: a task's error may say what a client wrote.
    error = context.get("exception")
    log.error("in the daemon's event loop: %s", context.get("message"), exc_info=error)
