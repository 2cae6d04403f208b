"""Class dicts that wait until their whole message is read."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer
from fastpyro.values._unbuilt import Unbuilt, build_all


def build(class_name: str, data: dict[str, Any]) -> Any:
    if class_name == "unhashable":
        return []
    return (class_name, data.get("x")) if class_name != "raw" else data


def built(value: Any, keeps: Any = None) -> Any:
    return build_all(value, build, lambda class_name: class_name == "raw", keeps)


def test_outer_dicts_are_built_first_and_choose_what_they_get() -> None:
    inner = Unbuilt("inner", {"x": 1})
    assert built([inner, {"a": (inner,)}, {inner}, {inner: 2}]) == [
        ("inner", 1), {"a": (("inner", 1),)}, {("inner", 1)}, {("inner", 1): 2},
    ]  # fmt: skip
    assert built(Unbuilt("outer", {"x": [inner]})) == ("outer", [("inner", 1)])


def test_a_converter_gets_the_dicts_inside_its_own() -> None:
    inner = Unbuilt("inner", {"x": 1})
    data = {"x": [inner, {"y": Unbuilt("raw", {})}], "keys": {inner: frozenset({inner})}}
    assert built(Unbuilt("raw", data)) == {
        "x": [{"x": 1}, {"y": {}}],
        "keys": {("inner", 1): frozenset({("inner", 1)})},  # a dict can be neither a key nor an element
    }
    assert built(Unbuilt("raw", data), lambda class_name, data: class_name == "inner")["x"] == [("inner", 1), {"y": {}}]


def test_what_was_read_is_not_changed_and_built_once() -> None:
    shared = Unbuilt("inner", {"x": []})
    items = [shared, shared]
    values = built(items)
    assert items == [shared, shared]
    assert values[0] is values[1]
    plain = [1, (2, {3: {4}}), "x", None, b"x"]
    assert built(plain) is plain, "nothing to build, nothing to copy"


def test_keys_that_are_built_are_checked() -> None:
    with pytest.raises(SerializeError, match="cannot be used as one"):
        built({Unbuilt("unhashable", {}): 1})
    with pytest.raises(SerializeError):
        built({Unbuilt("unhashable", {})})


def test_depth_is_that_of_the_readers() -> None:
    value: Any = Unbuilt("raw", {"x": 1})
    for _ in range(200):
        value = Unbuilt("raw", {"x": [value]})
    assert built(value)["x"][0]["x"][0]["x"] is not None


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack", "marshal"])
def test_a_value_without_converters_is_read_as_ever(name: str) -> None:
    serializer = get_serializer(name)
    assert serializer.loads(serializer.dumps([{"a": 1}])) == [{"a": 1}]


def test_errors_of_others_than_converters_say_what_was_built() -> None:
    def fail(class_name: str, data: dict[str, Any]) -> Any:
        raise ZeroDivisionError("here")

    with pytest.raises(SerializeError, match=r"cannot build an object of class 'a': here"):
        build_all([Unbuilt("a", {})], fail, lambda class_name: False)
    with pytest.raises(ZeroDivisionError, match="here"):
        build_all([Unbuilt("a", {})], fail, lambda class_name: True)
