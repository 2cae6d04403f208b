"""Calls that are made again by themselves: which ones, how often, and after which pauses.

Rule 1: a call is repeated that surely has not begun (``error.not_started``), and one that may run twice.
Rule 2: whether a method may run twice is said by its object, if it marks any (`idempotent`). Where it says nothing, who
        sets ``_pyroMaxRetries`` has said it for all of them, as with Pyro.
Rule 3: the pauses grow, so that the start of a server is outlived by few tries, and differ, so that its clients do not
        come all at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.errors import (
    CommunicationError,
    ConnectionClosedError,
    NamingError,
    ProtocolError,
    PyroError,
    ServerOverloadedError,
    TimeoutError,
)

if TYPE_CHECKING:
    from typing import Any, TypeVar

    Failure = TypeVar("Failure", bound=PyroError)

__all__ = ["call_repeatedly", "may_be_repeated", "not_begun", "pause_before", "repeatedly"]

FIRST_PAUSE = 0.05
"""Seconds before the second repetition; the first one comes at once, since most connections that break are old ones."""

LONGEST_PAUSE = 1.0


def not_begun(error: Failure) -> Failure:
    """Return the error of a call, having noted in it that the call has not begun."""
    error.not_started = True
    return error


def call_repeatedly(proxy: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method through ``_pyroInvoke``, and again while it fails and may be repeated, within ``_pyroMaxRetries``."""
    return repeatedly(proxy, name, lambda: proxy._pyroInvoke(name, args, kwargs))


def repeatedly(proxy: Any, name: str, attempt: Callable[[], Any]) -> Any:
    """As ``call_repeatedly``, for anything that is done for a call of that method."""
    for number in range(proxy._pyroMaxRetries):
        try:
            return attempt()
        except PyroError as error:
            if not may_be_repeated(proxy, name, error):
                raise
        if number and not getattr(proxy, "_pyro_repeats_as_pyro", True):
            time.sleep(pause_before(number))
    return attempt()


def may_be_repeated(proxy: Any, name: str, error: PyroError) -> bool:
    """Return whether a call of that method, which failed, is made again where ``_pyroMaxRetries`` allows it."""
    lost = isinstance(error, ConnectionClosedError | TimeoutError)
    if getattr(proxy, "_pyro_repeats_as_pyro", True):
        return lost
    if error.not_started:
        passes = isinstance(error, CommunicationError | NamingError | ServerOverloadedError)
        return passes and not isinstance(error, ProtocolError)
    idempotent = proxy._pyro_idempotent
    return lost and (idempotent is None or name in idempotent)


def pause_before(number: int) -> float:
    """Return the seconds before the repetition of that number, give or take a fifth."""
    pause: float = min(FIRST_PAUSE * 2.0 ** min(number - 1, 30), LONGEST_PAUSE)
    return pause * (0.8 + 0.4 * (time.monotonic_ns() % 1000) / 1000)
