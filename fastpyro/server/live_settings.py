"""The settings that a server keeps beside its loop, where asking the configuration each time would cost calls time.

A change of one is told to all servers, so it counts from the next call. Servers are known weakly: one that is gone is
told nothing.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from fastpyro.config import config, on_change
from fastpyro.serializers.registry import native

if TYPE_CHECKING:
    from fastpyro.server.interfaces import Server

__all__ = ["LONGEST_WAIT", "follow"]

LONGEST_WAIT, SHORTEST_WAIT = 1.0, 0.001
"""Seconds between two looks at deadlines."""

_servers: weakref.WeakValueDictionary[int, Server] = weakref.WeakValueDictionary()


def follow(server: Server) -> None:
    """Give a server its settings, now and whenever one changes."""
    _servers[id(server)] = server
    _take(server)


def _take(server: Server) -> None:
    wait = min(LONGEST_WAIT, config.POLLTIMEOUT, server.timeout / 4 or LONGEST_WAIT)
    server.longest_wait = max(wait, SHORTEST_WAIT)
    plain = not (server.daemon.has_annotations or config.COMPRESSION)
    server.requests.use_fast_path(plain and native.serializer_id in server.daemon.accepted_serializers)


def _tell() -> None:
    for reference in _servers.valuerefs():  # copied at once: other threads make servers
        server = reference()
        if server is not None:
            _take(server)


for _name in ("POLLTIMEOUT", "COMPRESSION"):
    on_change(_name, _tell)
