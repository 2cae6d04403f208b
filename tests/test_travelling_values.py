"""The page of the docs that says what can travel says what happens."""

from __future__ import annotations

import pytest
import travelling
from travelling import EXACT, FORMATS, REFUSED, ROWS


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    travelling.register()


@pytest.mark.parametrize("row", ROWS)
def test_the_table_is_true(row: str) -> None:
    if not travelling.has(row):
        pytest.skip("NumPy is not here")
    happens = [travelling.outcome(name, ROWS[row]()) for name in FORMATS]
    assert travelling.written()[row] == happens, "python tests/support/travelling.py writes the table anew"


def test_every_row_is_tried() -> None:
    assert list(travelling.written()) == list(ROWS)


@pytest.mark.parametrize(
    ("value", "arrived"),
    [(1, True), (1, 1.0), ([1], (1,)), ({"a": 1}, {"a": 1.0}), ([(1,)], [[1]]), (0.0, -0.0), ({1: 2}, {"1": 2})],
)
def test_what_is_not_the_same(value: object, arrived: object) -> None:
    assert travelling.is_same(value, value)
    assert not travelling.is_same(value, arrived)


def test_both_outcomes_are_there() -> None:
    outcomes = {cell for cells in travelling.written().values() for cell in cells}
    assert {EXACT, REFUSED} < outcomes
