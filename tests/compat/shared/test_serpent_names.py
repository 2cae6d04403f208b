"""What programs use of the package serpent, where that is not installed."""

from __future__ import annotations

import pytest

from fastpyro.compat.shared import serpent_names


def test_values_and_bytes() -> None:
    assert serpent_names.loads(serpent_names.dumps([1, "x"], module_in_classname=True)) == [1, "x"]
    assert serpent_names.tobytes(serpent_names.loads(serpent_names.dumps(b"abc"))) == b"abc"
    assert serpent_names.tobytes(b"abc") == b"abc"
    with pytest.raises(TypeError, match="not str"):
        serpent_names.tobytes("abc")
