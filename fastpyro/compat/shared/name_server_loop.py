"""Serving a name server from the command line: what both Pyros print meanwhile."""

from __future__ import annotations

import socket
from typing import Any

from fastpyro.constants import NAMESERVER_NAME
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.naming.start import NameServerDaemon
from fastpyro.uri import URI

__all__ = ["serve"]


def serve(uri: Any, daemon: NameServerDaemon, responder: BroadcastServer | None, note: str = "") -> None:
    """Print where a name server is, and serve it until Ctrl-C; closes everything.

    Arguments: its ``uri`` and ``daemon``; the ``responder`` to broadcast, or None; ``note``, a line to print as well.
    """
    try:
        if responder is not None:
            print(f"Broadcast server running on {responder.locationStr}")
            responder.runInThread()
        else:
            _say_why_not(daemon.sock)
        _announce(uri, daemon, note)
        daemon.requestLoop()
    finally:
        if responder is not None:
            responder.close()
        daemon.close()
    print("NS shut down.", flush=True)


def _say_why_not(listener: socket.socket) -> None:
    """Say why there is no responder, unless the user wants none."""
    if listener.family == socket.AF_INET6:
        print("Not starting broadcast server for IPv6.")
    elif listener.family == socket.AF_INET and listener.getsockname()[0].startswith("127."):
        print("Not starting broadcast server for localhost.")


def _announce(uri: Any, daemon: NameServerDaemon, note: str) -> None:
    assert daemon.nameserver is not None
    existing = daemon.nameserver.count() - 1  # not its own
    if existing > 0:
        print(f"Persistent store contains {existing} existing registrations.")
    is_unix = URI.isUnixsockLocation(daemon.locationStr)
    print(f"NS running on {daemon.locationStr} ({'Unix domain socket' if is_unix else daemon.sock.getsockname()[0]})")
    if note:
        print(note)
    if daemon.natLocationStr:
        print(f"internal URI = {daemon.uriFor(NAMESERVER_NAME, nat=False)}")
        print(f"external URI = {uri}", flush=True)
    else:
        print(f"URI = {uri}", flush=True)
