"""Tripwires in whole conversations: requests that are served, handshakes on both sides, replies, a name server's calls.

As test_inert.py, but nothing is left out: finding the object, logging, errors, replies, streams and blobs included.
"""

from __future__ import annotations

import logging
import marshal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from tripwires import (
    CLASS_DICTS,
    DICTS,
    ENCODERS,
    NATIVE,
    PEERS,
    PLACE,
    STATES,
    registered,
    replaced,
    watched,
    wires_of,
)

import fastpyro
from fastpyro.client import metadata, session
from fastpyro.client.item_stream import StreamResult
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_KEEPSERIALIZED,
    FLAGS_META_ON_CONNECT,
    FLAGS_ONEWAY,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_RESULT,
    NAMESERVER_NAME,
)
from fastpyro.naming import start_ns
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.serializers import registry as serializers
from fastpyro.server import dispatch
from fastpyro.server.connection import Connection
from fastpyro.transport import handshake


@pytest.fixture(autouse=True)
def classes() -> Iterator[None]:
    with registered():
        yield


class Subject:
    """What is called: takes everything, and looks into blobs, as their receiver does."""

    @fastpyro.expose
    def take(self, *values: Any, **more: Any) -> None:
        for value in values:
            if type(value) is fastpyro.SerializedBlob:
                value.deserialized()

    @fastpyro.expose  # type: ignore[prop-decorator]
    @property
    def level(self) -> int:
        return 7

    @level.setter
    def level(self, value: Any) -> None:
        pass


CALLS: list[tuple[int, list[Any]]] = [
    (0, ["subject", "take", ["x"], {"a": "x"}]),
    (FLAGS_ONEWAY, ["subject", "take", ["x"], {}]),
    (0, ["subject", "__getattr__", ["level"], {}]),
    (0, ["subject", "__setattr__", ["level", "x"], {}]),
    (0, ["Pyro.Daemon", "get_metadata", ["subject", True, True], {}]),
    (0, ["Pyro.Daemon", "get_next_stream_item", ["x"], {}]),
    (0, ["Pyro.Daemon", "close_stream", ["x"], {}]),
    (FLAGS_BATCH, ["subject", "<batch>", [["take", ["x"], {"a": "x"}], ["__getattr__", ["level"], {}]], {}]),
]
EVERYTHING = serializers.accepted_ids([*PEERS, "native"])


@pytest.fixture
def daemon(caplog: pytest.LogCaptureFixture) -> Iterator[fastpyro.Daemon]:
    """A daemon that logs all that it can: log lines tell of foreign values, too."""
    caplog.set_level(logging.DEBUG)
    with fastpyro.Daemon(host="127.0.0.1") as made:
        made.register(Subject(), "subject")
        yield made


def connection_of(dialect: int, *, handshaken: bool) -> Connection:
    channel: Any = SimpleNamespace(close=lambda: None, dialect=dialect)
    made = Connection(channel, ("peer", 1), EVERYTHING)
    made.handshaken = handshaken
    return made


def message_of(kind: int, payload: bytes, serializer: Any, flags: int = 0, **annotations: bytes) -> Message:
    decoder = Decoder()
    decoder.feed(pack_message(kind, flags, 5, serializer.serializer_id, payload, annotations))
    received = decoder.next_message()
    assert received is not None
    return received


def encoded_call(name: str, call: Any) -> bytes:
    if name == "json" and type(call) is list:
        call = dict(zip(("object", "method", "params", "kwargs"), call, strict=True))
    return ENCODERS[name](call)


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_whole_requests_are_served(daemon: fastpyro.Daemon, name: str, dialect: int) -> None:
    """Each becomes a reply, whatever stands where, and in blobs, whose receiver decodes them."""
    serializer, connection = serializers.get_serializer(name, dialect), connection_of(dialect, handshaken=True)

    def serve(flags: int, payload: bytes, **annotations: bytes) -> None:
        message = message_of(MSG_INVOKE, payload, serializer, flags, **annotations)
        reply = watched(lambda: dispatch.handle(daemon.transportServer.requests, connection, message))
        assert (reply is None) is bool(flags & FLAGS_ONEWAY)

    for wire in wires_of(name):
        for flags, call in CALLS:
            for broken in replaced(call, wire):
                serve(flags, encoded_call(name, broken))
        for broken in replaced(CALLS[0][1], wire):
            serve(FLAGS_KEEPSERIALIZED, encoded_call(name, broken), BLBI=marshal.dumps(("info", "subject", "take"), 2))
    for wire in DICTS.values():
        for broken in replaced(("info", "subject", "take"), wire):
            serve(FLAGS_KEEPSERIALIZED, encoded_call(name, CALLS[0][1]), BLBI=marshal.dumps(broken, 2))


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_handshakes_are_judged(daemon: fastpyro.Daemon, name: str, dialect: int) -> None:
    """By the daemon, before it knows anything of who sends them; and by a client, who is told anything."""
    serializer, encode = serializers.get_serializer(name, dialect), ENCODERS[name]
    uri = fastpyro.URI(PLACE)

    def asked(payload: bytes, **annotations: bytes) -> None:
        message = message_of(MSG_CONNECT, payload, serializer, FLAGS_META_ON_CONNECT, **annotations)
        reply = watched(
            lambda: dispatch.handle(daemon.transportServer.requests, connection_of(dialect, handshaken=False), message)
        )
        assert reply.kind in (MSG_CONNECTOK, MSG_CONNECTFAIL)

    def answered(kind: int, payload: bytes) -> None:
        message = message_of(kind, payload, serializer)
        answer = watched(lambda: handshake._accepted(uri, message, serializer, dialect, name == "native"))
        if answer is not None:
            watched(lambda: fastpyro.Proxy(PLACE)._pyro_take_metadata(answer["meta"]))
            watched(lambda: metadata.member_details(answer["meta"]))

    answers = {
        "handshake": "hello",
        "meta": {"methods": ["a"], "attrs": ["b"], "oneway": [], "details": {"members": {"a": {"doc": "x"}}}},
    }
    for wire in wires_of(name):
        for broken in replaced({"handshake": ["x"], "object": "subject"}, wire):
            asked(encode(broken))
        for broken in replaced(answers, wire):
            answered(MSG_CONNECTOK, encode(broken))
            answered(MSG_CONNECTFAIL, encode(broken))
    good = encode({"handshake": "hello", "object": "subject"})
    for wire in NATIVE.values():
        for broken in replaced(("x", ["y"], {"a": "z"}), wire):
            asked(good, FAST=b"\x01" + ENCODERS["native"](broken))


@pytest.mark.parametrize("dialect", [502, 48])
@pytest.mark.parametrize("name", [*PEERS, "native"])
def test_clients_take_whole_replies(name: str, dialect: int) -> None:
    """A value, an error or a stream: what the reply does not say by itself is not found out by asking the value."""
    serializer, encode = serializers.get_serializer(name, dialect), ENCODERS[name]
    proxy: Any = fastpyro.Proxy(PLACE)
    channel: Any = SimpleNamespace(close=lambda: None)
    conversation = session.Session(channel, serializer, proxy._pyroUri)

    def take(flags: int, payload: bytes, **annotations: bytes) -> Any:
        message = message_of(MSG_RESULT, payload, serializer, flags, **annotations)
        return watched(lambda: conversation.value_of(proxy, message, 5, serializer.serializer_id), Exception)

    for wire in wires_of(name):
        for content in [wire, *(STATES if name == "native" else CLASS_DICTS)]:
            for broken in replaced(content, wire):
                take(0, encode(broken))
                take(FLAGS_EXCEPTION, encode(broken))
        stream = take(FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT, encode(wire), STRM=b"name")
        assert type(stream) is StreamResult
        watched(partial(proxy._pyro_take_metadata, stream))
        watched(partial(metadata.member_details, {"details": stream}))


NAMING: dict[str, list[Any]] = {
    "lookup": ["name", True],
    "register": ["name", "PYRO:x@localhost:1", False, ["tag"]],
    "set_metadata": ["name", ["tag"]],
    "remove": ["name", "prefix", "regex"],
    "list": ["prefix", "regex", ["tag"], ["tag"], True],
    "yplookup": [["tag"], ["tag"], True],
    "count": [],
    "ping": [],
}


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack", "native"])
def test_calls_of_a_name_server(name: str) -> None:
    """Over its own connection: each argument of each method may be anything, alone and among the others."""
    serializer = serializers.get_serializer(name)
    _, server, _ = start_ns("127.0.0.1", 0)
    thread = threading.Thread(target=server.requestLoop)
    thread.start()
    decoder = Decoder()
    with socket.create_connection(server.sock.getsockname()[:2]) as sock:
        sock.settimeout(30)

        def ask(kind: int, payload: bytes) -> Message:
            sock.sendall(pack_message(kind, 0, 5, serializer.serializer_id, payload))
            while (message := decoder.next_message()) is None:
                data = sock.recv(65536)
                assert data, "the name server has hung up"
                decoder.feed(data)
            return message

        hello = {"handshake": "hello", "object": NAMESERVER_NAME}
        assert ask(MSG_CONNECT, ENCODERS[name](hello)).kind == MSG_CONNECTOK
        for wire in wires_of(name):
            for method, arguments in NAMING.items():
                for broken in [*replaced(arguments, wire), *([each] for each in replaced(arguments[:1] or [0], wire))]:
                    call = [NAMESERVER_NAME, method, broken, {}]
                    assert watched(partial(ask, MSG_INVOKE, encoded_call(name, call))).kind == MSG_RESULT
                for keyword in ("name", "metadata", "metadata_all", "meta_any", "uri", "safe"):
                    call = [NAMESERVER_NAME, method, [], {keyword: wire}]
                    assert watched(partial(ask, MSG_INVOKE, encoded_call(name, call))).kind == MSG_RESULT
    server.shutdown()
    thread.join(30)
    server.close()
