"""Keys of received dicts and sets are hashed here as Python hashes them, and cost what they cost."""

from __future__ import annotations

import random
import sys
import uuid
from decimal import Decimal, getcontext, localcontext
from enum import Enum
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import pytest

from fastpyro import URI, Proxy, register_class
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer
from fastpyro.values._keys import know_hash

PRIME = sys.hash_info.modulus
NATIVE = get_serializer("native")


class Colour(Enum):
    """Members are hashed by Enum."""

    RED = 1


class Pair(NamedTuple):
    """A tuple, hashed as one."""

    left: Any
    right: Any


register_class(Colour, name="test_keys.Colour")
register_class(Pair, name="test_keys.Pair")


def chosen_decimals(chosen: random.Random) -> list[Decimal]:
    made = [Decimal(chosen.randrange(-(10**40), 10**40)).scaleb(chosen.randrange(-60, 60)) for _ in range(300)]
    big = [
        Decimal(f"{sign}{digits}e{exponent}")
        for sign in "+-"
        for digits in (0, 1, 7, 10**30)
        for exponent in (0, 999999)
    ]
    return [*made, *big, Decimal("-1"), Decimal("-2"), Decimal("1e-999999"), Decimal(PRIME), Decimal(-PRIME - 1)]


def chosen_fractions(chosen: random.Random) -> list[Fraction]:
    sizes = (3, 61, 64, 200)
    made = [
        Fraction(chosen.randrange(-(2**size), 2**size), chosen.randrange(1, 2**size))
        for size in sizes
        for _ in range(100)
    ]
    return [*made, Fraction(1, PRIME), Fraction(-1, PRIME), Fraction(PRIME, 2), Fraction(-1), Fraction(-1, PRIME - 1)]


PATHS = ["", "a", "/a/b", "//a//b/", "./a/../b", "ä/İ", "C:\\A\\b", "\\\\h\\s\\x", "c:a", "a:b"]
KEYS: dict[str, list[Any]] = {
    "decimals": chosen_decimals(random.Random(1)),
    "fractions": chosen_fractions(random.Random(2)),
    "uuids": [uuid.UUID(int=number) for number in (0, 1, 2**127 + 5)],
    "paths": [cls(text) for cls in (PurePosixPath, PosixPath, PureWindowsPath) for text in PATHS],
    "uris": [URI("PYRO:o@h:1"), URI("PYROMETA:a,b"), URI("PYRONAME:n@./u:s")],
    "proxies": [Proxy("PYRO:o@h:1"), Proxy("PYRONAME:n")],
    "tuples": [(), (1,), (Fraction(1, 3), ("a", Decimal(2))), (-1, None, PurePosixPath("a")), tuple(range(9))],
    "frozensets": [frozenset(), frozenset([Fraction(1, 3), (Decimal("0.5"),)])],
    "objects": [Colour.RED, Pair(1, Fraction(1, 3)), Pair((), "x")],
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_found_where_it_was_put(kind: str) -> None:
    made = dict.fromkeys(KEYS[kind])
    for items in (made, {key: 1 for key in list(made)[:1]}):
        read = NATIVE.loads(NATIVE.dumps(items))
        assert read == items
        assert all(key in read for key in items)
        assert list(map(hash, read)) == list(map(hash, items))
    for collection in (set(made), frozenset(made)):
        assert NATIVE.loads(NATIVE.dumps(collection)) == collection


def test_decimals_are_hashed_whatever_the_context_is() -> None:
    data = NATIVE.dumps({Decimal("1e50"): 1})
    with localcontext(getcontext()) as context:
        context.capitals, context.prec = 0, 3
        assert NATIVE.loads(data)[Decimal("1e50")] == 1


def test_a_rule_that_is_not_pythons_is_not_used() -> None:
    class Odd:
        def __hash__(self) -> int:
            return 7

    vars_of: Any = Odd
    vars_of.int = 5  # what a UUID is hashed by

    assert not know_hash(Odd, "uuid", [Odd()])
    with pytest.raises(KeyError):
        know_hash(Odd, "what", [])


def test_equal_hashes_of_fractions_are_counted() -> None:
    colliding = [Fraction(1 + PRIME * index, 2) for index in range(1, 4000, 2)]
    assert len(set(map(hash, colliding))) == 1
    data = NATIVE.dumps([[key, None] for key in colliding])
    assert NATIVE.loads(data)
    with pytest.raises(SerializeError, match=r"collide|too long to hash"):
        NATIVE.loads(NATIVE.dumps(dict.fromkeys(colliding)))
    with pytest.raises(SerializeError, match=r"collide|too long to hash"):
        NATIVE.loads(NATIVE.dumps(set(colliding)))
