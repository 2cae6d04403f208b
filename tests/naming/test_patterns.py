"""Patterns match as `re.match` does, on any pattern and any text, and take a bounded time with the worst of them."""

from __future__ import annotations

import random
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpyro.errors import NamingError
from fastpyro.naming import patterns
from fastpyro.naming.patterns import Pattern

LETTERS = "ab1_ \n-é"
ATOMS = r". \d \w \s \D \W \S \A \Z \. \n \x61 \u00e9 [ab] [^a] [a-b1] [\d\s] []a] [^]a-] ^ $ () - } a b 1 é"
atoms = st.sampled_from(ATOMS.split())
quantifiers = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "*?", "+?", "??", "{0,1}?"])
expressions = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4).map("".join)
        | st.tuples(inner, inner).map("|".join)
        | inner.map("({})".format)
        | inner.map("(?:{})".format)
        | st.tuples(inner.map("(?:{})".format), quantifiers).map("".join)
        | st.tuples(atoms, quantifiers).map("".join)
    ),
    max_leaves=12,
)
scraps = st.lists(st.sampled_from([*"ab(){}[]|*+?^$.,-12\\", "(?:", "[^", "\\d", "{1,", "{,2}"]), max_size=10).map(
    "".join
)
texts = st.text(alphabet=LETTERS, max_size=12)


def reference(text: str) -> re.Pattern[str] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about sets that may mean something else one day
        try:
            return re.compile(text)
        except re.error:
            return None


@given(expressions, st.lists(texts, min_size=1, max_size=8))
def test_matches_what_re_matches(expression: str, names: list[str]) -> None:
    expected = reference(expression)
    if expected is None:
        with pytest.raises(NamingError, match="invalid regex"):
            Pattern(expression)
        return
    pattern = Pattern(expression)
    for name in names:
        assert pattern.matches(name) is bool(expected.match(name)), (expression, name)


@given(scraps, st.lists(texts, min_size=1, max_size=4))
def test_scraps_of_syntax_are_taken_as_re_takes_them(scrap: str, names: list[str]) -> None:
    expected = reference(scrap)
    try:
        pattern, complaint = Pattern(scrap), ""
    except NamingError as error:
        pattern, complaint = None, str(error)
    if pattern is None:  # what only `re` knows: back-references, other escapes, and possessive repetition
        assert expected is None or "not supported" in complaint or "+" in scrap
        return
    assert expected is not None
    for name in names:
        assert pattern.matches(name) is bool(expected.match(name)), (scrap, name)


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_is_a_pattern_or_a_naming_error(expression: str, name: str) -> None:
    try:
        pattern = Pattern(expression)
    except NamingError:
        return
    expected = reference(expression)
    assert expected is not None
    assert pattern.matches(name) is bool(expected.match(name))


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        ("", "", True),
        ("", "x", True),
        ("b", "ab", False),
        ("a", "ab", True),
        ("a$", "ab", False),
        ("a$", "a\n", True),
        (r"a\Z", "a\n", False),
        ("a$\n", "a\n", True),
        ("$^", "", True),
        ("$", "\n", True),
        ("^a|b", "b", True),
        ("(^a)*b", "b", True),
        ("a.c", "a\nc", False),
        (r"lab\.(thermometer|scale)[0-9]{1,3}$", "lab.scale12", True),
        (r"lab\.(thermometer|scale)[0-9]{1,3}$", "lab.scale1234", False),
        ("[é-ü]", "ö", True),
        (r"[\]\-\\]+$", "]-\\", True),
        ("x{,2}$", "xx", True),
        ("x{a}", "x{a}", True),
        (r"\d", "\N{ARABIC-INDIC DIGIT THREE}", True),
    ],
)
def test_plain_cases(expression: str, text: str, found: bool) -> None:
    assert bool(re.match(expression, text)) is found
    assert Pattern(expression).matches(text) is found


EXPLOSIVE = [
    "(a+)+$",
    "(a|a)*$",
    "(a*)*b",
    "(a|aa)+$",
    "(.*a){12}$",
    "(.*)*(.*)*(.*)*x",
    "(a?){100}a{100}$",
    "(a|b)*a(a|b){12}$",
    r"(\w+\s?)*$",
    "((((a*)*)*)*)*$",
    "(" * 49 + "a" + ")*" * 49 + "$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
]


@pytest.mark.parametrize("expression", EXPLOSIVE)
def test_explosive_patterns_cost_little(expression: str) -> None:
    # `re` would need longer than the universe is old for some of them; here the work is counted, not timed.
    pattern = Pattern(expression, most_work=200_000)
    for length in (10, 100, 250, 500):
        pattern.matches("a" * length + "!")
        pattern.matches("ab" * (length // 2) + "!")


@pytest.mark.parametrize("expression", EXPLOSIVE)
def test_work_does_not_grow_faster_than_the_text(expression: str) -> None:
    def work(length: int) -> int:
        pattern = Pattern(expression)
        before = pattern._work_left
        pattern.matches("a" * length + "!")
        return before - pattern._work_left

    assert work(2000) <= 2.5 * work(1000) + 1000


def test_work_over_all_names_is_limited() -> None:
    pattern = Pattern("(.*a.*b){20}$", most_work=1000)
    names = [f"{number:b}".replace("0", "a").replace("1", "b") * 5 for number in range(1000)]
    with pytest.raises(NamingError, match="too much work"):
        [pattern.matches(name) for name in names]


def test_forgetting_states_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MOST_REMEMBERED", 3)
    expression = "(a|b)*a(a|b){3}$"
    pattern = Pattern(expression)
    for number in range(512):
        name = f"{number:b}".replace("0", "a").replace("1", "b")
        assert pattern.matches(name) is bool(re.match(expression, name))
    assert len(pattern._states) <= 4


def test_memory_is_bounded_however_many_places_a_state_has() -> None:
    pattern = Pattern("([^!]*a[^!]{450}[^!]{0,450})!")
    generator = random.Random(3)

    def match_many() -> None:
        for _ in range(50):
            pattern.matches("".join(generator.choices("ab", k=500)))
            held = sum(len(state.kernel) + len(state.consuming) + len(state.next) for state in pattern._states.values())
            assert held <= patterns.MOST_REMEMBERED + 4000

    with pytest.raises(NamingError, match="too much work"):
        match_many()


def test_set_of_many_ranges() -> None:
    ranges = "".join(f"{chr(code)}-{chr(code + 1)}" for code in range(0x4E00, 0x4E00 + 300, 4))
    expression = f"[{ranges}]+$"
    pattern, expected = Pattern(expression), re.compile(expression)
    for code in range(0x4DF0, 0x4E00 + 310):
        assert pattern.matches(chr(code)) is bool(expected.match(chr(code)))
