"""What is answered to a call: its value, a stream, or the error that it ended with; and that as it is sent.

Knows no sockets and no threads. The fast path of this stage is native, in `_calls`; this is what else can be a reply.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fastpyro._lazy_logging import logger
from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.constants import (
    DAEMON_NAME,
    FLAGS_BATCH,
    FLAGS_BUFFERS,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_NOT_STARTED,
    FLAGS_ONEWAY,
    MSG_RESULT,
)
from fastpyro.errors import ProtocolError, SerializeError, ServerOverloadedError
from fastpyro.protocol.compression import deflated
from fastpyro.protocol.features import RETRIES
from fastpyro.serializers.registry import PICKLE_IDS, Serializer, get_serializer, get_serializer_by_id, native
from fastpyro.server._items import ItemWriter
from fastpyro.server.complaints import complain
from fastpyro.server.error_lines import lines_of
from fastpyro.server.exposure import members_of, resolve_method
from fastpyro.server.item_streams import AwaitedItems
from fastpyro.values._memory_budget import last_excess, note_excess
from fastpyro.values.exceptions import exception_reply

if TYPE_CHECKING:
    from fastpyro.protocol._call_context import CallState
    from fastpyro.protocol._message import Message
    from fastpyro.server._request import Request
    from fastpyro.server.connection import Connection
    from fastpyro.server.service import Service

__all__ = [
    "AnyReply",
    "PendingReply",
    "Postponed",
    "Reply",
    "UnfinishedBatch",
    "annotations_of",
    "error_reply",
    "failed",
    "finished",
    "refusal_reply",
    "report",
]

log = logger("fastpyro.dispatch")

NEXT_ITEM = (DAEMON_NAME, "get_next_stream_item")
"""The call that fetches an item of a stream: its object and method."""

NEVER_STREAMS = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set})
"""The commonest result types, none of which is an iterator."""

Called: TypeAlias = tuple[Any, str, tuple[Any, ...], dict[str, Any]]
"""What a request calls, as far as it is known: the object, the method's name, its arguments and keywords."""


class PendingReply(NamedTuple):
    """The reply of a call whose method returned a coroutine: somebody has to run that first.

    Attributes: ``coroutine``; ``state``, the context that it runs in; ``complete``, called in that context with the
    coroutine's value and None, or with None and what it raised, for the reply (None where none is wanted); ``held``,
    which stands for the memory of the call's arguments and is to live as long as it.
    """

    coroutine: Coroutine[Any, Any, Any]
    state: CallState
    complete: Callable[[Any, BaseException | None], Reply | None]
    held: Any = None


class Postponed(Exception):
    """A request whose reply will be big, for which there is no room: it is to be served again later.

    Attributes: ``size``, the bytes that serving it takes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Reply(NamedTuple):
    """A reply: message kind, flags, payload (bytes or a list of buffers), annotations or None."""

    kind: int
    flags: int
    serializer_id: int
    payload: Any
    annotations: dict[str, Any] | None = None


class UnfinishedBatch(NamedTuple):
    """A batch of which a part has been performed, because others wait.

    Attributes: ``go_on``, called in its context, which performs more and returns the reply, None where none is wanted, or
    again this; ``state``, that context; ``size``, bytes of the results that there are.
    """

    go_on: Callable[[], Reply | UnfinishedBatch | None]
    state: CallState
    size: int


AnyReply: TypeAlias = Reply | PendingReply | UnfinishedBatch
"""What comes of a request that wants a reply: that, or what will have one."""


def failed(service: Service, request: Request, error: BaseException) -> Reply | None:
    """Report a call that failed to whom it concerns. Returns the reply, None for a oneway call."""
    connection, message = request.connection, request.message
    if request.is_unreadable:
        complain(log, connection, error)
    else:
        report(service, connection, (request.target, request.method or "", request.args, request.kwargs), error)
    if message.flags & FLAGS_ONEWAY:
        return None
    if type(error) is StopIteration and (request.object_id, request.method) == NEXT_ITEM:
        return _exception_reply(
            service, connection, message, error, []
        )  # no failure: nobody looks for where it was raised
    return error_reply(service, connection, message, error)


def finished(service: Service, request: Request, result: Any) -> AnyReply | None:
    """Return the reply for what a method returned: its value, a stream, or the error that it cannot be sent.

    For a coroutine that is the reply to come, None for a oneway call; for an unfinished batch that itself. Called in the
    context of the call, when `last_excess` is what its arguments take.
    """
    if type(result) is UnfinishedBatch:
        return result
    if type(result) is ItemWriter and request.calls is None:
        return _items_reply(service, request, result)
    if request.calls is None and type(result) not in NEVER_STREAMS and isinstance(result, Coroutine):
        return _pending(service, request, result)
    if request.flags & FLAGS_ONEWAY:
        return None
    return _note_big(request, _value_reply(service, request, result))


def _pending(service: Service, request: Request, coroutine: Coroutine[Any, Any, Any]) -> Reply | PendingReply | None:
    excess = last_excess()
    try:
        held = service.held_memory.hold(excess)
    except ServerOverloadedError as error:
        coroutine.close()
        return failed(service, request, error)

    def complete(value: Any, error: BaseException | None) -> Reply | None:
        if error is not None:
            return failed(service, request, error)
        if request.flags & FLAGS_ONEWAY:
            return None
        note_excess(excess)  # for a stream, which may have them
        return _note_big(request, _value_reply(service, request, value), late=True)

    return PendingReply(coroutine, current_context.current().copy(), complete, held)


def _note_big(request: Request, reply: Reply, late: bool = False) -> Reply:
    big_replies = request.connection.big_replies
    if big_replies is not None:
        big_replies.note(type(request.target), request.method, reply.payload, late)
    return reply


def _value_reply(service: Service, request: Request, result: Any) -> Reply:
    connection, message = request.connection, request.message
    if request.calls is None and type(result) not in NEVER_STREAMS:
        if hasattr(type(result), "__next__"):
            return _stream_reply(service, connection, message, result)
        if hasattr(type(result), "__anext__"):
            return _stream_reply(service, connection, message, AwaitedItems(result, service.coroutines))
    serializer = _serializer_of(connection, message)
    try:
        if request.calls is not None:
            payload, flags = result.payload(), FLAGS_BATCH
        else:
            payload = serializer.dumps_parts(result)
            flags = FLAGS_BUFFERS if type(payload) is list else 0
        if config.COMPRESSION:
            payload = b"".join(payload) if flags == FLAGS_BATCH and type(payload) is list else payload
            payload, flag = deflated(payload)
            flags |= flag
        return Reply(MSG_RESULT, flags, serializer.serializer_id, payload, annotations_of(service))
    except SerializeError as error:
        from fastpyro.values.refused_paths import located  # nobody needs it before that

        places = [("result", result)]
        if request.calls is not None:
            places = [(f"results[{index}]", value) for index, value in enumerate(getattr(result, "values", ()))]
        return error_reply(service, connection, message, located(error, places, serializer.expand, serializer.dumps))
    except (Exception, SystemExit) as error:
        return error_reply(service, connection, message, error)


def _items_reply(service: Service, request: Request, answer: ItemWriter) -> Reply | None:
    """Return the reply to a pull; None where it has been sent, or none is wanted."""
    payload = answer.payload
    if payload is None or request.flags & FLAGS_ONEWAY:
        return None
    flags = FLAGS_BUFFERS if type(payload) is list else 0
    return _note_big(request, Reply(MSG_RESULT, flags, native.serializer_id, payload, annotations_of(service)))


def _serializer_of(connection: Connection, message: Message) -> Serializer:
    """Return the serializer of a request, for writing; the peers' default for one that nobody knows, or may use."""
    if message.serializer_id == native.serializer_id:
        return native
    serializer = connection.serializer
    if serializer is not None and serializer.serializer_id == message.serializer_id:
        return serializer
    if message.serializer_id in PICKLE_IDS - connection.accepted:
        return get_serializer("serpent", connection.dialect)
    try:
        return get_serializer_by_id(message.serializer_id, connection.dialect)
    except SerializeError:
        return get_serializer("serpent", connection.dialect)


def _stream_reply(service: Service, connection: Connection, message: Message, iterator: Any) -> Reply:
    flags = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
    serializer = _serializer_of(connection, message)
    payload = exception_reply(serializer, ProtocolError("result of call is an iterator"), [])
    annotations = annotations_of(service) or {}
    if config.ITER_STREAMING:
        try:
            held = service.held_memory.hold(last_excess())
            annotations["STRM"] = service.streams.open(iterator, connection, held).encode("ascii")
        except ServerOverloadedError as error:
            complain(log, connection, error)
            return error_reply(service, connection, message, error)
    return Reply(MSG_RESULT, flags, serializer.serializer_id, payload, annotations)


def error_reply(service: Service, connection: Connection, message: Message, error: BaseException) -> Reply:
    """Return the reply that makes the client raise ``error``, with its traceback here."""
    return _exception_reply(service, connection, message, error, lines_of(error))


def refusal_reply(service: Service, connection: Connection, message: Message, error: BaseException) -> Reply:
    """As ``error_reply``, for a call that has not begun; a client that knows the flag is told."""
    reply = error_reply(service, connection, message, error)
    return reply._replace(flags=reply.flags | FLAGS_NOT_STARTED) if connection.channel.features & RETRIES else reply


def _exception_reply(
    service: Service, connection: Connection, message: Message, error: BaseException, lines: list[str]
) -> Reply:
    annotations = service.annotations() if service.has_annotations else None
    serializer = _serializer_of(connection, message)
    payload = exception_reply(serializer, error, lines)
    return Reply(MSG_RESULT, FLAGS_EXCEPTION, serializer.serializer_id, payload, annotations)


def annotations_of(service: Service) -> dict[str, Any] | None:
    """Return what travels beside a reply: the call's own annotations and those of the service, or None for none."""
    own = current_context.reply_annotations()
    if service.has_annotations:
        return {**service.annotations(), **(own or {})}
    return own


def report(service: Service, connection: Connection, called: Called, error: BaseException) -> None:
    """Tell of an error the log, where it is one of a callback, and the program's hook."""
    target, name, args, kwargs = called
    method = _method_or_name(service, target, name)
    if getattr(method, "_pyroCallback", False):
        log.warning("Exception in callback method %s:", getattr(method, "__qualname__", method), exc_info=error)
    try:
        service.methodcall_error_handler(service, connection.peer_address, method, args, kwargs, error)
    except Exception:
        log.exception("methodcall_error_handler failed")


def _method_or_name(service: Service, target: Any, name: str) -> Any:
    try:
        if name in members_of(type(target), service.require_expose).methods:
            return getattr(target, name)
        if service.require_expose and name not in getattr(target, "__dict__", ()):
            return name  # without a second error, which costs as much as the first
        return resolve_method(target, name, service.require_expose)
    except Exception:
        return name
