"""One request message in, one reply out: `REQUESTS` has the function for each kind of request.

Knows no sockets and no threads. Every failure becomes an error reply: nothing that a client sends and nothing that a method
raises leaves `handle` as an exception, but for KeyboardInterrupt, of which only the server knows whom it is meant for.
The way of a call is in `_calls`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from fastpyro._lazy_logging import logger
from fastpyro.callcontext import current_context
from fastpyro.constants import (
    FLAGS_META_ON_CONNECT,
    FLAGS_ONEWAY,
    MARSHAL_ID,
    MSG_CANCEL,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    PROTOCOL_VERSION,
)
from fastpyro.errors import ProtocolError
from fastpyro.protocol.features import ANNOUNCED, CANCELS, FEATURES, KNOWN, RETRIES, common
from fastpyro.serializers.registry import Serializer, get_serializer_by_id, native
from fastpyro.server._calls import CallServer
from fastpyro.server._request import Request
from fastpyro.server.complaints import complain
from fastpyro.server.dropped_calls import dropped
from fastpyro.server.exposure import idempotent_marks
from fastpyro.server.replies import AnyReply, Reply, UnfinishedBatch, annotations_of, error_reply
from fastpyro.transport import handshake

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection

__all__ = ["MayRun", "handle", "refusal"]

log = logger("fastpyro.dispatch")

MayRun: TypeAlias = Callable[[Request, list[Any]], bool]
"""Asked with a call and the names of its object's members before any of them is used."""


def handle(
    calls: CallServer,
    connection: Connection,
    message: Message,
    may_run: MayRun | None = None,
    begun: Request | UnfinishedBatch | None = None,
) -> AnyReply | None:
    """Serve one request of a client. Returns the reply, what will have one, or None where none is wanted.

    Arguments: ``calls``, which serves those; ``may_run``, asked with a call that was read and the names of the members that
    it uses, before any of it is done: when it says False somebody else has the call, and None is returned; ``begun``, the
    call in the message if somebody has read it, or the rest of a batch which was interrupted.

    Raises ProtocolError when the message is out of turn: the client must be dropped then. Raises Postponed.
    """
    if begun is not None and not isinstance(begun, Request):
        return _go_on(connection, message, begun)
    request = REQUESTS.get(message.kind)
    if request is None or (request is not _connect) is not connection.handshaken:
        raise ProtocolError(f"message of type {message.kind} is out of turn")
    if message.deadline and (error := dropped(calls.service.dropped_calls, connection, message)):
        return None if message.flags & FLAGS_ONEWAY else error_reply(calls.service, connection, message, error)
    current_context.begin(connection, message)
    try:
        reply = request(calls, begun or Request(connection, message, may_run))
        return _introduced(connection, message, reply) if connection.attached else reply
    finally:
        current_context.end()


def _go_on(connection: Connection, message: Message, batch: UnfinishedBatch) -> AnyReply | None:
    former = current_context.replace(batch.state)
    try:
        return _introduced(connection, message, batch.go_on())
    finally:
        current_context.replace(former)


def _introduced(connection: Connection, message: Message, reply: AnyReply | None) -> AnyReply | None:
    """Let the first reply on a socket that came connected say that this side speaks natively, if it was asked."""
    if connection.attached and isinstance(reply, Reply) and handshake.FAST in message.annotations:
        connection.channel.features = common(message.annotations.get(FEATURES, b""))
        return reply._replace(annotations={**(reply.annotations or {}), **handshake.native_answer()})
    return reply


def _ping(_: CallServer, request: Request) -> Reply:
    return Reply(MSG_PING, 0, request.serializer_id, b"pong")


def _connect(calls: CallServer, request: Request) -> Reply:
    service, connection, message = calls.service, request.connection, request.message
    dialect = connection.dialect
    try:
        hello = handshake.read_request(message, dialect, connection.accepted, connection.lacks)
        annotations = annotations_of(service) or {}
        if hello.speaks_native:
            serializer: Serializer = native
            annotations.update(handshake.native_answer())
            theirs = message.annotations.get(FEATURES, b"")
            connection.channel.features = KNOWN if theirs == ANNOUNCED else common(theirs)
        else:
            serializer = get_serializer_by_id(message.serializer_id, dialect)
        answer: Any = service.validateHandshake(connection, hello.data)
        flags = 0
        if hello.wants_metadata:
            assert hello.object_id is not None
            metadata = service.offered_metadata(hello.object_id)
            if idempotent_marks and hello.speaks_native and connection.channel.features & RETRIES:
                idempotent = service.idempotent_methods(hello.object_id)
                metadata = {**metadata, "idempotent": idempotent} if idempotent else metadata
            if dialect != PROTOCOL_VERSION:
                metadata = {key: list(names) for key, names in metadata.items()}
                flags = FLAGS_META_ON_CONNECT
            answer = {"handshake": answer, "meta": metadata}
        payload = serializer.dumps(answer)
    except Exception as error:
        complain(log, connection, f"refused: {error}")
        return refusal(error, connection, message)
    connection.handshaken = True
    connection.oneway_apart = not hello.speaks_native  # programs written for Pyro count on it
    return Reply(MSG_CONNECTOK, flags, serializer.serializer_id, payload, annotations)


def _cancel(calls: CallServer, request: Request) -> None:
    if not request.connection.channel.features & CANCELS:
        raise ProtocolError(f"message of type {MSG_CANCEL} is out of turn")
    calls.service.cancelling.cancel(request.connection, request.message.seq)


def _invoke(calls: CallServer, request: Request) -> AnyReply | None:
    return calls.invoke(request)  # bound: a native method that is called by its class does not look at what it is given


def refusal(reason: object, connection: Connection, message: Message | None = None) -> Reply:
    """Return the reply that refuses a connection: in the serializer of its message, or in marshal, which all peers read."""
    accepted = message is not None and message.serializer_id in connection.accepted
    serializer_id = message.serializer_id if message is not None and accepted else MARSHAL_ID
    return Reply(
        MSG_CONNECTFAIL,
        0,
        serializer_id,
        get_serializer_by_id(serializer_id, connection.dialect).dumps(str(reason)),
    )


REQUESTS: dict[int, Callable[[CallServer, Request], AnyReply | None]] = {
    MSG_CANCEL: _cancel,
    MSG_CONNECT: _connect,
    MSG_INVOKE: _invoke,
    MSG_PING: _ping,
}
