"""How a proxy comes to a session: over a connected socket, and what a forked process makes of it."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro.client.connecting import attach, connected_callers, open_session
from fastpyro.client.session import Session
from fastpyro.constants import DAEMON_NAME, FLAGS_EXCEPTION, MSG_INVOKE, MSG_PING, MSG_RESULT
from fastpyro.errors import ProtocolError
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.protocol.features import ANNOUNCED, FEATURES
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.transport._link import Link
from fastpyro.transport.handshake import FAST, NATIVE_VERSION, Settings

SERPENT = get_serializer("serpent")
META = {"methods": ["add"], "oneway": [], "attrs": []}


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@fastpyro.expose
class Listener:
    def heard(self) -> dict[str, int]:
        return {name: len(value) for name, value in fastpyro.current_context.annotations.items()}


@pytest.mark.parametrize("size", [10, 65_400, 65_536, 1_000_000])
@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_annotations_of_the_call_that_connects_may_be_big(size: int, serializer: str) -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        thread = threading.Thread(target=daemon.requestLoop)
        uri = daemon.register(Listener())
        thread.start()
        try:
            fastpyro.current_context.annotations = {"MINE": b"x" * size}
            with fastpyro.Proxy(uri) as proxy:
                proxy._pyroSerializer = serializer
                assert proxy.heard() == {"MINE": size}
        finally:
            fastpyro.current_context.annotations = {}
            daemon.shutdown()
            thread.join()


def test_a_session_says_with_whom_and_how(server: SubjectServer) -> None:
    proxy: Any = fastpyro.Proxy(server.uri())
    session, answer, annotations = open_session(proxy, None)
    try:
        assert isinstance(session, Session)
        assert (session.serializer, session.native, session.object_id) == (native, True, "calculator")
        assert session.uri == proxy._pyroUri
        assert "add" in answer["meta"]["methods"]
        assert annotations == {}
        assert proxy._pyro_session is None, "the proxy has not taken it yet"
    finally:
        session.channel.close()


def test_a_proxy_has_one_session_at_a_time(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        assert not proxy._pyro_session
        proxy._pyroBind()
        first: Any = proxy._pyro_session
        connection: Any = proxy._pyroConnection
        assert connection is first.channel
        proxy._pyroReconnect(tries=1)
        assert proxy._pyro_session is not first
        assert connection.closed
        with pytest.raises(TypeError, match="a proxy makes its connection itself"):
            proxy._pyroConnection = connection
        second = proxy._pyro_session
        proxy._pyroConnection = None
        assert proxy._pyro_session is None
        second.channel.close()


def test_who_is_gone_is_not_kept(server: SubjectServer) -> None:
    proxy = fastpyro.Proxy(server.uri())
    proxy._pyroBind()
    number = id(proxy)
    assert connected_callers[number] is proxy
    del proxy
    gc.collect()
    assert number not in connected_callers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_connects_anew(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy.add(1, 2) == 3
        session = proxy._pyro_session
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"failed"
            try:
                if proxy._pyro_session is None and proxy.add(2, 3) == 5:
                    answer = b"anew"
            finally:
                os.write(writer, answer)
                os._exit(0)
        os.close(writer)
        try:
            assert os.read(reader, 100) == b"anew"
        finally:
            os.close(reader)
            os.waitpid(child, 0)
        assert proxy._pyro_session is session
        assert proxy.add(1, 2) == 3, "the child has not closed what is ours"


def attached(answer: Any, name: str = "native", **changes: Any) -> tuple[Any, Message]:
    """Attach to a peer that answers so. Returns what came of it, and the request that the peer got."""
    near, far = socket.socketpair()
    fields = {"kind": MSG_RESULT, "flags": 0, "seq": 7, "serializer_id": SERPENT.serializer_id, **changes}
    annotations = fields.pop("annotations", {})
    received: list[Message] = []

    def reply() -> None:
        peer = Link(far)
        try:
            received.append(peer.receive(DEADLINE))
            peer.send(Outgoing(**fields, payload=SERPENT.dumps(answer), annotations=annotations), DEADLINE)
        finally:
            peer.close()

    uri = fastpyro.URI("PYRO:subject@ignored:1")
    with near:
        with Peer(reply):
            try:
                outcome: Any = attach(
                    near, uri, Settings(name, "hello", None, DEADLINE), seq=7, annotations=None, correlation_id=None
                )
                outcome.channel.abandon()
            except Exception as error:
                outcome = error
        assert near.fileno() != -1, "the socket is its owner's"
    return outcome, received[0]


@pytest.mark.parametrize("speaks_native", [True, False])
def test_the_first_call_over_a_socket_asks_for_the_metadata(speaks_native: bool) -> None:
    beside = {FAST: NATIVE_VERSION} if speaks_native else {}
    connected, request = attached(META, annotations=beside)
    assert (request.kind, request.flags, request.seq) == (MSG_INVOKE, 0, 7)
    assert request.annotations == {FAST: NATIVE_VERSION, FEATURES: ANNOUNCED}
    assert SERPENT.loads_call(request.payload) == (DAEMON_NAME, "get_metadata", ("subject",), {})
    assert connected.serializer.name == ("native" if speaks_native else "serpent")
    assert connected.answer["meta"] == META


def test_a_proxy_of_another_format_does_not_offer_the_native_one() -> None:
    connected, request = attached(META, "serpent", annotations={FAST: NATIVE_VERSION})
    assert request.annotations == {}
    assert connected.serializer.name == "serpent"


def test_answers_that_are_none() -> None:
    refused, _ = attached(ValueError("no"), flags=FLAGS_EXCEPTION)
    assert isinstance(refused, ValueError)
    for outcome, _ in (attached("no dict"), attached(META, kind=MSG_PING), attached(META, serializer_id=7)):
        assert isinstance(outcome, ProtocolError)
