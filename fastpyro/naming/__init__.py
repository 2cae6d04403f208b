"""The name server: what it stores, how it is found, and how it is started. Clients use `client.locate` instead.

Its parts are imported when they are first used, so that whoever needs one of them does not load the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpyro.client.locate import locate_ns, locateNS, resolve
    from fastpyro.naming.broadcast import BroadcastServer
    from fastpyro.naming.cleaner import AutoCleaner
    from fastpyro.naming.name_server import NameServer, type_meta
    from fastpyro.naming.start import NameServerDaemon, start_ns, start_ns_loop, startNS, startNSloop
    from fastpyro.naming.storage import MemoryStorage, SqlStorage

__all__ = [
    "AutoCleaner",
    "BroadcastServer",
    "MemoryStorage",
    "NameServer",
    "NameServerDaemon",
    "SqlStorage",
    "locateNS",
    "locate_ns",
    "resolve",
    "startNS",
    "startNSloop",
    "start_ns",
    "start_ns_loop",
    "type_meta",
]

_PLACES = {
    "AutoCleaner": "fastpyro.naming.cleaner",
    "BroadcastServer": "fastpyro.naming.broadcast",
    "MemoryStorage": "fastpyro.naming.storage",
    "NameServer": "fastpyro.naming.name_server",
    "NameServerDaemon": "fastpyro.naming.start",
    "SqlStorage": "fastpyro.naming.storage",
    "locateNS": "fastpyro.client.locate",
    "locate_ns": "fastpyro.client.locate",
    "resolve": "fastpyro.client.locate",
    "startNS": "fastpyro.naming.start",
    "startNSloop": "fastpyro.naming.start",
    "start_ns": "fastpyro.naming.start",
    "start_ns_loop": "fastpyro.naming.start",
    "type_meta": "fastpyro.naming.name_server",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'fastpyro.naming' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
