"""The road of a call on the client: encode a request, exchange it for a message, make a value of that.

A `Session` is one conversation with the daemon of an object. Calls that wait, calls that do not, batches and the first
call of an attached socket go through its stages; `exchange` is the only one that waits. The fast path of each stage is
native, in `_session`; this is what else can travel. Knows proxies only by their attributes.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.callcontext import current_context
from fastpyro.client._session import SessionCore, invocation, name_timeout, time_for
from fastpyro.client.item_stream import StreamResult
from fastpyro.client.retries import not_begun
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_BUFFERS,
    FLAGS_COMPRESSED,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_KEEPSERIALIZED,
    FLAGS_NOT_STARTED,
    FLAGS_ONEWAY,
    MSG_RESULT,
    PROTOCOL_VERSION,
)
from fastpyro.errors import CommunicationError, ProtocolError, PyroError, SecurityError, SerializeError
from fastpyro.protocol._batch import decode_results
from fastpyro.protocol.blobs import BLOB_ANNOTATION, SerializedBlob, blob_annotation
from fastpyro.protocol.compression import deflated, payload_of
from fastpyro.protocol.peer_batches import read_results, write_batch
from fastpyro.serializers.registry import IDS, PICKLES, get_serializer, get_serializer_by_id, native
from fastpyro.values.checked import is_kind, type_name

if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from fastpyro.client.interfaces import Caller
    from fastpyro.protocol._batch import BatchWriter
    from fastpyro.protocol._message import Message, Outgoing

__all__ = ["Request", "Session", "batch_results", "invoke", "invoke_batch"]

LONGEST_STREAM_ID = 1000
"""Bytes; a daemon of Pyro writes 36."""

_NOT_A_VALUE = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT


class Request(NamedTuple):
    """A call: of a method, with what arguments, of which object (None: the session's), with which flags."""

    method: str
    args: Any
    kwargs: dict[str, Any] | None
    flags: int = 0
    object_id: str | None = None


class Session(SessionCore):
    """One conversation with the daemon of an object, and the stages of a call in it. Does not change.

    Arguments: ``channel``, connected; ``serializer``, in which values travel; ``uri``, the address of the object;
    ``asked_for``, the name of the serializer that was wanted, where that is another one; ``may_be_native``, whether the
    daemon understands our own format.
    """

    __slots__ = ()

    def in_format(self, name: str) -> Session | None:
        """Return a session over the same connection whose values travel in another format, None where that cannot be."""
        if name not in IDS or name in PICKLES or (name == native.name and not self.may_be_native):
            return None
        serializer = get_serializer(name, self.channel.dialect or PROTOCOL_VERSION)
        return Session(self.channel, serializer, self.uri, name, self.may_be_native)

    def encode(self, request: Request, oneway: Container[str] = ()) -> Outgoing:
        """Return a request as it travels. Raises SerializeError.

        Arguments: ``oneway``, the names of methods that nobody waits for.
        """
        method, args, kwargs, flags, object_id = request
        if method in oneway:
            flags |= FLAGS_ONEWAY
        object_id = object_id or self.object_id
        args = tuple(args)
        if len(args) == 1 and type(args[0]) is SerializedBlob:
            payload, serializer_id, more = args[0].request(self.serializer, object_id, method)
            dialect = self.channel.dialect or PROTOCOL_VERSION
            annotations = {BLOB_ANNOTATION: blob_annotation(args[0].info, object_id, method, dialect)}
            return invocation(flags | more | FLAGS_KEEPSERIALIZED, serializer_id, payload, annotations)
        try:
            payload = self.serializer.dumps_call(object_id, method, args, kwargs)
        except SerializeError as error:
            from fastpyro.values.refused_paths import located, of_call  # nobody needs it before that

            assigns = method == "__setattr__" and len(args) == 2 and type(args[0]) is str
            places = iter([(f"proxy.{args[0]}", args[1])]) if assigns else of_call(args, kwargs)
            raise located(error, places, self.serializer.expand, self.serializer.dumps) from error.__cause__
        return self._packed(flags, payload)

    def encode_batch(self, calls: BatchWriter, oneway: bool) -> Outgoing:
        """Return the request that performs queued calls, as it travels. Raises SerializeError."""
        if self.native:
            payload: Any = calls.payload(self.object_id)
        else:
            payload = write_batch(self.serializer, calls, self.object_id)
        return self._packed(FLAGS_BATCH | (FLAGS_ONEWAY if oneway else 0), payload)

    def _packed(self, flags: int, payload: Any) -> Outgoing:
        if type(payload) is list:
            flags |= FLAGS_BUFFERS
        elif config.COMPRESSION:
            payload, flag = deflated(payload)
            flags |= flag
        return invocation(flags, self.serializer.serializer_id, payload)

    def address(self, caller: Caller, outgoing: Outgoing) -> Outgoing:
        """Give a request its number, and what travels beside it: annotations and correlation id of the context."""
        outgoing.seq = caller._pyro_next_seq(self)
        annotations, outgoing.correlation_id = current_context.request_annotations()
        if annotations:
            outgoing.annotations = {**annotations, **(outgoing.annotations or {})}
        return outgoing

    def exchange(self, caller: Caller, outgoing: Outgoing) -> Message | None:
        """Send a request and wait for its reply; None for a oneway call, which has none."""
        self.address(caller, outgoing)
        try:
            seconds = time_for(caller, self, outgoing)
            if outgoing.flags & FLAGS_ONEWAY:
                self.channel.send(outgoing, seconds)
                current_context.received_nothing()
                return None
            return self.channel.exchange(outgoing, seconds)
        except BaseException:
            # A failure inside the exchange has closed the channel, as a rule; then the proxy lets it go.
            if self.channel.closed:
                caller._pyro_drop(self)
            raise

    def value_beside(self, caller: Caller, message: Message, seq: int, serializer_id: int) -> Any:
        """As ``value_of``, for a reply that is not plain: in another format, with something beside it, or no value."""
        self.check(caller, message, seq, serializer_id)
        if caller._pyroRawWireResponse:
            return message
        serializer = self.serializer
        if serializer.serializer_id != serializer_id:  # a blob travels as it came
            serializer = get_serializer_by_id(serializer_id, self.channel.dialect or PROTOCOL_VERSION)
        if not message.flags & _NOT_A_VALUE:
            payload = payload_of(message) if message.flags & FLAGS_COMPRESSED else message.payload
            return serializer.loads(payload, message.buffers)
        if message.flags & FLAGS_ITEMSTREAMRESULT:
            return _stream_in(caller, message)
        payload = payload_of(message) if message.flags & FLAGS_COMPRESSED else message.payload
        if self.native:  # no variable has it: its traceback will have this frame
            raise _error_in(serializer.loads(payload), bool(message.flags & FLAGS_NOT_STARTED))
        raise self._peer_error(caller, serializer.loads(payload))

    def _peer_error(self, caller: Caller, value: Any) -> BaseException:
        """Return an error that a reply holds.

        Lets go of the connection behind one after which Pyro's daemons close it: the next call needs another.
        """
        error = _error_in(value)
        ends = isinstance(error, CommunicationError | SecurityError) and caller._pyro_socket is None
        if ends and not self.may_be_native:
            caller._pyro_drop(self)
        return error

    def results_of(self, caller: Caller, message: Message) -> tuple[list[Any], BaseException | None]:
        """Return the results that the reply to a batch holds, and the error that ended it. Raises what it holds else."""
        if message.flags & FLAGS_EXCEPTION:
            if self.native:
                raise _error_in(self.serializer.loads(payload_of(message)), bool(message.flags & FLAGS_NOT_STARTED))
            raise self._peer_error(caller, self.serializer.loads(payload_of(message)))
        if self.native:
            results, ended = decode_results(self.serializer.codec, payload_of(message))
            return results, None if ended is None else _error_in(ended)
        return read_results(self.serializer.loads(payload_of(message)))

    def check(self, caller: Caller, message: Message, seq: int, serializer_id: int) -> None:
        """Take in what came beside a reply, or raise when it is none to the request of that number."""
        if message.seq == seq and message.kind == MSG_RESULT and message.serializer_id == serializer_id:
            current_context.received(message)
            return
        caller._pyro_drop(self)
        if message.seq != seq:
            raise ProtocolError(f"invoke: reply sequence out of sync, got {message.seq} expected {seq}")
        if message.kind != MSG_RESULT:
            raise ProtocolError(f"invoke: invalid msg type {message.kind} received (expected: {MSG_RESULT})")
        raise SerializeError(f"invalid serializer in response: {message.serializer_id} (expected: {serializer_id})")


def invoke(caller: Caller, request: Request) -> Any:
    """Perform one remote call; see ``Proxy._pyroInvoke``."""
    session = caller._pyro_open_session()
    try:
        outgoing = session.encode(request, caller._pyroOneway)
    except PyroError as error:
        raise not_begun(error)  # noqa: B904 - it is the same error
    try:
        message = session.exchange(caller, outgoing)
    except TimeoutError as error:
        name_timeout(error, _asked_for(request), session, caller._pyro_timeout)
        raise
    return None if message is None else session.value_of(caller, message, outgoing.seq, outgoing.serializer_id)


def _asked_for(request: Request) -> str:
    if request.method in ("__getattr__", "__setattr__") and request.args:
        return f"attribute {request.args[0]}"
    return request.method


def invoke_batch(caller: Caller, calls: BatchWriter, oneway: bool) -> tuple[list[Any], BaseException | None]:
    """Perform queued calls in one message; see ``Proxy._pyroInvokeBatch``."""
    session = caller._pyro_open_session()
    outgoing = session.encode_batch(calls, oneway)
    try:
        message = session.exchange(caller, outgoing)
    except TimeoutError as late:
        name_timeout(late, f"a batch of {len(calls):,} calls", session, caller._pyro_timeout)
        raise
    if message is None:
        return [], None
    return batch_results(session, caller, message, calls, (outgoing.seq, outgoing.serializer_id))


def batch_results(
    session: Session, caller: Caller, message: Message, calls: BatchWriter, request: tuple[int, int]
) -> tuple[list[Any], BaseException | None]:
    """Return the results of queued calls, and the error that ended them; ``request`` has its number and serializer."""
    session.check(caller, message, *request)
    results, error = session.results_of(caller, message)
    if len(results) + (error is not None) > len(calls) or (error is None and len(results) < len(calls)):
        caller._pyro_drop(session)
        raise ProtocolError(f"invoke: {len(results):,} results came for a batch of {len(calls):,} calls")
    return results, error


def _stream_in(caller: Caller, message: Message) -> StreamResult:
    stream_id = message.annotations.get("STRM")
    if not stream_id:
        raise ProtocolError("result of call is an iterator, but the server is not configured to allow streaming")
    if len(stream_id) > LONGEST_STREAM_ID:
        raise ProtocolError(f"a stream's id of {len(stream_id):,} bytes exceeds the limit of {LONGEST_STREAM_ID:,}")
    return StreamResult(stream_id.decode("ascii", "replace"), caller)


def _error_in(value: Any, not_started: bool = False) -> BaseException:
    if is_kind(value, BaseException):
        value.__dict__.pop("not_started", None)  # of a call of the server's own, if it is there
        if not_started and is_kind(value, PyroError):
            not_begun(value)
        return value  # type: ignore[no-any-return]
    return ProtocolError(f"the daemon's error reply holds a {type_name(value)}, not an exception")
