"""The client: proxies, and how a call leaves and its answer arrives.

The names of Pyro5's module `client` are here too; they are imported when they are first used.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.client.batch import BatchProxy
    from fastpyro.client.proxy import Proxy
    from fastpyro.protocol.blobs import SerializedBlob

__all__ = ["BatchProxy", "Proxy", "SerializedBlob"]

_PLACES = {
    "BatchProxy": "fastpyro.client.batch",
    "Proxy": "fastpyro.client.proxy",
    "SerializedBlob": "fastpyro.protocol.blobs",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'fastpyro.client' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
