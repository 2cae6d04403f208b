"""``fastpyro call`` against a daemon in this process: how arguments are read and results are shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.cli import main
from fastpyro.cli.call import LONGEST_LITERAL, parse_arguments, parse_value
from fastpyro.config import config
from fastpyro.echo import EchoServer

Call = Callable[..., tuple[int, str, str]]


@fastpyro.expose
class Subject:
    """Shows what arrives."""

    def __init__(self) -> None:
        self.noted = threading.Event()

    def show(self, *args: Any, **kwargs: Any) -> str:
        return f"{args} {kwargs}"

    def add(self, left: int, right: int = 10) -> int:
        return left + right

    def nothing(self) -> None:
        pass

    @fastpyro.oneway
    def fire(self) -> None:
        pass

    def note(self) -> str:
        self.noted.set()
        return "noted"

    def wait(self) -> None:
        threading.Event().wait(1)

    def fail(self) -> None:
        raise ZeroDivisionError("by\nnothing")

    def raise_text(self, text: str) -> None:
        raise ZeroDivisionError(text)

    @property
    def level(self) -> int:
        return 5


@pytest.fixture
def subject() -> Subject:
    return Subject()


@pytest.fixture
def call(subject: Subject, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    before = config.COMMTIMEOUT
    with fastpyro.Daemon("127.0.0.1") as daemon:
        uri = str(daemon.register(subject))
        echo_uri = str(daemon.register(EchoServer()))
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()

        def run(*arguments: str) -> tuple[int, str, str]:
            code = main(["call", *(arg.replace("URI", uri).replace("ECHO", echo_uri) for arg in arguments)])
            return code, *capsys.readouterr()

        yield run
        daemon.shutdown()
        thread.join(30)
    config.COMMTIMEOUT = before


def test_arguments(call: Call) -> None:
    assert call("URI", "add", "1") == (0, "11\n", "")
    assert call("URI", "add", "1", "right=-5") == (0, "-4\n", "")
    assert call("URI", "add", "-1", "-2.5") == (0, "-3.5\n", "")
    assert call("URI", "show", "word", "two words", "5", "[1, {'a': None}]", "k=v", "n=1") == (
        0,
        "('word', 'two words', 5, [1, {'a': None}]) {'k': 'v', 'n': 1}\n",
        "",
    )
    assert call("URI", "show", "--", "--dash", "-x") == (0, "('--dash', '-x') {}\n", "")


def test_results(call: Call) -> None:
    assert call("URI", "nothing") == (0, "None\n", "")
    assert call("ECHO", "echo", "'text'") == (0, "text\n", "")
    assert call("ECHO", "echo", "['text', 1.5]") == (0, "['text', 1.5]\n", "")
    assert call("ECHO", "echo", r"'a\x1b[2J\n\tb\u202e'") == (0, "a\\x1b[2J\n\tb\\u202e\n", "")
    assert call("ECHO", "generator") == (0, "one\ntwo\nthree\n", "")
    assert call("ECHO", "__dunder__") == (0, "should be allowed (dunder)\n", "")


def test_attributes(call: Call) -> None:
    assert call("URI", "level") == (0, "5\n", "")
    code, _, errors = call("URI", "level", "1")
    assert code == 1
    assert errors == "Error: TypeError - level is an attribute, not a method: it takes no arguments\n"


def test_errors_steer_no_terminal(call: Call) -> None:
    for verbose in ([], ["--verbose"]):
        code, _, errors = call(*verbose, "URI", "raise_text", r"'a\x1b[2J\rb'")
        assert code == 1
        assert "ZeroDivisionError - a\\x1b[2J b" in errors
        assert "\x1b" not in errors


def test_oneway(call: Call, subject: Subject) -> None:
    assert call("URI", "--oneway", "note") == (0, "", "")
    assert subject.noted.wait(30)
    assert call("--oneway", "URI", "fire") == (0, "", "")


def test_timeout(call: Call) -> None:
    code, output, errors = call("--timeout", "0.05", "URI", "wait")
    assert (code, output) == (1, "")
    assert errors.startswith("Error: TimeoutError - ")
    for wrong in ("0", "-1", "inf", "nan", "soon"):
        with pytest.raises(SystemExit):
            call("URI", "wait", f"--timeout={wrong}")


def test_errors(call: Call) -> None:
    assert call("URI", "fail") == (1, "", "Error: ZeroDivisionError - by nothing\n")
    code, _, errors = call("-v", "URI", "fail")
    assert code == 1
    assert "Remote traceback" in errors
    assert 'raise ZeroDivisionError("by\\nnothing")' in errors
    assert call("URI", "no_such_method")[2].startswith("Error: AttributeError - remote object")
    assert call("URI", "_private")[0] == 1
    assert call("URI", "add")[2].startswith("Error: TypeError - ")
    assert call("PYRO:x", "add")[2].startswith("Error: PyroError - invalid uri")
    assert call("PYRO:x@127.0.0.1:1", "add")[2].startswith("Error: CommunicationError - ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("None", None),
        ("True", True),
        ("true", "true"),
        ("1.5", 1.5),
        ("'5'", "5"),
        ("b'x'", b"x"),
        ("(1, 2)", (1, 2)),
        ("{1}", {1}),
        ("", ""),
        (" 5", 5),
        ("1 + 1", "1 + 1"),
        ("__import__('os')", "__import__('os')"),
        ("PYRO:x@h:1", "PYRO:x@h:1"),
        ("{[]: 1}", "{[]: 1}"),
        ("\\d", "\\d"),
        ("1is", "1is"),
        ("x\0y", "x\0y"),
        ("\ud800", "\ud800"),
        ("[" * 5000, "[" * 5000),
        ("[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
        ("9" * 5000, "9" * 5000),
        ("1" * (LONGEST_LITERAL + 1), "1" * (LONGEST_LITERAL + 1)),
    ],
)
def test_values(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_keywords() -> None:
    assert parse_arguments(["a=1", "b=c=d", "c="]) == ([], {"a": 1, "b": "c=d", "c": ""})
    assert parse_arguments(["a==b", "1=2", "a b=c", "'a=b'", "=x"]) == (["a==b", "1=2", "a b=c", "a=b", "=x"], {})
    with pytest.raises(ValueError, match="keyword argument a is given twice"):
        parse_arguments(["a=1", "a=2"])
