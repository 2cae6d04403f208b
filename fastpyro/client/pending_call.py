"""Asynchronous calls that are under way at once on one connection, without a thread for each.

A call is sent in the caller's thread; whoever reads the connection completes its result, and call chains run in the pool
of `call_threads`, so that a slow one does not keep others from their results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro.client.session import add_context, encode, result_of
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.errors import CommunicationError, ConnectionClosedError, TimeoutError
from fastpyro.futures.result import FutureResult, _ExceptionWrapper
from fastpyro.futures.thread_pool import DelayedCall, call_threads, delayed_calls
from fastpyro.serializers.registry import native

if TYPE_CHECKING:
    from fastpyro.client.interfaces import Caller
    from fastpyro.protocol._message import Message
    from fastpyro.transport.channel import PlainChannel

__all__ = ["submit"]


def submit(proxy: Caller, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FutureResult | None:
    """Start a call on the proxy's own connection. None when that is not possible, and nothing has been done then.

    It is possible while the proxy is connected natively by a channel that many calls can share, when its class has not
    replaced ``_pyroInvoke``, and unless calls are to be repeated. A call that cannot be sent gives a result that raises why.
    """
    channel: Any = proxy._pyroConnection
    if channel is None or channel.closed or not channel.concurrent or not proxy._pyro_native:
        return None
    if type(proxy)._pyroInvoke is not proxy._pyro_plain_invoke or name in type(proxy).__dict__ or proxy._pyroMaxRetries:
        return None
    result = FutureResult()
    arrival = _Arrival(result, proxy, channel)
    try:
        channel.set_background(call_threads.submit)
        result._hurry = channel.push
        seq = proxy._pyro_submit(name, args, kwargs, arrival)
        if seq is None:
            arrival.send(name, args, kwargs)
    except Exception as error:
        arrival(None, error)
    try:
        return result
    finally:
        del result, arrival  # an exception's traceback holds this frame, which must not hold the exception


class _Arrival:
    """What is done when the reply of a call arrives: the callback that its link gets."""

    __slots__ = ("channel", "expiry", "proxy", "result", "seq", "serializer_id")

    def __init__(self, result: FutureResult, proxy: Caller, channel: PlainChannel) -> None:
        self.result = result
        self.proxy = proxy
        self.channel = channel
        self.seq = 0
        self.serializer_id = native.serializer_id
        self.expiry: DelayedCall | None = None

    def send(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        proxy, channel = self.proxy, self.channel
        timeout = proxy._pyro_timeout
        outgoing = encode(proxy, channel, name, args, kwargs)
        self.serializer_id = outgoing.serializer_id
        self.seq = outgoing.seq = proxy._pyro_next_seq()
        add_context(outgoing)
        if outgoing.flags & FLAGS_ONEWAY:
            channel.send(outgoing, timeout)
            self.result.set_value(None)
            return
        if timeout:
            self.expiry = delayed_calls.schedule(timeout, self.expire)
        channel.submit(outgoing, self, timeout)

    def expire(self) -> None:
        """Called when the time is up."""
        if self.channel.withdraw(self.seq):
            self.complete(_ExceptionWrapper(TimeoutError("receiving: timeout")))

    def __call__(self, message: Message | None, error: BaseException | None) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        if isinstance(error, CommunicationError) and self.channel.closed:
            self.proxy._pyro_drop(self.channel)
        try:
            if message is None:
                raise error or ConnectionClosedError("the connection is closed")
            try:
                value = self.proxy._pyro_ordinary_result(message)
            except LookupError:
                value = result_of(self.proxy, self.channel, message, message.seq, self.serializer_id)
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
