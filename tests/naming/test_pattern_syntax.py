"""What the pattern language is: what is refused, with which text, and how large a program may get."""

from __future__ import annotations

import re

import pytest

from fastpyro.errors import NamingError
from fastpyro.naming.pattern_syntax import (
    DEEPEST_NESTING,
    MOST_CHARACTERS,
    MOST_INSTRUCTIONS,
    SUPPORTED,
    compile_program,
)

UNSUPPORTED = [
    r"(a)\1",
    "(?=a)",
    "(?!a)",
    "(?<=a)",
    "(?P<x>a)",
    "(?i)a",
    "a*+",
    "a{2}+",
    r"\bx",
    r"\Bx",
    r"\0",
    r"\p{L}",
]
MALFORMED = ["(", ")", "(a", "a)", "[", "[a", "[]", "*", "+a", "?", "a**", "a*??", "{2}", "a{3,2}", "^*", "$+", "\\"]
MALFORMED += [r"[b-a]", r"[a-\d]", r"\x1", r"\u12", r"\U00110000", "a|*", "(*)", r"\q", "a{2}{3}"]


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_unsupported_syntax_says_what_is_supported(text: str) -> None:
    with pytest.raises(NamingError, match="invalid regex: ") as caught:
        compile_program(text)
    assert SUPPORTED in str(caught.value)


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_expressions_are_refused_as_re_does(text: str) -> None:
    with pytest.raises(re.error):
        re.compile(text)
    with pytest.raises(NamingError, match="invalid regex: "):
        compile_program(text)


def test_length_is_limited() -> None:
    compile_program("a" * MOST_CHARACTERS)
    with pytest.raises(NamingError, match=f"limit of {MOST_CHARACTERS}"):
        compile_program("a" * (MOST_CHARACTERS + 1))


def test_nesting_is_limited() -> None:
    compile_program("(" * DEEPEST_NESTING + "a" + ")" * DEEPEST_NESTING)
    with pytest.raises(NamingError, match="nested deeper"):
        compile_program("(" * (DEEPEST_NESTING + 1) + "a" + ")" * (DEEPEST_NESTING + 1))


@pytest.mark.parametrize(
    "text", ["a{99999}", "a{0,99999}", "((a{60}){60}){60}", "(((((a{9}){9}){9}){9}){9}){9}", "(){9999}"]
)
def test_repetitions_are_limited_before_they_are_written_out(text: str) -> None:
    with pytest.raises(NamingError, match=f"more than {MOST_INSTRUCTIONS:,} steps"):
        compile_program(text)


def test_counts_of_many_digits_are_refused() -> None:
    with pytest.raises(NamingError, match="too many repetitions"):
        compile_program("a{" + "9" * 400 + "}")


def test_program_is_as_large_as_promised() -> None:
    assert len(compile_program("a{900}")) <= MOST_INSTRUCTIONS
    assert len(compile_program("(ab?|[cd])*e+")) < 20
