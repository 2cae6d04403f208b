"""Many places are tried at once."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from fastpyro.naming import reachability
from fastpyro.naming.reachability import addresses_of, reachable


def test_places_that_answer_and_places_that_do_not(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        assert reachable(
            {
                "tcp": (socket.AF_INET, listener.getsockname()),
                "unix": (socket.AF_UNIX, path),
                "no tcp": (socket.AF_INET, ("127.0.0.1", 1)),
                "no unix": (socket.AF_UNIX, str(tmp_path / "nobody")),
                "long unix": (socket.AF_UNIX, "x" * 1000),
                "no port": (socket.AF_INET, ("127.0.0.1", 1 << 20)),
            },
            30.0,
        ) == {"tcp": True, "unix": True, "no tcp": False, "no unix": False, "long unix": False, "no port": False}


def test_silent_places_do_not_add_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        queued = [socket.socket() for _ in range(8)]
        for each in queued:  # fill its queue, so that further connections are not answered
            each.setblocking(False)
            each.connect_ex(silent.getsockname())
        targets = {str(number): (socket.AF_INET, silent.getsockname()) for number in range(60)}
        begun = time.monotonic()
        outcome = reachable({**targets, "alive": (socket.AF_INET, listener.getsockname())}, 0.3)
        assert time.monotonic() - begun < 60 * 0.3 / 3
        for each in queued:
            each.close()
    assert outcome["alive"] is True
    assert list(outcome.values()).count(False) >= 50


def test_more_than_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "MOST_AT_ONCE", 3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        targets = {number: (socket.AF_INET, listener.getsockname()) for number in range(20)}
        assert reachable(targets, 30.0) == dict.fromkeys(range(20), True)
        assert reachable(targets, 30.0, lambda: True) == {}


def test_places_that_cannot_be_tried_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(*arguments: object) -> socket.socket:
        raise OSError("too many open files")

    monkeypatch.setattr(socket, "socket", no_descriptor)
    assert reachable({"x": (socket.AF_INET, ("127.0.0.1", 1))}, 1.0) == {}


def test_addresses_of_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str, *arguments: object) -> list[tuple[object, ...]]:
        if name == "there":
            return [(socket.AF_INET, None, None, "", ("192.0.2.1", 0))]
        if name == "later":
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        raise UnicodeError if name == "odd" else socket.gaierror(socket.EAI_NONAME, "nobody")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    names = ["there", "later", "odd", "nobody", "192.0.2.5", "localhost", "::1"]
    assert addresses_of(names, 30.0) == {
        "there": frozenset({"192.0.2.1"}),
        "later": None,
        "odd": frozenset(),
        "nobody": frozenset(),
        "192.0.2.5": frozenset({"192.0.2.5"}),
        "localhost": frozenset({"127.0.0.1", "::1"}),
        "::1": frozenset({"::1"}),
    }
    assert addresses_of(["there"], -1.0) == {"there": None}
