"""Serializers, exposed members and tracebacks, in Pyro4's spelling."""

from __future__ import annotations

import io
import sys
from typing import Any

import Pyro4
import pytest
from Pyro4 import errors, util

IDS = {"serpent": 1, "json": 2, "marshal": 3, "pickle": 4, "dill": 5, "msgpack": 6, "cloudpickle": 7}
AVAILABLE = ["serpent", "json", "marshal", "msgpack", "pickle"]


def test_ids() -> None:
    assert {name: util._serializers._classes[name].serializer_id for name in IDS} == IDS
    assert sorted(util._serializers_by_id) == sorted(IDS.values())
    assert len(util._serializers) == len(IDS)


@pytest.mark.parametrize("name", AVAILABLE)
def test_values_and_calls(name: str) -> None:
    serializer = util.get_serializer(name)
    assert serializer is util.get_serializer(name)
    assert serializer == type(serializer)()
    assert hash(serializer) == hash(type(serializer)())
    assert util.get_serializer_by_id(IDS[name]) == serializer
    value = {"list": [1, 2.5, None, True, "text"], "more": {"key": "x" * 500}}
    data, compressed = serializer.serializeData(value)
    assert not compressed
    assert serializer.deserializeData(data) == serializer.deserializeData(bytearray(data)) == value
    data, compressed = serializer.serializeData(value, compress=True)
    assert compressed
    assert serializer.deserializeData(data, compressed=True) == value
    data, compressed = serializer.serializeCall("object", "method", [1], {"name": 2}, compress=True)
    assert not compressed  # too small
    object_id, method, arguments, keywords = serializer.deserializeCall(memoryview(data))
    assert (object_id, method, list(arguments), keywords) == ("object", "method", [1], {"name": 2})


@pytest.mark.parametrize("unknown", ["bogus", 99])
def test_unknown_serializers(unknown: Any) -> None:
    find = util.get_serializer if isinstance(unknown, str) else util.get_serializer_by_id
    with pytest.raises(errors.SerializeError, match="unknown"):
        find(unknown)


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack"])
def test_classes_that_are_registered(name: str) -> None:
    util.SerializerBase.register_class_to_dict(Point, lambda point: {"__class__": "a.Point", "x": point.x})
    util.SerializerBase.register_dict_to_class("a.Point", lambda class_name, data: Point(data["x"]))
    try:
        serializer = util.get_serializer(name)
        (received,) = serializer.loads(serializer.dumps([Point(3)]))
        assert isinstance(received, Point)
        assert received.x == 3
        assert util.SerializerBase.class_to_dict(Point(4)) == {"__class__": "a.Point", "x": 4}
        assert isinstance(util.SerializerBase.recreate_classes([({"__class__": "a.Point", "x": 5},)])[0][0], Point)
    finally:
        util.SerializerBase.unregister_class_to_dict(Point)
        util.SerializerBase.unregister_dict_to_class("a.Point")
    with pytest.raises(errors.SerializeError):
        util.SerializerBase.dict_to_class({"__class__": "a.Point", "x": 4})


def test_exceptions_as_dicts() -> None:
    data = util.SerializerBase.class_to_dict(errors.NamingError("text"))
    assert data["__class__"] == "Pyro4.errors.NamingError"
    error = util.SerializerBase.dict_to_class(data)
    assert type(error) is errors.NamingError
    assert error.args == ("text",)
    made: Any = util.SerializerBase.make_exception(ValueError, {"args": ["x"], "attributes": {"more": 1}})
    assert (type(made), made.args, made.more) == (ValueError, ("x",), 1)
    assert util.all_exceptions["ZeroDivisionError"] is ZeroDivisionError
    assert util.all_exceptions["NamingError"] is errors.NamingError


def test_recreating_leaves_other_values_alone() -> None:
    value = {"a": [1, (2, {3})], "b": {"c": None}}
    assert util.SerializerBase.recreate_classes(value) == value


class Thing:
    @Pyro4.expose
    def method(self) -> str:
        return "result"

    @Pyro4.expose
    @Pyro4.oneway
    def unanswered(self) -> None:
        pass

    def hidden(self) -> None:
        pass

    @Pyro4.expose  # type: ignore[prop-decorator]
    @property
    def value(self) -> int:
        return 42

    @value.setter
    def value(self, value: int) -> None:
        self.__dict__["set"] = value


def test_members() -> None:
    members = util.get_exposed_members(Thing())
    assert members == {"methods": {"method", "unanswered"}, "oneway": {"unanswered"}, "attrs": {"value"}}
    assert "hidden" in util.get_exposed_members(Thing, only_exposed=False)["methods"]
    assert util.get_exposed_members(Thing, as_lists=True)["attrs"] == ["value"]
    assert util.getAttribute(Thing(), "method")() == "result"
    for name in ("hidden", "_private", "method.__func__", "nothing"):
        with pytest.raises(AttributeError):
            util.getAttribute(Thing(), name)
    thing = Thing()
    assert util.get_exposed_property_value(thing, "value") == 42
    util.set_exposed_property_value(thing, "value", 43)
    assert thing.__dict__["set"] == 43
    assert util.is_private_attribute("_x")
    assert not util.is_private_attribute("x")


def test_members_that_were_added_later() -> None:
    class Growing:
        pass

    assert util.get_exposed_members(Growing)["methods"] == set()
    Growing.method = Thing.method  # type: ignore[attr-defined]
    assert util.get_exposed_members(Growing, use_cache=False)["methods"] == {"method"}
    Growing.another = Thing.method  # type: ignore[attr-defined]
    util.reset_exposed_members(Growing())
    assert util.get_exposed_members(Growing)["methods"] == {"method", "another"}


def test_tracebacks(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        @Pyro4.expose
        def fail(self) -> None:
            raise KeyError("remote")

    with Pyro4.Proxy(serve(Failing())) as proxy:
        try:
            proxy.fail()
        except KeyError:
            text = "".join(util.getPyroTraceback())
            printed = io.StringIO()
            monkeypatch.setattr(sys, "stderr", printed)
            util.excepthook(*sys.exc_info())
            assert "Remote traceback" in printed.getvalue()
        else:
            pytest.fail("no error")
    assert "Remote traceback" in text
    assert "in fail" in text
    with pytest.raises(TypeError):
        util.getPyroTraceback("text")
    try:
        local = 4711
        raise ValueError("detailed")
    except ValueError:
        lines = util.formatTraceback(*sys.exc_info(), detailed=True)  # type: ignore[misc]
    assert "EXCEPTION" in "".join(lines)
    assert local


def test_addresses_and_proxies_in_pickles_are_pyro4s() -> None:
    serializer = util.get_serializer("pickle")
    uri = Pyro4.URI("PYRO:x@h:1")
    values = serializer.loads(serializer.dumps([uri, Pyro4.Proxy(uri)]))
    assert [type(value) for value in values] == [Pyro4.URI, Pyro4.Proxy]
    assert values[0] == values[1]._pyroUri == uri


def test_serializers_by_id() -> None:
    names = ["serpent", "json", "marshal", "pickle"]
    assert [util.get_serializer(name).serializer_id for name in names] == [1, 2, 3, 4]
    assert util.get_serializer_by_id(2) is util.get_serializer("json")
    with pytest.raises(Pyro4.errors.SerializeError, match="no serializer available for id 99"):
        util.get_serializer_by_id(99)


def test_the_handler_of_a_future_by_its_name() -> None:
    seen: list[BaseException] = []
    future = Pyro4.Future(lambda: 1 // 0).iferror(exceptionhandler=seen.append)
    result = future()
    assert result.wait(10)
    assert result.iferror(exceptionhandler=seen.append) is result
    assert isinstance(seen[-1], ZeroDivisionError)
