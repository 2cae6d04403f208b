"""One request of a proxy and its reply: the long way of a call, which knows everything that can travel beside the values.

The short way is `_proxy`, native code, for ordinary calls. Knows proxies only by their attributes; `Proxy` has the methods
that users call and override.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.callcontext import current_context
from fastpyro.client.item_stream import StreamResult
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_BUFFERS,
    FLAGS_COMPRESSED,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_KEEPSERIALIZED,
    FLAGS_ONEWAY,
    MSG_INVOKE,
    MSG_RESULT,
    PROTOCOL_VERSION,
)
from fastpyro.errors import ProtocolError, SerializeError
from fastpyro.protocol._batch import decode_results
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.protocol.blobs import BLOB_ANNOTATION, SerializedBlob, blob_annotation
from fastpyro.protocol.compression import deflated, payload_of
from fastpyro.protocol.peer_batches import read_results, write_batch
from fastpyro.serializers.registry import get_serializer_by_id, native
from fastpyro.values.checked import is_kind, type_name

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.client.interfaces import Caller
    from fastpyro.protocol._batch import BatchWriter
    from fastpyro.transport.channel import Channel

__all__ = ["add_context", "encode", "invoke", "invoke_batch", "result_of"]

LONGEST_STREAM_ID = 1000
"""Bytes; a daemon of Pyro writes 36."""

_NOT_A_VALUE = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT


def invoke(
    proxy: Caller, name: str, args: Any, kwargs: dict[str, Any] | None, flags: int, object_id: str | None
) -> Any:
    """Perform one remote call; see ``Proxy._pyroInvoke``."""
    connection = proxy._pyro_connection()
    outgoing = encode(proxy, connection, name, args, kwargs, flags, object_id)
    seq = proxy._pyro_next_seq()
    message = _exchange(proxy, connection, outgoing, seq)
    if message is None:
        return None
    return result_of(proxy, connection, message, seq, outgoing.serializer_id)


def encode(
    proxy: Caller,
    connection: Channel,
    name: str,
    args: Any,
    kwargs: dict[str, Any] | None,
    flags: int = 0,
    object_id: str | None = None,
) -> Outgoing:
    """Return the request of one call, for whoever sends it: waiting for its reply or not. Raises SerializeError."""
    if name in proxy._pyroOneway:
        flags |= FLAGS_ONEWAY
    serializer = proxy._pyro_wire
    object_id = object_id or proxy._pyro_object_id
    args = tuple(args)
    if len(args) == 1 and type(args[0]) is SerializedBlob:
        payload, serializer_id, more = args[0].request(serializer, object_id, name)
        dialect = connection.dialect or PROTOCOL_VERSION
        annotations = {BLOB_ANNOTATION: blob_annotation(args[0].info, object_id, name, dialect)}
        return Outgoing(MSG_INVOKE, flags | more | FLAGS_KEEPSERIALIZED, 0, serializer_id, payload, annotations)
    payload = serializer.dumps_call(object_id, name, args, kwargs)
    if type(payload) is list:
        flags |= FLAGS_BUFFERS
    elif config.COMPRESSION:
        payload, flag = deflated(payload)
        flags |= flag
    return Outgoing(MSG_INVOKE, flags, 0, serializer.serializer_id, payload)


def invoke_batch(proxy: Caller, calls: BatchWriter, oneway: bool) -> tuple[list[Any], BaseException | None]:
    """Perform queued calls in one message; see ``Proxy._pyroInvokeBatch``."""
    flags = FLAGS_BATCH | (FLAGS_ONEWAY if oneway else 0)
    connection = proxy._pyro_connection()
    serializer = proxy._pyro_wire
    object_id = proxy._pyro_object_id
    payload = calls.payload(object_id) if serializer is native else write_batch(serializer, calls, object_id)
    if config.COMPRESSION:
        payload, flag = deflated(payload)
        flags |= flag
    seq = proxy._pyro_next_seq()
    message = _exchange(proxy, connection, Outgoing(MSG_INVOKE, flags, 0, serializer.serializer_id, payload), seq)
    if message is None:
        return [], None
    _check(proxy, connection, message, seq, serializer.serializer_id)
    if message.flags & FLAGS_EXCEPTION:
        raise _error_in(serializer.loads(payload_of(message)))
    if serializer is native:
        results, error = decode_results(native.codec, payload_of(message))
    else:
        results, error = read_results(serializer.loads(payload_of(message)))
    if len(results) + (error is not None) > len(calls) or (error is None and len(results) < len(calls)):
        proxy._pyro_drop(connection)
        raise ProtocolError(f"invoke: {len(results):,} results came for a batch of {len(calls):,} calls")
    return results, error


def _exchange(proxy: Caller, connection: Channel, outgoing: Outgoing, seq: int) -> Message | None:
    # A failure inside the exchange has closed the channel, as a rule; then the proxy lets it go.
    outgoing.seq = seq
    add_context(outgoing)
    try:
        if outgoing.flags & FLAGS_ONEWAY:
            connection.send(outgoing, proxy._pyro_timeout)
            current_context.received_nothing()
            return None
        return connection.exchange(outgoing, proxy._pyro_timeout)
    except BaseException:
        if connection.closed:
            proxy._pyro_drop(connection)
        raise


def add_context(outgoing: Outgoing) -> None:
    """Have annotations and correlation id of the caller's context travel with a request, beside its own ones."""
    annotations, outgoing.correlation_id = current_context.request_annotations()
    if annotations:
        outgoing.annotations = {**annotations, **(outgoing.annotations or {})}


def _check(proxy: Caller, connection: Channel, message: Message, seq: int, serializer_id: int) -> None:
    """Take in what came beside a reply, or raise when it is none to our request."""
    if message.seq == seq and message.kind == MSG_RESULT and message.serializer_id == serializer_id:
        current_context.received(message)
        return
    proxy._pyro_drop(connection)
    if message.seq != seq:
        raise ProtocolError(f"invoke: reply sequence out of sync, got {message.seq} expected {seq}")
    if message.kind != MSG_RESULT:
        raise ProtocolError(f"invoke: invalid msg type {message.kind} received (expected: {MSG_RESULT})")
    raise SerializeError(f"invalid serializer in response: {message.serializer_id} (expected: {serializer_id})")


def result_of(
    proxy: Caller, connection: Channel, message: Message, seq: int, serializer_id: int = native.serializer_id
) -> Any:
    """Return what a reply holds: a value or the stream that it announces, or raise the error that it holds."""
    _check(proxy, connection, message, seq, serializer_id)
    if proxy._pyroRawWireResponse:
        return message
    serializer = proxy._pyro_wire
    if serializer.serializer_id != serializer_id:  # it was changed while the call was under way
        serializer = get_serializer_by_id(serializer_id, connection.dialect or PROTOCOL_VERSION)
    if not message.flags & _NOT_A_VALUE:
        payload = payload_of(message) if message.flags & FLAGS_COMPRESSED else message.payload
        return serializer.loads(payload, message.buffers)
    if message.flags & FLAGS_ITEMSTREAMRESULT:
        stream_id = message.annotations.get("STRM")
        if not stream_id:
            raise ProtocolError("result of call is an iterator, but the server is not configured to allow streaming")
        if len(stream_id) > LONGEST_STREAM_ID:
            raise ProtocolError(f"a stream's id of {len(stream_id):,} bytes exceeds the limit of {LONGEST_STREAM_ID:,}")
        return StreamResult(stream_id.decode("ascii", "replace"), proxy)
    raise _error_in(serializer.loads(payload_of(message)))


def _error_in(value: Any) -> BaseException:
    if is_kind(value, BaseException):
        return value  # type: ignore[no-any-return]
    return ProtocolError(f"the daemon's error reply holds a {type_name(value)}, not an exception")
