"""The server: daemons, what clients may use of their objects, and the loops that serve.

The names of Pyro5's module `server` are here too; they are imported when they are first used.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.server.daemon import Daemon, serve
    from fastpyro.server.daemon_object import DaemonObject
    from fastpyro.server.exposure import behavior, callback, expose, oneway
    from fastpyro.values.member_names import is_private_attribute

__all__ = ["Daemon", "DaemonObject", "behavior", "callback", "expose", "is_private_attribute", "oneway", "serve"]

_PLACES = {
    "Daemon": "fastpyro.server.daemon",
    "DaemonObject": "fastpyro.server.daemon_object",
    "behavior": "fastpyro.server.exposure",
    "callback": "fastpyro.server.exposure",
    "expose": "fastpyro.server.exposure",
    "is_private_attribute": "fastpyro.values.member_names",
    "oneway": "fastpyro.server.exposure",
    "serve": "fastpyro.server.daemon",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'fastpyro.server' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
