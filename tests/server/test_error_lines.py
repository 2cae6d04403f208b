"""What is sent with an error: its traceback where a user's code has run, else what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer, get_serializer_by_id, native
from fastpyro.server import error_lines
from fastpyro.server.error_lines import LONGEST_TEXT, lines_of
from fastpyro.server.exposure import resolve_method
from fastpyro.transport.handshake import peer_serializer


def raised(call: Callable[..., Any], *args: Any) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        call(*args)
    error = caught.value
    # What called it here is no part of the server: those frames would be its own there.
    frames: TracebackType | None = error.__traceback__
    assert frames is not None
    while frames is not None and frames.tb_frame.f_globals["__name__"] in (__name__, "_pytest.python_api"):
        frames = frames.tb_next
    return error.with_traceback(frames)


UNKNOWN = {"__class__": "no.such", "x": 1}

REFUSED: dict[str, Callable[[], Any]] = {
    "method": lambda: resolve_method(object(), "nothing", True),
    "serializer": lambda: peer_serializer(99, 502, frozenset({1})),
    "class": lambda: native.loads(b"\xc7\x09\x00\x92\xa7no.such\x90".replace(b"\x09", b"\x0a")),
    "class of a peer": lambda: get_serializer("serpent").loads(get_serializer("serpent").dumps(UNKNOWN)),
    "truncated": lambda: native.loads(b"\x92\x01"),
    "no JSON": lambda: get_serializer("json").loads(b"{"),
    "no serpent": lambda: get_serializer_by_id(1).loads(b"(("),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_code_of_a_user_has_seen_has_no_traceback(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def format_traceback(*_: Any, **__: Any) -> list[str]:
        raise AssertionError("it costs as much as a hundred calls")

    error = raised(REFUSED[what])
    monkeypatch.setattr(error_lines, "format_traceback", format_traceback)
    lines = lines_of(error)
    assert lines[0] == "Traceback (most recent call last):\n"
    assert lines[-1].endswith(f"{type(error).__name__}: {error}\n")


def test_what_caused_it_is_said_too() -> None:
    error = SerializeError("outer")
    error.__cause__ = KeyError("inner")
    assert lines_of(error)[1:] == ["KeyError: 'inner'\n", "fastpyro.errors.SerializeError: outer\n"]


def test_a_users_code_shows_also_as_a_cause() -> None:
    def users_code() -> None:
        raise KeyError("inner")

    for link in ("__cause__", "__context__"):
        error = SerializeError("outer")
        try:
            users_code()
        except KeyError as cause:
            setattr(error, link, cause)
        error.__suppress_context__ = False
        assert "in users_code" in "".join(lines_of(error)), link
    error = SerializeError("outer")
    error.__cause__ = error
    assert len(lines_of(error)) < 10


def test_texts_are_cut_and_details_are_formatted(monkeypatch: pytest.MonkeyPatch) -> None:
    error = AttributeError("x" * 1_000_000)
    assert len("".join(lines_of(error))) < LONGEST_TEXT + 200
    assert len(str(error)) < LONGEST_TEXT + 100
    monkeypatch.setattr(fastpyro.config, "DETAILED_TRACEBACK", True)
    assert "Extended stacktrace" in "".join(lines_of(raised(json.loads, "{")))
