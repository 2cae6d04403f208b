"""A call as it is read from a message: what it calls, in each format, and who may refuse it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fastpyro.constants import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE, PROTOCOL_VERSION
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._batch import BatchWriter
from fastpyro.protocol._message import Message, pack_message
from fastpyro.protocol.peer_batches import BATCH_METHOD, write_batch
from fastpyro.serializers.registry import accepted_ids, get_serializer, native
from fastpyro.server._calls import CallServer
from fastpyro.server._request import Request
from fastpyro.server.connection import Connection
from fastpyro.server.service import Service

FORMATS = ["native", "serpent", "json", "marshal", "msgpack"]


def message(payload: Any, serializer_id: int, flags: int = 0) -> Message:
    decoder = Decoder()
    decoder.feed(pack_message(MSG_INVOKE, flags, 5, serializer_id, payload))
    received = decoder.next_message()
    assert received is not None
    return received


@pytest.fixture
def connection() -> Connection:
    channel: Any = SimpleNamespace(close=lambda: None, dialect=PROTOCOL_VERSION)
    return Connection(channel, "peer", accepted_ids(FORMATS))


@pytest.fixture
def calls() -> CallServer:
    return CallServer(None, Service(), native.codec)


def read(calls: CallServer, connection: Connection, message: Message) -> Request:
    """Return a request that was read, and not run: whoever is asked says no."""
    asked: list[Any] = []

    def may_run(*what: Any) -> bool:
        asked.append(what)
        return False

    request = Request(connection, message, may_run)
    assert calls.invoke(request) is None
    assert asked == [(request, request.used_names())]
    return request


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_is_read_in_every_format(calls: CallServer, connection: Connection, name: str) -> None:
    serializer = get_serializer(name)
    sent = message(serializer.dumps_call("object", "method", (1, "x"), {"key": None}), serializer.serializer_id)
    request = read(calls, connection, sent)
    assert (request.object_id, request.method) == ("object", "method")
    assert (request.args, request.kwargs) == ((1, "x"), {"key": None})
    assert (request.message, request.connection, request.flags) == (sent, connection, 0)
    assert request.calls is None
    assert request.used_names() == ["method"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_is_read_in_every_format(calls: CallServer, connection: Connection, name: str) -> None:
    serializer = get_serializer(name)
    writer = BatchWriter(native.codec)
    writer.add("first", (1,), {})
    writer.add("second", (), {"key": 2})
    payload = writer.payload("object") if serializer is native else write_batch(serializer, writer, "object")
    request = read(calls, connection, message(payload, serializer.serializer_id, FLAGS_BATCH))
    assert (request.object_id, request.method) == ("object", BATCH_METHOD)
    assert request.calls == [("first", (1,), None), ("second", (), {"key": 2})]
    assert request.used_names() == ["first", "second"]


def test_the_use_of_an_attribute_names_the_attribute(calls: CallServer, connection: Connection) -> None:
    payload = native.dumps_call("object", "__setattr__", ("size", 1), {})
    assert read(calls, connection, message(payload, native.serializer_id)).used_names() == ["size"]
    payload = native.dumps_call("object", "__getattr__", (), {})
    assert read(calls, connection, message(payload, native.serializer_id)).used_names() == ["__getattr__"]


def test_nothing_is_known_of_what_cannot_be_read(calls: CallServer, connection: Connection) -> None:
    calls.service.methodcall_error_handler = lambda *_: None
    connection.accepted = frozenset({native.serializer_id})
    for serializer_id, is_unreadable in [(1, True), (native.serializer_id, False)]:
        request = Request(connection, message(b"\xc1", serializer_id, FLAGS_ONEWAY))
        assert calls.invoke(request) is None
        assert request.is_unreadable is is_unreadable
        assert (request.args, request.kwargs, request.target) == ((), {}, None)
