"""What is answered to a call, without anybody who serves it: a value, a stream, an error, or a reply to come."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.constants import FLAGS_EXCEPTION, FLAGS_ITEMSTREAMRESULT, FLAGS_ONEWAY, MSG_INVOKE, PROTOCOL_VERSION
from fastpyro.errors import SerializeError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import accepted_ids, native
from fastpyro.server._request import Request
from fastpyro.server.connection import Connection
from fastpyro.server.replies import PendingReply, Reply, error_reply, failed, finished
from fastpyro.server.service import Service


@pytest.fixture
def service() -> Service:
    return Service()


def request(flags: int = 0) -> Request:
    channel: Any = SimpleNamespace(close=lambda: None, dialect=PROTOCOL_VERSION)
    decoder = Decoder()
    decoder.feed(pack_message(MSG_INVOKE, flags, 5, native.serializer_id, b""))
    message = decoder.next_message()
    assert message is not None
    return Request(Connection(channel, "peer", accepted_ids(["native"])), message)


def value_in(reply: Any) -> Any:
    assert isinstance(reply, Reply)
    return native.loads(reply.payload)


def test_a_value(service: Service) -> None:
    assert value_in(finished(service, request(), {"a": 1})) == {"a": 1}
    assert finished(service, request(FLAGS_ONEWAY), {"a": 1}) is None


def test_a_value_that_cannot_be_sent_is_an_error(service: Service) -> None:
    reply: Any = finished(service, request(), threading.Lock())
    assert reply.flags == FLAGS_EXCEPTION
    assert isinstance(value_in(reply), SerializeError)


def test_a_stream(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    reply: Any = finished(service, request(), iter([1]))
    assert reply.flags == FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
    assert set(service.streaming_responses) == {reply.annotations["STRM"].decode()}
    monkeypatch.setattr(config, "ITER_STREAMING", False)
    reply = finished(service, request(), iter([1]))
    assert not reply.annotations
    service.streams.close_all()


def test_annotations_of_a_subclass(service: Service) -> None:
    class Annotating(Service):
        def annotations(self) -> dict[str, bytes]:
            return {"MINE": b"1"}

    reply: Any = finished(Annotating(), request(), None)
    assert reply.annotations == {"MINE": b"1"}


def test_a_coroutine_has_a_reply_to_come(service: Service) -> None:
    reported: list[Any] = []
    service.methodcall_error_handler = lambda *what: reported.append(what)

    async def method() -> int:
        return 1

    pending = finished(service, request(), method())
    assert isinstance(pending, PendingReply)
    pending.coroutine.close()
    assert value_in(pending.complete(2, None)) == 2
    assert isinstance(value_in(pending.complete(None, ValueError("no"))), ValueError)
    assert [type(what[-1]) for what in reported] == [ValueError]
    pending = finished(service, request(FLAGS_ONEWAY), method())
    assert isinstance(pending, PendingReply)
    pending.coroutine.close()
    assert pending.complete(2, None) is pending.complete(None, ValueError("no")) is None


def test_an_error_is_reported_and_sent(service: Service) -> None:
    reported: list[Any] = []
    service.methodcall_error_handler = lambda *what: reported.append(what)
    reply: Any = failed(service, request(), ValueError("no"))
    assert reply.flags == FLAGS_EXCEPTION
    assert isinstance(value_in(reply), ValueError)
    assert reported[0][:5] == (service, "peer", "", (), {})
    assert failed(service, request(FLAGS_ONEWAY), ValueError("no")) is None
    assert len(reported) == 2


def test_an_error_without_a_request_that_was_read(service: Service) -> None:
    call = request()
    assert isinstance(value_in(error_reply(service, call.connection, call.message, ValueError("no"))), ValueError)
    assert current_context.client is None
