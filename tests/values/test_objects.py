"""Objects are built as `object_state` says, and what a state leaves out is charged to its message."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from enum import Enum, Flag
from typing import Any, NamedTuple

import pytest

from fastpyro import config, register_class
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer
from fastpyro.values import class_registry
from fastpyro.values._objects import Attributes, ClassTable, Constant, MemberBuilder, ObjectBuilder
from fastpyro.values.class_registry import StateOf, from_state
from fastpyro.values.object_state import strategy_for

NATIVE = get_serializer("native")


@dataclass
class Account:
    """With fields of all sorts."""

    number: int
    tags: list[str] = field(default_factory=list)
    limit: int = 10
    later: int = field(init=False)


class Slotted:
    """With an attribute in a slot, and others."""

    __slots__ = ("__dict__", "slot")

    def method(self) -> None:
        """Not an attribute."""


class Size(Enum):
    """Two members."""

    SMALL = 1
    LARGE = 2


class Point(NamedTuple):
    """Two numbers."""

    x: int
    y: int


def test_declared_fields() -> None:
    build = strategy_for(Account).build
    account = build({"number": 5, "_pyroId": "ignored"})
    assert vars(account) == {"number": 5, "tags": [], "limit": 10}
    assert build({"number": 5}).tags is not account.tags
    assert vars(build((1, ["a"], 2, 3))) == {"number": 1, "tags": ["a"], "limit": 2, "later": 3}
    states: list[Any] = [{}, {"number": 1, "other": 2}, {1: 2}, (1, 2), None, "ab"]
    for state in states:
        with pytest.raises(SerializeError):
            build(state)


def test_any_attributes() -> None:
    value = strategy_for(Slotted).build({"slot": 1, "other": 2, "_pyroDaemon": 3})
    assert (value.slot, value.__dict__) == (1, {"other": 2})
    states: list[Any] = [{"method": 1}, {"__class__": int}, {"__dict__": {}}, {1: 2}, [("a", 1)], None]
    for state in states:
        with pytest.raises(SerializeError):
            strategy_for(Slotted).build(state)


def test_members_and_containers() -> None:
    assert strategy_for(Size).build("LARGE") is Size.LARGE
    bits = Flag("bits", {"A": 1, "B": 2})
    assert strategy_for(bits).build(3) is bits(3)
    assert strategy_for(Point).build(((1, 2), {})) == Point(1, 2)
    for cls, state in (
        (Size, "HUGE"),
        (Size, 1),
        (bits, "A"),
        (bits, True),
        (Point, ((1,), {})),
        (Point, (5, {})),
        (Point, ([1, 2, 3], {})),
    ):
        with pytest.raises(SerializeError):
            strategy_for(cls).build(state)


def test_a_class_is_described_when_its_first_object_arrives() -> None:
    class Late:
        pass

    build: Any = strategy_for(Late).build
    Late.added = lambda self: None  # type: ignore[attr-defined]
    with pytest.raises(SerializeError, match="cannot have the attribute 'added'"):
        build({"added": 1})


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", ["native", "serpent", "json", "marshal", "msgpack"])
def test_what_is_left_out_is_charged(name: str, later: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_registry, "_has_converters", later)
    wide = make_dataclass("wide", [(f"field{index}", list, field(default_factory=list)) for index in range(200)])
    register_class(wide, name="W")
    state: Any = StateOf("W", {}) if name == "native" else {"__class__": "W"}
    serializer = get_serializer(name)
    monkeypatch.setattr(config, "DECODE_MEMORY", 1 << 20)
    with pytest.raises(SerializeError, match="DECODE_MEMORY"):
        serializer.loads(serializer.dumps([state] * 5000))
    for _ in range(20):  # what one message was charged is none of the next one's
        assert len(serializer.loads(serializer.dumps([state] * 50))) == 50


def test_the_pieces() -> None:
    assert Constant(5)() == Constant(5).value == 5
    judged: list[Any] = []
    attributes = Attributes(
        lambda: (True, {}, frozenset(), frozenset({"no"})), lambda value, state: judged.append(state)
    )
    value = ObjectBuilder(Slotted, attributes)({"a": 1, "no": 2})
    assert value.__dict__ == {"a": 1}
    attributes(value, 7)
    assert judged == [7]
    with pytest.raises(TypeError):
        ObjectBuilder("Slotted", attributes)  # type: ignore[arg-type]
    assert MemberBuilder({"a": 1}, str, lambda state: state)("b") == "b"
    builders = {"a": lambda name, state: (name, state), "b": MemberBuilder({"x": 5}, str, repr)}
    table = ClassTable({"a": 1, "b": 1, "c": 1}, builders, {"a"}, max)
    assert (table("a", 1), table("b", "x"), table("c", "d")) == (("a", 1), "x", "d")
    with pytest.raises(SerializeError, match="not known to the program that received it"):
        from_state("test_objects.Unknown", {})
