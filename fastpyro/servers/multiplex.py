"""The server that runs every method in one thread: the one that calls `loop`, or a foreign loop that calls `events`.

A slow method makes all other clients wait; in exchange methods never run concurrently. The oneway calls of Pyro's own
clients are an exception: their programs count on a thread for each (`ONEWAY_THREADED`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro._link import Link, Looker
from fastpyro._requests import Term
from fastpyro.config import config
from fastpyro.message_kinds import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE
from fastpyro.servers.connections import ConnectionServer

if TYPE_CHECKING:
    from fastpyro._message import Message
    from fastpyro.connection import Connection
    from fastpyro.daemon import Daemon

__all__ = ["MultiplexServer"]


class MultiplexServer(ConnectionServer):
    """One loop in one thread; may serve other daemons' servers as well (`combine`)."""

    def __init__(self, daemon: Daemon, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        self.combined: list[Any] = []
        self._serving: Connection | None = None
        self._last: Connection | None = None
        self._term = Term()

    @property
    def sockets(self) -> list[socket.socket]:
        """Listener and connections of this server and of those combined with it."""
        served = [connection.sock for connection in list(self.connections.values()) if not connection.held]
        own = [self.listener, self._wake_receiver, *served]
        return own + [sock for other in self.combined for sock in other.sockets]

    def loop(self, condition: Callable[[], bool]) -> None:
        """Serve in this thread until ``condition()`` is false or ``shutdown`` is called."""
        while not self.stopping and condition():
            wait = self.longest_wait
            last = self._last.channel if self._last is not None else None
            ready = self.poller.wait(wait if not self.combined else 0.0, last if isinstance(last, Link) else None)
            if self.combined and not ready:
                ready = self._wait_with_others(wait)
            self.serve_ready(ready, self.looker if len(ready) == 1 and not self.combined else None)
            self.look_at_deadlines()
        self.await_farewells()

    def _wait_with_others(self, wait: float) -> list[int]:
        import selectors

        with selectors.DefaultSelector() as selector:
            for sock in self.sockets:
                selector.register(sock, selectors.EVENT_READ)
            ready = [key.fd for key, _ in selector.select(wait)]
        for other in self.combined:
            other.serve_ready(ready)
        return ready

    def give_back(self, connection: Connection) -> None:
        """As any server, and have a foreign loop watch the connection again."""
        super().give_back(connection)
        self.wakeup()

    def events(self, ready: Iterable[Any]) -> None:
        """Serve what a foreign loop found readable: sockets or descriptors."""
        descriptors = [item if isinstance(item, int) else item.fileno() for item in ready]
        self.serve_ready(descriptors)
        for other in self.combined:
            other.serve_ready(descriptors)
        self.look_at_deadlines()

    def combine(self, other: Any) -> None:
        """Serve another multiplexed daemon's server, or a broadcast responder, in this server's loop."""
        if other is self or other in self.combined:
            return
        self.combined.append(other)

    def serve_ready(self, descriptors: Iterable[int], looker: Looker | None = None) -> None:
        """Serve those of the descriptors that are this server's."""
        for fd in descriptors:
            if self.stopping:
                return
            if fd == self.listener_fd:
                self._last = self.accept_some()
            elif fd == self.wake_fd:
                self.drain_wakeups()
                self._serve_pending()
            elif fd in self.connections and not self.connections[fd].held:
                self._serve(self.connections[fd], looker)

    def _serve_pending(self) -> None:
        while self._pending and not self.stopping:
            connection = self._pending.popleft()
            if not connection.held and self.connections.get(connection.fd) is connection:
                self._serve(connection, None)

    def _serve(self, connection: Connection, looker: Looker | None) -> None:
        self._serving = connection
        try:
            message = self.next_request(connection, self._term, looker)
            while message is not None:
                if connection.oneway_apart and config.ONEWAY_THREADED and _is_oneway_call(message):
                    threading.Thread(target=self._answer, args=(connection, message), daemon=True).start()
                else:
                    self._answer(connection, message)
                more = connection.channel.has_buffered and not connection.channel.closed
                more = more and not connection.held and not self.stopping
                message = self.next_request(connection, self._term) if more else None
        finally:
            self._serving = None
            self._last = None if connection.channel.closed or connection.held else connection
            if self.stopping:
                self.say_farewell(connection)

    def _answer(self, connection: Connection, message: Message) -> None:
        connection.begin_call()
        try:
            self.answer(connection, message)
        finally:
            connection.end_call()

    def shutdown(self) -> None:
        """Stop serving; a call that is being served still gets its reply."""
        if self.stopping:
            return
        self.stopping = True
        asking = self.asking_client()
        if asking is not None and asking is not self._serving:
            self._farewells.add(asking)  # the coroutine of a call asks for it
        self.requests.stop()
        self.poller.remove(self.listener_fd)
        self.listener.close()
        for connection in list(self.connections.values()):
            if connection is not self._serving and connection is not asking:
                self.drop(connection)
        self.wakeup()


def _is_oneway_call(message: Message) -> bool:
    return message.kind == MSG_INVOKE and message.flags & (FLAGS_ONEWAY | FLAGS_BATCH) == FLAGS_ONEWAY
