"""fastpyro for asyncio programs: proxies whose calls are awaited, on asyncio's and uvloop's loops.

>>> async with aio.Proxy("PYRONAME:camera") as camera:
...     frame = await camera.grab(exposure=0.1)
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.aio.batch import Batch, batch
from fastpyro.aio.locate import locate_ns, resolve
from fastpyro.aio.proxy import Proxy
from fastpyro.aio.streams import Stream

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.aio.daemon import Daemon as Daemon

__all__ = ["Batch", "Daemon", "Proxy", "Stream", "batch", "locate_ns", "resolve"]


def __getattr__(name: str) -> Any:
    if name == "Daemon":  # clients need none, and it takes long to import
        from fastpyro.aio.daemon import Daemon

        return Daemon
    raise AttributeError(f"module 'fastpyro.aio' has no attribute {name!r}")
