"""Finding the name server, as users do it; `resolver` does the work, and needs no `Proxy` for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpyro.client.resolver import check_location, find_name_server, lookup, resolve, yplookup

if TYPE_CHECKING:
    from fastpyro.client.proxy import Proxy

__all__ = ["check_location", "locateNS", "locate_ns", "lookup", "resolve", "yplookup"]


def locate_ns(host: str | None = "", port: int | None = None, broadcast: bool | None = None) -> Proxy:
    """Return a connected proxy for the name server.

    Arguments: ``host``, where it is (a name, an address, or "./u:path"); without it ``config.NS_HOST`` is tried, and the
    network is asked by broadcast if ``broadcast`` is true (None: ``config.NS_BROADCAST``); ``port``, None for
    ``config.NS_PORT``, or when broadcasting the UDP port, None for ``config.NS_BCPORT``.
    Raises NamingError, which says what is wrong at which address.
    """
    found: Proxy = find_name_server(host or "", port, broadcast)  # type: ignore[assignment]
    return found


def locateNS(
    host: str | None = None, port: int | None = None, broadcast: bool | None = None, hmac_key: str | bytes | None = None
) -> Proxy:
    """Pyro4's spelling of ``locate_ns``; with ``hmac_key``, the key of the name server."""
    found: Proxy = find_name_server(host or "", port, broadcast, hmac_key)  # type: ignore[assignment]
    return found
