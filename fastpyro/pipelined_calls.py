"""Asynchronous calls that are under way at once on one connection, without a thread for each.

A call is sent in the caller's thread; whoever reads the connection completes its result, and call chains run in the pool
of `call_threads`, so that a slow one does not keep others from their results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro import serializers
from fastpyro.call_threads import DelayedCall, call_threads, delayed_calls
from fastpyro.callcontext import current_context
from fastpyro.errors import CommunicationError, ConnectionClosedError, TimeoutError
from fastpyro.future_result import FutureResult, _ExceptionWrapper
from fastpyro.message_kinds import FLAGS_BUFFERS, FLAGS_ONEWAY, MSG_INVOKE
from fastpyro.proxy import Proxy, plain_invoke

if TYPE_CHECKING:
    from fastpyro._message import Message
    from fastpyro.channel import PlainChannel

__all__ = ["submit"]


def submit(proxy: Proxy, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FutureResult | None:
    """Start a call on the proxy's own connection. None when that is not possible, and nothing has been done then.

    It is possible while the proxy is connected natively by a channel that many calls can share, when its class has not
    replaced ``_pyroInvoke``, and unless calls are to be repeated. A call that cannot be sent gives a result that raises why.
    """
    channel: Any = proxy._pyroConnection
    if channel is None or channel.closed or not channel.concurrent or not proxy._pyro_native:
        return None
    if type(proxy)._pyroInvoke is not plain_invoke or name in type(proxy).__dict__ or proxy._pyroMaxRetries:
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
    return result


class _Arrival:
    """What is done when the reply of a call arrives: the callback that its link gets."""

    __slots__ = ("channel", "expiry", "proxy", "result", "seq")

    def __init__(self, result: FutureResult, proxy: Proxy, channel: PlainChannel) -> None:
        self.result = result
        self.proxy = proxy
        self.channel = channel
        self.seq = 0
        self.expiry: DelayedCall | None = None

    def send(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        proxy, channel, serializer = self.proxy, self.channel, serializers.native
        timeout = proxy._pyro_timeout
        payload = serializer.dumps_call(proxy._pyro_object_id, name, args, kwargs)
        flags = FLAGS_BUFFERS if type(payload) is list else 0
        annotations, correlation_id = current_context.request_annotations()
        self.seq = seq = proxy._pyro_next_seq()
        if name in proxy._pyroOneway:
            flags |= FLAGS_ONEWAY
            channel.send(
                MSG_INVOKE, flags, seq, serializer.serializer_id, payload, annotations, correlation_id, timeout
            )
            self.result.set_value(None)
            return
        if timeout:
            self.expiry = delayed_calls.schedule(timeout, self.expire)
        channel.submit(
            MSG_INVOKE, flags, seq, serializer.serializer_id, payload, annotations, correlation_id, timeout, self
        )

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
                value = self.proxy._pyro_result(self.channel, message, message.seq)
        except BaseException as failure:  # whoever waits must not wait for ever, whatever it is
            value = _ExceptionWrapper(failure)
        self.complete(value)

    def complete(self, value: Any) -> None:
        if not self.result._set_at_once(value):
            call_threads.submit(lambda: self.result.set_value(value))
