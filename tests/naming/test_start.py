"""Name servers in this process: made, served, found and closed; with files, Unix sockets, NAT and broadcast."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fastpyro
from fastpyro.client.locate import locate_ns
from fastpyro.config import config
from fastpyro.errors import NamingError, PyroError
from fastpyro.naming import NameServerDaemon, start_ns, start_ns_loop, startNS, startNSloop, storage
from fastpyro.naming.storage import SqlStorage


@contextmanager
def served(daemon: NameServerDaemon) -> Iterator[NameServerDaemon]:
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.shutdown()
        thread.join(30)
        daemon.close()
        assert not thread.is_alive()


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_in_this_process(server_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", server_type)
    uri, daemon, responder = start_ns("127.0.0.1", 0)
    assert responder is None
    with served(daemon), locate_ns(uri.host, uri.port) as ns:
        assert ns.ping() is None
        assert ns.count() == 1
        ns.register("x", "PYRO:x@localhost:1", metadata=["tag"])
        assert ns.lookup("x") == fastpyro.URI("PYRO:x@localhost:1")
        assert ns.lookup("Pyro.NameServer") == uri
        assert ns.yplookup(meta_all={"tag"}, return_metadata=False) == {"x": "PYRO:x@localhost:1"}
        assert ns.yplookup({"class:Pyro5.nameserver.NameServer"}, None, False) == {"Pyro.NameServer": str(uri)}
        with pytest.raises(NamingError, match="invalid regex: back-references") as caught:
            ns.list(regex=r"(a)\1")
        assert caught.value._pyroTraceback
        for private in ("_storage", "_discard_if_unchanged", "_register_self", "_close", "__init__"):
            with pytest.raises(AttributeError):
                ns._pyroInvoke(private, (), {})


def test_many_clients_at_once() -> None:
    uri, daemon, _ = start_ns("127.0.0.1", 0)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with locate_ns(uri.host, uri.port) as ns:
                for index in range(20):
                    ns.register(f"{number}.{index}", "PYRO:x@localhost:1")
                    assert ns.list(prefix=f"{number}.")
        except BaseException as error:
            failures.append(error)

    with served(daemon):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        assert daemon.nameserver is not None
        assert daemon.nameserver.count() == 161


def test_restart_loses_nothing(tmp_path: Path) -> None:
    storage = f"sql:{tmp_path / 'names.sqlite'}"
    first, daemon, _ = start_ns("127.0.0.1", 0, storage=storage)
    with served(daemon), locate_ns(first.host, first.port) as ns:
        ns.register("x", "PYRO:x@localhost:1", metadata=["tag"])
    second, daemon, _ = start_ns("127.0.0.1", 0, storage=storage)
    with served(daemon), locate_ns(second.host, second.port) as ns:
        assert ns.lookup("x", True) == (fastpyro.URI("PYRO:x@localhost:1"), {"tag"})
        assert ns.lookup("Pyro.NameServer") == second


def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    uri, daemon, responder = start_ns(unixsocket=path, enableBroadcast=True)
    assert responder is None
    assert str(uri) == f"PYRO:Pyro.NameServer@./u:{path}"
    with served(daemon), locate_ns(f"./u:{path}") as ns:
        assert ns.count() == 1
    assert not Path(path).exists()


def test_published_address_behind_a_router() -> None:
    uri, daemon, _ = start_ns("127.0.0.1", 0, nathost="outside.example", natport=99)
    with daemon:
        assert str(uri) == "PYRO:Pyro.NameServer@outside.example:99"
        assert daemon.uriFor("Pyro.NameServer", nat=False).host == "127.0.0.1"


def test_defaults_come_from_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "NS_HOST", "127.0.0.1")
    monkeypatch.setattr(config, "NS_PORT", 0)
    uri, daemon, _ = start_ns()
    with daemon:
        assert uri.host == "127.0.0.1"


def test_broadcast_responder() -> None:
    _, daemon, responder = start_ns("127.0.0.1", 0, enableBroadcast=True)
    with daemon:
        assert responder is None  # others cannot reach a loopback address
    _, daemon, responder = start_ns("127.0.0.1", 0, enableBroadcast=True, bchost="127.0.0.1", bcport=0)
    with daemon:
        assert responder is not None
        with responder:
            assert responder.nsUri == daemon.uriFor("Pyro.NameServer")


def test_closed_daemon() -> None:
    daemon = NameServerDaemon("127.0.0.1", 0)
    with daemon:
        before = daemon.nameserver
        assert before is not None
    assert daemon.nameserver is None
    assert daemon.cleaner_thread is None
    daemon.close()
    with pytest.raises(PyroError, match="closed"):
        daemon.__enter__()


def test_failed_start_leaves_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with pytest.raises(ValueError, match="invalid storage"):
        start_ns(unixsocket=str(path), storage="nonsense")
    assert not path.exists()
    with pytest.raises(NamingError, match="cannot use"):
        start_ns(unixsocket=str(path), storage=f"sql:{tmp_path}")
    assert not path.exists()


def test_storage_object_is_used_and_closed(tmp_path: Path) -> None:
    storage = SqlStorage(str(tmp_path / "names.sqlite"))
    with NameServerDaemon("127.0.0.1", 0, storage=storage):
        assert storage.count() == 1
    with pytest.raises(NamingError, match="closed"):
        storage.count()


def test_autoclean_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "NS_AUTOCLEAN", 3)
    with NameServerDaemon("127.0.0.1", 0) as daemon:
        cleaner = daemon.cleaner_thread
        assert cleaner is not None
        assert cleaner.is_alive()
    assert not cleaner.is_alive()


def test_loop_prints_where_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    storage = f"sql:{tmp_path / 'names.sqlite'}"
    before = SqlStorage(storage.removeprefix("sql:"))
    before.put("x", "PYRO:x@h:1", frozenset())
    before.close()
    start_ns_loop("127.0.0.1", 0, True, "127.0.0.1", 0, nathost="outside", storage=storage, loopCondition=lambda: False)
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert lines[0].startswith("Broadcast server running on 127.0.0.1:")
    assert lines[1] == "Persistent store contains 1 existing registrations."
    assert lines[2].startswith("NS running on 127.0.0.1:")
    assert lines[3].startswith("internal URI = PYRO:Pyro.NameServer@127.0.0.1:")
    assert lines[4].startswith("external URI = PYRO:Pyro.NameServer@outside:")
    assert lines[5].startswith("URI = PYRO:Pyro.NameServer@outside:")
    assert lines[6:] == ["NS shut down."]
    assert not errors


def test_loop_says_why_nothing_answers_broadcasts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    start_ns_loop("127.0.0.1", 0, enableBroadcast=True, loopCondition=lambda: False)
    assert capsys.readouterr().out.startswith("No broadcast: only this machine can reach 127.0.0.1. Listen on another")
    start_ns_loop(unixsocket=str(tmp_path / "ns"), enableBroadcast=True, loopCondition=lambda: False)
    assert capsys.readouterr().out.startswith("No broadcast: a Unix socket")
    start_ns_loop("127.0.0.1", 0, loopCondition=lambda: False)
    assert "broadcast" not in capsys.readouterr().out.lower()


def test_loop_warns_when_others_can_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    start_ns_loop("0.0.0.0", 0, loopCondition=lambda: False)
    assert "whoever can reach this address" in capsys.readouterr().err


def test_pyro4_spellings(capsys: pytest.CaptureFixture[str]) -> None:
    uri, daemon, _ = startNS(host="127.0.0.1", port=0, enableBroadcast=False, hmac=None)
    with daemon:
        assert uri.object == "Pyro.NameServer"
    startNSloop("127.0.0.1", 0, loopCondition=lambda: False)
    assert "NS shut down." in capsys.readouterr().out
    _, daemon, _ = startNS("127.0.0.1", 0, hmac="key")
    with daemon:
        assert daemon._pyroHmacKey == b"key"


def test_package_names() -> None:
    import fastpyro.naming as package

    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    assert package.locateNS is fastpyro.locateNS
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_looking_up_beside_changes_that_wait_for_a_locked_file(
    server_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", server_type)
    monkeypatch.setattr(storage, "BUSY_SECONDS", 2.0)
    path = str(tmp_path / "names.sqlite")
    uri, daemon, _ = start_ns("127.0.0.1", 0, storage=f"sql:{path}")
    with served(daemon), locate_ns(uri.host, uri.port) as changing, locate_ns(uri.host, uri.port) as reading:
        changing.register("x", "PYRO:x@localhost:1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        failures: list[BaseException] = []

        def change() -> None:
            try:
                changing.register("y", "PYRO:y@localhost:1")
            except NamingError as error:
                failures.append(error)

        thread = threading.Thread(target=change)
        thread.start()
        reading._pyroTimeout = 1.0
        while thread.is_alive() and not failures:
            assert reading.lookup("x").port == 1
        thread.join(30)
        other.execute("ROLLBACK")
        other.close()
        assert "locked" in str(failures[0])
