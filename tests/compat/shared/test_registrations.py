"""How programs of Pyro register classes: what Pyro takes is taken, with the effect that it has there."""

from __future__ import annotations

from pathlib import Path

import pytest
from compat.programs import output_of

HEAD = {
    "Pyro5": "from Pyro5.api import *\nfrom Pyro5.serializers import serializers\nserializer = serializers.__getitem__\n",
    "Pyro4": "from Pyro4 import *\nfrom Pyro4.util import SerializerBase, get_serializer as serializer\n",
}

REGISTERED = """
import array, datetime, decimal, uuid

def convert(value):
    return {"__class__": "converted"}

class Numbers(list):
    pass

VALUES = [datetime.datetime(2020, 1, 2), datetime.date(2020, 1, 2), datetime.time(1), frozenset({1}), {1}, int,
          decimal.Decimal(1), uuid.UUID(int=1), array.array("i", [1]), Numbers(), 1, ValueError("x")]
for value in VALUES:
    SerializerBase.register_class_to_dict(type(value), convert)
    used = [name for name in ("serpent", "json", "msgpack", "marshal") if b"converted" in serializer(name).dumps(value)]
    SerializerBase.unregister_class_to_dict(type(value))
    print(type(value).__name__, *used)
SerializerBase.register_dict_to_class(Numbers, lambda name, data: None)
for name in ("numpy.ndarray", "array", "decimal", "Pyro5.core.URI", "float"):
    SerializerBase.register_dict_to_class(name, lambda name, data: ("built", name))
    print(serializer("serpent").loads(serializer("serpent").dumps({"__class__": name})))
    SerializerBase.unregister_dict_to_class(name)
print(serializer("json").loads(b'{"__class__": "float", "value": "nan"}'))
"""

USED = """
datetime serpent marshal
date serpent marshal
time serpent json msgpack marshal
frozenset json msgpack
set
type serpent json msgpack marshal
Decimal serpent marshal
UUID serpent
array serpent
Numbers serpent
int
ValueError serpent json msgpack marshal
""".strip().splitlines()
"""Whose converters real Pyro asks, in which formats."""


@pytest.mark.parametrize("peer", ["Pyro5", "Pyro4"])
def test_any_class_and_any_name_can_be_registered(peer: str, tmp_path: Path) -> None:
    lines = output_of(peer, tmp_path, HEAD[peer] + REGISTERED).splitlines()
    assert lines[: len(USED)] == USED
    names = "numpy.ndarray", "array", "decimal", "Pyro5.core.URI", "float"
    assert lines[len(USED) :] == [*(str(("built", name)) for name in names), "nan"]


NESTED = """
import threading
SERIALIZERS = ("serpent", "json", "msgpack")
if hasattr(config, "SERIALIZERS_ACCEPTED"):  # Pyro4
    config.SERIALIZERS_ACCEPTED = set(SERIALIZERS)

class Inner:
    def __init__(self, x): self.x = x

class Outer:
    def __init__(self, inner): self.inner = inner

def read(name, data):
    if data["inner"] is None:
        raise ZeroDivisionError("in the converter")
    return Outer(Inner(data["inner"]["x"]))

SerializerBase.register_class_to_dict(Outer, lambda o: {"__class__": "app.Outer", "inner": o.inner})
SerializerBase.register_class_to_dict(Inner, lambda o: {"__class__": "__main__.Inner", "x": o.x})
SerializerBase.register_dict_to_class("app.Outer", read)

@expose
class Shop:
    def echo(self, value): return value
    def broken(self): return Outer(None)

daemon = Daemon()
uri = daemon.register(Shop())
threading.Thread(target=daemon.requestLoop, daemon=True).start()
for name in SERIALIZERS:
    with Proxy(uri) as proxy:
        proxy._pyroSerializer = name
        found = [proxy.echo([Outer(Inner(3))])[0].inner.x]
        for fail in (lambda: proxy.echo(Outer(None)), proxy.broken):
            try:
                fail()
            except Exception as error:
                found.append(repr(error))
        print(name, *found, proxy.echo(4))
"""


@pytest.mark.parametrize("peer", ["Pyro5", "Pyro4"])
def test_a_converter_reads_the_dicts_inside_its_own_and_its_error_arrives(peer: str, tmp_path: Path) -> None:
    lines = output_of(peer, tmp_path, HEAD[peer] + NESTED).splitlines()
    error = "ZeroDivisionError('in the converter')"
    assert lines == [f"{name} 3 {error} {error} 4" for name in ("serpent", "json", "msgpack")]


OTHERS = """
import datetime
kind = type(serializer("json"))
for wrong in (type, 3):
    try:
        kind.register_type_replacement(wrong, repr)
    except ValueError as error:
        print(error)
kind.register_type_replacement(datetime.datetime, lambda value: "noon")
print(serializer("serpent").loads(serializer("serpent").dumps([datetime.datetime(2020, 1, 2)])))
uri = URI("PYRO:x@h:1")
print(SerializerBase.dict_to_class(SerializerBase.class_to_dict(uri)) == uri)
try:
    SerializerBase.register_class_to_dict("no class", repr)
except TypeError:
    print("refused")
"""


@pytest.mark.parametrize("peer", ["Pyro5", "Pyro4"])
def test_replacements_and_dicts(peer: str, tmp_path: Path) -> None:
    refusal = "refusing to register replacement for a non-type or the type 'type' itself"
    assert output_of(peer, tmp_path, HEAD[peer] + OTHERS).splitlines() == [refusal] * 2 + [
        "['noon']",
        "True",
        "refused",
    ]
