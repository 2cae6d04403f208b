"""The base class of Pyro's serializers turns objects into dicts and back: the facades as the real ones do."""

from __future__ import annotations

from pathlib import Path

import pytest
from compat.programs import output_of

HEAD = {
    "Pyro5": "from Pyro5.serializers import SerializerBase, SerpentSerializer, all_exceptions\n",
    "Pyro4": "from Pyro4.util import SerializerBase, SerpentSerializer, all_exceptions\n",
}

PROGRAM = """
base = SerpentSerializer()

class Point:
    def __init__(self):
        self.x = 1

print(base.class_to_dict(Point())["x"])
SerializerBase.register_dict_to_class("a.Point", lambda name, data: (name, data["x"]))
given = {"__class__": "a.Point", "x": 5}
print(base.dict_to_class(given), base.recreate_classes([(given,), {"k": given}, frozenset([1]), {2}, "text", None]))
error = base.make_exception(KeyError, {"args": ("k",), "attributes": {"more": 1}})
print(repr(error), error.more)
print(all_exceptions["ValueError"] is ValueError, "TimeoutError" in all_exceptions)
"""

PRINTED = """\
1
('a.Point', 5) [(('a.Point', 5),), {'k': ('a.Point', 5)}, frozenset({1}), {2}, 'text', None]
KeyError('k') 1
True True
"""


@pytest.mark.parametrize("peer", HEAD)
def test_objects_and_dicts(peer: str, tmp_path: Path) -> None:
    assert output_of(peer, tmp_path, HEAD[peer] + PROGRAM) == PRINTED
