"""Both pollers: readable and broken descriptors, changes while a thread waits, descriptors that are closed or reused."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from socket_pairs import DEADLINE, Peer, unix_pair

from fastpyro.config import config
from fastpyro.transport._link import Link
from fastpyro.transport._poller import EpollPoller
from fastpyro.transport.poller import SelectorPoller, make_poller

KINDS: list[Any] = [SelectorPoller, *([EpollPoller] if hasattr(select, "epoll") else [])]


@pytest.fixture(params=KINDS)
def poller(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = unix_pair()
    yield near, far
    near.close()
    far.close()


Pair = tuple[socket.socket, socket.socket]


def test_nothing_is_ready_at_first(poller: Any, pair: Pair) -> None:
    assert poller.wait(0) == []
    poller.add(pair[0].fileno())
    before = time.monotonic()
    assert poller.wait(0.05) == []
    assert 0.04 < time.monotonic() - before < 5


def test_a_readable_descriptor_is_ready_until_it_is_read(poller: Any, pair: Pair) -> None:
    near, far = pair
    poller.add(near.fileno())
    far.send(b"x")
    assert poller.wait(DEADLINE) == [near.fileno()]
    assert poller.wait(DEADLINE) == [near.fileno()], "what is left lying is reported again"
    near.recv(1)
    assert poller.wait(0) == []


def test_a_descriptor_whose_peer_went_away_is_ready(poller: Any, pair: Pair) -> None:
    near, far = pair
    poller.add(near.fileno())
    far.close()
    assert poller.wait(DEADLINE) == [near.fileno()]


def test_a_descriptor_that_was_shut_down_is_ready(poller: Any, pair: Pair) -> None:
    near, _ = pair
    poller.add(near.fileno())
    near.shutdown(socket.SHUT_RDWR)
    assert poller.wait(DEADLINE) == [near.fileno()]


def test_a_removed_descriptor_is_not_watched(poller: Any, pair: Pair) -> None:
    near, far = pair
    poller.add(near.fileno())
    poller.remove(near.fileno())
    far.send(b"x")
    assert poller.wait(0) == []
    poller.add(near.fileno())
    assert poller.wait(DEADLINE) == [near.fileno()]


def test_removing_what_is_not_watched_or_closed_is_no_error(poller: Any, pair: Pair) -> None:
    near, _ = pair
    poller.remove(near.fileno())
    poller.add(near.fileno())
    number = near.fileno()
    near.close()
    for fd in (number, number, -1, 100_000):
        poller.remove(fd)
    assert poller.wait(0) == []


def test_adding_twice_is_an_error(poller: Any, pair: Pair) -> None:
    poller.add(pair[0].fileno())
    with pytest.raises((OSError, KeyError)):
        poller.add(pair[0].fileno())


def test_a_number_may_come_again_after_it_was_removed(poller: Any, pair: Pair) -> None:
    near, far = pair
    other, other_far = unix_pair()
    with other, other_far:
        poller.add(near.fileno())
        poller.remove(near.fileno())
        os.dup2(other.fileno(), near.fileno())
        poller.add(near.fileno())
        far.close()
        other_far.send(b"x")
        assert poller.wait(DEADLINE) == [near.fileno()]


def test_many_descriptors(poller: Any) -> None:
    pairs = [unix_pair() for _ in range(150)]
    try:
        for near, far in pairs:
            poller.add(near.fileno())
            far.send(b"x")
        seen: set[int] = set()
        for _ in range(10):
            ready = poller.wait(0)
            seen.update(ready)
            for fd in ready:
                poller.remove(fd)
        assert seen == {near.fileno() for near, _ in pairs}
    finally:
        for near, far in pairs:
            near.close()
            far.close()


def test_a_descriptor_that_becomes_ready_wakes_the_waiter(poller: Any, pair: Pair) -> None:
    near, far = pair
    poller.add(near.fileno())
    with Peer(lambda: poller.wait(DEADLINE)) as waiter:
        far.send(b"x")
    assert waiter.result == [near.fileno()]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="only Linux has epoll")
def test_epoll_sees_a_descriptor_that_is_added_while_it_waits(pair: Pair) -> None:
    near, far = pair
    other, other_far = unix_pair()
    poller = EpollPoller()
    try:
        poller.add(other.fileno())
        far.send(b"x")
        with Peer(lambda: poller.wait(DEADLINE)) as waiter:
            poller.add(near.fileno())
        assert waiter.result == [near.fileno()]
    finally:
        poller.close()
        other.close()
        other_far.close()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
@pytest.mark.parametrize(("speakers", "preferred"), [(3, True), (8, False)])
def test_nobody_is_preferred_where_many_take_turns(speakers: int, preferred: bool) -> None:
    """Even when each is alone with its bytes: one that is looked at first would keep all the others waiting."""
    poller = EpollPoller(50)
    pairs = [unix_pair() for _ in range(speakers)]
    links = [Link(near) for near, _ in pairs]
    try:
        for link in links:
            poller.add(link.fileno())
        for _ in range(10):
            for link, (_, far) in zip(links, pairs, strict=True):
                far.send(b"x")
                assert poller.wait(DEADLINE) == [link.fileno()]
                link.sock.recv(1)
        for _, far in pairs[:2]:
            far.send(b"x")
        both = [link.fileno() for link in links[:2]]
        assert sorted(poller.wait(DEADLINE, links[0])) == (both[:1] if preferred else sorted(both))
    finally:
        for link, (_, far) in zip(links, pairs, strict=True):
            link.close()
            far.close()
        poller.close()


@pytest.mark.parametrize("portable", [False, True])
def test_which_poller_is_made(monkeypatch: pytest.MonkeyPatch, portable: bool) -> None:
    monkeypatch.setattr(config, "PORTABLE", portable)
    poller = make_poller()
    poller.close()
    assert type(poller) is (KINDS[0] if portable else KINDS[-1])


def test_a_very_long_wait_is_none_that_has_passed(poller: Any, pair: Pair) -> None:
    poller.add(pair[0].fileno())
    with Peer(lambda: pair[1].send(b"x")):
        assert poller.wait(9.3e9) == [pair[0].fileno()]


PROGRAMS = {
    "daemon": "daemon = fastpyro.Daemon(); print(daemon.locationStr)",
    "loop": (
        "daemon = fastpyro.Daemon(); threading.Thread(target=daemon.requestLoop, daemon=True).start()\n"
        "proxy = fastpyro.Proxy('PYRO:Pyro.Daemon@' + daemon.locationStr); proxy.ping()"
    ),
    "half": "half = fastpyro.Proxy.__new__(fastpyro.Proxy); import sys; sys.half = half",
    "hooked": (
        "import sys; daemon = fastpyro.Daemon(); sys.excepthook = lambda *_: print('hook', file=sys.stderr)\n"
        "threading.Thread(target=daemon.requestLoop, daemon=True).start()\n"
        "proxy = fastpyro.Proxy('PYRO:Pyro.Daemon@' + daemon.locationStr); proxy._pyroBind(); sys.kept = proxy, daemon"
    ),
}


@pytest.mark.parametrize("portable", ["0", "1"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_closes_nothing_ends_in_silence(program: str, portable: str) -> None:
    code = f"import threading, fastpyro\n{PROGRAMS[program]}\n"
    environment = {**os.environ, "FASTPYRO_PORTABLE": portable}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_descriptor_leaks() -> None:
    before = len(os.listdir("/dev/fd"))
    for kind in KINDS * 50:
        kind().close()
    assert len(os.listdir("/dev/fd")) <= before


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(8)
        made.setblocking(False)
        yield made


def test_who_waits_at_a_listener_is_taken_in(poller: Any, listener: socket.socket) -> None:
    assert poller.accept(listener) == -1
    poller.add(listener.fileno())
    with socket.create_connection(listener.getsockname()) as near:
        assert poller.wait(DEADLINE) == [listener.fileno()]
        with socket.socket(fileno=poller.accept(listener)) as far:
            assert not os.get_inheritable(far.fileno())
            assert far.getpeername() == near.getsockname()
            near.sendall(b"hello")
            far.settimeout(DEADLINE)
            assert far.recv(5) == b"hello"
    assert poller.accept(listener) == -1


def test_accepting_without_descriptors_is_an_error(poller: Any, listener: socket.socket) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(listener.getsockname()):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                poller.accept(listener)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(poller.accept(listener))


def test_accepting_at_a_closed_listener_is_an_error(poller: Any, listener: socket.socket) -> None:
    listener.close()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        poller.accept(listener)
