"""Values of the standard library are built past their constructors, after a look at every part of their state."""

from __future__ import annotations

import pickle
import uuid
from array import array, typecodes
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from fastpyro import URI
from fastpyro.errors import SerializeError
from fastpyro.values import _standard_builders as builders
from fastpyro.values.class_registry import from_state

CODE = "w" if "w" in typecodes else "u"
BUILT: list[tuple[str, Any, Any]] = [
    ("decimal", "1.50", Decimal("1.50")),
    ("fraction", (-6, 4), Fraction(-3, 2)),
    ("fraction", (0, 7), Fraction(0)),
    ("uuid", b"\1" * 16, uuid.UUID(bytes=b"\1" * 16)),
    ("slice", [1, None, "x"], slice(1, None, "x")),
    ("array", ("h", 2, b"\1\0"), array("h", [1])),
    ("fastpyro.URI", ("PYRO", "o", None, "::1", 5), URI("PYRO:o@[::1]:5")),
    ("fastpyro.URI", ("PYROMETA", ["b", "a"], None, None, None), URI("PYROMETA:a,b")),
    ("fastpyro.URI", ("PYRO", "o", "a b", None, None), URI("PYRO:o@./u:a b")),
    ("fastpyro.URI", ("pyroname", "ä", None, None, None), URI("PYRONAME:ä")),
]
REFUSED: dict[str, list[Any]] = {
    "decimal": [1, "x", "1" * 5000, "sNaN0x"],
    "fraction": [(1,), (1, 0), (1, -1), (True, 1), [1, 2], (1.0, 2)],
    "uuid": ["a" * 16, b"a" * 15, None],
    "path": ["a", ("PurePosixPath",), ("Path", "a"), (1, "a"), ("PosixPath", b"a"), ["PosixPath", "a"]],
    "slice": [(1, 2), "abc", None],
    "array": [
        ("b", 1),
        ("x", 1, b""),
        ("b", 3, b"abc"),
        ("h", 2, b"a"),
        ("u", 0, b"\xff"),
        ("bb", 1, b""),
        ["b", 1, b""],
    ],
    "fastpyro.URI": [
        ("PYRO", "o", None, "h"),
        ("PYRO", {"o"}, None, "h", 1),
        ("PYROMETA", {1}, None, None, None),
        ("PYRO", "o", None, "h", 1 << 70),
        ("PYRO", "o", None, "h", "1"),
        ("PYRO", "o p", None, "h", 1),
        ("PYRO", "o\n", None, "h", 1),
        ("PYRO", "o", 1, "h", 1),
        ["PYRO", "o", None, "h", 1],
    ],
}


@pytest.mark.parametrize(("name", "state", "value"), BUILT)
def test_a_value_is_the_same(name: str, state: Any, value: Any) -> None:
    built = from_state(name, state)
    assert built == value
    assert type(built) is type(value)
    assert repr(built).partition(" at ")[0] == repr(value).partition(" at ")[0]
    if name != "fastpyro.URI":  # it says that somebody else chose it
        assert pickle.dumps(built) == pickle.dumps(value)


@pytest.mark.parametrize(("name", "state"), [(name, state) for name in REFUSED for state in REFUSED[name]])
def test_a_state_that_cannot_be_one_is_refused(name: str, state: Any) -> None:
    with pytest.raises(SerializeError):
        from_state(name, state)


def test_surrogates_of_arrays() -> None:
    text = "a\ud800\U0001f600"
    made = builders.build_array("array", (CODE, 0, text.encode("utf-8", "surrogatepass")))
    assert "".join(made) == text
