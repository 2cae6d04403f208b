"""The command that asks a name server: what it prints, and how it ends."""

from __future__ import annotations

import io
from typing import Any

import Pyro4
import pytest
from Pyro4 import nsc


@pytest.fixture
def run(name_server: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    def run_command(*arguments: str) -> str:
        nsc.main(list(arguments))
        return capsys.readouterr().out

    return run_command


def test_a_name_from_its_registration_to_its_end(run: Any) -> None:
    assert run("ping") == "Name server ping ok.\n"
    assert run("register", "foo", "PYRO:x@localhost:1") == "Registered foo\n"
    assert run("register", "foo", "PYRO:x@localhost:1") == "Error: NamingError - name already registered: foo\n"
    assert run("lookup", "foo") == "PYRO:x@localhost:1\n"
    assert run("setmeta", "foo", "b", "a") == "Metadata updated\n"
    assert run("lookup", "foo") == "PYRO:x@localhost:1\nmetadata: ['a', 'b']\n"
    listing = "foo --> PYRO:x@localhost:1\n    metadata: ['a', 'b']\n"
    assert run("list", "fo") == f"--------START LIST - prefix 'fo'\n{listing}--------END LIST - prefix 'fo'\n"
    assert run("listmatching", "f.*") == f"--------START LIST - regex 'f.*'\n{listing}--------END LIST - regex 'f.*'\n"
    searched = f"--------START LIST  - searched by metadata\n{listing}--------END LIST  - searched by metadata\n"
    assert run("listmeta_all", "a", "b") == run("listmeta_any", "a", "z") == searched
    assert "foo" not in run("listmeta_all", "a", "z")
    assert listing in run("list")
    assert run("setmeta", "foo") == "Metadata cleared\n"
    assert run("remove", "foo") == "Removed foo\n"
    assert run("remove", "foo") == "Nothing removed\n"
    assert run("lookup", "foo") == "Error: NamingError - unknown name: foo\n"


@pytest.mark.parametrize(("answer", "said"), [("y\n", "1 items removed.\n"), ("n\n", ""), ("", "")])
def test_removing_many_names_asks_first(run: Any, monkeypatch: pytest.MonkeyPatch, answer: str, said: str) -> None:
    run("register", "zoo", "PYRO:x@localhost:1")
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    question = "Potentially removing lots of items from the Name server. Are you sure (y/n)?"
    assert run("removematching", "z.*") == question + said
    assert ("zoo" in run("list")) is (said == "")


def test_it_says_more_when_asked(run: Any, name_server: Any) -> None:
    uri = name_server.uriFor(Pyro4.constants.NAMESERVER_NAME)
    lines = ["Locating name server...", f"Name server found: {uri}", "Name server ping ok.", "Done."]
    assert run("-v", "ping").splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["register", "a"], "requires two arguments: name uri"),
        (["lookup"], "requires one argument: name"),
        (["remove"], "requires one argument: name"),
        (["listmatching"], "requires one argument: pattern"),
        (["removematching"], "requires one argument: pattern"),
        (["listmeta_any"], "requires at least one metadata tag argument"),
        (["setmeta"], "requires at least 2 arguments: uri and zero or more meta tags"),
    ],
)
def test_too_few_arguments(run: Any, arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as raised:
        run(*arguments)
    assert raised.value.code == said


@pytest.mark.parametrize(("arguments", "said"), [([], "missing command"), (["bogus"], "missing command")])
def test_unknown_commands(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        nsc.main(arguments)
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        nsc.main(["-h"])
    assert "show this help message" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        nsc.main(["--bogus"])
    assert "no such option" in capsys.readouterr().err


def test_without_a_name_server_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    port = Pyro4.socketutil.findProbablyUnusedPort()
    nsc.main(["-n", "localhost", "-p", str(port), "ping"])
    assert capsys.readouterr().out.startswith("Error: Failed to locate the nameserver")


def test_a_command_on_a_proxy(name_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with Pyro4.locateNS() as found:
        nsc.handleCommand(found, None, ["ping"])
        nsc.handleCommand(found, None, ["bogus"])
    assert capsys.readouterr().out == "Name server ping ok.\nError: KeyError - 'bogus'\n"
