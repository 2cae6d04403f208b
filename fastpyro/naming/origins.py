"""The host that registered a name, as far as a name server may believe it: from which host the call came.

A name server that checks its names connects to where they say they are. It must not connect to wherever anybody says:
only to the machine from which the name was registered. Knows no names.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from fastpyro.uri import URI

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["LOCAL", "SAME_HOST", "may_be_at", "origin_of"]

LOCAL = "local"
"""This process itself: it may register what it likes."""

SAME_HOST = "same host"
"""Another program on this machine."""

LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def origin_of(client: Connection | None) -> str:
    """Return where a call comes from: ``LOCAL``, ``SAME_HOST``, or the numeric address of another host."""
    if client is None:
        return LOCAL
    sock = client.sock
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return SAME_HOST
    try:
        peer, own = _plain(str(sock.getpeername()[0])), _plain(str(sock.getsockname()[0]))
    except OSError:  # gone meanwhile
        return ""
    return SAME_HOST if peer == own or is_loopback(peer) else peer


def may_be_at(uri: URI, origin: str | None, addresses: frozenset[str]) -> bool:
    """Return whether a name server may connect to a URI's location to see whether it is alive.

    Arguments: ``origin``, as ``origin_of`` gives it (None: unknown); ``addresses``, the numeric ones of the URI's host.
    """
    if origin == LOCAL:
        return True
    if not origin:
        return False
    if uri.sockname:
        return origin == SAME_HOST
    if origin == SAME_HOST:
        return bool(addresses) and all(map(_is_own, addresses))
    return bool(addresses) and all(_plain(address) == origin for address in addresses)


def is_loopback(address: str) -> bool:
    """Return whether a numeric address is this machine's loopback."""
    try:
        return ipaddress.ip_address(_plain(address)).is_loopback
    except ValueError:
        return False


def _plain(address: str) -> str:
    """Return a numeric address without its zone; an IPv4 address in the clothes of IPv6 as what it is."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def _is_own(address: str) -> bool:
    """Return whether an address is one of this machine, by trying to be there; nothing is sent."""
    if is_loopback(address):
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
