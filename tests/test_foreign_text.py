"""What others wrote is shown on one line, without anything that steers a terminal, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro._foreign_text import has_controls, is_key_name, is_secret_name, on_lines, on_one_line, shown

HARMFUL = ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x9b", "\x85", "\u2028"]
HARMFUL += ["\u202e", "\u2066", "\u200b", "\ufeff", "\ud800"]


@pytest.mark.parametrize("character", HARMFUL, ids=ascii)
def test_harmful_characters_are_found_and_escaped(character: str) -> None:
    text = f"a{character}b"
    assert has_controls(text)
    assert on_one_line(text) == "a" + character.encode("unicode_escape").decode() + "b"
    assert character not in shown(text)
    assert on_lines(text) == (text if character in "\n\t" else on_one_line(text))


@pytest.mark.parametrize("text", ["", "plain", "é", "日本　語", "10\xa0€", "😀"])
def test_text_in_any_language_stays(text: str) -> None:
    assert not has_controls(text)
    assert on_one_line(text) == on_lines(text) == text


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    safe = on_one_line(text)
    assert not has_controls(safe)
    assert len(safe.splitlines()) <= 1
    assert not has_controls(on_lines(text).replace("\n", "").replace("\t", ""))
    assert not has_controls(shown(text))


class Hostile:
    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __format__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class Text(str):
    def __repr__(self) -> str:
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", '"it\'s"'),
        (b"\x1b", r"b'\x1b'"),
        (("127.0.0.1", 5), "('127.0.0.1', 5)"),
        (("x",), "('x',)"),
        ([None, True, 1.5], "[None, True, 1.5]"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, …]"),
        ([[[[1]]]], "[[[<list>]]]"),
        (1 << 5000, "<int of 5,001 bits>"),
        (Hostile(), "<Hostile>"),
        ([Hostile()], "[<Hostile>]"),
        (Text("x"), "<Text>"),
        ({"a": 1}, "<dict>"),
        ("x" * 1000, f"'{'x' * 200}'… of 1,000 characters"),
    ],
    ids=lambda value: "",
)
def test_values_are_told_without_running_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_what_is_told_is_bounded() -> None:
    for value in ("x" * 10_000_000, b"\0" * 10_000_000, ["y" * 1000] * 1000, [["\x1b" * 1000] * 8] * 8):
        assert len(shown(value)) < 300


def test_names_of_secrets() -> None:
    for name in ("_pyroHmacKey", "password", "SSL_CLIENTKEYPASSWD", "api_key", "token", "Secret", "_pyroHandshake"):
        assert is_secret_name(name)
    for other in ("name", "value", "self", b"key", 5, None):
        assert not is_secret_name(other)
    assert is_key_name("_pyroHmacKey")
    assert is_key_name("api_key")
    for another in ("key", "_pyroHandshake", 5):
        assert not is_key_name(another)
