"""From when on each changed setting counts: tried on what was made before, a new connection, a new proxy, a new daemon."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import pytest

import fastpyro
from fastpyro import config
from fastpyro.client import resolver
from fastpyro.client.locate import locate_ns
from fastpyro.config import (
    CALL,
    CONNECTION,
    CONNECTION_OR_DAEMON,
    DAEMON,
    ITEMS,
    LOOKUP,
    NAME_SERVER,
    PROXY,
    PROXY_OR_DAEMON,
)
from fastpyro.constants import FLAGS_COMPRESSED, FLAGS_ONEWAY
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.naming.cleaner import AutoCleaner
from fastpyro.naming.name_server import NameServer
from fastpyro.protocol.compression import most_inflated
from fastpyro.protocol.peer_batches import results_limit
from fastpyro.serializers import _blocks
from fastpyro.serializers.registry import get_serializer
from fastpyro.server.deadlines import drop_overdue
from fastpyro.server.worker_threads import Worker
from fastpyro.transport import handshake, sockets, tls, trusted_peers
from fastpyro.transport.keepalive import keep_alive
from fastpyro.values._memory_budget import most_memory

MADE = "what is made next"
SHOWN = {
    PROXY_OR_DAEMON: {PROXY, DAEMON},
    CONNECTION_OR_DAEMON: {CONNECTION, DAEMON},
    LOOKUP: {CALL},
    NAME_SERVER: {CALL},
}
"""Where a setting shows first that has more than one meaning, or is looked at for names."""

URI = "PYRO:x@127.0.0.1:1"
SERPENT = get_serializer("serpent")  # as a session keeps it
NAMES = NameServer()
NAMES.register("long" * 50, URI)
MANY = 100_000
SILENT = 5.0
SILENT_PORT = 3


@fastpyro.expose
class Subject:
    """What is called."""

    def echo(self, value: Any) -> Any:
        return value

    def flags(self, value: str) -> int:
        return fastpyro.current_context.msg_flags & FLAGS_COMPRESSED

    def fail(self) -> None:
        local_of_the_method = 1
        raise ValueError(local_of_the_method)

    def itself(self) -> Any:
        return self

    def numbers(self) -> Iterator[int]:
        yield from range(10)


class World:
    """A daemon that serves a subject, and a connected proxy for it."""

    def __init__(self) -> None:
        self.daemon = fastpyro.Daemon(host="127.0.0.1")
        self.uri = self.daemon.uriFor(self.daemon.register(Subject()).object, nat=False)
        self.server: Any = self.daemon.transportServer
        threading.Thread(target=self.daemon.requestLoop, daemon=True).start()
        self.proxy: Any = None
        self.renew_proxy()

    def renew_proxy(self) -> None:
        self.release()
        self.proxy = fastpyro.Proxy(self.uri)
        self.proxy._pyroBind()

    def reconnect(self) -> None:
        self.proxy._pyroRelease()
        self.proxy._pyroBind()

    def release(self) -> None:
        if self.proxy is not None:
            self.proxy._pyroRelease()

    def close(self) -> None:
        self.release()
        self.daemon.shutdown()
        self.daemon.close()


class Trial(NamedTuple):
    """What shows a setting: its former and its new value, and what is seen of either.

    ``first``, where the new one shows first; MADE, where looking makes a new one of what counts.
    """

    name: str
    former: Any
    new: Any
    look: Callable[[World], Any]
    first: str = CALL
    settings: Mapping[str, Any] = MappingProxyType({})


def outcome(function: Callable[[], Any]) -> Any:
    """Return what a function returns, or its error without what differs from time to time."""
    try:
        return function()
    except (fastpyro.errors.PyroError, AttributeError, StopIteration) as error:
        return type(error).__name__


def asked_for(world: World) -> Any:
    """Return where a name server was looked for."""
    try:
        locate_ns()
    except fastpyro.errors.NamingError as error:
        return str(error)


def stands_by(world: World) -> bool:
    """Whether a thread that has nothing to do is kept while ten others are there."""
    world.server.workers.count += 10
    kept = world.server._stand_by(Worker())
    world.server.workers.count -= 10 if kept else 9
    return bool(kept)


def lingering(world: World) -> int:
    stream = world.proxy.numbers()
    next(stream)
    (connection,) = world.server.connections.values()
    world.daemon.streams.connection_lost(connection)
    streams = len(world.daemon.streams.streams)
    world.daemon.streams.close_all()
    return streams


def expired(world: World) -> Any:
    stream = world.proxy.numbers()
    world.daemon.streams.expire()
    return outcome(lambda: next(stream))


def two_streams(world: World) -> Any:
    streams: list[Any] = []

    def open_two() -> str:
        streams.extend(world.proxy.numbers() for _ in range(2))
        return "both"

    found = outcome(open_two)
    world.daemon.streams.close_all()
    return found


def unix_location(world: World) -> Any:
    given = fastpyro.URI("PYRO:x@./u:/somewhere")
    return outcome(lambda: resolver.check_location(given, world.proxy))


def traceback_has_locals(world: World) -> bool:
    with pytest.raises(ValueError, match="1") as caught:
        world.proxy.fail()
    return "local_of_the_method = " in "".join(caught.value._pyroTraceback)  # type: ignore[attr-defined]


def compressed(world: World) -> Any:
    """Return whether request and reply were compressed."""
    text = "x" * 1000
    flags = world.proxy.flags(text)
    world.proxy._pyroRawWireResponse = True
    reply = world.proxy.echo(text).flags & FLAGS_COMPRESSED
    world.proxy._pyroRawWireResponse = False
    return bool(flags), bool(reply)


def handshake_overdue(world: World) -> int:
    near, far = socket.socketpair()
    with near, far:
        silent = SimpleNamespace(last_used=0.0, calls_running=0, sock=near)
        dropped: list[Any] = []
        drops = SimpleNamespace(may_say=lambda: False, unsaid=0)
        server: Any = SimpleNamespace(
            unadmitted={1: silent}, timeout=0.0, drop=dropped.append, drops=drops, connections={}
        )
        drop_overdue(server, SILENT, 1.0)
    return len(dropped)


def asked_after(world: World) -> Any:
    """Return after how many silent seconds the next connection asks. One within this machine has no limit."""
    with socket.socket() as sock:
        keep_alive(sock)
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)


def listener_asked_after(world: World) -> Any:
    with sockets.listen("", 0, None) as listener:
        return listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def preferred_family(world: World) -> Any:
    """Return which of two addresses comes first. This machine may have one kind only."""
    found = [(family, socket.SOCK_STREAM, 0, "", ("", 1)) for family in (socket.AF_INET, socket.AF_INET6)]
    with mock.patch.object(socket, "getaddrinfo", return_value=found):
        return sockets._addresses("localhost", 1)[0][0]


def own_host(world: World) -> str:
    with fastpyro.Daemon() as daemon:
        return daemon._host


def broadcast_host(world: World) -> str:
    with BroadcastServer(URI, bcport=0) as server:
        return str(server.sock.getsockname()[0])


def tls_settings() -> Any:
    """Return what contexts are made of, a client's and those of a daemon."""
    return tls.client_context(), tls._server_settings()


def oneway_holds(world: World) -> bool:
    """Whether a slow oneway call holds up what its client says next."""
    connection: Any = SimpleNamespace(serial_calls=False, oneway_apart=False, link=True)
    message: Any = SimpleNamespace(flags=FLAGS_ONEWAY)
    return bool(world.server.slow_calls._holds(connection, message, None))


def lacks_for_pickles(world: World) -> bool:
    return bool(trusted_peers.lacks_for_pickles(world.proxy._pyroConnection.sock, None))


def reuses_address(world: World) -> bool:
    return bool(world.daemon.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))


def accepted(world: World) -> Any:
    return world.daemon.accepted_serializers


def kept_bytes(world: World) -> int:
    _blocks.take(1 << 18)  # and give it back
    return _blocks.statistics()["bytes"]


SECURE = {"SSL": True, "SSL_SERVERCERT": "certificate", "SSL_CACERTS": "authorities"}
NATIVE = {"PORTABLE": False}
LOCAL = {"NS_HOST": "127.0.0.1", "NS_PORT": 1}
NETWORK = {**LOCAL, "NS_BROADCAST": True, "BROADCAST_ADDRS": ["127.0.0.1"]}

TRIALS = [
    Trial("HOST", "127.0.0.1", "localhost", own_host, MADE),
    Trial("NS_HOST", "127.0.0.1", "localhost", asked_for, settings=LOCAL),
    Trial("NS_PORT", 1, 2, asked_for, settings=LOCAL),
    Trial("NS_BCPORT", 1, 2, asked_for, settings=NETWORK),
    Trial("NS_BROADCAST", False, True, asked_for, settings=NETWORK),
    Trial("BROADCAST_ADDRS", ["127.0.0.1"], ["127.0.0.2"], asked_for, settings={**NETWORK, "NS_BCPORT": SILENT_PORT}),
    Trial("NS_BCHOST", "127.0.0.1", "0.0.0.0", broadcast_host, MADE),
    Trial("NS_AUTOCLEAN", 3.0, 4.0, lambda world: AutoCleaner(NAMES).autoclean, MADE),
    Trial("NS_MAX_BYTES", 0, 1, lambda world: outcome(lambda: NAMES.register(uuid.uuid4().hex, URI))),
    Trial("NS_MAX_LISTING", 0, 1, lambda world: outcome(lambda: len(NAMES.list()) > 1)),
    Trial("NS_LOOKUP_DELAY", 0.0, 100.0, lambda world: next(resolver._attempts(0.0))),
    Trial("NS_UNIX_LOCATIONS", False, True, unix_location),
    Trial("NATHOST", None, "there", lambda world: world.daemon.natLocationStr, DAEMON),
    Trial("NATPORT", 1, 2, lambda world: world.daemon.natLocationStr, DAEMON, {"NATHOST": "there"}),
    Trial("SERVERTYPE", "thread", "multiplex", lambda world: type(world.server), DAEMON),
    Trial("COMMTIMEOUT", 0.0, 100.0, lambda world: world.proxy._pyroTimeout, PROXY),
    Trial("COMMTIMEOUT", 0.0, 100.0, lambda world: world.server.timeout, DAEMON),
    Trial("POLLTIMEOUT", 0.5, 0.25, lambda world: world.server.longest_wait),
    Trial("ONEWAY_THREADED", True, False, oneway_holds),
    Trial("MAX_RETRIES", 0, 3, lambda world: world.proxy._pyroMaxRetries, PROXY),
    Trial(
        "SOCK_REUSE",
        True,
        False,
        reuses_address,
        DAEMON,
    ),
    Trial("DETAILED_TRACEBACK", False, True, traceback_has_locals),
    Trial("THREADPOOL_SIZE", 80, 7, lambda world: world.server.places.size, DAEMON),
    Trial("THREADPOOL_SIZE_MIN", 1, 1000, stands_by),
    Trial("REQUEST_QUEUE_SIZE", 1000, 7, lambda world: world.server.places.most_waiting, DAEMON),
    Trial("AUTOPROXY", True, False, lambda world: outcome(lambda: type(world.proxy.itself()).__name__)),
    Trial(
        "MAX_MESSAGE_SIZE", 0, MANY // 2, lambda world: outcome(lambda: len(world.proxy.echo(b"x" * MANY))), CONNECTION
    ),
    Trial("PREFER_IP_VERSION", 4, 6, preferred_family, MADE),
    Trial("SERIALIZER", "native", "json", lambda world: world.proxy.echo((1,))),
    Trial(
        "SERIALIZERS_ACCEPTED",
        ["native", "serpent"],
        ["serpent"],
        accepted,
        DAEMON,
    ),
    Trial("PROTOCOL", 502, 48, lambda world: world.proxy._pyroConnection.dialect, CONNECTION),
    Trial("SERPENT_BYTES_REPR", False, True, lambda world: SERPENT.dumps(b"bytes")),
    Trial("PICKLES_ON_LOOPBACK", True, False, lacks_for_pickles, MADE),
    Trial("PICKLE_PROTOCOL_VERSION", 5, 2, lambda world: get_serializer("pickle").dumps("text")[:2]),
    Trial("COMPRESSION", False, True, compressed),
    Trial("COMPRESSION", True, False, compressed),
    Trial("SEND_HANDSHAKE", False, True, lambda world: world.proxy.__getstate__()[4]),
    Trial("METADATA", True, False, lambda world: outcome(lambda: type(world.proxy.no_such_name).__name__)),
    Trial("REQUIRE_EXPOSE", True, False, lambda world: world.daemon.require_expose, DAEMON),
    Trial("ITER_STREAMING", True, False, lambda world: outcome(lambda: type(world.proxy.numbers()).__name__)),
    Trial("ITER_STREAM_LIFETIME", 0.0, 1e-9, expired),
    Trial("ITER_STREAM_LINGER", 30.0, 0.0, lingering),
    Trial("MAX_STREAMS", 1000, 1, two_streams),
    Trial("MAX_STREAMS_PER_CONNECTION", 1000, 1, two_streams),
    Trial("MAX_QUEUED", 1000, 1, lambda world: world.server.places.most_bytes, DAEMON),
    Trial("MAX_RECEIVED", 100_000, 1000, lambda world: world.server.unfinished.intake.most, DAEMON),
    Trial("SEND_TIMEOUT", 30.0, 3.0, lambda world: world.server.unsent.timeout, DAEMON),
    Trial("MAX_UNSENT", 100_000, 1000, lambda world: world.server.unsent.most, DAEMON),
    Trial("KEEPALIVE", 60, 6, asked_after, MADE),
    Trial("KEEPALIVE", 60, 6, listener_asked_after, MADE),
    Trial("HANDSHAKE_TIMEOUT", 2 * SILENT, SILENT / 2, handshake_overdue, MADE),
    Trial("SPIN", 50, 0, lambda world: handshake.native_answer()[handshake.FAST], MADE, NATIVE),
    Trial("PORTABLE", False, True, lambda world: type(world.proxy._pyroConnection).__name__, CONNECTION),
    Trial("PORTABLE", False, True, lambda world: type(world.server.poller).__name__, DAEMON),
    Trial("BLOCK_POOL_SIZE", 1 << 20, 0, kept_bytes, CONNECTION, NATIVE),
    Trial("DECODE_MEMORY", 1 << 20, 0, lambda world: most_memory(10)),
    Trial("DECODE_MEMORY_RATIO", 10000, 1, lambda world: most_memory(10)),
    Trial("INFLATED_SIZE", 1000, 1, lambda world: most_inflated(10)),
    Trial("INFLATED_RATIO", 50, 1, lambda world: most_inflated(10)),
    Trial("MAX_BATCH_RESULTS", 1000, 1, lambda world: results_limit()),
]

TLS_TRIALS = [
    ("SSL", False, True),
    *((f"SSL_{name}", "a", "b") for name in ("SERVERCERT", "SERVERKEY", "SERVERKEYPASSWD", "CACERTS")),
    *((f"SSL_{name}", "a", "b") for name in ("CLIENTCERT", "CLIENTKEY", "CLIENTKEYPASSWD")),
    ("SSL_REQUIRECLIENTCERT", False, True),
]


def asked(port: int) -> fastpyro.URI | None:
    """Stand for the network: a name server that is not there, and for one port nobody."""
    return None if port == SILENT_PORT else fastpyro.URI(f"PYRO:x@127.0.0.1:{port}")


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets items for a test."""

    def change(**items: Any) -> None:
        for name, value in items.items():
            monkeypatch.setattr(config, name, value)

    return change


def stages(world: World, worlds: list[World]) -> Iterator[tuple[str, World]]:
    """Yield what was made before, then with a new connection, with a new proxy, and another daemon."""
    yield CALL, world
    world.reconnect()
    yield CONNECTION, world
    world.renew_proxy()
    yield PROXY, world
    worlds.append(World())
    yield DAEMON, worlds[-1]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.name} {trial.first}")
def test_a_changed_setting_counts_from(
    trial: Trial, changed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_ask_the_network", asked)
    monkeypatch.setattr("fastpyro.server.threaded.STANDBY_SECONDS", 0.01)
    changed(**{**trial.settings, trial.name: trial.former})
    worlds = [World()]
    try:
        worlds[0].proxy._pyroHandshake = "password"
        before = trial.look(worlds[0])
        changed(**{trial.name: trial.new})
        for stage, world in stages(worlds[0], worlds):
            if trial.look(world) != before:
                assert stage == (CALL if trial.first == MADE else trial.first)
                return
        pytest.fail("it never counts")
    finally:
        for world in worlds:
            world.close()


@pytest.mark.parametrize(("name", "former", "new"), TLS_TRIALS)
def test_tls_is_as_the_settings_say_when_it_is_needed_next(
    name: str, former: Any, new: Any, changed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "make_context", lambda *given: given)
    changed(**{**SECURE, name: former})
    before = tls_settings()
    changed(**{name: new})
    assert tls_settings() != before


def test_every_setting_is_tried_and_says_so() -> None:
    first: dict[str, set[str]] = {}
    for trial in TRIALS:
        first.setdefault(trial.name, set()).add(trial.first)
    for name, _, _ in TLS_TRIALS:
        first[name] = {MADE}
    assert set(first) == {item.name for item in ITEMS}
    for item in ITEMS:
        if MADE not in first[item.name]:
            assert first[item.name] == SHOWN.get(item.counts_from, {item.counts_from}), item.name
