"""Connect messages: what is accepted, and what is said to the others."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from socket_pairs import Peer

import fastpyro
from fastpyro.config import config
from fastpyro.constants import FLAGS_META_ON_CONNECT, MSG_CONNECT, MSG_CONNECTFAIL, MSG_CONNECTOK, MSG_INVOKE
from fastpyro.errors import (
    CommunicationError,
    MessageTooLargeError,
    ProtocolError,
    PyroError,
    SerializeError,
    TimeoutError,
)
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.serializers.registry import accepted_ids, get_serializer, native
from fastpyro.transport import handshake
from fastpyro.uri import URI


def received(data: bytes) -> Message:
    decoder = Decoder()
    decoder.feed(data)
    message = decoder.next_message()
    assert message is not None
    return message


def request(
    payload: object, kind: int = MSG_CONNECT, serializer: int = native.serializer_id, flags: int = 0
) -> Message:
    return received(pack_message(kind, flags, 0, serializer, native.dumps(payload)))


ACCEPTED = accepted_ids(["native", "serpent"])
SERPENT = get_serializer("serpent")
TO_NATIVE = pack_message(
    MSG_CONNECT,
    0,
    0,
    SERPENT.serializer_id,
    SERPENT.dumps({"handshake": None, "object": "id"}),
    {"FAST": b"\x01" + native.dumps(("a", 1))},
)


def test_read_request() -> None:
    message = request({"handshake": ("a", 1), "object": "id"})
    assert handshake.read_request(message, 502, ACCEPTED) == (("a", 1), "id", True, False)
    assert handshake.read_request(received(TO_NATIVE), 502, ACCEPTED) == (("a", 1), "id", True, True)
    assert handshake.read_request(received(TO_NATIVE), 502, accepted_ids(["serpent"])) == (None, "id", True, False)


def test_requests_of_pyro4() -> None:
    with_metadata = {"handshake": "hello", "object": "id"}
    message = request(with_metadata, flags=FLAGS_META_ON_CONNECT)
    assert handshake.read_request(message, 48, ACCEPTED) == ("hello", "id", True, False)
    assert handshake.read_request(request({"handshake": "hello"}), 48, ACCEPTED) == ("hello", None, False, False)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (request({"handshake": 1, "object": "id"}, kind=MSG_INVOKE), ProtocolError),
        (request({"handshake": 1, "object": "id"}, serializer=2), SerializeError),
        (request({"object": "id"}), PyroError),
        (request({"handshake": 1}), PyroError),
        (request({"handshake": 1, "object": 7}), PyroError),
        (request("hello"), PyroError),
        (received(pack_message(MSG_CONNECT, 0, 0, native.serializer_id, b"\xc1")), SerializeError),
    ],
)
def test_wrong_requests(message: Message, error: type[Exception]) -> None:
    with pytest.raises(error):
        handshake.read_request(message, 502, ACCEPTED)


def settings(timeout: float, data: object = "hello") -> handshake.Settings:
    return handshake.Settings("native", data, None, timeout)


def connect_to(answer: bytes, timeout: float = 10.0) -> handshake.Connected:
    """Connect to a fake daemon that answers with these bytes, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)
                if not answer:
                    client.recv(1)  # says nothing until the client gives up

        thread = threading.Thread(target=serve)
        thread.start()
        uri = URI(f"PYRO:object@127.0.0.1:{listener.getsockname()[1]}")
        try:
            return handshake.connect(uri, settings(timeout), seq=0, annotations=None, correlation_id=None)
        finally:
            thread.join()


def answer(kind: int, payload: object, serializer: int = native.serializer_id) -> bytes:
    return pack_message(kind, 0, 0, serializer, native.dumps(payload), {"FAST": b"\x01", "MORE": b"2"})


def test_connect() -> None:
    channel, serializer, reply, annotations = connect_to(answer(MSG_CONNECTOK, {"handshake": "hi", "meta": {}}))
    channel.close()
    assert serializer is native
    assert reply == {"handshake": "hi", "meta": {}}
    assert annotations == {"MORE": b"2"}


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (answer(MSG_CONNECTFAIL, "no, thank you"), CommunicationError, "rejected: no, thank you"),
        (answer(MSG_INVOKE, {}), ProtocolError, "invalid msg type 4"),
        (answer(MSG_CONNECTOK, "hello"), ProtocolError, "lacks"),
        (answer(MSG_CONNECTOK, {"handshake": 1, "meta": None}), ProtocolError, "lacks"),
        (answer(MSG_CONNECTOK, {}, serializer=2), SerializeError, "serializer in response: 2"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ProtocolError, "not a message"),
        (b"PYRO\x00\x31" + bytes(40), ProtocolError, "version: 49"),
        (b"PYRO\x00\x30" + bytes(40), ProtocolError, "checksum"),
    ],
)
def test_wrong_answers(reply: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        connect_to(reply)


def test_daemon_that_says_nothing() -> None:
    with pytest.raises(TimeoutError):
        connect_to(b"", timeout=0.2)


def test_the_steps_of_connecting_share_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        begun = settings(0.5).begun()
        now[0] += 0.375
        assert begun.begun().seconds_left() == 0.125
        now[0] += 0.125
        with pytest.raises(TimeoutError, match=r"after 0\.5 s"):
            begun.seconds_left()
        assert settings(0).begun().seconds_left() == 0


def test_a_daemon_that_is_slow_at_each_step() -> None:
    """It is slow to say that it speaks the other dialect, and then says nothing."""
    refusal = pack_pyro4_message(MSG_CONNECTFAIL, 0, 0, SERPENT.serializer_id, SERPENT.dumps("no"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as first:
                first.recv(65536)
                threading.Event().wait(0.6)
                first.sendall(refusal)
            with listener.accept()[0] as second:
                while second.recv(65536):
                    pass  # until the client gives up

        thread = threading.Thread(target=serve)
        thread.start()
        uri = URI(f"PYRO:object@127.0.0.1:{listener.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            handshake.connect(uri, settings(0.8), seq=0, annotations=None, correlation_id=None)
        assert time.monotonic() - began < 1.3, "and not 0.6 and 0.8"
        thread.join()


def test_too_much_handshake_data_is_refused_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = URI(f"PYRO:object@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ProtocolError, match="handshake data"):
            handshake.connect(uri, settings(5, "x" * 70000), seq=0, annotations=None, correlation_id=None)


def test_a_daemon_says_whether_it_looks_before_it_sleeps() -> None:
    try:
        config.PORTABLE = False
        config.SPIN = 50
        assert handshake.native_answer()[handshake.FAST] == b"\x01\x01"
        config.SPIN = 0
        assert handshake.native_answer()[handshake.FAST] == b"\x01"
        config.SPIN, config.PORTABLE = 50, True
        assert handshake.native_answer()[handshake.FAST] == b"\x01"
    finally:
        config.reset()


# ---- which dialect ---------------------------------------------------------------------------------------------------


def test_a_daemon_where_one_of_pyro4_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses protocol 48 in protocol 502: it is called in that, and the place is not remembered as Pyro4's any more."""
    refusal = pack_message(MSG_CONNECTFAIL, 0, 0, 2, get_serializer("marshal").dumps("protocol 48?"))
    welcome = answer(MSG_CONNECTOK, {"handshake": "hi", "meta": {}})
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for reply in (refusal, welcome):
            client, _ = listener.accept()
            with client:
                heads.append(client.recv(65536)[:6])
                client.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr(handshake, "_dialects", {place: 48})
        with Peer(lambda: serve(listener)):
            uri = URI(f"PYRO:object@{place}")
            connected = handshake.connect(uri, settings(10), seq=0, annotations=None, correlation_id=None)
            connected.channel.close()
    assert heads == [b"PYRO\x00\x30", b"PYRO\x01\xf6"]
    assert handshake._dialects == {}


# ---- what a daemon answers -------------------------------------------------------------------------------------------


def answer_once(listener: socket.socket, head: bytes, body: bytes, sent: list[int]) -> None:
    client, _ = listener.accept()
    with client:
        client.settimeout(10)
        client.recv(65536)
        sent.append(0)
        try:
            client.sendall(head)
            for _ in range(64):
                client.sendall(body)
                sent[0] += len(body)
        except OSError:
            pass


def failure_of(head: bytes, body: bytes = b"") -> tuple[BaseException, int]:
    """Return what connecting raises when a daemon answers so, and how much of the body was taken."""
    sent: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, head, body, sent))
        thread.start()
        uri = URI(f"PYRO:object@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(PyroError) as caught:
            handshake.connect(uri, settings(10), seq=0, annotations=None, correlation_id=None)
        thread.join(20)
        assert not thread.is_alive()
    return caught.value, sent[0]


@pytest.mark.parametrize("annotations_size", [0, 1 << 30])
def test_an_answer_is_bounded(annotations_size: int) -> None:
    head = bytearray(pack_message(MSG_CONNECTOK, 0, 0, SERPENT.serializer_id, b""))
    head[12:20] = struct.pack("!II", (1 << 30) - annotations_size, annotations_size)
    error, sent = failure_of(bytes(head), bytes(1 << 20))
    assert isinstance(error, MessageTooLargeError)
    assert sent < 40 << 20


def test_a_compressed_answer_is_bounded() -> None:
    packed = zlib.compress(bytes(handshake.ANSWER_LIMIT + 1))
    error, _ = failure_of(pack_message(MSG_CONNECTOK, 2, 0, SERPENT.serializer_id, packed))
    assert isinstance(error, MessageTooLargeError)


def test_a_refusal_is_cut_and_escaped() -> None:
    text = "\x1b[2J\nforged line" + "x" * 50_000
    error, _ = failure_of(pack_message(MSG_CONNECTFAIL, 0, 0, SERPENT.serializer_id, SERPENT.dumps(text)))
    assert isinstance(error, CommunicationError)
    assert "\\x1b[2J\\nforged line" in str(error)
    assert len(str(error)) < 2000
    error, _ = failure_of(pack_message(MSG_CONNECTFAIL, 0, 0, SERPENT.serializer_id, SERPENT.dumps([1] * 50_000)))
    assert len(str(error)) < 2000


@pytest.mark.parametrize("answer", [None, 5, "text", [], {}, {"handshake": 1}, {"handshake": 1, "meta": [1]}])
def test_an_answer_that_is_none(answer: object) -> None:
    error, _ = failure_of(pack_message(MSG_CONNECTOK, 0, 0, SERPENT.serializer_id, SERPENT.dumps(answer)))
    assert isinstance(error, ProtocolError)


class Annotated:
    """What is called with annotations beside the call."""

    @fastpyro.expose
    def sizes(self) -> dict[str, int]:
        return {key: len(data) for key, data in fastpyro.current_context.annotations.items()}


@pytest.fixture
def annotated() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon("127.0.0.1") as daemon:
        daemon.register(Annotated(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        yield daemon
        daemon.shutdown()
        thread.join(30)


@pytest.mark.parametrize("size", [10, 65000, 70000, 3 << 20])
@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_annotations_of_the_call_that_connects(annotated: fastpyro.Daemon, size: int, serializer: str) -> None:
    with fastpyro.Proxy(annotated.uriFor("subject")) as proxy:
        proxy._pyroSerializer = serializer
        fastpyro.current_context.annotations = {"BIGG": bytes(size)}
        try:
            assert proxy.sizes()["BIGG"] == size
        finally:
            fastpyro.current_context.annotations = {}


@pytest.mark.parametrize(
    ("payload_size", "annotations", "admitted"),
    [
        (10, {"BIGG": 70000}, True),
        (60000, {"BIGG": 3 << 20, "MORE": 65536}, True),
        (10, {"BIGG": handshake.HANDSHAKE_ANNOTATIONS + handshake.HANDSHAKE_LIMIT}, False),
        (66000, {}, False),
        (66000, {"BIGG": 1000}, False),
        (10, {"FAST": 70000}, False),
    ],
)
def test_a_stranger_has_annotations_beside_his_handshake_data(
    annotated: fastpyro.Daemon, payload_size: int, annotations: dict[str, int], admitted: bool
) -> None:
    """As the real Pyro5 sends them."""
    payload = SERPENT.dumps({"handshake": "x" * payload_size, "object": "subject"})
    extra = {key: b"\x01" * size for key, size in annotations.items()}
    with socket.create_connection(annotated.sock.getsockname()[:2], timeout=30) as stranger:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stranger.sendall(pack_message(MSG_CONNECT, 0, 0, SERPENT.serializer_id, payload, extra))
        try:
            answer = stranger.recv(65536)
        except ConnectionResetError:
            answer = b""
        assert (answer[6:7] == bytes([MSG_CONNECTOK])) is admitted


def test_annotations_of_strangers_are_counted_while_they_arrive(annotated: fastpyro.Daemon) -> None:
    payload = SERPENT.dumps({"handshake": "x", "object": "subject"})
    data = pack_message(MSG_CONNECT, 0, 0, SERPENT.serializer_id, payload, {"BIGG": bytes(1 << 20)})
    with socket.create_connection(annotated.sock.getsockname()[:2], timeout=30) as stranger:
        stranger.sendall(data[: 1 << 19])
        intake = annotated.transportServer.handshakes.intake
        deadline = time.monotonic() + 30
        while intake.total < (1 << 19) - 100 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert 0 < intake.total <= 1 << 19
        stranger.sendall(data[1 << 19 :])
        assert stranger.recv(65536)[6] == MSG_CONNECTOK
        assert intake.total == 0
