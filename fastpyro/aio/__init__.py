"""fastpyro for asyncio programs: proxies whose calls are awaited, on asyncio's and uvloop's loops.

>>> async with aio.Proxy("PYRONAME:camera") as camera:
...     frame = await camera.grab(exposure=0.1)
"""

from __future__ import annotations

from fastpyro.aio.batch import Batch, batch
from fastpyro.aio.locate import locate_ns, resolve
from fastpyro.aio.proxy import Proxy
from fastpyro.aio.streams import Stream

__all__ = ["Batch", "Proxy", "Stream", "batch", "locate_ns", "resolve"]
