"""Flame refuses, with words, whoever uses it."""

from __future__ import annotations

from typing import Any

import pytest
from Pyro4.errors import SecurityError
from Pyro4.utils import flame, flameserver


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (flame.start, (None,)),
        (flame.connect, ("localhost:1",)),
        (flame.createModule, ("name", "source")),
        (flame.Flame, ()),
        (flameserver.main, ()),
    ],
)
def test_it_refuses(function: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(SecurityError, match="disabled"):
        function(*arguments)
