"""The server loops: who waits for requests, and in which thread methods run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpyro.errors import PyroError
from fastpyro.server.connection_server import ConnectionServer
from fastpyro.server.existing import ExistingConnectionServer
from fastpyro.server.multiplex import MultiplexServer
from fastpyro.server.threaded import ThreadedServer
from fastpyro.transport.channel import in_greenlets

if TYPE_CHECKING:
    import socket

    from fastpyro.server.service import Service

__all__ = ["ConnectionServer", "ExistingConnectionServer", "MultiplexServer", "ThreadedServer", "make_server"]

SERVERS: dict[str, type[ConnectionServer]] = {"thread": ThreadedServer, "multiplex": MultiplexServer}


def make_server(server_type: str, daemon: Service, listener: socket.socket) -> ConnectionServer:
    """Return the server for ``config.SERVERTYPE``; it owns the listening socket from then on. Among greenlets, which are one
    thread, it is the one that needs no others."""
    if server_type == "thread" and in_greenlets():
        server_type = "multiplex"
    try:
        return SERVERS[server_type](daemon, listener)
    except KeyError:
        raise PyroError(f"invalid server type '{server_type}'; there are {sorted(SERVERS)}") from None
