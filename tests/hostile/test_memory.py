"""D5, the daemon in all: bytes that connections make a daemon keep, each of them within its own limits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from hostile import packer
from hostile.battlefield import MIB, Attacker, Field

MOST = 24 * MIB
"""What the daemon is told to keep of unfinished messages."""


@pytest.mark.parametrize("channel", ["native", "portable"])
@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_d05_unfinished_messages_are_bounded_in_all(
    make_field: Callable[..., Field], servertype: str, channel: str
) -> None:
    """Forty clients send 2 MB of a message each, and then a byte now and then; another one wants to send 5 MB."""
    field = make_field(
        "--set", f"MAX_RECEIVED={MOST}", "--set", f"PORTABLE={channel == 'portable'}", servertype=servertype
    )
    answers: list[packer.Answer] = []

    def attack(field: Field) -> None:
        clients = [field.attacker(admitted=True, patience=0.05) for _ in range(40)]
        data = packer.header(packer.INVOKE, 900_000_000) + bytes(2 * MIB)
        for client in clients:
            client.push(data)
        with field.attacker(admitted=True, patience=60) as good:
            answers.append(good.ask(packer.call("size", bytes(5 * MIB))))
        while field.going():
            drip(clients)
            time.sleep(0.05)
        for client in clients:
            client.sock.close()

    verdict = field.holds(f"D5 unfinished messages, {channel}", attack)
    assert verdict.peak < 3 * MOST + 150 * MIB
    assert not answers[0].flags & packer.EXCEPTION
    field.still_serves()


def drip(clients: list[Attacker]) -> None:
    for client in clients:
        with contextlib.suppress(OSError):
            client.sock.send(b"x")
