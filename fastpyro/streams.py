"""Item streams, the server's side: iterators that calls returned and that clients fetch from, item by item.

A stream belongs to the connection that opened it, outlives it for ITER_STREAM_LINGER seconds, so that a client that
reconnects can go on, and ends after ITER_STREAM_LIFETIME seconds (0: never) whatever happens.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TYPE_CHECKING, Any

from fastpyro.config import config
from fastpyro.errors import PyroError

if TYPE_CHECKING:
    from fastpyro.coroutines import Coroutines

__all__ = ["AwaitedItems", "Stream", "StreamTable"]


class Stream:
    """One iterator that a client fetches from."""

    __slots__ = ("connection", "created", "iterator", "lingering_since", "lock")

    def __init__(self, iterator: Iterator[Any], connection: Any) -> None:
        self.iterator = iterator
        self.connection = connection
        self.created = time.monotonic()
        self.lingering_since = 0.0
        self.lock = threading.Lock()

    def end(self) -> None:
        """Close the iterator if it can be closed and nobody is inside."""
        close = getattr(self.iterator, "close", None)
        if close is not None and self.lock.acquire(blocking=False):
            try:
                close()
            except Exception:
                return  # the client that cared is gone
            finally:
                self.lock.release()


class AwaitedItems:
    """An asynchronous iterator as an ordinary one, for threads other than its event loop's.

    Arguments: ``iterator``; ``coroutines``, those of the daemon.
    """

    def __init__(self, iterator: AsyncIterator[Any], coroutines: Coroutines) -> None:
        self._iterator = iterator
        self._coroutines = coroutines

    def __iter__(self) -> AwaitedItems:
        return self

    def __next__(self) -> Any:
        try:
            return self._coroutines.value_of(_next_item(self._iterator))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Let an asynchronous generator end, without waiting for it."""
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            self._coroutines.forget(_awaited(close()))


async def _next_item(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class StreamTable:
    """The open streams of one daemon, by id. Safe among threads."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    def open(self, iterator: Iterator[Any], connection: Any) -> str:
        """Take an iterator in; return the id under which its items are fetched."""
        stream_id = str(uuid.uuid4())
        self.streams[stream_id] = Stream(iterator, connection)
        return stream_id

    def next_item(self, stream_id: str, connection: Any) -> Any:
        """Return the stream's next item.

        Raises StopIteration at its end, what the iterator raises, or PyroError for an unknown or expired stream.
        """
        stream = self.streams.get(stream_id)
        if stream is None:
            raise PyroError("item stream terminated")
        stream.connection = connection
        stream.lingering_since = 0.0
        try:
            with stream.lock:
                return next(stream.iterator)
        except BaseException:
            self.streams.pop(stream_id, None)
            raise

    def close(self, stream_id: str) -> None:
        """End a stream; unknown ids are no error."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            stream.end()

    def connection_lost(self, connection: Any) -> None:
        """Let the streams of a connection linger, or end them when lingering is off."""
        for stream_id, stream in list(self.streams.items()):
            if stream.connection is connection:
                stream.connection = None
                stream.lingering_since = time.monotonic()
                if config.ITER_STREAM_LINGER <= 0:
                    self.close(stream_id)

    def expire(self) -> None:
        """End the streams whose time is over."""
        now = time.monotonic()
        for stream_id, stream in list(self.streams.items()):
            too_old = 0 < config.ITER_STREAM_LIFETIME < now - stream.created
            left_alone = stream.lingering_since and now - stream.lingering_since > config.ITER_STREAM_LINGER
            if too_old or left_alone:
                self.close(stream_id)

    def close_all(self) -> None:
        """End all streams."""
        for stream_id in list(self.streams):
            self.close(stream_id)
