"""Values that the peers' serializers know, for Hypothesis, and how to compare what came back."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(alphabet=st.characters(exclude_categories=()))
    | st.binary()
)
keys = st.integers() | st.text() | st.booleans() | st.floats(allow_nan=False) | st.tuples(st.integers(), st.text())


def nested(leaves: Any, hashable: Any) -> Any:
    """Return a strategy for containers of leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.tuples(inner) | st.tuples(inner, inner) | st.dictionaries(hashable, inner),
        max_leaves=20,
    )


values = nested(scalars, keys)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, types included, NaN equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, complex):
        # Python adds the two parts of a literal, and so loses the sign of a zero; the codecs do not.
        return all(
            a == b or (math.isnan(a) and math.isnan(b)) for a, b in ((one.real, other.real), (one.imag, other.imag))
        )
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (one == other and str(one) == str(other))
    return bool(one == other)


def mutated(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    """Return bytes with some changed and some cut off."""
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut % len(changed)] if cut else changed)


mutations = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=5)
