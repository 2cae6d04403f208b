"""The command of the peers that asks a name server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fastpyro.compat.shared.name_server_client import run_command, run_name_server_client
from fastpyro.errors import NamingError
from fastpyro.locate import locate_ns
from fastpyro.naming import start_ns


@pytest.fixture
def port() -> Iterator[str]:
    _, daemon, _ = start_ns("127.0.0.1", 0)
    with daemon:
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        yield str(daemon.sock.getsockname()[1])
        daemon.shutdown()
        thread.join()


def test_commands(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-n", "127.0.0.1", "-p", port]
    run_name_server_client([*place, "-v", "ping"], swallow=False)
    assert "Name server ping ok." in capsys.readouterr().out
    with locate_ns("127.0.0.1", int(port)) as name_server:
        name_server.register("one", "PYRO:x@h:1", metadata={"b", "a"})
        run_command(name_server, "listmeta_all", ["a", "b"], swallow=True)
        assert "one --> PYRO:x@h:1\n    metadata: a, b" in capsys.readouterr().out
        run_command(name_server, "lookup", ["two"], swallow=True)
        assert "Error: NamingError - unknown name: two" in capsys.readouterr().out
        with pytest.raises(NamingError):
            run_command(name_server, "lookup", ["two"], swallow=False)


def test_no_name_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_name_server_client(["-u", "/nowhere/socket", "ping"], swallow=True)
    assert "Error: Failed to locate the nameserver" in capsys.readouterr().out
