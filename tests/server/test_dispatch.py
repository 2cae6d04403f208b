"""One request in, one reply out, without sockets: messages are made here and handed to `dispatch.handle`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import fastpyro
from fastpyro.callcontext import current_context
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_ONEWAY,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    PROTOCOL_VERSION,
)
from fastpyro.errors import ProtocolError, SerializeError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._batch import BatchWriter, decode_results
from fastpyro.protocol._message import Message, pack_message
from fastpyro.serializers.registry import accepted_ids, get_serializer_by_id, native
from fastpyro.server import dispatch, error_lines
from fastpyro.server.connection import Connection
from fastpyro.server.replies import Reply


class Subject:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    @fastpyro.expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        return args, kwargs

    @fastpyro.expose
    def fail(self) -> None:
        raise ValueError("failed")

    @fastpyro.expose
    @fastpyro.callback
    def failing_callback(self) -> None:
        raise ValueError("failed in a callback")

    @fastpyro.expose
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @fastpyro.expose
    def unserializable(self) -> Any:
        return [threading.Lock()]

    @fastpyro.expose
    def numbers(self) -> Any:
        return iter([1, 2])

    @fastpyro.expose
    def annotate(self) -> None:
        current_context.response_annotations["MINE"] = b"1"

    @fastpyro.expose
    def annotate_and_fail(self) -> None:
        current_context.response_annotations["MINE"] = b"1"
        raise ValueError("after annotating")

    @fastpyro.expose  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return 7

    def hidden(self) -> None: ...


@pytest.fixture
def daemon() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon(host="127.0.0.1") as made:
        made.register(Subject(), "subject")
        yield made


@pytest.fixture
def connection() -> Connection:
    channel: Any = SimpleNamespace(close=lambda: None, dialect=PROTOCOL_VERSION)
    made = Connection(channel, ("peer", 1), accepted_ids(["native", "serpent"]))
    made.handshaken = True
    return made


def message(payload: bytes, kind: int = MSG_INVOKE, flags: int = 0, serializer: int = native.serializer_id) -> Message:
    decoder = Decoder()
    decoder.feed(pack_message(kind, flags, 5, serializer, payload))
    received = decoder.next_message()
    assert received is not None
    return received


def call(name: str, *args: Any, flags: int = 0, target: str = "subject", **kwargs: Any) -> Message:
    return message(native.dumps_call(target, name, args, kwargs), flags=flags)


def handle(daemon: fastpyro.Daemon, connection: Connection, message: Message) -> Any:
    return dispatch.handle(daemon.transportServer.requests, connection, message)


def raised(reply: Any) -> BaseException:
    assert reply.kind == MSG_RESULT
    assert reply.flags == FLAGS_EXCEPTION
    error = get_serializer_by_id(reply.serializer_id).loads(reply.payload)
    assert isinstance(error, BaseException)
    return error


def test_call(daemon: fastpyro.Daemon, connection: Connection) -> None:
    reply = handle(daemon, connection, call("echo", 1, key=2))
    assert isinstance(reply, Reply)
    assert (reply.kind, reply.flags, reply.serializer_id) == (MSG_RESULT, 0, native.serializer_id)
    assert native.loads(reply.payload) == ((1,), {"key": 2})
    assert reply.annotations is None
    assert current_context.client is None


def test_error_carries_its_traceback(daemon: fastpyro.Daemon, connection: Connection) -> None:
    error = raised(handle(daemon, connection, call("fail")))
    assert isinstance(error, ValueError)
    assert "in fail" in "".join(error._pyroTraceback)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["hidden", "nothing", "_private", "__init__", "__class__", "size", "", "echo.x"])
def test_names_out_of_reach(daemon: fastpyro.Daemon, connection: Connection, name: str) -> None:
    assert isinstance(raised(handle(daemon, connection, call(name))), AttributeError)


NONSENSE = [
    call("x" * 1_000_000),
    call("_" + "x" * 1_000_000),
    call("echo", target="x" * 1_000_000),
    call("__getattr__", "x" * 1_000_000),
    call("__setattr__", "x" * 1_000_000, 1),
    call("fail", **{"x" * 1_000_000: 1}),  # type: ignore[arg-type]
    message(get_serializer_by_id(1).dumps_call("subject", "x" * 1_000_000, (), {}), serializer=1),
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
def test_the_callers_own_faults_are_cheap(
    daemon: fastpyro.Daemon, connection: Connection, nonsense: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is formatted for them, and what was sent is not sent back."""
    formatted: list[Any] = []

    def format_traceback(*error: Any, **how: Any) -> list[str]:
        formatted.append(error)
        return ["formatted"]

    monkeypatch.setattr(error_lines, "format_traceback", format_traceback)
    reply = handle(daemon, connection, nonsense)
    assert isinstance(reply, Reply)
    assert len(reply.payload) < 50_000
    error = get_serializer_by_id(reply.serializer_id).loads(reply.payload)
    assert not formatted
    assert "".join(error._pyroTraceback).endswith(f"{type(error).__name__}: {error}\n")
    handle(daemon, connection, call("fail"))
    assert formatted, "an error of the method has its traceback"


def test_an_error_that_ends_a_batch_is_cheap_too(daemon: fastpyro.Daemon, connection: Connection) -> None:
    calls = BatchWriter(native.codec)
    calls.add("x" * 1_000_000, (), {})
    reply = handle(daemon, connection, message(calls.payload("subject"), flags=FLAGS_BATCH))
    assert isinstance(reply, Reply)
    assert len(reply.payload) < 50_000


def test_a_refused_stream_is_an_error_of_the_call(
    daemon: fastpyro.Daemon, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastpyro.config, "MAX_STREAMS_PER_CONNECTION", 1)
    assert isinstance(handle(daemon, connection, call("numbers")), Reply)
    error = raised(handle(daemon, connection, call("numbers")))
    assert isinstance(error, fastpyro.errors.ServerOverloadedError)


def test_attributes(daemon: fastpyro.Daemon, connection: Connection) -> None:
    reply = handle(daemon, connection, call("__getattr__", "size"))
    assert isinstance(reply, Reply)
    assert native.loads(reply.payload) == 7
    for name, args in [("__setattr__", ("size", 1)), ("__getattr__", ("hidden",)), ("__getattr__", ("__class__",))]:
        assert isinstance(raised(handle(daemon, connection, call(name, *args))), AttributeError)
    wrong: list[tuple[str, tuple[Any, ...]]] = [
        ("__getattr__", ()),
        ("__setattr__", ("size",)),
        ("__getattr__", (["size"],)),
    ]
    for name, arguments in wrong:
        raised(handle(daemon, connection, call(name, *arguments)))


def test_unknown_object(daemon: fastpyro.Daemon, connection: Connection) -> None:
    error = raised(handle(daemon, connection, call("echo", target="nobody")))
    assert isinstance(error, fastpyro.errors.DaemonError)
    assert "unknown object" in str(error)


def test_oneway_is_never_answered(daemon: fastpyro.Daemon, connection: Connection) -> None:
    for each in (
        call("echo", 1, flags=FLAGS_ONEWAY),
        call("fail", flags=FLAGS_ONEWAY),
        call("hidden", flags=FLAGS_ONEWAY),
        message(b"\xc1", flags=FLAGS_ONEWAY),
        message(b"", flags=FLAGS_ONEWAY, serializer=1),
        message(b"\xc1", flags=FLAGS_ONEWAY | FLAGS_BATCH),
    ):
        assert handle(daemon, connection, each) is None
    assert daemon.objectsById["subject"].calls == [((1,), {})]


def test_undecodable_and_foreign_requests(daemon: fastpyro.Daemon, connection: Connection) -> None:
    for payload in (b"", b"\xc1", b"\x94", native.dumps("no call"), native.dumps_call("a", "b", (), {})[:-1]):
        assert isinstance(raised(handle(daemon, connection, message(payload))), SerializeError)
    error = raised(handle(daemon, connection, message(b"", serializer=2)))
    assert "serializer that is not accepted: 2" in str(error)


def test_result_that_cannot_be_sent(daemon: fastpyro.Daemon, connection: Connection) -> None:
    error = raised(handle(daemon, connection, call("unserializable")))
    assert isinstance(error, SerializeError)
    assert "lock" in str(error)


def test_stream(daemon: fastpyro.Daemon, connection: Connection) -> None:
    reply = handle(daemon, connection, call("numbers"))
    assert isinstance(reply, Reply)
    assert reply.flags == FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
    assert reply.annotations is not None
    stream_id = reply.annotations["STRM"].decode()
    assert daemon.streaming_responses[stream_id].connection is connection
    fetch = call("get_next_stream_item", stream_id, target="Pyro.Daemon")
    for expected in (1, 2):
        reply = handle(daemon, connection, fetch)
        assert isinstance(reply, Reply)
        assert native.loads(reply.payload) == expected
    assert isinstance(raised(handle(daemon, connection, fetch)), StopIteration)
    assert daemon.streaming_responses == {}


def test_response_annotations_go_with_results_only(daemon: fastpyro.Daemon, connection: Connection) -> None:
    reply = handle(daemon, connection, call("annotate"))
    assert isinstance(reply, Reply)
    assert reply.annotations == {"MINE": b"1"}
    raised(handle(daemon, connection, call("annotate_and_fail")))
    reply = handle(daemon, connection, call("echo"))
    assert isinstance(reply, Reply)
    assert reply.annotations is None


def test_batch(daemon: fastpyro.Daemon, connection: Connection) -> None:
    writer = BatchWriter(native.codec)
    writer.add("echo", (1,), {})
    writer.add("echo", (), {"k": 2})
    writer.add("fail", (), {})
    writer.add("echo", (3,), {})
    reply = handle(daemon, connection, message(writer.payload("subject"), flags=FLAGS_BATCH))
    assert isinstance(reply, Reply)
    assert reply.flags == FLAGS_BATCH
    values, error = decode_results(native.codec, reply.payload)
    assert values == [((1,), {}), ((), {"k": 2})]
    assert isinstance(error, ValueError)
    assert len(daemon.objectsById["subject"].calls) == 2


@pytest.mark.parametrize("payload", [b"", b"\xc1", native.dumps_call("subject", "echo", (), {})])
def test_batch_that_is_none(daemon: fastpyro.Daemon, connection: Connection, payload: bytes) -> None:
    error = raised(handle(daemon, connection, message(payload, flags=FLAGS_BATCH)))
    assert isinstance(error, SerializeError)


def test_callback_errors_are_logged(
    daemon: fastpyro.Daemon, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        raised(handle(daemon, connection, call("fail")))
        assert caplog.text == ""
        raised(handle(daemon, connection, call("failing_callback")))
    assert "failing_callback" in caplog.text
    assert "failed in a callback" in caplog.text


def test_error_handler_of_the_daemon(
    daemon: fastpyro.Daemon, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    daemon.methodcall_error_handler = lambda *arguments: seen.append(arguments)
    raised(handle(daemon, connection, call("fail")))
    assert (seen[0][1], type(seen[0][-1])) == (("peer", 1), ValueError)

    def broken(*arguments: Any) -> None:
        raise RuntimeError("the handler itself")

    daemon.methodcall_error_handler = broken
    assert isinstance(raised(handle(daemon, connection, call("fail"))), ValueError)
    assert "the handler itself" in caplog.text


def test_interrupt_is_for_the_server_to_judge(daemon: fastpyro.Daemon, connection: Connection) -> None:
    with pytest.raises(KeyboardInterrupt):
        handle(daemon, connection, call("interrupt"))
    assert current_context.client is None


def test_ping(daemon: fastpyro.Daemon, connection: Connection) -> None:
    reply = handle(daemon, connection, message(b"ping", kind=MSG_PING, serializer=42))
    assert isinstance(reply, Reply)
    assert (reply.kind, reply.payload, reply.serializer_id) == (MSG_PING, b"pong", 42)


def test_connect(daemon: fastpyro.Daemon, connection: Connection) -> None:
    connection.handshaken = False
    hello = message(native.dumps({"handshake": "hello", "object": "subject"}), kind=MSG_CONNECT)
    reply = handle(daemon, connection, hello)
    assert isinstance(reply, Reply)
    assert reply.kind == MSG_CONNECTOK
    assert native.loads(reply.payload)["meta"]["attrs"] == {"size"}
    assert connection.handshaken


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (native.dumps({"handshake": "hello", "object": "nobody"}), "unknown object"),
        (native.dumps({"object": "subject"}), "handshake"),
        (b"\xc1", "invalid data"),
    ],
)
def test_refused_connect(daemon: fastpyro.Daemon, connection: Connection, payload: bytes, reason: str) -> None:
    connection.handshaken = False
    reply = handle(daemon, connection, message(payload, kind=MSG_CONNECT))
    assert isinstance(reply, Reply)
    assert reply.kind == MSG_CONNECTFAIL
    assert reason in native.loads(reply.payload)
    assert not connection.handshaken


@pytest.mark.parametrize("kind", [0, 2, 3, MSG_RESULT, 7, 255])
def test_messages_out_of_turn(daemon: fastpyro.Daemon, connection: Connection, kind: int) -> None:
    with pytest.raises(ProtocolError, match="out of turn"):
        handle(daemon, connection, message(b"", kind=kind))


def test_order_of_handshake_and_calls(daemon: fastpyro.Daemon, connection: Connection) -> None:
    with pytest.raises(ProtocolError, match="out of turn"):
        handle(daemon, connection, message(b"", kind=MSG_CONNECT))
    connection.handshaken = False
    with pytest.raises(ProtocolError, match="out of turn"):
        handle(daemon, connection, call("echo"))
