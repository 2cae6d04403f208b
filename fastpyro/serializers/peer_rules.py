"""What Pyro's serializers have forms for: which objects become dicts in which format, and whose converters are asked.

A converter that a program of Pyro registers is asked about an object only where its serializer has no form for it.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.values.peer_dicts import FormatRules

if TYPE_CHECKING:
    from typing import Any

__all__ = ["RULES"]


def _names_in(module: str, names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names.split())


def _frozen_items(value: Any) -> list[Any]:
    return list(frozenset.__iter__(value))


_PLAIN = _names_in("builtins", "str int float bool NoneType list tuple dict")
_TEXTS = {"builtins.set", "uuid.UUID", "decimal.Decimal", "array.array"} | _names_in("datetime", "datetime date")

RULES: dict[str, FormatRules] = {
    "serpent": FormatRules(
        bare_states=True, unasked_themselves=_names_in("collections", "deque UserDict UserList UserString")
    ),
    "json": FormatRules(
        bare_dicts=True,
        refused=frozenset({bytes, bytearray, memoryview, complex}),
        plain={"builtins.frozenset": _frozen_items},
        unasked=_PLAIN | _TEXTS,
    ),
    "msgpack": FormatRules(
        bare_dicts=True,
        plain={"builtins.frozenset": _frozen_items},
        inner_first=True,
        unasked=_PLAIN | _TEXTS | _names_in("builtins", "complex bytes bytearray memoryview"),
    ),
    "marshal": FormatRules(
        bare_dicts=True,
        unasked=_PLAIN | _names_in("builtins", "complex bytes bytearray set frozenset") | {"array.array", "uuid.UUID"},
    ),
}
"""By name of the serializer."""
