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


UNKNOWN = """
serializer = SerpentSerializer()

class Point:
    pass

for read in (lambda: serializer.loads(serializer.dumps(Point())), lambda: base.dict_to_class({"__class__": "a.Point"})):
    try:
        read()
    except Exception as error:
        print(type(error).__name__, error, len(error.__notes__), "register" in error.__notes__[0])
"""


@pytest.mark.parametrize("facade", ["Pyro5", "Pyro4"])
def test_an_unknown_class_is_named_in_pyros_words(facade: str, tmp_path: Path) -> None:
    program = (
        HEAD[facade] + "base = SerializerBase\n" + UNKNOWN.replace("class Point:", "class Point:\n    __module__ = 'a'")
    )
    lines = output_of(facade, tmp_path, program).splitlines()
    assert lines == ["SerializeError unsupported serialized class: a.Point 1 True"] * 2


def test_serializers_of_pyro4_travel(tmp_path: Path) -> None:
    program = HEAD["Pyro4"] + "s = SerpentSerializer()\nprint(s.loads(s.dumps(s)) == s)\n"
    assert output_of("Pyro4", tmp_path, program) == "True\n"
