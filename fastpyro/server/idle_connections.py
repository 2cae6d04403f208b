"""Which connection is dropped so that a new client finds room, when connections have all the descriptors that they may have.

Rule 1: strangers who have had their time for a handshake come first; a few that are new may finish theirs.
Rule 2: then a connection that has been idle for long, of the address that has most connections: the one that has been
        so for the longest time of some that are looked at. Nobody is dropped who has the only one from there, or whose
        call runs or whose reply waits.
Rule 3: all of that takes the same time however many connections there are: others wait for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro.server.complaints import say_dropped
from fastpyro.server.descriptors import most_descriptors

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server

__all__ = ["drop_stranger", "keep_within", "make_room"]

log = logger("fastpyro.servers")

HANDSHAKE_SECONDS = 0.25
"""How long a stranger may be silent while others have no room."""

MOST_NEW = 32
"""Strangers that may be silent for less."""

MOST_PLACES = 8
"""Addresses that are looked at to find an idle connection, those with most connections first."""

MOST_LOOKED_AT = 32
"""Connections of each that are; those that have not been looked at for the longest time."""


def keep_within(server: Server) -> None:
    """Make room for another connection when there are as many as there may be."""
    most = most_descriptors()
    if len(server.connections) >= most:
        make_room(server, f"there are {most} connections, and no descriptors for more")


def make_room(server: Server, reason: str) -> bool:
    """Drop whoever is missed least. False when there is nobody."""
    strangers = server.unadmitted
    oldest = strangers.oldest()
    if oldest is not None:
        is_late = time.monotonic() - oldest.last_used > HANDSHAKE_SECONDS or len(strangers) > MOST_NEW
        if is_late and drop_stranger(server, reason):
            return True
    return _drop_idle(server, reason) or drop_stranger(server, reason)


def drop_stranger(server: Server, reason: str) -> bool:
    """Drop the connection that is longest in its handshake, of the address with most of those. False without any."""
    oldest = server.unadmitted.oldest_of_most()
    if oldest is None:
        return False
    say_dropped(log, server.drops, oldest, ": %s", reason)
    server.drop(oldest)
    return True


def _drop_idle(server: Server, reason: str) -> bool:
    """Drop a connection that is idle, of the address that has most. False when none is found."""
    for count, some in (one for places in (1, MOST_PLACES) for one in server.crowd.largest(places, MOST_LOOKED_AT)):
        idle = [one for one in some if _is_idle(server, one)]
        if count < 2 or not idle:
            server.crowd.put_last(some)
            continue
        longest = min(idle, key=lambda one: one.last_used)
        silence = time.monotonic() - longest.last_used
        why = ", idle for %.3g s, of %d connections from there: %s"
        say_dropped(log, server.drops, longest, why, silence, count, reason)
        server.crowd.put_last(some)
        server.drop(longest)
        return True
    return False


def _is_idle(server: Server, connection: Connection) -> bool:
    return connection.handshaken and not (
        connection.calls_running or connection.read_holds or server.unsent.waits(connection)
    )
