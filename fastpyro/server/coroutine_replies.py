"""Calls whose methods returned coroutines: they occupy no thread, and are answered when they are done.

Rule 1: a coroutine keeps its connection to itself where a slow method would: on an object of the client's session, and
        on a channel that takes one message at a time.
Rule 2: replies are made in the event loop's thread, so that nothing changes meanwhile. Those that may have to wait are
        sent by others: a client that does not read must not hold up the loop.
Rule 3: no client takes all places: beyond its share its caller gets an error, and the others go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.errors import PyroError, ServerOverloadedError
from fastpyro.futures.thread_pool import call_threads
from fastpyro.server import replies
from fastpyro.server.complaints import complain
from fastpyro.server.shares import Shares

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server
    from fastpyro.server.replies import PendingReply, Reply

__all__ = ["LateReplies"]

log = logger("fastpyro.servers")

MOST_HEAD = 100
"""Bytes in front of a payload without annotations: a header of 24 or 40, and perhaps a signature."""


class LateReplies:
    """The coroutines of one server's calls that are under way."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.under_way = Shares(config.THREADPOOL_SIZE + config.REQUEST_QUEUE_SIZE)
        self._lock = Mutex(reentrant=True, leaf=True)
        self._unsent: dict[Connection, deque[Callable[[], object]]] = {}

    def begin(self, connection: Connection, message: Message, pending: PendingReply) -> None:
        """Run the coroutine of a call, and answer the call when it is done; refuse it when too many are under way."""
        if not self.under_way.take(connection):
            pending.coroutine.close()
            self._end_big(message)
            self._refuse(connection, message)
            return
        holds = self._holds(connection, message)
        connection.begin_call()
        if holds:
            self.server.hold(connection)

        self.server.daemon.cancelling.begin(connection, message, pending.state)
        end = partial(self._end, connection, message, holds)

        def done(value: Any, error: BaseException | None) -> None:
            try:
                reply = pending.complete(value, error)
            except BaseException:  # in a hook of the daemon's subclass: its bug must not end the loop
                self._drop_after_error(connection)
                reply = None
            if reply is None:
                end()
                return
            send = partial(self._send, connection, message, reply, end)
            if _leaves_at_once(connection, reply):
                send()
            else:
                self._have_sent(connection, send)

        try:
            self.server.daemon.coroutines.start(pending.state, pending.coroutine, done)
        except PyroError as error:
            if not message.flags & FLAGS_ONEWAY:
                self._answer_with(connection, message, error)
            end()

    def _end(self, connection: Connection, message: Message, held: bool) -> None:
        """A call is answered, or never will be."""
        self.server.daemon.cancelling.end(connection, message)
        self.under_way.give(connection)
        self._end_big(message)
        connection.end_call()
        self.server.request_done(connection, held)

    def _end_big(self, message: Message) -> None:
        if self.server.big_replies is not None:
            self.server.big_replies.end(message)

    def _holds(self, connection: Connection, message: Message) -> bool:
        if message.flags & FLAGS_ONEWAY:
            return not config.ONEWAY_THREADED or (connection.serial_calls and not connection.oneway_apart)
        return connection.serial_calls or connection.link is None

    def _have_sent(self, connection: Connection, send: Callable[[], object]) -> None:
        """Have another thread send a reply; one thread for a connection, however many of its replies wait."""
        with self._lock.guard():
            unsent = self._unsent.get(connection)
            if unsent is not None:
                unsent.append(send)
                return
            self._unsent[connection] = deque([send])
        try:
            call_threads.submit(partial(self._send_all, connection))
        except RuntimeError:  # no thread can be started
            self._send_all(connection)

    def _send_all(self, connection: Connection) -> None:
        while True:
            with self._lock.guard():
                unsent = self._unsent[connection]
                if not unsent:
                    del self._unsent[connection]
                    return
                send = unsent.popleft()
            send()

    def _send(self, connection: Connection, message: Message, reply: Reply, end: Callable[[], object]) -> None:
        try:
            self.server.send_reply(connection, message, reply)
        except Exception:
            self._drop_after_error(connection)
        finally:
            end()

    def _drop_after_error(self, connection: Connection) -> None:
        log.exception("dropping %r: the daemon failed to answer it", connection)
        self.server.drop(connection)

    def _refuse(self, connection: Connection, message: Message) -> None:
        refusal = ServerOverloadedError(
            f"the server is busy: {self.under_way.total} calls of coroutines are under way, "
            f"{self.under_way.of(connection)} of them of this connection (there is room for {self.under_way.most}, "
            "THREADPOOL_SIZE + REQUEST_QUEUE_SIZE, and no client may have all of it); try again later"
        )
        complain(log, connection, refusal)
        if not message.flags & FLAGS_ONEWAY:
            self._answer_with(connection, message, refusal)

    def _answer_with(self, connection: Connection, message: Message, error: PyroError) -> None:
        reply = replies.error_reply(self.server.daemon, connection, message, error)
        self.server.send_reply(connection, message, reply)


def _leaves_at_once(connection: Connection, reply: Reply) -> bool:
    payload = reply.payload
    return (
        type(payload) is bytes and not reply.annotations and connection.channel.has_room_for(MOST_HEAD + len(payload))
    )
