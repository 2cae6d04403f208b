"""Finding name servers and names: directly, by broadcast on loopback, and what is said when it fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.client import resolver
from fastpyro.client.locate import locate_ns, locateNS, lookup, resolve, yplookup
from fastpyro.config import config
from fastpyro.errors import CommunicationError, NamingError, ProtocolError, PyroError
from fastpyro.naming import NameServerDaemon, startNS
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.transport import sockets

X = "PYRO:x@localhost:1"


@pytest.fixture(autouse=True)
def configuration() -> Iterator[None]:
    before = config.as_dict()
    yield
    for name, value in before.items():
        setattr(config, name, value)


@pytest.fixture(scope="module")
def daemon() -> Iterator[NameServerDaemon]:
    with NameServerDaemon("127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.requestLoop)
        thread.start()
        yield running
        running.shutdown()
        thread.join(30)


@pytest.fixture
def port(daemon: NameServerDaemon) -> int:
    assert daemon.nameserver is not None
    daemon.nameserver.remove(regex=".*")
    daemon.nameserver.register("x", X, metadata=["tag", "other"])
    return int(daemon.sock.getsockname()[1])


@pytest.fixture
def configured(port: int) -> int:
    config.NS_HOST = "127.0.0.1"
    config.NS_PORT = port
    return port


# ---- finding the name server ------------------------------------------------------------------------------------------


def test_at_a_given_place(port: int) -> None:
    with locate_ns("127.0.0.1", port) as ns:
        assert ns._pyroConnection is not None
        assert not ns._pyroConnection.closed
        assert ns._pyroTimeout is None
        assert ns.count() == 2
    with locateNS("127.0.0.1", port) as ns:
        assert ns.count() == 2


def test_at_the_configured_place(configured: int) -> None:
    for find in (locate_ns, locateNS, fastpyro.locate_ns):
        with find() as ns:
            assert ns.count() == 2
    config.NS_PORT = 1
    with locate_ns(port=configured) as ns:
        assert ns.count() == 2


def test_timeout_of_the_configuration_is_kept(port: int) -> None:
    config.COMMTIMEOUT = 25.0
    with locate_ns("127.0.0.1", port) as ns:
        assert ns._pyroTimeout == 25.0


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_bare_ipv6_address_gets_brackets(host: str) -> None:
    with pytest.raises(NamingError, match=r"at \[::1\]:1: "):
        locate_ns(host, 1)


def test_machine_name_address_is_tried_second(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def connect(host: str, port: int, timeout: float, key: Any) -> Any:
        tried.append(host)
        raise NamingError(f"not at {host}")

    monkeypatch.setattr(resolver, "_connect", connect)
    monkeypatch.setattr("sys.platform", "linux")
    config.NS_HOST = "localhost"
    with pytest.raises(NamingError, match="not at localhost"):
        locate_ns()
    assert tried == ["localhost", "127.0.1.1"]


def test_hmac_key() -> None:
    _, daemon, _ = startNS("127.0.0.1", 0, hmac="secret")
    with daemon:
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            port = daemon.sock.getsockname()[1]
            with locateNS("127.0.0.1", port, hmac_key=b"secret") as name_server:
                assert name_server.count() == 1
            with pytest.raises(NamingError, match="hmac key config not symmetric"):
                locateNS("127.0.0.1", port)
            with pytest.raises(NamingError, match="hmac mismatch"):
                locateNS("127.0.0.1", port, hmac_key=b"another")
        finally:
            daemon.shutdown()
            thread.join()


def test_impossible_address() -> None:
    with pytest.raises(NamingError, match="is no address"):
        locate_ns("two words", 1)
    with pytest.raises(NamingError, match="is no address"):
        locate_ns("localhost", 123456)


# ---- what is said when there is none ------------------------------------------------------------------------------------


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run something on a port that takes one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(30)
                answer(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(30)


def test_one_that_refuses() -> None:
    with socket.socket() as bound:  # bound, but it does not listen: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(NamingError) as caught:
            locate_ns("127.0.0.1", port)
    text = str(caught.value)
    assert f"127.0.0.1:{port}: connection refused, so nothing listens there" in text
    assert "start one with: fastpyro ns" in text
    assert isinstance(caught.value.__cause__, CommunicationError)
    assert isinstance(caught.value.__cause__.__cause__, ConnectionRefusedError)


def test_one_whose_socket_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NamingError, match="there is no such socket file"):
        locate_ns(f"./u:{tmp_path / 'nobody'}")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError("timed out"), "it is away: the address cannot be reached within 0.5 s"),
        (OSError(113, "No route to host"), "it is away: the address cannot be reached"),
        (socket.gaierror(-2, "Name or service not known"), "it is away: there is no address for that host name"),
    ],
)
def test_one_that_is_away(monkeypatch: pytest.MonkeyPatch, error: OSError, text: str) -> None:
    def connect(*arguments: object) -> socket.socket:
        raise error

    monkeypatch.setattr(sockets, "connect", connect)
    config.COMMTIMEOUT = 0.5
    with pytest.raises(NamingError) as caught:
        locate_ns("far.example", 9090)
    assert f"at far.example:9090: {text}" in str(caught.value)
    assert str(error) in str(caught.value)
    assert "start one with: fastpyro ns" in str(caught.value)


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 2, b"SSH-2.0-OpenSSH_9\r\n" * 5, b"\0" * 99]
)
def test_one_that_speaks_something_else(greeting: bytes) -> None:
    def answer(sock: socket.socket) -> None:
        sock.recv(10000)
        sock.sendall(greeting)
        sock.recv(10000)

    with answering(answer) as port, pytest.raises(NamingError) as caught:
        locate_ns("127.0.0.1", port)
    assert f"127.0.0.1:{port}: something answers there, but it speaks something else" in str(caught.value)
    assert "port of another program" in str(caught.value)
    assert isinstance(caught.value.__cause__, ProtocolError)


def test_one_that_closes_without_an_answer() -> None:
    def hear(sock: socket.socket) -> None:
        sock.recv(10000)

    with answering(hear) as port, pytest.raises(NamingError) as caught:
        locate_ns("127.0.0.1", port)
    assert "closed the connection without an answer" in str(caught.value)


def test_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "PATIENCE", 0.2)

    def listen_only(sock: socket.socket) -> None:
        while sock.recv(10000):
            pass

    with answering(listen_only) as port, pytest.raises(NamingError) as caught:
        locate_ns("127.0.0.1", port)
    assert "did not answer within 0.2 s" in str(caught.value)


def test_a_daemon_without_name_server() -> None:
    with fastpyro.Daemon("127.0.0.1") as other:
        thread = threading.Thread(target=other.requestLoop)
        thread.start()
        with pytest.raises(NamingError, match=r"a daemon is there, but it is no name server .*unknown object"):
            locate_ns("127.0.0.1", other.sock.getsockname()[1])
        other.shutdown()
        thread.join(30)


# ---- broadcast ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "BROADCAST_ROUND_SECONDS", 0.05)


def test_broadcast_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(port: int) -> None:
        raise AssertionError("nobody asked for a broadcast")

    monkeypatch.setattr(resolver, "_ask_the_network", ask)
    config.NS_HOST = "127.0.0.1"
    config.NS_PORT = 1
    for broadcast in (None, False):
        with pytest.raises(NamingError, match="connection refused"):
            locate_ns(broadcast=broadcast)
    config.NS_BROADCAST = True
    with pytest.raises(NamingError, match="connection refused"):
        locate_ns(broadcast=False)
    with pytest.raises(NamingError, match="connection refused"):
        locate_ns("127.0.0.1", 1, broadcast=True)
    config.PREFER_IP_VERSION = 6
    with pytest.raises(NamingError, match="connection refused"):
        locate_ns(broadcast=True)


@pytest.mark.parametrize("is_configured", [True, False])
def test_found_by_broadcast(daemon: NameServerDaemon, port: int, is_configured: bool) -> None:
    config.NS_HOST = "127.0.0.1"
    config.NS_PORT = 1
    config.BROADCAST_ADDRS = ["127.0.0.1"]
    config.NS_BROADCAST = is_configured
    with BroadcastServer(daemon.uriFor("Pyro.NameServer"), "127.0.0.1", 0) as responder:
        responder.runInThread()
        config.NS_BCPORT = responder.getPort()
        with locate_ns(broadcast=None if is_configured else True) as ns:
            assert ns._pyroUri.port == port
            assert ns.count() == 2


def test_answers_that_are_no_name_server_are_ignored(daemon: NameServerDaemon, port: int) -> None:
    config.NS_HOST = "127.0.0.1"
    config.NS_PORT = 1
    config.BROADCAST_ADDRS = ["127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as responder:
        responder.bind(("127.0.0.1", 0))
        responder.settimeout(30)
        config.NS_BCPORT = responder.getsockname()[1]

        def answer() -> None:
            question, asker = responder.recvfrom(100)
            assert question == b"GET_NSURI"
            for text in (b"", b"\xff\xff", b"PYRO:other@127.0.0.1:5", b"PYRONAME:Pyro.NameServer"):
                responder.sendto(text, asker)
            responder.sendto(str(daemon.uriFor("Pyro.NameServer")).encode(), asker)

        thread = threading.Thread(target=answer)
        thread.start()
        with locate_ns(broadcast=True) as ns:
            assert ns._pyroUri.port == port
        thread.join(30)


@pytest.mark.usefixtures("quick_rounds")
def test_nobody_answers_the_broadcast() -> None:
    config.NS_HOST = "127.0.0.1"
    config.NS_PORT = 1
    config.BROADCAST_ADDRS = ["127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        with pytest.raises(NamingError, match=r"nobody answered the broadcast to .*connection refused"):
            locate_ns(port=silent.getsockname()[1], broadcast=True)
        assert [silent.recv(100) for _ in range(3)] == [b"GET_NSURI"] * 3


# ---- resolving ------------------------------------------------------------------------------------------------------------


def test_resolve(configured: int) -> None:
    assert resolve(X) == fastpyro.URI(X)
    assert resolve(fastpyro.URI(X)) == fastpyro.URI(X)
    assert resolve("PYRONAME:x") == fastpyro.URI(X)
    assert resolve(f"PYRONAME:x@127.0.0.1:{configured}") == fastpyro.URI(X)
    assert resolve(fastpyro.URI("PYROMETA:tag,other")) == fastpyro.URI(X)
    with pytest.raises(NamingError, match="unknown name: nobody"):
        resolve("PYRONAME:nobody")
    with pytest.raises(NamingError, match=r"^no registrations .*: no object has all of the metadata tags nothing, tag"):
        resolve("PYROMETA:tag,nothing")
    for wrong in (None, 5, ["PYRO:x@h:1"]):
        with pytest.raises(TypeError):
            resolve(wrong)  # type: ignore[arg-type]


def test_proxy_keeps_its_name_until_it_is_bound(configured: int, daemon: NameServerDaemon) -> None:
    assert daemon.nameserver is not None
    uri = daemon.uriFor("Pyro.Daemon")
    daemon.nameserver.register("the.daemon", uri)
    with fastpyro.Proxy("PYRONAME:the.daemon") as proxy:
        assert proxy.ping() is None
        assert str(proxy._pyroUri) == "PYRONAME:the.daemon"  # looked up again at the next connect
        proxy._pyroReconnect(tries=1)
        assert str(proxy._pyroUri) == "PYRONAME:the.daemon"
        proxy._pyroRelease()
        assert proxy._pyroBind()
        assert proxy._pyroUri == uri


def test_resolve_chooses_among_matches(configured: int) -> None:
    with locate_ns() as ns:
        ns.register("y", "PYRO:y@localhost:2", metadata=["tag"])
    assert {str(resolve("PYROMETA:tag")) for _ in range(100)} == {X, "PYRO:y@localhost:2"}


def test_resolve_over_a_unix_socket(tmp_path: Path) -> None:
    with NameServerDaemon(unixsocket=str(tmp_path / "socket")) as daemon:
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        assert resolve(f"PYRONAME:Pyro.NameServer@./u:{tmp_path / 'socket'}").sockname == str(tmp_path / "socket")
        daemon.shutdown()
        thread.join(30)


def test_names_that_stand_for_names(configured: int) -> None:
    with locate_ns() as ns:
        ns.register("alias", "PYRONAME:x")
        ns.register("alias.of.alias", "PYRONAME:alias")
        ns.register("circle", "PYRONAME:circle")
    assert resolve("PYRONAME:alias.of.alias") == fastpyro.URI(X)
    with pytest.raises(NamingError, match="given up after 10 steps"):
        resolve("PYRONAME:circle")


def test_waiting_for_a_name(configured: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUP_PAUSE", 0.01)
    looked = threading.Event()

    class Watched:
        def __init__(self, real: Any) -> None:
            self.real = real

        def lookup(self, *arguments: Any) -> Any:
            try:
                return self.real.lookup(*arguments)
            finally:
                looked.set()

        def yplookup(self, *arguments: Any) -> Any:
            found = self.real.yplookup(*arguments)
            looked.set()
            return found

    def appear() -> None:
        looked.wait(30)
        with locate_ns() as ns:
            ns.register("late", X, metadata=["late"])

    finds: list[Callable[[Any], Any]] = [
        lambda ns: lookup(ns, "late", delay_time=30),
        lambda ns: yplookup(ns, ["late"], return_metadata=False, delay_time=30)["late"],
    ]
    for find in finds:
        looked.clear()
        thread = threading.Thread(target=appear)
        with locate_ns() as ns:
            ns.remove("late")
            thread.start()
            assert str(find(Watched(ns))) == X
        thread.join(30)


def test_waiting_for_a_name_ends(configured: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUP_PAUSE", 0.01)
    config.NS_LOOKUP_DELAY = 0.05
    with pytest.raises(NamingError, match="unknown name: nobody"):
        resolve("PYRONAME:nobody")
    with locate_ns() as ns:
        assert yplookup(ns, ["nothing"]) == {}


def test_proxy_resolves_again_on_each_connect(configured: int) -> None:
    with locate_ns() as ns:
        ns.register("object", "PYRO:Pyro.Daemon@127.0.0.1:1")
        proxy = fastpyro.Proxy("PYRONAME:object")
        with pytest.raises(CommunicationError):
            proxy._pyroBind()
        ns.register("object", f"PYRO:Pyro.Daemon@127.0.0.1:{configured}")
        with proxy:
            assert proxy.ping() is None
            assert str(proxy._pyroUri) == "PYRONAME:object"


def test_name_server_of_another_process() -> None:
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0") as process:
        port = int(process.wait_for(r"^URI = PYRO:Pyro.NameServer@127.0.0.1:(\d+)")[1])
        with locate_ns("127.0.0.1", port) as ns:
            ns.register("x", X)
            assert resolve(f"PYRONAME:x@127.0.0.1:{port}") == fastpyro.URI(X)
            process.kill()
            with pytest.raises(CommunicationError):
                ns.ping()
        with pytest.raises(NamingError, match="connection refused"):
            resolve(f"PYRONAME:x@127.0.0.1:{port}")


NAMES = {"lab-1.example": ["192.168.1.9"], "here.example": ["::1"], "out.example": ["8.8.8.8"]}
NAMES |= {"both.example": ["192.168.1.9", "127.0.1.1"], "unknown.example": []}


@pytest.mark.parametrize(
    ("answer", "sender", "is_believed"),
    [
        ("PYRO:Pyro.NameServer@192.168.1.5:9090", "192.168.1.5", True),
        ("PYRO:Pyro.NameServer@192.168.1.5:9090", "10.0.0.1", True),
        ("PYRO:Pyro.NameServer@lab-1.example:9090", "192.168.1.5", True),
        ("PYRO:Pyro.NameServer@8.8.8.8:9090", "8.8.8.8", True),
        ("PYRO:Pyro.NameServer@127.0.0.1:9090", "127.0.0.2", True),
        ("PYRO:Pyro.NameServer@localhost:9090", "127.0.0.1", True),
        ("PYRO:Pyro.NameServer@8.8.8.8:9090", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@127.0.0.1:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@0.0.0.0:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@localhost:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@2130706433:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@0x7f.1:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@[::1]:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@169.254.169.254:80", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@224.0.0.1:80", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@./u:/tmp/evil", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@./u:\0evil", "192.168.1.5", False),
        ("PYRO:other@192.168.1.5:9090", "192.168.1.5", False),
        ("PYRONAME:Pyro.NameServer", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@h\xe9:9090", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@h\x1b[2J:9090", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@" + "h" * 100 + ":9090", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@[::ffff:127.0.0.1]:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@here.example:9090", "192.0.2.1", False),
        ("PYRO:Pyro.NameServer@here.example:9090", "127.0.0.1", True),
        ("PYRO:Pyro.NameServer@out.example:9090", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@both.example:9090", "192.168.1.5", False),
        ("PYRO:Pyro.NameServer@unknown.example:9090", "192.168.1.5", False),
        ("nonsense", "192.168.1.5", False),
        ("", "192.168.1.5", False),
    ],
)
def test_which_answers_to_a_broadcast_are_believed(
    answer: str, sender: str, is_believed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_system = socket.getaddrinfo

    def find(host: str, port: Any, **more: Any) -> Any:
        return [each for text in NAMES.get(host, [host]) for each in ask_system(text, port, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    if is_believed:
        assert str(resolver._believed(answer.encode("iso-8859-1"), sender)) == answer
    else:
        with pytest.raises(PyroError):
            resolver._believed(answer.encode("iso-8859-1"), sender)
