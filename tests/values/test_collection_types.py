"""Collections and addresses of the standard library: exactly what was sent arrives, and hostile states are refused."""

from __future__ import annotations

import ipaddress
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, UserString, defaultdict, deque
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.values.class_registry import StateOf
from fastpyro.values.collection_types import FACTORIES

PEERS = ("serpent", "json", "msgpack", "marshal")


def round_trip(value: Any, name: str = "native") -> Any:
    serializer = get_serializer(name)
    return serializer.loads(serializer.dumps(value))


@pytest.mark.parametrize(
    "value",
    [
        range(5), range(0), range(5, -3, -2), range(10**10), range(-(10**30), 10**30, 10**25),
        deque(), deque([1, "two", [3]]), deque([1, 2], 5), deque(maxlen=0), deque([1], 1),
        OrderedDict(), OrderedDict(b=1, a=[2]), OrderedDict({(1, 2): 3, None: 4}),
        Counter(), Counter("abracadabra"), Counter(a=-1),
        defaultdict(None, {1: 2}), *[defaultdict(kind, {1: 2}) for kind in FACTORIES.values()],
        *map(ipaddress.ip_address, ["0.0.0.0", "255.255.255.255", "::", "fe80::1%eth0", "2001:db8::ff"]),
        *map(ipaddress.ip_network, ["10.0.0.0/8", "1.2.3.4/32", "::/0", "2001:db8::/64"]),
        *map(ipaddress.ip_interface, ["10.1.2.3/8", "fe80::1/64"]),
    ],
    ids=repr,
)  # fmt: skip
def test_exactly(value: Any) -> None:
    received = round_trip([value])[0]
    assert type(received) is type(value)
    assert received == value
    assert repr(received) == repr(value)


class Shouting(UserDict[str, int]):
    def __getitem__(self, key: str) -> int:
        raise AssertionError

    __iter__ = __len__ = keys = items = __getitem__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "plain"),
    [(UserDict(a=1), {"a": 1}), (UserList([1]), [1]), (UserString("x"), "x"), (Shouting(a=1), {"a": 1})],
)
def test_the_classes_to_be_derived_from(value: Any, plain: Any) -> None:
    received = round_trip(value)
    assert type(received) is (UserDict if type(value) is Shouting else type(value))
    assert received.data == plain
    for name in PEERS:
        assert round_trip([value], name) == [plain]


def test_as_keys_and_elements() -> None:
    keys = {range(3): 1, range(0): 2, ipaddress.ip_address("1.2.3.4"): 3, ipaddress.ip_network("::/8"): 4}
    assert round_trip(keys) == keys
    assert round_trip(set(keys)) == set(keys)


def test_order_is_that_of_the_ordered_dict() -> None:
    value = OrderedDict(a=1, b=2)
    value.move_to_end("a")
    for name in ("native", *PEERS):
        assert list(round_trip(value, name)) == ["b", "a"]


def test_a_factory_works_over_there() -> None:
    received = round_trip(defaultdict(list, {1: [2]}))
    received[5].append(1)
    assert received == {1: [2], 5: [1]}


@pytest.mark.parametrize("factory", [lambda: 1, Counter, fastpyro.Proxy])
def test_a_factory_of_the_users_is_left_here(factory: Any) -> None:
    received = round_trip(defaultdict(factory, {1: 2}))
    assert (type(received), received) == (dict, {1: 2})


class Deque(deque[int]):
    def __iter__(self) -> Iterator[int]:
        raise AssertionError


class Ordered(OrderedDict[str, int]):
    def __iter__(self) -> Iterator[str]:
        raise AssertionError

    keys = items = values = __getitem__ = __iter__  # type: ignore[assignment]


class Default(defaultdict[str, int]):
    default_factory = int

    def keys(self) -> Any:
        raise AssertionError

    __iter__ = items = __getitem__ = keys  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value", [Deque([1], 3), Ordered({"a": 1}), Default(None, {"a": 1})], ids=["deque", "OrderedDict", "defaultdict"]
)
def test_subclasses_arrive_as_their_base_with_the_raw_content(value: Any) -> None:
    received = round_trip(value)
    assert type(received) is type(value).__mro__[1]
    assert received == (deque([1], 3) if type(received) is deque else {"a": 1})


@pytest.mark.parametrize("name", PEERS)
def test_the_peers_have_lists_dicts_and_texts(name: str) -> None:
    address = ipaddress.ip_address("1.2.3.4")
    value = {
        "r": range(3),
        "d": deque([1], 3),
        "o": OrderedDict(a=1),
        "c": Counter("a"),
        "f": defaultdict(int, a=1),
        "i": address,
    }
    plain = {"r": [0, 1, 2], "d": [1], "o": {"a": 1}, "c": {"a": 1}, "f": {"a": 1}, "i": "1.2.3.4"}
    received = round_trip(value, name)
    assert received == plain
    assert [type(item) for item in received.values()] == [type(item) for item in plain.values()]


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("value", [range(10**10), range(10**30), range(-(10**30), 10**30)], ids=repr)
def test_a_range_that_is_too_long_for_a_list_is_refused(name: str, value: range) -> None:
    with pytest.raises(SerializeError, match="10,000,000 items"):
        get_serializer(name).dumps(value)


def test_other_mappings_of_the_module() -> None:
    chain = ChainMap({"a": 1}, {"b": 2})
    with pytest.raises(SerializeError):
        round_trip(chain)


@pytest.mark.parametrize(
    ("class_name", "state"),
    [
        ("range", (1, 2)), ("range", (1, 2, 0)), ("range", (1, 2, True)), ("range", (1.0, 2, 3)), ("range", None),
        ("deque", [1]), ("deque", ((1,), None)), ("deque", ([1, 2], 1)), ("deque", ([], -1)), ("deque", ([], True)),
        ("deque", ([], 1 << 63)), ("deque", ({}, None)),
        ("OrderedDict", [(1, 2)]), ("OrderedDict", None), ("OrderedDict", StateOf("OrderedDict", {})),
        ("Counter", [1]), ("Counter", "aab"),
        ("defaultdict", {}), ("defaultdict", ("eval", {})), ("defaultdict", ("int", [])), ("defaultdict", (int, {})),
        ("defaultdict", ("Proxy", {})), ("defaultdict", (["int"], {})),
        ("UserDict", [1]), ("UserList", {}), ("UserString", 5), ("UserString", None),
        ("ipaddress", "1.2.3.4"), ("ipaddress", ("IPv4Address", 5)), ("ipaddress", ("IPv5Address", "1.2.3.4")),
        ("ipaddress", ("IPv4Address", "1.2.3.4.5")), ("ipaddress", ("IPv4Network", "1.2.3.4/8")),
        ("ipaddress", ("IPv6Address", "::1%" + "x" * 300)), ("ipaddress", (["IPv4Address"], "1.2.3.4")),
    ],
)  # fmt: skip
def test_hostile_states_are_refused(class_name: str, state: Any) -> None:
    with pytest.raises(SerializeError):
        native.loads(native.dumps(StateOf(class_name, state)))
