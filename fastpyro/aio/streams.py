"""Item streams on an event loop: the items of a remote generator, one after the other."""

from __future__ import annotations

from typing import Any, Self

from fastpyro.aio._call import END, Call
from fastpyro.constants import DAEMON_NAME
from fastpyro.errors import CommunicationError

__all__ = ["ItemsOfCall", "Stream"]


class Stream:
    """Iterates over the items of a remote generator, by ``async for``; each is computed when it is asked for.

    Attributes: ``streamId``, the stream's name in the daemon; ``proxy``, whose connection is used. ``aclose()`` ends the
    stream early; leaving an ``async with`` block or forgetting the object does so, too.
    """

    __module__ = "fastpyro.aio"

    def __init__(self, stream_id: str, proxy: Any) -> None:
        self.streamId = stream_id
        self.proxy: Any = proxy

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        proxy = self.proxy
        if proxy is None:
            raise StopAsyncIteration
        try:
            item = await Call(proxy, "get_next_stream_item", (self.streamId,), object_id=DAEMON_NAME)
        except CommunicationError:
            raise  # the stream may go on after a reconnect
        except Exception:
            self.proxy = None
            raise
        if item is END:
            self.proxy = None
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Tell the server that no more items are wanted. May be called again."""
        proxy, self.proxy = self.proxy, None
        if proxy is not None and proxy._pyro_is_connected():
            await _closing(proxy, self.streamId)

    def __del__(self) -> None:
        proxy, self.proxy = self.proxy, None
        if proxy is not None:
            proxy._pyro_in_loop(_close_soon, proxy, self.streamId)


def _closing(proxy: Any, stream_id: str) -> Call:
    return Call(proxy, "close_stream", (stream_id,), object_id=DAEMON_NAME, oneway=True)


def _close_soon(proxy: Any, stream_id: str) -> None:
    if proxy._pyro_is_connected():
        _closing(proxy, stream_id).add_done_callback(lambda call: call.exception())


class ItemsOfCall:
    """The items of the stream that a call returns: ``async for item in proxy.method()``."""

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call
        self._stream: Any = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._stream is None:
            if self._call is None:
                raise StopAsyncIteration
            call, self._call = self._call, None
            result = await call
            if not isinstance(result, Stream):
                raise TypeError(f"'async for' needs a method that returns an iterator; {call.__name__} did not")
            self._stream = result
        return await self._stream.__anext__()

    async def aclose(self) -> None:
        """End the stream early."""
        call, self._call = self._call, None
        if call is not None:
            call.close()
        if self._stream is not None:
            await self._stream.aclose()
