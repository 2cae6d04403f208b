"""Names, registration and the order in which `to_state` and `from_state` look for a way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import native
from fastpyro.values import class_registry
from fastpyro.values.class_registry import (
    StateOf,
    register_class_to_dict,
    register_dict_to_class,
    register_type_replacement,
    to_state,
    unregister_class_to_dict,
    unregister_dict_to_class,
)
from fastpyro.values.registration import register_class


def round_trip(value: Any) -> Any:
    return native.loads(native.dumps(value))


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


class Derived(Plain):
    pass


@dataclass
class Point:
    x: int
    y: int


class Color(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


def test_unregistered_class_is_refused_by_the_receiver() -> None:
    data = native.dumps([Plain(1)])
    with pytest.raises(
        SerializeError, match=r"unsupported serialized class: .*Plain.*register_class.*daemon\.register"
    ):
        native.loads(data)


def test_registered_class_arrives() -> None:
    assert register_class(Plain) is Plain
    assert round_trip({"a": [Plain(1)]}) == {"a": [Plain(1)]}


def test_what_only_the_receiver_registers_arrives() -> None:
    data = native.dumps(Plain(3))
    register_class(Plain)
    assert native.loads(data) == Plain(3)


def test_decorator_with_and_without_arguments() -> None:
    @register_class
    class Bare:
        pass

    @register_class(name="shop.Named")
    class Named:
        pass

    assert type(round_trip(Bare())) is Bare
    assert to_state(Named()) == ("shop.Named", {})
    assert type(round_trip(Named())) is Named


def test_name_bridges_script_and_module() -> None:
    register_class(Plain, "shop.Plain")
    assert to_state(Plain(1)) == ("shop.Plain", {"first": 1})
    register_class(Plain, "__main__.Plain")
    assert to_state(Plain(1)) == ("__main__.Plain", {"first": 1})
    assert class_registry.build("shop.Plain", {"first": 2}) == Plain(2), "the older name is still accepted"


def test_registration_is_for_the_class_itself() -> None:
    register_class(Plain)
    with pytest.raises(SerializeError, match="Derived"):
        round_trip(Derived(1))


def test_registration_changes_what_was_looked_up_before() -> None:
    with pytest.raises(SerializeError):
        native.dumps(Color.RED)
    register_class(Color)
    assert round_trip(Color.RED) is Color.RED


@pytest.mark.parametrize("member", [Color.RED, Number.ONE])
def test_unregistered_enum_does_not_lose_its_type(member: Enum) -> None:
    with pytest.raises(SerializeError, match="register_class"):
        native.dumps(member)


def test_two_classes_cannot_have_one_name() -> None:
    register_class(Plain, "shop.Thing")
    with pytest.raises(ValueError, match=r"shop\.Thing.*Plain"):
        register_class(Point, "shop.Thing")


def test_class_that_is_defined_anew_takes_its_name_over() -> None:
    def define() -> type:
        @register_class
        class Cell:
            pass

        return Cell

    define()
    second = define()
    assert type(round_trip(second())) is second


@pytest.mark.parametrize("name", ["x" * 201, 5])
def test_bad_names(name: Any) -> None:
    with pytest.raises(ValueError, match="1 to 200"):
        register_class(Plain, name)
    with pytest.raises(ValueError, match="1 to 200"):
        register_dict_to_class(name, lambda name, state: None)


def test_own_names_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="fastpyro's own"):
        register_class(Plain, "fastpyro.URI")
    with pytest.raises(ValueError, match="fastpyro's own"):
        register_dict_to_class("exception", lambda name, state: None)


@pytest.mark.parametrize(
    "value",
    [
        print,
        round_trip,
        lambda: None,
        threading,
        Plain,
        int,
        threading.Lock(),
        object(),
        (number for number in [1]),
        iter([1]),
        [].append,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_state_is_refused_by_the_sender(value: Any) -> None:
    with pytest.raises(SerializeError, match="cannot serialize an object of type") as caught:
        native.dumps({"inside": [value]})
    assert type(value).__qualname__ in str(caught.value)


def test_file_and_event_are_refused_by_the_sender() -> None:
    with open(__file__) as file, pytest.raises(SerializeError, match="TextIOWrapper"):
        native.dumps(file)
    with pytest.raises(SerializeError, match="lock"):
        native.dumps(threading.Event())


def test_object_that_contains_itself() -> None:
    value = Plain(1)
    value.first = value  # type: ignore[assignment]
    with pytest.raises(SerializeError, match="nested deeper"):
        native.dumps(value)


def test_unknown_double_underscore_names() -> None:
    with pytest.raises(SerializeError, match=r"__main__\.Secret"):
        class_registry.from_state("__main__.Secret", {})


def test_long_class_name_is_not_repeated_whole() -> None:
    with pytest.raises(SerializeError) as caught:
        class_registry.from_state("x" * 100_000, {})
    assert len(str(caught.value)) < 1000


def test_class_to_dict() -> None:
    register_class_to_dict(Plain, lambda plain: {"__class__": "shop.Plain", "number": plain.first})
    received: list[Any] = []

    def build(name: str, state: Any) -> Plain:
        received.append((name, state))
        return Plain(state["number"])

    register_dict_to_class("shop.Plain", build)
    assert round_trip((Plain(5),)) == (Plain(5),)
    assert received == [("shop.Plain", {"__class__": "shop.Plain", "number": 5})]
    unregister_dict_to_class("shop.Plain")
    with pytest.raises(SerializeError, match=r"shop\.Plain"):
        round_trip(Plain(5))
    unregister_class_to_dict(Plain)
    assert to_state(Plain(5)) == (class_registry.full_name(Plain), {"first": 5})
    unregister_class_to_dict(Plain)
    unregister_dict_to_class("shop.Plain")


def test_dict_without_class_arrives_as_dict() -> None:
    register_class_to_dict(Plain, lambda plain: {"number": plain.first})
    assert round_trip(Plain(5)) == {"number": 5}


def test_converter_serves_subclasses() -> None:
    register_class_to_dict(Plain, lambda plain: {"number": plain.first})
    assert round_trip(Derived(6)) == {"number": 6}
    register_class_to_dict(Derived, lambda derived: ["nearer", derived.first])
    assert round_trip(Derived(6)) == ["nearer", 6]


def test_converter_that_returns_the_object_itself() -> None:
    register_class_to_dict(Plain, lambda plain: plain)
    with pytest.raises(SerializeError, match="expected a dict"):
        native.dumps(Plain(1))


def test_converter_that_raises() -> None:
    register_class_to_dict(Plain, lambda plain: plain.missing)
    with pytest.raises(SerializeError, match="missing"):
        native.dumps(Plain(1))
    unregister_class_to_dict(Plain)
    register_dict_to_class(class_registry.full_name(Plain), lambda name, state: state["missing"])
    with pytest.raises(SerializeError, match="cannot build"):
        round_trip(Plain(1))


def test_state_that_is_no_dict_reaches_the_converter() -> None:
    class Packed:
        def __getstate__(self) -> Any:
            return (1, 2)

    register_dict_to_class(class_registry.full_name(Packed), lambda name, state: state["__state__"])
    assert round_trip(Packed()) == (1, 2)


@pytest.mark.parametrize("not_a_type", [5, "Plain", Plain(1), type, object, None])
def test_replacement_needs_a_type(not_a_type: Any) -> None:
    with pytest.raises(ValueError, match="expected a class"):
        register_type_replacement(not_a_type, lambda value: value)


@pytest.mark.parametrize("native_type", [int, dict, str, frozenset])
def test_replacement_of_a_type_that_is_never_looked_up(native_type: type) -> None:
    with pytest.raises(ValueError, match="cannot be replaced"):
        register_type_replacement(native_type, lambda value: value)
    with pytest.raises(ValueError, match="cannot be replaced"):
        register_class_to_dict(native_type, lambda value: value)


def test_replacement() -> None:
    register_type_replacement(Plain, lambda plain: [plain.first])
    assert round_trip({"a": Plain(1)}) == {"a": [1]}
    assert round_trip(Derived(2)) == [2]


def test_replacement_comes_before_everything_else() -> None:
    class Words(list[str]):
        pass

    register_class(Words)
    register_type_replacement(Words, lambda words: " ".join(words))
    assert round_trip(Words(["a", "b"])) == "a b"


def test_replacement_may_return_the_object_itself() -> None:
    register_class(Derived)
    register_type_replacement(Derived, lambda derived: derived)
    assert round_trip(Derived(1)) == Derived(1)
    register_type_replacement(Plain, lambda plain: "from the base class")
    assert round_trip(Derived(1)) == "from the base class"


def test_replacement_may_name_class_and_state() -> None:
    register_type_replacement(Plain, lambda plain: StateOf("shop.Other", {"number": plain.first}))
    register_dict_to_class("shop.Other", lambda name, state: state["number"])
    assert round_trip(Plain(7)) == 7


def test_endless_replacement_is_an_error() -> None:
    register_type_replacement(Plain, lambda plain: Plain(1))
    with pytest.raises(SerializeError):
        native.dumps(Plain(1))


def test_cache_of_types_is_bounded() -> None:
    for number in range(class_registry.MOST_CACHED + 10):
        to_state(type(f"Made{number}", (), {})())
    assert len(class_registry._writers) <= class_registry.MOST_CACHED


def test_registering_while_others_encode() -> None:
    """What is registered counts from then on, whoever was looking the class up meanwhile."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def encode_much() -> None:
        while not stop.is_set():
            try:
                to_state(Plain(1))
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=encode_much) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(200):
            made: Callable[[Any], Any] = lambda plain, number=number: {"number": number}  # type: ignore[misc]  # noqa: E731
            register_class_to_dict(Plain, made)
            assert to_state(Plain(1)) == (None, {"number": number})
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not failures
