"""Name servers with Pyro4's arguments and lines."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import Pyro4
import Pyro4.naming
import pytest
from Pyro4 import naming


def serve_until_stopped(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> None:
    """Run `startNSloop` with a request loop that ends at once."""
    monkeypatch.setattr(naming.NameServerDaemon, "requestLoop", lambda self: None)
    naming.startNSloop(port=0, **arguments)


def test_what_is_started_is_not_running_yet(tmp_path: Path) -> None:
    uri, daemon, responder = naming.startNS(port=0)
    with daemon:
        assert responder is None  # nobody finds a loopback address by broadcast
        assert daemon.nameserver is not None
        assert uri.object == Pyro4.constants.NAMESERVER_NAME
        assert uri == daemon.uriFor(Pyro4.constants.NAMESERVER_NAME)
    uri, daemon, responder = naming.startNS(unixsocket=str(tmp_path / "socket"))
    with daemon:
        assert uri.sockname
        assert responder is None


def test_it_answers_to_broadcast_unless_told_otherwise() -> None:
    _, daemon, responder = naming.startNS(host="0.0.0.0", port=0, bcport=0)
    with daemon:
        assert isinstance(responder, naming.BroadcastServer)
        responder.close()
    _, daemon, responder = naming.startNS(host="0.0.0.0", port=0, enableBroadcast=False)
    with daemon:
        assert responder is None


def test_lines_of_the_loop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve_until_stopped(monkeypatch)
    assert re.fullmatch(
        r"Not starting broadcast server for localhost\.\n"
        r"NS running on localhost:(\d+) \(127\.0\.0\.1\)\n"
        r"Warning: HMAC key not set\. Anyone can connect to this server!\n"
        r"URI = PYRO:Pyro\.NameServer@localhost:\1\n"
        r"NS shut down\.\n",
        capsys.readouterr().out,
    )
    serve_until_stopped(monkeypatch, nathost="example.org", natport=99, hmac="key", enableBroadcast=False)
    assert re.fullmatch(
        r"Not starting broadcast server for localhost\.\n"
        r"NS running on localhost:(\d+) \(127\.0\.0\.1\)\n"
        r"internal URI = PYRO:Pyro\.NameServer@localhost:\1\n"
        r"external URI = PYRO:Pyro\.NameServer@example\.org:99\n"
        r"NS shut down\.\n",
        capsys.readouterr().out,
    )
    serve_until_stopped(monkeypatch, host="0.0.0.0", bcport=0, hmac="key")
    assert re.match(r"Broadcast server running on 0\.0\.0\.0:\d+\n", capsys.readouterr().out)
    path = str(tmp_path / "socket")
    serve_until_stopped(monkeypatch, unixsocket=path, hmac="key")
    assert capsys.readouterr().out.startswith(f"NS running on ./u:{path} (Unix domain socket)\nURI = ")


@pytest.mark.parametrize("kind", ["sql", "dbm"])
def test_names_survive_in_a_file(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"{kind}:{tmp_path / 'names'}"
    _, daemon, _ = naming.startNS(port=0, storage=storage)
    with daemon:
        assert daemon.nameserver is not None
        daemon.nameserver.register("kept", "PYRO:x@localhost:1")
    serve_until_stopped(monkeypatch, storage=storage)
    assert "Persistent store contains 1 existing registrations." in capsys.readouterr().out


def test_a_name_server_with_a_key() -> None:
    uri, daemon, _ = naming.startNS(port=0, hmac="secret")
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        with naming.locateNS("localhost", uri.port, hmac_key="secret") as found:
            found.register("a.name", "PYRO:x@localhost:1")
            assert found._pyroHmacKey == b"secret"
        name = f"PYRONAME:a.name@localhost:{uri.port}"
        assert str(Pyro4.resolve(name, hmac_key=b"secret")) == "PYRO:x@localhost:1"
        with pytest.raises(Pyro4.errors.PyroError):
            naming.locateNS("localhost", uri.port, hmac_key="wrong")
    finally:
        daemon.shutdown()
        thread.join(10)
        daemon.close()


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_of_help:
        naming.main(["-h"])
    assert exit_of_help.value.code == 0
    text = capsys.readouterr().out
    assert "show this help message" in text
    assert all(
        option in text for option in ["--host", "--port", "--unixsocket", "--storage", "--bchost", "--nobc", "--key"]
    )
    with pytest.raises(SystemExit) as exit_of_error:
        naming.main(["--bogus"])
    assert exit_of_error.value.code == 2
    assert "no such option" in capsys.readouterr().err


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming.NameServerDaemon, "requestLoop", lambda self: None)
    monkeypatch.setenv("PYRO_HMAC_KEY", "secret")
    naming.main(["-p", "0", "-x"])
    assert re.fullmatch(r"Not starting .*\nNS running on .*\nURI = PYRO:.*\nNS shut down\.\n", capsys.readouterr().out)


def test_tags_of_classes() -> None:
    assert "class:Pyro4.naming.NameServer" in dict_of_own_registration()
    assert naming.type_meta(OSError("x")) == set()


def dict_of_own_registration() -> set[str]:
    _, daemon, _ = naming.startNS(port=0)
    with daemon:
        assert daemon.nameserver is not None
        return set(daemon.nameserver.lookup(Pyro4.constants.NAMESERVER_NAME, return_metadata=True)[1])
