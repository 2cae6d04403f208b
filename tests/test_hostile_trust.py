"""Exploits: peers that want this process to run their pickle, to talk past its TLS, or to read what nobody signed.

Each payload, were it unpickled, would create a file; none of them may ever be there.
"""

from __future__ import annotations

import copy
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from strangers import AS_ROOT, OTHER_USERS_SERVER, served, settings, somebody_else, trap_in

import fastpyro
from fastpyro.client import resolver
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_META_ON_CONNECT,
    FLAGS_ONEWAY,
    MARSHAL_ID,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    PICKLE_ID,
    SERPENT_ID,
)
from fastpyro.errors import NamingError, PyroError, SecurityError, SerializeError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.transport import handshake
from fastpyro.transport.handshake import FAST
from fastpyro.values.class_registry import StateOf, unregister_dict_to_class

assert settings  # a fixture that every test here uses


# ---- clients of a daemon --------------------------------------------------------------------------------------------------


def gadget(port: int, wrapper: str) -> Any:
    """Return a value of plain types that stands for a proxy to a place of the sender's, with his key, in a container."""
    state: tuple[Any, ...] = (f"PYRO:x@127.0.0.1:{port}", [], [], [], 0.0, "b64:aw==", "hello", 0, "pickle")
    proxy = {"__class__": "Pyro4.core.Proxy", "state": list(state)}
    if wrapper == "OrderedDict":
        return {"__class__": "collections.OrderedDict", "items": proxy}
    if wrapper == "exception":
        return {
            "__class__": "ValueError",
            "__exception__": True,
            "args": proxy,
            "attributes": {"_pyroTraceback": proxy},
        }
    return proxy


def conversation(address: Any, dialect: int, messages: list[bytes], key: bytes | None = None) -> list[int]:
    """Send messages to a daemon and return the kinds of its answers, until it hangs up or has answered each."""
    with socket.create_connection(address, timeout=10) as sock:
        decoder = Decoder()
        decoder.set_hmac_key(key)
        kinds: list[int] = []
        for data in messages:
            try:
                sock.sendall(data)
                while (message := decoder.next_message()) is None:
                    received = sock.recv(65536)
                    if not received:
                        return kinds
                    decoder.feed(received)
            except ConnectionError:
                return kinds
            assert decoder.dialect == dialect
            kinds.append(message.kind)
    return kinds


@pytest.mark.parametrize("wrapper", ["OrderedDict", "exception", "bare"])
@pytest.mark.parametrize("serializer", ["serpent", "json", "msgpack"])
@pytest.mark.parametrize("dialect", [48, 502])
def test_a_connect_with_a_proxy_inside_runs_nothing_and_dials_nobody(
    dialect: int, serializer: str, wrapper: str, tmp_path: Path
) -> None:
    path, bomb = trap_in(tmp_path)
    codec = get_serializer(serializer, dialect)
    flags = FLAGS_META_ON_CONNECT if dialect == 48 else 0
    dialled: list[int] = []

    def answer(message_and_dialect: Any) -> bytes:
        """Return what the stranger answers who is dialled: a pickle, signed with the key that he sent."""
        message, theirs = message_and_dialect
        dialled.append(theirs)
        if theirs == 48:
            return pack_pyro4_message(MSG_CONNECTOK, flags, message.seq, PICKLE_ID, bomb, hmac_key=b"k")
        return pack_message(MSG_CONNECTOK, flags, message.seq, PICKLE_ID, bomb)

    with hostile_server(answer) as place, served() as daemon:
        value = gadget(int(place.rpartition(":")[2]), wrapper)
        for payload in (value, {"handshake": value, "object": "subject"}, {"handshake": "hello", "object": value}):
            data = packed(dialect, MSG_CONNECT, flags, codec.serializer_id, codec.dumps(payload))
            answers = conversation(daemon.sock.getsockname(), dialect, [data])
            assert answers in ([MSG_CONNECTOK], [MSG_CONNECTFAIL], [])
        with fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
            assert proxy.echo(1) == 1
    assert not dialled
    assert not path.exists()


def packed(dialect: int, kind: int, flags: int, serializer: int, payload: bytes, key: bytes | None = None) -> bytes:
    if dialect == 48:
        return pack_pyro4_message(kind, flags, 0, serializer, payload, hmac_key=key)
    return pack_message(kind, flags, 0, serializer, payload)


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_unsigned_strangers_are_refused_before_their_values_are_looked_at(server_type: str) -> None:
    config.SERVERTYPE = server_type
    built: list[str] = []
    fastpyro.register_dict_to_class("hostile.Witness", lambda name, data: built.append(name))
    try:
        with served(b"key") as daemon:
            for dialect, signed in ((48, None), (48, b"wrong"), (502, None)):
                codec = get_serializer("serpent", dialect)
                witness = {"__class__": "hostile.Witness"}
                connect = codec.dumps({"handshake": witness, "object": "subject"})
                call = codec.dumps_call("subject", "echo", (witness,), {})
                batch = codec.dumps_call("subject", "<batch>", [("echo", (witness,), {})], None)
                for kind, flags, payload in (
                    (MSG_CONNECT, 0, connect),
                    (MSG_INVOKE, 0, call),
                    (MSG_INVOKE, FLAGS_ONEWAY, call),
                    (MSG_INVOKE, FLAGS_BATCH, batch),
                    (MSG_PING, 0, b"ping"),
                ):
                    data = packed(dialect, kind, flags, SERPENT_ID, payload, signed)
                    answers = conversation(
                        daemon.sock.getsockname(), dialect, [data] * 2, key=b"key" if dialect == 48 else None
                    )
                    assert answers in ([MSG_CONNECTFAIL], [])
            assert built == []
            codec = get_serializer("serpent", 48)
            connect = codec.dumps({"handshake": {"__class__": "hostile.Witness"}, "object": "subject"})
            data = pack_pyro4_message(MSG_CONNECT, FLAGS_META_ON_CONNECT, 0, SERPENT_ID, connect, hmac_key=b"key")
            assert conversation(daemon.sock.getsockname(), 48, [data], b"key") == [MSG_CONNECTOK]
            assert built == ["hostile.Witness"]  # the test can fail
    finally:
        unregister_dict_to_class("hostile.Witness")


def test_no_message_without_a_signature_in_a_signed_conversation() -> None:
    codec = get_serializer("serpent", 48)
    connect = codec.dumps({"handshake": "hello", "object": "subject"})
    call = codec.dumps_call("subject", "echo", (1,), {})
    signed = pack_pyro4_message(MSG_CONNECT, FLAGS_META_ON_CONNECT, 0, SERPENT_ID, connect, hmac_key=b"key")
    with served(b"key") as daemon:
        unsigned = pack_pyro4_message(MSG_INVOKE, 0, 1, SERPENT_ID, call)
        assert conversation(daemon.sock.getsockname(), 48, [signed, unsigned], b"key") == [MSG_CONNECTOK]


# ---- hostile servers ------------------------------------------------------------------------------------------------------


@contextmanager
def hostile_server(answers: Callable[[Any], bytes], key: bytes | None = None) -> Iterator[str]:
    """Yield the location of a server that answers each message with what a function makes of it.

    Argument ``key``: what those are signed with who speak protocol 48.
    """

    def serve(client: socket.socket) -> None:
        decoder = Decoder()
        with client:
            try:
                decoder.set_hmac_key(key)
                while data := client.recv(65536):
                    decoder.feed(data)
                    while (message := decoder.next_message()) is not None:
                        message_and_dialect = message, decoder.dialect
                        client.sendall(answers(message_and_dialect))
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(10)
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


class Liar:
    """Answers as a daemon of a dialect does, but for one kind of answer, which is a pickle.

    Arguments: ``dialect``; ``lie``, "fail", "ok", "result", "error", "stream" or "items"; ``bomb``, the pickle.
    """

    def __init__(self, dialect: int, lie: str, bomb: bytes) -> None:
        self.dialect, self.lie, self.bomb = dialect, lie, bomb
        self.told = 0

    def pack(
        self, message: Any, kind: int, flags: int, payload: bytes, serializer: int, annotations: Any = None
    ) -> bytes:
        if self.dialect == 48:
            return pack_pyro4_message(kind, flags, message.seq, serializer, payload, annotations)
        return pack_message(kind, flags, message.seq, serializer, payload, annotations)

    def __call__(self, message_and_dialect: Any) -> bytes:
        message, dialect = message_and_dialect
        if dialect != self.dialect:  # the client begins in 502, and is told to speak the other one
            return pack_pyro4_message(
                MSG_CONNECTFAIL, 0, message.seq, MARSHAL_ID, get_serializer("marshal", 48).dumps("no")
            )
        codec = get_serializer("serpent", self.dialect)
        if message.kind == MSG_CONNECT:
            if self.lie in ("fail", "ok"):
                self.told += 1
                return self.pack(
                    message, MSG_CONNECTFAIL if self.lie == "fail" else MSG_CONNECTOK, 0, self.bomb, PICKLE_ID
                )
            metadata = {"methods": ["echo"], "attrs": [], "oneway": []}
            answer = codec.dumps({"handshake": "hello", "meta": metadata})
            flags = FLAGS_META_ON_CONNECT if self.dialect == 48 else 0
            fast = {FAST: b"\x01"} if self.lie == "native" else None
            return self.pack(message, MSG_CONNECTOK, flags, answer, SERPENT_ID, fast)
        if self.lie == "items" and b"get_next_stream_item" not in message.payload:
            annotations = {"STRM": b"stream"}
            flags = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
            return self.pack(message, MSG_RESULT, flags, codec.dumps(None), SERPENT_ID, annotations)
        self.told += 1
        flags = {"error": FLAGS_EXCEPTION, "stream": FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT}.get(self.lie, 0)
        return self.pack(message, MSG_RESULT, flags | (message.flags & FLAGS_BATCH), self.bomb, PICKLE_ID)


USES: dict[str, Callable[[Any], Any]] = {
    "call": lambda proxy: list(proxy.echo(1)),
    "batch": lambda proxy: list(_queued(proxy)()),
    "batch in the background": lambda proxy: list(_queued(proxy)(asynchronous=True).value),
    "asynchronous": lambda proxy: list(fastpyro.asyncproxy(proxy).echo(1).value),
    "attribute": lambda proxy: proxy._pyroInvoke("__getattr__", ("x",), None),
    "metadata": lambda proxy: [proxy._pyroBind(), proxy._pyroGetMetadata()],
    "blob": lambda proxy: proxy.echo(fastpyro.SerializedBlob("info", [1])),
}


def _queued(proxy: Any) -> Any:
    batch = fastpyro.batch(proxy)
    batch.echo(1)
    return batch


@pytest.mark.parametrize("serializer", [None, "serpent"])
@pytest.mark.parametrize("dialect", [48, 502])
@pytest.mark.parametrize("lie", ["fail", "ok", "result", "error", "stream", "items", "native"])
@pytest.mark.parametrize("use", USES)
def test_a_server_that_answers_with_pickles(
    use: str, lie: str, dialect: int, serializer: str | None, tmp_path: Path
) -> None:
    path, bomb = trap_in(tmp_path)
    liar = Liar(dialect, lie, bomb)
    handshake._dialects.clear()  # a port may be another test's of before
    with hostile_server(liar) as location:
        proxy = fastpyro.Proxy(f"PYRO:subject@{location}")
        proxy._pyroSerializer = serializer
        with proxy:
            failed = True
            try:
                USES[use](proxy)
                failed = False
            except (PyroError, TypeError, AttributeError):
                pass
        assert failed or (lie == "items" and use != "call")  # there it is a stream that nobody iterates over
    assert liar.told or lie == "items"
    assert not path.exists()


def test_the_payload_would_work(tmp_path: Path) -> None:
    path, bomb = trap_in(tmp_path)
    pickle.loads(bomb)
    assert path.exists()


def test_a_client_with_a_key_believes_no_unsigned_answer(tmp_path: Path) -> None:
    path, bomb = trap_in(tmp_path)
    for dialect in (48, 502):
        for lie in ("fail", "ok", "result"):
            with (
                hostile_server(Liar(dialect, lie, bomb), b"key") as location,
                fastpyro.Proxy(f"PYRO:subject@{location}") as proxy,
            ):
                proxy._pyroHmacKey = b"key"
                proxy._pyroSerializer = "pickle"
                with pytest.raises(PyroError):
                    proxy.echo(1)
    assert not path.exists()


# ---- proxies that come back -----------------------------------------------------------------------------------------------


class Caller:
    """Calls back whom its clients name."""

    @fastpyro.expose
    def call(self, other: Any) -> Any:
        return other.echo(1)


@pytest.mark.parametrize("serializer", ["native", "serpent", "json", "msgpack"])
def test_a_callback_of_a_client_is_never_called_with_pickles(serializer: str, tmp_path: Path) -> None:
    path, bomb = trap_in(tmp_path)
    seen: list[int] = []

    def answer(message_and_dialect: Any) -> bytes:
        message, dialect = message_and_dialect
        seen.append(message.serializer_id)
        pack = pack_pyro4_message if dialect == 48 else pack_message
        return pack(MSG_CONNECTOK, FLAGS_META_ON_CONNECT if dialect == 48 else 0, message.seq, PICKLE_ID, bomb)

    with hostile_server(answer) as location, served() as daemon:
        daemon.register(Caller(), "caller")
        with fastpyro.Proxy(daemon.uriFor("caller")) as caller:
            caller._pyroSerializer = serializer
            callback = fastpyro.Proxy(f"PYRO:x@{location}")
            callback._pyroSerializer = "pickle"
            with pytest.raises(PyroError, match="invalid serializer"):
                caller.call(callback)
    assert seen
    assert PICKLE_ID not in seen
    assert not path.exists()


@pytest.mark.parametrize("of_this_program", [False, True])
def test_what_builds_an_object_does_not_call_the_proxies_in_it(of_this_program: bool) -> None:
    with served() as daemon:
        own = fastpyro.Proxy(daemon.uriFor("subject"))
        outcome: list[Any] = []

        def convert(name: str, data: dict[str, Any]) -> Any:
            proxy = own if of_this_program else data["proxy"]
            try:
                outcome.append(proxy.echo(1))
            except SerializeError as error:
                outcome.append(str(error))
            return None

        fastpyro.register_dict_to_class("trusted_peers.Calling", convert)
        try:
            native.loads(native.dumps(StateOf("trusted_peers.Calling", {"proxy": own})))
        finally:
            unregister_dict_to_class("trusted_peers.Calling")
            own._pyroRelease()
        (got,) = outcome
        assert got == 1 if of_this_program else "is not dialled" in got


# ---- Unix sockets that somebody else names --------------------------------------------------------------------------------


@contextmanager
def name_server(**place: Any) -> Iterator[Any]:
    uri, daemon, _ = fastpyro.start_ns(enableBroadcast=False, **(place or {"host": "127.0.0.1", "port": 0}))
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        yield uri, daemon.nameserver
    finally:
        daemon.shutdown()
        thread.join(10)
        daemon.close()


def test_a_name_server_on_the_network_leads_to_no_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with served(unixsocket=path), name_server() as (uri, names):
        for location in (f"./u:{path}", "./u:\0abstract"):
            names.register("it", f"PYRO:subject@{location}", metadata={"tag"})
            for text in (f"PYRONAME:it@{uri.location}", f"PYROMETA:tag@{uri.location}"):
                with pytest.raises(NamingError, match="NS_UNIX_LOCATIONS"):
                    fastpyro.Proxy(text)._pyroBind()
        names.register("it", f"PYRO:subject@./u:{path}")
        config.NS_UNIX_LOCATIONS = True
        with fastpyro.Proxy(f"PYRONAME:it@{uri.location}") as proxy:
            assert proxy.echo(1) == 1
        config.NS_UNIX_LOCATIONS = False
        names.register("it", f"PYRONAME:other@./u:{path}")
        with pytest.raises(NamingError, match="NS_UNIX_LOCATIONS"):
            fastpyro.resolve(f"PYRONAME:it@{uri.location}")


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not say who a peer is")
def test_a_name_server_of_this_user_may_lead_to_a_unix_socket(tmp_path: Path) -> None:
    with (
        served(unixsocket=str(tmp_path / "socket")) as daemon,
        name_server(unixsocket=str(tmp_path / "ns")) as (uri, names),
    ):
        names.register("it", str(daemon.uriFor("subject")))
        with fastpyro.Proxy(f"PYRONAME:it@{uri.location}") as proxy:
            assert proxy.echo(1) == 1


def test_pickles_with_a_name_server_need_trust_too_and_the_error_says_it() -> None:
    with name_server() as (uri, _):
        config.SERIALIZER, config.PICKLES_ON_LOOPBACK = "pickle", False
        with pytest.raises(NamingError, match="set the same HMAC key") as caught:
            fastpyro.locate_ns(uri.host, uri.port)
        assert "no name server" not in str(caught.value)


def test_an_answer_to_a_broadcast_leads_to_no_unix_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))
        liar.settimeout(10)

        def answer() -> None:
            for _ in range(3):
                _, address = liar.recvfrom(100)
                liar.sendto(f"PYRO:Pyro.NameServer@./u:{tmp_path}/s".encode(), address)

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setattr(resolver, "BROADCAST_ROUND_SECONDS", 0.2)
        config.BROADCAST_ADDRS = ["127.0.0.1"]
        assert resolver._ask_the_network(liar.getsockname()[1]) is None
        thread.join(10)
        assert not thread.is_alive()


@AS_ROOT
def test_a_proxy_that_came_from_elsewhere_does_not_lead_past_tls(tmp_path: Path) -> None:
    name = f"\0fastpyro-{os.getpid()}-tls"
    codec = get_serializer("serpent")
    answer = codec.dumps({"handshake": "hello", "meta": {"methods": ["echo"], "attrs": [], "oneway": []}})
    data = pack_message(MSG_CONNECTOK, 0, 0, SERPENT_ID, answer)
    with somebody_else(OTHER_USERS_SERVER.format(name=name, answer=data)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        own = fastpyro.Proxy(f"PYRO:subject@./u:{name}")
        config.SSL = True
        for arrived in (native.loads(native.dumps(own)), fastpyro.Proxy(native.loads(native.dumps(own._pyroUri)))):
            assert copy.copy(arrived)._pyroUri.is_foreign
        with pytest.raises(SecurityError, match="SSL is on"):
            arrived._pyroBind()
        assert process.stdout.readline() == "0\n"


@AS_ROOT
def test_nor_does_a_name_server_that_a_proxy_from_elsewhere_names(tmp_path: Path) -> None:
    name = f"\0fastpyro-{os.getpid()}-names"
    with somebody_else(OTHER_USERS_SERVER.format(name=name, answer=b"")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        arrived = native.loads(native.dumps(fastpyro.Proxy(f"PYRONAME:subject@./u:{name}")))
        config.SSL = True
        with pytest.raises(NamingError, match="SSL is on"):
            arrived._pyroBind()
        assert process.stdout.readline() == "0\n"
