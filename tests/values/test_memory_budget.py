"""Objects are charged for what they cost: a message cannot take more than it may, ordinary ones never come near."""

from __future__ import annotations

import datetime
import ipaddress
import json
import marshal
import tracemalloc
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import msgpack
import pytest

from fastpyro.config import config
from fastpyro.errors import SerializeError, ServerOverloadedError
from fastpyro.protocol._batch import BatchWriter, decode_batch
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.values._memory_budget import HeldMemory, Inflated, last_excess, most_memory, note_excess
from fastpyro.values.class_registry import StateOf

NAMES = ["native", "serpent", "json", "msgpack", "marshal"]


def loads(name: str, data: bytes) -> Any:
    return get_serializer(name).loads(data)


def array(item: bytes, count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + item * count


def extension(code: int, body: bytes) -> bytes:
    return b"\xc7" + bytes([len(body), code]) + body


def text(item: str, count: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening + (item + ",") * (count - 1) + item + closing).encode()


COUNT = 1 << 15
LITTLE = 1 << 15  # bytes that each message may take beside 16 for each of its own

COSTLY: dict[str, tuple[str, bytes]] = {
    "empty lists": ("native", array(b"\x90", COUNT)),
    "empty dicts": ("native", array(b"\x80", COUNT)),
    "small dicts": ("native", array(b"\x81\x01\x01", COUNT)),
    "empty sets": ("native", array(extension(2, b"\x90"), COUNT)),
    "small sets": ("native", array(extension(2, b"\x91\x01"), COUNT)),
    "empty frozensets": ("native", array(extension(3, b"\x90"), COUNT)),
    "negative numbers": ("native", array(b"\xe0", COUNT)),
    "two characters": ("native", array(b"\xa2ab", COUNT)),
    "two bytes": ("native", array(b"\xc4\x02ab", COUNT)),
    "lists in lists": ("native", array(b"\x91" * 50 + b"\x90", COUNT // 32)),
    "proxies": (
        "native",
        native.dumps([StateOf("fastpyro.Proxy", ("PYRO:o@h:1", (), (), (), None, None))] * (COUNT // 32)),
    ),
    "proxies with names": (
        "native",
        native.dumps([StateOf("fastpyro.Proxy", ("PYRO:o@h:1", ("a",), ("a",), ("b",), None, None))] * (COUNT // 32)),
    ),
    "deques": ("native", native.dumps([deque()] * (COUNT // 32))),
    "limited deques": ("native", native.dumps([deque([1], 9)] * (COUNT // 32))),
    "ranges": ("native", native.dumps([range(-500, -300)] * (COUNT // 32))),
    "ordered dicts": ("native", native.dumps([OrderedDict()] * (COUNT // 32))),
    "filled ordered dicts": ("native", native.dumps([OrderedDict.fromkeys(range(11))] * (COUNT // 32))),
    "a long ordered dict": ("native", native.dumps(OrderedDict.fromkeys(range(COUNT)))),
    "default dicts": ("native", native.dumps([defaultdict(list, {1: 1})] * (COUNT // 32))),
    "counters": ("native", native.dumps([Counter("a")] * (COUNT // 32))),
    "networks": ("native", native.dumps([ipaddress.ip_network("::/9")] * (COUNT // 32))),
    "interfaces": ("native", native.dumps([ipaddress.ip_interface("::1/9")] * (COUNT // 32))),
    "msgpack lists": ("msgpack", array(b"\x90", COUNT)),
    "msgpack dicts": ("msgpack", array(b"\x80", COUNT)),
    "msgpack small dicts": ("msgpack", array(b"\x81\x01\x01", COUNT)),
    "serpent lists": ("serpent", text("[]", COUNT)),
    "serpent dicts": ("serpent", text("{}", COUNT)),
    "serpent small dicts": ("serpent", text("{1:1}", COUNT)),
    "serpent sets": ("serpent", text("{1}", COUNT)),
    "json lists": ("json", text("[]", COUNT)),
    "json dicts": ("json", text("{}", COUNT)),
    "json small dicts": ("json", text('{"":0}', COUNT)),
    "marshal lists": ("marshal", marshal.dumps([[] for _ in range(COUNT)], 2)),
    "marshal dicts": ("marshal", marshal.dumps([{} for _ in range(COUNT)], 2)),
    "marshal sets": ("marshal", marshal.dumps([set() for _ in range(COUNT)], 2)),
}


def peak_of(name: str, data: bytes) -> tuple[str, int]:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        try:
            loads(name, data)
            outcome = "value"
        except SerializeError as error:
            outcome = "error" if "DECODE_MEMORY" in str(error) else str(error)
        return outcome, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", COSTLY)
def test_memory_stays_within_the_budget(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DECODE_MEMORY", LITTLE)
    name, data = COSTLY[kind]
    outcome, peak = peak_of(name, data)
    # What JSON's reader takes while it works, the text as a str, comes on top of the values.
    assert peak < 1.3 * most_memory(len(data)) + 4 * len(data) + 100_000
    assert outcome in ("error", "value")
    assert outcome == "error" or peak < 17 * len(data) + LITTLE
    monkeypatch.setattr(config, "DECODE_MEMORY", 1 << 30)
    assert len(loads(name, data)) in (COUNT, COUNT // 32)


@pytest.mark.parametrize("kind", COSTLY)
def test_what_is_charged_is_what_it_takes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = COSTLY[kind]
    monkeypatch.setattr(config, "DECODE_MEMORY", 1 << 30)
    _, peak = peak_of(name, data)
    monkeypatch.setattr(config, "DECODE_MEMORY_RATIO", 1)
    monkeypatch.setattr(config, "DECODE_MEMORY", peak * 3 + 100_000)
    loads(name, data)
    monkeypatch.setattr(config, "DECODE_MEMORY", max(peak // 2 - 5 * len(data), 0))
    with pytest.raises(SerializeError, match="DECODE_MEMORY is"):
        loads(name, data)


ORDINARY: dict[str, Any] = {
    "a million short strings": [f"{number:02x}" for number in range(1_000_000)],
    "two million ints": list(range(2_000_000)),
    "a million floats": [number / 3 for number in range(1_000_000)],
    "1,000 dicts": [{"id": n, "name": f"name {n}", "tags": ["a", "b"], "at": None} for n in range(1000)],
    "100,000 dicts": [{"id": n, "ok": True} for n in range(100_000)],
    "a large dict": {str(number): number for number in range(300_000)},
    "a dict of ints": {str(number): [number] for number in range(200_000)},
    "one long text": "é" * 3_000_000,
    "a longer text": "\U0001f40d" + "x" * 3_000_000,
    "small lists": [[number] for number in range(300_000)],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_values_pass(name: str, kind: str) -> None:
    serializer = get_serializer(name)
    value = ORDINARY[kind]
    assert serializer.loads(serializer.dumps(value)) == value


def test_sets_and_tuples_pass() -> None:
    for value in (set(range(1_000_000)), tuple((n, n) for n in range(300_000)), {n: (n,) for n in range(300_000)}):
        assert native.loads(native.dumps(value)) == value
    zone = datetime.timezone(datetime.timedelta(hours=1), "name")
    moments = [datetime.datetime(2026, 1, 1, tzinfo=zone)] * 300_000
    assert native.loads(native.dumps(moments)) == moments


def test_small_messages_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # Their objects take a few megabytes at the most.
    monkeypatch.setattr(config, "DECODE_MEMORY", 0)
    for item in (b"\x80", b"\x81\x01\x01", b"\x81\xa0\x80", extension(2, b"\x90"), b"\xe0"):
        native.loads(array(item, 16_000 // len(item)))


def test_calls_of_a_batch_are_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = BatchWriter(native.codec)
    for _ in range(30_000):
        writer.add("f", ())
    data = writer.payload("o")
    assert len(decode_batch(native.codec, data)[1]) == 30_000
    monkeypatch.setattr(config, "DECODE_MEMORY", 0)
    with pytest.raises(SerializeError, match="DECODE_MEMORY"):
        decode_batch(native.codec, data)


def test_inflated_payloads_are_charged_as_what_arrived() -> None:
    data = Inflated(msgpack.packb([[] for _ in range(2_000_000)]))
    data.arrived = 2000
    for name in ("native", "msgpack"):
        with pytest.raises(SerializeError, match=r"a message of 2,000 bytes take more memory than they may"):
            loads(name, data)
    json_data = Inflated(json.dumps([[] for _ in range(2_000_000)]).encode())
    for name in ("serpent", "json"):
        with pytest.raises(SerializeError, match="DECODE_MEMORY is"):
            loads(name, json_data)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_bytes_do_not_explain_is_known_afterwards(name: str) -> None:
    serializer = get_serializer(name)
    for value, least, most in (
        ([], 0, 64),
        ([1.5] * 10_000, 0, 320_000),
        (["an ordinary text"] * 10_000, 0, 64),
        ("x" * (1 << 20), 0, 64),
    ):
        data = serializer.dumps(value)
        note_excess(-1)
        serializer.loads(data)
        assert least <= last_excess() <= most
    data = serializer.dumps([[]] * 10_000)
    serializer.loads(data)
    assert last_excess() == pytest.approx(max(0, 10_000 * 72 - 16 * len(data)), rel=0.3, abs=20_000)


def test_memory_that_is_held_is_bounded_and_given_back() -> None:
    memory = HeldMemory()
    assert memory.hold(0) is memory.hold(4096) is None
    most = 2 * config.DECODE_MEMORY
    held = [memory.hold(most // 4) for _ in range(4)]
    assert memory.held == most
    with pytest.raises(ServerOverloadedError, match="2 times DECODE_MEMORY"):
        memory.hold(5000)
    held.pop()
    assert memory.held == most - most // 4
    held.append(memory.hold(5000))
    held.clear()
    assert memory.held == 0
    alone = memory.hold(3 * most)  # what one message may take says DECODE_MEMORY_RATIO
    assert memory.held == 3 * most
    del alone
    assert memory.held == 0
