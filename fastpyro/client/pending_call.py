"""Asynchronous calls that are under way at once on one connection, without a thread for each.

A call is sent in the caller's thread; whoever reads the connection completes its result, and call chains run in the pool
of `call_threads`, so that a slow one does not keep others from their results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro.client._session import name_timeout, time_for
from fastpyro.client.session import Request, Session
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.errors import CommunicationError, ConnectionClosedError, TimeoutError
from fastpyro.futures.result import FutureResult, _ExceptionWrapper
from fastpyro.futures.thread_pool import DelayedCall, call_threads, delayed_calls
from fastpyro.protocol._call_context import limit_within
from fastpyro.serializers.registry import native

if TYPE_CHECKING:
    from fastpyro.client.interfaces import Caller
    from fastpyro.protocol._message import Message

__all__ = ["submit"]


def submit(proxy: Caller, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FutureResult | None:
    """Start a call in the proxy's session. None when that is not possible, and nothing has been done then.

    It is possible while the proxy is connected natively by a channel that many calls can share, when its class has not
    replaced ``_pyroInvoke``, and unless calls are to be repeated. A call that cannot be sent gives a result that raises why.
    """
    session: Session | None = proxy._pyro_session
    if session is None or not session.native or session.channel.closed or not session.channel.concurrent:
        return None
    if type(proxy)._pyroInvoke is not proxy._pyro_plain_invoke or name in type(proxy).__dict__ or proxy._pyroMaxRetries:
        return None
    result = FutureResult()
    arrival = _Arrival(result, proxy, session)
    channel: Any = session.channel
    try:
        channel.set_background(call_threads.submit)
        result._hurry, result._call = channel.push, arrival
        seq = proxy._pyro_submit(session, name, args, kwargs, arrival)
        if seq is None:
            arrival.send(Request(name, args, kwargs))
        else:
            arrival.seq = seq
    except Exception as error:
        arrival(None, error)
    try:
        return result
    finally:
        del result, arrival  # an exception's traceback holds this frame, which must not hold the exception


class _Arrival:
    """What is done when the reply of a call arrives: the callback that its link gets."""

    __slots__ = ("channel", "expiry", "limit", "method", "proxy", "result", "seq", "serializer_id", "session")

    def __init__(self, result: FutureResult, proxy: Caller, session: Session) -> None:
        self.result = result
        self.proxy = proxy
        self.session = session
        self.channel: Any = session.channel
        self.method = ""
        self.seq = 0
        self.serializer_id = native.serializer_id
        self.limit: tuple[float, str] | None = None
        self.expiry: DelayedCall | None = None

    def send(self, request: Request) -> None:
        outgoing = self.session.encode(request, self.proxy._pyroOneway)
        self.session.address(self.proxy, outgoing)
        self.method = request.method
        self.serializer_id = outgoing.serializer_id
        self.seq = outgoing.seq
        try:
            timeout = time_for(self.proxy, self.session, outgoing)
        except TimeoutError as late:
            name_timeout(late, request.method, self.session, 0.0)
            raise
        self.limit = limit_within(self.proxy._pyro_timeout, timeout)
        if outgoing.flags & FLAGS_ONEWAY:
            self.result._call = None
            self.channel.send(outgoing, timeout)
            self.result.set_value(None)
            return
        if timeout:
            self.expiry = delayed_calls.schedule(timeout, self.expire)
        self.channel.submit(outgoing, self, timeout)

    def cancel(self) -> None:
        """Called when nobody wants the result any more."""
        if self.expiry is not None:
            self.expiry.cancel()
        self.channel.withdraw(self.seq)

    def expire(self) -> None:
        """Called when the time is up."""
        if self.channel.withdraw(self.seq):
            error = TimeoutError("receiving: timeout")
            name_timeout(error, self.method, self.session, 0.0, self.limit)
            self.result._call = None
            self.complete(_ExceptionWrapper(error))

    def __call__(self, message: Message | None, error: BaseException | None) -> None:
        self.result._call = None
        if self.expiry is not None:
            self.expiry.cancel()
        if isinstance(error, CommunicationError) and self.channel.closed:
            self.proxy._pyro_drop(self.session)
        try:
            if message is None:
                raise error or ConnectionClosedError("the connection is closed")
            value = self.session.value_of(self.proxy, message, message.seq, self.serializer_id)
        except BaseException as failure:  # whoever waits must not wait for ever, whatever it is
            value = _ExceptionWrapper(failure)
        try:
            self.complete(value)
        finally:
            del self, value, error  # as above

    def complete(self, value: Any) -> None:
        if self.result.ready:  # an interrupted call of this comes again
            return
        if not self.result._set_at_once(value):
            call_threads.submit(lambda: self.result.set_value(value))
