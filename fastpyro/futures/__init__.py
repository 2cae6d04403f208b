"""Results that arrive later: `future` and `result`, and the threads that compute them.

`Future` and `FutureResult` are here too, as in Pyro4's module `futures`; they are imported when they are first used.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.futures.future import Future
    from fastpyro.futures.result import FutureResult, _ExceptionWrapper

__all__ = ["Future", "FutureResult", "_ExceptionWrapper"]

_PLACES = {
    "Future": "fastpyro.futures.future",
    "FutureResult": "fastpyro.futures.result",
    "_ExceptionWrapper": "fastpyro.futures.result",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'fastpyro.futures' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
