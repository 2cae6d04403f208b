"""``fastpyro ns`` as a process: what it prints, how it ends, and that it remembers."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.cli.ns import default_storage
from fastpyro.client.locate import locate_ns


@contextmanager
def running(*arguments: str, state: Path) -> Iterator[ServerProcess]:
    with ServerProcess("-m", "fastpyro", "ns", *arguments, environment={"XDG_STATE_HOME": str(state)}) as process:
        process.wait_for(r"^URI = PYRO:Pyro.NameServer@\S+\n")
        yield process


def port_of(process: ServerProcess) -> int:
    return int(process.wait_for(r"^URI = PYRO:Pyro.NameServer@\S+:(\d+)$")[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prints_its_uri_and_ends_cleanly(number: int, tmp_path: Path) -> None:
    with running("-n", "127.0.0.1", "-p", "0", state=tmp_path) as process:
        port = port_of(process)
        assert f"NS running on 127.0.0.1:{port} (127.0.0.1)\n" in process.output
        with locate_ns("127.0.0.1", port) as ns:
            ns.ping()
            process.process.send_signal(number)
            assert process.wait_for_end() == 0, process.output
    assert process.output.endswith("NS shut down.\n")
    assert "Traceback" not in process.output
    assert not list(tmp_path.iterdir())  # a random port keeps its names in memory


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_restart_loses_nothing(how: str, tmp_path: Path) -> None:
    with running("-n", "127.0.0.1", "-p", "0", state=tmp_path) as process:
        port = port_of(process)  # free again in a moment
    with running("-n", "127.0.0.1", "-p", str(port), state=tmp_path) as process:
        with locate_ns("127.0.0.1", port) as ns:
            ns.register("x", "PYRO:x@localhost:1", metadata=["tag"])
        if how == "killed":
            process.kill()
        else:
            process.interrupt()
            process.wait_for_end()
    file = tmp_path / "fastpyro" / f"names-{port}.sqlite"
    assert file.exists()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with running("-n", "127.0.0.1", "-p", str(port), state=tmp_path) as process:
        assert "Persistent store contains 1 existing registrations." in process.output
        with locate_ns("127.0.0.1", port) as ns:
            assert ns.lookup("x", True) == (fastpyro.URI("PYRO:x@localhost:1"), {"tag"})


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with running("-u", str(path), state=tmp_path / "state") as process:
        assert f"NS running on ./u:{path} (Unix domain socket)\n" in process.output
        with locate_ns(f"./u:{path}") as ns:
            ns.register("x", "PYRO:x@localhost:1")
        process.interrupt()
        assert process.wait_for_end() == 0
    assert not path.exists()
    with running("-u", str(path), state=tmp_path / "state"), locate_ns(f"./u:{path}") as ns:
        assert ns.count() == 2


def test_options(tmp_path: Path) -> None:
    with running(
        *("-n", "127.0.0.1", "-p", "0", "-s", f"sql:{tmp_path / 'own.sqlite'}", "-b", "--bchost", "127.0.0.1"),
        *("--bcport", "0", "--nathost", "outside", "--natport", "7"),
        state=tmp_path,
    ) as process:
        assert "URI = PYRO:Pyro.NameServer@outside:7\n" in process.output
        assert "Broadcast server running on 127.0.0.1:" in process.output
    assert (tmp_path / "own.sqlite").exists()


def test_port_that_is_taken(tmp_path: Path) -> None:
    with running("-n", "127.0.0.1", "-p", "0", state=tmp_path) as first:
        port = port_of(first)
        with ServerProcess(
            *("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", str(port)), environment={"XDG_STATE_HOME": str(tmp_path)}
        ) as second:
            assert second.wait_for_end() == 1
    assert second.output.startswith(f"Error: OSError - port {port} is taken; perhaps a name server runs already")
    assert second.output.count("\n") == 1


@pytest.mark.parametrize("storage", ["nonsense", "sql:", "sql:/no/such/folder/names.sqlite"])
def test_unusable_storage(storage: str, tmp_path: Path) -> None:
    with ServerProcess("-m", "fastpyro", "ns", "-n", "127.0.0.1", "-p", "0", "-s", storage) as process:
        assert process.wait_for_end() == 1
    assert process.output.startswith("Error: ")
    assert "storage" in process.output
    assert process.output.count("\n") == 1


def test_place_of_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert default_storage(9090, None, state) == f"sql:{tmp_path}/state/fastpyro/names-9090.sqlite"
    assert default_storage(0, None, state) == "memory"
    first, second = (default_storage(9090, path, state) for path in ("/run/one", "/run/two"))
    assert first.startswith(f"sql:{tmp_path}/state/fastpyro/names-unix-")
    assert first != second
    assert "/" not in first.removeprefix(f"sql:{tmp_path}/state/fastpyro/")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for environment in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert default_storage(1, None, environment) == f"sql:{tmp_path}/home/.local/state/fastpyro/names-1.sqlite"


def test_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "fastpyro").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="choose a place with --storage sql:FILE"):
        default_storage(9090, None, {"XDG_STATE_HOME": str(tmp_path)})
