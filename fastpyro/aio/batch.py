"""Batches on an event loop: many calls in one message, and their results in one reply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastpyro.aio._call import Call, LoopCaller
from fastpyro.client._proxy import QueuedMethod
from fastpyro.client.batch import iterator_over
from fastpyro.protocol._batch import BatchWriter
from fastpyro.serializers.registry import native

__all__ = ["Batch", "batch"]


class Batch:
    """Queues calls on a proxy and performs them together: ``results = await batch()``.

    Calling the batch empties the queue, and it can be used again. Each call is encoded when it is queued.
    """

    __module__ = "fastpyro.aio"

    def __init__(self, proxy: LoopCaller) -> None:
        self._proxy = proxy
        self._writer = BatchWriter(native.codec)

    def __getattr__(self, name: str) -> QueuedMethod:
        if name == "_writer" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        return QueuedMethod(self._writer, name)

    def __len__(self) -> int:
        return len(self._writer)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<aio.Batch of {len(self)} queued calls for {self._proxy._pyro_inner._pyroUri}>"

    async def __call__(self, oneway: bool = False) -> Iterator[Any] | None:
        """Perform the queued calls in order, in one round trip.

        Arguments: ``oneway``: do not wait, and give None. Returns an iterator over the results, in the order of the calls;
        where a call failed it raises the error, and the calls after it have not been performed.
        Raises CommunicationError when the batch as a whole could not be performed.
        """
        writer = self._writer.detach()
        results = await Call(self._proxy, "batch", (), batch=writer, oneway=oneway)
        return None if oneway else iterator_over(*results)


def batch(proxy: LoopCaller) -> Batch:
    """Return a batch for the proxy; see Batch."""
    return Batch(proxy)
