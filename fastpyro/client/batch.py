"""Batched calls: many calls on one proxy in a single message, and their results in a single reply.

Each call is encoded when it is queued, so what it says is what its arguments were at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastpyro.client._proxy import QueuedMethod, RememberedNames, install_remembering
from fastpyro.errors import PyroError
from fastpyro.protocol._batch import BatchWriter
from fastpyro.serializers.registry import native

if TYPE_CHECKING:
    from typing import Literal, Self, overload

    from fastpyro.client.interfaces import Caller
    from fastpyro.futures.result import FutureResult

__all__ = ["BatchProxy", "batch", "iterator_over"]


class BatchProxy(RememberedNames):
    """Queues calls on a proxy and performs them together.

    Any method name may be queued; the server checks it when the batch runs. Calling the batch sends the queued calls and
    empties the queue, also when sending fails; the batch can be used again. Not to be shared among threads.
    """

    __module__ = "fastpyro"

    def __init__(self, proxy: Caller) -> None:
        self._proxy = proxy
        self._writer = BatchWriter(native.codec)

    def __getattr__(self, name: str) -> QueuedMethod:
        if name == "_writer" or (name.startswith("__") and name.endswith("__")):  # not there yet, or no method's name
            raise AttributeError(name)
        queued: QueuedMethod = self._pyro_remember(name, QueuedMethod(self._writer, name))
        return queued

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave a block; calls that were queued and not performed are kept."""

    def __copy__(self) -> BatchProxy:
        copied = type(self)(self._proxy)
        copied._writer = self._writer.copy()
        return copied

    def __len__(self) -> int:
        return len(self._writer)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} queued calls for {self._proxy._pyroUri}>"

    if TYPE_CHECKING:

        @overload
        def __call__(self, oneway: Literal[False] = False, asynchronous: Literal[False] = False) -> Iterator[Any]: ...
        @overload
        def __call__(self, oneway: Literal[True]) -> None: ...
        @overload
        def __call__(self, *, asynchronous: Literal[True]) -> FutureResult: ...
        @overload
        def __call__(self, oneway: bool = False, asynchronous: bool = False, **keywords: Any) -> Any: ...

    def __call__(self, oneway: bool = False, asynchronous: bool = False, **keywords: Any) -> Any:
        """Perform the queued calls in order, in one round trip.

        Arguments: ``oneway``: do not wait and give no results; ``asynchronous`` (or ``**{"async": True}``): return a
        FutureResult at once, whose value is the results. Returns an iterator over the results, in the order of the calls;
        where a call failed the iterator raises its error, and the calls after it have not been performed.
        Raises CommunicationError when the batch as a whole could not be performed.
        """
        asynchronous = keywords.pop("async", asynchronous)
        if keywords:
            raise TypeError(f"batch() got an unexpected keyword argument '{next(iter(keywords))}'")
        if oneway and asynchronous:
            raise PyroError("async oneway calls make no sense")
        writer = self._writer.detach()
        if asynchronous:
            from fastpyro.futures.future import run_in_background

            return run_in_background(_perform, self._proxy, writer)
        if oneway:
            self._proxy._pyroInvokeBatch(writer, oneway=True)
            return None
        return _perform(self._proxy, writer)


def _perform(proxy: Caller, writer: BatchWriter) -> Iterator[Any]:
    return iterator_over(*proxy._pyroInvokeBatch(writer))


def iterator_over(values: list[Any], error: BaseException | None) -> Iterator[Any]:
    """Return the results of a batch in turn; the error that ended it is raised in its place."""
    return iter(values) if error is None else _results(values, error)


def _results(values: list[Any], error: BaseException) -> Iterator[Any]:
    yield from values
    try:
        raise error
    finally:
        del error  # its traceback holds this frame, which would hold it


def batch(proxy: Caller) -> BatchProxy:
    """Return a batch for the proxy; see BatchProxy."""
    return BatchProxy(proxy)


install_remembering(BatchProxy)
