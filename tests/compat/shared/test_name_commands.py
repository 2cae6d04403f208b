"""What the tools of both Pyros print about a name server."""

from __future__ import annotations

import pytest

from fastpyro.compat.shared.name_commands import Commands, run
from fastpyro.errors import NamingError
from fastpyro.naming.name_server import NameServer

COMMANDS = Commands(str, "too few for setmeta").by_name

LISTINGS = (
    "list",
    "list o",
    "listmatching o.*",
    "listmeta_all a b",
    "listmeta_any a z",
    "yplookup_all a b",
    "yplookup_any a z",
)


@pytest.fixture
def nameserver() -> NameServer:
    made = NameServer()
    made.register("one", "PYRO:x@h:1", metadata={"b", "a"})
    return made


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("ping", "Name server ping ok.\n"),
        ("lookup one", "PYRO:x@h:1\nmetadata: ['a', 'b']\n"),
        ("remove two", "Nothing removed\n"),
        ("setmeta one", "Metadata cleared\n"),
        *(
            (command, "--------START LIST {0}\none --> PYRO:x@h:1\n    metadata: ['a', 'b']\n--------END LIST {0}\n")
            for command in LISTINGS
        ),
    ],
)
def test_lines(nameserver: NameServer, line: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *arguments = line.split()
    run(COMMANDS, command, nameserver, arguments)
    out = capsys.readouterr().out
    title = {"list o": "- prefix 'o'", "listmatching o.*": "- regex 'o.*'", "list": ""}.get(
        line, " - searched by metadata"
    )
    assert out == printed.format(title)


@pytest.mark.parametrize(
    "line", ["lookup", "register a", "register a b c", "setmeta", "yplookup_all", "removematching"]
)
def test_wrong_numbers_of_arguments(nameserver: NameServer, line: str) -> None:
    command, *arguments = line.split()
    with pytest.raises(SystemExit) as left:
        run(COMMANDS, command, nameserver, arguments)
    assert left.value.code == COMMANDS[command].complaint != ""


def test_errors_are_told_and_raised(nameserver: NameServer, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NamingError):
        run(COMMANDS, "lookup", nameserver, ["no\nbody"])
    assert capsys.readouterr().out.splitlines() == ["Error: NamingError - unknown name: no\\nbody"]
