"""Serializers under Pyro's method names."""

from __future__ import annotations

import pytest

from fastpyro.compat.shared.serializer_table import SerializerTable


@pytest.mark.parametrize("dialect", [48, 502])
def test_table(dialect: int) -> None:
    table = SerializerTable(dialect, ("serpent", "json"))
    assert list(table) == ["serpent", "json"]
    assert len(table) == 2
    assert "marshal" not in table
    with pytest.raises(KeyError):
        table["marshal"]
    for serializer in table.values():
        assert serializer.loads(serializer.dumps({"k": [1]})) == {"k": [1]}
        assert serializer.loadsCall(serializer.dumpsCall("o", "m", (1,), {})) == ("o", "m", (1,), {})
