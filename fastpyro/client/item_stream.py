"""The client's side of an item stream: a remote iterator that a call returned."""

from __future__ import annotations

import contextlib
from functools import partial

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.constants import DAEMON_NAME, FLAGS_ONEWAY
from fastpyro.errors import CommunicationError, ConnectionClosedError, LocalProtocolError

if TYPE_CHECKING:
    from typing import Any, Self

    from fastpyro.client.interfaces import Caller

__all__ = ["StreamResult"]

_ENDED = object()
"""What a stream gives behind its last item, where StopIteration cannot be passed on."""


class StreamResult:
    """Iterates over the items of a remote generator; each is fetched when it is asked for, in a coroutine by ``async for``.

    Attributes: ``streamId``, the stream's name in the daemon; ``proxy``, whose connection is used. An item is computed
    by the server when the client asks for it. ``close()`` ends the stream early; leaving a ``with`` block or
    forgetting the object does so, too. After a reconnect the stream goes on where it was, within ITER_STREAM_LINGER.
    """

    def __init__(self, stream_id: str, proxy: Caller) -> None:
        self.streamId = stream_id
        self.proxy: Caller | None = proxy
        self._connection = proxy._pyroConnection

    def __iter__(self) -> StreamResult:
        return self

    def __next__(self) -> Any:
        proxy = self.proxy
        if proxy is None:
            raise StopIteration
        if proxy._pyroConnection is None:
            raise ConnectionClosedError("the proxy for this stream result has been closed")
        try:
            return proxy._pyroInvoke("get_next_stream_item", (self.streamId,), {}, objectId=DAEMON_NAME)
        except StopIteration as end:  # with what the generator returned, which `yield from` gives
            self.proxy = None
            raise StopIteration(*end.args) from None
        except GeneratorExit:
            self.proxy = None
            raise StopIteration from None
        except CommunicationError:
            raise  # the stream may go on after a reconnect
        except Exception:
            self.proxy = None
            raise

    def __aiter__(self) -> StreamResult:
        return self

    async def __anext__(self) -> Any:
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
        if proxy is not None and proxy._pyroConnection is not None:
            try:
                _close(proxy, self.streamId)
            except LocalProtocolError:  # in a destructor, in the middle of another call of this thread
                from fastpyro.futures.thread_pool import call_threads  # which imports logging; a client seldom needs it

                call_threads.submit(partial(_close, proxy, self.streamId))


def _close(proxy: Caller, stream_id: str) -> None:
    try:
        proxy._pyroInvoke("close_stream", (stream_id,), {}, flags=FLAGS_ONEWAY, objectId=DAEMON_NAME)
    except LocalProtocolError:
        raise
    except CommunicationError:
        return  # the stream goes with its connection
