"""Item streams, the server's side: iterators that calls returned and that clients fetch from, item by item.

A stream belongs to the connection that opened it, outlives it for ITER_STREAM_LINGER seconds, so that a client that
reconnects can go on, and ends after ITER_STREAM_LIFETIME seconds (0: never) whatever happens.
Rule 1: what concerns one connection costs as much as that connection's streams, whatever the others have.
Rule 2: `_lock` guards the tables. Under it no iterator is entered, and none is closed.
Rule 3: an item is made when it is asked for, and kept by nobody: open streams hold their iterators, and no bytes. But for
        those few that are fetched in windows: they keep one item at the most, and their last answer (`item_pulls`).
Rule 4: few threads wait for one stream: whoever fetches beyond them is refused.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TYPE_CHECKING, Any

from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.errors import PyroError, ServerOverloadedError
from fastpyro.futures.thread_pool import CallThreads

if TYPE_CHECKING:
    from fastpyro.server.coroutines import Coroutines

__all__ = ["AwaitedItems", "Stream", "StreamTable"]

MOST_FETCHING = 4
"""Threads that may be in one stream, of which one is in its iterator and the others wait for that one."""

MOST_WINDOWS = 512
"""Streams of which more than one item is fetched at once, each of which may keep an answer of 64 KiB."""

MOST_WINDOWS_OF_ONE = 64
"""Open streams of a connection up to which they may be among those."""

MOST_EXPIRED = 50
"""Streams that are ended in one go, in the thread that serves: a client may have left thousands."""

MOST_ENDING = 4
"""Threads that close the iterators of streams that nobody wants any more."""


class Stream:
    """One iterator that a client fetches from. It keeps ``held``: what stands for the memory of its call's arguments.

    Attributes, under its lock: ``sent``, how many items have been in answers to pulls; ``kept``, an item that the iterator
    gave and that has not been sent, in a tuple, or None; ``failure``, what it raised meanwhile; ``last``, the last answer
    with items, where it is small, and ``last_from``, how many were sent before it; ``windowed``, whether it is one of
    the few with windows.
    """

    __slots__ = (
        "connection",
        "created",
        "failure",
        "held",
        "iterator",
        "kept",
        "last",
        "last_from",
        "lingering_since",
        "lock",
        "places",
        "sent",
        "windowed",
    )

    def __init__(self, iterator: Iterator[Any], connection: Any, held: Any = None) -> None:
        self.iterator = iterator
        self.held = held
        self.connection = connection
        self.created = time.monotonic()
        self.lingering_since = 0.0
        self.lock = Mutex(what="the item stream")
        self.sent = 0
        self.last_from = -1
        self.last: bytes | None = None
        self.kept: tuple[Any] | None = None
        self.failure: BaseException | None = None
        self.windowed = False
        self.places: list[Mutex] = []  # to fetch; locks, too, so that no interrupt leaves one taken

    @property
    def fetching(self) -> int:
        """How many threads are in the iterator, or wait for it."""
        return sum(place.locked for place in self.places)

    def next(self) -> Any:
        """Return the next item. Under its lock."""
        kept, self.kept = self.kept, None
        if kept is not None:
            return kept[0]
        self.raise_failure()
        return next(self.iterator)

    def raise_failure(self) -> None:
        """Raise what the iterator has raised when nobody waited for it."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def end(self) -> None:
        """Close the iterator if it can be closed and nobody is inside."""
        close = getattr(self.iterator, "close", None)
        if close is None:
            return
        with contextlib.suppress(Exception), self.lock.guard_now() or contextlib.nullcontext():
            if self.lock.owned:
                close()  # and if that fails: the client that cared is gone


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
    """The open streams of one daemon, by id. Safe among threads.

    Arguments: ``threaded``: iterators that nobody wants any more are closed in threads of their own, because the one
    that notices it serves everybody.
    """

    def __init__(self, threaded: bool = False) -> None:
        self.streams: OrderedDict[str, Stream] = OrderedDict()  # the oldest one first
        self._of: dict[Any, dict[str, Stream]] = {}  # those of each connection
        self._lingering: OrderedDict[str, Stream] = OrderedDict()  # those of none, the one that was left first in front
        self._lock = Mutex(reentrant=True, leaf=True)
        self._windowed = 0
        self._enders = CallThreads(MOST_ENDING, name="fastpyro-stream-end") if threaded else None

    def open(self, iterator: Iterator[Any], connection: Any, held: Any = None) -> str:
        """Take an iterator in, and ``held``, which is to live as long; return the id under which its items are fetched.

        Raises ServerOverloadedError when the connection has, or all have, as many as they may.
        """
        stream_id = str(uuid.uuid4())
        stream = Stream(iterator, connection, held)
        oldest: Stream | None = None
        with self._lock.guard():
            refusal = self._refusal(connection)
            if refusal is None:
                if len(self.streams) >= config.MAX_STREAMS:  # whose client has not come back yet
                    oldest = self._forget(next(iter(self._lingering)))
                self.streams[stream_id] = stream
                self._belongs_to(stream_id, stream, connection)
        if refusal is not None:
            self._end(stream)
            raise refusal
        self._end(oldest)
        return stream_id

    def _refusal(self, connection: Any) -> ServerOverloadedError | None:
        """Say why a connection may have no other stream. One that has some may not take the last places."""
        assert self._lock.owned
        own = len(self._of.get(connection, ()))
        if own >= config.MAX_STREAMS_PER_CONNECTION:
            return ServerOverloadedError(
                f"this connection has {own} open item streams, as many as it may (MAX_STREAMS_PER_CONNECTION); "
                "close some, or fetch their items to the end"
            )
        free = config.MAX_STREAMS - len(self.streams) + len(self._lingering)
        if own >= free:
            return ServerOverloadedError(
                f"{config.MAX_STREAMS - free} item streams are open in this daemon, of {config.MAX_STREAMS} (MAX_STREAMS), "
                f"{own} of them of this connection; close some, or fetch their items to the end"
            )
        return None

    def next_item(self, stream_id: str, connection: Any) -> Any:
        """Return the stream's next item.

        Raises StopIteration at its end, what the iterator raises, PyroError for an unknown or expired stream, and
        ServerOverloadedError when too many calls wait for an item of this stream.
        """
        stream = self.find(stream_id, connection)
        with self.place_in(stream):
            try:
                with stream.lock.guard():
                    if stream.kept is None and stream.failure is None:
                        return next(stream.iterator)
                    return stream.next()
            except BaseException:
                self.forget(stream_id)
                raise

    def find(self, stream_id: str, connection: Any) -> Stream:
        """Return a stream, which is the connection's own from then on. Raises PyroError, ServerOverloadedError."""
        with self._lock.guard():
            stream = self.streams.get(stream_id)
            if stream is None:
                raise PyroError("item stream terminated")
            if stream.connection is not connection:
                refusal = self._refusal(connection)
                if refusal is not None:
                    raise refusal
            if stream.connection is not connection or stream.lingering_since:
                self._move(stream_id, stream, connection)
        return stream

    def forget(self, stream_id: str) -> None:
        """A stream has ended."""
        with self._lock.guard():
            self._forget(stream_id)

    def may_have_window(self, stream: Stream) -> bool:
        """Return whether more than one item of a stream may be fetched at once: few streams keep what that takes."""
        if not stream.windowed:
            with self._lock.guard():
                own = len(self._of.get(stream.connection, ()))
                if not stream.windowed and own <= MOST_WINDOWS_OF_ONE and self._windowed < MOST_WINDOWS:
                    stream.windowed = True
                    self._windowed += 1
        return stream.windowed

    def place_in(self, stream: Stream) -> Any:
        """Return the guard of one of the few places of those who fetch from a stream. Raises ServerOverloadedError."""
        with self._lock.guard():
            for place in stream.places:
                if not place.locked:
                    return place.guard_now()
            if len(stream.places) < MOST_FETCHING:
                stream.places.append(Mutex(what="the item stream"))
                return stream.places[-1].guard_now()
        raise ServerOverloadedError(
            f"{MOST_FETCHING} calls wait for an item of this stream; wait for one of them before the next"
        )

    def close(self, stream_id: str) -> None:
        """End a stream; unknown ids are no error."""
        with self._lock.guard():
            stream = self._forget(stream_id)
        if stream is not None:
            stream.end()

    def connection_lost(self, connection: Any) -> None:
        """Let the streams of a connection linger, or end them when lingering is off."""
        with self._lock.guard():  # even where it has none: one may be opened just now
            lost = self._of.pop(connection, {})
            for stream_id, stream in lost.items():
                self._linger(stream_id, stream)
        if lost and config.ITER_STREAM_LINGER <= 0:
            self.expire()

    def expire(self) -> bool:
        """End streams whose time is over: some of them, so that others have their turn. True when there may be more."""
        if not self.streams:
            return False
        now = time.monotonic()
        ended: list[Stream | None] = []
        with self._lock.guard():
            while config.ITER_STREAM_LIFETIME > 0 and self.streams and len(ended) < MOST_EXPIRED:
                stream_id, stream = next(iter(self.streams.items()))
                if now - stream.created <= config.ITER_STREAM_LIFETIME:
                    break
                ended.append(self._forget(stream_id))
            while self._lingering and len(ended) < MOST_EXPIRED:
                stream_id, stream = next(iter(self._lingering.items()))
                if now - stream.lingering_since <= config.ITER_STREAM_LINGER and config.ITER_STREAM_LINGER > 0:
                    break
                ended.append(self._forget(stream_id))
        for one in ended:
            self._end(one)
        return len(ended) >= MOST_EXPIRED

    def close_all(self) -> None:
        """End all streams."""
        for stream_id in list(self.streams):
            self.close(stream_id)

    def _move(self, stream_id: str, stream: Stream, connection: Any) -> None:
        """A connection fetches from a stream, which is its own from then on."""
        assert self._lock.owned
        self._take_from_owner(stream_id, stream)
        self._belongs_to(stream_id, stream, connection)

    def _belongs_to(self, stream_id: str, stream: Stream, connection: Any) -> None:
        """Note whose a stream is. A call may outlive its connection, of which `connection_lost` has told already."""
        if getattr(connection, "released", False):
            self._linger(stream_id, stream)
            return
        stream.connection = connection
        stream.lingering_since = 0.0
        self._of.setdefault(connection, {})[stream_id] = stream

    def _linger(self, stream_id: str, stream: Stream) -> None:
        stream.connection = None
        stream.lingering_since = time.monotonic()
        self._lingering[stream_id] = stream

    def _forget(self, stream_id: str) -> Stream | None:
        assert self._lock.owned
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._take_from_owner(stream_id, stream)
            self._windowed -= stream.windowed
        return stream

    def _take_from_owner(self, stream_id: str, stream: Stream) -> None:
        self._lingering.pop(stream_id, None)
        own = self._of.get(stream.connection)
        if own is not None:
            own.pop(stream_id, None)
            if not own:
                self._of.pop(stream.connection, None)

    def _end(self, stream: Stream | None) -> None:
        """End a stream that has been forgotten, in another thread where this one must not wait."""
        if stream is None or not hasattr(stream.iterator, "close"):
            return
        if self._enders is not None:
            try:
                self._enders.submit(stream.end)
                return
            except RuntimeError:  # no thread can be started
                pass
        stream.end()
