"""Other threads run while a long message is read."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from strategies import make_codec

from fastpyro.serializers.registry import get_serializer

COUNT = 300_000
NATIVE = b"\xdd" + COUNT.to_bytes(4, "big")

LONG: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "lists": (make_codec().decode, NATIVE + b"\x90" * COUNT),
    "texts": (make_codec().decode, NATIVE + b"\xa2ab" * COUNT),
    "maps": (make_codec().decode, NATIVE + b"\x81\xa7letters\xa4long" * COUNT),
    "serpent": (get_serializer("serpent").loads, b"# serpent utf-8 python3.2\n[" + b"{}," * COUNT + b"]"),
    "msgpack": (get_serializer("msgpack").loads, NATIVE + b"\x90" * COUNT),
    "marshal": (get_serializer("marshal").loads, b"[" + COUNT.to_bytes(4, "little") + b"(\x00\x00\x00\x00" * COUNT),
}


@pytest.fixture
def nobody_is_interrupted() -> Iterator[None]:
    """Nobody asks for the GIL: it changes hands only where it is given away."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


class Counter:
    """A thread that counts how often it could run."""

    def __init__(self) -> None:
        self.count = 0
        self.stopping = False
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.stopping:
            self.count += 1
            time.sleep(0)

    def __enter__(self) -> Counter:
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.count and time.monotonic() < deadline:
            time.sleep(0.001)
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping = True
        self.thread.join()


@pytest.mark.usefixtures("nobody_is_interrupted")
@pytest.mark.parametrize("kind", LONG)
def test_others_run_while_a_long_message_is_read(kind: str) -> None:
    read, data = LONG[kind]
    with Counter() as counter:
        before = counter.count
        value = read(data)
        after = counter.count
    assert len(value) == COUNT
    assert after > before


@pytest.mark.usefixtures("nobody_is_interrupted")
def test_what_may_change_is_read_in_one_go() -> None:
    read: Callable[[Any], Any] = LONG["lists"][0]
    data = bytearray(LONG["lists"][1])
    with Counter() as counter:
        before = counter.count
        value = read(data)
        after = counter.count
    assert len(value) == COUNT
    assert after == before
