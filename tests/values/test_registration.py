"""The functions with which users register classes, where they take exceptions as well as other classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import RemoteError, SerializeError
from fastpyro.serializers.registry import native
from fastpyro.values import class_registry, exceptions, registration
from fastpyro.values.registration import SerializerBase, register_class


@pytest.fixture(autouse=True)
def _restored_registry() -> Iterator[None]:
    """Forget what a test registers."""
    tables: list[Any] = [
        class_registry._builders,
        class_registry._registered,
        class_registry._classes,
        class_registry._replacements,
        class_registry._to_dict,
        class_registry._from_dict,
        exceptions._classes,
        exceptions._names,
    ]
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    class_registry._writers.clear()


class Plain:
    def __init__(self, first: int) -> None:
        self.first = first

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


class Failure(Exception):
    pass


def test_a_class_and_an_exception_by_one_function() -> None:
    assert register_class(Plain, "shop.Plain") is Plain
    assert register_class(name="shop.Failure")(Failure) is Failure
    plain, failure = native.loads(native.dumps([Plain(1), Failure(2)]))
    assert plain == Plain(1)
    assert (type(failure), failure.args) == (Failure, (2,))
    assert exceptions._classes["shop.Failure"] is Failure
    assert "shop.Failure" not in class_registry._classes


def test_public_functions_are_here() -> None:
    for name in set(registration.__all__) & set(fastpyro.__all__):
        assert getattr(registration, name) is getattr(fastpyro, name)


def test_register_class_expects_a_class() -> None:
    with pytest.raises(TypeError, match="expects a class"):
        register_class(Plain(1))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="cannot be replaced"):
        register_class(dict)


def test_serializer_base_has_pyros_names() -> None:
    SerializerBase.register_class_to_dict(
        Plain, lambda plain: {"__class__": "shop.P", "n": plain.first}, serpent_too=False
    )
    SerializerBase.register_dict_to_class("shop.P", lambda name, state: Plain(state["n"]))
    as_dict = SerializerBase.class_to_dict(Plain(3))
    assert as_dict == {"__class__": "shop.P", "n": 3}
    assert SerializerBase.dict_to_class(as_dict) == Plain(3)
    SerializerBase.unregister_class_to_dict(Plain)
    SerializerBase.unregister_dict_to_class("shop.P")
    SerializerBase.register_type_replacement(Plain, lambda plain: [plain.first])
    assert SerializerBase.class_to_dict(Plain(3)) == [3]


def test_dicts_of_exceptions() -> None:
    as_dict = SerializerBase.class_to_dict(ZeroDivisionError("no"))
    assert as_dict == {
        "__class__": "builtins.ZeroDivisionError",
        "__exception__": True,
        "args": ("no",),
        "attributes": {},
    }
    error: Any = SerializerBase.dict_to_class({**as_dict, "attributes": {"_pyroTraceback": ["line\n"], "code": 5}})
    assert (type(error), error.args) == (ZeroDivisionError, ("no",))
    assert (error._pyroTraceback, error.code) == (["line\n"], 5)
    unknown = SerializerBase.dict_to_class({**as_dict, "__class__": "shop.Error"})
    assert type(unknown) is RemoteError


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"__class__": 5},
        {"__class__": "shop.Unknown"},
        {"__class__": "builtins.ValueError", "args": []},
        {"__class__": "builtins.ValueError", "__exception__": True, "args": 5},
        {"__class__": "builtins.ValueError", "__exception__": True, "args": [], "attributes": {1: 2}},
    ],
)
def test_dicts_that_are_no_objects(data: dict[str, Any]) -> None:
    with pytest.raises(SerializeError):
        SerializerBase.dict_to_class(data)
