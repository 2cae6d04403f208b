"""The server that runs every method in one thread: the one that calls `loop`, or a foreign loop that calls `events`.

A slow method makes all other clients wait; in exchange methods never run concurrently.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro.config import config
from fastpyro.servers.connections import LONGEST_WAIT, ConnectionServer

if TYPE_CHECKING:
    from fastpyro.daemon import Daemon

__all__ = ["MultiplexServer"]


class MultiplexServer(ConnectionServer):
    """One loop in one thread; may serve other daemons' servers as well (`combine`)."""

    def __init__(self, daemon: Daemon, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        self.combined: list[Any] = []
        self._serving: int | None = None

    @property
    def sockets(self) -> list[socket.socket]:
        """Listener and connections of this server and of those combined with it."""
        own = [self.listener, self._wake_receiver, *(connection.sock for connection in list(self.connections.values()))]
        return own + [sock for other in self.combined for sock in other.sockets]

    def loop(self, condition: Callable[[], bool]) -> None:
        """Serve in this thread until ``condition()`` is false or ``shutdown`` is called."""
        while not self.stopping and condition():
            wait = min(LONGEST_WAIT, config.POLLTIMEOUT)
            ready = self.poller.wait(wait if not self.combined else 0.0)
            if self.combined and not ready:
                ready = self._wait_with_others(wait)
            self.serve_ready(ready)
            self.look_at_deadlines()

    def _wait_with_others(self, wait: float) -> list[int]:
        import selectors

        with selectors.DefaultSelector() as selector:
            for sock in self.sockets:
                selector.register(sock, selectors.EVENT_READ)
            ready = [key.fd for key, _ in selector.select(wait)]
        for other in self.combined:
            other.serve_ready(ready)
        return ready

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

    def serve_ready(self, descriptors: Iterable[int]) -> None:
        """Serve those of the descriptors that are this server's."""
        for fd in descriptors:
            if self.stopping:
                return
            if fd == self.listener_fd:
                self.accept_all()
            elif fd == self.wake_fd:
                self.drain_wakeups()
            elif fd in self.connections:
                self._serve(fd)

    def _serve(self, fd: int) -> None:
        connection = self.connections[fd]
        self._serving = fd
        try:
            message = self.next_request(fd, connection)
            while message is not None:
                connection.in_call = True
                self.answer(fd, connection, message)
                connection.in_call = False
                more = fd in self.connections and connection.channel.has_buffered and not self.stopping
                message = self.next_request(fd, connection) if more else None
        finally:
            self._serving = None
            connection.in_call = False
            if self.stopping:
                self.drop(fd)

    def shutdown(self) -> None:
        """Stop serving; a call that is being served still gets its reply."""
        if self.stopping:
            return
        self.stopping = True
        self.poller.remove(self.listener_fd)
        self.listener.close()
        for fd in list(self.connections):
            if fd != self._serving:
                self.drop(fd)
        self.wakeup()
