"""Signatures that come as text from another process: shown as they are, never evaluated, whatever the text is."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastpyro.client.signatures import LONGEST_TEXT, signature_from_state

ANYTHING = "(*args, **kwargs)"

SIGNATURES = [
    "()",
    "(name)",
    "(a, b=2, *, c, d=4)",
    "(a, /, b, *args, c=1, **kwargs)",
    "(*args, **kwargs)",
    "(text: str, size: int = 3) -> bool",
    "(a=None, b='text', c=(1, 2), d={'k': 1}, e=[])",
    "(a=-1, b=1.5, c=1j, d=b'x')",
    "(callback=print, limit=math.inf) -> None",
    "(x: 'Forward', y: list[dict[str, int]] | None = None)",
]


@pytest.mark.parametrize("text", SIGNATURES)
def test_a_signature_comes_back_as_it_was(text: str) -> None:
    assert str(signature_from_state(text)) == text


def test_a_real_functions_signature_travels() -> None:
    def method(self: object, first: int, second: str = "x", /, *rest: bytes, key: float = 1.5, **more: object) -> None:
        """Do nothing."""

    text = str(inspect.signature(method))
    signature = signature_from_state(text)
    assert [(one.name, one.kind) for one in signature.parameters.values()] == [
        (one.name, one.kind) for one in inspect.signature(method).parameters.values()
    ]
    assert signature.parameters["first"].default is inspect.Parameter.empty


def test_the_parameters_can_be_bound() -> None:
    bound = signature_from_state("(a, b=2, *, c)").bind(1, c=3)
    assert bound.arguments == {"a": 1, "c": 3}


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        b"(a)",
        ["(a)"],
        "",
        "a, b",
        "(a",
        "(a, a)",
        "(a=1, b)",
        "(1)",
        "(None)",
        "(a b)",
        "(a): pass\nimport os\ndef f()",
        "(a):\n pass\nprint('evil')\nif True",
        "(): pass; import os",
        "(a)\0",
        "(\ud800)",
        "(a=" + "(" * 900 + ")" * 900 + ")",
        "(a=" + "-" * 1900 + "1)",
        "(a=" + "[" * 1900,
        "(a" + "=1" * 500 + ")",
        "(" + ", ".join(f"a{number}" for number in range(1000)) + ")",
        " " * (LONGEST_TEXT + 1),
        "(lambda: 0)",
        "(*, )",
        "(*)",
        "(**a, b)",
    ],
)
def test_what_is_no_signature_takes_anything(text: Any) -> None:
    assert str(signature_from_state(text)) == ANYTHING


def test_nothing_is_evaluated() -> None:
    attack = "(a=__import__('sys').modules.clear(), b: print('evil') = exit(1)) -> exec('1/0')"
    signature = signature_from_state(attack)
    assert str(signature) == attack
    assert "sys" in sys.modules
    default = signature.parameters["a"].default
    assert repr(default) == "__import__('sys').modules.clear()"
    assert type(default).__module__ == "fastpyro.client.signatures"


@given(st.text(max_size=60) | st.text("(),*/:=abc 1'\"[]{}->\n#\\.", max_size=60))
@example("(a='\\d')")
@example("(a=1if 2else 3)")
@example("(a=(yield))")
@example("(a:=1)")
@example("(a=f'{b!r:{c}}')")
@example("(a=0xfor x in b)")
def test_any_text_gives_a_signature(text: str) -> None:
    for one in (text, f"({text})"):
        signature = signature_from_state(one)
        assert isinstance(signature, inspect.Signature)
        assert str(signature).startswith("(")


parameter = st.tuples(st.sampled_from(["a", "b", "c", "d", "e"]), st.none() | st.integers(-5, 5))


@given(st.lists(parameter, max_size=5, unique_by=lambda one: one[0]), st.booleans())
def test_what_inspect_writes_is_read_back(some: list[tuple[str, int | None]], keyword_only: bool) -> None:
    kind = inspect.Parameter.KEYWORD_ONLY if keyword_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
    ordered = sorted(some, key=lambda one: one[1] is not None)
    parameters = [
        inspect.Parameter(name, kind, default=inspect.Parameter.empty if default is None else default)
        for name, default in ordered
    ]
    text = str(inspect.Signature(parameters))
    assert str(signature_from_state(text)) == text
