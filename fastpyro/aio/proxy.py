"""The stand-in for a remote object in asyncio programs.

The settings, the names of the members and the session are those of an ordinary proxy, which it keeps inside; the calls go
over an `Exchange` on the running loop. Connecting is done by `connecting`, and is shared by all calls that wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import socket
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Self

from fastpyro.aio import _call, _member
from fastpyro.aio._call import Call, LoopCaller
from fastpyro.aio._exchange import Exchange
from fastpyro.aio._member import MemberCore
from fastpyro.aio.connecting import Connecting
from fastpyro.aio.loops import turns_of
from fastpyro.aio.streams import ItemsOfCall, Stream
from fastpyro.client.item_stream import StreamResult
from fastpyro.client.proxy import Proxy as BlockingProxy
from fastpyro.client.session import batch_results
from fastpyro.config import config
from fastpyro.errors import CommunicationError, ConnectionClosedError, LocalProtocolError
from fastpyro.values.class_registry import register_type_replacement

if TYPE_CHECKING:
    from fastpyro.aio.batch import Batch
    from fastpyro.transport.channel import Channel
    from fastpyro.uri import URI

__all__ = ["Member", "Proxy"]


class Member(MemberCore):
    """What ``proxy.name`` gives: ``await proxy.name(...)`` calls a method.

    For an attribute ``await proxy.name`` (or ``proxy.name.get()``) reads it, ``await proxy.name.set(value)`` sets it.
    """

    __slots__ = ()

    def get(self) -> Call:
        """Return the awaitable value of the remote attribute."""
        return Call(self._proxy, "__getattr__", (self.__name__,))

    def set(self, value: Any) -> Call:
        """Set the remote attribute; to be awaited."""
        return Call(self._proxy, "__setattr__", (self.__name__, value))

    def delete(self) -> Call:
        """Delete the remote attribute; to be awaited."""
        return Call(self._proxy, "__delattr__", (self.__name__,))

    async def _get(self) -> Any:
        proxy: Any = self._proxy
        if config.METADATA and not proxy._pyro_inner._pyro_metadata_loaded:
            await proxy._pyroBind()
        if self.__name__ in proxy._pyroMethods:
            raise TypeError(f"{self.__name__} is a method of the remote object: await proxy.{self.__name__}(...)")
        return await self.get()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._get().__await__()

    def __repr__(self) -> str:
        return f"<remote member {self.__name__} of {self._proxy._pyro_inner._pyroUri}>"

    def __getattr__(self, name: str) -> str:
        if name == "__qualname__":  # a class body cannot define it as a property
            return f"Proxy.{self.__name__}"
        raise AttributeError(f"a remote member has no attribute {name!r}")


class _Bound:
    """Waits for the connection, as a call does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[None] = loop.create_future()

    def is_waiting(self) -> bool:
        return not self.future.done()

    def begin(self) -> None:
        if self.is_waiting():
            self.future.set_result(None)

    def fail(self, error: BaseException) -> None:
        if self.is_waiting():
            self.future.set_exception(error)


def _inner(name: str) -> Any:
    """Return a property that is the inner proxy's."""

    def get(self: Proxy) -> Any:
        return getattr(self._pyro_inner, name)

    def set(self: Proxy, value: Any) -> None:
        setattr(self._pyro_inner, name, value)
        if self._pyro_sender is not None and self._pyro_inner._pyro_session is None:
            self._pyroRelease()  # it cannot be used with that setting

    return property(get, set, doc=getattr(BlockingProxy, name).__doc__)


class Proxy(LoopCaller):
    """Stands for a remote object in a coroutine: ``await proxy.method(...)``.

    Arguments: ``uri``, a str or URI (``PYRO:``, ``PYRONAME:`` or ``PYROMETA:``), or a blocking Proxy, whose settings are
    copied; ``connected_socket`` as for ``fastpyro.Proxy``. Nothing is connected until the first call, ``async with``, or
    ``await _pyroBind()``. All calls of a proxy are under way at once over one connection.

    A call returns what the remote method returns, or raises what it raises. Besides, any use may raise CommunicationError
    and its subclasses, and NamingError. A proxy belongs to the loop on which it is connected, until that is closed.
    """

    __module__ = "fastpyro.aio"

    _pyro_inner: BlockingProxy
    _pyroTimeout = _inner("_pyroTimeout")
    _pyroMaxRetries = _inner("_pyroMaxRetries")
    _pyroSerializer = _inner("_pyroSerializer")
    _pyroHandshake = _inner("_pyroHandshake")
    _pyroHmacKey = _inner("_pyroHmacKey")
    _pyroRawWireResponse = _inner("_pyroRawWireResponse")
    _pyroOneway = _inner("_pyroOneway")

    def __init__(self, uri: str | URI | BlockingProxy, connected_socket: socket.socket | None = None) -> None:
        self._pyro_take(copy.copy(uri) if isinstance(uri, BlockingProxy) else BlockingProxy(uri, connected_socket))

    @classmethod
    def _pyro_of(cls, inner: BlockingProxy) -> Self:
        """Return a proxy that uses another one, and its connection."""
        proxy = cls.__new__(cls)
        proxy._pyro_take(inner)
        return proxy

    def _pyro_take(self, inner: BlockingProxy) -> None:
        self._pyro_set_inner(inner)
        object.__setattr__(self, "_pyro_connecting", None)

    _pyro_connecting: Connecting | None = None

    @property
    def _pyroUri(self) -> URI:
        """Where the object is."""
        uri: URI = self._pyro_inner._pyroUri
        return uri

    @property
    def _pyroMethods(self) -> set[str]:
        """The names of the remote methods; empty before the first connection."""
        return self._pyro_inner._pyroMethods

    @property
    def _pyroAttrs(self) -> set[str]:
        """The names of the remote attributes; empty before the first connection."""
        return self._pyro_inner._pyroAttrs

    @property
    def _pyroConnection(self) -> Channel | None:
        """The channel, or None while there is no connection."""
        return self._pyro_inner._pyroConnection

    def __getattr__(self, name: str) -> Member:
        inner = self._pyro_inner
        if name.startswith("_pyro") or inner is None:
            raise AttributeError(name)
        if name in inner._pyroAttrs or name in inner._pyroMethods or name in inner._pyroOneway:
            return Member(self, name)
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # Python itself asks, for what this class lacks
        if inner._pyro_metadata_loaded and config.METADATA:
            raise AttributeError(f"remote object '{inner._pyroUri}' has no exposed attribute or method '{name}'")
        return Member(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_pyro"):
            object.__setattr__(self, name, value)
            return
        raise AttributeError(f"assigning would block the event loop; write: await proxy.{name}.set(value)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"deleting would block the event loop; write: await proxy.{name}.delete()")

    async def __aenter__(self) -> Self:
        await self._pyroBind()
        return self

    async def __aexit__(self, *exception: object) -> None:
        sender = self._pyro_sender
        try:
            if sender is not None and self._pyro_is_connected():
                while (rest := sender.drain()) is not None:
                    await rest
        finally:
            self._pyroRelease()

    def __enter__(self) -> Self:
        raise TypeError("a proxy of fastpyro.aio is used with 'async with'")

    def __exit__(self, *exception: object) -> None:
        """Never reached: ``with`` asks for it before it enters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and other._pyroUri == self._pyroUri

    def __hash__(self) -> int:
        return hash(self._pyroUri)

    def __bool__(self) -> bool:
        return True

    def __copy__(self) -> Self:
        return type(self)(self._pyro_inner)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self._pyro_inner,)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} over {self._pyro_inner!r}>"

    def __dir__(self) -> list[str]:
        own = {name for name in dir(type(self)) if not name.startswith("_pyro_")}
        return sorted({*own, *self._pyroMethods, *self._pyroAttrs})

    def __del__(self) -> None:
        if self._pyro_inner is not None and self._pyro_sender is not None:
            with contextlib.suppress(Exception):  # the interpreter may be half gone
                self._pyroRelease()

    async def _pyroBind(self) -> bool:
        """Connect now. Returns True when a new connection was made, False when there was one already."""
        if self._pyro_is_connected():
            return False
        loop = asyncio.get_running_loop()
        waiter = _Bound(loop)
        self._pyro_prepare(waiter)
        try:
            await waiter.future
        except asyncio.CancelledError:
            self._pyro_unwanted(waiter)
            raise
        session = self._pyro_inner._pyro_session
        if session is not None:
            self._pyro_inner._pyro_update(_pyroUri=session.uri)
        return True

    def _pyroRelease(self) -> None:
        """Close the connection; the next use makes a new one. Calls under way fail. May be called from any thread."""
        sender, connecting = self._pyro_sender, self._pyro_connecting
        if connecting is not None:
            self._pyro_in(connecting.loop, self._pyro_end, connecting)
        if sender is None:
            self._pyro_inner._pyroRelease()
            return
        self._pyro_sender = None
        self._pyro_in(sender.loop, sender.close)

    async def _pyroReconnect(self, tries: int = 100000000, pause: float = 2.0) -> None:
        """Close the connection and make a new one, trying again while the daemon (or the name server) is away.

        Arguments: ``tries``, the most attempts; ``pause``, seconds between two of them.
        Raises ConnectionClosedError when all attempts have failed.
        """
        self._pyroRelease()
        why = ""
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(pause)
            try:
                await self._pyroBind()
                return
            except (CommunicationError, LookupError) as error:
                if type(error) is LocalProtocolError:
                    raise
                why = f": {error}"
        raise ConnectionClosedError(f"failed to reconnect to {self._pyroUri} in {tries:,} tries{why}")

    def _pyroBatch(self) -> Batch:
        """Return a batch: calls on it are queued, and performed together when the batch itself is awaited."""
        from fastpyro.aio.batch import Batch

        return Batch(self)

    # ---- for calls

    def _pyro_is_connected(self) -> bool:
        """Return whether there is a connection on the running loop."""
        sender = self._pyro_sender
        return sender is not None and sender.usable and sender.loop is asyncio._get_running_loop()

    def _pyro_prepare(self, call: Any) -> None:
        """Have ``call.begin()`` called when there is a connection on the running loop, or ``call.fail(error)``."""
        loop = asyncio.get_running_loop()
        sender, connecting = self._pyro_sender, self._pyro_connecting
        if sender is not None and sender.usable:
            if sender.loop is loop:
                loop.call_soon(call.begin)
                return
            if not sender.loop.is_closed():
                self._pyro_refuse_loop()
            sender.close()
        if connecting is not None and not connecting.is_current():
            connecting = None
        if connecting is not None and connecting.loop is not loop:
            self._pyro_refuse_loop()
        if connecting is None:
            connecting = Connecting(loop, self._pyro_inner, self._pyro_connected)
            self._pyro_connecting = connecting
        connecting.calls[call] = None

    def _pyro_refuse_loop(self) -> None:
        raise LocalProtocolError(
            f"this proxy of {self._pyroUri} is connected on another event loop, which is not closed; "
            "make one for each loop, or release it there"
        )

    def _pyro_unwanted(self, call: Any) -> None:
        """Called when a call is given up that waits for the connection."""
        connecting = self._pyro_connecting
        if connecting is not None and connecting.calls.pop(call, self) is None and not connecting.calls:
            self._pyro_connecting = None
            connecting.give_up()

    def _pyro_end(self, connecting: Connecting) -> None:
        if self._pyro_connecting is connecting:
            self._pyro_connecting = None
        connecting.give_up()
        for call in list(connecting.calls):
            call.fail(ConnectionClosedError("the proxy was released"))

    def _pyro_connected(self, connecting: Connecting, error: BaseException | None) -> None:
        if self._pyro_connecting is connecting:
            self._pyro_connecting = None
        if error is None:
            try:
                self._pyro_sender = Exchange(connecting.loop, self._pyro_inner, turns_of(connecting.loop))
            except Exception as failure:
                self._pyro_inner._pyroRelease()
                error = failure
        for call in list(connecting.calls):
            if not call.is_waiting():
                continue
            if error is None:
                call.begin()
            else:
                call.fail(error)

    def _pyro_items(self, call: Call) -> ItemsOfCall:
        return ItemsOfCall(call)

    def _pyro_stream(self, result: StreamResult) -> Stream:
        result.proxy = None  # so that it closes nothing
        return Stream(result.streamId, self)

    def _pyro_in_loop(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called on the loop of the connection, if there is one."""
        sender = self._pyro_sender
        if sender is not None and sender.usable:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                sender.loop.call_soon_threadsafe(function, *args)

    @staticmethod
    def _pyro_in(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
        """Call a function at once in the thread of a loop, or where the loop does not run; else have the loop call it."""
        if loop is asyncio._get_running_loop() or not loop.is_running():
            function(*args)
        else:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(function, *args)


_call.install(StreamResult, batch_results)
_member.install(Proxy, Member)
register_type_replacement(Proxy, lambda proxy: proxy._pyro_inner)
