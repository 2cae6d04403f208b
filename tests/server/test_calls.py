"""The fast path of an ordinary request gives what the slow path gives, for every request; and who leads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_calls import in_charge
from socket_pairs import DEADLINE, unix_pair

import fastpyro
from fastpyro.callcontext import current_context
from fastpyro.constants import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE, MSG_PING
from fastpyro.errors import CommunicationError
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.serializers.registry import accepted_ids, native
from fastpyro.server import dispatch
from fastpyro.server._calls import CallServer
from fastpyro.server._leader import Leadership
from fastpyro.server.connection import Connection
from fastpyro.server.replies import PendingReply
from fastpyro.server.turns import TURN
from fastpyro.transport._link import Link
from fastpyro.transport.channel import PlainChannel


class Subject:
    """What the requests call."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    @fastpyro.expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    @fastpyro.expose
    def fail(self, text: str = "failed") -> None:
        raise ValueError(text)

    @fastpyro.expose
    def numbers(self) -> Any:
        return iter([1, 2])

    @fastpyro.expose
    async def later(self, value: Any) -> Any:
        return value, current_context.seq

    @fastpyro.expose
    def annotate(self) -> int:
        current_context.response_annotations["MINE"] = b"1"
        return 1

    @fastpyro.expose
    def context(self) -> Any:
        return (
            current_context.seq,
            current_context.msg_flags,
            current_context.annotations,
            current_context.client is None,
        )

    @fastpyro.expose
    def unserializable(self) -> Any:
        return threading.Lock()

    @fastpyro.expose
    def big(self) -> bytes:
        return bytes(100_000)

    @fastpyro.expose
    def exit(self) -> None:
        raise SystemExit("the server must not")

    @fastpyro.expose
    @fastpyro.oneway
    def note(self, value: Any) -> None:
        self.noted.append(value)

    @fastpyro.expose  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return 7

    def hidden(self) -> str:
        return "secret"

    def _private(self) -> str:
        return "secret"


@fastpyro.expose
@fastpyro.behavior(instance_mode="session")
class Session:
    """An object for each connection."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        self.calls += 1
        return self.calls


class Server:
    """As much of a server as requests on the fast path ask for, and which of its methods they called."""

    def __init__(self, daemon: fastpyro.Daemon) -> None:
        self.daemon = daemon
        self.passed: list[str] = []
        self.woken = 0
        self.turns = 0
        self.pending: list[PendingReply] = []

    def send_reply(self, connection: Connection, message: Message, reply: Any) -> None:
        if isinstance(reply, PendingReply):
            self.pending.append(reply)
            return
        connection.channel.send(
            Outgoing(reply.kind, reply.flags, message.seq, reply.serializer_id, reply.payload, reply.annotations)
        )

    def pass_on(self, connection: Connection, message: Message, object_id: str, name: str) -> bool:
        self.passed.append(name)
        return True

    def wake_monitor(self) -> None:
        self.woken += 1

    def next_turn(self, connection: Connection) -> None:
        self.turns += 1


class Both:
    """A client's link, and the server's side of it, where a request can be served either way."""

    def __init__(self) -> None:
        self.daemon = fastpyro.Daemon(host="127.0.0.1")
        self.subject = Subject()
        self.daemon.register(self.subject, "subject")
        self.daemon.register(Session, "session")
        near, far = unix_pair()
        self.client = Link(near)
        self.connection = Connection(PlainChannel(far), "peer", accepted_ids(["native"]))
        self.connection.handshaken = True
        self.server = Server(self.daemon)
        self.requests = CallServer(self.server, self.daemon, native.codec)
        self.leadership = Leadership()

    def close(self) -> None:
        self.client.close()
        self.connection.close()
        self.daemon.close()

    def facts(self, message: Message | None) -> Any:
        if message is None:
            return None
        if message.kind == MSG_PING or message.flags & FLAGS_BATCH:
            return message.kind, message.flags, message.payload
        value: Any = native.loads(message.payload, message.buffers)
        if isinstance(value, BaseException):
            value = (type(value), str(value))
        annotations = {key: value for key, value in message.annotations.items() if key != "STRM"}
        return message.kind, message.flags, message.seq, message.serializer_id, value, annotations

    def short_way(self, payload: bytes, flags: int, kind: int = MSG_INVOKE) -> Any:
        self.client.send(Outgoing(kind, flags, 5, native.serializer_id, payload))
        rest = self.requests.serve(self.connection, self.leadership, 0)
        if rest is not None:
            return self.long_way_for(rest)
        return None if flags & FLAGS_ONEWAY else self.facts(self.client.receive(DEADLINE))

    def long_way(self, payload: bytes, flags: int, kind: int = MSG_INVOKE) -> Any:
        self.client.send(Outgoing(kind, flags, 5, native.serializer_id, payload))
        message = self.connection.channel.receive(DEADLINE)
        return self.long_way_for(message)

    def long_way_for(self, message: Message) -> Any:
        with in_charge():
            reply = dispatch.handle(self.requests, self.connection, message)
        if reply is not None:
            self.server.send_reply(self.connection, message, reply)
        return self.facts(self.client.receive(DEADLINE)) if reply is not None else None


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    made = Both()
    with contextlib.closing(made):
        yield made


CALLS: list[Any] = [
    ("subject", "echo", (), {}),
    ("subject", "echo", (1, "two", [3.0, None]), {"key": {"x": (1,)}}),
    ("subject", "echo", tuple(range(40)), {}),
    ("subject", "echo", (b"x" * 5000,), {}),
    ("subject", "fail", (), {}),
    ("subject", "fail", (), {"text": "other"}),
    ("subject", "fail", (1, 2, 3), {}),
    ("subject", "numbers", (), {}),
    ("subject", "annotate", (), {}),
    ("subject", "unserializable", (), {}),
    ("subject", "big", (), {}),
    ("subject", "exit", (), {}),
    ("subject", "context", (), {}),
    ("subject", "hidden", (), {}),
    ("subject", "_private", (), {}),
    ("subject", "__init__", (), {}),
    ("subject", "__class__", (), {}),
    ("subject", "__getattr__", ("size",), {}),
    ("subject", "__getattr__", ("hidden",), {}),
    ("subject", "__setattr__", ("size", 1), {}),
    ("subject", "size", (), {}),
    ("subject", "missing", (), {}),
    ("subject", "echo.__func__", (), {}),
    ("subject", "", (), {}),
    ("nobody", "echo", (), {}),
    ("Pyro.Daemon", "ping", (), {}),
    ("Pyro.Daemon", "registered", (), {}),
]


@pytest.mark.parametrize("flags", [0, FLAGS_ONEWAY, FLAGS_BATCH])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]}.{call[1]}")
def test_both_ways_answer_the_same(both: Both, call: Any, flags: int) -> None:
    payload = native.codec.encode_call(*call)
    assert both.short_way(payload, flags) == both.long_way(payload, flags)
    assert current_context.client is None
    assert current_context.annotations == {}


names = st.sampled_from([call[1] for call in CALLS]) | st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=4), some, max_size=4),
    max_leaves=8,
)


@given(
    st.sampled_from(["subject", "session", "nobody"]),
    names.filter(lambda name: name != "exit"),
    st.lists(values, max_size=4),
    st.dictionaries(st.text("abcdefg_", min_size=1, max_size=5), values, max_size=3),
)
def test_any_call_is_answered_the_same(both: Both, target: str, name: str, args: list[Any], kwargs: Any) -> None:
    payload = native.codec.encode_call(target, name, tuple(args), kwargs)
    assert both.short_way(payload, 0) == both.long_way(payload, 0)


@given(st.binary(max_size=60), st.sampled_from([0, FLAGS_ONEWAY, 16, 64, 0x4000]))
def test_any_bytes_are_answered_the_same(both: Both, payload: bytes, flags: int) -> None:
    assert both.short_way(payload, flags) == both.long_way(payload, flags)


def test_what_is_not_ordinary_is_handed_over(both: Both) -> None:
    payload = native.codec.encode_call("subject", "echo", (1,), {})
    assert both.short_way(b"ping", 0, MSG_PING)[0] == MSG_PING
    both.requests.jammed = True
    try:
        both.client.send(Outgoing(MSG_INVOKE, 0, 5, native.serializer_id, payload))
        rest = both.requests.serve(both.connection, both.leadership, 0)
        assert rest is not None
        assert rest.payload == payload
    finally:
        both.requests.jammed = False
    both.client.send(Outgoing(MSG_INVOKE, 0, 5, native.serializer_id, payload, {"NOTE": b"x"}))
    rest = both.requests.serve(both.connection, both.leadership, 0)
    assert rest is not None
    assert rest.annotations == {"NOTE": b"x"}


def test_oneway_calls_are_performed_and_not_answered(both: Both) -> None:
    both.subject.noted.clear()
    for number in range(3):
        assert both.short_way(native.codec.encode_call("subject", "note", (number,), {}), FLAGS_ONEWAY) is None
    assert both.subject.noted == [0, 1, 2]


@pytest.mark.parametrize("flags", [0, FLAGS_ONEWAY])
def test_coroutines_are_left_to_others(both: Both, flags: int) -> None:
    both.client.send(
        Outgoing(MSG_INVOKE, flags, 5, native.serializer_id, native.codec.encode_call("subject", "later", (3,), {}))
    )
    assert both.requests.serve(both.connection, both.leadership, 0) is None
    (pending,) = both.server.pending
    both.server.pending.clear()
    assert both.connection.calls_running == 0
    former = current_context.replace(pending.state)
    try:
        client = current_context.client
        assert client is both.connection
        assert current_context.msg_flags == flags
        with pytest.raises(StopIteration) as ended:
            pending.coroutine.send(None)
        assert ended.value.value == (3, 5)
        good, bad = pending.complete((3, 5), None), pending.complete(None, KeyError("x"))
    finally:
        current_context.replace(former)
    assert current_context.client is None
    if flags & FLAGS_ONEWAY:
        assert (good, bad) == (None, None)
    else:
        assert good is not None
        assert bad is not None
        assert native.loads(good.payload) == (3, 5)
        assert type(native.loads(bad.payload)) is KeyError


def test_ready_connections_are_served_until_one_needs_more() -> None:
    ends = [Both() for _ in range(4)]
    requests, leadership = ends[0].requests, Leadership()
    for end in ends[1:]:
        end.daemon.close()
    connections = {end.connection.fd: end.connection for end in ends}
    ready = [*connections, 9999]

    def ask(end: Both, name: str = "echo", kind: int = MSG_INVOKE) -> None:
        end.client.send(Outgoing(kind, 0, 5, native.serializer_id, native.codec.encode_call("subject", name, (), {})))

    def serve(start: int = 0) -> Any:
        for _ in range(100):
            index, served, message, error = requests.serve_ready(ready, start, connections, leadership, 0)
            if index < len(ready) or all(end.connection.took <= TURN for end in ends):
                break  # and not because one of them took long, on a busy machine
        return index, served, None if message is None else message.kind, type(error)

    def answers() -> list[bool]:
        return [end.client.receive_available() is not None for end in ends]

    nothing = type(None)
    try:
        for end in ends:  # the first message of a connection says which dialect it speaks
            ask(end, kind=MSG_PING)
            assert requests.serve(end.connection, leadership, 0) is not None
            ask(end)
        ends[1].connection.read_holds += 1
        assert serve() == (4, None, None, nothing)  # what is no connection's
        assert answers() == [True, False, True, True]
        assert serve(5) == (5, None, None, nothing)
        ends[1].connection.read_holds -= 1
        ask(ends[2], kind=MSG_PING)
        assert serve() == (2, ends[2].connection, MSG_PING, nothing)
        assert answers() == [False, True, False, False]
        ends[3].client.close()
        assert serve(3) == (3, ends[3].connection, None, nothing)
        assert ends[3].connection.link is not None
        assert ends[3].connection.link.ended
        ends[0].client.sock.send(b"babble" * 10)
        index, served, message, error = requests.serve_ready(ready, 0, connections, leadership, 0)
        assert (index, served, message) == (0, ends[0].connection, None)
        assert isinstance(error, CommunicationError)
    finally:
        for end in ends:
            end.close()


def test_a_held_connection_is_not_read_on(both: Both) -> None:
    class Holding(Subject):
        @fastpyro.expose
        def hold(self, by: int) -> int:
            both.connection.read_holds += by
            return by

    both.daemon.register(Holding(), "holding")
    for _ in range(2):
        both.client.send(
            Outgoing(MSG_INVOKE, 0, 5, native.serializer_id, native.codec.encode_call("holding", "hold", (1,), {}))
        )
    for held in (1, 2):
        assert both.requests.serve(both.connection, both.leadership, 0) is None
        assert both.connection.read_holds == held
        assert both.client.receive(DEADLINE).seq == 5
    both.connection.read_holds = 0


def test_many_requests_at_once_are_all_served(both: Both) -> None:
    for number in range(100):
        payload = native.codec.encode_call("subject", "echo", (number,), {})
        both.client.send(Outgoing(MSG_INVOKE, 0, number, native.serializer_id, payload))
    answers: list[tuple[int, Any]] = []
    while len(answers) < 100:
        assert both.requests.serve(both.connection, both.leadership, 0) is None
        while (answer := both.client.receive_available()) is not None:
            answers.append((answer.seq, native.loads(answer.payload)))
    assert answers == [(number, ((number,), {})) for number in range(100)]


def test_members_are_looked_at_anew_when_told(both: Both) -> None:
    class Growing:
        @fastpyro.expose
        def old(self) -> int:
            return 1

    both.daemon.register(Growing(), "growing")
    old, new = (native.codec.encode_call("growing", name, (), {}) for name in ("old", "new"))
    assert both.short_way(old, 0)[4] == 1
    assert both.short_way(new, 0)[4][0] is AttributeError
    Growing.new = fastpyro.expose(lambda self: 2)  # type: ignore[attr-defined]
    Growing.new.__name__ = "new"  # type: ignore[attr-defined]
    both.daemon.resetMetadataCache("growing")
    both.requests.forget_classes()
    assert both.short_way(new, 0)[4] == 2
