"""A daemon for asyncio programs: ``async def`` methods run in the program's loop, everything else in threads.

Requests are read, decoded and answered by the same threads as in a blocking program, so nothing that a client sends,
and no method that takes long, holds up the loop. Only coroutines and asynchronous generators come to it.
Rule 1: the loop is the one that is running when the daemon begins to serve; nothing here waits in its thread.
Rule 2: who ends the daemon does so in a thread that is gone afterwards: what is under way may need the loop to finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, Any

from fastpyro.aio.connecting import settle
from fastpyro.errors import PyroError
from fastpyro.server.daemon import Daemon as BlockingDaemon
from fastpyro.server.daemon_object import DaemonObject

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["Daemon"]


class Daemon(BlockingDaemon):
    """Makes objects callable from other processes, in a program with an event loop.

    Arguments and methods are those of ``fastpyro.Daemon``, but for these: ``async with`` closes it, ``await
    serve_forever()`` serves, and it always has threads, whatever SERVERTYPE says. ``async def`` methods and asynchronous
    generators run as tasks of the loop, with the context variables of who began to serve; all other methods run in
    threads, up to THREADPOOL_SIZE slow ones at once. So do ``validateHandshake`` and the other hooks.

    Without ``serve_forever`` it serves from ``async with`` (or ``start``) on, beside whatever the program does.
    """

    __module__ = "fastpyro.aio"

    def __init__(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        unixsocket: str | None = None,
        nathost: str | None = None,
        natport: int | None = None,
        interface: type[DaemonObject] = DaemonObject,
    ) -> None:
        super().__init__(host, port, unixsocket, nathost, natport, interface)
        self._started_by: asyncio.AbstractEventLoop | None = None

    def _server_type(self) -> str:
        return "thread"

    def start(self) -> None:
        """Begin to serve, in the running loop. May be called again there.

        Raises PyroError when another loop began, or the daemon is closed; RuntimeError where no loop is running.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._started_by is None:
            self.coroutines.serve_in(loop, contextvars.copy_context())
            self._started_by = loop
            self.transportServer.start()
        elif self._started_by is not loop:
            raise PyroError("this daemon serves in another event loop; make a daemon for each loop")

    async def serve_forever(self) -> None:
        """Serve until ``shutdown()``, or until the task is cancelled; what is under way is answered first, for a second.

        Raises as ``start``, and CancelledError when it was cancelled: the daemon is closed then.
        """
        self.start()
        try:
            await _in_thread(self.requestLoop, "fastpyro-serve")
        except asyncio.CancelledError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop serving and release everything; other tasks of the loop run meanwhile. May be called again.

        A task that is cancelled in it goes on until all is released.
        """
        if self._closed:
            return
        closing = asyncio.ensure_future(_in_thread(self.close, "fastpyro-close"))
        cancelled = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as error:
                cancelled = error
        await self.coroutines.ended()
        closing.result()
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __enter__(self) -> Any:
        raise TypeError("a daemon of fastpyro.aio is closed by 'async with'")


async def _in_thread(run: Callable[[], object], name: str) -> None:
    """Call a function in a thread of its own, and wait for its end. Raises what it raises."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def work() -> None:
        failure: BaseException | None = None
        try:
            run()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(settle, ended, None, failure)

    threading.Thread(target=work, name=name, daemon=True).start()
    await ended
