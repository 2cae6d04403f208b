"""Finding name servers and names without blocking the event loop: the functions of `client/locate`, in a thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastpyro.aio.connecting import in_thread
from fastpyro.aio.proxy import Proxy
from fastpyro.client import locate

if TYPE_CHECKING:
    from fastpyro.uri import URI

__all__ = ["locate_ns", "resolve"]


async def locate_ns(host: str | None = "", port: int | None = None, broadcast: bool | None = None) -> Proxy:
    """Return a connected proxy for the name server; arguments and errors as for ``fastpyro.locate_ns``."""
    found = await in_thread(partial(locate.locate_ns, host, port, broadcast), lambda proxy: proxy._pyroRelease())
    return Proxy._pyro_of(found)


async def resolve(
    uri: str | URI, delay_time: float = 0.0, *, timeout: float | None = None, hmac_key: str | bytes | None = None
) -> URI:
    """Return the PYRO uri that a uri stands for; arguments and errors as for ``fastpyro.resolve``."""
    asked: Any = partial(locate.resolve, uri, delay_time, timeout=timeout, hmac_key=hmac_key)
    found: URI = await in_thread(asked, lambda uri: None)
    return found
