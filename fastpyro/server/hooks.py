"""How a server calls what the user's subclass of a daemon may have replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import set_leading

__all__ = ["call_hook"]

log = logger("fastpyro.servers")


def call_hook(hook: Callable[..., object], *arguments: Any) -> None:
    """Call a hook. It may make calls itself, though its thread serves clients; what it raises is logged."""
    leading = set_leading(False)
    try:
        hook(*arguments)
    except Exception:
        log.exception("%s failed", getattr(hook, "__name__", hook))
    finally:
        set_leading(leading)
