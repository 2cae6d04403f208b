"""The server for one socket that is connected already, such as one end of a socketpair: no listener, no handshake."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.errors import PyroError
from fastpyro.server.multiplex import MultiplexServer
from fastpyro.transport.sockets import receive_limit_kept

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.service import Service
    from fastpyro.transport.channel import Channel

__all__ = ["ExistingConnectionServer"]

log = logger("fastpyro.servers")


class ExistingConnectionServer(MultiplexServer):
    """Serves one peer in the thread that calls `loop`, until the peer closes. The socket itself stays its owner's.

    Arguments: ``daemon``; ``sock``, a connected socket.
    """

    def __init__(self, daemon: Service, sock: socket.socket) -> None:
        self._partner, silent = socket.socketpair()  # what the base class takes for a listener: never readable
        super().__init__(daemon, silent)
        log.info("starting server on user-supplied connected socket %s", sock)
        self._given = sock
        with receive_limit_kept(sock):
            self.admit(sock.dup(), sock.getsockname())
        (connection,) = self.connections.values()
        self.unadmitted.clear()
        connection.attached = connection.handshaken = True
        self.unfinished.watch(connection)
        connection.channel.set_max_message_size(config.MAX_MESSAGE_SIZE)

    @property
    def sock(self) -> socket.socket:
        """The connected socket."""
        return self._given

    @property
    def sockets(self) -> list[socket.socket]:
        return [self._given]

    def loop(self, condition: Callable[[], bool]) -> None:
        """Serve in this thread until the peer has closed, ``condition()`` is false, or ``shutdown`` is called."""
        self.begin()
        super().loop(lambda: bool(self.connections) and condition())

    def events(self, ready: Iterable[Any]) -> None:
        raise PyroError("a daemon on a connected socket cannot be served by a foreign loop; call its requestLoop")

    def combine(self, other: Any) -> None:
        raise PyroError("a daemon on a connected socket cannot be combined with others")

    def drop(self, connection: Connection, at_home: bool = False) -> None:
        """Forget the peer; only our own copy of its socket is closed."""
        channel: Channel = connection.channel
        if self.connections.get(connection.fd) is connection and not channel.closed:
            channel.abandon()
        super().drop(connection, at_home)

    def close(self) -> None:
        super().close()
        self._partner.close()
