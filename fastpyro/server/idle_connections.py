"""Who is dropped so that a new client finds room, when connections have all the descriptors that they may have.

Rule 1: strangers who have had their time for a handshake come first; a few that are new may finish theirs.
Rule 2: then the connection that has been idle longest, of the address that has most connections. Nobody is dropped who
        has the only one from there, or whose call runs or whose reply waits.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro.server.descriptors import most_descriptors, oldest_of_most

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server

__all__ = ["drop_stranger", "keep_within", "make_room"]

log = logger("fastpyro.servers")

HANDSHAKE_SECONDS = 0.25
"""How long a stranger may be silent while others have no room."""

MOST_NEW = 32
"""Strangers that may be silent for less."""

AT_ONCE = 256
"""One connection of so many is dropped at once: finding it takes a look at all of them."""


def keep_within(server: Server) -> None:
    """Make room for another connection when there are as many as there may be."""
    most = most_descriptors()
    if len(server.connections) >= most:
        make_room(server, f"there are {most} connections, and no descriptors for more")


def make_room(server: Server, reason: str) -> bool:
    """Drop whoever is missed least. False when there is nobody."""
    strangers = server.unadmitted
    oldest = next(iter(list(strangers.values())), None)
    if oldest is not None:
        is_late = time.monotonic() - oldest.last_used > HANDSHAKE_SECONDS or len(strangers) > MOST_NEW
        if is_late and drop_stranger(server, reason):
            return True
    return _drop_idle(server, reason) or drop_stranger(server, reason)


def drop_stranger(server: Server, reason: str) -> bool:
    """Drop the connection that is longest in its handshake, of the address with most of those. False without any."""
    oldest = oldest_of_most(server.unadmitted.values())
    if oldest is None:
        return False
    log.warning("dropping %r: %s", oldest, reason)
    server.drop(oldest)
    return True


def _drop_idle(server: Server, reason: str) -> bool:
    """Drop the connections that are idle longest, of the address that has most. False when there are none."""
    connections = list(server.connections.values())
    counts = Counter(map(_place_of, connections))
    idle = [one for one in connections if _is_idle(server, one)]
    if not idle:
        return False
    most = max(counts[_place_of(one)] for one in idle)
    if most < 2:
        return False
    of_most = [one for one in idle if counts[_place_of(one)] == most]
    for one in heapq.nsmallest(1 + len(of_most) // AT_ONCE, of_most, key=lambda one: one.last_used):
        log.warning(
            "dropping %r, idle for %.3g s, of %d connections from there: %s",
            one,
            time.monotonic() - one.last_used,
            most,
            reason,
        )
        server.drop(one)
    return True


def _is_idle(server: Server, connection: Connection) -> bool:
    return connection.handshaken and not (connection.in_call or connection.held or server.unsent.waits(connection))


def _place_of(connection: Connection) -> Any:
    """Return the address; of IPv6 the network, in which one client may have any."""
    address = connection.address
    if ":" not in address or address.startswith("::ffff:"):  # which is an IPv4 one
        return address
    import ipaddress

    return ipaddress.IPv6Address(address.partition("%")[0]).packed[:8]
