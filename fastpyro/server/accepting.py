"""Taking in the connections that wait at a server's listener, for a turn: those that are here have theirs in between."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro.server.descriptors import LISTENER_GONE, OUT_OF_ROOM
from fastpyro.server.idle_connections import make_room

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server

__all__ = ["MOST_AT_ONCE", "accept_for", "look_at_listener"]

log = logger("fastpyro.servers")

MOST_AT_ONCE = 8
"""Connections that are accepted in one turn, however quickly that goes: who is here waits for no more of them."""


def accept_for(server: Server, seconds: float) -> Connection | None:
    """Accept connections that wait, one at least. Returns the last one of them, which will say something soon.

    Arguments: ``seconds``, after which no more are accepted, nor after `MOST_AT_ONCE`.
    """
    newest = None
    until = time.monotonic() + seconds
    accepted = 0
    while not server.stopping:
        try:
            fd = server.poller.accept(server.listener)
        except OSError as error:
            if error.errno in OUT_OF_ROOM and make_room(server, f"there is no room for others ({error})"):
                continue
            if not server.stopping:
                server.pause_accepting(error)
            return newest
        if fd < 0:
            return newest
        sock = socket.socket(*server.kind_of_socket, fileno=fd)
        try:
            address = sock.getpeername()
        except OSError:  # it has gone already
            sock.close()
            continue
        newest = server.admit(sock, address)
        accepted += 1
        if accepted == MOST_AT_ONCE or time.monotonic() > until:
            break
    return newest


def look_at_listener(server: Server) -> None:
    """Go on accepting after a pause; shut down a server that has lost its listener, once it has no connections."""
    if server.listener.fileno() < 0:
        if server.listener_fd >= 0:
            log.error(LISTENER_GONE, server.daemon.locationStr)
            server.listener_fd = -1  # the number may be somebody else's by now
        if not server.connections:
            server.shutdown()
    elif not server.accepting:
        server.accepting = True
        server.poller.add(server.listener_fd)
