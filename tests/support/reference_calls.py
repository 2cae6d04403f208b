"""The way of a call, written once more and plainly, to compare `_calls` with: what came as a message, step by step.

It shares with the server what errors, values and streams look like as replies' payloads, and nothing of the order in which
things happen. `invoke` stands in the table of `dispatch`. It knows no limits: no call waits, and none has a big reply.
"""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

from fastpyro.callcontext import current_context
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
)
from fastpyro.errors import ProtocolError, SerializeError
from fastpyro.protocol._batch import ResultWriter, decode_batch
from fastpyro.protocol._message import Message
from fastpyro.protocol.blobs import received_blob
from fastpyro.protocol.compression import deflated, payload_of
from fastpyro.protocol.peer_batches import ResultList, read_batch, results_limit
from fastpyro.serializers.registry import get_serializer_by_id, native
from fastpyro.server import dispatch
from fastpyro.server._request import Request
from fastpyro.server.connection import Connection
from fastpyro.server.error_lines import lines_of
from fastpyro.server.exposure import ATTRIBUTE_METHODS, resolve_method
from fastpyro.server.item_streams import AwaitedItems
from fastpyro.server.replies import PendingReply, Reply, error_reply
from fastpyro.server.service import Service
from fastpyro.transport.handshake import peer_serializer
from fastpyro.values.exceptions import exception_reply, with_traceback
from fastpyro.values.refused_paths import located


class ReferenceCall:
    """One call, or batch of calls."""

    def __init__(self, service: Service, connection: Connection, message: Message) -> None:
        self.service, self.connection, self.message = service, connection, message
        self.oneway = bool(message.flags & FLAGS_ONEWAY)
        self.called: tuple[Any, str, Any, Any] = (None, "", (), {})

    def serve(self) -> Reply | PendingReply | None:
        """Serve it; returns the reply, the one that it will have, or None for a oneway call."""
        message = self.message
        try:
            self.serializer = peer_serializer(message.serializer_id, self.connection.dialect, self.connection.accepted)
        except SerializeError as error:
            return self.refused(error)
        self.connection.serializer = self.serializer
        if message.flags & FLAGS_BATCH:
            return self.serve_batch()
        try:
            object_id, name, args, kwargs = self.read()
            self.called = None, name, args, kwargs
            target = self.service.find_object(object_id, self.connection)
            self.called = target, name, args, kwargs
            if name in ATTRIBUTE_METHODS:
                result = ATTRIBUTE_METHODS[name](target, args, self.service.require_expose)
            else:
                result = resolve_method(target, name, self.service.require_expose)(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return self.failed(error)
        if isinstance(result, Coroutine):
            return PendingReply(result, current_context.current().copy(), self.complete)
        return None if self.oneway else self.reply_of(result)

    def read(self) -> Any:
        if self.message.flags & FLAGS_KEEPSERIALIZED:
            blob, object_id, name = received_blob(self.message, self.connection.dialect)
            return object_id, name, (blob,), {}
        compressed = self.message.flags & FLAGS_COMPRESSED
        payload = payload_of(self.message) if compressed else self.message.payload
        object_id, name, args, kwargs = self.serializer.loads_call(payload, self.message.buffers)
        return object_id, name, args, kwargs or {}

    def complete(self, value: Any, error: BaseException | None) -> Reply | None:
        if error is not None:
            return self.failed(error)
        return None if self.oneway else self.reply_of(value)

    def refused(self, error: BaseException) -> Reply | None:
        return None if self.oneway else error_reply(self.service, self.connection, self.message, error)

    def failed(self, error: BaseException) -> Reply | None:
        self.report(error, *self.called)
        return self.refused(error)

    def report(self, error: BaseException, target: Any, name: str, args: Any, kwargs: Any) -> None:
        method: Any = name
        with contextlib.suppress(Exception):
            method = resolve_method(target, name, self.service.require_expose)
        self.service.methodcall_error_handler(
            self.service, self.connection.peer_address, method, args, kwargs or {}, error
        )

    def reply_of(self, value: Any) -> Reply | None:
        if hasattr(type(value), "__anext__"):
            value = AwaitedItems(value, self.service.coroutines)
        if hasattr(type(value), "__next__"):
            return self.stream_of(value)
        try:
            payload: Any = self.serializer.dumps_parts(value)
        except SerializeError as error:
            return self.refused(located(error, [("result", value)], self.serializer.expand, self.serializer.dumps))
        except (Exception, SystemExit) as error:
            return self.refused(error)
        return self.reply(payload, FLAGS_BUFFERS if type(payload) is list else 0)

    def stream_of(self, iterator: Iterator[Any]) -> Reply:
        annotations = self.annotations() or {}
        if config.ITER_STREAMING:
            annotations["STRM"] = self.service.streams.open(iterator, self.connection, None).encode("ascii")
        serializer = get_serializer_by_id(self.message.serializer_id, self.connection.dialect)
        payload = exception_reply(serializer, ProtocolError("result of call is an iterator"), [])
        flags = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
        return Reply(MSG_RESULT, flags, serializer.serializer_id, payload, annotations)

    def reply(self, payload: Any, flags: int) -> Reply:
        if config.COMPRESSION:
            payload, flag = deflated(payload)
            flags |= flag
        return Reply(MSG_RESULT, flags, self.message.serializer_id, payload, self.annotations())

    def annotations(self) -> dict[str, Any] | None:
        own = current_context.reply_annotations()
        return {**self.service.annotations(), **(own or {})} if self.service.has_annotations else own

    def serve_batch(self) -> Reply | None:
        self.called = None, "<batch>", (), {}
        limit = results_limit()
        is_native = self.serializer is native
        results: Any = ResultWriter(native.codec, limit) if is_native else ResultList(self.serializer, limit)
        try:
            payload = payload_of(self.message)
            if is_native:
                object_id, calls = decode_batch(native.codec, payload)
            else:
                object_id, calls = read_batch(self.serializer.loads_call(payload))
            target = self.service.find_object(object_id, self.connection)
        except Exception as error:
            return self.failed(error)
        try:
            for name, args, kwargs in calls:
                self.called = target, name, args, kwargs
                result = resolve_method(target, name, self.service.require_expose)(*args, **(kwargs or {}))
                results.add(self.service.coroutines.value_of(result) if isinstance(result, Coroutine) else result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.report(error, *self.called)
            self.add_error(results, error)
        if self.oneway:
            return None
        try:
            return self.reply(results.payload(), FLAGS_BATCH)
        except Exception as error:
            return error_reply(self.service, self.connection, self.message, error)

    def add_error(self, results: Any, error: BaseException) -> None:
        lines = lines_of(error)
        try:
            results.add_error(with_traceback(error, lines))
        except Exception:  # then it is sent as the PyroError that replaces it
            results.add_error(self.serializer.loads(exception_reply(self.serializer, error, lines)))


def invoke(calls: Any, request: Request) -> Reply | PendingReply | None:
    """Serve a call, as the function of that name in the table of `dispatch`."""
    return ReferenceCall(calls.service, request.connection, request.message).serve()


@contextlib.contextmanager
def in_charge() -> Iterator[None]:
    """Have every call that comes as a message served by the reference."""
    before = dispatch.REQUESTS[MSG_INVOKE]
    dispatch.REQUESTS[MSG_INVOKE] = invoke
    try:
        yield
    finally:
        dispatch.REQUESTS[MSG_INVOKE] = before
