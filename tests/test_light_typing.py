"""The named tuples that do without `typing` are like those of it, and our client imports without what it seldom needs."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing

import pytest

from fastpyro import _light_typing
from fastpyro._light_typing import TYPE_CHECKING


class Light(_light_typing.NamedTuple):
    """A point."""

    x: int
    y: int = 5

    def sum(self) -> int:
        return self.x + self.y


class Heavy(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 5

    def sum(self) -> int:
        return self.x + self.y


@pytest.mark.parametrize("kind", [Light, Heavy])
def test_a_named_tuple(kind: typing.Any) -> None:
    assert (kind._fields, kind._field_defaults) == (("x", "y"), {"y": 5})
    point = kind(3)
    assert (point, point.x, point.y, point.sum()) == ((3, 5), 3, 5, 8)
    assert point._replace(y=1).sum() == 4
    assert repr(point) == f"{kind.__name__}(x=3, y=5)"
    assert (kind.__doc__, kind.__module__) == ("A point.", __name__)
    assert type(pickle.loads(pickle.dumps(point))) is kind
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        kind()
    with pytest.raises(AttributeError):
        point.x = 1


def test_only_type_checkers_check() -> None:
    assert TYPE_CHECKING is False
    assert _light_typing.Protocol is object


def test_importing_a_client_takes_only_what_a_call_takes() -> None:
    seldom = (
        *("typing", "re", "logging", "traceback", "inspect", "zlib", "json", "ssl", "decimal", "uuid", "asyncio"),
        *("fastpyro._escapes", "fastpyro.values._standard_builders", "fastpyro.values._paths"),
        "fastpyro.serializers._numpy_reader",
    )
    program = (
        f"import sys; before = set(sys.modules); import fastpyro; print({{*{seldom}}} & {{*sys.modules}} - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")
