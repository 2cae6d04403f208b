"""Batches of calls on proxies that say themselves how a batch is performed, as programs of Pyro may let theirs.

fastpyro encodes the calls as they are queued. A proxy of the program's own, or a subclass with another
``_pyroInvokeBatch``, gets them as Pyro gives them, a list of (method, args, kwargs), and answers with a list of results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fastpyro.client.batch
from fastpyro.errors import PyroError
from fastpyro.protocol._batch import BatchWriter, decode_batch
from fastpyro.serializers.registry import native
from fastpyro.values.peer_dicts import FailedCall

__all__ = ["BatchedCalls", "PeerBatch"]

OWN_MODULES = ("fastpyro.", "Pyro4.core", "Pyro5.client")
"""Modules whose proxies take calls that are encoded."""


class BatchedCalls:
    """Mixed into the ``Proxy`` of a facade: its ``_pyroInvokeBatch`` takes a list of calls, too."""

    def _pyroInvokeBatch(self, calls: Any, oneway: bool = False) -> Any:
        """Perform calls, each (method, args, kwargs), in one message; returns a list of what they return.

        A call that failed is the last of them, and there is an object with its ``exception`` instead.
        """
        if isinstance(calls, BatchWriter):
            return super()._pyroInvokeBatch(calls, oneway)  # type: ignore[misc]
        writer = BatchWriter(native.codec)
        for method, args, kwargs in calls:
            writer.add(method, tuple(args), kwargs)
        values, error = super()._pyroInvokeBatch(writer, oneway)  # type: ignore[misc]
        if oneway:
            return None
        return list(values) if error is None else [*values, FailedCall(error)]


class PeerBatch(fastpyro.client.batch.BatchProxy):
    """Queues calls on a proxy and performs them together; see fastpyro.BatchProxy."""

    def __call__(self, oneway: bool = False, asynchronous: bool = False, **keywords: Any) -> Any:
        """Perform the queued calls in order, in one round trip; see fastpyro.BatchProxy."""
        if _takes_encoded(self._proxy):
            return super().__call__(oneway, asynchronous, **keywords)
        asynchronous = keywords.pop("async", asynchronous)
        if keywords:
            raise TypeError(f"batch() got an unexpected keyword argument '{next(iter(keywords))}'")
        if oneway and asynchronous:
            raise PyroError("async oneway calls make no sense")
        _, calls = decode_batch(native.codec, self._writer.detach().payload(""))
        queued = [(method, args, kwargs or {}) for method, args, kwargs in calls]
        if asynchronous:
            from fastpyro.futures.future import run_in_background

            return run_in_background(_perform, self._proxy, queued)
        if oneway:
            self._proxy._pyroInvokeBatch(queued, oneway=True)  # type: ignore[arg-type]
            return None
        return _perform(self._proxy, queued)


def _takes_encoded(proxy: Any) -> bool:
    method = getattr(type(proxy), "_pyroInvokeBatch", None)
    return method is None or str(method.__module__).startswith(OWN_MODULES)


def _perform(proxy: Any, calls: list[Any]) -> Iterator[Any]:
    return _results(proxy._pyroInvokeBatch(calls))


def _results(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if type(value) is FailedCall:
            raise value.exception
        yield value
