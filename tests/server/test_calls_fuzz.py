"""Whole conversations are the same, from where they were received, as messages, and by the reference.

Three servers whose loops do not run get the same bytes. One serves them as its leader would, the small ones from where they
were received; one has all of them as messages; one has a reference serve them. Whatever a client can see must be the same.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_calls import in_charge
from reference_wire import ReferenceMessage, decode_stream, encode
from socket_pairs import unix_pair

import fastpyro
from fastpyro.callcontext import current_context
from fastpyro.constants import FLAGS_EXCEPTION, FLAGS_ITEMSTREAMRESULT, FLAGS_ONEWAY, MSG_INVOKE, MSG_PING
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer_by_id, native
from fastpyro.server._leader import Leadership
from fastpyro.server.connection import Connection
from fastpyro.server.connection_server import ConnectionServer

NATIVE = native.serializer_id


class Subject:
    """What is called, and what it saw."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.shadowed = lambda *_: "of the instance"  # type: ignore[method-assign]

    @fastpyro.expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        return args, kwargs

    @fastpyro.expose
    def two(self, left: Any, right: Any = None) -> Any:
        return [right, left]

    @fastpyro.expose
    def fail(self, *args: Any) -> None:
        raise LookupError("failed", *args)

    @fastpyro.expose
    def leave(self) -> None:
        raise SystemExit("not the server")

    @fastpyro.expose
    def lock(self) -> Any:
        return [threading.Lock()]

    @fastpyro.expose
    def numbers(self) -> Any:
        return iter([1, 2])

    @fastpyro.expose
    def many(self) -> bytes:
        return bytes(100_000)

    @fastpyro.expose
    def shadowed(self, *args: Any) -> str:
        return "of the class"

    @staticmethod
    @fastpyro.expose
    def static(*args: Any) -> Any:
        return args

    @classmethod
    @fastpyro.expose
    def of_class(cls, *args: Any) -> Any:
        return args

    @fastpyro.expose
    def annotate(self) -> None:
        current_context.response_annotations["MINE"] = b"1"
        current_context.annotations["LEAK"] = b"2"
        current_context.correlation_id = uuid.UUID(int=5)

    @fastpyro.expose
    def annotate_and_fail(self) -> None:
        current_context.response_annotations["MINE"] = b"1"
        raise ValueError("after annotating")

    @fastpyro.expose
    def context(self) -> Any:
        context = current_context
        return [
            dict(context.annotations),
            str(context.correlation_id) if context.msg_flags & 64 else context.correlation_id == uuid.UUID(int=5),
            context.seq,
            context.msg_flags,
            context.serializer_id,
            context.client is not None,
            dict(context.response_annotations),
        ]

    @fastpyro.expose  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return 7

    def hidden(self) -> None: ...

    def _private(self) -> None: ...

    def __call__(self) -> str:
        return "called"


class Side:
    """A server and one client of it."""

    def __init__(self) -> None:
        self.daemon = fastpyro.Daemon(host="127.0.0.1")
        self.subject = Subject()
        self.daemon.register(self.subject, "subject")
        self.daemon.register(Subject, "subject.class")
        self.reports: list[Any] = []
        self.daemon.methodcall_error_handler = self.report
        server = self.daemon.transportServer
        assert isinstance(server, ConnectionServer)
        self.server = server
        near, self.far = unix_pair()
        self.server.admit(near, "client")
        self.connection: Connection = self.server.connections[near.fileno()]
        self.connection.handshaken = True
        self.connection.channel.set_max_message_size(0)
        self.server.unadmitted.clear()
        self.turns: list[Connection] = []
        self.server.next_turn = self.turns.append  # type: ignore[method-assign, assignment]

    def report(self, _daemon: Any, _client: Any, method: Any, args: Any, kwargs: Any, error: BaseException) -> None:
        name = method if isinstance(method, str) else method.__name__
        what: tuple[Any, ...] = (name, args, kwargs)
        if isinstance(error, SerializeError):
            what = ()  # how far a bad payload was read before it was found to be bad is nobody's business
        self.reports.append((type(error).__name__, *what))

    def close(self) -> None:
        self.daemon.close()
        self.far.close()

    def replies(self) -> list[ReferenceMessage]:
        """Return what has been sent to the client, and how the stream stands, as far as it is here."""
        self.far.setblocking(False)
        data = b""
        try:
            while piece := self.far.recv(1 << 20):
                data += piece
        except (BlockingIOError, ConnectionResetError):
            pass
        return decode_stream(data, 1 << 30)[0]

    def serve(self) -> None:
        """Serve what is here as the leader does."""
        leadership = Leadership()
        self.turns.append(self.connection)
        while self.turns:  # requests that took longer than a turn go on in the next one
            self.turns.clear()
            while (message := self.server.next_request(self.connection, leadership)) is not None:
                self.server.answer(self.connection, message)
            if self.send_rest():  # nothing more is read until that is sent
                self.turns.append(self.connection)
        assert leadership.connection is None
        assert not leadership.handed_over

    def send_rest(self) -> bool:
        """Send what could not be sent at once, as the server does when there is room. Returns whether some was sent."""
        channel = self.connection.channel
        return channel.unsent > 0 and channel.send_unsent(1 << 20) > 0

    def serve_messages(self) -> None:
        """Serve what is here, all of it as messages."""
        link: Any = self.connection.channel
        while not link.closed and (message := link.receive_available()) is not None:
            self.server.answer(self.connection, message)
            self.send_rest()


def facts_of(reply: ReferenceMessage) -> Any:
    """Return what must be equal: everything but tracebacks, names of streams, and what is wrong with a payload."""
    if not reply.flags & FLAGS_EXCEPTION:
        return reply
    streams = reply.flags & FLAGS_ITEMSTREAMRESULT
    error = get_serializer_by_id(reply.serializer_id).loads(reply.payload)
    annotations = {key: b"" if streams else value for key, value in reply.annotations.items()}
    text = "" if type(error) is SerializeError else str(error)
    return reply.kind, reply.flags, reply.seq, reply.serializer_id, type(error), text, annotations


def check_same(requests: list[bytes]) -> list[ReferenceMessage]:
    """Send the same bytes all three ways, in one piece; returns the replies."""
    sides = served, by_messages, by_reference = Side(), Side(), Side()
    try:
        for side in sides:
            side.far.sendall(b"".join(requests))
        served.serve()
        by_messages.serve_messages()
        with in_charge():
            by_reference.serve_messages()
        replies = served.replies()
        for other in (by_messages, by_reference):
            assert [facts_of(one) for one in replies] == [facts_of(one) for one in other.replies()]
            assert repr(served.subject.calls) == repr(other.subject.calls)
            assert repr(served.reports) == repr(other.reports)
            assert served.connection.channel.closed == other.connection.channel.closed
            assert set(served.connection.instances) == set(other.connection.instances)
        assert [side.connection.calls_running for side in sides] == [0, 0, 0]
        assert current_context.client is None
        assert current_context.annotations == current_context.response_annotations == {}
        assert current_context.correlation_id is None
        return replies
    finally:
        for side in sides:
            side.close()
        current_context.annotations.clear()
        current_context.response_annotations.clear()


def request(
    name: str, *args: Any, seq: int = 5, flags: int = 0, target: str = "subject", kwargs: Any = None, **rest: Any
) -> bytes:
    payload = native.dumps_call(target, name, args, kwargs or {})
    assert isinstance(payload, bytes)
    return encode(ReferenceMessage(MSG_INVOKE, flags, seq, NATIVE, payload, **rest))


NAMES = [
    *("echo", "two", "fail", "leave", "lock", "numbers", "many", "shadowed", "static", "of_class", "annotate"),
    *("annotate_and_fail", "context", "size", "hidden", "_private", "__call__", "__init__", "__class__", "__dict__"),
    *("__getattr__", "__setattr__", "__", "", "nothing", "echo.x", "échø", "calls", "echo\0", "a" * 300),
]
TARGETS = ["subject", "subject.class", "nobody", "", "Pyro.Daemon"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_every_object(name: str, target: str) -> None:
    check_same([request(name, target=target), request("context", seq=6)])


@pytest.mark.parametrize("flags", [0, FLAGS_ONEWAY])
@pytest.mark.parametrize("name", NAMES)
def test_every_name_as_a_oneway_call(name: str, flags: int) -> None:
    replies = check_same([request(name, "size", flags=flags), request("context", seq=6)])
    assert len(replies) == (1 if flags else 2)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
calls = st.builds(
    lambda name, args, flags, target, kwargs, seq: request(
        name, *args, flags=flags, target=target, kwargs=kwargs, seq=seq
    ),
    st.sampled_from(NAMES),
    st.lists(values, max_size=3),
    st.sampled_from([0, 0, 0, FLAGS_ONEWAY]),
    st.sampled_from(["subject", "subject", *TARGETS]),
    st.dictionaries(st.sampled_from(["left", "right", "self", "x y", ""]), values, max_size=2),
    st.integers(0, 65535),
)


@given(some=st.lists(calls, min_size=1, max_size=6))
def test_any_calls_give_the_same_replies(some: list[bytes]) -> None:
    check_same(some)


@given(call=calls, at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_calls_give_the_same_replies(call: bytes, at: int, byte: int, cut: bool) -> None:
    payload = bytearray(call[40:])
    if cut:
        del payload[at % len(payload) :]
    else:
        payload[at % len(payload)] = byte
    damaged = encode(ReferenceMessage(MSG_INVOKE, 0, 7, NATIVE, bytes(payload)))
    check_same([damaged, request("context")])


@given(kind=st.integers(0, 8), flags=st.integers(0, 63), serializer=st.integers(0, 255), payload=st.binary(max_size=20))
def test_other_messages_go_the_long_way(kind: int, flags: int, serializer: int, payload: bytes) -> None:
    check_same([encode(ReferenceMessage(kind, flags, 7, serializer, payload)), request("context")])


ROUND = [
    request("echo", 1, seq=1),
    encode(ReferenceMessage(MSG_PING, 0, 2, NATIVE, b"ping")),
    request("annotate", seq=3),
    request("context", seq=4),
    request("context", seq=5, annotations={"ABCD": b"x"}, correlation_id=b"c" * 16, flags=64),
    request("context", seq=6),
    request("annotate_and_fail", seq=7),
    request("annotate", seq=8, flags=FLAGS_ONEWAY),
    request("context", seq=9),
    request("numbers", seq=10),
    request("echo", b"x" * 5000, seq=11),
    request("context", seq=12),
]


def test_nothing_of_a_request_reaches_the_next_one() -> None:
    replies = check_same(ROUND)
    contexts = [native.loads(reply.payload) for reply in replies if reply.seq in {4, 6, 9, 12}]
    assert [context[0] for context in contexts] == [{}] * 4
    assert [context[1] for context in contexts] == [False] * 4
    assert [context[6] for context in contexts] == [{}] * 4
    assert [reply.annotations for reply in replies if reply.seq in {3, 4}] == [{"MINE": b"1"}, {}]


def test_an_attribute_of_the_instance_goes_first() -> None:
    (reply,) = check_same([request("shadowed")])
    assert native.loads(reply.payload) == "of the instance"


@pytest.mark.parametrize("failure", [SystemExit, ValueError, SerializeError])
def test_a_result_that_ends_the_program_is_an_error_of_the_call(failure: type[BaseException]) -> None:
    """What a class's converter raises must not end the thread that serves."""

    class Odd:
        pass

    def convert(_: Any) -> Any:
        raise failure("no")

    fastpyro.register_class_to_dict(Odd, convert)
    side = Side()
    try:
        side.daemon.register(fastpyro.expose(type("Giver", (), {"give": lambda _: Odd()}))(), "giver")
        side.far.sendall(request("give", target="giver", seq=1) + request("echo", seq=2))
        side.serve()
        failed, fine = side.replies()
    finally:
        side.close()
        fastpyro.unregister_class_to_dict(Odd)
    assert failed.flags == FLAGS_EXCEPTION
    assert "no" in str(native.loads(failed.payload))
    assert fine.flags == 0


def test_a_part_of_a_request_is_kept_until_the_rest_comes() -> None:
    side = Side()
    data = request("echo", "x" * 50)
    try:
        for cut in range(1, len(data), 7):
            side.far.sendall(data[:cut])
            side.serve()
            assert side.replies() == []
            side.far.sendall(data[cut:])
            side.serve()
            assert len(side.replies()) == 1
    finally:
        side.close()


def test_a_stranger_gets_nothing() -> None:
    side = Side()
    try:
        side.connection.handshaken = False
        side.far.sendall(request("echo", 1))
        side.serve()
        assert side.subject.calls == []
        assert side.connection.channel.closed
    finally:
        side.close()
