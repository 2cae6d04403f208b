"""Registrations go when nobody answers at their location for a while, and not before."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpyro.config import config
from fastpyro.naming.cleaner import AutoCleaner
from fastpyro.naming.name_server import NameServer
from fastpyro.naming.origins import SAME_HOST
from fastpyro.uri import URI


class EagerCleaner(AutoCleaner):
    max_unreachable_time = 0.0
    override_autoclean_min = True
    loop_delay = 0.0


@pytest.fixture
def ns(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    monkeypatch.setattr(config, "NS_AUTOCLEAN", 3)
    server = NameServer()
    server._register_self(URI("PYRO:Pyro.NameServer@127.0.0.1:1"))
    return server


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_removes_what_is_gone_and_keeps_the_rest(ns: NameServer, listener: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as unix_listener:
        unix_listener.bind(path)
        unix_listener.listen()
        ns.register("alive", f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}")
        ns.register("alive.unix", f"PYRO:x@./u:{path}")
        ns.register("gone", "PYRO:x@127.0.0.1:1")
        ns.register("gone.too", "PYRO:y@127.0.0.1:1")
        ns.register("gone.unix", f"PYRO:x@./u:{tmp_path / 'nobody'}")
        ns.register("alias", "PYRONAME:gone")
        ns.register("any", "PYROMETA:tag")
        EagerCleaner(ns).clean()
    assert set(ns.list()) == {"Pyro.NameServer", "alive", "alive.unix", "alias", "any"}


def test_waits_before_it_removes(ns: NameServer, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    ns.register("x", f"PYRO:x@127.0.0.1:{port}")
    cleaner = EagerCleaner(ns)
    cleaner.max_unreachable_time = 1000.0
    cleaner.clean()
    assert not cleaner._unreachable_since
    listener.close()
    cleaner.clean()
    first = dict(cleaner._unreachable_since)
    assert list(first) == [f"127.0.0.1:{port}"]
    cleaner.clean()
    assert cleaner._unreachable_since == first
    assert "x" in ns.list()
    with socket.create_server(("127.0.0.1", port)):
        cleaner.clean()
    assert not cleaner._unreachable_since
    ns.remove("x")
    cleaner.clean()
    assert not cleaner._unreachable_since


def test_a_name_that_moved_meanwhile_stays(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ns.register("x", "PYRO:x@127.0.0.1:1")
    cleaner = EagerCleaner(ns)

    def move(location: str) -> bool:
        ns.register("x", "PYRO:x@127.0.0.1:2")
        return True

    monkeypatch.setattr(cleaner, "_is_over", move)
    cleaner.clean()
    assert ns.lookup("x").port == 2


def test_unusable_host_names_are_unreachable_not_fatal(ns: NameServer) -> None:
    ns.register("x", f"PYRO:x@{'a' * 80}.invalid:1")  # a label of more than 63 characters cannot be encoded
    EagerCleaner(ns).clean()
    assert "x" not in ns.list()


def test_runs_as_a_thread_and_survives_failures(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "NS_AUTOCLEAN", 0)
    cleaner = EagerCleaner(ns)
    rounds = []

    def clean() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise RuntimeError("the storage is away for a moment")
        cleaner.stop()

    monkeypatch.setattr(cleaner, "clean", clean)
    cleaner.start()
    cleaner.join(30)
    assert not cleaner.is_alive()
    assert len(rounds) == 2


def test_shortest_interval(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "NS_AUTOCLEAN", 0)
    with pytest.raises(ValueError, match="less than 3 seconds"):
        AutoCleaner(ns)


def from_outside(ns: NameServer, name: str, uri: str, origin: str | None) -> None:
    ns.register(name, uri)
    if origin is None:
        del ns._origins[name]
    else:
        ns._origins[name] = (uri, origin)


def test_it_connects_only_to_where_a_name_was_registered(
    ns: NameServer, listener: socket.socket, tmp_path: Path
) -> None:
    here = f"PYRO:x@127.0.0.1:{listener.getsockname()[1]}"
    listener.settimeout(0)
    from_outside(ns, "far", here, "192.0.2.1")
    from_outside(ns, "unknown", here, None)
    from_outside(ns, "gone", here, "")
    from_outside(ns, "unix", f"PYRO:x@./u:{tmp_path / 'nobody'}", "192.0.2.1")
    EagerCleaner(ns).clean()
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert set(ns.list()) == {"Pyro.NameServer", "far", "unknown", "gone", "unix"}
    from_outside(ns, "near", here, SAME_HOST)
    from_outside(ns, "near.unix", f"PYRO:x@./u:{tmp_path / 'nobody'}", SAME_HOST)
    EagerCleaner(ns).clean()
    listener.accept()[0].close()
    assert "near" in ns.list()
    assert "near.unix" not in ns.list()
