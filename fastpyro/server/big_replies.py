"""Calls whose replies are known to be big: few of them run while clients do not take what they have got.

A thread that makes a reply of 20 MB holds 20 MB, and 80 threads would hold 1.6 GB before any client has read a byte. So a
method that has given a big reply is remembered (`_calls`), with what it took, and its next calls begin when there is
room: as much may be in the making and wait to be taken, together, as MAX_UNSENT says.

Rule 1: a call that waits keeps no thread, and holds its connection. Calls begin in the order in which they came.
Rule 2: what takes more than MAX_UNSENT alone begins when no other is in the making and at most twice as much waits to be
        taken; or, so that slow clients stop nobody, four times as much when the call has waited for long.
Rule 3: a call whose client has gone does not begin.
Rule 4: oneway calls have no replies, and never wait here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.errors import MessageTooLargeError, ServerOverloadedError
from fastpyro.futures.thread_pool import call_threads
from fastpyro.server import replies
from fastpyro.server.complaints import complain

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server

__all__ = ["BigReplies"]

log = logger("fastpyro.servers")

LONG = 2.0
"""Seconds after which a call that waits may begin though more waits to be taken."""


FULL = 4
"""Times MAX_UNSENT; beyond it not even what has begun may go on to grow."""


class _Waiting(NamedTuple):
    """One call that waits: what it will take in bytes, and since when it waits."""

    connection: Connection
    message: Message
    size: int
    since: float


class BigReplies:
    """The calls of one server that have big replies: those that run, and those that wait."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.most = config.MAX_UNSENT
        self.most_queued = config.MAX_QUEUED
        self.after_fork()

    def after_fork(self) -> None:
        """This is a forked child now, in which none of these calls runs: begin anew."""
        self._lock = Mutex(reentrant=True, leaf=True)
        self._reserved = 0
        self._running = 0
        self._begun: dict[Message, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._queued_bytes = 0

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    # ---- calls that run

    def reserve(self, size: int) -> bool:
        """Let a call begin that takes so many bytes; ``release`` must follow. False when it has to wait."""
        with self._lock.guard():
            if self._waiting or not self._has_room(size, 2):
                return False
            self._take(size)
            return True

    def release(self, size: int) -> None:
        """A call is done: its reply has left, waits in its connection's queue, or there was none."""
        with self._lock.guard():
            self._running -= 1
            self._reserved -= size
        self.look()

    def begin(self, message: Message, kind: type, names: Iterable[str]) -> None:
        """Let a request begin that calls these methods of that class; ``end`` must follow. Raises Postponed when it has to
        wait.
        """
        big = self.server.requests.big
        if not big or message in self._begun:
            return
        size = max(abs(big.get((kind, name), 0)) for name in names)
        if not size:
            return
        if not self.reserve(size):
            raise replies.Postponed(size)
        self._begun[message] = size

    def end(self, message: Message) -> int:
        """A request is done, whether it has begun here or not. Returns how much room it gives back."""
        size = self._begun.pop(message, 0)
        if size:
            self.release(size)
        return size

    def _take(self, size: int) -> None:
        assert self._lock.owned
        self._running += 1
        self._reserved += size

    def _has_room(self, size: int, times: int) -> bool:
        assert self._lock.owned
        unsent = self.server.unsent.total()
        if self._reserved + unsent + size <= self.most:
            return True
        return not self._running and unsent <= times * self.most

    # ---- calls that wait

    def wait(self, connection: Connection, message: Message, size: int) -> None:
        """Let a call wait until there is room; refuse it when those that wait hold too many bytes.

        One that has begun already, and is to be served by another thread, gives back its room and waits for as much.
        """
        size = max(size, self.end(message), 1)
        held = size_of(message)
        with self._lock.guard():
            room = self._queued_bytes + held <= self.most_queued or not self._waiting
            if room:
                self._queued_bytes += held
                self._waiting.append(_Waiting(connection, message, size, time.monotonic()))
                connection.begin_call()
                self.server.hold(connection)
        if room:
            self.look()
            return
        refusal = ServerOverloadedError(
            f"the server is busy: the calls that wait until clients take their replies hold more than {self.most_queued:,} "
            "bytes (MAX_QUEUED); try again later"
        )
        complain(log, connection, refusal)
        self.server.send_reply(
            connection, message, replies.refusal_reply(self.server.daemon, connection, message, refusal)
        )

    def look(self) -> None:
        """Begin those calls for which there is room. By any thread."""
        while self._waiting:
            with self._lock.guard():
                if not self._waiting:
                    return
                call = self._waiting[0]
                gone = self._has_gone(call.connection)
                times = FULL if time.monotonic() - call.since > LONG else 2
                if not gone and not self._has_room(call.size, times):
                    return
                self._waiting.popleft()
                self._queued_bytes -= size_of(call.message)
                if not gone:
                    self._take(call.size)
                    self._begun[call.message] = call.size
            if gone:
                self._let_go(call.connection)
            else:
                self._begin(call)

    def _has_gone(self, connection: Connection) -> bool:
        return connection.channel.closed or self.server.connections.get(connection.fd) is not connection

    def _begin(self, call: _Waiting) -> None:
        home = call.connection.home
        if home is not None and home.submit(partial(self._serve, call)):
            return
        try:
            call_threads.submit(partial(self._serve, call))
        except RuntimeError as error:  # no thread can be started
            log.warning("dropping %r: %s", call.connection, error)
            self.end(call.message)
            self.server.drop(call.connection)
            self._let_go(call.connection)

    def _serve(self, call: _Waiting) -> None:
        try:
            self.server.answer(call.connection, call.message)
        finally:
            self._let_go(call.connection)

    def _let_go(self, connection: Connection) -> None:
        connection.end_call()
        self.server.request_done(connection)

    def stop(self) -> None:
        """The server stops: forget the calls that wait."""
        with self._lock.guard():
            for call in self._waiting:
                call.connection.calls_running -= 1
            self._waiting.clear()
            self._queued_bytes = 0

    # ---- batches, whose results grow

    def watcher(self, message: Message, kind: type, name: str) -> Callable[[int, int], None]:
        """Return who is told that the results of a batch have grown: to so many bytes, with so many results.

        It raises MessageTooLargeError, which ends the batch, when there is no room at all for them.
        """

        def grown(size: int, count: int) -> None:
            before = self._begun.get(message, 0)
            if not before:
                self.server.requests.note_big(kind, name, self.most, False)
            with self._lock.guard():
                self._running += not before
                self._reserved += max(2 * size - before, 0)
                self._begun[message] = max(2 * size, before)
                full = self._running > 1 and self._reserved + self.server.unsent.total() > FULL * self.most
            if full:
                raise MessageTooLargeError(
                    f"with the result of call {count:,} the results of this batch are {size:,} bytes, and there is no room "
                    f"for them: clients have not taken other replies (MAX_UNSENT {self.most:,}); the calls before it were "
                    "performed; try again later, or with smaller batches"
                )

        return grown

    # ---- which methods these are

    def note(self, kind: type, name: str, payload: Any, late: bool) -> None:
        """Remember a method whose reply has this payload, if it is big. `late`: the method is a coroutine."""
        parts = type(payload) is list
        size = sum(memoryview(part).nbytes for part in payload) if parts else len(payload)
        if size >= BIG:
            self.server.requests.note_big(kind, name, size if parts else 2 * size, late)


BIG = 1 << 20
"""Bytes of a reply from which on its method is remembered; as in `_calls`."""


ANNOTATION = 200
"""Bytes of memory that an annotation takes beside its value; as in `_assembler`."""


def size_of(message: Message) -> int:
    """Return how many bytes a request holds: its payload, and what travels beside it."""
    size = len(message.payload)
    if message.buffers:
        size += sum(memoryview(buffer).nbytes for buffer in message.buffers)
    if message.has_annotations:
        size += sum(map(len, message.annotations.values())) + ANNOTATION * len(message.annotations)
    return size
