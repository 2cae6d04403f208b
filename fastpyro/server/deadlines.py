"""Connections from which nothing has come for too long are dropped; where many are due at once, bit by bit.

Rule 1: who has sent something that this server has not read yet, because a method kept it busy, is not silent. Within
        bounds: a stranger must not stay by sending a byte now and then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.server.complaints import say_dropped
from fastpyro.transport import sockets

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server

__all__ = ["drop_overdue"]

log = logger("fastpyro.servers")

LATEST = 10
"""Times the limit, after which a connection is dropped though something waits to be read."""


def drop_overdue(server: Server, now: float, seconds: float) -> bool:
    """Drop connections whose handshake, or whose silence, lasts too long. False when there are more than there is time for.

    Arguments: ``now``, as `time.monotonic` says it; ``seconds``, after which no more are dropped.
    """
    until = time.monotonic() + seconds
    for connection in server.unadmitted.values():
        if _is_overdue(connection, now, config.HANDSHAKE_TIMEOUT):
            say_dropped(log, server.drops, connection, ": no handshake within %g s", config.HANDSHAKE_TIMEOUT)
            server.drop(connection)
            if time.monotonic() > until:
                return False
    if not server.timeout:
        return True
    for connection in list(server.connections.values()):
        if _is_silent(server, connection, now):
            log.info("dropping %r: silent for more than COMMTIMEOUT %g s", connection, server.timeout)
            server.drop(connection)
            if time.monotonic() > until:
                return False
    return True


def _is_silent(server: Server, connection: Connection, now: float) -> bool:
    # A reply that waits has the same limit, and another log line.
    return _is_overdue(connection, now, server.timeout) and not server.unsent.waits(connection)


def _is_overdue(connection: Connection, now: float, limit: float) -> bool:
    silence = now - connection.last_used
    if silence <= limit or connection.calls_running:
        return False
    return silence > LATEST * limit or not sockets.has_arrived(connection.sock)
