"""Tracebacks as text: the remote one is shown once, whoever prints the error."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastpyro
from fastpyro import tracebacks
from fastpyro._foreign_text import MASKED, has_controls
from fastpyro.tracebacks import (
    attach_remote_traceback,
    excepthook,
    format_traceback,
    get_pyro_traceback,
    is_remote_note,
    remote_note,
)

REMOTE_LINES = [
    "Traceback (most recent call last):\n",
    '  File "server.py", line 1, in work\n    fail()\n',
    "ValueError: x\n",
]


def caught(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def remote_error(text: str = "no good") -> ValueError:
    error = ValueError(text)
    attach_remote_traceback(error, list(REMOTE_LINES))
    return error


def fail(error: BaseException) -> None:
    local = "local value"
    assert local
    raise error


def raised(error: BaseException) -> BaseException:
    return caught(lambda: fail(error))


def noted(error: BaseException) -> BaseException:
    error.add_note("first\nsecond")
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no good"),
        ValueError("two\nlines"),
        noted(KeyError("key")),
        SyntaxError("here", ("file.py", 1, 3, "a b c", 1, 4)),
        ExceptionGroup("several", [ValueError(1), KeyError(2)]),
    ],
)
def test_plain_traceback(error: BaseException) -> None:
    """It is what Python's own function gives."""
    error = raised(error)
    lines = format_traceback(type(error), error, error.__traceback__)
    assert "".join(lines) == "".join(traceback.format_exception(error))


def test_exception_that_is_being_handled() -> None:
    try:
        fail(ValueError("no good"))
    except ValueError:
        assert "ValueError: no good\n" in format_traceback()
        assert "ValueError: no good\n" in get_pyro_traceback()


def test_nothing_to_show() -> None:
    assert format_traceback() == []
    assert get_pyro_traceback() == []


def test_remote_traceback_stands_below_the_local_one() -> None:
    text = "".join(get_pyro_traceback(raised(remote_error())))
    local, _, remote = text.partition("Remote traceback")
    assert "in fail\n" in local
    assert local.rpartition("ValueError: no good\n")[2].startswith(" +--- ")
    assert remote.splitlines()[1:] == [
        " | Traceback (most recent call last):",
        ' |   File "server.py", line 1, in work',
        " |     fail()",
        " | ValueError: x",
        " +--- End of remote traceback",
    ]


def shown_by_python(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def shown_by_logging(error: BaseException) -> str:
    record = logging.LogRecord("name", logging.ERROR, "", 0, "text", (), (type(error), error, error.__traceback__))
    return logging.Formatter().format(record)


def shown_here(error: BaseException) -> str:
    return "".join(get_pyro_traceback(error))


def shown_by_parts(error: BaseException) -> str:
    return "".join(get_pyro_traceback(type(error), error, error.__traceback__))


def shown_by_server(error: BaseException) -> str:
    return "".join(format_traceback(type(error), error, error.__traceback__))


def shown_with_details(error: BaseException) -> str:
    return "".join(format_traceback(type(error), error, error.__traceback__, detailed=True))


ALL_WAYS = [shown_by_python, shown_by_logging, shown_here, shown_by_parts, shown_by_server, shown_with_details]


@pytest.mark.parametrize("show", ALL_WAYS)
def test_remote_traceback_is_shown_once(show: Callable[[BaseException], str]) -> None:
    assert show(raised(remote_error())).count("Remote traceback") == 1


@pytest.mark.parametrize("show", ALL_WAYS)
def test_causes_are_followed(show: Callable[[BaseException], str]) -> None:
    def explicit() -> None:
        try:
            fail(remote_error("the cause"))
        except ValueError as error:
            raise KeyError("the effect") from error

    def implicit() -> None:
        try:
            fail(remote_error("the cause"))
        except ValueError:
            fail(KeyError("the effect"))

    def hidden() -> None:
        try:
            fail(remote_error("the cause"))
        except ValueError:
            raise KeyError("the effect") from None

    for chained in (explicit, implicit):
        text = show(caught(chained))
        assert text.count("Remote traceback") == 1
        assert text.index("the cause") < text.index("Remote traceback") < text.index("the effect")
    assert "the cause" not in show(caught(hidden))


def test_traceback_that_somebody_else_attached() -> None:
    error = raised(ValueError("no good"))
    error._pyroTraceback = ["one\n", "two"]  # type: ignore[attr-defined]
    for _ in range(2):
        text = "".join(get_pyro_traceback(error))
        assert text.count("Remote traceback") == 1
        assert " | one\n | two\n" in text
    error._pyroTraceback = "as text\nof two lines"  # type: ignore[attr-defined]
    assert " | as text\n | of two lines\n" in "".join(get_pyro_traceback(error))
    outer = caught(lambda: _raise_from(KeyError("effect"), error))
    assert "".join(get_pyro_traceback(outer)).count("Remote traceback") == 1


def _raise_from(error: BaseException, cause: BaseException) -> None:
    raise error from cause


def test_members_of_groups() -> None:
    group = raised(ExceptionGroup("group", [remote_error(), TypeError("other")]))
    assert "".join(get_pyro_traceback(group)).count("Remote traceback") == 1


def test_other_notes_stay() -> None:
    error = ValueError("no good")
    error.add_note("remember this")
    attach_remote_traceback(error, REMOTE_LINES)
    notes = error.__notes__
    assert notes[0] == "remember this"
    assert [is_remote_note(note) for note in notes] == [False, True]
    assert "remember this" in "".join(get_pyro_traceback(raised(error)))


def test_no_lines_no_note() -> None:
    error = ValueError("no good")
    attach_remote_traceback(error, [])
    assert error._pyroTraceback == []  # type: ignore[attr-defined]
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("argument", [5, "text", ["list"]])
def test_single_argument_that_is_no_exception(argument: Any) -> None:
    with pytest.raises(TypeError, match="expected an exception"):
        get_pyro_traceback(argument)


class Owner:
    def __init__(self) -> None:
        self.attribute = "attribute of self"

    def work(self, argument: Any) -> None:
        local = [argument]
        raise ValueError("in detail", len(local))


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_details() -> None:
    error = caught(lambda: Owner().work("x" * 5000))
    lines = format_traceback(type(error), error, error.__traceback__, detailed=True)
    text = "".join(lines)
    assert text.count("EXCEPTION <class 'ValueError'>: ('in detail', 1)\n") == 2
    assert " Extended stacktrace follows (most recent call last)\n" in lines
    assert "in Owner.work\n" in text
    assert 'Source code:\n    raise ValueError("in detail", len(local))\n' in text
    assert "Local values:\n" in text
    assert "    argument = 'xxx" in text
    assert "        self.attribute = 'attribute of self'\n" in text
    assert "…" in text, "long values are cut"
    assert max(map(len, text.splitlines())) < tracebacks.LONGEST_VALUE + 100


def test_details_leave_the_first_frame_out() -> None:
    error = raised(ValueError("x"))
    text = "".join(format_traceback(type(error), error, error.__traceback__, detailed=True))
    assert "action =" not in text
    assert "local = 'local value'" in text


def test_details_of_values_that_cannot_be_shown() -> None:
    error = caught(lambda: Owner().work(Silent()))
    assert "argument = <no text: RuntimeError>" in "".join(
        format_traceback(type(error), error, error.__traceback__, detailed=True)
    )


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unnoted(Exception):
    @property
    def __notes__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no notes")


@pytest.mark.parametrize("detailed", [False, True])
@pytest.mark.parametrize("cls", [Unspeakable, Unnoted])
def test_odd_exceptions_are_shown_somehow(cls: type[Exception], detailed: bool) -> None:
    error = raised(cls())
    text = "".join(format_traceback(type(error), error, error.__traceback__, detailed))
    assert cls.__name__ in text


def test_exhausted_stack() -> None:
    def recurse() -> None:
        recurse()

    error = caught(recurse)
    assert "RecursionError" in "".join(format_traceback(type(error), error, error.__traceback__))


def test_circle_of_causes() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    for detailed in (False, True):
        assert "first" in "".join(format_traceback(ValueError, first, None, detailed))


def test_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    error = raised(remote_error())
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    excepthook(type(error), error, error.__traceback__)
    assert printed.getvalue() == "".join(get_pyro_traceback(error))
    monkeypatch.setattr(sys, "stderr", None)
    excepthook(type(error), error, error.__traceback__)


@pytest.mark.parametrize("hook", ["", "sys.excepthook = fastpyro.errors.excepthook"])
def test_program_that_ends_with_a_remote_error(hook: str) -> None:
    program = f"""
import sys, fastpyro.errors
from fastpyro.tracebacks import attach_remote_traceback
{hook}
error = ValueError("no good")
attach_remote_traceback(error, ["the other side\\n"])
raise error
"""
    root = Path(tracebacks.__file__).parent.parent
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=root)
    assert ended.returncode == 1
    assert ended.stderr.count(" | the other side\n") == 1
    assert ended.stderr.count("ValueError: no good\n") == 1


ATTACK = "text\x1b[2J\x9b\u202e\r"


@pytest.mark.parametrize("show", [shown_here, shown_by_parts, shown_by_server, shown_with_details])
def test_terminals_are_not_steered(show: Callable[[BaseException], str]) -> None:
    error = ValueError(ATTACK)
    error.add_note(ATTACK)
    attach_remote_traceback(error, [ATTACK + "\n", f"{ATTACK}\tindented\n"])
    text = show(raised(error))
    assert not has_controls(text.replace("\n", "").replace("\t", ""))
    assert text.count("\\x1b[2J\\x9b\\u202e\\r") >= 4
    assert not has_controls(error.__notes__[-1].replace("\n", "").replace("\t", ""))  # Python prints it itself


GUARDED = "".join(["SEC", "RET"])  # the source is shown, too


class Guarded:
    def __init__(self) -> None:
        self._pyroHmacKey = GUARDED.encode()
        self.settings = {"passwd": GUARDED, "plain": [{"token": GUARDED}]}

    def validateHandshake(self, connection: object, data: str) -> None:
        raise ValueError("refused")

    def work(self, password: str) -> None:
        options = ({"api_key": password, "name": "shown"}, "also shown")
        self.validateHandshake(options, password)


def test_details_hide_secrets() -> None:
    error = caught(lambda: Guarded().work(GUARDED))
    text = "".join(format_traceback(type(error), error, error.__traceback__, detailed=True))
    assert GUARDED not in text
    assert "'name': 'shown'}, 'also shown')" in text
    assert f"password = {MASKED}" in text


def test_details_of_the_package_itself_are_left_out() -> None:
    error = caught(lambda: fastpyro.URI("nonsense"))
    text = "".join(format_traceback(type(error), error, error.__traceback__, detailed=True))
    assert "in URI.__init__" in text
    assert "Local values" in text.partition("in URI.__init__")[0]
    assert "Local values" not in text.partition("in URI.__init__")[2]


class Holder:
    def __init__(self) -> None:
        self._hmac_key = GUARDED.encode()

    def work(self, data: str) -> None:
        copies = [data, data.encode(), f"in a text: {data}"]
        raise ValueError("refused", len(copies))


def test_details_hide_keys_wherever_they_stand() -> None:
    holder = Holder()

    def use() -> None:
        server = holder
        server.work(GUARDED)

    error = caught(use)
    text = "".join(format_traceback(type(error), error, error.__traceback__, detailed=True))
    assert GUARDED not in text
    assert f"in a text: {MASKED}" in text


def test_the_words_of_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracebacks, "_heads", tracebacks._heads[:])
    ours = remote_note(["a line\n"])
    tracebacks.say_as_peer(" +--- As the peer says:")
    assert remote_note(["a line\n"]).startswith(" +--- As the peer says:\n | a line\n")
    assert is_remote_note(ours)
    assert is_remote_note(remote_note([]))
