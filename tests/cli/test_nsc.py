"""``fastpyro nsc`` against a name server in this process: outputs, exit codes, questions."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastpyro._foreign_text import on_one_line
from fastpyro.cli import main
from fastpyro.cli.nsc import handle_command
from fastpyro.naming import NameServerDaemon
from fastpyro.naming.name_server import NameServer

X, Y = "PYRO:x@localhost:1", "PYRO:y@localhost:2"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[NameServerDaemon]:
    with NameServerDaemon(unixsocket=str(tmp_path / "socket")) as running:
        assert running.nameserver is not None
        running.nameserver.register("x", X, metadata=["b", "a"])
        running.nameserver.register("y", Y)
        thread = threading.Thread(target=running.requestLoop)
        thread.start()
        yield running
        running.shutdown()
        thread.join(30)


@pytest.fixture
def ns(daemon: NameServerDaemon) -> NameServer:
    assert daemon.nameserver is not None
    return daemon.nameserver


@pytest.fixture
def nsc(daemon: NameServerDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["nsc", "-u", str(tmp_path / "socket"), *arguments])
        return code, *capsys.readouterr()

    return run


def test_ping(nsc: Command) -> None:
    assert nsc("ping") == (0, "Name server ping ok.\n", "")


def test_verbose_tells_which_one(nsc: Command, tmp_path: Path) -> None:
    code, output, _ = nsc("-v", "ping")
    assert code == 0
    assert output == (
        f"Locating name server...\nName server found: PYRO:Pyro.NameServer@./u:{tmp_path / 'socket'}\n"
        "Name server ping ok.\n"
    )


def test_list(nsc: Command) -> None:
    code, output, _ = nsc("list")
    assert code == 0
    assert output.startswith("--------START LIST\nPyro.NameServer --> PYRO:Pyro.NameServer@./u:")
    assert f"\nx --> {X}\n    metadata: a, b\ny --> {Y}\n--------END LIST\n" in output
    assert nsc("list", "y") == (
        0,
        f"--------START LIST - prefix 'y'\ny --> {Y}\n--------END LIST - prefix 'y'\n",
        "",
    )
    assert nsc("listmatching", "[yz]$") == (
        0,
        f"--------START LIST - regex '[yz]$'\ny --> {Y}\n--------END LIST - regex '[yz]$'\n",
        "",
    )


def test_lookup(nsc: Command) -> None:
    assert nsc("lookup", "x") == (0, f"{X}\nmetadata: a, b\n", "")
    assert nsc("lookup", "y") == (0, f"{Y}\n", "")
    assert nsc("lookup", "nobody") == (1, "", "Error: NamingError - unknown name: nobody\n")


def test_register_is_safe(nsc: Command, ns: NameServer) -> None:
    assert nsc("register", "z", X) == (0, "Registered z\n", "")
    assert nsc("register", "z", Y) == (1, "", "Error: NamingError - name already registered: z\n")
    assert str(ns.lookup("z")) == X
    code, _, errors = nsc("register", "bad", "no uri")
    assert code == 1
    assert errors.startswith("Error: PyroError - invalid uri")


def test_remove(nsc: Command, ns: NameServer) -> None:
    assert nsc("remove", "x") == (0, "Removed x\n", "")
    assert nsc("remove", "x") == (1, "Nothing removed\n", "")
    assert ns.count() == 2


def test_remove_matching_asks(nsc: Command, ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ("n\n", "", "yes please\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, output, _ = nsc("removematching", "[xy]")
        assert code == 0
        assert output.endswith("Are you sure (y/n)?Nothing removed\n")
    assert ns.count() == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert nsc("removematching", "x")[1].endswith("1 items removed.\n")
    assert nsc("removematching", "--yes", ".*") == (0, "1 items removed.\n", "")
    assert ns.count() == 1
    assert nsc("-y", "removematching", "(")[2].startswith("Error: NamingError - invalid regex")


def test_setmeta(nsc: Command, ns: NameServer) -> None:
    assert nsc("setmeta", "y", "one", "two") == (0, "Metadata updated\n", "")
    assert ns.lookup("y", True)[1] == {"one", "two"}
    assert nsc("setmeta", "y") == (0, "Metadata cleared\n", "")
    assert ns.lookup("y", True)[1] == set()
    assert nsc("setmeta", "nobody", "a")[0] == 1


def test_yplookup(nsc: Command) -> None:
    start, end = "--------START LIST - searched by metadata\n", "--------END LIST - searched by metadata\n"
    found, nothing = f"{start}x --> {X}\n    metadata: a, b\n{end}", start + end
    assert nsc("yplookup_all", "a", "b") == (0, found, "")
    assert nsc("yplookup_all", "a", "c") == (0, nothing, "")
    assert nsc("yplookup_any", "a", "c") == (0, found, "")


@pytest.mark.parametrize(
    "arguments",
    [["ping", "x"], ["list", "a", "b"], ["lookup"], ["register", "x"], ["remove"], ["setmeta"], ["yplookup_all"]],
)
def test_number_of_arguments(nsc: Command, arguments: list[str]) -> None:
    code, output, errors = nsc(*arguments)
    assert (code, output) == (1, "")
    assert errors.startswith(f"Error: ValueError - usage: fastpyro nsc {arguments[0]}")


def test_names_cannot_steer_the_terminal(nsc: Command, ns: NameServer) -> None:
    ns._storage.put("evil\x1b[2J\nname", X, frozenset({"\x07"}))  # as another name server may have it
    code, output, _ = nsc("list", "evil")
    assert code == 0
    assert f"evil\\x1b[2J\\nname --> {X}\n    metadata: \\x07\n" in output
    assert on_one_line("plain é") == "plain é"


def test_works_on_a_name_server_itself(ns: NameServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert handle_command(ns, "lookup", ["y"]) == 0
    assert capsys.readouterr().out == f"{Y}\n"
