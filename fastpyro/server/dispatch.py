"""One request message in, one reply out: finds the object and its method, runs it, encodes what comes back.

Knows no sockets and no threads. `REQUESTS` maps message kinds to functions, `PSEUDO_METHODS` the method names that
stand for attribute access. Every failure becomes an error reply: nothing that a client sends and nothing that a method
raises leaves `handle` as an exception, but for KeyboardInterrupt, of which only the server knows whom it is meant for.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fastpyro._lazy_logging import logger
from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_BUFFERS,
    FLAGS_COMPRESSED,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_KEEPSERIALIZED,
    FLAGS_META_ON_CONNECT,
    FLAGS_ONEWAY,
    MARSHAL_ID,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    PROTOCOL_VERSION,
)
from fastpyro.errors import ProtocolError, SerializeError, ServerOverloadedError
from fastpyro.protocol._batch import ResultWriter, decode_batch
from fastpyro.protocol.blobs import received_blob
from fastpyro.protocol.compression import deflated, payload_of
from fastpyro.protocol.peer_batches import BATCH_METHOD, ResultList, read_batch, results_limit
from fastpyro.serializers.registry import PICKLE_IDS, Serializer, get_serializer, get_serializer_by_id, native
from fastpyro.server._batches import perform_batch
from fastpyro.server.complaints import complain
from fastpyro.server.error_lines import lines_of
from fastpyro.server.exposure import (
    delete_exposed_property,
    get_exposed_property,
    members_of,
    resolve_method,
    set_exposed_property,
)
from fastpyro.server.item_streams import AwaitedItems
from fastpyro.transport import handshake
from fastpyro.values._memory_budget import last_excess, note_excess
from fastpyro.values.exceptions import exception_reply, with_traceback
from fastpyro.values.refused_paths import located

if TYPE_CHECKING:
    from fastpyro.protocol._call_context import CallState
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.service import Service

__all__ = ["Called", "PendingReply", "Postponed", "Reply", "error_reply", "failed", "finished", "handle", "refusal"]

log = logger("fastpyro.dispatch")

NEVER_STREAMS = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set})
"""The commonest result types, none of which is an iterator."""

MayRun: TypeAlias = Callable[[Any, list[Any]], bool]
"""Asked with the id of an object and the names of its members before any of them is used."""

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
    """What to answer: message kind, flags, payload (bytes or a list of buffers), annotations or None."""

    kind: int
    flags: int
    serializer_id: int
    payload: Any
    annotations: dict[str, Any] | None = None


def handle(
    daemon: Service, connection: Connection, message: Message, may_run: MayRun | None = None
) -> Reply | PendingReply | None:
    """Serve one request of a client. Returns the reply, the one that it will have, or None where none is wanted.

    Arguments: ``may_run``, asked with the object's id and the names of its members that a call uses, before any of it is
    done: when it says False the call waits elsewhere, and None is returned.

    Raises ProtocolError when the message is out of turn: the client must be dropped then. Raises Postponed.
    """
    request = REQUESTS.get(message.kind)
    if request is None or (request is not _connect) is not connection.handshaken:
        raise ProtocolError(f"message of type {message.kind} is out of turn")
    current_context.begin(connection, message)
    try:
        reply = request(daemon, connection, message, may_run)
        if connection.attached and isinstance(reply, Reply) and handshake.FAST in message.annotations:
            return reply._replace(annotations={**(reply.annotations or {}), handshake.FAST: handshake.native_answer()})
        return reply
    finally:
        current_context.end()


def _ping(daemon: Service, connection: Connection, message: Message, _: MayRun | None) -> Reply:
    return Reply(MSG_PING, 0, message.serializer_id, b"pong")


def _connect(daemon: Service, connection: Connection, message: Message, _: MayRun | None) -> Reply:
    try:
        request = handshake.read_request(message, connection.dialect, connection.accepted)
        annotations = _annotations(daemon) or {}
        if request.speaks_native:
            serializer: Serializer = native
            annotations[handshake.FAST] = handshake.native_answer()
        else:
            serializer = get_serializer_by_id(message.serializer_id, connection.dialect)
        answer: Any = daemon.validateHandshake(connection, request.data)
        flags = 0
        if request.wants_metadata:
            assert request.object_id is not None
            metadata = daemon.offered_metadata(request.object_id)
            if connection.dialect != PROTOCOL_VERSION:
                metadata = {key: list(names) for key, names in metadata.items()}
                flags = FLAGS_META_ON_CONNECT
            answer = {"handshake": answer, "meta": metadata}
        payload = serializer.dumps(answer)
    except Exception as error:
        complain(log, connection, f"refused: {error}")
        return refusal(error, connection, message)
    connection.handshaken = True
    connection.oneway_apart = not request.speaks_native  # programs written for Pyro count on it
    return Reply(MSG_CONNECTOK, flags, serializer.serializer_id, payload, annotations)


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


def _invoke(
    daemon: Service, connection: Connection, message: Message, may_run: MayRun | None
) -> Reply | PendingReply | None:
    flags = message.flags
    try:
        serializer = _request_serializer(connection, message)
    except SerializeError as error:
        complain(log, connection, error)
        return None if flags & FLAGS_ONEWAY else error_reply(daemon, connection, message, error)
    if flags & FLAGS_BATCH:
        return _invoke_batch(daemon, connection, message, serializer, may_run)
    target: Any = None
    name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    excess = 0
    try:
        object_id, name, args, kwargs = _call_in(serializer, message, connection.dialect)
        excess = last_excess()
        held = daemon.held_memory.hold(excess)  # noqa: F841 until this function is done
        _begin_big(daemon, connection, message, object_id, [name])
        if may_run is not None and not may_run(object_id, [args[0] if args and name in PSEUDO_METHODS else name]):
            return None
        target = daemon.find_object(object_id, connection)
        pseudo_method = PSEUDO_METHODS.get(name)
        if pseudo_method is not None:
            result = pseudo_method(target, args, daemon.require_expose)
        else:
            result = resolve_method(target, name, daemon.require_expose)(*args, **kwargs)
    except (KeyboardInterrupt, Postponed):
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and daemon.forked:
            raise  # a child that the method has forked
        return failed(daemon, connection, message, (target, name, args, kwargs), error)
    note_excess(excess)  # the method may have read other messages
    return finished(daemon, connection, message, (target, name, args, kwargs), result)


def failed(
    daemon: Service, connection: Connection, message: Message, called: Called, error: BaseException
) -> Reply | None:
    """Report a call that failed to whom it concerns. Returns the reply, None for a oneway call."""
    target, name, args, kwargs = called
    _report(daemon, connection, _method_or_name(daemon, target, name), args, kwargs, error)
    return None if message.flags & FLAGS_ONEWAY else error_reply(daemon, connection, message, error)


def _method_or_name(daemon: Service, target: Any, name: str) -> Any:
    try:
        is_unknown = daemon.require_expose and name not in members_of(type(target)).methods
        if is_unknown and name not in getattr(target, "__dict__", ()):
            return name  # without a second error, which costs as much as the first
        return resolve_method(target, name, daemon.require_expose)
    except Exception:
        return name


def finished(
    daemon: Service, connection: Connection, message: Message, called: Called, result: Any
) -> Reply | PendingReply | None:
    """Return the reply for what a method returned: its value, a stream, or the error that it cannot be sent.

    For a coroutine that is the reply to come, None for a oneway call. Called in the context of the call, when `last_excess`
    is what its arguments take.
    """
    if type(result) not in NEVER_STREAMS and isinstance(result, Coroutine):
        excess = last_excess()
        try:
            held = daemon.held_memory.hold(excess)
        except ServerOverloadedError as error:
            result.close()
            return failed(daemon, connection, message, called, error)

        def complete(value: Any, error: BaseException | None) -> Reply | None:
            if error is not None:
                return failed(daemon, connection, message, called, error)
            if message.flags & FLAGS_ONEWAY:
                return None
            note_excess(excess)  # for a stream, which may have them
            return _note_big(connection, called, _value_reply(daemon, connection, message, value), late=True)

        return PendingReply(result, current_context.current().copy(), complete, held)
    if message.flags & FLAGS_ONEWAY:
        return None
    return _note_big(connection, called, _value_reply(daemon, connection, message, result))


def _begin_big(daemon: Service, connection: Connection, message: Message, object_id: str, names: Iterable[str]) -> None:
    """Have a call wait for room if its reply is likely to be big. Raises Postponed."""
    big_replies = connection.big_replies
    if big_replies is None or message.flags & FLAGS_ONEWAY:
        return
    target = daemon.objectsById.get(object_id)
    if isinstance(target, weakref.ref):
        target = target()
    big_replies.begin(message, target if isinstance(target, type) else type(target), names)


def _note_big(connection: Connection, called: Called, reply: Reply, late: bool = False) -> Reply:
    if connection.big_replies is not None:
        connection.big_replies.note(type(called[0]), called[1], reply.payload, late)
    return reply


def _value_reply(daemon: Service, connection: Connection, message: Message, result: Any) -> Reply:
    if type(result) not in NEVER_STREAMS:
        if hasattr(type(result), "__next__"):
            return _stream_reply(daemon, connection, message, result)
        if hasattr(type(result), "__anext__"):
            return _stream_reply(daemon, connection, message, AwaitedItems(result, daemon.coroutines))
    serializer = _reply_serializer(connection, message)
    try:
        payload = serializer.dumps_parts(result)
        flags = FLAGS_BUFFERS if type(payload) is list else 0
        return _result_reply(daemon, serializer, payload, flags)
    except SerializeError as error:
        return error_reply(daemon, connection, message, located(error, [("result", result)], serializer.expand))
    except (Exception, SystemExit) as error:
        return error_reply(daemon, connection, message, error)


def _result_reply(daemon: Service, serializer: Serializer, payload: Any, flags: int) -> Reply:
    if config.COMPRESSION:
        payload, flag = deflated(payload)
        flags |= flag
    return Reply(MSG_RESULT, flags, serializer.serializer_id, payload, _annotations(daemon))


def _request_serializer(connection: Connection, message: Message) -> Serializer:
    """Return the serializer of a request, for reading; the connection remembers it. Raises SerializeError."""
    serializer = connection.serializer
    if serializer is None or serializer.serializer_id != message.serializer_id:
        serializer = handshake.peer_serializer(message.serializer_id, connection.dialect, connection.accepted)
        connection.serializer = serializer
    return serializer


def _reply_serializer(connection: Connection, message: Message) -> Serializer:
    """Return the serializer of a request, for writing; the peers' default for one that nobody knows, or may use."""
    serializer = connection.serializer
    if serializer is not None and serializer.serializer_id == message.serializer_id:
        return serializer
    if message.serializer_id in PICKLE_IDS - connection.accepted:
        return get_serializer("serpent", connection.dialect)
    try:
        return get_serializer_by_id(message.serializer_id, connection.dialect)
    except SerializeError:
        return get_serializer("serpent", connection.dialect)


def _invoke_batch(
    daemon: Service, connection: Connection, message: Message, serializer: Serializer, may_run: MayRun | None
) -> Reply | None:
    limit = results_limit()
    results: Any = ResultWriter(native.codec, limit) if serializer is native else ResultList(serializer, limit)
    try:
        object_id, calls = _calls_in(serializer, message)
        held = daemon.held_memory.hold(last_excess())  # noqa: F841 until this function is done
        names = [name for name, _, _ in calls]
        _begin_big(daemon, connection, message, object_id, [BATCH_METHOD, *names])
        if may_run is not None and not may_run(object_id, names):
            return None
        target = daemon.find_object(object_id, connection)
    except Postponed:
        raise
    except Exception as error:
        _report(daemon, connection, "<batch>", (), {}, error)
        return None if message.flags & FLAGS_ONEWAY else error_reply(daemon, connection, message, error)
    if connection.big_replies is not None and not message.flags & FLAGS_ONEWAY:
        results.watch(connection.big_replies.watcher(message, type(target), BATCH_METHOD))
    try:
        perform_batch(target, calls, daemon.require_expose, results, daemon.coroutines.value_of)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and daemon.forked:
            raise
        name, args, kwargs = calls[len(results)]
        _report(daemon, connection, _method_or_name(daemon, target, name), args, kwargs or {}, error)
        if not message.flags & FLAGS_ONEWAY:
            _add_error(results, error, serializer)
    if message.flags & FLAGS_ONEWAY:
        return None
    try:
        payload = results.payload()
    except Exception as error:
        return error_reply(daemon, connection, message, error)
    reply = _result_reply(daemon, serializer, payload, FLAGS_BATCH)
    return _note_big(connection, (target, BATCH_METHOD, (), {}), reply)


def _call_in(serializer: Serializer, message: Message, dialect: int) -> Any:
    if message.flags & FLAGS_KEEPSERIALIZED:
        blob, object_id, name = received_blob(message, dialect)
        note_excess(0)
        return object_id, name, (blob,), {}
    payload = payload_of(message) if message.flags & FLAGS_COMPRESSED else message.payload
    return serializer.loads_call(payload, message.buffers)


def _calls_in(serializer: Serializer, message: Message) -> tuple[str, Any]:
    payload = payload_of(message)
    return decode_batch(native.codec, payload) if serializer is native else read_batch(serializer.loads_call(payload))


def _add_error(results: Any, error: BaseException, serializer: Serializer) -> None:
    lines = lines_of(error)
    try:
        results.add_error(with_traceback(error, lines))
    except Exception:  # then it is sent as the PyroError that replaces it
        results.add_error(serializer.loads(exception_reply(serializer, error, lines)))


def _stream_reply(daemon: Service, connection: Connection, message: Message, iterator: Any) -> Reply:
    flags = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
    serializer = _reply_serializer(connection, message)
    payload = exception_reply(serializer, ProtocolError("result of call is an iterator"), [])
    annotations = _annotations(daemon) or {}
    if config.ITER_STREAMING:
        try:
            held = daemon.held_memory.hold(last_excess())
            annotations["STRM"] = daemon.streams.open(iterator, connection, held).encode("ascii")
        except ServerOverloadedError as error:
            complain(log, connection, error)
            return error_reply(daemon, connection, message, error)
    return Reply(MSG_RESULT, flags, serializer.serializer_id, payload, annotations)


def error_reply(daemon: Service, connection: Connection, message: Message, error: BaseException) -> Reply:
    """Return the reply that makes the client raise ``error``, with its traceback here."""
    annotations = daemon.annotations() if daemon.has_annotations else None
    serializer = _reply_serializer(connection, message)
    payload = exception_reply(serializer, error, lines_of(error))
    return Reply(MSG_RESULT, FLAGS_EXCEPTION, serializer.serializer_id, payload, annotations)


def _annotations(daemon: Service) -> dict[str, Any] | None:
    own = current_context.reply_annotations()
    if daemon.has_annotations:
        return {**daemon.annotations(), **(own or {})}
    return own


def _report(
    daemon: Service, connection: Connection, method: Any, args: Any, kwargs: dict[str, Any], error: BaseException
) -> None:
    if getattr(method, "_pyroCallback", False):
        log.warning("Exception in callback method %s:", getattr(method, "__qualname__", method), exc_info=error)
    try:
        daemon.methodcall_error_handler(daemon, connection.peer_address, method, args, kwargs, error)
    except Exception:
        log.exception("methodcall_error_handler failed")


def _get_attribute(target: Any, args: tuple[Any, ...], require_expose: bool) -> Any:
    (name,) = args
    return get_exposed_property(target, name, require_expose)


def _set_attribute(target: Any, args: tuple[Any, ...], require_expose: bool) -> None:
    name, value = args
    set_exposed_property(target, name, value, require_expose)


def _delete_attribute(target: Any, args: tuple[Any, ...], require_expose: bool) -> None:
    (name,) = args
    delete_exposed_property(target, name, require_expose)


REQUESTS: dict[int, Callable[..., Reply | PendingReply | None]] = {
    MSG_CONNECT: _connect,
    MSG_INVOKE: _invoke,
    MSG_PING: _ping,
}
PSEUDO_METHODS: dict[str, Callable[..., Any]] = {
    "__getattr__": _get_attribute,
    "__setattr__": _set_attribute,
    "__delattr__": _delete_attribute,
}
