"""Each kind of class: what is taken from an object, and that it is built again without its constructor."""

from __future__ import annotations

import array
import dataclasses
import enum
import functools
import random
import re
import socket
import threading
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import pytest

from fastpyro.errors import SerializeError
from fastpyro.server.exposure import resolve_method
from fastpyro.values.object_state import attributes_of, is_plain, set_attributes, state_function, strategy_for


def rebuilt(value: Any) -> Any:
    strategy = strategy_for(type(value))
    return strategy.build(strategy.take(value))


class NoInit:
    """Its constructor must not be called again."""

    built: ClassVar[int] = 0

    def __init__(self, first: Any) -> None:
        type(self).built += 1
        self.first = first

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and attributes_of(self) == attributes_of(other)

    __hash__ = None  # type: ignore[assignment]


class Slotted(NoInit):
    __slots__ = ("__hidden", "empty", "shown")

    def __init__(self) -> None:
        super().__init__("in the dict")
        self.shown = 1
        self.__hidden = 2


class OnlySlots:
    __slots__ = ("one",)


@dataclass(frozen=True)
class Frozen:
    x: int
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    x: int
    y: str = "y"


@dataclass(slots=True)
class DataSlots:
    x: int


Pair = namedtuple("Pair", "left right")


class Typed(NamedTuple):
    name: str
    size: int = 0


class Tagged(Pair):
    """A namedtuple with attributes of its own."""


class Color(enum.Enum):
    RED = object()
    CRIMSON = RED
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class WithState:
    def __init__(self, secret: int) -> None:
        self.secret = secret
        self.lock = threading.Lock()

    def __getstate__(self) -> Any:
        return ("state", self.secret)

    def __setstate__(self, state: Any) -> None:
        _, self.secret = state
        self.lock = threading.Lock()


class OnlySetState:
    def __init__(self) -> None:
        self.number = 4

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, restored=True)


Item = TypeVar("Item")


class Box(Generic[Item]):
    def __init__(self, item: Item) -> None:
        self.item = item


class Strict(NoInit):
    def __new__(cls, number: int) -> Strict:
        return super().__new__(cls)

    def __init__(self, number: int) -> None:
        object.__setattr__(self, "number", number)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


class Inventory(dict[str, int]):
    owner = "nobody"


class Names(list[str]):
    pass


class Label(str):
    pass


def test_attributes_without_constructor() -> None:
    value = NoInit([1, 2])
    count = NoInit.built
    assert rebuilt(value) == value
    assert NoInit.built == count


def test_slots_with_private_and_empty_ones() -> None:
    value = Slotted()
    assert attributes_of(value) == {"first": "in the dict", "shown": 1, "_Slotted__hidden": 2}
    assert rebuilt(value) == value
    assert not hasattr(rebuilt(value), "empty")


@pytest.mark.parametrize(
    "value",
    [
        Frozen(1, ["a"]),
        FrozenSlots(1, "z"),
        DataSlots(5),
        Pair(1, [2]),
        Typed("n", 3),
        Number.ONE,
        Access.READ | Access.WRITE,
        Access(0),
        Color.BLUE,
        Inventory(a=1),
        Names(["x"]),
        Label("text"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_equal_and_of_the_same_class(value: Any) -> None:
    copy = rebuilt(value)
    assert copy == value
    assert type(copy) is type(value)


def test_enum_members_are_the_same_objects() -> None:
    assert rebuilt(Color.RED) is Color.RED
    assert rebuilt(Color.CRIMSON) is Color.RED
    assert rebuilt(Access.READ) is Access.READ


def test_own_state_methods() -> None:
    assert rebuilt(WithState(9)).secret == 9
    assert vars(rebuilt(OnlySetState())) == {"number": 4, "restored": True}


def test_generic_alias_does_not_travel() -> None:
    boxed = Box[int](5)
    assert attributes_of(boxed) == {"item": 5}
    assert rebuilt(boxed).item == 5


def test_attributes_that_a_daemon_sets_do_not_travel() -> None:
    value = NoInit(1)
    value._pyroId, value._pyroDaemon = "obj_1", object()  # type: ignore[attr-defined]
    assert attributes_of(value) == {"first": 1}


class Handler:
    """A service may keep one in a public attribute; whoever gave it does not say that clients may call it."""

    def __call__(self) -> str:
        return "called"


def test_nobody_exposes_by_sending() -> None:
    class Service:
        handler: Any

    service, strategy = Service(), strategy_for(Handler)
    service.handler = strategy.build({"_pyroExposed": True, "_pyroOneway": True, "_pyroInstancing": "single", "a": 1})
    assert vars(service.handler) == {"a": 1}
    with pytest.raises(AttributeError, match="unexposed"):
        resolve_method(service, "handler")


def test_own_new_and_setattr_are_not_called() -> None:
    assert rebuilt(Strict(3)).number == 3


def test_containers_with_attributes() -> None:
    stock = Inventory(apples=3)
    stock.owner = "me"
    assert rebuilt(stock) == {"apples": 3}
    assert rebuilt(stock).owner == "me"
    tagged = Tagged(1, 2)
    tagged.note = "kept"  # type: ignore[attr-defined]
    assert rebuilt(tagged) == (1, 2)
    assert rebuilt(tagged).note == "kept"


@pytest.mark.parametrize(
    "base", [set, frozenset, bytes, bytearray, int, float, complex], ids=lambda base: base.__name__
)
def test_subclass_of_every_builtin(base: type) -> None:
    cls = type("Own", (base,), {})
    value = cls(b"ab" if base in (bytes, bytearray) else [1, 2] if base in (set, frozenset) else 3)
    value.note = "kept"
    copy = rebuilt(value)
    assert (copy, type(copy), copy.note) == (value, cls, "kept")


@pytest.mark.parametrize("cls", [OrderedDict, defaultdict, array.array, random.Random, threading.local, socket.socket])
def test_state_out_of_reach(cls: type) -> None:
    with pytest.raises(ValueError, match="register_class_to_dict"):
        strategy_for(cls)
    with pytest.raises(ValueError, match="register_class_to_dict"):
        strategy_for(type("Own", (cls,), {}))


def test_msgspec_struct() -> None:
    msgspec = pytest.importorskip("msgspec", reason="msgspec is a dependency of the benches only")
    record_class = msgspec.defstruct("Record", [("number", int), ("name", str, "")], frozen=True)
    record = record_class(1, "one")
    assert rebuilt(record) == record
    assert type(rebuilt(record)) is record_class
    with pytest.raises(SerializeError):
        strategy_for(record_class).build([1])


def test_counter_is_a_dict_with_a_class_of_python() -> None:
    assert rebuilt(Counter("aab")) == Counter("aab")


def test_plain_classes() -> None:
    assert is_plain(NoInit)
    assert is_plain(Box)
    assert is_plain(OnlySlots)
    for cls in (object, dict, Names, type, socket.socket, re.Pattern, type(threading.Lock()), type(i for i in "")):
        assert not is_plain(cls)


@pytest.mark.parametrize(
    ("cls", "state"),
    [
        (NoInit, None),
        (NoInit, [1]),
        (NoInit, {1: 2}),
        (NoInit, {"__class__": 1}),
        (OnlySlots, {"other": 1}),
        (Color, "GREEN"),
        (Color, 1),
        (Access, "READ"),
        (Pair, (1, 2)),
        (Pair, ((1, 2, 3), {})),
        (Pair, ({1, 2}, {})),
        (Pair, ((1, 2), {"__x__": 1})),
        (Inventory, ([], {})),
        (Label, (5, {})),
    ],
)
def test_states_of_the_wrong_shape(cls: type, state: Any) -> None:
    with pytest.raises(SerializeError):
        strategy_for(cls).build(state)


def test_attributes_go_round_properties() -> None:
    class Guarded:
        @property
        def level(self) -> int:
            raise AssertionError("must not be asked")

        @level.setter
        def level(self, value: int) -> None:
            raise AssertionError("must not be called")

    value = Guarded()
    set_attributes(value, {"level": 5})
    assert vars(value) == {"level": 5}


def test_state_function_of_a_getstate() -> None:
    assert state_function(WithState)(WithState(1)) == ("state", 1)


@dataclasses.dataclass
class Member:
    """Whether it may do something is for its method to say."""

    name: str
    rank: int = 1

    def is_admin(self) -> bool:
        return False

    @functools.cached_property
    def title(self) -> str:
        return "member"


class Visitor:
    """The same without declared fields."""

    def is_admin(self) -> bool:
        return False

    @functools.cached_property
    def title(self) -> str:
        return "visitor"


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


def test_data_does_not_replace_methods() -> None:
    for cls, state in ((Member, {"name": "x", "is_admin": 1}), (Member, {"name": "x", "other": 1})):
        with pytest.raises(SerializeError, match="declares no field"):
            strategy_for(cls).build(state)
    with pytest.raises(SerializeError, match="cannot have the attribute 'is_admin'"):
        strategy_for(Visitor).build({"is_admin": 1})
    with pytest.raises(SerializeError, match="lacks the field 'name'"):
        strategy_for(Member).build({"rank": 1})
    assert strategy_for(Member).build({"name": "x"}) == Member("x", 1)


def test_what_is_computed_stays_at_home() -> None:
    for value in (Member("x"), Visitor()):
        strategy = strategy_for(type(value))
        assert value.title
        assert "title" not in strategy.take(value)
        state = {**strategy.take(value), "title": "king"}
        assert strategy.build(state).title == value.title


def test_own_setstate_cannot_replace_methods_either() -> None:
    class Careless:
        def is_admin(self) -> bool:
            return False

        def __setstate__(self, state: Any) -> None:
            self.__dict__.update(state)

    with pytest.raises(SerializeError, match="cannot have the attribute"):
        strategy_for(Careless).build({"is_admin": 1})
    with pytest.raises(SerializeError, match="must be a plain value"):
        strategy_for(Careless).build(Visitor())


@pytest.mark.parametrize("slots", [True, False])
def test_generated_setstates_are_not_used(slots: bool) -> None:
    frozen: Any = dataclasses.make_dataclass("Frozen", ["a", "b"], frozen=True, slots=slots)
    strategy = strategy_for(frozen)
    assert strategy.build(strategy.take(frozen(1, 2))) == frozen(1, 2)
    assert strategy.build([1, 2]) == frozen(1, 2)
    for state in ({"a": 1}, [1], Visitor(), {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(SerializeError):
            strategy.build(state)
    attrs: Any = pytest.importorskip("attrs")
    made = attrs.make_class("Made", ["a"], slots=slots)
    assert strategy_for(made).build(strategy_for(made).take(made(1))) == made(1)
    for state in ({}, Visitor(), {"a": 1, "c": 3}):
        with pytest.raises(SerializeError):
            strategy_for(made).build(state)


def test_foreign_flags_are_refused_and_none_is_kept() -> None:
    build = strategy_for(Permission).build
    assert build(3) is Permission.READ | Permission.WRITE
    for value in (4, -1, 1 << 10_000, True, None):
        with pytest.raises(SerializeError):
            build(value)
    assert len(Permission._value2member_map_) <= 4
    many = enum.IntFlag("many", [f"flag{number}" for number in range(20)])  # type: ignore[misc]
    for value in range(1 << 15):
        assert strategy_for(many).build(value) == value
    assert len(many._value2member_map_) <= 10_001
