"""What strangers send in the peers' dialects: each is answered in its own, or dropped, and everybody else is served on."""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_COMPRESSED,
    FLAGS_EXCEPTION,
    FLAGS_META_ON_CONNECT,
    MARSHAL_ID,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_RESULT,
    PICKLE_ID,
    SERPENT_ID,
)
from fastpyro.errors import CommunicationError, ProtocolError, SecurityError, SerializeError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.serializers.registry import get_serializer, get_serializer_by_id


class Subject:
    """What is called."""

    @fastpyro.expose
    def add(self, a: int, b: int) -> int:
        return a + b

    @fastpyro.expose
    def size(self, value: Any) -> int:
        return len(value)


@pytest.fixture
def daemon() -> Iterator[fastpyro.Daemon]:
    with fastpyro.Daemon(host="127.0.0.1") as made:
        made.register(Subject(), "subject")
        thread = threading.Thread(target=made.requestLoop)
        thread.start()
        yield made
        with fastpyro.Proxy(made.uriFor("subject")) as proxy:  # everybody else is still served
            proxy._pyroHmacKey = made._pyroHmacKey
            assert proxy.add(1, 2) == 3
        made.shutdown()
        thread.join()


class Stranger:
    """A client that says what it likes. Arguments: ``daemon``; ``dialect``, 48 or 502."""

    def __init__(self, daemon: fastpyro.Daemon, dialect: int, key: bytes | None = None) -> None:
        self.sock = socket.create_connection(daemon.sock.getsockname()[:2], timeout=10)
        self.dialect = dialect
        self.key = key
        self.decoder = Decoder()
        self.decoder.set_hmac_key(key)
        self.serpent = get_serializer("serpent", dialect)

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def pack(self, kind: int, payload: Any, serializer: int = SERPENT_ID, flags: int = 0, seq: int = 1) -> bytes:
        if self.dialect == 48:
            return pack_pyro4_message(kind, flags, seq, serializer, payload, hmac_key=self.key)
        return pack_message(kind, flags, seq, serializer, payload)

    def say(self, *arguments: Any, **keywords: Any) -> Message | None:
        self.sock.sendall(self.pack(*arguments, **keywords))
        return self.answer()

    def answer(self) -> Message | None:
        """Return the next message, None when the daemon has hung up."""
        while (message := self.decoder.next_message()) is None:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.decoder.feed(data)
        assert self.decoder.dialect == self.dialect  # it is answered in its own
        return message

    def admitted(self) -> Stranger:
        payload = self.serpent.dumps({"handshake": "hello", "object": "subject"})
        answer = self.say(MSG_CONNECT, payload, flags=FLAGS_META_ON_CONNECT if self.dialect == 48 else 0)
        assert answer is not None
        assert answer.kind == MSG_CONNECTOK
        assert set(self.value(answer)["meta"]["methods"]) == {"add", "size"}
        return self

    def value(self, message: Message) -> Any:
        return get_serializer_by_id(message.serializer_id, self.dialect).loads(message.payload)

    def call(self, *args: Any, name: str = "add") -> bytes:
        data: bytes = self.serpent.dumps_call("subject", name, args, {})
        return data


BOTH = pytest.mark.parametrize("dialect", [48, 502])


@BOTH
def test_a_call(daemon: fastpyro.Daemon, dialect: int) -> None:
    with Stranger(daemon, dialect).admitted() as client:
        answer = client.say(MSG_INVOKE, client.call(3, 4), seq=7)
        assert answer is not None
        assert (answer.kind, answer.flags, answer.seq, answer.serializer_id) == (MSG_RESULT, 0, 7, SERPENT_ID)
        assert client.value(answer) == 7


@BOTH
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"garbage", "serpent text"),
        (b"{'object':'subject'}", "handshake"),
        (b"{'handshake':'hello','object':'nobody'}", "unknown object"),
        (b"{'handshake':'hello','object':5}", "object"),
        (b"[1]", "handshake"),
        (b"[" * 5000, "nested"),
    ],
)
def test_refused_handshakes(daemon: fastpyro.Daemon, dialect: int, payload: bytes, text: str) -> None:
    with Stranger(daemon, dialect) as client:
        flags = FLAGS_META_ON_CONNECT if dialect == 48 else 0
        answer = client.say(MSG_CONNECT, payload, flags=flags, seq=3)
        assert answer is not None
        assert (answer.kind, answer.seq) == (MSG_CONNECTFAIL, 3)
        assert text in client.value(answer)
        assert client.answer() is None


@BOTH
@pytest.mark.parametrize("serializer", [MARSHAL_ID, PICKLE_ID])
def test_serializers_that_are_not_accepted(daemon: fastpyro.Daemon, dialect: int, serializer: int) -> None:
    with Stranger(daemon, dialect) as client:
        answer = client.say(MSG_CONNECT, b"cos\nsystem\n(S'true'\ntR.", serializer)
        assert answer is not None
        assert answer.serializer_id == MARSHAL_ID  # which every peer reads
        assert "not accepted" in client.value(answer)
    with Stranger(daemon, dialect).admitted() as client:  # nor later
        answer = client.say(MSG_INVOKE, b"cos\nsystem\n(S'true'\ntR.", serializer)
        assert answer is not None
        assert answer.flags & FLAGS_EXCEPTION
        assert isinstance(client.value(answer), SerializeError)
        assert client.value(client.say(MSG_INVOKE, client.call(1, 1))) == 2  # type: ignore[arg-type]


def test_pickle_needs_more_than_a_name(daemon: fastpyro.Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.accepted_serializers |= {PICKLE_ID}
    monkeypatch.setattr(config, "PICKLES_ON_LOOPBACK", False)
    with Stranger(daemon, 48) as client:
        answer = client.say(MSG_CONNECT, get_serializer("pickle", 48).dumps({"handshake": 1}), PICKLE_ID)
        assert answer is not None
        assert "HMAC key" in client.value(answer)
    proxy = fastpyro.Proxy(daemon.uriFor("subject"))
    proxy._pyroSerializer = "pickle"
    with pytest.raises(SecurityError, match="HMAC key"):
        proxy.add(1, 2)


@BOTH
def test_bad_calls_are_error_replies(daemon: fastpyro.Daemon, dialect: int) -> None:
    with Stranger(daemon, dialect).admitted() as client:
        for payload in (
            b"",
            b"('subject','add')",
            b"garbage",
            b"('subject','__init__',(),{})",
            b"{'__class__':'a.__b__'}",
        ):
            answer = client.say(MSG_INVOKE, payload, seq=9)
            assert answer is not None
            assert (answer.seq, answer.flags & FLAGS_EXCEPTION) == (9, FLAGS_EXCEPTION)
            assert isinstance(client.value(answer), Exception)
        assert client.value(client.say(MSG_INVOKE, client.call(1, 1))) == 2  # type: ignore[arg-type]


@BOTH
def test_a_zlib_bomb(daemon: fastpyro.Daemon, dialect: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_MESSAGE_SIZE", 1 << 20)
    text = b"('subject','size',('" + b"x" * (30 << 20) + b"',),{})"
    with Stranger(daemon, dialect).admitted() as client:
        answer = client.say(MSG_INVOKE, zlib.compress(text, 9), flags=FLAGS_COMPRESSED)
        assert answer is not None
        assert answer.flags & FLAGS_EXCEPTION
        assert "becomes more than 1,048,576" in str(client.value(answer))
        answer = client.say(MSG_INVOKE, zlib.compress(client.call("x" * 5000, name="size"), 9), flags=FLAGS_COMPRESSED)
        assert answer is not None
        assert client.value(answer) == 5000
    with Stranger(daemon, dialect) as client:  # before the handshake even less
        answer = client.say(MSG_CONNECT, zlib.compress(b"'" + b"x" * 100_000, 9), flags=FLAGS_COMPRESSED)
        assert answer is not None
        assert "becomes more than 65,536" in client.value(answer)


def test_a_head_and_then_silence(daemon: fastpyro.Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "HANDSHAKE_TIMEOUT", 0.2)
    with Stranger(daemon, 48) as client:
        client.sock.sendall(client.pack(MSG_CONNECT, bytes(100))[:24])
        assert client.answer() is None


def test_wrong_checksums_and_versions(daemon: fastpyro.Daemon) -> None:
    with Stranger(daemon, 48) as client:
        data = bytearray(client.pack(MSG_CONNECT, b"x"))
        data[22] ^= 1
        client.sock.sendall(bytes(data))
        answer = client.answer()
        assert answer is not None
        assert (answer.kind, answer.serializer_id) == (MSG_CONNECTFAIL, MARSHAL_ID)
        assert "checksum mismatch" in client.value(answer)
        assert client.answer() is None
    for first in (b"PYRO\x00\x2f" + bytes(50), b"GET / HTTP/1.1\r\n\r\n"):
        with Stranger(daemon, 502) as client:  # nobody's dialect: ours
            client.sock.sendall(first)
            answer = client.answer()
            assert answer is not None
            assert answer.kind == MSG_CONNECTFAIL
            assert "protocol version: 47" in client.value(answer) or "not a message" in client.value(answer)


@BOTH
def test_dialects_mixed_on_one_connection(daemon: fastpyro.Daemon, dialect: int) -> None:
    with Stranger(daemon, dialect).admitted() as client:
        other = Stranger(daemon, 550 - dialect)
        other.sock.close()
        client.sock.sendall(other.pack(MSG_INVOKE, client.call(1, 2)))
        assert client.answer() is None


@pytest.mark.parametrize("key", [None, b"wrong"])
def test_hmac_mismatches(daemon: fastpyro.Daemon, key: bytes | None) -> None:
    daemon._pyroHmacKey = b"right"
    with Stranger(daemon, 48, key) as client:
        client.sock.sendall(client.pack(MSG_CONNECT, b"{'handshake':1,'object':'subject'}"))
        client.decoder.set_hmac_key(b"right")  # the refusal is signed
        answer = client.answer()
        assert answer is not None
        assert answer.kind == MSG_CONNECTFAIL
        assert "hmac" in client.value(answer)
    with Stranger(daemon, 502) as client:
        answer = client.say(MSG_CONNECT, b"{'handshake':1,'object':'subject'}")
        assert answer is not None
        assert "not symmetric" in client.value(answer)


def test_a_message_that_is_changed_later(daemon: fastpyro.Daemon) -> None:
    daemon._pyroHmacKey = b"right"
    with Stranger(daemon, 48, b"right").admitted() as client:
        data = bytearray(client.pack(MSG_INVOKE, client.call(1, 2)))
        data[-3] ^= 1
        client.sock.sendall(bytes(data))
        assert client.answer() is None


def answering(*answers: bytes) -> Iterator[str]:
    """Serve connections, each with one answer to whatever comes; yields the uri."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                client, _ = listener.accept()
                with client:
                    client.settimeout(10)
                    client.recv(65536)
                    client.sendall(answer)
                    while client.recv(65536):  # until the client hangs up
                        client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


REFUSAL = get_serializer("marshal").dumps("no")
META = {"methods": ["add"], "oneway": [], "attrs": []}


def accepted(serializer: str = "serpent") -> bytes:
    used = get_serializer(serializer)
    return pack_message(MSG_CONNECTOK, 0, 0, used.serializer_id, used.dumps({"handshake": "hi", "meta": META}))


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (accepted("json"), SerializeError, "invalid serializer in response: 3"),
        (accepted("marshal"), SerializeError, "invalid serializer in response: 2"),
        (accepted("native"), SerializeError, "invalid serializer in response: 70"),
        (
            pack_message(MSG_CONNECTFAIL, 0, 0, PICKLE_ID, b"cos\nsystem\n(S'true'\ntR."),
            SerializeError,
            "invalid serializer",
        ),
        (
            pack_message(MSG_CONNECTFAIL, 0, 0, MARSHAL_ID, get_serializer("marshal").dumps("no")),
            CommunicationError,
            "rejected: no",
        ),
        (pack_message(MSG_RESULT, 0, 0, SERPENT_ID, b"1"), ProtocolError, "invalid msg type 5"),
        (pack_message(MSG_CONNECTOK, 0, 0, SERPENT_ID, b"1"), ProtocolError, "lacks"),
        (pack_message(MSG_CONNECTOK, FLAGS_COMPRESSED, 0, SERPENT_ID, b"1"), ProtocolError, "compressed message"),
        (struct.pack("!4sH", b"PYRO", 48) + bytes(18), ProtocolError, "checksum"),
    ],
)
def test_daemons_that_answer_a_handshake_with_something_else(answer: bytes, error: type[Exception], text: str) -> None:
    for uri in answering(answer):
        proxy = fastpyro.Proxy(uri)
        with pytest.raises(error, match=text):
            proxy._pyroBind()
        assert proxy._pyroConnection is None


def test_a_daemon_of_the_other_dialect_is_called_again() -> None:
    marshal, serpent = get_serializer("marshal", 48), get_serializer("serpent", 48)
    refusal = pack_pyro4_message(
        MSG_CONNECTFAIL, 0, 0, MARSHAL_ID, marshal.dumps("invalid data or unsupported protocol")
    )
    welcome = pack_pyro4_message(MSG_CONNECTOK, 0, 0, SERPENT_ID, serpent.dumps({"handshake": "hi", "meta": META}))
    for uri in answering(refusal, welcome, welcome):
        for _ in range(2):  # the second time it is remembered
            with fastpyro.Proxy(uri) as proxy:
                assert proxy._pyroBind()
                assert proxy._pyroConnection is not None
                assert proxy._pyroConnection.dialect == 48


def test_a_daemon_of_the_other_dialect_is_not_called_again_when_502_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "PROTOCOL", 502)
    text = get_serializer("marshal", 48).dumps("invalid data or unsupported protocol")
    for uri in answering(pack_pyro4_message(MSG_CONNECTFAIL, 0, 0, MARSHAL_ID, text)):
        with pytest.raises(CommunicationError, match=r"config\.PROTOCOL"):
            fastpyro.Proxy(uri)._pyroBind()


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (pack_message(MSG_RESULT, 0, 2, SERPENT_ID, b"1"), ProtocolError, "out of sync"),
        (pack_message(MSG_RESULT, 0, 1, MARSHAL_ID, b"i\1\0\0\0"), SerializeError, "invalid serializer in response: 2"),
        (pack_message(MSG_CONNECTOK, 0, 1, SERPENT_ID, b"1"), ProtocolError, "invalid msg type 2"),
        (pack_message(MSG_RESULT, FLAGS_EXCEPTION, 1, SERPENT_ID, b"'text'"), ProtocolError, "not an exception"),
        (pack_message(MSG_RESULT, 0, 1, SERPENT_ID, b"garbage"), SerializeError, "serpent text"),
    ],
)
def test_replies_that_do_not_fit(reply: bytes, error: type[Exception], text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.settimeout(10)
                client.recv(65536)
                client.sendall(accepted())
                client.recv(65536)
                client.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        proxy = fastpyro.Proxy(f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(error, match=text):
            proxy.add(1, 2)
        proxy._pyroRelease()
        thread.join()
