"""A pulled cable is noticed in time, and a busy method is not taken for dead."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pulled_cable import KEEPALIVE
from server_process import TESTS

from fastpyro import config
from fastpyro.transport import sockets
from fastpyro.transport.keepalive import keep_alive

NAMESPACE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def options_of(sock: socket.socket) -> tuple[int, ...]:
    names = "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"
    return tuple(sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names)


@pytest.mark.parametrize(
    ("seconds", "idle", "interval", "count"),
    [(60, 30, 10, 3), (7, 4, 1, 3), (3, 1, 1, 2), (2, 1, 1, 1), (1, 1, 1, 1), (32767, 16384, 5461, 3)],
)
def test_times_add_up(
    monkeypatch: pytest.MonkeyPatch, sock: socket.socket, seconds: int, idle: int, interval: int, count: int
) -> None:
    monkeypatch.setattr(config, "KEEPALIVE", seconds)
    keep_alive(sock)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert options_of(sock) == (idle, interval, count, seconds * 1000)
    assert idle + interval * count <= max(seconds, 2)


def test_zero_leaves_the_times_to_the_system(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> None:
    before = options_of(sock)
    monkeypatch.setattr(config, "KEEPALIVE", 0)
    keep_alive(sock)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert options_of(sock) == before


@pytest.mark.skipif(sys.platform != "linux", reason="what a listener passes on differs from system to system")
def test_accepted_sockets_have_the_times_of_their_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "KEEPALIVE", 12)
    with (
        sockets.listen("", 0, None) as listener,
        sockets.connect("127.0.0.1", listener.getsockname()[1], None, 5),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert options_of(accepted) == (6, 2, 3, 12000)


def lacks_for_namespaces() -> str:
    """Return why no network namespaces can be made here; empty where they can."""
    if lacking := [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]:
        return f"the program {lacking[0]} is missing"
    trial = subprocess.run(
        [*NAMESPACE, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"], capture_output=True, text=True
    )
    return "" if trial.returncode == 0 else f"no network namespaces: {trial.stderr.strip()}"


def test_pulled_cable_is_noticed_in_time_and_a_busy_method_is_not_taken_for_dead() -> None:
    """Both ends, whether they wait, have something on its way, or say nothing."""
    if reason := lacks_for_namespaces():
        pytest.skip(f"NOT SHOWN HERE, that a pulled cable is noticed: {reason}")
    command = [*NAMESPACE, sys.executable, str(TESTS / "pulled_cable.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    output = ended.stdout
    assert ended.returncode == 0, ended.stderr
    assert "done" in output
    noticed = dict(re.findall(r"^(waiting|asking) (\S+)$", output, re.MULTILINE))
    assert set(noticed) == {"waiting", "asking"}, output
    moments = [*noticed.values(), *re.findall(r"^server (\S+)$", output, re.MULTILINE)]
    assert len(moments) == 4
    for moment in map(float, moments):
        assert 0 < moment < 2 * KEEPALIVE + 1, output  # the kernel's timers double
