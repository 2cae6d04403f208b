"""Whose the other end of a connection on this machine is, and what an attacker of another user might pass off as ours.

Only root can be somebody else as well: those tests start a process that becomes user 65534.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import tcp_pair
from strangers import AS_ROOT, served, settings, somebody_else, trap_in

import fastpyro
from fastpyro.config import config
from fastpyro.constants import FLAGS_META_ON_CONNECT, MSG_CONNECT, MSG_CONNECTOK, PICKLE_ID
from fastpyro.errors import SecurityError, TimeoutError
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.transport import handshake, loopback_owner
from fastpyro.transport.loopback_owner import ESTABLISHED, Entry, await_peer, ends_of, peer_entry

assert settings  # a fixture that every test here uses

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whose a TCP connection is")

HOSTS = [pytest.param("127.0.0.1", id="IPv4"), pytest.param("::1", id="IPv6"), pytest.param("", id="mapped")]
ACCEPTED = ["native", "serpent", "pickle"]


@pytest.fixture(params=[0, 1], ids=["netlink", "proc"])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_owner, "TABLES", loopback_owner.TABLES[request.param : request.param + 1])
    monkeypatch.setattr(loopback_owner, "MOST_LINES", 1 << 20)  # others may have many connections


@pytest.fixture(params=HOSTS)
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A listener at a kind of loopback address: IPv4, IPv6, or IPv4 in IPv6 form."""
    if request.param != "127.0.0.1" and not Path("/proc/net/tcp6").exists():
        pytest.skip("this machine has no IPv6")
    family = socket.AF_INET if request.param == "127.0.0.1" else socket.AF_INET6
    with socket.socket(family) as sock:
        if not request.param:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((request.param, 0))
        sock.listen(1)
        yield sock


def dial(listener: socket.socket) -> socket.socket:
    host, port = listener.getsockname()[:2]
    return socket.create_connection(("127.0.0.1" if host == "::" else host, port), timeout=10)


@pytest.mark.usefixtures("table")
def test_both_ends_are_found(listener: socket.socket) -> None:
    with dial(listener) as near:
        waiting = peer_entry(near)
        assert waiting is not None
        assert waiting.inode == 0  # nobody has accepted it: whatever user is said, it is nobody's
        far, _ = listener.accept()
        with far:
            for one, other in ((near, far), (far, near)):
                expected = Entry(ESTABLISHED, os.geteuid(), os.fstat(other.fileno()).st_ino)
                assert peer_entry(one) == expected


@pytest.mark.usefixtures("table")
def test_an_end_that_was_closed_or_shut_is_nobodys() -> None:
    for end in (socket.socket.close, lambda sock: sock.shutdown(socket.SHUT_WR)):
        near, far = tcp_pair()
        with near, far:
            end(far)
            assert peer_entry(near) is None
            assert peer_entry(far) is None


@pytest.mark.usefixtures("table")
def test_a_listener_is_not_its_connections(listener: socket.socket) -> None:
    """The kernel answers a question for a connection that is not there with the listener that would take it."""
    with dial(listener) as near:
        ends = ends_of(near)
        assert ends is not None
        (address, port), there = ends
        nobody = (address, port - 1 if port > 1024 else port + 1)
        assert all(entry_of(there, nobody) is None for entry_of in loopback_owner.TABLES)


def test_ends_elsewhere_are_not_looked_up() -> None:
    near, far = socket.socketpair()
    with near, far, socket.socket() as alone:
        assert ends_of(near) is None
        assert ends_of(alone) is None
        assert peer_entry(alone) is None


class Named:
    """A socket that says where its ends are. Arguments: ``near`` and ``far``, addresses."""

    def __init__(self, near: str, far: str) -> None:
        self.near, self.far = near, far
        self.family = socket.AF_INET6 if ":" in near else socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        return self.near, 1

    def getpeername(self) -> tuple[str, int]:
        return self.far, 2


@pytest.mark.parametrize(
    ("near", "far", "counts"),
    [
        ("127.0.0.1", "127.255.1.2", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("::1", "::1", True),
        ("127.0.0.1", "10.0.0.1", False),  # what a router may let through to 127.0.0.1
        ("10.0.0.1", "10.0.0.1", False),
        ("::127.0.0.1", "::1", False),
        ("fe80::1%lo", "::1", False),
    ],
)
def test_loopback_addresses(near: str, far: str, counts: bool) -> None:
    sock: Any = Named(near, far)
    assert (ends_of(sock) is not None) is counts


@pytest.mark.parametrize(
    "looks",
    [
        [None],
        [Entry(1, 0, 9)],  # another socket with our addresses: another network's table
        [Entry(4, 0, 7)],  # we are being closed
        [Entry(1, 0, 7), Entry(1, 5, 8), Entry(1, 5, 9), Entry(1, 0, 7)],  # the peer changed
        [Entry(1, 0, 7), Entry(6, 0, 0), Entry(6, 0, 0), Entry(1, 0, 7)],  # what a closed one leaves behind
        [Entry(1, 0, 7), Entry(1, 5, 8), Entry(4, 5, 8), Entry(1, 0, 7)],  # it is being closed
        [Entry(1, 0, 7), Entry(1, 5, 8), Entry(1, 5, 8), Entry(8, 0, 7)],  # we were closed, and the port may be reused
        [Entry(1, 0, 7), Entry(1, 5, 8), Entry(1, 5, 8), None],
    ],
)
def test_what_is_not_sure_is_not_said(monkeypatch: pytest.MonkeyPatch, looks: list[Entry | None]) -> None:
    said = iter(looks)
    monkeypatch.setattr(loopback_owner, "TABLES", (lambda near, far: next(said),))
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((0, 7, *[0] * 8)))
    near, far = tcp_pair()
    with near, far:
        assert peer_entry(near) is None


def test_the_user_is_the_one_of_the_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a connection is accepted, the kernel may say whose the listener is, with the inode of who accepts."""
    said = iter([Entry(1, 0, 7), Entry(1, 0, 8), Entry(1, 5, 8), Entry(1, 0, 7)])
    monkeypatch.setattr(loopback_owner, "TABLES", (lambda near, far: next(said),))
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((0, 7, *[0] * 8)))
    near, far = tcp_pair()
    with near, far:
        assert peer_entry(near) == Entry(1, 5, 8)


def test_waiting_for_who_accepts(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_owner, "MISSING_SECONDS", 0.0)
    with dial(listener) as near:
        with pytest.raises(TimeoutError, match="nobody accepted"):
            await_peer(near, 0.01)
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
        thread.start()
        await_peer(near, 30.0)
        thread.join(30)
        with accepted[0]:
            assert peer_entry(near) is not None
            monkeypatch.setattr(loopback_owner, "peer_entry", lambda sock: Entry(0, 0, 0))
            await_peer(near, 30.0)  # a connection whose other end is in no table is not waited for


# ---- with pickles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
@pytest.mark.parametrize("portable", [False, True])
def test_pickles_of_the_same_user(server_type: str, portable: bool) -> None:
    config.SERVERTYPE, config.PORTABLE, config.SERIALIZERS_ACCEPTED = server_type, portable, ACCEPTED
    with served() as daemon, fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        proxy._pyroSerializer = "pickle"
        assert proxy.echo((1, {2})) == (1, {2})


def test_a_daemon_may_forbid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "require_trust", lambda *settings: None)  # a client that does not forbid it
    config.SERIALIZERS_ACCEPTED, config.PICKLES_ON_LOOPBACK = ACCEPTED, False
    with served() as daemon, fastpyro.Proxy(daemon.uriFor("subject")) as proxy:
        proxy._pyroSerializer = "pickle"
        with pytest.raises(fastpyro.errors.CommunicationError, match=r"PICKLES_ON_LOOPBACK is off here.*_pyroHmacKey"):
            proxy.echo(1)


OTHERS_CLIENT = """
import encodings.idna, os, socket
os.setgroups([])
os.setuid(65534)
with socket.create_connection({address!r}, timeout=10) as sock:
    sock.sendall({data!r})
    print(repr(sock.recv(65536)), flush=True)
"""


@AS_ROOT
@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_another_users_pickle_is_not_read(tmp_path: Path, server_type: str) -> None:
    path, bomb = trap_in(tmp_path)
    config.SERVERTYPE, config.SERIALIZERS_ACCEPTED = server_type, ACCEPTED
    data = pack_pyro4_message(MSG_CONNECT, FLAGS_META_ON_CONNECT, 0, PICKLE_ID, bomb)
    with served() as daemon:
        script = OTHERS_CLIENT.format(address=daemon.sock.getsockname(), data=data)
        with somebody_else(script) as process:
            assert process.stdout is not None
            assert "is user 65534's, and this process is user 0's" in process.stdout.readline()
    assert not path.exists()


OTHERS_SERVER = """
import encodings.idna, os, socket
os.setgroups([])
if {drops_late!r}:
    listener = socket.create_server(("127.0.0.1", 0))
    os.setuid(65534)
else:
    os.setuid(65534)
    listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client, _ = listener.accept()
print(len(client.recv(65536)), flush=True)
client.sendall({answer!r})
"""


@AS_ROOT
@pytest.mark.parametrize("drops_late", [False, True])
def test_nothing_is_sent_to_what_another_user_accepts(tmp_path: Path, drops_late: bool) -> None:
    """Also where root has opened the listener: what counts is who accepts."""
    path, bomb = trap_in(tmp_path)
    answer = pack_pyro4_message(MSG_CONNECTOK, 0, 0, PICKLE_ID, bomb)
    with somebody_else(OTHERS_SERVER.format(answer=answer, drops_late=drops_late)) as process:
        assert process.stdout is not None
        proxy = fastpyro.Proxy(f"PYRO:subject@127.0.0.1:{int(process.stdout.readline())}")
        proxy._pyroSerializer, proxy._pyroTimeout = "pickle", 30.0
        with pytest.raises(SecurityError, match=r"is user 65534's, and this process is user 0's.*_pyroHmacKey"):
            proxy._pyroBind()
        assert process.stdout.readline() == "0\n"
    assert not path.exists()


OTHER_NETWORK = """
import ctypes, fcntl, os, socket, struct, sys
from fastpyro.transport.loopback_owner import peer_entry
libc = ctypes.CDLL(None, use_errno=True)

def pair(port):
    with socket.socket() as listener, socket.socket() as near:
        for sock in (listener, near):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        near.bind(("127.0.0.1", port and port + 1))
        near.connect(listener.getsockname())
        return socket.socket(fileno=near.detach()), listener.accept()[0]

home = os.open("/proc/self/ns/net", os.O_RDONLY)
if libc.unshare(0x40000000):
    sys.exit("no")
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 1))
there = pair(0)
assert peer_entry(there[0]) and peer_entry(there[1])
address, peer = there[0].getsockname(), there[0].getpeername()
assert libc.setns(home, 0) == 0
assert peer_entry(there[0]) is None and peer_entry(there[1]) is None
with socket.socket() as listener, socket.socket() as near:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(peer)
        near.bind(address)
        listener.listen()
        near.connect(peer)
    except OSError:
        sys.exit("taken")
    far, _ = listener.accept()
    assert peer_entry(near) and peer_entry(far)
    assert peer_entry(there[0]) is None and peer_entry(there[1]) is None
print("done")
"""


@AS_ROOT
def test_a_socket_of_another_network_is_nobodys_whatever_has_its_addresses_here() -> None:
    with somebody_else(OTHER_NETWORK) as process:
        said, _ = process.communicate(timeout=60)
    if process.returncode and said != "done\n":
        pytest.skip("this machine makes no network namespaces, or the ports are taken")
    assert said == "done\n"
