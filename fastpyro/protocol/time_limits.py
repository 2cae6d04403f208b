"""`fastpyro.timeout`: the calls of a block end in time. What it does is native, in `_time_limits`."""

from __future__ import annotations

from fastpyro.protocol._time_limits import Scope

__all__ = ["timeout"]


class timeout(Scope):
    """Bounds every remote call inside a ``with`` block, all of them together.

    Argument: ``seconds``, 0 or more; None sets no limit. Counted are looking up names, connecting, calls, items of
    streams, batches, and waiting for results; of nested blocks the shorter time holds. When it is over, the call that is
    under way, and each one after it, raises ``fastpyro.errors.TimeoutError``. The time left travels with the calls
    to native daemons, where it holds for the calls that the methods make (``current_context.time_left``). Nothing else is
    interrupted. A task or coroutine that is made inside keeps the limit; threads that are started inside do not have it.
    Raises ValueError for a number below 0, or for none at all.
    """

    __module__ = "fastpyro"

    __slots__ = ()
