"""Names that no object can expose; `tests/server/test_exposure.py` has what the decorators make of them."""

from __future__ import annotations

import pytest

from fastpyro.values.member_names import is_private_attribute


@pytest.mark.parametrize("name", ["_x", "__x", "__init__", "__class__", "__reduce__", "_", "__", "____"])
def test_private_names(name: str) -> None:
    assert is_private_attribute(name)


@pytest.mark.parametrize("name", ["x", "x_", "x__", "__len__", "__getitem__"])
def test_public_names(name: str) -> None:
    assert not is_private_attribute(name)
