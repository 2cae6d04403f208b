"""The client's side of an item stream: a remote iterator that a call returned."""

from __future__ import annotations

import contextlib
from functools import partial

from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro._mutex import Mutex
from fastpyro.client._session import name_timeout, time_for
from fastpyro.client.item_pulls import ItemPulls
from fastpyro.constants import DAEMON_NAME, FLAGS_ONEWAY, MOST_PULLED_ITEMS, PULL
from fastpyro.errors import CommunicationError, ConnectionClosedError, LocalProtocolError, RemoteProtocolError
from fastpyro.protocol.features import PULLS

if TYPE_CHECKING:
    from typing import Any, Self

    from fastpyro.client.interfaces import Caller

__all__ = ["StreamResult"]

CLOSED = "the proxy for this stream result has been closed"

_ENDED = object()
"""What a stream gives behind its last item, where StopIteration cannot be passed on."""


class Ahead(NamedTuple):
    """A pull that was sent while items were left: in which session, its arguments, its number, and who waits for it."""

    session: Any
    pull: tuple[Any, ...]
    seq: int
    serializer_id: int
    waiter: Any

    def reply(self, proxy: Caller) -> Any:
        """Wait for what came of it. Raises what that holds, or CommunicationError."""
        try:
            message = self.session.channel.finish(self.seq, self.waiter, time_for(proxy, self.session))
        except BaseException as error:
            self.give_up()
            if self.session.channel.closed:
                proxy._pyro_drop(self.session)
            name_timeout(error, "the items of a stream", self.session, proxy._pyro_timeout)
            raise
        return self.session.value_of(proxy, message, self.seq, self.serializer_id)

    def give_up(self) -> None:
        """Nobody wants it any more."""
        if not self.session.channel.closed:
            self.session.channel.withdraw(self.seq)


class StreamResult:
    """Iterates over the items of a remote generator, in a coroutine by ``async for``.

    Attributes: ``streamId``, the stream's name in the daemon; ``proxy``, whose connection is used; ``prefetch``, the most
    items that are fetched at once, 0 to 256. The generator makes its first item when the client asks for it. While the
    client goes on it makes 2, 4, 8 … at a time, and the next ones while the client has some. With ``prefetch = 0`` it makes
    each when it is asked for it, as with Pyro's daemons: for a generator that acts. ``close()`` ends the stream early;
    leaving a ``with`` block or forgetting the object does so, too. After a reconnect the stream goes on where it was,
    within ITER_STREAM_LINGER.
    """

    def __init__(self, stream_id: str, proxy: Caller) -> None:
        self.streamId = stream_id
        self.proxy: Caller | None = proxy
        self._connection = proxy._pyroConnection
        self._items: list[Any] = []
        self._pulls = ItemPulls(type(proxy)._pyro_prefetch)
        self._ahead: Ahead | None = None
        self._lock = Mutex(what="the item stream")
        self._windowed: bool | None = None  # whether more than one item is fetched at once; None before the first

    @property
    def prefetch(self) -> int:
        return self._pulls.prefetch

    @prefetch.setter
    def prefetch(self, items: int) -> None:
        if type(items) is not int or not 0 <= items <= MOST_PULLED_ITEMS:
            raise ValueError(f"prefetch is an int from 0 to {MOST_PULLED_ITEMS}, not {items!r}")
        self._pulls.prefetch = items

    def __iter__(self) -> StreamResult:
        return self

    def __next__(self) -> Any:
        if self._items:
            with contextlib.suppress(IndexError):  # another thread has it
                return self._items.pop()
        proxy = self.proxy
        if proxy is None:
            raise StopIteration
        try:
            if (self._windowed and self._pulls.prefetch > 1) or self._ahead is not None:
                return self._next_window(proxy)
            if proxy._pyroConnection is None:
                raise ConnectionClosedError(CLOSED)
            item = proxy._pyroInvoke("get_next_stream_item", (self.streamId,), {}, objectId=DAEMON_NAME)
        except StopIteration as end:  # with what the generator returned, which `yield from` gives
            self.proxy = None
            raise StopIteration(*end.args) from None
        except GeneratorExit:
            self.proxy = None
            raise StopIteration from None
        except RemoteProtocolError:
            self.proxy = None
            raise
        except CommunicationError:
            raise  # the stream may go on after a reconnect
        except Exception:
            self.proxy = None
            raise
        if self._windowed is None:
            self._windowed = True  # from the second item on, where that is possible
        return item

    def _next_window(self, proxy: Caller) -> Any:
        """Return the next item, with others that come with it."""
        pulls = self._pulls
        with self._lock.guard():
            while not self._items:  # twice at the most: behind an answer without items
                if pulls.turn():
                    self._items = pulls.items
                    self._pull_ahead(proxy)
                    break
                if pulls.ended:
                    failure, pulls.failure = pulls.failure, None
                    raise StopIteration(pulls.outcome) if failure is None else failure
                if proxy._pyroConnection is None:
                    raise ConnectionClosedError(CLOSED)
                if self._ahead is None and not _has_pulls(proxy):
                    self._windowed = False
                    return proxy._pyroInvoke("get_next_stream_item", (self.streamId,), {}, objectId=DAEMON_NAME)
                self._pull(proxy)
            return self._items.pop()

    def _pull(self, proxy: Caller) -> None:
        """Have the next items, or the end, here."""
        pulls = self._pulls
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.session.channel is proxy._pyroConnection:
            pull, answer = ahead.pull, ahead.reply(proxy)
        else:
            pull = pulls.next_pull(self.streamId, False)
            answer = proxy._pyroInvoke(PULL, pull, {}, objectId=DAEMON_NAME)
        try:
            pulls.take(answer, pull)
        except RemoteProtocolError:
            proxy._pyro_drop(proxy._pyro_session)
            raise
        self._items = pulls.items
        if pulls.is_half:
            self._pull_ahead(proxy)

    def _pull_ahead(self, proxy: Caller) -> None:
        """Ask for the next items while the last ones are consumed, where that is possible."""
        session = proxy._pyro_session
        if self._ahead is not None or not self._pulls.wants_ahead or session is None or not session.channel.concurrent:
            return
        if session.channel.closed or not _has_pulls(proxy):
            return
        pull = self._pulls.next_pull(self.streamId, True)
        outgoing = session.encode((PULL, pull, {}, 0, DAEMON_NAME))
        try:
            if time_for(proxy) != proxy._pyro_timeout:
                return  # what is asked for within a time limit is so for who waits
            session.address(proxy, outgoing)
            waiter = session.channel.begin(outgoing, proxy._pyro_timeout)
        except CommunicationError:
            return  # whoever fetches the next items hears of it
        self._ahead = Ahead(session, pull, outgoing.seq, outgoing.serializer_id, waiter)

    def __aiter__(self) -> StreamResult:
        return self

    async def __anext__(self) -> Any:
        try:
            return self._items.pop()
        except IndexError:
            pass
        from fastpyro.futures.future import run_in_background  # few streams are read in a coroutine

        item = await run_in_background(next, self, _ENDED)
        if item is _ENDED:
            raise StopAsyncIteration
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Tell the server that no more items are wanted. May be called again."""
        proxy, self.proxy = self.proxy, None
        ahead, self._ahead = self._ahead, None
        self._pulls.drop()
        self._items = []
        if ahead is not None:
            ahead.give_up()
        if proxy is not None and proxy._pyroConnection is not None and not self._pulls.ended:
            try:
                _close(proxy, self.streamId)
            except LocalProtocolError:  # in a destructor, in the middle of another call of this thread
                from fastpyro.futures.thread_pool import call_threads  # which imports logging; a client seldom needs it

                call_threads.submit(partial(_close, proxy, self.streamId))


def _has_pulls(proxy: Caller) -> bool:
    """Whether many items at once may be asked for: natively, and where nothing looks at each call."""
    session, kind = proxy._pyro_session, type(proxy)
    return (
        session is not None
        and session.native
        and session.channel.features & PULLS != 0
        and kind._pyro_prefetch > 0
        and kind._pyroInvoke is proxy._pyro_plain_invoke
        and not proxy._pyroRawWireResponse
    )


def _close(proxy: Caller, stream_id: str) -> None:
    try:
        proxy._pyroInvoke("close_stream", (stream_id,), {}, flags=FLAGS_ONEWAY, objectId=DAEMON_NAME)
    except LocalProtocolError:
        raise
    except CommunicationError:
        return  # the stream goes with its connection
