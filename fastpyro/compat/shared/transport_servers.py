"""A daemon's ``transportServer`` as programs of Pyro look at it: where it listens, who is connected, who keeps house.

In Pyro each connection has a worker of a pool, and a thread keeps house. Here neither is so: what stands for them shows the
numbers that they would have.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.server import servers
from fastpyro.server.connection_server import ConnectionServer
from fastpyro.server.multiplex import MultiplexServer
from fastpyro.server.threaded import ThreadedServer

if TYPE_CHECKING:
    import socket

    from fastpyro.server.service import Service

__all__ = ["Housekeeper", "Pool", "SocketServer_Multiplex", "SocketServer_Threadpool", "use_them"]

log = logger("fastpyro.servers")


class Pool:
    """Shows how many workers Pyro would have. Arguments: ``server``.

    Attributes: ``busy``, a set with one worker for each connection; ``idle``, those that would wait for one; ``closed``.
    """

    def __init__(self, server: ThreadedServer) -> None:
        self._server = server

    @property
    def busy(self) -> set[Any]:
        return set(self._server.connections.values())

    @property
    def idle(self) -> set[Any]:
        return set(range(max(0, config.THREADPOOL_SIZE_MIN - len(self.busy))))

    @property
    def closed(self) -> bool:
        return self._server.draining.begun

    def num_workers(self) -> int:
        """Return how many workers there would be."""
        return len(self.busy) + len(self.idle)

    def close(self) -> None:
        """Do nothing: the daemon closes what there is."""

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__name__} at 0x{id(self):x}"
        return f"<{name}; {len(self.busy)} busy workers; {len(self.idle)} idle workers>"


class Housekeeper:
    """Stands for the thread that calls a daemon's ``housekeeping`` in Pyro. Arguments: ``daemon``.

    Attributes: ``pyroDaemon``; ``stop``, an event, and ``waittime`` in seconds, which change nothing here.
    """

    def __init__(self, daemon: Service) -> None:
        self.pyroDaemon = daemon
        self.stop = threading.Event()
        self.waittime = 2.0


class _PeerServer(ConnectionServer):
    """What both servers show."""

    @property
    def locationStr(self) -> str:
        """Where it listens, as URIs say it."""
        return self.daemon.locationStr

    @property
    def shutting_down(self) -> bool:
        """Whether it ends."""
        return self.draining.begun


class SocketServer_Threadpool(_PeerServer, ThreadedServer):
    """The server loop that runs methods in threads."""

    def __init__(self, daemon: Service, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        log.info("starting thread pool socketserver")
        self.pool = Pool(self)
        self.housekeeper = Housekeeper(daemon)

    @property
    def selector(self) -> Any:
        """Not there. Raises TypeError."""
        raise TypeError("threadpool server doesn't have multiplexing selector")

    def combine_loop(self, server: Any) -> None:
        """Not there. Raises TypeError."""
        raise TypeError("You can't use the loop combiner on the threadpool server type")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.locationStr}; {self.pool.num_workers()} workers>"


class SocketServer_Multiplex(_PeerServer, MultiplexServer):
    """The server loop that runs methods in one thread."""

    def __init__(self, daemon: Service, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        log.info("starting multiplexed socketserver")

    @property
    def clients(self) -> set[Any]:
        """The connections."""
        return set(self.connections.values())

    def combine_loop(self, server: Any) -> None:
        """Serve another multiplexed server in this one's loop. Raises TypeError for another kind of server."""
        self.combine(server)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.locationStr}; {len(self.connections)} connections>"


def use_them() -> None:
    """Let the daemons of this process have these servers from now on."""
    servers.SERVERS.update(thread=SocketServer_Threadpool, multiplex=SocketServer_Multiplex)
