"""What the proxies of one loop share, and what becomes of their connections when the loop ends or the process forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from fastpyro.aio._turns import LoopTurns

__all__ = ["turns_of"]

_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopTurns] = weakref.WeakKeyDictionary()

_of_parent: list[Any] = []
"""In a forked child: generators that must not be collected, for that would wake the parent's loop."""


def turns_of(loop: asyncio.AbstractEventLoop) -> LoopTurns:
    """Return what the exchanges of the running loop share."""
    turns = _turns.get(loop)
    if turns is None:
        for other in [other for other in _turns if other.is_closed()]:
            del _turns[other]
        ready = getattr(loop, "_ready", None)  # uvloop keeps its own to itself
        turns = _turns[loop] = LoopTurns(ready if type(ready) is deque else None)
    if turns.keeper is None:
        turns.keeper = _keeper(turns.exchanges, weakref.ref(turns))
        with contextlib.suppress(StopIteration):
            turns.keeper.asend(None).send(None)  # from now on the loop knows it
    return turns


async def _keeper(exchanges: weakref.WeakSet[Any], turns: weakref.ref[LoopTurns]) -> AsyncGenerator[None, None]:
    """Close the connections when the loop closes its asynchronous generators, as ``asyncio.run`` does at its end."""
    try:
        yield
    finally:
        for exchange in list(exchanges):
            exchange.close()
        if (kept := turns()) is not None:
            kept.keeper = None


def _abandon_after_fork() -> None:
    for turns in list(_turns.values()):
        for exchange in list(turns.exchanges):
            exchange.abandon()
        _of_parent.append(turns.keeper)
    _turns.clear()


os.register_at_fork(after_in_child=_abandon_after_fork)
