"""Tables of chosen keys: those that collide are refused, all others are not, and what tables cost is what Python takes."""

from __future__ import annotations

import marshal
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest

from fastpyro.errors import SerializeError
from fastpyro.serializers._codec import Codec
from fastpyro.serializers._marshal import MarshalCodec
from fastpyro.serializers._msgpack import MsgpackCodec
from fastpyro.serializers._serpent import SerpentCodec
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.values._tables import check_keys, cost_of

MODULUS = sys.hash_info.modulus
PERTURB_SHIFT = 5


COLLIDING: dict[str, list[Any]] = {
    "equal hashes": [1 + MODULUS * index for index in range(1000)],
    "few equal hashes": [1 + MODULUS * index for index in range(60)],
    "negative": [-5 - MODULUS * index for index in range(1000)],
    "tuples": [(0, 1 + MODULUS * index) for index in range(1000)],
    "tuples of -1 and -2": [tuple(-1 - (index >> bit & 1) for bit in range(10)) for index in range(1000)],
    "frozensets": [frozenset({1 + MODULUS * index}) for index in range(1000)],
    "complex": [complex(2.0 ** (61 * x), 2.0 ** (61 * y)) for x in range(16) for y in range(16)],
    "fractions": [Fraction(1 + MODULUS * index) for index in range(1000)],
    "among texts": [*map(str, range(1000)), *(1 + MODULUS * index for index in range(1000))],
    "floats and ints": [float(1 << (61 * index)) for index in range(16)] + [1 + MODULUS * i for i in range(1000)],
}


@pytest.mark.parametrize("of_set", [False, True])
@pytest.mark.parametrize("name", COLLIDING)
def test_colliding_keys_are_refused(name: str, of_set: bool) -> None:
    with pytest.raises(SerializeError, match=r"the hashes of .* keys collide: this is an attack"):
        check_keys(COLLIDING[name], of_set)


def test_keys_along_one_way_through_the_table_are_refused() -> None:
    # Half of them fill the way that all hashes take at last; the others, with other hashes, walk along it.
    size, at, way = 1 << 14, 0, []
    for _ in range(size // 2):
        way.append(at)
        at = (at * 5 + 1) % size
    keys = [*way, *(number * size for number in range(1, size // 8))]
    assert len(set(map(hash, keys))) == len(keys)
    with pytest.raises(SerializeError, match="collide"):
        check_keys(keys)


ORDINARY: dict[str, Iterable[Any]] = {
    "counted": range(200_000),
    "from the top": range(100_000, 0, -1),
    "negative": range(-100_000, 0),
    "halves": [index / 2 for index in range(50_000)],
    "thousandths": [index / 1024 for index in range(50_000)],
    "millionths": [index / 1048576 for index in range(50_000)],
    "tenths": [index / 10 for index in range(50_000)],
    "pages": [index << 12 for index in range(50_000)],
    "high bits": [index << 44 for index in range(50_000)],
    "nanoseconds": [1_700_000_000_000_000_000 + index * 1_000_000_000 for index in range(50_000)],
    "squares": [index * index for index in range(50_000)],
    "powers": [2**index for index in range(60)],
    "long powers": [2.0**index for index in range(-30, 31)],
    "points": [(x, y) for x in range(-150, 150) for y in range(-150, 150)],
    "points in space": [(x, y, z) for x in range(-15, 15) for y in range(-15, 15) for z in range(-15, 15)],
    "points of floats": [(x / 4, y / 4) for x in range(200) for y in range(200)],
    "fractions": {Fraction(x, y + 1) for x in range(100) for y in range(x, 100)},
    "mixed": [*range(1000), *map(str, range(1000)), *(index / 3 for index in range(1, 1000, 3)), None, b"x"],
    "complex": [complex(x, y) for x in range(100) for y in range(100)],
}


@pytest.mark.parametrize("of_set", [False, True])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_keys_are_not_refused(name: str, of_set: bool) -> None:
    check_keys(list(ORDINARY[name]), of_set)


@pytest.mark.parametrize("of_set", [False, True])
def test_few_keys_may_collide(of_set: bool) -> None:
    check_keys([1 + MODULUS * index for index in range(32)], of_set)
    check_keys([*map(str, range(1000)), *(1 + MODULUS * index for index in range(32))], of_set)


@pytest.mark.parametrize("of_set", [False, True])
@pytest.mark.parametrize("kind", [int, complex])
def test_the_keys_of_the_same_hash_that_the_page_on_the_protocol_promises(kind: Any, of_set: bool) -> None:
    for others, most in ((0, 32 if kind is int else 10), (100, 25), (1000, 60)):
        keys: list[Any] = [1 + MODULUS * index for index in range(most)]
        if kind is complex:
            keys = [complex(7 - 1000003 * index, index) for index in range(most)]
        assert len(set(map(hash, keys))) == 1
        check_keys([*map(str, range(others)), *keys], of_set)


@pytest.mark.parametrize("of_set", [False, True])
def test_refusing_takes_linear_time(of_set: bool) -> None:
    keys = [1 + MODULUS * index for index in range(300_000)]
    began = time.process_time()
    with pytest.raises(SerializeError):
        check_keys(keys, of_set)
    assert time.process_time() - began < 2


def refuse(value: Any) -> Any:
    raise SerializeError(f"cannot be simplified: {value!r}")


CODECS: dict[str, Any] = {
    "native": native.codec,
    "serpent": SerpentCodec(refuse, lambda name, data: data),
    "msgpack": MsgpackCodec(refuse, lambda name, data: data),
    "marshal": MarshalCodec(refuse, lambda name, data: data),
}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("make", [dict.fromkeys, set], ids=["dict", "set"])
def test_every_reader_refuses_them(codec: Any, make: Callable[[Any], Any]) -> None:
    few, many = (make([1 + MODULUS * index for index in range(count)]) for count in (32, 300))
    if codec is CODECS["msgpack"] and make is set:
        pytest.skip("msgpack has no sets")
    assert codec.decode(codec.encode(few)) == few
    with pytest.raises(SerializeError, match="collide"):
        codec.decode(codec.encode(many))


def extension(code: int, body: bytes) -> bytes:
    return b"\xc9" + len(body).to_bytes(4, "big") + bytes([code]) + body


def frozensets(levels: int, last: int) -> bytes:
    """Return a frozenset of 30 with one hash, which differ in their last element only, or one of 30 such frozensets."""
    if not levels:
        return native.codec.encode(1 + MODULUS * last)
    inner = [*(frozensets(levels - 1, number) for number in range(29)), frozensets(levels - 1, 29 + last)]
    return extension(3, b"\xdc\0\x1e" + b"".join(inner))


@pytest.mark.parametrize("levels", [1, 2])
def test_frozensets_within_each_other_do_not_multiply(levels: int) -> None:
    """Each level took as many comparisons more as its elements collide: 30 times 30 took a power of the bytes."""
    data = extension(2, b"\xdc\0\x1e" + b"".join(frozensets(levels, last) for last in range(30)))
    with pytest.raises(SerializeError, match=r"collide|too long to hash"):
        native.codec.decode(data)


def test_keys_that_are_large_and_collide_in_a_small_table() -> None:
    keys = [(*range(3000), 1 + MODULUS * number) for number in range(30)]
    with pytest.raises(SerializeError, match=r"collide|too long to hash"):
        native.codec.decode(native.codec.encode(dict.fromkeys(keys)))
    few = dict.fromkeys([(x, y, z) for x in (-1, -2) for y in (-1, -2) for z in (-1, -2)])
    assert native.codec.decode(native.codec.encode(few)) == few


def test_a_key_that_references_made_large_is_not_hashed_again_and_again() -> None:
    shared: Any = tuple(range(2000))
    data = marshal.dumps([{(shared, number): number} for number in range(100)], 4)
    with pytest.raises(SerializeError, match="too long to hash"):
        CODECS["marshal"].decode(data)
    few = [{shared: number} for number in range(3)]
    assert CODECS["marshal"].decode(marshal.dumps(few, 4)) == few


def test_an_ordered_dict_of_colliding_keys_is_refused() -> None:
    items = [(1 + MODULUS * number, 0) for number in range(900)]
    data = marshal.dumps({"__class__": "collections.OrderedDict", "items": items}, 2)
    with pytest.raises(SerializeError, match="collide"):
        get_serializer("marshal").loads(data)
    ordinary = {"__class__": "collections.OrderedDict", "items": [(number, 0) for number in range(5000)]}
    assert len(get_serializer("marshal").loads(marshal.dumps(ordinary, 2))) == 5000


class Moody:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __hash__(self) -> int:
        raise self.error


@pytest.mark.parametrize("of_set", [False, True])
@pytest.mark.parametrize("error", [ValueError("why"), ZeroDivisionError("why"), TypeError("why")], ids=repr)
def test_keys_that_cannot_be_hashed(error: Exception, of_set: bool) -> None:
    with pytest.raises(SerializeError, match=r"cannot be used as one: .*why"):
        check_keys([*range(100), Moody(error)], of_set)
    codec = Codec(lambda value: ("Moody", None), lambda name, state: Moody(error))
    with pytest.raises(SerializeError, match=r"cannot be used as one: .*why"):
        codec.decode(b"\x81" + codec.encode(Moody(error)) + b"\0")


def test_keys_that_change_their_list_while_they_are_hashed() -> None:
    class Thief:
        def __hash__(self) -> int:
            keys.clear()
            return 1

    keys: list[Any] = [*range(100), Thief(), *range(100)]
    with pytest.raises(SerializeError, match="changed"):
        check_keys(keys)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 10, 11, 100, 1000, 5000, 70_000, 200_000])
def test_costs_are_what_python_takes(count: int) -> None:
    table, elements = dict.fromkeys(range(count)), set(range(count))
    assert sys.getsizeof(table) <= cost_of(count) <= 1.6 * sys.getsizeof(table) + 100
    assert sys.getsizeof(elements) <= cost_of(count, True) <= 1.1 * sys.getsizeof(elements)


@pytest.mark.parametrize("of_set", [False, True])
def test_plain_keys_are_looked_at_without_a_python_call_each(of_set: bool) -> None:
    """With one, 40,000 dates took 15 times as long as short strings of as many bytes."""
    keys: list[Any] = [kind for day in range(1, 1000) for kind in (date.fromordinal(day), timedelta(day), complex(day))]
    calls = []
    sys.setprofile(lambda frame, event, argument: calls.append(frame.f_code.co_name) if event == "call" else None)
    try:
        check_keys(keys, of_set)
    finally:
        sys.setprofile(None)
    assert len(calls) < 100, calls[:5]
