"""Class dicts: what objects become for a peer, and what its class dicts become here."""

from __future__ import annotations

import array
import enum
import math
import uuid
from collections import OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

import fastpyro
from fastpyro import errors
from fastpyro.errors import NamingError, SecurityError, SerializeError, ServerOverloadedError
from fastpyro.values.class_registry import StateOf
from fastpyro.values.peer_dicts import PYRO4, PYRO5, ClassDicts, FailedCall, FormatRules, PeerDaemon

five, four = ClassDicts(PYRO5), ClassDicts(PYRO4)


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    pass


class Plain:
    def __init__(self) -> None:
        self.x = 1


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05"),
        (datetime(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00+00:00"),
        (date(2020, 1, 2), "2020-01-02"),
        (time(1, 2, 3), "01:02:03"),
        (timedelta(seconds=90), 90.0),
        (Decimal("1.50"), "1.50"),
        (Fraction(1, 3), "1/3"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        (deque([1, 2]), [1, 2]),
        ({1: 2}.keys(), [1]),
        (array.array("i", [1, 2]), [1, 2]),
        (np.arange(3), [0, 1, 2]),
        (np.float64(1.5), 1.5),
        (Colour.RED, "red"),
        (Text("x"), "x"),
        (Pair(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (Plain(), {"__class__": f"{__name__}.Plain", "x": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_values_become(value: Any, becomes: Any) -> None:
    written = five.simplify(value)
    assert (type(written), written) == (type(becomes), becomes)


@pytest.mark.parametrize(("dicts", "package"), [(five, "Pyro5"), (four, "Pyro4")])
def test_errors_go_by_the_peers_names(dicts: ClassDicts, package: str) -> None:
    written = dicts.simplify(NamingError("gone"))
    assert written == {
        "__class__": f"{package}.errors.NamingError", "__exception__": True, "args": ("gone",), "attributes": {}
    }  # fmt: skip
    assert dicts.simplify(ServerOverloadedError("full"))["__class__"] == f"{package}.errors.DaemonError"
    assert dicts.simplify(errors.RemoteError("a.B", ("x",)))["__class__"] == "a.B"
    assert dicts.simplify(ValueError(1))["__class__"] == "builtins.ValueError"
    failed = dicts.simplify(FailedCall(KeyError("k")))
    assert failed["__class__"].startswith(package)
    assert failed["exception"]["__class__"] == "builtins.KeyError"


@pytest.mark.parametrize("dicts", [five, four])
def test_uris_and_proxies_there_and_back(dicts: ClassDicts) -> None:
    for text in ("PYRO:x@h:1", "PYRO:x@./u:/tmp/s", "PYRONAME:x", "PYROMETA:a,b"):
        uri = fastpyro.URI(text)
        data = dicts.simplify(uri)
        for reader in (five, four):
            assert reader.build(data["__class__"], data) == uri
    proxy = fastpyro.Proxy("PYRO:x@h:1")
    proxy._pyroHandshake = "hey"
    proxy._pyroSerializer = "json"
    proxy._pyroOneway = {"m"}
    data = dicts.simplify(proxy)
    assert len(data["state"]) == (6 if dicts is five else 9)
    for reader in (five, four):
        restored = reader.build(data["__class__"], data)
        assert (restored, restored._pyroHandshake, restored._pyroSerializer) == (proxy, "hello", "json")
        assert restored._pyroOneway == {"m"}
    state = ("PYRO:x@h:1", (), (), (), "a password", "serpent")
    assert five.build("Pyro5.client.Proxy", {"state": state})._pyroHandshake == "a password"


@pytest.mark.parametrize("key", ["b64:aw==", "b64:", "b64:!", 5, None, b"k"])
def test_keys_neither_arrive_nor_leave(key: Any) -> None:
    state = ("PYRO:x@h:1", (), (), (), 0.0, key, "hello", 0, "pickle")
    proxy = four.build("Pyro4.core.Proxy", {"__class__": "Pyro4.core.Proxy", "state": state})
    assert (proxy._pyroHmacKey, proxy._pyroSerializer) == (None, None)
    proxy._pyroHmacKey = b"k"
    assert four.simplify(proxy)["state"][5] is None


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("builtins.ValueError", ValueError),
        ("exceptions.ValueError", ValueError),
        ("ValueError", ValueError),
        ("Pyro4.errors.NamingError", NamingError),
        ("Pyro5.errors.NamingError", NamingError),
        ("Pyro5.errors.TimeoutError", errors.TimeoutError),
        ("bank.OverdrawnError", errors.RemoteError),
    ],
)
def test_errors_arrive_as_themselves(class_name: str, kind: type[Exception]) -> None:
    attributes = {"extra": 1, "_pyroTraceback": ["remote\n"]}
    data = {"__class__": class_name, "__exception__": True, "args": ["why"], "attributes": attributes}
    error: Any = five.build(class_name, data)
    assert (type(error), error.args) == (kind, ("why",))
    assert error.extra == 1
    assert error._pyroTraceback == ["remote\n"]
    none = {**data, "attributes": {"_pyroTraceback": None}}
    assert isinstance(five.build(class_name, none), kind)


def test_other_classes_of_the_peers() -> None:
    assert isinstance(five.build("Pyro5.server.Daemon", {"state": ()}), PeerDaemon)
    assert "unusable" in repr(PeerDaemon())
    assert five.build("collections.OrderedDict", {"items": [["a", 1]]}) == OrderedDict(a=1)
    assert math.isnan(five.build("float", {"value": "nan"}))
    failed = five.build("Pyro5.core._ExceptionWrapper", {"exception": ValueError(1)})
    assert isinstance(failed.exception, ValueError)


@pytest.mark.parametrize(
    ("class_name", "data"),
    [
        ("Pyro5.core.URI", {}),
        ("Pyro5.core.URI", {"state": ("PYRO", "x")}),
        ("Pyro5.core.URI", {"state": ("PYRO", 1, None, "h", 1)}),
        ("Pyro5.core.URI", {"state": ("PYRO", ["a", []], None, "h", 1)}),
        ("Pyro5.client.Proxy", {"state": "text"}),
        ("Pyro5.client.Proxy", {"state": (1, (), (), (), "hello", None)}),
        ("Pyro5.client.Proxy", {"state": ("PYRO:x@h:1", 5, (), (), "hello", None)}),
        ("Pyro5.client.Proxy", {"state": ("PYRO:x@h:1", (1,), (), (), "hello", None)}),
        ("Pyro5.client.Proxy", {"state": ("PYRO:x@h:1", (), (), (), "hello", 5)}),
        ("Pyro5.core._ExceptionWrapper", {"exception": 5}),
        ("collections.OrderedDict", {"items": 5}),
        ("float", {"value": "1"}),
        ("nobody.Knows", {"x": 1}),
        ("builtins.ValueError", {"args": []}),
        ("builtins.ValueError", {"__exception__": True, "args": 5}),
        ("builtins.ValueError", {"__exception__": True, "args": [], "attributes": 5}),
    ],
)
def test_bad_states_are_refused(class_name: str, data: dict[str, Any]) -> None:
    with pytest.raises((SerializeError, errors.PyroError)):
        five.build(class_name, {"__class__": class_name, **data})


def test_errors_of_a_script_are_told() -> None:
    error = five.build(
        "__main__.Own", {"__exception__": True, "args": ("why",), "attributes": {"_pyroTraceback": ["line"]}}
    )
    assert type(error) is errors.RemoteError
    assert (error.class_name, error.args, error._pyroTraceback) == ("__main__.Own", ("why",), ["line"])


def test_names_with_double_underscores_are_refused() -> None:
    with pytest.raises(SecurityError, match="double underscores"):
        five.build("builtins.__import__", {})

    class Own:
        pass

    fastpyro.register_class(Own, "__main__.OwnOfThisTest")
    assert type(five.build("__main__.OwnOfThisTest", {})) is Own, "who registers a class knows its name"


def test_registered_classes_and_converters() -> None:
    class Point:
        x = 0

    fastpyro.register_class(Point, "geometry.Point")
    point = Point()
    point.x = 7
    assert five.simplify(point) == {"__class__": "geometry.Point", "x": 7}
    assert five.build("geometry.Point", {"__class__": "geometry.Point", "x": 8}).x == 8
    fastpyro.register_class_to_dict(Plain, lambda plain: {"__class__": "p", "y": plain.x})
    fastpyro.register_dict_to_class("p", lambda name, data: (name, data["y"]))
    try:
        assert five.simplify(Plain()) == {"__class__": "p", "y": 1}
        assert five.build("p", {"__class__": "p", "y": 1}) == ("p", 1)
    finally:
        fastpyro.unregister_class_to_dict(Plain)
        fastpyro.unregister_dict_to_class("p")
    assert five.simplify(Plain())["x"] == 1


def test_replacements_come_first() -> None:
    class Served(dict):  # type: ignore[type-arg]
        pass

    fastpyro.SerializerBase.register_type_replacement(
        Served, lambda value: StateOf("fastpyro.URI", ("PYRO", "x", None, "h", 1))
    )
    assert five.simplify(Served())["__class__"] == "Pyro5.core.URI"


def test_what_has_no_form() -> None:
    without_bytes = ClassDicts(PYRO5, FormatRules(refused=frozenset({bytes})))
    for dicts, value in ((without_bytes, b"x"), (five, (item for item in "")), (five, print)):
        with pytest.raises(SerializeError, match=r"no form for it|an iterator inside a value"):
            dicts.simplify(value)
