"""Bytes that are no value, or that claim more than there is: always SerializeError, soon, and in little memory."""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from strategies import Point, make_codec

from fastpyro.errors import PyroError, SecurityError, SerializeError
from fastpyro.serializers._codec import Codec

CODEC = make_codec()

GOOD_VALUES: list[Any] = [
    None,
    [1, -1, 300, -300, 1 << 40, -(1 << 40), 1 << 70, 1.5, 2j, "text", "\ud800", b"bytes", bytearray(b"more")],
    {"a": (1, 2), ("k", 1): [{3}, frozenset({4})], b"x": Point({"x": "y" * 40})},
]


def refuses(data: bytes, complaint: str | None = None, codec: Codec = CODEC) -> None:
    with pytest.raises(SerializeError, match=complaint):
        codec.decode(data)


def memory_of(action: Callable[[], Any]) -> int:
    """Return how many bytes an action takes at its highest."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---- every prefix, every bit, every code -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", GOOD_VALUES, ids=["none", "scalars", "containers"])
def test_every_prefix_is_refused(value: Any) -> None:
    data = CODEC.encode(value)
    for size in range(len(data)):
        refuses(data[:size])


@pytest.mark.parametrize("value", GOOD_VALUES, ids=["none", "scalars", "containers"])
def test_every_changed_bit_gives_a_value_or_an_error(value: Any) -> None:
    data = bytearray(CODEC.encode(value))
    answers = {"value": 0, "error": 0}
    for position in range(len(data) * 8):
        data[position // 8] ^= 1 << position % 8
        try:
            CODEC.decode(data)
            answers["value"] += 1
        except SerializeError:
            answers["error"] += 1
        data[position // 8] ^= 1 << position % 8
    assert sum(answers.values()) == len(data) * 8
    assert CODEC.decode(data) == value


@pytest.mark.parametrize("code", range(256))
def test_every_code_followed_by_anything(code: int) -> None:
    for rest in (b"", b"\0" * 40, b"\xff" * 40, b"\x01" * 40, bytes(range(40))):
        data = bytes([code]) + rest
        try:
            CODEC.decode(data)
        except SerializeError:
            continue


@pytest.mark.parametrize("code", [0xC1, 0xCA])
def test_codes_that_are_no_value(code: int) -> None:
    refuses(bytes([code]) + bytes(8), f"no value with code 0x{code:02x}")


def test_bytes_behind_the_value() -> None:
    refuses(CODEC.encode([1]) + b"\0\0", "2 bytes follow the value")


@pytest.mark.parametrize("data", ["text", 3, None, [1]])
def test_what_is_no_buffer(data: Any) -> None:
    with pytest.raises(TypeError):
        CODEC.decode(data)
    with pytest.raises(TypeError):
        CODEC.decode_call(data)


def test_buffer_with_gaps() -> None:
    with pytest.raises(BufferError):
        CODEC.decode(memoryview(b"abcdef")[::2])


# ---- claims ----------------------------------------------------------------------------------------------------------

CLAIMS = {
    "str": b"\xdb\x7f\xff\xff\xff",
    "bytes": b"\xc6\x7f\xff\xff\xff",
    "list": b"\xdd\x80\0\0\0",
    "dict": b"\xdf\x80\0\0\0",
    "extension": b"\xc9\x7f\xff\xff\xff\x04",
    "tuple": b"\xc7\x05\x01\xdd\x80\0\0\0",
    "set": b"\xc7\x05\x02\xdd\x80\0\0\0",
    "list of lists": b"\xdd\0\0\x0f\xff" * 90,
    "list of the whole rest": b"".join(b"\xdd" + (5000 - 5 * n).to_bytes(4, "big") for n in range(1, 90)),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("rest", [0, 5000])
def test_claims_take_no_memory(claim: bytes, rest: int) -> None:
    data = claim + bytes(rest)
    assert memory_of(lambda: refuses(data)) < 150_000


def test_claims_within_an_extension_end_with_it() -> None:
    refuses(b"\xc7\x03\x01\xdc\0\x05" + bytes(20), "claims 5 elements, but only 0 bytes are left")
    refuses(b"\xc7\x02\x01\x90\0", "1 bytes too many in an extension of code 1")


@pytest.mark.parametrize("head", [b"\x91", b"\x81\0", b"\xdc\0\x01", b"\xc7\xff\x01\x91", b"\xc9\0\0\xff\xff\x01\x91"])
def test_10_000_levels(head: bytes) -> None:
    refuses(head * 10_000 + b"\0")


def test_10_000_levels_of_objects_and_tuples() -> None:
    data = b"\0"
    for level in range(300):
        body = b"\x92\xa5Point" + data if level % 2 else b"\x91" + data
        data = b"\xc9" + len(body).to_bytes(4, "big") + (b"\x0c" if level % 2 else b"\x01") + body
    refuses(data, "nested deeper than 100 levels")


# ---- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\x82\xa1a\x01\xa1a\x02", b"\x82\x01\0\xc3\0", b"\xc7\x03\x02\x92\x01\x01"])
def test_same_key_twice(data: bytes) -> None:
    refuses(data, "twice")


@pytest.mark.parametrize("data", [b"\x81\x90\0", b"\x81\x80\0", b"\xc7\x02\x02\x91\x90", b"\xc7\x02\x03\x91\x80"])
def test_unhashable_key(data: bytes) -> None:
    refuses(data, "cannot be used as one: .*unhashable type")


def large(items: list[bytes], kind: str) -> bytes:
    count = len(items).to_bytes(4, "big")
    if kind == "dict":
        return b"\xdf" + count + b"".join(item + b"\0" for item in items)
    body = b"\xdd" + count + b"".join(items)
    return b"\xc9" + len(body).to_bytes(4, "big") + b"\x02" + body


@pytest.mark.parametrize("kind", ["dict", "set"])
@pytest.mark.parametrize("honest", [0, 1000])
def test_colliding_hashes_are_refused_soon(kind: str, honest: int) -> None:
    # Integers that are equal modulo 2**61 - 1 have the same hash; 30,000 of them would take half a minute.
    step = (1 << 61) - 1
    colliding = [CODEC.encode(1 + step * number) for number in range(30_000)]
    data = large([CODEC.encode(f"key {number}") for number in range(honest)] + colliding, kind)
    began = time.process_time()
    refuses(data, "the hashes of too many of 3.,000 keys collide")
    assert time.process_time() - began < 5


@pytest.mark.parametrize("kind", ["dict", "set"])
def test_large_tables_of_honest_keys(kind: str) -> None:
    keys = [
        *range(-2, 3000),
        *(number / 2 for number in range(1, 3000, 2)),
        *map(str, range(3000)),
        (1, "x"),
        None,
        b"y",
    ]
    value = dict.fromkeys(keys, 0) if kind == "dict" else set(keys)
    assert CODEC.decode(CODEC.encode(value)) == value


def test_same_key_twice_in_large_tables() -> None:
    items = [CODEC.encode(number) for number in range(2000)]
    refuses(large([*items, items[7]], "dict"), "a dict has the same key twice")
    refuses(large([*items, items[7]], "set"), "a set has the same element twice")
    refuses(large([*items, b"\x90"], "dict"), "cannot be used as one: .*unhashable")
    refuses(large([*items, b"\x90"], "set"), "cannot be used as one: .*unhashable")


class Moody:
    """A key whose methods fail."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("no mood")


@pytest.mark.parametrize("count", [2, 1500])
@pytest.mark.parametrize("kind", ["dict", "set"])
def test_keys_that_fail_to_compare(kind: str, count: int) -> None:
    codec = Codec(lambda value: ("Moody", None), lambda class_name, state: Moody())
    items = [codec.encode(Moody()), codec.encode(Moody()), *map(codec.encode, range(10, count + 8))]
    refuses(large(items, kind), "cannot be used as one: .*no mood", codec)


def test_strings_with_the_same_slot_are_not_mixed_up() -> None:
    texts = [f"k{number}" for number in range(5000)] + ["é", "k\0", "k" * 31, "k" * 32]
    for _ in range(2):
        assert CODEC.decode(CODEC.encode({text: text for text in texts})) == {text: text for text in texts}


# ---- extensions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 40))
def test_keys_that_differ_in_one_character_are_not_mixed_up(size: int) -> None:
    codec = make_codec()
    key = "".join(chr(97 + place % 26) for place in range(size))
    changed = [key[:place] + "-" + key[place + 1 :] for place in range(size)]
    for one in [key, *changed, key, *changed, key[:-1], key + "a"]:
        assert codec.decode(codec.encode({one: 1, "text": one})) == {one: 1, "text": one}
    together = dict.fromkeys([key, *changed], 1)
    assert codec.decode(codec.encode([together, together])) == [together, together]


def extension(code: int, body: bytes) -> bytes:
    return b"\xc9" + len(body).to_bytes(4, "big") + bytes([code]) + body


@pytest.mark.parametrize("code", [0, *range(13, 256)])
def test_unknown_extensions(code: int) -> None:
    refuses(extension(code, b"abc"), f"extension of code {code} with 3 bytes is not known")


@pytest.mark.parametrize("size", [0, 1794, 1 << 20])
def test_size_of_an_integer(size: int) -> None:
    refuses(extension(5, b"\x7f" * size), f"an int of {size:,} bytes; the limit is 1,793")
    assert CODEC.decode(extension(5, b"\x7f" * 1793)).bit_length() == 1793 * 8 - 1


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (1, b""),
        (1, b"\xa1a"),
        (6, bytes(15)),
        (6, bytes(17)),
        (7, b"\xff"),
        (8, bytes(12)),
        (8, b"\x07\xea\x0d\x01" + bytes(8)),
        (8, b"\x07\xea\x01\x01" + bytes(7)),
        (8, b"\x07\xea\x01\x01\x18" + bytes(7)),
        (8, b"\x07\xea\x01\x01" + bytes(7) + b"\x02"),
        (9, bytes(4)),
        (9, b"\x07\xea\x02\x1e"),
        (9, b"\x07\xea\x02"),
        (10, bytes(3) + b"\xff\xff\xff\xff\0"),
        (10, b"\0\x3c" + bytes(6)),
        (11, b"\x7f" * 12),
        (11, bytes(11)),
        (12, b""),
        (12, b"\x91\xa1a"),
        (12, b"\x92\x01\x02"),
        (12, b"\x93\xa5Point\x01\x02"),
    ],
)
def test_extensions_with_a_bad_body(code: int, body: bytes) -> None:
    refuses(extension(code, body))


@pytest.mark.parametrize(
    "zone",
    [
        86_400_000_000,
        -86_400_000_000,
        1 << 14_340,
        "Nowhere/AtAll",
        "../../etc/passwd",
        "/etc/passwd",
        "Europe",
        "\ud800",
        "x\0",
        "",
        "x" * 101,
        [1],
        ["UTC", "name"],
        [0, 1],
        [0, "name", 0],
        [1 << 80, "name"],
        None,
        1.5,
        {},
    ],
    ids=lambda zone: repr(zone)[:20] if not isinstance(zone, int) else hex(zone)[:20],
)
def test_bad_time_zone(zone: Any) -> None:
    refuses(extension(10, bytes(8) + CODEC.encode(zone)), "time zone")


@pytest.mark.parametrize("key", ["America", "tzdata.zi", "no/such/zone", "", "..", "a" * 100, "a\0b", "\ud800"])
def test_an_unknown_time_zone_tells_nothing_of_this_machine(key: str) -> None:
    """The name of a folder is one: the error of opening it is not passed on."""
    with pytest.raises(SerializeError) as caught:
        CODEC.decode(extension(10, bytes(8) + CODEC.encode(key)))
    assert not any(part in str(caught.value) for part in ("Errno", "/usr", "site-packages", "tzdata/"))


# ---- from_state, which is the user's code ----------------------------------------------------------------------------


def codec_with(from_state: Any) -> Codec:
    return Codec(lambda value: (type(value).__name__, value.state), from_state)


@pytest.mark.parametrize("error", [ValueError("text"), KeyError("text"), RecursionError("text")], ids=repr)
def test_error_of_from_state_is_the_cause(error: Exception) -> None:
    def fail(class_name: str, state: Any) -> Any:
        raise error

    with pytest.raises(SerializeError, match=r"cannot build an object of class 'Point': .*text") as caught:
        codec_with(fail).decode(CODEC.encode([Point(1)]))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [SecurityError("no"), PyroError("no"), KeyboardInterrupt()], ids=repr)
def test_errors_that_pass_unchanged(error: BaseException) -> None:
    def fail(class_name: str, state: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        codec_with(fail).decode(CODEC.encode([Point(1)]))
    assert caught.value is error


def test_long_class_names_are_cut_in_errors() -> None:
    def fail(class_name: str, state: Any) -> Any:
        raise LookupError("no such class")

    with pytest.raises(SerializeError) as caught:
        codec_with(fail).decode(extension(12, b"\x92" + CODEC.encode("x" * 10_000) + b"\0"))
    assert len(str(caught.value)) < 300


def test_from_state_may_use_the_codec_and_cannot_change_the_buffer() -> None:
    def from_state(class_name: str, state: Any) -> Any:
        with pytest.raises(BufferError):
            data.extend(b"more")
        return codec.decode(state)

    codec = codec_with(from_state)
    data = bytearray(codec.encode([Point(codec.encode([1, {"a": 2}])), "after"]))
    assert codec.decode(data) == [[1, {"a": 2}], "after"]


def test_collector_is_on_after_a_large_message_and_after_a_bad_one() -> None:
    assert gc.isenabled()
    CODEC.decode(CODEC.encode(list(range(30_000))))
    refuses(CODEC.encode(["x" * 100] * 300) + b"\0")
    assert gc.isenabled()
    gc.disable()
    try:
        CODEC.decode(CODEC.encode(list(range(30_000))))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_buffer_stands_for_one_value_in_its_turn() -> None:
    codec = codec_with(lambda name, state: state)
    one, two = b"\xd6\x0e\0\0\0\0", b"\xd6\x0e\0\0\0\1"
    assert codec.decode(b"\x92" + one + two, [b"a", b"b"]) == [b"a", b"b"]
    for items in (one + one, two + one, two + two):
        with pytest.raises(SerializeError, match="stands for one value, and in its turn"):
            codec.decode(b"\x92" + items, [b"a", b"b"])


def test_surrogates_are_read_as_python_reads_them() -> None:
    codec, chosen = codec_with(lambda name, state: state), random.Random(7)
    pieces = [
        b"a",
        b"\xc3\xa4",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\x9f\xbf",
        b"\xf0\x9f\x98\x80",
        b"\xc0\x80",
        b"\xed",
        b"\xf4\x90\x80\x80",
    ]
    for _ in range(2000):
        data = b"".join(chosen.choices(pieces, k=chosen.randrange(1, 6)))
        try:
            expected = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            with pytest.raises(SerializeError, match="not UTF-8"):
                codec.decode(b"\xc7" + bytes([len(data)]) + b"\x07" + data)
        else:
            assert codec.decode(b"\xc7" + bytes([len(data)]) + b"\x07" + data) == expected
