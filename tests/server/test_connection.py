"""What a daemon knows of a client: address, session objects, tracked resources, and how all of it ends."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import REQUEST
from socket_pairs import receive_until_end, unix_pair

import fastpyro
from fastpyro.errors import ConnectionClosedError
from fastpyro.protocol._message import Outgoing
from fastpyro.server.connection import Connection
from fastpyro.transport.channel import PlainChannel


class Resource:
    """Something that a client holds."""

    def __init__(self, log: list[str], name: str, error: Exception | None = None) -> None:
        self.log, self.name, self.error = log, name, error

    def close(self) -> None:
        self.log.append(self.name)
        if self.error is not None:
            raise self.error


@pytest.fixture
def connected() -> Iterator[tuple[Connection, Any]]:
    near, far = unix_pair()
    connection = Connection(PlainChannel(near), ("127.0.0.1", 4711))
    yield connection, far
    connection.close()
    far.close()


Connected = tuple[Connection, Any]


def test_a_program_may_add_attributes(connected: Connected) -> None:
    connection, _ = connected
    connection.user = "physicist"  # type: ignore[attr-defined]
    assert connection.user == "physicist"  # type: ignore[attr-defined]


def test_a_new_connection(connected: Connected) -> None:
    connection, _ = connected
    assert connection.peer_address == ("127.0.0.1", 4711)
    assert not connection.handshaken
    assert not connection.calls_running
    assert connection.instances == {}
    assert connection.pyroInstances is connection.instances
    assert connection.sock is connection.channel.sock
    assert connection.fileno() == connection.sock.fileno() >= 0
    assert connection.last_used > 0


def test_closing_ends_the_conversation(connected: Connected) -> None:
    connection, far = connected
    connection.close()
    connection.close()
    assert connection.fileno() == -1
    assert receive_until_end(far) == b""
    with pytest.raises(ConnectionClosedError):
        connection.channel.send(Outgoing(*REQUEST))


def test_releasing_forgets_instances_and_closes_resources(connected: Connected) -> None:
    connection, far = connected
    log: list[str] = []
    resources = [Resource(log, "first"), Resource(log, "second", OSError("stuck")), Resource(log, "third")]
    for resource in resources:
        connection.tracked_resources.add(resource)
    connection.instances[Resource] = resources[0]
    connection.release()
    assert sorted(log) == ["first", "second", "third"], "one that cannot be closed does not keep the others open"
    assert connection.instances == {}
    assert len(connection.tracked_resources) == 0
    assert receive_until_end(far) == b""
    connection.release()
    assert len(log) == 3, "each is closed once"


def test_releasing_without_resources(connected: Connected) -> None:
    connected[0].release()
    assert connected[0].channel.closed


def test_resources_that_nobody_else_holds_are_not_kept(connected: Connected) -> None:
    connection, _ = connected
    log: list[str] = []
    connection.tracked_resources.add(Resource(log, "forgotten"))
    gc.collect()
    assert len(connection.tracked_resources) == 0
    connection.release()
    assert log == []


def test_a_resource_that_only_a_session_object_holds_is_closed_after_it(connected: Connected) -> None:
    connection, _ = connected
    log: list[str] = []

    class Holder:
        def __init__(self) -> None:
            self.resource = Resource(log, "held")
            connection.tracked_resources.add(self.resource)

        def __del__(self) -> None:
            log.append("session object")

    connection.instances[Holder] = Holder()
    connection.release()
    assert log == ["session object", "held"]


def test_a_resource_may_be_untracked(connected: Connected) -> None:
    connection, _ = connected
    log: list[str] = []
    resource = Resource(log, "kept open")
    connection.tracked_resources.add(resource)
    connection.tracked_resources.discard(resource)
    connection.release()
    assert log == []


def test_a_resource_may_release_the_connection_itself(connected: Connected) -> None:
    connection, _ = connected

    class Recursive:
        closed = 0

        def close(self) -> None:
            self.closed += 1
            if self.closed < 5:
                connection.release()

    resource = Recursive()
    connection.tracked_resources.add(resource)
    connection.release()
    assert connection.channel.closed


def test_connections_can_be_referred_to_weakly(connected: Connected) -> None:
    connection, _ = connected
    assert weakref.ref(connection)() is connection
    assert connection in weakref.WeakSet([connection])


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 4711), "<Connection from ('127.0.0.1', 4711)>"),
        ("", "<Connection from a local client>"),
    ],
)
def test_its_text_names_the_client(connected: Connected, address: Any, text: str) -> None:
    connection, _ = connected
    connection.peer_address = address
    assert repr(connection) == text


class Greeter(fastpyro.Daemon):
    """Notes on the connection who has introduced himself."""

    left: list[str]

    def validateHandshake(self, conn: Connection, data: Any) -> Any:
        conn.user = data  # type: ignore[attr-defined]
        return "hello"

    def clientDisconnect(self, conn: Connection) -> None:
        self.left.append(conn.user)  # type: ignore[attr-defined]


class Subject:
    """What is called."""

    @fastpyro.expose
    def user(self) -> str:
        client: Any = fastpyro.current_context.client
        return str(client.user)


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
@pytest.mark.parametrize("portable", [False, True])
def test_what_the_handshake_notes_is_there_in_methods(
    server_type: str, portable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", server_type)
    monkeypatch.setattr(fastpyro.config, "PORTABLE", portable)
    with Greeter(host="127.0.0.1") as daemon:
        daemon.left = []
        uri = daemon.register(Subject())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        for name in ("anna", "otto"):
            with fastpyro.Proxy(uri) as proxy:
                proxy._pyroHandshake = name
                assert proxy.user() == name
                assert proxy.user() == name
        daemon.shutdown()
        thread.join(30)
    assert daemon.left == ["anna", "otto"]
